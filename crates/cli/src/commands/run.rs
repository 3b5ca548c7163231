//! `hitgate run`: the filter on a live ring.

use std::fmt::Write as _;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use hitgate_core::pipeline::{Bank, Pipeline};
use hitgate_host::{DmaBuffer, HostError, MonotonicClock, Ring, pin_to_core};
use hitgate_ring::{AttachError, End};

use crate::backend::BackendArgs;
use crate::bank::bank;
use crate::description::{self, Description};
use crate::filter::FilterArgs;
use crate::interrupt::{self, Interrupted};
use crate::judge::{SILENCE, judge};
use crate::metrics::{Endpoint, Sources};
use crate::outputs::OutputArgs;
use crate::progress::Progress;
use crate::raw::RawArgs;
use crate::reload::{Reload, exchange};
use crate::ring_path::RingArg;
use crate::second_look::{Attendant, Ends, InterlockArgs, SecondLook};
use crate::sink::{SinkLink, sink};
use crate::standby;
use crate::tally::Watched;
use crate::{is_closed_pipe, model, print_all, report, require_written, second_look};

/// Filter the frames of a ring that a detector, or `hitgate feed`, fills
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate run --ring /dev/shm/hitgate.ring --keep kept.slots --records records.jsonl
  hitgate run --keep kept.slots --keep-maps dropped.maps --metrics 127.0.0.1:9464
  hitgate run --standby 500 --keep unjudged.slots    # beside it, should it die
  hitgate run --pedestal G0.npy,G1.npy,G2.npy --adu-per-photon 508,-17.9,-1.44    # of raw words
  hitgate run --backend cuda --keep kept.slots       # on an NVIDIA GPU, to the same bits

RING.json beside the ring describes the modules: shape, geometry, mask. Kept slots are written one
after another, header and all, with KEPT.json beside them; `hitgate screen` and `hitgate feed` read
that file. Every frame leaves a record in the ring, kept or dropped, and a line in RECORDS; where
that disk is too slow, lines are left out rather than frames, the run says how many and exits
with 1. What the device of a free-running ring overwrote before it was read is lost: a line in
RECORDS for each range, cause `lapped`, and a count in the books. Of dropped frames --keep-maps keeps
what the network saw, for `hitgate rejudge`; where that disk is too slow, maps are left out, and the
run says how many. Prometheus, or a browser, reads http://ADDRESS/metrics, once the ring is there.
Ctrl-C or SIGTERM ends the run in good order: what was kept is written, the books are told. So does a disk that takes
no more of KEPT, with status 74: frames that are not written stay in the ring for the next run, but for copies.

--backend cuda takes NVIDIA's driver 580 or newer and a GPU of compute capability 8.0 or newer. If the GPU is
lost, the frames that it had are kept as faults, the CPU goes on, and the books count those that fell back.

SIGHUP makes it read the model, RING.json and pedestals again: once all are packed and proved, it judges by
them from one frame to the next, without a pause; where something is wrong with them it says what,
and goes on as before. --max-loss begins in shadow again.")]
pub struct RunArgs {
    #[command(flatten)]
    ring: RingArg,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    backend: BackendArgs,
    #[command(flatten)]
    raw: RawArgs,
    #[command(flatten)]
    interlock: InterlockArgs,
    #[command(flatten)]
    outputs: OutputArgs,
    /// Tell Prometheus what becomes of the frames, at an address and port such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    metrics: Option<String>,
    /// Do not judge but stand by: once no filter has given a sign of life for so many milliseconds, pass
    /// every frame on unjudged (reason fault), until the source ends or Ctrl-C
    #[arg(long, value_name = "MS", conflicts_with_all = ["max_loss", "keep_maps", "backend"])]
    standby: Option<u32>,
    /// Run the decision on this CPU core alone
    #[arg(long, value_name = "CORE")]
    pin: Option<usize>,
    /// Wait this long for the ring to appear
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    wait: u64,
}

/// How long making a ring may take.
const MAKING: Duration = Duration::from_secs(2);
/// How often the end of a run looks whether all that was kept is written.
const DRAINING: Duration = Duration::from_millis(10);

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
            tell!(
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

/// Whether judging goes on: not where kept frames cannot be written, nor where frames may be older than they seem.
fn goes_on(link: &SinkLink<'_>, caches: Option<&DmaBuffer>) -> ControlFlow<()> {
    match link.is_broken() || caches.is_some_and(|caches| caches.check().is_err()) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

/// Lets those who only look on end, also where judging does so by a panic.
struct Ended<'r>(&'r Progress, &'r AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.finish();
        self.1.store(true, Ordering::Relaxed);
    }
}

