//! The figures as one JSON object.

use hitgate_import::calibration::Reliability;
use hitgate_import::metrics::{Filtered, Share};
use serde_json::{Value, json};

use super::counters::{Beside, Counted};
use super::figures::{At, Figures, Run};
use crate::counts::{KeptFrom, settings_json};

/// All frames, then each set.
pub fn of(sets: &[Figures]) -> Value {
    json!({ "sets": sets.iter().map(set).collect::<Vec<_>>() })
}

fn set(figures: &Figures) -> Value {
    let counted = figures.counted.iter();
    json!({
        "set": figures.set,
        "frames": figures.scored.len(),
        "confusion": figures.confusion.0,
        "accuracy": share(figures.confusion.accuracy()),
        "auc": figures.auc,
        "threshold": figures.deciding.threshold,
        "at_threshold": at(&figures.deciding),
        "at_half": at(&figures.half),
        "at_hits_0.99": figures.recall_99.as_ref().map(at),
        "at_hits_0.999": figures.recall_999.as_ref().ok().map(at),
        "why_not_at_hits_0.999": figures.recall_999.as_ref().err(),
        "at_rejection_0.90": figures.rejection_90.as_ref().map(at),
        "at_best_f1": figures.best_f1.as_ref().map(at_f1),
        "roc": figures.roc,
        "calibration": {
            "keep": reliability(&figures.keep_reliability),
            "class": reliability(&figures.class_reliability),
        },
        "priors": figures.runs.iter().map(run).collect::<Vec<_>>(),
        "counters": counted.map(counter).collect::<Vec<_>>(),
    })
}

/// `k` of `n`, and the proportion that they prove at least, with 95 % confidence.
fn share(share: Share) -> Value {
    json!({ "k": share.k, "n": share.n, "at_least": share.lower_bound(0.95) })
}

fn at(at: &At) -> Value {
    let mut value = filtered(&at.filtered);
    value["threshold"] = at.threshold.into();
    value
}

fn at_f1(best: &At) -> Value {
    let mut value = at(best);
    value["f1"] = best.filtered.f1().into();
    value
}

fn kept_from(kept: &KeptFrom) -> Value {
    let mut value = filtered(&kept.filtered);
    value["kept_from"] = kept.spots.into();
    value
}

fn filtered(filtered: &Filtered) -> Value {
    json!({
        "hits_kept": share(filtered.hits_kept),
        "wanted_kept": share(filtered.wanted_kept),
        "misses_dropped": share(filtered.misses_dropped),
    })
}

fn reliability(reliability: &Reliability) -> Value {
    let bins = reliability.bins.iter().map(|bin| {
        // Of an empty bin there is no mean, and JSON has null for it.
        json!({ "frames": bin.weight, "confidence": bin.confidence(), "accuracy": bin.accuracy() })
    });
    json!({ "error": reliability.error(), "bins": bins.collect::<Vec<_>>() })
}

fn run(run: &Run) -> Value {
    json!({
        "hit_rate": run.at.hit_rate,
        "kept": run.at.kept,
        "purity": run.at.purity,
        "purity_at_least": run.at.purity_at_least,
        "reduction": run.at.reduction,
        "reduction_at_least": run.at.reduction_at_least,
        "reduction_limit": run.at.limit,
        "calibration_error": run.calibration_error,
        "calibration_error_corrected": run.corrected_error,
    })
}

fn counter(counted: &Counted) -> Value {
    let rejecting = counted.rejecting.iter().map(|(share, there)| {
        let mut value = beside(there);
        value["rejection"] = (*share).into();
        value
    });
    json!({
        "counter": counted.counter.name(),
        "confusion": counted.confusion.0,
        "accuracy": share(counted.confusion.accuracy()),
        "auc": counted.auc,
        "own": beside(&counted.own),
        "at_the_networks_threshold": beside(&counted.at_threshold),
        "rejecting": rejecting.collect::<Vec<_>>(),
    })
}

fn beside(beside: &Beside) -> Value {
    json!({
        "settings": beside.settings.as_ref().map(settings_json),
        "counter": kept_from(&beside.kept),
        "network_dropping_as_many": beside.network.as_ref().map(at),
    })
}
