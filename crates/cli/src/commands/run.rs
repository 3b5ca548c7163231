//! `hitgate run`: the filter on a live ring.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use hitgate_core::interlock::Interlock;
use hitgate_core::pipeline::{Bank, Pipeline};
use hitgate_host::{HostError, MonotonicClock, Ring, pin_to_core};
use hitgate_ring::AttachError;

use crate::bank::bank;
use crate::description::{self, Description};
use crate::filter::FilterArgs;
use crate::interrupt::{self, Interrupted};
use crate::judge::{SILENCE, judge};
use crate::progress::Progress;
use crate::reload::{Reload, exchange};
use crate::ring_path::RingArg;
use crate::second_look::{Attendant, Ends, InterlockArgs, SecondLook};
use crate::sink::{Outputs, sink};
use crate::tally::Watched;
use crate::{model, report, second_look};

/// Filter the frames of a ring that a detector, or `hitgate feed`, fills
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  hitgate run --ring /dev/shm/hitgate.ring --keep kept.slots --records records.jsonl

RING.json beside the ring describes the modules: shape, geometry, mask. Kept slots are written one
after another, header and all, with KEPT.json beside them; `hitgate screen` and `hitgate feed` read
that file. Every frame leaves a record in the ring, kept or dropped, and a line in RECORDS; where
that disk is too slow, lines are left out rather than frames, the run says how many and exits
with 1. Ctrl-C ends the run in good order: what was kept is written, the books are told.

SIGHUP makes it read the model and RING.json again: once both are packed and proved, it judges by
them from one frame to the next, without a pause; where something is wrong with them it says what,
and goes on as before. --max-loss begins in shadow again.")]
pub struct RunArgs {
    #[command(flatten)]
    ring: RingArg,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    interlock: InterlockArgs,
    /// Write the kept frames here
    #[arg(long, value_name = "FILE")]
    keep: Option<PathBuf>,
    /// Write a line of JSON for every frame here
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// Replace the files of an earlier run
    #[arg(long)]
    replace: bool,
    /// Run the decision on this CPU core alone
    #[arg(long, value_name = "CORE")]
    pin: Option<usize>,
    /// Wait this long for the ring to appear
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait: u64,
}

/// How long making a ring may take.
const MAKING: Duration = Duration::from_secs(2);

fn being_made(error: &HostError) -> bool {
    matches!(
        error,
        HostError::Attach {
            cause: AttachError::NotARing,
            ..
        }
    )
}

