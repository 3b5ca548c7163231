//! The first layer: a full 3x3 convolution, two pixels apart, of one to four channels.

use core::ops::Range;

use crate::map::Pixels;
use crate::pack::{PANEL, Packed, panels};
use crate::pointwise::Panel;
use crate::{Map, MapMut, Simd};

/// Quads that hold one row of a window of `channels` input channels: `3 channels` bytes and zeros.
const fn row_quads(channels: usize) -> usize {
    (3 * channels).div_ceil(4)
}

/// Inputs of the matrix that [`stem`] takes for `channels` input channels.
pub const fn stem_inputs(channels: usize) -> usize {
    3 * 4 * row_quads(channels)
}

/// The tap `3 ky + kx` and the channel that input `k` of that matrix stands for; none for a filling zero.
pub const fn stem_input(channels: usize, k: usize) -> Option<(usize, usize)> {
    let row = 4 * row_quads(channels);
    let (ky, byte) = (k / row, k % row);
    if byte < 3 * channels {
        Some((3 * ky + byte / channels, byte % channels))
    } else {
        None
    }
}

/// Convolves `input` 3x3, stride 2, into `rows` of `out` and requantizes. `input` is laid out for windows one
/// pixel apart: three neighbouring pixels of a row lie together.
///
/// `p` holds a matrix packed by [`pack::matrix`](crate::pack::matrix) whose inputs are those that
/// [`stem_input`] names.
pub fn stem<S: Simd>(
    s: S,
    input: Map<'_>,
    rows: Range<usize>,
    p: &Packed<'_>,
    out: &mut MapMut<'_>,
) {
    match input.shape().channels {
        1 => layer::<S, 1>(s, input, rows, p, out),
        2 => layer::<S, 2>(s, input, rows, p, out),
        3 => layer::<S, 3>(s, input, rows, p, out),
        _ => layer::<S, 4>(s, input, rows, p, out),
    }
}

fn layer<S: Simd, const C: usize>(
    s: S,
    input: Map<'_>,
    rows: Range<usize>,
    p: &Packed<'_>,
    out: &mut MapMut<'_>,
) {
    s.vectorize(
        #[inline(always)]
        || {
            let outputs = out.shape().channels;
            for (channel, registers) in panels(outputs, S::N) {
                let panel = Panel::new::<S>(p, stem_inputs(C), outputs, (channel, registers));
                // Few pixels, so that their sums and all weights of a window stay in registers.
                match registers {
                    PANEL => panel_of::<S, PANEL, 4, C>(s, input, rows.clone(), &panel, out),
                    _ => panel_of::<S, 1, 8, C>(s, input, rows.clone(), &panel, out),
                }
            }
        },
    );
}

#[inline(always)]
fn panel_of<S: Simd, const R: usize, const P: usize, const C: usize>(
    s: S,
    input: Map<'_>,
    rows: Range<usize>,
    panel: &Panel<'_>,
    out: &mut MapMut<'_>,
) {
    let shape = out.shape();
    for y in rows {
        let window = [0, 1, 2].map(|ky| input.framed_row(2 * y + ky));
        let mut dst = out.pixels(y);
        let mut x = 0;
        // The zeros that fill a quad up may lie behind the last pixel of a row.
        let whole = (window[0].len() + 2 * C - 4 * row_quads(C)) / (2 * C);
        let whole = whole.min(shape.width);
        while x + P <= whole {
            tile::<S, P, R, C>(s, window, x, panel, &mut dst);
            x += P;
        }
        while x + 4 <= whole {
            tile::<S, 4, R, C>(s, window, x, panel, &mut dst);
            x += 4;
        }
        while x < whole {
            tile::<S, 1, R, C>(s, window, x, panel, &mut dst);
            x += 1;
        }
        if x < shape.width {
            let mut filled = [[0; 4 * row_quads(4)]; 3];
            for (filled, row) in filled.iter_mut().zip(window) {
                filled[..3 * C].copy_from_slice(&row[2 * C * x..][..3 * C]);
            }
            let [a, b, c] = &filled;
            tile::<S, 1, R, C>(s, [a, b, c], 0, panel, &mut dst);
        }
    }
}

/// `P` pixels from pixel `x` of a row on, by `R` registers.
#[inline(always)]
fn tile<S: Simd, const P: usize, const R: usize, const C: usize>(
    s: S,
    window: [&[u8]; 3],
    x: usize,
    panel: &Panel<'_>,
    dst: &mut Pixels<'_>,
) {
    let dst = dst.next();
    let mut sums = [panel.bias::<S, R>(s); P];
    let mut weights = panel.weights.chunks_exact(R * 4 * S::N);
    for row in window {
        let row = &row[2 * C * x..][..2 * C * (P - 1) + 4 * row_quads(C)];
        for quad in 0..row_quads(C) {
            // The panel has some for every quad.
            let Some(weights) = weights.next() else {
                return;
            };
            let mut registers = [s.weights(weights); R];
            for (r, register) in registers.iter_mut().enumerate() {
                *register = s.weights(&weights[r * 4 * S::N..]);
            }
            for (p, sums) in sums.iter_mut().enumerate() {
                // One load: byte by byte the compiler makes shuffles of windows that overlap.
                let mut taps = [0; 4];
                taps.copy_from_slice(&row[2 * C * p + 4 * quad..][..4]);
                let quad = s.quad(taps);
                for (sum, weights) in sums.iter_mut().zip(registers) {
                    *sum = s.dot4(*sum, quad, weights);
                }
            }
        }
    }
    panel.finish(s, sums, dst);
}
