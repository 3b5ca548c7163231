//! Buffers of SLAC's aes-stream-drivers, each with the LCLS-II timing header before its pixels.
//!
//! The device writes at [`DMA_OFFSET`] of a slot: the timing header first, which stays there, then the
//! pixels, which so start at a multiple of 64. A [`Completion`] is what the driver, or the device's own
//! descriptor, says of a buffer; a [`Lane`] makes a header of it and of the timing header.

use hitgate_core::frame::{FrameHeader, HEADER_LEN, PAYLOAD_ALIGN, flags, pulse_kind};
use hitgate_core::wire_struct;

use crate::{Shape, Widened, status};

/// Where the device starts to write in a slot: so that what follows the timing header is aligned.
pub const DMA_OFFSET: usize = PAYLOAD_OFFSET - TIMING_HEADER_LEN;
/// Where the pixels start in a slot.
pub const PAYLOAD_OFFSET: usize = (HEADER_LEN + TIMING_HEADER_LEN).next_multiple_of(PAYLOAD_ALIGN);
/// Bytes of a timing header.
pub const TIMING_HEADER_LEN: usize = 32;
/// Length of a tick of [`FrameHeader::source_ticks`], 1 ns, in units of 0.01 ns.
pub const TICK_10PS: u32 = 100;

/// [`TimingHeader::service`] of an event with data; every other transition tells of the run.
pub const L1_ACCEPT: u8 = 12;
/// Bit of [`TimingHeader::env`]: keep this event whatever a filter says.
pub const ENV_KEEP_RAW: u32 = 1 << 22;
/// Bits of [`TimingHeader::env`]: the readout groups.
pub const ENV_READOUT_GROUPS: u32 = 0xFFFF;
/// Bits of [`TimingHeader::event_counter`] that are in use.
pub const EVENT_COUNTER_BITS: u32 = 24;

const PULSE_BITS: u32 = 56;

wire_struct! {
    /// The first bytes of every buffer.
    TimingHeader, TIMING_HEADER_LEN, {
        /// Pulse id, 56 bits; above it the control byte: service 0 to 3, type 4 and 5, error 7.
        0 pulse_and_control: u64,
        /// Nanoseconds of the second.
        8 nanoseconds: u32,
        /// Seconds since 1990.
        12 seconds: u32,
        /// Readout groups 0 to 15, keep-raw 22.
        16 env: u32,
        /// Events so far, 24 bits.
        20 event_counter: u32,
        /// Not read.
        24 opaque_0: u32,
        /// Not read.
        28 opaque_1: u32,
    }
}

impl TimingHeader {
    /// The pulse.
    pub const fn pulse_id(&self) -> u64 {
        self.pulse_and_control & ((1 << PULSE_BITS) - 1)
    }

    /// The control byte.
    pub const fn control(&self) -> u8 {
        (self.pulse_and_control >> PULSE_BITS) as u8
    }

    /// The transition; [`L1_ACCEPT`] for an event with data.
    pub const fn service(&self) -> u8 {
        self.control() & 0xF
    }

    /// Whether the timing system marked the event as wrong.
    pub const fn is_error(&self) -> bool {
        self.control() & 0x80 != 0
    }
}

/// Bytes of a [`DmaReadData`].
pub const DMA_READ_DATA_LEN: usize = 40;

wire_struct! {
    /// What the driver's `read` fills, on a machine of 64 bits; the last four bytes are padding.
    DmaReadData, DMA_READ_DATA_LEN, {
        /// Address of the data, or 0 where they stay in their buffer.
        0 data: u64,
        /// Destination: 256 times the channel, plus the lane's.
        8 dest: u32,
        /// First user 0 to 7, last user 8 to 15, continued 16.
        12 flags: u32,
        /// Index of the buffer.
        16 index: u32,
        /// FIFO 1, length 2, maximum 4, bus 8.
        20 error: u32,
        /// Bytes in the buffer.
        24 size: u32,
        /// Whether the caller has 32 bits.
        28 is_32: u32,
        /// Bytes read; negative where nothing could be.
        32 ret: i32,
    }
}

/// What became of one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Completion {
    /// Index of the buffer, by which it goes back to the driver.
    pub index: u32,
    /// Bytes that the device wrote.
    pub size: u32,
    /// Destination.
    pub dest: u32,
    /// FIFO 1, length 2, maximum 4, bus 8.
    pub error: u32,
    /// The frame goes on in another buffer.
    pub continued: bool,
}

