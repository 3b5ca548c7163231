//! Simulated frames, as the command line asks for them.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use hitgate_core::frame::PixelType;
use hitgate_core::prep::Reduce;
use hitgate_formats::sidecar::Sidecar;
use hitgate_formats::{Mask, Metadata};
use hitgate_sim::{Detector, Mix, Simulated, Simulator};
use rayon::prelude::*;

use crate::frames::{Frames, HeldFrame};
use crate::module::{self, Module};
use crate::progress::Progress;
use crate::slot::SlotFrame;

/// Which frames, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MixArg {
    /// Half without a crystal, the rest with 1 to 500 counted spots, evenly in the logarithm
    Natural,
    /// A third each of miss, maybe and hit, crowded around the limits of the classes
    Border,
    /// Denser near the limits of the classes, with more of what looks like a hit; without the
    /// proteins and the detector (eiger2-16m) that tests are made with
    Training,
    /// Lysozyme at a hit rate of 8 %
    Lysozyme,
}

impl MixArg {
    /// The word that the command line has for it.
    pub fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_string())
    }
}

impl From<MixArg> for Mix {
    fn from(mix: MixArg) -> Mix {
        match mix {
            MixArg::Natural => Mix::Natural,
            MixArg::Border => Mix::Border,
            MixArg::Training => Mix::Training,
            MixArg::Lysozyme => Mix::Lysozyme,
        }
    }
}

/// How counts become a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReduceArg {
    /// Two channels: the largest sum of 3 x 3 counts of a block, and the largest that such a sum
    /// leaves without the largest of the nine, in units of the local noise
    Peaks,
    /// The largest count of a block, equalized: the paper's preparation
    Max,
    /// The mean count of a block, equalized
    Mean,
}

impl ReduceArg {
    /// The word that the command line has for `reduce`.
    pub fn name(reduce: Reduce) -> &'static str {
        match reduce {
            Reduce::Maximum => "max",
            Reduce::Mean => "mean",
            Reduce::Peaks => "peaks",
        }
    }
}

impl From<ReduceArg> for Reduce {
    fn from(reduce: ReduceArg) -> Reduce {
        match reduce {
            ReduceArg::Peaks => Reduce::Peaks,
            ReduceArg::Max => Reduce::Maximum,
            ReduceArg::Mean => Reduce::Mean,
        }
    }
}

/// More frames than anybody simulates at once.
pub const COUNT: u64 = 1 << 32;
/// The highest number of a first frame: JSON holds every one up to it exactly.
pub const FIRST: u64 = 1 << 52;

/// Simulated frames instead of files.
#[derive(Args, Clone, Debug)]
pub struct SimulatedArgs {
    /// Simulate this detector instead of reading files (`hitgate simulate --help` lists them)
    #[arg(long, value_name = "DETECTOR", value_parser = detector)]
    simulate: Option<Detector>,
    /// How many different frames to simulate; they are played over and over
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=COUNT))]
    distinct: u64,
    /// Seed of the simulation, and of what an emulated network does
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
}

impl SimulatedArgs {
    /// Whether simulated frames are asked for.
    pub fn wanted(&self) -> bool {
        self.simulate.is_some()
    }

    /// The seed.
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The frames.
    pub fn frames(&self) -> Result<Frames> {
        let Some(detector) = self.simulate else {
            bail!("no detector to simulate");
        };
        let simulator = Simulator::with_detector(self.seed, Mix::Natural, detector);
        simulated(&simulator, self.distinct)
    }
}

/// The detector called `name`, as in `eiger4m`.
pub fn detector(name: &str) -> Result<Detector, String> {
    let found = Detector::ALL
        .into_iter()
        .find(|detector| detector.name() == name);
    found.ok_or_else(|| format!("there are {}", detectors()))
}

/// The names of all detectors.
pub fn detectors() -> String {
    Detector::ALL.map(Detector::name).join(", ")
}

/// The first `count` frames of a simulator whose detector is fixed.
pub fn simulated(simulator: &Simulator, count: u64) -> Result<Frames> {
    let progress = Progress::start("simulating", count);
    let made: Vec<Simulated> = (0..count)
        .into_par_iter()
        .map(|index| {
            let frame = simulator.frame(index);
            progress.advance();
            frame
        })
        .collect();
    progress.clear();
    let mut frames = Frames::default();
    for (index, frame) in made.into_iter().enumerate() {
        let module = describe(&frame);
        let held = HeldFrame {
            module: Some(frames.number(&module)?),
            slot: SlotFrame::fresh(&module, index as u64 + 1, &frame.payload)?,
            label: Some(frame.truth.class),
            origin: format!("simulated {} //{index}", frame.set),
        };
        frames.frames.push(held);
    }
    Ok(frames)
}

/// What a header or a sidecar would say of the frame.
pub fn metadata(frame: &Simulated) -> Metadata {
    let mask = (!frame.mask.is_empty()).then(|| Mask {
        columns: frame.columns,
        rows: frame.rows,
        bits: frame.mask.clone(),
    });
    Metadata {
        geometry: frame.announced,
        detector: Some(frame.set.into()),
        gain: 1.0,
        saturation: Some(frame.saturation),
        offset: 0.0,
        mask_values: frame.mask_values.to_vec(),
        mask,
    }
}

fn describe(frame: &Simulated) -> Module {
    let metadata = metadata(frame);
    Module {
        columns: frame.columns,
        rows: frame.rows,
        pixel_type: module::pixel_type_name(frame.pixel_type).into(),
        raw: false,
        compressed: false,
        about: Sidecar::from(&metadata),
        excluded: metadata.mask.as_ref().map(module::runs).unwrap_or_default(),
    }
}

/// The pixels of a frame as numbers.
pub fn image(frame: &Simulated) -> hitgate_formats::Image {
    use hitgate_formats::Pixels;
    let bytes = &frame.payload;
    macro_rules! pixels {
        ($kind:ident, $type:ty) => {{
            let of = |b: &[u8]| <$type>::from_le_bytes(std::array::from_fn(|i| b[i]));
            Pixels::$kind(bytes.chunks_exact(size_of::<$type>()).map(of).collect())
        }};
    }
    hitgate_formats::Image {
        columns: frame.columns,
        rows: frame.rows,
        pixels: match frame.pixel_type {
            PixelType::U8 => pixels!(U8, u8),
            PixelType::U16 => pixels!(U16, u16),
            PixelType::U32 => pixels!(U32, u32),
            PixelType::I16 => pixels!(I16, i16),
            PixelType::I32 => pixels!(I32, i32),
        },
    }
}
