//! `gwanmun case`: where each case stands, and how it got there.

use std::io::Write;

use anyhow::Result;

use super::ask::{Asking, Names, ask_for, escaped, party, plain, table, with_query};
use crate::codec::catalogue::Catalogue;
use crate::model::{Amended, Application, Approval, Case, CaseSummary, Payment, TimelineEntry, Withdrawal};

/// Cases of a running gateway
#[derive(Debug, clap::Args)]
pub struct CaseArgs {
    #[command(subcommand)]
    command: CaseCommand,
}

#[derive(Debug, clap::Subcommand)]
enum CaseCommand {
    /// Cases, newest first
    #[command(after_help = "Example: gwanmun case list --state collecting --limit 20")]
    List {
        /// Only in this state: collecting, ready, blocked, cleared, dismissed, withdrawn, result_only
        #[arg(long)]
        state: Option<String>,
        /// Only those of this party, by name or box number
        #[arg(long, value_name = "PARTY")]
        submitter: Option<String>,
        /// How many
        #[arg(long, default_value_t = 50)]
        limit: usize,
        /// Rehearsals, and nothing of production
        #[arg(long)]
        practice: bool,
        #[command(flatten)]
        asking: Asking,
    },
    /// One case: its applications, and the rule rows that asked for them
    #[command(after_help = "Example: gwanmun case show 12345260000011")]
    Show {
        /// Any key that leads to it: case id; number of the declaration, an application, an acceptance, a result, an
        /// approval, a fee, the cargo or a bill; ConversationId or MessageId
        key: String,
        /// A rehearsal, and nothing of production
        #[arg(long)]
        practice: bool,
        #[command(flatten)]
        asking: Asking,
    },
    /// An approval that declarations can rest on: what is left of it, and which cases use it
    #[command(after_help = "Example: gwanmun case approval KFDA-2009-17")]
    Approval {
        /// Number of the approval, as declarations cite it
        number: String,
        /// That of practice
        #[arg(long)]
        practice: bool,
        #[command(flatten)]
        asking: Asking,
    },
    /// What happened to a case, in order
    #[command(after_help = "Example: gwanmun case timeline 12345260000011")]
    Timeline {
        /// Any key that leads to it: case id; number of the declaration, an application, an acceptance, a result, an
        /// approval, a fee, the cargo or a bill; ConversationId or MessageId
        key: String,
        /// A rehearsal, and nothing of production
        #[arg(long)]
        practice: bool,
        #[command(flatten)]
        asking: Asking,
    },
}

/// The path of a question about a case of production, or of practice.
fn in_realm(path: &str, practice: bool) -> String {
    with_query(path, &[("practice", practice.then(|| "true".to_owned()))])
}

impl CaseArgs {
    /// Asks and tells.
    ///
    /// # Errors
    /// When no gateway answers, or it knows no such case.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            CaseCommand::List { state, submitter, limit, practice, asking } => {
                let parameters = [
                    ("state", state.clone()),
                    ("submitter", party(asking, submitter.as_ref())?),
                    ("limit", Some(limit.to_string())),
                    ("practice", practice.then(|| "true".to_owned())),
                ];
                let (cases, value) = ask_for::<Vec<CaseSummary>>(asking, &with_query("/cases", &parameters))?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                let names = Names::ask(asking)?;
                let rows = cases.into_iter().map(|case| {
                    [
                        case.id.to_string(),
                        case.declaration.as_deref().unwrap_or("-").to_owned(),
                        case.submitter.map_or_else(|| "-".to_owned(), |party| names.of(&party)),
                        case.state.as_str().to_owned(),
                        format!("{}/{}", case.decided.0, case.decided.1),
                        if case.overdue == 0 { String::new() } else { case.overdue.to_string() },
                        case.opened_at.to_string(),
                    ]
                });
                writeln!(
                    out,
                    "{}",
                    table(
                        ["case", "declaration", "submitter", "state", "decided", "overdue", "opened"],
                        rows
                    )
                )?;
            }
            CaseCommand::Show { key, practice, asking } => {
                let path = in_realm(&format!("/cases/{}", escaped(key)), *practice);
                let (case, value) = ask_for::<Case>(asking, &path)?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                show(&case, &Names::ask(asking)?, out)?;
            }
            CaseCommand::Approval { number, practice, asking } => {
                let path = in_realm(&format!("/approvals/{}", escaped(number)), *practice);
                let (approvals, value) = ask_for::<Vec<Approval>>(asking, &path)?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                let names = Names::ask(asking)?;
                approvals.iter().try_for_each(|approval| show_approval(approval, &names, out))?;
            }
            CaseCommand::Timeline { key, practice, asking } => {
                let path = in_realm(&format!("/cases/{}/timeline", escaped(key)), *practice);
                let (entries, value) = ask_for::<Vec<TimelineEntry>>(asking, &path)?;
                if asking.json {
                    return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
                }
                let names = Names::ask(asking)?;
                if *practice {
                    writeln!(out, "practice: a rehearsal, without effect")?;
                }
                let rows = entries.into_iter().map(|entry| {
                    [
                        entry.at.to_string(),
                        entry.event.to_string(),
                        entry.party.map(|party| names.of(&party)).unwrap_or_default(),
                        entry.message_id.map(|id| id.to_string()).unwrap_or_default(),
                        if entry.alarm { format!("! {}", entry.text) } else { entry.text },
                    ]
                });
                writeln!(out, "{}", table(["time", "event", "party", "message", "what happened"], rows))?;
            }
        }
        Ok(())
    }
}

