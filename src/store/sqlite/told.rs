//! Rows that others tell of (P12): what is gone whole leaves no damaged record behind, and is missed by who names it.
//!
//! Only what a commit wrote together with who names it, in every version, and what goes by no other way than the one that
//! is asked for here: so that nothing is missed in a store that was purged, restored or upgraded.

use super::super::{CorrelationKey, Damage, StoreError};
use super::readers::Reading;
use super::schema::{WITH_HEADS, WITH_PURGES, WITH_RECEIPTS};
use crate::model::{
    Case, CaseId, Delivery, Direction, MessageKey, SequenceKey, StoredMessage, TimelineEntry,
};

/// What entries of the audit record tell of.
pub(super) struct Entries {
    format: u32,
    /// The last case that was looked for: neighbours are often of one.
    case: Option<CaseId>,
}

impl Entries {
    pub(super) const fn of(format: u32) -> Self {
        Self { format, case: None }
    }

    /// What this entry tells of and what is gone: its case, the message that it vouches for, the receipt, the head that a
    /// time stamp is over.
    pub(super) fn gone(
        &mut self,
        reading: &Reading<'_>,
        sequence: u64,
        entry: &TimelineEntry,
    ) -> Result<Vec<Damage>, StoreError> {
        let mut gone = Vec::new();
        let mut misses = |what: String, tells: &str| {
            let detail = format!("audit entry {sequence} tells {tells}, and it is gone");
            gone.push(Damage { what, detail });
        };
        if let Some(case) = entry.case.as_ref().filter(|case| self.case.as_ref() != Some(*case)) {
            if !reading.has("SELECT 1 FROM cases WHERE id = ?", [case.as_str()])? {
                misses(format!("case {case}"), "of it");
            }
            self.case = Some(case.clone());
        }
        if let (Some(_), Some(sender), Some(message_id)) =
            (entry.octets.received, &entry.party, &entry.message_id)
        {
            let key = MessageKey { sender: sender.clone(), message_id: message_id.clone() };
            let sql = "SELECT 1 FROM message WHERE sender = ? AND message_id = ?";
            if !reading.has(sql, [key.sender.as_str(), key.message_id.as_str()])? {
                misses(format!("message {key}"), "that it was received");
            }
        }
        if let (Some(_), Some(delivery)) = (entry.octets.receipt, &entry.delivery)
            && self.format >= WITH_RECEIPTS
        {
            let purged = if self.format < WITH_PURGES { "0" } else { "d.purged" };
            let sql = format!(
                "SELECT 1 FROM delivery d LEFT JOIN receipt r ON r.owner = d.number \
                 WHERE d.id = ? AND (r.owner IS NOT NULL OR {purged})"
            );
            if !reading.has(&sql, [delivery.as_str()])? {
                misses(format!("receipt of delivery {delivery}"), "that it came");
            }
        }
        if let Some(stamp) = &entry.octets.time_stamp
            && self.format >= WITH_HEADS
            && !reading.has("SELECT 1 FROM head WHERE entries = ?", [stamp.entries.cast_signed()])?
        {
            misses(format!("audit head {}", stamp.entries), "of a time stamp over it");
        }
        Ok(gone)
    }
}

/// Keys that lead to a case for ever, and approvals that it rests on.
pub(super) fn gone_of_case(reading: &Reading<'_>, case: &Case) -> Result<Vec<Damage>, StoreError> {
    let mut gone = Vec::new();
    let detail = || format!("case {} has it, and it is gone", case.id);
    for key in lasting_keys(case) {
        let (kind, party, text) = key.columns(case.realm);
        // Whether it is whole is checked where it stands.
        let sql = "SELECT 1 FROM correlation WHERE kind = ? AND party = ? AND text = ?";
        if !reading.has(sql, [kind, party, text])? {
            gone.push(Damage { what: format!("correlation {key}"), detail: detail() });
        }
    }
    for held in &case.held {
        let key = &held.approval;
        let sql = "SELECT 1 FROM approval WHERE text = ? AND agency = ? AND realm = ?";
        if !reading.has(sql, [&*key.number, key.agency.as_str(), key.realm.as_str()])? {
            gone.push(Damage { what: format!("approval {key}"), detail: detail() });
        }
    }
    Ok(gone)
}

/// The keys that every version has given to a case, and that lead to it for ever. Those of what was lodged alone: a result
/// that nobody asked for names an application that is not ours.
fn lasting_keys(case: &Case) -> Vec<CorrelationKey> {
    let mut keys = vec![CorrelationKey::Received(case.opened_by.clone())];
    if let Some(declaration) = &case.declaration {
        keys.push(CorrelationKey::Declaration(declaration.clone()));
        keys.extend(case.declared_as.clone().map(CorrelationKey::Sent));
        for application in &case.applications {
            keys.extend(application.number.clone().map(CorrelationKey::Application));
            keys.extend(application.sent_as.clone().map(CorrelationKey::Sent));
        }
    }
    keys
}

/// The conversation that a message waits in for its turn.
pub(super) fn gone_of_message(
    reading: &Reading<'_>,
    message: &StoredMessage,
) -> Result<Vec<Damage>, StoreError> {
    let header = &message.header;
    let key = message.held.then(|| SequenceKey {
        direction: Direction::Receive,
        cpa_id: header.cpa_id.clone(),
        conversation_id: header.conversation_id.clone(),
    });
    gone_sequence(reading, key, || format!("message {} is held in it", message.key))
}

/// The conversation that a delivery has its number in, which is not forgotten before its octets were purged.
pub(super) fn gone_of_delivery(
    reading: &Reading<'_>,
    delivery: &Delivery,
) -> Result<Vec<Damage>, StoreError> {
    let keeps = delivery.order.is_some() && delivery.sealed && delivery.purged.is_none();
    let key = keeps.then(|| SequenceKey {
        direction: Direction::Send,
        cpa_id: delivery.cpa_id.clone(),
        conversation_id: delivery.conversation_id.clone(),
    });
    gone_sequence(reading, key, || format!("delivery {} has its number in it", delivery.id))
}

fn gone_sequence(
    reading: &Reading<'_>,
    key: Option<SequenceKey>,
    why: impl FnOnce() -> String,
) -> Result<Vec<Damage>, StoreError> {
    let Some(key) = key else { return Ok(Vec::new()) };
    let sql = "SELECT 1 FROM sequence WHERE conversation_id = ? AND cpa_id = ? AND direction = ?";
    let values = [key.conversation_id.as_str(), key.cpa_id.as_str(), key.direction.as_str()];
    if reading.has(sql, values)? {
        return Ok(Vec::new());
    }
    Ok(vec![Damage { what: format!("sequence {key}"), detail: format!("{}, and it is gone", why()) }])
}
