//! Kept frames between a step and the caller's link: out until they are sent, or not sent after all.

use core::sync::atomic::{AtomicUsize, Ordering};

use hitgate_core::link::{Record, Refused, Worth};
use hitgate_ring::{Layout, Lent, Seq};
use spin::Mutex;

use crate::status::Status;

/// Of a kept frame, a miss that was drawn as a sample, or that an interlock which is not armed keeps: given up first.
pub const WORTH_SAMPLE: u32 = 0;
/// Of a kept frame: probably a maybe.
pub const WORTH_MAYBE: u32 = 1;
/// Of a kept frame: a hit, one that somebody asked for, or one that was not judged, given up last.
pub const WORTH_MOST: u32 = 2;

/// What a kept frame is worth to a link that cannot carry all of them.
pub fn worth_of(record: &Record) -> Result<u32, Status> {
    let record = Record::parse(&record.to_bytes()).ok_or(Status::Argument)?;
    if !record.verdict().keeps() {
        return Err(Status::Argument);
    }
    Ok(match Worth::of(record.verdict(), record.reasons) {
        Worth::Sample => WORTH_SAMPLE,
        Worth::Maybe => WORTH_MAYBE,
        Worth::Most => WORTH_MOST,
    })
}

/// A place for a kept frame that is out.
pub type Place = Mutex<Option<Out>>;

/// A kept frame that is out.
pub struct Out {
    frame: Lent<'static>,
    record: Record,
    /// Not sent, says the caller: it waits to be entered, and its slot with it.
    lost: bool,
}

/// All that is out: a place for each slot, in the order of the ring. What is lent lies in the place of its slot. In a
/// free-running ring a copy of an earlier lap may still lie there: then in the next place that is free. At most
/// half of them are taken.
pub struct Lendings {
    places: &'static [Place],
    /// Frames that wait to be entered.
    lost: AtomicUsize,
}

impl Lendings {
    /// With nothing out.
    pub const fn new(places: &'static [Place]) -> Self {
        let lost = AtomicUsize::new(0);
        Lendings { places, lost }
    }

    /// Places that a ring of this layout needs.
    pub const fn places(layout: &Layout) -> usize {
        layout.slots() as usize
    }

    /// Holds a kept frame.
    pub fn lend(&self, record: &Record, frame: Lent<'static>) -> Result<(), Refused> {
        for place in self.from(frame.seq()) {
            let mut place = place.lock();
            if place.is_none() {
                *place = Some(Out {
                    frame,
                    record: *record,
                    lost: false,
                });
                return Ok(());
            }
        }
        Err(Refused)
    }

    /// Gives a kept frame's slot back to the ring.
    pub fn give_back(&self, seq: u64) -> Result<(), Status> {
        // The place is free before the slot is: the ring may fill it, and the path lend it, at once.
        self.with(seq, Option::take).map(drop)
    }

    /// Says that a kept frame was not sent; its slot stays out until that is entered. Returns the lost record.
    pub fn lose(&self, seq: u64) -> Result<Record, Status> {
        let lost = self.with(seq, |place| {
            let out = place.as_mut()?;
            out.lost = true;
            self.lost.fetch_add(1, Ordering::Release);
            Some(out.record.refused())
        });
        lost?.ok_or(Status::NoSlot)
    }

    /// A frame that was lost and waits to be entered, looked for from the place of frame `near` on.
    pub fn take_lost(&self, near: Seq) -> Option<(Record, Lent<'static>)> {
        if self.lost.load(Ordering::Acquire) == 0 {
            return None;
        }
        let taken = self
            .from(near)
            .find_map(|place| place.lock().take_if(|out| out.lost))?;
        self.lost.fetch_sub(1, Ordering::Relaxed);
        Some((taken.record, taken.frame))
    }

    /// All places, from that of the slot of frame `seq` on.
    fn from(&self, seq: Seq) -> impl Iterator<Item = &Place> {
        let first = seq.position().checked_rem(self.places.len() as u64);
        let halves = first.and_then(|first| self.places.split_at_checked(first as usize));
        let (before, from) = halves.unwrap_or_default();
        from.iter().chain(before)
    }

    /// Does something to the place where frame `seq` is out.
    fn with<T>(&self, seq: u64, change: impl FnOnce(&mut Option<Out>) -> T) -> Result<T, Status> {
        let seq = Seq::new(seq).ok_or(Status::NoSlot)?;
        for place in self.from(seq) {
            // Held only while a frame goes in or out: nobody waits for long.
            let mut place = place.lock();
            if place
                .as_ref()
                .is_some_and(|out| out.frame.seq() == seq && !out.lost)
            {
                return Ok(change(&mut place));
            }
        }
        Err(Status::NoSlot)
    }
}
