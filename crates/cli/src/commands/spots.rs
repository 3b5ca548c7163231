//! `hitgate spots`: count Bragg spots, the classical baseline.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use hitgate_core::frame::Frame;
use hitgate_core::verdict::Class;
use hitgate_formats::Geometry;
use hitgate_sim::Detector;
use hitgate_spots::{Settings, Spot};
use serde_json::{Value, json};

use crate::complaints::Complaints;
use crate::lines::{Done, Format, LinesArgs, csv_field, write_line};
use crate::module::Prepared;
use crate::open::{DescribeArgs, Picture, Pictures};
use crate::raw::{RawArgs, refuse_geometry};
use crate::raw_maps::RawMaps;
use crate::reading::{Reading, inputs};
use crate::simulation::{COUNT, MixArg, detector};
use crate::spots::{CounterMemory, Decoded, INPUT, SettingsArgs, beam, in_units};

mod baseline;

/// Count the Bragg spots of frames, the classical way: one line a frame
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate spots frame_00001.cbf.gz run.h5
  hitgate spots run.h5 --list --snr 10                # and where they are
  hitgate spots --simulate 200 --seed 7777            # against the truth of simulated frames
  hitgate spots --simulate 200 --seed 1000 --tune     # which settings are the best

The method is that of peakfinder8 (Barty et al. 2014): pixels that stand out of the ring about the beam
that they are in, connected by sides and corners, are a spot where they stand out of their surroundings
too. Spots count at a larger d than the water ring's 3.4 ångström, or on the whole frame where the
geometry is not known; ten are a hit, four a maybe. --format lst lists hits and maybes. Of raw words
(--pedestal) all counts are photons.
Exits with 1 when a frame could not be read.")]
pub struct SpotsArgs {
    /// Files of frames; FILE:DATASET names a dataset in an HDF5 file
    #[arg(required_unless_present = "simulate")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    lines: LinesArgs,
    /// List the spots in each line of JSON: x, y, pixels, counts, snr, d in ångström
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    settings: SettingsArgs,
    #[command(flatten)]
    simulated: SimulatedArgs,
    #[command(flatten)]
    describe: DescribeArgs,
    #[command(flatten)]
    raw: RawArgs,
}

/// Simulated frames in place of files.
#[derive(Args, Debug)]
struct SimulatedArgs {
    /// Count on this many simulated frames instead, and compare with what they hold
    #[arg(
        long,
        value_name = "N",
        conflicts_with_all = ["files", "format", "output", "list", "mask", "mask_values", "saturation", "wavelength", "distance", "beam_center", "pixel", "pedestal"],
        value_parser = clap::value_parser!(u64).range(1..=COUNT),
        help_heading = SIMULATION
    )]
    simulate: Option<u64>,
    /// Seed of the simulation
    #[arg(long, value_name = "SEED", default_value_t = 7777, requires = "simulate", conflicts_with = "files", help_heading = SIMULATION)]
    seed: u64,
    /// Which frames to simulate, and how often
    #[arg(long, value_enum, default_value_t = MixArg::Natural, requires = "simulate", conflicts_with = "files", help_heading = SIMULATION)]
    mix: MixArg,
    /// One detector with one geometry; all of them if left out
    #[arg(long, value_name = "DETECTOR", value_parser = detector, requires = "simulate", conflicts_with = "files", help_heading = SIMULATION)]
    detector: Option<Detector>,
    /// Count by a grid of thresholds, signals to noise and fewest pixels, and tell the best
    #[arg(long, requires = "simulate", conflicts_with_all = ["files", "threshold", "snr", "min_pixels"], help_heading = SIMULATION)]
    tune: bool,
    /// One JSON object in place of tables
    #[arg(long, requires = "simulate", conflicts_with = "files", help_heading = SIMULATION)]
    json: bool,
}

const SIMULATION: &str = "Simulated frames";

/// Places in the list of a frame's spots; those beyond are counted.
const LISTED: usize = 10_000;

