//! `gwanmun message`: what partners sent, and what they were answered.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::ask::{Asking, ask, ask_for, escaped, fetch, party, plain, table, with_query};
use crate::model::{Purged, StoredMessage};

/// Received messages of a running gateway
#[derive(Debug, clap::Args)]
pub struct MessageArgs {
    #[command(subcommand)]
    command: MessageCommand,
}

#[derive(Debug, clap::Subcommand)]
enum MessageCommand {
    /// Messages, newest first
    #[command(after_help = "Example: gwanmun message list --quarantined")]
    List {
        /// Only those of this party, by name or box number
        #[arg(long, value_name = "PARTY")]
        sender: Option<String>,
        /// Only those of this case
        #[arg(long, value_name = "CASE")]
        case: Option<String>,
        /// Only those that were refused
        #[arg(long, conflicts_with = "quarantined")]
        refused: bool,
        /// Only those that wait for an operator
        #[arg(long)]
        quarantined: bool,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        asking: Asking,
    },
    /// One message: its header, and the answer that it got and every repeat gets
    #[command(after_help = "Example: gwanmun message show BR123450000001/20091201-0001@broker.example")]
    Show {
        /// As listed: the sender's box number, a slash, and the MessageId
        #[arg(value_name = "SENDER/MESSAGE-ID")]
        key: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Write the evidence about one message to an archive that proves itself
    #[command(after_help = "\
A message that a partner sent, or one that was sent to it. In the archive (tar) are the octets both ways as they went
over the wire, the audit entries about it with what shows that each is in the signed record, the keys and revocation
lists that counted then, and a README. `gwanmun audit verify` checks it with nothing but the gateway's certificate.

Example:
  gwanmun message export BR123450000001/20091201-0001@broker.example --to lodging.tar
  gwanmun audit verify lodging.tar --key gateway.crt")]
    Export {
        /// As listed: the box number of the partner that sent it or got it, a slash, and the MessageId
        #[arg(value_name = "PARTY/MESSAGE-ID")]
        key: String,
        /// The archive; nothing may be there yet
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        #[command(flatten)]
        asking: Asking,
    },
}

impl MessageArgs {
    /// Asks and tells.
    ///
    /// # Errors
    /// When no gateway answers, or it knows no such message.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            MessageCommand::List { sender, case, refused, quarantined, limit, asking } => {
                let parameters = [
                    ("sender", party(asking, sender.as_ref())?),
                    ("case", case.clone()),
                    ("accepted", refused.then(|| "false".to_owned())),
                    ("quarantined", quarantined.then(|| "true".to_owned())),
                    ("limit", Some(limit.to_string())),
                ];
                let path = with_query("/messages", &parameters);
                let (messages, value) = ask_for::<Vec<StoredMessage>>(asking, &path)?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                let rows = messages.into_iter().map(|message| {
                    [
                        message.received_at.to_string(),
                        message.key.to_string(),
                        message.header.action.to_string(),
                        standing(&message).to_owned(),
                        message.case.map(|case| case.to_string()).unwrap_or_default(),
                        message.reason,
                    ]
                });
                writeln!(
                    out,
                    "{}",
                    table(["received", "sender/message", "action", "state", "case", "reason"], rows)
                )?;
            }
            MessageCommand::Export { key, to, asking } => {
                let (party, id) = key.split_once('/').context("write PARTY/MESSAGE-ID, as listed")?;
                let path = format!("/messages/{}/{}/evidence", escaped(party), escaped(id));
                let bytes = fetch(asking, &path, to)?;
                if asking.json {
                    return Ok(writeln!(out, "{}", json!({ "file": to, "bytes": bytes }))?);
                }
                writeln!(out, "{}: {bytes} octets of evidence about {}", to.display(), plain(key))?;
            }
            MessageCommand::Show { key, asking } => {
                let (sender, id) = key.split_once('/').context("write SENDER/MESSAGE-ID, as listed")?;
                let value = ask(asking, "GET", &format!("/messages/{}/{}", escaped(sender), escaped(id)))?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                let message: StoredMessage = serde_json::from_value(value["message"].clone())?;
                show(&message, &value["answer"], out)?;
            }
        }
        Ok(())
    }
}

const fn standing(message: &StoredMessage) -> &'static str {
    match (message.accepted, message.quarantined) {
        _ if message.held => "held",
        (_, true) => "quarantined",
        (true, false) => "accepted",
        (false, false) => "refused",
    }
}

fn show(message: &StoredMessage, answer: &Value, out: &mut dyn Write) -> Result<()> {
    let header = &message.header;
    writeln!(out, "message         {}", message.key)?;
    writeln!(out, "received        {}", message.received_at)?;
    writeln!(out, "state           {} {}", standing(message), plain(&message.reason))?;
    writeln!(out, "CPAId           {}", header.cpa_id)?;
    writeln!(out, "ConversationId  {}", plain(header.conversation_id.as_str()))?;
    if let Some(order) = message.order {
        writeln!(out, "MessageOrder    {} {:?}", order.number, order.status)?;
    }
    writeln!(out, "Service, Action {} {}", plain(&header.service.value), plain(&header.action))?;
    if let Some(refers_to) = &header.data.ref_to_message_id {
        writeln!(out, "RefToMessageId  {refers_to}")?;
    }
    if let Some(case) = &message.case {
        writeln!(out, "case            {case}")?;
    }
    if let Some(hold) = &message.hold {
        writeln!(out, "legal hold      {}", plain(&hold.to_string()))?;
    }
    if let Some(purged) = &message.purged {
        let Purged { at, archive, bytes } = purged;
        return Ok(writeln!(out, "\n{bytes} octets were purged at {at}; the archive {archive} has them")?);
    }
    match answer["text"].as_str() {
        Some(text) => {
            writeln!(out, "\nanswered:")?;
            text.lines().try_for_each(|line| writeln!(out, "{}", plain(line)))?;
        }
        None => writeln!(out, "\nanswered with nothing")?,
    }
    Ok(())
}
