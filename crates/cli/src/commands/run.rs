//! `hitgate run`: the filter on a live ring.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use hitgate_core::pipeline::Pipeline;
use hitgate_host::{MonotonicClock, Ring, pin_to_core};

use crate::filter::{FilterArgs, FilterMemory, identity, prepare};
use crate::judge::judge;
use crate::progress::Progress;
use crate::ring_path::RingArg;
use crate::sink::sink;
use crate::tally::Watched;
use crate::{model, module, report};

/// Filter the frames of a ring that a detector, or `hitgate feed`, fills
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  hitgate run --ring /dev/shm/hitgate.ring --keep kept.slots --records records.jsonl

RING.json beside the ring describes the modules: shape, geometry, mask. Kept slots are written one
after another, header and all; `hitgate screen` and `hitgate feed` read that file. Every frame
leaves a record, kept or dropped.")]
pub struct RunArgs {
    #[command(flatten)]
    ring: RingArg,
    #[command(flatten)]
    filter: FilterArgs,
    /// Write the kept frames here
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Write a line of JSON for every frame here
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// Run the decision on this CPU core alone
    #[arg(long, value_name = "CORE")]
    pin: Option<usize>,
    /// Wait this long for the ring to appear
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    wait: u64,
}

/// Waits until a file is there.
fn wait_for(path: &Path, seconds: u64) -> Result<()> {
    let start = Instant::now();
    while !path.exists() {
        if start.elapsed() > Duration::from_secs(seconds) {
            bail!(
                "{} did not appear in {seconds} s: start `hitgate feed`, or name its ring with --ring",
                path.display()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<()> {
    let bytes = model::bytes(args.filter.model.as_deref())?;
    let model = model::parse(&bytes, args.filter.model.as_deref())?;
    let level = args.filter.level()?;
    let policy = args.filter.policy(&model);

    let path = args.ring.path();
    wait_for(&module::description_path(&path), args.wait)?;
    let modules = module::read(&path)?;
    let ring = Ring::open(&path)?;
    let prepared = prepare(&modules, &model)?;
    let preparations = prepared
        .iter()
        .map(|p| p.preparation())
        .collect::<Result<Vec<_>>>()?;
    let mut memory = FilterMemory::new(&model, level);
    let cpu = memory.cpu(&model, level, &preparations)?;
    let identity = identity(&bytes, &modules, &policy)?;

    let stop = AtomicBool::new(false);
    let broken = AtomicBool::new(false);
    let capacity = 2 * ring.layout().slots() as usize + 64;
    let (link, sink) = sink(
        capacity,
        &broken,
        args.keep.as_deref(),
        args.records.as_deref(),
    )?;
    if let Some(keep) = &args.keep {
        module::write(keep, &modules)?;
    }
    let mut pipeline = Pipeline::new(ring.reader()?, cpu, policy, link, identity);
    let mut node = Watched::new(|_| {});
    let monitor = ring.monitor()?;
    let start_ns = MonotonicClock.now_ns();

    let progress = Progress::start("judging", 0);
    let (judged, accounts, source, waits, sent) = std::thread::scope(|scope| {
        let sinking = scope.spawn(|| sink.run());
        scope.spawn(|| {
            progress.follow(|| monitor.consumer().map_or(0, |consumer| consumer.taken));
        });
        if let Some(core) = args.pin
            && let Err(error) = pin_to_core(core)
        {
            eprintln!("hitgate: {error}; going on without");
        }
        let judged = judge(&mut pipeline, &mut node, &stop);
        progress.finish();
        let source = pipeline.reader().source();
        let waits = pipeline.reader().waits();
        let (mut reader, _, link, accounts) = pipeline.into_parts();
        // The sink ends when nobody can send any more.
        drop(link);
        let sent = sinking.join();
        reader.reclaim();
        reader.close();
        (judged, accounts, source, waits, sent)
    });
    let seconds = (MonotonicClock.now_ns() - start_ns) as f64 / 1e9;
    let Ok(sent) = sent else {
        bail!("the sink stopped unexpectedly")
    };

    say!(
        "judged     {} frames in {seconds:.1} s, {:.0} a second, on {}; {waits} waits for the link",
        accounts.received,
        accounts.received as f64 / seconds,
        level.name(),
    );
    say_on!("{}", report::accounts(&accounts));
    say!(
        "ring       produced {} + lost at the source {} = received {} + lost {}",
        source.produced,
        source.lost_at_source,
        accounts.received,
        accounts.lost_source
    );
    say_on!("{}", report::latencies(&node.latencies));
    // The books are told first, however the run ended.
    judged?;
    let sent = sent?;
    say!(
        "sent       {} frames, {}",
        sent.frames,
        report::bytes(sent.bytes)
    );
    if !accounts.balance() || source.produced != accounts.received {
        bail!("the books do not balance: please report this with the lines above");
    }
    Ok(())
}
