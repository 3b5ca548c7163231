//! What is timed: a path over frames of one panel, which any core can set up for itself.

use anyhow::{Result, bail};
use hitgate_core::frame::Frame;
use hitgate_core::link::{Identity, LentQueue};
use hitgate_core::pipeline::{MAX_BATCH, Pipeline};
use hitgate_core::prep::{Preparation, Reduce};
use hitgate_core::verdict::Policy;
use hitgate_host::Ring;
use hitgate_import::random;
use hitgate_kernels::Level;
use hitgate_ring::{Layout, Writer};
use rayon::prelude::*;

use super::BenchArgs;
use super::engine::{Engine, EngineArg};
use super::panel::{Panel, View};
use crate::backend::Hardware;
use crate::filter::{FilterMemory, identity};
use crate::float::FloatModel;
use crate::model;
use crate::module::{Input, Module, Prepared};
use crate::slot::{SlotFrame, put, stride};

/// A network, its preparations, and frames for it.
pub struct Subject {
    /// What runs the network.
    pub engine: EngineArg,
    /// The network.
    pub network: Network,
    /// The CPU level.
    pub level: Level,
    /// What scores frames.
    pub hardware: Hardware,
    /// How many at once, at most.
    pub batch: usize,
    /// The frames.
    pub panel: Panel,
    /// The same, where they come compressed.
    compressed: Option<Vec<SlotFrame>>,
    /// One for each [`View`].
    prepared: Vec<Prepared>,
    policy: Policy,
    identity: Identity,
}

/// A network's file.
pub enum Network {
    /// In integers.
    Native {
        bytes: Vec<u8>,
        /// A few words for people.
        name: String,
        /// The width that was asked for; `None` of a model.
        width: Option<f64>,
    },
    /// In floats.
    Float { net: FloatModel, name: String },
}

/// The path of a measurement: what is kept comes back at once.
pub type Path<'r, 'e> = Pipeline<'r, Engine<'e>, LentQueue<'r, MAX_BATCH>>;

/// The input of a network of which only the width is given, as in most papers.
const INPUT: u32 = 224;
const SEED: u64 = 1;

impl Network {
    /// The network that the command line asks for.
    pub fn open(args: &BenchArgs) -> Result<Self> {
        if args.engine == EngineArg::Tract {
            let Some(path) = &args.filter.model else {
                bail!("--engine tract runs an ONNX file: give it with --model");
            };
            if args.filter.isa.is_some() {
                bail!("tract chooses its own instructions: leave out --isa");
            }
            let name = path.display().to_string();
            let net = FloatModel::open(path, None)?;
            return Ok(Network::Float { net, name });
        }
        let (bytes, name) = match (args.width, &args.filter.model) {
            (Some(width), _) => {
                if !(0.05..=4.0).contains(&width) {
                    bail!("a network of width {width}: 0.05 to 4 can be timed");
                }
                let input = args.input.unwrap_or(INPUT);
                let bytes = random::file(width as f32, input, Reduce::Maximum.channels(), SEED)?;
                (bytes, "random weights".into())
            }
            (None, Some(path)) => (model::bytes(Some(path))?, path.display().to_string()),
            (None, None) => (model::EMBEDDED.to_vec(), "the model built in".into()),
        };
        model::parse_for(&bytes, args.filter.model.as_deref(), args.filter.level()?)?;
        Ok(Network::Native {
            bytes,
            name,
            width: args.width,
        })
    }

    /// What it asks of the preparation.
    pub fn input(&self) -> Result<Input> {
        match self {
            Network::Native { bytes, .. } => Ok(model::input(&model::parse(bytes, None)?)),
            Network::Float { net, .. } => Ok(net.input),
        }
    }

    /// Multiply-adds of one map, where they are known.
    pub fn multiply_adds(&self) -> Result<Option<u64>> {
        match self {
            Network::Native { bytes, .. } => Ok(Some(model::parse(bytes, None)?.multiply_adds())),
            Network::Float { .. } => Ok(None),
        }
    }

    /// The width that was asked for; of a model, channels of the first layer over those at width 1.
    /// Those are a multiple of eight, and what was asked for is not always told by them.
    pub fn width(&self) -> Result<Option<f64>> {
        let full = f64::from(hitgate_import::model::STEM_CHANNELS);
        match self {
            Network::Native {
                width: Some(width), ..
            } => Ok(Some(*width)),
            Network::Native { bytes, .. } => {
                let model = model::parse(bytes, None)?;
                Ok(Some(model.stem().channels() as f64 / full))
            }
            Network::Float { .. } => Ok(None),
        }
    }

    /// CRC-32 of the model file.
    pub fn crc(&self) -> Option<String> {
        match self {
            Network::Native { bytes, .. } => Some(format!("{:08x}", crc32fast::hash(bytes))),
            Network::Float { .. } => None,
        }
    }

