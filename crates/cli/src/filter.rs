//! The filter: model, preparations and policy, and the memory that they work in.

use anyhow::{Context, Result};
use clap::Args;
use hitgate_core::cpu::{Buffers, Cpu};
use hitgate_core::interlock::Rules;
use hitgate_core::link::Identity;
use hitgate_core::net::Model;
use hitgate_core::prep::Preparation;
use hitgate_core::verdict::{Policy, Sampling};
use hitgate_kernels::Level;
use std::path::PathBuf;
use std::sync::Arc;

use crate::model;
use crate::module::{Module, Prepared};
use crate::raw_maps::RawMaps;

/// What decides, as the command line says it.
#[derive(Args, Clone, Debug)]
pub struct FilterArgs {
    /// Model file (.hgm); the one built in if left out
    #[arg(long, value_name = "FILE")]
    pub model: Option<PathBuf>,
    /// Keep a frame when P(hit) + P(maybe) is at least this, from 0 to 1; the model's own if left out
    #[arg(long, value_name = "T", value_parser = probability)]
    pub threshold: Option<f64>,
    /// CPU level, such as scalar or avx2 (`inspect` lists them); the best one if left out
    #[arg(long, value_name = "LEVEL")]
    pub isa: Option<String>,
    /// Keep one in so many of the misses, drawn by a seeded hash of the pulse; 0 keeps none
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub sample: u16,
    /// Seed of the sample
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub sample_seed: u64,
    /// A decision that takes longer than this many microseconds keeps the frame
    #[arg(long, value_name = "US")]
    pub deadline_us: Option<u32>,
}

/// A number from 0 to 1, as the command line says it.
pub fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if (0.0..=1.0).contains(&p) => Ok(p),
        _ => Err("a number from 0 to 1 is needed".into()),
    }
}

impl FilterArgs {
    /// The CPU level to run on.
    pub fn level(&self) -> Result<Level> {
        match &self.isa {
            None => Ok(Level::detect()),
            Some(name) => Level::by_name(name).with_context(|| format!("--isa {name}")),
        }
    }

    /// The policy, with the model's threshold where none is given.
    pub fn policy(&self, model: &Model<'_>) -> Policy {
        Policy {
            threshold: match self.threshold {
                Some(t) => (t * 65536.0).round().min(65535.0) as u16,
                None => model.threshold(),
            },
            sampling: Sampling {
                seed: self.sample_seed,
                one_in: self.sample,
            },
            deadline_ns: self.deadline_us.map(|us| us.saturating_mul(1000)),
        }
    }
}

/// Memory for one [`Cpu`], made before the first frame.
pub struct FilterMemory {
    packed: Vec<u8>,
    arena: Vec<u8>,
    map: Vec<u8>,
    scratch: Vec<u32>,
}

impl FilterMemory {
    /// As much as the model needs on this level, with these preparations.
    pub fn new(model: &Model<'_>, level: Level, preparations: &[Preparation<'_>]) -> Self {
        let needs = Cpu::memory(model, level, preparations);
        FilterMemory {
            packed: vec![0; needs.packed],
            arena: vec![0; needs.arena],
            map: vec![0; needs.map],
            scratch: vec![0; needs.scratch],
        }
    }

    /// The backend, in this memory.
    pub fn cpu<'m>(
        &'m mut self,
        model: &Model<'_>,
        level: Level,
        preparations: &'m [Preparation<'m>],
    ) -> Result<Cpu<'m>> {
        let FilterMemory {
            packed,
            arena,
            map,
            scratch,
        } = self;
        let buffers = Buffers {
            packed,
            arena,
            map,
            scratch,
        };
        Cpu::new(model, level, preparations, buffers).context("this model does not fit the path")
    }
}

/// Places each module's window as the model asks. Pixels are raw words where there are maps for them, `raw`.
pub fn prepare(
    modules: &[Module],
    model: &Model<'_>,
    raw: Option<&Arc<RawMaps>>,
) -> Result<Vec<Prepared>> {
    let prepare = |(i, module): (usize, &Module)| {
        module
            .prepare(model::input(model), raw)
            .with_context(|| format!("module {i}"))
    };
    modules.iter().enumerate().map(prepare).collect()
}

/// Which model and configuration decide: the configuration is everything that changes an answer.
pub fn identity(
    model: &[u8],
    modules: &[Module],
    policy: &Policy,
    rules: Option<Rules>,
    raw: Option<&RawMaps>,
) -> Result<Identity> {
    let mut config = crc32fast::Hasher::new();
    config.update(model);
    config.update(&serde_json::to_vec(modules)?);
    config.update(&policy.threshold.to_le_bytes());
    config.update(&policy.sampling.seed.to_le_bytes());
    config.update(&policy.sampling.one_in.to_le_bytes());
    config.update(&policy.deadline_ns.map_or([0; 5], |ns| {
        let [a, b, c, d] = ns.to_le_bytes();
        [1, a, b, c, d]
    }));
    if let Some(rules) = rules {
        config.update(&rules.max_loss.to_le_bytes());
        config.update(&rules.window.to_le_bytes());
        config.update(&[rules.strays]);
    }
    if let Some(raw) = raw {
        config.update(&raw.checksum().to_le_bytes());
    }
    Ok(Identity {
        model: crc32fast::hash(model),
        config: config.finalize(),
    })
}
