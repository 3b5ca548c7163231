//! The end that takes slots, and gives them back.

mod free_running;

use crate::cache::{CacheHooks, Coherent};
use crate::copies::{Copies, Held};
use crate::counters::Publisher;
use crate::error::{AttachError, RingError};
use crate::layout::{CONSUMER_COUNTERS, Layout, PATH_COUNTERS, RECORD_LEN, at};
use crate::lent::Lent;
use crate::loans::Loans;
use crate::monitor::{Monitor, Source, State};
use crate::region::{CONSUMER, Region};
use crate::seq::Seq;
use crate::sync::{Ordering, device_acquire};
use core::ops::Range;

/// The end that takes slots.
///
/// Invariant *one owner*, the reader's half: a published slot is the reader's from the moment that
/// its number is seen until its bit in the returned-bitmap is set, which happens after the
/// last reference to its bytes is gone. The head never passes a slot whose bit is not set, and the
/// writer never stores to a slot that the head has not passed. In a free-running ring no slot is ever the
/// reader's, and no reference to one is made: it has copies.
pub struct Reader<'m> {
    region: Region<'m>,
    counters: Publisher<CONSUMER_COUNTERS>,
    hooks: &'m dyn CacheHooks,
    /// Position of the next frame to settle.
    next: u64,
    /// The slots that are out; in a free-running ring the copies.
    loans: Loans,
    /// Memory for copies, in a free-running ring.
    copies: Option<Copies<'m>>,
    waits: u64,
    /// The wait that is going on has already been counted.
    waiting: bool,
    lapped: u64,
    path: [u64; PATH_COUNTERS],
    source: Source,
}

/// Frames in order, oldest first. Each is settled in turn; those that are not settled
/// when the batch goes are read again.
pub struct Batch<'r, 'm> {
    reader: &'r mut Reader<'m>,
    /// Position after the last frame of the batch.
    end: u64,
}

/// A published frame that has not been settled.
#[derive(Clone, Copy)]
pub struct Frame<'b> {
    held: Held<'b>,
    region: &'b Region<'b>,
}

impl<'m> Reader<'m> {
    pub(crate) fn new(region: Region<'m>, copies: &'m mut [u8]) -> Result<Self, AttachError> {
        let layout = *region.layout();
        let copies = Copies::new(copies, &layout)?;
        let head = region.control(at::HEAD).load(Ordering::Acquire);
        let source = region.monitor().source().ok_or(AttachError::Busy)?;
        let (counters, values) = CONSUMER.take_over(&region);
        let mut path = [0; PATH_COUNTERS];
        path.copy_from_slice(&values[..PATH_COUNTERS]);
        let (taken, waits) = (values[PATH_COUNTERS], values[PATH_COUNTERS + 2]);
        let (next, loans) = match copies {
            None => {
                let next = position_of_head(head, source.produced, layout.slots())?;
                (next, Loans::new(next, layout.slots()))
            }
            Some(_) => {
                let next = free_running::position(&region, head, taken, source.produced)?;
                (next, Loans::new(0, layout.lend_limit()))
            }
        };
        let mut reader = Reader {
            region,
            counters,
            hooks: &Coherent,
            next,
            loans,
            copies,
            waits,
            waiting: false,
            lapped: values[PATH_COUNTERS + 3],
            path,
            source,
        };
        reader.publish(&path);
        reader.set_state(State::Open);
        Ok(reader)
    }

    /// The same reader, for memory that the caches do not follow by themselves.
    pub fn with_cache_hooks(mut self, hooks: &'m dyn CacheHooks) -> Self {
        self.hooks = hooks;
        // An earlier reader may have died between storing the head and this.
        self.write_back_head();
        self
    }

