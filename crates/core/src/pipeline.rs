//! The loop: take a batch from the ring, score, decide, commit a record a frame, lend what is kept
//! to the link, give the rest back. Whether a batch lies in the ring's slots or, from a device that waits for
//! nobody, in copies of them is the ring's business alone.

use core::mem::replace;

use hitgate_ring::{Batch, Reader, RingError, Seq};

use crate::accounts::Accounts;
use crate::frame::{Fault, Frame, FrameHeader};
use crate::interlock::{Interlock, Rules};
use crate::link::{Identity, Link, Record, lost_cause};
use crate::verdict::{External, Policy, Score};

/// The most frames a backend scores in one call.
pub const MAX_BATCH: usize = 32;

/// The readout node around the path: what time it is, what others decided, who looks on.
pub trait Node {
    /// Time in ns, from any origin; never runs backwards.
    fn now_ns(&self) -> u64;

    /// A decision about this frame from outside. Not asked about a frame whose header cannot be
    /// believed: a veto of a number that nobody read would be another frame's.
    fn external(&mut self, _: &FrameHeader) -> Option<External> {
        None
    }

    /// Told of every frame, after its record is committed.
    fn judged(&mut self, _: &Record, _: &Stages) {}
}

/// How long the steps of one frame took, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stages {
    /// Reading and checking the header.
    pub header_ns: u64,
    /// Compressed payload to pixels; 0 where it is not compressed.
    pub decode_ns: u64,
    /// Counts to map.
    pub prep_ns: u64,
    /// Map to logits.
    pub net_ns: u64,
    /// Logits to a committed record.
    pub verdict_ns: u64,
}

/// What a backend says of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scored {
    /// The score, or why there is none: a fault is the frame's own, not the batch's.
    pub score: Result<Score, Fault>,
    /// Whether the frame is like those of the model's training.
    pub in_domain: bool,
    /// Time in decoding, in ns.
    pub decode_ns: u64,
    /// Time in preparation, in ns.
    pub prep_ns: u64,
    /// Time in the network, in ns.
    pub net_ns: u64,
}

impl Scored {
    /// No score, in no time.
    pub const fn fault(fault: Fault) -> Self {
        Scored {
            score: Err(fault),
            in_domain: true,
            decode_ns: 0,
            prep_ns: 0,
            net_ns: 0,
        }
    }
}

/// Counts → scores: the part of the path that a GPU may replace.
pub trait Backend {
    /// The most frames that one call takes, at most [`MAX_BATCH`].
    const BATCH: usize;

    /// How many one call takes now, at least one: fewer than [`Backend::BATCH`] where a batch would only make its frames
    /// wait for each other.
    fn batch(&self) -> usize {
        Self::BATCH
    }

    /// Scores each of `frames`, at most [`Backend::BATCH`]; `now_ns` tells the time. A compressed frame is the backend's to
    /// decode; one that does not decode is a [`Fault::Compressed`].
    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH>;

    /// The prepared map of the `i`-th frame that was scored last, where it has a score and the backend still
    /// has the map.
    fn map_of(&self, _i: usize) -> Option<&[u8]> {
        None
    }

    /// How many of the frames that were scored last were not scored by the device that was asked for, because it is lost.
    fn fallen_back(&self) -> u64 {
        0
    }
}

/// All that judges. It is exchanged whole, so that no frame is judged by a mixture; `B` may be a reference into
/// the caller's memory, or own what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Bank<B> {
    /// What scores: a model, and how frames are prepared for it.
    pub backend: B,
    /// What decides by the score.
    pub policy: Policy,
    /// What records call the two.
    pub identity: Identity,
}

/// The path: a ring's reading end, a backend, a policy and a link.
pub struct Pipeline<'m, B, L> {
    reader: Reader<'m>,
    /// What scores.
    pub backend: B,
    /// What decides.
    pub policy: Policy,
    /// What says whether the path may drop; nobody asks it to begin with, and from a [guard](Self::guard) on only
    /// frames that are judged since.
    pub interlock: Interlock,
    /// Where kept frames go.
    pub link: L,
    identity: Identity,
    accounts: Accounts,
    /// Frames that had come back when the counters were last published.
    returned: u64,
}

