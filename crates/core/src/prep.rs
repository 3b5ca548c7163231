//! A frame → a map: the counts of a window, reduced to `input × input` cells of 0..=127.
//!
//! One definition in integers, the same in training, on CPUs and on GPUs: crop to the window,
//! reduce each block of pixels to one cell, then either equalize the histogram of the cells (Hui et
//! al. 2023, with the grey levels 0..=127) or take them in units of the local noise. Each pixel is
//! read once.

use crate::correct::Correction;
use crate::frame::{Fault, Frame, NO_CELL, PixelType};

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

    /// The columns of blocks, or the rows, that lie on a panel of `len` pixels: pairs of the block
    /// and its range of pixels.
    fn blocks(
        first: i32,
        block: u32,
        input: u32,
        len: u32,
    ) -> impl Iterator<Item = (usize, core::ops::Range<usize>)> {
        (0..input).filter_map(move |i| {
            let start = i64::from(first) + i64::from(i) * i64::from(block);
            let end = (start + i64::from(block)).clamp(0, i64::from(len));
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

/// How counts become a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Reduce {
    /// The largest count of a block, `min(65535, max)`; equalized over the map.
    Maximum = 0,
    /// The mean count in 1/16, `min(65535, (16 sum + n/2) / n)`; equalized over the map.
    Mean = 1,
    /// The largest count of a block, in units of the noise about its neighbourhood.
    Contrast = 2,
}

impl Reduce {
    /// The number that a model file names it by.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Reduce::Maximum),
            1 => Some(Reduce::Mean),
            2 => Some(Reduce::Contrast),
            _ => None,
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

    fn excludes(&self, pixel: usize) -> bool {
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
    /// Pedestals and gains of raw u16 words, by storage cell; empty where pixels are counts.
    pub corrections: &'m [Correction<'m>],
}

/// What a map was made of, beside the map itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Cells with at least one valid pixel.
    pub valid_cells: u32,
    /// Valid cells of value 0.
    pub zero_cells: u32,
    /// Largest cell before equalization.
    pub largest: u32,
    /// Sum of the cells before equalization.
    pub sum: u64,
}

/// Words of memory that [`Scratch::new`] needs for an input of this size; `usize::MAX` where there
/// cannot be as many.
pub const fn scratch_words(input: u32) -> usize {
    LEVELS.saturating_add((input as usize).saturating_pow(2))
}

/// Levels of a reduced cell, before equalization.
const LEVELS: usize = 1 << 16;
/// A cell without a valid pixel.
const INVALID: u32 = u32::MAX;
/// The largest value of a map.
pub const MAP_MAX: u32 = 127;

/// Working memory of a preparation, given by the caller.
#[derive(Debug)]
pub struct Scratch<'m> {
    histogram: &'m mut [u32],
    cells: &'m mut [u32],
}

impl<'m> Scratch<'m> {
    /// Takes [`scratch_words`] words out of `memory`; `None` where there are fewer.
    pub fn new(memory: &'m mut [u32], input: u32) -> Option<Self> {
        let memory = memory.get_mut(..scratch_words(input))?;
        memory.fill(0);
        let (histogram, cells) = memory.split_at_mut(LEVELS);
        Some(Scratch { histogram, cells })
    }
}

