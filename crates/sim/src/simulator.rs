//! Seed and index → frame, or map.

use crate::detector::Detector;
use crate::draw::{Draw, mix};
use crate::instrument::{Instrument, Setting};
use crate::mix::{Mix, detector};
use crate::render::{Area, Rows, render};
use crate::scene::Scene;
use crate::{D_WATER, Truth};
use hitgate_core::frame::{Frame, FrameHeader, PixelType};
use hitgate_core::prep::{self, Mask, MaskValues, Preparation, Reduce, Window};
use hitgate_formats::geometry::Geometry;

/// Makes labelled frames: frame `index` is a function of the seed, the mix, the detector and the
/// index, whatever thread asks for it and in whatever order.
#[derive(Debug)]
pub struct Simulator {
    seed: u64,
    mix: Mix,
    /// The one instrument of a run on a fixed detector.
    fixed: Option<Instrument>,
}

/// A frame and what is true of it.
#[derive(Clone, Debug)]
pub struct Simulated {
    /// Pixels along a row.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
    /// How a pixel is stored.
    pub pixel_type: PixelType,
    /// `rows × columns` numbers, row by row, little endian.
    pub payload: Vec<u8>,
    /// Where the frame was taken.
    pub geometry: Geometry,
    /// The geometry that the filter is told; none where it has to look at the whole panel.
    pub announced: Option<Geometry>,
    /// One bit a pixel, set where the pixel is excluded; empty excludes none.
    pub mask: Vec<u8>,
    /// Numbers that stand for "no measurement".
    pub mask_values: MaskValues,
    /// The largest number that is a measurement.
    pub saturation: u32,
    /// What is true of it.
    pub truth: Truth,
    /// The detector's name.
    pub set: &'static str,
    /// Places of the counted spots, `[x, y]` in pixels; pixel `i` covers `[i, i + 1)`.
    pub spots: Vec<[f64; 2]>,
}

/// What is true of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// What is true of the frame.
    pub truth: Truth,
    /// The detector's name.
    pub set: &'static str,
    /// Pixels that were simulated for the map.
    pub pixels: u64,
}

/// Memory that a thread keeps between maps.
#[derive(Debug, Default)]
pub struct Scratch {
    rows: Rows,
    payload: Vec<u8>,
    mask: Vec<u8>,
    words: Vec<u32>,
}

impl Simulator {
    /// Frames of all detectors.
    pub fn new(seed: u64, mix: Mix) -> Self {
        Simulator { seed, mix, fixed: None }
    }

    /// Frames of one detector at one place: geometry, mask, defects and beam stop are the same on
    /// all of them, as in a run.
    pub fn with_detector(seed: u64, mix: Mix, detector: Detector) -> Self {
        let mut draw = Draw::new(self::mix(seed ^ 0xDE7E_C702), u64::MAX);
        let instrument = Instrument::random(&mut draw, detector, Setting::Crystallography);
        Simulator { seed, mix, fixed: Some(instrument) }
    }

    /// The scene of frame `index`; its instrument where that is not the fixed one.
    fn scene(&self, index: u64) -> (Scene, Option<Instrument>) {
        let mut draw = Draw::new(self.seed, index);
        let plan = self.mix.plan(&mut draw);
        let setting = match (plan.spots, &self.fixed) {
            (None, None) => plan.matter.setting(&mut draw),
            _ => Setting::Crystallography,
        };
        let drawn = self.fixed.is_none().then(|| {
            let detector = detector(&mut draw, setting);
            Instrument::random(&mut draw, detector, setting)
        });
        let instrument = drawn.as_ref().or(self.fixed.as_ref());
        let scene = instrument.map(|instrument| Scene::random(&mut draw, plan, setting, instrument));
        match scene {
            Some(scene) => (scene, drawn),
            None => unreachable!("an instrument is drawn where none is fixed"),
        }
    }

    /// Frame `index` as its detector would store it.
    pub fn frame(&self, index: u64) -> Simulated {
        let (scene, drawn) = self.scene(index);
        let Some(instrument) = drawn.as_ref().or(self.fixed.as_ref()) else {
            unreachable!("an instrument is drawn where none is fixed")
        };
        let panel = &instrument.panel;
        let area = Area { left: 0, top: 0, columns: panel.columns, rows: panel.rows };
        let mut payload = Vec::new();
        render(&scene, instrument, area, &mut Rows::default(), &mut payload);
        let mut bits = Vec::new();
        mask_bits(instrument, area, &mut bits);
        Simulated {
            columns: panel.columns,
            rows: panel.rows,
            pixel_type: instrument.pixel_type,
            payload,
            geometry: instrument.geometry,
            announced: instrument.announced().copied(),
            mask: bits,
            mask_values: instrument.absence.values.clone(),
            saturation: instrument.saturation(),
            truth: scene.truth,
            set: panel.name,
            spots: scene.spots,
        }
    }

