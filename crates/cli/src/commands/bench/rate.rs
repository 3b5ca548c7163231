//! Frames by the clock, as a detector sends them: latency counts from the time that a frame is due,
//! whether or not the filter was ready for it then.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use hitgate_host::{MonotonicClock, Pacer, Schedule, pin_to_core};
use hitgate_ring::Writer;

use super::engine::Engine;
use super::panel::View;
use super::path::check;
use super::rows::Rate;
use super::subject::{Path, Subject};
use crate::progress::Progress;
use crate::slot::fill;
use crate::tally::{Watched, histogram};

/// What takes its turn, for a second at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The filter.
    Filter(View),
    /// Nobody looks at the frames: what is seen is the noise of the machine.
    Empty,
}

/// Latencies of one kind of turn, in ns from the time that a frame was due to its record.
pub struct Turns {
    /// Whose.
    pub turn: Turn,
    /// From when a frame was due to when it was decided.
    pub latencies: Histogram<u64>,
    /// How the frames came.
    pub rate: Rate,
}

/// How frames come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clock {
    /// Frames a second.
    pub hz: f64,
    /// How long each kind of turn lasts in all.
    pub seconds: f64,
    /// Core of the source, where it is to stay on one: another one than the filter's.
    pub source_core: Option<usize>,
}

impl Clock {
    /// Rounds of turns, and frames of each turn.
    fn rounds(&self) -> (u64, u64) {
        let rounds = (self.seconds / TURN_S).ceil().max(1.0);
        let frames = (self.hz * self.seconds / rounds).round();
        (rounds as u64, (frames as u64).max(1))
    }

    /// Frames of so many kinds of turns in all.
    pub fn frames(&self, turns: usize) -> u64 {
        let (rounds, frames) = self.rounds();
        rounds.saturating_mul(frames).saturating_mul(turns as u64)
    }
}

/// One turn lasts about as long.
const TURN_S: f64 = 1.0;
/// A turn starts a little after it is told to, so that the first frame can be there in time.
const LEAD_NS: u64 = 20_000_000;
/// Bytes of the ring: some frames of slack for a large detector, many for a small one.
const RING: u32 = 512 << 20;
const SLOTS: std::ops::RangeInclusive<u32> = 8..=256;

/// Plays frames by the clock to each of `turns` in turn.
pub fn time(
    subject: &Subject,
    turns: &[Turn],
    clock: Clock,
    progress: &Progress,
) -> Result<Vec<Turns>> {
    let schedule = Schedule::steady(clock.hz)?;
    let (rounds, frames) = clock.rounds();
    let slots = (RING / subject.stride()?).clamp(*SLOTS.start(), *SLOTS.end());
    let mut measured: Vec<Turns> = turns.iter().map(|&turn| Turns::new(turn, clock)).collect();
    subject.on_a_ring(slots, |mut writer, mut path| {
        let mut resting = std::mem::replace(&mut path.backend, Engine::Empty);
        // The system maps a page when it is first touched: not on the clock.
        let mut node = Watched::new(|_| {});
        for number in 1..=slots.into() {
            subject.put(&mut writer, number, View::Whole)?;
            path.step(&mut node)?;
            while path.link.take().is_some() {}
        }
        for _ in 0..rounds {
            for turns in &mut measured {
                let looks = turns.turn != Turn::Empty;
                if looks == matches!(path.backend, Engine::Empty) {
                    std::mem::swap(&mut path.backend, &mut resting);
                }
                let source = Source {
                    subject,
                    core: clock.source_core,
                    view: turns.view(),
                    schedule,
                    start_ns: MonotonicClock.now_ns() + LEAD_NS,
                    before: writer.produced() + writer.lost_at_source(),
                    frames,
                };
                turns.play(source, &mut writer, &mut path)?;
                // Not while frames come: drawing takes its time.
                (0..frames).for_each(|_| progress.advance());
            }
        }
        Ok(())
    })?;
    Ok(measured)
}

