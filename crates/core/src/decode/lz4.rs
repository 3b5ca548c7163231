//! Blocks of LZ4, unpacked in safe code.
//!
//! Bit planes of small counts are long runs: a few bytes, repeated over kilobytes. lz4_flex copies such a run
//! byte by byte, which took more than half of a frame's time; here what is copied doubles.

/// Bytes that are copied at once where a literal or a match is short and there is room for them.
const CHUNK: usize = 16;
/// The shortest match.
const SHORTEST: usize = 4;

/// Unpacks a block into all of `target`; `None` where it contradicts itself or has another length.
pub(super) fn unpack(mut block: &[u8], target: &mut [u8]) -> Option<()> {
    let mut at = 0;
    loop {
        let token = take(&mut block)?;
        let literals = length(token >> 4, &mut block)?;
        let room = target[at..].first_chunk_mut::<CHUNK>();
        match (block.first_chunk(), room) {
            (Some(from), Some(to)) if literals <= CHUNK => *to = *from,
            _ => {
                let to = target[at..].get_mut(..literals)?;
                to.copy_from_slice(block.get(..literals)?);
            }
        }
        block = block.get(literals..)?;
        at += literals;
        if block.is_empty() {
            return (at == target.len()).then_some(());
        }
        let offset = u16::from_le_bytes([take(&mut block)?, take(&mut block)?]);
        let matched = length(token & 15, &mut block)?.checked_add(SHORTEST)?;
        repeat(target, at, offset.into(), matched)?;
        at += matched;
    }
}

/// Copies the `len` bytes that start `offset` before `at` to `at`, where they may overlap.
#[inline]
fn repeat(target: &mut [u8], at: usize, offset: usize, len: usize) -> Option<()> {
    let from = at.checked_sub(offset)?;
    if offset >= CHUNK && len <= 2 * CHUNK && at + 2 * CHUNK <= target.len() {
        for half in [0, CHUNK] {
            let bytes: [u8; CHUNK] = *target[from + half..].first_chunk()?;
            *target[at + half..].first_chunk_mut()? = bytes;
        }
        return Some(());
    }
    if offset == 0 || len > target.len() - at {
        return None;
    }
    // What lies from `from` on repeats itself, and can be copied as soon as it is there.
    let mut copied = 0;
    while copied < len {
        let more = (len - copied).min(offset + copied);
        target.copy_within(from..from + more, at + copied);
        copied += more;
    }
    Some(())
}

/// A length that starts in half a token, and goes on where that is full.
#[inline]
fn length(half: u8, block: &mut &[u8]) -> Option<usize> {
    let mut length = usize::from(half);
    let mut more = half == 15;
    while more {
        let byte = take(block)?;
        length = length.checked_add(byte.into())?;
        more = byte == 255;
    }
    Some(length)
}

#[inline]
fn take(block: &mut &[u8]) -> Option<u8> {
    block.split_off_first().copied()
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use lz4_flex::block::{compress, decompress};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// Runs of few bytes, of any length, with something else between them.
    fn runs() -> impl Strategy<Value = Vec<u8>> {
        let period = prop::collection::vec(any::<u8>(), 1..40);
        let run = (period, 1usize..600).prop_map(|(period, len)| {
            let bytes = period.iter().cycle().take(len);
            bytes.copied().collect::<Vec<u8>>()
        });
        prop::collection::vec(run, 0..12).prop_map(|runs| runs.concat())
    }

    proptest! {
        #[test]
        fn unpacks_what_was_packed(bytes in runs()) {
            let packed = compress(&bytes);
            let mut found = vec![0xAA; bytes.len()];
            prop_assert_eq!(unpack(&packed, &mut found), Some(()));
            prop_assert_eq!(&found, &bytes);
            for other in [bytes.len() + 1, bytes.len().saturating_sub(1)] {
                let mut other = vec![0xAA; other];
                let fits = other.len() == bytes.len();
                prop_assert_eq!(unpack(&packed, &mut other).is_some(), fits);
            }
        }

        /// Whatever a damaged block unpacks to, it is what another reader makes of it.
        #[test]
        fn damage_is_refused_or_read_alike(bytes in runs(), at: prop::sample::Index, to: u8) {
            let mut packed = compress(&bytes);
            let at = at.index(packed.len());
            packed[at] = to;
            let mut found = vec![0xAA; bytes.len()];
            let unpacked = unpack(&packed, &mut found).map(|()| found);
            let other = decompress(&packed, bytes.len()).ok();
            prop_assert_eq!(unpacked, other.filter(|other| other.len() == bytes.len()));
        }

        #[test]
        fn any_bytes_do_not_panic(packed: Vec<u8>, len in 0usize..300) {
            let _ = unpack(&packed, &mut vec![0; len]);
        }
    }

    #[test]
    fn runs_of_every_period_and_length() {
        for offset in 1..=40u8 {
            for matched in 4..=300 {
                let period: Vec<u8> = (1..=offset).collect();
                // Literals, a match, and the last literals.
                let mut packed = vec![0xFF];
                match offset {
                    ..15 => packed[0] = offset << 4 | 15,
                    _ => packed.push(offset - 15),
                }
                packed.extend(&period);
                packed.extend([offset, 0]);
                match matched - 4 {
                    more @ ..15 => packed[0] = packed[0] & 0xF0 | more as u8,
                    more if more < 270 => packed.push((more - 15) as u8),
                    more => packed.extend([255, (more - 270) as u8]),
                }
                packed.extend([0x50, 1, 2, 3, 4, 5]);
                let run = period.iter().cycle().take(usize::from(offset) + matched);
                let expected: Vec<u8> = run.copied().chain(1..=5).collect();
                let mut found = vec![0xAA; expected.len()];
                assert_eq!(unpack(&packed, &mut found), Some(()), "{offset} {matched}");
                assert_eq!(found, expected, "{offset} {matched}");
            }
        }
    }
}
