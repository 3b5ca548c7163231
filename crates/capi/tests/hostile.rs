//! Whatever a program hands over, as far as it can be read: a status, never a crash, and no output that
//! was not asked for.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the tests play a C program that keeps to little"
)]

mod common;

use common::*;
use std::ptr::{null, null_mut};

use hitgate::abi::*;
use hitgate::engine::Engine;
use hitgate::path::Path;
use hitgate::status::Status;
use hitgate::types::*;
use hitgate::writer::Writer;
use hitgate_core::frame::{Fault, FrameHeader, HEADER_LEN};
use hitgate_core::link::Record;
use hitgate_core::verdict::Verdict;
use hitgate_tests::MODEL;
use proptest::collection::vec;
use proptest::prelude::*;

#[test]
fn null_is_named_wherever_it_comes() {
    let config = plain();
    let engine = engine(&config).unwrap();
    let ring @ Ring { mapping, bytes } = ring(4);
    let (writer, path) = ring.ends(engine);
    let frame = frame(1);
    let (at, len) = (frame.as_ptr(), frame.len());
    let mut header = FrameHeader::default();
    let (mut score, mut record) = (Score::default(), Record::default());
    let mut memory = Aligned::new(1 << 20);
    let memory = memory.start();
    let mut made: *mut Engine = null_mut();
    let answers = unsafe {
        [
            hitgate_model_inspect(null(), MODEL.len(), &mut ModelInfo::default()),
            hitgate_model_inspect(MODEL.as_ptr(), MODEL.len(), null_mut()),
            hitgate_header_init(null_mut(), 1, 1, 1),
            hitgate_header_seal(null(), &mut header),
            hitgate_header_seal(&header, null_mut()),
            hitgate_engine_memory(null(), &mut Memory::default()),
            hitgate_engine_memory(&config, null_mut()),
            hitgate_engine_init(null(), memory, 1 << 20, &mut made),
            hitgate_engine_init(&config, null_mut(), 1 << 20, &mut made),
            hitgate_engine_init(&config, memory, 1 << 20, null_mut()),
            hitgate_engine_score(null(), at, len, &mut score),
            hitgate_engine_score(engine, null(), len, &mut score),
            hitgate_engine_score(engine, at, len, null_mut()),
            hitgate_engine_score_prepared(engine, null(), len, &mut score),
            hitgate_engine_decide(engine, null(), &score, 0, 0, &mut record),
            hitgate_engine_decide(engine, &header, null(), 0, 0, &mut record),
            hitgate_engine_decide(engine, &header, &score, 0, 0, null_mut()),
            hitgate_engine_counters(engine, null_mut()),
            hitgate_engine_swap(null(), engine),
            hitgate_engine_swap(engine, null()),
            hitgate_ring_bytes(2, 128, 2, null_mut()),
            hitgate_ring_create(null_mut(), 1 << 20, 2, 128, 2, RING_CREDIT, 1),
            hitgate_ring_inspect(null_mut(), bytes, &mut RingState::default()),
            hitgate_ring_inspect(mapping, bytes, null_mut()),
            hitgate_ring_claim(null_mut(), bytes, 0, 0, 1),
            hitgate_writer_memory(null_mut()),
            hitgate_writer_init(mapping, bytes, null_mut(), 4096, &mut null_mut()),
            hitgate_writer_init(null_mut(), bytes, memory, 4096, &mut null_mut()),
            hitgate_writer_init(mapping, bytes, memory, 4096, null_mut()),
            hitgate_writer_reserve(null(), null_mut()),
            hitgate_writer_reserve(writer, null_mut()),
            hitgate_writer_write(null(), 0, at, len),
            hitgate_writer_write(writer, 0, null(), len),
            hitgate_writer_commit(writer, null()),
            hitgate_path_memory(mapping, bytes, null_mut()),
            hitgate_path_init(
                mapping,
                bytes,
                null(),
                &STILL,
                memory,
                4096,
                &mut null_mut(),
            ),
            hitgate_path_init(
                mapping,
                bytes,
                engine,
                null(),
                memory,
                4096,
                &mut null_mut(),
            ),
            hitgate_path_init(
                mapping,
                bytes,
                engine,
                &STILL,
                null_mut(),
                4096,
                &mut null_mut(),
            ),
            hitgate_path_init(mapping, bytes, engine, &STILL, memory, 4096, null_mut()),
            hitgate_path_step(null(), &mut judged()),
            hitgate_path_step(path, null_mut()),
            hitgate_path_return(null(), 1),
            hitgate_path_lose(null(), 1, &mut record),
            hitgate_path_lose(path, 1, null_mut()),
            hitgate_record_worth(null(), &mut 0),
            hitgate_path_counters(path, null_mut()),
            hitgate_path_swap(null(), engine),
            hitgate_path_swap(path, null()),
            hitgate_path_engine(path, null_mut()),
            hitgate_path_guard(path, null()),
            hitgate_path_looked(path, null(), 1),
            hitgate_path_arm(null()),
            hitgate_path_interlock(path, null_mut()),
            hitgate_engine_guard(engine, null()),
            hitgate_engine_looked(engine, null(), 1),
            hitgate_engine_arm(null()),
            hitgate_engine_interlock(engine, null_mut()),
            hitgate_path_close(null()),
        ]
    };
    for (i, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, Status::Null, "call {i}");
    }
    assert!(made.is_null(), "no output without success");
    // An empty frame needs no pointer: it is a frame that is too short.
    let empty = unsafe { hitgate_engine_score(engine, null(), 0, &mut score) };
    assert_eq!((empty, score.fault), (Status::Ok, 1 << 16));
}

