//! TIFF with one value a pixel, as cameras write it, and MarCCD, which is TIFF with a second,
//! binary header.

mod marccd;

use std::io::Cursor;
use std::path::Path;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use tiff::{ColorType, TiffError};

use crate::image::checked_shape;
use crate::sidecar::Sidecar;
use crate::{FormatError, Image, Kind, Pixels, pilatus};

const MAGICS: [[u8; 4]; 4] = [*b"II*\0", *b"MM\0*", *b"II+\0", *b"MM\0+"];
/// How the camera program of PILATUS detectors signs.
const PILATUS_PROGRAM: &str = "TVX TIFF";

pub(crate) fn recognise(head: &[u8]) -> bool {
    MAGICS.iter().any(|magic| head.starts_with(magic))
}

/// Reads the header of a whole file.
pub(crate) fn open(file: &Path, bytes: &[u8]) -> Result<(Kind, Sidecar), FormatError> {
    let mut decoder = decoder(file, bytes)?;
    if let Some(found) = marccd::parse(bytes) {
        return Ok((Kind::MarCcd, found));
    }
    let mut text = |tag| decoder.get_tag_ascii_string(tag).unwrap_or_default();
    let (description, software, model) = (
        text(Tag::ImageDescription),
        text(Tag::Software),
        text(Tag::Model),
    );
    let mut found = pilatus::parse(&description);
    if !software.starts_with(PILATUS_PROGRAM) && !description.contains("# Pixel_size") {
        found.mask_values = None;
    }
    found.detector = found.detector.or((!model.is_empty()).then_some(model));
    Ok((Kind::Tiff, found))
}

/// Reads the image, the first one of the file.
pub(crate) fn read(file: &Path, bytes: &[u8]) -> Result<Image, FormatError> {
    let mut decoder = decoder(file, bytes)?;
    let (columns, rows) = decoder.dimensions().map_err(|e| error(file, e))?;
    let pixels = match decoder.read_image().map_err(|e| error(file, e))? {
        DecodingResult::U8(values) => Pixels::U8(values),
        DecodingResult::U16(values) => Pixels::U16(values),
        DecodingResult::U32(values) => Pixels::U32(values),
        DecodingResult::I16(values) => Pixels::I16(values),
        DecodingResult::I32(values) => Pixels::I32(values),
        DecodingResult::F32(values) => Pixels::F32(values),
        _ => return Err(FormatError::pixel_type(file, "of another size")),
    };
    if pixels.len() != columns as usize * rows as usize {
        return Err(FormatError::truncated(
            file,
            format!("{} of {columns} x {rows} pixels are there", pixels.len()),
        ));
    }
    Ok(Image {
        columns,
        rows,
        pixels,
    })
}

fn decoder<'a>(file: &Path, bytes: &'a [u8]) -> Result<Decoder<Cursor<&'a [u8]>>, FormatError> {
    let mut limits = Limits::default();
    limits.decoding_buffer_size = 2 << 30;
    let mut decoder = Decoder::new(Cursor::new(bytes))
        .map_err(|e| error(file, e))?
        .with_limits(limits);
    let (columns, rows) = decoder.dimensions().map_err(|e| error(file, e))?;
    checked_shape(file, columns.into(), rows.into())?;
    match decoder.colortype().map_err(|e| error(file, e))? {
        ColorType::Gray(8 | 16 | 32) => Ok(decoder),
        other => Err(FormatError::pixel_type(file, format!("{other:?}"))),
    }
}

fn error(file: &Path, error: TiffError) -> FormatError {
    match error {
        TiffError::IoError(e) => FormatError::reading(file, e),
        TiffError::UnsupportedError(e) => FormatError::compression(
            file,
            format!("this TIFF ({e})"),
            "no compression, LZW or deflate",
        ),
        TiffError::LimitsExceeded => FormatError::shape(file, "an image larger than 2 GiB"),
        other => FormatError::malformed(file, other.to_string()),
    }
}
