//! `hitgate feed` and `hitgate run` as two processes on one ring.

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command};

use hitgate_core::frame::{FrameHeader, HEADER_LEN};
use hitgate_host::{Creation, Ring};
use hitgate_ring::{Layout, PATH_COUNTERS};
use serde_json::Value;

use common::{FEED_200, finish, run_keeping, signal, slots, spawn};

#[test]
fn a_feed_that_nobody_reads_says_what_it_waits_for() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring").display().to_string();
    let mut feed = spawn(&[
        "feed",
        "--simulate=cspad-2x1",
        "--distinct=2",
        "--frames=40",
        "--slots=8",
        "--ring",
        &ring,
    ]);
    let said = BufReader::new(feed.stderr.take().unwrap()).lines();
    let mut said = said.map(Result::unwrap);
    let waits = said.find(|line| line.contains("is ready"));
    let waits = waits.expect("before anybody reads");
    assert!(waits.contains(&ring), "{waits}");
    assert!(waits.contains("waiting for `hitgate run`"), "{waits}");
    signal(&feed, "-INT");
    assert_eq!(feed.wait().unwrap().code(), Some(130));
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

/// The line of what `run` says from which on it judges.
fn judges(told: &mut impl Iterator<Item = String>) {
    assert!(told.any(|line| line.contains("no --keep")));
}

/// A process that is stopped, or swapped out, goes on where it was.
#[test]
fn a_source_that_stands_still_is_not_taken_for_a_dead_one() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring").display().to_string();
    let feed = spawn(&[&FEED_200[..], &["--rate", "100", "--ring", &ring]].concat());
    let mut run = spawn(&["run", "--ring", &ring, "--wait", "60"]);
    let told = BufReader::new(run.stderr.take().unwrap()).lines();
    judges(&mut told.map(Result::unwrap));
    signal(&feed, "-STOP");
    // Two seconds more than a silent producer is granted.
    std::thread::sleep(std::time::Duration::from_secs(7));
    signal(&feed, "-CONT");
    let said = String::from_utf8(finish(run).stdout).unwrap();
    assert!(
        said.contains("expected 200 = received 200 + lost 0"),
        "{said}"
    );
    finish(feed);
}

/// Whoever asks a service to end hears of it, also where nobody reads the books.
#[test]
fn books_that_do_not_balance_are_a_failure_however_the_run_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring");
    let layout = Layout::new(4, HEADER_LEN as u32 + 64, 4).unwrap();
    let ring = Ring::create(&path, &layout, 1, Creation::Exclusive).unwrap();
    let mut reader = ring.reader().unwrap();
    // An earlier filter expected a frame that is nowhere.
    let mut counters = [0; PATH_COUNTERS];
    counters[1] = 1;
    reader.publish(&counters);
    reader.close();
    drop(ring);
    let description = r#"{"modules":[{"columns":8,"rows":4,"pixel_type":"u16"}]}"#;
    std::fs::write(folder.path().join("ring.json"), description).unwrap();
    let mut run = spawn(&["run", "--ring", path.to_str().unwrap()]);
    drop(run.stdout.take());
    let told = BufReader::new(run.stderr.take().unwrap()).lines();
    let mut told = told.map(Result::unwrap);
    judges(&mut told);
    signal(&run, "-TERM");
    let rest: String = told.collect();
    assert_eq!(run.wait().unwrap().code(), Some(1), "{rest}");
    assert!(rest.contains("do not balance"), "{rest}");
}

#[test]
fn a_device_gets_no_description_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring").display().to_string();
    let feed = spawn(&[&FEED_200[..], &["--ring", &ring]].concat());
    let device = folder.path().join("device");
    std::os::unix::fs::symlink("/dev/null", &device).unwrap();
    let device = device.display().to_string();
    finish(spawn(&["run", "--ring", &ring, "--keep", &device]));
    finish(feed);
    assert!(!Path::new(&format!("{device}.json")).exists());
}

