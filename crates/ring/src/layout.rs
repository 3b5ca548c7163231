//! Where everything lies in the mapping.
//!
//! One mapping holds a ring: little endian, offsets from its start, never a pointer. Shared words
//! are 32 bits wide and naturally aligned; a 64-bit value is two of them, low half first.
//!
//! | part | offset | size | written by |
//! |---|---|---|---|
//! | control page | 0 | 4096 | see below |
//! | returned-bitmap, one bit a slot; free-running: one a copy | 4096 | ⌈slots / 32⌉ words, rounded up to 128 bytes | the reader's side |
//! | record ring, record of position p at p mod M | after the bitmap | 64 · M, rounded up to 4096 with the parts before | reader |
//! | slots, frame of position p at p mod slots | next multiple of 4096 | stride · slots | writer |
//!
//! A slot's bytes 8..16 are its sequence number ([`SLOT_SEQ_OFFSET`]: low half at 8, high at 12), the
//! rest is the frame. A record's bytes 0..8 are its frame's sequence number, low half first. Both
//! low halves are 0 while the rest is being written, and stored last.
//!
//! The control page is lines of 128 bytes, each with one writer (128, because a pair of
//! 64-byte lines travels together on current CPUs):
//!
//! | line | offset | size | meaning | written by |
//! |---|---|---|---|---|
//! | identity | 0 | 8 | magic `hitgring`; its low half is stored last | creator, once |
//! | | 8 | 4 | layout version, [`LAYOUT_VERSION`] | creator |
//! | | 12 | 4 | size of the control page, 4096 | creator |
//! | | 16 | 4 | slots | creator |
//! | | 20 | 4 | stride of a slot in bytes | creator |
//! | | 24 | 4 | records M, at least as many as slots | creator |
//! | | 28 | 4 | policy: 0 credit, 1 free-running | creator |
//! | | 32 | 8 | offset of the bitmap | creator |
//! | | 40 | 8 | offset of the records | creator |
//! | | 48 | 8 | offset of the slots | creator |
//! | | 56 | 8 | total length | creator |
//! | | 64 | 8 | session: tells one run from the next | creator |
//! | | 72 | 4 | publication: 0 sequence number, 1 trailer, 2 completion queue | creator |
//! | | 76 | 52 | zero | creator |
//! | producer | 128 | 4 | state: 0 none yet, 1 open, 2 closed | writer |
//! | | 132 | 4 | heartbeat, milliseconds of the host's monotonic clock, wrapping | writer |
//! | | 136 | 4 | owner: the process at this end, as its host names it; 0 none | writer's host |
//! | | 140 | 4 | version of the producer's counters; its lowest bit names the valid copy | writer |
//! | | 144 | 112 | zero | writer |
//! | producer's counters | 256 | 32 | copy 0: produced, stalls, lost at the source, reserved | writer |
//! | | 288 | 32 | copy 1 | writer |
//! | | 320 | 64 | zero | writer |
//! | head | 384 | 4 | position up to which slots came back, low half; free-running: position of the next frame to settle | reader |
//! | | 388 | 124 | zero | reader |
//! | consumer | 512 | 4 | state: 0 none yet, 1 open, 2 closed | reader |
//! | | 516 | 4 | heartbeat, as above | reader |
//! | | 520 | 4 | owner, as above | reader's host |
//! | | 524 | 4 | version of the consumer's counters | reader |
//! | | 528 | 112 | zero | reader |
//! | consumer's counters | 640 | 256 | copy 0: 24 of the path, then taken, returned, waits, lapped, 4 reserved | reader |
//! | | 896 | 256 | copy 1 | reader |
//! | free-running | 1152 | 4 | position after the newest frame, low half | device |
//! | | 1156 | 124 | zero | device |
//! | | 1280 | 2816 | zero | nobody |

use core::fmt;

/// Version of this layout; another one is refused.
pub const LAYOUT_VERSION: u32 = 1;
/// Where a slot's sequence number lies: low half here, high half four bytes on.
pub const SLOT_SEQ_OFFSET: usize = 8;
/// The first byte of a slot after its sequence number.
pub const SLOT_BODY_OFFSET: usize = 16;
/// Bytes of a record.
pub const RECORD_LEN: usize = 64;
/// Alignment that the start of the mapping needs, and that the slots start at.
pub const PAGE: usize = 4096;

/// Bytes of a line of the control page.
pub(crate) const LINE: usize = 128;
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"hitgring");
pub(crate) const PUBLISHED_BY_NUMBER: u32 = 0;

/// Counters of the producer: produced, stalls, lost at the source, reserved.
pub(crate) const PRODUCER_COUNTERS: usize = 4;
/// Counters of the consumer that belong to the path, not to the ring.
pub const PATH_COUNTERS: usize = 24;
/// Counters of the consumer: the path's, then taken, returned, waits, lapped, four reserved.
pub(crate) const CONSUMER_COUNTERS: usize = 32;

