//! Writes a model of any width with pseudo-random weights: to see what a width costs before it is trained.
//!
//! `cargo run --release -p hitgate-import --example random_model -- WIDTH INPUT FILE`

use hitgate_import::random;

const USAGE: &str = "usage: random_model WIDTH INPUT FILE";

/// Of the preparation that such a file names.
const CHANNELS: u32 = 1;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [width, input, file] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let width: f32 = width.parse()?;
    if !(0.05..=4.0).contains(&width) {
        return Err(format!("a width of {width}: 0.05 to 4 are possible").into());
    }
    let bytes = random::file(width, input.parse()?, CHANNELS, 1)?;
    std::fs::write(file, bytes)?;
    Ok(())
}
