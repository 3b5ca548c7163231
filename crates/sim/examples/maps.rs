//! Writes prepared maps and their labels: `maps SEED natural|training FIRST COUNT INPUT max|mean OUT`.

use hitgate_core::prep::Reduce;
use hitgate_sim::{Labelled, Mix, Scratch, Simulator};
use rayon::prelude::*;
use std::io::{BufWriter, Write};
use std::time::Instant;

/// Maps between two writes.
const BATCH: u64 = 512;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, mix, first, count, input, reduce, out] = arguments.as_slice() else {
        return Err("usage: maps SEED natural|training FIRST COUNT INPUT max|mean OUT".into());
    };
    let mix = match mix.as_str() {
        "natural" => Mix::Natural,
        "training" => Mix::Training,
        other => return Err(format!("no mix {other}: natural or training").into()),
    };
    let reduce = match reduce.as_str() {
        "mean" => Reduce::Mean,
        "contrast" => Reduce::Contrast,
        _ => Reduce::Maximum,
    };
    let (first, count, input): (u64, u64, u32) = (first.parse()?, count.parse()?, input.parse()?);
    let simulator = Simulator::new(seed.parse()?, mix);
    let mut maps = BufWriter::new(std::fs::File::create(format!("{out}.npy"))?);
    let mut labels = BufWriter::new(std::fs::File::create(format!("{out}.jsonl"))?);
    maps.write_all(&npy_header(count, input))?;
    let started = Instant::now();
    let cells = (input * input) as usize;
    let mut pixels = 0;
    let mut start = first;
    while start < first + count {
        let end = (start + BATCH).min(first + count);
        let made: Vec<(Vec<u8>, Labelled)> = (start..end)
            .into_par_iter()
            .map_init(Scratch::default, |scratch, index| {
                let mut map = vec![0; cells];
                let labelled = simulator.map(index, input, reduce, &mut map, scratch);
                (map, labelled)
            })
            .collect();
        for (index, (map, labelled)) in (start..).zip(&made) {
            maps.write_all(map)?;
            let (class, spots, set) = (
                labelled.truth.class.name(),
                labelled.truth.spots,
                labelled.set,
            );
            writeln!(
                labels,
                r#"{{"index": {index}, "class": "{class}", "spots": {spots}, "set": "{set}"}}"#
            )?;
            pixels += labelled.pixels;
        }
        start = end;
    }
    maps.flush()?;
    labels.flush()?;
    let seconds = started.elapsed().as_secs_f64();
    let threads = rayon::current_num_threads() as f64;
    eprintln!(
        "{count} maps in {seconds:.1} s: {:.1} maps/s, {:.1} Mpx/s a thread",
        count as f64 / seconds,
        pixels as f64 / 1e6 / seconds / threads
    );
    Ok(())
}

/// Version 1.0 header of an array of `count × input × input` bytes.
fn npy_header(count: u64, input: u32) -> Vec<u8> {
    let mut text = format!(
        "{{'descr': '|u1', 'fortran_order': False, 'shape': ({count}, {input}, {input}), }}"
    );
    while (10 + text.len() + 1) % 64 != 0 {
        text.push(' ');
    }
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}
