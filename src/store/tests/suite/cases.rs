//! Cases, and the approvals that they rest on: versions, keys, order in time, practice apart.

use super::*;

pub(super) fn a_case_is_written_only_over_the_version_that_was_read(store: &dyn Store) {
    let write = |round: u32, based_on| {
        let mut changed = case(300);
        changed.round = round;
        let correlations = sample::keys(&changed);
        let write = CaseWrite { case: changed, based_on, correlations };
        commit(store, Batch { case: Some(write), ..Batch::default() })
    };
    let conflict = |found| Err(CommitError::Conflict(Conflict::Case { id: case_id(300), found }));
    assert_eq!(write(1, Some(1)), conflict(None));
    assert_eq!(write(1, None), Ok(()));
    assert_eq!(write(9, None), conflict(Some(1)));
    assert_eq!(write(2, Some(1)), Ok(()));
    assert_eq!(write(9, Some(1)), conflict(Some(2)));
    let found =
        store.case(Realm::Production, &CorrelationKey::Case(case_id(300))).expect("readable").expect("there");
    assert_eq!((found.value.round, found.version), (2, 2));
}

pub(super) fn correlations_lead_to_one_case(store: &dyn Store) {
    let keys = vec![
        CorrelationKey::Declaration("400".into()),
        CorrelationKey::Application("A400".into()),
        CorrelationKey::Sent(message_id("out-400")),
        CorrelationKey::Result(party("kfda"), "R400".into()),
        CorrelationKey::Received(message_key("broker", 400)),
        CorrelationKey::Conversation(party("broker"), case(400).conversation_id),
    ];
    assert_eq!(commit(store, opens(400, keys.clone())), Ok(()));
    for key in &keys {
        let needs = Needs { case: vec![key.clone()], ..Needs::default() };
        let view = store.load(&needs).expect("readable");
        assert_eq!(view.case.expect("a case").value.id, case_id(400), "{key}");
        assert_eq!(view.found_by.as_ref(), Some(key));
    }
    let other = CorrelationKey::Result(party("other"), "R400".into());
    assert!(
        store.case(Realm::Production, &other).expect("readable").is_none(),
        "a result number belongs to its agency"
    );

    for key in keys.iter().take(5) {
        let conflict = Conflict::Correlation { key: key.clone(), owner: case_id(400) };
        assert_eq!(commit(store, opens(401, vec![key.clone()])), Err(CommitError::Conflict(conflict)));
    }
    let new = CorrelationKey::Declaration("401".into());
    assert_eq!(
        commit(store, opens(401, vec![new.clone(), keys[5].clone()])),
        Ok(()),
        "a conversation moves on"
    );
    let needs = Needs { case: vec![keys[5].clone(), keys[0].clone()], ..Needs::default() };
    let view = store.load(&needs).expect("readable");
    assert_eq!(view.case.expect("a case").value.id, case_id(401), "the first key decides");
    assert_eq!(view.found_by.as_ref(), Some(&keys[5]));
    assert_eq!(view.taken.get(&keys[0]), Some(&case_id(400)), "where the others lead is told");
}

pub(super) fn cases_that_are_scheduled_come_in_order(store: &dyn Store) {
    let scheduled = |limit| -> Vec<_> {
        let scheduled = store.scheduled_cases(limit).expect("readable");
        scheduled.into_iter().map(|case| (case.id, case.due)).collect()
    };
    let write = |number: u32, due: Option<u64>, based_on| {
        let mut changed = case(number);
        changed.due = due.map(at);
        let correlations = sample::keys(&changed);
        let write = CaseWrite { case: changed, based_on, correlations };
        assert_eq!(commit(store, Batch { case: Some(write), ..Batch::default() }), Ok(()));
    };
    for (number, due) in [(750, Some(30)), (751, Some(10)), (752, None), (753, Some(30))] {
        write(number, due, None);
    }
    let all = [(751, 10), (750, 30), (753, 30)].map(|(number, due)| (case_id(number), at(due)));
    assert_eq!(scheduled(10), all);
    assert_eq!(scheduled(1), all[..1]);
    for (number, due) in [(751, None), (752, Some(5)), (753, Some(20))] {
        write(number, due, Some(1));
    }
    assert_eq!(
        scheduled(10),
        [(752, 5), (753, 20), (750, 30)].map(|(number, due)| (case_id(number), at(due)))
    );
    for number in [750, 752, 753] {
        write(number, None, Some(if number == 750 { 1 } else { 2 }));
    }
    assert_eq!(scheduled(10), []);
}

