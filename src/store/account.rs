//! The conservation law, computed from every record (P2).
//!
//! Two sides that were written independently are compared: the deliveries that the audit record names, and the
//! rows of deliveries, each decoded and checked. A delivery that the audit record knows and that has no row is
//! lost; a row whose key columns say something else than its record is a fault, and so is one that has not ended as the
//! audit record says that it has.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Delivery, DeliveryId, DeliveryPurpose, DeliveryState, PartyKey};

use super::{AuditEntry, Conservation, Damage};

/// Gathers both sides; the audit record first, so that a delivery made meanwhile is no fault.
#[derive(Default)]
pub(super) struct Accounting {
    named: BTreeMap<DeliveryId, Named>,
    found: BTreeSet<DeliveryId>,
    /// Rows that have not ended as the audit record said, unless it has said more since.
    contradicted: BTreeMap<DeliveryId, String>,
    law: Conservation,
}

/// What the audit record says of a delivery.
struct Named {
    party: Option<PartyKey>,
    /// How it has ended by its last word.
    ended: Option<DeliveryState>,
}

impl Accounting {
    /// One entry of the audit record.
    pub(super) fn entry(&mut self, entry: AuditEntry) {
        let Some(delivery) = entry.entry.delivery else { return };
        let named = self.named.entry(delivery).or_insert(Named { party: entry.entry.party, ended: None });
        if let Some(ended) = ended_by(&entry.entry.event) {
            named.ended = ended;
        }
    }

    /// One entry that was made while the rows were read: what it names has gone on since.
    pub(super) fn entry_since(&mut self, entry: &AuditEntry) {
        if let Some(delivery) = &entry.entry.delivery {
            self.contradicted.remove(delivery);
        }
    }

    /// Whether what was said since matters.
    pub(super) fn is_contradicted(&self) -> bool {
        !self.contradicted.is_empty()
    }

    /// One row: its record, and the destination and state that its key columns say.
    pub(super) fn row(&mut self, delivery: Delivery, destination: &str, state: &str) {
        if delivery.destination.as_str() != destination || delivery.state.as_str() != state {
            self.law.faults.push(format!(
                "delivery {}: its columns say {destination}, {state}; its record says {}, {}",
                delivery.id,
                delivery.destination,
                delivery.state.as_str()
            ));
        }
        let ended = self.named.get(&delivery.id).and_then(|named| named.ended);
        // A signal goes out anew when what it answers comes again; an earlier version did not record that.
        let is_anew = delivery.purpose == DeliveryPurpose::Signal && !delivery.state.is_terminal();
        if let Some(ended) = ended.filter(|ended| *ended != delivery.state && !is_anew) {
            let (id, said, is) = (&delivery.id, ended.as_str(), delivery.state.as_str());
            let fault = format!("delivery {id}: the audit record says that it is {said}, and it is {is}");
            self.contradicted.insert(delivery.id.clone(), fault);
        }
        self.count(delivery.destination, delivery.state);
        self.found.insert(delivery.id);
    }

    /// One row whose record is damaged: it counts by its key columns, and is a fault.
    pub(super) fn damaged(&mut self, damage: &Damage, row: Option<(DeliveryId, PartyKey, DeliveryState)>) {
        self.law.faults.push(damage.to_string());
        if let Some((id, destination, state)) = row {
            self.count(destination, state);
            self.found.insert(id);
        }
    }

    /// The law.
    pub(super) fn close(mut self) -> Conservation {
        self.law.faults.extend(self.contradicted.into_values());
        for (id, Named { party, .. }) in &self.named {
            if !self.found.contains(id) {
                self.law
                    .faults
                    .push(format!("delivery {id} is in the audit record and nowhere else: it is lost"));
                if let Some(party) = party {
                    self.law.destinations.entry(party.clone()).or_default().created += 1;
                }
            }
        }
        self.law
    }

    fn count(&mut self, destination: PartyKey, state: DeliveryState) {
        let account = self.law.destinations.entry(destination).or_default();
        account.created += 1;
        account.count(state);
    }
}

/// How a delivery has ended once this is said of it; `Some(None)` when it goes on, `None` when that says nothing about it.
fn ended_by(event: &str) -> Option<Option<DeliveryState>> {
    match event {
        "delivery.delivered" => Some(Some(DeliveryState::Delivered)),
        "delivery.rejected" => Some(Some(DeliveryState::Rejected)),
        "delivery.expired" => Some(Some(DeliveryState::Expired)),
        "delivery.again"
        | "delivery.released"
        | "delivery.settled"
        | "delivery.quarantined"
        | "delivery.kept"
        | "delivery.withheld"
        | "delivery.created" => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;
    use crate::store::tests::sample;

    fn entry(number: u32) -> AuditEntry {
        let mut entry = sample::entry("delivery.created");
        entry.delivery = Some(sample::delivery(number, "kfda").id);
        entry.party = Some(sample::party("kfda"));
        AuditEntry { sequence: u64::from(number), entry, hash: Digest([0; 32]) }
    }

    #[test]
    fn a_delivery_that_only_the_audit_record_knows_is_lost() {
        fn check(rows: &[u32], state: &str, holds: bool) {
            let mut accounting = Accounting::default();
            [1, 2].into_iter().for_each(|number| accounting.entry(entry(number)));
            for number in rows {
                accounting.row(sample::delivery(*number, "kfda"), "kfda", state);
            }
            let law = accounting.close();
            assert_eq!(law.holds(), holds, "{law:?} (P2)");
        }
        check(&[1, 2], "pending", true);
        check(&[1, 2, 3], "pending", true);
        check(&[2], "pending", false);
        check(&[1, 2], "delivered", false);
    }

    #[test]
    fn a_delivery_that_has_not_ended_as_was_recorded_is_a_fault() {
        fn check(said: &[&str], since: bool, holds: bool) {
            let mut accounting = Accounting::default();
            for event in said {
                let mut told = entry(1);
                told.entry.event = (*event).into();
                accounting.entry(told);
            }
            accounting.row(sample::delivery(1, "kfda"), "kfda", "pending");
            assert_eq!(accounting.is_contradicted(), !holds || since, "{said:?}");
            if since {
                accounting.entry_since(&entry(1));
            }
            assert_eq!(accounting.close().holds(), holds, "{said:?} (P2)");
        }
        for ended in ["delivery.delivered", "delivery.rejected", "delivery.expired"] {
            check(&["delivery.created"], false, true);
            check(&[ended], false, false);
            check(&[ended], true, true);
            check(&[ended, "delivery.purged"], false, false);
            for goes_on in [
                "delivery.again",
                "delivery.released",
                "delivery.settled",
                "delivery.quarantined",
                "delivery.kept",
                "delivery.withheld",
                "delivery.created",
            ] {
                check(&[ended, goes_on], false, true);
            }
        }
    }
}
