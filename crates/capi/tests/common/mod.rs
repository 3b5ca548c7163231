//! What the tests share: memory as a C program has it, an engine, a ring with both its ends, and the calls that every
//! program makes.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::ptr::{null, null_mut};

use hitgate::abi::*;
use hitgate::engine::Engine;
use hitgate::path::Path;
use hitgate::status::Status;
use hitgate::types::*;
use hitgate::writer::Writer;
use hitgate_core::frame::{FrameHeader, HEADER_LEN, PixelType};
use hitgate_core::link::Record;
use hitgate_tests::MODEL;

pub const COLUMNS: u32 = 96;
pub const ROWS: u32 = 64;

/// Memory that starts at a multiple of 4096.
pub struct Aligned {
    pages: Vec<Page>,
    pub bytes: usize,
}

#[derive(Clone)]
#[repr(C, align(4096))]
struct Page([u8; 4096]);

impl Aligned {
    pub fn filled(bytes: usize, with: u8) -> Self {
        let pages = vec![Page([with; 4096]); bytes.div_ceil(4096) + 1];
        Aligned { pages, bytes }
    }

    pub fn new(bytes: usize) -> Self {
        Aligned::filled(bytes, 0xA5)
    }

    pub fn start(&mut self) -> *mut u8 {
        self.pages.as_mut_ptr().cast()
    }

    /// Memory that lasts as long as the test.
    pub fn leaked(bytes: usize) -> *mut u8 {
        Box::leak(Box::new(Aligned::new(bytes))).start()
    }
}

/// What a call tells through its last pointer; it has to succeed.
pub fn told<T: Default>(call: impl FnOnce(*mut T) -> Status) -> T {
    asked(call).unwrap_or_else(|status| panic!("{status:?}"))
}

/// The same, or its answer where it is another than `Ok`.
pub fn asked<T: Default>(call: impl FnOnce(*mut T) -> Status) -> Result<T, Status> {
    let mut output = T::default();
    match call(&mut output) {
        Status::Ok => Ok(output),
        status => Err(status),
    }
}

/// A handle in as much memory as was asked for, which lasts as long as the test.
pub fn made<T>(
    memory: Memory,
    init: impl FnOnce(*mut u8, usize, *mut *mut T) -> Status,
) -> Result<*mut T, Status> {
    let mut handle = null_mut();
    match init(Aligned::leaked(memory.bytes), memory.bytes, &mut handle) {
        Status::Ok => Ok(handle),
        status => Err(status),
    }
}

pub fn module() -> Module {
    Module {
        struct_size: size_of::<Module>() as u32,
        columns: COLUMNS,
        rows: ROWS,
        pixel_type: PixelType::U16 as u32,
        beam_x: 0,
        beam_y: 0,
        radius: 0,
        saturation: 0,
        mask: null(),
        mask_len: 0,
        mask_values: null(),
        mask_value_count: 0,
        corrections: null(),
        correction_count: 0,
        compressed: 0,
        reserved: 0,
    }
}

/// Of these modules, which have to last as long as it.
pub fn config(modules: &[Module]) -> EngineConfig {
    EngineConfig {
        struct_size: size_of::<EngineConfig>() as u32,
        module_count: modules.len() as u32,
        modules: modules.as_ptr(),
        model: MODEL.as_ptr(),
        model_len: MODEL.len(),
        threshold: THRESHOLD_OF_MODEL,
        deadline_ns: 0,
        sample_one_in: 0,
        reserved: 0,
        sample_seed: 0,
    }
}

/// Of one module.
pub fn plain() -> EngineConfig {
    config(Box::leak(Box::new([module()])))
}

/// The same, and every frame is kept.
pub fn keeping() -> EngineConfig {
    EngineConfig {
        threshold: 0,
        ..plain()
    }
}

/// The same with the middle of what frames score as the threshold, so that half of them are misses.
pub fn halving(config: EngineConfig) -> EngineConfig {
    let engine = engine(&config).unwrap();
    let keep = |number| {
        let score = score(engine, &frame(number));
        assert_eq!(score.fault, 0);
        u32::from(score.p_hit) + u32::from(score.p_maybe)
    };
    let mut scores: Vec<u32> = (1..41).map(keep).collect();
    scores.sort_unstable();
    EngineConfig {
        threshold: scores[20].min(65_535),
        ..config
    }
}

/// What `_memory` asks for.
pub fn memory_of(config: &EngineConfig) -> Result<Memory, Status> {
    asked(|memory| unsafe { hitgate_engine_memory(config, memory) })
}

pub fn engine(config: &EngineConfig) -> Result<*mut Engine, Status> {
    made(memory_of(config)?, |memory, bytes, engine| unsafe {
        hitgate_engine_init(config, memory, bytes, engine)
    })
}

/// A frame as in a slot.
pub fn frame(number: u64) -> Vec<u8> {
    let header = FrameHeader {
        frame_number: number,
        ..FrameHeader::new(ROWS as u16, COLUMNS as u16, PixelType::U16)
    };
    let mut frame = header.seal().to_vec();
    frame.extend(hitgate_tests::pixels(COLUMNS, ROWS, number));
    assert_eq!(frame.len(), HEADER_LEN + (COLUMNS * ROWS * 2) as usize);
    frame
}

