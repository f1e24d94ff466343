//! What can happen, and what every decision may know besides the records.

use std::sync::Arc;

use super::documents::Documents;
use super::ids;
use crate::model::{
    ApprovalKey, AttemptOutcome, Bank, CaseId, ChargeOutcome, DeliveryId, Digest, Document, EvidenceSubject,
    GapAct, MessageId, MessageKey, Octets, OfficerAct, PartyId, PartyKey, PartyRef, Realm, Registry,
    Retention, Role, Sealed, SequenceKey, Timestamp,
};
use crate::msh::{AgePolicy, OrderPolicy};
use crate::routing::{EnvelopeQuery, EnvelopeRule, RuleSet};
use crate::security::{Refusal, Transit, Verified};

/// Something that happened.
#[derive(Debug)]
pub enum Event {
    /// A verified message arrived: a user message or a signal.
    Arrived(Box<Arrival>),
    /// A message arrived that is for another party.
    InTransit(Box<InTransit>),
    /// Security turned a message away.
    Refused(Box<Refused>),
    /// A message that came before its turn is ready, and was opened again as it is stored.
    HandedOn {
        /// The message.
        arrival: Box<Arrival>,
        /// Its conversation.
        sequence: SequenceKey,
    },
    /// One that is ready could not be opened again.
    Unopenable {
        /// The message.
        message: MessageKey,
        /// Its conversation.
        sequence: SequenceKey,
        /// Why.
        reason: String,
    },
    /// Messages are held in a conversation because one is missing.
    OrderDue(SequenceKey),
    /// An operator settles what is held for a message that does not come.
    GapSettled {
        /// The conversation.
        sequence: SequenceKey,
        /// What is done.
        act: GapAct,
    },
    /// A delivery's time has come.
    Due(DeliveryId),
    /// Something is to be done about a case because time has passed: a deadline, or the end of an approval.
    CaseDue(CaseId),
    /// The bank is to be asked about payments of a case.
    PaymentDue(CaseId),
    /// An attempt to have the bank book a payment ended.
    Charged {
        /// The case.
        case: CaseId,
        /// What the bank knows the payment by.
        key: Arc<str>,
        /// The order that it was asked for.
        order: Arc<str>,
        /// Which of its attempts.
        attempt: u32,
        /// What came of it.
        outcome: ChargeOutcome,
    },
    /// The bank is to be asked at once about the payments of a case that are under way.
    Hurried {
        /// The case.
        case: CaseId,
        /// Who asks, in words.
        by: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// An approval ends, or ended, that cases rest on: the next of them hears of it.
    ApprovalDue(ApprovalKey),
    /// A delivery that has ended is to be sent anew, as it is stored.
    Again {
        /// The delivery.
        delivery: DeliveryId,
        /// Who asks, in words.
        by: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// The store was restored from a backup in which this delivery was open.
    Withheld {
        /// The delivery.
        delivery: DeliveryId,
        /// Which backup, in words.
        why: Arc<str>,
    },
    /// An operator settles a delivery that is held.
    Settled {
        /// The delivery.
        delivery: DeliveryId,
        /// What becomes of it.
        how: Settle,
        /// Who says so, in words.
        by: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// The octets of a message are to be purged: an archive of them was written and verified.
    Purged {
        /// Which message.
        subject: EvidenceSubject,
        /// SHA-256 of the archive.
        archive: Digest,
        /// How many octets it frees.
        bytes: u64,
    },
    /// A conversation is to be forgotten: everything that had come or gone in it when it had this version was purged.
    Forgotten {
        /// Which one.
        sequence: SequenceKey,
        /// The version.
        version: u64,
    },
    /// An operator sets a legal hold, or lifts it.
    Holding {
        /// On what.
        on: Holding,
        /// Which of the two.
        held: Hold,
        /// Who says so, in words.
        by: Arc<str>,
        /// Why.
        reason: Arc<str>,
    },
    /// The operator tells partners something.
    Announced(Box<Announcement>),
    /// A delivery that was due could not be sealed: without this it would come due for ever (P9).
    Unsealable {
        /// The delivery.
        delivery: DeliveryId,
        /// Why.
        reason: String,
    },
    /// What was stored of a delivery cannot be read as it was stored: it would never leave (P9, P12).
    Damaged {
        /// The delivery.
        delivery: DeliveryId,
        /// What is wrong.
        reason: String,
    },
    /// An attempt to transmit a delivery ended.
    Attempted {
        /// The delivery.
        delivery: DeliveryId,
        /// Which of its attempts.
        attempt: u32,
        /// It completes by a receipt, as its transmission said.
        awaits_receipt: bool,
        /// What came of it.
        outcome: AttemptOutcome,
    },
    /// A party fetches a delivery from its mailbox.
    Fetched {
        /// The delivery.
        delivery: DeliveryId,
        /// Who fetches.
        by: PartyKey,
    },
    /// A party confirms a delivery from its mailbox.
    Confirmed {
        /// The delivery.
        delivery: DeliveryId,
        /// Who confirms.
        by: PartyKey,
        /// The signal that it gives as its receipt.
        receipt: Option<Box<Arrival>>,
    },
    /// An officer of a hosted agency acts; the message is what the agency says by it.
    Acted {
        /// The message.
        arrival: Box<Arrival>,
        /// Who acts, and on what.
        act: OfficerAct,
    },
}

/// What becomes of a delivery that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settle {
    /// It goes out, as it is stored.
    Send,
    /// Its destination has it.
    Delivered,
    /// Its destination will not have it: it has ended, and its sender hears so.
    Rejected,
}

/// What a legal hold is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// Every message of a case.
    Case(CaseId),
    /// One message that was received, and what answers it.
    Message(MessageKey),
    /// One message that was sent, or passed on.
    Delivery(DeliveryId),
}

/// What becomes of a legal hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It is set.
    Set,
    /// It is lifted.
    Lifted,
}