impl<'m, B: Backend, L: Link<'m>> Pipeline<'m, B, L> {
    /// A path over `reader`, with the books that an earlier reader of the same ring left, and the
    /// frames that it had judged and not entered when it died.
    pub fn new(
        reader: Reader<'m>,
        backend: B,
        policy: Policy,
        link: L,
        identity: Identity,
    ) -> Self {
        const { assert!(B::BATCH >= 1 && B::BATCH <= MAX_BATCH) };
        let accounts = Accounts::left_in(&reader);
        let interlock = Interlock::none().anew(next(&accounts));
        Pipeline {
            reader,
            backend,
            policy,
            interlock,
            link,
            identity,
            accounts,
            returned: 0,
        }
    }

    /// The books.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// The ring's reading end, to look at its state.
    pub fn reader(&mut self) -> &mut Reader<'m> {
        &mut self.reader
    }

    /// Goes on with `bank`, from the next frame on, and gives back what judged until now. Books and link stay.
    ///
    /// The interlock begins anew, in shadow: what one model has shown is no proof of another. Whoever knows better
    /// keeps a copy of [`interlock`](Self::interlock) and puts it back.
    pub fn swap(&mut self, bank: Bank<B>) -> Bank<B> {
        self.interlock = self.interlock.anew(next(&self.accounts));
        Bank {
            backend: replace(&mut self.backend, bank.backend),
            policy: replace(&mut self.policy, bank.policy),
            identity: replace(&mut self.identity, bank.identity),
        }
    }

    /// Drops only by `rules` from the next frame on, in shadow to begin with. Looks at frames that were judged before do
    /// not count.
    pub fn guard(&mut self, rules: Rules) {
        self.interlock = Interlock::new(rules).anew(next(&self.accounts));
    }

    /// Enters a kept frame that was not sent after all, at once and not when the link is [asked](Link::lost): first this,
    /// then its slot goes back, so that a path which dies in between has not lost it in silence.
    pub fn lose(&mut self, record: &Record) {
        self.accounts.refuse(record.class());
        self.publish();
    }

    /// Gives back what the path was made of.
    pub fn into_parts(self) -> (Reader<'m>, B, L, Accounts) {
        (self.reader, self.backend, self.link, self.accounts)
    }

    /// Decides what the ring holds, at most one batch; returns how many frames that was.
    ///
    /// # Errors
    /// [`RingError`] where the ring's control words are impossible: nothing of it can be believed.
    pub fn step(&mut self, node: &mut impl Node) -> Result<usize, RingError> {
        let taken_ns = node.now_ns();
        let most = self.backend.batch().min(B::BATCH).max(1);
        let mut batch = self.reader.read(most as u32)?;
        let n = batch.len();
        if n == 0 {
            drop(batch);
            self.attend_to_link();
            return Ok(0);
        }
        self.accounts.lap(batch.lapped());
        let outcomes = score(&batch, &mut self.backend, taken_ns, node);
        self.accounts.fall_back(self.backend.fallen_back());
        for (header, outcome) in outcomes {
            let started_ns = node.now_ns();
            let record = match &outcome {
                Outcome::Judged(record) => *record,
                Outcome::Scored { scored, .. } => {
                    let named = scored.score.err().is_none_or(Fault::identifies);
                    let external = named.then(|| node.external(&header)).flatten();
                    let elapsed_ns = node.now_ns().saturating_sub(taken_ns);
                    let objections = self.interlock.objections(scored.in_domain);
                    let decision =
                        self.policy
                            .decide(&header, scored.score, external, elapsed_ns, objections);
                    if scored.score.is_ok() {
                        self.interlock.judged(&decision, scored.in_domain);
                    }
                    Record::new(
                        &header,
                        scored.score.ok(),
                        &decision,
                        self.identity,
                        elapsed_ns,
                    )
                }
            };
            let Some(slot) = batch.settle(&record.to_bytes()) else {
                break;
            };
            if let Outcome::Scored {
                scored:
                    Scored {
                        decode_ns,
                        prep_ns,
                        net_ns,
                        ..
                    },
                header_ns,
                place,
            } = outcome
            {
                let missing = self.accounts.enter(&record);
                if let Some(lapped) = &missing.lapped {
                    self.link.record(&Record::lapped(lapped, self.identity));
                }
                if let Some((first, count)) = missing.source {
                    let cause = lost_cause::SOURCE;
                    let lost = Record::lost(record.module, first, count, cause, self.identity);
                    self.link.record(&lost);
                }
                self.link.record(&record);
                if !record.verdict().keeps()
                    && record.class().is_some()
                    && let Some(map) = place.and_then(|i| self.backend.map_of(i))
                {
                    self.link.dropped(&record, map);
                }
                let verdict_ns = node.now_ns().saturating_sub(started_ns);
                node.judged(
                    &record,
                    &Stages {
                        header_ns,
                        decode_ns,
                        prep_ns,
                        net_ns,
                        verdict_ns,
                    },
                );
            }
            if record.verdict().keeps() {
                if self.link.keep(&record, slot).is_err() {
                    enter_lost(&mut self.accounts, &mut self.link, &record);
                }
                hear_lost(&mut self.accounts, &mut self.link);
            }
        }
        drop(batch);
        self.publish();
        Ok(n)
    }

    /// Enters the frames that the link had taken and lost meanwhile, and tells other processes of them and of slots
    /// that came back. A step without frames does this; whoever ends the path does it once the link is done.
    pub fn attend_to_link(&mut self) {
        self.reader.reclaim();
        let lost = hear_lost(&mut self.accounts, &mut self.link);
        if lost || self.reader.returned() != self.returned {
            self.publish();
        }
    }

    fn publish(&mut self) {
        self.returned = self.reader.returned();
        self.reader.publish(&self.accounts.counters());
    }
}

