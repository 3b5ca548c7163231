//! Seed and index → frame, or map.

use crate::detector::Detector;
use crate::draw::{Draw, mix};
use crate::instrument::{Instrument, Setting};
use crate::mix::{Mix, Plan};
use crate::render::{Area, Rows, render};
use crate::scene::Scene;
use crate::{D_WATER, Truth};
use hitgate_core::frame::{Frame, FrameHeader, PixelType};
use hitgate_core::prep::{Mask, MaskValues, Preparation, Reduce, Window};
use hitgate_formats::geometry::Geometry;
use hitgate_kernels::Level;
use std::borrow::Cow;

/// Makes labelled frames: frame `index` is a function of the seed, the mix, the detector and the
/// index, whatever thread asks for it and in whatever order.
#[derive(Debug)]
pub struct Simulator {
    seed: u64,
    mix: Mix,
    /// The one instrument of a run on a fixed detector.
    fixed: Option<Instrument>,
    /// What maps are made with.
    level: Level,
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
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// What is true of the frame.
    pub truth: Truth,
    /// The detector's name.
    pub set: &'static str,
    /// Pixels that were simulated for the map.
    pub pixels: u64,
    /// Places of the counted spots, `[x, y]` in cells; cell `i` covers `[i, i + 1)`.
    pub spots: Vec<[f64; 2]>,
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
        Simulator {
            seed,
            mix,
            fixed: None,
            level: Level::detect(),
        }
    }

    /// Frames of one detector at one place: geometry, mask, defects and beam stop are the same on
    /// all of them, as in a run.
    pub fn with_detector(seed: u64, mix: Mix, detector: Detector) -> Self {
        let mut draw = Draw::new(self::mix(seed ^ 0xDE7E_C702), u64::MAX);
        let instrument = Instrument::random(&mut draw, detector, Setting::Crystallography);
        Simulator {
            seed,
            mix,
            fixed: Some(instrument),
            level: Level::detect(),
        }
    }

    /// The name of the detector that takes frame `index`, which [`Labelled::set`] gives, without the
    /// work of making it.
    pub fn set(&self, index: u64) -> &'static str {
        match &self.fixed {
            Some(fixed) => fixed.panel.name,
            None => self.taken_by(&mut Draw::new(self.seed, index)).2.name(),
        }
    }

    /// What is in the beam, what the beamline is set up for, and its detector.
    fn taken_by(&self, draw: &mut Draw) -> (Plan, Setting, Detector) {
        let plan = self.mix.plan(draw);
        let setting = match plan.spots {
            Some(_) => Setting::Crystallography,
            None => plan.matter.setting(draw),
        };
        (plan, setting, self.mix.detector(draw, setting))
    }

    /// Frame `index` before its noise, and the instrument that takes it.
    fn scene(&self, index: u64) -> (Scene, Cow<'_, Instrument>) {
        let mut draw = Draw::new(self.seed, index);
        let (plan, setting, instrument) = match &self.fixed {
            Some(fixed) => (
                self.mix.plan(&mut draw),
                Setting::Crystallography,
                Cow::Borrowed(fixed),
            ),
            None => {
                let (plan, setting, detector) = self.taken_by(&mut draw);
                let instrument = Instrument::random(&mut draw, detector, setting);
                (plan, setting, Cow::Owned(instrument))
            }
        };
        (
            Scene::random(&mut draw, plan, setting, &instrument),
            instrument,
        )
    }

    /// What is true of frame `index`, without the work of taking it.
    pub fn truth(&self, index: u64) -> Truth {
        self.scene(index).0.truth
    }

    /// Frame `index` as its detector would store it.
    pub fn frame(&self, index: u64) -> Simulated {
        let (scene, instrument) = self.scene(index);
        taken(&scene, &instrument, whole(&instrument))
    }

    /// The part of frame `index` that a network of this input sees, as if the panel were no larger.
    pub fn window(&self, index: u64, input: u32) -> Simulated {
        let (scene, instrument) = self.scene(index);
        let window = instrument.window(D_WATER, input);
        let panel = &instrument.panel;
        taken(
            &scene,
            &instrument,
            on_panel(&window, panel.columns, panel.rows),
        )
    }

    /// What an ideal counter makes of frame `index`, beside what is true of it: it knows the place
    /// and the shape of every reflection and the background under it, and counts by the noisy
    /// pixels. No filter that has to find the spots can be expected to do better.
    pub fn oracle(&self, index: u64) -> (Truth, Truth) {
        let (scene, instrument) = self.scene(index);
        let frame = taken(&scene, &instrument, whole(&instrument));
        let response = &instrument.response;
        let size = frame.pixel_type.size();
        let photons = |x: i32, y: i32| {
            let at = (y as usize * frame.columns as usize + x as usize) * size;
            let number = number(frame.pixel_type, &frame.payload[at..at + size]);
            (f64::from(number) - f64::from(response.offset)) / f64::from(response.gain)
        };
        let counted = scene.oracle(&instrument, photons);
        (scene.truth, Truth::of(counted))
    }

    /// The map of frame `index`, of [`Preparation::map_bytes`] bytes: what the preparation makes of the whole
    /// frame, from the pixels of the window alone. A map without a valid pixel is zero.
    pub fn map(
        &self,
        index: u64,
        input: u32,
        reduce: Reduce,
        map: &mut [u8],
        scratch: &mut Scratch,
    ) -> Labelled {
        let (scene, instrument) = self.scene(index);
        let window = instrument.window(D_WATER, input);
        let area = on_panel(&window, instrument.panel.columns, instrument.panel.rows);
        render(
            &scene,
            &instrument,
            area,
            &mut scratch.rows,
            &mut scratch.payload,
        );
        mask_bits(&instrument, area, &mut scratch.mask);
        let preparation = Preparation {
            saturation: instrument.saturation(),
            mask: Mask::new(&scratch.mask, area.columns, area.rows).unwrap_or(Mask::NONE),
            mask_values: instrument.absence.values.clone(),
            ..Preparation::plain(
                area.columns,
                area.rows,
                instrument.pixel_type,
                Window {
                    left: window.left - area.left as i32,
                    top: window.top - area.top as i32,
                    ..window
                },
                reduce,
            )
        };
        let header = FrameHeader::new(area.rows as u16, area.columns as u16, instrument.pixel_type);
        let frame = Frame {
            header,
            pixel_type: instrument.pixel_type,
            payload: &scratch.payload,
        };
        scratch.words.resize(preparation.words(), 0);
        let made = preparation.run(self.level, &frame, &mut scratch.words, map);
        if made.is_err() {
            map.fill(0);
        }
        let in_cells = |at: f64, first: i32| (at - f64::from(first)) / f64::from(window.block);
        Labelled {
            truth: scene.truth,
            set: instrument.panel.name,
            pixels: u64::from(area.columns) * u64::from(area.rows),
            spots: scene
                .spots
                .iter()
                .map(|&[x, y]| [in_cells(x, window.left), in_cells(y, window.top)])
                .collect(),
        }
    }
}

