//! A step: everything one event leads to. Sealed before anything is promised, committed before anything leaves
//! (P1).
//!
//! A step is decided, then sealed, then split into the batch for the store and the actions that wait for it.
//! A signature is computed once, also when the same octets are stored as the answer to a duplicate, go back on
//! the waiting connection, and travel as a delivery of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::attest;

use crate::codec::envelope::SoapFault;
use crate::model::{
    self, Acknowledgment, ApprovalKey, CaseId, Charge, Delivery, DeliveryId, Message, MessageId, PartyKey,
    Realm, Sealed, SequenceKey, SigningTerms, StatusResponse, StoredMessage, TimelineEntry, Timestamp,
};
use crate::security::{SealError, SigningKeys, seal};
use crate::store::{
    ApprovalWrite, Batch, CaseWrite, Committed, DeliveryWrite, Forgotten, MessageWrite, NewMessage,
    SequenceWrite, Unchanged,
};

/// What one event leads to, decided and not yet sealed.
#[derive(Debug, Default)]
pub struct Step {
    /// The message that was received, when it is kept.
    pub(super) message: Option<MessageDraft>,
    /// The signal that answers it.
    pub(super) answer: Option<Draft>,
    /// What the waiting requester gets.
    pub(super) reply: ReplyDraft,
    pub(super) case: Option<CaseWrite>,
    pub(super) deliveries: Vec<DeliveryDraft>,
    /// Approvals that it changes, with the versions that were loaded.
    pub(super) approvals: BTreeMap<ApprovalKey, ApprovalWrite>,
    /// How far it brings conversations, with the versions that were loaded.
    pub(super) sequences: BTreeMap<SequenceKey, SequenceWrite>,
    /// The conversation that it forgets.
    pub(super) forgotten: Option<Forgotten>,
    /// What ended a delivery that is in the step, as it came.
    pub(super) receipts: BTreeMap<DeliveryId, Sealed>,
    /// The deliveries that are transmitted now: whether each waits for a receipt, and the URL that it goes to.
    pub(super) transmit: BTreeMap<DeliveryId, (bool, Option<Arc<str>>)>,
    /// A message that was received before and is changed.
    pub(super) changed: Option<MessageWrite>,
    /// What it rests on and does not write.
    pub(super) unchanged: Vec<Unchanged>,
    /// Recorded.
    pub(super) audit: Vec<TimelineEntry>,
    /// Only logged: nothing changed.
    pub(super) noted: Vec<TimelineEntry>,
    /// Destinations with something due now.
    pub(super) wake: BTreeSet<PartyKey>,
    /// An answer to a question that we asked.
    pub(super) heard: Option<Heard>,
    /// What the bank is asked, with the attempt that it is.
    pub(super) charges: Vec<(u32, Charge)>,
}

/// A message of ours that has no octets yet; signed when there are terms for it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) message: Message,
    pub(super) signing: Option<SigningTerms>,
}

/// A received message that is kept.
#[derive(Debug)]
pub(super) struct MessageDraft {
    pub(super) record: StoredMessage,
    pub(super) octets: MessageOctets,
}

/// The octets of a received message.
#[derive(Debug)]
pub(super) enum MessageOctets {
    /// They have just come; the step's answer is stored with them.
    New(model::Octets),
    /// They are stored, and so is its answer; the record was loaded in this version.
    Kept(u64),
}

/// A delivery that is made or changed.
#[derive(Debug)]
pub(super) struct DeliveryDraft {
    pub(super) delivery: Delivery,
    pub(super) based_on: Option<u64>,
    pub(super) octets: Octets,
}

/// The octets of a delivery.
#[derive(Debug)]
pub(super) enum Octets {
    /// As they are stored, or none yet.
    Kept,
    /// As they are stored; they are transmitted now.
    Stored(Sealed),
    /// As they came from somebody else; stored.
    Came(Sealed),
    /// To be made now and stored.
    Made(Box<Draft>),
    /// Those of the step's answer; stored.
    Answer,
}

/// What the waiting requester gets.
#[derive(Debug, Default)]
pub(super) enum ReplyDraft {
    /// Nobody waits.
    #[default]
    None,
    /// The step's answer.
    Answer,
    /// The octets of this delivery, which is in the step.
    Delivery(DeliveryId),
    /// This.
    Ready(Reply),
}

