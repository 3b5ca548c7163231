//! A model's weights packed for one CPU level, and the walk over its layers.

use core::fmt;

use bytemuck::Pod;
use heapless::Vec;
use hitgate_kernels::{
    Level, Map, MapMut, Op, Packed, Shape, Simd, dense, depthwise, pack, pointwise, pool, stem,
    stem_input, stem_inputs,
};

use super::alike::Alike;
use super::arena::{Arena, aligned};
use super::format::{ALIGN, MAX_BLOCKS};
use super::model::{Convolution, Model};

/// Bytes that a plan asks of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// For the packed weights: [`Plan::new`].
    pub packed: usize,
    /// For one inference at a time: [`Arena::new`].
    pub arena: usize,
}

/// A model ready to run on one CPU level. Threads may share one plan; each needs its own [`Arena`].
#[derive(Clone, Debug)]
pub struct Plan<'p> {
    level: Level,
    input: Shape,
    stem: Packed<'p>,
    stem_out: Shape,
    blocks: Vec<Block<'p>, MAX_BLOCKS>,
    pool: &'p [f32],
    head: &'p [i8],
    head_bias: [i32; 3],
    buffers: [usize; 5],
}

/// A depthwise and a pointwise convolution, fused a band of rows at a time.
#[derive(Clone, Copy, Debug)]
struct Block<'p> {
    stride: usize,
    depthwise: Packed<'p>,
    pointwise: Packed<'p>,
    out: Shape,
    /// Rows of the map between the two halves that are held at a time.
    band: usize,
}

/// The map between the halves of a block stays within this, in bytes: half of a small first cache.
const BAND: usize = 16 * 1024;

impl<'p> Plan<'p> {
    /// Bytes that a plan of `model` for `level` needs, room to align them included.
    pub fn memory(model: &Model<'_>, level: Level) -> Memory {
        let room = |bytes: u64| bytes.next_multiple_of(ALIGN as u64);
        let sum = |bytes: u64| usize::try_from(bytes + ALIGN as u64 - 1).unwrap_or(usize::MAX);
        let walk = Walk::new(model, level.lanes());
        Memory {
            packed: sum(walk.packed),
            arena: sum(walk.buffers.into_iter().map(room).sum()),
        }
    }

    /// Packs the weights of `model` for `level` into `packed`.
    ///
    /// # Errors
    /// [`PlanError`] if `packed` is smaller than [`Plan::memory`] says.
    pub fn new(model: &Model<'_>, level: Level, packed: &'p mut [u8]) -> Result<Self, PlanError> {
        let lanes = level.lanes();
        let error = PlanError {
            given: packed.len(),
            needed: Plan::memory(model, level).packed,
        };
        let mut room = Room {
            bytes: aligned(packed),
            error,
        };
        let walk = Walk::new(model, lanes);
        let inputs = model.input().channels as usize;
        let shape = [stem_inputs(inputs), walk.stem.channels];
        let stem = room.matrix(model.stem(), shape, [lanes, 4], |out, k| {
            stem_input(inputs, k).map(|(tap, channel)| (out * inputs + channel) * 9 + tap)
        })?;
        let mut blocks = Vec::new();
        for (block, shape) in model.blocks().iter().zip(&walk.blocks) {
            let inputs = block.depthwise().channels();
            let packed = Block {
                stride: block.stride(),
                depthwise: room.depthwise(block.depthwise(), level)?,
                pointwise: room.matrix(
                    block.pointwise(),
                    [inputs, shape.out.channels],
                    [lanes, level.depth()],
                    |out, k| Some(out * inputs + k),
                )?,
                out: shape.out,
                band: shape.band,
            };
            // As many as the model has, whose list is as long.
            let _ = blocks.push(packed);
        }
        let features = model.pool_scales().len();
        let padded = pack::padded(features, lanes);
        let pool = room.take(padded, 1.0, model.pool_scales())?;
        let head = room.take_slice(3 * padded)?;
        for (to, from) in head
            .chunks_exact_mut(padded)
            .zip(model.head().weights().chunks_exact(features))
        {
            let (weights, padding) = to.split_at_mut(features);
            weights.copy_from_slice(from);
            padding.fill(0);
        }
        // Where a buffer's size does not fit a usize, no arena is large enough.
        let buffers = walk
            .buffers
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        Ok(Plan {
            level,
            input: walk.input,
            stem,
            stem_out: walk.stem,
            blocks,
            pool,
            head,
            head_bias: model.head().biases(),
            buffers,
        })
    }

