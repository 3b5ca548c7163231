//! Progress on a terminal, silence in a pipe.

use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressState, ProgressStyle};

/// A bar that follows a counter.
pub struct Progress {
    bar: ProgressBar,
    done: AtomicBool,
}

impl Progress {
    /// A bar of `total` frames. indicatif hides it where standard error is no terminal.
    pub fn start(what: &str, total: u64) -> Self {
        let bar = ProgressBar::new(total);
        let style = ProgressStyle::with_template(
            "{prefix} {wide_bar} {pos}/{len} frames, {rate}, {eta} left",
        );
        if let Ok(style) = style {
            // One width for every rate: the bar keeps its length.
            let rate = |state: &ProgressState, text: &mut dyn Write| {
                let _ = write!(text, "{:>6.0}/s", state.per_sec());
            };
            bar.set_style(style.with_key("rate", rate));
        }
        bar.set_prefix(what.to_string());
        Progress {
            bar,
            done: AtomicBool::new(false),
        }
    }

    /// Shows what `position` says, ten times a second, until [`Progress::finish`].
    pub fn follow(&self, position: impl Fn() -> u64) {
        while !self.done.load(Ordering::Relaxed) {
            self.bar.set_position(position());
            std::thread::sleep(Duration::from_millis(100));
        }
        self.bar.finish_and_clear();
    }

    /// One more is done.
    pub fn advance(&self) {
        self.bar.inc(1);
    }

    /// Removes the bar.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Ends [`Progress::follow`] and removes the bar.
    pub fn finish(&self) {
        self.done.store(true, Ordering::Relaxed);
    }
}
