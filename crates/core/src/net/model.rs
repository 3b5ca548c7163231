//! A model file's bytes → a view in which every offset, size and number was checked.

use heapless::Vec;
use hitgate_kernels::{ACTIVATION_MAX, MAX_SCALED};

use super::alike::Alike;
use super::format::*;
use super::statistics::{Range, Statistics};
use crate::prep::Reduce;
use crate::verdict::{Class, Score};

/// A model file that was found sound: a view, which copies no weights and needs no alignment.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    input: Input,
    threshold: u16,
    points: &'a [[u8; POINT]],
    statistics: Statistics,
    golden: Golden<'a>,
    provenance: Provenance<'a>,
    stem: Convolution<'a>,
    blocks: Vec<Block<'a>, MAX_BLOCKS>,
    pool: &'a [[u8; 4]],
    head: Head<'a>,
}

/// What the network takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Input {
    /// Cells along the side of the map.
    pub size: u32,
    /// Bytes a cell.
    pub channels: u32,
    /// How a block of pixels becomes a cell.
    pub reduce: Reduce,
    /// Resolution of the water ring in Å: the window reaches to it, spots within it count.
    pub d_water: f32,
}

impl Input {
    /// Bytes of a map.
    pub const fn bytes(&self) -> usize {
        self.size as usize * self.size as usize * self.channels as usize
    }
}

/// A threshold that was set on validation data.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OperatingPoint<'a> {
    /// Its name, such as `recall-0.99`.
    pub name: &'a str,
    /// Keep when `p_hit + p_maybe` is at least this, times 2¹⁶.
    pub threshold: u16,
    /// The recall that it was set for.
    pub recall_target: f32,
    /// k of n hits that it kept.
    pub hits_kept: (u32, u32),
    /// Exact one-sided 95 % lower bound of that recall.
    pub recall_bound: f32,
    /// k of n misses that it dropped.
    pub misses_dropped: (u32, u32),
}

/// An input whose exact answer is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Golden<'a> {
    /// The map, [`Input::bytes`] long.
    pub map: &'a [u8],
    /// Its logits, on every level.
    pub logits: [i32; 3],
    /// Its score.
    pub score: Score,
}

/// Where the model comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Provenance<'a> {
    /// Seed of the training data.
    pub seed: u64,
    /// SHA-256 of the ONNX file.
    pub onnx_sha256: [u8; 32],
    /// Whatever else is worth telling.
    pub text: &'a str,
}

/// One convolution's numbers, of lengths that fit its shape.
#[derive(Clone, Copy, Debug)]
pub struct Convolution<'a> {
    weights: &'a [i8],
    biases: &'a [[u8; 4]],
    scales: &'a [[u8; 4]],
}

impl<'a> Convolution<'a> {
    /// Weights in the order of the [file](super::format).
    pub fn weights(&self) -> &'a [i8] {
        self.weights
    }

    /// Channels out.
    pub fn channels(&self) -> usize {
        self.biases.len()
    }

    /// One bias a channel out.
    pub fn biases(&self) -> impl ExactSizeIterator<Item = i32> + 'a {
        self.biases.iter().map(|bytes| i32::from_le_bytes(*bytes))
    }

    /// One scale a channel out.
    pub fn scales(&self) -> impl ExactSizeIterator<Item = f32> + 'a {
        self.scales.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }
}

/// A depthwise and a pointwise convolution.
#[derive(Clone, Copy, Debug)]
pub struct Block<'a> {
    stride: usize,
    depthwise: Convolution<'a>,
    pointwise: Convolution<'a>,
}

impl<'a> Block<'a> {
    /// Pixels between two windows, 1 or 2.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The 3x3 half.
    pub fn depthwise(&self) -> Convolution<'a> {
        self.depthwise
    }

    /// The 1x1 half.
    pub fn pointwise(&self) -> Convolution<'a> {
        self.pointwise
    }
}

/// Features → logits.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    weights: &'a [i8],
    biases: [i32; 3],
    scale: f32,
}

