//! The window's part of a panel, cut into tiles: so many columns that what is known of them stays in
//! the first cache while the rows of a block are read.

use core::ops::Range;

use hitgate_kernels::{Blocks, UNIT};

use super::Window;

/// Columns beside those of the blocks: two before, which keeps the even ones even, and one after.
const BESIDE: usize = 3;

/// How a window lies on a panel.
#[derive(Clone, Debug)]
pub(super) struct Tiles<'w> {
    pub window: &'w Window,
    /// The columns and the rows of the panel that are in the window.
    xs: Range<usize>,
    pub ys: Range<usize>,
    /// The blocks that have columns on the panel.
    blocks: Range<usize>,
    /// Blocks of a tile; a block that is wider than a tile is cut into pieces.
    per_tile: usize,
    pieces: usize,
    /// Columns of a tile, at most.
    most: usize,
}

/// Some columns of the window, for as many rows as a block has.
#[derive(Clone, Debug)]
pub(super) struct Tile {
    /// The blocks whose columns they are.
    pub us: Range<usize>,
    /// The columns to be read.
    pub xs: Range<usize>,
    /// The place of the first of them.
    pub start: usize,
    /// Where the blocks, or the piece of one, start and how wide they are.
    pub blocks: Blocks,
}

impl Tile {
    /// Columns, whole units of them.
    pub fn columns(&self) -> usize {
        let blocks = self.us.len() * self.blocks.block;
        (self.blocks.first + blocks + 1).next_multiple_of(UNIT)
    }
}

impl<'w> Tiles<'w> {
    /// Tiles of at most so many columns.
    pub fn new(window: &'w Window, panel: [u32; 2], most: usize) -> Self {
        // No frame has more, and whatever follows from fewer fits 32 bits.
        let [columns, rows] = panel.map(|side| side.min(u16::MAX.into()));
        let xs = window.on_panel(window.left, columns);
        let blocks = window.blocks_on_panel(window.left, columns);
        let block = window.block as usize;
        let most_blocks = ((most - BESIDE) / block.max(1)).max(1);
        // As many tiles as take the fewest units.
        let units = |per_tile: usize| {
            let tiles = blocks.len().div_ceil(per_tile);
            tiles * (per_tile * block.min(most) + BESIDE).div_ceil(UNIT)
        };
        let per_tile = (1..=most_blocks)
            .rev()
            .min_by_key(|&n| units(n))
            .unwrap_or(1);
        Tiles {
            window,
            ys: window.on_panel(window.top, rows),
            blocks,
            per_tile,
            pieces: block.min(xs.len()).div_ceil(most - BESIDE).max(1),
            xs,
            most,
        }
    }

    /// Number of tiles side by side.
    pub fn len(&self) -> usize {
        self.blocks.len().div_ceil(self.per_tile) * self.pieces
    }

    /// Columns of the widest tile.
    pub fn widest(&self) -> usize {
        let blocks = self.per_tile.min(self.blocks.len().max(1)) * self.window.block as usize;
        (blocks.min(self.most - BESIDE) + BESIDE).next_multiple_of(UNIT)
    }

    /// Tile number `t`, from the left.
    pub fn tile(&self, t: usize) -> Tile {
        let first = self.blocks.start + t / self.pieces * self.per_tile;
        let us = first..(first + self.per_tile).min(self.blocks.end);
        let width = i64::from(self.window.block);
        let panel = [self.xs.start as i64, self.xs.end as i64];
        let mut from = i64::from(self.window.left) + first as i64 * width;
        let mut to = from + us.len() as i64 * width;
        let widest = (self.most - BESIDE) as i64;
        if width > widest {
            [from, to] = [from, to].map(|x| x.clamp(panel[0], panel[1]));
            from = to.min(from + (t % self.pieces) as i64 * widest);
            to = to.min(from + widest);
        }
        let before = if from > panel[0] { 2 } else { 0 };
        let place = from - before;
        // Whole units, as far as the panel goes; a piece that is off the panel has nothing to read.
        let start = place.clamp(panel[0], panel[1]);
        let columns = ((to + 1 - start).max(0) as usize).next_multiple_of(UNIT);
        let end = match to > from {
            true => (start + columns as i64).min(panel[1]),
            false => start,
        };
        Tile {
            xs: start as usize..end as usize,
            start: (start - place) as usize,
            blocks: Blocks {
                first: before as usize,
                block: (to - from) as usize / us.len().max(1),
            },
            us,
        }
    }

    /// Of each row of blocks its number and its rows on the panel.
    pub fn block_rows(&self) -> impl Iterator<Item = (usize, Range<usize>)> {
        self.window.blocks(self.window.top, self.ys.end as u32)
    }

    /// What is read after `ys` of tile `t`: the same rows of the tile beside it, or those of the first tile
    /// in the blocks below.
    pub fn after(&self, t: usize, ys: Range<usize>) -> (Range<usize>, Range<usize>) {
        // Where a block is higher than the panel there is nothing below.
        let below = (self.window.block as usize).min(self.ys.len());
        match t + 1 < self.len() {
            true => (ys, self.tile(t + 1).xs),
            false => (ys.start + below..ys.end + below, self.tile(0).xs),
        }
    }
}
