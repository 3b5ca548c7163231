//! Model and calibration are swapped while frames come: each frame is judged by one of them, whole.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::yield_now;

use hitgate_core::cpu::Cpu;
use hitgate_core::frame::{Frame, FrameHeader};
use hitgate_core::interlock::{Disarmed, Rules};
use hitgate_core::link::{Identity, LentQueue, Record};
use hitgate_core::net::{Arena, Model, Plan};
use hitgate_core::pipeline::{Backend, Bank, MAX_BATCH, Node, Pipeline, Scored, Stages};
use hitgate_core::prep::{Mask, Preparation, Window};
use hitgate_core::verdict::{Policy, Sampling, Score, Verdict};
use hitgate_kernels::Level;
use hitgate_ring::Writer;
use hitgate_sim::{Detector, Mix, Simulated, Simulator};
use hitgate_testkit::alloc::{Counting, Counts, count, prove_installed};
use hitgate_tests::{
    Collector, MODEL, Memory, POLICY, header, other_model, pixels, preparation, put, ring,
};
use self_cell::{MutBorrow, self_cell};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const COLUMNS: u32 = 48;
const ROWS: u32 = 40;
const BYTES: usize = (COLUMNS * ROWS * 2) as usize;
/// The left half is excluded: another calibration changes maps, not only what the network makes of them.
static LEFT_HALF: [u8; 240] = {
    let mut mask = [0; 240];
    let mut byte = 0;
    while byte < mask.len() {
        mask[byte] = if byte % 6 < 3 { 0xFF } else { 0 };
        byte += 1;
    }
    mask
};

/// What a bank is made of.
struct Recipe {
    file: Vec<u8>,
    preparation: Preparation<'static>,
    policy: Policy,
    identity: Identity,
}

/// A backend with the memory that it works in.
struct Parts {
    preparations: [Preparation<'static>; 1],
    memory: MutBorrow<Memory>,
}

self_cell! {
    struct Owned {
        owner: Parts,
        #[covariant]
        dependent: Cpu,
    }
}

impl Backend for Owned {
    const BATCH: usize = 1;

    fn score(
        &mut self,
        frames: &[Frame<'_>],
        now_ns: &impl Fn() -> u64,
    ) -> heapless::Vec<Scored, MAX_BATCH> {
        self.with_dependent_mut(|_, cpu| cpu.score(frames, now_ns))
    }
}

impl Recipe {
    /// The program's model on whole frames, and another on right halves: one keeps all, the other nothing.
    fn two() -> [Recipe; 2] {
        let model = Model::parse(MODEL).unwrap();
        let whole = preparation(&model, COLUMNS, ROWS);
        let right = Preparation {
            mask: Mask::new(&LEFT_HALF, COLUMNS, ROWS).unwrap(),
            ..whole.clone()
        };
        let recipe = |(file, preparation, threshold, config): (Vec<u8>, _, _, _)| Recipe {
            identity: Identity {
                model: crc32fast::hash(&file),
                config,
            },
            file,
            preparation,
            policy: Policy {
                threshold,
                ..POLICY
            },
        };
        [
            (MODEL.to_vec(), whole, 0, 7),
            (other_model(), right, u16::MAX, 8),
        ]
        .map(recipe)
    }

    /// Packs and checks it.
    fn bank(&self) -> Result<Bank<Owned>, String> {
        let model = Model::parse(&self.file).map_err(|error| error.to_string())?;
        let level = Level::detect();
        let preparations = [self.preparation.clone()];
        let memory = Memory::new(&model, level, &preparations).into();
        let parts = Parts {
            preparations,
            memory,
        };
        let mut backend = Owned::try_new(parts, |parts| {
            let buffers = parts.memory.borrow_mut().buffers();
            Cpu::new(&model, level, &parts.preparations, buffers)
        })
        .map_err(|error| error.to_string())?;
        let golden = model.golden();
        let found = backend.with_dependent_mut(|_, cpu| cpu.logits(golden.map));
        if found != Ok(golden.logits) {
            return Err("another golden answer".into());
        }
        Ok(Bank {
            backend,
            policy: self.policy,
            identity: self.identity,
        })
    }

    /// The score of these pixels, step by step, on the plainest level.
    fn score(&self, pixels: &[u8]) -> Score {
        let model = Model::parse(&self.file).unwrap();
        let level = Level::by_name("scalar").unwrap();
        let mut slot = header(COLUMNS, ROWS, 1).seal().to_vec();
        slot.extend(pixels);
        let frame = Frame::parse(&slot).unwrap();
        let mut words = vec![0; self.preparation.words()];
        let mut map = vec![0; self.preparation.map_bytes()];
        (self.preparation)
            .run(level, &frame, &mut words, &mut map)
            .unwrap();
        let memory = Plan::memory(&model, level);
        let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
        let plan = Plan::new(&model, level, &mut packed).unwrap();
        model.score(plan.infer(&mut Arena::new(&mut arena), &map).unwrap())
    }

