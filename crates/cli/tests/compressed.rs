//! Frames that come compressed, through `feed`, `run` and all that reads what was kept: the same as their pixels.

mod common;

use std::path::Path;

use assert_cmd::Command;
use common::{complaint, lines, spawn};
use hitgate_core::frame::{Compression, FrameHeader, HEADER_LEN};
use serde_json::Value;

const FRAMES: usize = 24;

fn hitgate(args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("hitgate"));
    command.args(args);
    command
}

fn output(args: &[&str]) -> Vec<Value> {
    lines(&hitgate(args).assert().success().get_output().stdout)
}

/// Where the outputs of a run are.
struct Outputs {
    kept: String,
    maps: String,
    records: Vec<Value>,
    said: String,
}

/// Feeds simulated frames, or `files`, to a run; `edit` may change what RING.json says before the run reads it.
fn fed(folder: &Path, name: &str, feed: &[&str], run: &[&str], edit: fn(&mut String)) -> Outputs {
    let place = |what: &str| folder.join(format!("{name}.{what}")).display().to_string();
    let (ring, kept, maps) = (place("ring"), place("slots"), place("maps"));
    let records = place("jsonl");
    // The ring lives until its frames are judged.
    let feeding = spawn(&[&["feed", "--ring", &ring], feed].concat());
    let description = place("ring.json");
    while !Path::new(&description).exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let mut text = std::fs::read_to_string(&description).unwrap();
    edit(&mut text);
    std::fs::write(&description, text).unwrap();
    let outputs = ["--keep", &kept, "--keep-maps", &maps, "--records", &records];
    let ran = hitgate(&[&["run", "--ring", &ring], &outputs[..], run].concat())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{complaints}");
    assert!(feeding.wait_with_output().unwrap().status.success());
    let records = lines(&std::fs::read(&records).unwrap());
    assert_eq!(records.len(), FRAMES, "{said}");
    Outputs {
        kept,
        maps,
        records,
        said,
    }
}

const SIMULATED: [&str; 6] = ["--simulate", "cspad-2x1", "--distinct", "24", "--seed", "5"];

/// What was decided, without what the run itself adds.
fn decided(records: &[Value]) -> Vec<[Value; 4]> {
    let of = |record: &Value| {
        ["frame_number", "verdict", "class", "reason"].map(|key| record[key].clone())
    };
    records.iter().map(of).collect()
}

/// Compressed frames of a file of kept slots.
fn compressed(kept: &str) -> usize {
    let bytes = std::fs::read(kept).unwrap();
    let (mut at, mut count) = (0, 0);
    while let Some(header) = bytes[at..].first_chunk::<HEADER_LEN>() {
        let header = FrameHeader::from_bytes(header);
        count += usize::from(header.compression() == Ok(Some(Compression::BitshuffleLz4)));
        at += header.slot_len();
    }
    assert_eq!(at, bytes.len());
    count
}

#[test]
fn a_run_on_compressed_frames_is_a_run_on_their_pixels() {
    let folder = tempfile::tempdir().unwrap();
    let plain = fed(folder.path(), "plain", &SIMULATED, &[], |_| ());
    let feed = [&SIMULATED[..], &["--compress"]].concat();
    let packed = fed(folder.path(), "packed", &feed, &[], |_| ());
    assert_eq!(decided(&packed.records), decided(&plain.records));
    assert!(packed.said.contains("  decode ") && !plain.said.contains("  decode "));
    let keeps = |records: &[Value]| records.iter().filter(|r| r["verdict"] == "keep").count();
    let kept = keeps(&packed.records);
    assert!((1..FRAMES).contains(&kept), "{kept}");

    // Kept frames leave as they came, dropped ones leave the same maps.
    assert_eq!(
        (compressed(&packed.kept), compressed(&plain.kept)),
        (kept, 0)
    );
    let judged = |maps: &str| decided(&output(&["rejudge", maps, "--json"]));
    assert_eq!(judged(&packed.maps), judged(&plain.maps));

    // What was kept is judged, counted and played again.
    let screened = |kept: &str| decided(&output(&["screen", kept]));
    assert_eq!(screened(&packed.kept), screened(&plain.kept));
    let spots = |kept: &str| {
        let counted = output(&["spots", kept]);
        counted
            .iter()
            .map(|line| line["spots"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(spots(&packed.kept), spots(&plain.kept));
    assert_eq!(spots(&packed.kept).len(), kept);

    let ring = folder.path().join("none.ring").display().to_string();
    let refused = |with: &[&str]| {
        let feed = ["feed", &packed.kept, "--ring", &ring];
        complaint(&mut hitgate(&[&feed, with].concat()))
    };
    let twice = refused(&["--compress"]);
    assert!(twice.contains("leave out --compress"), "{twice}");
    let card = refused(&["--emulate", "aes"]);
    assert!(card.contains("without --emulate"), "{card}");
}

#[test]
fn what_nobody_announced_is_kept_and_its_spots_are_not_held_to_be_none() {
    let folder = tempfile::tempdir().unwrap();
    let feed = [&SIMULATED[..], &["--compress"]].concat();
    let hide = |text: &mut String| {
        assert!(text.contains("\"compressed\":true"), "{text}");
        *text = text.replace("\"compressed\":true,", "");
    };
    let told = fed(folder.path(), "hidden", &feed, &["--sample", "2"], hide);
    for record in &told.records {
        assert_eq!(
            (&record["verdict"], &record["reason"]),
            (&"keep".into(), &"fault".into())
        );
    }
    assert_eq!(compressed(&told.kept), FRAMES);
    let spots = hitgate(&["spots", &told.kept]).output().unwrap();
    assert!(!spots.status.success() && spots.stdout.is_empty());
    let said = String::from_utf8(spots.stderr).unwrap();
    assert!(said.contains("compressed"), "{said}");

    // The other way round: pixels where they may come compressed.
    let announce = |text: &mut String| {
        *text = text.replace("\"pixel_type\":", "\"compressed\":true,\"pixel_type\":");
    };
    let plain = fed(folder.path(), "plain", &SIMULATED, &[], |_| ());
    let announced = fed(folder.path(), "announced", &SIMULATED, &[], announce);
    assert_eq!(decided(&announced.records), decided(&plain.records));
}
