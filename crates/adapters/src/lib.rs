#![no_std]
#![forbid(unsafe_code)]
//! What a vendor's readout says of a frame → the header that hitgate reads, and back for emulators.
//!
//! * [`sls`]: UDP packets of the SLS detectors (JUNGFRAU, EIGER, MOENCH), sorted into frames.
//! * [`aes`]: buffers of aes-stream-drivers, which begin with the LCLS-II timing header.
//! * [`xdma`]: the C2H stream of a Xilinx XDMA, alone or with a [`trailer`] behind the pixels.
//!
//! Pixels are not touched here. Each adapter says where in a slot the device has to write
//! ([`sls::PAYLOAD_OFFSET`], [`aes::DMA_OFFSET`], [`xdma::DMA_OFFSET`]), so that they already lie where
//! the [`FrameHeader`] says; what it makes is the 128 bytes at the slot's start.
//!
//! Bytes from a wire are not trusted: nothing here panics on any, and what contradicts itself
//! becomes a [`status`] bit or a length that does not fit. Such a frame is a fault to the filter, and kept.
//!
//! `docs/adapters.md` has the tables of the fields.

use hitgate_core::frame::{FrameHeader, PixelType};

pub mod aes;
pub mod sls;
pub mod trailer;
mod widened;
pub mod xdma;

pub use widened::Widened;

/// Bits of [`FrameHeader::status`]: the seven kinds of damage of LCLS-II at their places, then what a
/// driver or a checksum says. Any of them makes the frame a fault.
pub mod status {
    /// Cut short.
    pub const TRUNCATED: u32 = 1 << 0;
    /// Came in the wrong order.
    pub const OUT_OF_ORDER: u32 = 1 << 1;
    /// Of another pulse than the rest.
    pub const OUT_OF_SYNCH: u32 = 1 << 2;
    /// The contents contradict themselves.
    pub const CORRUPTED: u32 = 1 << 3;
    /// A contributor is missing.
    pub const DROPPED_CONTRIBUTION: u32 = 1 << 4;
    /// Data are missing.
    pub const MISSING_DATA: u32 = 1 << 5;
    /// Waited for in vain.
    pub const TIMED_OUT: u32 = 1 << 6;
    /// The DMA engine's FIFO overflowed.
    pub const FIFO: u32 = 1 << 7;
    /// The DMA engine, or we, found another length than announced.
    pub const LENGTH: u32 = 1 << 8;
    /// Longer than the buffer.
    pub const MAX: u32 = 1 << 9;
    /// The bus failed.
    pub const BUS: u32 = 1 << 10;

    /// The damage bits of LCLS-II.
    pub const DAMAGE: u32 = 0x7F;
}

/// What the frames of a source have in common, and no header of theirs says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows of a frame.
    pub rows: u16,
    /// Columns of a frame.
    pub columns: u16,
    /// How a pixel is stored.
    pub pixel_type: PixelType,
    /// Modules that make one frame of the detector; more than 1: each is a vote.
    pub modules: u16,
}

impl Shape {
    /// Bytes of a frame's pixels.
    pub const fn bytes(&self) -> usize {
        self.rows as usize * self.columns as usize * self.pixel_type.size()
    }

    /// The header of a frame of which only this is known. Its pixels start at `payload_offset`, a
    /// multiple of 64, and `came` bytes of them are there.
    fn header(&self, payload_offset: usize, came: usize) -> FrameHeader {
        FrameHeader {
            payload_offset_64: (payload_offset / hitgate_core::frame::PAYLOAD_ALIGN) as u16,
            // What did not come is not part of the frame: the filter sees that it is short.
            payload_len: came.min(self.bytes()) as u32,
            modules: self.modules,
            ..FrameHeader::new(self.rows, self.columns, self.pixel_type)
        }
    }
}
