//! What is measured of the frames of a set.

use std::collections::BTreeMap;

use hitgate_import::calibration::Reliability;
use hitgate_import::hit_rate::{AtHitRate, reliability, reliability_corrected};
use hitgate_import::metrics::{Confusion, Filtered, Scored, auc};
use hitgate_import::roc::{RocPoint, roc};
use hitgate_import::thresholds::{OperatingPoint, Target, probability};

use super::counters::{Counted, Counter};
use super::frames::Frame;

/// Fewest hits that a threshold for 0.999 of them is told of: of fewer it hangs on three or less.
const HITS_FOR_999: u64 = 3_000;

/// A threshold, and what it keeps and drops.
#[derive(Clone, Copy)]
pub struct At {
    pub threshold: f64,
    pub filtered: Filtered,
}

impl At {
    /// What `threshold` does to `frames`.
    pub fn threshold(frames: &[Scored], threshold: f64) -> Self {
        At {
            threshold,
            filtered: Filtered::at(frames, threshold),
        }
    }
}

impl From<OperatingPoint> for At {
    fn from(point: OperatingPoint) -> Self {
        At {
            threshold: probability(point.threshold),
            filtered: point.filtered,
        }
    }
}

/// A run of some hit rate.
pub struct Run {
    pub at: AtHitRate,
    /// Expected calibration error of `p_hit + p_maybe` in that run.
    pub calibration_error: Option<f64>,
    /// The same once the odds are multiplied by what the hit rate changes.
    pub corrected_error: Option<f64>,
}

/// The figures of a set, or of all frames.
pub struct Figures {
    pub set: String,
    pub scored: Vec<Scored>,
    pub confusion: Confusion,
    pub auc: Option<f64>,
    pub roc: Vec<RocPoint>,
    /// At the threshold that decides.
    pub deciding: At,
    /// At 0.5, which is the paper's.
    pub half: At,
    /// Where 0.99 of the hits are kept.
    pub recall_99: Option<At>,
    /// Where 0.999 of the hits are kept; why it is not told, where there are too few of them.
    pub recall_999: Result<At, String>,
    /// Where 0.90 of the misses are dropped.
    pub rejection_90: Option<At>,
    /// Where the F1 of hits and maybes is the largest.
    pub best_f1: Option<At>,
    pub keep_reliability: Reliability,
    pub class_reliability: Reliability,
    pub runs: Vec<Run>,
    pub counted: Vec<Counted>,
}

impl Figures {
    /// Those of all frames, then those of each set.
    pub fn of_each_set(
        frames: &[Frame],
        threshold: f64,
        hit_rates: &[f64],
        counters: &[Counter],
    ) -> Vec<Figures> {
        let mut sets: BTreeMap<&str, Vec<&Frame>> = BTreeMap::new();
        for frame in frames {
            sets.entry(&frame.set).or_default().push(frame);
        }
        let all = ("all", frames.iter().collect());
        std::iter::once(all)
            .chain(sets)
            .map(|(set, frames)| Figures::of(set, &frames, threshold, hit_rates, counters))
            .collect()
    }

    fn of(
        set: &str,
        frames: &[&Frame],
        threshold: f64,
        hit_rates: &[f64],
        counters: &[Counter],
    ) -> Figures {
        let scored: Vec<Scored> = frames.iter().map(|frame| frame.scored).collect();
        let target = |target| OperatingPoint::set(&scored, target).map(At::from);
        let deciding = At::threshold(&scored, threshold);
        let counted = counters.iter().enumerate().map(|(place, &counter)| {
            let spots: Vec<&[u32]> = frames
                .iter()
                .map(|frame| &frame.counted[place][..])
                .collect();
            let dropping = deciding.filtered.misses_dropped.fraction();
            Counted::of(counter, &spots, &scored, dropping)
        });
        let run = |&hit_rate| {
            let error = |found: Option<Reliability>| found.and_then(|found| found.error());
            Some(Run {
                at: AtHitRate::of(&deciding.filtered, hit_rate)?,
                calibration_error: error(reliability(&scored, hit_rate)),
                corrected_error: error(reliability_corrected(&scored, hit_rate)),
            })
        };
        Figures {
            set: set.to_string(),
            confusion: Confusion::of(&scored),
            auc: auc(&scored),
            roc: roc(&scored),
            deciding,
            half: At::threshold(&scored, 0.5),
            recall_99: target(Target::Hits(0.99)),
            recall_999: (target(Target::Hits(0.999)))
                .filter(|at| at.filtered.hits_kept.n >= HITS_FOR_999)
                .ok_or_else(|| {
                    let hits = deciding.filtered.hits_kept.n;
                    let (thousands, rest) = (HITS_FOR_999 / 1000, HITS_FOR_999 % 1000);
                    format!("{hits} hits; {thousands},{rest:03} are needed")
                }),
            rejection_90: target(Target::Rejection(0.90)),
            best_f1: target(Target::BestF1),
            keep_reliability: Reliability::of_keep(&scored),
            class_reliability: Reliability::of_class(&scored),
            runs: hit_rates.iter().filter_map(run).collect(),
            counted: counted.collect(),
            scored,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::eval::frames::Origin;
    use hitgate_core::verdict::Class;
    use hitgate_import::metrics::Share;

    #[test]
    fn a_threshold_for_all_but_a_thousandth_is_told_of_thousands_of_hits() {
        let figures = |hits: u64| {
            let frames: Vec<Frame> = (0..hits)
                .map(|i| {
                    let keep = i as f64 / 65536.0;
                    Frame {
                        set: String::new(),
                        origin: Origin::Simulated(i),
                        scored: Scored {
                            truth: Class::Hit,
                            p: [keep, 0.0, 1.0 - keep],
                        },
                        counted: Vec::new(),
                    }
                })
                .collect();
            Figures::of_each_set(&frames, 0.5, &[], &[]).swap_remove(0)
        };
        let told = figures(3000)
            .recall_999
            .ok()
            .map(|at| at.filtered.hits_kept);
        assert_eq!(told, Some(Share { k: 2997, n: 3000 }));
        let why = figures(2999).recall_999.err();
        assert_eq!(why.as_deref(), Some("2999 hits; 3,000 are needed"));
        assert!(figures(2999).recall_99.is_some());
        assert!(figures(0).recall_999.is_err());
    }
}
