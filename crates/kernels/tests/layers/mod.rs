//! One layer at a time, on one level, against the oracle.

mod wide;

use std::ops::RangeInclusive;

use hitgate_kernels::{
    Level, MAX_SCALED, Map, MapMut, Op, Packed, Shape, Simd, pack, stem_input, stem_inputs,
};
use hitgate_testkit::oracle::{self, Tensor};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Where a layer runs.
#[derive(Clone, Copy)]
pub enum On {
    /// On a level of this machine.
    Level(Level),
    /// In plain loops, sixteen channels a register.
    Wide,
}

impl On {
    pub fn run<O: Op>(self, op: O) -> O::Output {
        match self {
            On::Level(level) => level.run(op),
            On::Wide => op.run(wide::Wide),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            On::Level(level) => level.name(),
            On::Wide => wide::Wide::NAME,
        }
    }

    fn place(self, n: usize) -> usize {
        match self {
            On::Level(level) => level.place(n),
            On::Wide => wide::Wide::place(n),
        }
    }

    fn tap_place(self, n: usize, i: usize) -> usize {
        match self {
            On::Level(level) => level.tap_place(n, i),
            On::Wide => wide::Wide::tap_place(n, i),
        }
    }

    fn lanes(self) -> usize {
        match self {
            On::Level(level) => level.lanes(),
            On::Wide => wide::Wide::N,
        }
    }

    fn depth(self) -> usize {
        match self {
            On::Level(level) => level.depth(),
            On::Wide => wide::Wide::DEPTH,
        }
    }
}

/// What one case is made of; a layer uses what it needs.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    height: usize,
    width: usize,
    /// Channels in, before padding to whole registers.
    inputs: usize,
    /// Channels out, before padding.
    outputs: usize,
    stride: usize,
    values: Values,
}

#[derive(Clone, Copy, Debug)]
enum Values {
    Seeded(u64),
    /// Every activation 127, every weight -128: the largest products.
    Lowest,
    /// Every activation 127, every weight 127.
    Highest,
}

const fn case(height: usize, width: usize, inputs: usize, outputs: usize, stride: usize) -> Case {
    Case {
        height,
        width,
        inputs,
        outputs,
        stride,
        values: Values::Seeded(7),
    }
}

pub const STEM_SHAPES: &[Case] = &[
    case(1, 1, 1, 8, 2),
    case(2, 2, 1, 8, 2),
    case(33, 33, 1, 8, 2),
    case(33, 31, 2, 16, 2),
    case(10, 7, 3, 24, 2),
    case(9, 8, 4, 40, 2),
];
pub const DEPTHWISE_SHAPES: &[Case] = &[
    case(1, 1, 8, 8, 1),
    case(1, 1, 8, 8, 2),
    case(7, 7, 16, 16, 1),
    case(14, 14, 24, 24, 2),
    case(5, 9, 40, 40, 2),
    case(2, 33, 8, 8, 1),
];
pub const POINTWISE_SHAPES: &[Case] = &[
    case(1, 1, 8, 8, 1),
    case(1, 2, 8, 16, 1),
    case(3, 3, 16, 24, 1),
    case(2, 4, 24, 8, 1),
    case(7, 7, 64, 40, 1),
    case(1, 5, 256, 64, 1),
    case(2, 14, 32, 48, 1),
];
pub const POOL_SHAPES: &[Case] = &[
    case(1, 1, 8, 8, 1),
    case(7, 7, 256, 8, 1),
    case(3, 4, 24, 8, 1),
    case(2, 9, 16, 8, 1),
];

/// Runs `check` on each shape with seeded numbers and at both corners of the number range.
pub fn named(shapes: &[Case], check: impl Fn(Case)) {
    assert!(!shapes.is_empty());
    for shape in shapes {
        for values in [Values::Seeded(7), Values::Lowest, Values::Highest] {
            check(Case { values, ..*shape });
        }
    }
}

