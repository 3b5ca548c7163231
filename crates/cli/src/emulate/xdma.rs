//! An XDMA that streams frames, each with its end-of-frame metadata.

use std::collections::HashMap;

use anyhow::Result;
use hitgate_adapters::trailer::TRAILER_LEN;
use hitgate_adapters::xdma::{Behind, DMA_OFFSET, Stream, result, trailer};
use hitgate_core::frame::FrameHeader;
use hitgate_host::HostError;
use hitgate_ring::{SLOT_BODY_OFFSET, Slot};

use crate::emulate::parts;
use crate::feeder::Engine;
use crate::slot::SlotFrame;

/// Bytes of a slot before and behind the pixels.
pub const AROUND: usize = DMA_OFFSET + TRAILER_LEN;

/// One card; each module is a channel of its own.
#[derive(Default)]
pub struct Card {
    streams: HashMap<u16, Stream>,
}

impl Engine for Card {
    fn fill(
        &mut self,
        slot: &mut Slot<'_, '_>,
        frame: &SlotFrame,
        edit: &dyn Fn(&mut FrameHeader),
    ) -> Result<()> {
        let (mut header, shape, pixels) = parts(frame)?;
        edit(&mut header);
        // The device: its clock is ours.
        header.source_ticks = header.arrival_ns;
        let behind = trailer(&header, pixels.len() as u64);
        slot.write(DMA_OFFSET, pixels)?;
        slot.write(DMA_OFFSET + pixels.len(), &behind.to_bytes())?;
        let result = result((pixels.len() + TRAILER_LEN) as u32);
        // The adapter: it reads what was written, and nothing else.
        let stream = (self.streams)
            .entry(header.module_id)
            .or_insert_with(|| Stream::new(shape, Behind::Trailer, header.module_id));
        let body = slot.body().ok_or(HostError::FreeRunning)?;
        let buffer = &body[DMA_OFFSET - SLOT_BODY_OFFSET..];
        if let Some(made) = stream.frame(&result, buffer, header.arrival_ns) {
            slot.write(0, &made.seal())?;
        }
        Ok(())
    }
}
