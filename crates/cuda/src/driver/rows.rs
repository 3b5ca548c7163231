//! What one copy sends: rows of bytes, equally far apart. Those are the rows of a window, of which the rest of a frame is not sent;
//! or frames that lie in the slots of a ring, as a bus rests between two copies.

use std::ops::Range;

/// Of a frame what is sent, which keeps its place there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Rows of pixels.
    pub rows: Range<usize>,
    /// Bytes of a row.
    pub bytes: Range<usize>,
    /// From one row to the next, in bytes.
    pub pitch: usize,
}

/// Equally many bytes each, equally far apart in the memory of either side.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'f> {
    /// The first one.
    pub first: &'f [u8],
    /// Its place in the device's memory, in bytes.
    pub to: u64,
    /// How many they are, at least one.
    pub rows: usize,
    /// From one to the next on this side.
    pub apart: usize,
    /// From one to the next on the device.
    pub apart_there: usize,
}

impl<'f> Rows<'f> {
    /// All that there is of so few bytes.
    pub fn one(first: &'f [u8], to: u64) -> Self {
        Rows {
            first,
            to,
            rows: 1,
            apart: 0,
            apart_there: 0,
        }
    }

    /// What is `seen` of `frame`, whose place is `to`. Memory that the device reads by itself has less to send; whole rows, which
    /// are one, go of what is not `registered`.
    pub fn seen(
        frame: &'f [u8],
        to: u64,
        seen: &Seen,
        registered: impl Fn(Range<usize>) -> bool,
    ) -> Self {
        let Seen { rows, bytes, pitch } = seen;
        let band = rows.start * pitch..rows.end * pitch;
        let Some(all) = frame.get(band.clone()) else {
            return Rows::one(frame, to);
        };
        let to = to + band.start as u64;
        let is_part = bytes.len() < *pitch && *pitch <= MOST && registered(addresses(all));
        match all.get(bytes.clone()) {
            Some(first) if is_part && !first.is_empty() => Rows {
                first,
                to: to + bytes.start as u64,
                rows: rows.len(),
                apart: *pitch,
                apart_there: *pitch,
            },
            _ => Rows::one(all, to),
        }
    }

    /// These and one more, if it is the next row; and all of them are `registered` as one.
    pub fn with(self, next: Self, registered: impl Fn(Range<usize>) -> bool) -> Option<Self> {
        let Rows {
            first, to, rows, ..
        } = self;
        let (from, behind) = (addresses(first), addresses(next.first));
        let apart = behind.start.checked_sub(from.start)?;
        let apart_there = usize::try_from(next.to.checked_sub(to)?).ok()?;
        let is_next = (apart % rows, apart_there % rows, next.rows) == (0, 0, 1);
        let (apart, apart_there) = (apart / rows, apart_there / rows);
        let is_next =
            is_next && (rows == 1 || (apart, apart_there) == (self.apart, self.apart_there));
        let fits = (1..=apart.min(apart_there)).contains(&first.len())
            && next.first.len() == first.len()
            && apart.max(apart_there) <= MOST;
        (is_next && fits && registered(from.start..behind.end)).then_some(Rows {
            rows: rows + 1,
            apart,
            apart_there,
            ..self
        })
    }
}

/// The driver says that rows may be so far apart.
const MOST: usize = i32::MAX as usize;

