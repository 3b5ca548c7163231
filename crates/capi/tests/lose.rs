//! A kept frame that the caller's link does not send is in the books, and in a record.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the tests play a C program, which promises nothing in writing"
)]

mod common;

use common::*;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::yield_now;

use hitgate::abi::*;
use hitgate::lendings::{WORTH_MAYBE, WORTH_MOST, WORTH_SAMPLE};
use hitgate::path::Path;
use hitgate::status::Status;
use hitgate::types::*;
use hitgate_core::link::{Record, lost_cause};
use hitgate_core::verdict::Verdict;

fn lose(path: *const Path, seq: u64) -> Result<Record, Status> {
    asked(|lost| unsafe { hitgate_path_lose(path, seq, lost) })
}

/// Where the frame of a record is counted among those that the link lost.
fn place_of(record: &Record) -> usize {
    record.class().map_or(3, |class| class as usize)
}

fn balance(counters: &Counters) {
    assert_eq!(
        counters.expected + counters.repeated,
        counters.received + counters.lost_source + counters.lost_lapped
    );
    let verdicts = counters.verdicts.iter().sum::<u64>() + counters.kept_shadow;
    assert_eq!(counters.received, verdicts);
}

#[test]
fn what_is_not_sent_is_counted_by_class_and_leaves_a_record() {
    let engine = engine(&keeping()).unwrap();
    for policy in [RING_CREDIT, RING_FREE_RUNNING] {
        let ring = Ring::under(policy, 4);
        let (writer, path) = ring.ends(engine);
        let mut expected = [0; 4];
        for number in 1..=40 {
            // Some damaged, which have no class.
            let frame = under(frame(number), |header| {
                header.status = u32::from(number % 5 == 0);
            });
            assert_eq!(put(writer, &frame), Status::Ok);
            let Judged { record, .. } = step(path).unwrap();
            if number % 3 == 0 {
                assert_eq!(unsafe { hitgate_path_return(path, record.seq) }, Status::Ok);
                assert_eq!(lose(path, record.seq).err(), Some(Status::NoSlot));
                continue;
            }
            let lost = lose(path, record.seq).unwrap();
            assert_eq!(Record::parse(&lost.to_bytes()), Some(lost), "sealed");
            assert_eq!(
                (lost.verdict(), lost.spots),
                (Verdict::Lost, lost_cause::LINK)
            );
            assert_eq!((lost.seq, lost.module), (record.seq, record.module));
            assert_eq!((lost.frame_number, lost.pulse_key), (number, 1));
            assert_eq!((lost.model, lost.config), (record.model, record.config));
            expected[place_of(&record)] += 1;

            let returned = unsafe { hitgate_path_return(path, record.seq) };
            let again = lose(path, record.seq).err();
            assert_eq!((returned, again), (Status::NoSlot, Some(Status::NoSlot)));
            if number % 2 == 0 {
                let counters = counters_of(path);
                assert_eq!(counters.lost_link, expected, "frame {number}");
                balance(&counters);
            }
        }
        for seq in [0, 41, 1 << 32, u64::MAX] {
            assert_eq!(lose(path, seq).err(), Some(Status::NoSlot));
        }
        assert!(expected.iter().filter(|n| **n > 0).count() > 1);
        assert!(expected[3] > 0, "{expected:?}");
        assert_eq!(step(path).err(), Some(Status::Empty));
        let counters = counters_of(path);
        assert_eq!(counters.lost_link, expected);
        balance(&counters);
        // They were kept all the same.
        assert_eq!(counters.received, 40);
        let dropped = [Verdict::DropMiss, Verdict::DropVeto];
        assert!((dropped.iter()).all(|v| counters.verdicts[*v as usize - 1] == 0));
        assert_eq!(ring.state().returned, 40);
    }
}

