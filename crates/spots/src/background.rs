//! Counts of rings → mean and noise of their background.

use crate::settings::Settings;

/// One ring: the background in it, and how many counts stand out of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ring {
    /// Pixels of the background.
    pub(crate) pixels: u32,
    /// Counts above it are no background.
    limit: u32,
    /// Counts between the limit and the one before: they have changed sides.
    changed: Range,
    sum: u64,
    squares: u64,
    /// Mean count of the background.
    pub(crate) mean: f32,
    /// Its standard deviation.
    pub(crate) noise: f32,
    /// The least count that stands out.
    pub(crate) bar: u32,
}

/// So many counts from the first on.
#[derive(Clone, Copy, Debug, Default)]
struct Range {
    first: u32,
    len: u32,
}

impl Range {
    #[inline(always)]
    fn holds(self, count: u32) -> bool {
        count.wrapping_sub(self.first) < self.len
    }
}

/// Most rounds; two to five leave out all that stands out.
const ROUNDS: usize = 8;
/// A pixel of more counts than this is never background: the sums cannot overflow, as a frame has at
/// most 65,535 x 65,535 pixels.
pub(crate) const LARGEST: u32 = u16::MAX as u32;
/// Counts so many standard deviations above the mean are no background. With more, a spot that covers
/// a tenth of a small ring would hide itself.
const OUTLIER: f32 = 3.0;
/// Counts so little above the mean are background whatever the noise: where almost no photon falls, a
/// pixel with one is no outlier.
const FEW: f32 = 2.0;
/// The least standard deviation: that of a hundredth of a photon a pixel.
pub(crate) const DARKEST: f32 = 0.1;

impl Ring {
    /// Makes a count that changed sides part of the background, or no part of it.
    fn correct(&mut self, count: u32) {
        let (count, square) = (u64::from(count), u64::from(count) * u64::from(count));
        if count <= u64::from(self.limit) {
            self.pixels += 1;
            self.sum += count;
            self.squares += square;
        } else {
            self.pixels -= 1;
            self.sum -= count;
            self.squares -= square;
        }
    }

    /// Mean and noise of the background so far, and the limit that follows. Whether it moved.
    fn settle(&mut self) -> bool {
        (self.mean, self.noise) = moments(self.pixels, self.sum, self.squares);
        let before = self.limit;
        self.limit = self.outlier_limit();
        self.changed = Range {
            first: before.min(self.limit) + 1,
            len: before.abs_diff(self.limit),
        };
        before != self.limit
    }

    /// The largest count that is background.
    fn outlier_limit(&self) -> u32 {
        let above = (OUTLIER * self.noise).max(FEW);
        ((self.mean + above) as u32).min(LARGEST)
    }

    /// The least count that stands out; none at the mean does, whatever the settings.
    fn bar(&self, settings: &Settings) -> u32 {
        let above = (settings.snr * self.noise).max(settings.threshold);
        ceil(self.mean + above).max(self.mean as u32 + 1)
    }
}

/// Mean and standard deviation of `pixels` counts, from the sums of them and of their squares; the
/// deviation is at least [`DARKEST`].
pub(crate) fn moments(pixels: u32, sum: u64, squares: u64) -> (f32, f32) {
    if pixels == 0 {
        return (0.0, DARKEST);
    }
    let n = f64::from(pixels);
    let mean = sum as f64 / n;
    let variance = squares as f64 / n - mean * mean;
    (mean as f32, sqrt(variance).max(DARKEST))
}

/// The root, to a thousandth from [`DARKEST`] on; 0 of less than nothing.
pub(crate) fn sqrt(x: f64) -> f32 {
    const SCALE: f64 = (1u64 << 32) as f64;
    let scaled = (x * SCALE) as u64;
    match scaled {
        u64::MAX => (x as u64).isqrt() as f32,
        _ => scaled.isqrt() as f32 / 65536.0,
    }
}

fn ceil(x: f32) -> u32 {
    let floor = x as u32;
    floor.saturating_add(u32::from((floor as f32) < x))
}

/// Finds the background of each ring. `of[i]` is the ring of the pixel with `counts[i]`; the last of
/// `rings` is for pixels in no ring.
pub(crate) fn find(counts: &[u32], of: &[u16], rings: &mut [Ring]) {
    let everything = Ring {
        limit: LARGEST,
        changed: Range {
            first: 0,
            len: LARGEST + 1,
        },
        ..Ring::default()
    };
    rings.fill(everything);
    for _ in 0..ROUNDS {
        for (&count, &ring) in counts.iter().zip(of) {
            let ring = &mut rings[usize::from(ring)];
            if ring.changed.holds(count) {
                ring.correct(count);
            }
        }
        let moved = |moved, ring: &mut Ring| moved | ring.settle();
        if !rings.iter_mut().fold(false, moved) {
            break;
        }
    }
}

