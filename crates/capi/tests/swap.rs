//! Engines are swapped: one memory judges while the other is made anew.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the tests play a C program, which promises nothing in writing"
)]

mod common;

use common::*;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::yield_now;

use hitgate::abi::*;
use hitgate::engine::Engine;
use hitgate::path::Path;
use hitgate::status::Status;
use hitgate::types::*;
use hitgate::writer::Writer;
use hitgate_core::link::Record;
use hitgate_core::verdict::Verdict;
use hitgate_tests::other_model;

/// A handle, which a C program may use on any thread.
struct Anywhere<T>(*mut T);

unsafe impl<T> Send for Anywhere<T> {}
unsafe impl<T> Sync for Anywhere<T> {}

impl<T> Anywhere<T> {
    fn get(&self) -> *mut T {
        self.0
    }
}

fn judging(path: *const Path) -> *const Engine {
    let mut engine = null();
    let told = unsafe { hitgate_path_engine(path, &mut engine) };
    assert_eq!(told, Status::Ok);
    engine
}

/// What a record says of its frame, and by which bank.
fn said(record: &Record) -> (u32, u32, [u16; 3], u8) {
    let p = [record.p_hit, record.p_maybe, record.p_miss];
    (record.model, record.config, p, record.verdict)
}

#[test]
fn memory_is_free_once_another_engine_judges_and_no_record_is_of_two() {
    const SWAPS: usize = 200;
    let (other, mask) = (other_model(), [0x0F_u8; (COLUMNS * ROWS / 8) as usize]);
    let masked = [Module {
        mask: mask.as_ptr(),
        mask_len: mask.len(),
        ..module()
    }];
    let configs = [
        keeping(),
        EngineConfig {
            model: other.as_ptr(),
            model_len: other.len(),
            threshold: 65_535,
            ..config(&masked)
        },
    ];
    let frames: Vec<_> = (1..=7).map(frame).collect();
    let expected = configs.map(|config| {
        let engine = engine(&config).unwrap();
        let said = frames
            .iter()
            .map(|frame| said(&judge(engine, frame, EXTERNAL_NONE)));
        said.collect::<Vec<_>>()
    });
    assert!((0..frames.len()).all(|frame| expected[0][frame].2 != expected[1][frame].2));

    let ring = ring(8);
    let writer = Anywhere(ring.writer());
    let needed = memory_of(&configs[0]).unwrap().bytes;
    assert_eq!(memory_of(&configs[1]).unwrap().bytes, needed);
    let mut memories = [(); 2].map(|()| Aligned::new(needed));
    let mut make = |turn: usize| {
        let memory = memories[turn % 2].start();
        // Whatever the engine before has left there.
        unsafe { memory.write_bytes(0xA5, needed) };
        let mut engine = null_mut();
        let config = &configs[turn % 2];
        let made = unsafe { hitgate_engine_init(config, memory, needed, &mut engine) };
        assert_eq!(made, Status::Ok);
        engine
    };
    let path = Anywhere(ring.path(make(0), &STILL));
    let done = AtomicBool::new(false);
    let (frames, done, expected) = (&frames, &done, &expected);
    let (path, writer) = (&path, &writer);
    let records = std::thread::scope(|scope| {
        let feeding = scope.spawn(move || {
            let writer: *mut Writer = writer.get();
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                let at = number as usize % frames.len();
                number += 1;
                let next = under(frames[at].clone(), |header| header.frame_number = number);
                while put(writer, &next) == Status::Full {
                    yield_now();
                }
            }
            assert_eq!(unsafe { hitgate_writer_close(writer) }, Status::Ok);
            number
        });
        let stepping = scope.spawn(move || {
            let mut records = Vec::new();
            loop {
                match pass(path.get()) {
                    Ok(judged) => records.push(judged.record),
                    Err(Status::Empty) => yield_now(),
                    Err(status) => {
                        assert_eq!(status, Status::End);
                        return records;
                    }
                }
            }
        });
        for turn in 1..=SWAPS {
            let next = make(turn);
            let swapped = unsafe { hitgate_path_swap(path.get(), next) };
            assert_eq!(swapped, Status::Ok);
            while judging(path.get()) != next.cast_const() {
                yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
        let records = stepping.join().unwrap();
        assert_eq!(records.len() as u64, feeding.join().unwrap());
        records
    });
    let mut by = [0; 2];
    for (number, record) in records.iter().enumerate() {
        assert_eq!(record.frame_number, number as u64 + 1);
        let of = |bank: usize| expected[bank][number % frames.len()];
        let bank = (0..2).find(|bank| said(record) == of(*bank));
        by[bank.unwrap_or_else(|| panic!("{record:?} is of neither"))] += 1;
    }
    assert!(by.iter().all(|frames| *frames > 0), "{by:?}");
    let counters = counters_of(path.get());
    assert_eq!(counters.received, records.len() as u64);
    assert_eq!(counters.expected, counters.received);
    assert_eq!(counters.verdicts[Verdict::DropMiss as usize - 1], by[1]);
}

#[test]
fn a_swap_that_is_refused_changes_nothing_and_the_last_that_is_asked_for_counts() {
    let one = engine(&plain()).unwrap();
    let other = engine(&keeping()).unwrap();
    let (writer, path) = ring(4).ends(one);
    let swap = |engine: *const Engine| unsafe { hitgate_path_swap(path, engine) };
    for modules in [
        vec![],
        vec![module(), module()],
        vec![Module {
            rows: ROWS + 1,
            ..module()
        }],
        vec![Module {
            pixel_type: 4,
            ..module()
        }],
    ] {
        assert_eq!(swap(engine(&config(&modules)).unwrap()), Status::Module);
    }
    assert_eq!(swap(path.cast()), Status::Handle);
    let mut number = 0;
    let mut config_of_next = || {
        number += 1;
        assert_eq!(put(writer, &frame(number)), Status::Ok);
        pass(path).unwrap().record.config
    };
    let of = |engine| judge(engine, &frame(1), EXTERNAL_NONE).config;
    assert_eq!(config_of_next(), of(one));
    assert_eq!(judging(path), one.cast_const());

    assert_eq!([swap(other), swap(one)], [Status::Ok; 2]);
    assert_eq!(config_of_next(), of(one), "there and back before a step");
    assert_eq!(swap(other), Status::Ok);
    assert_eq!(judging(path), one.cast_const(), "until a step");
    assert_eq!(config_of_next(), of(other));
    assert_eq!(judging(path), other.cast_const());
    assert_eq!(swap(one), Status::Ok);
    assert_eq!(config_of_next(), of(one), "rolled back");
}

#[test]
fn an_engine_that_takes_compressed_frames_besides_has_no_way_back_to_one_that_does_not() {
    let announced = [Module {
        compressed: 1,
        ..module()
    }];
    let [one, other] = [plain(), config(&announced)].map(|config| engine(&config).unwrap());
    let (_, path) = ring(4).ends(one);
    let swaps = |next| {
        assert_eq!(unsafe { hitgate_path_swap(path, next) }, Status::Ok);
        // The step takes it.
        assert_eq!(step(path).err(), Some(Status::Empty));
        assert_eq!(judging(path), next);
    };
    swaps(other);
    assert_eq!(unsafe { hitgate_path_swap(path, one) }, Status::Module);
    assert_eq!(unsafe { hitgate_engine_swap(one, other) }, Status::Ok);
    assert_eq!(unsafe { hitgate_engine_swap(other, one) }, Status::Module);
}

#[test]
fn an_engine_goes_on_with_the_books_of_another() {
    let [one, other] = [0, 65_535].map(|threshold| {
        let config = EngineConfig {
            threshold,
            ..plain()
        };
        engine(&config).unwrap()
    });
    let counters = |engine| -> Counters {
        told(|counters| unsafe { hitgate_engine_counters(engine, counters) })
    };
    for number in 1..=3 {
        judge(one, &frame(number), EXTERNAL_NONE);
    }
    assert_eq!(unsafe { hitgate_engine_swap(one, other) }, Status::Ok);
    // 4 is missing.
    judge(other, &frame(5), EXTERNAL_NONE);
    let Counters {
        received,
        expected,
        lost_source,
        verdicts,
        ..
    } = counters(other);
    assert_eq!((received, expected, lost_source), (4, 5, 1));
    assert_eq!(verdicts[Verdict::DropMiss as usize - 1], 1);
    assert_eq!(counters(one), Counters::default());

    let before = counters(other);
    let wide = [Module {
        columns: COLUMNS + 1,
        ..module()
    }];
    let stranger = engine(&config(&wide)).unwrap();
    let refused =
        [other.cast_const(), stranger].map(|next| unsafe { hitgate_engine_swap(other, next) });
    assert_eq!(refused, [Status::Argument, Status::Module]);
    assert_eq!(counters(other), before);
}