impl Simulated {
    /// How the filter prepares this frame, for a network of this input.
    pub fn preparation(&self, input: u32, reduce: Reduce) -> Preparation<'_> {
        let (window, _) = hitgate_formats::geometry::window(
            self.announced.as_ref(),
            self.columns,
            self.rows,
            D_WATER,
            input,
        );
        Preparation {
            saturation: self.saturation,
            mask: Mask::new(&self.mask, self.columns, self.rows).unwrap_or(Mask::NONE),
            mask_values: self.mask_values.clone(),
            ..Preparation::plain(self.columns, self.rows, self.pixel_type, window, reduce)
        }
    }

    /// The frame as the path sees it.
    pub fn as_frame(&self) -> Frame<'_> {
        let header = FrameHeader::new(self.rows as u16, self.columns as u16, self.pixel_type);
        Frame {
            header,
            pixel_type: self.pixel_type,
            payload: &self.payload,
        }
    }
}

/// The part of the frame that `instrument` takes of `scene`, its places counted from the corner of
/// the part.
fn taken(scene: &Scene, instrument: &Instrument, area: Area) -> Simulated {
    let mut payload = Vec::new();
    render(scene, instrument, area, &mut Rows::default(), &mut payload);
    let mut bits = Vec::new();
    mask_bits(instrument, area, &mut bits);
    let moved = |[x, y]: [f64; 2]| [x - f64::from(area.left), y - f64::from(area.top)];
    let geometry = Geometry {
        beam_center_px: moved(instrument.geometry.beam_center_px),
        ..instrument.geometry
    };
    Simulated {
        columns: area.columns,
        rows: area.rows,
        pixel_type: instrument.pixel_type,
        payload,
        geometry,
        announced: instrument.announced().map(|_| geometry),
        mask: bits,
        mask_values: instrument.absence.values.clone(),
        saturation: instrument.saturation(),
        truth: scene.truth,
        set: instrument.panel.name,
        spots: scene.spots.iter().map(|&spot| moved(spot)).collect(),
    }
}

