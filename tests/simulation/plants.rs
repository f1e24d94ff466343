//! Faults that are planted in the gateway: what the checks are worth is that they find each of them.
//!
//! They are planted where the engine meets its store, so that the product holds no switch for them.

use gwanmun::engine::Event;
use gwanmun::model::{
    ApplicationState, CaseId, DeliveryId, Message, MessageId, MessageKind, Outcome, PartyRef, Sealed,
    SequenceNumber,
};
use gwanmun::msh::{self, CLOCK_STEP_MAX};
use gwanmun::security::seal;
use gwanmun::store::{
    Batch, CorrelationKey, DeliveryLocator, DeliveryWrite, MemoryStore, Needs, Store as _, View,
};

use crate::faults::Faults;
use crate::parties::{Who, signer};
use crate::world::Scenario;

/// What is wrong in the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// The sync of a commit: it is answered without.
    Sync,
    /// The end after a failed sync: it is tried again, and believed.
    RetriedSync,
    /// The comparison of versions: what somebody else wrote since is written over.
    VersionCheck,
    /// The duplicate check: a message that came before is taken as new.
    DuplicateCheck,
    /// The comparison of a duplicate's digest: other content passes for a repeat.
    DuplicateDigest,
    /// The stored acknowledgment: a duplicate gets a new one.
    StoredAcknowledgment,
    /// The comparison of a receipt's digests: it is believed whatever it names.
    ReceiptDigests,
    /// Whose receipt it is: it is believed whoever signs it.
    ReceiptSigner,
    /// The count of attempts.
    RetryCounter,
    /// The hour of a clock step that a delivery outlives.
    ClockStep,
    /// The timer of what is due later.
    Timer,
    /// A delivery of those that a message makes.
    Delivery,
    /// The join: one result counts for two.
    JoinOnce,
    /// The one key of a fee: each attempt at it has its own.
    PaymentKey,
    /// The turn of a message in its conversation: each has it when it comes.
    Turn,
    /// Checksums and digests: what is stored is served as it is.
    Checksum,
    /// The hold on what was open in a backup: it is sent at once.
    Reconciliation,
    /// The entry that says that the store was restored.
    SilentRestore,
    /// The same, when the record says so of an earlier restore.
    RestoreToldOnce,
    /// A number of a conversation, once the store was restored.
    Number,
    /// The entry that says that a delivery has ended.
    UntoldEnd,
}

impl Plant {
    pub(crate) const ALL: [Self; 21] = [
        Self::Sync,
        Self::RetriedSync,
        Self::VersionCheck,
        Self::DuplicateCheck,
        Self::DuplicateDigest,
        Self::StoredAcknowledgment,
        Self::ReceiptDigests,
        Self::ReceiptSigner,
        Self::RetryCounter,
        Self::ClockStep,
        Self::Timer,
        Self::Delivery,
        Self::JoinOnce,
        Self::PaymentKey,
        Self::Turn,
        Self::Checksum,
        Self::Reconciliation,
        Self::SilentRestore,
        Self::RestoreToldOnce,
        Self::Number,
        Self::UntoldEnd,
    ];

    /// The run that it is planted in. That attempts are counted shows only where they come to an end, and what damage does
    /// soonest where there is much of it.
    pub(crate) fn scenario(self, seed: u64) -> Scenario {
        match self {
            Self::RetryCounter => {
                let faults = Faults { dead: Some(Who::Npqs), ..Faults::default() };
                Scenario { faults, ..Scenario::calm(seed) }
            }
            Self::Checksum
            | Self::Reconciliation
            | Self::SilentRestore
            | Self::RestoreToldOnce
            | Self::Number => {
                let scenario = Scenario::seeded(seed);
                Scenario { faults: scenario.faults.damaging(), ..scenario }
            }
            _ => Scenario::seeded(seed),
        }
    }

    /// What the engine asks for in place of what it needs.
    pub(crate) fn falsify_needs(self, store: &MemoryStore, needs: &mut Needs) {
        let Some(DeliveryLocator::Sent { destination, message_id }) = &mut needs.delivery else { return };
        let is_to = |who: &Who| {
            let (destination, message_id) = (who.key(), message_id.clone());
            let delivery = Some(DeliveryLocator::Sent { destination, message_id });
            look(store, Needs { delivery, ..Needs::default() }).delivery.is_some()
        };
        if self == Self::ReceiptSigner
            && let Some(receiver) = Who::PARTNERS.into_iter().find(is_to)
        {
            *destination = receiver.key();
        }
    }