#[test]
fn a_path_that_dies_before_its_loss_is_entered_leaves_the_frame_to_the_next() {
    let engine = engine(&keeping()).unwrap();
    let ring = ring(4);
    let (writer, path) = ring.ends(engine);
    for number in 1..=2 {
        assert_eq!(put(writer, &frame(number)), Status::Ok);
    }
    let first = step(path).unwrap();
    assert!(lose(path, 1).is_ok());
    // The slot does not go back before the loss is in the books.
    assert_eq!(ring.state().returned, 0);

    // Nothing was called since: whoever comes next is given it again, and knows of no loss.
    let path = ring.path(engine, &STILL);
    assert_eq!(counters_of(path).lost_link, [0; 4]);
    let again = step(path).unwrap();
    assert_eq!(again.record, first.record);
    assert!(!again.slot.is_null());
    assert!(lose(path, 1).is_ok());
    let second = step(path).unwrap();
    assert_eq!(second.record.frame_number, 2);

    // It is entered now, once, and its slot is back; that of 2 is out.
    let path = ring.path(engine, &STILL);
    let mut expected = [0; 4];
    expected[place_of(&first.record)] = 1;
    assert_eq!(counters_of(path).lost_link, expected);
    assert_eq!(step(path).unwrap().record, second.record);
    assert!(lose(path, 2).is_ok());
    expected[place_of(&second.record)] += 1;
    // The last call enters what no step has.
    assert_eq!(unsafe { hitgate_path_close(path) }, Status::Ok);
    let path = ring.path(engine, &STILL);
    assert_eq!(counters_of(path).lost_link, expected);
    assert_eq!(step(path).err(), Some(Status::Empty));
    assert_eq!(ring.state().returned, 2);
}

#[test]
fn a_full_ring_goes_on_with_the_step_after_its_slots_are_lost() {
    let engine = engine(&keeping()).unwrap();
    let (writer, path) = ring(4).ends(engine);
    let mut number = 0;
    let mut put_next = || {
        number += 1;
        put(writer, &frame(number))
    };
    for _ in 0..20 {
        while put_next() != Status::Full {}
        let out = [step(path).unwrap(), step(path).unwrap()];
        assert_eq!(step(path).err(), Some(Status::Empty), "half are out");
        for judged in out {
            assert!(lose(path, judged.record.seq).is_ok());
        }
        // By one step, which judges the next frame as well.
        let judged = step(path).unwrap();
        assert_eq!([put_next(), put_next()], [Status::Ok; 2]);
        assert_eq!(give_back(path, &judged), Status::Ok);
    }
    let counters = counters_of(path);
    balance(&counters);
    assert_eq!(counters.lost_link.iter().sum::<u64>(), 40);
}

/// A path, which a C program may use on any thread.
#[derive(Clone, Copy)]
struct Anywhere(*mut Path);

unsafe impl Send for Anywhere {}

impl Anywhere {
    fn get(self) -> *mut Path {
        self.0
    }
}

#[test]
fn frames_are_lost_and_returned_on_another_thread_while_one_steps() {
    const FRAMES: u64 = 600;
    let engine = engine(&keeping()).unwrap();
    let ring = ring(8);
    let (writer, path) = ring.ends(engine);
    let path = Anywhere(path);
    let (to_link, from_path) = channel::<Record>();
    let link = std::thread::spawn(move || {
        let mut expected = [0; 4];
        for record in from_path {
            if record.seq % 3 == 0 {
                let returned = unsafe { hitgate_path_return(path.get(), record.seq) };
                assert_eq!(returned, Status::Ok);
                continue;
            }
            assert_eq!(lose(path.get(), record.seq).unwrap().seq, record.seq);
            assert_eq!(lose(path.get(), record.seq).err(), Some(Status::NoSlot));
            expected[place_of(&record)] += 1;
        }
        expected
    });
    for number in 1..=FRAMES {
        while put(writer, &frame(number)) == Status::Full {
            match step(path.get()) {
                Ok(judged) => to_link.send(judged.record).unwrap(),
                Err(status) => {
                    assert_eq!(status, Status::Empty);
                    yield_now();
                }
            }
        }
    }
    assert_eq!(unsafe { hitgate_writer_close(writer) }, Status::Ok);
    loop {
        match step(path.get()) {
            Ok(judged) => to_link.send(judged.record).unwrap(),
            Err(Status::Empty) => yield_now(),
            Err(status) => {
                assert_eq!(status, Status::End);
                break;
            }
        }
    }
    drop(to_link);
    let expected = link.join().unwrap();
    let counters = counters_of(path.get());
    assert_eq!(counters.received, FRAMES);
    assert_eq!(counters.lost_link, expected);
    assert_eq!(expected.iter().sum::<u64>(), FRAMES - FRAMES / 3);
    balance(&counters);
    assert_eq!(unsafe { hitgate_path_close(path.get()) }, Status::Ok);
    assert_eq!(ring.state().returned, FRAMES);
}

