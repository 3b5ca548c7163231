//! Frames at a rate, as a detector sends them.

use crate::clock::MonotonicClock;
use crate::error::HostError;
use std::time::Duration;

/// When each frame is due: every `burst` frames together, at a mean rate.
///
/// Each time is computed from the frame's index, so errors do not add up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    rate_hz: f64,
    burst: u32,
}

impl Schedule {
    /// One frame at a time, `rate_hz` a second.
    ///
    /// # Errors
    /// [`HostError::Rate`] if the rate is not a positive number.
    pub fn steady(rate_hz: f64) -> Result<Self, HostError> {
        Self::bursts(rate_hz, 1)
    }

    /// `burst` frames at once, `rate_hz` a second on average.
    ///
    /// # Errors
    /// [`HostError::Rate`] if the rate is not a positive number or the burst is 0.
    pub fn bursts(rate_hz: f64, burst: u32) -> Result<Self, HostError> {
        if !rate_hz.is_finite() || rate_hz <= 0.0 || burst == 0 {
            return Err(HostError::Rate { rate_hz, burst });
        }
        Ok(Schedule { rate_hz, burst })
    }

    /// Nanoseconds from the start to frame `index`, counted from 0.
    pub fn due_ns(&self, index: u64) -> u64 {
        let first_of_burst = index - index % u64::from(self.burst);
        // Exact to a nanosecond for two months; a float cast saturates.
        (first_of_burst as f64 * 1e9 / self.rate_hz).round() as u64
    }
}

/// Waits for each frame's time.
#[derive(Debug)]
pub struct Pacer {
    schedule: Schedule,
    start_ns: u64,
    index: u64,
}

/// The system wakes a sleeper late by about this much; the rest is waited for awake.
const SLACK_NS: u64 = 100_000;

impl Pacer {
    /// Starts now: the first frame is due at once.
    pub fn start(schedule: Schedule) -> Self {
        Pacer::start_at(schedule, MonotonicClock.now_ns())
    }

    /// Starts at `start_ns` of the [`MonotonicClock`], when the first frame is due.
    pub const fn start_at(schedule: Schedule, start_ns: u64) -> Self {
        Pacer {
            schedule,
            start_ns,
            index: 0,
        }
    }

    /// Time until the next frame is due; zero when it is.
    pub fn remaining(&self) -> Duration {
        let due = (self.start_ns).saturating_add(self.schedule.due_ns(self.index));
        Duration::from_nanos(due.saturating_sub(MonotonicClock.now_ns()))
    }

    /// Waits until the next frame is due. Returns by how many nanoseconds it is late; a late frame
    /// does not move those after it.
    pub fn wait(&mut self) -> u64 {
        let due = (self.start_ns).saturating_add(self.schedule.due_ns(self.index));
        self.index += 1;
        loop {
            let now = MonotonicClock.now_ns();
            match due.checked_sub(now) {
                None | Some(0) => return now - due,
                Some(left) if left > SLACK_NS => {
                    std::thread::sleep(Duration::from_nanos(left - SLACK_NS));
                }
                Some(_) => std::thread::yield_now(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_does_not_drift() {
        let schedule = Schedule::steady(3.0).unwrap();
        assert_eq!(schedule.due_ns(0), 0);
        assert_eq!(schedule.due_ns(1), 333_333_333);
        assert_eq!(schedule.due_ns(3_000_000), 1_000_000_000_000_000);
    }

    #[test]
    fn a_burst_is_due_at_once() {
        let schedule = Schedule::bursts(1000.0, 4).unwrap();
        let due: Vec<u64> = (0..9).map(|i| schedule.due_ns(i)).collect();
        assert_eq!(due[..4], [0; 4]);
        assert_eq!(due[4..8], [4_000_000; 4]);
        assert_eq!(due[8], 8_000_000);
    }

    #[test]
    fn an_impossible_rate_is_an_error() {
        for (rate, burst) in [
            (0.0, 1),
            (-1.0, 1),
            (f64::NAN, 1),
            (f64::INFINITY, 1),
            (1.0, 0),
        ] {
            assert!(Schedule::bursts(rate, burst).is_err());
        }
    }

    #[test]
    fn no_frame_is_early() {
        let schedule = Schedule::bursts(20_000.0, 3).unwrap();
        let mut pacer = Pacer::start(schedule);
        let start = pacer.start_ns;
        for i in 0..60 {
            pacer.wait();
            assert!(MonotonicClock.now_ns() - start >= schedule.due_ns(i));
        }
    }
}
