//! Detectors of several panels: geometry files of CrystFEL and DIALS, and the frame that their
//! panels make together.

mod expt;
mod geom;
mod placement;

use std::fs;
use std::path::{Path, PathBuf};

pub use placement::Placement;
use placement::{Region, Tile};

use crate::{FormatError, Mask, Sidecar};

/// What a geometry file says.
#[derive(Clone, Debug)]
pub struct GeometryFile {
    /// Wavelength, distance, pixel, gain and saturation, and where the beam meets the assembled
    /// frame. What the file takes from the images, such as `photon_energy = /path`, is left out.
    pub about: Sidecar,
    /// Where each pixel of the data lies in the frame.
    pub placement: Placement,
    /// A mask that the file names, in the shape of the data.
    pub(crate) mask: Option<MaskRule>,
}

/// CrystFEL's masks: which bits of a pixel's value in a mask say that it is bad, or not good.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct MaskRule {
    /// The file of the mask; the file of the frames where none is named.
    pub file: Option<PathBuf>,
    pub dataset: String,
    /// All of these bits are set in a good pixel.
    pub good: u32,
    /// None of these bits is set in a good pixel.
    pub bad: u32,
}

impl GeometryFile {
    /// Reads CrystFEL's `.geom` or DIALS' `.expt`, known by its content. Of an experiment list the
    /// detector and the beam of the first experiment count.
    ///
    /// # Errors
    /// [`FormatError::Missing`], [`FormatError::Io`], or [`FormatError::Malformed`] with the line, the
    /// panel, or the number that cannot be.
    pub fn read(path: &Path) -> Result<GeometryFile, FormatError> {
        let bytes = fs::read(path).map_err(|e| FormatError::reading(path, e))?;
        let text = String::from_utf8_lossy(&bytes);
        let read = match text.trim_start().starts_with('{') {
            true => expt::parse(&text),
            false => geom::parse(&text, path.parent().unwrap_or(Path::new(""))),
        };
        let geometry = read.map_err(|what| FormatError::malformed(path, what))?;
        geometry
            .about
            .check()
            .map_err(|what| FormatError::malformed(path, what))?;
        Ok(geometry)
    }

    /// From panels: their plane has the geometry `about` beside what the panels say.
    fn new(
        about: Sidecar,
        tiles: Vec<Tile>,
        bad_xy: &[Region],
        mask: Option<MaskRule>,
    ) -> Result<Self, String> {
        let placement = Placement::new(&tiles, bad_xy)?;
        let pixel_mm = common(
            "pixel sizes",
            "mm",
            tiles.iter().map(|tile| Some(tile.pixel_mm)),
        )?;
        let distance_mm = common("distances", "mm", tiles.iter().map(|tile| tile.distance_mm))?;
        let about = Sidecar {
            pixel_mm,
            distance_mm: distance_mm.or(about.distance_mm),
            beam_center_px: Some(placement.beam_center_px()),
            ..about
        };
        Ok(GeometryFile {
            about,
            placement,
            mask,
        })
    }
}

/// The mean of what every panel says; `None` where one says nothing.
fn common(
    what: &str,
    unit: &str,
    values: impl Iterator<Item = Option<f64>>,
) -> Result<Option<f64>, String> {
    /// Panels this much nearer than others shift no ring by a block of pixels.
    const DIFFERENT: f64 = 0.02;
    let Some(values) = values.collect::<Option<Vec<f64>>>() else {
        return Ok(None);
    };
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| {
            (low.min(value), high.max(value))
        });
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    match high - low <= DIFFERENT * mean.abs() {
        true => Ok(Some(mean)),
        false => Err(format!(
            "the {what} of the panels go from {low} to {high} {unit}, and one flat frame has one; give the panels of one plane"
        )),
    }
}

impl MaskRule {
    /// The mask that these values, in the shape of the data, make.
    pub(crate) fn mask(&self, values: &crate::Image) -> Mask {
        let is_bad = |value: u32| value & self.bad != 0 || value & self.good != self.good;
        let mut mask = Mask::none(values.columns, values.rows);
        for index in 0..values.pixels.len() {
            mask.bits[index / 8] |= u8::from(is_bad(values.pixels.word(index))) << (index % 8);
        }
        mask
    }
}