/// Puts the bar above the background of each ring. Nothing stands out of no ring.
pub(crate) fn set_bars(rings: &mut [Ring], settings: &Settings) {
    for ring in rings.iter_mut() {
        ring.bar = ring.bar(settings);
    }
    if let Some(nowhere) = rings.last_mut() {
        nowhere.bar = u32::MAX;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn find_with_bars(counts: &[u32], of: &[u16], rings: &mut [Ring], settings: &Settings) {
        find(counts, of, rings);
        set_bars(rings, settings);
    }

    /// The definition in plain loops and floating point: mean, noise and bar of a ring's counts.
    fn by_definition(counts: &[u32], settings: &Settings) -> (f64, f64, u32) {
        let mut limit = 65535;
        let (mut mean, mut noise) = (0.0, 0.1);
        for _ in 0..ROUNDS {
            let kept: Vec<f64> = counts
                .iter()
                .filter(|&&count| count <= limit)
                .map(|&count| f64::from(count))
                .collect();
            let n = kept.len() as f64;
            mean = kept.iter().sum::<f64>() / n;
            noise = (kept.iter().map(|c| (c - mean).powi(2)).sum::<f64>() / n)
                .sqrt()
                .max(0.1);
            let next = (mean + (3.0 * noise).max(2.0)) as u32;
            if next == limit {
                break;
            }
            limit = next;
        }
        let above = (f64::from(settings.snr) * noise).max(f64::from(settings.threshold));
        (mean, noise, (mean + above).ceil() as u32)
    }

    #[test]
    fn rings_are_their_definition_in_plain_loops() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 16
        };
        let levels = [1, 2, 7, 40, 1000];
        let of: Vec<u16> = (0..6000).map(|_| (random() % 6) as u16).collect();
        let counts: Vec<u32> = of
            .iter()
            .map(
                |&ring| match (levels.get(usize::from(ring)), random() % 50) {
                    (None, _) => 9,
                    (_, 0) => u32::MAX,
                    (_, 1) => 70_000,
                    (_, 2) => 300 + random() % 2000,
                    (Some(level), _) => (random() % (level + 1) + random() % (level + 1)) / 2,
                },
            )
            .collect();
        let settings = Settings {
            snr: 5.0,
            ..Settings::default()
        };
        let mut rings = vec![Ring::default(); levels.len() + 1];
        find_with_bars(&counts, &of, &mut rings, &settings);
        for (number, ring) in rings[..levels.len()].iter().enumerate() {
            let own: Vec<u32> = (counts.iter().zip(&of))
                .filter(|&(_, &of)| usize::from(of) == number)
                .map(|(&count, _)| count)
                .collect();
            let (mean, noise, bar) = by_definition(&own, &settings);
            assert!((f64::from(ring.mean) / mean - 1.0).abs() < 1e-4, "{number}");
            assert!(
                (f64::from(ring.noise) / noise - 1.0).abs() < 1e-3,
                "{number}"
            );
            assert!(ring.bar.abs_diff(bar) <= 1, "{number}: {} {bar}", ring.bar);
            assert!(
                number == 4 || ring.bar < 300,
                "what stands out is no background: {number}"
            );
        }
        assert_eq!(
            rings[levels.len()].bar,
            u32::MAX,
            "nothing stands out of no ring"
        );
    }

    #[test]
    fn a_photon_in_the_dark_is_background_and_not_left_out() {
        let mut counts = vec![0; 1000];
        counts[..10].fill(1);
        let mut rings = [Ring::default(); 2];
        let settings = Settings {
            threshold: 3.0,
            ..Settings::default()
        };
        find_with_bars(&counts, &[0; 1000], &mut rings, &settings);
        assert_eq!((rings[0].mean, rings[0].noise), (0.01, DARKEST));
        assert_eq!(rings[0].bar, 4, "three photons above the mean");
    }

    #[test]
    fn a_ring_without_a_valid_pixel_has_a_bar() {
        let mut rings = [Ring::default(); 2];
        find_with_bars(
            &[u32::MAX; 4],
            &[0, 0, 1, 1],
            &mut rings,
            &Settings::default(),
        );
        assert_eq!((rings[0].mean, rings[0].bar), (0.0, 2));
    }

    #[test]
    fn no_settings_make_the_mean_stand_out() {
        for number in [f32::NAN, f32::NEG_INFINITY, -1e30, 0.0, f32::INFINITY] {
            let settings = Settings {
                threshold: number,
                snr: number,
                ..Settings::default()
            };
            let mut rings = [Ring::default(); 2];
            find_with_bars(&[5; 100], &[0; 100], &mut rings, &settings);
            assert!(rings[0].bar > 5, "{number}");
        }
    }

    #[test]
    fn roots_of_small_and_large() {
        for x in [0.01, 0.5, 2.0, 1e6, 1e12, 1e18] {
            assert!((f64::from(sqrt(x)) / x.sqrt() - 1.0).abs() < 1e-3, "{x}");
        }
        assert_eq!([sqrt(-1.0), sqrt(0.0), sqrt(f64::NAN)], [0.0; 3]);
    }
}
