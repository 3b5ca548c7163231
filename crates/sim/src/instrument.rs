//! One detector at one place: what stays the same over a run.

use crate::background::Stop;
use crate::detector::{Absence, Defect, Detector, Kind, Panel, defects, pixel_type};
use crate::draw::{Draw, STRIDE, mix};
use crate::response::Response;
use hitgate_core::frame::PixelType;
use hitgate_core::prep::Window;
use hitgate_formats::geometry::{Geometry, window};

/// What a beamline is set up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Setting {
    /// The water ring on the detector, or near it.
    Crystallography,
    /// The detector far away, or the wavelength long.
    SmallAngle,
    /// Hard X-rays: many rings on the detector.
    Powder,
}

/// A detector, where it stands, and how its data look.
#[derive(Clone, Debug)]
pub(crate) struct Instrument {
    pub panel: Panel,
    pub geometry: Geometry,
    /// Whether the filter is told the geometry.
    pub announced: bool,
    pub pixel_type: PixelType,
    pub response: Response,
    pub absence: Absence,
    /// By row and column.
    pub defects: Vec<Defect>,
    pub stop: Option<Stop>,
    /// Names the pattern of the pixels' gains.
    pattern: u64,
}

impl Instrument {
    pub fn random(draw: &mut Draw, detector: Detector, setting: Setting) -> Self {
        let panel = detector.panel();
        let single_module = matches!(
            detector,
            Detector::JungfrauModule
                | Detector::CspadTile
                | Detector::Pilatus100k
                | Detector::Eiger500k
        );
        let announced = draw.chance(match setting {
            Setting::Crystallography if single_module => 0.12,
            Setting::Crystallography if panel.kind == Kind::Ccd => 0.75,
            Setting::Crystallography => 0.88,
            Setting::SmallAngle | Setting::Powder => 0.3,
        });
        let geometry = geometry(draw, &panel, setting, single_module, announced);
        let pixel_type = pixel_type(draw, panel.kind);
        let response = Response::random(draw, panel.kind, pixel_type);
        let absence = Absence::random(draw, panel.kind);
        let defects = defects(draw, &panel, &response);
        let stop = stop(draw, &geometry, &panel, setting);
        Instrument {
            panel,
            geometry,
            announced,
            pixel_type,
            response,
            absence,
            defects,
            stop,
            pattern: draw.bits(),
        }
    }

    /// Standard deviation of the narrow side of what the beam and a crystal have in common. Integrating
    /// detectors stand at lasers, where both measure some µm; large crystals in wide beams make spots
    /// of 0.3 × 0.6 mm elsewhere.
    pub fn focus_mm(&self, draw: &mut Draw) -> f64 {
        let (least, most) = match self.panel.kind {
            Kind::Integrating => draw.weighted(&[(0.8, (0.002, 0.03)), (0.2, (0.02, 0.1))]),
            _ => draw.weighted(&[(0.65, (0.01, 0.07)), (0.35, (0.04, 0.2))]),
        };
        draw.log_uniform(least, most)
    }

    pub fn pattern_key(&self, y: i32) -> u64 {
        mix(self.pattern ^ (y as u64).wrapping_mul(STRIDE))
    }

    /// How much pixel `x` of a row differs from the others, in standard deviations.
    #[inline(always)]
    pub fn pattern(&self, key: u64, x: i32) -> f32 {
        let bits = mix(key.wrapping_add((x as u64).wrapping_mul(STRIDE))) as u32 as i32;
        // Uniform, of variance 1.
        bits as f32 * (1.732_050_8 / 2_147_483_648.0)
    }

    pub fn announced(&self) -> Option<&Geometry> {
        self.announced.then_some(&self.geometry)
    }

    pub fn window(&self, d_water: f64, input: u32) -> Window {
        window(
            self.announced(),
            self.panel.columns,
            self.panel.rows,
            d_water,
            input,
        )
        .0
    }

    pub fn defect(&self, x: u32, y: u32) -> Option<&Defect> {
        let found = self
            .defects
            .binary_search_by_key(&(y, x), |defect| (defect.y, defect.x));
        found.ok().map(|i| &self.defects[i])
    }

    /// The defects of row `y` in columns `from..to`.
    pub fn defects_of_row(&self, y: u32, from: u32, to: u32) -> &[Defect] {
        let at = |x: u32| {
            self.defects
                .partition_point(|defect| (defect.y, defect.x) < (y, x))
        };
        &self.defects[at(from)..at(to)]
    }

