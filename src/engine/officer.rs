//! An officer of a hosted agency acts on an application (domain brief, 5.5): what is composed is the document that a
//! connected agency would send, and it takes the road that one would take.
//!
//! Promises: an act counts only on the version of the application that the officer saw; of two at once one wins and the
//! other hears what happened; the same act again changes nothing. Each act is in the audit record with its officer.

use std::sync::Arc;

use super::arrival;
use super::audit::{About as _, entry};
use super::decide::Desk;
use super::enclose::REQUIREMENTS;
use super::event::{Arrival, Context};
use super::fee::{FEE_NOTICE, PAYMENT};
use super::step::{How, Reply, ReplyDraft, Step, Told};
use crate::case::version_of;
use crate::codec::catalogue::Catalogue;
use crate::codec::document::{Signatory, write_fee_notice, write_notice_by, write_result_by};
use crate::model::{
    Act, Agreement, Application, ApplicationState, Case, ContentId, ConversationId, Digest, Direction,
    DocumentCode, FeeNotice, Message, MessageId, NoticeDocument, NoticeKind, OfficerAct, OfficerRole,
    Outcome, Payload, ResultDocument, ResultItem, Timestamp, derive_id, role_of_document_code,
};
use crate::msh::{Posting, compose, service_to_send};
use crate::store::{CorrelationKey, Needs, Versioned, View};
use crate::telemetry::EventCode;

/// The records that composing an act needs.
#[must_use]
pub fn needs_of_act(act: &OfficerAct) -> Needs {
    Needs { case: vec![CorrelationKey::Application(act.application.clone())], ..Needs::default() }
}

/// The message that the act is, from its agency to us, not sealed yet.
///
/// # Errors
/// What the officer hears when it cannot be done.
pub fn compose_act(
    now: Timestamp,
    act: &OfficerAct,
    view: &View,
    context: &Context<'_>,
    catalogue: &Catalogue,
) -> Result<Message, Told> {
    let desk = Desk { now, view, context };
    let (stored, index) = found(desk, act)?;
    let application = &stored.value.applications[index];
    permitted(act, application)?;
    let written = Written::of(now, act, application, &stored.value);
    let service = written.service();
    let agreement = agreement(desk, act, service, written.code.as_str())?;
    let own = agreement.mirrored();
    let agency = context.registry.party(&act.by.agency).map_or(act.by.agency.as_str(), |party| &*party.name);
    let body = bytes::Bytes::from(written.text(catalogue, Signatory { agency, officer: Some(&act.by.name) }));
    let domain = &context.own.domain;
    let plain = "a derived id and a host name are plain text";
    let payload = Payload {
        content_id: ContentId::new(format!("{}.document@{domain}", written.id)).expect(plain),
        media_type: "application/xml".into(),
        role: Some(role_of_document_code(&written.code).into()),
        digest: Digest::of(&body),
        body: body.into(),
    };
    let action: Arc<str> = written.code.as_str().into();
    let posting = Posting {
        message_id: MessageId::new(format!("{}@{domain}", written.id)).expect(plain),
        conversation_id: ConversationId::new(act.application.clone())
            .unwrap_or_else(|_| stored.value.conversation_id.clone()),
        ref_to_message_id: application.sent_as.clone(),
        service: service_to_send(&own, service, &action),
        action,
        timestamp: now,
        time_to_live: now.plus(agreement.reliability.time_to_live),
        order: None,
    };
    Ok(compose(&own, posting, vec![payload]))
}

/// The act, once its message was opened like any other.
pub(super) fn acted(desk: Desk<'_>, arrival: &Arrival, act: &OfficerAct) -> Step {
    match judged(desk, arrival, act) {
        Ok(step) => step,
        Err(told) => Step { reply: ReplyDraft::Ready(Reply::Told(told)), ..Step::default() },
    }
}

