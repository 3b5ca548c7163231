//! What to time, as the command line says it.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use hitgate_core::pipeline::MAX_BATCH;
use hitgate_host::Schedule;
use hitgate_sim::Detector;

use super::engine::EngineArg;
use super::panel::{self, View};
use super::plot;
use crate::backend::{BackendArg, BackendArgs};
use crate::filter::FilterArgs;
use crate::simulation;

/// Time each stage of the path, beside what this core cannot beat
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate bench                                   # one JUNGFRAU module, every stage
  hitgate bench --detector eiger16m --pin 1       # an EIGER2 16M, on core 1 alone
  hitgate bench --detector eiger16m --rate 133 --seconds 60 --pin 1
  hitgate bench --cores 2 --plot percentiles.svg
  hitgate bench --detector eiger16m --compressed  # as they come from DECTRIS detectors
  hitgate bench --json --stage net --width 0.5 --isa avx2
  hitgate bench --backend cuda --batch 4          # an NVIDIA GPU, four frames at once
  hitgate bench --backend cuda --check            # is what it computes what the CPU computes?

The whole path runs over simulated frames of u16 in a ring, and its stages are timed where they
work; net, decode and correct are also timed by themselves, again and again. With --stage net,
decode or correct nothing else is done: it is what benchmarks of other runtimes time. The crop
is the disc inside the water ring; the whole panel is what is looked at where the geometry is
unknown.

Frames are cold: since they were written, more went through the caches than those hold.

With --rate a second thread copies frames into the ring by the clock, as a DMA engine loads the
memory. Latency counts from the time that a frame is due. An empty filter, which keeps every frame
unseen, takes turns with the real one, a second each: it shows the machine's own noise.

A JSON line has the percentiles in µs from min_us to max_us; what the core could not beat, floor_us at
its highest rates and floor_p50_us at its median ones; and mpx, the megapixels that the stage
touches; alone is true for a stage by itself. bench/record.sh records a whole machine.

On a GPU frames come from memory that it reads by itself, in batches. A batch is the whole of one, from
the ring to its records, and frames_per_s is what batches of that median come to; of several cores
nothing else is timed, and it is what all of them judged by the clock; registered is false where the
driver would not read the ring, so that each frame was copied once more; prep is a frame's share of
the time until all are prepared, copies among it, net its share of the network's, both by the GPU's
clock. The floors are the core's, and so left out; bench/gpu.sh measures a GPU's.")]
pub struct BenchArgs {
    /// Detector whose frames are simulated: module, 4m, eiger16m, or a name that `hitgate simulate`
    /// has
    #[arg(long, value_name = "DETECTOR", value_parser = detector, default_value = "module")]
    pub detector: Detector,
    /// Frames to time
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub frames: u64,
    /// Only this stage
    #[arg(long, value_enum)]
    pub stage: Option<Stage>,
    /// Only with this window; both if left out
    #[arg(long, value_enum)]
    pub window: Option<View>,
    /// A network of this width with fixed pseudo-random weights, in place of a model
    #[arg(long, value_name = "W", conflicts_with = "model")]
    pub width: Option<f64>,
    /// Input of that network, in cells [default: 224]
    #[arg(long, value_name = "CELLS", requires = "width", value_parser = clap::value_parser!(u32).range(32..=1024))]
    pub input: Option<u32>,
    /// What runs the network
    #[arg(long, value_enum, default_value_t = EngineArg::Native)]
    pub engine: EngineArg,
    /// Read each frame from the caches of the core that has just written it
    #[arg(long)]
    pub warm: bool,
    /// Frames come compressed with bitshuffle and LZ4, and the path decodes them
    #[arg(long)]
    pub compressed: bool,
    /// Run on this CPU core alone; with --cores on this one and those after it
    #[arg(long, value_name = "CORE")]
    pub pin: Option<usize>,
    /// Run on this many cores at once, each with a ring of its own, and compare with one
    #[arg(long, value_name = "N", conflicts_with = "rate", value_parser = clap::value_parser!(u16).range(1..))]
    pub cores: Option<u16>,
    /// Frames come at this rate, in place of back to back
    #[arg(long, value_name = "HZ", conflicts_with_all = ["frames", "warm"])]
    pub rate: Option<f64>,
    /// How long frames come at that rate, to each window and to the empty filter [default: 10]
    #[arg(long, value_name = "S", requires = "rate", value_parser = seconds)]
    pub seconds: Option<f64>,
    /// Draw the percentiles into this file (SVG)
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    /// One line of JSON a stage
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub filter: FilterArgs,
    #[command(flatten)]
    pub backend: BackendArgs,
    /// Frames that the GPU is given at once, at most 32 of a path; prepared maps of --stage net, at most 4096 [default: 32]
    #[arg(long, value_name = "N", requires = "backend", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub batch: Option<u16>,
    /// Time nothing: compare the GPU with the CPU, to the bit
    #[arg(long, requires = "backend", conflicts_with_all = ["stage", "rate", "json", "plot"])]
    pub check: bool,
}

/// What is timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Slot → checked header
    Header,
    /// Pixels → map
    Prep,
    /// Map → logits, by itself
    Net,
    /// Logits → committed record
    Verdict,
    /// Raw frame in its slot → record
    Path,
    /// All frames of a batch, from their slots to their records
    Batch,
    /// Bitshuffle-LZ4 → pixels: in the path with --compressed, where those of the window are decoded; else by
    /// itself, all of them
    Decode,
    /// Raw JUNGFRAU words → map, by itself: the preparation with pedestals and gains on the way
    Correct,
}

