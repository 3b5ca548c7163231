//! The model file from both sides: what is written is what is read, and no bytes make a panic.

use std::sync::LazyLock;

use hitgate_core::net::{
    Arena, FormatError, Layer, Model, Plan, Problem, Range, Section, Statistics, format,
};
use hitgate_core::prep::Reduce;
use hitgate_import::hgm::{self, WriteError};
use hitgate_import::model::{Block, Conv, ModelMeta, Network, OperatingPoint, channels};
use hitgate_import::random;
use hitgate_kernels::Level;
use proptest::prelude::*;

static FILE: LazyLock<Vec<u8>> =
    LazyLock::new(|| hgm::write(&network(), &meta(), &random::map(8, 2, 1)).expect("sound"));

/// Two blocks, so that every byte of the file gets its turn in the property tests.
fn network() -> Network {
    let mut network = random::network(0.25, 8, 2, 9);
    network.blocks.truncate(2);
    network.pool_scale.truncate(32);
    network.head_weights.truncate(3 * 32);
    network
}

fn meta() -> ModelMeta {
    let range = |low, high| Range { low, high };
    ModelMeta {
        d_water: 3.4,
        reduce: Reduce::Mean,
        threshold: 12_345,
        operating_points: vec![
            point("recall-0.95", 30_000),
            point("exactly-24-bytes-of-name", 1),
        ],
        statistics: Statistics {
            valid: range(0.5, 1.0),
            mean: range(10.0, 90.5),
            zero: range(0.0, 0.25),
        },
        seed: 0xFEDC_BA98_7654_3210,
        onnx_sha256: std::array::from_fn(|i| i as u8),
        text: "simulated, 3.4 Å".into(),
    }
}

fn point(name: &str, threshold: u16) -> OperatingPoint {
    OperatingPoint {
        name: name.into(),
        threshold,
        recall_target: 0.95,
        hits_kept: (96, 100),
        recall_bound: 0.91,
        misses_dropped: (880, 1000),
    }
}

fn problem(file: &[u8]) -> (Section, Problem) {
    match Model::parse(file).expect_err("a wrong file") {
        FormatError::Section { section, problem } => (section, problem),
        other => panic!("{other}"),
    }
}

/// Makes the CRC fit again, so that the checks behind it are reached.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    if file.len() >= format::HEADER {
        let crc = crc32fast::hash(&file[format::CRC_FROM..]);
        file[format::CRC_AT..format::CRC_FROM].copy_from_slice(&crc.to_le_bytes());
    }
    file
}

/// `file` with its length field true and its CRC fitting.
fn sealed_at_length(mut file: Vec<u8>) -> Vec<u8> {
    if file.len() >= format::HEADER {
        let length = file.len() as u32;
        file[16..20].copy_from_slice(&length.to_le_bytes());
    }
    sealed(file)
}

/// Where section `code` starts, by the table.
fn offset(section: Section) -> usize {
    let (kind, layer) = section.code();
    let line = FILE[format::HEADER..]
        .chunks_exact(format::ENTRY)
        .find(|line| line[..2] == kind.to_le_bytes() && line[2..4] == layer.to_le_bytes())
        .expect("the section is in the table");
    u32::from_le_bytes(line[4..8].try_into().expect("four bytes")) as usize
}

/// The file with `bytes` at `at` within `section`.
fn with(section: Section, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut file = FILE.clone();
    let at = offset(section) + at;
    file[at..at + bytes.len()].copy_from_slice(bytes);
    sealed(file)
}

/// Whatever parses must also pack and run.
fn parse_and_run(file: &[u8]) -> Result<[i32; 3], FormatError> {
    let model = Model::parse(file)?;
    let golden = model.golden();
    let _ = (
        model.operating_points().count(),
        model.provenance(),
        model.multiply_adds(),
    );
    let level = Level::detect();
    let memory = Plan::memory(&model, level);
    let (mut packed, mut arena) = (vec![0; memory.packed], vec![0; memory.arena]);
    let plan = Plan::new(&model, level, &mut packed).expect("the memory that was asked for");
    Ok(plan
        .infer(&mut Arena::new(&mut arena), golden.map)
        .expect("a map of the right size"))
}

