//! 100,000 frames from one process to another, returned out of order from a second thread; then
//! once more with a reader that is killed on the way and started again.

use hitgate_host::{Backoff, Creation, Ring};
use hitgate_ring::{Layout, Lent, RECORD_LEN, Seq};
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

const FRAMES: u64 = 100_000;
const STRIDE: u32 = 192;
/// How many pass while readers are killed.
const FRAMES_KILLED: u64 = 20_000;
/// Some seconds of work; a machine that is busy with something else may take minutes for it.
const HANGS: Duration = Duration::from_secs(1800);

fn main() {
    std::thread::spawn(|| {
        std::thread::sleep(HANGS);
        eprintln!("a process waits for the other and never gets on");
        std::process::abort();
    });
    let args: Vec<String> = env::args().collect();
    match args.get(1).map(String::as_str) {
        Some("write") => write(Path::new(&args[2]), args[3].parse().unwrap()),
        Some("read-some") => read_until(Path::new(&args[2]), args[3].parse().unwrap()),
        // The harness's own arguments, a filter among them, mean nothing here.
        _ => {
            every_frame_arrives();
            a_killed_reader_loses_no_frame();
            println!("two processes: {FRAMES} frames, and {FRAMES_KILLED} with killed readers: ok");
        }
    }
}

fn every_frame_arrives() {
    let (_dir, path) = place();
    // The record ring is long enough to hold them all, so that all can be counted.
    let ring = make(&path, FRAMES);
    let mut writer = start_writer(&path, FRAMES);
    let mut reader = ring.reader().unwrap();
    let (returns, lent) = crossbeam::channel::bounded::<Lent<'_>>(16);
    std::thread::scope(|scope| {
        scope.spawn(move || return_out_of_order(&lent));
        let mut backoff = Backoff::new();
        while !reader.finished() {
            let mut batch = reader.read(8).unwrap();
            if batch.is_empty() {
                drop(batch);
                backoff.wait();
                continue;
            }
            backoff.reset();
            batch
                .frames()
                .for_each(|frame| check(frame.seq(), frame.bytes()));
            while let Some(frame) = batch.front() {
                let seq = frame.seq();
                let slot = batch.settle(&record_of(seq)).unwrap();
                if !seq.get().is_multiple_of(3) {
                    returns.send(slot).unwrap();
                }
            }
        }
        drop(returns);
    });
    assert!(writer.wait().unwrap().success());
    let source = reader.source();
    assert_eq!((source.produced, reader.taken()), (FRAMES, FRAMES));
    assert_eq!((source.lost_at_source, reader.lent()), (0, 0));
    every_record_is_there(&ring, FRAMES);
}

fn a_killed_reader_loses_no_frame() {
    let (_dir, path) = place();
    let ring = make(&path, FRAMES_KILLED);
    let mut writer = start_writer(&path, FRAMES_KILLED);
    for stop in [FRAMES_KILLED / 3, FRAMES_KILLED / 2] {
        let status = start(&["read-some", path.to_str().unwrap(), &stop.to_string()])
            .wait()
            .unwrap();
        assert_eq!(status.code(), None, "the reader dies by a signal");
    }
    let mut reader = ring.reader().expect("a dead reader's end is free");
    let mut judged_before = 0;
    let mut backoff = Backoff::new();
    while !reader.finished() {
        let mut batch = reader.read(8).unwrap();
        if batch.is_empty() {
            drop(batch);
            backoff.wait();
            continue;
        }
        while let Some(frame) = batch.front() {
            check(frame.seq(), frame.bytes());
            judged_before += u64::from(frame.judged().is_some());
            let record = record_of(frame.seq());
            drop(batch.settle(&record));
        }
    }
    assert!(writer.wait().unwrap().success());
    assert_eq!(reader.taken(), FRAMES_KILLED);
    assert!(
        judged_before > 0,
        "the slots that were lent at its death came again, judged"
    );
    every_record_is_there(&ring, FRAMES_KILLED);
}

fn make(path: &Path, records: u64) -> Ring {
    let layout = Layout::new(64, STRIDE, records as u32).unwrap();
    Ring::create(path, &layout, 1, Creation::Exclusive).unwrap()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ring");
    (dir, path)
}

fn start(args: &[&str]) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(args)
        .spawn()
        .unwrap()
}

fn start_writer(path: &Path, frames: u64) -> Child {
    start(&["write", path.to_str().unwrap(), &frames.to_string()])
}

/// The first process: frames whose bytes follow from their number.
fn write(path: &Path, frames: u64) {
    let ring = Ring::open(path).unwrap();
    let mut writer = ring.writer().unwrap();
    let mut backoff = Backoff::new();
    while writer.produced() < frames {
        let Some(mut slot) = writer.reserve().unwrap() else {
            backoff.wait();
            continue;
        };
        backoff.reset();
        let mark = slot.seq().get() as u8;
        slot.body().unwrap().fill(mark);
        slot.commit();
    }
    writer.close();
}

/// A reader that dies with slots lent, after `stop` frames.
fn read_until(path: &Path, stop: u64) {
    let ring = Ring::open(path).unwrap();
    let mut reader = ring.reader().unwrap();
    let mut lent = std::collections::VecDeque::new();
    loop {
        let mut batch = reader.read(4).unwrap();
        while let Some(frame) = batch.front() {
            check(frame.seq(), frame.bytes());
            let record = record_of(frame.seq());
            lent.push_back(batch.settle(&record).unwrap());
        }
        drop(batch);
        if reader.taken() >= stop {
            std::process::abort();
        }
        while lent.len() > 20 {
            drop(lent.remove(7));
            drop(lent.pop_front());
        }
    }
}

/// The link: looks at each frame once more, and gives back the newer ones first.
fn return_out_of_order(lent: &crossbeam::channel::Receiver<Lent<'_>>) {
    let mut held = Vec::new();
    for frame in lent {
        check(frame.seq(), frame.bytes());
        held.push(frame);
        if held.len() == 11 {
            held.drain(..).rev().for_each(drop);
        }
    }
}

fn check(seq: Seq, bytes: &[u8]) {
    assert_eq!(bytes.len(), STRIDE as usize);
    assert_eq!(bytes[8..16], seq.get().to_le_bytes());
    assert!(bytes[16..].iter().all(|byte| *byte == seq.get() as u8));
}

fn record_of(seq: Seq) -> [u8; RECORD_LEN] {
    [seq.get() as u8; RECORD_LEN]
}

fn every_record_is_there(ring: &Ring, frames: u64) {
    let monitor = ring.monitor().unwrap();
    for position in 0..frames {
        let seq = Seq::from_position(position);
        let found = monitor.record(seq).expect("one record a frame");
        assert_eq!(found[8..], record_of(seq)[8..]);
    }
}
