//! One frame before its noise: where it is taken, what scatters, which spots count.

use std::cmp::Reverse;

use crate::background::Background;
use crate::cell::Proteins;
use crate::crystal::{Crystal, Reflection};
use crate::draw::{Draw, STRIDE, mix};
use crate::instrument::{Instrument, Setting};
use crate::mix::{Matter, Plan};
use crate::poisson::Poisson;
use crate::spot::{Spread, Stamp};
use crate::truth::{Candidate, SpotPixel, Truth, apart, counts, measured, photons_needed};
use crate::{D_WATER, matter};
use hitgate_formats::geometry::Geometry;

/// The brightest spot, in photons: beyond, only the saturated area would grow.
const BRIGHTEST: f64 = 3e6;

/// A frame before its noise.
#[derive(Debug)]
pub(crate) struct Scene {
    pub background: Background,
    crystals: Vec<Crystal>,
    /// Photons of a reflection of unit intensity.
    scale: f64,
    pub truth: Truth,
    /// Places of the counted spots, `[x, y]` in pixels.
    pub spots: Vec<[f64; 2]>,
    /// Zingers, by row: what particles deposit in pixels, as photons.
    pub zingers: Vec<(u32, u32, f32)>,
    /// Names the noise of this frame.
    pub noise: u64,
}

impl Scene {
    pub fn random(draw: &mut Draw, plan: Plan, setting: Setting, instrument: &Instrument) -> Self {
        let recipe = matter::recipe(draw, plan.matter, setting, instrument);
        let panel = &instrument.panel;
        let background = recipe.lay_out(
            draw,
            &instrument.geometry,
            panel.columns,
            panel.rows,
            instrument.stop,
        );
        let mut scene = Scene {
            background,
            crystals: Vec::new(),
            scale: 0.0,
            truth: Truth::of(0),
            spots: Vec::new(),
            zingers: zingers(draw, setting, instrument),
            noise: draw.bits(),
        };
        if let Some(spots) = plan.spots {
            scene.shoot(draw, spots, plan, instrument);
        }
        scene
    }

    /// Puts crystals in the beam, as strong as it takes for `wanted` spots to count.
    fn shoot(&mut self, draw: &mut Draw, wanted: u32, plan: Plan, instrument: &Instrument) {
        let geometry = &instrument.geometry;
        // Most crystals diffract well beyond the water ring: nearly all their reflections inside it
        // count. The others show the strongest of many.
        let (least, most) = draw.weighted(&[(0.7, (1.03, 1.5)), (0.3, (1.5, 6.0))]);
        let surplus = draw.log_uniform(least, most);
        let on_panel = share_of_ring(geometry, instrument).max(0.05);
        let cell = plan.proteins.cell(draw);
        let focus_mm = instrument.focus_mm(draw);
        let first = Crystal::random(
            draw,
            cell,
            geometry,
            focus_mm,
            f64::from(wanted) * surplus / on_panel,
            D_WATER,
        );
        let crystals = if plan.matter == Matter::Plain && draw.chance(0.15) {
            let more = 1 + draw.below(3);
            let siblings: Vec<Crystal> = (0..more).map(|_| first.sibling(draw)).collect();
            [vec![first], siblings].concat()
        } else {
            vec![first]
        };
        let crystals = match plan.proteins {
            Proteins::Lysozyme => crystals.into_iter().map(Crystal::of_lysozyme).collect(),
            _ => crystals,
        };
        let (reflections, candidates) = self.candidates(&crystals, instrument);
        let brightest = candidates
            .iter()
            .map(|candidate| reflections[candidate.reflection].intensity)
            .fold(0.0, f64::max);
        let candidates = apart(candidates);
        if candidates.is_empty() || brightest <= 0.0 {
            return;
        }
        let wanted = (wanted as usize).min(candidates.len());
        let last = candidates[wanted - 1].counts_from;
        // Anywhere between the last spot that counts and the next that would not.
        let next = candidates
            .get(wanted)
            .map_or(last * 1.5, |next| next.counts_from);
        let scale = (last + (next - last) * draw.uniform(0.02, 0.98)).min(BRIGHTEST / brightest);
        self.spots = candidates
            .iter()
            .take_while(|candidate| candidate.counts_from <= scale)
            .map(|candidate| [candidate.x, candidate.y])
            .collect();
        self.truth = Truth::of(self.spots.len() as u32);
        self.scale = scale;
        self.crystals = crystals;
    }

