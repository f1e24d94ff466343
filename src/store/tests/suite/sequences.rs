//! Sequences of ordered messages: versions, what is due, what is forgotten.

use super::*;

fn orders(sequence: Sequence, based_on: Option<u64>) -> Batch {
    Batch { sequences: vec![SequenceWrite { sequence, based_on }], ..Batch::default() }
}

pub(super) fn a_sequence_is_written_only_over_the_version_that_was_read(store: &dyn Store) {
    let new = |direction, number| sample::sequence(direction, number);
    let conflict = |sequence: Sequence, found| {
        Err(CommitError::Conflict(Conflict::Sequence { key: sequence.key, found }))
    };
    let (sent, received) = (new(Direction::Send, 790), new(Direction::Receive, 790));
    assert_eq!(commit(store, orders(sent.clone(), Some(1))), conflict(sent.clone(), None));
    assert_eq!(commit(store, orders(sent.clone(), None)), Ok(()));
    assert_eq!(commit(store, orders(sent.clone(), None)), conflict(sent.clone(), Some(1)));
    assert_eq!(commit(store, orders(received.clone(), None)), Ok(()), "each direction counts for itself");
    let mut early = received.clone();
    early.early.insert(SequenceNumber::LAST, sample::early(790));
    early.due = Some(at(30));
    assert_eq!(commit(store, orders(early.clone(), Some(1))), Ok(()));
    let due = Sequence { due: Some(at(10)), ..new(Direction::Receive, 791) };
    assert_eq!(commit(store, orders(due.clone(), None)), Ok(()));
    // What was decided on an older look takes nothing with it.
    let late = Batch { sequences: orders(received, Some(1)).sequences, ..opens(790, vec![]) };
    assert_eq!(commit(store, late), conflict(early.clone(), Some(2)));
    assert!(store.case(Realm::Production, &CorrelationKey::Case(case_id(790))).expect("readable").is_none());

    let keys = [&sent, &early].map(|sequence| sequence.key.clone());
    let needs = Needs { sequences: keys.into(), ..Needs::default() };
    let found = store.load(&needs).expect("readable").sequences;
    let found: Vec<_> = found.into_values().map(|found| (found.value, found.version)).collect();
    assert_eq!(found, [(sent.clone(), 1), (early.clone(), 2)]);
    let scheduled = |limit| -> Vec<_> {
        let scheduled = store.scheduled_sequences(limit).expect("readable");
        scheduled.into_iter().map(|due| (due.key, due.due)).collect()
    };
    let all = [(due.key.clone(), at(10)), (early.key.clone(), at(30))];
    assert_eq!((scheduled(9), scheduled(1)), (all.to_vec(), all[..1].to_vec()));
    let refused = [(SequenceNumber::LAST, 3)].into();
    let refused = Sequence { refused, ..new(Direction::Receive, 793) };
    assert_eq!(commit(store, orders(refused.clone(), None)), Ok(()));
    assert_eq!(store.sequences(true, 9).expect("readable").items, [early.clone(), refused.clone()]);
    assert_eq!(store.sequences(false, 9).expect("readable").items, [sent, early, due.clone(), refused]);
    assert_eq!(commit(store, orders(Sequence { due: None, ..due }, Some(1))), Ok(()));
    assert_eq!(scheduled(9), all[1..]);
}

pub(super) fn a_sequence_that_is_forgotten_is_gone_and_begins_anew(store: &dyn Store) {
    let begins = |time| sample::sequence(Direction::Receive, 792).beginning(at(time));
    let version = |time| at(time).as_millis().cast_unsigned();
    let first = begins(20);
    let key = first.key.clone();
    let forgets = |based_on| {
        let forgotten = Some(Forgotten { key: key.clone(), based_on });
        commit(store, Batch { forgotten, audit: vec![entry("conversation.forgotten")], ..Batch::default() })
    };
    let conflict = |found| Err(CommitError::Conflict(Conflict::Sequence { key: key.clone(), found }));
    let known = || {
        let needs = Needs { sequences: [key.clone()].into(), ..Needs::default() };
        store.load(&needs).expect("readable").sequences.remove(&key).map(|found| found.version)
    };
    let kept = || {
        let kept = store.kept_sequences(0, 99).expect("readable");
        kept.into_iter()
            .filter(|(_, kept)| kept.as_ref() == Ok(&key))
            .map(|(number, _)| number)
            .collect::<Vec<_>>()
    };
    assert_eq!(forgets(1), conflict(None));
    assert_eq!(commit(store, orders(first.clone(), None)), Ok(()));
    assert_eq!(known(), Some(version(20)), "its first version is when it began");
    let due = Sequence { due: Some(at(30)), ..first.clone() };
    assert_eq!(commit(store, orders(due.clone(), Some(version(20)))), Ok(()));
    assert_eq!(forgets(version(20)), conflict(Some(version(20) + 1)), "something came meanwhile");
    let [number] = kept()[..] else { panic!("it is kept once") };
    let after = store.kept_sequences(number, 99).expect("readable");
    assert!(after.iter().all(|(place, kept)| *place > number && kept.as_ref() != Ok(&key)));

    assert_eq!(forgets(version(20) + 1), Ok(()));
    assert_eq!((known(), kept()), (None, vec![]));
    assert!(store.sequences(false, 99).expect("readable").items.iter().all(|found| found.key != key));
    assert!(store.scheduled_sequences(99).expect("readable").iter().all(|due| due.key != key));
    assert_eq!(forgets(version(20) + 1), conflict(None), "once");
    // What was decided before that does not bring it back, nor write over what has begun anew.
    assert_eq!(commit(store, orders(due.clone(), Some(version(20) + 1))), conflict(None));
    assert_eq!(commit(store, orders(begins(40), None)), Ok(()));
    assert_eq!(known(), Some(version(40)));
    assert_eq!(commit(store, orders(due, Some(version(20) + 1))), conflict(Some(version(40))));
    assert_eq!(kept().len(), 1);
}
