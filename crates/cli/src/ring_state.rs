//! A ring as any process sees it: what its two ends say of themselves, and whether it adds up.

use anyhow::{Result, bail};
use hitgate_core::accounts::Accounts;
use hitgate_core::verdict::{Class, Verdict};
use hitgate_host::{MonotonicClock, Ring};
use hitgate_ring::{Consumer, End, Layout, Policy, Source, State};
use serde_json::{Map, Value, json};

use crate::report;

/// How often a side that publishes without pause is looked at again.
const LOOKS: usize = 100;

/// Both ends, as of one look.
pub struct RingState {
    /// Shape of the ring.
    pub layout: Layout,
    /// The number that the creator gave this run.
    pub session: u64,
    /// What the writer's side counts.
    pub source: Source,
    /// The writer's side itself.
    pub source_end: EndState,
    /// What the reader's side counts.
    pub consumer: Consumer,
    /// The reader's side itself.
    pub filter_end: EndState,
    /// The path's books, as of the last frame that was published.
    pub books: Accounts,
}

/// Whether somebody is at an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndState {
    /// What the end says of itself.
    pub state: State,
    /// The process there, where one of this machine is alive.
    pub process: Option<u32>,
    /// Milliseconds since its last sign of life; nothing where it never gave one.
    pub silent_ms: Option<u32>,
}

impl RingState {
    /// Looks at `ring` and changes nothing.
    ///
    /// # Errors
    /// Where the ring was damaged since it was opened, or publishes faster than it can be read.
    pub fn of(ring: &Ring) -> Result<Self> {
        for _ in 0..LOOKS {
            if let Some(state) = Self::look(ring)? {
                return Ok(state);
            }
        }
        bail!("the ring's counters change faster than they can be read: try again")
    }

    /// One look at `ring`; nothing where an end published without pause meanwhile.
    ///
    /// # Errors
    /// Where the ring was damaged since it was opened.
    pub fn look(ring: &Ring) -> Result<Option<Self>> {
        let monitor = ring.monitor()?;
        // The filter first: no frame of its books is missing from the source's.
        let (Some(consumer), Some(source)) = (monitor.consumer(), monitor.source()) else {
            return Ok(None);
        };
        let now_ms = MonotonicClock.now_ms();
        let end = |end, state, heartbeat_ms: u32| -> Result<EndState> {
            let heard = state != State::Absent && heartbeat_ms != 0;
            Ok(EndState {
                state,
                process: ring.owner(end)?,
                silent_ms: heard.then(|| now_ms.wrapping_sub(heartbeat_ms)),
            })
        };
        Ok(Some(RingState {
            layout: *ring.layout(),
            session: ring.session(),
            source_end: end(End::Writer, source.state, source.heartbeat_ms)?,
            filter_end: end(End::Reader, consumer.state, consumer.heartbeat_ms)?,
            books: Accounts::from_counters(&consumer.path),
            source,
            consumer,
        }))
    }

    /// Frames that the source finished and that are not in the books yet. Of a free-running ring's some may be
    /// overwritten by now, which nobody has noticed.
    pub const fn to_judge(&self) -> u64 {
        self.source.produced.saturating_sub(self.done())
    }

    /// Frames that were received, or lapped.
    pub const fn done(&self) -> u64 {
        self.books.received.saturating_add(self.consumer.lapped)
    }

    /// Slots of judged frames that are not back, or copies of a free-running ring's frames: most of them lent to the
    /// link.
    pub const fn slots_out(&self) -> u64 {
        self.consumer.taken.saturating_sub(self.consumer.returned)
    }

    /// Why the books do not add up, if they do not.
    pub fn problem(&self) -> Option<String> {
        let books = &self.books;
        // Words of shared memory: their sums may be of any size.
        let sum = |a: u64, b: u64| u128::from(a) + u128::from(b);
        let lost = books.lost_source.saturating_add(books.lost_lapped);
        if sum(books.expected, books.repeated) != sum(books.received, lost) {
            return Some("expected + repeated is not received + lost".into());
        }
        if u128::from(books.received) != sum(books.kept(), books.dropped()) {
            return Some("received is not kept + dropped".into());
        }
        if !books.balance() {
            return Some("a frame whose header could not be believed was not kept".into());
        }
        // A writer publishes a frame before it counts it.
        if self.done() > self.source.produced.saturating_add(1) {
            return Some(format!(
                "more frames were received, {}, than the source finished, {}",
                self.done(),
                self.source.produced
            ));
        }
        let slots = u64::from(self.layout.slots());
        let waits = self.layout.policy() == Policy::Credit;
        (waits && self.to_judge() > slots).then(|| {
            format!(
                "{} frames are neither judged nor in the ring, which holds {slots}",
                self.to_judge() - slots
            )
        })
    }

