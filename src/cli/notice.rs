//! `gwanmun notice`: what the operator tells partners about the service.

use std::io::Write;

use anyhow::Result;

use super::ask::{Asking, ask, party, plain, with_query};

/// Tell partners something about the service
#[derive(Debug, clap::Args)]
pub struct NoticeArgs {
    #[command(subcommand)]
    command: NoticeCommand,
}

#[derive(Debug, clap::Subcommand)]
enum NoticeCommand {
    /// Send a signed notice (GOVCBRINF) to some partners, or to all
    #[command(after_help = "\
To all: to every partner whose agreement has \"Status GOVCBRINF\" under send. To a named one without it: nobody is told.

Example: gwanmun notice send --to all --text 'Works on Sunday, 02:00 to 04:00: messages are answered 503' --reason 'change 4711'")]
    Send {
        /// A partner by name or box number, or all; may be repeated
        #[arg(long, required = true, value_name = "PARTY")]
        to: Vec<String>,
        /// What it says, up to 1000 characters
        #[arg(long)]
        text: String,
        /// Why, for the audit record
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        asking: Asking,
    },
}

impl NoticeArgs {
    /// Asks and tells.
    ///
    /// # Errors
    /// When no gateway answers, or it refuses.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let NoticeCommand::Send { to, text, reason, asking } = &self.command;
        let mut boxes = Vec::new();
        for called in to.iter().filter(|called| *called != "all") {
            boxes.extend(party(asking, Some(called))?);
        }
        anyhow::ensure!(boxes.is_empty() || boxes.len() == to.len(), "write either all, or who");
        let parameters = [
            ("to", (!boxes.is_empty()).then(|| boxes.join(","))),
            ("text", Some(text.clone())),
            ("reason", Some(reason.clone())),
        ];
        let value = ask(asking, "POST", &with_query("/notices", &parameters))?;
        if asking.json {
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
        }
        Ok(writeln!(out, "{}", plain(value["told"].as_str().unwrap_or_default()))?)
    }
}
