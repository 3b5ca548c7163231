//! Preparation and network on a GPU: a [`Device`] for [`Fallback`](crate::fallback::Fallback).

use std::sync::Arc;
use std::time::Instant;

use hitgate_core::frame::{Fault, Frame};
use hitgate_core::net::{Model, Statistics};
use hitgate_core::pipeline::{MAX_BATCH, Scored};
use hitgate_core::prep::Preparation;
use hitgate_core::verdict::Score;

use crate::driver::{Context, Failed, Gpu, Piece, Recorded, Step, Times};
use crate::fallback::Device;
use crate::memory::{Constants, TooLarge};
use crate::network::{Network, NetworkError};
use crate::preparation::{Frames, PreparationError, Preparations};
use crate::settings::{Job, NOWHERE, Totals};

/// Why a GPU cannot run this model with these preparations.
#[derive(Debug, thiserror::Error)]
pub enum CudaError {
    /// The model is too wide.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// Model and preparations do not fit each other.
    #[error(transparent)]
    Preparation(#[from] PreparationError),
    /// All together is too much.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// It failed at once.
    #[error(transparent)]
    Failed(#[from] Failed),
    /// It does not compute what every machine computes.
    #[error(
        "the GPU gives logits {found:?} for the model's golden map, and {expected:?} are right: do not use it"
    )]
    Golden {
        /// The GPU's.
        found: [i32; 3],
        /// Everybody's.
        expected: [i32; 3],
    },
}

/// What of a GPU's work is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A batch that takes longer is late, and the GPU lost; the first one may take ten times as long.
    pub limit_ns: u64,
    /// Whether maps come back too, for [`Device::map_of`].
    pub maps: bool,
}

/// A GPU that holds a model and the preparations of all modules.
#[derive(Debug)]
pub struct Cuda<'m> {
    gpu: Gpu,
    preparations: &'m [Preparation<'m>],
    frames: Frames,
    /// The preparation of each frame of a batch.
    prepare: heapless::Vec<Recorded, MAX_BATCH>,
    /// The network, for batches of 1, 2 and more frames.
    network: heapless::Vec<Recorded, MAX_BATCH>,
    pinned: PinnedLayout,
    logits: u32,
    channels: usize,
    map_bytes: usize,
    options: Options,
    scale: f32,
    statistics: Statistics,
    /// Frames of the last batch that came back.
    last: usize,
}

/// Where the pinned memory has what.
#[derive(Clone, Copy, Debug)]
struct PinnedLayout {
    jobs: usize,
    totals: usize,
    logits: usize,
    maps: usize,
    bytes: usize,
}

impl PinnedLayout {
    fn new(channels: usize, map_bytes: usize) -> Self {
        let jobs = 0;
        let totals = jobs + MAX_BATCH * Job::BYTES;
        let logits = totals + MAX_BATCH * channels * Totals::BYTES;
        let maps = logits + MAX_BATCH * 12;
        PinnedLayout {
            jobs,
            totals,
            logits,
            maps,
            bytes: maps + MAX_BATCH * map_bytes,
        }
    }
}

