//! The whole way from an ONNX file to a model file.

use std::path::Path;

use hitgate_core::net::{FormatError, Model, Range, Statistics};
use hitgate_core::prep::Reduce;

use crate::float::MobileNet;
use crate::hgm::{self, WriteError};
use crate::metrics::Confusion;
use crate::model::{self, ModelMeta, Network};
use crate::onnx::{FloatNet, OnnxError, OnnxFile};
use crate::parity::Parity;
use crate::quantize::quantize;
use crate::scores::{self, Maps, ScoreError};
use crate::thresholds::{self, OperatingPoint, STANDARD, Target};

/// Confidence of the bounds in a model file.
const CONFIDENCE: f64 = 0.95;

/// What an import needs to know beside the network and the maps.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Side of the maps in cells.
    pub size: usize,
    /// What divides the logits, fitted on validation data by training.
    pub temperature: f32,
    /// Maps to calibrate on, drawn from the calibration maps.
    pub calibration_maps: usize,
    /// What the model's own threshold is set by.
    pub target: Target,
    /// Resolution of the water ring in Å.
    pub d_water: f32,
    /// How a block of pixels became a cell.
    pub reduce: Reduce,
    /// Fraction of valid cells in the training maps.
    pub valid: Range,
    /// Seed of the training data.
    pub seed: u64,
    /// Whatever else is worth telling.
    pub text: String,
}

impl Options {
    /// The design's defaults for maps of `size` cells a side.
    pub fn new(size: usize) -> Self {
        Options {
            size,
            temperature: 1.0,
            calibration_maps: 192,
            target: Target::Hits(0.99),
            d_water: 3.4,
            reduce: Reduce::Maximum,
            valid: Range {
                low: 0.0,
                high: 1.0,
            },
            seed: 0,
            text: String::new(),
        }
    }
}

/// A model file and all that was found out about it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The integer network.
    pub network: Network,
    /// What the file tells beside it.
    pub meta: ModelMeta,
    /// The model file.
    pub hgm: Vec<u8>,
    /// What the integers cost, at the model's own threshold.
    pub parity: Parity,
    /// The same at the paper's threshold of 0.5.
    pub parity_at_half: Parity,
    /// The model's own threshold.
    pub own: OperatingPoint,
    /// Thresholds set on the validation maps by the integer network.
    pub points: Vec<OperatingPoint>,
    /// Labels against classes of the integer network.
    pub confusion: Confusion,
}

/// Why an import failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The ONNX file.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// Maps of another size than the network takes.
    #[error(
        "{what} maps have {found} bytes, the network takes {expected}: prepare them for its size"
    )]
    MapSize {
        /// Calibration or validation.
        what: &'static str,
        /// Bytes of a map.
        found: usize,
        /// Bytes that the network takes.
        expected: usize,
    },
    /// A class is missing.
    #[error("{what} maps hold no {class}: give more of them")]
    NoMaps {
        /// Calibration or validation.
        what: &'static str,
        /// Frames that are missing.
        class: &'static str,
    },
    /// A temperature that is not finite and positive.
    #[error("the temperature is {0}, a finite number above 0 is wanted")]
    Temperature(f32),
    /// The network could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file that was written is not sound.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The integer network could not be run.
    #[error(transparent)]
    Score(#[from] ScoreError),
}

