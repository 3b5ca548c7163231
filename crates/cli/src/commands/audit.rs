//! `hitgate audit`: verdicts against the user's own indexing.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{ArgGroup, Args};
use hitgate_core::verdict::Class;
use hitgate_formats::indexing::{Attempt, read_expt, read_stream};
use hitgate_import::metrics::Share;
use serde_json::{Value, json};

use crate::audit::{self, Audit, Bin, Joined, LATTICES, RESOLUTIONS, SPOTS};
use crate::records::{self, Told};
use crate::report::percent;

/// Compare verdicts with your own indexing: class against indexed, and every indexed frame that was lost
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("results").required(true))]
#[command(after_help = "\
Examples:
  hitgate audit verdicts.jsonl --stream run.stream          # what CrystFEL made of the same frames
  hitgate audit verdicts.jsonl --expt imported.expt indexed.expt            # DIALS
  hitgate audit verdicts.jsonl --stream run.stream --max-loss 0.02 --bound   # exit status for a script

RECORDS are the lines of `hitgate screen` or of `hitgate run --records`. Index all frames, also those that
were dropped: what nobody tried to index cannot be found lost. Frames are joined by file and event: files
of the same path, else of the same base name where only one has it; event //3 is index 3, an image without
an event index 0, and frame n of a run event n − 1 of the one file. An experiment with a crystal is a
lattice; lists of indexed images alone do not tell of the others, so give the list of all imported ones too.
Records of a run name no file: that the results are of the same run is yours to know.
Exits with 1 where more was lost than --max-loss: by default what was observed, lost / indexed; with --bound
the highest loss that the data do not exclude, the exact one-sided 95 % bound.")]
pub struct AuditArgs {
    /// Verdicts: lines of JSON
    #[arg(required = true, value_name = "RECORDS")]
    records: Vec<PathBuf>,
    /// Streams of CrystFEL
    #[arg(long, value_name = "FILE", num_args = 1.., group = "results")]
    stream: Vec<PathBuf>,
    /// Experiment lists of DIALS
    #[arg(long, value_name = "FILE", num_args = 1.., group = "results")]
    expt: Vec<PathBuf>,
    /// Fail where more of the indexed frames was lost than this fraction
    #[arg(long, value_name = "FRACTION", value_parser = fraction)]
    max_loss: Option<f64>,
    /// Compare --max-loss with the upper bound of the loss, not with what was observed
    #[arg(long, requires = "max_loss")]
    bound: bool,
    /// One JSON object in place of tables, with every name
    #[arg(long)]
    json: bool,
}

const CONFIDENCE: f64 = 0.95;

fn fraction(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|x| (0.0..=1.0).contains(x));
    number.ok_or_else(|| "a fraction from 0 to 1 is needed".into())
}

/// Runs the command.
pub fn run(args: &AuditArgs) -> Result<()> {
    let (mut told, mut lost) = (Vec::new(), 0);
    for path in &args.records {
        let records = records::read(path)?;
        told.extend(records.frames);
        lost += records.lost;
    }
    let mut attempts = Vec::new();
    for path in &args.stream {
        attempts.extend(read_stream(path)?);
    }
    for path in &args.expt {
        attempts.extend(read_expt(path)?);
    }
    for (what, nothing) in [
        ("the records hold no verdict", told.is_empty()),
        ("the results tell of no frame", attempts.is_empty()),
    ] {
        if nothing {
            bail!("{what}: nothing to compare");
        }
    }
    let audit = audit::join(told, attempts)?;
    match args.json {
        true => say!("{}", as_json(&audit, lost)),
        false => print_tables(&audit, lost),
    }
    judge(&audit, args)
}

