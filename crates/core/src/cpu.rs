//! The backend that every machine has: preparation and network on one core.

use core::fmt;

use hitgate_kernels::Level;

use crate::frame::{Fault, Frame};
use crate::net::{Arena, Memory, Model, Plan, Statistics};
use crate::pipeline::{Backend, MAX_BATCH, Scored};
use crate::prep::Preparation;
use crate::verdict::Score;

/// Preparation and network on the calling thread, in memory that the caller gave.
pub struct Cpu<'m> {
    level: Level,
    preparations: &'m [Preparation<'m>],
    words: &'m mut [u32],
    map: &'m mut [u8],
    plan: Plan<'m>,
    arena: Arena<'m>,
    scale: f32,
    /// Cells of a map.
    cells: f32,
    /// What maps looked like in training.
    statistics: Statistics,
}

/// Memory for a [`Cpu`], as much as [`Cpu::memory`] says.
#[derive(Debug)]
pub struct Buffers<'m> {
    /// Packed weights.
    pub packed: &'m mut [u8],
    /// Activations.
    pub arena: &'m mut [u8],
    /// The map.
    pub map: &'m mut [u8],
    /// Words for the preparation.
    pub scratch: &'m mut [u32],
}

/// The lengths of [`Buffers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Bytes of packed weights.
    pub packed: usize,
    /// Bytes of activations.
    pub arena: usize,
    /// Bytes of the map.
    pub map: usize,
    /// Words for the preparation.
    pub scratch: usize,
}

/// Why a [`Cpu`] could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuError {
    /// A buffer is shorter than [`Cpu::memory`] says.
    Memory,
    /// Preparation number `.0` is for another input, or reduces otherwise, than the model.
    Preparation(usize),
}

impl fmt::Display for CpuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CpuError::Memory => f.write_str("a buffer is too short; ask Cpu::memory"),
            CpuError::Preparation(i) => {
                write!(
                    f,
                    "preparation {i} is not the one that the model was trained with"
                )
            }
        }
    }
}

impl core::error::Error for CpuError {}

impl<'m> Cpu<'m> {
    /// The memory that this model needs on this level, with these preparations.
    pub fn memory(model: &Model<'_>, level: Level, preparations: &[Preparation<'_>]) -> Needs {
        let Memory { packed, arena } = Plan::memory(model, level);
        let input = model.input();
        Needs {
            packed,
            arena,
            map: input.bytes(),
            scratch: preparations
                .iter()
                .map(Preparation::words)
                .max()
                .unwrap_or(0),
        }
    }

    /// Packs the model for the level. `preparations[i]` prepares the frames of module `i`.
    ///
    /// # Errors
    /// [`CpuError`] where memory, model and preparations do not fit each other.
    pub fn new(
        model: &Model<'_>,
        level: Level,
        preparations: &'m [Preparation<'m>],
        buffers: Buffers<'m>,
    ) -> Result<Self, CpuError> {
        let input = model.input();
        let fits = |p: &Preparation<'_>| {
            p.window.input == input.size
                && p.reduce == input.reduce
                && p.map_bytes() == input.bytes()
        };
        if let Some(i) = preparations.iter().position(|p| !fits(p)) {
            return Err(CpuError::Preparation(i));
        }
        let needs = Cpu::memory(model, level, preparations);
        if buffers.arena.len() < needs.arena || buffers.scratch.len() < needs.scratch {
            return Err(CpuError::Memory);
        }
        Ok(Cpu {
            level,
            preparations,
            words: buffers.scratch,
            map: buffers.map.get_mut(..needs.map).ok_or(CpuError::Memory)?,
            plan: Plan::new(model, level, buffers.packed).map_err(|_| CpuError::Memory)?,
            arena: Arena::new(buffers.arena),
            scale: model.head().scale(),
            cells: input.size as f32 * input.size as f32,
            statistics: model.statistics(),
        })
    }

    /// The map of the frame that was scored last.
    pub fn map(&self) -> &[u8] {
        self.map
    }

    /// The logits of a map that is prepared already: [`Input::bytes`](crate::net::Input::bytes) levels,
    /// channels last, row after row.
    ///
    /// # Errors
    /// [`Fault::Backend`] where the map has another length.
    pub fn logits(&mut self, map: &[u8]) -> Result<[i32; 3], Fault> {
        (self.plan.infer(&mut self.arena, map)).map_err(|_| Fault::Backend)
    }

    /// The score of such a map.
    ///
    /// # Errors
    /// Those of [`Cpu::logits`].
    pub fn score_prepared(&mut self, map: &[u8]) -> Result<Score, Fault> {
        Ok(Score::from_logits(self.logits(map)?, self.scale))
    }

    /// Whether such a map is like those of the model's training. Which of its cells hold valid pixels a map does
    /// not tell: of a frame the path asks that too.
    pub fn knows_the_like_of(&self, map: &[u8]) -> bool {
        self.statistics.contain_levels(self.level, map)
    }

    fn score_one(&mut self, frame: &Frame<'_>, now_ns: &impl Fn() -> u64) -> Scored {
        let started = now_ns();
        let module = usize::from(frame.header.module_id);
        let preparation = self.preparations.get(module).ok_or(Fault::UnknownModule);
        let decoded = preparation.and_then(|by| Ok((by, by.decode(frame, self.words)?)));
        let decoded_at = match frame.header.compression {
            0 => started,
            _ => now_ns(),
        };
        let prepared = decoded.and_then(|(preparation, (frame, words))| {
            preparation.run(self.level, &frame, words, self.map)
        });
        let in_domain = prepared.map_or(true, |found| {
            let valid = found.valid_cells as f32 / self.cells;
            self.statistics.contain(self.level, valid, self.map)
        });
        let prepared_at = now_ns();
        let score = prepared.and_then(|_| {
            let logits = self
                .plan
                .infer(&mut self.arena, self.map)
                .map_err(|_| Fault::Backend)?;
            Ok(Score::from_logits(logits, self.scale))
        });
        Scored {
            score,
            in_domain,
            decode_ns: decoded_at.saturating_sub(started),
            prep_ns: prepared_at.saturating_sub(decoded_at),
            net_ns: now_ns().saturating_sub(prepared_at),
        }
    }
}

impl Backend for Cpu<'_> {
    const BATCH: usize = 1;

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        frames
            .iter()
            .take(MAX_BATCH)
            .map(|frame| self.score_one(frame, now_ns))
            .collect()
    }

    fn map_of(&self, i: usize) -> Option<&[u8]> {
        (i == 0).then_some(&*self.map)
    }
}
