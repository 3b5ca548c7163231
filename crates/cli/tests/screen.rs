//! `hitgate screen` and its neighbours as a user meets them: on whole files, and on broken ones.

mod common;

use std::path::{Path, PathBuf};

use assert_cmd::Command;
use common::{bundled, complaint, lines};
use serde_json::Value;

fn hitgate() -> Command {
    Command::cargo_bin("hitgate").expect("the program is built")
}

fn hitgate_with(args: &[&str]) -> Command {
    let mut command = hitgate();
    command.args(args);
    command
}

const EIGER: &str = "eiger4m_dls.h5";
const BLANK: &str = "blank_pilatus300k.cbf.gz";

#[test]
fn a_line_a_frame_with_the_keys_of_the_contract() {
    let output = hitgate()
        .arg("screen")
        .arg(bundled(EIGER))
        .arg(bundled(BLANK))
        .assert()
        .success();
    let lines = lines(&output.get_output().stdout);
    assert_eq!(lines.len(), 2);
    for line in &lines {
        for key in [
            "file",
            "index",
            "p_hit",
            "p_maybe",
            "p_miss",
            "class",
            "keep",
            "reason",
            "reasons",
            "latency_us",
        ] {
            assert!(!line[key].is_null(), "{key} of {line}");
        }
    }
    assert_eq!(
        (&lines[0]["geometry"], &lines[1]["geometry"]),
        (&"none".into(), &"file".into())
    );
}

#[test]
fn every_level_gives_the_same_lines_apart_from_the_latency() {
    let of = |level: &str| {
        let mut command = hitgate();
        command
            .args(["screen", "--isa", level])
            .arg(bundled(EIGER))
            .arg(bundled(BLANK));
        let mut lines = lines(&command.assert().success().get_output().stdout);
        for line in &mut lines {
            line["latency_us"] = Value::Null;
        }
        lines
    };
    let scalar = of("scalar");
    for level in hitgate_kernels::Level::all_available().map(hitgate_kernels::Level::name) {
        assert_eq!(of(level), scalar, "{level}");
    }
}

#[test]
fn other_formats_and_an_output_file() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("hits.lst");
    hitgate()
        .args(["screen", "--format", "lst", "--threshold", "0", "-o"])
        .arg(&out)
        .arg(bundled(EIGER))
        .assert()
        .success();
    let expected = format!("{} //0\n", bundled(EIGER).display());
    assert_eq!(std::fs::read_to_string(&out).unwrap(), expected);

    let csv = hitgate()
        .args(["screen", "--format", "csv"])
        .arg(bundled(BLANK))
        .assert()
        .success();
    let text = String::from_utf8(csv.get_output().stdout.clone()).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert_eq!(
        text.lines().next().unwrap().split(',').count(),
        text.lines().nth(1).unwrap().split(',').count()
    );
}

#[test]
fn unreadable_files_are_named_and_do_not_hide_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(bundled(EIGER)).unwrap();
    let cut = folder.path().join("cut.h5");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let foreign = folder.path().join("foreign.cbf");
    std::fs::write(&foreign, "this is no detector frame").unwrap();
    let missing = folder.path().join("missing.h5");
    for bad in [&cut, &foreign, &missing] {
        let mut command = hitgate();
        let output = command
            .arg("screen")
            .arg(bad)
            .arg(bundled(BLANK))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(lines(&output.stdout).len(), 1, "the other file is judged");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains(&bad.display().to_string()) && !said.contains("panicked"),
            "{said}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_prepared_does_not_hide_those_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let tile = folder.path().join("tile.npy");
    std::fs::copy(bundled("cspad_2x1_cxitut13.npy"), &tile).unwrap();
    let sidecar = r#"{"mask_values":[1,2,3,4,5,6,7,8,9]}"#;
    std::fs::write(folder.path().join("tile.json"), sidecar).unwrap();
    let out = folder.path().join("out.jsonl");
    let output = hitgate()
        .args(["screen", "-o"])
        .arg(&out)
        .args([bundled(BLANK), tile, bundled(EIGER)])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("tile.npy") && said.contains("9 mask values"),
        "{said}"
    );
    assert_eq!(lines(&std::fs::read(&out).unwrap()).len(), 2);
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 3, "no partial output is left");
}

