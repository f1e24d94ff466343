//! Acknowledgments and error messages: made for what we receive, judged for what we sent (ebMS 2.0, 6.3.2,
//! 6.5.3, 4.2; P4).

use crate::model::{
    Acknowledgment, Actor, Agreement, DigestReference, EbxmlError, ErrorList, Message, MessageData,
    MessageHeader, MessageId, MessageKind, PartyRef, Service, SignalAction, Timestamp,
};

/// The acknowledgment of a message received at `received_at`, with the references of its signature when a
/// signed one was asked for (non-repudiation of receipt, 6.3.2.5).
#[must_use]
pub fn acknowledge(
    message: &Message,
    own: &PartyRef,
    message_id: MessageId,
    signed: bool,
    received_at: Timestamp,
) -> Message {
    let mut signal = answer(&message.header, own, SignalAction::Acknowledgment, message_id, received_at);
    signal.acknowledgments.push(Acknowledgment {
        actor: Actor::ToPartyMsh,
        timestamp: received_at,
        ref_to_message_id: message.header.data.message_id.clone(),
        from: own.ids.clone(),
        references: if signed { message.references.clone() } else { Vec::new() },
    });
    signal
}

/// What the next MSH on the way owes of a message, when it is us (ebMS 2.0, 6.3.1, 10.1.4; digest, 15): an
/// Acknowledgment that has the actor of its AckRequested, and says in From who gives it. A signed one has the references
/// of the message, and travels alone: its signature has other transforms than what else is signed.
#[must_use]
pub fn acknowledge_hop(
    message: &Message,
    own: &PartyRef,
    message_id: MessageId,
    signed: bool,
    received_at: Timestamp,
) -> Message {
    let mut signal = answer(&message.header, own, SignalAction::Acknowledgment, message_id, received_at);
    signal.acknowledgments.push(of_hop(message, own, signed, received_at));
    signal
}

/// The same without a signature, added to what the To Party gives, when we are both: in one message, under a signature
/// that leaves it out.
#[must_use]
pub fn acknowledge_hop_beside(
    given: Message,
    message: &Message,
    own: &PartyRef,
    received_at: Timestamp,
) -> Message {
    let mut acknowledgments = given.acknowledgments;
    acknowledgments.push(of_hop(message, own, false, received_at));
    Message { acknowledgments, ..given }
}

fn of_hop(message: &Message, own: &PartyRef, signed: bool, received_at: Timestamp) -> Acknowledgment {
    Acknowledgment {
        actor: Actor::NextMsh,
        timestamp: received_at,
        ref_to_message_id: message.header.data.message_id.clone(),
        from: own.ids.clone(),
        references: if signed { message.references.clone() } else { Vec::new() },
    }
}

/// The MessageError that answers the message with this header.
#[must_use]
pub fn message_error(
    header: &MessageHeader,
    own: &PartyRef,
    message_id: MessageId,
    errors: Vec<EbxmlError>,
    now: Timestamp,
) -> Message {
    let mut signal = answer(header, own, SignalAction::MessageError, message_id, now);
    signal.error_list = Some(ErrorList { errors });
    signal
}

/// A signal in answer to a header: the same agreement and conversation, parties and roles swapped (digest, 6).
pub(super) fn answer(
    header: &MessageHeader,
    own: &PartyRef,
    action: SignalAction,
    message_id: MessageId,
    now: Timestamp,
) -> Message {
    Message {
        header: MessageHeader {
            from: own.clone(),
            to: PartyRef { ids: header.from.ids.clone(), role: header.from.role.clone() },
            cpa_id: header.cpa_id.clone(),
            conversation_id: header.conversation_id.clone(),
            service: Service::msh(),
            action: action.as_str().into(),
            data: MessageData {
                message_id,
                timestamp: now,
                ref_to_message_id: Some(header.data.message_id.clone()),
                time_to_live: None,
            },
            duplicate_elimination: false,
            descriptions: Vec::new(),
        },
        kind: MessageKind::Signal(action),
        sync_reply: false,
        order: None,
        ack_requested: Vec::new(),
        acknowledgments: Vec::new(),
        error_list: None,
        status: None,
        manifest: None,
        payloads: Vec::new(),
        references: Vec::new(),
    }
}

/// Why an acknowledgment completes nothing (P4): the delivery goes on as if it had not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptFault {
    /// A signed acknowledgment was owed.
    #[error("the acknowledgment is not signed, but the agreement demands it")]
    NotSigned,
    /// Its references are not those of what we sent.
    #[error("the acknowledged digests are not those of the message that was sent")]
    OtherDigests,
}

/// Whether a verified acknowledgment says that the very message we sent was received: signed where the
/// agreement demands it, with the multiset of (URI, digest method, digest value) that we signed.
///
/// # Errors
/// [`ReceiptFault`]; the delivery is then retried and the fault shown to operators.
pub fn check_receipt(
    acknowledgment: &Acknowledgment,
    signed: bool,
    agreement: &Agreement,
    sent: &[DigestReference],
) -> Result<(), ReceiptFault> {
    if !agreement.reliability.ack_signed {
        return Ok(());
    }
    if !signed {
        return Err(ReceiptFault::NotSigned);
    }
    if same_digests(&acknowledgment.references, sent) { Ok(()) } else { Err(ReceiptFault::OtherDigests) }
}

fn same_digests(acknowledged: &[DigestReference], sent: &[DigestReference]) -> bool {
    let sorted = |references: &[DigestReference]| {
        let mut keys: Vec<_> =
            references.iter().map(|r| (r.uri.clone(), r.method, r.value.clone())).collect();
        keys.sort();
        keys
    };
    sorted(acknowledged) == sorted(sent)
}
