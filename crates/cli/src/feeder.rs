//! The emulated DMA engine: writes frames into a ring at a given rate.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use hitgate_core::frame::{FrameHeader, pulse_kind};
use hitgate_host::{Backoff, MonotonicClock, Pacer, Schedule};
use hitgate_ring::{Slot, Writer};

use crate::frames::Frames;
use crate::slot::{self, SlotFrame};

/// The longest time without a heartbeat.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);

/// What writes a frame into a slot as a device does.
pub trait Engine {
    /// Writes `frame`, whose header `edit` changes first where it is sound.
    fn fill(
        &mut self,
        slot: &mut Slot<'_, '_>,
        frame: &SlotFrame,
        edit: &dyn Fn(&mut FrameHeader),
    ) -> Result<()>;
}

/// A device that writes our own header.
pub struct Native;

impl Engine for Native {
    fn fill(
        &mut self,
        slot: &mut Slot<'_, '_>,
        frame: &SlotFrame,
        edit: &dyn Fn(&mut FrameHeader),
    ) -> Result<()> {
        slot::fill(slot, frame, edit)
    }
}

/// Plays `count` frames into the ring, those of `frames` over and over; a full ring is waited for,
/// and counted as a stall, while a free-running one is never full. Ends early when `stop` is set.
///
/// Frames are numbered anew, module by module. Of a kept frame's header nothing else changes, and
/// nothing at all where the header is not sound.
pub fn feed(
    writer: &mut Writer<'_>,
    engine: &mut dyn Engine,
    frames: &Frames,
    count: u64,
    schedule: Option<Schedule>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut pacer = schedule.map(Pacer::start);
    let mut backoff = Backoff::new();
    let mut numbers: HashMap<u16, u64> = HashMap::new();
    for pulse in 0..count {
        if let Some(pacer) = &mut pacer {
            // Between frames that are far apart the reader still hears that we are there.
            while pacer.remaining() > SIGN_OF_LIFE && !stop.load(Ordering::Relaxed) {
                writer.heartbeat(MonotonicClock.now_ms());
                std::thread::sleep(SIGN_OF_LIFE / 2);
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            pacer.wait();
        }
        let frame = &frames.frames[pulse as usize % frames.frames.len()];
        let module = frame.module.unwrap_or_else(|| {
            // A module that nobody described has to stay unknown among those of all files.
            let own = frame.slot.header().map_or(0, |header| header.module_id);
            own.max(frames.modules.len() as u16)
        });
        let number = numbers.entry(module).or_insert(0);
        *number += 1;
        let edit = |header: &mut FrameHeader| {
            header.module_id = module;
            header.frame_number = *number;
            if !frame.slot.kept {
                // The place in the run, by which kept frames and records find their origin.
                header.pulse_key = pulse + 1;
                header.pulse_kind = pulse_kind::SERIES;
                header.arrival_ns = MonotonicClock.now_ns();
            }
        };
        loop {
            writer.heartbeat(MonotonicClock.now_ms());
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            if let Some(mut slot) = writer.reserve()? {
                engine.fill(&mut slot, &frame.slot, &edit)?;
                slot.commit();
                backoff.reset();
                break;
            }
            backoff.wait();
        }
    }
    Ok(())
}
