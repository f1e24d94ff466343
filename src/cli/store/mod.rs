//! `gwanmun store`: the store itself, looked at from outside or by its gateway.

mod progress;
mod scrub;
mod stats;
mod verify;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::config;
use crate::store::Inspection;

/// The store: prove that nothing is lost, look for damage, count what is in it
#[derive(Debug, clap::Args)]
pub struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, clap::Subcommand)]
enum StoreCommand {
    Verify(verify::VerifyArgs),
    Scrub(scrub::ScrubArgs),
    Stats(stats::StatsArgs),
}

impl StoreArgs {
    /// Does it and tells.
    ///
    /// # Errors
    /// When the store cannot be read, or something in it is wrong.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            StoreCommand::Verify(command) => command.run(out),
            StoreCommand::Scrub(command) => command.run(out),
            StoreCommand::Stats(command) => command.run(out),
        }
    }
}

/// Which store to look at.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Place {
    /// Directory of the store, or of a copy of it
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Settings of the gateway; they name its store
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Place {
    fn look(&self) -> Result<Inspection> {
        let directory = match (&self.directory, &self.config) {
            (Some(directory), _) => directory.clone(),
            (None, Some(file)) => match config::store_of(file) {
                Ok(directory) => directory,
                Err(faults) => {
                    let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
                    bail!("the settings do not say where the store is\n{}", told.join("\n"));
                }
            },
            (None, None) => bail!("name a directory, or settings with --config"),
        };
        Ok(Inspection::of(directory)?)
    }
}
