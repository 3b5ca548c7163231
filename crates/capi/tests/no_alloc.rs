//! No call of the interface allocates or frees.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the tests play a C program, which promises nothing in writing"
)]

mod common;

use common::*;
use std::ptr::{null, null_mut};

use hitgate::abi::*;
use hitgate::status::Status;
use hitgate::types::*;
use hitgate_core::frame::{FrameHeader, HEADER_LEN, PixelType};
use hitgate_core::link::Record;
use hitgate_core::net::Model;
use hitgate_testkit::alloc::{Counting, Counts, count, prove_installed};
use hitgate_tests::MODEL;

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
    let (slots, slot_bytes) = (4, 128 + COLUMNS * ROWS * 2);
    let Ring { mapping, bytes } = Ring::under(policy, slots);
    let asked = Ring { mapping, bytes }.path_memory();
    let mut path_memory = Aligned::new(asked.bytes);
    let path_start = path_memory.start();
    let mut writer_memory = Aligned::new(4096);
    let writer_start = writer_memory.start();
    let frames: Vec<_> = (1..=16).map(frame).collect();
    let map = Model::parse(MODEL).unwrap().golden().map;

    prove_installed();
    let (judged_frames, counts) = count(|| {
        let (mut engine, mut path, mut writer) = (null_mut(), null_mut(), null_mut());
        let (mut memory, mut header) = (Memory::default(), FrameHeader::default());
        let at = &raw mut header;
        let (rows, columns) = (ROWS, COLUMNS);
        let known = hitgate_abi_version() == ABI_VERSION && !hitgate_status_text(3).is_null();
        let made = unsafe {
            [
                hitgate_model_inspect(MODEL.as_ptr(), MODEL.len(), &mut ModelInfo::default()),
                hitgate_header_init(at, rows, columns, PixelType::U16 as u32),
                hitgate_header_seal(at, at),
                hitgate_ring_bytes(slots, slot_bytes, slots, &mut 0),
                hitgate_ring_create(mapping, bytes, slots, slot_bytes, slots, policy, 7),
                hitgate_ring_claim(mapping, bytes, RING_WRITER, 0, 1),
                hitgate_engine_memory(&config, &mut memory),
                hitgate_engine_init(&config, start, needed, &mut engine),
                hitgate_writer_memory(&mut memory),
                hitgate_writer_init(mapping, bytes, writer_start, 4096, &mut writer),
                hitgate_path_memory(mapping, bytes, &mut memory),
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
        if !known || made != [Status::Ok; 12] {
            return 0;
        }
        let mut next = null_mut();
        let made = unsafe {
            [
                hitgate_engine_init(&drawing, spare, needed, &mut next),
                hitgate_path_swap(path, next),
                hitgate_path_step(path, &mut judged()),
                hitgate_path_guard(path, &rules),
                hitgate_engine_guard(engine, &rules),
                hitgate_engine_guard(next, &rules),
            ]
        };
        let expected = [
            Status::Ok,
            Status::Ok,
            Status::Empty,
            Status::Ok,
            Status::Argument,
            Status::Ok,
        ];
        if made != expected {
            return 0;
        }
        let mut judged_frames = 0;
        for frame in frames.iter().cycle().take(1000) {
            core::mem::swap(&mut engine, &mut next);
            let header = header_of(frame);
            let payload = &frame[HEADER_LEN..];
            let (mut score, mut record, mut judged) =
                (Score::default(), Record::default(), judged());
            let answers = unsafe {
                [
                    hitgate_engine_swap(next, engine),
                    hitgate_engine_score_prepared(engine, map.as_ptr(), map.len(), &mut score),
                    hitgate_engine_score(engine, frame.as_ptr(), frame.len(), &mut score),
                    hitgate_engine_decide(engine, &header, &score, 0, 0, &mut record),
                    hitgate_engine_looked(engine, &record, 1),
                    hitgate_engine_interlock(engine, &mut Interlock::default()),
                    hitgate_engine_counters(engine, &mut Counters::default()),
                    hitgate_writer_reserve(writer, &mut no_slot()),
                    hitgate_writer_write(writer, 0, payload.as_ptr(), payload.len()),
                    hitgate_writer_commit(writer, &header),
                    hitgate_writer_lose(writer, 1),
                    hitgate_writer_heartbeat(writer, 1),
                    hitgate_path_swap(path, engine),
                    hitgate_path_step(path, &mut judged),
                    hitgate_path_engine(path, &mut null()),
                    hitgate_path_looked(path, &judged.record, 1),
                    hitgate_path_interlock(path, &mut Interlock::default()),
                    hitgate_path_heartbeat(path, 1),
                    hitgate_path_counters(path, &mut Counters::default()),
                    hitgate_ring_inspect(mapping, bytes, &mut RingState::default()),
                ]
            };
            let arms = unsafe { [hitgate_path_arm(path), hitgate_engine_arm(engine)] };
            let seq = judged.record.seq;
            let done = unsafe {
                match (judged.slot.is_null(), seq % 2) {
                    (true, _) => [Status::Ok; 2],
                    (false, 0) => [hitgate_path_return(path, seq), Status::Ok],
                    (false, _) => [
                        hitgate_record_worth(&judged.record, &mut 0),
                        hitgate_path_lose(path, seq, &mut record),
                    ],
                }
            };
            let sound = answers == [Status::Ok; 20] && done == [Status::Ok; 2];
            let armed = arms.map(|arm| matches!(arm, Status::Ok | Status::NotArmed));
            judged_frames += u32::from(sound && armed == [true; 2]);
        }
        let closed = unsafe { [hitgate_writer_close(writer), hitgate_path_close(path)] };
        if closed == [Status::Ok; 2] {
            judged_frames
        } else {
            0
        }
    });
    assert_eq!((judged_frames, counts), (1000, Counts::default()));
}

#[test]
fn every_call_of_the_interface_is_among_them() {
    let source = include_str!("no_alloc.rs");
    let (_, counted) = source.split_once("count(|| {").unwrap();
    let (counted, _) = counted.split_once("Counts::default()").unwrap();
    for call in include_str!("../symbols.txt").lines() {
        assert!(counted.contains(&format!("{call}(")), "{call}");
    }
}
