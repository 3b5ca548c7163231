//! Files of what is left of dropped frames: `run --keep-maps` writes them, `rejudge` reads them.
//!
//! Little endian. A header of 64 bytes, then entries of one length: the frame's record (64 bytes), its
//! prepared map (`N · N · C` bytes, channels last), and a CRC-32 over both.
//!
//! | offset | type | field of the header |
//! |---|---|---|
//! | 0 | `[u8; 8]` | magic, `HGMAPS\0\0` |
//! | 8 | u32 | version, 1 |
//! | 12 | u32 | input size `N` |
//! | 16 | u32 | channels `C` |
//! | 20 | u32 | reduction, as in a model file |
//! | 24 | f32 | d_water in Å |
//! | 28 | `[u8; 32]` | zero |
//! | 60 | u32 | CRC-32 of the bytes before |

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hitgate_core::link::Record;
use hitgate_core::net::Input;
use hitgate_core::prep::Reduce;
use hitgate_formats::FormatError;
use hitgate_ring::RECORD_LEN;

use crate::entries::EntryWriter;

const MAGIC: &[u8; 8] = b"HGMAPS\0\0";
const VERSION: u32 = 1;
const HEADER_LEN: usize = 64;
const CRC_LEN: usize = 4;
const WHAT: &str = "maps of dropped frames";

/// Bytes of an entry before its checksum: the record, and the map.
pub const fn entry_bytes(input: &Input) -> usize {
    RECORD_LEN + input.bytes()
}

/// The header of a file of maps that were prepared as `input` says.
fn header(input: &Input) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    bytes[..8].copy_from_slice(MAGIC);
    let words = [
        VERSION,
        input.size,
        input.channels,
        input.reduce as u32,
        input.d_water.to_bits(),
    ];
    for (place, word) in bytes[8..].chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// How maps are prepared, by the header of their file; nothing where it cannot be believed.
fn input(bytes: &[u8; HEADER_LEN]) -> Option<Input> {
    let word = |at: usize| {
        bytes[at..]
            .first_chunk()
            .map(|word| u32::from_le_bytes(*word))
    };
    let input = Input {
        size: word(12)?,
        channels: word(16)?,
        reduce: Reduce::from_code(u8::try_from(word(20)?).ok()?)?,
        d_water: f32::from_bits(word(24)?),
    };
    let possible = (1..=4096).contains(&input.size) && (1..=4).contains(&input.channels);
    // Version and checksum among the rest: the header is what this program would write.
    (possible && header(&input) == *bytes).then_some(input)
}

/// The writing side.
pub struct MapsWriter {
    entries: EntryWriter,
    header: [u8; HEADER_LEN],
}

impl MapsWriter {
    /// Writes maps that are prepared as `input` says to `file`, which lies at `path` and is empty.
    pub fn new(path: PathBuf, file: File, input: &Input) -> Self {
        MapsWriter {
            entries: EntryWriter::new(path, file, WHAT),
            header: header(input),
        }
    }

    /// Writes the header, once, before the first entry.
    ///
    /// # Errors
    /// Where it cannot be written; the file is then empty.
    pub fn begin(&mut self) -> Result<()> {
        self.entries.write(&[&self.header])
    }

    /// Writes an entry, record and map.
    ///
    /// # Errors
    /// Where it cannot be written; the file then ends with the entry before it.
    pub fn write(&mut self, entry: &[u8]) -> Result<()> {
        let crc = crc32fast::hash(entry);
        self.entries.write(&[entry, &crc.to_le_bytes()])
    }
}

/// An open file of maps.
pub struct MapsFile {
    path: PathBuf,
    file: File,
    /// How its maps are prepared.
    pub input: Input,
    /// Whole entries.
    len: usize,
    /// Bytes after the last whole entry.
    rest: u64,
}

impl MapsFile {
    /// Whether a file that starts with these bytes is one.
    pub fn starts_with(start: &[u8]) -> bool {
        start.starts_with(MAGIC)
    }

