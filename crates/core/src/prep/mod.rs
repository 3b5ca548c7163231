//! A frame → a map: the counts of a window, reduced to `input × input` cells of 0..=127.
//!
//! One definition in integers, the same in training, on CPUs and on GPUs: crop to the window,
//! reduce each block of pixels to one cell, then either equalize the histogram of the cells (Hui et
//! al. 2023, with the grey levels 0..=127) or take them in units of the local noise. Each pixel is
//! read once, but for three columns or up to a unit of them where tiles meet, which are read twice.

mod blocks;
mod counts;
mod memory;
mod peaks;
mod rows;
mod tiles;
mod unpack;
mod valid;
mod window;

pub use counts::{EXCLUDED, LARGEST_COUNT};
pub use window::Window;

use crate::correct::Correction;
use crate::frame::{Fault, Frame, NO_CELL, PixelType};
use hitgate_kernels::{
    INVALID, Largest, Level, Op, Pixel, RANK_WORDS, Simd, Sum, contrast, contrast_pitch,
    contrast_words, ranks,
};
use memory::{LOST, Memory, needs};
use rows::{Corrected, Pixels, Rows};
use tiles::Tiles;

/// How counts become a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reduce {
    /// The largest count of a block, `min(65535, max)`; equalized over the map.
    Maximum = 0,
    /// The mean count in 1/16, `min(65535, (16 sum + n/2) / n)`; equalized over the map.
    Mean = 1,
    /// Two channels: a block's largest sum of 3 × 3 counts, and the largest that is left of such a
    /// sum without the largest of the nine; each in units of the noise in its neighbourhood. 2 and 3
    /// are not given out again.
    Peaks = 4,
}

impl Reduce {
    /// The number that a model file names it by.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Reduce::Maximum),
            1 => Some(Reduce::Mean),
            4 => Some(Reduce::Peaks),
            _ => None,
        }
    }

    /// Bytes of a cell.
    pub const fn channels(self) -> u32 {
        match self {
            Reduce::Maximum | Reduce::Mean => 1,
            Reduce::Peaks => 2,
        }
    }
}

/// One bit a pixel, row by row: bit `i % 8` of byte `i / 8`, set where pixel `i` is excluded.
#[derive(Clone, Copy, Debug)]
pub struct Mask<'m> {
    bits: &'m [u8],
}

impl<'m> Mask<'m> {
    /// A mask for `columns × rows` pixels; `None` where there are not enough bits.
    pub fn new(bits: &'m [u8], columns: u32, rows: u32) -> Option<Self> {
        let needed = (u64::from(columns) * u64::from(rows)).div_ceil(8);
        (bits.len() as u64 >= needed).then_some(Mask { bits })
    }

    /// Excludes nothing.
    pub const NONE: Mask<'static> = Mask { bits: &[] };

    /// The bits.
    pub const fn bits(&self) -> &'m [u8] {
        self.bits
    }

    /// Whether pixel `pixel`, counted row by row, is excluded.
    pub fn excludes(&self, pixel: usize) -> bool {
        self.bits
            .get(pixel / 8)
            .is_some_and(|byte| byte >> (pixel % 8) & 1 != 0)
    }
}

/// Declared values that mean "no measurement" instead of a count.
pub type MaskValues = heapless::Vec<i64, 8>;

/// How the frames of one module are prepared. Made once, outside the path.
#[derive(Clone, Debug)]
pub struct Preparation<'m> {
    /// Columns of a frame.
    pub columns: u32,
    /// Rows of a frame.
    pub rows: u32,
    /// How a pixel is stored.
    pub pixel_type: PixelType,
    /// The pixels that count.
    pub window: Window,
    /// How a block becomes a cell.
    pub reduce: Reduce,
    /// Counts above are clipped to it: an overload is signal. `u32::MAX` clips nothing.
    pub saturation: u32,
    /// Excluded pixels.
    pub mask: Mask<'m>,
    /// Excluded values.
    pub mask_values: MaskValues,
    /// Pedestals and gains of raw u16 words, by storage cell; empty where pixels are counts. A frame that names no cell
    /// is corrected only where all cells have the same.
    pub corrections: &'m [Correction<'m>],
    /// Whether frames may come compressed; those that do not are read as ever. It takes memory for a decoded one, and
    /// without it a compressed frame is a fault.
    pub compressed: bool,
}

