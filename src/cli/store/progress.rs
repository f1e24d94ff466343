//! How far a walk over a store is, on a terminal.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::store::Looked;

/// A line that says what is being read; none where nobody looks.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn shown(wanted: bool) -> Self {
        if !wanted || !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let line = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}, {elapsed}") {
            line.set_style(style);
        }
        line.enable_steady_tick(Duration::from_millis(200));
        Self(line)
    }

    pub(super) fn says(&self, what: String) {
        self.0.set_message(what);
    }

    /// Hears of one walk.
    pub(super) fn of(&self, what: &'static str) -> impl FnMut(Looked) -> ControlFlow<()> {
        self.0.set_message(what);
        move |looked| {
            self.0.set_message(format!("{what}: {} ({} records)", looked.at, looked.records));
            ControlFlow::Continue(())
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
