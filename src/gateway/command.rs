//! `gwanmun serve`: the gateway, until it is told to stop.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::run::{Gateway, StartError, Stopped};
use crate::config::{self, SettingsRefused};
use crate::telemetry::{LogFormat, LogOptions, init};

/// Run the gateway
#[derive(Debug, clap::Args)]
#[command(after_help = "\
SIGTERM or SIGINT: accept nothing more, let what is in hand end within [limits] drain_deadline, exit 0; a second one
exits at once, which is always safe. SIGHUP reloads settings, partners and rules as a whole, or not at all.

Exit codes: 0 stopped as asked; 1 could not listen; 3 the store failed or cannot be opened; 4 settings with mistakes.

Example: gwanmun serve --config gwanmun.toml")]
pub struct ServeArgs {
    /// Settings
    #[arg(long, default_value = "gwanmun.toml", value_name = "FILE")]
    config: PathBuf,
    /// Which log lines: a level, or target=level pairs separated by commas
    #[arg(long, default_value = "info", value_name = "FILTER")]
    log: String,
    /// Log one JSON object a line, also on a terminal
    #[arg(long)]
    json: bool,
}

/// The store failed, or cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the store: {0}")]
pub struct StoreFailed(String);

impl StoreFailed {
    /// The exit code that says so.
    pub const EXIT_CODE: u8 = 3;
}

impl ServeArgs {
    /// Serves until a signal or a failure.
    ///
    /// # Errors
    /// [`SettingsRefused`], [`StoreFailed`], or what kept it from listening.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let format = if self.json { LogFormat::Json } else { LogFormat::Auto };
        init(&LogOptions { format, filter: self.log.clone() })?;
        let loaded = match config::load(&self.config) {
            Ok(loaded) => loaded,
            Err(faults) => {
                for fault in &faults {
                    writeln!(out, "{fault}")?;
                }
                bail!(SettingsRefused(faults.len()))
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let stopped = runtime.block_on(async {
            // From here on a signal asks us to stop, and no longer ends us: whoever sees us ready may send one.
            let mut signals = Signals::heard()?;
            let gateway = tokio::select! {
                started = Gateway::start(&self.config, loaded) => started.map_err(not_started)?,
                () = signals.stop() => return Ok(Stopped::Cut),
            };
            until_stopped(gateway, &mut signals).await
        })?;
        // Blocking reads that are still under way have nobody to answer to.
        runtime.shutdown_background();
        match stopped {
            Stopped::Drained | Stopped::Cut => Ok(()),
            Stopped::Failed(why) => bail!(StoreFailed(why)),
        }
    }
}

fn not_started(error: StartError) -> anyhow::Error {
    match error {
        StartError::Store(error) => anyhow::Error::new(StoreFailed(error.to_string())),
        StartError::Rules(why) | StartError::Keys(why) | StartError::Restored(why) => {
            anyhow::Error::new(StoreFailed(why))
        }
        StartError::Transport(error) => anyhow::Error::new(error),
    }
}

/// What the system and its operators tell a process.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn heard() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("SIGINT")?,
            hang_up: signal(SignalKind::hangup()).context("SIGHUP")?,
        })
    }

    /// Until somebody asks for a stop.
    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => (),
            _ = self.interrupt.recv() => (),
        }
    }
}

async fn until_stopped(gateway: Gateway, signals: &mut Signals) -> Result<Stopped> {
    loop {
        tokio::select! {
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
            _ = signals.hang_up.recv() => gateway.reload().await,
            // Nobody hears anything more: there is nothing to drain for.
            why = gateway.failed() => return Ok(Stopped::Failed(why)),
        }
    }
    tokio::select! {
        stopped = gateway.stop() => Ok(stopped),
        () = signals.stop() => Ok(Stopped::Cut),
    }
}
