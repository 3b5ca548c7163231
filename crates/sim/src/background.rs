//! Everything that scatters except a crystal: expected photons of each pixel.

use crate::draw::{Draw, STRIDE, mix};
use hitgate_formats::geometry::Geometry;

/// A bump of scattering around the beam.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring {
    /// Radius on the panel, pixels.
    pub radius: f64,
    /// Standard deviation of its profile, pixels.
    pub width: f64,
    /// Expected photons of a pixel on its crest.
    pub height: f64,
}

/// A ring whose crest changes with the azimuth: the grains in the beam are few.
#[derive(Clone, Debug)]
struct Grainy {
    rings: Vec<Ring>,
    /// Factor on the crest against the azimuth.
    factors: Vec<f32>,
    key: u64,
}

/// Photons along a straight line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    /// Unit normal.
    pub normal: [f32; 2],
    /// Distance of the line from the beam, pixels.
    pub offset: f32,
    /// Standard deviation of its profile, pixels.
    pub width: f32,
    /// Photons on it next to the beam, and the length over which they fall to 1/e, pixels.
    pub height: f32,
    pub length: f32,
    /// Bright and dark stretches along it; none where it is even.
    pub speckle: Option<Speckle>,
}

/// Speckle: each stretch of a line has a brightness of its own, exponential about the mean.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speckle {
    /// Pixels along a stretch.
    pub stretch: f32,
    /// Names the brightnesses.
    pub key: u64,
}

impl Speckle {
    #[inline(always)]
    fn factor(&self, along: f32) -> f32 {
        let number = (along / self.stretch).floor() as i64 as u64;
        let bits = mix(self.key.wrapping_add(number.wrapping_mul(STRIDE)));
        -(((bits >> 40) as f32 + 0.5) / (1u32 << 24) as f32).ln()
    }
}

/// What keeps photons off the panel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stop {
    /// Centre, pixels.
    pub centre: [f32; 2],
    /// Radius of the disc, pixels.
    pub radius: f32,
    /// Share of photons that pass the disc and its holder.
    pub disc: f32,
    pub holder: f32,
    /// Direction of the holder and half its width, pixels; 0 has none.
    pub direction: [f32; 2],
    pub half_width: f32,
}

impl Stop {
    /// Darkens the pixels of a row that are behind it.
    fn shadow(&self, left: i32, y: i32, out: &mut [f32]) {
        let (from, to) = match (self.disc_columns(y), self.holder_columns(y)) {
            (Some(disc), Some(holder)) => (disc.0.min(holder.0), disc.1.max(holder.1)),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return,
        };
        let [from, to] =
            [from, to].map(|x| (x as i32).saturating_sub(left).clamp(0, out.len() as i32) as usize);
        for (i, photons) in out[from..to.max(from)].iter_mut().enumerate() {
            let x = (left + (from + i) as i32) as f32 + 0.5;
            *photons *= self.transmission(x, y as f32 + 0.5);
        }
    }

    /// Columns of row `y` that hold the disc's part of it.
    fn disc_columns(&self, y: i32) -> Option<(f32, f32)> {
        let reach = self.radius + 2.0;
        let columns = (self.centre[0] - reach, self.centre[0] + reach);
        ((y as f32 - self.centre[1]).abs() <= reach).then_some(columns)
    }

    /// Columns of row `y` that hold the holder's part of it.
    fn holder_columns(&self, y: i32) -> Option<(f32, f32)> {
        if self.half_width <= 0.0 {
            return None;
        }
        let [ux, uy] = self.direction;
        let dy = y as f32 + 0.5 - self.centre[1];
        let reach = self.half_width + 2.0;
        if uy.abs() < 1e-4 {
            return Some((f32::MIN, f32::MAX));
        }
        let (middle, spread) = (self.centre[0] + dy * ux / uy, reach / uy.abs());
        Some((middle - spread, middle + spread))
    }

