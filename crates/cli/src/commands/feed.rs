//! `hitgate feed`: an emulated detector, or a real one's UDP packets, into a ring.

mod receive;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use hitgate_host::{Backoff, Creation, HostError, MonotonicClock, Ring, Schedule, SlsReceiver};
use hitgate_ring::{Consumer, Layout, Policy, State, Writer};

use crate::description::{self, Description};
use crate::emulate::sls::{Emulator, NetworkArgs};
use crate::emulate::{self, Interface};
use crate::feeder::{Engine, Native, feed};
use crate::frames::Frames;
use crate::interrupt::{self, Interrupted};
use crate::judge::SILENCE;
use crate::module::Module;
use crate::open::DescribeArgs;
use crate::progress::Progress;
use crate::ring_path::RingArg;
use crate::simulation::SimulatedArgs;
use crate::slot::stride;

use receive::{ReceiveArgs, Until, receive};

/// Play frames into a ring, as a detector's DMA engine would, or receive a detector's UDP packets
#[derive(Args, Debug)]
#[command(after_help = "\
Examples (the second in another terminal):
  hitgate feed --simulate jungfrau-module --frames 100000 --rate 200
  hitgate run --keep kept.slots --records records.jsonl

  hitgate feed run.h5 --frames 5000 --rate 133 --burst 16 --ring /dev/shm/eiger
  hitgate feed run.h5 --frames 5000 --rate 2000 --free-running
  hitgate feed raw.npy --raw --frames 5000 --rate 100    # for `run --pedestal`
  hitgate feed --simulate eiger1m --compress             # bitshuffle-LZ4, as DECTRIS detectors send

Vendors' interfaces, emulated, and a JUNGFRAU module's own packets:
  hitgate feed --simulate jungfrau-module --emulate sls-udp --loss 0.001 --rate 100
  hitgate feed --simulate jungfrau-module --emulate sls-udp=10.1.1.2:50001 --rate 100
  hitgate feed --simulate eiger1m --emulate aes --frames 1000
  hitgate feed --sls-udp 10.1.1.2:50001 --beam-center 512,-20 --distance 100 --wavelength 1.3 --pixel 0.075

The ring and RING.json, which tells `run` the geometry and the mask, are removed at the end, and on
Ctrl-C. Frames are numbered anew; of a kept slot's header nothing else changes. UDP waits for nobody:
what finds the ring and the socket full is lost, frames with lost packets are kept, and both are counted.")]
pub struct FeedArgs {
    /// Files of frames to play, or kept slots that `run --keep` wrote
    files: Vec<PathBuf>,
    #[command(flatten)]
    simulated: SimulatedArgs,
    #[command(flatten)]
    ring: RingArg,
    /// Frames to play in all; those there are, over and over [default: each once]. Frames to receive,
    /// where packets are received [default: until Ctrl-C]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    frames: Option<u64>,
    /// Frames a second; as fast as the ring takes them if left out
    #[arg(long, value_name = "HZ")]
    rate: Option<f64>,
    /// Frames that come at once, the rate being the mean
    #[arg(long, value_name = "N", requires = "rate")]
    burst: Option<u32>,
    /// Wait for nobody, as a device without credit: a slow reader is lapped, and loses frames
    #[arg(long, requires = "rate", conflicts_with_all = ["emulate", "sls_udp"])]
    free_running: bool,
    /// Slots of the ring
    #[arg(long, value_name = "N", default_value_t = 64)]
    slots: u32,
    /// Put the new ring in the place of one that a killed `feed` left behind
    #[arg(long)]
    replace: bool,
    /// Play by way of a vendor's interface, and through its adapter into the ring: `sls-udp`, `aes` or
    /// `xdma`. `sls-udp=HOST:PORT` sends the packets there instead, and makes no ring
    #[arg(long, value_name = "INTERFACE", help_heading = emulate::sls::HEADING)]
    emulate: Option<Interface>,
    #[command(flatten)]
    network: NetworkArgs,
    #[command(flatten)]
    receive: ReceiveArgs,
    #[command(flatten)]
    describe: DescribeArgs,
    /// Pixels are raw words of an integrating detector, for `hitgate run --pedestal`: those of files go as they
    /// are, and frames that come in packets are judged
    #[arg(long, conflicts_with_all = ["simulate", "geometry"])]
    raw: bool,
    /// Compress frames with bitshuffle and LZ4 before they are played; RING.json tells `run`, which decodes them
    #[arg(long, conflicts_with_all = ["emulate", "sls_udp"])]
    compress: bool,
}