impl Preparation<'_> {
    /// Makes the map of `frame`: `input × input` bytes, row by row.
    ///
    /// # Errors
    /// [`Fault::Shape`] where the frame is not of the configured shape (or the memory not of the
    /// window's size), [`Fault::NoValidPixel`] where there is nothing to equalize.
    pub fn run(
        &self,
        frame: &Frame<'_>,
        scratch: &mut Scratch<'_>,
        map: &mut [u8],
    ) -> Result<Statistics, Fault> {
        let cells = (self.window.input as usize).pow(2);
        let expected = (self.rows, self.columns, self.pixel_type);
        let found = (
            u32::from(frame.header.rows),
            u32::from(frame.header.columns),
            frame.pixel_type,
        );
        let pixels = self.rows as usize * self.columns as usize;
        if found != expected
            || frame.payload.len() != pixels * self.pixel_type.size()
            || map.len() != cells
            || scratch.cells.len() != cells
        {
            return Err(Fault::Shape);
        }
        match (self.correction(frame)?, self.pixel_type) {
            (Some(correction), _) => self.correct(correction, frame.payload, scratch.cells),
            (None, PixelType::U8) => self.reduce_counts::<u8>(frame.payload, scratch.cells),
            (None, PixelType::U16) => self.reduce_counts::<u16>(frame.payload, scratch.cells),
            (None, PixelType::U32) => self.reduce_counts::<u32>(frame.payload, scratch.cells),
            (None, PixelType::I16) => self.reduce_counts::<i16>(frame.payload, scratch.cells),
            (None, PixelType::I32) => self.reduce_counts::<i32>(frame.payload, scratch.cells),
        }
        match self.reduce {
            Reduce::Maximum | Reduce::Mean => equalize(scratch, map),
            Reduce::Contrast => contrast(scratch, self.window.input as usize, map),
        }
    }

    /// The correction of the frame's storage cell, where pixels are raw words.
    fn correction(&self, frame: &Frame<'_>) -> Result<Option<&Correction<'_>>, Fault> {
        if self.corrections.is_empty() {
            return Ok(None);
        }
        let cell = match frame.header.cell_id {
            NO_CELL => 0,
            cell => usize::from(cell),
        };
        let correction = self.corrections.get(cell).ok_or(Fault::UnknownCell)?;
        match self.pixel_type {
            PixelType::U16 => Ok(Some(correction)),
            _ => Err(Fault::Shape),
        }
    }

    fn correct(&self, correction: &Correction<'_>, payload: &[u8], cells: &mut [u32]) {
        self.reduce_as(u16::SIZE, payload, cells, |i, bytes| {
            Some(correction.count(i, u16::load(bytes))?.min(self.saturation))
        });
    }

    fn reduce_counts<P: Pixel>(&self, payload: &[u8], cells: &mut [u32]) {
        let excluded = Excluded::<P>::new(&self.mask_values);
        self.reduce_as(P::SIZE, payload, cells, |_, bytes| {
            let pixel = P::load(bytes);
            (!excluded.has(pixel)).then(|| pixel.count().min(self.saturation))
        });
    }

    fn reduce_as(
        &self,
        size: usize,
        payload: &[u8],
        cells: &mut [u32],
        count: impl Fn(usize, &[u8]) -> Option<u32>,
    ) {
        match self.reduce {
            Reduce::Maximum | Reduce::Contrast => {
                self.reduce::<Maximum>(size, payload, cells, count)
            }
            Reduce::Mean => self.reduce::<Mean>(size, payload, cells, count),
        }
    }

    /// Reduces each block to its cell; `count` takes a pixel's place and bytes to its count, and
    /// excludes it with `None`.
    fn reduce<C: Cell>(
        &self,
        size: usize,
        payload: &[u8],
        cells: &mut [u32],
        count: impl Fn(usize, &[u8]) -> Option<u32>,
    ) {
        let Window {
            left,
            top,
            block,
            input,
        } = self.window;
        let columns = self.columns as usize;
        cells.fill(INVALID);
        for (v, ys) in Window::blocks(top, block, input, self.rows) {
            for (u, xs) in Window::blocks(left, block, input, self.columns) {
                let mut cell = C::default();
                for y in ys.clone() {
                    let first = y * columns + xs.start;
                    let row = &payload[first * size..(first + xs.len()) * size];
                    for (x, bytes) in row.chunks_exact(size).enumerate() {
                        if self.mask.excludes(first + x) {
                            continue;
                        }
                        if let Some(count) = count(first + x, bytes) {
                            cell.add(count);
                        }
                    }
                }
                cells[v * input as usize + u] = cell.value();
            }
        }
    }
}

/// A stored pixel.
trait Pixel: Copy + PartialEq + TryFrom<i64> {
    const SIZE: usize;
    fn load(bytes: &[u8]) -> Self;
    /// The counts; a negative count is none.
    fn count(self) -> u32;
}

