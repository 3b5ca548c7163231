//! The path back to back: frame after frame through a ring, each stage timed where it works.

use anyhow::{Result, bail};

use super::cache::Cache;
use super::panel::View;
use super::subject::Subject;
use crate::progress::Progress;
use crate::tally::{Latencies, Watched};

/// Frames before the first that is timed.
pub const WARM_UP: u64 = 20;

/// Times `frames` frames. Calls `start` once everything is set up.
pub fn time(
    subject: &Subject,
    view: View,
    cache: Cache,
    frames: u64,
    start: &dyn Fn(),
    progress: &Progress,
) -> Result<Latencies> {
    let slots = cache.slots(subject.stride()?);
    subject.on_a_ring(slots, |mut writer, mut path| {
        let mut node = Watched::new(|_| {});
        let (mut written, mut judged) = (0, 0);
        while judged < WARM_UP + frames {
            // A ring that is filled before it is read holds more than the caches do.
            while subject.put(&mut writer, written + 1, view)? {
                written += 1;
                if cache == Cache::Warm {
                    break;
                }
            }
            if judged == 0 {
                start();
            }
            while judged < written.min(WARM_UP + frames) {
                if judged == WARM_UP {
                    node.latencies = Latencies::default();
                }
                if path.step(&mut node)? == 0 {
                    bail!("a frame that is in the ring was not judged");
                }
                drop(path.link.take());
                judged += 1;
                progress.advance();
            }
        }
        Ok(node.latencies)
    })
}
