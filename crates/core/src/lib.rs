#![no_std]
#![forbid(unsafe_code)]
//! The path of one frame, from its slot in the ring to keep or drop.
//!
//! 1. A detector's DMA engine fills a slot of the [ring](hitgate_ring) and numbers it.
//! 2. [`frame`] copies the header out of the slot and checks it.
//! 3. [`prep`] reduces the counts of a window to a small map, in integers; [`correct`] makes counts of
//!    an integrating detector's raw words on the way.
//! 4. [`net`] takes the map to three logits, the same on every machine.
//! 5. [`verdict`] makes a score of them, and of the score keep or drop, with its reason.
//! 6. [`link`] commits a record for every frame and lends the kept slots to whoever sends them.
//! 7. [`pipeline`] is the loop over 1 to 6; [`cpu`] is the part of it that a GPU may replace.
//! 8. [`accounts`] are the books: expected = received + lost, received = kept + dropped.
//!
//! Nothing here allocates, and nothing panics on any bytes. A frame that cannot be judged is kept.

pub mod accounts;
pub mod correct;
pub mod cpu;
pub mod frame;
pub mod link;
pub mod net;
pub mod pipeline;
pub mod prep;
pub mod verdict;
