//! What the system says of memory behind a device: u-dma-buf and UIO.

use crate::error::HostError;
use hitgate_ring::CacheHooks;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a cache line, to which ranges are widened. Slots start and end at one, and the CPU writes to
/// none that a device fills, so nothing of another is discarded.
const LINE: usize = 64;
/// `DMA_TO_DEVICE` and `DMA_FROM_DEVICE`, as u-dma-buf numbers them.
const TO_DEVICE: u64 = 1;
const FROM_DEVICE: u64 = 2;

/// A buffer of u-dma-buf: its caches are looked after by writing to its files in `/sys/class`.
///
/// As [`CacheHooks`] each call is a system call, also for each look whether a frame has come. A coherent
/// port needs none: see [`DmaBuffer::is_coherent`].
#[derive(Debug)]
pub struct DmaBuffer {
    folder: PathBuf,
    size: u64,
    physical_address: u64,
    coherent: bool,
    for_cpu: File,
    for_device: File,
    failures: AtomicU64,
}

impl DmaBuffer {
    /// The buffer behind `device`, such as `/dev/udmabuf0`; `None` where u-dma-buf knows none of that
    /// name.
    ///
    /// # Errors
    /// As [`DmaBuffer::in_folder`].
    pub fn of(device: &Path) -> Result<Option<Self>, HostError> {
        let folder = u_dma_buf_folder(device, Path::new("/sys"));
        folder.map(|folder| Self::in_folder(&folder)).transpose()
    }

    /// The buffer whose attributes are in `folder`.
    ///
    /// # Errors
    /// [`HostError::Io`] where an attribute is not there, is no number, or may not be written.
    pub fn in_folder(folder: &Path) -> Result<Self, HostError> {
        let open = |name: &str| {
            let path = folder.join(name);
            let opened = OpenOptions::new().write(true).open(&path);
            opened.map_err(|e| failed(&path, "open it to look after the caches", e))
        };
        Ok(DmaBuffer {
            size: number(&folder.join("size"))?,
            physical_address: number(&folder.join("phys_addr"))?,
            coherent: number(&folder.join("dma_coherent"))? != 0,
            for_cpu: open("sync_for_cpu")?,
            for_device: open("sync_for_device")?,
            folder: folder.to_owned(),
            failures: AtomicU64::new(0),
        })
    }

    /// Bytes of the buffer.
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Where the device has to write.
    pub const fn physical_address(&self) -> u64 {
        self.physical_address
    }

    /// Whether the hardware keeps caches and device together, so that no hooks are needed.
    pub const fn is_coherent(&self) -> bool {
        self.coherent
    }

    /// That every request was carried out.
    ///
    /// # Errors
    /// [`HostError::Caches`]: what was read since may be older than what the device wrote.
    pub fn check(&self) -> Result<(), HostError> {
        match self.failures.load(Ordering::Relaxed) {
            0 => Ok(()),
            failures => Err(HostError::Caches {
                path: self.folder.clone(),
                failures,
            }),
        }
    }