/// What `screen` says of the bundled frames, to the last digit. Written, where the model or the
/// preparation is meant to change, in the folder of this crate, by
/// `hitgate screen --isa scalar demo/*.h5 demo/*.gz demo/*.npy | sed 's/"latency_us":[0-9.]*,//' > tests/bundled.jsonl`.
const BUNDLED: &str = include_str!("bundled.jsonl");

#[test]
fn the_bundled_frames_have_the_committed_answers_on_every_level() {
    let expected = lines(BUNDLED.as_bytes());
    assert_eq!(expected.len(), 4);
    for level in hitgate_kernels::Level::all_available().map(hitgate_kernels::Level::name) {
        for line in &expected {
            let output = hitgate()
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .args(["screen", "--isa", level])
                .arg(line["file"].as_str().expect("a file"))
                .assert()
                .success();
            let mut found = lines(&output.get_output().stdout);
            for line in &mut found {
                line.as_object_mut()
                    .expect("an object")
                    .remove("latency_us");
            }
            assert_eq!(found, std::slice::from_ref(line), "{level}");
        }
        println!("{level}: exact");
    }
}

/// `hitgate` with a threshold of `t` / 65536, exactly.
fn at_threshold(verb: &str, t: u64) -> Command {
    let mut command = hitgate();
    command
        .args([verb, "--threshold"])
        .arg((t as f64 / 65536.0).to_string());
    command
}

#[test]
fn eval_and_the_filter_agree_on_a_frame_exactly_at_the_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let truth = folder.path().join("truth.jsonl");
    for line in lines(BUNDLED.as_bytes()) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(line["file"].as_str().unwrap());
        let label = serde_json::json!({"file": file, "index": 0, "class": "hit", "set": "one"});
        std::fs::write(&truth, label.to_string()).unwrap();
        let filter_keeps = |t| {
            let output = at_threshold("screen", t).arg(&file).output().unwrap();
            lines(&output.stdout)[0]["keep"] == true
        };
        let eval_keeps = |t| {
            let mut eval = at_threshold("eval", t);
            let output = eval
                .args(["--json", "--truth"])
                .arg(&truth)
                .output()
                .unwrap();
            let report: Value = serde_json::from_slice(&output.stdout).unwrap();
            report["sets"][0]["at_threshold"]["hits_kept"]["k"] == 1
        };
        let printed = line["p_hit"].as_f64().unwrap() + line["p_maybe"].as_f64().unwrap();
        let near = (printed * 65536.0).round() as u64;
        let exact = (near - 3..near + 3).rev().find(|&t| filter_keeps(t));
        let exact = exact.expect("the score is near what is printed");
        assert!(!filter_keeps(exact + 1));
        assert_eq!((eval_keeps(exact), eval_keeps(exact + 1)), (true, false));
    }
}

#[test]
fn a_broken_model_is_refused_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.hgm");
    let model = std::fs::read(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/mobilenet-v1-025-224/model.hgm"),
    )
    .unwrap();
    let mut flipped = model.clone();
    flipped[model.len() / 2] ^= 1;
    let mut newer = model.clone();
    newer[8] = 99;
    for (bytes, word) in [
        (&model[..model.len() - 100], "bytes"),
        (&flipped, "CRC"),
        (&newer, "version"),
        (&b"GIF89a"[..], "model"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let mut command = hitgate();
        let said = complaint(
            command
                .args(["screen", "--model"])
                .arg(&path)
                .arg(bundled(BLANK)),
        );
        assert!(
            said.to_lowercase().contains(&word.to_lowercase()) && said.contains("model.hgm"),
            "{said}"
        );
    }
}

#[test]
fn likely_mistakes_are_answered_in_a_sentence() {
    let said = complaint(
        hitgate()
            .args(["screen", "--threshold", "7"])
            .arg(bundled(BLANK)),
    );
    assert!(said.contains("0 to 1"), "{said}");
    let said = complaint(
        hitgate()
            .args(["screen", "--mask"])
            .arg(bundled("cspad_2x1_cxitut13.npy"))
            .arg(bundled(BLANK)),
    );
    assert!(said.contains("mask") && said.contains("388"), "{said}");
    let said = complaint(hitgate().args(["feed"]));
    assert!(said.contains("--simulate"), "{said}");
    let said = complaint(hitgate().args([
        "run",
        "--wait",
        "0",
        "--ring",
        "/dev/shm/hitgate-no-such-ring",
    ]));
    assert!(said.contains("hitgate feed"), "{said}");
    let said = complaint(hitgate().args(["eval", "--truth", "/no/such/truth.jsonl"]));
    assert!(said.contains("/no/such/truth.jsonl"), "{said}");
}

