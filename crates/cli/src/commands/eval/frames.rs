//! Labelled frames → scores: of files by the whole path, of simulated frames by their maps.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use hitgate_formats::truth::Truth;
use hitgate_import::metrics::Scored;
use hitgate_sim::{Detector, Scratch, Simulator};
use rayon::prelude::*;

use super::EvalArgs;
use super::counters::Counter;
use crate::complaints::Complaints;
use crate::frames::{self, label};
use crate::labelled::Labelled;
use crate::progress::Progress;
use crate::reading::Reading;
use crate::scorer::Scorer;
use crate::simulation::ReduceArg;
use crate::spots::CounterMemory;

/// A labelled frame with its score, and the set that it is of.
pub struct Frame {
    pub set: String,
    pub origin: Origin,
    pub scored: Scored,
    /// Spots, by each counter that was asked for and each of its settings.
    pub counted: Vec<Vec<u32>>,
}

/// Where a frame is from.
pub enum Origin {
    /// The simulator, by its number.
    Simulated(u64),
    /// A map that was made before, by its index.
    Prepared(usize),
    /// A frame of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The same as the labels name it.
        name: String,
        /// The frame in the file, from 0.
        index: usize,
    },
}

impl Origin {
    /// `FILE //INDEX`.
    pub fn name(&self) -> String {
        match self {
            Origin::Simulated(index) => format!("simulated //{index}"),
            Origin::Prepared(index) => format!("map //{index}"),
            Origin::File { name, index, .. } => format!("{name} //{index}"),
        }
    }
}

/// The simulator that `args` ask for.
pub fn simulator(args: &EvalArgs) -> Simulator {
    Simulator::new(args.seed, args.mix.into())
}