#[test]
fn what_an_earlier_run_kept_is_not_replaced_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, kept, records) = (place("ring"), place("kept.slots"), place("records.jsonl"));
    for (taken, free) in [(&kept, &records), (&records, &kept)] {
        std::fs::write(taken, "frames of an earlier run").unwrap();
        let run = [
            "run",
            "--ring",
            &ring,
            "--wait",
            "0",
            "--keep",
            &kept,
            "--records",
            &records,
        ];
        let output = spawn(&run).wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains(taken) && said.contains("--replace"),
            "{said}"
        );
        assert_eq!(
            std::fs::read_to_string(taken).unwrap(),
            "frames of an earlier run"
        );
        assert!(!Path::new(free).exists());
        std::fs::remove_file(taken).unwrap();
    }
    std::fs::write(&kept, "frames of an earlier run").unwrap();
    let feed = spawn(&[&FEED_200[..], &["--ring", &ring]].concat());
    finish(spawn(&[
        "run",
        "--ring",
        &ring,
        "--threshold",
        "0",
        "--keep",
        &kept,
        "--replace",
    ]));
    finish(feed);
    assert_eq!(slots(Path::new(&kept)).len(), 200);
}

#[test]
fn a_run_without_hits_leaves_a_file_of_no_frames() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, kept) = (place("ring"), place("kept.slots"));
    let blank = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/blank_pilatus300k.cbf.gz");
    let feed = spawn(&["feed", blank, "--ring", &ring]);
    finish(spawn(&["run", "--ring", &ring, "--keep", &kept]));
    finish(feed);
    assert_eq!(std::fs::metadata(&kept).unwrap().len(), 0);
    let screened = finish(spawn(&["screen", &kept]));
    assert!(screened.stdout.is_empty());
}

/// Sends the signal of Ctrl-C.
fn interrupt(child: &Child) {
    signal(child, "-INT");
}

/// A service that is asked to end, and does, has not failed. Who asks may ask twice at once, as `timeout` does: the program,
/// and its group.
#[test]
fn a_service_manager_ends_both_sides_with_success() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, kept, records) = (place("ring"), place("kept.slots"), place("records.jsonl"));
    let endless = ["--frames", "1000000", "--rate", "200", "--ring", &ring];
    let feed = spawn(
        &[
            &["feed", "--simulate", "cspad-2x1", "--distinct", "2"],
            &endless[..],
        ]
        .concat(),
    );
    let run = run_keeping(&ring, &kept, &records, &[]);
    while std::fs::metadata(&kept).map_or(0, |kept| kept.len()) == 0 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    for child in [run, feed] {
        signal(&child, "-TERM");
        signal(&child, "-TERM");
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(0), "{said}");
        assert!(said.contains("frames left in the ring"), "{said}");
    }
    let lines = std::fs::read_to_string(&records).unwrap().lines().count();
    assert_eq!(
        slots(Path::new(&kept)).len(),
        lines,
        "what was kept is written"
    );
}

/// Nobody is at the writer's end, as where a device without a driver of its own has not begun.
#[test]
fn a_source_that_sends_nothing_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ring");
    let layout = Layout::new(4, HEADER_LEN as u32 + 64, 4).unwrap();
    Ring::create(&path, &layout, 1, Creation::Exclusive).unwrap();
    let description = r#"{"modules":[{"columns":8,"rows":4,"pixel_type":"u16"}]}"#;
    std::fs::write(folder.path().join("ring.json"), description).unwrap();
    let mut run = spawn(&["run", "--ring", path.to_str().unwrap()]);
    let told = BufReader::new(run.stderr.take().unwrap()).lines();
    let mut told = told.map(Result::unwrap);
    let line = told.find(|line| line.contains("no frame for"));
    let line = line.expect("it says so");
    assert!(
        line.contains("no sign of life") && line.contains("Ctrl-C"),
        "{line}"
    );
    interrupt(&run);
    assert_eq!(run.wait().unwrap().code(), Some(130));
}

