//! Bitshuffle, HDF5 filter 32008, and the plain LZ4 filter 32004, which shares its framing.
//!
//! Values are cut into blocks. In a block, bit 0 of every value comes first, then bit 1 of every
//! value, and so on: the high bits of small counts become long runs of zeros, which LZ4 then packs.
//!
//! It is undone in passes over a block, which stays in the first cache: eight bits trade places between eight
//! planes, then planes are interleaved, two and two. The passes are plain loops over bytes, which the compiler
//! vectorises with what every CPU of the target has, and their work does not depend on the values.

use super::lz4;

/// Registered number of bitshuffle.
pub(super) const BITSHUFFLE: u16 = 32008;
/// Registered number of plain LZ4.
pub(super) const LZ4: u16 = 32004;

/// Values in a block are a multiple of this; what is left at the end is stored as it is.
const GROUP: usize = 8;
/// Bits of a byte, each of which has a plane.
const BITS: usize = 8;
/// Bytes of a block where the filter's parameters leave it open.
const DEFAULT_BLOCK: usize = 8192;
const MIN_BLOCK_VALUES: usize = 128;
/// LZ4 packs at most 255 to 1: a header that promises more is damaged.
const MAX_RATIO: usize = 255;

/// Why a chunk does not unpack.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A variant that is not read here.
    #[error("{0} is not read here")]
    Unsupported(String),
    /// The bytes contradict themselves.
    #[error("damaged: {0}")]
    Damaged(String),
}

fn damaged(what: impl Into<String>) -> Refusal {
    Refusal::Damaged(what.into())
}

/// How the values of a bitshuffled chunk are packed: the fifth parameter of the filter.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    None = 0,
    Lz4 = 2,
}

/// Unpacks one bitshuffled chunk. `parameters` are those of the filter: version (2 words), bytes of
/// a value, values in a block, packing.
pub(super) fn unpack(parameters: &[u32], chunk: &[u8]) -> Result<Vec<u8>, Refusal> {
    let size = match parameters.get(2) {
        Some(&size @ (1 | 2 | 4 | 8)) => size as usize,
        other => {
            return Err(damaged(format!(
                "bitshuffle with values of {other:?} bytes"
            )));
        }
    };
    let packing = match parameters.get(4) {
        None | Some(0) => Packing::None,
        Some(2) => Packing::Lz4,
        Some(3) => return Err(Refusal::Unsupported("bitshuffle with zstd".into())),
        Some(other) => {
            return Err(Refusal::Unsupported(format!(
                "bitshuffle with packing {other}"
            )));
        }
    };
    let (total, block, blocks) = match packing {
        Packing::None => (
            chunk.len(),
            parameters
                .get(3)
                .map_or(0, |&values| values as usize * size),
            chunk,
        ),
        Packing::Lz4 => frame(chunk)?,
    };
    let mut values = vec![0; total];
    Decoder::default().unpack_blocks(packing, size, block, blocks, &mut values)?;
    Ok(values)
}

/// Unpacks frames that were bitshuffled and packed with LZ4, as detectors send them, in memory that it keeps:
/// once it has seen a frame it allocates nothing for others like it.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The passes over a block go to and fro between its place and this.
    spare: Vec<u8>,
}

impl Decoder {
    /// Unpacks `chunk`, a frame of values of `size` bytes, into `values`, all of them.
    ///
    /// # Errors
    /// [`Refusal`] where the bytes contradict themselves, or unpack to another length; `size` is 1, 2, 4 or 8.
    pub fn decode(&mut self, size: usize, chunk: &[u8], values: &mut [u8]) -> Result<(), Refusal> {
        let (total, block, blocks) = frame(chunk)?;
        if total != values.len() || ![1, 2, 4, 8].contains(&size) {
            return Err(damaged(format!(
                "{total} bytes of values of {size}, where {} are wanted",
                values.len()
            )));
        }
        self.unpack_blocks(Packing::Lz4, size, block, blocks, values)
    }