macro_rules! pixel {
    ($($type:ty: |$value:ident| $count:expr,)*) => {$(
        impl Pixel for $type {
            const SIZE: usize = size_of::<$type>();
            #[inline(always)]
            fn load(bytes: &[u8]) -> Self {
                <$type>::from_le_bytes(core::array::from_fn(|i| bytes[i]))
            }
            #[inline(always)]
            fn count(self) -> u32 {
                let $value = self;
                $count
            }
        }
    )*};
}
pixel! {
    u8: |v| u32::from(v),
    u16: |v| u32::from(v),
    u32: |v| v,
    i16: |v| v.max(0) as u32,
    i32: |v| v.max(0) as u32,
}

/// The declared mask values that a pixel of this type can hold.
struct Excluded<P> {
    values: heapless::Vec<P, 8>,
}

impl<P: Pixel> Excluded<P> {
    fn new(values: &MaskValues) -> Self {
        Excluded {
            values: values.iter().filter_map(|&v| P::try_from(v).ok()).collect(),
        }
    }

    #[inline(always)]
    fn has(&self, pixel: P) -> bool {
        self.values.contains(&pixel)
    }
}

/// What becomes of the pixels of a block.
trait Cell: Default {
    fn add(&mut self, count: u32);
    /// At most 65535, or [`INVALID`].
    fn value(&self) -> u32;
}

#[derive(Default)]
struct Maximum {
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
        if self.any {
            self.largest.min(0xFFFF)
        } else {
            INVALID
        }
    }
}

#[derive(Default)]
struct Mean {
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
            Some(mean) => mean.min(0xFFFF) as u32,
            None => INVALID,
        }
    }
}

/// `floor(H[cell] · 127 / V)`, with `H` the inclusive cumulative histogram of the `V` valid cells;
/// an invalid cell gives 0.
fn equalize(scratch: &mut Scratch<'_>, map: &mut [u8]) -> Result<Statistics, Fault> {
    let Scratch { histogram, cells } = scratch;
    let mut found = Statistics::default();
    for &cell in cells.iter().filter(|&&cell| cell != INVALID) {
        histogram[cell as usize] += 1;
        found.valid_cells += 1;
        found.largest = found.largest.max(cell);
        found.sum += u64::from(cell);
    }
    if found.valid_cells == 0 {
        return Err(Fault::NoValidPixel);
    }
    found.zero_cells = histogram[0];
    let used = &mut histogram[..=found.largest as usize];
    let mut below = 0;
    for level in used.iter_mut() {
        below += *level;
        *level = (u64::from(below) * u64::from(MAP_MAX) / u64::from(found.valid_cells)) as u32;
    }
    for (out, &cell) in map.iter_mut().zip(cells.iter()) {
        *out = if cell == INVALID {
            0
        } else {
            used[cell as usize] as u8
        };
    }
    used.fill(0);
    Ok(found)
}

/// Cells on each side that a cell's neighbourhood reaches: 11 x 11 with the cell itself.
const REACH: usize = 5;
/// The level of a cell that is as bright as its neighbourhood.
const LEVEL_OF_BACKGROUND: i64 = 24;
/// Levels for one mean absolute deviation.
const LEVELS_PER_DEVIATION: i64 = 8;

/// `24 + floor(8 d V / Σ|d|)`, clamped to 1..=127; an invalid cell gives 0.
///
/// `y = isqrt(512 (8 cell + 3))` is `64 √(cell + 3/8)`, whose noise does not depend on the counts
/// (Anscombe 1948); `d` is `y` less the mean of the valid `y` of its neighbourhood, rounded. The
/// unit, the mean of `|d|` over the `V` valid cells, takes out the gain of the detector.
fn contrast(scratch: &mut Scratch<'_>, input: usize, map: &mut [u8]) -> Result<Statistics, Fault> {
    let Scratch { histogram, cells } = scratch;
    let mut found = Statistics::default();
    for cell in cells.iter_mut().filter(|cell| **cell != INVALID) {
        found.valid_cells += 1;
        found.zero_cells += u32::from(*cell == 0);
        found.largest = found.largest.max(*cell);
        found.sum += u64::from(*cell);
        *cell = (512 * (8 * *cell + 3)).isqrt();
    }
    if found.valid_cells == 0 {
        return Err(Fault::NoValidPixel);
    }
    let mut columns = Columns::new(histogram, input);
    let mut deviations = 0i64;
    columns.deviations(cells, |_, d| deviations += i64::from(d.abs()));
    map.fill(0);
    let unit = deviations.max(1);
    let scale = LEVELS_PER_DEVIATION * i64::from(found.valid_cells);
    columns.deviations(cells, |i, d| {
        let level = LEVEL_OF_BACKGROUND + (i64::from(d) * scale).div_euclid(unit);
        map[i] = level.clamp(1, i64::from(MAP_MAX)) as u8;
    });
    columns.clear();
    Ok(found)
}

