//! The 3x3 convolution of each channel with its own window.

use core::ops::Range;

use crate::pack::{Packed, TAP_QUADS};
use crate::{Map, Simd};

/// More zeros than any register has channels: the taps that pad nine to twelve.
const ZEROS: [u8; 64] = [0; 64];

/// Convolves `input` 3x3 into `dst` and requantizes: output rows `rows` of
/// `input.shape().strided(stride, channels)`, one after another without a frame.
///
/// `p` was packed by [`pack::depthwise`](crate::pack::depthwise).
pub fn depthwise<S: Simd>(
    s: S,
    input: Map<'_>,
    stride: usize,
    rows: Range<usize>,
    p: &Packed<'_>,
    dst: &mut [u8],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let channels = input.shape().channels;
            let width = input.shape().strided(stride, channels).width;
            for (y, dst) in rows.zip(dst.chunks_exact_mut(width * channels)) {
                let window = [0, 1, 2].map(|ky| input.framed_row(y * stride + ky));
                for channel in (0..channels).step_by(S::N) {
                    row(s, window, stride * channels, channels, channel, p, dst);
                }
            }
        },
    );
}

/// One register of channels along one output row; `step` bytes lie between two windows.
#[inline(always)]
fn row<S: Simd>(
    s: S,
    window: [&[u8]; 3],
    step: usize,
    channels: usize,
    channel: usize,
    p: &Packed<'_>,
    dst: &mut [u8],
) {
    let weights = &p.weights[channel * 4 * TAP_QUADS..][..S::N * 4 * TAP_QUADS];
    let weights = [0, 1, 2].map(
        #[inline(always)]
        |quad| s.weights(&weights[quad * 4 * S::N..]),
    );
    let bias = s.bias(&p.bias[channel..]);
    let scale = &p.scale[channel..][..S::N];
    let zero = &ZEROS[..S::N];
    for (x, dst) in dst.chunks_exact_mut(channels).enumerate() {
        let [a, b, c] = window.map(
            #[inline(always)]
            |row| {
                let row = &row[x * step + channel..][..2 * channels + S::N];
                [&row[..S::N], &row[channels..][..S::N], &row[2 * channels..]]
            },
        );
        let mut sum = s.dot4(bias, s.taps([a[0], a[1], a[2], b[0]]), weights[0]);
        sum = s.dot4(sum, s.taps([b[1], b[2], c[0], c[1]]), weights[1]);
        sum = s.dot4(sum, s.taps([c[2], zero, zero, zero]), weights[2]);
        s.requant(sum, scale, &mut dst[channel..][..S::N]);
    }
}
