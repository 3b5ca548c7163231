//! A writer and a reader in processes of their own, each killed with SIGKILL at random instants and
//! started again, and a judge that holds what is left behind against what the source sent.
//!
//! Under credit nothing may be lost but the frame that a writer dies with. A free-running device loses what it
//! laps while nobody reads, and each such frame has to be in the count of lapped ones instead of having a record. The readers
//! themselves see to it that none is given up before the device has reached it. Of the copies of kept frames that a
//! killed reader took along, only the last that it settled are forgiven, and no more than it may have held.
//!
//! `cargo test` runs one piece of each; `scripts/soak.sh` runs millions of frames. Which side dies, after how
//! many frames and how many microseconds later, follows from the seed; the instruction that it
//! dies at does not.

mod evidence;
mod sides;

use evidence::{Entry, Evidence, Findings, Resumed, missed};
use hitgate_host::{Creation, Ring};
use hitgate_ring::{End, Layout, Policy, Seq};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::os::unix::fs::FileExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Slots of a ring and the frames that it lives for, in turn. It has as many records as frames, so that all
/// can be looked at in the end; with few slots both sides wait for each other at each frame, and
/// fewer frames are enough.
const PIECES: [(u32, u64); 4] = [(64, 100_000), (7, 3_000), (500, 100_000), (3, 3_000)];
/// What `cargo test` runs.
const USUAL: [Soak; 2] = [
    Soak {
        policy: Policy::Credit,
        frames: 206_000,
        kills: 40,
        seed: 5,
    },
    Soak {
        policy: Policy::FreeRunning,
        frames: 106_000,
        kills: 20,
        seed: 5,
    },
];
const STRIDE: u32 = 192;
/// A piece takes seconds; a machine that is busy with something else may take minutes for it.
const HANGS: Duration = Duration::from_secs(1800);

#[derive(Clone, Copy)]
struct Soak {
    policy: Policy,
    frames: u64,
    kills: u32,
    seed: u64,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["write", place, frames] => sides::write(Path::new(place), frames.parse().unwrap()),
        ["read", place, judge] => sides::read(Path::new(place), judge.parse().unwrap()),
        ["soak", policy, frames, kills, seed] => run(Soak {
            policy: match policy {
                "credit" => Policy::Credit,
                "free-running" => Policy::FreeRunning,
                other => panic!("{other} is no policy: credit or free-running"),
            },
            frames: frames.parse().expect("FRAMES is a number"),
            kills: kills.parse().expect("KILLS is a number"),
            seed: seed.parse().expect("SEED is a number"),
        }),
        // The harness's own arguments, a filter among them, mean nothing here.
        _ => USUAL.into_iter().for_each(run),
    }
}

fn run(soak: Soak) {
    the_judge_would_notice(soak.seed);
    let mut rng = ChaCha8Rng::seed_from_u64(soak.seed);
    let mut all = Totals::default();
    let pieces = pieces(soak.frames);
    for (i, (slots, frames)) in pieces.iter().enumerate() {
        // Kills that a piece came too late for fall to those after it.
        let missing = soak.kills.saturating_sub(all.kills());
        let kills = missing.div_ceil((pieces.len() - i) as u32);
        all.add(&play(soak.policy, *slots, *frames, kills, &mut rng, |_| ()));
    }
    println!("soak, {:?}, seed {}: {all}", soak.policy, soak.seed);
    assert!(
        all.kills() >= soak.kills,
        "only {} of {} kills",
        all.kills(),
        soak.kills
    );
    assert!(all.findings.are_none(), "seed {}: {all}", soak.seed);
    assert!(
        all.lost <= u64::from(all.writer_kills),
        "more is lost than the frame that a writer dies with: {all}"
    );
    // Of a device that waits for nobody each reader has held every lap against how far the device was.
    if soak.policy == Policy::Credit {
        assert_eq!(all.lapped, 0, "{all}");
    }
}

/// The rings that `frames` frames pass through: slots, and frames.
fn pieces(frames: u64) -> Vec<(u32, u64)> {
    let mut left = frames;
    let piece = |(slots, most): (u32, u64)| {
        let frames = left.min(most);
        left -= frames;
        (frames > 0).then_some((slots, frames.max(u64::from(slots))))
    };
    PIECES.into_iter().cycle().map_while(piece).collect()
}

/// Everything that a soak counts.
#[derive(Default)]
struct Totals {
    frames: u64,
    completed: u64,
    lost: u64,
    lapped: u64,
    /// Those of them that readers found to be gone when they had read for the first time.
    lapped_in_downtime: u64,
    /// Frames completed since the readers before those were last seen.
    made_in_downtime: u64,
    sent_again: u64,
    writer_kills: u32,
    reader_kills: u32,
    findings: Findings,
}

impl Totals {
    fn kills(&self) -> u32 {
        self.writer_kills + self.reader_kills
    }