    fn request(&self, file: &File, direction: u64, range: Range<usize>) {
        let start = range.start / LINE * LINE;
        let size = range.end.next_multiple_of(LINE) - start;
        let carried_out = match (u32::try_from(start), u32::try_from(size)) {
            (Ok(start), Ok(size)) => {
                // Offset, size and direction in one number, so that two threads do not mix theirs.
                let word = u64::from(start) << 32 | u64::from(size) | direction << 2 | 1;
                file.write_all_at(&hexadecimal(word), 0).is_ok()
            }
            _ => false,
        };
        if !carried_out {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl CacheHooks for DmaBuffer {
    fn before_cpu_read(&self, range: Range<usize>) {
        self.request(&self.for_cpu, FROM_DEVICE, range);
    }

    fn after_cpu_read(&self, range: Range<usize>) {
        self.request(&self.for_device, FROM_DEVICE, range);
    }

    fn after_cpu_write(&self, range: Range<usize>) {
        self.request(&self.for_device, TO_DEVICE, range);
    }
}

/// The number as u-dma-buf reads it, without asking for memory: there are several a frame.
fn hexadecimal(word: u64) -> [u8; 18] {
    let mut text = *b"0x0000000000000000";
    for (i, digit) in text[2..].iter_mut().rev().enumerate() {
        *digit = b"0123456789ABCDEF"[(word >> (4 * i)) as usize & 15];
    }
    text
}

/// Bytes of the memory behind `device`, where `sys` (`/sys`) knows it: a buffer of u-dma-buf, or the first
/// mapping of a UIO device.
pub(crate) fn device_size(device: &Path, sys: &Path) -> Option<u64> {
    if let Some(folder) = u_dma_buf_folder(device, sys) {
        return number(&folder.join("size")).ok();
    }
    let uio = sys.join("class/uio").join(device.file_name()?);
    number(&uio.join("maps/map0/size")).ok()
}

/// Older versions have another name for the class.
fn u_dma_buf_folder(device: &Path, sys: &Path) -> Option<PathBuf> {
    let name = device.file_name()?;
    ["class/u-dma-buf", "class/udmabuf"]
        .map(|class| sys.join(class).join(name))
        .into_iter()
        .find(|folder| folder.is_dir())
}

fn failed(path: &Path, action: &'static str, cause: io::Error) -> HostError {
    let path = path.to_owned();
    HostError::Io {
        path,
        action,
        cause,
    }
}

/// A number in a file, decimal or hexadecimal.
fn number(path: &Path) -> Result<u64, HostError> {
    let failed = |cause| failed(path, "read a number there", cause);
    let text = fs::read_to_string(path).map_err(failed)?;
    let text = text.trim();
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Ring;
    use hitgate_ring::{Layout, RECORD_LEN};

    /// A folder as u-dma-buf makes it, with ordinary files.
    fn folder(sys: &Path, class: &str) -> PathBuf {
        let folder = sys.join(class).join("udmabuf0");
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in [
            ("size", "16384\n"),
            ("phys_addr", "0x000000001f700000\n"),
            ("dma_coherent", "0\n"),
            ("sync_for_cpu", ""),
            ("sync_for_device", ""),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_buffer_says_what_it_is() {
        let sys = tempfile::tempdir().unwrap();
        let device = Path::new("/dev/udmabuf0");
        assert_eq!(device_size(device, sys.path()), None);
        for class in ["class/udmabuf", "class/u-dma-buf"] {
            let folder = folder(sys.path(), class);
            assert_eq!(u_dma_buf_folder(device, sys.path()).as_ref(), Some(&folder));
            assert_eq!(device_size(device, sys.path()), Some(16384));
            let buffer = DmaBuffer::in_folder(&folder).unwrap();
            assert_eq!(
                (buffer.size(), buffer.physical_address()),
                (16384, 0x1F70_0000)
            );
            assert!(!buffer.is_coherent());
            fs::write(folder.join("dma_coherent"), "1\n").unwrap();
            assert!(DmaBuffer::in_folder(&folder).unwrap().is_coherent());
        }
        let uio = sys.path().join("class/uio/uio3/maps/map0");
        fs::create_dir_all(&uio).unwrap();
        fs::write(uio.join("size"), "0x0000000000020000\n").unwrap();
        assert_eq!(
            device_size(Path::new("/dev/uio3"), sys.path()),
            Some(0x2_0000)
        );
        assert_eq!(device_size(Path::new("/dev/null"), sys.path()), None);
    }

    #[test]
    fn a_reader_asks_for_each_slot_before_and_gives_it_back_after() {
        let sys = tempfile::tempdir().unwrap();
        let folder = folder(sys.path(), "class/u-dma-buf");
        let asked = |name: &str| {
            let path = folder.join(name);
            let text = fs::read_to_string(&path).unwrap();
            fs::write(path, "").unwrap();
            text
        };
        let buffer = DmaBuffer::in_folder(&folder).unwrap();
        let layout = Layout::new(2, 256, 2).unwrap();
        let ring = Ring::anonymous(&layout, 1).unwrap();
        let mut writer = ring.writer().unwrap();
        let mut reader = ring.reader().unwrap().with_cache_hooks(&buffer);
        // The head's line, which the device reads.
        let head = format!("0x{:08X}{:08X}", 384, 64 | 5);
        assert_eq!(asked("sync_for_device"), head);
        for position in [0, 1, 2] {
            let slot = layout.slots_offset() as u64 + 256 * (position % 2);
            // Nothing there: the line of the number alone.
            assert!(reader.read(1).unwrap().is_empty());
            assert_eq!(
                asked("sync_for_cpu"),
                format!("0x{:08X}{:08X}", slot, 64 | 9)
            );
            writer.reserve().unwrap().unwrap().commit();
            let lent = reader.read(1).unwrap().settle(&[0; RECORD_LEN]);
            assert_eq!(
                asked("sync_for_cpu"),
                format!("0x{:08X}{:08X}", slot, 256 | 9)
            );
            assert_eq!(asked("sync_for_device"), "");
            drop(lent);
            assert_eq!(
                asked("sync_for_device"),
                format!("0x{:08X}{:08X}", slot, 256 | 9)
            );
            reader.reclaim();
            assert_eq!(asked("sync_for_device"), head);
        }
        assert!(buffer.check().is_ok());
    }

    #[test]
    fn a_request_that_fails_is_told() {
        let sys = tempfile::tempdir().unwrap();
        let folder = folder(sys.path(), "class/u-dma-buf");
        let mut buffer = DmaBuffer::in_folder(&folder).unwrap();
        buffer.after_cpu_read(0..usize::MAX / 2);
        let error = buffer.check().unwrap_err().to_string();
        assert!(error.contains("udmabuf0") && error.contains('1'), "{error}");
        // A file that takes nothing.
        buffer.for_cpu = File::open(folder.join("size")).unwrap();
        buffer.before_cpu_read(0..64);
        assert!(buffer.check().unwrap_err().to_string().contains('2'));
    }

    #[test]
    fn every_digit_is_at_its_place() {
        for word in [0, 0x0123_4567_89AB_CDEF, u64::MAX] {
            assert_eq!(hexadecimal(word), format!("0x{word:016X}").as_bytes());
        }
    }

    #[test]
    fn attributes_that_are_missing_or_no_numbers_are_named() {
        let sys = tempfile::tempdir().unwrap();
        for name in ["size", "phys_addr", "dma_coherent", "sync_for_cpu"] {
            let folder = folder(sys.path(), "class/u-dma-buf");
            fs::remove_file(folder.join(name)).unwrap();
            let error = DmaBuffer::in_folder(&folder).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        }
        let folder = folder(sys.path(), "class/u-dma-buf");
        for text in ["", "much", "-1"] {
            fs::write(folder.join("size"), text).unwrap();
            let error = DmaBuffer::in_folder(&folder).unwrap_err().to_string();
            assert!(
                error.contains("size") && error.contains("number"),
                "{error}"
            );
        }
    }
}
