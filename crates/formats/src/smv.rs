//! SMV, the format of ADSC and other CCD cameras: `{ KEY=VALUE; … }` in text, then the pixels.

use std::path::Path;

use crate::image::{Element, checked_shape};
use crate::sidecar::Sidecar;
use crate::{FormatError, Image, Pixels};

/// A text header longer than this is not one.
const MAX_HEADER: usize = 1 << 20;

/// Where the pixels are.
pub(crate) struct Layout {
    columns: u32,
    rows: u32,
    element: Element,
    big_endian: bool,
    start: usize,
}

pub(crate) fn recognise(head: &[u8]) -> bool {
    head.first() == Some(&b'{') && head.windows(13).any(|window| window == b"HEADER_BYTES=")
}

/// Reads the header of a whole file.
pub(crate) fn open(file: &Path, bytes: &[u8]) -> Result<(Layout, Sidecar), FormatError> {
    let end = bytes.iter().take(MAX_HEADER).position(|&byte| byte == b'}');
    let end =
        end.ok_or_else(|| FormatError::truncated(file, "the SMV header has no closing brace"))?;
    let text = String::from_utf8_lossy(&bytes[..end]);
    let layout = layout(file, &text)?;
    let wanted = layout.columns as usize * layout.rows as usize * layout.element.size();
    let there = bytes.len().saturating_sub(layout.start);
    if there < wanted {
        return Err(FormatError::truncated(
            file,
            format!("{there} of {wanted} bytes of the image are there"),
        ));
    }
    Ok((layout, description(&text)))
}

/// Reads the image.
pub(crate) fn read(bytes: &[u8], layout: &Layout) -> Image {
    let &Layout {
        columns,
        rows,
        element,
        big_endian,
        start,
    } = layout;
    let length = columns as usize * rows as usize * element.size();
    let bytes = bytes.get(start..start + length).unwrap_or_default();
    Image {
        columns,
        rows,
        pixels: Pixels::from_bytes(element, big_endian, bytes),
    }
}

fn layout(file: &Path, text: &str) -> Result<Layout, FormatError> {
    let wanted = |key: &str| {
        field(text, key)
            .and_then(|value| value.parse::<u64>().ok())
            .ok_or_else(|| {
                FormatError::malformed(file, format!("the SMV header has no number {key}"))
            })
    };
    let (columns, rows) = checked_shape(file, wanted("SIZE1")?, wanted("SIZE2")?)?;
    let element = match field(text, "TYPE").unwrap_or("unsigned_short") {
        "unsigned_char" => Element::U8,
        "unsigned_short" => Element::U16,
        "signed_short" | "short" => Element::I16,
        "unsigned_long" | "unsigned_int" => Element::U32,
        "signed_long" | "long" | "signed_int" | "int" => Element::I32,
        "float" => Element::F32,
        other => return Err(FormatError::pixel_type(file, format!("\"{other}\""))),
    };
    let big_endian = match field(text, "BYTE_ORDER") {
        Some("big_endian") => true,
        Some("little_endian") | None => false,
        Some(other) => {
            return Err(FormatError::malformed(
                file,
                format!("the SMV header says BYTE_ORDER={other}"),
            ));
        }
    };
    let start = wanted("HEADER_BYTES")?;
    let start = usize::try_from(start)
        .ok()
        .filter(|&start| start <= MAX_HEADER);
    let start = start.ok_or_else(|| {
        FormatError::malformed(file, "the SMV header says that it is longer than 1 MiB")
    })?;
    Ok(Layout {
        columns,
        rows,
        element,
        big_endian,
        start,
    })
}

/// What the header says about the beam and the counts.
///
/// `BEAM_CENTER_X` and `_Y` are taken in ADSC's sense: millimetres from the outer corner of the
/// first pixel in the file, X along the *slow* direction and Y along the fast one. Beamlines differ
/// in this; a sidecar settles it. A CCD adds a bias to every pixel, so 0 lies outside its active
/// area.
fn description(text: &str) -> Sidecar {
    let number = |key: &str| {
        field(text, key)?
            .parse::<f64>()
            .ok()
            .filter(|x| x.is_finite())
    };
    let positive = |key: &str| number(key).filter(|x| *x > 0.0);
    let pixel_mm = positive("PIXEL_SIZE");
    let center = number("BEAM_CENTER_Y")
        .zip(number("BEAM_CENTER_X"))
        .zip(pixel_mm);
    let ccd = field(text, "CCD_IMAGE_SATURATION")
        .or(field(text, "ADC"))
        .is_some();
    Sidecar {
        detector: field(text, "DETECTOR_SN").map(|number| format!("CCD, S/N {number}")),
        wavelength_a: positive("WAVELENGTH"),
        distance_mm: positive("DISTANCE"),
        beam_center_px: center.map(|((fast, slow), pixel)| [fast / pixel, slow / pixel]),
        pixel_mm,
        gain: positive("GAIN"),
        saturation: positive("CCD_IMAGE_SATURATION").map(|counts| counts as u32),
        offset: number("IMAGE_PEDESTAL"),
        mask_values: ccd.then(|| vec![0]),
    }
}

/// The value of `KEY=VALUE;`.
fn field<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.trim_start_matches('{').split(';').find_map(|entry| {
        let (name, value) = entry.split_once('=')?;
        (name.trim() == key).then(|| value.trim())
    })
}
