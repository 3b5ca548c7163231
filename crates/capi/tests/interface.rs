//! What the functions do when they are used as they are meant to be: the same as `hitgate-core`.
#![allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the tests play a C program, which promises nothing in writing"
)]

mod common;

use common::*;
use std::ffi::{CStr, c_void};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering};

use hitgate::abi::*;
use hitgate::status::Status;
use hitgate::types::*;
use hitgate_core::frame::{Compression, Fault, FrameHeader, HEADER_LEN, PixelType, flags};
use hitgate_core::link::{LentQueue, Record};
use hitgate_core::net::Model;
use hitgate_core::verdict::{Policy, Verdict};
use hitgate_formats::bitshuffle::encode;
use hitgate_kernels::Level;
use hitgate_tests::{Collector, MODEL, POLICY, pipeline, preparation};

#[test]
fn engine_and_path_say_what_core_says() {
    let model = Model::parse(MODEL).unwrap();
    let preparations = [preparation(&model, COLUMNS, ROWS)];
    let level = Level::detect();
    let mut memory = hitgate_tests::Memory::new(&model, level, &preparations);
    let core_ring = hitgate_tests::ring(4, (COLUMNS * ROWS * 2) as usize);
    let mut core_writer = core_ring.writer().unwrap();
    let mut core = pipeline(
        &core_ring,
        memory.cpu(&model, level, &preparations),
        LentQueue::<1>::new(),
    );

    let config = EngineConfig {
        threshold: u32::from(POLICY.threshold),
        ..plain()
    };
    let engine = engine(&config).unwrap();
    let (writer, path) = ring(4).ends(engine);
    let mut node = Collector::default();
    for number in 1..=20 {
        // Some damaged, some forced.
        let frame = under(frame(number), |header| {
            header.status = u32::from(number % 5 == 0);
            header.flags = if number % 3 == 0 { flags::KEEP_RAW } else { 0 };
        });
        let sealed: &[u8; 128] = frame.first_chunk().unwrap();
        assert!(hitgate_tests::put(&mut core_writer, sealed, &frame[128..]));
        core.step(&mut node).unwrap();
        drop(core.link.take());
        let expected = *node.records.last().unwrap();

        assert_eq!(put(writer, &frame), Status::Ok);
        let judged = step(path).unwrap();
        let alike = |record: Record| Record {
            seq: 0,
            model: 0,
            config: 0,
            crc: 0,
            ..record
        };
        assert_eq!(alike(judged.record), alike(expected), "frame {number}");
        assert_eq!(judged.slot.is_null(), !expected.verdict().keeps());
        if !judged.slot.is_null() {
            assert_eq!(slot_of(&judged)[128..frame.len()], frame[128..]);
            assert_eq!(give_back(path, &judged), Status::Ok);
            assert_eq!(give_back(path, &judged), Status::NoSlot);
        }
        assert_eq!(
            alike(judge(engine, &frame, 0)),
            alike(expected),
            "frame {number}"
        );
    }

    let of_path = counters_of(path);
    let of_engine = told(|counters| unsafe { hitgate_engine_counters(engine, counters) });
    assert_eq!(of_path, of_engine);
    assert_eq!((of_path.received, of_path.expected), (20, 20));
    assert_eq!(of_path.verdicts.iter().sum::<u64>(), 20);
    assert_eq!(of_path.verdicts[Verdict::KeepFault as usize - 1], 3);
}

#[test]
fn a_prepared_map_has_the_golden_score() {
    let model = Model::parse(MODEL).unwrap();
    let engine = engine(&config(&[])).unwrap();
    let golden = model.golden();
    let (map, len) = (golden.map.as_ptr(), golden.map.len());
    let score: Score =
        told(|score| unsafe { hitgate_engine_score_prepared(engine, map, len, score) });
    let found = (score.p_hit, score.p_maybe, score.p_miss, score.fault);
    let expected = golden.score;
    assert_eq!(found, (expected.hit, expected.maybe, expected.miss, 0));
    let short: Result<Score, _> =
        asked(|score| unsafe { hitgate_engine_score_prepared(engine, map, len - 1, score) });
    assert_eq!(short, Err(Status::Argument));
}