extern "C" fn after(context: *mut c_void, _: usize, len: usize) {
    let releases = unsafe { &*context.cast::<AtomicUsize>() };
    releases.fetch_add(usize::from(len > 128), Ordering::Relaxed);
}

#[test]
fn the_slot_of_a_lost_frame_goes_back_by_the_hook_of_the_thread_that_steps() {
    let engine = engine(&keeping()).unwrap();
    let releases = AtomicUsize::new(0);
    let node = Node {
        context: (&raw const releases).cast_mut().cast(),
        after_cpu_read: Some(after),
        ..STILL
    };
    let ring = ring(4);
    let (writer, path) = (ring.writer(), ring.path(engine, &node));
    assert_eq!(put(writer, &frame(1)), Status::Ok);
    assert!(step(path).is_ok() && lose(path, 1).is_ok());
    assert_eq!(releases.load(Ordering::Relaxed), 0);
    assert_eq!(step(path).err(), Some(Status::Empty));
    assert_eq!(releases.load(Ordering::Relaxed), 1);
}

#[test]
fn a_record_says_what_its_frame_is_worth() {
    let sampling = EngineConfig {
        sample_one_in: 1,
        threshold: 65_535,
        ..plain()
    };
    let worth = |record: &Record| -> Result<u32, Status> {
        asked(|worth| unsafe { hitgate_record_worth(record, worth) })
    };
    let sampling = engine(&sampling).unwrap();
    let sample = judge(sampling, &frame(1), EXTERNAL_NONE);
    assert_eq!(sample.verdict(), Verdict::KeepSample);
    let forced = judge(sampling, &frame(1), EXTERNAL_KEEP);
    let fault = judge(sampling, &frame(1)[..200], EXTERNAL_NONE);
    let engine = engine(&keeping()).unwrap();
    let decide = |hit, maybe| {
        let header = header_of(&frame(1));
        let score = Score {
            p_hit: hit,
            p_maybe: maybe,
            ..Score::default()
        };
        let record: Record =
            told(|record| unsafe { hitgate_engine_decide(engine, &header, &score, 0, 0, record) });
        record
    };
    let (hit, maybe) = (decide(40_000, 25_535), decide(25_535, 40_000));
    assert_eq!(maybe.verdict(), Verdict::KeepMaybe);
    assert_eq!(
        [sample, maybe, hit, forced, fault].map(|record| worth(&record)),
        [
            WORTH_SAMPLE,
            WORTH_MAYBE,
            WORTH_MOST,
            WORTH_MOST,
            WORTH_MOST
        ]
        .map(Ok)
    );
    let (low, high) = (WORTH_SAMPLE < WORTH_MAYBE, WORTH_MAYBE < WORTH_MOST);
    assert!(low && high, "the lowest is given up first");

    let dropped = judge(engine, &frame(1), EXTERNAL_VETO);
    let torn = Record {
        verdict: Verdict::KeepSample as u8,
        ..hit
    };
    for record in [Record::default(), dropped, torn] {
        assert_eq!(worth(&record), Err(Status::Argument));
    }
    let null = unsafe { hitgate_record_worth(&hit, null_mut()) };
    assert_eq!(null, Status::Null);
}
