//! `gwanmun store verify`: proves from the store alone that nothing accepted is lost (P2), nothing in it damaged (P12),
//! and nothing of its record changed (P18); or names what is wrong, and what to do.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::{Result, bail};
use serde::Serialize;
use serde_json::json;

use super::super::ask::{plain, table};
use super::Place;
use super::progress::Progress;
use crate::model::PartyKey;
use crate::store::{Account, AuditHead, AuditVerdict, Conservation, Damage, Inspection, StoreError};

/// Prove that nothing in a store is lost, damaged or changed
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For each destination: created = delivered + open + rejected + expired + quarantined, counted from the records and held
against the audit record. Every record is held against its checksum, every payload against its SHA-256, and the audit
record against its own chain, its signed heads and the mark beside the database. Of a backup, every file against its
manifest too. Where the mark is gone, that nothing followed the last entry is not proved.

Nothing in the directory is changed. Best on a copy or with the gateway stopped; beside a running gateway it reads in
short looks. A gateway cannot open a store while it is verified.

Exit codes: 0 proved, 1 something is wrong or the store cannot be read, 2 wrong usage.

Examples:
  gwanmun store verify /var/lib/gwanmun
  gwanmun store verify --config gwanmun.toml --json")]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    place: Place,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// Something that is not as it must be.
#[derive(Debug, Serialize)]
struct Finding {
    /// Which of the proofs fails.
    proof: &'static str,
    /// What it is about.
    about: String,
    /// What is wrong.
    wrong: String,
    /// What to do.
    remedy: &'static str,
}

/// What came of all proofs.
#[derive(Debug, Default)]
struct Verdict {
    destinations: BTreeMap<PartyKey, Account>,
    head: Option<AuditHead>,
    findings: Vec<Finding>,
    remarks: Vec<String>,
}

impl VerifyArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let store = self.place.look()?;
        let mut verdict = verify(&store, &Progress::shown(!self.json));
        if let Some((backup, manifest)) = self.place.backup()? {
            for Damage { what, detail } in manifest.check(backup)? {
                verdict.finding("manifest", what, detail, ANOTHER_BACKUP);
            }
        }
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&verdict.as_json(&store))?)?;
        } else {
            verdict.tell(&store, out)?;
        }
        match verdict.findings.len() {
            0 => Ok(()),
            count => bail!("the store is not in order: {count} finding(s)"),
        }
    }
}

fn verify(store: &Inspection, progress: &Progress) -> Verdict {
    let mut verdict = Verdict::default();
    let newest = Inspection::newest_format();
    if store.format() < newest {
        verdict.remarks.push(format!(
            "it has format {} and becomes format {newest} when a gateway opens it; keep a copy from before (P19)",
            store.format()
        ));
    }
    if store.is_running() {
        verdict.remarks.push("a gateway has it open; what it commits meanwhile may be left out".to_owned());
    }
    let marked = store.mark().unwrap_or_else(|error| {
        verdict.unreadable("mark", "mark", &error, RENEW_THE_MARK);
        Some(AuditHead::EMPTY)
    });
    match store.verify_audit(marked.unwrap_or(AuditHead::EMPTY), &mut progress.of("audit record")) {
        Ok(AuditVerdict::Intact(head)) => {
            if marked.is_none() {
                let end = format!(
                    "it is gone: the audit record is whole up to entry {}, and that none followed is not proved",
                    head.sequence
                );
                verdict.finding("mark", "mark".to_owned(), end, COPY_THE_MARK);
            }
            verdict.head = Some(head);
        }
        Ok(AuditVerdict::Broken { sequence, detail }) => {
            verdict.finding("audit", format!("audit entry {sequence}"), detail, RESTORE);
        }
        Err(error) => verdict.unreadable("audit", "audit record", &error, RESTORE),
    }
    match store.heads(0, 1) {
        Ok(heads) if heads.is_empty() && verdict.head.is_some_and(|head| head.sequence > 0) => {
            verdict.remarks.push(NO_HEADS.to_owned());
        }
        Ok(_) => {}
        Err(error) => verdict.unreadable("audit", "audit heads", &error, RESTORE),
    }
    match store.conservation(&mut progress.of("conservation law")) {
        Ok(law) => verdict.conservation(law),
        Err(error) => verdict.unreadable("conservation", "deliveries", &error, RESTORE),
    }
    match store.scrub(&mut progress.of("checksums")) {
        Ok(damaged) => {
            for Damage { what, detail } in damaged {
                let remedy = remedy_for(&what);
                verdict.finding("checksum", what, detail, remedy);
            }
        }
        Err(error) => verdict.unreadable("checksum", "records", &error, RESTORE),
    }
    match store.orphans() {
        Ok(0) => {}
        Ok(count) => verdict.remarks.push(format!(
            "{count} payload file(s) belong to no record: a crash left them; a start sets them aside, and a scrub \
             that finds nothing damaged removes them"
        )),
        Err(error) => verdict.unreadable("checksum", "payload files", &error, RESTORE),
    }
    verdict
}

