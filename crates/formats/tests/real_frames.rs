//! Frames of real detectors, in the folder that HITGATE_FRAMES names. They are not part of the
//! repository; without the folder each test says that it has not run.

use std::fs;
use std::path::{Path, PathBuf};

use hitgate_formats::{FormatError, FrameFile, Kind, truth};
use tempfile::tempdir;

/// CRC-32 of the pixels of a frame as little-endian bytes, from fabio 2026.6 and h5py 3.16.
const CHECKSUMS: &[(&str, usize, u32)] = &[
    ("agbehenate_ccd.tif.gz", 0, 0x2974_b9d3),
    ("blank_pilatus300k.cbf.gz", 0, 0x56fb_d268),
    ("ceo2_pilatus1m.tif.gz", 0, 0x7851_b7bb),
    ("cspad_2x1_cxitut13.npy", 0, 0x6257_7184),
    ("gisaxs_pilatus.tiff.gz", 0, 0xb6a3_b45c),
    ("jungfrau_module_00_photons.npy", 0, 0xad68_3190),
    ("jungfrau_module_00_raw_adc.npy", 0, 0x2c70_ab3a),
    ("jungfrau_module_05_photons.npy", 0, 0x278a_0a03),
    ("jungfrau_module_09_photons.npy", 0, 0xd1bc_231e),
    ("jungfrau_module_09_raw_adc.npy", 0, 0x3b7d_a99a),
    ("jungfrau_module_14_photons.npy", 0, 0x2e83_941c),
    ("laue_cdte_marccd.mccd.gz", 0, 0x7536_2c49),
    ("lcysteine_pilatus2m_01_00001.cbf.gz", 0, 0x15ee_2293),
    ("lcysteine_pilatus2m_01_00004.cbf.gz", 0, 0x5be0_7e45),
    ("lcysteine_pilatus2m_01_00008.cbf.gz", 0, 0xfd14_d016),
    ("lcysteine_pilatus2m_01_00012.cbf.gz", 0, 0x0b96_56e5),
    ("lcysteine_pilatus2m_03_00001.cbf.gz", 0, 0x9584_5304),
    ("lcysteine_pilatus2m_03_00005.cbf.gz", 0, 0x7077_f6bb),
    ("lcysteine_pilatus2m_03_00009.cbf.gz", 0, 0xb407_4d59),
    ("lcysteine_pilatus2m_03_00013.cbf.gz", 0, 0xa7dc_8c8c),
    ("saxs_Dark_5s_003.tif.gz", 0, 0x1350_d32e),
    ("saxs_Empty_5s_014.tif.gz", 0, 0x7c81_93c2),
    ("saxs_GC_5s_200.tif.gz", 0, 0x1ae2_8c0f),
    ("smargon_pilatus6m.cbf.gz", 0, 0x004c_eefa),
    ("snase_ccd_00001.img.gz", 0, 0x7623_5ca2),
    ("snase_ccd_00005.img.gz", 0, 0x7783_55ce),
    ("thaumatin_pilatus6m_0006.cbf.gz", 0, 0x79d0_8a78),
    ("thaumatin_pilatus6m_0010.cbf.gz", 0, 0x064d_1ddc),
    ("thaumatin_pilatus6m_0019.cbf.gz", 0, 0xa9e1_b333),
    ("thermolysin_eiger16m.cbf.gz", 0, 0x802c_0c5a),
    ("eiger4m_dls.h5", 0, 0x45e6_b315),
    ("vacuum_eiger9m.h5", 0, 0xf6ed_adf3),
    ("vacuum_eiger9m.h5", 1, 0xabe3_6c0c),
    ("agbehenate_pilatus100k.hdf5", 0, 0x050b_70af),
];

fn frames() -> Option<PathBuf> {
    let folder = std::env::var_os("HITGATE_FRAMES").map(PathBuf::from);
    if folder.is_none() {
        println!("NOT RUN: HITGATE_FRAMES names no folder with real frames");
    }
    folder
}

#[test]
fn pixels_are_those_that_other_readers_see() {
    let Some(folder) = frames() else { return };
    for &(name, index, checksum) in CHECKSUMS {
        let image = FrameFile::open(&folder.join(name)).and_then(|mut file| file.read_raw(index));
        let image = image.unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(
            crc32fast::hash(image.pixels.as_bytes()),
            checksum,
            "{name} {index}"
        );
    }
}

