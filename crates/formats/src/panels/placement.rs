//! The table that makes one frame of many panels.

use std::ops::Range;

use crate::image::MAX_PIXELS;
use crate::{Image, Mask, Pixels};

/// One panel as its file describes it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Tile {
    pub name: String,
    /// Its columns in the data, the fast direction.
    pub columns: Range<u32>,
    /// Its rows in the data, modules one under another.
    pub rows: Range<u32>,
    /// Where its first pixel begins in the plane across the beam, in pixels from the beam.
    pub corner: [f64; 2],
    /// What a pixel in the fast direction adds to that: across the beam, and along it.
    pub fast: [f64; 3],
    /// The same in the slow direction.
    pub slow: [f64; 3],
    pub pixel_mm: f64,
    pub distance_mm: Option<f64>,
    /// Bad pixels, in columns and rows of the data.
    pub bad: Vec<Region>,
}

/// A rectangle, from one corner to below the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Region {
    pub x: [f64; 2],
    pub y: [f64; 2],
}

impl Region {
    fn holds(&self, x: f64, y: f64) -> bool {
        (self.x[0]..self.x[1]).contains(&x) && (self.y[0]..self.y[1]).contains(&y)
    }
}

/// Where each panel of the data lies in the frame that they make together: moved by whole pixels and
/// turned by right angles, as no count is shared out. What no panel covers is a gap, and masked.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// Columns of the frame.
    pub columns: u32,
    /// Rows of the frame.
    pub rows: u32,
    /// Columns and rows of the data that the panels reach to, modules one under another.
    pub data: [u32; 2],
    /// The farthest that a corner of a panel lies from where the file places it, in pixels.
    pub error_px: f64,
    panels: Vec<Panel>,
    beam_center_px: [f64; 2],
    /// Gaps and bad regions.
    excluded: Mask,
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
struct Panel {
    columns: Range<u32>,
    rows: Range<u32>,
    /// Where the first pixel lies in the frame.
    first: [i64; 2],
    /// The steps in the frame to the next pixel in the fast and in the slow direction.
    fast: [i64; 2],
    slow: [i64; 2],
}

impl Panel {
    /// Each pixel's place in data of so many columns, and in a frame of so many.
    fn pixels(&self, data_columns: u32, columns: u32) -> impl Iterator<Item = (usize, usize)> {
        let (data_columns, columns) = (data_columns as usize, i64::from(columns));
        let step = |[x, y]: [i64; 2]| y * columns + x;
        let (first, fast, slow) = (step(self.first), step(self.fast), step(self.slow));
        let width = self.columns.clone();
        self.rows.clone().zip(0..).flat_map(move |(row, j)| {
            width.clone().zip(0..).map(move |(column, i)| {
                let from = row as usize * data_columns + column as usize;
                (from, (first + i * fast + j * slow) as usize)
            })
        })
    }
}

