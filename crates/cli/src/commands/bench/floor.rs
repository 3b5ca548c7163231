//! What this core cannot beat: its peak rate of multiply-adds, and its bandwidth from memory.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use hitgate_kernels::pack::PANEL;
use hitgate_kernels::{Level, Op, Simd};

/// A rate that was measured often, a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// A neighbour on a shared machine slows it now and then, and nobody makes it too high.
    pub highest: f64,
    /// The clock wanders while frames are timed: what their median is compared with.
    pub median: f64,
}

/// What this core reached at most, and mostly.
#[derive(Clone, Copy, Debug)]
pub struct Floors {
    /// Multiply-adds of u7 by i8, out of the first cache.
    pub macs: Rate,
    /// Bytes that one core reads from memory.
    pub bytes: Rate,
}

/// What a stage has to do at least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiply-adds.
    pub macs: u64,
    /// Bytes to read from memory.
    pub bytes: u64,
}

/// How long work takes at least, in µs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// At the highest rates.
    pub least: f64,
    /// At the median rates.
    pub median: f64,
}

impl Work {
    /// Its floor; `None` where nothing is known that it has to do.
    pub fn floor(self, floors: &Floors) -> Option<Floor> {
        let us = |macs_per_s: f64, bytes_per_s: f64| {
            1e6 * (self.macs as f64 / macs_per_s + self.bytes as f64 / bytes_per_s)
        };
        (self != Work::default()).then(|| Floor {
            least: us(floors.macs.highest, floors.bytes.highest),
            median: us(floors.macs.median, floors.bytes.median),
        })
    }
}

/// Tiles that are multiplied at a time: a third of a millisecond on a fast core.
const TILES: u64 = 500;
/// Frames between two looks at the rate of multiply-adds.
const FRAMES_BETWEEN: u64 = 16;
/// Looks before the frames and after them.
const LOOKS: usize = 24;
/// Passes over memory before the frames and after them.
const PASSES: usize = 6;

/// Measures what the core can do, before, between and after the frames that are timed.
pub struct Meter {
    level: Level,
    /// More than the caches hold.
    bytes: usize,
    macs_per_s: Mutex<Vec<f64>>,
    bytes_per_s: Mutex<Vec<f64>>,
}

impl Meter {
    /// A meter for a level, on a machine whose caches hold less than `bytes` bytes.
    pub fn new(level: Level, bytes: usize) -> Self {
        Meter {
            level,
            bytes,
            macs_per_s: Mutex::default(),
            bytes_per_s: Mutex::default(),
        }
    }

    /// Measures both rates, on this core; calls `start` before it reads from memory.
    pub fn measure(&self, start: &dyn Fn()) {
        for _ in 0..LOOKS {
            self.multiply();
        }
        // Pages that were never written are all the same one, which stays in the cache.
        let numbers: Vec<u64> = (0..self.bytes as u64 / 8).collect();
        start();
        for _ in 0..PASSES {
            note(&self.bytes_per_s, || {
                black_box(self.level.run(Reading(black_box(&numbers))));
                size_of_val(numbers.as_slice()) as u64
            });
        }
    }

    /// Looks at the rate of multiply-adds after frame `number`, now and then.
    pub fn after(&self, number: u64) {
        if number.is_multiple_of(FRAMES_BETWEEN) {
            self.multiply();
        }
    }

    /// What was found so far, which is something.
    pub fn floors(&self) -> Floors {
        Floors {
            macs: rate(&self.macs_per_s),
            bytes: rate(&self.bytes_per_s),
        }
    }

    fn multiply(&self) {
        note(&self.macs_per_s, || {
            self.level.run(MultiplyAdds { tiles: TILES })
        });
    }
}

/// Notes the rate at which `work` does what it says that it did.
fn note(rates: &Mutex<Vec<f64>>, work: impl FnOnce() -> u64) {
    let start = Instant::now();
    let done = work();
    let seconds = start.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
    let mut rates = rates
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    rates.push(done as f64 / seconds);
}

fn rate(rates: &Mutex<Vec<f64>>) -> Rate {
    let mut rates = rates
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
        .clone();
    rates.sort_by(f64::total_cmp);
    Rate {
        highest: rates.last().copied().unwrap_or(f64::NAN),
        median: rates.get(rates.len() / 2).copied().unwrap_or(f64::NAN),
    }
}

/// Tiles of the pointwise convolution whose operands stay in the first cache; gives their multiply-adds.
struct MultiplyAdds {
    tiles: u64,
}

/// Quads of a pixel: so many that the ends of a tile cost next to nothing, so few that its weights stay in the
/// first cache.
const QUADS: usize = 128;

impl Op for MultiplyAdds {
    type Output = u64;

    fn run<S: Simd>(self, s: S) -> u64 {
        match S::SUMS {
            28.. => tiles::<S, 14>(s, self.tiles),
            _ => tiles::<S, 4>(s, self.tiles),
        }
    }
}

/// `n` tiles of `P` pixels by a panel of registers.
fn tiles<S: Simd, const P: usize>(s: S, n: u64) -> u64 {
    let pixels = vec![[[1; 4]; QUADS]; P];
    let weights = vec![1; PANEL * 4 * S::N * QUADS];
    let zeros = vec![0; S::N];
    let mut results = vec![0; S::N];
    s.vectorize(
        #[inline(always)]
        || {
            for _ in 0..n {
                // Opaque for each tile, or the products would be made once for all.
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
    n * (P * PANEL * 4 * S::N * QUADS) as u64
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
            let done = level.run(MultiplyAdds { tiles: 10 });
            let macs = 10 * PANEL * 4 * level.lanes() * QUADS;
            assert!([4, 14].map(|pixels| pixels * macs as u64).contains(&done));
            let expected = numbers.iter().fold(0, |parity, number| parity ^ number);
            assert_eq!(level.run(Reading(&numbers)), expected);
        }
    }

    #[test]
    fn a_floor_is_work_over_rate() {
        let rate = |highest| Rate {
            highest,
            median: highest / 2.0,
        };
        let floors = Floors {
            macs: rate(2e9),
            bytes: rate(1e9),
        };
        let work = |macs, bytes| Work { macs, bytes }.floor(&floors);
        let floor = |least| {
            Some(Floor {
                least,
                median: 2.0 * least,
            })
        };
        assert_eq!(work(0, 0), None);
        assert_eq!(work(2_000_000, 0), floor(1000.0));
        assert_eq!(work(2_000_000, 1_000_000), floor(2000.0));
    }

    #[test]
    fn a_meter_looks_between_frames() {
        let meter = Meter::new(Level::all_available().next().unwrap(), 1 << 16);
        (0..2 * FRAMES_BETWEEN).for_each(|frame| meter.after(frame));
        assert_eq!(meter.macs_per_s.lock().unwrap().len(), 2);
        meter.measure(&|| ());
        let floors = meter.floors();
        for rate in [floors.macs, floors.bytes] {
            assert!(0.0 < rate.median && rate.median <= rate.highest);
        }
    }
}
