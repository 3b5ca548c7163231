//! `hitgate demo`: an emulated detector → ring → filter → summary.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;

use anyhow::{Context, Result, bail};
use clap::Args;
use hitgate_core::link::Record;
use hitgate_core::pipeline::Pipeline;
use hitgate_core::verdict::Class;
use hitgate_host::{MonotonicClock, Ring, Schedule};
use hitgate_ring::Layout;
use hitgate_sim::{Detector, Mix, Simulator};

use crate::feeder::{Native, feed};
use crate::filter::{FilterArgs, FilterMemory, identity, prepare};
use crate::frames::Frames;
use crate::interrupt::{self, Interrupted};
use crate::judge::{SILENCE, judge};
use crate::model;
use crate::module::Prepared;
use crate::open::DescribeArgs;
use crate::outputs::Outputs;
use crate::progress::Progress;
use crate::report::{self, percent};
use crate::simulation::simulated;
use crate::sink::sink;
use crate::tally::{Agreement, Watched};

/// Run an emulated detector through the filter and sum up; this is what `hitgate` alone does
#[derive(Args, Debug)]
pub struct DemoArgs {
    /// Frames to play
    #[arg(long, value_name = "N", default_value_t = FRAMES)]
    frames: u64,
    /// Frames a second
    #[arg(long, value_name = "HZ", default_value_t = RATE_HZ)]
    rate: f64,
    /// Seed of the simulated frames
    #[arg(long, value_name = "SEED", default_value_t = SEED)]
    seed: u64,
    #[command(flatten)]
    filter: FilterArgs,
}

const FRAMES: u64 = 600;
const RATE_HZ: f64 = 60.0;
const SEED: u64 = 42;
/// Different simulated frames; with the real ones they are played over and over.
const SIMULATED: u64 = 46;
const SLOTS: u32 = 24;

impl Default for DemoArgs {
    fn default() -> Self {
        let filter = FilterArgs {
            model: None,
            threshold: None,
            isa: None,
            sample: 0,
            sample_seed: 0,
            deadline_us: None,
        };
        DemoArgs {
            frames: FRAMES,
            rate: RATE_HZ,
            seed: SEED,
            filter,
        }
    }
}

/// Real detector frames, with the class that people who looked at them gave. Sources and licences
/// are in `demo/README.md` beside this crate.
const REAL: [(&str, &[u8], Class); 4] = [
    (
        "eiger4m_dls.h5",
        include_bytes!("../../demo/eiger4m_dls.h5"),
        Class::Hit,
    ),
    (
        "snase_ccd_00001.img.gz",
        include_bytes!("../../demo/snase_ccd_00001.img.gz"),
        Class::Hit,
    ),
    (
        "cspad_2x1_cxitut13.npy",
        include_bytes!("../../demo/cspad_2x1_cxitut13.npy"),
        Class::Hit,
    ),
    (
        "blank_pilatus300k.cbf.gz",
        include_bytes!("../../demo/blank_pilatus300k.cbf.gz"),
        Class::Miss,
    ),
];

/// The real frames, by way of files as a user's would come.
fn real() -> Result<Frames> {
    let folder = std::env::temp_dir().join(format!("hitgate-demo-{}", std::process::id()));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let read = REAL.iter().map(|(name, bytes, _)| {
        let path = folder.join(name);
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    });
    let frames = read
        .collect::<Result<Vec<_>>>()
        .and_then(|paths| Frames::from_files(&paths, &DescribeArgs::default(), false));
    let _ = std::fs::remove_dir_all(&folder);
    let mut frames = frames?;
    for (frame, (name, _, class)) in frames.frames.iter_mut().zip(REAL) {
        frame.label = Some(class);
        frame.origin = name.into();
    }
    Ok(frames)
}

/// Real and simulated frames, mixed; each module is one of the detectors.
fn bundled(seed: u64) -> Result<Frames> {
    let simulator = Simulator::with_detector(seed, Mix::Natural, Detector::Eiger1M);
    let mut frames = real()?;
    frames.append(simulated(&simulator, SIMULATED)?)?;
    // Spread the real ones over the run.
    let every = frames.frames.len() / REAL.len();
    for i in 0..REAL.len() {
        frames.frames.swap(i, i * every + every / 2);
    }
    Ok(frames)
}