/// Runs `check` on random shapes.
pub fn property(check: impl Fn(Case)) {
    let eights = |count: RangeInclusive<usize>| count.prop_map(|n| 8 * n);
    let cases = (
        1usize..20,
        1usize..20,
        eights(1..=9),
        eights(1..=9),
        1usize..=2,
        any::<u64>(),
    )
        .prop_map(|(height, width, inputs, outputs, stride, seed)| Case {
            height,
            width,
            inputs,
            outputs,
            stride,
            values: Values::Seeded(seed),
        });
    let config = ProptestConfig {
        cases: if cfg!(miri) {
            2
        } else {
            hitgate_testkit::cases(64)
        },
        // A harness of its own has no place for the seeds of failures: the shape is in the message.
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&cases, |case| {
            check(case);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

impl Case {
    fn numbers(&self) -> Numbers {
        let seed = match self.values {
            Values::Seeded(seed) => seed,
            _ => 0,
        };
        Numbers {
            values: self.values,
            state: seed,
        }
    }
}

/// A stream of test numbers (splitmix64).
struct Numbers {
    values: Values,
    state: u64,
}

impl Numbers {
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn tensor(&mut self, height: usize, width: usize, channels: usize) -> Tensor {
        Tensor::from_fn(height, width, channels, |_, _, _| match self.values {
            Values::Seeded(_) => (self.next() % 128) as u8,
            _ => 127,
        })
    }

    fn weights(&mut self, len: usize) -> Vec<i8> {
        let weight = |numbers: &mut Self| match numbers.values {
            Values::Seeded(_) => numbers.next() as i8,
            Values::Lowest => i8::MIN,
            Values::Highest => i8::MAX,
        };
        (0..len).map(|_| weight(self)).collect()
    }

    fn bias(&mut self, len: usize) -> Vec<i32> {
        (0..len).map(|_| self.next() as i32 % 20_000).collect()
    }

    /// Scales that spread sums of `inputs` products over the activations, with every fraction.
    fn scale(&mut self, len: usize, inputs: usize) -> Vec<f32> {
        let unit = 1.0 / (75.0 * (inputs as f32).sqrt() * 64.0);
        (0..len)
            .map(|_| (self.next() % 4096 + 1) as f32 / 64.0 * unit)
            .collect()
    }
}

/// `numbers` padded to `len` by `filler`.
fn padded<T: Copy>(numbers: &[T], len: usize, filler: T) -> Vec<T> {
    let mut numbers = numbers.to_vec();
    numbers.resize(len, filler);
    numbers
}

/// The tensor as a framed map for windows `stride` pixels apart, whose pixels are padded to whole
/// registers.
fn framed(tensor: &Tensor, channels: usize, stride: usize) -> (Shape, Vec<u8>) {
    let shape = Shape {
        height: tensor.height,
        width: tensor.width,
        channels,
    };
    let mut bytes = vec![0xAA; shape.bytes()];
    let mut map = MapMut::new(shape, stride, &mut bytes);
    let pixels: Vec<u8> = tensor
        .data
        .chunks_exact(tensor.channels)
        .flat_map(|pixel| padded(pixel, channels, 0))
        .collect();
    map.fill(&pixels);
    (shape, bytes)
}

/// A layer's output buffer, dirty, so that a byte that is never written shows.
fn dirty(shape: Shape) -> Vec<u8> {
    vec![0xAA; shape.bytes()]
}

/// Asserts that `bytes` is exactly `want`, framed and padded, laid out for windows `case.stride` apart.
fn assert_map(want: &Tensor, channels: usize, bytes: &[u8], case: Case, on: On) {
    let (_, framed) = framed(want, channels, case.stride);
    assert!(framed == bytes, "{}: {case:?}", on.name());
}

struct Stem<'a>(Map<'a>, Packed<'a>, MapMut<'a>);
impl Op for Stem<'_> {
    type Output = ();
    fn run<S: Simd>(mut self, s: S) {
        let rows = 0..self.2.shape().height;
        hitgate_kernels::stem(s, self.0, rows, &self.1, &mut self.2);
    }
}

pub fn stem(on: On, case: Case) {
    let (channels, lanes) = (1 + (case.inputs - 1) % 4, on.lanes());
    let mut numbers = case.numbers();
    let input = numbers.tensor(case.height, case.width, channels);
    let weights = numbers.weights(case.outputs * channels * 9);
    let bias = numbers.bias(case.outputs);
    let scale = numbers.scale(case.outputs, 9 * channels);
    let want = oracle::convolution(&input, &weights, &bias, &scale, 2);

    let outputs = pack::padded(case.outputs, lanes);
    let inputs = stem_inputs(channels);
    let mut packed = vec![0; pack::matrix_len(inputs, case.outputs, lanes)];
    let weight =
        |o, k| stem_input(channels, k).map_or(0, |(tap, c)| weights[(o * channels + c) * 9 + tap]);
    pack::matrix(inputs, case.outputs, [lanes, 4], weight, &mut packed);
    let (bias, scale) = (padded(&bias, outputs, 0), padded(&scale, outputs, 1.0));
    let layer = Packed {
        weights: &packed,
        bias: &bias,
        scale: &scale,
    };

    let (shape, bytes) = framed(&input, channels, 1);
    let out_shape = shape.strided(2, case.outputs);
    let mut out = dirty(out_shape);
    on.run(Stem(
        Map::new(shape, 1, &bytes),
        layer,
        MapMut::new(out_shape, case.stride, &mut out),
    ));
    assert_map(&want, case.outputs, &out, case, on);
}

struct Depthwise<'a>(Map<'a>, Packed<'a>, &'a mut [u8]);
impl Op for Depthwise<'_> {
    type Output = ();
    fn run<S: Simd>(self, s: S) {
        let input = self.0.shape();
        let shape = input.strided(self.0.stride(), input.channels);
        // Two bands, so that a band that does not start at row 0 is tested too.
        let (split, row) = (shape.height / 2, shape.width * shape.channels);
        let (top, bottom) = self.2.split_at_mut(split * row);
        hitgate_kernels::depthwise(s, self.0, 0..split, &self.1, top);
        hitgate_kernels::depthwise(s, self.0, split..shape.height, &self.1, bottom);
    }
}