    fn add(&mut self, piece: &Totals) {
        self.frames += piece.frames;
        self.completed += piece.completed;
        self.lost += piece.lost;
        self.lapped += piece.lapped;
        self.lapped_in_downtime += piece.lapped_in_downtime;
        self.made_in_downtime += piece.made_in_downtime;
        self.sent_again += piece.sent_again;
        self.writer_kills += piece.writer_kills;
        self.reader_kills += piece.reader_kills;
        self.findings.add(&piece.findings);
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} frames, writer killed {}, reader killed {}; {} completed, {} lost at the source, \
             {} lapped, {} of them of {} that came while nobody read, {} sent again by number; {}",
            self.frames,
            self.writer_kills,
            self.reader_kills,
            self.completed,
            self.lost,
            self.lapped,
            self.lapped_in_downtime,
            self.made_in_downtime,
            self.sent_again,
            self.findings
        )
    }
}

/// One ring from its first frame to its last. `spoil` may damage its file before the judge looks.
fn play(
    policy: Policy,
    slots: u32,
    frames: u64,
    kills: u32,
    rng: &mut ChaCha8Rng,
    spoil: impl FnOnce(&Place),
) -> Totals {
    let place = Place::new(policy, slots, frames);
    let ring = Ring::open(&place.ring()).unwrap();
    let monitor = ring.monitor().unwrap();
    let mut sides = Sides::start(&place, frames);
    let mut totals = Totals::default();
    // What a reader had taken when it was last seen, for each that was killed.
    let mut seen = Vec::new();
    for after in targets(kills, frames, rng) {
        let since = Instant::now();
        while monitor.source().is_none_or(|it| it.produced < after) {
            sides.check_on();
            assert!(
                since.elapsed() < HANGS,
                "one side waits for the other and never gets on"
            );
            std::thread::sleep(Duration::from_micros(20));
        }
        std::thread::sleep(Duration::from_micros(rng.random_range(0..300)));
        let taken = monitor.consumer().map_or(0, |it| it.taken);
        let readers = totals.reader_kills;
        match rng.random_range(0..5) {
            0 | 1 => totals.writer_kills += sides.kill(End::Writer),
            2 | 3 => totals.reader_kills += sides.kill(End::Reader),
            _ => {
                totals.writer_kills += sides.kill(End::Writer);
                totals.reader_kills += sides.kill(End::Reader);
            }
        }
        if totals.reader_kills > readers {
            seen.push(taken);
        }
        sides.start_again();
    }
    sides.finish();
    spoil(&place);
    let copies = match policy {
        Policy::Credit => 0,
        Policy::FreeRunning => place.1.lend_limit(),
    };
    let evidence = Evidence::gather(&place.0, &ring, totals.reader_kills, copies as usize);
    totals.frames = frames;
    totals.completed = evidence.produced;
    totals.lost = evidence.lost;
    totals.lapped = evidence.lapped;
    // A reader that was killed before it had read adds to the downtime.
    let mut since = None;
    for (taken, reader) in seen.into_iter().zip(2..) {
        let taken = *since.get_or_insert(taken);
        if let Some(resumed) = Resumed::of(place.0.path(), reader) {
            totals.lapped_in_downtime += resumed.lost;
            totals.made_in_downtime += resumed.produced - taken;
            since = None;
        }
    }
    totals.sent_again = evidence.sent_again();
    totals.findings = evidence.judge();
    totals
}

/// Frames completed when a side is killed, in order; the last tenth is left for all to recover.
fn targets(kills: u32, frames: u64, rng: &mut ChaCha8Rng) -> Vec<u64> {
    let mut targets: Vec<u64> = (0..kills)
        .map(|_| rng.random_range(0..frames * 9 / 10))
        .collect();
    targets.sort_unstable();
    targets
}

/// The folder that a piece's ring and journals lie in.
struct Place(tempfile::TempDir, Layout);

impl Place {
    fn new(policy: Policy, slots: u32, frames: u64) -> Place {
        let layout = Layout::new(slots, STRIDE, frames as u32).unwrap();
        let layout = layout.with_policy(policy);
        let place = Place(tempfile::tempdir().unwrap(), layout);
        Ring::create(&place.ring(), &layout, 1, Creation::Exclusive).unwrap();
        place
    }

    fn ring(&self) -> PathBuf {
        sides::ring(self.0.path())
    }

    /// Writes over the record of `position`, from `offset` on.
    fn put_record(&self, position: u64, offset: u64, bytes: &[u8]) {
        let at = self.1.records_offset() as u64 + position * 64 + offset;
        let file = std::fs::OpenOptions::new().write(true).open(self.ring());
        file.unwrap().write_all_at(bytes, at).unwrap();
    }
}

/// The two processes.
struct Sides {
    place: PathBuf,
    frames: u64,
    writer: Side,
    reader: Side,
    readers: u32,
}

enum Side {
    Works(Child),
    Died,
    Ended,
}

impl Sides {
    fn start(place: &Place, frames: u64) -> Sides {
        let mut sides = Sides {
            place: place.0.path().to_owned(),
            frames,
            writer: Side::Died,
            reader: Side::Died,
            readers: 0,
        };
        sides.start_again();
        sides
    }

