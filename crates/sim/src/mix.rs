//! How often which kind of frame occurs.

use crate::cell::Proteins;
use crate::detector::Detector;
use crate::draw::Draw;
use crate::instrument::Setting;

/// Which frames a simulator makes, and how often.
///
/// What [`Mix::Training`] never shows, the tests do: the proteins that most is measured on, and the
/// detector [`HELD_OUT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Half without a crystal; the other half with counted spots log-uniform from 1 to 500.
    Natural,
    /// A third each of miss, maybe and hit, crowded around the limits of the classes.
    Border,
    /// Natural, denser near the limits of the classes and with more of what looks like a hit.
    Training,
    /// Lysozyme at a synchrotron: hits, maybes and misses as Hui et al. (2023) met them, 155 to 11
    /// to 1834.
    Lysozyme,
}

/// The detector that no training frame is taken with.
pub const HELD_OUT: Detector = Detector::Eiger16M;

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
    pub proteins: Proteins,
}

impl Mix {
    pub(crate) fn plan(self, draw: &mut Draw) -> Plan {
        let spots = self.spots(draw);
        let matter = match spots {
            Some(_) => draw.weighted(&[
                (0.82, Matter::Plain),
                (0.05, Matter::Ice),
                (0.03, Matter::Salt),
                (0.04, Matter::Streaks),
                (0.03, Matter::Bars),
                (0.03, Matter::Dark),
            ]),
            None => {
                let plain = match self {
                    Mix::Natural | Mix::Border => 0.5,
                    Mix::Training => 0.35,
                    Mix::Lysozyme => 20.0,
                };
                draw.weighted(&[
                    (plain, Matter::Plain),
                    (0.09, Matter::Ice),
                    (0.06, Matter::Salt),
                    (0.09, Matter::Streaks),
                    (0.04, Matter::Bars),
                    (0.06, Matter::Dark),
                    (0.10, Matter::Powder),
                    (0.12, Matter::LowAngle),
                ])
            }
        };
        let proteins = match self {
            Mix::Natural | Mix::Border => Proteins::Any,
            Mix::Training => Proteins::Unknown,
            Mix::Lysozyme => Proteins::Lysozyme,
        };
        Plan {
            matter,
            spots,
            proteins,
        }
    }

    /// Counted spots to aim at; none without a crystal.
    fn spots(self, draw: &mut Draw) -> Option<u32> {
        let crystals = match self {
            Mix::Natural => 0.5,
            Mix::Border => 0.9,
            Mix::Training => 0.6,
            Mix::Lysozyme => 0.083,
        };
        if !draw.chance(crystals) {
            return None;
        }
        let spots = match self {
            Mix::Border => {
                // With the frames without a crystal, a third of each class.
                let (low, high) =
                    draw.weighted(&[(0.26, (0.5, 3.5)), (0.37, (3.5, 9.5)), (0.37, (9.5, 20.5))]);
                draw.uniform(low, high)
            }
            Mix::Training if draw.chance(0.6) => draw.uniform(0.5, 20.5),
            Mix::Natural | Mix::Training => draw.log_uniform(1.0, 500.0),
            Mix::Lysozyme => draw.log_uniform(7.0, 500.0),
        };
        Some(spots.round() as u32)
    }

    /// A detector as likely as its frames are where crystals are shot.
    pub(crate) fn detector(self, draw: &mut Draw, setting: Setting) -> Detector {
        loop {
            let drawn = detector(draw, setting);
            if self != Mix::Training || drawn != HELD_OUT {
                return drawn;
            }
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

fn detector(draw: &mut Draw, setting: Setting) -> Detector {
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
