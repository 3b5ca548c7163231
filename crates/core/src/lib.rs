#![no_std]
#![forbid(unsafe_code)]
//! The path of one frame, from its slot in the ring to keep or drop.

pub mod accounts;
pub mod frame;
pub mod link;
pub mod pipeline;
pub mod prep;
pub mod verdict;
