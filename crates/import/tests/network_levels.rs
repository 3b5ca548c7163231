//! A whole network gives the same integers on every level, and they are the oracle's.

mod oracle_network;

use hitgate_core::net::{Arena, InferError, Model, Plan, PlanError};
use hitgate_import::random;
use hitgate_kernels::Level;
use hitgate_testkit::expected_levels;
use hitgate_testkit::oracle::{self, Tensor};
use oracle_network::oracle_network;

fn infer(model: &Model<'_>, level: Level, map: &[u8]) -> [i32; 3] {
    let memory = Plan::memory(model, level);
    let (mut packed, mut arena) = (vec![0xAA; memory.packed], vec![0xAA; memory.arena]);
    let plan = Plan::new(model, level, &mut packed).expect("the memory that was asked for");
    let mut arena = Arena::new(&mut arena);
    let logits = plan
        .infer(&mut arena, map)
        .expect("a map of the right size");
    let again = plan
        .infer(&mut arena, map)
        .expect("a map of the right size");
    assert_eq!(
        logits, again,
        "what an inference leaves in the arena matters"
    );
    logits
}

#[test]
fn every_level_equals_the_oracle() {
    let shapes = [
        (0.25, 32, 1),
        (0.25, 64, 4),
        (0.25, 33, 2),
        (0.5, 64, 1),
        (0.5, 33, 3),
        (0.75, 17, 1),
        (0.4, 17, 2),
        (0.65, 32, 1),
        (1.0, 32, 1),
        (0.1, 1, 1),
    ];
    let mut levels = Vec::new();
    for (width, input, channels) in shapes {
        let file = random::file(width, input, channels, 11).expect("a sound network");
        let network = random::network(width, input, channels, 11);
        let model = Model::parse(&file).expect("a sound file");
        for seed in 0..2 {
            let map = random::map(input, channels, seed);
            let (logits, _) = oracle_network(&network, &map);
            for level in Level::all_available() {
                let found = infer(&model, level, &map).map(i64::from);
                assert_eq!(
                    found,
                    logits,
                    "{} at {width}/{input}/{channels}",
                    level.name()
                );
                levels.push(level.name());
            }
        }
        let golden = model.golden();
        for level in Level::all_available() {
            assert_eq!(
                infer(&model, level, golden.map),
                golden.logits,
                "{}",
                level.name()
            );
        }
        assert_eq!(model.score(golden.logits), golden.score);
    }
    for name in expected_levels() {
        assert!(
            levels.contains(&name.as_str()),
            "EXPECT_LEVELS names {name}, which did not run"
        );
    }
}

/// Where a panel fills only a part of the map: what becomes of the other rows is made once, and is right.
#[test]
fn empty_rows_change_no_answer() {
    for (width, input, channels) in [(0.1, 64, 1), (0.25, 33, 2), (0.1, 97, 1)] {
        let file = random::file(width, input, channels, 12).expect("a sound network");
        let network = random::network(width, input, channels, 12);
        let model = Model::parse(&file).expect("a sound file");
        for (start, end) in [
            (0, 0),
            (0, 1),
            (input - 1, input),
            (input / 3, input / 2),
            (0, input / 2),
            (input / 2, input),
            (2, input - 1),
        ] {
            let mut map = random::map(input, channels, start.into());
            let row = (input * channels) as usize;
            map[..start as usize * row].fill(0);
            map[end as usize * row..].fill(0);
            let (logits, _) = oracle_network(&network, &map);
            for level in Level::all_available() {
                let found = infer(&model, level, &map).map(i64::from);
                let name = level.name();
                assert_eq!(found, logits, "{name} at {input}, rows {start}..{end}");
            }
            let (whole, some) = (model.multiply_adds(), model.multiply_adds_of(&map));
            match 2 * (end - start) <= input {
                true => assert!(some < whole, "{some} of {whole}"),
                false => assert!(some <= whole, "{some} of {whole}"),
            }
        }
    }
}

/// Widths and inputs as they are used: too large for the oracle, which the level that is compared with equals on smaller ones.
#[test]
fn every_level_equals_the_scalar_one_on_the_sizes_in_use() {
    for width in [0.25, 0.5, 0.75, 1.0] {
        for input in [128, 160, 192, 224, 320] {
            let channels = if input == 224 { 2 } else { 1 };
            let file = random::file(width, input, channels, 7).expect("a sound network");
            let model = Model::parse(&file).expect("a sound file");
            let map = random::map(input, channels, 8);
            let mut levels = Level::all_available();
            let scalar = levels.next().expect("every CPU is scalar");
            assert_eq!(scalar.name(), "scalar");
            let logits = infer(&model, scalar, &map);
            for level in levels {
                let found = infer(&model, level, &map);
                assert_eq!(
                    found,
                    logits,
                    "{} at {width}/{input}/{channels}",
                    level.name()
                );
            }
        }
    }
}

