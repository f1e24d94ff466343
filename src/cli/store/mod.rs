//! `gwanmun store`: the store itself, looked at from outside or by its gateway.

mod backup;
mod progress;
mod purge;
mod reconcile;
mod restore;
mod scrub;
mod stats;
mod verify;

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::config::{self, SettingsMistaken};
use crate::store::{Inspection, Manifest};

/// The store: prove that nothing is lost, look for damage, back it up, restore it, count what is in it
#[derive(Debug, clap::Args)]
pub struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, clap::Subcommand)]
enum StoreCommand {
    Backup(backup::BackupArgs),
    Hold(purge::HoldArgs),
    Purge(purge::PurgeArgs),
    Verify(verify::VerifyArgs),
    Reconcile(reconcile::ReconcileArgs),
    Restore(restore::RestoreArgs),
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
            StoreCommand::Backup(command) => command.run(out),
            StoreCommand::Hold(command) => command.run(out),
            StoreCommand::Purge(command) => command.run(out),
            StoreCommand::Verify(command) => command.run(out),
            StoreCommand::Scrub(command) => command.run(out),
            StoreCommand::Restore(command) => command.run(out),
            StoreCommand::Reconcile(command) => command.run(out),
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
            (Some(directory), _) => match self.backup()? {
                Some((backup, _)) => Manifest::store_of(backup),
                None => directory.clone(),
            },
            (None, Some(file)) => store_of(file)?,
            (None, None) => bail!("name a directory, or settings with --config"),
        };
        Ok(Inspection::of(directory)?)
    }

    /// The backup that the directory is, if it is one.
    fn backup(&self) -> Result<Option<(&Path, Manifest)>> {
        let Some(directory) = &self.directory else { return Ok(None) };
        Ok(Manifest::read(directory)?.map(|manifest| (&**directory, manifest)))
    }
}

/// Whose store.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// Directory of the store
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Settings of the gateway; they name its store
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Source {
    fn look(&self) -> Result<Inspection> {
        Ok(Inspection::of(self.directory()?)?)
    }

    fn directory(&self) -> Result<PathBuf> {
        match (&self.store, &self.config) {
            (Some(directory), _) => Ok(directory.clone()),
            (None, Some(file)) => store_of(file),
            (None, None) => bail!("name a directory with --store, or settings with --config"),
        }
    }
}

/// Where the store of these settings is.
fn store_of(settings: &Path) -> Result<PathBuf> {
    let directory = config::store_of(settings).map_err(SettingsMistaken);
    directory.context("the settings do not say where the store is")
}