/// Offsets of the control page, as in the table above.
pub(crate) mod at {
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 8;
    pub const CONTROL_LEN: usize = 12;
    pub const SLOTS: usize = 16;
    pub const STRIDE: usize = 20;
    pub const RECORDS: usize = 24;
    pub const POLICY: usize = 28;
    pub const BITMAP_OFFSET: usize = 32;
    pub const RECORDS_OFFSET: usize = 40;
    pub const SLOTS_OFFSET: usize = 48;
    pub const TOTAL_LEN: usize = 56;
    pub const SESSION: usize = 64;
    pub const PUBLICATION: usize = 72;
    pub const PRODUCER: usize = 128;
    pub const PRODUCER_COUNTERS: usize = 256;
    pub const HEAD: usize = 384;
    pub const CONSUMER: usize = 512;
    pub const CONSUMER_COUNTERS: usize = 640;
    pub const NEWEST: usize = 1152;
    /// Within the producer's and the consumer's line.
    pub const STATE: usize = 0;
    pub const HEARTBEAT: usize = 4;
    pub const OWNER: usize = 8;
    pub const COUNTERS_VERSION: usize = 12;
}

const _: () = {
    assert!(at::PUBLICATION + 4 <= LINE);
    assert!(at::PRODUCER == LINE);
    assert!(at::PRODUCER_COUNTERS == at::PRODUCER + LINE);
    assert!(at::PRODUCER_COUNTERS + 2 * 8 * PRODUCER_COUNTERS <= at::HEAD);
    assert!(at::HEAD.is_multiple_of(LINE) && at::CONSUMER == at::HEAD + LINE);
    assert!(at::CONSUMER_COUNTERS == at::CONSUMER + LINE);
    assert!(at::CONSUMER_COUNTERS + 2 * 8 * CONSUMER_COUNTERS == at::NEWEST);
    assert!(at::NEWEST + LINE <= PAGE);
    assert!(PATH_COUNTERS + 4 <= CONSUMER_COUNTERS);
    assert!(SLOT_SEQ_OFFSET + 8 == SLOT_BODY_OFFSET && SLOT_BODY_OFFSET < MIN_STRIDE as usize);
};

const MIN_STRIDE: u32 = 64;
const MAX_SLOTS: u32 = 1 << 30;

/// What happens when the reader is slower than the writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Policy {
    /// A full ring stalls the writer: nothing is lost, and a kept frame stays in its slot.
    #[default]
    Credit = 0,
    /// The writer, a device that cannot wait, laps the reader: the oldest frames are lost. Whatever is
    /// judged and kept is a copy, whose memory the reader's side gives. A reader that dies takes the copies that it had
    /// lent along: their records stay, and the next reader sends none of them again.
    FreeRunning = 1,
}

/// The shape of a ring and the offsets that follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    policy: Policy,
    slots: u32,
    stride: u32,
    records: u32,
    records_offset: usize,
    slots_offset: usize,
    len: usize,
}

/// A ring cannot have this shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// Number of slots outside 2 ..= 2³⁰.
    Slots(u32),
    /// Stride not a positive multiple of 64 bytes.
    Stride(u32),
    /// Fewer records than slots, or more than 2³⁰.
    Records {
        /// Records asked for.
        records: u32,
        /// Slots asked for.
        slots: u32,
    },
    /// The whole does not fit this machine's address space.
    TooLarge,
}

impl Layout {
    /// The layout of `slots` slots of `stride` bytes with `records` records, under [`Policy::Credit`].
    ///
    /// # Errors
    /// [`LayoutError`] names the number that is out of range.
    pub const fn new(slots: u32, stride: u32, records: u32) -> Result<Layout, LayoutError> {
        if slots < 2 || slots > MAX_SLOTS {
            return Err(LayoutError::Slots(slots));
        }
        if stride < MIN_STRIDE || !stride.is_multiple_of(64) {
            return Err(LayoutError::Stride(stride));
        }
        if records < slots || records > MAX_SLOTS {
            return Err(LayoutError::Records { records, slots });
        }
        // At most 2^62 + 2^37: no sum or product here overflows 64 bits.
        let bitmap = (slots as u64).div_ceil(32) * 4;
        let records_offset = (PAGE as u64) + bitmap.next_multiple_of(LINE as u64);
        let slots_offset =
            (records_offset + records as u64 * RECORD_LEN as u64).next_multiple_of(PAGE as u64);
        let len = slots_offset + slots as u64 * stride as u64;
        if len > isize::MAX as u64 {
            return Err(LayoutError::TooLarge);
        }
        Ok(Layout {
            policy: Policy::Credit,
            slots,
            stride,
            records,
            records_offset: records_offset as usize,
            slots_offset: slots_offset as usize,
            len: len as usize,
        })
    }

