//! Vendors' interfaces, emulated: `hitgate feed --emulate` and `--sls-udp` with `hitgate run` behind them.

mod common;

use std::collections::HashMap;
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Output};

use hitgate_adapters::sls::{BunchId, Detector, Module, PacketMask};
use hitgate_core::frame::{FrameHeader, HEADER_LEN, PixelType, flags, pulse_kind};
use serde_json::Value;

use common::{run_keeping, spawn};

fn finish(child: Child) -> String {
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().expect("the program ends");
    let said = String::from_utf8(stdout).unwrap();
    assert!(
        status.success(),
        "{said} {}",
        String::from_utf8_lossy(&stderr)
    );
    said
}

/// What `feed` and `run` said, the kept slots and the records.
struct Told {
    feed: String,
    run: String,
    slots: Vec<(FrameHeader, Vec<u8>)>,
    records: Vec<Value>,
}

/// Feeds as the arguments say and keeps every frame.
fn feed_and_run(feed: &[&str]) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).display().to_string();
    let (ring, kept, records) = (place("ring"), place("kept.slots"), place("records.jsonl"));
    let feed = spawn(&[&["feed", "--ring", &ring, "--slots", "8"], feed].concat());
    let run = run_keeping(&ring, &kept, &records, &[]);
    let run = finish(run);
    let text = std::fs::read_to_string(&records).unwrap();
    Told {
        feed: finish(feed),
        run,
        slots: slots(Path::new(&kept)),
        records: text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    }
}

/// The slots in a file of kept frames; those in wrappers without them.
fn slots(path: &Path) -> Vec<(FrameHeader, Vec<u8>)> {
    let bytes = std::fs::read(path).expect("kept frames");
    let (mut slots, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let header = FrameHeader::from_bytes(rest.first_chunk::<HEADER_LEN>().expect("a header"));
        at += header.slot_len();
        match header.status {
            u32::MAX => {
                let slot = rest[HEADER_LEN..][..header.payload_len as usize].to_vec();
                let own = FrameHeader::from_bytes(slot.first_chunk().expect("a header"));
                slots.push((own, slot));
            }
            _ => slots.push((header, rest[..header.slot_len()].to_vec())),
        }
    }
    slots
}

/// The number before `words`.
fn number(text: &str, words: &str) -> u64 {
    let before = text.split(words).next().filter(|_| text.contains(words));
    let digits = before.and_then(|before| before.rsplit([' ', '(', ':']).next());
    let number = digits.and_then(|digits| digits.parse().ok());
    number.unwrap_or_else(|| panic!("{words}: {text}"))
}

/// Simulated frames of 16 bits a pixel.
const JUNGFRAU: [&str; 6] = [
    "--simulate",
    "jungfrau-module",
    "--seed",
    SEED,
    "--distinct",
    "5",
];
const SEED: &str = "1";

#[test]
fn a_jungfrau_module_over_a_network_that_loses_packets() {
    const FRAMES: u64 = 40;
    let network = [
        "--emulate",
        "sls-udp",
        "--loss",
        "0.003",
        "--reorder",
        "0.02",
        "--duplicate",
        "0.01",
        "--frames",
        "40",
        "--rate",
        "50",
    ];
    let told = feed_and_run(&[&JUNGFRAU[..], &network].concat());

    // Every frame and every packet is in one place, whatever the emulated network and the kernel lost.
    // A frame that was lost as a whole has a record too.
    let judged = (told.records.iter()).filter(|record| record["verdict"] != "lost");
    let received = judged.count() as u64;
    assert!(
        told.run.contains(&format!("produced {received} + lost")),
        "{}",
        told.run
    );
    assert_eq!(number(&told.feed, " frames in "), FRAMES, "{}", told.feed);
    let placed = number(&told.feed, " placed ");
    assert_eq!(placed + number(&told.feed, " lost, "), 128 * received);
    assert!(number(&told.feed, " more lost on the emulated way") > 0);
    let source = number(&told.feed, " lost at the source");
    let numbers: Vec<u64> = told.slots.iter().map(|(h, _)| h.frame_number).collect();
    assert!(
        numbers.windows(2).all(|pair| pair[0] < pair[1]),
        "{numbers:?}"
    );
    assert_eq!(
        received + source,
        numbers[numbers.len() - 1] - numbers[0] + 1
    );
    assert_eq!(numbers.len() as u64, received, "all were kept");

    // A packet's pixels are those of the same frame sent again, or none.
    let mut pixels: HashMap<(u64, u16), Vec<u8>> = HashMap::new();
    let mut short = 0;
    for (header, slot) in &told.slots {
        let mask = PacketMask::of_slot(header, slot).expect("a mask");
        let missing = mask.missing(128).count() as u16;
        assert_eq!(
            (header.packets_expected, header.packets_received),
            (128, 128 - missing)
        );
        assert_eq!(
            (header.pulse_kind, header.detector_type),
            (pulse_kind::SLS_U64, 3)
        );
        assert_eq!(header.pulse_key, header.frame_number);
        short += u64::from(missing > 0);
        let payload = &slot[usize::from(header.payload_offset_64) * 64..];
        for (number, found) in (0..).zip(payload.chunks_exact(8192)) {
            if !mask.has(number) {
                assert!(found.iter().all(|byte| *byte == 0xFF));
                continue;
            }
            let first = pixels
                .entry((header.frame_number % 5, number))
                .or_insert_with(|| found.to_vec());
            assert!(
                first == found,
                "frame {}, packet {number}",
                header.frame_number
            );
        }
    }
    assert!(short > 0, "nothing was lost: {}", told.feed);

    // Frames with lost packets are kept as faults, and say why.
    let faults: Vec<&Value> = (told.records.iter())
        .filter(|record| record["reason"] == "fault")
        .collect();
    assert_eq!(faults.len() as u64, short, "{faults:?}");
    for record in faults {
        assert_eq!(record["verdict"], "keep");
        assert!(record.to_string().contains("packets"), "{record}");
    }
}

