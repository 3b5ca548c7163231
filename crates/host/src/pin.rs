//! A core of one's own.

use crate::error::HostError;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Keeps the calling thread on core `core`, numbered from 0 as the system does.
///
/// # Errors
/// [`HostError::Core`] if the machine has no such core or the process may not use it.
pub fn pin_to_core(core: usize) -> Result<(), HostError> {
    let refused = |cause: rustix::io::Errno| HostError::Core {
        core,
        cause: cause.into(),
    };
    if core >= CpuSet::MAX_CPU {
        return Err(refused(rustix::io::Errno::INVAL));
    }
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).map_err(refused)
}

/// The cores that the calling thread may run on, in order.
pub fn allowed_cores() -> Vec<usize> {
    let allowed = sched_getaffinity(None).unwrap_or_default();
    (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_may_run_on_one_core_only() {
        let core = allowed_cores()[0];
        std::thread::spawn(move || {
            pin_to_core(core).unwrap();
            let now = sched_getaffinity(None).unwrap();
            assert_eq!((now.count(), now.is_set(core)), (1, true));
            assert_eq!(allowed_cores(), [core]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_core_that_is_not_there_is_an_error() {
        for core in [CpuSet::MAX_CPU - 1, CpuSet::MAX_CPU, usize::MAX] {
            let error = pin_to_core(core).unwrap_err();
            assert!(matches!(error, HostError::Core { core: c, .. } if c == core));
        }
    }
}