    /// The level that the plan was packed for and runs on.
    pub fn level(&self) -> Level {
        self.level
    }

    /// The logits of hit, maybe and miss for `map`: `size · size · channels` levels, channels last,
    /// row after row. A level above 127 counts as 127.
    ///
    /// # Errors
    /// [`InferError`] if the map has another length, or the arena is smaller than
    /// [`Plan::memory`] says.
    pub fn infer(&self, arena: &mut Arena<'_>, map: &[u8]) -> Result<[i32; 3], InferError> {
        Ok(self.level.run(Inference(self.work(arena, map)?)))
    }

    /// The last map of activations for `map`, which [`Plan::infer`] would pool: lent until the arena
    /// is used again. Its channels are the model's, filled up with zeros to whole registers.
    ///
    /// # Errors
    /// Those of [`Plan::infer`].
    pub fn features<'a>(
        &'a self,
        arena: &'a mut Arena<'_>,
        map: &'a [u8],
    ) -> Result<Map<'a>, InferError> {
        Ok(self.level.run(Features(self.work(arena, map)?)))
    }

    /// Where the layers work on `map`.
    fn work<'a>(&'a self, arena: &'a mut Arena<'_>, map: &'a [u8]) -> Result<Work<'a>, InferError> {
        let expected = self.input.height * self.input.width * self.input.channels;
        if map.len() != expected {
            let found = map.len();
            return Err(InferError::Map { found, expected });
        }
        let given = arena.len();
        let Some(buffers) = arena.split(self.buffers) else {
            let room = |sum: usize, bytes: &usize| {
                sum.saturating_add(bytes.checked_next_multiple_of(ALIGN).unwrap_or(usize::MAX))
            };
            let needed = self.buffers.iter().fold(0, room);
            return Err(InferError::Arena { given, needed });
        };
        Ok(Work {
            plan: self,
            buffers,
            map,
        })
    }
}

/// A plan, a map, and the memory to run one on the other.
struct Work<'i> {
    plan: &'i Plan<'i>,
    /// Input, band, features, and two maps that take turns.
    buffers: [&'i mut [u8]; 5],
    map: &'i [u8],
}

/// One inference, on whichever level.
struct Inference<'i>(Work<'i>);

/// An inference that stops before the pool.
struct Features<'i>(Work<'i>);

impl Op for Inference<'_> {
    type Output = [i32; 3];

    fn run<S: Simd>(self, s: S) -> [i32; 3] {
        let plan = self.0.plan;
        let (last, features) = self.0.convolve(s);
        pool(s, last, plan.pool, features);
        dense(s, features, plan.head, plan.head_bias)
    }
}

impl<'i> Op for Features<'i> {
    type Output = Map<'i>;

    fn run<S: Simd>(self, s: S) -> Map<'i> {
        self.0.convolve(s).0
    }
}

impl<'i> Work<'i> {
    /// The last map of activations, and the memory for its pooled features.
    fn convolve<S: Simd>(self, s: S) -> (Map<'i>, &'i mut [u8]) {
        let plan = self.plan;
        let [input, band, features, mut from, mut to] = self.buffers;
        MapMut::new(plan.input, 1, input).fill(self.map);
        let mut strides = plan.blocks.iter().map(|block| block.stride).chain([1]);
        let mut stride = strides.next().unwrap_or(1);
        let mut alike = Alike::of_zeros(self.map, plan.input.width * plan.input.channels).after(2);
        let mut out = MapMut::new(plan.stem_out, stride, from);
        for rows in alike.others() {
            stem(
                s,
                Map::new(plan.input, 1, input),
                rows,
                &plan.stem,
                &mut out,
            );
        }
        for rows in alike.copies() {
            out.repeat(rows);
        }

        let mut shape = plan.stem_out;
        for (block, next) in plan.blocks.iter().zip(strides) {
            let out = MapMut::new(block.out, next, to);
            alike = alike.after(stride);
            block.run(s, Map::new(shape, stride, from), &alike, band, out);
            (shape, stride) = (block.out, next);
            (from, to) = (to, from);
        }
        (Map::new(shape, stride, from), features)
    }
}