/// What the filter makes of a frame does not depend on the way that it came.
#[test]
fn every_interface_leads_to_the_same_verdicts() {
    let frames = [
        "--simulate",
        "cspad-2x1",
        "--distinct",
        "12",
        "--frames",
        "30",
    ];
    let way = |emulate: &[&str]| feed_and_run(&[&frames[..], emulate].concat());
    let verdicts = |told: &Told| -> Vec<[Value; 5]> {
        let keys = ["frame_number", "class", "p_hit", "p_maybe", "p_miss"];
        (told.records.iter())
            .map(|record| keys.map(|key| record[key].clone()))
            .collect()
    };
    let native = way(&[]);
    assert_eq!(native.records.len(), 30);
    assert!(
        verdicts(&native)
            .iter()
            .flatten()
            .all(|value| !value.is_null())
    );
    let payload = |slot: &(FrameHeader, Vec<u8>)| {
        let start = usize::from(slot.0.payload_offset_64) * 64;
        slot.1[start..start + slot.0.payload_len as usize].to_vec()
    };

    let aes = way(&["--emulate", "aes"]);
    assert_eq!(verdicts(&aes), verdicts(&native));
    for (index, (header, slot)) in aes.slots.iter().enumerate() {
        let number = index as u64 + 1;
        assert_eq!(
            (header.pulse_kind, header.pulse_key),
            (pulse_kind::LCLS, number)
        );
        assert_eq!(
            (header.readout_groups, header.buffer_index),
            (1, index as u32)
        );
        // The vendor's header is still there.
        assert_eq!(slot[160..167], number.to_le_bytes()[..7]);
        assert_eq!(payload(&aes.slots[index]), payload(&native.slots[index]));
    }

    let xdma = way(&["--emulate", "xdma"]);
    assert_eq!(verdicts(&xdma), verdicts(&native));
    for (index, (header, slot)) in xdma.slots.iter().enumerate() {
        assert_eq!(header.flags, flags::METADATA_AFTER);
        // And so is the trailer, number and all.
        let number = &slot[header.slot_len() + 34..][..2];
        assert_eq!(number, (index as u16 + 1).to_be_bytes());
        assert_eq!(payload(&xdma.slots[index]), payload(&native.slots[index]));
    }
}

#[test]
fn packets_from_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring").display().to_string();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let receiver = spawn(&[
        "feed",
        "--sls-udp",
        &address,
        "--pixels",
        "i16",
        "--quiet",
        "2",
        "--ring",
        &ring,
        "--beam-center",
        "512,256",
        "--distance",
        "100",
        "--wavelength",
        "1.3",
        "--pixel",
        "0.075",
    ]);
    while !Path::new(&format!("{ring}.json")).exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let run = spawn(&["run", "--ring", &ring]);
    let to = format!("sls-udp={address}");
    let frames = ["--emulate", &to, "--frames", "10", "--rate", "20"];
    let sent = finish(spawn(&[&["feed"], &JUNGFRAU[..], &frames].concat()));
    assert_eq!(number(&sent, " frames in "), 10);
    let received = finish(receiver);
    let frames = number(&received, " frames, ");
    assert!((1..=10).contains(&frames), "{received}");
    let said = finish(run);
    let lost = number(&received, " lost at the source");
    let expected =
        format!("produced {frames} + lost at the source {lost} = received {frames} + lost {lost}");
    assert!(said.contains(&expected), "{said}");
}

