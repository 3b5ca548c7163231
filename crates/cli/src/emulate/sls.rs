//! An SLS detector: sends its frames as UDP packets, and waits for nobody.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use clap::Args;
use hitgate_adapters::sls::{BunchId, Detector, Module, PACKET_HEADER_LEN};
use hitgate_core::frame::{FrameHeader, PixelType};
use hitgate_host::{MonotonicClock, Pacer, Schedule};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::emulate::parts;
use crate::frames::Frames;

/// What a bad network does to packets.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct NetworkArgs {
    /// Share of the packets that the emulated network loses; which ones is drawn from --seed
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, requires = "emulate", help_heading = HEADING)]
    loss: f64,
    /// Share of the packets that up to eight others overtake
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, requires = "emulate", help_heading = HEADING)]
    reorder: f64,
    /// Share of the packets that come twice
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = share, requires = "emulate", help_heading = HEADING)]
    duplicate: f64,
}

/// The heading of what emulates an interface.
pub const HEADING: &str = "Emulated interfaces";

/// Packets that one can be held back by, at most.
const OVERTAKE: u32 = 8;

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("a share from 0 to 1 is needed".into()),
    }
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Frames.
    pub frames: u64,
    /// Packets that left.
    pub packets: u64,
    /// Packets that the emulated network lost.
    pub lost: u64,
    /// Packets that found nobody listening.
    pub refused: u64,
}

/// The module that sends these frames.
pub fn module(frames: &Frames) -> Result<Module> {
    let [described] = &frames.modules[..] else {
        bail!(
            "{} kinds of frames: an SLS module sends one, so feed frames of one detector",
            frames.modules.len()
        );
    };
    let pixel_type = described.pixel_type()?;
    let shape = described.shape()?;
    let fits = |detector: &&Detector| (detector.rows, detector.columns) == shape;
    match Detector::ALL.iter().find(fits) {
        Some(detector) if pixel_type.size() == 2 => Ok(Module {
            detector: *detector,
            id: 0,
            modules: 1,
            pixel_type,
            bunch_id: BunchId::Integer,
            flags: 0,
        }),
        _ => bail!(
            "frames of {} x {} {}: {} send 16 bits a pixel{}",
            described.columns,
            described.rows,
            described.pixel_type,
            Detector::ALL
                .map(|of| format!("{} ({} x {})", of.name, of.columns, of.rows))
                .join(", "),
            match fits(&&Detector::JUNGFRAU) {
                true => "; another --seed simulates them so",
                false => "",
            }
        ),
    }
}

/// A packet on its way.
struct Packet<'f> {
    header: [u8; PACKET_HEADER_LEN],
    pixels: &'f [u8],
}

/// Sends `count` frames of `module` to `to`, those of `frames` over and over, on schedule. Ends early
/// when `stop` is set.
pub struct Emulator<'f> {
    /// The frames.
    pub frames: &'f Frames,
    /// Who sends them.
    pub module: Module,
    /// Frames to send.
    pub count: u64,
    /// When each frame is due; as fast as the socket takes them if there is none.
    pub schedule: Option<Schedule>,
    /// What happens on the way.
    pub network: NetworkArgs,
    /// Which packets it happens to.
    pub seed: u64,
}

impl Emulator<'_> {
    /// Sends them.
    pub fn send(&self, to: SocketAddr, stop: &AtomicBool) -> Result<Sent> {
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => ([0; 4], 0).into(),
            SocketAddr::V6(_) => ([0u16; 8], 0).into(),
        };
        let socket = UdpSocket::bind(any)
            .and_then(|socket| socket.connect(to).map(|()| socket))
            .with_context(|| format!("cannot send to {to}"))?;
        let mut wire = Wire {
            socket,
            to,
            network: self.network,
            draw: ChaCha8Rng::seed_from_u64(self.seed),
            held: Vec::new(),
            buffer: Vec::new(),
            sent: Sent::default(),
        };
        let mut pacer = self.schedule.map(Pacer::start);
        let start = MonotonicClock.now_ns();
        let packets = self.module.detector.packets;
        let bytes = self.module.detector.packet_bytes();
        'frames: for index in 0..self.count {
            let frame = &self.frames.frames[index as usize % self.frames.frames.len()];
            let (header, _, pixels) = parts(&frame.slot)?;
            let header = FrameHeader {
                frame_number: index + 1,
                pulse_key: index + 1,
                // The detector's clock starts with it, in units of 100 ns.
                source_ticks: (MonotonicClock.now_ns() - start) / 100,
                ..header
            };
            // A frame's packets leave as fast as the wire takes them.
            if let Some(pacer) = &mut pacer {
                pacer.wait();
            }
            for (number, pixels) in (0..packets).zip(pixels.chunks_exact(bytes)) {
                if stop.load(Ordering::Relaxed) {
                    break 'frames;
                }
                let header = self.module.packet(&header, number).to_bytes();
                wire.carry(Packet { header, pixels })?;
            }
            wire.sent.frames += 1;
        }
        wire.let_go()?;
        Ok(wire.sent)
    }
}

/// The network.
struct Wire<'f> {
    socket: UdpSocket,
    to: SocketAddr,
    network: NetworkArgs,
    draw: ChaCha8Rng,
    /// Packets that are being overtaken, each by so many more.
    held: Vec<(u32, Packet<'f>)>,
    buffer: Vec<u8>,
    sent: Sent,
}

impl<'f> Wire<'f> {
    fn carry(&mut self, packet: Packet<'f>) -> Result<()> {
        let NetworkArgs {
            loss,
            reorder,
            duplicate,
        } = self.network;
        if self.draw.random_bool(loss) {
            self.sent.lost += 1;
        } else if self.draw.random_bool(reorder) {
            let by = self.draw.random_range(1..=OVERTAKE);
            self.held.push((by, packet));
            return Ok(());
        } else {
            self.put(&packet)?;
            if self.draw.random_bool(duplicate) {
                self.put(&packet)?;
            }
        }
        for (by, _) in &mut self.held {
            *by -= 1;
        }
        while let Some(due) = self.held.iter().position(|(by, _)| *by == 0) {
            let (_, packet) = self.held.remove(due);
            self.put(&packet)?;
        }
        Ok(())
    }

    /// Sends what is still held back.
    fn let_go(&mut self) -> Result<()> {
        for (_, packet) in std::mem::take(&mut self.held) {
            self.put(&packet)?;
        }
        Ok(())
    }

    fn put(&mut self, packet: &Packet<'_>) -> Result<()> {
        self.buffer.clear();
        self.buffer.extend_from_slice(&packet.header);
        self.buffer.extend_from_slice(packet.pixels);
        match self.socket.send(&self.buffer) {
            Ok(_) => self.sent.packets += 1,
            // What the receiver said of an earlier packet; this one is gone with it.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                self.sent.refused += 1;
            }
            Err(error) => {
                return Err(error).with_context(|| format!("cannot send to {}", self.to));
            }
        }
        Ok(())
    }
}

/// The pixel types that a module's 16 bits may be.
pub fn pixel_type(text: &str) -> Result<PixelType, String> {
    match text {
        "u16" => Ok(PixelType::U16),
        "i16" => Ok(PixelType::I16),
        _ => Err("u16 and i16 are possible".into()),
    }
}