/// Enters what the link lost of the frames that it had taken; whether there was any.
fn hear_lost<'m>(accounts: &mut Accounts, link: &mut impl Link<'m>) -> bool {
    let mut any = false;
    while let Some(record) = link.lost() {
        enter_lost(accounts, link, &record);
        any = true;
    }
    any
}

/// Enters a kept frame that the link lost.
fn enter_lost<'m>(accounts: &mut Accounts, link: &mut impl Link<'m>, record: &Record) {
    accounts.refuse(record.class());
    link.record(&record.refused());
}

/// What is known of a slot before the decision.
enum Outcome {
    /// It was judged before a crash: the record stands, only its pixels go out again.
    Judged(Record),
    /// The backend's answer, or the header's fault.
    Scored {
        scored: Scored,
        /// The time that reading the header took.
        header_ns: u64,
        /// Which of the frames it was that the backend was given.
        place: Option<usize>,
    },
}

impl Outcome {
    /// A frame that never came to the backend.
    const fn fault(fault: Fault) -> Self {
        Outcome::Scored {
            scored: Scored::fault(fault),
            header_ns: 0,
            place: None,
        }
    }
}

/// The next frame: each before it has a record, or was lapped. The counts may be any, as the ring has them.
fn next(accounts: &Accounts) -> Seq {
    Seq::from_position(accounts.received.wrapping_add(accounts.lost_lapped))
}

/// Reads the headers of a batch and has its whole frames scored together.
fn score<B: Backend>(
    batch: &Batch<'_, '_>,
    backend: &mut B,
    taken_ns: u64,
    node: &impl Node,
) -> heapless::Vec<(FrameHeader, Outcome), MAX_BATCH> {
    let mut frames: heapless::Vec<Frame<'_>, MAX_BATCH> = heapless::Vec::new();
    let mut headers: heapless::Vec<_, MAX_BATCH> = heapless::Vec::new();
    for slot in batch.frames().take(MAX_BATCH) {
        let judged = slot.judged().and_then(|bytes| Record::parse(&bytes));
        let parsed = Frame::parse(slot.bytes());
        let header = match &parsed {
            Ok(frame) => frame.header,
            Err((_, header)) => *header,
        };
        let whole = match (judged, parsed) {
            (Some(record), _) => Err(Outcome::Judged(record)),
            (None, Err((fault, _))) => Err(Outcome::fault(fault)),
            (None, Ok(frame)) => frames
                .push(frame)
                .map_err(|_| Outcome::fault(Fault::Backend)),
        };
        // Neither list can be full: a batch has at most MAX_BATCH frames.
        let _ = headers.push((
            FrameHeader {
                seq: slot.seq().get(),
                ..header
            },
            whole,
        ));
    }
    let header_ns = node.now_ns().saturating_sub(taken_ns) / headers.len().max(1) as u64;
    let mut scored = backend
        .score(&frames, &|| node.now_ns())
        .into_iter()
        .enumerate();
    headers
        .into_iter()
        .map(|(header, whole)| match whole {
            Ok(()) => {
                let outcome = match scored.next() {
                    Some((i, scored)) => Outcome::Scored {
                        scored,
                        header_ns,
                        place: Some(i),
                    },
                    None => Outcome::fault(Fault::Backend),
                };
                (header, outcome)
            }
            Err(outcome) => (header, outcome),
        })
        .collect()
}
