//! The 1x1 convolution: a matrix times the pixels of a band, in tiles of pixels by registers.

use crate::map::{Few, Pixels};
use crate::pack::{PANEL, Packed, panels};
use crate::simd::WIDEST;
use crate::{MapMut, Simd};

/// Convolves `src` into rows `first..` of `out` and requantizes.
///
/// `src` holds whole rows of `out.shape().width` pixels, `inputs` bytes each without a frame;
/// `inputs` is a multiple of 4, as [`pack::matrix`](crate::pack::matrix) packed them. The channels of
/// `out` are a multiple of 8; registers reach beyond them where they are no multiple of [`Simd::N`].
pub fn pointwise<S: Simd>(
    s: S,
    src: &[u8],
    inputs: usize,
    p: &Packed<'_>,
    out: &mut MapMut<'_>,
    first: usize,
) {
    s.vectorize(
        #[inline(always)]
        || {
            let outputs = out.shape().channels;
            for (channel, registers) in panels(outputs, S::N) {
                let panel = Panel::new::<S>(p, inputs, outputs, (channel, registers));
                let mut dst = out.pixels(first);
                match (registers, S::SUMS) {
                    (PANEL, 28..) => band::<S, PANEL, 14>(s, src, inputs, &panel, &mut dst),
                    (PANEL, _) => band::<S, PANEL, 4>(s, src, inputs, &panel, &mut dst),
                    (_, 28..) => band::<S, 1, 16>(s, src, inputs, &panel, &mut dst),
                    (_, _) => band::<S, 1, 8>(s, src, inputs, &panel, &mut dst),
                }
            }
        },
    );
}

/// One layer's numbers for a panel of channels, and where those lie in a pixel.
pub(crate) struct Panel<'p> {
    pub weights: &'p [i8],
    bias: &'p [i32],
    scale: &'p [f32],
    channel: usize,
    /// Only the first 8 channels of the last register are the pixel's.
    half: bool,
}

impl<'p> Panel<'p> {
    /// `registers` of them from `channel` on, of `outputs`.
    pub fn new<S: Simd>(
        p: &Packed<'p>,
        inputs: usize,
        outputs: usize,
        (channel, registers): (usize, usize),
    ) -> Self {
        let channels = registers * S::N;
        Panel {
            weights: &p.weights[channel * inputs..][..channels * inputs],
            bias: &p.bias[channel..][..channels],
            scale: &p.scale[channel..][..channels],
            channel,
            half: channel + channels > outputs,
        }
    }

    /// The sums of a pixel before the first product.
    #[inline(always)]
    pub fn bias<S: Simd, const R: usize>(&self, s: S) -> [S::I32; R] {
        let mut bias = [s.bias(self.bias); R];
        for (r, bias) in bias.iter_mut().enumerate() {
            *bias = s.bias(&self.bias[r * S::N..]);
        }
        bias
    }

    /// Requantizes the sums of `P` pixels, four registers at a time.
    #[inline(always)]
    pub fn finish<S: Simd, const P: usize, const R: usize>(
        &self,
        s: S,
        sums: [[S::I32; R]; P],
        mut pixels: Few<'_, P>,
    ) {
        const { assert!(P * R <= 28 && 4 % R == 0) };
        // What is left over is made of the last register, and not put anywhere.
        let sum = |i: usize| sums[(i / R).min(P - 1)][i % R];
        let scale = |i: usize| &self.scale[i % R * S::N..];
        // Written out: a loop over indices that is not unrolled would keep the sums in memory.
        macro_rules! fours {
            ($($first:literal)*) => {$(
                if $first < P * R {
                    let sums = [sum($first), sum($first + 1), sum($first + 2), sum($first + 3)];
                    let activations = s.requant(sums, [scale(0), scale(1), scale(2), scale(3)]);
                    for at in (0..4).step_by(R) {
                        if $first + at < P * R {
                            let pixel = pixels.at(($first + at) / R, self.channel);
                            put::<S, R>(s, activations, at, self.half, pixel);
                        }
                    }
                }
            )*};
        }
        fours!(0 4 8 12 16 20 24);
    }
}

/// Writes `R` registers of activations, or `half` of the one that is left at the end of a pixel.
#[inline(always)]
fn put<S: Simd, const R: usize>(
    s: S,
    activations: S::I8,
    first: usize,
    half: bool,
    pixel: &mut [u8],
) {
    if R > 1 || !half {
        s.put(activations, first..first + R, pixel);
    } else {
        let mut register = [0; WIDEST];
        s.put(activations, first..first + 1, &mut register);
        pixel[..8].copy_from_slice(&register[..8]);
    }
}

/// All pixels of a band in tiles of `P`, then of fewer.
#[inline(always)]
fn band<S: Simd, const R: usize, const P: usize>(
    s: S,
    src: &[u8],
    inputs: usize,
    panel: &Panel<'_>,
    dst: &mut Pixels<'_>,
) {
    let src = tiles::<S, P, R>(s, src, inputs, panel, dst);
    let src = match P {
        7.. => tiles::<S, 7, R>(s, src, inputs, panel, dst),
        _ => src,
    };
    let src = tiles::<S, 2, R>(s, src, inputs, panel, dst);
    tiles::<S, 1, R>(s, src, inputs, panel, dst);
}

/// As many tiles of `P` pixels as there are in `src`; returns what is left.
#[inline(always)]
fn tiles<'s, S: Simd, const P: usize, const R: usize>(
    s: S,
    src: &'s [u8],
    inputs: usize,
    panel: &Panel<'_>,
    dst: &mut Pixels<'_>,
) -> &'s [u8] {
    let mut tiles = src.chunks_exact(P * inputs);
    for src in &mut tiles {
        tile::<S, P, R>(s, src, panel, dst);
    }
    tiles.remainder()
}

/// `P` pixels by `R` registers, all of whose sums stay in registers.
#[inline(always)]
fn tile<S: Simd, const P: usize, const R: usize>(
    s: S,
    src: &[u8],
    panel: &Panel<'_>,
    dst: &mut Pixels<'_>,
) {
    let quads = src.as_chunks::<4>().0;
    let n = quads.len() / P;
    let pixels: [&[[u8; 4]]; P] = core::array::from_fn(
        #[inline(always)]
        |p| &quads[p * n..][..n],
    );
    // Before the sums, which leave no register for it.
    let dst = dst.next();
    let sums = s.tile(pixels, panel.weights, panel.bias::<S, R>(s));
    panel.finish(s, sums, dst);
}
