//! `gwanmun store reconcile`: what is held since a restore, and what becomes of it (P20).

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Result, bail};
use serde_json::json;

use super::super::ask::{Asking, Names, ask, ask_for, escaped, party, table, with_query};
use crate::model::Delivery;

/// List the deliveries that are held since a restore, and settle them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --send, --delivered or --rejected what is held is listed. --send lets a delivery go out with the octets and the
MessageId that it has: whoever eliminates duplicates knows it again. --delivered says that its destination has it, --rejected
that it will not have it: then its sender hears so. Ask destinations what they have; an acknowledgment of theirs settles a
delivery by itself. What a destination seems to know from before the restore, with other octets, is held too, also again after
a --send, and the column `why` has its words.

Examples:
  gwanmun store reconcile
  gwanmun store reconcile --send --destination KFDA --reason 'KFDA eliminates duplicates'
  gwanmun store reconcile --delivered 7c2ou3ckd3nq5wz6ue5b3ruz5xq4v3hd --reason 'KTL has it, by telephone'")]
pub(super) struct ReconcileArgs {
    /// These deliveries alone
    #[arg(value_name = "DELIVERY")]
    ids: Vec<String>,
    /// Those to this party alone, by name or box number
    #[arg(long, value_name = "PARTY")]
    destination: Option<String>,
    /// All that is held
    #[arg(long, conflicts_with_all = ["ids", "destination"])]
    all: bool,
    /// Let them go out
    #[arg(long, requires = "reason", conflicts_with = "delivered")]
    send: bool,
    /// Their destinations have them
    #[arg(long, requires = "reason")]
    delivered: bool,
    /// Their destinations will not have them
    #[arg(long, requires = "reason", conflicts_with_all = ["send", "delivered"])]
    rejected: bool,
    /// Why, for the audit record
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

impl ReconcileArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let settles = self.send || self.delivered || self.rejected;
        if settles && !self.all && self.destination.is_none() && self.ids.is_empty() {
            bail!("say of which deliveries: their ids, --destination, or --all");
        }
        let asking = &self.asking;
        let destination = party(asking, self.destination.as_ref())?;
        let path = with_query(
            "/deliveries",
            &[
                ("state", Some("held".to_owned())),
                ("destination", destination),
                ("limit", Some(LINES.to_string())),
            ],
        );
        if !settles {
            let (held, value) = ask_for::<Vec<Delivery>>(asking, &path)?;
            if asking.json {
                return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
            }
            let names = Names::ask(asking)?;
            let rows = held.into_iter().map(|delivery| {
                let attempts = delivery.attempts.to_string();
                let to = names.of(&delivery.destination);
                [delivery.id.to_string(), to, delivery.action.to_string(), attempts, delivery.reason]
            });
            return Ok(writeln!(
                out,
                "{}",
                table(["held", "destination", "action", "attempts", "why"], rows)
            )?);
        }
        let mut settled = 0;
        if self.ids.is_empty() {
            // What is settled is listed no more, or again when its destination knows it already: it is settled once.
            let mut known = BTreeSet::new();
            loop {
                let (mut held, _) = ask_for::<Vec<Delivery>>(asking, &path)?;
                held.retain(|delivery| known.insert(delivery.id.clone()));
                if held.is_empty() {
                    break;
                }
                for delivery in held {
                    self.settle(delivery.id.as_str())?;
                    settled += 1;
                }
            }
        } else {
            for id in &self.ids {
                self.settle(id)?;
                settled += 1;
            }
        }
        if asking.json {
            return Ok(writeln!(out, "{}", json!({ "settled": settled }))?);
        }
        let told = match self.how() {
            "send" => "go out",
            "delivered" => "count as delivered",
            _ => "count as rejected",
        };
        Ok(writeln!(out, "{settled} deliveries {told}")?)
    }

    const fn how(&self) -> &'static str {
        match (self.send, self.delivered) {
            (true, _) => "send",
            (_, true) => "delivered",
            _ => "rejected",
        }
    }

    fn settle(&self, id: &str) -> Result<()> {
        let path = format!("/deliveries/{}/settle", escaped(id));
        let parameters = [("as", Some(self.how().to_owned())), ("reason", self.reason.clone())];
        ask(&self.asking, "POST", &with_query(&path, &parameters)).map(drop)
    }
}

/// Deliveries in one list.
const LINES: usize = 1000;
