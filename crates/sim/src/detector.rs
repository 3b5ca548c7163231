//! The detectors that frames come from: panels, tilings, and what stands for "no measurement".

use crate::draw::Draw;
use crate::response::Response;
use hitgate_core::frame::PixelType;
use hitgate_core::prep::MaskValues;

/// How a detector turns photons into numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Counts photons; no noise of its own.
    CountingI32,
    CountingU16,
    CountingU32,
    /// Integrates charge in hybrid pixels: photons, rounded, or analogue units.
    Integrating,
    /// Integrates light of a phosphor: point spread, offset and read noise.
    Ccd,
}

/// A detector model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Detector {
    /// PILATUS 100K, one module.
    Pilatus100k,
    /// PILATUS 300K, three modules.
    Pilatus300k,
    /// PILATUS 1M.
    Pilatus1M,
    /// PILATUS 2M.
    Pilatus2M,
    /// PILATUS 6M.
    Pilatus6M,
    /// EIGER 500K, one module.
    Eiger500k,
    /// EIGER 1M.
    Eiger1M,
    /// EIGER 4M.
    Eiger4M,
    /// EIGER 9M.
    Eiger9M,
    /// EIGER2 16M.
    Eiger16M,
    /// One JUNGFRAU module of 512 × 1024 pixels.
    JungfrauModule,
    /// JUNGFRAU 4M, eight modules assembled.
    Jungfrau4M,
    /// CSPAD 2x1 tile of 185 × 388 pixels.
    CspadTile,
    /// CCD of 1024 × 1024 pixels for low angles or binned 4 × 4.
    Ccd1024,
    /// MarCCD 165, round, 2048 × 2048.
    MarCcd165,
    /// ADSC Q210, 2 × 2 CCDs binned to 2048 × 2048.
    AdscQ210,
    /// Rayonix MX225-HS, binned to 1440 × 1440.
    RayonixMx225,
    /// Rayonix MX340-HS, binned to 1920 × 1920.
    RayonixMx340,
}

/// A panel: its pixels and the gaps between its modules.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panel {
    pub name: &'static str,
    pub columns: u32,
    pub rows: u32,
    pub pixel_mm: f64,
    /// Module columns and rows, gap columns and rows.
    tile: [u32; 4],
    /// The sensitive area is the circle in the panel's square.
    pub round: bool,
    /// Columns and rows of a readout chip whose edge pixels are twice as wide; 0 has none.
    pub chip: u32,
    pub kind: Kind,
}

impl Detector {
    /// Every model.
    pub const ALL: [Detector; 18] = [
        Detector::Pilatus100k,
        Detector::Pilatus300k,
        Detector::Pilatus1M,
        Detector::Pilatus2M,
        Detector::Pilatus6M,
        Detector::Eiger500k,
        Detector::Eiger1M,
        Detector::Eiger4M,
        Detector::Eiger9M,
        Detector::Eiger16M,
        Detector::JungfrauModule,
        Detector::Jungfrau4M,
        Detector::CspadTile,
        Detector::Ccd1024,
        Detector::MarCcd165,
        Detector::AdscQ210,
        Detector::RayonixMx225,
        Detector::RayonixMx340,
    ];

