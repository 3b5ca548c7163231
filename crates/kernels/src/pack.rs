//! Weights in the order in which the loops read them.
//!
//! Outputs are taken [`PANEL`] registers at a time: such a *panel* stays in the first cache while all
//! pixels of a band pass. For each `depth` inputs, four or eight, a panel holds
//! `[register][lane][depth]`, so that the innermost loop reads memory straight on; a quad that is
//! left over is `[register][lane][4]`. An odd register at the end makes a panel of one.

/// Registers of output channels that one pass over the pixels makes.
pub const PANEL: usize = 2;

/// Quads of taps in a 3x3 window: nine taps and three that are zero.
pub const TAP_QUADS: usize = 3;

/// One layer's numbers, padded to whole registers.
#[derive(Clone, Copy, Debug)]
pub struct Packed<'p> {
    /// Weights as [`matrix`] or [`depthwise`] orders them.
    pub weights: &'p [i8],
    /// One start value an output channel.
    pub bias: &'p [i32],
    /// One finite, positive factor an output channel.
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

/// Bytes that [`matrix`] fills.
pub const fn matrix_len(inputs: usize, outputs: usize, lanes: usize) -> usize {
    4 * quads(inputs) * padded(outputs, lanes)
}

/// Bytes that [`depthwise`] fills.
pub const fn depthwise_len(channels: usize, lanes: usize) -> usize {
    4 * TAP_QUADS * padded(channels, lanes)
}

/// Packs a matrix for [`pointwise`](crate::pointwise) or [`stem`](crate::stem): `weight(o, k)` is
/// the weight of input `k` for output `o`; whatever lies outside `outputs` and `inputs` becomes zero.
/// `lanes` and `depth` are the level's.
pub fn matrix(
    inputs: usize,
    outputs: usize,
    lanes: usize,
    depth: usize,
    weight: impl Fn(usize, usize) -> i8,
    dst: &mut [i8],
) {
    let registers = padded(outputs, lanes) / lanes;
    let mut dst = dst.iter_mut();
    for panel in (0..registers).step_by(PANEL) {
        let panel = panel * lanes..(panel + PANEL).min(registers) * lanes;
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
/// `tap = 3 ky + kx` for channel `c`.
pub fn depthwise(
    channels: usize,
    lanes: usize,
    weight: impl Fn(usize, usize) -> i8,
    dst: &mut [i8],
) {
    let mut dst = dst.iter_mut();
    for register in (0..padded(channels, lanes)).step_by(lanes) {
        for quad in 0..TAP_QUADS {
            for channel in register..register + lanes {
                for tap in 4 * quad..4 * quad + 4 {
                    let inside = channel < channels && tap < 9;
                    if let Some(dst) = dst.next() {
                        *dst = if inside { weight(channel, tap) } else { 0 };
                    }
                }
            }
        }
    }
}