/// Runs the command.
pub fn run(args: &SpotsArgs) -> Result<()> {
    if let Some(count) = args.simulated.simulate {
        return baseline::run(&args.simulated, &args.settings, count);
    }
    if args.list && args.lines.format != Format::Jsonl {
        bail!("--list lists spots in lines of JSON: leave --format out");
    }
    if args.raw.are_given() {
        refuse_geometry(&args.describe)?;
    }
    let complaints = Complaints::default();
    let files = Files {
        describe: &args.describe,
        raw: args.raw.read()?,
        settings: &[args.settings.settings()],
        complaints: Some(&complaints),
    };
    let mut working = Working {
        memory: CounterMemory::default(),
        decoded: Decoded::default(),
        list: vec![Spot::default(); if args.list { LISTED } else { 0 }],
    };
    let inputs = inputs(&args.files, &args.describe, &args.raw);
    args.lines.write(HEADER, &inputs, |out| {
        let mut done = Done::default();
        for path in &args.files {
            done.unreadable += files.count(path, &mut working, &mut |found| {
                done.judged += 1;
                write_line(out, line(args, found))
            })?;
        }
        Ok(done)
    })
}

const HEADER: &str = "file,index,spots,class,geometry";

/// What was counted in one frame of a file.
struct Found<'a> {
    /// The file, as the user named it.
    name: &'a str,
    /// The file, without the dataset that was named.
    file: &'a Path,
    /// The frame in the file, from 0.
    index: usize,
    /// Spots by each of the settings.
    counted: &'a [u32],
    /// Those by the first of them, as many as the list holds.
    list: &'a [Spot],
    /// The geometry that placed the water ring.
    geometry: Option<Geometry>,
    /// Where it is from: `flags`, `sidecar`, `file` or `none`.
    geometry_from: &'static str,
}

/// The line of a frame; in a list of hits and maybes, a miss has none.
fn line(args: &SpotsArgs, found: &Found<'_>) -> Option<String> {
    let Found {
        name,
        file,
        index,
        counted,
        list,
        geometry_from,
        ..
    } = found;
    let spots = counted[0];
    let class = Class::of_spots(spots);
    match args.lines.format {
        Format::Jsonl => {
            let mut line = json!({
                "file": name, "index": index, "spots": spots, "class": class.name(),
                "geometry": geometry_from,
            });
            if args.list {
                let spots_json = list.iter().map(|spot| as_json(spot, found.geometry));
                line["list"] = spots_json.collect();
                line["list_is_full"] = (list.len() < spots as usize).into();
            }
            Some(line.to_string())
        }
        Format::Csv => Some(format!(
            "{},{index},{spots},{},{geometry_from}",
            csv_field(name),
            class.name()
        )),
        Format::Lst => (class != Class::Miss).then(|| format!("{} //{index}", file.display())),
    }
}

fn as_json(spot: &Spot, geometry: Option<Geometry>) -> Value {
    let rounded = |x: f64| (x * 100.0).round() / 100.0;
    let [x, y] = [spot.x, spot.y].map(f64::from);
    json!({
        "x": rounded(x), "y": rounded(y), "pixels": spot.pixels,
        "counts": rounded(spot.counts.into()), "snr": rounded(spot.snr.into()),
        "d": geometry.map(|geometry| rounded(geometry.resolution_a(x, y))),
    })
}

/// The spots of the frames of a file by each of `settings`, by the frames' numbers; without those that
/// cannot be counted. What is wrong with the file is left for its other reader to say.
pub fn of_file(
    path: &Path,
    reading: &Reading<'_>,
    settings: &[Settings],
) -> Result<BTreeMap<usize, Vec<u32>>> {
    let files = Files {
        describe: reading.describe,
        raw: reading.raw.clone(),
        settings,
        complaints: None,
    };
    let mut working = Working {
        memory: CounterMemory::default(),
        decoded: Decoded::default(),
        list: Vec::new(),
    };
    let mut spots = BTreeMap::new();
    files.count(path, &mut working, &mut |found| {
        spots.insert(found.index, found.counted.to_vec());
        Ok(())
    })?;
    Ok(spots)
}

/// Counts the spots of the frames of files.
struct Files<'a> {
    describe: &'a DescribeArgs,
    /// What makes raw words photons, where the frames are such.
    raw: Option<Arc<RawMaps>>,
    /// A list is by the first of them.
    settings: &'a [Settings],
    /// What was told so far of files and frames, where that is to be told.
    complaints: Option<&'a Complaints>,
}

/// Memory that is kept from file to file.
struct Working {
    memory: CounterMemory,
    decoded: Decoded,
    list: Vec<Spot>,
}

/// How frames of one module are counted.
struct Setup {
    /// The module in its file.
    place: usize,
    prepared: Prepared,
}

/// Takes what was counted in each frame.
type Emit<'e> = dyn FnMut(&Found<'_>) -> Result<()> + 'e;