/// Sums of the valid cells in each column of a band of rows.
struct Columns<'m> {
    sums: &'m mut [u32],
    counts: &'m mut [u32],
}

impl<'m> Columns<'m> {
    /// In borrowed words, of which there are more than two rows.
    fn new(words: &'m mut [u32], input: usize) -> Self {
        let (sums, rest) = words.split_at_mut(input);
        Columns {
            sums,
            counts: &mut rest[..input],
        }
    }

    fn clear(&mut self) {
        self.sums.fill(0);
        self.counts.fill(0);
    }

    /// Tells place and deviation from the neighbourhood of every valid cell.
    fn deviations(&mut self, cells: &[u32], mut tell: impl FnMut(usize, i32)) {
        let input = self.sums.len();
        self.clear();
        for row in cells.chunks_exact(input).take(REACH) {
            self.enter(row);
        }
        for (y, row) in cells.chunks_exact(input).enumerate() {
            if let Some(below) = cells.chunks_exact(input).nth(y + REACH) {
                self.enter(below);
            }
            if let Some(above) = y.checked_sub(REACH + 1) {
                self.leave(&cells[above * input..(above + 1) * input]);
            }
            let (mut sum, mut count) = (0, 0);
            for x in 0..REACH.min(input) {
                sum += self.sums[x];
                count += self.counts[x];
            }
            for (x, &cell) in row.iter().enumerate() {
                if let (Some(s), Some(n)) = (self.sums.get(x + REACH), self.counts.get(x + REACH)) {
                    sum += s;
                    count += n;
                }
                if let Some(left) = x.checked_sub(REACH + 1) {
                    sum -= self.sums[left];
                    count -= self.counts[left];
                }
                if cell != INVALID {
                    tell(
                        y * input + x,
                        cell as i32 - ((sum + count / 2) / count) as i32,
                    );
                }
            }
        }
    }

    fn enter(&mut self, row: &[u32]) {
        for ((sum, count), &cell) in self.sums.iter_mut().zip(&mut *self.counts).zip(row) {
            if cell != INVALID {
                *sum += cell;
                *count += 1;
            }
        }
    }

