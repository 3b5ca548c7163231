//! Pixels of a row → counts, and what becomes of them column by column.

use crate::Simd;

/// Pixels that the loops take at a time: the columns of a row are padded to a multiple of it.
pub const UNIT: usize = 64;
/// Pixels of a word of mask bits.
const WORD: usize = 32;

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

/// The sum of the counts.
pub type Sum = u64;

impl Column for Sum {
    #[inline(always)]
    fn take<P: Pixel>(&mut self, pixel: P, most: u32, keep: u16) {
        let keep = u32::from(keep) << 16 | u32::from(keep);
        *self += u64::from(pixel.count(most) & keep);
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

/// Gives the pixels in `bytes`, the first of which has bit `bit` of the mask, to their columns, and adds
/// 1 to `valid` where a pixel is not excluded. `ahead` are bytes that will be read soon.
///
/// `columns` and `valid` are as long as the pixels, padded to whole units; the padding is excluded.
pub fn counts<S: Simd, P: Pixel, C: Column>(
    s: S,
    bytes: &[u8],
    bit: usize,
    rule: &Rule<'_, P>,
    ahead: &[u8],
    columns: &mut [C],
    valid: &mut [u16],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let pixels = P::stored(bytes);
            let columns = columns.as_chunks_mut::<UNIT>().0;
            let valid = valid.as_chunks_mut::<UNIT>().0;
            let mut units = columns.iter_mut().zip(valid).zip((bit..).step_by(UNIT));
            let mut ahead = ahead.chunks(UNIT);
            let (whole, rest) = pixels.as_chunks::<UNIT>();
            for (pixels, ((columns, valid), bit)) in whole.iter().zip(&mut units) {
                for line in ahead.by_ref().take(size_of::<P>()) {
                    s.prefetch(line);
                }
                unit(s, pixels, excluded(rule.mask, bit), rule, columns, valid);
            }
            if let ([first, ..], Some(((columns, valid), bit))) = (rest, units.next()) {
                let mut padded = [*first; UNIT];
                padded[..rest.len()].copy_from_slice(rest);
                let beyond = u64::MAX << rest.len();
                let [low, high] = excluded(rule.mask, bit);
                let excluded = [low | beyond as u32, high | (beyond >> WORD) as u32];
                unit(s, &padded, excluded, rule, columns, valid);
            }
        },
    );
}

#[inline(always)]
fn unit<S: Simd, P: Pixel, C: Column>(
    s: S,
    pixels: &[P::Stored; UNIT],
    excluded: [u32; 2],
    rule: &Rule<'_, P>,
    columns: &mut [C; UNIT],
    valid: &mut [u16; UNIT],
) {
    let mut keep = [0; UNIT];
    for (keep, excluded) in keep.as_chunks_mut().0.iter_mut().zip(excluded) {
        s.spread(!excluded, keep);
    }
    for value in rule.values {
        for i in 0..UNIT {
            let counts = P::load(pixels[i]) != *value;
            keep[i] &= if counts { u16::MAX } else { 0 };
        }
    }
    for i in 0..UNIT {
        columns[i].take(P::load(pixels[i]), rule.most, keep[i]);
        valid[i] = valid[i].wrapping_sub(keep[i]);
    }
}

/// The bits of `mask` for a unit from bit `bit` on, 0 beyond its end.
#[inline(always)]
fn excluded(mask: &[u8], bit: usize) -> [u32; 2] {
    [word(mask, bit), word(mask, bit + WORD)]
}

#[inline(always)]
fn word(mask: &[u8], bit: usize) -> u32 {
    let bytes = mask.get(bit / 8..).unwrap_or_default();
    let word = match bytes.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None if bytes.is_empty() => 0,
        None => last_word(bytes),
    };
    (word >> (bit % 8)) as u32
}

#[cold]
fn last_word(bytes: &[u8]) -> u64 {
    let mut word = 0;
    for byte in bytes.iter().rev() {
        word = word << 8 | u64::from(*byte);
    }
    word
}
