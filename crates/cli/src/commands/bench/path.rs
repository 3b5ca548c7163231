//! The path back to back: frame after frame through a ring, each stage timed where it works.

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use hitgate_core::verdict::Verdict;
use hitgate_host::MonotonicClock;

use super::alone::Times;
use super::cache::Cache;
use super::panel::View;
use super::subject::{Path, Subject};
use crate::tally::{Latencies, Watched, histogram};

/// Frames before the first that is timed.
pub const WARM_UP: u64 = 20;

/// How long frames took.
pub struct Timed {
    /// Each, by stages.
    pub latencies: Latencies,
    /// Those of a batch together, in ns.
    pub batches: Histogram<u64>,
    /// Each ring of frames but the first, with which a path warms up.
    pub rounds: Vec<Round>,
}

/// Frames of a ring that was filled before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// How many.
    pub frames: u64,
    /// When the first was taken, in ns by the clock of the machine.
    pub began_ns: u64,
    /// When the last was judged.
    pub ended_ns: u64,
}

/// Ends a measurement whose frames are not scored by what is measured: a GPU that is lost answers with faults, in no time, and
/// then the CPU does in its place.
///
/// # Errors
/// Why they are not.
pub fn check(path: &Path<'_, '_>) -> Result<()> {
    if let Some(failed) = path.backend.lost() {
        bail!("{failed}: nothing is timed without it");
    }
    match path.accounts().of(Verdict::KeepFault) {
        0 => Ok(()),
        faults => bail!("{faults} frames were faults, which take no time: nothing is timed"),
    }
}

/// Times all stages of the frames, on one of so many `paths` beside each other. Where those share a GPU, each ring of frames is
/// begun by all of them together, and there are two at least.
pub fn time(
    subject: &Subject,
    view: View,
    cache: Cache,
    paths: usize,
    times: &Times<'_>,
) -> Result<Timed> {
    // Half of the slots may be lent, and a batch is no longer.
    let most = 2 * subject.batch as u32;
    let slots = cache.slots(subject.stride()?).max(most);
    let on_gpu = subject.hardware.gpu().is_some();
    let frames = match on_gpu && paths > 1 {
        true => times.frames.max(2 * u64::from(slots)),
        false => times.frames,
    };
    subject.on_a_ring(slots, |mut writer, mut path| {
        let mut node = Watched::new(|_| {});
        let (mut written, mut judged, mut warm) = (0, 0, false);
        let mut batches = histogram();
        let mut rounds = Vec::new();
        while judged < WARM_UP + frames {
            // A ring that is filled before it is read holds more than the caches do.
            while subject.put(&mut writer, written + 1, view)? {
                written += 1;
                if cache == Cache::Warm && written - judged >= subject.batch as u64 {
                    break;
                }
            }
            if judged == 0 || on_gpu {
                (times.start)();
            }
            let (before, began_ns) = (judged, MonotonicClock.now_ns());
            while judged < written.min(WARM_UP + frames) {
                if judged >= WARM_UP && !warm {
                    (node.latencies, batches, warm) = (Latencies::default(), histogram(), true);
                }
                let started_ns = MonotonicClock.now_ns();
                let n = path.step(&mut node)?;
                batches.saturating_record(MonotonicClock.now_ns() - started_ns);
                if n == 0 {
                    bail!("a frame that is in the ring was not judged");
                }
                check(&path)?;
                while path.link.take().is_some() {}
                for _ in 0..n {
                    judged += 1;
                    times.progress.advance();
                    // A GPU has no floors of this core's, and would wait.
                    if !on_gpu {
                        times.meter.after(judged);
                    }
                }
            }
            if before > 0 {
                rounds.push(Round {
                    frames: judged - before,
                    began_ns,
                    ended_ns: MonotonicClock.now_ns(),
                });
            }
        }
        Ok(Timed {
            latencies: node.latencies,
            batches,
            rounds,
        })
    })
}
