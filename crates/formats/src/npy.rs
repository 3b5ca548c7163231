//! NPY, numpy's own format: one frame (rows x columns), a stack (frames x rows x columns), or one of
//! modules (frames x modules x rows x columns).

use std::path::Path;

use crate::contents::Contents;
use crate::image::{Element, frames_of};
use crate::{FormatError, Image, Pixels, Sidecar};

pub(crate) const MAGIC: &[u8] = b"\x93NUMPY";
/// Ours are 128 bytes; numpy's are hardly longer.
const MAX_HEADER: u64 = 1 << 16;

/// Where the frames are.
pub(crate) struct Layout {
    pub(crate) frames: usize,
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    pub(crate) element: Element,
    big_endian: bool,
    start: u64,
}

pub(crate) fn recognise(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Reads the header. Four dimensions are frames where these may be `stacks` of modules.
pub(crate) fn open(
    file: &Path,
    contents: &mut Contents,
    stacks: bool,
) -> Result<Layout, FormatError> {
    let fixed = contents.read(file, 0, 12)?;
    let (length_at, length) = match fixed[6] {
        1 => (10, u64::from(u16::from_le_bytes([fixed[8], fixed[9]]))),
        2 | 3 => (
            12,
            u64::from(u32::from_le_bytes([
                fixed[8], fixed[9], fixed[10], fixed[11],
            ])),
        ),
        version => {
            return Err(FormatError::malformed(
                file,
                format!("NPY version {version}, known are 1 to 3"),
            ));
        }
    };
    if length > MAX_HEADER {
        return Err(FormatError::malformed(
            file,
            format!("an NPY header of {length} bytes"),
        ));
    }
    let header = contents.read(file, length_at, length)?;
    let header = String::from_utf8_lossy(&header);
    let layout = layout(file, &header, length_at + length, stacks)?;
    let there = contents.length() - layout.start;
    let wanted = (layout.frames as u64).checked_mul(layout.frame_bytes());
    match wanted {
        Some(wanted) if there >= wanted => Ok(layout),
        _ => {
            let what = format!(
                "{} frames fit into its {there} bytes, not {}",
                there / layout.frame_bytes(),
                layout.frames
            );
            Err(FormatError::truncated(file, what))
        }
    }
}

/// An array says nothing about itself but its type.
pub(crate) fn describe(layout: &Layout) -> Sidecar {
    let mask_values = layout.element.no_value().map(|value| vec![value]);
    Sidecar {
        mask_values,
        ..Sidecar::default()
    }
}

/// Reads one frame.
pub(crate) fn read(
    file: &Path,
    contents: &mut Contents,
    layout: &Layout,
    index: usize,
) -> Result<Image, FormatError> {
    let &Layout {
        columns,
        rows,
        element,
        big_endian,
        start,
        ..
    } = layout;
    let offset = start + index as u64 * layout.frame_bytes();
    let bytes = contents.read(file, offset, layout.frame_bytes())?;
    Ok(Image {
        columns,
        rows,
        pixels: Pixels::from_bytes(element, big_endian, &bytes),
    })
}

impl Layout {
    fn frame_bytes(&self) -> u64 {
        u64::from(self.columns) * u64::from(self.rows) * self.element.size() as u64
    }
}

fn layout(file: &Path, header: &str, start: u64, stacks: bool) -> Result<Layout, FormatError> {
    let malformed = |what: &str| FormatError::malformed(file, format!("the NPY header {what}"));
    let descr = value(header, "descr").ok_or_else(|| malformed("has no 'descr'"))?;
    let descr = descr.trim_start().trim_start_matches(['\'', '"']);
    let descr = descr.split(['\'', '"']).next().unwrap_or_default();
    let (order, code) = descr
        .split_at_checked(1)
        .ok_or_else(|| malformed("has an empty 'descr'"))?;
    let element = match code {
        "u1" | "b1" => Element::U8,
        "u2" => Element::U16,
        "u4" => Element::U32,
        "i2" => Element::I16,
        "i4" => Element::I32,
        "f4" => Element::F32,
        _ => return Err(FormatError::pixel_type(file, format!("\"{descr}\""))),
    };
    if value(header, "fortran_order").is_some_and(|order| order.trim_start().starts_with("True")) {
        return Err(FormatError::shape(
            file,
            "the array is in Fortran order, save it with numpy.ascontiguousarray",
        ));
    }
    let shape = value(header, "shape")
        .and_then(tuple)
        .ok_or_else(|| malformed("has no 'shape'"))?;
    let (frames, columns, rows) = frames_of(file, "the array", &shape, stacks)?;
    Ok(Layout {
        frames,
        columns,
        rows,
        element,
        big_endian: order == ">",
        start,
    })
}

/// What follows `'key':` in the header's dictionary.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let at = header.find(&format!("'{key}'"))?;
    header[at + key.len() + 2..].trim_start().strip_prefix(':')
}

fn tuple(text: &str) -> Option<Vec<u64>> {
    let (inside, _) = text.trim_start().strip_prefix('(')?.split_once(')')?;
    let numbers = inside
        .split(',')
        .map(str::trim)
        .filter(|number| !number.is_empty());
    numbers.map(|number| number.parse().ok()).collect()
}