    /// Whether the mask excludes the pixel.
    pub fn masked(&self, x: u32, y: u32) -> bool {
        self.absence.masked
            && (!self.panel.sensitive(x, y) || self.defect(x, y).is_some_and(|defect| defect.known))
    }

    /// The largest number that is a measurement; the preparation clips to it.
    pub fn saturation(&self) -> u32 {
        self.response.largest
    }
}

fn geometry(
    draw: &mut Draw,
    panel: &Panel,
    setting: Setting,
    single_module: bool,
    announced: bool,
) -> Geometry {
    let (w, h) = (f64::from(panel.columns), f64::from(panel.rows));
    let wavelength_a = match setting {
        Setting::Powder => draw.log_uniform(0.15, 0.6),
        _ => draw.weighted(&[(0.6, 1.0), (0.25, 1.25), (0.15, 1.55)]) * draw.uniform(0.88, 1.12),
    };
    let centre = if single_module && setting == Setting::Crystallography && draw.chance(0.75) {
        [draw.uniform(-0.6, 1.6) * w, draw.uniform(-1.2, 2.2) * h]
    } else {
        let spread = match setting {
            Setting::Crystallography => draw.weighted(&[(0.75, 0.03), (0.25, 0.2)]),
            Setting::SmallAngle | Setting::Powder => {
                draw.weighted(&[(0.5, 0.03), (0.2, 0.2), (0.3, 0.6)])
            }
        };
        [w, h].map(|side| side * (0.5 + spread * draw.uniform(-1.0, 1.0)))
    };
    let far = (centre[0].abs().max((w - centre[0]).abs()))
        .hypot(centre[1].abs().max((h - centre[1]).abs()));
    let half = 0.5 * w.min(h);
    // Radius of the water ring, in pixels.
    let radius = match setting {
        Setting::Crystallography if announced && !single_module => {
            let usual = draw.log_uniform(250.0, 1150.0).min(1.2 * half);
            let any = half * draw.log_uniform(0.3, 1.2);
            draw.weighted(&[(0.85, usual), (0.15, any)])
        }
        // The filter looks at the whole panel: most of it has to be inside the ring.
        Setting::Crystallography => far * draw.log_uniform(0.75, 1.8),
        Setting::SmallAngle if announced => half * draw.log_uniform(1.2, 4.0),
        Setting::SmallAngle => half * draw.log_uniform(2.0, 40.0),
        Setting::Powder => half * draw.log_uniform(0.1, 0.8),
    }
    .max(40.0);
    let two_theta = 2.0 * (wavelength_a / (2.0 * 3.4)).asin();
    let distance_mm = radius * panel.pixel_mm / two_theta.tan();
    Geometry {
        wavelength_a,
        distance_mm,
        beam_center_px: centre,
        pixel_mm: panel.pixel_mm,
    }
}

/// A beam stop as beamlines have them; none where the beam passes beside the panel or above it.
fn stop(draw: &mut Draw, geometry: &Geometry, panel: &Panel, setting: Setting) -> Option<Stop> {
    let none = match setting {
        Setting::Crystallography => 0.12,
        _ => 0.3,
    };
    if draw.chance(none) {
        return None;
    }
    let [cx, cy] = geometry.beam_center_px;
    let radius = draw.log_uniform(0.4, 4.0) / panel.pixel_mm;
    let wander = 0.3 * radius;
    let angle = if draw.chance(0.7) {
        f64::from(draw.pick(&[0u8, 1, 2, 3])) * 0.5 * std::f64::consts::PI + 0.05 * draw.normal()
    } else {
        draw.uniform(0.0, std::f64::consts::TAU)
    };
    let half_width = if draw.chance(0.6) {
        radius * draw.log_uniform(0.15, 1.0)
    } else {
        0.0
    };
    let disc = if draw.chance(0.75) {
        0.0
    } else {
        draw.log_uniform(1e-3, 0.2)
    };
    Some(Stop {
        centre: [
            (cx + wander * draw.normal()) as f32,
            (cy + wander * draw.normal()) as f32,
        ],
        radius: radius as f32,
        disc: disc as f32,
        holder: draw.uniform(0.0, 0.85) as f32,
        direction: [angle.cos() as f32, angle.sin() as f32],
        half_width: half_width as f32,
    })
}
