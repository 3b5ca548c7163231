//! Which pixels carry no signal.

use std::path::{Path, PathBuf};

use crate::{FormatError, FrameFile, Image};

/// Excluded pixels, one bit each: pixel `i` of the row-major image is bit `i % 8` of byte `i / 8`,
/// and 1 means excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Pixels in a line.
    pub columns: u32,
    /// Lines.
    pub rows: u32,
    /// `ceil(columns * rows / 8)` bytes; the unused bits of the last one are 0.
    pub bits: Vec<u8>,
}

impl Mask {
    /// Excludes every pixel of `image` that is not zero, as a NeXus `pixel_mask` does.
    pub fn from_image(image: &Image) -> Mask {
        let mut bits = vec![0; image.pixels.len().div_ceil(8)];
        for index in (0..image.pixels.len()).filter(|&index| image.pixels.is_set(index)) {
            bits[index / 8] |= 1 << (index % 8);
        }
        Mask {
            columns: image.columns,
            rows: image.rows,
            bits,
        }
    }

    /// Reads a mask from `FILE` or `FILE:DATASET`: the mask that an HDF5 file holds of its own, or
    /// else the one image in any format that [`FrameFile`] opens, in which every pixel that is
    /// not zero is excluded.
    ///
    /// # Errors
    /// As [`FrameFile::open`]; [`FormatError::Shape`] where there are several images.
    pub fn read(spec: &str) -> Result<Mask, FormatError> {
        let spec = Path::new(spec);
        let mut file = FrameFile::open(spec)?;
        match (split_dataset(spec), &file.metadata().mask) {
            ((_, None), Some(own)) => Ok(own.clone()),
            _ if file.frames() != 1 => Err(FormatError::Shape {
                file: spec.to_path_buf(),
                what: format!("{} images, and a mask is one", file.frames()),
            }),
            _ => Ok(Mask::from_image(&file.read_raw(0)?)),
        }
    }

    /// This mask, with every pixel of `image` excluded too whose value is in `values`. An image of
    /// another shape changes nothing.
    pub fn with_values(mut self, image: &Image, values: &[i64]) -> Mask {
        use crate::Pixels;
        if (image.columns, image.rows) != (self.columns, self.rows) {
            return self;
        }
        let mut exclude = |index: usize, value: i64| {
            if values.contains(&value)
                && let Some(byte) = self.bits.get_mut(index / 8)
            {
                *byte |= 1 << (index % 8);
            }
        };
        macro_rules! each {
            ($values:expr) => {
                $values
                    .iter()
                    .enumerate()
                    .for_each(|(i, &v)| exclude(i, i64::from(v)))
            };
        }
        match &image.pixels {
            Pixels::U8(pixels) => each!(pixels),
            Pixels::U16(pixels) => each!(pixels),
            Pixels::U32(pixels) => each!(pixels),
            Pixels::I16(pixels) => each!(pixels),
            Pixels::I32(pixels) => each!(pixels),
            // Values are declared for integers: see Image::into_integer.
            Pixels::F32(_) => {}
        }
        self
    }

    /// A mask of `columns` by `rows` pixels that excludes none.
    pub fn none(columns: u32, rows: u32) -> Mask {
        let pixels = columns as usize * rows as usize;
        Mask {
            columns,
            rows,
            bits: vec![0; pixels.div_ceil(8)],
        }
    }

    /// Whether pixel `index` of the row-major image is excluded.
    pub fn excludes(&self, index: usize) -> bool {
        self.bits
            .get(index / 8)
            .is_some_and(|byte| byte >> (index % 8) & 1 == 1)
    }

    /// This mask so many times, one under another.
    pub(crate) fn repeated(&self, times: u32) -> Mask {
        let pixels = self.columns as usize * self.rows as usize;
        let mut mask = Mask::none(self.columns, self.rows * times);
        for index in (0..pixels * times as usize).filter(|index| self.excludes(index % pixels)) {
            mask.set(index, true);
        }
        mask
    }

    /// Excludes pixel `index`, or does not.
    pub(crate) fn set(&mut self, index: usize, excluded: bool) {
        let bit = 1 << (index % 8);
        match excluded {
            true => self.bits[index / 8] |= bit,
            false => self.bits[index / 8] &= !bit,
        }
    }

    /// Excludes the pixels of another mask of this shape too.
    pub fn add(&mut self, other: &Mask) {
        for (to, from) in self.bits.iter_mut().zip(&other.bits) {
            *to |= from;
        }
    }

    /// Number of excluded pixels.
    pub fn count(&self) -> usize {
        self.bits
            .iter()
            .map(|byte| byte.count_ones() as usize)
            .sum()
    }
}

/// `FILE:DATASET` as its two parts, `FILE` alone where no dataset is named. A file whose own name
/// holds a colon is itself.
pub fn split_dataset(path: &Path) -> (PathBuf, Option<String>) {
    if path.exists() {
        return (path.to_path_buf(), None);
    }
    let Some(text) = path.to_str() else {
        return (path.to_path_buf(), None);
    };
    match text.rsplit_once(':') {
        Some((file, dataset)) if !file.is_empty() && !dataset.is_empty() => {
            (PathBuf::from(file), Some(dataset.to_owned()))
        }
        _ => (path.to_path_buf(), None),
    }
}
