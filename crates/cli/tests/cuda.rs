//! `--backend cuda` on a stand-in for NVIDIA's driver (`crates/cuda/tests/stand_in`): the program finds a GPU there whose kernels
//! run on the CPU, and may be told that it fails.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use common::said;
use hitgate_testkit::cxx;
use serde_json::Value;
use tempfile::TempDir;

/// The program, which finds the stand-in, and is told `words`.
fn hitgate(words: &str, args: &[&str]) -> Command {
    static FOLDER: LazyLock<PathBuf> =
        LazyLock::new(|| cxx::stand_in(Path::new(env!("CARGO_TARGET_TMPDIR"))));
    let mut command = Command::new(env!("CARGO_BIN_EXE_hitgate"));
    command
        .args(args)
        .env("LD_LIBRARY_PATH", &*FOLDER)
        .env("HITGATE_STAND_IN", words);
    command
}

/// What a command that has to succeed prints.
fn answer(words: &str, args: &[&str]) -> String {
    let output = hitgate(words, args).output().unwrap();
    let (out, err) = said(&output);
    assert!(output.status.success(), "{args:?}: {err}");
    out
}

/// What a command that has to fail says.
fn complaint(words: &str, args: &[&str]) -> String {
    let output = hitgate(words, args).output().unwrap();
    assert!(!output.status.success(), "{args:?} should fail");
    said(&output).1
}

fn lines(text: &str) -> Vec<Value> {
    let line = |line: &str| serde_json::from_str(line).expect("a line of JSON");
    text.lines().map(line).collect()
}

fn bundled(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo");
    folder.join(name).display().to_string()
}

fn place(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}

/// Frames of a ring whose source has ended.
const FRAMES: u64 = 80;

/// A ring with so many frames, the same ones each time.
fn filled(ring: &str) {
    let (frames, slots) = (FRAMES.to_string(), "128");
    let feed = ["feed", "--simulate", "cspad-2x1", "--distinct", "24"];
    let much = ["--frames", &frames, "--slots", slots, "--ring", ring];
    let mut feed = hitgate("", &[&feed[..], &much].concat()).spawn().unwrap();
    loop {
        let inspect = hitgate("", &["inspect", ring, "--json"]).output().unwrap();
        let state = serde_json::from_slice(&inspect.stdout).unwrap_or(Value::Null);
        if state["source"]["end"]["state"] == "closed" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    feed.kill().unwrap();
    feed.wait().unwrap();
}

/// What `run` did with such a ring.
struct Ran {
    folder: TempDir,
    /// A line a frame.
    records: Vec<Value>,
    out: String,
    err: String,
    /// What the stand-in told of memory.
    told: String,
}

fn ran(words: &str, more: &[&str]) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let [ring, records, log] = ["ring", "records.jsonl", "log"].map(|name| place(&folder, name));
    filled(&ring);
    let args = ["run", "--ring", &ring, "--records", &records];
    let output = hitgate(words, &[&args[..], more].concat())
        .env("HITGATE_STAND_IN_LOG", &log)
        .output()
        .unwrap();
    let (out, err) = said(&output);
    assert!(output.status.success(), "{out}{err}");
    Ran {
        records: lines(&std::fs::read_to_string(records).unwrap()),
        told: std::fs::read_to_string(log).unwrap_or_default(),
        folder,
        out,
        err,
    }
}

/// Without what differs from run to run.
fn verdicts(records: &[Value]) -> Vec<Value> {
    let verdict = |record: &Value| {
        let mut record = record.clone();
        record["latency_us"].take();
        record
    };
    records.iter().map(verdict).collect()
}

