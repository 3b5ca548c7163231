//! Plain loops with registers as wide as AVX-512's: packing and padding to sixteen channels are
//! tested on every machine, also where the instructions are missing.

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

    fn columns(self, t: [&[u8]; 3]) -> [Self::I8; 4] {
        let mut columns = [[[0; 4]; N]; 4];
        for (n, ((a, b), c)) in t[0].iter().zip(t[1]).zip(t[2]).take(4 * N).enumerate() {
            let place = Self::place(n);
            columns[place / N][place % N] = [*a as i8, *b as i8, *c as i8, 0];
        }
        columns
    }

    fn requant_columns(self, acc: [Self::I32; 4], scale: &[f32], dst: &mut [u8]) {
        let mut placed = [0; 4 * N];
        for (r, acc) in acc.into_iter().enumerate() {
            self.requant(acc, &scale[r * N..], &mut placed[r * N..]);
        }
        for (n, dst) in dst[..4 * N].iter_mut().enumerate() {
            *dst = placed[Self::place(n)];
        }
    }

    fn dot4(self, acc: Self::I32, a: Self::I8, w: Self::I8) -> Self::I32 {
        let product = |n: usize, i: usize| i32::from(a[n][i]) * i32::from(w[n][i]);
        std::array::from_fn(|n| acc[n] + (0..4).map(|i| product(n, i)).sum::<i32>())
    }

    fn requant(self, acc: Self::I32, scale: &[f32], dst: &mut [u8]) {
        for n in 0..N {
            dst[n] = oracle::requantize(i64::from(acc[n]), scale[n]);
        }
    }

    fn store(self, a: Self::I32, dst: &mut [i32]) {
        dst[..N].copy_from_slice(&a);
    }
}
