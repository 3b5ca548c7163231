//! The judging loop around the path's step.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use hitgate_core::link::{Link, Record};
use hitgate_core::pipeline::{Backend, Pipeline};
use hitgate_host::{Backoff, MonotonicClock};
use hitgate_ring::State;

use crate::tally::Watched;

/// How long a producer may give no sign of life before it counts as gone.
pub const SILENCE: Duration = Duration::from_secs(5);

/// Steps until the producer has closed the ring and every frame is judged, or `stop` is set. `between` two
/// steps somebody may attend to the path.
///
/// # Errors
/// Where the ring's control words are impossible, or the producer gave no sign of life for `silence`
/// without closing the ring, and every frame that it finished is judged.
pub fn judge<'m, B: Backend, L: Link<'m>, F: FnMut(&Record)>(
    pipeline: &mut Pipeline<'m, B, L>,
    node: &mut Watched<F>,
    silence: Duration,
    stop: &AtomicBool,
    mut between: impl FnMut(&mut Pipeline<'m, B, L>),
) -> Result<()> {
    let mut backoff = Backoff::new();
    // Silence is counted from when we listen: a producer that has just opened has no heartbeat yet.
    let (mut heartbeat_ms, mut heard_ns) = (0, MonotonicClock.now_ns());
    while !stop.load(Ordering::Relaxed) {
        pipeline.reader().heartbeat(MonotonicClock.now_ms());
        between(pipeline);
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
        let silent = Duration::from_nanos(now_ns - heard_ns);
        if source.state == State::Open && silent > silence && !frames_left(pipeline)? {
            bail!(
                "the producer has given no sign of life for {:.1} s and has not closed the ring: every frame it finished is judged",
                silent.as_secs_f64()
            );
        }
        backoff.wait();
    }
    Ok(())
}

/// Whether there are frames to judge, now or once the link gives slots back.
fn frames_left<'m, B: Backend, L: Link<'m>>(pipeline: &mut Pipeline<'m, B, L>) -> Result<bool> {
    let batch = pipeline.reader().read(1)?;
    Ok(!batch.is_empty() || batch.waiting())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::FilterMemory;
    use crate::model;
    use crate::sink::{Outputs, sink};
    use hitgate_core::frame::HEADER_LEN;
    use hitgate_core::link::Identity;
    use hitgate_core::verdict::{Policy, Sampling};
    use hitgate_host::Ring;
    use hitgate_kernels::Level;
    use hitgate_ring::Layout;

    #[test]
    fn frames_that_wait_for_a_stalled_link_are_judged_although_the_producer_is_gone() {
        const SILENCE: Duration = Duration::from_millis(20);
        let layout = Layout::new(4, HEADER_LEN as u32, 4).unwrap();
        let ring = Ring::anonymous(&layout, 1).unwrap();
        let mut writer = ring.writer().unwrap();
        for _ in 0..layout.slots() {
            writer.reserve().unwrap().unwrap().commit();
        }

        let model = model::parse(model::EMBEDDED, None).unwrap();
        let mut memory = FilterMemory::new(&model, Level::detect(), &[]);
        // These slots hold no frames: faults, all of them kept.
        let cpu = memory.cpu(&model, Level::detect(), &[]).unwrap();
        let policy = Policy {
            threshold: 1,
            sampling: Sampling { seed: 0, one_in: 0 },
            deadline_ns: None,
        };
        let identity = Identity {
            model: 0,
            config: 0,
        };
        let (link, sink) = sink(&layout, Outputs::default(), None);
        let reader = ring.reader().unwrap();
        let mut pipeline = Pipeline::new(reader, cpu, policy, link, identity);
        let received = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(10 * SILENCE);
                sink.run()
            });
            let mut node = Watched::new(|_| {});
            let judged = judge(
                &mut pipeline,
                &mut node,
                SILENCE,
                &AtomicBool::new(false),
                |_| {},
            );
            assert!(judged.unwrap_err().to_string().contains("no sign of life"));
            let (_, _, link, accounts) = pipeline.into_parts();
            drop(link);
            accounts.received
        });
        assert_eq!(received, 4);
    }
}
