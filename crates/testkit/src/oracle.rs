//! The network's layers in plain loops over i64: what every kernel must equal, bit for bit.
//!
//! Nobody optimises this module, and it shares no code with any kernel. Feature maps are
//! [`Tensor`]s, channels last; activations are `0..=127`; the 3x3 windows have padding 1.

/// A feature map: `data[(y * width + x) * channels + c]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Rows.
    pub height: usize,
    /// Pixels a row.
    pub width: usize,
    /// Values a pixel.
    pub channels: usize,
    /// `height * width * channels` activations.
    pub data: Vec<u8>,
}

impl Tensor {
    /// The activation at pixel `(y, x)`, zero outside of the map.
    pub fn at(&self, y: isize, x: isize, c: usize) -> i64 {
        let inside =
            (0..self.height as isize).contains(&y) && (0..self.width as isize).contains(&x);
        if !inside {
            return 0;
        }
        i64::from(self.data[(y as usize * self.width + x as usize) * self.channels + c])
    }

    /// A map whose activation at `(y, x, c)` is `value(y, x, c)`.
    pub fn from_fn(
        height: usize,
        width: usize,
        channels: usize,
        mut value: impl FnMut(usize, usize, usize) -> u8,
    ) -> Self {
        let mut data = Vec::with_capacity(height * width * channels);
        for y in 0..height {
            for x in 0..width {
                for c in 0..channels {
                    data.push(value(y, x, c));
                }
            }
        }
        Tensor {
            height,
            width,
            channels,
            data,
        }
    }
}

/// The sum as f32 to nearest even, times `scale`, clamped to `0..=127`, rounded half to even.
///
/// # Panics
/// If `sum` does not fit an i32: no kernel could hold it.
pub fn requantize(sum: i64, scale: f32) -> u8 {
    let sum = i32::try_from(sum).expect("the sum fits i32");
    (sum as f32 * scale).clamp(0.0, 127.0).round_ties_even() as u8
}

/// Full 3x3 convolution; `weights[out][in][ky][kx]`.
pub fn convolution(
    input: &Tensor,
    weights: &[i8],
    bias: &[i32],
    scale: &[f32],
    stride: usize,
) -> Tensor {
    let channels = input.channels;
    window(input, bias, scale, stride, |y, x, out| {
        let mut sum = 0;
        for c in 0..channels {
            for ky in 0..3 {
                for kx in 0..3 {
                    let weight = weights[((out * channels + c) * 3 + ky) * 3 + kx];
                    sum += i64::from(weight) * input.at(y + ky as isize, x + kx as isize, c);
                }
            }
        }
        sum
    })
}

/// 3x3 convolution of each channel by itself; `weights[channel][ky][kx]`.
pub fn depthwise(
    input: &Tensor,
    weights: &[i8],
    bias: &[i32],
    scale: &[f32],
    stride: usize,
) -> Tensor {
    window(input, bias, scale, stride, |y, x, c| {
        let mut sum = 0;
        for ky in 0..3 {
            for kx in 0..3 {
                let weight = weights[(c * 3 + ky) * 3 + kx];
                sum += i64::from(weight) * input.at(y + ky as isize, x + kx as isize, c);
            }
        }
        sum
    })
}

/// A map of 3x3 windows `stride` apart; `sum(y, x, channel)` gets the window's top left pixel.
fn window(
    input: &Tensor,
    bias: &[i32],
    scale: &[f32],
    stride: usize,
    sum: impl Fn(isize, isize, usize) -> i64,
) -> Tensor {
    let size = |n: usize| (n + 2 - 3) / stride + 1;
    Tensor::from_fn(
        size(input.height),
        size(input.width),
        bias.len(),
        |y, x, c| {
            let (y, x) = ((y * stride) as isize - 1, (x * stride) as isize - 1);
            requantize(i64::from(bias[c]) + sum(y, x, c), scale[c])
        },
    )
}

/// 1x1 convolution; `weights[out][in]`.
pub fn pointwise(input: &Tensor, weights: &[i8], bias: &[i32], scale: &[f32]) -> Tensor {
    Tensor::from_fn(input.height, input.width, bias.len(), |y, x, out| {
        let sum: i64 = (0..input.channels)
            .map(|c| {
                i64::from(weights[out * input.channels + c]) * input.at(y as isize, x as isize, c)
            })
            .sum();
        requantize(i64::from(bias[out]) + sum, scale[out])
    })
}

/// Each channel summed over all pixels, requantized once.
pub fn pool(input: &Tensor, scale: &[f32]) -> Vec<u8> {
    (0..input.channels)
        .map(|c| {
            let pixels = input.data.iter().skip(c).step_by(input.channels);
            requantize(pixels.map(|&a| i64::from(a)).sum(), scale[c])
        })
        .collect()
}

/// `bias[j] + Σ weights[j][k] features[k]`.
pub fn dense(features: &[u8], weights: &[i8], bias: &[i32; 3]) -> [i64; 3] {
    [0, 1, 2].map(|j| {
        let row = &weights[j * features.len()..(j + 1) * features.len()];
        let products = features.iter().zip(row);
        i64::from(bias[j])
            + products
                .map(|(&a, &w)| i64::from(a) * i64::from(w))
                .sum::<i64>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requantizing_rounds_half_to_even_and_clamps() {
        let halves = [(1, 0), (3, 2), (5, 2), (253, 126), (-1, 0), (1000, 127)];
        for (sum, rounded) in halves {
            assert_eq!(requantize(sum, 0.5), rounded, "{sum} / 2");
        }
    }

    #[test]
    fn a_window_of_ones_counts_the_pixels_inside() {
        let input = Tensor::from_fn(3, 3, 1, |_, _, _| 1);
        let counts = depthwise(&input, &[1; 9], &[0], &[1.0], 1);
        assert_eq!(counts.data, [4, 6, 4, 6, 9, 6, 4, 6, 4]);
        assert_eq!(convolution(&input, &[1; 9], &[0], &[1.0], 2).data, [4; 4]);
    }
}