fn show_approval(approval: &Approval, names: &Names, out: &mut dyn Write) -> Result<()> {
    let Approval { key, holder, case, items, charges, .. } = approval;
    let numbers = [&holder.importer, &holder.applicant].into_iter().flatten().map(|number| plain(number));
    let party = holder.party.iter().map(|party| names.of(party));
    writeln!(out, "approval     {} of {}", plain(&key.number), names.of(&key.agency))?;
    writeln!(out, "holder       {}", numbers.chain(party).collect::<Vec<_>>().join(", "))?;
    writeln!(out, "stated by    case {case}\n")?;
    let items = items.iter().map(|(item, approved)| {
        [
            item.to_string(),
            approved.outcome.as_str().to_owned(),
            approved.laws.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            approved.quantity.to_string(),
            approved.valid_until.map(|end| end.to_string()).unwrap_or_default(),
        ]
    });
    writeln!(out, "{}\n", table(["item", "state", "laws", "approved", "valid until"], items))?;
    let accounts = approval.accounts().into_iter().map(|(law, unit)| {
        let (approved, used) = (approval.approved(&law, &unit, |_| true), approval.used(&law, &unit));
        let left = approved.less(used);
        [law.to_string(), unit.to_string(), approved.to_string(), used.to_string(), left.to_string()]
    });
    writeln!(out, "{}\n", table(["law", "unit", "approved", "used", "left"], accounts))?;
    let charges = charges.iter().map(|charge| {
        let what = match (charge.own, charge.undo) {
            (true, _) => "what it was asked for",
            (false, true) => "not covered any more, its case is to hear of it",
            (false, false) => "rests on it",
        };
        let line = charge.line.to_string();
        [charge.case.to_string(), line, charge.law.to_string(), charge.quantity.to_string(), what.to_owned()]
    });
    writeln!(out, "{}", table(["case", "line", "law", "uses", "how"], charges))?;
    Ok(())
}

/// Where an application stands, and whether its agency was asked to cancel it.
fn state_of(application: &Application) -> String {
    let state = application.state.as_str();
    let asked = application.is_outstanding().then_some(application.cancellation.as_ref()).flatten();
    match asked {
        Some(cancellation) if cancellation.refused => format!("{state}, not to be cancelled"),
        Some(_) => format!("{state}, to be cancelled"),
        None => state.to_owned(),
    }
}

