//! Writes a model file, byte for byte as [`hitgate_core::net::format`] describes it.

use hitgate_core::net::format::*;
use hitgate_core::net::{Arena, InferError, Model, Plan, PlanError};
use hitgate_core::verdict::{Class, Score};
use hitgate_kernels::{Level, Scalar};

use crate::model::{Conv, ModelMeta, Network, OperatingPoint};

/// Why a network could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A shape or a number is against the format's rules.
    #[error("the network does not make a sound model file: {0}")]
    Format(FormatError),
    /// A name does not fit its field.
    #[error("the operating point's name {0:?} must have 1 to {POINT_NAME} bytes")]
    Name(String),
    /// More sections or bytes than the format counts.
    #[error("the network is too large for a model file")]
    Large,
    /// The golden map could not be run.
    #[error("the golden map could not be run: {0}")]
    Golden(InferError),
    /// The weights could not be packed.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl From<std::num::TryFromIntError> for WriteError {
    fn from(_: std::num::TryFromIntError) -> Self {
        WriteError::Large
    }
}

/// A model file of `network`. Its golden vector is `golden_input` (`input · input · channels` levels
/// of 0..=127) with the answer of the scalar level.
///
/// # Errors
/// [`WriteError`] if the network breaks a rule of the format: every file that is returned parses.
pub fn write(
    network: &Network,
    meta: &ModelMeta,
    golden_input: &[u8],
) -> Result<Vec<u8>, WriteError> {
    let unanswered = assemble(network, meta, golden_input, [0; 3])?;
    let model = Model::parse(&unanswered).map_err(WriteError::Format)?;
    let logits = answer(&model, golden_input)?;
    assemble(network, meta, golden_input, logits)
}

fn answer(model: &Model<'_>, map: &[u8]) -> Result<[i32; 3], WriteError> {
    let level = Level::Scalar(Scalar);
    let memory = Plan::memory(model, level);
    let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
    let plan = Plan::new(model, level, &mut packed)?;
    plan.infer(&mut Arena::new(&mut arena), map)
        .map_err(WriteError::Golden)
}

fn assemble(
    network: &Network,
    meta: &ModelMeta,
    golden_input: &[u8],
    logits: [i32; 3],
) -> Result<Vec<u8>, WriteError> {
    let blocks = u16::try_from(network.blocks.len())?;
    let mut sections = vec![
        (Section::Input, input(network, meta)),
        (Section::Classes, classes()),
        (Section::Shapes, shapes(network)?),
        (Section::Decision, decision(meta)?),
        (Section::Statistics, statistics(meta)),
        (Section::GoldenInput, golden_input.to_vec()),
        (Section::GoldenOutput, golden_output(network, logits)),
        (Section::Provenance, provenance(meta)?),
    ];
    let mut layer = |layer: Layer, conv: &Conv| {
        sections.push((Section::Weights(layer), weights(&conv.weights)));
        sections.push((Section::Biases(layer), biases(&conv.bias)));
        sections.push((Section::Scales(layer), scales(&conv.scale)));
    };
    layer(Layer::Stem, &network.stem);
    for (number, block) in (1..).zip(&network.blocks) {
        layer(Layer::Depthwise(number), &block.depthwise);
        layer(Layer::Pointwise(number), &block.pointwise);
    }
    let (pool, head) = (Layer::Pool(blocks), Layer::Head(blocks));
    sections.push((Section::Scales(pool), scales(&network.pool_scale)));
    sections.push((Section::Weights(head), weights(&network.head_weights)));
    sections.push((Section::Biases(head), biases(&network.head_bias)));
    sections.push((Section::Scales(head), scales(&[network.head_scale])));
    file(&sections)
}

/// Header, table and sections.
fn file(sections: &[(Section, Vec<u8>)]) -> Result<Vec<u8>, WriteError> {
    let mut table = Vec::new();
    let mut body = Vec::new();
    let start = (HEADER + ENTRY * sections.len()).next_multiple_of(ALIGN);
    for (section, bytes) in sections {
        body.resize(body.len().next_multiple_of(ALIGN), 0);
        let (kind, layer) = section.code();
        table.extend(kind.to_le_bytes());
        table.extend(layer.to_le_bytes());
        table.extend(u32::try_from(start + body.len())?.to_le_bytes());
        table.extend(u32::try_from(bytes.len())?.to_le_bytes());
        table.extend([0; 4]);
        body.extend(bytes);
    }
    let mut file = Vec::with_capacity(start + body.len());
    file.extend(MAGIC);
    file.extend(VERSION.to_le_bytes());
    file.extend([0; 4]);
    file.extend(u32::try_from(start + body.len())?.to_le_bytes());
    file.extend(u32::try_from(sections.len())?.to_le_bytes());
    file.resize(HEADER, 0);
    file.extend(table);
    file.resize(start, 0);
    file.extend(body);
    let crc = crc32fast::hash(&file[CRC_FROM..]);
    file[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_le_bytes());
    Ok(file)
}

