//! An engine in the caller's memory.

use half::slice::HalfBitsSliceExt;
use hitgate_core::correct::{Correction, STAGES};
use hitgate_core::cpu::{Buffers, Cpu, CpuError, Needs};
use hitgate_core::frame::FrameHeader;
use hitgate_core::link::{Identity, Record};
use hitgate_core::net::{Input, Model};
use hitgate_core::prep::Preparation;
use hitgate_core::verdict::{Policy, Sampling};
use hitgate_kernels::Level;

use super::guard;
use super::handle::{Handle, handle};
use super::info::model_bytes;
use super::memory::{Room, Size};
use super::pointer::{Out, reference, slice, versioned};
use crate::engine::{Engine, external_in, score_in, score_out};
use crate::module;
use crate::status::Status;
use crate::types::{self, Counters, EngineConfig, Memory, Module, Score};

/// `threshold` of an engine that takes the model's.
pub const THRESHOLD_OF_MODEL: u32 = 0xFFFF_FFFF;

/// `external`: nobody else decided.
pub const EXTERNAL_NONE: u32 = 0;
/// `external`: keep, whatever the network says. In the answer of a node's function so is any number that is
/// none of the three.
pub const EXTERNAL_KEEP: u32 = 1;
/// `external`: drop, unless something forces the frame to be kept.
pub const EXTERNAL_VETO: u32 = 2;

/// The memory that an engine of this configuration needs, on this CPU.
///
/// # Safety
/// `config`, and all that it points to, may be read, `memory` written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_engine_memory(
    config: *const EngineConfig,
    memory: *mut Memory,
) -> Status {
    guard(|| {
        // SAFETY: *writable*.
        let memory = unsafe { Out::new(memory) }?;
        // SAFETY: *readable*.
        let given = unsafe { Given::read(config) }?;
        let model = given.model()?;
        let needs = given.needs(&model, Level::detect())?;
        memory.set(given.size(needs)?.memory());
        Ok(())
    })
}

/// Makes an engine in `memory`, which is the library's from now on. It is refused where the model does not
/// give its golden vector's answer on this CPU.
///
/// # Safety
/// As for `hitgate_engine_memory`; `memory` may be written for `bytes` bytes until the last call with the
/// engine, and what the modules point to may be read until then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_engine_init(
    config: *const EngineConfig,
    memory: *mut u8,
    bytes: usize,
    engine: *mut *mut Engine,
) -> Status {
    guard(|| {
        // SAFETY: *writable*.
        let engine = unsafe { Out::new(engine) }?;
        // SAFETY: *readable*.
        let given = unsafe { Given::read(config) }?;
        let (model, level) = (given.model()?, Level::detect());
        let policy = given.policy(&model)?;
        let needs = given.needs(&model, level)?;
        // SAFETY: *given*.
        let mut room = unsafe { Room::new(memory, bytes, given.size(needs)?) }?;
        let (preparations, identity) = given.prepare(&mut room, &model.input(), &policy)?;
        let buffers = Buffers {
            packed: room.zeros(needs.packed)?,
            arena: room.zeros(needs.arena)?,
            map: room.zeros(needs.map)?,
            scratch: room.zeros(needs.scratch)?,
        };
        let cpu = Cpu::new(&model, level, preparations, buffers).map_err(|error| match error {
            CpuError::Memory => Status::Memory,
            // The preparations are made as the model asks: its channels are not those of its reduction.
            CpuError::Preparation(_) => Status::Model,
        })?;
        let made = Engine::new(&model, cpu, policy, identity)?;
        let made = room.value(Handle::new(made, preparations))?;
        engine.set(made.open());
        Ok(())
    })
}

/// Scores a frame: its header, then its payload, as in a slot. A frame that cannot be scored is no error of
/// the call: `score->fault` says why, and `hitgate_engine_decide` keeps it.
///
/// # Safety
/// `engine` is from `hitgate_engine_init`; `frame` may be read for `frame_len` bytes, which nobody writes
/// meanwhile, `score` written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_engine_score(
    engine: *const Engine,
    frame: *const u8,
    frame_len: usize,
    score: *mut Score,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let engine = unsafe { handle(engine) }?;
        // SAFETY: *readable*.
        let frame = unsafe { slice(frame, frame_len) }?;
        // SAFETY: *writable*.
        let score = unsafe { Out::new(score) }?;
        score.set(score_out(&engine.enter()?.score(frame)));
        Ok(())
    })
}

/// Scores a map that is prepared already, by an FPGA say: `input_size * input_size * channels` levels of
/// 0 to 127, channels last, row after row.
///
/// # Safety
/// `engine` is from `hitgate_engine_init`; `map` may be read for `map_len` bytes, `score` written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_engine_score_prepared(
    engine: *const Engine,
    map: *const u8,
    map_len: usize,
    score: *mut Score,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let engine = unsafe { handle(engine) }?;
        // SAFETY: *readable*.
        let map = unsafe { slice(map, map_len) }?;
        // SAFETY: *writable*.
        let score = unsafe { Out::new(score) }?;
        score.set(score_out(&engine.enter()?.score_prepared(map)?));
        Ok(())
    })
}

