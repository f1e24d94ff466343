//! `gwanmun check`, `gwanmun agreement list`: what the settings say, before they are in force.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use comfy_table::{Table, presets};
use serde_json::json;

use crate::config::{self, ConfigFault, Loaded, SettingsRefused};
use crate::model::{Direction, format_duration};

/// Tell everything that the gateway would refuse in its settings and partner files
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: gwanmun check --config gwanmun.toml")]
pub struct CheckArgs {
    #[command(flatten)]
    source: Source,
}

/// What is agreed with the partners
#[derive(Debug, clap::Args)]
pub struct AgreementArgs {
    #[command(subcommand)]
    command: AgreementCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AgreementCommand {
    /// Agreements, in order of CPAId
    #[command(after_help = "Example: gwanmun agreement list --json")]
    List(Source),
}

/// Which settings, and for whom the answer is.
#[derive(Debug, clap::Args)]
pub(super) struct Source {
    /// Settings
    #[arg(long, default_value = "gwanmun.toml", value_name = "FILE")]
    config: PathBuf,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl CheckArgs {
    /// Tells every mistake, or that there is none.
    ///
    /// # Errors
    /// [`SettingsRefused`] when there are mistakes.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let loaded = self.source.load(out)?;
        let registry = &loaded.partners.registry;
        let (parties, agreements) = (registry.parties().count(), registry.agreements().count());
        if self.source.json {
            writeln!(out, "{}", json!({ "faults": [], "parties": parties, "agreements": agreements }))?;
        } else {
            let file = self.source.config.display();
            writeln!(out, "{file} is in order: {parties} parties, {agreements} agreements")?;
        }
        Ok(())
    }
}

impl AgreementArgs {
    /// Lists the agreements.
    ///
    /// # Errors
    /// [`SettingsRefused`] when there are mistakes in the settings.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let AgreementCommand::List(source) = &self.command;
        let loaded = source.load(out)?;
        let rows = loaded.partners.registry.agreements().map(|agreement| {
            let actions = |direction: Direction| {
                let bound = agreement.actions.iter().filter(move |binding| binding.direction == direction);
                bound.map(|binding| binding.action.to_string()).collect::<Vec<_>>()
            };
            let (sent, received) = (actions(Direction::Send), actions(Direction::Receive));
            let interval = format_duration(agreement.reliability.retry_interval);
            let retries = agreement.reliability.retries;
            (
                json!({ "cpa_id": agreement.cpa_id, "partner": agreement.partner, "endpoint": agreement.endpoint,
                    "sync_reply_mode": agreement.sync_reply_mode, "retries": retries,
                    "retry_interval": interval, "send": sent, "receive": received }),
                vec![
                    agreement.cpa_id.to_string(),
                    agreement.partner.to_string(),
                    agreement.endpoint.as_deref().unwrap_or("mailbox").to_owned(),
                    format!("{retries} every {interval}"),
                    sent.join(" "),
                    received.join(" "),
                ],
            )
        });
        list(source, out, &["CPAId", "partner", "endpoint", "retries", "we send", "we receive"], rows)
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

    fn tell(&self, faults: &[ConfigFault], out: &mut dyn Write) -> Result<()> {
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