    /// At most `max` published frames, oldest first.
    ///
    /// A batch is never larger than the number of frames that may still be lent, so every frame
    /// of it can be. If that number is 0 while frames are there, the batch is empty and says
    /// [`Batch::waiting`]; the wait is counted, once.
    ///
    /// A device that laps the reader of a free-running ring overwrites frames: the reader goes on half a ring
    /// behind the newest, and [`Reader::lapped`] grows by those in between.
    ///
    /// # Errors
    /// [`RingError::Number`] when the next slot holds an impossible number, [`RingError::Newest`] when the
    /// device is said to be where it is not.
    pub fn read(&mut self, max: u32) -> Result<Batch<'_, 'm>, RingError> {
        let ready = match self.copies {
            None => self.take_slots(max)?,
            Some(copies) => self.copy_slots(copies, max)?,
        };
        let end = self.next + ready;
        Ok(Batch { reader: self, end })
    }

    /// Gives the slots that came back to the writer: all up to the first that is still out. In a
    /// free-running ring copies come back so. [`Reader::read`] and dropping a [`Batch`] do this too.
    pub fn reclaim(&mut self) {
        if self.loans.reclaim(&self.region) {
            self.publish_head();
        }
    }

    /// Frames that are lent.
    pub fn lent(&self) -> u32 {
        self.loans.out(&self.region)
    }

    /// Frames that may still be lent: half as many as there are slots, less those that are. In a
    /// free-running ring a copy that is held for long holds up those after it too.
    pub fn lendable(&self) -> u32 {
        match self.copies {
            None => (self.region.layout().lend_limit()).saturating_sub(self.lent()),
            Some(_) => self.loans.room(),
        }
    }

    /// Frames settled or lapped, by this reader and those before it in the same session.
    pub const fn taken(&self) -> u64 {
        self.next
    }

    /// Frames whose slots came back, and all slots before them; of a free-running ring, where none is out, those that
    /// are taken less the copies that are out.
    pub const fn returned(&self) -> u64 {
        match self.copies {
            None => self.loans.returned(),
            Some(_) => self.next.saturating_sub(self.loans.held()),
        }
    }

    /// Times that frames waited because as many were lent as may be.
    pub const fn waits(&self) -> u64 {
        self.waits
    }

    /// Frames that the device of a free-running ring overwrote before they were read.
    pub const fn lapped(&self) -> u64 {
        self.lapped
    }

    /// Publishes the path's counters for other processes, with the ring's own, as one block.
    pub fn publish(&mut self, path: &[u64; PATH_COUNTERS]) {
        self.path = *path;
        let mut values = [0; CONSUMER_COUNTERS];
        values[..PATH_COUNTERS].copy_from_slice(path);
        let own = [self.next, self.returned(), self.waits, self.lapped];
        values[PATH_COUNTERS..PATH_COUNTERS + own.len()].copy_from_slice(&own);
        self.counters.publish(&self.region, &values);
    }

    /// The path's counters as last published, by this reader or the one before it.
    pub const fn published(&self) -> &[u64; PATH_COUNTERS] {
        &self.path
    }

    /// Tells the writer's side that this end is alive, at `now_ms` of the host's monotonic clock.
    pub fn heartbeat(&self, now_ms: u32) {
        self.region
            .control(at::CONSUMER + at::HEARTBEAT)
            .store(now_ms, Ordering::Release);
    }

    /// Says that this end stops in good order.
    pub fn close(&mut self) {
        let path = self.path;
        self.publish(&path);
        self.set_state(State::Closed);
    }

    /// What the writer's side says of itself.
    pub fn source(&mut self) -> Source {
        if let Some(source) = self.region.monitor().source() {
            self.source = source;
        }
        self.source
    }

    /// Whether the writer closed and every frame that it produced is settled.
    pub fn finished(&mut self) -> bool {
        let source = self.source();
        source.state == State::Closed && self.next >= source.produced
    }

    /// The record of frame `seq`, if it is committed and not yet overwritten.
    pub fn record(&self, seq: Seq) -> Option<[u8; RECORD_LEN]> {
        self.region.record(seq)
    }

