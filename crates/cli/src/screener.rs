//! Frames of files through the path.

use std::path::Path;

use anyhow::{Context, Result, bail};
use hitgate_core::frame::{FrameHeader, HEADER_LEN};
use hitgate_core::link::{LentQueue, Record};
use hitgate_core::net::Model;
use hitgate_core::pipeline::{Node, Pipeline, Stages};
use hitgate_host::{MonotonicClock, Ring};
use hitgate_ring::Layout;

use crate::feeder::stride;
use crate::filter::{FilterArgs, FilterMemory, identity, prepare};
use crate::open::{DescribeArgs, Picture, Pictures};

/// A node that remembers the record of the last frame.
struct LastRecord(Option<Record>);

impl Node for LastRecord {
    fn now_ns(&self) -> u64 {
        MonotonicClock.now_ns()
    }

    fn judged(&mut self, record: &Record, _: &Stages) {
        self.0 = Some(*record);
    }
}

/// Judges the frames of files, one by one, by way of a ring as a detector's frames come.
pub struct Screener<'a> {
    /// The model.
    pub model: Model<'a>,
    /// The file that it was read from.
    pub model_bytes: &'a [u8],
    /// What is said of the frames in place of their files.
    pub describe: &'a DescribeArgs,
    /// What decides.
    pub filter: &'a FilterArgs,
}

/// What was decided of one frame of a file.
pub struct Judged<'a> {
    /// The file.
    pub file: &'a str,
    /// The frame in the file, from 0.
    pub index: usize,
    /// The decision.
    pub record: Record,
    /// Whether a geometry placed the window.
    pub geometry: bool,
}

/// Takes each frame's decision.
type Emit<'e> = dyn FnMut(&Judged<'_>) -> Result<()> + 'e;

impl Screener<'_> {
    /// Judges every frame of a file; returns how many could not be read, having said why.
    ///
    /// # Errors
    /// Those of `emit`, and of the filter itself.
    pub fn file(&self, path: &Path, emit: &mut Emit<'_>) -> Result<usize> {
        let mut pictures = match Pictures::open(path, self.describe) {
            Ok(pictures) => pictures,
            Err(error) => {
                eprintln!("hitgate: {error:#}");
                return Ok(1);
            }
        };
        let (mut index, mut failed) = (0, 0);
        while index < pictures.len() {
            match pictures.read(index) {
                Ok(first) => index = self.same_module(path, &mut pictures, index, first, emit)?,
                Err(error) => {
                    eprintln!("hitgate: {error:#}");
                    failed += 1;
                    index += 1;
                }
            }
        }
        Ok(failed)
    }

    /// Judges frame `index` and those after it that are of the same module; returns the index of
    /// the first that is not, or that cannot be read.
    fn same_module(
        &self,
        path: &Path,
        pictures: &mut Pictures,
        mut index: usize,
        first: Picture,
        emit: &mut Emit<'_>,
    ) -> Result<usize> {
        let number = first.module;
        let modules = [pictures.modules[number].clone()];
        let prepared =
            prepare(&modules, &self.model).with_context(|| path.display().to_string())?;
        let preparations = [prepared[0].preparation()?];
        let level = self.filter.level()?;
        let policy = self.filter.policy(&self.model);

        // Two slots: one frame at a time, and half of the slots may be lent.
        let layout = Layout::new(2, stride(first.pixels.len())?, 2)?;
        let ring = Ring::anonymous(&layout, 1)?;
        let mut writer = ring.writer()?;
        let mut memory = FilterMemory::new(&self.model, level);
        let cpu = memory.cpu(&self.model, level, &preparations)?;
        let identity = identity(self.model_bytes, &modules, &policy)?;
        let mut pipeline =
            Pipeline::new(ring.reader()?, cpu, policy, LentQueue::<1>::new(), identity);

        let file = path.display().to_string();
        let mut next = Some(first);
        while let Some(picture) = next.take() {
            let header = FrameHeader {
                frame_number: index as u64 + 1,
                ..FrameHeader::new(
                    modules[0].rows as u16,
                    modules[0].columns as u16,
                    modules[0].pixel_type()?,
                )
            };
            let Some(mut slot) = writer.reserve()? else {
                bail!("the ring is full although every frame was judged");
            };
            slot.write(HEADER_LEN, &picture.pixels)?;
            slot.write(0, &header.seal())?;
            slot.commit();

            let mut node = LastRecord(None);
            pipeline.step(&mut node)?;
            drop(pipeline.link.take());
            let record = node.0.context("the frame was written and not judged")?;
            let geometry = prepared[0].geometry.is_some();
            emit(&Judged {
                file: &file,
                index,
                record,
                geometry,
            })?;

            index += 1;
            if index < pictures.len() {
                next = pictures
                    .read(index)
                    .ok()
                    .filter(|picture| picture.module == number);
            }
        }
        Ok(index)
    }
}
