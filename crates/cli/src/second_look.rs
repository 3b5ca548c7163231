//! A second look at the frames that were drawn: on a thread of its own the classical spot finder counts
//! their spots, and its answers feed the interlock.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use crossbeam::channel::{Receiver, Sender, bounded};
use hitgate_core::frame::Frame;
use hitgate_core::interlock::{Disarmed, Evidence, Interlock, Rules};
use hitgate_core::link::Record;
use hitgate_core::verdict::Class;
use hitgate_spots::Settings;

use crate::module::{Module, Prepared};
use crate::raw_maps::RawMaps;
use crate::spots::{CounterMemory, Decoded, INPUT, beam, in_units};

/// Frames that may wait to be looked at; one more is not looked at, and the bound is the higher for it.
const WAITING: usize = 4;
/// Answers that may wait for the judging thread.
const ANSWERS: usize = 1 << 12;
/// Of the last 64 frames so many may be unlike those of the training.
const STRAYS: u8 = 16;
/// How often arming is tried.
const ARMING: Duration = Duration::from_millis(200);

/// When the filter may drop, as the command line says it.
#[derive(Args, Clone, Debug)]
pub struct InterlockArgs {
    /// Drop frames only while at most this share of the hits can be lost, in percent: the run begins in
    /// shadow, which keeps all, until second looks at the frames drawn by --sample prove it, and goes
    /// back when they do not any more
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub max_loss: Option<f64>,
    /// Judged frames that the proof of --max-loss looks back on
    #[arg(long, value_name = "FRAMES", default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1000..))]
    pub loss_window: u32,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(percent) if 0.0 < percent && percent < 100.0 => Ok(percent),
        _ => Err("a number between 0 and 100 is needed".into()),
    }
}

impl InterlockArgs {
    /// When the path may drop; `sample` is one in how many frames is drawn.
    pub fn rules(&self, sample: u16) -> Result<Option<Rules>> {
        match (self.max_loss, sample) {
            (None, _) => Ok(None),
            (Some(_), 0) => bail!(
                "--max-loss needs second looks at some of the frames: say with --sample N that one in N is drawn"
            ),
            (Some(percent), _) => Ok(Some(Rules {
                max_loss: (percent / 100.0 * 65536.0) as u16,
                window: self.loss_window,
                strays: STRAYS,
            })),
        }
    }
}

/// A slot to be looked at, header and all, and its record.
pub type Drawn = (Record, Vec<u8>);

/// What the other threads hold of it: where slots to look at go, and where answers come from.
pub struct Ends {
    /// Slots.
    pub slots: Sender<Drawn>,
    /// Records of slots, and whether they are hits.
    pub answers: Receiver<(Record, bool)>,
    /// The modules, which may change.
    pub modules: Looked,
}

/// The modules as the finder sees them.
#[derive(Clone)]
pub struct Looked(Arc<Mutex<Vec<Prepared>>>);

impl Looked {
    fn new(modules: &[Module], raw: Option<&Arc<RawMaps>>) -> Result<Self> {
        Ok(Looked(Arc::new(Mutex::new(prepared(modules, raw)?))))
    }

