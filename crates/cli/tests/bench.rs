//! `hitgate bench`: what it measures and what it says of it. How long anything takes is not tested.

mod common;

use std::path::Path;

use assert_cmd::Command;
use common::{bundled, complaint, lines};
use serde_json::Value;

/// A small panel, in a warm cache: a run of it is short.
const SMALL: [&str; 5] = [
    "--detector=cspad-2x1",
    "--frames=4",
    "--warm",
    "--json",
    "--pin=0",
];

fn bench(words: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin("hitgate"));
    command.arg("bench").args(words);
    command
}

/// What `bench WORDS` prints, a JSON object a line.
fn measured(words: &[&str]) -> Vec<Value> {
    let output = bench(words).assert().success();
    lines(&output.get_output().stdout)
}

/// Stage, window and cores of each line.
fn names(rows: &[Value]) -> Vec<String> {
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    rows.iter()
        .map(|row| format!("{} {}", word(&row["stage"]), word(&row["window"])))
        .collect()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} of {row}"))
}

fn onnx() -> &'static Path {
    Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../models/mobilenet-v1-025-224/model.onnx"
    ))
}

#[test]
fn every_stage_has_a_line_that_says_what_it_was_made_on_and_with() {
    let rows = measured(&SMALL);
    let expected = [
        "header crop",
        "prep crop",
        "net crop",
        "verdict crop",
        "path crop",
        "header whole",
        "prep whole",
        "net whole",
        "verdict whole",
        "path whole",
        "net -",
        "decode -",
    ];
    assert_eq!(names(&rows), expected);
    for row in &rows {
        assert_eq!(row["version"], env!("CARGO_PKG_VERSION"));
        for key in [
            "machine",
            "os",
            "commit",
            "isa",
            "model",
            "model_crc",
            "reduce",
        ] {
            assert!(!row[key].as_str().expect(key).is_empty(), "{key}");
        }
        assert_eq!((&row["width"], &row["input"]), (&0.25.into(), &224.into()));
        assert_eq!((&row["cores"], &row["frames"]), (&1.into(), &4.into()));
        assert_eq!((&row["pinned"], &row["cache"]), (&0.into(), &"warm".into()));
        assert!(number(row, "peak_gmacs") > 0.0 && number(row, "read_gb_s") > 0.0);
        let percentiles = ["min_us", "p50_us", "p90_us", "p99_us", "p999_us", "max_us"];
        let us = percentiles.map(|key| number(row, key));
        assert!(us[0] > 0.0 && us.is_sorted(), "{row}");
        let looks = ["prep", "path", "decode"].contains(&row["stage"].as_str().unwrap());
        assert_eq!(row["mpx"].is_f64(), looks, "{row}");
    }
    let whole = &rows[6];
    assert_eq!(number(whole, "mpx"), 388.0 * 185.0 / 1e6);
    // What a cache gives has no floor; what the network has to multiply has.
    assert!(whole["floor_us"].is_null());
    let [least, median] = ["floor_us", "floor_p50_us"].map(|key| number(&rows[7], key));
    assert!(0.0 < least && least <= median);
}

#[test]
fn compressed_frames_are_decoded_in_the_path() {
    let rows = measured(&[&SMALL[..], &["--compressed", "--window=crop"]].concat());
    let stages = ["header", "decode", "prep", "net", "verdict", "path"];
    let mut expected: Vec<_> = stages.map(|stage| format!("{stage} crop")).to_vec();
    expected.push("net -".into());
    assert_eq!(names(&rows), expected);
    assert!(rows.iter().all(|row| row["compressed"] == true));
    // How much of it has to be read is not known, nor has a window of unread blocks a floor.
    assert!(rows[1]["floor_us"].is_null() && rows[2]["floor_us"].is_null());
    let rows = measured(&[&SMALL[..], &["--compressed", "--stage=decode"]].concat());
    assert_eq!(names(&rows), ["decode crop", "decode whole"]);
    assert!(rows.iter().all(|row| row["alone"] == false));
}

#[test]
fn a_cold_path_has_the_floors_of_its_network_and_of_its_pixels() {
    let words = [
        "--detector=cspad-2x1",
        "--frames=2",
        "--json",
        "--window=whole",
    ];
    let rows = measured(&words);
    let floor = |stage: &str| {
        let row = rows
            .iter()
            .find(|row| row["stage"] == stage && row["alone"] == false);
        number(row.expect(stage), "floor_us")
    };
    assert!(floor("prep") > 0.0 && floor("net") > 0.0);
    assert!((floor("path") - floor("prep") - floor("net")).abs() < 0.01);
    let cold = |row: &Value| row["cache"] == "cold";
    assert!(
        rows.iter()
            .all(|row| cold(row) != (row["stage"] == "net" && row["alone"] == true))
    );
}

