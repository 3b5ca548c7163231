//! Files of kept slots: `run --keep` writes them, `screen` and `feed` read them.
//!
//! Kept slots follow each other, header and all, each as long as its header says
//! ([`FrameHeader::slot_len`]). A slot whose header does not tell its length (its checksum does not
//! hold, it reaches beyond the slot, something lies behind the payload) is written whole, as the
//! payload of a *wrapper*: a sound header of its own with no rows, no columns, pixel type 0 and
//! status `0xFFFFFFFF`. So the file can be walked by its headers whatever was kept, and every slot
//! comes out of it as it lay in the ring. Whoever does not know wrappers meets a damaged frame.
//! `NAME.json` beside the file describes the modules.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use hitgate_adapters::sls::PacketMask;
use hitgate_core::frame::{FrameHeader, HEADER_LEN, MAGIC, PixelType, flags};
use hitgate_formats::FormatError;

use crate::description;
use crate::entries::EntryWriter;
use crate::slot::sound_header;

/// How one slot is written: the wrapper, where it needs one, and the bytes after it.
pub struct Entry<'s> {
    wrapper: Option<[u8; HEADER_LEN]>,
    slot: &'s [u8],
}

impl<'s> Entry<'s> {
    /// The entry of a whole slot.
    pub fn of(slot: &'s [u8]) -> Self {
        match told_length(slot) {
            Some(len) => Entry {
                wrapper: None,
                slot: &slot[..len],
            },
            None => Entry {
                wrapper: Some(wrapper(slot.len() as u32).seal()),
                slot,
            },
        }
    }

    /// Bytes of the slot, its header not counted.
    pub const fn payload(&self) -> usize {
        self.slot.len().saturating_sub(HEADER_LEN)
    }
}

/// The header before a slot of `len` bytes that does not tell its own length.
fn wrapper(len: u32) -> FrameHeader {
    FrameHeader {
        pixel_type: 0,
        status: u32::MAX,
        payload_len: len,
        ..FrameHeader::new(0, 0, PixelType::U8)
    }
}

fn is_wrapper(header: &FrameHeader) -> bool {
    wrapper(header.payload_len).seal() == header.to_bytes()
}

/// The bytes of a slot that are its frame, where the header can be believed on that.
fn told_length(slot: &[u8]) -> Option<usize> {
    let header = sound_header(slot)?;
    let mask_end = match header.packet_mask_offset {
        0 => 0,
        offset => offset as usize + PacketMask::LEN,
    };
    let nothing_behind = header.flags & flags::METADATA_AFTER == 0 && mask_end <= header.slot_len();
    let inside = (HEADER_LEN..=slot.len()).contains(&header.slot_len());
    (nothing_behind && inside && !is_wrapper(&header)).then(|| header.slot_len())
}

/// The writing side.
pub struct SlotsWriter(EntryWriter);

impl SlotsWriter {
    /// Writes to `file`, which lies at `path`.
    pub const fn new(path: PathBuf, file: File) -> Self {
        SlotsWriter(EntryWriter::new(path, file, "kept frames"))
    }

    /// Writes one slot.
    ///
    /// # Errors
    /// Where it cannot be written; the file then ends with the slot before it.
    pub fn write(&mut self, entry: &Entry<'_>) -> Result<()> {
        let wrapper = entry.wrapper.as_ref().map_or(&[][..], |bytes| bytes);
        self.0.write(&[wrapper, entry.slot])
    }

    /// Waits until the disk has all slots.
    ///
    /// # Errors
    /// Where it says only now that it has not.
    pub fn finish(&self) -> Result<()> {
        self.0.finish()
    }
}

/// An open file of slots.
pub struct SlotsFile {
    path: PathBuf,
    file: File,
    /// Offset and length of each slot, wrappers left out.
    slots: Vec<(u64, usize)>,
    /// Where something follows the last whole slot.
    rest: Option<u64>,
}

impl SlotsFile {
    /// Whether the file at `path` holds kept slots: it starts with one, or it is empty and
    /// its modules are described. One that cannot be read is left to those who say why.
    pub fn is_one(path: &Path) -> bool {
        let mut start = Vec::new();
        let read = File::open(path).and_then(|file| file.take(4).read_to_end(&mut start));
        match read {
            Ok(0) => description::path(path).exists(),
            Ok(_) => start == MAGIC.to_le_bytes(),
            Err(_) => false,
        }
    }