    /// The map of frame `index`, `input × input` bytes: what the preparation makes of the whole
    /// frame, from the pixels of the window alone. A map without a valid pixel is zero.
    pub fn map(&self, index: u64, input: u32, reduce: Reduce, map: &mut [u8], scratch: &mut Scratch) -> Labelled {
        let (scene, drawn) = self.scene(index);
        let Some(instrument) = drawn.as_ref().or(self.fixed.as_ref()) else {
            unreachable!("an instrument is drawn where none is fixed")
        };
        let window = instrument.window(D_WATER, input);
        let area = on_panel(&window, instrument.panel.columns, instrument.panel.rows);
        render(&scene, instrument, area, &mut scratch.rows, &mut scratch.payload);
        mask_bits(instrument, area, &mut scratch.mask);
        let preparation = Preparation {
            columns: area.columns,
            rows: area.rows,
            pixel_type: instrument.pixel_type,
            window: Window { left: window.left - area.left as i32, top: window.top - area.top as i32, ..window },
            reduce,
            saturation: instrument.saturation(),
            mask: Mask::new(&scratch.mask, area.columns, area.rows).unwrap_or(Mask::NONE),
            mask_values: instrument.absence.values.clone(),
        };
        let header = FrameHeader::new(area.rows as u16, area.columns as u16, instrument.pixel_type);
        let frame = Frame { header, pixel_type: instrument.pixel_type, payload: &scratch.payload };
        scratch.words.resize(prep::scratch_words(input), 0);
        let made = prep::Scratch::new(&mut scratch.words, input).map(|mut words| preparation.run(&frame, &mut words, map));
        if !matches!(made, Some(Ok(_))) {
            map.fill(0);
        }
        Labelled {
            truth: scene.truth,
            set: instrument.panel.name,
            pixels: u64::from(area.columns) * u64::from(area.rows),
        }
    }
}

impl Simulated {
    /// How the filter prepares this frame, for a network of this input.
    pub fn preparation(&self, input: u32, reduce: Reduce) -> Preparation<'_> {
        let (window, _) =
            hitgate_formats::geometry::window(self.announced.as_ref(), self.columns, self.rows, D_WATER, input);
        Preparation {
            columns: self.columns,
            rows: self.rows,
            pixel_type: self.pixel_type,
            window,
            reduce,
            saturation: self.saturation,
            mask: Mask::new(&self.mask, self.columns, self.rows).unwrap_or(Mask::NONE),
            mask_values: self.mask_values.clone(),
        }
    }

    /// The frame as the path sees it.
    pub fn as_frame(&self) -> Frame<'_> {
        let header = FrameHeader::new(self.rows as u16, self.columns as u16, self.pixel_type);
        Frame { header, pixel_type: self.pixel_type, payload: &self.payload }
    }
}

/// The part of the window that lies on the panel; a single pixel where none does.
fn on_panel(window: &Window, columns: u32, rows: u32) -> Area {
    let span = |first: i32, len: u32| {
        let end = i64::from(first) + i64::from(window.side());
        let start = i64::from(first).clamp(0, i64::from(len) - 1);
        (start as u32, (end.clamp(start + 1, i64::from(len)) - start) as u32)
    };
    let (left, columns) = span(window.left, columns);
    let (top, rows) = span(window.top, rows);
    Area { left, top, columns, rows }
}

/// The mask of an area; empty where the instrument has none.
fn mask_bits(instrument: &Instrument, area: Area, bits: &mut Vec<u8>) {
    bits.clear();
    if !instrument.absence.masked {
        return;
    }
    bits.resize((area.columns as usize * area.rows as usize).div_ceil(8), 0);
    let mut pixel = 0;
    for y in area.top..area.top + area.rows {
        for x in area.left..area.left + area.columns {
            if !instrument.panel.sensitive(x, y) {
                bits[pixel / 8] |= 1 << (pixel % 8);
            }
            pixel += 1;
        }
        for defect in instrument.defects_of_row(y, area.left, area.left + area.columns) {
            if instrument.masked(defect.x, y) {
                let at = (y - area.top) as usize * area.columns as usize + (defect.x - area.left) as usize;
                bits[at / 8] |= 1 << (at % 8);
            }
        }
    }
}
