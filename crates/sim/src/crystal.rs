//! Which reflections of a crystal meet the panel, where, how strong and in what shape.

use crate::cell::{Cell, Centring, Vector, dot};
use crate::draw::{Draw, STRIDE, mix};
use crate::spot::Spread;
use hitgate_formats::geometry::Geometry;

/// The thickest lattice point, 1/ångström: blocks 80 nm across. Crystals whose blocks are smaller
/// diffract to fewer spots than they are asked for.
const THICKEST_POINT: f64 = 1.25e-3;

/// Names the intensities of lysozyme.
const LYSOZYME: u64 = 0x1AE1;

/// A crystal in the beam.
#[derive(Clone, Debug)]
pub(crate) struct Crystal {
    /// a*, b*, c* in the laboratory (z along the beam), 1/ångström.
    reciprocal: [Vector; 3],
    centring: Centring,
    /// Names the intensities of this crystal.
    key: u64,
    /// Whether reflections that the Laue class 4/mmm makes equal are equally strong; else each has an
    /// intensity of its own.
    tetragonal: bool,
    /// Strength relative to the other crystals on the frame.
    strength: f64,
    b_factor: f64,
    /// Radius of a reciprocal lattice point from the size of the crystal, 1/ångström.
    point_radius: f64,
    /// Half the spread of the orientations of mosaic blocks, radians.
    mosaicity: f64,
    /// Relative spread of wavelengths.
    bandwidth: f64,
    /// Whether reflections die away slowly off the sphere, as from blocks of many sizes.
    tailed: bool,
    /// What the sizes of beam and crystal and the divergence make of a spot, mm².
    footprint: Spread,
    /// Half the rotation during the exposure, radians; 0 is a still.
    half_rotation: f64,
    axis: Vector,
}

/// A reflection on the panel: its place, its share of the crystal's scattering and its shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reflection {
    pub x: f64,
    pub y: f64,
    /// Resolution, ångström.
    pub d: f64,
    /// Expected photons at unit scale.
    pub intensity: f64,
    /// Pixels².
    pub spread: Spread,
}

impl Crystal {
    /// A crystal of this cell of which about `reflections` with d > `d_water` meet the Ewald sphere, as far as
    /// plausible sizes and mosaicities allow. `focus_mm` is the standard deviation of the narrow side of
    /// what beam and crystal have in common.
    pub fn random(
        draw: &mut Draw,
        cell: Cell,
        geometry: &Geometry,
        focus_mm: f64,
        reflections: f64,
        d_water: f64,
    ) -> Self {
        let rotation = draw.rotation();
        // The part of a sphere through the origin within 1/d of it has the area π/d², whatever the
        // sphere's radius; a shell of half-thickness w on it holds 2 w V π/d² lattice points, and
        // reflections matter to 2 w on both sides.
        let area = std::f64::consts::PI / (d_water * d_water);
        let fitting = reflections * cell.centring.multiplicity() / (4.0 * area * cell.volume());
        let thickness = fitting.clamp(2e-5, 3e-3);
        // A rotation sweeps the sphere over 2/π of its angle on average over the azimuths.
        let swept = if draw.chance(0.3) {
            draw.uniform(0.3, 0.9)
        } else {
            0.0
        };
        let half_rotation = (std::f64::consts::PI * swept * thickness * d_water).min(0.0087);
        let width = thickness * (1.0 - swept);
        let most_mosaic = if draw.chance(0.1) { 1e-2 } else { 2.5e-3 };
        let mosaicity = (width * draw.unit().sqrt() * d_water).min(most_mosaic);
        let mosaic_width = mosaicity / d_water;
        let bandwidth = if draw.chance(0.06) {
            draw.log_uniform(5e-3, 3e-2)
        } else {
            // A wider band would be the thickness.
            draw.log_uniform(1e-4, 3e-3)
                .min(2.0 * width * d_water * d_water)
        };
        let footprint = footprint(draw, focus_mm, geometry);
        let azimuth = draw.uniform(0.0, std::f64::consts::TAU);
        Crystal {
            reciprocal: cell.reciprocal(&rotation),
            centring: cell.centring,
            key: draw.bits(),
            tetragonal: false,
            strength: 1.0,
            b_factor: draw.log_uniform(8.0, 90.0),
            point_radius: (width * width - mosaic_width * mosaic_width)
                .max(0.02 * width * width)
                .sqrt()
                .min(THICKEST_POINT),
            mosaicity,
            bandwidth,
            tailed: draw.chance(0.5),
            footprint,
            half_rotation,
            axis: [azimuth.cos(), azimuth.sin(), 0.0],
        }
    }

