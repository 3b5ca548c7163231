//! One frame through each stage, blank, hit and saturated, on AVX2: for `bench/instructions.sh`, which
//! counts the instructions that [`counted`] takes.
//!
//! Prints `LEVEL STAGE CONTENT` for each of its calls, in their order.

use std::array::from_fn;
use std::error::Error;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use half::f16;
use hitgate_core::correct::Correction;
use hitgate_core::cpu::Cpu;
use hitgate_core::frame::{Frame, PixelType};
use hitgate_core::link::{LentQueue, Record};
use hitgate_core::net::{Arena, Model, Plan};
use hitgate_core::pipeline::{Bank, Node, Pipeline, Stages};
use hitgate_core::prep::{Mask, MaskValues, Preparation, Reduce, Window};
use hitgate_core::verdict::Class;
use hitgate_import::random;
use hitgate_kernels::Level;
use hitgate_ring::Writer;
use hitgate_tests::{IDENTITY, MODEL, Memory, POLICY, header, pipeline, put, ring};

/// The highest level that valgrind emulates.
const LEVEL: &str = "avx2";
const COLUMNS: u32 = 1030;
const ROWS: u32 = 1065;
const PIXELS: usize = (COLUMNS * ROWS) as usize;
const INPUT: u32 = 224;
/// The weights of `hitgate bench --width`.
const SEED: u64 = 1;

const CONTENTS: [Content; 3] = [Content::Blank, Content::Hit, Content::Saturated];

#[derive(Clone, Copy)]
enum Content {
    Blank,
    /// Spots of a few pixels on a background of up to three counts.
    Hit,
    Saturated,
}

impl Content {
    const fn name(self) -> &'static str {
        match self {
            Content::Blank => "blank",
            Content::Hit => "hit",
            Content::Saturated => "saturated",
        }
    }

    const fn class(self) -> Class {
        match self {
            Content::Hit => Class::Hit,
            Content::Blank | Content::Saturated => Class::Miss,
        }
    }

    fn count(self, x: u32, y: u32) -> u16 {
        match self {
            Content::Blank => 0,
            Content::Hit => {
                let noise = u64::from(y * COLUMNS + x).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
                let from_spot = (x % 103).abs_diff(51).pow(2) + (y % 107).abs_diff(53).pow(2);
                (noise & noise >> 3 & 3) as u16 + (400 >> from_spot.min(15))
            }
            Content::Saturated => 0xFFFE,
        }
    }

    fn payload(self) -> Vec<u8> {
        let pixels = (0..ROWS).flat_map(|y| (0..COLUMNS).map(move |x| (x, y)));
        pixels
            .flat_map(|(x, y)| self.count(x, y).to_le_bytes())
            .collect()
    }
}

/// What valgrind counts: its script knows this name.
#[inline(never)]
fn counted<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Runs `work` twice and counts the second time: the first finds out what the CPU has.
fn measure<R>(level: Level, stage: &str, content: Content, mut work: impl FnMut() -> R) {
    black_box(work());
    black_box(counted(work));
    println!("{} {stage} {}", level.name(), content.name());
}

fn main() -> Result<(), Box<dyn Error>> {
    let level = Level::by_name(LEVEL)?;
    let mask = vec![0; PIXELS.div_ceil(8)];
    let preparation = |reduce| -> Result<_, Box<dyn Error>> {
        Ok(Preparation {
            mask: Mask::new(&mask, COLUMNS, ROWS).ok_or("the mask is too short")?,
            mask_values: MaskValues::from_slice(&[0xFFFF])?,
            ..Preparation::plain(
                COLUMNS,
                ROWS,
                PixelType::U16,
                Window::whole(COLUMNS, ROWS, INPUT),
                reduce,
            )
        })
    };
    for (stage, reduce) in [
        ("prep-maximum", Reduce::Maximum),
        ("prep-mean", Reduce::Mean),
        ("prep-peaks", Reduce::Peaks),
    ] {
        prepare(level, stage, &preparation(reduce)?)?;
    }
    // Raw words: those of a saturated frame are of the third stage of the gain.
    let pedestals = [4000, 40_000, 60_000].map(|pedestal| vec![pedestal; PIXELS]);
    let gains = [0.25, -0.5, -8.0].map(|gain| vec![f16::from_f32(gain); PIXELS]);
    let correction = Correction::new(
        pedestals.each_ref().map(Vec::as_slice),
        gains.each_ref().map(Vec::as_slice),
        PIXELS,
    );
    let words = Preparation {
        corrections: &[correction.ok_or("the maps are too short")?],
        ..preparation(Reduce::Peaks)?
    };
    prepare(level, "prep-words", &words)?;
    let maximum = preparation(Reduce::Maximum)?;
    for (stage, width) in [("net-0.25", 0.25), ("net-1.0", 1.0)] {
        infer(level, stage, width, &maximum)?;
    }
    decide(level, &[preparation(Reduce::Peaks)?])
}