#[test]
fn what_is_missing_is_said_before_anything_is_done() {
    let frame = bundled("cspad_2x1_cxitut13.npy");
    for (words, lack) in [
        ("version=12080", "the CUDA driver is too old"),
        ("no-device", "finds no GPU 0 (there are 0)"),
        ("capability=75", "has compute capability 7.5"),
    ] {
        for verb in [
            &["run", "--wait", "0"][..],
            &["screen", &frame],
            &["bench", "--frames", "1"],
        ] {
            let said = complaint(words, &[verb, &["--backend", "cuda"]].concat());
            assert!(
                said.contains("--backend cuda: ") && said.contains(lack),
                "{said}"
            );
            assert!(said.contains("run on the CPU"), "{said}");
        }
    }
    let said = complaint("", &["run", "--backend", "cuda", "--gpu", "3"]);
    assert!(said.contains("finds no GPU 3 (there are 1)"), "{said}");
    let said = complaint("", &["run", "--gpu", "0"]);
    assert!(said.contains("give that too"), "{said}");
    let said = complaint("", &["run", "--backend", "cuda", "--standby", "9"]);
    assert!(said.contains("cannot be used with"), "{said}");
}

#[test]
fn files_are_screened_to_the_same_bits() {
    let frames = ["cspad_2x1_cxitut13.npy", "blank_pilatus300k.cbf.gz"].map(bundled);
    let screen = ["screen", &frames[0], &frames[1]];
    let on_gpu = answer("", &[&screen[..], &["--backend", "cuda"]].concat());
    let on_cpu = answer("", &screen);
    assert!(lines(&on_cpu).len() >= 2);
    assert_eq!(verdicts(&lines(&on_gpu)), verdicts(&lines(&on_cpu)));
}

#[test]
fn a_run_decides_as_on_the_cpu_and_its_frames_go_by_dma() {
    let folder = tempfile::tempdir().unwrap();
    let [kept, maps] = ["kept.slots", "dropped.maps"].map(|name| place(&folder, name));
    let cuda = ["--backend", "cuda", "--keep", &kept, "--keep-maps", &maps];
    let (gpu, cpu) = (ran("copies-last", &cuda), ran("", &[]));
    assert_eq!(gpu.records.len() as u64, FRAMES);
    assert_eq!(verdicts(&gpu.records), verdicts(&cpu.records));
    assert!(gpu.out.contains(" on Stand-in;"), "{}", gpu.out);
    assert!(!gpu.out.contains("fell back") && !gpu.err.contains("GPU"));

    // Constants and the frames of the proof lie elsewhere.
    for line in [
        "registered-read-only ",
        "unregistered 1\n",
        "by-dma 80\n",
        // Eight times four frames of the proof.
        "proved 8\n",
        "staged 1\nleft-registered 0\nleft-pinned 0\nreleased 1\n",
    ] {
        assert!(gpu.told.contains(line), "{line}: {}", gpu.told);
    }
    // The CPU gives the same answers to the maps that the GPU made.
    let again = answer("", &["rejudge", &maps]);
    let dropped = gpu.records.iter().filter(|of| of["verdict"] == "drop");
    let dropped = dropped.count();
    let same = format!("{dropped} of {dropped} answers are the same to the bit");
    assert!(dropped > 0 && again.contains(&same), "{again}");
}

#[test]
fn memory_that_cannot_be_registered_is_copied_and_said_to_be() {
    let ran = ran("unregistered", &["--backend", "cuda"]);
    assert_eq!(ran.records.len() as u64, FRAMES);
    assert!(ran.err.contains("stays pageable"), "{}", ran.err);
    for line in ["by-dma 0\n", "staged 81\n"] {
        assert!(ran.told.contains(line), "{line}: {}", ran.told);
    }
}

