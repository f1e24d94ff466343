//! A result of an agency: recorded, relayed at once to customs and applicant, counted by the join; also when no
//! application here asked for it (rulings 18, 20, 22, 25; domain brief, 1).

use super::arrival::{Decided, Decline, accept};
use super::audit::{About as _, entry};
use super::decide::Inbound;
use super::documents::at;
use super::find::{Answered, answered};
use super::ids;
use super::join::Cause;
use super::lodge::subject;
use super::owe::{about_case, name_of};
use super::step::Step;
use crate::case::{self, IncomingResult, ResultEffect, Version};
use crate::model::{
    AgencyCode, Application, Case, ConversationId, Document, ErrorCode, PartyKey, PartyKind, Payload,
    ResultDocument,
};
use crate::routing::EnvelopeRule;
use crate::store::{CaseWrite, CorrelationKey, Versioned};
use crate::telemetry::EventCode;

pub(super) fn result(inbound: &Inbound<'_>, rule: &EnvelopeRule) -> Decided {
    let (payload, document) = subject(inbound)?;
    let Document::Result(document) = document else {
        let text = "the first document of this Action is no requirement result";
        return Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
    };
    let incoming = IncomingResult {
        document,
        digest: payload.digest,
        key: inbound.key,
        received_at: inbound.arrival.received_at,
    };
    let view = inbound.desk.view;
    let numbered = CorrelationKey::Result(inbound.key.sender.clone(), document.number.clone());
    let holder = view.taken.get(&numbered);
    match answered(inbound, document.application.as_ref()) {
        Answered::Contradiction(reason) => Err(Decline::Quarantine(reason)),
        Answered::Application(stored, index, version) => {
            if holder.is_some_and(|holder| *holder != stored.value.id) {
                return Err(Decline::Quarantine(number_is_taken(document)));
            }
            for_application(inbound, rule, stored, (index, version), payload, incoming)
        }
        Answered::Nothing => match (holder, &view.case) {
            (None, _) if inbound.desk.realm().is_practice() => {
                Err(Decline::Quarantine("in practice, a result for no application that we know".to_owned()))
            }
            (None, _) => Ok(unasked(inbound, rule, incoming)),
            (Some(holder), Some(stored)) if *holder == stored.value.id => {
                let of_sender = |a: &Application| a.party == inbound.key.sender;
                match stored.value.applications.iter().position(of_sender) {
                    Some(index) => {
                        for_application(inbound, rule, stored, (index, Version::Current), payload, incoming)
                    }
                    None => Err(Decline::Quarantine(number_is_taken(document))),
                }
            }
            (Some(_), _) => Err(Decline::Quarantine(number_is_taken(document))),
        },
    }
}

fn number_is_taken(document: &ResultDocument) -> String {
    format!("result number {} was used before, for something else", document.number)
}

fn for_application(
    inbound: &Inbound<'_>,
    rule: &EnvelopeRule,
    stored: &Versioned<Case>,
    (index, version): (usize, Version),
    payload: &Payload,
    incoming: IncomingResult<'_>,
) -> Decided {
    let desk = inbound.desk;
    let document = incoming.document;
    let mut changed = stored.value.clone();
    let refuse = |text: String| Err(Decline::refuse(ErrorCode::Inconsistent, at(payload), text));
    let effect = case::apply_result(&mut changed, index, version, incoming);
    let is_former = effect == ResultEffect::FormerVersion;
    let application = &changed.applications[index];
    let number = application.number.as_deref().unwrap_or_default();
    let what = match effect {
        ResultEffect::Decided(outcome) => format!("it is {}", outcome.as_str()),
        ResultEffect::FormerVersion => "it answers a version that was replaced, nothing changes".to_owned(),
        ResultEffect::Partial => "some of its items are not decided yet".to_owned(),
        ResultEffect::Repeated => {
            let mut step = accept(inbound, Some(&changed.id));
            let text = format!("result {} came before; nothing changes", document.number);
            step.audit.push(about_case(
                entry(desk.now, EventCode::ApplicationResult, text),
                inbound,
                &changed.id,
            ));
            return Ok(step);
        }
        ResultEffect::OtherOctets => return Err(Decline::Quarantine(number_is_taken(document))),
        ResultEffect::UnknownItems(items) => {
            let items: Vec<_> = items.iter().map(u16::to_string).collect();
            return refuse(format!("application {number} has no item {}", items.join(", ")));
        }
        ResultEffect::OtherDocument => {
            return refuse(format!("application {number} is answered by {}", application.result));
        }
    };
    let (agency, code) = (&application.agency, &application.document);
    let text = format!("{agency} decided {code} {number} ({}): {what}", document.number);
    let decided = entry(desk.now, EventCode::ApplicationResult, text);
    let decided = about_case(decided.alarm_if(is_former), inbound, &changed.id);
    let events = case::settle(&mut changed, desk.now);
    let mut step = accept(inbound, Some(&changed.id));
    step.audit.push(decided);
    step.relay(inbound, &changed, &rule.relay);
    step.tell_join(desk, &changed, &events, Cause::Message(inbound.key));
    step.state_approvals(desk, Some(&stored.value), (&changed, index), document);
    step.case = Some(write(inbound, changed, Some(stored.version), document));
    Ok(step)
}

/// A result that no application here asked for: still relayed.
fn unasked(inbound: &Inbound<'_>, rule: &EnvelopeRule, incoming: IncomingResult<'_>) -> Step {
    let desk = inbound.desk;
    let document = incoming.document;
    let conversation_id = &inbound.arrival.verified.message().header.conversation_id;
    let number = document.application.clone().unwrap_or_else(|| document.number.clone());
    let conversation_id = ConversationId::new(number).unwrap_or_else(|_| conversation_id.clone());
    let agency = agency_code(inbound);
    let applicant = applicant(inbound, document);
    let opened = case::open_result_only(
        ids::case_opened_by(inbound.key),
        agency,
        conversation_id,
        applicant,
        incoming,
    );
    let mut step = accept(inbound, Some(&opened.id));
    let agency = name_of(desk, &inbound.key.sender);
    let text =
        format!("{agency} sent {} {} that no application here asked for", document.code, document.number);
    step.audit.push(about_case(entry(desk.now, EventCode::ResultUnasked, text), inbound, &opened.id));
    step.relay(inbound, &opened, &rule.relay);
    step.state_approvals(desk, None, (&opened, 0), document);
    step.case = Some(write(inbound, opened, None, document));
    step
}

fn write(inbound: &Inbound<'_>, case: Case, based_on: Option<u64>, document: &ResultDocument) -> CaseWrite {
    let number = CorrelationKey::Result(inbound.key.sender.clone(), document.number.clone());
    CaseWrite { case, based_on, correlations: vec![number, CorrelationKey::Received(inbound.key.clone())] }
}

/// The agency by its short name in the registry.
fn agency_code(inbound: &Inbound<'_>) -> AgencyCode {
    let sender = &inbound.key.sender;
    AgencyCode::new(name_of(inbound.desk, sender))
        .or_else(|_| AgencyCode::new(sender.as_str()))
        .expect("a party's key is plain text")
}

/// The registered trader with the business number that the result names.
fn applicant(inbound: &Inbound<'_>, document: &ResultDocument) -> Option<PartyKey> {
    let number = document.applicant.as_ref()?;
    let mut traders = inbound.desk.context.registry.parties_of(PartyKind::Declarant);
    traders.find(|party| party.business_number.as_ref() == Some(number)).map(|party| party.key.clone())
}