impl<'a> Head<'a> {
    /// `[class][feature]`.
    pub fn weights(&self) -> &'a [i8] {
        self.weights
    }

    /// One bias a class.
    pub fn biases(&self) -> [i32; 3] {
        self.biases
    }

    /// Takes a logit to a power of two.
    pub fn scale(&self) -> f32 {
        self.scale
    }
}

impl<'a> Model<'a> {
    /// Checks all of `file`.
    ///
    /// # Errors
    /// [`FormatError`], which names the section that is wrong.
    pub fn parse(file: &'a [u8]) -> Result<Self, FormatError> {
        let mut sections = Sections::open(file)?;
        let input = sections.input()?;
        sections.classes()?;
        let shapes = sections.shapes()?;
        let (threshold, points) = sections.decision()?;
        let statistics = sections.statistics()?;
        let golden = sections.golden(&input)?;
        let provenance = sections.provenance()?;

        let mut channels = shapes.stem;
        let stem = sections.convolution(Layer::Stem, channels, 9 * input.channels as usize)?;
        let mut blocks = Vec::new();
        for (number, shape) in (1..).zip(&shapes.blocks) {
            let block = Block {
                stride: shape.stride,
                depthwise: sections.convolution(Layer::Depthwise(number), channels, 9)?,
                pointwise: sections.convolution(
                    Layer::Pointwise(number),
                    shape.channels,
                    channels,
                )?,
            };
            // As many as there are shapes, whose list is as long.
            let _ = blocks.push(block);
            channels = shape.channels;
        }
        let last = blocks.len() as u16;
        let pool = sections.scales(Layer::Pool(last), channels)?;
        let sum = u64::from(ACTIVATION_MAX) * pixels_at_the_end(&input, &shapes.blocks);
        demand_scaled_in_i32(Layer::Pool(last), core::iter::repeat(sum), pool)?;
        let head = sections.head(Layer::Head(last), channels)?;
        sections.end()?;

        if Score::from_logits(golden.logits, head.scale) != golden.score {
            return Err(rule(
                Section::GoldenOutput,
                "the probabilities are not those of the logits",
            ));
        }
        Ok(Model {
            input,
            threshold,
            points,
            statistics,
            golden,
            provenance,
            stem,
            blocks,
            pool,
            head,
        })
    }

    /// What the network takes.
    pub fn input(&self) -> Input {
        self.input
    }

    /// The threshold that the model was released with, times 2¹⁶.
    pub fn threshold(&self) -> u16 {
        self.threshold
    }

    /// Thresholds that were set on validation data.
    pub fn operating_points(&self) -> impl ExactSizeIterator<Item = OperatingPoint<'a>> + 'a {
        self.points.iter().map(|bytes| point(bytes))
    }

    /// What maps looked like in training.
    pub fn statistics(&self) -> Statistics {
        self.statistics
    }

    /// An input whose exact answer is known.
    pub fn golden(&self) -> Golden<'a> {
        self.golden
    }

    /// Where the model comes from.
    pub fn provenance(&self) -> Provenance<'a> {
        self.provenance
    }

    /// The first convolution: 3x3, stride 2.
    pub fn stem(&self) -> Convolution<'a> {
        self.stem
    }

    /// The blocks, first to last.
    pub fn blocks(&self) -> &[Block<'a>] {
        &self.blocks
    }

    /// The pool's factors, one a channel of the last map.
    pub fn pool_scales(&self) -> impl ExactSizeIterator<Item = f32> + 'a {
        self.pool.iter().map(|bytes| f32::from_le_bytes(*bytes))
    }

    /// Features → logits.
    pub fn head(&self) -> Head<'a> {
        self.head
    }

    /// The probabilities that this model's logits stand for.
    pub fn score(&self, logits: [i32; 3]) -> Score {
        Score::from_logits(logits, self.head.scale)
    }

    /// Multiply-adds of one inference on a map that has no empty rows.
    pub fn multiply_adds(&self) -> u64 {
        self.multiply_adds_from(Alike::none(self.input.size as usize))
    }

    /// Multiply-adds of one inference on `map`: where rows at its top and bottom are empty, a layer makes what
    /// becomes of them once.
    pub fn multiply_adds_of(&self, map: &[u8]) -> u64 {
        let row = self.input.size as usize * self.input.channels as usize;
        self.multiply_adds_from(Alike::of_zeros(map, row))
    }

    fn multiply_adds_from(&self, input: Alike) -> u64 {
        let mut map = input.after(2);
        let mut side = u64::from(self.input.size).div_ceil(2);
        let mut sum = side * map.rows() * self.stem.weights.len() as u64;
        for block in &self.blocks {
            map = map.after(block.stride);
            side = side.div_ceil(block.stride as u64);
            let weights = block.depthwise.weights.len() + block.pointwise.weights.len();
            sum += side * map.rows() * weights as u64;
        }
        sum + self.head.weights.len() as u64
    }
}