#[test]
fn a_lost_gpu_is_told_once_and_the_cpu_goes_on_to_the_same_bits() {
    // 15 replays are the proof; of a batch there is one for four frames, and the network.
    let (gpu, cpu) = (ran("loses=26", &["--backend", "cuda"]), ran("", &[]));
    let why = "cuGraphLaunch: CUDA_ERROR_LAUNCH_FAILED";
    assert_eq!(gpu.err.matches(why).count(), 1, "{}", gpu.err);
    assert!(gpu.err.contains("the CPU goes on"), "{}", gpu.err);
    let is_lost = |record: &&Value| record["reasons"].to_string().contains("backend");
    let lost: Vec<u64> = gpu
        .records
        .iter()
        .filter(is_lost)
        .map(|record| record["seq"].as_u64().unwrap())
        .collect();
    // A ring's first number is 1; the second batch is that of the loss.
    assert_eq!(lost, (33..=64).collect::<Vec<_>>());
    let (found, expected) = (verdicts(&gpu.records), verdicts(&cpu.records));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        match is_lost(&found) {
            true => assert_eq!(found["verdict"], "keep"),
            false => assert_eq!(found, expected),
        }
    }
    let on = format!(
        " on Stand-in, then {};",
        hitgate_kernels::Level::detect().name()
    );
    assert!(gpu.out.contains(&on), "{}", gpu.out);
    let fell_back = FRAMES - 32;
    let books = format!("fell back  {fell_back} frames");
    assert!(gpu.out.contains(&books), "{}", gpu.out);
    let ring = place(&gpu.folder, "ring");
    let state = answer("", &["inspect", &ring, "--json"]);
    let state: Value = serde_json::from_str(&state).unwrap();
    assert_eq!(state["fallen_back"], fell_back);
    assert!(answer("", &["inspect", &ring]).contains(&books));
}

