//! The text files beside frames: sidecars, labels, streams of CrystFEL, experiment lists of DIALS.
#![no_main]

use hitgate_formats::indexing::{read_expt, read_stream};
use hitgate_formats::{Sidecar, truth};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = hitgate_fuzz::file("text", bytes);
    if let Ok(sidecar) = Sidecar::read(&path) {
        sidecar.write(&path).expect("room for a sidecar");
        assert_eq!(Sidecar::read(&path).expect("our own sidecar"), sidecar);
    }
    let _ = truth::read(&path);
    let _ = read_stream(&path);
    let _ = read_expt(&path);
});
