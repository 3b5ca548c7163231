//! What a piece leaves behind, and what it says.

use crate::sides;
use hitgate_host::Ring;
use hitgate_ring::{RECORD_LEN, Seq};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Write;
use std::path::Path;

/// A line of a journal: which frame, and which reader's record it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub seq: Seq,
    /// The source's number.
    pub number: u32,
    pub judge: u32,
}

impl Entry {
    /// Divides a page, so that no write of an entry is cut in two by a kill.
    const LEN: usize = 16;

    pub fn of_record(seq: Seq, record: &[u8; RECORD_LEN]) -> Entry {
        let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
        Entry {
            seq,
            number: word(8),
            judge: word(16),
        }
    }

    fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[..8].copy_from_slice(&self.seq.get().to_le_bytes());
        bytes[8..12].copy_from_slice(&self.number.to_le_bytes());
        bytes[12..].copy_from_slice(&self.judge.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Entry {
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let seq = u64::from(word(0)) | u64::from(word(4)) << 32;
        Entry {
            seq: Seq::new(seq).unwrap(),
            number: word(8),
            judge: word(12),
        }
    }

    /// Makes a journal say that a frame's record is another judge's.
    pub fn append_for_test(journal: &Path, number: u32, judge: u32) {
        let seq = Seq::from_position(u64::from(number) - 1);
        let mut file = File::options().append(true).open(journal).unwrap();
        let entry = Entry { seq, number, judge };
        file.write_all(&entry.to_bytes()).unwrap();
    }
}

/// A file of entries, each there for good once it is noted.
pub struct Journal(File);

impl Journal {
    pub fn create(path: &Path) -> Journal {
        Journal(File::create(path).unwrap())
    }

    pub fn note(&self, entry: Entry) {
        (&self.0).write_all(&entry.to_bytes()).unwrap();
    }
}

/// What a reader found when it had read for the first time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Frames completed.
    pub produced: u64,
    /// Frames that the device had lapped, since the reader before.
    pub lost: u64,
}

impl Resumed {
    pub fn note(self, place: &Path, reader: u32) {
        let bytes = [self.produced.to_le_bytes(), self.lost.to_le_bytes()].concat();
        // A kill leaves all of it or nothing.
        std::fs::write(place.join(format!("resumed.{reader}")), bytes).unwrap();
    }

    /// What reader number `reader` noted, if it lived for so long.
    pub fn of(place: &Path, reader: u32) -> Option<Resumed> {
        let bytes = std::fs::read(place.join(format!("resumed.{reader}"))).ok()?;
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Resumed {
            produced: word(0)?,
            lost: word(8)?,
        })
    }
}

/// All of it.
pub struct Evidence {
    /// Frames that the source numbered.
    emitted: u64,
    /// Frames that the ring's writers completed.
    pub produced: u64,
    /// Frames that they gave up.
    pub lost: u64,
    /// Frames that they overwrote before they were read.
    pub lapped: u64,
    /// Readers that were killed, from number 1 on, and copies of kept frames that each may have held.
    killed: u32,
    copies: usize,
    /// The record of each position, if there is one.
    records: Vec<Option<Entry>>,
    /// What readers noted of records right after they were committed or found.
    judged: Vec<Entry>,
    /// What their links noted before they gave a slot back.
    sent: Vec<Entry>,
}

/// What must not be.
#[derive(Default)]
pub struct Findings {
    /// Frames that the source emitted, and that have neither a record nor a place in the count of lost ones or
    /// of lapped ones.
    pub unaccounted: u64,
    /// Frames that have two records, at two places or one after the other.
    pub duplicated: u64,
    /// Kept frames whose pixels no link had.
    pub unsent: u64,
}

impl Evidence {
    /// The first `killed` readers may each have taken as many kept frames along as they had `copies`.
    pub fn gather(place: &tempfile::TempDir, ring: &Ring, killed: u32, copies: usize) -> Evidence {
        let monitor = ring.monitor().unwrap();
        let source = monitor.source().expect("the writer has ended");
        let emitted = std::fs::read(place.path().join("emitted")).unwrap();
        let record = |position| {
            let seq = Seq::from_position(position);
            let record = monitor.record(seq)?;
            let entry = Entry::of_record(seq, &record);
            let whole = record[20..].iter().all(|byte| *byte == entry.number as u8);
            whole.then_some(entry)
        };
        Evidence {
            emitted: u64::from_le_bytes(emitted.try_into().unwrap()),
            produced: source.produced,
            lost: source.lost_at_source,
            lapped: monitor.consumer().expect("the reader has ended").lapped,
            killed,
            copies,
            records: (0..source.produced).map(record).collect(),
            judged: entries(place.path(), "judged."),
            sent: entries(place.path(), "sent."),
        }
    }