/// The header of a frame; zeros where it is shorter.
pub fn header_of(frame: &[u8]) -> FrameHeader {
    let bytes = frame.first_chunk();
    bytes.map_or(FrameHeader::default(), FrameHeader::from_bytes)
}

/// The frame with another header, sealed.
pub fn under(mut frame: Vec<u8>, change: impl FnOnce(&mut FrameHeader)) -> Vec<u8> {
    let mut header = header_of(&frame);
    change(&mut header);
    frame[..HEADER_LEN].copy_from_slice(&header.seal());
    frame
}

pub fn score(engine: *const Engine, frame: &[u8]) -> Score {
    told(|score| unsafe { hitgate_engine_score(engine, frame.as_ptr(), frame.len(), score) })
}

/// The record of a frame by way of the engine.
pub fn judge(engine: *const Engine, frame: &[u8], external: u32) -> Record {
    let (header, score) = (header_of(frame), score(engine, frame));
    told(|record| unsafe { hitgate_engine_decide(engine, &header, &score, external, 0, record) })
}

/// A ring in memory that lasts as long as the test.
#[derive(Clone, Copy)]
pub struct Ring {
    pub mapping: *mut u8,
    pub bytes: usize,
}

pub fn ring(slots: u32) -> Ring {
    Ring::under(RING_CREDIT, slots)
}

impl Ring {
    pub fn under(policy: u32, slots: u32) -> Self {
        let slot_bytes = (HEADER_LEN as u32 + COLUMNS * ROWS * 2).next_multiple_of(64);
        let bytes = told(|bytes| unsafe { hitgate_ring_bytes(slots, slot_bytes, slots, bytes) });
        let mapping = Aligned::leaked(bytes);
        let made =
            unsafe { hitgate_ring_create(mapping, bytes, slots, slot_bytes, slots, policy, 7) };
        assert_eq!(made, Status::Ok);
        Ring { mapping, bytes }
    }

    pub fn writer(self) -> *mut Writer {
        let memory = told(|memory| unsafe { hitgate_writer_memory(memory) });
        let writer = made(memory, |memory, bytes, writer| unsafe {
            hitgate_writer_init(self.mapping, self.bytes, memory, bytes, writer)
        });
        writer.unwrap()
    }

    pub fn path_memory(self) -> Memory {
        told(|memory| unsafe { hitgate_path_memory(self.mapping, self.bytes, memory) })
    }

    pub fn path(self, engine: *const Engine, node: &Node) -> *mut Path {
        let path = made(self.path_memory(), |memory, bytes, path| unsafe {
            hitgate_path_init(self.mapping, self.bytes, engine, node, memory, bytes, path)
        });
        path.unwrap()
    }

    /// Both ends, the reading one without a clock.
    pub fn ends(self, engine: *const Engine) -> (*mut Writer, *mut Path) {
        (self.writer(), self.path(engine, &STILL))
    }

    pub fn state(self) -> RingState {
        told(|state| unsafe { hitgate_ring_inspect(self.mapping, self.bytes, state) })
    }
}

/// A node without a clock.
pub const STILL: Node = Node {
    struct_size: size_of::<Node>() as u32,
    reserved: 0,
    context: null_mut(),
    now_ns: None,
    external: None,
    before_cpu_read: None,
    after_cpu_read: None,
};

pub fn no_slot() -> Slot {
    Slot {
        payload: null_mut(),
        payload_room: 0,
        seq: 0,
    }
}

/// Writes a frame into a ring of either policy; the answer of the call that refused it.
pub fn put(writer: *const Writer, frame: &[u8]) -> Status {
    let mut slot = no_slot();
    let header = header_of(frame);
    let payload = &frame[HEADER_LEN..];
    let (start, len) = (payload.as_ptr(), payload.len());
    let reserved = unsafe { hitgate_writer_reserve(writer, &mut slot) };
    if reserved != Status::Ok {
        return reserved;
    }
    assert!(len <= slot.payload_room);
    let written = unsafe { hitgate_writer_write(writer, 0, start, len) };
    assert_eq!(written, Status::Ok);
    unsafe { hitgate_writer_commit(writer, &header) }
}

pub fn judged() -> Judged {
    Judged {
        record: Record::default(),
        lost: Record::default(),
        lapped: Record::default(),
        slot: null(),
        slot_len: 0,
    }
}

/// A step; the slot of a kept frame stays out.
pub fn step(path: *const Path) -> Result<Judged, Status> {
    let mut judged = judged();
    match unsafe { hitgate_path_step(path, &mut judged) } {
        Status::Ok => Ok(judged),
        status => Err(status),
    }
}

pub fn give_back(path: *const Path, judged: &Judged) -> Status {
    unsafe { hitgate_path_return(path, judged.record.seq) }
}

/// A step whose slot comes back at once.
pub fn pass(path: *const Path) -> Result<Judged, Status> {
    let judged = step(path)?;
    if !judged.slot.is_null() {
        assert_eq!(give_back(path, &judged), Status::Ok);
    }
    Ok(judged)
}

/// The bytes of a kept frame's slot.
pub fn slot_of(judged: &Judged) -> &[u8] {
    assert!(!judged.slot.is_null());
    unsafe { std::slice::from_raw_parts(judged.slot, judged.slot_len) }
}

pub fn counters_of(path: *const Path) -> Counters {
    told(|counters| unsafe { hitgate_path_counters(path, counters) })
}
