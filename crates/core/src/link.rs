//! A decision → a fixed record for every frame, and the slots that go on.

use hitgate_ring::{Lent, RECORD_LEN};

use crate::accounts::Lapped;
use crate::frame::{FrameHeader, wire_struct};
use crate::verdict::{Class, Decision, Score, Verdict, reasons};

/// Layout version of the record that this library writes.
pub const RECORD_VERSION: u8 = 1;

/// [`Record::class`] of a frame without a score.
pub const NO_CLASS: u8 = 0xFF;
/// [`Record::module`] of frames that were lost with their headers.
pub const NO_MODULE: u16 = 0xFFFF;
/// [`Record::spots`] where nobody counted.
pub const NOT_COUNTED: u16 = 0xFFFF;

/// [`Record::veto`]: the three codes of a fast veto link.
pub mod veto_code {
    /// No veto.
    pub const NONE: u8 = 0b101;
    /// Vetoed.
    pub const REGULAR: u8 = 0b110;
    /// Kept whatever else is said.
    pub const GOLDEN: u8 = 0b111;
}

/// [`Record::spots`] of a lost record: why the frames are missing.
pub mod lost_cause {
    /// The source's numbers have a gap.
    pub const SOURCE: u16 = 1;
    /// A device that waits for nobody overwrote the frames before they were read.
    pub const LAPPED: u16 = 2;
    /// The link could not take a frame that was kept; the frame's own record came before.
    pub const LINK: u16 = 3;
}

wire_struct! {
    /// What was decided of one frame. Every frame leaves one, kept or dropped.
    Record, RECORD_LEN, {
        /// Number of the frame in its ring; the ring writes it, last. In a lost record that of the kept
        /// frame that the link refused, or of the first that was lapped; else 0.
        0 seq: u64,
        /// The source's frame number; in a lost record the first of the range, 0 where nobody knows it.
        8 frame_number: u64,
        /// The pulse; in a lost record the count of frames.
        16 pulse_key: u64,
        /// Module; in a lost record [`NO_MODULE`] where nobody knows it.
        24 module: u16,
        /// Storage cell.
        26 cell: u16,
        /// A [`Verdict`].
        28 verdict: u8,
        /// One of [`veto_code`].
        29 veto: u8,
        /// [`RECORD_VERSION`].
        30 version: u8,
        /// A [`Class`], or [`NO_CLASS`].
        31 class: u8,
        /// Probability of a hit, times 2¹⁶.
        32 p_hit: u16,
        /// Probability of a maybe, times 2¹⁶.
        34 p_maybe: u16,
        /// Probability of a miss, times 2¹⁶.
        36 p_miss: u16,
        /// Bragg spots, or [`NOT_COUNTED`]; in a lost record one of [`lost_cause`].
        38 spots: u16,
        /// Bits of [`crate::verdict::reasons`] and of the faults.
        40 reasons: u32,
        /// CRC-32 of the model file.
        44 model: u32,
        /// CRC-32 of the configuration: model, preparations, policy.
        48 config: u32,
        /// From taking the slot to the decision, in ns.
        52 latency_ns: u32,
        /// How many frames this one stands for, Q16.16.
        56 weight: u32,
        /// CRC-32 over bytes 8..60.
        60 crc: u32,
    }
}

/// Which model and configuration decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// CRC-32 of the model file.
    pub model: u32,
    /// CRC-32 of the configuration.
    pub config: u32,
}

impl Record {
    /// The record of a judged frame.
    pub fn new(
        header: &FrameHeader,
        score: Option<Score>,
        decision: &Decision,
        identity: Identity,
        latency_ns: u64,
    ) -> Self {
        let probabilities = score.unwrap_or(Score {
            hit: 0,
            maybe: 0,
            miss: 0,
        });
        Record {
            seq: header.seq,
            frame_number: header.frame_number,
            pulse_key: header.pulse_key,
            module: header.module_id,
            cell: header.cell_id,
            verdict: decision.verdict as u8,
            veto: match decision.verdict {
                Verdict::DropVeto => veto_code::REGULAR,
                Verdict::KeepForced => veto_code::GOLDEN,
                _ => veto_code::NONE,
            },
            version: RECORD_VERSION,
            class: score.map_or(NO_CLASS, |score| score.class() as u8),
            p_hit: probabilities.hit,
            p_maybe: probabilities.maybe,
            p_miss: probabilities.miss,
            spots: NOT_COUNTED,
            reasons: decision.reasons,
            model: identity.model,
            config: identity.config,
            latency_ns: u32::try_from(latency_ns).unwrap_or(u32::MAX),
            weight: decision.weight,
            crc: 0,
        }
        .sealed()
    }

