//! How labelled files are read, as the command line says it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use hitgate_formats::sidecar::sidecars;
use hitgate_formats::split_dataset;

use crate::open::{DescribeArgs, Pictures};
use crate::raw::{RawArgs, refuse_geometry};
use crate::raw_maps::RawMaps;

/// What is said of the files that a truth file names.
#[derive(Args, Debug)]
pub struct ReadingArgs {
    /// Layout that the labelled files must have
    #[arg(long, value_enum, default_value_t = LayoutArg::Auto)]
    layout: LayoutArg,
    #[command(flatten)]
    describe: DescribeArgs,
    #[command(flatten)]
    raw: RawArgs,
}

/// A layout of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LayoutArg {
    /// Any that is read; each file's is known by itself
    Auto,
    /// That of CXIDB entry 76, idh5_v1.0, and no other
    Cxidb76,
}

/// All files that are read of these frames, or may be: their own and their sidecars, geometry, mask and pedestals.
pub fn inputs(files: &[PathBuf], describe: &DescribeArgs, raw: &RawArgs) -> Vec<PathBuf> {
    let frames: Vec<_> = files.iter().map(|file| split_dataset(file).0).collect();
    let beside: Vec<_> = frames.iter().flat_map(|frame| sidecars(frame)).collect();
    let said = describe.files().chain(raw.files());
    frames.into_iter().chain(beside).chain(said).collect()
}

impl ReadingArgs {
    /// The files that are named: geometry, mask and pedestals.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.describe.files().chain(self.raw.files())
    }

    /// How files are read; where no truth file is `given` there is none to be read.
    ///
    /// # Errors
    /// Something is said of files that are not there, or the maps of raw words cannot be read.
    pub fn read(&self, given: bool) -> Result<Reading<'_>> {
        let says = self.layout != LayoutArg::Auto
            || self.raw.are_given()
            || self.describe != DescribeArgs::default();
        if says && !given {
            bail!(
                "layout, geometry, mask and pedestals are those of labelled files: give these with --truth"
            );
        }
        if self.raw.are_given() {
            refuse_geometry(&self.describe)?;
        }
        Ok(Reading {
            layout: self.layout,
            describe: &self.describe,
            raw: self.raw.read()?,
        })
    }
}

/// How the labelled files are read.
pub struct Reading<'a> {
    layout: LayoutArg,
    /// What is said of the frames in place of their files.
    pub describe: &'a DescribeArgs,
    /// What makes raw words photons, where the frames are such.
    pub raw: Option<Arc<RawMaps>>,
}

impl Reading<'_> {
    /// Opens a file.
    ///
    /// # Errors
    /// Those of [`Pictures::open`].
    pub fn open(&self, path: &Path) -> Result<Pictures> {
        let pictures = Pictures::open(path, self.describe)?;
        Ok(match self.raw {
            Some(_) => pictures.raw(),
            None => pictures,
        })
    }

    /// Refuses a file of another layout than the one that is asked for.
    ///
    /// # Errors
    /// It is, or the file cannot be opened to be told.
    pub fn check_layout(&self, path: &Path) -> Result<()> {
        if self.layout == LayoutArg::Cxidb76 && !self.open(path)?.is_cxidb_76() {
            bail!(
                "{}: not of the layout of CXIDB entry 76, HDF5 whose metadata/idh5_version is idh5_v1.0: leave out --layout cxidb76",
                path.display()
            );
        }
        Ok(())
    }
}
