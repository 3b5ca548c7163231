//! What the program says when something is wrong: one sentence that names the file, once.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hitgate_core::net::{Model, Section, format};
use hitgate_core::verdict::Score;
use hitgate_kernels::Level;

fn hitgate<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("hitgate"));
    command.args(args);
    command
}

fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("demo")
        .join(name)
}

const EIGER: &str = "eiger4m_dls.h5";
const CSPAD: &str = "cspad_2x1_cxitut13.npy";

fn said(output: &Output) -> String {
    let text = String::from_utf8(output.stderr.clone()).expect("text");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// What a command that has to fail says.
fn complaint<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> String {
    let mut command = hitgate(args);
    let output = command.output().expect("the program runs");
    assert!(!output.status.success(), "{command:?} should fail");
    said(&output)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a name in UTF-8")
}

#[test]
fn a_full_disk_behind_standard_output_is_told() {
    for args in [&["--help"][..], &["inspect"], &["eval", "--simulate", "2"]] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = hitgate(args).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let said = said(&output);
        assert!(said.contains("standard output"), "{said}");
    }
}

#[test]
fn a_cause_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| text(&folder.path().join(name)).to_string();
    let name = folder.path().file_name().unwrap().to_str().unwrap();
    for (args, words) in [
        (vec!["inspect".into(), file("none")], "no such file"),
        (vec!["inspect".into(), file("")], "a directory"),
        (
            vec!["eval".into(), "--truth".into(), file("")],
            "a directory",
        ),
        (
            vec!["eval".into(), "--truth".into(), file("none")],
            "no such file",
        ),
        (
            vec!["dataset".into(), "--maps=1".into(), file("none/maps")],
            "folder does not exist",
        ),
        (
            vec!["simulate".into(), "--frames=0".into(), file("frames")],
            "--frames",
        ),
        (
            vec![
                "simulate".into(),
                format!("--first={}", u64::MAX),
                file("frames"),
            ],
            "--first",
        ),
    ] {
        let said = complaint(&args);
        assert_eq!(said.matches(words).count(), 1, "{said}");
        if !words.starts_with('-') {
            assert_eq!(said.matches(name).count(), 1, "{said}");
        }
    }
}

#[test]
fn datasets_whose_names_have_dots_stay_apart_and_say_how_they_were_made() {
    let folder = tempfile::tempdir().unwrap();
    for (name, reduce) in [("maps.v2", "peaks"), ("maps.v3", "max")] {
        let out = folder.path().join(name);
        let args = [
            "dataset",
            "--maps=2",
            "--input=32",
            "--reduce",
            reduce,
            text(&out),
        ];
        assert!(hitgate(args).output().unwrap().status.success());
        let labels = std::fs::read_to_string(folder.path().join(format!("{name}.jsonl"))).unwrap();
        assert_eq!(
            labels.matches(&format!("\"reduce\":\"{reduce}\"")).count(),
            2
        );
    }
    let maps = |name: &str| text(&folder.path().join(name)).to_string();
    let (v2, v3) = (maps("maps.v2.npy"), maps("maps.v3.npy"));
    let import = |calibration: &str, validation: &str, more: &[&str]| {
        let mut args = vec!["import", "none.onnx", "--calibration", calibration];
        args.extend(["--validation", validation]);
        if !more.contains(&"-o") {
            args.extend(["-o", "none.hgm"]);
        }
        complaint(args.iter().chain(more))
    };
    let said = import(&v2, &v3, &[]);
    assert!(
        said.contains("says peaks") && said.contains("says max"),
        "{said}"
    );
    let said = import(&v2, &v2, &["--reduce", "max"]);
    assert!(
        said.contains("says peaks") && said.contains("--reduce says max"),
        "{said}"
    );
    let said = import(&v2, &v2, &[]);
    assert_eq!(said.matches("none.onnx").count(), 1, "{said}");
    // Not over what it reads.
    let before = std::fs::read(&v2).unwrap();
    let said = import(&v2, &v2, &["-o", &v2]);
    assert!(said.contains("would be replaced"), "{said}");
    assert!(std::fs::read(&v2).unwrap() == before);
}

