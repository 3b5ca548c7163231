//! The 3x3 convolution of each channel with its own window.

use core::ops::Range;

use crate::pack::{Packed, repeated, step};
use crate::simd::WIDEST;
use crate::{Map, Simd};

/// Bytes of the widest step.
const WIDEST_STEP: usize = step(WIDEST);

/// Convolves `input` 3x3 into `dst` and requantizes: output rows `rows` of
/// `input.shape().strided(input.stride(), channels)`, one after another without a frame.
///
/// A row is a row of bytes, whichever pixels they belong to: [`step`] of them are made at a time, and
/// `p` was packed accordingly by [`pack::depthwise`](crate::pack::depthwise) and
/// [`pack::repeat`](crate::pack::repeat).
pub fn depthwise<S: Simd>(
    s: S,
    input: Map<'_>,
    rows: Range<usize>,
    p: &Packed<'_>,
    dst: &mut [u8],
) {
    s.vectorize(
        #[inline(always)]
        || {
            let channels = input.shape().channels;
            let width = input.shape().strided(input.stride(), channels).width;
            let period = repeated(channels, S::N);
            for (y, dst) in rows.zip(dst.chunks_exact_mut(width * channels)) {
                let [a, b, c] = [0, 1, 2].map(|ky| input.taps(y * input.stride() + ky));
                // The same tap of three rows makes a column.
                let window = [0, 1, 2].map(|kx| Column([a[kx], b[kx], c[kx]]));
                for first in (0..period).step_by(step(S::N)) {
                    let weights = Weights::<S>::new(s, p, first);
                    if input.stride() == 1 && period == channels {
                        along(s, &window, &weights, first, period, dst);
                    } else {
                        across(s, &window, &weights, first, period, dst);
                    }
                }
            }
        },
    );
}

/// One tap of three rows, for all windows of a row one after another.
#[derive(Clone, Copy)]
struct Column<'a>([&'a [u8]; 3]);

impl Column<'_> {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, at: usize) -> [S::I8; 4] {
        let [a, b, c] = self.0;
        let end = at + step(S::N);
        s.columns([&a[at..end], &b[at..end], &c[at..end]])
    }
}

/// The numbers of one step.
struct Weights<'p, S: Simd> {
    columns: [[S::I8; 4]; 3],
    bias: &'p [i32],
    scale: &'p [f32],
}

impl<'p, S: Simd> Weights<'p, S> {
    #[inline(always)]
    fn new(s: S, p: &Packed<'p>, first: usize) -> Self {
        let weights = &p.weights[12 * first..][..12 * step(S::N)];
        let mut columns = [[s.weights(weights); 4]; 3];
        for (i, to) in columns.as_flattened_mut().iter_mut().enumerate() {
            *to = s.weights(&weights[i * 4 * S::N..]);
        }
        Weights {
            columns,
            bias: &p.bias[first..][..step(S::N)],
            scale: &p.scale[first..][..step(S::N)],
        }
    }

    #[inline(always)]
    fn convolve(&self, s: S, window: [[S::I8; 4]; 3], dst: &mut [u8]) {
        let mut sums = [s.bias(self.bias); 4];
        for (r, sum) in sums.iter_mut().enumerate() {
            *sum = s.bias(&self.bias[r * S::N..]);
        }
        let sums = s.convolve(sums, window, &self.columns);
        s.requant_columns(sums, self.scale, dst);
    }
}

/// Every `period` bytes from `first` on, where that is the next pixel: two columns of a window are those
/// of the next one.
#[inline(always)]
fn along<S: Simd>(
    s: S,
    window: &[Column<'_>; 3],
    weights: &Weights<'_, S>,
    first: usize,
    period: usize,
    dst: &mut [u8],
) {
    let mut left = window[0].at(s, first);
    let mut centre = window[1].at(s, first);
    for at in (first..dst.len()).step_by(period) {
        let right = window[2].at(s, at);
        weights.convolve(s, [left, centre, right], &mut dst[at..][..step(S::N)]);
        (left, centre) = (centre, right);
    }
}

/// Every `period` bytes from `first` on.
#[inline(always)]
fn across<S: Simd>(
    s: S,
    window: &[Column<'_>; 3],
    weights: &Weights<'_, S>,
    first: usize,
    period: usize,
    dst: &mut [u8],
) {
    for at in (first..dst.len()).step_by(period) {
        let left = dst.len() - at;
        if left >= step(S::N) {
            let window = [
                window[0].at(s, at),
                window[1].at(s, at),
                window[2].at(s, at),
            ];
            weights.convolve(s, window, &mut dst[at..][..step(S::N)]);
        } else {
            end(s, window, weights, &mut dst[at..], at);
        }
    }
}

/// The end of a row, less than a step: the last bytes of its taps, filled up with zeros.
#[inline(never)]
fn end<S: Simd>(
    s: S,
    window: &[Column<'_>; 3],
    weights: &Weights<'_, S>,
    dst: &mut [u8],
    at: usize,
) {
    let taps = window.map(|Column(rows)| {
        rows.map(|row| {
            let mut filled = [0; WIDEST_STEP];
            filled[..dst.len()].copy_from_slice(&row[at..][..dst.len()]);
            filled
        })
    });
    let mut out = [0; WIDEST_STEP];
    s.vectorize(
        #[inline(always)]
        || {
            let column = |kx: usize| Column([&taps[kx][0], &taps[kx][1], &taps[kx][2]]);
            let window = [column(0).at(s, 0), column(1).at(s, 0), column(2).at(s, 0)];
            weights.convolve(s, window, &mut out[..step(S::N)]);
        },
    );
    dst.copy_from_slice(&out[..dst.len()]);
}
