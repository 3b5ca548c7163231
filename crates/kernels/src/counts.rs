//! Pixels of a row → counts, and what becomes of them column by column.

use crate::{Ahead, Simd};

/// Pixels that the loops take at a time: the columns of a row are padded to a multiple of it.
pub const UNIT: usize = 64;
/// Units whose mask bits are looked up together.
const RUN: usize = 34;

/// A stored pixel, little endian.
pub trait Pixel: Copy + PartialEq + 'static {
    /// The bytes of a pixel.
    type Stored: Copy;
    /// The pixels in `bytes`.
    fn stored(bytes: &[u8]) -> &[Self::Stored];
    /// The number that is stored.
    fn load(stored: Self::Stored) -> Self;
    /// The count, cut to `most`; a negative count is none.
    fn count(self, most: u32) -> u32;
    /// The count, cut to `most`, in 16 bits.
    fn count16(self, most: u16) -> u16;
}

macro_rules! pixel {
    ($($type:ty: |$value:ident, $most:ident| $count:expr, $count16:expr;)*) => {$(
        impl Pixel for $type {
            type Stored = [u8; size_of::<$type>()];
            #[inline(always)]
            fn stored(bytes: &[u8]) -> &[Self::Stored] {
                bytes.as_chunks().0
            }
            #[inline(always)]
            fn load(stored: Self::Stored) -> Self {
                <$type>::from_le_bytes(stored)
            }
            #[inline(always)]
            fn count(self, $most: u32) -> u32 {
                let $value = self;
                $count
            }
            #[inline(always)]
            fn count16(self, $most: u16) -> u16 {
                let $value = self;
                $count16
            }
        }
    )*};
}
pixel! {
    u8: |v, most| u32::from(v).min(most), u16::from(v).min(most);
    u16: |v, most| u32::from(v).min(most), v.min(most);
    u32: |v, most| v.min(most), v.min(u32::from(most)) as u16;
    i16: |v, most| (v.max(0) as u32).min(most), (v.max(0) as u16).min(most);
    i32: |v, most| (v.max(0) as u32).min(most), (v.max(0) as u32).min(u32::from(most)) as u16;
}

/// What becomes of the counts in a column.
pub trait Column: Copy {
    /// Takes the count of `pixel`, cut to `most`; `keep` is all ones, or 0 for an excluded pixel, whose
    /// count is 0.
    fn take<P: Pixel>(&mut self, pixel: P, most: u32, keep: u16);
}

/// The count that came last, cut to 65535 and less 32768: products of 16 bits are signed.
pub type Count = i16;
/// The [`Count`] of an excluded pixel, which is that of no photon.
pub const NO_COUNT: Count = Count::MIN;

impl Column for Count {
    #[inline(always)]
    fn take<P: Pixel>(&mut self, pixel: P, most: u32, keep: u16) {
        *self = ((count16(pixel, most) & keep) ^ 0x8000) as i16;
    }
}

/// The largest count, cut to 65535.
pub type Largest = u16;

impl Column for Largest {
    #[inline(always)]
    fn take<P: Pixel>(&mut self, pixel: P, most: u32, keep: u16) {
        *self = (*self).max(count16(pixel, most) & keep);
    }
}

/// The sum of the counts, and in its highest 16 bits how many there are: at most 65535 rows of 32 bits.
pub type Sum = u64;

/// Bits of the sum in a [`Sum`].
pub const SUM_BITS: u32 = 48;

impl Column for Sum {
    #[inline(always)]
    fn take<P: Pixel>(&mut self, pixel: P, most: u32, keep: u16) {
        let keep = u32::from(keep) << 16 | u32::from(keep);
        *self += u64::from(pixel.count(most) & keep) + (u64::from(keep & 1) << SUM_BITS);
    }
}

#[inline(always)]
fn count16<P: Pixel>(pixel: P, most: u32) -> u16 {
    pixel.count16(most.min(u32::from(u16::MAX)) as u16)
}

/// Which pixels are no measurement, and where counts are cut.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a, P> {
    /// One bit a pixel, row by row: bit `i % 8` of byte `i / 8`, set where pixel `i` is excluded; a pixel
    /// beyond the bits is not.
    pub mask: &'a [u8],
    /// Stored numbers that are no counts.
    pub values: &'a [P],
    /// The largest count.
    pub most: u32,
}

/// Some columns of some rows of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Area<'f> {
    /// Stored pixels, from the first of the area on; rows that they lack are not there.
    pub bytes: &'f [u8],
    /// The number of the first pixel, row by row.
    pub first: usize,
    /// Pixels from one row to the next.
    pub pitch: usize,
    /// Pixels of a row.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
}

impl<'f> Area<'f> {
    /// The bytes of row `row`, of pixels of so many bytes.
    #[inline(always)]
    fn row(&self, row: usize, pixel: usize) -> &'f [u8] {
        let bytes = self
            .bytes
            .get(row * self.pitch * pixel..)
            .unwrap_or_default();
        &bytes[..bytes.len().min(self.columns * pixel)]
    }
}

