//! The judging loop around the path's step.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use hitgate_core::link::{Link, Record};
use hitgate_core::pipeline::{Backend, Pipeline};
use hitgate_host::{Backoff, MonotonicClock};
use hitgate_ring::State;

use crate::tally::Watched;

/// How long a producer may give no sign of life before it counts as gone.
const SILENCE_NS: u64 = 5_000_000_000;

/// Steps until the producer has closed the ring and every frame is judged, or `stop` is set.
///
/// # Errors
/// Where the ring's control words are impossible, or the producer is gone without closing the ring.
pub fn judge<'m, B: Backend, L: Link<'m>, F: FnMut(&Record)>(
    pipeline: &mut Pipeline<'m, B, L>,
    node: &mut Watched<F>,
    stop: &AtomicBool,
) -> Result<()> {
    let mut backoff = Backoff::new();
    // Silence is counted from when we listen: a producer that has just opened has no heartbeat yet.
    let (mut heartbeat_ms, mut heard_ns) = (0, MonotonicClock.now_ns());
    while !stop.load(Ordering::Relaxed) {
        pipeline.reader().heartbeat(MonotonicClock.now_ms());
        if pipeline.step(node)? > 0 {
            backoff.reset();
            continue;
        }
        if pipeline.reader().finished() {
            break;
        }
        let source = pipeline.reader().source();
        let now_ns = MonotonicClock.now_ns();
        if source.heartbeat_ms != heartbeat_ms {
            (heartbeat_ms, heard_ns) = (source.heartbeat_ms, now_ns);
        }
        let silent_ns = now_ns - heard_ns;
        if source.state == State::Open && silent_ns > SILENCE_NS {
            bail!(
                "the producer has given no sign of life for {:.1} s and has not closed the ring: every frame it finished is judged",
                silent_ns as f64 / 1e9
            );
        }
        backoff.wait();
    }
    Ok(())
}