    /// Opens the file.
    ///
    /// # Errors
    /// Where it cannot be read, or is no file of maps.
    pub fn open(path: &Path) -> Result<Self> {
        let reading = |error| FormatError::reading(path, error);
        let file = File::open(path).map_err(reading)?;
        let bytes = file.metadata().map_err(reading)?.len();
        let mut start = [0; HEADER_LEN];
        let read = file.read_exact_at(&mut start, 0);
        if read.is_err() || !Self::starts_with(&start) {
            bail!(
                "{} is no file of maps, as `hitgate run --keep-maps` writes them",
                path.display()
            );
        }
        let Some(input) = input(&start) else {
            bail!(
                "{}: the header of this file of maps is damaged, or of a later version of hitgate",
                path.display()
            );
        };
        let (after, entry) = (
            bytes - HEADER_LEN as u64,
            (entry_bytes(&input) + CRC_LEN) as u64,
        );
        Ok(MapsFile {
            path: path.into(),
            file,
            input,
            len: usize::try_from(after / entry)?,
            rest: after % entry,
        })
    }

    /// Entries; what follows the last whole one counts as one, which cannot be read.
    pub fn len(&self) -> usize {
        self.len + usize::from(self.rest > 0)
    }

    /// The record of entry `i`, and its map into `map`.
    ///
    /// # Errors
    /// Where the entry is damaged or cut short.
    pub fn read(&self, i: usize, map: &mut [u8]) -> Result<Record> {
        let name = self.path.display();
        if i >= self.len {
            bail!(
                "{name}: cut short, {} bytes follow the last of {} whole maps",
                self.rest,
                self.len
            );
        }
        let entry = (entry_bytes(&self.input) + CRC_LEN) as u64;
        let at = HEADER_LEN as u64 + i as u64 * entry;
        let (mut record, mut crc) = ([0; RECORD_LEN], [0; CRC_LEN]);
        let map_at = at + RECORD_LEN as u64;
        (self.file.read_exact_at(&mut record, at))
            .and_then(|()| self.file.read_exact_at(map, map_at))
            .and_then(|()| self.file.read_exact_at(&mut crc, map_at + map.len() as u64))
            .with_context(|| format!("cannot read map {i} of {name}"))?;
        let mut sum = crc32fast::Hasher::new();
        sum.update(&record);
        sum.update(map);
        match Record::parse(&record) {
            Some(record) if sum.finalize().to_le_bytes() == crc => Ok(record),
            _ => bail!("{name}: map {i} is damaged: its checksum does not hold"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hitgate_core::link::Identity;

    const INPUT: Input = Input {
        size: 3,
        channels: 2,
        reduce: Reduce::Peaks,
        d_water: 3.4,
    };

    fn record(frame_number: u64) -> Record {
        let identity = Identity {
            model: 1,
            config: 2,
        };
        Record::lost(0, frame_number, 1, 0, identity)
    }

    fn file(folder: &Path) -> PathBuf {
        let path = folder.join("dropped.maps");
        let file = File::create(&path).unwrap();
        let mut writer = MapsWriter::new(path.clone(), file, &INPUT);
        writer.begin().unwrap();
        for number in 0..3u8 {
            let entry = [&record(number.into()).to_bytes()[..], &[number; 18]].concat();
            writer.write(&entry).unwrap();
        }
        path
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let maps = MapsFile::open(&file(folder.path())).unwrap();
        assert_eq!((maps.len(), maps.input), (3, INPUT));
        let mut map = [0; 18];
        for number in 0..3u8 {
            let read = maps.read(number.into(), &mut map).unwrap();
            assert_eq!((read, map), (record(number.into()), [number; 18]));
        }
    }

    /// Every byte of header and entries counts.
    #[test]
    fn a_flipped_bit_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        let whole = std::fs::read(&path).unwrap();
        for byte in 0..HEADER_LEN + RECORD_LEN + 18 + CRC_LEN {
            let mut damaged = whole.clone();
            damaged[byte] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            let said = MapsFile::open(&path)
                .and_then(|maps| maps.read(0, &mut [0; 18]))
                .unwrap_err();
            let said = format!("{said:#}");
            assert!(said.contains("dropped.maps"), "byte {byte}: {said}");
        }
    }

    #[test]
    fn a_file_that_was_cut_short_gives_its_whole_maps() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path());
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
        let maps = MapsFile::open(&path).unwrap();
        assert_eq!(maps.len(), 3);
        assert!(maps.read(1, &mut [0; 18]).is_ok());
        let said = maps.read(2, &mut [0; 18]).unwrap_err().to_string();
        assert!(
            said.contains("cut short") && said.contains("2 whole"),
            "{said}"
        );
        std::fs::write(&path, &whole[..HEADER_LEN - 1]).unwrap();
        let said = MapsFile::open(&path).err().unwrap().to_string();
        assert!(said.contains("no file of maps"), "{said}");
    }
}