/// Gives the pixels of each row to their columns, and sets the bit of a column in `valid` where one is not
/// excluded.
///
/// A row has as many columns as it has pixels, padded to whole units, and is `pitch` columns after the row
/// before, or in the same ones where that is 0; `valid` has a word for each unit. The padding is excluded.
/// On the way the lines of `ahead` are asked for.
pub fn counts<S: Simd, P: Pixel, C: Column>(
    s: S,
    area: &Area<'_>,
    rule: &Rule<'_, P>,
    columns: &mut [C],
    pitch: usize,
    valid: &mut [u64],
    ahead: Ahead<'_>,
) {
    s.vectorize(
        #[inline(always)]
        || {
            let rule = *rule;
            for row in 0..area.rows {
                let bytes = area.row(row, size_of::<P>());
                let first = area.first + row * area.pitch;
                let columns = &mut columns[row * pitch..];
                take_row(s, bytes, first, &rule, columns, valid, ahead.row(row));
            }
        },
    );
}

#[inline(always)]
fn take_row<S: Simd, P: Pixel, C: Column>(
    s: S,
    bytes: &[u8],
    bit: usize,
    rule: &Rule<'_, P>,
    columns: &mut [C],
    valid: &mut [u64],
    ahead: &[u8],
) {
    let (whole, rest) = P::stored(bytes).as_chunks::<UNIT>();
    let columns = columns.as_chunks_mut::<UNIT>().0;
    let (whole_columns, rest_columns) = columns.split_at_mut(whole.len());
    let (whole_valid, rest_valid) = valid.split_at_mut(whole.len());
    let runs = whole.chunks(RUN).zip(whole_columns.chunks_mut(RUN));
    let mut at = 0;
    for ((pixels, columns), valid) in runs.zip(whole_valid.chunks_mut(RUN)) {
        let mut padded = [0; MASK_BYTES];
        let words = mask_words(rule.mask, bit / 8 + at / 8, &mut padded);
        let units = pixels.iter().zip(columns).zip(valid).zip(words.windows(2));
        for (((pixels, columns), valid), words) in units {
            for line in 0..size_of::<P>() {
                if let Some(line) = ahead.get(size_of::<P>() * at + UNIT * line..) {
                    s.prefetch(line);
                }
            }
            *valid |= unit(s, pixels, excluded(words, bit), rule, columns);
            at += UNIT;
        }
    }
    if let ([first, ..], [columns, ..], [valid, ..]) = (rest, rest_columns, rest_valid) {
        let mut pixels = [*first; UNIT];
        pixels[..rest.len()].copy_from_slice(rest);
        let mut padded = [0; MASK_BYTES];
        let words = mask_words(rule.mask, bit / 8 + at / 8, &mut padded);
        let excluded = excluded(words, bit) | u64::MAX << rest.len();
        *valid |= unit(s, &pixels, excluded, rule, columns);
    }
}

/// Gives the pixels of a unit to their columns; a bit is set for each that is not excluded.
#[inline(always)]
fn unit<S: Simd, P: Pixel, C: Column>(
    s: S,
    pixels: &[P::Stored; UNIT],
    excluded: u64,
    rule: &Rule<'_, P>,
    columns: &mut [C; UNIT],
) -> u64 {
    let mut keep = [0; UNIT];
    if let [low, high] = keep.as_chunks_mut().0 {
        s.spread(!excluded as u32, low);
        s.spread(!(excluded >> 32) as u32, high);
    }
    // Loops of so many steps are vectorised; shorter ones would be unrolled, and then are not.
    for value in rule.values {
        for i in 0..UNIT {
            let counts = P::load(pixels[i]) != *value;
            keep[i] &= if counts { u16::MAX } else { 0 };
        }
    }
    for i in 0..UNIT {
        columns[i].take(P::load(pixels[i]), rule.most, keep[i]);
    }
    match keep.as_chunks().0 {
        [low, high] => u64::from(s.gather(low)) | u64::from(s.gather(high)) << 32,
        _ => 0,
    }
}

/// Bytes of the mask for a run of units, and a word more.
const MASK_BYTES: usize = 8 * (RUN + 1);

/// The mask from byte `first` on; 0 beyond its end.
#[inline(always)]
fn mask_words<'a>(mask: &'a [u8], first: usize, padded: &'a mut [u8; MASK_BYTES]) -> &'a [[u8; 8]] {
    let bytes = mask.get(first..).unwrap_or_default();
    let bytes = bytes.first_chunk().unwrap_or_else(
        #[cold]
        || {
            padded[..bytes.len()].copy_from_slice(bytes);
            padded
        },
    );
    bytes.as_chunks().0
}

/// The bits for a unit that begins at bit `bit` of the first of two words.
#[inline(always)]
fn excluded(words: &[[u8; 8]], bit: usize) -> u64 {
    let [low, high] = [words[0], words[1]].map(u64::from_le_bytes);
    let shift = bit % 8;
    low >> shift | high << 1 << (63 - shift)
}