    pub fn judge(&self) -> Findings {
        let mut records_of = BTreeMap::<u32, u64>::new();
        for record in self.records.iter().flatten() {
            *records_of.entry(record.number).or_default() += 1;
        }
        let with_two = records_of.values().filter(|records| **records > 1).count() as u64;
        let positions_without = self.records.iter().filter(|it| it.is_none()).count() as u64;
        let numbers_without = self.emitted.abs_diff(records_of.len() as u64);
        let uncounted = self.emitted.abs_diff(self.produced + self.lost);
        // One fault may show in all three ways.
        let unaccounted = (numbers_without.abs_diff(self.lost + self.lapped))
            .max(positions_without.abs_diff(self.lapped))
            .max(uncounted);
        Findings {
            unaccounted,
            duplicated: with_two.max(self.rewritten()),
            unsent: missed(&self.unsent(), &self.sent, self.killed, self.copies) as u64,
        }
    }

    /// Frames that came to the link more than once, which their numbers show.
    pub fn sent_again(&self) -> u64 {
        self.sent.len() as u64 - self.sent_numbers().len() as u64
    }

    /// Frames whose record is not the one that a reader noted.
    fn rewritten(&self) -> u64 {
        let differs = |noted: &&Entry| {
            let found = self.records.get(noted.seq.position() as usize);
            found.copied().flatten().is_some_and(|it| it != **noted)
        };
        let seqs = self.judged.iter().filter(differs).map(|noted| noted.seq);
        seqs.collect::<std::collections::BTreeSet<_>>().len() as u64
    }

    /// Kept frames, by position, that no link had.
    fn unsent(&self) -> Vec<Entry> {
        let sent = self.sent_numbers();
        let records = self.records.iter().flatten().copied();
        let kept =
            records.filter(|record| u64::from(record.number).is_multiple_of(sides::KEEP_EVERY));
        kept.filter(|record| !sent.contains_key(&record.number))
            .collect()
    }

    fn sent_numbers(&self) -> BTreeMap<u32, Seq> {
        self.sent.iter().map(|it| (it.number, it.seq)).collect()
    }
}

/// How many of the frames that no link had cannot have died as copies. A link sends in order, so that a killed reader
/// took along only frames that it had settled after the last that it sent, and at most as many as it has copies.
pub fn missed(unsent: &[Entry], sent: &[Entry], killed: u32, copies: usize) -> usize {
    let mut died = 0;
    for judge in 1..=killed {
        let of_judge = |entry: &&Entry| entry.judge == judge;
        let last = sent.iter().filter(of_judge).map(|entry| entry.seq).max();
        let held = (unsent.iter().filter(of_judge)).filter(|entry| Some(entry.seq) > last);
        died += held.count().min(copies);
    }
    unsent.len() - died
}

/// The entries of every journal whose name starts so.
fn entries(place: &Path, prefix: &str) -> Vec<Entry> {
    let mut all = Vec::new();
    for file in std::fs::read_dir(place).unwrap().flatten() {
        if file.file_name().to_string_lossy().starts_with(prefix) {
            let bytes = std::fs::read(file.path()).unwrap();
            all.extend(bytes.chunks_exact(Entry::LEN).map(Entry::from_bytes));
        }
    }
    all
}

impl Findings {
    pub fn are_none(&self) -> bool {
        (self.unaccounted, self.duplicated, self.unsent) == (0, 0, 0)
    }

    pub fn add(&mut self, other: &Findings) {
        self.unaccounted += other.unaccounted;
        self.duplicated += other.duplicated;
        self.unsent += other.unsent;
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} unaccounted, {} duplicated, {} kept and not sent",
            self.unaccounted, self.duplicated, self.unsent
        )
    }
}
