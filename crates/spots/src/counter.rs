//! A frame → the number of its spots, and a list of them.

use core::fmt;

use hitgate_core::frame::{Fault, Frame};
use hitgate_core::prep::Preparation;

use crate::background::{self, Ring};
use crate::rings::{Beam, Rings, most};
use crate::settings::Settings;
use crate::spot::{Area, END, Spot};

/// Counts the spots of the frames of one module, in memory that the caller gave.
#[derive(Debug)]
pub struct Counter<'m> {
    rings: Rings<'m>,
    background: &'m mut [Ring],
    counts: &'m mut [u32],
}

/// Memory for a [`Counter`], as much as [`Counter::memory`] says. What it holds does not matter.
#[derive(Debug)]
pub struct Buffers<'m> {
    /// The ring of each pixel within reach.
    pub of: &'m mut [u16],
    /// The rings.
    pub rings: &'m mut [Ring],
    /// The count of each pixel within reach.
    pub counts: &'m mut [u32],
}

/// The lengths of [`Buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Rings of pixels, and counts of them.
    pub pixels: usize,
    /// Rings.
    pub rings: usize,
}

/// Why a [`Counter`] could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterError {
    /// A buffer is shorter than [`Counter::memory`] says.
    Memory,
    /// More pixels are within reach than 2³¹ − 2.
    Pixels,
}

impl fmt::Display for CounterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CounterError::Memory => "a buffer is too short; ask Counter::memory",
            CounterError::Pixels => "more than 2³¹ − 2 pixels are within reach of the beam",
        })
    }
}

impl core::error::Error for CounterError {}

/// What was counted in a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Spots of the frame.
    pub spots: u32,
    /// Spots in the list, the first ones row by row: fewer than [`spots`](Self::spots) where the list
    /// was full.
    pub listed: u32,
}

impl<'m> Counter<'m> {
    /// The memory that the frames of this preparation need about this beam.
    pub fn memory(preparation: &Preparation<'_>, beam: &Beam) -> Needs {
        let shape = [preparation.columns, preparation.rows];
        let [columns, rows] = beam.reaches(shape);
        Needs {
            pixels: columns.len() * rows.len(),
            // And one for the pixels that are in none.
            rings: most(shape, beam) + 1,
        }
    }

    /// Sorts the pixels of a module into rings.
    ///
    /// # Errors
    /// [`CounterError`].
    pub fn new(
        preparation: &Preparation<'_>,
        beam: &Beam,
        buffers: Buffers<'m>,
    ) -> Result<Self, CounterError> {
        let Needs { pixels, rings } = Counter::memory(preparation, beam);
        if pixels > END as usize {
            return Err(CounterError::Pixels);
        }
        let Buffers {
            of,
            rings: background,
            counts,
        } = buffers;
        let (Some(of), Some(background), Some(counts)) = (
            of.get_mut(..pixels),
            background.get_mut(..rings),
            counts.get_mut(..pixels),
        ) else {
            return Err(CounterError::Memory);
        };
        let shape = [preparation.columns, preparation.rows];
        let rings = Rings::new(shape, beam, preparation.mask, of, background);
        Ok(Counter {
            background: &mut background[..=rings.count],
            rings,
            counts,
        })
    }

    /// Counts the spots of `frame`, with the mask, mask values and saturation of `preparation`, and
    /// puts as many into `list` as it holds.
    ///
    /// # Errors
    /// [`Fault::Shape`] where the frame, or the preparation, is of another shape than the module's;
    /// [`Fault::UnknownCell`] for a storage cell without correction; [`Fault::NoValidPixel`] where
    /// nothing was measured.
    pub fn count(
        &mut self,
        preparation: &Preparation<'_>,
        frame: &Frame<'_>,
        settings: &Settings,
        list: &mut [Spot],
    ) -> Result<Counted, Fault> {
        let Rings {
            columns, rows, of, ..
        } = &self.rings;
        preparation.read_counts(frame, columns.clone(), rows.clone(), self.counts)?;
        background::find(self.counts, of, self.background, settings);
        let (_, rings) = self.background.split_last().ok_or(Fault::NoValidPixel)?;
        if rings.iter().all(|ring| ring.pixels == 0) {
            return Err(Fault::NoValidPixel);
        }
        let mut area = Area {
            counts: self.counts,
            of,
            rings: self.background,
            width: columns.len(),
        };
        let mut counted = Counted::default();
        for at in 0..of.len() {
            if !area.stands_out(at) {
                continue;
            }
            if let Some(spot) = area.spot(at, settings) {
                if let Some(place) = list.get_mut(counted.listed as usize) {
                    *place = Spot {
                        x: spot.x + columns.start as f32,
                        y: spot.y + rows.start as f32,
                        ..spot
                    };
                    counted.listed += 1;
                }
                counted.spots += 1;
            }
        }
        Ok(counted)
    }
}