    /// Share of the photons that reach the point `(x, y)`.
    #[inline(always)]
    fn transmission(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = (x - self.centre[0], y - self.centre[1]);
        let edge = |inside: f32| (0.5 + inside * 0.5).clamp(0.0, 1.0);
        let in_disc = edge(self.radius - (dx * dx + dy * dy).sqrt());
        let [ux, uy] = self.direction;
        let along = dx * ux + dy * uy;
        let across = (dx * uy - dy * ux).abs();
        let in_holder = if along > 0.0 {
            edge(self.half_width - across)
        } else {
            0.0
        };
        let in_holder = if self.half_width > 0.0 {
            in_holder
        } else {
            0.0
        };
        (1.0 - in_disc * (1.0 - self.disc)) * (1.0 - in_holder * (1.0 - self.holder))
    }
}

/// Steps of the radial table per pixel.
const STEPS: f32 = 2.0;
const AZIMUTHS: usize = 1024;

/// Expected photons of each pixel, crystals apart.
#[derive(Clone, Debug)]
pub(crate) struct Background {
    centre: [f32; 2],
    /// Distance to the panel in pixels, squared.
    distance_square: f32,
    /// Degree of linear polarisation, horizontal.
    polarisation: f32,
    /// Photons against the radius.
    radial: Vec<f32>,
    grainy: Option<Grainy>,
    lines: Vec<Line>,
    /// A half of the panel in shadow: a line and the share of photons that is lost behind it.
    shade: Option<(Line, f32)>,
    pub stop: Option<Stop>,
}

/// What a background is made of, before it is laid out on the panel.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recipe {
    /// Photons of a pixel against 1/d (1/ångström).
    pub smooth: Vec<Bump>,
    /// Photons everywhere.
    pub floor: f64,
    /// Rings of even crest, by radius.
    pub rings: Vec<Ring>,
    /// Rings of grains, by radius.
    pub grains: Vec<Ring>,
    pub crest: Crest,
    pub lines: Vec<Line>,
    pub shade: Option<(Line, f32)>,
    /// The direct beam: photons on its pixel and its standard deviation in pixels.
    pub direct: Option<(f64, f64)>,
    pub polarisation: f64,
}

/// How the crest of a ring of grains changes with the azimuth.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Crest {
    /// Many grains: the spread of the logarithm.
    Uneven(f64),
    /// A few: the share of azimuths that one of them scatters to. Each makes a spot on the ring.
    Spotty(f64),
}

impl Default for Crest {
    fn default() -> Self {
        Crest::Uneven(0.0)
    }
}

impl Crest {
    fn factor(self, draw: &mut Draw) -> f32 {
        let factor = match self {
            Crest::Uneven(spread) => (spread * draw.normal() - 0.5 * spread * spread).exp(),
            Crest::Spotty(share) if draw.chance(share) => -(1.0 - draw.unit()).ln() / share,
            Crest::Spotty(_) => 0.0,
        };
        factor as f32
    }
}

/// A smooth part of the scattering.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bump {
    /// `height · exp(−(q − at)² / 2 width²)`.
    Liquid { at: f64, width: f64, height: f64 },
    /// `height · exp(−q / scale)`: gas.
    Air { scale: f64, height: f64 },
    /// `height · (1 + (q / knee)²)^(−slope/2)`: particles and slits at low angle.
    LowAngle { knee: f64, slope: f64, height: f64 },
}

impl Bump {
    fn photons(&self, q: f64) -> f64 {
        match *self {
            Bump::Liquid { at, width, height } => {
                height * (-0.5 * ((q - at) / width).powi(2)).exp()
            }
            Bump::Air { scale, height } => height * (-q / scale).exp(),
            Bump::LowAngle {
                knee,
                slope,
                height,
            } => height * (1.0 + (q / knee).powi(2)).powf(-0.5 * slope),
        }
    }
}

impl Recipe {
    /// Photons at 1/d without rings, lines and beam.
    pub fn smooth_at(&self, q: f64) -> f64 {
        self.floor + self.smooth.iter().map(|bump| bump.photons(q)).sum::<f64>()
    }