#[test]
fn simulated_frames_are_read_back_with_their_labels() {
    let folder = tempfile::tempdir().unwrap();
    for format in ["cbf", "npy"] {
        let out = folder.path().join(format);
        hitgate()
            .args([
                "simulate",
                "--frames",
                "3",
                "--detector",
                "pilatus300k",
                "--format",
                format,
            ])
            .arg(&out)
            .assert()
            .success();
        let output = hitgate()
            .args(["eval", "--json", "--truth"])
            .arg(out.join("truth.jsonl"))
            .assert()
            .success();
        let report: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
        assert_eq!(report["sets"][0]["frames"], 3);
    }
}

#[test]
fn a_simulation_replaces_nothing_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let simulate = |more: &[&str]| {
        let mut command = hitgate();
        let words = ["--frames=2", "--detector=cspad-2x1", "--format=npy"];
        command.arg("simulate").arg(folder.path()).args(words);
        command.args(more).output().unwrap()
    };
    for own in ["truth.jsonl", "frame_000001.npy", "frame_000001.json"] {
        let own = folder.path().join(own);
        std::fs::write(&own, "somebody's own").unwrap();
        let output = simulate(&[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains("--replace it"),
            "{said}"
        );
        assert!(said.contains(own.to_str().unwrap()), "{said}");
        assert_eq!(std::fs::read_to_string(&own).unwrap(), "somebody's own");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        std::fs::remove_file(own).unwrap();
    }
    assert!(simulate(&[]).status.success());
    assert!(!simulate(&[]).status.success());
    assert!(simulate(&["--replace"]).status.success());
    // Others beside them.
    std::fs::remove_file(folder.path().join("truth.jsonl")).unwrap();
    assert!(simulate(&["--first=2"]).status.success());
}

#[test]
fn labels_alone_are_those_of_the_frames_and_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str, more: &str| -> Vec<String> {
        let out = folder.path().join(name);
        let mut command = hitgate();
        command.arg("simulate").arg(&out);
        let words = "--frames 3 --first 5 --mix border --detector cspad-2x1 --format npy";
        command.args(words.split(' ').chain(more.split_whitespace()));
        command.assert().success();
        let files = std::fs::read_dir(out).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.collect()
    };
    let frames = made("frames", "");
    assert_eq!(made("labels", "--labels"), ["truth.jsonl"]);
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name).join("truth.jsonl"));
    let labels = read("labels").unwrap();
    assert_eq!(labels, read("frames").unwrap());
    for line in lines(labels.as_bytes()) {
        let named = line["file"].as_str().unwrap();
        assert!(frames.iter().any(|name| name == named), "{line}");
    }
}

#[test]
fn inspect_shows_models_and_frames() {
    hitgate().arg("inspect").assert().success();
    let output = hitgate()
        .arg("inspect")
        .arg(bundled(BLANK))
        .assert()
        .success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    assert!(
        text.contains("487 x 619") && text.contains("wavelength"),
        "{text}"
    );
}

/// Lines and columns of a JUNGFRAU module.
const MODULE: [usize; 2] = [512, 1024];