#[test]
fn labels_that_do_not_fit_are_named_by_their_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(bundled(CSPAD), folder.path().join(CSPAD)).unwrap();
    let truth = folder.path().join("truth.jsonl");
    let line = |index: u32, class: &str| {
        format!("{{\"file\": \"{CSPAD}\", \"index\": {index}, \"class\": \"{class}\"}}\n")
    };
    let eval = |lines: String| {
        std::fs::write(&truth, lines).unwrap();
        complaint(["eval", "--truth", text(&truth)])
    };
    let said = eval(line(0, "hit") + &line(7, "miss"));
    assert!(
        said.contains("line 2") && said.contains("no frame 7"),
        "{said}"
    );
    let said = eval(line(7, "miss"));
    assert!(
        said.contains("line 1") && said.contains("no frame 7"),
        "{said}"
    );
    let said = eval(line(0, "hit") + &line(0, "miss"));
    assert!(said.contains("line 1") && said.contains("line 2"), "{said}");
}

#[test]
fn inspect_takes_a_dataset_of_a_file() {
    let named = format!("{}:/entry/data/data", bundled(EIGER).display());
    let output = hitgate(["inspect", &named]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && text.contains("HDF5, 1 frame\n"),
        "{text}"
    );
    let said = complaint(["inspect", &named.replace("data/data", "none")]);
    assert!(said.contains("/entry/data/data"), "{said}");
}

/// Flags that are refused, with the word that says why.
#[test]
fn a_geometry_that_no_experiment_has_is_refused_with_its_unit() {
    for (flag, word) in [
        ("--distance=0.15", "millimetres"),
        ("--distance=-150", "millimetres"),
        ("--distance=nan", "millimetres"),
        ("--distance=1e9", "millimetres"),
        ("--wavelength=0", "ångström"),
        ("--wavelength=12398", "ångström"),
        ("--pixel=75", "millimetres"),
        ("--beam-center=512", "512,256.5"),
        ("--beam-center=inf,3", "512,256.5"),
        ("--saturation=0", "1.."),
        ("--mask-values=99999999999", "4294967295"),
        ("--threshold=-1", "0 to 1"),
    ] {
        let (name, value) = flag.split_once('=').unwrap();
        let file = bundled(CSPAD);
        for said in [
            complaint(["screen", flag, text(&file)]),
            complaint(["screen", name, value, text(&file)]),
        ] {
            assert!(said.contains(word) && said.contains(name), "{flag}: {said}");
        }
    }
}

#[test]
fn where_the_geometry_is_from_is_in_the_line() {
    let folder = tempfile::tempdir().unwrap();
    let frame = folder.path().join(CSPAD);
    std::fs::copy(bundled(CSPAD), &frame).unwrap();
    let screen = |flags: &[&str]| {
        let output = hitgate(["screen", text(&frame)].iter().chain(flags))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        (line["geometry"].clone(), said(&output))
    };
    let flags = [
        "--distance",
        "150",
        "--wavelength",
        "1.3",
        "--beam-center",
        "100,90.5",
        "--pixel",
        "0.11",
    ];
    assert_eq!(screen(&[]), ("none".into(), String::new()));
    assert_eq!(screen(&flags), ("flags".into(), String::new()));
    let said = complaint(["screen", text(&frame)].iter().chain(&flags[..4]));
    assert!(
        said.contains("beam_center_px, pixel_mm are not known"),
        "{said}"
    );

    let sidecar = r#"{"wavelength_A": 1.3, "distance_mm": 150, "beam_center_px": [100, 90], "pixel_mm": 0.11}"#;
    std::fs::write(folder.path().join(format!("{CSPAD}.json")), sidecar).unwrap();
    assert_eq!(screen(&[]).0, "sidecar");
    assert_eq!(screen(&flags[..4]).0, "flags");
    let (from, warned) = screen(&["--beam-center", "-30,90"]);
    assert_eq!(from, "none");
    assert!(warned.contains("not meet the frame"), "{warned}");
}