/// Runs the command.
pub fn run(args: &RunArgs) -> Result<()> {
    // What is wrong with the command line is said before anybody waits for a ring.
    let path = args.ring.path();
    args.outputs.check(&path)?;
    let bytes = model::bytes(args.filter.model.as_deref())?;
    let level = args.filter.level()?;
    let input = model::parse_for(&bytes, args.filter.model.as_deref(), level)?.input();
    let hardware = args.backend.open(args.outputs.keep_maps.is_some())?;
    let rules = args.interlock.rules(args.filter.sample)?;
    let raw_maps = args.raw.read()?;
    let endpoint = args.metrics.as_deref().map(Endpoint::listen).transpose()?;
    if let Some(endpoint) = &endpoint {
        tell!("hitgate: metrics at http://{}/metrics", endpoint.address()?);
    }

    let (stop, asked) = (interrupt::watched()?, interrupt::reload()?);
    let (ring, description) = wait_for(&path, args.wait, &stop)?;
    let caches = DmaBuffer::of(&path)?.filter(|buffer| !buffer.is_coherent());
    let caches = caches.map(Arc::new);
    let modules = &description.modules;
    let Bank {
        mut backend,
        policy,
        identity,
    } = bank(
        &bytes,
        modules,
        &args.filter,
        rules,
        raw_maps.as_ref(),
        &hardware,
    )?;

    let mut reader = match args.standby {
        None => ring.reader()?,
        Some(ms) => {
            let patience = Duration::from_millis(ms.into());
            let Some(reader) = standby::take_over(&ring, patience, &stop)? else {
                say!("standby    was not needed: the source ended, and every frame is judged");
                return Ok(());
            };
            reader
        }
    };
    // Whoever stands by sees at once that the end has somebody: pinning a large ring takes seconds.
    reader.heartbeat(MonotonicClock.now_ms());
    // Frames are where they will be: a free-running ring's copies are made with its reader.
    let _registered = hardware.register(&ring);
    if let Some(caches) = caches.as_deref() {
        reader = reader.with_cache_hooks(caches);
    }
    backend.passes = args.standby.is_some();
    backend.caches = caches.clone();
    let (look, looks, answers, looked) = match rules {
        Some(_) => {
            let (look, ends) = SecondLook::new(modules, raw_maps.as_ref())?;
            let Ends {
                slots,
                answers,
                modules,
            } = ends;
            (Some(look), Some(slots), Some(answers), Some(modules))
        }
        None => (None, None, None, None),
    };
    let monitor = ring.monitor()?;
    // The last that can fail: where a run does not begin there are no files of it.
    let outputs = args.outputs.create(&description, &input)?;
    let (link, sink) = sink(ring.layout(), outputs, looks);
    let traffic = sink.traffic();
    let mut pipeline = Pipeline::new(reader, backend, policy, link, identity);
    // The books go on from those of an earlier run.
    let earlier = pipeline.accounts().received;
    if let Some(rules) = rules {
        pipeline.guard(rules);
    }
    let mut attendant = Attendant::new(answers);
    let (exchange, hand) = exchange();
    let judging = Mutex::new(identity);
    let reload = Reload {
        asked,
        hand,
        filter: &args.filter,
        hardware: &hardware,
        raw: &args.raw,
        rules,
        ring: &path,
        keep: args.outputs.keep.as_deref(),
        maps: args.outputs.keep_maps.is_some().then_some(input),
        looked,
        judging: &judging,
        bytes,
        description,
        raw_maps,
    };
    let mut node = Watched::new(|_| {});
    let watch = attendant.watch();
    let sources = Sources {
        ring: &ring,
        traffic: &traffic,
        interlock: rules.map(|_| &*watch),
        identity: &judging,
        level,
        gpu: hardware.gpu(),
    };
    if args.outputs.keep.is_none() {
        tell!("hitgate: no --keep: kept frames go nowhere, and their slots back to the source");
    }
    let done = AtomicBool::new(false);
    let start_ns = MonotonicClock.now_ns();

    let progress = Progress::start("judging", 0);
    let (judged, accounts, source, waits, sent, interlock) = std::thread::scope(|scope| {
        let ended = Ended(&progress, &done);
        if let Some(endpoint) = &endpoint {
            scope.spawn(|| endpoint.serve(&done, || sources.text()));
        }
        let sinking = scope.spawn(|| sink.run());
        let looking = look.map(|look| scope.spawn(move || look.run()));
        // Whoever stands by judges by no model.
        if args.standby.is_none() {
            scope.spawn(move || reload.run());
        }
        scope.spawn(|| {
            progress.follow(|| monitor.consumer().map_or(0, |consumer| consumer.taken));
        });
        if let Some(core) = args.pin
            && let Err(error) = pin_to_core(core)
        {
            tell!("hitgate: {error}; going on without");
        }
        let source_lives = || matches!(ring.owner(End::Writer), Ok(Some(_)));
        let judged = judge(
            &mut pipeline,
            &mut node,
            SILENCE,
            &stop,
            source_lives,
            |pipeline| {
                exchange.attend(pipeline);
                hardware.attend(pipeline.backend.lost());
                attendant.attend(&mut pipeline.interlock);
                goes_on(&pipeline.link, caches.as_deref())
            },
        );
        hardware.attend(pipeline.backend.lost());
        drop(exchange);
        progress.finish();
        // What was taken is written, or stays in the ring, or is lost and in the books.
        pipeline.link.end();
        while !pipeline.link.is_done() {
            // Somebody is here: a standby has nothing to take, and nobody is told to end this.
            pipeline.reader().heartbeat(MonotonicClock.now_ms());
            pipeline.attend_to_link();
            attendant.hear(&mut pipeline.interlock);
            std::thread::sleep(DRAINING);
        }
        let mut interlock = pipeline.interlock.clone();
        let source = pipeline.reader().source();
        let waits = pipeline.reader().waits();
        let (mut reader, _, link, accounts) = pipeline.into_parts();
        // The sink ends when nobody can send any more.
        drop(link);
        // The second looks end with it. Whoever has an answer that nobody hears waits.
        let looks_on = |looking: &ScopedJoinHandle<'_, _>| !looking.is_finished();
        while !sinking.is_finished() || looking.as_ref().is_some_and(looks_on) {
            reader.heartbeat(MonotonicClock.now_ms());
            attendant.hear(&mut interlock);
            std::thread::sleep(DRAINING);
        }
        let sent = sinking.join();
        if let Some(Err(_)) = looking.map(|looking| looking.join()) {
            tell!("hitgate: the second looks stopped unexpectedly: please report this");
        }
        attendant.hear(&mut interlock);
        reader.reclaim();
        reader.close();
        drop(ended);
        (judged, accounts, source, waits, sent, interlock)
    });
    let seconds = (MonotonicClock.now_ns() - start_ns) as f64 / 1e9;
    let Ok(sent) = sent else {
        bail!("the sink stopped unexpectedly")
    };

    let mut books = String::new();
    let frames = accounts.received - earlier;
    let _ = writeln!(
        books,
        "{:<10} {frames} frames in {seconds:.1} s, {:.0} a second, on {}; {waits} waits for the link",
        match args.standby {
            None => "judged",
            Some(_) => "passed",
        },
        frames as f64 / seconds,
        hardware.words(level),
    );
    if earlier > 0 {
        let _ = writeln!(
            books,
            "earlier    {earlier} frames of other runs are in the books of this ring, down to its line; what follows that is of this run"
        );
    }
    books += &report::accounts(&accounts).to_string();
    let _ = writeln!(
        books,
        "ring       {}: produced {} + lost at the source {} = received {} + lost {} + lapped {}",
        report::policy(ring.layout()),
        source.produced,
        source.lost_at_source,
        accounts.received,
        accounts.lost_source,
        accounts.lost_lapped
    );
    if rules.is_some() {
        books += &second_look::report(&interlock).to_string();
    }
    books += &report::latencies(&node.latencies).to_string();
    let lines_lost = traffic.lines_lost.get();
    if lines_lost > 0 {
        let _ = writeln!(
            books,
            "records    {lines_lost} have no line in the file of records"
        );
    }
    let (maps, maps_lost) = (traffic.maps.get(), traffic.maps_lost.get());
    if args.outputs.keep_maps.is_some() {
        let _ = writeln!(
            books,
            "maps       {maps} of dropped frames written, {maps_lost} left out for a slow disk"
        );
    }
    if sent.is_ok() && judged.is_ok() {
        let _ = writeln!(
            books,
            "sent       {} frames, {}{}",
            traffic.frames.get(),
            report::bytes(traffic.bytes.get()),
            match args.outputs.keep {
                Some(_) => "",
                None => ", nowhere: there was no --keep",
            }
        );
    }
    // The books are told first, however the run ended; that nobody reads them hides nothing of how it did.
    let told = print_all(&books);
    sent?;
    judged?;
    if let Some(caches) = &caches {
        caches.check()?;
    }
    if lines_lost > 0 {
        bail!(
            "{lines_lost} records have no line in the file of records, because its disk was too slow: every frame was judged and counted all the same; write them elsewhere"
        );
    }
    let interrupted = stop.load(Ordering::Relaxed);
    let balanced = match interrupted {
        false => accounts.agree_with(&source),
        // What the source counts goes on meanwhile, or is a device's, which counts nothing.
        true => accounts.balance(),
    };
    if !balanced {
        bail!("the books do not balance: please report this with the lines above");
    }
    if told.as_ref().is_err_and(|error| !is_closed_pipe(error)) {
        require_written(told);
    }
    let left = source
        .produced
        .saturating_sub(accounts.received.saturating_add(accounts.lost_lapped));
    match interrupted {
        true => Err(Interrupted { left }.into()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::FilterArgs;
    use crate::module::Module;
    use crate::outputs::Outputs;
    use hitgate_core::accounts::Accounts;
    use hitgate_core::frame::{FrameHeader, HEADER_LEN, PixelType};
    use hitgate_core::verdict::Verdict;
    use hitgate_ring::Layout;

    /// The books of a run on a ring of three blank frames, in memory whose caches are looked after through files, the one that is
    /// asked before the CPU reads at `before`.
    fn judged_behind(before: &Path) -> Accounts {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("size", "65536"),
            ("phys_addr", "0x1f700000"),
            ("dma_coherent", "0"),
            ("sync_for_device", ""),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::os::unix::fs::symlink(before, folder.path().join("sync_for_cpu")).unwrap();
        let caches = Arc::new(DmaBuffer::in_folder(folder.path()).unwrap());

        let modules: Vec<Module> =
            serde_json::from_str(r#"[{"columns":8,"rows":4,"pixel_type":"u16"}]"#).unwrap();
        let layout = Layout::new(4, HEADER_LEN as u32 + 64, 4).unwrap();
        let ring = Ring::anonymous(&layout, 1).unwrap();
        let mut writer = ring.writer().unwrap();
        for frame_number in 1..=3 {
            let mut slot = writer.reserve().unwrap().unwrap();
            let header = FrameHeader {
                frame_number,
                ..FrameHeader::new(4, 8, PixelType::U16)
            };
            slot.write(0, &header.seal()).unwrap();
            slot.write(HEADER_LEN, &[0; 64]).unwrap();
            slot.commit();
        }
        writer.close();

        let filter = FilterArgs {
            model: None,
            threshold: Some(1.0),
            isa: None,
            sample: 0,
            sample_seed: 0,
            deadline_us: None,
        };
        let hardware = BackendArgs::default().open(false).unwrap();
        let bytes = model::bytes(None).unwrap();
        let mut bank = bank(&bytes, &modules, &filter, None, None, &hardware).unwrap();
        bank.backend.caches = Some(Arc::clone(&caches));
        let (link, sink) = sink(&layout, Outputs::default(), None);
        let reader = ring.reader().unwrap().with_cache_hooks(&*caches);
        let mut pipeline = Pipeline::new(reader, bank.backend, bank.policy, link, bank.identity);
        std::thread::scope(|scope| {
            scope.spawn(|| sink.run());
            let judged = judge(
                &mut pipeline,
                &mut Watched::new(|_| {}),
                SILENCE,
                &AtomicBool::new(false),
                || true,
                |pipeline| goes_on(&pipeline.link, Some(&caches)),
            );
            judged.unwrap();
            let (.., accounts) = pipeline.into_parts();
            accounts
        })
    }

    #[test]
    fn once_the_caches_cannot_be_looked_after_no_frame_is_dropped_and_the_run_ends() {
        let sound = tempfile::NamedTempFile::new().unwrap();
        let books = judged_behind(sound.path());
        assert_eq!((books.received, books.dropped()), (3, 3));

        let books = judged_behind(Path::new("/dev/full"));
        assert_eq!(books.dropped(), 0);
        assert_eq!(books.received, books.of(Verdict::KeepFault));
        assert!((1..3).contains(&books.received), "{books:?}");
    }
}
