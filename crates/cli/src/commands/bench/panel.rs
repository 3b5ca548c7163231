//! The frames that are timed: simulated, stored as u16, their gaps and bad pixels in a mask of one
//! bit a pixel.

use anyhow::{Result, bail};
use clap::ValueEnum;
use half::f16;
use hitgate_core::correct::{Correction, STAGES};
use hitgate_core::frame::PixelType;
use hitgate_formats::{Mask, Metadata, Pixels, Sidecar};
use hitgate_sim::{Detector, Mix, Simulated, Simulator};
use rayon::prelude::*;

use crate::module::{self, Module};
use crate::progress::Progress;
use crate::simulation;
use crate::slot::SlotFrame;

/// Which part of a frame the filter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// The disc inside the water ring, which the geometry places
    Crop,
    /// The whole panel, as without a geometry
    Whole,
}

impl View {
    /// Both. Frames of a view carry its place here as their module.
    pub const ALL: [View; 2] = [View::Crop, View::Whole];

    /// Its word on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            View::Crop => "crop",
            View::Whole => "whole",
        }
    }
}

/// A detector and some of its frames.
pub struct Panel {
    /// The detector.
    pub detector: Detector,
    /// Pixels along a row.
    pub columns: u32,
    /// Rows.
    pub rows: u32,
    /// One for each [`View`]: the same panel with and without its geometry.
    pub modules: [Module; View::ALL.len()],
    /// The frames.
    pub frames: Vec<SlotFrame>,
}

/// What a pixel without a measurement holds.
const NO_COUNT: u16 = u16::MAX;
const SEED: u64 = 1;

impl Panel {
    /// Simulates `count` different frames.
    pub fn simulate(detector: Detector, count: u64) -> Result<Self> {
        let simulator = Simulator::with_detector(SEED, Mix::Natural, detector);
        let progress = Progress::start("simulating", count);
        let stored = |index| {
            let frame = simulator.frame(index);
            progress.advance();
            (counts(&frame), frame)
        };
        let made: Vec<_> = (0..count).into_par_iter().map(stored).collect();
        progress.clear();
        let Some((pixels, first)) = made.first() else {
            bail!("no frame to time");
        };
        let modules = View::ALL.map(|view| describe(first, pixels, view));
        let slot = |(number, (pixels, _)): (usize, &(Vec<u16>, Simulated))| {
            SlotFrame::fresh(&modules[0], number as u64 + 1, bytemuck::cast_slice(pixels))
        };
        Ok(Panel {
            detector,
            columns: first.columns,
            rows: first.rows,
            frames: made.iter().enumerate().map(slot).collect::<Result<_>>()?,
            modules,
        })
    }

    /// Pixels of a frame.
    pub const fn pixels(&self) -> usize {
        self.columns as usize * self.rows as usize
    }

    /// The frames as raw words, with what makes them photons; `None` for a detector that counts.
    pub fn raw(&self) -> Option<RawWords> {
        if !integrates(self.detector) {
            return None;
        }
        let words = |frame: &SlotFrame| {
            let counts = frame.payload().as_chunks::<2>().0;
            let words = counts.iter().map(|&count| word(u16::from_le_bytes(count)));
            words.flat_map(u16::to_le_bytes).collect()
        };
        Some(RawWords {
            frames: self.frames.iter().map(words).collect(),
            pedestals: PEDESTALS.map(|pedestal| vec![4 * pedestal; self.pixels()]),
            gains: ADU_PER_PHOTON.map(|adu| vec![f16::from_f32(1.0 / adu); self.pixels()]),
        })
    }
}

/// Whether the detector stores words whose pedestals and gains we know.
pub fn integrates(detector: Detector) -> bool {
    detector.name().starts_with("jungfrau")
}

/// Frames of an integrating detector before pedestals and gains.
pub struct RawWords {
    /// The words of each frame, u16.
    pub frames: Vec<Vec<u8>>,
    pedestals: [Vec<u16>; STAGES],
    gains: [Vec<f16>; STAGES],
}

impl RawWords {
    /// Bytes that one pixel needs: its word, and pedestal and gain of its stage. Those of the other stages are read too.
    pub const BYTES: usize = 6;

    /// What makes them photons.
    pub fn correction(&self) -> Option<Correction<'_>> {
        let pedestals = self.pedestals.each_ref().map(Vec::as_slice);
        let gains = self.gains.each_ref().map(Vec::as_slice);
        Correction::new(pedestals, gains, self.pedestals[0].len())
    }
}

