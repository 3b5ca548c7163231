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
use hitgate_core::frame::{Fault, FrameHeader, PixelType, flags};
use hitgate_core::link::{LentQueue, Record};
use hitgate_core::net::Model;
use hitgate_core::verdict::{Policy, Verdict};
use hitgate_kernels::Level;
use hitgate_tests::{Collector, MODEL, POLICY, pipeline, preparation};

/// The record of a frame by way of the engine.
fn judge(engine: *const hitgate::engine::Engine, frame: &[u8], external: u32) -> Record {
    let mut score = Score::default();
    let scored = unsafe { hitgate_engine_score(engine, frame.as_ptr(), frame.len(), &mut score) };
    assert_eq!(scored, Status::Ok);
    let header = frame
        .first_chunk()
        .map_or(FrameHeader::default(), FrameHeader::from_bytes);
    let mut record = Record::default();
    let decided =
        unsafe { hitgate_engine_decide(engine, &header, &score, external, 0, &mut record) };
    assert_eq!(decided, Status::Ok);
    record
}

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

    let modules = [module()];
    let config = EngineConfig {
        threshold: u32::from(POLICY.threshold),
        ..config(&modules)
    };
    let engine = engine(&config).unwrap();
    let (mapping, bytes) = ring(4);
    let writer = writer(mapping, bytes);
    let path = path(mapping, bytes, engine, &STILL);
    let mut node = Collector::default();
    for number in 1..=20 {
        let mut frame = frame(number);
        // Some damaged, some forced, some with a header that cannot be believed.
        let mut header = FrameHeader::from_bytes(frame.first_chunk().unwrap());
        header.status = u32::from(number % 5 == 0);
        header.flags = if number % 3 == 0 { flags::KEEP_RAW } else { 0 };
        frame[..128].copy_from_slice(&header.seal());
        let sealed: &[u8; 128] = frame.first_chunk().unwrap();
        assert!(hitgate_tests::put(&mut core_writer, sealed, &frame[128..]));
        core.step(&mut node).unwrap();
        drop(core.link.take());
        let expected = *node.records.last().unwrap();

        assert_eq!(put(writer, &frame), Status::Ok);
        let mut judged = judged();
        assert_eq!(unsafe { hitgate_path_step(path, &mut judged) }, Status::Ok);
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
            let slot = unsafe { std::slice::from_raw_parts(judged.slot, judged.slot_len) };
            assert_eq!(slot[128..frame.len()], frame[128..]);
            assert_eq!(
                unsafe { hitgate_path_return(path, judged.record.seq) },
                Status::Ok
            );
            assert_eq!(
                unsafe { hitgate_path_return(path, judged.record.seq) },
                Status::NoSlot
            );
        }
        assert_eq!(
            alike(judge(engine, &frame, 0)),
            alike(expected),
            "frame {number}"
        );
    }

    let (mut of_path, mut of_engine) = (Counters::default(), Counters::default());
    assert_eq!(
        unsafe { hitgate_path_counters(path, &mut of_path) },
        Status::Ok
    );
    assert_eq!(
        unsafe { hitgate_engine_counters(engine, &mut of_engine) },
        Status::Ok
    );
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
    let mut score = Score::default();
    let map = golden.map;
    let scored =
        unsafe { hitgate_engine_score_prepared(engine, map.as_ptr(), map.len(), &mut score) };
    assert_eq!(scored, Status::Ok);
    let found = (score.p_hit, score.p_maybe, score.p_miss, score.fault);
    let expected = golden.score;
    assert_eq!(found, (expected.hit, expected.maybe, expected.miss, 0));
    let short =
        unsafe { hitgate_engine_score_prepared(engine, map.as_ptr(), map.len() - 1, &mut score) };
    assert_eq!(short, Status::Argument);
}

