//! UDP packets of the SLS detectors → the place of their pixels in a slot, and the header of their frame.
//!
//! A frame comes in packets of 48 bytes of header and a fixed number of bytes of pixels, which follow each
//! other in the frame row by row. Packets are lost, repeated and overtaken. An [`Assembly`] says of each
//! where its pixels belong, when the frame is complete, and what is missing then.
//!
//! In the slot the mask of the packets that came lies between header and pixels, at
//! [`FrameHeader::packet_mask_offset`].

use hitgate_core::frame::{FrameHeader, HEADER_LEN, NO_CELL, PixelType, pulse_kind};
use hitgate_core::wire_struct;

use crate::{Shape, status};

/// Bytes of a packet before its pixels.
pub const PACKET_HEADER_LEN: usize = 48;
/// The layout of the packet header that is read, and written.
pub const PACKET_VERSION: u8 = 2;
/// Where the packet mask lies in a slot.
pub const MASK_OFFSET: usize = HEADER_LEN;
/// Where the pixels start in a slot.
pub const PAYLOAD_OFFSET: usize = MASK_OFFSET + PacketMask::LEN;
/// A tick of the detectors' clock, 100 ns, in units of 0.01 ns.
pub const TICK_10PS: u32 = 10_000;
/// A packet of a frame that is older than the open one by up to this many frames is late. One that is
/// older still is of a detector that started again.
pub const LATE_FRAMES: u64 = 8;
/// The furthest that a frame may be ahead of all before it for its number to be believed at once.
pub const FURTHEST: u64 = 4096;

wire_struct! {
    /// The header of a packet, as `slsDetectorPackage` has it.
    PacketHeader, PACKET_HEADER_LEN, {
        /// Number of the frame.
        0 frame_number: u64,
        /// Exposure in units of 100 ns; of an EIGER the number of the subframe.
        8 exposure_length: u32,
        /// Number of the packet within its frame, from 0.
        12 packet_number: u32,
        /// JUNGFRAU: bunch id, an integer or the bits of a double.
        16 det_spec_1: u64,
        /// Units of 100 ns since the start.
        24 timestamp: u64,
        /// Module.
        32 module_id: u16,
        /// Its row in the detector.
        34 row: u16,
        /// Its column in the detector.
        36 column: u16,
        /// Of the detector.
        38 det_spec_2: u16,
        /// JUNGFRAU: DAQ information; bits 8 to 11 are the storage cell.
        40 det_spec_3: u32,
        /// Of the detector.
        44 det_spec_4: u16,
        /// 1 EIGER, 3 JUNGFRAU, 5 MOENCH.
        46 detector_type: u8,
        /// [`PACKET_VERSION`].
        47 version: u8,
    }
}

/// What one port of a detector sends: frames of 16-bit pixels, in packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detector {
    /// `jungfrau`, `eiger`, `moench`.
    pub name: &'static str,
    /// As in [`PacketHeader::detector_type`].
    pub detector_type: u8,
    /// Rows.
    pub rows: u16,
    /// Columns.
    pub columns: u16,
    /// Packets of a frame.
    pub packets: u16,
}

impl Detector {
    /// A module by one port: 128 packets of 8,192 bytes of pixels.
    pub const JUNGFRAU: Detector = detector("jungfrau", 3, 512, 1024, 128);
    /// A quarter of a module, 16 bits, 10 Gbit/s: 64 packets of 4,096 bytes of pixels.
    pub const EIGER: Detector = detector("eiger", 1, 256, 512, 64);
    /// A module: 50 packets of 6,400 bytes of pixels.
    pub const MOENCH: Detector = detector("moench", 5, 400, 400, 50);
    /// All of them.
    pub const ALL: [Detector; 3] = [Self::JUNGFRAU, Self::EIGER, Self::MOENCH];

    /// Bytes of a frame's pixels.
    pub const fn bytes(&self) -> usize {
        self.rows as usize * self.columns as usize * 2
    }

    /// Bytes of pixels in a packet.
    pub const fn packet_bytes(&self) -> usize {
        self.bytes() / self.packets as usize
    }
}

const fn detector(name: &'static str, kind: u8, rows: u16, columns: u16, packets: u16) -> Detector {
    let detector = Detector {
        name,
        detector_type: kind,
        rows,
        columns,
        packets,
    };
    assert!(detector.bytes().is_multiple_of(packets as usize) && packets <= PacketMask::PACKETS);
    detector
}

