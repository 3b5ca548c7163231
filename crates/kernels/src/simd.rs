//! What a CPU level must be able to do: eight operations on registers of [`Simd::N`] channels, and as
//! many more for the preparation, which have a default.

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
    /// Writes the `N` numbers to the start of `dst`.
    fn store(self, a: Self::I32, dst: &mut [i32]);

    // What follows has a slow default, for a level to begin with.

    /// Asks for the cache line of the first of `bytes`, for a while later.
    #[inline(always)]
    fn prefetch(self, _bytes: &[u8]) {}
    /// `lanes[i]` = all ones where bit `i` is set, else 0.
    #[inline(always)]
    fn spread(self, bits: u32, lanes: &mut [u16; 32]) {
        for (i, lane) in lanes.iter_mut().enumerate() {
            *lane = 0u16.wrapping_sub((bits >> i & 1) as u16);
        }
    }
    /// `a[n] + b[n]`.
    #[inline(always)]
    fn add(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        each(self, a, b, |a, b| a + b)
    }
    /// The larger of `a[n]` and `b[n]`.
    #[inline(always)]
    fn max(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        each(self, a, b, i32::max)
    }
    /// The first `2 N` counts of `src`: those of column `2 n` and `2 n + 1` in the halves of lane `n`.
    #[inline(always)]
    fn counts(self, src: &[i16]) -> Self::I32 {
        let mut lanes = [0; MOST_LANES];
        for (lane, [even, odd]) in lanes.iter_mut().zip(src[..2 * Self::N].as_chunks().0) {
            *lane = pair((*even).into(), (*odd).into());
        }
        self.bias(&lanes)
    }
    /// The larger of each two counts.
    #[inline(always)]
    fn larger(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        each(self, a, b, |a, b| {
            pair(even(a).max(even(b)), odd(a).max(odd(b)))
        })
    }
    /// Of each count `at` and its neighbours the sum, in even and in odd columns; `before` and `after`
    /// are the counts two columns to the left and to the right.
    #[inline(always)]
    fn threes(self, before: Self::I32, at: Self::I32, after: Self::I32) -> [Self::I32; 2] {
        [
            each(self, before, at, |before, at| {
                odd(before) + even(at) + odd(at)
            }),
            each(self, at, after, |at, after| {
                even(at) + odd(at) + even(after)
            }),
        ]
    }
    /// The sums in even and in odd columns less the counts there.
    #[inline(always)]
    fn less(self, sums: [Self::I32; 2], counts: Self::I32) -> [Self::I32; 2] {
        [
            each(self, sums[0], counts, |sum, counts| sum - even(counts)),
            each(self, sums[1], counts, |sum, counts| sum - odd(counts)),
        ]
    }
}

/// The lanes of the widest level.
const MOST_LANES: usize = 16;

#[inline(always)]
fn each<S: Simd>(s: S, a: S::I32, b: S::I32, of: impl Fn(i32, i32) -> i32) -> S::I32 {
    let [mut a_lanes, mut b_lanes] = [[0; MOST_LANES]; 2];
    s.store(a, &mut a_lanes);
    s.store(b, &mut b_lanes);
    for (a, b) in a_lanes[..S::N].iter_mut().zip(b_lanes) {
        *a = of(*a, b);
    }
    s.bias(&a_lanes)
}

/// Two 16-bit numbers in a word, the even one in the low half.
#[inline(always)]
fn pair(even: i32, odd: i32) -> i32 {
    even & 0xFFFF | odd << 16
}

#[inline(always)]
fn even(pair: i32) -> i32 {
    i32::from(pair as i16)
}

#[inline(always)]
fn odd(pair: i32) -> i32 {
    pair >> 16
}

/// Work that is written once for every level; [`Level::run`](crate::Level::run) calls it.
pub trait Op {
    /// What the work gives.
    type Output;
    /// Does the work with the instructions of `s`.
    fn run<S: Simd>(self, s: S) -> Self::Output;
}
