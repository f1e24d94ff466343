//! `gwanmun delivery`: what is owed to whom, and what came of it.

use std::io::Write;

use anyhow::Result;

use super::ask::{Asking, Names, ask, ask_for, escaped, party, plain, table, with_query};
use crate::model::Delivery;

/// Deliveries of a running gateway
#[derive(Debug, clap::Args)]
pub struct DeliveryArgs {
    #[command(subcommand)]
    command: DeliveryCommand,
}

#[derive(Debug, clap::Subcommand)]
enum DeliveryCommand {
    /// Deliveries, oldest first
    #[command(after_help = "Example: gwanmun delivery list --destination AG000000000001 --state pending")]
    List {
        /// Only those of this case
        #[arg(long, value_name = "CASE")]
        case: Option<String>,
        /// Only those to this party, by name or box number
        #[arg(long, value_name = "PARTY")]
        destination: Option<String>,
        /// Only in this state: pending, awaiting_acknowledgment, held, delivered, rejected, expired, quarantined
        #[arg(long)]
        state: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        asking: Asking,
    },
    /// One delivery
    #[command(after_help = "Example: gwanmun delivery show 7c2ou3ckd3nq5wz6ue5b3ruz5xq4v3hd")]
    Show {
        /// Its id, as listed
        id: String,
        #[command(flatten)]
        asking: Asking,
    },
    /// Send a delivery that has ended anew: the same octets under the same MessageId
    #[command(after_help = "\
At most ten times. Whoever keeps what it received knows it again by its MessageId. A delivery that is quarantined is let
go, once what was wrong with it is mended.

Example: gwanmun delivery again 7c2ou3ckd3nq5wz6ue5b3ruz5xq4v3hd --reason 'KFDA restored a backup'")]
    Again {
        /// Its id, as listed
        id: String,
        /// Why, for the audit record
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        asking: Asking,
    },
}

impl DeliveryArgs {
    /// Asks and tells.
    ///
    /// # Errors
    /// When no gateway answers, or it knows no such delivery.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            DeliveryCommand::List { case, destination, state, limit, asking } => {
                let parameters = [
                    ("case", case.clone()),
                    ("destination", party(asking, destination.as_ref())?),
                    ("state", state.clone()),
                    ("limit", Some(limit.to_string())),
                ];
                let path = with_query("/deliveries", &parameters);
                let (deliveries, value) = ask_for::<Vec<Delivery>>(asking, &path)?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                let names = Names::ask(asking)?;
                let rows = deliveries.into_iter().map(|delivery| {
                    [
                        delivery.id.to_string(),
                        names.of(&delivery.destination),
                        delivery.action.to_string(),
                        delivery.state.as_str().to_owned(),
                        delivery.attempts.to_string(),
                        delivery.due.to_string(),
                        delivery.reason,
                    ]
                });
                let headings = ["delivery", "destination", "action", "state", "attempts", "due", "reason"];
                writeln!(out, "{}", table(headings, rows))?;
            }
            DeliveryCommand::Show { id, asking } => {
                let (delivery, value) = ask_for::<Delivery>(asking, &format!("/deliveries/{}", escaped(id)))?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                show(&delivery, &Names::ask(asking)?, out)?;
            }
            DeliveryCommand::Again { id, reason, asking } => {
                let path = format!("/deliveries/{}/again", escaped(id));
                let value = ask(asking, "POST", &with_query(&path, &[("reason", Some(reason.clone()))]))?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                writeln!(out, "{}", plain(value["told"].as_str().unwrap_or_default()))?;
            }
        }
        Ok(())
    }
}

fn show(delivery: &Delivery, names: &Names, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "delivery        {}", delivery.id)?;
    writeln!(out, "destination     {}", names.of(&delivery.destination))?;
    if delivery.realm.is_practice() {
        writeln!(out, "practice        a rehearsal, without effect")?;
    }
    writeln!(out, "state           {} {}", delivery.state.as_str(), plain(&delivery.reason))?;
    writeln!(out, "attempts        {}, next event {}", delivery.attempts, delivery.due)?;
    if delivery.again > 0 {
        writeln!(out, "sent anew       {} time(s)", delivery.again)?;
    }
    writeln!(out, "made            {}, may be delivered until {}", delivery.created_at, delivery.expires_at)?;
    writeln!(out, "CPAId           {}", delivery.cpa_id)?;
    writeln!(out, "ConversationId  {}", plain(delivery.conversation_id.as_str()))?;
    writeln!(out, "MessageId       {}", delivery.message_id)?;
    if let Some(refers_to) = &delivery.ref_to_message_id {
        writeln!(out, "RefToMessageId  {refers_to}")?;
    }
    writeln!(out, "Service, Action {} {}", delivery.service.value, delivery.action)?;
    if let Some(order) = delivery.order {
        writeln!(out, "MessageOrder    {} {:?}", order.number, order.status)?;
    }
    if let Some(case) = &delivery.case {
        writeln!(out, "case            {case}")?;
    }
    for part in &delivery.parts {
        writeln!(out, "part            {} ({})", part.content_id, part.media_type)?;
    }
    Ok(())
}