/// In ADU, for G0, G1 and G2.
const PEDESTALS: [u16; STAGES] = [1000, 15_000, 15_000];
/// The photons that a pixel holds before it switches on to the next stage are what fits 14 bits.
const ADU_PER_PHOTON: [f32; STAGES] = [4.0, -0.5, -0.125];

/// The raw word of `count` photons.
fn word(count: u16) -> u16 {
    let adc = |stage: usize| {
        let adc = f32::from(PEDESTALS[stage]) + f32::from(count) * ADU_PER_PHOTON[stage];
        (0.0..16_384.0).contains(&adc).then_some(adc as u16)
    };
    adc(0)
        .or_else(|| Some(adc(1)? | 0b01 << 14))
        .or_else(|| Some(adc(2)? | 0b11 << 14))
        .unwrap_or(0b10 << 14)
}

/// The frame in 16 bits: a number below 0 is 0, a pixel without a measurement [`NO_COUNT`].
fn counts(frame: &Simulated) -> Vec<u16> {
    let stored = |number: i64| match frame.mask_values.contains(&number) {
        true => NO_COUNT,
        false => number.clamp(0, i64::from(NO_COUNT) - 1) as u16,
    };
    match simulation::image(frame).pixels {
        Pixels::U8(of) => of.into_iter().map(|n| stored(n.into())).collect(),
        Pixels::U16(of) => of.into_iter().map(|n| stored(n.into())).collect(),
        Pixels::U32(of) => of.into_iter().map(|n| stored(n.into())).collect(),
        Pixels::I16(of) => of.into_iter().map(|n| stored(n.into())).collect(),
        Pixels::I32(of) => of.into_iter().map(|n| stored(n.into())).collect(),
        Pixels::F32(of) => of.into_iter().map(|n| stored(n as i64)).collect(),
    }
}

/// The panel of `frame`, whose numbers became `pixels`.
fn describe(frame: &Simulated, pixels: &[u16], view: View) -> Module {
    let mut mask = Mask::none(frame.columns, frame.rows);
    mask.bits[..frame.mask.len()].copy_from_slice(&frame.mask);
    let unmeasured = pixels.iter().enumerate().filter(|(_, n)| **n == NO_COUNT);
    for (pixel, _) in unmeasured {
        mask.bits[pixel / 8] |= 1 << (pixel % 8);
    }
    let metadata = Metadata {
        geometry: (view == View::Crop).then_some(frame.geometry),
        saturation: Some(frame.saturation.min(u32::from(NO_COUNT) - 1)),
        mask_values: Vec::new(),
        ..simulation::metadata(frame)
    };
    Module {
        columns: frame.columns,
        rows: frame.rows,
        pixel_type: module::pixel_type_name(PixelType::U16).into(),
        raw: false,
        compressed: false,
        about: Sidecar::from(&metadata),
        excluded: module::runs(&mask),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model;

    #[test]
    fn a_panel_keeps_its_frames_and_loses_its_geometry_in_the_whole_view() {
        let panel = Panel::simulate(Detector::JungfrauModule, 2).unwrap();
        let [crop, whole] = &panel.modules;
        assert!(crop.about.geometry().is_some() && whole.about.geometry().is_none());
        assert_eq!(crop.excluded, whole.excluded);
        assert_eq!((crop.pixel_type.as_str(), panel.frames.len()), ("u16", 2));
        assert_ne!(panel.frames[0].payload(), panel.frames[1].payload());
        for frame in &panel.frames {
            assert_eq!(frame.payload().len(), 2 * panel.pixels());
        }
        let built_in = model::parse(model::EMBEDDED, None).unwrap();
        let seen = [crop, whole].map(|module| {
            let prepared = module.prepare(model::input(&built_in), None).unwrap();
            let window = prepared.preparation().window;
            window.pixels(panel.columns, panel.rows)
        });
        assert_eq!(seen[1], panel.pixels() as u64);
        assert!(0 < seen[0] && seen[0] <= seen[1]);
    }

    #[test]
    fn words_hold_their_photons_in_each_stage() {
        let stage = |count| word(count) >> 14;
        assert_eq!(word(10), 1040);
        assert_eq!(
            [0, 3000, 20_000, 65_534].map(stage),
            [0b00, 0b00, 0b01, 0b11]
        );
        let panel = Panel::simulate(Detector::CspadTile, 1).unwrap();
        assert!(panel.raw().is_none());
    }
}
