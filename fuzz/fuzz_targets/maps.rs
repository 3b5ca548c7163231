//! A file of maps of dropped frames, as the program `hitgate` reads it.
#![no_main]

use hitgate_ring::RECORD_LEN;
use libfuzzer_sys::fuzz_target;

// A program's modules are no library's.
#[allow(dead_code, reason = "the reading half is used")]
#[path = "../../crates/cli/src/entries.rs"]
mod entries;
#[allow(dead_code, reason = "the reading half is used")]
#[path = "../../crates/cli/src/maps_file.rs"]
mod maps_file;

/// What the writing half says of a full disk; the program's own reports know the whole path.
mod report {
    pub fn bytes(n: u64) -> String {
        format!("{n} bytes")
    }
}

use maps_file::MapsFile;

/// Of the file's header, and of its checksum; that of an entry follows its map.
const HEADER_LEN: usize = 64;
const CRC_LEN: usize = 4;

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    read(&sealed(bytes));
});

fn read(bytes: &[u8]) {
    let path = hitgate_fuzz::file("dropped.maps", bytes);
    let file = match MapsFile::open(&path) {
        Ok(file) => file,
        Err(error) => {
            assert!(error.to_string().contains("dropped.maps"), "{error}");
            return;
        }
    };
    // The largest map has 64 MiB, which a reader must have before it reads.
    if file.input.bytes() > 1 << 20 {
        let _ = file.len();
        return;
    }
    let mut map = vec![0; file.input.bytes()];
    for i in 0..file.len().min(8) {
        let _ = file.read(i, &mut map);
    }
}

/// The bytes with magic and version of such a file, and checksums of header, records and entries that fit.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    let Some((header, entries)) = file.split_first_chunk_mut::<HEADER_LEN>() else {
        return file;
    };
    header[..12].copy_from_slice(b"HGMAPS\0\0\x01\0\0\0");
    header[28..HEADER_LEN - CRC_LEN].fill(0);
    let crc = crc32fast::hash(&header[..HEADER_LEN - CRC_LEN]);
    header[HEADER_LEN - CRC_LEN..].copy_from_slice(&crc.to_le_bytes());
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| header[at + i])) as usize;
    let (size, channels) = (word(12), word(16));
    let map = size
        .checked_mul(size)
        .and_then(|cells| cells.checked_mul(channels));
    let Some(map) = map.filter(|map| *map < 1 << 20) else {
        return file;
    };
    for entry in entries.chunks_exact_mut(RECORD_LEN + map + CRC_LEN) {
        let (body, crc) = entry.split_at_mut(RECORD_LEN + map);
        // A record without its number, which is written last.
        let record = crc32fast::hash(&body[8..RECORD_LEN - CRC_LEN]);
        body[RECORD_LEN - CRC_LEN..RECORD_LEN].copy_from_slice(&record.to_le_bytes());
        crc.copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    }
    file
}
