//! What the operating system or the other side refused.

use hitgate_ring::{AttachError, End};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// Why a ring, a core or a pace is not to be had. Every message is a whole sentence: the cause is
/// part of it, and so no [`source`](std::error::Error::source) repeats it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// Nothing is there.
    #[error("{}: no such ring; start the side that makes it first, or check the path", path.display())]
    Missing {
        /// The path asked for.
        path: PathBuf,
    },
    /// A ring was to be made in a folder that is not there.
    #[error("{}: cannot be made, its folder does not exist; make the folder first", path.display())]
    NoFolder {
        /// The path asked for.
        path: PathBuf,
    },
    /// Not allowed.
    #[error("{}: permission denied; run as its owner, or change its mode", path.display())]
    Permission {
        /// The path asked for.
        path: PathBuf,
    },
    /// A file of that name exists, and was not to be replaced.
    #[error("{}: exists already; choose another name, or replace it", path.display())]
    Exists {
        /// The path asked for.
        path: PathBuf,
    },
    /// A file of that name exists, and is no ring: it is not overwritten.
    #[error("{}: exists and is not a ring, so it is left alone; choose another name", path.display())]
    Foreign {
        /// The path asked for.
        path: PathBuf,
    },
    /// The file system has not enough room.
    #[error("{}: no room for a ring of {bytes} bytes; use fewer or smaller slots, or free some space", path.display())]
    NoSpace {
        /// The path asked for.
        path: PathBuf,
        /// Bytes the ring needs.
        bytes: u64,
    },
    /// A live process has that end of the ring.
    #[error("{}: process {pid} already has the {} end; stop it first", path.display(), name(*end))]
    InUse {
        /// The path of the ring.
        path: PathBuf,
        /// The end that is taken.
        end: End,
        /// Who has it.
        pid: u32,
    },
    /// What is there does not work as a ring.
    #[error("{}: {cause}", path.display())]
    Attach {
        /// The path asked for.
        path: PathBuf,
        /// What is wrong with it.
        cause: AttachError,
    },
    /// The operating system refused something else.
    #[error("{}: cannot {action}: {cause}", path.display())]
    Io {
        /// The path asked for.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What it said.
        cause: io::Error,
    },
    /// No such core, or none that this process may use.
    #[error(
        "cannot pin to core {core}: {cause}; the machine or this process's cpuset does not have it"
    )]
    Core {
        /// The core asked for.
        core: usize,
        /// What the operating system said.
        cause: io::Error,
    },
    /// Caches could not be brought together with a device's memory.
    #[error(
        "{}: {failures} requests to look after the caches failed, so frames may have been read as they were before: do not trust this run, and see the kernel's log", path.display()
    )]
    Caches {
        /// The folder of the buffer's attributes.
        path: PathBuf,
        /// Requests that failed.
        failures: u64,
    },
    /// A socket does not work.
    #[error("{address}: cannot {action}: {cause}")]
    Socket {
        /// The address of the socket.
        address: SocketAddr,
        /// What was tried.
        action: &'static str,
        /// What the operating system said.
        cause: io::Error,
    },
    /// A frame of this source does not fit a slot.
    #[error(
        "a frame of {needed} bytes does not fit a slot of {stride}: make the ring's slots larger"
    )]
    SmallSlot {
        /// Bytes that a frame takes, header and all.
        needed: usize,
        /// Bytes of a slot.
        stride: usize,
    },
    /// A device writes here frame by frame, at no time that it is told of: no slot is a receiver's to write to.
    #[error("packets and buffers of a vendor are put into slots that wait: the ring runs free")]
    FreeRunning,
    /// Frames cannot come at this rate.
    #[error(
        "{rate_hz} frames a second in bursts of {burst}: the rate must be a positive number, a burst at least 1"
    )]
    Rate {
        /// Frames a second.
        rate_hz: f64,
        /// Frames a burst.
        burst: u32,
    },
}

fn name(end: End) -> &'static str {
    match end {
        End::Writer => "writing",
        End::Reader => "reading",
    }
}

impl HostError {
    /// The error of an operation on `path`, in the words of this crate where it has some.
    pub(crate) fn io(path: &Path, action: &'static str, cause: impl Into<io::Error>) -> Self {
        let path = path.to_owned();
        let cause = cause.into();
        match cause.kind() {
            io::ErrorKind::NotFound => HostError::Missing { path },
            io::ErrorKind::PermissionDenied => HostError::Permission { path },
            io::ErrorKind::AlreadyExists => HostError::Exists { path },
            _ => HostError::Io {
                path,
                action,
                cause,
            },
        }
    }

    pub(crate) fn attach(path: &Path, cause: AttachError) -> Self {
        HostError::Attach {
            path: path.to_owned(),
            cause,
        }
    }
}