/// Decides by a score: the frame's record, which is entered in the engine's books. `elapsed_ns` is the time
/// since the frame was taken; `external` one of HITGATE_EXTERNAL_*. A score that no call has written, all zeros or any
/// other whose probabilities are not fractions of one whole, keeps the frame as HITGATE_FAULT_BACKEND. An engine drops
/// from its first frame on, unless it is guarded (`hitgate_engine_guard`).
///
/// # Safety
/// `engine` is from `hitgate_engine_init`; `header` and `score` may be read, `record` written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_engine_decide(
    engine: *const Engine,
    header: *const FrameHeader,
    score: *const Score,
    external: u32,
    elapsed_ns: u64,
    record: *mut Record,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let engine = unsafe { handle(engine) }?;
        // SAFETY: *readable*; a header is numbers alone.
        let header = unsafe { reference(header) }?;
        // SAFETY: *readable*; a score is numbers alone.
        let score = unsafe { reference(score) }?;
        // SAFETY: *writable*.
        let record = unsafe { Out::new(record) }?;
        let (scored, external) = (score_in(score)?, external_in(external)?);
        let mut engine = engine.enter()?;
        let decided = engine.decide(header, &scored, external, elapsed_ns);
        record.set(decided);
        Ok(())
    })
}

/// `next` goes on for `engine`, with its books, which begin anew there: for another model, calibration or policy,
/// packed and proved by `hitgate_engine_init` on any thread. Score and decide by `next` from now on; a frame that
/// `engine` has scored `engine` decides, before this call. Where `engine` is guarded `next` is, by the same rules,
/// in shadow. The way back is the same call the other way round. HITGATE_STATUS_MODULE where their modules are not
/// for the same frames: as for `hitgate_path_swap` there is no way back from one with `compressed` 1 to one with 0.
///
/// # Safety
/// Both are from `hitgate_engine_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_engine_swap(engine: *const Engine, next: *const Engine) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let engine = unsafe { handle(engine) }?;
        // SAFETY: *given*.
        let next = unsafe { handle(next) }?;
        if core::ptr::eq(engine, next) {
            return Err(Status::Argument);
        }
        module::same_frames(engine.shared, next.shared)?;
        next.enter()?.succeed(&mut *engine.enter()?);
        Ok(())
    })
}

/// The books of `hitgate_engine_decide`.
///
/// # Safety
/// `engine` is from `hitgate_engine_init`; `counters` may be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hitgate_engine_counters(
    engine: *const Engine,
    counters: *mut Counters,
) -> Status {
    guard(|| {
        // SAFETY: *given*.
        let engine = unsafe { handle(engine) }?;
        // SAFETY: *writable*.
        let counters = unsafe { Out::new(counters) }?;
        counters.set(engine.enter()?.counters());
        Ok(())
    })
}

/// A configuration whose pointers were looked at.
struct Given {
    config: EngineConfig,
    model: &'static [u8],
    modules: &'static [Module],
}

/// What a module points to.
struct Pointed {
    mask: &'static [u8],
    mask_values: &'static [i64],
    corrections: &'static [types::Correction],
    pixels: usize,
}

impl Given {
    /// # Safety
    /// *Readable*, the modules' maps for as long as the engine is used.
    unsafe fn read(config: *const EngineConfig) -> Result<Self, Status> {
        // SAFETY: *readable*.
        let config = *unsafe { versioned(config) }?;
        if config.reserved != 0 {
            return Err(Status::Argument);
        }
        // SAFETY: *readable*.
        let model = unsafe { model_bytes(config.model, config.model_len) }?;
        // SAFETY: *readable*; modules are numbers and pointers.
        let modules = unsafe { slice(config.modules, config.module_count as usize) }?;
        for module in modules {
            // SAFETY: *readable*.
            unsafe { versioned(module) }?;
        }
        Ok(Given {
            config,
            model,
            modules,
        })
    }

