//! The pixels of one frame for numpy: `pixels FILE INDEX OUT.npy` writes them as f32, NaN where they are excluded,
//! and OUT.json with what the file says about them.

use std::path::Path;

use hitgate_formats::sidecar::Sidecar;
use hitgate_formats::write::write_npy;
use hitgate_formats::{FrameFile, Image, Mask, Pixels};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, index, out] = arguments.as_slice() else {
        return Err("usage: pixels FILE INDEX OUT.npy".into());
    };
    let mut file = FrameFile::open(Path::new(file))?;
    let image = file.read(index.parse()?)?;
    let metadata = file.metadata();
    let mask = (metadata.mask.clone())
        .unwrap_or_else(|| Mask::none(image.columns, image.rows))
        .with_values(&image, &metadata.mask_values);
    let pixels = numbers(&image.pixels)
        .into_iter()
        .enumerate()
        .map(|(i, number)| if mask.excludes(i) { f32::NAN } else { number });
    let image = Image {
        pixels: Pixels::F32(pixels.collect()),
        ..image
    };
    write_npy(Path::new(out), &image)?;
    Sidecar::from(metadata).write(&Path::new(out).with_extension("json"))?;
    Ok(())
}

fn numbers(pixels: &Pixels) -> Vec<f32> {
    match pixels {
        Pixels::U8(values) => values.iter().map(|&v| f32::from(v)).collect(),
        Pixels::U16(values) => values.iter().map(|&v| f32::from(v)).collect(),
        Pixels::I16(values) => values.iter().map(|&v| f32::from(v)).collect(),
        Pixels::U32(values) => values.iter().map(|&v| v as f32).collect(),
        Pixels::I32(values) => values.iter().map(|&v| v as f32).collect(),
        Pixels::F32(values) => values.clone(),
    }
}
