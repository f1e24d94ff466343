//! What is gone whole is missed by who tells of it (P12).

use super::damage::filled;
use super::*;
use crate::model::{
    AgencyCode, Application, Attested, CpaId, DeliveryState, Digest, DocumentCode, HeadStamp, Held,
    MessageOrder, Quantity, TimelineEntry, Tree,
};
use crate::store::DeliveryWrite;
use crate::store::tests::suite::{kept_head, told};

/// Of every table what others tell of is missed when it is gone whole, and what the audit record is listed by is what it
/// says.
#[test]
fn what_the_audit_record_tells_of_is_missed_when_it_is_gone_p12() {
    fn check(change: &str, scrubbed: &[&str]) {
        let (_directory, options) = place();
        let store = filled(&options);
        told_of(&store);
        let tool = raw(&options.directory);
        tool.pragma_update(None, "foreign_keys", false).expect("set");
        assert_eq!(tool.execute(change, []).expect("changed"), 1, "{change}");
        let found: Vec<_> = store.scrub().expect("readable").into_iter().map(|damage| damage.what).collect();
        assert_eq!(found, scrubbed, "{change}");
    }
    check("UPDATE audit SET about = about WHERE number = 4", &[]);
    check("UPDATE audit SET about = '8@broker' WHERE number = 4", &["audit entry 4"]);
    check("UPDATE audit SET case_id = 'case-2' WHERE number = 1", &["audit entry 1"]);
    check("UPDATE audit SET case_id = NULL WHERE number = 1", &["audit entry 1"]);
    check("DELETE FROM message WHERE message_id = '7@broker'", &["message broker/7@broker"]);
    check("DELETE FROM cases WHERE id = 'case-7'", &["case case-7"]);
    check("DELETE FROM cases WHERE id = 'case-2'", &["case case-2"]);
    check("DELETE FROM correlation WHERE text = 'declaration-7'", &["correlation declaration declaration-7"]);
    check("DELETE FROM correlation WHERE text = '7@broker'", &["correlation received broker/7@broker"]);
    check("DELETE FROM correlation WHERE text = 'application-7'", &["correlation application application-7"]);
    check("DELETE FROM correlation WHERE text = 'sent-7'", &["correlation sent sent-7"]);
    check("DELETE FROM approval WHERE text = 'approval-7'", &["approval kfda/approval-7"]);
    check("DELETE FROM receipt", &["receipt of delivery delivery-7"]);
    for way in ["send", "receive"] {
        let change = format!("DELETE FROM sequence WHERE direction = '{way}'");
        check(&change, &[&format!("sequence {way} cpa-kfda conversation-7")]);
    }
    check("DELETE FROM head", &["audit head 3"]);
}

/// Commits what is told of elsewhere in every way: a message that is held, a case with all its keys and an approval that it
/// rests on, a delivery in its turn with the receipt that ended it, and a time stamp.
fn told_of(store: &SqliteStore) {
    let agreement = CpaId::new("cpa-kfda").expect("a CPAId");
    let mut batch = receives(7, "it was received");
    let message = batch.message.as_mut().expect("it receives one");
    message.record.held = true;
    message.record.header.cpa_id = agreement.clone();
    let key = message.record.key.clone();
    let ended = Delivery {
        state: DeliveryState::Delivered,
        cpa_id: agreement,
        order: Some(MessageOrder::BEGIN),
        sealed: true,
        ..delivery(7, "kfda")
    };
    batch.audit = vec![
        TimelineEntry {
            party: Some(key.sender),
            message_id: Some(key.message_id),
            octets: Attested { received: Some(Digest([7; 32])), ..Attested::default() },
            ..sample::entry("message.received")
        },
        TimelineEntry {
            octets: Attested { receipt: Some(Digest([8; 32])), ..Attested::default() },
            ..told(&ended)
        },
        TimelineEntry { case: Some(sample::case_id(7)), ..sample::entry("case.opened") },
    ];
    batch.deliveries = vec![DeliveryWrite {
        delivery: ended,
        based_on: None,
        sealed: Some(sample::sealed("sent")),
        receipt: Some(sample::sealed("its receipt")),
    }];
    let approval = sample::approval(7);
    let (agency, document) = (AgencyCode::new("KFDA").expect("a code"), DocumentCode::new("GOVCBRX01"));
    let document = document.expect("a code");
    let mut case = sample::case(7);
    let application = Application::new(agency.clone(), party("kfda"), document.clone(), document.clone());
    let sent_as = Some(sample::message_id("sent-7"));
    case.applications = vec![Application { number: Some("application-7".into()), sent_as, ..application }];
    case.held = vec![Held {
        line: 1,
        law: "05".parse().expect("a law"),
        agency,
        document: document.clone(),
        approval: approval.key.clone(),
        quantity: Quantity { value: "10".parse().expect("a decimal"), unit: "KGM".into() },
        of: "1000".parse().expect("a decimal"),
        counts: true,
        result: document,
        watch: None,
    }];
    let correlations = sample::keys(&case);
    batch.case = Some(CaseWrite { case, based_on: None, correlations });
    batch.approvals = vec![ApprovalWrite { approval, based_on: None }];
    let sequences = [Direction::Send, Direction::Receive].map(|way| sample::sequence(way, 7));
    batch.sequences =
        sequences.map(|sequence| SequenceWrite { sequence, based_on: None }).into_iter().collect();
    assert_eq!(commit(store, batch), Ok(()));

    let (mut last, mut tree) = (AuditHead::EMPTY, Tree::default());
    for entry in store.chain(1, 3).expect("readable") {
        last = last.then(&entry.text);
        tree.push(last.hash);
    }
    let head = Some(kept_head(last, &tree, "signature"));
    assert_eq!(commit(store, Batch { head, ..Batch::default() }), Ok(()));
    let stamp = HeadStamp { entries: 3, at: sample::at(1), token: "token".to_owned() };
    let octets = Attested { time_stamp: Some(stamp), ..Attested::default() };
    let audit = vec![TimelineEntry { octets, ..sample::entry("audit.time-stamped") }];
    assert_eq!(commit(store, Batch { audit, ..Batch::default() }), Ok(()));
}
