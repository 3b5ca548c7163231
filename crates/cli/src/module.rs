//! What the filter must know of a module before its first frame: shape, geometry, mask.

use std::sync::Arc;

use anyhow::{Result, bail};
use hitgate_core::correct::PER_PHOTON;
use hitgate_core::frame::PixelType;
use hitgate_core::prep::{Mask, MaskValues, Preparation, Reduce};
use hitgate_formats::geometry::{Geometry, window};
use hitgate_formats::sidecar::Sidecar;
use serde::{Deserialize, Serialize};

use crate::raw_maps::RawMaps;

/// One module: the frames that carry its number are all of this kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Module {
    /// Columns of a frame.
    pub columns: u32,
    /// Rows of a frame.
    pub rows: u32,
    /// `u8`, `u16`, `u32`, `i16` or `i32`.
    pub pixel_type: String,
    /// Whether pixels are an integrating detector's raw words, of which pedestals and gains make photons.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
    /// Whether frames may come compressed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compressed: bool,
    /// Geometry and response.
    #[serde(flatten)]
    pub about: Sidecar,
    /// Excluded pixels as runs of `[first, count]`, counted row by row.
    #[serde(default)]
    pub excluded: Vec<[u32; 2]>,
}

const PIXEL_TYPES: [(&str, PixelType); 5] = [
    ("u8", PixelType::U8),
    ("u16", PixelType::U16),
    ("u32", PixelType::U32),
    ("i16", PixelType::I16),
    ("i32", PixelType::I32),
];

/// The name of a pixel type, as in `u16`.
pub fn pixel_type_name(pixel_type: PixelType) -> &'static str {
    PIXEL_TYPES
        .iter()
        .find(|(_, t)| *t == pixel_type)
        .map_or("", |(name, _)| name)
}

/// What a model asks of the preparation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// Cells along the side of a map.
    pub size: u32,
    /// Resolution of the water ring, in ångström.
    pub d_water: f64,
    /// How a block becomes a cell.
    pub reduce: Reduce,
}

/// A module with its mask unpacked and its window placed, ready to lend a [`Preparation`].
pub struct Prepared {
    module: Module,
    pixel_type: PixelType,
    mask: Vec<u8>,
    mask_values: MaskValues,
    /// The geometry that placed the window; `None` where the whole panel is the window.
    pub geometry: Option<Geometry>,
    input: Input,
    raw: Option<Arc<RawMaps>>,
}

impl Module {
    /// How a pixel is stored.
    pub fn pixel_type(&self) -> Result<PixelType> {
        match PIXEL_TYPES
            .iter()
            .find(|(name, _)| *name == self.pixel_type)
        {
            Some((_, pixel_type)) => Ok(*pixel_type),
            None => bail!(
                "pixel type `{}` is none of u8, u16, u32, i16, i32: correct `pixel_type` in the module's description",
                self.pixel_type
            ),
        }
    }

    /// Rows and columns, as a frame's header holds them.
    pub fn shape(&self) -> Result<(u16, u16)> {
        let pixels = u64::from(self.columns) * u64::from(self.rows);
        match (u16::try_from(self.rows), u16::try_from(self.columns)) {
            (Ok(rows), Ok(columns)) if (1..=1 << 29).contains(&pixels) => Ok((rows, columns)),
            _ => bail!(
                "a frame of {} x {} pixels: both sides must be 1 to 65535, and 2²⁹ pixels are the most",
                self.columns,
                self.rows
            ),
        }
    }

    /// Unpacks the mask and places the window. Maps that make photons of raw words, `raw`, are for those alone.
    ///
    /// # Errors
    /// Where the description is impossible; where pixels are raw words and there are no maps, or others than theirs;
    /// where they are counts and there are maps.
    pub fn prepare(&self, input: Input, raw: Option<&Arc<RawMaps>>) -> Result<Prepared> {
        let (rows, columns) = self.shape()?;
        match raw {
            Some(_) if !self.raw => bail!(
                "frames are counts, by their description, and --pedestal is for raw words: leave it out; or, where they are \
                 raw words, have RING.json say so, \"raw\": true (`hitgate feed --raw` does)"
            ),
            Some(maps) => maps.refuse_unlike(self.columns, self.rows, &self.pixel_type)?,
            None if self.raw => bail!(
                "frames are raw words of an integrating detector: --pedestal and --adu-per-photon make photons of them"
            ),
            None => {}
        }
        let mask_values = self.about.mask_values.as_deref().unwrap_or_default();
        let Ok(mask_values) = MaskValues::from_slice(mask_values) else {
            bail!(
                "{} mask values: at most 8 are looked for; put the others into a mask",
                mask_values.len()
            );
        };
        let (_, geometry) = window(
            self.about.geometry().as_ref(),
            self.columns,
            self.rows,
            input.d_water,
            input.size,
        );
        Ok(Prepared {
            pixel_type: self.pixel_type()?,
            mask: unpack(&self.excluded, u64::from(rows) * u64::from(columns))?,
            mask_values,
            geometry,
            input,
            raw: raw.map(Arc::clone),
            module: self.clone(),
        })
    }
}