fn judged(desk: Desk<'_>, arrival: &Arrival, act: &OfficerAct) -> Result<Step, Told> {
    if let Some(known) = &desk.view.message {
        let (how, text) = match known.record.accepted && !known.record.quarantined {
            true => (How::Done, "this very act was done before; nothing changes".to_owned()),
            false => (How::Refused, known.record.reason.clone()),
        };
        return Err(Told::new(how, text));
    }
    let (stored, index) = found(desk, act)?;
    permitted(act, &stored.value.applications[index])?;
    let mut step = arrival::user_message(desk, arrival);
    let Some(draft) = &step.message else { return Ok(step) };
    let taken = draft.record.accepted && !draft.record.quarantined;
    let told = if taken {
        let after = step.case.as_mut().map(|write| &mut write.case.applications[index]);
        let version = after.map(|application| {
            application.officer = Some(act.by.name.clone());
            version_of(application)
        });
        let is_about = |event: &str| event.starts_with("application.");
        let said = step.audit.iter().find(|entry| is_about(&entry.event)).map(|entry| entry.text.as_str());
        Told::new(How::Done, said.unwrap_or_default()).at_version(version)
    } else {
        Told::new(How::Refused, draft.record.reason.clone())
    };
    let (name, role) = (&act.by.name, act.by.role.as_str());
    let how = if taken { "" } else { ", which was refused" };
    let text = format!("{name} ({role}): {} {}{how}", act.act.as_str(), act.application);
    let told_of = entry(desk.now, EventCode::OfficerActed, text);
    step.audit.push(told_of.of_message(&arrival.key()).of_case(&stored.value.id));
    step.reply = ReplyDraft::Ready(Reply::Told(told));
    Ok(step)
}

/// The application, if it is one of the officer's agency.
fn found<'a>(desk: Desk<'a>, act: &OfficerAct) -> Result<(&'a Versioned<Case>, usize), Told> {
    let is_it = |application: &Application| {
        application.number.as_ref() == Some(&act.application) && application.party == act.by.agency
    };
    let stored = desk.view.case.as_ref();
    let place = stored.and_then(|stored| stored.value.applications.iter().position(is_it));
    stored
        .zip(place)
        .ok_or_else(|| Told::new(How::Nothing, format!("there is no application {}", act.application)))
}

/// Whether this officer may do this with the application as it stands.
fn permitted(act: &OfficerAct, application: &Application) -> Result<(), Told> {
    let (by, number) = (&act.by, &act.application);
    if by.role == OfficerRole::Viewer {
        return Err(Told::new(How::Forbidden, format!("{} may look, and not act", by.name)));
    }
    let conflict =
        |text: String| Err(Told::new(How::Conflict, text).at_version(Some(version_of(application))));
    let state = application.state.as_str();
    let who = application.officer.as_ref().map_or_else(String::new, |officer| format!(", by {officer}"));
    if *act.version != *version_of(application) {
        return conflict(format!("{number} has changed since you looked: it is {state}{who}; look again"));
    }
    let is_supervisor = by.role == OfficerRole::Supervisor;
    match &application.officer {
        Some(officer) if *officer != by.name && !is_supervisor => {
            return conflict(format!("{number} is with {officer}; a supervisor may take it over"));
        }
        _ => {}
    }
    if let ApplicationState::Decided(_) = application.state {
        let is_decision = matches!(act.act, Act::Decide { .. });
        if !(is_decision && is_supervisor) {
            return conflict(format!("{number} is {state}{who}: only a supervisor may decide it anew"));
        }
    }
    Ok(())
}

fn agreement<'a>(desk: Desk<'a>, act: &OfficerAct, service: &str, code: &str) -> Result<&'a Agreement, Told> {
    let mut agreements = desk.context.registry.agreements();
    let found = agreements.find(|agreement| {
        agreement.partner == act.by.agency
            && agreement.hosted
            && agreement.in_force(desk.now)
            && agreement.allows(Direction::Receive, service, code)
    });
    let text = || format!("no agreement with {} lets it send {code}", act.by.agency);
    found.ok_or_else(|| Told::new(How::Refused, text()))
}

/// The document of an act, with the name that it has however often it is composed.
struct Written {
    id: String,
    code: DocumentCode,
    document: Answer,
}

enum Answer {
    Notice(NoticeDocument),
    Result(ResultDocument),
    Fee(FeeNotice),
}