impl Turns {
    fn new(turn: Turn, clock: Clock) -> Self {
        Turns {
            turn,
            latencies: histogram(),
            rate: Rate {
                hz: clock.hz,
                seconds: clock.seconds,
                lapped: 0,
                source_late_ns: 0,
            },
        }
    }

    /// The view that the frames carry.
    const fn view(&self) -> View {
        match self.turn {
            Turn::Filter(view) => view,
            Turn::Empty => View::Whole,
        }
    }

    /// One turn: the source on a thread of its own, the filter on this one, which polls the ring.
    fn play(
        &mut self,
        source: Source<'_>,
        writer: &mut Writer<'_>,
        path: &mut Path<'_, '_>,
    ) -> Result<()> {
        let latencies = &mut self.latencies;
        let mut node = Watched::new(|record| {
            let waited_ns = MonotonicClock
                .now_ns()
                .saturating_sub(source.due_ns(record.frame_number));
            latencies.saturating_record(waited_ns);
        });
        let ended = AtomicBool::new(false);
        let (stopped, played) = std::thread::scope(|scope| {
            let playing = scope.spawn(|| {
                let _ended = SetWhenGone(&ended);
                source.play(writer)
            });
            let mut judge = || -> Result<()> {
                loop {
                    let last = ended.load(Ordering::Acquire);
                    while path.step(&mut node)? > 0 {
                        check(path)?;
                        while path.link.take().is_some() {}
                    }
                    if last {
                        return Ok(());
                    }
                    std::hint::spin_loop();
                }
            };
            (judge(), playing.join())
        });
        stopped?;
        let Ok(played) = played else {
            bail!("the emulated source stopped unexpectedly");
        };
        let (lapped, late_ns) = played?;
        self.rate.lapped += lapped;
        self.rate.source_late_ns = self.rate.source_late_ns.max(late_ns);
        Ok(())
    }
}

/// Tells the other thread that this one has ended, however it did.
struct SetWhenGone<'f>(&'f AtomicBool);

impl Drop for SetWhenGone<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// The emulated DMA engine of one turn.
#[derive(Clone, Copy)]
struct Source<'s> {
    subject: &'s Subject,
    core: Option<usize>,
    view: View,
    schedule: Schedule,
    start_ns: u64,
    /// Frames that came before, in other turns.
    before: u64,
    frames: u64,
}

impl Source<'_> {
    /// When the frame of this number is due.
    fn due_ns(&self, number: u64) -> u64 {
        let index = number.saturating_sub(self.before + 1);
        self.start_ns + self.schedule.due_ns(index)
    }

    /// Copies each frame into its slot while the one before it is judged, as a DMA engine loads the
    /// memory, and hands it over when it is due. A frame that finds the ring full then is lapped: the
    /// source waits for nobody. Gives the number of those, and by how many ns it was late itself.
    fn play(&self, writer: &mut Writer<'_>) -> Result<(u64, u64)> {
        if let Some(core) = self.core {
            pin_to_core(core)?;
        }
        let mut pacer = Pacer::start_at(self.schedule, self.start_ns);
        let (mut lapped, mut late_ns) = (0, 0);
        for number in self.before + 1..=self.before + self.frames {
            let slot = loop {
                match writer.reserve()? {
                    Some(slot) => break Some(slot),
                    None if pacer.remaining().is_zero() => break None,
                    None => std::thread::yield_now(),
                }
            };
            let Some(mut slot) = slot else {
                pacer.wait();
                lapped += 1;
                writer.lose(1);
                continue;
            };
            fill(&mut slot, self.subject.frame(number), |header| {
                header.frame_number = number;
                header.module_id = self.view as u16;
            })?;
            late_ns = late_ns.max(pacer.wait());
            slot.commit();
        }
        Ok((lapped, late_ns))
    }
}