    /// The record of `count` frames of `module` that never came, from number `first` on.
    pub fn lost(module: u16, first: u64, count: u64, cause: u16, identity: Identity) -> Self {
        Record {
            frame_number: first,
            pulse_key: count,
            module,
            cell: crate::frame::NO_CELL,
            verdict: Verdict::Lost as u8,
            veto: veto_code::NONE,
            version: RECORD_VERSION,
            class: NO_CLASS,
            spots: cause,
            model: identity.model,
            config: identity.config,
            weight: crate::verdict::WEIGHT_ONE,
            ..Record::default()
        }
        .sealed()
    }

    /// The lost record of frames that were lapped; `seq` is the first one's number in the ring.
    pub fn lapped(lapped: &Lapped, identity: Identity) -> Self {
        let (module, first) = lapped.named.unwrap_or((NO_MODULE, 0));
        let cause = lost_cause::LAPPED;
        Record {
            seq: lapped.seq,
            ..Record::lost(module, first, lapped.count, cause, identity)
        }
    }

    /// The lost record of this frame, which was kept and which the link refused.
    pub fn refused(&self) -> Self {
        let identity = Identity {
            model: self.model,
            config: self.config,
        };
        let lost = Record::lost(
            self.module,
            self.frame_number,
            1,
            lost_cause::LINK,
            identity,
        );
        Record {
            seq: self.seq,
            ..lost
        }
    }

    /// Reads a record, unless its checksum, version or verdict is wrong.
    pub fn parse(bytes: &[u8; RECORD_LEN]) -> Option<Self> {
        let record = Record::from_bytes(bytes);
        (record.crc == record_crc(bytes)
            && record.version == RECORD_VERSION
            && Verdict::from_code(record.verdict).is_some())
        .then_some(record)
    }

    /// The verdict; a number that names none is a fault, and keeps.
    pub fn verdict(&self) -> Verdict {
        Verdict::from_code(self.verdict).unwrap_or(Verdict::KeepFault)
    }

    /// The class of the score, where there is one.
    pub fn class(&self) -> Option<Class> {
        Class::ALL
            .into_iter()
            .find(|class| *class as u8 == self.class)
    }

    fn sealed(mut self) -> Self {
        self.crc = record_crc(&self.to_bytes());
        self
    }
}

/// The ring's number, bytes 0..8, is stored after the checksum was made.
fn record_crc(bytes: &[u8; RECORD_LEN]) -> u32 {
    crc32fast::hash(&bytes[8..60])
}

/// The link cannot take the frame: it is lost, and counted by class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// What a kept frame is worth to a link that cannot carry all of them: the lowest is given up first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Worth {
    /// A miss that was kept as a sample, or because the interlock is not armed.
    Sample,
    /// Probably a maybe.
    Maybe,
    /// A hit, a frame that somebody asked for, or one that was not judged.
    Most,
}

impl Worth {
    /// Every worth, the lowest first.
    pub const ALL: [Worth; 3] = [Worth::Sample, Worth::Maybe, Worth::Most];

    /// What a frame is worth that was kept with this verdict, for these reasons. One that is unlike the training was
    /// not judged for sure.
    pub const fn of(verdict: Verdict, reasons: u32) -> Self {
        match verdict {
            _ if reasons & reasons::DOMAIN != 0 => Worth::Most,
            Verdict::KeepSample | Verdict::KeepShadow => Worth::Sample,
            Verdict::KeepMaybe => Worth::Maybe,
            _ => Worth::Most,
        }
    }
}

