//! The bank: it books once under a key, answers an order that it has answered the same again, and can be reached as
//! badly as everybody else. Requests and answers are lost, come twice, or come when nobody waits for them any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use gwanmun::model::{CaseId, Charge, ChargeOutcome, Timestamp};

use crate::world::World;

/// What the bank knows.
#[derive(Default)]
pub(crate) struct Bank {
    /// By key: the reference, when it was booked, and what for.
    booked: BTreeMap<Arc<str>, (Arc<str>, Timestamp, Charge)>,
    /// Why an order for a key was refused.
    refused: BTreeMap<(Arc<str>, Arc<str>), Arc<str>>,
}

/// A request of the gateway to the bank: in which of its lives, about what.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub(crate) life: u64,
    pub(crate) case: CaseId,
    pub(crate) attempt: u32,
    pub(crate) charge: Charge,
    /// What the bank is told as the key: that of the charge, unless a fault is planted.
    pub(crate) key: Arc<str>,
}

impl Bank {
    /// The reference under which a key is booked.
    pub(crate) fn reference(&self, key: &str) -> Option<&Arc<str>> {
        self.booked.get(key).map(|(reference, ..)| reference)
    }

    /// How often each fee was booked, by the words that name it.
    pub(crate) fn bookings(&self) -> BTreeMap<&str, usize> {
        let mut bookings = BTreeMap::new();
        for (_, _, charge) in self.booked.values() {
            *bookings.entry(&*charge.purpose).or_default() += 1;
        }
        bookings
    }

    fn take(&mut self, asking: &Asking, refuses: bool, now: Timestamp) -> ChargeOutcome {
        let Asking { charge, key, .. } = asking;
        if let Some((reference, at, booked)) = self.booked.get(key) {
            if (&booked.price, &booked.payee, &booked.purpose)
                != (&charge.price, &charge.payee, &charge.purpose)
            {
                return ChargeOutcome::Again {
                    reason: "the key is booked for something else".into(),
                    alarm: true,
                };
            }
            return ChargeOutcome::Paid { reference: reference.clone(), at: *at };
        }
        let of_order = (key.clone(), charge.order.clone());
        if let Some(reason) = self.refused.get(&of_order) {
            return ChargeOutcome::Refused { reason: reason.clone() };
        }
        if refuses {
            let reason: Arc<str> = "no funds".into();
            self.refused.insert(of_order, reason.clone());
            return ChargeOutcome::Refused { reason };
        }
        let reference: Arc<str> = format!("B-{}", self.booked.len() + 1).into();
        self.booked.insert(key.clone(), (reference.clone(), now, charge.clone()));
        ChargeOutcome::Paid { reference, at: now }
    }
}

impl World {
    /// A request reaches the bank.
    pub(crate) fn bank_is_asked(&mut self, asking: u64) {
        if self.strikes(self.scenario.faults.bad_manners) {
            return self.note("the bank is not there");
        }
        let refuses = self.chance.one_in(5);
        let asked = self.askings[&asking].clone();
        let outcome = self.bank.take(&asked, refuses, self.now);
        self.note(format!("the bank is asked about order {}: {outcome:?}", asked.charge.order));
        self.bank_answers(asking, outcome);
    }
}
