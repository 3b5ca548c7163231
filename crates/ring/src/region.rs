//! A checked ring in memory that somebody else mapped.

use crate::counters::Block;
use crate::error::{AttachError, RingError};
use crate::layout::{
    self, CONSUMER_COUNTERS, Layout, PRODUCER_COUNTERS, Policy, RECORD_LEN, SLOT_BODY_OFFSET,
    SLOT_SEQ_OFFSET, at,
};
use crate::monitor::Monitor;
use crate::reader::Reader;
use crate::seq::Seq;
use crate::sync::{AtomicU32, Memory, Ordering, device_acquire, fence};
use crate::writer::Writer;
use core::ptr::NonNull;

/// Memory that holds a ring whose identity line has been checked against the memory's length.
///
/// Every offset comes from [`Layout`], which `create` and `attach` hold against the length: this
/// is the invariant *in bounds* that the unsafe blocks of this crate argue from. No word that
/// is loaded later changes it.
pub struct Region<'m> {
    memory: Memory<'m>,
    layout: Layout,
    session: u64,
}

/// The counters of each side.
pub(crate) const PRODUCER: Block<PRODUCER_COUNTERS> = Block {
    version_at: at::PRODUCER + at::COUNTERS_VERSION,
    copies_at: at::PRODUCER_COUNTERS,
};
pub(crate) const CONSUMER: Block<CONSUMER_COUNTERS> = Block {
    version_at: at::CONSUMER + at::COUNTERS_VERSION,
    copies_at: at::CONSUMER_COUNTERS,
};

/// Words of a record; in a model so few that all their mixtures can be tried.
const RECORD_WORDS: usize = if cfg!(loom) { 4 } else { RECORD_LEN / 4 };

/// What a slot of a free-running ring holds of the frame that is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// The frame.
    There,
    /// It was not published yet, or the slot is just changing.
    NotYet,
    /// It is gone, or being overwritten: the device has reached this position.
    Lapped(u64),
}

/// Which end of the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The end that fills slots.
    Writer,
    /// The end that takes them.
    Reader,
}

impl End {
    pub(crate) const fn line(self) -> usize {
        match self {
            End::Writer => at::PRODUCER,
            End::Reader => at::CONSUMER,
        }
    }
}

impl<'m> Region<'m> {
    /// Makes an empty ring of this layout in the `len` bytes from `base`, whatever they held.
    ///
    /// # Errors
    /// [`AttachError::Misaligned`] and [`AttachError::TooShort`].
    ///
    /// # Safety
    /// * `base` is valid for reads and writes of `len` bytes for `'m`.
    /// * For `'m` these bytes are accessed only through regions, here and in other processes; none
    ///   of them is in use while this function runs.
    /// * *One of each*: over all regions on this memory, in all processes, at most one has
    ///   become a [`Writer`] and at most one a [`Reader`] at a time; a [`Lent`](crate::Lent)
    ///   slot counts as a part of the reader that lent it. Where a device is the writer, it fills a
    ///   slot only when the head says that the slot came back, or the ring is free-running.
    pub unsafe fn create(
        base: NonNull<u8>,
        len: usize,
        layout: &Layout,
        session: u64,
    ) -> Result<Self, AttachError> {
        check_base(base)?;
        check_len(len, layout.bytes() as u64)?;
        let region = Region {
            // SAFETY: *mapped* by the caller's promise, and *in bounds*: the length was checked just now.
            memory: unsafe { Memory::new(base) },
            layout: *layout,
            session,
        };
        region.clear();
        region.write_identity();
        Ok(region)
    }

    /// The ring that somebody made in the `len` bytes from `base`.
    ///
    /// # Errors
    /// [`AttachError`] says what does not fit: every field of the identity line is checked.
    ///
    /// # Safety
    /// As for [`Region::create`], but regions on this memory may be in use.
    pub unsafe fn attach(base: NonNull<u8>, len: usize) -> Result<Self, AttachError> {
        check_base(base)?;
        check_len(len, layout::PAGE as u64)?;
        // SAFETY: *mapped* by the caller's promise, and *in bounds*: only the control page is touched before the length
        // has been held against the layout.
        let memory = unsafe { Memory::new(base) };
        let (layout, session) = read_identity(&memory)?;
        check_len(len, layout.bytes() as u64)?;
        Ok(Region {
            memory,
            layout,
            session,
        })
    }

