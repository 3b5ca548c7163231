//! What whoever runs a live system sees of it, and keeps of it.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{said, signal};
use serde_json::Value;
use tempfile::TempDir;

fn hitgate(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitgate"));
    command
        .args(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What a command that has to succeed says.
fn answer(args: &[&str]) -> String {
    let output = hitgate(args).output().unwrap();
    let (out, err) = said(&output);
    assert!(output.status.success(), "{args:?}: {err}");
    out
}

/// What a command that has to fail says.
fn complaint(args: &[&str]) -> String {
    let output = hitgate(args).output().unwrap();
    assert!(!output.status.success(), "{args:?} should fail");
    said(&output).1
}

fn place(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// A detector that plays `frames` frames into a ring of eight slots.
fn feed(ring: &str, frames: &str) -> Child {
    let feed = ["feed", "--simulate", "cspad-2x1", "--distinct", "24"];
    let ring_of_eight = ["--frames", frames, "--slots", "8", "--ring", ring];
    hitgate(&[&feed[..], &ring_of_eight].concat())
        .spawn()
        .unwrap()
}

fn end(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let (out, err) = said(&output);
    assert!(output.status.success(), "{err}");
    out
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What `inspect --json` says of a ring, once `is` holds of it.
fn inspected(ring: &str, is: impl Fn(&Value) -> bool) -> Value {
    loop {
        let output = hitgate(&["inspect", ring, "--json"]).output().unwrap();
        if output.status.success() {
            let state = json(&said(&output).0);
            if is(&state) {
                return state;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_ring_tells_who_uses_it_what_is_in_flight_and_that_its_books_balance() {
    let folder = tempfile::tempdir().unwrap();
    let ring = place(&folder, "ring");
    let mut feed = feed(&ring, "1000");
    let full = inspected(&ring, |state| state["source"]["stalls"] != 0);
    assert_eq!(full["source"]["produced"], 8);
    assert_eq!(full["source"]["end"]["process"], feed.id());
    assert_eq!(full["filter"]["end"]["state"], "absent");
    assert_eq!(full["in_flight"]["to_judge"], 8);
    assert_eq!(
        (&full["received"], &full["balance"]),
        (&0.into(), &true.into())
    );

    feed.kill().unwrap();
    feed.wait().unwrap();
    let dead = inspected(&ring, |_| true);
    assert_eq!(dead["source"]["end"]["state"], "open");
    assert_eq!(dead["source"]["end"]["process"], Value::Null);
    let text = answer(&["inspect", &ring]);
    assert!(
        text.contains("no live process has this end") && text.contains("8 frames to judge"),
        "{text}"
    );
    assert!(text.contains("books      they balance"), "{text}");

    // The filter goes by what the dead detector finished, and its books stay in the ring.
    let run = hitgate(&["run", "--ring", &ring]).output().unwrap();
    assert!(said(&run).1.contains("no sign of life"));
    let judged = inspected(&ring, |_| true);
    assert_eq!(
        (&judged["received"], &judged["expected"]),
        (&8.into(), &8.into())
    );
    let sum = |side: &str| -> u64 {
        let reasons = judged[side].as_object().unwrap().values();
        reasons.map(|frames| frames.as_u64().unwrap()).sum()
    };
    assert_eq!(sum("kept") + sum("dropped"), 8);
    assert_eq!(judged["in_flight"]["to_judge"], 0);
    assert_eq!(judged["filter"]["end"]["state"], "closed");
}

#[test]
fn books_that_were_tampered_with_do_not_balance() {
    let folder = tempfile::tempdir().unwrap();
    let ring = place(&folder, "ring");
    let mut feed = feed(&ring, "8");
    inspected(&ring, |state| state["source"]["produced"] == 8);
    feed.kill().unwrap();
    feed.wait().unwrap();
    let mut bytes = std::fs::read(&ring).unwrap();
    // The count of expected frames, in both copies of the filter's counters.
    for copy in [640, 896] {
        bytes[copy + 8] = 5;
    }
    std::fs::write(&ring, bytes).unwrap();
    let said = complaint(&["inspect", &ring]);
    assert!(said.contains("do not balance: expected"), "{said}");
}

#[test]
fn only_a_ring_has_json_and_a_missing_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = complaint(&["inspect", &place(&folder, "ring"), "--json"]);
    assert!(missing.contains("no such ring"), "{missing}");
    for gone in [missing, complaint(&["inspect", &place(&folder, "ring")])] {
        assert!(gone.contains("removed when that ends"), "{gone}");
    }
    let model = place(&folder, "model.hgm");
    std::fs::write(&model, vec![0; 8192]).unwrap();
    let other = complaint(&["inspect", &model, "--json"]);
    assert!(other.contains("not a hitgate ring"), "{other}");
}

/// What the endpoint answers to a question.
fn asked(address: &str, question: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(question.as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// Every sample of a text in Prometheus's format, which is checked on the way.
fn samples(text: &str) -> Vec<(String, f64)> {
    let (mut samples, mut family, mut helped) = (Vec::new(), (String::new(), ""), "");
    let mut families = std::collections::HashSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(!help.is_empty());
            helped = name;
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert_eq!(name, helped, "HELP before TYPE");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
            assert!(families.insert(name.to_string()), "{name} comes once");
            family = (name.to_string(), kind);
        } else {
            let (name, value) = line.rsplit_once(' ').expect("a value");
            let bare = name.split('{').next().unwrap();
            assert_eq!(bare, family.0, "TYPE before its samples");
            assert!(
                bare.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{line}"
            );
            let value: f64 = value.parse().expect("a number");
            assert!(family.1 == "gauge" || value >= 0.0, "{line}");
            samples.push((name.to_string(), value));
        }
    }
    samples
}

#[test]
fn prometheus_reads_the_books_of_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let ring = place(&folder, "ring");
    let feed = feed(&ring, "1000000");
    let mut run = hitgate(&["run", "--ring", &ring, "--metrics", "127.0.0.1:0"])
        .args(["--sample", "3", "--max-loss", "30"])
        .spawn()
        .unwrap();
    let mut told = BufReader::new(run.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("metrics at http://") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "no address");
    }
    let address = line
        .split("http://")
        .nth(1)
        .unwrap()
        .split('/')
        .next()
        .unwrap();
    // Somebody who says nothing keeps nobody else from asking.
    let _idle = TcpStream::connect(address).unwrap();
    let ask = || {
        let answer = asked(address, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, text) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("text/plain; version=0.0.4"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", text.len())));
        samples(text)
    };
    let get = |samples: &[(String, f64)], name: &str| -> f64 {
        let name = format!("hitgate_{name}");
        let values = samples.iter().filter(|(found, _)| {
            *found == name
                || found
                    .strip_prefix(&name)
                    .is_some_and(|rest| rest.starts_with('{'))
        });
        let values: Vec<_> = values.map(|(_, value)| value).copied().collect();
        assert!(!values.is_empty(), "{name} is missing");
        values.iter().sum()
    };
    let first = loop {
        let samples = ask();
        if get(&samples, "frames_received_total") > 200.0 {
            break samples;
        }
    };
    let received = get(&first, "frames_received_total");
    assert_eq!(
        get(&first, "frames_expected_total") + get(&first, "frames_repeated_total"),
        received + get(&first, "frames_lost_total")
    );
    assert_eq!(
        get(&first, "frames_kept_total") + get(&first, "frames_dropped_total"),
        received
    );
    assert_eq!(get(&first, "frames_judged_total"), received);
    assert_eq!(get(&first, "books_balance"), 1.0);
    assert_eq!(get(&first, "ring_slots"), 8.0);
    assert_eq!(get(&first, "build_info"), 1.0);
    assert!(get(&first, "recent_latency_seconds{quantile=\"0.5\"}") > 0.0);
    assert!(get(&first, "heartbeat_age_seconds{end=\"filter\"}") < 60.0);
    assert!((0.0..=1.0).contains(&get(&first, "hit_loss_ratio_upper_bound")));
    for name in [
        "interlock_armed",
        "hits_missed_estimate",
        "second_looks_total",
    ] {
        get(&first, name);
    }
    let second = ask();
    for (name, value) in first.iter().filter(|(name, _)| name.contains("_total")) {
        let later = second.iter().find(|(found, _)| found == name);
        assert!(later.unwrap().1 >= *value, "{name} only grows");
    }

    let elsewhere = asked(address, "GET / HTTP/1.1\r\n\r\n");
    assert!(
        elsewhere.starts_with("HTTP/1.1 404") && elsewhere.contains("/metrics"),
        "{elsewhere}"
    );
    let put = asked(address, "PUT /metrics HTTP/1.1\r\n\r\n");
    assert!(put.starts_with("HTTP/1.1 405"), "{put}");
    for mut child in [run, feed] {
        let kill = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}

#[test]
fn an_address_that_cannot_be_had_is_told_before_anything_is_judged() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    for (address, words) in [
        (&taken[..], "choose another port"),
        ("here", "an address and a port"),
        ("127.0.0.1:123456", "an address and a port"),
        ("127.0.0.1", "an address and a port"),
    ] {
        let said = complaint(&["run", "--wait", "0", "--metrics", address]);
        assert!(said.contains(words) && said.contains(address), "{said}");
    }
}

/// A run over 100 frames that keeps the maps of those that it drops, and what it said.
fn dropped(folder: &TempDir, args: &[&str]) -> (String, String) {
    let (ring, maps) = (place(folder, "ring"), place(folder, "dropped.maps"));
    let feed = feed(&ring, "100");
    let run = ["run", "--ring", &ring, "--keep-maps", &maps];
    let said = answer(&[&run[..], args].concat());
    end(feed);
    (maps, said)
}

fn number_before(text: &str, words: &str) -> usize {
    let before = text.split(words).next().unwrap();
    before.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn what_was_dropped_is_judged_again_and_the_same_model_says_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let records = place(&folder, "records.jsonl");
    let (maps, said) = dropped(&folder, &["--records", &records]);
    let count = number_before(&said, " of dropped frames written, 0 left out");
    assert!(
        said.contains(&format!("dropped    {count} ")) && count > 20,
        "{said}"
    );

    // Every level gives the recorded answer, and the recorded lines are those of the maps.
    let dropped: Vec<Value> = std::fs::read_to_string(&records)
        .unwrap()
        .lines()
        .map(json)
        .filter(|record| record["verdict"] == "drop")
        .collect();
    for level in [&[][..], &["--isa", "scalar"]] {
        let lines = answer(&[&["rejudge", &maps, "--json"][..], level].concat());
        let lines: Vec<Value> = lines.lines().map(json).collect();
        assert_eq!((lines.len(), dropped.len()), (count, count));
        for (line, record) in lines.iter().zip(&dropped) {
            assert_eq!(line["old"], line["new"]);
            for key in ["seq", "frame_number", "pulse_key", "module"] {
                assert_eq!(line[key], record[key]);
            }
            for key in ["p_hit", "p_maybe", "p_miss", "class", "reason", "model"] {
                assert_eq!(line["old"][key], record[key]);
            }
        }
    }
    let table = answer(&["rejudge", &maps]);
    assert!(
        table.contains(&format!(
            "{count} of {count} answers are the same to the bit"
        )),
        "{table}"
    );
    let shown = answer(&["inspect", &maps]);
    assert!(
        shown.contains(&format!("{count} dropped frames")),
        "{shown}"
    );
}

#[test]
fn another_threshold_or_model_keeps_what_was_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let (maps, _) = dropped(&folder, &["--threshold", "1"]);
    let row = |args: &[&str]| -> Vec<f64> {
        let table = answer(&[&["rejudge", &maps][..], args].concat());
        let row = table.lines().find(|line| line.starts_with("  miss"));
        let words = row.unwrap().split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    };
    let (all, model) = (row(&["--threshold", "0"]), row(&[]));
    assert_eq!(all[0], all[1], "all are kept");
    assert!(0.0 < model[1] && model[1] < all[1], "{model:?}");
    assert_eq!(
        model[0],
        model[3..].iter().sum::<f64>(),
        "every frame has a class"
    );

    // One bit of the input's description makes maps of another preparation.
    let other = place(&folder, "other.hgm");
    let mut bytes = std::fs::read(MODEL).unwrap();
    edit_input(&mut bytes);
    std::fs::write(&other, bytes).unwrap();
    let said = complaint(&["rejudge", &maps, "--model", &other]);
    assert!(
        said.contains("3.40 Å") && said.contains("3.00 Å") && said.contains("same preparation"),
        "{said}"
    );
}

const MODEL: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../models/mobilenet-v1-025-224/model.hgm"
);

/// A water ring at 3.0 Å, in a model file that is sound again.
fn edit_input(model: &mut [u8]) {
    use hitgate_core::net::format;
    assert!(model.starts_with(&format::MAGIC));
    let entry = model[64..]
        .chunks(16)
        .find(|entry| entry[..2] == [1, 0])
        .unwrap();
    let at = u32::from_le_bytes(*entry[4..].first_chunk().unwrap()) as usize;
    assert_eq!(model[at + 12..at + 16], 3.4f32.to_le_bytes());
    model[at + 12..at + 16].copy_from_slice(&3.0f32.to_le_bytes());
    let crc = crc32fast::hash(&model[16..]);
    model[12..16].copy_from_slice(&crc.to_le_bytes());
}

#[test]
fn files_that_are_no_maps_and_damaged_maps_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let missing = place(&folder, "missing.maps");
    assert!(complaint(&["rejudge", &missing]).contains("missing.maps: no such file"));
    let other = place(&folder, "records.jsonl");
    for text in ["", "{}"] {
        std::fs::write(&other, text).unwrap();
        let said = complaint(&["rejudge", &other]);
        assert!(said.contains("records.jsonl is no file of maps"), "{said}");
    }

    let (maps, _) = dropped(&folder, &["--threshold", "1"]);
    let whole = std::fs::read(&maps).unwrap();
    let judged = 100 - 1;
    let mut damaged = whole.clone();
    damaged[64 + 64 + 1000] ^= 1;
    for (bytes, words) in [
        (&damaged[..], "map 0 is damaged"),
        (&whole[..whole.len() - 1], "cut short"),
    ] {
        std::fs::write(&maps, bytes).unwrap();
        let said = complaint(&["rejudge", &maps]);
        assert!(
            said.contains(words) && said.contains("dropped.maps"),
            "{said}"
        );
        assert!(
            said.contains(&format!("the other {judged} were judged")),
            "{said}"
        );
    }
    let taken = complaint(&["run", "--wait", "0", "--keep-maps", &maps]);
    assert!(taken.contains("--replace"), "{taken}");
    assert!(Path::new(&maps).metadata().unwrap().len() > 0);
}

/// A limit on the size of files stands for a full disk.
#[test]
fn a_disk_without_room_for_maps_loses_no_frame() {
    let folder = tempfile::tempdir().unwrap();
    let (ring, maps) = (place(&folder, "ring"), place(&folder, "dropped.maps"));
    let feed = feed(&ring, "100");
    let run = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_hitgate"))
        .args([
            "run",
            "--threshold",
            "1",
            "--ring",
            &ring,
            "--keep-maps",
            &maps,
        ])
        .output()
        .unwrap();
    let (out, err) = said(&run);
    end(feed);
    assert!(!run.status.success() && err.contains(&maps), "{err}");
    assert!(
        out.contains("expected 100 = received 100 + lost 0"),
        "{out}"
    );
    let written = number_before(&out, " of dropped frames written");
    let left_out = number_before(&out, " left out for a slow disk");
    assert_eq!(written + left_out, 100, "{out}");
    let entry = 64 + 224 * 224 * 2 + 4;
    let bytes = std::fs::read(&maps).unwrap().len();
    assert_eq!(bytes, 64 + written * entry, "it ends with a whole map");
}

/// The filter stops, then dies, and whoever stands by passes what it left.
#[test]
fn frames_of_a_dead_filter_pass_unjudged() {
    let folder = tempfile::tempdir().unwrap();
    let (ring, kept) = (place(&folder, "ring"), place(&folder, "unjudged.slots"));
    let feed = feed(&ring, "600");
    let mut run = hitgate(&["run", "--ring", &ring]).spawn().unwrap();
    inspected(&ring, |state| state["received"].as_u64() > Some(100));
    let mut standby = hitgate(&["run", "--ring", &ring, "--keep", &kept, "--standby", "400"])
        .spawn()
        .unwrap();
    let mut told = BufReader::new(standby.stderr.take().unwrap())
        .lines()
        .map(Result::unwrap);
    signal(&run, "-STOP");
    let alive = told
        .find(|line| line.contains("no frame can pass"))
        .unwrap();
    assert!(
        alive.contains(&format!("process {} is the filter", run.id())),
        "{alive}"
    );
    run.kill().unwrap();
    run.wait().unwrap();
    assert!(told.any(|line| line.contains("frames pass unjudged from now on")));
    let said = end(standby);
    end(feed);
    assert!(
        said.contains("expected 600 = received 600 + lost 0"),
        "{said}"
    );
    let passed = number_before(&said, " fault");
    let passed_on = number_before(&said, " frames, ");
    assert!(passed > 8 && passed_on >= passed, "{said}");
    let screened = answer(&["screen", &kept]);
    assert_eq!(screened.lines().count(), passed_on);
}

#[test]
fn a_filter_that_lives_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (ring, kept) = (place(&folder, "ring"), place(&folder, "unjudged.slots"));
    let feed = feed(&ring, "300");
    let standby = [
        "run",
        "--ring",
        &ring,
        "--standby",
        "60000",
        "--keep",
        &kept,
    ];
    let mut standby = hitgate(&standby).spawn().unwrap();
    let mut told = BufReader::new(standby.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("standing by") {
        line.clear();
        assert!(told.read_line(&mut line).unwrap() > 0, "it ended");
    }
    let run = answer(&["run", "--ring", &ring]);
    assert!(
        run.contains("received 300") && !run.contains("fault"),
        "{run}"
    );
    assert!(end(standby).contains("was not needed"));
    end(feed);
    assert!(!Path::new(&kept).exists());
}

/// Two stand by and wake up at once; the one that takes over dies too.
#[test]
fn of_two_standbys_the_second_takes_over_from_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let ring = place(&folder, "ring");
    let slow = ["--frames", "400", "--rate", "150", "--slots", "8"];
    let feed = [
        "feed",
        "--simulate",
        "cspad-2x1",
        "--distinct",
        "4",
        "--ring",
        &ring,
    ];
    let feed = hitgate(&[&feed[..], &slow].concat()).spawn().unwrap();
    let stand_by = |kept: &str| {
        let kept = place(&folder, kept);
        hitgate(&["run", "--ring", &ring, "--standby", "100", "--keep", &kept])
            .spawn()
            .unwrap()
    };
    let [mut first, second] = ["a.slots", "b.slots"].map(stand_by);
    let mut second = Some(second);
    let passing = inspected(&ring, |state| state["received"].as_u64() > Some(50));
    if passing["filter"]["end"]["process"] != first.id() {
        first = second.replace(first).unwrap();
    }
    assert_eq!(passing["filter"]["end"]["process"], first.id());
    first.kill().unwrap();
    first.wait().unwrap();
    let said = end(second.unwrap());
    end(feed);
    assert!(
        said.contains("expected 400 = received 400 + lost 0"),
        "{said}"
    );
    assert!(said.contains("400 fault"), "{said}");
}