/// The ring at `path` and what describes it, once both are there and belong together.
fn wait_for(path: &Path, seconds: u64, stop: &AtomicBool) -> Result<(Ring, Description)> {
    let start = Instant::now();
    let mut said = false;
    loop {
        let missing = match (Ring::open(path), description::path(path).exists()) {
            (Ok(ring), true) => {
                let description = Description::read(path)?;
                match description.session {
                    Some(session) if session != ring.session() => format!(
                        "{} describes another ring than the one beside it, which a killed `hitgate feed` may have left",
                        description::path(path).display()
                    ),
                    _ => return Ok((ring, description)),
                }
            }
            (Ok(_), false) => format!("{} did not appear", description::path(path).display()),
            (Err(HostError::Missing { .. }), _) => format!("{} did not appear", path.display()),
            // A source that writes the control page is about to be done.
            (Err(error), _) if being_made(&error) && start.elapsed() < MAKING => error.to_string(),
            (Err(error), _) => return Err(error.into()),
        };
        if stop.load(Ordering::Relaxed) {
            return Err(Interrupted { left: 0 }.into());
        }
        if !said && seconds > 0 {
            eprintln!(
                "hitgate: waiting up to {seconds} s for {}, which `hitgate feed` makes",
                path.display()
            );
            said = true;
        }
        if start.elapsed() > Duration::from_secs(seconds) {
            bail!(
                "waited {seconds} s: {missing}; start `hitgate feed`, or name its ring with --ring"
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<()> {
    let bytes = model::bytes(args.filter.model.as_deref())?;
    let level = args.filter.level()?;
    // What is wrong with it is said before anybody waits for a ring.
    model::parse_for(&bytes, args.filter.model.as_deref(), level)?;
    let rules = args.interlock.rules(args.filter.sample)?;
    if !args.replace {
        Outputs::refuse_taken(args.keep.iter().chain(&args.records))?;
    }

    let (stop, asked) = (interrupt::watched()?, interrupt::reload()?);
    let path = args.ring.path();
    let (ring, description) = wait_for(&path, args.wait, &stop)?;
    let modules = &description.modules;
    let Bank {
        backend,
        policy,
        identity,
    } = bank(&bytes, modules, &args.filter, rules)?;

    let reader = ring.reader()?;
    let (keep, records) = (args.keep.as_deref(), args.records.as_deref());
    let outputs = Outputs::create(keep, records, args.replace, &description)?;
    let (look, looks, answers, looked) = match rules {
        Some(_) => {
            let (look, ends) = SecondLook::new(modules)?;
            let Ends {
                slots,
                answers,
                modules,
            } = ends;
            (Some(look), Some(slots), Some(answers), Some(modules))
        }
        None => (None, None, None, None),
    };
    let (link, sink) = sink(ring.layout(), outputs, looks);
    let mut pipeline = Pipeline::new(reader, backend, policy, link, identity);
    pipeline.interlock = rules.map_or(Interlock::none(), Interlock::new);
    let mut attendant = Attendant::new(answers);
    let (exchange, hand) = exchange();
    let reload = Reload {
        asked,
        hand,
        filter: &args.filter,
        rules,
        ring: &path,
        keep,
        looked,
        bytes,
        description,
    };
    let mut node = Watched::new(|_| {});
    let monitor = ring.monitor()?;
    let start_ns = MonotonicClock.now_ns();

    let progress = Progress::start("judging", 0);
    let (judged, accounts, source, waits, lines_lost, sent, interlock) =
        std::thread::scope(|scope| {
            let sinking = scope.spawn(|| sink.run());
            let looking = look.map(|look| scope.spawn(move || look.run()));
            scope.spawn(move || reload.run());
            scope.spawn(|| {
                progress.follow(|| monitor.consumer().map_or(0, |consumer| consumer.taken));
            });
            if let Some(core) = args.pin
                && let Err(error) = pin_to_core(core)
            {
                eprintln!("hitgate: {error}; going on without");
            }
            let judged = judge(&mut pipeline, &mut node, SILENCE, &stop, |pipeline| {
                exchange.attend(pipeline);
                attendant.attend(&mut pipeline.interlock);
            });
            drop(exchange);
            progress.finish();
            let mut interlock = pipeline.interlock.clone();
            let source = pipeline.reader().source();
            let waits = pipeline.reader().waits();
            let (mut reader, _, link, accounts) = pipeline.into_parts();
            let lines_lost = link.lines_lost;
            // The sink ends when nobody can send any more.
            drop(link);
            let sent = sinking.join();
            // It ends with the sink; what it saw last is told too.
            if let Some(Err(_)) = looking.map(|looking| looking.join()) {
                eprintln!("hitgate: the second looks stopped unexpectedly: please report this");
            }
            attendant.hear(&mut interlock);
            reader.reclaim();
            reader.close();
            (judged, accounts, source, waits, lines_lost, sent, interlock)
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
    if rules.is_some() {
        say_on!("{}", second_look::report(&interlock));
    }
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
    if lines_lost > 0 {
        bail!(
            "{lines_lost} records have no line in the file of records, because its disk was too slow: every frame was judged and counted all the same; write them elsewhere"
        );
    }
    let left = source.produced.saturating_sub(accounts.received);
    if stop.load(Ordering::Relaxed) {
        return Err(Interrupted { left }.into());
    }
    if !accounts.agree_with(&source) {
        bail!("the books do not balance: please report this with the lines above");
    }
    Ok(())
}