    /// The name that labels carry.
    pub fn name(self) -> &'static str {
        self.panel().name
    }

    pub(crate) fn panel(self) -> Panel {
        use Kind::{Ccd, CountingI32, CountingU16, CountingU32, Integrating};
        let panel = |name, columns, rows, pixel_um: f64, tile, kind| Panel {
            name,
            columns,
            rows,
            pixel_mm: pixel_um / 1000.0,
            tile,
            round: false,
            chip: 0,
            kind,
        };
        const PILATUS: [u32; 4] = [487, 195, 7, 17];
        const EIGER: [u32; 4] = [1030, 514, 10, 37];
        let whole = [u32::MAX, u32::MAX, 0, 0];
        match self {
            Detector::Pilatus100k => panel("pilatus100k", 487, 195, 172.0, PILATUS, CountingI32),
            Detector::Pilatus300k => panel("pilatus300k", 487, 619, 172.0, PILATUS, CountingI32),
            Detector::Pilatus1M => panel("pilatus1m", 981, 1043, 172.0, PILATUS, CountingI32),
            Detector::Pilatus2M => panel("pilatus2m", 1475, 1679, 172.0, PILATUS, CountingI32),
            Detector::Pilatus6M => panel("pilatus6m", 2463, 2527, 172.0, PILATUS, CountingI32),
            Detector::Eiger500k => panel("eiger500k", 1030, 514, 75.0, EIGER, CountingU32),
            Detector::Eiger1M => panel("eiger1m", 1030, 1065, 75.0, EIGER, CountingU32),
            Detector::Eiger4M => panel("eiger4m", 2070, 2167, 75.0, EIGER, CountingU16),
            Detector::Eiger9M => panel("eiger9m", 3110, 3269, 75.0, EIGER, CountingU32),
            Detector::Eiger16M => panel(
                "eiger2-16m",
                4148,
                4362,
                75.0,
                [1028, 512, 12, 38],
                CountingU32,
            ),
            Detector::JungfrauModule => Panel {
                chip: 256,
                ..panel("jungfrau-module", 1024, 512, 75.0, whole, Integrating)
            },
            Detector::Jungfrau4M => panel(
                "jungfrau4m",
                2068,
                2164,
                75.0,
                [1030, 514, 8, 36],
                Integrating,
            ),
            Detector::CspadTile => {
                panel("cspad-2x1", 388, 185, 110.0, [193, 185, 2, 0], Integrating)
            }
            Detector::Ccd1024 => Panel {
                round: true,
                ..panel("ccd1024", 1024, 1024, 160.0, whole, Ccd)
            },
            Detector::MarCcd165 => Panel {
                round: true,
                ..panel("marccd165", 2048, 2048, 80.6, whole, Ccd)
            },
            Detector::AdscQ210 => panel("adsc-q210", 2048, 2048, 102.4, whole, Ccd),
            Detector::RayonixMx225 => panel("mx225-hs", 1440, 1440, 156.0, whole, Ccd),
            Detector::RayonixMx340 => panel("mx340-hs", 1920, 1920, 177.0, whole, Ccd),
        }
    }
}

impl Panel {
    /// Whether column `x` and row `y` cross in a module, not in a gap or outside a round window.
    pub fn sensitive(&self, x: u32, y: u32) -> bool {
        let [width, height, gap_x, gap_y] = self.tile;
        let in_tile = |at: u32, tile: u32, gap: u32| tile == u32::MAX || at % (tile + gap) < tile;
        in_tile(x, width, gap_x)
            && in_tile(y, height, gap_y)
            && (!self.round || self.in_circle(x, y))
    }

    /// Calls `insensitive` with each range of columns of row `y` that does not measure.
    pub fn insensitive_columns(&self, y: u32, mut insensitive: impl FnMut(std::ops::Range<u32>)) {
        let [width, height, gap_x, gap_y] = self.tile;
        if height != u32::MAX && y % (height + gap_y) >= height {
            return insensitive(0..self.columns);
        }
        if width != u32::MAX {
            let mut from = width;
            while from < self.columns {
                insensitive(from..(from + gap_x).min(self.columns));
                from += width + gap_x;
            }
        }
        if self.round {
            let middle = self.columns / 2;
            let inside = (0..=middle)
                .find(|&x| self.in_circle(x, y))
                .unwrap_or(middle);
            insensitive(0..inside);
            insensitive(self.columns - inside..self.columns);
        }
    }

    fn in_circle(&self, x: u32, y: u32) -> bool {
        let radius = 0.5 * f64::from(self.columns.min(self.rows));
        let dx = f64::from(x) + 0.5 - 0.5 * f64::from(self.columns);
        let dy = f64::from(y) + 0.5 - 0.5 * f64::from(self.rows);
        dx * dx + dy * dy <= radius * radius
    }

