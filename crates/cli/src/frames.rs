//! Frames held in memory, for a detector that is emulated.

use std::path::Path;

use anyhow::{Context, Result, bail};
use hitgate_core::verdict::Class;
use hitgate_formats::truth;
use rayon::prelude::*;

use crate::module::Module;
use crate::open::{DescribeArgs, Pictures};

/// One frame.
pub struct HeldFrame {
    /// Its module, which is its place in [`Frames::modules`].
    pub module: u16,
    /// Pixels, row by row, little endian.
    pub pixels: Vec<u8>,
    /// What is in it, where that is known.
    pub label: Option<Class>,
    /// Where it is from.
    pub origin: String,
}

/// Frames and the modules that they are of.
#[derive(Default)]
pub struct Frames {
    /// Modules by number.
    pub modules: Vec<Module>,
    /// The frames.
    pub frames: Vec<HeldFrame>,
}

impl Frames {
    /// Reads every frame of the files.
    pub fn from_files<P: AsRef<Path>>(paths: &[P], describe: &DescribeArgs) -> Result<Self> {
        let mut held = Frames::default();
        for path in paths {
            held.read(path.as_ref(), describe)?;
        }
        Ok(held)
    }

    fn read(&mut self, path: &Path, describe: &DescribeArgs) -> Result<()> {
        let mut pictures = Pictures::open(path, describe)?;
        for index in 0..pictures.len() {
            let picture = pictures.read(index)?;
            let module = self.module(&pictures.modules[picture.module])?;
            let origin = format!("{} //{index}", path.display());
            self.frames.push(HeldFrame {
                module,
                pixels: picture.pixels,
                label: None,
                origin,
            });
        }
        Ok(())
    }

    /// The number of a module, which is new or known.
    fn module(&mut self, module: &Module) -> Result<u16> {
        let known = self.modules.iter().position(|m| m == module);
        let number = known.unwrap_or_else(|| {
            self.modules.push(module.clone());
            self.modules.len() - 1
        });
        u16::try_from(number)
            .context("more than 65,536 kinds of frames: feed fewer files at a time")
    }

    /// Adds frames of one module.
    pub fn add(
        &mut self,
        module: &Module,
        frames: impl IntoIterator<Item = HeldFrame>,
    ) -> Result<()> {
        let module = self.module(module)?;
        self.frames.extend(
            frames
                .into_iter()
                .map(|frame| HeldFrame { module, ..frame }),
        );
        Ok(())
    }

    /// Bytes of the largest frame.
    pub fn largest(&self) -> Result<usize> {
        let Some(largest) = self.frames.iter().map(|frame| frame.pixels.len()).max() else {
            bail!("there is no frame to feed: name files, or simulate");
        };
        Ok(largest)
    }

    /// Bytes of each frame once compressed with LZ4, as detectors send them.
    pub fn compressed(&self) -> Vec<u64> {
        self.frames
            .par_iter()
            .map(|frame| lz4_flex::block::compress(&frame.pixels).len() as u64)
            .collect()
    }
}

/// The class that a truth file gives; `few` is outside every count.
pub fn label(class: truth::Class) -> Option<Class> {
    match class {
        truth::Class::Hit => Some(Class::Hit),
        truth::Class::Maybe => Some(Class::Maybe),
        truth::Class::Miss => Some(Class::Miss),
        truth::Class::Few => None,
    }
}
