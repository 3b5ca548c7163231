//! Where the ring of a live system lies.

use std::path::PathBuf;

use clap::Args;

/// Where it lies if nobody says.
pub const DEFAULT: &str = "/dev/shm/hitgate.ring";

/// The ring's place.
#[derive(Args, Clone, Debug)]
pub struct RingArg {
    /// The ring: a file in shared memory, or a device such as /dev/udmabuf0
    #[arg(long, value_name = "PATH", default_value = DEFAULT)]
    ring: PathBuf,
}

impl RingArg {
    /// The path.
    pub fn path(&self) -> PathBuf {
        self.ring.clone()
    }
}
