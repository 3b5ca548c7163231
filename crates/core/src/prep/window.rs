//! Which pixels the network sees.

use core::ops::Range;

/// The square of pixels that the network sees: `input` blocks a side, `block` pixels each.
/// It may reach over the panel's edge; what is off the panel is excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// First column.
    pub left: i32,
    /// First row.
    pub top: i32,
    /// Pixels along the side of a block.
    pub block: u32,
    /// Blocks along the side of the window, which is the network's input.
    pub input: u32,
    /// Pixels from the window's centre within which a block's centre has to lie to be seen;
    /// [`Window::EVERYWHERE`] sees the corners too.
    pub radius: u32,
}

impl Window {
    /// No block is too far from the centre.
    pub const EVERYWHERE: u32 = u32::MAX;

    /// The smallest window about pixel `(x, y)` that holds `side` pixels each way. Empty for an
    /// input of 0; sides and corners beyond their types stop at the end.
    pub const fn around(x: i32, y: i32, side: u32, input: u32) -> Self {
        let block = match (side, input) {
            (0, _) | (_, 0) => 1,
            _ => side.div_ceil(input),
        };
        let half = block as i64 * input as i64 / 2;
        Window {
            left: corner(x, half),
            top: corner(y, half),
            block,
            input,
            radius: Window::EVERYWHERE,
        }
    }

    /// The smallest window that holds the disc of this radius, in pixels, about pixel `(x, y)`, and
    /// sees nothing else.
    pub const fn disc(x: i32, y: i32, radius: u32, input: u32) -> Self {
        let side = radius.saturating_mul(2).saturating_add(1);
        Window {
            radius,
            ..Window::around(x, y, side, input)
        }
    }

    /// The window about the centre of a panel that holds all of it.
    pub const fn whole(columns: u32, rows: u32, input: u32) -> Self {
        let side = if columns > rows { columns } else { rows };
        Window::around((columns / 2) as i32, (rows / 2) as i32, side, input)
    }

    /// Pixels along the side.
    pub const fn side(&self) -> u32 {
        self.block.saturating_mul(self.input)
    }

    /// Pixels of a panel of `columns × rows` that the window sees.
    pub fn pixels(&self, columns: u32, rows: u32) -> u64 {
        let seen = |v| {
            let blocks = self.blocks(self.left, columns);
            let lengths = blocks.filter_map(move |(u, xs)| self.sees(u, v).then_some(xs.len()));
            lengths.sum::<usize>() as u64
        };
        let blocks = self.blocks(self.top, rows);
        blocks.map(|(v, ys)| ys.len() as u64 * seen(v)).sum()
    }

    /// Pixels of such a panel that a preparation reads: those of the whole square.
    pub fn pixels_read(&self, columns: u32, rows: u32) -> u64 {
        let [across, down] = [
            self.on_panel(self.left, columns),
            self.on_panel(self.top, rows),
        ];
        across.len() as u64 * down.len() as u64
    }

    /// Which bytes of a frame of `columns × rows` pixels of `size` bytes hold one of those that a preparation reads.
    pub(super) fn reads(
        &self,
        columns: u32,
        rows: u32,
        size: usize,
    ) -> impl Fn(Range<usize>) -> bool + use<> {
        let xs = self.on_panel(self.left, columns);
        let ys = self.on_panel(self.top, rows);
        let pitch = (columns as usize).max(1) * size;
        let [left, right] = [xs.start, xs.end].map(|x| x * size);
        move |bytes| {
            // The first row whose pixels in the window do not end before these bytes.
            let row = match bytes.start.checked_sub(right) {
                Some(beyond) => beyond / pitch + 1,
                None => 0,
            };
            let row = row.max(ys.start);
            left < right && row < ys.end && row * pitch + left < bytes.end
        }
    }