    /// The reflections inside the water ring, and those of them that may count as spots.
    fn candidates(
        &self,
        crystals: &[Crystal],
        instrument: &Instrument,
    ) -> (Vec<Reflection>, Vec<Candidate>) {
        let mut reflections = Vec::new();
        for crystal in crystals {
            crystal.reflections(&instrument.geometry, D_WATER, |found| {
                reflections.push(found)
            });
        }
        let candidate = |(i, reflection): (usize, &Reflection)| {
            let Footprint {
                share, background, ..
            } = self.footprint(reflection, instrument)?;
            Some(Candidate {
                x: reflection.x,
                y: reflection.y,
                reflection: i,
                // The scale from which on it counts.
                counts_from: photons_needed(background)
                    / (share * reflection.intensity).max(1e-300),
            })
        };
        let candidates = reflections
            .iter()
            .enumerate()
            .filter_map(candidate)
            .collect();
        (reflections, candidates)
    }

    /// Spots that an ideal counter finds, which knows the place and the shape of every reflection
    /// and the background under it, and has only the noisy pixels to measure it by. `photons` tells
    /// what the pixel `(x, y)` measured.
    pub fn oracle(&self, instrument: &Instrument, photons: impl Fn(i32, i32) -> f64) -> u32 {
        let (reflections, candidates) = self.candidates(&self.crystals, instrument);
        let read_variance = instrument.response.read_variance();
        let found = apart(candidates).into_iter().filter(|candidate| {
            let reflection = &reflections[candidate.reflection];
            self.footprint(reflection, instrument).is_some_and(|spot| {
                let measured: f64 = spot
                    .pixels
                    .iter()
                    .map(|pixel| photons(pixel.x, pixel.y))
                    .sum();
                let expected = spot.background - read_variance * spot.pixels.len() as f64;
                counts(measured - expected, spot.background)
            })
        });
        found.count() as u32
    }

    /// The pixels that a spot is measured in; none where too little of it is on live pixels.
    fn footprint(&self, reflection: &Reflection, instrument: &Instrument) -> Option<Footprint> {
        let panel = &instrument.panel;
        let inside = |v: f64, len: u32| v >= 0.0 && v < f64::from(len);
        if !inside(reflection.x, panel.columns) || !inside(reflection.y, panel.rows) {
            return None;
        }
        let blur = Spread::round(instrument.response.blur_variance());
        let stamp = Stamp::new(reflection.x, reflection.y, reflection.spread + blur);
        let read_variance = instrument.response.read_variance();
        let mut row = vec![0.0; stamp.width];
        let mut pixels = Vec::with_capacity(stamp.shares.len());
        for (y, shares) in stamp.rows() {
            self.expected_background(y, stamp.left, &mut row, instrument);
            for (i, (&share, &photons)) in shares.iter().zip(&row).enumerate() {
                let x = stamp.left + i as i32;
                pixels.push(SpotPixel {
                    x,
                    y,
                    share: f64::from(share),
                    background: f64::from(photons) + read_variance,
                    live: self.live(x, y, instrument),
                });
            }
        }
        let (share, background) = measured(&mut pixels)?;
        Some(Footprint {
            pixels,
            share,
            background,
        })
    }

    fn live(&self, x: i32, y: i32, instrument: &Instrument) -> bool {
        let panel = &instrument.panel;
        let (Ok(column), Ok(row)) = (u32::try_from(x), u32::try_from(y)) else {
            return false;
        };
        column < panel.columns
            && row < panel.rows
            && panel.sensitive(column, row)
            && instrument.defect(column, row).is_none()
            && self.background.transmission(x, y) > 0.5
    }

