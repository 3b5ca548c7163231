//! The 1x1 convolution: a matrix times the pixels of a band, in tiles of pixels by registers.

use crate::map::Pixels;
use crate::pack::{PANEL, Packed, panels};
use crate::simd::WIDEST;
use crate::{MapMut, Simd};

/// Convolves `src` into rows `first..` of `out` and requantizes.
///
/// `src` holds whole rows of `out.shape().width` pixels, `inputs` bytes each without a frame;
/// `inputs` is a multiple of 4, as [`pack::matrix`](crate::pack::matrix) packed them. The channels of
/// `out` are a multiple of 8; registers reach beyond them where they are no multiple of [`Simd::N`].
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
            for (channel, registers) in panels(out.shape().channels, S::N) {
                let panel = Panel::new::<S>(p, inputs, channel, registers);
                let mut dst = out.pixels(first);
                match (registers, S::SUMS) {
                    (PANEL, 28..) => band::<S, PANEL, 14>(s, src, inputs, &panel, &mut dst),
                    (PANEL, _) => band::<S, PANEL, 4>(s, src, inputs, &panel, &mut dst),
                    (_, 28..) => band::<S, 1, 16>(s, src, inputs, &panel, &mut dst),
                    (_, _) => band::<S, 1, 8>(s, src, inputs, &panel, &mut dst),
                }
            }
        },
    );
}

/// One layer's numbers for a panel of channels, and where those lie in a pixel.
pub(crate) struct Panel<'p> {
    pub weights: &'p [i8],
    bias: &'p [i32],
    scale: &'p [f32],
    channel: usize,
}

impl<'p> Panel<'p> {
    pub fn new<S: Simd>(p: &Packed<'p>, inputs: usize, channel: usize, registers: usize) -> Self {
        let channels = registers * S::N;
        Panel {
            weights: &p.weights[channel * inputs..][..channels * inputs],
            bias: &p.bias[channel..][..channels],
            scale: &p.scale[channel..][..channels],
            channel,
        }
    }

    /// The sums of a pixel before the first product.
    #[inline(always)]
    pub fn bias<S: Simd, const R: usize>(&self, s: S) -> [S::I32; R] {
        let mut bias = [s.bias(self.bias); R];
        for (r, bias) in bias.iter_mut().enumerate() {
            *bias = s.bias(&self.bias[r * S::N..]);
        }
        bias
    }

    /// Requantizes the sums of the next `P` pixels.
    #[inline(always)]
    pub fn finish<S: Simd, const P: usize, const R: usize>(
        &self,
        s: S,
        sums: [[S::I32; R]; P],
        dst: &mut Pixels<'_>,
    ) {
        if R == 1 && P.is_multiple_of(4) {
            const { assert!(P <= 16 || P == 28) };
            // Written out: a loop over indices that is not unrolled would keep the sums in memory.
            macro_rules! fours {
                ($($p:literal)*) => {$(
                    if $p < P {
                        let [a, b, c, d] = [$p, $p + 1, $p + 2, $p + 3];
                        self.four(s, [sums[a][0], sums[b][0], sums[c][0], sums[d][0]], dst);
                    }
                )*};
            }
            fours!(0 4 8 12 16 20 24);
            return;
        }
        for sums in sums {
            let pixel = &mut dst.next()[self.channel..];
            for (r, sum) in sums.into_iter().enumerate() {
                let mut bytes = [0; WIDEST];
                s.requant(sum, &self.scale[r * S::N..], &mut bytes);
                store::<S>(&bytes, &mut pixel[r * S::N..]);
            }
        }
    }

    /// Requantizes one register of four pixels.
    #[inline(always)]
    fn four<S: Simd>(&self, s: S, sums: [S::I32; 4], dst: &mut Pixels<'_>) {
        let mut bytes = [0; 4 * WIDEST];
        s.requant4(sums, [self.scale; 4], &mut bytes);
        for pixel in 0..4 {
            store::<S>(&bytes[pixel * S::N..], &mut dst.next()[self.channel..]);
        }
    }
}

/// Writes a register of activations, or half of one at the end of a pixel.
#[inline(always)]
fn store<S: Simd>(bytes: &[u8], pixel: &mut [u8]) {
    if pixel.len() >= S::N {
        pixel[..S::N].copy_from_slice(&bytes[..S::N]);
    } else {
        pixel[..8].copy_from_slice(&bytes[..8]);
    }
}

/// All pixels of a band in tiles of `P`, then of fewer.
#[inline(always)]
fn band<S: Simd, const R: usize, const P: usize>(
    s: S,
    src: &[u8],
    inputs: usize,
    panel: &Panel<'_>,
    dst: &mut Pixels<'_>,
) {
    let src = tiles::<S, P, R>(s, src, inputs, panel, dst);
    let src = match P {
        7.. => tiles::<S, 7, R>(s, src, inputs, panel, dst),
        _ => src,
    };
    let src = tiles::<S, 2, R>(s, src, inputs, panel, dst);
    tiles::<S, 1, R>(s, src, inputs, panel, dst);
}

/// As many tiles of `P` pixels as there are in `src`; returns what is left.
#[inline(always)]
fn tiles<'s, S: Simd, const P: usize, const R: usize>(
    s: S,
    src: &'s [u8],
    inputs: usize,
    panel: &Panel<'_>,
    dst: &mut Pixels<'_>,
) -> &'s [u8] {
    let mut tiles = src.chunks_exact(P * inputs);
    for src in &mut tiles {
        tile::<S, P, R>(s, src, panel, dst);
    }
    tiles.remainder()
}

/// `P` pixels by `R` registers, all of whose sums stay in registers.
#[inline(always)]
fn tile<S: Simd, const P: usize, const R: usize>(
    s: S,
    src: &[u8],
    panel: &Panel<'_>,
    dst: &mut Pixels<'_>,
) {
    let quads = src.as_chunks::<4>().0;
    let n = quads.len() / P;
    let pixels: [&[[u8; 4]]; P] = core::array::from_fn(
        #[inline(always)]
        |p| &quads[p * n..][..n],
    );
    let sums = s.tile(pixels, panel.weights, panel.bias::<S, R>(s));
    panel.finish(s, sums, dst);
}