/// Runs the command.
pub fn run(args: &DemoArgs) -> Result<()> {
    let bytes = model::bytes(args.filter.model.as_deref())?;
    let level = args.filter.level()?;
    let model = model::parse_for(&bytes, args.filter.model.as_deref(), level)?;
    let policy = args.filter.policy(&model);
    let schedule = Schedule::steady(args.rate)?;

    say!(
        "hitgate {}: an emulated detector, a ring in memory, the filter",
        env!("CARGO_PKG_VERSION")
    );
    let frames = bundled(args.seed)?;
    let compressed = frames.compressed();
    say!(
        "source     {} real and {SIMULATED} simulated frames of {} detectors, over and over at {} Hz",
        REAL.len(),
        frames.modules.len(),
        args.rate
    );
    say!(
        "filter     MobileNet-V1 int8, {:.1} million multiply-adds, on {}; keeps P(hit) + P(maybe) ≥ {:.4}",
        model.multiply_adds() as f64 / 1e6,
        level.name(),
        report::probability(policy.threshold)
    );

    let prepared = prepare(&frames.modules, &model, None)?;
    let preparations: Vec<_> = prepared.iter().map(Prepared::preparation).collect();
    let mut memory = FilterMemory::new(&model, level, &preparations);
    let cpu = memory.cpu(&model, level, &preparations)?;
    let identity = identity(&bytes, &frames.modules, &policy, None, None)?;

    let layout = Layout::new(SLOTS, frames.stride()?, SLOTS)?;
    let ring = Ring::anonymous(&layout, 1)?;
    let mut writer = ring.writer()?;
    let monitor = ring.monitor()?;
    let stop = interrupt::watched()?;
    let (link, sink) = sink(&layout, Outputs::default(), None);
    let traffic = sink.traffic();
    let mut pipeline = Pipeline::new(ring.reader()?, cpu, policy, link, identity);

    let of = |record: &Record| {
        (record.pulse_key.saturating_sub(1) % frames.frames.len() as u64) as usize
    };
    let mut agreement = Agreement::default();
    let mut offered = Traffic::default();
    let mut kept = Traffic::default();
    let mut node = Watched::new(|record: &Record| {
        let frame = &frames.frames[of(record)];
        let (raw, packed) = (frame.slot.payload().len() as u64, compressed[of(record)]);
        offered.add(raw, packed);
        if record.verdict().keeps() {
            kept.add(raw, packed);
        }
        if let Some(label) = frame.label {
            agreement.add(label, record);
        }
    });

    let progress = Progress::start("filtering", args.frames);
    let start_ns = MonotonicClock.now_ns();
    let (fed, judged, sent, accounts, interrupted) = std::thread::scope(|scope| {
        let feeding = scope.spawn(|| {
            let fed = feed(
                &mut writer,
                &mut Native,
                &frames,
                args.frames,
                Some(schedule),
                &stop,
            );
            writer.close();
            fed.map(|()| (writer.produced(), writer.stalls()))
        });
        let sinking = scope.spawn(|| sink.run());
        scope.spawn(|| progress.follow(|| monitor.consumer().map_or(0, |consumer| consumer.taken)));
        let source_lives = || !feeding.is_finished();
        let judged = judge(
            &mut pipeline,
            &mut node,
            SILENCE,
            &stop,
            source_lives,
            |_| ControlFlow::Continue(()),
        );
        // Where judging ended early, nobody takes frames any more.
        let interrupted = stop.swap(true, Ordering::Relaxed);
        progress.finish();
        let (_, _, link, accounts) = pipeline.into_parts();
        drop(link);
        (
            feeding.join(),
            judged,
            sinking.join(),
            accounts,
            interrupted,
        )
    });
    let seconds = (MonotonicClock.now_ns() - start_ns) as f64 / 1e9;
    let latencies = node.latencies;
    let (Ok(fed), Ok(sent)) = (fed, sent) else {
        bail!("a thread of the demo stopped unexpectedly")
    };
    judged?;
    let (produced, stalls) = fed?;
    sent?;
    let sent = traffic.frames.get();

    say!(
        "\nframes     {produced} in {seconds:.1} s, {stalls} stalls (the ring was full), {} sent on",
        sent
    );
    say_on!("{}", report::accounts(&accounts));
    say!(
        "link       raw {} of {} ({} saved), LZ4 {} of {} ({} saved)",
        report::bytes(kept.raw),
        report::bytes(offered.raw),
        percent(offered.raw - kept.raw, offered.raw),
        report::bytes(kept.packed),
        report::bytes(offered.packed),
        percent(offered.packed - kept.packed, offered.packed),
    );
    say_on!("{}", report::latencies(&latencies));
    say_on!("{}", report::agreement(&agreement));
    let left = produced - accounts.received;
    if !accounts.balance() || sent != accounts.kept() || (left > 0 && !interrupted) {
        bail!("the books do not balance: please report this with the lines above");
    }
    match interrupted {
        true => Err(Interrupted { left }.into()),
        false => Ok(()),
    }
}

/// Bytes on a link, as they are and compressed.
#[derive(Clone, Copy, Default)]
struct Traffic {
    raw: u64,
    packed: u64,
}

impl Traffic {
    fn add(&mut self, raw: u64, packed: u64) {
        self.raw += raw;
        self.packed += packed;
    }
}
