//! What the two processes do, and the journals that they leave: what was written there before a kill
//! is there after it.

use crate::STRIDE;
use crate::evidence::{Entry, Journal, Resumed};
use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use hitgate_host::{Backoff, Pacer, Ring, Schedule};
use hitgate_ring::{Lent, Monitor, Policy, RECORD_LEN, Seq};
use rustix::process::Signal;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One frame of so many goes to the link; the others are dropped.
pub const KEEP_EVERY: u64 = 3;
/// Frames a second of a device that waits for nobody.
const RATE: f64 = 10_000.0;
/// How long the link holds frames back when no more come.
const LINK_HOLDS: Duration = Duration::from_micros(50);

/// Where the ring lies.
pub fn ring(place: &Path) -> PathBuf {
    place.join("ring")
}

/// The source: frames are numbered from 1 as it emits them, whether or not a writer is there to
/// complete them. Those that were emitted and not completed when a writer died are lost, by count.
pub fn write(place: &Path, frames: u64) {
    end_with_the_judge();
    let ring = Ring::open(&ring(place)).unwrap();
    let mut writer = ring.writer().unwrap();
    let emitted = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(place.join("emitted"))
        .unwrap();
    let mut word = [0; 8];
    // Empty before the first frame.
    let mut number = match emitted.read_exact_at(&mut word, 0) {
        Ok(()) => u64::from_le_bytes(word),
        Err(_) => 0,
    };
    let unaccounted = number
        .checked_sub(writer.produced() + writer.lost_at_source())
        .expect("no more can be completed or lost than was emitted");
    if unaccounted > 0 {
        writer.lose(unaccounted);
    }
    let mut pacer = match writer.layout().policy() {
        Policy::Credit => None,
        Policy::FreeRunning => Some(Pacer::start(Schedule::steady(RATE).unwrap())),
    };
    let mut backoff = Backoff::new();
    while number < frames {
        if let Some(pacer) = &mut pacer {
            pacer.wait();
        }
        number += 1;
        emitted.write_all_at(&number.to_le_bytes(), 0).unwrap();
        let mut slot = loop {
            // A second look, as a borrow cannot leave the loop that tried in vain.
            if writer.reserve().unwrap().is_some() {
                break writer.reserve().unwrap().unwrap();
            }
            backoff.wait();
        };
        backoff.reset();
        let mut frame = [number as u8; STRIDE as usize];
        frame[16..24].copy_from_slice(&number.to_le_bytes());
        slot.write(0, &frame).unwrap();
        slot.commit();
    }
    writer.close();
}

/// The filter: judges each frame that has no record, and hands one of [`KEEP_EVERY`] to its link.
pub fn read(place: &Path, judge: u32) {
    end_with_the_judge();
    let ring = Ring::open(&ring(place)).unwrap();
    let mut reader = ring.reader().unwrap();
    let last = reader.published();
    assert!(
        last.iter().all(|it| *it == last[0]),
        "counters of two times"
    );
    let judged = Journal::create(&place.join(format!("judged.{judge}")));
    let sent = Journal::create(&place.join(format!("sent.{judge}")));
    let most = reader.layout().lend_limit() as usize;
    let monitor = reader.monitor();
    let lapped_before = reader.lapped();
    let mut resumed = false;
    let (to_link, kept) = bounded(most);
    std::thread::scope(|scope| {
        let link = scope.spawn(move || send(&kept, &sent, judge, most));
        let mut backoff = Backoff::new();
        while !reader.finished() || reader.lent() > 0 {
            assert!(!link.is_finished(), "the link stopped");
            let (next, lapped_until) = (reader.taken(), reader.lapped());
            let mut batch = reader.read(8).unwrap();
            if batch.lapped() > lapped_until {
                had_to_lap(&monitor, next, batch.lapped() - lapped_until);
            }
            if batch.is_empty() {
                drop(batch);
                backoff.wait();
                continue;
            }
            backoff.reset();
            let lapped = batch.lapped();
            while let Some(frame) = batch.front() {
                let (seq, number) = (frame.seq(), checked_number(frame.seq(), frame.bytes()));
                let earlier = frame.judged();
                let lent = batch.settle(&record_of(number, judge)).unwrap();
                judged.note(match earlier {
                    Some(record) => Entry::of_record(seq, &record),
                    None => Entry {
                        seq,
                        number: number as u32,
                        judge,
                    },
                });
                if number.is_multiple_of(KEEP_EVERY) {
                    to_link.send(lent).unwrap();
                }
            }
            drop(batch);
            let taken = reader.taken();
            reader.publish(&[taken; 24]);
            if !std::mem::replace(&mut resumed, true) {
                let resumed = Resumed {
                    produced: reader.source().produced,
                    lost: lapped - lapped_before,
                };
                resumed.note(place, judge);
            }
        }
        reader.close();
        drop(to_link);
    });
}

/// That frames from position `next` on were given up only because the device had reached the first of them, and no
/// more of them than leave half a ring to read. This holds however busy the machine is, in downtime and out of it: a
/// budget of frames would have to allow for the machine, and would be none.
fn had_to_lap(monitor: &Monitor<'_>, next: u64, lapped: u64) {
    let slots = u64::from(monitor.layout().slots());
    let source = std::iter::repeat_with(|| monitor.source()).find_map(|source| source);
    // A writer publishes a frame before it counts it.
    let newest = source.expect("without an end").produced + 1;
    assert!(
        next + slots <= newest,
        "{lapped} frames from {next} on were given up, and the device had come to {newest} of {slots} slots"
    );
    assert!(
        next + lapped + slots / 2 <= newest,
        "{lapped} frames from {next} on were given up, of {newest} in {slots} slots"
    );
}

/// The link: it has sent a frame when it notes it, and holds it on until it has several or nothing
/// comes; then the newest goes back first.
fn send(kept: &Receiver<Lent<'_>>, sent: &Journal, judge: u32, most: usize) {
    let mut held = Vec::with_capacity(most);
    loop {
        match kept.recv_timeout(LINK_HOLDS) {
            Ok(frame) => {
                let number = checked_number(frame.seq(), frame.bytes());
                sent.note(Entry {
                    seq: frame.seq(),
                    number: number as u32,
                    judge,
                });
                held.push(frame);
                if held.len() < most.div_ceil(8) {
                    continue;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        held.drain(..).rev().for_each(drop);
    }
}

/// The source's number of a frame, whose pixels and number in the ring are whole.
fn checked_number(seq: Seq, bytes: &[u8]) -> u64 {
    assert_eq!(bytes[8..16], seq.get().to_le_bytes());
    let number = u64::from_le_bytes(bytes[16..24].try_into().unwrap());
    assert!(bytes[24..].iter().all(|byte| *byte == number as u8));
    number
}

/// The record of the source's frame `number` by the reader number `judge`.
pub fn record_of(number: u64, judge: u32) -> [u8; RECORD_LEN] {
    let mut record = [number as u8; RECORD_LEN];
    record[8..16].copy_from_slice(&number.to_le_bytes());
    record[16..20].copy_from_slice(&judge.to_le_bytes());
    record
}

/// A judge that is killed or gives up leaves nobody behind.
fn end_with_the_judge() {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL)).unwrap();
}
