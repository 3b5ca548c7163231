//! The kernels equal what the CPU's own path computes: run block by block on this machine's CPU, from the sources that a GPU
//! gets, and on its GPU, where there is one, which has to leave the same bytes in all of its memory.
//!
//! `CXX` names the compiler; none is a failure. What this cannot show without a GPU: that two threads of a block race between
//! barriers in a way that neither order of turns shows, and that tensor cores take a fragment as the PTX ISA says.

mod network;
#[path = "../../../import/tests/oracle_network/mod.rs"]
mod oracle_network;
mod preparation;
mod program;