    /// Whether the pixel at `at` along an axis is one of the wide ones between two chips.
    pub fn is_wide(&self, at: u32, len: u32) -> bool {
        self.chip != 0 && {
            let on_chip = at % self.chip;
            (on_chip == 0 && at > 0) || (on_chip == self.chip - 1 && at + 1 < len)
        }
    }
}

/// How pixels without a measurement look in the data, and how the filter knows them.
#[derive(Clone, Debug)]
pub(crate) struct Absence {
    /// What a gap holds.
    pub gap: i64,
    /// What a dead pixel, or a hot one that was switched off, holds.
    pub dead: i64,
    /// Whether gaps and known bad pixels are in the mask.
    pub masked: bool,
    /// Values declared to mean that there is no measurement.
    pub values: MaskValues,
}

impl Absence {
    pub fn random(draw: &mut Draw, kind: Kind) -> Self {
        let (gap, dead, largest): (i64, i64, bool) = match kind {
            Kind::CountingI32 => draw.weighted(&[(0.85, (-1, -2, false)), (0.15, (0, 0, false))]),
            Kind::CountingU16 => {
                draw.weighted(&[(0.8, (0xFFFF, 0xFFFF, true)), (0.2, (0, 0, false))])
            }
            Kind::CountingU32 => draw.weighted(&[
                (0.8, (0xFFFF_FFFF, 0xFFFF_FFFF, true)),
                (0.2, (0, 0, false)),
            ]),
            Kind::Integrating | Kind::Ccd => (0, 0, false),
        };
        let declared = (gap < 0 && draw.chance(0.85)) || largest;
        let mut values = MaskValues::new();
        if declared {
            values.extend(if gap == dead {
                vec![gap]
            } else {
                vec![gap, dead]
            });
        }
        Absence {
            gap,
            dead,
            masked: draw.chance(0.35),
            values,
        }
    }
}

/// A pixel that does not measure photons.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Defect {
    pub x: u32,
    pub y: u32,
    /// Counts every frame, whatever light falls on it.
    pub counts: f32,
    /// Known to the maker: switched off, and masked where there is a mask.
    pub known: bool,
}

/// Hot and dead pixels of one detector, by row and column, each pixel once.
pub(crate) fn defects(draw: &mut Draw, panel: &Panel, response: &Response) -> Vec<Defect> {
    let megapixels = f64::from(panel.columns) * f64::from(panel.rows) / 1e6;
    let per_megapixel = if draw.chance(0.3) {
        0.0
    } else {
        draw.log_uniform(0.3, 150.0)
    };
    let count = (per_megapixel * megapixels).round().min(3000.0) as usize;
    let hottest = f64::from(response.largest).min(1e7) / f64::from(response.gain);
    let hot_share = draw.unit();
    let known_share = draw.pick(&[0.0, 0.3, 0.7, 1.0]);
    let mut found: Vec<Defect> = (0..count)
        .map(|_| Defect {
            x: draw.below(panel.columns as usize) as u32,
            y: draw.below(panel.rows as usize) as u32,
            counts: if draw.chance(hot_share) {
                draw.log_uniform(3.0, hottest) as f32
            } else {
                0.0
            },
            known: draw.chance(known_share),
        })
        .collect();
    found.sort_by_key(|defect| (defect.y, defect.x));
    found.dedup_by_key(|defect| (defect.y, defect.x));
    found
}

/// The type that a detector of this kind stores.
pub(crate) fn pixel_type(draw: &mut Draw, kind: Kind) -> PixelType {
    match kind {
        Kind::CountingI32 => PixelType::I32,
        Kind::CountingU16 => PixelType::U16,
        Kind::CountingU32 => PixelType::U32,
        Kind::Integrating => draw.pick(&[PixelType::I16, PixelType::I32]),
        Kind::Ccd => PixelType::U16,
    }
}
