//! CBF's byte-offset compression: each pixel as its difference from the one before, in one byte
//! where it fits, else behind an escape in two, four or eight (International Tables G, 5.6.3.3).

/// Unpacks exactly `count` values; `None` where the bytes end early.
pub(super) fn unpack(mut bytes: &[u8], count: usize) -> Option<Vec<i32>> {
    // One byte a value is the least: a count that a header made up allocates nothing.
    if bytes.len() < count {
        return None;
    }
    let mut values = Vec::with_capacity(count);
    let mut value = 0i32;
    for _ in 0..count {
        let difference = match bytes.split_first()? {
            (0x80, rest) => {
                let (difference, rest) = escaped(rest)?;
                bytes = rest;
                difference
            }
            (&byte, rest) => {
                bytes = rest;
                i32::from(byte as i8)
            }
        };
        value = value.wrapping_add(difference);
        values.push(value);
    }
    Some(values)
}

/// A difference that does not fit one byte. The last 64 bits may carry more than a value has; the
/// sum is taken in 32 bits, so that only the low half counts.
#[cold]
fn escaped(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (word, bytes) = bytes.split_first_chunk()?;
    let short = i16::from_le_bytes(*word);
    if short != i16::MIN {
        return Some((i32::from(short), bytes));
    }
    let (word, bytes) = bytes.split_first_chunk()?;
    let long = i32::from_le_bytes(*word);
    if long != i32::MIN {
        return Some((long, bytes));
    }
    let (word, bytes) = bytes.split_first_chunk()?;
    Some((i64::from_le_bytes(*word) as i32, bytes))
}

/// Packs `values`.
pub(crate) fn pack(values: impl ExactSizeIterator<Item = i32>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() + values.len() / 8);
    let mut before = 0i64;
    for value in values {
        let difference = i64::from(value) - before;
        before = i64::from(value);
        match difference {
            -127..=127 => bytes.push(difference as u8),
            -32_767..=32_767 => {
                bytes.push(0x80);
                bytes.extend((difference as i16).to_le_bytes());
            }
            -2_147_483_647..=2_147_483_647 => {
                bytes.extend([0x80, 0x00, 0x80]);
                bytes.extend((difference as i32).to_le_bytes());
            }
            _ => {
                bytes.extend([0x80, 0x00, 0x80, 0x00, 0x00, 0x00, 0x80]);
                bytes.extend(difference.to_le_bytes());
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_width_of_difference() {
        let values = [
            0,
            127,
            0,
            -127,
            1,
            -128,
            128,
            32_767,
            -1,
            -32_768,
            70_000,
            -1,
            i32::MAX,
            i32::MIN,
            i32::MAX,
            -2,
        ];
        assert_eq!(
            unpack(&pack(values.iter().copied()), values.len()).as_deref(),
            Some(&values[..])
        );
        assert_eq!(pack([1, 0, -1].into_iter()), [1, 0xff, 0xff]);
        assert_eq!(pack([128].into_iter()), [0x80, 128, 0]);
    }

    proptest! {
        #[test]
        fn round_trip(values: Vec<i32>) {
            prop_assert_eq!(unpack(&pack(values.iter().copied()), values.len()), Some(values));
        }

        #[test]
        fn any_bytes_end_in_values_or_none(bytes: Vec<u8>, count in 0usize..300) {
            if let Some(values) = unpack(&bytes, count) {
                prop_assert_eq!(values.len(), count);
            }
        }
    }
}
