//! The judging loop around the path's step.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use hitgate_core::link::{Link, Record};
use hitgate_core::pipeline::{Backend, Pipeline};
use hitgate_host::{Backoff, MonotonicClock};
use hitgate_ring::State;

use crate::tally::Watched;

/// How long a producer may give no sign of life before it is asked whether it lives.
pub const SILENCE: Duration = Duration::from_secs(5);
/// How often that is asked. The system takes much longer to answer than a look at the ring.
const ASKING: Duration = Duration::from_millis(100);

/// Steps until the producer has closed the ring and every frame is judged, or `stop` is set. `between` two
/// steps somebody may attend to the path, or end it.
///
/// A producer that gave signs of life, gave none for `silence` and is no live process, as `source_lives` tells, is gone:
/// one that is stopped may go on, and one that never gives any is silent in whatever state it is.
///
/// # Errors
/// Where the ring's control words are impossible, or the producer is gone without closing the ring, and every frame
/// that it finished is judged.
pub fn judge<'m, B: Backend, L: Link<'m>, F: FnMut(&Record)>(
    pipeline: &mut Pipeline<'m, B, L>,
    node: &mut Watched<F>,
    silence: Duration,
    stop: &AtomicBool,
    source_lives: impl Fn() -> bool,
    mut between: impl FnMut(&mut Pipeline<'m, B, L>) -> ControlFlow<()>,
) -> Result<()> {
    let mut backoff = Backoff::new();
    let mut listener = Listener::new(silence, MonotonicClock.now_ns());
    while !stop.load(Ordering::Relaxed) {
        pipeline.reader().heartbeat(MonotonicClock.now_ms());
        if between(pipeline).is_break() {
            break;
        }
        if pipeline.step(node)? > 0 {
            backoff.reset();
            say(listener.frames_come(MonotonicClock.now_ns()));
            continue;
        }
        if pipeline.reader().finished() {
            break;
        }
        let source = pipeline.reader().source();
        let silent = listener.hear(source.heartbeat_ms, MonotonicClock.now_ns());
        let gave_signs = source.state == State::Open && source.heartbeat_ms != 0;
        if gave_signs && listener.doubts() && !source_lives() && !frames_left(pipeline)? {
            bail!(
                "the source has given no sign of life for {:.1} s and has not closed the ring: every frame that it finished is judged; make the ring anew (`hitgate feed --replace ...`), then start this again",
                silent.as_secs_f64()
            );
        }
        if listener.wonders() {
            say(Some(listener.remark(frames_left(pipeline)?)));
        }
        backoff.wait();
    }
    Ok(())
}

fn say(remark: Option<String>) {
    if let Some(remark) = remark {
        tell!("hitgate: {remark}");
    }
}

/// What is heard of the source between frames, and what is to be said of it. Times are in ns.
struct Listener {
    silence: Duration,
    /// How long no frame may come before that is worth a word: longer each time, so that a slow source fills no log.
    patience: Duration,
    heartbeat_ms: u32,
    heard_ns: u64,
    frame_ns: u64,
    asked_ns: u64,
    now_ns: u64,
    remarked: bool,
}

impl Listener {
    /// Silence is counted from when we listen: a producer that has just opened has no heartbeat yet.
    const fn new(silence: Duration, now_ns: u64) -> Self {
        Listener {
            silence,
            patience: silence,
            heartbeat_ms: 0,
            heard_ns: now_ns,
            frame_ns: now_ns,
            asked_ns: 0,
            now_ns,
            remarked: false,
        }
    }

    /// How long the heartbeat has been this one.
    const fn hear(&mut self, heartbeat_ms: u32, now_ns: u64) -> Duration {
        self.now_ns = now_ns;
        if heartbeat_ms != self.heartbeat_ms {
            (self.heartbeat_ms, self.heard_ns) = (heartbeat_ms, now_ns);
        }
        self.silent()
    }

    const fn silent(&self) -> Duration {
        Duration::from_nanos(self.now_ns.saturating_sub(self.heard_ns))
    }

    /// Whether the source has been silent for so long that it is to be asked for, and was not just now.
    fn doubts(&mut self) -> bool {
        let asked = Duration::from_nanos(self.now_ns.saturating_sub(self.asked_ns));
        let doubts = self.silent() > self.silence && asked > ASKING;
        if doubts {
            self.asked_ns = self.now_ns;
        }
        doubts
    }

    const fn idle(&self) -> Duration {
        Duration::from_nanos(self.now_ns.saturating_sub(self.frame_ns))
    }

    /// Whether no frame has come for so long that it has to be said, which it was not.
    fn wonders(&self) -> bool {
        !self.remarked && self.idle() > self.patience
    }

    /// What there is to say: whether frames wait for the link, or for the source.
    fn remark(&mut self, frames_left: bool) -> String {
        self.remarked = true;
        let (idle, silent) = (self.idle().as_secs_f64(), self.silent().as_secs_f64());
        let why = if frames_left {
            "as many kept frames as may be out of the ring wait to be written: is the disk of --keep alive?".into()
        } else if self.silent() > self.silence {
            format!("the source has given no sign of life for {silent:.0} s: is it running?")
        } else {
            "the source is alive and sends none.".into()
        };
        format!("no frame for {idle:.0} s; {why} Waiting on, until Ctrl-C")
    }

    /// What there is to say of frames that come, if anything.
    fn frames_come(&mut self, now_ns: u64) -> Option<String> {
        self.now_ns = now_ns;
        let idle = self.idle().as_secs_f64();
        self.frame_ns = now_ns;
        self.remarked.then(|| {
            self.remarked = false;
            self.patience *= 2;
            format!("frames come again, after {idle:.0} s")
        })
    }
}

/// Whether there are frames to judge, now or once the link gives slots back.
fn frames_left<'m, B: Backend, L: Link<'m>>(pipeline: &mut Pipeline<'m, B, L>) -> Result<bool> {
    let batch = pipeline.reader().read(1)?;
    Ok(!batch.is_empty() || batch.waiting())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_source_that_sends_nothing_it_is_said_once_and_why() {
        let second = |s: f64| (s * 1e9) as u64;
        let mut listener = Listener::new(Duration::from_secs(5), 0);
        // Alive, and no frame.
        for s in 1..=5 {
            assert!(listener.hear(s, second(s.into())).is_zero() && !listener.wonders());
        }
        listener.hear(6, second(5.5));
        assert!(listener.wonders());
        let said = listener.remark(false);
        assert!(said.contains("for 6 s; the source is alive"), "{said}");
        listener.hear(6, second(12.0));
        assert!(!listener.wonders(), "once");
        let said = listener.frames_come(second(13.0)).unwrap();
        assert!(said.contains("again, after 13 s"), "{said}");
        assert_eq!(listener.frames_come(second(14.0)), None);

        // Silent, and twice as long as before.
        assert_eq!(
            listener.hear(6, second(23.0)),
            Duration::from_secs_f64(17.5)
        );
        assert!(!listener.wonders());
        listener.hear(6, second(25.0));
        assert!(listener.wonders());
        let said = listener.remark(false);
        assert!(said.contains("no sign of life for 20 s"), "{said}");
        assert!(listener.remark(true).contains("wait to be written"));
    }

    use crate::filter::FilterMemory;
    use crate::model;
    use crate::outputs::Outputs;
    use crate::sink::{SinkLink, sink};
    use hitgate_core::cpu::Cpu;
    use hitgate_core::frame::HEADER_LEN;
    use hitgate_core::link::Identity;
    use hitgate_core::verdict::{Policy, Sampling};
    use hitgate_host::Ring;
    use hitgate_kernels::Level;
    use hitgate_ring::Layout;
    use std::time::Instant;

    const PATIENCE: Duration = Duration::from_millis(20);

    fn ring() -> Ring {
        Ring::anonymous(&Layout::new(4, HEADER_LEN as u32, 4).unwrap(), 1).unwrap()
    }

    /// What `judging` makes of a path whose slots hold no frames: faults, all of them kept.
    fn with_path<'r, T>(
        ring: &'r Ring,
        link: SinkLink<'r>,
        judging: impl FnOnce(Pipeline<'r, Cpu<'_>, SinkLink<'r>>) -> T,
    ) -> T {
        let model = model::parse(model::EMBEDDED, None).unwrap();
        let mut memory = FilterMemory::new(&model, Level::detect(), &[]);
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
        let reader = ring.reader().unwrap();
        judging(Pipeline::new(reader, cpu, policy, link, identity))
    }

    #[test]
    fn frames_that_wait_for_a_stalled_link_are_judged_although_the_producer_is_gone() {
        let ring = ring();
        let mut writer = ring.writer().unwrap();
        writer.heartbeat(1);
        for _ in 0..ring.layout().slots() {
            writer.reserve().unwrap().unwrap().commit();
        }
        let (link, sink) = sink(ring.layout(), Outputs::default(), None);
        let received = with_path(&ring, link, |mut pipeline| {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    std::thread::sleep(10 * PATIENCE);
                    sink.run()
                });
                let judged = judge(
                    &mut pipeline,
                    &mut Watched::new(|_| {}),
                    PATIENCE,
                    &AtomicBool::new(false),
                    || false,
                    |_| ControlFlow::Continue(()),
                );
                assert!(judged.unwrap_err().to_string().contains("no sign of life"));
                let (_, _, link, accounts) = pipeline.into_parts();
                drop(link);
                accounts.received
            })
        });
        assert_eq!(received, 4);
    }

    #[test]
    fn a_producer_that_never_gave_a_sign_or_lives_is_waited_for() {
        let judged = |heartbeat_ms, lives| {
            let ring = ring();
            let writer = ring.writer().unwrap();
            writer.heartbeat(heartbeat_ms);
            let (link, _sink) = sink(ring.layout(), Outputs::default(), None);
            let start = Instant::now();
            with_path(&ring, link, |mut pipeline| {
                judge(
                    &mut pipeline,
                    &mut Watched::new(|_| {}),
                    PATIENCE,
                    &AtomicBool::new(false),
                    || lives,
                    // Somebody else ends it, where it does not end by itself.
                    |_| match start.elapsed() > 10 * PATIENCE {
                        true => ControlFlow::Break(()),
                        false => ControlFlow::Continue(()),
                    },
                )
            })
        };
        assert!(judged(0, false).is_ok());
        assert!(judged(1, true).is_ok());
        let gone = judged(1, false).unwrap_err().to_string();
        assert!(gone.contains("no sign of life"), "{gone}");
    }
}
