//! The counter against what simulated frames hold.

use std::collections::BTreeSet;

use anyhow::Result;
use hitgate_core::verdict::Class;
use hitgate_import::metrics::{Confusion, Filtered, Scored, Share, auc};
use hitgate_sim::{Detector, Simulator};
use hitgate_spots::Settings;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::SimulatedArgs;
use crate::progress::Progress;
use crate::report::share;
use crate::spots::{CounterMemory, SettingsArgs};

/// Rejections of misses at which counters, and networks, are compared.
const REJECTIONS: [f64; 3] = [0.90, 0.95, 0.97];

/// The grid of `--tune`.
const THRESHOLDS: [f32; 4] = [2.0, 4.0, 6.0, 10.0];
const SNRS: [f32; 6] = [5.0, 6.0, 8.0, 10.0, 12.0, 16.0];
const MIN_PIXELS: [u32; 3] = [1, 2, 3];

/// A simulated frame: what is true of it, and its spots by each of the settings.
struct Frame {
    set: &'static str,
    truth: Class,
    spots: Vec<u32>,
}

/// What one of the settings makes of frames.
struct Counts {
    frames: Vec<(Class, u32)>,
}

impl Counts {
    /// Of the frames of `set`, or of all, by settings `number`.
    fn of(frames: &[Frame], set: Option<&str>, number: usize) -> Self {
        let of = |frame: &&Frame| set.is_none_or(|set| frame.set == set);
        Counts {
            frames: frames
                .iter()
                .filter(of)
                .map(|frame| (frame.truth, frame.spots[number]))
                .collect(),
        }
    }

    fn scored(&self) -> Vec<Scored> {
        let score = |&(truth, spots): &(Class, u32)| Scored::of_spots(truth, spots);
        self.frames.iter().map(score).collect()
    }

    /// What is kept of `least` spots on.
    fn kept_from(&self, least: u32) -> Filtered {
        Filtered::at(&self.scored(), Scored::of_spots(Class::Miss, least).keep())
    }

    /// The fewest spots that a frame is kept with, where so much of the misses is dropped, and what
    /// that keeps.
    fn rejecting(&self, rejection: f64) -> (u32, Filtered) {
        let mut misses: Vec<u32> = self
            .frames
            .iter()
            .filter(|(truth, _)| *truth == Class::Miss)
            .map(|&(_, spots)| spots)
            .collect();
        misses.sort_unstable();
        let dropped = (rejection * misses.len() as f64).ceil() as usize;
        let most_dropped = dropped.checked_sub(1).and_then(|last| misses.get(last));
        let least = most_dropped.map_or(0, |spots| spots + 1);
        (least, self.kept_from(least))
    }

    fn as_json(&self) -> Value {
        let scored = self.scored();
        let rejecting = REJECTIONS.map(|rejection| {
            let (spots, filtered) = self.rejecting(rejection);
            json!({ "rejection": rejection, "kept_from": spots, "filtered": filtered })
        });
        json!({
            "frames": scored.len(),
            "confusion": Confusion::of(&scored).0,
            "auc": auc(&scored),
            "kept_from_4": self.kept_from(4),
            "rejecting": rejecting,
        })
    }
}

/// Runs `hitgate spots --simulate`.
pub fn run(args: &SimulatedArgs, settings: &SettingsArgs, count: u64) -> Result<()> {
    let settings = settings.settings();
    let grid = match args.tune {
        true => grid(settings),
        false => vec![settings],
    };
    let frames = count_all(args, &grid, count)?;
    match (args.tune, args.json) {
        (false, true) => say!("{}", as_json(&frames, &settings)),
        (false, false) => print_tables(&frames),
        (true, json) => tell_best(args, &frames, &grid, json),
    }
    Ok(())
}

/// Every combination of the grid, the rest as given.
fn grid(given: Settings) -> Vec<Settings> {
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

/// Simulates each frame once and counts it with every one of the settings.
fn count_all(args: &SimulatedArgs, settings: &[Settings], count: u64) -> Result<Vec<Frame>> {
    let simulator = match args.detector {
        Some(detector) => Simulator::with_detector(args.seed, args.mix.into(), detector),
        None => Simulator::new(args.seed, args.mix.into()),
    };
    let progress = Progress::start("counting", count);
    let frames = (0..count)
        .into_par_iter()
        .map_init(CounterMemory::default, |memory, index| {
            let frame = simulator.frame(index);
            let spots = memory.simulated(&frame, settings)?;
            progress.advance();
            Ok(Frame {
                set: frame.set,
                truth: frame.truth.class,
                spots,
            })
        })
        .collect();
    progress.clear();
    frames
}

fn sets(frames: &[Frame]) -> Vec<&'static str> {
    let sets: BTreeSet<_> = frames.iter().map(|frame| frame.set).collect();
    sets.into_iter().collect()
}

fn settings_json(settings: &Settings) -> Value {
    json!({
        "threshold": settings.threshold, "snr": settings.snr, "min_pixels": settings.min_pixels,
        "max_pixels": settings.max_pixels, "local_radius": settings.local_radius,
    })
}

fn as_json(frames: &[Frame], settings: &Settings) -> Value {
    let of = |name: &str, set| {
        let mut value = Counts::of(frames, set, 0).as_json();
        value["set"] = name.into();
        value
    };
    let each = sets(frames).into_iter().map(|set| of(set, Some(set)));
    let all: Vec<Value> = std::iter::once(of("all", None)).chain(each).collect();
    json!({ "settings": settings_json(settings), "sets": all })
}

