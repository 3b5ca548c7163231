//! The emulated DMA engine: writes frames into a ring at a given rate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use hitgate_core::frame::{FrameHeader, HEADER_LEN, pulse_kind};
use hitgate_host::{Backoff, MonotonicClock, Pacer, Schedule};
use hitgate_ring::Writer;

use crate::frames::Frames;

/// Bytes of a slot for frames of up to `largest` bytes: header, pixels, a multiple of 64.
pub fn stride(largest: usize) -> Result<u32> {
    match u32::try_from((HEADER_LEN + largest).next_multiple_of(64)) {
        Ok(stride) => Ok(stride),
        Err(_) => bail!("a frame of {largest} bytes does not fit a slot: 4 GiB is the most"),
    }
}

/// The longest time without a heartbeat.
const SIGN_OF_LIFE: Duration = Duration::from_millis(500);

/// Plays `count` frames into the ring, those of `frames` over and over; a full ring is waited for,
/// and counted as a stall. Ends early when `stop` is set.
pub fn feed(
    writer: &mut Writer<'_>,
    frames: &Frames,
    count: u64,
    schedule: Option<Schedule>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut pacer = schedule.map(Pacer::start);
    let mut backoff = Backoff::new();
    let mut numbers = vec![0; frames.modules.len()];
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
        let module = &frames.modules[usize::from(frame.module)];
        numbers[usize::from(frame.module)] += 1;
        let header = FrameHeader {
            frame_number: numbers[usize::from(frame.module)],
            // The place in the run, by which kept frames and records find their origin.
            pulse_key: pulse + 1,
            pulse_kind: pulse_kind::SERIES,
            module_id: frame.module,
            ..FrameHeader::new(
                module.rows as u16,
                module.columns as u16,
                module.pixel_type()?,
            )
        };
        loop {
            writer.heartbeat(MonotonicClock.now_ms());
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let Some(mut slot) = writer.reserve()? else {
                backoff.wait();
                continue;
            };
            backoff.reset();
            let header = FrameHeader {
                arrival_ns: MonotonicClock.now_ns(),
                ..header
            };
            slot.write(HEADER_LEN, &frame.pixels)?;
            slot.write(0, &header.seal())?;
            slot.commit();
            break;
        }
    }
    Ok(())
}
