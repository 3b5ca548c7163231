//! Where kept frames and records go: threads of their own, so that no disk ever holds the decision.
//!
//! Kept slots are lent, not copied, until they are written. Their queue has room for as many as
//! the ring lends, so it is never full: a slow disk stalls the source, or lets a device that waits for nobody
//! lap the filter, and is not a reason to refuse a hit. With `--buffer` kept frames are copied into memory of the
//! link's own, and their slots go back at once: a slow disk then stalls nobody, and once that memory is full samples give way to maybes, and both to
//! hits. A slot that was lent could not be given up in this way: the source waits for the oldest one that is out,
//! whatever it is worth.
//!
//! Where kept frames cannot be written any more, the run is to end: slots that are out stay out, and whoever goes on with
//! the ring is given them again. Copies are lost; the judging side hears of each and enters it in the books.
//!
//! The lines of records have a channel of their own. Records that find it full have no line, which is
//! counted and told; those in the ring itself are the durable ones.

use std::fmt;
use std::fmt::Write as _;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, anyhow};
use crossbeam::channel::{Receiver, Sender, TryRecvError, bounded};
use hitgate_core::interlock::Side;
use hitgate_core::link::{Link, Record, Refused, Worth};
use hitgate_ring::{Layout, Lent, Policy};

use crate::buffers::{Memory, buffers};
use crate::entries::EntryWriter;
use crate::maps_out::{MapsIn, MapsOut, maps_out};
use crate::outputs::Outputs;
use crate::queue::{self, Giver, Room, Taker, queue};
use crate::report;
use crate::second_look::Drawn;
use crate::slots_file::{Entry, SlotsWriter};
use crate::traffic::{Count, Traffic};

/// Lines of records that may wait for the disk: some minutes of a fast detector, 4 MiB.
const WAITING_RECORDS: usize = 1 << 16;
/// Bytes of lines that are written together, where so many wait.
const LINES_AT_ONCE: usize = 8 << 10;

/// The judging side of the link.
pub struct SinkLink<'m> {
    /// Nothing once nothing is given any more.
    kept: Option<Giver<Kept<'m>>>,
    /// The frame that was given up last, until the path asks.
    shed: Option<Record>,
    /// Frames that could not be written.
    unsent: Receiver<Record>,
    /// Memory for copies of kept frames that nobody uses, where they are copied.
    free: Option<Receiver<Memory>>,
    breach: Arc<Breach>,
    /// The writing side of kept frames is gone.
    done: bool,
    records: Option<Sender<Record>>,
    maps: Option<MapsOut>,
    traffic: Arc<Traffic>,
}

/// The writing side.
pub struct Sink<'m> {
    kept: KeptIn<'m>,
    records: Option<(Receiver<Record>, Records)>,
    maps: Option<MapsIn>,
    traffic: Arc<Traffic>,
}

/// Where kept frames come from, and where they go.
struct KeptIn<'m> {
    frames: Taker<Kept<'m>>,
    /// The frame that is being written.
    hand: Option<Kept<'m>>,
    slots: Option<SlotsWriter>,
    /// Where memory of copies goes back to.
    free: Option<Sender<Memory>>,
    looks: Option<Sender<Drawn>>,
    breach: Arc<Breach>,
    /// Where the records of those go that are lost.
    unsent: Sender<Record>,
}

/// What becomes of kept frames that cannot be written.
struct Breach {
    /// Set once none can be written any more.
    broken: AtomicBool,
    /// Slots wait for their reader, as those of a free-running ring do not.
    slots_wait: bool,
    /// Kept frames that stay in their slots.
    staying: Count,
}

