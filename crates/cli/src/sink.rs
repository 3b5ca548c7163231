//! Where kept frames and records go: a thread of its own, so that a slow disk never holds the
//! decision. Kept slots are lent, not copied, until they are written.

use std::fs::File;
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use hitgate_core::frame::{FrameHeader, HEADER_LEN, MAGIC, PixelType};
use hitgate_core::link::{Link, Record, Refused};
use hitgate_ring::Lent;

use crate::report;

enum Message<'m> {
    Record(Record),
    Kept(Lent<'m>),
}

/// The judging side of the link.
pub struct SinkLink<'m, 's> {
    sender: Sender<Message<'m>>,
    broken: &'s AtomicBool,
}

/// The writing side.
pub struct Sink<'m, 's> {
    receiver: Receiver<Message<'m>>,
    broken: &'s AtomicBool,
    slots: Option<Slots>,
    records: Option<Records>,
}

struct Slots {
    path: PathBuf,
    file: File,
    /// Whole slots written so far, in bytes.
    whole: u64,
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

/// The two sides; `capacity` messages may wait between them, `broken` is set when writing fails.
pub fn sink<'m, 's>(
    capacity: usize,
    broken: &'s AtomicBool,
    keep: Option<&Path>,
    records: Option<&Path>,
) -> Result<(SinkLink<'m, 's>, Sink<'m, 's>)> {
    let create = |path: &Path| {
        File::create(path).with_context(|| format!("cannot create {}", path.display()))
    };
    let slots = keep
        .map(|path| {
            create(path).map(|file| Slots {
                path: path.into(),
                file,
                whole: 0,
            })
        })
        .transpose()?;
    let records = records
        .map(|path| {
            create(path).map(|file| Records {
                path: path.into(),
                file: BufWriter::new(file),
            })
        })
        .transpose()?;
    let (sender, receiver) = bounded(capacity);
    Ok((
        SinkLink { sender, broken },
        Sink {
            receiver,
            broken,
            slots,
            records,
        },
    ))
}

impl<'m> Link<'m> for SinkLink<'m, '_> {
    fn keep(&mut self, _: &Record, frame: Lent<'m>) -> Result<(), Refused> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(Refused);
        }
        match self.sender.try_send(Message::Kept(frame)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Refused),
        }
    }

    fn record(&mut self, record: &Record) {
        // Waits for room: a record may be late, never lost. A sink that is gone has said why.
        let _ = self.sender.send(Message::Record(*record));
    }
}

impl Sink<'_, '_> {
    /// Writes until the judging side is gone.
    ///
    /// # Errors
    /// Where a file could not be written: what is in it then ends with a whole slot, or a whole
    /// line, and the link refuses from then on.
    pub fn run(mut self) -> Result<Sent> {
        let mut sent = Sent::default();
        let outcome = self.drain(&mut sent);
        if outcome.is_err() {
            self.broken.store(true, Ordering::Relaxed);
            // Slots go back to the ring while the judging side notices.
            self.receiver.iter().for_each(drop);
        }
        outcome.map(|()| sent)
    }

    fn drain(&mut self, sent: &mut Sent) -> Result<()> {
        for message in &self.receiver {
            match message {
                Message::Record(record) => {
                    if let Some(records) = &mut self.records {
                        records.write(&record)?;
                    }
                }
                Message::Kept(frame) => {
                    let bytes = frame.bytes();
                    let whole = whole_slot(bytes);
                    if let Some(slots) = &mut self.slots {
                        match whole {
                            Some(slot) => slots.write(&[slot])?,
                            None => slots.write(&[&header_of_unreadable(bytes).seal(), bytes])?,
                        }
                    }
                    sent.frames += 1;
                    sent.bytes += whole.map_or(bytes.len(), |slot| slot.len() - HEADER_LEN) as u64;
                }
            }
        }
        match &mut self.records {
            Some(records) => records
                .file
                .flush()
                .with_context(|| format!("cannot write the records to {}", records.path.display())),
            None => Ok(()),
        }
    }
}

/// The part of a slot that its header describes; `None` where the header cannot be believed.
fn whole_slot(bytes: &[u8]) -> Option<&[u8]> {
    let header = FrameHeader::from_bytes(bytes.first_chunk::<HEADER_LEN>()?);
    let plausible = header.magic == MAGIC && header.slot_len() > HEADER_LEN;
    bytes.get(..header.slot_len()).filter(|_| plausible)
}

/// A header for bytes that have none: no rows, so that whoever judges it again finds a fault.
fn header_of_unreadable(bytes: &[u8]) -> FrameHeader {
    FrameHeader {
        payload_len: bytes.len() as u32,
        ..FrameHeader::new(0, 0, PixelType::U8)
    }
}

impl Slots {
    fn write(&mut self, slot: &[&[u8]]) -> Result<()> {
        if let Err(error) = slot.iter().try_for_each(|part| self.file.write_all(part)) {
            // Half a slot would make the whole file unreadable.
            let cut = self.file.set_len(self.whole);
            let _ = cut.and_then(|()| self.file.seek(SeekFrom::Start(self.whole)));
            return Err(error).with_context(|| {
                format!(
                    "cannot write kept frames to {} (it holds {} bytes of whole slots): free space there, or choose another place",
                    self.path.display(),
                    self.whole
                )
            });
        }
        self.whole += slot.iter().map(|part| part.len() as u64).sum::<u64>();
        Ok(())
    }
}

impl Records {
    fn write(&mut self, record: &Record) -> Result<()> {
        let line = report::record_line(record);
        writeln!(self.file, "{line}")
            .with_context(|| format!("cannot write the records to {}", self.path.display()))
    }
}
