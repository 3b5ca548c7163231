//! Rings in files, in device memory, and in a process of one's own.

use crate::dma_buffer::{DmaBuffer, device_size};
use crate::error::HostError;
use crate::process::{is_alive, own_token, pid_of};
use hitgate_ring::{AttachError, CacheHooks, End, Layout, Monitor, PAGE, Reader, Region, Writer};
use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::fs::{self as rfs, CWD, FallocateFlags, MemfdFlags, RenameFlags};
use rustix::io::Errno;
use std::cell::UnsafeCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What to do when something of that name exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// Leave it, and say so.
    Exclusive,
    /// Replace it, if it is a ring that nobody uses. Processes that still map the old one keep it.
    Replace,
}

/// A mapped ring. It owns the mapping; its ends, and the slots they lend, borrow from it.
///
/// Each end is given once, and only if no live process has it; that is what makes the ends safe
/// to use. A process that maps the same file and keeps to no rules can still break a
/// frame's bytes, and one that shortens the file stops this one with `SIGBUS`: give a
/// ring file no more rights than its two sides need (it is made with mode 0600).
///
/// Processes name themselves by their id and their start, so both sides must share a PID namespace
/// (containers: the host's, or one pod's). A live process of another namespace looks dead here, and
/// its end would be given twice.
#[derive(Debug)]
pub struct Ring {
    map: MmapRaw,
    file: File,
    path: PathBuf,
    layout: Layout,
    session: u64,
    /// Memory for copies of a free-running ring's frames, once there is a reader.
    copies: OnceLock<MmapRaw>,
    writer: Claim,
    reader: Claim,
}

/// Whether this mapping has taken an end.
#[derive(Debug, Default)]
struct Claim(AtomicBool);

/// Where a ring of that name lies: names without a directory are in shared memory.
pub fn ring_path(name: &str) -> PathBuf {
    let shared = Path::new("/dev/shm");
    let path = Path::new(name);
    if path.components().count() == 1 && !path.is_absolute() && shared.is_dir() {
        shared.join(path)
    } else {
        path.to_owned()
    }
}

impl Ring {
    /// Makes an empty ring at `path`: a new file with all its room reserved, or a device such as
    /// `/dev/udmabuf0`, which is used as it is. `session` tells this run from others.
    ///
    /// A file appears under its name only when it is complete.
    ///
    /// # Errors
    /// [`HostError`] says what to do.
    pub fn create(
        path: &Path,
        layout: &Layout,
        session: u64,
        creation: Creation,
    ) -> Result<Ring, HostError> {
        let found = std::fs::metadata(path);
        if found.as_ref().is_ok_and(is_device) {
            return Self::create_on_device(path, layout, session);
        }
        if found.is_ok() {
            match creation {
                Creation::Exclusive => {
                    return Err(HostError::Exists {
                        path: path.to_owned(),
                    });
                }
                Creation::Replace => refuse_unless_idle(path)?,
            }
        }
        let draft = Draft::beside(path)?;
        reserve_room(&draft.file, path, layout.bytes() as u64)?;
        let file = duplicate(&draft.file, path)?;
        let ring = Self::format(file, path, layout, session)?;
        draft.publish(path, creation)?;
        Ok(ring)
    }

    /// The ring that another process made at `path`.
    ///
    /// # Errors
    /// [`HostError::Missing`], [`HostError::Permission`], and [`HostError::Attach`] if what is there
    /// is no ring or a damaged one.
    pub fn open(path: &Path) -> Result<Ring, HostError> {
        let file = open_shared(path)?;
        let len = available(&file, path)?;
        if len < PAGE {
            return Err(HostError::attach(path, AttachError::NotARing));
        }
        // The first page says how much of the file is the ring's; the rest is never touched.
        let needed = ring_length(&map(path, &file, PAGE)?, path)?;
        if len < needed {
            let needed = needed as u64;
            return Err(HostError::attach(
                path,
                AttachError::TooShort { len, needed },
            ));
        }
        Self::attach(file, path, needed)
    }

    /// A ring without a name, in memory of its own: for both ends in one process.
    ///
    /// # Errors
    /// [`HostError::NoSpace`] if the memory is not to be had.
    pub fn anonymous(layout: &Layout, session: u64) -> Result<Ring, HostError> {
        let path = Path::new("ring in memory");
        let file: File = rfs::memfd_create("hitgate-ring", MemfdFlags::CLOEXEC)
            .map_err(|e| HostError::io(path, "make it", e))?
            .into();
        reserve_room(&file, path, layout.bytes() as u64)?;
        Self::format(file, path, layout, session)
    }

