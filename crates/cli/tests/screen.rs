//! `hitgate screen` and its neighbours as a user meets them: on whole files, and on broken ones.

mod common;

use std::path::Path;

use assert_cmd::Command;
use common::{bundled, complaint, hitgate, lines, modules, npy};
use serde_json::Value;

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

/// An NPY file of `rows` lines of `columns` numbers.
fn image(
    path: &Path,
    descr: &str,
    [rows, columns]: [usize; 2],
    numbers: impl Iterator<Item = Vec<u8>>,
) {
    npy(path, descr, &format!("{rows}, {columns}"), numbers);
}

/// Lines and columns of a JUNGFRAU module.
const MODULE: [usize; 2] = [512, 1024];

#[test]
fn frames_smaller_than_the_window_or_not_of_whole_blocks_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let screen = |shape: [usize; 2], level: &str, more: &[&str]| {
        let frame = folder.path().join("frame.npy");
        let counts = (0..shape[0] * shape[1]).map(|i| (i % 7 % 3) as u16);
        let counts = counts.map(|count| count.to_le_bytes().to_vec());
        image(&frame, "<u2", shape, counts);
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
    image(
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
    image(
        &place("raw.npy"),
        "<u2",
        MODULE,
        pixels.clone().map(|i| word(i).to_le_bytes().to_vec()),
    );
    image(
        &place("counts.npy"),
        "<u4",
        MODULE,
        pixels.clone().map(|i| sixteenths(i).to_le_bytes().to_vec()),
    );
    for (stage, pedestal) in pedestals.into_iter().enumerate() {
        let map = pixels.clone().map(|_| pedestal.to_le_bytes().to_vec());
        image(&place(&format!("G{stage}.npy")), "<f4", MODULE, map);
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