#[test]
fn a_misaligned_pointer_is_named() {
    let config = plain();
    let engine = engine(&config).unwrap();
    let Ring { mapping, bytes } = ring(4);
    let needed = memory_of(&config).unwrap().bytes;
    let memory = Aligned::leaked(needed + 4096);
    let odd = memory.wrapping_add(1);
    let at_8 = memory.wrapping_add(8);
    let answers = unsafe {
        [
            hitgate_engine_memory(odd.cast(), &mut Memory::default()),
            hitgate_engine_memory(&config, odd.cast()),
            hitgate_engine_init(&config, odd, needed, &mut null_mut()),
            hitgate_engine_init(&config, at_8, needed, &mut null_mut()),
            hitgate_engine_score(odd.cast(), null(), 0, &mut Score::default()),
            hitgate_engine_score(engine, null(), 0, odd.cast()),
            hitgate_header_seal(odd.cast(), odd.cast()),
            hitgate_ring_create(odd, 1 << 20, 2, 128, 2, RING_CREDIT, 1),
            hitgate_ring_inspect(mapping.add(64), bytes, &mut RingState::default()),
            hitgate_path_step(odd.cast(), &mut judged()),
            hitgate_path_swap(odd.cast(), engine),
            hitgate_engine_guard(engine, odd.cast()),
            hitgate_writer_write(odd.cast(), 0, null(), 0),
            hitgate_writer_close(odd.cast()),
        ]
    };
    for (i, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, Status::Misaligned, "call {i}");
    }
}

#[test]
fn memory_that_is_a_byte_too_short_is_refused_and_left_alone() {
    let config = plain();
    let needed = memory_of(&config).unwrap().bytes;
    let mut memory = Aligned::filled(needed, 0x5A);
    for bytes in [0, 1, 64, needed / 2, needed - 1] {
        let made = unsafe { hitgate_engine_init(&config, memory.start(), bytes, &mut null_mut()) };
        assert_eq!(made, Status::Memory, "{bytes} bytes");
    }
    let untouched = unsafe { std::slice::from_raw_parts(memory.start(), needed) };
    assert!(untouched.iter().all(|byte| *byte == 0x5A));

    // What is asked for is enough: a byte behind it is not written.
    let mut engine = null_mut();
    let made = unsafe { hitgate_engine_init(&config, memory.start(), needed, &mut engine) };
    assert_eq!(made, Status::Ok);
    assert_eq!(unsafe { *memory.start().add(needed) }, 0x5A);

    for policy in [RING_CREDIT, RING_FREE_RUNNING] {
        let ring = Ring::under(policy, 4);
        let (mapped, asked) = (ring.bytes, ring.path_memory().bytes);
        for (mapped, given) in [(mapped, asked - 1), (mapped - 1, asked), (100, asked)] {
            let memory = Memory {
                bytes: given,
                align: 64,
            };
            let path = common::made(memory, |memory, bytes, path| unsafe {
                hitgate_path_init(ring.mapping, mapped, engine, &STILL, memory, bytes, path)
            });
            assert_eq!(path, Err(Status::Memory));
        }
    }
}