    /// What the engine is shown in place of what it asked for. Says whether a message that is known was hidden.
    pub(crate) fn falsify_view(self, event: &Event, view: &mut View) -> bool {
        if let (Self::ClockStep, Event::Due(_), Some(due)) = (self, event, &mut view.delivery) {
            due.value.expires_at = due.value.expires_at.minus(CLOCK_STEP_MAX);
        }
        let Event::Arrived(arrival) = event else { return false };
        let message = arrival.verified.message();
        match self {
            Self::Turn => {
                for stored in view.sequences.values_mut() {
                    stored.value.next = message.order.map_or(stored.value.next, |order| order.number);
                }
            }
            Self::DuplicateDigest => {
                if let Some(known) = &mut view.message {
                    known.record.content_digest = message.content_digest(arrival.verified.is_signed());
                }
            }
            Self::StoredAcknowledgment => {
                if let Some(response) = view.message.as_mut().and_then(|known| known.response.as_mut()) {
                    *response = acknowledged_anew(message);
                }
            }
            Self::ReceiptDigests => {
                if let (Some(receipt), Some(sealed)) = (message.acknowledgments.first(), &mut view.sealed) {
                    sealed.references.clone_from(&receipt.references);
                }
            }
            Self::ReceiptSigner => {
                if let Some(delivery) = &mut view.delivery {
                    delivery.value.cpa_id = arrival.verified.cpa_id().clone();
                }
            }
            Self::JoinOnce => {
                let is_result = Who::AGENCIES.iter().any(|(.., result)| **result == *message.header.action);
                let case = view.case.as_mut().filter(|_| is_result && view.message.is_none());
                let other = case.and_then(|case| {
                    let mut open = case.value.applications.iter_mut();
                    open.find(|it| it.party != *arrival.verified.party() && it.outcomes.is_empty())
                });
                if let Some(other) = other {
                    other.state = ApplicationState::Decided(Outcome::Approved);
                }
            }
            Self::DuplicateCheck => {
                let opens_a_case = &*message.header.action == "GOVCBR929";
                if message.kind == MessageKind::User && opens_a_case && view.message.is_some() {
                    *view = View::default();
                    return true;
                }
            }
            _ => {}
        }
        false
    }

    /// What numbers are given out from in place of what the store says.
    pub(crate) fn falsify_numbers(self, is_restored: bool, view: &mut View) {
        if self == Self::Number && is_restored {
            for stored in view.sequences.values_mut() {
                let next = u32::from(stored.value.next) + 1;
                stored.value.next = SequenceNumber::new(next).expect("fewer than a hundred millions");
            }
        }
    }

    /// What is committed in place of what was decided.
    pub(crate) fn falsify_batch(self, event: &Event, batch: &mut Batch) {
        let is_open = |write: &&mut DeliveryWrite| !write.delivery.state.is_terminal();
        match (self, event) {
            (Self::RetryCounter, Event::Due(_)) => {
                batch.deliveries.iter_mut().filter(is_open).for_each(|write| write.delivery.attempts = 0);
            }
            (Self::ClockStep, Event::Due(_)) => {
                for write in batch.deliveries.iter_mut().filter(is_open) {
                    write.delivery.expires_at = write.delivery.expires_at.plus(CLOCK_STEP_MAX);
                }
            }
            (Self::Delivery, Event::Arrived(_)) if batch.message.is_some() => drop(batch.deliveries.pop()),
            (Self::UntoldEnd, _) => batch.audit.retain(|entry| &*entry.event != "delivery.delivered"),
            _ => {}
        }
    }
}

/// Names the versions that are there now in place of those that were decided on.
pub(crate) fn overwrite(store: &MemoryStore, batch: &mut Batch) {
    for write in batch.deliveries.iter_mut().filter(|write| write.based_on.is_some()) {
        let delivery = Some(DeliveryLocator::Id(write.delivery.id.clone()));
        let now = look(store, Needs { delivery, ..Needs::default() }).delivery;
        write.based_on = now.map(|now| now.version);
    }
    if let Some(write) = batch.case.as_mut().filter(|write| write.based_on.is_some()) {
        let case = vec![CorrelationKey::Case(write.case.id.clone())];
        let now = look(store, Needs { case, ..Needs::default() }).case;
        write.based_on = now.map(|now| now.version);
    }
}

fn look(store: &MemoryStore, needs: Needs) -> View {
    store.load(&needs).expect("the store can be read")
}

/// An acknowledgment of a message, as good as the one that is stored.
fn acknowledged_anew(message: &Message) -> Sealed {
    let own = PartyRef { ids: vec![Who::Gateway.id()], role: Some(Who::Gateway.role()) };
    let id = MessageId::new(format!("anew.{}", message.header.data.message_id)).expect("a MessageId");
    let receipt = msh::acknowledge(message, &own, id, true, message.header.data.timestamp);
    seal(&receipt, Some(signer(Who::Gateway).strict())).expect("a receipt can be sealed")
}

/// Gives everything in a batch another name, as a store without a unique key would take it.
pub(crate) fn rename(batch: &mut Batch, again: u64) {
    let name = |text: &str| format!("{text}-again-{again}");
    let message_id = |id: &MessageId| MessageId::new(name(id.as_str())).expect("a MessageId");
    let delivery_id = |id: &DeliveryId| DeliveryId::new(name(id.as_str())).expect("a name");
    let case_id = |id: &CaseId| CaseId::new(name(id.as_str())).expect("a name");
    if let Some(message) = &mut batch.message {
        message.record.key.message_id = message_id(&message.record.key.message_id);
        message.record.case = message.record.case.as_ref().map(case_id);
    }
    if let Some(write) = &mut batch.case {
        write.case.id = case_id(&write.case.id);
        write.correlations.clear();
    }
    for write in &mut batch.deliveries {
        let delivery = &mut write.delivery;
        delivery.id = delivery_id(&delivery.id);
        delivery.message_id = message_id(&delivery.message_id);
        delivery.case = delivery.case.as_ref().map(case_id);
    }
    for entry in &mut batch.audit {
        entry.case = entry.case.as_ref().map(case_id);
        entry.delivery = entry.delivery.as_ref().map(delivery_id);
    }
}