impl Breach {
    fn is_there(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Leaves a frame in its slot; refused where there is but a copy, which is lost.
    fn leave(&self, frame: Lent<'_>) -> Result<(), Refused> {
        if !self.slots_wait {
            return Err(Refused);
        }
        frame.leave();
        self.staying.add(1);
        Ok(())
    }
}

/// Kept frames could not be written any more: the run ended there.
#[derive(Debug)]
pub struct Unwritten {
    /// In words alone: a closed pipe at the end of kept frames is not one of standard output.
    why: String,
    staying: u64,
    lost: usize,
}

impl Unwritten {
    /// What the program exits with: `EX_IOERR` of the system's `sysexits.h`.
    pub const EXIT_STATUS: u8 = 74;
}

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unwritten { why, staying, lost } = self;
        write!(f, "{why}: the run ended there")?;
        if *staying > 0 {
            write!(
                f,
                "; {staying} kept frames stay in the ring, and `hitgate run` with another --keep goes on with them"
            )?;
        }
        if *lost > 0 {
            write!(
                f,
                "; {lost} kept frames that the link had taken are lost, and counted as lost(link)"
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for Unwritten {}

/// A kept frame on its way.
struct Kept<'m> {
    frame: Held<'m>,
    record: Record,
}

/// The whole slot of a kept frame.
enum Held<'m> {
    Lent(Lent<'m>),
    Copied(Memory),
}

impl Held<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Held::Lent(frame) => frame.bytes(),
            Held::Copied(bytes) => bytes,
        }
    }
}

/// The file of lines.
pub struct Records(EntryWriter);

/// The two sides, for the frames of a ring of this layout. Frames that were drawn go to `looks` too, as far as
/// there is room.
pub fn sink<'m>(
    ring: &Layout,
    outputs: Outputs,
    looks: Option<Sender<Drawn>>,
) -> (SinkLink<'m>, Sink<'m>) {
    let breach = Arc::new(Breach {
        broken: AtomicBool::new(false),
        slots_wait: ring.policy() == Policy::Credit,
        staying: Count::default(),
    });
    let room = outputs.buffer.unwrap_or(ring.lend_limit()) as usize;
    let (kept, kept_out) = queue(room);
    let (unsent_in, unsent) = bounded(room + queue::HELD);
    // Each that waits, and each that the other side holds, has memory.
    let memory = outputs
        .buffer
        .map(|_| buffers(room + queue::HELD, ring.stride() as usize));
    let (free_in, free) = memory.unzip();
    let records = outputs.records.map(|file| (bounded(WAITING_RECORDS), file));
    let (records, records_out) = match records {
        Some(((sender, receiver), file)) => (Some(sender), Some((receiver, file))),
        None => (None, None),
    };
    let (maps, maps_in) = match outputs.maps {
        Some((file, input)) => {
            let (maps, maps_in) = maps_out(&input, file);
            (Some(maps), Some(maps_in))
        }
        None => (None, None),
    };
    let traffic = Arc::new(Traffic::default());
    let link = SinkLink {
        kept: Some(kept),
        shed: None,
        unsent,
        free,
        breach: Arc::clone(&breach),
        done: false,
        records,
        maps,
        traffic: Arc::clone(&traffic),
    };
    let kept = KeptIn {
        frames: kept_out,
        hand: None,
        slots: outputs.keep,
        free: free_in,
        looks,
        breach,
        unsent: unsent_in,
    };
    let sink = Sink {
        kept,
        records: records_out,
        maps: maps_in,
        traffic,
    };
    (link, sink)
}

impl SinkLink<'_> {
    /// Gives nothing any more.
    pub fn end(&mut self) {
        self.kept = None;
    }

    /// Whether kept frames cannot be written any more: those that come now stay in their slots, or are refused.
    pub fn is_broken(&self) -> bool {
        self.breach.is_there()
    }

    /// Whether all that was taken is written, or stays, or is lost and told by [`Link::lost`]: some time after the end.
    pub const fn is_done(&self) -> bool {
        self.done
    }
}

