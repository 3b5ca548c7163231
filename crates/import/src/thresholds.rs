//! Operating points: thresholds set by what they keep of validation frames.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::metrics::{Filtered, Scored};
use hitgate_core::verdict::Class;

/// What a threshold is set by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// At least this fraction of the hits is kept.
    Hits(f64),
    /// At least this fraction of the hits and maybes is kept.
    Wanted(f64),
    /// At least this fraction of the misses is dropped.
    Rejection(f64),
    /// This threshold, as a probability.
    Fixed(f64),
    /// The [`Filtered::f1`] is the largest.
    BestF1,
}

/// A threshold, and what it does on the validation frames.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OperatingPoint {
    /// What it was set by.
    pub target: Target,
    /// Keep when `p_hit + p_maybe` is at least this, times 2¹⁶.
    pub threshold: u16,
    /// What it keeps and drops.
    pub filtered: Filtered,
}

/// The points that a model file carries: recall of hits and of wanted frames, the rejection that
/// models are compared at, the paper's 0.5, and the largest F1.
pub const STANDARD: [Target; 7] = [
    Target::Hits(0.99),
    Target::Hits(0.995),
    Target::Wanted(0.95),
    Target::Wanted(0.99),
    Target::Rejection(0.90),
    Target::Fixed(0.5),
    Target::BestF1,
];

impl OperatingPoint {
    /// The largest threshold with the wanted recall, or the smallest with the wanted rejection or the
    /// largest F1. `None` without a frame of the class that the target speaks of, of the F1 without
    /// one of both kinds.
    pub fn set(frames: &[Scored], target: Target) -> Option<Self> {
        let threshold = match target {
            Target::Hits(recall) => largest_keeping(frames, recall, |f| f.truth == Class::Hit)?,
            Target::Wanted(recall) => largest_keeping(frames, recall, Scored::wanted)?,
            Target::Rejection(rejection) => smallest_dropping(frames, rejection)?,
            Target::Fixed(p) => to_threshold(p),
            Target::BestF1 => of_best_f1(frames)?,
        };
        Some(OperatingPoint {
            target,
            threshold,
            filtered: Filtered::at(frames, probability(threshold)),
        })
    }
}

/// A threshold of the filter, as a probability; exact.
pub fn probability(threshold: u16) -> f64 {
    f64::from(threshold) / 65536.0
}

/// The largest threshold of the filter that a score of `p` reaches.
fn to_threshold(p: f64) -> u16 {
    (p * 65536.0).floor().clamp(0.0, 65535.0) as u16
}

/// The fewest of `n` that are the fraction `share` of them. Of `k as f64 / n as f64` that is `k`,
/// however the quotient was rounded.
pub fn fewest(share: f64, n: usize) -> usize {
    const ROUNDING: f64 = 1e-9;
    (share * n as f64 - ROUNDING).ceil().max(0.0) as usize
}

fn sorted_scores(frames: &[Scored], of: impl Fn(&Scored) -> bool) -> Vec<f64> {
    let mut scores: Vec<f64> = frames.iter().filter(|f| of(f)).map(Scored::keep).collect();
    scores.sort_by(f64::total_cmp);
    scores
}

fn largest_keeping(frames: &[Scored], recall: f64, of: impl Fn(&Scored) -> bool) -> Option<u16> {
    let scores = sorted_scores(frames, of);
    let kept = fewest(recall, scores.len()).max(1);
    let last_kept = scores.len().checked_sub(kept)?;
    Some(to_threshold(scores[last_kept]))
}

fn smallest_dropping(frames: &[Scored], rejection: f64) -> Option<u16> {
    let scores = sorted_scores(frames, |f| !f.wanted());
    let dropped = fewest(rejection, scores.len());
    match dropped.checked_sub(1) {
        _ if scores.is_empty() => None,
        None => Some(0),
        Some(last_dropped) => {
            let last = *scores.get(last_dropped)?;
            Some(to_threshold(last + 1.0 / 65536.0))
        }
    }
}

