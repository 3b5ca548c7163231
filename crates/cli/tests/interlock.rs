//! `hitgate run --max-loss`: nothing is dropped until it is shown that little is lost.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Plays 3,000 frames into a ring and filters them; what the run said, and on stderr.
fn run(arguments: &[&str]) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring").display().to_string();
    let hitgate = env!("CARGO_BIN_EXE_hitgate");
    let feed = ["feed", "--simulate", "cspad-2x1", "--distinct", "24"];
    let mut feed = Command::new(hitgate)
        .args(feed)
        .args(["--frames", "3000", "--slots", "16", "--ring", &ring])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let run = Command::new(hitgate)
        .args(["run", "--ring", &ring, "--sample", "2"])
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(feed.wait().unwrap().success());
    (text(&run.stdout), text(&run.stderr))
}

#[test]
fn a_run_arms_itself_once_few_hits_can_be_lost() {
    let (said, told) = run(&["--max-loss", "30"]);
    assert!(
        told.contains("armed: misses are dropped from now on"),
        "{told}"
    );
    assert!(said.contains("interlock  armed"), "{said}");
    assert!(
        !said.contains("dropped    0 ") && said.contains(" shadow"),
        "{said}"
    );
}

#[test]
fn nothing_is_dropped_while_too_much_may_be_lost() {
    let (said, _) = run(&["--max-loss", "0.01"]);
    assert!(
        said.contains("dropped    0 ") && said.contains(" shadow"),
        "{said}"
    );
    assert!(
        said.contains("interlock  in shadow, one more lost hit"),
        "{said}"
    );
}

#[test]
fn a_filter_that_misses_hits_never_drops() {
    let (said, told) = run(&["--max-loss", "30", "--threshold", "1"]);
    assert!(said.contains("dropped    0 "), "{said}");
    assert!(!told.contains("armed"), "{told}");
}

#[test]
fn a_bound_needs_second_looks() {
    let run = Command::new(env!("CARGO_BIN_EXE_hitgate"))
        .args(["run", "--max-loss", "1", "--wait", "0"])
        .output()
        .unwrap();
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(
        !run.status.success() && said.contains("--sample N"),
        "{said}"
    );
}

#[test]
fn another_model_begins_in_shadow() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, model) = (place("ring"), place("model.hgm"));
    let embedded = include_bytes!("../../../models/mobilenet-v1-025-224/model.hgm");
    std::fs::write(&model, embedded).unwrap();
    let start = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_hitgate"))
            .args(arguments)
            .args(["--ring", &ring])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };
    let source = ["--distinct", "24", "--frames", "10000000", "--slots", "16"];
    let mut feed = start(&[&["feed", "--simulate", "cspad-2x1"], &source[..]].concat());
    let guarded = ["--sample", "2", "--max-loss", "30"];
    let mut run = start(&[&["run", "--model", &model], &guarded[..]].concat());
    let told = BufReader::new(run.stderr.take().unwrap());
    let mut told = told.lines().map(Result::unwrap);
    let signal = |name: &str| {
        let kill = Command::new("kill")
            .args([name, &run.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    };

    assert!(told.any(|line| line.contains(" armed: misses are dropped")));
    let other = hitgate_import::random::file(0.25, 224, 1, 5).unwrap();
    std::fs::write(&model, other).unwrap();
    signal("-HUP");
    let after = told.by_ref().filter(|line| !line.contains("waiting"));
    // Two threads tell of it, in either order.
    let mut two: Vec<String> = after.take(2).collect();
    two.sort_unstable();
    assert!(two[0].contains("disarmed, nothing is dropped"), "{two:?}");
    assert!(two[1].contains("until it is armed again"), "{two:?}");
    signal("-INT");
    run.wait().unwrap();
    feed.kill().unwrap();
    feed.wait().unwrap();
}