#[test]
fn raw_words_that_nothing_corrects_are_kept() {
    let (said, frames) = raw_words(&[], &[]);
    assert!(said.contains(&format!("({frames} forced)")), "{said}");
}

#[test]
fn raw_words_with_their_pedestals_are_judged() {
    let folder = tempfile::tempdir().unwrap();
    let map = folder.path().join("pedestals.npy");
    let header = "{'descr': '<u2', 'fortran_order': False, 'shape': (400, 400), }";
    let mut bytes = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    bytes.extend(format!("{header:<117}\n").bytes());
    bytes.resize(bytes.len() + 400 * 400 * 2, 0);
    std::fs::write(&map, bytes).unwrap();
    let maps = [map.to_str().unwrap(); 3].join(",");
    let raw = ["--pedestal", &maps, "--adu-per-photon", "1,-1,-1"];
    let (said, _) = raw_words(&["--raw"], &raw);
    assert!(
        number(&said, " miss, ") > 0 && !said.contains("forced"),
        "{said}"
    );
}

/// What `run` says of two frames of a MOENCH's raw words, all zero, and how many came.
fn raw_words(feed: &[&str], run: &[&str]) -> (String, u64) {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring").display().to_string();
    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let address_port = address.to_string();
    let moench = ["feed", "--sls-udp", &address_port, "--detector", "moench"];
    let receiver = spawn(&[&moench[..], &["--quiet", "2", "--ring", &ring], feed].concat());
    while !Path::new(&format!("{ring}.json")).exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let run = spawn(&[&["run", "--ring", &ring], run].concat());
    let module = Module {
        detector: Detector::MOENCH,
        id: 0,
        modules: 1,
        pixel_type: PixelType::U16,
        bunch_id: BunchId::Integer,
        flags: 0,
    };
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 1..=2 {
        let frame = FrameHeader {
            frame_number: number,
            ..FrameHeader::new(400, 400, PixelType::U16)
        };
        for packet in 0..50 {
            let mut bytes = module.packet(&frame, packet).to_bytes().to_vec();
            bytes.resize(48 + 6400, 0);
            sender.send_to(&bytes, address).unwrap();
        }
    }
    let said = finish(receiver);
    // Whatever the kernel had no room for.
    let frames = number(&said, " frames, ");
    assert!((1..=2).contains(&frames), "{said}");
    (finish(run), frames)
}

/// What went wrong, in words.
fn complaint(args: &[&str]) -> String {
    let output = spawn(args).wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success() && !said.contains("panicked"),
        "{said}"
    );
    said
}

#[test]
fn mistakes_are_told() {
    let said = complaint(&[
        "feed",
        "--simulate",
        "cspad-2x1",
        "--distinct",
        "1",
        "--emulate",
        "sls-udp",
    ]);
    assert!(said.contains("jungfrau (1024 x 512)"), "{said}");

    let free = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = format!("sls-udp={}", free.local_addr().unwrap());
    drop(free);
    let said = complaint(&[&["feed", "--emulate", &to], &JUNGFRAU[..]].concat());
    assert!(said.contains("nobody listening"), "{said}");

    for (words, part) in [
        (&["--emulate", "pcie"][..], "aes and xdma"),
        (&["--emulate", "aes=10.0.0.1:5"], "takes no address"),
        (&["--emulate", "sls-udp", "--loss", "1.5"], "0 to 1"),
        (&["--loss", "0.1"], "--emulate"),
        (&["--sls-udp", "127.0.0.1"], "--sls-udp"),
        (
            &["--sls-udp", "127.0.0.1:0", "--detector", "pilatus"],
            "moench",
        ),
        (
            &["--sls-udp", "127.0.0.1:0", "--emulate", "aes"],
            "cannot be used with",
        ),
        (
            &["--sls-udp", "127.0.0.1:0", "--beam-center", "1,1"],
            "--wavelength",
        ),
        (
            &["--sls-udp", "127.0.0.1:0", "--pixels", "i16", "--raw"],
            "i16 pixels of a jungfrau are no raw words",
        ),
        (&["--simulate", "cspad-2x1", "--raw"], "cannot be used with"),
        (&["--sls-udp", "192.0.2.1:50001"], "192.0.2.1:50001"),
        (
            &["--sls-udp", "127.0.0.1:0", "--mask", "nothing.npy"],
            "nothing.npy",
        ),
    ] {
        let said = complaint(&[&["feed"], words].concat());
        assert!(said.contains(part), "{words:?}: {said}");
    }
}