/// An NPY file of `rows` lines of `columns` numbers.
fn npy(
    path: &Path,
    descr: &str,
    [rows, columns]: [usize; 2],
    numbers: impl Iterator<Item = Vec<u8>>,
) {
    let header =
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:<117}\n").bytes());
    bytes.extend(numbers.flatten());
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn frames_smaller_than_the_window_or_not_of_whole_blocks_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let screen = |shape: [usize; 2], level: &str, more: &[&str]| {
        let frame = folder.path().join("frame.npy");
        let counts = (0..shape[0] * shape[1]).map(|i| (i % 7 % 3) as u16);
        let counts = counts.map(|count| count.to_le_bytes().to_vec());
        npy(&frame, "<u2", shape, counts);
        let mut command = hitgate();
        command
            .args(["screen", "--isa", level])
            .arg(frame)
            .args(more);
        command
    };
    let line = |shape, level: &str, more: &[&str]| {
        let output = screen(shape, level, more).assert().success();
        let mut line = lines(&output.get_output().stdout).remove(0);
        line["latency_us"] = Value::Null;
        line
    };
    // The window is of 224 blocks: up to that many pixels are smaller, the others leave a rest.
    for shape in [[1, 1], [1, 300], [301, 1], [2, 3], [225, 223], [449, 467]] {
        let expected = line(shape, "scalar", &[]);
        assert!(expected["class"].is_string(), "{shape:?}: {expected}");
        for level in hitgate_kernels::Level::all_available().map(hitgate_kernels::Level::name) {
            assert_eq!(line(shape, level, &[]), expected, "{shape:?} on {level}");
        }
    }
    let said = complaint(&mut screen([0, 5], "scalar", &[]));
    assert!(said.contains("5 x 0 pixels"), "{said}");

    // A mask is of the frame's shape; one that leaves nothing leaves nothing to judge.
    let mask = folder.path().join("mask.npy");
    let with_mask = ["--mask", mask.to_str().unwrap()];
    npy(
        &mask,
        "|u1",
        [3, 2],
        [1; 6].map(|pixel| vec![pixel]).into_iter(),
    );
    let said = complaint(&mut screen([2, 3], "scalar", &with_mask));
    assert!(
        said.contains("the mask has 2 x 3 pixels, the frame 3 x 2"),
        "{said}"
    );
    let blind = line([3, 2], "scalar", &with_mask);
    assert_eq!(
        (&blind["keep"], &blind["reason"], &blind["class"]),
        (&true.into(), &"fault".into(), &Value::Null)
    );
}

#[test]
fn raw_words_with_their_pedestals_are_judged_as_the_photons_that_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    // Photons with a bright patch; each pixel in one of three stages of 4, -2 and -0.5 ADU a photon.
    let photons = |i: u32| 8 + i * 37 % 5 + if i % 64_000 < 3 { 400 } else { 0 };
    let pedestals = [1000.25_f32, 14_000.0, 15_000.5];
    let word = |i: u32| match i % 30 {
        1 => 0b01 << 14 | (14_000 - 2 * photons(i) as u16),
        2 => 0b11 << 14 | (15_000 - (photons(i) / 2) as u16),
        _ => 1000 + 4 * photons(i) as u16,
    };
    // What these words are, in the path's unit of 1/16 photon.
    let sixteenths = |i: u32| match i % 30 {
        1 => 16 * photons(i),
        2 => 16 * (2 * (photons(i) / 2) + 1),
        _ => 16 * photons(i) - 1,
    };
    let pixels = 0..512 * 1024;
    npy(
        &place("raw.npy"),
        "<u2",
        MODULE,
        pixels.clone().map(|i| word(i).to_le_bytes().to_vec()),
    );
    npy(
        &place("counts.npy"),
        "<u4",
        MODULE,
        pixels.clone().map(|i| sixteenths(i).to_le_bytes().to_vec()),
    );
    for (stage, pedestal) in pedestals.into_iter().enumerate() {
        let map = pixels.clone().map(|_| pedestal.to_le_bytes().to_vec());
        npy(&place(&format!("G{stage}.npy")), "<f4", MODULE, map);
    }
    let maps = "G0.npy,G1.npy,G2.npy";
    let screen = |args: &[&str]| {
        let mut command = hitgate();
        let output = command
            .current_dir(folder.path())
            .arg("screen")
            .args(args)
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let line = lines(&output.stdout).pop();
        (
            line.map(|line| ["p_hit", "p_maybe", "p_miss"].map(|p| line[p].clone())),
            said,
        )
    };
    let spots = |args: &[&str]| {
        let mut command = hitgate();
        let command = command.current_dir(folder.path()).arg("spots").args(args);
        lines(&command.assert().success().get_output().stdout)[0].clone()
    };
    let in_photons = spots(&[
        "raw.npy",
        "--list",
        "--pedestal",
        maps,
        "--adu-per-photon",
        "4,-2,-0.5",
    ]);
    let in_sixteenths = spots(&["counts.npy", "--list", "--threshold", "32"]);
    assert_eq!(in_photons["spots"], in_sixteenths["spots"]);
    assert_eq!(in_photons["spots"], 9, "a bright patch each 64,000 pixels");
    let counts = |line: &Value| line["list"][0]["counts"].as_f64().unwrap();
    let ratio = counts(&in_sixteenths) / counts(&in_photons);
    assert!((ratio / 16.0 - 1.0).abs() < 1e-3, "{ratio}");

    let (raw, said) = screen(&[
        "raw.npy",
        "--pedestal",
        maps,
        "--adu-per-photon",
        "4,-2,-0.5",
    ]);
    assert!(raw.is_some(), "{said}");
    assert_eq!(raw, screen(&["counts.npy"]).0);
    let (none, said) = screen(&["raw.npy"]);
    assert!(
        none.is_none() && said.contains("--pedestal") && said.contains("feed --raw"),
        "{said}"
    );

    let (none, said) = screen(&[
        "counts.npy",
        "--pedestal",
        maps,
        "--adu-per-photon",
        "4,-2,-0.5",
    ]);
    assert!(
        none.is_none() && said.contains("1024 x 512 u32") && said.contains("G0.npy"),
        "{said}"
    );
    let (none, said) = screen(&[
        "raw.npy",
        "--pedestal",
        "G0.npy",
        "--adu-per-photon",
        "4,-2",
    ]);
    assert!(none.is_none() && said.contains("G0, G1 and G2"), "{said}");
    let (none, said) = screen(&["raw.npy", "--pedestal", maps, "--adu-per-photon", "4,0,1"]);
    assert!(
        none.is_none() && said.contains("--adu-per-photon 0 for G1"),
        "{said}"
    );
}

