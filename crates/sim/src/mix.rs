//! How often which kind of frame occurs.

use crate::detector::Detector;
use crate::draw::Draw;
use crate::instrument::Setting;

/// Which frames a simulator makes, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Half without a crystal; the other half with counted spots log-uniform from 1 to 500.
    Natural,
    /// Natural, denser near the limits of the classes and with more of what looks like a hit.
    Training,
}

/// What lies in the beam beside a crystal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matter {
    /// Solvent, air, windows.
    Plain,
    /// Rings of ice.
    Ice,
    /// Rings of salt or lipid.
    Salt,
    /// Streaks through the beam: a jet, slits, an edge of the holder.
    Streaks,
    /// Diffuse bars and shades.
    Bars,
    /// Next to no photons.
    Dark,
    /// Many sharp rings.
    Powder,
    /// Strong scattering at low angle, or none, far from any water ring.
    LowAngle,
}

/// The plan of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub matter: Matter,
    /// Counted spots to aim at; none without a crystal.
    pub spots: Option<u32>,
}

impl Mix {
    pub(crate) fn plan(self, draw: &mut Draw) -> Plan {
        let blank = match self {
            Mix::Natural => 0.5,
            Mix::Training => 0.4,
        };
        if draw.chance(blank) {
            let plain = match self {
                Mix::Natural => 0.5,
                Mix::Training => 0.4,
            };
            let matter = draw.weighted(&[
                (plain, Matter::Plain),
                (0.09, Matter::Ice),
                (0.06, Matter::Salt),
                (0.07, Matter::Streaks),
                (0.04, Matter::Bars),
                (0.06, Matter::Dark),
                (0.10, Matter::Powder),
                (0.12, Matter::LowAngle),
            ]);
            return Plan {
                matter,
                spots: None,
            };
        }
        let near_the_limits = self == Mix::Training && draw.chance(0.5);
        let spots = if near_the_limits {
            draw.uniform(0.5, 20.5)
        } else {
            draw.log_uniform(1.0, 500.0)
        };
        let matter = draw.weighted(&[
            (0.82, Matter::Plain),
            (0.05, Matter::Ice),
            (0.03, Matter::Salt),
            (0.04, Matter::Streaks),
            (0.03, Matter::Bars),
            (0.03, Matter::Dark),
        ]);
        Plan {
            matter,
            spots: Some(spots.round() as u32),
        }
    }
}

impl Matter {
    /// Where such a frame is taken.
    pub fn setting(self, draw: &mut Draw) -> Setting {
        match self {
            Matter::LowAngle => Setting::SmallAngle,
            Matter::Powder => draw.weighted(&[
                (0.45, Setting::Powder),
                (0.35, Setting::SmallAngle),
                (0.2, Setting::Crystallography),
            ]),
            Matter::Dark => {
                draw.weighted(&[(0.3, Setting::SmallAngle), (0.7, Setting::Crystallography)])
            }
            _ => Setting::Crystallography,
        }
    }
}

/// A detector as likely as its frames are where crystals are shot.
pub(crate) fn detector(draw: &mut Draw, setting: Setting) -> Detector {
    let crystals = |weight: f64, other: f64| {
        if setting == Setting::Crystallography {
            weight
        } else {
            other
        }
    };
    draw.weighted(&[
        (crystals(0.03, 0.13), Detector::Pilatus100k),
        (crystals(0.03, 0.1), Detector::Pilatus300k),
        (crystals(0.04, 0.14), Detector::Pilatus1M),
        (crystals(0.07, 0.08), Detector::Pilatus2M),
        (crystals(0.13, 0.03), Detector::Pilatus6M),
        (crystals(0.03, 0.05), Detector::Eiger500k),
        (crystals(0.05, 0.08), Detector::Eiger1M),
        (crystals(0.13, 0.08), Detector::Eiger4M),
        (crystals(0.06, 0.08), Detector::Eiger9M),
        (crystals(0.08, 0.03), Detector::Eiger16M),
        (crystals(0.10, 0.02), Detector::JungfrauModule),
        (crystals(0.04, 0.01), Detector::Jungfrau4M),
        (crystals(0.06, 0.01), Detector::CspadTile),
        (crystals(0.03, 0.18), Detector::Ccd1024),
        (crystals(0.04, 0.02), Detector::MarCcd165),
        (crystals(0.04, 0.02), Detector::AdscQ210),
        (crystals(0.04, 0.02), Detector::RayonixMx225),
        (crystals(0.03, 0.02), Detector::RayonixMx340),
    ])
}
