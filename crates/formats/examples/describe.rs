//! What hitgate sees in detector files: `describe FILES…` prints a line for each.

use std::path::Path;

use hitgate_formats::{FormatError, FrameFile, Image, Mask};

fn main() {
    for file in std::env::args().skip(1) {
        match describe(Path::new(&file)) {
            Ok(line) => println!("{file}: {line}"),
            Err(e) => println!("{e}"),
        }
    }
}

fn describe(path: &Path) -> Result<String, FormatError> {
    let mut file = FrameFile::open(path)?;
    let (kind, frames) = (file.kind(), file.frames());
    let image = file.read_raw(0)?;
    let metadata = file.metadata();
    let geometry = match metadata.geometry {
        Some(g) => format!(
            "{:.5} A, {:.2} mm, beam [{:.2}, {:.2}], pixel {:.4} mm, 3.4 A at {:.0} px",
            g.wavelength_a,
            g.distance_mm,
            g.beam_center_px[0],
            g.beam_center_px[1],
            g.pixel_mm,
            g.radius_px(3.4).unwrap_or(f64::NAN),
        ),
        None => "no geometry".into(),
    };
    Ok(format!(
        "{kind:?}, {frames} x {} x {} {}, {geometry}, {} excluded, values {:?}, saturation {:?}, {}",
        image.columns,
        image.rows,
        type_name(&image),
        excluded(&image, metadata.mask.clone(), &metadata.mask_values),
        metadata.mask_values,
        metadata.saturation,
        metadata.detector.as_deref().unwrap_or("unnamed"),
    ))
}

fn type_name(image: &Image) -> String {
    image
        .pixels
        .pixel_type()
        .map_or("f32".into(), |t| format!("{t:?}").to_lowercase())
}

fn excluded(image: &Image, mask: Option<Mask>, values: &[i64]) -> usize {
    mask.unwrap_or_else(|| Mask::none(image.columns, image.rows))
        .with_values(image, values)
        .count()
}
