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
        self.find_background(preparation, frame)?;
        let [left, top] = [&self.rings.columns, &self.rings.rows].map(|along| along.start as f32);
        let mut counted = Counted::default();
        self.each_spot(settings, |spot| {
            if let Some(place) = list.get_mut(counted.listed as usize) {
                *place = Spot {
                    x: spot.x + left,
                    y: spot.y + top,
                    ..spot
                };
                counted.listed += 1;
            }
            counted.spots += 1;
        });
        Ok(counted)
    }

    /// Counts the spots of `frame` by each of `settings`, into the number of the same place in
    /// `spots`. They are those of [`count`](Self::count), found sooner: the background is the same for
    /// all, and neighbours that differ in the fewest pixels of a spot alone are counted together.
    ///
    /// # Errors
    /// Those of [`count`](Self::count).
    pub fn count_each(
        &mut self,
        preparation: &Preparation<'_>,
        frame: &Frame<'_>,
        settings: &[Settings],
        mut spots: &mut [u32],
    ) -> Result<(), Fault> {
        self.find_background(preparation, frame)?;
        for (round, together) in settings
            .chunk_by(Settings::differ_in_size_alone)
            .enumerate()
        {
            if round > 0 {
                // The pixels that stood out before are marked.
                self.read(preparation, frame)?;
            }
            let (counted, rest) = spots.split_at_mut(together.len().min(spots.len()));
            spots = rest;
            counted.fill(0);
            let fewest = together.iter().map(|settings| settings.min_pixels).min();
            let smallest = Settings {
                min_pixels: fewest.unwrap_or_default(),
                ..together[0]
            };
            self.each_spot(&smallest, |spot| {
                for (settings, counted) in together.iter().zip(&mut *counted) {
                    *counted += u32::from(spot.pixels >= settings.min_pixels);
                }
            });
        }
        Ok(())
    }

    fn read(&mut self, preparation: &Preparation<'_>, frame: &Frame<'_>) -> Result<(), Fault> {
        let Rings { columns, rows, .. } = &self.rings;
        preparation.read_counts(frame, columns.clone(), rows.clone(), self.counts)
    }

    fn find_background(
        &mut self,
        preparation: &Preparation<'_>,
        frame: &Frame<'_>,
    ) -> Result<(), Fault> {
        self.read(preparation, frame)?;
        background::find(self.counts, self.rings.of, self.background);
        let (_, rings) = self.background.split_last().ok_or(Fault::NoValidPixel)?;
        match rings.iter().all(|ring| ring.pixels == 0) {
            true => Err(Fault::NoValidPixel),
            false => Ok(()),
        }
    }

    /// Finds the spots, row by row, their places as in the box of the counts. Of counts that have been
    /// read anew: what stands out of them is marked.
    fn each_spot(&mut self, settings: &Settings, mut found: impl FnMut(Spot)) {
        background::set_bars(self.background, settings);
        let mut area = Area {
            counts: self.counts,
            of: self.rings.of,
            rings: self.background,
            width: self.rings.columns.len(),
        };
        for at in 0..self.rings.of.len() {
            if area.stands_out(at)
                && let Some(spot) = area.spot(at, settings)
            {
                found(spot);
            }
        }
    }
}
