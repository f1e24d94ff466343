//! The conservation law, computed from every record (P2).
//!
//! Two sides that were written independently are compared, both ways: what the audit record says of each delivery, and
//! the rows of deliveries, each decoded and checked. A delivery that the audit record knows and that has no row is lost.
//! A row that the audit record does not know, or that stands otherwise than its last word about it, is a fault: else what
//! was never sent could stand there as delivered. So is a row whose key columns say something else than its record.
//!
//! Of each row one octet is remembered, whatever the length of the history.

use std::collections::BTreeMap;

use crate::model::{Delivery, DeliveryId, DeliveryPurpose, DeliveryState, PartyKey};

use super::{AuditEntry, Conservation, Damage};

/// Gathers both sides; the audit record first, so that a delivery made meanwhile is no fault.
#[derive(Default)]
pub(super) struct Accounting {
    said: Said,
    /// What the audit record names and no row has.
    missing: BTreeMap<DeliveryId, (Option<PartyKey>, Word)>,
    /// Rows that stand otherwise than the audit record said, unless it has said more since.
    contradicted: BTreeMap<DeliveryId, String>,
    law: Conservation,
}

/// The last word of the audit record about a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    /// It names it, and says nothing of how it stands.
    Named,
    /// It goes on.
    Open,
    /// An operator keeps it back.
    Held,
    /// It has ended so, or waits for an operator.
    Ended(DeliveryState),
}

