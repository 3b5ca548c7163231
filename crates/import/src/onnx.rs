//! ONNX files, read by tract; and the float network as tract runs it, the yardstick of every parity
//! report.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tract_core::prelude::*;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{ModelProto, ValueInfoProto};
use tract_onnx::prelude::{Framework, InferenceModelExt};

/// Why an ONNX file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The bytes are no ONNX model.
    #[error("{path} is not an ONNX model: {reason}")]
    NotOnnx {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// A node is not what MobileNet-V1 has there.
    #[error("node `{node}`: expected {expected}, found {found}; hitgate runs MobileNet-V1 only")]
    Node {
        /// The node's name, or its operator where it has none.
        node: String,
        /// What belongs there.
        expected: String,
        /// What is there.
        found: String,
    },
    /// The graph as a whole is not of the right kind.
    #[error("ONNX graph: {0}")]
    Graph(String),
    /// tract cannot run the network.
    #[error("tract cannot run this network: {0:#}")]
    Tract(TractError),
}

/// A decoded ONNX file.
pub struct OnnxFile {
    pub(crate) proto: ModelProto,
    /// Folder of the file, where it may keep its weights.
    pub(crate) folder: Option<String>,
    /// SHA-256 of the file.
    pub sha256: [u8; 32],
}

impl OnnxFile {
    /// Reads and decodes `path`.
    ///
    /// # Errors
    /// The file cannot be read, or holds no ONNX model.
    pub fn open(path: &Path) -> Result<Self, OnnxError> {
        let bytes = std::fs::read(path).map_err(|cause| OnnxError::Read {
            path: path.into(),
            cause,
        })?;
        let not_onnx = |reason| OnnxError::NotOnnx {
            path: path.into(),
            reason,
        };
        let proto = tract_onnx::onnx()
            .proto_model_for_read(&mut &bytes[..])
            .map_err(|error| not_onnx(error.to_string()))?;
        if proto
            .graph
            .as_ref()
            .is_none_or(|graph| graph.node.is_empty())
        {
            return Err(not_onnx("it holds no graph".into()));
        }
        Ok(OnnxFile {
            proto,
            folder: path.parent().and_then(Path::to_str).map(String::from),
            sha256: Sha256::digest(&bytes).into(),
        })
    }

    /// The one input that is no weight: the map.
    pub(crate) fn input(&self) -> Result<&ValueInfoProto, OnnxError> {
        let graphs = || self.proto.graph.iter();
        let weights: HashSet<&str> = graphs()
            .flat_map(|graph| &graph.initializer)
            .map(|tensor| tensor.name.as_str())
            .collect();
        let mut inputs = graphs()
            .flat_map(|graph| &graph.input)
            .filter(|input| !weights.contains(input.name.as_str()));
        match (inputs.next(), inputs.next()) {
            (Some(input), None) => Ok(input),
            _ => Err(OnnxError::Graph("one input wanted: the map".into())),
        }
    }

    /// Channels of the maps that the network takes, and their side unless it is left open.
    ///
    /// # Errors
    /// [`OnnxError::Graph`] if its input is none of maps.
    pub fn input_shape(&self) -> Result<(usize, Option<usize>), OnnxError> {
        let input = self.input()?;
        let sizes = dimensions(input);
        match sizes[..] {
            [_, Some(channels @ 1..=4), height, width] if height == width => Ok((channels, height)),
            _ => Err(OnnxError::Graph(format!(
                "input `{}` has shape {sizes:?}, [n, 1..=4, side, side] wanted",
                input.name
            ))),
        }
    }
}

/// Sizes of a declared shape; `None` where one is left open.
fn dimensions(input: &ValueInfoProto) -> Vec<Option<usize>> {
    let Some(Value::TensorType(tensor)) = input.r#type.as_ref().and_then(|t| t.value.as_ref())
    else {
        return Vec::new();
    };
    let sizes = tensor.shape.iter().flat_map(|shape| &shape.dim);
    sizes
        .map(|dimension| match dimension.value {
            Some(Dimension::DimValue(size)) => usize::try_from(size).ok(),
            _ => None,
        })
        .collect()
}

/// A float network that tract runs, of any architecture: maps in, three logits out.
pub struct FloatNet {
    plan: Arc<TypedRunnableModel>,
    size: usize,
    channels: usize,
}

impl FloatNet {
    /// Prepares `file` for maps of `size` cells a side and `channels` bytes a cell.
    ///
    /// # Errors
    /// [`OnnxError::Tract`] if an operator is unknown or shapes do not fit.
    pub fn load(file: &OnnxFile, size: usize, channels: usize) -> Result<Self, OnnxError> {
        let fact = f32::fact([1, channels, size, size]);
        let parsed = tract_onnx::onnx().parse(&file.proto, file.folder.as_deref());
        let plan = parsed
            .and_then(|parsed| parsed.model.with_input_fact(0, fact.into()))
            .and_then(|model| model.into_optimized())
            .and_then(|model| model.into_runnable())
            .map_err(OnnxError::Tract)?;
        Ok(FloatNet {
            plan,
            size,
            channels,
        })
    }

    /// Logits of a prepared map, `size * size * channels` bytes, channels last; the network sees
    /// level / 127, channels first.
    ///
    /// # Errors
    /// [`OnnxError::Graph`] for a map of another length, or an output that is not three numbers.
    pub fn run(&self, map: &[u8]) -> Result<[f32; 3], OnnxError> {
        let cells = self.size * self.size;
        if map.len() != cells * self.channels {
            return Err(OnnxError::Graph(format!(
                "a map of {} bytes for an input of {} x {} x {}",
                map.len(),
                self.size,
                self.size,
                self.channels
            )));
        }
        let planes: Vec<f32> = (0..self.channels)
            .flat_map(|channel| map.iter().skip(channel).step_by(self.channels))
            .map(|&level| f32::from(level) / 127.0)
            .collect();
        let shape = [1, self.channels, self.size, self.size];
        let outputs = Tensor::from_shape(&shape, &planes)
            .and_then(|input| self.plan.run(tvec!(input.into())))
            .map_err(OnnxError::Tract)?;
        let logits: Vec<f32> = outputs[0]
            .to_plain_array_view::<f32>()
            .map_err(OnnxError::Tract)?
            .iter()
            .copied()
            .collect();
        <[f32; 3]>::try_from(logits).map_err(|logits| {
            OnnxError::Graph(format!(
                "{} outputs, three logits wanted: hit, maybe, miss",
                logits.len()
            ))
        })
    }
}
