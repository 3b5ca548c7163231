//! Frames of files through the path.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use hitgate_core::link::{LentQueue, Record};
use hitgate_core::net::Model;
use hitgate_core::pipeline::{Node, Pipeline, Stages};
use hitgate_host::{MonotonicClock, Ring};
use hitgate_ring::Layout;

use crate::backend::Hardware;
use crate::complaints::Complaints;
use crate::filter::{FilterArgs, FilterMemory, identity, prepare};
use crate::module::{Module, Prepared};
use crate::open::{DescribeArgs, Picture, Pictures};
use crate::raw_maps::RawMaps;
use crate::slot::{put, stride};

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
    /// Where frames are scored.
    pub hardware: &'a Hardware,
    /// What makes raw words photons, where the frames are such.
    pub raw: Option<Arc<RawMaps>>,
    /// What was told so far of files and frames.
    pub complaints: &'a Complaints,
}

/// What was decided of one frame of a file.
pub struct Judged<'a> {
    /// The file, as the user named it.
    pub name: &'a str,
    /// The file, without the dataset that was named.
    pub file: &'a Path,
    /// The frame in the file, from 0.
    pub index: usize,
    /// The decision.
    pub record: Record,
    /// Where the geometry that placed the window is from: `flags`, `sidecar`, `file` or `none`.
    pub geometry: &'static str,
}

/// Takes each frame's decision.
type Emit<'e> = dyn FnMut(&Judged<'_>) -> Result<()> + 'e;

/// A ring, and the preparations of the frames that go through it.
struct Setup {
    modules: Vec<Module>,
    prepared: Vec<Prepared>,
    ring: Ring,
}

impl Setup {
    /// For frames of these modules that need up to `largest` bytes of a slot.
    fn new(modules: &[Module], largest: usize, screener: &Screener<'_>) -> Result<Self> {
        // Two slots: one frame at a time, and half of the slots may be lent.
        let layout = Layout::new(2, stride(largest)?, 2)?;
        Ok(Setup {
            modules: modules.to_vec(),
            prepared: prepare(modules, &screener.model, screener.raw.as_ref())?,
            ring: Ring::anonymous(&layout, 1)?,
        })
    }
}

impl Screener<'_> {
    /// Judges every frame of a file, as far as it can be judged; returns how many could not, having
    /// said why.
    ///
    /// # Errors
    /// Those of `emit`, and of the filter itself.
    pub fn file(&self, path: &Path, emit: &mut Emit<'_>) -> Result<usize> {
        let raw = self.raw.is_some();
        let Some(mut pictures) = Pictures::open_or_say(path, self.describe, raw, self.complaints)
        else {
            return Ok(1);
        };
        let (mut index, mut failed) = (0, 0);
        while index < pictures.len() {
            let picture = match pictures.read(index) {
                Ok(picture) => picture,
                Err(error) => {
                    self.complaints.tell(path, error);
                    failed += 1;
                    index += 1;
                    continue;
                }
            };
            let modules = &pictures.modules[picture.among.clone()];
            match Setup::new(modules, picture.frame.len(), self) {
                Ok(setup) => {
                    for doubt in setup.prepared.iter().filter_map(Prepared::doubt) {
                        let doubt = format_args!("{}: {doubt}", path.display());
                        self.complaints.tell(path, doubt);
                    }
                    index = self.alike(&setup, path, &mut pictures, index, picture, emit)?
                }
                Err(error) => {
                    let what = format_args!("{} //{index} and after: {error:#}", path.display());
                    self.complaints.tell(path, what);
                    return Ok(failed + 1);
                }
            }
        }
        Ok(failed)
    }

    /// Judges frame `index` and those after it that fit the same setup; returns the index of the
    /// first that does not, or that cannot be read.
    fn alike(
        &self,
        setup: &Setup,
        path: &Path,
        pictures: &mut Pictures,
        mut index: usize,
        first: Picture,
        emit: &mut Emit<'_>,
    ) -> Result<usize> {
        let among = first.among.clone();
        let room = setup.ring.layout().stride() as usize;
        let preparations: Vec<_> = setup.prepared.iter().map(Prepared::preparation).collect();
        let level = self.filter.level()?;
        let policy = self.filter.policy(&self.model);
        let mut writer = setup.ring.writer()?;
        let mut memory = FilterMemory::new(&self.model, level, &preparations);
        let cpu = memory.cpu(&self.model, level, &preparations)?;
        let raw = self.raw.as_deref();
        let identity = identity(self.model_bytes, &setup.modules, &policy, None, raw)?;
        let reader = setup.ring.reader()?;
        let processor = self.hardware.processor(&self.model, &preparations, cpu)?;
        let mut pipeline =
            Pipeline::new(reader, processor, policy, LentQueue::<1>::new(), identity);

        let name = path.display().to_string();
        let file = pictures.file().to_owned();
        let geometry_from = pictures.geometry_from();
        let mut next = Some(first);
        while let Some(picture) = next.take() {
            if !put(&mut writer, &picture.frame, |_| ())? {
                bail!("the ring is full although every frame was judged");
            }
            let mut node = LastRecord(None);
            pipeline.step(&mut node)?;
            self.hardware.attend(pipeline.backend.lost());
            drop(pipeline.link.take());
            let record = node.0.context("the frame was written and not judged")?;
            let prepared = setup.prepared.get(usize::from(record.module));
            let geometry = match prepared.and_then(|prepared| prepared.geometry) {
                Some(_) => geometry_from,
                None => "none",
            };
            emit(&Judged {
                name: &name,
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
                    .filter(|picture| picture.among == among && picture.frame.len() <= room);
            }
        }
        Ok(index)
    }
}
