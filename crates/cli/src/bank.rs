//! All that judges, with the memory that it works in: made on one thread, it judges on another.

use std::sync::Arc;

use anyhow::Result;
use hitgate_core::cpu::Cpu;
use hitgate_core::frame::Frame;
use hitgate_core::interlock::Rules;
use hitgate_core::pipeline::{Backend, Bank, MAX_BATCH, Scored};
use hitgate_core::prep::Preparation;
use self_cell::{MutBorrow, self_cell};

use crate::filter::{FilterArgs, FilterMemory, identity, prepare};
use crate::model;
use crate::module::{Module, Prepared};
use crate::raw_maps::RawMaps;
use crate::standby::Filter;

type Preparations<'m> = Vec<Preparation<'m>>;

self_cell! {
    /// The modules, and how their frames are prepared.
    struct Modules {
        owner: Vec<Prepared>,
        #[covariant]
        dependent: Preparations,
    }
}

/// What a [`Cpu`] borrows.
struct Parts {
    modules: Modules,
    memory: MutBorrow<FilterMemory>,
}

self_cell! {
    /// A [`Cpu`] and what it borrows; to move it moves a pointer.
    pub struct OwnedCpu {
        owner: Parts,
        #[covariant]
        dependent: Cpu,
    }
}

impl Backend for OwnedCpu {
    const BATCH: usize = Cpu::BATCH;

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        self.with_dependent_mut(|_, cpu| cpu.score(frames, now_ns))
    }

    fn map_of(&self, i: usize) -> Option<&[u8]> {
        self.borrow_dependent().map_of(i)
    }
}

/// The bank of a model file's bytes and of modules, whose pixels are raw words where there are maps for them, `raw`.
/// What is doubtful of a module's geometry is said.
///
/// # Errors
/// Where the file is no sound model, does not give its golden vector's answer, or a module is impossible or has no
/// such words.
pub fn bank(
    bytes: &[u8],
    modules: &[Module],
    filter: &FilterArgs,
    rules: Option<Rules>,
    raw: Option<&Arc<RawMaps>>,
) -> Result<Bank<Filter>> {
    let level = filter.level()?;
    let model = model::parse_for(bytes, filter.model.as_deref(), level)?;
    let policy = filter.policy(&model);
    let identity = identity(bytes, modules, &policy, rules, raw.map(Arc::as_ref))?;
    let prepared = prepare(modules, &model, raw)?;
    for (number, prepared) in prepared.iter().enumerate() {
        if let Some(doubt) = prepared.doubt() {
            eprintln!("hitgate: module {number}: {doubt}");
        }
    }
    let modules = Modules::new(prepared, |prepared| {
        prepared.iter().map(Prepared::preparation).collect()
    });
    let memory = FilterMemory::new(&model, level, modules.borrow_dependent()).into();
    let cpu = OwnedCpu::try_new(Parts { modules, memory }, |Parts { modules, memory }| {
        (memory.borrow_mut()).cpu(&model, level, modules.borrow_dependent())
    })?;
    Ok(Bank {
        backend: Filter { cpu, passes: false },
        policy,
        identity,
    })
}
