//! Scores and decides, frame by frame.

use hitgate_core::accounts::Accounts;
use hitgate_core::cpu::Cpu;
use hitgate_core::frame::{Fault, Frame, FrameHeader};
use hitgate_core::link::{Identity, Record};
use hitgate_core::net::Model;
use hitgate_core::pipeline::{Backend, Scored};
use hitgate_core::verdict::{External, Policy, Score};

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
        })
    }

    /// The score of a frame as it lies in a slot, or why there is none.
    pub fn score(&mut self, slot: &[u8]) -> Result<Score, Fault> {
        let frame = Frame::parse(slot).map_err(|(fault, _)| fault)?;
        let mut scored = self.score_frames(&[frame], &|| 0);
        scored.pop().map_or(Err(Fault::Backend), |one| one.score)
    }

    /// The score of a map that is prepared already.
    pub fn score_prepared(&mut self, map: &[u8]) -> Result<Score, Status> {
        if map.len() != self.map_bytes {
            return Err(Status::Argument);
        }
        self.cpu.score_prepared(map).map_err(|_| Status::Argument)
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
        score: Result<Score, Fault>,
        external: Option<External>,
        elapsed_ns: u64,
    ) -> Record {
        let named = score.err().is_none_or(Fault::identifies);
        let unread = FrameHeader {
            seq: header.seq,
            ..FrameHeader::default()
        };
        let header = if named { header } else { &unread };
        let external = external.filter(|_| named);
        // Nobody asked for an interlock: it has no objections.
        let decision = (self.policy).decide(header, score, external, elapsed_ns, 0);
        let record = Record::new(header, score.ok(), &decision, self.identity, elapsed_ns);
        self.accounts.enter(&record);
        record
    }

    /// Goes on for `before`, with its books, which begin anew there.
    pub fn succeed(&mut self, before: &mut Engine) {
        self.accounts = core::mem::take(&mut before.accounts);
    }

    /// The books of [`Engine::decide`].
    pub fn counters(&self) -> types::Counters {
        counters(&self.accounts)
    }
}

/// The score as C has it.
pub fn score_out(score: Result<Score, Fault>) -> types::Score {
    match score {
        Ok(score) => types::Score {
            p_hit: score.hit,
            p_maybe: score.maybe,
            p_miss: score.miss,
            ..types::Score::default()
        },
        Err(fault) => types::Score {
            fault: fault.reason_bit(),
            ..types::Score::default()
        },
    }
}

/// The score that C hands back.
pub fn score_in(score: &types::Score) -> Result<Result<Score, Fault>, Status> {
    if score.fault == 0 {
        return Ok(Ok(Score {
            hit: score.p_hit,
            maybe: score.p_maybe,
            miss: score.p_miss,
        }));
    }
    let fault = Fault::ALL
        .into_iter()
        .find(|fault| fault.reason_bit() == score.fault);
    fault.map(Err).ok_or(Status::Argument)
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
        reserved: [0; 2],
    }
}

const _: () = assert!(size_of::<types::Counters>() == 8 * hitgate_core::accounts::COUNTERS);