fn show(case: &Case, names: &Names, out: &mut dyn Write) -> Result<()> {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    writeln!(out, "case         {}", case.id)?;
    if case.realm.is_practice() {
        writeln!(out, "practice     a rehearsal, without effect; it is counted nowhere")?;
    }
    writeln!(out, "declaration  {}", plain(case.declaration.as_deref().unwrap_or("-")))?;
    writeln!(out, "submitter    {}", or_none(case.submitter.as_ref().map(|party| names.of(party))))?;
    writeln!(out, "state        {} (revision {})", case.state.as_str(), case.revision)?;
    writeln!(out, "opened       {}", case.opened_at)?;
    for (revision, Amended { number, at, .. }) in (2..).zip(&case.amendments) {
        writeln!(out, "amended      {at} by {}: revision {revision}", plain(number))?;
    }
    if let Some(Withdrawal { number, reason, at, .. }) = &case.withdrawal {
        let meaning = Catalogue::built_in()
            .code_lists()
            .get("withdrawal-reason")
            .and_then(|list| list.meaning(reason))
            .unwrap_or_default();
        writeln!(out, "withdrawn    {at} by {}: {} {meaning}", plain(number), plain(reason))?;
    }
    writeln!(out, "customs      {}", plain(case.customs_status.as_deref().unwrap_or("-")))?;
    writeln!(out, "rule set     {}\n", or_none(case.rule_set.map(|digest| digest.to_string())))?;
    let applications = case.applications.iter().map(|application| {
        [
            application.agency.to_string(),
            application.document.to_string(),
            application.number.as_deref().unwrap_or("-").to_owned(),
            state_of(application),
            (application.former.len() + 1).to_string(),
            match (application.required, application.released_in) {
                (_, Some(revision)) => format!("not since revision {revision}"),
                (true, None) => "required".to_owned(),
                (false, None) => "voluntary".to_owned(),
            },
            application.items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            application.decide_by.map(|at| at.to_string()).unwrap_or_default(),
            application.overdue_since().map(|at| format!("since {at}")).unwrap_or_default(),
        ]
    });
    let headings =
        ["agency", "application", "number", "state", "version", "counts", "lines", "decide by", "overdue"];
    writeln!(out, "{}\n", table(headings, applications))?;
    show_fees(case, out)?;
    let rows = case.expected.iter().map(|row| {
        [
            row.line.to_string(),
            row.rule.to_string(),
            row.law.to_string(),
            row.agency.to_string(),
            row.document.to_string(),
            row.removed.as_deref().unwrap_or_default().to_owned(),
        ]
    });
    writeln!(out, "{}", table(["line", "rule row", "law", "agency", "application", "removed"], rows))?;
    let held = case.held.iter().map(|held| {
        let rests = format!(
            "rests on {}: {} of {} {}",
            held.approval.number, held.quantity.value, held.of, held.quantity.unit
        );
        [held.line.to_string(), held.law.to_string(), rests]
    });
    let unverified = case.unverified.iter().map(|claim| {
        [
            claim.line.to_string(),
            claim.law.to_string(),
            format!("cites {} in vain: {}", claim.number, claim.why),
        ]
    });
    if !case.held.is_empty() || !case.unverified.is_empty() {
        writeln!(out, "\n{}", table(["line", "law", "approval"], held.chain(unverified)))?;
    }
    Ok(())
}

/// Fees of its applications with their payments, when there are any: one row for each payment.
fn show_fees(case: &Case, out: &mut dyn Write) -> Result<()> {
    let mut rows = Vec::new();
    for application in &case.applications {
        for fee in &application.fees {
            let row = |payment: Option<&Payment>| {
                let what = |payment: &Payment| match (&payment.reference, payment.ended_at) {
                    (Some(reference), Some(at)) => format!("{reference} {at}"),
                    _ => payment.reason.clone(),
                };
                [
                    fee.number.to_string(),
                    application.agency.to_string(),
                    application.number.as_deref().unwrap_or("-").to_owned(),
                    fee.price.to_string(),
                    fee.due_by.to_string(),
                    fee.state.as_str().to_owned(),
                    payment.map(|payment| payment.order.to_string()).unwrap_or_default(),
                    payment.map(|payment| payment.state.as_str().to_owned()).unwrap_or_default(),
                    payment.map(what).unwrap_or_default(),
                ]
            };
            if fee.payments.is_empty() {
                rows.push(row(None));
            }
            rows.extend(fee.payments.iter().map(|payment| row(Some(payment))));
        }
    }
    if !rows.is_empty() {
        let headings =
            ["fee", "agency", "number", "amount", "due by", "state", "order", "payment", "bank says"];
        writeln!(out, "{}\n", table(headings, rows.into_iter()))?;
    }
    Ok(())
}