#[test]
fn a_model_file_says_what_the_model_says() {
    let model = Model::parse(MODEL).unwrap();
    let info: ModelInfo =
        told(|info| unsafe { hitgate_model_inspect(MODEL.as_ptr(), MODEL.len(), info) });
    assert_eq!(
        (info.input_size, info.channels, info.threshold),
        (
            model.input().size,
            model.input().channels,
            model.threshold().into()
        )
    );
    assert_eq!(size_of::<ModelInfo>(), 64);
}

#[test]
fn a_sealed_header_is_believed() {
    let mut header = FrameHeader::default();
    let made = unsafe { hitgate_header_init(&mut header, 3, 2, PixelType::U8 as u32) };
    assert_eq!(made, Status::Ok);
    header.frame_number = 9;
    let at = &raw mut header;
    assert_eq!(unsafe { hitgate_header_seal(at, at) }, Status::Ok);
    assert_eq!(header.to_bytes(), header.seal());
    let too_many = unsafe { hitgate_header_init(&mut header, 65_536, 2, 1) };
    assert_eq!(too_many, Status::Argument);
}

#[test]
fn a_veto_drops_and_a_veto_of_an_unreadable_frame_does_not() {
    let engine = engine(&plain()).unwrap();
    let good = frame(1);
    assert_eq!(
        judge(engine, &good, EXTERNAL_VETO).verdict(),
        Verdict::DropVeto
    );
    assert_eq!(
        judge(engine, &good, EXTERNAL_KEEP).verdict(),
        Verdict::KeepForced
    );
    let mut torn = good.clone();
    torn[20] ^= 1;
    let record = judge(engine, &torn, EXTERNAL_VETO);
    assert_eq!(record.verdict(), Verdict::KeepFault);
    assert_eq!(record.frame_number, 0, "nobody knows it");
    assert_eq!(judge(engine, &good[..100], 0).verdict(), Verdict::KeepFault);
}

extern "C" fn ticks(context: *mut c_void) -> u64 {
    let now = context.cast::<u64>();
    unsafe {
        *now += 1000;
        *now
    }
}

extern "C" fn nonsense(_: *mut c_void, header: *const FrameHeader) -> u32 {
    let number = unsafe { (*header).frame_number };
    if number == 1 { EXTERNAL_VETO } else { 77 }
}

#[test]
fn the_nodes_functions_are_asked_and_nonsense_keeps() {
    let config = EngineConfig {
        deadline_ns: 1,
        ..plain()
    };
    let engine = engine(&config).unwrap();
    let ring = ring(4);
    let writer = ring.writer();
    let mut now = 0_u64;
    let node = Node {
        context: (&raw mut now).cast(),
        now_ns: Some(ticks),
        external: Some(nonsense),
        ..STILL
    };
    let path = ring.path(engine, &node);
    let mut verdicts = Vec::new();
    for number in [1, 2, 5] {
        assert_eq!(put(writer, &frame(number)), Status::Ok);
        let judged = step(path).unwrap();
        assert!(judged.record.latency_ns >= 1000);
        verdicts.push((judged.record.verdict(), judged.lost.pulse_key));
        // 3 and 4 are missing.
        assert_eq!(judged.lost.verdict == Verdict::Lost as u8, number == 5);
    }
    let forced = Verdict::KeepForced;
    assert_eq!(verdicts, [(Verdict::DropVeto, 0), (forced, 0), (forced, 2)]);
}

