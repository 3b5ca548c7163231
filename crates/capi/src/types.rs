//! The structs of the interface. Those that the caller fills and that may grow begin with
//! `struct_size`; the others never change.

use core::ffi::c_void;

use hitgate_core::frame::FrameHeader;
use hitgate_core::link::Record;

/// What a handle asks of the caller's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Memory {
    /// Bytes.
    pub bytes: usize,
    /// The memory starts at a multiple of this.
    pub align: usize,
}

/// What a model file says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub struct ModelInfo {
    /// Cells along the side of a map.
    pub input_size: u32,
    /// Bytes a cell; a map has `input_size * input_size * channels` bytes.
    pub channels: u32,
    /// How a block of pixels becomes a cell: the reduction code of the model file.
    pub reduction: u32,
    /// Resolution of the water ring in ångström, which gives `radius` of a module.
    pub d_water: f32,
    /// Keep when p_hit + p_maybe is at least this, times 65536: as released.
    pub threshold: u32,
    /// CRC-32 of the file, as in records.
    pub crc: u32,
    /// Zero.
    pub reserved: [u32; 10],
}

/// Pedestals and gains of one storage cell of an integrating detector; `rows * columns` numbers each.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Correction {
    /// Pedestals of the stages G0, G1, G2 in 1/4 ADU.
    pub pedestals: [*const u16; 3],
    /// Gains in photons per ADU, as the bits of IEEE half floats.
    pub gains: [*const u16; 3],
}

/// One module: the frames that carry its number. What its pointers name must outlive the engine.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Module {
    /// `sizeof(hitgate_module)`.
    pub struct_size: u32,
    /// Columns of a frame, up to 65535.
    pub columns: u32,
    /// Rows of a frame, up to 65535; 2^29 pixels are the most.
    pub rows: u32,
    /// One of HITGATE_PIXEL_*.
    pub pixel_type: u32,
    /// Column of the pixel that the direct beam meets.
    pub beam_x: i32,
    /// Row of that pixel.
    pub beam_y: i32,
    /// Radius of the water ring in pixels, rounded up: `D tan(2 asin(lambda / 2 d_water)) / pixel`.
    /// 0 where the geometry is unknown: the network then sees the whole frame.
    pub radius: u32,
    /// Counts above are clipped to it; 0 clips nothing.
    pub saturation: u32,
    /// One bit a pixel, row by row, the lowest bit first; set where the pixel is excluded. Null: none is.
    pub mask: *const u8,
    /// Bytes of the mask.
    pub mask_len: usize,
    /// Pixel values that mean "no measurement".
    pub mask_values: *const i64,
    /// How many; 8 are the most.
    pub mask_value_count: usize,
    /// Pedestals and gains by storage cell, for raw words of 16 bits. Null where pixels are counts.
    pub corrections: *const Correction,
    /// Storage cells.
    pub correction_count: usize,
    /// 1 where frames may come compressed, as HITGATE_FLAG_COMPRESSED in their headers says: the engine's memory then
    /// has room for a decoded one. 0: such a frame is a fault.
    pub compressed: u32,
    /// Zero.
    pub reserved: u32,
}

/// What an engine is made of. All zeros but for the pointers keeps every frame.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct EngineConfig {
    /// `sizeof(hitgate_engine_config)`.
    pub struct_size: u32,
    /// Modules; `module_id` of a frame's header is an index into them.
    pub module_count: u32,
    /// The modules, which may go after the call; what they point to may not.
    pub modules: *const Module,
    /// The bytes of a model file, at any alignment, which may go after the call.
    pub model: *const u8,
    /// How many.
    pub model_len: usize,
    /// Keep when p_hit + p_maybe is at least this, times 65536, up to 65535; 0 keeps every frame.
    /// HITGATE_THRESHOLD_OF_MODEL takes the model's.
    pub threshold: u32,
    /// A decision that takes longer is late, and keeps the frame, in ns; 0: never.
    pub deadline_ns: u32,
    /// One miss in so many is kept as a sample, up to 65535; 0 keeps none.
    pub sample_one_in: u32,
    /// Zero.
    pub reserved: u32,
    /// Seed of the sample, the same on all modules.
    pub sample_seed: u64,
}

/// What the network says of one frame. Without a fault the three probabilities are fractions of one whole, each rounded
/// down: their sum is 65534 to 65536. Any other, and zeros among them, is decided as HITGATE_FAULT_BACKEND.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Score {
    /// Probability of a hit, times 65536.
    pub p_hit: u16,
    /// Of a maybe.
    pub p_maybe: u16,
    /// Of a miss.
    pub p_miss: u16,
    /// 1 where the frame is unlike those of the model's training, else 0. Of a prepared map it is not known which of
    /// its cells hold valid pixels, and not asked.
    pub stray: u16,
    /// 0, or one of HITGATE_FAULT_*: the frame has no score, and is to be kept.
    pub fault: u32,
}

/// The books, in frames. `expected + repeated = received + lost_source + lost_lapped`, and `received` is the sum of
/// `verdicts` and `kept_shadow`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counters {
    /// Frames with a record.
    pub received: u64,
    /// Frames that the source's numbers say there were.
    pub expected: u64,
    /// Frames whose number had come before.
    pub repeated: u64,
    /// Frames that the source numbered and that never came.
    pub lost_source: u64,
    /// Kept frames that were not sent (`hitgate_path_lose`): hit, maybe, miss, not judged.
    pub lost_link: [u64; 4],
    /// Judged frames: hit, maybe, miss.
    pub classes: [u64; 3],
    /// Frames by HITGATE_VERDICT_*, from number 1 to number 9.
    pub verdicts: [u64; 9],
    /// Frames whose header could not be believed.
    pub unidentified: u64,
    /// Frames of HITGATE_VERDICT_KEEP_SHADOW.
    pub kept_shadow: u64,
    /// Frames that the device of a free-running ring overwrote before they were read.
    pub lost_lapped: u64,
    /// Zero.
    pub reserved: u64,
}

