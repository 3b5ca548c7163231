//! Pixels → rings about the beam.

use core::ops::Range;

use hitgate_core::prep::Mask;

use crate::background::Ring;

/// Where the beam meets the frame, and how far from it spots count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beam {
    /// Place of the beam, `[x, y]` in pixels; pixel `i` covers `[i, i + 1)`.
    pub center: [f64; 2],
    /// Pixels further from the beam do not count: the radius of the water ring, in pixels. `None`
    /// counts all of the frame.
    pub within: Option<f64>,
}

impl Beam {
    /// About the centre of a panel, to its corners: for frames without geometry.
    pub fn of_panel(columns: u32, rows: u32) -> Self {
        Beam {
            center: [columns, rows].map(|side| f64::from(side) / 2.0),
            within: None,
        }
    }

    /// The columns and the rows that pixels within reach may have.
    pub(crate) fn reaches(&self, shape: [u32; 2]) -> [Range<usize>; 2] {
        core::array::from_fn(|axis| {
            let len = f64::from(shape[axis]);
            let Some(within) = self.within else {
                return 0..len as usize;
            };
            // `as` cuts what is no number of pixels to one.
            let start = (self.center[axis] - within).clamp(0.0, len) as usize;
            let end = (self.center[axis] + within + 1.0).clamp(0.0, len) as usize;
            start..end.max(start)
        })
    }

    /// The center in sixteenths of a pixel, as far as it can matter.
    fn sixteenths(&self) -> [i64; 2] {
        self.center.map(|at| (16.0 * at).clamp(-FAR, FAR) as i64)
    }
}

/// A beam further off than this, in sixteenths of a pixel, is not told from one at it.
const FAR: f64 = 1e8;
/// Pixels beyond this radius are in one ring: a ring has two bytes.
const LAST: u64 = u16::MAX as u64 - 2;
/// A pixel that is masked, or out of reach, while rings are counted.
const NONE: u16 = u16::MAX;
/// Fewest pixels of a ring; a spot is a small part of so many.
const FEWEST: u32 = 128;

/// The ring of every pixel of a box.
#[derive(Debug)]
pub(crate) struct Rings<'m> {
    /// Columns of the box.
    pub columns: Range<usize>,
    /// Rows of the box.
    pub rows: Range<usize>,
    /// Row by row; a pixel in no ring has the number [`count`](Self::count).
    pub of: &'m [u16],
    /// How many there are.
    pub count: usize,
}

/// The most rings that a frame of this shape can have.
pub(crate) fn most(shape: [u32; 2], beam: &Beam) -> usize {
    let [columns, rows] = beam.reaches(shape);
    let [cx, cy] = beam.sixteenths();
    let far = |along: &Range<usize>, center: i64| {
        let ends = [along.start, along.end].map(|end| (16 * end as i64 - center).unsigned_abs());
        ends[0].max(ends[1])
    };
    radius(far(&columns, cx), far(&rows, cy)) as usize + 1
}

/// Whole pixels from the beam, of sixteenths along both axes.
fn radius(dx: u64, dy: u64) -> u64 {
    ((dx * dx + dy * dy).isqrt() / 16).min(LAST)
}

impl<'m> Rings<'m> {
    /// Sorts pixels by their whole distance from the beam; rings that have too few pixels are joined
    /// to the next outer one. `of` has a place for each pixel of the box, `rings` one for each of
    /// [`most`] rings.
    pub fn new(
        shape: [u32; 2],
        beam: &Beam,
        mask: Mask<'_>,
        of: &'m mut [u16],
        rings: &mut [Ring],
    ) -> Self {
        let [columns, rows] = beam.reaches(shape);
        let [cx, cy] = beam.sixteenths();
        let from = |at: usize, center: i64| (16 * at as i64 + 8 - center).unsigned_abs();
        let within = 16.0 * beam.within.unwrap_or(f64::INFINITY).max(0.0);
        let within = (within * within) as u64;
        rings.fill(Ring::default());
        for (y, line) in rows.clone().zip(of.chunks_exact_mut(columns.len().max(1))) {
            let dy = from(y, cy);
            for (x, ring) in columns.clone().zip(line) {
                let dx = from(x, cx);
                let counts =
                    dx * dx + dy * dy < within && !mask.excludes(y * shape[0] as usize + x);
                *ring = NONE;
                if counts {
                    let radius = radius(dx, dy);
                    *ring = radius as u16;
                    rings[radius as usize].pixels += 1;
                }
            }
        }
        let count = join(rings);
        for ring in of.iter_mut() {
            *ring = match *ring {
                NONE => count as u16,
                radius => rings[usize::from(radius)].pixels as u16,
            };
        }
        Rings {
            columns,
            rows,
            of,
            count,
        }
    }
}

