//! MobileNet-V1 in f32, batch norm folded, in plain loops: what calibration measures.

/// What a convolution reaches over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// 3x3 over all channels; weights `[out][in][3][3]`.
    Full,
    /// 3x3 over its own channel; weights `[channel][3][3]`.
    Depthwise,
    /// 1x1 over all channels; weights `[out][in]`.
    Pointwise,
}

/// A convolution with the batch norm and the rectifier behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// The node it came from, for messages.
    pub node: String,
    /// What it reaches over.
    pub window: Window,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Pixels between two windows.
    pub stride: usize,
    /// Weights in the order of [`Window`].
    pub weights: Vec<f32>,
    /// One bias a channel out.
    pub bias: Vec<f32>,
    /// Where the rectifier saturates: infinity for ReLU, 6 for ReLU6.
    pub ceiling: f32,
}

/// A depthwise and a pointwise convolution.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The 3x3 half.
    pub depthwise: Convolution,
    /// The 1x1 half.
    pub pointwise: Convolution,
}

/// The network, as far as hitgate runs it.
#[derive(Clone, Debug, PartialEq)]
pub struct MobileNet {
    /// Cells along the side of a map.
    pub size: usize,
    /// Bytes a cell.
    pub channels: usize,
    /// The first convolution.
    pub stem: Convolution,
    /// The blocks, first to last.
    pub blocks: Vec<Block>,
    /// Last layer, `[class][feature]`.
    pub head_weights: Vec<f32>,
    /// One bias a class.
    pub head_bias: [f32; 3],
}

/// A feature map, channels last.
#[derive(Clone, Debug, PartialEq)]
pub struct Features {
    /// Pixels along the side.
    pub side: usize,
    /// Values a pixel.
    pub channels: usize,
    /// `side * side * channels` values.
    pub data: Vec<f32>,
}

impl Features {
    /// A prepared map, times `scale`: 1/127 makes the float network's input.
    pub fn from_map(map: &[u8], side: usize, channels: usize, scale: f32) -> Self {
        Features {
            side,
            channels,
            data: map.iter().map(|&level| f32::from(level) * scale).collect(),
        }
    }

    /// The mean of each channel over all pixels.
    pub fn mean(&self) -> Vec<f32> {
        let mut sums = vec![0.0; self.channels];
        for pixel in self.data.chunks_exact(self.channels) {
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(*value);
            }
        }
        let pixels = (self.side * self.side) as f64;
        sums.iter().map(|sum| (sum / pixels) as f32).collect()
    }

    /// Changes each value with its channel's index.
    pub fn map(mut self, change: impl Fn(usize, f32) -> f32) -> Self {
        for pixel in self.data.chunks_exact_mut(self.channels) {
            for (channel, value) in pixel.iter_mut().enumerate() {
                *value = change(channel, *value);
            }
        }
        self
    }
}

impl Convolution {
    /// Taps of the window.
    pub fn taps(&self) -> usize {
        match self.window {
            Window::Full | Window::Depthwise => 9,
            Window::Pointwise => 1,
        }
    }

    /// Input channels that one output channel reaches.
    pub fn depth(&self) -> usize {
        match self.window {
            Window::Depthwise => 1,
            Window::Full | Window::Pointwise => self.inputs,
        }
    }

    /// `bias + Σ weight · input` with other numbers in this convolution's shape, before the rectifier.
    pub fn sums(&self, weights: &[f32], bias: &[f32], input: &Features) -> Features {
        let side = input.side.div_ceil(self.stride);
        let mut data = Vec::with_capacity(side * side * self.outputs);
        let reach = if self.window == Window::Pointwise {
            0
        } else {
            1
        };
        // Outputs innermost, so that the loop over them is a vector's.
        let per_output = self.taps() * self.depth();
        let turned: Vec<f32> = (0..per_output)
            .flat_map(|k| (0..self.outputs).map(move |o| weights[o * per_output + k]))
            .collect();
        for y in 0..side {
            for x in 0..side {
                let start = data.len();
                data.extend_from_slice(bias);
                let sums = &mut data[start..];
                for tap in 0..self.taps() {
                    let (ky, kx) = if reach == 0 {
                        (0, 0)
                    } else {
                        (tap / 3, tap % 3)
                    };
                    let (Some(iy), Some(ix)) = (
                        (y * self.stride + ky)
                            .checked_sub(reach)
                            .filter(|&i| i < input.side),
                        (x * self.stride + kx)
                            .checked_sub(reach)
                            .filter(|&i| i < input.side),
                    ) else {
                        continue;
                    };
                    let pixel = &input.data[(iy * input.side + ix) * self.inputs..][..self.inputs];
                    if self.window == Window::Depthwise {
                        let row = &turned[tap * self.outputs..][..self.outputs];
                        for ((sum, weight), value) in sums.iter_mut().zip(row).zip(pixel) {
                            *sum += weight * value;
                        }
                        continue;
                    }
                    for (channel, &value) in pixel.iter().enumerate() {
                        if value == 0.0 {
                            continue;
                        }
                        let k = channel * self.taps() + tap;
                        let row = &turned[k * self.outputs..][..self.outputs];
                        for (sum, weight) in sums.iter_mut().zip(row) {
                            *sum += weight * value;
                        }
                    }
                }
            }
        }
        Features {
            side,
            channels: self.outputs,
            data,
        }
    }

    /// The convolution and its rectifier.
    pub fn run(&self, input: &Features) -> Features {
        self.sums(&self.weights, &self.bias, input)
            .map(|_, value| value.clamp(0.0, self.ceiling))
    }
}

impl MobileNet {
    /// All convolutions, first to last.
    pub fn convolutions(&self) -> impl Iterator<Item = &Convolution> {
        let halves = self
            .blocks
            .iter()
            .flat_map(|b| [&b.depthwise, &b.pointwise]);
        std::iter::once(&self.stem).chain(halves)
    }

    /// Logits of a prepared map, `size * size * channels` bytes, channels last.
    pub fn run(&self, map: &[u8]) -> [f32; 3] {
        let input = Features::from_map(map, self.size, self.channels, 1.0 / 127.0);
        let last = self.convolutions().fold(input, |x, layer| layer.run(&x));
        self.logits(&last.mean())
    }

    /// The last layer.
    pub fn logits(&self, features: &[f32]) -> [f32; 3] {
        let mut logits = self.head_bias;
        for (logit, row) in logits
            .iter_mut()
            .zip(self.head_weights.chunks(features.len()))
        {
            *logit += row.iter().zip(features).map(|(w, f)| w * f).sum::<f32>();
        }
        logits
    }
}
