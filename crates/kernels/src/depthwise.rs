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
                let window = Window {
                    rows: core::array::from_fn(|ky| input.framed_row(y * stride + ky)),
                    pixel: channels,
                    step: stride * channels,
                };
                for channel in (0..channels).step_by(S::N) {
                    row(s, &window, channel, p, dst);
                }
            }
        },
    );
}

/// Three rows of a map, and how far apart in bytes their pixels and their windows are.
struct Window<'a> {
    rows: [&'a [u8]; 3],
    pixel: usize,
    step: usize,
}

/// One register of channels along one output row.
#[inline(always)]
fn row<S: Simd>(s: S, window: &Window<'_>, channel: usize, p: &Packed<'_>, dst: &mut [u8]) {
    let weights = &p.weights[channel * 4 * TAP_QUADS..][..S::N * 4 * TAP_QUADS];
    let weights = [
        s.weights(weights),
        s.weights(&weights[4 * S::N..]),
        s.weights(&weights[8 * S::N..]),
    ];
    let bias = s.bias(&p.bias[channel..]);
    let scale = &p.scale[channel..][..S::N];
    let zero = &ZEROS[..S::N];
    let [a, b, c] = window.rows;
    // Rows of one visible length share their bounds checks.
    let (b, c) = (&b[..a.len()], &c[..a.len()]);
    for (x, dst) in dst.chunks_exact_mut(window.pixel).enumerate() {
        let left = x * window.step + channel;
        let left = left..left + S::N;
        let centre = left.start + window.pixel..left.end + window.pixel;
        let right = centre.start + window.pixel..centre.end + window.pixel;
        let first = s.taps([
            &a[left.clone()],
            &a[centre.clone()],
            &a[right.clone()],
            &b[left.clone()],
        ]);
        let second = s.taps([&b[centre.clone()], &b[right.clone()], &c[left], &c[centre]]);
        let third = s.taps([&c[right], zero, zero, zero]);
        let sum = s.dot4(s.dot4(bias, first, weights[0]), second, weights[1]);
        let sum = s.dot4(sum, third, weights[2]);
        s.requant(sum, scale, &mut dst[channel..][..S::N]);
    }
}