#[test]
fn zeros_another_kind_and_a_copy_are_no_handles() {
    let engine = engine(&plain()).unwrap();
    let ring = ring(4);
    let mut score = Score::default();
    let mut answers = Vec::new();
    let mut copy = Aligned::new(4096);
    unsafe {
        let aligned = Box::leak(Box::new(Aligned::filled(1 << 16, 0))).start();
        answers.push(hitgate_engine_score(aligned.cast(), null(), 0, &mut score));
        answers.push(hitgate_engine_counters(
            aligned.cast(),
            &mut Counters::default(),
        ));
        answers.push(hitgate_path_step(aligned.cast(), &mut judged()));
        answers.push(hitgate_path_return(aligned.cast(), 1));
        answers.push(hitgate_path_lose(aligned.cast(), 1, &mut Record::default()));
        answers.push(hitgate_writer_commit(
            aligned.cast(),
            &FrameHeader::default(),
        ));
        answers.push(hitgate_path_close(engine.cast()));
        answers.push(hitgate_engine_swap(engine, aligned.cast()));
        let path = ring.path(engine, &STILL);
        answers.push(hitgate_path_swap(path, path.cast()));
        answers.push(hitgate_engine_arm(path.cast()));
        answers.push(hitgate_path_swap(engine.cast(), engine));
        answers.push(hitgate_engine_score(
            ring.writer().cast(),
            null(),
            0,
            &mut score,
        ));
        copy.start().copy_from_nonoverlapping(engine.cast(), 512);
        answers.push(hitgate_engine_score(
            copy.start().cast(),
            null(),
            0,
            &mut score,
        ));
    }
    for (i, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, Status::Handle, "call {i}");
    }
}

#[test]
fn structs_of_another_size_are_refused() {
    let config = plain();
    for struct_size in [
        0,
        4,
        config.struct_size - 8,
        config.struct_size + 8,
        u32::MAX,
    ] {
        let other = EngineConfig {
            struct_size,
            ..config
        };
        assert_eq!(memory_of(&other), Err(Status::StructSize));
        let other = [Module {
            struct_size,
            ..module()
        }];
        // The size of a module may be that of a configuration.
        if struct_size != module().struct_size {
            assert_eq!(memory_of(&common::config(&other)), Err(Status::StructSize));
        }
    }
}