impl Accounting {
    /// One entry of the audit record, and the number of the row that it names.
    pub(super) fn entry(&mut self, entry: AuditEntry, row: Option<u64>) {
        let Some(delivery) = entry.entry.delivery else { return };
        let word = Word::of(&entry.entry.event);
        match row {
            Some(number) => self.said.say(number, word),
            None => {
                let (_, said) = self.missing.entry(delivery).or_insert((entry.entry.party, Word::Named));
                *said = word.unwrap_or(*said);
            }
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

    /// One row: its number, its record, and the destination and state that its key columns say.
    pub(super) fn row(&mut self, number: u64, delivery: Delivery, destination: &str, state: &str) {
        if delivery.destination.as_str() != destination || delivery.state.as_str() != state {
            self.law.faults.push(format!(
                "delivery {}: its columns say {destination}, {state}; its record says {}, {}",
                delivery.id,
                delivery.destination,
                delivery.state.as_str()
            ));
        }
        // One whose column has another id is found here, by that of its record.
        let missing = self.missing.remove(&delivery.id).map(|(_, word)| word);
        if let Some(why) = contradiction(self.said.of(number).or(missing), &delivery) {
            let fault = format!("delivery {}: {why}", delivery.id);
            self.contradicted.insert(delivery.id, fault);
        }
        self.count(delivery.destination, delivery.state);
    }

    /// What is damaged is a fault; a row whose record is damaged counts by its key columns.
    pub(super) fn damaged(&mut self, damage: &Damage, row: Option<(PartyKey, DeliveryState)>) {
        self.law.faults.push(damage.to_string());
        if let Some((destination, state)) = row {
            self.count(destination, state);
        }
    }

    /// The law.
    pub(super) fn close(mut self) -> Conservation {
        self.law.faults.extend(self.contradicted.into_values());
        for (id, (party, _)) in self.missing {
            self.law
                .faults
                .push(format!("delivery {id} is in the audit record and nowhere else: it is lost"));
            if let Some(party) = party {
                self.law.destinations.entry(party).or_default().created += 1;
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

/// In what a row and the last word about it contradict each other.
fn contradiction(said: Option<Word>, delivery: &Delivery) -> Option<String> {
    let (state, is) = (delivery.state, delivery.state.as_str());
    // A signal goes out anew when what it answers comes again; an earlier version did not record that.
    let is_anew = delivery.purpose == DeliveryPurpose::Signal && !state.is_terminal();
    match said {
        None => Some(format!("no entry of the audit record names it, and it is {is}")),
        Some(Word::Ended(said)) if said != state && !is_anew => {
            Some(format!("the audit record says that it is {}, and it is {is}", said.as_str()))
        }
        Some(Word::Held) if state != DeliveryState::Held => {
            Some(format!("the audit record says that it is held, and it is {is}"))
        }
        Some(Word::Open) if state.is_terminal() || state == DeliveryState::Held => {
            Some(format!("the audit record says that it goes on, and it is {is}"))
        }
        Some(Word::Named) if state.is_terminal() => {
            Some(format!("the audit record does not say how it ended, and it is {is}"))
        }
        Some(Word::Ended(_) | Word::Held | Word::Open | Word::Named) => None,
    }
}

impl Word {
    /// How a delivery stands once this is said of it; `None` when that says nothing about it.
    fn of(event: &str) -> Option<Self> {
        match event {
            "delivery.delivered" | "delivery.settled" => Some(Self::Ended(DeliveryState::Delivered)),
            "delivery.rejected" => Some(Self::Ended(DeliveryState::Rejected)),
            "delivery.expired" => Some(Self::Ended(DeliveryState::Expired)),
            "delivery.quarantined" => Some(Self::Ended(DeliveryState::Quarantined)),
            "delivery.withheld" => Some(Self::Held),
            "delivery.created" | "delivery.again" | "delivery.released" | "delivery.kept" => Some(Self::Open),
            _ => None,
        }
    }
}

/// The last word about each row, in pages of neighbours: rows are numbered in the order in which they were made.
#[derive(Default)]
struct Said(BTreeMap<u64, Box<[Option<Word>; PAGE]>>);

impl Said {
    /// Something is said of a row; `None` when it only names it.
    fn say(&mut self, number: u64, word: Option<Word>) {
        let page = self.0.entry(number / PAGE as u64).or_insert_with(|| Box::new([None; PAGE]));
        let said = &mut page[(number % PAGE as u64) as usize];
        *said = word.or(*said).or(Some(Word::Named));
    }

    fn of(&self, number: u64) -> Option<Word> {
        self.0.get(&(number / PAGE as u64)).and_then(|page| page[(number % PAGE as u64) as usize])
    }
}

/// Rows in a page.
const PAGE: usize = 4096;
const _: () = assert!(size_of::<Option<Word>>() == 1, "a long history is to fit into memory");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Digest;
    use crate::store::tests::sample;

    fn entry(number: u32, event: &str) -> AuditEntry {
        let mut entry = sample::entry(event);
        entry.delivery = Some(sample::delivery(number, "kfda").id);
        entry.party = Some(sample::party("kfda"));
        AuditEntry { sequence: u64::from(number), entry, hash: Digest([0; 32]) }
    }

    #[test]
    fn each_delivery_is_in_the_audit_record_and_has_a_row_p2() {
        fn check(rows: &[u32], state: &str, faults: &[&str]) {
            let mut accounting = Accounting::default();
            for number in [1, 2] {
                let row = rows.contains(&number).then_some(u64::from(number));
                accounting.entry(entry(number, "delivery.created"), row);
            }
            for number in rows {
                accounting.row(u64::from(*number), sample::delivery(*number, "kfda"), "kfda", state);
            }
            let law = accounting.close();
            assert_eq!(law.holds(), faults.is_empty(), "{law:?} (P2)");
            assert_eq!(law.faults.len(), faults.len(), "{law:?}");
            for (fault, expected) in law.faults.iter().zip(faults) {
                assert!(fault.contains(expected), "{fault}, expected {expected}");
            }
        }
        check(&[1, 2], "pending", &[]);
        check(&[1, 2, 3], "pending", &["delivery-3: no entry of the audit record names it"]);
        check(&[2], "pending", &["delivery-1 is in the audit record and nowhere else"]);
        check(&[1, 2], "delivered", &["delivery-1: its columns say", "delivery-2: its columns say"]);
    }

    /// One whose key column is not that of its record any more is there all the same.
    #[test]
    fn a_row_that_is_found_by_its_record_alone_is_not_lost() {
        let mut accounting = Accounting::default();
        accounting.entry(entry(1, "delivery.delivered"), None);
        accounting.row(1, sample::delivery(1, "kfda"), "kfda", "pending");
        let faults = accounting.close().faults;
        assert_eq!(
            faults,
            ["delivery delivery-1: the audit record says that it is delivered, and it is pending"]
        );
    }

    /// Every state under every last word: a row stands as the audit record says that it does, or is a fault (P2).
    #[test]
    fn a_delivery_that_stands_otherwise_than_was_recorded_is_a_fault_p2() {
        use DeliveryState::{
            AwaitingAcknowledgment, Delivered, Expired, Held, Pending, Quarantined, Rejected,
        };
        fn check(said: &[&str], fits: &[DeliveryState]) {
            for (state, since) in DeliveryState::ALL.into_iter().flat_map(|it| [(it, false), (it, true)]) {
                let mut accounting = Accounting::default();
                said.iter().for_each(|event| accounting.entry(entry(1, event), Some(1)));
                let row = Delivery { state, ..sample::delivery(1, "kfda") };
                accounting.row(1, row, "kfda", state.as_str());
                let holds = fits.contains(&state);
                assert_eq!(accounting.is_contradicted(), !holds, "{said:?}, {state:?}");
                if since {
                    accounting.entry_since(&entry(1, "delivery.attempted"));
                }
                assert_eq!(accounting.close().holds(), holds || since, "{said:?}, {state:?} (P2)");
            }
        }
        check(&[], &[]);
        check(&["delivery.attempted"], &[Pending, AwaitingAcknowledgment, Held]);
        for before in ["delivery.created", "delivery.delivered", "delivery.quarantined", "delivery.withheld"]
        {
            for (word, fits) in [
                ("delivery.created", &[Pending, AwaitingAcknowledgment][..]),
                ("delivery.again", &[Pending, AwaitingAcknowledgment]),
                ("delivery.released", &[Pending, AwaitingAcknowledgment]),
                ("delivery.kept", &[Pending, AwaitingAcknowledgment]),
                ("delivery.withheld", &[Held]),
                ("delivery.delivered", &[Delivered]),
                ("delivery.settled", &[Delivered]),
                ("delivery.rejected", &[Rejected]),
                ("delivery.expired", &[Expired]),
                ("delivery.quarantined", &[Quarantined]),
            ] {
                check(&[before, word], fits);
                check(&[before, word, "delivery.purged"], fits);
            }
        }
    }

    /// An earlier version did not record that a signal goes out anew.
    #[test]
    fn a_signal_that_goes_out_anew_has_not_to_say_so() {
        fn check(state: DeliveryState, holds: bool) {
            let mut accounting = Accounting::default();
            accounting.entry(entry(1, "delivery.delivered"), Some(1));
            let row = Delivery { state, purpose: DeliveryPurpose::Signal, ..sample::delivery(1, "kfda") };
            accounting.row(1, row, "kfda", state.as_str());
            assert_eq!(accounting.close().holds(), holds, "{state:?}");
        }
        check(DeliveryState::Pending, true);
        check(DeliveryState::AwaitingAcknowledgment, true);
        check(DeliveryState::Delivered, true);
        check(DeliveryState::Expired, false);
    }
}
