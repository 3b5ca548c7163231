//! The kernels, run on this machine's CPU from the sources that a GPU gets, equal what the CPU's own path computes.
//!
//! `CXX` names the compiler; none is a failure. What this cannot show: that two threads of a block race between barriers in a
//! way that neither order shows, and what the tensor cores do with a fragment other than the PTX ISA says.

mod network;
mod preparation;
mod program;
