//! ONNX graph → the float network's numbers: a walk along the one chain of nodes, strict about every
//! shape, because a network that is almost MobileNet-V1 would run and answer nonsense.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};
use tract_onnx::tensor::load_tensor;

use crate::float::{Block, Convolution, MobileNet, Window};
use crate::onnx::{OnnxError, OnnxFile};

impl MobileNet {
    /// Takes the weights out of `file`, with batch norms folded in. `size` is the side of the maps;
    /// it is needed where the file leaves it open, and must agree where it does not.
    ///
    /// # Errors
    /// [`OnnxError::Node`] names the first node that does not belong to MobileNet-V1.
    pub fn extract(file: &OnnxFile, size: Option<usize>) -> Result<Self, OnnxError> {
        let mut chain = Chain::open(file)?;
        let (channels, declared) = file.input_shape()?;
        let size = match (declared, size) {
            (Some(declared), Some(wanted)) if declared != wanted => {
                return Err(OnnxError::Graph(format!(
                    "its input is {declared} x {declared}, maps are {wanted} x {wanted}: prepare maps \
                     of that size"
                )));
            }
            (Some(size), _) | (None, Some(size)) => size,
            (None, None) => {
                return Err(OnnxError::Graph(
                    "its input size is left open: say which side the maps have".into(),
                ));
            }
        };
        let stem = chain.convolution(Window::Full, channels)?;
        let mut features = stem.outputs;
        let mut blocks = Vec::new();
        while chain.peek()?.op_type == "Conv" {
            let depthwise = chain.convolution(Window::Depthwise, features)?;
            let pointwise = chain.convolution(Window::Pointwise, features)?;
            features = pointwise.outputs;
            blocks.push(Block {
                depthwise,
                pointwise,
            });
        }
        if !(1..=hitgate_core::net::format::MAX_BLOCKS).contains(&blocks.len()) {
            return Err(OnnxError::Graph(format!(
                "{} depthwise-separable blocks, 1 to {} wanted",
                blocks.len(),
                hitgate_core::net::format::MAX_BLOCKS
            )));
        }
        chain.pool()?;
        let (head_weights, head_bias) = chain.head(features)?;
        chain.end()?;
        Ok(MobileNet {
            size,
            channels,
            stem,
            blocks,
            head_weights,
            head_bias,
        })
    }
}

/// Numbers with their shape.
struct Constant {
    shape: Vec<usize>,
    data: Vec<f32>,
}

/// The graph, walked from its input along the only consumer of each tensor.
struct Chain<'a> {
    graph: &'a GraphProto,
    constants: HashMap<&'a str, Constant>,
    /// The tensor that the next node consumes.
    tensor: &'a str,
}

impl<'a> Chain<'a> {
    fn open(file: &'a OnnxFile) -> Result<Self, OnnxError> {
        let graph = file.proto.graph.as_ref();
        let graph = graph.ok_or_else(|| OnnxError::Graph("the file holds none".into()))?;
        let mut constants = HashMap::new();
        for tensor in &graph.initializer {
            constants.insert(tensor.name.as_str(), constant(file, tensor)?);
        }
        for node in graph.node.iter().filter(|node| node.op_type == "Constant") {
            let value = node.attribute.iter().find_map(|a| a.t.as_ref());
            if let (Some(value), Some(name)) = (value, node.output.first()) {
                constants.insert(name, constant(file, value)?);
            }
        }
        Ok(Chain {
            graph,
            constants,
            tensor: &file.input()?.name,
        })
    }