    /// Whether the block in column `u` and row `v` of the window is near enough to its centre.
    pub(super) fn sees(&self, u: usize, v: usize) -> bool {
        // In half pixels from the window's centre.
        let from_centre = |at: usize| {
            let blocks = (2 * at as u64 + 1).abs_diff(u64::from(self.input));
            blocks.saturating_mul(u64::from(self.block))
        };
        let square = |length: u64| u128::from(length) * u128::from(length);
        self.radius == Window::EVERYWHERE
            || square(from_centre(u)) + square(from_centre(v)) <= square(2 * u64::from(self.radius))
    }

    /// The blocks of row `v` of the window that it sees.
    pub fn seen(&self, v: usize) -> Range<usize> {
        let input = self.input as usize;
        // Nearer and nearer to the centre, up to the middle.
        let (mut out, mut half) = (0, input.div_ceil(2));
        while out < half {
            let middle = (out + half) / 2;
            match self.sees(middle, v) {
                true => half = middle,
                false => out = middle + 1,
            }
        }
        match out < input.div_ceil(2) {
            true => out..input - out,
            false => 0..0,
        }
    }

    /// The part of the window along an axis, from `first` on, that lies on a panel of `len` pixels.
    pub fn on_panel(&self, first: i32, len: u32) -> Range<usize> {
        let side = u64::from(self.block) * u64::from(self.input);
        let end = i64::from(first).saturating_add_unsigned(side);
        let [start, end] = [i64::from(first), end].map(|at| at.clamp(0, i64::from(len)) as usize);
        start..end
    }

    /// The numbers of the blocks along an axis, from `first` on, that have pixels on a panel of `len`.
    pub(super) fn blocks_on_panel(&self, first: i32, len: u32) -> Range<usize> {
        let pixels = self.on_panel(first, len);
        let block_of = |x: usize| ((x as i64 - i64::from(first)) / i64::from(self.block)) as usize;
        match pixels.is_empty() {
            true => 0..0,
            false => block_of(pixels.start)..block_of(pixels.end - 1) + 1,
        }
    }

    /// These blocks, each with the pixels that it covers there.
    pub(super) fn blocks(
        &self,
        first: i32,
        len: u32,
    ) -> impl Iterator<Item = (usize, Range<usize>)> {
        let block = i64::from(self.block);
        self.blocks_on_panel(first, len).map(move |i| {
            let start = i64::from(first) + i as i64 * block;
            let [start, end] = [start, start + block].map(|at| at.clamp(0, len.into()) as usize);
            (i, start..end)
        })
    }
}