pub(super) fn payments_that_are_under_way_come_in_order(store: &dyn Store) {
    let scheduled = |limit| -> Vec<_> {
        let scheduled = store.scheduled_payments(limit).expect("readable");
        scheduled.into_iter().map(|case| (case.id, case.due)).collect()
    };
    let write = |number: u32, due: Option<u64>, based_on| {
        let mut changed = case(number);
        changed.payment_due = due.map(at);
        let correlations = sample::keys(&changed);
        let write = CaseWrite { case: changed, based_on, correlations };
        assert_eq!(commit(store, Batch { case: Some(write), ..Batch::default() }), Ok(()));
    };
    for (number, due) in [(755, Some(30)), (756, Some(10)), (757, None)] {
        write(number, due, None);
    }
    assert_eq!(scheduled(10), [(756, 10), (755, 30)].map(|(number, due)| (case_id(number), at(due))));
    assert_eq!(scheduled(1), [(case_id(756), at(10))]);
    write(756, None, Some(1));
    write(757, Some(50), Some(1));
    assert_eq!(scheduled(10), [(755, 30), (757, 50)].map(|(number, due)| (case_id(number), at(due))));
    let stalled = |beyond, limit| -> Vec<_> {
        let stalled = store.stalled_payments(at(beyond), limit).expect("readable");
        stalled.into_iter().map(|case| (case.id, case.due)).collect()
    };
    assert_eq!(stalled(29, 10), [(757, 50), (755, 30)].map(|(number, due)| (case_id(number), at(due))));
    assert_eq!(stalled(29, 1), [(case_id(757), at(50))], "the one that is furthest ahead");
    assert_eq!(stalled(30, 10), [(case_id(757), at(50))], "later than, and not at");
    assert_eq!(stalled(50, 10), []);
    write(755, None, Some(1));
    write(757, None, Some(2));
    assert_eq!(scheduled(10), []);
    assert_eq!(stalled(0, 10), []);
}

fn keeps(approval: crate::model::Approval, based_on: Option<u64>) -> Batch {
    Batch { approvals: vec![ApprovalWrite { approval, based_on }], ..Batch::default() }
}

pub(super) fn an_approval_is_written_only_over_the_version_that_was_read(store: &dyn Store) {
    let conflict =
        |number, found| Err(CommitError::Conflict(Conflict::Approval { key: approval(number).key, found }));
    assert_eq!(commit(store, keeps(approval(770), Some(1))), conflict(770, None));
    assert_eq!(commit(store, keeps(approval(770), None)), Ok(()));
    assert_eq!(commit(store, keeps(approval(770), None)), conflict(770, Some(1)));
    let mut charged = approval(770);
    charged.charges.push(charge(770, false));
    assert_eq!(commit(store, keeps(charged.clone(), Some(1))), Ok(()));
    // Two that were decided on the same rest: the second one is told, with all that stands beside it in its batch.
    let late = Batch { approvals: keeps(charged.clone(), Some(1)).approvals, ..opens(770, vec![]) };
    assert_eq!(commit(store, late), conflict(770, Some(2)));
    assert!(store.case(Realm::Production, &CorrelationKey::Case(case_id(770))).expect("readable").is_none());

    // The same number of another agency is another approval.
    let mut other = approval(770);
    other.key.agency = party("npqs");
    assert_eq!(commit(store, keeps(other.clone(), None)), Ok(()));
    let needs = Needs { approvals: ["approval-770".into(), "no such".into()].into(), ..Needs::default() };
    let found = store.load(&needs).expect("readable").approvals;
    let found: Vec<_> = found.into_values().map(|found| (found.value, found.version)).collect();
    assert_eq!(found, [(charged.clone(), 2), (other, 1)]);

    // So is that of practice, which production never sees.
    let mut played = approval(770);
    played.key.realm = Realm::Practice;
    assert_eq!(commit(store, keeps(played.clone(), None)), Ok(()));
    let practice =
        store.load(&Needs { realm: Realm::Practice, ..needs.clone() }).expect("readable").approvals;
    assert_eq!(practice.into_values().map(|found| found.value).collect::<Vec<_>>(), [played]);
    let production = store.load(&needs).expect("readable").approvals;
    assert!(production.keys().all(|key| key.realm == Realm::Production));
}