#[test]
fn half_the_slots_may_be_out_and_come_back_from_another_thread() {
    let engine = engine(&keeping()).unwrap();
    let ring = ring(4);
    let (writer, path) = ring.ends(engine);
    for number in 1..=4 {
        assert_eq!(put(writer, &frame(number)), Status::Ok);
    }
    assert_eq!(put(writer, &frame(5)), Status::Full);
    let out = [step(path).unwrap(), step(path).unwrap()];
    assert_eq!(step(path).err(), Some(Status::Empty));
    let at = path as usize;
    for seq in [out[1].record.seq, out[0].record.seq] {
        let back = std::thread::spawn(move || unsafe {
            hitgate_path_return(at as *const hitgate::path::Path, seq)
        });
        assert_eq!(back.join().unwrap(), Status::Ok);
    }
    for _ in 0..2 {
        assert!(step(path).is_ok());
    }
    assert_eq!(step(path).err(), Some(Status::Empty));
    assert_eq!(unsafe { hitgate_writer_lose(writer, 3) }, Status::Ok);
    assert_eq!(unsafe { hitgate_writer_heartbeat(writer, 11) }, Status::Ok);
    assert_eq!(unsafe { hitgate_path_heartbeat(path, 12) }, Status::Ok);
    assert_eq!(unsafe { hitgate_writer_close(writer) }, Status::Ok);
    assert_eq!(step(path).err(), Some(Status::End));
    assert_eq!(unsafe { hitgate_path_close(path) }, Status::Ok);

    let state = ring.state();
    let heartbeats = (state.writer_heartbeat_ms, state.reader_heartbeat_ms);
    let counts = (
        state.produced,
        state.taken,
        state.returned,
        state.lost_at_source,
    );
    assert_eq!(
        (state.writer_state, state.reader_state, heartbeats),
        (2, 2, (11, 12))
    );
    assert_eq!((counts, state.session), ((4, 4, 2, 3), 7));
    assert_eq!((state.policy, state.lapped), (RING_CREDIT, 0));
    // Neither is a handle any more.
    assert_eq!(step(path).err(), Some(Status::Handle));
    assert_eq!(unsafe { hitgate_writer_close(writer) }, Status::Handle);
}

#[test]
fn a_slot_is_filled_in_place_or_by_copies() {
    let engine = engine(&keeping()).unwrap();
    let (writer, path) = ring(4).ends(engine);
    let frame = frame(1);
    let (header, payload) = (header_of(&frame), &frame[HEADER_LEN..]);
    let (start, len) = (payload.as_ptr(), payload.len());
    let write = |offset: usize, len| unsafe {
        hitgate_writer_write(writer, offset, start.wrapping_add(offset), len)
    };
    for in_place in [true, false] {
        let mut slot = no_slot();
        let reserved = unsafe { hitgate_writer_reserve(writer, &mut slot) };
        assert_eq!(reserved, Status::Ok);
        if in_place {
            assert!(slot.payload_room >= len);
            unsafe { slot.payload.copy_from_nonoverlapping(start, len) };
        } else {
            // In two parts, the second one first, which meet at no multiple of anything.
            assert_eq!([write(1001, len - 1001), write(0, 1001)], [Status::Ok; 2]);
            let beyond = [write(slot.payload_room, 1), write(usize::MAX, 0)];
            assert_eq!(beyond, [Status::TooLarge; 2]);
        }
        let committed = unsafe { hitgate_writer_commit(writer, &header) };
        assert_eq!(committed, Status::Ok);
        let judged = step(path).unwrap();
        assert_eq!(slot_of(&judged)[HEADER_LEN..frame.len()], *payload);
    }
    assert_eq!(write(0, 1), Status::NoSlot, "none is reserved");
}

#[test]
fn an_end_has_one_owner() {
    let ring = ring(2);
    let claim = |end, expected, owner| unsafe {
        hitgate_ring_claim(ring.mapping, ring.bytes, end, expected, owner)
    };
    let reader = |expected, owner| claim(RING_READER, expected, owner);
    assert_eq!(
        [reader(0, 12), reader(0, 13), reader(12, 13)],
        [Status::Ok, Status::InUse, Status::Ok]
    );
    let state = ring.state();
    assert_eq!((state.writer_owner, state.reader_owner), (0, 13));
    assert_eq!(claim(2, 0, 1), Status::Argument);
}

