//! Float numbers → integers, by what calibration maps show.
//!
//! Layer by layer, with the float and the integer network side by side over the same maps:
//!
//! * **Activations** are u7 with a scale for each channel, chosen among clipping ranges by the least
//!   mean square error. The layer behind absorbs the scales into its weights: a depthwise convolution
//!   for nothing, a pointwise convolution or the head at the price of weights of unequal size. (One
//!   scale for all channels between the halves of a block, or one halfway, as in cross-layer
//!   equalization, gave 1.7 and 1.1 times the error of the logits on the first model.)
//! * **Weights** are i8, symmetric, with a scale for each output channel, chosen by the least error
//!   weighted by how strong each input is.
//! * **Biases** take up the mean error that the integers before them have left (bias
//!   correction, Nagel et al. 2019), so that it does not grow from layer to layer.

use std::num::NonZero;

use crate::float::{Block, Convolution, Features, MobileNet, Window};
use crate::model::{self, Conv, Network};

/// The largest activation.
const FULL: f32 = 127.0;
/// The largest bias in units of the products: a quarter of i32, the products need less than the rest.
const LARGEST_BIAS: f32 = (1u32 << 29) as f32;

/// The integer network of `net`, calibrated on `maps`, whose logits `temperature` divides.
///
/// # Panics
/// If there is no map, or one has another length than the network's input.
pub fn quantize(net: &MobileNet, maps: &[&[u8]], temperature: f32) -> Network {
    assert!(!maps.is_empty(), "calibration needs maps");
    let mut twins: Vec<Twin> = maps
        .iter()
        .map(|map| {
            assert_eq!(map.len(), net.size * net.size * net.channels);
            Twin {
                float: Features::from_map(map, net.size, net.channels, 1.0 / FULL),
                integer: Features::from_map(map, net.size, net.channels, 1.0),
            }
        })
        .collect();
    let mut scales = vec![1.0 / FULL; net.channels];

    let stem = advance(&net.stem, &mut twins, &mut scales);
    let mut blocks = Vec::new();
    for Block {
        depthwise,
        pointwise,
    } in &net.blocks
    {
        blocks.push(model::Block {
            stride: depthwise.stride as u8,
            depthwise: advance(depthwise, &mut twins, &mut scales),
            pointwise: advance(pointwise, &mut twins, &mut scales),
        });
    }
    let (pool_scale, scales, features) = pool(&twins, &scales);
    let head = head(net, &scales, &features);
    Network {
        input: net.size as u32,
        channels: net.channels as u32,
        stem,
        blocks,
        pool_scale,
        head_weights: head.weights,
        head_bias: head.bias,
        head_scale: head.unit / (temperature * std::f32::consts::LN_2),
    }
}

/// One map's features in both networks; the integer ones hold 0..=127.
struct Twin {
    float: Features,
    integer: Features,
}

/// Quantizes `layer`, and takes `twins` and the scales of their integers behind it.
fn advance(layer: &Convolution, twins: &mut [Twin], scales: &mut Vec<f32>) -> Conv {
    let floats = each(twins, |twin| {
        layer.sums(&layer.weights, &layer.bias, &twin.float)
    });
    let ranges = ranges(&floats, layer.ceiling);
    let output = output_scales(&ranges);
    let (integers, sums) = integers(layer, twins, scales, &floats, &output);
    for ((twin, float), sum) in twins.iter_mut().zip(floats).zip(sums) {
        twin.float = float.map(|_, value| value.clamp(0.0, layer.ceiling));
        twin.integer = sum.map(|channel, sum| requantized(sum, integers.scale[channel]));
    }
    *scales = output;
    integers
}

/// The integers of `layer` between inputs of `scales` and outputs of `output`, and their sums for
/// each twin. `floats` are the float network's sums.
fn integers(
    layer: &Convolution,
    twins: &[Twin],
    scales: &[f32],
    floats: &[Features],
    output: &[f32],
) -> (Conv, Vec<Features>) {
    let strength = strength(twins);
    let per_output = layer.taps() * layer.depth();
    let mut weights = Vec::with_capacity(layer.weights.len());
    let mut units = Vec::with_capacity(layer.outputs);
    for (o, row) in layer.weights.chunks_exact(per_output).enumerate() {
        let input = |k: usize| match layer.window {
            Window::Depthwise => o,
            Window::Full | Window::Pointwise => k / layer.taps(),
        };
        let absorbed: Vec<f32> = row
            .iter()
            .enumerate()
            .map(|(k, w)| w * scales[input(k)])
            .collect();
        let emphasis: Vec<f32> = (0..per_output).map(|k| strength[input(k)]).collect();
        let unit = weight_unit(&absorbed, &emphasis, layer.bias[o], output[o]);
        weights.extend(absorbed.iter().map(|w| rounded(w / unit)));
        units.push(unit);
    }
    let mut sums = each(twins, |twin| {
        layer.sums(&weights, &vec![0.0; layer.outputs], &twin.integer)
    });
    let bias = corrected_bias(layer, floats, &sums, &units);
    for features in &mut sums {
        for pixel in features.data.chunks_exact_mut(layer.outputs) {
            for (sum, bias) in pixel.iter_mut().zip(&bias) {
                *sum += *bias as f32;
            }
        }
    }
    let scale = units
        .iter()
        .zip(output)
        .map(|(unit, output)| unit / output)
        .collect();
    let conv = Conv {
        weights: weights.iter().map(|&w| w as i8).collect(),
        bias,
        scale,
    };
    (conv, sums)
}

