//! `gwanmun store purge` and `gwanmun store hold`: what goes when its time is over, and what keeps it (promises, 6).

use std::io::Write;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde_json::json;

use super::super::ask::{Asking, ask, plain, table, with_query};
use super::progress::Progress;
use crate::model::{EvidenceSubject, SequenceKey};

/// Purge the octets whose retention is over, or tell what would go and why the rest is kept
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What goes are octets: messages, answers, what was sent, receipts. Their evidence is archived in [retention] archive before, and
the archive verified as it stands on the disk. Records, duplicate memory and the audit record stay. The gateway does the
same by itself every [retention] interval. How far a conversation with guaranteed order has come is forgotten once everything
in it was purged.

Examples:
  gwanmun store purge --dry-run
  gwanmun store purge --dry-run --kept
  gwanmun store purge")]
pub(super) struct PurgeArgs {
    /// Tell, and purge nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run: tell of each that is kept why it is, too
    #[arg(long, requires = "dry_run")]
    kept: bool,
    #[command(flatten)]
    asking: Asking,
}

/// Set a legal hold: nothing of a case or message is purged until it is lifted
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A case is named by any key that leads to it, a message as PARTY/MESSAGE-ID with --message, a delivery by its id with --delivery.
Each hold and each lifting needs a reason and is audited.

Examples:
  gwanmun store hold 1234526464251X --reason 'court order 2026-117'
  gwanmun store hold --message BR123450000001/20091201-0001@broker.example --reason 'court order 2026-117'
  gwanmun store hold --lift 1234526464251X --reason 'the case was closed'")]
pub(super) struct HoldArgs {
    /// A case, or with --message or --delivery one of those
    #[arg(value_name = "CASE|PARTY/MESSAGE-ID|DELIVERY")]
    what: String,
    /// It is a message that was received; the hold is on what answers it, too
    #[arg(long)]
    message: bool,
    /// It is a delivery: a message that was sent, or passed on for others
    #[arg(long, conflicts_with = "message")]
    delivery: bool,
    /// Lift it
    #[arg(long)]
    lift: bool,
    /// Of a rehearsal
    #[arg(long, conflicts_with_all = ["message", "delivery"])]
    practice: bool,
    /// Why, for the audit record
    #[arg(long)]
    reason: String,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Deserialize)]
struct Page {
    looked: Vec<Looked>,
    next: Option<Place>,
    stopped: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum What {
    Subject(EvidenceSubject),
    Conversation(SequenceKey),
    Damaged(String),
}

#[derive(Deserialize)]
struct Looked {
    #[serde(flatten)]
    what: What,
    over: bool,
    #[serde(default)]
    why: String,
    bytes: u64,
}

#[derive(Default, Deserialize)]
struct Place {
    deliveries: bool,
    conversations: bool,
    after: u64,
    walk: Option<u64>,
}

impl PurgeArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let asking = &self.asking;
        let method = if self.dry_run { "GET" } else { "POST" };
        let progress = Progress::shown(!asking.json);
        let mut place = Some(Place::default());
        let (mut gone, mut kept, mut bytes) = (0_u64, 0_u64, 0_u64);
        let (mut forgotten, mut known) = (0_u64, 0_u64);
        let mut stopped = false;
        let mut rows = Vec::new();
        while let Some(Place { deliveries, conversations, after, walk }) = place {
            let parameters = [
                ("deliveries", Some(deliveries.to_string())),
                ("conversations", Some(conversations.to_string())),
                ("after", Some(after.to_string())),
                ("walk", walk.map(|walk| walk.to_string())),
                ("limit", Some(LINES.to_string())),
            ];
            let page = ask(asking, method, &with_query("/store/purge", &parameters))?;
            let page: Page = serde_json::from_value(page).context("the gateway's answer")?;
            for looked in page.looked {
                let (way, name, counted) = match looked.what {
                    What::Subject(subject @ EvidenceSubject::Received(_)) => {
                        ("received", subject.to_string(), [&mut gone, &mut kept])
                    }
                    What::Subject(subject) => ("sent", subject.to_string(), [&mut gone, &mut kept]),
                    What::Conversation(key) => {
                        ("conversation", key.to_string(), [&mut forgotten, &mut known])
                    }
                    What::Damaged(record) => ("damaged", record, [&mut gone, &mut kept]),
                };
                let [goes, stays] = counted;
                *(if looked.over { goes } else { stays }) += 1;
                bytes += looked.bytes;
                if self.dry_run && (looked.over || self.kept) {
                    let becomes = if looked.over { "goes" } else { "is kept" };
                    rows.push([way.to_owned(), name, becomes.to_owned(), looked.why]);
                }
            }
            progress.says(format!("{gone} of {} messages", gone + kept));
            (place, stopped) = (page.next, page.stopped);
        }
        drop(progress);
        if asking.json {
            let rows: Vec<_> = rows
                .iter()
                .map(|[way, message, becomes, why]| json!({ "way": way, "message": message, "becomes": becomes, "why": why }))
                .collect();
            let conversations = json!({ "gone": forgotten, "kept": known });
            let told = json!({ "dry_run": self.dry_run, "gone": gone, "kept": kept, "bytes": bytes,
                "conversations": conversations, "stopped": stopped, "messages": rows });
            return Ok(writeln!(out, "{told}")?);
        }
        if !rows.is_empty() {
            writeln!(out, "{}", table(["way", "message", "becomes", "why"], rows))?;
        }
        let would = if self.dry_run { "would be" } else { "were" };
        if self.dry_run {
            writeln!(out, "{gone} would go, {kept} are kept; nothing was purged")?;
        } else {
            writeln!(out, "{gone} were purged, {bytes} octets are free; {kept} are kept")?;
        }
        if forgotten + known > 0 {
            writeln!(out, "{forgotten} conversations {would} forgotten, {known} are known on")?;
        }
        if stopped {
            writeln!(
                out,
                "the gateway is being stopped: the rest was not looked at; it goes on by itself after the start"
            )?;
        }
        Ok(())
    }
}

impl HoldArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let mut parameters =
            vec![("reason", Some(self.reason.clone())), ("lift", Some(self.lift.to_string()))];
        if self.message {
            let (sender, id) = self.what.split_once('/').context("write PARTY/MESSAGE-ID, as listed")?;
            parameters.extend([("sender", Some(sender.to_owned())), ("message_id", Some(id.to_owned()))]);
        } else if self.delivery {
            parameters.push(("delivery", Some(self.what.clone())));
        } else {
            parameters.push(("case", Some(self.what.clone())));
            parameters.push(("practice", self.practice.then(|| "true".to_owned())));
        }
        let told = ask(&self.asking, "POST", &with_query("/holds", &parameters))?;
        if self.asking.json {
            return Ok(writeln!(out, "{told}")?);
        }
        Ok(writeln!(out, "{}", plain(told["told"].as_str().unwrap_or("done")))?)
    }
}

/// Messages in one question.
const LINES: usize = 500;