/// Each is refused before there is a ring, and leaves nothing behind.
#[test]
fn outputs_that_cannot_be_had_are_refused_at_once_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (kept, nowhere) = (place("kept.slots"), place("no/records.jsonl"));
    let (ring, here) = (place("ring"), place(""));
    let (ring_json, kept_json) = (place("./ring.json"), place("kept.slots.json"));
    let slow = [
        "run",
        "--wait",
        "600",
        "--ring",
        &ring,
        "--keep",
        &kept,
        "--replace",
    ];
    for (more, words) in [
        (["--records", &nowhere], "no/records.jsonl"),
        (["--keep-maps", &nowhere], "no/records.jsonl"),
        (["--records", &kept], "to hold two things"),
        (["--records", &kept_json], "to hold two things"),
        (["--records", &ring], "to hold two things"),
        (["--keep-maps", &ring_json], "to hold two things"),
        (["--keep-maps", &here], "a directory"),
    ] {
        let output = spawn(&[&slow[..], &more].concat())
            .wait_with_output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(words), "{said}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

/// What is found out only once there is a ring: a folder takes no file, and no description can be written.
#[test]
fn a_run_that_does_not_begin_leaves_what_was_there_and_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, kept, records) = (place("ring"), place("kept.slots"), place("records.jsonl"));
    std::fs::write(&records, "records of an earlier run").unwrap();
    std::fs::create_dir(format!("{kept}.json")).unwrap();
    let feed = spawn(&[&FEED_200[..], &["--ring", &ring]].concat());
    let outputs = ["--keep", &kept, "--records", &records, "--replace"];
    let output = spawn(&[&["run", "--ring", &ring], &outputs[..]].concat());
    let said = String::from_utf8(output.wait_with_output().unwrap().stderr).unwrap();
    assert!(said.contains("kept.slots.json"), "{said}");
    assert!(!Path::new(&kept).exists());
    assert_eq!(
        std::fs::read_to_string(&records).unwrap(),
        "records of an earlier run"
    );
    finish(spawn(&["run", "--ring", &ring]));
    finish(feed);
}

#[test]
fn an_interrupt_ends_both_sides_in_good_order() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, kept, records) = (place("ring"), place("kept.slots"), place("records.jsonl"));
    let endless = ["--distinct", "4", "--frames", "1000000", "--slots", "8"];
    let feed = spawn(
        &[
            &["feed", "--simulate", "cspad-2x1", "--ring", &ring],
            &endless[..],
        ]
        .concat(),
    );
    let run = run_keeping(&ring, &kept, &records, &[]);
    while std::fs::metadata(&kept).map_or(0, |kept| kept.len()) < 1_000_000 {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    interrupt(&run);
    let run = run.wait_with_output().unwrap();
    assert_eq!(run.status.code(), Some(130));
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(
        said.contains("accounting") && said.contains("sent"),
        "{said}"
    );
    let lines = std::fs::read_to_string(&records).unwrap().lines().count();
    assert!(lines > 0);
    assert_eq!(slots(Path::new(&kept)).len(), lines, "every frame was kept");

    interrupt(&feed);
    let feed = feed.wait_with_output().unwrap();
    assert_eq!(feed.status.code(), Some(130));
    assert!(String::from_utf8(feed.stdout).unwrap().contains("fed "));
    assert!(!Path::new(&ring).exists() && !Path::new(&format!("{ring}.json")).exists());
}

#[test]
fn a_feed_that_waits_and_a_run_that_keeps_nothing_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring").display().to_string();
    let few = ["feed", "--simulate", "cspad-2x1", "--frames", "3"];
    let mut feed = spawn(&[&few[..], &["--distinct", "2", "--ring", &ring]].concat());
    let mut said = String::new();
    let mut lines = BufReader::new(feed.stderr.take().unwrap());
    while !said.contains("3 wait in ") {
        assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
    }
    let run = spawn(&["run", "--threshold", "0", "--ring", &ring])
        .wait_with_output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    assert!(text(run.stderr).contains("no --keep: kept frames go nowhere"));
    assert!(text(run.stdout).contains(", nowhere: there was no --keep"));
    assert!(feed.wait().unwrap().success());
}

#[test]
fn a_description_of_another_ring_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring").display().to_string();
    let description = format!("{ring}.json");
    // What a killed feed of another detector may have left.
    let old = r#"{"session":1,"modules":[{"columns":4,"rows":4,"pixel_type":"u16"}]}"#;
    std::fs::write(&description, old).unwrap();
    let run = spawn(&["run", "--ring", &ring, "--wait", "60"]);
    std::thread::sleep(std::time::Duration::from_millis(200));
    let feed = spawn(&[&FEED_200[..], &["--ring", &ring]].concat());
    let said = String::from_utf8(finish(run).stdout).unwrap();
    assert!(
        said.contains("received 200") && said.contains("0 not judged"),
        "{said}"
    );
    finish(feed);
}