/// Quantizes the network in the ONNX file at `path` by what `calibration` maps show, compares it with
/// the float network on `validation` maps, and sets its thresholds there.
///
/// # Errors
/// [`ImportError`]: the file is no MobileNet-V1, or the maps do not fit it.
pub fn import(
    path: &Path,
    calibration: Maps<'_>,
    validation: Maps<'_>,
    options: &Options,
) -> Result<Imported, ImportError> {
    if !(options.temperature.is_finite() && options.temperature > 0.0) {
        return Err(ImportError::Temperature(options.temperature));
    }
    let file = OnnxFile::open(path)?;
    let net = MobileNet::extract(&file, Some(options.size))?;
    let expected = net.size * net.size * net.channels;
    for (what, maps) in [("calibration", calibration), ("validation", validation)] {
        if maps.is_empty() {
            let class = "frame";
            return Err(ImportError::NoMaps { what, class });
        }
        if maps.map_bytes() != expected {
            let found = maps.map_bytes();
            return Err(ImportError::MapSize {
                what,
                found,
                expected,
            });
        }
    }
    let sample = calibration.sample(options.calibration_maps.max(1));
    let network = quantize(&net, &sample, options.temperature);

    // The thresholds need the file's scores, the file needs the thresholds.
    let mut meta = describe(&file, calibration, options);
    let golden = sample[0];
    let draft = hgm::write(&network, &meta, golden)?;
    let integer = scores::integer(&Model::parse(&draft)?, validation)?;
    let own = OperatingPoint::set(&integer, options.target).ok_or(ImportError::NoMaps {
        what: "validation",
        class: match options.target {
            Target::Hits(_) => "hit",
            Target::Wanted(_) => "hit or maybe",
            Target::Rejection(_) | Target::Fixed(_) => "miss",
            Target::BestF1 => "hit or maybe beside a miss",
        },
    })?;
    let points: Vec<OperatingPoint> = STANDARD
        .into_iter()
        .filter_map(|target| OperatingPoint::set(&integer, target))
        .collect();
    meta.threshold = own.threshold;
    meta.operating_points = points.iter().map(in_file).collect();
    let hgm = hgm::write(&network, &meta, golden)?;

    let yardstick = FloatNet::load(&file, net.size, net.channels)?;
    let float = scores::float(&yardstick, validation, options.temperature)?;
    let parity = |threshold| Parity::of(&float, &integer, threshold);
    Ok(Imported {
        parity: parity(thresholds::probability(own.threshold)),
        parity_at_half: parity(0.5),
        confusion: Confusion::of(&integer),
        network,
        meta,
        hgm,
        own,
        points,
    })
}

fn describe(file: &OnnxFile, maps: Maps<'_>, options: &Options) -> ModelMeta {
    ModelMeta {
        d_water: options.d_water,
        reduce: options.reduce,
        threshold: 1 << 15,
        operating_points: Vec::new(),
        statistics: Statistics {
            valid: options.valid,
            mean: range(maps, |map| {
                map.iter().map(|&level| u64::from(level)).sum::<u64>() as f32 / map.len() as f32
            }),
            zero: range(maps, |map| {
                map.iter().filter(|level| **level == 0).count() as f32 / map.len() as f32
            }),
        },
        seed: options.seed,
        onnx_sha256: file.sha256,
        text: options.text.clone(),
    }
}

fn range(maps: Maps<'_>, statistic: impl Fn(&[u8]) -> f32) -> Range {
    let none = Range {
        low: f32::INFINITY,
        high: f32::NEG_INFINITY,
    };
    maps.iter()
        .map(|(map, _)| statistic(map))
        .fold(none, |range, value| Range {
            low: range.low.min(value),
            high: range.high.max(value),
        })
}

/// An operating point as a model file has it; a recall of 0 where it was not set by the hits' recall.
fn in_file(point: &OperatingPoint) -> model::OperatingPoint {
    let (name, recall_target) = match point.target {
        Target::Hits(recall) => (format!("hits-{recall}"), recall),
        Target::Wanted(recall) => (format!("wanted-{recall}"), 0.0),
        Target::Rejection(rejection) => (format!("rejection-{rejection}"), 0.0),
        Target::Fixed(p) => (format!("t-{p}"), 0.0),
        Target::BestF1 => ("best-f1".to_string(), 0.0),
    };
    let filtered = point.filtered;
    let counts = |share: crate::metrics::Share| (share.k as u32, share.n as u32);
    model::OperatingPoint {
        name,
        threshold: point.threshold,
        recall_target: recall_target as f32,
        hits_kept: counts(filtered.hits_kept),
        recall_bound: filtered.hits_kept.lower_bound(CONFIDENCE) as f32,
        misses_dropped: counts(filtered.misses_dropped),
    }
}
