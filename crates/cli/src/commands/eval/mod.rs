//! `hitgate eval`: verdicts against labels.

mod counters;
mod figures;
mod frames;
mod json;
mod plots;
mod tables;
mod worst;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::filter::FilterArgs;
use crate::model;
use crate::sets::SetArgs;
use crate::simulation::{COUNT, MixArg};
use counters::Counter;
use figures::Figures;

/// Compare verdicts with labels: confusion, recall and rejection, calibration, by set
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate eval --simulate 2000 --seed 7777        # fresh simulated frames
  hitgate eval --truth frames/truth.jsonl         # labelled files
  hitgate eval --simulate 500 --baseline spots    # beside the classical spot counter
  hitgate eval --simulate 500 --oracle            # and one that knows every spot's place
  hitgate eval --simulate 3000 --only eiger4m     # one detector
  hitgate eval --simulate 500 --plots figures --worst 12

A rate is given as k/n with its exact one-sided 95 % bound. Frames of class `few` stay out.
A threshold that is set by what it keeps or drops is set on these very frames. Misses that pass limit
what a run shrinks to: where 0.97 of them are dropped, one of 1 % hits shrinks at most 25-fold.")]
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
    #[command(flatten)]
    sets: SetArgs,
    /// Count the spots of each simulated frame at their true places, from its noisy pixels: the ceiling
    #[arg(long, conflicts_with = "truth")]
    oracle: bool,
    /// Count the spots of each frame the classical way too, and compare
    #[arg(long, value_name = "COUNTER", value_enum)]
    baseline: Option<Counter>,
    /// Share of hits and maybes in a run whose purity and reduction to tell; may be given again
    #[arg(long = "prior", value_name = "P", value_parser = share_of_run, default_values_t = [0.01, 0.08, 0.30])]
    priors: Vec<f64>,
    /// Print the bins of the reliability diagrams and points of the ROC curve too
    #[arg(long)]
    details: bool,
    /// Draw ROC curve, reliability, confusion matrix and scores by class into this folder (SVG)
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// Picture the N lowest of the hits and maybes and the N highest of the misses: worst.png among the plots
    #[arg(long, value_name = "N", requires = "plots", value_parser = clap::value_parser!(u16).range(1..=500))]
    worst: Option<u16>,
    /// One JSON object in place of tables
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    filter: FilterArgs,
}

fn share_of_run(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if 0.0 < p && p < 1.0 => Ok(p),
        _ => Err("a number between 0 and 1 is needed, as 0.08 for a run of 8 %".into()),
    }
}

/// Runs the command.
pub fn run(args: &EvalArgs) -> Result<()> {
    let bytes = model::bytes(args.filter.model.as_deref())?;
    let model = model::parse(&bytes, args.filter.model.as_deref())?;
    if let Some(folder) = &args.plots {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    // Exact, as the scores are: a frame at the threshold is kept here as by the filter.
    let threshold = f64::from(args.filter.policy(&model).threshold) / 65536.0;
    let counters = counters::wanted(args);
    let frames = match (&args.truth, args.simulate) {
        (Some(truth), _) => frames::of_files(truth, &model, &bytes, &counters, args)?,
        (None, Some(count)) => frames::simulated(count, &model, &counters, args)?,
        (None, None) => bail!("give --truth FILE or --simulate N"),
    };
    if frames.is_empty() {
        bail!("no frame has a class of hit, maybe or miss: nothing to compare");
    }
    let sets = Figures::of_each_set(&frames, threshold, &args.priors, &counters);
    if let Some(folder) = &args.plots {
        plots::write(folder, &sets[0], threshold)?;
        if let Some(each) = args.worst {
            worst::write(
                &folder.join("worst.png"),
                &frames,
                each.into(),
                &model,
                args,
            )?;
        }
    }
    if args.json {
        say!("{}", json::of(&sets));
        return Ok(());
    }
    tables::print(&sets);
    if args.details {
        tables::print_details(&sets[0]);
    }
    if args.truth.is_some() {
        tables::print_wrong(&frames, threshold);
    }
    Ok(())
}
