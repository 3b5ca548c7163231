//! One frame in memory.

use std::path::Path;

use hitgate_core::frame::PixelType;

use crate::FormatError;

/// More pixels than any detector has; a header that promises more is damaged.
pub(crate) const MAX_PIXELS: u64 = 1 << 28;

/// One frame: `rows` lines of `columns` pixels, row-major.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Pixels in a line, the fast direction.
    pub columns: u32,
    /// Lines, the slow direction.
    pub rows: u32,
    /// `columns * rows` values.
    pub pixels: Pixels,
}

/// Pixel values of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// Unsigned, 8 bits.
    U8(Vec<u8>),
    /// Unsigned, 16 bits.
    U16(Vec<u16>),
    /// Unsigned, 32 bits.
    U32(Vec<u32>),
    /// Signed, 16 bits.
    I16(Vec<i16>),
    /// Signed, 32 bits.
    I32(Vec<i32>),
    /// IEEE single precision.
    F32(Vec<f32>),
}

/// How a file stores the value of a pixel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    U8,
    U16,
    U32,
    I16,
    I32,
    F32,
}

impl Image {
    /// The same frame in integers: `f32` is rounded to the nearest `i32` and clamped, and NaN
    /// becomes [`i32::MIN`], which [`Metadata::mask_values`](crate::Metadata) declares. Other types
    /// are returned as they are.
    pub fn into_integer(self) -> Image {
        let pixels = match self.pixels {
            Pixels::F32(values) => Pixels::I32(values.into_iter().map(nearest).collect()),
            integers => integers,
        };
        Image { pixels, ..self }
    }
}

fn nearest(value: f32) -> i32 {
    if value.is_nan() {
        return i32::MIN;
    }
    // The cast saturates; the lowest value is kept for NaN.
    (value.round() as i32).max(i32::MIN + 1)
}

impl Pixels {
    /// The type as the frame header codes it; `None` for `f32`, which no live frame has.
    pub fn pixel_type(&self) -> Option<PixelType> {
        match self {
            Pixels::U8(_) => Some(PixelType::U8),
            Pixels::U16(_) => Some(PixelType::U16),
            Pixels::U32(_) => Some(PixelType::U32),
            Pixels::I16(_) => Some(PixelType::I16),
            Pixels::I32(_) => Some(PixelType::I32),
            Pixels::F32(_) => None,
        }
    }

    /// Number of pixels.
    pub fn len(&self) -> usize {
        match self {
            Pixels::U8(values) => values.len(),
            Pixels::U16(values) => values.len(),
            Pixels::U32(values) => values.len(),
            Pixels::I16(values) => values.len(),
            Pixels::I32(values) => values.len(),
            Pixels::F32(values) => values.len(),
        }
    }

    /// Whether there is no pixel.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values as little-endian bytes, as a slot of the ring holds them.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Pixels::U8(values) => values,
            Pixels::U16(values) => bytemuck::cast_slice(values),
            Pixels::U32(values) => bytemuck::cast_slice(values),
            Pixels::I16(values) => bytemuck::cast_slice(values),
            Pixels::I32(values) => bytemuck::cast_slice(values),
            Pixels::F32(values) => bytemuck::cast_slice(values),
        }
    }

    /// Whether pixel `index` is not zero; pixels that are not there are zero.
    pub(crate) fn is_set(&self, index: usize) -> bool {
        match self {
            Pixels::U8(values) => values.get(index).is_some_and(|&v| v != 0),
            Pixels::U16(values) => values.get(index).is_some_and(|&v| v != 0),
            Pixels::U32(values) => values.get(index).is_some_and(|&v| v != 0),
            Pixels::I16(values) => values.get(index).is_some_and(|&v| v != 0),
            Pixels::I32(values) => values.get(index).is_some_and(|&v| v != 0),
            Pixels::F32(values) => values.get(index).is_some_and(|&v| v != 0.0),
        }
    }

    /// These pixels, then those of `more`; `None` where they are of another type.
    pub(crate) fn followed_by(mut self, more: Pixels) -> Option<Pixels> {
        match (&mut self, more) {
            (Pixels::U8(values), Pixels::U8(more)) => values.extend(more),
            (Pixels::U16(values), Pixels::U16(more)) => values.extend(more),
            (Pixels::U32(values), Pixels::U32(more)) => values.extend(more),
            (Pixels::I16(values), Pixels::I16(more)) => values.extend(more),
            (Pixels::I32(values), Pixels::I32(more)) => values.extend(more),
            (Pixels::F32(values), Pixels::F32(more)) => values.extend(more),
            _ => return None,
        }
        Some(self)
    }

    /// Pixel `index` as bits, as masks hold them; pixels that are not there are 0.
    pub(crate) fn word(&self, index: usize) -> u32 {
        match self {
            Pixels::U8(values) => values.get(index).map_or(0, |&v| v.into()),
            Pixels::U16(values) => values.get(index).map_or(0, |&v| v.into()),
            Pixels::U32(values) => values.get(index).map_or(0, |&v| v),
            Pixels::I16(values) => values.get(index).map_or(0, |&v| v as u32),
            Pixels::I32(values) => values.get(index).map_or(0, |&v| v as u32),
            Pixels::F32(values) => values.get(index).map_or(0, |&v| v as u32),
        }
    }

    /// Pixels of type `element` from their bytes in the file.
    pub(crate) fn from_bytes(element: Element, big_endian: bool, bytes: &[u8]) -> Pixels {
        macro_rules! values {
            ($type:ty, $variant:ident) => {{
                const SIZE: usize = size_of::<$type>();
                let words = bytes.as_chunks::<SIZE>().0.iter();
                Pixels::$variant(if big_endian {
                    words.map(|&word| <$type>::from_be_bytes(word)).collect()
                } else {
                    words.map(|&word| <$type>::from_le_bytes(word)).collect()
                })
            }};
        }
        match element {
            Element::U8 => Pixels::U8(bytes.to_vec()),
            Element::U16 => values!(u16, U16),
            Element::U32 => values!(u32, U32),
            Element::I16 => values!(i16, I16),
            Element::I32 => values!(i32, I32),
            Element::F32 => values!(f32, F32),
        }
    }
}