    /// What people read.
    pub fn text(&self) -> String {
        let Source {
            produced,
            stalls,
            lost_at_source,
            ..
        } = self.source;
        let (received, waits) = (self.books.received, self.consumer.waits);
        let out = match (self.slots_out(), self.layout.policy()) {
            (0, _) => String::new(),
            // A filter that ended, or died, left them.
            (n, Policy::Credit) if self.filter_end.process.is_none() => {
                format!(", {n} slots of judged ones for the next filter to send")
            }
            (n, Policy::Credit) => format!(", {n} slots of judged ones still with the link"),
            (n, Policy::FreeRunning) => format!(", {n} copies of judged ones still with the link"),
        };
        let books = match self.problem() {
            None => format!(
                "they balance: received {received}{} + in flight {} = finished by the source {}",
                match self.consumer.lapped {
                    0 => String::new(),
                    n => format!(" + lapped {n}"),
                },
                self.to_judge(),
                self.done().saturating_add(self.to_judge())
            ),
            Some(problem) => format!("✗ THEY DO NOT BALANCE: {problem}"),
        };
        format!(
            "ring       {} slots of {}, {} records, {}, session {:x}\n\
             source     {}: {produced} frames, {stalls} stalls (the ring was full), {lost_at_source} lost at the source\n\
             filter     {}: {received} judged, {waits} waits for the link\n\
             {}\
             in flight  {} frames to judge{out}\n\
             books      {books}\n",
            self.layout.slots(),
            report::bytes(u64::from(self.layout.stride())),
            self.layout.records(),
            report::policy(&self.layout),
            self.session,
            self.source_end.words(),
            self.filter_end.words(),
            report::accounts(&self.books),
            self.to_judge(),
        )
    }

    /// What programs read.
    pub fn json(&self) -> Value {
        let books = &self.books;
        let counts = |keeps: bool| -> Map<String, Value> {
            let verdicts = Verdict::ALL.into_iter().filter(|v| v.keeps() == keeps);
            verdicts
                .map(|verdict| (verdict.reason().into(), books.of(verdict).into()))
                .collect()
        };
        let classes: Map<String, Value> = Class::ALL
            .into_iter()
            .zip(books.classes)
            .map(|(class, frames)| (class.name().into(), frames.into()))
            .collect();
        let [hit, maybe, miss, unjudged] = books.lost_link;
        json!({
            "session": format!("{:x}", self.session),
            "slots": self.layout.slots(),
            "slot_bytes": self.layout.stride(),
            "policy": report::policy(&self.layout),
            "records": self.layout.records(),
            "source": {
                "end": self.source_end.json(),
                "produced": self.source.produced,
                "stalls": self.source.stalls,
                "lost_at_source": self.source.lost_at_source,
            },
            "filter": { "end": self.filter_end.json(), "waits": self.consumer.waits },
            "expected": books.expected,
            "repeated": books.repeated,
            "received": books.received,
            "lost": {
                "source": books.lost_source,
                "lapped": books.lost_lapped,
                "link": { "hit": hit, "maybe": maybe, "miss": miss, "unjudged": unjudged },
            },
            "kept": counts(true),
            "dropped": counts(false),
            "classes": classes,
            "unjudged": books.unjudged(),
            "unidentified": books.unidentified,
            "fallen_back": books.fallen_back,
            "in_flight": { "to_judge": self.to_judge(), "slots_out": self.slots_out() },
            "balance": self.problem().is_none(),
            "problem": self.problem(),
        })
    }
}

