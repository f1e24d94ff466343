//! Turning the log on.

use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use super::lines::JsonLines;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people at a terminal, JSON otherwise.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// Lines for people.
    Human,
}

/// What is logged, and how. Always to standard error: standard output belongs to the command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// How lines look.
    pub format: LogFormat,
    /// Which lines: a level, or `target=level` pairs separated by commas.
    pub filter: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { format: LogFormat::Auto, filter: "info".to_owned() }
    }
}

/// A log that cannot be turned on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is none.
    #[error("expected a log filter like info or gwanmun=debug, found {found:?}: {cause}")]
    Filter {
        /// What stood there.
        found: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The log is already on.
    #[error("the log was already initialised")]
    AlreadyInitialised,
}

/// Turns the log on for the whole process.
///
/// # Errors
/// [`TelemetryError`].
pub fn init(options: &LogOptions) -> Result<(), TelemetryError> {
    let refuse = |cause: String| TelemetryError::Filter { found: options.filter.clone(), cause };
    let filter = EnvFilter::try_new(&options.filter).map_err(|e| refuse(e.to_string()))?;
    let terminal = std::io::stderr().is_terminal();
    let json = match options.format {
        LogFormat::Auto => !terminal,
        LogFormat::Json => true,
        LogFormat::Human => false,
    };
    #[expect(clippy::disallowed_methods, reason = "log lines bear the time they are written")]
    let lines = if json {
        JsonLines::new(std::io::stderr(), jiff::Timestamp::now).boxed()
    } else {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_target(false)
            .with_ansi(terminal)
            .boxed()
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|_| TelemetryError::AlreadyInitialised)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_in_the_filter_are_told() {
        let options = LogOptions { filter: "gwanmun=loud".to_owned(), ..LogOptions::default() };
        assert!(matches!(init(&options), Err(TelemetryError::Filter { .. })));
    }
}
