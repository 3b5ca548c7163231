//! No bytes make a reader panic: files of every format, cut anywhere and with bits flipped.

mod common;

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use common::{counts, data, image, marccd, metadata, smv, tiff, values};
use hitgate_formats::write::{write_cbf, write_npy};
use hitgate_formats::{FrameFile, Pixels};
use proptest::prelude::*;
use tempfile::{TempDir, tempdir};

/// A whole file of every format, by name.
static ORIGINALS: LazyLock<Vec<(&str, Vec<u8>)>> = LazyLock::new(|| {
    let folder = tempdir().unwrap();
    let pixels = Pixels::U16(values(0).map(|v| v as u16).collect());
    let path = folder.path().join("whole");
    write_cbf(&path, &counts(), &metadata()).unwrap();
    let cbf = fs::read(&path).unwrap();
    write_npy(&path, &image(pixels.clone())).unwrap();
    let npy = fs::read(&path).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &cbf).unwrap();
    vec![
        ("cbf", cbf),
        ("npy", npy),
        ("gzip", gzip.finish().unwrap()),
        (
            "tiff",
            tiff(16, 1, pixels.as_bytes(), "# Wavelength 1.0 A\n"),
        ),
        ("marccd", marccd(pixels.as_bytes())),
        ("smv", smv(pixels.as_bytes(), false)),
        ("kinds.h5", fs::read(data("kinds.h5")).unwrap()),
        (
            "eiger_master.h5",
            fs::read(data("eiger_master.h5")).unwrap(),
        ),
        (
            "eiger_data_000001.h5",
            fs::read(data("eiger_data_000001.h5")).unwrap(),
        ),
        ("virtual.h5", fs::read(data("virtual.h5")).unwrap()),
    ]
});

/// A folder in which a damaged master finds its images.
fn folder() -> TempDir {
    let folder = tempdir().unwrap();
    for name in ["eiger_data_000001.h5", "eiger_data_000002.h5"] {
        fs::copy(data(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// Opens and reads everything; whatever comes back is an image of the size that it says, or an
/// error with a sentence.
fn read_all(path: &Path) -> usize {
    let mut file = match FrameFile::open(path) {
        Ok(file) => file,
        Err(e) => {
            assert!(
                e.to_string().contains("damaged"),
                "the file's name is missing: {e}"
            );
            return 0;
        }
    };
    let mut images = 0;
    for index in 0..file.frames().min(8) {
        match file.read_raw(index) {
            Ok(image) => {
                assert_eq!(
                    image.pixels.len(),
                    image.columns as usize * image.rows as usize
                );
                images += 1;
            }
            Err(e) => assert!(!e.to_string().is_empty()),
        }
    }
    images
}

#[test]
fn whole_files_open() {
    let folder = folder();
    for (name, bytes) in ORIGINALS.iter().filter(|(name, _)| *name != "virtual.h5") {
        let path = folder.path().join("damaged");
        fs::write(&path, bytes).unwrap();
        assert!(read_all(&path) > 0, "{name}");
    }
}

#[test]
fn cut_anywhere() {
    let folder = folder();
    let path = folder.path().join("damaged");
    for (_, bytes) in ORIGINALS.iter() {
        let step = (bytes.len() / 150).max(1);
        for length in (0..bytes.len()).step_by(step) {
            fs::write(&path, &bytes[..length]).unwrap();
            read_all(&path);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn bits_flipped_anywhere(
        which in 0usize..10,
        near_start: bool,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0u8..8), 1..6),
    ) {
        let folder = folder();
        let (_, mut bytes) = ORIGINALS[which].clone();
        // Headers are short; half of the damage goes there.
        let reach = if near_start { bytes.len().min(1200) } else { bytes.len() };
        for (at, bit) in flips {
            bytes[at.index(reach)] ^= 1 << bit;
        }
        let path = folder.path().join("damaged");
        fs::write(&path, bytes).unwrap();
        read_all(&path);
    }
}
