//! A block of pixels → two cells: its largest sum of 3 × 3 counts, and the largest that is left of
//! such a sum without the largest of the nine.
//!
//! A Bragg spot covers a few pixels: the sum shows the weak one that no single pixel of it would.
//! A hot pixel or a particle's hit covers one, and however bright it is, nothing is left without it.

use super::{INVALID, LARGEST_CELL, Window};

/// Rows of the window that are held at a time.
const ROWS: usize = 10;

/// Words of memory that [`reduce`] works in.
pub(super) fn words(window: &Window, columns: u32) -> usize {
    ROWS * (window.on_panel(window.left, columns).len() + 2)
}

/// Reduces each block of the window to its cells of `sums` and of `rests`. `count` tells the count
/// of pixel `i` of the frame, and excludes it with `None`; it is asked once for each pixel.
///
/// Counts above 65535 are cut to it. An excluded pixel adds nothing to a sum, and neither does one
/// outside the window; a block without a valid pixel is invalid in both, and so is one that the
/// window does not see.
pub(super) fn reduce(
    window: &Window,
    [columns, rows]: [u32; 2],
    [sums, rests]: [&mut [u32]; 2],
    words: &mut [u32],
    count: impl Fn(usize) -> Option<u32>,
) {
    sums.fill(INVALID);
    rests.fill(INVALID);
    let xs = window.on_panel(window.left, columns);
    let ys = window.on_panel(window.top, rows);
    let words = &mut words[..ROWS * (xs.len() + 2)];
    words.fill(0);
    let mut parts = words.chunks_exact_mut(xs.len() + 2);
    let mut part = || parts.next().unwrap_or_default();
    // One more than the counts of a row, 0 where a pixel is excluded; the largest of a block so far.
    let (line, largest_word) = (part(), part());
    // Of three neighbours along a row: above, at and below the middle one.
    let [mut above, mut middle, mut below] = [(); 3].map(|()| Threes {
        sums: part(),
        largest: part(),
    });
    let (largest_sum, largest_rest) = (part(), part());
    for y in ys.start..=ys.end {
        if y < ys.end {
            let first = y * columns as usize + xs.start;
            for (i, word) in line[1..=xs.len()].iter_mut().enumerate() {
                *word = count(first + i).map_or(0, |count| count.min(LARGEST_CELL) + 1);
            }
            below.take(line);
        } else {
            below.sums.fill(0);
            below.largest.fill(0);
        }
        if y > ys.start {
            for i in 1..=xs.len() {
                let sum = above.sums[i] + middle.sums[i] + below.sums[i];
                let largest = above.largest[i]
                    .max(middle.largest[i])
                    .max(below.largest[i]);
                largest_sum[i] = largest_sum[i].max(sum);
                largest_rest[i] = largest_rest[i].max(sum - largest);
            }
            let done = (y as i64 - i64::from(window.top)) as u64;
            if y == ys.end || done.is_multiple_of(u64::from(window.block)) {
                let v = ((done - 1) / u64::from(window.block)) as usize;
                let row = v * window.input as usize;
                for (u, block) in window.blocks(window.left, columns) {
                    let at = block.start + 1 - xs.start..block.end + 1 - xs.start;
                    let largest = |of: &[u32]| of[at.clone()].iter().copied().fold(0, u32::max);
                    if window.sees(u, v) && largest(largest_word) > 0 {
                        sums[row + u] = largest(largest_sum);
                        rests[row + u] = largest(largest_rest);
                    }
                }
                largest_word.fill(0);
                largest_sum.fill(0);
                largest_rest.fill(0);
            }
        }
        if y < ys.end {
            for (largest, &word) in largest_word.iter_mut().zip(&*line) {
                *largest = (*largest).max(word);
            }
        }
        (above, middle, below) = (middle, below, above);
    }
}

/// Of each pixel of a row with its neighbours along it: the sum of counts, and the largest.
struct Threes<'m> {
    sums: &'m mut [u32],
    largest: &'m mut [u32],
}

