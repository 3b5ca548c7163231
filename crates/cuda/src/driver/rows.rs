//! Frames that lie equally far apart, as in the slots of a ring: one copy sends all of them. Between two copies a bus rests.

use std::ops::Range;

use crate::memory::UNIT;

/// Equally many bytes each, equally far apart on this side and on the device.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'f> {
    /// The first one's place on the device.
    pub place: u32,
    /// The first one.
    pub first: &'f [u8],
    /// How many they are.
    pub rows: usize,
    /// From one to the next on this side, in bytes; 0 of a single one.
    pub apart: usize,
    /// From one to the next on the device, in units.
    pub units: u32,
}

impl<'f> Rows<'f> {
    /// A single one.
    pub fn of(place: u32, first: &'f [u8]) -> Self {
        Rows {
            place,
            first,
            rows: 1,
            apart: 0,
            units: 0,
        }
    }

    /// These and one more, if it is the next row; and if `is_registered` says so of all bytes from the first to its last: a copy is
    /// made of memory of one kind.
    pub fn with(
        self,
        place: u32,
        bytes: &'f [u8],
        is_registered: impl Fn(Range<usize>) -> bool,
    ) -> Option<Self> {
        let Rows { first, rows, .. } = self;
        let (from, at) = (first.as_ptr().addr(), bytes.as_ptr().addr());
        let apart = at.checked_sub(from)? / rows;
        let units = place.checked_sub(self.place)? / rows as u32;
        let is_next = (from + apart * rows, self.place + units * rows as u32) == (at, place)
            && (rows == 1 || (apart, units) == (self.apart, self.units));
        let fits = bytes.len() == first.len()
            && !bytes.is_empty()
            && apart.min(units as usize * UNIT) >= bytes.len()
            // Of a pitch the driver says that it can be so much.
            && apart.max(units as usize * UNIT) <= i32::MAX as usize;
        (is_next && fits && is_registered(from..at + bytes.len())).then_some(Rows {
            rows: rows + 1,
            apart,
            units,
            ..self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static MEMORY: [u8; 4096] = [0; 4096];

    /// Frames of so many bytes, each with its place, as so many copies.
    fn copies(frames: &[(u32, Range<usize>)]) -> Vec<(usize, usize, u32)> {
        let mut made: Vec<Rows<'_>> = Vec::new();
        for (place, bytes) in frames.iter().cloned() {
            let bytes = &MEMORY[bytes];
            let registered = |span: Range<usize>| {
                let from = MEMORY.as_ptr().addr();
                from <= span.start && span.end <= from + 3000
            };
            match made
                .last()
                .and_then(|rows| rows.with(place, bytes, registered))
            {
                Some(rows) => *made.last_mut().expect("one that it was added to") = rows,
                None => made.push(Rows::of(place, bytes)),
            }
        }
        made.iter()
            .map(|of| (of.rows, of.apart, of.units))
            .collect()
    }

    #[test]
    fn what_is_equally_far_apart_is_one_copy() {
        let slots = [(0, 64..364), (2, 464..764), (4, 864..1164), (6, 1264..1564)];
        assert_eq!(copies(&slots), [(4, 400, 2)]);
        assert_eq!(copies(&slots[..1]), [(1, 0, 0)]);
        assert_eq!(copies(&[]), []);
    }

    #[test]
    fn what_is_not_is_several() {
        // The ring begins anew; a place is left out; bytes are fewer; rows would lie in each other; it is not registered.
        let wraps = [(0, 2000..2300), (2, 2400..2700), (4, 0..300), (6, 400..700)];
        assert_eq!(copies(&wraps), [(2, 400, 2), (2, 400, 2)]);
        let gap = [(0, 0..300), (2, 400..700), (6, 800..1100)];
        assert_eq!(copies(&gap), [(2, 400, 2), (1, 0, 0)]);
        assert_eq!(copies(&[(0, 0..300), (2, 400..699)]).len(), 2);
        assert_eq!(copies(&[(0, 0..300), (1, 400..700)]).len(), 2);
        assert_eq!(copies(&[(0, 0..300), (2, 200..500)]).len(), 2);
        assert_eq!(copies(&[(0, 2600..2900), (2, 2800..3100)]).len(), 2);
        assert_eq!(copies(&[(0, 0..0), (2, 400..400)]).len(), 2);
        assert_eq!(copies(&[(2, 400..700), (0, 0..300)]).len(), 2);
        assert_eq!(copies(&[(0, 0..300), (0, 0..300)]).len(), 2);
    }
}
