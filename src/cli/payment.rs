//! `gwanmun payment`: what a bank has still to say.

use std::io::Write;

use anyhow::Result;
use serde::Deserialize;

use super::ask::{Asking, ask, ask_for, escaped, plain, table, with_query};
use crate::model::{Money, PaymentState, Timestamp};

/// Payments of a running gateway that are under way
#[derive(Debug, clap::Args)]
pub struct PaymentArgs {
    #[command(subcommand)]
    command: PaymentCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PaymentCommand {
    /// Payments under way, by when the bank is next asked
    #[command(after_help = "\
What has ended is shown with its case: gwanmun case show FEE. The bank's own record has each payment under its key.

Example: gwanmun payment list")]
    List {
        /// Of how many cases
        #[arg(long, default_value_t = 50)]
        limit: usize,
        #[command(flatten)]
        asking: Asking,
    },
    /// Have the bank asked at once
    #[command(after_help = "\
For when the bank works again and the next attempt is minutes away. It is asked under the key of before: nothing is paid
twice by it.

Example: gwanmun payment retry F-20091201-0381 --reason 'the bank is back'")]
    Retry {
        /// Any key that leads to the case, such as the number of the fee
        key: String,
        /// Why, for the audit record
        #[arg(long)]
        reason: String,
        /// Of a rehearsal
        #[arg(long)]
        practice: bool,
        #[command(flatten)]
        asking: Asking,
    },
}

/// A line of the list.
#[derive(Debug, Deserialize)]
struct Line {
    key: String,
    agency: String,
    fee: String,
    order: String,
    price: Money,
    state: PaymentState,
    ordered_at: Timestamp,
    attempts: u32,
    due: Timestamp,
    reason: String,
    late: bool,
    practice: bool,
}

impl PaymentArgs {
    /// Asks and tells.
    ///
    /// # Errors
    /// When no gateway answers, or it knows no such case.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            PaymentCommand::List { limit, asking } => {
                let path = with_query("/payments", &[("limit", Some(limit.to_string()))]);
                let (lines, value) = ask_for::<Vec<Line>>(asking, &path)?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                let rows = lines.into_iter().map(|line| {
                    [
                        if line.practice { format!("{} (practice)", line.fee) } else { line.fee },
                        line.agency,
                        line.price.to_string(),
                        line.order,
                        line.state.as_str().to_owned(),
                        line.attempts.to_string(),
                        if line.late {
                            format!("{} LATE", line.ordered_at)
                        } else {
                            line.ordered_at.to_string()
                        },
                        line.due.to_string(),
                        line.key,
                        line.reason,
                    ]
                });
                let headings = [
                    "fee", "agency", "amount", "order", "state", "attempts", "ordered", "next", "key",
                    "reason",
                ];
                writeln!(out, "{}", table(headings, rows))?;
            }
            PaymentCommand::Retry { key, reason, practice, asking } => {
                let path = format!("/payments/{}", escaped(key));
                let practice = practice.then(|| "true".to_owned());
                let parameters = [("reason", Some(reason.clone())), ("practice", practice)];
                let value = ask(asking, "POST", &with_query(&path, &parameters))?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                writeln!(out, "{}", plain(value["told"].as_str().unwrap_or_default()))?;
            }
        }
        Ok(())
    }
}
