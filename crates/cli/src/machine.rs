//! What a measurement was made on, and with.

/// The CPU by its own account.
pub fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    name.unwrap_or_else(|| std::env::consts::ARCH.into())
}

/// Version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Commit that it was built from, or `unknown`.
pub const COMMIT: &str = env!("HITGATE_COMMIT");
