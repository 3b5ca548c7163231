//! `hitgate dataset`: prepared maps with labels, for training.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use hitgate_core::prep::Reduce;
use hitgate_formats::FormatError;
use hitgate_formats::write::NpyStack;
use hitgate_sim::{Detector, Scratch, Simulator};
use rayon::prelude::*;
use serde_json::json;

use crate::progress::Progress;
use crate::sets::SetArgs;
use crate::simulation::{COUNT, FIRST, MixArg, ReduceArg, detector};

/// Simulate prepared maps for training: OUT.npy and OUT.jsonl
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate dataset train --maps 30000 --seed 1 --mix training
  hitgate dataset validation --maps 4000 --seed 1000
  hitgate dataset without-eiger --maps 30000 --without eiger4m --without eiger16m

OUT.npy is u8 [N, side, side] of 0..=127, the very integers that inference sees; with two channels
[N, side, 2 side], those of a cell side by side. OUT.jsonl has a line a map: index in OUT.npy,
frame of the seed, class, spots, set, reduce, and `at`, the place of each spot in cells. Of --maps
maps those of detectors that are left out are not written. No frame is stored on the way, and only
the pixels that the window needs are simulated.")]
pub struct DatasetArgs {
    /// Where to write, without extension
    out: PathBuf,
    /// Maps to make
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=COUNT))]
    maps: u64,
    /// Number of the first map
    #[arg(long, value_name = "I", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=FIRST))]
    first: u64,
    /// Seed
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Which frames, and how often
    #[arg(long, value_enum, default_value_t = MixArg::Natural)]
    mix: MixArg,
    /// One detector with one geometry; all of them if left out
    #[arg(long, value_name = "DETECTOR", value_parser = detector, conflicts_with_all = ["only", "without"])]
    detector: Option<Detector>,
    #[command(flatten)]
    sets: SetArgs,
    /// Cells along the side of a map
    #[arg(long, value_name = "CELLS", default_value_t = 224, value_parser = clap::value_parser!(u32).range(1..=4096))]
    input: u32,
    /// How a block of pixels becomes a cell
    #[arg(long, value_enum, default_value_t = ReduceArg::Peaks)]
    reduce: ReduceArg,
}

/// Maps that are made at a time, before they are written in order.
const BATCH: u64 = 256;

/// Runs the command.
pub fn run(args: &DatasetArgs) -> Result<()> {
    args.sets.check(&Detector::ALL.map(Detector::name))?;
    let simulator = match args.detector {
        Some(detector) => Simulator::with_detector(args.seed, args.mix.into(), detector),
        None => Simulator::new(args.seed, args.mix.into()),
    };
    let reduce: Reduce = args.reduce.into();
    let channels = reduce.channels();
    let map_bytes = (args.input as usize).pow(2) * channels as usize;
    let labels_path = with_ending(&args.out, "jsonl");
    let maps_path = with_ending(&args.out, "npy");
    let mut maps = NpyStack::create(&maps_path, args.input * channels, args.input)?;
    let unwritable = |error| FormatError::writing(&labels_path, error);
    let mut labels = BufWriter::new(File::create(&labels_path).map_err(unwritable)?);
    let progress = Progress::start("simulating", args.maps);
    let start = std::time::Instant::now();
    let (mut counts, mut pixels) = ([0u64; 3], 0u64);
    let end = args.first + args.maps;
    for first in (args.first..end).step_by(BATCH as usize) {
        let made: Vec<_> = (first..end.min(first + BATCH))
            .into_par_iter()
            .inspect(|_| progress.advance())
            .filter(|&index| args.sets.admit(simulator.set(index)))
            .map_init(Scratch::default, |scratch, index| {
                let mut map = vec![0; map_bytes];
                let label = simulator.map(index, args.input, reduce, &mut map, scratch);
                (index, label, map)
            })
            .collect();
        for (frame, label, map) in made {
            maps.push(&map)?;
            let line = json!({
                "index": counts.iter().sum::<u64>(), "frame": frame, "class": label.truth.class.name(), "spots": label.truth.spots, "set": label.set,
                "reduce": ReduceArg::name(reduce), "at": label.spots.iter().map(|at| at.map(tenths)).collect::<Vec<_>>(),
            });
            writeln!(labels, "{line}").map_err(unwritable)?;
            counts[label.truth.class as usize] += 1;
            pixels += label.pixels;
        }
    }
    labels.flush().map_err(unwritable)?;
    let written = maps.finish()?;
    progress.clear();
    let [hits, maybes, misses] = counts;
    let seconds = start.elapsed().as_secs_f64();
    say!(
        "{written} maps of {0} x {0} in {1}: {hits} hit, {maybes} maybe, {misses} miss; {2:.1} s, {3:.0} Mpx/s",
        args.input,
        maps_path.display(),
        seconds,
        pixels as f64 / seconds / 1e6
    );
    Ok(())
}

/// Rounded to a tenth of a cell.
fn tenths(at: f64) -> f64 {
    (10.0 * at).round() / 10.0
}

/// `OUT.ENDING`, whatever dots `out` has; an `OUT.npy` means `OUT`.
fn with_ending(out: &Path, ending: &str) -> PathBuf {
    let mut path = match out.extension() {
        Some(extension) if extension == "npy" => out.with_extension(""),
        _ => out.to_path_buf(),
    }
    .into_os_string();
    path.push(".");
    path.push(ending);
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_in_a_name_stay() {
        let of = |out: &str| with_ending(Path::new(out), "jsonl");
        assert_eq!(of("dd.v2"), Path::new("dd.v2.jsonl"));
        assert_eq!(of("dd.v3"), Path::new("dd.v3.jsonl"));
        assert_eq!(of("dd.npy"), Path::new("dd.jsonl"));
    }
}
