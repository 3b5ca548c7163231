//! How to wait for the other side of a ring.

use std::time::Duration;

/// Waits a little longer each time: spins first, then yields the core, then sleeps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Backoff {
    rounds: u32,
}

/// Rounds of 2^n spins; the last takes about a microsecond.
const SPIN_ROUNDS: u32 = 6;
/// Then this many yields.
const YIELD_ROUNDS: u32 = 16;
/// Then sleeps: short against a frame's deadline, long against a system call.
const SLEEP: Duration = Duration::from_micros(50);

impl Backoff {
    /// Starts with a spin.
    pub const fn new() -> Self {
        Backoff { rounds: 0 }
    }

    /// Starts over; call it when there was something to do.
    pub const fn reset(&mut self) {
        self.rounds = 0;
    }

    /// Waits one round.
    pub fn wait(&mut self) {
        if self.rounds < SPIN_ROUNDS {
            for _ in 0..1u32 << self.rounds {
                std::hint::spin_loop();
            }
        } else if self.rounds < SPIN_ROUNDS + YIELD_ROUNDS {
            std::thread::yield_now();
        } else {
            std::thread::sleep(SLEEP);
        }
        self.rounds = (self.rounds + 1).min(SPIN_ROUNDS + YIELD_ROUNDS);
    }
}