/// Strides and channels, all within their limits.
struct Shapes {
    stem: usize,
    blocks: Vec<BlockShape, MAX_BLOCKS>,
}

struct BlockShape {
    stride: usize,
    channels: usize,
}

fn rule(section: Section, rule: &'static str) -> FormatError {
    let problem = Problem::Rule(rule);
    FormatError::Section { section, problem }
}

fn channel_rule(section: Section, channel: usize, rule: &'static str) -> FormatError {
    let problem = Problem::Channel { channel, rule };
    FormatError::Section { section, problem }
}

fn demand_length(section: Section, found: usize, expected: usize) -> Result<(), FormatError> {
    if found == expected {
        return Ok(());
    }
    let problem = Problem::Length { found, expected };
    Err(FormatError::Section { section, problem })
}

/// The sections, handed out in the file's order.
struct Sections<'a> {
    file: &'a [u8],
    table: &'a [[u8; ENTRY]],
    /// Where the next section belongs.
    next: usize,
}

impl<'a> Sections<'a> {
    fn open(file: &'a [u8]) -> Result<Self, FormatError> {
        if !file.starts_with(&MAGIC) {
            return Err(FormatError::NotAModel);
        }
        let Some(header) = file.first_chunk::<HEADER>() else {
            return Err(FormatError::FileLength {
                found: file.len(),
                expected: HEADER,
            });
        };
        let mut fields = Fields::of(Section::Header, &header[MAGIC.len()..]);
        let (version, stored) = (fields.u32()?, fields.u32()?);
        let (length, sections) = (fields.u32()? as usize, fields.u32()? as usize);
        if version > VERSION {
            return Err(FormatError::Newer { version });
        }
        if version == 0 {
            return Err(rule(Section::Header, "there is no version 0"));
        }
        if file.len() != length {
            return Err(FormatError::FileLength {
                found: file.len(),
                expected: length,
            });
        }
        let computed = crc32fast::hash(&file[CRC_FROM..]);
        if computed != stored {
            return Err(FormatError::Damaged { stored, computed });
        }
        let lines = file[HEADER..].as_chunks::<ENTRY>().0;
        let Some(table) = lines.get(..sections) else {
            let (section, problem) = (Section::Table, Problem::Outside);
            return Err(FormatError::Section { section, problem });
        };
        Ok(Sections {
            file,
            table,
            next: (HEADER + ENTRY * sections).next_multiple_of(ALIGN),
        })
    }