#[test]
fn a_model_file_says_what_the_model_says() {
    let model = Model::parse(MODEL).unwrap();
    let mut info = ModelInfo::default();
    let told = unsafe { hitgate_model_inspect(MODEL.as_ptr(), MODEL.len(), &mut info) };
    assert_eq!(told, Status::Ok);
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
    let modules = [module()];
    let engine = engine(&config(&modules)).unwrap();
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
    let modules = [module()];
    let config = EngineConfig {
        deadline_ns: 1,
        ..config(&modules)
    };
    let engine = engine(&config).unwrap();
    let (mapping, bytes) = ring(4);
    let writer = writer(mapping, bytes);
    let mut now = 0_u64;
    let node = Node {
        context: (&raw mut now).cast(),
        now_ns: Some(ticks),
        external: Some(nonsense),
        ..STILL
    };
    let path = path(mapping, bytes, engine, &node);
    let mut verdicts = Vec::new();
    for number in [1, 2, 5] {
        assert_eq!(put(writer, &frame(number)), Status::Ok);
        let mut judged = judged();
        assert_eq!(unsafe { hitgate_path_step(path, &mut judged) }, Status::Ok);
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
    let modules = [module()];
    let config = EngineConfig {
        threshold: 0,
        ..config(&modules)
    };
    let engine = engine(&config).unwrap();
    let (mapping, bytes) = ring(4);
    let writer = writer(mapping, bytes);
    let path = path(mapping, bytes, engine, &STILL);
    for number in 1..=4 {
        assert_eq!(put(writer, &frame(number)), Status::Ok);
    }
    assert_eq!(put(writer, &frame(5)), Status::Full);
    let mut seqs = Vec::new();
    let mut step = || {
        let mut judged = judged();
        let status = unsafe { hitgate_path_step(path, &mut judged) };
        if status == Status::Ok {
            seqs.push(judged.record.seq);
        }
        status
    };
    assert_eq!(
        [step(), step(), step()],
        [Status::Ok, Status::Ok, Status::Empty]
    );
    let at = path as usize;
    for seq in [seqs[1], seqs[0]] {
        let back = std::thread::spawn(move || unsafe {
            hitgate_path_return(at as *const hitgate::path::Path, seq)
        });
        assert_eq!(back.join().unwrap(), Status::Ok);
    }
    let mut judged = judged();
    for _ in 0..2 {
        assert_eq!(unsafe { hitgate_path_step(path, &mut judged) }, Status::Ok);
    }
    assert_eq!(
        unsafe { hitgate_path_step(path, &mut judged) },
        Status::Empty
    );
    assert_eq!(unsafe { hitgate_writer_lose(writer, 3) }, Status::Ok);
    assert_eq!(unsafe { hitgate_writer_heartbeat(writer, 11) }, Status::Ok);
    assert_eq!(unsafe { hitgate_path_heartbeat(path, 12) }, Status::Ok);
    assert_eq!(unsafe { hitgate_writer_close(writer) }, Status::Ok);
    assert_eq!(unsafe { hitgate_path_step(path, &mut judged) }, Status::End);
    assert_eq!(unsafe { hitgate_path_close(path) }, Status::Ok);

    let mut state = RingState::default();
    assert_eq!(
        unsafe { hitgate_ring_inspect(mapping, bytes, &mut state) },
        Status::Ok
    );
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
    // Neither is a handle any more.
    assert_eq!(
        unsafe { hitgate_path_step(path, &mut judged) },
        Status::Handle
    );
    assert_eq!(unsafe { hitgate_writer_close(writer) }, Status::Handle);
}

#[test]
fn an_end_has_one_owner() {
    let (mapping, bytes) = ring(2);
    let claim = |expected, owner| unsafe {
        hitgate_ring_claim(mapping, bytes, RING_READER, expected, owner)
    };
    assert_eq!(
        [claim(0, 12), claim(0, 13), claim(12, 13)],
        [Status::Ok, Status::InUse, Status::Ok]
    );
    let mut state = RingState::default();
    assert_eq!(
        unsafe { hitgate_ring_inspect(mapping, bytes, &mut state) },
        Status::Ok
    );
    assert_eq!((state.writer_owner, state.reader_owner), (0, 13));
    let neither = unsafe { hitgate_ring_claim(mapping, bytes, 2, 0, 1) };
    assert_eq!(neither, Status::Argument);
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
        let mut frame = frame(1);
        let header = FrameHeader {
            module_id,
            cell_id,
            ..FrameHeader::from_bytes(frame.first_chunk().unwrap())
        };
        frame[..128].copy_from_slice(&header.seal());
        let mut score = Score::default();
        let at = frame.as_ptr();
        let scored = unsafe { hitgate_engine_score(engine, at, frame.len(), &mut score) };
        assert_eq!(scored, Status::Ok);
        score.fault
    };
    assert_eq!([fault(0, 7), fault(1, 0), fault(1, 1)], [0; 3]);
    assert_eq!(fault(1, 2), Fault::UnknownCell.reason_bit());
    assert_eq!(fault(2, 0), Fault::UnknownModule.reason_bit());
}

