//! One piece of device memory holds everything: first what is copied there once, then what kernels work in. A place in
//! it is a u32 in units, so that no kernel is told an address but the first, and a CPU can hold the same memory.

use bytemuck::Pod;

/// Bytes of a unit: no access of a warp crosses more lines than it must.
pub const UNIT: usize = 256;

/// More than a place can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("model and batch need more device memory than can be addressed: take fewer frames at once")]
pub struct TooLarge;

/// What is copied to the device once: the beginning of its memory.
#[derive(Clone, Debug, Default)]
pub struct Constants {
    bytes: Vec<u8>,
}

impl Constants {
    /// Nothing yet.
    pub fn new() -> Self {
        Constants::default()
    }

    /// Takes `numbers` in; returns their place.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn place<T: Pod>(&mut self, numbers: &[T]) -> Result<u32, TooLarge> {
        let place = u32::try_from(self.bytes.len() / UNIT).map_err(|_| TooLarge)?;
        self.bytes.extend(bytemuck::cast_slice::<T, u8>(numbers));
        self.bytes
            .resize(self.bytes.len().next_multiple_of(UNIT), 0);
        Ok(place)
    }

    /// The bytes, a whole number of units.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The memory behind, to be given out.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn behind(&self) -> Result<Working, TooLarge> {
        let units = u32::try_from(self.bytes.len() / UNIT).map_err(|_| TooLarge)?;
        Ok(Working { units })
    }
}

/// The memory that kernels work in.
#[derive(Clone, Copy, Debug)]
pub struct Working {
    units: u32,
}

impl Working {
    /// Gives out so many bytes; returns their place.
    ///
    /// # Errors
    /// [`TooLarge`].
    pub fn place(&mut self, bytes: u64) -> Result<u32, TooLarge> {
        let place = self.units;
        let units = u32::try_from(bytes.div_ceil(UNIT as u64)).map_err(|_| TooLarge)?;
        self.units = place.checked_add(units).ok_or(TooLarge)?;
        Ok(place)
    }

    /// Bytes of all the memory, constants included.
    pub fn bytes(&self) -> u64 {
        u64::from(self.units) * UNIT as u64
    }
}