impl EndState {
    fn state_word(self) -> &'static str {
        match self.state {
            State::Absent => "absent",
            State::Open => "open",
            State::Closed => "closed",
        }
    }

    fn words(self) -> String {
        let heard = match self.silent_ms {
            None => "no sign of life yet".into(),
            Some(ms) => format!("last sign of life {:.1} s ago", f64::from(ms) / 1e3),
        };
        match (self.state, self.process) {
            (State::Absent, _) => "nobody yet".into(),
            (State::Closed, _) => format!("stopped in good order, {heard}"),
            (State::Open, Some(pid)) => format!("process {pid}, {heard}"),
            // A device at the writer's end is no process; a program there has died.
            (State::Open, None) => format!("not closed, and no live process has this end, {heard}"),
        }
    }

    fn json(self) -> Value {
        json!({
            "state": self.state_word(),
            "process": self.process,
            "silent_s": self.silent_ms.map(|ms| f64::from(ms) / 1e3),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_core::link::Record;
    use hitgate_ring::{Layout, RECORD_LEN};

    /// A ring of four slots: three frames were written, and two judged.
    fn ring() -> Ring {
        Ring::anonymous(&Layout::new(4, 256, 4).unwrap(), 1).unwrap()
    }

    #[test]
    fn a_ring_that_nobody_touched_balances() {
        let ring = ring();
        let state = RingState::of(&ring).unwrap();
        assert_eq!(state.problem(), None);
        assert!(state.text().contains("source     nobody yet"));
        let json = state.json();
        assert_eq!(json["filter"]["end"]["silent_s"], Value::Null);
        assert_eq!(json["balance"], true);
    }

    #[test]
    fn what_is_in_flight_is_told_and_counted() {
        let ring = ring();
        let (mut writer, mut reader) = (ring.writer().unwrap(), ring.reader().unwrap());
        for _ in 0..3 {
            writer.reserve().unwrap().unwrap().commit();
        }
        let mut books = Accounts::default();
        let record = Record {
            verdict: Verdict::KeepHit as u8,
            class: Class::Hit as u8,
            ..Record::default()
        };
        let lent: Vec<_> = (0..2)
            .map(|_| {
                books.enter(&record);
                reader.read(1).unwrap().settle(&[0; RECORD_LEN]).unwrap()
            })
            .collect();
        reader.publish(&books.counters());
        let state = RingState::of(&ring).unwrap();
        assert_eq!(
            (state.to_judge(), state.slots_out(), state.problem()),
            (1, 2, None)
        );
        assert_eq!(state.json()["kept"]["hit"], 2);
        let said = state.text();
        assert!(said.contains("1 frames to judge, 2 slots"), "{said}");
        assert!(said.contains("received 2 + in flight 1 = finished by the source 3"));
        drop(lent);
    }

    #[test]
    fn what_a_device_laps_is_neither_in_flight_nor_a_contradiction() {
        let layout = Layout::new(4, 256, 4).unwrap();
        let ring = Ring::anonymous(&layout.with_policy(Policy::FreeRunning), 1).unwrap();
        let (mut writer, mut reader) = (ring.writer().unwrap(), ring.reader().unwrap());
        for _ in 0..9 {
            writer.reserve().unwrap().unwrap().commit();
        }
        let state = RingState::of(&ring).unwrap();
        assert_eq!((state.to_judge(), state.problem()), (9, None));
        let mut books = Accounts::default();
        let mut batch = reader.read(1).unwrap();
        books.lap(batch.lapped());
        drop(batch.settle(&[0; RECORD_LEN]));
        drop(batch);
        let record = Record {
            verdict: Verdict::KeepHit as u8,
            ..Record::default()
        };
        books.enter(&record);
        reader.publish(&books.counters());
        let state = RingState::of(&ring).unwrap();
        assert_eq!((state.to_judge(), state.problem()), (1, None));
        let json = state.json();
        assert_eq!(
            (&json["policy"], &json["lost"]["lapped"]),
            (&"free-running".into(), &7.into())
        );
        let said = state.text();
        assert!(
            said.contains("received 1 + lapped 7 + in flight 1 = finished by the source 9"),
            "{said}"
        );
    }

    /// Each equation, broken by one.
    #[test]
    fn books_that_do_not_balance_are_told_apart() {
        let ring = ring();
        let mut reader = ring.reader().unwrap();
        let mut told = |edit: fn(&mut [u64; hitgate_ring::PATH_COUNTERS])| {
            let mut words = [0; hitgate_ring::PATH_COUNTERS];
            edit(&mut words);
            reader.publish(&words);
            let state = RingState::of(&ring).unwrap();
            assert!(state.text().contains("DO NOT BALANCE"));
            assert_eq!(state.json()["balance"], false);
            state.problem().unwrap()
        };
        assert!(told(|words| words[1] = 1).contains("received + lost"));
        assert!(told(|words| words[..2].fill(1)).contains("kept + dropped"));
        assert!(told(|words| words[20] = 1).contains("header"));
        let two_of_none = |words: &mut [u64; hitgate_ring::PATH_COUNTERS]| {
            words[..2].fill(2);
            words[11] = 2;
        };
        assert!(told(two_of_none).contains("than the source finished"));
    }
}