/// A stack of two modules of a 2 x 1 tile and the geometry that puts them side by side.
fn modules(folder: &Path) -> (PathBuf, PathBuf) {
    let stack = folder.join("stack.npy");
    // [2, 4, 6] of u16: module, row, column.
    let header = "{'descr': '<u2', 'fortran_order': False, 'shape': (2, 4, 6), }";
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:<117}\n").bytes());
    bytes.extend((1..=48u16).flat_map(u16::to_le_bytes));
    std::fs::write(&stack, bytes).unwrap();
    let geometry = folder.join("two.geom");
    let panel = |n: u32, x: f64| {
        format!(
            "m{n}/dim1 = {n}\nm{n}/min_fs = 0\nm{n}/max_fs = 5\nm{n}/min_ss = 0\nm{n}/max_ss = 3\nm{n}/corner_x = {x}\nm{n}/corner_y = -2\n"
        )
    };
    let text = format!(
        "photon_energy = 9500 eV\nclen = 0.1\nres = 10000\nmax_adu = 40\n{}{}",
        panel(0, -7.0),
        panel(1, 1.0)
    );
    std::fs::write(&geometry, text).unwrap();
    (stack, geometry)
}

#[test]
fn modules_are_assembled_into_one_frame() {
    let folder = tempfile::tempdir().unwrap();
    let (stack, geometry) = modules(folder.path());
    let output = hitgate()
        .arg("screen")
        .arg(&stack)
        .arg("--geometry")
        .arg(&geometry)
        .assert()
        .success();
    let lines = lines(&output.get_output().stdout);
    assert_eq!(lines.len(), 1, "two modules are one frame");
    assert_eq!(lines[0]["geometry"], "flags");
    let output = hitgate()
        .arg("inspect")
        .arg(&stack)
        .arg("--geometry")
        .arg(&geometry)
        .assert()
        .success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    for part in [
        "1 frame",
        "14 x 4 pixels, u16",
        "of 2 panels in 6 x 8 pixels",
        "corners up to 0.00 pixels off",
        "distance 100.00 mm, beam at (7.00, 2.00), pixel 0.1000 mm",
        "mask       8 pixels",
        "saturation 40",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
}

#[test]
fn a_geometry_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (stack, geometry) = modules(folder.path());
    let said = |file: &Path, geometry: &Path, more: &[&str]| {
        complaint(
            hitgate()
                .arg("screen")
                .arg(file)
                .arg("--geometry")
                .arg(geometry)
                .args(more),
        )
    };
    let blank = bundled(BLANK);
    let text = std::fs::read_to_string(&geometry).unwrap();
    let wide = folder.path().join("wide.geom");
    std::fs::write(&wide, text.replace("max_fs = 5", "max_fs = 6")).unwrap();
    assert!(said(&stack, &wide, &[]).contains("the geometry places panels in 7 x 8"));
    let broken = folder.path().join("broken.geom");
    std::fs::write(&broken, text.replace("clen = 0.1", "clen = far")).unwrap();
    let broken = said(&blank, &broken, &[]);
    assert!(
        broken.contains("broken.geom") && broken.contains("line 2"),
        "{broken}"
    );
    let part = folder.path().join("part.geom");
    std::fs::write(&part, text.replace("clen = 0.1", "clen = /LCLS/detector")).unwrap();
    assert!(said(&stack, &part, &[]).contains("distance_mm is not known"));
    let missing = folder.path().join("missing.geom");
    assert!(said(&stack, &missing, &[]).contains("missing.geom: no such file"));
    let raw = [
        "--pedestal",
        "a.npy,b.npy,c.npy",
        "--adu-per-photon",
        "1,1,1",
    ];
    let raw = said(&stack, &geometry, &raw);
    assert!(
        raw.contains("--geometry moves them") && raw.contains("correct them first"),
        "{raw}"
    );
}