/// What a map was made of, beside the map itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Cells with at least one valid pixel.
    pub valid_cells: u32,
    /// Valid cells of value 0.
    pub zero_cells: u32,
    /// Largest cell before it became a level.
    pub largest: u32,
    /// Sum of the cells before they became levels.
    pub sum: u64,
}

/// The largest count of a cell; a sum of 3 × 3 counts may be nine times as large.
const LARGEST_CELL: u32 = 0xFFFF;
/// The largest value of a map.
pub const MAP_MAX: u32 = 127;

impl Statistics {
    fn of<S: Simd>(s: S, cells: &[u32]) -> Result<Self, Fault> {
        let found = s.vectorize(
            #[inline(always)]
            || {
                let mut found = Statistics::default();
                // Few enough at a time for a sum of 32 bits.
                for cells in cells.chunks(4096) {
                    let [mut valid_cells, mut zero_cells, mut sum] = [0u32; 3];
                    for &cell in cells {
                        let valid = cell != INVALID;
                        let cell = if valid { cell } else { 0 };
                        valid_cells += u32::from(valid);
                        zero_cells += u32::from(valid & (cell == 0));
                        sum += cell;
                        found.largest = found.largest.max(cell);
                    }
                    found.valid_cells += valid_cells;
                    found.zero_cells += zero_cells;
                    found.sum += u64::from(sum);
                }
                found
            },
        );
        match found.valid_cells {
            0 => Err(Fault::NoValidPixel),
            _ => Ok(found),
        }
    }
}

