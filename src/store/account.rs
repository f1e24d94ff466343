//! The conservation law, computed from every record (P2).
//!
//! Two sides that were written independently are compared: the deliveries that the audit record names, and the
//! rows of deliveries, each decoded and checked. A delivery that the audit record knows and that has no row is
//! lost; a row whose key columns say something else than its record is a fault.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Delivery, DeliveryId, DeliveryState, PartyKey};

use super::{AuditEntry, Conservation, Damage};

/// Gathers both sides; the audit record first, so that a delivery made meanwhile is no fault.
#[derive(Default)]
pub(super) struct Accounting {
    named: BTreeMap<DeliveryId, Option<PartyKey>>,
    found: BTreeSet<DeliveryId>,
    law: Conservation,
}

impl Accounting {
    /// One entry of the audit record.
    pub(super) fn entry(&mut self, entry: AuditEntry) {
        if let Some(delivery) = entry.entry.delivery {
            self.named.entry(delivery).or_insert(entry.entry.party);
        }
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
        for (id, party) in &self.named {
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
}
