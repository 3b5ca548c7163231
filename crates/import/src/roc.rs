//! What is kept at every threshold: the receiver operating characteristic, in counts.

use hitgate_core::verdict::Class;
use serde::Serialize;

use crate::metrics::Scored;

/// What one threshold keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct RocPoint {
    /// Kept is `p_hit + p_maybe` of at least this; `None` keeps nothing.
    pub threshold: Option<f64>,
    /// Misses that are kept.
    pub misses_kept: u64,
    /// Hits or maybes that are kept.
    pub wanted_kept: u64,
    /// Hits that are kept.
    pub hits_kept: u64,
}

/// The curve from keeping nothing to keeping all. Of thresholds that differ in the misses alone, or
/// in the others alone, only the first and the last are given: the lines between are straight.
pub fn roc(frames: &[Scored]) -> Vec<RocPoint> {
    let mut sorted: Vec<&Scored> = frames.iter().collect();
    sorted.sort_by(|a, b| b.keep().total_cmp(&a.keep()));
    let mut corners = vec![RocPoint::default()];
    let mut at = RocPoint::default();
    for tied in sorted.chunk_by(|a, b| a.keep() == b.keep()) {
        at.threshold = Some(tied[0].keep());
        for frame in tied {
            at.misses_kept += u64::from(!frame.wanted());
            at.wanted_kept += u64::from(frame.wanted());
            at.hits_kept += u64::from(frame.truth == Class::Hit);
        }
        if let [.., before, last] = corners[..]
            && (before.misses_kept == last.misses_kept && last.misses_kept == at.misses_kept
                || before.wanted_kept == last.wanted_kept && last.wanted_kept == at.wanted_kept)
        {
            corners.pop();
        }
        corners.push(at);
    }
    corners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::auc;

    fn frame(truth: Class, keep: f64) -> Scored {
        Scored {
            truth,
            p: [keep, 0.0, 1.0 - keep],
        }
    }

    #[test]
    fn corners_of_a_hand_case_hold_its_area() {
        use Class::{Hit, Maybe, Miss};
        let frames = [
            frame(Hit, 0.9),
            frame(Maybe, 0.8),
            frame(Hit, 0.7),
            frame(Miss, 0.7),
            frame(Miss, 0.4),
            frame(Miss, 0.3),
            frame(Hit, 0.2),
        ];
        let point = |t, misses_kept, wanted_kept, hits_kept| RocPoint {
            threshold: Some(t),
            misses_kept,
            wanted_kept,
            hits_kept,
        };
        let curve = roc(&frames);
        // 0.9 lies between nothing and 0.8 on a line, 0.4 between 0.7 and 0.3.
        let expected = [
            RocPoint::default(),
            point(0.8, 0, 2, 1),
            point(0.7, 1, 3, 2),
            point(0.3, 3, 3, 2),
            point(0.2, 3, 4, 3),
        ];
        assert_eq!(curve, expected);
        let area: f64 = curve
            .windows(2)
            .map(|pair| {
                let misses = (pair[1].misses_kept - pair[0].misses_kept) as f64;
                misses * (pair[0].wanted_kept + pair[1].wanted_kept) as f64 / 2.0
            })
            .sum();
        assert!((area / 12.0 - auc(&frames).unwrap()).abs() < 1e-12);
        assert_eq!(roc(&[]), [RocPoint::default()]);
    }
}
