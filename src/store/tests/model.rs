//! Both homes against one simple model, under random batches and restarts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::sample::{
    self, approval, at, case, case_id, delivery, delivery_id, entry, message_id, new_message, party, sealed,
};
use super::suite::{everything, told};
use super::{TestDisk, commit, directory, options};
use crate::model::{CaseId, DeliveryState, Realm};
use crate::store::{
    ApprovalWrite, Batch, CaseWrite, CommitError, Conflict, CorrelationKey, DeliveryWrite, MemoryStore,
    Needs, SqliteStore, Store,
};

/// What a version is named as.
#[derive(Clone, Copy, Debug)]
enum Basis {
    New,
    Current,
    Stale,
}

#[derive(Clone, Debug)]
struct DeliveryPlan {
    number: u32,
    basis: Basis,
    message: u32,
    state: usize,
    due: u64,
    seals: bool,
}

#[derive(Clone, Debug)]
struct Plan {
    message: Option<u32>,
    case: Option<(u32, Basis, Vec<u32>)>,
    deliveries: Vec<DeliveryPlan>,
    approvals: Vec<(u32, Basis)>,
    entries: usize,
    restarts: bool,
}

fn basis() -> impl Strategy<Value = Basis> {
    prop_oneof![3 => Just(Basis::New), 6 => Just(Basis::Current), 1 => Just(Basis::Stale)]
}