    /// What people know it by.
    pub fn name(&self) -> &str {
        match self {
            Network::Native { name, .. } | Network::Float { name, .. } => name,
        }
    }

    /// The model file that decides; a float network has none, and the one built in lends its policy.
    pub fn file(&self) -> &[u8] {
        match self {
            Network::Native { bytes, .. } => bytes,
            Network::Float { .. } => model::EMBEDDED,
        }
    }
}

impl Subject {
    /// Simulates the frames, and places the windows that the network asks for.
    pub fn new(
        args: &BenchArgs,
        network: Network,
        hardware: Hardware,
        mut panel: Panel,
    ) -> Result<Self> {
        for module in &mut panel.modules {
            module.compressed = args.compressed;
        }
        let compress = || panel.frames.par_iter().map(SlotFrame::compressed).collect();
        let compressed = args.compressed.then(compress).transpose()?;
        let policy = args.filter.policy(&model::parse(network.file(), None)?);
        let input = network.input()?;
        let place = |module: &Module| module.prepare(input, None);
        Ok(Subject {
            engine: args.engine,
            level: args.filter.level()?,
            prepared: panel.modules.iter().map(place).collect::<Result<_>>()?,
            policy,
            identity: identity(network.file(), &panel.modules, &policy, None, None)?,
            network,
            hardware,
            batch: args.batch(),
            panel,
            compressed,
        })
    }

    /// The preparation of each [`View`].
    pub fn preparations(&self) -> Vec<Preparation<'_>> {
        self.prepared.iter().map(Prepared::preparation).collect()
    }

    /// Pixels that count in this view.
    pub fn pixels(&self, view: View) -> u64 {
        let window = self.prepared[view as usize].preparation().window;
        window.pixels(self.panel.columns, self.panel.rows)
    }

    /// Pixels that the filter reads in this view.
    pub fn pixels_read(&self, view: View) -> u64 {
        let window = self.prepared[view as usize].preparation().window;
        window.pixels_read(self.panel.columns, self.panel.rows)
    }

    /// Multiply-adds of a frame of this view, where they are known.
    pub fn multiply_adds(&self, view: View) -> Result<Option<u64>> {
        let Network::Native { bytes, .. } = &self.network else {
            return Ok(None);
        };
        let preparation = self.prepared[view as usize].preparation();
        let mut map = vec![0; preparation.map_bytes()];
        let mut words = vec![0; preparation.words()];
        let frame = Frame::parse(self.frame(0).bytes()).map_err(|(fault, _)| fault)?;
        preparation.run(self.level, &frame, &mut words, &mut map)?;
        Ok(Some(model::parse(bytes, None)?.multiply_adds_of(&map)))
    }

    /// Gives `work` both ends of a ring of `slots` slots, the reading one with the path on it.
    pub fn on_a_ring<R>(
        &self,
        slots: u32,
        work: impl for<'r, 'e> FnOnce(Writer<'r>, Path<'r, 'e>) -> Result<R>,
    ) -> Result<R> {
        let model = model::parse(self.network.file(), None)?;
        let preparations = self.preparations();
        let mut memory = FilterMemory::new(&model, self.level, &preparations);
        let engine = match (self.engine, &self.network) {
            (EngineArg::None, _) => Engine::Empty,
            (_, Network::Native { .. }) => {
                let cpu = memory.cpu(&model, self.level, &preparations)?;
                Engine::Native {
                    processor: self.hardware.processor(&model, &preparations, cpu)?,
                    batch: self.batch,
                }
            }
            (_, Network::Float { net, .. }) => Engine::tract(net, &preparations),
        };
        let ring = Ring::anonymous(&Layout::new(slots, self.stride()?, slots)?, 1)?;
        let reader = ring.reader()?;
        let _registered = self.hardware.register(&ring);
        let path = Pipeline::new(reader, engine, self.policy, LentQueue::new(), self.identity);
        work(ring.writer()?, path)
    }

    /// Bytes of a slot.
    pub fn stride(&self) -> Result<u32> {
        let largest = self.frames().iter().map(SlotFrame::len).max();
        stride(largest.unwrap_or(0))
    }

    /// Writes the frame of this number, from 1 on, into the ring; `false` where that is full.
    pub fn put(&self, writer: &mut Writer<'_>, number: u64, view: View) -> Result<bool> {
        put(writer, self.frame(number), |header| {
            header.frame_number = number;
            header.module_id = view as u16;
        })
    }

    /// The frames as they come.
    fn frames(&self) -> &[SlotFrame] {
        self.compressed.as_deref().unwrap_or(&self.panel.frames)
    }

    /// The frame of this number: there are a few, over and over.
    pub fn frame(&self, number: u64) -> &SlotFrame {
        let frames = self.frames();
        &frames[(number % frames.len() as u64) as usize]
    }
}