/// An NPY file of so many frames of 8 lines of 12 pixels.
fn frames(path: &Path, frames: usize) {
    let header =
        format!("{{'descr': '<u2', 'fortran_order': False, 'shape': ({frames}, 8, 12), }}");
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:<117}\n").bytes());
    let counts = (0..frames * 96).map(|i| (i % 7) as u16);
    bytes.extend(counts.flat_map(u16::to_le_bytes));
    std::fs::write(path, bytes).unwrap();
}

/// A mask of that shape.
fn mask(path: &Path, excludes: impl Fn(usize) -> bool) {
    let pixels = (0..96).map(|pixel| vec![u8::from(excludes(pixel))]);
    npy(path, "|u1", [8, 12], pixels);
}

/// Lines of what a command says on standard error with some words in them.
fn told(command: &mut Command, words: &str) -> Vec<String> {
    let said = common::said(&command.output().unwrap()).1;
    let lines = said.lines().filter(|line| line.contains(words));
    lines.map(String::from).collect()
}

#[test]
fn a_geometry_that_reaches_to_a_part_of_the_images_is_warned_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let files = ["a.npy", "b.npy", "c.npy"].map(place);
    files.iter().for_each(|file| frames(file, 2));
    let geometry = place("panel.geom");
    let said = |[columns, rows]: [u32; 2], command: &[&str], files: &[PathBuf]| {
        let text = format!(
            "photon_energy = 9500 eV\nclen = 0.1\nres = 10000\np/min_fs = 0\np/max_fs = {}\np/min_ss = 0\np/max_ss = {}\np/corner_x = -6\np/corner_y = -4\n",
            columns - 1,
            rows - 1
        );
        std::fs::write(&geometry, text).unwrap();
        let mut command = hitgate_with(command);
        command.args(files).arg("--geometry").arg(&geometry);
        told(&mut command, "panels in")
    };
    for command in ["screen", "spots", "inspect"] {
        let files = if command == "inspect" {
            &files[..1]
        } else {
            &files[..]
        };
        let told = said([6, 4], &[command], files);
        let more = told.iter().filter(|line| line.contains("2 more like this"));
        assert_eq!(told.len() - more.count(), 1, "{told:?}");
        let first = &told[0];
        assert!(first.contains("6 x 4 of 12 x 8 pixels"), "{first}");
        assert!(
            first.contains("75.0 %") && first.contains("panel.geom"),
            "{first}"
        );
        // All of it, or all but a margin.
        for whole in [[12, 8], [11, 8]] {
            assert!(said(whole, &[command], files).is_empty());
        }
    }
    // Panels one under another are the normal case.
    let (stack, geometry) = modules(folder.path());
    let mut command = hitgate_with(&["screen", "--geometry"]);
    assert!(told(command.arg(geometry).arg(stack), "panels in").is_empty());
}

