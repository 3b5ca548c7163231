//! Whether what is read comes from memory or from a cache.

/// Where the frames lie when they are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// In memory: since they were written, more went through the caches than those hold.
    Cold {
        /// Bytes between a write and the read.
        bytes: usize,
    },
    /// In the caches of this core, which has just written them.
    Warm,
}

/// Of a machine that does not tell the size of its caches.
const UNKNOWN: usize = 32 << 20;
/// More than this is not held for the sake of a cold cache.
const MOST: usize = 1 << 30;
const LEAST_SLOTS: u32 = 2;
const MOST_SLOTS: u32 = 1 << 16;

impl Cache {
    /// Cold, on a machine whose largest cache holds so many bytes.
    pub fn cold(largest: Option<usize>) -> Self {
        Cache::Cold {
            bytes: largest.unwrap_or(UNKNOWN).saturating_mul(2).min(MOST),
        }
    }

    /// Its word in JSON and for people.
    pub const fn name(self) -> &'static str {
        match self {
            Cache::Cold { .. } => "cold",
            Cache::Warm => "warm",
        }
    }

    /// Slots of a ring, each of `stride` bytes.
    pub fn slots(self, stride: u32) -> u32 {
        match self {
            Cache::Cold { bytes } => {
                let slots = bytes.div_ceil(stride.max(1) as usize) as u32;
                slots.clamp(LEAST_SLOTS, MOST_SLOTS)
            }
            Cache::Warm => LEAST_SLOTS,
        }
    }

    /// The bytes out of `bytes` that come from memory.
    pub const fn memory_bytes(self, bytes: u64) -> u64 {
        match self {
            Cache::Cold { .. } => bytes,
            Cache::Warm => 0,
        }
    }

    /// Copies of `buffers` in turn: enough of them that each is cold, or warm, when its turn comes.
    pub fn rotation(self, buffers: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let Cache::Cold { bytes } = self else {
            return buffers.iter().take(1).cloned().collect();
        };
        let mut held = 0;
        let more = |buffer: &&Vec<u8>| {
            let more = held < bytes;
            held += buffer.len().max(1);
            more
        };
        buffers.iter().cycle().take_while(more).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cold_frames_are_twice_what_the_cache_holds() {
        let cold = Cache::cold(Some(1 << 20));
        assert_eq!(cold.slots(1 << 16), 32);
        assert_eq!(cold.slots(u32::MAX), LEAST_SLOTS);
        assert_eq!(Cache::Warm.slots(1 << 16), LEAST_SLOTS);
        let buffers = [vec![1; 600_000], vec![2; 600_000]];
        let turns = |cache: Cache| cache.rotation(&buffers).len();
        assert_eq!((turns(cold), turns(Cache::Warm)), (4, 1));
        assert_eq!((cold.memory_bytes(7), Cache::Warm.memory_bytes(7)), (7, 0));
    }
}