fn delivery_plan() -> impl Strategy<Value = DeliveryPlan> {
    (0..6_u32, basis(), 0..8_u32, 0..DeliveryState::ALL.len(), 0..50_u64, prop::bool::weighted(0.2)).prop_map(
        |(number, basis, message, state, due, seals)| DeliveryPlan {
            number,
            basis,
            message,
            state,
            due,
            seals,
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    (
        prop::option::weighted(0.4, 0..8_u32),
        prop::option::weighted(0.5, (0..4_u32, basis(), prop::collection::vec(0..8_u32, 0..3))),
        prop::collection::vec(delivery_plan(), 0..4),
        prop::collection::btree_map(0..4_u32, basis(), 0..3),
        0..3_usize,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(message, case, mut deliveries, approvals, entries, restarts)| {
            let mut named = BTreeSet::new();
            deliveries.retain(|plan| named.insert(plan.number));
            let approvals = approvals.into_iter().collect();
            Plan { message, case, deliveries, approvals, entries, restarts }
        })
}

/// Keys 0 and 1 are conversations, which move; the others stay with their first case.
fn key(number: u32) -> CorrelationKey {
    match number {
        0 | 1 => CorrelationKey::Conversation(party("broker"), case(number).conversation_id),
        2 | 3 => CorrelationKey::Declaration(number.to_string().into()),
        4 | 5 => CorrelationKey::Application(number.to_string().into()),
        _ => CorrelationKey::Sent(message_id(number.to_string())),
    }
}

/// The simplest store that could be right: numbers only.
#[derive(Clone, Default)]
struct Model {
    messages: BTreeSet<u32>,
    cases: BTreeMap<u32, u64>,
    keys: BTreeMap<u32, u32>,
    /// Version, message, sealed.
    deliveries: BTreeMap<u32, (u64, u32, bool)>,
    approvals: BTreeMap<u32, u64>,
    entries: usize,
}

impl Model {
    fn basis(basis: Basis, version: Option<u64>) -> Option<u64> {
        match basis {
            Basis::New => None,
            Basis::Current => version,
            Basis::Stale => Some(version.unwrap_or(0) + 1),
        }
    }

    /// The batch that a plan means in this state.
    fn batch(&self, plan: &Plan) -> Batch {
        let case = plan.case.as_ref().map(|(number, basis, keys)| CaseWrite {
            case: case(*number),
            based_on: Self::basis(*basis, self.cases.get(number).copied()),
            correlations: sample::keys(&case(*number))
                .into_iter()
                .chain(keys.iter().copied().map(key))
                .collect(),
        });
        let write = |plan: &DeliveryPlan| {
            let known = self.deliveries.get(&plan.number);
            let mut value = delivery(plan.number, "kfda");
            value.message_id = message_id(format!("out-{}", plan.message));
            value.state = DeliveryState::ALL[plan.state];
            value.due = at(plan.due);
            value.sealed = plan.seals || known.is_some_and(|(.., sealed)| *sealed);
            let value_is_over = value.state == DeliveryState::Delivered;
            DeliveryWrite {
                delivery: value,
                based_on: Self::basis(plan.basis, known.map(|(version, ..)| *version)),
                sealed: plan.seals.then(|| sealed(format!("octets {}", plan.number))),
                receipt: value_is_over.then(|| sealed(format!("receipt {}", plan.number))),
            }
        };
        let deliveries: Vec<_> = plan.deliveries.iter().map(write).collect();
        let named = deliveries.iter().map(|write| told(&write.delivery));
        let audit = (0..plan.entries).map(|_| entry("something")).chain(named).collect();
        Batch {
            changed: None,
            sequences: Vec::new(),
            forgotten: None,
            message: plan.message.map(|number| new_message("broker", number, format!("body {number}"))),
            unchanged: Vec::new(),
            case,
            deliveries,
            approvals: plan
                .approvals
                .iter()
                .map(|(number, basis)| ApprovalWrite {
                    approval: approval(*number),
                    based_on: Self::basis(*basis, self.approvals.get(number).copied()),
                })
                .collect(),
            audit,
            head: None,
        }
    }

    /// What must become of it; the state changes only when all of it is taken.
    fn commit(&mut self, plan: &Plan) -> Result<(), CommitError> {
        let mut next = self.clone();
        if plan.message.is_some_and(|number| !next.messages.insert(number)) {
            return Err(CommitError::Duplicate);
        }
        if let Some((number, basis, keys)) = &plan.case {
            next.commit_case(*number, *basis, keys)?;
        }
        plan.deliveries.iter().try_for_each(|plan| next.commit_delivery(plan))?;
        for (number, basis) in &plan.approvals {
            let found = next.approvals.get(number).copied();
            if Self::basis(*basis, found) != found {
                return Err(CommitError::Conflict(Conflict::Approval { key: approval(*number).key, found }));
            }
            next.approvals.insert(*number, found.unwrap_or(0) + 1);
        }
        next.entries += plan.entries + plan.deliveries.len();
        *self = next;
        Ok(())
    }

    fn commit_case(&mut self, number: u32, basis: Basis, keys: &[u32]) -> Result<(), CommitError> {
        let found = self.cases.get(&number).copied();
        if Self::basis(basis, found) != found {
            return Err(CommitError::Conflict(Conflict::Case { id: case_id(number), found }));
        }
        self.cases.insert(number, found.unwrap_or(0) + 1);
        for at in keys {
            let owner = *self.keys.entry(*at).or_insert(number);
            if owner != number && *at > 1 {
                let owner = case_id(owner);
                return Err(CommitError::Conflict(Conflict::Correlation { key: key(*at), owner }));
            }
            self.keys.insert(*at, number);
        }
        Ok(())
    }

    fn commit_delivery(&mut self, plan: &DeliveryPlan) -> Result<(), CommitError> {
        let conflict = |conflict| Err(CommitError::Conflict(conflict));
        let id = delivery_id(plan.number);
        let known = self.deliveries.get(&plan.number).copied();
        let found = known.map(|(version, ..)| version);
        if Self::basis(plan.basis, found) != found {
            return conflict(Conflict::Delivery { id, found });
        }
        let mut others = self.deliveries.iter().filter(|(number, _)| **number != plan.number);
        if let Some((owner, _)) = others.find(|(_, (_, message, _))| *message == plan.message) {
            return conflict(Conflict::MessageId { owner: delivery_id(*owner) });
        }
        let is_sealed = known.is_some_and(|(.., sealed)| sealed);
        if plan.seals && is_sealed {
            return conflict(Conflict::Sealed { id });
        }
        self.deliveries.insert(plan.number, (found.unwrap_or(0) + 1, plan.message, is_sealed || plan.seals));
        Ok(())
    }

    /// Compares what a home knows with it.
    fn check(&self, store: &dyn Store) {
        for number in 0..8 {
            let found =
                store.case(Realm::Production, &key(number)).expect("readable").map(|case| case.value.id);
            let expected: Option<CaseId> = self.keys.get(&number).map(|number| case_id(*number));
            assert_eq!(found, expected, "{}", key(number));
        }
        for number in 0..4 {
            let found =
                store.case(Realm::Production, &CorrelationKey::Case(case_id(number))).expect("readable");
            assert_eq!(found.map(|case| case.version), self.cases.get(&number).copied());
        }
        for number in 0..4 {
            let key = approval(number).key;
            let needs = Needs { approvals: [key.number.clone()].into(), ..Needs::default() };
            let found = store.load(&needs).expect("readable").approvals;
            let found = found.get(&key).map(|found| found.version);
            assert_eq!(found, self.approvals.get(&number).copied(), "{key}");
        }
        let law = store.conservation().expect("readable");
        let created = law.destinations.get(&party("kfda")).map_or(0, |account| account.created);
        assert_eq!((law.holds(), created), (true, self.deliveries.len() as u64), "P2");
        assert_eq!(store.audit(1, usize::MAX).expect("readable").items.len(), self.entries, "P18");
        assert_eq!(store.scrub().expect("readable"), []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_homes_do_what_the_model_does(plans in prop::collection::vec(plan(), 1..40)) {
        let directory = directory();
        let options = options(&directory);
        let mut disk = TestDisk::default();
        let mut model = Model::default();
        let mut memory = MemoryStore::open(Box::new(disk.clone())).expect("it opens");
        let mut sqlite = SqliteStore::open(options.clone()).expect("it opens");
        for plan in &plans {
            if plan.restarts {
                disk = disk.after_crash(0);
                memory = MemoryStore::open(Box::new(disk.clone())).expect("it opens");
                drop(sqlite);
                sqlite = SqliteStore::open(options.clone()).expect("it opens");
            }
            let batch = model.batch(plan);
            let expected = model.commit(plan);
            prop_assert_eq!(commit(&memory, batch.clone()), expected.clone(), "memory: {:?}", plan);
            prop_assert_eq!(commit(&sqlite, batch), expected, "SQLite: {:?}", plan);
        }
        model.check(&memory);
        model.check(&sqlite);
        let parties = [party("kfda")];
        prop_assert_eq!(everything(&memory, &parties), everything(&sqlite, &parties));
    }
}
