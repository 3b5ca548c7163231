//! The mean of a map: each channel's pixels are summed in i32 and requantized once.

use crate::{Map, Simd};

/// More zeros than any register has channels: the pixels that fill up the last four.
const ZEROS: [u8; 64] = [0; 64];
/// More ones than any register has weights.
const ONES: [i8; 256] = [1; 256];

/// Sums each channel of `input` over all pixels, times `scale`, into `dst`: one activation a channel.
///
/// A sum stays in i32 as long as the map has no more than 2²⁴ pixels (127 · 2²⁴ < 2³¹).
pub fn pool<S: Simd>(s: S, input: Map<'_>, scale: &[f32], dst: &mut [u8]) {
    s.vectorize(
        #[inline(always)]
        || {
            let channels = input.shape().channels;
            let ones = s.weights(&ONES);
            let zero = &ZEROS[..S::N];
            for channel in (0..channels).step_by(S::N) {
                let mut sum = s.bias(&[0; 64]);
                for y in 0..input.shape().height {
                    let pixel = |x: usize| &input.pixel(x, y)[channel..][..S::N];
                    let width = input.shape().width;
                    let whole = width - width % 4;
                    for x in (0..whole).step_by(4) {
                        let four = [pixel(x), pixel(x + 1), pixel(x + 2), pixel(x + 3)];
                        sum = s.dot4(sum, s.taps(four), ones);
                    }
                    for x in whole..width {
                        sum = s.dot4(sum, s.taps([pixel(x), zero, zero, zero]), ones);
                    }
                }
                let means = s.requant([sum; 4], [&scale[channel..]; 4]);
                s.put(means, 0..1, &mut dst[channel..]);
            }
        },
    );
}
