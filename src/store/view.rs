//! What a decision may read: the records that an event names, loaded together in one consistent look.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::model::{
    Approval, ApprovalKey, Case, CaseId, ConversationId, Delivery, DeliveryId, MessageId, MessageKey, Octets,
    PartyKey, Realm, Sealed, Sequence, SequenceKey, Statistics, StoredMessage, TimelineEntry,
};

use super::Opened;

/// What an event needs to be decided. The default needs nothing.
#[derive(Clone, Debug, Default)]
pub struct Needs {
    /// Where keys of cases and the text in [`Needs::named`] are looked up.
    pub realm: Realm,
    /// The message that the event refers to: it may be one of the other realm.
    pub refers_to: Option<Reference>,
    /// The message with this key and the answer it got.
    pub message: Option<MessageKey>,
    /// Not that answer, so that its damage keeps nobody from the message.
    pub without_answer: bool,
    /// Keys of the case, tried in order: the first that leads to a case gives [`View::case`].
    pub case: Vec<CorrelationKey>,
    /// A delivery.
    pub delivery: Option<DeliveryLocator>,
    /// The case of that delivery, when no key in `case` leads to one; and the message of its submitter that the delivery
    /// passes on.
    pub case_of_delivery: bool,
    /// The message of its destination that the delivery answers.
    pub answered: bool,
    /// The case of the message, or of the one that the delivery answers, when no key in `case` leads to one.
    pub case_of_message: bool,
    /// A delivery of the case that has not come to an end, when there is one.
    pub open_of_case: bool,
    /// Which applications of the case have been acknowledged in their newest version, of those that have several.
    pub versions: bool,
    /// The octets of that delivery, when it is sealed.
    pub sealed: bool,
    /// The bodies of the received messages that its parts come from.
    pub parts_of_delivery: bool,
    /// The error message that was made before, should this event be the same mistake again.
    pub refusal: Option<DeliveryId>,
    /// The delivery that a message acknowledges beside what it says for itself.
    pub acknowledged: Option<DeliveryLocator>,
    /// The delivery that a partner wants once more.
    pub wanted: Option<DeliveryLocator>,
    /// Numbers of approvals, of whichever agency.
    pub approvals: BTreeSet<Arc<str>>,
    /// The approvals that the case rests on, and those that results of it stated.
    pub approvals_of_case: bool,
    /// An approval whose time has come, and the case that is the next to hear of it.
    pub approval_due: Option<ApprovalKey>,
    /// How far conversations have come.
    pub sequences: BTreeSet<SequenceKey>,
    /// A text that cases are asked for by, as a key of any kind: the newest ones, with what happened to them.
    pub named: Option<Arc<str>>,
    /// Statistics that cases of a span are to be added to.
    pub statistics: Option<(Opened, Statistics)>,
}

/// A message that an event refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Who refers to it: it was sent by this party, or by us.
    pub by: PartyKey,
    /// Its MessageId.
    pub message_id: MessageId,
    /// The event is one of practice when this message was: keys are then looked up there.
    pub leads: bool,
}

/// A key that leads to a case, within a realm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CorrelationKey {
    /// The case itself.
    Case(CaseId),
    /// Declaration number.
    Declaration(Arc<str>),
    /// Application number.
    Application(Arc<str>),
    /// MessageId of a message that we sent.
    Sent(MessageId),
    /// A conversation with a party.
    Conversation(PartyKey, ConversationId),
    /// An agency's result number.
    Result(PartyKey, Arc<str>),
    /// A message that we received.
    Received(MessageKey),
    /// An agency's acceptance number.
    Acceptance(PartyKey, Arc<str>),
    /// An agency's number of an approval.
    Approval(PartyKey, Arc<str>),
    /// Cargo control number, as a submitter wrote it.
    Cargo(PartyKey, Arc<str>),
    /// Number of a master or house bill, as a submitter wrote it.
    Bill(PartyKey, Arc<str>),
    /// An agency's number of a fee.
    Fee(PartyKey, Arc<str>),
}

impl CorrelationKey {
    /// Whether it leads to the case that it named last; any other key leads to one case for ever.
    #[must_use]
    pub const fn moves(&self) -> bool {
        match self {
            Self::Conversation(..)
            | Self::Acceptance(..)
            | Self::Approval(..)
            | Self::Cargo(..)
            | Self::Bill(..) => true,
            Self::Case(_)
            | Self::Declaration(_)
            | Self::Application(_)
            | Self::Sent(_)
            | Self::Result(..)
            | Self::Fee(..)
            | Self::Received(_) => false,
        }
    }

    /// Its kind, the party that scopes it, and its text: how homes keep it. Each realm has kinds of its own, so that
    /// no look-up of one can find anything of the other.
    pub(super) fn columns(&self, realm: Realm) -> (&'static str, &str, &str) {
        let (kind, party, text) = self.parts();
        match realm {
            Realm::Production => (kind[0], party, text),
            Realm::Practice => (kind[1], party, text),
        }
    }