#[test]
fn inspect_tells_what_a_mask_takes() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (file, excluding) = (place("run.npy"), place("mask.npy"));
    frames(&file, 1);
    mask(&excluding, |pixel| pixel < 24);
    // Of counts from 0 to 6 in turn, 14 are a 0, and 4 of them are among the first 24.
    std::fs::write(place("run.json"), r#"{"mask_values": [0]}"#).unwrap();
    let inspect = |mask: Option<&Path>| {
        let mut command = hitgate_with(&["inspect"]);
        command.arg(&file);
        if let Some(mask) = mask {
            command.arg("--mask").arg(mask);
        }
        let output = command.assert().success();
        String::from_utf8(output.get_output().stdout.clone()).unwrap()
    };
    let text = inspect(Some(&excluding));
    for line in [
        "mask       none",
        "--mask     24 pixels (25.0 %)",
        "values     14 pixels (14.6 %) without a measurement, of value 0",
        "excluded   34 pixels (35.4 %) of 96 in the first frame",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let text = inspect(None);
    assert!(
        text.contains("excluded   14 pixels (14.6 %) of 96"),
        "{text}"
    );
    let other = bundled("cspad_2x1_cxitut13.npy");
    let mut command = hitgate_with(&["inspect"]);
    let said = complaint(command.arg(&file).arg("--mask").arg(&other));
    assert!(said.contains("the mask has 388 x 185 pixels"), "{said}");
}

#[test]
fn a_window_that_the_frame_fills_little_of_is_warned_of() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.npy");
    frames(&file, 2);
    let mut screen = hitgate_with(&[
        "screen",
        "--beam-center=6,4",
        "--wavelength=1.3",
        "--pixel=0.1",
    ]);
    let told = told(screen.arg("--distance=1000").arg(&file), "the window of");
    assert!(
        told.len() == 1 && told[0].contains("is filled to 0.0 % by the frame"),
        "{told:?}"
    );
}

#[test]
fn a_mask_that_takes_all_much_or_nothing_is_warned_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let files = ["a.npy", "b.npy", "c.npy"].map(place);
    files.iter().for_each(|file| frames(file, 2));
    let truth = place("truth.jsonl");
    let labels = files.each_ref().map(|file| {
        serde_json::json!({ "file": file, "index": 0, "class": "hit" }).to_string() + "\n"
    });
    std::fs::write(&truth, labels.concat()).unwrap();
    let excluding = place("mask.npy");
    // Of 96 pixels.
    for (excludes, words) in [
        (96, Some("excludes every pixel")),
        (0, Some("excludes no pixel")),
        (60, Some("excludes 62.5 % of the pixels")),
        (40, None),
    ] {
        mask(&excluding, |pixel| pixel < excludes);
        let mut screen = hitgate_with(&["screen"]);
        screen.args(&files);
        let mut eval = hitgate_with(&["eval", "--truth"]);
        eval.arg(&truth);
        let mut inspect = hitgate_with(&["inspect"]);
        inspect.arg(&files[0]);
        for mut command in [screen, eval, inspect] {
            let told = told(command.arg("--mask").arg(&excluding), "the mask");
            let first: Vec<_> = told
                .iter()
                .filter(|line| !line.contains("more like"))
                .collect();
            assert_eq!(first.len(), usize::from(words.is_some()), "{told:?}");
            let says = |line: &&&String| words.is_some_and(|words| line.contains(words));
            assert!(first.iter().all(|line| says(&line)), "{told:?}");
        }
    }
}

#[test]
fn a_frame_that_cannot_be_judged_is_told_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let (file, excluding) = (place("run.npy"), place("mask.npy"));
    frames(&file, 5);
    mask(&excluding, |_| true);
    let why = "every pixel of the window is excluded";
    for format in ["jsonl", "csv", "lst"] {
        let mut command = hitgate_with(&["screen", "--format", format, "--mask"]);
        command.arg(&excluding).arg(&file);
        let told = told(&mut command, why);
        assert!(
            told[0].contains("run.npy //0 cannot be judged, and is kept"),
            "{told:?}"
        );
        assert!(told[1].contains("4 more like this"), "{told:?}");
        assert_eq!(told.len(), 2, "{told:?}");
        if format == "csv" {
            let output = String::from_utf8(command.output().unwrap().stdout).unwrap();
            let fields = |line: &str| line.split(',').map(String::from).collect::<Vec<_>>();
            let mut rows = output.lines().map(fields);
            let names = rows.next().unwrap();
            let of = |row: &[String], name: &str| {
                let place = names.iter().position(|of| of == name);
                row[place.expect("a column of that name")].clone()
            };
            for row in rows {
                assert_eq!(row.len(), names.len(), "{row:?}");
                assert_eq!(of(&row, "reasons"), why);
                for empty in ["p_hit", "p_maybe", "p_miss", "class"] {
                    assert_eq!(of(&row, empty), "", "{row:?}");
                }
            }
        }
        if format == "jsonl" {
            let found = lines(&command.output().unwrap().stdout);
            for line in &found {
                let scores = ["p_hit", "p_maybe", "p_miss", "class"].map(|of| &line[of]);
                assert!(scores.iter().all(|of| of.is_null()), "{line}");
            }
            let reasons = found.iter().map(|line| line["reasons"].clone());
            assert!(
                reasons.eq([(); 5].map(|()| serde_json::json!([why]))),
                "{found:?}"
            );
        }
    }
}