impl Preparation<'_> {
    /// Of frames of counts that are all measurements; the rest of what may be known of a module is set on top.
    pub const fn plain(
        columns: u32,
        rows: u32,
        pixel_type: PixelType,
        window: Window,
        reduce: Reduce,
    ) -> Self {
        Preparation {
            columns,
            rows,
            pixel_type,
            window,
            reduce,
            saturation: u32::MAX,
            mask: Mask::NONE,
            mask_values: MaskValues::new(),
            corrections: &[],
            compressed: false,
        }
    }

    /// Bytes of a map.
    pub const fn map_bytes(&self) -> usize {
        let side = self.window.input as usize;
        side.saturating_mul(side)
            .saturating_mul(self.reduce.channels() as usize)
    }

    /// Whether it is for frames like those that `other` is for: as many pixels, stored alike, compressed or not.
    pub fn takes_frames_of(&self, other: &Preparation<'_>) -> bool {
        let frames = |of: &Preparation<'_>| (of.columns, of.rows, of.pixel_type);
        frames(self) == frames(other) && self.compressed >= other.compressed
    }

    /// Words of memory that [`run`](Self::run) works in.
    pub fn words(&self) -> usize {
        self.decode_words()
            .saturating_add(self.words_for(&self.tiles()))
    }

    /// Bytes of a frame's pixels.
    pub fn frame_bytes(&self) -> usize {
        let pixels = u64::from(self.rows).saturating_mul(u64::from(self.columns));
        let bytes = pixels.saturating_mul(self.pixel_type.size() as u64);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    fn words_for(&self, tiles: &Tiles<'_>) -> usize {
        let input = self.window.input as usize;
        let cells = self.cells_pitch().saturating_mul(input);
        let channels = self.reduce.channels() as usize;
        let working = match self.reduce {
            Reduce::Maximum => blocks::words::<Largest>(tiles).max(RANK_WORDS),
            Reduce::Mean => blocks::words::<Sum>(tiles).max(RANK_WORDS),
            Reduce::Peaks => peaks::words(tiles).max(needs::<u32>(contrast_words(input))),
        };
        let corrected = match self.corrections {
            [] => 0,
            _ => needs::<u32>(tiles.widest()),
        };
        LOST.saturating_add(channels.saturating_mul(needs::<u32>(cells)))
            .saturating_add(corrected)
            .saturating_add(working)
    }

    fn tiles(&self) -> Tiles<'_> {
        let most = match self.reduce {
            Reduce::Maximum | Reduce::Mean => blocks::TILE,
            Reduce::Peaks => peaks::TILE,
        };
        Tiles::new(&self.window, [self.columns, self.rows], most)
    }

    /// Cells from one row of them to the next.
    const fn cells_pitch(&self) -> usize {
        match self.reduce {
            Reduce::Maximum | Reduce::Mean => self.window.input as usize,
            Reduce::Peaks => contrast_pitch(self.window.input as usize),
        }
    }

    /// Makes the map of `frame` with the instructions of `level`, which do not change it:
    /// [`map_bytes`](Self::map_bytes) bytes, row by row, the channels of a cell together. A compressed frame is
    /// [decoded](Self::decode) first.
    ///
    /// # Errors
    /// [`Fault::Shape`] where the frame is not of the configured shape, or the map or the `words`
    /// are not as many as asked for; [`Fault::NoValidPixel`] where nothing was measured; those of
    /// [`decode`](Self::decode).
    pub fn run(
        &self,
        level: Level,
        frame: &Frame<'_>,
        words: &mut [u32],
        map: &mut [u8],
    ) -> Result<Statistics, Fault> {
        let (frame, words) = self.decode(frame, words)?;
        let (frame, tiles) = (&frame, &self.tiles());
        let room = map.len() == self.map_bytes() && words.len() >= self.words_for(tiles);
        if !room || !self.fits(frame) {
            return Err(Fault::Shape);
        }
        let (payload, mut memory) = (frame.payload, Memory::new(words));
        if let Some(correction) = self.correction(frame)? {
            let line = memory.part(tiles.widest());
            let rows = Corrected::new(payload, self, correction, line);
            return level.run(Run {
                preparation: self,
                tiles,
                rows,
                memory,
                map,
            });
        }
        match self.pixel_type {
            PixelType::U8 => self.run_on::<u8>(level, tiles, payload, memory, map),
            PixelType::U16 => self.run_on::<u16>(level, tiles, payload, memory, map),
            PixelType::U32 => self.run_on::<u32>(level, tiles, payload, memory, map),
            PixelType::I16 => self.run_on::<i16>(level, tiles, payload, memory, map),
            PixelType::I32 => self.run_on::<i32>(level, tiles, payload, memory, map),
        }
    }

    /// Pixels that are counts.
    fn run_on<P: Pixel + TryFrom<i64>>(
        &self,
        level: Level,
        tiles: &Tiles<'_>,
        payload: &[u8],
        memory: Memory<'_>,
        map: &mut [u8],
    ) -> Result<Statistics, Fault> {
        let values = rows::values::<P>(&self.mask_values);
        let rows = Pixels::new(payload, self, &values);
        level.run(Run {
            preparation: self,
            tiles,
            rows,
            memory,
            map,
        })
    }

    /// The number of the correction that `frame` takes, which is 0 where pixels are counts: for whoever prepares
    /// elsewhere what [`run`](Self::run) would prepare.
    ///
    /// # Errors
    /// Those of [`run`](Self::run) that are known before the pixels are; [`Fault::Compressed`] where the frame
    /// is to be decoded first.
    pub fn admit(&self, frame: &Frame<'_>) -> Result<usize, Fault> {
        match frame.header.compression()? {
            Some(_) => Err(Fault::Compressed),
            None if self.fits(frame) => Ok(self.cell(frame)?.unwrap_or(0)),
            None => Err(Fault::Shape),
        }
    }

    /// Whether the frame is of the configured shape, with a pixel for each place.
    fn fits(&self, frame: &Frame<'_>) -> bool {
        self.is_shape_of(frame) && frame.payload.len() == self.frame_bytes()
    }

    /// Whether the frame's header names the configured shape.
    fn is_shape_of(&self, frame: &Frame<'_>) -> bool {
        let expected = (self.rows, self.columns, self.pixel_type);
        let found = (
            u32::from(frame.header.rows),
            u32::from(frame.header.columns),
            frame.pixel_type,
        );
        found == expected
    }

    /// The correction of the frame's storage cell, where pixels are raw words.
    fn correction(&self, frame: &Frame<'_>) -> Result<Option<&Correction<'_>>, Fault> {
        Ok(self
            .cell(frame)?
            .and_then(|cell| self.corrections.get(cell)))
    }

    /// The number of that correction.
    fn cell(&self, frame: &Frame<'_>) -> Result<Option<usize>, Fault> {
        let Some((first, others)) = self.corrections.split_first() else {
            return Ok(None);
        };
        let cell = match frame.header.cell_id {
            // Of which cell the frame is matters only where cells differ.
            NO_CELL if others.iter().all(|other| other.is(first)) => 0,
            NO_CELL => return Err(Fault::UnknownCell),
            cell => usize::from(cell),
        };
        match self.pixel_type {
            _ if cell >= self.corrections.len() => Err(Fault::UnknownCell),
            PixelType::U16 => Ok(Some(cell)),
            _ => Err(Fault::Shape),
        }
    }
}