/// How the 64 bits of [`PacketHeader::det_spec_1`] are to be read. The packets do not say: receivers of the
/// same detector declare them differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BunchId {
    /// An integer.
    Integer,
    /// The bits of a double.
    Double,
}

/// The module whose packets are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
    /// What it sends.
    pub detector: Detector,
    /// Its number, as in [`PacketHeader::module_id`].
    pub id: u16,
    /// Modules that make one frame of the detector.
    pub modules: u16,
    /// `U16` for counts and raw words, `I16` for what was corrected.
    pub pixel_type: PixelType,
    /// What its bunch ids are.
    pub bunch_id: BunchId,
    /// Bits of [`flags`](hitgate_core::frame::flags) that every frame gets, which no packet says: such as
    /// calibration while pedestals are taken.
    pub flags: u16,
}

/// Why a packet is none of a module's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// Of another length.
    Length,
    /// With another layout of the header.
    Version,
    /// Of another kind of detector.
    Detector,
    /// Of another module.
    Module,
    /// With a number that no packet of a frame has.
    Number,
}

impl Module {
    /// Bytes of a slot for a frame.
    pub const fn slot_bytes(&self) -> usize {
        PAYLOAD_OFFSET + self.detector.bytes()
    }

    /// Where the pixels of packet `packet` begin in the slot.
    pub const fn place(&self, packet: u16) -> usize {
        PAYLOAD_OFFSET + packet as usize * self.detector.packet_bytes()
    }

    /// The number of a packet of this module with `pixels` bytes after its header.
    ///
    /// # Errors
    /// [`Foreign`] says why it is none.
    pub fn own(&self, header: &PacketHeader, pixels: usize) -> Result<u16, Foreign> {
        if pixels != self.detector.packet_bytes() {
            return Err(Foreign::Length);
        }
        if header.version != PACKET_VERSION {
            return Err(Foreign::Version);
        }
        if header.detector_type != self.detector.detector_type {
            return Err(Foreign::Detector);
        }
        if header.module_id != self.id {
            return Err(Foreign::Module);
        }
        match u16::try_from(header.packet_number) {
            Ok(number) if number < self.detector.packets => Ok(number),
            _ => Err(Foreign::Number),
        }
    }

    /// The header of the frame that `packet` is of, `received` packets of which came.
    pub fn frame(&self, packet: &PacketHeader, received: u16, arrival_ns: u64) -> FrameHeader {
        let Detector { rows, columns, .. } = self.detector;
        let shape = Shape {
            rows,
            columns,
            pixel_type: self.pixel_type,
            modules: self.modules,
        };
        let is = |detector: Detector| packet.detector_type == detector.detector_type;
        FrameHeader {
            flags: self.flags,
            frame_number: packet.frame_number,
            pulse_key: packet.det_spec_1,
            pulse_kind: match self.bunch_id {
                BunchId::Integer => pulse_kind::SLS_U64,
                BunchId::Double => pulse_kind::SLS_F64,
            },
            cell_id: match is(Detector::JUNGFRAU) {
                true => (packet.det_spec_3 >> 8 & 0xF) as u16,
                false => NO_CELL,
            },
            module_id: packet.module_id,
            module_row: packet.row,
            module_column: packet.column,
            detector_type: packet.detector_type,
            source_ticks: packet.timestamp,
            tick_10ps: TICK_10PS,
            exposure_ticks: match is(Detector::EIGER) {
                true => 0,
                false => packet.exposure_length,
            },
            arrival_ns,
            packets_expected: self.detector.packets,
            packets_received: received,
            source_word: packet.det_spec_3,
            source_aux: packet.det_spec_1,
            packet_mask_offset: MASK_OFFSET as u32,
            ..shape.header(PAYLOAD_OFFSET, self.detector.bytes())
        }
    }

    /// The header of packet `number` of a frame, for a module that is emulated: what [`Module::frame`]
    /// reads, back.
    pub fn packet(&self, frame: &FrameHeader, number: u16) -> PacketHeader {
        let is_jungfrau = self.detector.detector_type == Detector::JUNGFRAU.detector_type;
        let cell = match is_jungfrau && frame.cell_id != NO_CELL {
            true => u32::from(frame.cell_id & 0xF) << 8,
            false => frame.source_word & 0xF00,
        };
        PacketHeader {
            frame_number: frame.frame_number,
            exposure_length: frame.exposure_ticks,
            packet_number: u32::from(number),
            det_spec_1: frame.pulse_key,
            timestamp: frame.source_ticks,
            module_id: self.id,
            row: frame.module_row,
            column: frame.module_column,
            det_spec_3: frame.source_word & !0xF00 | cell,
            detector_type: self.detector.detector_type,
            version: PACKET_VERSION,
            ..PacketHeader::default()
        }
    }
}

