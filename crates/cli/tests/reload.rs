//! `hitgate run` and SIGHUP: another model, another mask, and no frame lost or judged by half of each.

mod common;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;

use common::spawn;

static MODEL: &[u8] = include_bytes!("../../../models/mobilenet-v1-025-224/model.hgm");
/// Frames that the source has, in turn.
const DISTINCT: u64 = 5;

fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let kill = Command::new("kill").args([name, &id]).status();
    assert!(kill.unwrap().success());
}

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
    // Asks, and has the line that says what came of it.
    let mut ask = || {
        signal(&run, "-HUP");
        let mut line = String::new();
        while !line.contains("as before") && !line.contains("goes on") {
            line.clear();
            assert!(told.read_line(&mut line).unwrap() > 0, "the run ended");
        }
        line
    };

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
