//! What the gateway says of the case at the end: that it is cleared, what happened, and which rules asked for it.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use comfy_table::{Table, presets};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::LOOK_EVERY;
use super::world::World;
use crate::model::{Case, CaseState, CaseSummary, TimelineEntry};
use crate::telemetry::EventCode;
use crate::transport::LocalClient;

/// A case and its record.
#[derive(Debug)]
pub(super) struct Account {
    case: Case,
    timeline: Vec<TimelineEntry>,
}

/// Asks the gateway about the case of a declaration until it is in this state and nothing about it is owed to anybody.
///
/// # Errors
/// When it does not get there by `until`, or the gateway does not answer.
pub(super) async fn ask(
    world: &World,
    declaration: &str,
    state: CaseState,
    until: Instant,
) -> Result<Account> {
    let client = LocalClient::new(&world.socket);
    let cases: Vec<CaseSummary> = get(&client, "/cases").await?;
    let found = cases.into_iter().find(|case| case.declaration.as_deref() == Some(declaration));
    let id = found.with_context(|| format!("the gateway knows no case of declaration {declaration}"))?.id;
    loop {
        let case: Case = get(&client, &format!("/cases/{id}")).await?;
        let timeline = get(&client, &format!("/cases/{id}/timeline")).await?;
        let account = Account { case, timeline };
        if account.case.state == state && account.owed() == 0 {
            return Ok(account);
        }
        if Instant::now() > until {
            let state = account.case.state.as_str();
            bail!("the gateway says that case {id} is {state}, and {} message(s) are owed", account.owed());
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn get<T: serde::de::DeserializeOwned>(client: &LocalClient, path: &str) -> Result<T> {
    let answer = client.get(path).await?;
    ensure!(answer.status.is_success(), "the gateway answers {} to {path}", answer.status);
    serde_json::from_slice(&answer.body).with_context(|| format!("the gateway's answer to {path}"))
}

impl Account {
    /// The case.
    pub(super) const fn case(&self) -> &Case {
        &self.case
    }

    /// From its opening to the last entry of its record.
    pub(super) fn took(&self) -> Duration {
        self.timeline.last().map_or(Duration::ZERO, |last| last.at.since(self.case.opened_at))
    }

    /// How many messages about the case were made and not yet acknowledged.
    fn owed(&self) -> usize {
        let count = |event: EventCode| self.timeline.iter().filter(|e| &*e.event == event.code()).count();
        count(EventCode::DeliveryCreated).saturating_sub(count(EventCode::DeliveryDelivered))
    }

    /// As it stands.
    #[must_use]
    pub(super) fn to_json(&self, world: &World) -> Value {
        json!({ "directory": world.directory, "case": self.case, "timeline": self.timeline })
    }

    /// For people: what happened, and which rule rows asked for it.
    ///
    /// # Errors
    /// When `out` cannot be written.
    pub(super) fn tell(&self, world: &World, out: &mut dyn Write) -> Result<()> {
        let Case { id, state, revision, .. } = &self.case;
        let number = self.case.declaration.as_deref().unwrap_or("?");
        writeln!(out, "\nCase {id}: declaration {number}, revision {revision}, {}\n", state.as_str())?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header([
            "time (UTC)",
            "event",
            "party",
            "message",
            "what happened",
        ]);
        // A transmission that was acknowledged says so itself, with their number.
        for entry in self.timeline.iter().filter(|entry| &*entry.event != ATTEMPTED) {
            let party = entry.party.as_ref().map_or("", |party| world.name_of(party.as_str()));
            let message = entry.message_id.as_ref().map_or_else(String::new, |id| short(id.as_str()));
            let time = entry.at.to_jiff().strftime("%H:%M:%S%.3f").to_string();
            table.add_row([time, entry.event.to_string(), party.to_owned(), message, entry.text.clone()]);
        }
        writeln!(out, "{table}\n")?;
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header(["line", "rule row", "agency", "application", "law"]);
        for row in &self.case.expected {
            table.add_row([
                row.line.to_string(),
                row.rule.to_string(),
                row.agency.to_string(),
                row.document.to_string(),
                row.law.to_string(),
            ]);
        }
        let digest = self.case.rule_set.map_or_else(String::new, |digest| short(&digest.to_string()));
        writeln!(out, "Rule rows that fired, of rule set {digest}:\n{table}")?;
        Ok(())
    }
}

/// An identifier's beginning, enough for the eye.
fn short(id: &str) -> String {
    match id.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", id.get(..end).unwrap_or(id)),
        None => id.to_owned(),
    }
}

const ATTEMPTED: &str = EventCode::DeliveryAttempted.code();
const SHORT: usize = 12;