impl Block<'_> {
    /// Rows that are `alike` in the map that comes out are made once.
    fn run<S: Simd>(
        &self,
        s: S,
        input: Map<'_>,
        alike: &Alike,
        band: &mut [u8],
        mut out: MapMut<'_>,
    ) {
        let channels = input.shape().channels;
        let row = self.out.width * channels;
        for others in alike.others() {
            for first in others.clone().step_by(self.band) {
                let rows = first..(first + self.band).min(others.end);
                let between = &mut band[..rows.len() * row];
                depthwise(s, input, rows, &self.depthwise, between);
                pointwise(s, between, channels, &self.pointwise, &mut out, first);
            }
        }
        for rows in alike.copies() {
            out.repeat(rows);
        }
    }
}

/// The shapes and sizes along the layers, channels padded to whole registers.
struct Walk {
    input: Shape,
    stem: Shape,
    blocks: Vec<BlockWalk, MAX_BLOCKS>,
    /// Bytes of packed weights, biases and scales.
    packed: u64,
    /// Bytes of input, band, features, and two maps that take turns.
    buffers: [u64; 5],
}

struct BlockWalk {
    out: Shape,
    band: usize,
}

impl Walk {
    fn new(model: &Model<'_>, lanes: usize) -> Self {
        let room = |bytes: usize| bytes.next_multiple_of(ALIGN) as u64;
        let numbers = |channels: usize| 2 * room(4 * channels);
        let repeated = |channels: usize| numbers(pack::repeated(channels, lanes));
        let size = model.input().size as usize;
        let input = Shape {
            height: size,
            width: size,
            channels: model.input().channels as usize,
        };
        let window = stem_inputs(input.channels);
        let stem = input.strided(2, model.stem().channels());
        let mut packed = room(pack::matrix_len(window, stem.channels, lanes))
            + numbers(pack::padded(stem.channels, lanes));
        let mut band = 0;
        let mut maps = [bytes(stem), 0];
        let mut from = stem;
        let mut blocks = Vec::new();
        for (i, block) in model.blocks().iter().enumerate() {
            let outputs = block.pointwise().channels();
            let padded = pack::padded(outputs, lanes);
            // The pool takes whole registers.
            let last = i + 1 == model.blocks().len();
            let out = from.strided(block.stride(), if last { padded } else { outputs });
            let row = out.width * from.channels;
            // The depthwise half makes two rows at once.
            let rows = (BAND / row / 2 * 2).clamp(1, out.height);
            packed += room(pack::depthwise_len(from.channels, lanes)) + repeated(from.channels);
            packed += room(pack::matrix_len(from.channels, outputs, lanes)) + numbers(padded);
            band = band.max(rows * row);
            let map = &mut maps[(i + 1) % 2];
            *map = bytes(out).max(*map);
            let _ = blocks.push(BlockWalk { out, band: rows });
            from = out;
        }
        packed += room(4 * from.channels) + room(3 * from.channels);
        let buffers = [
            bytes(input),
            band as u64,
            from.channels as u64,
            maps[0],
            maps[1],
        ];
        Walk {
            input,
            stem,
            blocks,
            packed,
            buffers,
        }
    }
}

/// [`Shape::bytes`] without overflow where a usize has 32 bits.
fn bytes(shape: Shape) -> u64 {
    (shape.height as u64 + 2) * (shape.width as u64 + 2) * shape.channels as u64
}

/// Memory that is handed out piece by piece, each at a multiple of 64.
struct Room<'p> {
    bytes: &'p mut [u8],
    error: PlanError,
}

