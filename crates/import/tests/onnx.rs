//! ONNX files of three exporters, made by `data/make.py`: all hold the same network.

use std::path::{Path, PathBuf};

use hitgate_core::net::Model;
use hitgate_core::verdict::Class;
use hitgate_import::float::{Convolution, MobileNet};
use hitgate_import::import::{ImportError, Options, import};
use hitgate_import::onnx::{FloatNet, OnnxError, OnnxFile};
use hitgate_import::scores::{self, Maps};
use hitgate_import::thresholds::Target;

const SIDE: usize = 32;
/// Batch norm folded by the exporter; batch norm left as nodes; the exporter that traces bytecode.
const FILES: [&str; 3] = ["folded.onnx", "norms.onnx", "dynamo.onnx"];

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// The map that PyTorch was asked about.
fn example() -> Vec<u8> {
    (0..SIDE * SIDE)
        .map(|i| ((31 * (i / SIDE) + 17 * (i % SIDE)) % 128) as u8)
        .collect()
}

fn assert_near(found: [f32; 3], wanted: [f32; 3], what: &str) {
    for (a, b) in found.iter().zip(wanted) {
        assert!(
            (a - b).abs() < 1e-4,
            "{what}: {found:?} instead of {wanted:?}"
        );
    }
}

#[test]
fn tract_and_plain_loops_answer_as_pytorch_did() {
    let text = std::fs::read_to_string(data("logits.json")).unwrap();
    let wanted: [f32; 3] = serde_json::from_str(&text).unwrap();
    for name in FILES {
        let file = OnnxFile::open(&data(name)).unwrap();
        let net = MobileNet::extract(&file, Some(SIDE)).unwrap();
        assert_eq!(
            (net.size, net.channels, net.blocks.len()),
            (SIDE, 1, 13),
            "{name}"
        );
        assert_near(net.run(&example()), wanted, name);
        let yardstick = FloatNet::load(&file, SIDE, 1).unwrap();
        assert_near(yardstick.run(&example()).unwrap(), wanted, name);
    }
}

/// Maps of noise with bright dots, more of them for hits; and their classes.
fn maps(count: usize) -> (Vec<u8>, Vec<Class>) {
    let mut state = 7u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        ((state >> 33) % below as u64) as usize
    };
    let classes: Vec<Class> = (0..count).map(|i| Class::ALL[i % 3]).collect();
    let mut levels = Vec::new();
    for class in &classes {
        let start = levels.len();
        levels.extend((0..SIDE * SIDE).map(|_| random(64) as u8));
        for _ in 0..[60, 15, 0][*class as usize] {
            levels[start + random(SIDE * SIDE)] = 127;
        }
    }
    (levels, classes)
}

#[test]
fn an_import_answers_as_the_float_network_does() {
    let (levels, classes) = maps(300);
    let maps = Maps::new(&levels, &classes, SIDE * SIDE).unwrap();
    let options = Options {
        target: Target::Rejection(0.9),
        temperature: 1.5,
        text: "random weights, for tests".into(),
        ..Options::new(SIDE)
    };
    let imported = import(&data("folded.onnx"), maps, maps, &options).unwrap();

    // Random weights spread activations further than trained ones: 7 bits cost more here.
    assert!(
        imported.parity.largest_difference < 0.1,
        "{}",
        imported.parity
    );
    assert_eq!(imported.parity.verdicts_equal.n, 300);
    let model = Model::parse(&imported.hgm).unwrap();
    assert_eq!(model.threshold(), imported.meta.threshold);
    assert_eq!(model.operating_points().len(), imported.points.len());
    let scored = scores::integer(&model, maps).unwrap();
    let dropped = scored
        .iter()
        .filter(|frame| !frame.wanted() && frame.keep() * 65536.0 < f64::from(model.threshold()));
    assert!(dropped.count() >= 90);
    let mean = model.statistics().mean;
    assert!(0.0 < mean.low && mean.low < mean.high && mean.high < 127.0);
}

#[test]
fn all_exporters_hold_the_same_numbers() {
    let extract = |name| {
        let file = OnnxFile::open(&data(name)).unwrap();
        MobileNet::extract(&file, Some(SIDE)).unwrap()
    };
    let [folded, norms, dynamo] = FILES.map(extract);
    for other in [&norms, &dynamo] {
        for (a, b) in folded.convolutions().zip(other.convolutions()) {
            assert_eq!((a.window, a.stride), (b.window, b.stride), "{}", b.node);
            assert_eq!((a.inputs, a.outputs), (b.inputs, b.outputs), "{}", b.node);
            let numbers = |c: &Convolution| [c.weights.clone(), c.bias.clone()].concat();
            // Folding batch norm here or in the exporter rounds differently.
            for (a, b) in numbers(a).iter().zip(numbers(b)) {
                assert!((a - b).abs() < 1e-5 * (1.0 + a.abs()), "{a} {b}");
            }
        }
        assert_eq!(folded.head_weights, other.head_weights);
        assert_eq!(folded.head_bias, other.head_bias);
    }
}

#[test]
fn bad_input_is_named() {
    let missing = OnnxFile::open(&data("nowhere.onnx")).err().unwrap();
    assert!(missing.to_string().contains("nowhere.onnx"), "{missing}");
    let foreign = OnnxFile::open(&data("make.py")).err().unwrap();
    assert!(matches!(foreign, OnnxError::NotOnnx { .. }), "{foreign}");

    let file = OnnxFile::open(&data("norms.onnx")).unwrap();
    let size = MobileNet::extract(&file, Some(224)).err().unwrap();
    assert!(size.to_string().contains("32 x 32"), "{size}");

    let (levels, classes) = maps(6);
    let maps = Maps::new(&levels, &classes, SIDE * SIDE).unwrap();
    let misses = Maps::new(&levels[..SIDE * SIDE], &[Class::Miss], SIDE * SIDE).unwrap();
    let halves = [Class::Miss; 12];
    let small = Maps::new(&levels, &halves, SIDE * SIDE / 2).unwrap();
    let import = |validation, temperature| {
        let options = Options {
            temperature,
            ..Options::new(SIDE)
        };
        import(&data("norms.onnx"), maps, validation, &options)
            .err()
            .unwrap()
    };
    assert!(matches!(
        import(misses, 1.0),
        ImportError::NoMaps { class: "hit", .. }
    ));
    assert!(matches!(
        import(small, 1.0),
        ImportError::MapSize {
            found: 512,
            expected: 1024,
            ..
        }
    ));
    assert!(matches!(
        import(maps, f32::NAN),
        ImportError::Temperature(_)
    ));
    assert!(Maps::new(&levels[1..], &classes, SIDE * SIDE).is_none());
}