/// A frame to be prepared.
struct Run<'r, 'm, R> {
    preparation: &'r Preparation<'r>,
    tiles: &'r Tiles<'r>,
    rows: R,
    memory: Memory<'m>,
    map: &'r mut [u8],
}

impl<'r, R: Rows<'r>> Op for Run<'r, '_, R> {
    type Output = Result<Statistics, Fault>;

    fn run<S: Simd>(self, s: S) -> Self::Output {
        let Run {
            preparation,
            tiles,
            mut rows,
            mut memory,
            map,
        } = self;
        let input = preparation.window.input as usize;
        let pitch = preparation.cells_pitch();
        let cells: &mut [u32] = memory.part(pitch * input);
        match preparation.reduce {
            Reduce::Maximum => {
                blocks::reduce::<_, Largest>(s, tiles, &mut rows, cells, &mut memory.again());
            }
            Reduce::Mean => {
                blocks::reduce::<_, Sum>(s, tiles, &mut rows, cells, &mut memory.again());
            }
            Reduce::Peaks => {
                let rests = memory.part(pitch * input);
                let both = [&mut *cells, &mut *rests];
                peaks::reduce(s, tiles, &mut rows, both, pitch, &mut memory.again());
                let found = Statistics::of(s, cells)?;
                let both = [cells, rests].map(bytemuck::cast_slice_mut);
                contrast(s, input, both, memory.part(contrast_words(input)), map);
                return Ok(found);
            }
        }
        let found = Statistics::of(s, cells)?;
        ranks(s, cells, found.valid_cells, memory.part(RANK_WORDS), map);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::frame::FrameHeader;
    use std::vec;
    use std::vec::Vec;

    fn preparation(
        columns: u32,
        rows: u32,
        pixel_type: PixelType,
        window: Window,
    ) -> Preparation<'static> {
        Preparation::plain(columns, rows, pixel_type, window, Reduce::Maximum)
    }

    fn map(preparation: &Preparation<'_>, payload: &[u8]) -> Result<(Vec<u8>, Statistics), Fault> {
        let header = FrameHeader::new(
            preparation.rows as u16,
            preparation.columns as u16,
            preparation.pixel_type,
        );
        let frame = Frame {
            header,
            pixel_type: preparation.pixel_type,
            payload,
        };
        let on = |level, held| {
            let mut words = vec![held; preparation.words()];
            let mut map = vec![255; preparation.map_bytes()];
            let found = preparation.run(level, &frame, &mut words, &mut map)?;
            Ok((map, found))
        };
        let expected = on(Level::by_name("scalar").unwrap(), 7);
        let known_before = expected
            .as_ref()
            .err()
            .filter(|fault| **fault != Fault::NoValidPixel);
        assert_eq!(preparation.admit(&frame).err().as_ref(), known_before);
        for level in Level::all_available() {
            for held in [0, 0x8000_FFFF, u32::MAX] {
                let found = on(level, held);
                assert_eq!(found, expected, "{}, words of {held}", level.name());
            }
        }
        expected
    }

