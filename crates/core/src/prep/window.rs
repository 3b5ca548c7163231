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
}

impl Window {
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

    /// The part of the window along an axis, from `first` on, that lies on a panel of `len` pixels.
    pub(super) fn on_panel(&self, first: i32, len: u32) -> Range<usize> {
        let end = i64::from(first) + i64::from(self.side());
        let [start, end] = [i64::from(first), end].map(|at| at.clamp(0, i64::from(len)) as usize);
        start..end
    }

    /// The blocks along an axis, from `first` on, that lie on a panel of `len` pixels: each with
    /// the pixels that it covers there.
    pub(super) fn blocks(
        &self,
        first: i32,
        len: u32,
    ) -> impl Iterator<Item = (usize, Range<usize>)> {
        let block = i64::from(self.block);
        (0..self.input).filter_map(move |i| {
            let start = i64::from(first) + i64::from(i) * block;
            let end = (start + block).clamp(0, i64::from(len));
            let start = start.clamp(0, i64::from(len));
            (start < end).then_some((i as usize, start as usize..end as usize))
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
            }
        }
    }
}