impl<'m> Link<'m> for SinkLink<'m> {
    fn keep(&mut self, record: &Record, frame: Lent<'m>) -> Result<(), Refused> {
        let kept = self.kept.as_mut().ok_or(Refused)?;
        if self.breach.is_there() {
            return self.breach.leave(frame);
        }
        let worth = Worth::of(record.verdict(), record.reasons);
        let shed = match kept.room(worth) {
            Room::Free => None,
            Room::InsteadOf(shed) => Some(shed),
            Room::None => return Err(Refused),
        };
        let record = *record;
        self.shed = shed.as_ref().map(|shed| shed.record);
        let frame = match &self.free {
            None => Held::Lent(frame),
            Some(free) => {
                let mut memory = match shed.map(|shed| shed.frame) {
                    Some(Held::Copied(memory)) => memory,
                    _ => free.try_recv().map_err(|_| Refused)?,
                };
                memory.copy_from_slice(frame.bytes());
                Held::Copied(memory)
            }
        };
        (kept.give(Kept { frame, record }, worth)).map_err(|_| Refused)
    }

    fn lost(&mut self) -> Option<Record> {
        if let Some(shed) = self.shed.take() {
            return Some(shed);
        }
        let unsent = self.unsent.try_recv();
        self.done = unsent == Err(TryRecvError::Disconnected);
        unsent.ok()
    }

    fn record(&mut self, record: &Record) {
        if let Some(records) = &self.records
            && records.try_send(*record).is_err()
        {
            self.traffic.lines_lost.add(1);
        }
    }

    fn dropped(&mut self, record: &Record, map: &[u8]) {
        if let Some(maps) = &self.maps
            && !maps.send(record, map)
        {
            self.traffic.maps_lost.add(1);
        }
    }
}

impl Sink<'_> {
    /// What goes through it.
    pub fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    /// Writes until the judging side is gone.
    ///
    /// # Errors
    /// [`Unwritten`] where kept frames could not be written: [`SinkLink::is_broken`] from then on. Where another file
    /// could not, its lines or maps are left out. The others are written to their ends; files of kept slots and of maps
    /// end with a whole entry.
    pub fn run(self) -> Result<()> {
        let Sink {
            kept,
            records,
            maps,
            traffic,
        } = self;
        let traffic = &*traffic;
        std::thread::scope(|scope| {
            // Nobody should have to wait for the end to hear of it.
            let told = |written: Result<()>| {
                written.inspect_err(|error| tell!("hitgate: judging goes on, but {error:#}"))
            };
            let mut others = Vec::new();
            let written = kept.guarded(|kept| {
                if let Some((from, file)) = records {
                    let thread = scope.spawn(move || told(file.write(from, traffic)));
                    others.push((thread, "records"));
                }
                if let Some(maps) = maps {
                    let thread = scope.spawn(move || told(maps.write(traffic)));
                    others.push((thread, "maps of dropped frames"));
                }
                kept.write(traffic)
            });
            let mut written = vec![written];
            for (thread, what) in others {
                let stopped = |_| Err(anyhow!("writing the {what} stopped unexpectedly"));
                written.push(thread.join().unwrap_or_else(stopped));
            }
            written.into_iter().collect()
        })
    }
}

impl<'m> KeptIn<'m> {
    /// Has `write` write the frames. Where it cannot, or panics, those that are left are given up.
    fn guarded(mut self, write: impl FnOnce(&mut Self) -> Result<()>) -> Result<()> {
        let why = match catch_unwind(AssertUnwindSafe(|| write(&mut self))) {
            Ok(Ok(())) => return self.slots.as_ref().map_or(Ok(()), SlotsWriter::finish),
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "writing kept frames stopped unexpectedly, please report this".into(),
        };
        Err(self.give_up(why).into())
    }

