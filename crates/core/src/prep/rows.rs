//! The rows of a frame, as counts in columns.

use core::ops::Range;

use hitgate_kernels::{Ahead, Area, Column, EXCLUDED, Pixel, Rule, Simd, counts};

use super::{MaskValues, Preparation};
use crate::correct::Correction;

/// A part of a frame: rows, and the columns of each.
pub(super) type Part = (Range<usize>, Range<usize>);

/// Where counts come from.
pub(super) trait Rows<'f> {
    /// The bytes of `part`, which will be read soon.
    fn ahead(&self, part: Part) -> Ahead<'f>;

    /// Gives the pixels of `part` to their columns, which are padded to whole units, and sets the bit of a
    /// column in `valid` where one is not excluded. The columns of a row are `pitch` after those of the row
    /// before. On the way `ahead` is asked for.
    fn read<S: Simd, C: Column>(
        &mut self,
        s: S,
        part: Part,
        columns: (&mut [C], usize),
        valid: &mut [u64],
        ahead: Ahead<'_>,
    );
}

/// Pixels that are counts.
pub(super) struct Pixels<'f, P> {
    payload: &'f [u8],
    columns: usize,
    rule: Rule<'f, P>,
}

/// The declared mask values that a pixel of this type can hold.
pub(super) fn values<P: TryFrom<i64>>(values: &MaskValues) -> heapless::Vec<P, 8> {
    values.iter().filter_map(|&v| P::try_from(v).ok()).collect()
}

impl<'f, P: Pixel> Pixels<'f, P> {
    pub fn new(payload: &'f [u8], preparation: &'f Preparation<'_>, values: &'f [P]) -> Self {
        Pixels {
            payload,
            columns: preparation.columns as usize,
            rule: Rule {
                mask: preparation.mask.bits,
                values,
                most: preparation.saturation,
            },
        }
    }

    /// The bytes from column `x` of row `y` on; none where the frame does not have it.
    fn bytes(&self, y: usize, x: usize) -> &'f [u8] {
        // A row below the frame's may be farther away than there are addresses.
        let pixel = y
            .checked_mul(self.columns)
            .and_then(|row| row.checked_add(x));
        let start = pixel.and_then(|pixel| pixel.checked_mul(size_of::<P>()));
        let bytes = start.and_then(|start| self.payload.get(start..));
        bytes.unwrap_or_default()
    }
}

impl<'f, P: Pixel> Rows<'f> for Pixels<'f, P> {
    fn ahead(&self, (ys, xs): Part) -> Ahead<'f> {
        Ahead {
            bytes: self.bytes(ys.start, xs.start),
            row: xs.len() * size_of::<P>(),
            pitch: self.columns * size_of::<P>(),
            rows: ys.len(),
        }
    }

    fn read<S: Simd, C: Column>(
        &mut self,
        s: S,
        (ys, xs): Part,
        (columns, pitch): (&mut [C], usize),
        valid: &mut [u64],
        ahead: Ahead<'_>,
    ) {
        let area = Area {
            bytes: self.bytes(ys.start, xs.start),
            first: ys.start * self.columns + xs.start,
            pitch: self.columns,
            columns: xs.len(),
            rows: ys.len(),
        };
        counts(s, &area, &self.rule, columns, pitch, valid, ahead);
    }
}

/// Raw words of an integrating detector.
pub(super) struct Corrected<'f> {
    words: Pixels<'f, u16>,
    correction: &'f Correction<'f>,
    rule: Rule<'f, u32>,
    /// The corrected counts of a part.
    line: &'f mut [u32],
}

impl<'f> Corrected<'f> {
    /// `line` holds as many numbers as the widest part has columns.
    pub fn new(
        payload: &'f [u8],
        preparation: &'f Preparation<'_>,
        correction: &'f Correction<'f>,
        line: &'f mut [u32],
    ) -> Self {
        let words = Pixels::new(payload, preparation, &[]);
        let rule = Rule {
            mask: words.rule.mask,
            values: &[EXCLUDED],
            most: words.rule.most,
        };
        Corrected {
            words,
            correction,
            rule,
            line,
        }
    }
}

impl<'f> Rows<'f> for Corrected<'f> {
    fn ahead(&self, part: Part) -> Ahead<'f> {
        self.words.ahead(part)
    }

    fn read<S: Simd, C: Column>(
        &mut self,
        s: S,
        (ys, xs): Part,
        (columns, pitch): (&mut [C], usize),
        valid: &mut [u64],
        _: Ahead<'_>,
    ) {
        let line = &mut self.line[..xs.len()];
        for (row, y) in ys.enumerate() {
            let first = y * self.words.columns + xs.start;
            let words = &u16::stored(self.words.bytes(y, xs.start))[..xs.len()];
            self.correction.counts(s, first, words, line);
            // As pixels are stored.
            line.iter_mut().for_each(|count| *count = count.to_le());
            let area = Area {
                bytes: bytemuck::cast_slice(line),
                first,
                pitch: 0,
                columns: xs.len(),
                rows: 1,
            };
            let columns = &mut columns[row * pitch..];
            counts(s, &area, &self.rule, columns, 0, valid, Ahead::default());
        }
    }
}
