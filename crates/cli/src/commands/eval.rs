//! `hitgate eval`: verdicts against labels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use hitgate_core::net::{Arena, Model, Plan};
use hitgate_core::verdict::Score;
use hitgate_formats::truth;
use hitgate_import::metrics::{Confusion, Filtered, Scored, Share, auc};
use hitgate_import::thresholds::{OperatingPoint, Target};
use hitgate_sim::{Scratch, Simulator};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::filter::FilterArgs;
use crate::frames::label;
use crate::open::DescribeArgs;
use crate::progress::Progress;
use crate::screener::Screener;
use crate::simulation::{COUNT, MixArg};
use crate::{model, report};

/// Compare verdicts with labels: confusion, recall and rejection, by set
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate eval --simulate 2000 --seed 7777        # fresh simulated frames
  hitgate eval --truth frames/truth.jsonl         # labelled files

A rate is given as k/n with its exact one-sided 95 % bound. Frames of class `few` stay out.")]
pub struct EvalArgs {
    /// Labels of files: a JSON object with file, index, class and set in a line for each frame
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "simulate",
        required_unless_present = "simulate"
    )]
    truth: Option<PathBuf>,
    /// Simulate this many fresh frames
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=COUNT))]
    simulate: Option<u64>,
    /// Seed of the simulation; training used 1, validation 1000
    #[arg(long, value_name = "SEED", default_value_t = 7777)]
    seed: u64,
    /// Which frames to simulate, and how often
    #[arg(long, value_enum, default_value_t = MixArg::Natural)]
    mix: MixArg,
    /// One JSON object in place of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

/// A labelled frame with its score, and the set that it is of.
struct Frame {
    set: String,
    name: String,
    scored: Scored,
}

/// Runs the command.
pub fn run(args: &EvalArgs) -> Result<()> {
    let bytes = model::bytes(args.filter.model.as_deref())?;
    let model = model::parse(&bytes, args.filter.model.as_deref())?;
    // Exact, as the scores are: a frame at the threshold is kept here as by the filter.
    let threshold = f64::from(args.filter.policy(&model).threshold) / 65536.0;
    let frames = match (&args.truth, args.simulate) {
        (Some(truth), _) => files(truth, &model, &bytes, &args.filter)?,
        (None, Some(count)) => simulated(args, &model, count)?,
        (None, None) => bail!("give --truth FILE or --simulate N"),
    };
    if frames.is_empty() {
        bail!("no frame has a class of hit, maybe or miss: nothing to compare");
    }
    if args.json {
        say!("{}", as_json(&frames, threshold));
    } else {
        print_tables(&frames, threshold, args.truth.is_some());
    }
    Ok(())
}

fn files(
    path: &Path,
    model: &Model<'_>,
    model_bytes: &[u8],
    filter: &FilterArgs,
) -> Result<Vec<Frame>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut labels: BTreeMap<String, Vec<(usize, truth::Truth)>> = BTreeMap::new();
    for (number, line) in truth::read(path)? {
        labels
            .entry(line.file.clone())
            .or_default()
            .push((number, line));
    }
    let describe = DescribeArgs::default();
    let screener = Screener {
        model: model.clone(),
        model_bytes,
        describe: &describe,
        filter,
        raw: None,
    };
    let mut frames = Vec::new();
    let mut unreadable = 0;
    for (file, lines) in &labels {
        let wanted = |index| {
            lines
                .iter()
                .map(|(_, line)| line)
                .find(|line| line.index == index)
        };
        if lines.iter().all(|(_, line)| label(line.class).is_none()) {
            continue;
        }
        let mut end = 0;
        let unreadable_here = screener.file(&folder.join(file), &mut |judged| {
            end = end.max(judged.index + 1);
            let labelled = wanted(judged.index).and_then(|line| Some((line, label(line.class)?)));
            if let Some((line, class)) = labelled {
                // A frame that cannot be judged is kept: it counts as such.
                let score = report::score(&judged.record).unwrap_or(Score {
                    hit: u16::MAX,
                    maybe: 0,
                    miss: 0,
                });
                frames.push(Frame {
                    set: line.set.clone(),
                    name: format!("{file} //{}", judged.index),
                    scored: Scored::new(class, score),
                });
            }
            Ok(())
        })?;
        unreadable += unreadable_here;
        if let Some((number, line)) = lines.iter().find(|(_, line)| line.index >= end)
            && unreadable_here == 0
        {
            bail!(
                "{} line {number}: {file} has no frame {}, it holds {end}, counted from 0: no figures of a part",
                path.display(),
                line.index
            );
        }
    }
    if unreadable > 0 {
        bail!(
            "{unreadable} of the labelled files or frames could not be read: no figures of a part"
        );
    }
    Ok(frames)
}