    /// This region, if it has the shape that the caller wants.
    ///
    /// # Errors
    /// [`AttachError::OtherShape`].
    pub fn expect(self, layout: &Layout) -> Result<Self, AttachError> {
        if self.layout == *layout {
            return Ok(self);
        }
        Err(AttachError::OtherShape {
            found: self.layout,
            expected: *layout,
        })
    }

    /// The end that fills slots; goes on where an earlier writer stopped.
    ///
    /// # Errors
    /// [`AttachError::Positions`].
    pub fn into_writer(self) -> Result<Writer<'m>, AttachError> {
        Writer::new(self)
    }

    /// The end that takes slots of a ring under [`Policy::Credit`]; goes on where an earlier reader stopped.
    ///
    /// # Errors
    /// [`AttachError::Positions`], or [`AttachError::Busy`] where trying again helps;
    /// [`AttachError::Copies`] where the ring is free-running.
    pub fn into_reader(self) -> Result<Reader<'m>, AttachError> {
        self.into_reader_with(&mut [])
    }

    /// As [`Region::into_reader`], under either policy: `copies` is memory for copies of a free-running
    /// ring's frames, at least [`Layout::copy_bytes`].
    ///
    /// # Errors
    /// Those of [`Region::into_reader`].
    pub fn into_reader_with(self, copies: &'m mut [u8]) -> Result<Reader<'m>, AttachError> {
        Reader::new(self, copies)
    }

    /// Both ends, for a ring under [`Policy::Credit`] within one process.
    ///
    /// # Errors
    /// As those of each end.
    pub fn split(self) -> Result<(Writer<'m>, Reader<'m>), AttachError> {
        self.split_with(&mut [])
    }

    /// As [`Region::split`], under either policy, with memory as for [`Region::into_reader_with`].
    ///
    /// # Errors
    /// As those of each end.
    pub fn split_with(self, copies: &'m mut [u8]) -> Result<(Writer<'m>, Reader<'m>), AttachError> {
        Ok((self.again().into_writer()?, self.into_reader_with(copies)?))
    }

    /// A view for statistics and inspection; any number of them.
    pub fn monitor(&self) -> Monitor<'m> {
        Monitor::new(self.again())
    }

    /// Shape and offsets.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number that the creator gave this run.
    pub const fn session(&self) -> u64 {
        self.session
    }

    /// The number that names the process at one end, 0 if none does. What it means is the
    /// host's: it tells a second program from the first, and a live one from one that died.
    pub fn owner(&self, end: End) -> u32 {
        self.control(end.line() + at::OWNER).load(Ordering::Acquire)
    }

    /// Puts `new` in place of the owner `old`; false if the owner is another by now.
    pub fn replace_owner(&self, end: End, old: u32, new: u32) -> bool {
        self.control(end.line() + at::OWNER)
            .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    pub(crate) fn again(&self) -> Self {
        Region { ..*self }
    }

    /// A word of the control page. `offset` is one of [`at`], or a counter's within its block.
    pub(crate) fn control(&self, offset: usize) -> &'m AtomicU32 {
        debug_assert!(offset < layout::PAGE && offset.is_multiple_of(4));
        // SAFETY: *in bounds*; words of the control page are never covered by a reference.
        unsafe { self.memory.word(offset) }
    }

    pub(crate) fn control_u64(&self, offset: usize) -> u64 {
        read_u64(&self.memory, offset)
    }

    /// The word of the bitmap that holds the bit of `place`, which is below the number of slots, and the
    /// bit's number.
    pub(crate) fn returned_bit(&self, place: u32) -> (&'m AtomicU32, u32) {
        debug_assert!(place < self.layout.slots());
        let (offset, bit) = self.layout.bit_at(place);
        // SAFETY: *in bounds*; words of the bitmap are never covered by a reference.
        (unsafe { self.memory.word(offset) }, bit)
    }

    /// The low and high half of the number of the slot of `position`.
    pub(crate) fn slot_number(&self, position: u64) -> (&'m AtomicU32, &'m AtomicU32) {
        let offset = self.layout.slot_at(position) + layout::SLOT_SEQ_OFFSET;
        // SAFETY: *in bounds*; a `&mut` never covers a slot's number, and while a `&[u8]` does, the
        // slot is published and nobody stores to its number (*one owner*, see `Reader`).
        unsafe { (self.memory.word(offset), self.memory.word(offset + 4)) }
    }

    /// The whole slot of frame `seq`.
    ///
    /// # Safety
    /// *One owner* (see [`Reader`]): the frame is published, and its slot's bit is not set for `'b`.
    pub(crate) unsafe fn slot_bytes<'b>(&self, seq: Seq) -> &'b [u8]
    where
        'm: 'b,
    {
        let offset = self.layout.slot_at(seq.position());
        // SAFETY: *in bounds*, and nobody stores to the slot by this function's contract.
        unsafe {
            let start = self.memory.for_reading(offset);
            core::slice::from_raw_parts(start.as_ptr(), self.layout.stride() as usize)
        }
    }

    /// Bytes of the slot of `position` from `offset` on, to write; `offset` is at most the stride.
    pub(crate) fn slot_for_writing(&self, position: u64, offset: usize) -> NonNull<u8> {
        debug_assert!(offset <= self.layout.stride() as usize);
        // SAFETY: *in bounds*.
        unsafe {
            self.memory
                .for_writing(self.layout.slot_at(position) + offset)
        }
    }

    /// Stores `bytes` from `offset` of the slot of `position` on while the reader may look at them. They are
    /// within the slot, and none of them is the number's.
    pub(crate) fn store(&self, position: u64, offset: usize, bytes: &[u8]) {
        debug_assert!(offset + bytes.len() <= self.layout.stride() as usize);
        // SAFETY: *in bounds*; a free-running ring's slots are never covered by a reference.
        unsafe { (self.memory).store(self.layout.slot_at(position) + offset, bytes) };
    }

    /// Copies the slot of frame `seq`, whatever it holds by now, to `copy`, which has a slot's length.
    pub(crate) fn load(&self, seq: Seq, copy: &mut [u8]) {
        let offset = self.layout.slot_at(seq.position());
        let (lead, body) = copy.split_at_mut(SLOT_BODY_OFFSET);
        let (lead, number) = lead.split_at_mut(SLOT_SEQ_OFFSET);
        number.copy_from_slice(&seq.get().to_le_bytes());
        // SAFETY: *in bounds*, and on words; a free-running ring's slots are never covered by a reference.
        unsafe {
            self.memory.load(offset, lead);
            self.memory.load(offset + SLOT_BODY_OFFSET, body);
        }
    }

    /// Whether the slot of frame `seq` still holds it. Called after [`Region::load`], it says whether what was
    /// loaded is that frame, whole.
    pub(crate) fn still_holds(&self, seq: Seq) -> bool {
        // A byte of a later frame, if one was loaded, shows its missing number too (`Writer::reserve`).
        device_acquire();
        let (low, high) = self.slot_number(seq.position());
        low.load(Ordering::Relaxed) == seq.low() && high.load(Ordering::Relaxed) == seq.high()
    }

    /// What the slot of `position` holds, in a ring whose device waits for nobody, and says how far it is by `newest`.
    pub(crate) fn look(
        &self,
        position: u64,
        newest: impl FnOnce() -> u32,
    ) -> Result<Look, RingError> {
        let expected = Seq::from_position(position);
        let (low, high) = self.slot_number(position);
        let found = low.load(Ordering::Acquire);
        let number = u64::from(high.load(Ordering::Relaxed)) << 32 | u64::from(found);
        fence(Ordering::Acquire);
        if low.load(Ordering::Relaxed) != found {
            // Halves of two numbers: the next look tells.
            return Ok(Look::NotYet);
        }
        let slots = u64::from(self.layout.slots());
        let Some(seq) = Seq::new(number) else {
            // Being written, for the first time or over the frame that is looked for.
            let ahead = newest().wrapping_sub(position as u32).cast_signed();
            return Ok(match i64::from(ahead) >= slots as i64 {
                true => Look::Lapped(position),
                false => Look::NotYet,
            });
        };
        let holds = seq.position();
        match holds.abs_diff(position) {
            0 => Ok(Look::There),
            away if holds > position && away.is_multiple_of(slots) => Ok(Look::Lapped(holds)),
            away if away == slots => Ok(Look::NotYet),
            _ => Err(RingError::Number {
                expected,
                found: number,
            }),
        }
    }

    /// Low half of the position after the newest frame of a free-running ring.
    pub(crate) fn newest(&self) -> u32 {
        self.control(at::NEWEST).load(Ordering::Acquire)
    }

    /// Whether the frame of `position` is in its slot, whole.
    pub(crate) fn is_published(&self, position: u64) -> Result<bool, RingError> {
        let expected = Seq::from_position(position);
        let (low, high) = self.slot_number(position);
        let found = low.load(Ordering::Acquire);
        if found == 0 {
            return Ok(false);
        }
        let found_high = high.load(Ordering::Relaxed);
        if (found, found_high) == (expected.low(), expected.high()) {
            return Ok(true);
        }
        // Its high half may already be the next one's, so the low half alone speaks.
        let lap_before = position.checked_sub(u64::from(self.layout.slots()));
        if lap_before.is_some_and(|before| Seq::from_position(before).low() == found) {
            return Ok(false);
        }
        Err(RingError::Number {
            expected,
            found: u64::from(found_high) << 32 | u64::from(found),
        })
    }

    /// Stores the record of frame `seq`; bytes 0..8 become its number, the low half last.
    pub(crate) fn commit_record(&self, seq: Seq, record: &[u8; RECORD_LEN]) {
        let offset = self.layout.record_at(seq.position());
        let number = self.record_word(offset);
        number.store(0, Ordering::Relaxed);
        // Whoever sees a word of this record must also see that its number is gone.
        fence(Ordering::Release);
        for (i, word) in record
            .chunks_exact(4)
            .enumerate()
            .take(RECORD_WORDS)
            .skip(2)
        {
            let value = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
            self.record_word(offset + 4 * i)
                .store(value, Ordering::Relaxed);
        }
        self.record_word(offset + 4)
            .store(seq.high(), Ordering::Relaxed);
        number.store(seq.low(), Ordering::Release);
    }

    /// The record of frame `seq`, if it is committed and not yet overwritten.
    pub(crate) fn record(&self, seq: Seq) -> Option<[u8; RECORD_LEN]> {
        let offset = self.layout.record_at(seq.position());
        let number = self.record_word(offset);
        if number.load(Ordering::Acquire) != seq.low() {
            return None;
        }
        let mut record = [0; RECORD_LEN];
        for (i, bytes) in record.chunks_exact_mut(4).enumerate().take(RECORD_WORDS) {
            let word = self.record_word(offset + 4 * i).load(Ordering::Relaxed);
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        fence(Ordering::Acquire);
        let whole = number.load(Ordering::Relaxed) == seq.low();
        (whole && record[..8] == seq.get().to_le_bytes()).then_some(record)
    }

    /// Whether the record of frame `seq` is committed.
    pub(crate) fn is_judged(&self, seq: Seq) -> bool {
        let offset = self.layout.record_at(seq.position());
        self.record_word(offset).load(Ordering::Acquire) == seq.low()
            && self.record_word(offset + 4).load(Ordering::Relaxed) == seq.high()
    }

    fn record_word(&self, offset: usize) -> &'m AtomicU32 {
        // SAFETY: *in bounds*; words of records are never covered by a reference.
        unsafe { self.memory.word(offset) }
    }

    /// Forgets what the memory held: the control page, the bitmap, every number.
    fn clear(&self) {
        for offset in (0..at::NEWEST + layout::LINE).step_by(4) {
            self.control(offset).store(0, Ordering::Relaxed);
        }
        for slot in 0..self.layout.slots() {
            self.returned_bit(slot).0.store(0, Ordering::Relaxed);
            let (number, _) = self.slot_number(u64::from(slot));
            number.store(0, Ordering::Relaxed);
        }
        for position in 0..u64::from(self.layout.records()) {
            let number = self.record_word(self.layout.record_at(position));
            number.store(0, Ordering::Relaxed);
        }
    }

    fn write_identity(&self) {
        let fields = identity(&self.layout);
        for (offset, value, _) in fields {
            self.store_u64(offset, value);
        }
        self.store_u64(at::SESSION, self.session);
        for (offset, value) in [
            (at::VERSION, layout::LAYOUT_VERSION),
            (at::CONTROL_LEN, layout::PAGE as u32),
            (at::SLOTS, self.layout.slots()),
            (at::STRIDE, self.layout.stride()),
            (at::RECORDS, self.layout.records()),
            (at::POLICY, self.layout.policy() as u32),
            (at::PUBLICATION, layout::PUBLISHED_BY_NUMBER),
            (at::MAGIC + 4, (layout::MAGIC >> 32) as u32),
        ] {
            self.control(offset).store(value, Ordering::Relaxed);
        }
        self.control(at::MAGIC)
            .store(layout::MAGIC as u32, Ordering::Release);
    }

    fn store_u64(&self, offset: usize, value: u64) {
        self.control(offset).store(value as u32, Ordering::Relaxed);
        self.control(offset + 4)
            .store((value >> 32) as u32, Ordering::Relaxed);
    }
}

