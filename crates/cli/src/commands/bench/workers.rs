//! The same work on several cores at once.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Result, bail};
use hitgate_host::{Backoff, allowed_cores, pin_to_core};

/// Cores for `count` workers: `first` and those after it that this process may use, or wherever the
/// system puts each, where `first` is left out.
pub fn cores(count: usize, first: Option<usize>) -> Result<Vec<Option<usize>>> {
    let allowed = allowed_cores();
    if count > allowed.len() {
        bail!(
            "{count} workers on {} cores, those that this process may use: give --cores {} at most",
            allowed.len(),
            allowed.len()
        );
    }
    let Some(first) = first else {
        return Ok(vec![None; count]);
    };
    // A core that there is not is told before anything is simulated.
    at_once(&[Some(first)], |_| Ok(()))?;
    let (before, after): (Vec<_>, Vec<_>) = allowed.into_iter().partition(|core| *core < first);
    let others = after
        .into_iter()
        .chain(before)
        .filter(|core| *core != first);
    let chosen = std::iter::once(first).chain(others).take(count);
    Ok(chosen.map(Some).collect())
}

/// Runs `work` on a thread for each of `cores`. Each has to call what it is given once it is set up, and may again before it
/// goes on: that returns when all have as often, or one of them has ended.
pub fn at_once<T: Send>(
    cores: &[Option<usize>],
    work: impl Fn(&dyn Fn()) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let (ready, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
    let worker = |core: Option<usize>| {
        let times = Cell::new(0);
        let wait_for_all = || {
            ready.fetch_add(1, Ordering::SeqCst);
            times.set(times.get() + 1);
            let all = times.get() * cores.len();
            let mut backoff = Backoff::new();
            while ready.load(Ordering::SeqCst) < all && !ended.load(Ordering::SeqCst) {
                backoff.wait();
            }
        };
        let _ends = Ends(&ended);
        let pinned = core.map_or(Ok(()), pin_to_core);
        pinned
            .map_err(Into::into)
            .and_then(|()| work(&wait_for_all))
    };
    std::thread::scope(|scope| {
        let worker = &worker;
        let threads: Vec<_> = cores
            .iter()
            .map(|&core| scope.spawn(move || worker(core)))
            .collect();
        let joined = threads.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect()
    })
}

/// Nobody waits for one that will not come, whichever way it ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_start_together_and_one_that_ends_keeps_nobody_waiting() {
        let started = AtomicUsize::new(0);
        let met = at_once(&[None; 3], |start| {
            started.fetch_add(1, Ordering::SeqCst);
            start();
            Ok(started.load(Ordering::SeqCst))
        });
        assert_eq!(met.unwrap(), [3; 3]);

        let turns = AtomicUsize::new(0);
        let together = at_once(&[None; 2], |start| {
            let mut seen = Vec::new();
            for _ in 0..3 {
                start();
                turns.fetch_add(1, Ordering::SeqCst);
                start();
                seen.push(turns.load(Ordering::SeqCst));
                start();
            }
            // One of them goes on alone.
            if turns.fetch_add(1, Ordering::SeqCst) == 6 {
                start();
            }
            Ok(seen)
        });
        assert_eq!(together.unwrap(), [[2, 4, 6]; 2]);

        let panicked = std::panic::catch_unwind(|| {
            let turn = AtomicUsize::new(0);
            at_once(&[None; 2], |start| {
                assert_eq!(turn.fetch_add(1, Ordering::SeqCst), 0, "the second one");
                start();
                Ok(())
            })
        });
        assert!(panicked.is_err());

        let turn = AtomicUsize::new(0);
        let failed = at_once(&[None; 3], |start| {
            if turn.fetch_add(1, Ordering::SeqCst) == 1 {
                bail!("the second one fails");
            }
            start();
            Ok(())
        });
        assert!(failed.unwrap_err().to_string().contains("second"));
    }

    #[test]
    fn workers_get_cores_of_their_own() {
        let allowed = allowed_cores();
        let last = *allowed.last().unwrap();
        let mut given = cores(allowed.len(), Some(last)).unwrap();
        assert_eq!(given[0], Some(last));
        given.sort();
        assert_eq!(given, allowed.iter().copied().map(Some).collect::<Vec<_>>());
        assert_eq!(cores(1, None).unwrap(), [None]);
        let said = cores(allowed.len() + 1, None).unwrap_err().to_string();
        assert!(said.contains("may use"), "{said}");
        let said = cores(1, Some(1 << 20)).unwrap_err().to_string();
        assert!(said.contains("cannot pin"), "{said}");
    }
}
