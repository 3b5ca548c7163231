//! Bytes of a slot → a frame: a copied, checked header and the pixels it describes.
//!
//! The header is 128 bytes, little endian, at the start of the slot. It is copied before it is
//! believed: whoever wrote it may write again.

use core::fmt;
use core::mem::offset_of;

/// Bytes of a frame header.
pub const HEADER_LEN: usize = 128;
/// `XHF1`, read as a little-endian word.
pub const MAGIC: u32 = u32::from_le_bytes(*b"XHF1");
/// Layout version of the header that this library reads and writes.
pub const VERSION: u8 = 1;
/// The payload starts at a multiple of this.
pub const PAYLOAD_ALIGN: usize = 64;

/// How the counts of a pixel are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PixelType {
    /// Unsigned, 8 bits.
    U8 = 1,
    /// Unsigned, 16 bits.
    U16 = 2,
    /// Unsigned, 32 bits.
    U32 = 3,
    /// Two's complement, 16 bits.
    I16 = 4,
    /// Two's complement, 32 bits.
    I32 = 5,
}

impl PixelType {
    /// Bytes of a pixel.
    pub const fn size(self) -> usize {
        match self {
            PixelType::U8 => 1,
            PixelType::U16 | PixelType::I16 => 2,
            PixelType::U32 | PixelType::I32 => 4,
        }
    }

    /// The type that a header's number names.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(PixelType::U8),
            2 => Some(PixelType::U16),
            3 => Some(PixelType::U32),
            4 => Some(PixelType::I16),
            5 => Some(PixelType::I32),
            _ => None,
        }
    }
}

/// How a payload is compressed; [`decode`](crate::decode) has the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Compression {
    /// LZ4, framed as by HDF5's filter 32004.
    Lz4 = 1,
    /// Bitshuffle, then LZ4, framed as by HDF5's filter 32008.
    BitshuffleLz4 = 2,
}

impl Compression {
    /// The compression that a header's number names.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Compression::Lz4),
            2 => Some(Compression::BitshuffleLz4),
            _ => None,
        }
    }
}

/// Bits of [`FrameHeader::flags`].
pub mod flags {
    /// The source's own metadata stand after the payload (an adapter moves them).
    pub const METADATA_AFTER: u16 = 1 << 0;
    /// The payload is compressed, as the header's `compression` says.
    pub const COMPRESSED: u16 = 1 << 1;
    /// Several modules, assembled into one frame by a placement table.
    pub const ASSEMBLED: u16 = 1 << 2;
    /// The source asks for this frame to be kept.
    pub const KEEP_RAW: u16 = 1 << 3;
    /// A dark, flat or pedestal frame.
    pub const CALIBRATION: u16 = 1 << 4;
    /// A test pattern of the detector.
    pub const TEST_PATTERN: u16 = 1 << 5;
    /// `payload_crc` is there and is to be checked.
    pub const PAYLOAD_CRC: u16 = 1 << 6;
    /// The payload is a prepared map, not counts. Not supported: such a frame is a fault.
    pub const PREPARED: u16 = 1 << 7;

    /// Flags that the path acts on, or may pass over.
    pub(crate) const SUPPORTED: u16 = METADATA_AFTER
        | COMPRESSED
        | ASSEMBLED
        | KEEP_RAW
        | CALIBRATION
        | TEST_PATTERN
        | PAYLOAD_CRC;
}

/// What [`FrameHeader::pulse_key`] holds.
pub mod pulse_kind {
    /// Nothing.
    pub const NONE: u8 = 0;
    /// LCLS pulse id, 56 bits.
    pub const LCLS: u8 = 1;
    /// European XFEL train id.
    pub const EUXFEL_TRAIN: u8 = 2;
    /// `detSpec1` of an SLS detector, as an integer.
    pub const SLS_U64: u8 = 3;
    /// `detSpec1` of an SLS detector, as the bits of a double.
    pub const SLS_F64: u8 = 4;
    /// Series number of a file or a stream.
    pub const SERIES: u8 = 5;
}