    /// Lays the recipe out for a panel.
    pub fn lay_out(
        self,
        draw: &mut Draw,
        geometry: &Geometry,
        columns: u32,
        rows: u32,
        stop: Option<Stop>,
    ) -> Background {
        let [cx, cy] = geometry.beam_center_px;
        let far_x = cx.abs().max((f64::from(columns) - cx).abs());
        let far_y = cy.abs().max((f64::from(rows) - cy).abs());
        let entries = ((far_x.hypot(far_y) + 4.0) * f64::from(STEPS)) as usize + 4;
        let distance = geometry.distance_mm / geometry.pixel_mm;
        let mut radial: Vec<f32> = (0..entries)
            .map(|i| {
                let radius = (i as f64 + 0.5) / f64::from(STEPS);
                let two_theta = (radius / distance).atan();
                let q = 2.0 * (0.5 * two_theta).sin() / geometry.wavelength_a;
                let solid_angle = two_theta.cos().powi(3);
                let direct = self.direct.map_or(0.0, |(height, width)| {
                    height * (-0.5 * (radius / width).powi(2)).exp()
                });
                (self.smooth_at(q) * solid_angle + direct) as f32
            })
            .collect();
        for ring in &self.rings {
            let near = ((ring.radius - 6.0 * ring.width) * f64::from(STEPS)).max(0.0) as usize;
            let far = (((ring.radius + 6.0 * ring.width) * f64::from(STEPS)).max(0.0) as usize)
                .min(entries);
            for (i, photons) in radial.iter_mut().enumerate().take(far).skip(near) {
                let radius = (i as f64 + 0.5) / f64::from(STEPS);
                *photons += (ring.height
                    * (-0.5 * ((radius - ring.radius) / ring.width).powi(2)).exp())
                    as f32;
            }
        }
        let (rings, crest) = (self.grains, self.crest);
        let grainy = (!rings.is_empty()).then(|| Grainy {
            rings,
            factors: (0..AZIMUTHS).map(|_| crest.factor(draw)).collect(),
            key: draw.bits(),
        });
        Background {
            centre: [cx as f32, cy as f32],
            distance_square: (distance * distance) as f32,
            polarisation: self.polarisation as f32,
            radial,
            grainy,
            lines: self.lines,
            shade: self.shade,
            stop,
        }
    }
}

impl Background {
    /// Expected photons of the pixels of row `y` from column `left` on. A pixel's value does not
    /// depend on which others are asked for.
    pub fn row(&self, y: i32, left: i32, out: &mut [f32]) {
        let row = Row {
            left,
            centre: self.centre[0],
            dy: y as f32 + 0.5 - self.centre[1],
        };
        let last = self.radial.len() - 1;
        let dy_square = row.dy * row.dy;
        let mut entries = [0u32; 64];
        for (chunk, block) in out.chunks_mut(64).enumerate() {
            for (i, (photons, entry)) in block.iter_mut().zip(&mut entries).enumerate() {
                let dx = row.dx(64 * chunk + i);
                let dx_square = dx * dx;
                let square = dx_square + dy_square;
                *entry = (square.sqrt() * STEPS) as u32;
                // P = (1 + cos² 2θ − p sin² 2θ cos 2φ) / 2, with φ from the horizontal.
                let hypotenuse = 1.0 / (square + self.distance_square);
                *photons = 0.5
                    * (1.0
                        + (self.distance_square - self.polarisation * (dx_square - dy_square))
                            * hypotenuse);
            }
            for (photons, &entry) in block.iter_mut().zip(&entries) {
                *photons *= self.radial[(entry as usize).min(last)];
            }
        }
        if let Some(grainy) = &self.grainy {
            grainy.add(row, out);
        }
        for line in &self.lines {
            line.add(row, out);
        }
        if let Some((line, lost)) = &self.shade {
            for (i, photons) in out.iter_mut().enumerate() {
                let behind = line.distance(row.dx(i), row.dy) / line.width;
                *photons *= 1.0 - lost * (0.5 + 0.5 * behind).clamp(0.0, 1.0);
            }
        }
        if let Some(stop) = &self.stop {
            stop.shadow(left, y, out);
        }
    }

    /// Share of the photons that the beam stop lets through to a pixel.
    pub fn transmission(&self, x: i32, y: i32) -> f32 {
        self.stop.map_or(1.0, |stop| {
            stop.transmission(x as f32 + 0.5, y as f32 + 0.5)
        })
    }
}

/// A row of pixels seen from the beam; a pixel's place is computed the same way from any `left`.
#[derive(Clone, Copy)]
struct Row {
    left: i32,
    centre: f32,
    dy: f32,
}