#[test]
fn every_frame_of_the_truth_file_opens() {
    let Some(folder) = frames() else { return };
    let lines = truth::read(&folder.join("truth.jsonl")).unwrap();
    assert!(!lines.is_empty());
    for (_, line) in lines {
        let mut file = FrameFile::open(&folder.join(&line.file)).unwrap_or_else(|e| panic!("{e}"));
        assert!(line.index < file.frames(), "{}", line.file);
        let raw = line.file.contains("raw_adc");
        assert_eq!(file.kind() == Kind::JungfrauRaw, raw, "{}", line.file);
        match file.read(line.index) {
            Ok(_) => assert!(!raw, "{}", line.file),
            Err(FormatError::NeedsCorrection { .. }) => assert!(raw, "{}", line.file),
            Err(e) => panic!("{e}"),
        }
    }
}

/// Where the beam is, from the headers read by eye, and for two of them from the pictures: the
/// beam stop's shadow of the swung-out PILATUS 2M lies at column 193, and the CCD's rings are round
/// about [533, 500].
#[test]
fn beams_are_where_the_headers_put_them() {
    let Some(folder) = frames() else { return };
    let expected = [
        (
            "thaumatin_pilatus6m_0006.cbf.gz",
            0.96859,
            351.0,
            [1261.61, 1306.96],
            0.172,
        ),
        (
            "smargon_pilatus6m.cbf.gz",
            0.97625,
            291.47,
            [1229.30, 1200.47],
            0.172,
        ),
        (
            "thermolysin_eiger16m.cbf.gz",
            0.98027,
            213.96,
            [2216.06, 2300.41],
            0.075,
        ),
        (
            "lcysteine_pilatus2m_01_00001.cbf.gz",
            0.6889,
            184.75,
            [192.93, 865.0],
            0.172,
        ),
        (
            "snase_ccd_00001.img.gz",
            0.908,
            57.43,
            [533.0, 500.25],
            0.08,
        ),
        (
            "agbehenate_ccd.tif.gz",
            1.5,
            1864.0,
            [512.66, 512.66],
            0.158,
        ),
        (
            "agbehenate_pilatus100k.hdf5",
            0.73363,
            513.8,
            [85.86, -5.42],
            0.172,
        ),
    ];
    for (name, wavelength, distance, center, pixel) in expected {
        let file = FrameFile::open(&folder.join(name)).unwrap_or_else(|e| panic!("{e}"));
        let g = file
            .metadata()
            .geometry
            .unwrap_or_else(|| panic!("{name} has no geometry"));
        let found = [
            g.wavelength_a,
            g.distance_mm,
            g.beam_center_px[0],
            g.beam_center_px[1],
            g.pixel_mm,
        ];
        for (found, expected) in found
            .into_iter()
            .zip([wavelength, distance, center[0], center[1], pixel])
        {
            assert!(
                (found - expected).abs() < 0.01,
                "{name}: {found} for {expected}"
            );
        }
    }
}

/// Cut at six places each, and with one bit flipped at as many.
#[test]
fn damage_never_panics() {
    let Some(folder) = frames() else { return };
    let scratch = tempdir().unwrap();
    let damaged = scratch.path().join("damaged");
    let mut names: Vec<_> = CHECKSUMS.iter().map(|&(name, ..)| name).collect();
    names.dedup();
    for name in names {
        let whole = fs::read(folder.join(name)).unwrap();
        // The headers are in the first part of a file, whether it is compressed or not.
        for round in 1..=3 {
            let near = whole.len().min(4096) * round / 4;
            let far = whole.len() * round / 4;
            for at in [near, far] {
                fs::write(&damaged, &whole[..at]).unwrap();
                read_all(&damaged);
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << (round % 8);
                fs::write(&damaged, flipped).unwrap();
                read_all(&damaged);
            }
        }
    }
}

fn read_all(path: &Path) {
    if let Ok(mut file) = FrameFile::open(path) {
        for index in 0..file.frames().min(2) {
            let _ = file.read_raw(index);
        }
    }
}
