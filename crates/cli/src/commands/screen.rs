//! `hitgate screen`: classify the frames in files.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use hitgate_formats::FormatError;
use hitgate_formats::write::WholeFile;
use serde_json::json;

use crate::filter::FilterArgs;
use crate::model;
use crate::open::DescribeArgs;
use crate::raw::RawArgs;
use crate::report::{class_word, probability};
use crate::screener::{Judged, Screener};

/// Classify the frames in files: one line a frame
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  hitgate screen frame_00001.cbf.gz run.h5
  hitgate screen run.h5:/entry/data/data --format lst -o hits.lst   # for CrystFEL
  hitgate screen module.npy --distance 150 --wavelength 1.3 --beam-center 512,256 --pixel 0.075
  hitgate screen raw.npy --pedestal G0.npy,G1.npy,G2.npy --adu-per-photon 508,-17.9,-1.44
    # JUNGFRAU at 12.4 keV, of nominal gains 41, -1.44 and -0.116 ADU/keV

Reads CBF, HDF5/NeXus (bitshuffle-LZ4 too), TIFF, MarCCD, SMV, NPY, each also as .gz, and what
`hitgate run --keep` wrote. Geometry comes from flags, else from NAME.json beside the file, else from
the file; without any the whole frame is looked at. The line says which: \"geometry\" is flags, sidecar,
file or none.
Exits with 1 when a frame could not be read.")]
pub struct ScreenArgs {
    /// Files of frames; FILE:DATASET names a dataset in an HDF5 file
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// Write to this file, which appears once it is whole
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    describe: DescribeArgs,
    #[command(flatten)]
    raw: RawArgs,
    #[command(flatten)]
    filter: FilterArgs,
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object a frame
    Jsonl,
    /// Comma-separated, with a header
    Csv,
    /// `file //index` of the kept frames, for indexing programs
    Lst,
}

impl Format {
    fn header(self) -> Option<&'static str> {
        (self == Format::Csv)
            .then_some("file,index,p_hit,p_maybe,p_miss,class,keep,reason,latency_us,geometry")
    }

    fn line(self, judged: &Judged<'_>) -> Option<String> {
        let Judged {
            name,
            file,
            index,
            record,
            geometry,
        } = judged;
        let keep = record.verdict().keeps();
        let [p_hit, p_maybe, p_miss] =
            [record.p_hit, record.p_maybe, record.p_miss].map(probability);
        let latency_us = f64::from(record.latency_ns) / 1e3;
        let reason = record.verdict().reason();
        match self {
            Format::Jsonl => Some(
                json!({
                    "file": name, "index": index,
                    "p_hit": p_hit, "p_maybe": p_maybe, "p_miss": p_miss,
                    "class": class_word(record), "keep": keep, "reason": reason,
                    "latency_us": latency_us, "geometry": geometry,
                })
                .to_string(),
            ),
            Format::Csv => {
                let file = match name.contains([',', '"', '\n']) {
                    true => format!("\"{}\"", name.replace('"', "\"\"")),
                    false => (*name).to_string(),
                };
                let class = record.class().map_or("", |class| class.name());
                Some(format!(
                    "{file},{index},{p_hit},{p_maybe},{p_miss},{class},{keep},{reason},{latency_us},{geometry}"
                ))
            }
            Format::Lst => keep.then(|| format!("{} //{index}", file.display())),
        }
    }
}

/// Runs the command.
pub fn run(args: &ScreenArgs) -> Result<()> {
    let bytes = model::bytes(args.filter.model.as_deref())?;
    let screener = Screener {
        model: model::parse(&bytes, args.filter.model.as_deref())?,
        model_bytes: &bytes,
        describe: &args.describe,
        filter: &args.filter,
        raw: args.raw.read()?,
    };
    let Screened { judged, unreadable } = match &args.output {
        None => screen(&screener, args, &mut std::io::stdout().lock())?,
        Some(path) => {
            let unwritable = |error| FormatError::writing(path, error);
            let mut file = WholeFile::create(path).map_err(unwritable)?;
            let screened = screen(&screener, args, &mut file)?;
            file.finish().map_err(unwritable)?;
            screened
        }
    };
    match (unreadable, judged) {
        (0, _) => Ok(()),
        (_, 0) => {
            bail!("{unreadable} of the files or frames could not be read, and there are no others")
        }
        _ => bail!(
            "{unreadable} of the files or frames could not be read; the other {judged} frames were judged"
        ),
    }
}

/// How many frames were judged, and how many files or frames could not be.
#[derive(Default)]
struct Screened {
    judged: usize,
    unreadable: usize,
}

/// Writes the lines of every file.
fn screen(screener: &Screener<'_>, args: &ScreenArgs, out: &mut impl Write) -> Result<Screened> {
    let unwritable = "cannot write the output";
    if let Some(header) = args.format.header() {
        writeln!(out, "{header}").context(unwritable)?;
    }
    let mut screened = Screened::default();
    for path in &args.files {
        screened.unreadable += screener.file(path, &mut |judged| {
            screened.judged += 1;
            match args.format.line(judged) {
                Some(line) => writeln!(out, "{line}").context(unwritable),
                None => Ok(()),
            }
        })?;
    }
    Ok(screened)
}
