//! Counters of Bragg spots, which judge the same frames beside the network.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use hitgate_import::metrics::{Confusion, Scored, auc};
use hitgate_import::thresholds::{OperatingPoint, Target};
use hitgate_sim::Simulator;
use hitgate_spots::Settings;

use super::EvalArgs;
use super::figures::At;
use crate::commands::spots;
use crate::counts::{CLASS_LIMIT, Counts, KeptFrom, grid};
use crate::reading::Reading;
use crate::spots::CounterMemory;

/// Rejections of misses that are asked of a filter: on the border mix, and on the natural one.
const REJECTIONS: [f64; 2] = [0.90, 0.97];

/// What counts a frame's spots. Its verdict is the class of their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Counter {
    /// Knows the place and shape of every spot and the background under it, and counts by the noisy
    /// pixels: no filter that has to find the spots can be expected to do better
    #[value(skip)]
    Oracle,
    /// The classical spot counter, `hitgate spots` with its own settings
    Spots,
    /// The same with the settings of `hitgate spots --tune` that turn out the best on the very frames
    /// that it is judged by, which flatters it: other ones for every set, and every figure
    Tuned,
}

/// The counters that the command line asks for.
pub fn wanted(args: &EvalArgs) -> Vec<Counter> {
    let oracle = args.oracle.then_some(Counter::Oracle);
    oracle.into_iter().chain(args.baseline).collect()
}

impl Counter {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Counter::Oracle => "oracle",
            Counter::Spots => "spots",
            Counter::Tuned => "tuned",
        }
    }

    /// The settings that it counts with; the oracle has none.
    pub fn settings(self) -> Vec<Settings> {
        match self {
            Counter::Oracle => Vec::new(),
            Counter::Spots => vec![Settings::default()],
            Counter::Tuned => grid(Settings::default()),
        }
    }

    /// Spots that it counts on a simulated frame, by each of its settings.
    pub fn of_simulated(
        self,
        simulator: &Simulator,
        index: u64,
        memory: &mut CounterMemory,
    ) -> Result<Vec<u32>> {
        match self {
            Counter::Oracle => Ok(vec![simulator.oracle(index).1.spots]),
            Counter::Spots | Counter::Tuned => {
                let frame = simulator.frame(index);
                Ok(memory.simulated(&frame, &self.settings())?)
            }
        }
    }

    /// Spots that it counts on the frames of a file, by the frames' numbers and by each of its
    /// settings; without frames that it cannot count. The oracle knows no file.
    pub fn of_file(self, path: &Path, reading: &Reading<'_>) -> Result<BTreeMap<usize, Vec<u32>>> {
        match self {
            Counter::Oracle => Ok(BTreeMap::new()),
            Counter::Spots | Counter::Tuned => spots::of_file(path, reading, &self.settings()),
        }
    }
}

/// A counter that keeps from some number of spots on, and the network where it drops as many misses.
pub struct Beside {
    /// The settings that the counter does it with.
    pub settings: Option<Settings>,
    pub kept: KeptFrom,
    /// Set to drop just as many; more only where scores are equal. `None` without a miss.
    pub network: Option<At>,
}

/// What a counter makes of frames, beside the network.
pub struct Counted {
    pub counter: Counter,
    /// By the settings of the largest area.
    pub confusion: Confusion,
    /// The largest area under the ROC curve that any of its settings has.
    pub auc: Option<f64>,
    /// With the settings of the largest area, where it keeps what it calls a hit or a maybe.
    pub own: Beside,
    /// Where it drops at least as many misses as the network at its threshold.
    pub at_threshold: Beside,
    /// Where it drops at least these shares of the misses.
    pub rejecting: Vec<(f64, Beside)>,
}

impl Counted {
    /// Compares the spots counted on each frame, by each of the counter's settings, with its label,
    /// and with the network, which drops `dropping` of the misses at its threshold. Where so much is to
    /// be dropped, the best settings are those that keep the most hits or maybes; of such the most
    /// hits.
    pub fn of(counter: Counter, spots: &[&[u32]], scored: &[Scored], dropping: f64) -> Self {
        let settings = counter.settings();
        let by_settings: Vec<Counts> = (0..settings.len().max(1))
            .map(|number| {
                let frames = scored.iter().zip(spots);
                frames
                    .map(|(frame, spots)| (frame.truth, spots[number]))
                    .collect()
            })
            .collect();
        let beside = |number: usize, kept: KeptFrom| {
            let dropped = kept.filtered.misses_dropped.fraction();
            let network = OperatingPoint::set(scored, Target::Rejection(dropped));
            Beside {
                settings: settings.get(number).copied(),
                kept,
                network: network.map(At::from),
            }
        };
        let rejecting = |rejection: f64| {
            let (number, kept) = best(
                &by_settings,
                |counts| counts.rejecting(rejection),
                |kept| {
                    let kept = kept.filtered;
                    [kept.wanted_kept.k, kept.hits_kept.k]
                },
            );
            beside(number, kept)
        };
        let (number, area) = best(&by_settings, |counts| auc(counts.scored()), |area| *area);
        let of_largest_area = &by_settings[number];
        Counted {
            counter,
            confusion: Confusion::of(of_largest_area.scored()),
            auc: area,
            own: beside(number, of_largest_area.kept_from(CLASS_LIMIT)),
            at_threshold: rejecting(dropping),
            rejecting: REJECTIONS.map(|share| (share, rejecting(share))).into(),
        }
    }
}