    /// The bytes of `section`, which must be the next one.
    fn next(&mut self, section: Section) -> Result<&'a [u8], FormatError> {
        let wrong = |problem| Err(FormatError::Section { section, problem });
        let Some((line, rest)) = self.table.split_first() else {
            return wrong(Problem::Missing);
        };
        let mut fields = Fields::of(Section::Table, line);
        if (fields.u16()?, fields.u16()?) != section.code() {
            return wrong(Problem::Missing);
        }
        let (offset, length) = (fields.u32()?, fields.u32()?);
        if offset as usize != self.next {
            let expected = self.next as u32;
            let found = offset;
            return wrong(Problem::Offset { found, expected });
        }
        let bytes = self.file.get(self.next..).unwrap_or_default();
        let Some(bytes) = bytes.get(..length as usize) else {
            return wrong(Problem::Outside);
        };
        self.table = rest;
        self.next = (self.next + bytes.len()).next_multiple_of(ALIGN);
        Ok(bytes)
    }

    /// That nothing lies behind the last section.
    fn end(&self) -> Result<(), FormatError> {
        if !self.table.is_empty() {
            return Err(rule(Section::Table, "names more sections than there are"));
        }
        if self.next != self.file.len().next_multiple_of(ALIGN) {
            return Err(rule(Section::Table, "bytes follow the last section"));
        }
        Ok(())
    }

    fn input(&mut self) -> Result<Input, FormatError> {
        let section = Section::Input;
        let bytes = self.next(section)?;
        demand_length(section, bytes.len(), 32)?;
        let mut fields = Fields::of(section, bytes);
        let (size, channels, reduce) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let d_water = fields.f32()?;
        if !(1..=MAX_INPUT).contains(&size) {
            return Err(rule(section, "the size must be 1 to 4096"));
        }
        if !(1..=4).contains(&channels) {
            return Err(rule(section, "the channels must be 1 to 4"));
        }
        if !(d_water.is_finite() && d_water > 0.0) {
            return Err(rule(section, "d_water must be finite and positive"));
        }
        let reduce = u8::try_from(reduce).ok().and_then(Reduce::from_code);
        let reduce = reduce.ok_or(rule(section, "the reduction must be 0, 1 or 4"))?;
        Ok(Input {
            size,
            channels,
            reduce,
            d_water,
        })
    }

    fn classes(&mut self) -> Result<(), FormatError> {
        let section = Section::Classes;
        let bytes = self.next(section)?;
        demand_length(section, bytes.len(), Class::ALL.len() * CLASS_NAME)?;
        let names = bytes.as_chunks::<CLASS_NAME>().0.iter();
        let known = Class::ALL.iter().map(|class| class.name());
        if names.map(|name| text(name)).eq(known.map(Some)) {
            Ok(())
        } else {
            Err(rule(
                section,
                "the classes must be hit, maybe, miss, in this order",
            ))
        }
    }

    fn shapes(&mut self) -> Result<Shapes, FormatError> {
        let section = Section::Shapes;
        let bytes = self.next(section)?;
        let mut fields = Fields::of(section, bytes);
        let (count, stem) = (fields.u32()? as usize, fields.channels()?);
        if !(1..=MAX_BLOCKS).contains(&count) {
            return Err(rule(section, "the blocks must be 1 to 16"));
        }
        demand_length(section, bytes.len(), 8 + 8 * count)?;
        let mut blocks = Vec::new();
        for _ in 0..count {
            let stride = fields.u32()? as usize;
            if !(1..=2).contains(&stride) {
                return Err(rule(section, "a stride must be 1 or 2"));
            }
            let channels = fields.channels()?;
            let _ = blocks.push(BlockShape { stride, channels });
        }
        Ok(Shapes { stem, blocks })
    }

    fn decision(&mut self) -> Result<(u16, &'a [[u8; POINT]]), FormatError> {
        let section = Section::Decision;
        let bytes = self.next(section)?;
        let mut fields = Fields::of(section, bytes);
        let (threshold, count, _) = (fields.u16()?, usize::from(fields.u16()?), fields.u32()?);
        if count > MAX_POINTS {
            return Err(rule(section, "there are at most 16 operating points"));
        }
        demand_length(section, bytes.len(), 8 + count * POINT)?;
        let points = fields.bytes.as_chunks::<POINT>().0;
        for bytes in points {
            let point = point(bytes);
            if point.name.is_empty() {
                return Err(rule(section, "an operating point's name must be UTF-8"));
            }
            if !(is_fraction(point.recall_target) && is_fraction(point.recall_bound)) {
                return Err(rule(section, "a recall must be 0 to 1"));
            }
            if [point.hits_kept, point.misses_dropped]
                .iter()
                .any(|(k, n)| k > n)
            {
                return Err(rule(section, "of n frames at most n are kept or dropped"));
            }
        }
        Ok((threshold, points))
    }

    fn statistics(&mut self) -> Result<Statistics, FormatError> {
        let section = Section::Statistics;
        let bytes = self.next(section)?;
        demand_length(section, bytes.len(), 24)?;
        let mut fields = Fields::of(section, bytes);
        let mut range = || {
            let (low, high) = (fields.f32()?, fields.f32()?);
            if low.is_finite() && high.is_finite() && low <= high {
                Ok(Range { low, high })
            } else {
                Err(rule(section, "a range must be finite and not empty"))
            }
        };
        Ok(Statistics {
            valid: range()?,
            mean: range()?,
            zero: range()?,
        })
    }

    fn golden(&mut self, input: &Input) -> Result<Golden<'a>, FormatError> {
        let section = Section::GoldenInput;
        let map = self.next(section)?;
        demand_length(section, map.len(), input.bytes())?;
        if map.iter().any(|&level| level > 127) {
            return Err(rule(section, "a level must be 0 to 127"));
        }
        let section = Section::GoldenOutput;
        let bytes = self.next(section)?;
        demand_length(section, bytes.len(), 20)?;
        let mut fields = Fields::of(section, bytes);
        let logits = [fields.i32()?, fields.i32()?, fields.i32()?];
        let score = Score {
            hit: fields.u16()?,
            maybe: fields.u16()?,
            miss: fields.u16()?,
        };
        Ok(Golden { map, logits, score })
    }

    fn provenance(&mut self) -> Result<Provenance<'a>, FormatError> {
        let section = Section::Provenance;
        let bytes = self.next(section)?;
        let mut fields = Fields::of(section, bytes);
        let seed = u64::from_le_bytes(fields.take()?);
        let onnx_sha256 = fields.take()?;
        let length = fields.u32()? as usize;
        demand_length(section, fields.bytes.len(), length)?;
        let text = core::str::from_utf8(fields.bytes)
            .map_err(|_| rule(section, "the text must be UTF-8"))?;
        Ok(Provenance {
            seed,
            onnx_sha256,
            text,
        })
    }

    /// A layer of `outputs` channels, each a sum over `inputs` products.
    fn convolution(
        &mut self,
        layer: Layer,
        outputs: usize,
        inputs: usize,
    ) -> Result<Convolution<'a>, FormatError> {
        let weights = self.weights(layer, outputs, inputs)?;
        let biases = self.numbers(Section::Biases(layer), outputs)?;
        demand_sums_in_i32(layer, sums(weights, inputs, biases))?;
        let scales = self.scales(layer, outputs)?;
        demand_scaled_in_i32(layer, sums(weights, inputs, biases), scales)?;
        Ok(Convolution {
            weights,
            biases,
            scales,
        })
    }

    fn head(&mut self, layer: Layer, inputs: usize) -> Result<Head<'a>, FormatError> {
        let weights = self.weights(layer, 3, inputs)?;
        let biases = self.numbers(Section::Biases(layer), 3)?;
        demand_sums_in_i32(layer, sums(weights, inputs, biases))?;
        let mut fields = Fields::of(Section::Biases(layer), biases.as_flattened());
        let biases = [fields.i32()?, fields.i32()?, fields.i32()?];
        let scale = self.scales(layer, 1)?;
        let scale = Fields::of(Section::Scales(layer), scale.as_flattened()).f32()?;
        Ok(Head {
            weights,
            biases,
            scale,
        })
    }

    fn weights(
        &mut self,
        layer: Layer,
        outputs: usize,
        inputs: usize,
    ) -> Result<&'a [i8], FormatError> {
        let section = Section::Weights(layer);
        let bytes = self.next(section)?;
        demand_length(section, bytes.len(), outputs * inputs)?;
        Ok(bytemuck::cast_slice(bytes))
    }

    fn scales(&mut self, layer: Layer, channels: usize) -> Result<&'a [[u8; 4]], FormatError> {
        let section = Section::Scales(layer);
        let scales = self.numbers(section, channels)?;
        for (channel, bytes) in scales.iter().enumerate() {
            let scale = f32::from_le_bytes(*bytes);
            if !(scale.is_finite() && scale > 0.0) {
                let rule = "the scale must be finite and positive";
                return Err(channel_rule(section, channel, rule));
            }
        }
        Ok(scales)
    }

    fn numbers(&mut self, section: Section, count: usize) -> Result<&'a [[u8; 4]], FormatError> {
        let bytes = self.next(section)?;
        demand_length(section, bytes.len(), 4 * count)?;
        Ok(bytes.as_chunks().0)
    }
}

