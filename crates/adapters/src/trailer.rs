//! End-of-frame metadata as the NVIDIA Holoscan Sensor Bridge writes them behind the pixels: big endian.

use hitgate_core::frame::{FrameHeader, flags};

/// Bytes behind the pixels that the metadata take up.
pub const TRAILER_LEN: usize = 128;
/// Bytes of them that mean something.
const USED: usize = 48;
/// Length of a tick of [`FrameHeader::source_ticks`], 1 ns, in units of 0.01 ns.
pub const TICK_10PS: u32 = 100;

/// What is known of a frame when its last byte has been written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trailer {
    /// At 0: flags.
    pub flags: u32,
    /// At 4: sequence number of the last packet.
    pub psn: u32,
    /// At 8: checksum, of a polynomial and a range of its own.
    pub crc: u32,
    /// At 12: seconds of the first sample, by PTP.
    pub timestamp_s: u64,
    /// At 20: nanoseconds of that second.
    pub timestamp_ns: u32,
    /// At 24: bytes of pixels.
    pub bytes_written: u64,
    /// At 34, after 16 reserved bits: number of the frame, 16 bits.
    pub frame_number: u16,
    /// At 36: seconds when this was written.
    pub metadata_s: u64,
    /// At 44: nanoseconds of that second.
    pub metadata_ns: u32,
}

impl Trailer {
    /// The metadata in the block behind the pixels.
    pub fn from_bytes(bytes: &[u8; TRAILER_LEN]) -> Self {
        Trailer {
            flags: u32::from_be_bytes(part(bytes, 0)),
            psn: u32::from_be_bytes(part(bytes, 4)),
            crc: u32::from_be_bytes(part(bytes, 8)),
            timestamp_s: u64::from_be_bytes(part(bytes, 12)),
            timestamp_ns: u32::from_be_bytes(part(bytes, 20)),
            bytes_written: u64::from_be_bytes(part(bytes, 24)),
            frame_number: u16::from_be_bytes(part(bytes, 34)),
            metadata_s: u64::from_be_bytes(part(bytes, 36)),
            metadata_ns: u32::from_be_bytes(part(bytes, 44)),
        }
    }

    /// The block, as the device writes it.
    pub fn to_bytes(&self) -> [u8; TRAILER_LEN] {
        let mut bytes = [0; TRAILER_LEN];
        let parts: [(usize, &[u8]); 9] = [
            (0, &self.flags.to_be_bytes()),
            (4, &self.psn.to_be_bytes()),
            (8, &self.crc.to_be_bytes()),
            (12, &self.timestamp_s.to_be_bytes()),
            (20, &self.timestamp_ns.to_be_bytes()),
            (24, &self.bytes_written.to_be_bytes()),
            (34, &self.frame_number.to_be_bytes()),
            (36, &self.metadata_s.to_be_bytes()),
            (44, &self.metadata_ns.to_be_bytes()),
        ];
        for (at, part) in parts {
            bytes[at..at + part.len()].copy_from_slice(part);
        }
        bytes
    }

    /// Enters what this says in a frame's header. `frame_number` is this one's, widened.
    pub(crate) fn enter(&self, header: FrameHeader, frame_number: u64) -> FrameHeader {
        FrameHeader {
            flags: header.flags | flags::METADATA_AFTER,
            frame_number,
            // Seconds that overflow are of no clock; the frame is judged all the same.
            source_ticks: (self.timestamp_s.wrapping_mul(1_000_000_000))
                .wrapping_add(self.timestamp_ns.into()),
            tick_10ps: TICK_10PS,
            source_word: self.flags,
            source_aux: u64::from(self.psn) << 32 | u64::from(self.crc),
            ..header
        }
    }
}

fn part<const N: usize>(bytes: &[u8; TRAILER_LEN], at: usize) -> [u8; N] {
    const { assert!(USED <= TRAILER_LEN) }
    core::array::from_fn(|i| bytes[at + i])
}
