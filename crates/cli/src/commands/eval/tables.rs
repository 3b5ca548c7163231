//! The figures as people read them.

use hitgate_core::verdict::Class;
use hitgate_import::calibration::{BINS, Reliability};
use hitgate_import::metrics::{Confusion, Filtered, Share};
use hitgate_spots::Settings;

use super::counters::{Counted, Counter};
use super::figures::{At, Figures, Run};
use super::frames::{Frame, described};
use super::tuned;
use crate::counts::KeptFrom;
use crate::report::{counts, share};

/// The figures of all frames, then a line a set.
pub fn print(sets: &[Figures]) {
    let all = &sets[0];
    print_confusion("called", all.confusion);
    if let Some(auc) = all.auc {
        say!("area under the ROC curve, hit or maybe against miss: {auc:.4}");
    }
    let error = |reliability: &Reliability| reliability.error().unwrap_or(f64::NAN);
    say!(
        "expected calibration error: {:.3} of P(hit) + P(maybe), {:.3} of the class called",
        error(&all.keep_reliability),
        error(&all.class_reliability)
    );
    print_thresholds(all);
    print_runs(&all.runs);
    for counted in &all.counted {
        print_counted(counted);
    }
    print_sets(sets);
    for place in 0..all.counted.len() {
        match sets[0].counted[place].counter {
            Counter::Tuned => tuned::print(sets, place),
            Counter::Oracle | Counter::Spots => print_beside(sets, place),
        }
    }
}

fn print_counted(counted: &Counted) {
    say!(
        "\n{}, a counter of spots, on the same frames",
        counted.counter.name()
    );
    if let Some(Settings {
        threshold,
        snr,
        min_pixels,
        ..
    }) = counted.own.settings
    {
        say!("settings: --threshold {threshold} --snr {snr} --min-pixels {min_pixels}");
    }
    print_confusion("counted", counted.confusion);
    print_kept_from("what it calls a hit or a maybe", &counted.own.kept);
    if let Some(network) = &counted.own.network {
        let label = "network, dropping as much";
        print_filtered(label, &t(network), &network.filtered);
    }
    // A tuned counter has other settings there, which its tables tell.
    if counted.counter != Counter::Tuned {
        let label = "it, dropping as the network";
        print_kept_from(label, &counted.at_threshold.kept);
    }
}

fn print_confusion(verb: &str, confusion: Confusion) {
    say!("label    {verb:>8} hit    maybe     miss");
    for (class, [hit, maybe, miss]) in Class::ALL.iter().zip(confusion.0) {
        say!("  {class:<8} {hit:>10} {maybe:>8} {miss:>8}");
    }
    say!("three classes right: {}", share(confusion.accuracy()));
}

fn print_thresholds(all: &Figures) {
    say!(
        "\n{:<30} {:>6}   {:<22} {:<22} misses dropped",
        "threshold",
        "",
        "hits kept",
        "hits or maybes kept"
    );
    let line = |label: &str, at: &At| print_filtered(label, &t(at), &at.filtered);
    line("the model's, or the one given", &all.deciding);
    line("the paper's", &all.half);
    if let Some(at) = &all.recall_99 {
        line("where 0.99 of hits are kept", at);
    }
    match &all.recall_999 {
        Ok(at) => line(RECALL_999, at),
        Err(why) => say!("{RECALL_999:<30} {:>6}   {why}", "–"),
    }
    if let Some(at) = &all.rejection_90 {
        line("where 0.90 of misses drop", at);
    }
    if let Some(at) = &all.best_f1 {
        line(&format!("where F1 is best, {:.3}", at.filtered.f1()), at);
    }
}

const RECALL_999: &str = "where 0.999 of hits are kept";

fn t(at: &At) -> String {
    format!("{:.4}", at.threshold)
}

fn print_kept_from(label: &str, kept: &KeptFrom) {
    let from = format!("≥{}", kept.spots);
    print_filtered(label, &from, &kept.filtered);
}

fn print_filtered(label: &str, threshold: &str, filtered: &Filtered) {
    say!(
        "{label:<30} {threshold:>6}   {:<22} {:<22} {}",
        share(filtered.hits_kept),
        share(filtered.wanted_kept),
        share(filtered.misses_dropped)
    );
}