/// The answer on the connection that a request came on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A signal (HTTP 200).
    Message(Sealed),
    /// Nothing (HTTP 202).
    Empty,
    /// A SOAP fault (HTTP 500).
    Fault(SoapFault),
    /// An HTTP status alone.
    Status(u16),
    /// What came of an act of somebody who works with a client of ours and not with an MSH.
    Told(Told),
}

/// What came of an act, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// How it went.
    pub how: How,
    /// What there is to say about it.
    pub text: String,
    /// The version that what was acted on has now.
    pub version: Option<String>,
}

/// How an act went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is done, by this act or by the same one before.
    Done,
    /// There is nothing of that name for whoever acts.
    Nothing,
    /// There was; it is over.
    Gone,
    /// It is not for whoever acts.
    Forbidden,
    /// It does not go with how things stand.
    Conflict,
    /// The act as it is cannot be taken.
    Refused,
}

impl Told {
    /// An outcome in words.
    #[must_use]
    pub fn new(how: How, text: impl Into<String>) -> Self {
        Self { how, text: text.into(), version: None }
    }

    pub(super) fn at_version(self, version: Option<String>) -> Self {
        Self { version, ..self }
    }
}

/// What the shell does once the batch is committed. May be lost in a crash: whatever must happen is a record.
#[derive(Debug)]
pub enum Action {
    /// Answer the waiting requester.
    Reply(Reply),
    /// Transmit a delivery; what comes of it is [`Event::Attempted`](super::Event::Attempted).
    Transmit {
        /// The delivery.
        delivery: DeliveryId,
        /// Which attempt it is, from 1.
        attempt: u32,
        /// To whom.
        destination: PartyKey,
        /// The URL that the agreement gives for it, if it gives one.
        endpoint: Option<Arc<str>>,
        /// It completes by a receipt, not by being taken.
        awaits_receipt: bool,
        /// Its octets.
        sealed: Sealed,
    },
    /// A destination has something due now.
    Wake(PartyKey),
    /// Something is to be done about a case at this instant ([`Event::CaseDue`](super::Event::CaseDue)).
    Schedule(Timestamp),
    /// The bank is to be asked about a payment at this instant ([`Event::PaymentDue`](super::Event::PaymentDue)).
    SchedulePayment(Timestamp),
    /// Ask the bank; what comes of it is [`Event::Charged`](super::Event::Charged).
    Charge {
        /// The case.
        case: CaseId,
        /// Whose bank.
        realm: Realm,
        /// Which attempt it is, from 1.
        attempt: u32,
        /// What it is asked.
        charge: Charge,
    },
    /// A question that we asked was answered.
    Heard(Heard),
    /// An audit entry once more, for log and metrics; or one that is only logged because nothing changed.
    Log(TimelineEntry),
}

/// An answer to a question that we asked, for whoever waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The MessageId that we asked under.
    pub about: MessageId,
    /// Who answers.
    pub by: PartyKey,
    /// Whether its signature was there and verified; without one only the connection vouches for it.
    pub signed: bool,
    /// What it says.
    pub says: Says,
}

/// What is answered to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// A Pong.
    Pong,
    /// A StatusResponse.
    Status(StatusResponse),
    /// An Acknowledgment.
    Acknowledged(Acknowledgment),
    /// A MessageError, with its errors in one line.
    Errors(String),
}