impl<'m> Cuda<'m> {
    /// Packs the model for the GPU, and has it prove itself. `preparations[i]` prepares the frames of module `i`.
    ///
    /// # Errors
    /// [`CudaError`] says what does not fit, or fails.
    pub fn new(
        context: &Arc<Context>,
        model: &Model<'_>,
        preparations: &'m [Preparation<'m>],
        options: Options,
    ) -> Result<Self, CudaError> {
        let input = model.input();
        let most = MAX_BATCH as u32;
        let mut constants = Constants::new();
        let network = Network::new(model, &mut constants)?;
        let prepared = Preparations::new(preparations, input, &mut constants)?;
        let mut working = constants.behind()?;
        let batch = network.place(most, &mut working)?;
        let frames = prepared.place(most, batch.map, &mut working)?;

        let (channels, map_bytes) = (input.channels as usize, input.bytes());
        let pinned = PinnedLayout::new(channels, map_bytes);
        let bytes = working.bytes();
        let mut gpu = Gpu::new(context, constants.bytes(), bytes, pinned.bytes)?;
        let multiprocessors = context.multiprocessors();
        let [mut prepare, mut of_batches] = [const { heapless::Vec::new() }; 2];
        for i in 0..most {
            let [one, all] = [
                prepared.launches(&frames, i..i + 1),
                network.launches(&batch, i + 1, multiprocessors),
            ];
            // There is room for as many as a batch has frames.
            let _ = prepare.push(gpu.record(&one)?);
            let _ = of_batches.push(gpu.record(&all)?);
        }
        let mut cuda = Cuda {
            gpu,
            preparations,
            frames,
            prepare,
            network: of_batches,
            pinned,
            logits: batch.logits,
            channels,
            map_bytes,
            options,
            scale: model.head().scale(),
            statistics: model.statistics(),
            last: 0,
        };
        cuda.prove(model)?;
        Ok(cuda)
    }

    /// The GPU.
    pub fn context(&self) -> &Context {
        self.gpu.context()
    }

    /// The model's golden map gives its golden logits.
    fn prove(&mut self, model: &Model<'_>) -> Result<(), CudaError> {
        let golden = model.golden();
        let map = Piece {
            from: self.pinned.maps,
            place: self.frames.map,
            bytes: self.map_bytes,
        };
        self.gpu.pinned()[map.from..][..map.bytes].copy_from_slice(golden.map);
        let (network, logits) = (self.network[0], self.logits(1));
        // A device may load what it takes with its first work.
        let (began, limit) = (Instant::now(), self.options.limit_ns.saturating_mul(10));
        let late = || began.elapsed().as_nanos() > u128::from(limit);
        self.gpu
            .run(map, std::iter::empty(), network, &[logits], late)?;
        let (found, expected) = (self.logits_of(0), golden.logits);
        match found == expected {
            true => Ok(()),
            false => Err(CudaError::Golden { found, expected }),
        }
    }

    /// How long the network takes, by the GPU's clock, for the maps of so many frames, from 1 to [`MAX_BATCH`], that it has
    /// already, in ns.
    ///
    /// # Errors
    /// Where the GPU is lost.
    pub fn time_network(&mut self, frames: usize) -> Result<u64, Failed> {
        let network = self.network[frames.clamp(1, MAX_BATCH) - 1];
        let (none, nobody_waits) = (self.jobs(0), || false);
        let times = self
            .gpu
            .run(none, std::iter::empty(), network, &[], nobody_waits)?;
        Ok(times.last_ns)
    }

    fn jobs(&self, frames: usize) -> Piece {
        Piece {
            from: self.pinned.jobs,
            place: self.frames.jobs,
            bytes: frames * Job::BYTES,
        }
    }

    fn logits(&self, frames: usize) -> Piece {
        Piece {
            from: self.pinned.logits,
            place: self.logits,
            bytes: frames * 12,
        }
    }

    fn totals(&self, frames: usize) -> Piece {
        Piece {
            from: self.pinned.totals,
            place: self.frames.totals,
            bytes: frames * self.channels * Totals::BYTES,
        }
    }

    fn maps(&self, frames: usize) -> Piece {
        Piece {
            from: self.pinned.maps,
            place: self.frames.map,
            bytes: if self.options.maps {
                frames * self.map_bytes
            } else {
                0
            },
        }
    }

    fn logits_of(&self, i: usize) -> [i32; 3] {
        let bytes = &self.gpu.pinned_bytes()[self.pinned.logits + 12 * i..][..12];
        [0, 1, 2].map(|j| i32::from_le_bytes([0, 1, 2, 3].map(|k| bytes[4 * j + k])))
    }

    /// What came back of frame `i`, whose pixels were prepared.
    fn result(&self, i: usize) -> Result<(Score, bool), Fault> {
        let totals = &self.gpu.pinned_bytes()[self.pinned.totals..self.pinned.logits];
        let of_frame = totals.as_chunks().0[i * self.channels..][..self.channels]
            .iter()
            .map(Totals::read);
        let valid = of_frame.clone().next().map_or(0, |of| of.valid_cells);
        if valid == 0 {
            return Err(Fault::NoValidPixel);
        }
        let sum = of_frame.clone().map(|of| u64::from(of.levels)).sum();
        let zeros = of_frame.map(|of| u64::from(of.zeros)).sum();
        // As the CPU does it, in f32.
        let cells = (self.map_bytes / self.channels) as f32;
        let in_domain = self.statistics.valid.contains(valid as f32 / cells)
            && (self.statistics).contain_totals(sum, zeros, self.map_bytes);
        Ok((Score::from_logits(self.logits_of(i), self.scale), in_domain))
    }
}

