//! Messages and deliveries: versions, duplicates, what is due, large octets, what was purged.

use super::*;

pub(super) fn what_is_committed_is_loaded(store: &dyn Store) {
    let mut first = delivery(100, "loaded");
    first.case = Some(case_id(100));
    first.sealed = true;
    let mut batch = opens(100, vec![CorrelationKey::Declaration("declaration-100".into())]);
    batch.message = Some(new_message("broker", 100, "body 100"));
    batch.audit.push(told(&first));
    let octets = sealed("octets 100");
    batch.deliveries = vec![DeliveryWrite {
        delivery: first.clone(),
        based_on: None,
        sealed: Some(octets.clone()),
        receipt: None,
    }];
    assert_eq!(commit(store, batch), Ok(()));

    let sent = DeliveryLocator::Sent { destination: party("loaded"), message_id: message_id("out-100") };
    for locator in [DeliveryLocator::Id(delivery_id(100)), sent] {
        let needs = Needs {
            message: Some(message_key("broker", 100)),
            case: vec![CorrelationKey::Declaration("no such".into())],
            delivery: Some(locator.clone()),
            case_of_delivery: true,
            versions: true,
            sealed: true,
            parts_of_delivery: true,
            refusal: Some(delivery_id(100)),
            acknowledged: Some(locator.clone()),
            wanted: Some(locator),
            named: Some("declaration-100".into()),
            statistics: None,
            approvals_of_case: true,
            ..Needs::default()
        };
        let view = store.load(&needs).expect("readable");
        let message = view.message.expect("the message");
        assert_eq!(message.record, new_message("broker", 100, "").record);
        assert_eq!(message.response.expect("its answer"), sealed("answer to 100"));
        let found = view.delivery.expect("the delivery");
        assert_eq!((&found.value, found.version), (&first, 1));
        assert_eq!(
            view.acknowledged,
            Some(Acknowledged { delivery: found.clone(), sealed: Some(octets.clone()) })
        );
        assert_eq!(view.wanted, Some(found.clone()));
        assert_eq!(
            view.named.iter().map(|(case, timeline)| (&case.id, timeline.len())).collect::<Vec<_>>(),
            [(&case_id(100), 1)]
        );
        assert_eq!(view.refusal, Some(found));
        assert_eq!(view.sealed.as_ref(), Some(&octets));
        assert_eq!(view.case.expect("the case of the delivery").value, case(100));
        assert_eq!(view.found_by, Some(CorrelationKey::Case(case_id(100))));
        let body = view.bodies.get(&message_key("broker", 100)).expect("the body that its part comes from");
        assert_eq!(
            (&**body.body.held(), &*body.content_type),
            (&b"body 100"[..], &*message.record.content_type)
        );
    }
}

pub(super) fn a_duplicate_changes_nothing_and_finds_the_first_answer(store: &dyn Store) {
    let batch = |body: &'static str, number| Batch {
        message: Some(new_message("sender-200", 200, body)),
        ..makes(delivery(number, "duplicates"))
    };
    assert_eq!(commit(store, batch("first", 200)), Ok(()));
    assert_eq!(commit(store, batch("second", 201)), Err(CommitError::Duplicate), "P3");
    assert!(store.load(&by_id(201)).expect("readable").delivery.is_none(), "no second delivery (P3)");
    let body = store.body(&message_key("sender-200", 200)).expect("readable").expect("there");
    assert_eq!(&**body.body.held(), b"first");
    let elsewhere = Batch { message: Some(new_message("sender-201", 200, "x")), ..Batch::default() };
    assert_eq!(commit(store, elsewhere), Ok(()), "the key has the sender in it (P3)");
}

pub(super) fn a_delivery_is_written_only_over_the_version_that_was_read(store: &dyn Store) {
    let write = |number: u32, attempts: u32, based_on, octets: Option<&'static str>| {
        let mut changed = delivery(number, "versions");
        changed.attempts = attempts;
        changed.sealed = octets.is_some();
        if number == 502 {
            changed.message_id = message_id("out-500");
        }
        let audit = vec![told(&changed)];
        let write = DeliveryWrite { delivery: changed, based_on, sealed: octets.map(sealed), receipt: None };
        commit(store, Batch { deliveries: vec![write], audit, ..Batch::default() })
    };
    let conflict = |conflict| Err(CommitError::Conflict(conflict));
    let stale = |found| conflict(Conflict::Delivery { id: delivery_id(500), found });
    let taken = || conflict(Conflict::MessageId { owner: delivery_id(500) });
    assert_eq!(write(500, 1, Some(1), None), stale(None));
    assert_eq!(write(500, 0, None, None), Ok(()));
    assert_eq!(write(500, 9, None, None), stale(Some(1)));
    assert_eq!(write(500, 1, Some(1), Some("sealed once")), Ok(()));
    assert_eq!(write(500, 2, Some(1), None), stale(Some(2)));
    assert_eq!(write(500, 2, Some(2), Some("again")), conflict(Conflict::Sealed { id: delivery_id(500) }));
    assert_eq!(write(502, 0, None, None), taken(), "one message to one destination");
    assert_eq!(write(501, 3, None, None), Ok(()));

    let mut moved = delivery(501, "versions");
    moved.message_id = message_id("out-500");
    let write = DeliveryWrite { delivery: moved, based_on: Some(1), sealed: None, receipt: None };
    assert_eq!(commit(store, Batch { deliveries: vec![write], ..Batch::default() }), taken());

    let view = store.load(&Needs { sealed: true, ..by_id(500) }).expect("readable");
    assert_eq!(view.delivery.expect("there").value.attempts, 1);
    assert_eq!(&**view.sealed.expect("sealed").body.held(), b"sealed once");
}

