//! Photons → numbers: gain, offset, read noise, point spread, saturation.

use crate::detector::Kind;
use crate::draw::Draw;
use crate::poisson::normal;
use hitgate_core::frame::PixelType;

/// How a detector answers to photons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Response {
    /// Numbers per photon.
    pub gain: f32,
    /// The number of a pixel without light.
    pub offset: f32,
    /// Standard deviation of that number.
    pub read_noise: f32,
    /// Share of a pixel's photons that each of its neighbours along an axis sees.
    pub blur: f32,
    /// The largest number.
    pub largest: u32,
    /// What each quadrant's amplifier adds to the offset.
    pub quadrants: [f32; 4],
    /// Ripples of the offset.
    pub ripple: Option<Ripple>,
    /// Standard deviation of the pixels' gains.
    pub uneven: f32,
    /// The correction of a distorted image.
    pub resampling: Option<Resampling>,
}

/// What correcting the distortion of a CCD's taper does to its pixels: each is interpolated between
/// two rows and two columns, at places that drift over the panel. It smooths the noise too, and
/// unevenly: a dark frame of a MarCCD has neighbours correlated by 1/4, as fractions that are all
/// equally frequent make them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Resampling {
    /// Displacement at the panel's corner along both axes, pixels.
    corner: [f32; 2],
    /// How it grows by row and by column.
    by_row: [f32; 2],
    by_column: [f32; 2],
}

impl Resampling {
    /// Variance that it adds to a spot along each axis, pixels²: the mean of f (1 − f).
    const VARIANCE: f64 = 1.0 / 6.0;

    fn random(draw: &mut Draw) -> Self {
        let corner = [0; 2].map(|_| draw.unit() as f32);
        let mut slopes = || {
            [0; 2].map(|_| {
                let slope = draw.log_uniform(0.003, 0.05);
                (if draw.chance(0.5) { slope } else { -slope }) as f32
            })
        };
        Resampling {
            corner,
            by_row: slopes(),
            by_column: slopes(),
        }
    }

    /// Row `y`, from the values of three rows; the first and the last column stay as they are.
    pub fn row(&self, values: &[Vec<f32>; 3], left: i32, y: i32, out: &mut [f32]) {
        let [above, here, below] = values;
        for i in 1..out.len() - 1 {
            let [fx, fy] = self.fractions(left + i as i32, y);
            let (beside, row) = (
                if fx < 0.0 { i - 1 } else { i + 1 },
                if fy < 0.0 { above } else { below },
            );
            let (fx, fy) = (fx.abs(), fy.abs());
            let along = |row: &[f32]| row[i] + fx * (row[beside] - row[i]);
            let own = along(here);
            out[i] = own + fy * (along(row) - own);
        }
    }

    /// How far from its own place a pixel is measured, −0.5..=0.5 along each axis.
    fn fractions(&self, x: i32, y: i32) -> [f32; 2] {
        std::array::from_fn(|axis| {
            let displaced =
                self.corner[axis] + self.by_column[axis] * x as f32 + self.by_row[axis] * y as f32;
            displaced - rounded(displaced) as f32
        })
    }
}

/// Rings in the offset of a CCD, closer the farther out: the moiré of its fibre taper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ripple {
    height: f32,
    centre: [f32; 2],
    /// Radians per square pixel.
    chirp: f32,
}

impl Ripple {
    fn random(draw: &mut Draw) -> Self {
        Ripple {
            height: draw.log_uniform(0.5, 4.0) as f32,
            centre: [
                draw.uniform(-500.0, 2500.0) as f32,
                draw.uniform(-500.0, 2500.0) as f32,
            ],
            chirp: draw.log_uniform(1e-4, 3e-3) as f32,
        }
    }

    pub fn offset(&self, x: i32, y: i32) -> f32 {
        let (dx, dy) = (x as f32 - self.centre[0], y as f32 - self.centre[1]);
        self.height * (self.chirp * (dx * dx + dy * dy)).sin()
    }
}

