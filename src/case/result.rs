//! Results of an agency (domain brief, 5.2, rulings 20 to 25): outcomes by item, the worst one is the outcome.

use super::version::Version;
use crate::model::{
    AgencyCode, Application, ApplicationState, Case, CaseId, CaseState, ConversationId, Digest, ItemOutcome,
    MessageKey, Outcome, PartyKey, Realm, ReceivedResult, ResultDocument, Timestamp,
};

/// A result and how it came.
#[derive(Clone, Copy, Debug)]
pub struct IncomingResult<'a> {
    /// The document, read.
    pub document: &'a ResultDocument,
    /// Digest of its octets.
    pub digest: Digest,
    /// The message it came in.
    pub key: &'a MessageKey,
    /// When it was received.
    pub received_at: Timestamp,
}

/// What a result did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResultEffect {
    /// Recorded; every item has its outcome, and this is the worst.
    Decided(Outcome),
    /// Recorded; some items have no outcome yet.
    Partial,
    /// Its number came before with the same octets: nothing changes.
    Repeated,
    /// Its number came before with other octets: nothing changes, an alarm.
    OtherOctets,
    /// It decides items that the application does not have: nothing changes.
    UnknownItems(Vec<u16>),
    /// Another document answers this application: nothing changes.
    OtherDocument,
    /// It answers a version that was replaced: recorded, and nothing changes (ruling 22).
    FormerVersion,
}

/// Applies a result to this version of the application of the case with this index. Of two that decide the same item the newer
/// issue time wins, at equal times the later receipt.
///
/// # Panics
/// When the case has no such application.
pub fn apply_result(
    case: &mut Case,
    index: usize,
    version: Version,
    incoming: IncomingResult<'_>,
) -> ResultEffect {
    let document = incoming.document;
    if let Some(effect) = known_number(case, &incoming) {
        return effect;
    }
    let application = &mut case.applications[index];
    if application.result != document.code {
        return ResultEffect::OtherDocument;
    }
    if version == Version::Former {
        keep(application, incoming, true);
        return ResultEffect::FormerVersion;
    }
    let unknown = document.items.iter().map(|item| item.sequence);
    let unknown: Vec<u16> = unknown.filter(|item| !application.has_had(*item)).collect();
    if !unknown.is_empty() {
        return ResultEffect::UnknownItems(unknown);
    }
    record(application, incoming);
    match application.state {
        ApplicationState::Decided(outcome) => ResultEffect::Decided(outcome),
        _ => ResultEffect::Partial,
    }
}

/// A case for a result that no application here asked for: it is relayed all the same, and counted nowhere.
#[must_use]
pub fn open_result_only(
    id: CaseId,
    agency: AgencyCode,
    conversation_id: ConversationId,
    submitter: Option<PartyKey>,
    incoming: IncomingResult<'_>,
) -> Case {
    let document = incoming.document;
    let mut items: Vec<u16> = document.items.iter().map(|item| item.sequence).collect();
    items.sort_unstable();
    items.dedup();
    let (party, code) = (incoming.key.sender.clone(), document.code.clone());
    let mut application = Application {
        number: document.application.clone(),
        items: if items.is_empty() { vec![1] } else { items },
        state: ApplicationState::Created,
        ..Application::new(agency, party, code.clone(), code)
    };
    record(&mut application, incoming);
    Case {
        id,
        realm: Realm::Production,
        declaration: None,
        submitter,
        opened_by: incoming.key.clone(),
        conversation_id,
        opened_at: incoming.received_at,
        revision: 1,
        round: 1,
        state: CaseState::ResultOnly,
        declared_as: None,
        rule_set: None,
        expected: Vec::new(),
        trace: Vec::new(),
        applications: vec![application],
        events: Vec::new(),
        customs_status: None,
        customs_issued_at: None,
        ended_at: None,
        due: None,
        payment_due: None,
        withdrawal: None,
        declared: None,
        amendments: Vec::new(),
        held: Vec::new(),
        unverified: Vec::new(),
        hold: None,
    }
}

/// What the number alone says, when the same agency has used it in this case before (ruling 25).
fn known_number(case: &Case, incoming: &IncomingResult<'_>) -> Option<ResultEffect> {
    let of_agency = case.applications.iter().filter(|a| a.party == incoming.key.sender);
    let known = of_agency.flat_map(|a| &a.results).find(|r| r.number == incoming.document.number)?;
    Some(if known.digest == incoming.digest { ResultEffect::Repeated } else { ResultEffect::OtherOctets })
}

fn keep(application: &mut Application, incoming: IncomingResult<'_>, of_former_version: bool) {
    let document = incoming.document;
    application.results.push(ReceivedResult {
        number: document.number.clone(),
        message_id: incoming.key.message_id.clone(),
        issued_at: document.issued_at,
        received_at: incoming.received_at,
        outcome: document.outcome,
        digest: incoming.digest,
        valid_until: document.valid_until,
        of_former_version,
    });
}

fn record(application: &mut Application, incoming: IncomingResult<'_>) {
    let document = incoming.document;
    keep(application, incoming, false);
    let whole = || ItemOutcome {
        outcome: document.outcome,
        quantity: None,
        unit: None,
        approval: None,
        laws: Vec::new(),
        reason: document.remarks.clone(),
        issued_at: document.issued_at,
        valid_until: document.valid_until,
    };
    if document.items.is_empty() {
        for sequence in application.items.clone() {
            decide_item(application, sequence, whole());
        }
    }
    for item in &document.items {
        // Only what approves gives a number: what takes back means the approval that the item has.
        let approves = item.quantity.is_some() && item.outcome.is_approval();
        let of_result = || approves.then(|| document.number.clone());
        let decided = ItemOutcome {
            outcome: item.outcome,
            quantity: item.quantity,
            unit: item.unit.clone(),
            approval: item.approval.clone().or_else(of_result),
            laws: item.laws.clone(),
            reason: item.reason.clone(),
            ..whole()
        };
        decide_item(application, item.sequence, decided);
    }
    conclude(application, application.state);
}

/// The application is final when every item has an outcome, with that of the worst; else it stands `otherwise`.
pub(super) fn conclude(application: &mut Application, otherwise: ApplicationState) {
    let complete = application.items.iter().all(|sequence| application.outcomes.contains_key(sequence));
    let worst = application.outcomes.values().map(|item| item.outcome).min().filter(|_| complete);
    application.state = worst.map_or(otherwise, ApplicationState::Decided);
    if worst.is_some() {
        application.state_issued_at = application.outcomes.values().map(|item| item.issued_at).max();
    }
}

fn decide_item(application: &mut Application, sequence: u16, mut outcome: ItemOutcome) {
    let known = application.outcomes.get(&sequence);
    if application.items.contains(&sequence) && known.is_none_or(|known| known.issued_at <= outcome.issued_at)
    {
        // What takes an approval back, or extends it, need not say its number again.
        outcome.approval = outcome.approval.or_else(|| known.and_then(|known| known.approval.clone()));
        application.outcomes.insert(sequence, outcome);
    }
}