impl Placement {
    /// Places panels, and masks what none covers, what a panel calls bad, and what lies in `bad_xy`,
    /// in pixels from the beam. In error what cannot be.
    pub(crate) fn new(tiles: &[Tile], bad_xy: &[Region]) -> Result<Placement, String> {
        let Some(first) = tiles.first() else {
            return Err("it describes no panel".into());
        };
        // The first panel lies exactly where it is; of one panel alone the beam centre is exact.
        let offset = placed_corner(first)?.map(|at| at - at.round());
        let mut panels = Vec::new();
        let mut error_px = 0.0f64;
        for tile in tiles {
            let (fast, slow) = turns(tile)?;
            let corner = placed_corner(tile)?;
            let low: [f64; 2] = std::array::from_fn(|axis| (corner[axis] - offset[axis]).round());
            let (width, height) = (tile.columns.len() as i64, tile.rows.len() as i64);
            // A step back begins at the far end.
            let first = std::array::from_fn(|axis| {
                let back =
                    (width - 1) * (fast[axis] < 0) as i64 + (height - 1) * (slow[axis] < 0) as i64;
                low[axis] as i64 + back
            });
            for (i, j) in [(0, 0), (width, 0), (0, height), (width, height)] {
                let apart = [0, 1].map(|axis| {
                    let is =
                        tile.corner[axis] + i as f64 * tile.fast[axis] + j as f64 * tile.slow[axis];
                    let begin = first[axis] + (fast[axis] < 0 || slow[axis] < 0) as i64;
                    let placed = (begin + i * fast[axis] + j * slow[axis]) as f64 + offset[axis];
                    is - placed
                });
                error_px = error_px.max(apart[0].hypot(apart[1]));
            }
            panels.push(Panel {
                columns: tile.columns.clone(),
                rows: tile.rows.clone(),
                first,
                fast,
                slow,
            });
        }
        let ends = panels.iter().flat_map(|panel| {
            let (width, height) = (panel.columns.len() as i64, panel.rows.len() as i64);
            let last = std::array::from_fn(|axis| {
                panel.first[axis] + (width - 1) * panel.fast[axis] + (height - 1) * panel.slow[axis]
            });
            [panel.first, last]
        });
        let ends: Vec<[i64; 2]> = ends.collect();
        let range = |axis: usize| {
            let along = ends.iter().map(|end| end[axis]);
            (along.clone().min().unwrap_or(0), along.max().unwrap_or(0))
        };
        let ((left, right), (top, bottom)) = (range(0), range(1));
        let (columns, rows) = (right - left + 1, bottom - top + 1);
        let fits = columns <= 65_535 && rows <= 65_535 && (columns * rows) as u64 <= MAX_PIXELS;
        if !fits {
            return Err(format!(
                "its panels spread over {columns} x {rows} pixels, more than a frame has: check the corners"
            ));
        }
        for panel in &mut panels {
            panel.first = [panel.first[0] - left, panel.first[1] - top];
        }
        let beam_center_px = [-(left as f64) - offset[0], -(top as f64) - offset[1]];
        let data = tiles
            .iter()
            .fold([0, 0], |[columns, rows]: [u32; 2], tile| {
                [columns.max(tile.columns.end), rows.max(tile.rows.end)]
            });
        let (columns, rows) = (columns as u32, rows as u32);
        let mut excluded = Mask::none(columns, rows);
        excluded.bits.fill(u8::MAX);
        let mut placement = Placement {
            columns,
            rows,
            data,
            error_px,
            panels,
            beam_center_px,
            excluded: Mask::none(columns, rows),
        };
        for (panel, tile) in placement.panels.iter().zip(tiles) {
            for (from, to) in panel.pixels(data[0], columns) {
                let width = data[0] as usize;
                let (column, row) = ((from % width) as u32, (from / width) as u32);
                let is_bad = tile.is_bad(column, row, bad_xy);
                excluded.set(to, is_bad);
            }
        }
        // The bits after the last pixel are 0.
        for index in columns as usize * rows as usize..excluded.bits.len() * 8 {
            excluded.set(index, false);
        }
        placement.excluded = excluded;
        Ok(placement)
    }

    /// Panels that make the frame.
    pub fn panels(&self) -> usize {
        self.panels.len()
    }

    /// Where the beam meets the frame, `[x, y]` in pixels.
    pub fn beam_center_px(&self) -> [f64; 2] {
        self.beam_center_px
    }

    /// How many images of `columns` by `rows` make one frame, one under another: those of a file
    /// with an image for each module. `None` where they make none.
    pub(crate) fn images_a_frame(&self, columns: u32, rows: u32) -> Option<usize> {
        let [needed_columns, needed_rows] = self.data;
        match (columns >= needed_columns, needed_rows.div_ceil(rows.max(1))) {
            (true, 1) => Some(1),
            (true, images) if needed_rows % rows == 0 => Some(images as usize),
            _ => None,
        }
    }

    /// The frame of these data, which [`Placement::images_a_frame`] has accepted; gaps are 0.
    pub(crate) fn assemble(&self, data: &Image) -> Image {
        macro_rules! assembled {
            ($kind:ident, $from:expr) => {{
                let mut to = vec![Default::default(); self.columns as usize * self.rows as usize];
                for panel in &self.panels {
                    for (from, at) in panel.pixels(data.columns, self.columns) {
                        to[at] = $from[from];
                    }
                }
                Pixels::$kind(to)
            }};
        }
        Image {
            columns: self.columns,
            rows: self.rows,
            pixels: match &data.pixels {
                Pixels::U8(from) => assembled!(U8, from),
                Pixels::U16(from) => assembled!(U16, from),
                Pixels::U32(from) => assembled!(U32, from),
                Pixels::I16(from) => assembled!(I16, from),
                Pixels::I32(from) => assembled!(I32, from),
                Pixels::F32(from) => assembled!(F32, from),
            },
        }
    }

