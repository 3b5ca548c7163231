//! What is known about frames beside their pixels: from a header, or from `NAME.json`.

use std::fs;
use std::io::Write;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::geometry::{DISTANCE_MM, PIXEL_MM, WAVELENGTH_A};
use crate::write::WholeFile;
use crate::{FormatError, Geometry, Mask, Metadata};

/// Everything that a header or a sidecar may say about frames. Every key is optional; in a sidecar
/// unknown keys are refused, and so are numbers that no experiment has, because a wrong geometry
/// places the window where the spots are not.
///
/// The sidecar of `frame.npy` is `frame.npy.json`, else `frame.json`; for `frame.cbf.gz` also
/// `frame.cbf.json`. What it says wins over the header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sidecar {
    /// The detector's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detector: Option<String>,
    /// Wavelength, in ångström.
    #[serde(rename = "wavelength_A", skip_serializing_if = "Option::is_none")]
    pub wavelength_a: Option<f64>,
    /// Distance from the sample to the panel, in millimetres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_mm: Option<f64>,
    /// Where the beam meets the panel, `[x, y]` in pixels; pixel `i` covers `[i, i + 1)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beam_center_px: Option<[f64; 2]>,
    /// Side of a pixel, in millimetres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pixel_mm: Option<f64>,
    /// Counts for one photon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gain: Option<f64>,
    /// Highest count that is still true; higher ones are overloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturation: Option<u32>,
    /// Count without any photon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<f64>,
    /// Pixel values that mean "no value".
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_values: Option<Vec<i64>>,
}

const KEYS: &str = "detector, wavelength_A, distance_mm, beam_center_px, pixel_mm, gain, saturation, offset, mask_values";

impl Sidecar {
    /// Reads a sidecar.
    ///
    /// # Errors
    /// [`FormatError::Missing`], [`FormatError::Io`], or [`FormatError::Json`] with what is wrong.
    pub fn read(path: &Path) -> Result<Sidecar, FormatError> {
        let text = fs::read(path).map_err(|e| FormatError::reading(path, e))?;
        let refused = |what| FormatError::Json {
            file: path.to_path_buf(),
            what,
            keys: KEYS,
        };
        let json = |e: serde_json::Error| refused(e.to_string());
        let object: Map<String, Value> = serde_json::from_slice(&text).map_err(json)?;
        let known = |key: &&String| KEYS.split(", ").any(|known| known == *key);
        if let Some(key) = object.keys().find(|key| !known(key)) {
            return Err(refused(format!("unknown key `{key}`")));
        }
        let sidecar: Sidecar = serde_json::from_slice(&text).map_err(json)?;
        sidecar.check().map_err(refused)?;
        Ok(sidecar)
    }

    /// Whether every number is one that an experiment may have; the message names the first that is
    /// not, with its unit.
    pub(crate) fn check(&self) -> Result<(), String> {
        let within =
            |key: &str, value: Option<f64>, range: RangeInclusive<f64>, unit: &str| match value
                .filter(|value| !range.contains(value))
            {
                None => Ok(()),
                Some(value) => Err(format!(
                    "{key} is {value}, and {} to {} {unit} are possible",
                    range.start(),
                    range.end()
                )),
            };
        within("wavelength_A", self.wavelength_a, WAVELENGTH_A, "ångström")?;
        within("distance_mm", self.distance_mm, DISTANCE_MM, "millimetres")?;
        within("pixel_mm", self.pixel_mm, PIXEL_MM, "millimetres")?;
        let positive = f64::MIN_POSITIVE..=f64::MAX;
        within("gain", self.gain, positive, "counts a photon")?;
        if self.saturation == Some(0) {
            return Err("saturation is 0, which calls every photon an overload".into());
        }
        Ok(())
    }

