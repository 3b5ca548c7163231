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
/// [`pack::repeat`](crate::pack::repeat). Where windows are one pixel apart two rows are made at once: a
/// column of four rows holds the taps of both.
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
            let row = input.shape().strided(input.stride(), channels).width * channels;
            let layer = Layer { input, p, row };
            let mut rest = rows;
            if input.stride() == 1 {
                for dst in dst.chunks_exact_mut(2 * row) {
                    let (upper, lower) = dst.split_at_mut(row);
                    layer.rows(s, rest.start, [upper, lower]);
                    rest.start += 2;
                }
            }
            let done = dst.len() - rest.len() * row;
            for (y, dst) in rest.zip(dst[done..].chunks_exact_mut(row)) {
                layer.rows(s, y, [dst]);
            }
        },
    );
}

struct Layer<'l> {
    input: Map<'l>,
    p: &'l Packed<'l>,
    /// Bytes of a row out.
    row: usize,
}

impl Layer<'_> {
    /// Makes output rows `y..y + ROWS`.
    #[inline(always)]
    fn rows<S: Simd, const ROWS: usize>(&self, s: S, y: usize, mut dst: [&mut [u8]; ROWS]) {
        let input = self.input;
        let taps = |ky| input.taps(y * input.stride() + ky);
        let [a, b, c] = [0, 1, 2].map(taps);
        // The window of a single row does not use the fourth: its weights there are 0.
        let d = if ROWS == 1 { c } else { taps(3) };
        let window = [0, 1, 2].map(|kx| Column([a, b, c, d].map(|taps| &taps[kx][..self.row])));
        let channels = input.shape().channels;
        let period = repeated(channels, S::N);
        for first in (0..period).step_by(step(S::N)) {
            let steps = first..self.row;
            // How many of a window's columns are those of the one a period on.
            match (input.stride(), [period == channels, period == 2 * channels]) {
                (1, [true, _]) => along::<S, ROWS, 2>(s, &window, self.p, steps, period, &mut dst),
                (1, [_, true]) | (2, [true, _]) => {
                    along::<S, ROWS, 1>(s, &window, self.p, steps, period, &mut dst)
                }
                _ => along::<S, ROWS, 0>(s, &window, self.p, steps, period, &mut dst),
            }
        }
    }
}

/// One tap of four rows, for all windows of a row one after another.
#[derive(Clone, Copy)]
struct Column<'a>([&'a [u8]; 4]);

impl Column<'_> {
    #[inline(always)]
    fn at<S: Simd>(self, s: S, at: usize) -> [S::I8; 4] {
        s.columns(self.0.map(
            #[inline(always)]
            |row| &row[at..at + step(S::N)],
        ))
    }
}

/// The numbers of one step.
struct Weights<'p, S: Simd> {
    /// Of the first row.
    columns: [[S::I8; 4]; 3],
    /// Of the row below.
    lower: [[S::I8; 4]; 3],
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
        let [left, centre, right] = columns;
        Weights {
            columns,
            lower: [s.lower(left), s.lower(centre), s.lower(right)],
            bias: &p.bias[first..][..step(S::N)],
            scale: &p.scale[first..][..step(S::N)],
        }
    }

    /// The next step of each of `dst`, from `at` on.
    #[inline(always)]
    fn convolve<const ROWS: usize>(
        &self,
        s: S,
        window: [[S::I8; 4]; 3],
        dst: &mut [&mut [u8]; ROWS],
        at: usize,
    ) {
        let mut bias = [s.bias(self.bias); 4];
        for (r, bias) in bias.iter_mut().enumerate() {
            *bias = s.bias(&self.bias[r * S::N..]);
        }
        for (row, dst) in dst.iter_mut().enumerate() {
            let sums = match row {
                0 => s.convolve::<0>(bias, window, &self.columns),
                _ => s.convolve::<1>(bias, window, &self.lower),
            };
            s.put(s.requant_columns(sums, self.scale), 0..4, &mut dst[at..]);
        }
    }
}

/// Every `period` bytes of a row. The last `KEPT` columns of a window are the first of the next.
#[inline(always)]
fn along<S: Simd, const ROWS: usize, const KEPT: usize>(
    s: S,
    window: &[Column<'_>; 3],
    p: &Packed<'_>,
    steps: Range<usize>,
    period: usize,
    dst: &mut [&mut [u8]; ROWS],
) {
    let (first, end_of_row) = (steps.start, steps.end);
    let weights = Weights::<S>::new(s, p, first);
    let mut columns = [[s.weights(&[0; 4 * WIDEST]); 4]; 3];
    if first + step(S::N) <= end_of_row {
        let [left, centre, _] = window;
        columns = match KEPT {
            0 => columns,
            1 => [columns[0], columns[1], left.at(s, first)],
            _ => [columns[0], left.at(s, first), centre.at(s, first)],
        };
    }
    for at in steps.step_by(period) {
        if end_of_row - at < step(S::N) {
            return end(s, window, p, first, dst, at);
        }
        let [left, centre, right] = window;
        columns = match KEPT {
            0 => [left.at(s, at), centre.at(s, at), right.at(s, at)],
            1 => [columns[2], centre.at(s, at), right.at(s, at)],
            _ => [columns[1], columns[2], right.at(s, at)],
        };
        weights.convolve(s, columns, dst, at);
    }
}

/// The end of a row, less than a step: the last bytes of its taps, filled up with zeros.
#[inline(never)]
fn end<S: Simd, const ROWS: usize>(
    s: S,
    window: &[Column<'_>; 3],
    p: &Packed<'_>,
    first: usize,
    dst: &mut [&mut [u8]; ROWS],
    at: usize,
) {
    let left = dst[0].len() - at;
    let taps = window.map(|Column(rows)| {
        rows.map(|row| {
            let mut filled = [0; WIDEST_STEP];
            filled[..left].copy_from_slice(&row[at..]);
            filled
        })
    });
    let mut out = [[0; WIDEST_STEP]; ROWS];
    s.vectorize(
        #[inline(always)]
        || {
            let column = |kx: usize| Column([0, 1, 2, 3].map(|ky| &taps[kx][ky][..]));
            let window = [column(0).at(s, 0), column(1).at(s, 0), column(2).at(s, 0)];
            let weights = Weights::<S>::new(s, p, first);
            weights.convolve(s, window, &mut out.each_mut().map(|row| &mut row[..]), 0);
        },
    );
    for (dst, out) in dst.iter_mut().zip(out) {
        dst[at..].copy_from_slice(&out[..left]);
    }
}
