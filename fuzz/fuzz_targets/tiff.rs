//! TIFF, and MarCCD within it.
#![no_main]

use hitgate_fuzz::read_frames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = read_frames(bytes);
});
