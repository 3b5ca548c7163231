//! When may be dropped, as C says and hears it.

use core::mem::replace;

use hitgate_core::interlock::{self, Disarmed, Interlock, Rules};
use hitgate_core::link::Record;
use hitgate_core::verdict::Policy;

use crate::status::Status;
use crate::types::{self, InterlockRules};

/// `state` of an interlock: nobody asks for it, and misses are dropped.
pub const INTERLOCK_NONE: u32 = 0;
/// `state`: misses are dropped.
pub const INTERLOCK_ARMED: u32 = 1;
/// `state`: nobody has armed it since it began: nothing is dropped.
pub const INTERLOCK_NEVER_ARMED: u32 = 2;
/// `state`: one more lost hit, and more than `max_loss` may be lost: nothing is dropped.
pub const INTERLOCK_LOSS: u32 = 3;
/// `state`: too many frames are unlike those of the model's training: nothing is dropped.
pub const INTERLOCK_DOMAIN: u32 = 4;

/// The answers that came last, one a place: the second answer to a frame is no evidence, and is known as one until an
/// answer to another frame takes the place.
pub struct Answers([(u64, u32); 64]);

impl Answers {
    /// None yet.
    pub const NONE: Self = Answers([(0, 0); 64]);

    /// Takes note of an answer; whether none is known of the same frame. Where no ring has numbered it the checksum
    /// tells it from others.
    fn is_first(&mut self, record: &Record) -> bool {
        let frame = (record.seq, record.crc);
        let place = (record.seq ^ u64::from(record.crc)) as usize % self.0.len();
        replace(&mut self.0[place], frame) != frame
    }
}

/// Whoever drops, and may have to show first that few hits are lost.
pub trait Guarded {
    /// What decides.
    fn policy(&self) -> &Policy;

    /// What may object.
    fn interlock(&mut self) -> &mut Interlock;

    /// What was answered.
    fn answers(&mut self) -> &mut Answers;

    /// In shadow, by these rules, with nothing seen.
    fn begin(&mut self, rules: Rules);

    /// Drops only by these rules, from nothing seen on.
    fn guard(&mut self, rules: Rules) -> Result<(), Status> {
        if self.policy().sampling.one_in == 0 {
            return Err(Status::Argument);
        }
        self.begin(rules);
        Ok(())
    }

    /// Takes the answer of a second look, unless it came before.
    fn answered(&mut self, record: &Record, hit: bool) {
        if self.answers().is_first(record) {
            self.looked(record, hit);
        }
    }

    /// Takes the answer of a second look at the frame of `record`.
    fn looked(&mut self, record: &Record, hit: bool) {
        self.interlock().looked(record, hit);
    }

    /// Drops from now on, where the evidence is enough.
    fn arm(&mut self) -> Result<(), Status> {
        self.interlock().arm().map_err(|_| Status::NotArmed)
    }

    /// Whether it may drop, and what was seen.
    fn seen(&mut self) -> types::Interlock {
        let interlock = self.interlock();
        let total = interlock.total();
        types::Interlock {
            state: match (interlock.rules(), interlock.state()) {
                (None, _) => INTERLOCK_NONE,
                (_, Ok(())) => INTERLOCK_ARMED,
                (_, Err(Disarmed::Never)) => INTERLOCK_NEVER_ARMED,
                (_, Err(Disarmed::Loss { .. })) => INTERLOCK_LOSS,
                (_, Err(Disarmed::Domain { .. })) => INTERLOCK_DOMAIN,
            },
            loss_bound: interlock.loss_bound(),
            kept: looked(total.kept),
            missed: looked(total.missed),
            reserved: [0; 2],
        }
    }
}

/// The rules that C hands over.
pub fn rules_in(rules: &InterlockRules) -> Result<Rules, Status> {
    let max_loss = u16::try_from(rules.max_loss).map_err(|_| Status::Argument)?;
    let strays = u8::try_from(rules.strays).map_err(|_| Status::Argument)?;
    match max_loss > 0 && rules.window > 0 && strays <= 64 {
        true => Ok(Rules {
            max_loss,
            window: rules.window,
            strays,
        }),
        false => Err(Status::Argument),
    }
}

/// The record and the answer of a second look, as C hands them over.
pub fn look_in(record: &Record, hit: u32) -> Result<(Record, bool), Status> {
    let record = Record::parse(&record.to_bytes()).ok_or(Status::Argument)?;
    match hit {
        0 => Ok((record, false)),
        1 => Ok((record, true)),
        _ => Err(Status::Argument),
    }
}

const fn looked(seen: interlock::Looked) -> types::Looked {
    types::Looked {
        frames: seen.frames,
        looks: seen.looks,
        hits: seen.hits,
    }
}
