//! Bitshuffle, undone.
//!
//! In a block bit 0 of every value comes first, then bit 1 of every value, and so on: the high bits of small counts
//! become long runs of zeros, which LZ4 then packs.
//!
//! It is undone in passes over a block, which stays in the first cache: eight bits trade places between eight
//! planes, then planes are interleaved, two and two. The passes are plain loops over bytes, which the compiler
//! vectorises with what every CPU of the target has, and their work does not depend on the values.

use super::GROUP;

/// Bits of a byte, each of which has a plane.
const BITS: usize = 8;

/// Passes of [`unshuffle`].
pub(super) const fn passes(size: usize) -> u32 {
    1 + (GROUP * size).ilog2()
}

/// Undoes the bit transposition of one block of values of `size` bytes: the values are where the last of the
/// passes to and fro leaves them.
pub(super) fn unshuffle(shuffled: &mut [u8], other: &mut [u8], size: usize) {
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
