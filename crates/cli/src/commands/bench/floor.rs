//! What this core cannot beat: its peak rate of multiply-adds, and its bandwidth from memory.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hitgate_kernels::{Level, Op, Simd};

/// Both rates, measured.
#[derive(Clone, Copy, Debug)]
pub struct Floors {
    /// Multiply-adds of u7 by i8 a second, out of registers.
    pub macs_per_s: f64,
    /// Bytes a second that one core reads from memory.
    pub bytes_per_s: f64,
}

/// What a stage has to do at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes to read from memory.
    pub bytes: u64,
}

impl Work {
    /// The time that this takes at least, in µs; `None` where nothing is known that it has to do.
    pub fn floor_us(self, floors: &Floors) -> Option<f64> {
        let seconds = self.macs as f64 / floors.macs_per_s + self.bytes as f64 / floors.bytes_per_s;
        (self != Work::default()).then_some(1e6 * seconds)
    }
}

/// Repetitions, of which the fastest counts: a shared machine is slow now and then, never too fast.
const REPETITIONS: usize = 24;
/// Rounds of the multiply-adds in a repetition: about a millisecond on a fast core.
const ROUNDS: u64 = 200_000;

impl Floors {
    /// Measures both on this core, reading `bytes` bytes, more than its caches hold.
    pub fn measure(level: Level, bytes: usize) -> Self {
        let multiply = || level.run(MultiplyAdds { rounds: ROUNDS });
        // Pages that were never written are all the same one, which stays in the cache.
        let numbers: Vec<u64> = (0..bytes as u64 / 8).collect();
        let read = || level.run(Reading(black_box(&numbers)));
        let bytes = size_of_val(numbers.as_slice()) as u64;
        Floors {
            macs_per_s: fastest(REPETITIONS, multiply),
            bytes_per_s: fastest(REPETITIONS / 4, || {
                black_box(read());
                bytes
            }),
        }
    }

    /// The better of two measurements.
    pub fn best(self, other: Floors) -> Self {
        Floors {
            macs_per_s: self.macs_per_s.max(other.macs_per_s),
            bytes_per_s: self.bytes_per_s.max(other.bytes_per_s),
        }
    }
}

/// The highest rate at which `work` does what it says that it did.
fn fastest(repetitions: usize, mut work: impl FnMut() -> u64) -> f64 {
    let mut once = || {
        let start = Instant::now();
        let done = work();
        done as f64 / start.elapsed().max(Duration::from_nanos(1)).as_secs_f64()
    };
    (0..repetitions).map(|_| once()).fold(0.0, f64::max)
}

/// Dot products whose operands stay in registers; gives their multiply-adds.
struct MultiplyAdds {
    rounds: u64,
}

/// A tile of sums, as many as hide the latency of a dot product on any level: pixels by registers
/// of channels.
const PIXELS: usize = 4;
const REGISTERS: usize = 3;

impl Op for MultiplyAdds {
    type Output = u64;

    fn run<S: Simd>(self, s: S) -> u64 {
        let rounds = black_box(self.rounds);
        let zeros = vec![0; S::N];
        let ones = vec![1.0; S::N];
        let weights = vec![1; 4 * S::N];
        let mut results = vec![0; S::N];
        s.vectorize(
            #[inline(always)]
            || {
                let mut sums = [[s.bias(&zeros); REGISTERS]; PIXELS];
                let pixels = [1, 2, 3, 4].map(
                    #[inline(always)]
                    |level| s.quad(black_box([level; 4])),
                );
                let weights = s.weights(&weights);
                for _ in 0..rounds {
                    // Opaque in each round, or the products would be made once for all.
                    let weights = black_box([weights; REGISTERS]);
                    for p in 0..PIXELS {
                        for r in 0..REGISTERS {
                            sums[p][r] = s.dot4(sums[p][r], pixels[p], weights[r]);
                        }
                    }
                }
                for sum in sums.as_flattened() {
                    s.requant(*sum, &ones, &mut results);
                    black_box(&results);
                }
            },
        );
        rounds * (PIXELS * REGISTERS * 4 * S::N) as u64
    }
}

/// Reads all numbers, with loads as wide as the compiler makes them for the level; gives their parity.
struct Reading<'n>(&'n [u64]);

impl Op for Reading<'_> {
    type Output = u64;

    fn run<S: Simd>(self, s: S) -> u64 {
        s.vectorize(
            #[inline(always)]
            || self.0.iter().fold(0, |parity, number| parity ^ number),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_multiplies_and_reads() {
        let numbers: Vec<u64> = (0..1000).collect();
        for level in Level::all_available() {
            let done = level.run(MultiplyAdds { rounds: 10 });
            assert_eq!(done, 10 * (PIXELS * REGISTERS * 4 * level.lanes()) as u64);
            let expected = numbers.iter().fold(0, |parity, number| parity ^ number);
            assert_eq!(level.run(Reading(&numbers)), expected);
        }
    }

    #[test]
    fn a_floor_is_work_over_rate() {
        let floors = Floors {
            macs_per_s: 2e9,
            bytes_per_s: 1e9,
        };
        let work = |macs, bytes| Work { macs, bytes }.floor_us(&floors);
        assert_eq!(work(0, 0), None);
        assert_eq!(work(2_000_000, 0), Some(1000.0));
        assert_eq!(work(2_000_000, 1_000_000), Some(2000.0));
    }
}