    /// Keys of the geometry that are not there; empty where it is whole.
    pub fn missing_geometry(&self) -> Vec<&'static str> {
        let keys = [
            ("wavelength_A", self.wavelength_a.is_none()),
            ("distance_mm", self.distance_mm.is_none()),
            ("beam_center_px", self.beam_center_px.is_none()),
            ("pixel_mm", self.pixel_mm.is_none()),
        ];
        let missing = keys.into_iter().filter(|(_, missing)| *missing);
        missing.map(|(key, _)| key).collect()
    }

    /// Whether any number of the geometry is there.
    pub fn has_geometry(&self) -> bool {
        self.missing_geometry().len() < 4
    }

    /// Writes a sidecar, one key a line.
    ///
    /// # Errors
    /// [`FormatError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), FormatError> {
        let mut text = serde_json::to_string_pretty(self).map_err(|e| FormatError::Json {
            file: path.to_path_buf(),
            what: e.to_string(),
            keys: KEYS,
        })?;
        text.push('\n');
        let write = || -> std::io::Result<()> {
            let mut file = WholeFile::create(path)?;
            file.write_all(text.as_bytes())?;
            file.finish()
        };
        write().map_err(|e| FormatError::writing(path, e))
    }

    /// The sidecar of `frame`, if it has one.
    ///
    /// # Errors
    /// As [`Sidecar::read`], where the sidecar is there but cannot be read.
    pub fn of(frame: &Path) -> Result<Option<Sidecar>, FormatError> {
        match sidecars(frame).into_iter().find(|path| path.is_file()) {
            Some(path) => Sidecar::read(&path).map(Some),
            None => Ok(None),
        }
    }

    /// This description, with everything that `other` says in its place.
    pub fn overridden_by(self, other: Sidecar) -> Sidecar {
        Sidecar {
            detector: other.detector.or(self.detector),
            wavelength_a: other.wavelength_a.or(self.wavelength_a),
            distance_mm: other.distance_mm.or(self.distance_mm),
            beam_center_px: other.beam_center_px.or(self.beam_center_px),
            pixel_mm: other.pixel_mm.or(self.pixel_mm),
            gain: other.gain.or(self.gain),
            saturation: other.saturation.or(self.saturation),
            offset: other.offset.or(self.offset),
            mask_values: other.mask_values.or(self.mask_values),
        }
    }

    /// The geometry, where all four of its numbers are there and usable.
    pub fn geometry(&self) -> Option<Geometry> {
        let geometry = Geometry {
            wavelength_a: self.wavelength_a?,
            distance_mm: self.distance_mm?,
            beam_center_px: self.beam_center_px?,
            pixel_mm: self.pixel_mm?,
        };
        geometry.is_usable().then_some(geometry)
    }

    pub(crate) fn into_metadata(self, mask: Option<Mask>) -> Metadata {
        Metadata {
            geometry: self.geometry(),
            detector: self.detector,
            gain: self.gain.unwrap_or(1.0),
            saturation: self.saturation,
            offset: self.offset.unwrap_or(0.0),
            mask_values: self.mask_values.unwrap_or_default(),
            mask,
        }
    }
}

impl From<&Metadata> for Sidecar {
    fn from(metadata: &Metadata) -> Sidecar {
        let geometry = metadata.geometry;
        Sidecar {
            detector: metadata.detector.clone(),
            wavelength_a: geometry.map(|g| g.wavelength_a),
            distance_mm: geometry.map(|g| g.distance_mm),
            beam_center_px: geometry.map(|g| g.beam_center_px),
            pixel_mm: geometry.map(|g| g.pixel_mm),
            gain: Some(metadata.gain),
            saturation: metadata.saturation,
            offset: Some(metadata.offset),
            mask_values: Some(metadata.mask_values.clone()),
        }
    }
}

/// Where a sidecar of `frame` may lie, nearest name first.
pub fn sidecars(frame: &Path) -> Vec<PathBuf> {
    let appended = |path: &Path| {
        let mut name = path.as_os_str().to_owned();
        name.push(".json");
        PathBuf::from(name)
    };
    let unzipped = match frame.extension() {
        Some(extension) if extension.eq_ignore_ascii_case("gz") => frame.with_extension(""),
        _ => frame.to_path_buf(),
    };
    vec![
        appended(frame),
        appended(&unzipped),
        unzipped.with_extension("json"),
    ]
}
