//! The last layer: three classes, whose sums stay integers.

use crate::Simd;

/// `bias[j] + Σ features[k] · weights[j][k]`; `weights` are three rows as long as `features`.
///
/// The loop is plain: three short rows need no packing, and integer sums are equal in any order.
pub fn dense<S: Simd>(s: S, features: &[u8], weights: &[i8], bias: [i32; 3]) -> [i32; 3] {
    s.vectorize(
        #[inline(always)]
        || {
            let mut logits = bias;
            for (logit, row) in logits.iter_mut().zip(weights.chunks_exact(features.len())) {
                for (a, w) in features.iter().zip(row) {
                    *logit += i32::from(*a) * i32::from(*w);
                }
            }
            logits
        },
    )
}
