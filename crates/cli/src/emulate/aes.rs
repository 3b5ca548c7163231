//! A PCIe card with aes-stream-drivers, by the layout of its buffers.

use std::collections::HashMap;

use anyhow::Result;
use hitgate_adapters::aes::{
    Completion, DMA_OFFSET, DmaReadData, Lane, PAYLOAD_OFFSET, TIMING_HEADER_LEN, timing_header,
};
use hitgate_core::frame::FrameHeader;
use hitgate_host::HostError;
use hitgate_ring::{SLOT_BODY_OFFSET, Slot};

use crate::emulate::parts;
use crate::feeder::Engine;
use crate::slot::SlotFrame;

/// Bytes of a slot before the pixels.
pub const LEAD: usize = PAYLOAD_OFFSET;

/// One card; each module is a destination of its own.
#[derive(Default)]
pub struct Card {
    lanes: HashMap<u16, Lane>,
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
        // The device: its clock is ours, its only readout group the first.
        header.source_ticks = header.arrival_ns;
        header.readout_groups = 1;
        slot.write(DMA_OFFSET, &timing_header(&header).to_bytes())?;
        slot.write(PAYLOAD_OFFSET, pixels)?;
        let size = (TIMING_HEADER_LEN + pixels.len()) as u32;
        let read = DmaReadData {
            dest: header.module_id.into(),
            index: (slot.seq().position() % 1024) as u32,
            size,
            ret: size as i32,
            ..DmaReadData::default()
        };
        // The adapter: it reads what was written, and nothing else.
        let lane = (self.lanes)
            .entry(header.module_id)
            .or_insert_with(|| Lane::new(shape));
        let body = slot.body().ok_or(HostError::FreeRunning)?;
        let buffer = &body[DMA_OFFSET - SLOT_BODY_OFFSET..];
        let made = lane.frame(&Completion::from(&read), buffer, 0, header.arrival_ns);
        slot.write(0, &made.seal())?;
        Ok(())
    }
}
