//! What the integration tests share: a model, a ring, frames, and a path over them.

use hitgate_core::cpu::{Buffers, Cpu};
use hitgate_core::frame::{FrameHeader, HEADER_LEN, PixelType};
use hitgate_core::link::{Identity, Link, Record, Refused};
use hitgate_core::net::Model;
use hitgate_core::net::format::{CRC_AT, CRC_FROM, ENTRY, HEADER};
use hitgate_core::pipeline::{Node, Pipeline, Stages};
use hitgate_core::prep::{Preparation, Window};
use hitgate_core::verdict::{Policy, Sampling, Score};
use hitgate_host::Ring;
use hitgate_kernels::Level;
use hitgate_ring::{Layout, Lent, Policy as RingPolicy, Writer};

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
    Preparation::plain(
        columns,
        rows,
        PixelType::U16,
        Window::whole(columns, rows, input.size),
        input.reduce,
    )
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

    /// The same, as a [`Cpu`] takes it.
    pub fn buffers(&mut self) -> Buffers<'_> {
        Buffers {
            packed: &mut self.packed,
            arena: &mut self.arena,
            map: &mut self.map,
            scratch: &mut self.scratch,
        }
    }

    /// The backend in this memory.
    pub fn cpu<'m>(
        &'m mut self,
        model: &Model<'_>,
        level: Level,
        of: &'m [Preparation<'m>],
    ) -> Cpu<'m> {
        Cpu::new(model, level, of, self.buffers()).expect("the memory is as asked for")
    }
}

/// A model like the program's that sees hits twice as often: a sound file with a golden answer of its own.
pub fn other_model() -> Vec<u8> {
    let model = Model::parse(MODEL).expect("the program's model");
    let (golden, head) = (model.golden(), model.head());
    let doubled = (1.0 / head.scale()) as i32;
    let bias = head.biases()[0] + doubled;
    let [hit, maybe, miss] = golden.logits;
    let logits = [hit + doubled, maybe, miss];
    let Score { hit, maybe, miss } = Score::from_logits(logits, head.scale());
    let answer = logits.map(i32::to_le_bytes).concat();
    let probabilities = [hit, maybe, miss].map(u16::to_le_bytes).concat();
    changed(&[
        (BIASES, &bias.to_le_bytes()),
        (GOLDEN_OUTPUT, &[answer, probabilities].concat()),
    ])
}

/// The program's model, as if each of the statistics of its training went from `low` to `high`.
pub fn model_trained_on(low: f32, high: f32) -> Vec<u8> {
    let range = [low, high].map(f32::to_le_bytes).concat();
    changed(&[(STATISTICS, &range.repeat(3))])
}

/// Kinds of sections of a model file.
const STATISTICS: u32 = 5;
const GOLDEN_OUTPUT: u32 = 7;
const BIASES: u32 = 17;

/// The program's model with other bytes at the start of its last sections of these kinds, sealed.
fn changed(changes: &[(u32, &[u8])]) -> Vec<u8> {
    let mut file = MODEL.to_vec();
    let word = |at: usize| u32::from_le_bytes(MODEL[at..at + 4].try_into().expect("4 bytes"));
    let table = (HEADER..).step_by(ENTRY).take(word(20) as usize);
    for (kind, bytes) in changes {
        let of_kind = table.clone().filter(|at| word(*at) & 0xFFFF == *kind);
        let section = word(of_kind.last().expect("such a section") + 4) as usize;
        file[section..section + bytes.len()].copy_from_slice(bytes);
    }
    let crc = crc32fast::hash(&file[CRC_FROM..]);
    file[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_le_bytes());
    file
}

/// A ring in memory with room for frames of this many bytes.
pub fn ring(slots: u32, frame_bytes: usize) -> Ring {
    ring_under(RingPolicy::Credit, slots, slots, frame_bytes)
}

/// The same, whose writer waits for nobody, with records for sixteen laps.
pub fn free_running_ring(slots: u32, frame_bytes: usize) -> Ring {
    ring_under(RingPolicy::FreeRunning, slots, 16 * slots, frame_bytes)
}

fn ring_under(policy: RingPolicy, slots: u32, records: u32, frame_bytes: usize) -> Ring {
    let stride = (HEADER_LEN + frame_bytes).next_multiple_of(64) as u32;
    let layout = Layout::new(slots, stride, records).expect("a sound shape");
    Ring::anonymous(&layout.with_policy(policy), 1).expect("memory for a ring")
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
