//! The map that the network sees of a frame, to look at.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use hitgate_core::frame::Frame;
use hitgate_core::prep::{MAP_MAX, Preparation, Window};
use hitgate_kernels::Level;

use crate::module::Input;
use crate::open::Pictures;
use crate::raw_maps::RawMaps;

/// A prepared map, and the pixels that it was made of.
pub struct FrameMap {
    /// The pixels.
    pub window: Window,
    /// Levels of 0 to 127, row by row, the channels of a cell together.
    pub levels: Vec<u8>,
    channels: u32,
}

impl FrameMap {
    /// Frame `index` of an open file, as a network of this input takes it; `raw` makes its words
    /// photons, where they are such.
    ///
    /// # Errors
    /// Where the file has no such frame, or the frame cannot be prepared.
    pub fn of_pictures(
        pictures: &mut Pictures,
        index: usize,
        input: Input,
        raw: Option<&Arc<RawMaps>>,
    ) -> Result<Self> {
        let path = pictures.file().to_owned();
        if index >= pictures.len() {
            bail!(
                "{} has no frame {index}: it holds {}, counted from 0",
                path.display(),
                pictures.len()
            );
        }
        let picture = pictures.read(index)?;
        let name = || format!("{} //{index}", path.display());
        let Some(place) = picture.module() else {
            bail!("{}: its header names no module that is described", name());
        };
        let prepared = pictures.modules[place].prepare(input, raw)?;
        let frame = Frame::parse(picture.frame.bytes());
        let frame = frame.map_err(|(fault, _)| anyhow!("{}: {fault}", name()))?;
        FrameMap::of(&prepared.preparation(), &frame).with_context(name)
    }

    fn of(preparation: &Preparation<'_>, frame: &Frame<'_>) -> Result<Self> {
        let mut words = vec![0; preparation.words()];
        let mut levels = vec![0; preparation.map_bytes()];
        let made = preparation.run(Level::detect(), frame, &mut words, &mut levels);
        made.map_err(|fault| anyhow!("{fault}"))?;
        Ok(FrameMap {
            window: preparation.window,
            levels,
            channels: preparation.reduce.channels(),
        })
    }

    /// Cells along the side.
    pub fn side(&self) -> usize {
        self.window.input as usize
    }

    /// [`grey`] levels of its cells.
    pub fn grey(&self) -> Vec<u8> {
        grey(&self.levels, self.channels)
    }
}

/// A grey level of 0 to 255 for each cell of a map: the largest of its channels.
pub fn grey(levels: &[u8], channels: u32) -> Vec<u8> {
    let cells = levels.chunks_exact(channels as usize);
    let largest = cells.map(|cell| cell.iter().fold(0, |a, &b| a.max(b)));
    largest
        .map(|level| (u32::from(level) * 255 / MAP_MAX) as u8)
        .collect()
}