/// Leaves in place of the pixels of each radius the number of its ring; returns how many rings there
/// are. Too few pixels at the end join the last ring.
fn join(radii: &mut [Ring]) -> usize {
    let left: u64 = radii.iter().map(|radius| u64::from(radius.pixels)).sum();
    let (mut number, mut members, mut left) = (0, 0, left);
    for radius in radii.iter_mut() {
        members += radius.pixels;
        left -= u64::from(radius.pixels);
        radius.pixels = number;
        if members >= FEWEST && left >= u64::from(FEWEST) {
            (number, members) = (number + 1, 0);
        }
    }
    number as usize + usize::from(!radii.is_empty())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn rings(shape: [u32; 2], beam: &Beam, mask: Mask<'_>) -> (Vec<u16>, usize) {
        let [columns, rows] = beam.reaches(shape);
        let mut of = vec![7; columns.len() * rows.len()];
        let mut memory = vec![Ring::default(); most(shape, beam)];
        let count = Rings::new(shape, beam, mask, &mut of, &mut memory).count;
        (of, count)
    }

    #[test]
    fn a_ring_is_a_whole_distance_from_the_beam() {
        let beam = Beam {
            center: [100.25, 90.5],
            within: Some(60.0),
        };
        let (of, count) = rings([200, 180], &beam, Mask::NONE);
        let [columns, rows] = beam.reaches([200, 180]);
        assert_eq!((columns.clone(), rows.clone()), (40..161, 30..151));
        let mut radius_of = vec![None; count];
        let mut members = vec![0; count];
        for (i, &ring) in of.iter().enumerate() {
            let x = (columns.start + i % columns.len()) as f64 + 0.5;
            let y = (rows.start + i / columns.len()) as f64 + 0.5;
            let radius = (x - 100.25).hypot(y - 90.5);
            assert_eq!(usize::from(ring) < count, radius < 60.0, "{x} {y}");
            if usize::from(ring) < count {
                members[usize::from(ring)] += 1;
                // Inside, rings are joined; from 24 pixels on each has enough of its own.
                if radius >= 24.0 {
                    let first = radius_of[usize::from(ring)].get_or_insert(radius as u32);
                    assert_eq!(*first, radius as u32);
                }
            }
        }
        assert!(members.iter().all(|&n| n >= FEWEST), "{members:?}");
    }

    #[test]
    fn masked_pixels_are_in_no_ring_and_few_pixels_in_one() {
        let beam = Beam::of_panel(6, 3);
        let mask = [0b1000_0001, 0xFF, 0xFF];
        let (of, count) = rings([6, 3], &beam, Mask::new(&mask, 6, 3).unwrap());
        assert_eq!(count, 1);
        let expected = [1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        assert_eq!(of, expected);
    }

    #[test]
    fn no_beam_makes_it_panic() {
        for x in [f64::NAN, f64::INFINITY, -1e300, -5.0, 3.0, 1e9] {
            for within in [None, Some(f64::NAN), Some(-1.0), Some(0.0), Some(1e300)] {
                for shape in [[0, 0], [1, 1], [7, 3]] {
                    let beam = Beam {
                        center: [x, 1.0],
                        within,
                    };
                    let (of, count) = rings(shape, &beam, Mask::NONE);
                    assert!(of.iter().all(|&ring| usize::from(ring) <= count));
                }
            }
        }
    }
}
