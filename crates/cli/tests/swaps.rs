//! `hitgate run` under load, its model exchanged over and over: every frame is judged by one of the two, whole.
//!
//! `cargo test` makes some swaps, `scripts/swaps.sh` a thousand.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use common::{signal, spawn};
use serde_json::Value;

static MODEL: &[u8] = include_bytes!("../../../models/mobilenet-v1-025-224/model.hgm");
/// Swaps of `cargo test`.
const USUAL: u32 = 20;
/// Frames that the source has, in turn.
const DISTINCT: u64 = 5;
/// Bytes at the end of the records in which there is a whole line.
const TAIL: u64 = 4096;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["swaps", swaps] => swap(swaps.parse().expect("SWAPS is a number")),
        // The harness's own arguments, a filter among them, mean nothing here.
        _ => swap(USUAL),
    }
}

/// Swaps so many times while the source fills the ring as fast as it can.
fn swap(swaps: u32) {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let [ring, model, records] = ["ring", "model.hgm", "records.jsonl"].map(place);
    // The other takes maps of another kind, even.
    let other = hitgate_import::random::file(0.25, 224, 1, 5).unwrap();
    let models = [MODEL, &other];
    put(&model, models[0]);
    let frames = [
        "--distinct",
        &DISTINCT.to_string(),
        "--frames",
        "1000000000",
    ];
    let feed = [
        "feed",
        "--simulate",
        "cspad-2x1",
        "--slots",
        "8",
        "--ring",
        &ring,
    ];
    let feed = spawn(&[&feed[..], &frames].concat());
    let run = [
        "run",
        "--ring",
        &ring,
        "--model",
        &model,
        "--records",
        &records,
    ];
    let mut run = spawn(&run);
    let mut told = BufReader::new(run.stderr.take().unwrap());
    let records = Path::new(&records);
    while last(records).is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    for swap in 1..=swaps {
        put(&model, models[swap as usize % 2]);
        signal(&run, "-HUP");
        let config = goes_on_with(&mut told);
        while last(records).is_none_or(|record| record["config"] != config) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    signal(&run, "-INT");
    let said = run.wait_with_output().unwrap();
    signal(&feed, "-INT");
    feed.wait_with_output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();

    let found = Found::of(records);
    println!(
        "{swaps} swaps, {} frames, {} changes of the bank",
        found.frames, found.changes
    );
    let all = format!("expected {0} = received {0} + lost 0", found.frames);
    assert!(said.contains(&all), "{said}");
    assert_eq!(
        found.changes,
        u64::from(swaps),
        "each is seen in the records"
    );
    assert_eq!(
        found.answers.len() as u64,
        2 * DISTINCT,
        "two banks, each over every frame"
    );
    for (judged, answers) in &found.answers {
        assert_eq!(
            answers.len(),
            1,
            "mixed verdicts of {judged:?}: {answers:?}"
        );
    }
    // Where both said the same a mixture would not be seen.
    let distinct: BTreeSet<_> = found
        .answers
        .iter()
        .map(|((_, frame), answers)| (frame, answers))
        .collect();
    assert_eq!(
        distinct.len() as u64,
        2 * DISTINCT,
        "both say the same of a frame"
    );
}

/// What the records tell.
#[derive(Default)]
struct Found {
    frames: u64,
    /// Times that another model or configuration judges than before.
    changes: u64,
    /// Every answer, by the model and configuration that gave it and the frame.
    answers: BTreeMap<([String; 2], u64), BTreeSet<[String; 5]>>,
}

impl Found {
    /// All records, of which each frame has one, in order.
    fn of(records: &Path) -> Self {
        let mut found = Found::default();
        let mut bank = None;
        for line in BufReader::new(File::open(records).unwrap()).lines() {
            let record: Value = serde_json::from_str(&line.unwrap()).unwrap();
            assert_eq!(record["seq"], found.frames + 1);
            let frame = found.frames % DISTINCT;
            found.frames += 1;
            let judged_by = ["model", "config"].map(|key| record[key].to_string());
            let before = bank.replace(judged_by.clone());
            found.changes += u64::from(before.is_some_and(|before| before != judged_by));
            let answer = ["p_hit", "p_maybe", "p_miss", "class", "verdict"];
            let answer = answer.map(|key| record[key].to_string());
            found
                .answers
                .entry((judged_by, frame))
                .or_default()
                .insert(answer);
        }
        found
    }
}

/// The last whole line of the records so far.
fn last(records: &Path) -> Option<Value> {
    let mut file = File::open(records).ok()?;
    let end = file.metadata().unwrap().len();
    file.seek(SeekFrom::Start(end.saturating_sub(TAIL)))
        .unwrap();
    let mut tail = String::new();
    file.read_to_string(&mut tail).unwrap();
    let whole = &tail[..tail.rfind('\n')?];
    let line = whole.rsplit('\n').next()?;
    serde_json::from_str(line).ok()
}

/// Puts a model in the place of the one before, whole.
fn put(path: &str, model: &[u8]) {
    let draft = format!("{path}.new");
    std::fs::write(&draft, model).unwrap();
    std::fs::rename(draft, path).unwrap();
}

/// The configuration that the run says it goes on with.
fn goes_on_with(told: &mut impl BufRead) -> String {
    let mut line = String::new();
    while !line.contains("judging goes on with") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "the run ended");
        assert!(!line.contains("as before"), "{line}");
    }
    let config = line.split("configuration ").nth(1).unwrap();
    config[..8].into()
}
