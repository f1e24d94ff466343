//! Which records an event needs: just those that its decision may read or write.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::event::{Arrival, Context, Event, Holding, Refused};
use super::{ids, order, refuse, service, signal, transit};
use crate::model::{
    Asked, AttemptOutcome, Dimension, Document, EvidenceSubject, MessageHeader, MessageKey, MessageKind,
    Month, PartyKind, Realm, SignalAction, Statistics, SyncReplyMode,
};
use crate::routing::Pipeline;
use crate::store::{CorrelationKey, DeliveryLocator, Needs, Opened, Reference};

/// The records that the event needs.
#[must_use]
pub fn needs(event: &Event, context: &Context<'_>) -> Needs {
    match event {
        Event::Arrived(arrival) => match arrival.verified.message().kind {
            MessageKind::User => of_user_message(arrival, context),
            MessageKind::Signal(action) => of_signal(arrival, action),
        },
        Event::Acted { arrival, .. } => of_user_message(arrival, context),
        Event::HandedOn { arrival, sequence } => {
            let sequences = [sequence.clone()].into();
            Needs { sequences, without_answer: true, ..of_user_message(arrival, context) }
        }
        Event::Unopenable { message, sequence, .. } => {
            let (message, sequences) = (Some(message.clone()), [sequence.clone()].into());
            Needs { message, sequences, without_answer: true, ..Needs::default() }
        }
        Event::OrderDue(sequence)
        | Event::GapSettled { sequence, .. }
        | Event::Forgotten { sequence, .. } => {
            Needs { sequences: [sequence.clone()].into(), ..Needs::default() }
        }
        Event::InTransit(in_transit) => transit::needs(in_transit),
        Event::Refused(refused) => of_refused(refused),
        Event::Due(id) => Needs {
            delivery: Some(DeliveryLocator::Id(id.clone())),
            case_of_delivery: true,
            sealed: true,
            parts_of_delivery: true,
            ..Needs::default()
        },
        Event::Again { delivery, .. } | Event::Withheld { delivery, .. } => {
            Needs { delivery: Some(DeliveryLocator::Id(delivery.clone())), ..Needs::default() }
        }
        Event::Settled { delivery, .. } => Needs {
            delivery: Some(DeliveryLocator::Id(delivery.clone())),
            case_of_delivery: true,
            ..Needs::default()
        },
        Event::Purged { subject, .. } => needs_of_purge(subject),
        Event::Holding { on: Holding::Case(id), .. } => {
            Needs { case: vec![CorrelationKey::Case(id.clone())], ..Needs::default() }
        }
        Event::Holding { on: Holding::Message(key), .. } => {
            Needs { message: Some(key.clone()), without_answer: true, ..Needs::default() }
        }
        Event::Holding { on: Holding::Delivery(id), .. } => {
            Needs { delivery: Some(DeliveryLocator::Id(id.clone())), ..Needs::default() }
        }
        Event::Announced(_) => Needs::default(),
        Event::ApprovalDue(key) => {
            Needs { approval_due: Some(key.clone()), approvals_of_case: true, ..Needs::default() }
        }
        Event::CaseDue(id)
        | Event::PaymentDue(id)
        | Event::Charged { case: id, .. }
        | Event::Hurried { case: id, .. } => {
            Needs { case: vec![CorrelationKey::Case(id.clone())], ..Needs::default() }
        }
        Event::Fetched { delivery, .. } => Needs {
            delivery: Some(DeliveryLocator::Id(delivery.clone())),
            sealed: true,
            parts_of_delivery: true,
            ..Needs::default()
        },
        Event::Confirmed { delivery, .. } => Needs {
            delivery: Some(DeliveryLocator::Id(delivery.clone())),
            sealed: true,
            case_of_delivery: true,
            ..Needs::default()
        },
        Event::Unsealable { delivery, .. } | Event::Damaged { delivery, .. } => {
            Needs { delivery: Some(DeliveryLocator::Id(delivery.clone())), ..Needs::default() }
        }
        // The receipt decides.
        Event::Attempted { outcome: AttemptOutcome::Taken, awaits_receipt: true, .. } => Needs::default(),
        // Only its bad end is told of.
        Event::Attempted { delivery, outcome, .. } => Needs {
            delivery: Some(DeliveryLocator::Id(delivery.clone())),
            case_of_delivery: matches!(
                outcome,
                AttemptOutcome::GiveUp { .. } | AttemptOutcome::Unserved { .. }
            ),
            ..Needs::default()
        },
    }
}