fn print_runs(runs: &[Run]) {
    if runs.is_empty() {
        return;
    }
    say!("\nat the first threshold, in a run with so many hits and maybes");
    say!("hit rate   kept   purity of it    frames in / kept   at most   calibration error");
    for Run {
        at,
        calibration_error,
        corrected_error,
    } in runs
    {
        let error = |error: &Option<f64>| error.map_or("–".into(), |error| format!("{error:.3}"));
        say!(
            "{:>8} {:>6}   {:<14}  {:<16} {:>9}   {}, odds moved {}",
            percent(at.hit_rate),
            percent(at.kept),
            match at.purity {
                Some(purity) => format!("{purity:.3} ≥{:.3}", at.purity_at_least),
                None => "nothing kept".into(),
            },
            format!("{:.1} ≥{:.1}", at.reduction, at.reduction_at_least),
            format!("{:.1}", at.limit),
            error(calibration_error),
            error(corrected_error),
        );
    }
    say!("at most: if every hit and maybe is kept, the misses that pass limit it to this");
}

fn print_sets(sets: &[Figures]) {
    say!(
        "\n{:<16} {:>6}  {:<16} {:<16} {:<16} {:<16} area",
        "set",
        "frames",
        "hits kept",
        "hit or maybe",
        "misses dropped",
        "classes right"
    );
    for figures in sets {
        let Filtered {
            hits_kept,
            wanted_kept,
            misses_dropped,
        } = figures.deciding.filtered;
        say!(
            "{:<16} {:>6}  {:<16} {:<16} {:<16} {:<16} {}",
            figures.set,
            figures.scored.len(),
            counts(hits_kept),
            counts(wanted_kept),
            counts(misses_dropped),
            counts(figures.confusion.accuracy()),
            figures.auc.map_or("–".into(), |auc| format!("{auc:.4}"))
        );
    }
}

/// The counter at `place` by set, beside the network where it drops as many misses.
fn print_beside(sets: &[Figures], place: usize) {
    let name = sets[0].counted[place].counter.name();
    say!(
        "\n{name:<16} {:>6}  {:<16} {:<16} {:<16} network's hit or maybe",
        "frames",
        "misses dropped",
        "classes right",
        "hit or maybe"
    );
    for figures in sets {
        let counted = &figures.counted[place];
        let own = &counted.own.kept.filtered;
        say!(
            "{:<16} {:>6}  {:<16} {:<16} {:<16} {}",
            figures.set,
            figures.scored.len(),
            counts(own.misses_dropped),
            counts(counted.confusion.accuracy()),
            counts(own.wanted_kept),
            counted
                .own
                .network
                .map_or("–".into(), |at| counts(at.filtered.wanted_kept)),
        );
    }
}

/// Bins of the reliability diagrams, and the ROC curve where few misses are kept.
pub fn print_details(all: &Figures) {
    let diagrams = [
        ("P(hit) + P(maybe)", "hit or maybe", &all.keep_reliability),
        (
            "P of the class called",
            "that class",
            &all.class_reliability,
        ),
    ];
    for (stated, true_of, reliability) in diagrams {
        say!("\n{stated:<22} frames   mean   {true_of}");
        for (i, bin) in reliability.bins.iter().enumerate() {
            if bin.weight > 0.0 {
                let edge = |i: usize| i as f64 / BINS as f64;
                say!(
                    "  {:.3} to {:.3} {:>13}  {:.3}   {:.3}",
                    edge(i),
                    edge(i + 1),
                    bin.weight,
                    bin.confidence(),
                    bin.accuracy()
                );
            }
        }
    }
    say!("\nmisses kept          hits kept              hits or maybes kept");
    let misses = all.deciding.filtered.misses_dropped.n;
    for allowed in [0.0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0] {
        // The last corner that keeps no more misses keeps the most of the others.
        let corner = all
            .roc
            .iter()
            .rfind(|corner| corner.misses_kept as f64 <= allowed * misses as f64);
        let Some(corner) = corner else { continue };
        let of = |k, all: Share| share(Share { k, ..all });
        let filtered = all.deciding.filtered;
        say!(
            "{:<20} {:<22} {}",
            format!(
                "{}/{misses}, up to {}",
                corner.misses_kept,
                percent(allowed)
            ),
            of(corner.hits_kept, filtered.hits_kept),
            of(corner.wanted_kept, filtered.wanted_kept)
        );
    }
}

/// A line for each frame on the wrong side of `threshold`.
pub fn print_wrong(frames: &[Frame], threshold: f64) {
    let is_wrong = |frame: &&Frame| (frame.scored.keep() >= threshold) != frame.scored.wanted();
    let mut wrong = frames.iter().filter(is_wrong).peekable();
    if wrong.peek().is_none() {
        return say!("\nno frame is wrong at t = {threshold:.4}");
    }
    say!("\nwrong at t = {threshold:.4}");
    wrong.for_each(|frame| say!("  {}", described(frame)));
}

/// `8 %`, `0.1 %`.
fn percent(share: f64) -> String {
    format!("{} %", (1e3 * share).round() / 10.0)
}
