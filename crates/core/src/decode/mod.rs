//! A compressed payload → pixels, in the caller's memory: the chunks of HDF5's filters 32008 (bitshuffle with LZ4) and
//! 32004 (LZ4), which DECTRIS detectors send too.
//!
//! A chunk is the bytes that it unpacks to (u64) and the bytes of a block (u32), both big endian, then the blocks. Each has
//! its length in front (u32, big endian) and unpacks by itself, so that those without a wanted value are passed over.
//! Of a bitshuffled chunk the values that make no whole group of eight stand at the end as they are.

mod bitshuffle;
mod lz4;

use core::fmt;
use core::ops::Range;

/// Values that are shuffled together.
const GROUP: usize = 8;
/// Bytes of a bitshuffled block where the chunk leaves it open.
const DEFAULT_BLOCK: usize = 8192;
const MIN_BLOCK_VALUES: usize = 128;
/// LZ4 packs at most 255 to 1: a header that promises more is damaged.
const MAX_RATIO: usize = 255;

/// Why a chunk does not unpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// It is shorter than its header.
    Header,
    /// It promises more than it can hold.
    Promise {
        /// Bytes of the chunk.
        chunk: usize,
        /// Bytes that it promises.
        total: u64,
    },
    /// It unpacks to another number of bytes than there have to be.
    Length {
        /// Bytes that it promises.
        total: usize,
        /// Bytes of a value.
        size: usize,
        /// Bytes that there have to be.
        wanted: usize,
    },
    /// Its blocks do not hold whole groups of values, or its bytes no whole values.
    Blocks {
        /// Bytes of a block.
        block: usize,
        /// Bytes that it promises.
        total: usize,
    },
    /// Its blocks are empty.
    Empty,
    /// A block is longer than the memory for one.
    Scratch {
        /// Bytes of the block.
        block: usize,
        /// Bytes of the memory.
        room: usize,
    },
    /// There are fewer blocks than it needs.
    Missing,
    /// It ends within a block.
    Ends,
    /// A block is no LZ4 of so many bytes.
    Lz4(usize),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Damage::Header => f.write_str("a chunk without its header"),
            Damage::Promise { chunk, total } => {
                write!(f, "a chunk of {chunk} bytes that promises {total}")
            }
            Damage::Length {
                total,
                size,
                wanted,
            } => write!(
                f,
                "{total} bytes of values of {size}, where {wanted} are wanted"
            ),
            Damage::Blocks { block, total } => {
                write!(f, "bitshuffle blocks of {block} bytes in {total}")
            }
            Damage::Empty => f.write_str("LZ4 blocks of 0 bytes"),
            Damage::Scratch { block, room } => {
                write!(
                    f,
                    "bitshuffle blocks of {block} bytes, where {room} are the most"
                )
            }
            Damage::Missing => f.write_str("an LZ4 block is missing"),
            Damage::Ends => f.write_str("the chunk ends early"),
            Damage::Lz4(length) => {
                write!(f, "an LZ4 block that does not unpack to {length} bytes")
            }
        }
    }
}

impl core::error::Error for Damage {}

/// How bitshuffled blocks are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Not at all, and they have no lengths.
    Stored,
    /// With LZ4.
    Lz4,
}

/// A chunk whose header was read.
#[derive(Clone, Copy, Debug)]
pub struct Chunk<'c> {
    /// Bytes that it unpacks to.
    pub total: usize,
    /// Bytes of a block before it was packed; 0 in a bitshuffled chunk: [`default_block`].
    pub block: usize,
    /// The blocks, one after another.
    pub blocks: &'c [u8],
}

/// Bytes of a bitshuffled block of values of `size` bytes where nothing else is said.
pub const fn default_block(size: usize) -> usize {
    let values = DEFAULT_BLOCK / size / GROUP * GROUP;
    match values < MIN_BLOCK_VALUES {
        true => MIN_BLOCK_VALUES * size,
        false => values * size,
    }
}

impl<'c> Chunk<'c> {
    /// Reads the header of a chunk.
    ///
    /// # Errors
    /// [`Damage`] where there is none, or it promises more than the chunk can hold.
    pub fn parse(chunk: &'c [u8]) -> Result<Self, Damage> {
        let (total, rest) = chunk.split_first_chunk().ok_or(Damage::Header)?;
        let (block, blocks) = rest.split_first_chunk().ok_or(Damage::Header)?;
        let promised = u64::from_be_bytes(*total);
        let total = usize::try_from(promised).ok();
        match total.filter(|total| total / MAX_RATIO <= chunk.len()) {
            Some(total) => Ok(Chunk {
                total,
                block: u32::from_be_bytes(*block) as usize,
                blocks,
            }),
            None => Err(Damage::Promise {
                chunk: chunk.len(),
                total: promised,
            }),
        }
    }

