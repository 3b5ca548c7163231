//! Bitshuffle, HDF5 filter 32008, and the plain LZ4 filter 32004: the bytes are [core's](hitgate_core::decode), memory
//! and the way back are here.

use hitgate_core::decode::{Chunk, Damage, Packing, default_block};

/// Registered number of bitshuffle.
pub(super) const BITSHUFFLE: u16 = 32008;
/// Registered number of plain LZ4.
pub(super) const LZ4: u16 = 32004;

/// Values that are shuffled together; what is left at the end is stored as it is.
const GROUP: usize = 8;

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

impl From<Damage> for Refusal {
    fn from(damage: Damage) -> Self {
        Refusal::Damaged(damage.to_string())
    }
}

/// Unpacks one bitshuffled chunk. `parameters` are those of the filter: version (2 words), bytes of
/// a value, values in a block, packing.
pub(super) fn unpack(parameters: &[u32], chunk: &[u8]) -> Result<Vec<u8>, Refusal> {
    let size = match parameters.get(2) {
        Some(&size @ (1 | 2 | 4 | 8)) => size as usize,
        other => {
            return Err(Refusal::Damaged(format!(
                "bitshuffle with values of {other:?} bytes"
            )));
        }
    };
    let (packing, chunk) = match parameters.get(4) {
        None | Some(0) => (
            Packing::Stored,
            Chunk {
                total: chunk.len(),
                block: (parameters.get(3)).map_or(0, |&values| values as usize * size),
                blocks: chunk,
            },
        ),
        Some(2) => (Packing::Lz4, Chunk::parse(chunk)?),
        Some(3) => return Err(Refusal::Unsupported("bitshuffle with zstd".into())),
        Some(other) => {
            return Err(Refusal::Unsupported(format!(
                "bitshuffle with packing {other}"
            )));
        }
    };
    let mut values = vec![0; chunk.total];
    Decoder::default().unshuffle(&chunk, packing, size, &mut values)?;
    Ok(values)
}

/// Unpacks frames that were bitshuffled and packed with LZ4, as detectors send them, in memory that it keeps:
/// once it has seen a frame it allocates nothing for others like it.
#[derive(Debug, Default)]
pub struct Decoder {
    /// A block that is being worked on.
    scratch: Vec<u8>,
}

impl Decoder {
    /// Unpacks `chunk`, a frame of values of `size` bytes, into `values`, all of them.
    ///
    /// # Errors
    /// [`Refusal`] where the bytes contradict themselves, or unpack to another length; `size` is 1, 2, 4 or 8.
    pub fn decode(&mut self, size: usize, chunk: &[u8], values: &mut [u8]) -> Result<(), Refusal> {
        self.unshuffle(&Chunk::parse(chunk)?, Packing::Lz4, size, values)
    }

    fn unshuffle(
        &mut self,
        chunk: &Chunk<'_>,
        packing: Packing,
        size: usize,
        values: &mut [u8],
    ) -> Result<(), Refusal> {
        self.scratch
            .resize(chunk.scratch(size).min(values.len()), 0);
        chunk.unshuffle(packing, size, |_| true, &mut self.scratch, values)?;
        Ok(())
    }
}

/// Unpacks one chunk of the plain LZ4 filter.
pub(super) fn unpack_lz4(chunk: &[u8]) -> Result<Vec<u8>, Refusal> {
    let chunk = Chunk::parse(chunk)?;
    let mut values = vec![0; chunk.total];
    chunk.unpack(|_| true, &mut values)?;
    Ok(values)
}

/// Packs values of `size` bytes, 1, 2, 4 or 8, with bitshuffle and LZ4, as a [`Decoder`] takes them.
pub fn encode(size: usize, values: &[u8]) -> Vec<u8> {
    encode_in_blocks(size, default_block(size), values)
}

/// The same in blocks of `block` bytes, a multiple of those of eight values.
pub fn encode_in_blocks(size: usize, block: usize, values: &[u8]) -> Vec<u8> {
    let mut chunk = header(values.len(), block);
    let (whole, left) = values.split_at(values.len() / (size * GROUP) * (size * GROUP));
    let mut shuffled = vec![0; block];
    for values in whole.chunks(block) {
        let shuffled = &mut shuffled[..values.len()];
        shuffle(values, shuffled, size);
        append(&mut chunk, &lz4_flex::block::compress(shuffled));
    }
    chunk.extend(left);
    chunk
}

/// Packs values with LZ4 alone in blocks of `block` bytes, as the filter 32004 does.
pub fn encode_lz4(block: usize, values: &[u8]) -> Vec<u8> {
    let mut chunk = header(values.len(), block);
    for values in values.chunks(block) {
        let packed = lz4_flex::block::compress(values);
        match packed.len() < values.len() {
            true => append(&mut chunk, &packed),
            false => append(&mut chunk, values),
        }
    }
    chunk
}

/// The header of a chunk, with room for what usually follows.
fn header(total: usize, block: usize) -> Vec<u8> {
    let mut chunk = Vec::with_capacity(total / 4);
    chunk.extend((total as u64).to_be_bytes());
    chunk.extend((block as u32).to_be_bytes());
    chunk
}

/// Appends a block, its length before it.
fn append(chunk: &mut Vec<u8>, block: &[u8]) {
    chunk.extend((block.len() as u32).to_be_bytes());
    chunk.extend(block);
}

/// Transposes the bits of one block of values of `size` bytes, as a [`Decoder`] takes them back.
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
            prop_assert_eq!(&chunk, &packed(values, size, 8192));
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
