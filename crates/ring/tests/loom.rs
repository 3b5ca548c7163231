//! The ring's own code on loom's atomics: every interleaving of two or three threads, up to a
//! number of preemptions, with every value that the memory model lets a load return.
//!
//! `RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=3 cargo test -p hitgate-ring --test loom --release`
//!
//! Modelled: all shared words, and for each slot whether its bytes are ever written
//! while they may be read; of a free-running ring's slots, which may be, the first and the last word. Not
//! modelled: the other bytes of a slot one by one (they are one cell), words of a record after the fourth, the device barrier (an acquire fence here), a death between two bytes of a slot.
#![cfg(loom)]

use hitgate_ring::{
    AttachError, Layout, PATH_COUNTERS, Policy, Reader, Region, Seq, Shadow, Writer, dies_after,
    revive,
};
use loom::thread;
use std::mem::forget;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
    check_place(builder, layout(slots, slots), move |place| {
        let (writer, reader) = place.attach().split().unwrap();
        model(writer, reader);
    });
}

/// Slots of the smallest size.
fn layout(slots: u32, records: u32) -> Layout {
    Layout::new(slots, 64, records).unwrap()
}

/// Where a model's ring lies, for ends that come one after another.
#[derive(Clone, Copy)]
struct Place {
    base: NonNull<u8>,
    layout: Layout,
}

// SAFETY: the memory is a `Shadow`'s, which is made for being shared.
unsafe impl Send for Place {}

impl Place {
    fn attach(self) -> Region<'static> {
        // SAFETY: the shadow stands for the mapping; it outlives the model's threads, which are
        // joined before the model returns. A model has one of each end at a time.
        unsafe { Region::attach(self.base, self.layout.bytes()) }.unwrap()
    }

    /// Memory for the copies of one reader after another, which dies with what it lent.
    fn copies(self) -> &'static mut [u8] {
        // A model runs once for each of its executions: that is some megabytes.
        Box::leak(vec![0; self.layout.copy_bytes()].into())
    }

    /// A reader, as soon as the writer lets it see its count.
    fn reader(self) -> Reader<'static> {
        loop {
            match self.attach().into_reader_with(self.copies()) {
                Ok(reader) => return reader,
                Err(AttachError::Busy) => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }
}

/// As [`check`], for a model that attaches the ends itself.
fn check_place(
    builder: loom::model::Builder,
    layout: Layout,
    model: impl Fn(Place) + Sync + Send + 'static,
) {
    let executions = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&executions);
    builder.check(move || {
        let shadow = Box::into_raw(Box::new(Shadow::new(&layout)));
        let base = NonNull::new(shadow).unwrap().cast();
        executions.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as in `Place::attach`; nobody uses it yet.
        unsafe { Region::create(base, layout.bytes(), &layout, 1) }.unwrap();
        model(Place { base, layout });
        // SAFETY: it came from a box, and every user of it is gone.
        drop(unsafe { Box::from_raw(shadow) });
    });
    println!("{} executions", counted.load(Ordering::Relaxed));
}

/// Runs `model` with a death before the first store of one end, then before the second, and so on until the
/// end lives through all of them. The model says whether it had died. There are records for eight frames.
fn check_deaths(slots: u32, model: fn(Place, u32) -> bool) {
    check_deaths_on(layout(slots, 8), model);
}

fn check_deaths_on(layout: Layout, model: fn(Place, u32) -> bool) {
    let mut stores = 0;
    loop {
        let mut builder = loom::model::Builder::new();
        // A death is one more thing that may happen anywhere.
        builder.preemption_bound = Some(2);
        // A reader that attaches publishes its counters, 64 words.
        builder.max_branches = 10_000;
        let died = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&died);
        check_place(builder, layout, move |place| {
            seen.fetch_or(model(place, stores), Ordering::Relaxed);
        });
        if !died.load(Ordering::Relaxed) {
            break;
        }
        stores += 1;
    }
    assert!(stores > 0, "nobody died");
    println!("died before each of {stores} stores");
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
        slot.body().unwrap().fill(mark);
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

#[test]
fn a_batch_is_as_long_as_frames_are_whole() {
    check(4, |mut writer, mut reader| {
        let source = thread::spawn(move || write(&mut writer, 2));
        while reader.taken() < 2 {
            let taken = reader.taken();
            let mut batch = reader.read(2).unwrap();
            for (frame, expected) in batch.frames().zip(taken + 1..) {
                assert_eq!(frame.seq().get(), expected);
                assert_eq!(frame.bytes()[16], slot_mark(expected));
            }
            while batch.settle(&RECORD).is_some() {}
            drop(batch);
            thread::yield_now();
        }
        source.join().unwrap();
    });
}

