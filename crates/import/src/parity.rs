//! What the integers cost: the float network by tract against the integer network, frame by frame.

use std::fmt;

use serde::Serialize;

use crate::metrics::{Scored, Share, auc};

/// Frames that the report names.
const WORST: usize = 10;

/// Two networks over the same frames.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Parity {
    /// The threshold that verdicts are compared at.
    pub threshold: f64,
    /// Frames that both keep or both drop.
    pub verdicts_equal: Share,
    /// Frames that the float network keeps and the integer one drops.
    pub lost: u64,
    /// Frames that the float network drops and the integer one keeps.
    pub gained: u64,
    /// Frames that both put in one class.
    pub classes_equal: Share,
    /// AUC of the float network, misses against the rest.
    pub auc_float: Option<f64>,
    /// AUC of the integer network.
    pub auc_integer: Option<f64>,
    /// Mean of |Δ(p_hit + p_maybe)|.
    pub mean_difference: f64,
    /// Its largest value.
    pub largest_difference: f64,
    /// The frames that differ most, the worst first.
    pub worst: Vec<Difference>,
}

/// One frame in both networks.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its index among the frames.
    pub index: usize,
    /// Its label.
    pub truth: &'static str,
    /// p_hit + p_maybe of the float network.
    pub float: f64,
    /// p_hit + p_maybe of the integer network.
    pub integer: f64,
}

impl Parity {
    /// Compares the scores of the same frames in the same order, with verdicts at `threshold`.
    pub fn of(float: &[Scored], integer: &[Scored], threshold: f64) -> Self {
        let pairs = || float.iter().zip(integer);
        let count = |holds: &dyn Fn(&Scored, &Scored) -> bool| {
            pairs().filter(|(f, i)| holds(f, i)).count() as u64
        };
        let n = pairs().count() as u64;
        let keeps = |frame: &Scored| frame.keep() >= threshold;
        let lost = count(&|f, i| keeps(f) && !keeps(i));
        let gained = count(&|f, i| !keeps(f) && keeps(i));
        let mut worst: Vec<Difference> = pairs()
            .enumerate()
            .map(|(index, (float, integer))| Difference {
                index,
                truth: float.truth.name(),
                float: float.keep(),
                integer: integer.keep(),
            })
            .collect();
        let size = |d: &Difference| (d.float - d.integer).abs();
        worst.sort_by(|a, b| size(b).total_cmp(&size(a)));
        let mean_difference = worst.iter().map(size).sum::<f64>() / n as f64;
        let largest_difference = worst.first().map_or(0.0, size);
        worst.truncate(WORST);
        Parity {
            threshold,
            verdicts_equal: Share {
                k: n - lost - gained,
                n,
            },
            lost,
            gained,
            classes_equal: Share {
                k: count(&|f, i| f.class() == i.class()),
                n,
            },
            auc_float: auc(float),
            auc_integer: auc(integer),
            mean_difference,
            largest_difference,
            worst,
        }
    }
}

impl fmt::Display for Parity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: Share| 100.0 * share.fraction();
        writeln!(f, "integer against float, {} frames", self.verdicts_equal.n)?;
        writeln!(
            f,
            "  equal verdicts  {:7.3} %  at t = {:.4}; {} lost, {} gained by the integers",
            percent(self.verdicts_equal),
            self.threshold,
            self.lost,
            self.gained
        )?;
        writeln!(f, "  equal classes   {:7.3} %", percent(self.classes_equal))?;
        if let (Some(float), Some(integer)) = (self.auc_float, self.auc_integer) {
            let change = integer - float;
            writeln!(
                f,
                "  AUC             {float:.5} float, {integer:.5} integer ({change:+.5})"
            )?;
        }
        writeln!(
            f,
            "  |Δp|            {:.5} mean, {:.5} largest",
            self.mean_difference, self.largest_difference
        )?;
        writeln!(f, "  frame      label   p float  p integer")?;
        for frame in &self.worst {
            writeln!(
                f,
                "  {:<9}  {:<6}  {:.5}  {:.5}",
                frame.index, frame.truth, frame.float, frame.integer
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_core::verdict::Class;

    #[test]
    fn verdicts_differ_only_across_the_threshold() {
        let frames = |keeps: [f64; 4]| {
            keeps.map(|keep| Scored {
                truth: if keep > 0.4 { Class::Hit } else { Class::Miss },
                p: [keep, 0.0, 1.0 - keep],
            })
        };
        let parity = Parity::of(
            &frames([0.9, 0.45, 0.55, 0.1]),
            &frames([0.6, 0.55, 0.45, 0.1]),
            0.5,
        );
        assert_eq!(parity.verdicts_equal, Share { k: 2, n: 4 });
        assert_eq!((parity.lost, parity.gained), (1, 1));
        assert_eq!(parity.worst[0].index, 0);
        assert_eq!(
            parity.largest_difference,
            parity.worst[0].float - parity.worst[0].integer
        );
        assert!(parity.to_string().contains("50.000 %"));
    }
}
