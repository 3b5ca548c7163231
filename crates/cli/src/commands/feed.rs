//! `hitgate feed`: an emulated DMA engine that plays frames into a ring.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use hitgate_host::{Backoff, Creation, HostError, MonotonicClock, Ring, Schedule};
use hitgate_ring::{Layout, Policy};

use crate::description::{self, Description};
use crate::feeder::feed;
use crate::frames::Frames;
use crate::interrupt::{self, Interrupted};
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
  hitgate feed run.h5 --frames 5000 --rate 2000 --free-running

The ring and RING.json, which tells `run` the geometry and the mask, are removed at the end, and on
Ctrl-C. Frames are numbered anew; of a kept slot's header nothing else changes.")]
pub struct FeedArgs {
    /// Files of frames to play, or kept slots that `run --keep` wrote
    files: Vec<PathBuf>,
    #[command(flatten)]
    simulated: SimulatedArgs,
    #[command(flatten)]
    ring: RingArg,
    /// Frames to play in all; those there are, over and over [default: each once]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Frames a second; as fast as the ring takes them if left out
    #[arg(long, value_name = "HZ")]
    rate: Option<f64>,
    /// Frames that come at once, the rate being the mean
    #[arg(long, value_name = "N", requires = "rate")]
    burst: Option<u32>,
    /// Wait for nobody, as a device without credit: a slow reader is lapped, and loses frames
    #[arg(long, requires = "rate")]
    free_running: bool,
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
    let policy = match args.free_running {
        true => Policy::FreeRunning,
        false => Policy::Credit,
    };
    let layout = Layout::new(args.slots, frames.stride()?, args.slots)?.with_policy(policy);

    let path = args.ring.path();
    let session = MonotonicClock.now_ns();
    let creation = match args.replace {
        true => Creation::Replace,
        false => Creation::Exclusive,
    };
    let stop = interrupt::watched()?;
    let ring = Ring::create(&path, &layout, session, creation).map_err(|error| match error {
        HostError::Exists { .. } => anyhow!("{error} (--replace, where a killed `feed` left it)"),
        error => error.into(),
    })?;
    let _names = Names(&path);
    let description = Description {
        session: Some(session),
        modules: frames.modules.clone(),
    };
    description.write(&path)?;
    let mut writer = ring.writer()?;
    let monitor = ring.monitor()?;

    if monitor.consumer().is_none() {
        eprintln!(
            "hitgate: {} is ready; once its {} slots are full, {}",
            path.display(),
            args.slots,
            match policy {
                Policy::Credit => "waiting for `hitgate run` to read them",
                Policy::FreeRunning => "the oldest frames are overwritten, read or not",
            }
        );
    }
    let progress = Progress::start(&format!("feeding {}", path.display()), count);
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
    let left = || {
        let taken = monitor.consumer().map_or(0, |consumer| consumer.taken);
        writer.produced() - taken.min(writer.produced())
    };
    while left() > 0 && !stop.load(Ordering::Relaxed) {
        writer.heartbeat(MonotonicClock.now_ms());
        backoff.wait();
    }
    say!(
        "fed        {} frames, {} stalls (the ring was full), {} lost at the source",
        writer.produced(),
        writer.stalls(),
        writer.lost_at_source()
    );
    match stop.load(Ordering::Relaxed) {
        true => Err(Interrupted { left: left() }.into()),
        false => Ok(()),
    }
}

/// The names of the ring and of its description, which go with the feed. A reader that has the ring
/// open keeps it until it has judged every frame.
struct Names<'p>(&'p Path);

impl Drop for Names<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(description::path(self.0));
        // A device keeps its name.
        if self.0.is_file() {
            let _ = std::fs::remove_file(self.0);
        }
    }
}
