//! Faults that are planted in the gateway: what the checks are worth is that they find each of them.
//!
//! They are planted where the engine meets its store, so that the product holds no switch for them.

use gwanmun::engine::Event;
use gwanmun::model::{CaseId, DeliveryId, MessageId, MessageKind};
use gwanmun::store::{Batch, View};

/// What is missing in the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plant {
    /// The sync of a commit: it is answered without.
    Sync,
    /// The duplicate check: a message that came before is taken as new.
    DuplicateCheck,
    /// The comparison of a receipt's digests: it is believed whatever it names.
    ReceiptDigests,
    /// The comparison of a duplicate's digest: other content passes for a repeat.
    DuplicateDigest,
    /// The one key of a fee: each attempt at it has its own.
    PaymentKey,
}

impl Plant {
    pub(crate) const ALL: [Self; 5] =
        [Self::Sync, Self::DuplicateCheck, Self::ReceiptDigests, Self::DuplicateDigest, Self::PaymentKey];

    /// What the engine is shown in place of what it asked for. Says whether a message that is known was hidden.
    pub(crate) fn falsify_view(self, event: &Event, view: &mut View) -> bool {
        let Event::Arrived(arrival) = event else { return false };
        let message = arrival.verified.message();
        match self {
            Self::DuplicateDigest => {
                if let Some(known) = &mut view.message {
                    known.record.content_digest = message.content_digest();
                }
            }
            Self::ReceiptDigests => {
                if let (Some(receipt), Some(sealed)) = (message.acknowledgments.first(), &mut view.sealed) {
                    sealed.references.clone_from(&receipt.references);
                }
            }
            Self::DuplicateCheck => {
                let opens_a_case = &*message.header.action == "GOVCBR929";
                if message.kind == MessageKind::User && opens_a_case && view.message.is_some() {
                    *view = View::default();
                    return true;
                }
            }
            Self::Sync | Self::PaymentKey => {}
        }
        false
    }
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