pub(super) fn approvals_come_due_with_the_next_case_that_rests_on_them(store: &dyn Store) {
    let scheduled = |limit| -> Vec<_> {
        let scheduled = store.scheduled_approvals(limit).expect("readable");
        scheduled.into_iter().map(|due| (due.key, due.due)).collect()
    };
    for (number, due) in [(780, Some(30)), (781, Some(10)), (782, None)] {
        let mut made = approval(number);
        made.due = due.map(at);
        assert_eq!(commit(store, keeps(made, None)), Ok(()));
    }
    let all = [(781, 10), (780, 30)].map(|(number, due)| (approval(number).key, at(due)));
    assert_eq!(scheduled(9), all);
    assert_eq!(scheduled(1), all[..1]);
    for number in [783, 784] {
        assert_eq!(commit(store, opens(number, vec![])), Ok(()));
    }
    let mut marked = approval(780);
    marked.charges = vec![charge(783, false), charge(784, true)];
    assert_eq!(commit(store, keeps(marked.clone(), Some(1))), Ok(()));
    assert_eq!(commit(store, keeps(approval(781), Some(1))), Ok(()));
    assert_eq!(scheduled(9), []);
    let needs = |number| Needs { approval_due: Some(approval(number).key), ..Needs::default() };
    let view = store.load(&needs(780)).expect("readable");
    assert_eq!(view.case.map(|case| case.value), Some(case(784)));
    assert_eq!(view.approvals.get(&marked.key).map(|found| &found.value), Some(&marked));
    let view = store.load(&needs(781)).expect("readable");
    assert!(view.case.is_none() && view.approvals.len() == 1);
}

pub(super) fn cases_are_named_by_any_key_and_gone_through_by_time(store: &dyn Store) {
    let bill = |number: u32| CorrelationKey::Bill(party(&format!("broker-{number}")), "BILL-760".into());
    for number in [760, 761, 762] {
        let mut made =
            opens(number, vec![bill(number % 2), CorrelationKey::Declaration(format!("N{number}").into())]);
        if let Some(write) = &mut made.case {
            write.case.opened_at = at(1_000_000 + u64::from(number));
            write.case.submitter = Some(party(if number == 761 { "other" } else { "goer" }));
        }
        assert_eq!(commit(store, made), Ok(()));
    }
    let named = |text: &str, limit| store.named_cases(Realm::Production, text, limit).expect("readable");
    assert_eq!(named("BILL-760", 9), [762, 761].map(case_id), "a bill leads to the case that it named last");
    assert_eq!(named("BILL-760", 1), [case_id(762)]);
    assert_eq!(named("N760", 9), [case_id(760)]);
    assert_eq!(named(case_id(760).as_str(), 9), [case_id(760)]);
    assert_eq!(named("N76", 9), []);
    let through = |from: u32, until: u32, submitter: Option<&str>| {
        let at = |number| at(1_000_000 + u64::from(number));
        let opened = Opened {
            realm: Realm::Production,
            from: at(from),
            until: at(until),
            submitter: submitter.map(party),
        };
        let mut found = Vec::new();
        store.each_case(&opened, &mut |case| found.push(case.id)).expect("readable");
        found.sort_unstable();
        found
    };
    assert_eq!(through(760, 763, None), [760, 761, 762].map(case_id));
    assert_eq!(through(761, 762, None), [case_id(761)], "the end is not in it");
    assert_eq!(through(760, 763, Some("goer")), [760, 762].map(case_id));
    assert_eq!(through(763, 999, None), []);
}

/// However many of its cases an agency has decided since, those that it has not are found.
pub(super) fn cases_that_an_agency_has_not_decided_are_found_behind_many_that_it_has(store: &dyn Store) {
    let code = || DocumentCode::new("GOVCBRX01").expect("a code");
    let of = |agency: &str, text: &str, state| {
        let code_of = AgencyCode::new("KFDA").expect("an agency");
        let application = Application::new(code_of, party(agency), code(), code());
        Application { number: Some(text.into()), state, ..application }
    };
    let (waits, decided) = (ApplicationState::Delivered, ApplicationState::Decided(Outcome::Approved));
    let oldest = 5_000;
    for number in oldest..oldest + 300 {
        let own = if [oldest, oldest + 2].contains(&number) { waits } else { decided };
        let mut keys = vec![CorrelationKey::Conversation(party("slow"), case(number).conversation_id)];
        keys.extend(["S", "O"].map(|of| CorrelationKey::Application(format!("{of}{number}").into())));
        let mut made = opens(number, keys);
        if let Some(write) = &mut made.case {
            write.case.applications =
                vec![of("slow", &format!("S{number}"), own), of("other", &format!("O{number}"), waits)];
        }
        assert_eq!(commit(store, made), Ok(()));
    }
    let listed = |undecided, limit| -> Vec<_> {
        let filter = CaseFilter { agency: Some(party("slow")), undecided, ..CaseFilter::default() };
        store.cases(&filter, limit).expect("readable").items.into_iter().map(|case| case.id).collect()
    };
    assert_eq!(listed(true, 9), [oldest + 2, oldest].map(case_id), "newest first");
    assert_eq!(listed(true, 1), [case_id(oldest + 2)]);
    assert_eq!(listed(true, 0), []);
    assert_eq!(listed(false, 2), [oldest + 299, oldest + 298].map(case_id));
}

