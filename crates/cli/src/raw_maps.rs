//! The pedestals and gains that make photons of an integrating detector's raw words.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use half::f16;
use hitgate_core::correct::{Correction, STAGES};
use hitgate_formats::{FrameFile, Pixels};
use self_cell::self_cell;

/// Storage cells of a JUNGFRAU.
const CELLS: usize = 16;

self_cell! {
    /// Maps of every gain stage, and the corrections that they make, by storage cell.
    pub struct RawMaps {
        owner: Stages,
        #[covariant]
        dependent: Corrections,
    }
}

/// What a pedestal can be.
const POSSIBLE: &str = "from 0 to 16383.75 ADU";

type Corrections<'m> = Vec<Correction<'m>>;

struct Stages {
    maps: [StageMaps; STAGES],
    /// CRC-32 of all of them.
    checksum: u32,
}

/// The maps of one gain stage, cell after cell, row by row.
struct StageMaps {
    file: PathBuf,
    columns: u32,
    rows: u32,
    cells: usize,
    /// In 1/4 ADU.
    pedestals: Vec<u16>,
    /// In photons per ADU; NaN where the pedestal is none.
    gains: Vec<f16>,
}

impl StageMaps {
    fn read(file: &Path, adu_per_photon: f64) -> Result<Self> {
        let gain = f16::from_f64(1.0 / adu_per_photon);
        let mut stack = FrameFile::open(file)?;
        let mut maps = StageMaps {
            file: file.into(),
            columns: 0,
            rows: 0,
            cells: stack.frames(),
            pedestals: Vec::new(),
            gains: Vec::new(),
        };
        for cell in 0..stack.frames() {
            let image = stack.read_raw(cell)?;
            (maps.columns, maps.rows) = (image.columns, image.rows);
            let adu: Vec<f64> = match image.pixels {
                Pixels::F32(values) => values.into_iter().map(f64::from).collect(),
                Pixels::U16(values) => values.into_iter().map(f64::from).collect(),
                Pixels::I32(values) => values.into_iter().map(f64::from).collect(),
                _ => bail!(
                    "{}: pedestals are floating-point numbers, u16 or i32",
                    file.display()
                ),
            };
            for adu in adu {
                let quarters = (4.0 * adu).round();
                let possible = (0.0..=65535.0).contains(&quarters);
                maps.pedestals
                    .push(if possible { quarters as u16 } else { 0 });
                maps.gains.push(if possible { gain } else { f16::NAN });
            }
        }
        Ok(maps)
    }

    /// Refuses maps of G0, `where_all_begin`, without any pedestal, and doubts those of which most are none.
    fn doubt(&self, where_all_begin: bool) -> Result<()> {
        let all = self.gains.len();
        let none = self.gains.iter().filter(|gain| gain.is_nan()).count();
        let file = self.file.display();
        if none == all && where_all_begin {
            bail!(
                "{file}: none of the {all} pedestals is a number {POSSIBLE}, so that every pixel would be excluded and every frame a fault: is this the file of G0, and in ADU?"
            );
        }
        if 2 * none > all {
            tell!(
                "hitgate: {file}: {none} of {all} pedestals are no numbers {POSSIBLE}, and pixels in this gain stage are excluded there: is this the right file?"
            );
        }
        Ok(())
    }

    /// Columns, rows and storage cells, in words.
    fn shape(&self) -> String {
        format!(
            "{} x {} pixels, {} of them",
            self.columns, self.rows, self.cells
        )
    }
}

impl Stages {
    fn new(maps: [StageMaps; STAGES]) -> Result<Self> {
        let [first, others @ ..] = &maps;
        if let Some(other) = others.iter().find(|map| map.shape() != first.shape()) {
            bail!(
                "{} holds maps of {}, and {} of {}: all stages have maps of one shape",
                other.file.display(),
                other.shape(),
                first.file.display(),
                first.shape()
            );
        }
        let mut checksum = crc32fast::Hasher::new();
        for StageMaps {
            pedestals, gains, ..
        } in &maps
        {
            for (pedestal, gain) in pedestals.iter().zip(gains) {
                checksum.update(&pedestal.to_le_bytes());
                checksum.update(&gain.to_le_bytes());
            }
        }
        Ok(Stages {
            maps,
            checksum: checksum.finalize(),
        })
    }

