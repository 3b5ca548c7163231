//! Class activation maps: what each place of the map adds to the logits (Zhou et al. 2016,
//! <https://arxiv.org/abs/1512.04150>).
//!
//! The network pools the channels of its last map and weighs the sums, so a logit is a sum over the
//! cells of that map: `logit_c = bias_c + Σ_uv Σ_k w_ck s_k f_k(u, v)`, with the activations `f`, the
//! pool's factors `s` and the head's weights `w`. The pool rounds each sum to an integer of 0..=127;
//! the cells are not rounded, so a logit and its sum differ by up to `Σ_k |w_ck| / 2`, and by what
//! exceeds 127 where a pooled channel does.

use std::f64::consts::LN_2;

use hitgate_core::net::{Arena, InferError, Model, Plan};

/// What each cell of the last map adds to each logit.
pub struct ActivationMap {
    /// Cells along the side.
    pub side: usize,
    /// Row by row, for hit, maybe and miss, in natural logarithms: the softmax of sums and biases
    /// are the probabilities.
    pub cells: Vec<[f64; 3]>,
    /// What the head adds to each logit for every frame, in the same unit.
    pub bias: [f64; 3],
    /// The network's own logits, in the same unit.
    pub logits: [f64; 3],
}

impl ActivationMap {
    /// That of a prepared map, by the integer network.
    ///
    /// # Errors
    /// Those of [`Plan::infer`].
    pub fn of(
        model: &Model<'_>,
        plan: &Plan<'_>,
        arena: &mut Arena<'_>,
        map: &[u8],
    ) -> Result<Self, InferError> {
        let unit = f64::from(model.head().scale()) * LN_2;
        let in_unit = |logits: [i32; 3]| logits.map(|logit| f64::from(logit) * unit);
        let factors: Vec<f64> = model.pool_scales().map(|s| f64::from(s) * unit).collect();
        let weights = model.head().weights();
        let of_class = |class: usize, pixel: &[u8]| -> f64 {
            let row = &weights[class * factors.len()..];
            let terms = pixel.iter().zip(row).zip(&factors);
            terms
                .map(|((&f, &w), s)| f64::from(f) * f64::from(w) * s)
                .sum()
        };
        let logits = in_unit(plan.infer(arena, map)?);
        let last = plan.features(arena, map)?;
        let shape = last.shape();
        let pixels = |y| (0..shape.width).map(move |x| last.pixel(x, y));
        Ok(ActivationMap {
            side: shape.height,
            cells: (0..shape.height)
                .flat_map(pixels)
                .map(|pixel| [0, 1, 2].map(|class| of_class(class, pixel)))
                .collect(),
            bias: in_unit(model.head().biases()),
            logits,
        })
    }

    /// What each cell says for keeping the frame (positive) or for a miss (negative): its share of
    /// the log-odds of hit or maybe against miss, linear about this frame.
    ///
    /// `ln((e^hit + e^maybe) / e^miss)` is no sum over cells; its gradient weighs hit and maybe by
    /// their probabilities among the two.
    pub fn evidence(&self) -> Vec<f64> {
        let [hit, maybe, _] = self.logits;
        let of_hit = 1.0 / (1.0 + (maybe - hit).exp());
        self.cells
            .iter()
            .map(|[hit, maybe, miss]| of_hit * hit + (1.0 - of_hit) * maybe - miss)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;
    use hitgate_import::random;
    use hitgate_kernels::Level;

    fn activation(model: &Model<'_>, level: Level, map: &[u8]) -> ActivationMap {
        let memory = Plan::memory(model, level);
        let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
        let plan = Plan::new(model, level, &mut packed).unwrap();
        ActivationMap::of(model, &plan, &mut Arena::new(&mut arena), map).unwrap()
    }

    /// That cells and bias make the logits, up to half a step of each pooled channel: none of these
    /// maps takes one beyond 127.
    fn holds(model: &Model<'_>, map: &[u8]) {
        let unit = f64::from(model.head().scale()) * LN_2;
        let channels = model.pool_scales().len();
        let reference = activation(model, Level::by_name("scalar").unwrap(), map);
        assert!(reference.cells.iter().flatten().any(|&cell| cell != 0.0));
        for level in Level::all_available() {
            let found = activation(model, level, map);
            assert_eq!(found.cells, reference.cells, "{}", level.name());
            assert_eq!(found.cells.len(), found.side * found.side);
            for class in 0..3 {
                let sum: f64 = found.cells.iter().map(|cell| cell[class]).sum();
                let off = (found.bias[class] + sum - found.logits[class]).abs() / unit;
                let row = &model.head().weights()[class * channels..][..channels];
                let rounding: f64 = row.iter().map(|&w| f64::from(w).abs() / 2.0).sum();
                assert!(off <= rounding, "{off} of {rounding} on {}", level.name());
                // Errors of rounding go both ways: their sum is far from the worst case.
                assert!(off < rounding / 3.0, "{off} of {rounding}");
            }
        }
    }

    #[test]
    fn cells_and_bias_make_the_logits_on_every_level() {
        let embedded = model::parse(model::EMBEDDED, None).unwrap();
        holds(&embedded, embedded.golden().map);
        for (width, input, channels) in [(0.25, 64, 2), (0.5, 96, 1), (1.0, 33, 1)] {
            let file = random::file(width, input, channels, 11).unwrap();
            let model = Model::parse(&file).unwrap();
            for seed in 0..3 {
                holds(&model, &random::map(input, channels, seed));
            }
        }
    }

    #[test]
    fn evidence_is_the_gradient_of_the_log_odds() {
        let map = |cells: Vec<[f64; 3]>| ActivationMap {
            side: 1,
            logits: [0, 1, 2].map(|class| cells.iter().map(|cell| cell[class]).sum()),
            bias: [0.0; 3],
            cells,
        };
        let odds = |[hit, maybe, miss]: [f64; 3]| (hit.exp() + maybe.exp()).ln() - miss;
        let at = map(vec![[0.3, 0.9, -0.2], [0.1, -0.4, 0.5]]);
        for (cell, evidence) in at.cells.iter().zip(at.evidence()) {
            let step = 1e-6;
            let moved = [0, 1, 2].map(|class| at.logits[class] + step * cell[class]);
            let slope = (odds(moved) - odds(at.logits)) / step;
            assert!((slope - evidence).abs() < 1e-5, "{slope} {evidence}");
        }
    }
}
