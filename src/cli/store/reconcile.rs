//! `gwanmun store reconcile`: what is held since a restore, and what becomes of it (P20).

use std::collections::BTreeSet;
use std::io::Write;

use anyhow::{Result, bail, ensure};
use serde_json::json;

use super::super::ask::{Asking, Names, ask, ask_for, escaped, party, plain, table, with_query};
use crate::model::Delivery;

/// List the deliveries that are held since a restore, and settle them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --send, --delivered or --rejected all that is held is listed. --send lets a delivery go out with the octets and the
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
        if !settles {
            return self.list(out);
        }
        let mut settled = 0;
        let mut damaged = BTreeSet::new();
        if self.ids.is_empty() {
            // A delivery keeps its place: what comes back, as its destination knows it already, is settled once.
            damaged = self.each_page(&mut |held| {
                held.iter().try_for_each(|delivery| {
                    settled += 1;
                    self.settle(delivery.id.as_str())
                })
            })?;
        } else {
            for id in &self.ids {
                self.settle(id)?;
                settled += 1;
            }
        }
        if self.asking.json {
            return Ok(writeln!(out, "{}", json!({ "settled": settled, "damaged": damaged }))?);
        }
        let told = match self.how() {
            "send" => "go out",
            "delivered" => "count as delivered",
            _ => "count as rejected",
        };
        writeln!(out, "{settled} deliveries {told}")?;
        tell_damaged(&damaged, out)
    }

    fn list(&self, out: &mut dyn Write) -> Result<()> {
        if self.asking.json {
            let mut all = Vec::new();
            let damaged = self.each_page(&mut |held| {
                all.extend(held);
                Ok(())
            })?;
            let told = serde_json::to_string_pretty(&json!({ "held": all, "damaged": damaged }))?;
            return Ok(writeln!(out, "{told}")?);
        }
        let (names, mut count) = (Names::ask(&self.asking)?, 0);
        let damaged = self.each_page(&mut |held| {
            count += held.len();
            let rows = held.into_iter().map(|delivery| {
                let attempts = delivery.attempts.to_string();
                let to = names.of(&delivery.destination);
                [delivery.id.to_string(), to, delivery.action.to_string(), attempts, delivery.reason]
            });
            let headings = ["held", "destination", "action", "attempts", "why"];
            Ok(writeln!(out, "{}", table(headings, rows))?)
        })?;
        writeln!(out, "{count} deliveries are held")?;
        tell_damaged(&damaged, out)
    }

    /// Shows all that is held, some at a time and oldest first; gives what is damaged among it.
    fn each_page(&self, visit: &mut dyn FnMut(Vec<Delivery>) -> Result<()>) -> Result<BTreeSet<String>> {
        let destination = party(&self.asking, self.destination.as_ref())?;
        let (mut after, mut damaged) = (None, BTreeSet::new());
        loop {
            let parameters =
                [("destination", destination.clone()), ("after", after), ("limit", Some(PAGE.to_string()))];
            let (page, _) = ask_for::<Page>(&self.asking, &with_query("/store/held", &parameters))?;
            let is_full = page.damaged.len() >= PAGE;
            damaged.extend(page.damaged);
            let Some(last) = page.held.last() else {
                ensure!(
                    !is_full,
                    "{PAGE} damaged records follow, and what is behind them was not looked at: mend the store from the backup"
                );
                return Ok(damaged);
            };
            after = Some(last.id.to_string());
            visit(page.held)?;
        }
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

/// A part of what is held, as the gateway tells it.
#[derive(serde::Deserialize)]
struct Page {
    held: Vec<Delivery>,
    damaged: Vec<String>,
}

/// What cannot be read cannot be settled before it is mended.
fn tell_damaged(damaged: &BTreeSet<String>, out: &mut dyn Write) -> Result<()> {
    damaged.iter().try_for_each(|damage| Ok(writeln!(out, "{}; it stays held", plain(damage))?))
}

/// Deliveries that are asked for at a time.
const PAGE: usize = 1000;
