//! Deliveries that come into being: to whom, under which agreement, with which parts.

use std::sync::Arc;

use super::audit::{self, About as _, entry};
use super::decide::{Desk, Inbound};
use super::enclose::conversation_of;
use super::ids;
use super::step::{DeliveryDraft, Octets, Step};
use crate::case::{ReportEvent, status_report, status_report_for_agency};
use crate::codec::document::write_status_report;
use crate::model::{
    Agreement, Case, CaseId, ConversationId, CpaId, Delivery, DeliveryId, DeliveryPurpose, DeliveryState,
    Direction, DocumentCode, MessageId, MessageKey, Part, PartSource, PartyKey, Payload, Service,
    StatusReport, TimelineEntry, role_of_document_code,
};
use crate::msh::{service_to_send, set_out};
use crate::routing::Addressee;
use crate::telemetry::EventCode;

/// What a delivery is to carry, and where.
pub(super) struct Owed<'a> {
    pub(super) id: DeliveryId,
    pub(super) case: Option<&'a CaseId>,
    pub(super) purpose: DeliveryPurpose,
    pub(super) to: &'a PartyKey,
    /// The agreement that a rule names; else the one that lets this Service and Action go to that party.
    pub(super) cpa_id: Option<&'a CpaId>,
    pub(super) conversation_id: ConversationId,
    pub(super) ref_to_message_id: Option<MessageId>,
    pub(super) service: &'a str,
    pub(super) action: &'a str,
    pub(super) parts: Vec<Part>,
}

impl Step {
    /// Adds a delivery, due at once. Without an agreement it is quarantined where it stands, for an operator.
    pub(super) fn owe(&mut self, desk: Desk<'_>, owed: Owed<'_>) {
        let registry = desk.context.registry;
        let realm = desk.realm();
        let fits = |a: &&Agreement| {
            a.partner == *owed.to
                && registry.serves(a, realm)
                && a.allows(Direction::Send, owed.service, owed.action)
        };
        let named = owed.cpa_id.and_then(|id| registry.agreement(id)).filter(fits);
        let named = named.filter(|agreement| agreement.in_force(desk.now));
        let named = named.map(|agreement| agreement.on(Direction::Send, owed.service, owed.action));
        let newest = || registry.agreement_to_send(realm, owed.to, owed.service, owed.action, desk.now);
        let agreement = named.or_else(newest);
        let delivery = delivery(desk, owed, agreement);
        self.add_delivery(desk, delivery, Octets::Kept);
    }

    /// Adds a delivery with the entry that the conservation law counts it by (P2).
    pub(super) fn add_delivery(&mut self, desk: Desk<'_>, delivery: Delivery, octets: Octets) {
        let entry = if delivery.state == DeliveryState::Quarantined {
            entry(desk.now, EventCode::DeliveryQuarantined, &delivery.reason).alarm_if(true)
        } else {
            self.wake.insert(delivery.destination.clone());
            let (action, to) = (&delivery.action, name_of(desk, &delivery.destination));
            entry(desk.now, EventCode::DeliveryCreated, format!("{action} is owed to {to}"))
        };
        self.audit.push(entry.of_delivery(&delivery));
        if delivery.state == DeliveryState::Delivered {
            let told = audit::entry(desk.now, EventCode::DeliveryDelivered, &delivery.reason);
            self.audit.push(told.of_delivery(&delivery));
        }
        self.deliveries.push(DeliveryDraft { delivery, based_on: None, octets });
    }

    /// Adds a status report to a party about an event of the case.
    pub(super) fn report(&mut self, desk: Desk<'_>, case: &Case, event: ReportEvent, to: Addressee) {
        let Some(party) = addressee(desk, case, to) else { return };
        let Some(report) = status_report(case, event, desk.now) else { return };
        self.owe_report(desk, case, &report, party, conversation(case, to));
    }

    /// Adds a status report to the agency of an application, about that application alone.
    pub(super) fn report_to_agency(&mut self, desk: Desk<'_>, case: &Case, event: ReportEvent, index: usize) {
        let Some(report) = status_report_for_agency(case, event, index, desk.now) else { return };
        let application = &case.applications[index];
        let answers = application.sent_as.clone();
        let conversation = conversation_of(case, application);
        self.owe_report(desk, case, &report, &application.party, (conversation, answers));
    }

    fn owe_report(
        &mut self,
        desk: Desk<'_>,
        case: &Case,
        report: &StatusReport,
        party: &PartyKey,
        (conversation_id, ref_to_message_id): (ConversationId, Option<MessageId>),
    ) {
        let code = DocumentCode::new(STATUS_REPORT).expect("the code is plain text");
        let id = ids::report(&case.id, &report.number, party);
        let part = Part {
            content_id: ids::content_id(&id, &desk.context.own.domain),
            media_type: "application/xml".into(),
            role: Some(role_of_document_code(&code).into()),
            source: PartSource::Made(write_status_report(report).into()),
        };
        self.owe(
            desk,
            Owed {
                id,
                case: Some(&case.id),
                purpose: DeliveryPurpose::StatusReport,
                to: party,
                cpa_id: None,
                conversation_id,
                ref_to_message_id,
                service: STATUS,
                action: STATUS_REPORT,
                parts: vec![part],
            },
        );
    }

