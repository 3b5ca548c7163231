//! The counter against what simulated frames hold.

use std::collections::BTreeSet;

use anyhow::Result;
use hitgate_core::verdict::Class;
use hitgate_import::metrics::{Confusion, Filtered, Share, auc};
use hitgate_sim::{Detector, Simulator};
use hitgate_spots::Settings;
use rayon::prelude::*;
use serde_json::{Value, json};

use super::SimulatedArgs;
use crate::counts::{CLASS_LIMIT, Counts, KeptFrom, grid, settings_json};
use crate::progress::Progress;
use crate::report::share;
use crate::spots::{CounterMemory, SettingsArgs};

/// Rejections of misses at which counters are compared.
const REJECTIONS: [f64; 3] = [0.90, 0.95, 0.97];

/// A simulated frame: what is true of it, and its spots by each of the settings.
struct Frame {
    set: &'static str,
    truth: Class,
    spots: Vec<u32>,
}

/// The frames of `set`, or all, with their spots by settings `number`.
fn counts_of(frames: &[Frame], set: Option<&str>, number: usize) -> Counts {
    frames
        .iter()
        .filter(|frame| set.is_none_or(|set| frame.set == set))
        .map(|frame| (frame.truth, frame.spots[number]))
        .collect()
}

fn counts_json(counts: &Counts) -> Value {
    let scored = counts.scored();
    let rejecting = REJECTIONS.map(|rejection| {
        let KeptFrom { spots, filtered } = counts.rejecting(rejection);
        json!({ "rejection": rejection, "kept_from": spots, "filtered": filtered })
    });
    json!({
        "frames": scored.len(),
        "confusion": Confusion::of(scored).0,
        "auc": auc(scored),
        "kept_from_4": counts.kept_from(CLASS_LIMIT).filtered,
        "rejecting": rejecting,
    })
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

fn as_json(frames: &[Frame], settings: &Settings) -> Value {
    let of = |name: &str, set| {
        let mut value = counts_json(&counts_of(frames, set, 0));
        value["set"] = name.into();
        value
    };
    let each = sets(frames).into_iter().map(|set| of(set, Some(set)));
    let all: Vec<Value> = std::iter::once(of("all", None)).chain(each).collect();
    json!({ "settings": settings_json(settings), "sets": all })
}

fn print_tables(frames: &[Frame]) {
    let all = counts_of(frames, None, 0);
    let scored = all.scored();
    let confusion = Confusion::of(scored);
    say!("label    counted hit    maybe     miss");
    for (name, [hit, maybe, miss]) in ["hit", "maybe", "miss"].iter().zip(confusion.0) {
        say!("  {name:<8} {hit:>10} {maybe:>8} {miss:>8}");
    }
    say!("three classes right {}", share(confusion.accuracy()));
    if let Some(auc) = auc(scored) {
        say!("area under the ROC curve of the count, hit or maybe against miss: {auc:.4}");
    }
    let kept = |what: &str, filtered: Filtered| {
        say!("{what}:");
        say!("  hits kept           {}", share(filtered.hits_kept));
        say!("  hits or maybes kept {}", share(filtered.wanted_kept));
        say!("  misses dropped      {}", share(filtered.misses_dropped));
    };
    kept("kept from 4 spots on", all.kept_from(CLASS_LIMIT).filtered);
    for rejection in REJECTIONS {
        let KeptFrom { spots, filtered } = all.rejecting(rejection);
        let what = format!("where {rejection:.2} of the misses are dropped, kept from {spots} on");
        kept(&what, filtered);
    }
    say!(
        "\nset                  frames   hits kept  hit or maybe kept  misses dropped   from 4 spots on"
    );
    for set in std::iter::once(None).chain(sets(frames).into_iter().map(Some)) {
        let counts = counts_of(frames, set, 0);
        let Filtered {
            hits_kept,
            wanted_kept,
            misses_dropped,
        } = counts.kept_from(CLASS_LIMIT).filtered;
        say!(
            "{:<20} {:>6} {:>11} {:>18} {:>15}",
            set.unwrap_or("all"),
            counts.scored().len(),
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
    /// Where 0.97 of the misses are dropped.
    at_097: KeptFrom,
}

impl<'a> Tuned<'a> {
    fn new(settings: &'a Settings, counts: &Counts) -> Self {
        let scored = counts.scored();
        Tuned {
            settings,
            auc: auc(scored).unwrap_or(f64::NAN),
            right: Confusion::of(scored).accuracy(),
            at_097: counts.rejecting(0.97),
        }
    }

    fn as_json(&self) -> Value {
        json!({
            "settings": settings_json(self.settings), "auc": self.auc, "three_classes": self.right,
            "kept_from": self.at_097.spots, "at_rejection_0.97": self.at_097.filtered,
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
            of(self.at_097.filtered.hits_kept),
            of(self.at_097.filtered.wanted_kept),
            self.at_097.spots,
        )
    }
}

/// Settings that `--tune` shows in its table.
const SHOWN: usize = 12;

fn tell_best(args: &SimulatedArgs, frames: &[Frame], grid: &[Settings], json: bool) {
    let number = |(number, settings)| Tuned::new(settings, &counts_of(frames, None, number));
    let mut tuned: Vec<_> = (0..).zip(grid).map(number).collect();
    tuned.sort_by(|a, b| b.auc.total_cmp(&a.auc));
    // The first of equals is the one with the larger area.
    let first = |key: fn(&Tuned<'_>) -> [u64; 2]| tuned.iter().rev().max_by_key(|tuned| key(tuned));
    let by_hits = first(|tuned| {
        let Filtered {
            hits_kept,
            wanted_kept,
            ..
        } = tuned.at_097.filtered;
        [hits_kept.k, wanted_kept.k]
    });
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
