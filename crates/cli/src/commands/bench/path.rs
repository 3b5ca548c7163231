//! The path back to back: frame after frame through a ring, each stage timed where it works.

use anyhow::{Result, bail};

use super::alone::Times;
use super::cache::Cache;
use super::panel::View;
use super::subject::Subject;
use crate::tally::{Latencies, Watched};

/// Frames before the first that is timed.
pub const WARM_UP: u64 = 20;

/// Times all stages of the frames.
pub fn time(subject: &Subject, view: View, cache: Cache, times: &Times<'_>) -> Result<Latencies> {
    let frames = times.frames;
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
                (times.start)();
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
                times.progress.advance();
                times.meter.after(judged);
            }
        }
        Ok(node.latencies)
    })
}
