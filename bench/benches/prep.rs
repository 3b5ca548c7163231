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

struct Times(Vec<Duration>);

impl Times {
    fn take(&mut self, work: impl FnOnce()) {
        let started = Instant::now();
        work();
        self.0.push(started.elapsed());
    }

    /// The least and the median, in microseconds.
    fn summary(&mut self) -> [f64; 2] {
        self.0.sort();
        [self.0[0], self.0[self.0.len() / 2]].map(|time| time.as_secs_f64() * 1e6)
    }
}

fn main() {
    // `cargo test --benches` asks whether it runs, not how fast.
    let bench = std::env::args().any(|argument| argument == "--bench");
    let (rounds, cold) = if bench { (ROUNDS, COLD) } else { (1, 1) };
    let level = Level::detect();
    println!("whole panel of u16, {INPUT} x {INPUT} cells, bit mask, cold; microseconds");
    println!("                                    min  median   of a read pass (min, median)");
    for (name, columns, rows) in SHAPES {
        let pixels = columns as usize * rows as usize;
        let frames: Vec<Vec<u8>> = (0..(cold / (2 * pixels)).max(2) as u64)
            .map(|seed| payload(pixels, seed))
            .collect();
        let mask = gaps(columns, rows);
        let reductions = [("maximum", Reduce::Maximum), ("peaks", Reduce::Peaks)];
        let preparations = reductions.map(|(_, reduce)| Preparation {
            columns,
            rows,
            pixel_type: PixelType::U16,
            window: Window::whole(columns, rows, INPUT),
            reduce,
            saturation: u32::MAX,
            mask: Mask::new(&mask, columns, rows).expect("a bit for each pixel"),
            mask_values: MaskValues::from_slice(&[0xFFFF]).expect("there is room"),
            corrections: &[],
        });
        let mut words = vec![
            0;
            preparations
                .iter()
                .map(Preparation::words)
                .max()
                .unwrap_or(0)
        ];
        let mut map = vec![0; preparations[1].map_bytes()];
        let mut read = Times(Vec::new());
        let mut prepared = reductions.map(|_| Times(Vec::new()));
        let mut frames = frames.iter().cycle();
        let mut next = || frames.next().expect("there are frames");
        for _ in 0..rounds {
            let frame = next();
            read.take(|| _ = black_box(level.run(ReadPass(frame))));
            for (preparation, times) in preparations.iter().zip(&mut prepared) {
                let frame = Frame {
                    header: FrameHeader::new(rows as u16, columns as u16, PixelType::U16),
                    pixel_type: PixelType::U16,
                    payload: next(),
                };
                let map = &mut map[..preparation.map_bytes()];
                times.take(|| {
                    let made = preparation.run(&frame, &mut words, map);
                    made.expect("there are valid pixels");
                });
            }
        }
        let read = read.summary();
        println!(
            "{name:10} read pass             {:8.0}{:8.0}",
            read[0], read[1]
        );
        for ((what, _), times) in reductions.iter().zip(&mut prepared) {
            let took = times.summary();
            println!(
                "{name:10} {what:10}            {:8.0}{:8.0}   {:5.2} {:5.2}",
                took[0],
                took[1],
                took[0] / read[0],
                took[1] / read[1]
            );
        }
    }
}