impl Device for Cuda<'_> {
    const BATCH: usize = MAX_BATCH;
    type Lost = Failed;

    /// The times of the whole batch are shared out among its frames: until the last of them is prepared, and the network's.
    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> Result<heapless::Vec<Scored, MAX_BATCH>, Failed> {
        self.last = 0;
        let started = now_ns();
        let frames = &frames[..frames.len().min(MAX_BATCH)];
        let n = frames.len();
        let Some(&network) = n.checked_sub(1).and_then(|n| self.network.get(n)) else {
            return Ok(heapless::Vec::new());
        };
        let mut admitted: heapless::Vec<Result<(), Fault>, MAX_BATCH> = heapless::Vec::new();
        for (i, frame) in frames.iter().enumerate() {
            let module = usize::from(frame.header.module_id);
            let preparation = self.preparations.get(module).ok_or(Fault::UnknownModule);
            let storage_cell = preparation.and_then(|of| of.admit(frame));
            let job = Job {
                setting: storage_cell.map_or(NOWHERE, |_| module as u32),
                storage_cell: storage_cell.unwrap_or(0) as u32,
            };
            let at = self.pinned.jobs + i * Job::BYTES;
            self.gpu.pinned()[at..][..Job::BYTES].copy_from_slice(&job.bytes());
            // There is room for as many as a batch has frames.
            let _ = admitted.push(storage_cell.map(|_| ()));
        }
        let Frames {
            pixels,
            pixel_units,
            ..
        } = self.frames;
        let steps = (0..).zip(frames.iter().zip(&admitted).zip(&self.prepare));
        let steps = steps
            .filter(|(_, ((_, admitted), _))| admitted.is_ok())
            .map(|(i, ((frame, _), &then))| Step {
                place: pixels + i * pixel_units,
                bytes: frame.payload,
                then,
            });
        let (jobs, received) = (self.jobs(n), [self.totals(n), self.logits(n), self.maps(n)]);
        let limit_ns = self.options.limit_ns;
        let late = || now_ns().saturating_sub(started) > limit_ns;
        let Times { steps_ns, last_ns } = self.gpu.run(jobs, steps, network, &received, late)?;
        self.last = n;

        let results = admitted.iter().enumerate();
        Ok(results
            .map(
                |(i, admitted)| match admitted.and_then(|()| self.result(i)) {
                    Ok((score, in_domain)) => Scored {
                        score: Ok(score),
                        in_domain,
                        decode_ns: 0,
                        prep_ns: steps_ns / n as u64,
                        net_ns: last_ns / n as u64,
                    },
                    Err(fault) => Scored::fault(fault),
                },
            )
            .collect())
    }

    fn map_of(&self, i: usize) -> Option<&[u8]> {
        let there = self.options.maps && i < self.last;
        there.then(|| {
            &self.gpu.pinned_bytes()[self.pinned.maps + i * self.map_bytes..][..self.map_bytes]
        })
    }
}
