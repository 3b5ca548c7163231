//! `hitgate dataset`: prepared maps with labels, for training.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use hitgate_core::prep::Reduce;
use hitgate_core::verdict::Class;
use hitgate_formats::FormatError;
use hitgate_formats::truth::Truth;
use hitgate_formats::write::{NpyStack, WholeFile};
use hitgate_sim::{Detector, Scratch, Simulator};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::complaints::Complaints;
use crate::frames::{self, label};
use crate::map::FrameMap;
use crate::model;
use crate::module::Input;
use crate::outputs;
use crate::progress::Progress;
use crate::reading::{Reading, ReadingArgs};
use crate::sets::SetArgs;
use crate::simulation::{COUNT, FIRST, MixArg, ReduceArg, detector};

/// Prepare maps for training, of simulated or of labelled frames: OUT.npy and OUT.jsonl
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate dataset train --maps 30000 --seed 1 --mix training
  hitgate dataset validation --maps 4000 --seed 1000
  hitgate dataset without-eiger --maps 30000 --without eiger4m --without eiger2-16m
  hitgate dataset real --truth frames/truth.jsonl           # labelled files
  hitgate dataset real --truth truth.jsonl --geometry detector.geom
  hitgate dataset L498 --truth L498/expert_annotation.txt   # CXIDB entry 76, r0027_2000.h5 beside it

OUT.npy is u8 [N, side, side] of 0..=127, the very integers that inference sees; with two channels
[N, side, 2 side], those of a cell side by side. OUT.jsonl has a line a map: index in OUT.npy,
frame of the seed, class, spots, set, reduce, and `at`, the place of each spot in cells. Of --maps
maps those of detectors that are left out are not written. No frame is stored on the way, and only
the pixels that the window needs are simulated. Of a labelled frame `file` is told and `frame` is its
index there; its spots have no places, and those of class `few` are left out. Files of CXIDB entry 76
are known by themselves; --layout cxidb76 makes any other file an error. OUT.npy and OUT.jsonl are
called OUT.npy.part and OUT.jsonl.part until both are whole, and what is there of an earlier run
stays, unless --replace is given.")]
pub struct DatasetArgs {
    /// Where to write, without extension
    out: PathBuf,
    /// Prepare the labelled frames of files in place of simulated ones: lines as in `hitgate eval`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["maps", "first", "seed", "mix", "detector", "only", "without"])]
    truth: Option<PathBuf>,
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
    #[command(flatten)]
    reading: ReadingArgs,
    /// Replace the maps and labels of an earlier run
    #[arg(long)]
    replace: bool,
}

/// Maps that are made at a time, before they are written in order.
const BATCH: u64 = 256;

/// Runs the command.
pub fn run(args: &DatasetArgs) -> Result<()> {
    args.sets.check(&Detector::ALL.map(Detector::name))?;
    let reading = args.reading.read(args.truth.is_some())?;
    let labels = args.truth.as_deref().map(|truth| labels(truth, &reading));
    let labels = labels.transpose()?;
    let outputs = ["npy", "jsonl"].map(|ending| with_ending(&args.out, ending));
    if let (Some(truth), Some(labels)) = (&args.truth, &labels) {
        let frames = labels.of_file.keys().map(|file| labels.folder.join(file));
        let others = args.reading.files().chain([truth.clone()]);
        let inputs: Vec<PathBuf> = frames.chain(others).collect();
        for output in &outputs {
            outputs::replaces_none_of(output, &inputs)?;
        }
    }
    for output in &outputs {
        outputs::replaces_nothing_unasked(output, args.replace)?;
    }
    let mut dataset = Dataset::create(args)?;
    let start = std::time::Instant::now();
    let pixels = match labels {
        Some(labels) => labelled(labels, &reading, args, &mut dataset)?,
        None => simulated(args, &mut dataset)?,
    };
    let [hits, maybes, misses] = dataset.counts;
    if dataset.len() == 0 {
        bail!(
            "none of the {} maps is of a set that was asked for: ask for more with --maps",
            args.maps
        );
    }
    let path = dataset.maps_path.display().to_string();
    let written = dataset.finish()?;
    let seconds = start.elapsed().as_secs_f64();
    say!(
        "{written} maps of {0} x {0} in {path}: {hits} hit, {maybes} maybe, {misses} miss; {1:.1} s, {2:.0} Mpx/s",
        args.input,
        seconds,
        pixels as f64 / seconds / 1e6
    );
    Ok(())
}

/// Maps and their labels, side by side. Neither has its name before both are whole: a set of an
/// earlier run stays as it is where this one fails or is stopped.
struct Dataset {
    maps_path: PathBuf,
    labels_path: PathBuf,
    maps: NpyStack,
    labels: WholeFile,
    counts: [u64; 3],
}

