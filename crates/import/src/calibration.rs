//! Whether a probability means what it says: reliability diagrams and the expected calibration
//! error of Guo et al. 2017, <https://arxiv.org/abs/1706.04599>.

use crate::metrics::Scored;

/// Bins of a diagram, of equal width.
pub const BINS: usize = 15;

/// What fell into one bin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Predictions, each with its weight.
    pub weight: f64,
    confidence: f64,
    right: f64,
}

impl Bin {
    /// Mean of the stated probabilities; NaN of an empty bin.
    pub fn confidence(&self) -> f64 {
        self.confidence / self.weight
    }

    /// Fraction of predictions that came true; NaN of an empty bin.
    pub fn accuracy(&self) -> f64 {
        self.right / self.weight
    }
}

/// Stated probabilities beside what came true. Bin `i` holds those in `(i/15, (i + 1)/15]`, the first
/// one 0 too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reliability {
    /// The bins, from probability 0 to 1.
    pub bins: [Bin; BINS],
}

impl Reliability {
    /// Counts predictions: the probability that was stated, whether it came true, and a weight.
    pub fn count(predictions: impl IntoIterator<Item = (f64, bool, f64)>) -> Self {
        let mut bins = [Bin::default(); BINS];
        for (confidence, right, weight) in predictions {
            let above = (confidence * BINS as f64).ceil() as usize;
            let bin = &mut bins[above.clamp(1, BINS) - 1];
            bin.weight += weight;
            bin.confidence += weight * confidence;
            bin.right += weight * f64::from(u8::from(right));
        }
        Reliability { bins }
    }

    /// Of the two classes that decide: `p_hit + p_maybe`, which comes true with a hit or a maybe.
    pub fn of_keep(frames: &[Scored]) -> Self {
        Reliability::count(frames.iter().map(|f| (f.keep(), f.wanted(), 1.0)))
    }

    /// Of the three classes: the probability of the one that is called.
    pub fn of_class(frames: &[Scored]) -> Self {
        Reliability::count(frames.iter().map(|frame| {
            let called = frame.class();
            (frame.p[called as usize], called == frame.truth, 1.0)
        }))
    }

    /// The expected calibration error: `Σ weight · |confidence − accuracy| / Σ weight` over the
    /// bins. `None` of no predictions.
    pub fn error(&self) -> Option<f64> {
        let weight: f64 = self.bins.iter().map(|bin| bin.weight).sum();
        let off = self
            .bins
            .iter()
            .map(|bin| (bin.confidence - bin.right).abs());
        (weight > 0.0).then(|| off.sum::<f64>() / weight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_core::verdict::Class;

    #[test]
    fn the_error_of_a_hand_case() {
        let found = Reliability::count([
            (0.9, true, 1.0),
            (0.92, false, 1.0),
            (0.2, false, 1.0),
            (0.15, true, 1.0),
        ]);
        // 0.9 and 0.92 share the bin up to 14/15: mean 0.91, half of them true. 0.2 ends bin 2
        // and 0.15 lies in it: mean 0.175, half true.
        assert_eq!(found.bins[13].weight, 2.0);
        assert!((found.bins[13].confidence() - 0.91).abs() < 1e-12);
        assert_eq!(found.bins[2].accuracy(), 0.5);
        let error = found.error().unwrap();
        assert!((error - (2.0 * 0.41 + 2.0 * 0.325) / 4.0).abs() < 1e-12);
    }

    #[test]
    fn weights_count_as_that_many_frames() {
        let weighted = Reliability::count([(0.5, true, 3.0), (0.5, false, 1.0)]);
        let repeated = Reliability::count([true, true, true, false].map(|r| (0.5, r, 1.0)));
        assert_eq!(weighted, repeated);
        assert_eq!(weighted.error(), Some(0.25));
    }

    #[test]
    fn the_ends_have_a_bin_and_nothing_has_no_error() {
        let ends = Reliability::count([(0.0, false, 1.0), (1.0, true, 1.0), (1.001, true, 1.0)]);
        assert_eq!((ends.bins[0].weight, ends.bins[14].weight), (1.0, 2.0));
        assert_eq!(Reliability::default().error(), None);
    }

    #[test]
    fn two_classes_and_three_are_told_apart() {
        let frame = Scored {
            truth: Class::Maybe,
            p: [0.5, 0.3, 0.2],
        };
        // Called a hit with 0.5, which is wrong; kept with 0.8, which is right.
        assert_eq!(Reliability::of_class(&[frame]).error(), Some(0.5));
        let keep = Reliability::of_keep(&[frame]).error().unwrap();
        assert!((keep - 0.2).abs() < 1e-12);
    }
}
