//! Prepared maps with labels, as `hitgate dataset` writes them: NAME.npy, and NAME.jsonl beside it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use hitgate_core::verdict::Class;
use hitgate_formats::{FormatError, FrameFile, Pixels};
use hitgate_import::scores::Maps;
use serde::Deserialize;

use crate::simulation::ReduceArg;

/// Maps and their classes.
pub struct Labelled {
    /// How the maps were made, where the labels say it.
    pub reduce: Option<ReduceArg>,
    /// The set of each map; empty where the labels do not say it.
    pub sets: Vec<String>,
    /// Cells along the side of a map; 0 where there is none.
    pub side: usize,
    /// Bytes a cell.
    pub channels: usize,
    path: PathBuf,
    levels: Vec<u8>,
    classes: Vec<Class>,
}

/// The part of a label line that is needed here.
#[derive(Deserialize)]
struct Label {
    class: String,
    reduce: Option<String>,
    #[serde(default)]
    set: String,
}

impl Labelled {
    /// Reads the maps at `path` and their labels.
    ///
    /// # Errors
    /// One of the files cannot be read, the maps are not square maps of bytes, or they were not all
    /// made in one way.
    pub fn read(path: &Path) -> Result<Self> {
        let mut file = FrameFile::open(path)?;
        let mut levels = Vec::new();
        let (mut side, mut channels) = (0, 1);
        for index in 0..file.frames() {
            let image = file.read(index)?;
            let Pixels::U8(map) = image.pixels else {
                bail!(
                    "{}: maps are u8, as `hitgate dataset` writes them",
                    path.display()
                );
            };
            if !image.columns.is_multiple_of(image.rows) {
                bail!(
                    "{}: a map of {} x {} is not square in one or more channels",
                    path.display(),
                    image.columns,
                    image.rows
                );
            }
            side = image.rows as usize;
            channels = image.columns as usize / side;
            levels.extend_from_slice(&map);
        }
        let labels = path.with_extension("jsonl");
        let text = std::fs::read_to_string(&labels)
            .map_err(|error| FormatError::reading(&labels, error))
            .context("the labels of the maps, which lie beside them, cannot be read; where only the maps were copied, copy the labels too; where the run that made them was killed, make them again")?;
        let (mut classes, mut sets) = (Vec::new(), Vec::new());
        let mut reduce = None;
        for (number, line) in (1..).zip(text.lines()) {
            let at = || format!("{} line {number}", labels.display());
            let label: Label = serde_json::from_str(line).with_context(at)?;
            let class = Class::ALL
                .into_iter()
                .find(|class| class.name() == label.class);
            let Some(class) = class else {
                bail!(
                    "{}: class `{}` is none of hit, maybe, miss",
                    at(),
                    label.class
                );
            };
            classes.push(class);
            sets.push(label.set);
            if let Some(name) = label.reduce {
                let Ok(made) = ReduceArg::from_str(&name, false) else {
                    bail!("{}: no maps are made by `{name}`", at());
                };
                if *reduce.get_or_insert(made) != made {
                    bail!("{}: made in another way than the maps before", at());
                }
            }
        }
        Ok(Labelled {
            reduce,
            sets,
            side,
            channels,
            path: path.into(),
            levels,
            classes,
        })
    }

    /// The levels of map `index`, of which there must be so many.
    pub fn levels(&self, index: usize) -> &[u8] {
        let bytes = self.side * self.side * self.channels;
        &self.levels[index * bytes..][..bytes]
    }

    /// The maps with their classes.
    ///
    /// # Errors
    /// There is not one label a map.
    pub fn maps(&self) -> Result<Maps<'_>> {
        let bytes = self.side * self.side * self.channels;
        match Maps::new(&self.levels, &self.classes, bytes) {
            Some(maps) => Ok(maps),
            None => bail!(
                "{}: {} labels for {} bytes of maps of {bytes}: one line a map is needed",
                self.path.display(),
                self.classes.len(),
                self.levels.len(),
            ),
        }
    }
}
