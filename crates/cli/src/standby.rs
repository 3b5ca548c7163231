//! Standing by: when the filter of a ring dies, its frames pass unjudged rather than stall the source.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use hitgate_core::frame::{Fault, Frame};
use hitgate_core::pipeline::{Backend, MAX_BATCH, Scored};
use hitgate_cuda::driver::Failed;
use hitgate_host::{DmaBuffer, HostError, Ring};
use hitgate_ring::{AttachError, Policy, Reader, State};

use crate::bank::OwnedProcessor;
use crate::interrupt::Interrupted;
use crate::judge::SILENCE;
use crate::ring_state::RingState;

/// How often the filter is looked at.
const LOOKING: Duration = Duration::from_millis(10);

/// The network, or nobody.
pub struct Filter {
    /// The network.
    pub processor: OwnedProcessor,
    /// Whether it is left out, so that every frame is kept as a fault.
    pub passes: bool,
    /// Who brings the caches together with the ring's memory: once that failed frames may be older than they seem, and none
    /// is judged.
    pub caches: Option<Arc<DmaBuffer>>,
    /// Whether the frames that came last were left out.
    pub passed: bool,
}

impl Filter {
    /// Why the GPU was lost, if it was.
    pub fn lost(&self) -> Option<Failed> {
        self.processor.lost()
    }

    fn leaves_out(&self) -> bool {
        let caches = self.caches.as_ref();
        self.passes || caches.is_some_and(|caches| caches.check().is_err())
    }
}

impl Backend for Filter {
    const BATCH: usize = OwnedProcessor::BATCH;

    fn batch(&self) -> usize {
        self.processor.batch()
    }

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        self.passed = self.leaves_out();
        match self.passed {
            false => self.processor.score(frames, now_ns),
            true => (frames.iter().take(MAX_BATCH))
                .map(|_| Scored::fault(Fault::Backend))
                .collect(),
        }
    }

    fn map_of(&self, i: usize) -> Option<&[u8]> {
        (!self.passed).then(|| self.processor.map_of(i)).flatten()
    }

    fn fallen_back(&self) -> u64 {
        match self.passed {
            true => 0,
            false => self.processor.fallen_back(),
        }
    }
}

/// The reading end of `ring`, once its filter has given no sign of life for `patience` and is gone; nothing
/// where the source ended and every frame is judged.
///
/// The end of a filter that is silent and alive is not taken: it may go on at any time, with slots that it holds.
/// Whoever watches is told to end it. Where another took the end first, or the source publishes so fast that the ring
/// cannot be read, waiting goes on.
///
/// # Errors
/// [`Interrupted`], and those of a ring that was damaged.
pub fn take_over<'r>(
    ring: &'r Ring,
    patience: Duration,
    stop: &AtomicBool,
) -> Result<Option<Reader<'r>>> {
    let started = Instant::now();
    let mut told = None;
    tell!("hitgate: standing by");
    loop {
        let state = RingState::look(ring)?;
        if stop.load(Ordering::Relaxed) {
            let left = state.map_or(0, |state| state.to_judge());
            return Err(Interrupted { left }.into());
        }
        let Some(state) = state else {
            std::thread::sleep(LOOKING);
            continue;
        };
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
                tell!(
                    "hitgate: process {pid} is the filter and has given no sign of life for {seconds:.1} s: no frame can pass before it is ended (kill {pid})"
                );
            }
            Some(_) => {}
            None => match ring.reader() {
                Ok(reader) => {
                    tell!(
                        "hitgate: no filter has given a sign of life for {seconds:.1} s: frames pass unjudged from now on"
                    );
                    return Ok(Some(reader));
                }
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error.into()),
            },
        }
        std::thread::sleep(LOOKING);
    }
}

/// Whether an end that could not be had may be had later: another filter came just now, or the source published
/// without pause.
fn passes(error: &HostError) -> bool {
    matches!(
        error,
        HostError::InUse { .. }
            | HostError::Attach {
                cause: AttachError::Busy,
                ..
            }
    )
}