#[test]
fn a_slot_that_is_dropped_or_left_by_a_dead_writer_is_never_seen() {
    check(2, |mut writer, mut reader| {
        write(&mut writer, 2);
        read(&mut reader, 2);
        let source = thread::spawn(move || {
            let mut slot = writer.reserve().unwrap().unwrap();
            slot.body().unwrap().fill(0xee);
            drop(slot);
            let mut slot = writer.reserve().unwrap().unwrap();
            slot.body().unwrap().fill(0xee);
            forget(slot);
            write(&mut writer, 1);
        });
        read(&mut reader, 3);
        source.join().unwrap();
    });
}

#[test]
fn a_writer_that_dies_before_any_store_is_continued_without_a_gap() {
    check_deaths(2, |place, stores| {
        let (mut writer, mut reader) = place.attach().split().unwrap();
        // A lap has passed, so that old numbers lie in the slots.
        write(&mut writer, 2);
        read(&mut reader, 2);
        let source = thread::spawn(move || {
            dies_after(stores);
            write(&mut writer, 1);
            drop(writer);
            let died = revive();
            let mut writer = place.attach().into_writer().unwrap();
            assert!((2..=3).contains(&writer.produced()));
            let due = 4 - writer.produced();
            write(&mut writer, due as u8);
            died
        });
        read(&mut reader, 4);
        let died = source.join().unwrap();
        assert_eq!(reader.source().produced, 4);
        died
    });
}

/// Reads as [`read`] does, behind a reader that died: frames that were judged and came back are passed over.
fn read_on(reader: &mut Reader<'_>, frames: u64) {
    while reader.taken() < frames {
        let mut batch = reader.read(2).unwrap();
        for frame in batch.frames() {
            assert_eq!(frame.bytes()[16], slot_mark(frame.seq().get()));
        }
        while batch.settle(&RECORD).is_some() {}
        drop(batch);
        thread::yield_now();
    }
}

/// A record once committed stays, whoever comes next; a frame without one gets one.
fn same_or_new(before: Option<[u8; 64]>, after: Option<[u8; 64]>) {
    let expected = before.unwrap_or(RECORD);
    assert_eq!(after.expect("one record a frame")[8..16], expected[8..16]);
}

#[test]
fn a_reader_that_dies_before_any_store_leaves_each_frame_one_record() {
    check_deaths(2, |place, stores| {
        let (mut writer, mut reader) = place.attach().split().unwrap();
        write(&mut writer, 2);
        let filter = thread::spawn(move || {
            dies_after(stores);
            let lent = reader.read(1).unwrap().settle(&[1; 64]);
            // The record is committed; the slot is not back.
            drop(lent);
            reader.reclaim();
            drop(reader);
            let died = revive();
            let before = place.attach().monitor().record(Seq::FIRST);
            let mut reader = place.reader();
            read_on(&mut reader, 3);
            assert_eq!(reader.lent(), 0);
            same_or_new(before, reader.record(Seq::FIRST));
            died
        });
        write(&mut writer, 1);
        let died = filter.join().unwrap();
        // Every slot came back.
        write(&mut writer, 2);
        assert!(writer.reserve().unwrap().is_none());
        died
    });
}

#[test]
fn a_reader_that_dies_while_slots_return_out_of_order_leaves_each_frame_one_record() {
    check_deaths(4, |place, stores| {
        let (mut writer, mut reader) = place.attach().split().unwrap();
        write(&mut writer, 4);
        let filter = thread::spawn(move || {
            let mut batch = reader.read(2).unwrap();
            let first = batch.settle(&[1; 64]).unwrap();
            dies_after(stores);
            let second = batch.settle(&[2; 64]).unwrap();
            drop(second);
            drop(batch);
            drop(first);
            reader.reclaim();
            drop(reader);
            let died = revive();
            let second = Seq::from_position(1);
            let before = place.attach().monitor().record(second);
            let mut reader = place.reader();
            read_on(&mut reader, 5);
            assert_eq!(reader.record(Seq::FIRST).unwrap()[8..16], [1; 8]);
            same_or_new(before, reader.record(second));
            for position in 2..5 {
                same_or_new(None, reader.record(Seq::from_position(position)));
            }
            died
        });
        write(&mut writer, 1);
        let died = filter.join().unwrap();
        write(&mut writer, 4);
        assert!(
            writer.reserve().unwrap().is_none(),
            "every slot came back, once"
        );
        died
    });
}