#[test]
fn people_read_a_table_with_what_the_floor_is() {
    let output = bench(&SMALL[..3]).assert().success();
    let text = String::from_utf8(output.get_output().stdout.clone()).unwrap();
    for words in [
        "p99.9",
        "min/floor",
        "p50/floor",
        "whole panel, 0.07 Mpx",
        "decode (warm)",
        "The floor is",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let rows = text
        .lines()
        .skip_while(|line| !line.starts_with("in the path"));
    let table: Vec<_> = rows.take_while(|line| !line.is_empty()).collect();
    assert_eq!(table.len(), 1 + 2 * (1 + 5));
    let widths = table.iter().filter(|line| line.starts_with("    "));
    let widths: Vec<_> = widths.map(|line| line.chars().count()).collect();
    assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
}

#[test]
fn a_stage_is_timed_by_name() {
    let of = |stage: &str, more: &[&str]| {
        let stage = format!("--stage={stage}");
        measured(&[&SMALL[..], &[stage.as_str()], more].concat())
    };
    assert_eq!(
        names(&of("verdict", &[])),
        ["verdict crop", "verdict whole"]
    );
    assert_eq!(names(&of("path", &["--window=crop"])), ["path crop"]);
    let net = of("net", &["--width=0.5", "--input=64", "--isa=scalar"]);
    assert_eq!(names(&net), ["net -"]);
    assert_eq!(
        (&net[0]["width"], &net[0]["input"]),
        (&0.5.into(), &64.into())
    );
    assert_eq!(
        (&net[0]["isa"], &net[0]["reduce"]),
        (&"scalar".into(), &"max".into())
    );
    assert_eq!(net[0]["alone"], true);
    // Of the first layer's channels, a multiple of eight, it would be 0.25.
    let net = of("net", &["--width=0.3", "--input=32", "--isa=scalar"]);
    assert_eq!(net[0]["width"], 0.3);
    let words = [
        "--frames=2",
        "--warm",
        "--json",
        "--stage=correct",
        "--detector=module",
    ];
    assert_eq!(names(&measured(&words)), ["correct crop", "correct whole"]);
}

#[test]
fn other_engines_take_the_place_of_the_filter() {
    let model = onnx().to_str().unwrap();
    let tract = ["--engine=tract", "--model", model, "--window=whole"];
    let rows = measured(&[&SMALL[..], &tract].concat());
    let net = rows.iter().find(|row| row["stage"] == "net").unwrap();
    assert_eq!(
        (&net["engine"], &net["isa"]),
        (&"tract".into(), &"tract".into())
    );
    assert!(net["floor_us"].is_null(), "what it multiplies is not known");
    let rows = measured(&[&SMALL[..], &["--engine=none", "--window=whole"]].concat());
    assert_eq!(
        names(&rows),
        ["header whole", "verdict whole", "path whole", "decode -"]
    );
}

#[test]
fn frames_that_come_by_the_clock_are_judged_or_lapped_beside_an_empty_filter() {
    let words = [
        "--detector=cspad-2x1",
        "--json",
        "--rate=100",
        "--seconds=0.2",
    ];
    let rows = measured(&words);
    assert_eq!(names(&rows), ["path crop", "path whole", "path -"]);
    let engines: Vec<_> = rows.iter().map(|row| row["engine"].clone()).collect();
    assert_eq!(engines, ["native", "native", "none"]);
    for row in &rows {
        assert_eq!(
            row["frames"].as_u64().unwrap() + row["lapped"].as_u64().unwrap(),
            20
        );
        assert_eq!(
            (&row["rate_hz"], &row["seconds"]),
            (&100.0.into(), &0.2.into())
        );
        assert!(number(row, "source_late_us") >= 0.0 && row["scaling"].is_null());
    }
    let rows = measured(&[&words[..], &["--engine=none"]].concat());
    assert_eq!(names(&rows), ["path -"]);
}

#[test]
fn a_filter_that_is_too_slow_is_lapped_and_late() {
    let words = [
        "--detector=cspad-2x1",
        "--json",
        "--window=whole",
        "--rate=50000",
        "--seconds=0.1",
    ];
    let filter = &measured(&words)[0];
    // Five thousand frames for hundreds of slots, and no network is done in 20 µs.
    let lapped = filter["lapped"].as_u64().unwrap();
    assert!(lapped > 0, "{filter}");
    assert_eq!(filter["frames"].as_u64().unwrap() + lapped, 5000);
    assert!(number(filter, "p50_us") > 1e6 / 50_000.0, "{filter}");
}

#[test]
fn several_cores_are_compared_with_one() {
    let words = [
        "--detector=cspad-2x1",
        "--frames=6",
        "--warm",
        "--json",
        "--stage=path",
    ];
    let rows = measured(&[&words[..], &["--window=whole", "--cores=1"]].concat());
    assert_eq!(
        (names(&rows), number(&rows[0], "scaling")),
        (vec!["path whole".into()], 1.0)
    );
    let two = [&words[..], &["--window=whole", "--cores=2"]].concat();
    if std::thread::available_parallelism().unwrap().get() == 1 {
        assert!(complaint(&mut bench(&two)).contains("--cores 1"));
        return;
    }
    let rows = measured(&two);
    let cores: Vec<_> = rows
        .iter()
        .map(|row| row["cores"].as_u64().unwrap())
        .collect();
    assert_eq!(cores, [1, 2]);
    assert_eq!(number(&rows[1], "frames"), 2.0 * number(&rows[0], "frames"));
    assert!(number(&rows[1], "shared_read_gb_s") > 0.0);
    let scaling = number(&rows[1], "frames_per_s") / number(&rows[0], "frames_per_s");
    assert!((number(&rows[1], "scaling") - scaling).abs() < 1e-6);
}

#[test]
fn percentiles_are_drawn() {
    let folder = tempfile::tempdir().unwrap();
    let drawing = folder.path().join("percentiles.svg");
    let name = drawing.to_str().unwrap();
    measured(&[&SMALL[..], &["--stage=path", "--plot", name]].concat());
    let text = std::fs::read_to_string(&drawing).unwrap();
    for words in ["<svg", "cspad-2x1", "path, whole", "share of frames"] {
        assert!(text.contains(words), "{words}");
    }
    let nowhere = folder.path().join("none/percentiles.svg");
    let words = ["--stage=path", "--plot", nowhere.to_str().unwrap()];
    let said = complaint(&mut bench(&[&SMALL[..], &words].concat()));
    assert!(said.contains("folder does not exist"), "{said}");
}

#[test]
fn what_cannot_be_timed_is_said_at_once() {
    let model = onnx().to_str().unwrap();
    let mistakes: [(&[&str], &str); 23] = [
        (
            &["--isa=amx"],
            "--isa amx: no such CPU level; there are scalar",
        ),
        (&["--detector=eiger32m"], "eiger16m"),
        (&["--stage=frobnicate"], "decode"),
        (&["--compressed", "--stage=net"], "leave one of them out"),
        (
            &["--compressed", "--engine=tract", "--model", model],
            "leave out --compressed",
        ),
        (&["--window=half"], "whole"),
        (&["--width=0.5", "--model=x.hgm"], "cannot be used with"),
        (&["--width=9"], "0.05 to 4"),
        (&["--width=nan"], "0.05 to 4"),
        (&["--input=64"], "--width"),
        (&["--model=/none.hgm"], "/none.hgm"),
        (&["--rate=0"], "must be a positive number"),
        (&["--rate=-5"], "must be a positive number"),
        (&["--rate=inf"], "must be a positive number"),
        (&["--rate=1e12"], "the most that can be timed"),
        (&["--rate=10", "--seconds=0"], "above 0"),
        (&["--rate=10", "--frames=5"], "cannot be used with"),
        (&["--seconds=5"], "--rate"),
        (&["--frames=0"], "--frames"),
        (&["--pin=1000000"], "cannot pin to core 1000000"),
        (&["--engine=none", "--stage=net"], "time another stage"),
        (&["--engine=tract"], "give it with --model"),
        (
            &["--engine=tract", "--isa=scalar", "--model", model],
            "leave out --isa",
        ),
    ];
    for (words, said) in mistakes {
        let complaint = complaint(&mut bench(words));
        assert!(complaint.contains(said), "{words:?}: {complaint}");
    }
    let cores = complaint(&mut bench(&["--cores=60000"]));
    assert!(cores.contains("give --cores"), "{cores}");
    let counting = ["--stage=correct", "--detector=eiger500k", "--frames=1"];
    assert!(complaint(&mut bench(&counting)).contains("no raw words"));
    for name in ["--plot=a.png", "--plot=svg"] {
        assert!(complaint(&mut bench(&[name])).contains("SVG"));
    }
    let frame = bundled("blank_pilatus300k.cbf.gz");
    let frame = ["--model", frame.to_str().unwrap()];
    assert!(complaint(&mut bench(&frame)).contains("cannot be used"));
}
