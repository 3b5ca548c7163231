//! What only an operating system can give: memory mapped into several processes, cores of one's
//! own, clocks, sockets.
//!
//! ```
//! use hitgate_host::Ring;
//! use hitgate_ring::{Layout, RECORD_LEN};
//!
//! let ring = Ring::anonymous(&Layout::new(8, 256, 8)?, 1)?;
//! let mut writer = ring.writer()?;
//! let mut reader = ring.reader()?;
//!
//! writer.reserve()?.expect("an empty ring has room").commit();
//! let lent = reader.read(1)?.settle(&[0; RECORD_LEN]);
//! assert_eq!(lent.map(|frame| frame.seq().get()), Some(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clock;
mod dma_buffer;
mod error;
mod pace;
mod pin;
mod process;
mod ring;
mod sls;
mod wait;

pub use clock::MonotonicClock;
pub use dma_buffer::DmaBuffer;
pub use error::HostError;
pub use pace::{Pacer, Schedule};
pub use pin::{allowed_cores, pin_to_core};
pub use ring::{Creation, Ring, ring_path};
pub use sls::{SlsReceiver, Traffic};
pub use wait::Backoff;