    /// From the next look on they are these, their pixels raw words where there are maps for them.
    pub fn replace(&self, modules: &[Module], raw: Option<&Arc<RawMaps>>) -> Result<()> {
        *self.lock() = prepared(modules, raw)?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Prepared>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn prepared(modules: &[Module], raw: Option<&Arc<RawMaps>>) -> Result<Vec<Prepared>> {
    let prepare = |module: &Module| module.prepare(INPUT, raw);
    modules.iter().map(prepare).collect()
}

/// Memory that it looks in.
#[derive(Default)]
struct Memory {
    counter: CounterMemory,
    decoded: Decoded,
}

/// The thread that looks.
pub struct SecondLook {
    slots: Receiver<Drawn>,
    answers: Sender<(Record, bool)>,
    modules: Looked,
}

impl SecondLook {
    /// For frames of these modules, whose pixels are raw words where there are maps for them.
    pub fn new(modules: &[Module], raw: Option<&Arc<RawMaps>>) -> Result<(Self, Ends)> {
        let (slots, slots_out) = bounded(WAITING);
        let (answers_in, answers) = bounded(ANSWERS);
        let modules = Looked::new(modules, raw)?;
        let look = SecondLook {
            slots: slots_out,
            answers: answers_in,
            modules: modules.clone(),
        };
        let ends = Ends {
            slots,
            answers,
            modules,
        };
        Ok((look, ends))
    }

    /// Looks until the other ends are gone.
    pub fn run(self) {
        let mut memory = Memory::default();
        for (record, slot) in &self.slots {
            if let Some(hit) = self.is_hit(&slot, &mut memory)
                && self.answers.send((record, hit)).is_err()
            {
                return;
            }
        }
    }

    /// Whether the finder sees enough spots; nothing where it cannot look.
    fn is_hit(&self, slot: &[u8], memory: &mut Memory) -> Option<bool> {
        let frame = Frame::parse(slot).ok()?;
        let modules = self.modules.lock();
        let prepared = modules.get(usize::from(frame.header.module_id))?;
        let preparation = prepared.preparation();
        let beam = beam(
            prepared.geometry.as_ref(),
            preparation.columns,
            preparation.rows,
        );
        let Memory { counter, decoded } = memory;
        let frame = decoded.whole(&preparation, &frame).ok()?;
        let mut counter = counter.counter(&preparation, &beam).ok()?;
        let mut spots = [0];
        let settings = in_units(&Settings::default(), prepared.unit());
        counter
            .count_each(&preparation, &frame, &[settings], &mut spots)
            .ok()?;
        Some(Class::of_spots(spots[0]) == Class::Hit)
    }
}

/// What any thread may know of an interlock. The judging thread stores it when it tries to arm, a few
/// times a second.
#[derive(Debug, Default)]
pub struct Watch {
    armed: AtomicBool,
    loss_bound: AtomicU32,
    kept: Looks,
    missed: Looks,
}

#[derive(Debug, Default)]
struct Looks {
    looks: AtomicU64,
    estimated_hits: AtomicU64,
}

/// What it was when it was last told.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Seen {
    /// Whether misses are dropped.
    pub armed: bool,
    /// Hits among the misses, as second looks say.
    pub hits_missed: u64,
    /// Their share of all hits.
    pub loss: f64,
    /// The bound of that share in the window.
    pub loss_bound: f64,
    /// Second looks at kept frames.
    pub looks_kept: u64,
    /// Second looks at misses.
    pub looks_missed: u64,
}

impl Watch {
    fn tell(&self, interlock: &Interlock) {
        let Evidence { kept, missed } = interlock.total();
        for (told, looked) in [(&self.kept, kept), (&self.missed, missed)] {
            told.looks.store(looked.looks, Ordering::Relaxed);
            let hits = looked.estimated_hits();
            told.estimated_hits.store(hits, Ordering::Relaxed);
        }
        let bound = interlock.loss_bound();
        self.loss_bound.store(bound, Ordering::Relaxed);
        let armed = interlock.state().is_ok();
        self.armed.store(armed, Ordering::Relaxed);
    }

    /// What was last told.
    pub fn seen(&self) -> Seen {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let (kept, missed) = (
            of(&self.kept.estimated_hits),
            of(&self.missed.estimated_hits),
        );
        Seen {
            armed: self.armed.load(Ordering::Relaxed),
            hits_missed: missed,
            loss: missed as f64 / (kept + missed).max(1) as f64,
            loss_bound: f64::from(self.loss_bound.load(Ordering::Relaxed)) / 65536.0,
            looks_kept: of(&self.kept.looks),
            looks_missed: of(&self.missed.looks),
        }
    }
}

/// Feeds an interlock between two steps of the path, arms it when it can be, and tells of every change.
pub struct Attendant {
    answers: Option<Receiver<(Record, bool)>>,
    tried: Instant,
    state: Result<(), Disarmed>,
    watch: Arc<Watch>,
}

impl Attendant {
    /// Nobody attends to an interlock without second looks.
    pub fn new(answers: Option<Receiver<(Record, bool)>>) -> Self {
        Attendant {
            answers,
            tried: Instant::now(),
            state: Err(Disarmed::Never),
            watch: Arc::default(),
        }
    }

    /// What it tells other threads.
    pub fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }

    /// Takes the answers that are there.
    pub fn hear(&self, interlock: &mut Interlock) {
        for (record, hit) in self.answers.iter().flat_map(Receiver::try_iter) {
            interlock.looked(&record, hit);
        }
    }

    /// Takes them, arms, and tells.
    pub fn attend(&mut self, interlock: &mut Interlock) {
        if self.answers.is_none() {
            return;
        }
        self.hear(interlock);
        if self.tried.elapsed() > ARMING {
            self.tried = Instant::now();
            if interlock.state().is_err() {
                // What is missing is told at the end.
                let _ = interlock.arm();
            }
            self.watch.tell(interlock);
        }
        match (self.state, interlock.state()) {
            (Err(_), Ok(())) => tell!("hitgate: armed: misses are dropped from now on"),
            (Ok(()), Err(why)) => tell!("hitgate: disarmed, nothing is dropped: {why}"),
            _ => {}
        }
        self.state = interlock.state();
    }
}