#[test]
fn a_reader_that_dies_while_it_publishes_leaves_counters_of_one_time() {
    check_deaths(2, |place, stores| {
        let (_writer, mut reader) = place.attach().split().unwrap();
        reader.publish(&[6; PATH_COUNTERS]);
        dies_after(stores);
        reader.publish(&[7; PATH_COUNTERS]);
        drop(reader);
        let died = revive();
        let reader = place.reader();
        let found = *reader.published();
        assert!([[6; PATH_COUNTERS], [7; PATH_COUNTERS]].contains(&found));
        assert!(died || found == [7; PATH_COUNTERS]);
        died
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
    check_place(builder, layout(2, 2), |place| {
        let (mut writer, mut reader) = place.attach().split().unwrap();
        write(&mut writer, 2);
        read(&mut reader, 2);
        drop(reader);
        let attaching = thread::spawn(move || match place.attach().into_reader() {
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

/// A free-running ring, with records for eight frames.
fn free_running(slots: u32) -> Layout {
    layout(slots, 8).with_policy(Policy::FreeRunning)
}

/// A device that waits for nobody; all bytes of a frame are its mark.
fn emit(writer: &mut Writer<'_>, frames: u64) {
    for _ in 0..frames {
        let mut slot = writer.reserve().unwrap().expect("it is never full");
        let mark = slot_mark(slot.seq().get());
        slot.write(0, &[mark; 64]).unwrap();
        slot.commit();
    }
}

/// Reads once; every frame that is seen is whole. Returns whether there was one.
fn look(reader: &mut Reader<'_>) -> bool {
    let mut batch = reader.read(1).unwrap();
    let Some(frame) = batch.front() else {
        return false;
    };
    let mark = slot_mark(frame.seq().get());
    assert_eq!((frame.bytes()[16], frame.bytes()[63]), (mark, mark));
    drop(batch.settle(&[mark; 64]));
    true
}

/// Reads what is left of `frames` when the device is done: each has its own record, or is lapped.
fn finish(reader: &mut Reader<'_>, frames: u64) {
    while reader.taken() < frames {
        assert!(look(reader), "frames of a device that stopped are there");
    }
    let seqs = (0..frames).map(Seq::from_position);
    let records = seqs.filter_map(|seq| {
        let record = reader.record(seq)?;
        assert_eq!(record[8], slot_mark(seq.get()));
        Some(seq)
    });
    assert_eq!(records.count() as u64 + reader.lapped(), frames);
}

#[test]
fn a_device_that_laps_while_a_frame_is_copied_leaves_no_mixture() {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    check_place(builder, free_running(2), |place| {
        let (mut writer, mut reader) = place.attach().split_with(place.copies()).unwrap();
        emit(&mut writer, 2);
        let filter = thread::spawn(move || {
            look(&mut reader);
            reader
        });
        emit(&mut writer, 1);
        let mut reader = filter.join().unwrap();
        finish(&mut reader, 3);
    });
}

#[test]
fn a_reader_that_is_lapped_catches_up_while_the_device_goes_on() {
    let mut builder = loom::model::Builder::new();
    builder.max_branches = 10_000;
    check_place(builder, free_running(3), |place| {
        let (mut writer, mut reader) = place.attach().split_with(place.copies()).unwrap();
        emit(&mut writer, 4);
        let filter = thread::spawn(move || {
            look(&mut reader);
            look(&mut reader);
            reader
        });
        emit(&mut writer, 2);
        let mut reader = filter.join().unwrap();
        finish(&mut reader, 6);
    });
}

#[test]
fn a_copy_that_the_link_holds_is_not_filled_again() {
    check_place(loom::model::Builder::new(), free_running(2), |place| {
        let (mut writer, mut reader) = place.attach().split_with(place.copies()).unwrap();
        emit(&mut writer, 1);
        let lent = reader.read(1).unwrap().settle(&RECORD).unwrap();
        emit(&mut writer, 1);
        let link = thread::spawn(move || {
            let mark = slot_mark(1);
            assert_eq!((lent.bytes()[16], lent.bytes()[63]), (mark, mark));
            drop(lent);
        });
        while !look(&mut reader) {
            assert!(reader.lent() <= 1);
            thread::yield_now();
        }
        assert_eq!((reader.taken(), reader.lapped()), (2, 0));
        link.join().unwrap();
    });
}

#[test]
fn a_device_that_dies_before_any_store_is_continued_without_a_gap() {
    check_deaths_on(free_running(2), |place, stores| {
        let (mut writer, mut reader) = place.attach().split_with(place.copies()).unwrap();
        emit(&mut writer, 2);
        let filter = thread::spawn(move || {
            look(&mut reader);
            reader
        });
        dies_after(stores);
        emit(&mut writer, 1);
        drop(writer);
        let died = revive();
        let mut writer = place.attach().into_writer().unwrap();
        assert!((2..=3).contains(&writer.produced()));
        let due = 3 - writer.produced();
        emit(&mut writer, due);
        let mut reader = filter.join().unwrap();
        finish(&mut reader, 3);
        died
    });
}

#[test]
fn a_lapped_reader_that_dies_before_any_store_leaves_each_frame_one_record_or_lapped() {
    check_deaths_on(free_running(2), |place, stores| {
        let (mut writer, mut reader) = place.attach().split_with(place.copies()).unwrap();
        emit(&mut writer, 3);
        let filter = thread::spawn(move || {
            dies_after(stores);
            look(&mut reader);
            drop(reader);
            let died = revive();
            (place.reader(), died)
        });
        emit(&mut writer, 1);
        let (mut reader, died) = filter.join().unwrap();
        finish(&mut reader, 4);
        died
    });
}