/// Runs the command.
pub fn run(args: &FeedArgs) -> Result<()> {
    if let Some(address) = args.receive.address {
        return from_detector(args, address);
    }
    let mut frames = match (&args.files[..], args.simulated.wanted()) {
        ([], false) => bail!(
            "nothing to feed: name files, or `--simulate DETECTOR`, or `--sls-udp ADDRESS` where packets come"
        ),
        (files, false) => Frames::from_files(files, &args.describe, args.raw)?,
        ([], true) if args.describe != DescribeArgs::default() => bail!(
            "geometry and mask are said of files: a simulated detector has its own, leave them out"
        ),
        ([], true) => args.simulated.frames()?,
        (_, true) => bail!("either files or --simulate: one of the two"),
    };
    if args.compress {
        frames.compress()?;
    }
    let schedule = match (args.rate, args.burst) {
        (None, _) => None,
        (Some(hz), None) => Some(Schedule::steady(hz)?),
        (Some(hz), Some(burst)) => Some(Schedule::bursts(hz, burst)?),
    };
    let count = args.frames.unwrap_or(frames.frames.len() as u64);
    match args.emulate {
        None => play(args, &frames, count, schedule, &mut Native, 0),
        Some(Interface::Aes) => {
            let mut card = emulate::aes::Card::default();
            play(
                args,
                &frames,
                count,
                schedule,
                &mut card,
                emulate::aes::LEAD,
            )
        }
        Some(Interface::Xdma) => {
            let mut card = emulate::xdma::Card::default();
            play(
                args,
                &frames,
                count,
                schedule,
                &mut card,
                emulate::xdma::AROUND,
            )
        }
        Some(Interface::SlsUdp(to)) => {
            let emulator = Emulator {
                module: emulate::sls::module(&frames)?,
                frames: &frames,
                count,
                schedule,
                network: args.network,
                seed: args.simulated.seed(),
            };
            match to {
                Some(to) => send(&emulator, to),
                None => over_the_loopback(args, &emulator),
            }
        }
    }
}

/// Plays frames through `engine`, which needs up to `around` bytes of a slot besides the pixels.
fn play(
    args: &FeedArgs,
    frames: &Frames,
    count: u64,
    schedule: Option<Schedule>,
    engine: &mut dyn Engine,
    around: usize,
) -> Result<()> {
    let stride = stride(frames.stride()? as usize + around)?;
    fill_ring(args, &frames.modules, stride, count, |writer, stop| {
        feed(writer, engine, frames, count, schedule, stop)
    })
}

/// Sends a detector's packets to a receiver elsewhere.
fn send(emulator: &Emulator<'_>, to: SocketAddr) -> Result<()> {
    let stop = interrupt::watched()?;
    let sent = emulator.send(to, &stop)?;
    say_on!("{}", receive::sent(&sent));
    if sent.refused > 0 {
        bail!("{} packets found nobody listening at {to}", sent.refused);
    }
    match stop.load(Ordering::Relaxed) {
        true => Err(Interrupted { left: 0 }.into()),
        false => Ok(()),
    }
}