    #[test]
    fn maximum_of_each_block_equalized() {
        let window = Window {
            left: 0,
            top: 0,
            block: 2,
            input: 2,
            radius: Window::EVERYWHERE,
        };
        #[rustfmt::skip]
        let pixels = [
            1, 2, 9, 0,
            3, 0, 0, 0,
            0, 0, 3, 3,
            0, 0, 3, 3,
        ];
        let (map, found) = map(&preparation(4, 4, PixelType::U8, window), &pixels).unwrap();
        // Cells 3, 9, 0, 3: cumulative 1 (0), 3 (3), 4 (9) of 4.
        assert_eq!(map, [95, 127, 31, 95]);
        assert_eq!(
            found,
            Statistics {
                valid_cells: 4,
                zero_cells: 1,
                largest: 9,
                sum: 15
            }
        );
    }

    #[test]
    fn mean_is_in_sixteenths_and_rounded() {
        let window = Window {
            left: 0,
            top: 0,
            block: 3,
            input: 1,
            radius: Window::EVERYWHERE,
        };
        let mut p = preparation(3, 1, PixelType::U8, window);
        p.reduce = Reduce::Mean;
        let (_, found) = map(&p, &[1, 0, 0]).unwrap();
        assert_eq!(found.sum, 5, "16/3 = 5.33");
    }

    #[test]
    fn off_panel_masked_and_declared_values_are_excluded() {
        let window = Window {
            left: -1,
            top: -1,
            block: 1,
            input: 4,
            radius: Window::EVERYWHERE,
        };
        let mut p = preparation(3, 3, PixelType::I16, window);
        p.mask = Mask::new(&[0b1, 0], 3, 3).unwrap();
        p.mask_values.push(-2).unwrap();
        p.saturation = 100;
        let counts: [i16; 9] = [50, -2, -1, 0, 7, 7, 7, 30000, 5];
        let payload: Vec<u8> = counts.iter().flat_map(|c| c.to_le_bytes()).collect();
        let (map, found) = map(&p, &payload).unwrap();
        assert_eq!(
            found,
            Statistics {
                valid_cells: 7,
                zero_cells: 2,
                largest: 100,
                sum: 126
            }
        );
        let cell = |h: u32| (h * 127 / 7) as u8;
        #[rustfmt::skip]
        assert_eq!(map, [
            0, 0, 0, 0,
            0, 0, 0, cell(2),
            0, cell(2), cell(6), cell(6),
            0, cell(6), cell(7), cell(3),
        ]);
    }

    #[test]
    fn nothing_valid_and_another_shape_are_faults() {
        let window = Window {
            left: 0,
            top: 0,
            block: 1,
            input: 1,
            radius: Window::EVERYWHERE,
        };
        let mut p = preparation(1, 1, PixelType::U16, window);
        p.mask_values.push(0xFFFF).unwrap();
        assert_eq!(map(&p, &[0xFF, 0xFF]), Err(Fault::NoValidPixel));
        assert_eq!(map(&p, &[0xFF]), Err(Fault::Shape));
        let far = Window {
            left: 1000,
            top: i32::MIN,
            block: u32::MAX,
            input: 1,
            radius: Window::EVERYWHERE,
        };
        assert_eq!(
            map(&preparation(1, 1, PixelType::U8, far), &[1]),
            Err(Fault::NoValidPixel)
        );
    }

    #[test]
    fn a_window_of_no_cells_sees_nothing() {
        for reduce in [Reduce::Maximum, Reduce::Mean, Reduce::Peaks] {
            let mut p = preparation(3, 2, PixelType::U8, Window::whole(3, 2, 0));
            p.reduce = reduce;
            assert_eq!(map(&p, &[9; 6]), Err(Fault::NoValidPixel), "{reduce:?}");
        }
    }

