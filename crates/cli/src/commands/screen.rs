//! `hitgate screen`: classify the frames in files.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use hitgate_core::verdict::Verdict;
use serde_json::{Value, json};

use crate::backend::BackendArgs;
use crate::complaints::Complaints;
use crate::filter::FilterArgs;
use crate::lines::{Done, Format, LinesArgs, csv_field, write_line};
use crate::model;
use crate::open::DescribeArgs;
use crate::raw::{RawArgs, refuse_geometry};
use crate::reading::inputs;
use crate::report::{class_word, probabilities, reason_words};
use crate::screener::{Judged, Screener};

/// Classify the frames in files: one line a frame
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate screen frame_00001.cbf.gz run.h5
  hitgate screen run.h5:/entry/data/data --format lst -o hits.lst   # for CrystFEL
  hitgate screen module.npy --distance 150 --wavelength 1.3 --beam-center 512,256 --pixel 0.075
  hitgate screen run.h5 --geometry detector.geom          # modules 8 x 512 x 1024, assembled
  hitgate screen run.h5 --backend cuda                    # on an NVIDIA GPU, to the same bits
  hitgate screen raw.npy --pedestal G0.npy,G1.npy,G2.npy --adu-per-photon 508,-17.9,-1.44
    # JUNGFRAU at 12.4 keV, of nominal gains 41, -1.44 and -0.116 ADU/keV

Reads CBF, HDF5/NeXus (bitshuffle-LZ4 too), TIFF, MarCCD, SMV, NPY, each also as .gz, and what
`hitgate run --keep` wrote. Geometry comes from flags, --geometry among them, else from NAME.json beside
the file, else from the file; without any the whole frame is looked at. The line says which: \"geometry\" is flags, sidecar,
file or none.
With --backend cuda each file makes the GPU ready and has it prove itself anew, which takes longer than its frames: that is for
comparing bits, not for speed.
Exits with 1 when a frame could not be read.")]
pub struct ScreenArgs {
    /// Files of frames; FILE:DATASET names a dataset in an HDF5 file
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    lines: LinesArgs,
    #[command(flatten)]
    describe: DescribeArgs,
    #[command(flatten)]
    raw: RawArgs,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    backend: BackendArgs,
}

const HEADER: &str =
    "file,index,p_hit,p_maybe,p_miss,class,keep,reason,latency_us,geometry,reasons";

/// The line of a frame; in a list of kept frames, a dropped one has none.
fn line(format: Format, judged: &Judged<'_>) -> Option<String> {
    let Judged {
        name,
        file,
        index,
        record,
        geometry,
    } = judged;
    let keep = record.verdict().keeps();
    let [p_hit, p_maybe, p_miss] = probabilities(record);
    let latency_us = f64::from(record.latency_ns) / 1e3;
    let reason = record.verdict().reason();
    match format {
        Format::Jsonl => Some(
            json!({
                "file": name, "index": index,
                "p_hit": p_hit, "p_maybe": p_maybe, "p_miss": p_miss,
                "class": class_word(record), "keep": keep, "reason": reason,
                "reasons": reason_words(record),
                "latency_us": latency_us, "geometry": geometry,
            })
            .to_string(),
        ),
        Format::Csv => {
            let file = csv_field(name);
            let class = record.class().map_or("", |class| class.name());
            let [p_hit, p_maybe, p_miss] = [p_hit, p_maybe, p_miss].map(|p| match p {
                Value::Null => String::new(),
                p => p.to_string(),
            });
            let reasons = csv_field(&reason_words(record).join("; "));
            Some(format!(
                "{file},{index},{p_hit},{p_maybe},{p_miss},{class},{keep},{reason},{latency_us},{geometry},{reasons}"
            ))
        }
        Format::Lst => keep.then(|| format!("{} //{index}", file.display())),
    }
}

/// Why a frame is kept that has no score, in a sentence.
fn not_judged(judged: &Judged<'_>) -> String {
    format!(
        "{} //{} cannot be judged, and is kept: {}",
        judged.name,
        judged.index,
        reason_words(&judged.record).join(", ")
    )
}

/// Runs the command.
pub fn run(args: &ScreenArgs) -> Result<()> {
    if args.raw.are_given() {
        refuse_geometry(&args.describe)?;
    }
    let bytes = model::bytes(args.filter.model.as_deref())?;
    let hardware = args.backend.open(false)?;
    let complaints = Complaints::default();
    let screener = Screener {
        model: model::parse_for(&bytes, args.filter.model.as_deref(), args.filter.level()?)?,
        model_bytes: &bytes,
        describe: &args.describe,
        filter: &args.filter,
        hardware: &hardware,
        raw: args.raw.read()?,
        complaints: &complaints,
    };
    let inputs = inputs(&args.files, &args.describe, &args.raw);
    args.lines.write(HEADER, &inputs, |out| {
        let mut done = Done::default();
        for path in &args.files {
            done.unreadable += screener.file(path, &mut |judged| {
                done.judged += 1;
                if judged.record.verdict() == Verdict::KeepFault {
                    complaints.tell(path, not_judged(judged));
                }
                write_line(out, line(args.lines.format, judged))
            })?;
        }
        Ok(done)
    })
}
