//! Scores and decides, frame by frame.

use hitgate_core::accounts::Accounts;
use hitgate_core::cpu::Cpu;
use hitgate_core::frame::{Fault, Frame, FrameHeader};
use hitgate_core::interlock::{Interlock, Rules};
use hitgate_core::link::{Identity, Record};
use hitgate_core::net::Model;
use hitgate_core::pipeline::{Backend, Scored};
use hitgate_core::verdict::{External, Policy, Score};
use hitgate_ring::Seq;

use crate::interlock::{Answers, Guarded};
use crate::status::Status;
use crate::types;

/// A model, the preparations of its modules and a policy, ready for frames.
pub struct Engine {
    cpu: Cpu<'static>,
    map_bytes: usize,
    /// What decides.
    pub policy: Policy,
    /// What stands in records.
    pub identity: Identity,
    accounts: Accounts,
    interlock: Interlock,
    answers: Answers,
}

impl Engine {
    /// An engine that gives the model's golden answer on this CPU.
    pub fn new(
        model: &Model<'_>,
        mut cpu: Cpu<'static>,
        policy: Policy,
        identity: Identity,
    ) -> Result<Self, Status> {
        let golden = model.golden();
        if cpu.logits(golden.map) != Ok(golden.logits) {
            return Err(Status::Golden);
        }
        Ok(Engine {
            cpu,
            map_bytes: model.input().bytes(),
            policy,
            identity,
            accounts: Accounts::default(),
            interlock: Interlock::none(),
            answers: Answers::NONE,
        })
    }

    /// The score of a frame as it lies in a slot, or why there is none.
    pub fn score(&mut self, slot: &[u8]) -> Scored {
        match Frame::parse(slot) {
            Ok(frame) => {
                let scored = self.score_frames(&[frame], &|| 0).pop();
                scored.unwrap_or(Scored::fault(Fault::Backend))
            }
            Err((fault, _)) => Scored::fault(fault),
        }
    }

    /// The score of a map that is prepared already.
    pub fn score_prepared(&mut self, map: &[u8]) -> Result<Scored, Status> {
        if map.len() != self.map_bytes {
            return Err(Status::Argument);
        }
        Ok(scored(
            self.cpu.score_prepared(map),
            self.cpu.knows_the_like_of(map),
        ))
    }

    /// Scores a batch, as the path asks for it.
    pub fn score_frames(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, { hitgate_core::pipeline::MAX_BATCH }> {
        self.cpu.score(frames, now_ns)
    }

    /// Decides, and enters the frame in the books. A veto of a frame that nobody can identify does not
    /// count: it would be another frame's.
    pub fn decide(
        &mut self,
        header: &FrameHeader,
        scored: &Scored,
        external: Option<External>,
        elapsed_ns: u64,
    ) -> Record {
        let Scored {
            score, in_domain, ..
        } = *scored;
        let named = score.err().is_none_or(Fault::identifies);
        let unread = FrameHeader {
            seq: header.seq,
            ..FrameHeader::default()
        };
        let header = if named { header } else { &unread };
        let external = external.filter(|_| named);
        let objections = self.interlock.objections(in_domain);
        let decision = (self.policy).decide(header, score, external, elapsed_ns, objections);
        if score.is_ok() {
            self.interlock.judged(&decision, in_domain);
        }
        let record = Record::new(header, score.ok(), &decision, self.identity, elapsed_ns);
        self.accounts.enter(&record);
        record
    }

    /// Goes on for `before`, with its books, which begin anew there, and under its rules, with nothing seen: what one
    /// engine has shown is no proof of another.
    pub fn succeed(&mut self, before: &mut Engine) {
        self.accounts = core::mem::take(&mut before.accounts);
        if let Some(rules) = before.interlock.rules() {
            self.interlock = Interlock::new(rules);
        }
    }

    /// The books of [`Engine::decide`].
    pub fn counters(&self) -> types::Counters {
        counters(&self.accounts)
    }
}

impl Guarded for Engine {
    fn policy(&self) -> &Policy {
        &self.policy
    }

    fn interlock(&mut self) -> &mut Interlock {
        &mut self.interlock
    }

    fn answers(&mut self) -> &mut Answers {
        &mut self.answers
    }

    fn begin(&mut self, rules: Rules) {
        self.interlock = Interlock::new(rules);
    }

    /// No ring numbers the frames: a record says by its identity that it is of this engine.
    fn looked(&mut self, record: &Record, hit: bool) {
        let Identity { model, config } = self.identity;
        if (record.model, record.config) == (model, config) {
            let seq = Seq::FIRST.get();
            self.interlock.looked(&Record { seq, ..*record }, hit);
        }
    }
}

/// A score that nobody timed.
const fn scored(score: Result<Score, Fault>, in_domain: bool) -> Scored {
    Scored {
        score,
        in_domain,
        decode_ns: 0,
        prep_ns: 0,
        net_ns: 0,
    }
}

/// The score as C has it.
pub fn score_out(scored: &Scored) -> types::Score {
    let stray = u16::from(!scored.in_domain);
    match scored.score {
        Ok(score) => types::Score {
            p_hit: score.hit,
            p_maybe: score.maybe,
            p_miss: score.miss,
            stray,
            fault: 0,
        },
        Err(fault) => types::Score {
            stray,
            fault: fault.reason_bit(),
            ..types::Score::default()
        },
    }
}

/// The score that C hands back. One that no network says, such as the zeros of a struct that nobody has written, is a
/// fault: what was not judged is kept.
pub fn score_in(score: &types::Score) -> Result<Scored, Status> {
    let in_domain = match score.stray {
        0 => true,
        1 => false,
        _ => return Err(Status::Argument),
    };
    let said = Score {
        hit: score.p_hit,
        maybe: score.p_maybe,
        miss: score.p_miss,
    };
    let mut faults = Fault::ALL.into_iter();
    let score = match score.fault {
        0 if said.is_whole() => Ok(said),
        0 => Err(Fault::Backend),
        bit => Err(faults
            .find(|fault| fault.reason_bit() == bit)
            .ok_or(Status::Argument)?),
    };
    Ok(scored(score, in_domain))
}

/// The decision from outside that a number stands for.
pub fn external_in(code: u32) -> Result<Option<External>, Status> {
    match code {
        0 => Ok(None),
        1 => Ok(Some(External::Keep)),
        2 => Ok(Some(External::Veto)),
        _ => Err(Status::Argument),
    }
}

/// The books as C has them.
pub fn counters(accounts: &Accounts) -> types::Counters {
    let words = accounts.counters();
    types::Counters {
        received: words[0],
        expected: words[1],
        repeated: words[2],
        lost_source: words[3],
        lost_link: core::array::from_fn(|i| words[4 + i]),
        classes: core::array::from_fn(|i| words[8 + i]),
        verdicts: core::array::from_fn(|i| words[11 + i]),
        unidentified: words[20],
        kept_shadow: words[21],
        lost_lapped: words[22],
        reserved: 0,
    }
}

const _: () = assert!(size_of::<types::Counters>() == 8 * hitgate_core::accounts::COUNTERS);
