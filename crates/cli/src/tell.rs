//! What is told beside the answer of a command.

/// Prints a line on standard error. Nobody may listen any more, or the disk of the log be full, which is no reason to end.
macro_rules! tell {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}
