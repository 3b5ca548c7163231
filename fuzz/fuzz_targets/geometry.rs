//! Geometry files of CrystFEL and DIALS, and a frame whose panels they place.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use hitgate_formats::write::write_npy;
use hitgate_formats::{FrameFile, GeometryFile, Image, Pixels};
use libfuzzer_sys::fuzz_target;

/// Two panels of 8 x 6 pixels, one under the other.
static FRAME: LazyLock<PathBuf> = LazyLock::new(|| {
    let path = hitgate_fuzz::file("frame.npy", b"");
    let frame = Image {
        columns: 8,
        rows: 12,
        pixels: Pixels::U16((0..96).collect()),
    };
    write_npy(&path, &frame).expect("room for a frame");
    path
});

fuzz_target!(|bytes: &[u8]| {
    let path = hitgate_fuzz::file("geometry", bytes);
    let Ok(geometry) = GeometryFile::read(&path) else {
        return;
    };
    // What a placement may cost is bounded by its own limit, far above what an execution may take.
    let [columns, rows] = [geometry.placement.columns, geometry.placement.rows];
    if u64::from(columns) * u64::from(rows) > 1 << 20 {
        return;
    }
    if let Ok(mut file) = FrameFile::open_placed(&FRAME, &geometry) {
        let image = file.read(0).expect("as it was opened");
        assert_eq!([image.columns, image.rows], [columns, rows]);
    }
});