#[test]
fn a_configuration_has_one_checksum_and_another_has_another() {
    let mask = vec![0xFF_u8; (COLUMNS * ROWS / 8) as usize / 2 + 1];
    let half: Vec<u8> = mask.iter().copied().chain(vec![0; mask.len()]).collect();
    let values = [-1_i64, 65_535];
    let plain = module();
    let masked = Module {
        mask: half.as_ptr(),
        mask_len: half.len(),
        ..plain
    };
    let valued = Module {
        mask_values: values.as_ptr(),
        mask_value_count: 2,
        ..plain
    };
    let placed = Module {
        beam_x: 40,
        beam_y: 30,
        radius: 20,
        ..plain
    };
    let of = |module: Module| {
        let modules = [module];
        judge(engine(&config(&modules)).unwrap(), &frame(1), 0).config
    };
    let checksums = [plain, masked, valued, placed].map(of);
    assert_eq!(checksums, [plain, masked, valued, placed].map(of));
    let mut different = checksums.to_vec();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), 4);
}

#[test]
fn raw_words_are_corrected_by_storage_cell() {
    let pixels = (COLUMNS * ROWS) as usize;
    let pedestals = vec![0_u16; pixels];
    let one = vec![half::f16::from_f32(1.0).to_bits(); pixels];
    let cell = Correction {
        pedestals: [pedestals.as_ptr(); 3],
        gains: [one.as_ptr(); 3],
    };
    let cells = [cell, cell];
    let raw = Module {
        corrections: cells.as_ptr(),
        correction_count: 2,
        ..module()
    };
    let modules = [module(), raw];
    let engine = engine(&config(&modules)).unwrap();
    let fault = |module_id, cell_id| {
        let frame = under(frame(1), |header| {
            (header.module_id, header.cell_id) = (module_id, cell_id);
        });
        score(engine, &frame).fault
    };
    assert_eq!([fault(0, 7), fault(1, 0), fault(1, 1)], [0; 3]);
    assert_eq!(fault(1, 2), Fault::UnknownCell.reason_bit());
    assert_eq!(fault(2, 0), Fault::UnknownModule.reason_bit());
}

#[test]
fn a_compressed_frame_scores_as_its_pixels_do_where_it_is_announced() {
    let plain = frame(1);
    let chunk = encode(2, &plain[HEADER_LEN..]);
    let header = FrameHeader {
        module_id: 1,
        ..header_of(&plain).with_payload(Some(Compression::BitshuffleLz4), chunk.len() as u32)
    };
    let compressed = [&header.seal()[..], &chunk].concat();
    let announced = Module {
        compressed: 1,
        ..module()
    };
    let modules = [module(), announced];
    let config = config(&modules);
    let engine = engine(&config).unwrap();
    let expected = score(engine, &plain);
    assert_eq!(expected.fault, 0);
    assert_eq!(score(engine, &compressed), expected);
    assert_eq!(
        score(engine, &under(plain, |header| header.module_id = 1)),
        expected
    );
    for damaged in [
        under(compressed.clone(), |header| header.module_id = 0),
        under(compressed, |header| header.payload_len -= 1),
    ] {
        let fault = score(engine, &damaged).fault;
        assert_eq!(fault, Fault::Compressed.reason_bit());
    }
    // Room for a decoded frame is asked for.
    let without = memory_of(&self::plain()).unwrap().bytes;
    let frame_bytes = (COLUMNS * ROWS * 2) as usize;
    assert!(memory_of(&config).unwrap().bytes >= without + frame_bytes);
    for (compressed, reserved) in [(2, 0), (0, 1)] {
        let modules = [Module {
            compressed,
            reserved,
            ..module()
        }];
        assert_eq!(memory_of(&self::config(&modules)), Err(Status::Module));
    }
}