#[test]
fn impossible_modules_are_refused() {
    let plain = module();
    let mask = [0_u8; 10];
    let values = [0_i64; 9];
    let cells = [Correction {
        pedestals: [null(); 3],
        gains: [null(); 3],
    }];
    for (i, module) in [
        Module {
            columns: 0,
            ..plain
        },
        Module {
            rows: 65_536,
            ..plain
        },
        Module {
            columns: 65_535,
            rows: 65_535,
            ..plain
        },
        Module {
            pixel_type: 0,
            ..plain
        },
        Module {
            pixel_type: 0x101,
            ..plain
        },
        Module {
            radius: 5,
            beam_x: -1,
            ..plain
        },
        Module {
            radius: 5,
            beam_y: ROWS as i32,
            ..plain
        },
        Module {
            radius: u32::MAX,
            ..plain
        },
        Module {
            mask: mask.as_ptr(),
            mask_len: 10,
            ..plain
        },
        Module {
            mask_values: values.as_ptr(),
            mask_value_count: 9,
            ..plain
        },
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(
            memory_of(&config(&[module])),
            Err(Status::Module),
            "module {i}"
        );
    }
    for module in [
        Module {
            corrections: cells.as_ptr(),
            correction_count: 1,
            ..plain
        },
        Module {
            mask_len: 10,
            ..plain
        },
        Module {
            mask_value_count: 1,
            ..plain
        },
    ] {
        assert_eq!(memory_of(&config(&[module])), Err(Status::Null));
    }
    let endless = Module {
        mask: mask.as_ptr(),
        mask_len: usize::MAX,
        ..plain
    };
    assert_eq!(memory_of(&config(&[endless])), Err(Status::Argument));
    let mut nowhere = config(&[]);
    nowhere.module_count = u32::MAX;
    nowhere.modules = null();
    assert_eq!(memory_of(&nowhere), Err(Status::Null));
}

#[test]
fn impossible_policies_and_reserved_words_are_refused() {
    let (ring, judging) = (ring(4), engine(&plain()).unwrap());
    let node = Node {
        reserved: 1,
        ..STILL
    };
    let path = made(ring.path_memory(), |memory, bytes, path| unsafe {
        hitgate_path_init(
            ring.mapping,
            ring.bytes,
            judging,
            &node,
            memory,
            bytes,
            path,
        )
    });
    assert_eq!(path, Err(Status::Argument));
    let create =
        |policy| unsafe { hitgate_ring_create(ring.mapping, ring.bytes, 2, 128, 2, policy, 1) };
    assert_eq!([create(2), create(u32::MAX)], [Status::Argument; 2]);
    for config in [
        EngineConfig {
            threshold: 65_536,
            ..plain()
        },
        EngineConfig {
            sample_one_in: 65_536,
            ..plain()
        },
        EngineConfig {
            reserved: 1,
            ..plain()
        },
    ] {
        assert_eq!(engine(&config), Err(Status::Argument));
    }
}

#[test]
fn truncated_models_are_refused_at_every_length() {
    let lengths = (0..2048).chain((2048..MODEL.len()).step_by(997));
    for model_len in lengths {
        let config = EngineConfig {
            model_len,
            ..plain()
        };
        assert_eq!(memory_of(&config), Err(Status::Model), "{model_len} bytes");
    }
}

#[test]
fn a_model_with_another_golden_answer_is_refused() {
    // The last sections are the head's biases and, 64 bytes on, its scale of 4 bytes.
    let mut model = MODEL.to_vec();
    let bias = model.len() - 4 - 64;
    model[bias] ^= 1;
    let crc = crc32fast::hash(&model[16..]);
    model[12..16].copy_from_slice(&crc.to_le_bytes());
    let config = EngineConfig {
        model: model.as_ptr(),
        model_len: model.len(),
        ..plain()
    };
    assert_eq!(engine(&config), Err(Status::Golden));
}

#[test]
fn a_slot_that_is_not_out_does_not_come_back() {
    let engine = engine(&plain()).unwrap();
    let (writer, path) = ring(4).ends(engine);
    for seq in [0, 1, 2, 1 << 32, u64::MAX] {
        assert_eq!(unsafe { hitgate_path_return(path, seq) }, Status::NoSlot);
    }
    let header = header_of(&frame(1));
    assert_eq!(
        unsafe { hitgate_writer_commit(writer, &header) },
        Status::NoSlot
    );
    let mut slot = no_slot();
    assert_eq!(
        unsafe { hitgate_writer_reserve(writer, &mut slot) },
        Status::Ok
    );
    let long = FrameHeader {
        payload_len: u32::MAX,
        ..header
    };
    assert_eq!(
        unsafe { hitgate_writer_commit(writer, &long) },
        Status::TooLarge
    );
}

