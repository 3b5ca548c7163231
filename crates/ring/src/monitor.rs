//! What any process may see of a ring without taking part in it.

use crate::layout::{CONSUMER_COUNTERS, Layout, PATH_COUNTERS, RECORD_LEN, at};
use crate::region::{CONSUMER, End, PRODUCER, Region};
use crate::seq::Seq;
use crate::sync::Ordering;

/// A view for statistics and inspection. It changes nothing.
pub struct Monitor<'m> {
    region: Region<'m>,
}

/// Whether an end is at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum State {
    /// It was never attached.
    #[default]
    Absent = 0,
    /// It is at work, or died.
    Open = 1,
    /// It stopped in good order.
    Closed = 2,
}

/// What the writer's side says of itself. Counts are frames, over the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// Whether it is at work. Read before the counts: when closed, they are final.
    pub state: State,
    /// Milliseconds of the host's monotonic clock when it last gave a sign of life, wrapping.
    pub heartbeat_ms: u32,
    /// Frames committed.
    pub produced: u64,
    /// Frames that found the ring full.
    pub stalls: u64,
    /// Frames that the source gave up.
    pub lost_at_source: u64,
}

/// What the reader's side says of itself, as of its last publication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Whether it is at work.
    pub state: State,
    /// Milliseconds of the host's monotonic clock when it last gave a sign of life, wrapping.
    pub heartbeat_ms: u32,
    /// The path's counters; their meaning is the path's.
    pub path: [u64; PATH_COUNTERS],
    /// Frames settled, or lapped.
    pub taken: u64,
    /// Frames whose slots, and all slots before them, came back; of a free-running ring, those that are taken less
    /// the copies that are out.
    pub returned: u64,
    /// Times that frames waited because as many were lent as may be.
    pub waits: u64,
    /// Frames that the device overwrote before they were read.
    pub lapped: u64,
}

impl<'m> Monitor<'m> {
    pub(crate) fn new(region: Region<'m>) -> Self {
        Monitor { region }
    }

    /// Shape and offsets of the ring.
    pub const fn layout(&self) -> &Layout {
        self.region.layout()
    }

    /// The number that the creator gave this run.
    pub const fn session(&self) -> u64 {
        self.region.session()
    }

    /// The writer's side; `None` if it published without pause while this looked.
    pub fn source(&self) -> Option<Source> {
        let state = self.state(End::Writer);
        let heartbeat_ms = self.heartbeat_ms(End::Writer);
        let [produced, stalls, lost_at_source, _] = PRODUCER.snapshot(&self.region)?;
        Some(Source {
            state,
            heartbeat_ms,
            produced,
            stalls,
            lost_at_source,
        })
    }

    /// The reader's side; `None` if it published without pause while this looked.
    pub fn consumer(&self) -> Option<Consumer> {
        let state = self.state(End::Reader);
        let heartbeat_ms = self.heartbeat_ms(End::Reader);
        let counters: [u64; CONSUMER_COUNTERS] = CONSUMER.snapshot(&self.region)?;
        let mut path = [0; PATH_COUNTERS];
        path.copy_from_slice(&counters[..PATH_COUNTERS]);
        Some(Consumer {
            state,
            heartbeat_ms,
            path,
            taken: counters[PATH_COUNTERS],
            returned: counters[PATH_COUNTERS + 1],
            waits: counters[PATH_COUNTERS + 2],
            lapped: counters[PATH_COUNTERS + 3],
        })
    }

    /// When an end last gave a sign of life: milliseconds of the host's monotonic clock, wrapping.
    pub fn heartbeat_ms(&self, end: End) -> u32 {
        let word = self.region.control(end.line() + at::HEARTBEAT);
        word.load(Ordering::Acquire)
    }

    /// The record of frame `seq`, if it is committed and not yet overwritten.
    pub fn record(&self, seq: Seq) -> Option<[u8; RECORD_LEN]> {
        self.region.record(seq)
    }

    /// Whether an end is at work. Any number but those of [`State`] counts as open.
    pub fn state(&self, end: End) -> State {
        let word = self.region.control(end.line() + at::STATE);
        match word.load(Ordering::Acquire) {
            0 => State::Absent,
            2 => State::Closed,
            _ => State::Open,
        }
    }
}