#[test]
fn a_zeroed_configuration_keeps_every_frame() {
    let engine = engine(&keeping()).unwrap();
    for number in 1..6 {
        assert!(judge(engine, &frame(number), 0).verdict().keeps());
    }
}

#[test]
fn versions_and_texts() {
    assert_eq!(hitgate_abi_version(), ABI_VERSION);
    for code in [0, 6, 20, 21, u32::MAX] {
        let text = unsafe { CStr::from_ptr(hitgate_status_text(code)) };
        assert!(text.to_str().unwrap().len() > 3);
    }
}

/// A function that calls the path that is calling it, and tells what that answered.
extern "C" fn reenters(context: *mut c_void, _: *const FrameHeader) -> u32 {
    let (path, answer) = unsafe { *context.cast::<(*mut hitgate::path::Path, *mut Status)>() };
    unsafe { *answer = hitgate_path_counters(path, &mut Counters::default()) };
    EXTERNAL_NONE
}

#[test]
fn a_handle_lets_one_call_in_at_a_time() {
    let engine = engine(&plain()).unwrap();
    let ring = ring(4);
    let writer = ring.writer();
    let mut answer = Status::Ok;
    let mut asked = (null_mut::<hitgate::path::Path>(), &raw mut answer);
    let context = &raw mut asked;
    let node = Node {
        context: context.cast(),
        external: Some(reenters),
        ..STILL
    };
    let path = ring.path(engine, &node);
    unsafe { (*context).0 = path };
    assert_eq!(put(writer, &frame(1)), Status::Ok);
    assert!(step(path).is_ok());
    assert_eq!(answer, Status::Busy);
    assert_eq!(counters_of(path).received, 1);
}

/// Slots that were read, and given back, as the context of the hooks below.
type Hooked = [AtomicUsize; 2];

extern "C" fn before(context: *mut c_void, _: usize, len: usize) {
    let [reads, _] = unsafe { &*context.cast::<Hooked>() };
    reads.fetch_add(usize::from(len > 128), Ordering::Relaxed);
}

extern "C" fn after(context: *mut c_void, _: usize, len: usize) {
    let [_, releases] = unsafe { &*context.cast::<Hooked>() };
    releases.fetch_add(usize::from(len > 128), Ordering::Relaxed);
}

#[test]
fn cache_hooks_are_called_for_each_slot_that_is_read_and_given_back() {
    let engine = engine(&keeping()).unwrap();
    // A copy gives the slot of a free-running ring back before anybody judges it.
    for (policy, out) in [(RING_CREDIT, [1, 0]), (RING_FREE_RUNNING, [1, 1])] {
        let hooked = Hooked::default();
        let node = Node {
            context: (&raw const hooked).cast_mut().cast(),
            before_cpu_read: Some(before),
            after_cpu_read: Some(after),
            ..STILL
        };
        let ring = Ring::under(policy, 4);
        let (writer, path) = (ring.writer(), ring.path(engine, &node));
        assert_eq!(put(writer, &frame(1)), Status::Ok);
        let judged = step(path).unwrap();
        let counted = || hooked.each_ref().map(|count| count.load(Ordering::Relaxed));
        assert_eq!(counted(), out);
        assert_eq!(give_back(path, &judged), Status::Ok);
        assert_eq!(counted(), [1, 1]);
    }
}

#[test]
fn the_models_threshold_is_taken_where_it_is_asked_for() {
    let model = Model::parse(MODEL).unwrap();
    let engine = engine(&plain()).unwrap();
    let policy = Policy {
        threshold: model.threshold(),
        ..POLICY
    };
    for number in 1..10 {
        let record = judge(engine, &frame(number), 0);
        let keep = u32::from(record.p_hit) + u32::from(record.p_maybe);
        let kept = record.verdict().keeps();
        assert_eq!(kept, keep >= u32::from(policy.threshold));
    }
}