impl Dataset {
    fn create(args: &DatasetArgs) -> Result<Self> {
        let channels = Reduce::from(args.reduce).channels();
        let labels_path = with_ending(&args.out, "jsonl");
        let maps_path = with_ending(&args.out, "npy");
        let maps = NpyStack::create(&maps_path, args.input * channels, args.input)?;
        let labels = WholeFile::create(&labels_path)
            .map_err(|error| FormatError::writing(&labels_path, error))?;
        Ok(Dataset {
            maps_path,
            labels_path,
            maps,
            labels,
            counts: [0; 3],
        })
    }

    fn push(&mut self, class: Class, map: &[u8], label: &Value) -> Result<()> {
        self.maps.push(map)?;
        writeln!(self.labels, "{label}")
            .map_err(|error| FormatError::writing(&self.labels_path, error))?;
        self.counts[class as usize] += 1;
        Ok(())
    }

    fn len(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn finish(mut self) -> Result<u64> {
        let failed = |error| FormatError::writing(&self.labels_path, error);
        // A disk that has no room for them is to show it while all of before is there.
        self.labels.flush().map_err(failed)?;
        self.maps.complete()?;
        // Two names cannot be given at once: whoever is killed between them leaves maps without labels, which no reader
        // takes, and never new maps with old labels.
        self.labels.clear().map_err(failed)?;
        let written = self.maps.finish()?;
        self.labels.finish().map_err(failed)?;
        Ok(written)
    }
}

/// Simulates maps; returns how many pixels that took.
fn simulated(args: &DatasetArgs, dataset: &mut Dataset) -> Result<u64> {
    let simulator = match args.detector {
        Some(detector) => Simulator::with_detector(args.seed, args.mix.into(), detector),
        None => Simulator::new(args.seed, args.mix.into()),
    };
    let reduce: Reduce = args.reduce.into();
    let map_bytes = (args.input as usize).pow(2) * reduce.channels() as usize;
    let progress = Progress::start("simulating", args.maps);
    let mut pixels = 0;
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
            let line = json!({
                "index": dataset.len(), "frame": frame, "class": label.truth.class.name(), "spots": label.truth.spots, "set": label.set,
                "reduce": ReduceArg::name(reduce), "at": label.spots.iter().map(|at| at.map(tenths)).collect::<Vec<_>>(),
            });
            dataset.push(label.truth.class, &map, &line)?;
            pixels += label.pixels;
        }
    }
    progress.clear();
    Ok(pixels)
}

/// The labels of each file, which is where the truth file is.
struct Labels {
    folder: PathBuf,
    of_file: BTreeMap<String, Vec<(Truth, Class)>>,
}

/// The labels of a truth file, without frames that no class is known of.
fn labels(path: &Path, reading: &Reading<'_>) -> Result<Labels> {
    let mut labels = Labels {
        folder: path.parent().unwrap_or(Path::new(".")).to_path_buf(),
        of_file: BTreeMap::new(),
    };
    for (_, line) in frames::labels(path)? {
        if let Some(class) = label(line.class) {
            let of_file = labels.of_file.entry(line.file.clone()).or_default();
            of_file.push((line, class));
        }
    }
    if labels.of_file.is_empty() {
        bail!("no frame has a class of hit, maybe or miss: nothing to prepare");
    }
    for file in labels.of_file.keys() {
        reading.check_layout(&labels.folder.join(file))?;
    }
    Ok(labels)
}

/// Prepares the frames that are labelled, file by file; returns the pixels of their windows.
fn labelled(
    labels: Labels,
    reading: &Reading<'_>,
    args: &DatasetArgs,
    dataset: &mut Dataset,
) -> Result<u64> {
    let Labels { folder, of_file } = labels;
    let input = Input {
        size: args.input,
        reduce: args.reduce.into(),
        ..model::input(&model::parse(model::EMBEDDED, None)?)
    };
    let progress = Progress::start(
        "preparing",
        of_file.values().map(Vec::len).sum::<usize>() as u64,
    );
    let mut pixels = 0;
    let complaints = Complaints::default();
    for (file, lines) in of_file {
        let mut pictures = reading.open(&folder.join(&file))?;
        complaints.doubt(&pictures);
        for (line, class) in lines {
            let map =
                FrameMap::of_pictures(&mut pictures, line.index, input, reading.raw.as_ref())?;
            let label = json!({
                "index": dataset.len(), "class": class.name(), "spots": line.spots, "set": line.set,
                "reduce": ReduceArg::name(input.reduce), "file": file, "frame": line.index,
            });
            dataset.push(class, &map.levels, &label)?;
            pixels += u64::from(map.window.side()).pow(2);
            progress.advance();
        }
    }
    progress.clear();
    Ok(pixels)
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