    /// Recipes that no bank comes of, and what is said of them.
    fn unsound() -> Vec<(Recipe, &'static str)> {
        let sound = || {
            let [_, other] = Recipe::two();
            other
        };
        let (mut damaged, mut stranger, mut narrow, mut short) =
            (sound(), sound(), sound(), sound());
        damaged.file[5_000] ^= 1;
        let last = stranger.file.len() - 4 - 64;
        stranger.file[last] ^= 1;
        let crc = crc32fast::hash(&stranger.file[16..]);
        stranger.file[12..16].copy_from_slice(&crc.to_le_bytes());
        narrow.preparation.window = Window::whole(COLUMNS, ROWS, 32);
        short.file.pop();
        vec![
            (damaged, "damaged"),
            (stranger, "golden"),
            (narrow, "preparation 0"),
            (short, "bytes"),
        ]
    }
}

fn score_in(record: &Record) -> Score {
    Score {
        hit: record.p_hit,
        maybe: record.p_maybe,
        miss: record.p_miss,
    }
}

/// Compares every record with what its bank alone would have said.
struct Checker<'t> {
    recipes: &'t [Recipe; 2],
    /// By bank and frame.
    expected: [Vec<Score>; 2],
    judged: &'t AtomicU64,
    by: [u64; 2],
    last: usize,
    swaps_seen: u64,
    wrong: u64,
}

impl Node for Checker<'_> {
    fn now_ns(&self) -> u64 {
        0
    }

    fn judged(&mut self, record: &Record, _: &Stages) {
        let number = self.judged.fetch_add(1, Ordering::Release) + 1;
        let of = |recipe: &Recipe| (recipe.identity.model, recipe.identity.config);
        let bank =
            (self.recipes.iter()).position(|recipe| of(recipe) == (record.model, record.config));
        let Some(bank) = bank else {
            self.wrong += 1;
            return;
        };
        let frames = self.expected[bank].len() as u64;
        let expected = self.expected[bank][((number - 1) % frames) as usize];
        let keeps = [true, false][bank];
        let right = score_in(record) == expected
            && record.verdict().keeps() == keeps
            && (record.seq, record.frame_number) == (number, number);
        self.wrong += u64::from(!right);
        self.by[bank] += 1;
        self.swaps_seen += u64::from(bank != self.last);
        self.last = bank;
    }
}

/// Makes the banks in turn and hands them over, each once the one before has judged a frame; one in five is that which
/// came back, as where the new one is found wanting.
fn control(
    recipes: &[Recipe; 2],
    swaps: u64,
    judged: &AtomicU64,
    new: &SyncSender<Bank<Owned>>,
    old: &Receiver<Bank<Owned>>,
) {
    let unsound = Recipe::unsound();
    let mut back: Option<Bank<Owned>> = None;
    for swap in 1..=swaps {
        let recipe = &recipes[swap as usize % 2];
        if swap % 50 == 0 {
            for (recipe, why) in &unsound {
                let said = recipe.bank().err().expect("refused");
                assert!(said.contains(why), "{said}");
            }
        }
        let bank = match back.take() {
            Some(bank) if swap % 5 == 0 => bank,
            _ => recipe.bank().unwrap(),
        };
        assert_eq!(bank.identity, recipe.identity);
        new.send(bank).unwrap();
        back = Some(old.recv().unwrap());
        let then = judged.load(Ordering::Acquire);
        while judged.load(Ordering::Acquire) == then {
            yield_now();
        }
    }
}