    fn parts(&self) -> ([&'static str; 2], &str, &str) {
        match self {
            Self::Case(id) => (["case", "practice.case"], "", id.as_str()),
            Self::Declaration(number) => (["declaration", "practice.declaration"], "", number),
            Self::Application(number) => (["application", "practice.application"], "", number),
            Self::Sent(message_id) => (["sent", "practice.sent"], "", message_id.as_str()),
            Self::Conversation(party, id) => {
                (["conversation", "practice.conversation"], party.as_str(), id.as_str())
            }
            Self::Result(party, number) => (["result", "practice.result"], party.as_str(), number),
            Self::Received(key) => {
                (["received", "practice.received"], key.sender.as_str(), key.message_id.as_str())
            }
            Self::Acceptance(party, number) => {
                (["acceptance", "practice.acceptance"], party.as_str(), number)
            }
            Self::Approval(party, number) => (["approval", "practice.approval"], party.as_str(), number),
            Self::Cargo(party, number) => (["cargo", "practice.cargo"], party.as_str(), number),
            Self::Bill(party, number) => (["bill", "practice.bill"], party.as_str(), number),
            Self::Fee(party, number) => (["fee", "practice.fee"], party.as_str(), number),
        }
    }
}

impl fmt::Display for CorrelationKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, party, text) = self.columns(Realm::Production);
        f.write_str(&shown(kind, party, text))
    }
}

/// A key in words, from its columns.
pub(super) fn shown(kind: &str, party: &str, text: &str) -> String {
    if party.is_empty() { format!("{kind} {text}") } else { format!("{kind} {party}/{text}") }
}

/// How a delivery is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeliveryLocator {
    /// By its name.
    Id(DeliveryId),
    /// By what went over the wire.
    Sent {
        /// To whom.
        destination: PartyKey,
        /// Under which MessageId.
        message_id: MessageId,
    },
}

/// What [`Needs`] asked for, as far as it exists.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The realm that the event belongs to: that of the case or delivery that it is about by name, else the one that
    /// keys were looked up in.
    pub realm: Realm,
    /// The event refers to a message of the other realm.
    pub strays: bool,
    /// The message.
    pub message: Option<KnownMessage>,
    /// The case.
    pub case: Option<Versioned<Case>>,
    /// The key that led to the case; [`CorrelationKey::Case`] when its delivery did.
    pub found_by: Option<CorrelationKey>,
    /// Where each key in [`Needs::case`] leads: a key that is listed here cannot be given to another case.
    pub taken: BTreeMap<CorrelationKey, CaseId>,
    /// MessageIds of applications of the case that were replaced before and are acknowledged in this version.
    pub delivered: BTreeSet<MessageId>,
    /// The message that the delivery answers.
    pub answered: Option<Versioned<StoredMessage>>,
    /// A delivery of the case that has not come to an end.
    pub open: Option<DeliveryId>,
    /// The delivery.
    pub delivery: Option<Versioned<Delivery>>,
    /// The message of the submitter of its case that it passes on; the one that opened the case when it names none. None when
    /// that is damaged.
    pub cause: Option<StoredMessage>,
    /// Its octets.
    pub sealed: Option<Sealed>,
    /// Bodies of the received messages that its parts come from.
    pub bodies: BTreeMap<MessageKey, Entity>,
    /// The error message that was made before.
    pub refusal: Option<Versioned<Delivery>>,
    /// The delivery that is acknowledged.
    pub acknowledged: Option<Acknowledged>,
    /// The delivery that is wanted.
    pub wanted: Option<Versioned<Delivery>>,
    /// The approvals.
    pub approvals: BTreeMap<ApprovalKey, Versioned<Approval>>,
    /// The sequences.
    pub sequences: BTreeMap<SequenceKey, Versioned<Sequence>>,
    /// Cases of that name, newest first, each with the newest entries of its timeline, oldest first.
    pub named: Vec<(Case, Vec<TimelineEntry>)>,
    /// The statistics, with those cases.
    pub statistics: Option<Statistics>,
}

/// A record and the version to name when writing it back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The record.
    pub value: T,
    /// 1 when it was made, and of a sequence when it began; one more for each change.
    pub version: u64,
}

/// A delivery that a message acknowledges beside what it says for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The delivery.
    pub delivery: Versioned<Delivery>,
    /// Its octets, when it is sealed.
    pub sealed: Option<Sealed>,
}

/// A message that was received before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownMessage {
    /// The record.
    pub record: StoredMessage,
    /// The version to name when writing it back.
    pub version: u64,
    /// The answer that it got.
    pub response: Option<Sealed>,
}

/// An HTTP entity as it was received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity {
    /// HTTP Content-Type.
    pub content_type: Arc<str>,
    /// HTTP entity.
    pub body: Octets,
}
