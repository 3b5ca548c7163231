//! One measurement, and the line of JSON that it becomes.

use hdrhistogram::Histogram;
use serde_json::Value;

use super::cache::Cache;
use super::engine::EngineArg;
use super::floor::{Floors, Work};
use super::panel::View;

/// The latencies of one stage.
#[derive(Clone)]
pub struct Row {
    /// Stage of the path, or one by itself.
    pub stage: &'static str,
    /// By itself, again and again; else where it works, between the others.
    pub alone: bool,
    /// What it sees of a frame, where it looks at pixels.
    pub view: Option<View>,
    /// What runs the network.
    pub engine: EngineArg,
    /// Where what it reads lay.
    pub cache: Cache,
    /// Cores that were at work at the same time, each on frames of its own.
    pub cores: usize,
    /// Frames that were scored at once.
    pub batch: usize,
    /// A time is a whole batch's, not a frame's.
    pub of_batches: bool,
    /// Its frames went to a GPU by DMA, from a ring that is registered; `None` where they went nowhere.
    pub registered: Option<bool>,
    /// Megapixels that it touches.
    pub mpx: Option<f64>,
    /// What it has to do at least.
    pub work: Work,
    /// In ns.
    pub latencies: Histogram<u64>,
    /// Frames a second of several paths by the clock: what they share makes some wait, which no median shows.
    pub by_clock: Option<f64>,
    /// How frames came, where they did not come back to back.
    pub rate: Option<Rate>,
}

/// Frames that come by the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Frames a second.
    pub hz: f64,
    /// How long.
    pub seconds: f64,
    /// Frames that found the ring full when they were due.
    pub lapped: u64,
    /// By how much the emulated source itself was late, at most, in ns.
    pub source_late_ns: u64,
}

/// Columns of percentiles, with the names that JSON has for them.
const QUANTILES: [(&str, f64); 6] = [
    ("min_us", 0.0),
    ("p50_us", 0.5),
    ("p90_us", 0.9),
    ("p99_us", 0.99),
    ("p999_us", 0.999),
    ("max_us", 1.0),
];

impl Row {
    /// The latency that this share of frames does not exceed, in µs.
    pub fn us(&self, quantile: f64) -> f64 {
        let ns = match quantile {
            0.0 => self.latencies.min(),
            1.0 => self.latencies.max(),
            q => self
                .latencies
                .value_at_quantile(q)
                .min(self.latencies.max()),
        };
        ns as f64 / 1e3
    }

    /// The least, the percentiles and the largest, in µs.
    pub fn percentiles(&self) -> [f64; QUANTILES.len()] {
        QUANTILES.map(|(_, quantile)| self.us(quantile))
    }

    /// Frames a second of all cores together, of a batch all its frames, were there no other stage: at the median, which
    /// neighbours on a shared machine move least.
    pub fn frames_per_s(&self) -> f64 {
        if let Some(by_clock) = self.by_clock {
            return by_clock;
        }
        let frames = if self.of_batches { self.batch } else { 1 };
        (self.cores * frames) as f64 * 1e6 / self.us(0.5).max(1e-3)
    }

    /// Whether `other` is the same measurement, on however many cores.
    pub fn is_like(&self, other: &Row) -> bool {
        (self.stage, self.alone, self.view, self.engine)
            == (other.stage, other.alone, other.view, other.engine)
    }

    /// A JSON object: what all lines have in common, and this line's own numbers.
    pub fn json(&self, common: &Value, floors: &Floors, one_core: Option<&Row>) -> Value {
        let mut line = common.clone();
        line["stage"] = self.stage.into();
        line["alone"] = self.alone.into();
        line["window"] = self.view.map(View::name).into();
        line["engine"] = self.engine.name().into();
        line["cache"] = self.cache.name().into();
        line["cores"] = self.cores.into();
        line["batch"] = self.batch.into();
        line["registered"] = self.registered.into();
        line["frames"] = self.latencies.len().into();
        for (name, quantile) in QUANTILES {
            line[name] = self.us(quantile).into();
        }
        let floor = self.work.floor(floors);
        line["floor_us"] = floor.map(|floor| to_ns(floor.least)).into();
        line["floor_p50_us"] = floor.map(|floor| to_ns(floor.median)).into();
        line["mpx"] = self.mpx.into();
        match (self.rate, one_core) {
            (Some(rate), _) => {
                line["rate_hz"] = rate.hz.into();
                line["seconds"] = rate.seconds.into();
                line["lapped"] = rate.lapped.into();
                line["source_late_us"] = (rate.source_late_ns as f64 / 1e3).into();
            }
            // A frame of a batch waits for the others: its latency is no rate.
            (None, Some(_)) if self.batch > 1 && !self.of_batches => {}
            (None, Some(one_core)) => {
                line["frames_per_s"] = self.frames_per_s().into();
                line["scaling"] = (self.frames_per_s() / one_core.frames_per_s()).into();
            }
            (None, None) => {}
        }
        line
    }
}

/// Rounded to a nanosecond.
fn to_ns(us: f64) -> f64 {
    (us * 1e3).round() / 1e3
}
