//! Standing by: when the filter of a ring dies, its frames pass unjudged rather than stall the source.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use hitgate_core::frame::{Fault, Frame};
use hitgate_core::pipeline::{Backend, MAX_BATCH, Scored};
use hitgate_host::{HostError, Ring};
use hitgate_ring::{Reader, State};

use crate::bank::OwnedCpu;
use crate::interrupt::Interrupted;
use crate::judge::SILENCE;
use crate::ring_state::RingState;

/// How often the filter is looked at.
const LOOKING: Duration = Duration::from_millis(10);

/// The network, or nobody.
pub struct Filter {
    /// The network.
    pub cpu: OwnedCpu,
    /// Whether it is left out, so that every frame is kept as a fault.
    pub passes: bool,
}

impl Backend for Filter {
    const BATCH: usize = OwnedCpu::BATCH;

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        match self.passes {
            false => self.cpu.score(frames, now_ns),
            true => (frames.iter().take(MAX_BATCH))
                .map(|_| Scored::fault(Fault::Backend))
                .collect(),
        }
    }

    fn map_of(&self, i: usize) -> Option<&[u8]> {
        self.cpu.map_of(i)
    }
}

/// The reading end of `ring`, once its filter has given no sign of life for `patience` and is gone; nothing
/// where the source ended and every frame is judged.
///
/// The end of a filter that is silent and alive is not taken: it may go on at any time, with slots that it holds.
/// Whoever watches is told to end it.
///
/// # Errors
/// [`Interrupted`], and those of the ring.
pub fn take_over<'r>(
    ring: &'r Ring,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<Option<Reader<'r>>> {
    let started = Instant::now();
    let mut told = None;
    eprintln!("hitgate: standing by");
    loop {
        let state = RingState::of(ring)?;
        if stop.load(Ordering::Relaxed) {
            let left = state.to_judge();
            return Err(Interrupted { left }.into());
        }
        if is_over(&state) {
            return Ok(None);
        }
        // A filter that has never been there is waited for as long.
        let silent = match state.filter_end.silent_ms {
            Some(ms) => Duration::from_millis(ms.into()),
            None => started.elapsed(),
        };
        let seconds = silent.as_secs_f64();
        match state.filter_end.process {
            _ if silent <= patience => told = None,
            Some(pid) if told != Some(pid) => {
                told = Some(pid);
                eprintln!(
                    "hitgate: process {pid} is the filter and has given no sign of life for {seconds:.1} s: no frame can pass before it is ended (kill {pid})"
                );
            }
            Some(_) => {}
            None => match ring.reader() {
                Ok(reader) => {
                    eprintln!(
                        "hitgate: no filter has given a sign of life for {seconds:.1} s: frames pass unjudged from now on"
                    );
                    return Ok(Some(reader));
                }
                // Another filter came just now.
                Err(HostError::InUse { .. }) => {}
                Err(error) => return Err(error.into()),
            },
        }
        std::thread::sleep(LOOKING);
    }
}

/// Whether the source ended, or died, no frame is left to judge, and none that was kept is still in its slot.
fn is_over(state: &RingState) -> bool {
    let source = state.source_end;
    let died = source.process.is_none()
        && (source.silent_ms).is_some_and(|ms| Duration::from_millis(ms.into()) > SILENCE);
    state.to_judge() == 0 && state.slots_out() == 0 && (source.state == State::Closed || died)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::FilterMemory;
    use crate::model;
    use crate::tally::Watched;
    use hitgate_core::frame::HEADER_LEN;
    use hitgate_core::link::{Identity, LentQueue};
    use hitgate_core::pipeline::Pipeline;
    use hitgate_core::verdict::{Policy, Sampling};
    use hitgate_kernels::Level;
    use hitgate_ring::Layout;

    #[test]
    fn a_frame_that_was_judged_and_not_sent_is_still_to_be_passed_on() {
        let layout = Layout::new(4, HEADER_LEN as u32, 4).unwrap();
        let ring = Ring::anonymous(&layout, 1).unwrap();
        let mut writer = ring.writer().unwrap();
        // It holds no frame: a fault, kept.
        writer.reserve().unwrap().unwrap().commit();
        writer.close();

        let model = model::parse(model::EMBEDDED, None).unwrap();
        let mut memory = FilterMemory::new(&model, Level::detect(), &[]);
        let cpu = memory.cpu(&model, Level::detect(), &[]).unwrap();
        let sampling = Sampling { seed: 0, one_in: 0 };
        let policy = Policy {
            threshold: 1,
            sampling,
            deadline_ns: None,
        };
        let identity = Identity {
            model: 0,
            config: 0,
        };
        let link = LentQueue::<2>::new();
        let mut pipeline = Pipeline::new(ring.reader().unwrap(), cpu, policy, link, identity);
        let mut node = Watched::new(|_| {});
        pipeline.step(&mut node).unwrap();
        let state = RingState::of(&ring).unwrap();
        assert_eq!((state.to_judge(), state.slots_out()), (0, 1));
        assert!(!is_over(&state));

        drop(pipeline.link.take());
        let (mut reader, ..) = pipeline.into_parts();
        reader.reclaim();
        reader.close();
        assert!(is_over(&RingState::of(&ring).unwrap()));
    }
}
