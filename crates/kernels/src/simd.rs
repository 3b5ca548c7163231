//! What a CPU level must be able to do, on registers of [`Simd::N`] channels: few operations of the network, and
//! those of the preparation, which have a slow default.

use core::ops::Range;

/// A CPU level as a value: who holds one has proved that the CPU has its instructions, because its
/// type can be made by detection only.
pub trait Simd: Copy + Send + Sync + 'static {
    /// The level's name, as `--isa` takes it.
    const NAME: &'static str;
    /// Channels that one register of accumulators holds.
    const N: usize;
    /// Registers of sums that a tile holds, 8 or 28: what the CPU has less its weights and an activation.
    const SUMS: usize;
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
    /// One tap of four rows for `4 N` channels, as [`convolve`](Self::convolve) takes them: channel `n` gets
    /// `t[0][n], t[1][n], t[2][n], t[3][n]` as number [`place(n)`](Self::place) of four registers, unless
    /// [`tap_place`](Self::tap_place) says otherwise.
    #[inline(always)]
    fn columns(self, t: [&[u8]; 4]) -> [Self::I8; 4] {
        let mut columns = [self.taps(t); 4];
        for (r, column) in columns.iter_mut().enumerate() {
            let [a, b, c, d] = t;
            let from = r * Self::N;
            *column = self.taps([&a[from..], &b[from..], &c[from..], &d[from..]]);
        }
        columns
    }
    /// Where sums and scales of `4 N` channels have channel `n`; the registers follow one another.
    #[inline(always)]
    fn place(n: usize) -> usize {
        n
    }
    /// Where [`columns`](Self::columns) puts row `i` of channel `n`, and where its weight is packed; the
    /// weight of the fourth row is 0.
    #[inline(always)]
    fn tap_place(n: usize, i: usize) -> usize {
        4 * Self::place(n) + i
    }
    /// The weights of a column for the window that is one row lower.
    fn lower(self, weights: [Self::I8; 4]) -> [Self::I8; 4];
    /// `acc` and the products of three [`columns`](Self::columns), from row `ROW` on, with the weights that
    /// are theirs: [`lower`](Self::lower) ones where `ROW` is 1.
    #[inline(always)]
    fn convolve<const ROW: usize>(
        self,
        mut acc: [Self::I32; 4],
        window: [[Self::I8; 4]; 3],
        weights: &[[Self::I8; 4]; 3],
    ) -> [Self::I32; 4] {
        for (r, acc) in acc.iter_mut().enumerate() {
            for (column, weights) in window.iter().zip(weights) {
                *acc = self.dot4(*acc, column[r], weights[r]);
            }
        }
        acc
    }
    /// `acc[n] += Σ a[n][i] · w[n][i]` over its four `i`; exact while every `a <= 127`.
    fn dot4(self, acc: Self::I32, a: Self::I8, w: Self::I8) -> Self::I32;
    /// Activations of four registers, one after another: `N` times
    /// `round_half_even(clamp(acc[n] · scale[n], 0, 127))` each, every step in f32.
    fn requant(self, acc: [Self::I32; 4], scale: [&[f32]; 4]) -> Self::I8;
    /// [`requant`](Self::requant) of `4 N` channels whose sums and scales lie at their
    /// [`place`](Self::place)s: the activations come in order.
    #[inline(always)]
    fn requant_columns(self, acc: [Self::I32; 4], scale: &[f32]) -> Self::I8 {
        let n = Self::N;
        self.requant(acc, [scale, &scale[n..], &scale[2 * n..], &scale[3 * n..]])
    }
    /// Writes the activations of `registers`, one, two or all of the four, to the start of `dst`.
    fn put(self, activations: Self::I8, registers: Range<usize>, dst: &mut [u8]);

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

    /// Writes the `N` numbers to the start of `dst`.
    fn store(self, a: Self::I32, dst: &mut [i32]);

    // The preparation's: each has a slow default, for a level to begin with.

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
    /// Bit `i` is set where `lanes[i]` is all ones; else that is 0.
    #[inline(always)]
    fn gather(self, lanes: &[u16; 32]) -> u32 {
        let lanes = lanes.iter().enumerate();
        lanes.fold(0, |bits, (i, lane)| bits | u32::from(lane & 1) << i)
    }
    /// `a[n] + b[n]`, without the bits beyond.
    #[inline(always)]
    fn add(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        each(self, a, b, i32::wrapping_add)
    }
    /// `a[n] - b[n]`, without the bits beyond.
    #[inline(always)]
    fn sub(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        each(self, a, b, i32::wrapping_sub)
    }
    /// The larger of `a[n]` and `b[n]`.
    #[inline(always)]
    fn max(self, a: Self::I32, b: Self::I32) -> Self::I32 {
        each(self, a, b, i32::max)
    }
    /// The numbers of `a` from number `from` on, at most `N`, then the first of `b`.
    #[inline(always)]
    fn splice(self, a: Self::I32, b: Self::I32, from: usize) -> Self::I32 {
        let mut lanes = [0; 2 * WIDEST];
        self.store(a, &mut lanes);
        self.store(b, &mut lanes[Self::N..]);
        self.bias(&lanes[from..])
    }
    /// The first `2 N` counts of `src`: those of column `2 n` and `2 n + 1` in the halves of lane `n`.
    #[inline(always)]
    fn counts(self, src: &[i16]) -> Self::I32 {
        let mut lanes = [0; WIDEST];
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

#[inline(always)]
fn each<S: Simd>(s: S, a: S::I32, b: S::I32, of: impl Fn(i32, i32) -> i32) -> S::I32 {
    let [mut a_lanes, mut b_lanes] = [[0; WIDEST]; 2];
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

/// Channels that the widest register has.
pub(crate) const WIDEST: usize = 16;

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
