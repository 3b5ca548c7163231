//! The rows of a frame, as counts in columns.

use core::ops::Range;

use hitgate_kernels::{Column, Pixel, Rule, Simd, counts};

use super::{MaskValues, Preparation};
use crate::correct::Correction;

/// A part of a row: the row, and its columns.
pub(super) type Part = (usize, Range<usize>);

/// Where counts come from.
pub(super) trait Rows {
    /// Gives the pixels of `part` to their columns, and adds 1 to `valid` where one is not excluded; both
    /// are padded to whole units. `ahead` will be read soon.
    fn read<S: Simd, C: Column>(
        &mut self,
        s: S,
        part: Part,
        ahead: Part,
        columns: &mut [C],
        valid: &mut [u16],
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

    /// The bytes of `part`; none where the frame does not have it.
    fn bytes(&self, (y, xs): &Part) -> &'f [u8] {
        let first = y * self.columns + xs.start;
        let bytes = first * size_of::<P>()..(first + xs.len()) * size_of::<P>();
        self.payload.get(bytes).unwrap_or_default()
    }
}

impl<P: Pixel> Rows for Pixels<'_, P> {
    fn read<S: Simd, C: Column>(
        &mut self,
        s: S,
        part: Part,
        ahead: Part,
        columns: &mut [C],
        valid: &mut [u16],
    ) {
        let bit = part.0 * self.columns + part.1.start;
        let (bytes, ahead) = (self.bytes(&part), self.bytes(&ahead));
        counts(s, bytes, bit, &self.rule, ahead, columns, valid);
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

/// Stands for a word that is no count: counts are less.
const NO_COUNT: u32 = u32::MAX;

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
            values: &[NO_COUNT],
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

impl Rows for Corrected<'_> {
    fn read<S: Simd, C: Column>(
        &mut self,
        s: S,
        part: Part,
        _: Part,
        columns: &mut [C],
        valid: &mut [u16],
    ) {
        let first = part.0 * self.words.columns + part.1.start;
        let words = u16::stored(self.words.bytes(&part));
        let line = &mut self.line[..words.len()];
        for ((count, word), pixel) in line.iter_mut().zip(words).zip(first..) {
            let corrected = self.correction.count(pixel, u16::load(*word));
            *count = corrected.unwrap_or(NO_COUNT).to_le();
        }
        let bytes = bytemuck::cast_slice(line);
        counts(s, bytes, first, &self.rule, &[], columns, valid);
    }
}