/// The number of the settings that are the best by `key` of the figure, and that figure; of equals the
/// first.
fn best<F, K: PartialOrd>(
    by_settings: &[Counts],
    figure: impl Fn(&Counts) -> F,
    key: impl Fn(&F) -> K,
) -> (usize, F) {
    let mut best = (0, figure(&by_settings[0]));
    for (number, counts) in by_settings.iter().enumerate().skip(1) {
        let found = figure(counts);
        if key(&found) > key(&best.1) {
            best = (number, found);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_core::verdict::Class;
    use hitgate_core::verdict::Class::{Hit, Maybe, Miss};
    use hitgate_import::metrics::{Filtered, Share};

    fn scored<const N: usize>(frames: [(Class, f64); N]) -> [Scored; N] {
        frames.map(|(truth, keep)| Scored {
            truth,
            p: [keep, 0.0, 1.0 - keep],
        })
    }

    /// Hits or maybes kept, and misses dropped.
    fn shares(filtered: Filtered) -> [u64; 2] {
        [filtered.wanted_kept.k, filtered.misses_dropped.k]
    }

    #[test]
    fn counter_and_network_are_compared_where_they_drop_as_many_misses() {
        let scored = scored([
            (Hit, 0.875),
            (Maybe, 0.25),
            (Miss, 0.5),
            (Miss, 0.125),
            (Miss, 0.0625),
        ]);
        // It takes the hit for a maybe and one miss for a maybe: two of three misses dropped.
        let spots: [&[u32]; 5] = [&[9], &[4], &[6], &[3], &[0]];
        let counted = Counted::of(Counter::Oracle, &spots, &scored, 1.0);
        assert_eq!(counted.confusion.0, [[0, 1, 0], [0, 1, 0], [0, 1, 2]]);
        let own = counted.own.kept;
        assert_eq!(own.spots, CLASS_LIMIT);
        assert_eq!(own.filtered.wanted_kept, Share { k: 2, n: 2 });
        assert_eq!(own.filtered.misses_dropped, Share { k: 2, n: 3 });
        let network = counted.own.network.unwrap();
        assert_eq!(shares(network.filtered), [2, 2]);
        assert!(network.threshold > 0.125 && network.threshold <= 0.25);
        // To drop the miss of six spots it has to drop the maybe of four.
        let strict = counted.at_threshold;
        assert_eq!(
            (strict.kept.spots, shares(strict.kept.filtered)),
            (7, [1, 3])
        );
        assert_eq!(shares(strict.network.unwrap().filtered), [1, 3]);
        assert_eq!(strict.settings, None);
    }

    #[test]
    fn each_figure_of_a_tuned_counter_is_that_of_its_best_settings() {
        let scored = scored([
            (Hit, 0.9),
            (Maybe, 0.4),
            (Miss, 0.5),
            (Miss, 0.1),
            (Miss, 0.1),
            (Miss, 0.1),
        ]);
        // By settings 5 the hit is above all misses and the maybe above one; by settings 9 both are
        // above two of them; by all others nothing is told from anything.
        let grid = Counter::Tuned.settings();
        let rows = [(20, 7), (5, 7), (9, 8), (9, 8), (9, 0), (1, 0)].map(|(by_5, by_9)| {
            let mut row = vec![3; grid.len()];
            (row[5], row[9]) = (by_5, by_9);
            row
        });
        let spots: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        let counted = Counted::of(Counter::Tuned, &spots, &scored, 0.5);
        assert_eq!(counted.auc, Some(5.0 / 8.0));
        assert_eq!(counted.own.settings, Some(grid[5]));
        assert_eq!(counted.confusion.0, [[1, 0, 0], [0, 1, 0], [0, 3, 1]]);
        // Two misses are to be dropped. The network has three of one score and drops all of these.
        let half = counted.at_threshold;
        assert_eq!(half.settings, Some(grid[9]));
        assert_eq!((half.kept.spots, shares(half.kept.filtered)), (1, [2, 2]));
        assert_eq!(shares(half.network.unwrap().filtered), [2, 3]);
        let (share, strict) = &counted.rejecting[0];
        assert_eq!((*share, strict.settings), (0.9, Some(grid[5])));
        assert_eq!(
            (strict.kept.spots, shares(strict.kept.filtered)),
            (10, [1, 4])
        );
    }

    #[test]
    fn a_set_of_one_kind_has_no_area_and_nothing_beside_it() {
        let misses = scored([(Miss, 0.5)]);
        let counted = Counted::of(Counter::Spots, &[&[2]], &misses, 1.0);
        assert_eq!(
            (counted.auc, counted.own.kept.filtered.misses_dropped.k),
            (None, 1)
        );
        let hits = scored([(Hit, 0.5)]);
        let counted = Counted::of(Counter::Spots, &[&[2]], &hits, f64::NAN);
        assert!(counted.own.network.is_none() && counted.at_threshold.network.is_none());
        assert_eq!(counted.at_threshold.kept.filtered.hits_kept.k, 1);
    }
}