    /// The mask of the frame: gaps, bad regions, and the pixels that a mask of the data excludes.
    /// `None` where that mask is not of the data's shape.
    pub fn mask(&self, of_data: Option<&Mask>) -> Option<Mask> {
        let mut mask = self.excluded.clone();
        if let Some(data) = of_data {
            if data.columns < self.data[0] || data.rows < self.data[1] {
                return None;
            }
            for panel in &self.panels {
                for (from, to) in panel.pixels(data.columns, self.columns) {
                    if data.excludes(from) {
                        mask.set(to, true);
                    }
                }
            }
        }
        Some(mask)
    }
}

impl Tile {
    fn is_bad(&self, column: u32, row: u32, bad_xy: &[Region]) -> bool {
        let in_data = self
            .bad
            .iter()
            .any(|region| region.holds(column.into(), row.into()));
        if in_data || bad_xy.is_empty() {
            return in_data;
        }
        let i = f64::from(column - self.columns.start) + 0.5;
        let j = f64::from(row - self.rows.start) + 0.5;
        let [x, y] =
            [0, 1].map(|axis| self.corner[axis] + i * self.fast[axis] + j * self.slow[axis]);
        bad_xy.iter().any(|region| region.holds(x, y))
    }
}

/// The directions of a panel, to the nearest right angle.
fn turns(tile: &Tile) -> Result<([i64; 2], [i64; 2]), String> {
    let name = &tile.name;
    /// Sine of the angle to the plane across the beam from which on a panel is not in it.
    const OUT_OF_PLANE: f64 = 0.2;
    let direction = |along: [f64; 3]| {
        let [x, y, z] = along;
        let length = x.hypot(y).hypot(z);
        if !(0.9..1.1).contains(&length) {
            return Err(format!(
                "panel {name}: a step of {length:.3} pixels to the next pixel; it must be 1"
            ));
        }
        if z.abs() > OUT_OF_PLANE {
            return Err(format!(
                "panel {name} stands out of the plane across the beam; leave it out"
            ));
        }
        Ok(match x.abs() > y.abs() {
            true => [x.signum() as i64, 0],
            false => [0, y.signum() as i64],
        })
    };
    let (fast, slow) = (direction(tile.fast)?, direction(tile.slow)?);
    match fast[0].abs() == slow[0].abs() {
        true => Err(format!(
            "panel {name}: its fast and slow directions are the same"
        )),
        false => Ok((fast, slow)),
    }
}