#[test]
fn the_features_of_every_level_pool_to_what_the_head_sees() {
    for (width, input, channels) in [
        (0.25, 64, 2),
        (0.25, 33, 1),
        (1.0, 32, 1),
        (0.4, 33, 1),
        (0.1, 1, 1),
    ] {
        let file = random::file(width, input, channels, 11).expect("a sound network");
        let network = random::network(width, input, channels, 11);
        let model = Model::parse(&file).expect("a sound file");
        let map = random::map(input, channels, 3);
        let (_, features) = oracle_network(&network, &map);
        for level in Level::all_available() {
            let memory = Plan::memory(&model, level);
            let (mut packed, mut arena) = (vec![0xAA; memory.packed], vec![0xAA; memory.arena]);
            let plan = Plan::new(&model, level, &mut packed).expect("the memory asked for");
            let mut arena = Arena::new(&mut arena);
            let last = plan.features(&mut arena, &map).expect("a map that fits");
            let shape = last.shape();
            let pixels = |y| (0..shape.width).map(move |x| last.pixel(x, y));
            let (wanted, padding) = (features.len(), shape.channels - features.len());
            let tensor = Tensor {
                height: shape.height,
                width: shape.width,
                channels: wanted,
                data: (0..shape.height)
                    .flat_map(|y| pixels(y).flat_map(|pixel| &pixel[..wanted]))
                    .copied()
                    .collect(),
            };
            assert_eq!(oracle::pool(&tensor, &network.pool_scale), features);
            let mut filled_up = (0..shape.height).flat_map(pixels);
            assert!(filled_up.all(|pixel| pixel[wanted..] == vec![0; padding]));
            let logits = plan.infer(&mut arena, &map).expect("a map that fits");
            assert_eq!(logits, infer(&model, level, &map), "{}", level.name());
        }
    }
}

#[test]
fn activations_of_a_random_network_neither_die_nor_saturate() {
    for (width, input) in [(0.25, 64), (1.0, 32)] {
        let network = random::network(width, input, 1, 3);
        let (first, features) = oracle_network(&network, &random::map(input, 1, 1));
        let (second, _) = oracle_network(&network, &random::map(input, 1, 2));
        let share = |is: fn(&u8) -> bool| {
            features.iter().filter(|&a| is(a)).count() as f64 / features.len() as f64
        };
        assert!(share(|&a| a == 0) < 0.8, "dead at width {width}");
        assert!(share(|&a| a == 127) < 0.2, "saturated at width {width}");
        assert_ne!(first, second, "the answer hangs on the map");
    }
}

#[test]
fn a_level_above_127_counts_as_127() {
    let file = random::file(0.25, 16, 1, 5).expect("a sound network");
    let model = Model::parse(&file).expect("a sound file");
    let map: Vec<u8> = (0..=255).collect();
    let clamped: Vec<u8> = map.iter().map(|&a| a.min(127)).collect();
    for level in Level::all_available() {
        assert_eq!(infer(&model, level, &map), infer(&model, level, &clamped));
    }
}

#[test]
fn memory_that_is_too_small_or_askew_is_no_panic() {
    let file = random::file(0.25, 32, 1, 5).expect("a sound network");
    let model = Model::parse(&file).expect("a sound file");
    let golden = model.golden();
    for level in Level::all_available() {
        let memory = Plan::memory(&model, level);
        let mut packed = vec![0u8; memory.packed + 64];
        let mut arena = vec![0u8; memory.arena + 64];
        for askew in [0, 1, 3, 32, 63] {
            let room = &mut packed[askew..askew + memory.packed];
            let plan = Plan::new(&model, level, room).expect("the memory that was asked for");
            let mut room = Arena::new(&mut arena[askew..askew + memory.arena]);
            assert_eq!(plan.infer(&mut room, golden.map), Ok(golden.logits));
            let mut less = Arena::new(&mut arena[askew..askew + memory.arena - 127]);
            let short = plan.infer(&mut less, golden.map);
            assert!(matches!(short, Err(InferError::Arena { .. })), "{short:?}");
            let short = plan.infer(&mut Arena::new(&mut []), golden.map);
            assert!(matches!(short, Err(InferError::Arena { .. })), "{short:?}");
            let short = plan.infer(&mut Arena::new(&mut arena), &golden.map[1..]);
            let (found, expected) = (32 * 32 - 1, 32 * 32);
            assert_eq!(short, Err(InferError::Map { found, expected }));
        }
        for given in [0, 1, 63, 64, 1000, memory.packed - 127] {
            let error = Plan::new(&model, level, &mut packed[..given]).expect_err("too small");
            let needed = memory.packed;
            assert_eq!(error, PlanError { given, needed });
        }
    }
}