#[test]
fn a_window_that_sees_little_of_the_frame_is_warned_of() {
    let frame = bundled(EIGER);
    let flags = "--wavelength=1.3 --beam-center=1000,1000 --pixel=0.075 --distance";
    let screen = |distance: &str| {
        let flags = flags.split(' ').chain([distance]);
        let args = ["screen", text(&frame)].into_iter().chain(flags);
        said(&hitgate(args).output().unwrap())
    };
    assert_eq!(screen("150"), "");
    let warned = screen("15");
    assert!(
        warned.contains("warning") && warned.contains("% of the frame"),
        "{warned}"
    );
}

#[test]
fn an_output_that_is_a_device_stays_one_and_a_link_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (device, link) = (folder.path().join("full"), folder.path().join("link"));
    std::os::unix::fs::symlink("/dev/full", &device).unwrap();
    std::os::unix::fs::symlink(folder.path().join("lines"), &link).unwrap();
    let frame = bundled(CSPAD);
    let said = complaint(["screen", "-o", text(&device), text(&frame)]);
    assert_eq!(said.matches("No space").count(), 1, "{said}");
    for more in [&[][..], &["--replace"]] {
        let mut command = hitgate(["screen", "-o", text(&link), text(&frame)]);
        assert!(command.args(more).output().unwrap().status.success());
    }
    assert!(device.is_symlink() && link.is_symlink());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
    let said = complaint([
        "screen",
        "-o",
        text(&folder.path().join("no/lines")),
        text(&frame),
    ]);
    assert!(said.contains("folder does not exist"), "{said}");
}

#[test]
fn what_would_do_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring");
    let feed = ["feed", "--simulate=jungfrau-module", "--frames=1", "--ring"];
    for flag in ["--mask=none.npy", "--wavelength=1.3", "--saturation=10"] {
        let said = complaint(feed.iter().chain(&[text(&ring), flag]));
        assert!(said.contains("a simulated detector has its own"), "{said}");
        assert!(!ring.exists());
    }
    for flag in ["--seed=5", "--mix=border"] {
        for of in ["--maps=none.npy", "--truth=none.jsonl"] {
            let said = complaint(["eval", of, flag]);
            assert!(said.contains("cannot be used with"), "{said}");
        }
    }
    let plot = folder.path().join("none/plot.svg");
    let said = complaint(["bench", "--stage=net", "--frames=1", "--plot", text(&plot)]);
    assert!(said.contains("folder does not exist"), "{said}");
}

#[test]
fn lines_replace_no_data() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("frame.cbf.gz");
    std::fs::copy(bundled(CSPAD), &data).unwrap();
    let before = std::fs::read(&data).unwrap();
    let read = bundled(CSPAD);
    for verb in ["screen", "spots"] {
        let said = complaint([verb, "-o", text(&data), text(&read)]);
        assert!(said.contains("holds data"), "{said}");
        assert_eq!(std::fs::read(&data).unwrap(), before);
        // Nor text unasked.
        let notes = folder.path().join(format!("{verb}.txt"));
        std::fs::write(&notes, "records of a week").unwrap();
        let said = complaint([verb, "-o", text(&notes), text(&read)]);
        assert!(said.contains("--replace it"), "{said}");
        assert_eq!(
            std::fs::read_to_string(&notes).unwrap(),
            "records of a week"
        );
        let mut asked = hitgate([verb, "--replace", "-o", text(&notes), text(&read)]);
        assert!(asked.output().unwrap().status.success());
        assert!(std::fs::read_to_string(&notes).unwrap().starts_with('{'));
    }
}

