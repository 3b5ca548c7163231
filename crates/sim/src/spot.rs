//! The shape of a spot on the pixels.

/// A spot of one photon: the share of it on each pixel of a small rectangle; shares sum to 1.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    pub left: i32,
    pub top: i32,
    pub width: usize,
    pub shares: Vec<f32>,
}

/// Half the side of the largest stamp, pixels.
const LARGEST_REACH: f64 = 40.0;

impl Stamp {
    /// An ellipse about `(x, y)`: variances (pixels²) along `direction`, a unit vector, and across.
    pub fn new(x: f64, y: f64, direction: [f64; 2], along: f64, across: f64) -> Self {
        // A pixel collects over its square, which widens the profile by a uniform one's variance.
        let (along, across) = (along + 1.0 / 12.0, across + 1.0 / 12.0);
        let [ux, uy] = direction;
        let reach_x = (3.6 * (along * ux * ux + across * uy * uy).sqrt()).min(LARGEST_REACH) + 0.5;
        let reach_y = (3.6 * (along * uy * uy + across * ux * ux).sqrt()).min(LARGEST_REACH) + 0.5;
        let (left, right) = ((x - reach_x).floor() as i32, (x + reach_x).floor() as i32);
        let (top, bottom) = ((y - reach_y).floor() as i32, (y + reach_y).floor() as i32);
        let width = (right - left + 1) as usize;
        let mut shares = Vec::with_capacity(width * (bottom - top + 1) as usize);
        for row in top..=bottom {
            let dy = f64::from(row) + 0.5 - y;
            for column in left..=right {
                let dx = f64::from(column) + 0.5 - x;
                let (r, t) = (dx * ux + dy * uy, dx * uy - dy * ux);
                shares.push((-0.5 * (r * r / along + t * t / across)).exp() as f32);
            }
        }
        let total: f32 = shares.iter().sum();
        let norm = if total > 0.0 { 1.0 / total } else { 0.0 };
        shares.iter_mut().for_each(|share| *share *= norm);
        Stamp {
            left,
            top,
            width,
            shares,
        }
    }

    /// The rows of the stamp: their y and their shares.
    pub fn rows(&self) -> impl Iterator<Item = (i32, &[f32])> {
        (self.top..).zip(self.shares.chunks_exact(self.width))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_holds_one_photon_about_its_centre() {
        for (along, across) in [(0.0, 0.0), (0.3, 0.3), (9.0, 0.5), (40.0, 2.0)] {
            let stamp = Stamp::new(100.3, 50.8, [0.6, 0.8], along, across);
            let (mut sum, mut mean, mut variance) = (0.0, [0.0; 2], 0.0);
            for (y, row) in stamp.rows() {
                for (i, &share) in row.iter().enumerate() {
                    let (dx, dy) = (
                        f64::from(stamp.left + i as i32) + 0.5 - 100.3,
                        f64::from(y) + 0.5 - 50.8,
                    );
                    sum += f64::from(share);
                    mean[0] += f64::from(share) * dx;
                    mean[1] += f64::from(share) * dy;
                    variance += f64::from(share) * (dx * 0.6 + dy * 0.8).powi(2);
                }
            }
            assert!((sum - 1.0).abs() < 1e-4);
            assert!(
                mean.iter().all(|m| m.abs() < 0.25),
                "{mean:?}: within its pixel"
            );
            if along > 0.2 {
                assert!(
                    (variance / (along + 1.0 / 12.0) - 1.0).abs() < 0.05,
                    "{variance} {along}"
                );
            }
        }
    }
}