    fn write(&mut self, traffic: &Traffic) -> Result<()> {
        while let Some(kept) = self.frames.next() {
            let entry = Entry::of(self.hand.insert(kept).frame.bytes());
            if let Some(slots) = &mut self.slots {
                slots.write(&entry)?;
            }
            traffic.frames.add(1);
            traffic.bytes.add(entry.payload() as u64);
            if let Some(kept) = self.hand.take() {
                self.sent(kept);
            }
        }
        Ok(())
    }

    /// Passes a frame that was written to whoever looks again, and its memory back.
    fn sent(&self, Kept { frame, record }: Kept<'_>) {
        if let Some(looks) = &self.looks
            && Side::drawn(&record).is_some()
            && !looks.is_full()
        {
            // Nobody else sends: there is room, or nobody looks any more.
            let _ = looks.try_send((record, frame.bytes().to_vec()));
        }
        if let (Some(free), Held::Copied(memory)) = (&self.free, frame) {
            // There is room: as much as there is memory.
            let _ = free.try_send(memory);
        }
    }

    /// Leaves the frame that could not be written, and all that the judging side still gives, in their slots, or tells
    /// that side of those that were copied.
    fn give_up(self, why: String) -> Unwritten {
        self.breach.broken.store(true, Ordering::Relaxed);
        let mut lost = 0;
        for Kept { frame, record } in self.hand.into_iter().chain(self.frames) {
            let left = match frame {
                Held::Lent(slot) => self.breach.leave(slot),
                Held::Copied(_) => Err(Refused),
            };
            if left.is_err() {
                lost += 1;
                // Where it is gone nobody keeps books.
                let _ = self.unsent.send(record);
            }
        }
        Unwritten {
            why,
            staying: self.breach.staying.get(),
            lost,
        }
    }
}

impl Records {
    /// Lines go to `file`, which lies at `path`.
    pub const fn new(path: PathBuf, file: File) -> Self {
        Records(EntryWriter::new(path, file, "the records"))
    }