/// Whether the source ended, or died, no frame is left to judge, and none that was kept is still in its slot. Copies
/// of a free-running ring's frames went with the filter that had them.
fn is_over(state: &RingState) -> bool {
    let source = state.source_end;
    let died = source.process.is_none()
        && (source.silent_ms).is_some_and(|ms| Duration::from_millis(ms.into()) > SILENCE);
    let sent = state.slots_out() == 0 || state.layout.policy() == Policy::FreeRunning;
    state.to_judge() == 0 && sent && (source.state == State::Closed || died)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::FilterMemory;
    use crate::model;
    use crate::tally::Watched;
    use hitgate_core::accounts::Accounts;
    use hitgate_core::frame::HEADER_LEN;
    use hitgate_core::link::{Identity, LentQueue, Record};
    use hitgate_core::pipeline::Pipeline;
    use hitgate_core::verdict::{self, Sampling, Verdict};
    use hitgate_kernels::Level;
    use hitgate_ring::{End, Layout};

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
        let policy = verdict::Policy {
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

    #[test]
    fn of_two_that_wake_up_at_once_one_takes_over_and_the_other_goes_on_waiting() {
        let layout = Layout::new(4, HEADER_LEN as u32, 4).unwrap();
        let ring = Ring::anonymous(&layout, 1).unwrap();
        let again = ring.reopen().unwrap();
        let mut writer = ring.writer().unwrap();
        writer.reserve().unwrap().unwrap().commit();
        writer.close();
        let stop = AtomicBool::new(false);
        let (winner, sent) = crossbeam::channel::bounded(1);
        let stand_by = |ring| {
            let Some(mut reader) = take_over(ring, Duration::ZERO, &stop).unwrap() else {
                return false;
            };
            winner.send(()).unwrap();
            // The other has looked a few times, and found somebody.
            std::thread::sleep(5 * LOOKING);
            let mut books = Accounts::default();
            let record = Record {
                verdict: Verdict::KeepFault as u8,
                ..Record::default()
            };
            books.enter(&record);
            drop(reader.read(1).unwrap().settle(&record.to_bytes()));
            reader.reclaim();
            reader.publish(&books.counters());
            true
        };
        let took = std::thread::scope(|scope| {
            let both = [&ring, &again].map(|ring| scope.spawn(|| stand_by(ring)));
            both.map(|standby| standby.join().unwrap())
        });
        assert!(took[0] != took[1]);
        assert_eq!(sent.try_iter().count(), 1);
    }

    #[test]
    fn a_source_that_publishes_without_pause_ends_nobodys_waiting() {
        let layout = Layout::new(4, HEADER_LEN as u32, 4).unwrap();
        let ring = Ring::anonymous(&layout, 1).unwrap();
        let mut writer = ring.writer().unwrap();
        let (stop, calm) = (AtomicBool::new(false), AtomicBool::new(false));
        let reader = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !calm.load(Ordering::Relaxed) {
                    writer.lose(1);
                }
            });
            let standby = scope.spawn(|| take_over(&ring, Duration::ZERO, &stop));
            std::thread::sleep(20 * LOOKING);
            calm.store(true, Ordering::Relaxed);
            standby.join().unwrap()
        });
        assert!(reader.unwrap().is_some());
    }

    #[test]
    fn what_does_not_mend_itself_ends_the_waiting() {
        let attach = |cause| HostError::Attach {
            path: "ring".into(),
            cause,
        };
        let in_use = HostError::InUse {
            path: "ring".into(),
            end: End::Reader,
            pid: 1,
        };
        assert!(passes(&in_use) && passes(&attach(AttachError::Busy)));
        assert!(!passes(&attach(AttachError::NotARing)));
        let (produced, head) = (0, 9);
        assert!(!passes(&attach(AttachError::Positions { produced, head })));
    }
}