pub(super) fn what_is_due_comes_in_order_and_leaves_when_it_ends(store: &dyn Store) {
    let due = |now, limit| -> Vec<_> {
        let due = store.due(&party("due"), now, limit).expect("readable");
        due.into_iter().map(|due| due.id).collect()
    };
    for (number, seconds) in [(700, 30), (701, 10), (702, 20), (703, 20)] {
        let mut made = delivery(number, "due");
        made.due = at(seconds);
        assert_eq!(commit(store, makes(made)), Ok(()));
    }
    assert_eq!(store.next_due(&party("due")).expect("readable"), Some(at(10)));
    assert_eq!(due(at(9), 10), []);
    assert_eq!(due(at(20), 10), [701, 702, 703].map(delivery_id));
    assert_eq!(due(at(99), 2), [701, 702].map(delivery_id));

    let states = [
        (701, DeliveryState::AwaitingAcknowledgment, 40),
        (702, DeliveryState::Held, 20),
        (703, DeliveryState::Delivered, 20),
        (700, DeliveryState::Pending, 31),
    ];
    for (number, state, seconds) in states {
        let mut changed = delivery(number, "due");
        (changed.state, changed.due, changed.attempts) = (state, at(seconds), 1);
        let audit = vec![told(&changed)];
        let write = DeliveryWrite { delivery: changed, based_on: Some(1), sealed: None, receipt: None };
        assert_eq!(commit(store, Batch { deliveries: vec![write], audit, ..Batch::default() }), Ok(()));
    }
    assert_eq!(due(at(99), 10), [700, 701].map(delivery_id));
    let first = store.due(&party("due"), at(99), 1).expect("readable").remove(0);
    assert_eq!((first.due, first.attempts), (at(31), 1));
    assert_eq!(due(Timestamp::EPOCH, 10), []);

    let stalled = |beyond, limit| -> Vec<_> {
        let stalled = store.stalled(&party("due"), at(beyond), limit).expect("readable");
        stalled.into_iter().map(|due| due.id).collect()
    };
    let mut kept = delivery(704, "due");
    (kept.due, kept.mailbox) = (at(9_000), true);
    assert_eq!(commit(store, makes(kept)), Ok(()));
    assert_eq!(stalled(30, 10), [701, 700].map(delivery_id), "latest first, and nothing out of a mailbox");
    assert_eq!(stalled(30, 1), [delivery_id(701)]);
    assert_eq!(stalled(40, 10), []);
    assert_eq!(store.due(&party("somebody else"), at(99), 10).expect("readable"), []);
}

pub(super) fn a_message_that_was_held_changes_and_keeps_its_octets_and_its_answer(store: &dyn Store) {
    let mut held = new_message("held", 795, "as it came");
    held.record.held = true;
    let (key, before) = (held.record.key.clone(), held.record.clone());
    let answer = held.response.clone();
    assert_eq!(commit(store, Batch { message: Some(held), ..Batch::default() }), Ok(()));
    let record = StoredMessage { held: false, case: Some(case_id(795)), ..before };
    let change = |based_on| {
        let changed = Some(MessageWrite { record: record.clone(), based_on });
        commit(store, Batch { changed, ..Batch::default() })
    };
    let conflict =
        |found| Err(CommitError::Conflict(Conflict::Message { key: key.clone(), found: Some(found) }));
    assert_eq!(change(2), conflict(1));
    assert_eq!(change(1), Ok(()));
    assert_eq!(change(1), conflict(2));
    let needs = Needs { message: Some(key.clone()), ..Needs::default() };
    let known = store.load(&needs).expect("readable").message.expect("is there");
    assert_eq!((&known.record, known.version, known.response), (&record, 2, answer));
    assert_eq!(store.body(&key).expect("readable").expect("is there").body, "as it came".into());
    let of_case = MessageFilter { case: Some(case_id(795)), ..MessageFilter::default() };
    assert_eq!(store.messages(&of_case, 9).expect("readable").items, [record]);
}

