//! `hitgate import`: ONNX → a quantized model file.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use hitgate_formats::FormatError;
use hitgate_formats::write::WholeFile;
use hitgate_import::import::{ImportError, Imported, Options, import};
use hitgate_import::metrics::Share;
use hitgate_import::onnx::OnnxError;
use hitgate_import::parity::Parity;
use hitgate_import::thresholds::Target;
use serde_json::json;

use crate::labelled::Labelled;
use crate::model;
use crate::outputs;
use crate::report;
use crate::simulation::ReduceArg;

/// Quantize an ONNX MobileNet-V1 into a model file, and compare the two
#[derive(Args, Debug)]
#[command(after_help = "\
Example:
  hitgate import runs/w025/model.onnx --calibration train.npy --validation validation.npy \\
      --temperature 1.1 -o model.hgm

Maps come from `hitgate dataset`: NAME.npy with NAME.jsonl beside it, which says how they were made.
Activation ranges come from
the calibration maps; thresholds are set, and integer and float compared, on the validation maps.")]
pub struct ImportArgs {
    /// The network, as models/train exports it
    onnx: PathBuf,
    /// Maps to calibrate on
    #[arg(long, value_name = "MAPS.npy", required = true)]
    calibration: PathBuf,
    /// Labelled maps to set thresholds and to compare on
    #[arg(long, value_name = "MAPS.npy", required = true)]
    validation: PathBuf,
    /// The model file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Replace a model of that name
    #[arg(long)]
    replace: bool,
    /// What divides the logits, as training fitted it
    #[arg(long, value_name = "T", default_value_t = 1.0)]
    temperature: f32,
    /// Recall of hits on the validation maps that the model's own threshold is set by
    #[arg(long, value_name = "RECALL", default_value_t = 0.99)]
    recall: f64,
    /// Maps to calibrate on, spread over those given
    #[arg(long, value_name = "N", default_value_t = 192, value_parser = clap::value_parser!(u32).range(1..))]
    calibration_maps: u32,
    /// How the maps were made, where their labels do not say it
    #[arg(long, value_enum)]
    reduce: Option<ReduceArg>,
    /// Seed of the training data, for the record
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// A line on where the model comes from, for the record
    #[arg(long, value_name = "TEXT", default_value = "")]
    text: String,
    /// One JSON object in place of the tables
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: &ImportArgs) -> Result<()> {
    if !(0.0..=1.0).contains(&args.recall) {
        bail!(
            "a recall of {} is none: a number from 0 to 1 is needed",
            args.recall
        );
    }
    let maps = [&args.calibration, &args.validation];
    let labels = maps.map(|maps| maps.with_extension("jsonl"));
    let inputs = maps.into_iter().chain(&labels).chain([&args.onnx]);
    outputs::replaces_none_of(&args.output, &inputs.collect::<Vec<_>>())?;
    model::refuse_finished(&args.onnx)?;
    outputs::replaces_nothing_unasked(&args.output, args.replace)?;
    let calibration = Labelled::read(&args.calibration)?;
    let validation = Labelled::read(&args.validation)?;
    let reduce = reduction(args, &calibration, &validation)?;
    let options = Options {
        temperature: args.temperature,
        target: Target::Hits(args.recall),
        calibration_maps: args.calibration_maps as usize,
        seed: args.seed,
        reduce: reduce.into(),
        text: args.text.clone(),
        ..Options::new(calibration.side)
    };
    let imported = import(
        &args.onnx,
        calibration.maps()?,
        validation.maps()?,
        &options,
    )
    .map_err(|error| match error {
        // Which name their file.
        ImportError::Onnx(OnnxError::Read { .. } | OnnxError::NotOnnx { .. }) => error.into(),
        error => anyhow!("{} cannot be imported: {error}", args.onnx.display()),
    })?;
    write(&args.output, &imported.hgm)?;
    if let Some(doubt) = few_hits(args.recall, imported.own.filtered.hits_kept) {
        tell!("hitgate: {doubt}");
    }
    if args.json {
        say!(
            "{}",
            json!({
                "parity": imported.parity,
                "parity_at_half": imported.parity_at_half,
                "points": imported.points,
                "confusion": imported.confusion,
            })
        );
    } else {
        print(&imported, &args.output);
    }
    Ok(())
}