    /// Shape and offsets of the ring.
    pub const fn layout(&self) -> &Layout {
        self.region.layout()
    }

    /// The number that the creator gave this run.
    pub const fn session(&self) -> u64 {
        self.region.session()
    }

    /// A view of both sides' counters.
    pub fn monitor(&self) -> Monitor<'m> {
        self.region.monitor()
    }

    /// Under credit: how many frames from the next one on are there, at most `max`; their slots are
    /// the reader's from now on.
    fn take_slots(&mut self, max: u32) -> Result<u64, RingError> {
        self.skip_returned();
        self.reclaim();
        let lendable = self.lendable();
        self.note_wait(lendable == 0 && self.is_there(self.next)?);
        let ready = self.ready(max.min(lendable))?;
        if ready > 0 {
            device_acquire();
        }
        for i in 0..ready {
            self.hooks.before_cpu_read(self.slot_range(self.next + i));
            self.clear_stray_bit(self.loans.place(i));
        }
        Ok(ready)
    }

    /// Passes slots that an earlier reader had judged and got back when it died: they wait only
    /// for one before them.
    fn skip_returned(&mut self) {
        while self.loans.room() > 0 && self.came_back(self.next) {
            self.pass();
        }
    }

    /// Leaves the next frame behind, its place being given out.
    const fn pass(&mut self) {
        self.next += 1;
        self.loans.give();
    }

    /// How many frames from the next one on are published, at most `limit`.
    fn ready(&self, limit: u32) -> Result<u64, RingError> {
        let limit = u64::from(limit.min(self.loans.room()));
        for ready in 0..limit {
            match self.is_there(self.next + ready) {
                Ok(true) if !self.came_back(self.next + ready) => {}
                Ok(_) => return Ok(ready),
                Err(error) if ready == 0 => return Err(error),
                // The whole frames first: the next read meets this one.
                Err(_) => return Ok(ready),
            }
        }
        Ok(limit)
    }

    fn is_there(&self, position: u64) -> Result<bool, RingError> {
        let start = self.region.layout().slot_at(position);
        self.hooks.before_cpu_read(start..start + 16);
        self.region.is_published(position)
    }

    /// Whether the frame was settled, and its slot given back, by an earlier reader.
    fn came_back(&self, position: u64) -> bool {
        let slot = self.region.layout().slot_index(position);
        let (word, bit) = self.region.returned_bit(slot);
        word.load(Ordering::Acquire) >> bit & 1 == 1
            && self.region.is_judged(Seq::from_position(position))
    }

    /// A bit that is set before its place is given back would give it back while it is read.
    fn clear_stray_bit(&self, place: u32) {
        let (word, bit) = self.region.returned_bit(place);
        if word.load(Ordering::Relaxed) >> bit & 1 == 1 {
            word.fetch_and(!(1 << bit), Ordering::Relaxed);
        }
    }

    /// Position up to which slots came back; none is out of a free-running ring.
    const fn head(&self) -> u64 {
        match self.copies {
            None => self.loans.returned(),
            Some(_) => self.next,
        }
    }

    fn publish_head(&self) {
        self.region
            .control(at::HEAD)
            .store(self.head() as u32, Ordering::Release);
        self.write_back_head();
    }

    /// The device of a free-running ring reads no head.
    fn write_back_head(&self) {
        if self.copies.is_none() {
            self.hooks.after_cpu_write(word(at::HEAD));
        }
    }

    fn note_wait(&mut self, waiting: bool) {
        if waiting && !self.waiting {
            self.waits = self.waits.saturating_add(1);
        }
        self.waiting = waiting;
    }

    /// The `i`-th frame from the next one on.
    fn held(&self, i: u64) -> Held<'m> {
        Held {
            seq: Seq::from_position(self.next + i),
            place: self.loans.place(i),
            copies: self.copies,
        }
    }

    fn slot_range(&self, position: u64) -> Range<usize> {
        let start = self.region.layout().slot_at(position);
        start..start + self.region.layout().stride() as usize
    }

    fn set_state(&self, state: State) {
        self.region
            .control(at::CONSUMER + at::STATE)
            .store(state as u32, Ordering::Release);
    }
}

