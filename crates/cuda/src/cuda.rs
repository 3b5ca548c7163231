//! Preparation and network on a GPU: a [`Device`] for [`Fallback`](crate::fallback::Fallback).

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use hitgate_core::frame::{Fault, Frame, FrameHeader, PixelType};
use hitgate_core::net::{Model, Statistics};
use hitgate_core::pipeline::{MAX_BATCH, Scored};
use hitgate_core::prep::Preparation;
use hitgate_core::verdict::Score;
use hitgate_kernels::Level;

use crate::driver::{Context, Failed, Gpu, Piece, Pinned, Recorded, Seen, Step, Times};
use crate::fallback::Device;
use crate::memory::{Constants, TooLarge};
use crate::network::{Network, NetworkError};
use crate::preparation::{Frames, PreparationError, Preparations, seen};
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
    /// It does not prepare as every machine does.
    #[error("the GPU prepares a frame of module {0} otherwise than the CPU: do not use it")]
    Map(usize),
}

/// Sizes of batches: the powers of two up to [`MAX_BATCH`].
const SIZES: usize = MAX_BATCH.ilog2() as usize + 1;
const _: () = assert!(MAX_BATCH.is_power_of_two());

/// What of a GPU's work is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// A batch that takes longer is late, and the GPU lost.
    pub limit_ns: u64,
    /// Likewise the whole proof at the start, with all that a device does for the first time.
    pub proof_ns: u64,
    /// Whether maps come back too, for [`Device::map_of`].
    pub maps: bool,
}

/// A GPU that holds a model and the preparations of all modules.
#[derive(Debug)]
pub struct Cuda<'m> {
    gpu: Gpu,
    preparations: &'m [Preparation<'m>],
    /// Of each module's frames what is sent.
    seen: Vec<Seen>,
    frames: Frames,
    /// The preparation of each `together` frames of a batch.
    prepare: heapless::Vec<Recorded, MAX_BATCH>,
    together: usize,
    /// The network, for batches of 1, 2, 4 and more frames: each runs in the next larger.
    network: heapless::Vec<Recorded, SIZES>,
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

/// Frames of so many `sent` bytes that are prepared together, a power of two. To launch something takes longer than a small frame takes
/// on the bus; a large one should not wait for the next.
const fn together(sent: usize) -> usize {
    const MOST: usize = 4;
    const BYTES: usize = MOST << 20;
    let mut frames = MOST;
    while frames > 1 && frames * sent > BYTES {
        frames /= 2;
    }
    frames
}

/// Of each frame of a batch, whether it is prepared.
type Admitted = heapless::Vec<Result<(), Fault>, MAX_BATCH>;

/// A frame that is made up, whose pixels somebody else has, and its map as the CPU makes it.
struct Made {
    header: FrameHeader,
    pixel_type: PixelType,
    map: Result<Vec<u8>, Fault>,
}

impl Made {
    /// Fills `pixels`: of raw words with any, of counts mostly with a few, and some bright ones; others for each `number`.
    fn of(number: usize, module: usize, preparation: &Preparation<'_>, pixels: &mut [u8]) -> Self {
        let Preparation {
            columns,
            rows,
            pixel_type,
            ..
        } = *preparation;
        let mut state = number as u64;
        let mut random = || {
            // Knuth's MMIX; the high bits are the good ones.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u32
        };
        let raw = !preparation.corrections.is_empty();
        for pixel in pixels.chunks_exact_mut(pixel_type.size()) {
            let count = match random() {
                n if raw => n,
                n if n % 211 == 0 => 40 + n % 60,
                n => n % 5,
            };
            pixel.copy_from_slice(&count.to_le_bytes()[..pixel_type.size()]);
        }
        let mut made = Made {
            header: FrameHeader {
                module_id: module as u16,
                cell_id: 0,
                ..FrameHeader::new(rows as u16, columns as u16, pixel_type)
            },
            pixel_type,
            map: Err(Fault::Backend),
        };
        let mut words = vec![0; preparation.words()];
        let mut map = vec![0; preparation.map_bytes()];
        let found = preparation.run(Level::detect(), &made.frame(pixels), &mut words, &mut map);
        made.map = found.map(|_| map);
        made
    }