impl Written {
    fn of(now: Timestamp, act: &OfficerAct, application: &Application, case: &Case) -> Self {
        let what = serde_json::to_string(&act.act).expect("an act is plain data");
        let id = derive_id(&["act", case.id.as_str(), &act.application, &act.version, &act.by.name, &what]);
        // A clock that stepped back does not let an act be overtaken by the one that it follows.
        let issued_at = application.state_issued_at.map_or(now, |before| now.max(before));
        let day = now.to_jiff().strftime("%Y%m%d");
        // It may be cited as an approval, in a requirement row, which takes 20 characters.
        let number: Arc<str> = format!("{day}-{}", id.get(..11).unwrap_or(&id)).into();
        let notice = |kind, deadline, remarks| {
            Answer::Notice(NoticeDocument {
                code: DocumentCode::new("GOVCBRRBH").expect("the code is plain text"),
                number: number.clone(),
                issued_at,
                application: Some(act.application.clone()),
                notice: kind,
                acceptance_number: application.acceptance_number.clone().or_else(|| Some(number.clone())),
                deadline,
                remarks,
            })
        };
        let document = match &act.act {
            Act::Take => notice(NoticeKind::Accepted, application.decide_by, None),
            Act::Supplement { deadline, reason } => {
                notice(NoticeKind::SupplementRequested, Some(*deadline), Some(reason.clone()))
            }
            Act::Inspect { remarks } => notice(NoticeKind::InspectionOrdered, None, remarks.clone()),
            Act::Fee { price, payee, due_by, reason } => Answer::Fee(FeeNotice {
                number: number.clone(),
                issued_at,
                application: act.application.clone(),
                price: price.clone(),
                payee: payee.clone(),
                due_by: *due_by,
                reason: reason.clone(),
            }),
            Act::Decide { outcome, valid_until, remarks, items } => Answer::Result(ResultDocument {
                code: application.result.clone(),
                number: number.clone(),
                issued_at,
                application: Some(act.application.clone()),
                applicant: None,
                outcome: worst(*outcome, items),
                valid_until: *valid_until,
                remarks: remarks.clone(),
                items: decided(*outcome, items, application),
            }),
        };
        let code = match &document {
            Answer::Notice(notice) => notice.code.clone(),
            Answer::Result(result) => result.code.clone(),
            Answer::Fee(_) => DocumentCode::new(FEE_NOTICE).expect("the code is plain text"),
        };
        Self { id, code, document }
    }

    fn service(&self) -> &'static str {
        match &self.document {
            Answer::Notice(_) | Answer::Result(_) => REQUIREMENTS,
            Answer::Fee(_) => PAYMENT,
        }
    }

    fn text(&self, catalogue: &Catalogue, by: Signatory<'_>) -> String {
        match &self.document {
            Answer::Notice(notice) => write_notice_by(notice, by),
            Answer::Result(result) => write_result_by(catalogue, result, by),
            Answer::Fee(notice) => write_fee_notice(notice, by),
        }
    }
}

/// The outcome of the whole: the worst of what is decided.
fn worst(outcome: Option<Outcome>, items: &[ResultItem]) -> Outcome {
    let all = items.iter().map(|item| item.outcome).chain(outcome);
    all.min().unwrap_or(Outcome::Rejected)
}

/// Every item that is decided: those that are listed, and, with an outcome for the rest, the rest.
fn decided(outcome: Option<Outcome>, items: &[ResultItem], application: &Application) -> Vec<ResultItem> {
    let rest =
        application.items.iter().filter(|sequence| items.iter().all(|item| item.sequence != **sequence));
    let rest = outcome.into_iter().flat_map(|outcome| {
        rest.clone().map(move |sequence| ResultItem {
            unit: None,
            laws: Vec::new(),
            sequence: *sequence,
            outcome,
            quantity: None,
            reason: None,
            approval: None,
        })
    });
    let mut decided: Vec<ResultItem> = items.iter().cloned().chain(rest).collect();
    decided.sort_by_key(|item| item.sequence);
    decided
}
