//! `hitgate feed`: an emulated DMA engine that plays frames into a ring.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use hitgate_host::{Backoff, Creation, HostError, MonotonicClock, Ring, Schedule};
use hitgate_ring::Layout;

use crate::feeder::{feed, stride};
use crate::frames::Frames;
use crate::module;
use crate::open::DescribeArgs;
use crate::progress::Progress;
use crate::ring_path::RingArg;
use crate::simulation::SimulatedArgs;

/// Play frames into a ring, as a detector's DMA engine would
#[derive(Args, Debug)]
#[command(after_help = "\
Examples (the second in another terminal):
  hitgate feed --simulate jungfrau-module --frames 100000 --rate 200
  hitgate run --keep kept.slots --records records.jsonl

  hitgate feed run.h5 --frames 5000 --rate 133 --burst 16 --ring /dev/shm/eiger

The ring and RING.json, which tells `run` the geometry and the mask, are removed at the end.")]
pub struct FeedArgs {
    /// Files of frames to play, or kept slots that `run --keep` wrote
    files: Vec<PathBuf>,
    #[command(flatten)]
    simulated: SimulatedArgs,
    #[command(flatten)]
    ring: RingArg,
    /// Frames to play in all; those there are, over and over [default: each once]
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    /// Frames a second; as fast as the ring takes them if left out
    #[arg(long, value_name = "HZ")]
    rate: Option<f64>,
    /// Frames that come at once, the rate being the mean
    #[arg(long, value_name = "N", requires = "rate")]
    burst: Option<u32>,
    /// Slots of the ring
    #[arg(long, value_name = "N", default_value_t = 64)]
    slots: u32,
    /// Put the new ring in the place of one that a killed `feed` left behind
    #[arg(long)]
    replace: bool,
    #[command(flatten)]
    describe: DescribeArgs,
}

/// Runs the command.
pub fn run(args: &FeedArgs) -> Result<()> {
    let frames = match (&args.files[..], args.simulated.wanted()) {
        ([], false) => bail!("nothing to feed: name files, or `--simulate DETECTOR`"),
        (files, false) => Frames::from_files(files, &args.describe)?,
        ([], true) => args.simulated.frames()?,
        (_, true) => bail!("either files or --simulate: one of the two"),
    };
    let schedule = match (args.rate, args.burst) {
        (None, _) => None,
        (Some(hz), None) => Some(Schedule::steady(hz)?),
        (Some(hz), Some(burst)) => Some(Schedule::bursts(hz, burst)?),
    };
    let count = args.frames.unwrap_or(frames.frames.len() as u64);
    let layout = Layout::new(args.slots, stride(frames.largest()?)?, args.slots)?;

    let path = args.ring.path();
    let session = MonotonicClock.now_ns();
    let creation = match args.replace {
        true => Creation::Replace,
        false => Creation::Exclusive,
    };
    let ring = Ring::create(&path, &layout, session, creation).map_err(|error| match error {
        HostError::Exists { .. } => anyhow!("{error} (--replace, where a killed `feed` left it)"),
        error => error.into(),
    })?;
    module::write(&path, &frames.modules)?;
    let mut writer = ring.writer()?;
    let monitor = ring.monitor()?;

    let progress = Progress::start(&format!("feeding {}", path.display()), count);
    let stop = AtomicBool::new(false);
    let fed = std::thread::scope(|scope| {
        scope.spawn(|| progress.follow(|| monitor.source().map_or(0, |source| source.produced)));
        let fed = feed(&mut writer, &frames, count, schedule, &stop);
        writer.close();
        progress.finish();
        fed
    });
    fed?;

    // The reader still works on the last slots: the ring stays until they are judged.
    let mut backoff = Backoff::new();
    while monitor
        .consumer()
        .is_none_or(|consumer| consumer.taken < writer.produced())
    {
        writer.heartbeat(MonotonicClock.now_ms());
        backoff.wait();
    }
    say!(
        "fed        {} frames, {} stalls (the ring was full), {} lost at the source",
        writer.produced(),
        writer.stalls(),
        writer.lost_at_source()
    );
    let _ = std::fs::remove_file(module::description_path(&path));
    std::fs::remove_file(&path)?;
    Ok(())
}