/// What bounds every partial sum of each channel, either sign: `|bias| + 127 · Σ|weight|`.
fn sums(weights: &[i8], inputs: usize, biases: &[[u8; 4]]) -> impl Iterator<Item = u64> {
    let rows = weights.chunks_exact(inputs).zip(biases);
    rows.map(|(row, bias)| {
        let products: u64 = row.iter().map(|w| u64::from(w.unsigned_abs())).sum();
        let bias = i32::from_le_bytes(*bias).unsigned_abs();
        u64::from(bias) + u64::from(ACTIVATION_MAX) * products
    })
}

/// Pixels of the map that is pooled.
fn pixels_at_the_end(input: &Input, blocks: &[BlockShape]) -> u64 {
    let strides = blocks.iter().map(|block| block.stride as u64);
    let size = strides.fold(u64::from(input.size).div_ceil(2), u64::div_ceil);
    size * size
}

fn demand_sums_in_i32(layer: Layer, sums: impl Iterator<Item = u64>) -> Result<(), FormatError> {
    for (channel, sum) in sums.enumerate() {
        if sum > i32::MAX as u64 {
            let rule = "its sum can leave i32: the bias is too large";
            return Err(channel_rule(Section::Biases(layer), channel, rule));
        }
    }
    Ok(())
}

