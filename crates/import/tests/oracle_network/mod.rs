//! A network by the oracle's plain loops, whoever is to be equal to it.

use hitgate_import::model::{Conv, Network};
use hitgate_testkit::oracle::{self, Tensor};

/// The network run layer by layer in plain loops: its logits, and the features before the head.
pub fn oracle_network(network: &Network, map: &[u8]) -> ([i64; 3], Vec<u8>) {
    let (side, channels) = (network.input as usize, network.channels as usize);
    let mut at = Tensor {
        height: side,
        width: side,
        channels,
        data: map.to_vec(),
    };
    let Conv {
        weights,
        bias,
        scale,
    } = &network.stem;
    at = oracle::convolution(&at, weights, bias, scale, 2);
    for block in &network.blocks {
        let stride = usize::from(block.stride);
        let Conv {
            weights,
            bias,
            scale,
        } = &block.depthwise;
        at = oracle::depthwise(&at, weights, bias, scale, stride);
        let Conv {
            weights,
            bias,
            scale,
        } = &block.pointwise;
        at = oracle::pointwise(&at, weights, bias, scale);
    }
    let features = oracle::pool(&at, &network.pool_scale);
    let logits = oracle::dense(&features, &network.head_weights, &network.head_bias);
    (logits, features)
}
