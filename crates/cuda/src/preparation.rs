//! Preparations → what a device holds of them, and the launches that take frames to maps.

use std::ops::Range;

use hitgate_core::frame::PixelType;
use hitgate_core::net::Input;
use hitgate_core::prep::{Preparation, Reduce};

use crate::driver::Seen;
use crate::launch::{Launch, THREADS};
use crate::memory::{Constants, TooLarge, UNIT, Working};
use crate::settings::{Job, NOWHERE, Prepare, RAW, Setting, Totals};

/// What stands in an f16 for no number: a pixel without a gain is excluded.
const NO_GAIN: u16 = 0x7E00;
/// Values of a cell where cells are ranked.
const VALUES: u32 = 1 << 16;
/// Cells of a tile of the contrast, along x and y.
const TILE: [u32; 2] = [32, THREADS / 32];

/// Why preparations cannot run on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreparationError {
    /// It makes another map than the model takes.
    #[error("preparation {0} is not the one that the model was trained with")]
    Model(usize),
    /// Raw words are u16.
    #[error("preparation {0} corrects raw words and its pixels are not u16")]
    Raw(usize),
    /// Compressed frames are decoded on the CPU alone.
    #[error(
        "preparation {0} is of compressed frames, which a GPU does not decode: judge them on the CPU"
    )]
    Compressed(usize),
    /// Places do not fit 32 bits.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
}

/// The preparations of all modules, placed among the constants of a device.
#[derive(Clone, Debug)]
pub struct Preparations {
    settings: u32,
    reduce: Reduce,
    input: u32,
    pixel_units: u32,
    /// Blocks of threads along a row of cells, for the module that needs most.
    tiles: u32,
    /// The most cells of a block of threads.
    cells: u32,
}

/// Where the frames of a batch, and what becomes of them, lie.
#[derive(Clone, Copy, Debug)]
pub struct Frames {
    /// The most frames of a batch.
    pub frames: u32,
    /// The pixels of the first.
    pub pixels: u32,
    /// Units from one frame's pixels to the next's.
    pub pixel_units: u32,
    /// A [`Job`] a frame.
    pub jobs: u32,
    /// [`Totals`] of each channel of each frame.
    pub totals: u32,
    /// The maps.
    pub map: u32,
    cells: u32,
    deviations: u32,
    histogram: u32,
}

impl Preparations {
    /// Puts masks, corrections and settings among `constants`. `preparations[i]` is setting `i` of a [`Job`].
    ///
    /// # Errors
    /// [`PreparationError`] where they do not fit the model's `input`.
    pub fn new(
        preparations: &[Preparation<'_>],
        input: Input,
        constants: &mut Constants,
    ) -> Result<Self, PreparationError> {
        let mut settings = Vec::new();
        let (mut pixel_units, mut tiles, mut cells) = (0, 1, 1);
        for (number, preparation) in preparations.iter().enumerate() {
            if preparation.window.input != input.size
                || preparation.reduce != input.reduce
                || preparation.reduce.channels() != input.channels
            {
                return Err(PreparationError::Model(number));
            }
            let raw = !preparation.corrections.is_empty();
            if raw && preparation.pixel_type != PixelType::U16 {
                return Err(PreparationError::Raw(number));
            }
            if preparation.compressed {
                return Err(PreparationError::Compressed(number));
            }
            let setting = setting(preparation, constants)?;
            // As in `cells.cuh`.
            let of_block = (THREADS / setting.block).max(1);
            cells = of_block.max(cells);
            tiles = input.size.div_ceil(of_block).max(tiles);
            pixel_units = units(preparation.frame_bytes() as u64)?.max(pixel_units);
            settings.extend(setting.words());
        }
        Ok(Preparations {
            settings: constants.place(&settings)?,
            reduce: input.reduce,
            input: input.size,
            pixel_units,
            tiles,
            cells,
        })
    }

    /// Room for batches of up to `frames` frames, whose maps go to `map`.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn place(&self, frames: u32, map: u32, working: &mut Working) -> Result<Frames, TooLarge> {
        let channels = u64::from(frames) * u64::from(self.reduce.channels());
        let words = 4 * channels * u64::from(self.input) * u64::from(self.input);
        let (deviations, histogram) = match self.reduce {
            Reduce::Peaks => (working.place(words)?, NOWHERE),
            Reduce::Maximum | Reduce::Mean => {
                let histograms = 4 * u64::from(VALUES) * u64::from(frames);
                (NOWHERE, working.place(histograms)?)
            }
        };
        let pixels = u64::from(self.pixel_units) * UNIT as u64;
        Ok(Frames {
            frames,
            pixels: working.place(pixels * u64::from(frames))?,
            pixel_units: self.pixel_units,
            jobs: working.place(Job::BYTES as u64 * u64::from(frames))?,
            totals: working.place(Totals::BYTES as u64 * channels)?,
            map,
            cells: working.place(words)?,
            deviations,
            histogram,
        })
    }