/// All of the panel.
fn whole(instrument: &Instrument) -> Area {
    Area {
        left: 0,
        top: 0,
        columns: instrument.panel.columns,
        rows: instrument.panel.rows,
    }
}

/// The number that a stored pixel holds.
fn number(pixel_type: PixelType, bytes: &[u8]) -> i32 {
    match *bytes {
        [a] => i32::from(a),
        [a, b] if pixel_type == PixelType::I16 => i32::from(i16::from_le_bytes([a, b])),
        [a, b] => i32::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => i32::from_le_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// The part of the window that lies on the panel; a single pixel where none does.
fn on_panel(window: &Window, columns: u32, rows: u32) -> Area {
    let span = |first: i32, len: u32| {
        let end = i64::from(first) + i64::from(window.side());
        let start = i64::from(first).clamp(0, i64::from(len) - 1);
        (
            start as u32,
            (end.clamp(start + 1, i64::from(len)) - start) as u32,
        )
    };
    let (left, columns) = span(window.left, columns);
    let (top, rows) = span(window.top, rows);
    Area {
        left,
        top,
        columns,
        rows,
    }
}

/// The mask of an area; empty where the instrument has none.
fn mask_bits(instrument: &Instrument, area: Area, bits: &mut Vec<u8>) {
    bits.clear();
    if !instrument.absence.masked {
        return;
    }
    bits.resize((area.columns as usize * area.rows as usize).div_ceil(8), 0);
    let (first, end) = (area.left, area.left + area.columns);
    for y in area.top..area.top + area.rows {
        let row = (y - area.top) as usize * area.columns as usize;
        instrument.panel.insensitive_columns(y, |columns| {
            for x in columns.start.clamp(first, end)..columns.end.clamp(first, end) {
                let at = row + (x - first) as usize;
                bits[at / 8] |= 1 << (at % 8);
            }
        });
        for defect in instrument.defects_of_row(y, area.left, area.left + area.columns) {
            if instrument.masked(defect.x, y) {
                let at = row + (defect.x - first) as usize;
                bits[at / 8] |= 1 << (at % 8);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_core::verdict::Class;

    const INPUT: u32 = 96;

    fn map(simulator: &Simulator, index: u64, scratch: &mut Scratch) -> (Vec<u8>, Labelled) {
        let mut map = vec![0; (INPUT * INPUT) as usize];
        let labelled = simulator.map(index, INPUT, Reduce::Maximum, &mut map, scratch);
        (map, labelled)
    }

    #[test]
    fn a_map_is_that_of_the_whole_frame() {
        let simulator = Simulator::new(11, Mix::Training);
        let mut scratch = Scratch::default();
        let (mut cropped, mut several) = (0, 0);
        for index in 0..16 {
            let frame = simulator.frame(index);
            let (found, labelled) = map(&simulator, index, &mut scratch);
            for part in [&frame, &simulator.window(index, INPUT)] {
                let preparation = part.preparation(INPUT, Reduce::Maximum);
                let mut words = vec![0; preparation.words()];
                let mut expected = vec![0; found.len()];
                preparation
                    .run(Level::detect(), &part.as_frame(), &mut words, &mut expected)
                    .unwrap();
                assert!(expected == found, "map of frame {index} on {}", frame.set);
            }
            assert_eq!((labelled.truth, labelled.set), (frame.truth, frame.set));
            assert_eq!(simulator.set(index), frame.set);
            assert_eq!(simulator.truth(index), frame.truth);
            assert_eq!(frame.spots.len() as u32, frame.truth.spots);
            assert_eq!(labelled.spots.len(), frame.spots.len());
            let side = 0.0..=f64::from(INPUT);
            assert!(labelled.spots.iter().flatten().all(|at| side.contains(at)));
            cropped +=
                u32::from(labelled.pixels < u64::from(frame.columns) * u64::from(frame.rows));
            several += u32::from(frame.truth.spots > 3);
        }
        assert!(cropped > 3 && several > 3, "{cropped} {several}");
    }

    #[test]
    fn an_index_names_one_map_on_any_thread() {
        let simulator = Simulator::new(4, Mix::Natural);
        let forward: Vec<_> = {
            let mut scratch = Scratch::default();
            (0..12)
                .map(|index| map(&simulator, index, &mut scratch))
                .collect()
        };
        let backward = std::thread::spawn(|| {
            let simulator = Simulator::new(4, Mix::Natural);
            let mut scratch = Scratch::default();
            let mut maps: Vec<_> = (0..12)
                .rev()
                .map(|index| map(&simulator, index, &mut scratch))
                .collect();
            maps.reverse();
            maps
        });
        assert!(forward == backward.join().unwrap());
        let other = map(&Simulator::new(5, Mix::Natural), 0, &mut Scratch::default());
        assert!(other != forward[0]);
    }

    #[test]
    fn spots_obey_bragg_and_stand_out() {
        let simulator = Simulator::with_detector(2, Mix::Training, Detector::Eiger1M);
        let mut seen = 0;
        for index in 0..8 {
            let frame = simulator.frame(index);
            for &[x, y] in &frame.spots {
                assert!(frame.geometry.resolution_a(x, y) > 0.9 * D_WATER, "{x} {y}");
                assert!(
                    x >= 0.0
                        && y >= 0.0
                        && x < f64::from(frame.columns)
                        && y < f64::from(frame.rows)
                );
                seen += 1;
            }
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn a_run_has_one_instrument() {
        let simulator = Simulator::with_detector(3, Mix::Natural, Detector::JungfrauModule);
        let first = simulator.frame(0);
        let second = simulator.frame(1);
        assert_eq!(first.geometry, second.geometry);
        assert_eq!(
            (first.columns, first.rows, first.set),
            (1024, 512, "jungfrau-module")
        );
        assert!(first.mask == second.mask);
        assert!(first.payload != second.payload);
    }

    #[test]
    fn every_class_occurs_in_every_mix() {
        for mix in [Mix::Natural, Mix::Border, Mix::Training] {
            let simulator = Simulator::new(8, mix);
            let mut counts = [0; 3];
            for index in 0..150 {
                counts[simulator.scene(index).0.truth.class as usize] += 1;
            }
            let [hit, maybe, miss] = counts;
            assert!(hit > 30 && maybe >= 5 && miss > 40, "{mix:?}: {counts:?}");
            assert_eq!(Class::Hit as usize, 0);
            if mix == Mix::Border {
                assert!(maybe > 35, "{counts:?}");
            }
        }
    }

    #[test]
    fn an_ideal_counter_nearly_agrees_with_the_truth() {
        let simulator = Simulator::with_detector(6, Mix::Natural, Detector::Eiger1M);
        let (mut spots, mut off, mut differ) = (0, 0, 0);
        for index in 0..40 {
            let (truth, counted) = simulator.oracle(index);
            spots += truth.spots;
            off += truth.spots.abs_diff(counted.spots);
            differ += u32::from(truth != counted);
        }
        assert!(spots > 500, "{spots}");
        assert!(off * 10 < spots, "{off} of {spots}");
        assert!(differ > 0, "it has only noisy pixels to count by");
    }
}