pub(super) fn what_is_practice_is_found_in_practice_alone(store: &dyn Store) {
    let keys = |number: u32| {
        vec![
            CorrelationKey::Declaration("780".into()),
            CorrelationKey::Application("A780".into()),
            CorrelationKey::Conversation(party("kfda-780"), case(780).conversation_id),
            CorrelationKey::Sent(message_id(format!("sent-{number}"))),
            CorrelationKey::Received(message_key("realms", number)),
        ]
    };
    let realms = [(Realm::Production, 780), (Realm::Practice, 781)];
    for (realm, number) in realms {
        let mut made = opens(number, keys(number));
        if let Some(write) = &mut made.case {
            write.case.realm = realm;
            write.case.opened_at = at(2_000_000);
            write.case.submitter = Some(party("realms"));
            let code = || DocumentCode::new("GOVCBRX01").expect("a code");
            let agency = AgencyCode::new("KFDA").expect("an agency");
            let application = Application::new(agency, party("kfda-780"), code(), code());
            write.case.applications = vec![Application { number: Some("A780".into()), ..application }];
        }
        let mut owed = delivery(number, "realms");
        (owed.realm, owed.case) = (realm, Some(case_id(number)));
        made.audit.push(told(&owed));
        made.deliveries = makes(owed).deliveries;
        assert_eq!(commit(store, made), Ok(()), "the same numbers in {realm}");
    }
    for (realm, number) in realms {
        let own = [case_id(number)];
        for key in keys(number) {
            let found = store.case(realm, &key).expect("readable").expect("there");
            assert_eq!((found.value.id, found.value.realm), (case_id(number), realm), "{key}");
            let view = store.load(&Needs { realm, case: vec![key.clone()], ..Needs::default() });
            assert_eq!(view.expect("readable").taken.get(&key), Some(&case_id(number)), "{key}");
        }
        assert_eq!(store.named_cases(realm, "780", 9).expect("readable"), own);
        assert_eq!(store.named_cases(realm.other(), case_id(number).as_str(), 9).expect("readable"), []);
        let agency = Some(party("kfda-780"));
        let filter = CaseFilter { realm, agency, ..CaseFilter::default() };
        let listed = store.cases(&filter, 9).expect("readable").items;
        assert_eq!(listed.into_iter().map(|case| case.id).collect::<Vec<_>>(), own);
        let opened = Opened { realm, from: at(2_000_000), until: at(2_000_001), submitter: None };
        let mut through = Vec::new();
        store.each_case(&opened, &mut |case| through.push(case.id)).expect("readable");
        assert_eq!(through, own);

        // What is named is what it is, whatever realm was asked in.
        let by_name = store.load(&Needs { case_of_delivery: true, ..by_id(number) }).expect("readable");
        assert_eq!((by_name.realm, by_name.case.map(|case| case.value.id)), (realm, Some(case_id(number))));
        let conflict = Conflict::Correlation { key: keys(number)[0].clone(), owner: case_id(number) };
        let mut taken = opens(782, vec![keys(number)[0].clone()]);
        if let Some(write) = &mut taken.case {
            write.case.realm = realm;
        }
        assert_eq!(commit(store, taken), Err(CommitError::Conflict(conflict)), "within {realm}");
    }
    let refers = |realm, text: &str, leads| {
        let reference = Reference { by: party("realms"), message_id: message_id(text), leads };
        let case = vec![CorrelationKey::Declaration("780".into())];
        let needs = Needs { realm, refers_to: Some(reference), case, ..Needs::default() };
        let view = store.load(&needs).expect("readable");
        (view.realm, view.strays, view.case.map(|case| case.value.id))
    };
    let (production, practice) = (Some(case_id(780)), Some(case_id(781)));
    for practised in ["sent-781", "781@realms"] {
        let led = (Realm::Practice, false, practice.clone());
        assert_eq!(refers(Realm::Production, practised, true), led);
        assert_eq!(
            refers(Realm::Production, practised, false),
            (Realm::Production, true, production.clone())
        );
        assert_eq!(refers(Realm::Practice, practised, true), led);
    }
    assert_eq!(refers(Realm::Practice, "sent-780", true), (Realm::Practice, true, practice));
    assert_eq!(refers(Realm::Production, "sent-780", true), (Realm::Production, false, production.clone()));
    assert_eq!(refers(Realm::Production, "unheard-of", true), (Realm::Production, false, production));
}