/// When a path or an engine may drop. Zeros are refused: what may be lost is the caller's to say.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct InterlockRules {
    /// `sizeof(hitgate_interlock_rules)`.
    pub struct_size: u32,
    /// The largest share of the hits that may be lost, with 95 % confidence, times 65536: 1 to 65535.
    pub max_loss: u32,
    /// Judged frames that the proof looks back on, about. `hitgate run` takes 1,000,000.
    pub window: u32,
    /// Of the last 64 judged frames so many may be unlike those of the model's training: 0 to 64, which never
    /// objects. `hitgate run` takes 16.
    pub strays: u32,
}

/// Frames, and what second looks at some of them saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Looked {
    /// How many there were.
    pub frames: u64,
    /// At how many somebody looked again.
    pub looks: u64,
    /// How many of these are hits.
    pub hits: u64,
}

/// Whether a path or an engine may drop, and what was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Interlock {
    /// One of HITGATE_INTERLOCK_*.
    pub state: u32,
    /// So many of the hits may be lost in the window, with 95 % confidence, times 65536; 65536 are all.
    pub loss_bound: u32,
    /// Frames that were kept for their score.
    pub kept: Looked,
    /// Frames that were dropped for their score, or would have been.
    pub missed: Looked,
    /// Zero.
    pub reserved: [u64; 2],
}

/// What both sides of a ring say of themselves. States: 0 never there, 1 open, 2 closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct RingState {
    /// Slots.
    pub slots: u32,
    /// Bytes of a slot, header included.
    pub slot_bytes: u32,
    /// The number that the creator gave this run.
    pub session: u64,
    /// The process that has the writing end, as `hitgate_ring_claim` put it; 0 none.
    pub writer_owner: u32,
    /// The process that has the reading end.
    pub reader_owner: u32,
    /// State of the writing end.
    pub writer_state: u32,
    /// State of the reading end.
    pub reader_state: u32,
    /// Last sign of life of the writing end, in ms of the host's monotonic clock.
    pub writer_heartbeat_ms: u32,
    /// Last sign of life of the reading end.
    pub reader_heartbeat_ms: u32,
    /// HITGATE_RING_CREDIT or HITGATE_RING_FREE_RUNNING.
    pub policy: u32,
    /// Zero.
    pub reserved: u32,
    /// Frames committed.
    pub produced: u64,
    /// Frames that found the ring full.
    pub stalls: u64,
    /// Frames that the source gave up.
    pub lost_at_source: u64,
    /// Frames with a record, and those that were lapped.
    pub taken: u64,
    /// Frames whose slots, and all slots before them, came back.
    pub returned: u64,
    /// Times that frames waited because half the slots, or all copies, were out.
    pub waits: u64,
    /// Frames that the device of a free-running ring overwrote before they were read.
    pub lapped: u64,
}

/// A free slot, for whoever plays the device.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Slot {
    /// Where the payload goes: byte 128 of the slot. In a free-running ring for a DMA engine alone: the reader may
    /// be looking there, so a program copies with `hitgate_writer_write`.
    pub payload: *mut u8,
    /// Bytes from there to the slot's end.
    pub payload_room: usize,
    /// The number that the frame will have in the ring.
    pub seq: u64,
}

/// What the readout node tells the path. Every function may be null, is called on the thread that steps
/// (`after_cpu_read` under credit on the one that returns; of a slot that was lost on the one that steps, asks for the
/// counters or closes), and must not throw, jump out, or call the path.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Node {
    /// `sizeof(hitgate_node)`.
    pub struct_size: u32,
    /// Zero.
    pub reserved: u32,
    /// Handed to each function.
    pub context: *mut c_void,
    /// Time in ns from any origin, never backwards. Null: no latencies, and no frame is late.
    pub now_ns: Option<unsafe extern "C" fn(context: *mut c_void) -> u64>,
    /// What others decided of this frame: one of HITGATE_EXTERNAL_*. Null: nothing.
    pub external:
        Option<unsafe extern "C" fn(context: *mut c_void, header: *const FrameHeader) -> u32>,
    /// The CPU is about to read `len` bytes at `offset` of the mapping: discard stale copies. Null where
    /// caches are coherent.
    pub before_cpu_read:
        Option<unsafe extern "C" fn(context: *mut c_void, offset: usize, len: usize)>,
    /// The CPU has read them, and the device may write them again.
    pub after_cpu_read:
        Option<unsafe extern "C" fn(context: *mut c_void, offset: usize, len: usize)>,
}

/// What a step decided.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Judged {
    /// The frame's record, as in the ring.
    pub record: Record,
    /// Frames that are missing before it, as a record of verdict HITGATE_VERDICT_LOST; `verdict` is 0
    /// where none is.
    pub lost: Record,
    /// Frames that the device of a free-running ring overwrote before it, of cause HITGATE_LOST_LAPPED; else as above.
    pub lapped: Record,
    /// The slot of a kept frame, or in a free-running ring its copy in the path's memory, header first, until it is
    /// returned, or lost, by `record.seq`; null if dropped.
    pub slot: *const u8,
    /// Its bytes, up to the slot's end.
    pub slot_len: usize,
}