    /// By storage cell; a map that is alone is for all of them.
    fn corrections(&self) -> Result<Corrections<'_>> {
        let StageMaps {
            columns,
            rows,
            cells,
            ..
        } = self.maps[0];
        let pixels = columns as usize * rows as usize;
        let correction = |cell: usize| {
            let of_cell = cell * pixels..(cell + 1) * pixels;
            let maps = self.maps.each_ref();
            let pedestals = maps.map(|map| map.pedestals.get(of_cell.clone()).unwrap_or_default());
            let gains = maps.map(|map| map.gains.get(of_cell.clone()).unwrap_or_default());
            Correction::new(pedestals, gains, pixels)
                .context("the maps of --pedestal have different shapes")
        };
        match cells {
            1 => Ok(vec![correction(0)?; CELLS]),
            cells => (0..cells).map(correction).collect(),
        }
    }
}

impl RawMaps {
    /// Pedestals in ADU, a file for each stage with a map or with one for each storage cell, and the ADU that a
    /// photon adds in each stage.
    ///
    /// # Errors
    /// Where a file cannot be read, holds other numbers, or maps of another shape than the first; where no stage of a
    /// JUNGFRAU has such a gain, or where every pixel would be excluded.
    pub fn read(pedestals: &[PathBuf; STAGES], adu_per_photon: &[f64; STAGES]) -> Result<Self> {
        refuse_impossible(adu_per_photon)?;
        let [a, b, c] = pedestals;
        let [x, y, z] = *adu_per_photon;
        let stages = Stages::new([
            StageMaps::read(a, x)?,
            StageMaps::read(b, y)?,
            StageMaps::read(c, z)?,
        ])?;
        for (stage, maps) in stages.maps.iter().enumerate() {
            maps.doubt(stage == 0)?;
        }
        RawMaps::try_new(stages, Stages::corrections)
    }

    /// The corrections, by storage cell.
    pub fn corrections(&self) -> &[Correction<'_>] {
        self.borrow_dependent()
    }

    /// A checksum of all maps.
    pub fn checksum(&self) -> u32 {
        self.borrow_owner().checksum
    }

    /// Refuses frames that are no raw words, or of another shape than the maps.
    pub fn refuse_unlike(&self, columns: u32, rows: u32, pixel_type: &str) -> Result<()> {
        let map = &self.borrow_owner().maps[0];
        if pixel_type != "u16" || (columns, rows) != (map.columns, map.rows) {
            bail!(
                "{} holds pedestals of {} x {} pixels, and frames are {columns} x {rows} {pixel_type}: raw words are u16, of the pedestals' shape",
                map.file.display(),
                map.columns,
                map.rows,
            );
        }
        Ok(())
    }
}