    #[test]
    fn a_mask_has_a_bit_a_pixel() {
        assert!(Mask::new(&[0xFF], 3, 3).is_none());
        assert!(Mask::new(&[], u32::MAX, u32::MAX).is_none());
        // What is beyond the pixels is not looked at.
        let mask = Mask::new(&[0, 0, 0xFF], 3, 3).unwrap();
        assert!(!(0..9).any(|pixel| mask.excludes(pixel)));
    }

    /// The definition in plain loops.
    fn contrast_by_definition(cells: &[Option<u32>], input: usize) -> Vec<u8> {
        let side = input as i64;
        let near = |of: &[Option<i64>], i: i64, reach: i64| -> Vec<i64> {
            let (x, y) = (i % side, i / side);
            let inside = |at: &i64| (0..side).contains(at);
            (y - reach..=y + reach)
                .filter(inside)
                .flat_map(|y| {
                    (x - reach..=x + reach)
                        .filter(inside)
                        .map(move |x| y * side + x)
                })
                .filter_map(|i| of[i as usize])
                .collect()
        };
        let y: Vec<Option<i64>> = cells
            .iter()
            .map(|cell| cell.map(|cell| i64::from((512 * (8 * cell + 3)).isqrt())))
            .collect();
        let d: Vec<Option<i64>> = (0..side * side)
            .map(|i| {
                let near = near(&y, i, 3);
                let n = near.len() as i64;
                y[i as usize].map(|y| y - (near.iter().sum::<i64>() + n / 2) / n)
            })
            .collect();
        let all: Vec<i64> = d.iter().flatten().map(|d| d.abs()).collect();
        let mean = (all.iter().sum::<i64>() as u64)
            .div_ceil(all.len() as u64)
            .max(13) as i64;
        let cut: Vec<Option<i64>> = d.iter().map(|d| d.map(|d| d.abs().min(4 * mean))).collect();
        (0..side * side)
            .map(|i| {
                let near = near(&cut, i, 8);
                let n = near.len() as i64;
                let unit = near.iter().sum::<i64>().max(13 * n);
                d[i as usize].map_or(0, |d| {
                    (24 + (8 * d * n).div_euclid(unit)).clamp(1, 127) as u8
                })
            })
            .collect()
    }

    #[test]
    fn peaks_are_the_contrast_of_sums_and_of_rests() {
        // A dark frame, where the least unit holds, one with counts everywhere, one with holes.
        for (input, bright, rare, masked) in [
            (1u32, 9, 0, false),
            (4, 9, 0, true),
            (29, 1, 250, false),
            (29, 9, 0, false),
            (30, 7, 0, true),
        ] {
            let window = Window {
                left: 0,
                top: 0,
                block: 1,
                input,
                radius: Window::EVERYWHERE,
            };
            let mut p = preparation(input, input, PixelType::U16, window);
            p.reduce = Reduce::Peaks;
            if masked {
                p.mask_values.push(3).unwrap();
            }
            let counts: Vec<u16> = (0..input * input)
                .map(|i| match i.wrapping_mul(2_654_435_761) >> 24 {
                    n if n < rare => 0,
                    255 => 60_000,
                    n => 1 + (n % bright) as u16,
                })
                .collect();
            let side = i64::from(input);
            let measured = |i: i64| {
                let count = counts[i as usize];
                (!masked || count != 3).then_some(u32::from(count))
            };
            let nine = |i: i64| -> Vec<u32> {
                let near =
                    (-1..=1).flat_map(|v| (-1..=1).map(move |u| (i % side + u, i / side + v)));
                near.filter(|(x, y)| (0..side).contains(x) && (0..side).contains(y))
                    .filter_map(|(x, y)| measured(y * side + x))
                    .collect()
            };
            let cells = |of: &dyn Fn(&[u32]) -> u32| -> Vec<Option<u32>> {
                (0..side * side)
                    .map(|i| measured(i).map(|_| of(&nine(i))))
                    .collect()
            };
            let sums = cells(&|nine| nine.iter().sum());
            let rests = cells(&|nine| nine.iter().sum::<u32>() - nine.iter().max().unwrap());
            let payload: Vec<u8> = counts.iter().flat_map(|c| c.to_le_bytes()).collect();
            let (map, _) = map(&p, &payload).unwrap();
            for (channel, cells) in [sums, rests].iter().enumerate() {
                let found: Vec<u8> = map.iter().skip(channel).step_by(2).copied().collect();
                let expected = contrast_by_definition(cells, input as usize);
                assert_eq!(
                    found, expected,
                    "channel {channel}, {input} cells, up to {bright}"
                );
            }
        }
    }