pub fn depthwise(on: On, case: Case) {
    let (channels, lanes) = (case.inputs, on.lanes());
    let mut numbers = case.numbers();
    let input = numbers.tensor(case.height, case.width, channels);
    let weights = numbers.weights(channels * 9);
    let (bias, scale) = (numbers.bias(channels), numbers.scale(channels, 9));
    let want = oracle::depthwise(&input, &weights, &bias, &scale, case.stride);

    let mut packed = vec![0; pack::depthwise_len(channels, lanes)];
    let place = |n| on.place(n);
    let weight = |c, tap| weights[c * 9 + tap];
    let tap_place = |n, i| on.tap_place(n, i);
    pack::depthwise(channels, lanes, tap_place, weight, &mut packed);
    let repeated = pack::repeated(channels, lanes);
    let (mut biases, mut scales) = (vec![7; repeated], vec![7.0; repeated]);
    pack::repeat(lanes, place, |c| bias[c], channels, &mut biases);
    pack::repeat(lanes, place, |c| scale[c], channels, &mut scales);
    let layer = Packed {
        weights: &packed,
        bias: &biases,
        scale: &scales,
    };

    let (shape, bytes) = framed(&input, channels, case.stride);
    let mut out = vec![0xAA; want.data.len()];
    let map = Map::new(shape, case.stride, &bytes);
    on.run(Depthwise(map, layer, &mut out));
    assert!(want.data == out, "{}: {case:?}", on.name());
}

struct Pointwise<'a>(&'a [u8], usize, Packed<'a>, MapMut<'a>);
impl Op for Pointwise<'_> {
    type Output = ();
    fn run<S: Simd>(mut self, s: S) {
        let Shape { height, width, .. } = self.3.shape();
        let (split, row) = (height / 2, width * self.1);
        let (top, bottom) = self.0.split_at(split * row);
        hitgate_kernels::pointwise(s, top, self.1, &self.2, &mut self.3, 0);
        hitgate_kernels::pointwise(s, bottom, self.1, &self.2, &mut self.3, split);
    }
}

pub fn pointwise(on: On, case: Case) {
    let lanes = on.lanes();
    let mut numbers = case.numbers();
    let input = numbers.tensor(case.height, case.width, case.inputs);
    let weights = numbers.weights(case.outputs * case.inputs);
    let (bias, scale) = (
        numbers.bias(case.outputs),
        numbers.scale(case.outputs, case.inputs),
    );
    let want = oracle::pointwise(&input, &weights, &bias, &scale);

    let outputs = pack::padded(case.outputs, lanes);
    let mut packed = vec![0; pack::matrix_len(case.inputs, case.outputs, lanes)];
    let weight = |o, k| weights[o * case.inputs + k];
    pack::matrix(
        case.inputs,
        case.outputs,
        [lanes, on.depth()],
        weight,
        &mut packed,
    );
    let (bias, scale) = (padded(&bias, outputs, 0), padded(&scale, outputs, 1.0));
    let layer = Packed {
        weights: &packed,
        bias: &bias,
        scale: &scale,
    };

    let shape = Shape {
        height: case.height,
        width: case.width,
        channels: case.outputs,
    };
    let mut out = dirty(shape);
    on.run(Pointwise(
        &input.data,
        case.inputs,
        layer,
        MapMut::new(shape, case.stride, &mut out),
    ));
    assert_map(&want, case.outputs, &out, case, on);
}

