//! All that judges, with the memory that it works in: made on one thread, it judges on another.

use std::sync::Arc;

use anyhow::Result;
use hitgate_core::frame::Frame;
use hitgate_core::interlock::Rules;
use hitgate_core::pipeline::{Backend, Bank, MAX_BATCH, Scored};
use hitgate_core::prep::Preparation;
use hitgate_cuda::driver::Failed;
use self_cell::{MutBorrow, self_cell};

use crate::backend::{Hardware, Processor};
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

/// What a [`Processor`] borrows.
struct Parts {
    modules: Modules,
    memory: MutBorrow<FilterMemory>,
}

self_cell! {
    /// A [`Processor`] and what it borrows; to move it moves a pointer.
    pub struct OwnedProcessor {
        owner: Parts,
        #[not_covariant]
        dependent: Processor,
    }
}

impl OwnedProcessor {
    /// Why the GPU was lost, if it was.
    pub fn lost(&self) -> Option<Failed> {
        self.with_dependent(|_, processor| processor.lost())
    }
}

impl Backend for OwnedProcessor {
    const BATCH: usize = Processor::BATCH;

    fn batch(&self) -> usize {
        self.with_dependent(|_, processor| processor.batch())
    }

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        self.with_dependent_mut(|_, processor| processor.score(frames, now_ns))
    }

    fn map_of(&self, i: usize) -> Option<&[u8]> {
        self.with_dependent(|_, processor| processor.map_of(i))
    }

    fn fallen_back(&self) -> u64 {
        self.with_dependent(|_, processor| processor.fallen_back())
    }
}

/// The bank of a model file's bytes and of modules, whose pixels are raw words where there are maps for them, `raw`.
/// What is doubtful of a module's geometry is said.
///
/// # Errors
/// Where the file is no sound model, does not give its golden vector's answer, a module is impossible or has no
/// such words, or the GPU cannot take them.
pub fn bank(
    bytes: &[u8],
    modules: &[Module],
    filter: &FilterArgs,
    rules: Option<Rules>,
    raw: Option<&Arc<RawMaps>>,
    hardware: &Hardware,
) -> Result<Bank<Filter>> {
    let level = filter.level()?;
    let model = model::parse_for(bytes, filter.model.as_deref(), level)?;
    let policy = filter.policy(&model);
    let identity = identity(bytes, modules, &policy, rules, raw.map(Arc::as_ref))?;
    let prepared = prepare(modules, &model, raw)?;
    for (number, prepared) in prepared.iter().enumerate() {
        if let Some(doubt) = prepared.doubt() {
            tell!("hitgate: module {number}: {doubt}");
        }
    }
    let modules = Modules::new(prepared, |prepared| {
        prepared.iter().map(Prepared::preparation).collect()
    });
    let memory = FilterMemory::new(&model, level, modules.borrow_dependent()).into();
    let parts = Parts { modules, memory };
    let processor = OwnedProcessor::try_new(parts, |Parts { modules, memory }| {
        let preparations = modules.borrow_dependent();
        let cpu = (memory.borrow_mut()).cpu(&model, level, preparations)?;
        hardware.processor(&model, preparations, cpu)
    })?;
    Ok(Bank {
        backend: Filter {
            processor,
            passes: false,
            caches: None,
            passed: false,
        },
        policy,
        identity,
    })
}