#[test]
fn what_is_written_is_read() {
    let (network, meta) = (network(), meta());
    // At an odd address, too: `include_bytes!` promises no alignment.
    let mut askew = vec![0];
    askew.extend(FILE.iter());
    let model = Model::parse(&askew[1..]).expect("a sound file");

    let input = model.input();
    assert_eq!((input.size, input.channels), (8, 2));
    assert_eq!((input.reduce, input.d_water), (meta.reduce, meta.d_water));
    assert_eq!(model.threshold(), meta.threshold);
    let points: Vec<_> = model
        .operating_points()
        .map(|point| OperatingPoint {
            name: point.name.into(),
            threshold: point.threshold,
            recall_target: point.recall_target,
            hits_kept: point.hits_kept,
            recall_bound: point.recall_bound,
            misses_dropped: point.misses_dropped,
        })
        .collect();
    assert_eq!(points, meta.operating_points);
    assert_eq!(model.statistics(), meta.statistics);
    assert_eq!(model.provenance().seed, meta.seed);
    assert_eq!(model.provenance().onnx_sha256, meta.onnx_sha256);
    assert_eq!(model.provenance().text, meta.text);

    let conv = |view: hitgate_core::net::Convolution<'_>| Conv {
        weights: view.weights().to_vec(),
        bias: view.biases().collect(),
        scale: view.scales().collect(),
    };
    let read = Network {
        input: input.size,
        channels: input.channels,
        stem: conv(model.stem()),
        blocks: model
            .blocks()
            .iter()
            .map(|block| Block {
                stride: block.stride() as u8,
                depthwise: conv(block.depthwise()),
                pointwise: conv(block.pointwise()),
            })
            .collect(),
        pool_scale: model.pool_scales().collect(),
        head_weights: model.head().weights().to_vec(),
        head_bias: model.head().biases(),
        head_scale: model.head().scale(),
    };
    assert_eq!(read, network);
    assert_eq!(parse_and_run(&FILE), Ok(model.golden().logits));
}

#[test]
fn sections_are_aligned() {
    let tables = (
        FILE.len(),
        u32::from_le_bytes(FILE[20..24].try_into().expect("four bytes")),
    );
    assert_eq!(tables.1, 8 + 3 * 5 + 1 + 3);
    for section in [
        Section::Input,
        Section::Provenance,
        Section::Weights(Layer::Pointwise(2)),
    ] {
        assert_eq!(offset(section) % 64, 0, "{section}");
    }
}

#[test]
fn another_kind_of_file_a_newer_version_a_cut_and_a_flip_are_told_apart() {
    assert_eq!(
        Model::parse(b"\x08\x07onnx").err(),
        Some(FormatError::NotAModel)
    );
    assert_eq!(Model::parse(&[]).err(), Some(FormatError::NotAModel));
    let mut newer = FILE.clone();
    newer[8] = 2;
    assert_eq!(
        Model::parse(&newer).err(),
        Some(FormatError::Newer { version: 2 })
    );
    let text = FormatError::Newer { version: 2 }.to_string();
    assert!(
        text.contains("version 2") && text.contains("update the program"),
        "{text}"
    );
    let (found, expected) = (FILE.len() - 1, FILE.len());
    let cut = Model::parse(&FILE[..found]).err();
    assert_eq!(cut, Some(FormatError::FileLength { found, expected }));
    let mut flipped = FILE.clone();
    let at = offset(Section::Weights(Layer::Stem));
    flipped[at] ^= 1;
    assert!(matches!(
        Model::parse(&flipped),
        Err(FormatError::Damaged { .. })
    ));
}

