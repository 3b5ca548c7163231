//! Unit cells in the range of protein crystals.

use crate::draw::Draw;

pub(crate) type Vector = [f64; 3];

pub(crate) fn cross(a: Vector, b: Vector) -> Vector {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

pub(crate) fn dot(a: Vector, b: Vector) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

/// Lattice points beside the corners of the cell; each makes reflections absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Centring {
    Primitive,
    BaseC,
    Body,
    Face,
    /// Rhombohedral in hexagonal axes, obverse.
    Rhombohedral,
}

impl Centring {
    /// Whether the lattice has reflection `hkl` at all.
    pub fn allows(self, h: i32, k: i32, l: i32) -> bool {
        match self {
            Centring::Primitive => true,
            Centring::BaseC => (h + k) % 2 == 0,
            Centring::Body => (h + k + l) % 2 == 0,
            Centring::Face => (h + k) % 2 == 0 && (k + l) % 2 == 0,
            Centring::Rhombohedral => (-h + k + l) % 3 == 0,
        }
    }

    /// Reciprocal lattice points for each one that is allowed.
    pub fn multiplicity(self) -> f64 {
        match self {
            Centring::Primitive => 1.0,
            Centring::BaseC | Centring::Body => 2.0,
            Centring::Rhombohedral => 3.0,
            Centring::Face => 4.0,
        }
    }
}

/// A unit cell: lengths in ångström, angles in degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cell {
    pub lengths: Vector,
    pub angles: Vector,
    pub centring: Centring,
}

impl Cell {
    pub fn random(draw: &mut Draw) -> Self {
        #[derive(Clone, Copy)]
        enum System {
            Triclinic,
            Monoclinic,
            Orthorhombic,
            Tetragonal,
            Hexagonal,
            Cubic,
        }
        use Centring::{BaseC, Body, Face, Primitive, Rhombohedral};
        let system = draw.weighted(&[
            (0.05, System::Triclinic),
            (0.28, System::Monoclinic),
            (0.32, System::Orthorhombic),
            (0.17, System::Tetragonal),
            (0.12, System::Hexagonal),
            (0.06, System::Cubic),
        ]);
        let mut length = || (75.0 * (0.42 * draw.normal()).exp()).clamp(30.0, 320.0);
        let [a, b, c] = [length(), length(), length()];
        let (lengths, angles, centring) = match system {
            System::Triclinic => {
                let angles = std::array::from_fn(|_| draw.uniform(75.0, 105.0));
                ([a, b, c], angles, Primitive)
            }
            System::Monoclinic => {
                let beta = draw.uniform(90.0, 118.0);
                (
                    [a, b, c],
                    [90.0, beta, 90.0],
                    draw.pick(&[Primitive, BaseC]),
                )
            }
            System::Orthorhombic => {
                let centring =
                    draw.weighted(&[(0.7, Primitive), (0.15, BaseC), (0.11, Body), (0.04, Face)]);
                ([a, b, c], [90.0; 3], centring)
            }
            System::Tetragonal => (
                [a, a, c],
                [90.0; 3],
                draw.weighted(&[(0.75, Primitive), (0.25, Body)]),
            ),
            System::Hexagonal => (
                [a, a, c],
                [90.0, 90.0, 120.0],
                draw.weighted(&[(0.7, Primitive), (0.3, Rhombohedral)]),
            ),
            System::Cubic => ([a, a, a], [90.0; 3], draw.pick(&[Primitive, Body, Face])),
        };
        Cell {
            lengths,
            angles,
            centring,
        }
    }

    /// a, b, c as vectors, a along x and b in the xy plane.
    fn axes(&self) -> [Vector; 3] {
        let [a, b, c] = self.lengths;
        let [alpha, beta, gamma] = self.angles.map(f64::to_radians);
        let cx = beta.cos();
        let cy = (alpha.cos() - beta.cos() * gamma.cos()) / gamma.sin();
        let cz = (1.0 - cx * cx - cy * cy).max(1e-6).sqrt();
        [
            [a, 0.0, 0.0],
            [b * gamma.cos(), b * gamma.sin(), 0.0],
            [c * cx, c * cy, c * cz],
        ]
    }

    /// In cubic ångström.
    pub fn volume(&self) -> f64 {
        let [a, b, c] = self.axes();
        dot(a, cross(b, c))
    }

    /// a*, b*, c* in 1/ångström (without 2π), turned by `rotation`.
    pub fn reciprocal(&self, rotation: &[Vector; 3]) -> [Vector; 3] {
        let [a, b, c] = self.axes();
        let volume = dot(a, cross(b, c));
        [cross(b, c), cross(c, a), cross(a, b)]
            .map(|v| std::array::from_fn(|i| dot(rotation[i], v) / volume))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reciprocal_axes_are_dual_to_the_axes() {
        let mut draw = Draw::new(1, 0);
        for _ in 0..50 {
            let cell = Cell::random(&mut draw);
            let identity = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
            let reciprocal = cell.reciprocal(&identity);
            for (i, axis) in cell.axes().into_iter().enumerate() {
                assert!((dot(axis, axis).sqrt() / cell.lengths[i] - 1.0).abs() < 1e-9);
                for (j, star) in reciprocal.into_iter().enumerate() {
                    assert!((dot(axis, star) - f64::from(u8::from(i == j))).abs() < 1e-9);
                }
            }
        }
    }

    #[test]
    fn centring_leaves_one_point_in_its_multiplicity() {
        use Centring::*;
        for centring in [Primitive, BaseC, Body, Face, Rhombohedral] {
            let mut allowed = 0;
            for hkl in 0..12 * 12 * 12 {
                allowed +=
                    i32::from(centring.allows(hkl % 12 - 6, hkl / 12 % 12 - 6, hkl / 144 - 6));
            }
            assert_eq!(
                f64::from(allowed) * centring.multiplicity(),
                1728.0,
                "{centring:?}"
            );
        }
    }
}