    /// Unpacks `values` from blocks of `block` bytes; 0 is the default.
    fn unpack_blocks(
        &mut self,
        packing: Packing,
        size: usize,
        mut block: usize,
        mut rest: &[u8],
        values: &mut [u8],
    ) -> Result<(), Refusal> {
        let total = values.len();
        if block == 0 {
            block = default_block(size);
        }
        if !block.is_multiple_of(size * GROUP) || !total.is_multiple_of(size) {
            return Err(damaged(format!(
                "bitshuffle blocks of {block} bytes in {total}"
            )));
        }
        let whole = total / (size * GROUP) * (size * GROUP);
        let (packed, left) = values.split_at_mut(whole);
        self.spare.resize(block.min(whole), 0);
        for target in packed.chunks_mut(block) {
            let spare = &mut self.spare[..target.len()];
            // So that the last pass ends in the target.
            let (from, to) = match passes(size).is_multiple_of(2) {
                true => (target, spare),
                false => (spare, target),
            };
            match packing {
                Packing::None => from.copy_from_slice(take(&mut rest, from.len())?),
                Packing::Lz4 => lz4(self::block(&mut rest)?, from)?,
            }
            unshuffle(from, to, size);
        }
        left.copy_from_slice(take(&mut rest, left.len())?);
        Ok(())
    }
}

/// Packs values of `size` bytes, 1, 2, 4 or 8, as a [`Decoder`] takes them.
pub fn encode(size: usize, values: &[u8]) -> Vec<u8> {
    let block = default_block(size);
    let mut chunk = Vec::with_capacity(values.len() / 4);
    chunk.extend((values.len() as u64).to_be_bytes());
    chunk.extend((block as u32).to_be_bytes());
    let (whole, left) = values.split_at(values.len() / (size * GROUP) * (size * GROUP));
    let mut shuffled = vec![0; block];
    for values in whole.chunks(block) {
        let shuffled = &mut shuffled[..values.len()];
        shuffle(values, shuffled, size);
        let packed = lz4_flex::block::compress(shuffled);
        chunk.extend((packed.len() as u32).to_be_bytes());
        chunk.extend(packed);
    }
    chunk.extend(left);
    chunk
}

/// Bytes of a block of values of `size` bytes where nothing else is said.
fn default_block(size: usize) -> usize {
    (DEFAULT_BLOCK / size / GROUP * GROUP).max(MIN_BLOCK_VALUES) * size
}

/// Unpacks one chunk of the plain LZ4 filter. A block that did not shrink is stored as it is.
pub(super) fn unpack_lz4(chunk: &[u8]) -> Result<Vec<u8>, Refusal> {
    let (total, block, mut rest) = frame(chunk)?;
    if block == 0 {
        return Err(damaged("LZ4 blocks of 0 bytes"));
    }
    let mut values = vec![0; total];
    for target in values.chunks_mut(block) {
        match self::block(&mut rest)? {
            stored if stored.len() == target.len() => target.copy_from_slice(stored),
            packed => lz4(packed, target)?,
        }
    }
    Ok(values)
}

/// Bytes that the chunk unpacks to and bytes of a block, both big endian, then the blocks.
fn frame(chunk: &[u8]) -> Result<(usize, usize, &[u8]), Refusal> {
    let short = || damaged("a chunk without its header");
    let (total, rest) = chunk.split_first_chunk().ok_or_else(short)?;
    let (block, rest) = rest.split_first_chunk().ok_or_else(short)?;
    let total = u64::from_be_bytes(*total);
    match usize::try_from(total) {
        Ok(total) if total / MAX_RATIO <= chunk.len() => {
            Ok((total, u32::from_be_bytes(*block) as usize, rest))
        }
        _ => Err(damaged(format!(
            "a chunk of {} bytes that promises {total}",
            chunk.len()
        ))),
    }
}

/// The next block of the frame: its length, big endian, then its bytes.
fn block<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Refusal> {
    let (length, after) = rest
        .split_first_chunk()
        .ok_or_else(|| damaged("an LZ4 block is missing"))?;
    *rest = after;
    take(rest, u32::from_be_bytes(*length) as usize)
}

