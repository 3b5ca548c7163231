//! What a filter is judged by: scores of frames whose class is known.

use hitgate_core::verdict::{Class, Score};
use serde::{Deserialize, Serialize};

/// A frame whose class is known, and what a network says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scored {
    /// The label.
    pub truth: Class,
    /// Probabilities of hit, maybe and miss.
    pub p: [f64; 3],
}

impl Scored {
    /// A frame with the integer score that the filter decides on; exact.
    pub fn new(truth: Class, score: Score) -> Self {
        let p = [score.hit, score.maybe, score.miss].map(|p| f64::from(p) / 65536.0);
        Scored { truth, p }
    }

    /// A frame with a network's float logits, divided by `temperature`.
    pub fn from_logits(truth: Class, logits: [f32; 3], temperature: f32) -> Self {
        let x = logits.map(|logit| f64::from(logit) / f64::from(temperature));
        let largest = x.into_iter().fold(f64::NEG_INFINITY, f64::max);
        let e = x.map(|x| (x - largest).exp());
        let sum: f64 = e.iter().sum();
        Scored {
            truth,
            p: e.map(|e| e / sum),
        }
    }

    /// A frame with a count of spots in place of a network's score: its class is that of the count,
    /// and `keep()` grows with it, from 0 over one half at 4.
    pub fn of_spots(truth: Class, spots: u32) -> Self {
        let keep = f64::from(spots) / (f64::from(spots) + 3.5);
        let p = match Class::of_spots(spots) {
            Class::Maybe => [0.0, keep, 1.0 - keep],
            Class::Hit | Class::Miss => [keep, 0.0, 1.0 - keep],
        };
        Scored { truth, p }
    }

    /// `p_hit + p_maybe`.
    pub fn keep(&self) -> f64 {
        self.p[0] + self.p[1]
    }

    /// The most probable class; ties go to the first of hit, maybe, miss.
    pub fn class(&self) -> Class {
        Class::ALL
            .into_iter()
            .reduce(|best, class| {
                if self.p[class as usize] > self.p[best as usize] {
                    class
                } else {
                    best
                }
            })
            .unwrap_or(Class::Miss)
    }

    /// Whether the label is worth keeping: a hit or a maybe.
    pub fn wanted(&self) -> bool {
        self.truth != Class::Miss
    }
}

/// `k` of `n` frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// Frames that count.
    pub k: u64,
    /// Frames in all.
    pub n: u64,
}

impl Share {
    /// Counts the frames of `frames` for which `counts` holds.
    pub fn of<'a>(
        frames: impl IntoIterator<Item = &'a Scored>,
        counts: impl Fn(&Scored) -> bool,
    ) -> Self {
        frames
            .into_iter()
            .fold(Share::default(), |share, frame| Share {
                k: share.k + u64::from(counts(frame)),
                n: share.n + 1,
            })
    }

    /// `k / n`; NaN of no frames.
    pub fn fraction(&self) -> f64 {
        self.k as f64 / self.n as f64
    }
}

/// Chance that a wanted frame (hit or maybe) scores above a miss, ties counting half: the area under
/// the ROC curve, by ranks (Mann-Whitney). `None` if one of the two kinds is absent.
pub fn auc(frames: &[Scored]) -> Option<f64> {
    let mut sorted: Vec<(f64, bool)> = frames.iter().map(|f| (f.keep(), f.wanted())).collect();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted = sorted.iter().filter(|(_, wanted)| *wanted).count() as f64;
    let misses = sorted.len() as f64 - wanted;
    if wanted == 0.0 || misses == 0.0 {
        return None;
    }
    let mut below = 0.0;
    let mut pairs = 0.0;
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let hits = tied.iter().filter(|(_, wanted)| *wanted).count() as f64;
        let rest = tied.len() as f64 - hits;
        pairs += hits * (below + rest / 2.0);
        below += rest;
    }
    Some(pairs / (wanted * misses))
}

/// Frames of each label (row) by predicted class (column), both in the order hit, maybe, miss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion(pub [[u64; 3]; 3]);

impl Confusion {
    /// Counts `frames`.
    pub fn of(frames: &[Scored]) -> Self {
        let mut counts = [[0; 3]; 3];
        for frame in frames {
            counts[frame.truth as usize][frame.class() as usize] += 1;
        }
        Confusion(counts)
    }

    /// Frames whose predicted class is their label.
    pub fn accuracy(&self) -> Share {
        Share {
            k: (0..3).map(|c| self.0[c][c]).sum(),
            n: self.0.iter().flatten().sum(),
        }
    }
}