/// Each of `sums` times its channel's scale is at most [`MAX_SCALED`].
fn demand_scaled_in_i32(
    layer: Layer,
    sums: impl Iterator<Item = u64>,
    scales: &[[u8; 4]],
) -> Result<(), FormatError> {
    for (channel, (sum, scale)) in sums.zip(scales).enumerate() {
        if sum as f32 * f32::from_le_bytes(*scale) > MAX_SCALED {
            let rule = "its sum times the scale can leave i32: the scale is too large";
            return Err(channel_rule(Section::Scales(layer), channel, rule));
        }
    }
    Ok(())
}

fn is_fraction(x: f32) -> bool {
    (0.0..=1.0).contains(&x)
}

/// Zero-padded UTF-8.
fn text(bytes: &[u8]) -> Option<&str> {
    let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    core::str::from_utf8(&bytes[..end]).ok()
}

/// An operating point's fields; a name that is not UTF-8 is empty.
fn point(bytes: &[u8; POINT]) -> OperatingPoint<'_> {
    let u32_at = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
    OperatingPoint {
        name: text(&bytes[..POINT_NAME]).unwrap_or_default(),
        threshold: u16::from_le_bytes([bytes[24], bytes[25]]),
        recall_target: f32::from_bits(u32_at(28)),
        hits_kept: (u32_at(32), u32_at(36)),
        recall_bound: f32::from_bits(u32_at(40)),
        misses_dropped: (u32_at(44), u32_at(48)),
    }
}

/// Numbers one after another.
struct Fields<'a> {
    section: Section,
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(section: Section, bytes: &'a [u8]) -> Self {
        Fields { section, bytes }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let Some((field, rest)) = self.bytes.split_first_chunk() else {
            return Err(rule(self.section, "too short for its fields"));
        };
        self.bytes = rest;
        Ok(*field)
    }

    fn u16(&mut self) -> Result<u16, FormatError> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, FormatError> {
        self.take().map(u32::from_le_bytes)
    }

    fn i32(&mut self) -> Result<i32, FormatError> {
        self.take().map(i32::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, FormatError> {
        self.take().map(f32::from_le_bytes)
    }

    /// Channels of a layer.
    fn channels(&mut self) -> Result<usize, FormatError> {
        let channels = self.u32()?;
        if channels == 0 || channels > MAX_CHANNELS || !channels.is_multiple_of(8) {
            let rule = rule(
                self.section,
                "channels must be a multiple of 8, from 8 to 4096",
            );
            return Err(rule);
        }
        Ok(channels as usize)
    }
}
