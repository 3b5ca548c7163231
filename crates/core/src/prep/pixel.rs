//! Bytes → counts.

use super::MaskValues;

/// A stored pixel.
pub(super) trait Pixel: Copy + PartialEq + TryFrom<i64> {
    const SIZE: usize;
    fn load(bytes: &[u8]) -> Self;
    /// The counts; a negative count is none.
    fn count(self) -> u32;
}

macro_rules! pixel {
    ($($type:ty: |$value:ident| $count:expr,)*) => {$(
        impl Pixel for $type {
            const SIZE: usize = size_of::<$type>();
            #[inline(always)]
            fn load(bytes: &[u8]) -> Self {
                <$type>::from_le_bytes(core::array::from_fn(|i| bytes[i]))
            }
            #[inline(always)]
            fn count(self) -> u32 {
                let $value = self;
                $count
            }
        }
    )*};
}
pixel! {
    u8: |v| u32::from(v),
    u16: |v| u32::from(v),
    u32: |v| v,
    i16: |v| v.max(0) as u32,
    i32: |v| v.max(0) as u32,
}

/// The declared mask values that a pixel of this type can hold.
pub(super) struct Excluded<P> {
    values: heapless::Vec<P, 8>,
}

impl<P: Pixel> Excluded<P> {
    pub fn new(values: &MaskValues) -> Self {
        Excluded {
            values: values.iter().filter_map(|&v| P::try_from(v).ok()).collect(),
        }
    }

    #[inline(always)]
    pub fn has(&self, pixel: P) -> bool {
        self.values.contains(&pixel)
    }
}
