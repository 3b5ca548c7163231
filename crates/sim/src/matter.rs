//! Matter in the beam → a recipe of its scattering.

use crate::background::{Bump, Crest, Line, Recipe, Ring, Speckle};
use crate::detector::Kind;
use crate::draw::Draw;
use crate::instrument::{Instrument, Setting};
use crate::mix::Matter;
use hitgate_formats::geometry::Geometry;

/// Resolution at which the level of a background is drawn, 1/ångström.
const LEVEL_AT: f64 = 0.25;

pub(crate) fn recipe(
    draw: &mut Draw,
    matter: Matter,
    setting: Setting,
    instrument: &Instrument,
) -> Recipe {
    let geometry = &instrument.geometry;
    let level = level(draw, matter, instrument.panel.kind);
    let mut recipe = match setting {
        Setting::SmallAngle => low_angle(draw, level, geometry, instrument),
        _ => solvent(draw, level),
    };
    recipe.polarisation = if draw.chance(0.9) {
        0.99
    } else {
        draw.uniform(0.0, 0.9)
    };
    let size = f64::from(instrument.panel.columns.max(instrument.panel.rows));
    match matter {
        Matter::Plain | Matter::Dark | Matter::LowAngle => {}
        Matter::Ice => ice(draw, level, geometry, &mut recipe),
        Matter::Salt => salt(draw, level, geometry, &mut recipe),
        Matter::Powder => powder(draw, level, geometry, size, &mut recipe),
        Matter::Streaks => {
            for _ in 0..1 + draw.below(3) {
                recipe.lines.push(line(draw, level, size, true));
            }
        }
        Matter::Bars => {
            for _ in 0..1 + draw.below(4) {
                recipe.lines.push(line(draw, level, size, false));
            }
        }
    }
    let shaded = if matter == Matter::Bars { 0.4 } else { 0.04 };
    if draw.chance(shaded) {
        let edge = Line {
            width: draw.log_uniform(2.0, 80.0) as f32,
            ..line(draw, level, size, false)
        };
        recipe.shade = Some((edge, draw.uniform(0.1, 0.9) as f32));
    }
    // Next to the stop, or without one, the beam itself is on the panel.
    let seen = if instrument.stop.is_none() { 0.6 } else { 0.2 };
    if draw.chance(seen) {
        recipe.direct = Some((draw.log_uniform(1e2, 1e6), draw.log_uniform(0.5, 6.0)));
    }
    recipe
}

/// Photons of a background pixel near 4 Å.
fn level(draw: &mut Draw, matter: Matter, kind: Kind) -> f64 {
    if matter == Matter::Dark {
        return draw.log_uniform(1e-6, 2e-3);
    }
    let (low, high) = match kind {
        Kind::CountingI32 | Kind::CountingU16 | Kind::CountingU32 => draw.weighted(&[
            (0.3, (2e-3, 0.2)),
            (0.55, (0.2, 20.0)),
            (0.15, (20.0, 200.0)),
        ]),
        Kind::Integrating => draw.weighted(&[(0.25, (0.02, 0.3)), (0.75, (0.3, 15.0))]),
        Kind::Ccd => draw.weighted(&[(0.3, (0.5, 20.0)), (0.7, (20.0, 1500.0))]),
    };
    draw.log_uniform(low, high)
}

/// Air, windows and the liquid around crystals, scaled to `level` photons at 4 Å.
fn solvent(draw: &mut Draw, level: f64) -> Recipe {
    let mut smooth = vec![Bump::Air {
        scale: draw.log_uniform(0.05, 0.5),
        height: draw.log_uniform(0.3, 6.0),
    }];
    let water = draw.weighted(&[(0.12, 0.0), (0.88, 1.0)]) * draw.log_uniform(0.2, 5.0);
    let liquid = |at: f64, width: f64, height: f64| Bump::Liquid { at, width, height };
    smooth.push(liquid(
        1.0 / draw.uniform(3.05, 3.35),
        draw.uniform(0.04, 0.075),
        water,
    ));
    smooth.push(liquid(0.46, 0.11, water * draw.uniform(0.3, 0.9)));
    if draw.chance(0.25) {
        // Lipidic cubic phase, grease and oils: chains about 4.5 Å apart.
        let at = 1.0 / draw.uniform(4.2, 5.1);
        smooth.push(liquid(
            at,
            draw.uniform(0.012, 0.035),
            draw.log_uniform(0.3, 6.0),
        ));
    }
    if draw.chance(0.12) {
        // Vitreous ice.
        smooth.push(liquid(
            1.0 / 3.68,
            draw.uniform(0.012, 0.025),
            draw.log_uniform(0.5, 4.0),
        ));
    }
    if draw.chance(0.2) {
        // Polyimide: a halo at 15 Å and a broad one at 5.4 Å.
        let height = draw.log_uniform(0.3, 4.0);
        smooth.push(liquid(1.0 / 15.2, draw.uniform(0.006, 0.012), height));
        smooth.push(liquid(1.0 / 5.4, 0.03, 0.5 * height));
    }
    if draw.chance(0.5) {
        let (knee, slope) = (draw.log_uniform(0.003, 0.03), draw.uniform(2.0, 4.0));
        smooth.push(Bump::LowAngle {
            knee,
            slope,
            height: draw.log_uniform(3.0, 3000.0),
        });
    }
    let recipe = Recipe {
        smooth,
        floor: draw.log_uniform(0.03, 1.5),
        ..Recipe::default()
    };
    scaled(recipe, level, LEVEL_AT)
}

