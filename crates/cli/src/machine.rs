//! What a measurement was made on, and with.

use std::fmt;
use std::fs::read_to_string;

/// Version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Commit that it was built from, or `unknown`.
pub const COMMIT: &str = env!("HITGATE_COMMIT");

/// The machine by its own account.
#[derive(Clone, Debug)]
pub struct Machine {
    /// The CPU.
    pub cpu: String,
    /// Cores that the system shows.
    pub cores: usize,
    /// Clock of the first core, where the system tells it: the present one, or the nominal one of a
    /// virtual machine.
    pub mhz: Option<f64>,
    /// Bytes of the largest cache, where the system tells it.
    pub cache: Option<usize>,
    /// Kernel and its release.
    pub os: String,
}

impl Machine {
    /// Asks the system.
    pub fn here() -> Self {
        Machine {
            cpu: cpu(),
            cores: cores(),
            mhz: mhz(),
            cache: largest_cache(),
            os: os(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = if self.cores == 1 { "core" } else { "cores" };
        write!(f, "{}, {} {cores}", self.cpu, self.cores)?;
        if let Some(mhz) = self.mhz {
            write!(f, " at {mhz:.0} MHz")?;
        }
        write!(f, ", {}", self.os)
    }
}

/// The value of `key` in /proc/cpuinfo.
fn cpuinfo(key: &str) -> Option<String> {
    let info = read_to_string("/proc/cpuinfo").ok()?;
    let mut pairs = info.lines().filter_map(|line| line.split_once(':'));
    let (_, value) = pairs.find(|(found, _)| found.trim() == key)?;
    Some(value.trim().to_owned())
}

fn cpu() -> String {
    // ARM boards name themselves in the device tree, which ends its strings as C does.
    let board = || read_to_string("/proc/device-tree/model").ok();
    cpuinfo("model name")
        .or_else(board)
        .map_or(std::env::consts::ARCH.into(), |name| {
            name.trim_end_matches('\0').to_owned()
        })
}

fn cores() -> usize {
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processors = info.lines().filter(|line| line.starts_with("processor"));
    processors.count().max(1)
}

fn mhz() -> Option<f64> {
    let khz = read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").ok();
    let scaled = khz.and_then(|khz| khz.trim().parse::<f64>().ok());
    scaled
        .map(|khz| khz / 1e3)
        .or_else(|| cpuinfo("cpu MHz")?.parse().ok())
}

fn largest_cache() -> Option<usize> {
    let caches = std::fs::read_dir("/sys/devices/system/cpu/cpu0/cache").ok()?;
    let size = |cache: std::io::Result<std::fs::DirEntry>| {
        let text = read_to_string(cache.ok()?.path().join("size")).ok()?;
        let kib: usize = text.trim().strip_suffix('K')?.parse().ok()?;
        Some(kib << 10)
    };
    caches.filter_map(size).max()
}

fn os() -> String {
    let kernel = |name: &str| {
        let text = read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
        Some(text.trim().to_owned())
    };
    match (kernel("ostype"), kernel("osrelease")) {
        (Some(name), Some(release)) => format!("{name} {release}"),
        _ => std::env::consts::OS.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_what_it_is() {
        let here = Machine::here();
        assert!(!here.cpu.is_empty() && !here.os.is_empty() && here.cores > 0);
        assert!(here.mhz.is_none_or(|mhz| mhz > 1.0));
        assert!(here.cache.is_none_or(|bytes| bytes >= 1 << 10));
        assert!(here.to_string().starts_with(&here.cpu));
    }
}
