//! Maps → logits: equal to the oracle's on random models, and to the golden vector of the shipped one.

use hitgate_core::net::Model;
use hitgate_cuda::memory::Constants;
use hitgate_cuda::network::{Network, NetworkError};
use hitgate_import::{model, random};

use crate::oracle_network::oracle_network;
use crate::program::{ORDERS, Order, run};

/// The logits of `maps`, on a device of so many multiprocessors that has room for `most` at once.
fn infer(
    model: &Model<'_>,
    maps: &[Vec<u8>],
    most: u32,
    multiprocessors: u32,
    order: Order,
) -> Vec<[i32; 3]> {
    let mut constants = Constants::new();
    let network = Network::new(model, &mut constants).unwrap();
    let mut working = constants.behind().unwrap();
    let batch = network.place(most, &mut working).unwrap();
    let mut memory = constants.bytes().to_vec();
    // Nobody relies on what was there before.
    memory.resize(working.bytes() as usize, 0x5A);
    let at = batch.map as usize * 256;
    let all = maps.concat();
    memory[at..at + all.len()].copy_from_slice(&all);
    let launches = network.launches(&batch, maps.len() as u32, multiprocessors);
    run(&launches, order, &mut memory).unwrap_or_else(|e| panic!("{e}"));
    let at = batch.logits as usize * 256;
    let logits: Vec<i32> = (memory[at..at + 12 * maps.len()].chunks_exact(4))
        .map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap()))
        .collect();
    logits.as_chunks().0.to_vec()
}

fn expected(network: &model::Network, map: &[u8]) -> [i32; 3] {
    let (logits, _) = oracle_network(network, map);
    logits.map(|logit| logit.try_into().unwrap())
}

#[test]
fn logits_equal_the_oracles() {
    let shapes = [
        (0.25, 64, 2),
        (0.25, 32, 4),
        (0.25, 33, 1),
        (0.4, 17, 2),
        (0.5, 33, 3),
        (0.65, 32, 1),
        (0.75, 40, 2),
        (1.0, 32, 2),
        (0.1, 1, 1),
    ];
    for (width, input, channels) in shapes {
        let network = random::network(width, input, channels, 11);
        let file = random::file(width, input, channels, 11).unwrap();
        let model = Model::parse(&file).unwrap();
        let maps: Vec<_> = (0..2)
            .map(|seed| random::map(input, channels, seed))
            .collect();
        let logits: Vec<_> = maps.iter().map(|map| expected(&network, map)).collect();
        assert!(
            input == 1 || logits[0] != logits[1],
            "the answer hangs on the map"
        );
        // Few multiprocessors have much to do in a block, many share a layer's channels out.
        for (multiprocessors, order) in [(1, ORDERS[0]), (8, ORDERS[1]), (132, ORDERS[0])] {
            let found = infer(&model, &maps, 4, multiprocessors, order);
            assert_eq!(
                found, logits,
                "{width}/{input}/{channels}, {multiprocessors}, {order:?}"
            );
        }
        assert_eq!(infer(&model, &maps[..1], 1, 132, ORDERS[1]), logits[..1]);
    }
}

#[test]
fn a_channel_of_any_weights_and_scales_is_requantized_as_the_oracle_does() {
    // Sums near the ends of what is allowed, scales from next to nothing to as much as a file may hold.
    let mut network = random::network(0.25, 9, 1, 3);
    for (i, block) in network.blocks.iter_mut().enumerate() {
        for (channel, scale) in block.pointwise.scale.iter_mut().enumerate() {
            *scale *= [1.0, 0.01, 37.5, 3.0][(i + channel) % 4];
        }
        for (channel, bias) in block.depthwise.bias.iter_mut().enumerate() {
            *bias += [0, 16_777_217, -16_777_217, 9][(i + channel) % 4];
        }
    }
    let map = random::map(9, 1, 1);
    let file = random::file_of(&network, 0, &map).unwrap();
    let model = Model::parse(&file).unwrap();
    assert_eq!(
        infer(&model, std::slice::from_ref(&map), 1, 8, ORDERS[0]),
        [expected(&network, &map)]
    );
}

#[test]
fn the_shipped_model_gives_its_golden_logits() {
    let file = include_bytes!("../../../../models/mobilenet-v1-025-224/model.hgm");
    let model = Model::parse(file).unwrap();
    let golden = model.golden();
    for order in ORDERS {
        assert_eq!(
            infer(&model, &[golden.map.to_vec()], 1, 132, order),
            [golden.logits]
        );
    }
}

#[test]
fn a_level_above_127_counts_as_127() {
    let file = random::file(0.25, 16, 1, 5).unwrap();
    let model = Model::parse(&file).unwrap();
    let map: Vec<u8> = (0..=255).collect();
    let cut: Vec<u8> = map.iter().map(|&a| a.min(127)).collect();
    let logits = infer(&model, &[map, cut], 2, 8, ORDERS[0]);
    assert_eq!(logits[0], logits[1]);
}

#[test]
fn a_model_that_is_too_wide_is_refused() {
    let file = random::file(2.0, 1, 1, 5).unwrap();
    let model = Model::parse(&file).unwrap();
    let refused = Network::new(&model, &mut Constants::new()).err();
    let (block, channels, most) = (13, 2048, 1504);
    assert_eq!(
        refused,
        Some(NetworkError::Channels {
            block,
            channels,
            most
        })
    );
}

#[test]
fn a_batch_that_nobody_can_count_is_refused() {
    let file = random::file(0.25, 32, 1, 5).unwrap();
    let model = Model::parse(&file).unwrap();
    let mut constants = Constants::new();
    let network = Network::new(&model, &mut constants).unwrap();
    let mut working = constants.behind().unwrap();
    let refused = network.place(u32::MAX, &mut working).err();
    assert!(
        matches!(refused, Some(NetworkError::TooLarge(_))),
        "{refused:?}"
    );
}
