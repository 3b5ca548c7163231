//! The C interface with hostile bytes wherever it takes bytes: models, frames, maps, headers, handles, mappings.
#![no_main]

use std::cell::RefCell;
use std::ptr::null_mut;

use hitgate::abi::*;
use hitgate::engine::Engine;
use hitgate::path::Path;
use hitgate::status::Status;
use hitgate::types::*;
use hitgate::writer::Writer;
use hitgate_core::frame::{FrameHeader, HEADER_LEN};
use hitgate_core::link::Record;
use hitgate_fuzz::{MODEL, Pages, sealed_model, sealed_slot};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/capi/tests/common/mod.rs"]
mod common;
use common::{STILL, config, judged, module, no_slot};

fuzz_target!(|bytes: &[u8]| {
    for model in [bytes, &sealed_model(bytes)] {
        as_model(model);
    }
    for frame in [bytes, &sealed_slot(bytes)] {
        as_frame(frame);
    }
    as_handle(bytes);
    as_mapping(bytes);
});

/// An engine of the small model for all executions.
fn engine() -> *mut Engine {
    thread_local! {
        static ENGINE: RefCell<Option<(Pages, *mut Engine)>> = const { RefCell::new(None) };
    }
    ENGINE.with_borrow_mut(|engine| {
        let (_, handle) = engine.get_or_insert_with(|| make(MODEL).expect("a sound model"));
        *handle
    })
}

/// An engine of a model, if it is one, in memory of its own.
fn make(model: &[u8]) -> Option<(Pages, *mut Engine)> {
    let modules = [module()];
    let config = EngineConfig {
        model: model.as_ptr(),
        model_len: model.len(),
        ..config(&modules)
    };
    let mut asked = Memory::default();
    // SAFETY, here and below: the pointers are to values of these types, or as many bytes as is said.
    if unsafe { hitgate_engine_memory(&config, &mut asked) } != Status::Ok {
        return None;
    }
    let memory = Pages::filled(asked.bytes, 0xA5);
    let (start, mut engine) = (memory.start().as_ptr(), null_mut());
    let made = unsafe { hitgate_engine_init(&config, start, asked.bytes, &mut engine) };
    (made == Status::Ok).then_some((memory, engine))
}

fn as_model(model: &[u8]) {
    let mut info = ModelInfo::default();
    let told = unsafe { hitgate_model_inspect(model.as_ptr(), model.len(), &mut info) };
    let made = make(model);
    assert!(told == Status::Ok || made.is_none());
}

fn as_frame(frame: &[u8]) {
    let (start, len) = (frame.as_ptr(), frame.len());
    let mut score = Score::default();
    let scored = unsafe { hitgate_engine_score(engine(), start, len, &mut score) };
    assert_eq!(scored, Status::Ok);
    unsafe { hitgate_engine_score_prepared(engine(), start, len, &mut score) };
    let Some(header) = frame.first_chunk::<HEADER_LEN>() else {
        return;
    };
    let header = FrameHeader::from_bytes(header);
    let mut record = Record::default();
    let decided = unsafe { hitgate_engine_decide(engine(), &header, &score, 0, 0, &mut record) };
    assert_eq!(decided, Status::Ok);
    assert!(score.fault == 0 || record.verdict().keeps());
    // Any other score, as a caller may make it up.
    let Some(&[a, b, c, d, e, f, g, ..]) = frame.last_chunk::<8>() else {
        return;
    };
    let [p_hit, p_maybe, p_miss] = [[a, b], [c, d], [e, f]].map(u16::from_le_bytes);
    let stray = u16::from(g & 1);
    let score = Score {
        p_hit,
        p_maybe,
        p_miss,
        stray,
        fault: 0,
    };
    let decided = unsafe { hitgate_engine_decide(engine(), &header, &score, 0, 0, &mut record) };
    assert_eq!(decided, Status::Ok);
    let whole = u32::from(p_hit) + u32::from(p_maybe) + u32::from(p_miss);
    assert!((65_534..=65_536).contains(&whole) || record.verdict().keeps());
}

fn as_handle(bytes: &[u8]) {
    let memory = Pages::of(bytes);
    let start = memory.start().as_ptr();
    if memory.len() < 4096 {
        return;
    }
    let (engine, path, writer): (*mut Engine, *mut Path, *mut Writer) =
        (start.cast(), start.cast(), start.cast());
    let answers = unsafe {
        [
            hitgate_engine_counters(engine, &mut Counters::default()),
            hitgate_path_step(path, &mut judged()),
            hitgate_path_return(path, 1),
            hitgate_path_close(path),
            hitgate_engine_arm(engine),
            hitgate_writer_write(writer, 0, start, 64),
            hitgate_writer_lose(writer, 1),
            hitgate_writer_close(writer),
        ]
    };
    assert_eq!(answers, [Status::Handle; 8]);
}

fn as_mapping(bytes: &[u8]) {
    let mapping = Pages::of(bytes);
    let (start, len) = (mapping.start().as_ptr(), mapping.len());
    let mut asked = Memory::default();
    unsafe {
        hitgate_ring_inspect(start, len, &mut RingState::default());
        hitgate_ring_claim(start, len, RING_WRITER, 0, 1);
        if hitgate_path_memory(start, len, &mut asked) != Status::Ok {
            return;
        }
    }
    let memory = Pages::filled(asked.bytes, 0xA5);
    let (at, mut path) = (memory.start().as_ptr(), null_mut());
    let made =
        unsafe { hitgate_path_init(start, len, engine(), &STILL, at, asked.bytes, &mut path) };
    if made == Status::Ok {
        let mut judged = judged();
        for _ in 0..4 {
            let stepped = unsafe { hitgate_path_step(path, &mut judged) };
            if stepped == Status::Ok && !judged.slot.is_null() {
                let (seq, mut lost) = (judged.record.seq, Record::default());
                match seq % 2 {
                    0 => unsafe { hitgate_path_return(path, seq) },
                    _ => unsafe { hitgate_path_lose(path, seq, &mut lost) },
                };
            }
        }
        unsafe { hitgate_path_close(path) };
    }
    let mut asked = Memory::default();
    unsafe { hitgate_writer_memory(&mut asked) };
    let memory = Pages::filled(asked.bytes, 0xA5);
    let (at, mut writer) = (memory.start().as_ptr(), null_mut());
    if unsafe { hitgate_writer_init(start, len, at, asked.bytes, &mut writer) } == Status::Ok {
        let (mut slot, pixels) = (no_slot(), [0x5A; 100]);
        for _ in 0..3 {
            unsafe {
                hitgate_writer_reserve(writer, &mut slot);
                hitgate_writer_write(writer, 3, pixels.as_ptr(), pixels.len());
                hitgate_writer_commit(writer, &FrameHeader::default());
            }
        }
        unsafe { hitgate_writer_close(writer) };
    }
}
