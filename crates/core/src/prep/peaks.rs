//! A block of pixels → two cells: its largest count and its largest sum of 3 × 3 counts.
//!
//! A Bragg spot covers a few pixels, a hot pixel or a particle's hit only one: the count alone does
//! not tell them apart, the sum beside it does, and shows the weak spot that no single pixel of it
//! would.

use super::{INVALID, LARGEST_CELL, Window};

/// Rows of the window that are held at a time.
const ROWS: usize = 6;

/// Words of memory that [`reduce`] works in.
pub(super) fn words(window: &Window, columns: u32) -> usize {
    ROWS * (window.on_panel(window.left, columns).len() + 2)
}

/// Reduces each block of the window to its cells of `counts` and of `sums`. `count` tells the count
/// of pixel `i` of the frame, and excludes it with `None`; it is asked once for each pixel.
///
/// Counts above 65535 are cut to it. An excluded pixel adds nothing to a sum, and neither does one
/// outside the window; a block without a valid pixel is invalid in both.
pub(super) fn reduce(
    window: &Window,
    [columns, rows]: [u32; 2],
    [counts, sums]: [&mut [u32]; 2],
    words: &mut [u32],
    count: impl Fn(usize) -> Option<u32>,
) {
    counts.fill(INVALID);
    sums.fill(INVALID);
    let xs = window.on_panel(window.left, columns);
    let ys = window.on_panel(window.top, rows);
    let words = &mut words[..ROWS * (xs.len() + 2)];
    words.fill(0);
    let mut parts = words.chunks_exact_mut(xs.len() + 2);
    let mut part = || parts.next().unwrap_or_default();
    // One more than the counts of a row, 0 where a pixel is excluded; the largest of a block so far.
    let (line, largest_count) = (part(), part());
    // Sums of three neighbours along a row: of the rows above, at and below the middle one.
    let (mut above, mut middle, mut below, largest_sum) = (part(), part(), part(), part());
    for y in ys.start..=ys.end {
        if y < ys.end {
            let first = y * columns as usize + xs.start;
            for (i, word) in line[1..=xs.len()].iter_mut().enumerate() {
                *word = count(first + i).map_or(0, |count| count.min(LARGEST_CELL) + 1);
            }
            sum_threes(line, below);
        } else {
            below.fill(0);
        }
        if y > ys.start {
            for (largest, ((a, m), b)) in largest_sum
                .iter_mut()
                .zip(above.iter().zip(&*middle).zip(&*below))
            {
                *largest = (*largest).max(a + m + b);
            }
            let done = (y as i64 - i64::from(window.top)) as u64;
            if y == ys.end || done.is_multiple_of(u64::from(window.block)) {
                let v = ((done - 1) / u64::from(window.block)) as usize;
                let row = v * window.input as usize;
                for (u, block) in window.blocks(window.left, columns) {
                    if !window.sees(u, v) {
                        continue;
                    }
                    let at = block.start + 1 - xs.start..block.end + 1 - xs.start;
                    let largest = |of: &[u32]| of[at.clone()].iter().copied().fold(0, u32::max);
                    if let Some(count) = largest(largest_count).checked_sub(1) {
                        counts[row + u] = count;
                        sums[row + u] = largest(largest_sum);
                    }
                }
                largest_count.fill(0);
                largest_sum.fill(0);
            }
        }
        if y < ys.end {
            for (largest, &word) in largest_count.iter_mut().zip(&*line) {
                *largest = (*largest).max(word);
            }
        }
        (above, middle, below) = (middle, below, above);
    }
}

/// Sums of each pixel with its neighbours along the row; the words are one more than the counts.
fn sum_threes(line: &[u32], sums: &mut [u32]) {
    let len = line.len();
    for (i, sum) in sums[1..len - 1].iter_mut().enumerate() {
        let count = |at: usize| line[at].saturating_sub(1);
        *sum = count(i) + count(i + 1) + count(i + 2);
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
        let counts = cells(&|x, y| pixel(x, y));
        let sums = cells(&|x, y| {
            let near = (-1..=1).flat_map(|v| (-1..=1).map(move |u| (x + u, y + v)));
            Some(near.filter_map(|(x, y)| pixel(x, y)).sum())
        });
        let sums = sums.iter().zip(&counts).map(|(sum, count)| count.and(*sum));
        [
            counts.iter().map(|c| c.unwrap_or(INVALID)).collect(),
            sums.map(|c| c.unwrap_or(INVALID)).collect(),
        ]
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
            let (mut counts, mut sums) = (vec![7; cells], vec![7; cells]);
            let mut memory = vec![9; words(&window, columns)];
            let shape = [columns, rows];
            reduce(&window, shape, [&mut counts, &mut sums], &mut memory, |i| {
                pixels[i]
            });
            assert_eq!(
                [counts, sums],
                by_definition(&window, shape, |i| pixels[i]),
                "{window:?}"
            );
        }
    }
}
