//! `hitgate simulate`: labelled detector frames.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use hitgate_core::verdict::Class;
use hitgate_formats::sidecar::Sidecar;
use hitgate_formats::truth::{self, Truth};
use hitgate_formats::write::{write_cbf, write_npy};
use hitgate_sim::{Detector, Simulated, Simulator};
use rayon::prelude::*;

use crate::outputs::replaces_nothing_unasked;
use crate::progress::Progress;
use crate::simulation::{COUNT, FIRST, MixArg, detector, detectors, image, metadata};

/// Simulate labelled detector frames
#[derive(Args, Debug)]
#[command(after_help = format!("\
Examples:
  hitgate simulate frames --frames 20 --detector eiger4m
  hitgate eval --truth frames/truth.jsonl

Writes miniCBF files or NPY files with a JSON sidecar, and truth.jsonl: class and counted spots of
each frame. Frame i of a seed is the same on every machine. dials.import reads the miniCBF of a
frame whose geometry is told, with wavelength, distance and beam in its header; most single modules
have none. With --detector all frames of a seed have it, or none.

Detectors: {}", detectors()))]
pub struct SimulateArgs {
    /// Folder to write into
    folder: PathBuf,
    /// Frames to simulate
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=COUNT))]
    frames: u64,
    /// Number of the first frame
    #[arg(long, value_name = "I", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=FIRST))]
    first: u64,
    /// Seed
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Which frames, and how often
    #[arg(long, value_enum, default_value_t = MixArg::Natural)]
    mix: MixArg,
    /// One detector with one geometry; all of them, each frame another, if left out
    #[arg(long, value_name = "DETECTOR", value_parser = detector)]
    detector: Option<Detector>,
    /// File format
    #[arg(long, value_enum, default_value_t = Format::Cbf)]
    format: Format,
    /// Write truth.jsonl alone, which names the frames, and none of them
    #[arg(long)]
    labels: bool,
    /// Replace the frames and labels of an earlier run
    #[arg(long)]
    replace: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// miniCBF; pixels that are excluded by a mask are written as -2
    Cbf,
    /// NPY with a JSON sidecar
    Npy,
}

/// Runs the command.
pub fn run(args: &SimulateArgs) -> Result<()> {
    std::fs::create_dir_all(&args.folder)
        .with_context(|| format!("cannot make the folder {}", args.folder.display()))?;
    let labels = args.folder.join("truth.jsonl");
    replaces_nothing_unasked(&labels, args.replace)?;
    let frames = args.first..args.first + args.frames;
    for index in frames.clone().filter(|_| !args.labels) {
        let path = args.folder.join(args.format.file(index));
        replaces_nothing_unasked(&path, args.replace)?;
        if args.format == Format::Npy {
            replaces_nothing_unasked(&sidecar(&path), args.replace)?;
        }
    }
    let simulator = match args.detector {
        Some(detector) => Simulator::with_detector(args.seed, args.mix.into(), detector),
        None => Simulator::new(args.seed, args.mix.into()),
    };
    let progress = Progress::start("simulating", args.frames);
    let lines = frames
        .into_par_iter()
        .map(|index| {
            let file = args.format.file(index);
            let truth = if args.labels {
                simulator.truth(index)
            } else {
                let frame = simulator.frame(index);
                write(&args.folder.join(&file), &frame, args.format)?;
                frame.truth
            };
            progress.advance();
            Ok(Truth {
                file,
                index: 0,
                class: match truth.class {
                    Class::Hit => truth::Class::Hit,
                    Class::Maybe => truth::Class::Maybe,
                    Class::Miss => truth::Class::Miss,
                },
                spots: Some(truth.spots),
                set: simulator.set(index).into(),
                is_verdict: false,
            })
        })
        .collect::<Result<Vec<_>>>();
    progress.clear();
    let lines = lines?;
    truth::write(&labels, &lines)?;
    let what = if args.labels { "labels of " } else { "" };
    say!(
        "{what}{} frames and truth.jsonl in {}",
        lines.len(),
        args.folder.display()
    );
    Ok(())
}

impl Format {
    /// The name of the file of frame `index`.
    fn file(self, index: u64) -> String {
        let ending = match self {
            Format::Cbf => "cbf",
            Format::Npy => "npy",
        };
        format!("frame_{index:06}.{ending}")
    }
}

fn write(path: &Path, frame: &Simulated, format: Format) -> Result<()> {
    let metadata = metadata(frame);
    let image = image(frame);
    match format {
        Format::Cbf => write_cbf(path, &image, &metadata)?,
        Format::Npy => {
            write_npy(path, &image)?;
            Sidecar::from(&metadata).write(&sidecar(path))?;
        }
    }
    Ok(())
}

/// What describes an NPY file.
fn sidecar(path: &Path) -> PathBuf {
    path.with_extension("json")
}
