//! The audit record with its heads, the accounts, and what is found by the message that it names.

use super::*;

pub(super) fn everything_is_accounted_for(store: &dyn Store) {
    for (number, state) in (1000..).zip(DeliveryState::ALL) {
        let mut made = delivery(number, "accounts");
        made.state = state;
        assert_eq!(commit(store, makes(made)), Ok(()));
    }
    let law = store.conservation().expect("readable");
    assert!(law.holds(), "P2: {law:?}");
    let account = law.destinations[&party("accounts")];
    assert_eq!(account.created, 7);
    assert_eq!((account.delivered, account.held, account.awaiting, account.expired), (1, 1, 1, 1));

    let queue = store.queues().expect("readable").remove(&party("accounts")).expect("a queue");
    assert_eq!(queue.open, DeliveryState::OPEN.map(|state| (state, 1)).into());
    assert_eq!(queue.oldest, Some(at(1000)), "the oldest that is not terminal");
}

pub(super) fn the_audit_record_is_one_chain(store: &dyn Store) {
    let entries = store.audit(1, usize::MAX).expect("readable").items;
    let numbers: Vec<u64> = entries.iter().map(|entry| entry.sequence).collect();
    assert_eq!(numbers, (1..=entries.len() as u64).collect::<Vec<_>>(), "P18: no gaps");
    let last = entries.last().expect("entries");
    match store.verify_audit().expect("readable") {
        AuditVerdict::Intact(head) => assert_eq!((head.sequence, head.hash), (last.sequence, last.hash)),
        broken @ AuditVerdict::Broken { .. } => panic!("{broken:?} (P18)"),
    }
    let some = store.audit(2, 3).expect("readable").items;
    assert_eq!(some, entries[1..4]);
}

pub(super) fn signed_heads_are_kept_as_they_were_signed(store: &dyn Store) {
    let height = store.audit_height().expect("readable");
    let chain = store.chain(1, usize::MAX).expect("readable");
    let (mut head, mut tree, mut made) = (AuditHead::EMPTY, Tree::default(), Vec::new());
    for entry in &chain {
        head = head.then(&entry.text);
        tree.push(head.hash);
        assert_eq!((entry.number, &entry.hash), (head.sequence, &head.hash.to_string()), "P18");
        if entry.number % 2 == 0 {
            made.push(kept_head(head, &tree, "signature"));
        }
    }
    assert_eq!(head.sequence, height);
    assert_eq!(store.head_before(u64::MAX).expect("readable"), None);
    for head in &made {
        assert_eq!(commit(store, Batch { head: Some(head.clone()), ..Batch::default() }), Ok(()));
    }
    let mut again = made[0].clone();
    again.signed.signature = "another".to_owned();
    assert_eq!(commit(store, Batch { head: Some(again), ..Batch::default() }), Ok(()), "it changes nothing");
    assert_eq!(store.heads(0, usize::MAX).expect("readable"), made, "P18");
    assert_eq!(store.heads(2, 1).expect("readable"), made[1..2]);
    assert_eq!(store.head_before(u64::MAX).expect("readable").as_ref(), made.last());
    assert_eq!(store.audit_height().expect("readable"), height, "a head is no entry");
}

pub(in crate::store) fn kept_head(head: AuditHead, tree: &Tree, signature: &str) -> KeptHead {
    let said = TreeHead {
        gateway: party("hub"),
        entries: head.sequence,
        root: tree.root(),
        chain: head.hash,
        at: Timestamp::from_millis(1),
    };
    let signed = SignedHead { head: said, key: Digest([1; 32]), signature: signature.to_owned() };
    KeptHead { signed, peaks: tree.peaks().to_vec() }
}

/// What ended a delivery is kept as it came, the newest of several; and entries are found by the message that they name.
pub(super) fn receipts_and_entries_are_found(store: &dyn Store) {
    let ended = delivery(930, "receipts");
    let write = |based_on, receipt: Option<&str>| DeliveryWrite {
        delivery: ended.clone(),
        based_on: Some(based_on),
        sealed: None,
        receipt: receipt.map(|receipt| sealed(receipt.to_owned())),
    };
    assert_eq!(commit(store, makes(ended.clone())), Ok(()));
    assert_eq!(store.receipt(&ended.id).expect("readable"), None);
    for (version, receipt) in [(1, "one"), (2, "two")] {
        let batch = Batch { deliveries: vec![write(version, Some(receipt))], ..Batch::default() };
        assert_eq!(commit(store, batch), Ok(()));
        assert_eq!(store.receipt(&ended.id).expect("readable"), Some(sealed(receipt.to_owned())), "P18");
    }
    assert_eq!(commit(store, Batch { deliveries: vec![write(3, None)], ..Batch::default() }), Ok(()));
    assert_eq!(store.receipt(&ended.id).expect("readable"), Some(sealed("two")), "it stays");

    for number in [931, 932] {
        assert_eq!(commit(store, opens(number, vec![])), Ok(()));
    }
    let before = store.audit_height().expect("readable");
    let about = |case: Option<u32>, message: &str| {
        let (case, message_id) = (case.map(case_id), Some(message_id(message)));
        TimelineEntry { case, message_id, ..entry("message.accepted") }
    };
    let audit = vec![
        about(Some(931), "about-a"),
        about(None, "about-a"),
        about(Some(932), "about-a"),
        about(None, "about-b"),
        entry("keys.in-force"),
        entry("keys.in-force"),
    ];
    assert_eq!(commit(store, Batch { audit, ..Batch::default() }), Ok(()));
    let numbers = |case: Option<u32>, message: &str| {
        let found = store.entries_about(case.map(case_id).as_ref(), &message_id(message)).expect("readable");
        found.into_iter().map(|entry| entry.number - before).collect::<Vec<_>>()
    };
    assert_eq!(numbers(Some(931), "about-a"), [1, 2]);
    assert_eq!(numbers(None, "about-a"), [2]);
    assert_eq!(numbers(Some(931), "about-b"), [4]);
    assert_eq!(numbers(None, "about-c"), [0; 0]);
    let last = |up_to| {
        let found = store.last_of_event("keys.in-force", before + up_to).expect("readable");
        found.map(|entry| entry.number - before)
    };
    assert_eq!([last(4), last(5), last(6), last(99)], [None, Some(5), Some(6), Some(6)]);
}
