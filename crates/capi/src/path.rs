//! The loop over a ring, a frame a step.

use core::ptr;

use hitgate_core::frame::{Fault, Frame};
use hitgate_core::interlock::{Interlock, Rules};
use hitgate_core::link::{Link, Record, Refused, lost_cause};
use hitgate_core::pipeline::{Backend, Bank, MAX_BATCH, Pipeline, Scored};
use hitgate_core::verdict::{Policy, Verdict};
use hitgate_ring::{Lent, Reader, Seq};
use spin::Mutex;

use crate::abi::{Callbacks, Handle};
use crate::engine::{self, Engine};
use crate::interlock::{Answers, Guarded};
use crate::lendings::Lendings;
use crate::module::same_frames;
use crate::status::Status;
use crate::types::{Counters, Judged};
use crate::writer::damaged;

/// What calls may use while another is in a path.
pub struct Shared {
    /// Kept frames.
    pub lendings: &'static Lendings,
    engines: Mutex<Engines>,
}

/// Who judges, and who is to.
struct Engines {
    judging: &'static Handle<Engine>,
    next: Option<Bank<Scores>>,
}

impl Shared {
    /// Of a path that judges by `engine`.
    pub const fn new(lendings: &'static Lendings, engine: &'static Handle<Engine>) -> Self {
        let engines = Mutex::new(Engines {
            judging: engine,
            next: None,
        });
        Shared { lendings, engines }
    }

    /// From the next step on `engine` judges; of several that are asked for in between, the last.
    pub fn swap(&self, engine: &'static Handle<Engine>) -> Result<(), Status> {
        let bank = bank(engine)?;
        // Held only while it is looked at: nobody waits for long.
        let mut engines = self.engines.lock();
        same_frames(engines.judging.shared, engine.shared)?;
        // The one that judges already does not begin anew.
        engines.next = (!ptr::eq(engines.judging, engine)).then_some(bank);
        Ok(())
    }

    /// Who judges.
    pub fn judging(&self) -> &'static Handle<Engine> {
        self.engines.lock().judging
    }
}

/// The engine as that by which a path judges.
fn bank(engine: &'static Handle<Engine>) -> Result<Bank<Scores>, Status> {
    let entered = engine.enter()?;
    Ok(Bank {
        backend: Scores(engine),
        policy: entered.policy,
        identity: entered.identity,
    })
}

/// A ring's reading end, an engine, and what of the last step the caller has not seen.
pub struct Path {
    pipeline: Pipeline<'static, Scores, Kept>,
    node: Callbacks,
    answers: Answers,
    /// The frame that was lost last: the next one is not far.
    lost: Seq,
}

impl Path {
    /// A path over `reader`, which goes on where an earlier one stopped.
    pub fn new(
        reader: Reader<'static>,
        engine: &'static Handle<Engine>,
        lendings: &'static Lendings,
        node: Callbacks,
    ) -> Result<Self, Status> {
        let Bank {
            backend,
            policy,
            identity,
        } = bank(engine)?;
        let link = Kept {
            lendings,
            record: None,
            lost: None,
            lapped: None,
            slot: None,
        };
        Ok(Path {
            pipeline: Pipeline::new(reader, backend, policy, link, identity),
            node,
            answers: Answers::NONE,
            lost: Seq::FIRST,
        })
    }

    /// Judges one frame, by the engine that was asked for last.
    pub fn step(&mut self, shared: &Shared) -> Result<Judged, Status> {
        self.enter_lost();
        // Where somebody else is looking, the next step does it. The engine before is free once it is not in the
        // pipeline any more.
        if let Some(mut engines) = shared.engines.try_lock()
            && let Some(bank) = engines.next.take()
        {
            let judging = bank.backend.0;
            self.pipeline.swap(bank);
            engines.judging = judging;
        }
        loop {
            let judged = self.pipeline.step(&mut self.node).map_err(damaged)?;
            if judged == 0 {
                return Err(match self.pipeline.reader().finished() {
                    true => Status::End,
                    false => Status::Empty,
                });
            }
            // A frame that was judged and dropped before a crash was told of then.
            if let Some(judged) = self.pipeline.link.take() {
                return Ok(judged);
            }
        }
    }

    /// Tells the writer's side that this end is alive.
    pub fn heartbeat(&mut self, now_ms: u32) {
        self.pipeline.reader().heartbeat(now_ms);
    }

    /// The books.
    pub fn counters(&mut self) -> Counters {
        self.enter_lost();
        engine::counters(self.pipeline.accounts())
    }

    /// Enters the kept frames that the caller did not send.
    fn enter_lost(&mut self) {
        let lendings = self.pipeline.link.lendings;
        while let Some((record, frame)) = lendings.take_lost(self.lost) {
            self.lost = frame.seq();
            // In the books before its slot goes back: a path that dies here has not lost a frame in silence.
            self.pipeline.lose(&record);
            drop(frame);
        }
    }

    /// Stops in good order. Slots that are still out are read again by the next reader.
    pub fn close(&mut self) {
        self.enter_lost();
        let reader = self.pipeline.reader();
        reader.reclaim();
        reader.close();
    }
}

impl Guarded for Path {
    fn policy(&self) -> &Policy {
        &self.pipeline.policy
    }

    fn interlock(&mut self) -> &mut Interlock {
        &mut self.pipeline.interlock
    }

    fn answers(&mut self) -> &mut Answers {
        &mut self.answers
    }

    fn begin(&mut self, rules: Rules) {
        self.pipeline.guard(rules);
    }
}

/// The engine as the path's backend. Where another thread is in it, the frame is kept as a fault.
struct Scores(&'static Handle<Engine>);

impl Backend for Scores {
    const BATCH: usize = 1;

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        match self.0.enter() {
            Ok(mut engine) => engine.score_frames(frames, now_ns),
            Err(_) => frames
                .iter()
                .take(MAX_BATCH)
                .map(|_| Scored::fault(Fault::Backend))
                .collect(),
        }
    }
}

/// Holds what one step says until the caller takes it, and kept frames until they are returned or lost.
struct Kept {
    lendings: &'static Lendings,
    record: Option<Record>,
    lost: Option<Record>,
    lapped: Option<Record>,
    slot: Option<(*const u8, usize)>,
}

impl Kept {
    fn take(&mut self) -> Option<Judged> {
        let lost = self.lost.take().unwrap_or_default();
        let lapped = self.lapped.take().unwrap_or_default();
        let (slot, slot_len) = self.slot.take().unwrap_or((core::ptr::null(), 0));
        self.record.take().map(|record| Judged {
            record,
            lost,
            lapped,
            slot,
            slot_len,
        })
    }
}

impl Link<'static> for Kept {
    fn keep(&mut self, record: &Record, frame: Lent<'static>) -> Result<(), Refused> {
        let slot = (frame.bytes().as_ptr(), frame.bytes().len());
        self.lendings.lend(record, frame)?;
        (self.record, self.slot) = (Some(*record), Some(slot));
        Ok(())
    }

    fn record(&mut self, record: &Record) {
        match record.verdict() {
            Verdict::Lost if record.spots == lost_cause::LAPPED => self.lapped = Some(*record),
            Verdict::Lost => self.lost = Some(*record),
            _ => self.record = Some(*record),
        }
    }
}