/// Refuses a gain that is none, that half precision does not hold, or whose sign is another stage's.
fn refuse_impossible(adu_per_photon: &[f64; STAGES]) -> Result<()> {
    for (stage, adu) in adu_per_photon.iter().enumerate() {
        let (sign, needed) = match stage {
            0 => (
                1.0,
                "from 1/65504 to 16384 is needed: the ADC of G0 rises with the signal",
            ),
            _ => (
                -1.0,
                "from -16384 to -1/65504 is needed: the ADC of G1 and G2 falls with the signal",
            ),
        };
        if !f16::from_f64(sign / adu).is_normal() || sign / adu < 0.0 {
            bail!("--adu-per-photon {adu} for G{stage}: a number {needed}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hitgate_formats::sidecar::Sidecar;

    use super::*;
    use crate::model;
    use crate::module::Module;

    /// A stack of maps of two by one pixels.
    fn maps(file: PathBuf, cells: usize, adu: [f32; 2]) -> StageMaps {
        let header =
            format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({cells}, 1, 2), }}");
        let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
        bytes.extend(format!("{header:<117}\n").bytes());
        for _ in 0..cells {
            bytes.extend(adu.into_iter().flat_map(f32::to_le_bytes));
        }
        std::fs::write(&file, bytes).unwrap();
        StageMaps::read(&file, 4.0).unwrap()
    }

    #[test]
    fn a_map_that_is_alone_is_for_every_storage_cell() {
        let folder = tempfile::tempdir().unwrap();
        let place = |stage: &str| folder.path().join(stage);
        for (cells, corrections) in [(1, 16), (3, 3), (16, 16)] {
            let stages = ["G0", "G1", "G2"].map(|stage| maps(place(stage), cells, [1000.3, 7.0]));
            let stages = Stages::new(stages).unwrap();
            assert_eq!(stages.corrections().unwrap().len(), corrections);
        }
        let others = [("G0", 2), ("G1", 1), ("G2", 2)];
        let others = others.map(|(stage, cells)| maps(place(stage), cells, [0.0; 2]));
        let said = Stages::new(others).err().unwrap().to_string();
        assert!(
            said.contains("G1 holds maps of 2 x 1 pixels, 1 of them") && said.contains("G0"),
            "{said}"
        );
    }

    #[test]
    fn counts_are_not_taken_for_raw_words_nor_raw_words_for_counts() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["G0", "G1", "G2"].map(|stage| {
            let file = folder.path().join(stage);
            maps(file.clone(), 1, [1000.0; 2]);
            file
        });
        let maps = Arc::new(RawMaps::read(&files, &[4.0, -2.0, -0.5]).unwrap());
        let model = model::parse(model::EMBEDDED, None).unwrap();
        for (raw, maps, says) in [
            (true, Some(&maps), ""),
            (false, None, ""),
            (true, None, "frames are raw words"),
            (false, Some(&maps), "\"raw\": true"),
        ] {
            let module = Module {
                columns: 2,
                rows: 1,
                pixel_type: "u16".into(),
                raw,
                compressed: false,
                about: Sidecar::default(),
                excluded: Vec::new(),
            };
            let said = match module.prepare(model::input(&model), maps) {
                Ok(_) => String::new(),
                Err(error) => error.to_string(),
            };
            assert_eq!(said.is_empty(), says.is_empty(), "{said}");
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn a_gain_that_no_stage_has_is_refused_with_the_reason() {
        let files = ["G0", "G1", "G2"].map(PathBuf::from);
        let (rises, falls) = (
            "G0 rises with the signal",
            "G1 and G2 falls with the signal",
        );
        for (adu, stage, reason) in [
            ([0.0, -2.0, -0.5], "0 for G0", rises),
            ([-4.0, -2.0, -0.5], "-4 for G0", rises),
            ([f64::NAN, -2.0, -0.5], "NaN for G0", rises),
            ([1e9, -2.0, -0.5], "1000000000 for G0", rises),
            ([4.0, 2.0, -0.5], "2 for G1", falls),
            ([4.0, -2.0, 0.5], "0.5 for G2", falls),
            ([4.0, -2.0, f64::NEG_INFINITY], "-inf for G2", falls),
        ] {
            // Before any file is read: these are not there.
            let said = RawMaps::read(&files, &adu).err().unwrap().to_string();
            assert!(
                said.contains(stage) && said.contains(reason),
                "{adu:?}: {said}"
            );
        }
    }

    #[test]
    fn pedestals_that_exclude_every_pixel_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let files = ["G0", "G1", "G2"].map(|stage| folder.path().join(stage));
        let read = |adu: [f32; STAGES]| {
            for (file, adu) in files.iter().zip(adu) {
                maps(file.clone(), 2, [adu; 2]);
            }
            RawMaps::read(&files, &[4.0, -2.0, -0.5]).map(|_| ())
        };
        // A detector that never switches its gain has no use for the others.
        read([1000.0, f32::NAN, f32::NAN]).unwrap();
        let said = read([f32::NAN, 1000.0, 1000.0]).err().unwrap().to_string();
        assert!(said.contains("G0: none of the 4 pedestals"), "{said}");
    }

    #[test]
    fn a_pedestal_beyond_the_words_excludes_its_pixel() {
        let folder = tempfile::tempdir().unwrap();
        let read = maps(folder.path().join("G0"), 1, [1000.3, -1.0]);
        assert_eq!(read.pedestals, [4001, 0]);
        assert!(read.gains[0] == f16::from_f32(0.25) && read.gains[1].is_nan());
        let checksum = |adu| {
            let stages = ["G0", "G1", "G2"].map(|stage| maps(folder.path().join(stage), 1, adu));
            Stages::new(stages).unwrap().checksum
        };
        assert_eq!(checksum([1.0, 2.0]), checksum([1.0, 2.0]));
        assert_ne!(checksum([1.0, 2.0]), checksum([1.0, 2.25]));
    }
}
