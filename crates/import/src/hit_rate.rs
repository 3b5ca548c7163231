//! What a filter does to a run whose hit rate differs from that of the frames it was tried on.

use crate::calibration::Reliability;
use crate::metrics::{Filtered, Scored};

/// Each of two bounds at this confidence; together they hold with 95 % (Bonferroni).
const EACH: f64 = 0.975;

/// A run with a share `hit_rate` of hits and maybes. Among the wanted frames, and among the misses, it
/// is like the frames that were counted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AtHitRate {
    /// Share of hits and maybes in the run, between 0 and 1.
    pub hit_rate: f64,
    /// Share of the run that is kept.
    pub kept: f64,
    /// Share of hits and maybes among what is kept; `None` where nothing is.
    pub purity: Option<f64>,
    /// Its bound, at 95 % confidence.
    pub purity_at_least: f64,
    /// Frames in over frames kept; infinite where nothing is.
    pub reduction: f64,
    /// Its bound, at 95 % confidence.
    pub reduction_at_least: f64,
    /// The reduction at this rejection of misses if every hit and maybe is kept: with 0.97, a run of
    /// 1 % shrinks 25-fold.
    pub limit: f64,
}

impl AtHitRate {
    /// What `filtered` comes to at `hit_rate`. `None` where it counted no wanted frame, or no miss.
    pub fn of(filtered: &Filtered, hit_rate: f64) -> Option<Self> {
        let (wanted, misses) = (filtered.wanted_kept, filtered.misses_dropped);
        if wanted.n == 0 || misses.n == 0 {
            return None;
        }
        let kept = |recall: f64, rejection: f64| {
            let wanted = hit_rate * recall;
            (wanted, wanted + (1.0 - hit_rate) * (1.0 - rejection))
        };
        let purity = |(wanted, all): (f64, f64)| (all > 0.0).then(|| wanted / all);
        let (recall, rejection) = (wanted.fraction(), misses.fraction());
        let worst_rejection = misses.lower_bound(EACH);
        let as_counted = kept(recall, rejection);
        let least_pure = kept(wanted.lower_bound(EACH), worst_rejection);
        let most_kept = kept(wanted.upper_bound(EACH), worst_rejection);
        Some(AtHitRate {
            hit_rate,
            kept: as_counted.1,
            purity: purity(as_counted),
            purity_at_least: purity(least_pure).unwrap_or(0.0),
            reduction: 1.0 / as_counted.1,
            reduction_at_least: 1.0 / most_kept.1,
            limit: 1.0 / kept(1.0, rejection).1,
        })
    }
}

/// Reliability of `p_hit + p_maybe` in a run of `hit_rate`, where each of `frames` stands for as many
/// as there would be of its kind. `None` without a wanted frame, or without a miss.
pub fn reliability(frames: &[Scored], hit_rate: f64) -> Option<Reliability> {
    weighted(frames, hit_rate, |keep, _| keep)
}

/// The same after each probability's odds are multiplied by the run's odds of a wanted frame over
/// those among `frames` (Saerens et al. 2002): right where `frames` are mixed as the training was.
pub fn reliability_corrected(frames: &[Scored], hit_rate: f64) -> Option<Reliability> {
    weighted(frames, hit_rate, |keep, odds_ratio| {
        let (wanted, miss) = (odds_ratio * keep, 1.0 - keep);
        wanted / (wanted + miss)
    })
}