impl Response {
    pub fn random(draw: &mut Draw, kind: Kind, pixel_type: PixelType) -> Self {
        // Some sum two exposures, or count each photon twice.
        let gain = draw.weighted(&[(0.96, 1.0), (0.04, 2.0)]);
        let counting = |largest| Response {
            gain,
            offset: 0.0,
            read_noise: 0.0,
            blur: 0.0,
            largest,
            quadrants: [0.0; 4],
            ripple: None,
            uneven: 0.0,
            resampling: None,
        };
        match kind {
            Kind::CountingI32 => counting((1 << 20) - 1),
            Kind::CountingU16 => counting(draw.pick(&[0xFFFE, 12_440])),
            Kind::CountingU32 => counting(0xFF_FFFF),
            Kind::Integrating => {
                let photons = pixel_type == PixelType::I16 && draw.chance(0.7);
                let gain = if photons {
                    1.0
                } else {
                    draw.log_uniform(5.0, 45.0)
                };
                let noise_photons = draw.log_uniform(0.04, 0.35);
                Response {
                    gain: gain as f32,
                    offset: if photons {
                        0.0
                    } else {
                        (draw.normal() * 0.1 * gain) as f32
                    },
                    read_noise: (gain * noise_photons) as f32,
                    // A charge between two pixels is shared.
                    blur: draw.uniform(0.0, 0.03) as f32,
                    largest: if photons {
                        32_000
                    } else {
                        (draw.pick(&[10_000.0, 32_000.0]) * draw.uniform(0.8, 1.0)) as u32
                    },
                    quadrants: [0.0; 4],
                    ripple: None,
                    uneven: 0.0,
                    resampling: None,
                }
            }
            Kind::Ccd => Response {
                gain: draw.log_uniform(0.3, 4.0) as f32,
                offset: draw.pick(&[0.0, 10.0, 10.0, 40.0]),
                read_noise: draw.log_uniform(0.8, 6.0) as f32,
                blur: draw.uniform(0.08, 0.24) as f32,
                largest: draw.pick(&[65_535, 65_535, 30_000]),
                quadrants: {
                    let spread = draw.weighted(&[(0.5, 0.0), (0.5, 1.5)]);
                    std::array::from_fn(|_| (spread * draw.normal()) as f32)
                },
                ripple: draw.chance(0.3).then(|| Ripple::random(draw)),
                uneven: draw.log_uniform(0.002, 0.02) as f32,
                resampling: draw.chance(0.8).then(|| Resampling::random(draw)),
            },
        }
    }

    /// The number for `photons` over `offset`, not yet rounded; `bits` make the read noise.
    #[inline(always)]
    pub fn value(&self, photons: f32, offset: f32, bits: u32) -> f32 {
        photons * self.gain + offset + self.read_noise * normal(bits)
    }

    /// Variance that the readout adds to a pixel, in photons².
    pub fn read_variance(&self) -> f64 {
        f64::from(self.read_noise / self.gain).powi(2)
    }

    /// Variance that point spread and resampling add to a spot along each axis, pixels².
    pub fn blur_variance(&self) -> f64 {
        let resampled = self.resampling.map_or(0.0, |_| Resampling::VARIANCE);
        2.0 * f64::from(self.blur) + resampled
    }
}

/// To the nearest integer, halves up, for values above −65536; without a call into a library.
#[inline(always)]
pub(crate) fn rounded(value: f32) -> i32 {
    const ABOVE: i32 = 1 << 16;
    if value < 4e6 {
        (f64::from(value) + f64::from(ABOVE) + 0.5) as i32 - ABOVE
    } else {
        value as i32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::mix;

    /// Rows of white noise of variance 1.
    fn noise(rows: usize, columns: usize) -> Vec<Vec<f32>> {
        let value = |i: usize| normal(mix(i as u64) as u32);
        (0..rows)
            .map(|y| (0..columns).map(|x| value(y * columns + x)).collect())
            .collect()
    }

    #[test]
    fn resampling_correlates_neighbours_by_a_quarter_and_makes_noise_uneven() {
        let (rows, columns) = (600, 600);
        let white = noise(rows, columns);
        let resampling = Resampling::random(&mut Draw::new(5, 5));
        let mut out = vec![vec![0.0; columns]; rows];
        for ((y, row), three) in (1..).zip(&mut out[1..]).zip(white.windows(3)) {
            resampling.row(three.try_into().unwrap(), 0, y, row);
        }
        let mean = |across: usize, along: usize| {
            let (mut sum, mut n) = (0.0, 0.0);
            for y in 1..rows - 1 - across {
                for x in 1..columns - 1 - along {
                    sum += f64::from(out[y][x] * out[y + across][x + along]);
                    n += 1.0;
                }
            }
            sum / n
        };
        let variance = mean(0, 0);
        assert!((variance - 4.0 / 9.0).abs() < 0.03, "{variance}");
        for (across, along, expected) in [(0, 1, 0.25), (1, 0, 0.25), (1, 1, 0.0625), (0, 2, 0.0)] {
            let found = mean(across, along) / variance;
            assert!(
                (found - expected).abs() < 0.03,
                "{found} at {across}, {along}"
            );
        }
    }

    #[test]
    fn resampling_leaves_a_slope_a_slope_and_light_what_it_was() {
        let resampling = Resampling::random(&mut Draw::new(6, 6));
        let rows = [0, 1, 2].map(|y| (0..50).map(|x| (3 * x + 7 * y) as f32).collect::<Vec<_>>());
        let mut out = vec![0.0; 50];
        resampling.row(&rows, 0, 1, &mut out);
        let off = (1..49).map(|x| (out[x] - (3 * x + 7) as f32).abs());
        assert!(off.into_iter().all(|off| off <= 5.0), "half of 3 and of 7");
        assert!((1..49).any(|x| (out[x] - (3 * x + 7) as f32).abs() > 0.5));
    }
}
