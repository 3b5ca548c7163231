//! `hitgate run` and SIGHUP: another model, another mask, and no frame lost or judged by half of each.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;

use common::{npy, signal, spawn};

static MODEL: &[u8] = include_bytes!("../../../models/mobilenet-v1-025-224/model.hgm");
/// Frames that the source has, in turn.
const DISTINCT: u64 = 5;

fn lines(records: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(records).unwrap_or_default();
    // The last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |line: &str| serde_json::from_str(line).unwrap();
    whole.lines().map(line).collect()
}

/// Waits until twenty more frames are judged.
fn wait_for_frames(records: &Path) {
    let before = lines(records).len();
    while lines(records).len() < before + 20 {
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Asks to read again, and has the line that says what came of it.
fn ask(run: &Child, told: &mut impl BufRead) -> String {
    signal(run, "-HUP");
    let mut line = String::new();
    while !line.contains("as before") && !line.contains("goes on") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "the run ended");
    }
    line
}

#[test]
fn a_hangup_swaps_what_is_sound_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let [ring, model, kept, records] =
        ["ring", "model.hgm", "kept.slots", "records.jsonl"].map(place);
    let described = format!("{ring}.json");
    std::fs::write(&model, MODEL).unwrap();
    let distinct = DISTINCT.to_string();
    let feed = spawn(&[
        "feed",
        "--simulate",
        "cspad-2x1",
        "--distinct",
        &distinct,
        "--frames",
        "10000000",
        "--slots",
        "8",
        "--compress",
        "--ring",
        &ring,
    ]);
    let mut run = spawn(&[
        "run",
        "--ring",
        &ring,
        "--model",
        &model,
        "--keep",
        &kept,
        "--records",
        &records,
    ]);
    let mut told = BufReader::new(run.stderr.take().unwrap());
    let records = Path::new(&records);
    wait_for_frames(records);
    let mut ask = || ask(&run, &mut told);

    assert!(ask().contains("model and modules are as before"));
    for (file, why) in [
        (&MODEL[..MODEL.len() - 1], "bytes"),
        (
            &[&MODEL[..9_000], &[0xFF], &MODEL[9_001..]].concat(),
            "damaged",
        ),
        (b"no model", "not"),
    ] {
        std::fs::write(&model, file).unwrap();
        let said = ask();
        assert!(
            said.contains("goes on as before: ") && said.contains(why),
            "{said}"
        );
    }
    wait_for_frames(records);

    // Of another input, even: its frames are prepared as it asks.
    let other = hitgate_import::random::file(0.25, 224, 1, 5).unwrap();
    std::fs::write(&model, &other).unwrap();
    let said = ask();
    let crc = format!("{:08x}", crc32fast::hash(&other));
    assert!(
        said.contains("goes on with model") && said.contains(&crc),
        "{said}"
    );
    wait_for_frames(records);

    let mut description: Value =
        serde_json::from_slice(&std::fs::read(&described).unwrap()).unwrap();
    let mut describe = |key: &str, value: Value| {
        let before = description["modules"][0][key].take();
        description["modules"][0][key] = value;
        std::fs::write(&described, description.to_string()).unwrap();
        description["modules"][0][key] = before;
    };
    describe("rows", 7.into());
    let said = ask();
    assert!(
        said.contains("as before: module 0 has frames of") && said.contains(" x 7"),
        "{said}"
    );
    describe("compressed", false.into());
    assert!(ask().contains("as before: module 0 has compressed frames"));
    std::fs::remove_file(&described).unwrap();
    assert!(ask().contains("as before: cannot read"));
    describe("excluded", serde_json::json!([[0, 20_000]]));
    assert!(ask().contains("goes on with model"));
    wait_for_frames(records);
    let of_kept = std::fs::read_to_string(format!("{kept}.json")).unwrap();
    assert!(of_kept.contains("[[0,20000]]"), "{of_kept}");

    signal(&run, "-INT");
    let ended = run.wait_with_output().unwrap();
    signal(&feed, "-INT");
    feed.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    let said = String::from_utf8(ended.stdout).unwrap();

    // Every frame once, by three banks one after another, each of which says the same of the same frame.
    let records = lines(records);
    assert!(
        said.contains(&format!("received {} + lost 0", records.len())),
        "{said}"
    );
    let mut banks: Vec<[&Value; 2]> = records
        .iter()
        .map(|r| [&r["model"], &r["config"]])
        .collect();
    banks.dedup();
    assert_eq!(banks.len(), 3, "{banks:?}");
    assert_eq!(banks[1][0], banks[2][0]);
    let mut scores = BTreeMap::new();
    for (number, record) in (1..).zip(&records) {
        assert_eq!(record["seq"], number);
        let bank = record["config"].to_string();
        let score = ["p_hit", "p_maybe", "p_miss"].map(|p| record[p].to_string());
        let known = scores
            .entry((bank, (number - 1) % DISTINCT))
            .or_insert(score.clone());
        assert_eq!(*known, score, "frame {number}");
    }
    assert_eq!(scores.len(), 3 * DISTINCT as usize);
}

/// Pixels along a side of a frame of raw words.
const SIDE: usize = 64;
const ADU_PER_PHOTON: &str = "4,-2,-0.5";

