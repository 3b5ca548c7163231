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
        let counting = |largest| Response {
            gain: 1.0,
            offset: 0.0,
            read_noise: 0.0,
            blur: 0.0,
            largest,
            quadrants: [0.0; 4],
            ripple: None,
            uneven: 0.0,
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
                    blur: 0.0,
                    largest: if photons {
                        32_000
                    } else {
                        (draw.pick(&[10_000.0, 32_000.0]) * draw.uniform(0.8, 1.0)) as u32
                    },
                    quadrants: [0.0; 4],
                    ripple: None,
                    uneven: 0.0,
                }
            }
            Kind::Ccd => Response {
                gain: draw.log_uniform(0.3, 4.0) as f32,
                offset: draw.pick(&[0.0, 10.0, 10.0, 40.0]),
                read_noise: draw.log_uniform(0.8, 6.0) as f32,
                blur: draw.uniform(0.04, 0.22) as f32,
                largest: draw.pick(&[65_535, 65_535, 30_000]),
                quadrants: {
                    let spread = draw.weighted(&[(0.5, 0.0), (0.5, 1.5)]);
                    std::array::from_fn(|_| (spread * draw.normal()) as f32)
                },
                ripple: draw.chance(0.3).then(|| Ripple::random(draw)),
                uneven: draw.log_uniform(0.002, 0.02) as f32,
            },
        }
    }

    /// The number for `photons` over `offset`; `bits` make the read noise.
    #[inline(always)]
    pub fn number(&self, photons: f32, offset: f32, bits: u32) -> i32 {
        let value = photons * self.gain + offset + self.read_noise * normal(bits);
        rounded(value).min(self.largest as i32)
    }

    /// Variance that the readout adds to a pixel, in photons².
    pub fn read_variance(&self) -> f64 {
        f64::from(self.read_noise / self.gain).powi(2)
    }

    /// Variance that the point spread adds to a spot along each axis, pixels².
    pub fn blur_variance(&self) -> f64 {
        2.0 * f64::from(self.blur)
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
