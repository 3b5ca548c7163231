//! What maps looked like in training, and whether another one looks like them.

use hitgate_kernels::{Level, Op, Simd};

/// The lowest and the highest value seen in training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The lowest.
    pub low: f32,
    /// The highest.
    pub high: f32,
}

impl Range {
    /// Whether training saw values like this.
    pub fn contains(&self, value: f32) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// What maps looked like in training: an input outside of it is one that the model never learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Fraction of cells with at least one valid pixel.
    pub valid: Range,
    /// Mean level of the map, 0 to 127.
    pub mean: Range,
    /// Fraction of cells at level 0.
    pub zero: Range,
}

impl Statistics {
    /// Whether training saw maps like this one, with this fraction of valid cells.
    pub fn contain(&self, level: Level, valid: f32, map: &[u8]) -> bool {
        let levels = self.contain_levels(level, map);
        self.valid.contains(valid) && levels
    }

    /// The same as far as the map alone tells, where nobody knows which cells are valid.
    pub fn contain_levels(&self, level: Level, map: &[u8]) -> bool {
        let (sum, zeros) = level.run(Totals(map));
        self.contain_totals(sum, zeros, map.len())
    }

    /// [`contain_levels`](Self::contain_levels), of a map of so many `bytes` whose levels add up to `sum`, and of which so
    /// many are 0.
    pub fn contain_totals(&self, sum: u64, zeros: u64, bytes: usize) -> bool {
        let bytes = bytes.max(1) as f32;
        self.mean.contains(sum as f32 / bytes) && self.zero.contains(zeros as f32 / bytes)
    }
}

/// Sum of a map's levels, and how many are 0.
struct Totals<'m>(&'m [u8]);

impl Op for Totals<'_> {
    type Output = (u64, u64);

    fn run<S: Simd>(self, s: S) -> Self::Output {
        s.vectorize(
            #[inline(always)]
            || {
                let (mut sum, mut zeros) = (0, 0);
                // Few enough at a time for sums of 32 bits.
                for levels in self.0.chunks(1 << 16) {
                    let (mut in_chunk, mut zeros_in_chunk) = (0u32, 0u32);
                    for &level in levels {
                        in_chunk += u32::from(level);
                        zeros_in_chunk += u32::from(level == 0);
                    }
                    sum += u64::from(in_chunk);
                    zeros += u64::from(zeros_in_chunk);
                }
                (sum, zeros)
            },
        )
    }
}
