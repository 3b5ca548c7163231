//! `--backend`: frames are scored on the CPU, or on a GPU with the CPU behind it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use hitgate_core::cpu::Cpu;
use hitgate_core::frame::Frame;
use hitgate_core::net::Model;
use hitgate_core::pipeline::{Backend, MAX_BATCH, Scored};
use hitgate_core::prep::Preparation;
use hitgate_cuda::cuda::{Cuda, Options};
use hitgate_cuda::driver::{Context, Failed, Registered};
use hitgate_cuda::fallback::Fallback;
use hitgate_cuda::maps::Maps;
use hitgate_host::Ring;
use hitgate_kernels::Level;

/// A batch that takes longer is late, and the GPU counts as lost: much longer than any takes, and shorter than
/// the patience of whoever watches the filter.
const LATE_NS: u64 = 1_000_000_000;
/// Likewise what a GPU proves before it judges, with all that it does for the first time.
const PROOF_NS: u64 = 60_000_000_000;

/// Where frames are scored, as the command line says it.
#[derive(Args, Clone, Debug, Default)]
pub struct BackendArgs {
    /// What scores the frames
    #[arg(long, value_enum, default_value_t = BackendArg::Cpu)]
    pub backend: BackendArg,
    /// Which GPU, where there are several, from 0 on
    #[arg(long, value_name = "NUMBER")]
    pub gpu: Option<u32>,
}

/// What scores frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// One core
    #[default]
    Cpu,
    /// An NVIDIA GPU; the CPU goes on where that is lost
    Cuda,
}

impl BackendArgs {
    /// Finds the GPU that is asked for. `maps` says whether anybody wants the prepared maps.
    ///
    /// # Errors
    /// Where there is none that could be used: what is missing, and what to do.
    pub fn open(&self, maps: bool) -> Result<Hardware> {
        let gpu = match (self.backend, self.gpu) {
            (BackendArg::Cpu, None) => None,
            (BackendArg::Cpu, Some(number)) => {
                bail!("--gpu {number} is used by --backend cuda alone: give that too")
            }
            (BackendArg::Cuda, number) => {
                let number = number.unwrap_or(0);
                Some(Context::open(number).context("--backend cuda")?)
            }
        };
        Ok(Hardware {
            gpu,
            maps,
            lost: Mutex::new(None),
            pageable: AtomicBool::new(false),
        })
    }
}

/// What this machine scores frames on.
#[derive(Debug, Default)]
pub struct Hardware {
    gpu: Option<Arc<Context>>,
    maps: bool,
    /// Why the GPU was lost, once it is.
    lost: Mutex<Option<Failed>>,
    /// Whether the driver refused to read a ring by itself.
    pageable: AtomicBool,
}

impl Hardware {
    /// The GPU's name, where there is one.
    pub fn gpu(&self) -> Option<&str> {
        self.gpu.as_deref().map(Context::name)
    }

