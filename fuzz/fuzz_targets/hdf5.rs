//! HDF5, its checksums mended one after another by what the refusal says.
#![no_main]

use hitgate_fuzz::read_frames;
use libfuzzer_sys::fuzz_target;

/// Checksums that are mended at most.
const MENDED: usize = 8;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    for _ in 0..=MENDED {
        let Err(error) = read_frames(&bytes) else {
            return;
        };
        if mend(&mut bytes, &error.to_string()).is_none() {
            return;
        }
    }
});

/// Puts the checksum that `said` wants where the one is that it found; `None` where it is about something else.
fn mend(bytes: &mut [u8], said: &str) -> Option<()> {
    let (_, told) = said.split_once("checksum mismatch: expected 0x")?;
    let (stored, told) = told.split_at_checked(8)?;
    let actual = told.strip_prefix(", got 0x")?.get(..8)?;
    let word = |hex| Some(u32::from_str_radix(hex, 16).ok()?.to_le_bytes());
    let (stored, actual) = (word(stored)?, word(actual)?);
    let at = bytes.windows(4).position(|found| found == stored)?;
    bytes[at..at + 4].copy_from_slice(&actual);
    Some(())
}
