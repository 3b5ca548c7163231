//! Weights in the order in which the loops read them.
//!
//! Outputs are taken [`PANEL`] registers at a time: such a *panel* stays in the first cache while all
//! pixels of a band pass. For each `depth` inputs, four or eight, a panel holds
//! `[register][lane][depth]`, so that the innermost loop reads memory straight on; a quad that is
//! left over is `[register][lane][4]`. What is left at the end makes panels of one.

/// Registers of output channels that one pass over the pixels makes.
pub const PANEL: usize = 2;

/// One layer's numbers, padded to whole registers.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'p> {
    /// Weights as [`matrix`] or [`depthwise`] orders them.
    pub weights: &'p [i8],
    /// One start value an output channel; for a depthwise layer as [`repeat`] puts them.
    pub bias: &'p [i32],
    /// One finite, positive factor an output channel; likewise.
    pub scale: &'p [f32],
}

/// `channels` rounded up to whole registers of `lanes`.
pub const fn padded(channels: usize, lanes: usize) -> usize {
    channels.next_multiple_of(lanes)
}

/// Inputs of a matrix rounded up to whole quads.
pub const fn quads(inputs: usize) -> usize {
    inputs.div_ceil(4)
}

/// The first channel and the registers of each panel; a register that outputs fill in part is one of
/// its own.
pub(crate) fn panels(outputs: usize, lanes: usize) -> impl Iterator<Item = (usize, usize)> {
    let whole = outputs - outputs % (PANEL * lanes);
    let panels = (0..whole)
        .step_by(PANEL * lanes)
        .map(|first| (first, PANEL));
    panels.chain((whole..outputs).step_by(lanes).map(|first| (first, 1)))
}

/// Bytes that [`matrix`] fills.
pub const fn matrix_len(inputs: usize, outputs: usize, lanes: usize) -> usize {
    4 * quads(inputs) * padded(outputs, lanes)
}

/// Channels that one step of [`depthwise`](crate::depthwise) makes: four registers.
pub const fn step(lanes: usize) -> usize {
    4 * lanes
}

/// Channels that [`depthwise`] packs: rows of pixels lie without gaps, and steps cut them anywhere, so the
/// `channels` are repeated until they make whole steps.
pub const fn repeated(channels: usize, lanes: usize) -> usize {
    let (mut a, mut b) = (channels, step(lanes));
    while b != 0 {
        (a, b) = (b, a % b);
    }
    channels * (step(lanes) / a)
}

/// Bytes that [`depthwise`] fills: three columns of three taps and a zero a channel.
pub const fn depthwise_len(channels: usize, lanes: usize) -> usize {
    12 * repeated(channels, lanes)
}

/// Packs a matrix for [`pointwise`](crate::pointwise) or [`stem`](crate::stem): `weight(o, k)` is
/// the weight of input `k` for output `o`; whatever lies outside `outputs` and `inputs` becomes zero.
/// `lanes` are the level's, and so is `depth` for the pointwise convolution; the stem takes quads.
pub fn matrix(
    inputs: usize,
    outputs: usize,
    [lanes, depth]: [usize; 2],
    weight: impl Fn(usize, usize) -> i8,
    dst: &mut [i8],
) {
    let mut dst = dst.iter_mut();
    for (first, registers) in panels(outputs, lanes) {
        let panel = first..first + registers * lanes;
        let whole = 4 * quads(inputs) / depth * depth;
        let deep = (0..whole).step_by(depth).map(|k| k..k + depth);
        let rest = (whole..4 * quads(inputs)).step_by(4).map(|k| k..k + 4);
        for step in deep.chain(rest) {
            for output in panel.clone() {
                for input in step.clone() {
                    let inside = output < outputs && input < inputs;
                    if let Some(dst) = dst.next() {
                        *dst = if inside { weight(output, input) } else { 0 };
                    }
                }
            }
        }
    }
}

/// Packs 3x3 windows for [`depthwise`](crate::depthwise): `weight(c, tap)` is the weight of
/// `tap = 3 ky + kx` for channel `c`. Of a step, `kx` after `kx`, weight `ky` of channel `n` lies at
/// `place(n, ky)`.
pub fn depthwise(
    channels: usize,
    lanes: usize,
    place: impl Fn(usize, usize) -> usize,
    weight: impl Fn(usize, usize) -> i8,
    dst: &mut [i8],
) {
    let step = step(lanes);
    for (first, dst) in (0..).step_by(step).zip(dst.chunks_exact_mut(12 * step)) {
        for n in 0..step {
            let channel = (first + n) % channels;
            for kx in 0..3 {
                let column = &mut dst[4 * kx * step..][..4 * step];
                for ky in 0..4 {
                    column[place(n, ky)] = match ky {
                        0..3 => weight(channel, 3 * ky + kx),
                        _ => 0,
                    };
                }
            }
        }
    }
}

/// Puts the numbers of all channels where [`depthwise`](crate::depthwise) reads them.
pub fn repeat<T: Copy>(
    lanes: usize,
    place: impl Fn(usize) -> usize,
    number: impl Fn(usize) -> T,
    channels: usize,
    dst: &mut [T],
) {
    for (first, dst) in (0..)
        .step_by(step(lanes))
        .zip(dst.chunks_exact_mut(step(lanes)))
    {
        for n in 0..dst.len() {
            dst[place(n)] = number((first + n) % channels);
        }
    }
}
