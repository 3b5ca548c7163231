//! When a spot counts, and what the count makes of a frame.

use hitgate_core::verdict::Class;

/// What is true of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truth {
    /// Counted Bragg spots at a resolution lower than the water ring.
    pub spots: u32,
    /// What that makes of the frame.
    pub class: Class,
}

impl Truth {
    /// The truth of a frame with so many counted spots.
    pub const fn of(spots: u32) -> Self {
        Truth {
            spots,
            class: Class::of_spots(spots),
        }
    }
}

/// The least significance and the least number of photons of a counted spot.
const SIGNIFICANCE: f64 = 5.0;
const PHOTONS: f64 = 8.0;
/// A darker background counts as this many photons.
const DARKEST: f64 = 0.01;
/// The part of a spot that its significance is measured in.
const MEASURED: f64 = 0.9;
/// A spot with less of itself on live pixels does not count.
const LIVE: f64 = 0.5;
/// Spots closer than this, in pixels, count once.
const APART: f64 = 2.0;

/// Significance of `signal` photons over `background`:
/// `Z = sqrt(2 [(S + B) ln(1 + S/B) − S])`, the square root of twice the log-likelihood ratio.
pub fn significance(signal: f64, background: f64) -> f64 {
    let b = background.max(DARKEST);
    (2.0 * ((signal + b) * (signal / b).ln_1p() - signal))
        .max(0.0)
        .sqrt()
}

/// Photons that a spot needs over `background` to count.
pub(crate) fn photons_needed(background: f64) -> f64 {
    let (mut low, mut high) = (PHOTONS, PHOTONS);
    if significance(low, background) >= SIGNIFICANCE {
        return low;
    }
    while significance(high, background) < SIGNIFICANCE {
        high *= 2.0;
    }
    for _ in 0..40 {
        let middle = 0.5 * (low + high);
        if significance(middle, background) < SIGNIFICANCE {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Whether `signal` photons over `background` are a counted spot.
pub(crate) fn counts(signal: f64, background: f64) -> bool {
    signal >= PHOTONS && significance(signal, background) >= SIGNIFICANCE
}

/// A pixel of a spot: its place, its share of the spot, the expected background with the variance
/// of the readout, and whether it measures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpotPixel {
    pub x: i32,
    pub y: i32,
    pub share: f64,
    pub background: f64,
    pub live: bool,
}

/// Leaves of a spot's pixels the smallest set of live ones that holds 90 % of it, all live ones
/// where they hold less, and tells the share and the background in it; none where they hold less
/// than half.
pub(crate) fn measured(pixels: &mut Vec<SpotPixel>) -> Option<(f64, f64)> {
    pixels.retain(|pixel| pixel.live);
    pixels.sort_by(|a, b| b.share.total_cmp(&a.share));
    let (mut share, mut background, mut taken) = (0.0, 0.0, 0);
    for pixel in &*pixels {
        share += pixel.share;
        background += pixel.background;
        taken += 1;
        if share >= MEASURED {
            break;
        }
    }
    pixels.truncate(taken);
    (share >= LIVE).then_some((share, background))
}

/// A spot and the global scale from which on it counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub x: f64,
    pub y: f64,
    /// Which of the reflections that were asked it is.
    pub reflection: usize,
    pub counts_from: f64,
}

/// Candidates that count apart from each other, the easiest first: with a scale `s`, the first of
/// them up to `counts_from <= s` are counted.
pub(crate) fn apart(mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    candidates.sort_by(|a, b| a.counts_from.total_cmp(&b.counts_from));
    let cell = |v: f64| (v / APART).floor() as i64;
    let mut kept: Vec<Candidate> = Vec::new();
    let mut by_cell = std::collections::HashMap::<(i64, i64), Vec<usize>>::new();
    for candidate in candidates {
        let (u, v) = (cell(candidate.x), cell(candidate.y));
        let near = (v - 1..=v + 1).flat_map(|v| (u - 1..=u + 1).map(move |u| (u, v)));
        let taken = near.filter_map(|at| by_cell.get(&at)).flatten().any(|&i| {
            let other = kept[i];
            (other.x - candidate.x).hypot(other.y - candidate.y) < APART
        });
        if !taken {
            by_cell.entry((u, v)).or_default().push(kept.len());
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn significance_of_hand_cases() {
        // (S + B) ln(1 + S/B) − S with S = B = 10: 20 ln 2 − 10 = 3.862944.
        assert!((significance(10.0, 10.0) - (2.0_f64 * 3.862_943_611).sqrt()).abs() < 1e-6);
        // Many photons: Z → S / sqrt(B).
        assert!((significance(1000.0, 1e8) - 0.1).abs() < 1e-4);
        assert_eq!(
            significance(8.0, 0.0),
            significance(8.0, 0.01),
            "a dark background counts as 0.01"
        );
        assert_eq!(significance(0.0, 5.0), 0.0);
    }

    #[test]
    fn photons_needed_are_eight_in_the_dark_and_five_sigma_in_the_light() {
        assert_eq!(photons_needed(0.0), 8.0);
        assert_eq!(photons_needed(0.01), 8.0);
        for background in [1.0, 10.0, 1e4] {
            let needed = photons_needed(background);
            assert!(needed > 8.0);
            assert!((significance(needed, background) - 5.0).abs() < 1e-6);
        }
        assert!((photons_needed(1e6) / 5000.0 - 1.0).abs() < 0.01);
    }

    #[test]
    fn ninety_percent_of_a_spot_or_what_is_live_of_it() {
        let pixel = |share, live| SpotPixel {
            x: 0,
            y: 0,
            share,
            background: 2.0,
            live,
        };
        let spot = [
            pixel(0.03, true),
            pixel(0.625, true),
            pixel(0.3125, true),
            pixel(0.03, true),
        ];
        let mut strongest = spot.to_vec();
        assert_eq!(measured(&mut strongest), Some((0.9375, 4.0)));
        assert_eq!(strongest.len(), 2, "the two strongest pixels");
        let torn = [pixel(0.375, false), pixel(0.375, true), pixel(0.25, true)];
        assert_eq!(measured(&mut torn.to_vec()), Some((0.625, 4.0)));
        assert_eq!(
            measured(&mut vec![pixel(0.55, false), pixel(0.45, true)]),
            None
        );
        assert_eq!(
            measured(&mut vec![pixel(0.5, false), pixel(0.5, true)]),
            Some((0.5, 2.0))
        );
    }

    #[test]
    fn close_spots_count_once() {
        let at = |x, counts_from| Candidate {
            x,
            y: 7.0,
            counts_from,
            reflection: 0,
        };
        let kept = apart(vec![
            at(10.0, 3.0),
            at(11.9, 1.0),
            at(14.0, 2.0),
            at(40.0, 0.5),
        ]);
        let xs: Vec<f64> = kept.iter().map(|c| c.x).collect();
        assert_eq!(
            xs,
            [40.0, 11.9, 14.0],
            "10.0 is 1.9 from 11.9; 14.0 is 2.1 from it"
        );
    }

    #[test]
    fn classes_at_their_limits() {
        let classes = [0, 3, 4, 9, 10, 500].map(|n| Class::of_spots(n).name());
        assert_eq!(classes, ["miss", "miss", "maybe", "maybe", "hit", "hit"]);
    }
}
