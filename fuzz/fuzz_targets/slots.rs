//! A file of kept slots and the description of modules beside it, as the program `hitgate` reads them.
#![no_main]

use hitgate_core::frame::{FrameHeader, HEADER_LEN};
use hitgate_core::prep::Reduce;
use hitgate_fuzz::sealed_slot;
use libfuzzer_sys::fuzz_target;

// A program's modules are no library's.
#[macro_use]
#[path = "../../crates/cli/src/tell.rs"]
mod tell;

#[allow(dead_code, reason = "the reading half is used")]
#[path = "../../crates/cli/src/description.rs"]
mod description;
#[allow(dead_code, reason = "the reading half is used")]
#[path = "../../crates/cli/src/entries.rs"]
mod entries;
#[allow(dead_code, reason = "the reading half is used")]
#[path = "../../crates/cli/src/module.rs"]
mod module;
#[allow(dead_code, reason = "no module here has raw words")]
#[path = "../../crates/cli/src/raw_maps.rs"]
mod raw_maps;
#[allow(dead_code, reason = "the reading half is used")]
#[path = "../../crates/cli/src/slot.rs"]
mod slot;
#[allow(dead_code, reason = "the reading half is used")]
#[path = "../../crates/cli/src/slots_file.rs"]
mod slots_file;

/// What the writing half says of a full disk; the program's own reports know the whole path.
mod report {
    pub fn bytes(n: u64) -> String {
        format!("{n} bytes")
    }
}

use description::Description;
use module::Input;
use slots_file::SlotsFile;

fuzz_target!(|bytes: &[u8]| {
    match bytes.first() {
        Some(b'{') => describe(bytes),
        _ => {
            read(bytes);
            read(&sealed(bytes));
        }
    }
});

/// The bytes as a description.
fn describe(bytes: &[u8]) {
    let beside = hitgate_fuzz::file("slots.json", bytes);
    let Ok(description) = Description::read(&beside.with_extension("")) else {
        return;
    };
    let input = Input {
        size: 16,
        d_water: 3.4,
        reduce: Reduce::Peaks,
    };
    for module in &description.modules {
        // A mask costs a bit a pixel, of which a module may have 2^32.
        if u64::from(module.columns) * u64::from(module.rows) < 1 << 20
            && let Ok(prepared) = module.prepare(input, None)
        {
            let _ = prepared.doubt();
            prepared.preparation().words();
        }
    }
}

/// The bytes as slots.
fn read(bytes: &[u8]) {
    let path = hitgate_fuzz::file("slots", bytes);
    let file = SlotsFile::open(&path).expect("a file that is there");
    for index in 0..file.len().min(8) {
        let _ = file.read(index);
    }
}

/// Every header sealed, the next where the one before says.
fn sealed(bytes: &[u8]) -> Vec<u8> {
    let (mut bytes, mut at) = (bytes.to_vec(), 0);
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= HEADER_LEN) {
        let slot = sealed_slot(rest);
        bytes.splice(at.., slot);
        let header = bytes[at..].first_chunk().expect("as long as that");
        at += FrameHeader::from_bytes(header).slot_len().max(HEADER_LEN);
    }
    bytes
}
