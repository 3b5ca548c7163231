//! What people and programs read of a run.

use std::fmt::Write;

use hitgate_core::accounts::Accounts;
use hitgate_core::frame::Fault;
use hitgate_core::link::{NO_MODULE, Record, lost_cause};
use hitgate_core::prep::Reduce;
use hitgate_core::verdict::{Class, Score, Verdict, reasons};
use hitgate_import::metrics::Share;
use hitgate_ring::{Layout, Policy};
use serde_json::{Value, json};

use crate::tally::{Agreement, Latencies};

/// A probability of a record, as a number from 0 to 1.
pub fn probability(p: u16) -> f64 {
    (f64::from(p) / 65536.0 * 1e5).round() / 1e5
}

/// Probabilities of hit, maybe and miss; nothing where there is no score.
pub fn probabilities(record: &Record) -> [Value; 3] {
    [record.p_hit, record.p_maybe, record.p_miss].map(|p| {
        record
            .class()
            .map_or(Value::Null, |_| probability(p).into())
    })
}

/// The reasons of a record in words.
pub fn reason_words(record: &Record) -> Vec<String> {
    let flags = [
        (reasons::EXTERNAL_KEEP, "external-keep"),
        (reasons::KEEP_RAW, "keep-raw"),
        (reasons::CALIBRATION, "calibration"),
        (reasons::TEST_PATTERN, "test-pattern"),
        (reasons::VETO, "veto"),
        (reasons::LATE, "late"),
        (reasons::PARTIAL, "partial"),
        (reasons::SCORE, "score"),
        (reasons::SAMPLE, "sample"),
        (reasons::DISARMED, "disarmed"),
        (reasons::DOMAIN, "domain"),
    ];
    let flags = flags
        .iter()
        .filter(|(bit, _)| record.reasons & bit != 0)
        .map(|(_, word)| (*word).to_string());
    let faults = Fault::ALL
        .into_iter()
        .filter(|fault| record.reasons & fault.reason_bit() != 0);
    flags.chain(faults.map(|fault| fault.to_string())).collect()
}

/// The class of a record in one word, `null` where there is no score.
pub fn class_word(record: &Record) -> Value {
    record
        .class()
        .map_or(Value::Null, |class| class.name().into())
}

/// A record as a line of JSON.
pub fn record_line(record: &Record) -> Value {
    if record.verdict() == Verdict::Lost {
        return lost_line(record);
    }
    let [p_hit, p_maybe, p_miss] = probabilities(record);
    json!({
        "seq": record.seq,
        "frame_number": record.frame_number,
        "pulse_key": record.pulse_key,
        "module": record.module,
        "verdict": if record.verdict().keeps() { "keep" } else { "drop" },
        "reason": record.verdict().reason(),
        "reasons": reason_words(record),
        "class": class_word(record),
        "p_hit": p_hit,
        "p_maybe": p_maybe,
        "p_miss": p_miss,
        "weight": f64::from(record.weight) / 65536.0,
        "latency_us": f64::from(record.latency_ns) / 1e3,
        "model": format!("{:08x}", record.model),
        "config": format!("{:08x}", record.config),
    })
}

/// How blocks of pixels become cells, in words.
pub const fn reduction(reduce: Reduce) -> &'static str {
    match reduce {
        Reduce::Maximum => "largest count of each block",
        Reduce::Mean => "mean count of each block",
        Reduce::Peaks => {
            "contrast of each block's largest sum of 3 x 3, and of what it leaves without its largest count"
        }
    }
}

/// Frames that were lost. Where nobody knows which of several modules had them, or their numbers there, these are
/// `null`; `seq`, the first one's number in the ring, is known of all that reached it.
fn lost_line(record: &Record) -> Value {
    let known = |known: bool, value: u64| known.then_some(value);
    json!({
        "verdict": "lost",
        "seq": known(record.seq > 0, record.seq),
        "module": known(record.module != NO_MODULE, record.module.into()),
        "first": known(record.frame_number > 0, record.frame_number),
        "count": record.pulse_key,
        "cause": match record.spots {
            lost_cause::SOURCE => "source",
            lost_cause::LAPPED => "lapped",
            lost_cause::LINK => "link",
            _ => "unknown",
        },
    })
}

/// The score of a record, where there is one.
pub fn score(record: &Record) -> Option<Score> {
    record.class().map(|_| Score {
        hit: record.p_hit,
        maybe: record.p_maybe,
        miss: record.p_miss,
    })
}

/// `12.3 %`, or a dash where there is nothing to divide by.
pub fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "–".into(),
        _ => format!("{:.1} %", 100.0 * part as f64 / whole as f64),
    }
}