    /// Expected photons of a row without crystals, wide pixels counted in.
    fn expected_background(&self, y: i32, left: i32, out: &mut [f32], instrument: &Instrument) {
        self.background.row(y, left, out);
        let panel = &instrument.panel;
        if panel.chip == 0 {
            return;
        }
        let wide = |at: i32, len: u32| u32::try_from(at).is_ok_and(|at| panel.is_wide(at, len));
        let row_factor = if wide(y, panel.rows) { 2.0 } else { 1.0 };
        for (i, photons) in out.iter_mut().enumerate() {
            *photons *= if wide(left + i as i32, panel.columns) {
                2.0 * row_factor
            } else {
                row_factor
            };
        }
    }

    /// The spots that reach rows `top..bottom` and columns `left..right`, for [`Scene::expected`] from row `top` on.
    pub fn spots_on(
        &self,
        instrument: &Instrument,
        [left, top, right, bottom]: [i32; 4],
    ) -> SpotsByRow {
        let mut waiting = Vec::new();
        let geometry = &instrument.geometry;
        let d_min = corner_resolution(geometry, [left - 40, top - 40, right + 40, bottom + 40]);
        for crystal in &self.crystals {
            crystal.reflections(geometry, d_min, |reflection| {
                let near =
                    |v: f64, from: i32, to: i32| v > f64::from(from - 60) && v < f64::from(to + 60);
                let photons = reflection.intensity * self.scale;
                if photons < 0.02
                    || !near(reflection.x, left, right)
                    || !near(reflection.y, top, bottom)
                {
                    return;
                }
                let rows = Stamp::rows_of(reflection.y, reflection.spread);
                if *rows.start() < bottom && *rows.end() >= top {
                    waiting.push(Waiting {
                        first: *rows.start(),
                        number: waiting.len() as u32,
                        at: [reflection.x, reflection.y],
                        spread: reflection.spread,
                        photons: photons.min(BRIGHTEST) as f32,
                    });
                }
            });
        }
        // The first to be drawn is the last.
        waiting.sort_unstable_by_key(|spot| Reverse((spot.first, spot.number)));
        SpotsByRow {
            waiting,
            drawn: Vec::new(),
        }
    }

    /// Expected photons of the pixels of row `y` from column `left` on. Rows are asked for from above to below.
    pub fn expected(
        &self,
        y: i32,
        left: i32,
        spots: &mut SpotsByRow,
        instrument: &Instrument,
        out: &mut [f32],
    ) {
        self.expected_background(y, left, out, instrument);
        for (stamp, photons) in spots.on_row(y) {
            let from = (y - stamp.top) as usize * stamp.width;
            for (i, share) in stamp.shares[from..from + stamp.width].iter().enumerate() {
                let x = stamp.left + i as i32;
                if let Some(out) = usize::try_from(x - left)
                    .ok()
                    .and_then(|at| out.get_mut(at))
                {
                    *out += photons * share * self.background.transmission(x, y);
                }
            }
        }
    }

    /// 64 random bits of the pixel `(x, y)`.
    #[inline(always)]
    pub fn noise_bits(&self, row_key: u64, x: i32) -> u64 {
        mix(row_key.wrapping_add((x as u64).wrapping_mul(STRIDE)))
    }

    pub fn row_key(&self, y: i32) -> u64 {
        mix(self.noise ^ mix((y as u64).wrapping_mul(STRIDE) ^ 0x5EED))
    }
}

/// Where a spot is measured.
struct Footprint {
    pixels: Vec<SpotPixel>,
    /// Share of the spot on these pixels.
    share: f64,
    /// Photons of the background on them, with the variance of the readout.
    background: f64,
}

/// Spots of a part of the panel. A stamp may have thousands of pixels, and a large panel close to the crystal hundreds of
/// thousands of spots: only those of the row at hand are drawn.
#[derive(Debug)]
pub(crate) struct SpotsByRow {
    /// Spots further down, the next at the end.
    waiting: Vec<Waiting>,
    /// Those that a row met, by their numbers: sums do not depend on which row was the first.
    drawn: Vec<(u32, Stamp, f32)>,
}

/// A spot that no row has reached.
#[derive(Debug)]
struct Waiting {
    first: i32,
    number: u32,
    at: [f64; 2],
    spread: Spread,
    photons: f32,
}