#[test]
fn what_is_wrong_with_every_frame_is_told_once_with_a_count() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name);
    let names: Vec<String> = (0..9).map(|number| format!("run_{number}.npy")).collect();
    let files: Vec<PathBuf> = names.iter().map(|name| place(name)).collect();
    files.iter().for_each(|file| frames(file, 20));
    let told = |more: &[&str]| {
        let mut command = hitgate_with(&["screen"]);
        let said = complaint(command.args(&files).args(more));
        said.lines().map(String::from).collect::<Vec<_>>()
    };
    // A flag: it is named, and none of the files.
    let other = place("other.npy");
    npy(&other, "|u1", [4, 6], (0..24).map(|pixel| vec![pixel % 2]));
    let lines = told(&["--mask", other.to_str().unwrap()]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(
        lines[0].contains("the mask has 6 x 4 pixels, the frame 12 x 8"),
        "{lines:?}"
    );
    assert!(
        lines[1].contains("179 more like this: ") && lines[1].contains("the mask has"),
        "{lines:?}"
    );
    assert!(lines[2].contains("180 of the files or frames"), "{lines:?}");
    let missing = place("mask.npy");
    let lines = told(&["--mask", missing.to_str().unwrap()]);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[1].contains("8 more like this: "), "{lines:?}");
    // Files: some are named.
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        std::fs::write(file, &whole[..whole.len() - 1]).unwrap();
    }
    let lines = told(&[]);
    assert_eq!(lines.len(), 6, "{lines:?}");
    for (line, name) in lines.iter().zip(&names[..4]) {
        assert!(line.contains(name), "{lines:?}");
    }
    assert!(lines[4].contains("more like this: "), "{lines:?}");
}

#[test]
fn annotated_frames_of_cxidb_76_are_evaluated_and_prepared() {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../formats/tests/data/idh5.h5");
    std::fs::copy(data, folder.path().join("r0027_2000.h5")).unwrap();
    let truth = folder.path().join("expert_annotation.txt");
    let text = "r0027_2000.h5 [1] MISS\nr0027_2000.h5 [2] HIT\nr0027_2000.h5 [3] MAYBE\n";
    std::fs::write(&truth, text).unwrap();
    let output = hitgate()
        .args(["eval", "--json", "--truth"])
        .arg(&truth)
        .assert()
        .success();
    let sets: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let rows = sets["sets"][0]["confusion"].as_array().unwrap();
    let frames = |row: &Value| {
        row.as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_u64)
            .sum::<u64>()
    };
    assert_eq!(rows.iter().map(frames).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(sets["sets"][1]["set"], "r0027_2000");

    let out = folder.path().join("maps");
    hitgate()
        .arg("dataset")
        .arg(&out)
        .arg("--truth")
        .arg(&truth)
        .assert()
        .success();
    let labels = std::fs::read(folder.path().join("maps.jsonl")).unwrap();
    let labels = lines(&labels);
    let told: Vec<_> = labels
        .iter()
        .map(|l| (l["class"].as_str().unwrap(), l["frame"].as_u64().unwrap()))
        .collect();
    assert_eq!(told, [("miss", 0), ("hit", 1), ("maybe", 2)]);
    let maps = std::fs::read(folder.path().join("maps.npy")).unwrap();
    let header = String::from_utf8_lossy(&maps[..128]).into_owned();
    assert!(header.contains("(3, 224, 448)"), "{header}");
    let mut each = maps[128..].chunks(224 * 448);
    assert!(each.len() == 3 && each.all(|map| map.iter().any(|&cell| cell > 0)));

    std::fs::write(&truth, format!("{text}r0027_2000.h5 [4] HIT\n")).unwrap();
    let said = complaint(
        hitgate()
            .arg("dataset")
            .arg("--replace")
            .arg(&out)
            .arg("--truth")
            .arg(&truth),
    );
    assert!(said.contains("no frame 3"), "{said}");
}