/// `0.983 59/60 ≥0.924`: with the proportion that they prove at least, with 95 % confidence.
pub fn share(share: Share) -> String {
    match share.n {
        0 => "no such frame".into(),
        _ => format!("{:.3} {}", share.fraction(), counts(share)),
    }
}

/// The same without the fraction.
pub fn counts(share: Share) -> String {
    match share.n {
        0 => "–".into(),
        _ => format!("{}/{} ≥{:.3}", share.k, share.n, share.lower_bound(0.95)),
    }
}

/// Bytes in a unit that reads well.
pub fn bytes(n: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n} B"),
        _ => format!("{value:.1} {}", units[unit]),
    }
}

/// What happens to a slow reader of a ring, in a word or two.
pub const fn policy(layout: &Layout) -> &'static str {
    match layout.policy() {
        Policy::Credit => "credit",
        Policy::FreeRunning => "free-running",
    }
}

/// Verdicts with their counts, then the equations that the books must satisfy.
pub fn accounts(accounts: &Accounts) -> String {
    let mut text = String::new();
    let [hits, maybes, misses] = accounts.classes;
    let unjudged = accounts.unjudged();
    let _ = writeln!(
        text,
        "network    {hits} hit, {maybes} maybe, {misses} miss, {unjudged} not judged"
    );
    let list = |keeps: bool| {
        let counted = Verdict::ALL
            .into_iter()
            .filter(|v| v.keeps() == keeps && accounts.of(*v) > 0);
        let words: Vec<_> = counted
            .map(|v| format!("{} {}", accounts.of(v), v.reason()))
            .collect();
        if words.is_empty() {
            "none".into()
        } else {
            words.join(", ")
        }
    };
    let _ = writeln!(text, "kept       {} ({})", accounts.kept(), list(true));
    let _ = writeln!(text, "dropped    {} ({})", accounts.dropped(), list(false));
    let _ = writeln!(
        text,
        "accounting expected {}{} = received {} + lost {}{};  received {} = kept {} + dropped {}  {}",
        accounts.expected,
        match accounts.repeated {
            0 => String::new(),
            n => format!(" + repeated {n}"),
        },
        accounts.received,
        accounts.lost_source,
        match accounts.lost_lapped {
            0 => String::new(),
            n => format!(" + lapped {n}"),
        },
        accounts.received,
        accounts.kept(),
        accounts.dropped(),
        if accounts.balance() {
            "✓"
        } else {
            "✗ THE BOOKS DO NOT BALANCE"
        },
    );
    if accounts.lost_lapped > 0 {
        let share = percent(accounts.lost_lapped, accounts.expected);
        let _ = writeln!(
            text,
            "lapped     {} frames, {share}, which the device overwrote before they were read",
            accounts.lost_lapped
        );
    }
    if accounts.fallen_back > 0 {
        let _ = writeln!(
            text,
            "fell back  {} frames that the lost GPU did not score: its last batch kept as faults, the others scored on the CPU",
            accounts.fallen_back
        );
    }
    if accounts.refused() > 0 {
        let [hit, maybe, miss, none] = accounts.lost_link;
        let _ = writeln!(
            text,
            "lost(link) {hit} hit, {maybe} maybe, {miss} miss, {none} not judged: kept, but the link refused them"
        );
    }
    text
}

/// A line of latency percentiles a stage, in µs.
pub fn latencies(latencies: &Latencies) -> String {
    let mut text = String::from("latency/µs      p50      p90      p99    p99.9      max\n");
    for (name, histogram) in latencies.stages() {
        let us = |q: f64| histogram.value_at_quantile(q) as f64 / 1e3;
        let _ = writeln!(
            text,
            "  {name:<8} {:>8.1} {:>8.1} {:>8.1} {:>8.1} {:>8.1}",
            us(0.5),
            us(0.9),
            us(0.99),
            us(0.999),
            histogram.max() as f64 / 1e3,
        );
    }
    text
}

/// Verdicts against labels.
pub fn agreement(agreement: &Agreement) -> String {
    let Agreement { kept, of, classes } = agreement;
    let mut text = String::from("truth      frames     kept        called hit  maybe   miss\n");
    for label in Class::ALL {
        let row = label as usize;
        let [hit, maybe, miss] = classes[row];
        let _ = writeln!(
            text,
            "  {label:<8} {:>6} {:>6} {:>9}    {hit:>6} {maybe:>6} {miss:>6}",
            of[row],
            kept[row],
            percent(kept[row], of[row]),
        );
    }
    text
}