/// One bit a packet: set where it came. Packet `p` is bit `p % 8` of byte `p / 8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketMask([u8; PacketMask::LEN]);

impl PacketMask {
    /// Bytes in the slot.
    pub const LEN: usize = 64;
    /// The most packets that a mask has bits for.
    pub const PACKETS: u16 = 8 * Self::LEN as u16;
    /// No packet.
    pub const EMPTY: PacketMask = PacketMask([0; Self::LEN]);

    /// The mask in a slot, where its header says that there is one.
    pub fn of_slot(header: &FrameHeader, slot: &[u8]) -> Option<PacketMask> {
        let offset = header.packet_mask_offset as usize;
        let bytes = slot.get(offset..)?.first_chunk()?;
        (offset > 0).then_some(PacketMask(*bytes))
    }

    /// Whether packet `packet` came.
    pub fn has(&self, packet: u16) -> bool {
        let byte = self.0.get(usize::from(packet / 8));
        byte.is_some_and(|byte| byte >> (packet % 8) & 1 == 1)
    }

    /// The bytes for the slot.
    pub const fn bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    /// The packets among the first `count` that did not come.
    pub fn missing(&self, count: u16) -> impl Iterator<Item = u16> + '_ {
        (0..count).filter(|packet| !self.has(*packet))
    }

    /// Adds a packet; `false` where it had come before, or has no bit.
    fn add(&mut self, packet: u16) -> bool {
        let new = packet < Self::PACKETS && !self.has(packet);
        if new {
            self.0[usize::from(packet / 8)] |= 1 << (packet % 8);
        }
        new
    }
}

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sorted {
    /// It is packet so-and-so of the open frame: its pixels belong at its [`Module::place`].
    Here(u16),
    /// It is of another frame: keep it aside until the open one is finished.
    Early,
    /// It is not wanted; [`Counts`] has the reason.
    Discarded,
}

/// Packets by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Placed in a frame.
    pub placed: u64,
    /// Had come before.
    pub repeated: u64,
    /// Of a frame that was finished without them, or with them before.
    pub late: u64,
    /// Not of this module.
    pub foreign: u64,
    /// Missing from frames when they were finished.
    pub lost: u64,
}

/// A frame that is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its header.
    pub header: FrameHeader,
    /// Which packets came.
    pub mask: PacketMask,
    /// Frames before it of which nothing came at all, by the numbers. Those that came and whose numbers were not
    /// believed are none of them.
    pub gap: u64,
}

/// Sorts the packets of one module into frames, one frame at a time.
#[derive(Clone, Debug)]
pub struct Assembly {
    module: Module,
    open: Option<Open>,
    /// The frame finished last, unless there was a silence since.
    last: Option<u64>,
    /// The highest frame number so far.
    highest: Option<u64>,
    /// The frames finished last, if their numbers were not believed.
    doubted: Option<Doubted>,
    counts: Counts,
}

/// Frames one after another whose numbers were too far from those before.
#[derive(Clone, Copy, Debug)]
struct Doubted {
    /// The last one's number.
    number: u64,
    frames: u64,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    first: PacketHeader,
    mask: PacketMask,
    received: u16,
    /// A packet that did not come yet, most likely the next; the number of packets where none is missing.
    next: u16,
}

impl Assembly {
    /// Takes the packets of `module`.
    pub const fn new(module: Module) -> Self {
        Assembly {
            module,
            open: None,
            last: None,
            highest: None,
            doubted: None,
            counts: Counts {
                placed: 0,
                repeated: 0,
                late: 0,
                foreign: 0,
                lost: 0,
            },
        }
    }

    /// The module.
    pub const fn module(&self) -> &Module {
        &self.module
    }

    /// What became of the packets.
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether a frame has begun and is not finished.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether every packet of the open frame is there.
    pub fn is_complete(&self) -> bool {
        let all = self.module.detector.packets;
        self.open.is_some_and(|open| open.received == all)
    }