/// Sends a detector's packets over the loopback, and receives them.
fn over_the_loopback(args: &FeedArgs, emulator: &Emulator<'_>) -> Result<()> {
    let patience = args.receive.patience();
    let mut receiver = SlsReceiver::bind(([127, 0, 0, 1], 0).into(), emulator.module, patience)?;
    let to = receiver.address()?;
    let modules = &emulator.frames.modules;
    let stride = stride(emulator.module.slot_bytes())?;
    fill_ring(args, modules, stride, emulator.count, |writer, stop| {
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let sending = scope.spawn(|| {
                let sent = emulator.send(to, stop);
                done.store(true, Ordering::Release);
                sent
            });
            let until = Until {
                frames: None,
                source_ended: Some(&done),
                quiet: None,
            };
            let received = receive(writer, &mut receiver, &until, stop);
            let Ok(result) = sending.join() else {
                bail!("the emulated detector stopped unexpectedly")
            };
            say_on!("{}", receive::sent(&result?));
            say_on!("{}", receive::received(&receiver));
            received
        })
    })
}

/// Receives a detector's packets.
fn from_detector(args: &FeedArgs, address: SocketAddr) -> Result<()> {
    let module = args.receive.module(args.raw)?;
    let described = args.receive.describe(&args.describe, args.raw)?;
    // The module's number selects its preparation; those before it are as good a guess as any.
    let modules = vec![described; usize::from(module.id) + 1];
    let mut receiver = SlsReceiver::bind(address, module, args.receive.patience())?;
    receive::doubt_buffer(&receiver, &module);
    if args.receive.are_raw() && !args.raw {
        tell!(
            "hitgate: raw words of a {} are not judged, every frame is kept; with --raw `hitgate run --pedestal` judges them",
            module.detector.name
        );
    }
    let stride = stride(module.slot_bytes())?;
    let total = args.frames.unwrap_or(0);
    fill_ring(args, &modules, stride, total, |writer, stop| {
        let until = Until {
            frames: args.frames,
            source_ended: None,
            quiet: args.receive.quiet(),
        };
        let received = receive(writer, &mut receiver, &until, stop);
        say_on!("{}", receive::received(&receiver));
        received
    })
}

/// Makes the ring, has it filled, and stays until what is in it is judged.
fn fill_ring(
    args: &FeedArgs,
    modules: &[Module],
    stride: u32,
    total: u64,
    fill: impl FnOnce(&mut Writer<'_>, &AtomicBool) -> Result<()>,
) -> Result<()> {
    let policy = match args.free_running {
        true => Policy::FreeRunning,
        false => Policy::Credit,
    };
    let layout = Layout::new(args.slots, stride, args.slots)?.with_policy(policy);
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
        modules: modules.to_vec(),
    };
    let mut writer = ring.writer()?;
    // Whoever finds the description finds that somebody is here.
    writer.heartbeat(MonotonicClock.now_ms());
    description.write(&path)?;
    let monitor = ring.monitor()?;

    let is_absent = |reader: Consumer| reader.state == State::Absent;
    if monitor.consumer().is_none_or(is_absent) {
        tell!(
            "hitgate: {} is ready; once its {} slots are full, {}",
            path.display(),
            args.slots,
            match policy {
                Policy::Credit => "waiting for `hitgate run` to read them",
                Policy::FreeRunning => "the oldest frames are overwritten, read or not",
            }
        );
    }
    let progress = Progress::start(&format!("feeding {}", path.display()), total);
    let fed = std::thread::scope(|scope| {
        scope.spawn(|| progress.follow(|| monitor.source().map_or(0, |source| source.produced)));
        let fed = fill(&mut writer, &stop);
        writer.close();
        progress.finish();
        fed
    });
    fed?;

    // The reader still works on the last slots: the ring stays until they are judged, and what was kept of
    // them is written.
    let mut backoff = Backoff::new();
    let left = || {
        let done = monitor.consumer().map_or(0, |consumer| match policy {
            Policy::Credit => consumer.returned,
            Policy::FreeRunning => consumer.taken,
        });
        writer.produced() - done.min(writer.produced())
    };
    let mut patience = Some(Instant::now());
    while left() > 0 && !stop.load(Ordering::Relaxed) {
        writer.heartbeat(MonotonicClock.now_ms());
        if patience
            .take_if(|since| since.elapsed() > SILENCE)
            .is_some()
        {
            tell!(
                "hitgate: all frames are fed, and {} wait in {} for `hitgate run`; Ctrl-C gives them up",
                left(),
                path.display()
            );
        }
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
