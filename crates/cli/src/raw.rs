//! Raw words of an integrating detector in files: the pedestals and gains that make them photons.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use half::f16;
use hitgate_core::correct::{Correction, STAGES};
use hitgate_core::link::Identity;
use hitgate_formats::{FrameFile, Pixels};

use crate::module::Module;

/// What makes raw words photons, as the command line says it.
#[derive(Args, Clone, Debug, Default)]
pub struct RawArgs {
    /// The frames are raw JUNGFRAU words (u16, the gain stage in the two top bits); pedestals in ADU,
    /// a map of the frame's shape (NPY) for each stage
    #[arg(
        long,
        value_name = "G0,G1,G2",
        value_delimiter = ',',
        requires = "adu_per_photon",
        conflicts_with = "geometry",
        help_heading = "Raw words"
    )]
    pedestal: Option<Vec<PathBuf>>,
    /// ADU that one photon adds in each stage: gain in ADU/keV times the photon energy in keV; negative
    /// where the ADC falls with the signal, as in G1 and G2
    #[arg(
        long,
        value_name = "A0,A1,A2",
        value_delimiter = ',',
        allow_hyphen_values = true,
        requires = "pedestal",
        help_heading = "Raw words"
    )]
    adu_per_photon: Option<Vec<f64>>,
}

impl RawArgs {
    /// The maps, where they are asked for.
    pub fn read(&self) -> Result<Option<RawMaps>> {
        let (Some(pedestals), Some(adu_per_photon)) = (&self.pedestal, &self.adu_per_photon) else {
            return Ok(None);
        };
        let (Ok(pedestals), Ok(adu_per_photon)) = (
            <&[PathBuf; STAGES]>::try_from(&pedestals[..]),
            <&[f64; STAGES]>::try_from(&adu_per_photon[..]),
        ) else {
            bail!(
                "--pedestal and --adu-per-photon take {STAGES} values each, for G0, G1 and G2; {} and {} were given",
                pedestals.len(),
                adu_per_photon.len()
            );
        };
        let mut maps = Vec::new();
        for (path, adu) in pedestals.iter().zip(adu_per_photon) {
            maps.push(StageMap::read(path, *adu)?);
        }
        let Ok(stages) = <[StageMap; STAGES]>::try_from(maps) else {
            bail!("there are {STAGES} stages");
        };
        let shape = |stage: &StageMap| (stage.columns, stage.rows);
        if stages.iter().any(|stage| shape(stage) != shape(&stages[0])) {
            bail!("the maps of --pedestal have different shapes");
        }
        Ok(Some(RawMaps { stages }))
    }
}

/// Pedestals and gains of every pixel.
pub struct RawMaps {
    stages: [StageMap; STAGES],
}

struct StageMap {
    columns: u32,
    rows: u32,
    /// In 1/4 ADU.
    pedestals: Vec<u16>,
    /// In photons per ADU; NaN where the pedestal is none.
    gains: Vec<f16>,
}

impl StageMap {
    fn read(path: &Path, adu_per_photon: f64) -> Result<Self> {
        let gain = f16::from_f64(1.0 / adu_per_photon);
        if !gain.is_normal() {
            bail!(
                "{adu_per_photon} ADU per photon: a number from 1/65504 to 16384 is needed, or its negative"
            );
        }
        let image = FrameFile::open(path)?.read_raw(0)?;
        let adu: Vec<f64> = match &image.pixels {
            Pixels::F32(values) => values.iter().map(|&v| v.into()).collect(),
            Pixels::U16(values) => values.iter().map(|&v| v.into()).collect(),
            Pixels::I32(values) => values.iter().map(|&v| v.into()).collect(),
            _ => bail!(
                "{}: pedestals are floating-point numbers, u16 or i32",
                path.display()
            ),
        };
        let quarters = adu.iter().map(|adu| (4.0 * adu).round());
        let pedestal = |quarters: f64| {
            (0.0..=65535.0)
                .contains(&quarters)
                .then_some(quarters as u16)
        };
        let pedestals: Vec<Option<u16>> = quarters.map(pedestal).collect();
        Ok(StageMap {
            columns: image.columns,
            rows: image.rows,
            gains: pedestals
                .iter()
                .map(|p| p.map_or(f16::NAN, |_| gain))
                .collect(),
            pedestals: pedestals.iter().map(|p| p.unwrap_or(0)).collect(),
        })
    }
}

impl RawMaps {
    /// The correction of a module's frames.
    ///
    /// # Errors
    /// Where they are no raw words, or of another shape.
    pub fn correction(&self, module: &Module) -> Result<Correction<'_>> {
        let [g0, g1, g2] = &self.stages;
        if module.pixel_type != "u16" || (module.columns, module.rows) != (g0.columns, g0.rows) {
            bail!(
                "frames of {} x {} {}, with pedestals of {} x {}: raw words are u16, of the pedestals' shape",
                module.columns,
                module.rows,
                module.pixel_type,
                g0.columns,
                g0.rows
            );
        }
        let pedestals = [&g0.pedestals[..], &g1.pedestals, &g2.pedestals];
        let gains = [&g0.gains[..], &g1.gains, &g2.gains];
        let correction = Correction::new(pedestals, gains, g0.pedestals.len());
        correction.context("the maps of the gain stages have different lengths")
    }

    /// The identity of a configuration that these maps are part of.
    pub fn part_of(&self, identity: Identity) -> Identity {
        let mut config = crc32fast::Hasher::new();
        config.update(&identity.config.to_le_bytes());
        for stage in &self.stages {
            for (pedestal, gain) in stage.pedestals.iter().zip(&stage.gains) {
                config.update(&pedestal.to_le_bytes());
                config.update(&gain.to_le_bytes());
            }
        }
        Identity {
            config: config.finalize(),
            ..identity
        }
    }
}
