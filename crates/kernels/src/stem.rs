//! The first layer: a full 3x3 convolution, two pixels apart, of one to four channels.

use crate::pack::{Packed, quads};
use crate::{Map, MapMut, Simd, pointwise};

/// Bytes of one gathered window of `channels` input channels: `9 channels`, in whole quads.
pub const fn patch_len(channels: usize) -> usize {
    4 * quads(9 * channels)
}

/// Convolves `input` 3x3, stride 2, into `out` and requantizes.
///
/// `p` holds a matrix packed by [`pack::matrix`](crate::pack::matrix) whose input `k` is channel
/// `k % channels` of tap `k / channels`. `patches` is room for one row: `out.shape().width` times
/// [`patch_len`].
pub fn stem<S: Simd>(
    s: S,
    input: Map<'_>,
    p: &Packed<'_>,
    patches: &mut [u8],
    out: &mut MapMut<'_>,
) {
    let channels = input.shape().channels;
    let patch = patch_len(channels);
    let patches = &mut patches[..out.shape().width * patch];
    for y in 0..out.shape().height {
        match channels {
            1 => gather::<3>(input, y, patches),
            2 => gather::<6>(input, y, patches),
            3 => gather::<9>(input, y, patches),
            _ => gather::<12>(input, y, patches),
        }
        pointwise(s, patches, patch, p, out, y);
    }
}

/// Copies the windows of output row `y` one after another; `RUN` bytes of three neighbouring pixels
/// are contiguous, so a window is three copies.
fn gather<const RUN: usize>(input: Map<'_>, y: usize, patches: &mut [u8]) {
    let step = 2 * RUN / 3;
    let rows = [0, 1, 2].map(|ky| input.framed_row(2 * y + ky));
    for (x, patch) in patches.chunks_exact_mut(patch_len(RUN / 3)).enumerate() {
        let (window, padding) = patch.split_at_mut(3 * RUN);
        for (to, row) in window.as_chunks_mut::<RUN>().0.iter_mut().zip(rows) {
            to.copy_from_slice(&row[x * step..][..RUN]);
        }
        padding.fill(0);
    }
}