impl Stage {
    /// Its word on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Stage::Header => "header",
            Stage::Prep => "prep",
            Stage::Net => "net",
            Stage::Verdict => "verdict",
            Stage::Path => "path",
            Stage::Batch => "batch",
            Stage::Decode => "decode",
            Stage::Correct => "correct",
        }
    }
}

/// Short names of the detectors that the speed of this library is claimed on.
const DETECTORS: [(&str, Detector); 3] = [
    ("module", Detector::JungfrauModule),
    ("4m", Detector::Eiger4M),
    ("eiger16m", Detector::Eiger16M),
];

fn detector(name: &str) -> Result<Detector, String> {
    let short = DETECTORS.into_iter().find(|(short, _)| *short == name);
    short.map_or_else(
        || {
            let shorts = DETECTORS.map(|(short, _)| short).join(", ");
            simulation::detector(name).map_err(|others| format!("{others}; for short {shorts}"))
        },
        |(_, detector)| Ok(detector),
    )
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(s) if 0.0 < s && s <= 86_400.0 => Ok(s),
        _ => Err("a number of seconds above 0 is needed, up to a day".into()),
    }
}

/// Frames a second beyond any detector's.
const HIGHEST_RATE: f64 = 1e6;

impl BenchArgs {
    /// Says what cannot be timed before anything is simulated.
    pub fn check(&self) -> Result<()> {
        if let Some(path) = &self.plot {
            plot::check(path)?;
        }
        if let Some(hz) = self.rate {
            Schedule::steady(hz)?;
            if hz > HIGHEST_RATE {
                bail!("{hz} frames a second: {HIGHEST_RATE} are the most that can be timed");
            }
        }
        if let (Some(_), Some(stage)) =
            (self.rate, self.stage.filter(|&stage| stage != Stage::Path))
        {
            bail!(
                "--rate times the whole path from the time that a frame is due, not {}: leave --stage out",
                stage.name()
            );
        }
        self.filter.level()?;
        self.check_backend()?;
        if self.engine == EngineArg::None && matches!(self.stage, Some(Stage::Prep | Stage::Net)) {
            bail!("--engine none neither prepares nor runs a network: time another stage");
        }
        if self.compressed && self.engine == EngineArg::Tract {
            bail!("the path of --engine tract decodes nothing: leave out --compressed");
        }
        if self.compressed && matches!(self.stage, Some(Stage::Net | Stage::Correct)) {
            bail!(
                "--compressed is about the path, and that stage is timed by itself: leave one of them out"
            );
        }
        if self.stage == Some(Stage::Correct) && !panel::integrates(self.detector) {
            bail!(
                "{} counts photons, it has no raw words to correct: time it on `--detector module`",
                self.detector.name()
            );
        }
        Ok(())
    }

    /// Says what a GPU does not do.
    fn check_backend(&self) -> Result<()> {
        if self.backend.backend == BackendArg::Cpu {
            if self.batch.is_some() || self.check {
                bail!(
                    "--batch and --check are for --backend cuda: the CPU takes one frame at once"
                );
            }
            if self.stage == Some(Stage::Batch) {
                bail!("the CPU takes one frame at once: time path, or give --backend cuda");
            }
            return Ok(());
        }
        if self.engine != EngineArg::Native {
            bail!(
                "--engine {} runs on the CPU: leave out --backend",
                self.engine.name()
            );
        }
        let most = MAX_BATCH as u16;
        if let Some(batch) = self.batch.filter(|&batch| batch > most && !self.is_alone()) {
            bail!(
                "--batch {batch}: a path takes at most {most} frames at once, and only prepared maps may be more: add --stage net"
            );
        }
        if self.cores.is_some_and(|cores| cores > 1)
            && self.stage.is_some_and(|stage| stage != Stage::Batch)
        {
            bail!(
                "several paths on a GPU are timed a batch at a time: give --stage batch, or leave out --cores"
            );
        }
        if let Some(stage @ (Stage::Decode | Stage::Correct)) = self.stage {
            bail!("{} is timed on the CPU: leave out --backend", stage.name());
        }
        Ok(())
    }

    /// Whether frames are scored on a GPU.
    pub fn on_gpu(&self) -> bool {
        self.backend.backend == BackendArg::Cuda
    }

    /// Frames of a batch.
    pub fn batch(&self) -> usize {
        match self.on_gpu() {
            true => self.batch.map_or(MAX_BATCH, usize::from),
            false => 1,
        }
    }

    /// Whether nothing but one stage by itself is to be timed.
    pub fn is_alone(&self) -> bool {
        match self.stage {
            Some(Stage::Decode) => !self.compressed,
            stage => matches!(stage, Some(Stage::Net | Stage::Correct)),
        }
    }

    /// Whether this stage is to be timed.
    pub fn wants(&self, stage: Stage) -> bool {
        let of_cpu = matches!(stage, Stage::Decode | Stage::Correct);
        self.stage.is_none_or(|wanted| wanted == stage) && !(of_cpu && self.on_gpu())
    }

    /// The windows to time it with.
    pub fn views(&self) -> impl Iterator<Item = View> {
        let wanted = self.window;
        (View::ALL.into_iter()).filter(move |view| wanted.is_none_or(|wanted| wanted == *view))
    }
}
