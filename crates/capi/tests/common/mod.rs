//! What the tests share: memory as a C program has it, a configuration, an engine.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::ptr::{null, null_mut};

use hitgate::abi::*;
use hitgate::engine::Engine;
use hitgate::status::Status;
use hitgate::types::*;
use hitgate_core::frame::{FrameHeader, HEADER_LEN, PixelType};
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
    }
}

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

/// What `_memory` asks for.
pub fn memory_of(config: &EngineConfig) -> Result<Memory, Status> {
    let mut memory = Memory::default();
    match unsafe { hitgate_engine_memory(config, &mut memory) } {
        Status::Ok => Ok(memory),
        status => Err(status),
    }
}

/// An engine in memory that lasts as long as the test.
pub fn engine(config: &EngineConfig) -> Result<*mut Engine, Status> {
    let bytes = memory_of(config)?.bytes;
    let memory = Box::leak(Box::new(Aligned::new(bytes)));
    let mut engine = null_mut();
    match unsafe { hitgate_engine_init(config, memory.start(), bytes, &mut engine) } {
        Status::Ok => Ok(engine),
        status => Err(status),
    }
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

/// A ring in memory that lasts as long as the test.
pub fn ring(slots: u32) -> (*mut u8, usize) {
    let slot_bytes = (HEADER_LEN as u32 + COLUMNS * ROWS * 2).next_multiple_of(64);
    let mut bytes = 0;
    let asked = unsafe { hitgate_ring_bytes(slots, slot_bytes, slots, &mut bytes) };
    assert_eq!(asked, Status::Ok);
    let mapping = Box::leak(Box::new(Aligned::new(bytes))).start();
    let made = unsafe { hitgate_ring_create(mapping, bytes, slots, slot_bytes, slots, 7) };
    assert_eq!(made, Status::Ok);
    (mapping, bytes)
}

pub fn writer(mapping: *mut u8, bytes: usize) -> *mut hitgate::writer::Writer {
    let mut memory = Memory::default();
    assert_eq!(unsafe { hitgate_writer_memory(&mut memory) }, Status::Ok);
    let given = Box::leak(Box::new(Aligned::new(memory.bytes)));
    let mut writer = null_mut();
    let made =
        unsafe { hitgate_writer_init(mapping, bytes, given.start(), memory.bytes, &mut writer) };
    assert_eq!(made, Status::Ok);
    writer
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

pub fn path(
    mapping: *mut u8,
    bytes: usize,
    engine: *const Engine,
    node: &Node,
) -> *mut hitgate::path::Path {
    let mut memory = Memory::default();
    let asked = unsafe { hitgate_path_memory(mapping, bytes, &mut memory) };
    assert_eq!(asked, Status::Ok);
    let given = Box::leak(Box::new(Aligned::new(memory.bytes)));
    let mut path = null_mut();
    let made = unsafe {
        hitgate_path_init(
            mapping,
            bytes,
            engine,
            node,
            given.start(),
            memory.bytes,
            &mut path,
        )
    };
    assert_eq!(made, Status::Ok);
    path
}

/// Writes a frame into the ring; the answer of the step that refused it.
pub fn put(writer: *mut hitgate::writer::Writer, frame: &[u8]) -> Status {
    let mut slot = Slot {
        payload: null_mut(),
        payload_room: 0,
        seq: 0,
    };
    let reserved = unsafe { hitgate_writer_reserve(writer, &mut slot) };
    if reserved != Status::Ok {
        return reserved;
    }
    let payload = &frame[HEADER_LEN..];
    assert!(payload.len() <= slot.payload_room);
    unsafe {
        slot.payload
            .copy_from_nonoverlapping(payload.as_ptr(), payload.len())
    };
    let header = FrameHeader::from_bytes(frame.first_chunk().unwrap());
    unsafe { hitgate_writer_commit(writer, &header) }
}

pub fn judged() -> Judged {
    Judged {
        record: Default::default(),
        lost: Default::default(),
        slot: null(),
        slot_len: 0,
    }
}
