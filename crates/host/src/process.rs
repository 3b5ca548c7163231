//! Who has an end of a ring, and whether it is still alive. Both mean something within one PID
//! namespace only.

use rustix::process::{Pid, test_kill_process};

/// Process ids of Linux fit in 22 bits; the other ten tell a later process of the same id apart.
const PID_BITS: u32 = 22;

/// The number that names this process in a ring.
pub(crate) fn own_token() -> u32 {
    let pid = std::process::id();
    pid | Stat::of(pid).map_or(0, |stat| stat.mark()) << PID_BITS
}

/// The process id in a token.
pub(crate) fn pid_of(token: u32) -> u32 {
    token & ((1 << PID_BITS) - 1)
}

/// Whether the process that `token` names is still there. When in doubt it is.
pub(crate) fn is_alive(token: u32) -> bool {
    let pid = pid_of(token);
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    if test_kill_process(process) == Err(rustix::io::Errno::SRCH) {
        return false;
    }
    let known = token >> PID_BITS;
    Stat::of(pid).is_none_or(|stat| !stat.ended() && (known == 0 || stat.mark() == known))
}

/// What the system says of a process.
struct Stat {
    state: u8,
    threads: u64,
    /// In clock ticks since the system started.
    started: u64,
}

impl Stat {
    /// `None` if the system does not say.
    fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold anything; the state is the first field after it.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        Some(Stat {
            state: *fields.next()?.as_bytes().first()?,
            threads: fields.nth(16)?.parse().ok()?,
            started: fields.nth(1)?.parse().ok()?,
        })
    }

    /// Whether nothing of it runs any more: a zombie waits for its parent alone, unless its first
    /// thread left the others behind.
    fn ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X' | b'x') && self.threads <= 1
    }

    /// Ten bits of the time at which the process started, never 0.
    fn mark(&self) -> u32 {
        (self.started % 1023) as u32 + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::{WaitId, WaitIdOptions, waitid};

    #[test]
    fn this_process_is_alive_and_names_itself() {
        assert_eq!(pid_of(own_token()), std::process::id());
        assert!(is_alive(own_token()));
    }

    #[test]
    fn a_process_that_ended_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        child.wait().unwrap();
        assert!(!is_alive(pid));
        assert!(!is_alive(0));
    }

    #[test]
    fn a_process_that_ended_and_was_not_waited_for_is_not_alive() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = Pid::from_child(&child);
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(process), ended).unwrap().unwrap();
        assert_eq!(
            test_kill_process(process),
            Ok(()),
            "its number is still taken"
        );
        assert!(!is_alive(child.id()));
        child.wait().unwrap();
    }

    #[test]
    fn a_later_process_of_the_same_id_is_another_one() {
        let token = own_token();
        let mark = token >> PID_BITS;
        assert_ne!(mark, 0);
        let other = if mark == 1 { 2 } else { 1 };
        assert!(!is_alive(pid_of(token) | other << PID_BITS));
    }
}