/// The smallest of the thresholds with the largest F1: of equals the one that keeps the most.
fn of_best_f1(frames: &[Scored]) -> Option<u16> {
    let wanted = frames.iter().filter(|frame| frame.wanted()).count() as u64;
    if wanted == 0 || wanted == frames.len() as u64 {
        return None;
    }
    // On the filter's grid, as two scores of one threshold are kept or dropped together.
    let mut scores: Vec<(u16, bool)> = (frames.iter())
        .map(|frame| (to_threshold(frame.keep()), frame.wanted()))
        .collect();
    scores.sort_unstable_by_key(|&(threshold, _)| Reverse(threshold));
    let (mut kept, mut right) = (0, 0);
    let mut best = (0, 1, 0);
    for tied in scores.chunk_by(|a, b| a.0 == b.0) {
        kept += tied.len() as u64;
        right += tied.iter().filter(|(_, wanted)| *wanted).count() as u64;
        // F1 is 2 right / (wanted + kept); as fractions, equal ones are equal.
        let (most, of, _) = best;
        if right * of >= most * (wanted + kept) {
            best = (right, wanted + kept, tied[0].0);
        }
    }
    Some(best.2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Share;

    /// A hundred hits at 0.50..=0.995 and a hundred misses at 0.25..=0.745, in steps of 0.005, all
    /// rounded down to the filter's grid.
    fn frames() -> Vec<Scored> {
        let frame = |truth, keep: f64| {
            let keep = (keep * 65536.0).floor() / 65536.0;
            Scored {
                truth,
                p: [keep, 0.0, 1.0 - keep],
            }
        };
        (0..100)
            .flat_map(|i| {
                let step = 0.005 * f64::from(i);
                [
                    frame(Class::Hit, 0.5 + step),
                    frame(Class::Miss, 0.25 + step),
                ]
            })
            .collect()
    }

    #[test]
    fn a_recall_is_reached_with_the_largest_threshold() {
        let frames = frames();
        for (recall, kept) in [(0.99, 99), (0.985, 99), (1.0, 100), (0.5, 50)] {
            let point = OperatingPoint::set(&frames, Target::Hits(recall)).unwrap();
            assert_eq!(point.filtered.hits_kept, Share { k: kept, n: 100 });
            let higher = Filtered::at(&frames, probability(point.threshold + 1));
            assert_eq!(higher.hits_kept.k, kept - 1);
        }
    }

    #[test]
    fn a_rejection_is_reached_with_the_smallest_threshold() {
        let frames = frames();
        for (rejection, dropped) in [(0.9, 90), (0.01, 1), (1.0, 100)] {
            let point = OperatingPoint::set(&frames, Target::Rejection(rejection)).unwrap();
            assert_eq!(point.filtered.misses_dropped, Share { k: dropped, n: 100 });
            let lower = Filtered::at(&frames, probability(point.threshold - 1));
            assert_eq!(lower.misses_dropped.k, dropped - 1);
        }
    }

    #[test]
    fn a_share_of_frames_is_as_many_of_them() {
        for n in 1..300 {
            for k in 0..=n {
                assert_eq!(fewest(k as f64 / n as f64, n), k, "{k}/{n}");
            }
        }
        assert_eq!((fewest(0.97, 101), fewest(0.9, 0)), (98, 0));
        assert_eq!((fewest(-0.1, 10), fewest(f64::NAN, 10)), (0, 0));
    }

    #[test]
    fn the_best_f1_is_found_where_a_hand_finds_it() {
        use Class::{Hit, Maybe, Miss};
        let frame = |truth, keep| Scored {
            truth,
            p: [keep, 0.0, 1.0 - keep],
        };
        let set = |frames: &[Scored]| OperatingPoint::set(frames, Target::BestF1);
        // From above: 2/4, 4/5, 4/6, 6/7, then 6/8 and 6/9.
        let frames = [
            frame(Hit, 0.875),
            frame(Maybe, 0.75),
            frame(Miss, 0.625),
            frame(Hit, 0.5),
            frame(Miss, 0.375),
            frame(Miss, 0.25),
        ];
        let point = set(&frames).unwrap();
        assert_eq!(point.threshold, 32768);
        assert_eq!(point.filtered.f1(), 6.0 / 7.0);
        assert_eq!(point.filtered.misses_dropped, Share { k: 2, n: 3 });
        // One of two hits is kept with no miss (2/3), or both with two (4/6): equal, and both are kept.
        let frames = [
            frame(Hit, 0.75),
            frame(Miss, 0.5),
            frame(Miss, 0.5),
            frame(Hit, 0.25),
        ];
        assert_eq!(set(&frames).unwrap().threshold, 16384);
        // A hit that is below a miss by less than the filter's step falls with it.
        let step = 1.0 / 65536.0;
        let frames = [
            frame(Miss, 0.5 + 0.75 * step),
            frame(Hit, 0.5 + 0.25 * step),
            frame(Miss, 0.25),
        ];
        let point = set(&frames).unwrap();
        assert_eq!(point.threshold, 32768);
        assert_eq!(point.filtered.f1(), 2.0 / 3.0);
        let one_kind = |truth| [frame(truth, 0.5)];
        assert_eq!(
            [Hit, Maybe, Miss].map(|truth| set(&one_kind(truth))),
            [None; 3]
        );
        assert_eq!(set(&[]), None);
    }

    #[test]
    fn no_threshold_has_a_larger_f1_than_the_best() {
        let frames = frames();
        let best = OperatingPoint::set(&frames, Target::BestF1).unwrap();
        let largest = (0..=u16::MAX)
            .map(|threshold| Filtered::at(&frames, probability(threshold)).f1())
            .fold(0.0, f64::max);
        assert_eq!(best.filtered.f1(), largest);
    }

    #[test]
    fn a_class_that_is_absent_sets_nothing() {
        let hits: Vec<_> = frames().into_iter().filter(Scored::wanted).collect();
        assert_eq!(OperatingPoint::set(&hits, Target::Rejection(0.9)), None);
        assert_eq!(OperatingPoint::set(&[], Target::Hits(0.9)), None);
        let fixed = OperatingPoint::set(&hits, Target::Fixed(0.5)).unwrap();
        assert_eq!(fixed.threshold, 32768);
    }
}