    /// The packet that most likely comes next. It is never one that is there, so that its place may
    /// be written whatever comes instead.
    pub fn next(&self) -> u16 {
        self.open.map_or(0, |open| open.next)
    }

    /// Says what to do with a packet that has this header and `pixels` bytes behind it. The first packet
    /// of a frame opens it.
    pub fn sort(&mut self, header: &PacketHeader, pixels: usize) -> Sorted {
        let Ok(packet) = self.module.own(header, pixels) else {
            self.counts.foreign += 1;
            return Sorted::Discarded;
        };
        let packets = self.module.detector.packets;
        let number = header.frame_number;
        let is_late = |than: u64| (1..=LATE_FRAMES).contains(&than.wrapping_sub(number));
        let was_finished = |last: u64| last == number || is_late(last);
        let doubted = self.doubted.map(|doubted| doubted.number);
        // Beside a number that will not be believed the ones before it are as late as ever.
        let is_late_beside = |open: u64| {
            (self.last)
                .is_some_and(|last| open.saturating_sub(last) > FURTHEST && was_finished(last))
        };
        let is_early = |open: u64| !is_late(open) && !is_late_beside(open);
        let open = match &mut self.open {
            Some(open) if open.first.frame_number == number => open,
            Some(open) if is_early(open.first.frame_number) => return Sorted::Early,
            None if !self.last.is_some_and(was_finished) && doubted != Some(number) => {
                self.open.insert(Open {
                    first: *header,
                    mask: PacketMask::EMPTY,
                    received: 0,
                    next: 0,
                })
            }
            _ => {
                self.counts.late += 1;
                return Sorted::Discarded;
            }
        };
        if !open.mask.add(packet) {
            self.counts.repeated += 1;
            return Sorted::Discarded;
        }
        open.received += 1;
        let mut after = (packet + 1..packets).chain(0..packets);
        open.next = after.find(|p| !open.mask.has(*p)).unwrap_or(packets);
        self.counts.placed += 1;
        Sorted::Here(packet)
    }

    /// Nothing has come for a while: from now on no packet is late, for a detector that starts again may
    /// number its frames from the beginning.
    pub const fn forget(&mut self) {
        self.last = None;
    }

    /// Ends the open frame, with what is there of it; `None` where none is open.
    ///
    /// A number that is more than [`FURTHEST`] ahead, or older than late without a silence, is not believed, unless it
    /// follows on one that was not: it becomes 0, and the frame is marked as [corrupted](status::CORRUPTED). One wild number
    /// would make all that follow look old, or lost.
    pub fn finish(&mut self, arrival_ns: u64) -> Option<Finished> {
        let open = self.open.take()?;
        let header = self.module.frame(&open.first, open.received, arrival_ns);
        self.counts.lost += u64::from(self.module.detector.packets - open.received);
        let (header, gap) = match self.follow(header.frame_number) {
            Some(gap) => (header, gap),
            None => {
                let doubtful = FrameHeader {
                    frame_number: 0,
                    status: header.status | status::CORRUPTED,
                    ..header
                };
                (doubtful, 0)
            }
        };
        Some(Finished {
            header,
            mask: open.mask,
            gap,
        })
    }

    /// Takes the number of a frame that is finished; returns how many are missing before it, or nothing if it is not
    /// believed.
    fn follow(&mut self, number: u64) -> Option<u64> {
        let ahead = |of: u64| number.saturating_sub(of);
        // After a silence a number below is a detector's that has started again.
        let is_old = self.last.is_some_and(|last| number < last);
        let is_near = !is_old && self.highest.is_none_or(|of| ahead(of) <= FURTHEST);
        let follows = (self.doubted).is_some_and(|of| (1..=FURTHEST).contains(&ahead(of.number)));
        let came = self.doubted.map_or(0, |doubted| doubted.frames);
        if !is_near && !follows {
            let frames = came + 1;
            self.doubted = Some(Doubted { number, frames });
            return None;
        }
        let gap = (self.highest).map_or(0, |of| ahead(of).saturating_sub(1).saturating_sub(came));
        self.doubted = None;
        (self.last, self.highest) = (Some(number), Some(number));
        Some(gap)
    }

    /// How far the frame `number` lies ahead of the one finished last: of the packets kept aside, those
    /// with the least are taken first.
    pub fn ahead(&self, number: u64) -> u64 {
        number.wrapping_sub(self.last.unwrap_or(0))
    }
}
