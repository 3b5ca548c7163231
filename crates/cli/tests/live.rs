//! `hitgate feed` and `hitgate run` as two processes on one ring.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use hitgate_core::frame::{FrameHeader, HEADER_LEN};
use serde_json::Value;

fn spawn(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_hitgate"))
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs")
}

fn finish(child: Child) -> Output {
    let output = child.wait_with_output().expect("the program ends");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Lengths of the slots in a file of kept frames.
fn slots(path: &Path) -> Vec<usize> {
    let bytes = std::fs::read(path).expect("kept frames");
    let mut lengths = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let header =
            FrameHeader::from_bytes(bytes[at..].first_chunk::<HEADER_LEN>().expect("a header"));
        lengths.push(header.slot_len());
        at += header.slot_len();
    }
    assert_eq!(at, bytes.len(), "the last slot is whole");
    lengths
}

#[test]
fn two_processes_and_every_frame_accounted_for() {
    const FRAMES: usize = 1500;
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, kept, records) = (place("ring"), place("kept.slots"), place("records.jsonl"));
    let frames = FRAMES.to_string();
    let feed = spawn(&[
        "feed",
        "--simulate",
        "cspad-2x1",
        "--distinct",
        "16",
        "--frames",
        &frames,
        "--slots",
        "8",
        "--ring",
        &ring,
    ]);
    let run = spawn(&[
        "run",
        "--ring",
        &ring,
        "--keep",
        &kept,
        "--records",
        &records,
        "--wait",
        "60",
    ]);
    let said = String::from_utf8(finish(run).stdout).unwrap();
    finish(feed);

    assert!(
        said.contains(&format!("expected {FRAMES} = received {FRAMES} + lost 0")),
        "{said}"
    );
    assert!(!Path::new(&ring).exists(), "the ring is removed at the end");

    let text = std::fs::read_to_string(&records).unwrap();
    let records: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut seqs: Vec<u64> = records
        .iter()
        .map(|record| record["seq"].as_u64().unwrap())
        .collect();
    seqs.sort_unstable();
    assert_eq!(
        seqs,
        (1..=FRAMES as u64).collect::<Vec<_>>(),
        "one record a frame"
    );
    let keeps = records
        .iter()
        .filter(|record| record["verdict"] == "keep")
        .count();
    assert_eq!(
        slots(Path::new(&kept)).len(),
        keeps,
        "one slot a kept frame"
    );

    // What was kept is a file of frames like any other.
    let screen = Command::new(env!("CARGO_BIN_EXE_hitgate"))
        .args(["screen", &kept])
        .output()
        .unwrap();
    assert!(screen.status.success());
    assert_eq!(
        String::from_utf8(screen.stdout).unwrap().lines().count(),
        keeps
    );
}

#[test]
fn the_demo_judges_every_frame_and_balances() {
    for seed in ["42", "7", "8"] {
        let demo = spawn(&["demo", "--frames", "60", "--rate", "200", "--seed", seed]);
        let said = String::from_utf8(finish(demo).stdout).unwrap();
        assert!(
            said.contains("expected 60 = received 60 + lost 0"),
            "{said}"
        );
    }
}

#[test]
fn a_slow_source_is_not_taken_for_a_dead_one() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring").display().to_string();
    // Seven seconds from frame to frame, two more than a silent producer is granted.
    let slow = [
        "--distinct",
        "2",
        "--frames",
        "2",
        "--rate",
        "0.142",
        "--ring",
        &ring,
    ];
    let feed = spawn(&[&["feed", "--simulate", "cspad-2x1"], &slow[..]].concat());
    let said = String::from_utf8(finish(spawn(&["run", "--ring", &ring])).stdout).unwrap();
    assert!(said.contains("expected 2 = received 2 + lost 0"), "{said}");
    finish(feed);
}

#[test]
fn a_full_disk_is_told_and_what_is_written_stays_whole() {
    if !Path::new("/dev/full").exists() {
        println!("not run: there is no /dev/full here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring").display().to_string();
    let feed = spawn(&[
        "feed",
        "--simulate",
        "cspad-2x1",
        "--distinct",
        "4",
        "--frames",
        "200",
        "--slots",
        "8",
        "--ring",
        &ring,
    ]);
    let run = spawn(&[
        "run",
        "--ring",
        &ring,
        "--keep",
        "/dev/full",
        "--threshold",
        "0",
        "--wait",
        "60",
    ]);
    let output = run.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("/dev/full") && !said.contains("panicked"),
        "{said}"
    );
    finish(feed);
    let _ = std::fs::remove_file("/dev/full.json");
}

#[test]
fn a_ring_of_another_make_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring");
    std::fs::write(&ring, vec![7; 100_000]).unwrap();
    let description = r#"[{"columns":4,"rows":4,"pixel_type":"u16"}]"#;
    std::fs::write(folder.path().join("ring.json"), description).unwrap();
    let output = spawn(&["run", "--ring", ring.to_str().unwrap()])
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("ring") && !said.contains("panicked"),
        "{said}"
    );
}

#[test]
fn a_killed_feed_is_told_of_and_its_ring_can_be_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring").display().to_string();
    let feed = [
        "feed",
        "--simulate",
        "cspad-2x1",
        "--distinct",
        "2",
        "--frames",
        "50",
        "--slots",
        "4",
        "--ring",
        &ring,
    ];
    let mut killed = spawn(&feed);
    while !Path::new(&format!("{ring}.json")).exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();

    let run = spawn(&["run", "--ring", &ring]).wait_with_output().unwrap();
    let (said, why) = (
        String::from_utf8_lossy(&run.stdout),
        String::from_utf8_lossy(&run.stderr),
    );
    assert!(
        !run.status.success() && why.contains("no sign of life"),
        "{why}"
    );
    assert!(
        said.contains("accounting"),
        "the books are told however the run ends: {said}"
    );

    let again = spawn(&feed).wait_with_output().unwrap();
    assert!(
        !again.status.success() && String::from_utf8_lossy(&again.stderr).contains("--replace")
    );
    let number = || std::fs::metadata(&ring).expect("the ring is there").ino();
    let old = number();
    let feed = spawn(&[&feed[..], &["--replace"]].concat());
    while number() == old {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    finish(spawn(&["run", "--ring", &ring]));
    finish(feed);
}