/// A word of the control page, for the hooks.
const fn word(offset: usize) -> Range<usize> {
    offset..offset + 4
}

/// The position whose low half is `head`: not above `produced` by more than the one frame that a
/// writer publishes before it counts it, nor below it by more than a ring.
fn position_of_head(head: u32, produced: u64, slots: u32) -> Result<u64, AttachError> {
    let ahead = i64::from(head.wrapping_sub(produced as u32).cast_signed());
    let possible = produced < Seq::MAX_POSITION && (-i64::from(slots)..=1).contains(&ahead);
    produced
        .checked_add_signed(ahead)
        .filter(|_| possible)
        .ok_or(AttachError::Positions { produced, head })
}

impl<'m> Batch<'_, 'm> {
    /// Frames not settled yet.
    pub const fn len(&self) -> usize {
        (self.end - self.reader.next) as usize
    }

    /// Whether no frame is left to settle.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frames that the device of a free-running ring overwrote before they were read, up to this batch.
    pub const fn lapped(&self) -> u64 {
        self.reader.lapped
    }

    /// Whether frames are there, but wait because as many are lent as may be.
    pub const fn waiting(&self) -> bool {
        self.reader.waiting
    }

    /// The frames not settled yet, oldest first.
    pub fn frames(&self) -> impl ExactSizeIterator<Item = Frame<'_>> {
        (0..self.len()).map(|i| self.frame(i))
    }

    /// The `i`-th frame not settled yet.
    pub fn get(&self, i: usize) -> Option<Frame<'_>> {
        (i < self.len()).then(|| self.frame(i))
    }

    /// The oldest frame not settled yet.
    pub fn front(&self) -> Option<Frame<'_>> {
        self.get(0)
    }

    /// Commits the record of the oldest frame, and passes its slot on: drop the [`Lent`] to give
    /// the slot back at once, or keep it for as long as the link needs the frame. `None` when
    /// no frame is left.
    ///
    /// Bytes 0..8 of the record become the frame's number. A frame that was judged before a
    /// crash keeps the record it has, so that each frame has exactly one.
    pub fn settle(&mut self, record: &[u8; RECORD_LEN]) -> Option<Lent<'m>> {
        if self.is_empty() {
            return None;
        }
        let reader = &mut *self.reader;
        let seq = Seq::from_position(reader.next);
        if !reader.region.is_judged(seq) {
            reader.region.commit_record(seq, record);
        }
        let held = reader.held(0);
        reader.pass();
        Some(Lent::new(reader.region.again(), held, reader.hooks))
    }

    fn frame(&self, i: usize) -> Frame<'_> {
        Frame {
            held: self.reader.held(i as u64),
            region: &self.reader.region,
        }
    }
}

impl Drop for Batch<'_, '_> {
    fn drop(&mut self) {
        self.reader.reclaim();
        if self.reader.copies.is_some() {
            self.reader.publish_head();
        }
    }
}

impl<'b> Frame<'b> {
    /// Its number in the ring.
    pub const fn seq(&self) -> Seq {
        self.held.seq
    }

    /// The whole slot; bytes 8..16 are the number.
    pub fn bytes(&self) -> &'b [u8] {
        // SAFETY: *one owner* and *one copy*: the frame is there, and its place cannot go back while the
        // batch that this frame borrows from is not settled further.
        unsafe { self.held.bytes(self.region) }
    }

    /// The record that an earlier reader committed before it died without giving the slot back.
    pub fn judged(&self) -> Option<[u8; RECORD_LEN]> {
        self.region.record(self.held.seq)
    }
}
