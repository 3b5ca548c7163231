//! For tests only: what the rest of the workspace is checked against.

pub mod alloc;
pub mod oracle;