#[test]
fn a_thousand_swaps_under_load_and_no_frame_is_judged_by_a_mixture() {
    const SWAPS: u64 = 1_000;
    let recipes = Recipe::two();
    let frames: Vec<_> = (0..13).map(|seed| pixels(COLUMNS, ROWS, seed)).collect();
    let expected = [0, 1].map(|bank: usize| {
        let score = |pixels: &Vec<u8>| recipes[bank].score(pixels);
        frames.iter().map(score).collect::<Vec<_>>()
    });
    // A mixture would be seen: the model of one on the maps of the other has a score of its own.
    let mixed = Recipe {
        file: recipes[1].file.clone(),
        preparation: recipes[0].preparation.clone(),
        ..Recipe::two()[0]
    };
    for (number, pixels) in frames.iter().enumerate() {
        let mixed = mixed.score(pixels);
        assert!(expected.iter().all(|of| of[number] != mixed), "{number}");
        assert_ne!(expected[0][number], expected[1][number]);
    }

    let ring = ring(8, BYTES);
    let mut writer = ring.writer().unwrap();
    let Bank {
        backend,
        policy,
        identity,
    } = recipes[0].bank().unwrap();
    let link = LentQueue::<4>::new();
    let mut path = Pipeline::new(ring.reader().unwrap(), backend, policy, link, identity);
    let (judged, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let mut node = Checker {
        recipes: &recipes,
        expected,
        judged: &judged,
        by: [0; 2],
        last: 0,
        swaps_seen: 0,
        wrong: 0,
    };
    let (new, new_out) = sync_channel(1);
    let (old_in, old) = sync_channel(1);

    prove_installed();
    let (produced, counts) = std::thread::scope(|scope| {
        let feeding = scope.spawn(|| {
            let mut number = 0;
            while !done.load(Ordering::Relaxed) {
                let header = header(COLUMNS, ROWS, number + 1).seal();
                match put(
                    &mut writer,
                    &header,
                    &frames[number as usize % frames.len()],
                ) {
                    true => number += 1,
                    false => yield_now(),
                }
            }
            writer.close();
            number
        });
        scope.spawn(|| {
            // However it ends, the others do too.
            let (new, old) = (new, old);
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                control(&recipes, SWAPS, &judged, &new, &old);
            }));
            done.store(true, Ordering::Relaxed);
            ended.unwrap();
        });
        let ((), counts) = count(|| {
            loop {
                if let Ok(bank) = new_out.try_recv() {
                    assert!(old_in.try_send(path.swap(bank)).is_ok());
                }
                if path.step(&mut node).unwrap() == 0 {
                    if path.reader().finished() {
                        break;
                    }
                    yield_now();
                }
                drop(path.link.take());
            }
        });
        (feeding.join().unwrap(), counts)
    });
    assert_eq!(node.wrong, 0);
    assert_eq!(counts, Counts::default(), "on the judging thread");
    assert_eq!(node.swaps_seen, SWAPS);
    assert_eq!(node.by[0] + node.by[1], produced, "no frame is missing");
    let books = path.accounts();
    assert!(books.balance());
    assert_eq!((books.received, books.expected), (produced, produced));
    assert_eq!((books.kept(), books.dropped()), (node.by[0], node.by[1]));
}

/// Judges all of `frames`; the second looks at those that are drawn say that the score is right.
fn judge<'m>(
    path: &mut Pipeline<'m, Owned, LentQueue<'m, 2>>,
    writer: &mut Writer<'_>,
    frames: &[Simulated],
    number: &mut u64,
) -> Vec<Record> {
    let mut node = Collector::default();
    for frame in frames {
        *number += 1;
        let header = FrameHeader {
            frame_number: *number,
            ..frame.as_frame().header
        };
        assert!(put(writer, &header.seal(), &frame.payload));
        path.step(&mut node).unwrap();
        drop(path.link.take());
        let record = node.records.last().unwrap();
        let hit = matches!(record.verdict(), Verdict::KeepHit | Verdict::KeepMaybe);
        path.interlock.looked(record, hit);
    }
    node.records
}

#[test]
fn another_model_has_to_earn_that_it_may_drop() {
    let simulator = Simulator::with_detector(11, Mix::Natural, Detector::CspadTile);
    let frames: Vec<_> = (0..80).map(|index| simulator.frame(index)).collect();
    let [mut recipe, _] = Recipe::two();
    let input = Model::parse(MODEL).unwrap().input();
    let first = Box::leak(Box::new(simulator.frame(0)));
    recipe.preparation = first.preparation(input.size, input.reduce);
    recipe.policy = Policy {
        sampling: Sampling { seed: 1, one_in: 2 },
        ..POLICY
    };
    let bank = || recipe.bank().unwrap();
    let ring = ring(4, frames[0].payload.len());
    let mut writer = ring.writer().unwrap();
    let Bank {
        backend,
        policy,
        identity,
    } = bank();
    let link = LentQueue::<2>::new();
    let mut path = Pipeline::new(ring.reader().unwrap(), backend, policy, link, identity);
    path.guard(Rules {
        max_loss: 50_000,
        window: 100_000,
        strays: 64,
    });
    let mut number = 0;
    let dropped = |records: &[Record]| records.iter().any(|record| !record.verdict().keeps());
    let mut judge = |path: &mut _| judge(path, &mut writer, &frames, &mut number);

    assert!(!dropped(&judge(&mut path)));
    path.interlock.arm().unwrap();
    let records = judge(&mut path);
    assert!(dropped(&records));

    path.swap(bank());
    assert_eq!(path.interlock.state(), Err(Disarmed::Never));
    // What is answered late is of the bank before.
    for record in &records {
        path.interlock.looked(record, true);
    }
    assert_eq!(path.interlock.total().missed.frames, 0);
    assert!(path.interlock.arm().is_err(), "nothing was seen of it yet");
    assert!(!dropped(&judge(&mut path)));
    path.interlock.arm().unwrap();

    // Who knows that the proof holds keeps it.
    let proof = path.interlock.clone();
    path.swap(bank());
    path.interlock = proof;
    assert!(dropped(&judge(&mut path)));
    assert_eq!(path.accounts().received, 4 * frames.len() as u64);
    assert!(path.accounts().balance());
}
