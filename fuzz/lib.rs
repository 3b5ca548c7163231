//! Hostile bytes for everything that reads bytes: what the fuzz targets share.
//!
//! Every target follows one idea: a reader is given any bytes, **as they are and with a checksum that fits them**,
//! and reads all that it then lets be read. No bytes make it panic, overflow, leave its memory or wait for ever;
//! what it lets through is as its documentation says. `scripts/fuzz.sh` builds and runs the targets.
//!
//! Checksums keep out damage, not malice: a target that did not mend them would fuzz the checksum and nothing behind it.

use std::alloc::{Layout, alloc, dealloc};
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::OnceLock;

use hitgate_core::frame::{FrameHeader, HEADER_LEN, MAGIC, PAYLOAD_ALIGN};
use hitgate_core::net::format;
use hitgate_formats::{FormatError, FrameFile, Mask};

/// A sound model of 16 x 16 cells and few channels, so that a run takes microseconds.
pub static MODEL: &[u8] = include_bytes!("corpus/model/sound.hgm");

/// The model file with length and CRC that fit.
pub fn sealed_model(bytes: &[u8]) -> Vec<u8> {
    let mut file = bytes.to_vec();
    if file.len() >= format::HEADER {
        let length = file.len() as u32;
        file[..8].copy_from_slice(&format::MAGIC);
        file[8..12].copy_from_slice(&format::VERSION.to_le_bytes());
        file[format::CRC_FROM..][..4].copy_from_slice(&length.to_le_bytes());
        let crc = crc32fast::hash(&file[format::CRC_FROM..]);
        file[format::CRC_AT..][..4].copy_from_slice(&crc.to_le_bytes());
    }
    file
}

/// The slot with magic and CRCs of header and payload that fit; one that is too short for a header as it is.
pub fn sealed_slot(bytes: &[u8]) -> Vec<u8> {
    let mut slot = bytes.to_vec();
    let Some(header) = slot.first_chunk::<HEADER_LEN>() else {
        return slot;
    };
    let mut header = FrameHeader::from_bytes(header);
    header.magic = MAGIC;
    let start = usize::from(header.payload_offset_64) * PAYLOAD_ALIGN;
    if let Some(payload) = slot.get(start..header.slot_len()) {
        header.payload_crc = crc32fast::hash(payload);
    }
    slot[..HEADER_LEN].copy_from_slice(&header.seal());
    slot
}

/// A file of these bytes, for readers that want a path. It is the process's only one, in memory where there is such a
/// folder.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let in_memory = Path::new("/dev/shm");
        let made = match in_memory.is_dir() {
            true => tempfile::tempdir_in(in_memory),
            false => tempfile::tempdir(),
        };
        made.expect("a folder for a file")
    });
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a place for a file");
    path
}

/// Opens these bytes as a detector's file and reads its frames, the first eight.
///
/// # Errors
/// What the first reader that gave up said.
pub fn read_frames(bytes: &[u8]) -> Result<(), FormatError> {
    let path = file("frames", bytes);
    let result = FrameFile::open(&path).and_then(|mut file| {
        for index in 0..file.frames().min(8) {
            let image = file.read_raw(index)?;
            let pixels = image.columns as usize * image.rows as usize;
            assert_eq!(image.pixels.len(), pixels);
            let mask = Mask::from_image(&image).with_values(&image, &file.metadata().mask_values);
            assert!(mask.count() <= pixels);
        }
        Ok(())
    });
    if let Err(error) = &result {
        assert!(error.to_string().contains("frames"), "{error}");
    }
    result
}

/// Memory at a multiple of 4096 and not a byte longer than asked for, so that the address sanitizer sees each step past
/// its end.
pub struct Pages {
    start: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    /// `len` bytes, at least one, all of them `with`.
    pub fn filled(len: usize, with: u8) -> Self {
        let layout = Layout::from_size_align(len.max(1), 4096).expect("few bytes");
        // SAFETY: the layout has a size.
        let start = NonNull::new(unsafe { alloc(layout) }).expect("memory");
        // SAFETY: it was allocated just now, as long as that.
        unsafe { start.write_bytes(with, layout.size()) };
        Pages { start, layout }
    }

    /// A copy of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        let pages = Pages::filled(bytes.len(), 0);
        pages.put(bytes);
        pages
    }

    /// Where it starts.
    pub const fn start(&self) -> NonNull<u8> {
        self.start
    }

    /// Bytes of it.
    pub const fn len(&self) -> usize {
        self.layout.size()
    }

    /// There is always a byte.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Overwrites its first bytes; nobody may hold a reference to them.
    pub fn put(&self, bytes: &[u8]) {
        let len = bytes.len().min(self.len());
        // SAFETY: both are valid for that length, and the memory is this value's own.
        unsafe {
            self.start
                .copy_from_nonoverlapping(NonNull::from(bytes).cast(), len)
        };
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: it came from there with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