    /// A second crystal of the same kind: turned a little (a split crystal) or at random.
    pub fn sibling(&self, draw: &mut Draw) -> Self {
        let turn = if draw.chance(0.4) {
            small_turn(draw.uniform(0.2, 2.0).to_radians(), draw)
        } else {
            draw.rotation()
        };
        Crystal {
            reciprocal: self.reciprocal.map(|v| turn.map(|row| dot(row, v))),
            strength: draw.log_uniform(0.1, 1.0),
            key: draw.bits(),
            ..self.clone()
        }
    }

    /// The crystal with the intensities that all crystals of lysozyme share, so that a run of them can be
    /// merged.
    pub fn of_lysozyme(self) -> Self {
        Crystal {
            key: LYSOZYME,
            tetragonal: true,
            ..self
        }
    }

    /// Calls `found` with each reflection of d > `d_min` that leaves towards the panel's plane.
    pub fn reflections(&self, geometry: &Geometry, d_min: f64, mut found: impl FnMut(Reflection)) {
        let wavenumber = 1.0 / geometry.wavelength_a;
        let q_max = (1.0 / d_min).min(2.0 * wavenumber);
        let [a, b, c] = self.reciprocal;
        let reach = self.width(q_max, 1.0) * self.followed();
        let cc = dot(c, c);
        let plane_h = plane_count(q_max, a, b, c);
        for h in -plane_h..=plane_h {
            let along_h: Vector = a.map(|v| v * f64::from(h));
            for k in k_range(along_h, b, c, q_max) {
                let base: Vector = std::array::from_fn(|i| along_h[i] + b[i] * f64::from(k));
                let from_centre = [base[0], base[1], base[2] + wavenumber];
                let half = dot(from_centre, c) / cc;
                let constant = dot(from_centre, from_centre);
                let root = |radius: f64| {
                    let discriminant = half * half - (constant - radius * radius) / cc;
                    (discriminant > 0.0).then(|| discriminant.sqrt())
                };
                let Some(outer) = root(wavenumber + reach) else {
                    continue;
                };
                let mut visit = |from: f64, to: f64| {
                    for l in from.ceil() as i32..=to.floor() as i32 {
                        let q: Vector = std::array::from_fn(|i| base[i] + c[i] * f64::from(l));
                        self.reflection([h, k, l], q, geometry, wavenumber, q_max)
                            .map(&mut found);
                    }
                };
                match root(wavenumber - reach) {
                    Some(inner) => {
                        visit(-half - outer, -half - inner);
                        visit(-half + inner, -half + outer);
                    }
                    None => visit(-half - outer, -half + outer),
                }
            }
        }
    }

    fn reflection(
        &self,
        [h, k, l]: [i32; 3],
        q: Vector,
        geometry: &Geometry,
        wavenumber: f64,
        q_max: f64,
    ) -> Option<Reflection> {
        let q_length = dot(q, q).sqrt();
        if !self.centring.allows(h, k, l) || q_length > q_max || q_length < 1e-3 {
            return None;
        }
        let out = [q[0], q[1], q[2] + wavenumber];
        let out_length = dot(out, out).sqrt();
        if out[2] < 0.2 * wavenumber {
            return None;
        }
        let excitation = (out_length - wavenumber).abs();
        let swept =
            self.half_rotation * dot(q, crate::cell::cross(self.axis, [0.0, 0.0, 1.0])).abs();
        let width = self.width(q_length, 0.0);
        let beyond = (excitation - swept).max(0.0) / width;
        if beyond > self.followed() {
            return None;
        }
        // Turning through the sphere slowly records more of a reflection than passing it quickly.
        let recorded = width / (width + swept);
        let core = (-0.5 * (beyond * 1.25).powi(2)).exp();
        let partiality = recorded
            * match self.tailed {
                true => 0.8 * core + 0.2 / (1.0 + beyond * beyond),
                false => core,
            };

        let d = 1.0 / q_length;
        let per_mm = 1.0 / geometry.pixel_mm;
        let scale = geometry.distance_mm * per_mm / out[2];
        let (dx, dy) = (out[0] * scale, out[1] * scale);
        let radius = dx.hypot(dy).max(1e-9);
        let [ux, uy] = [dx / radius, dy / radius];
        let radius_mm = radius * geometry.pixel_mm;
        let cos_two_theta = out[2] / out_length;
        let along = self.bandwidth * radius_mm / (cos_two_theta * cos_two_theta);
        let across = self.mosaicity * radius_mm;
        let spread = self.footprint.stretched([ux, uy], 1.0 / cos_two_theta)
            + Spread::along([ux, uy], along * along)
            + Spread::along([-uy, ux], across * across);
        let intensity = self.strength
            * partiality
            * self.structure([h, k, l])
            * protein_scattering(q_length)
            * (-0.5 * self.b_factor * q_length * q_length).exp()
            * 0.5
            * (1.0 + cos_two_theta * cos_two_theta);
        let [cx, cy] = geometry.beam_center_px;
        Some(Reflection {
            x: cx + dx,
            y: cy + dy,
            d,
            intensity,
            spread: spread * (per_mm * per_mm),
        })
    }