const fn corner(centre: i32, half: i64) -> i32 {
    let corner = centre as i64 - half;
    if corner < i32::MIN as i64 {
        i32::MIN
    } else {
        corner as i32
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_whole_panel_is_covered() {
        for (columns, rows) in [(1024, 512), (2070, 2167), (1, 1), (224, 224), (225, 3)] {
            let w = Window::whole(columns, rows, 224);
            let (end_x, end_y) = (w.left + w.side() as i32, w.top + w.side() as i32);
            assert!(w.left <= 0 && w.top <= 0 && end_x >= columns as i32 && end_y >= rows as i32);
            assert!(w.block == 1 || (w.block - 1) * 224 < columns.max(rows));
        }
    }

    #[test]
    fn a_disc_is_seen_without_the_corners() {
        let disc = Window::disc(100, 100, 20, 8);
        assert_eq!((disc.block, disc.left), (6, 76));
        let row = |v| {
            (0..8)
                .map(|u| disc.sees(u, v))
                .collect::<std::vec::Vec<_>>()
        };
        // Block centres are 3, 9, 15 and 21 pixels from the centre along an axis.
        assert_eq!(row(0), [false; 8]);
        assert_eq!(row(1), [false, false, true, true, true, true, false, false]);
        assert_eq!(row(3), [false, true, true, true, true, true, true, false]);
        // Rows of 0, 4, 6, 6, 6, 6, 4 and 0 blocks; of a panel that ends in the middle, half of them.
        assert_eq!(disc.pixels(200, 200), 32 * 36);
        assert_eq!(disc.pixels(100, 200), 16 * 36);
        assert_eq!(disc.pixels_read(200, 200), 48 * 48);
        assert_eq!(disc.pixels_read(100, 200), 24 * 48);
        let whole = Window::whole(48, 48, 8);
        assert!(whole.sees(0, 0) && whole.sees(7, 7));
        assert_eq!(Window::whole(1030, 514, 224).pixels(1030, 514), 1030 * 514);
        assert!(!Window::disc(0, 0, 7, u32::MAX).sees(0, u32::MAX as usize));
    }

    #[test]
    fn bytes_that_are_read_hold_a_pixel_of_the_window() {
        let (columns, rows, size) = (11, 7, 2);
        for (left, top, block, input) in [
            (3, 2, 2, 2),
            (-5, -3, 3, 3),
            (0, 0, 11, 1),
            (9, 6, 1, 9),
            (-20, 0, 4, 5),
            (0, 7, 1, 1),
            (4, 4, 1, 0),
        ] {
            let window = Window {
                left,
                top,
                block,
                input,
                radius: Window::EVERYWHERE,
            };
            let xs = window.on_panel(left, columns);
            let ys = window.on_panel(top, rows);
            let reads = window.reads(columns, rows, size);
            let bytes = columns as usize * rows as usize * size;
            for start in 0..bytes {
                for end in start + 1..=bytes {
                    let mut pixels = (start..end).map(|byte| byte / size);
                    let read = pixels.any(|pixel| {
                        let (x, y) = (pixel % columns as usize, pixel / columns as usize);
                        xs.contains(&x) && ys.contains(&y)
                    });
                    assert_eq!(reads(start..end), read, "{window:?} {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn blocks_on_a_panel_are_those_with_pixels_there() {
        let edges = [0, 1, 2, 3, 7, 8, 100, u32::MAX - 1, u32::MAX];
        for (first, len) in [i32::MIN, -101, -9, -8, -1, 0, 1, 6, 7, 99, i32::MAX]
            .into_iter()
            .flat_map(|first| edges.map(|len| (first, len)))
        {
            for (block, input) in edges
                .into_iter()
                .flat_map(|block| [0, 1, 2, 9, 200].map(|input| (block, input)))
            {
                let window = Window {
                    left: first,
                    top: first,
                    block,
                    input,
                    radius: Window::EVERYWHERE,
                };
                let place = |i: u32| {
                    let start = i64::from(first) + i64::from(i) * i64::from(block);
                    let end = (start + i64::from(block)).min(len.into());
                    (start.max(0) < end).then(|| (i as usize, start.max(0) as usize..end as usize))
                };
                let expected: std::vec::Vec<_> = (0..input).filter_map(place).collect();
                let found: std::vec::Vec<_> = window.blocks(first, len).collect();
                assert_eq!(found, expected, "{window:?} on {len} pixels");
            }
        }
    }

    #[test]
    fn no_numbers_make_a_window_panic() {
        let none = Window::around(5, 6, 100, 0);
        assert_eq!((none.left, none.top, none.side()), (5, 6, 0));
        assert_eq!(Window::around(5, 6, 0, 4).side(), 4);
        let numbers = [0, 1, 2, 224, 1 << 31, u32::MAX];
        for side in numbers {
            for input in numbers {
                for centre in [i32::MIN, -1, 0, i32::MAX] {
                    let window = Window::around(centre, centre, side, input);
                    assert!(window.side() >= side || input == 0 || window.side() == u32::MAX);
                    assert!(window.left <= centre && window.top <= centre);
                }
                let whole = Window::whole(side, input, input);
                assert!(whole.on_panel(whole.left, side).len() <= side as usize);
                assert!(whole.blocks_on_panel(whole.left, side).len() <= input as usize);
            }
        }
    }
}