fn weighted(
    frames: &[Scored],
    hit_rate: f64,
    probability: impl Fn(f64, f64) -> f64,
) -> Option<Reliability> {
    let wanted = frames.iter().filter(|frame| frame.wanted()).count() as f64;
    let misses = frames.len() as f64 - wanted;
    if wanted == 0.0 || misses == 0.0 {
        return None;
    }
    let odds_ratio = hit_rate / (1.0 - hit_rate) * misses / wanted;
    Some(Reliability::count(frames.iter().map(|frame| {
        let weight = match frame.wanted() {
            true => hit_rate / wanted,
            false => (1.0 - hit_rate) / misses,
        };
        let keep = probability(frame.keep().min(1.0), odds_ratio);
        (keep, frame.wanted(), weight)
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Share;
    use hitgate_core::verdict::Class;

    fn filtered(wanted_kept: (u64, u64), misses_dropped: (u64, u64)) -> Filtered {
        let share = |(k, n)| Share { k, n };
        Filtered {
            hits_kept: share(wanted_kept),
            wanted_kept: share(wanted_kept),
            misses_dropped: share(misses_dropped),
        }
    }

    #[test]
    fn a_run_of_one_percent_shrinks_25_fold_at_097() {
        let at = AtHitRate::of(&filtered((1000, 1000), (970, 1000)), 0.01).unwrap();
        // 0.01 + 0.99 · 0.03 = 0.0397.
        assert!((at.kept - 0.0397).abs() < 1e-12);
        assert!((at.reduction - 25.189).abs() < 1e-3);
        assert_eq!(at.reduction, at.limit);
        assert!((at.purity.unwrap() - 0.01 / 0.0397).abs() < 1e-12);
        assert!(at.purity_at_least < at.purity.unwrap());
        assert!(at.reduction_at_least < at.reduction);
    }

    #[test]
    fn lost_hits_shrink_a_run_beyond_its_limit() {
        let at = AtHitRate::of(&filtered((1, 2), (3, 4)), 0.3).unwrap();
        // 0.3 · 0.5 + 0.7 · 0.25 = 0.325; with every hit 0.475.
        assert!((at.kept - 0.325).abs() < 1e-12);
        assert!((at.purity.unwrap() - 0.15 / 0.325).abs() < 1e-12);
        assert!((at.limit - 1.0 / 0.475).abs() < 1e-12);
        assert!(at.reduction > at.limit);
    }

    #[test]
    fn bounds_are_those_of_the_two_shares() {
        let at = AtHitRate::of(&filtered((90, 100), (190, 200)), 0.08).unwrap();
        let recall = Share { k: 90, n: 100 };
        let rejection = Share { k: 190, n: 200 }.lower_bound(0.975);
        let kept = |recall: f64| 0.08 * recall + 0.92 * (1.0 - rejection);
        let low = recall.lower_bound(0.975);
        assert!((at.purity_at_least - 0.08 * low / kept(low)).abs() < 1e-12);
        let high = recall.upper_bound(0.975);
        assert!((at.reduction_at_least - 1.0 / kept(high)).abs() < 1e-12);
    }

    #[test]
    fn nothing_kept_has_no_purity_and_one_kind_no_run() {
        let none = AtHitRate::of(&filtered((0, 9), (9, 9)), 0.5).unwrap();
        assert_eq!((none.purity, none.kept), (None, 0.0));
        assert!(none.reduction.is_infinite());
        assert_eq!(AtHitRate::of(&filtered((0, 0), (9, 9)), 0.5), None);
        assert_eq!(AtHitRate::of(&filtered((9, 9), (0, 0)), 0.5), None);
    }

    /// `wanted` of 100 frames at `keep` are wanted, as a calibrated network would have it.
    fn group(keep: f64, wanted: usize) -> impl Iterator<Item = Scored> {
        (0..100).map(move |i| Scored {
            truth: if i < wanted { Class::Hit } else { Class::Miss },
            p: [keep, 0.0, 1.0 - keep],
        })
    }

    #[test]
    fn probabilities_are_right_again_once_their_odds_are_moved() {
        let frames: Vec<_> = group(0.2, 20).chain(group(0.8, 80)).collect();
        assert!(Reliability::of_keep(&frames).error().unwrap() < 1e-12);
        let of = |found: Option<Reliability>| found.unwrap().error().unwrap();
        assert!(of(reliability(&frames, 0.5)) < 1e-12, "as it was");
        // A tenth are wanted: at 0.2 now 0.1·0.2 of 0.1·0.2 + 0.9·0.8, that is 1/37; at 0.8, 4/13.
        let (low, high) = (0.74 * (0.2 - 1.0 / 37.0), 0.26 * (0.8 - 4.0 / 13.0));
        assert!((of(reliability(&frames, 0.1)) - low - high).abs() < 1e-12);
        assert!(of(reliability_corrected(&frames, 0.1)) < 1e-12);
    }
}
