//! Telling raw JUNGFRAU words from counts.

use crate::Image;
use crate::image::Pixels;

/// One module: 512 lines of 1024 pixels.
const MODULE: (u32, u32) = (1024, 512);
const STAGE_SHIFT: u32 = 14;
const ADC: u16 = (1 << STAGE_SHIFT) - 1;

/// Where the pedestal of stage G0 lies: a module with few photons has most of its words there.
const PEDESTAL: std::ops::RangeInclusive<u16> = 1000..=8000;

/// Whether a detector's name is a JUNGFRAU's.
pub(crate) fn is_named(detector: &str) -> bool {
    detector.to_ascii_lowercase().contains("jungfrau")
}

/// Whether an image of this size is made of whole modules, one above the other.
pub(crate) fn whole_modules(columns: u32, rows: u32) -> bool {
    columns == MODULE.0 && rows > 0 && rows.is_multiple_of(MODULE.1)
}

/// Whether `image` holds raw JUNGFRAU words: 14 bits of ADC below the gain stage in two bits, 00,
/// 01 or 11.
///
/// Counts fail each part of the rule: unsigned words of 16 bits on whole modules; a median of the
/// lower 14 bits in the range of pedestals, where counts would mean a thousand photons in every
/// second pixel; and a stage code 10, which no pixel can have, in fewer than one word of a
/// thousand. A bright CCD image of the same size can pass; a file that names its detector is not
/// asked.
pub(crate) fn is_raw(image: &Image) -> bool {
    let Pixels::U16(words) = &image.pixels else {
        return false;
    };
    if !whole_modules(image.columns, image.rows) || words.is_empty() {
        return false;
    }
    let impossible = words
        .iter()
        .filter(|&word| word >> STAGE_SHIFT == 0b10)
        .count();
    let mut adc: Vec<u16> = words.iter().map(|word| word & ADC).collect();
    let middle = adc.len() / 2;
    let (_, &mut median, _) = adc.select_nth_unstable(middle);
    PEDESTAL.contains(&median) && impossible * 1000 < words.len()
}
