//! A bitshuffled chunk packed with LZ4, and the round trip of any values.
#![no_main]

use hitgate_formats::bitshuffle::{Decoder, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // The chunk's first eight bytes say how many it unpacks to; nobody reserves more than a small frame here.
    let told = bytes
        .first_chunk()
        .map_or(0, |told| u64::from_be_bytes(*told));
    let mut values = vec![0; told.min(1 << 16) as usize];
    let mut decoder = Decoder::default();
    for size in [1, 2, 4, 8] {
        let _ = decoder.decode(size, bytes, &mut values);
        let whole = &bytes[..bytes.len() / size * size];
        let mut unpacked = vec![0; whole.len()];
        decoder
            .decode(size, &encode(size, whole), &mut unpacked)
            .expect("our own chunk");
        assert_eq!(unpacked, whole);
    }
});
