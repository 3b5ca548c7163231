//! The ring's own code on loom's atomics: every interleaving of two or three threads, up to a
//! number of preemptions, with every value that the memory model lets a load return.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p hitgate-ring --test loom --release`
//!
//! Modelled: all shared words, and for each slot whether its bytes are ever written
//! while they may be read. Not modelled: bytes of a slot one by one (they are one cell), words of a
//! record after the fourth, the device barrier (an acquire fence here), processes that die.
#![cfg(loom)]

use hitgate_ring::{AttachError, Layout, Reader, Region, Seq, Shadow, Writer};
use loom::thread;
use std::ptr::NonNull;

const RECORD: [u8; 64] = [5; 64];

/// Runs `model` on a fresh ring in each execution, and takes the ring down after it.
fn check(slots: u32, model: fn(Writer<'static>, Reader<'static>)) {
    check_with(loom::model::Builder::new(), slots, model);
}

fn check_with(
    builder: loom::model::Builder,
    slots: u32,
    model: fn(Writer<'static>, Reader<'static>),
) {
    check_regions(builder, slots, move |region, _| {
        let (writer, reader) = region.split().unwrap();
        model(writer, reader);
    });
}

/// As [`check`], with the ring twice: for an end now, and for one later.
fn check_regions(
    builder: loom::model::Builder,
    slots: u32,
    model: impl Fn(Region<'static>, Region<'static>) + Sync + Send + 'static,
) {
    builder.check(move || {
        let layout = Layout::new(slots, 64, slots).unwrap();
        let shadow = Box::into_raw(Box::new(Shadow::new(&layout)));
        let base = NonNull::new(shadow).unwrap().cast();
        // SAFETY: the shadow stands for the mapping; it outlives the model's threads, which are
        // joined before `model` returns.
        let region: Region<'static> =
            unsafe { Region::create(base, layout.bytes(), &layout, 1) }.unwrap();
        // SAFETY: as above; the model makes one of each end at a time.
        let later = unsafe { Region::attach(base, layout.bytes()) }.unwrap();
        model(region, later);
        // SAFETY: it came from a box, and every user of it is gone.
        drop(unsafe { Box::from_raw(shadow) });
    });
}

fn write(writer: &mut Writer<'_>, frames: u8) {
    let mut written = 0;
    while written < frames {
        let Some(mut slot) = writer.reserve().unwrap() else {
            thread::yield_now();
            continue;
        };
        written += 1;
        let mark = slot_mark(slot.seq().get());
        slot.body().fill(mark);
        slot.commit();
    }
}

fn read(reader: &mut Reader<'_>, frames: u64) {
    while reader.taken() < frames {
        let expected = reader.taken() + 1;
        let mut batch = reader.read(1).unwrap();
        let Some(frame) = batch.front() else {
            drop(batch);
            thread::yield_now();
            continue;
        };
        assert_eq!(frame.seq().get(), expected);
        assert_eq!(frame.bytes()[16], slot_mark(expected));
        drop(batch.settle(&RECORD));
    }
}

fn slot_mark(seq: u64) -> u8 {
    seq as u8 * 7
}

#[test]
fn an_empty_ring_shows_a_frame_only_when_it_is_whole() {
    check(2, |mut writer, mut reader| {
        let source = thread::spawn(move || write(&mut writer, 1));
        read(&mut reader, 1);
        source.join().unwrap();
    });
}

#[test]
fn a_full_ring_waits_and_wraps() {
    check(2, |mut writer, mut reader| {
        write(&mut writer, 2);
        let source = thread::spawn(move || write(&mut writer, 1));
        read(&mut reader, 3);
        source.join().unwrap();
    });
}

#[test]
fn slots_return_out_of_order_from_another_thread() {
    check(4, |mut writer, mut reader| {
        write(&mut writer, 4);
        let mut batch = reader.read(2).unwrap();
        let first = batch.settle(&RECORD).unwrap();
        let second = batch.settle(&RECORD).unwrap();
        drop(batch);
        let link = thread::spawn(move || {
            assert_eq!(second.bytes()[16], slot_mark(2));
            drop(second);
            assert_eq!(first.bytes()[16], slot_mark(1));
            drop(first);
        });
        let source = thread::spawn(move || write(&mut writer, 1));
        read(&mut reader, 3);
        while reader.lent() > 0 {
            thread::yield_now();
        }
        reader.reclaim();
        link.join().unwrap();
        source.join().unwrap();
        read(&mut reader, 5);
    });
}

// In the next two the writing side is the model's first thread: loom looks for other orders
// from the last access to a word only, so the loads have to come after the stores.

#[test]
fn a_third_party_sees_counters_whole() {
    let mut builder = loom::model::Builder::new();
    // Each of eight words may come old or new, whatever the order: two preemptions are enough for
    // both publications to fall between any two of the loads.
    builder.preemption_bound = Some(2);
    check_with(builder, 2, |mut writer, _| {
        let monitor = writer.monitor();
        let onlooker = thread::spawn(move || {
            if let Some(source) = monitor.source() {
                let lost = source.lost_at_source;
                assert_eq!(lost >> 32, lost & 0xffff_ffff, "halves of one publication");
            }
        });
        for _ in 0..2 {
            writer.lose(1 << 32 | 1);
        }
        onlooker.join().unwrap();
    });
}

#[test]
fn a_reader_that_attaches_beside_a_busy_writer_finds_its_place_or_tries_again() {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    check_regions(builder, 2, |region, later| {
        let (mut writer, mut reader) = region.split().unwrap();
        write(&mut writer, 2);
        read(&mut reader, 2);
        drop(reader);
        let attaching = thread::spawn(move || match later.into_reader() {
            Ok(reader) => assert_eq!(reader.taken(), 2),
            Err(error) => assert_eq!(error, AttachError::Busy),
        });
        write(&mut writer, 2);
        attaching.join().unwrap();
    });
}

#[test]
fn a_third_party_sees_records_whole() {
    check(2, |mut writer, mut reader| {
        write(&mut writer, 2);
        read(&mut reader, 1);
        let monitor = reader.monitor();
        let onlooker = thread::spawn(move || {
            // Overwritten by frame 3 meanwhile, and then gone.
            if let Some(record) = monitor.record(Seq::FIRST) {
                assert_eq!(record[8..16], RECORD[8..16]);
            }
            if let Some(record) = monitor.record(Seq::from_position(2)) {
                assert_eq!(record[8..16], [9; 8]);
            }
        });
        write(&mut writer, 1);
        read(&mut reader, 2);
        let mut batch = reader.read(1).unwrap();
        drop(batch.settle(&[9; 64]).expect("frame 3"));
        drop(batch);
        onlooker.join().unwrap();
    });
}