/// Where records and kept frames go.
pub trait Link<'m> {
    /// Takes a kept frame. Nothing is copied here: dropping `frame`, at any time and in any order, gives
    /// its slot, or its copy's memory, back.
    ///
    /// # Errors
    /// [`Refused`] where the link is full or broken: the frame is lost, and a record says so.
    fn keep(&mut self, record: &Record, frame: Lent<'m>) -> Result<(), Refused>;

    /// The record of a frame that it had taken and lost after all, given up for one that is [worth](Worth) more,
    /// or not to be sent: counted by class. Asked after each frame that it takes, and while none comes, until
    /// there is no other.
    fn lost(&mut self) -> Option<Record> {
        None
    }

    /// Takes the record of a frame, kept or dropped, or of frames that were lost.
    fn record(&mut self, record: &Record);

    /// May copy the prepared map of a frame that is dropped: what is left of it to judge again.
    fn dropped(&mut self, _: &Record, _map: &[u8]) {}
}

/// A link that holds up to `N` kept frames until the same thread takes them.
#[derive(Default)]
pub struct LentQueue<'m, const N: usize> {
    frames: heapless::Deque<(Record, Lent<'m>), N>,
}

impl<'m, const N: usize> LentQueue<'m, N> {
    /// An empty queue.
    pub const fn new() -> Self {
        LentQueue {
            frames: heapless::Deque::new(),
        }
    }

    /// The frame that was kept first.
    pub fn take(&mut self) -> Option<(Record, Lent<'m>)> {
        self.frames.pop_front()
    }
}

impl<'m, const N: usize> Link<'m> for LentQueue<'m, N> {
    fn keep(&mut self, record: &Record, frame: Lent<'m>) -> Result<(), Refused> {
        self.frames.push_back((*record, frame)).map_err(|_| Refused)
    }

    fn record(&mut self, _: &Record) {}
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::frame::PixelType;
    use crate::verdict::{Policy, Sampling};

    fn record() -> Record {
        let header = FrameHeader {
            frame_number: 9,
            module_id: 3,
            ..FrameHeader::new(1, 1, PixelType::U8)
        };
        let policy = Policy {
            threshold: 1,
            sampling: Sampling { seed: 0, one_in: 0 },
            deadline_ns: None,
        };
        let score = Score {
            hit: 7,
            maybe: 8,
            miss: 65000,
        };
        let decision = policy.decide(&header, Ok(score), None, 5, 0);
        Record::new(
            &header,
            Some(score),
            &decision,
            Identity {
                model: 1,
                config: 2,
            },
            u64::MAX,
        )
    }

    #[test]
    fn what_is_written_is_read() {
        let record = record();
        assert_eq!(Record::parse(&record.to_bytes()), Some(record));
        assert_eq!(
            (record.verdict(), record.class()),
            (Verdict::KeepMaybe, Some(Class::Miss))
        );
        assert_eq!(record.latency_ns, u32::MAX);
    }

    #[test]
    fn a_flipped_bit_is_seen_but_the_ring_may_number_it() {
        let bytes = record().to_bytes();
        for bit in 0..RECORD_LEN * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::parse(&bytes).is_some(), bit < 64, "bit {bit}");
        }
    }

    #[test]
    fn samples_are_given_up_before_maybes_and_the_rest_last() {
        let mut kept: std::vec::Vec<_> = Verdict::ALL.into_iter().filter(|v| v.keeps()).collect();
        kept.sort_by_key(|verdict| Worth::of(*verdict, 0));
        let (samples, rest) = kept.split_at(2);
        assert_eq!(samples, [Verdict::KeepSample, Verdict::KeepShadow]);
        assert_eq!(rest[0], Verdict::KeepMaybe);
        let unjudged = Worth::of(Verdict::KeepFault, 0);
        assert!(Worth::of(Verdict::KeepMaybe, 0) < Worth::of(Verdict::KeepHit, 0));
        assert_eq!(unjudged, Worth::of(Verdict::KeepHit, 0));
        assert_eq!(unjudged, Worth::of(Verdict::KeepShadow, reasons::DOMAIN));
    }

    #[test]
    fn a_lost_range_has_first_and_count() {
        let lost = Record::lost(
            4,
            100,
            17,
            lost_cause::SOURCE,
            Identity {
                model: 0,
                config: 0,
            },
        );
        assert_eq!(
            (lost.frame_number, lost.pulse_key, lost.module),
            (100, 17, 4)
        );
        assert_eq!((lost.verdict(), lost.class()), (Verdict::Lost, None));
    }
}
