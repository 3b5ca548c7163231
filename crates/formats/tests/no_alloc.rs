//! Unpacking detector frames neither allocates nor frees after the first of them.

use hitgate_formats::bitshuffle::{Decoder, encode};
use hitgate_testkit::alloc::{Counting, Counts, count, prove_installed};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_decoder_keeps_its_memory() {
    // Whole blocks, a shorter one, and values that fill no group.
    let frame = |seed: u32| -> Vec<u8> {
        let counts = (0..20_003).map(|i: u32| ((i * i * seed) >> 9 & 7) as u16);
        counts.flat_map(u16::to_le_bytes).collect()
    };
    let frames = [1, 3, 5].map(frame);
    let chunks = frames.each_ref().map(|frame| encode(2, frame));
    let (mut decoder, mut values) = (Decoder::default(), vec![0; frames[0].len()]);
    decoder.decode(2, &chunks[0], &mut values).unwrap();
    prove_installed();
    for (frame, chunk) in frames.iter().zip(&chunks) {
        let (decoded, counts) = count(|| decoder.decode(2, chunk, &mut values));
        decoded.unwrap();
        assert_eq!(counts, Counts::default());
        assert!(&values == frame);
    }
}