/// The clipping range of each channel that leaves the least square error of u7 numbers.
///
/// The error follows from a histogram: a value above the range loses its excess, any other one but 0
/// is rounded to steps of range / 127.
fn ranges(sums: &[Features], ceiling: f32) -> Vec<f32> {
    const BINS: usize = 1024;
    let channels = sums[0].channels;
    let mut largest = vec![0.0f32; channels];
    for pixel in sums.iter().flat_map(|s| s.data.chunks_exact(channels)) {
        for (largest, value) in largest.iter_mut().zip(pixel) {
            *largest = largest.max(value.min(ceiling));
        }
    }
    let mut counts = vec![0u32; channels * BINS];
    for pixel in sums.iter().flat_map(|s| s.data.chunks_exact(channels)) {
        for (channel, &value) in pixel.iter().enumerate().filter(|(_, value)| **value > 0.0) {
            let bin = (value / largest[channel] * BINS as f32) as usize;
            counts[channel * BINS + bin.min(BINS - 1)] += 1;
        }
    }
    (0..channels)
        .map(|channel| {
            let counts = &counts[channel * BINS..][..BINS];
            let shrunk = (0..24).map(|eighths| 0.5f32.powf(eighths as f32 / 8.0));
            let best = shrunk
                .min_by(|&a, &b| clipping_error(counts, a).total_cmp(&clipping_error(counts, b)));
            best.unwrap_or(1.0) * largest[channel]
        })
        .collect()
}

/// Square error of u7 numbers up to `range`, where the histogram's last bin ends at 1.
fn clipping_error(counts: &[u32], range: f32) -> f64 {
    let range = f64::from(range);
    let rounding = (range / f64::from(FULL)).powi(2) / 12.0;
    let width = 1.0 / counts.len() as f64;
    let middles = (0..counts.len()).map(|bin| (bin as f64 + 0.5) * width);
    counts
        .iter()
        .zip(middles)
        .map(|(&count, value)| f64::from(count) * rounding.max((value - range).max(0.0).powi(2)))
        .sum()
}

/// Value of one integer step in each channel. A channel that is silent in calibration gets the largest
/// range: if it ever speaks, it is not cut off.
fn output_scales(ranges: &[f32]) -> Vec<f32> {
    let largest = ranges.iter().copied().fold(0.0, f32::max);
    let largest = if largest > 0.0 { largest } else { 1.0 };
    let speaking = |&range: &f32| if range > 0.0 { range } else { largest };
    ranges.iter().map(|range| speaking(range) / FULL).collect()
}

/// Mean square of each input channel's integers.
fn strength(twins: &[Twin]) -> Vec<f32> {
    let channels = twins[0].integer.channels;
    let mut sums = vec![0.0f64; channels];
    let mut pixels = 0.0;
    for pixel in twins
        .iter()
        .flat_map(|t| t.integer.data.chunks_exact(channels))
    {
        pixels += 1.0;
        for (sum, value) in sums.iter_mut().zip(pixel) {
            *sum += f64::from(value * value);
        }
    }
    sums.iter().map(|sum| (sum / pixels) as f32).collect()
}

/// The value of one integer step of `weights` that leaves the least error under `emphasis`, large
/// enough for `bias` and for a positive finite scale.
fn weight_unit(weights: &[f32], emphasis: &[f32], bias: f32, output: f32) -> f32 {
    let largest = weights
        .iter()
        .fold(0.0f32, |largest, w| largest.max(w.abs()));
    let least = (bias.abs() / LARGEST_BIAS).max(output * 1e-9);
    let error = |unit: f32| -> f32 {
        let errors = weights.iter().map(|w| w - rounded(w / unit) * unit);
        errors
            .zip(emphasis)
            .map(|(error, emphasis)| error * error * emphasis)
            .sum()
    };
    let candidates = (0..10).map(|twentieths| largest * (1.0 - 0.05 * twentieths as f32) / FULL);
    let best = candidates
        .map(|unit| unit.max(least))
        .min_by(|&a, &b| error(a).total_cmp(&error(b)));
    best.unwrap_or(least)
}

