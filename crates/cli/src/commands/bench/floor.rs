//! What this core cannot beat: its peak rate of multiply-adds, and its bandwidth from memory.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hitgate_kernels::pack::PANEL;
use hitgate_kernels::{Level, Op, Simd};

/// Both rates, measured.
#[derive(Clone, Copy, Debug)]
pub struct Floors {
    /// Multiply-adds of u7 by i8 a second, out of the first cache.
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
/// Tiles in a repetition: about a millisecond on a fast core.
const ROUNDS: u64 = 4_000;

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

/// Tiles of the pointwise convolution whose operands stay in the first cache; gives their multiply-adds.
struct MultiplyAdds {
    rounds: u64,
}

/// Quads of a pixel: so many that the ends of a tile cost next to nothing, so few that its weights stay in the
/// first cache.
const QUADS: usize = 128;

impl Op for MultiplyAdds {
    type Output = u64;

    fn run<S: Simd>(self, s: S) -> u64 {
        match S::SUMS {
            28.. => tiles::<S, 14>(s, self.rounds),
            _ => tiles::<S, 4>(s, self.rounds),
        }
    }
}

/// Tiles of `P` pixels by a panel of registers.
fn tiles<S: Simd, const P: usize>(s: S, rounds: u64) -> u64 {
    let pixels = vec![[[1; 4]; QUADS]; P];
    let weights = vec![1; PANEL * 4 * S::N * QUADS];
    let zeros = vec![0; S::N];
    let mut results = vec![0; S::N];
    s.vectorize(
        #[inline(always)]
        || {
            for _ in 0..rounds {
                // Opaque in each round, or the products would be made once for all.
                let (pixels, weights) = black_box((&pixels, &weights));
                let pixels: [&[[u8; 4]]; P] = std::array::from_fn(
                    #[inline(always)]
                    |p| &pixels[p][..],
                );
                let sums = s.tile(pixels, weights, [s.bias(&zeros); PANEL]);
                for sum in sums.as_flattened() {
                    s.store(*sum, &mut results);
                    black_box(&mut results);
                }
            }
        },
    );
    rounds * (P * PANEL * 4 * S::N * QUADS) as u64
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
            let macs = 10 * PANEL * 4 * level.lanes() * QUADS;
            assert!([4, 14].map(|pixels| pixels * macs as u64).contains(&done));
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
