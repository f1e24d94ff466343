//! What the message layer demands of a verified message before it is accepted: its age and the modules that
//! the agreement binds it to (ebMS 2.0, 3.1.6.4, 4.3.1, 6.3.1, 6.4.1, 9).
//!
//! Identity, signature and structure are behind us here; duplicates are judged before this (a repeat is
//! answered even when its TimeToLive has passed meanwhile).

use std::time::Duration;

use crate::model::{
    AckRequested, Actor, Agreement, Deviation, EbxmlError, ErrorCode, Message, MessageKind, Presence,
    SignalAction, SyncReplyMode, Timestamp,
};

/// How old or how far ahead a Timestamp may be. Older messages might be repeats of ones whose duplicate key
/// is already purged, so they are refused and never taken as new (P3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AgePolicy {
    /// Oldest Timestamp that is accepted, before now.
    pub age_max: Duration,
    /// Furthest Timestamp that is accepted, after now.
    pub skew_max: Duration,
}

impl Default for AgePolicy {
    fn default() -> Self {
        Self { age_max: Duration::from_secs(7 * 86_400), skew_max: Duration::from_secs(300) }
    }
}

const HEADER: &str = "/soap:Envelope/soap:Header";

fn at(path: &str) -> Option<String> {
    Some(format!("{HEADER}/{path}"))
}

/// Whether the sender asked us, the To Party MSH, for an acknowledgment; and if so, for a signed one.
#[must_use]
pub fn wants_acknowledgment(message: &Message) -> Option<bool> {
    message.ack_requested.iter().find(|asked| asked.actor == Actor::ToPartyMsh).map(|asked| asked.signed)
}

/// Everything that is wrong with a message as the agreement and the clock see it; empty when it may be accepted.
///
/// A Ping or a StatusRequest is held to its TimeToLive alone: nothing of it is kept that a repeat could meet. The other
/// signals are answers: no error may go back to one (4.2.4.1), and what it says of a message of ours is true however
/// late it comes, so its TimeToLive ends nothing.
#[must_use]
pub fn check_arrival(
    message: &Message,
    agreement: &Agreement,
    now: Timestamp,
    policy: AgePolicy,
) -> Vec<EbxmlError> {
    let mut errors = Vec::new();
    match message.kind {
        MessageKind::User => {
            check_age(message, now, policy, &mut errors);
            check_modules(message, agreement, &mut errors);
        }
        MessageKind::Signal(SignalAction::Ping | SignalAction::StatusRequest) => {
            errors.extend(expired(message, now));
        }
        MessageKind::Signal(_) => {}
    }
    errors
}

/// What is wrong with asking the next MSH, which is us, for an acknowledgment: an agreement without acknowledgments has
/// none of a hop either. Which kind can be given is told with the answer.
#[must_use]
pub fn check_next_msh(asked: Option<AckRequested>, agreement: &Agreement) -> Option<EbxmlError> {
    let forbidden = agreement.reliability.ack_requested == Presence::Never;
    asked.filter(|_| forbidden).map(|_| {
        let text = "the agreement forbids AckRequested, also of the next MSH";
        EbxmlError::new(ErrorCode::NotSupported, at("eb:AckRequested"), text)
    })
}

/// TimeToLive is the last instant at which the To Party MSH takes a message (3.1.6.4).
fn expired(message: &Message, now: Timestamp) -> Option<EbxmlError> {
    let limit = message.header.data.time_to_live.filter(|limit| now > *limit)?;
    Some(EbxmlError::new(
        ErrorCode::TimeToLiveExpired,
        at("eb:MessageHeader/eb:MessageData/eb:TimeToLive"),
        format!("TimeToLive {limit} had passed when the message arrived at {now}"),
    ))
}

fn check_age(message: &Message, now: Timestamp, policy: AgePolicy, errors: &mut Vec<EbxmlError>) {
    let data = &message.header.data;
    if let Some(error) = expired(message, now) {
        errors.push(error);
    } else if data.timestamp < now.minus(policy.age_max) {
        errors.push(EbxmlError::new(
            ErrorCode::TimeToLiveExpired,
            at("eb:MessageHeader/eb:MessageData/eb:Timestamp"),
            format!("the message of {} is older than is accepted", data.timestamp),
        ));
    }
    if data.timestamp > now.plus(policy.skew_max) {
        errors.push(EbxmlError::new(
            ErrorCode::Inconsistent,
            at("eb:MessageHeader/eb:MessageData/eb:Timestamp"),
            format!("Timestamp {} lies in the future; the time here is {now}", data.timestamp),
        ));
    }
}

fn check_modules(message: &Message, agreement: &Agreement, errors: &mut Vec<EbxmlError>) {
    let mut inconsistent = |path: &str, text: &str| {
        errors.push(EbxmlError::new(ErrorCode::Inconsistent, at(path), text));
    };
    let reliability = &agreement.reliability;
    match (reliability.duplicate_elimination, message.header.duplicate_elimination) {
        (Presence::Always, false) => {
            inconsistent("eb:MessageHeader", "the agreement demands DuplicateElimination");
        }
        (Presence::Never, true) => {
            inconsistent(
                "eb:MessageHeader/eb:DuplicateElimination",
                "the agreement forbids DuplicateElimination",
            );
        }
        _ => {}
    }
    let asked = wants_acknowledgment(message);
    match (reliability.ack_requested, asked) {
        (Presence::Always, None) => inconsistent("eb:MessageHeader", "the agreement demands AckRequested"),
        (Presence::Never, Some(_)) => inconsistent("eb:AckRequested", "the agreement forbids AckRequested"),
        (_, Some(signed)) if signed != reliability.ack_signed && !reliability.ack_signed_per_message => {
            inconsistent("eb:AckRequested", "eb:signed contradicts the agreement");
        }
        _ => {}
    }
    match (reliability.message_order, message.order) {
        (true, None) => inconsistent("eb:MessageHeader", "the agreement demands MessageOrder"),
        (false, Some(_)) => {
            inconsistent("eb:MessageOrder", "the agreement has MessageOrderSemantics NotGuaranteed");
        }
        _ => {}
    }
    let mode = agreement.sync_reply_mode;
    if mode == SyncReplyMode::None && message.sync_reply {
        inconsistent("eb:SyncReply", "the agreement has syncReplyMode none");
    }
    if message.lacks_sync_reply(mode) && !agreement.profile.allows(Deviation::MissingSyncReply) {
        let text = format!("the agreement has syncReplyMode {}: SyncReply is missing", mode.as_str());
        inconsistent("eb:MessageHeader", &text);
    }
}