    /// The same ring, mapped once more: for an end that starts again after the first mapping's
    /// is gone, or for a second view.
    ///
    /// # Errors
    /// As [`Ring::open`].
    pub fn reopen(&self) -> Result<Ring, HostError> {
        Self::attach(
            duplicate(&self.file, &self.path)?,
            &self.path,
            self.map.len(),
        )
    }

    /// The end that fills slots. Each end is given once for each mapping: a slot that is still
    /// lent belongs to its end, so a new end needs a new mapping ([`Ring::reopen`]).
    ///
    /// # Errors
    /// [`HostError::InUse`] if a live process, this one included, has that end.
    pub fn writer(&self) -> Result<Writer<'_>, HostError> {
        self.claimed(End::Writer, || {
            (self.region()?.into_writer()).map_err(|e| HostError::attach(&self.path, e))
        })
    }

    /// The end that takes slots, as [`Ring::writer`]. For a free-running ring this process also gets memory for
    /// copies of frames, half as large as the slots, which lives as long as this mapping.
    ///
    /// # Errors
    /// [`HostError::InUse`] if a live process, this one included, has that end; [`HostError::Io`] if the
    /// memory is not to be had; [`HostError::Attach`] with [`AttachError::Busy`] where trying again helps.
    pub fn reader(&self) -> Result<Reader<'_>, HostError> {
        self.claimed(End::Reader, || {
            let copies: &mut [u8] = match self.copies()? {
                None => &mut [],
                // SAFETY: *mapped*: the mapping is valid for its length and was zeroed, it lives as long as `self`, and the one
                // reader of this mapping (*one of each*), whose claim was taken just now, is the only one to use it.
                Some(map) => unsafe {
                    std::slice::from_raw_parts_mut(base(map).as_ptr(), map.len())
                },
            };
            (self.region()?.into_reader_with(copies)).map_err(|e| HostError::attach(&self.path, e))
        })
    }

    /// A view for statistics and inspection.
    ///
    /// # Errors
    /// [`HostError::Attach`] if somebody damaged the ring since it was mapped.
    pub fn monitor(&self) -> Result<Monitor<'_>, HostError> {
        Ok(self.region()?.monitor())
    }

    /// The process that has an end, if it is alive.
    ///
    /// # Errors
    /// [`HostError::Attach`] if somebody damaged the ring since it was mapped.
    pub fn owner(&self, end: End) -> Result<Option<u32>, HostError> {
        let token = self.region()?.owner(end);
        Ok(is_alive(token).then(|| pid_of(token)))
    }

    /// Keeps the mapping until the process ends, for ends that outlive every scope.
    pub fn leak(self) -> &'static Ring {
        Box::leak(Box::new(self))
    }

    /// Keeps the ring in memory, so that no access ever waits for a disk.
    ///
    /// # Errors
    /// [`HostError::Io`], most often because of the limit on locked memory (`ulimit -l`).
    pub fn lock(&self) -> Result<(), HostError> {
        let locked = self.map.lock();
        locked.map_err(|e| HostError::io(&self.path, "lock it in memory (see `ulimit -l`)", e))
    }

    /// Asks for huge pages, which the system may or may not grant.
    ///
    /// # Errors
    /// [`HostError::Io`] if the kernel knows no huge pages.
    pub fn advise_huge_pages(&self) -> Result<(), HostError> {
        let advised = self.map.advise(Advice::HugePage);
        advised.map_err(|e| HostError::io(&self.path, "use huge pages", e))
    }

    /// The memory that its frames are read from: the mapping, and a free-running ring's copies once there is a reader. For
    /// whoever tells a device about it; other ends, and other processes, may write there at any time.
    pub fn memory(&self) -> impl Iterator<Item = &[UnsafeCell<u8>]> {
        let memory = |map: &MmapRaw| {
            let from = base(map).cast::<UnsafeCell<u8>>().as_ptr();
            // SAFETY: *mapped*: the mapping is valid for its length for as long as this borrow of it, and an `UnsafeCell` says
            // nothing of who reads or writes there.
            unsafe { std::slice::from_raw_parts(from, map.len()) }
        };
        std::iter::once(&self.map)
            .chain(self.copies.get())
            .map(memory)
    }

    /// Where it lies; a name only for a ring in memory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Shape and offsets.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The number that the creator gave this run.
    pub const fn session(&self) -> u64 {
        self.session
    }

    fn create_on_device(path: &Path, layout: &Layout, session: u64) -> Result<Ring, HostError> {
        let file = open_shared(path)?;
        let bytes = layout.bytes() as u64;
        if device_size(path, Path::new("/sys")).is_some_and(|size| size < bytes) {
            let path = path.to_owned();
            return Err(HostError::NoSpace { path, bytes });
        }
        refuse_unless_idle(path).or_else(|error| match error {
            // A device has no content to spare.
            HostError::Foreign { .. } => Ok(()),
            other => Err(other),
        })?;
        let ring = Self::format(file, path, layout, session)?;
        // Zeros that leave a cache later would erase what the device wrote.
        if let Some(buffer) = DmaBuffer::of(path)?.filter(|buffer| !buffer.is_coherent()) {
            buffer.after_cpu_write(0..layout.bytes());
            buffer.check()?;
        }
        Ok(ring)
    }

    fn format(file: File, path: &Path, layout: &Layout, session: u64) -> Result<Ring, HostError> {
        let map = map(path, &file, layout.bytes())?;
        // SAFETY: *mapped*: the mapping is valid for its length for as long as this borrow of it; nobody
        // uses a ring there: the file is new, or the device's ring idle.
        unsafe { Region::create(base(&map), map.len(), layout, session) }
            .map_err(|e| HostError::attach(path, e))?;
        Ok(Ring {
            map,
            file,
            path: path.to_owned(),
            layout: *layout,
            session,
            copies: OnceLock::new(),
            writer: Claim::default(),
            reader: Claim::default(),
        })
    }

    fn attach(file: File, path: &Path, len: usize) -> Result<Ring, HostError> {
        let map = map(path, &file, len)?;
        let (layout, session) = {
            // SAFETY: *mapped*: the mapping is valid for its length for as long as this borrow of it, and
            // this region becomes no end.
            let region = unsafe { Region::attach(base(&map), map.len()) }
                .map_err(|e| HostError::attach(path, e))?;
            (*region.layout(), region.session())
        };
        Ok(Ring {
            map,
            file,
            path: path.to_owned(),
            layout,
            session,
            copies: OnceLock::new(),
            writer: Claim::default(),
            reader: Claim::default(),
        })
    }

    /// A region that borrows from this mapping.
    fn region(&self) -> Result<Region<'_>, HostError> {
        // SAFETY: *mapped*: the mapping lives as long as `self`. *one of each*: `claim` lets an end be made
        // only once for a mapping and by one live process, and `claimed` keeps the claim of one that was made
        // until the mapping goes, which no end and no lent slot outlives.
        unsafe { Region::attach(base(&self.map), self.map.len()) }
            .and_then(|region| region.expect(&self.layout))
            .map_err(|e| HostError::attach(&self.path, e))
    }

    /// Memory for the reader's copies, if it needs any.
    fn copies(&self) -> Result<Option<&MmapRaw>, HostError> {
        let len = self.layout.copy_bytes();
        if len == 0 || self.copies.get().is_some() {
            return Ok(self.copies.get());
        }
        // Every page is present, so that no frame waits for one.
        let map = (MmapOptions::new().len(len).populate().map_anon())
            .map_err(|e| HostError::io(&self.path, "get memory for copies of its frames", e))?;
        Ok(Some(self.copies.get_or_init(|| map.into())))
    }

    /// What `make` makes of an end that is claimed for it; where it makes nothing, the end is free again.
    fn claimed<T>(
        &self,
        end: End,
        make: impl FnOnce() -> Result<T, HostError>,
    ) -> Result<T, HostError> {
        self.claim(end)?;
        make().inspect_err(|_| self.release(end))
    }

    fn claim(&self, end: End) -> Result<(), HostError> {
        let region = self.region()?;
        if self.claim_of(end).0.swap(true, Ordering::AcqRel) {
            return Err(self.in_use(end, own_token()));
        }
        loop {
            let owner = region.owner(end);
            if is_alive(owner) {
                self.claim_of(end).0.store(false, Ordering::Release);
                return Err(self.in_use(end, owner));
            }
            if region.replace_owner(end, owner, own_token()) {
                return Ok(());
            }
        }
    }

    fn in_use(&self, end: End, token: u32) -> HostError {
        HostError::InUse {
            path: self.path.clone(),
            end,
            pid: pid_of(token),
        }
    }

    /// Gives back an end that nobody has.
    fn release(&self, end: End) {
        if let Ok(region) = self.region() {
            // If it is not this process's any more, there is nothing to give back.
            region.replace_owner(end, own_token(), 0);
        }
        self.claim_of(end).0.store(false, Ordering::Release);
    }

    const fn claim_of(&self, end: End) -> &Claim {
        match end {
            End::Writer => &self.writer,
            End::Reader => &self.reader,
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        for end in [End::Writer, End::Reader] {
            if self.claim_of(end).0.load(Ordering::Acquire) {
                self.release(end);
            }
        }
    }
}