/// What says whether the octets of a message are to go.
#[must_use]
pub fn needs_of_purge(subject: &EvidenceSubject) -> Needs {
    let needs = Needs {
        answered: true,
        case_of_message: true,
        case_of_delivery: true,
        open_of_case: true,
        ..Needs::default()
    };
    match subject {
        EvidenceSubject::Received(key) => Needs { message: Some(key.clone()), ..needs },
        EvidenceSubject::Sent { delivery, .. } => {
            Needs { delivery: Some(DeliveryLocator::Id(delivery.clone())), ..needs }
        }
    }
}

/// The delivery is the answer, should it have travelled by itself: a repeat sends it again. So does the refusal of
/// other content under this key. And a delivery of ours that the message acknowledges.
fn of_user_message(arrival: &Arrival, context: &Context<'_>) -> Needs {
    let key = arrival.key();
    let rule = context.envelope(&arrival.verified);
    let message = arrival.verified.message();
    let header = &message.header;
    let (service, action) = (&header.service.value, &header.action);
    let agreement = context.registry.agreement_to_receive(&header.cpa_id, service, action);
    let by_itself = agreement.is_some_and(|agreement| agreement.sync_reply_mode == SyncReplyMode::None);
    let asked = rule.filter(|rule| rule.pipeline == Pipeline::Query).and_then(|_| asked(arrival));
    Needs {
        realm: context.realm_of(arrival),
        refers_to: refers_to(arrival, context),
        wanted: match asked {
            Some(Asked::Redelivery(message_id)) => Some(DeliveryLocator::Sent {
                destination: key.sender.clone(),
                message_id: message_id.clone(),
            }),
            _ => None,
        },
        named: match asked {
            Some(Asked::Status(key)) => Some(key.clone()),
            _ => None,
        },
        statistics: match asked {
            Some(Asked::Statistics(month)) => own_statistics(arrival, context, *month),
            _ => None,
        },
        delivery: Some(DeliveryLocator::Id(ids::answer_to(&key))),
        refusal: by_itself.then(|| refuse::id_by_content(&arrival.verified)),
        acknowledged: signal::piggybacked(message).map(|acknowledgment| DeliveryLocator::Sent {
            destination: key.sender.clone(),
            message_id: acknowledgment.ref_to_message_id.clone(),
        }),
        versions: header.data.ref_to_message_id.is_none()
            && rule.is_some_and(|rule| {
                matches!(rule.pipeline, Pipeline::Result | Pipeline::Notice | Pipeline::Fee)
            }),
        approvals: rule.map(|rule| approvals(rule.pipeline, arrival)).unwrap_or_default(),
        approvals_of_case: rule.is_some_and(|rule| {
            let moves = [
                Pipeline::Application,
                Pipeline::Result,
                Pipeline::Amend,
                Pipeline::Withdraw,
                Pipeline::CustomsNotice,
            ];
            moves.contains(&rule.pipeline)
        }),
        case: rule.map(|rule| keys_of_case(rule.pipeline, arrival, header, &key)).unwrap_or_default(),
        message: Some(key),
        sequences: order::key_of(arrival, context).into_iter().collect(),
        ..Needs::default()
    }
}

/// The message that this one refers to. What a broker says about a rehearsal under the agreement that he has is told
/// from production by it; a lodging says for itself what it is.
fn refers_to(arrival: &Arrival, context: &Context<'_>) -> Option<Reference> {
    let by = arrival.verified.party().clone();
    let message_id = arrival.verified.message().header.data.ref_to_message_id.clone()?;
    let is_declarant = context.registry.party(&by).is_some_and(|party| party.kind == PartyKind::Declarant);
    let is_lodging = matches!(arrival.documents.subject(), Some((_, Document::Declaration(_))));
    Some(Reference { by, message_id, leads: is_declarant && !is_lodging })
}

/// What a query asks.
fn asked(arrival: &Arrival) -> Option<&Asked> {
    match arrival.documents.subject() {
        Some((_, Document::Query(query))) => Some(&query.asks),
        _ => None,
    }
}

/// The sender's own applications of a month, or of the running one, by agency and document.
fn own_statistics(
    arrival: &Arrival,
    context: &Context<'_>,
    month: Option<Month>,
) -> Option<(Opened, Statistics)> {
    let zone = context.rules.time_zone();
    let month = month.unwrap_or_else(|| Month::of(arrival.received_at, zone));
    let (from, until) = month.span(zone)?;
    let opened =
        Opened { realm: Realm::Production, from, until, submitter: Some(arrival.verified.party().clone()) };
    Some((opened, Statistics::new(vec![Dimension::Agency, Dimension::Document], zone.clone())))
}