impl Step {
    /// Makes the octets of everything that has none.
    ///
    /// # Errors
    /// When a message cannot be signed; nothing is promised yet.
    pub fn seal(mut self, keys: &SigningKeys) -> Result<SealedStep, SealError> {
        let answer = self.answer.map(|draft| draft.seal(keys)).transpose()?;
        let the_answer = || answer.clone().expect("a step that refers to its answer has one");
        let mut writes = Vec::with_capacity(self.deliveries.len());
        let mut actions = Vec::new();
        let mut collected = None;
        match self.reply {
            ReplyDraft::None => {}
            ReplyDraft::Delivery(id) => collected = Some(id),
            ReplyDraft::Answer => actions.push(Action::Reply(Reply::Message(the_answer()))),
            ReplyDraft::Ready(reply) => actions.push(Action::Reply(reply)),
        }
        for DeliveryDraft { delivery, based_on, octets } in self.deliveries {
            let (stored, sealed) = match octets {
                Octets::Kept => (None, None),
                Octets::Stored(sealed) => (Some(sealed), None),
                Octets::Came(sealed) => (None, Some(sealed)),
                Octets::Made(draft) => (None, Some(draft.seal(keys)?)),
                Octets::Answer => (None, Some(the_answer())),
            };
            if collected.as_ref() == Some(&delivery.id) {
                let octets = sealed.clone().expect("what is collected for the first time is made now");
                actions.push(Action::Reply(Reply::Message(octets)));
            }
            if let Some((awaits_receipt, endpoint)) = self.transmit.get(&delivery.id) {
                actions.push(Action::Transmit {
                    delivery: delivery.id.clone(),
                    attempt: delivery.attempts,
                    destination: delivery.destination.clone(),
                    endpoint: endpoint.clone(),
                    awaits_receipt: *awaits_receipt,
                    sealed: stored.or_else(|| sealed.clone()).expect("what is transmitted has octets"),
                });
            }
            let delivery = Delivery { sealed: delivery.sealed || sealed.is_some(), ..delivery };
            let receipt = self.receipts.remove(&delivery.id);
            let write = DeliveryWrite { delivery, based_on, sealed, receipt };
            attest::delivery(&mut self.audit, &write);
            writes.push(write);
        }
        actions.extend(self.wake.into_iter().map(Action::Wake));
        actions.extend(self.case.iter().filter_map(|write| write.case.due).map(Action::Schedule));
        if let Some(case) = self.case.as_ref().map(|write| &write.case) {
            actions.extend(case.payment_due.map(Action::SchedulePayment));
            let charge = |(attempt, charge)| Action::Charge {
                case: case.id.clone(),
                realm: case.realm,
                attempt,
                charge,
            };
            actions.extend(self.charges.into_iter().map(charge));
        }
        let approvals: Vec<_> = self.approvals.into_values().collect();
        actions.extend(approvals.iter().filter_map(|write| write.approval.due).map(Action::Schedule));
        actions.extend(self.heard.map(Action::Heard));
        let sequences: Vec<_> = self.sequences.into_values().collect();
        actions.extend(sequences.iter().filter_map(|write| write.sequence.due).map(Action::Schedule));
        let (message, changed) = match self.message {
            Some(MessageDraft { record, octets: MessageOctets::New(body) }) => {
                let record = StoredMessage { answered: answer.is_some(), ..record };
                (Some(NewMessage { record, body, response: answer }), None)
            }
            Some(MessageDraft { record, octets: MessageOctets::Kept(based_on) }) => {
                (None, Some(MessageWrite { record, based_on }))
            }
            None => (None, self.changed),
        };
        if let Some(message) = &message {
            attest::message(&mut self.audit, message);
        }
        actions.extend(self.audit.iter().cloned().chain(self.noted).map(Action::Log));
        let batch = Batch {
            message,
            changed,
            case: self.case,
            unchanged: self.unchanged,
            deliveries: writes,
            approvals,
            sequences,
            forgotten: self.forgotten,
            audit: self.audit,
            head: None,
        };
        Ok(SealedStep { batch, actions })
    }
}

impl Draft {
    fn seal(self, keys: &SigningKeys) -> Result<Sealed, SealError> {
        let signer = self.signing.map(|terms| keys.signer(terms)).transpose()?;
        seal(&self.message, signer)
    }
}

/// A step whose octets all exist.
#[derive(Debug)]
pub struct SealedStep {
    batch: Batch,
    actions: Vec<Action>,
}

impl SealedStep {
    /// What is to be done with it.
    #[must_use]
    pub fn split(self) -> Ready {
        let Batch {
            message,
            changed,
            case,
            unchanged: _,
            deliveries,
            approvals,
            sequences,
            forgotten,
            audit,
            head: _,
        } = &self.batch;
        let is_empty = message.is_none() && changed.is_none() && case.is_none() && deliveries.is_empty();
        let is_empty = is_empty && forgotten.is_none();
        if !is_empty || !approvals.is_empty() || !sequences.is_empty() || !audit.is_empty() {
            Ready::Commit(Box::new(self.batch), Pending { actions: self.actions })
        } else {
            Ready::Act(self.actions)
        }
    }
}

/// What a sealed step comes to.
#[derive(Debug)]
pub enum Ready {
    /// Something is written first; the actions wait for its commit.
    Commit(Box<Batch>, Pending),
    /// Nothing is written: the actions leave now.
    Act(Vec<Action>),
}

/// Actions that wait for the commit of their batch. Without the store's pass there is no way to them (P1).
#[derive(Debug)]
#[must_use = "the actions of a committed step are to be performed"]
pub struct Pending {
    actions: Vec<Action>,
}

impl Pending {
    /// The actions, for the pass that the store gave for their batch.
    #[must_use]
    pub fn release(self, _pass: Committed) -> Vec<Action> {
        self.actions
    }
}