fn print_tables(frames: &[Frame]) {
    let all = Counts::of(frames, None, 0);
    let scored = all.scored();
    let confusion = Confusion::of(&scored);
    say!("label    counted hit    maybe     miss");
    for (name, [hit, maybe, miss]) in ["hit", "maybe", "miss"].iter().zip(confusion.0) {
        say!("  {name:<8} {hit:>10} {maybe:>8} {miss:>8}");
    }
    say!("three classes right {}", share(confusion.accuracy()));
    if let Some(auc) = auc(&scored) {
        say!("area under the ROC curve of the count, hit or maybe against miss: {auc:.4}");
    }
    let kept = |what: &str, filtered: Filtered| {
        say!("{what}:");
        say!("  hits kept           {}", share(filtered.hits_kept));
        say!("  hits or maybes kept {}", share(filtered.wanted_kept));
        say!("  misses dropped      {}", share(filtered.misses_dropped));
    };
    kept("kept from 4 spots on", all.kept_from(4));
    for rejection in REJECTIONS {
        let (least, filtered) = all.rejecting(rejection);
        let what = format!("where {rejection:.2} of the misses are dropped, kept from {least} on");
        kept(&what, filtered);
    }
    say!(
        "\nset                  frames   hits kept  hit or maybe kept  misses dropped   from 4 spots on"
    );
    for set in std::iter::once(None).chain(sets(frames).into_iter().map(Some)) {
        let counts = Counts::of(frames, set, 0);
        let Filtered {
            hits_kept,
            wanted_kept,
            misses_dropped,
        } = counts.kept_from(4);
        say!(
            "{:<20} {:>6} {:>11} {:>18} {:>15}",
            set.unwrap_or("all"),
            counts.frames.len(),
            format!("{}/{}", hits_kept.k, hits_kept.n),
            format!("{}/{}", wanted_kept.k, wanted_kept.n),
            format!("{}/{}", misses_dropped.k, misses_dropped.n),
        );
    }
}

/// What `--tune` compares settings by.
struct Tuned<'a> {
    settings: &'a Settings,
    auc: f64,
    /// Frames whose count is of their class.
    right: Share,
    /// The fewest spots that a frame is kept with, where 0.97 of the misses are dropped.
    kept_from: u32,
    at_097: Filtered,
}

impl<'a> Tuned<'a> {
    fn new(settings: &'a Settings, counts: &Counts) -> Self {
        let scored = counts.scored();
        let (kept_from, at_097) = counts.rejecting(0.97);
        Tuned {
            settings,
            auc: auc(&scored).unwrap_or(f64::NAN),
            right: Confusion::of(&scored).accuracy(),
            kept_from,
            at_097,
        }
    }

    fn as_json(&self) -> Value {
        json!({
            "settings": settings_json(self.settings), "auc": self.auc, "three_classes": self.right,
            "kept_from": self.kept_from, "at_rejection_0.97": self.at_097,
        })
    }

    fn row(&self) -> String {
        let of = |share: Share| format!("{}/{}", share.k, share.n);
        format!(
            "{:>9} {:>4} {:>10} {:>8.4} {:>13} {:>13} {:>18} {:>9}",
            self.settings.threshold,
            self.settings.snr,
            self.settings.min_pixels,
            self.auc,
            of(self.right),
            of(self.at_097.hits_kept),
            of(self.at_097.wanted_kept),
            self.kept_from,
        )
    }
}

/// Settings that `--tune` shows in its table.
const SHOWN: usize = 12;

fn tell_best(args: &SimulatedArgs, frames: &[Frame], grid: &[Settings], json: bool) {
    let number = |(number, settings)| Tuned::new(settings, &Counts::of(frames, None, number));
    let mut tuned: Vec<_> = (0..).zip(grid).map(number).collect();
    tuned.sort_by(|a, b| b.auc.total_cmp(&a.auc));
    // The first of equals is the one with the larger area.
    let first = |key: fn(&Tuned<'_>) -> [u64; 2]| tuned.iter().rev().max_by_key(|tuned| key(tuned));
    let by_hits = first(|tuned| [tuned.at_097.hits_kept.k, tuned.at_097.wanted_kept.k]);
    let by_class = first(|tuned| [tuned.right.k, 0]);
    let measured = format!(
        "{} frames of seed {}, mix {}, {}; each simulated once and counted with all {} settings",
        frames.len(),
        args.seed,
        args.mix.name(),
        args.detector.map_or("all detectors", Detector::name),
        grid.len(),
    );
    if json {
        let all: Vec<_> = tuned.iter().map(Tuned::as_json).collect();
        let best = json!({
            "measured": measured,
            "best_by_auc": tuned.first().map(Tuned::as_json),
            "best_at_rejection_0.97": by_hits.map(Tuned::as_json),
            "best_by_three_classes": by_class.map(Tuned::as_json),
            "all": all,
        });
        return say!("{best}");
    }
    say!("{measured}");
    say!(
        "\nBest by the area under the ROC curve of the count; where 0.97 of the misses are dropped:"
    );
    say!(
        "threshold  snr min-pixels      AUC  classes right     hits kept  hit or maybe kept  from"
    );
    tuned
        .iter()
        .take(SHOWN)
        .for_each(|tuned| say!("{}", tuned.row()));
    say!("\nBest by the hits kept where 0.97 of the misses are dropped:");
    by_hits.iter().for_each(|tuned| say!("{}", tuned.row()));
    say!("\nBest by the three classes:");
    by_class.iter().for_each(|tuned| say!("{}", tuned.row()));
}
