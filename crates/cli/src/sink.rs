//! Where kept frames and records go: threads of their own, so that no disk ever holds the decision.
//!
//! Kept slots are lent, not copied, until they are written. Their channel has room for as many as
//! the ring lends, so it is never full: a slow disk stalls the source, and is not a reason to refuse
//! a hit. The lines of records have a channel of their own. Records that find it full have no line,
//! which is counted and told; those in the ring itself are the durable ones.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};
use crossbeam::channel::{Receiver, Sender, bounded};
use hitgate_core::interlock::Side;
use hitgate_core::link::{Link, Record, Refused};
use hitgate_formats::FormatError;
use hitgate_ring::{Layout, Lent};

use crate::description::Description;
use crate::report;
use crate::second_look::Drawn;
use crate::slots_file::{Entry, SlotsWriter};

/// Lines of records that may wait for the disk: some minutes of a fast detector, 4 MiB.
const WAITING_RECORDS: usize = 1 << 16;

/// The files of one run.
#[derive(Default)]
pub struct Outputs {
    keep: Option<SlotsWriter>,
    records: Option<Records>,
}

impl Outputs {
    /// Refuses names that are taken: what an earlier run kept is not to be replaced unasked.
    pub fn refuse_taken<'p>(paths: impl IntoIterator<Item = &'p PathBuf>) -> Result<()> {
        match paths.into_iter().find(|path| path.is_file()) {
            Some(path) => Err(taken(path)),
            None => Ok(()),
        }
    }

    /// Makes the files, and the description beside kept slots that are a file.
    pub fn create(
        keep: Option<&Path>,
        records: Option<&Path>,
        replace: bool,
        description: &Description,
    ) -> Result<Self> {
        let open = |path: &Path| open(path, replace);
        let keep = keep.map(|path| {
            let file = open(path)?;
            describe(path, description)?;
            anyhow::Ok(SlotsWriter::new(path.into(), file))
        });
        let records = records.map(|path| {
            let file = BufWriter::new(open(path)?);
            let path = path.into();
            anyhow::Ok(Records { path, file })
        });
        Ok(Outputs {
            keep: keep.transpose()?,
            records: records.transpose()?,
        })
    }
}

/// Writes the description beside kept slots that are a file.
pub fn describe(keep: &Path, description: &Description) -> Result<()> {
    match keep.is_file() {
        true => description.write(keep),
        false => Ok(()),
    }
}

fn taken(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "{} exists, perhaps from an earlier run on this ring: name another file, or --replace it",
        path.display()
    )
}

fn open(path: &Path, replace: bool) -> Result<File> {
    let fresh = !replace && (path.is_file() || !path.exists());
    let mut options = OpenOptions::new();
    options.write(true).truncate(!fresh).create_new(fresh);
    match options.create(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(taken(path)),
        opened => Ok(opened.map_err(|error| FormatError::writing(path, error))?),
    }
}

/// The judging side of the link.
pub struct SinkLink<'m> {
    kept: Sender<Kept<'m>>,
    broken: Arc<AtomicBool>,
    records: Option<Sender<Record>>,
    /// Records that have no line, because too many were waiting for the disk.
    pub lines_lost: u64,
}

/// The writing side.
pub struct Sink<'m> {
    kept: Receiver<Kept<'m>>,
    /// Set once kept frames cannot be written any more.
    broken: Arc<AtomicBool>,
    records: Option<(Receiver<Record>, Records)>,
    slots: Option<SlotsWriter>,
    looks: Option<Sender<Drawn>>,
}

/// A kept frame on its way.
struct Kept<'m> {
    frame: Lent<'m>,
    /// Where it was drawn, to be looked at again.
    drawn: Option<Record>,
}

struct Records {
    path: PathBuf,
    file: BufWriter<File>,
}

/// What went through the sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Kept frames.
    pub frames: u64,
    /// Their bytes, headers not counted.
    pub bytes: u64,
}

/// The two sides, for the frames of a ring of this layout. Frames that were drawn go to `looks` too, as far as
/// there is room.
pub fn sink<'m>(
    ring: &Layout,
    outputs: Outputs,
    looks: Option<Sender<Drawn>>,
) -> (SinkLink<'m>, Sink<'m>) {
    let broken = Arc::new(AtomicBool::new(false));
    let (kept, kept_out) = bounded(ring.lend_limit() as usize);
    let records = outputs.records.map(|file| (bounded(WAITING_RECORDS), file));
    let (records, records_out) = match records {
        Some(((sender, receiver), file)) => (Some(sender), Some((receiver, file))),
        None => (None, None),
    };
    let link = SinkLink {
        kept,
        broken: Arc::clone(&broken),
        records,
        lines_lost: 0,
    };
    let sink = Sink {
        kept: kept_out,
        broken,
        records: records_out,
        slots: outputs.keep,
        looks,
    };
    (link, sink)
}

