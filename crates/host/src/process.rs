//! Who has an end of a ring, and whether it is still alive.

use rustix::process::{Pid, test_kill_process};

/// Process ids of Linux fit in 22 bits; the other ten tell a later process of the same id apart.
const PID_BITS: u32 = 22;

/// The number that names this process in a ring.
pub(crate) fn own_token() -> u32 {
    let pid = std::process::id();
    pid | mark(pid).unwrap_or(0) << PID_BITS
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
    mark(pid).is_none_or(|mark| known == 0 || mark == known)
}

/// Ten bits of the time at which the process started, never 0; `None` if the system does not say.
fn mark(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything; the start time is the 20th field after it.
    let (_, fields) = stat.rsplit_once(')')?;
    let started: u64 = fields.split_whitespace().nth(19)?.parse().ok()?;
    Some((started % 1023) as u32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_later_process_of_the_same_id_is_another_one() {
        let token = own_token();
        let mark = token >> PID_BITS;
        assert_ne!(mark, 0);
        let other = if mark == 1 { 2 } else { 1 };
        assert!(!is_alive(pid_of(token) | other << PID_BITS));
    }
}
