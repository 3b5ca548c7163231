//! A module as the caller gives it → how its frames are prepared.

use hitgate_core::correct::Correction;
use hitgate_core::frame::PixelType;
use hitgate_core::net::Input;
use hitgate_core::prep::{Mask, MaskValues, Preparation, Window};

use crate::status::Status;
use crate::types::Module;

/// More pixels than any detector has.
const MOST_PIXELS: u64 = 1 << 29;

/// Pixels of a frame.
pub fn pixels(module: &Module) -> Result<usize, Status> {
    let side = |side: u32| u16::try_from(side).ok().filter(|side| *side > 0);
    let sides = side(module.columns).zip(side(module.rows));
    let (columns, rows) = sides.ok_or(Status::Module)?;
    let pixels = u64::from(columns) * u64::from(rows);
    let possible = usize::try_from(pixels).ok();
    possible
        .filter(|_| pixels <= MOST_PIXELS)
        .ok_or(Status::Module)
}

/// How the frames of `module` become what the model takes.
pub fn preparation<'m>(
    module: &Module,
    mask: &'m [u8],
    mask_values: &[i64],
    corrections: &'m [Correction<'m>],
    input: &Input,
) -> Result<Preparation<'m>, Status> {
    pixels(module)?;
    let Module { columns, rows, .. } = *module;
    let code = u8::try_from(module.pixel_type).ok();
    let pixel_type = code.and_then(PixelType::from_code).ok_or(Status::Module)?;
    let compressed = match (module.compressed, module.reserved) {
        (0, 0) => false,
        (1, 0) => true,
        _ => return Err(Status::Module),
    };
    if !corrections.is_empty() && pixel_type != PixelType::U16 {
        return Err(Status::Module);
    }
    Ok(Preparation {
        columns,
        rows,
        pixel_type,
        window: window(module, input.size)?,
        reduce: input.reduce,
        saturation: match module.saturation {
            0 => u32::MAX,
            counts => counts,
        },
        mask: match mask {
            [] => Mask::NONE,
            bits => Mask::new(bits, columns, rows).ok_or(Status::Module)?,
        },
        mask_values: MaskValues::from_slice(mask_values).map_err(|_| Status::Module)?,
        corrections,
        compressed,
    })
}

/// The disc inside the water ring, or the whole panel.
fn window(module: &Module, input: u32) -> Result<Window, Status> {
    /// A ring beyond any detector: the geometry is a mistake.
    const LARGEST_RADIUS: u32 = 1_000_000;
    let Module { columns, rows, .. } = *module;
    let on = |at: i32, side: u32| u32::try_from(at).is_ok_and(|at| at < side);
    match module.radius {
        0 => Ok(Window::whole(columns, rows, input)),
        radius
            if radius < LARGEST_RADIUS && on(module.beam_x, columns) && on(module.beam_y, rows) =>
        {
            Ok(Window::disc(module.beam_x, module.beam_y, radius, input))
        }
        _ => Err(Status::Module),
    }
}

/// A swap changes how frames are judged, not which frames there are.
pub fn same_frames(now: &[Preparation<'_>], next: &[Preparation<'_>]) -> Result<(), Status> {
    let mut pairs = now.iter().zip(next);
    match now.len() == next.len() && pairs.all(|(now, next)| next.takes_frames_of(now)) {
        true => Ok(()),
        false => Err(Status::Module),
    }
}

/// Enters everything of a module that changes an answer.
pub fn enter(config: &mut crc32fast::Hasher, preparation: &Preparation<'_>, mask: &[u8]) {
    let window = preparation.window;
    for word in [
        preparation.columns,
        preparation.rows,
        preparation.pixel_type as u32,
        window.left.cast_unsigned(),
        window.top.cast_unsigned(),
        window.block,
        window.radius,
        preparation.saturation,
        preparation.mask_values.len() as u32,
        preparation.corrections.len() as u32,
        u32::from(preparation.compressed),
    ] {
        config.update(&word.to_le_bytes());
    }
    for value in &preparation.mask_values {
        config.update(&value.to_le_bytes());
    }
    config.update(mask);
}