/// The 64-bit fields that follow from the shape: offset in the identity line, value, name.
const fn identity(layout: &Layout) -> [(usize, u64, &'static str); 4] {
    [
        (
            at::BITMAP_OFFSET,
            layout.bitmap_offset() as u64,
            "offset of the bitmap",
        ),
        (
            at::RECORDS_OFFSET,
            layout.records_offset() as u64,
            "offset of the records",
        ),
        (
            at::SLOTS_OFFSET,
            layout.slots_offset() as u64,
            "offset of the slots",
        ),
        (at::TOTAL_LEN, layout.bytes() as u64, "total length"),
    ]
}

fn read_identity(memory: &Memory<'_>) -> Result<(Layout, u64), AttachError> {
    let magic = read_u64(memory, at::MAGIC);
    // The magic's low half was stored last: whoever sees it sees the rest.
    fence(Ordering::Acquire);
    if magic != layout::MAGIC {
        return Err(AttachError::NotARing);
    }
    let version = read_u32(memory, at::VERSION);
    if version != layout::LAYOUT_VERSION {
        return Err(AttachError::Version(version));
    }
    let unsupported = |field, found| Err(AttachError::Unsupported { field, found });
    let policy = match read_u32(memory, at::POLICY) {
        0 => Policy::Credit,
        1 => Policy::FreeRunning,
        other => return unsupported("policy", other),
    };
    let publication = read_u32(memory, at::PUBLICATION);
    if publication != layout::PUBLISHED_BY_NUMBER {
        return unsupported("publication", publication);
    }
    let layout = Layout::new(
        read_u32(memory, at::SLOTS),
        read_u32(memory, at::STRIDE),
        read_u32(memory, at::RECORDS),
    )?
    .with_policy(policy);
    let control_len = u64::from(read_u32(memory, at::CONTROL_LEN));
    check_field("size of the control page", control_len, layout::PAGE as u64)?;
    for (offset, expected, field) in identity(&layout) {
        check_field(field, read_u64(memory, offset), expected)?;
    }
    Ok((layout, read_u64(memory, at::SESSION)))
}

fn check_field(field: &'static str, found: u64, expected: u64) -> Result<(), AttachError> {
    if found == expected {
        return Ok(());
    }
    Err(AttachError::Field {
        field,
        found,
        expected,
    })
}

fn check_base(base: NonNull<u8>) -> Result<(), AttachError> {
    // In a loom model the base is a `Shadow`'s, which stands for a page.
    if cfg!(not(loom)) && !base.as_ptr().addr().is_multiple_of(layout::PAGE) {
        return Err(AttachError::Misaligned);
    }
    Ok(())
}

fn check_len(len: usize, needed: u64) -> Result<(), AttachError> {
    if (len as u64) < needed {
        return Err(AttachError::TooShort { len, needed });
    }
    Ok(())
}

fn read_u32(memory: &Memory<'_>, offset: usize) -> u32 {
    // SAFETY: *in bounds*: callers pass offsets of the control page, which the length was checked to hold.
    unsafe { memory.word(offset) }.load(Ordering::Relaxed)
}

fn read_u64(memory: &Memory<'_>, offset: usize) -> u64 {
    u64::from(read_u32(memory, offset)) | u64::from(read_u32(memory, offset + 4)) << 32
}