    /// Opens the file and finds its slots.
    pub fn open(path: &Path) -> Result<Self> {
        let reading = |error| FormatError::reading(path, error);
        let file = File::open(path).map_err(reading)?;
        let end = file.metadata().map_err(reading)?.len();
        let (mut slots, mut at, mut rest) = (Vec::new(), 0, None);
        while at < end {
            let mut bytes = [0; HEADER_LEN];
            let read = file.read_exact_at(&mut bytes, at);
            let header = read.ok().and_then(|()| sound_header(&bytes));
            let next = header.map(|header| at + header.slot_len() as u64);
            let (Some(header), Some(next)) =
                (header, next.filter(|next| (at + 1..=end).contains(next)))
            else {
                rest = Some(at);
                break;
            };
            slots.push(match is_wrapper(&header) {
                true => (at + HEADER_LEN as u64, header.payload_len as usize),
                false => (at, header.slot_len()),
            });
            at = next;
        }
        Ok(SlotsFile {
            path: path.to_owned(),
            file,
            slots,
            rest,
        })
    }

    /// Slots in the file; what follows the last whole one counts as one, which cannot be read.
    pub fn len(&self) -> usize {
        self.slots.len() + usize::from(self.rest.is_some())
    }

    /// Slot `index`, as it lay in the ring.
    pub fn read(&self, index: usize) -> Result<Vec<u8>> {
        let Some(&(at, len)) = self.slots.get(index) else {
            bail!(
                "{}: cut short or damaged at byte {}; the {} slots before are whole",
                self.path.display(),
                self.rest.unwrap_or_default(),
                self.slots.len()
            );
        };
        let mut slot = vec![0; len];
        let read = self.file.read_exact_at(&mut slot, at);
        read.with_context(|| format!("cannot read slot {index} of {}", self.path.display()))?;
        Ok(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRIDE: usize = 256;

    fn slot(edit: impl FnOnce(&mut FrameHeader)) -> Vec<u8> {
        let mut header = FrameHeader::new(4, 5, PixelType::U16);
        edit(&mut header);
        let mut slot = vec![9; STRIDE];
        slot[..HEADER_LEN].copy_from_slice(&header.seal());
        slot
    }

    fn torn(byte: usize, bit: u8) -> Vec<u8> {
        let mut slot = slot(|_| ());
        slot[byte] ^= 1 << bit;
        slot
    }

    #[test]
    fn every_slot_comes_back_whatever_its_header_says() {
        let told = HEADER_LEN + 40;
        let slots = [
            (slot(|_| ()), told),
            // Each payload length that one flipped bit makes of it, shorter ones too.
            (torn(72, 3), STRIDE),
            (torn(72, 5), STRIDE),
            (torn(0, 0), STRIDE),
            (slot(|h| h.rows = 9), told),
            (slot(|h| h.payload_len = 4000), STRIDE),
            (slot(|h| h.payload_offset_64 = 0), STRIDE),
            (slot(|h| h.packet_mask_offset = 200), STRIDE),
            (slot(|h| h.packet_mask_offset = u32::MAX), STRIDE),
            (
                slot(|h| (h.packet_mask_offset, h.payload_offset_64) = (128, 3)),
                192 + 40,
            ),
            (slot(|h| h.flags = flags::METADATA_AFTER), STRIDE),
            (slot(|h| h.version = 2), STRIDE),
            (slot(|h| *h = wrapper(100)), STRIDE),
            (vec![3; 64], 64),
            (slot(|_| ()), told),
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.slots");
        let mut writer = SlotsWriter::new(path.clone(), File::create(&path).unwrap());
        for (slot, _) in &slots {
            writer.write(&Entry::of(slot)).unwrap();
        }
        let file = SlotsFile::open(&path).unwrap();
        assert_eq!(file.len(), slots.len());
        for (index, (slot, len)) in slots.iter().enumerate() {
            assert_eq!(file.read(index).unwrap(), slot[..*len], "slot {index}");
        }
    }

    #[test]
    fn a_file_that_was_cut_short_gives_its_whole_slots() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept.slots");
        let mut writer = SlotsWriter::new(path.clone(), File::create(&path).unwrap());
        for slot in [slot(|_| ()), torn(72, 3)] {
            writer.write(&Entry::of(&slot)).unwrap();
        }
        let whole = std::fs::read(&path).unwrap();
        let first = HEADER_LEN + 40;
        for cut in [first + 1, first + HEADER_LEN, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let file = SlotsFile::open(&path).unwrap();
            assert_eq!(file.len(), 2);
            assert_eq!(file.read(0).unwrap(), whole[..first]);
            let said = file.read(1).unwrap_err().to_string();
            assert!(
                said.contains("cut short") && said.contains("kept.slots"),
                "{said}"
            );
        }
    }
}
