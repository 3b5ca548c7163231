//! Exact bounds of a proportion (Clopper and Pearson 1934): "138 of 138 kept" proves a loss of at
//! most 2.1 %, not of none.

use crate::metrics::Share;

impl Share {
    /// The largest proportion `p` that `k` of `n` disproves with this one-sided `confidence`:
    /// `P(X >= k | n, p) = 1 − confidence`. 0 if nothing was counted.
    pub fn lower_bound(&self, confidence: f64) -> f64 {
        if self.k == 0 {
            return 0.0;
        }
        let (k, n) = (self.k as f64, self.n as f64);
        // P(X >= k | n, p) = I_p(k, n − k + 1), which grows with p.
        bisect(|p| regularized_beta(p, k, n - k + 1.0) < 1.0 - confidence)
    }

    /// The smallest proportion that `k` of `n` disproves; 1 if all were counted.
    pub fn upper_bound(&self, confidence: f64) -> f64 {
        let others = Share {
            k: self.n - self.k,
            n: self.n,
        };
        1.0 - others.lower_bound(confidence)
    }
}

/// Where `below` turns from true to false in 0..=1.
fn bisect(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The regularized incomplete beta function `I_x(a, b)` for `a, b >= 1`, by its continued fraction
/// (DLMF 8.17.22) in the modified Lentz method.
fn regularized_beta(x: f64, a: f64, b: f64) -> f64 {
    if x > (a + 1.0) / (a + b + 2.0) {
        // The fraction converges fast only on this side of the mean.
        return 1.0 - regularized_beta(1.0 - x, b, a);
    }
    let front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    let away_from_zero = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..100_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for term in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + term * d);
            c = away_from_zero(1.0 + term / c);
            change = c * d;
            fraction *= change;
        }
        if (change - 1.0).abs() < 1e-14 {
            break;
        }
    }
    front.exp() * fraction / a
}

/// `ln Γ(x)` for `x >= 1`: Stirling's series (DLMF 5.11.1) from ten on, the recurrence below.
fn ln_gamma(x: f64) -> f64 {
    if x < 10.0 {
        return ln_gamma(x + 1.0) - x.ln();
    }
    let r = 1.0 / (x * x);
    let series = (1.0 / 12.0 + r * (-1.0 / 360.0 + r * (1.0 / 1260.0 - r / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * core::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_n_has_a_closed_form() {
        for n in [1, 7, 59, 138, 2000, 100_000] {
            let bound = Share { k: n, n }.lower_bound(0.95);
            assert!((bound - 0.05_f64.powf(1.0 / n as f64)).abs() < 1e-12, "{n}");
        }
        // The paper's application test: 138 of 138 kept.
        let loss = 1.0 - Share { k: 138, n: 138 }.lower_bound(0.95);
        assert!((loss - 0.02147).abs() < 1e-5, "{loss}");
    }

    #[test]
    fn a_bound_solves_the_binomial_tail() {
        for (k, n) in [(1, 10), (5, 10), (9, 10), (37, 60), (110, 120)] {
            let p = Share { k, n }.lower_bound(0.95);
            let q = Share { k, n }.upper_bound(0.95);
            assert!((tail(n, p, k..=n) - 0.05).abs() < 1e-9, "{k} of {n}");
            assert!((tail(n, q, 0..=k) - 0.05).abs() < 1e-9, "{k} of {n}");
        }
        assert_eq!(Share { k: 0, n: 9 }.lower_bound(0.95), 0.0);
        assert_eq!(Share { k: 9, n: 9 }.upper_bound(0.95), 1.0);
    }

    /// P(X in `range`) of a binomial, term by term.
    fn tail(n: u64, p: f64, range: core::ops::RangeInclusive<u64>) -> f64 {
        let choose = |k: u64| (0..k).fold(1.0, |c, i| c * (n - i) as f64 / (i + 1) as f64);
        range
            .map(|k| choose(k) * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32))
            .sum()
    }
}