    /// So many half-thicknesses off the sphere a reflection is followed.
    fn followed(&self) -> f64 {
        if self.tailed { 6.0 } else { 2.0 }
    }

    /// Intensity of a reflection over the mean of its resolution.
    fn structure(&self, [h, k, l]: [i32; 3]) -> f64 {
        if !self.tetragonal {
            return exponential(self.key, h, k, l);
        }
        let (h, k) = (h.abs(), k.abs());
        exponential(self.key, h.max(k), h.min(k), l.abs())
    }

    /// Half-thickness of the reciprocal lattice point at `q`, 1/ångström; the rotation's share at
    /// its largest, times `rotation`.
    fn width(&self, q: f64, rotation: f64) -> f64 {
        let bandwidth = 0.5 * self.bandwidth * q * q;
        let mosaic = self.mosaicity * q;
        (self.point_radius * self.point_radius + mosaic * mosaic + bandwidth * bandwidth).sqrt()
            + 0.5 * rotation * self.half_rotation * q
    }
}

/// The spot of an ideal crystal, mm²: beam and crystal, mostly longer one way than the other, and the
/// divergence of the beam.
fn footprint(draw: &mut Draw, across: f64, geometry: &Geometry) -> Spread {
    let along = if draw.chance(0.6) {
        (across * draw.log_uniform(1.0, 3.0)).min(0.35)
    } else {
        across
    };
    let azimuth = draw.uniform(0.0, std::f64::consts::PI);
    let divergence = draw.log_uniform(2e-5, 3e-4) * geometry.distance_mm.min(600.0);
    let longer = along * along - across * across;
    Spread::round(across * across + divergence * divergence)
        + Spread::along([azimuth.cos(), azimuth.sin()], longer)
}

/// Index of the last plane of constant h within `q_max` of the origin.
fn plane_count(q_max: f64, a: Vector, b: Vector, c: Vector) -> i32 {
    let normal = crate::cell::cross(b, c);
    let spacing = dot(a, normal).abs() / dot(normal, normal).sqrt();
    (q_max / spacing).min(2000.0) as i32
}

/// The k for which the line of constant h and k comes within `q_max` of the origin.
fn k_range(along_h: Vector, b: Vector, c: Vector, q_max: f64) -> std::ops::RangeInclusive<i32> {
    let cc = dot(c, c);
    let off_line = |v: Vector| -> Vector {
        let share = dot(v, c) / cc;
        std::array::from_fn(|i| v[i] - share * c[i])
    };
    let (start, step) = (off_line(along_h), off_line(b));
    let step_square = dot(step, step);
    let half = dot(start, step) / step_square;
    let discriminant = half * half - (dot(start, start) - q_max * q_max) / step_square;
    // No such k: an empty range.
    let reach = if discriminant < 0.0 {
        -1.0
    } else {
        discriminant.sqrt().min(4000.0)
    };
    (-half - reach).ceil() as i32..=(-half + reach).floor() as i32
}