    /// The only consumer of the current tensor.
    fn peek(&self) -> Result<&'a NodeProto, OnnxError> {
        let mut consumers = self
            .graph
            .node
            .iter()
            .filter(|node| node.input.iter().any(|name| name == self.tensor));
        match (consumers.next(), consumers.next()) {
            (Some(node), None) => Ok(node),
            (None, _) => Err(OnnxError::Graph(format!(
                "ends at `{}`, before its last layer",
                self.tensor
            ))),
            (Some(first), Some(second)) => Err(found(
                first,
                "one chain of nodes",
                format!("a branch to `{}`", label(second)),
            )),
        }
    }

    fn take(&mut self, operators: &[&str]) -> Result<&'a NodeProto, OnnxError> {
        let node = self.peek()?;
        if !operators.contains(&node.op_type.as_str()) {
            return Err(found(node, operators.join(" or "), node.op_type.clone()));
        }
        match &node.output[..] {
            [output, ..] => self.tensor = output,
            [] => return Err(found(node, "an output", "none".into())),
        }
        Ok(node)
    }

    /// Steps over nodes that change nothing for a single map.
    fn skip(&mut self, operators: &[&str]) -> Result<(), OnnxError> {
        while !self.at_end() && operators.contains(&self.peek()?.op_type.as_str()) {
            self.take(operators)?;
        }
        Ok(())
    }

    fn at_end(&self) -> bool {
        self.graph
            .output
            .iter()
            .any(|output| output.name == self.tensor)
    }

    fn constant(&self, node: &NodeProto, input: usize) -> Result<&Constant, OnnxError> {
        let name = node.input.get(input).map_or("", String::as_str);
        self.constants.get(name).ok_or_else(|| {
            found(
                node,
                format!("numbers as input {input}"),
                "a computed tensor, or none".into(),
            )
        })
    }

    /// A constant of `length` numbers.
    fn vector(&self, node: &NodeProto, input: usize, length: usize) -> Result<&[f32], OnnxError> {
        let constant = self.constant(node, input)?;
        if constant.data.len() != length {
            let shape = format!("shape {:?}", constant.shape);
            return Err(found(
                node,
                format!("{length} numbers as input {input}"),
                shape,
            ));
        }
        Ok(&constant.data)
    }

    fn convolution(&mut self, window: Window, inputs: usize) -> Result<Convolution, OnnxError> {
        let node = self.take(&["Conv"])?;
        let mut layer = self.bare_convolution(node, window, inputs)?;
        self.skip(&["Identity"])?;
        if self.peek()?.op_type == "BatchNormalization" {
            let norm = self.take(&["BatchNormalization"])?;
            self.fold(norm, &mut layer)?;
            self.skip(&["Identity"])?;
        }
        layer.ceiling = self.rectifier()?;
        self.skip(&["Identity", "Dropout"])?;
        if let Some(weight) = layer
            .weights
            .iter()
            .chain(&layer.bias)
            .find(|w| !w.is_finite())
        {
            return Err(found(node, "finite weights", weight.to_string()));
        }
        Ok(layer)
    }

    fn bare_convolution(
        &self,
        node: &NodeProto,
        window: Window,
        inputs: usize,
    ) -> Result<Convolution, OnnxError> {
        let weights = self.constant(node, 1)?;
        let [outputs, depth, height, width] = weights.shape[..] else {
            return Err(found(
                node,
                "four-dimensional weights",
                format!("shape {:?}", weights.shape),
            ));
        };
        let (kind, side, groups) = match window {
            Window::Full => ("full 3x3", 3, 1),
            Window::Depthwise => ("depthwise 3x3", 3, inputs),
            Window::Pointwise => ("pointwise 1x1", 1, 1),
        };
        if (height, width) != (side, side) {
            return Err(found(node, kind, format!("{height}x{width}")));
        }
        if integers(node, "group", &[1]) != [groups as i64] || depth * groups != inputs {
            let groups = integers(node, "group", &[1])[0];
            let shape = format!("{groups} groups of {depth} channels");
            return Err(found(node, format!("{kind} over {inputs} channels"), shape));
        }
        if window == Window::Depthwise && outputs != inputs {
            return Err(found(
                node,
                format!("{inputs} channels out"),
                outputs.to_string(),
            ));
        }
        if outputs == 0 || !outputs.is_multiple_of(8) || outputs > 4096 {
            let expected = "channels out that are a multiple of 8, from 8 to 4096";
            return Err(found(node, expected, outputs.to_string()));
        }
        let padding = [side as i64 / 2; 4];
        if integers(node, "pads", &[0; 4]) != padding
            || string(node, "auto_pad", "NOTSET") != "NOTSET"
        {
            let pads = format!(
                "{:?} {}",
                integers(node, "pads", &[0; 4]),
                string(node, "auto_pad", "")
            );
            return Err(found(node, format!("padding {padding:?}"), pads));
        }
        if integers(node, "dilations", &[1; 2]) != [1, 1] {
            return Err(found(
                node,
                "no dilation",
                format!("{:?}", integers(node, "dilations", &[])),
            ));
        }
        let strides = integers(node, "strides", &[1; 2]);
        let stride = match (window, &strides[..]) {
            (Window::Full | Window::Depthwise, [2, 2]) => 2,
            (Window::Depthwise | Window::Pointwise, [1, 1]) => 1,
            _ => {
                return Err(found(
                    node,
                    format!("a stride that {kind} has"),
                    format!("{strides:?}"),
                ));
            }
        };
        let bias = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(_) => self.vector(node, 2, outputs)?.to_vec(),
            None => vec![0.0; outputs],
        };
        Ok(Convolution {
            node: label(node).into(),
            window,
            inputs,
            outputs,
            stride,
            weights: weights.data.clone(),
            bias,
            ceiling: f32::INFINITY,
        })
    }

    /// `(x − mean) / √(variance + ε) · scale + shift`, into weights and biases.
    fn fold(&self, node: &NodeProto, layer: &mut Convolution) -> Result<(), OnnxError> {
        let n = layer.outputs;
        let [scale, shift] = [self.vector(node, 1, n)?, self.vector(node, 2, n)?];
        let [mean, variance] = [self.vector(node, 3, n)?, self.vector(node, 4, n)?];
        let epsilon = float(node, "epsilon", 1e-5);
        let per_output = layer.weights.len() / n;
        for o in 0..n {
            let factor = f64::from(scale[o]) / (f64::from(variance[o]) + f64::from(epsilon)).sqrt();
            for weight in &mut layer.weights[o * per_output..][..per_output] {
                *weight = (f64::from(*weight) * factor) as f32;
            }
            let centred = f64::from(layer.bias[o]) - f64::from(mean[o]);
            layer.bias[o] = (centred * factor + f64::from(shift[o])) as f32;
        }
        Ok(())
    }

    /// Where the rectifier saturates.
    fn rectifier(&mut self) -> Result<f32, OnnxError> {
        let node = self.take(&["Relu", "Clip"])?;
        if node.op_type == "Relu" {
            return Ok(f32::INFINITY);
        }
        // Bounds are attributes before opset 11, inputs from then on.
        let bound = |name, input: usize, absent| match node.input.get(input) {
            Some(given) if !given.is_empty() => self.vector(node, input, 1).map(|v| v[0]),
            _ => Ok(float(node, name, absent)),
        };
        let (low, high) = (
            bound("min", 1, f32::NEG_INFINITY)?,
            bound("max", 2, f32::INFINITY)?,
        );
        if low != 0.0 || high <= 0.0 || high.is_nan() {
            return Err(found(
                node,
                "a rectifier from 0",
                format!("{low} to {high}"),
            ));
        }
        Ok(high)
    }

    fn pool(&mut self) -> Result<(), OnnxError> {
        let node = self.take(&["GlobalAveragePool", "ReduceMean"])?;
        if node.op_type == "ReduceMean" {
            // Axes are an attribute before opset 18, an input from then on.
            let axes = match self.constant(node, 1) {
                Ok(axes) => axes.data.iter().map(|&axis| axis as i64).collect(),
                Err(_) => integers(node, "axes", &[]),
            };
            if axes != [2, 3] && axes != [-2, -1] && axes != [-1, -2] {
                return Err(found(
                    node,
                    "a mean over rows and columns",
                    format!("axes {axes:?}"),
                ));
            }
        }
        self.skip(&["Identity", "Dropout", "Flatten", "Reshape", "Squeeze"])
    }

    /// Weights `[class][feature]` and biases of the last layer.
    fn head(&mut self, features: usize) -> Result<(Vec<f32>, [f32; 3]), OnnxError> {
        let node = self.take(&["Gemm", "MatMul"])?;
        let weights = self.constant(node, 1)?;
        let by_class = node.op_type == "Gemm" && integers(node, "transB", &[0]) == [1];
        let expected = if by_class {
            [3, features]
        } else {
            [features, 3]
        };
        if weights.shape != expected {
            return Err(found(
                node,
                format!("weights {expected:?}"),
                format!("{:?}", weights.shape),
            ));
        }
        let rows = if by_class {
            weights.data.clone()
        } else {
            (0..3 * features)
                .map(|k| weights.data[k % features * 3 + k / features])
                .collect()
        };
        let bias = match node.op_type.as_str() {
            "Gemm" => {
                let plain = float(node, "alpha", 1.0) == 1.0
                    && float(node, "beta", 1.0) == 1.0
                    && integers(node, "transA", &[0]) == [0];
                if !plain {
                    return Err(found(
                        node,
                        "features times weights plus bias",
                        "other factors".into(),
                    ));
                }
                match node.input.get(2).filter(|name| !name.is_empty()) {
                    Some(_) => self.vector(node, 2, 3)?.to_vec(),
                    None => vec![0.0; 3],
                }
            }
            _ if self.at_end() => vec![0.0; 3],
            _ => {
                let add = self.take(&["Add"])?;
                let side = usize::from(self.constant(add, 1).is_ok());
                self.vector(add, side, 3)?.to_vec()
            }
        };
        Ok((rows, [bias[0], bias[1], bias[2]]))
    }

    fn end(&mut self) -> Result<(), OnnxError> {
        self.skip(&["Identity"])?;
        if self.at_end() {
            return Ok(());
        }
        let node = self.peek()?;
        Err(found(
            node,
            "the graph's end, at the logits",
            node.op_type.clone(),
        ))
    }
}