impl Verdict {
    fn finding(&mut self, proof: &'static str, about: String, wrong: String, remedy: &'static str) {
        self.findings.push(Finding { proof, about, wrong, remedy });
    }

    fn unreadable(&mut self, proof: &'static str, about: &str, error: &StoreError, remedy: &'static str) {
        self.finding(proof, about.to_owned(), error.to_string(), remedy);
    }

    /// The law of each destination, and what does not fit.
    fn conservation(&mut self, law: Conservation) {
        for fault in law.faults {
            self.finding("conservation", "deliveries".to_owned(), fault, RESTORE);
        }
        for (destination, account) in &law.destinations {
            if !account.balances() {
                let open = account.pending + account.awaiting + account.held;
                let ended = account.delivered + account.rejected + account.expired + account.quarantined;
                let wrong =
                    format!("{} were created, {open} are open and {ended} have ended", account.created);
                self.finding("conservation", format!("destination {destination}"), wrong, RESTORE);
            }
        }
        self.destinations = law.destinations;
    }

    fn as_json(&self, store: &Inspection) -> serde_json::Value {
        let accounts = self.destinations.iter().map(|(destination, account)| {
            json!({
                "destination": destination, "balances": account.balances(), "created": account.created,
                "delivered": account.delivered, "pending": account.pending, "awaiting": account.awaiting,
                "held": account.held, "rejected": account.rejected, "expired": account.expired,
                "quarantined": account.quarantined,
            })
        });
        json!({
            "store": store.directory(),
            "format": store.format(),
            "running": store.is_running(),
            "proved": self.findings.is_empty(),
            "destinations": accounts.collect::<Vec<_>>(),
            "audit": self.head.map(|head| json!({ "entries": head.sequence, "hash": head.hash })),
            "findings": self.findings,
            "remarks": self.remarks,
        })
    }

    fn tell(&self, store: &Inspection, out: &mut dyn Write) -> Result<()> {
        let rows = self.destinations.iter().map(|(destination, account)| {
            let law = if account.balances() { "holds" } else { "broken" };
            let [created, delivered, rejected, expired, quarantined] =
                [account.created, account.delivered, account.rejected, account.expired, account.quarantined]
                    .map(|count| count.to_string());
            let open = (account.pending + account.awaiting + account.held).to_string();
            [
                destination.to_string(),
                created,
                delivered,
                open,
                rejected,
                expired,
                quarantined,
                law.to_owned(),
            ]
        });
        let headings =
            ["destination", "created", "delivered", "open", "rejected", "expired", "quarantined", "law"];
        writeln!(out, "{}", table(headings, rows))?;
        for finding in &self.findings {
            writeln!(out, "\n{}: {}: {}", finding.proof, plain(&finding.about), plain(&finding.wrong))?;
            writeln!(out, "  {}", finding.remedy)?;
        }
        for remark in &self.remarks {
            writeln!(out, "\nnote: {remark}")?;
        }
        let directory = store.directory().display();
        match (self.findings.len(), self.head) {
            (0, Some(head)) => writeln!(
                out,
                "\n{directory}: proved: nothing is lost, damaged or changed, up to audit entry {}, {}",
                head.sequence, head.hash
            )?,
            (count, _) => writeln!(out, "\n{directory}: NOT proved: {count} finding(s)")?,
        }
        Ok(())
    }
}

/// What to do about a damaged record or payload.
fn remedy_for(what: &str) -> &'static str {
    match what.split(' ').next() {
        Some("octets" | "body" | "answer") => {
            "a payload file of the same name out of a backup mends it; until then it is served to nobody, and all others flow"
        }
        Some("database") => RESTORE,
        Some("audit") => {
            "compare with an export of the audit record; restore a backup when what it says is needed"
        }
        _ => "it is served to nobody and all others flow; restore a backup when what it says is needed",
    }
}

const RESTORE: &str = "keep a copy of the store as it is, then restore a backup";
const ANOTHER_BACKUP: &str = "take another copy of this backup, or another backup";
const NO_HEADS: &str = "no signed head of the audit record is in it: none was signed yet, or they are gone; with a head that was \
     kept elsewhere, `gwanmun audit verify --head` proves an export";
const COPY_THE_MARK: &str = "copy `gwanmun.db-wal` and `mark` with the database, or make a backup; a gateway that starts here makes \
     a mark anew, which accepts that what followed is lost";
const RENEW_THE_MARK: &str = "when the audit record is in order, remove the mark by hand: it is made anew";