/// Intensity of an acentric reflection over its mean: exponential (Wilson 1949), the same for the
/// same indices.
fn exponential(key: u64, h: i32, k: i32, l: i32) -> f64 {
    let place = (h as u64 & 0xFFFF) | (k as u64 & 0xFFFF) << 16 | (l as u64 & 0xFFFF) << 32;
    let bits = mix(key ^ mix(place.wrapping_mul(STRIDE)));
    -(((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64).ln()
}

/// Mean intensity of a protein in solvent against 1/d, before its B factor: solvent contrast at low
/// angle, the dip near 6 Å, the peak near 4.5 Å, the fall beyond.
fn protein_scattering(q: f64) -> f64 {
    const SHAPE: [(f64, f64); 10] = [
        (0.0, 3.0),
        (0.03, 2.2),
        (0.06, 1.4),
        (0.10, 0.9),
        (0.16, 0.42),
        (0.20, 0.75),
        (0.23, 1.0),
        (0.30, 0.62),
        (0.45, 0.5),
        (0.80, 0.4),
    ];
    for pair in SHAPE.windows(2) {
        let ((q0, f0), (q1, f1)) = (pair[0], pair[1]);
        if q < q1 {
            return f0 + (f1 - f0) * (q - q0) / (q1 - q0);
        }
    }
    SHAPE[SHAPE.len() - 1].1
}

/// The rotation by `angle` about a random axis.
fn small_turn(angle: f64, draw: &mut Draw) -> [Vector; 3] {
    let v: Vector = std::array::from_fn(|_| draw.normal());
    let length = dot(v, v).sqrt().max(1e-9);
    let [x, y, z] = v.map(|c| c / length);
    let (s, c) = angle.sin_cos();
    let t = 1.0 - c;
    [
        [t * x * x + c, t * x * y - s * z, t * x * z + s * y],
        [t * x * y + s * z, t * y * y + c, t * y * z - s * x],
        [t * x * z - s * y, t * y * z + s * x, t * z * z + c],
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const GEOMETRY: Geometry = Geometry {
        wavelength_a: 1.0,
        distance_mm: 150.0,
        beam_center_px: [1034.6, 1083.2],
        pixel_mm: 0.075,
    };

    fn crystal(mut draw: Draw, reflections: f64) -> Crystal {
        let cell = Cell::random(&mut draw);
        Crystal::random(&mut draw, cell, &GEOMETRY, 0.03, reflections, 3.4)
    }

    #[test]
    fn reflections_lie_where_their_resolution_says() {
        let mut seen = 0;
        for stream in 0..20 {
            let crystal = crystal(Draw::new(3, stream), 200.0);
            crystal.reflections(&GEOMETRY, 2.5, |r| {
                seen += 1;
                // A lattice point may be off the sphere by its own thickness.
                let ratio = GEOMETRY.resolution_a(r.x, r.y) / r.d;
                assert!((ratio - 1.0).abs() < 0.25, "d {} at {} {}", r.d, r.x, r.y);
                if r.d < 20.0 && crystal.half_rotation == 0.0 && crystal.bandwidth < 4e-3 {
                    assert!((ratio - 1.0).abs() < 0.08, "d {} at {} {}", r.d, r.x, r.y);
                }
            });
        }
        assert!(seen > 1000, "{seen}");
    }

    #[test]
    fn fewer_angstroms_mean_a_superset() {
        let crystal = crystal(Draw::new(5, 1), 300.0);
        let mut coarse = Vec::new();
        crystal.reflections(&GEOMETRY, 3.4, |r| coarse.push(r));
        let mut fine = Vec::new();
        crystal.reflections(&GEOMETRY, 2.0, |r| fine.push(r));
        fine.retain(|r| r.d > 3.4);
        assert!(coarse.len() > 50);
        assert_eq!(coarse, fine);
    }

    #[test]
    fn lysozyme_is_as_strong_in_every_crystal_and_by_its_symmetry() {
        let of = |stream, lysozyme: bool| {
            let crystal = crystal(Draw::new(7, stream), 200.0);
            if lysozyme {
                crystal.of_lysozyme()
            } else {
                crystal
            }
        };
        let equal = [[3, 5, -2], [5, 3, 2], [-3, 5, 2], [-5, -3, -2]];
        let strong = of(0, true).structure(equal[0]);
        assert!((0..3).all(|stream| {
            equal
                .iter()
                .all(|&hkl| of(stream, true).structure(hkl) == strong)
        }));
        assert_ne!(of(0, true).structure([5, 2, 3]), strong);
        let others = [of(0, false), of(1, false)].map(|crystal| crystal.structure(equal[0]));
        assert_ne!(others[0], others[1]);
    }

    #[test]
    fn intensities_follow_wilson() {
        let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for h in -20..20 {
            for k in -20..20 {
                for l in -20..20 {
                    let i = exponential(9, h, k, l);
                    n += 1.0;
                    sum += i;
                    squares += i * i;
                }
            }
        }
        let mean = sum / n;
        assert!((mean - 1.0).abs() < 0.02, "mean {mean}");
        assert!(
            (squares / n / (mean * mean) - 2.0).abs() < 0.06,
            "<I²>/<I>² of an acentric crystal is 2"
        );
    }
}