/// A verified message, and how it came.
#[derive(Debug)]
pub struct Arrival {
    /// The message.
    pub verified: Verified,
    /// Its documents, read before by [`read_documents`](super::read_documents).
    pub documents: Documents,
    /// HTTP Content-Type.
    pub content_type: Arc<str>,
    /// HTTP entity.
    pub body: Octets,
    /// When it had been received.
    pub received_at: Timestamp,
    /// A requester waits for a synchronous answer; not so when the message is itself a response.
    pub waiting: bool,
}

impl Arrival {
    /// The duplicate key (P3).
    #[must_use]
    pub fn key(&self) -> MessageKey {
        MessageKey {
            sender: self.verified.party().clone(),
            message_id: self.verified.message().header.data.message_id.clone(),
        }
    }
}

/// A message for another party, and how it came.
#[derive(Debug)]
pub struct InTransit {
    /// The message.
    pub transit: Transit,
    /// Its octets, which are passed on.
    pub octets: Sealed,
    /// When it had been received.
    pub received_at: Timestamp,
    /// A requester waits for a synchronous answer.
    pub waiting: bool,
}

/// A service notice of the operator (INF).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Its number, which no other notice has.
    pub number: Arc<str>,
    /// To whom; to every partner that an agreement lets hear of it, when nobody is named.
    pub to: Vec<PartyKey>,
    /// What it says.
    pub text: Arc<str>,
    /// Who sends it, in words.
    pub by: Arc<str>,
    /// Why, for the record alone.
    pub reason: Arc<str>,
}

/// A message that security turned away, and how it came.
#[derive(Debug)]
pub struct Refused {
    /// Why, and what the sender hears.
    pub refusal: Refusal,
    /// HTTP entity.
    pub body: Octets,
    /// When it had been received.
    pub received_at: Timestamp,
    /// A requester waits for a synchronous answer.
    pub waiting: bool,
}

/// What is in force while an event is decided.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// Parties and agreements.
    pub registry: &'a Registry,
    /// Rules.
    pub rules: &'a RuleSet,
    /// Who we are.
    pub own: &'a Own,
    /// Timestamps that are accepted.
    pub age: AgePolicy,
    /// How much is held for what is missing in a conversation.
    pub order: OrderPolicy,
    /// Where fees are paid; none when there is no bank.
    pub payment: Option<&'a Bank>,
    /// The bank of rehearsals.
    pub practice_payment: Option<&'a Bank>,
    /// How long octets are kept.
    pub retention: &'a Retention,
    /// When the store was last restored from a backup.
    pub restored: Option<Timestamp>,
}

impl<'a> Context<'a> {
    /// The realm that a message says it belongs to: by who sends it, by its agreement, or by its first document.
    pub(super) fn realm_of(&self, arrival: &Arrival) -> Realm {
        let verified = &arrival.verified;
        let plays = self.registry.party(verified.party()).is_some_and(|party| party.plays.is_some());
        let is_agreed =
            self.registry.agreement(verified.cpa_id()).is_some_and(|agreement| agreement.practice);
        let function = match arrival.documents.subject() {
            Some((_, Document::Declaration(declaration))) => Some(&declaration.function),
            Some((_, Document::Application(application))) => Some(&application.function),
            _ => None,
        };
        let is_test = function.is_some_and(|function| **function == *Realm::TEST);
        if plays || is_agreed || is_test { Realm::Practice } else { Realm::Production }
    }

    /// The bank of a realm; that of production hears of no rehearsal.
    pub(super) const fn bank(&self, realm: Realm) -> Option<&'a Bank> {
        match realm {
            Realm::Production => self.payment,
            Realm::Practice => self.practice_payment,
        }
    }

    /// The envelope rule for a message, if one knows it.
    pub(super) fn envelope(&self, verified: &Verified) -> Option<&'a EnvelopeRule> {
        let header = &verified.message().header;
        self.rules.envelope(&EnvelopeQuery {
            service: &header.service.value,
            action: &header.action,
            from_role: header.from.role.as_ref(),
            from: verified.party(),
            cpa: verified.cpa_id(),
        })
    }
}

/// Who this gateway is where no agreement says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// Its box number.
    pub key: PartyKey,
    /// Its PartyIds.
    pub ids: Vec<PartyId>,
    /// Its Role.
    pub role: Option<Role>,
    /// The domain of its MessageIds.
    pub domain: Arc<str>,
}

impl Own {
    /// As From or To of a message without an agreement.
    pub(super) fn party_ref(&self) -> PartyRef {
        PartyRef { ids: self.ids.clone(), role: self.role.clone() }
    }

    /// The MessageId of the message that this delivery, or answer, is.
    pub(super) fn message_id(&self, id: &DeliveryId) -> MessageId {
        ids::message_id(id, &self.domain)
    }
}
