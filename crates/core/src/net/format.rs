//! The model file, `.hgm`, byte by byte.
//!
//! Little endian. Every section starts at a multiple of 64 bytes from the file's start, in the order
//! of the table below, as close behind the one before as that allows; bytes between sections are
//! zero. A file is shorter than 4 GiB.
//!
//! Header, 64 bytes:
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | `[u8; 8]` | magic, `HGMODEL\0` |
//! | 8 | u32 | version, 1 |
//! | 12 | u32 | CRC-32 (IEEE 802.3) of the bytes from 16 to the end |
//! | 16 | u32 | bytes of the file |
//! | 20 | u32 | sections in the table |
//! | 24 | `[u8; 40]` | zero |
//!
//! Table, from byte 64, 16 bytes a section:
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | u16 | kind |
//! | 2 | u16 | layer; 0 where the kind belongs to none |
//! | 4 | u32 | offset from the file's start |
//! | 8 | u32 | bytes |
//! | 12 | u32 | zero |
//!
//! Sections. `N` is the input size, `C` its channels, `B` the number of blocks. Layer 0 is the stem,
//! `2b − 1` and `2b` are the depthwise and the pointwise half of block `b` (the first is 1),
//! `2B + 1` the pool, `2B + 2` the head.
//!
//! | kind | section | content |
//! |---|---|---|
//! | 1 | input | u32 `N` (1..=4096), u32 `C` (1..=4), u32 reduction (0 maximum, 1 mean, both equalized; 4 peaks), f32 d_water in Å, 16 zero bytes |
//! | 2 | classes | three names of 16 bytes, UTF-8, zero-padded: `hit`, `maybe`, `miss` |
//! | 3 | shapes | u32 `B` (1..=16), u32 channels of the stem; then for each block u32 stride (1 or 2), u32 channels out |
//! | 4 | decision | u16 threshold t, u16 number of operating points (at most 16), u32 zero; then the points, 64 bytes each |
//! | 5 | statistics | three pairs of f32, lowest and highest in training: fraction of valid cells, mean level, fraction of cells at zero |
//! | 6 | golden input | `N · N · C` bytes of 0..=127, channels last |
//! | 7 | golden output | three i32 logits, three u16 probabilities, u16 zero |
//! | 8 | provenance | u64 seed of the training data, SHA-256 of the ONNX file, u32 bytes of text, the text in UTF-8 |
//! | 16 | weights | i8: stem `[out][in][ky][kx]`, depthwise `[channel][ky][kx]`, pointwise `[out][in]`, head `[class][in]` |
//! | 17 | biases | i32, one a channel out |
//! | 18 | scales | f32, one a channel out; for the head one alone |
//!
//! Kinds 1 to 8 come first; then, layer by layer, weights, biases and scales; the pool has scales
//! alone. Operating point, 64 bytes:
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | `[u8; 24]` | name, UTF-8, zero-padded |
//! | 24 | u16 | t, times 2¹⁶ |
//! | 26 | u16 | zero |
//! | 28 | f32 | recall that it was set for |
//! | 32 | u32, u32 | k of n hits kept on validation data |
//! | 40 | f32 | exact one-sided lower bound of that recall, 95 % |
//! | 44 | u32, u32 | k of n misses dropped |
//! | 52 | `[u8; 12]` | zero |
//!
//! **Shapes.** The stem is 3x3, stride 2; a block is a 3x3 depthwise and a 1x1 convolution. All 3x3
//! windows have padding 1 on all sides. Channels are multiples of 8 (8..=4096): for width `w` of
//! MobileNet-V1 a layer of `c` channels has `max(8, 8 · round(w c / 8))`, halves up.
//!
//! **Arithmetic.** `activation = round_half_even(clamp(f32(bias + Σ weight · activation) · scale, 0, 127))`.
//! The pool's sum has no bias. The head's sums are the logits; times its scale they are powers of
//! two. Scales are finite and positive, and for each channel `|bias| + 127 · Σ|weight| <= 2³¹ − 1`, so
//! that no partial sum, in whatever order, leaves i32. That bound, as an f32, times the scale is at most 2³⁰,
//! for the pool with 127 times its pixels in place of it: what is clamped has fit an i32.

use core::fmt;

/// The first bytes of every model file.
pub const MAGIC: [u8; 8] = *b"HGMODEL\0";
/// The version that this program reads and writes.
pub const VERSION: u32 = 1;
/// Sections start at multiples of this, in bytes.
pub const ALIGN: usize = 64;
/// Bytes of the header.
pub const HEADER: usize = 64;
/// Where the CRC stands.
pub const CRC_AT: usize = 12;
/// The CRC covers the bytes from here to the end.
pub const CRC_FROM: usize = 16;
/// Bytes of one line of the table.
pub const ENTRY: usize = 16;
/// Bytes of an operating point.
pub const POINT: usize = 64;
/// Bytes of an operating point's name.
pub const POINT_NAME: usize = 24;
/// The most operating points.
pub const MAX_POINTS: usize = 16;
/// Bytes of a class name.
pub const CLASS_NAME: usize = 16;
/// The most blocks; MobileNet-V1 has 13.
pub const MAX_BLOCKS: usize = 16;
/// The largest input size.
pub const MAX_INPUT: u32 = 4096;
/// The most channels of a layer.
pub const MAX_CHANNELS: u32 = 4096;

