//! Poisson and normal deviates as functions of given random bits: tables, no rejection, no state.

use std::sync::LazyLock;

/// Means from here on are sampled as a normal deviate with the Poisson distribution's skew.
const TABLED: f32 = 64.0;
/// Levels per unit of the mean's square root: neighbours differ by 1/32 of a standard deviation.
const FINENESS: f32 = 64.0;
const LEVELS: usize = 514;
/// Entries of the guide of a level, one for each value of the top bits.
const GUIDE_BITS: u32 = 6;

struct Tables {
    /// `P(X <= k)` in units of 2⁻³², the levels one after another; each ends with the largest word.
    cumulative: Vec<u32>,
    /// For each level and each value of the top bits: the first count that may hold it.
    guide: Vec<u8>,
    /// First entry of each level.
    first: Vec<u32>,
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables {
        cumulative: Vec::new(),
        guide: Vec::new(),
        first: Vec::new(),
    };
    for level in 0..LEVELS {
        let mean = (level as f64 / f64::from(FINENESS)).powi(2);
        let first = tables.cumulative.len();
        let mut term = (-mean).exp();
        let mut sum = term;
        let mut k = 0.0;
        while sum < 1.0 - 1e-10 && k < mean + 20.0 * mean.sqrt() + 20.0 {
            tables.cumulative.push((sum * 4_294_967_296.0) as u32);
            k += 1.0;
            term *= mean / k;
            sum += term;
        }
        tables.cumulative.push(u32::MAX);
        tables.first.push(first as u32);
        let mut entry = first;
        for top in 0..1u32 << GUIDE_BITS {
            while tables.cumulative[entry] < top << (32 - GUIDE_BITS) {
                entry += 1;
            }
            tables.guide.push((entry - first) as u8);
        }
    }
    tables
});

/// Makes Poisson deviates; cheap to copy into a loop.
#[derive(Clone, Copy)]
pub(crate) struct Poisson {
    tables: &'static Tables,
}

impl Poisson {
    pub fn new() -> Self {
        Poisson { tables: &TABLES }
    }

    /// A count with the given mean, from 32 random bits and 8 more that dither between the tables.
    #[inline(always)]
    pub fn count(&self, mean: f32, bits: u32, dither: u8) -> i32 {
        if mean < TABLED {
            let level =
                (mean.sqrt() * FINENESS + f32::from(dither) * (1.0 / 256.0)) as i32 as usize;
            let guide = (level << GUIDE_BITS) + (bits >> (32 - GUIDE_BITS)) as usize;
            let mut count = usize::from(self.tables.guide[guide]);
            let cumulative = &self.tables.cumulative[self.tables.first[level] as usize..];
            // Mostly the first entry or the next: no branch to mispredict.
            count += usize::from(cumulative[count] < bits);
            count += usize::from(cumulative[count] < bits);
            while cumulative[count] < bits {
                count += 1;
            }
            count as i32
        } else {
            let z = normal(bits);
            (mean + mean.sqrt() * z + (z * z - 1.0) / 6.0 + 0.5) as i32
        }
    }
}

/// A normal deviate from 32 random bits: Acklam's rational approximation of the inverse of the
/// cumulative normal distribution (relative error below 1.2e-9 in exact arithmetic).
#[inline(always)]
pub(crate) fn normal(bits: u32) -> f32 {
    const TAIL: f32 = 0.02425;
    let half = ((bits >> 1) as f32 + 0.5) * (0.5 / 2_147_483_648.0);
    let magnitude = if half >= TAIL {
        let q = 0.5 - half;
        let r = q * q;
        let above = ((((-39.696_83 * r + 220.946_1) * r - 275.928_5) * r + 138.357_75) * r
            - 30.664_798)
            * r
            + 2.506_628_3;
        let below = ((((-54.476_1 * r + 161.585_83) * r - 155.698_98) * r + 66.801_31) * r
            - 13.280_682)
            * r
            + 1.0;
        q * above / below
    } else {
        let q = (-2.0 * half.ln()).sqrt();
        let above = ((((-0.007_784_894 * q - 0.322_396_46) * q - 2.400_758_3) * q - 2.549_732_5)
            * q
            + 4.374_664)
            * q
            + 2.938_164;
        let below =
            (((0.007_784_696 * q + 0.322_467_13) * q + 2.445_134_2) * q + 3.754_408_7) * q + 1.0;
        -above / below
    };
    if bits & 1 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{STRIDE, mix};

    fn moments(count: impl Fn(u64) -> f64) -> (f64, f64) {
        let n = 400_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for i in 0..n {
            let x = count(mix((i as u64).wrapping_mul(STRIDE)));
            sum += x;
            squares += x * x;
        }
        let mean = sum / f64::from(n);
        (mean, squares / f64::from(n) - mean * mean)
    }

    #[test]
    fn counts_have_the_mean_and_variance_of_poisson() {
        let poisson = Poisson::new();
        for mean in [0.0, 0.003, 0.1, 0.7, 3.0, 17.3, 63.9, 64.1, 300.0, 40_000.0] {
            let (found, variance) = moments(|bits| {
                f64::from(poisson.count(mean as f32, bits as u32, (bits >> 32) as u8))
            });
            let error = (mean / 400_000.0_f64).sqrt();
            assert!(
                (found - mean).abs() <= 5.0 * error + 0.002 * mean.min(1.0),
                "{mean}: mean {found}"
            );
            assert!(
                (variance - mean).abs() <= 0.02 * mean + 1e-4,
                "{mean}: variance {variance}"
            );
        }
    }

    #[test]
    fn normal_deviates_are_normal() {
        let (mean, variance) = moments(|bits| f64::from(normal((bits >> 20) as u32)));
        assert!(
            mean.abs() < 0.008 && (variance - 1.0).abs() < 0.01,
            "{mean} {variance}"
        );
        let beyond_2 = moments(|bits| f64::from(u8::from(normal(bits as u32) > 2.0))).0;
        assert!((beyond_2 - 0.02275).abs() < 0.0012, "{beyond_2}");
    }
}
