//! CBF: a text header, then one image in byte-offset compression.
//!
//! Two headers are read. The miniCBF of PILATUS and EIGER cameras has comment lines
//! (`# Wavelength 0.96859 A`); a full imgCIF header describes the detector's axes, and where both
//! are there the axes win: they know of a detector arm that is swung out.

mod byte_offset;
mod checksum;
mod imgcif;

use std::ops::Range;
use std::path::Path;

pub(crate) use byte_offset::pack;

use crate::image::{Element, checked_shape};
use crate::sidecar::Sidecar;
use crate::{FormatError, Image, Pixels, pilatus};

/// Ends the text and starts the compressed pixels.
pub(crate) const START_OF_BINARY: [u8; 4] = [0x0c, 0x1a, 0x04, 0xd5];
const FIRST_LINE: &[u8] = b"###CBF";
const BYTE_OFFSET: &str = "x-CBF_BYTE_OFFSET";

/// Where the image is in the file, and how it is packed.
pub(crate) struct Layout {
    columns: u32,
    rows: u32,
    element: Element,
    packed: bool,
    binary: Range<usize>,
}

pub(crate) fn recognise(head: &[u8]) -> bool {
    head.starts_with(FIRST_LINE)
}

/// Reads the header of a whole file.
pub(crate) fn open(file: &Path, bytes: &[u8]) -> Result<(Layout, Sidecar), FormatError> {
    let start = bytes
        .windows(START_OF_BINARY.len())
        .position(|window| window == START_OF_BINARY)
        .ok_or_else(|| FormatError::truncated(file, "no image follows the CBF header"))?;
    let text = String::from_utf8_lossy(&bytes[..start]);
    let (header, section) = text
        .rsplit_once("--CIF-BINARY-FORMAT-SECTION--")
        .ok_or_else(|| {
            FormatError::malformed(file, "the CBF header has no CIF-BINARY-FORMAT-SECTION")
        })?;
    let layout = layout(file, section, start + START_OF_BINARY.len())?;
    if layout.binary.end > bytes.len() {
        let what = format!(
            "{} of {} bytes of the image are there",
            bytes.len() - layout.binary.start,
            layout.binary.len()
        );
        return Err(FormatError::truncated(file, what));
    }
    if let Some(stated) = field(section, "Content-MD5") {
        checksum::check(file, stated, &bytes[layout.binary.clone()])?;
    }
    Ok((
        layout,
        pilatus::parse(header).overridden_by(imgcif::parse(header)),
    ))
}

/// Unpacks the image.
pub(crate) fn read(file: &Path, bytes: &[u8], layout: &Layout) -> Result<Image, FormatError> {
    let &Layout {
        columns,
        rows,
        element,
        packed,
        ..
    } = layout;
    let count = columns as usize * rows as usize;
    let binary = bytes.get(layout.binary.clone()).unwrap_or_default();
    let short = || FormatError::truncated(file, format!("the image ends before pixel {count}"));
    let pixels = if packed {
        let values = byte_offset::unpack(binary, count).ok_or_else(short)?;
        narrow(element, values)
    } else {
        let binary = binary.get(..count * element.size()).ok_or_else(short)?;
        Pixels::from_bytes(element, false, binary)
    };
    Ok(Image {
        columns,
        rows,
        pixels,
    })
}

/// The MIME header between the text and the image.
fn layout(file: &Path, section: &str, start: usize) -> Result<Layout, FormatError> {
    let number = |key: &str| field(section, key).and_then(|value| value.parse::<u64>().ok());
    let dimension = |key: &str| {
        number(key)
            .ok_or_else(|| FormatError::malformed(file, format!("the CBF header has no {key}")))
    };
    let (columns, rows) = checked_shape(
        file,
        dimension("X-Binary-Size-Fastest-Dimension")?,
        dimension("X-Binary-Size-Second-Dimension")?,
    )?;
    if number("X-Binary-Size-Third-Dimension").is_some_and(|depth| depth > 1) {
        return Err(FormatError::shape(file, "a CBF with more than one image"));
    }
    let element = match field(section, "X-Binary-Element-Type").unwrap_or("signed 32-bit integer") {
        "signed 32-bit integer" => Element::I32,
        "unsigned 32-bit integer" => Element::U32,
        "signed 16-bit integer" => Element::I16,
        "unsigned 16-bit integer" => Element::U16,
        "unsigned 8-bit integer" => Element::U8,
        "signed 32-bit real IEEE" => Element::F32,
        other => return Err(FormatError::pixel_type(file, format!("\"{other}\""))),
    };
    let packed = match conversion(section) {
        Some(BYTE_OFFSET) => true,
        None | Some("x-CBF_NONE") => false,
        Some(other) => {
            return Err(FormatError::compression(
                file,
                other,
                "CBF byte-offset compression",
            ));
        }
    };
    if packed && element == Element::F32 {
        return Err(FormatError::pixel_type(
            file,
            "f32 in byte-offset compression",
        ));
    }
    let length = dimension("X-Binary-Size")?;
    let end = usize::try_from(length)
        .ok()
        .and_then(|length| start.checked_add(length));
    let end =
        end.ok_or_else(|| FormatError::malformed(file, format!("an image of {length} bytes")))?;
    Ok(Layout {
        columns,
        rows,
        element,
        packed,
        binary: start..end,
    })
}

/// The value of a `key: value` line, without its quotes.
fn field<'a>(section: &'a str, key: &str) -> Option<&'a str> {
    section.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().trim_matches('"'))
    })
}

fn conversion(section: &str) -> Option<&str> {
    let (_, rest) = section.split_once("conversions=")?;
    let rest = rest.trim_start_matches('"');
    Some(
        &rest[..rest
            .find(|c: char| c == '"' || c.is_whitespace())
            .unwrap_or(rest.len())],
    )
}

/// Values as the type that the header names; the compression itself works on 32 bits.
fn narrow(element: Element, values: Vec<i32>) -> Pixels {
    match element {
        Element::U8 => Pixels::U8(values.into_iter().map(|v| v as u8).collect()),
        Element::U16 => Pixels::U16(values.into_iter().map(|v| v as u16).collect()),
        Element::I16 => Pixels::I16(values.into_iter().map(|v| v as i16).collect()),
        Element::U32 => Pixels::U32(values.into_iter().map(|v| v as u32).collect()),
        Element::I32 | Element::F32 => Pixels::I32(values),
    }
}