    /// The same shape under `policy`.
    pub const fn with_policy(self, policy: Policy) -> Layout {
        Layout { policy, ..self }
    }

    /// What happens when the reader is slower than the writer.
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// Slots in the ring.
    pub const fn slots(&self) -> u32 {
        self.slots
    }

    /// Bytes from one slot to the next, all of them a frame's to use but 8..16.
    pub const fn stride(&self) -> u32 {
        self.stride
    }

    /// Records in the record ring.
    pub const fn records(&self) -> u32 {
        self.records
    }

    /// Most frames that may be lent at a time: half as many as there are slots.
    pub const fn lend_limit(&self) -> u32 {
        self.slots / 2
    }

    /// Bytes that a reader needs for copies of frames: none under [`Policy::Credit`].
    pub const fn copy_bytes(&self) -> usize {
        match self.policy {
            Policy::Credit => 0,
            // Less than the mapping's length, so that it overflows nothing.
            Policy::FreeRunning => self.lend_limit() as usize * self.stride as usize,
        }
    }

    /// Bytes of the whole mapping.
    pub const fn bytes(&self) -> usize {
        self.len
    }

    /// Offset of the returned-bitmap.
    pub const fn bitmap_offset(&self) -> usize {
        PAGE
    }

    /// Offset of the first record.
    pub const fn records_offset(&self) -> usize {
        self.records_offset
    }

    /// Offset of the first slot.
    pub const fn slots_offset(&self) -> usize {
        self.slots_offset
    }

    /// Index of the slot that holds `position`: always below [`Layout::slots`].
    pub(crate) const fn slot_index(&self, position: u64) -> u32 {
        (position % self.slots as u64) as u32
    }

    /// Offset of the slot that holds `position`.
    pub(crate) const fn slot_at(&self, position: u64) -> usize {
        self.slots_offset + self.slot_index(position) as usize * self.stride as usize
    }

    /// Offset of the record of `position`.
    pub(crate) const fn record_at(&self, position: u64) -> usize {
        self.records_offset + (position % self.records as u64) as usize * RECORD_LEN
    }

    /// Offset of the word of the bitmap that holds the bit of slot `index`, and the bit.
    pub(crate) const fn bit_at(&self, index: u32) -> (usize, u32) {
        (PAGE + (index / 32) as usize * 4, index % 32)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} slots of {} bytes, {} records",
            self.slots, self.stride, self.records
        )?;
        match self.policy {
            Policy::Credit => Ok(()),
            Policy::FreeRunning => f.write_str(", free-running"),
        }
    }
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LayoutError::Slots(n) => write!(f, "a ring of {n} slots: choose 2 to 2^30"),
            LayoutError::Stride(n) => {
                write!(f, "slots of {n} bytes: choose a positive multiple of 64")
            }
            LayoutError::Records { records, slots } => write!(
                f,
                "{records} records for {slots} slots: choose at least as many as slots, at most 2^30"
            ),
            LayoutError::TooLarge => f.write_str("the ring does not fit the address space"),
        }
    }
}

impl core::error::Error for LayoutError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_slots_start_on_a_page() {
        let layout = Layout::new(100, 192, 128).unwrap();
        assert_eq!(layout.bitmap_offset(), 4096);
        assert_eq!(layout.records_offset(), 4096 + 128);
        assert_eq!(layout.slots_offset(), 16384);
        assert_eq!(layout.bytes(), 16384 + 100 * 192);
        assert_eq!(layout.slot_at(100), layout.slots_offset());
        assert_eq!(layout.slot_at(99) + 192, layout.bytes());
        assert_eq!(
            layout.record_at(127) + 64,
            layout.records_offset() + 128 * 64
        );
        assert_eq!(layout.bit_at(99), (4096 + 12, 3));
    }

    #[test]
    fn a_large_bitmap_pushes_the_records_on() {
        let layout = Layout::new(2000, 64, 2000).unwrap();
        assert_eq!(layout.records_offset(), 4096 + 256);
    }

    #[test]
    fn impossible_shapes_are_refused() {
        assert_eq!(Layout::new(1, 64, 64), Err(LayoutError::Slots(1)));
        assert_eq!(
            Layout::new(u32::MAX, 64, 64),
            Err(LayoutError::Slots(u32::MAX))
        );
        assert_eq!(Layout::new(4, 0, 4), Err(LayoutError::Stride(0)));
        assert_eq!(Layout::new(4, 100, 4), Err(LayoutError::Stride(100)));
        assert_eq!(
            Layout::new(4, 64, 3),
            Err(LayoutError::Records {
                records: 3,
                slots: 4
            })
        );
        // 2^62 bytes: within a 64-bit address space, so the limit is the type's, not the shape's.
        assert!(Layout::new(1 << 30, u32::MAX - 63, 1 << 30).is_ok());
    }
}
