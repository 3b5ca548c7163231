//! Plain loops with registers as wide as AVX-512's: packing and padding to sixteen channels are
//! tested on every machine, also where the instructions are missing.

use std::ops::Range;

use hitgate_kernels::Simd;
use hitgate_testkit::oracle;

const N: usize = 16;

/// Sixteen channels a register.
#[derive(Clone, Copy)]
pub struct Wide;

impl Simd for Wide {
    const NAME: &'static str = "sixteen channels in plain loops";
    const N: usize = N;
    const SUMS: usize = 8;
    type I32 = [i32; N];
    type I8 = [[i8; 4]; N];

    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }

    fn bias(self, src: &[i32]) -> Self::I32 {
        std::array::from_fn(|n| src[n])
    }

    fn weights(self, src: &[i8]) -> Self::I8 {
        std::array::from_fn(|n| std::array::from_fn(|i| src[4 * n + i]))
    }

    fn quad(self, a: [u8; 4]) -> Self::I8 {
        [a.map(|a| a as i8); N]
    }

    fn taps(self, t: [&[u8]; 4]) -> Self::I8 {
        std::array::from_fn(|n| t.map(|t| t[n] as i8))
    }

    /// As AVX-512 unpacks: four channels of every sixteen in each register.
    fn place(n: usize) -> usize {
        n % 16 / 4 * N + n / 16 * 4 + n % 4
    }

    fn columns(self, t: [&[u8]; 4]) -> [Self::I8; 4] {
        let mut columns = [[[0; 4]; N]; 4];
        for n in 0..4 * N {
            let place = Self::place(n);
            columns[place / N][place % N] = t.map(|row| row[n] as i8);
        }
        columns
    }

    fn lower(self, weights: [Self::I8; 4]) -> [Self::I8; 4] {
        weights.map(|weights| weights.map(|[a, b, c, _]| [0, a, b, c]))
    }

    fn requant_columns(self, acc: [Self::I32; 4], scale: &[f32]) -> Self::I8 {
        let placed = self.requant(acc, [0, 1, 2, 3].map(|r| &scale[r * N..]));
        let placed = placed.as_flattened();
        std::array::from_fn(|n| std::array::from_fn(|i| placed[Self::place(4 * n + i)]))
    }

    fn dot4(self, acc: Self::I32, a: Self::I8, w: Self::I8) -> Self::I32 {
        let product = |n: usize, i: usize| i32::from(a[n][i]) * i32::from(w[n][i]);
        std::array::from_fn(|n| acc[n] + (0..4).map(|i| product(n, i)).sum::<i32>())
    }

    fn requant(self, acc: [Self::I32; 4], scale: [&[f32]; 4]) -> Self::I8 {
        let one = |i: usize| {
            let (r, n) = (i / N, i % N);
            oracle::requantize(i64::from(acc[r][n]), scale[r][n]) as i8
        };
        std::array::from_fn(|n| std::array::from_fn(|i| one(4 * n + i)))
    }

    fn put(self, activations: Self::I8, registers: Range<usize>, dst: &mut [u8]) {
        let activations = &activations.as_flattened()[registers.start * N..registers.end * N];
        for (dst, a) in dst.iter_mut().zip(activations) {
            *dst = *a as u8;
        }
    }

    fn store(self, a: Self::I32, dst: &mut [i32]) {
        dst[..N].copy_from_slice(&a);
    }
}