impl From<&DmaReadData> for Completion {
    fn from(read: &DmaReadData) -> Self {
        Completion {
            index: read.index,
            size: read.size,
            dest: read.dest,
            error: read.error | u32::from(read.ret < 0) << 3,
            continued: read.flags >> 16 & 1 == 1,
        }
    }
}

impl Completion {
    /// What a descriptor of 128 bits in the device's ring of returns says (`AxisG2Return`); `None`
    /// where the device has not written it yet.
    pub fn from_descriptor(descriptor: &[u8; 16]) -> Option<Self> {
        let [control, index, size, from] = core::array::from_fn(|word| {
            u32::from_le_bytes(core::array::from_fn(|byte| descriptor[4 * word + byte]))
        });
        (from != 0).then_some(Completion {
            index,
            size,
            dest: (from >> 8 & 0xF) * 256 + (from & 0xFF),
            // An empty buffer is what the device returns where its FIFO ran over.
            error: if size == 0 { 1 } else { control & 7 },
            continued: control >> 3 & 1 == 1,
        })
    }

    fn status(&self) -> u32 {
        ((self.error & 0xF) * status::FIFO) | if self.continued { status::TRUNCATED } else { 0 }
    }
}

/// The frames of one destination.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    shape: Shape,
    events: Widened<EVENT_COUNTER_BITS>,
}

impl Lane {
    /// A lane of which no frame has come.
    pub const fn new(shape: Shape) -> Self {
        Lane {
            shape,
            events: Widened::new(),
        }
    }

    /// The header of the frame in a buffer, which begins with its timing header. `damage` are the
    /// damage bits of the `Xtc`, where the readout has made one.
    ///
    /// A buffer without a whole timing header, and a transition other than [`L1_ACCEPT`], are kept.
    pub fn frame(
        &mut self,
        completion: &Completion,
        buffer: &[u8],
        damage: u16,
        arrival_ns: u64,
    ) -> FrameHeader {
        let written = buffer.len().min(completion.size as usize);
        let pixels = written.saturating_sub(TIMING_HEADER_LEN);
        let buffered = FrameHeader {
            // Destinations are numbered up to 4095.
            module_id: u16::try_from(completion.dest).unwrap_or(u16::MAX),
            lane: completion.dest,
            buffer_index: completion.index,
            arrival_ns,
            status: completion.status() | u32::from(damage) & status::DAMAGE,
            ..self.shape.header(PAYLOAD_OFFSET, pixels)
        };
        let Some(timing) = buffer[..written].first_chunk() else {
            return FrameHeader {
                status: buffered.status | status::LENGTH,
                ..buffered
            };
        };
        let timing = TimingHeader::from_bytes(timing);
        let forced = timing.env & ENV_KEEP_RAW != 0 || timing.service() != L1_ACCEPT;
        let wrong = if timing.is_error() {
            status::CORRUPTED
        } else {
            0
        };
        let other_length = if pixels == self.shape.bytes() {
            0
        } else {
            status::LENGTH
        };
        let damage = buffered.status | wrong | other_length;
        FrameHeader {
            // A counter that may be damaged is not followed: it would make others look lost.
            frame_number: match damage {
                0 => self.events.widen(timing.event_counter.into()),
                _ => 0,
            },
            pulse_key: timing.pulse_id(),
            pulse_kind: pulse_kind::LCLS,
            source_ticks: u64::from(timing.seconds) * 1_000_000_000 + u64::from(timing.nanoseconds),
            tick_10ps: TICK_10PS,
            source_word: timing.env,
            readout_groups: timing.env & ENV_READOUT_GROUPS,
            source_aux: timing.pulse_and_control,
            flags: if forced { flags::KEEP_RAW } else { 0 },
            status: damage,
            ..buffered
        }
    }
}

/// The timing header of a frame, for a device that is emulated: what [`Lane::frame`] reads, back.
pub fn timing_header(frame: &FrameHeader) -> TimingHeader {
    let keep = frame.flags & flags::KEEP_RAW != 0;
    TimingHeader {
        pulse_and_control: frame.pulse_key & ((1 << PULSE_BITS) - 1)
            | u64::from(L1_ACCEPT) << PULSE_BITS,
        nanoseconds: (frame.source_ticks % 1_000_000_000) as u32,
        seconds: (frame.source_ticks / 1_000_000_000) as u32,
        env: frame.readout_groups & ENV_READOUT_GROUPS | if keep { ENV_KEEP_RAW } else { 0 },
        event_counter: (frame.frame_number % (1 << EVENT_COUNTER_BITS)) as u32,
        ..TimingHeader::default()
    }
}