struct PoolAndDense<'a>(Map<'a>, &'a [f32], &'a [i8], [i32; 3]);
impl Op for PoolAndDense<'_> {
    type Output = (Vec<u8>, [i32; 3]);
    fn run<S: Simd>(self, s: S) -> (Vec<u8>, [i32; 3]) {
        let mut features = vec![0xAA; self.0.shape().channels];
        hitgate_kernels::pool(s, self.0, self.1, &mut features);
        let logits = hitgate_kernels::dense(s, &features, self.2, self.3);
        (features, logits)
    }
}

pub fn pool_and_dense(on: On, case: Case) {
    let channels = case.inputs;
    let mut numbers = case.numbers();
    let input = numbers.tensor(case.height, case.width, channels);
    let pixels = (case.height * case.width) as f32;
    let scale: Vec<f32> = (0..channels)
        .map(|c| (1.0 + c as f32 / 64.0) / pixels)
        .collect();
    let weights = numbers.weights(3 * channels);
    let bias = [1, -2, 3].map(|x| x * 100_000);
    let want = oracle::pool(&input, &scale);

    let width = pack::padded(channels, on.lanes());
    let (shape, bytes) = framed(&input, width, 1);
    let rows: Vec<i8> = weights
        .chunks_exact(channels)
        .flat_map(|row| padded(row, width, 0))
        .collect();
    let scale = padded(&scale, width, 1.0);
    let (features, logits) = on.run(PoolAndDense(
        Map::new(shape, 1, &bytes),
        &scale,
        &rows,
        bias,
    ));
    assert_eq!(features, padded(&want, width, 0), "{}: {case:?}", on.name());
    let want = oracle::dense(&want, &weights, &bias);
    assert_eq!(logits.map(i64::from), want, "{}: {case:?}", on.name());
}

/// Four registers, as they are and as columns, put in ones, twos and fours: all of them alike.
struct Requantize(i32, f32);
impl Op for Requantize {
    type Output = Vec<u8>;
    fn run<S: Simd>(self, s: S) -> Vec<u8> {
        let sums = s.bias(&vec![self.0; S::N]);
        let scale = vec![self.1; 4 * S::N];
        let mut out = vec![0xAA; 16 * S::N];
        s.vectorize(|| {
            let four = s.requant([sums; 4], [&scale; 4]);
            for r in 0..4 {
                s.put(four, r..r + 1, &mut out[r * S::N..]);
            }
            s.put(four, 0..2, &mut out[4 * S::N..]);
            s.put(four, 2..4, &mut out[6 * S::N..]);
            s.put(four, 0..4, &mut out[8 * S::N..]);
            s.put(
                s.requant_columns([sums; 4], &scale),
                0..4,
                &mut out[12 * S::N..],
            );
        });
        out
    }
}

/// Sums and scales at which a rounding, a clamp or a conversion could go wrong.
pub fn requantize(on: On) {
    // 2²⁴ + 1 and its neighbours are where i32 → f32 starts to round.
    let edges = [
        0,
        1,
        3,
        5,
        127,
        253,
        255,
        256,
        1 << 24,
        (1 << 24) + 1,
        (1 << 24) + 3,
        i32::MAX,
    ];
    let scales = [
        f32::MIN_POSITIVE / 2.0,
        f32::MIN_POSITIVE,
        1.0 / (1u32 << 31) as f32,
        0.25,
        0.5,
        0.499_999_97,
        1.0,
        1.5,
        1e6,
        1e9,
    ];
    for sum in edges.into_iter().flat_map(|sum| [sum, -sum, -sum - 1]) {
        for scale in scales {
            // What no layer may have: see the crate's documentation.
            if sum as f32 * scale > MAX_SCALED || sum as f32 * scale < -MAX_SCALED {
                continue;
            }
            let want = oracle::requantize(i64::from(sum), scale);
            let got = on.run(Requantize(sum, scale));
            assert_eq!(
                got,
                vec![want; 16 * on.lanes()],
                "{}: {sum} times {scale:e}",
                on.name()
            );
        }
    }
}
