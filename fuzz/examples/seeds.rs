//! The first files of the corpus, small and sound, one of each kind: `cargo run --release --example seeds`, in `fuzz/`.
//! Models come from the example `small_models` of the importer, HDF5 from the folder of the formats' tests; `latest.h5`, the imgCIF and the texts are written by hand.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::{Compression, write::GzEncoder};
use hitgate_adapters::aes::{self, DmaReadData};
use hitgate_adapters::sls::{BunchId, Detector, Module};
use hitgate_adapters::xdma;
use hitgate_core::frame::{self, FrameHeader, HEADER_LEN, PixelType, flags};
use hitgate_core::link::{Identity, Record};
use hitgate_core::net::Input;
use hitgate_core::prep::Reduce;
use hitgate_formats::bitshuffle;
use hitgate_formats::write::{write_cbf, write_npy};
use hitgate_formats::{Image, Pixels};
use hitgate_ring::{Layout, Policy, Region};

#[allow(dead_code, reason = "a part of what the tests make is wanted")]
#[path = "../../crates/formats/tests/common/mod.rs"]
mod common;

// What writes files of maps is the program's, whose modules are no library's.
#[allow(dead_code, reason = "the writing half is wanted")]
#[path = "../../crates/cli/src/entries.rs"]
mod entries;
#[allow(dead_code, reason = "the writing half is wanted")]
#[path = "../../crates/cli/src/maps_file.rs"]
mod maps_file;

/// What the writing half says of a full disk.
mod report {
    pub fn bytes(n: u64) -> String {
        format!("{n} bytes")
    }
}