/// The recipe with `level` photons at 1/d = `q`.
fn scaled(mut recipe: Recipe, level: f64, q: f64) -> Recipe {
    let factor = level / recipe.smooth_at(q).max(1e-12);
    recipe.floor *= factor;
    for bump in &mut recipe.smooth {
        match bump {
            Bump::Liquid { height, .. }
            | Bump::Air { height, .. }
            | Bump::LowAngle { height, .. } => *height *= factor,
        }
    }
    recipe
}

/// Particles, slits and an empty beam on a panel far away.
fn low_angle(draw: &mut Draw, level: f64, geometry: &Geometry, instrument: &Instrument) -> Recipe {
    let edge = 0.5 * f64::from(instrument.panel.columns);
    let q_edge = 1.0
        / geometry.resolution_a(
            geometry.beam_center_px[0] + edge,
            geometry.beam_center_px[1],
        );
    let mut smooth = Vec::new();
    if draw.chance(0.85) {
        let knee = q_edge * draw.log_uniform(0.01, 0.6);
        smooth.push(Bump::LowAngle {
            knee,
            slope: draw.uniform(1.0, 4.0),
            height: draw.log_uniform(1.0, 1e4),
        });
    }
    if draw.chance(0.4) {
        let (at, width) = (
            q_edge * draw.uniform(0.2, 1.2),
            q_edge * draw.log_uniform(0.04, 0.4),
        );
        smooth.push(Bump::Liquid {
            at,
            width,
            height: draw.log_uniform(0.3, 20.0),
        });
    }
    let recipe = Recipe {
        smooth,
        floor: draw.log_uniform(0.01, 3.0),
        ..Recipe::default()
    };
    scaled(recipe, level, 0.7 * q_edge)
}

/// Rings at the resolutions `lines` with relative heights, on the panel.
fn rings(
    geometry: &Geometry,
    lines: &[(f64, f64)],
    height: f64,
    width: f64,
    broadening: f64,
) -> Vec<Ring> {
    let ring = |&(d, relative): &(f64, f64)| {
        let radius = geometry.radius_px(d)?;
        Some(Ring {
            radius,
            width: width.hypot(broadening * radius),
            height: height * relative,
        })
    };
    lines.iter().filter_map(ring).collect()
}

/// Puts rings on a recipe: even, or of grains.
fn add(draw: &mut Draw, recipe: &mut Recipe, rings: Vec<Ring>, grainy: f64) {
    if draw.chance(grainy) {
        recipe.grains = rings;
        recipe.crest = if draw.chance(0.4) {
            // Of fewer than about twenty a ring nobody could tell that they lie on rings.
            Crest::Spotty(draw.log_uniform(0.02, 0.4))
        } else {
            Crest::Uneven(draw.log_uniform(0.15, 1.6))
        };
    } else {
        recipe.rings.extend(rings);
    }
}

/// Hexagonal ice.
fn ice(draw: &mut Draw, level: f64, geometry: &Geometry, recipe: &mut Recipe) {
    const LINES: [(f64, f64); 7] = [
        (3.897, 0.8),
        (3.669, 1.0),
        (3.441, 0.7),
        (2.671, 0.3),
        (2.249, 0.5),
        (2.072, 0.35),
        (1.918, 0.3),
    ];
    let height = level * draw.log_uniform(0.3, 40.0);
    let width = draw.log_uniform(0.1, 0.35) / geometry.pixel_mm;
    let broadening = draw.log_uniform(0.002, 0.012);
    let found = rings(geometry, &LINES, height, width, broadening);
    add(draw, recipe, found, 0.55);
}

