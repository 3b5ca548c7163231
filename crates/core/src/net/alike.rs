//! Rows that are the same as the one before: where a panel fills only a part of the map, the rest of its rows are
//! empty, and a layer makes the same of each of them.

use core::ops::Range;

/// Rows of a map of activations that are known to be alike without a look at them: one run near its top and one near
/// its bottom, each of one row at least. Rows are counted with the frame of zeros, whose upper row is row 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alike {
    height: usize,
    runs: [Range<usize>; 2],
}

impl Alike {
    /// Of a map of so many rows, none.
    pub fn none(height: usize) -> Self {
        Alike {
            height,
            runs: [0..1, height..height + 1],
        }
    }

    /// The rows of zeros at the top and at the bottom of `map`, whose rows have `row` bytes. The frame is one of them.
    pub fn of_zeros(map: &[u8], row: usize) -> Self {
        let is_zero = |row: &&[u8]| row.iter().fold(0, |all, level| all | level) == 0;
        let rows = map.chunks_exact(row.max(1));
        let height = rows.len();
        let above = rows.clone().take_while(is_zero).count();
        let below = rows.rev().take_while(is_zero).count();
        // Where all are, they are above.
        let below = below.min(height - above);
        Alike {
            height,
            runs: [0..above + 1, height + 1 - below..height + 2],
        }
    }

    /// The rows that are alike in what a 3x3 convolution makes of this map, its windows `stride` pixels apart: those whose
    /// windows see rows of one run only.
    pub fn after(&self, stride: usize) -> Self {
        let mut after = Alike::none(self.height.div_ceil(stride));
        for (run, before) in after.runs.iter_mut().zip(&self.runs) {
            // The window of row y sees rows stride · y to stride · y + 2, both counted with the frame but y.
            let first = before.start.div_ceil(stride);
            if let Some(last) = before.end.checked_sub(3).map(|end| end / stride)
                && first <= last
            {
                *run = first + 1..last + 2;
            }
        }
        after
    }

    /// Rows, the frame not counted, that are copies of the row before.
    pub fn copies(&self) -> [Range<usize>; 2] {
        self.runs.clone().map(|run| run.start..run.end - 1)
    }

    /// All other rows.
    pub fn others(&self) -> [Range<usize>; 3] {
        let [above, below] = self.copies();
        [
            0..above.start,
            above.end..below.start,
            below.end..self.height,
        ]
    }

    /// How many others there are.
    pub fn rows(&self) -> u64 {
        self.others().iter().map(|rows| rows.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    /// What a layer makes of rows of one number each: other rows, other numbers.
    fn layer(rows: &[u64], stride: usize) -> Vec<u64> {
        let framed = |y: usize| y.checked_sub(1).and_then(|y| rows.get(y)).copied();
        let window = |y: usize| [0, 1, 2].map(|i| framed(stride * y + i).unwrap_or(0));
        let mix = |[a, b, c]: [u64; 3]| {
            let mixed = a.wrapping_mul(3).wrapping_add(b.wrapping_mul(5)) ^ c.wrapping_mul(7);
            mixed.wrapping_add(11).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        };
        (0..rows.len().div_ceil(stride))
            .map(|y| mix(window(y)))
            .collect()
    }

    #[test]
    fn rows_said_to_be_alike_are() {
        for height in 1..40 {
            for start in 0..=height {
                for end in start..=height {
                    let mut rows = vec![0; height];
                    (start..end).for_each(|y| rows[y] = 1 + y as u64);
                    let map: Vec<u8> = rows.iter().map(|&row| row as u8).collect();
                    let mut alike = Alike::of_zeros(&map, 1);
                    for stride in [2, 1, 2, 1, 1, 2] {
                        alike = alike.after(stride);
                        rows = layer(&rows, stride);
                        let mut all: Vec<usize> = alike.others().into_iter().flatten().collect();
                        for copies in alike.copies() {
                            for y in copies {
                                assert_eq!(
                                    rows[y],
                                    rows[y - 1],
                                    "{height} {start}..{end}, row {y}"
                                );
                                all.push(y);
                            }
                        }
                        all.sort_unstable();
                        assert_eq!(all, (0..rows.len()).collect::<Vec<_>>());
                    }
                }
            }
        }
    }

    #[test]
    fn half_a_map_is_half_the_work() {
        let mut map = vec![0; 224];
        map[60..163].fill(9);
        let mut alike = Alike::of_zeros(&map, 1);
        let rows = [2, 1, 2, 1, 2, 1, 2, 1].map(|stride| {
            alike = alike.after(stride);
            alike.rows()
        });
        assert_eq!(rows, [54, 58, 32, 36, 21, 25, 14, 14]);
    }
}
