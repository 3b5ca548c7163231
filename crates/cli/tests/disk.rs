//! Disks, pipes and terminals that take no more of what a run writes.

mod common;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::OFlags;
use serde_json::Value;

use common::{FEED_200, finish, number_before, numbers, run_keeping, slots, spawn};

/// A limit on the size of files stands for the disk: writing beyond fails, as on a full one.
fn run_on_a_small_disk(args: &[&str]) -> (Option<i32>, String, String) {
    let run = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_hitgate"))
        .args(["run", "--threshold", "0", "--wait", "60"])
        .args(args)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (books, said) = (text(run.stdout), text(run.stderr));
    assert!(!said.contains("panicked"), "{said}");
    (run.status.code(), books, said)
}

#[test]
fn who_reads_no_more_of_what_a_run_says_changes_neither_its_work_nor_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let run = |name: &str, out: Stdio, args: &[&str]| {
        let ring = place(name);
        let feed = spawn(&[&FEED_200[..], &["--ring", &ring]].concat());
        let run = Command::new(env!("CARGO_BIN_EXE_hitgate"))
            .args(["run", "--wait", "60", "--ring", &ring])
            .args(args)
            .stdout(out)
            .stderr(full())
            .status();
        (run.unwrap().code(), feed)
    };
    // The status says that frames stay, whoever listens.
    let (code, mut feed) = run(
        "a",
        full().into(),
        &["--threshold", "0", "--keep", "/dev/full"],
    );
    assert_eq!(code, Some(74));
    feed.kill().unwrap();
    feed.wait().unwrap();
    // Armed or not is said by the thread that judges.
    let watched = ["--max-loss", "50", "--loss-window", "1000", "--sample", "2"];
    let (code, mut feed) = run("b", Stdio::null(), &watched);
    let ended = code == Some(0);
    if !ended {
        feed.kill().unwrap();
    }
    assert!(feed.wait().unwrap().success() && ended, "{code:?}");
}

/// What `inspect` says of a ring.
fn inspected(ring: &str) -> Value {
    let inspect = finish(spawn(&["inspect", ring, "--json"]));
    serde_json::from_slice(&inspect.stdout).unwrap()
}

#[test]
fn a_full_disk_ends_the_run_and_whoever_goes_on_with_the_ring_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, kept, rest) = (place("ring"), place("kept.slots"), place("rest.slots"));
    let feed = spawn(&[&FEED_200[..], &["--ring", &ring]].concat());
    let (code, books, said) = run_on_a_small_disk(&["--ring", &ring, "--keep", &kept]);
    assert_eq!(code, Some(74), "{said}");
    assert!(
        said.contains(&kept) && said.contains("the run ended there"),
        "{said}"
    );
    assert!(!books.contains("lost(link)"), "{books}");
    let written = slots(Path::new(&kept)).len();
    let staying = number_before(&said, " kept frames stay in the ring");
    let state = inspected(&ring);
    let text = finish(spawn(&["inspect", &ring])).stdout;
    let left = format!("{staying} slots of judged ones for the next filter to send");
    assert!(String::from_utf8(text).unwrap().contains(&left));
    assert_eq!(state["received"], written + staying, "{said}");
    assert!(
        written > 0 && staying > 0 && written + staying < 200,
        "{said}"
    );
    assert_eq!(state["in_flight"]["slots_out"], staying);
    assert_eq!(
        (&state["balance"], &state["filter"]["end"]["state"]),
        (&true.into(), &"closed".into())
    );

    let run = ["run", "--threshold", "0", "--ring", &ring, "--keep", &rest];
    let books = String::from_utf8(finish(spawn(&run)).stdout).unwrap();
    finish(feed);
    assert!(
        books.contains("expected 200 = received 200 + lost 0"),
        "{books}"
    );
    assert!(!books.contains("lost(link)"), "{books}");
    assert_eq!(
        number_before(&books, " frames of other runs"),
        written + staying
    );
    let numbers = [kept, rest].map(|file| numbers(Path::new(&file))).concat();
    assert_eq!(
        numbers,
        (1..=200).collect::<Vec<_>>(),
        "each once, in order"
    );
}

#[test]
fn a_full_disk_ends_the_run_of_a_device_that_waits_for_nobody_and_its_copies_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, kept) = (place("ring"), place("kept.slots"));
    let free = ["--free-running", "--rate", "300", "--ring", &ring];
    let feed = spawn(&[&FEED_200[..], &free].concat());
    let (code, books, said) = run_on_a_small_disk(&["--ring", &ring, "--keep", &kept]);
    assert_eq!(code, Some(74), "{said}");
    assert!(!said.contains("stay in the ring"), "{said}");
    let lost = lost_by_the_link(&books);
    let received = number_before(&books, " + lost 0");
    assert!(0 < lost && received < 200, "{books}");
    assert_eq!(slots(Path::new(&kept)).len() + lost, received, "{books}");
    finish(spawn(&["run", "--ring", &ring]));
    finish(feed);
}

