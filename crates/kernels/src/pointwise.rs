//! The 1x1 convolution: a matrix times the pixels of a band, in tiles of pixels by registers.

use crate::map::Pixels;
use crate::pack::{PANEL, Packed};
use crate::{MapMut, Simd};

/// Convolves `src` into rows `first..` of `out` and requantizes.
///
/// `src` holds whole rows of `out.shape().width` pixels, `inputs` bytes each without a frame;
/// `inputs` is a multiple of 4, as [`pack::matrix`](crate::pack::matrix) packed them.
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
            let whole = outputs - outputs % (PANEL * S::N);
            for channel in (0..whole).step_by(PANEL * S::N) {
                panel::<S, PANEL>(s, src, inputs, p, channel, out, first);
            }
            for channel in (whole..outputs).step_by(S::N) {
                panel::<S, 1>(s, src, inputs, p, channel, out, first);
            }
        },
    );
}

/// One layer's numbers for `R` registers of channels, and where those lie in a pixel.
struct Panel<'p> {
    weights: &'p [i8],
    bias: &'p [i32],
    scale: &'p [f32],
    channel: usize,
}

#[inline(always)]
fn panel<S: Simd, const R: usize>(
    s: S,
    src: &[u8],
    inputs: usize,
    p: &Packed<'_>,
    channel: usize,
    out: &mut MapMut<'_>,
    first: usize,
) {
    let panel = Panel {
        weights: &p.weights[channel * inputs..][..R * S::N * inputs],
        bias: &p.bias[channel..][..R * S::N],
        scale: &p.scale[channel..][..R * S::N],
        channel,
    };
    let mut dst = out.pixels(first);
    // Sums of a tile fill the registers: what is left of them holds its weights and one activation.
    let src = match S::REGISTERS {
        32.. => tiles::<S, 14, R>(s, src, inputs, &panel, &mut dst),
        _ => tiles::<S, 4, R>(s, src, inputs, &panel, &mut dst),
    };
    let src = match S::REGISTERS {
        32.. => tiles::<S, 7, R>(s, src, inputs, &panel, &mut dst),
        _ => src,
    };
    let src = tiles::<S, 2, R>(s, src, inputs, &panel, &mut dst);
    tiles::<S, 1, R>(s, src, inputs, &panel, &mut dst);
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
    let bias: [S::I32; R] = core::array::from_fn(
        #[inline(always)]
        |r| s.bias(&panel.bias[r * S::N..]),
    );
    let mut sums = [bias; P];
    for (k, weights) in (0..n).zip(panel.weights.chunks_exact(R * 4 * S::N)) {
        let weights: [S::I8; R] = core::array::from_fn(
            #[inline(always)]
            |r| s.weights(&weights[r * 4 * S::N..]),
        );
        for p in 0..P {
            let quad = s.quad(pixels[p][k]);
            for r in 0..R {
                sums[p][r] = s.dot4(sums[p][r], quad, weights[r]);
            }
        }
    }
    for sums in sums {
        let pixel = &mut dst.next()[panel.channel..][..R * S::N];
        for r in 0..R {
            s.requant(sums[r], &panel.scale[r * S::N..], &mut pixel[r * S::N..]);
        }
    }
}