    /// Starts those that died.
    fn start_again(&mut self) {
        if matches!(self.writer, Side::Died) {
            self.writer = self.spawn("write", self.frames);
        }
        if matches!(self.reader, Side::Died) {
            self.readers += 1;
            self.reader = self.spawn("read", u64::from(self.readers));
        }
    }

    fn spawn(&self, verb: &str, number: u64) -> Side {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(verb).arg(&self.place).arg(number.to_string());
        Side::Works(command.spawn().unwrap())
    }

    /// Kills a side, unless it has ended; says how many died, 1 or 0.
    fn kill(&mut self, end: End) -> u32 {
        let side = self.side(end);
        let Side::Works(child) = side else { return 0 };
        child.kill().unwrap();
        let status = child.wait().unwrap();
        let killed = status.signal() == Some(9);
        assert!(killed || status.success(), "{end:?}: {status}");
        *side = if killed { Side::Died } else { Side::Ended };
        u32::from(killed)
    }

    /// Panics if a side died of itself, which nothing here makes it do.
    fn check_on(&mut self) {
        for end in [End::Writer, End::Reader] {
            let side = self.side(end);
            let Side::Works(child) = side else { continue };
            let Some(status) = child.try_wait().unwrap() else {
                continue;
            };
            assert!(status.success(), "{end:?}: {status}");
            *side = Side::Ended;
        }
    }

    fn finish(&mut self) {
        for end in [End::Writer, End::Reader] {
            if let Side::Works(child) = self.side(end) {
                let status = wait(child);
                assert!(status.success(), "{end:?}: {status}");
            }
        }
    }

    fn side(&mut self, end: End) -> &mut Side {
        match end {
            End::Writer => &mut self.writer,
            End::Reader => &mut self.reader,
        }
    }
}

impl Drop for Sides {
    fn drop(&mut self) {
        for end in [End::Writer, End::Reader] {
            if let Side::Works(child) = self.side(end) {
                // It may have ended already.
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

/// Waits for the process to end, with patience that has an end too.
fn wait(child: &mut Child) -> ExitStatus {
    let since = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        assert!(
            since.elapsed() < HANGS,
            "one side waits for the other and never gets on"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Every kind of finding, made on purpose: in the ring's file where it can be, else in a journal.
fn the_judge_would_notice(seed: u64) {
    let frames = 500;
    let play_under = |policy, spoil: &dyn Fn(&Place)| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        play(policy, 7, frames, 0, &mut rng, spoil).findings
    };
    let play = |spoil: &dyn Fn(&Place)| play_under(Policy::Credit, spoil);
    let found = play(&|_| ());
    assert!(found.are_none(), "{found}");
    // The newest frame has a record, whatever was lapped.
    let found = play_under(Policy::FreeRunning, &|place| {
        place.put_record(frames - 1, 0, &[0; 8]);
    });
    assert_eq!((found.unaccounted, found.duplicated), (1, 0), "{found}");
    let found = play(&|place| place.put_record(20, 0, &[0; 8]));
    assert_eq!((found.unaccounted, found.duplicated), (1, 0), "{found}");
    // Frame 31 with the record of frame 30: one is there twice, the other not at all.
    let thirty = sides::record_of(30, 1);
    let found = play(&|place| place.put_record(30, 8, &thirty[8..]));
    assert_eq!((found.unaccounted, found.duplicated), (1, 1), "{found}");
    // A record that another judge wrote over.
    let second = sides::record_of(41, 2);
    let found = play(&|place| place.put_record(40, 8, &second[8..]));
    assert_eq!((found.unaccounted, found.duplicated), (0, 1), "{found}");

    // Reader 1 was killed, reader 2 was not; each sent its fifth frame.
    let of = |judge: u32, number: u32| Entry {
        seq: Seq::from_position(u64::from(number) - 1),
        number,
        judge,
    };
    let sent = [of(1, 5), of(2, 15)];
    let unsent = |of: &[Entry]| missed(of, &sent, 1, 2);
    assert_eq!(unsent(&[of(1, 6), of(1, 7)]), 0, "copies that it held");
    assert_eq!(unsent(&[of(1, 6), of(1, 7), of(1, 8)]), 1, "it has two");
    assert_eq!(
        unsent(&[of(1, 4), of(1, 6)]),
        1,
        "an older one had its turn"
    );
    assert_eq!(unsent(&[of(2, 16)]), 1, "a reader that lived");

    let journal = |place: &Place, name| place.0.path().join(name);
    let found = play(&|place| Entry::append_for_test(&journal(place, "judged.1"), 51, 2));
    assert_eq!((found.unaccounted, found.duplicated), (0, 1), "{found}");
    let found = play(&|place| std::fs::write(journal(place, "sent.1"), []).unwrap());
    assert_eq!(found.unsent, frames / sides::KEEP_EVERY, "{found}");
    let found = play(&|place| {
        let emitted = journal(place, "emitted");
        std::fs::write(emitted, (frames + 2).to_le_bytes()).unwrap();
    });
    assert_eq!((found.unaccounted, found.duplicated), (2, 0), "{found}");
}
