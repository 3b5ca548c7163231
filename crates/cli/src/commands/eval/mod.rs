//! `hitgate eval`: verdicts against labels.

mod counters;
mod figures;
mod frames;
mod json;
mod plots;
mod tables;
mod tuned;
mod worst;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{ArgGroup, Args};

use crate::filter::FilterArgs;
use crate::float::FloatModel;
use crate::labelled::Labelled;
use crate::model;
use crate::reading::ReadingArgs;
use crate::scorer::{EngineArg, Scorer};
use crate::sets::SetArgs;
use crate::simulation::{COUNT, MixArg, ReduceArg};
use counters::Counter;
use figures::Figures;

/// Compare verdicts with labels: confusion, recall and rejection, calibration, by set
#[derive(Args, Debug)]
#[command(group = ArgGroup::new("frames").required(true))]
#[command(after_help = "\
Examples:
  hitgate eval --simulate 2000 --seed 7777        # fresh simulated frames
  hitgate eval --truth frames/truth.jsonl         # labelled files
  hitgate eval --truth frames/truth.jsonl --geometry detector.geom
  hitgate eval --truth L498/expert_annotation.txt # CXIDB entry 76, r0027_2000.h5 beside it
  hitgate eval --maps validation.npy              # maps that `hitgate dataset` made
  hitgate eval --maps validation.npy --engine tract --model runs/w025/model.onnx
  hitgate eval --simulate 500 --baseline spots    # beside the classical spot counter
  hitgate eval --simulate 500 --baseline tuned    # beside its best settings, by hindsight
  hitgate eval --simulate 500 --oracle            # and one that knows every spot's place
  hitgate eval --simulate 3000 --only eiger4m     # one detector
  hitgate eval --simulate 500 --plots figures --worst 12

A rate is given as k/n with its exact one-sided 95 % bound. Frames of class `few` stay out.
A threshold that is set by what it keeps or drops is set on these very frames; one for 0.999 of the
hits needs 3,000 of them. F1 is that of hits and maybes against misses. Misses that pass
limit what a run shrinks to: where 0.97 of them are dropped, one of 1 % hits shrinks at most
25-fold.

CXIDB entry 76, the paper's data: HDF5 files of its layout, idh5_v1.0, are known by themselves,
here and wherever frames are read; --layout cxidb76 makes any other file an error. Leave the
experts' annotations, lines as `r0027_2000.h5 [3] HIT`, beside the files that they name, and give
them as --truth.")]
pub struct EvalArgs {
    /// Labels of files beside it: a line for each frame, a JSON object with file, index, class and set,
    /// or `FILE [3] HIT` of CXIDB entry 76, counted from 1
    #[arg(long, value_name = "FILE", group = "frames")]
    truth: Option<PathBuf>,
    /// Prepared maps, with their labels in NAME.jsonl
    #[arg(long, value_name = "NAME.npy", group = "frames")]
    maps: Option<PathBuf>,
    /// Simulate this many fresh frames
    #[arg(long, value_name = "N", group = "frames", value_parser = clap::value_parser!(u64).range(1..=COUNT))]
    simulate: Option<u64>,
    /// Seed of the simulation; training used 1, validation 1000
    #[arg(long, value_name = "SEED", default_value_t = 7777, conflicts_with_all = ["truth", "maps"])]
    seed: u64,
    /// Which frames to simulate, and how often
    #[arg(long, value_enum, default_value_t = MixArg::Natural, conflicts_with_all = ["truth", "maps"])]
    mix: MixArg,
    #[command(flatten)]
    sets: SetArgs,
    /// Count the spots of each simulated frame at their true places, from its noisy pixels: the ceiling
    #[arg(long, conflicts_with_all = ["truth", "maps"])]
    oracle: bool,
    /// Count the spots of each frame the classical way too, and compare with the network where it drops
    /// as many misses
    #[arg(long, value_name = "COUNTER", value_enum, conflicts_with = "maps")]
    baseline: Option<Counter>,
    /// Share of hits and maybes in a run whose purity and reduction to tell; may be given again
    #[arg(long = "prior", value_name = "P", value_parser = share_of_run, default_values_t = [0.01, 0.08, 0.30])]
    priors: Vec<f64>,
    /// Print the bins of the reliability diagrams and points of the ROC curve too
    #[arg(long)]
    details: bool,
    /// Draw ROC curve, reliability, confusion matrix and scores by class into this folder (SVG): of all
    /// frames, as roc.svg, and of each set, as roc-sets.svg
    #[arg(long, value_name = "FOLDER")]
    plots: Option<PathBuf>,
    /// Picture the N lowest of the hits and maybes and the N highest of the misses: worst.png among the plots
    #[arg(long, value_name = "N", requires = "plots", value_parser = clap::value_parser!(u16).range(1..=500))]
    worst: Option<u16>,
    /// One JSON object in place of tables
    #[arg(long)]
    json: bool,
    /// What runs the network; tract takes an ONNX file as --model
    #[arg(long, value_enum, default_value_t = EngineArg::Native)]
    engine: EngineArg,
    /// How maps are made for an ONNX file, which does not say it; a model file does
    #[arg(long, value_enum)]
    reduce: Option<ReduceArg>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    reading: ReadingArgs,
}

