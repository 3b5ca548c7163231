//! A frame → its counts, pixel by pixel, for whoever looks at pixels and not at a map.

use core::ops::Range;

pub use hitgate_kernels::EXCLUDED;
use hitgate_kernels::{Pixel, Scalar};

use super::Preparation;
use super::rows::values;
use crate::frame::{Fault, Frame, PixelType};

/// The largest count that [`Preparation::read_counts`] writes: the highest bit is free.
pub const LARGEST_COUNT: u32 = u32::MAX >> 1;

impl Preparation<'_> {
    /// Writes the counts of the pixels in `columns` of `rows` into `counts`, row by row: with
    /// negative counts taken as 0, overloads clipped, and [`EXCLUDED`] for what is masked or
    /// declared no measurement. The window does not matter.
    ///
    /// # Errors
    /// [`Fault::Shape`] where the frame is not of the configured shape, the ranges reach beyond it,
    /// or `counts` has not a place for each pixel; [`Fault::UnknownCell`] for a storage cell without
    /// correction; [`Fault::Compressed`] where the frame is still to be [decoded](Preparation::decode).
    pub fn read_counts(
        &self,
        frame: &Frame<'_>,
        columns: Range<usize>,
        rows: Range<usize>,
        counts: &mut [u32],
    ) -> Result<(), Fault> {
        if frame.header.compression()?.is_some() {
            return Err(Fault::Compressed);
        }
        let inside = columns.end <= self.columns as usize && rows.end <= self.rows as usize;
        if !self.fits(frame) || !inside || counts.len() != columns.len() * rows.len() {
            return Err(Fault::Shape);
        }
        let (area, payload) = ((columns, rows), frame.payload);
        match (self.correction(frame)?, self.pixel_type) {
            (Some(correction), _) => self.write_rows(area, counts, |pixels, counts| {
                let words = &u16::stored(payload)[pixels.clone()];
                correction.counts(Scalar, pixels.start, words, counts);
                for count in counts.iter_mut().filter(|count| **count != EXCLUDED) {
                    *count = (*count).min(self.largest_count());
                }
            }),
            (None, PixelType::U8) => self.write_pixels::<u8>(area, counts, payload),
            (None, PixelType::U16) => self.write_pixels::<u16>(area, counts, payload),
            (None, PixelType::U32) => self.write_pixels::<u32>(area, counts, payload),
            (None, PixelType::I16) => self.write_pixels::<i16>(area, counts, payload),
            (None, PixelType::I32) => self.write_pixels::<i32>(area, counts, payload),
        }
        Ok(())
    }

    fn largest_count(&self) -> u32 {
        self.saturation.min(LARGEST_COUNT)
    }

    fn write_pixels<P: Pixel + TryFrom<i64>>(
        &self,
        area: (Range<usize>, Range<usize>),
        counts: &mut [u32],
        payload: &[u8],
    ) {
        let excluded = values::<P>(&self.mask_values);
        self.write_rows(area, counts, |pixels, counts| {
            for (count, pixel) in counts.iter_mut().zip(&P::stored(payload)[pixels]) {
                let pixel = P::load(*pixel);
                *count = match excluded.contains(&pixel) {
                    true => EXCLUDED,
                    false => pixel.count(self.largest_count()),
                };
            }
        });
    }

    /// Has `read` write the counts of each row of the area, and excludes what is masked.
    fn write_rows(
        &self,
        (columns, rows): (Range<usize>, Range<usize>),
        counts: &mut [u32],
        read: impl Fn(Range<usize>, &mut [u32]),
    ) {
        if columns.is_empty() {
            return;
        }
        for (y, counts) in rows.zip(counts.chunks_exact_mut(columns.len())) {
            let first = y * self.columns as usize + columns.start;
            read(first..first + columns.len(), counts);
            for (pixel, count) in (first..).zip(counts) {
                if self.mask.excludes(pixel) {
                    *count = EXCLUDED;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::frame::FrameHeader;
    use crate::prep::{Mask, MaskValues, Reduce, Window};
    use std::vec::Vec;

    #[test]
    fn counts_of_a_part_with_what_is_excluded() {
        let preparation = Preparation {
            saturation: 1000,
            mask: Mask::new(&[0b0010_0000, 0], 4, 3).unwrap(),
            mask_values: MaskValues::from_slice(&[-2]).unwrap(),
            ..Preparation::plain(
                4,
                3,
                PixelType::I16,
                Window::whole(4, 3, 1),
                Reduce::Maximum,
            )
        };
        #[rustfmt::skip]
        let pixels: [i16; 12] = [
            1, 2, 3, 4,
            5, 6, -2, -1,
            7, 8, 2000, 9,
        ];
        let payload: Vec<u8> = pixels.iter().flat_map(|p| p.to_le_bytes()).collect();
        let frame = Frame {
            header: FrameHeader::new(3, 4, PixelType::I16),
            pixel_type: PixelType::I16,
            payload: &payload,
        };
        let mut counts = [7; 6];
        assert_eq!(
            preparation.read_counts(&frame, 1..4, 1..3, &mut counts),
            Ok(())
        );
        assert_eq!(counts, [EXCLUDED, EXCLUDED, 0, 8, 1000, 9]);
        for (columns, rows) in [(1..5, 1..3), (1..4, 2..4), (1..4, 1..2)] {
            let read = preparation.read_counts(&frame, columns, rows, &mut counts);
            assert_eq!(read, Err(Fault::Shape));
        }
        let short = Frame {
            payload: &payload[1..],
            ..frame
        };
        let read = preparation.read_counts(&short, 1..4, 1..3, &mut counts);
        assert_eq!(read, Err(Fault::Shape));
        assert_eq!(preparation.read_counts(&frame, 2..2, 0..3, &mut []), Ok(()));
    }

    #[test]
    fn the_highest_bit_of_a_count_is_free() {
        let preparation = Preparation::plain(
            1,
            1,
            PixelType::U32,
            Window::whole(1, 1, 1),
            Reduce::Maximum,
        );
        let frame = Frame {
            header: FrameHeader::new(1, 1, PixelType::U32),
            pixel_type: PixelType::U32,
            payload: &[0xFF; 4],
        };
        let mut counts = [0];
        preparation
            .read_counts(&frame, 0..1, 0..1, &mut counts)
            .unwrap();
        assert_eq!(counts, [LARGEST_COUNT]);
    }
}
