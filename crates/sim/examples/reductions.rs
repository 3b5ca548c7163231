//! Blocks of pixels → what preparations may be made of, for a comparison of preparations:
//! `reductions SEED MIX FIRST COUNT INPUT OUT`.
//!
//! OUT.npy is u16 [COUNT, 6, INPUT, INPUT]: of each block the largest count, the largest sum of
//! 2 × 2, of 3 × 3 and of 5 × 5 counts, the largest sum of 3 × 3 without the largest of the nine, and
//! the mean in 1/16; all of a block without a measurement 65535. OUT.jsonl has the labels.

use hitgate_core::prep::{EXCLUDED, Reduce};
use hitgate_sim::{Mix, Simulated, Simulator};
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufWriter, Write};

const FEATURES: usize = 6;
const LARGEST: u32 = 65534;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, mix, first, count, input, out] = arguments.as_slice() else {
        return Err("usage: reductions SEED natural|border|training FIRST COUNT INPUT OUT".into());
    };
    let mix = match mix.as_str() {
        "natural" => Mix::Natural,
        "border" => Mix::Border,
        "training" => Mix::Training,
        other => return Err(format!("{other} is no mix").into()),
    };
    let (first, count, input): (u64, u64, u32) = (first.parse()?, count.parse()?, input.parse()?);
    let simulator = Simulator::new(seed.parse()?, mix);
    let mut cells = BufWriter::new(File::create(format!("{out}.npy"))?);
    let mut header = format!(
        "{{'descr': '<u2', 'fortran_order': False, 'shape': ({count}, {FEATURES}, {input}, {input}), }}"
    );
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    cells.write_all(b"\x93NUMPY\x01\x00")?;
    cells.write_all(&(header.len() as u16).to_le_bytes())?;
    cells.write_all(header.as_bytes())?;
    let mut labels = BufWriter::new(File::create(format!("{out}.jsonl"))?);
    for from in (first..first + count).step_by(64) {
        let made: Vec<_> = (from..(from + 64).min(first + count))
            .into_par_iter()
            .map(|index| {
                let frame = simulator.window(index, input);
                (reduced(&frame, input), frame)
            })
            .collect();
        for (index, (features, frame)) in (from - first..).zip(made) {
            for feature in features.iter().flatten() {
                cells.write_all(&feature.to_le_bytes())?;
            }
            writeln!(
                labels,
                "{{\"index\": {index}, \"class\": \"{}\", \"spots\": {}, \"set\": \"{}\"}}",
                frame.truth.class.name(),
                frame.truth.spots,
                frame.set
            )?;
        }
    }
    cells.flush()?;
    labels.flush()?;
    Ok(())
}

/// The features of each block, by feature.
fn reduced(frame: &Simulated, input: u32) -> Vec<Vec<u16>> {
    let window = frame.preparation(input, Reduce::Maximum).window;
    let (columns, rows) = (frame.columns as i64, frame.rows as i64);
    let counts = counts(frame);
    let at = |x: i64, y: i64| {
        ((0..columns).contains(&x) && (0..rows).contains(&y))
            .then(|| counts[(y * columns + x) as usize])
            .flatten()
    };
    let sum = |x: i64, y: i64, side: i64| -> u32 {
        let first = (side - 1) / 2;
        (y - first..y - first + side)
            .flat_map(|y| (x - first..x - first + side).map(move |x| (x, y)))
            .filter_map(|(x, y)| at(x, y))
            .sum()
    };
    let n = i64::from(input);
    let k = i64::from(window.block);
    let mut features = vec![vec![u16::MAX; (n * n) as usize]; FEATURES];
    let radius = i64::from(window.radius);
    for v in 0..n {
        for u in 0..n {
            let (du, dv) = ((2 * u + 1 - n) * k, (2 * v + 1 - n) * k);
            if window.radius != u32::MAX && du * du + dv * dv > 4 * radius * radius {
                continue;
            }
            let (mut largest, mut total, mut valid) = ([0u32; 5], 0u64, 0u64);
            for y in (i64::from(window.top) + v * k..).take(k as usize) {
                for x in (i64::from(window.left) + u * k..).take(k as usize) {
                    let Some(count) = at(x, y) else { continue };
                    valid += 1;
                    total += u64::from(count);
                    let nine = sum(x, y, 3);
                    let brightest = (-1..=1)
                        .flat_map(|dy| (-1..=1).map(move |dx| (dx, dy)))
                        .filter_map(|(dx, dy)| at(x + dx, y + dy))
                        .max()
                        .unwrap_or(0);
                    let found = [count, sum(x, y, 2), nine, sum(x, y, 5), nine - brightest];
                    for (largest, found) in largest.iter_mut().zip(found) {
                        *largest = (*largest).max(found);
                    }
                }
            }
            if let Some(mean) = (16 * total + valid / 2).checked_div(valid) {
                let cell = (v * n + u) as usize;
                for (feature, value) in features
                    .iter_mut()
                    .zip(largest.into_iter().chain([mean as u32]))
                {
                    feature[cell] = value.min(LARGEST) as u16;
                }
            }
        }
    }
    features
}

/// What each pixel counted; none where it is excluded.
fn counts(frame: &Simulated) -> Vec<Option<u32>> {
    let (columns, rows) = (frame.columns as usize, frame.rows as usize);
    let mut counts = vec![0; columns * rows];
    frame
        .preparation(1, Reduce::Maximum)
        .read_counts(&frame.as_frame(), 0..columns, 0..rows, &mut counts)
        .expect("a simulated frame has its own shape");
    let measured = |&count: &u32| (count != EXCLUDED).then(|| count.min(0xFFFF));
    counts.iter().map(measured).collect()
}