    /// Writes until the judging side is gone.
    ///
    /// # Errors
    /// Where the file could not be written. It ends with a whole line; those that came after are counted as left out.
    fn write(mut self, records: Receiver<Record>, traffic: &Traffic) -> Result<()> {
        let (mut text, mut lines) = (String::new(), 0);
        let mut written = Ok(());
        for record in &records {
            lines += 1;
            if written.is_ok() {
                let _ = writeln!(text, "{}", report::record_line(&record));
                if text.len() < LINES_AT_ONCE && !records.is_empty() {
                    continue;
                }
                written = self.0.write(&[text.as_bytes()]);
            }
            if written.is_err() {
                traffic.lines_lost.add(lines);
            }
            text.clear();
            lines = 0;
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::Description;
    use crate::outputs::OutputArgs;
    use crate::slots_file::SlotsFile;
    use hitgate_core::frame::{FrameHeader, HEADER_LEN, PixelType};
    use hitgate_core::net::Input;
    use hitgate_core::prep::Reduce;
    use hitgate_core::verdict::Verdict;
    use hitgate_host::Ring;
    use hitgate_ring::RECORD_LEN;

    const INPUT: Input = Input {
        size: 2048,
        channels: 4,
        reduce: Reduce::Peaks,
        d_water: 3.4,
    };

    #[test]
    fn neither_records_nor_a_stalled_disk_refuse_a_kept_frame() {
        let layout = Layout::new(8, HEADER_LEN as u32, 8).unwrap();
        let ring = Ring::anonymous(&layout, 1).unwrap();
        let (mut writer, mut reader) = (ring.writer().unwrap(), ring.reader().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("records.jsonl");
        let description = Description {
            session: None,
            modules: Vec::new(),
        };
        let outputs = OutputArgs {
            records: Some(path.clone()),
            ..OutputArgs::default()
        };
        let outputs = outputs.create(&description, &INPUT).unwrap();
        // Nothing is written until `run`: this is a disk that stands still.
        let (mut link, sink) = sink(&layout, outputs, None);

        let record = Record::default();
        for _ in 0..WAITING_RECORDS + 3 {
            link.record(&record);
        }
        let traffic = sink.traffic();
        assert_eq!(traffic.lines_lost.get(), 3, "told, and nobody waited");
        for _ in 0..layout.slots() {
            writer.reserve().unwrap().unwrap().commit();
        }
        let mut kept = 0;
        while let Some(lent) = reader.read(1).unwrap().settle(&[0; RECORD_LEN]) {
            assert_eq!(link.keep(&record, lent), Ok(()));
            kept += 1;
        }
        assert_eq!(kept, layout.lend_limit(), "all that the ring lends");

        drop(link);
        sink.run().unwrap();
        assert_eq!(traffic.frames.get(), u64::from(kept));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), WAITING_RECORDS);
        reader.reclaim();
        assert_eq!(reader.lent(), 0);
    }

    #[test]
    fn each_line_that_the_disk_does_not_take_is_counted() {
        let layout = Layout::new(8, HEADER_LEN as u32, 8).unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        let outputs = Outputs {
            records: Some(Records::new("the file".into(), full)),
            ..Outputs::default()
        };
        let (mut link, sink) = sink(&layout, outputs, None);
        let traffic = sink.traffic();
        for _ in 0..100 {
            link.record(&Record::default());
        }
        drop(link);
        let said = format!("{:#}", sink.run().unwrap_err());
        assert!(
            said.contains("cannot write the records to the file"),
            "{said}"
        );
        assert_eq!(traffic.lines_lost.get(), 100);
    }

    #[test]
    fn a_link_with_memory_of_its_own_stalls_nobody_and_gives_samples_up_first() {
        let layout = Layout::new(4, HEADER_LEN as u32, 4).unwrap();
        let ring = Ring::anonymous(&layout, 1).unwrap();
        let (mut writer, mut reader) = (ring.writer().unwrap(), ring.reader().unwrap());
        const ROOM: u64 = 6;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.slots");
        let file = File::create(&path).unwrap();
        let outputs = Outputs {
            keep: Some(SlotsWriter::new(path.clone(), file)),
            buffer: Some(ROOM as u32),
            ..Outputs::default()
        };
        // Nothing is written until `run`: this is a disk that stands still.
        let (mut link, sink) = sink(&layout, outputs, None);
        let mut keep = |verdict: Verdict, frame_number: u64| {
            let mut slot = writer
                .reserve()
                .unwrap()
                .expect("the source is not stalled");
            let header = FrameHeader {
                frame_number,
                ..FrameHeader::new(0, 0, PixelType::U8)
            };
            slot.write(0, &header.seal()).unwrap();
            slot.commit();
            let lent = reader.read(1).unwrap().settle(&[0; RECORD_LEN]);
            let record = Record {
                verdict: verdict as u8,
                frame_number,
                ..Record::default()
            };
            let kept = link.keep(&record, lent.expect("nothing is lent for long"));
            (kept, link.lost().map(|record| record.frame_number))
        };
        for number in 1..=ROOM {
            assert_eq!(keep(Verdict::KeepSample, number), (Ok(()), None));
        }
        assert_eq!(keep(Verdict::KeepSample, 50), (Err(Refused), None));
        assert_eq!(keep(Verdict::KeepMaybe, 60), (Ok(()), Some(1)));
        for number in 2..=ROOM {
            let kept = keep(Verdict::KeepFault, 100 + number);
            assert_eq!(kept, (Ok(()), Some(number)), "the oldest sample goes");
        }
        assert_eq!(keep(Verdict::KeepHit, 70), (Ok(()), Some(60)));
        for _ in 0..100 {
            assert_eq!(keep(Verdict::KeepHit, 200), (Err(Refused), None));
        }
        drop(link);
        sink.run().unwrap();
        let kept = SlotsFile::open(&path).unwrap();
        let number = |index| {
            let slot = kept.read(index).unwrap();
            FrameHeader::from_bytes(slot.first_chunk().unwrap()).frame_number
        };
        let numbers: Vec<_> = (0..kept.len()).map(number).collect();
        assert_eq!(numbers, [102, 103, 104, 105, 106, 70]);
    }

    /// What is lost until the writing side is gone.
    fn lost_at_last(link: &mut SinkLink<'_>) -> Option<Record> {
        loop {
            let lost = link.lost();
            if lost.is_some() || link.is_done() {
                return lost;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn frames_that_cannot_be_written_stay_in_their_slots_and_copies_are_lost_and_named() {
        four_frames_are_given_up("the file", |sink| sink.run());
    }

    #[test]
    fn so_they_do_where_writing_panics() {
        four_frames_are_given_up("stopped unexpectedly", |sink| {
            sink.kept.guarded(|kept| {
                kept.hand = kept.frames.next();
                panic!("this is meant");
            })
        });
    }

    /// Four kept frames on their way, the last given once `write` can write no more, and why.
    fn four_frames_are_given_up(why: &str, write: impl Fn(Sink<'_>) -> Result<()> + Sync) {
        for (policy, buffer, staying, lost) in [
            (Policy::Credit, None, 4, 0),
            (Policy::Credit, Some(8), 1, 3),
            (Policy::FreeRunning, None, 0, 3),
        ] {
            let layout = Layout::new(8, HEADER_LEN as u32, 8).unwrap();
            let ring = Ring::anonymous(&layout.with_policy(policy), 1).unwrap();
            let (mut writer, mut reader) = (ring.writer().unwrap(), ring.reader().unwrap());
            let unwritable = File::open("/dev/null").unwrap();
            let outputs = Outputs {
                keep: Some(SlotsWriter::new("the file".into(), unwritable)),
                buffer,
                ..Outputs::default()
            };
            let (mut link, sink) = sink(ring.layout(), outputs, None);
            for _ in 0..4 {
                writer.reserve().unwrap().unwrap().commit();
            }
            let record = |frame_number| Record {
                frame_number,
                ..Record::default()
            };
            let mut take = || reader.read(1).unwrap().settle(&[0; RECORD_LEN]).unwrap();
            let error = std::thread::scope(|scope| {
                for number in 1..=3 {
                    assert_eq!(link.keep(&record(number), take()), Ok(()));
                }
                assert_eq!(
                    (link.lost(), link.is_broken()),
                    (None, false),
                    "not tried yet"
                );
                let sinking = scope.spawn(|| write(sink));
                while !link.is_broken() {
                    std::thread::yield_now();
                }
                // Only a slot can be left where it is.
                let last = match policy {
                    Policy::Credit => Ok(()),
                    Policy::FreeRunning => Err(Refused),
                };
                assert_eq!(link.keep(&record(4), take()), last);
                link.end();
                let named = std::iter::from_fn(|| lost_at_last(&mut link));
                let named: Vec<_> = named.map(|record| record.frame_number).collect();
                assert_eq!(named, (1..=lost).collect::<Vec<_>>());
                drop(link);
                sinking.join().unwrap().unwrap_err()
            });
            let said = format!("{error:#}");
            let told = |n: u64, words: &str| said.contains(&format!("{n} kept frames {words}"));
            assert!(said.contains(why), "{said}");
            assert_eq!(told(staying, "stay in the ring"), staying > 0, "{said}");
            assert_eq!(told(lost, "that the link had taken"), lost > 0, "{said}");
            assert!(error.is::<Unwritten>());
            reader.reclaim();
            assert_eq!(u64::from(reader.lent()), staying);

            // Whoever goes on with the ring is given them again.
            reader.close();
            let again = ring.reopen().unwrap();
            drop(ring);
            let mut reader = again.reader().unwrap();
            assert_eq!(reader.read(8).unwrap().frames().count() as u64, staying);
        }
    }
}