    /// Bytes of memory that [`unshuffle`](Self::unshuffle) works in: those of a block.
    pub fn scratch(&self, size: usize) -> usize {
        match self.block {
            0 => default_block(size.max(1)),
            block => block,
        }
        .min(self.total)
    }

    /// Unpacks bitshuffled values of `size` bytes, 1, 2, 4 or 8, into `values`, all of them; but of blocks that are not
    /// `wanted`, which are asked for by the bytes that they unpack to, it writes nothing. Returns what is left of the
    /// chunk behind its blocks. `scratch` is to have [`scratch`](Self::scratch) bytes.
    ///
    /// # Errors
    /// [`Damage`] where the bytes contradict themselves, unpack to another length than that of `values`, or have longer
    /// blocks than `scratch`. A block that is not wanted has a length, and is not looked at.
    pub fn unshuffle(
        &self,
        packing: Packing,
        size: usize,
        wanted: impl Fn(Range<usize>) -> bool,
        scratch: &mut [u8],
        values: &mut [u8],
    ) -> Result<&'c [u8], Damage> {
        let total = self.total;
        if total != values.len() || ![1, 2, 4, 8].contains(&size) {
            return Err(self.unlike(size, values));
        }
        let block = match self.block {
            0 => default_block(size),
            block => block,
        };
        if !block.is_multiple_of(size * GROUP) || !total.is_multiple_of(size) {
            return Err(Damage::Blocks { block, total });
        }
        let whole = total / (size * GROUP) * (size * GROUP);
        let (packed, left) = values.split_at_mut(whole);
        let room = scratch.len();
        let scratch = scratch.get_mut(..block.min(whole));
        let scratch = scratch.ok_or(Damage::Scratch { block, room })?;
        let (mut rest, mut end) = (self.blocks, 0);
        for target in packed.chunks_mut(block) {
            let start = end;
            end += target.len();
            let bytes = match packing {
                Packing::Stored => take(&mut rest, target.len())?,
                Packing::Lz4 => next(&mut rest)?,
            };
            if !wanted(start..end) {
                continue;
            }
            let scratch = &mut scratch[..target.len()];
            // So that the last pass ends in the target.
            let (from, to) = match bitshuffle::passes(size).is_multiple_of(2) {
                true => (target, scratch),
                false => (scratch, target),
            };
            match packing {
                Packing::Stored => from.copy_from_slice(bytes),
                Packing::Lz4 => unpack(bytes, from)?,
            }
            bitshuffle::unshuffle(from, to, size);
        }
        left.copy_from_slice(take(&mut rest, left.len())?);
        Ok(rest)
    }

    /// Unpacks a chunk of the plain LZ4 filter into `values`, all of them but blocks that are not `wanted`, as
    /// [`unshuffle`](Self::unshuffle) does. A block that did not shrink is stored as it is.
    ///
    /// # Errors
    /// [`Damage`], as there.
    pub fn unpack(
        &self,
        wanted: impl Fn(Range<usize>) -> bool,
        values: &mut [u8],
    ) -> Result<&'c [u8], Damage> {
        if self.total != values.len() {
            return Err(self.unlike(1, values));
        }
        if self.block == 0 {
            return Err(Damage::Empty);
        }
        let (mut rest, mut end) = (self.blocks, 0);
        for target in values.chunks_mut(self.block) {
            let start = end;
            end += target.len();
            let bytes = next(&mut rest)?;
            if !wanted(start..end) {
                continue;
            }
            match bytes.len() == target.len() {
                true => target.copy_from_slice(bytes),
                false => unpack(bytes, target)?,
            }
        }
        Ok(rest)
    }

    const fn unlike(&self, size: usize, values: &[u8]) -> Damage {
        Damage::Length {
            total: self.total,
            size,
            wanted: values.len(),
        }
    }
}

/// The next block: its length, big endian, then its bytes.
fn next<'c>(rest: &mut &'c [u8]) -> Result<&'c [u8], Damage> {
    let (length, after) = rest.split_first_chunk().ok_or(Damage::Missing)?;
    *rest = after;
    take(rest, u32::from_be_bytes(*length) as usize)
}

fn take<'c>(rest: &mut &'c [u8], length: usize) -> Result<&'c [u8], Damage> {
    let (taken, after) = rest.split_at_checked(length).ok_or(Damage::Ends)?;
    *rest = after;
    Ok(taken)
}

fn unpack(block: &[u8], target: &mut [u8]) -> Result<(), Damage> {
    let length = target.len();
    lz4::unpack(block, target).ok_or(Damage::Lz4(length))
}