#[test]
fn a_zeroed_configuration_keeps_every_frame() {
    let modules = [module()];
    let config = EngineConfig {
        threshold: 0,
        ..config(&modules)
    };
    let engine = engine(&config).unwrap();
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
    let modules = [module()];
    let engine = engine(&config(&modules)).unwrap();
    let (mapping, bytes) = ring(4);
    let writer = writer(mapping, bytes);
    let mut answer = Status::Ok;
    let mut asked = (null_mut::<hitgate::path::Path>(), &raw mut answer);
    let context = &raw mut asked;
    let node = Node {
        context: context.cast(),
        external: Some(reenters),
        ..STILL
    };
    let path = path(mapping, bytes, engine, &node);
    unsafe { (*context).0 = path };
    assert_eq!(put(writer, &frame(1)), Status::Ok);
    let mut judged = judged();
    assert_eq!(unsafe { hitgate_path_step(path, &mut judged) }, Status::Ok);
    assert_eq!(answer, Status::Busy);
    let after = unsafe { hitgate_path_counters(path, &mut Counters::default()) };
    assert_eq!(after, Status::Ok);
}

static READS: AtomicUsize = AtomicUsize::new(0);
static RELEASES: AtomicUsize = AtomicUsize::new(0);

extern "C" fn before(_: *mut c_void, _: usize, len: usize) {
    READS.fetch_add(usize::from(len > 128), Ordering::Relaxed);
}

extern "C" fn after(_: *mut c_void, _: usize, len: usize) {
    RELEASES.fetch_add(usize::from(len > 128), Ordering::Relaxed);
}

#[test]
fn cache_hooks_are_called_for_each_slot_that_is_read_and_given_back() {
    let modules = [module()];
    let config = EngineConfig {
        threshold: 0,
        ..config(&modules)
    };
    let engine = engine(&config).unwrap();
    let (mapping, bytes) = ring(4);
    let writer = writer(mapping, bytes);
    let node = Node {
        before_cpu_read: Some(before),
        after_cpu_read: Some(after),
        ..STILL
    };
    let path = path(mapping, bytes, engine, &node);
    assert_eq!(put(writer, &frame(1)), Status::Ok);
    let mut judged = judged();
    assert_eq!(unsafe { hitgate_path_step(path, &mut judged) }, Status::Ok);
    let counted = || [&READS, &RELEASES].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counted(), [1, 0]);
    let back = unsafe { hitgate_path_return(path, judged.record.seq) };
    assert_eq!((back, counted()), (Status::Ok, [1, 1]));
}

#[test]
fn the_models_threshold_is_taken_where_it_is_asked_for() {
    let model = Model::parse(MODEL).unwrap();
    let modules = [module()];
    let engine = engine(&config(&modules)).unwrap();
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
