//! Prepares one frame of 1030 × 1065 pixels, `blank`, `hit` or `saturated`, with the peaks or, after
//! `maximum`, with those: for who counts instructions (`crates/kernels/KERNELS.md`).

use hitgate_core::frame::{Frame, FrameHeader, PixelType};
use hitgate_core::prep::{Mask, MaskValues, Preparation, Reduce, Window};
use hitgate_kernels::Level;

const COLUMNS: u32 = 1030;
const ROWS: u32 = 1065;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let content = std::env::args()
        .nth(1)
        .ok_or("say blank, hit or saturated")?;
    let pixel = |i: usize| -> u16 {
        let noise = i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
        match content.as_str() {
            "hit" if noise.is_multiple_of(9973) => 60 + (noise % 400) as u16,
            "hit" => (noise & noise >> 3 & 3) as u16,
            "saturated" => 0xFFFE,
            _ => 0,
        }
    };
    let pixels = (COLUMNS * ROWS) as usize;
    let payload: Vec<u8> = (0..pixels).flat_map(|i| pixel(i).to_le_bytes()).collect();
    let mask = vec![0; pixels.div_ceil(8)];
    let preparation = Preparation {
        columns: COLUMNS,
        rows: ROWS,
        pixel_type: PixelType::U16,
        window: Window::whole(COLUMNS, ROWS, 224),
        reduce: match std::env::args().nth(2).as_deref() {
            Some("maximum") => Reduce::Maximum,
            _ => Reduce::Peaks,
        },
        saturation: u32::MAX,
        mask: Mask::new(&mask, COLUMNS, ROWS).ok_or("the mask is too short")?,
        mask_values: MaskValues::from_slice(&[0xFFFF])?,
        corrections: &[],
    };
    let frame = Frame {
        header: FrameHeader::new(ROWS as u16, COLUMNS as u16, PixelType::U16),
        pixel_type: PixelType::U16,
        payload: &payload,
    };
    let mut words = vec![0; preparation.words()];
    let mut map = vec![0; preparation.map_bytes()];
    let level = Level::detect();
    let made = preparation.run(level, &frame, &mut words, &mut map)?;
    println!(
        "{}: {content}, {} valid cells",
        level.name(),
        made.valid_cells
    );
    Ok(())
}
