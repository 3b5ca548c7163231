//! Time that only goes forward, the same in all processes of the machine.

use rustix::time::{ClockId, clock_gettime};

/// The machine's monotonic clock: its zero is arbitrary, but one for all processes, so a
/// heartbeat written by one can be judged by another.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl MonotonicClock {
    /// Nanoseconds.
    pub fn now_ns(self) -> u64 {
        let now = clock_gettime(ClockId::Monotonic);
        // Neither is ever negative on this clock, and the sum lasts for 584 years.
        (now.tv_sec.unsigned_abs()) * 1_000_000_000 + now.tv_nsec.unsigned_abs()
    }

    /// Milliseconds, wrapping after 49 days, as heartbeats are written.
    pub fn now_ms(self) -> u32 {
        (self.now_ns() / 1_000_000) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_forward() {
        let mut before = MonotonicClock.now_ns();
        let first = before;
        for _ in 0..1000 {
            let now = MonotonicClock.now_ns();
            assert!(now >= before);
            before = now;
        }
        assert!(before > first);
    }
}