    fn model(&self) -> Result<Model<'static>, Status> {
        Model::parse(self.model).map_err(|_| Status::Model)
    }

    fn policy(&self, model: &Model<'_>) -> Result<Policy, Status> {
        let sixteen = |n: u32| u16::try_from(n).map_err(|_| Status::Argument);
        Ok(Policy {
            threshold: match self.config.threshold {
                THRESHOLD_OF_MODEL => model.threshold(),
                threshold => sixteen(threshold)?,
            },
            sampling: Sampling {
                seed: self.config.sample_seed,
                one_in: sixteen(self.config.sample_one_in)?,
            },
            deadline_ns: match self.config.deadline_ns {
                0 => None,
                deadline_ns => Some(deadline_ns),
            },
        })
    }

    /// What the network and the largest preparation need.
    fn needs(&self, model: &Model<'_>, level: Level) -> Result<Needs, Status> {
        let mut needs = Cpu::memory(model, level, &[]);
        for module in self.modules {
            let pointed = Pointed::by(module)?;
            let first = pointed.corrections.first();
            let first = first.map(|maps| pointed.correction(maps)).transpose()?;
            // One storage cell stands for all: they need the same memory.
            let preparation = pointed.preparation(module, first.as_slice(), &model.input())?;
            let with = Cpu::memory(model, level, core::slice::from_ref(&preparation));
            needs.scratch = needs.scratch.max(with.scratch);
        }
        Ok(needs)
    }

    /// In the order in which `hitgate_engine_init` takes it.
    fn size(&self, needs: Needs) -> Result<Size, Status> {
        Size::default()
            .and::<Correction<'_>>(self.cells()?)?
            .and::<Preparation<'_>>(self.modules.len())?
            .and::<u8>(needs.packed)?
            .and::<u8>(needs.arena)?
            .and::<u8>(needs.map)?
            .and::<u32>(needs.scratch)?
            .and::<Handle<Engine>>(1)
    }

    /// Storage cells of all modules.
    fn cells(&self) -> Result<usize, Status> {
        let counts = self.modules.iter().map(|module| module.correction_count);
        let sum = counts.into_iter().try_fold(0_usize, usize::checked_add);
        sum.ok_or(Status::Argument)
    }

    /// The preparations, and the checksum of all that changes an answer.
    fn prepare(
        &self,
        room: &mut Room,
        input: &Input,
        policy: &Policy,
    ) -> Result<(&'static [Preparation<'static>], Identity), Status> {
        let mut config = crc32fast::Hasher::new();
        config.update(self.model);
        let mut cells = (self.modules.iter()).flat_map(|module| {
            (0..module.correction_count).map(move |cell| {
                let pointed = Pointed::by(module)?;
                let maps = pointed.corrections.get(cell).ok_or(Status::Argument)?;
                Ok((pointed.correction(maps)?, pointed.maps(maps)?))
            })
        });
        let mut corrections: &'static [Correction<'static>] = room.values(self.cells()?, || {
            let (correction, maps) = cells.next().ok_or(Status::Argument)??;
            for word in maps.into_iter().flatten() {
                config.update(&word.to_le_bytes());
            }
            Ok(correction)
        })?;
        let mut modules = self.modules.iter();
        let preparations = room.values(self.modules.len(), || {
            let module = modules.next().ok_or(Status::Argument)?;
            let own = corrections.split_off(..module.correction_count);
            let pointed = Pointed::by(module)?;
            let own = own.ok_or(Status::Argument)?;
            let preparation = pointed.preparation(module, own, input)?;
            module::enter(&mut config, &preparation, pointed.mask);
            Ok(preparation)
        })?;
        config.update(&policy.threshold.to_le_bytes());
        config.update(&policy.sampling.seed.to_le_bytes());
        config.update(&policy.sampling.one_in.to_le_bytes());
        config.update(&policy.deadline_ns.unwrap_or(0).to_le_bytes());
        let identity = Identity {
            model: crc32fast::hash(self.model),
            config: config.finalize(),
        };
        Ok((preparations, identity))
    }
}

impl Pointed {
    /// What `module`, which [`Given::read`] found readable, points to.
    fn by(module: &Module) -> Result<Self, Status> {
        let pixels = module::pixels(module)?;
        // SAFETY: *readable* for as long as the engine is used, as `Given::read` demands.
        let mask = unsafe { slice(module.mask, module.mask_len) }?;
        // SAFETY: *readable*, as above.
        let mask_values = unsafe { slice(module.mask_values, module.mask_value_count) }?;
        // SAFETY: *readable*, as above; corrections are pointers, which may be anything.
        let corrections = unsafe { slice(module.corrections, module.correction_count) }?;
        Ok(Pointed {
            mask,
            mask_values,
            corrections,
            pixels,
        })
    }

    /// The pedestals, then the gains, stage by stage.
    fn maps(&self, maps: &types::Correction) -> Result<[&'static [u16]; 2 * STAGES], Status> {
        let mut found: [&'static [u16]; 2 * STAGES] = [&[]; 2 * STAGES];
        let pointers = maps.pedestals.iter().chain(&maps.gains);
        for (found, pointer) in found.iter_mut().zip(pointers) {
            // SAFETY: *readable* for as long as the engine is used, as `Given::read` demands.
            *found = unsafe { slice(*pointer, self.pixels) }?;
        }
        Ok(found)
    }

    fn correction(&self, maps: &types::Correction) -> Result<Correction<'static>, Status> {
        let [p0, p1, p2, g0, g1, g2] = self.maps(maps)?;
        let gains = [g0, g1, g2].map(|gains| gains.reinterpret_cast());
        Correction::new([p0, p1, p2], gains, self.pixels).ok_or(Status::Module)
    }

    fn preparation<'m>(
        &self,
        module: &Module,
        corrections: &'m [Correction<'m>],
        input: &Input,
    ) -> Result<Preparation<'m>, Status> {
        module::preparation(module, self.mask, self.mask_values, corrections, input)
    }
}
