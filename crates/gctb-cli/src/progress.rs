//! How far a wait is: a bar where a person watches, a line every few seconds where a log does.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Pause between two lines where standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(3);

/// Shows on standard error how much of `what` is done.
pub(crate) struct Progress {
    what: &'static str,
    bar: Option<ProgressBar>,
    spoke: Instant,
}

impl Progress {
    /// Starts at nothing of `total`.
    pub(crate) fn start(what: &'static str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| bar(what, total));
        Self { what, bar, spoke: Instant::now() }
    }

    /// Shows that `done` of `total` is done.
    pub(crate) fn at(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(total);
            bar.set_position(done);
        } else if self.spoke.elapsed() >= LINE_EVERY {
            self.spoke = Instant::now();
            eprintln!("{}: {done} of {total}", self.what);
        }
    }
}

/// The bar disappears when the wait is over, however it ends: what follows is the result.
impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &'static str, total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} [{bar:40}] {human_pos} of {human_len}, {elapsed}");
    let bar = ProgressBar::new(total).with_message(what);
    // A template that the library does not understand costs the looks of the bar, not the bar.
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
    bar
}