/// Kept frames of all classes that the link lost, as the books say.
fn lost_by_the_link(books: &str) -> usize {
    let classes = books.split("lost(link) ").nth(1).expect("frames are lost");
    ["hit", "maybe", "miss", "not judged"]
        .iter()
        .zip(classes.split(", "))
        .map(|(class, part)| number_before(part, &format!(" {class}")))
        .sum()
}

/// Everything is judged and waits in the link's memory when the disk breaks.
#[test]
fn a_disk_that_breaks_after_the_last_frame_leaves_nothing_out_of_the_books() {
    const FRAMES: usize = 40;
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let [ring, kept, records] = ["ring", "kept.slots", "records.jsonl"].map(place);
    // A pipe that nobody empties takes less than a frame; then its reader goes.
    assert!(
        Command::new("mkfifo")
            .arg(&kept)
            .status()
            .unwrap()
            .success()
    );
    let reader = File::options().read(true).write(true).open(&kept).unwrap();
    let frames = FRAMES.to_string();
    let fed = ["--distinct", "4", "--slots", "8", "--frames", &frames];
    let feed = spawn(
        &[
            &["feed", "--simulate", "cspad-2x1", "--ring", &ring],
            &fed[..],
        ]
        .concat(),
    );
    let run = run_keeping(&ring, &kept, &records, &["--buffer", "64"]);
    // Its slots are back: the link has all of them.
    finish(feed);
    drop(reader);
    let run = run.wait_with_output().unwrap();
    let (books, said) = (
        String::from_utf8(run.stdout).unwrap(),
        String::from_utf8(run.stderr).unwrap(),
    );
    assert_eq!(run.status.code(), Some(74), "{said}");
    assert!(
        said.contains(&format!(
            "{FRAMES} kept frames that the link had taken are lost"
        )) && said.contains(&kept),
        "{said}"
    );
    assert!(books.contains("received 40 = kept 40"), "{books}");
    assert_eq!(lost_by_the_link(&books), FRAMES, "{books}");
    let text = std::fs::read_to_string(&records).unwrap();
    let (lost, judged): (Vec<Value>, Vec<Value>) = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .partition(|line| line["verdict"] == "lost");
    let numbers = |lines: &[Value]| {
        lines
            .iter()
            .map(|line| line["seq"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!((judged.len(), numbers(&lost)), (FRAMES, numbers(&judged)));
    assert!(lost.iter().all(|line| line["cause"] == "link"), "{text}");
}

/// A pipe whose reader takes nothing, and that reader.
fn pipe_that_nobody_empties(path: &str) -> File {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let mut reader = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits() as i32)
        .open(path)
        .unwrap();
    while reader.write(&[0; 4096]).is_ok() {}
    reader
}

/// Whether the process has this file open.
fn has_open(child: &Child, path: &str) -> bool {
    let files = std::fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap();
    files
        .flatten()
        .any(|file| std::fs::read_link(file.path()).is_ok_and(|to| to == Path::new(path)))
}

#[test]
fn each_line_that_a_pipe_of_records_does_not_take_is_counted_and_the_run_fails() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let [ring, kept, records] = ["ring", "kept.slots", "records.jsonl"].map(place);
    let reader = pipe_that_nobody_empties(&records);
    let feed = spawn(&[&FEED_200[..], &["--ring", &ring]].concat());
    let run = run_keeping(&ring, &kept, &records, &[]);
    finish(feed);
    drop(reader);
    let run = run.wait_with_output().unwrap();
    let (books, said) = (
        String::from_utf8(run.stdout).unwrap(),
        String::from_utf8(run.stderr).unwrap(),
    );
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write the records"), "{said}");
    let left_out = number_before(&books, " have no line in the file of records");
    assert_eq!((left_out, slots(Path::new(&kept)).len()), (200, 200));
}

#[test]
fn a_closed_pipe_that_is_not_standard_output_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("lines").display().to_string();
    let reader = pipe_that_nobody_empties(&lines);
    let frame = concat!(env!("CARGO_MANIFEST_DIR"), "/demo/blank_pilatus300k.cbf.gz");
    let screen = spawn(&["screen", "-o", &lines, frame]);
    while !has_open(&screen, &lines) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    drop(reader);
    let screen = screen.wait_with_output().unwrap();
    let said = String::from_utf8(screen.stderr).unwrap();
    assert_eq!(screen.status.code(), Some(1), "{said}");
    assert!(said.contains("roken pipe"), "{said}");
}

/// What is found out once the files of an earlier run are replaced is no reason not to begin.
#[test]
fn a_disk_that_takes_no_maps_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, kept) = (place("ring"), place("kept.slots"));
    std::fs::write(&kept, "frames of an earlier run").unwrap();
    let feed = spawn(&[&FEED_200[..], &["--ring", &ring]].concat());
    let outputs = ["--keep", &kept, "--keep-maps", "/dev/full", "--replace"];
    let run = ["run", "--threshold", "0", "--ring", &ring, "--wait", "60"];
    let run = spawn(&[&run[..], &outputs].concat())
        .wait_with_output()
        .unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(
        said.contains("judging goes on, but cannot write maps of dropped frames"),
        "{said}"
    );
    assert_eq!(slots(Path::new(&kept)).len(), 200);
    finish(feed);
}
