//! What gives a frame its probabilities in an evaluation: the integers of the filter, or a float
//! network.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use hitgate_core::net::{Arena, Model, Plan};
use hitgate_core::verdict::{Class, Score};
use hitgate_import::metrics::Scored;

use crate::backend::Hardware;
use crate::complaints::Complaints;
use crate::filter::FilterArgs;
use crate::float::FloatModel;
use crate::module::Input;
use crate::reading::Reading;
use crate::screener::Screener;
use crate::{model, report};

/// What runs the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineArg {
    /// The filter itself: a model file (.hgm), in integers
    Native,
    /// tract: an ONNX file of any network, in floats; its classes are hit, maybe, miss
    Tract,
}

/// A network, ready to score maps and frames.
#[expect(
    clippy::large_enum_variant,
    reason = "a command makes one, and lends it to all threads"
)]
pub enum Scorer<'m> {
    /// In integers.
    Native {
        /// The model.
        model: Model<'m>,
        /// The file that it was read from.
        bytes: &'m [u8],
        /// The same, ready to run.
        plan: Plan<'m>,
        /// Bytes that a thread needs.
        arena: usize,
        /// What decides, for whole frames.
        filter: &'m FilterArgs,
    },
    /// In floats.
    Float(FloatModel),
}

/// Takes the index of a frame and its probabilities; says whether anybody has asked about it.
type Emit<'e> = dyn FnMut(usize, [f64; 3]) -> Result<bool> + 'e;

impl<'m> Scorer<'m> {
    /// The integers of the model file `bytes`, in the memory of `packed`.
    pub fn native(
        bytes: &'m [u8],
        filter: &'m FilterArgs,
        packed: &'m mut Vec<u8>,
    ) -> Result<Self> {
        let level = filter.level()?;
        let model = model::parse_for(bytes, filter.model.as_deref(), level)?;
        let memory = Plan::memory(&model, level);
        packed.resize(memory.packed, 0);
        Ok(Scorer::Native {
            plan: Plan::new(&model, level, packed)?,
            arena: memory.arena,
            model,
            bytes,
            filter,
        })
    }

    /// What the network asks of the preparation.
    pub fn input(&self) -> Input {
        match self {
            Scorer::Native { model, .. } => model::input(model),
            Scorer::Float(model) => model.input,
        }
    }

    /// A frame is kept when P(hit) + P(maybe) is at least this. An ONNX file says none: the paper's.
    pub fn threshold(&self, filter: &FilterArgs) -> f64 {
        match self {
            // Exact, as the scores are: a frame at the threshold is kept here as by the filter.
            Scorer::Native { model, .. } => f64::from(filter.policy(model).threshold) / 65536.0,
            Scorer::Float(_) => filter.threshold.unwrap_or(0.5),
        }
    }

    /// One thread's part of it.
    pub fn worker(&self) -> Worker<'_> {
        let arena = match self {
            Scorer::Native { arena, .. } => vec![0; *arena],
            Scorer::Float(_) => Vec::new(),
        };
        Worker {
            scorer: self,
            arena,
        }
    }

    /// Judges every frame of a file, as far as it can be judged; returns how many could not be read,
    /// having said why. One that is read and cannot be judged is kept: it counts as a hit.
    pub fn file(
        &self,
        path: &Path,
        reading: &Reading<'_>,
        complaints: &Complaints,
        emit: &mut Emit<'_>,
    ) -> Result<usize> {
        let hardware = Hardware::default();
        match self {
            Scorer::Native {
                model,
                bytes,
                filter,
                ..
            } => {
                let screener = Screener {
                    model: model.clone(),
                    model_bytes: bytes,
                    describe: reading.describe,
                    filter,
                    hardware: &hardware,
                    raw: reading.raw.clone(),
                    complaints,
                };
                screener.file(path, &mut |judged| {
                    let kept = Score {
                        hit: u16::MAX,
                        maybe: 0,
                        miss: 0,
                    };
                    let score = report::score(&judged.record);
                    let p = Scored::new(Class::Hit, score.unwrap_or(kept)).p;
                    if emit(judged.index, p)? && score.is_none() {
                        let why = report::reason_words(&judged.record);
                        tell_not_judged(complaints, path, judged.index, &why);
                    }
                    Ok(())
                })
            }
            Scorer::Float(model) => model.file(path, reading, complaints, &mut |index, logits| {
                let p = logits.map(|logits| Scored::from_logits(Class::Hit, logits, 1.0).p);
                if emit(index, p.unwrap_or([1.0, 0.0, 0.0]))? && p.is_none() {
                    tell_not_judged(complaints, path, index, &[]);
                }
                Ok(())
            }),
        }
    }
}

/// Figures hold such a frame for a hit, so it is told.
fn tell_not_judged(complaints: &Complaints, path: &Path, index: usize, reasons: &[String]) {
    let why = match reasons {
        [] => String::new(),
        reasons => format!(" ({})", reasons.join(", ")),
    };
    let path_of_frame = path.display();
    complaints.tell(
        path,
        format_args!(
            "{path_of_frame} //{index} cannot be judged{why}: it counts as a hit, as the filter keeps it"
        ),
    );
}

/// A scorer with the memory that one thread needs.
pub struct Worker<'s> {
    scorer: &'s Scorer<'s>,
    arena: Vec<u8>,
}

impl Worker<'_> {
    /// The score of a prepared map of known class.
    pub fn score(&mut self, map: &[u8], truth: Class) -> Result<Scored> {
        match self.scorer {
            Scorer::Native { model, plan, .. } => {
                let logits = plan.infer(&mut Arena::new(&mut self.arena), map)?;
                Ok(Scored::new(truth, model.score(logits)))
            }
            Scorer::Float(model) => Ok(Scored::from_logits(truth, model.logits(map)?, 1.0)),
        }
    }
}