    /// Passes every payload of a message on, octet for octet, to those that the rule names (P6).
    pub(super) fn relay(&mut self, inbound: &Inbound<'_>, case: &Case, to: &[Addressee]) {
        let desk = inbound.desk;
        let message = inbound.arrival.verified.message();
        let Some(first) = message.payloads.first() else { return };
        for to in to {
            let Some(party) = addressee(desk, case, *to) else { continue };
            let (conversation_id, ref_to_message_id) = conversation(case, *to);
            self.owe(
                desk,
                Owed {
                    id: ids::forwarded("relay", inbound.key, &first.content_id, party),
                    case: Some(&case.id),
                    purpose: DeliveryPurpose::Relay,
                    to: party,
                    cpa_id: None,
                    conversation_id,
                    ref_to_message_id,
                    service: &message.header.service.value,
                    action: &message.header.action,
                    parts: message.payloads.iter().map(|payload| received(inbound.key, payload)).collect(),
                },
            );
        }
    }
}

/// The Service that status reports travel under.
pub(super) const STATUS: &str = "Status";
/// Their Action.
pub(super) const STATUS_REPORT: &str = "GOVCBRXS2";

fn delivery(desk: Desk<'_>, owed: Owed<'_>, agreement: Option<&Agreement>) -> Delivery {
    let service = match agreement {
        Some(agreement) => service_to_send(agreement, owed.service, owed.action),
        None => Service { value: owed.service.into(), kind: None },
    };
    let reason = match agreement {
        Some(_) => String::new(),
        None => format!("no agreement lets {} {} go to {}", owed.service, owed.action, owed.to),
    };
    let delivery = Delivery {
        message_id: desk.context.own.message_id(&owed.id),
        id: owed.id,
        realm: desk.realm(),
        case: owed.case.cloned(),
        purpose: owed.purpose,
        destination: owed.to.clone(),
        cpa_id: agreement.map_or_else(no_agreement, |agreement| agreement.cpa_id.clone()),
        conversation_id: owed.conversation_id,
        ref_to_message_id: owed.ref_to_message_id,
        service,
        action: owed.action.into(),
        parts: owed.parts,
        created_at: desk.now,
        expires_at: agreement.map_or(desk.now, |a| desk.now.plus(a.reliability.time_to_live)),
        state: DeliveryState::Quarantined,
        attempts: 0,
        due: desk.now,
        sealed: false,
        mailbox: false,
        order: None,
        again: 0,
        unsent: 0,
        hold: None,
        purged: None,
        reason,
    };
    match agreement {
        Some(agreement) => set_out(delivery, agreement, desk.now),
        None => delivery,
    }
}

fn no_agreement() -> CpaId {
    CpaId::new("none").expect("the text is plain")
}

/// A payload of a received message as a part of a delivery, under the name that it came with, which documents may
/// name it by; a Content-Location or careless Content-ID that is no name in a field of ours is replaced there.
pub(super) fn received(key: &MessageKey, payload: &Payload) -> Part {
    let known_as = &payload.content_id;
    let sendable = known_as.stands_in_brackets();
    Part {
        content_id: if sendable { known_as.clone() } else { ids::content_id_for(key, known_as) },
        media_type: payload.media_type.clone(),
        role: payload.role.clone(),
        source: PartSource::Received {
            message: key.clone(),
            content_id: payload.content_id.clone(),
            digest: payload.digest,
        },
    }
}

/// The customs system of the realm.
pub(super) fn customs<'a>(desk: Desk<'a>) -> Option<&'a PartyKey> {
    desk.context.registry.customs(desk.realm()).map(|party| &party.key)
}

fn addressee<'a>(desk: Desk<'a>, case: &'a Case, to: Addressee) -> Option<&'a PartyKey> {
    match to {
        Addressee::Applicant => case.submitter.as_ref(),
        Addressee::Customs => customs(desk),
    }
}

/// The conversation that an addressee knows the case by, and the message in it that is answered.
fn conversation(case: &Case, to: Addressee) -> (ConversationId, Option<MessageId>) {
    let lodged = case.declaration.as_ref();
    match (to, lodged) {
        (Addressee::Applicant, Some(_)) => {
            (case.conversation_id.clone(), Some(case.opened_by.message_id.clone()))
        }
        (Addressee::Customs, Some(number)) => {
            let conversation = ConversationId::new(number.clone());
            (conversation.unwrap_or_else(|_| case.conversation_id.clone()), case.declared_as.clone())
        }
        (_, None) => (case.conversation_id.clone(), None),
    }
}

/// A party's short name for people.
pub(super) fn name_of(desk: Desk<'_>, party: &PartyKey) -> Arc<str> {
    desk.context.registry.party(party).map_or_else(|| party.clone().into(), |party| party.name.clone())
}

/// Entries for what a step did to a case, about the message that caused it.
pub(super) fn about_case(entry: TimelineEntry, inbound: &Inbound<'_>, case: &CaseId) -> TimelineEntry {
    entry.of_message(inbound.key).of_case(case)
}