    fn leave(&mut self, row: &[u32]) {
        for ((sum, count), &cell) in self.sums.iter_mut().zip(&mut *self.counts).zip(row) {
            if cell != INVALID {
                *sum -= cell;
                *count -= 1;
            }
        }
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
        Preparation {
            columns,
            rows,
            pixel_type,
            window,
            reduce: Reduce::Maximum,
            saturation: u32::MAX,
            mask: Mask::NONE,
            mask_values: MaskValues::new(),
            corrections: &[],
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
                Window::whole(side, input, input);
            }
            assert!(scratch_words(side) >= LEVELS);
        }
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
        let input = preparation.window.input;
        let mut memory = vec![7; scratch_words(input)];
        let mut scratch = Scratch::new(&mut memory, input).unwrap();
        let mut map = vec![255; (input * input) as usize];
        let first = preparation.run(&frame, &mut scratch, &mut map)?;
        let again = map.clone();
        assert_eq!(
            preparation.run(&frame, &mut scratch, &mut map),
            Ok(first),
            "scratch is left clean"
        );
        assert_eq!(map, again);
        Ok((map, first))
    }

    #[test]
    fn maximum_of_each_block_equalized() {
        let window = Window {
            left: 0,
            top: 0,
            block: 2,
            input: 2,
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
        };
        assert_eq!(
            map(&preparation(1, 1, PixelType::U8, far), &[1]),
            Err(Fault::NoValidPixel)
        );
    }

    /// The definition in plain loops.
    fn contrast_by_definition(cells: &[Option<u32>], input: usize) -> Vec<u8> {
        let y = |x: i64, r: i64| {
            let inside = (0..input as i64).contains(&x) && (0..input as i64).contains(&r);
            let cell = if inside {
                cells[(r * input as i64 + x) as usize]
            } else {
                None
            };
            cell.map(|cell| i64::from((512 * (8 * cell + 3)).isqrt()))
        };
        let d: Vec<Option<i64>> = (0..cells.len() as i64)
            .map(|i| {
                let (x, r) = (i % input as i64, i / input as i64);
                let near: Vec<i64> = (-5..=5)
                    .flat_map(|v| (-5..=5).filter_map(move |u| y(x + u, r + v)))
                    .collect();
                let n = near.len() as i64;
                y(x, r).map(|y| y - (near.iter().sum::<i64>() + n / 2) / n)
            })
            .collect();
        let valid = d.iter().flatten().count() as i64;
        let sum = d.iter().flatten().map(|d| d.abs()).sum::<i64>().max(1);
        d.iter()
            .map(|d| {
                d.map_or(0, |d| {
                    (24 + (8 * d * valid).div_euclid(sum)).clamp(1, 127) as u8
                })
            })
            .collect()
    }

    #[test]
    fn contrast_is_its_definition() {
        for (input, masked) in [
            (1u32, false),
            (4, true),
            (11, false),
            (12, true),
            (29, true),
        ] {
            let window = Window {
                left: 0,
                top: 0,
                block: 1,
                input,
            };
            let mut p = preparation(input, input, PixelType::U16, window);
            p.reduce = Reduce::Contrast;
            if masked {
                p.mask_values.push(3).unwrap();
            }
            let counts: Vec<u16> = (0..input * input)
                .map(|i| match i.wrapping_mul(2_654_435_761) >> 24 {
                    0..=3 => 60_000,
                    n => (n % 7) as u16,
                })
                .collect();
            let payload: Vec<u8> = counts.iter().flat_map(|c| c.to_le_bytes()).collect();
            let cells: Vec<_> = counts
                .iter()
                .map(|&c| (!masked || c != 3).then_some(u32::from(c)))
                .collect();
            let (map, _) = map(&p, &payload).unwrap();
            assert_eq!(
                map,
                contrast_by_definition(&cells, input as usize),
                "{input}"
            );
        }
    }

    #[test]
    fn a_flat_frame_has_the_level_of_its_background() {
        let window = Window {
            left: 0,
            top: 0,
            block: 1,
            input: 3,
        };
        let mut p = preparation(3, 3, PixelType::U8, window);
        p.reduce = Reduce::Contrast;
        assert_eq!(map(&p, &[9; 9]).unwrap().0, [24; 9]);
    }

    #[test]
    fn raw_words_are_corrected_by_their_cell() {
        use half::f16;
        let window = Window {
            left: 0,
            top: 0,
            block: 1,
            input: 2,
        };
        let (dark, gain) = ([4000; 4], [f16::ONE; 4]);
        let cells = [Correction::new([&dark; 3], [&gain; 3], 4).unwrap()];
        let mut p = preparation(2, 2, PixelType::U16, window);
        p.corrections = &cells;
        let words: [u16; 4] = [1000, 1002, 1001, 0b10 << 14];
        let payload: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let (_, found) = map(&p, &payload).unwrap();
        assert_eq!((found.valid_cells, found.largest, found.sum), (3, 32, 48));
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
        };
        let (_, found) = map(&preparation(1, 1, PixelType::U32, window), &[0xFF; 4]).unwrap();
        assert_eq!(found.largest, 0xFFFF);
    }

    #[test]
    fn window_of_a_whole_panel_covers_it() {
        for (columns, rows) in [(1024, 512), (2070, 2167), (1, 1), (224, 224), (225, 3)] {
            let w = Window::whole(columns, rows, 224);
            let (end_x, end_y) = (w.left + w.side() as i32, w.top + w.side() as i32);
            assert!(w.left <= 0 && w.top <= 0 && end_x >= columns as i32 && end_y >= rows as i32);
            assert!(w.block == 1 || (w.block - 1) * 224 < columns.max(rows));
        }
    }
}
