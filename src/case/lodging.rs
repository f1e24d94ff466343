//! Opening a case, and placing application documents in it, with the lodging or later (rulings 1, 3, 4).

use std::sync::Arc;

use crate::model::{
    Application, ApplicationDocument, ApplicationState, Case, CaseId, CaseState, ConversationId, Declaration,
    DocumentCode, Held, MessageId, MessageKey, Realm, ReceivedPart, Timestamp, Unverified,
};
use crate::routing::{AgencyTarget, Plan, PlannedApplication};

/// What a case is opened with.
#[derive(Clone, Debug)]
pub struct Lodging {
    /// Our name for the case.
    pub id: CaseId,
    /// Whether it is a rehearsal.
    pub realm: Realm,
    /// The lodging message.
    pub key: MessageKey,
    /// Its ConversationId.
    pub conversation_id: ConversationId,
    /// Acceptance time: the instant that the rules were applied at.
    pub at: Timestamp,
    /// The declaration.
    pub declared: Declaration,
    /// MessageId under which customs gets the declaration.
    pub declared_as: Option<MessageId>,
    /// What the rules ask for, as far as no approval satisfies it.
    pub plan: Plan,
    /// Approvals that satisfy a requirement.
    pub held: Vec<Held>,
    /// Approvals that are cited and satisfy none.
    pub unverified: Vec<Unverified>,
}

/// An application document that came with a lodging or after it.
#[derive(Clone, Copy, Debug)]
pub struct Enclosed<'a> {
    /// The document, read.
    pub document: &'a ApplicationDocument,
    /// MessageId under which its agency gets it.
    pub sent_as: &'a MessageId,
    /// Where it came.
    pub source: &'a ReceivedPart,
    /// The agency that its document code belongs to: where it goes when no rule asked for it.
    pub target: Option<&'a AgencyTarget>,
}

/// Where a document was placed; the index counts the applications of the case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It fills a planned application.
    Planned(usize),
    /// It replaces one that the agency refused.
    Corrected(usize),
    /// No rule asked for it: it goes to the agency of its code, and the join does not count it.
    Voluntary(usize),
}

impl Place {
    /// The application.
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Planned(index) | Self::Corrected(index) | Self::Voluntary(index) => index,
        }
    }
}

/// Why a document cannot be placed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncloseFault {
    /// Its number is in the case already, and not to be corrected.
    #[error("application number {0} is in this case already")]
    KnownNumber(Arc<str>),
    /// No agency takes such a document.
    #[error("no agency takes document {0}")]
    NoAgency(DocumentCode),
}

/// Opens a case with its expected set: every planned application is blocked until its document is enclosed.
#[must_use]
pub fn lodge(lodging: Lodging) -> Case {
    let Lodging { id, realm, key, conversation_id, at, declared, declared_as, plan, held, unverified } =
        lodging;
    Case {
        id,
        realm,
        declaration: Some(declared.number.clone()),
        submitter: Some(key.sender.clone()),
        opened_by: key,
        conversation_id,
        opened_at: at,
        revision: 1,
        round: 1,
        state: CaseState::Collecting,
        declared_as,
        rule_set: Some(plan.rule_set),
        expected: plan.rows,
        trace: plan.trace,
        applications: plan.applications.into_iter().map(planned).collect(),
        events: Vec::new(),
        customs_status: None,
        customs_issued_at: None,
        ended_at: None,
        due: None,
        payment_due: None,
        withdrawal: None,
        declared: Some(declared),
        amendments: Vec::new(),
        held,
        unverified,
        hold: None,
    }
}

/// Places a document: in the planned application of its code that misses its document and shares most of its
/// lines; in place of one that the agency refused; or as a voluntary application.
///
/// # Errors
/// [`EncloseFault`]; the case is then unchanged.
pub fn enclose(case: &mut Case, enclosed: Enclosed<'_>) -> Result<Place, EncloseFault> {
    let document = enclosed.document;
    let numbered = case.applications.iter().find(|a| a.number.as_ref() == Some(&document.number));
    if numbered.is_some_and(|a| a.state != ApplicationState::Error || a.document != document.code) {
        return Err(EncloseFault::KnownNumber(document.number.clone()));
    }
    let missing = best(case, document, |a| {
        a.state == ApplicationState::Blocked && a.number.is_none() && a.released_in.is_none()
    });
    let refused = best(case, document, |a| {
        a.state == ApplicationState::Error
            && (numbered.is_none() || a.number.as_ref() == Some(&document.number))
    });
    let place = match (numbered.is_some(), missing, refused) {
        (false, Some(index), _) => Place::Planned(index),
        (_, _, Some(index)) => Place::Corrected(index),
        _ => {
            let target = enclosed.target.ok_or_else(|| EncloseFault::NoAgency(document.code.clone()))?;
            case.applications.push(voluntary(document, target));
            Place::Voluntary(case.applications.len() - 1)
        }
    };
    let application = &mut case.applications[place.index()];
    application.number = Some(document.number.clone());
    application.former.extend(application.sent_as.replace(enclosed.sent_as.clone()));
    application.source = Some(enclosed.source.clone());
    application.state = ApplicationState::Created;
    application.items.extend(document.items.iter().map(|item| item.sequence));
    application.items.sort_unstable();
    application.items.dedup();
    Ok(place)
}

/// The application for this document code that passes `is` and shares most lines with the document; the first of
/// equals.
fn best(case: &Case, document: &ApplicationDocument, is: impl Fn(&Application) -> bool) -> Option<usize> {
    let shared = |a: &Application| document.items.iter().filter(|i| a.items.contains(&i.sequence)).count();
    let candidates = case.applications.iter().enumerate();
    let candidates = candidates.filter(|(_, a)| a.document == document.code && is(a));
    candidates.max_by_key(|(index, a)| (shared(a), std::cmp::Reverse(*index))).map(|(index, _)| index)
}

pub(super) fn planned(planned: PlannedApplication) -> Application {
    Application {
        items: planned.items,
        laws: planned.laws,
        rules: planned.rules,
        required: planned.required,
        accept_by: planned.accept_by,
        decide_by: planned.decide_by,
        watch: planned.watch,
        ..Application::new(planned.agency, planned.party, planned.document, planned.result)
    }
}

fn voluntary(document: &ApplicationDocument, target: &AgencyTarget) -> Application {
    let AgencyTarget { agency, party, result, .. } = target.clone();
    Application::new(agency, party, document.code.clone(), result)
}