impl SpotsByRow {
    /// The spots on row `y`, which is not above one that was asked for before.
    fn on_row(&mut self, y: i32) -> impl Iterator<Item = (&Stamp, f32)> {
        self.drawn.retain(|(_, stamp, _)| stamp.bottom() >= y);
        while let Some(spot) = self.waiting.pop_if(|spot| spot.first <= y) {
            let [x, centre] = spot.at;
            let stamp = Stamp::new(x, centre, spot.spread);
            if stamp.bottom() >= y {
                self.drawn.push((spot.number, stamp, spot.photons));
            }
        }
        self.drawn.sort_unstable_by_key(|(number, ..)| *number);
        (self.drawn.iter()).map(|(_, stamp, photons)| (stamp, *photons))
    }
}

/// The smallest d on a rectangle `[left, top, right, bottom]`, ångström.
fn corner_resolution(geometry: &Geometry, [left, top, right, bottom]: [i32; 4]) -> f64 {
    let corners = [(left, top), (right, top), (left, bottom), (right, bottom)];
    corners
        .map(|(x, y)| geometry.resolution_a(f64::from(x), f64::from(y)))
        .into_iter()
        .fold(f64::INFINITY, f64::min)
}

/// The part of the disc inside the water ring that lies on the panel, roughly.
fn share_of_ring(geometry: &Geometry, instrument: &Instrument) -> f64 {
    let Some(radius) = geometry.radius_px(D_WATER) else {
        return 1.0;
    };
    let [cx, cy] = geometry.beam_center_px;
    let (columns, rows) = (
        f64::from(instrument.panel.columns),
        f64::from(instrument.panel.rows),
    );
    const POINTS: usize = 24;
    let mut inside = 0;
    let mut on_panel = 0;
    for i in 0..POINTS * POINTS {
        let at = |k: usize| radius * (2.0 * (k as f64 + 0.5) / POINTS as f64 - 1.0);
        let (dx, dy) = (at(i % POINTS), at(i / POINTS));
        if dx.hypot(dy) <= radius {
            inside += 1;
            let (x, y) = (cx + dx, cy + dy);
            on_panel += u32::from((0.0..columns).contains(&x) && (0.0..rows).contains(&y));
        }
    }
    f64::from(on_panel) / f64::from(inside.max(1))
}

/// Particles that went through the sensor, cosmic rays for most: short tracks, by row.
///
/// They deposit in the chip itself, behind the phosphor: no point spread, charge shared with the
/// nearest pixels. A dark frame of 5 s of a 262 cm² CCD shows about ten. A counting pixel counts
/// a particle once, however much it left there.
fn zingers(draw: &mut Draw, setting: Setting, instrument: &Instrument) -> Vec<(u32, u32, f32)> {
    use crate::detector::Kind;
    const PER_CM2_S: (f64, f64) = (0.003, 0.012);
    let panel = &instrument.panel;
    let area_cm2 = f64::from(panel.columns) * f64::from(panel.rows) * panel.pixel_mm.powi(2) / 1e2;
    let (exposure_s, photons) = match panel.kind {
        Kind::Ccd => {
            let longest = match setting {
                Setting::Crystallography => 5.0,
                Setting::SmallAngle | Setting::Powder => 30.0,
            };
            (draw.log_uniform(0.02, longest), (3.0, 2000.0))
        }
        // Hardly any in a pulse; some in dark frames and in sums of many.
        Kind::Integrating => (draw.log_uniform(1e-4, 5.0), (3.0, 60.0)),
        _ => (draw.log_uniform(1e-3, 60.0), (1.0, 1.0)),
    };
    let expected = draw.log_uniform(PER_CM2_S.0, PER_CM2_S.1) * area_cm2 * exposure_s;
    let mut deposits = Vec::new();
    for _ in 0..Poisson::new().count(expected as f32, draw.bits() as u32, draw.bits() as u8) {
        let (mut x, mut y) = (
            draw.uniform(0.0, f64::from(panel.columns)),
            draw.uniform(0.0, f64::from(panel.rows)),
        );
        let mut angle = draw.uniform(0.0, std::f64::consts::TAU);
        // Muons cross or graze; electrons wander.
        let wander = draw.weighted(&[(0.8, 0.0), (0.2, 0.6)]);
        let length = draw.weighted(&[(0.6, 1.0), (0.3, 3.0), (0.1, 12.0)]) * draw.uniform(0.7, 1.3);
        let bright = draw.log_uniform(photons.0, photons.1);
        let mut counted = None;
        for _ in 0..length.round() as usize {
            if panel.kind == Kind::Ccd || panel.kind == Kind::Integrating {
                share(x, y, bright * draw.uniform(0.5, 1.0), &mut deposits);
            } else {
                let pixel = (y.floor() as i64, x.floor() as i64);
                if counted.replace(pixel) != Some(pixel) {
                    deposits.push((pixel.0, pixel.1, 1.0));
                }
            }
            angle += wander * draw.normal();
            x += angle.cos();
            y += angle.sin();
        }
    }
    let on_panel = |&(y, x, _): &(i64, i64, f32)| {
        (0..i64::from(panel.rows)).contains(&y) && (0..i64::from(panel.columns)).contains(&x)
    };
    deposits.retain(on_panel);
    deposits.sort_by_key(|&(y, x, _)| (y, x));
    let as_pixel = |(y, x, photons)| (y as u32, x as u32, photons);
    deposits.into_iter().map(as_pixel).collect()
}

