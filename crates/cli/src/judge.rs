//! The judging loop around the path's step.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use hitgate_core::link::{Link, Record};
use hitgate_core::pipeline::{Backend, Pipeline};
use hitgate_host::{Backoff, MonotonicClock};
use hitgate_ring::State;

use crate::tally::Watched;

/// How long a producer may give no sign of life before it counts as gone.
const SILENCE_MS: u32 = 5_000;

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
        let silent_ms = MonotonicClock.now_ms().wrapping_sub(source.heartbeat_ms);
        // A heartbeat stamped after our own look at the clock makes the difference wrap.
        if source.state == State::Open && (SILENCE_MS..u32::MAX / 2).contains(&silent_ms) {
            bail!(
                "the producer has given no sign of life for {:.1} s and has not closed the ring: every frame it finished is judged",
                f64::from(silent_ms) / 1e3
            );
        }
        backoff.wait();
    }
    Ok(())
}