impl<'m> Link<'m> for SinkLink<'m> {
    fn keep(&mut self, record: &Record, frame: Lent<'m>) -> Result<(), Refused> {
        let drawn = Side::drawn(record).map(|_| *record);
        match self.broken.load(Ordering::Relaxed) {
            true => Err(Refused),
            false => {
                let kept = Kept { frame, drawn };
                self.kept.try_send(kept).map_err(|_| Refused)
            }
        }
    }

    fn record(&mut self, record: &Record) {
        if let Some(records) = &self.records
            && records.try_send(*record).is_err()
        {
            self.lines_lost += 1;
        }
    }
}

impl Sink<'_> {
    /// Writes until the judging side is gone.
    ///
    /// # Errors
    /// Where a file could not be written. The other is written to its end; a file of kept slots
    /// ends with a whole slot, and the link refuses frames from then on.
    pub fn run(self) -> Result<Sent> {
        let Sink {
            kept,
            broken,
            records,
            slots,
            looks,
        } = self;
        std::thread::scope(|scope| {
            let writing = records.map(|(records, file)| scope.spawn(|| file.write(records)));
            let sent = write_slots(&kept, &broken, slots, looks.as_ref());
            match writing.map(|thread| thread.join()) {
                Some(Err(_)) => bail!("writing the records stopped unexpectedly"),
                Some(Ok(written)) => sent.and_then(|sent| written.map(|()| sent)),
                None => sent,
            }
        })
    }
}

fn write_slots(
    kept: &Receiver<Kept<'_>>,
    broken: &AtomicBool,
    mut slots: Option<SlotsWriter>,
    looks: Option<&Sender<Drawn>>,
) -> Result<Sent> {
    let mut sent = Sent::default();
    for Kept { frame, drawn } in kept {
        let entry = Entry::of(frame.bytes());
        if let Some(slots) = &mut slots
            && let Err(error) = slots.write(&entry)
        {
            broken.store(true, Ordering::Relaxed);
            drop(frame);
            // Slots go back to the ring while the judging side notices.
            let unwritten = 1 + kept.iter().count();
            return Err(error.context(format!(
                "{unwritten} kept frames that the link had taken are lost"
            )));
        }
        sent.frames += 1;
        sent.bytes += entry.payload() as u64;
        if let (Some(looks), Some(record)) = (looks, drawn)
            && !looks.is_full()
        {
            // Nobody else sends: there is room, or nobody looks any more.
            let _ = looks.try_send((record, frame.bytes().to_vec()));
        }
    }
    Ok(sent)
}

impl Records {
    fn write(mut self, records: Receiver<Record>) -> Result<()> {
        let mut lines = || -> std::io::Result<()> {
            for record in &records {
                writeln!(self.file, "{}", report::record_line(&record))?;
                if records.is_empty() {
                    self.file.flush()?;
                }
            }
            self.file.flush()
        };
        lines().with_context(|| format!("cannot write the records to {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_core::frame::HEADER_LEN;
    use hitgate_host::Ring;
    use hitgate_ring::RECORD_LEN;

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
        let outputs = Outputs::create(None, Some(&path), false, &description).unwrap();
        // Nothing is written until `run`: this is a disk that stands still.
        let (mut link, sink) = sink(&layout, outputs, None);

        let record = Record::default();
        for _ in 0..WAITING_RECORDS + 3 {
            link.record(&record);
        }
        assert_eq!(link.lines_lost, 3, "told, and nobody waited");
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
        assert_eq!(sink.run().unwrap().frames, u64::from(kept));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), WAITING_RECORDS);
        reader.reclaim();
        assert_eq!(reader.lent(), 0);
    }

    #[test]
    fn a_sink_that_cannot_write_gives_its_slots_back_and_refuses_more() {
        let layout = Layout::new(8, HEADER_LEN as u32, 8).unwrap();
        let ring = Ring::anonymous(&layout, 1).unwrap();
        let (mut writer, mut reader) = (ring.writer().unwrap(), ring.reader().unwrap());
        let unwritable = File::open("/dev/null").unwrap();
        let outputs = Outputs {
            keep: Some(SlotsWriter::new("the file".into(), unwritable)),
            records: None,
        };
        let (mut link, sink) = sink(&layout, outputs, None);
        for _ in 0..4 {
            writer.reserve().unwrap().unwrap().commit();
        }
        let record = Record::default();
        let error = std::thread::scope(|scope| {
            for _ in 0..3 {
                let lent = reader.read(1).unwrap().settle(&[0; RECORD_LEN]).unwrap();
                assert_eq!(link.keep(&record, lent), Ok(()));
            }
            let sinking = scope.spawn(|| sink.run());
            while reader.lent() > 0 {
                std::thread::yield_now();
            }
            let lent = reader.read(1).unwrap().settle(&[0; RECORD_LEN]).unwrap();
            assert_eq!(link.keep(&record, lent), Err(Refused));
            drop(link);
            sinking.join().unwrap().unwrap_err()
        });
        let said = format!("{error:#}");
        assert!(
            said.contains("3 kept frames") && said.contains("the file"),
            "{said}"
        );
        assert_eq!(reader.lent(), 0);
    }
}
