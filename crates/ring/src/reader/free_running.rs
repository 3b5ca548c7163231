//! The reader of a ring whose device waits for nobody.

use super::{Reader, word};
use crate::copies::Copies;
use crate::error::{AttachError, RingError};
use crate::layout::at;
use crate::region::{Look, Region};
use crate::seq::Seq;
use crate::sync::device_acquire;

impl Reader<'_> {
    /// Copies the frames from the next one on that are there, at most `max`, and says how many.
    pub(super) fn copy_slots(&mut self, copies: Copies<'_>, max: u32) -> Result<u64, RingError> {
        self.reclaim();
        let limit = u64::from(max.min(self.lendable()));
        let due = self.look(self.next)?;
        self.note_wait(self.lendable() == 0 && due != Look::NotYet);
        if limit == 0 {
            return Ok(0);
        }
        if let Look::Lapped(reached) = due
            && !self.catch_up(reached)?
        {
            return Ok(0);
        }
        for i in 0..limit {
            match self.copy(copies, i) {
                Ok(true) => {}
                // What was lapped meanwhile, or is not there yet, is the next read's.
                Ok(false) => return Ok(i),
                Err(error) if i == 0 => return Err(error),
                Err(_) => return Ok(i),
            }
        }
        Ok(limit)
    }

    /// Copies the `i`-th frame from the next one on to its place, if it is there and stays for so long.
    fn copy(&self, copies: Copies<'_>, i: u64) -> Result<bool, RingError> {
        let position = self.next + i;
        if self.look(position)? != Look::There {
            return Ok(false);
        }
        let (seq, place) = (Seq::from_position(position), self.loans.place(i));
        let slot = self.slot_range(position);
        // SAFETY: *one copy*: the place is not out, and the frames of earlier batches that lay in it are
        // gone, as this batch borrows the reader.
        let copy = unsafe { copies.place(self.region.layout(), place) };
        self.clear_stray_bit(place);
        device_acquire();
        self.hooks.before_cpu_read(slot.clone());
        self.region.load(seq, copy);
        self.hooks.before_cpu_read(slot.start..slot.start + 16);
        let whole = self.region.still_holds(seq);
        self.hooks.after_cpu_read(slot);
        Ok(whole)
    }

    fn look(&self, position: u64) -> Result<Look, RingError> {
        let start = self.region.layout().slot_at(position);
        self.hooks.before_cpu_read(start..start + 16);
        self.region.look(position, || self.newest())
    }

    /// How far the device says that it is.
    fn newest(&self) -> u32 {
        self.hooks.before_cpu_read(word(at::NEWEST));
        self.region.newest()
    }

    /// Goes on half a ring behind the newest frame, as the device, which has reached position `reached`, laps.
    /// False where the slot there is just changing: the next read tries again.
    fn catch_up(&mut self, reached: u64) -> Result<bool, RingError> {
        let newest = self.newest();
        let ahead = newest.wrapping_sub(reached as u32);
        let resume = (reached + u64::from(ahead)).saturating_sub(u64::from(self.lead()));
        // The word may be anything, and a lapped frame cannot be taken back: the slot there confirms it.
        match self.look(resume) {
            Ok(Look::NotYet) => return Ok(false),
            Ok(_) if (self.next + 1..Seq::MAX_POSITION).contains(&resume) => {}
            _ => {
                return Err(RingError::Newest {
                    newest,
                    next: Seq::from_position(self.next),
                });
            }
        }
        self.lapped = self.lapped.saturating_add(resume - self.next);
        self.next = resume;
        // In one block: whoever comes after this reader finds both or neither, and no frame that came
        // before has its record after.
        let path = self.path;
        self.publish(&path);
        self.publish_head();
        Ok(true)
    }

    /// How far behind the newest frame a lapped reader goes on.
    const fn lead(&self) -> u32 {
        self.region.layout().slots() / 2
    }
}

/// Where a reader goes on that comes after another: behind what that one had published as `taken`, and behind
/// what it had settled since, which its `head` and its records say.
pub(super) fn position(
    region: &Region<'_>,
    head: u32,
    taken: u64,
    produced: u64,
) -> Result<u64, AttachError> {
    let settled = head.wrapping_sub(taken as u32).cast_signed();
    let mut next = taken.saturating_add(settled.max(0) as u64);
    // A writer publishes a frame before it counts it.
    if produced >= Seq::MAX_POSITION || next > produced + 1 {
        return Err(AttachError::Positions { produced, head });
    }
    while next <= produced && region.is_judged(Seq::from_position(next)) {
        next += 1;
    }
    Ok(next)
}
