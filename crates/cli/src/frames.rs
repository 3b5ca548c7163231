//! Frames held in memory, for a detector that is emulated.

use std::path::Path;

use anyhow::{Result, bail};
use hitgate_core::verdict::Class;
use hitgate_formats::truth::{self, Truth};
use rayon::prelude::*;

use crate::complaints::Complaints;
use crate::module::Module;
use crate::open::{DescribeArgs, Pictures};
use crate::slot::{SlotFrame, stride};

/// One frame.
pub struct HeldFrame {
    /// Its module, which is its place in [`Frames::modules`]; `None` where its header names none.
    pub module: Option<u16>,
    /// Header and pixels.
    pub slot: SlotFrame,
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
    /// Reads every frame of the files, whose pixels are counts, or `raw` words.
    pub fn from_files<P: AsRef<Path>>(
        paths: &[P],
        describe: &DescribeArgs,
        raw: bool,
    ) -> Result<Self> {
        let mut held = Frames::default();
        let complaints = Complaints::default();
        for path in paths {
            let pictures = Pictures::open(path.as_ref(), describe)?;
            complaints.doubt(&pictures);
            held.read(match raw {
                true => pictures.raw(),
                false => pictures,
            })?;
        }
        Ok(held)
    }

    fn read(&mut self, mut pictures: Pictures) -> Result<()> {
        for module in &pictures.modules {
            self.number(module)?;
        }
        for index in 0..pictures.len() {
            let picture = pictures.read(index)?;
            let module = picture
                .module()
                .map(|place| self.number(&pictures.modules[place]));
            self.frames.push(HeldFrame {
                module: module.transpose()?,
                slot: picture.frame,
                label: None,
                origin: format!("{} //{index}", pictures.path().display()),
            });
        }
        Ok(())
    }

    /// The number of a module, which is new or known.
    pub fn number(&mut self, module: &Module) -> Result<u16> {
        let known = self.modules.iter().position(|m| m == module);
        let number = known.unwrap_or_else(|| {
            self.modules.push(module.clone());
            self.modules.len() - 1
        });
        match u16::try_from(number) {
            // The last number is left for frames of no module.
            Ok(number) if number < u16::MAX => Ok(number),
            _ => bail!("more than 65,535 kinds of frames: feed fewer files at a time"),
        }
    }

    /// Adds those of `others`.
    pub fn append(&mut self, others: Frames) -> Result<()> {
        for frame in others.frames {
            let place = frame.module.map(usize::from);
            let module = place.map(|place| self.number(&others.modules[place]));
            self.frames.push(HeldFrame {
                module: module.transpose()?,
                ..frame
            });
        }
        Ok(())
    }

    /// Bytes of a slot that each of them fits.
    pub fn stride(&self) -> Result<u32> {
        let Some(largest) = self.frames.iter().map(|frame| frame.slot.len()).max() else {
            bail!("there is no frame to feed: name files, or simulate");
        };
        stride(largest)
    }

    /// Compresses every frame, as a detector does that sends them so.
    ///
    /// # Errors
    /// Where a frame is a kept slot, which is played as it is.
    pub fn compress(&mut self) -> Result<()> {
        if let Some(kept) = self.frames.iter().find(|frame| frame.slot.kept) {
            bail!(
                "{}: kept slots are played as they are: leave out --compress",
                kept.origin
            );
        }
        self.frames.par_iter_mut().try_for_each(|frame| {
            frame.slot = frame.slot.compressed()?;
            Ok::<_, anyhow::Error>(())
        })?;
        for module in &mut self.modules {
            module.compressed = true;
        }
        Ok(())
    }

    /// Bytes of each frame's pixels once compressed with LZ4, as detectors send them.
    pub fn compressed(&self) -> Vec<u64> {
        self.frames
            .par_iter()
            .map(|frame| lz4_flex::block::compress(frame.slot.payload()).len() as u64)
            .collect()
    }
}

/// Reads a truth file, and warns where it holds verdicts in the place of labels.
///
/// # Errors
/// Those of [`truth::read`].
pub fn labels(path: &Path) -> Result<Vec<(usize, Truth)>> {
    let lines = truth::read(path)?;
    let verdicts = lines.iter().filter(|(_, line)| line.is_verdict).count();
    if verdicts > 0 {
        tell!(
            "hitgate: warning: {}: {verdicts} of {} lines are verdicts of a filter, with its p_hit: what is compared with them, or learns from them, shows that it agrees with that filter and not that either is right",
            path.display(),
            lines.len()
        );
    }
    Ok(lines)
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
