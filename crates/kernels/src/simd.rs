//! What a CPU level must be able to do: nine operations, most on registers of [`Simd::N`] channels.

/// A CPU level as a value: who holds one has proved that the CPU has its instructions, because its
/// type can be made by detection only.
pub trait Simd: Copy + Send + Sync + 'static {
    /// The level's name, as `--isa` takes it.
    const NAME: &'static str;
    /// Channels that one register of accumulators holds.
    const N: usize;
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
    /// `lanes[i]` = all ones where bit `i` is set, else 0.
    fn spread(self, bits: u32, lanes: &mut [u16; 32]);
    /// The first `2 N` counts of `src`: those of column `2 n` and `2 n + 1` in lane `n`.
    fn counts(self, src: &[i16]) -> Self::I32;
    /// The larger of each two counts.
    fn larger(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Of each count `at` and its neighbours the sum, in even and in odd columns; `before` and `after`
    /// are the counts two columns to the left and to the right.
    fn threes(self, before: Self::I32, at: Self::I32, after: Self::I32) -> [Self::I32; 2];
    /// The sums in even and in odd columns less the counts there.
    fn less(self, sums: [Self::I32; 2], counts: Self::I32) -> [Self::I32; 2];
    /// `a[n] + b[n]`.
    fn add(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// The larger of `a[n]` and `b[n]`.
    fn max(self, a: Self::I32, b: Self::I32) -> Self::I32;
    /// Writes the `N` numbers to the start of `dst`.
    fn store(self, a: Self::I32, dst: &mut [i32]);
    /// Asks for the cache line of the first of `bytes`, for a while later.
    fn prefetch(self, bytes: &[u8]);
}

/// Work that is written once for every level; [`Level::run`](crate::Level::run) calls it.
pub trait Op {
    /// What the work gives.
    type Output;
    /// Does the work with the instructions of `s`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}