/// Pedestals of three stages, all alike.
fn pedestals(folder: &Path, adu: [f32; 3], [columns, rows]: [usize; 2]) -> String {
    let write = |(stage, adu): (usize, f32)| {
        let path = folder.join(format!("G{stage}.npy"));
        let map = (0..columns * rows).map(|_| adu.to_le_bytes().to_vec());
        npy(&path, "<f4", &format!("{rows}, {columns}"), map);
        path.display().to_string()
    };
    let paths: Vec<String> = (0..).zip(adu).map(write).collect();
    paths.join(",")
}

/// What `screen` says of frames of raw words.
fn screened(words: &str, pedestals: &str) -> Vec<[Value; 3]> {
    let screen = Command::new(env!("CARGO_BIN_EXE_hitgate"))
        .args(["screen", words, "--pedestal", pedestals])
        .args(["--adu-per-photon", ADU_PER_PHOTON])
        .output()
        .unwrap();
    assert!(screen.status.success());
    common::lines(&screen.stdout).iter().map(scores).collect()
}

fn scores(line: &Value) -> [Value; 3] {
    ["p_hit", "p_maybe", "p_miss"].map(|p| line[p].clone())
}

#[test]
fn raw_words_are_judged_as_screen_judges_them_and_other_pedestals_are_another_bank() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let [ring, words, kept, records] =
        ["ring", "raw.npy", "kept.slots", "records.jsonl"].map(place);
    // Photons on a slope with more and more bright patches; each pixel in one of three stages.
    let word = |frame: usize, i: usize| {
        let spot = i % 401 < 3 && i / 401 < 4 * frame;
        let photons = (4 + i / 512 + i * 37 % 5 + if spot { 300 } else { 0 }) as u16;
        match i % 30 {
            1 => 0b01 << 14 | (14_000 - 2 * photons),
            2 => 0b11 << 14 | (15_000 - photons / 2),
            _ => 1000 + 4 * photons,
        }
    };
    let all = (0..DISTINCT as usize).flat_map(|frame| (0..SIDE * SIDE).map(move |i| (frame, i)));
    let bytes = all.map(|(frame, i)| word(frame, i).to_le_bytes().to_vec());
    let shape = format!("{DISTINCT}, {SIDE}, {SIDE}");
    npy(Path::new(&words), "<u2", &shape, bytes);
    let right = [1000.0, 14_000.0, 15_000.0];
    let maps = pedestals(folder.path(), right, [SIDE, SIDE]);
    let before = screened(&words, &maps);

    let slow = ["--rate", "200", "--frames", "10000000", "--slots", "8"];
    let feed = spawn(&[&["feed", &words, "--raw", "--ring", &ring], &slow[..]].concat());
    let run = ["run", "--ring", &ring, "--threshold", "0", "--keep", &kept];
    let raw = ["--pedestal", &maps, "--adu-per-photon", ADU_PER_PHOTON];
    let said = complaint(&run);
    assert!(
        said.contains("module 0: frames are raw words") && said.contains("--pedestal"),
        "{said}"
    );
    pedestals(folder.path(), right, [SIDE, SIDE - 1]);
    let unlike =
        format!("G0.npy holds pedestals of {SIDE} x 63 pixels, and frames are {SIDE} x {SIDE} u16");
    let said = complaint(&[&run[..], &raw].concat());
    assert!(said.contains(&unlike), "{said}");

    pedestals(folder.path(), right, [SIDE, SIDE]);
    let mut run = spawn(&[&run[..], &raw, &["--records", &records]].concat());
    let mut told = BufReader::new(run.stderr.take().unwrap());
    let records = Path::new(&records);
    wait_for_frames(records);
    let mut ask = || ask(&run, &mut told);
    let said = ask();
    assert!(
        said.contains("model, modules and pedestals are as before"),
        "{said}"
    );
    pedestals(folder.path(), right, [SIDE, SIDE - 1]);
    let said = ask();
    assert!(
        said.contains("goes on as before: ") && said.contains(&unlike),
        "{said}"
    );
    std::fs::remove_file(folder.path().join("G1.npy")).unwrap();
    assert!(ask().contains("G1.npy"));
    wait_for_frames(records);
    pedestals(folder.path(), [900.0, 14_100.0, 15_100.0], [SIDE, SIDE]);
    let said = ask();
    assert!(said.contains("goes on with model"), "{said}");
    wait_for_frames(records);
    let after = screened(&words, &maps);
    assert_ne!(before, after);

    signal(&run, "-INT");
    assert_eq!(run.wait_with_output().unwrap().status.code(), Some(130));
    signal(&feed, "-INT");
    feed.wait_with_output().unwrap();
    let records = lines(records);
    let mut banks: Vec<&Value> = records.iter().map(|record| &record["config"]).collect();
    banks.dedup();
    assert_eq!(banks.len(), 2, "{banks:?}");
    for (number, record) in (0..).zip(&records) {
        let expected = if record["config"] == *banks[0] {
            &before
        } else {
            &after
        };
        assert_eq!(
            scores(record),
            expected[number % DISTINCT as usize],
            "frame {number}"
        );
    }

    // What is kept of raw words is raw words.
    assert_eq!(screened(&kept, &maps).len(), records.len());
    assert!(complaint(&["screen", &kept]).contains("raw words"));
}

/// What a command that has to fail says.
fn complaint(args: &[&str]) -> String {
    let output = spawn(args).wait_with_output().unwrap();
    assert!(!output.status.success(), "{args:?} should fail");
    String::from_utf8(output.stderr).unwrap()
}