/// What the interlock knows in the end.
pub fn report(interlock: &Interlock) -> String {
    let state = match interlock.state() {
        Ok(()) => "armed".into(),
        Err(why) => format!("in shadow, {why}"),
    };
    let Evidence { kept, missed } = interlock.total();
    format!(
        "interlock  {state}\n           second looks: {} of {} misses are hits, {} of {} kept frames; about {} of {} hits missed, and at most {:.2} % in the window\n",
        missed.hits,
        missed.looks,
        kept.hits,
        kept.looks,
        missed.estimated_hits(),
        missed.estimated_hits() + kept.estimated_hits(),
        f64::from(interlock.loss_bound()) / 655.36,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::SlotFrame;
    use hitgate_core::frame::{FrameHeader, PixelType};
    use std::path::Path;

    const SIDE: usize = 128;
    const PEDESTAL: f32 = 1000.0;
    const ADU_PER_PHOTON: f64 = 4.0;

    /// A slot of twelve spots of `photons` each, whose pixels are words that `word` makes of photons.
    fn slot(photons: u16, word: fn(u16) -> u16) -> Vec<u8> {
        let header = FrameHeader::new(SIDE as u16, SIDE as u16, PixelType::U16);
        let mut bytes = header.seal().to_vec();
        for i in 0..SIDE * SIDE {
            let (x, y) = (i % SIDE, i / SIDE);
            let spot = x % 32 / 2 == 8 && y % 32 / 2 == 8 && y < 96;
            bytes.extend(word(if spot { photons } else { 0 }).to_le_bytes());
        }
        bytes
    }

    fn pedestals(folder: &Path) -> Arc<RawMaps> {
        let path = folder.join("pedestals.npy");
        let header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({SIDE}, {SIDE}), }}");
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes.extend(format!("{header:<117}\n").bytes());
        bytes.extend(PEDESTAL.to_le_bytes().repeat(SIDE * SIDE));
        std::fs::write(&path, bytes).unwrap();
        let paths = [&path; 3].map(Clone::clone);
        let [rises, falls] = [ADU_PER_PHOTON, -ADU_PER_PHOTON];
        Arc::new(RawMaps::read(&paths, &[rises, falls, falls]).unwrap())
    }

    #[test]
    fn raw_words_are_looked_at_as_the_photons_that_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let maps = pedestals(folder.path());
        let module = |raw| Module {
            columns: SIDE as u32,
            rows: SIDE as u32,
            pixel_type: "u16".into(),
            raw,
            compressed: false,
            about: Default::default(),
            excluded: Vec::new(),
        };
        let (counts, _) = SecondLook::new(&[module(false)], None).unwrap();
        let (raw, _) = SecondLook::new(&[module(true)], Some(&maps)).unwrap();
        // A photon is below the threshold, its parts are not.
        for (photons, hit) in [(200, true), (1, false)] {
            let mut memory = Memory::default();
            let found = counts.is_hit(&slot(photons, |photons| photons), &mut memory);
            assert_eq!(found, Some(hit), "{photons}");
            let words = slot(photons, |photons| PEDESTAL as u16 + 4 * photons);
            assert_eq!(raw.is_hit(&words, &mut memory), found, "{photons}");
        }
    }

    #[test]
    fn a_compressed_frame_is_looked_at_as_the_pixels_that_it_is_or_not_at_all() {
        let module = |compressed| Module {
            columns: SIDE as u32,
            rows: SIDE as u32,
            pixel_type: "u16".into(),
            raw: false,
            compressed,
            about: Default::default(),
            excluded: Vec::new(),
        };
        let [announced, not] =
            [true, false].map(|compressed| SecondLook::new(&[module(compressed)], None).unwrap().0);
        for (photons, hit) in [(200, true), (1, false)] {
            let mut memory = Memory::default();
            let plain = SlotFrame::kept(slot(photons, |photons| photons));
            let mut compressed = plain.compressed().unwrap().bytes().to_vec();
            assert_eq!(announced.is_hit(plain.bytes(), &mut memory), Some(hit));
            assert_eq!(announced.is_hit(&compressed, &mut memory), Some(hit));
            // What cannot be read is no frame without spots.
            assert_eq!(not.is_hit(&compressed, &mut memory), None);
            let last = compressed.len() - 1;
            compressed.truncate(last);
            assert_eq!(announced.is_hit(&compressed, &mut memory), None);
        }
    }
}
