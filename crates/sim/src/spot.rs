//! The shape of a spot on the pixels.

use std::ops::{Add, Mul, RangeInclusive};

/// How far something spreads in a plane: the variances along both axes and their covariance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub xx: f64,
    pub xy: f64,
    pub yy: f64,
}

impl Spread {
    /// The same in every direction.
    pub const fn round(variance: f64) -> Self {
        Spread {
            xx: variance,
            xy: 0.0,
            yy: variance,
        }
    }

    /// Along a unit vector, and not across it.
    pub fn along([ux, uy]: [f64; 2], variance: f64) -> Self {
        Spread {
            xx: ux * ux,
            xy: ux * uy,
            yy: uy * uy,
        } * variance
    }

    /// Drawn out along a unit vector by a factor.
    pub fn stretched(self, [ux, uy]: [f64; 2], factor: f64) -> Self {
        let more = factor - 1.0;
        let (ax, ay) = (self.xx * ux + self.xy * uy, self.xy * ux + self.yy * uy);
        let own = more * more * (ux * ax + uy * ay);
        Spread {
            xx: self.xx + 2.0 * more * ux * ax,
            xy: self.xy + more * (ux * ay + uy * ax),
            yy: self.yy + 2.0 * more * uy * ay,
        } + Spread::along([ux, uy], own)
    }
}

impl Add for Spread {
    type Output = Spread;

    fn add(self, other: Spread) -> Spread {
        Spread {
            xx: self.xx + other.xx,
            xy: self.xy + other.xy,
            yy: self.yy + other.yy,
        }
    }
}

impl Mul<f64> for Spread {
    type Output = Spread;

    fn mul(self, factor: f64) -> Spread {
        Spread {
            xx: self.xx * factor,
            xy: self.xy * factor,
            yy: self.yy * factor,
        }
    }
}

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

/// A pixel collects over its square, which widens the profile by a uniform one's variance.
fn collected(spread: Spread) -> Spread {
    spread + Spread::round(1.0 / 12.0)
}

/// The pixels that a spot reaches which is so wide one way.
fn reached(centre: f64, variance: f64) -> RangeInclusive<i32> {
    let reach = (3.6 * variance.sqrt()).min(LARGEST_REACH) + 0.5;
    (centre - reach).floor() as i32..=(centre + reach).floor() as i32
}

impl Stamp {
    /// A spot about `(x, y)`, spread by so many pixels².
    pub fn new(x: f64, y: f64, spread: Spread) -> Self {
        let Spread { xx, xy, yy } = collected(spread);
        let determinant = xx * yy - xy * xy;
        let (rows, columns) = (reached(y, yy), reached(x, xx));
        let (left, top) = (*columns.start(), *rows.start());
        let width = (columns.end() - left + 1) as usize;
        let mut shares = Vec::with_capacity(width * (rows.end() - top + 1) as usize);
        for row in rows {
            let dy = f64::from(row) + 0.5 - y;
            for column in columns.clone() {
                let dx = f64::from(column) + 0.5 - x;
                let distance = (yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / determinant;
                shares.push((-0.5 * distance).exp() as f32);
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

    /// The rows of a spot about `y`, spread by so many pixels².
    pub fn rows_of(y: f64, spread: Spread) -> RangeInclusive<i32> {
        reached(y, collected(spread).yy)
    }

    /// Its last row.
    pub fn bottom(&self) -> i32 {
        self.top + (self.shares.len() / self.width) as i32 - 1
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
            let spread = Spread::along([0.6, 0.8], along) + Spread::along([-0.8, 0.6], across);
            let stamp = Stamp::new(100.3, 50.8, spread);
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

    #[test]
    fn what_is_drawn_out_is_longer_that_way_alone() {
        let along = [0.6, 0.8];
        let drawn = Spread::round(2.0).stretched(along, 3.0);
        let expected = Spread::along(along, 18.0) + Spread::along([-0.8, 0.6], 2.0);
        for (found, expected) in [
            (drawn.xx, expected.xx),
            (drawn.xy, expected.xy),
            (drawn.yy, expected.yy),
        ] {
            assert!((found - expected).abs() < 1e-12, "{drawn:?}");
        }
    }
}