#[test]
fn an_error_names_the_section_and_the_rule() {
    use Layer::*;
    use Section::*;
    let nan = f32::NAN.to_le_bytes();
    let zero = 0f32.to_le_bytes();
    let cases: &[(Section, usize, &[u8], &str)] = &[
        (
            Input,
            0,
            &[0; 4],
            "section `input`: the size must be 1 to 4096",
        ),
        (
            Input,
            4,
            &[5, 0, 0, 0],
            "section `input`: the channels must be 1 to 4",
        ),
        (
            Input,
            4,
            &[0],
            "section `input`: the channels must be 1 to 4",
        ),
        (
            Input,
            8,
            &[3],
            "section `input`: the reduction must be 0, 1 or 4",
        ),
        (
            Input,
            12,
            &nan,
            "section `input`: d_water must be finite and positive",
        ),
        (
            Classes,
            0,
            b"sit",
            "section `classes`: the classes must be hit, maybe, miss, in this order",
        ),
        (
            Shapes,
            0,
            &[17],
            "section `shapes`: the blocks must be 1 to 16",
        ),
        (
            Shapes,
            4,
            &[9],
            "section `shapes`: channels must be a multiple of 8, from 8 to 4096",
        ),
        (
            Shapes,
            4,
            &[0],
            "section `shapes`: channels must be a multiple of 8, from 8 to 4096",
        ),
        (
            Shapes,
            12,
            &[0],
            "section `shapes`: channels must be a multiple of 8, from 8 to 4096",
        ),
        (
            Shapes,
            12,
            &[8, 16],
            "section `shapes`: channels must be a multiple of 8, from 8 to 4096",
        ),
        (
            Shapes,
            0,
            &[0],
            "section `shapes`: the blocks must be 1 to 16",
        ),
        (Shapes, 8, &[3], "section `shapes`: a stride must be 1 or 2"),
        (
            Shapes,
            20,
            &[24],
            "section `block 2 pointwise weights`: has 512 bytes, its shape demands 384",
        ),
        (
            Decision,
            2,
            &[17],
            "section `decision`: there are at most 16 operating points",
        ),
        (
            Decision,
            8,
            &[0xFF],
            "section `decision`: an operating point's name must be UTF-8",
        ),
        (
            Decision,
            8 + 28,
            &nan,
            "section `decision`: a recall must be 0 to 1",
        ),
        (
            Decision,
            8 + 32,
            &[101],
            "section `decision`: of n frames at most n are kept or dropped",
        ),
        (
            Statistics,
            4,
            &zero,
            "section `statistics`: a range must be finite and not empty",
        ),
        (
            GoldenInput,
            5,
            &[128],
            "section `golden input`: a level must be 0 to 127",
        ),
        (
            GoldenOutput,
            12,
            &[0xFF, 0xFF],
            "section `golden output`: the probabilities are not those of the logits",
        ),
        (
            Provenance,
            44,
            &[0xFF],
            "section `provenance`: the text must be UTF-8",
        ),
        (
            Scales(Depthwise(2)),
            4,
            &nan,
            "section `block 2 depthwise scales`: channel 1: the scale must be finite and positive",
        ),
        (
            Scales(Stem),
            0,
            &zero,
            "section `stem scales`: channel 0: the scale must be finite and positive",
        ),
        (
            Scales(Pool(2)),
            0,
            &nan,
            "section `pool scales`: channel 0: the scale must be finite and positive",
        ),
        (
            Scales(Head(2)),
            0,
            &zero,
            "section `head scales`: channel 0: the scale must be finite and positive",
        ),
        (
            Scales(Depthwise(2)),
            4,
            &1e9f32.to_le_bytes(),
            "section `block 2 depthwise scales`: channel 1: its sum times the scale can leave i32: the scale is too large",
        ),
        (
            Scales(Pool(2)),
            0,
            &1e9f32.to_le_bytes(),
            "section `pool scales`: channel 0: its sum times the scale can leave i32: the scale is too large",
        ),
        (
            Biases(Pointwise(1)),
            8,
            &i32::MAX.to_le_bytes(),
            "section `block 1 pointwise biases`: channel 2: its sum can leave i32: the bias is too large",
        ),
        (
            Biases(Head(2)),
            4,
            &i32::MIN.to_le_bytes(),
            "section `head biases`: channel 1: its sum can leave i32: the bias is too large",
        ),
    ];
    for (section, at, bytes, text) in cases {
        let error = Model::parse(&with(*section, *at, bytes)).expect_err(text);
        assert_eq!(error.to_string(), format!("model file, {text}"));
    }
}

#[test]
fn a_wrong_table_is_named() {
    let entry = |section: Section| {
        let (kind, layer) = section.code();
        let lines = FILE[format::HEADER..].chunks_exact(format::ENTRY);
        let index = lines
            .clone()
            .position(|line| line[..2] == kind.to_le_bytes() && line[2..4] == layer.to_le_bytes())
            .expect("the section is in the table");
        format::HEADER + index * format::ENTRY
    };
    let section = Section::Biases(Layer::Depthwise(1));
    let change = |at: usize, value: u32| {
        let mut file = FILE.clone();
        file[at..at + 4].copy_from_slice(&value.to_le_bytes());
        sealed(file)
    };
    let at = entry(section);
    assert_eq!(problem(&change(at, 99)), (section, Problem::Missing));
    let expected = offset(section) as u32;
    let found = expected + 64;
    assert_eq!(
        problem(&change(at + 4, found)),
        (section, Problem::Offset { found, expected })
    );
    assert_eq!(
        problem(&change(at + 8, u32::MAX)),
        (section, Problem::Outside)
    );
    let (found, expected) = (28, 32);
    assert_eq!(
        problem(&change(at + 8, found as u32)),
        (section, Problem::Length { found, expected })
    );
    assert_eq!(
        problem(&change(20, u32::MAX)),
        (Section::Table, Problem::Outside)
    );
    assert_eq!(problem(&change(20, 0)).1, Problem::Missing);
}