fn share_of_run(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if 0.0 < p && p < 1.0 => Ok(p),
        _ => Err("a number between 0 and 1 is needed, as 0.08 for a run of 8 %".into()),
    }
}

/// Runs the command.
pub fn run(args: &EvalArgs) -> Result<()> {
    let reading = args.reading.read(args.truth.is_some())?;
    let maps = args.maps.as_deref().map(Labelled::read).transpose()?;
    let bytes;
    let mut packed = Vec::new();
    let scorer = match args.engine {
        EngineArg::Native => {
            if args.reduce.is_some() {
                bail!("the model file says how its maps are made: leave out --reduce");
            }
            bytes = model::bytes(args.filter.model.as_deref())?;
            Scorer::native(&bytes, &args.filter, &mut packed)?
        }
        EngineArg::Tract => Scorer::Float(float(args, maps.as_ref())?),
    };
    if let Some(folder) = &args.plots {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let threshold = scorer.threshold(&args.filter);
    let counters = counters::wanted(args);
    let start = Instant::now();
    let frames = match (&args.truth, &maps, args.simulate) {
        (Some(truth), ..) => frames::of_files(truth, &scorer, &counters, &reading, args)?,
        (_, Some(maps), _) => frames::of_maps(maps, &scorer, args)?,
        (_, _, Some(count)) => frames::simulated(count, &scorer, &counters, args)?,
        (None, None, None) => bail!("give --truth FILE, --maps NAME.npy or --simulate N"),
    };
    let seconds = start.elapsed().as_secs_f64();
    if frames.is_empty() {
        bail!("no frame has a class of hit, maybe or miss: nothing to compare");
    }
    let sets = Figures::of_each_set(&frames, threshold, &args.priors, &counters);
    if let Some(folder) = &args.plots {
        plots::write(folder, &sets, threshold)?;
        if let Some(each) = args.worst {
            worst::write(
                &folder.join("worst.png"),
                &frames,
                each.into(),
                scorer.input(),
                maps.as_ref(),
                &reading,
                args,
            )?;
        }
    }
    if args.json {
        let mut json = json::of(&sets);
        // Of scoring alone with --maps; else reading or simulating the frames is part of it.
        json["seconds"] = seconds.into();
        json["threads"] = rayon::current_num_threads().into();
        say!("{json}");
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

/// The network of an ONNX file, with maps as `--reduce` says, or as the labels of `maps` do.
fn float(args: &EvalArgs, maps: Option<&Labelled>) -> Result<FloatModel> {
    let Some(path) = &args.filter.model else {
        bail!("--engine tract runs an ONNX file: give it with --model");
    };
    if args.filter.isa.is_some() {
        bail!("tract chooses its own instructions: leave out --isa");
    }
    let Some(reduce) = args.reduce.or(maps.and_then(|maps| maps.reduce)) else {
        bail!(
            "an ONNX file does not say how its maps are made: give --reduce, as for `hitgate dataset`"
        );
    };
    FloatModel::open(path, Some(reduce))
}