/// The biases in units of the products, with the mean error of the sums taken off.
///
/// Only pixels where either network is above zero count: below, the rectifier hides every error.
fn corrected_bias(
    layer: &Convolution,
    floats: &[Features],
    sums: &[Features],
    units: &[f32],
) -> Vec<i32> {
    let n = layer.outputs;
    let mut errors = vec![(0.0f64, 0u32); n];
    for (floats, sums) in floats.iter().zip(sums) {
        let pixels = floats.data.chunks_exact(n).zip(sums.data.chunks_exact(n));
        for (floats, sums) in pixels {
            for o in 0..n {
                let value = sums[o] * units[o] + layer.bias[o];
                if floats[o] > 0.0 || value > 0.0 {
                    errors[o].0 += f64::from(floats[o] - value);
                    errors[o].1 += 1;
                }
            }
        }
    }
    (0..n)
        .map(|o| {
            let (error, count) = errors[o];
            let mean = (error / f64::from(count.max(1))) as f32;
            let bias = (layer.bias[o] + mean) / units[o];
            bias.round_ties_even().clamp(-LARGEST_BIAS, LARGEST_BIAS) as i32
        })
        .collect()
}

/// Scales of the pool, the value of one step of each of its outputs, and the float features of each map
/// with the integer ones.
fn pool(twins: &[Twin], scales: &[f32]) -> (Vec<f32>, Vec<f32>, Vec<Twin>) {
    let means: Vec<Features> = twins
        .iter()
        .map(|twin| Features {
            side: 1,
            channels: scales.len(),
            data: twin.float.mean(),
        })
        .collect();
    let output = output_scales(&ranges(&means, f32::INFINITY));
    let pixels = (twins[0].integer.side * twins[0].integer.side) as f32;
    let pool_scale: Vec<f32> = scales
        .iter()
        .zip(&output)
        .map(|(i, o)| i / (pixels * o))
        .collect();
    let features = twins
        .iter()
        .zip(means)
        .map(|(twin, float)| Twin {
            integer: Features {
                data: twin.integer.mean(),
                ..float.clone()
            }
            .map(|channel, mean| requantized((mean * pixels).round(), pool_scale[channel])),
            float,
        })
        .collect();
    (pool_scale, output, features)
}

struct Head {
    weights: Vec<i8>,
    bias: [i32; 3],
    /// Value of one step of the logits.
    unit: f32,
}

/// The last layer between features of `scales` and three logits of one scale.
fn head(net: &MobileNet, scales: &[f32], features: &[Twin]) -> Head {
    let n = scales.len();
    // The softmax sees differences alone: without its mean over the classes a weight is smaller.
    let mean = |k: usize| (0..3).map(|j| net.head_weights[j * n + k]).sum::<f32>() / 3.0;
    let absorbed: Vec<f32> = (0..3 * n)
        .map(|jk| (net.head_weights[jk] - mean(jk % n)) * scales[jk % n])
        .collect();
    let strength = strength(features);
    let emphasis: Vec<f32> = (0..3 * n).map(|jk| strength[jk % n]).collect();
    let largest_bias = net
        .head_bias
        .iter()
        .fold(0.0f32, |largest, b| largest.max(b.abs()));
    let unit = weight_unit(&absorbed, &emphasis, largest_bias, 1.0);
    let weights: Vec<f32> = absorbed.iter().map(|w| rounded(w / unit)).collect();
    let row = |j: usize| &weights[j * n..][..n];
    let dot = |row: &[f32], x: &[f32]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
    let mean_bias = net.head_bias.iter().sum::<f32>() / 3.0;
    let bias = [0, 1, 2].map(|j| {
        let errors = features.iter().map(|twin| {
            let logits = net.logits(&twin.float.data);
            let centred = logits[j] - logits.iter().sum::<f32>() / 3.0;
            let value = dot(row(j), &twin.integer.data) * unit + net.head_bias[j] - mean_bias;
            f64::from(centred - value)
        });
        let error = (errors.sum::<f64>() / features.len() as f64) as f32;
        ((net.head_bias[j] - mean_bias + error) / unit).round_ties_even() as i32
    });
    Head {
        weights: weights.iter().map(|&w| w as i8).collect(),
        bias,
        unit,
    }
}

fn rounded(weight: f32) -> f32 {
    weight.round_ties_even().clamp(-FULL, FULL)
}

fn requantized(sum: f32, scale: f32) -> f32 {
    (sum * scale).clamp(0.0, FULL).round_ties_even()
}

/// `work` on each twin, on all cores, in order.
fn each(twins: &[Twin], work: impl Fn(&Twin) -> Features + Sync) -> Vec<Features> {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let share = twins.len().div_ceil(threads);
    std::thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = twins
            .chunks(share)
            .map(|twins| scope.spawn(move || twins.iter().map(work).collect::<Vec<_>>()))
            .collect();
        handles
            .into_iter()
            .flat_map(|handle| {
                handle
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}