/// Judges the labelled frames of files.
pub fn of_files(
    truth: &Path,
    scorer: &Scorer<'_>,
    counters: &[Counter],
    reading: &Reading<'_>,
    args: &EvalArgs,
) -> Result<Vec<Frame>> {
    let folder = truth.parent().unwrap_or(Path::new("."));
    let mut frames = Vec::new();
    let mut unreadable = 0;
    let complaints = Complaints::default();
    let labels = labels(truth, args)?;
    for file in labels.keys() {
        reading.check_layout(&folder.join(file))?;
    }
    for (file, lines) in &labels {
        let wanted = |index| {
            let mut lines = lines.iter().map(|(_, line)| line);
            let line = lines.find(|line| line.index == index)?;
            Some((line, label(line.class)?))
        };
        if lines.iter().all(|(_, line)| label(line.class).is_none()) {
            continue;
        }
        let path = folder.join(file);
        let counts = counters
            .iter()
            .map(|counter| counter.of_file(&path, reading));
        let counts = counts.collect::<Result<Vec<_>>>()?;
        let mut end = 0;
        let unreadable_here = scorer.file(&path, reading, &complaints, &mut |index, p| {
            end = end.max(index + 1);
            let asked = wanted(index);
            if let Some((line, truth)) = asked {
                frames.push(Frame {
                    set: line.set.clone(),
                    origin: Origin::File {
                        path: path.clone(),
                        name: file.clone(),
                        index,
                    },
                    scored: Scored { truth, p },
                    counted: counters
                        .iter()
                        .zip(&counts)
                        .map(|(counter, spots)| {
                            // One that cannot be counted is kept, as one that cannot be judged.
                            let kept = || vec![u32::MAX; counter.settings().len()];
                            spots.get(&index).cloned().unwrap_or_else(kept)
                        })
                        .collect(),
                });
            }
            Ok(asked.is_some())
        })?;
        unreadable += unreadable_here;
        if let Some((number, line)) = lines.iter().find(|(_, line)| line.index >= end)
            && unreadable_here == 0
        {
            bail!(
                "{} line {number}: {file} has no frame {}, it holds {end}, counted from 0: no figures of a part",
                truth.display(),
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

/// The labels of each file, with the numbers of their lines; those of the sets that take part.
fn labels(truth: &Path, args: &EvalArgs) -> Result<BTreeMap<String, Vec<(usize, Truth)>>> {
    let lines = frames::labels(truth)?;
    let mut known: Vec<&str> = lines.iter().map(|(_, line)| line.set.as_str()).collect();
    known.sort_unstable();
    known.dedup();
    args.sets.check(&known)?;
    let mut labels: BTreeMap<String, Vec<(usize, Truth)>> = BTreeMap::new();
    for (number, line) in lines {
        if args.sets.admit(&line.set) {
            let file = labels.entry(line.file.clone()).or_default();
            file.push((number, line));
        }
    }
    Ok(labels)
}

/// Scores maps that were made before.
pub fn of_maps(maps: &Labelled, scorer: &Scorer<'_>, args: &EvalArgs) -> Result<Vec<Frame>> {
    let mut known: Vec<&str> = maps.sets.iter().map(String::as_str).collect();
    known.sort_unstable();
    known.dedup();
    args.sets.check(&known)?;
    let labelled = maps.maps()?;
    let input = scorer.input();
    let wanted = (input.size as usize, input.reduce.channels() as usize);
    if (maps.side, maps.channels) != wanted {
        bail!(
            "the maps have {0} x {0} cells of {1}, the network takes {2} x {2} of {3}: make them with --input {2} --reduce {4}",
            maps.side,
            maps.channels,
            wanted.0,
            wanted.1,
            ReduceArg::name(input.reduce)
        );
    }
    if let Some(made) = maps.reduce.filter(|made| input.reduce != (*made).into()) {
        bail!(
            "the maps are made by {}, the network's by {}",
            ReduceArg::name(made.into()),
            ReduceArg::name(input.reduce)
        );
    }
    let progress = Progress::start("scoring", labelled.len() as u64);
    let frames = labelled
        .iter()
        .zip(&maps.sets)
        .enumerate()
        .filter(|(_, (_, set))| args.sets.admit(set))
        .collect::<Vec<_>>()
        .into_par_iter()
        .map_init(
            || scorer.worker(),
            |worker, (index, ((map, class), set))| {
                let scored = worker.score(map, class)?;
                progress.advance();
                Ok(Frame {
                    set: set.clone(),
                    origin: Origin::Prepared(index),
                    scored,
                    counted: Vec::new(),
                })
            },
        )
        .collect();
    progress.clear();
    frames
}

/// Scores maps, which the simulator makes equal to those of whole frames.
pub fn simulated(
    count: u64,
    scorer: &Scorer<'_>,
    counters: &[Counter],
    args: &EvalArgs,
) -> Result<Vec<Frame>> {
    args.sets.check(&Detector::ALL.map(Detector::name))?;
    let input = scorer.input();
    let bytes = (input.size as usize).pow(2) * input.reduce.channels() as usize;
    let simulator = simulator(args);
    let progress = Progress::start("simulating", count);
    let frames = (0..count)
        .into_par_iter()
        .inspect(|_| progress.advance())
        .filter(|&index| args.sets.admit(simulator.set(index)))
        .map_init(
            || {
                let counting = CounterMemory::default();
                (Scratch::default(), scorer.worker(), counting)
            },
            |(scratch, worker, counting), index| {
                let mut map = vec![0; bytes];
                let made = simulator.map(index, input.size, input.reduce, &mut map, scratch);
                let scored = worker.score(&map, made.truth.class)?;
                let counts = counters.iter();
                let counts = counts.map(|c| c.of_simulated(&simulator, index, counting));
                Ok(Frame {
                    set: made.set.into(),
                    origin: Origin::Simulated(index),
                    scored,
                    counted: counts.collect::<Result<_>>()?,
                })
            },
        )
        .collect();
    progress.clear();
    frames
}

/// The class and the name of a frame, and how likely the network takes it for one to keep.
pub fn described(frame: &Frame) -> String {
    let Frame { origin, scored, .. } = frame;
    format!(
        "{} is a {}, P(hit) + P(maybe) = {:.4}",
        origin.name(),
        scored.truth,
        scored.keep()
    )
}
