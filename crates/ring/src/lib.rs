//! A ring of frames in memory that somebody else mapped.
//!
//! One [`Writer`] (a detector's DMA engine, or a program that plays its part) fills slots of fixed
//! size in order; one [`Reader`] takes them, commits a record of 64 bytes for each, and gives
//! the slots back, in any order and from any thread. Under [`Policy::Credit`] a full ring stalls the writer,
//! and frames are never copied: what is kept is *lent* to the link, at most half the slots at a time.
//!
//! Under [`Policy::FreeRunning`] the writer waits for nobody and laps a slow reader. A slot may then change
//! while it is read, so the reader loads its words one by one into memory of its own and looks at the
//! number again: a frame that was overwritten meanwhile is *lapped*, and nobody sees its bytes. Everything
//! after it works on the copy, which is lent as a slot is. That costs one copy of a frame; a view of the slot
//! itself would have made raw words, torn ones among them, the business of everything that looks at pixels.
//!
//! ```
//! use hitgate_ring::{Layout, RECORD_LEN, Region};
//! # #[repr(C, align(4096))] #[derive(Clone)] struct Page([u8; 4096]);
//! let layout = Layout::new(8, 256, 8)?;
//! # let mut memory = vec![Page([0; 4096]); layout.bytes().div_ceil(4096)];
//! # let base = std::ptr::NonNull::from(memory.as_mut_slice()).cast::<u8>();
//! # let len = memory.len() * 4096;
//! // SAFETY: *mapped*: `base` is valid for `len` bytes, which only this ring uses.
//! let region = unsafe { Region::create(base, len, &layout, 1) }?;
//! let (mut writer, mut reader) = region.split()?;
//!
//! let mut slot = writer.reserve()?.expect("an empty ring has room");
//! slot.write(16, b"spot")?;
//! let seq = slot.commit();
//!
//! let mut batch = reader.read(4)?;
//! let frame = batch.front().expect("one frame");
//! assert_eq!((frame.seq(), &frame.bytes()[16..20]), (seq, &b"spot"[..]));
//! let lent = batch.settle(&[0; RECORD_LEN]).expect("one frame");
//! drop(batch);
//! assert_eq!(reader.lent(), 1);
//! drop(lent);
//! assert_eq!(reader.lent(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`layout`] is the table of every byte. Nothing in the mapping is a pointer, and no word of
//! it becomes an index: positions are the ends' own 64-bit numbers, taken modulo the number of slots.
#![cfg_attr(not(any(test, loom)), no_std)]

#[cfg(not(target_endian = "little"))]
compile_error!("the ring's layout is little endian; big-endian CPUs are not supported");

mod cache;
mod copies;
mod counters;
mod error;
pub mod layout;
mod lent;
mod loans;
mod monitor;
mod reader;
mod region;
mod seq;
mod sync;
mod writer;

pub use cache::{CacheHooks, Coherent};
pub use error::{AttachError, RingError};
pub use layout::{
    LAYOUT_VERSION, Layout, LayoutError, PAGE, PATH_COUNTERS, Policy, RECORD_LEN, SLOT_BODY_OFFSET,
    SLOT_SEQ_OFFSET,
};
pub use lent::Lent;
pub use monitor::{Consumer, Monitor, Source, State};
pub use reader::{Batch, Frame, Reader};
pub use region::{End, Region};
pub use seq::Seq;
pub use sync::device_acquire;
#[cfg(loom)]
pub use sync::{Shadow, dies_after, revive};
pub use writer::{Slot, Writer};
