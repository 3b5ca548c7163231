//! What the integration tests share: a model, a ring, frames, and a path over them.

use hitgate_core::cpu::{Buffers, Cpu};
use hitgate_core::frame::{FrameHeader, HEADER_LEN, PixelType};
use hitgate_core::link::{Identity, Link, Record, Refused};
use hitgate_core::net::Model;
use hitgate_core::pipeline::{Node, Pipeline, Stages};
use hitgate_core::prep::{Mask, MaskValues, Preparation, Window};
use hitgate_core::verdict::{Policy, Sampling};
use hitgate_host::Ring;
use hitgate_kernels::Level;
use hitgate_ring::{Layout, Lent, Writer};

/// The model that the program embeds.
pub static MODEL: &[u8] = include_bytes!("../models/mobilenet-v1-025-224/model.hgm");

/// Keeps hits and maybes, and nothing else.
pub const POLICY: Policy = Policy {
    threshold: 1 << 15,
    sampling: Sampling { seed: 0, one_in: 0 },
    deadline_ns: None,
};

/// Stands in records of the tests.
pub const IDENTITY: Identity = Identity {
    model: 1,
    config: 2,
};

/// The preparation of unmasked u16 frames without geometry.
pub fn preparation(model: &Model<'_>, columns: u32, rows: u32) -> Preparation<'static> {
    let input = model.input();
    Preparation {
        columns,
        rows,
        pixel_type: PixelType::U16,
        window: Window::whole(columns, rows, input.size),
        reduce: input.reduce,
        saturation: u32::MAX,
        mask: Mask::NONE,
        mask_values: MaskValues::new(),
        corrections: &[],
    }
}

/// Memory of a [`Cpu`].
pub struct Memory {
    packed: Vec<u8>,
    arena: Vec<u8>,
    map: Vec<u8>,
    scratch: Vec<u32>,
}

impl Memory {
    /// As much as the model needs on this level, with these preparations.
    pub fn new(model: &Model<'_>, level: Level, of: &[Preparation<'_>]) -> Self {
        let needs = Cpu::memory(model, level, of);
        Memory {
            packed: vec![0; needs.packed],
            arena: vec![0; needs.arena],
            map: vec![0; needs.map],
            scratch: vec![0; needs.scratch],
        }
    }

    /// The backend in this memory.
    pub fn cpu<'m>(
        &'m mut self,
        model: &Model<'_>,
        level: Level,
        of: &'m [Preparation<'m>],
    ) -> Cpu<'m> {
        let Memory {
            packed,
            arena,
            map,
            scratch,
        } = self;
        Cpu::new(
            model,
            level,
            of,
            Buffers {
                packed,
                arena,
                map,
                scratch,
            },
        )
        .expect("the memory is as asked for")
    }
}

/// A ring in memory with room for frames of this many bytes.
pub fn ring(slots: u32, frame_bytes: usize) -> Ring {
    let stride = (HEADER_LEN + frame_bytes).next_multiple_of(64) as u32;
    Ring::anonymous(
        &Layout::new(slots, stride, slots).expect("a sound shape"),
        1,
    )
    .expect("memory for a ring")
}

/// The header of u16 frame `number` of module 0.
pub fn header(columns: u32, rows: u32, number: u64) -> FrameHeader {
    FrameHeader {
        frame_number: number,
        ..FrameHeader::new(rows as u16, columns as u16, PixelType::U16)
    }
}

/// Writes a sealed header and pixels into the next slot; false where the ring is full.
pub fn put(writer: &mut Writer<'_>, header: &[u8; HEADER_LEN], pixels: &[u8]) -> bool {
    let Some(mut slot) = writer.reserve().expect("sound control words") else {
        return false;
    };
    slot.write(HEADER_LEN, pixels).expect("the slot has room");
    slot.write(0, header).expect("the slot has room");
    slot.commit();
    true
}

/// Deterministic pixels, sparse enough to look like counts.
pub fn pixels(columns: u32, rows: u32, seed: u64) -> Vec<u8> {
    let mut state = seed;
    (0..columns * rows)
        .flat_map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let count = ((state >> 33) as u32 % 64).saturating_sub(56) as u16;
            count.to_le_bytes()
        })
        .collect()
}

/// A node that stands still at time 0 and collects records.
#[derive(Default)]
pub struct Collector {
    /// The records so far.
    pub records: Vec<Record>,
}

impl Node for Collector {
    fn now_ns(&self) -> u64 {
        0
    }

    fn judged(&mut self, record: &Record, _: &Stages) {
        self.records.push(*record);
    }
}

/// A link that holds what it is given.
#[derive(Default)]
pub struct Holder<'m> {
    /// Kept frames.
    pub kept: Vec<(Record, Lent<'m>)>,
    /// Records, those of lost ranges among them.
    pub records: Vec<Record>,
}

impl<'m> Link<'m> for Holder<'m> {
    fn keep(&mut self, record: &Record, frame: Lent<'m>) -> Result<(), Refused> {
        self.kept.push((*record, frame));
        Ok(())
    }

    fn record(&mut self, record: &Record) {
        self.records.push(*record);
    }
}

/// The path over a ring's reading end.
pub fn pipeline<'m, L: Link<'m>>(
    ring: &'m Ring,
    cpu: Cpu<'m>,
    link: L,
) -> Pipeline<'m, Cpu<'m>, L> {
    Pipeline::new(
        ring.reader().expect("no other reader"),
        cpu,
        POLICY,
        link,
        IDENTITY,
    )
}