/// Probabilities whose sum is one whole, or is near it.
fn near_one_whole() -> impl Strategy<Value = (u16, u16, u16)> {
    let parts = (any::<u16>(), any::<u16>(), 0_u16..7);
    parts.prop_map(|(one, other, off)| {
        let (low, high) = (one.min(other), one.max(other));
        (
            low,
            high - low,
            (u16::MAX - high).wrapping_add(off).wrapping_sub(3),
        )
    })
}

#[test]
fn a_score_that_no_call_has_written_keeps_its_frame() {
    let engine = engine(&plain()).unwrap();
    let frame = frame(1);
    let (header, mut score) = (header_of(&frame), Score::default());
    // The caller overlooks that this was refused.
    let refused = unsafe { hitgate_engine_score(null(), frame.as_ptr(), frame.len(), &mut score) };
    assert_eq!((refused, score), (Status::Null, Score::default()));
    let record: Record =
        told(|record| unsafe { hitgate_engine_decide(engine, &header, &score, 0, 0, record) });
    assert_eq!(
        (record.verdict(), record.class()),
        (Verdict::KeepFault, None)
    );
    assert_eq!(record.reasons, Fault::Backend.reason_bit());
    assert_eq!(record.frame_number, 1);
    let counters: Counters = told(|counters| unsafe { hitgate_engine_counters(engine, counters) });
    assert_eq!(counters.classes, [0; 3]);
    assert_eq!(counters.verdicts[Verdict::KeepFault as usize - 1], 1);
}