fn addresses(of: &[u8]) -> Range<usize> {
    let of = of.as_ptr_range();
    of.start.addr()..of.end.addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    static MEMORY: [u8; 4096] = [0; 4096];

    /// The first 3,000 bytes are.
    fn registered(span: Range<usize>) -> bool {
        let all = addresses(&MEMORY[..3000]);
        all.start <= span.start && span.end <= all.end
    }

    /// Frames, each with its place, as so many copies: rows, and how far apart.
    fn copies(frames: &[(u64, Range<usize>)]) -> Vec<(usize, usize, usize)> {
        let mut made: Vec<Rows<'_>> = Vec::new();
        for (to, bytes) in frames.iter().cloned() {
            let next = Rows::one(&MEMORY[bytes], to);
            match made.last().and_then(|rows| rows.with(next, registered)) {
                Some(rows) => *made.last_mut().expect("one that it was added to") = rows,
                None => made.push(next),
            }
        }
        let apart = |of: &Rows<'_>| (of.rows, of.apart, of.apart_there);
        made.iter().map(apart).collect()
    }

    #[test]
    fn what_is_equally_far_apart_is_one_copy() {
        let slots = [
            (0, 64..364),
            (512, 464..764),
            (1024, 864..1164),
            (1536, 1264..1564),
        ];
        assert_eq!(copies(&slots), [(4, 400, 512)]);
        assert_eq!(copies(&slots[..1]), [(1, 0, 0)]);
        assert_eq!(copies(&[]), []);
    }

    #[test]
    fn what_is_not_is_several() {
        // The ring begins anew, or a frame is left out.
        let wraps = [
            (0, 2000..2300),
            (512, 2400..2700),
            (1024, 0..300),
            (1536, 400..700),
        ];
        assert_eq!(copies(&wraps), [(2, 400, 512), (2, 400, 512)]);
        let gap = [(0, 0..300), (512, 400..700), (1536, 800..1100)];
        assert_eq!(copies(&gap), [(2, 400, 512), (1, 0, 0)]);
        let odd = [(0, 0..300), (512, 400..700), (1024, 1201..1501)];
        assert_eq!(copies(&odd), [(2, 400, 512), (1, 0, 0)]);
        let far = [(0, 0..300), (512, 400..700), (1024, 1200..1500)];
        assert_eq!(copies(&far), [(2, 400, 512), (1, 0, 0)]);
        let far_there = [(0, 0..300), (512, 400..700), (2048, 800..1100)];
        assert_eq!(copies(&far_there), [(2, 400, 512), (1, 0, 0)]);
        // Other bytes, rows that would lie in each other, what is not registered, nothing at all, and backwards.
        for two in [
            [(0, 0..300), (512, 400..699)],
            [(0, 0..300), (256, 400..700)],
            [(0, 0..300), (512, 200..500)],
            [(0, 2600..2900), (512, 2800..3100)],
            [(0, 0..0), (512, 400..400)],
            [(512, 400..700), (0, 0..300)],
            [(0, 0..300), (0, 0..300)],
        ] {
            assert_eq!(copies(&two).len(), 2, "{two:?}");
        }
    }

    #[test]
    fn of_a_frame_only_the_window_is_sent() {
        let window = Seen {
            rows: 2..5,
            bytes: 8..24,
            pitch: 40,
        };
        let frame = &MEMORY[100..500];
        let part = Rows::seen(frame, 1024, &window, registered);
        assert_eq!(
            addresses(part.first),
            addresses(&MEMORY[100 + 88..100 + 104])
        );
        assert_eq!((part.to, part.rows), (1024 + 88, 3));
        assert_eq!((part.apart, part.apart_there), (40, 40));
        // It is no row of several frames'.
        let next = Rows::seen(&MEMORY[500..900], 1536, &window, registered);
        assert!(part.with(next, registered).is_none());

        let whole_rows = Seen {
            bytes: 0..40,
            ..window.clone()
        };
        for (frame, seen) in [(&MEMORY[3000..3400], &window), (frame, &whole_rows)] {
            let band = Rows::seen(frame, 1024, seen, registered);
            assert_eq!(addresses(band.first), addresses(&frame[80..200]));
            assert_eq!((band.to, band.rows), (1024 + 80, 1));
        }
        // Of a window off the panel nothing, or not much, whatever comes behind it.
        for (rows, bytes) in [(0..0, 8..24), (2..5, 0..0), (2..5, 40..40), (0..0, 0..0)] {
            let off = Seen {
                rows,
                bytes,
                ..window.clone()
            };
            let off = Rows::seen(frame, 0, &off, registered);
            assert_eq!(off.rows, 1);
            assert!(off.with(off, registered).is_none());
            assert!(off.with(part, registered).is_none());
        }
        // A frame that is too short is sent as it is.
        let short = Rows::seen(&frame[..100], 0, &window, registered);
        assert_eq!((short.first.len(), short.rows), (100, 1));
    }
}