    /// What takes `frames` of a batch to maps, in this order; the others stay as they are.
    pub fn launches(&self, of: &Frames, frames: Range<u32>) -> Vec<Launch> {
        let first = frames.start.min(of.frames);
        let (frames, channels) = (frames.end.min(of.frames) - first, self.reduce.channels());
        let batch = Prepare {
            pixels: of.pixels,
            pixel_units: of.pixel_units,
            jobs: of.jobs,
            settings: self.settings,
            cells: of.cells,
            deviations: of.deviations,
            totals: of.totals,
            histogram: of.histogram,
            map: of.map,
            input: self.input,
            channels,
            first,
        };
        let launch = |kernel, grid, shared| Launch::new(kernel, grid, shared, batch.words());
        let reduce = match self.reduce {
            Reduce::Peaks => "hitgate_peaks",
            Reduce::Maximum => "hitgate_maximum",
            Reduce::Mean => "hitgate_mean",
        };
        let cells = launch(reduce, [self.tiles, self.input, frames], 24 * self.cells);
        match self.reduce {
            Reduce::Peaks => {
                let [x, y] = TILE.map(|cells| self.input.div_ceil(cells));
                let grid = [x, y, frames * channels];
                vec![
                    cells,
                    launch("hitgate_background", grid, tile(3) + 8),
                    launch("hitgate_levels", grid, tile(8) + 12),
                ]
            }
            Reduce::Maximum | Reduce::Mean => {
                let grid = [(self.input * self.input).div_ceil(THREADS), frames, 1];
                vec![
                    cells,
                    launch("hitgate_clear", [VALUES / THREADS, frames, 1], 0),
                    launch("hitgate_count", grid, 0),
                    launch("hitgate_accumulate", [frames, 1, 1], 4 * THREADS),
                    launch("hitgate_ranks", grid, 8),
                ]
            }
        }
    }
}

/// Bytes of a `Tile` of `contrast.cuh`: value and validity of its cells, and sum and count of what is near along rows.
const fn tile(reach: u32) -> u32 {
    let [columns, rows] = [TILE[0] + 2 * reach, TILE[1] + 2 * reach];
    8 * columns * rows + 8 * rows * TILE[0]
}

/// What of a frame is sent: the rows of its window, and of each the columns, where the others are worth it. Kernels read nothing else.
pub fn seen(preparation: &Preparation<'_>) -> Seen {
    let Preparation {
        columns,
        rows,
        window,
        pixel_type,
        ..
    } = *preparation;
    let pitch = columns as usize * pixel_type.size();
    let x = window.on_panel(window.left, columns);
    let some = x.start * pixel_type.size()..x.end * pixel_type.size();
    // Whole rows are a plain copy, and go together with those of other frames.
    let are_most = some.len() > pitch / 4 * 3;
    Seen {
        rows: window.on_panel(window.top, rows),
        bytes: if are_most { 0..pitch } else { some },
        pitch,
    }
}

fn units(bytes: u64) -> Result<u32, TooLarge> {
    u32::try_from(bytes.div_ceil(UNIT as u64)).map_err(|_| TooLarge)
}

fn setting(preparation: &Preparation<'_>, constants: &mut Constants) -> Result<Setting, TooLarge> {
    let Preparation {
        columns,
        rows,
        window,
        ..
    } = *preparation;
    let pixels = columns as usize * rows as usize;
    let mask = match preparation.mask.bits() {
        [] => NOWHERE,
        bits => {
            let mut bits = bits[..bits.len().min(pixels.div_ceil(8))].to_vec();
            bits.resize(pixels.div_ceil(8), 0);
            constants.place(&bits)?
        }
    };
    let seen: Vec<[u32; 2]> = (0..window.input as usize)
        .map(|v| window.seen(v))
        .map(|seen| [seen.start as u32, seen.end as u32])
        .collect();
    let seen = constants.place(&seen)?;
    let (x, y) = (
        window.on_panel(window.left, columns),
        window.on_panel(window.top, rows),
    );
    let mut value = [0; 8];
    let mut values = 0;
    for stored in preparation
        .mask_values
        .iter()
        .filter_map(|&v| stored(preparation.pixel_type, v))
    {
        value[values] = stored;
        values += 1;
    }
    let (mut corrections, mut correction_units) = (NOWHERE, 0);
    for (cell, correction) in preparation.corrections.iter().enumerate() {
        let known = correction.pixels().min(pixels);
        let mut maps = Vec::with_capacity(6 * pixels);
        for stage in correction.stages() {
            maps.extend(&stage.pedestals[..known]);
            maps.resize(maps.len() + pixels - known, 0);
        }
        for stage in correction.stages() {
            maps.extend(&stage.gains[..known]);
            maps.resize(maps.len() + pixels - known, NO_GAIN);
        }
        let place = constants.place(&maps)?;
        if cell == 0 {
            corrections = place;
            correction_units = units(2 * maps.len() as u64)?;
        }
    }
    Ok(Setting {
        columns,
        rows,
        pixel_type: match corrections {
            NOWHERE => preparation.pixel_type as u32,
            _ => RAW,
        },
        saturation: preparation.saturation,
        mask,
        values: values as u32,
        value,
        corrections,
        correction_units,
        left: window.left,
        top: window.top,
        // A window of no pixels has no part on the panel; kernels divide by its block.
        block: window.block.max(1),
        x_start: x.start as u32,
        x_end: x.end as u32,
        y_start: y.start as u32,
        y_end: y.end as u32,
        seen,
    })
}

/// A declared value as a pixel stores it, without its sign; `None` where it cannot.
fn stored(pixel_type: PixelType, value: i64) -> Option<u32> {
    match pixel_type {
        PixelType::U8 => u8::try_from(value).ok().map(u32::from),
        PixelType::U16 => u16::try_from(value).ok().map(u32::from),
        PixelType::U32 => u32::try_from(value).ok(),
        PixelType::I16 => i16::try_from(value).ok().map(|v| u32::from(v as u16)),
        PixelType::I32 => i32::try_from(value).ok().map(|v| v as u32),
    }
}
