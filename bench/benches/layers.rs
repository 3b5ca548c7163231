//! Each layer of MobileNet-V1 on its own, warm: `cargo bench -p hitgate-bench --bench layers [-- WIDTH LEVEL]`.
//!
//! Layers and levels take turns, and least times are printed, so that whatever else the machine does
//! slows all of them. The weights are arbitrary: the time does not depend on them.

use std::hint::black_box;
use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

use hitgate_kernels::pack::{self, Packed};
use hitgate_kernels::{
    Level, Map, MapMut, Op, Shape, Simd, depthwise, pointwise, stem, stem_inputs,
};

const INPUT: Shape = Shape {
    height: 224,
    width: 224,
    channels: 2,
};
/// Channels of the stem, then channels and stride of each block, at width 1.
const STEM: usize = 32;
const BLOCKS: [(usize, usize); 13] = [
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (512, 1),
    (1024, 2),
    (1024, 1),
];
/// Bytes of a band, as the plan cuts them.
const BAND: usize = 16 << 10;
const ROUNDS: usize = 200;

/// A layer: what it reads, and what it makes of it.
#[derive(Clone, Copy)]
enum Kind {
    Stem,
    /// From a map to one row after another.
    Depthwise(usize),
    /// From rows of so many inputs to the map that the next block takes with this stride.
    Pointwise(usize, usize),
}

struct Layer {
    name: String,
    kind: Kind,
    from: Shape,
    out: Shape,
    macs: usize,
}

fn layers(width: f64) -> Vec<Layer> {
    let channels = |c: usize| ((width * c as f64 / 8.0).round() as usize * 8).max(8);
    let mut from = INPUT.strided(2, channels(STEM));
    let mut layers = vec![Layer {
        name: "stem".into(),
        kind: Kind::Stem,
        from: INPUT,
        out: from,
        macs: 9 * INPUT.channels * from.height * from.width * from.channels,
    }];
    for (i, (c, stride)) in BLOCKS.into_iter().enumerate() {
        let between = from.strided(stride, from.channels);
        let pixels = between.height * between.width;
        layers.push(Layer {
            name: format!("{:2} depthwise /{stride}", i + 1),
            kind: Kind::Depthwise(stride),
            from,
            out: between,
            macs: 9 * pixels * from.channels,
        });
        let out = Shape {
            channels: channels(c),
            ..between
        };
        let next = BLOCKS.get(i + 1).map_or(1, |(_, stride)| *stride);
        layers.push(Layer {
            name: format!("{:2} pointwise", i + 1),
            kind: Kind::Pointwise(from.channels, next),
            from: between,
            out,
            macs: pixels * from.channels * out.channels,
        });
        from = out;
    }
    layers
}

/// A layer with its weights packed for a level, and memory to work in.
struct Bench<'l> {
    layer: &'l Layer,
    weights: Aligned<i8>,
    bias: Aligned<i32>,
    scale: Aligned<f32>,
    from: Aligned<u8>,
    to: Aligned<u8>,
    best: Duration,
}

/// Numbers from a multiple of 64 on, as the plan has them.
struct Aligned<T> {
    numbers: Vec<T>,
    first: usize,
}

impl<T: Copy> Aligned<T> {
    fn new(len: usize, filler: T) -> Self {
        let numbers = vec![filler; len + 64];
        let first = numbers.as_ptr().align_offset(64);
        Aligned { numbers, first }
    }
}

impl<T> Deref for Aligned<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.numbers[self.first..]
    }
}

impl<T> DerefMut for Aligned<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.numbers[self.first..]
    }
}

impl<'l> Bench<'l> {
    fn new(layer: &'l Layer, level: Level) -> Self {
        let lanes = level.lanes();
        let (outputs, channels) = (layer.out.channels, layer.from.channels);
        let (weights, numbers) = match layer.kind {
            Kind::Stem => (
                pack::matrix_len(stem_inputs(channels), outputs, lanes),
                pack::padded(outputs, lanes),
            ),
            Kind::Depthwise(_) => (
                pack::depthwise_len(channels, lanes),
                pack::repeated(channels, lanes),
            ),
            Kind::Pointwise(..) => (
                pack::matrix_len(channels, outputs, lanes),
                pack::padded(outputs, lanes),
            ),
        };
        Bench {
            layer,
            weights: Aligned::new(weights, 5),
            bias: Aligned::new(numbers, 100),
            scale: Aligned::new(numbers, 0.01),
            from: Aligned::new(layer.from.bytes(), 3),
            to: Aligned::new(layer.out.bytes(), 0),
            best: Duration::MAX,
        }
    }
}