/// Waits until `records` has so many lines, and gives them.
fn wait_for(records: &str, frames: usize) -> Vec<Value> {
    loop {
        let text = std::fs::read_to_string(records).unwrap_or_default();
        // The last line may be half written.
        let whole = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        if whole.lines().count() >= frames {
            return lines(whole);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn a_hangup_swaps_the_model_on_the_gpu_and_on_the_cpu_once_that_is_lost() {
    for (words, on) in [("", " on Stand-in;"), ("loses=16", " on Stand-in, then ")] {
        let folder = tempfile::tempdir().unwrap();
        let [ring, model, records] =
            ["ring", "model.hgm", "records.jsonl"].map(|name| place(&folder, name));
        std::fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../models/mobilenet-v1-025-224/model.hgm"),
            &model,
        )
        .unwrap();
        let feed = ["feed", "--simulate", "cspad-2x1", "--distinct", "4"];
        let much = ["--frames", "1000000", "--slots", "8", "--ring", &ring];
        let mut feed = hitgate("", &[&feed[..], &much].concat())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let files = ["--model", &model, "--records", &records, "--ring", &ring];
        let run = hitgate(words, &[&["run", "--backend", "cuda"][..], &files].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let signal = |name: &str| {
            let id = run.id().to_string();
            let kill = Command::new("kill").args([name, &id]).status();
            assert!(kill.unwrap().success());
        };
        let before = wait_for(&records, 12);
        let other = hitgate_import::random::file(0.25, 64, 1, 5).unwrap();
        std::fs::write(&model, &other).unwrap();
        signal("-HUP");
        let crc = format!("{:08x}", crc32fast::hash(&other));
        assert_ne!(before[0]["model"], crc.as_str());
        let mut judged = before.len();
        loop {
            let records = wait_for(&records, judged + 1);
            if records
                .iter()
                .filter(|of| of["model"] == crc.as_str())
                .count()
                > 4
            {
                break;
            }
            judged = records.len();
        }
        signal("-INT");
        let (out, err) = said(&run.wait_with_output().unwrap());
        feed.kill().unwrap();
        feed.wait().unwrap();
        assert!(err.contains("judging goes on with model"), "{err}");
        assert!(out.contains(on), "{out}{err}");
        // All of them, whichever model: it was lost with the first.
        let frames = out.split_whitespace().nth(1).unwrap();
        let books = format!("fell back  {frames} frames");
        assert_eq!(out.contains(&books), !words.is_empty(), "{out}");
    }
}

/// A small panel: a run of it is short.
const SMALL: [&str; 4] = ["bench", "--backend=cuda", "--detector=cspad-2x1", "--warm"];

#[test]
fn a_bench_compares_and_times_batches() {
    let folder = tempfile::tempdir().unwrap();
    let log = place(&folder, "log");
    let compare = [&SMALL[..], &["--check", "--frames=2"]].concat();
    let check = hitgate("copies-last", &compare)
        .env("HITGATE_STAND_IN_LOG", &log)
        .output();
    let (check, err) = said(&check.unwrap());
    for words in ["of them faults", "each by DMA and copied", "to the bit"] {
        assert!(check.contains(words), "{check}{err}");
    }
    // Of 162 frames from each place one in three is of no module.
    let told = std::fs::read_to_string(&log).unwrap();
    let frames = |how: &str| -> u64 {
        let number = told.lines().find_map(|line| line.strip_prefix(how));
        number.expect("how many frames").parse().unwrap()
    };
    let by_dma = frames("by-dma ");
    assert!((72..162).contains(&by_dma), "{told}");
    // Neighbours in the ring in one copy, and those beside such a frame alone.
    assert!((1..by_dma).contains(&frames("in-rows ")), "{told}");
    let said = complaint("garbles", &compare);
    assert!(
        said.contains(" from the ring, ") && said.contains("please report this"),
        "{said}"
    );
    let check = answer("unregistered", &compare);
    assert!(check.contains("none by DMA"), "{check}");
    // Everything after its proof fails.
    let said = complaint(
        "loses=16",
        &[&SMALL[..], &["--check", "--frames=1"]].concat(),
    );
    assert!(said.contains("CUDA_ERROR_LAUNCH_FAILED"), "{said}");

    let times = ["--frames=8", "--batch=4", "--window=whole", "--json"];
    let rows = lines(&answer("", &[&SMALL[..], &times].concat()));
    let names: Vec<_> = rows.iter().map(|row| row["stage"].as_str()).collect();
    let expected = ["header", "prep", "net", "verdict", "path", "batch", "net"];
    assert_eq!(names, expected.map(Some));
    for row in &rows {
        assert_eq!(
            (&row["gpu"], &row["isa"]),
            (&"Stand-in".into(), &"cuda".into())
        );
        assert_eq!((&row["batch"], &row["floor_us"]), (&4.into(), &Value::Null));
        let of_batches = row["stage"] == "batch" || row["alone"] == true;
        assert_eq!(row["frames_per_s"].is_f64(), of_batches, "{row}");
        let registered = row["alone"].as_bool().map(|alone| !alone);
        assert_eq!(row["registered"].as_bool(), registered.filter(|is| *is));
        assert_eq!(row["channels"], 2);
    }
    // Each core has a ring and a part of the GPU of its own.
    let two = lines(&answer(
        "",
        &[&SMALL[..], &times, &["--cores=2", "--stage=batch"]].concat(),
    ));
    let cores: Vec<_> = two.iter().map(|row| row["cores"].as_u64()).collect();
    assert_eq!(cores, [Some(1), Some(2)]);
    assert!(two[1]["scaling"].as_f64() > Some(0.0), "{}", two[1]);

    let batch = [&SMALL[..], &times, &["--stage=batch"]].concat();
    for row in lines(&answer("unregistered", &batch)) {
        assert_eq!(row["registered"], false, "{row}");
    }
    let told = answer("unregistered", &[&SMALL[..], &times[..3]].concat());
    assert!(told.contains("could not be registered"), "{told}");
}

#[test]
fn a_gpu_that_is_lost_is_not_timed() {
    let times = ["--frames=8", "--batch=4", "--window=whole", "--json"];
    let back_to_back = [&SMALL[..], &times].concat();
    let by_the_clock = [&SMALL[..3], &["--rate=50", "--seconds=1", "--json"]].concat();
    // After its proof of 15 replays: in the first batch, and in one that is timed.
    for (words, args) in [
        ("loses=16", &back_to_back),
        ("loses=27", &back_to_back),
        ("loses=32", &by_the_clock),
    ] {
        let output = hitgate(words, args).output().unwrap();
        let (out, err) = said(&output);
        assert!(!output.status.success() && out.is_empty(), "{words}: {out}");
        assert!(
            err.contains("CUDA_ERROR_LAUNCH_FAILED: nothing is timed"),
            "{words}: {err}"
        );
    }
}

#[test]
fn what_a_gpu_does_not_do_is_said() {
    for (more, why) in [
        (&["--engine=none"][..], "runs on the CPU"),
        (&["--stage=decode"], "is timed on the CPU"),
        (&["--batch=33"], "at most 32 frames at once"),
        (&["--cores=2", "--stage=net"], "give --stage batch"),
        (&["--batch=4097", "--stage=net"], "4097"),
    ] {
        let said = complaint("", &[&SMALL[..], more].concat());
        assert!(said.contains(why), "{more:?}: {said}");
    }
    for more in [["--backend=cpu", "--check"], ["--backend=cpu", "--batch=2"]] {
        let said = complaint("", &[&["bench"][..], &more].concat());
        assert!(said.contains("the CPU takes one frame at once"), "{said}");
    }
}

/// `bench/gpu.sh`, on as little as may be.
fn script(words: &str, record: &str) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../bench/gpu.sh");
    let found = hitgate(words, &[]);
    let mut command = Command::new("bash");
    command
        .args([script, env!("CARGO_BIN_EXE_hitgate"), record])
        .envs(
            found
                .get_envs()
                .filter_map(|(key, value)| Some((key, value?))),
        )
        .envs([
            ("WIDTHS", "0.25"),
            ("MAPS", "1 2"),
            ("BATCHES", "1 2"),
            ("FRAMES", "1"),
            ("PATHS", "1"),
        ])
        .env("DETECTORS", "cspad-2x1");
    command.output().unwrap()
}

#[test]
fn the_script_measures_nothing_without_a_gpu_and_else_writes_a_record() {
    let folder = tempfile::tempdir().unwrap();
    let record = place(&folder, "record.json");
    let nothing = script("no-device", &record);
    let (out, _) = said(&nothing);
    assert_eq!(nothing.status.code(), Some(3), "{out}");
    assert!(
        out.contains("finds no GPU 0") && out.ends_with("no GPU: nothing measured\n"),
        "{out}"
    );
    assert!(!Path::new(&record).exists());
    // One that is there and does not work is not none.
    for (words, why) in [
        ("init=999", "cuInit: CUDA_ERROR_UNKNOWN"),
        ("init=34", "CUDA toolkit's stub"),
        ("garbles", "please report this"),
    ] {
        let failed = script(words, &record);
        let (out, _) = said(&failed);
        assert_eq!(failed.status.code(), Some(1), "{words}: {out}");
        assert!(out.contains(why), "{out}");
        assert!(!Path::new(&record).exists());
    }

    if Command::new("python3").arg("--version").output().is_err() {
        println!("NOT TESTED HERE: the record of a GPU (there is no python3)");
        return;
    }
    let (out, err) = said(&script("", &record));
    let whole = std::fs::read_to_string(&record).unwrap_or_else(|_| panic!("{out}{err}"));
    let whole: Value = serde_json::from_str(&whole).unwrap();
    assert_eq!(whole["gpu"], "Stand-in");
    let rows = whole["rows"].as_array().unwrap();
    let of_batches = rows.iter().filter(|row| row["stage"] == "batch");
    assert!(
        of_batches.clone().count() == 5 && of_batches.clone().all(|row| row["registered"] == true)
    );
    let checks = whole["checks"].as_array().unwrap();
    let same = |check: &Value| check.to_string().contains("to the bit");
    assert!(checks.len() == 4 && checks.iter().all(same), "{out}");
    // By itself, and with the path of each detector.
    for (name, rows) in [
        ("prepared maps, random weights", 2),
        ("cspad-2x1 whole, ", 3),
        ("cspad-2x1 crop, ", 1),
    ] {
        let found = out.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(found, rows, "{name}: {out}");
    }
}