    #[test]
    fn one_photon_in_the_dark_is_no_spot_and_a_hot_pixel_leaves_no_rest() {
        let window = Window {
            left: 0,
            top: 0,
            block: 5,
            input: 31,
            radius: Window::EVERYWHERE,
        };
        let mut p = preparation(155, 155, PixelType::U8, window);
        p.reduce = Reduce::Peaks;
        let levels = |photons: &[u8]| {
            let mut counts = [0; 155 * 155];
            counts[77 * 155 + 77..][..photons.len()].copy_from_slice(photons);
            let map = map(&p, &counts).unwrap().0;
            [0, 1].map(|channel| map[2 * (15 * 31 + 15) + channel])
        };
        assert_eq!(levels(&[]), [24, 24]);
        assert_eq!(levels(&[1]), [45, 24]);
        assert_eq!(levels(&[8]), [112, 24]);
        assert_eq!(levels(&[200]), [127, 24], "hot");
        assert_eq!(levels(&[4, 4]), [112, 80], "a spot");
    }

    #[test]
    fn a_flat_frame_has_the_level_of_its_background() {
        let window = Window {
            left: 0,
            top: 0,
            block: 3,
            input: 3,
            radius: Window::EVERYWHERE,
        };
        let mut p = preparation(9, 9, PixelType::U8, window);
        p.reduce = Reduce::Peaks;
        assert_eq!(map(&p, &[9; 81]).unwrap().0, [24; 18]);
    }

    #[test]
    fn raw_words_are_corrected_by_their_cell() {
        use half::f16;
        let window = Window {
            left: 0,
            top: 0,
            block: 1,
            input: 2,
            radius: Window::EVERYWHERE,
        };
        let (dark, gain) = ([4000; 4], [f16::ONE; 4]);
        let cells = [Correction::new([&dark; 3], [&gain; 3], 4).unwrap()];
        let mut p = preparation(2, 2, PixelType::U16, window);
        p.corrections = &cells;
        let words: [u16; 4] = [1000, 1002, 1001, 0b10 << 14];
        let payload: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let (_, found) = map(&p, &payload).unwrap();
        assert_eq!((found.valid_cells, found.largest, found.sum), (3, 32, 48));
        // A frame that names no cell, as `map` makes it, may be of any: all have to be the same.
        let same = [cells[0]; 3];
        p.corrections = &same;
        assert_eq!(map(&p, &payload).unwrap().1, found);
        let other_dark = [4000; 4];
        let differ = [
            cells[0],
            Correction::new([&other_dark; 3], [&gain; 3], 4).unwrap(),
        ];
        p.corrections = &differ;
        assert_eq!(map(&p, &payload), Err(Fault::UnknownCell));
        p.corrections = &cells;
        p.pixel_type = PixelType::I16;
        assert_eq!(map(&p, &payload), Err(Fault::Shape));
    }

    #[test]
    fn cells_saturate_at_sixteen_bits() {
        let window = Window {
            left: 0,
            top: 0,
            block: 1,
            input: 1,
            radius: Window::EVERYWHERE,
        };
        let (_, found) = map(&preparation(1, 1, PixelType::U32, window), &[0xFF; 4]).unwrap();
        assert_eq!(found.largest, 0xFFFF);
    }
}