/// What the rule `p_hit + p_maybe >= threshold` does to frames of known class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filtered {
    /// Hits that are kept.
    pub hits_kept: Share,
    /// Hits or maybes that are kept.
    pub wanted_kept: Share,
    /// Misses that are dropped.
    pub misses_dropped: Share,
}

impl Filtered {
    /// Applies `threshold`, a probability, to `frames`.
    pub fn at(frames: &[Scored], threshold: f64) -> Self {
        let kept = |frame: &Scored| frame.keep() >= threshold;
        Filtered {
            hits_kept: Share::of(frames.iter().filter(|f| f.truth == Class::Hit), kept),
            wanted_kept: Share::of(frames.iter().filter(|f| f.wanted()), kept),
            misses_dropped: Share::of(frames.iter().filter(|f| !f.wanted()), |f| !kept(f)),
        }
    }

    /// F1 of what is kept: the harmonic mean of the share of hits and maybes in it and of the share of
    /// these that is in it. NaN of no hits, no maybes and nothing kept.
    pub fn f1(&self) -> f64 {
        let Share {
            k: right,
            n: wanted,
        } = self.wanted_kept;
        let kept = right + self.misses_dropped.n - self.misses_dropped.k;
        2.0 * right as f64 / (wanted + kept) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(truth: Class, keep: f64) -> Scored {
        Scored {
            truth,
            p: [keep, 0.0, 1.0 - keep],
        }
    }

    #[test]
    fn auc_counts_pairs_and_halves_ties() {
        use Class::{Hit, Maybe, Miss};
        let frames = [
            frame(Hit, 0.9),
            frame(Miss, 0.9),
            frame(Maybe, 0.4),
            frame(Miss, 0.1),
            frame(Miss, 0.5),
        ];
        // The hit wins two pairs and ties one; the maybe wins one of three.
        assert_eq!(auc(&frames), Some(3.5 / 6.0));
        assert_eq!(auc(&frames[..1]), None);
    }

    #[test]
    fn a_tie_of_classes_goes_to_the_first() {
        let tie = |p| Scored {
            truth: Class::Hit,
            p,
        };
        assert_eq!(tie([0.4, 0.4, 0.2]).class(), Class::Hit);
        assert_eq!(tie([0.2, 0.4, 0.4]).class(), Class::Maybe);
        assert_eq!(tie([0.2, 0.3, 0.5]).class(), Class::Miss);
    }

    #[test]
    fn confusion_and_filter_count_every_frame_once() {
        use Class::{Hit, Maybe, Miss};
        let frames = [
            frame(Hit, 0.9),
            frame(Hit, 0.3),
            frame(Maybe, 0.6),
            frame(Miss, 0.5),
        ];
        let confusion = Confusion::of(&frames);
        assert_eq!(confusion.0, [[1, 0, 1], [1, 0, 0], [1, 0, 0]]);
        assert_eq!(confusion.accuracy(), Share { k: 1, n: 4 });
        let filtered = Filtered::at(&frames, 0.5);
        assert_eq!(filtered.hits_kept, Share { k: 1, n: 2 });
        assert_eq!(filtered.wanted_kept, Share { k: 2, n: 3 });
        assert_eq!(filtered.misses_dropped, Share { k: 0, n: 1 });
        // Two of the three that are kept are wanted, two of the three that are wanted are kept.
        assert!((filtered.f1() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(Filtered::at(&frames, 0.95).f1(), 0.0);
    }

    #[test]
    fn a_count_has_its_class_and_more_spots_are_kept_sooner() {
        let scored = |spots| Scored::of_spots(Class::Miss, spots);
        for spots in 0..1000 {
            assert_eq!(scored(spots).class(), Class::of_spots(spots), "{spots}");
            assert!(scored(spots).keep() < scored(spots + 1).keep(), "{spots}");
            assert_eq!(scored(spots).keep() >= 0.5, spots >= 4, "{spots}");
        }
    }

    #[test]
    fn float_and_integer_scores_agree() {
        let logits = [3, -5, 7];
        let score = Score::from_logits(logits, core::f32::consts::LOG2_E);
        let integer = Scored::new(Class::Hit, score);
        let float = Scored::from_logits(Class::Hit, logits.map(|l| l as f32), 1.0);
        for (a, b) in integer.p.iter().zip(float.p) {
            assert!((a - b).abs() < 1e-4, "{a} {b}");
        }
    }
}
