//! ONNX → a quantized model file, with calibration and a parity report.
//!
//! [`import`](import::import) is the whole way: [`OnnxFile`](onnx::OnnxFile) is read,
//! [`MobileNet`](float::MobileNet) holds its numbers in f32, [`quantize`] turns them into the integers
//! of a [`Network`](model::Network) by what calibration maps show, [`hgm`] writes those,
//! [`Parity`](parity::Parity) compares the file with the float network as tract runs it, and
//! [`OperatingPoint`](thresholds::OperatingPoint)s are set on validation maps.
//!
//! [`metrics`] and [`bounds`] are what any evaluation counts with; [`roc`], [`calibration`] and
//! [`hit_rate`] say what that means over all thresholds, of the probabilities, and for a run.

pub mod bounds;
pub mod calibration;
mod extract;
pub mod float;
pub mod hgm;
pub mod hit_rate;
pub mod import;
pub mod metrics;
pub mod model;
pub mod onnx;
pub mod parity;
pub mod quantize;
pub mod random;
pub mod roc;
pub mod scores;
pub mod thresholds;
