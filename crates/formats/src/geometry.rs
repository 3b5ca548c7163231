//! Where the beam meets the detector, and the window of pixels that the filter looks at.

use std::ops::RangeInclusive;

use hitgate_core::prep::Window;

/// Wavelengths that a sidecar or a user may state, in ångström: 0.6 to 120 keV.
pub const WAVELENGTH_A: RangeInclusive<f64> = 0.1..=20.0;
/// Distances, in millimetres.
pub const DISTANCE_MM: RangeInclusive<f64> = 10.0..=20_000.0;
/// Sides of a pixel, in millimetres.
pub const PIXEL_MM: RangeInclusive<f64> = 0.005..=1.0;

/// hc in eV ångström (CODATA 2018).
pub(crate) const HC_EV_A: f64 = 12_398.419_84;

/// Geometry of one flat panel that the direct beam meets at a right angle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Geometry {
    /// Wavelength of the X-rays, in ångström.
    pub wavelength_a: f64,
    /// Distance from the sample to the panel, in millimetres.
    pub distance_mm: f64,
    /// Where the direct beam meets the panel, `[x, y]` in pixels; pixel `i` covers `[i, i + 1)`.
    pub beam_center_px: [f64; 2],
    /// Side of a square pixel, in millimetres.
    pub pixel_mm: f64,
}

impl Geometry {
    /// Whether every number is one that a window can be computed from.
    pub fn is_usable(&self) -> bool {
        let positive = |x: f64| x.is_finite() && x > 0.0;
        positive(self.wavelength_a)
            && positive(self.distance_mm)
            && positive(self.pixel_mm)
            && self.beam_center_px.iter().all(|x| x.is_finite())
    }

    /// Whether the direct beam meets a panel of `columns` by `rows` pixels.
    pub fn is_on_panel(&self, columns: u32, rows: u32) -> bool {
        let [x, y] = self.beam_center_px;
        (0.0..f64::from(columns)).contains(&x) && (0.0..f64::from(rows)).contains(&y)
    }

    /// Distance in pixels from the beam to the ring of resolution `d_a` (ångström): Bragg's law
    /// `λ = 2 d sin θ`, and the ring at `D tan 2θ`. None where no such ring meets the panel.
    pub fn radius_px(&self, d_a: f64) -> Option<f64> {
        let sin_theta = self.wavelength_a / (2.0 * d_a);
        let two_theta = 2.0 * sin_theta.asin();
        let radius = self.distance_mm * two_theta.tan() / self.pixel_mm;
        (radius.is_finite() && radius > 0.0 && two_theta < std::f64::consts::FRAC_PI_2)
            .then_some(radius)
    }

    /// Resolution in ångström at `[x, y]` in pixels.
    pub fn resolution_a(&self, x: f64, y: f64) -> f64 {
        let [cx, cy] = self.beam_center_px;
        let radius_mm = (x - cx).hypot(y - cy) * self.pixel_mm;
        let theta = 0.5 * (radius_mm / self.distance_mm).atan();
        self.wavelength_a / (2.0 * theta.sin())
    }
}

/// The window of `input` blocks a side that holds the water ring of resolution `d_water_a`
/// (ångström) on a panel of `columns` by `rows` pixels.
///
/// With `R = ceil(D tan(2 asin(λ / 2 d_water)) / pixel)` the window needs `2R + 1` pixels a side, and
/// sees the disc of radius `R`: what lies beyond the ring is not counted.
/// The whole panel about its centre where there is no usable geometry, or the beam is off the
/// panel; `None` in the second place of the pair then says so.
pub fn window(
    geometry: Option<&Geometry>,
    columns: u32,
    rows: u32,
    d_water_a: f64,
    input: u32,
) -> (Window, Option<Geometry>) {
    let placed = geometry
        .filter(|g| g.is_usable() && g.is_on_panel(columns, rows))
        .and_then(|g| {
            let radius = g.radius_px(d_water_a)?.ceil();
            // A ring beyond any detector: the geometry is a mistake.
            let radius = (radius < 1e6).then_some(radius as u32)?;
            let [x, y] = g.beam_center_px;
            Some((
                Window::disc(x.floor() as i32, y.floor() as i32, radius, input),
                *g,
            ))
        });
    match placed {
        Some((window, geometry)) => (window, Some(geometry)),
        None => (Window::whole(columns, rows, input), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIGER_4M: Geometry = Geometry {
        wavelength_a: 1.0,
        distance_mm: 150.0,
        beam_center_px: [1034.6, 1083.2],
        pixel_mm: 0.075,
    };

    #[test]
    fn radius_and_resolution_are_each_others_inverse() {
        let radius = EIGER_4M.radius_px(3.4).unwrap();
        let [x, y] = EIGER_4M.beam_center_px;
        assert!((EIGER_4M.resolution_a(x + radius, y) - 3.4).abs() < 1e-9);
    }

    #[test]
    fn window_holds_the_water_ring() {
        let (window, used) = window(Some(&EIGER_4M), 2070, 2167, 3.4, 224);
        assert!(used.is_some());
        let side = i64::from(window.block) * 224;
        assert!(side as f64 >= 2.0 * EIGER_4M.radius_px(3.4).unwrap());
        assert_eq!(i64::from(window.left), 1034 - side / 2);
        assert_eq!(i64::from(window.top), 1083 - side / 2);
    }

    #[test]
    fn whole_panel_without_usable_geometry() {
        let whole = Window::whole(1024, 512, 224);
        assert_eq!((whole.block, whole.left, whole.top), (5, -48, -304));
        for broken in [
            Geometry {
                distance_mm: 0.0,
                ..EIGER_4M
            },
            Geometry {
                beam_center_px: [-1.0, 10.0],
                ..EIGER_4M
            },
            Geometry {
                wavelength_a: f64::NAN,
                ..EIGER_4M
            },
            Geometry {
                wavelength_a: 9.0,
                ..EIGER_4M
            },
        ] {
            assert_eq!(window(Some(&broken), 1024, 512, 3.4, 224), (whole, None));
        }
        assert_eq!(window(None, 1024, 512, 3.4, 224), (whole, None));
    }
}