pub(super) fn large_octets_are_kept_like_small_ones(store: &dyn Store) {
    for (number, length) in [(800, 256 * 1024), (801, 256 * 1024 + 1), (802, 3 << 20), (803, 0)] {
        let octets = |fill: u8| vec![fill; length];
        let mut made = delivery(number, "large");
        made.sealed = true;
        let mut batch = makes(made.clone());
        batch.message = Some(new_message("broker", number, octets(1)));
        batch.deliveries[0].sealed = Some(sealed(octets(2)));
        assert_eq!(commit(store, batch), Ok(()));
        let needs = Needs { sealed: true, parts_of_delivery: true, ..by_id(number) };
        let view = store.load(&needs).expect("readable");
        assert_eq!(view.sealed.expect("sealed").body, octets(2).into(), "{length} octets (P6)");
        assert_eq!(view.bodies[&message_key("broker", number)].body, octets(1).into());
    }
}

/// What says that it was purged has no octets any more, and is known all the same; nothing else loses any.
pub(super) fn what_is_purged_is_known_and_has_no_octets(store: &dyn Store) {
    let purged = Some(Purged { at: at(9), archive: Digest([9; 32]), bytes: 12 });
    let large = vec![7; 300_000];
    let [one, other] = [951, 952].map(|number| new_message("purged", number, large.clone()));
    for message in [&one, &other] {
        assert_eq!(commit(store, Batch { message: Some(message.clone()), ..Batch::default() }), Ok(()));
    }
    let sent = DeliveryWrite {
        delivery: crate::model::Delivery { sealed: true, ..delivery(953, "purged") },
        based_on: None,
        sealed: Some(sealed("sent")),
        receipt: Some(sealed("receipt")),
    };
    let id = sent.delivery.id.clone();
    let made = makes(sent.delivery.clone());
    assert_eq!(commit(store, Batch { deliveries: vec![sent.clone()], ..made }), Ok(()));

    let key = one.record.key.clone();
    let record = crate::model::StoredMessage { purged: purged.clone(), ..one.record.clone() };
    let write = |based_on| MessageWrite { record: record.clone(), based_on };
    let stale = commit(store, Batch { changed: Some(write(7)), ..Batch::default() });
    let conflict = Conflict::Message { key: key.clone(), found: Some(1) };
    assert_eq!(stale, Err(CommitError::Conflict(conflict)));
    let beside = other.record.key.clone();
    for (unchanged, conflict) in [
        (Unchanged::Case(case_id(999), 1), Conflict::Case { id: case_id(999), found: None }),
        (Unchanged::Message(beside.clone(), 7), Conflict::Message { key: beside.clone(), found: Some(1) }),
    ] {
        let rests = Batch { changed: Some(write(1)), unchanged: vec![unchanged], ..Batch::default() };
        assert_eq!(commit(store, rests), Err(CommitError::Conflict(conflict)), "what it rests on is another");
    }
    assert!(store.body(&key).expect("readable").is_some(), "nothing of it is written");

    let rests = vec![Unchanged::Message(beside, 1)];
    assert_eq!(
        commit(store, Batch { changed: Some(write(1)), unchanged: rests, ..Batch::default() }),
        Ok(())
    );
    let gone = crate::model::Delivery { purged: purged.clone(), ..sent.delivery.clone() };
    let gone = DeliveryWrite { delivery: gone, based_on: Some(1), sealed: None, receipt: None };
    assert_eq!(commit(store, Batch { deliveries: vec![gone], ..Batch::default() }), Ok(()));
    store.sweep().expect("swept");

    assert_eq!(store.body(&key).expect("readable"), None);
    assert_eq!(store.receipt(&id).expect("readable"), None);
    let needs = Needs {
        message: Some(key.clone()),
        delivery: Some(DeliveryLocator::Id(id.clone())),
        sealed: true,
        ..Needs::default()
    };
    let view = store.load(&needs).expect("readable");
    let known = view.message.expect("it is known for ever (P3)");
    assert_eq!((known.record.purged, known.response, known.version), (purged, None, 2));
    assert_eq!(view.sealed, None);
    let again = commit(store, Batch { message: Some(one.clone()), ..Batch::default() });
    assert_eq!(again, Err(CommitError::Duplicate), "the duplicate memory outlives the octets (P3)");
    // Another message has the same octets: they are its own.
    let body = store.body(&other.record.key).expect("readable").expect("there");
    assert_eq!(body.body, large.into(), "P12");
    let kept = store.kept_messages(0, usize::MAX).expect("readable");
    assert!(
        kept.iter().all(|(_, found)| found.as_ref() != Ok(&key))
            && kept.iter().any(|(_, found)| found.as_ref() == Ok(&other.record.key))
    );
    assert!(kept.windows(2).all(|two| two[0].0 < two[1].0), "in their order");
    let second = kept[1].0;
    assert_eq!(store.kept_messages(kept[0].0, 1).expect("readable")[0].0, second);
    let deliveries = store.kept_deliveries(0, usize::MAX).expect("readable");
    assert!(deliveries.iter().all(|(_, found)| found.as_ref() != Ok(&id)));
    assert_eq!(store.scrub().expect("readable"), [], "what is gone is no damage");
}
