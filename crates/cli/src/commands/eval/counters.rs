//! Counters of Bragg spots, which judge the same frames beside the network.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use hitgate_core::verdict::Class;
use hitgate_import::metrics::{Confusion, Scored, auc};
use hitgate_import::thresholds::{OperatingPoint, Target};
use hitgate_sim::Simulator;
use hitgate_spots::Settings;

use super::EvalArgs;
use super::figures::At;
use crate::commands::spots;
use crate::spots::CounterMemory;

/// What counts a frame's spots. Its verdict is the class of their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Counter {
    /// Knows the place and shape of every spot and the background under it, and counts by the noisy
    /// pixels: no filter that has to find the spots can be expected to do better
    #[value(skip)]
    Oracle,
    /// The classical spot counter, `hitgate spots` with its own settings
    Spots,
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
        }
    }

    /// Spots that it counts on a simulated frame.
    pub fn of_simulated(
        self,
        simulator: &Simulator,
        index: u64,
        memory: &mut CounterMemory,
    ) -> Result<u32> {
        match self {
            Counter::Oracle => Ok(simulator.oracle(index).1.spots),
            Counter::Spots => {
                let frame = simulator.frame(index);
                let spots = memory.simulated(&frame, &[Settings::default()])?;
                Ok(spots[0])
            }
        }
    }

    /// Spots that it counts on the frames of a file, by their number; without those that it cannot
    /// count. The oracle knows no file.
    pub fn of_file(self, path: &Path) -> Result<BTreeMap<usize, u32>> {
        match self {
            Counter::Oracle => Ok(BTreeMap::new()),
            Counter::Spots => spots::of_file(path, Settings::default()),
        }
    }
}

/// A number of spots from which on frames are kept, and what that keeps and drops.
pub struct KeptFrom {
    pub spots: u32,
    pub at: At,
}

impl KeptFrom {
    fn new(at: At) -> Self {
        // The threshold lies on the filter's grid, up to a step below the count that it was set by.
        let reaches = |&spots: &u32| Scored::of_spots(Class::Miss, spots).keep() >= at.threshold;
        KeptFrom {
            spots: (0..u32::MAX).find(reaches).unwrap_or(u32::MAX),
            at,
        }
    }
}

/// What a counter makes of frames, beside the network.
pub struct Counted {
    pub name: &'static str,
    pub confusion: Confusion,
    pub auc: Option<f64>,
    /// Where it keeps what it calls a hit or a maybe.
    pub own: KeptFrom,
    /// The network where it drops as many misses as the counter does there.
    pub network: Option<At>,
    /// The counter where it drops at least as many misses as the network at its threshold.
    pub at_network: Option<KeptFrom>,
}

impl Counted {
    /// Compares the spots counted on each frame with its label, and with the network that drops
    /// `dropping` of the misses.
    pub fn of(counter: Counter, spots: &[u32], scored: &[Scored], dropping: f64) -> Self {
        let frames = scored.iter().zip(spots);
        let counted: Vec<Scored> = frames
            .map(|(frame, &spots)| Scored::of_spots(frame.truth, spots))
            .collect();
        let own = At::threshold(&counted, 0.5);
        let at = |frames: &[Scored], rejection: f64| {
            OperatingPoint::set(frames, Target::Rejection(rejection)).map(At::from)
        };
        Counted {
            name: counter.name(),
            confusion: Confusion::of(&counted),
            auc: auc(&counted),
            network: at(scored, own.filtered.misses_dropped.fraction()),
            at_network: at(&counted, dropping).map(KeptFrom::new),
            own: KeptFrom::new(own),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_import::metrics::Share;

    #[test]
    fn counter_and_network_are_compared_where_they_drop_as_many_misses() {
        use Class::{Hit, Maybe, Miss};
        let scored = [
            (Hit, 0.875),
            (Maybe, 0.25),
            (Miss, 0.5),
            (Miss, 0.125),
            (Miss, 0.0625),
        ]
        .map(|(truth, keep)| Scored {
            truth,
            p: [keep, 0.0, 1.0 - keep],
        });
        // It takes the hit for a maybe and one miss for a maybe: two of three misses dropped.
        let counted = Counted::of(Counter::Oracle, &[9, 4, 6, 3, 0], &scored, 1.0);
        assert_eq!(counted.confusion.0, [[0, 1, 0], [0, 1, 0], [0, 1, 2]]);
        let own = counted.own.at.filtered;
        assert_eq!(
            (counted.own.spots, own.wanted_kept),
            (4, Share { k: 2, n: 2 })
        );
        assert_eq!(own.misses_dropped, Share { k: 2, n: 3 });
        let network = counted.network.unwrap();
        assert_eq!(network.filtered.misses_dropped, Share { k: 2, n: 3 });
        assert_eq!(network.filtered.wanted_kept, Share { k: 2, n: 2 });
        assert!(network.threshold > 0.125 && network.threshold <= 0.25);
        // To drop the miss of six spots it has to drop the maybe of four.
        let strict = counted.at_network.unwrap();
        assert_eq!(strict.spots, 7);
        assert_eq!(strict.at.filtered.misses_dropped, Share { k: 3, n: 3 });
        assert_eq!(strict.at.filtered.wanted_kept, Share { k: 1, n: 2 });
    }
}
