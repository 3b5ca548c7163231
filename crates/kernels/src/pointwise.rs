//! The 1x1 convolution: a matrix times a row of pixels, in tiles of pixels by registers.

use crate::pack::{PANEL, Packed};
use crate::{MapMut, Simd};

/// Pixels of a tile. Four by two registers are eight sums, two weights and an activation: they fit the
/// sixteen registers of AVX2.
const PIXELS: usize = 4;

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
    channels: usize,
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
    let shape = out.shape();
    let panel = Panel {
        weights: &p.weights[channel * inputs..][..R * S::N * inputs],
        bias: &p.bias[channel..][..R * S::N],
        scale: &p.scale[channel..][..R * S::N],
        channel,
        channels: shape.channels,
    };
    for (y, row) in src.chunks_exact(shape.width * inputs).enumerate() {
        let dst = out.row(first + y);
        let mut pixels = row.chunks_exact(PIXELS * inputs);
        let mut x = 0;
        for src in &mut pixels {
            tile::<S, PIXELS, R>(s, src, &panel, &mut dst[x * shape.channels..]);
            x += PIXELS;
        }
        let (src, dst) = (pixels.remainder(), &mut dst[x * shape.channels..]);
        match shape.width - x {
            3 => tile::<S, 3, R>(s, src, &panel, dst),
            2 => tile::<S, 2, R>(s, src, &panel, dst),
            1 => tile::<S, 1, R>(s, src, &panel, dst),
            _ => {}
        }
    }
}

/// `P` pixels by `R` registers, all of whose sums stay in registers.
#[inline(always)]
fn tile<S: Simd, const P: usize, const R: usize>(
    s: S,
    src: &[u8],
    panel: &Panel<'_>,
    dst: &mut [u8],
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
    let sums = s.tile(pixels, panel.weights, bias);
    for p in 0..P {
        let pixel = &mut dst[p * panel.channels + panel.channel..][..R * S::N];
        for r in 0..R {
            s.requant(sums[p][r], &panel.scale[r * S::N..], &mut pixel[r * S::N..]);
        }
    }
}