/// A part of the file, by what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The first 64 bytes.
    Header,
    /// Where the sections lie.
    Table,
    /// What the network takes.
    Input,
    /// Names of the classes.
    Classes,
    /// Strides and channels.
    Shapes,
    /// Thresholds.
    Decision,
    /// What inputs looked like in training.
    Statistics,
    /// An input whose answer is known.
    GoldenInput,
    /// That answer.
    GoldenOutput,
    /// Where the model comes from.
    Provenance,
    /// Weights of a layer.
    Weights(Layer),
    /// Biases of a layer.
    Biases(Layer),
    /// Scales of a layer.
    Scales(Layer),
}

/// A layer of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The first convolution.
    Stem,
    /// The 3x3 half of a block; the first block is 1.
    Depthwise(u16),
    /// The 1x1 half of a block.
    Pointwise(u16),
    /// The mean over the last map; holds the number of blocks.
    Pool(u16),
    /// The three sums at the end; holds the number of blocks.
    Head(u16),
}

impl Layer {
    /// The layer's number in the table.
    pub const fn code(self) -> u16 {
        match self {
            Layer::Stem => 0,
            Layer::Depthwise(block) => 2 * block - 1,
            Layer::Pointwise(block) => 2 * block,
            Layer::Pool(blocks) => 2 * blocks + 1,
            Layer::Head(blocks) => 2 * blocks + 2,
        }
    }
}

impl Section {
    /// Kind and layer as the table has them.
    pub const fn code(self) -> (u16, u16) {
        match self {
            Section::Header | Section::Table => (0, 0),
            Section::Input => (1, 0),
            Section::Classes => (2, 0),
            Section::Shapes => (3, 0),
            Section::Decision => (4, 0),
            Section::Statistics => (5, 0),
            Section::GoldenInput => (6, 0),
            Section::GoldenOutput => (7, 0),
            Section::Provenance => (8, 0),
            Section::Weights(layer) => (16, layer.code()),
            Section::Biases(layer) => (17, layer.code()),
            Section::Scales(layer) => (18, layer.code()),
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Layer::Stem => write!(f, "stem"),
            Layer::Depthwise(block) => write!(f, "block {block} depthwise"),
            Layer::Pointwise(block) => write!(f, "block {block} pointwise"),
            Layer::Pool(_) => write!(f, "pool"),
            Layer::Head(_) => write!(f, "head"),
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Section::Header => write!(f, "header"),
            Section::Table => write!(f, "table"),
            Section::Input => write!(f, "input"),
            Section::Classes => write!(f, "classes"),
            Section::Shapes => write!(f, "shapes"),
            Section::Decision => write!(f, "decision"),
            Section::Statistics => write!(f, "statistics"),
            Section::GoldenInput => write!(f, "golden input"),
            Section::GoldenOutput => write!(f, "golden output"),
            Section::Provenance => write!(f, "provenance"),
            Section::Weights(layer) => write!(f, "{layer} weights"),
            Section::Biases(layer) => write!(f, "{layer} biases"),
            Section::Scales(layer) => write!(f, "{layer} scales"),
        }
    }
}

/// Why bytes are not a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FormatError {
    /// The magic is missing: another kind of file.
    NotAModel,
    /// A version that this program does not know yet.
    Newer {
        /// The file's version.
        version: u32,
    },
    /// The file has fewer bytes, or more, than it says.
    FileLength {
        /// Bytes that there are.
        found: usize,
        /// Bytes that the header promises.
        expected: usize,
    },
    /// The CRC does not fit the bytes.
    Damaged {
        /// The CRC in the header.
        stored: u32,
        /// The CRC of the bytes.
        computed: u32,
    },
    /// A section is wrong in itself, although the CRC fits: whoever wrote the file was wrong.
    Section {
        /// Which one.
        section: Section,
        /// What is wrong.
        problem: Problem,
    },
}

/// What is wrong with a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The table does not name it where it belongs.
    Missing,
    /// It does not start where it belongs.
    Offset {
        /// Where the table says it starts.
        found: u32,
        /// Where it belongs.
        expected: u32,
    },
    /// It reaches over the end of the file.
    Outside,
    /// It has another length than its shape demands.
    Length {
        /// Bytes that there are.
        found: usize,
        /// Bytes that the shape demands.
        expected: usize,
    },
    /// A field breaks its rule, which is named.
    Rule(&'static str),
    /// A channel breaks a rule, which is named.
    Channel {
        /// The channel's index.
        channel: usize,
        /// The rule.
        rule: &'static str,
    },
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::NotAModel => {
                write!(f, "not a model file (.hgm): it does not begin with HGMODEL")
            }
            FormatError::Newer { version } => write!(
                f,
                "model file of version {version}, this program reads version {VERSION}: update the \
                 program, or import the ONNX file again with this one"
            ),
            FormatError::FileLength { found, expected } if found < expected => write!(
                f,
                "model file is cut short: {found} of {expected} bytes; copy it again"
            ),
            FormatError::FileLength { found, expected } => write!(
                f,
                "model file has {found} bytes instead of {expected}; copy it again"
            ),
            FormatError::Damaged { stored, computed } => write!(
                f,
                "model file is damaged: CRC {computed:08x} instead of {stored:08x}; copy it again"
            ),
            FormatError::Section { section, problem } => {
                write!(f, "model file, section `{section}`: {problem}")
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Missing => write!(f, "missing, or not where it belongs in the table"),
            Problem::Offset { found, expected } => {
                write!(f, "starts at byte {found} instead of {expected}")
            }
            Problem::Outside => write!(f, "reaches over the end of the file"),
            Problem::Length { found, expected } => {
                write!(f, "has {found} bytes, its shape demands {expected}")
            }
            Problem::Rule(rule) => write!(f, "{rule}"),
            Problem::Channel { channel, rule } => write!(f, "channel {channel}: {rule}"),
        }
    }
}

impl core::error::Error for FormatError {}