/// An engine for all cases of a property: each runs on a thread of its own.
fn own_engine() -> *mut Engine {
    thread_local! {
        static ENGINE: *mut Engine = engine(&plain()).unwrap();
    }
    ENGINE.with(|engine| *engine)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_models(mut model in vec(any::<u8>(), 0..4096), sound in any::<bool>()) {
        if sound && model.len() > 20 {
            model[..8].copy_from_slice(b"HGMODEL\0");
            model[8..12].copy_from_slice(&1_u32.to_le_bytes());
            let len = model.len() as u32;
            model[16..20].copy_from_slice(&len.to_le_bytes());
            let crc = crc32fast::hash(&model[16..]);
            model[12..16].copy_from_slice(&crc.to_le_bytes());
        }
        let start = model.as_ptr();
        let mut info = ModelInfo::default();
        let told = unsafe { hitgate_model_inspect(start, model.len(), &mut info) };
        prop_assert_eq!(told, Status::Model);
        let config = EngineConfig { model: start, model_len: model.len(), ..config(&[]) };
        prop_assert_eq!(memory_of(&config), Err(Status::Model));
    }

    #[test]
    fn bytes_of_a_sound_model_changed_with_a_checksum_that_fits(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut model = MODEL.to_vec();
        for (at, byte) in changes {
            // Half of the changes where the tables are.
            let span = if byte & 1 == 0 { 4096 } else { model.len() };
            let at = at.index(span).max(16);
            model[at] = byte;
        }
        let crc = crc32fast::hash(&model[16..]);
        model[12..16].copy_from_slice(&crc.to_le_bytes());
        let modules = [module()];
        let config = EngineConfig { model: model.as_ptr(), model_len: model.len(), ..config(&modules) };
        let mut asked = Memory::default();
        if unsafe { hitgate_engine_memory(&config, &mut asked) } == Status::Ok && asked.bytes < 1 << 26 {
            let mut memory = Aligned::new(asked.bytes);
            let mut engine = null_mut();
            let made = unsafe { hitgate_engine_init(&config, memory.start(), asked.bytes, &mut engine) };
            if made == Status::Ok {
                score(engine, &frame(3));
            }
        }
    }

    #[test]
    fn random_frames(frame in vec(any::<u8>(), 0..20_000), sealed in any::<bool>(), shaped in any::<bool>()) {
        let frame = match sealed && frame.len() >= HEADER_LEN {
            true => under(frame, |header| {
                if shaped {
                    *header = header_of(&common::frame(header.frame_number));
                }
                header.magic = hitgate_core::frame::MAGIC;
            }),
            false => frame,
        };
        let score = score(own_engine(), &frame);
        let whole = frame.len() >= HEADER_LEN + (COLUMNS * ROWS * 2) as usize;
        prop_assert_eq!(score.fault == 0, sealed && shaped && whole);
    }

    #[test]
    fn random_maps(map in vec(any::<u8>(), 0..200), full in any::<bool>(), level in any::<u8>()) {
        let size = 224 * 224 * 2;
        let map = if full { vec![level; size] } else { map };
        let mut score = Score::default();
        let scored = unsafe {
            hitgate_engine_score_prepared(own_engine(), map.as_ptr(), map.len(), &mut score)
        };
        let expected = if full { Status::Ok } else { Status::Argument };
        prop_assert_eq!(scored, expected);
    }

    #[test]
    fn random_headers_and_scores(
        header in any::<[[u8; 32]; 4]>(),
        score in prop_oneof![any::<(u16, u16, u16)>(), near_one_whole()],
        stray in 0_u16..3,
        fault in prop_oneof![Just(0), any::<u32>(), (0_u32..32).prop_map(|bit| 1 << bit)],
        external in 0_u32..5,
        elapsed_ns in any::<u64>(),
    ) {
        let header = FrameHeader::from_bytes(header.as_flattened().first_chunk().unwrap());
        let (p_hit, p_maybe, p_miss) = score;
        let score = Score { p_hit, p_maybe, p_miss, stray, fault };
        let mut record = Record::default();
        let decided = unsafe {
            hitgate_engine_decide(own_engine(), &header, &score, external, elapsed_ns, &mut record)
        };
        let known = external <= 2 && stray <= 1 && (fault == 0 || fault.is_power_of_two() && fault >= 1 << 16);
        prop_assert_eq!(decided, if known { Status::Ok } else { Status::Argument });
        prop_assert_eq!(Record::parse(&record.to_bytes()).is_some(), known);
        if known {
            // Nothing but a veto, or a score that the network can say, drops a frame.
            let sum: u32 = [p_hit, p_maybe, p_miss].map(u32::from).iter().sum();
            let whole = (65_534..=65_536).contains(&sum);
            let unjudged = fault != 0 || !whole;
            prop_assert!(!unjudged || record.verdict() != Verdict::DropMiss);
            prop_assert_eq!(record.class().is_none(), unjudged);
            let marked = Fault::ALL.into_iter().any(|fault| record.reasons & fault.reason_bit() != 0);
            prop_assert_eq!(marked, unjudged);
        }
    }

    #[test]
    fn random_handles(bytes in vec(any::<u8>(), 4096)) {
        let mut memory = Aligned::new(4096);
        let start = memory.start();
        unsafe { start.copy_from_nonoverlapping(bytes.as_ptr(), 4096) };
        let (engine, path, writer): (*mut Engine, *mut Path, *mut Writer) =
            (start.cast(), start.cast(), start.cast());
        let answers = unsafe {
            [
                hitgate_engine_score(engine, bytes.as_ptr(), 4096, &mut Score::default()),
                hitgate_engine_counters(engine, &mut Counters::default()),
                hitgate_path_step(path, &mut judged()),
                hitgate_path_return(path, 1),
                hitgate_path_lose(path, 1, &mut Record::default()),
                hitgate_path_heartbeat(path, 1),
                hitgate_path_counters(path, &mut Counters::default()),
                hitgate_path_swap(path, engine),
                hitgate_path_engine(path, &mut null()),
                hitgate_path_arm(path),
                hitgate_path_close(path),
                hitgate_engine_arm(engine),
                hitgate_writer_write(writer, 0, bytes.as_ptr(), 4096),
                hitgate_writer_commit(writer, &FrameHeader::default()),
                hitgate_writer_lose(writer, 1),
                hitgate_writer_heartbeat(writer, 1),
                hitgate_writer_close(writer),
            ]
        };
        prop_assert_eq!(answers, [Status::Handle; 17]);
    }

    #[test]
    fn random_mappings(
        changes in vec((0_usize..1280, any::<u8>()), 1..40),
        from_nothing in any::<bool>(),
        policy in RING_CREDIT..=RING_FREE_RUNNING,
        len in 0_usize..100_000,
    ) {
        let Ring { mapping, bytes } = Ring::under(policy, 4);
        let copy = &mut Aligned::new(bytes);
        let start = copy.start();
        unsafe {
            if !from_nothing {
                start.copy_from_nonoverlapping(mapping, bytes);
            }
            for (at, byte) in changes {
                *start.add(at) = byte;
            }
        }
        let len = len.min(bytes);
        let engine = own_engine();
        for len in [len, bytes] {
            unsafe {
                hitgate_ring_inspect(start, len, &mut RingState::default());
                hitgate_ring_claim(start, len, RING_WRITER, 0, 1);
                let mut asked = Memory::default();
                if hitgate_path_memory(start, len, &mut asked) != Status::Ok {
                    continue;
                }
                let mut memory = Aligned::new(asked.bytes);
                let mut path = null_mut();
                let at = memory.start();
                if hitgate_path_init(start, len, engine, &STILL, at, asked.bytes, &mut path) == Status::Ok {
                    let mut judged = judged();
                    for _ in 0..6 {
                        if hitgate_path_step(path, &mut judged) == Status::Ok && !judged.slot.is_null() {
                            match judged.record.seq % 2 {
                                0 => hitgate_path_return(path, judged.record.seq),
                                _ => hitgate_path_lose(path, judged.record.seq, &mut Record::default()),
                            };
                        }
                    }
                    hitgate_path_close(path);
                }
                let mut asked = Memory::default();
                hitgate_writer_memory(&mut asked);
                let mut memory = Aligned::new(asked.bytes);
                let mut writer = null_mut();
                if hitgate_writer_init(start, len, memory.start(), asked.bytes, &mut writer) == Status::Ok {
                    for number in 1..6 {
                        put(writer, &frame(number));
                    }
                    hitgate_writer_close(writer);
                }
            }
        }
    }

    #[test]
    fn random_shapes_of_rings(slots in any::<u32>(), slot_bytes in any::<u32>(), records in any::<u32>()) {
        let mut bytes = 0;
        let asked = unsafe { hitgate_ring_bytes(slots, slot_bytes, records, &mut bytes) };
        prop_assert!(matches!(asked, Status::Ok | Status::Argument));
        let mut mapping = Aligned::new(8192);
        let made = unsafe { hitgate_ring_create(mapping.start(), 8192, slots, slot_bytes, records, RING_CREDIT, 1) };
        prop_assert!(matches!(made, Status::Argument | Status::Memory) || bytes <= 8192);
    }

    #[test]
    fn random_modules(words in any::<[u32; 7]>(), small in any::<bool>()) {
        let [columns, rows, pixel_type, x, y, radius, saturation] = words;
        let limit = |n: u32, most: u32| if small { n % most } else { n };
        let modules = [Module {
            columns: limit(columns, 400),
            rows: limit(rows, 400),
            pixel_type: limit(pixel_type, 7),
            beam_x: limit(x, 300).cast_signed(),
            beam_y: limit(y, 300).cast_signed(),
            radius: limit(radius, 1_100_000),
            saturation,
            ..module()
        }];
        let config = config(&modules);
        let Ok(asked) = memory_of(&config) else { return Ok(()) };
        if asked.bytes > 1 << 26 {
            return Ok(());
        }
        let engine = engine(&config).unwrap();
        let Module { columns, rows, .. } = modules[0];
        let Some(pixel_type) = hitgate_core::frame::PixelType::from_code(modules[0].pixel_type as u8) else {
            return Ok(());
        };
        let mut frame = FrameHeader::new(rows as u16, columns as u16, pixel_type).seal().to_vec();
        frame.resize(HEADER_LEN + (rows * columns) as usize * pixel_type.size(), 3);
        prop_assert_eq!(score(engine, &frame).fault, 0);
    }
}