/// Numbers of approvals that lines of a declaration cite, or that a result states or takes back.
fn approvals(pipeline: Pipeline, arrival: &Arrival) -> BTreeSet<Arc<str>> {
    let mut numbers = BTreeSet::new();
    for (_, document) in arrival.documents.documents() {
        match (pipeline, document) {
            (Pipeline::Lodge | Pipeline::Amend, Document::Declaration(declaration)) => {
                let cited = declaration.lines.iter().flat_map(|line| &line.requirements);
                numbers.extend(cited.map(|row| row.number.clone()));
            }
            (Pipeline::Result, Document::Result(result)) => {
                let stated = result.items.iter();
                numbers.extend(stated.map(|item| item.approval.as_ref().unwrap_or(&result.number).clone()));
            }
            _ => {}
        }
    }
    numbers
}

fn keys_of_case(
    pipeline: Pipeline,
    arrival: &Arrival,
    header: &MessageHeader,
    key: &MessageKey,
) -> Vec<CorrelationKey> {
    let sender = &key.sender;
    let conversation = CorrelationKey::Conversation(sender.clone(), header.conversation_id.clone());
    let sent = header.data.ref_to_message_id.clone().map(CorrelationKey::Sent);
    let subject = arrival.documents.subject().map(|(_, document)| document);
    let application = |number: &Option<_>| number.clone().map(CorrelationKey::Application);
    match (pipeline, subject) {
        (Pipeline::Lodge, _) => {
            let numbers = arrival.documents.documents().filter_map(|(_, document)| match document {
                Document::Declaration(d) => Some(CorrelationKey::Declaration(d.number.clone())),
                Document::Application(a) => Some(CorrelationKey::Application(a.number.clone())),
                _ => None,
            });
            numbers.collect()
        }
        (Pipeline::Application, Some(Document::Application(document))) => {
            vec![conversation, CorrelationKey::Application(document.number.clone())]
        }
        (Pipeline::Result, Some(Document::Result(document))) => {
            let result = CorrelationKey::Result(sender.clone(), document.number.clone());
            let answered = sent.into_iter().chain(application(&document.application));
            answered.chain([conversation, result]).collect()
        }
        (Pipeline::Notice, Some(Document::Notice(document))) => {
            sent.into_iter().chain(application(&document.application)).chain([conversation]).collect()
        }
        (Pipeline::Fee, Some(Document::FeeNotice(document))) => {
            let fee = CorrelationKey::Fee(sender.clone(), document.number.clone());
            sent.into_iter()
                .chain([CorrelationKey::Application(document.application.clone()), conversation, fee])
                .collect()
        }
        (Pipeline::Payment, Some(Document::PaymentOrder(document))) => {
            vec![CorrelationKey::Application(document.application.clone())]
        }
        (Pipeline::Amend, Some(Document::Change(document))) => {
            let applications = arrival.documents.documents().filter_map(|(_, document)| match document {
                Document::Application(application) => Some(application.number.clone()),
                _ => None,
            });
            let declaration = CorrelationKey::Declaration(document.declaration.clone());
            std::iter::once(declaration).chain(applications.map(CorrelationKey::Application)).collect()
        }
        (Pipeline::Withdraw, Some(Document::Change(document))) => {
            vec![CorrelationKey::Declaration(document.declaration.clone())]
        }
        (Pipeline::CustomsNotice, Some(Document::Customs(document))) => {
            vec![CorrelationKey::Declaration(document.declaration.clone())]
        }
        _ => Vec::new(),
    }
}

/// The delivery that the signal is about, with what its signature covers; an error may end it, which its case
/// hears of. Of a question its answer, should it have travelled by itself before; and the message that it asks about.
fn of_signal(arrival: &Arrival, action: SignalAction) -> Needs {
    let (message, party) = (arrival.verified.message(), arrival.verified.party());
    let delivery = match action {
        SignalAction::Acknowledgment | SignalAction::MessageError => {
            signal::answered(message).map(|message_id| DeliveryLocator::Sent {
                destination: party.clone(),
                message_id: message_id.clone(),
            })
        }
        SignalAction::Ping | SignalAction::StatusRequest => {
            Some(DeliveryLocator::Id(refuse::id_by_content(&arrival.verified)))
        }
        SignalAction::Pong | SignalAction::StatusResponse => None,
    };
    Needs {
        // A message to us; or one for somebody else, which is a delivery.
        wanted: service::asked_about(arrival)
            .map(|about| DeliveryLocator::Id(ids::passed_on(&about.sender, &about.message_id))),
        message: service::asked_about(arrival),
        delivery,
        sealed: !message.acknowledgments.is_empty(),
        case_of_delivery: action == SignalAction::MessageError,
        ..Needs::default()
    }
}

/// The delivery is the error message, should it have travelled by itself before.
fn of_refused(refused: &Refused) -> Needs {
    let id = refuse::id_of(refused);
    Needs { delivery: id.map(DeliveryLocator::Id), ..Needs::default() }
}