/// Salt that came with the buffer, or lamellae of lipid.
fn salt(draw: &mut Draw, level: f64, geometry: &Geometry, recipe: &mut Recipe) {
    let lines: Vec<(f64, f64)> = if draw.chance(0.5) {
        let repeat = draw.uniform(25.0, 65.0);
        (1..8)
            .map(|order| (repeat / f64::from(order), 0.5_f64.powi(order - 1)))
            .collect()
    } else {
        (0..3 + draw.below(6))
            .map(|_| (draw.log_uniform(1.8, 9.0), draw.log_uniform(0.1, 1.0)))
            .collect()
    };
    let height = level * draw.log_uniform(0.3, 30.0);
    let width = draw.log_uniform(0.1, 0.3) / geometry.pixel_mm;
    let found = rings(geometry, &lines, height, width, 0.002);
    add(draw, recipe, found, 0.5);
}

/// A standard powder: many rings, each the same all around unless its grains are few.
fn powder(draw: &mut Draw, level: f64, geometry: &Geometry, size: f64, recipe: &mut Recipe) {
    let strength = |draw: &mut Draw| draw.log_uniform(0.1, 1.0);
    let mut lines = Vec::new();
    match draw.below(5) {
        // CeO2 and Si: face-centred, all even or all odd.
        0 | 1 => {
            let a = draw.pick(&[5.411, 5.431, 3.92, 4.05]);
            for squares in [
                3.0_f64, 4.0, 8.0, 11.0, 12.0, 16.0, 19.0, 20.0, 24.0, 27.0, 32.0, 35.0, 36.0, 40.0,
            ] {
                lines.push((a / squares.sqrt(), strength(draw)));
            }
        }
        // LaB6: primitive.
        2 => {
            for squares in [
                1.0_f64, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 16.0,
            ] {
                lines.push((4.157 / squares.sqrt(), strength(draw)));
            }
        }
        // Silver behenate: orders of one repeat.
        3 => {
            for order in 1..24 {
                lines.push((
                    58.38 / f64::from(order),
                    draw.log_uniform(0.3, 1.0) * 0.88_f64.powi(order),
                ));
            }
        }
        _ => {
            for _ in 0..4 + draw.below(25) {
                lines.push((draw.log_uniform(0.8, 12.0), strength(draw)));
            }
        }
    }
    let height = level * draw.log_uniform(1.0, 300.0);
    let width = draw.log_uniform(0.08, 0.5) / geometry.pixel_mm;
    let mut found = rings(
        geometry,
        &lines,
        height,
        width.max(0.6),
        draw.log_uniform(5e-4, 6e-3),
    );
    found.retain(|ring| ring.radius < 1.5 * size);
    if found.is_empty() {
        // The material has no ring on this panel: one that has.
        let first = size * draw.uniform(0.08, 0.4);
        found.extend((1..9).map(|order| Ring {
            radius: first * f64::from(order),
            width: width.max(0.8),
            height,
        }));
    }
    add(draw, recipe, found, 0.4);
}

/// A straight line through the beam, or past it.
fn line(draw: &mut Draw, level: f64, size: f64, through_beam: bool) -> Line {
    let angle = if draw.chance(0.5) {
        f64::from(draw.pick(&[0u8, 1])) * 0.5 * std::f64::consts::PI + 0.03 * draw.normal()
    } else {
        draw.uniform(0.0, std::f64::consts::PI)
    };
    let (width, offset, length) = if through_beam {
        (
            draw.log_uniform(1.0, 25.0),
            0.0,
            size * draw.log_uniform(0.05, 1.0),
        )
    } else {
        (
            size * draw.log_uniform(0.004, 0.15),
            size * draw.uniform(-0.5, 0.5),
            size * 10.0,
        )
    };
    Line {
        normal: [angle.cos() as f32, angle.sin() as f32],
        offset: offset as f32,
        width: width as f32,
        height: (level * draw.log_uniform(0.3, if through_beam { 60.0 } else { 5.0 })) as f32,
        length: length as f32,
        speckle: (through_beam && draw.chance(0.5)).then(|| Speckle {
            stretch: draw.log_uniform(1.5, 15.0) as f32,
            key: draw.bits(),
        }),
    }
}