impl Prepared {
    /// A warning where the geometry may be wrong: it leaves little of the panel in the window or of the window on the panel, or
    /// places none.
    pub fn doubt(&self) -> Option<String> {
        const LITTLE: f64 = 0.05;
        let Module { columns, rows, .. } = self.module;
        let stated = self.module.about.geometry()?;
        if self.geometry.is_none() {
            let why = match stated.is_on_panel(columns, rows) {
                true => "at this geometry no water ring meets the frame's plane",
                false => "the beam does not meet the frame",
            };
            return Some(format!("warning: {why}; the whole frame is looked at"));
        }
        let window = self.preparation().window;
        let side = i64::from(window.side());
        let seen = |start: i32, length: u32| {
            let (start, length) = (i64::from(start), i64::from(length));
            ((start + side).min(length) - start.max(0)).max(0) as f64
        };
        let both = seen(window.left, columns) * seen(window.top, rows);
        let of_frame = both / (f64::from(columns) * f64::from(rows));
        let of_window = both / (side * side) as f64;
        let share = match (of_frame < LITTLE, of_window < LITTLE) {
            (true, _) => format!("sees {:.1} % of the frame", 100.0 * of_frame),
            (false, true) => format!(
                "is filled to {:.1} % by the frame, so that spots are lost in its blocks",
                100.0 * of_window
            ),
            (false, false) => return None,
        };
        Some(format!(
            "warning: the window of {side} x {side} pixels {share}; check wavelength, distance, pixel and beam centre"
        ))
    }

    /// The preparation of this module's frames.
    pub fn preparation(&self) -> Preparation<'_> {
        let Module {
            columns,
            rows,
            ref about,
            ..
        } = self.module;
        let (window, _) = window(
            self.geometry.as_ref(),
            columns,
            rows,
            self.input.d_water,
            self.input.size,
        );
        Preparation {
            columns,
            rows,
            pixel_type: self.pixel_type,
            window,
            reduce: self.input.reduce,
            saturation: about.saturation.unwrap_or(u32::MAX),
            mask: Mask::new(&self.mask, columns, rows).unwrap_or(Mask::NONE),
            mask_values: self.mask_values.clone(),
            corrections: (self.raw.as_deref()).map_or(&[], RawMaps::corrections),
            compressed: self.module.compressed,
        }
    }

    /// What the preparation makes of one photon: corrected words are in parts of it.
    pub fn unit(&self) -> f32 {
        match self.raw {
            Some(_) => PER_PHOTON as f32,
            None => 1.0,
        }
    }
}

/// Runs of excluded pixels, from one bit a pixel.
pub fn runs(mask: &hitgate_formats::Mask) -> Vec<[u32; 2]> {
    let mut runs: Vec<[u32; 2]> = Vec::new();
    for pixel in (0..mask.columns * mask.rows).filter(|&pixel| mask.excludes(pixel as usize)) {
        match runs.last_mut() {
            Some([first, count]) if *first + *count == pixel => *count += 1,
            _ => runs.push([pixel, 1]),
        }
    }
    runs
}

/// One bit a pixel, from runs; nothing at all where nothing is excluded.
fn unpack(runs: &[[u32; 2]], pixels: u64) -> Result<Vec<u8>> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let mut bits = vec![0; pixels.div_ceil(8) as usize];
    for &[first, count] in runs {
        if u64::from(first) + u64::from(count) > pixels {
            bail!("excluded run [{first}, {count}] reaches beyond the {pixels} pixels of a frame");
        }
        for pixel in first..first + count {
            bits[pixel as usize / 8] |= 1 << (pixel % 8);
        }
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_survives_its_runs() {
        let mut mask = hitgate_formats::Mask::none(7, 5);
        for pixel in [0, 1, 2, 9, 34] {
            mask.bits[pixel / 8] |= 1 << (pixel % 8);
        }
        let runs = runs(&mask);
        assert_eq!(runs, [[0, 3], [9, 1], [34, 1]]);
        assert_eq!(unpack(&runs, 35).unwrap(), mask.bits);
        assert!(unpack(&[[34, 2]], 35).is_err());
    }
}
