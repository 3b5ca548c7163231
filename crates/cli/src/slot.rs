//! A frame as it lies in a slot, and the one way into a ring.

use anyhow::{Context, Result, bail};
use hitgate_core::frame::{
    Compression, FrameHeader, HEADER_LEN, MAGIC, PAYLOAD_ALIGN, PixelType, VERSION,
};
use hitgate_formats::bitshuffle;
use hitgate_ring::{Slot, Writer};

use crate::module::Module;

/// Header and pixels of a frame, byte for byte as in a slot.
pub struct SlotFrame {
    bytes: Vec<u8>,
    /// Whether it was kept by a filter: then its header is the detector's own, not one made here.
    pub kept: bool,
}

impl SlotFrame {
    /// Pixels, row by row and little endian, under a fresh header: the first module, `number`.
    pub fn fresh(module: &Module, number: u64, pixels: &[u8]) -> Result<Self> {
        let (rows, columns) = module.shape()?;
        let header = FrameHeader {
            frame_number: number,
            ..FrameHeader::new(rows, columns, module.pixel_type()?)
        };
        let mut bytes = Vec::with_capacity(HEADER_LEN + pixels.len());
        bytes.extend_from_slice(&header.seal());
        bytes.extend_from_slice(pixels);
        Ok(SlotFrame { bytes, kept: false })
    }

    /// The same frame as a detector sends it that compresses: with bitshuffle and LZ4.
    ///
    /// # Errors
    /// Where its header is not sound, or it is compressed already.
    pub fn compressed(&self) -> Result<Self> {
        let parts = self.header().and_then(|header| {
            let pixels = self.pixels(&header)?;
            let size = PixelType::from_code(header.pixel_type)?.size();
            (header.compression() == Ok(None)).then_some((header, size, pixels))
        });
        let (header, size, pixels) = parts.context("only whole pixels can be compressed")?;
        let chunk = bitshuffle::encode(size, pixels);
        let compression = Some(Compression::BitshuffleLz4);
        let header = FrameHeader {
            payload_offset_64: (HEADER_LEN / PAYLOAD_ALIGN) as u16,
            ..header.with_payload(compression, u32::try_from(chunk.len())?)
        };
        Ok(SlotFrame {
            bytes: [&header.seal()[..], &chunk].concat(),
            kept: self.kept,
        })
    }

    /// A slot that was kept.
    pub const fn kept(bytes: Vec<u8>) -> Self {
        SlotFrame { bytes, kept: true }
    }

    /// The header, where it is sound.
    pub fn header(&self) -> Option<FrameHeader> {
        sound_header(&self.bytes)
    }

    /// The payload, where its header says; `None` where it reaches beyond what there is.
    pub fn pixels(&self, header: &FrameHeader) -> Option<&[u8]> {
        let start = usize::from(header.payload_offset_64) * PAYLOAD_ALIGN;
        self.bytes.get(start..header.slot_len())
    }

    /// What follows the header.
    pub fn payload(&self) -> &[u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }

    /// Header and pixels.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of a slot that it needs.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// The header of a slot, where its checksum holds and its layout is the one that we know.
pub fn sound_header(slot: &[u8]) -> Option<FrameHeader> {
    let bytes = slot.first_chunk::<HEADER_LEN>()?;
    let header = FrameHeader::from_bytes(bytes);
    let sound = header.magic == MAGIC && header.version == VERSION && header.seal() == *bytes;
    sound.then_some(header)
}

/// The stride of a ring for frames that need up to `largest` bytes: a multiple of 64.
pub fn stride(largest: usize) -> Result<u32> {
    match u32::try_from(largest.next_multiple_of(64)) {
        Ok(stride) => Ok(stride),
        Err(_) => bail!("a frame of {largest} bytes does not fit a slot: 4 GiB is the most"),
    }
}

/// Commits `frame` into the next free slot; `false` where the ring is full. `edit` may change a
/// header that is sound, which is then sealed again; any other goes in as it is.
pub fn put(
    writer: &mut Writer<'_>,
    frame: &SlotFrame,
    edit: impl FnOnce(&mut FrameHeader),
) -> Result<bool> {
    let Some(mut slot) = writer.reserve()? else {
        return Ok(false);
    };
    fill(&mut slot, frame, edit)?;
    slot.commit();
    Ok(true)
}

/// Writes `frame` into `slot`, for whoever commits it, edited as by [`put`].
pub fn fill(
    slot: &mut Slot<'_, '_>,
    frame: &SlotFrame,
    edit: impl FnOnce(&mut FrameHeader),
) -> Result<()> {
    slot.write(0, &frame.bytes)?;
    if let Some(mut header) = frame.header() {
        edit(&mut header);
        let mut sealed = header.seal();
        if (frame.len() + 1..=slot.stride()).contains(&header.slot_len()) {
            // It reached beyond the slot that it was kept in. In this longer slot it would be
            // whole, with bytes of another frame: it stays a fault.
            sealed[HEADER_LEN - 1] ^= 0xFF;
        }
        slot.write(0, &sealed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_core::frame::{Fault, Frame, PixelType, flags};
    use hitgate_host::Ring;
    use hitgate_ring::Layout;

    /// The slot that a reader sees.
    fn through_a_ring(frame: &SlotFrame, stride: u32, edit: fn(&mut FrameHeader)) -> Vec<u8> {
        let ring = Ring::anonymous(&Layout::new(2, stride, 2).unwrap(), 1).unwrap();
        let mut writer = ring.writer().unwrap();
        assert!(put(&mut writer, frame, edit).unwrap());
        let mut reader = ring.reader().unwrap();
        let batch = reader.read(1).unwrap();
        batch.front().unwrap().bytes().to_vec()
    }

    fn kept(header: FrameHeader, len: usize) -> Vec<u8> {
        let mut bytes = vec![7; len];
        bytes[..HEADER_LEN].copy_from_slice(&header.seal());
        bytes
    }

    #[test]
    fn a_kept_slot_goes_in_as_it_is_apart_from_the_rings_number() {
        let header = FrameHeader {
            seq: 1,
            frame_number: 77,
            pulse_key: 88,
            flags: flags::KEEP_RAW | flags::CALIBRATION,
            modules: 8,
            ..FrameHeader::new(2, 3, PixelType::U16)
        };
        let sound = kept(header, HEADER_LEN + 12);
        let mut torn = sound.clone();
        torn[73] ^= 1;
        for bytes in [sound, torn, vec![1; 50]] {
            let frame = SlotFrame::kept(bytes.clone());
            let mut slot = through_a_ring(&frame, 192, |_| ());
            slot.truncate(bytes.len());
            slot[8..16].copy_from_slice(&bytes[8..16]);
            assert_eq!(slot, bytes);
        }
    }

    #[test]
    fn only_a_sound_header_is_edited() {
        let sound = kept(FrameHeader::new(2, 3, PixelType::U8), HEADER_LEN + 6);
        let mut torn = sound.clone();
        torn[73] ^= 1;
        let number = |bytes| {
            let slot = through_a_ring(&SlotFrame::kept(bytes), 192, |h| h.frame_number = 5);
            Frame::parse(&slot)
                .map(|frame| frame.header.frame_number)
                .map_err(|(fault, _)| fault)
        };
        assert_eq!(number(sound), Ok(5));
        assert_eq!(number(torn), Err(Fault::HeaderCrc));
    }

    #[test]
    fn a_frame_that_left_its_slot_is_no_frame_in_a_longer_one() {
        let header = FrameHeader::new(10, 10, PixelType::U8);
        let frame = SlotFrame::kept(kept(header, 192));
        for stride in [192, 256, 1024] {
            let slot = through_a_ring(&frame, stride, |_| ());
            assert!(Frame::parse(&slot).is_err(), "a slot of {stride} bytes");
        }
    }
}