impl<'p> Room<'p> {
    fn take_slice<T: Pod>(&mut self, count: usize) -> Result<&'p mut [T], PlanError> {
        let size = count * size_of::<T>();
        let bytes = core::mem::take(&mut self.bytes);
        let (taken, rest) = bytes
            .split_at_mut_checked(size.next_multiple_of(ALIGN))
            .ok_or(self.error)?;
        self.bytes = rest;
        bytemuck::try_cast_slice_mut(&mut taken[..size]).map_err(|_| self.error)
    }

    /// `numbers`, filled up to `count` by `padding`.
    fn take<T: Pod>(
        &mut self,
        count: usize,
        padding: T,
        numbers: impl Iterator<Item = T>,
    ) -> Result<&'p [T], PlanError> {
        let slice = self.take_slice(count)?;
        for (to, from) in slice
            .iter_mut()
            .zip(numbers.chain(core::iter::repeat(padding)))
        {
            *to = from;
        }
        Ok(slice)
    }

    /// A convolution whose input `k` of output `out` has the weight at `index(out, k)`, or is zero. The
    /// `outputs` are those of the map that it writes: what a map has beyond the layer's is zero.
    fn matrix(
        &mut self,
        layer: Convolution<'_>,
        [inputs, outputs]: [usize; 2],
        [lanes, depth]: [usize; 2],
        index: impl Fn(usize, usize) -> Option<usize>,
    ) -> Result<Packed<'p>, PlanError> {
        let weight = |out, k| {
            let weight = index(out, k).and_then(|at| layer.weights().get(at));
            weight.copied().unwrap_or(0)
        };
        let weights = self.take_slice(pack::matrix_len(inputs, outputs, lanes))?;
        pack::matrix(inputs, outputs, [lanes, depth], weight, weights);
        self.numbers(weights, layer, lanes)
    }

    fn depthwise(&mut self, layer: Convolution<'_>, level: Level) -> Result<Packed<'p>, PlanError> {
        let (channels, lanes) = (layer.channels(), level.lanes());
        let place = |n| level.place(n);
        let weight = |channel, tap| layer.weights().get(9 * channel + tap).copied().unwrap_or(0);
        let weights = self.take_slice(pack::depthwise_len(channels, lanes))?;
        let tap_place = |n, i| level.tap_place(n, i);
        pack::depthwise(channels, lanes, tap_place, weight, weights);
        let padded = pack::repeated(channels, lanes);
        let bias = self.take_slice(padded)?;
        pack::repeat(
            lanes,
            place,
            |c| layer.biases().nth(c).unwrap_or(0),
            channels,
            bias,
        );
        let scale = self.take_slice(padded)?;
        pack::repeat(
            lanes,
            place,
            |c| layer.scales().nth(c).unwrap_or(1.0),
            channels,
            scale,
        );
        Ok(Packed {
            weights,
            bias,
            scale,
        })
    }

    fn numbers(
        &mut self,
        weights: &'p [i8],
        layer: Convolution<'_>,
        lanes: usize,
    ) -> Result<Packed<'p>, PlanError> {
        let channels = pack::padded(layer.channels(), lanes);
        Ok(Packed {
            weights,
            bias: self.take(channels, 0, layer.biases())?,
            scale: self.take(channels, 1.0, layer.scales())?,
        })
    }
}

/// The memory for the packed weights is too small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanError {
    /// Bytes that there were.
    pub given: usize,
    /// Bytes that the plan needs.
    pub needed: usize,
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PlanError { given, needed } = self;
        write!(
            f,
            "packed weights need {needed} bytes, {given} were given; ask Plan::memory"
        )
    }
}

impl core::error::Error for PlanError {}

/// Why an inference could not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InferError {
    /// The map has another size than the model's input.
    Map {
        /// Bytes that there were.
        found: usize,
        /// Bytes of the model's input.
        expected: usize,
    },
    /// The arena is too small.
    Arena {
        /// Bytes that there were, from the first multiple of 64 on.
        given: usize,
        /// Bytes that the plan needs there.
        needed: usize,
    },
}

impl fmt::Display for InferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InferError::Map { found, expected } => {
                write!(f, "map of {found} bytes, the model takes {expected}")
            }
            InferError::Arena { given, needed } => {
                write!(
                    f,
                    "arena of {given} bytes, the plan needs {needed}; ask Plan::memory"
                )
            }
        }
    }
}

impl core::error::Error for InferError {}