/// Scores maps, which the simulator makes equal to those of whole frames.
fn simulated(args: &EvalArgs, model: &Model<'_>, count: u64) -> Result<Vec<Frame>> {
    let level = args.filter.level()?;
    let memory = Plan::memory(model, level);
    let mut packed = vec![0; memory.packed];
    let plan = Plan::new(model, level, &mut packed)?;
    let simulator = Simulator::new(args.seed, args.mix.into());
    let progress = Progress::start("simulating", count);
    let frames = (0..count)
        .into_par_iter()
        .map_init(
            || (Scratch::default(), vec![0; memory.arena]),
            |(scratch, arena), index| {
                let input = model.input();
                let mut map = vec![0; input.bytes()];
                let made = simulator.map(index, input.size, input.reduce, &mut map, scratch);
                let logits = plan.infer(&mut Arena::new(arena), &map)?;
                let score = model.score(logits);
                progress.advance();
                Ok(Frame {
                    set: made.set.into(),
                    name: format!("simulated //{index}"),
                    scored: Scored::new(made.truth.class, score),
                })
            },
        )
        .collect();
    progress.clear();
    frames
}

fn as_json(frames: &[Frame], threshold: f64) -> Value {
    let sets: Vec<Value> = groups(frames)
        .into_iter()
        .map(|(set, scored)| {
            let filtered = Filtered::at(&scored, threshold);
            json!({
                "set": set,
                "frames": scored.len(),
                "confusion": Confusion::of(&scored).0,
                "auc": auc(&scored),
                "threshold": threshold,
                "at_threshold": filtered,
                "at_half": Filtered::at(&scored, 0.5),
                "at_rejection_0.90": OperatingPoint::set(&scored, Target::Rejection(0.90)),
            })
        })
        .collect();
    json!({ "sets": sets })
}

/// All frames, then those of each set.
fn groups(frames: &[Frame]) -> Vec<(String, Vec<Scored>)> {
    let mut sets: BTreeMap<&str, Vec<Scored>> = BTreeMap::new();
    for frame in frames {
        sets.entry(&frame.set).or_default().push(frame.scored);
    }
    let all = (
        "all".to_string(),
        frames.iter().map(|frame| frame.scored).collect(),
    );
    let each = sets
        .into_iter()
        .map(|(set, scored)| (set.to_string(), scored));
    std::iter::once(all).chain(each).collect()
}

fn print_tables(frames: &[Frame], threshold: f64, name_the_wrong: bool) {
    let all: Vec<Scored> = frames.iter().map(|frame| frame.scored).collect();
    let Confusion(rows) = Confusion::of(&all);
    say!("label      called hit    maybe     miss");
    for (name, [hit, maybe, miss]) in ["hit", "maybe", "miss"].iter().zip(rows) {
        say!("  {name:<8} {hit:>10} {maybe:>8} {miss:>8}");
    }
    let accuracy = Confusion(rows).accuracy();
    say!("three classes right {}", share(accuracy));
    if let Some(auc) = auc(&all) {
        say!("area under the ROC curve, hit or maybe against miss: {auc:.4}");
    }
    line(
        &format!("at t = {threshold:.4}, the model's or the one given"),
        Filtered::at(&all, threshold),
    );
    line("at t = 0.5, the paper's", Filtered::at(&all, 0.5));
    if let Some(point) = OperatingPoint::set(&all, Target::Rejection(0.90)) {
        line("where 0.90 of the misses are dropped", point.filtered);
    }
    say!("\nset                  frames   hits kept  hit or maybe kept  misses dropped");
    for (set, scored) in groups(frames) {
        let Filtered {
            hits_kept,
            wanted_kept,
            misses_dropped,
        } = Filtered::at(&scored, threshold);
        let of = |share: Share| format!("{}/{}", share.k, share.n);
        say!(
            "{set:<20} {:>6} {:>11} {:>18} {:>15}",
            scored.len(),
            of(hits_kept),
            of(wanted_kept),
            of(misses_dropped)
        );
    }
    if name_the_wrong {
        say!("\nwrong at t = {threshold:.4}");
        for frame in frames {
            let keep = frame.scored.keep();
            if (keep >= threshold) != frame.scored.wanted() {
                say!(
                    "  {} is a {}, P(hit) + P(maybe) = {keep:.4}",
                    frame.name,
                    frame.scored.truth
                );
            }
        }
    }
}

fn line(what: &str, filtered: Filtered) {
    say!("{what}:");
    say!("  hits kept           {}", share(filtered.hits_kept));
    say!("  hits or maybes kept {}", share(filtered.wanted_kept));
    say!("  misses dropped      {}", share(filtered.misses_dropped));
}

/// `0.983 (59/60, at least 0.924)`.
pub(super) fn share(share: Share) -> String {
    match share.n {
        0 => "no such frame".into(),
        _ => format!(
            "{:.3} ({}/{}, at least {:.3} with 95 % confidence)",
            share.fraction(),
            share.k,
            share.n,
            share.lower_bound(0.95)
        ),
    }
}
