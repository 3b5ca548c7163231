//! `hitgate bench`: how long each stage takes on this machine.

use anyhow::{Result, bail};
use clap::Args;
use hdrhistogram::Histogram;
use hitgate_core::link::LentQueue;
use hitgate_core::pipeline::Pipeline;
use hitgate_host::{Ring, pin_to_core};
use hitgate_kernels::Level;
use hitgate_ring::Layout;
use hitgate_sim::{Detector, Mix, Simulator};
use serde_json::{Value, json};

use crate::filter::{FilterArgs, FilterMemory, identity, prepare};
use crate::frames::Frames;
use crate::module::Prepared;
use crate::progress::Progress;
use crate::simulation::{detector, simulated};
use crate::slot::put;
use crate::tally::{Latencies, STAGES, Watched};
use crate::{machine, model, report};

/// Time each stage of the path, back to back on one core
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate bench --detector eiger2-16m --pin 1
  hitgate bench --json --stage net --width 0.5 --isa avx2

The frames lie in the ring's slots, written just before: caches are as warm as the copy left them.")]
pub struct BenchArgs {
    /// Detector whose frames are simulated
    #[arg(long, value_name = "DETECTOR", value_parser = detector, default_value = "jungfrau-module")]
    detector: Detector,
    /// Frames to time
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    frames: u64,
    /// Only this stage: header, prep, net, verdict or path
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// A network of this width with fixed pseudo-random weights, in place of a model
    #[arg(long, value_name = "W", conflicts_with = "model")]
    width: Option<f32>,
    /// Input of that network, in cells
    #[arg(long, value_name = "CELLS", default_value_t = 224, requires = "width", value_parser = clap::value_parser!(u32).range(32..=1024))]
    input: u32,
    /// Run on this CPU core alone
    #[arg(long, value_name = "CORE")]
    pin: Option<usize>,
    /// One line of JSON a stage
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// Different frames that are simulated.
const DISTINCT: u64 = 8;
/// Frames before the first that is timed.
const WARM_UP: u64 = 20;

/// Runs the command.
pub fn run(args: &BenchArgs) -> Result<()> {
    if let Some(stage) = &args.stage
        && !STAGES.contains(&stage.as_str())
    {
        bail!("no stage `{stage}`; there are {}", STAGES.join(", "));
    }
    let bytes = match args.width {
        Some(width) if (0.05..=4.0).contains(&width) => {
            hitgate_import::random::file(width, args.input, 1, 1)?
        }
        Some(width) => bail!("a width of {width}: 0.05 to 4 can be timed"),
        None => model::bytes(args.filter.model.as_deref())?,
    };
    let level = args.filter.level()?;
    let simulator = Simulator::with_detector(1, Mix::Natural, args.detector);
    let frames = simulated(&simulator, DISTINCT)?;
    if let Some(core) = args.pin {
        pin_to_core(core)?;
    }
    let latencies = time(args, &bytes, level, &frames)?;
    let wanted = |name: &str| args.stage.as_deref().is_none_or(|stage| stage == name);
    if args.json {
        for (name, histogram) in latencies.stages().filter(|(name, _)| wanted(name)) {
            say!("{}", line(args, &bytes, level, &frames, name, histogram)?);
        }
        return Ok(());
    }
    let model = model::parse(&bytes, None)?;
    say!(
        "{} frames of {}, {:.1} million multiply-adds, one core, {}",
        args.frames,
        args.detector.name(),
        model.multiply_adds() as f64 / 1e6,
        level.name()
    );
    say_on!("{}", report::latencies(&latencies));
    Ok(())
}

fn time(args: &BenchArgs, bytes: &[u8], level: Level, frames: &Frames) -> Result<Latencies> {
    let model = model::parse(bytes, None)?;
    let policy = args.filter.policy(&model);
    let prepared = prepare(&frames.modules, &model)?;
    let preparations: Vec<_> = prepared.iter().map(Prepared::preparation).collect();
    let mut memory = FilterMemory::new(&model, level, &preparations);
    let cpu = memory.cpu(&model, level, &preparations)?;
    let identity = identity(bytes, &frames.modules, &policy)?;
    let layout = Layout::new(4, frames.stride()?, 4)?;
    let ring = Ring::anonymous(&layout, 1)?;
    let mut writer = ring.writer()?;
    let mut pipeline = Pipeline::new(ring.reader()?, cpu, policy, LentQueue::<1>::new(), identity);
    let mut node = Watched::new(|_| {});
    let progress = Progress::start("timing", args.frames);
    for number in 0..WARM_UP + args.frames {
        if number == WARM_UP {
            node.latencies = Latencies::default();
        }
        let frame = &frames.frames[(number % DISTINCT) as usize];
        if !put(&mut writer, &frame.slot, |header| {
            header.frame_number = number + 1;
            header.module_id = frame.module.unwrap_or_default();
        })? {
            bail!("the ring is full although every frame was judged");
        }
        pipeline.step(&mut node)?;
        drop(pipeline.link.take());
        progress.advance();
    }
    progress.clear();
    Ok(node.latencies)
}

fn line(
    args: &BenchArgs,
    bytes: &[u8],
    level: Level,
    frames: &Frames,
    stage: &str,
    histogram: &Histogram<u64>,
) -> Result<Value> {
    let model = model::parse(bytes, None)?;
    let module = &frames.modules[0];
    let us = |ns: u64| ns as f64 / 1e3;
    Ok(json!({
        "stage": stage,
        "machine": machine::cpu(),
        "version": machine::VERSION,
        "commit": machine::COMMIT,
        "model": format!("{:08x}", crc32fast::hash(bytes)),
        "width": args.width,
        "input": model.input().size,
        "isa": level.name(),
        "cores": 1,
        "detector": args.detector.name(),
        "frames": histogram.len(),
        "min_us": us(histogram.min()),
        "p50_us": us(histogram.value_at_quantile(0.5)),
        "p90_us": us(histogram.value_at_quantile(0.9)),
        "p99_us": us(histogram.value_at_quantile(0.99)),
        "p999_us": us(histogram.value_at_quantile(0.999)),
        "max_us": us(histogram.max()),
        "mpx": f64::from(module.columns) * f64::from(module.rows) / 1e6,
    }))
}