fn input(network: &Network, meta: &ModelMeta) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(network.input.to_le_bytes());
    bytes.extend(network.channels.to_le_bytes());
    bytes.extend((meta.reduce as u32).to_le_bytes());
    bytes.extend(meta.d_water.to_le_bytes());
    bytes.resize(32, 0);
    bytes
}

fn classes() -> Vec<u8> {
    let name = |class: &Class| padded(class.name(), CLASS_NAME);
    Class::ALL.iter().flat_map(name).collect()
}

fn shapes(network: &Network) -> Result<Vec<u8>, WriteError> {
    let mut bytes = Vec::new();
    bytes.extend(u32::try_from(network.blocks.len())?.to_le_bytes());
    bytes.extend(u32::try_from(network.stem.bias.len())?.to_le_bytes());
    for block in &network.blocks {
        bytes.extend(u32::from(block.stride).to_le_bytes());
        bytes.extend(u32::try_from(block.pointwise.bias.len())?.to_le_bytes());
    }
    Ok(bytes)
}

fn decision(meta: &ModelMeta) -> Result<Vec<u8>, WriteError> {
    let mut bytes = Vec::new();
    bytes.extend(meta.threshold.to_le_bytes());
    bytes.extend(u16::try_from(meta.operating_points.len())?.to_le_bytes());
    bytes.extend([0; 4]);
    for point in &meta.operating_points {
        bytes.extend(operating_point(point)?);
    }
    Ok(bytes)
}

fn operating_point(point: &OperatingPoint) -> Result<Vec<u8>, WriteError> {
    if !(1..=POINT_NAME).contains(&point.name.len()) {
        return Err(WriteError::Name(point.name.clone()));
    }
    let mut bytes = padded(&point.name, POINT_NAME);
    bytes.extend(point.threshold.to_le_bytes());
    bytes.extend([0; 2]);
    bytes.extend(point.recall_target.to_le_bytes());
    bytes.extend(point.hits_kept.0.to_le_bytes());
    bytes.extend(point.hits_kept.1.to_le_bytes());
    bytes.extend(point.recall_bound.to_le_bytes());
    bytes.extend(point.misses_dropped.0.to_le_bytes());
    bytes.extend(point.misses_dropped.1.to_le_bytes());
    bytes.resize(POINT, 0);
    Ok(bytes)
}

fn statistics(meta: &ModelMeta) -> Vec<u8> {
    let ranges = [
        meta.statistics.valid,
        meta.statistics.mean,
        meta.statistics.zero,
    ];
    scales(&ranges.map(|range| [range.low, range.high]).concat())
}

fn golden_output(network: &Network, logits: [i32; 3]) -> Vec<u8> {
    let score = Score::from_logits(logits, network.head_scale);
    let mut bytes = biases(&logits);
    for p in [score.hit, score.maybe, score.miss, 0] {
        bytes.extend(p.to_le_bytes());
    }
    bytes
}

fn provenance(meta: &ModelMeta) -> Result<Vec<u8>, WriteError> {
    let mut bytes = Vec::new();
    bytes.extend(meta.seed.to_le_bytes());
    bytes.extend(meta.onnx_sha256);
    bytes.extend(u32::try_from(meta.text.len())?.to_le_bytes());
    bytes.extend(meta.text.as_bytes());
    Ok(bytes)
}

/// `text` and zeros up to `length`.
fn padded(text: &str, length: usize) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    bytes.resize(length, 0);
    bytes
}

fn weights(weights: &[i8]) -> Vec<u8> {
    weights.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn biases(biases: &[i32]) -> Vec<u8> {
    biases.iter().flat_map(|b| b.to_le_bytes()).collect()
}

fn scales(scales: &[f32]) -> Vec<u8> {
    scales.iter().flat_map(|s| s.to_le_bytes()).collect()
}