/// Charge that drifts to the four nearest pixels of the point `(x, y)`, more to the nearer.
fn share(x: f64, y: f64, photons: f64, deposits: &mut Vec<(i64, i64, f32)>) {
    for (column, along) in split(x) {
        for (row, across) in split(y) {
            deposits.push((row, column, (photons * along * across) as f32));
        }
    }
}

/// The two pixels nearest to a coordinate, and how much of a charge there each of them gets.
fn split(at: f64) -> [(i64, f64); 2] {
    let first = (at - 0.5).floor();
    let to_second = at - 0.5 - first;
    [
        (first as i64, 1.0 - to_second),
        (first as i64 + 1, to_second),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::Detector;

    fn zingers_of(detector: Detector, frame: u64) -> Vec<(u32, u32, f32)> {
        let mut draw = Draw::new(5, frame);
        let instrument = Instrument::random(&mut draw, detector, Setting::Crystallography);
        zingers(&mut draw, Setting::Crystallography, &instrument)
    }

    #[test]
    fn a_charge_is_shared_out_whole_among_the_nearest_pixels() {
        for (x, y) in [(7.5, 3.5), (7.9, 3.1), (7.0, 4.0)] {
            let mut deposits = Vec::new();
            share(x, y, 100.0, &mut deposits);
            let sum: f32 = deposits.iter().map(|&(.., photons)| photons).sum();
            assert!((sum - 100.0).abs() < 1e-3, "{sum} at {x}, {y}");
            assert!(deposits.iter().all(|&(row, column, photons)| {
                let [dx, dy] = [x - column as f64 - 0.5, y - row as f64 - 0.5].map(f64::abs);
                (0.0..=100.0).contains(&photons) && dx <= 1.0 && dy <= 1.0
            }));
        }
        let mut middle = Vec::new();
        share(7.5, 3.5, 100.0, &mut middle);
        assert!(middle.contains(&(3, 7, 100.0)), "{middle:?}");
    }

    #[test]
    fn particles_are_as_rare_as_in_dark_frames_and_counted_one_by_one() {
        let frames = 0..200;
        let none = frames
            .clone()
            .filter(|&frame| zingers_of(Detector::Ccd1024, frame).is_empty());
        // About half a particle at 0.006 a second and cm², the middle of what is drawn.
        let none = none.count();
        assert!((80..140).contains(&none), "none on {none} of 200 frames");
        let counted: Vec<_> = frames
            .flat_map(|frame| zingers_of(Detector::Eiger16M, frame))
            .collect();
        assert!(counted.len() > 50, "{} pixels", counted.len());
        assert!(counted.iter().all(|&(.., photons)| photons == 1.0));
    }
}