/// A file on its way to its name; it goes again if it does not get there.
struct Draft {
    file: File,
    path: PathBuf,
}

impl Draft {
    fn beside(path: &Path) -> Result<Draft, HostError> {
        remove_stale_drafts(path);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.part", std::process::id()));
        let draft = path.with_file_name(name);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => HostError::NoFolder {
                    path: path.to_owned(),
                },
                _ => HostError::io(path, "make it", e),
            })?;
        Ok(Draft { file, path: draft })
    }

    fn publish(self, path: &Path, creation: Creation) -> Result<(), HostError> {
        let flags = match creation {
            Creation::Exclusive => RenameFlags::NOREPLACE,
            Creation::Replace => RenameFlags::empty(),
        };
        rfs::renameat_with(CWD, &self.path, CWD, path, flags)
            .map_err(|e| HostError::io(path, "give it its name", e))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `publish` nothing has this name any more.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes drafts of the ring at `path` whose processes were killed on the way: each holds the whole
/// room of a ring. What cannot be read or removed stays.
fn remove_stale_drafts(path: &Path) {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let Ok(entries) = std::fs::read_dir(folder.unwrap_or(Path::new("."))) else {
        return;
    };
    let stale = |name: &str| -> Option<bool> {
        let rest = name.strip_prefix(path.file_name()?.to_str()?)?;
        let pid = rest.strip_prefix('.')?.strip_suffix(".part")?;
        Some(!is_alive(pid_of(pid.parse().ok()?)))
    };
    for entry in entries.flatten() {
        if entry.file_name().to_str().and_then(stale) == Some(true) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn is_device(found: &std::fs::Metadata) -> bool {
    found.file_type().is_char_device() || found.file_type().is_block_device()
}

/// Refuses if what lies at `path` is no ring, or one that a live process uses.
fn refuse_unless_idle(path: &Path) -> Result<(), HostError> {
    let ring = match Ring::open(path) {
        Ok(ring) => ring,
        Err(HostError::Attach {
            cause: AttachError::NotARing,
            path,
        }) => return Err(HostError::Foreign { path }),
        // A damaged ring, or one of another version, is a ring.
        Err(HostError::Attach { .. }) => return Ok(()),
        Err(other) => return Err(other),
    };
    for end in [End::Writer, End::Reader] {
        if let Some(pid) = ring.owner(end)? {
            let path = path.to_owned();
            return Err(HostError::InUse { path, end, pid });
        }
    }
    Ok(())
}

fn open_shared(path: &Path) -> Result<File, HostError> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.map_err(|e| HostError::io(path, "open it", e))
}

/// Bytes that can be mapped; a device does not say, so there it is no limit.
fn available(file: &File, path: &Path) -> Result<usize, HostError> {
    let found = (file.metadata()).map_err(|e| HostError::io(path, "look at it", e))?;
    if is_device(&found) {
        return Ok(usize::MAX);
    }
    Ok(usize::try_from(found.len()).unwrap_or(usize::MAX))
}

fn duplicate(file: &File, path: &Path) -> Result<File, HostError> {
    let file = file.try_clone();
    file.map_err(|e| HostError::io(path, "open it once more", e))
}

/// Takes the room now: a file with holes would stop the process with `SIGBUS` when it fills up.
fn reserve_room(mut file: &File, path: &Path, bytes: u64) -> Result<(), HostError> {
    let reserved = match rfs::fallocate(file, FallocateFlags::empty(), 0, bytes) {
        Err(Errno::OPNOTSUPP) => io::copy(&mut io::repeat(0).take(bytes), &mut file).map(drop),
        other => other.map_err(io::Error::from),
    };
    reserved.map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge | io::ErrorKind::QuotaExceeded => {
            HostError::NoSpace {
                path: path.to_owned(),
                bytes,
            }
        }
        _ => HostError::io(path, "reserve its room", error),
    })
}

/// Maps `len` bytes, with every page present, so that no frame waits for one.
fn map(path: &Path, file: &File, len: usize) -> Result<MmapRaw, HostError> {
    let mapped = MmapOptions::new().len(len).populate().map_raw(file);
    mapped.map_err(|e| HostError::io(path, "map it", e))
}

fn base(map: &MmapRaw) -> NonNull<u8> {
    NonNull::new(map.as_mut_ptr()).expect("a mapping is never at address 0")
}

/// The length of the ring whose first page this is.
fn ring_length(page: &MmapRaw, path: &Path) -> Result<usize, HostError> {
    // SAFETY: *mapped*: the mapping is valid for its length for as long as this borrow of it, and this
    // region becomes no end.
    match unsafe { Region::attach(base(page), page.len()) } {
        Ok(region) => Ok(region.layout().bytes()),
        Err(AttachError::TooShort { needed, .. }) => {
            Ok(usize::try_from(needed).unwrap_or(usize::MAX))
        }
        Err(error) => Err(HostError::attach(path, error)),
    }
}
