//! The layout `idh5_v1.0` of entry 76 of the Coherent X-ray Imaging Data Bank: `data/KEY/images`
//! with `distance`, `wavelength` and `timestamp` of each frame beside it, and `metadata` of all.

use std::path::Path;

use hdf5_reader::{Dataset, Hdf5File};

use super::{Hdf5Error, nexus};
use crate::pilatus;
use crate::sidecar::Sidecar;
use crate::{FormatError, Mask};

const VERSION: &str = "idh5_v1.0";
/// The outermost pixels of each active area count too much or too little, as those who recorded the
/// data treat them.
const MARGIN: i64 = 1;

pub(super) fn is_one(file: &Hdf5File) -> bool {
    nexus::text(file, "/metadata/idh5_version").is_some_and(|version| version == VERSION)
}

/// The datasets of images, by key in alphabetical order, which is how the annotations count.
pub(super) fn images(file: &Hdf5File) -> Result<Vec<Dataset>, Hdf5Error> {
    let images = |key: String| file.dataset(&format!("/data/{key}/images"));
    keys(file).into_iter().map(images).collect()
}

fn keys(file: &Hdf5File) -> Vec<String> {
    let members = file.group("/data").and_then(|data| data.member_names());
    let (mut keys, _) = members.unwrap_or_default();
    keys.sort();
    keys
}

/// Geometry in millimetres and ångström, and the highest trusted count. Distance and wavelength are
/// those of the first frame, whatever they are from shot to shot.
pub(super) fn describe(file: &Hdf5File) -> Sidecar {
    let metadata = |name: &str| nexus::number_at(file, &format!("/metadata/{name}"));
    let first = keys(file).into_iter().next().unwrap_or_default();
    let of_first = |name: &str| {
        let value = nexus::number_at(file, &format!("/data/{first}/{name}"));
        value.filter(|value| *value > 0.0)
    };
    let pixel_mm = metadata("PIXEL_SIZE").filter(|pixel| *pixel > 0.0);
    let center = |name: &str| Some(metadata(name)? / pixel_mm?);
    Sidecar {
        wavelength_a: of_first("wavelength"),
        distance_mm: of_first("distance"),
        beam_center_px: pilatus::center(center("BEAM_CENTER_X"), center("BEAM_CENTER_Y")),
        pixel_mm,
        saturation: metadata("SATURATED_VALUE")
            .filter(|counts| (1.0..=f64::from(u32::MAX)).contains(counts))
            .map(|counts| counts as u32),
        ..Sidecar::default()
    }
}

/// What lies in none of the `ACTIVE_AREAS`: four numbers each, first row, first column, and the ends
/// of both. `None` of a detector of one area.
///
/// # Errors
/// [`FormatError::Malformed`] where an area is not in the frame.
pub(super) fn mask(
    path: &Path,
    file: &Hdf5File,
    columns: u32,
    rows: u32,
) -> Result<Option<Mask>, FormatError> {
    let damaged = |what: String| Err(FormatError::malformed(path, what));
    let areas = file.dataset("/metadata/ACTIVE_AREAS").ok();
    let areas = areas
        .and_then(|areas| nexus::numbers(&areas))
        .unwrap_or_default();
    let (areas, rest) = areas.as_chunks::<4>();
    if !rest.is_empty() {
        return damaged("ACTIVE_AREAS are not four numbers each".into());
    }
    if areas.len() <= 1 {
        return Ok(None);
    }
    let mut mask = Mask::none(columns, rows);
    let pixels = columns as usize * rows as usize;
    (0..pixels).for_each(|pixel| mask.set(pixel, true));
    for area in areas {
        let [top, left, bottom, right] = area.map(|edge| edge as i64);
        let fits = |from, to, side| 0 <= from && from < to && to <= i64::from(side);
        if !fits(top, bottom, rows) || !fits(left, right, columns) {
            return damaged(format!(
                "ACTIVE_AREAS name rows {top} to {bottom} and columns {left} to {right}, and frames are {columns} x {rows}"
            ));
        }
        for row in top + MARGIN..bottom - MARGIN {
            for column in left + MARGIN..right - MARGIN {
                mask.set((row * i64::from(columns) + column) as usize, false);
            }
        }
    }
    Ok(Some(mask))
}
