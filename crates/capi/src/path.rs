//! The loop over a ring, a frame a step.

use hitgate_core::frame::{Fault, Frame};
use hitgate_core::link::{Link, Record, Refused};
use hitgate_core::pipeline::{Backend, MAX_BATCH, Pipeline, Scored};
use hitgate_core::verdict::Verdict;
use hitgate_ring::{Layout, Lent, Reader, Seq};
use spin::Mutex;

use crate::abi::{Callbacks, Handle};
use crate::engine::{self, Engine};
use crate::status::Status;
use crate::types::{Counters, Judged};
use crate::writer::damaged;

/// A place for each slot, in the order of the ring: what is lent lies in the place of its slot.
pub type Lendings = [Mutex<Option<Lent<'static>>>];

/// The place of frame `seq` among `lendings`.
pub fn place(lendings: &Lendings, seq: Seq) -> Option<&Mutex<Option<Lent<'static>>>> {
    let slots = lendings.len() as u64;
    let place = seq.position().checked_rem(slots)?;
    lendings.get(place as usize)
}

/// Gives a kept frame's slot back to the ring.
pub fn give_back(lendings: &Lendings, seq: u64) -> Result<(), Status> {
    let seq = Seq::new(seq).ok_or(Status::NoSlot)?;
    // Held only while a frame goes in or out: nobody waits for long.
    let mut place = place(lendings, seq).ok_or(Status::NoSlot)?.lock();
    if place.as_ref().is_none_or(|lent| lent.seq() != seq) {
        return Err(Status::NoSlot);
    }
    // The place is free before the slot is: the ring may fill it, and the path lend it, at once.
    let lent = place.take();
    drop(place);
    drop(lent);
    Ok(())
}

/// A ring's reading end, an engine, and what of the last step the caller has not seen.
pub struct Path {
    pipeline: Pipeline<'static, Scores, Kept>,
    node: Callbacks,
}

impl Path {
    /// A path over `reader`, which goes on where an earlier one stopped.
    pub fn new(
        reader: Reader<'static>,
        engine: &'static Handle<Engine>,
        lendings: &'static Lendings,
        node: Callbacks,
    ) -> Result<Self, Status> {
        let (policy, identity) = {
            let engine = engine.enter()?;
            (engine.policy, engine.identity)
        };
        let link = Kept {
            lendings,
            record: None,
            lost: None,
            slot: None,
        };
        Ok(Path {
            pipeline: Pipeline::new(reader, Scores(engine), policy, link, identity),
            node,
        })
    }

    /// Judges one frame.
    pub fn step(&mut self) -> Result<Judged, Status> {
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
    pub fn counters(&self) -> Counters {
        engine::counters(self.pipeline.accounts())
    }

    /// Stops in good order. Slots that are still out are read again by the next reader.
    pub fn close(&mut self) {
        let reader = self.pipeline.reader();
        reader.reclaim();
        reader.close();
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

/// Holds what one step says until the caller takes it, and kept frames until they are returned.
struct Kept {
    lendings: &'static Lendings,
    record: Option<Record>,
    lost: Option<Record>,
    slot: Option<(*const u8, usize)>,
}

impl Kept {
    fn take(&mut self) -> Option<Judged> {
        let lost = self.lost.take().unwrap_or_default();
        let (slot, slot_len) = self.slot.take().unwrap_or((core::ptr::null(), 0));
        self.record.take().map(|record| Judged {
            record,
            lost,
            slot,
            slot_len,
        })
    }
}

impl Link<'static> for Kept {
    fn keep(&mut self, record: &Record, frame: Lent<'static>) -> Result<(), Refused> {
        let mut place = place(self.lendings, frame.seq()).ok_or(Refused)?.lock();
        if place.is_some() {
            return Err(Refused);
        }
        self.record = Some(*record);
        self.slot = Some((frame.bytes().as_ptr(), frame.bytes().len()));
        *place = Some(frame);
        Ok(())
    }

    fn record(&mut self, record: &Record) {
        match record.verdict() {
            Verdict::Lost => self.lost = Some(*record),
            _ => self.record = Some(*record),
        }
    }
}

/// Places that a ring of this layout needs.
pub const fn places(layout: &Layout) -> usize {
    layout.slots() as usize
}
