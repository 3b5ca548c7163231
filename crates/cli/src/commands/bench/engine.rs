//! What scores the frames of a measurement.

use clap::ValueEnum;
use hitgate_core::frame::{Fault, Frame};
use hitgate_core::pipeline::{Backend, MAX_BATCH, Scored};
use hitgate_core::prep::Preparation;
use hitgate_core::verdict::{Class, Score};
use hitgate_cuda::driver::Failed;
use hitgate_import::metrics;
use hitgate_kernels::Level;

use crate::backend::Processor;
use crate::float::FloatModel;

/// What runs the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    /// The filter itself: a model file (.hgm), in integers
    Native,
    /// tract: an ONNX file, in floats
    Tract,
    /// No network: takes each frame and keeps it, unseen
    None,
}

impl EngineArg {
    /// Its word on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            EngineArg::Native => "native",
            EngineArg::Tract => "tract",
            EngineArg::None => "none",
        }
    }
}

/// The middle of the path.
#[expect(
    clippy::large_enum_variant,
    reason = "a path has one, which stays where it is"
)]
pub enum Engine<'m> {
    /// The filter itself, which takes at most so many frames at once.
    Native {
        processor: Processor<'m>,
        batch: usize,
    },
    /// A float network behind the same preparation.
    Tract {
        net: &'m FloatModel,
        preparations: &'m [Preparation<'m>],
        level: Level,
        words: Vec<u32>,
        map: Vec<u8>,
    },
    /// Keeps every frame: what is left is the ring, the record and the machine's own noise.
    Empty,
}

impl<'m> Engine<'m> {
    /// A float network with the memory that it needs.
    pub fn tract(net: &'m FloatModel, preparations: &'m [Preparation<'m>]) -> Self {
        let most = |of: fn(&Preparation<'m>) -> usize| preparations.iter().map(of).max();
        Engine::Tract {
            net,
            preparations,
            level: Level::detect(),
            words: vec![0; most(Preparation::words).unwrap_or(0)],
            map: vec![0; most(Preparation::map_bytes).unwrap_or(0)],
        }
    }

    /// Why the GPU was lost, if it was.
    pub fn lost(&self) -> Option<Failed> {
        match self {
            Engine::Native { processor, .. } => processor.lost(),
            Engine::Tract { .. } | Engine::Empty => None,
        }
    }
}

impl Backend for Engine<'_> {
    const BATCH: usize = Processor::BATCH;

    fn batch(&self) -> usize {
        match self {
            Engine::Native { processor, batch } => processor.batch().min(*batch),
            Engine::Tract { .. } | Engine::Empty => 1,
        }
    }

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        match self {
            Engine::Native { processor, .. } => processor.score(frames, now_ns),
            Engine::Tract {
                net,
                preparations,
                level,
                words,
                map,
            } => {
                let score = |frame: &Frame<'_>| {
                    let started = now_ns();
                    let module = usize::from(frame.header.module_id);
                    let prepared = match preparations.get(module) {
                        Some(preparation) => preparation.run(*level, frame, words, map),
                        None => Err(Fault::UnknownModule),
                    };
                    let prepared_at = now_ns();
                    let logits = prepared.and_then(|_| net.logits(map).map_err(|_| Fault::Backend));
                    Scored {
                        score: logits.map(of_floats),
                        in_domain: true,
                        decode_ns: 0,
                        prep_ns: prepared_at.saturating_sub(started),
                        net_ns: now_ns().saturating_sub(prepared_at),
                    }
                };
                frames.iter().take(MAX_BATCH).map(score).collect()
            }
            Engine::Empty => {
                let kept = Scored {
                    score: Ok(KEEP),
                    in_domain: true,
                    decode_ns: 0,
                    prep_ns: 0,
                    net_ns: 0,
                };
                frames.iter().take(MAX_BATCH).map(|_| kept).collect()
            }
        }
    }
}

const KEEP: Score = Score {
    hit: u16::MAX,
    maybe: 0,
    miss: 0,
};

/// The score of a float network's logits.
fn of_floats(logits: [f32; 3]) -> Score {
    let p = metrics::Scored::from_logits(Class::Hit, logits, 1.0).p;
    let [hit, maybe, miss] = p.map(|p| (p * 65536.0).min(65535.0) as u16);
    Score { hit, maybe, miss }
}