fn lz4(packed: &[u8], target: &mut [u8]) -> Result<(), Refusal> {
    let length = target.len();
    lz4::unpack(packed, target).ok_or_else(|| {
        damaged(format!(
            "an LZ4 block that does not unpack to {length} bytes"
        ))
    })
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Refusal> {
    let (taken, after) = rest
        .split_at_checked(length)
        .ok_or_else(|| damaged("the chunk ends early"))?;
    *rest = after;
    Ok(taken)
}

/// Passes of [`unshuffle`].
const fn passes(size: usize) -> u32 {
    1 + (GROUP * size).ilog2()
}

/// Undoes the bit transposition of one block of values of `size` bytes: the values are where the last of the
/// passes to and fro leaves them.
fn unshuffle(shuffled: &mut [u8], other: &mut [u8], size: usize) {
    match shuffled.len() / (size * BITS) {
        ..LANES => transpose::<1>(shuffled, other, size),
        _ => transpose::<LANES>(shuffled, other, size),
    }
    let (mut from, mut to) = (other, shuffled);
    for _ in 1..passes(size) {
        interleave(from, to);
        (from, to) = (to, from);
    }
}

/// Bytes of a plane that are worked on at a time.
const LANES: usize = 32;

/// Bit planes → rows, one for each byte of each of the eight values of a group, in the order of these bytes.
fn transpose<const LANES: usize>(planes: &[u8], rows: &mut [u8], size: usize) {
    let len = planes.len() / (size * BITS);
    // The last lanes may be worked on again.
    let last = len - LANES;
    for byte in 0..size {
        let planes = &planes[byte * BITS * len..][..BITS * len];
        for at in (0..last).step_by(LANES).chain([last]) {
            let mut bits = [[0; LANES]; BITS];
            for (bit, lanes) in bits.iter_mut().enumerate() {
                lanes.copy_from_slice(&planes[bit * len + at..][..LANES]);
            }
            // 8 x 8 bits: halves trade places, then quarters, then bits.
            trade::<4, LANES>(&mut bits, 0x0F);
            trade::<2, LANES>(&mut bits, 0x33);
            trade::<1, LANES>(&mut bits, 0x55);
            for (value, lanes) in bits.iter().enumerate() {
                rows[(value * size + byte) * len + at..][..LANES].copy_from_slice(lanes);
            }
        }
    }
}

/// In every `2 N` rows the bits of `low` in the last `N` for those above them in the first.
#[inline(always)]
fn trade<const N: usize, const LANES: usize>(rows: &mut [[u8; LANES]; BITS], low: u8) {
    for rows in rows.chunks_exact_mut(2 * N) {
        let (first, last) = rows.split_at_mut(N);
        for (a, b) in first
            .as_flattened_mut()
            .iter_mut()
            .zip(last.as_flattened_mut())
        {
            let traded = (*a >> N ^ *b) & low;
            *b ^= traded;
            *a ^= traded << N;
        }
    }
}

/// Half as many rows, twice as long: each of the upper half takes turns with one of the lower half.
///
/// Not inlined: that the slices do not overlap, without which there are no vectors, the compiler knows of arguments.
#[inline(never)]
fn interleave(rows: &[u8], to: &mut [u8]) {
    let (upper, lower) = rows.split_at(rows.len() / 2);
    let pairs = to.as_chunks_mut().0.iter_mut();
    for ((pair, a), b) in pairs.zip(upper).zip(lower) {
        *pair = [*a, *b];
    }
}

/// Transposes the bits of one block of values of `size` bytes, as [`unshuffle`] takes them back.
fn shuffle(values: &[u8], shuffled: &mut [u8], size: usize) {
    let plane = values.len() / (size * 8);
    for byte in 0..size {
        let planes = &mut shuffled[byte * 8 * plane..][..8 * plane];
        for (group, values) in values.chunks_exact(GROUP * size).enumerate() {
            let column = std::array::from_fn(|value| values[value * size + byte]);
            let bits = transposed(u64::from_le_bytes(column)).to_le_bytes();
            for (bit, row) in bits.into_iter().enumerate() {
                planes[bit * plane + group] = row;
            }
        }
    }
}

/// The transposed 8 x 8 matrix of bits, row by row in the bytes of a word (Warren, Hacker's
/// Delight, 7-3).
fn transposed(mut x: u64) -> u64 {
    let mut swap = |shift: u32, mask: u64| {
        let t = (x ^ (x >> shift)) & mask;
        x ^= t ^ (t << shift);
    };
    swap(7, 0x00aa_00aa_00aa_00aa);
    swap(14, 0x0000_cccc_0000_cccc);
    swap(28, 0x0000_0000_f0f0_f0f0);
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// One bit at a time, as the format's definition says.
    fn shuffled(values: &[u8], size: usize) -> Vec<u8> {
        let count = values.len() / size;
        let mut out = vec![0; values.len()];
        for value in 0..count {
            for bit in 0..size * 8 {
                let set = values[value * size + bit / 8] >> (bit % 8) & 1;
                out[bit * count / 8 + value / 8] |= set << (value % 8);
            }
        }
        out
    }

    fn packed(values: &[u8], size: usize, block: usize) -> Vec<u8> {
        let mut chunk = Vec::new();
        chunk.extend((values.len() as u64).to_be_bytes());
        chunk.extend((block as u32).to_be_bytes());
        let whole = values.len() / (size * GROUP) * (size * GROUP);
        for block in values[..whole].chunks(block) {
            let lz4 = lz4_flex::block::compress(&shuffled(block, size));
            chunk.extend((lz4.len() as u32).to_be_bytes());
            chunk.extend(lz4);
        }
        chunk.extend(&values[whole..]);
        chunk
    }

    proptest! {
        #[test]
        fn unpacks_what_the_definition_packs(
            values in prop::collection::vec(prop_oneof![3 => 0u8..4, 1 => any::<u8>()], 0..2000),
            size in prop::sample::select(vec![1usize, 2, 4, 8]),
            groups in 1usize..20,
        ) {
            let values = &values[..values.len() / size * size];
            let block = groups * GROUP * size;
            let parameters = [0, 4, size as u32, 0, 2];
            let chunk = packed(values, size, block);
            let unpacked = unpack(&parameters, &chunk).unwrap();
            prop_assert_eq!(&unpacked, values);
            let mut decoded = vec![0xAA; values.len()];
            Decoder::default().decode(size, &chunk, &mut decoded).unwrap();
            prop_assert_eq!(decoded, values);
        }

        #[test]
        fn what_is_encoded_is_as_the_definition_packs_it(
            values in prop::collection::vec(prop_oneof![3 => 0u8..4, 1 => any::<u8>()], 0..20_000),
            size in prop::sample::select(vec![1usize, 2, 4, 8]),
        ) {
            let values = &values[..values.len() / size * size];
            let chunk = encode(size, values);
            prop_assert_eq!(&chunk, &packed(values, size, DEFAULT_BLOCK));
            let mut decoded = vec![0xAA; values.len()];
            Decoder::default().decode(size, &chunk, &mut decoded).unwrap();
            prop_assert_eq!(&decoded, values);
            let mut longer = vec![0; values.len() + size];
            prop_assert!(Decoder::default().decode(size, &chunk, &mut longer).is_err());
        }

        #[test]
        fn damage_is_refused_or_unpacks_to_the_promised_size(
            at in 0usize..400,
            flip: u8,
            cut in 0usize..400,
        ) {
            let values: Vec<u8> = (0..700u32).map(|i| ((i * i) >> 5) as u8).collect();
            let mut chunk = packed(&values, 2, 128);
            let at = at % chunk.len();
            chunk[at] ^= flip;
            chunk.truncate(chunk.len() - cut % chunk.len());
            for parameters in [[0, 4, 2, 0, 2], [0, 4, 2, 0, 0]] {
                let _ = unpack(&parameters, &chunk);
            }
            let _ = unpack_lz4(&chunk);
        }
    }
}