/// Refuses what proves nothing, and a loss above the limit.
fn judge(audit: &Audit, args: &AuditArgs) -> Result<()> {
    if let ([], [told, ..], [attempt, ..]) = (
        &audit.joined[..],
        &audit.without_result[..],
        &audit.without_record[..],
    ) {
        bail!(
            "no frame of the results has a verdict: the records name {}, the results {}; screen the files that were indexed",
            told_name(told),
            attempt_name(attempt)
        );
    }
    if audit.is_strange() {
        let [records, results] = audit.sizes();
        tell!(
            "hitgate: warning: only {} frames are both in the records, of {records}, and in the results, of {results}: are these of one run?",
            audit.joined.len()
        );
    }
    if audit.is_blind() {
        bail!(
            "no frame that was dropped is in the results, so none can be found lost: index all frames, or a sample of the dropped ones"
        );
    }
    let Some(limit) = args.max_loss else {
        return Ok(());
    };
    let lost = audit.lost();
    if lost.n == 0 {
        bail!(
            "no frame with a verdict was indexed: nothing shows that the loss is below --max-loss"
        );
    }
    let (loss, what) = match args.bound {
        true => (lost.upper_bound(CONFIDENCE), "the bound of the loss"),
        false => (lost.fraction(), "the loss"),
    };
    if loss > limit {
        bail!("{what}, {loss:.4}, is above --max-loss {limit}");
    }
    Ok(())
}

fn told_name(told: &Told) -> String {
    match &told.file {
        Some(file) => format!("{file} //{}", told.index),
        None => format!("frame {} of the run", told.index + 1),
    }
}

fn attempt_name(attempt: &Attempt) -> String {
    format!("{} //{}", attempt.file, attempt.index)
}

/// A table of losses: what it goes by, and its bins.
type Table = (&'static str, Vec<(Option<&'static Bin>, Share)>);

fn tables(audit: &Audit) -> [Table; 3] {
    [
        ("spots", audit.lost_by(&SPOTS, |a| a.spots.map(f64::from))),
        (
            "resolution",
            audit.lost_by(&RESOLUTIONS, |a| a.resolution_a),
        ),
        (
            "lattices",
            audit.lost_by(&LATTICES, |a| Some(f64::from(a.lattices))),
        ),
    ]
}

fn print_tables(audit: &Audit, lost_on_the_way: u64) {
    let ([records, results], both) = (audit.sizes(), audit.joined.len());
    say!(
        "the results name {both} of the {records} frames of the records, the records {both} of the {results} of the results{}",
        match audit.is_by_number() {
            true =>
                "\nby their numbers alone, as records of a run name no file: nothing shows that both are of one run",
            false => "",
        }
    );
    say!("class         indexed  not indexed");
    let names = Class::ALL
        .map(Class::name)
        .into_iter()
        .chain(["not judged"]);
    for (name, [indexed, not]) in names.zip(audit.classes()) {
        say!("  {name:<10} {indexed:>8} {not:>12}");
    }
    say!("\nlost {}", bounded(audit.lost(), "indexed frames"));
    let sampled = audit.sampled();
    if sampled.n > 0 {
        say!(
            "of the misses kept as a sample {}",
            bounded(sampled, "indexed")
        );
    }
    for (by, bins) in tables(audit) {
        // One line of what nobody told says nothing.
        if let [] | [(None, _)] = bins[..] {
            continue;
        }
        say!("\n{by:<18} lost  indexed   share  at most");
        for (bin, share) in bins {
            say!(
                "  {:<15} {:>5} {:>8} {:>7} {:>8}",
                bin.map_or("not told", |bin| bin.name),
                share.k,
                share.n,
                percent(share.k, share.n),
                format!("{:.1} %", 100.0 * share.upper_bound(CONFIDENCE)),
            );
        }
    }
    if audit.lost().k > 0 {
        say!("\nlost frames");
    }
    for frame in audit.indexed().filter(|frame| frame.is_lost()) {
        say!("  {}", described(frame));
    }
    let told = audit.without_result.iter().map(told_name).collect();
    unmatched("frames with a verdict that are not in the results", told);
    let attempts = audit.without_record.iter().map(attempt_name).collect();
    unmatched("frames of the results that have no verdict", attempts);
    let indexed = audit
        .without_record
        .iter()
        .filter(|a| a.is_indexed())
        .count();
    if indexed > 0 {
        say!("  indexed among these, and counted nowhere above: {indexed}");
    }
    if lost_on_the_way > 0 {
        say!(
            "{lost_on_the_way} frames were lost by the source or the link, by the records: no verdict of the filter"
        );
    }
}

