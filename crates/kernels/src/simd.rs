//! What a CPU level must be able to do: eight operations on registers of [`Simd::N`] channels, and a
//! tile of sums, which follows from them.

/// A CPU level as a value: who holds one has proved that the CPU has its instructions, because its
/// type can be made by detection only.
pub trait Simd: Copy + Send + Sync + 'static {
    /// The level's name, as `--isa` takes it.
    const NAME: &'static str;
    /// Channels that one register of accumulators holds.
    const N: usize;
    /// Inputs of one channel that lie side by side in a packed matrix, as [`Simd::tile`] reads them.
    const DEPTH: usize = 4;
    /// `N` accumulators.
    type I32: Copy;
    /// Four activations or four weights for each of `N` channels.
    type I8: Copy;

    /// Runs `f` in a function that is compiled for this level's instructions.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;
    /// The first `N` numbers of `src` as accumulators.
    fn bias(self, src: &[i32]) -> Self::I32;
    /// Four weights for each of `N` channels: the first `4 N` numbers of `src`.
    fn weights(self, src: &[i8]) -> Self::I8;
    /// The same four activations for every channel.
    fn quad(self, a: [u8; 4]) -> Self::I8;
    /// Four taps of `N` channels each: channel `n` gets `t[0][n], t[1][n], t[2][n], t[3][n]`.
    fn taps(self, t: [&[u8]; 4]) -> Self::I8;
    /// `acc[n] += Σ a[n][i] · w[n][i]` over its four `i`; exact while every `a <= 127`.
    fn dot4(self, acc: Self::I32, a: Self::I8, w: Self::I8) -> Self::I32;
    /// `dst[n] = round_half_even(clamp(acc[n] · scale[n], 0, 127))`, each step in f32.
    fn requant(self, acc: Self::I32, scale: &[f32], dst: &mut [u8]);

    /// The sums of `P` pixels by `R` registers, from `bias` on. The pixels are equally long, and
    /// `weights` is their panel of a packed matrix.
    ///
    /// A level whose instructions take more than a quad at a time has a tile of its own.
    #[inline(always)]
    fn tile<const P: usize, const R: usize>(
        self,
        pixels: [&[[u8; 4]]; P],
        weights: &[i8],
        bias: [Self::I32; R],
    ) -> [[Self::I32; R]; P] {
        dots(self, [bias; P], pixels, weights)
    }
}

/// Work that is written once for every level; [`Level::run`](crate::Level::run) calls it.
pub trait Op {
    /// What the work gives.
    type Output;
    /// Does the work with the instructions of `s`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}

/// Adds to `sums` quad by quad: the tile of a level that has no other, and the quads that a deeper
/// one leaves.
#[inline(always)]
pub(crate) fn dots<S: Simd, const P: usize, const R: usize>(
    s: S,
    mut sums: [[S::I32; R]; P],
    pixels: [&[[u8; 4]]; P],
    weights: &[i8],
) -> [[S::I32; R]; P] {
    for (k, weights) in (0..pixels[0].len()).zip(weights.chunks_exact(R * 4 * S::N)) {
        let weights: [S::I8; R] = core::array::from_fn(
            #[inline(always)]
            |r| s.weights(&weights[r * 4 * S::N..]),
        );
        for p in 0..P {
            let quad = s.quad(pixels[p][k]);
            for r in 0..R {
                sums[p][r] = s.dot4(sums[p][r], quad, weights[r]);
            }
        }
    }
    sums
}