impl Element {
    /// Bytes of one pixel.
    pub(crate) fn size(self) -> usize {
        match self {
            Element::U8 => 1,
            Element::U16 | Element::I16 => 2,
            Element::U32 | Element::I32 | Element::F32 => 4,
        }
    }

    /// The value that DECTRIS writes for a pixel without one: all bits set.
    pub(crate) fn highest(self) -> Option<i64> {
        match self {
            Element::U16 => Some(i64::from(u16::MAX)),
            Element::U32 => Some(i64::from(u32::MAX)),
            Element::U8 | Element::I16 | Element::I32 | Element::F32 => None,
        }
    }

    /// What marks a pixel without a value where the file declares nothing: the lowest value of a
    /// signed type, which no count reaches and which JUNGFRAU receivers write for lost packets.
    /// [`Image::into_integer`] writes the same for a NaN.
    pub(crate) fn no_value(self) -> Option<i64> {
        match self {
            Element::I16 => Some(i64::from(i16::MIN)),
            Element::I32 | Element::F32 => Some(i64::from(i32::MIN)),
            Element::U8 | Element::U16 | Element::U32 => None,
        }
    }
}

/// Frames, columns and rows of `array`: rows x columns, frames x rows x columns, or, where frames
/// may be `stacks` of modules, frames x modules x rows x columns, the modules of a frame one under
/// another.
pub(crate) fn frames_of(
    file: &Path,
    array: &str,
    shape: &[u64],
    stacks: bool,
) -> Result<(usize, u32, u32), FormatError> {
    let (frames, rows, columns) = match *shape {
        [rows, columns] => (1, rows, columns),
        [frames, rows, columns] => (frames, rows, columns),
        [frames, modules, rows, columns] if stacks => {
            (frames, modules.saturating_mul(rows), columns)
        }
        [_, modules, rows, columns] => {
            let what = format!(
                "{array} holds {modules} modules of {columns} x {rows} a frame, which --geometry places"
            );
            return Err(FormatError::shape(file, what));
        }
        _ => {
            let what = format!("{array} has the shape {shape:?}");
            return Err(FormatError::shape(file, what));
        }
    };
    let (columns, rows) = checked_shape(file, columns, rows)?;
    let frames = usize::try_from(frames).unwrap_or(usize::MAX);
    Ok((frames, columns, rows))
}

/// A shape read from a header as the two sides of an image.
pub(crate) fn checked_shape(
    file: &Path,
    columns: u64,
    rows: u64,
) -> Result<(u32, u32), FormatError> {
    let sides = u32::try_from(columns).ok().zip(u32::try_from(rows).ok());
    match (sides, columns.checked_mul(rows)) {
        (Some(sides), Some(1..=MAX_PIXELS)) => Ok(sides),
        _ => Err(FormatError::shape(
            file,
            format!("an image of {columns} x {rows} pixels"),
        )),
    }
}