/// `3 of 138 indexed frames, 2.17 %, at most 5.53 % with 95 % confidence`.
fn bounded(share: Share, of: &str) -> String {
    match share.n {
        0 => format!("0 of 0 {of}: nothing is shown"),
        _ => format!(
            "{} of {} {of}, {:.2} %, at most {:.2} % with 95 % confidence",
            share.k,
            share.n,
            100.0 * share.fraction(),
            100.0 * share.upper_bound(CONFIDENCE)
        ),
    }
}

fn described(Joined { told, attempt }: &Joined) -> String {
    let mut text = format!("{}  {}", attempt_name(attempt), told.reason);
    if let Some(spots) = attempt.spots {
        text += &format!(", {spots} spots");
    }
    if let Some(d) = attempt.resolution_a {
        text += &format!(", {d:.2} Å");
    }
    if attempt.lattices > 1 {
        text += &format!(", {} lattices", attempt.lattices);
    }
    text
}

/// How many, and the first of them by name.
fn unmatched(what: &str, names: Vec<String>) {
    const SHOWN: usize = 8;
    if names.is_empty() {
        return;
    }
    say!("\n{what}: {}", names.len());
    for name in names.iter().take(SHOWN) {
        say!("  {name}");
    }
    if names.len() > SHOWN {
        say!("  and {} more; --json names all", names.len() - SHOWN);
    }
}

fn as_json(audit: &Audit, lost_on_the_way: u64) -> Value {
    let share = |share: Share| json!({ "k": share.k, "n": share.n, "at_most": (share.n > 0).then(|| share.upper_bound(CONFIDENCE)) });
    let by = |bins: &[(Option<&Bin>, Share)]| -> Vec<Value> {
        let line = |(bin, of): &(Option<&Bin>, Share)| {
            json!({
                "from": bin.map(|bin| bin.from),
                "below": bin.map(|bin| bin.below).filter(|below| below.is_finite()),
                "lost": share(*of),
            })
        };
        bins.iter().map(line).collect()
    };
    let told = |told: &Told| json!({ "file": told.file, "index": told.index, "class": told.class.map(Class::name), "keep": told.keep, "reason": told.reason });
    let attempt = |attempt: &Attempt| json!({ "file": attempt.file, "index": attempt.index, "lattices": attempt.lattices, "spots": attempt.spots, "resolution_A": attempt.resolution_a });
    let [spots, resolution, lattices] = tables(audit).map(|(_, bins)| by(&bins));
    let [hit, maybe, miss, not_judged] = audit
        .classes()
        .map(|[indexed, not]| json!({ "indexed": indexed, "not_indexed": not }));
    json!({
        "classes": { "hit": hit, "maybe": maybe, "miss": miss, "not_judged": not_judged },
        "lost": share(audit.lost()),
        "sampled_indexed": share(audit.sampled()),
        "lost_by_spots": spots,
        "lost_by_resolution": resolution,
        "lost_by_lattices": lattices,
        "lost_frames": audit.indexed().filter(|f| f.is_lost()).map(|f| json!({ "record": told(&f.told), "result": attempt(&f.attempt) })).collect::<Vec<_>>(),
        "joined": audit.joined.len(),
        "without_result": audit.without_result.iter().map(told).collect::<Vec<_>>(),
        "without_record": audit.without_record.iter().map(attempt).collect::<Vec<_>>(),
        "lost_on_the_way": lost_on_the_way,
    })
}
