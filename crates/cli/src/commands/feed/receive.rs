//! UDP packets of an SLS module into a ring: what the command line says of them, and the loop.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use hitgate_adapters::sls::{BunchId, Detector, Module};
use hitgate_core::frame::{PixelType, flags};
use hitgate_host::{Backoff, MonotonicClock, SlsReceiver};
use hitgate_ring::Writer;

use crate::emulate::sls::{Sent, pixel_type};
use crate::module::{self, pixel_type_name};
use crate::open::DescribeArgs;

const HEADING: &str = "UDP packets of an SLS detector";

/// Where packets come, and of which module.
#[derive(Args, Debug)]
pub struct ReceiveArgs {
    /// Receive the packets that a module sends to this address, in place of playing frames
    #[arg(
        long = "sls-udp",
        value_name = "ADDRESS:PORT",
        conflicts_with_all = ["files", "simulate", "emulate", "rate"],
        help_heading = HEADING
    )]
    pub address: Option<SocketAddr>,
    /// What sends them: jungfrau (a module by one port), eiger (a quarter of a module, 16 bits, 10
    /// Gbit/s), moench
    #[arg(long, value_name = "NAME", default_value = "jungfrau", value_parser = detector, help_heading = HEADING)]
    detector: Detector,
    /// How its 16 bits are to be read: u16, or i16 where they are photons. Of a JUNGFRAU or a MOENCH u16
    /// are raw words, which are judged with --raw alone: else all frames are kept
    #[arg(long, value_name = "TYPE", default_value = "u16", value_parser = pixel_type, help_heading = HEADING)]
    pixels: PixelType,
    /// The module's number; packets of others are left out, and counted
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u16).range(..1024), help_heading = HEADING)]
    module: u16,
    /// Modules that make one frame of the detector: with more than one, each frame is a vote, and kept
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..), help_heading = HEADING)]
    modules: u16,
    /// What the bunch id (detSpec1) is, which packets do not say
    #[arg(long, value_name = "TYPE", default_value = "u64", help_heading = HEADING)]
    bunch_id: BunchIdArg,
    /// Finish a frame without its missing packets once nothing has come for so many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=2000), help_heading = HEADING)]
    frame_timeout: u64,
    /// End once nothing has come for so many seconds, counted from the first frame
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..), requires = "address", help_heading = HEADING)]
    quiet: Option<u64>,
}

/// How 64 bits are to be read.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum BunchIdArg {
    /// An integer
    U64,
    /// The bits of a double
    F64,
}

/// The detector called `name`.
fn detector(name: &str) -> Result<Detector, String> {
    let found = Detector::ALL.into_iter().find(|of| of.name == name);
    found.ok_or_else(|| format!("there are {}", Detector::ALL.map(|of| of.name).join(", ")))
}

impl ReceiveArgs {
    /// The module whose packets are taken. The filter makes photons of its words where they are `raw`; no verdict
    /// on raw words of another would be one, so every frame of those is kept.
    ///
    /// # Errors
    /// Where there can be no raw words.
    pub fn module(&self, raw: bool) -> Result<Module> {
        if raw && !self.are_raw() {
            bail!(
                "--raw: {} pixels of a {} are no raw words, leave it out",
                pixel_type_name(self.pixels),
                self.detector.name
            );
        }
        Ok(Module {
            detector: self.detector,
            id: self.module,
            modules: self.modules,
            pixel_type: self.pixels,
            bunch_id: match self.bunch_id {
                BunchIdArg::U64 => BunchId::Integer,
                BunchIdArg::F64 => BunchId::Double,
            },
            flags: match self.are_raw() && !raw {
                true => flags::KEEP_RAW,
                false => 0,
            },
        })
    }

    /// Whether the pixels are an integrating detector's raw words.
    pub fn are_raw(&self) -> bool {
        self.detector != Detector::EIGER && self.pixels == PixelType::U16
    }

    /// What the filter has to know of it.
    pub fn describe(&self, describe: &DescribeArgs, raw: bool) -> Result<module::Module> {
        let Detector {
            name,
            rows,
            columns,
            ..
        } = self.detector;
        describe.module(name, rows, columns, pixel_type_name(self.pixels), raw)
    }

    /// How long nothing may come while a frame is open.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.frame_timeout)
    }

    /// How long nothing may come.
    pub fn quiet(&self) -> Option<Duration> {
        self.quiet.map(Duration::from_secs)
    }
}

/// When receiving ends, besides Ctrl-C.
pub struct Until<'a> {
    /// With so many frames.
    pub frames: Option<u64>,
    /// Once the source has ended, and what it sent has been received.
    pub source_ended: Option<&'a AtomicBool>,
    /// Once nothing came for this long after a frame.
    pub quiet: Option<Duration>,
}

/// Receives frames into the ring. Where it is full, packets wait in the kernel, as long as there is room.
pub fn receive(
    writer: &mut Writer<'_>,
    receiver: &mut SlsReceiver,
    until: &Until<'_>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut backoff = Backoff::new();
    let mut frames = 0;
    let mut heard: Option<Instant> = None;
    while !stop.load(Ordering::Relaxed) && until.frames.is_none_or(|count| frames < count) {
        writer.heartbeat(MonotonicClock.now_ms());
        // Asked before listening: what was sent until then is heard.
        let ended = until
            .source_ended
            .is_some_and(|ended| ended.load(Ordering::Acquire));
        let Some(mut slot) = writer.reserve()? else {
            backoff.wait();
            continue;
        };
        backoff.reset();
        if let Some(gap) = receiver.receive(&mut slot)? {
            slot.commit();
            if gap > 0 {
                writer.lose(gap);
            }
            frames += 1;
            heard = Some(Instant::now());
            continue;
        }
        let silent = |quiet| heard.is_some_and(|heard| heard.elapsed() > quiet);
        if ended || until.quiet.is_some_and(silent) {
            break;
        }
    }
    Ok(())
}

/// Says where the kernel has little room for packets that wait.
pub fn doubt_buffer(receiver: &SlsReceiver, module: &Module) {
    let room = receiver.receive_buffer();
    // The kernel counts its own overhead, about as much again.
    let frames = room / (2 * module.detector.bytes());
    if frames < 4 {
        tell!(
            "hitgate: the system gives this socket {room} bytes for packets that wait, about {frames} frames: raise net.core.rmem_max where packets are lost"
        );
    }
}

/// The lines of what was received.
pub fn received(receiver: &SlsReceiver) -> String {
    let (counts, traffic) = (receiver.counts(), receiver.traffic());
    format!(
        "packets    {} placed ({} in another place than expected, {} kept aside), {} lost, {} repeated, {} late, {} of others\n",
        counts.placed,
        traffic.moved,
        traffic.aside,
        counts.lost,
        counts.repeated,
        counts.late,
        counts.foreign
    )
}

/// The lines of what was sent.
pub fn sent(sent: &Sent) -> String {
    format!(
        "sent       {} frames in {} packets; {} more lost on the emulated way\n",
        sent.frames, sent.packets, sent.lost
    )
}
