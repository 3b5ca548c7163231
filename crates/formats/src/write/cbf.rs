//! MiniCBF out, with the header lines and in the order that PILATUS cameras write, so that
//! crystallographers' programs read it as one.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use super::WholeFile;
use crate::cbf::{START_OF_BINARY, pack};
use crate::{FormatError, Image, Metadata, Pixels};

/// Zeros after the image, as CBFlib leaves them for its reader's look-ahead.
const PADDING: usize = 4095;

/// Writes `image` in byte-offset compression, with the geometry, detector and saturation of
/// `metadata` in the header; what is not known there is left out. Unsigned values of 32 bits are
/// clipped to the highest `i32`.
///
/// # Errors
/// [`FormatError::PixelType`] for `f32` (see [`Image::into_integer`]), [`FormatError::Io`].
pub fn write_cbf(path: &Path, image: &Image, metadata: &Metadata) -> Result<(), FormatError> {
    let packed = match &image.pixels {
        Pixels::U8(values) => pack(values.iter().map(|&v| i32::from(v))),
        Pixels::U16(values) => pack(values.iter().map(|&v| i32::from(v))),
        Pixels::I16(values) => pack(values.iter().map(|&v| i32::from(v))),
        Pixels::U32(values) => pack(values.iter().map(|&v| i32::try_from(v).unwrap_or(i32::MAX))),
        Pixels::I32(values) => pack(values.iter().copied()),
        Pixels::F32(_) => {
            return Err(FormatError::pixel_type(
                path,
                "f32, which CBF does not pack",
            ));
        }
    };
    let name = path
        .file_stem()
        .and_then(|name| name.to_str())
        .unwrap_or("frame");
    let header = [header(name, metadata), section(image, packed.len())].concat();
    let write = || -> std::io::Result<()> {
        let mut file = WholeFile::create(path)?;
        file.write_all(header.as_bytes())?;
        file.write_all(&START_OF_BINARY)?;
        file.write_all(&packed)?;
        file.write_all(&[0; PADDING])?;
        file.write_all(b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n\r\n")?;
        file.finish()
    };
    write().map_err(|e| FormatError::writing(path, e))
}

/// The text before the image. Readers insist on a date, an exposure, a sensor, a count cutoff and
/// the angles, known or not: they get the same ones always, so that equal frames are equal files.
fn header(name: &str, metadata: &Metadata) -> String {
    let detector = metadata.detector.as_deref().unwrap_or("PILATUS");
    let mut lines = vec![
        "###CBF: VERSION 1.5, hitgate".to_owned(),
        String::new(),
        format!("data_{}", name.replace(char::is_whitespace, "_")),
        String::new(),
        "_array_data.header_convention \"PILATUS_1.2\"".to_owned(),
        "_array_data.header_contents".to_owned(),
        ";".to_owned(),
        format!("# Detector: {}", detector.replace(char::is_control, " ")),
        "# 1970-01-01T00:00:00.000".to_owned(),
    ];
    let mut say = |line: String| lines.push(format!("# {line}"));
    if let Some(geometry) = metadata.geometry {
        let micrometres = (geometry.pixel_mm * 1e9).round() / 1e6;
        say(format!(
            "Pixel_size {micrometres}e-6 m x {micrometres}e-6 m"
        ));
    }
    say("Silicon sensor, thickness 0.000320 m".into());
    say("Exposure_time 0.0010000 s".into());
    say("Exposure_period 0.0010000 s".into());
    say("Tau = 0 s".into());
    let saturation = metadata.saturation.unwrap_or(i32::MAX as u32);
    say(format!("Count_cutoff {saturation} counts"));
    if let Some(geometry) = metadata.geometry {
        let [x, y] = geometry.beam_center_px;
        say(format!("Wavelength {} A", geometry.wavelength_a));
        let metres = (geometry.distance_mm * 1e6).round() / 1e9;
        say(format!("Detector_distance {metres} m"));
        say(format!("Beam_xy ({x}, {y}) pixels"));
    }
    say("Start_angle 0.0000 deg.".into());
    say("Angle_increment 0.0000 deg.".into());
    say("Detector_2theta 0.0000 deg.".into());
    say("Phi 0.0000 deg.".into());
    say("Phi_increment 0.0000 deg.".into());
    lines.push(";".into());
    lines.push(String::new());
    lines.join("\r\n")
}

/// The MIME header of the image.
fn section(image: &Image, packed: usize) -> String {
    let mut text = String::from("\r\n_array_data.data\r\n;\r\n--CIF-BINARY-FORMAT-SECTION--\r\n");
    let mut say = |key: &str, value: &dyn std::fmt::Display| {
        // Writing into a string cannot fail.
        let _ = write!(text, "{key}: {value}\r\n");
    };
    say(
        "Content-Type",
        &"application/octet-stream;\r\n     conversions=\"x-CBF_BYTE_OFFSET\"",
    );
    say("Content-Transfer-Encoding", &"BINARY");
    say("X-Binary-Size", &packed);
    say("X-Binary-ID", &1);
    say("X-Binary-Element-Type", &"\"signed 32-bit integer\"");
    say("X-Binary-Element-Byte-Order", &"LITTLE_ENDIAN");
    say("X-Binary-Number-of-Elements", &image.pixels.len());
    say("X-Binary-Size-Fastest-Dimension", &image.columns);
    say("X-Binary-Size-Second-Dimension", &image.rows);
    say("X-Binary-Size-Padding", &PADDING);
    text.push_str("\r\n");
    text
}
