//! Small files of every format, made on the spot.

use std::path::{Path, PathBuf};

use hitgate_formats::{Geometry, Image, Metadata, Pixels};

pub const COLUMNS: u32 = 37;
pub const ROWS: u32 = 24;

/// Pixel `i` of frame `frame`, as `tests/data/make.py` makes it.
pub fn value(frame: u64, i: u64) -> u64 {
    ((i * 2_654_435_761 + frame * 40_503) >> 7) % 1021
}

pub fn values(frame: u64) -> impl Iterator<Item = u64> {
    (0..u64::from(COLUMNS * ROWS)).map(move |i| value(frame, i))
}

pub fn image(pixels: Pixels) -> Image {
    Image {
        columns: COLUMNS,
        rows: ROWS,
        pixels,
    }
}

/// Counts with everything a PILATUS writes: gaps, bad pixels, and differences of every width.
pub fn counts() -> Image {
    let mut counts: Vec<i32> = values(0).map(|v| v as i32).collect();
    counts[5] = -1;
    counts[6] = -2;
    counts[100] = 70_000;
    counts[101] = i32::MAX;
    counts[102] = i32::MIN;
    image(Pixels::I32(counts))
}

pub fn metadata() -> Metadata {
    Metadata {
        geometry: Some(Geometry {
            wavelength_a: 0.9763,
            distance_mm: 351.25,
            beam_center_px: [18.5, -3.25],
            pixel_mm: 0.172,
        }),
        detector: Some("PILATUS 1M, S/N 10-0000".into()),
        gain: 1.0,
        saturation: Some(115_897),
        offset: 0.0,
        mask_values: vec![-1, -2],
        mask: None,
    }
}

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// An uncompressed TIFF of `bits` a pixel in one strip: `format` is 1 unsigned, 2 signed, 3 float.
pub fn tiff(bits: u16, format: u16, pixels: &[u8], description: &str) -> Vec<u8> {
    let entries: [(u16, u16, u32); 10] = [
        (256, 4, COLUMNS),
        (257, 4, ROWS),
        (258, 3, bits.into()),
        (259, 3, 1),
        (262, 3, 1),
        (270, 2, 0),
        (273, 4, 0),
        (277, 3, 1),
        (278, 4, ROWS),
        (279, 4, pixels.len() as u32),
    ];
    let sample_format = (339u16, 3u16, u32::from(format));
    let directory_length = 2 + 12 * (entries.len() + 1) + 4;
    let text_at = 8 + directory_length;
    let text = format!("{description}\0");
    // MarCCD puts its own header at byte 1024, 3072 bytes long; the pixels follow.
    let pixels_at = 4096;
    let mut file = b"II*\0\x08\0\0\0".to_vec();
    file.extend((entries.len() as u16 + 1).to_le_bytes());
    for (tag, kind, value) in entries.into_iter().chain([sample_format]) {
        let (count, value) = match tag {
            270 => (text.len() as u32, text_at as u32),
            273 => (1, pixels_at),
            _ => (1, value),
        };
        file.extend(tag.to_le_bytes());
        file.extend(kind.to_le_bytes());
        file.extend(count.to_le_bytes());
        file.extend(value.to_le_bytes());
    }
    file.extend([0; 4]);
    file.extend(text.as_bytes());
    assert!(file.len() <= 1024);
    file.resize(pixels_at as usize, 0);
    file.extend(pixels);
    file
}

/// A TIFF of 16 bits with the second header of MarCCD.
pub fn marccd(pixels: &[u8]) -> Vec<u8> {
    let mut file = tiff(16, 1, pixels, "");
    let mut put = |at: usize, value: i32| {
        file[1024 + at..1024 + at + 4].copy_from_slice(&value.to_le_bytes());
    };
    put(28, 1234);
    put(104, 65_535);
    put(640, 200_500);
    put(644, 18_250);
    put(648, 11_750);
    put(772, 79_000);
    put(908, 97_630);
    file
}

/// An SMV file of unsigned 16-bit pixels.
pub fn smv(pixels: &[u8], big_endian: bool) -> Vec<u8> {
    let order = if big_endian {
        "big_endian"
    } else {
        "little_endian"
    };
    let header = format!(
        "{{\nHEADER_BYTES=  512;\nDIM=2;\nBYTE_ORDER={order};\nTYPE=unsigned_short;\nSIZE1={COLUMNS};\n\
         SIZE2={ROWS};\nPIXEL_SIZE=0.1000;\nDISTANCE=200.5;\nWAVELENGTH=0.9763;\nBEAM_CENTER_X=1.25;\n\
         BEAM_CENTER_Y=1.75;\nCCD_IMAGE_SATURATION=65535;\n}}\n"
    );
    let mut file = header.into_bytes();
    file.resize(512, b' ');
    file.extend(pixels);
    file
}
