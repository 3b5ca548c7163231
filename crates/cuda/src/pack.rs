//! Weights in the order in which the kernels load them.

use hitgate_core::net::Convolution;

/// Lanes of a warp.
const LANES: usize = 32;
/// Channels out that a warp computes together: four products of 8.
pub(crate) const GROUP: usize = 32;
/// Channels in of one product.
pub(crate) const STEP: usize = 32;

/// The stem's `[out][in][tap]` as `[out][tap][in]`, each channel out filled up to whole quads of words.
pub(crate) fn stem(layer: Convolution<'_>, inputs: usize) -> Vec<i8> {
    let row = (9 * inputs).next_multiple_of(16);
    let mut packed = vec![0; layer.channels() * row];
    for (to, from) in packed
        .chunks_exact_mut(row)
        .zip(layer.weights().chunks_exact(9 * inputs))
    {
        for tap in 0..9 {
            for channel in 0..inputs {
                to[tap * inputs + channel] = from[channel * 9 + tap];
            }
        }
    }
    packed
}

/// The depthwise `[channel][tap]` as `[column][channel][4]`: the three taps of a column of the window, and a zero.
pub(crate) fn depthwise(layer: Convolution<'_>) -> Vec<i8> {
    let weights = layer.weights();
    let mut packed = Vec::with_capacity(3 * 4 * layer.channels());
    for column in 0..3 {
        for taps in weights.chunks_exact(9) {
            packed.extend([taps[column], taps[3 + column], taps[6 + column], 0]);
        }
    }
    packed
}

/// The pointwise `[out][in]` as `[group][step][pair of products][lane][product of the pair][word][4]`.
///
/// A lane's words of a product are those of the PTX ISA's m16n8k32 (`kernels/matrix.cuh`). Column `c` of product `j` is channel
/// `8 (c / 2) + 2 j + c % 2` of the group, so that each lane ends up with eight neighbouring channels of a pixel.
pub(crate) fn pointwise(layer: Convolution<'_>, inputs: usize) -> Vec<i8> {
    let (weights, outputs) = (layer.weights(), layer.channels());
    let (groups, steps) = (outputs.div_ceil(GROUP), inputs.div_ceil(STEP));
    let mut packed = Vec::with_capacity(groups * steps * GROUP * STEP);
    for group in 0..groups {
        for step in 0..steps {
            for pair in 0..2 {
                for lane in 0..LANES {
                    for product in [2 * pair, 2 * pair + 1] {
                        let column = lane / 4;
                        let out = GROUP * group + 8 * (column / 2) + 2 * product + column % 2;
                        for word in 0..2 {
                            let first = STEP * step + 16 * word + 4 * (lane % 4);
                            packed.extend((first..first + 4).map(|k| {
                                match out < outputs && k < inputs {
                                    true => weights[out * inputs + k],
                                    false => 0,
                                }
                            }));
                        }
                    }
                }
            }
        }
    }
    packed
}

/// `numbers`, filled up to whole groups with `padding`.
pub(crate) fn grouped<T: Copy>(numbers: impl Iterator<Item = T>, padding: T) -> Vec<T> {
    let mut all: Vec<T> = numbers.collect();
    all.resize(all.len().next_multiple_of(GROUP), padding);
    all
}