impl Threes<'_> {
    /// From words that are one more than the counts.
    fn take(&mut self, line: &[u32]) {
        let len = line.len();
        for i in 1..len - 1 {
            let [a, b, c] = [line[i - 1], line[i], line[i + 1]].map(|word| word.saturating_sub(1));
            self.sums[i] = a + b + c;
            self.largest[i] = a.max(b).max(c);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    /// The definition in plain loops.
    fn by_definition(
        window: &Window,
        [columns, rows]: [u32; 2],
        count: impl Fn(usize) -> Option<u32>,
    ) -> [Vec<u32>; 2] {
        let inside = |at: i64, first: i32, len: u32| {
            let on_window =
                at >= i64::from(first) && at < i64::from(first) + i64::from(window.side());
            on_window && at >= 0 && at < i64::from(len)
        };
        let pixel = |x: i64, y: i64| {
            (inside(x, window.left, columns) && inside(y, window.top, rows))
                .then(|| count((y * i64::from(columns) + x) as usize).map(|c| c.min(65535)))
                .flatten()
        };
        let n = i64::from(window.input);
        let k = i64::from(window.block);
        let radius = 2 * i128::from(window.radius);
        let near = |u: i64, v: i64| {
            let [du, dv] = [u, v].map(|at| i128::from((2 * at + 1 - n) * k));
            window.radius == Window::EVERYWHERE || du * du + dv * dv <= radius * radius
        };
        let cells = |f: &dyn Fn(i64, i64) -> Option<u32>| -> Vec<Option<u32>> {
            (0..n * n)
                .map(|i| {
                    let (u, v) = (i % n, i / n);
                    if !near(u, v) {
                        return None;
                    }
                    (0..k * k)
                        .filter_map(|j| {
                            let x = i64::from(window.left) + u * k + j % k;
                            let y = i64::from(window.top) + v * k + j / k;
                            let on = inside(x, window.left, columns) && inside(y, window.top, rows);
                            on.then(|| f(x, y)).flatten()
                        })
                        .max()
                })
                .collect()
        };
        let nine = |x: i64, y: i64| -> Vec<u32> {
            let near = (-1..=1).flat_map(|v| (-1..=1).map(move |u| (x + u, y + v)));
            near.filter_map(|(x, y)| pixel(x, y)).collect()
        };
        let sum = |x, y| nine(x, y).iter().sum::<u32>();
        let largest = |x, y| nine(x, y).into_iter().max().unwrap_or(0);
        let measured = cells(&|x, y| pixel(x, y));
        [
            cells(&|x, y| Some(sum(x, y))),
            cells(&|x, y| Some(sum(x, y) - largest(x, y))),
        ]
        .map(|of| {
            let valid = of.iter().zip(&measured);
            valid.map(|(of, m)| m.and(*of).unwrap_or(INVALID)).collect()
        })
    }

    #[test]
    fn it_is_its_definition() {
        for (left, top, block, input, columns, rows, radius) in [
            (0, 0, 1, 1, 1, 1, Window::EVERYWHERE),
            (0, 0, 2, 3, 6, 6, Window::EVERYWHERE),
            (0, 0, 2, 3, 6, 6, 2),
            (-3, -2, 3, 4, 8, 7, 5),
            (2, 3, 2, 2, 9, 9, Window::EVERYWHERE),
            (-50, 0, 4, 4, 9, 9, Window::EVERYWHERE),
            (5, 1, 7, 3, 11, 23, 7),
            (0, 100, 2, 2, 4, 4, 4),
        ] {
            let window = Window {
                left,
                top,
                block,
                input,
                radius,
            };
            let pixels: Vec<Option<u32>> = (0..columns * rows)
                .map(|i: u32| match i.wrapping_mul(2_654_435_761) >> 24 {
                    0..=15 => None,
                    16..=19 => Some(1_000_000),
                    n => Some(n % 9),
                })
                .collect();
            let cells = (input * input) as usize;
            let (mut sums, mut rests) = (vec![7; cells], vec![7; cells]);
            let mut memory = vec![9; words(&window, columns)];
            let shape = [columns, rows];
            reduce(&window, shape, [&mut sums, &mut rests], &mut memory, |i| {
                pixels[i]
            });
            assert_eq!(
                [sums, rests],
                by_definition(&window, shape, |i| pixels[i]),
                "{window:?}"
            );
        }
    }
}
