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
