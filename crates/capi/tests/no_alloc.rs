//! No call of the interface allocates or frees, from asking for memory on.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the tests play a C program, which promises nothing in writing"
)]

mod common;

use common::*;
use std::ptr::null_mut;

use hitgate::abi::*;
use hitgate::status::Status;
use hitgate::types::*;
use hitgate_core::link::Record;
use hitgate_testkit::alloc::{Counting, Counts, count, prove_installed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_thousand_frames_and_all_that_comes_before_allocate_nothing() {
    for policy in [RING_CREDIT, RING_FREE_RUNNING] {
        allocates_nothing(policy);
    }
}

/// On a ring of this policy.
fn allocates_nothing(policy: u32) {
    let config = plain();
    let needed = memory_of(&config).unwrap().bytes;
    let mut memory = Aligned::new(needed);
    let start = memory.start();
    let mut spare = Aligned::new(needed);
    let spare = spare.start();
    let drawing = EngineConfig {
        sample_one_in: 3,
        ..config
    };
    let rules = InterlockRules {
        struct_size: size_of::<InterlockRules>() as u32,
        max_loss: 655,
        window: 1000,
        strays: 16,
    };
    let Ring { mapping, bytes } = Ring::under(policy, 4);
    let asked = Ring { mapping, bytes }.path_memory();
    let mut path_memory = Aligned::new(asked.bytes);
    let path_start = path_memory.start();
    let mut writer_memory = Aligned::new(4096);
    let writer_start = writer_memory.start();
    let frames: Vec<_> = (1..=16).map(frame).collect();

    prove_installed();
    let (judged_frames, counts) = count(|| {
        let (mut engine, mut path, mut writer) = (null_mut(), null_mut(), null_mut());
        let made = unsafe {
            [
                hitgate_engine_memory(&config, &mut Memory::default()),
                hitgate_engine_init(&config, start, needed, &mut engine),
                hitgate_writer_init(mapping, bytes, writer_start, 4096, &mut writer),
                hitgate_path_init(
                    mapping,
                    bytes,
                    engine,
                    &STILL,
                    path_start,
                    asked.bytes,
                    &mut path,
                ),
            ]
        };
        if made != [Status::Ok; 4] {
            return 0;
        }
        let mut next = null_mut();
        let made = unsafe {
            [
                hitgate_engine_init(&drawing, spare, needed, &mut next),
                hitgate_path_swap(path, next),
                hitgate_path_step(path, &mut judged()),
                hitgate_path_guard(path, &rules),
                hitgate_engine_guard(next, &rules),
            ]
        };
        if made
            != [
                Status::Ok,
                Status::Ok,
                Status::Empty,
                Status::Ok,
                Status::Ok,
            ]
        {
            return 0;
        }
        let mut judged_frames = 0;
        for frame in frames.iter().cycle().take(1000) {
            core::mem::swap(&mut engine, &mut next);
            let header = header_of(frame);
            let (mut score, mut record, mut judged) =
                (Score::default(), Record::default(), judged());
            let answers = unsafe {
                [
                    hitgate_engine_score(engine, frame.as_ptr(), frame.len(), &mut score),
                    hitgate_engine_decide(engine, &header, &score, 0, 0, &mut record),
                    hitgate_engine_looked(engine, &record, 1),
                    hitgate_engine_interlock(engine, &mut Interlock::default()),
                    hitgate_engine_counters(engine, &mut Counters::default()),
                    put(writer, frame),
                    hitgate_path_swap(path, engine),
                    hitgate_path_step(path, &mut judged),
                    hitgate_path_looked(path, &judged.record, 1),
                    hitgate_path_interlock(path, &mut Interlock::default()),
                    hitgate_ring_inspect(mapping, bytes, &mut RingState::default()),
                ]
            };
            if !judged.slot.is_null() {
                unsafe { hitgate_path_return(path, judged.record.seq) };
            }
            judged_frames += u32::from(answers == [Status::Ok; 11]);
        }
        unsafe { hitgate_path_close(path) };
        judged_frames
    });
    assert_eq!((judged_frames, counts), (1000, Counts::default()));
}
