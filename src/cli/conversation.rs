//! `gwanmun conversation`: conversations with guaranteed order, what is held in them, and what becomes of it.

use std::io::Write;

use anyhow::Result;

use super::ask::{Asking, Names, ask, ask_for, escaped, plain, table, with_query};
use crate::model::Sequence;

/// Conversations of a running gateway whose agreement guarantees order
#[derive(Debug, clap::Args)]
pub struct ConversationArgs {
    #[command(subcommand)]
    command: ConversationCommand,
}

#[derive(Debug, clap::Subcommand)]
enum ConversationCommand {
    /// Those in which a message is missing, and what came before its turn is held or was refused
    #[command(after_help = "Example: gwanmun conversation list")]
    List {
        /// Also those in which nothing is missing, and what we send
        #[arg(long)]
        all: bool,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        asking: Asking,
    },
    /// Do not wait for what is missing: what is held is handed on, in order
    #[command(after_help = "\
What is missing is refused if it comes after all. Ask its sender first.

Example: gwanmun conversation release swgw-kfda-1 1234509000017X --reason 'KFDA lost number 3 and sent it by hand'")]
    Release(SettleArgs),
    /// Refuse what is held: its sender hears DeliveryFailure for each message
    #[command(after_help = "\
What is missing is still waited for.

Example: gwanmun conversation refuse swgw-kfda-1 1234509000017X --reason 'KFDA begins anew'")]
    Refuse(SettleArgs),
}

#[derive(Debug, clap::Args)]
struct SettleArgs {
    /// CPAId, as listed
    agreement: String,
    /// ConversationId, as listed
    conversation: String,
    /// Why, for the audit record
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    asking: Asking,
}

impl ConversationArgs {
    /// Asks and tells.
    ///
    /// # Errors
    /// When no gateway answers, or nothing is held in the conversation.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            ConversationCommand::List { all, limit, asking } => {
                let parameters =
                    [("all", all.then(|| "true".to_owned())), ("limit", Some(limit.to_string()))];
                let path = with_query("/conversations", &parameters);
                let (sequences, value) = ask_for::<Vec<Sequence>>(asking, &path)?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                let names = Names::ask(asking)?;
                let headings = ["agreement", "conversation", "partner", "direction", "next", "held", "since"];
                let rows = sequences.into_iter().map(|sequence| {
                    let held = sequence.held();
                    let since = held.iter().map(|(_, early)| early.received_at).min();
                    [
                        sequence.key.cpa_id.to_string(),
                        sequence.key.conversation_id.to_string(),
                        names.of(&sequence.partner),
                        sequence.key.direction.as_str().to_owned(),
                        sequence.next.to_string(),
                        held.len().to_string(),
                        since.map(|since| since.to_string()).unwrap_or_default(),
                    ]
                });
                writeln!(out, "{}", table(headings, rows))?;
            }
            ConversationCommand::Release(settle) => settle.run("release", out)?,
            ConversationCommand::Refuse(settle) => settle.run("refuse", out)?,
        }
        Ok(())
    }
}

impl SettleArgs {
    fn run(&self, how: &str, out: &mut dyn Write) -> Result<()> {
        let path = format!("/conversations/{}/{}", escaped(&self.agreement), escaped(&self.conversation));
        let parameters = [("as", Some(how.to_owned())), ("reason", Some(self.reason.clone()))];
        let value = ask(&self.asking, "POST", &with_query(&path, &parameters))?;
        if self.asking.json {
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
        }
        Ok(writeln!(out, "{}", plain(value["told"].as_str().unwrap_or_default()))?)
    }
}
