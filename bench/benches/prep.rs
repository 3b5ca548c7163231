//! The preparation beside one read pass over as many bytes: `cargo bench -p hitgate-bench --bench prep`.
//!
//! Every pass meets a frame that is in no cache: the frames of a shape are taken in turn, and together
//! they are larger than any last-level cache. Reading and preparing alternate, so that whatever else
//! the machine does slows both.

use std::hint::black_box;
use std::time::{Duration, Instant};

use hitgate_core::frame::{Frame, FrameHeader, PixelType};
use hitgate_core::prep::{Mask, MaskValues, Preparation, Reduce, Window};
use hitgate_kernels::{Level, Op, Simd};

const INPUT: u32 = 224;
/// Bytes of all frames of a shape.
const COLD: usize = 320 << 20;
const ROUNDS: usize = 60;

/// Whole panels of u16: what is to be prepared.
const SHAPES: [(&str, u32, u32); 3] = [
    ("Eiger 16M", 4148, 4362),
    ("Eiger 4M", 2068, 2162),
    ("module", 1024, 512),
];

/// Reads every byte once.
struct ReadPass<'a>(&'a [u8]);

impl Op for ReadPass<'_> {
    type Output = u64;
    fn run<S: Simd>(self, s: S) -> u64 {
        let words = self.0.as_chunks::<8>().0;
        s.vectorize(
            #[inline(always)]
            || {
                let words = words.iter().map(|word| u64::from_le_bytes(*word));
                words.fold(0, u64::wrapping_add)
            },
        )
    }
}

/// Few photons, a bright pixel here and there.
fn payload(pixels: usize, seed: u64) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let mut pixel = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        match state >> 48 {
            0..=9 => 500 + (state >> 40 & 0xFFF) as u16,
            n => (n & n >> 4 & 3) as u16,
        }
    };
    (0..pixels).flat_map(|_| pixel().to_le_bytes()).collect()
}

/// The gaps between modules of 1030 × 514 pixels.
fn gaps(columns: u32, rows: u32) -> Vec<u8> {
    let mut bits = vec![0; (columns as usize * rows as usize).div_ceil(8)];
    for y in 0..rows {
        for x in 0..columns {
            if x % 1040 >= 1030 || y % 551 >= 514 {
                let i = y as usize * columns as usize + x as usize;
                bits[i / 8] |= 1 << (i % 8);
            }
        }
    }
    bits
}

/// A preparation on a level, or a read pass, and how long it took.
struct Row {
    name: String,
    times: Vec<Duration>,
}

impl Row {
    fn new(name: impl Into<String>) -> Self {
        Row {
            name: name.into(),
            times: Vec::new(),
        }
    }

    fn take(&mut self, work: impl FnOnce()) {
        let started = Instant::now();
        work();
        self.times.push(started.elapsed());
    }

    /// The least and the median, in microseconds.
    fn summary(&mut self) -> [f64; 2] {
        self.times.sort();
        [0, self.times.len() / 2].map(|i| self.times[i].as_secs_f64() * 1e6)
    }
}

fn shape(columns: u32, rows: u32, rounds: usize, cold: usize) -> Vec<Row> {
    let pixels = columns as usize * rows as usize;
    let frames: Vec<Vec<u8>> = (0..(cold / (2 * pixels)).max(2) as u64)
        .map(|seed| payload(pixels, seed))
        .collect();
    let mask = gaps(columns, rows);
    let reductions = [("maximum", Reduce::Maximum), ("peaks", Reduce::Peaks)];
    let levels: Vec<Level> = Level::all_available().collect();
    let ways = levels.iter().rev().flat_map(|&level| {
        reductions
            .map(|(name, reduce)| (Row::new(format!("{name}, {}", level.name())), level, reduce))
    });
    let mut ways: Vec<_> = ways.collect();
    let mut read = Row::new("read pass");
    let mut frames = frames.iter().cycle();
    let mut next = || frames.next().expect("there are frames");
    let (mut words, mut map) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let frame = next();
        read.take(|| _ = black_box(levels[levels.len() - 1].run(ReadPass(frame))));
        for (row, level, reduce) in &mut ways {
            let preparation = Preparation {
                mask: Mask::new(&mask, columns, rows).expect("a bit for each pixel"),
                mask_values: MaskValues::from_slice(&[0xFFFF]).expect("there is room"),
                ..Preparation::plain(
                    columns,
                    rows,
                    PixelType::U16,
                    Window::whole(columns, rows, INPUT),
                    *reduce,
                )
            };
            let frame = Frame {
                header: FrameHeader::new(rows as u16, columns as u16, PixelType::U16),
                pixel_type: PixelType::U16,
                payload: next(),
            };
            words.resize(preparation.words(), 0);
            map.resize(preparation.map_bytes(), 0);
            row.take(|| {
                let made = preparation.run(*level, &frame, &mut words, &mut map);
                made.expect("there are valid pixels");
            });
        }
    }
    core::iter::once(read)
        .chain(ways.into_iter().map(|(row, ..)| row))
        .collect()
}

fn main() {
    // `cargo test --benches` asks whether it runs, not how fast.
    let bench = std::env::args().any(|argument| argument == "--bench");
    let (rounds, cold) = if bench { (ROUNDS, COLD) } else { (1, 1) };
    println!("whole panel of u16, {INPUT} x {INPUT} cells, bit mask, cold; microseconds");
    println!("{:32}     min  median   of a read pass", "");
    for (name, columns, rows) in SHAPES {
        let mut found = shape(columns, rows, rounds, cold);
        let read = found[0].summary();
        for row in &mut found {
            let [least, median] = row.summary();
            println!(
                "{name:10} {:21}{least:8.0}{median:8.0}   {:5.2} {:5.2}",
                row.name,
                least / read[0],
                median / read[1],
            );
        }
    }
}
