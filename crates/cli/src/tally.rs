//! What a run adds up to: latencies by stage, and verdicts against the truth.

use hdrhistogram::Histogram;
use hitgate_core::link::Record;
use hitgate_core::pipeline::{Node, Stages};
use hitgate_core::verdict::Class;
use hitgate_host::MonotonicClock;

/// The stages that latencies are kept for.
const STAGES: [&str; 6] = ["header", DECODE, "prep", "net", "verdict", "path"];
/// Nothing happens there unless a frame is compressed.
const DECODE: &str = "decode";

/// Latencies of each stage, in ns.
pub struct Latencies {
    stages: [Histogram<u64>; STAGES.len()],
}

/// An empty histogram of three digits from 1 ns to a minute, which allocates nothing later.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("bounds are in order")
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies {
            stages: std::array::from_fn(|_| histogram()),
        }
    }
}

impl Latencies {
    /// Enters one frame.
    pub fn add(&mut self, record: &Record, stages: &Stages) {
        let path = u64::from(record.latency_ns);
        let Stages {
            header_ns,
            decode_ns,
            prep_ns,
            net_ns,
            verdict_ns,
        } = *stages;
        let each = [header_ns, decode_ns, prep_ns, net_ns, verdict_ns, path];
        for (stage, ns) in self.stages.iter_mut().zip(each) {
            stage.saturating_record(ns);
        }
    }

    /// Enters the frames of another core.
    pub fn merge(&mut self, other: &Latencies) {
        for (stage, other) in self.stages.iter_mut().zip(&other.stages) {
            stage
                .add(other)
                .expect("all histograms have the same bounds");
        }
    }

    /// Name and latencies of each stage; decoding is one where a frame was decoded.
    pub fn stages(&self) -> impl Iterator<Item = (&'static str, &Histogram<u64>)> {
        let stages = STAGES.into_iter().zip(&self.stages);
        stages.filter(|(name, of)| *name != DECODE || of.max() > 0)
    }
}

/// Label against verdict: rows hit, maybe, miss; columns kept, dropped, and class by class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Agreement {
    /// Kept frames by label.
    pub kept: [u64; 3],
    /// Frames by label.
    pub of: [u64; 3],
    /// Frames by label (row) and class of the network (column).
    pub classes: [[u64; 3]; 3],
}

impl Agreement {
    /// Enters one frame.
    pub fn add(&mut self, label: Class, record: &Record) {
        let row = label as usize;
        self.of[row] += 1;
        self.kept[row] += u64::from(record.verdict().keeps());
        if let Some(class) = record.class() {
            self.classes[row][class as usize] += 1;
        }
    }
}

/// The readout node of the command line: a clock, and a look at every frame.
pub struct Watched<F> {
    /// Latencies so far.
    pub latencies: Latencies,
    seen: F,
}

impl<F: FnMut(&Record)> Watched<F> {
    /// A node that calls `seen` for every frame.
    pub fn new(seen: F) -> Self {
        Watched {
            latencies: Latencies::default(),
            seen,
        }
    }
}

impl<F: FnMut(&Record)> Node for Watched<F> {
    fn now_ns(&self) -> u64 {
        MonotonicClock.now_ns()
    }

    fn judged(&mut self, record: &Record, stages: &Stages) {
        self.latencies.add(record, stages);
        (self.seen)(record);
    }
}