impl Bench<'_> {
    /// The least time, in microseconds.
    fn us(&self) -> f64 {
        self.best.as_secs_f64() * 1e6
    }
}

impl Op for &mut Bench<'_> {
    type Output = ();

    fn run<S: Simd>(self, s: S) {
        let p = Packed {
            weights: &self.weights,
            bias: &self.bias,
            scale: &self.scale,
        };
        let Layer {
            kind, from, out, ..
        } = *self.layer;
        let row = out.width * from.channels;
        let rows = (BAND / row / 2 * 2).clamp(1, out.height);
        let started = Instant::now();
        match kind {
            Kind::Stem => {
                let mut to = MapMut::new(out, 1, &mut self.to);
                stem(s, Map::new(from, 1, &self.from), 0..out.height, &p, &mut to);
            }
            Kind::Depthwise(stride) => {
                for first in (0..out.height).step_by(rows) {
                    let rows = first..(first + rows).min(out.height);
                    let band = &mut self.to[..rows.len() * row];
                    depthwise(s, Map::new(from, stride, &self.from), rows, &p, band);
                }
            }
            Kind::Pointwise(inputs, stride) => {
                let mut to = MapMut::new(out, stride, &mut self.to);
                for first in (0..out.height).step_by(rows) {
                    let rows = rows.min(out.height - first);
                    pointwise(s, &self.from[..rows * row], inputs, &p, &mut to, first);
                }
            }
        }
        self.best = self.best.min(started.elapsed());
        black_box(&self.to[..]);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let named = |name: &str| arguments.iter().any(|argument| argument == name);
    // `cargo test --benches` asks whether it runs, not how fast.
    let rounds = if named("--bench") { ROUNDS } else { 1 };
    let levels = some_or_all(Level::all_available().skip(1).collect(), |level| {
        named(level.name())
    });
    let widths = some_or_all(vec![0.25, 0.5, 1.0], |width: &f64| {
        named(&width.to_string())
    });
    for width in widths {
        table(width, &levels, rounds);
    }
}

/// Those that are `wanted`, or all where none is.
fn some_or_all<T: Copy>(all: Vec<T>, wanted: impl Fn(&T) -> bool) -> Vec<T> {
    let some: Vec<T> = all.iter().copied().filter(wanted).collect();
    if some.is_empty() { all } else { some }
}

fn table(width: f64, levels: &[Level], rounds: usize) {
    let layers = layers(width);
    let of_level = |level: &Level| -> Vec<_> {
        let bench = |layer| Bench::new(layer, *level);
        layers.iter().map(bench).collect()
    };
    let mut benches: Vec<Vec<Bench<'_>>> = levels.iter().map(of_level).collect();
    for _ in 0..rounds {
        for (level, benches) in levels.iter().zip(&mut benches) {
            for bench in benches {
                level.run(bench);
            }
        }
    }
    print!("\nwidth {width:<21}");
    for level in levels {
        print!("{:>20}", level.name());
    }
    println!(
        "\n{:27}{}",
        "",
        "     us  mac/ns      ".repeat(levels.len())
    );
    for (i, layer) in layers.iter().enumerate() {
        let Shape {
            width, channels, ..
        } = layer.out;
        print!("{:15}{width:4} x {channels:4} ", layer.name);
        for benches in &benches {
            let us = benches[i].us();
            print!("{us:9.2}{:8.1}   ", layer.macs as f64 / us / 1e3);
        }
        println!();
    }
    for sum in ["stem", "depthwise", "pointwise"] {
        print!("{sum:27}");
        for benches in &benches {
            let of_kind = |bench: &&Bench<'_>| bench.layer.name.contains(sum);
            let us: f64 = benches.iter().filter(of_kind).map(Bench::us).sum();
            print!("{us:9.1}           ");
        }
        println!();
    }
}
