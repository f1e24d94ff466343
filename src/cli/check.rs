//! `gwanmun check`: what the settings say, before they are in force.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use comfy_table::{Table, presets};
use serde_json::json;

use crate::config::{self, ConfigFault, Loaded, SettingsRefused};
use crate::model::Timestamp;

/// Tell everything that the gateway would refuse in its settings and partner files
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: gwanmun check --config gwanmun.toml")]
pub struct CheckArgs {
    #[command(flatten)]
    source: Source,
}

/// Which settings, and for whom the answer is.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// Settings
    #[arg(long, default_value = "gwanmun.toml", value_name = "FILE")]
    pub(super) config: PathBuf,
    /// For machines
    #[arg(long)]
    pub(super) json: bool,
}

impl CheckArgs {
    /// Tells every mistake, or that there is none.
    ///
    /// # Errors
    /// [`SettingsRefused`] when there are mistakes.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let loaded = self.source.load(out)?;
        #[allow(clippy::disallowed_methods, reason = "what is over is over by the clock of this command")]
        let warnings = config::warnings(&loaded, Timestamp::from(jiff::Timestamp::now()));
        let registry = &loaded.partners.registry;
        let (parties, agreements) = (registry.parties().count(), registry.agreements().count());
        if self.source.json {
            let told =
                json!({ "faults": [], "warnings": warnings, "parties": parties, "agreements": agreements });
            writeln!(out, "{told}")?;
        } else {
            for warning in warnings {
                writeln!(out, "warning: {warning}")?;
            }
            let file = self.source.config.display();
            writeln!(out, "{file} is in order: {parties} parties, {agreements} agreements")?;
        }
        Ok(())
    }
}

impl Source {
    /// What the settings say; mistakes are told.
    pub(super) fn load(&self, out: &mut dyn Write) -> Result<Loaded> {
        match config::load(&self.config) {
            Ok(loaded) => Ok(loaded),
            Err(faults) => {
                self.tell(&faults, out)?;
                bail!(SettingsRefused(faults.len()))
            }
        }
    }

    pub(super) fn tell(&self, faults: &[ConfigFault], out: &mut dyn Write) -> Result<()> {
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "faults": faults }))?)?;
        }
        for fault in faults.iter().filter(|_| !self.json) {
            writeln!(out, "{fault}")?;
        }
        Ok(())
    }
}

/// Rows as a table, or as JSON.
pub(super) fn list(
    source: &Source,
    out: &mut dyn Write,
    headings: &[&str],
    rows: impl Iterator<Item = (serde_json::Value, Vec<String>)>,
) -> Result<()> {
    let (values, cells): (Vec<_>, Vec<_>) = rows.unzip();
    if source.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&values)?)?;
    } else {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(headings.iter().copied()).add_rows(cells);
        writeln!(out, "{table}")?;
    }
    Ok(())
}
