//! Writes frames beside their maps as PGM pictures:
//! `pictures SEED natural|training FIRST COUNT FOLDER`.
//!
//! The frame is on a logarithmic scale of counts, with a circle about each counted spot; the map is
//! the one that the network sees, a picture for each of its channels.

use hitgate_core::prep::Reduce;
use hitgate_kernels::Level;
use hitgate_sim::{Mix, Simulated, Simulator};
use std::path::Path;

const INPUT: u32 = 224;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [seed, mix, first, count, folder] = arguments.as_slice() else {
        return Err("usage: pictures SEED natural|training FIRST COUNT FOLDER".into());
    };
    let mix = if mix == "natural" {
        Mix::Natural
    } else {
        Mix::Training
    };
    let (first, count): (u64, u64) = (first.parse()?, count.parse()?);
    let simulator = Simulator::new(seed.parse()?, mix);
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder)?;
    for index in first..first + count {
        let frame = simulator.frame(index);
        let name = format!(
            "{index:05}-{}-{}-{}",
            frame.set,
            frame.truth.class.name(),
            frame.truth.spots
        );
        let mut grey = logarithmic(&frame);
        circle(&mut grey, &frame);
        write_pgm(
            &folder.join(format!("{name}-frame.pgm")),
            frame.columns,
            frame.rows,
            &grey,
        )?;
        let preparation = frame.preparation(INPUT, Reduce::Peaks);
        let mut words = vec![0; preparation.words()];
        let mut map = vec![0; preparation.map_bytes()];
        preparation.run(Level::detect(), &frame.as_frame(), &mut words, &mut map)?;
        for (first, channel) in ["sums", "rests"].into_iter().enumerate() {
            let levels: Vec<u8> = map.iter().skip(first).step_by(2).map(|l| 2 * l).collect();
            let path = folder.join(format!("{name}-{channel}.pgm"));
            write_pgm(&path, INPUT, INPUT, &levels)?;
        }
        println!("{name}: {:?}", frame.geometry);
    }
    Ok(())
}

/// Grey levels of the counts: 0 is black, each doubling of `count + 1` 13 levels brighter.
fn logarithmic(frame: &Simulated) -> Vec<u8> {
    let size = frame.pixel_type.size();
    let number = |bytes: &[u8]| match *bytes {
        [a, b] => f64::from(u16::from_le_bytes([a, b])),
        [a, b, c, d] => f64::from(i32::from_le_bytes([a, b, c, d])),
        _ => f64::from(bytes[0]),
    };
    let level = |counts: f64| (13.0 * (counts.max(0.0) + 1.0).log2()) as u8;
    frame
        .payload
        .chunks_exact(size)
        .map(|bytes| level(number(bytes)))
        .collect()
}

fn circle(grey: &mut [u8], frame: &Simulated) {
    for &[x, y] in &frame.spots {
        for step in 0..48 {
            let angle = f64::from(step) * std::f64::consts::TAU / 48.0;
            let (u, v) = (
                (x + 12.0 * angle.cos()) as i64,
                (y + 12.0 * angle.sin()) as i64,
            );
            if (0..i64::from(frame.columns)).contains(&u) && (0..i64::from(frame.rows)).contains(&v)
            {
                grey[v as usize * frame.columns as usize + u as usize] = 255;
            }
        }
    }
}

fn write_pgm(path: &Path, columns: u32, rows: u32, grey: &[u8]) -> std::io::Result<()> {
    let mut bytes = format!("P5\n{columns} {rows}\n255\n").into_bytes();
    bytes.extend(grey);
    std::fs::write(path, bytes)
}