#[test]
fn the_largest_sum_that_fits_is_accepted() {
    let (mut network, meta) = (network(), meta());
    let map = random::map(8, 2, 1);
    let products: i32 = network.stem.weights[..18]
        .iter()
        .map(|&w| 127 * i32::from(w).abs())
        .sum();
    network.stem.bias[0] = i32::MAX - products;
    assert!(hgm::write(&network, &meta, &map).is_ok());
    network.stem.bias[0] += 1;
    let error = hgm::write(&network, &meta, &map)
        .expect_err("one too much")
        .to_string();
    assert!(
        error.contains("section `stem biases`: channel 0"),
        "{error}"
    );
}

#[test]
fn the_writer_refuses_what_no_reader_would_take() {
    let map = random::map(8, 2, 1);
    let refused = |network: Network, meta: ModelMeta, map: &[u8]| {
        hgm::write(&network, &meta, map)
            .expect_err("refused")
            .to_string()
    };
    let mut short = network();
    short.blocks[1].pointwise.weights.pop();
    let error = refused(short, meta(), &map);
    assert!(error.contains("block 2 pointwise weights"), "{error}");
    let error = refused(network(), meta(), &map[1..]);
    assert!(error.contains("golden input"), "{error}");
    let mut named = meta();
    named.operating_points[0].name = "a name that is far too long".into();
    assert!(matches!(
        hgm::write(&network(), &named, &map),
        Err(WriteError::Name(_))
    ));
}

#[test]
fn channels_follow_the_rule() {
    assert_eq!(channels(32, 0.25), 8);
    assert_eq!(channels(64, 0.1), 8);
    assert_eq!(channels(128, 0.1), 16);
    assert_eq!(channels(64, 0.1875), 16);
    assert_eq!(channels(1024, 1.0), 1024);
    assert_eq!(channels(32, 0.01), 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn a_cut_file_is_an_error(length in 0..FILE.len()) {
        prop_assert!(Model::parse(&FILE[..length]).is_err());
        prop_assert!(parse_and_run(&sealed_at_length(FILE[..length].to_vec())).is_err());
    }

    #[test]
    fn a_flipped_bit_is_an_error(at in 0..FILE.len(), bit in 0..8) {
        let mut file = FILE.clone();
        file[at] ^= 1u8 << bit;
        prop_assert!(Model::parse(&file).is_err());
    }

    #[test]
    fn flipped_bits_under_a_fitting_crc_never_panic(
        flips in prop::collection::vec((0..FILE.len(), 0..8), 1..4),
    ) {
        let mut file = FILE.clone();
        for (at, bit) in flips {
            file[at] ^= 1u8 << bit;
        }
        let _ = parse_and_run(&sealed(file));
    }

    /// Most bytes are weights; these flips stay in front of them, where the structure is.
    #[test]
    fn a_flipped_structure_under_a_fitting_crc_never_panics(
        flips in prop::collection::vec((0..offset(Section::Weights(Layer::Stem)), 0..8), 1..4),
        length in prop::option::of(0..FILE.len()),
    ) {
        let mut file = FILE.clone();
        for (at, bit) in flips {
            file[at] ^= 1u8 << bit;
        }
        file.truncate(length.unwrap_or(FILE.len()));
        let _ = parse_and_run(&sealed_at_length(file));
    }

    #[test]
    fn any_bytes_behind_a_sound_header_never_panic(
        body in prop::collection::vec(any::<u8>(), 0..2000),
        sections in 0u32..40,
    ) {
        let mut file = FILE[..format::HEADER].to_vec();
        file[20..24].copy_from_slice(&sections.to_le_bytes());
        file.extend(body);
        prop_assert!(parse_and_run(&sealed_at_length(file)).is_err());
    }
}
