//! Stages by themselves, again and again.

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use hitgate_core::frame::{Frame, FrameHeader, PixelType};
use hitgate_core::net::{Arena, Plan};
use hitgate_core::prep::Preparation;
use hitgate_formats::bitshuffle;
use hitgate_host::MonotonicClock;

use super::cache::Cache;
use super::floor::Meter;
use super::panel::{RawWords, View};
use super::path::WARM_UP;
use super::subject::{Network, Subject};
use crate::model;
use crate::progress::Progress;
use crate::slot::SlotFrame;
use crate::tally::histogram;

/// How often, and what is told of it.
pub struct Times<'t> {
    /// Frames that are timed.
    pub frames: u64,
    /// Called once everything is set up.
    pub start: &'t dyn Fn(),
    /// Told of every frame.
    pub progress: &'t Progress,
    /// Looks between frames at what the core can do.
    pub meter: &'t Meter,
}

impl Times<'_> {
    fn of(&self, mut work: impl FnMut(usize) -> Result<()>) -> Result<Histogram<u64>> {
        let mut latencies = histogram();
        for turn in 0..WARM_UP + self.frames {
            if turn == WARM_UP {
                (self.start)();
            }
            let started_ns = MonotonicClock.now_ns();
            work(turn as usize)?;
            let taken_ns = MonotonicClock.now_ns() - started_ns;
            if turn >= WARM_UP {
                latencies.saturating_record(taken_ns);
            }
            self.progress.advance();
            self.meter.after(turn);
        }
        Ok(latencies)
    }
}

/// The network on one map: weights and activations lie where the last turn left them. No row of the map is empty,
/// so that the network does all of its work.
pub fn net(subject: &Subject, times: &Times<'_>) -> Result<Histogram<u64>> {
    let bytes = subject.preparations()[View::Whole as usize].map_bytes();
    let map: Vec<u8> = (0..bytes).map(|i| 1 + (i % 127) as u8).collect();
    match &subject.network {
        Network::Native { bytes, .. } => {
            let model = model::parse(bytes, None)?;
            let memory = Plan::memory(&model, subject.level);
            let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
            let plan = Plan::new(&model, subject.level, &mut packed)?;
            let mut arena = Arena::new(&mut arena);
            times.of(|_| {
                std::hint::black_box(plan.infer(&mut arena, &map)?);
                Ok(())
            })
        }
        Network::Float { net, .. } => times.of(|_| {
            std::hint::black_box(net.logits(&map)?);
            Ok(())
        }),
    }
}

/// The network on batches of maps that the GPU has already, whatever they are: no work of it hangs on them. By its own clock.
pub fn net_on_gpu(subject: &Subject, times: &Times<'_>) -> Result<Histogram<u64>> {
    let model = model::parse(subject.network.file(), None)?;
    let mut maps = subject.hardware.maps(&model, subject.batch as u32)?;
    let mut taken = histogram();
    (times.start)();
    for turn in 0..WARM_UP + times.frames {
        let taken_ns = maps.time()?;
        if turn >= WARM_UP {
            taken.saturating_record(taken_ns);
        }
        times.progress.advance();
    }
    Ok(taken)
}

/// Frames as they are sent, one after another.
pub struct Compressed {
    chunks: Vec<Vec<u8>>,
}

impl Compressed {
    /// Packs the frames with bitshuffle and LZ4.
    pub fn new(subject: &Subject) -> Self {
        let pack = |frame: &SlotFrame| bitshuffle::encode(PixelType::U16.size(), frame.payload());
        Compressed {
            chunks: subject.panel.frames.iter().map(pack).collect(),
        }
    }

    /// Bytes of a frame, the mean.
    pub fn bytes(&self) -> u64 {
        let total: usize = self.chunks.iter().map(Vec::len).sum();
        (total / self.chunks.len().max(1)) as u64
    }

    /// Compressed frame → pixels.
    pub fn decode(
        &self,
        subject: &Subject,
        cache: Cache,
        times: &Times<'_>,
    ) -> Result<Histogram<u64>> {
        let chunks = cache.rotation(&self.chunks);
        let mut pixels = vec![0; subject.panel.pixels() * PixelType::U16.size()];
        let mut decoder = bitshuffle::Decoder::default();
        times.of(|turn| {
            let chunk = &chunks[turn % chunks.len()];
            Ok(decoder.decode(PixelType::U16.size(), chunk, &mut pixels)?)
        })
    }
}

/// Raw words → map, with pedestals and gains on the way: the preparation of an integrating detector.
pub fn correct(
    subject: &Subject,
    raw: &RawWords,
    view: View,
    cache: Cache,
    times: &Times<'_>,
) -> Result<Histogram<u64>> {
    let correction = raw.correction().context("the maps are too short")?;
    let preparation = Preparation {
        corrections: &[correction],
        saturation: u32::MAX,
        ..subject.preparations()[view as usize].clone()
    };
    let (rows, columns) = subject.panel.modules[view as usize].shape()?;
    let header = FrameHeader::new(rows, columns, PixelType::U16);
    let mut map = vec![0; preparation.map_bytes()];
    let mut words = vec![0; preparation.words()];
    let frames = cache.rotation(&raw.frames);
    times.of(|turn| {
        let frame = Frame {
            header,
            pixel_type: PixelType::U16,
            payload: &frames[turn % frames.len()],
        };
        preparation.run(subject.level, &frame, &mut words, &mut map)?;
        Ok(())
    })
}