#[test]
fn screen_says_what_is_in_the_output() {
    let said = complaint(["screen", "/no/such.h5"]);
    assert!(
        said.contains("no such file") && said.contains("no others"),
        "{said}"
    );
    let named = format!("{}:/entry/data/data", bundled(EIGER).display());
    let lines = |format: &str| {
        let mut command = hitgate(["screen", "--threshold=0", "--format", format, &named]);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(lines("jsonl").contains(&named));
    // Indexing programs name the dataset in a file of their own.
    assert_eq!(lines("lst"), format!("{} //0\n", bundled(EIGER).display()));
}

/// A level of another kind of CPU.
const FOREIGN: &str = if cfg!(target_arch = "aarch64") {
    "avx2"
} else {
    "neon"
};

#[test]
fn a_level_that_is_not_to_be_had_is_told_with_those_that_are() {
    let here: Vec<_> = Level::all_available().map(Level::name).collect();
    let here = format!("this machine has {}\n", here.join(", "));
    let frame = bundled(CSPAD);
    for words in [
        vec!["screen", text(&frame)],
        vec!["run", "--wait", "0", "--ring", "/no/ring"],
        vec!["bench", "--frames", "1"],
        vec!["eval", "--simulate", "1"],
        vec!["demo", "--frames", "1"],
    ] {
        let said = |level| complaint(words.iter().chain(&["--isa", level]));
        let unknown = format!(
            "--isa avx512: no such CPU level; there are {}; {here}",
            Level::NAMES.join(", ")
        );
        assert!(said("avx512").contains(&unknown), "{}", said("avx512"));
        let missing = format!("--isa {FOREIGN}: this machine lacks {FOREIGN}; {here}");
        assert!(said(FOREIGN).contains(&missing), "{}", said(FOREIGN));
    }
}

/// The model that the program embeds, in all but the answer to its golden vector.
fn inexact_model() -> Vec<u8> {
    let path = "../../models/mobilenet-v1-025-224/model.hgm";
    let sound = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let model = Model::parse(&sound).unwrap();
    let mut logits = model.golden().logits;
    logits[2] -= 1;
    let Score { hit, maybe, miss } = model.score(logits);
    let logits = logits.iter().flat_map(|logit| logit.to_le_bytes());
    let probabilities = [hit, maybe, miss].into_iter().flat_map(u16::to_le_bytes);
    let answer: Vec<u8> = logits.chain(probabilities).collect();

    let kind = Section::GoldenOutput.code().0.to_le_bytes();
    let mut table = sound[format::HEADER..].chunks_exact(format::ENTRY);
    let entry = table.find(|entry| entry[..2] == kind).unwrap();
    let at = u32::from_le_bytes(entry[4..8].try_into().unwrap()) as usize;
    let mut file = sound.clone();
    file[at..][..answer.len()].copy_from_slice(&answer);
    let crc = crc32fast::hash(&file[format::CRC_FROM..]);
    file[format::CRC_AT..format::CRC_FROM].copy_from_slice(&crc.to_le_bytes());
    file
}

#[test]
fn a_model_that_does_not_give_its_golden_answer_judges_no_frame() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("inexact.hgm");
    std::fs::write(&path, inexact_model()).unwrap();
    let (frame, picture) = (bundled(CSPAD), folder.path().join("why.png"));
    let best = Level::detect().name();
    for (words, level) in [
        (vec!["screen", text(&frame)], best),
        (vec!["screen", "--isa", "scalar", text(&frame)], "scalar"),
        (vec!["run", "--wait", "0", "--ring", "/no/ring"], best),
        (vec!["demo", "--frames", "8"], best),
        (vec!["bench", "--frames", "1"], best),
        (vec!["bench", "--frames", "1", "--isa", "scalar"], "scalar"),
        (vec!["eval", "--simulate", "1"], best),
        (vec!["explain", text(&frame), "-o", text(&picture)], best),
    ] {
        let mut command = hitgate(words.iter().chain(&["--model", text(&path)]));
        let output = command.output().unwrap();
        let said = said(&output);
        assert!(!output.status.success(), "{words:?}");
        assert!(
            said.contains(&format!(
                "on {level} it does not give the answer of its own golden"
            )) && said.matches("inexact.hgm").count() == 1,
            "{words:?}: {said}"
        );
        assert!(output.stdout.is_empty() && !picture.exists(), "{words:?}");
    }
    let output = hitgate(["inspect", text(&path)]).output().unwrap();
    assert!(!output.status.success());
    let levels: Vec<_> = Level::all_available().map(Level::name).collect();
    let shown = String::from_utf8(output.stdout).unwrap();
    let not_exact = format!("NOT EXACT on {}:", levels.join(", "));
    assert!(shown.contains(&not_exact), "{shown}");
}