fn constant(file: &OnnxFile, tensor: &TensorProto) -> Result<Constant, OnnxError> {
    let provider = &*tract_onnx::onnx().provider;
    let loaded = load_tensor(provider, tensor, file.folder.as_deref());
    let numbers = loaded.and_then(|loaded| {
        let floats = loaded.cast_to::<f32>()?;
        let data = floats
            .to_plain_array_view::<f32>()?
            .iter()
            .copied()
            .collect();
        Ok(Constant {
            shape: loaded.shape().to_vec(),
            data,
        })
    });
    numbers.map_err(|error| OnnxError::Graph(format!("tensor `{}`: {error:#}", tensor.name)))
}

fn label(node: &NodeProto) -> &str {
    if node.name.is_empty() {
        &node.op_type
    } else {
        &node.name
    }
}

fn found(node: &NodeProto, expected: impl Into<String>, found: String) -> OnnxError {
    OnnxError::Node {
        node: label(node).into(),
        expected: expected.into(),
        found,
    }
}

/// Integers of an attribute, be it one or a list.
fn integers(node: &NodeProto, name: &str, absent: &[i64]) -> Vec<i64> {
    match node
        .attribute
        .iter()
        .find(|attribute| attribute.name == name)
    {
        Some(attribute) if attribute.ints.is_empty() => vec![attribute.i],
        Some(attribute) => attribute.ints.clone(),
        None => absent.to_vec(),
    }
}