/// A warning where the hits that a threshold was set by cannot show that it has the recall that it was set for.
fn few_hits(recall: f64, kept: Share) -> Option<String> {
    /// Of fewer hits one more or less is a per cent.
    const FEWEST: u64 = 100;
    // Where none of n is lost, the bound of 95 % confidence is 1 - 3 / n.
    let needed = ((3.0 / (1.0 - recall)).round() as u64).max(FEWEST);
    let needed = if recall < 1.0 { needed } else { FEWEST };
    (kept.n < needed).then(|| {
        format!(
            "warning: the threshold for a recall of {recall} was set by {} hits, of which it keeps {}: that shows {:.3} at least, with 95 % confidence; {needed} hits or more are needed in the validation maps",
            kept.n,
            kept.k,
            kept.lower_bound(0.95)
        )
    })
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = WholeFile::create(path)?;
        file.write_all(bytes)?;
        file.finish()
    };
    Ok(write().map_err(|error| FormatError::writing(path, error))?)
}

/// How all maps were made: as their labels say, and as `--reduce` does where they are silent.
fn reduction(args: &ImportArgs, of: &Labelled, and: &Labelled) -> Result<ReduceArg> {
    let said = [
        (args.calibration.display().to_string(), of.reduce),
        (args.validation.display().to_string(), and.reduce),
        ("--reduce".to_string(), args.reduce),
    ];
    let mut known = said
        .iter()
        .filter_map(|(who, reduce)| Some((who, (*reduce)?)));
    let Some((first, reduce)) = known.next() else {
        bail!(
            "the labels do not say how the maps were made: give --reduce, as for `hitgate dataset`"
        );
    };
    if let Some((second, other)) = known.find(|(_, other)| *other != reduce) {
        bail!(
            "{first} says {}, {second} says {}: maps of one network are made in one way",
            ReduceArg::name(reduce.into()),
            ReduceArg::name(other.into())
        );
    }
    Ok(reduce)
}

fn print(imported: &Imported, output: &Path) {
    say!(
        "model      {}, {}",
        output.display(),
        report::bytes(imported.hgm.len() as u64)
    );
    parity("at the model's threshold", &imported.parity);
    parity("at the paper's threshold", &imported.parity_at_half);
    say!("operating points, by the integer network on the validation maps");
    for point in &imported.points {
        let filtered = &point.filtered;
        say!(
            "  {:<20} t {:.4}  hits kept {}/{}  hits or maybes kept {}/{}  misses dropped {}/{}",
            format!("{:?}", point.target),
            report::probability(point.threshold),
            filtered.hits_kept.k,
            filtered.hits_kept.n,
            filtered.wanted_kept.k,
            filtered.wanted_kept.n,
            filtered.misses_dropped.k,
            filtered.misses_dropped.n,
        );
    }
}

fn parity(at: &str, parity: &Parity) {
    let of = |share: Share| {
        format!(
            "{:.2} % ({}/{})",
            100.0 * share.fraction(),
            share.k,
            share.n
        )
    };
    say!("integer against float, {at} {:.4}", parity.threshold);
    say!(
        "  equal verdicts {}, {} wanted frames lost, {} gained",
        of(parity.verdicts_equal),
        parity.lost,
        parity.gained
    );
    say!("  equal classes  {}", of(parity.classes_equal));
    if let (Some(float), Some(integer)) = (parity.auc_float, parity.auc_integer) {
        say!("  area under the ROC curve: float {float:.4}, integer {integer:.4}");
    }
    say!(
        "  P(hit) + P(maybe) differs by {:.4} in the mean, {:.4} at most",
        parity.mean_difference,
        parity.largest_difference
    );
    for worst in parity.worst.iter().take(5) {
        say!(
            "    map {:>5}, a {}: float {:.4}, integer {:.4}",
            worst.index,
            worst.truth,
            worst.float,
            worst.integer
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_are_few_by_the_recall_that_they_are_to_show() {
        for (recall, enough) in [
            (0.5, 100),
            (0.9, 100),
            (0.97, 100),
            (0.99, 300),
            (0.994, 500),
            (1.0, 100),
        ] {
            let of = |n: u64| few_hits(recall, Share { k: n, n });
            assert_eq!(of(enough), None, "{recall}");
            let said = of(enough - 1).unwrap();
            assert!(said.contains(&format!("{enough} hits or more")), "{said}");
        }
    }
}