/// The corpus' folder of a target.
fn corpus(target: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn put(target: &str, name: &str, bytes: &[u8]) {
    fs::write(corpus(target).join(name), bytes).expect("a file");
}

fn main() {
    let slots = slots();
    rings(&slots);
    maps();
    readouts();
    images();
    for name in ["sound.hgm", "mean.hgm"] {
        fs::copy(corpus("model").join(name), corpus("capi").join(name)).expect("a model");
    }
}

/// A sound slot of each module of the target `slot`, and of those that the path looks at twice.
fn slots() -> Vec<Vec<u8>> {
    let types: Vec<_> = (1..=u8::MAX).map_while(PixelType::from_code).collect();
    let modules = types.iter().copied().chain([PixelType::U16; 3]);
    let mut slots: Vec<_> = (0..)
        .zip(modules)
        .map(|(module_id, pixel_type)| slot(pixel_type, |header| header.module_id = module_id))
        .collect();
    slots.push(slot(PixelType::U16, |header| {
        header.module_id = 1;
        header.flags = flags::PAYLOAD_CRC | flags::CALIBRATION;
    }));
    slots.push(slot(PixelType::U16, |header| {
        header.module_id = 6;
        header.cell_id = 0;
    }));
    for (number, slot) in slots.iter().enumerate() {
        put("slot", &format!("module-{number}.slot"), slot);
        put(
            "slot",
            &format!("compressed-{number}.slot"),
            &compressed(slot),
        );
    }
    put("slots", "three.slots", &slots[..3].concat());
    put("capi", "frame.slot", &{
        let header = FrameHeader::new(64, 96, PixelType::U16).seal().to_vec();
        [header, hitgate_tests::pixels(96, 64, 1)].concat()
    });
    slots
}

/// Small maps of three dropped frames, of either reduction.
fn maps() {
    for (name, reduce) in [("mean.maps", Reduce::Mean), ("peaks.maps", Reduce::Peaks)] {
        let input = Input {
            size: 3,
            channels: 2,
            reduce,
            d_water: 3.4,
        };
        let path = corpus("maps").join(name);
        let file = fs::File::create(&path).expect("a file");
        let mut writer = maps_file::MapsWriter::new(path, file, &input);
        writer.begin().expect("room");
        for number in 1..=3 {
            let identity = Identity {
                model: 1,
                config: 2,
            };
            let record = Record::lost(0, number, 1, 0, identity).to_bytes();
            let entry = [&record[..], &[number as u8; 18]].concat();
            writer.write(&entry).expect("room");
        }
    }
}

/// The same slot with its pixels compressed, by turns with and without bitshuffle.
fn compressed(slot: &[u8]) -> Vec<u8> {
    let (header, pixels) = slot.split_first_chunk::<HEADER_LEN>().expect("a header");
    let header = FrameHeader::from_bytes(header);
    let size = PixelType::from_code(header.pixel_type).map_or(1, PixelType::size);
    let (compression, chunk) = match header.module_id % 2 {
        0 => (
            frame::Compression::BitshuffleLz4,
            bitshuffle::encode_in_blocks(size, 32 * size, pixels),
        ),
        _ => (frame::Compression::Lz4, bitshuffle::encode_lz4(512, pixels)),
    };
    let header = header.with_payload(Some(compression), chunk.len() as u32);
    [&header.seal()[..], &chunk].concat()
}

fn slot(pixel_type: PixelType, edit: impl FnOnce(&mut FrameHeader)) -> Vec<u8> {
    let mut header = FrameHeader::new(33, 40, pixel_type);
    edit(&mut header);
    let mut pixels = hitgate_tests::pixels(40, 33, 1);
    pixels.extend(pixels.clone());
    pixels.truncate(header.payload_len as usize);
    hitgate_fuzz::sealed_slot(&[header.to_bytes().to_vec(), pixels].concat())
}

/// Rings as they are left, of either policy: new, and with frames in all states.
fn rings(slots: &[Vec<u8>]) {
    let layout = Layout::new(5, 64, 5).expect("a sound shape");
    let (new, used) = ring(&layout, slots);
    let (_, overrun) = ring(&layout.with_policy(Policy::FreeRunning), slots);
    for target in ["ring", "capi"] {
        put(target, "new.ring", &new);
        put(target, "used.ring", &used);
        put(target, "free-running.ring", &overrun);
    }
}

/// The bytes of a new ring, and of the same in use.
fn ring(layout: &Layout, slots: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
    let pages = hitgate_fuzz::Pages::filled(layout.bytes(), 0);
    let mut copies = vec![0; layout.copy_bytes()];
    // SAFETY: the pages outlive the ring, and are read when both ends are gone.
    let bytes =
        || unsafe { std::slice::from_raw_parts(pages.start().as_ptr(), pages.len()) }.to_vec();
    let region = unsafe { Region::create(pages.start(), pages.len(), layout, 1) };
    let ends = region.and_then(|region| region.split_with(&mut copies));
    let (mut writer, mut reader) = ends.expect("a new ring");
    let new = bytes();
    for number in 0..7 {
        let mut slot = writer.reserve().expect("sound").expect("a free slot");
        slot.write(0, &slots[0][..8]).expect("room");
        slot.commit();
        if number < 4 {
            drop(reader.read(1).expect("sound").settle(&[3; 64]));
        }
    }
    let lent = reader.read(1).expect("sound").settle(&[3; 64]);
    let used = bytes();
    drop(lent);
    (new, used)
}

/// What readouts write of three frames: packets, each behind a byte of the target's, completions with timing headers, and
/// results with trailers.
fn readouts() {
    let frames = [7, 8, 10].map(|number| FrameHeader {
        frame_number: number,
        source_ticks: 1_000_000_001,
        ..FrameHeader::new(6, 8, PixelType::U16)
    });
    let module = Module {
        detector: Detector {
            packets: 12,
            ..Detector::JUNGFRAU
        },
        id: 1,
        modules: 1,
        pixel_type: PixelType::U16,
        bunch_id: BunchId::Integer,
        flags: 0,
    };
    let (mut packets, mut buffers, mut results) = (Vec::new(), Vec::new(), Vec::new());
    for frame in &frames {
        for number in 0..module.detector.packets {
            packets.push(0);
            packets.extend(module.packet(frame, number).to_bytes());
        }
        let read = DmaReadData {
            dest: 2,
            // The device's descriptor is read from the same bytes.
            data: 5 << 32,
            size: 128,
            ..DmaReadData::default()
        };
        buffers.extend(read.to_bytes());
        buffers.extend(aes::timing_header(frame).to_bytes());
        results.extend(xdma::result(224).to_bytes());
        results.extend(xdma::trailer(frame, 96).to_bytes());
    }
    put("adapters", "packets.wire", &packets);
    put("adapters", "buffers.wire", &buffers);
    put("adapters", "results.wire", &results);
}

fn images() {
    let pixels = Pixels::U16(common::values(0).map(|value| value as u16).collect());
    let image = common::image(pixels.clone());
    let path = corpus("cbf").join("pilatus.cbf");
    write_cbf(&path, &common::counts(), &common::metadata()).expect("a file");
    let cbf = fs::read(&path).expect("a file");
    put("cbf", "pilatus.cbf.gz", &packed(&cbf));
    // Without its MD5, so that changed pixels are unpacked too.
    let md5 = cbf.windows(12).position(|found| found == b"Content-MD5:");
    let mut bare = cbf.clone();
    if let Some(at) = md5 {
        let end = at
            + bare[at..]
                .iter()
                .position(|&byte| byte == b'\n')
                .expect("a line");
        bare.drain(at..=end);
    }
    put("cbf", "without-md5.cbf", &bare);
    let data = cbf
        .windows(16)
        .position(|found| found == b"_array_data.data")
        .expect("an image");
    put(
        "cbf",
        "full.cbf",
        &[&cbf[..data], AXES.as_bytes(), &cbf[data..]].concat(),
    );
    write_npy(&corpus("npy").join("u16.npy"), &image).expect("a file");
    let signed = Image {
        columns: 5,
        rows: 3,
        pixels: Pixels::I32((-7..8).collect()),
    };
    write_npy(&corpus("npy").join("i32.npy"), &signed).expect("a file");
    let stack =
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 4), }";
    let mut stack = [&stack[..], &[b' '; 128]].concat();
    stack.truncate(127);
    stack.push(b'\n');
    stack.extend(0..24);
    put("npy", "stack.npy", &stack);
    put(
        "tiff",
        "u16.tif",
        &common::tiff(16, 1, pixels.as_bytes(), "# Wavelength 1.0 A\n"),
    );
    put("tiff", "marccd.mccd", &common::marccd(pixels.as_bytes()));
    for big_endian in [false, true] {
        let name = format!("big-endian-{big_endian}.img");
        put("smv", &name, &common::smv(pixels.as_bytes(), big_endian));
    }
    for name in [
        "eiger_data_000001.h5",
        "virtual.h5",
        "idh5.h5",
        "eiger_master.h5",
    ] {
        let of_tests = Path::new("../crates/formats/tests/data").join(name);
        fs::copy(of_tests, corpus("hdf5").join(name)).expect("a file");
    }
    put(
        "bitshuffle",
        "u16.chunk",
        &bitshuffle::encode(2, pixels.as_bytes()),
    );
    put(
        "bitshuffle",
        "zeros.chunk",
        &bitshuffle::encode(4, &[0; 9001 * 4]),
    );
}

/// An imgCIF has its geometry in loops.
const AXES: &str = include_str!("../../crates/formats/tests/imgcif_axes.txt");

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).expect("memory");
    gzip.finish().expect("memory")
}