fn float(node: &NodeProto, name: &str, absent: f32) -> f32 {
    let attribute = node
        .attribute
        .iter()
        .find(|attribute| attribute.name == name);
    attribute.map_or(absent, |attribute| attribute.f)
}

fn string(node: &NodeProto, name: &str, absent: &str) -> String {
    let attribute = node
        .attribute
        .iter()
        .find(|attribute| attribute.name == name);
    attribute.map_or(absent.into(), |attribute| {
        String::from_utf8_lossy(&attribute.s).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::AttributeProto;

    fn file() -> OnnxFile {
        let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/norms.onnx");
        OnnxFile::open(std::path::Path::new(data)).unwrap()
    }

    /// What extraction says of the file after `change`.
    fn refusal(change: impl FnOnce(&mut GraphProto)) -> String {
        let mut file = file();
        change(file.proto.graph.as_mut().unwrap());
        MobileNet::extract(&file, None)
            .expect_err("a refusal")
            .to_string()
    }

    /// The `number`-th node of an operator.
    fn nth<'a>(graph: &'a mut GraphProto, operator: &str, number: usize) -> &'a mut NodeProto {
        let mut nodes = graph
            .node
            .iter_mut()
            .filter(|node| node.op_type == operator);
        nodes.nth(number).unwrap()
    }

    fn attribute<'a>(node: &'a mut NodeProto, name: &str) -> &'a mut AttributeProto {
        node.attribute.iter_mut().find(|a| a.name == name).unwrap()
    }

    #[test]
    fn a_refusal_names_the_node() {
        let node =
            refusal(|graph| attribute(nth(graph, "Conv", 3), "pads").ints = vec![0, 0, 1, 1]);
        assert!(node.starts_with("node `/blocks.1/blocks.1.0/"), "{node}");
        assert!(
            node.contains("expected padding [1, 1, 1, 1], found [0, 0, 1, 1]"),
            "{node}"
        );
    }

    #[test]
    fn what_mobilenet_does_not_have_is_refused() {
        type Change = fn(&mut GraphProto);
        let cases: [(&str, Change); 8] = [
            ("stride", |g| {
                attribute(nth(g, "Conv", 1), "strides").ints = vec![2, 1]
            }),
            ("no dilation", |g| {
                attribute(nth(g, "Conv", 1), "dilations").ints = vec![2, 2]
            }),
            ("depthwise 3x3 over", |g| {
                attribute(nth(g, "Conv", 1), "group").i = 1
            }),
            ("expected depthwise 3x3, found 1x1", |g| {
                let pointwise = nth(g, "Conv", 2).input[1].clone();
                nth(g, "Conv", 1).input[1] = pointwise;
            }),
            ("Relu or Clip", |g| {
                nth(g, "Relu", 4).op_type = "HardSwish".into()
            }),
            ("a mean over rows", |g| {
                attribute(nth(g, "ReduceMean", 0), "axes").ints = vec![1]
            }),
            ("features times weights", |g| {
                attribute(nth(g, "Gemm", 0), "alpha").f = 2.0
            }),
            ("a branch", |g| {
                let input = nth(g, "Relu", 2).input[0].clone();
                nth(g, "Relu", 7).input[0] = input;
            }),
        ];
        for (words, change) in cases {
            let refusal = refusal(change);
            assert!(refusal.contains(words), "{refusal}");
        }
    }

    #[test]
    fn relu6_saturates_at_six() {
        let mut file = file();
        let graph = file.proto.graph.as_mut().unwrap();
        let node = nth(graph, "Relu", 5);
        node.op_type = "Clip".into();
        let bound = |name: &str, f| AttributeProto {
            name: name.into(),
            f,
            ..AttributeProto::default()
        };
        node.attribute = vec![bound("min", 0.0), bound("max", 6.0)];
        let net = MobileNet::extract(&file, None).unwrap();
        let ceilings: Vec<f32> = net.convolutions().map(|layer| layer.ceiling).collect();
        assert_eq!(ceilings[5], 6.0);
        assert_eq!(ceilings.iter().filter(|c| c.is_infinite()).count(), 26);
    }
}