/// The lowest corner of a panel that is turned to right angles about its centre, in pixels from the
/// beam.
fn placed_corner(tile: &Tile) -> Result<[f64; 2], String> {
    let (fast, slow) = turns(tile)?;
    let (width, height) = (tile.columns.len() as f64, tile.rows.len() as f64);
    let corner = [0, 1].map(|axis| {
        let centre = tile.corner[axis] + 0.5 * (width * tile.fast[axis] + height * tile.slow[axis]);
        let side = width * fast[axis].abs() as f64 + height * slow[axis].abs() as f64;
        centre - side / 2.0
    });
    match corner.iter().all(|x| x.abs() < 1e6) && !tile.columns.is_empty() && !tile.rows.is_empty()
    {
        true => Ok(corner),
        false => Err(format!(
            "panel {}: its place or its size cannot be",
            tile.name
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(rows: Range<u32>, corner: [f64; 2], fast: [f64; 3], slow: [f64; 3]) -> Tile {
        Tile {
            name: format!("rows {}", rows.start),
            columns: 0..3,
            rows,
            corner,
            fast,
            slow,
            pixel_mm: 0.1,
            distance_mm: Some(100.0),
            bad: Vec::new(),
        }
    }

    const X: [f64; 3] = [1.0, 0.0, 0.0];
    const Y: [f64; 3] = [0.0, 1.0, 0.0];
    const MINUS_X: [f64; 3] = [-1.0, 0.0, 0.0];
    const MINUS_Y: [f64; 3] = [0.0, -1.0, 0.0];

    fn data(rows: u32) -> Image {
        Image {
            columns: 3,
            rows,
            pixels: Pixels::U16((1..=3 * rows as u16).collect()),
        }
    }

    fn excluded(mask: &Mask) -> Vec<usize> {
        (0..mask.bits.len() * 8)
            .filter(|&i| mask.excludes(i))
            .collect()
    }

    #[test]
    fn panels_are_moved_and_turned_and_gaps_masked() {
        // Upright; upside down beside it, a column apart; on its side below them.
        let tiles = vec![
            tile(0..2, [-3.25, -2.5], X, Y),
            tile(2..4, [3.75, -0.5], MINUS_X, MINUS_Y),
            tile(4..6, [-1.25, -0.5], Y, MINUS_X),
        ];
        let placement = Placement::new(&tiles, &[]).unwrap();
        assert_eq!((placement.columns, placement.rows), (7, 5));
        assert_eq!(placement.beam_center_px(), [3.25, 2.5]);
        assert_eq!((placement.data, placement.error_px), ([3, 6], 0.0));
        let frame = placement.assemble(&data(6));
        let expected = [
            1, 2, 3, 0, 12, 11, 10, //
            4, 5, 6, 0, 9, 8, 7, //
            16, 13, 0, 0, 0, 0, 0, //
            17, 14, 0, 0, 0, 0, 0, //
            18, 15, 0, 0, 0, 0, 0,
        ];
        assert_eq!(frame.pixels, Pixels::U16(expected.to_vec()));
        let gaps: Vec<usize> = (0..35).filter(|&i| expected[i] == 0).collect();
        let mask = placement.mask(None).unwrap();
        assert_eq!(excluded(&mask), gaps);
        // Pixel 7 of the data, which holds 8, is at 12 of the frame.
        let mut bad = Mask::none(3, 6);
        bad.set(7, true);
        let with_bad = placement.mask(Some(&bad)).unwrap();
        assert!(with_bad.excludes(12) && with_bad.count() == gaps.len() + 1);
        assert_eq!(placement.mask(Some(&Mask::none(3, 5))), None);
    }

    #[test]
    fn the_error_of_rounding_is_stated() {
        let tiles = vec![tile(0..2, [0.0, 0.0], X, Y), tile(2..4, [10.4, 0.3], X, Y)];
        let error = Placement::new(&tiles, &[]).unwrap().error_px;
        assert!((error - 0.5).abs() < 1e-12, "{error}");
        // A panel of 3 x 2 turned about its centre: its corners are half a diagonal away.
        let angle = 0.02f64;
        let (fast, slow) = (
            [angle.cos(), angle.sin(), 0.0],
            [-angle.sin(), angle.cos(), 0.0],
        );
        let error = Placement::new(&[tile(0..2, [5.0, 5.0], fast, slow)], &[])
            .unwrap()
            .error_px;
        assert!(
            (error - 3.25f64.sqrt() * 2.0 * (angle / 2.0).sin()).abs() < 1e-9,
            "{error}"
        );
    }

    #[test]
    fn bad_regions_count_in_the_data_and_across_the_beam() {
        let mut one = tile(0..2, [-1.0, -1.0], X, Y);
        one.bad = vec![Region {
            x: [0.0, 1.0],
            y: [1.0, 2.0],
        }];
        let beside_the_beam = Region {
            x: [1.0, 5.0],
            y: [-5.0, 0.0],
        };
        let placement = Placement::new(&[one], &[beside_the_beam]).unwrap();
        assert_eq!(excluded(&placement.mask(None).unwrap()), [2, 3]);
    }

    #[test]
    fn images_of_modules_make_a_frame() {
        let tiles = vec![tile(0..2, [0.0, 0.0], X, Y), tile(2..4, [0.0, 2.0], X, Y)];
        let placement = Placement::new(&tiles, &[]).unwrap();
        assert_eq!(placement.images_a_frame(3, 2), Some(2));
        assert_eq!(placement.images_a_frame(3, 4), Some(1));
        assert_eq!(placement.images_a_frame(4, 5), Some(1));
        assert_eq!(placement.images_a_frame(3, 3), None);
        assert_eq!(placement.images_a_frame(2, 4), None);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let said = |tiles: Vec<Tile>| Placement::new(&tiles, &[]).unwrap_err();
        assert!(said(Vec::new()).contains("no panel"));
        let stands = [0.0, 0.5, 0.866];
        assert!(said(vec![tile(0..2, [0.0, 0.0], X, stands)]).contains("out of the plane"));
        assert!(said(vec![tile(0..2, [0.0, 0.0], X, MINUS_X)]).contains("are the same"));
        assert!(said(vec![tile(0..2, [0.0, 0.0], X, [0.0, 3.0, 0.0])]).contains("must be 1"));
        assert!(said(vec![tile(0..2, [f64::NAN, 0.0], X, Y)]).contains("cannot be"));
        let far = vec![
            tile(0..2, [0.0, 0.0], X, Y),
            tile(2..4, [90_000.0, 0.0], X, Y),
        ];
        assert!(said(far).contains("check the corners"));
    }
}