    /// A backend of the model: `cpu` itself, or behind a GPU.
    ///
    /// # Errors
    /// Where the model is too wide for the GPU, or the GPU fails at once.
    pub fn processor<'m>(
        &self,
        model: &Model<'_>,
        preparations: &'m [Preparation<'m>],
        cpu: Cpu<'m>,
    ) -> Result<Processor<'m>> {
        let Some(context) = &self.gpu else {
            return Ok(Processor::Cpu(cpu));
        };
        if let Some(lost) = *self.lost() {
            return Ok(Processor::Gpu(Box::new(Fallback::without(lost, cpu))));
        }
        let cuda = self.packed(context, model, preparations, LATE_NS)?;
        Ok(Processor::Gpu(Box::new(Fallback::new(cuda, cpu))))
    }

    /// The GPU itself, with nothing behind it: nobody waits for it, however late it is.
    ///
    /// # Errors
    /// As [`Hardware::processor`]; where none is asked for.
    pub fn cuda<'m>(
        &self,
        model: &Model<'_>,
        preparations: &'m [Preparation<'m>],
    ) -> Result<Cuda<'m>> {
        let context = self.gpu.as_ref().context("no GPU is asked for")?;
        self.packed(context, model, preparations, u64::MAX)
    }

    /// The network alone on the GPU, for batches of so many maps.
    ///
    /// # Errors
    /// As [`Hardware::cuda`].
    pub fn maps(&self, model: &Model<'_>, most: u32) -> Result<Maps> {
        let context = self.gpu.as_ref().context("no GPU is asked for")?;
        let maps = Maps::new(context, model, most, PROOF_NS);
        maps.with_context(|| format!("--backend cuda, on {}", context.name()))
    }

    fn packed<'m>(
        &self,
        context: &Arc<Context>,
        model: &Model<'_>,
        preparations: &'m [Preparation<'m>],
        limit_ns: u64,
    ) -> Result<Cuda<'m>> {
        let options = Options {
            limit_ns,
            proof_ns: PROOF_NS,
            maps: self.maps,
        };
        let cuda = Cuda::new(context, model, preparations, options);
        cuda.with_context(|| format!("--backend cuda, on {}", context.name()))
    }

    /// Lets the GPU read the ring's frames by itself, while what comes back lives.
    pub fn register<'r>(&self, ring: &'r Ring) -> Vec<Registered<'r>> {
        let Some(context) = &self.gpu else {
            return Vec::new();
        };
        let register = |memory| Registered::new(context, memory);
        ring.memory()
            .map(register)
            .collect::<Result<_, _>>()
            .unwrap_or_else(|refused| {
                tell!(
                    "hitgate: {} stays pageable, so that each frame is copied once more on its way to the GPU ({refused})",
                    ring.path().display()
                );
                self.pageable.store(true, Ordering::Relaxed);
                Vec::new()
            })
    }

    /// Whether the GPU reads by itself every ring that it was [told](Self::register) of; `None` without a GPU.
    pub fn reads_rings(&self) -> Option<bool> {
        let pageable = self.pageable.load(Ordering::Relaxed);
        self.gpu.is_some().then_some(!pageable)
    }

    /// Says that the GPU is lost, when it is and was not before. Banks that are made from then on do without it.
    pub fn attend(&self, lost: Option<Failed>) {
        let Some(failed) = lost else {
            return;
        };
        if self.lost().replace(failed).is_none() {
            tell!(
                "hitgate: {failed}: the frames that it had are kept as faults, and the CPU goes on"
            );
        }
    }

    /// A few words on what scored the frames, at the end.
    pub fn words(&self, level: Level) -> String {
        match (self.gpu(), *self.lost()) {
            (None, _) => level.name().into(),
            (Some(gpu), None) => gpu.into(),
            (Some(gpu), Some(_)) => format!("{gpu}, then {}", level.name()),
        }
    }

    fn lost(&self) -> MutexGuard<'_, Option<Failed>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What scores frames: on one core, or on a GPU with that core behind it.
#[expect(
    clippy::large_enum_variant,
    reason = "a path has one, which stays where it is"
)]
pub enum Processor<'m> {
    /// One core.
    Cpu(Cpu<'m>),
    /// A GPU, and the core that goes on without it.
    Gpu(Box<Fallback<Cuda<'m>, Cpu<'m>>>),
}

impl Processor<'_> {
    /// Why the GPU was lost, if it was.
    pub fn lost(&self) -> Option<Failed> {
        match self {
            Processor::Cpu(_) => None,
            Processor::Gpu(gpu) => gpu.lost().copied(),
        }
    }
}

impl Backend for Processor<'_> {
    const BATCH: usize = MAX_BATCH;

    fn batch(&self) -> usize {
        match self {
            Processor::Cpu(cpu) => cpu.batch(),
            Processor::Gpu(gpu) => gpu.batch(),
        }
    }

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        match self {
            Processor::Cpu(cpu) => cpu.score(frames, now_ns),
            Processor::Gpu(gpu) => gpu.score(frames, now_ns),
        }
    }

    fn map_of(&self, i: usize) -> Option<&[u8]> {
        match self {
            Processor::Cpu(cpu) => cpu.map_of(i),
            Processor::Gpu(gpu) => gpu.map_of(i),
        }
    }

    fn fallen_back(&self) -> u64 {
        match self {
            Processor::Cpu(cpu) => cpu.fallen_back(),
            Processor::Gpu(gpu) => gpu.fallen_back(),
        }
    }
}
