//! The C2H stream of a Xilinx XDMA: pixels, and behind them a [`trailer`](crate::trailer) or nothing.
//!
//! The engine writes at [`DMA_OFFSET`] of a slot, and a [`C2hResult`] beside it once the frame is whole.

use hitgate_core::frame::{FrameHeader, HEADER_LEN};
use hitgate_core::wire_struct;

use crate::trailer::{TRAILER_LEN, Trailer};
use crate::{Shape, Widened, status};

/// Where the engine starts to write in a slot: behind the frame's header.
pub const DMA_OFFSET: usize = HEADER_LEN;
/// Upper half of [`C2hResult::status`] of a result that the engine wrote.
pub const WRITE_BACK_MAGIC: u32 = 0x52B4;
/// Bit of [`C2hResult::status`]: the frame ends in this buffer.
pub const END_OF_PACKET: u32 = 1;
/// Bytes of a result.
pub const C2H_RESULT_LEN: usize = 32;

wire_struct! {
    /// What the engine writes back for each buffer of a stream.
    C2hResult, C2H_RESULT_LEN, {
        /// [`WRITE_BACK_MAGIC`] above, [`END_OF_PACKET`] below.
        0 status: u32,
        /// Bytes written.
        4 length: u32,
        /// Padding.
        8 reserved_0: u64,
        /// Padding.
        16 reserved_1: u64,
        /// Padding.
        24 reserved_2: u64,
    }
}

/// What follows the pixels in a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Nothing: frames are numbered as they come, from 1.
    Nothing,
    /// End-of-frame metadata.
    Trailer,
}

/// The frames of one channel.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    shape: Shape,
    behind: Behind,
    channel: u16,
    numbers: Widened<16>,
    frames: u64,
}

impl Stream {
    /// A stream of which no frame has come.
    pub const fn new(shape: Shape, behind: Behind, channel: u16) -> Self {
        Stream {
            shape,
            behind,
            channel,
            numbers: Widened::new(),
            frames: 0,
        }
    }

    /// Bytes that the engine writes for a frame.
    pub const fn buffer_bytes(&self) -> usize {
        let behind = match self.behind {
            Behind::Nothing => 0,
            Behind::Trailer => TRAILER_LEN,
        };
        self.shape.bytes() + behind
    }

    /// The header of the frame in `buffer`; `None` where the engine has not written the result yet.
    pub fn frame(
        &mut self,
        result: &C2hResult,
        buffer: &[u8],
        arrival_ns: u64,
    ) -> Option<FrameHeader> {
        if result.status >> 16 != WRITE_BACK_MAGIC {
            return None;
        }
        self.frames += 1;
        let length = result.length as usize;
        let written = length.min(buffer.len());
        let ends = result.status & END_OF_PACKET != 0;
        let fits = length == self.buffer_bytes() && written == length;
        let header = FrameHeader {
            frame_number: self.frames,
            module_id: self.channel,
            lane: self.channel.into(),
            arrival_ns,
            status: if ends { 0 } else { status::TRUNCATED }
                | if fits { 0 } else { status::LENGTH },
            ..self.shape.header(DMA_OFFSET, written)
        };
        let trailer = buffer[..written].get(self.shape.bytes()..);
        match (self.behind, trailer.and_then(|block| block.first_chunk())) {
            (Behind::Trailer, Some(block)) => Some(self.with(header, &Trailer::from_bytes(block))),
            // A frame without its metadata has no number of the source's.
            (Behind::Trailer, None) => Some(FrameHeader {
                frame_number: 0,
                ..header
            }),
            (Behind::Nothing, _) => Some(header),
        }
    }

    fn with(&mut self, header: FrameHeader, trailer: &Trailer) -> FrameHeader {
        let whole = trailer.bytes_written >= self.shape.bytes() as u64;
        let status = header.status | if whole { 0 } else { status::TRUNCATED };
        // A counter that may be damaged is not followed: it would make others look lost.
        let number = match status {
            0 => self.numbers.widen(trailer.frame_number.into()),
            _ => 0,
        };
        FrameHeader {
            status,
            ..trailer.enter(header, number)
        }
    }
}

/// The result of a whole frame of `length` bytes, for an engine that is emulated.
pub fn result(length: u32) -> C2hResult {
    C2hResult {
        status: WRITE_BACK_MAGIC << 16 | END_OF_PACKET,
        length,
        ..C2hResult::default()
    }
}

/// The trailer of a frame, for a device that is emulated: what [`Stream::frame`] reads, back.
pub fn trailer(frame: &FrameHeader, pixels: u64) -> Trailer {
    Trailer {
        flags: frame.source_word,
        psn: (frame.source_aux >> 32) as u32,
        crc: frame.source_aux as u32,
        timestamp_s: frame.source_ticks / 1_000_000_000,
        timestamp_ns: (frame.source_ticks % 1_000_000_000) as u32,
        bytes_written: pixels,
        frame_number: frame.frame_number as u16,
        metadata_s: frame.source_ticks / 1_000_000_000,
        metadata_ns: (frame.source_ticks % 1_000_000_000) as u32,
    }
}