impl Row {
    #[inline(always)]
    fn dx(&self, i: usize) -> f32 {
        (self.left + i as i32) as f32 + 0.5 - self.centre
    }
}

impl Grainy {
    fn add(&self, row: Row, out: &mut [f32]) {
        let dy = row.dy;
        for (number, ring) in self.rings.iter().enumerate() {
            let reach = 4.0 * ring.width;
            let (inner, outer) = (
                (ring.radius - reach).max(0.0) as f32,
                (ring.radius + reach) as f32,
            );
            if dy.abs() > outer {
                continue;
            }
            let turn =
                (mix(self.key.wrapping_add((number as u64).wrapping_mul(STRIDE))) >> 40) as usize;
            for (i, photons) in out.iter_mut().enumerate() {
                let dx = row.dx(i);
                let square = dx * dx + dy * dy;
                if square < inner * inner || square > outer * outer {
                    continue;
                }
                let off = (square.sqrt() - ring.radius as f32) / ring.width as f32;
                let azimuth = (dy.atan2(dx) / std::f32::consts::TAU + 0.5) * AZIMUTHS as f32;
                let (whole, part) = (azimuth as usize, azimuth.fract());
                let factor = |k: usize| self.factors[(k + turn) % AZIMUTHS];
                let crest = factor(whole) * (1.0 - part) + factor(whole + 1) * part;
                *photons += ring.height as f32 * crest * (-0.5 * off * off).exp();
            }
        }
    }
}

impl Line {
    #[inline(always)]
    fn distance(&self, dx: f32, dy: f32) -> f32 {
        dx * self.normal[0] + dy * self.normal[1] - self.offset
    }

    fn add(&self, row: Row, out: &mut [f32]) {
        let dy = row.dy;
        for (i, photons) in out.iter_mut().enumerate() {
            let dx = row.dx(i);
            let off = self.distance(dx, dy) / self.width;
            if off.abs() < 5.0 {
                let along = dx * self.normal[1] - dy * self.normal[0];
                let speckle = self.speckle.map_or(1.0, |speckle| speckle.factor(along));
                *photons +=
                    self.height * speckle * (-0.5 * off * off - along.abs() / self.length).exp();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pixel_does_not_depend_on_its_neighbours() {
        let geometry = Geometry {
            wavelength_a: 1.0,
            distance_mm: 150.0,
            beam_center_px: [100.3, 80.7],
            pixel_mm: 0.172,
        };
        let ring = Ring {
            radius: 60.0,
            width: 2.0,
            height: 5.0,
        };
        let line = Line {
            normal: [0.6, 0.8],
            offset: 3.0,
            width: 4.0,
            height: 9.0,
            length: 50.0,
            speckle: Some(Speckle {
                stretch: 3.0,
                key: 5,
            }),
        };
        let recipe = Recipe {
            smooth: vec![Bump::Liquid {
                at: 0.3,
                width: 0.05,
                height: 4.0,
            }],
            floor: 1.0,
            rings: vec![ring],
            grains: vec![ring],
            crest: Crest::Uneven(1.0),
            lines: vec![line],
            shade: Some((line, 0.5)),
            direct: Some((1e4, 2.0)),
            polarisation: 0.99,
        };
        let stop = Stop {
            centre: [101.0, 80.0],
            radius: 6.0,
            disc: 0.0,
            holder: 0.1,
            direction: [0.0, 1.0],
            half_width: 2.0,
        };
        let background = recipe.lay_out(&mut Draw::new(1, 1), &geometry, 200, 160, Some(stop));
        let mut whole = vec![0.0; 200];
        let mut part = vec![0.0; 37];
        let mut lit = 0;
        for y in 0..160 {
            background.row(y, 0, &mut whole);
            background.row(y, 61, &mut part);
            assert_eq!(whole[61..98], part[..]);
            lit += whole.iter().filter(|&&photons| photons > 1.0).count();
        }
        assert!(lit > 1000);
        assert_eq!(background.transmission(100, 79), 0.0);
        background.row(79, 100, &mut part);
        assert_eq!(part[0], 0.0);
    }
}
