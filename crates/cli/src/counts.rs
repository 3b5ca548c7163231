//! Spots counted on labelled frames: what keeping a frame by their number does, and the settings of
//! the counter that are tried for it.

use hitgate_core::verdict::Class;
use hitgate_import::metrics::{Filtered, Scored};
use hitgate_import::thresholds::fewest;
use hitgate_spots::Settings;
use serde_json::{Value, json};

/// From so many spots on a frame is a maybe or a hit.
pub const CLASS_LIMIT: u32 = 4;
/// What is tried of each of the settings.
const THRESHOLDS: [f32; 4] = [2.0, 4.0, 6.0, 10.0];
const SNRS: [f32; 6] = [5.0, 6.0, 8.0, 10.0, 12.0, 16.0];
const MIN_PIXELS: [u32; 3] = [1, 2, 3];

/// Every combination of what is tried, the rest as given.
pub fn grid(given: Settings) -> Vec<Settings> {
    let mut grid = Vec::new();
    for threshold in THRESHOLDS {
        for snr in SNRS {
            grid.extend(MIN_PIXELS.map(|min_pixels| Settings {
                threshold,
                snr,
                min_pixels,
                ..given
            }));
        }
    }
    grid
}

/// The settings for programs to read.
pub fn settings_json(settings: &Settings) -> Value {
    json!({
        "threshold": settings.threshold, "snr": settings.snr, "min_pixels": settings.min_pixels,
        "max_pixels": settings.max_pixels, "local_radius": settings.local_radius,
    })
}

/// A number of spots from which on frames are kept, and what that keeps and drops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KeptFrom {
    pub spots: u32,
    pub filtered: Filtered,
}

/// Labelled frames with the number of spots of each.
pub struct Counts {
    frames: Vec<(Class, u32)>,
    scored: Vec<Scored>,
}

impl FromIterator<(Class, u32)> for Counts {
    fn from_iter<T: IntoIterator<Item = (Class, u32)>>(frames: T) -> Self {
        let frames: Vec<_> = frames.into_iter().collect();
        let score = |&(truth, spots): &(Class, u32)| Scored::of_spots(truth, spots);
        Counts {
            scored: frames.iter().map(score).collect(),
            frames,
        }
    }
}

impl Counts {
    /// The frames, each with its count in place of a network's score.
    pub fn scored(&self) -> &[Scored] {
        &self.scored
    }

    /// What is kept of `spots` on.
    pub fn kept_from(&self, spots: u32) -> KeptFrom {
        let least = Scored::of_spots(Class::Miss, spots).keep();
        KeptFrom {
            spots,
            filtered: Filtered::at(&self.scored, least),
        }
    }

    /// The fewest spots to be kept with where at least so much of the misses is dropped.
    pub fn rejecting(&self, rejection: f64) -> KeptFrom {
        let of_misses = self
            .frames
            .iter()
            .filter(|(truth, _)| *truth == Class::Miss);
        let mut misses: Vec<u32> = of_misses.map(|&(_, spots)| spots).collect();
        misses.sort_unstable();
        let dropped = fewest(rejection, misses.len());
        let most_dropped = dropped.checked_sub(1).and_then(|last| misses.get(last));
        self.kept_from(most_dropped.map_or(0, |spots| spots.saturating_add(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_import::metrics::Share;

    #[test]
    fn a_rejection_is_reached_with_the_fewest_spots() {
        use Class::{Hit, Maybe, Miss};
        let counts: Counts = [
            (Hit, 12),
            (Maybe, 5),
            (Miss, 0),
            (Miss, 5),
            (Miss, 5),
            (Miss, 9),
        ]
        .into_iter()
        .collect();
        // Of the two misses of five spots both or neither are dropped.
        for (rejection, spots, dropped, kept) in [
            (0.0, 0, 0, 2),
            (0.25, 1, 1, 2),
            (0.5, 6, 3, 1),
            (0.75, 6, 3, 1),
            (0.9, 10, 4, 1),
        ] {
            let at = counts.rejecting(rejection);
            assert_eq!(at.spots, spots, "{rejection}");
            assert_eq!(at.filtered.misses_dropped, Share { k: dropped, n: 4 });
            assert_eq!(at.filtered.wanted_kept, Share { k: kept, n: 2 });
        }
    }

    #[test]
    fn a_miss_that_could_not_be_counted_is_kept_by_any_number() {
        let counts: Counts = [(Class::Miss, u32::MAX)].into_iter().collect();
        assert_eq!(counts.rejecting(1.0).filtered.misses_dropped.k, 0);
        let none: Counts = [(Class::Hit, 3)].into_iter().collect();
        assert_eq!(none.rejecting(0.9).spots, 0);
    }

    #[test]
    fn the_limit_is_where_misses_end() {
        assert_eq!(Class::of_spots(CLASS_LIMIT), Class::Maybe);
        assert_eq!(Class::of_spots(CLASS_LIMIT - 1), Class::Miss);
    }

    #[test]
    fn the_grid_holds_every_combination_once_and_the_default_among_them() {
        let given = Settings {
            local_radius: 7,
            ..Settings::default()
        };
        let grid = grid(given);
        assert_eq!(grid.len(), 4 * 6 * 3);
        assert!(grid.contains(&given));
        let distinct =
            |settings: &&Settings| grid.iter().filter(|other| other == settings).count() == 1;
        assert!(grid.iter().all(|settings| distinct(&settings)));
    }
}