impl Files<'_> {
    /// Counts every frame of a file, as far as it can be counted; returns how many could not, having
    /// said why where it is to be told.
    ///
    /// # Errors
    /// Those of `emit`.
    fn count(&self, path: &Path, working: &mut Working, emit: &mut Emit<'_>) -> Result<usize> {
        let as_they_are = |pictures: Pictures| match self.raw {
            Some(_) => pictures.raw(),
            None => pictures,
        };
        let opened = match self.complaints {
            None => Pictures::open(path, self.describe).ok().map(as_they_are),
            Some(complaints) => {
                Pictures::open_or_say(path, self.describe, self.raw.is_some(), complaints)
            }
        };
        let Some(mut pictures) = opened else {
            return Ok(1);
        };
        let (mut index, mut failed) = (0, 0);
        while index < pictures.len() {
            let setup = pictures.read(index).and_then(|picture| {
                let setup = self.setup(&pictures, &picture);
                let setup = setup.with_context(|| format!("{} //{index}", path.display()));
                Ok((setup?, picture))
            });
            match setup {
                Ok((setup, first)) => {
                    if let Some(doubt) = setup.prepared.doubt() {
                        self.say(path, format_args!("{}: {doubt}", path.display()));
                    }
                    let from = (index, first);
                    let run = self.alike(path, &mut pictures, from, &setup, working, emit)?;
                    index += run.frames;
                    failed += run.failed;
                }
                Err(error) => {
                    self.say(path, error);
                    index += 1;
                    failed += 1;
                }
            }
        }
        Ok(failed)
    }

    fn say(&self, path: &Path, what: impl Display) {
        if let Some(complaints) = self.complaints {
            complaints.tell(path, what);
        }
    }

    /// How a frame, and those that are of the same module, are counted.
    fn setup(&self, pictures: &Pictures, picture: &Picture) -> Result<Setup> {
        let place = picture
            .module()
            .context("its header names no module that is known")?;
        let prepared = pictures.modules[place].prepare(INPUT, self.raw.as_ref())?;
        Ok(Setup { place, prepared })
    }

    /// Counts a frame and those after it that are of the same module.
    fn alike(
        &self,
        path: &Path,
        pictures: &mut Pictures,
        (start, first): (usize, Picture),
        setup: &Setup,
        working: &mut Working,
        emit: &mut Emit<'_>,
    ) -> Result<Run> {
        let name = path.display().to_string();
        let preparation = setup.prepared.preparation();
        let geometry = setup.prepared.geometry;
        let beam = beam(geometry.as_ref(), preparation.columns, preparation.rows);
        let Working {
            memory,
            decoded,
            list,
        } = working;
        let mut counter = memory.counter(&preparation, &beam)?;
        let unit = setup.prepared.unit();
        let settings: Vec<Settings> = (self.settings.iter())
            .map(|settings| in_units(settings, unit))
            .collect();
        let mut each = vec![0; settings.len()];
        let mut run = Run::default();
        let mut next = Some(first);
        while let Some(picture) = next.take() {
            let index = start + run.frames;
            let listed = Frame::parse(picture.frame.bytes())
                .map_err(|(fault, _)| fault)
                .and_then(|frame| {
                    let frame = decoded.whole(&preparation, &frame)?;
                    if list.is_empty() {
                        counter.count_each(&preparation, &frame, &settings, &mut each)?;
                        return Ok(0);
                    }
                    let counted = counter.count(&preparation, &frame, &settings[0], list)?;
                    each[0] = counted.spots;
                    Ok(counted.listed)
                });
            match listed {
                Ok(listed) => {
                    let list = &mut list[..listed as usize];
                    list.iter_mut().for_each(|spot| spot.counts /= unit);
                    emit(&Found {
                        name: &name,
                        file: pictures.file(),
                        index,
                        counted: &each,
                        list,
                        geometry,
                        geometry_from: match geometry {
                            Some(_) => pictures.geometry_from(),
                            None => "none",
                        },
                    })?;
                }
                Err(fault) => {
                    self.say(path, format_args!("{name} //{index}: {fault}"));
                    run.failed += 1;
                }
            }
            run.frames += 1;
            if index + 1 < pictures.len() {
                let read = pictures.read(index + 1).ok();
                next = read.filter(|picture| picture.module() == Some(setup.place));
            }
        }
        Ok(run)
    }
}

/// Frames of one module, one after another in a file.
#[derive(Default)]
struct Run {
    /// Frames that were looked at.
    frames: usize,
    /// Those that could not be counted.
    failed: usize,
}
