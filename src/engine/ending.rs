//! A delivery ended badly: the submitter hears of it in the same commit, and the application says so (P9; ebMS
//! 2.0, 6.5.7; docs/states.md).

use super::arrival::signal_delivery;
use super::audit::{About as _, entry};
use super::decide::Desk;
use super::ids;
use super::step::{DeliveryDraft, Draft, Octets, Step};
use crate::case::{self, DeliveryEnd};
use crate::model::{
    Agreement, Case, Delivery, DeliveryPurpose, DeliveryState, EbxmlError, ErrorCode, MessageData,
    MessageHeader, MessageKey, PartSource, PartyKey, Service, Severity,
};
use crate::msh::message_error;
use crate::store::CaseWrite;
use crate::telemetry::EventCode;

/// The step that writes a delivery in its bad end.
pub(super) fn ended(desk: Desk<'_>, delivery: Delivery, based_on: u64, end: DeliveryEnd) -> Step {
    let mut step = Step::default();
    let event = match end {
        DeliveryEnd::Rejected => EventCode::DeliveryRejected,
        DeliveryEnd::Expired => EventCode::DeliveryExpired,
    };
    step.audit.push(entry(desk.now, event, &delivery.reason).of_delivery(&delivery).alarm_if(true));
    if let DeliveryPurpose::Transit { from, acknowledged: true, .. } = &delivery.purpose {
        step.tell_sender(desk, from, &delivery);
    }
    // What was sent anew after its end has been told of before.
    if let Some(stored) = desk.view.case.as_ref().filter(|_| delivery.again == 0) {
        let is_handed_on = matches!(
            delivery.purpose,
            DeliveryPurpose::Declaration
                | DeliveryPurpose::Application { .. }
                | DeliveryPurpose::Cancellation { .. }
        );
        if is_handed_on {
            step.tell_submitter(desk, &stored.value, &delivery);
        }
        if let DeliveryPurpose::Application { index } = delivery.purpose {
            let mut changed = stored.value.clone();
            let current = changed
                .applications
                .get_mut(index)
                .filter(|a| a.sent_as.as_ref() == Some(&delivery.message_id));
            if current.is_some_and(|application| case::end_of_delivery(application, end)) {
                let based_on = Some(stored.version);
                step.case = Some(CaseWrite { case: changed, based_on, correlations: Vec::new() });
            }
        }
    }
    step.deliveries.push(DeliveryDraft { delivery, based_on: Some(based_on), octets: Octets::Kept });
    step
}

impl Step {
    /// A MessageError DeliveryFailure about the message that the delivery came from: under its agreement and in its
    /// conversation, as long as that agreement is in force. It is a Warning where only the receipt is missing (4.2.3.4.2).
    fn tell_submitter(&mut self, desk: Desk<'_>, case: &Case, delivery: &Delivery) {
        let Some(submitter) = &case.submitter else { return };
        let registry = desk.context.registry;
        let serves = |a: &&Agreement| {
            a.partner == *submitter && registry.serves(a, case.realm) && a.in_force(desk.now)
        };
        let cause = desk.view.cause.as_ref().map(|record| &record.header);
        let own = cause.and_then(|header| registry.agreement(&header.cpa_id)).filter(serves);
        let others = registry.agreements().filter(serves);
        let Some(agreement) = own.or_else(|| others.min_by_key(|a| a.practice != case.realm.is_practice()))
        else {
            let text = format!(
                "{submitter} cannot be told that {} failed: no agreement is in force",
                delivery.action
            );
            self.audit
                .push(entry(desk.now, EventCode::DeliveryQuarantined, text).of_case(&case.id).alarm_if(true));
            return;
        };
        let id = ids::failure_of(&delivery.id);
        let text = format!("{} for {}: {}", delivery.action, delivery.destination, delivery.reason);
        let severity = match delivery.state {
            DeliveryState::Expired if delivery.may_have_arrived() => Severity::Warning,
            _ => Severity::Error,
        };
        let failure = EbxmlError::new(ErrorCode::DeliveryFailure, location(delivery), text);
        let failure = EbxmlError { severity, ..failure };
        let original = match cause {
            Some(header) if header.cpa_id == agreement.cpa_id => header.clone(),
            Some(header) => MessageHeader {
                from: agreement.partner(),
                to: agreement.own(),
                cpa_id: agreement.cpa_id.clone(),
                ..header.clone()
            },
            None => header_of(agreement, case, delivery.caused_by(submitter).unwrap_or(&case.opened_by)),
        };
        let message_id = desk.context.own.message_id(&id);
        let message = message_error(&original, &agreement.own(), message_id, vec![failure], desk.now);
        let mut signal = signal_delivery(desk, id, agreement, submitter.clone(), &message);
        signal.case = Some(case.id.clone());
        let signing = Some(agreement.signature.own);
        self.add_delivery(desk, signal, Octets::Made(Box::new(Draft { message, signing })));
    }
}

impl Step {
    /// The same to the party whose message could not be passed on (ebMS 2.0, 10.1.5).
    fn tell_sender(&mut self, desk: Desk<'_>, from: &PartyKey, delivery: &Delivery) {
        let Some(agreement) = desk.context.registry.agreement_to_forward(from, desk.now) else { return };
        let id = ids::failure_of(&delivery.id);
        let text = format!("for {}: {}", delivery.destination, delivery.reason);
        let error = EbxmlError::new(ErrorCode::DeliveryFailure, None, text);
        let original = MessageHeader {
            from: agreement.partner(),
            to: agreement.own(),
            cpa_id: agreement.cpa_id.clone(),
            conversation_id: delivery.conversation_id.clone(),
            service: delivery.service.clone(),
            action: delivery.action.clone(),
            data: MessageData {
                message_id: delivery.message_id.clone(),
                timestamp: delivery.created_at,
                ref_to_message_id: None,
                time_to_live: None,
            },
            duplicate_elimination: false,
            descriptions: Vec::new(),
        };
        let message_id = desk.context.own.message_id(&id);
        let message = message_error(&original, &agreement.own(), message_id, vec![error], desk.now);
        let signal = signal_delivery(desk, id, agreement, from.clone(), &message);
        let signing = Some(agreement.signature.own);
        self.add_delivery(desk, signal, Octets::Made(Box::new(Draft { message, signing })));
    }
}

/// The document that was not delivered.
fn location(delivery: &Delivery) -> Option<String> {
    delivery.parts.first().map(|part| match &part.source {
        PartSource::Received { content_id, .. } => content_id.uri(),
        _ => part.content_id.uri(),
    })
}

/// The header of a submitter's message that cannot be read any more, as far as an answer to it needs it.
fn header_of(agreement: &Agreement, case: &Case, key: &MessageKey) -> MessageHeader {
    MessageHeader {
        from: agreement.partner(),
        to: agreement.own(),
        cpa_id: agreement.cpa_id.clone(),
        conversation_id: case.conversation_id.clone(),
        service: Service::msh(),
        action: "".into(),
        data: MessageData {
            message_id: key.message_id.clone(),
            timestamp: case.opened_at,
            ref_to_message_id: None,
            time_to_live: None,
        },
        duplicate_elimination: false,
        descriptions: Vec::new(),
    }
}
