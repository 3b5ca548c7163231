//! Raw words of an integrating detector, corrected on one level, against the definition.

use half::f16;
use hitgate_kernels::{EXCLUDED, Op, STAGES, Simd, StageMaps, correct};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::layers::On;

/// A word, and the pedestal and the bits of the gain of its pixel in each stage.
type Pixel = (u16, [u16; STAGES], [u16; STAGES]);

/// One pixel at a time, as the definition says.
fn corrected(&(word, pedestals, gains): &Pixel) -> u32 {
    let stage = match word >> 14 {
        0b00 => 0,
        0b01 => 1,
        0b10 => return EXCLUDED,
        _ => 2,
    };
    let quarters = 4 * i32::from(word & 0x3FFF) - i32::from(pedestals[stage]);
    let sixteenths = quarters as f32 * f16::from_bits(gains[stage]).to_f32() * 4.0;
    match sixteenths.is_nan() {
        true => EXCLUDED,
        false => sixteenths.clamp(0.0, 2_147_483_520.0).round_ties_even() as u32,
    }
}

struct Correct<'a>(&'a [[u8; 2]], [StageMaps<'a>; STAGES], &'a mut [u32]);
impl Op for Correct<'_> {
    type Output = ();
    fn run<S: Simd>(self, s: S) {
        correct(s, self.0, &self.1, self.2);
    }
}

fn check(on: On, pixels: &[Pixel]) {
    let words: Vec<[u8; 2]> = pixels.iter().map(|pixel| pixel.0.to_le_bytes()).collect();
    let maps = |of: fn(&Pixel) -> [u16; STAGES]| {
        let stage = |stage: usize| pixels.iter().map(move |pixel| of(pixel)[stage]).collect();
        [stage(0), stage(1), stage(2)] as [Vec<u16>; STAGES]
    };
    let (pedestals, gains) = (maps(|pixel| pixel.1), maps(|pixel| pixel.2));
    let stages = std::array::from_fn(|stage| StageMaps {
        pedestals: &pedestals[stage],
        gains: &gains[stage],
    });
    let mut found = vec![7; pixels.len()];
    on.run(Correct(&words, stages, &mut found));
    for (found, pixel) in found.iter().zip(pixels) {
        assert_eq!(*found, corrected(pixel), "{}: {pixel:04x?}", on.name());
    }
}

/// Every gain there is, numbers or not, with words and pedestals at their edges.
pub fn every_gain(on: On) {
    let words = [0, 1, 5, 0x1FFF, 0x2001, 0x3FFE, 0x3FFF];
    let pedestals = [0, 1, 20, 0x7FFF, 0xFFFB, 0xFFFF];
    let step = if cfg!(miri) { 97 } else { 1 };
    for word in words {
        for pedestal in pedestals {
            let gains = (0..=u16::MAX).step_by(step);
            let pixels = gains.map(|gain| (word, [pedestal; STAGES], [gain; STAGES]));
            check(on, &pixels.collect::<Vec<_>>());
        }
    }
}

/// Every word there is, with gains that leave halves to be rounded and counts of any size.
pub fn every_word(on: On) {
    let gains = [
        0.125, -0.125, 0.0375, -0.5, 1.0, 64.0, -1000.0, 65504.0, 6e-8,
    ];
    let step = if cfg!(miri) { 97 } else { 1 };
    for first in gains {
        let of_stages = [first, -first, first / 3.0].map(|gain| f16::from_f32(gain).to_bits());
        for pedestals in [[0, 65535, 1], [1111, 22_222, 33_333]] {
            let words = (0..=u16::MAX).step_by(step);
            let pixels = words.map(|word| (word, pedestals, of_stages));
            check(on, &pixels.collect::<Vec<_>>());
        }
    }
}

/// Any words and maps, of any number of pixels.
pub fn any_words(on: On) {
    let gain = prop_oneof![
        4 => (-20.0f32..20.0).prop_map(|gain| f16::from_f32(gain).to_bits()),
        1 => any::<u16>(),
    ];
    let pixel = (
        any::<u16>(),
        any::<[u16; STAGES]>(),
        prop::array::uniform3(gain),
    );
    let config = ProptestConfig {
        cases: if cfg!(miri) {
            2
        } else {
            hitgate_testkit::cases(200)
        },
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    TestRunner::new(config)
        .run(&prop::collection::vec(pixel, 0..200), |pixels| {
            check(on, &pixels);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}
