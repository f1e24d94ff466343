//! `gwanmun reload`: the files as they are now, in force as a whole or not at all.

use std::io::Write;

use anyhow::{Result, bail};

use super::ask::{Asking, ask};
use crate::config::SettingsRefused;

/// Put settings, partners and rules as they are in the files in force, as a whole or not at all
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: gwanmun reload --config gwanmun.toml")]
pub struct ReloadArgs {
    #[command(flatten)]
    asking: Asking,
}

impl ReloadArgs {
    /// Reloads, or tells every mistake.
    ///
    /// # Errors
    /// When there are mistakes, or no gateway answers.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let answer = ask(&self.asking, "POST", "/reload")?;
        if self.asking.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        }
        let faults = answer["faults"].as_array().cloned().unwrap_or_default();
        if faults.is_empty() {
            if !self.asking.json {
                writeln!(out, "in force: rules {}", answer["rules"]["after"].as_str().unwrap_or_default())?;
            }
            return Ok(());
        }
        for fault in faults.iter().filter(|_| !self.asking.json) {
            let text = |key: &str| fault[key].as_str().unwrap_or_default().to_owned();
            writeln!(
                out,
                "{}:{}:{}: {}; {}",
                text("file"),
                fault["line"],
                fault["column"],
                text("message"),
                text("remedy")
            )?;
        }
        bail!(SettingsRefused(faults.len()))
    }
}