/// The frame that [`Preparation::run`] takes.
fn frame(payload: &[u8]) -> Frame<'_> {
    Frame {
        header: header(COLUMNS, ROWS, 1),
        pixel_type: PixelType::U16,
        payload,
    }
}

/// Counts → map.
fn prepare(level: Level, stage: &str, preparation: &Preparation<'_>) -> Result<(), Box<dyn Error>> {
    let mut words = vec![0; preparation.words()];
    let mut map = vec![0; preparation.map_bytes()];
    for content in CONTENTS {
        let payload = content.payload();
        let frame = frame(&payload);
        measure(level, stage, content, || {
            preparation.run(level, &frame, &mut words, &mut map)
        });
    }
    Ok(())
}

/// Map → logits.
fn infer(
    level: Level,
    stage: &str,
    width: f32,
    preparation: &Preparation<'_>,
) -> Result<(), Box<dyn Error>> {
    let file = random::file(width, INPUT, preparation.reduce.channels(), SEED)?;
    let model = Model::parse(&file)?;
    let memory = Plan::memory(&model, level);
    let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
    let plan = Plan::new(&model, level, &mut packed)?;
    let mut arena = Arena::new(&mut arena);
    let mut words = vec![0; preparation.words()];
    let mut map = vec![0; preparation.map_bytes()];
    for content in CONTENTS {
        preparation.run(level, &frame(&content.payload()), &mut words, &mut map)?;
        measure(level, stage, content, || plan.infer(&mut arena, &map));
    }
    Ok(())
}

/// Raw frame in its slot → record, by the model that the program embeds: alone, while another thread packs the next
/// bank, and with the swap to one.
fn decide(level: Level, preparations: &[Preparation<'_>]) -> Result<(), Box<dyn Error>> {
    let model = Model::parse(MODEL)?;
    let mut memories: [_; 3] = from_fn(|_| Memory::new(&model, level, preparations));
    let [first, second, packed] = &mut memories;
    let ring = ring(4, PIXELS * 2);
    let mut judging = Judging {
        writer: ring.writer()?,
        path: pipeline(
            &ring,
            first.cpu(&model, level, preparations),
            LentQueue::new(),
        ),
        number: 0,
    };
    judging.measure(level, "path", |_| ())?;

    let (packs, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let pack = || {
        while !stop.load(Ordering::Relaxed) {
            let mut cpu = packed.cpu(&model, level, preparations);
            black_box(cpu.logits(model.golden().map).expect("a map of its size"));
            packs.fetch_add(1, Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        scope.spawn(pack);
        let judged = judging.measure(level, "path-packing", |_| ());
        stop.store(true, Ordering::Relaxed);
        judged
    })?;
    if packs.into_inner() < 2 {
        return Err("frames were judged, and the other thread had not packed meanwhile".into());
    }

    let mut spare = Some(Bank {
        backend: second.cpu(&model, level, preparations),
        policy: POLICY,
        identity: IDENTITY,
    });
    judging.measure(level, "path-swap", |path| {
        spare = spare.take().map(|bank| path.swap(bank));
    })
}

type Path<'m> = Pipeline<'m, Cpu<'m>, LentQueue<'m, 2>>;

/// Both ends of a ring.
struct Judging<'m> {
    writer: Writer<'m>,
    path: Path<'m>,
    /// Frames so far.
    number: u64,
}

impl<'m> Judging<'m> {
    /// A step of the path for a frame of each content, with what is done before it.
    fn measure(
        &mut self,
        level: Level,
        stage: &str,
        mut before: impl FnMut(&mut Path<'m>),
    ) -> Result<(), Box<dyn Error>> {
        for content in CONTENTS {
            let payload = content.payload();
            for _ in 0..2 {
                self.number += 1;
                let header = header(COLUMNS, ROWS, self.number).seal();
                put(&mut self.writer, &header, &payload);
            }
            let mut node = Judged(Vec::with_capacity(2));
            measure(level, stage, content, || {
                before(&mut self.path);
                self.path.step(&mut node)
            });
            if node.0 != [Some(content.class()); 2] {
                return Err(format!("a frame that is {}: {:?}", content.name(), node.0).into());
            }
            while self.path.link.take().is_some() {}
        }
        Ok(())
    }
}

/// What the frames were taken for.
struct Judged(Vec<Option<Class>>);

impl Node for Judged {
    fn now_ns(&self) -> u64 {
        0
    }

    fn judged(&mut self, record: &Record, _: &Stages) {
        self.0.push(record.class());
    }
}