    fn frame<'f>(&self, pixels: &'f [u8]) -> Frame<'f> {
        Frame {
            header: self.header,
            pixel_type: self.pixel_type,
            payload: pixels,
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
        // There is room for as many as a batch has frames, and for as many as it may have sizes.
        let (mut prepare, mut of_batches) = (heapless::Vec::new(), heapless::Vec::new());
        let seen: Vec<Seen> = preparations.iter().map(seen).collect();
        let sent = seen.iter().map(|of| of.rows.len() * of.bytes.len());
        let together = together(sent.max().unwrap_or(0));
        for i in (0..most).step_by(together) {
            let some = prepared.launches(&frames, i..i + together as u32);
            let _ = prepare.push(gpu.record(&some)?);
        }
        for size in 0..SIZES {
            let launches = network.launches(&batch, 1 << size, multiprocessors);
            let _ = of_batches.push(gpu.record(&launches)?);
        }
        let mut cuda = Cuda {
            gpu,
            preparations,
            seen,
            frames,
            prepare,
            together,
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
    pub fn context(&self) -> &Arc<Context> {
        self.gpu.context()
    }

    /// All that will be replayed is replayed once, on what the right answer is known of.
    fn prove(&mut self, model: &Model<'_>) -> Result<(), CudaError> {
        let (began, limit) = (Instant::now(), u128::from(self.options.proof_ns));
        let late = || began.elapsed().as_nanos() > limit;
        self.prove_network(model, late)?;
        self.prove_preparations(late)
    }

    /// The model's golden map gives its golden logits, at each place of batches of each size.
    fn prove_network(
        &mut self,
        model: &Model<'_>,
        late: impl Fn() -> bool,
    ) -> Result<(), CudaError> {
        let golden = model.golden();
        let maps = self.maps(MAX_BATCH);
        for map in self.gpu.pinned()?[maps.from..][..maps.bytes].chunks_mut(self.map_bytes) {
            map.copy_from_slice(golden.map);
        }
        for n in (0..SIZES).map(|size| 1 << size) {
            let (network, logits) = (self.network_of(n), self.logits(n));
            self.gpu
                .run(maps, std::iter::empty(), network, &[logits], &late)?;
            for i in 0..n {
                let (found, expected) = (self.logits_of(i)?, golden.logits);
                if found != expected {
                    return Err(CudaError::Golden { found, expected });
                }
            }
        }
        Ok(())
    }

    /// A frame of each module, and one at each place of a batch, gives the map that the CPU makes of it. They lie as in a ring that is
    /// registered, so that they go as frames of such go: their windows alone, and several together.
    fn prove_preparations(&mut self, late: impl Fn() -> bool) -> Result<(), CudaError> {
        let (preparations, together) = (self.preparations, self.together);
        let modules: Vec<usize> = (0..preparations.len()).collect();
        for modules in modules.chunks(MAX_BATCH / together) {
            // So many frames of each module, one behind the other.
            let mut bytes = 0;
            let slots: Vec<(usize, Range<usize>)> = (modules.iter())
                .flat_map(|&module| std::iter::repeat_n(module, together))
                .map(|module| {
                    let of_frame = preparations[module].frame_bytes();
                    let slot = bytes..bytes + of_frame;
                    bytes += of_frame.next_multiple_of(64);
                    (module, slot)
                })
                .collect();
            let mut memory = Pinned::new(self.gpu.context(), bytes)?;
            let mut made = Vec::new();
            for (i, (module, slot)) in slots.iter().enumerate() {
                let pixels = &mut memory.bytes_mut()[slot.clone()];
                let number = modules[0] + i;
                made.push(Made::of(number, *module, &preparations[*module], pixels));
            }
            let in_slots = made.iter().zip(&slots);
            let frames: Vec<Frame<'_>> = in_slots
                .map(|(made, (_, slot))| made.frame(&memory.bytes()[slot.clone()]))
                .cycle()
                .take(MAX_BATCH)
                .collect();
            let maps = self.maps(MAX_BATCH);
            let (admitted, _) = self.take(&frames, maps, &late)?;
            for (i, (made, admitted)) in made.iter().cycle().zip(admitted).enumerate() {
                let found = admitted.and_then(|()| self.result(i));
                let found = found.and_then(|_| self.map(i).ok_or(Fault::Backend));
                if found != made.map.as_deref().map_err(|fault| *fault) {
                    let module = usize::from(made.header.module_id);
                    return Err(CudaError::Map(module));
                }
            }
        }
        Ok(())
    }

    /// The network for 1 to [`MAX_BATCH`] frames. What it makes of maps beyond them nobody looks at.
    fn network_of(&self, frames: usize) -> Recorded {
        self.network[frames.next_power_of_two().ilog2() as usize]
    }

    fn set_job(&mut self, i: usize, job: Job) -> Result<(), Failed> {
        let at = self.pinned.jobs + i * Job::BYTES;
        self.gpu.pinned()?[at..][..Job::BYTES].copy_from_slice(&job.bytes());
        Ok(())
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
            bytes: frames * self.map_bytes,
        }
    }

    fn logits_of(&self, i: usize) -> Result<[i32; 3], Failed> {
        let bytes = &self.gpu.pinned_bytes()?[self.pinned.logits + 12 * i..][..12];
        Ok([0, 1, 2].map(|j| i32::from_le_bytes([0, 1, 2, 3].map(|k| bytes[4 * j + k]))))
    }

    /// Map `i` of those that came back.
    fn map(&self, i: usize) -> Option<&[u8]> {
        let pinned = self.gpu.pinned_bytes().ok()?;
        pinned[self.pinned.maps + i * self.map_bytes..].get(..self.map_bytes)
    }

    /// What came back of frame `i`, whose pixels were prepared.
    fn result(&self, i: usize) -> Result<(Score, bool), Fault> {
        let pinned = self.gpu.pinned_bytes().map_err(|_| Fault::Backend)?;
        let totals = &pinned[self.pinned.totals..self.pinned.logits];
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
        let logits = self.logits_of(i).map_err(|_| Fault::Backend)?;
        Ok((Score::from_logits(logits, self.scale), in_domain))
    }

    /// Prepares and judges a batch of at least one frame and at most [`MAX_BATCH`]. Which are prepared comes back, and the times; the
    /// rest lies in the pinned memory, with the bytes of `maps`.
    fn take(
        &mut self,
        frames: &[Frame<'_>],
        maps: Piece,
        late: impl Fn() -> bool,
    ) -> Result<(Admitted, Times), Failed> {
        let n = frames.len();
        let mut admitted = Admitted::new();
        for (i, frame) in frames.iter().enumerate() {
            let module = usize::from(frame.header.module_id);
            let preparation = self.preparations.get(module).ok_or(Fault::UnknownModule);
            let storage_cell = preparation.and_then(|of| of.admit(frame));
            let job = Job {
                setting: storage_cell.map_or(NOWHERE, |_| module as u32),
                storage_cell: storage_cell.unwrap_or(0) as u32,
            };
            self.set_job(i, job)?;
            // There is room for as many as a batch has frames.
            let _ = admitted.push(storage_cell.map(|_| ()));
        }
        let Frames {
            pixels,
            pixel_units,
            ..
        } = self.frames;
        let together = self.together;
        let all = n.next_multiple_of(together);
        for i in n..all {
            self.set_job(i, Job::NONE)?;
        }
        let whole = |i: usize| admitted[i].is_ok();
        let steps = (0..n).filter(|&i| whole(i)).map(|i| {
            let behind = (i + 1).next_multiple_of(together).min(n);
            let is_last = !(i + 1..behind).any(whole);
            Step {
                place: pixels + i as u32 * pixel_units,
                bytes: frames[i].payload,
                // It is admitted, and so of a module.
                seen: &self.seen[usize::from(frames[i].header.module_id)],
                then: is_last.then(|| self.prepare[i / together]),
            }
        });
        let (jobs, received) = (self.jobs(all), [self.totals(n), self.logits(n), maps]);
        let times = (self.gpu).run(jobs, steps, self.network_of(n), &received, late)?;
        Ok((admitted, times))
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
        if n == 0 {
            return Ok(heapless::Vec::new());
        }
        let maps = Piece {
            bytes: if self.options.maps {
                n * self.map_bytes
            } else {
                0
            },
            ..self.maps(n)
        };
        let limit_ns = self.options.limit_ns;
        let late = || now_ns().saturating_sub(started) > limit_ns;
        let (admitted, Times { steps_ns, last_ns }) = self.take(frames, maps, late)?;
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
        there.then(|| self.map(i)).flatten()
    }
}
