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

/// Whose crystals are in the beam.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proteins {
    /// Half of them those of [`KNOWN`], half anybody's.
    Any,
    /// None like those of [`KNOWN`], which are left for tests.
    Unknown,
    /// Hen egg-white lysozyme alone.
    Lysozyme,
}

/// Proteins that much is measured on: a, b, c in ångström, gamma in degrees, centring.
const KNOWN: [(Vector, f64, Centring); 13] = {
    use Centring::{Body, Face, Primitive};
    [
        LYSOZYME,
        // Thermolysin, thaumatin, proteinase K, insulin.
        ([92.9, 92.9, 129.5], 120.0, Primitive),
        ([58.0, 58.0, 150.5], 90.0, Primitive),
        ([68.0, 68.0, 108.0], 90.0, Primitive),
        ([78.9, 78.9, 78.9], 90.0, Body),
        // Trypsin, photosystem II and I, cyclophilin A.
        ([54.8, 58.5, 67.5], 90.0, Primitive),
        ([117.0, 222.6, 307.3], 90.0, Primitive),
        ([281.0, 281.0, 165.2], 120.0, Primitive),
        ([42.7, 52.5, 89.2], 90.0, Primitive),
        // Hydrogenase, myoglobin, glucose isomerase, ferritin.
        ([111.0, 111.0, 103.0], 90.0, Primitive),
        ([91.2, 91.2, 45.9], 120.0, Primitive),
        ([93.8, 99.6, 102.9], 90.0, Body),
        ([181.0, 181.0, 181.0], 90.0, Face),
    ]
};
const LYSOZYME: (Vector, f64, Centring) = ([79.1, 79.1, 37.9], 90.0, Centring::Primitive);

impl Proteins {
    pub fn cell(self, draw: &mut Draw) -> Cell {
        let known = |(lengths, gamma, centring)| Cell {
            lengths,
            angles: [90.0, 90.0, gamma],
            centring,
        };
        match self {
            Proteins::Lysozyme => known(LYSOZYME),
            Proteins::Any if draw.chance(0.5) => known(draw.pick(&KNOWN)),
            Proteins::Any => Cell::random(draw),
            Proteins::Unknown => loop {
                let cell = Cell::random(draw);
                if !KNOWN.iter().any(|&of| cell.is_like(&known(of))) {
                    break cell;
                }
            },
        }
    }
}

impl Cell {
    /// Whether all axes are as long, within 3 %, and all angles the same, within 3 degrees.
    fn is_like(&self, other: &Cell) -> bool {
        let near = |[a, b]: [&Vector; 2], off: &dyn Fn(f64, f64) -> bool| {
            a.iter().zip(b).all(|(&a, &b)| !off(a, b))
        };
        near([&self.lengths, &other.lengths], &|a, b| {
            (a / b - 1.0).abs() > 0.03
        }) && near([&self.angles, &other.angles], &|a, b| (a - b).abs() > 3.0)
    }

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
    fn training_sees_no_known_protein() {
        let lysozyme = Proteins::Lysozyme.cell(&mut Draw::new(0, 0));
        assert!(lysozyme.is_like(&lysozyme));
        let grown = lysozyme.lengths.map(|length| 1.02 * length);
        assert!(lysozyme.is_like(&Cell {
            lengths: grown,
            ..lysozyme
        }));
        let mut draw = Draw::new(2, 0);
        let (mut likes, mut others) = (0, 0);
        for _ in 0..2000 {
            let cell = Proteins::Unknown.cell(&mut draw);
            others += i32::from(cell.is_like(&lysozyme));
            likes += i32::from(Proteins::Any.cell(&mut draw).is_like(&lysozyme));
        }
        assert!(others == 0 && likes > 40, "{others} {likes}");
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
