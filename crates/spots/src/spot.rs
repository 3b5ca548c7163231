//! Pixels that stand out → spots.

use core::ops::Range;

use hitgate_core::prep::{EXCLUDED, LARGEST_COUNT};

use crate::background::{LARGEST, Ring, moments, sqrt};
use crate::settings::Settings;

/// A Bragg spot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spot {
    /// Its centre, in pixels; pixel `i` covers `[i, i + 1)`. Pixels weigh as much as they have counts
    /// above the mean of their ring.
    pub x: f32,
    /// Its centre along the columns.
    pub y: f32,
    /// Pixels that stand out.
    pub pixels: u32,
    /// Counts in these pixels above the local background.
    pub counts: f32,
    /// Mean count of a pixel close around it.
    pub background: f32,
    /// Its counts in units of the noise that the local background has in as many pixels.
    pub snr: f32,
}

/// A pixel that has been seen is marked so; the rest of its word is the next of a list of pixels.
pub(crate) const SEEN: u32 = LARGEST_COUNT + 1;
/// The end of that list.
pub(crate) const END: u32 = SEEN - 2;
/// Fewest pixels of a local background; with fewer the ring's stands in.
const FEWEST: u32 = 8;
/// Pixels between a spot and its local background: they hold its tails.
const GAP: usize = 1;

/// Counts of a box, row by row, and what each of them has to reach.
pub(crate) struct Area<'a> {
    pub counts: &'a mut [u32],
    /// The ring of each pixel.
    pub of: &'a [u16],
    pub rings: &'a [Ring],
    /// Pixels along a row.
    pub width: usize,
}

/// Pixels that touch each other by sides or corners.
#[derive(Default)]
struct Patch {
    pixels: u32,
    /// The box that holds them.
    columns: Range<usize>,
    rows: Range<usize>,
    sum: f64,
    /// Counts above the means of their rings; alone, and times the place of their pixel.
    weight: f64,
    moment: [f64; 2],
}

impl Area<'_> {
    /// Whether the pixel stands out and has not been seen.
    #[inline(always)]
    pub fn stands_out(&self, at: usize) -> bool {
        (self.ring(at).bar..SEEN).contains(&self.counts[at])
    }

    #[inline(always)]
    fn ring(&self, at: usize) -> &Ring {
        &self.rings[usize::from(self.of[at])]
    }

    /// The spot that pixel `first`, which stands out, is of; `None` where what it is of is too small,
    /// too large or too weak for one. Its pixels are marked as seen.
    pub fn spot(&mut self, first: usize, settings: &Settings) -> Option<Spot> {
        let patch = self.patch(first);
        if !(settings.min_pixels..=settings.max_pixels).contains(&patch.pixels) {
            return None;
        }
        let ring = self.ring(first);
        let (background, noise) = self
            .around(&patch, settings.local_radius)
            .unwrap_or((ring.mean, ring.noise));
        let pixels = f64::from(patch.pixels);
        let counts = (patch.sum - pixels * f64::from(background)) as f32;
        let snr = counts / (noise * sqrt(pixels));
        let [x, y] = patch.moment.map(|moment| (moment / patch.weight) as f32);
        (snr >= settings.snr).then_some(Spot {
            x,
            y,
            pixels: patch.pixels,
            counts,
            background,
            snr,
        })
    }

    /// All that stands out and is connected with pixel `first`. The pixels whose neighbours are still
    /// to be looked at are a list through the pixels themselves.
    fn patch(&mut self, first: usize) -> Patch {
        let mut patch = Patch::default();
        let mut next = self.enter(first, END, &mut patch);
        while next != END {
            let at = next as usize;
            next = self.counts[at] ^ SEEN;
            let (x, y) = (at % self.width, at / self.width);
            for y in grown(&(y..y + 1), 1, self.height()) {
                for x in grown(&(x..x + 1), 1, self.width) {
                    let neighbour = y * self.width + x;
                    if self.stands_out(neighbour) {
                        next = self.enter(neighbour, next, &mut patch);
                    }
                }
            }
        }
        patch
    }

    /// Adds a pixel to a patch and puts it before the list that starts with `then`.
    fn enter(&mut self, at: usize, then: u32, patch: &mut Patch) -> u32 {
        let (x, y) = (at % self.width, at / self.width);
        if patch.pixels == 0 {
            (patch.columns, patch.rows) = (x..x + 1, y..y + 1);
        }
        patch.columns = patch.columns.start.min(x)..patch.columns.end.max(x + 1);
        patch.rows = patch.rows.start.min(y)..patch.rows.end.max(y + 1);
        let count = f64::from(self.counts[at]);
        let above = count - f64::from(self.ring(at).mean);
        patch.pixels += 1;
        patch.sum += count;
        patch.weight += above;
        patch.moment[0] += above * (x as f64 + 0.5);
        patch.moment[1] += above * (y as f64 + 0.5);
        self.counts[at] = SEEN | then;
        at as u32
    }

    /// Mean and noise close around a patch; `None` where there are too few pixels. What stands out
    /// counts no more than the bar that it stands above: a strong neighbour does not hide a spot, and
    /// pieces of a powder ring or of a streak hide each other.
    fn around(&self, patch: &Patch, radius: u32) -> Option<(f32, f32)> {
        let grown_by = |by: usize| {
            let columns = grown(&patch.columns, by, self.width);
            (columns, grown(&patch.rows, by, self.height()))
        };
        let (columns, rows) = grown_by(GAP.saturating_add(radius as usize));
        let (inner_columns, inner_rows) = grown_by(GAP);
        let (mut pixels, mut sum, mut squares) = (0, 0, 0);
        for y in rows {
            for x in columns.clone() {
                let at = y * self.width + x;
                let inside = inner_rows.contains(&y) && inner_columns.contains(&x);
                if inside || self.counts[at] == EXCLUDED {
                    continue;
                }
                // The mark of a pixel that was seen makes it larger than any bar.
                let count = self.counts[at].min(self.ring(at).bar).min(LARGEST);
                pixels += 1;
                sum += u64::from(count);
                squares += u64::from(count) * u64::from(count);
            }
        }
        (pixels >= FEWEST).then(|| moments(pixels, sum, squares))
    }

    fn height(&self) -> usize {
        self.counts.len() / self.width.max(1)
    }
}

/// The range with so many more at both ends, as far as there are.
fn grown(range: &Range<usize>, by: usize, len: usize) -> Range<usize> {
    range.start.saturating_sub(by)..range.end.saturating_add(by).min(len)
}