#[test]
fn a_ring_of_another_make_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring");
    std::fs::write(&ring, vec![7; 100_000]).unwrap();
    let description = r#"{"modules":[{"columns":4,"rows":4,"pixel_type":"u16"}]}"#;
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

/// A stack of frames, each of one count everywhere, its place in the stack and one more.
fn stack(path: &Path, frames: u16) {
    const SIDE: usize = 64;
    let header = format!(
        "{{'descr': '<u2', 'fortran_order': False, 'shape': ({frames}, {SIDE}, {SIDE}), }}"
    );
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:<117}\n").bytes());
    for count in 1..=frames {
        bytes.extend(count.to_le_bytes().repeat(SIDE * SIDE));
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_device_that_waits_for_nobody_loses_by_name_what_it_laps_and_mixes_no_frames() {
    const STACK: u16 = 16;
    const FRAMES: u64 = 30_000;
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, kept, records) = (place("ring"), place("kept.slots"), place("records.jsonl"));
    let frames = folder.path().join("frames.npy");
    stack(&frames, STACK);
    // A filter at the scalar level judges some hundred frames a second.
    let run = run_keeping(&ring, &kept, &records, &["--isa", "scalar", "--wait", "60"]);
    let count = FRAMES.to_string();
    let feed = spawn(&[
        "feed",
        frames.to_str().unwrap(),
        "--frames",
        &count,
        "--rate",
        "10000",
        "--free-running",
        "--slots",
        "8",
        "--ring",
        &ring,
    ]);
    let said = String::from_utf8(finish(run).stdout).unwrap();
    let fed = String::from_utf8(finish(feed).stdout).unwrap();
    assert!(fed.contains(&format!("{FRAMES} frames, 0 stalls")), "{fed}");

    let text = std::fs::read_to_string(&records).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (lost, judged): (Vec<Value>, Vec<Value>) =
        lines.partition(|line| line["verdict"] == "lost");
    let lapped: u64 = lost
        .iter()
        .map(|line| line["count"].as_u64().unwrap())
        .sum();
    let received = judged.len() as u64;
    assert!(lapped > 0 && received > 0, "{said}");
    assert!(
        said.contains(&format!(
            "expected {FRAMES} = received {received} + lost 0 + lapped {lapped};"
        )),
        "{said}"
    );
    // Each frame has its line or lies in one range.
    let mut next = 1;
    for line in text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
    {
        let number = |name: &str| line[name].as_u64();
        assert_eq!(number("seq"), Some(next), "{line}");
        if line["verdict"] == "lost" {
            assert_eq!(line["cause"], "lapped");
            // Before the first frame nobody knows what the device numbers.
            let first = (next > 1).then_some(next);
            assert_eq!(
                (number("first"), number("module")),
                (first, first.map(|_| 0)),
                "{line}"
            );
            next += number("count").unwrap();
        } else {
            assert_eq!(number("frame_number"), Some(next));
            next += 1;
        }
    }
    assert_eq!(next, FRAMES + 1);

    let bytes = std::fs::read(&kept).unwrap();
    let lengths = slots(Path::new(&kept));
    assert_eq!(lengths.len() as u64, received);
    let mut rest = &bytes[..];
    for len in lengths {
        let (slot, behind) = rest.split_at(len);
        rest = behind;
        let number = FrameHeader::from_bytes(slot.first_chunk().unwrap()).frame_number;
        let count = (number - 1) % u64::from(STACK) + 1;
        let pixels = slot[HEADER_LEN..].chunks_exact(2);
        let mut counts = pixels.map(|pixel| u16::from_le_bytes([pixel[0], pixel[1]]));
        assert!(
            counts.all(|pixel| u64::from(pixel) == count),
            "frame {number}"
        );
    }
}

#[test]
fn a_free_running_feed_needs_a_rate() {
    let feed = spawn(&["feed", "--simulate", "cspad-2x1", "--free-running"]);
    let output = feed.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && said.contains("--rate"),
        "{said}"
    );
}
