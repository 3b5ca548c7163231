//! A block of pixels → one cell: its largest count, or its mean.

use super::{INVALID, LARGEST_CELL, Window};

/// What becomes of the pixels of a block.
pub(super) trait Cell: Default {
    fn add(&mut self, count: u32);
    /// At most [`LARGEST_CELL`], or [`INVALID`].
    fn value(&self) -> u32;
}

/// Reduces each block of the window to its cell. `count` tells the count of pixel `i` of the frame,
/// and excludes it with `None`.
pub(super) fn reduce<C: Cell>(
    window: &Window,
    [columns, rows]: [u32; 2],
    cells: &mut [u32],
    count: impl Fn(usize) -> Option<u32>,
) {
    cells.fill(INVALID);
    for (v, ys) in window.blocks(window.top, rows) {
        for (u, xs) in window.blocks(window.left, columns) {
            if !window.sees(u, v) {
                continue;
            }
            let mut cell = C::default();
            for y in ys.clone() {
                let first = y * columns as usize;
                for x in xs.clone() {
                    if let Some(count) = count(first + x) {
                        cell.add(count);
                    }
                }
            }
            cells[v * window.input as usize + u] = cell.value();
        }
    }
}

#[derive(Default)]
pub(super) struct Maximum {
    largest: u32,
    any: bool,
}

impl Cell for Maximum {
    #[inline(always)]
    fn add(&mut self, count: u32) {
        self.largest = self.largest.max(count);
        self.any = true;
    }

    fn value(&self) -> u32 {
        match self.any {
            true => self.largest.min(LARGEST_CELL),
            false => INVALID,
        }
    }
}

#[derive(Default)]
pub(super) struct Mean {
    sum: u64,
    n: u64,
}

impl Cell for Mean {
    #[inline(always)]
    fn add(&mut self, count: u32) {
        self.sum += u64::from(count);
        self.n += 1;
    }

    fn value(&self) -> u32 {
        match (16 * self.sum + self.n / 2).checked_div(self.n) {
            Some(mean) => mean.min(u64::from(LARGEST_CELL)) as u32,
            None => INVALID,
        }
    }
}
