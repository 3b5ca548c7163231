//! Places that are given out in turn and come back in any order.

use crate::region::Region;
use crate::sync::Ordering;

/// Which places are out. Loan number `n` has place `n` mod the number of places; the place's bit in the
/// returned-bitmap is set when the loan comes back. Under credit a place is a slot and a loan's number the
/// frame's position; in a free-running ring places are those of the copies.
pub(crate) struct Loans {
    /// All loans before this one came back.
    returned: u64,
    /// Number of the next loan.
    next: u64,
    places: u32,
}

/// Loans whose places' bits lie side by side in one word of the bitmap.
struct Run {
    len: u64,
    mask: u32,
}

impl Loans {
    /// Nothing is out, and the next loan is number `next`.
    pub fn new(next: u64, places: u32) -> Self {
        Loans {
            returned: next,
            next,
            places,
        }
    }

    /// All loans before this one came back.
    pub const fn returned(&self) -> u64 {
        self.returned
    }

    /// Places that wait for one that is out, it among them.
    pub const fn held(&self) -> u64 {
        self.next - self.returned
    }

    /// Places that may be given out now.
    pub const fn room(&self) -> u32 {
        // At most all places are out, so the difference fits.
        self.places - self.held() as u32
    }

    /// The place of the `i`-th loan from now.
    pub const fn place(&self, i: u64) -> u32 {
        self.place_of(self.next + i)
    }

    /// Gives the next place out.
    pub const fn give(&mut self) {
        self.next += 1;
    }

    /// Takes the places back that are there: all up to the first that is still out. Whether there
    /// were any.
    pub fn reclaim(&mut self, region: &Region<'_>) -> bool {
        let before = self.returned;
        while self.returned < self.next {
            let (word, bit) = region.returned_bit(self.place_of(self.returned));
            let back = u64::from((word.load(Ordering::Acquire) >> bit).trailing_ones());
            let run = self.run_in_word(self.returned, self.next.min(self.returned + back));
            if run.len == 0 {
                break;
            }
            // Cleared before the place is free: a bit left behind would return its next loan.
            word.fetch_and(!run.mask, Ordering::Relaxed);
            self.returned += run.len;
        }
        self.returned != before
    }

    /// How many places are out.
    pub fn out(&self, region: &Region<'_>) -> u32 {
        let mut out = self.next - self.returned;
        let mut number = self.returned;
        while number < self.next {
            let run = self.run_in_word(number, self.next);
            let (word, _) = region.returned_bit(self.place_of(number));
            let back = word.load(Ordering::Relaxed) & run.mask;
            out -= u64::from(back.count_ones());
            number += run.len;
        }
        out as u32
    }

    const fn place_of(&self, number: u64) -> u32 {
        (number % self.places as u64) as u32
    }

    /// The loans from `first` up to `end` whose bits lie in one word of the bitmap.
    fn run_in_word(&self, first: u64, end: u64) -> Run {
        let place = self.place_of(first);
        let bit = place % 32;
        let len = (end - first)
            .min(u64::from(32 - bit))
            .min(u64::from(self.places - place));
        let ones = (1_u64 << len) - 1;
        Run {
            len,
            mask: (ones << bit) as u32,
        }
    }
}
