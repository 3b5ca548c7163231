//! Raw words of an integrating detector, as the command line speaks of them.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use hitgate_core::correct::STAGES;

use crate::open::DescribeArgs;
use crate::raw_maps::RawMaps;

/// What makes raw words photons.
#[derive(Args, Clone, Debug, Default)]
pub struct RawArgs {
    /// The frames are raw JUNGFRAU words (u16, the gain stage in the two top bits); pedestals in ADU, for
    /// each stage a map of the frame's shape (NPY), or a stack of maps, one for each storage cell
    #[arg(
        long,
        value_name = "G0,G1,G2",
        value_delimiter = ',',
        requires = "adu_per_photon",
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
    /// The files that are named.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.pedestal.iter().flatten().cloned()
    }

    /// Whether frames are raw words.
    pub fn are_given(&self) -> bool {
        self.pedestal.is_some()
    }

    /// The maps, where they are asked for.
    ///
    /// # Errors
    /// Those of [`RawMaps::read`], and where there are more or fewer than three.
    pub fn read(&self) -> Result<Option<Arc<RawMaps>>> {
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
        Ok(Some(Arc::new(RawMaps::read(pedestals, adu_per_photon)?)))
    }
}

/// Refuses a geometry file for frames of raw words: it would move them away from their pedestals.
pub fn refuse_geometry(describe: &DescribeArgs) -> Result<()> {
    match &describe.geometry {
        Some(_) => bail!(
            "raw words are corrected where they are, and --geometry moves them: correct them first, and go on with the counts"
        ),
        None => Ok(()),
    }
}