/// No storage cell.
pub const NO_CELL: u16 = 0xFFFF;

/// A struct and its bytes, little endian, each field at the offset that its table gives: for what lies in
/// memory or on a wire that is shared. The fields leave no gap before one of them.
#[doc(hidden)]
#[macro_export]
macro_rules! wire_struct {
    ($(#[$meta:meta])* $name:ident, $len:expr, { $($(#[doc = $doc:literal])* $offset:literal $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
        #[repr(C, align(8))]
        pub struct $name { $($(#[doc = $doc])* pub $field: $type,)* }

        const _: () = assert!(::core::mem::size_of::<$name>() == $len);
        $(const _: () = assert!(::core::mem::offset_of!($name, $field) == $offset);)*

        impl $name {
            /// Offset, type and name of each field.
            pub const FIELDS: &'static [(usize, &'static str, &'static str)] =
                &[$((::core::mem::offset_of!($name, $field), stringify!($type), stringify!($field)),)*];
            /// What each field says, for the header that C programs read.
            pub const MEANINGS: &'static [&'static str] = &[$(concat!($($doc),*),)*];

            /// The fields of `bytes`, little endian.
            pub fn from_bytes(bytes: &[u8; $len]) -> Self {
                Self { $($field: <$type>::from_le_bytes(::core::array::from_fn(|i| bytes[$offset + i])),)* }
            }

            /// The fields as they stand in memory that is shared, little endian.
            pub fn to_bytes(&self) -> [u8; $len] {
                let mut bytes = [0; $len];
                $(bytes[$offset..$offset + ::core::mem::size_of::<$type>()].copy_from_slice(&self.$field.to_le_bytes());)*
                bytes
            }
        }
    };
}
pub(crate) use wire_struct;

wire_struct! {
    /// The header of a frame in its slot: who made it, when, and what follows.
    FrameHeader, HEADER_LEN, {
        /// [`MAGIC`].
        0 magic: u32,
        /// [`VERSION`].
        4 version: u8,
        /// Header length in units of 8 bytes, so that it can grow.
        5 header_len_8: u8,
        /// Bits of [`flags`].
        6 flags: u16,
        /// Number of the frame in this ring, from 1; the ring writes it, last.
        8 seq: u64,
        /// The source's own frame number, widened to 64 bits.
        16 frame_number: u64,
        /// What identifies the pulse across modules; see [`pulse_kind`].
        24 pulse_key: u64,
        /// Pulse within its train.
        32 pulse_in_train: u32,
        /// Storage cell, [`NO_CELL`] where there is none.
        36 cell_id: u16,
        /// Module, or source, that this frame is from; it selects the preparation.
        38 module_id: u16,
        /// Row of the module in the detector.
        40 module_row: u16,
        /// Column of the module in the detector.
        42 module_column: u16,
        /// Modules that make one frame of this detector; more than 1: this is a vote.
        44 modules: u16,
        /// One of [`pulse_kind`].
        46 pulse_kind: u8,
        /// Detector type as its maker numbers it (SLS `detType`).
        47 detector_type: u8,
        /// Source's clock, in ticks.
        48 source_ticks: u64,
        /// Length of a tick in 0.01 ns; 0: unknown.
        56 tick_10ps: u32,
        /// Exposure, in ticks.
        60 exposure_ticks: u32,
        /// Arrival in this node, in ns of its clock.
        64 arrival_ns: u64,
        /// Bytes of the payload.
        72 payload_len: u32,
        /// Offset of the payload in the slot, in units of 64 bytes.
        76 payload_offset_64: u16,
        /// A [`PixelType`].
        78 pixel_type: u8,
        /// A [`Compression`] where [`flags::COMPRESSED`] is set, else 0.
        79 compression: u8,
        /// Rows of the frame.
        80 rows: u16,
        /// Columns of the frame.
        82 columns: u16,
        /// Packets that make this frame; 0 where the source has none.
        84 packets_expected: u16,
        /// Packets that came.
        86 packets_received: u16,
        /// CRC-32 of the payload, where [`flags::PAYLOAD_CRC`] says so.
        88 payload_crc: u32,
        /// Damage bits of the source; 0 is a whole frame.
        92 status: u32,
        /// Source word, verbatim (SLS `detSpec3`, LCLS `env`).
        96 source_word: u32,
        /// Readout groups, or the DAQ record.
        100 readout_groups: u32,
        /// Source's 64 auxiliary bits, verbatim.
        104 source_aux: u64,
        /// Destination, lane or channel.
        112 lane: u32,
        /// Buffer index to hand back to the driver.
        116 buffer_index: u32,
        /// Offset of the packet mask in the slot; 0: none.
        120 packet_mask_offset: u32,
        /// CRC-32 over bytes 0..124, with `seq` read as 0.
        124 header_crc: u32,
    }
}

const _: () = assert!(offset_of!(FrameHeader, seq) == hitgate_ring::SLOT_SEQ_OFFSET);

impl FrameHeader {
    /// The header of an uncompressed frame whose payload follows it at once; every field that says
    /// where the frame came from is zero.
    pub fn new(rows: u16, columns: u16, pixel_type: PixelType) -> Self {
        // A payload beyond 4 GiB does not fit its field: the frame is then a fault, not another one.
        let payload_len =
            (u32::from(rows) * u32::from(columns)).saturating_mul(pixel_type.size() as u32);
        FrameHeader {
            magic: MAGIC,
            version: VERSION,
            header_len_8: (HEADER_LEN / 8) as u8,
            cell_id: NO_CELL,
            modules: 1,
            payload_len,
            payload_offset_64: (HEADER_LEN / PAYLOAD_ALIGN) as u16,
            pixel_type: pixel_type as u8,
            rows,
            columns,
            ..FrameHeader::default()
        }
    }

    /// The bytes for the slot, with the header's checksum filled in.
    pub fn seal(&self) -> [u8; HEADER_LEN] {
        let mut bytes = self.to_bytes();
        let crc = header_crc(&bytes);
        bytes[124..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// How the payload is compressed, if it is.
    ///
    /// # Errors
    /// [`Fault::Compressed`] where the number is none that is known, or the flag says otherwise.
    pub const fn compression(&self) -> Result<Option<Compression>, Fault> {
        let flagged = self.flags & flags::COMPRESSED != 0;
        match (self.compression, Compression::from_code(self.compression)) {
            (0, _) if !flagged => Ok(None),
            (_, Some(compression)) if flagged => Ok(Some(compression)),
            _ => Err(Fault::Compressed),
        }
    }

    /// The same header over a payload of `len` bytes, compressed or not.
    pub const fn with_payload(self, compression: Option<Compression>, len: u32) -> Self {
        let (code, flag) = match compression {
            Some(compression) => (compression as u8, flags::COMPRESSED),
            None => (0, 0),
        };
        FrameHeader {
            compression: code,
            payload_len: len,
            // The checksum is another payload's.
            payload_crc: 0,
            flags: self.flags & !(flags::COMPRESSED | flags::PAYLOAD_CRC) | flag,
            ..self
        }
    }

    /// Bytes a slot needs for this frame.
    pub const fn slot_len(&self) -> usize {
        (self.payload_offset_64 as usize * PAYLOAD_ALIGN).saturating_add(self.payload_len as usize)
    }
}

/// CRC-32 (IEEE 802.3) over bytes 0..124 with the sequence number, which the ring writes, as 0.
fn header_crc(bytes: &[u8; HEADER_LEN]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[..8]);
    crc.update(&[0; 8]);
    crc.update(&bytes[16..124]);
    crc.finalize()
}

/// What is wrong with one frame. Such a frame is kept, with this reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// The slot is too short for a header.
    Short,
    /// The header does not start with `XHF1`.
    Magic,
    /// The header is of a layout that this library does not read.
    Version,
    /// The header's checksum does not match.
    HeaderCrc,
    /// The pixel type has no such number.
    PixelType,
    /// The payload is compressed, and not announced to be for this module, or it does not decode.
    Compressed,
    /// The payload leaves the slot, or is not rows × columns × pixel size although it is not compressed.
    PayloadLength,
    /// The payload's checksum does not match.
    PayloadCrc,
    /// Packets are missing.
    Packets,
    /// The source says that the frame is damaged.
    Damaged,
    /// No preparation is configured for this module.
    UnknownModule,
    /// The frame's shape or pixel type is not the configured one.
    Shape,
    /// Every pixel of the window is excluded.
    NoValidPixel,
    /// The backend failed.
    Backend,
    /// There are no pedestals and gains for the frame's storage cell.
    UnknownCell,
    /// A flag says something of the payload that this library does not know: a prepared map, or a
    /// flag of a later version.
    Flags,
}

impl Fault {
    /// Every fault, in the order of its bits in a record.
    pub const ALL: [Fault; 16] = [
        Fault::Short,
        Fault::Magic,
        Fault::Version,
        Fault::HeaderCrc,
        Fault::PixelType,
        Fault::Compressed,
        Fault::PayloadLength,
        Fault::PayloadCrc,
        Fault::Packets,
        Fault::Damaged,
        Fault::UnknownModule,
        Fault::Shape,
        Fault::NoValidPixel,
        Fault::Backend,
        Fault::UnknownCell,
        Fault::Flags,
    ];

    /// Reason bits of the faults that leave a frame without a believable header: nobody knows its
    /// number, its module or its pulse.
    pub const UNIDENTIFIED: u32 = Fault::Short.reason_bit()
        | Fault::Magic.reason_bit()
        | Fault::Version.reason_bit()
        | Fault::HeaderCrc.reason_bit();

    /// The fault's bit in the reasons of a record: from bit 16 in the order of [`Fault::ALL`].
    pub const fn reason_bit(self) -> u32 {
        1 << (16 + self as u32)
    }

    /// Whether the frame's header could still be believed.
    pub const fn identifies(self) -> bool {
        self.reason_bit() & Fault::UNIDENTIFIED == 0
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Short => "the slot is too short for a frame header",
            Fault::Magic => "the frame header does not start with XHF1",
            Fault::Version => "the frame header has an unknown layout version",
            Fault::HeaderCrc => "the frame header's checksum does not match",
            Fault::PixelType => "the frame header names no known pixel type",
            Fault::Compressed => {
                "the payload is compressed, and does not decode or was not announced to be"
            }
            Fault::PayloadLength => {
                "the payload's length is not that of its shape, or leaves the slot"
            }
            Fault::PayloadCrc => "the payload's checksum does not match",
            Fault::Packets => "packets of the frame are missing",
            Fault::Damaged => "the source marked the frame as damaged",
            Fault::UnknownModule => "no preparation is configured for the frame's module",
            Fault::Shape => "the frame has another shape or pixel type than configured",
            Fault::NoValidPixel => "every pixel of the window is excluded",
            Fault::Backend => "the backend failed",
            Fault::UnknownCell => {
                "no pedestals and gains are configured for the frame's storage cell"
            }
            Fault::Flags => "the frame header has a flag that this version does not support",
        })
    }
}

impl core::error::Error for Fault {}

/// A frame whose header has been checked; the pixels are still in the slot.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The header, copied out of the slot.
    pub header: FrameHeader,
    /// How a pixel is stored.
    pub pixel_type: PixelType,
    /// `rows × columns` pixels, row by row, little endian; where the header says that they are compressed, the chunk
    /// that decodes to them.
    pub payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads a frame out of its slot.
    ///
    /// # Errors
    /// A [`Fault`] with the header, which still names the frame; all zero where the fault does not
    /// [identify](Fault::identifies) it.
    #[expect(
        clippy::result_large_err,
        reason = "the header names the frame in its record, and there is no heap to box it on"
    )]
    pub fn parse(slot: &'a [u8]) -> Result<Self, (Fault, FrameHeader)> {
        let Some(bytes) = slot.first_chunk::<HEADER_LEN>() else {
            return Err((Fault::Short, FrameHeader::default()));
        };
        let header = FrameHeader::from_bytes(bytes);
        let fault = |fault: Fault| {
            let believed = fault.identifies().then_some(header);
            Err((fault, believed.unwrap_or_default()))
        };
        if header.magic != MAGIC {
            return fault(Fault::Magic);
        }
        if header.header_crc != header_crc(bytes) {
            return fault(Fault::HeaderCrc);
        }
        if header.version != VERSION || usize::from(header.header_len_8) * 8 < HEADER_LEN {
            return fault(Fault::Version);
        }
        if header.flags & !flags::SUPPORTED != 0 {
            return fault(Fault::Flags);
        }
        let Some(pixel_type) = PixelType::from_code(header.pixel_type) else {
            return fault(Fault::PixelType);
        };
        let compression = match header.compression() {
            Ok(compression) => compression,
            Err(contradiction) => return fault(contradiction),
        };
        let start = usize::from(header.payload_offset_64) * PAYLOAD_ALIGN;
        let expected =
            u64::from(header.rows) * u64::from(header.columns) * pixel_type.size() as u64;
        let len = header.payload_len as usize;
        let payload = start.checked_add(len).and_then(|end| slot.get(start..end));
        let possible = compression.is_some() || expected == len as u64;
        let Some(payload) = payload.filter(|_| start >= HEADER_LEN && possible) else {
            return fault(Fault::PayloadLength);
        };
        if header.status != 0 {
            return fault(Fault::Damaged);
        }
        if header.packets_received < header.packets_expected {
            return fault(Fault::Packets);
        }
        if header.flags & flags::PAYLOAD_CRC != 0 && crc32fast::hash(payload) != header.payload_crc
        {
            return fault(Fault::PayloadCrc);
        }
        Ok(Frame {
            header,
            pixel_type,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> [u8; 128 + 6] {
        let mut header = FrameHeader::new(3, 2, PixelType::U8);
        header.frame_number = 77;
        let mut slot = [9; 134];
        slot[..128].copy_from_slice(&header.seal());
        slot
    }

    #[test]
    fn what_is_written_is_read() {
        let slot = slot();
        let frame = Frame::parse(&slot).unwrap();
        assert_eq!(
            (
                frame.header.frame_number,
                frame.header.rows,
                frame.header.columns
            ),
            (77, 3, 2)
        );
        assert_eq!(
            (frame.pixel_type, frame.payload),
            (PixelType::U8, [9; 6].as_slice())
        );
        assert_eq!(
            FrameHeader::from_bytes(&frame.header.to_bytes()),
            frame.header
        );
    }

    #[test]
    fn the_ring_may_number_a_sealed_frame() {
        let mut slot = slot();
        slot[8..16].copy_from_slice(&5u64.to_le_bytes());
        assert_eq!(Frame::parse(&slot).unwrap().header.seq, 5);
    }

    #[test]
    fn any_flipped_bit_of_the_header_is_a_fault() {
        for bit in (0..128 * 8).filter(|bit| !(64..128).contains(bit)) {
            let mut slot = slot();
            slot[bit / 8] ^= 1 << (bit % 8);
            let (fault, _) = Frame::parse(&slot).unwrap_err();
            assert!(
                matches!(fault, Fault::Magic | Fault::HeaderCrc),
                "bit {bit}: {fault}"
            );
        }
    }

    #[test]
    fn each_fault_is_told_apart() {
        let edit = |edit: fn(&mut FrameHeader)| {
            let mut header = FrameHeader::new(3, 2, PixelType::U8);
            edit(&mut header);
            let mut slot = slot();
            slot[..128].copy_from_slice(&header.seal());
            Frame::parse(&slot).map(|_| ()).map_err(|(fault, _)| fault)
        };
        assert_eq!(edit(|_| {}), Ok(()));
        assert_eq!(edit(|h| h.version = 2), Err(Fault::Version));
        assert_eq!(edit(|h| h.pixel_type = 6), Err(Fault::PixelType));
        assert_eq!(edit(|h| h.compression = 2), Err(Fault::Compressed));
        assert_eq!(
            edit(|h| h.flags = flags::COMPRESSED),
            Err(Fault::Compressed)
        );
        // Of a compressed payload any length may be right.
        let lz4 = |h: &mut FrameHeader| *h = h.with_payload(Some(Compression::Lz4), 5);
        assert_eq!(edit(lz4), Ok(()));
        let unknown = |h: &mut FrameHeader| (h.flags, h.compression) = (flags::COMPRESSED, 3);
        assert_eq!(edit(unknown), Err(Fault::Compressed));
        assert_eq!(edit(|h| h.rows = 4), Err(Fault::PayloadLength));
        assert_eq!(edit(|h| h.payload_offset_64 = 3), Err(Fault::PayloadLength));
        assert_eq!(edit(|h| h.payload_offset_64 = 0), Err(Fault::PayloadLength));
        assert_eq!(
            edit(|h| h.payload_len = u32::MAX),
            Err(Fault::PayloadLength)
        );
        assert_eq!(edit(|h| h.flags = flags::PREPARED), Err(Fault::Flags));
        for unknown in 8..16 {
            let mut header = FrameHeader::new(3, 2, PixelType::U8);
            header.flags = 1 << unknown;
            let mut slot = slot();
            slot[..128].copy_from_slice(&header.seal());
            assert_eq!(Frame::parse(&slot).unwrap_err().0, Fault::Flags);
        }
        assert_eq!(
            edit(|h| h.flags = flags::SUPPORTED & !flags::COMPRESSED & !flags::PAYLOAD_CRC),
            Ok(())
        );
        assert_eq!(edit(|h| h.status = 1), Err(Fault::Damaged));
        assert_eq!(edit(|h| h.packets_expected = 1), Err(Fault::Packets));
        assert_eq!(
            edit(|h| h.flags = flags::PAYLOAD_CRC),
            Err(Fault::PayloadCrc)
        );
        assert!(matches!(
            Frame::parse(&slot()[..127]),
            Err((Fault::Short, _))
        ));
    }

    #[test]
    fn a_header_that_is_not_believed_names_nothing() {
        let named = FrameHeader {
            frame_number: 7,
            ..FrameHeader::new(3, 2, PixelType::U8)
        };
        let other_version = FrameHeader {
            version: 2,
            ..named
        };
        let damaged = FrameHeader { status: 1, ..named };
        for (header, number) in [(other_version, 0), (damaged, 7)] {
            let mut slot = slot();
            slot[..128].copy_from_slice(&header.seal());
            let (fault, found) = Frame::parse(&slot).unwrap_err();
            assert_eq!(
                (found.frame_number, fault.identifies()),
                (number, number != 0)
            );
        }
    }

    #[test]
    fn a_frame_too_large_for_its_header_is_a_fault() {
        let header = FrameHeader::new(u16::MAX, u16::MAX, PixelType::U32);
        assert_eq!(header.payload_len, u32::MAX);
        let (fault, _) = Frame::parse(&header.seal()).unwrap_err();
        assert_eq!(fault, Fault::PayloadLength);
    }

    #[test]
    fn fault_bits_follow_the_list() {
        for (i, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault.reason_bit(), 1 << (16 + i));
        }
    }
}
