//! What the proofs say of a store whose records are each as they say of themselves, and which is another than it was: ended
//! by hand, cut off, rewritten (P2, P18).

use super::damage::filled;
use super::*;
use crate::model::{DeliveryState, Tree};
use crate::store::record::Encoded;
use crate::store::tables::is_scheduled;
use crate::store::tests::suite::kept_head;

/// A row whose checksum is right and that stands as the audit record never said: what was never sent would count as
/// delivered.
#[test]
fn a_delivery_that_ended_without_its_entry_breaks_the_law_p2() {
    let (_directory, options) = place();
    let store = filled(&options);
    for state in DeliveryState::ALL {
        let changed = Delivery { state, sealed: true, ..delivery(2, "kfda") };
        let record = Encoded::of(&changed, changed.id.as_str(), 1);
        let sql = "UPDATE delivery SET state = ?, due = ?, checksum = ?, record = ? WHERE number = 2";
        let due = is_scheduled(state).then(|| changed.due.as_millis());
        let row = rusqlite::params![state.as_str(), due, record.checksum, record.text];
        assert_eq!(raw(&options.directory).execute(sql, row).expect("changed"), 1);
        assert_eq!(store.scrub().expect("readable"), [], "{state:?}: each record is as it says of itself");
        let law = store.conservation().expect("readable");
        assert_eq!(law.holds(), is_scheduled(state), "{state:?} (P2)");
        assert!(
            law.faults.iter().all(|fault| fault.starts_with("delivery delivery-2: ")),
            "{:?}",
            law.faults
        );
        assert_eq!(law.destinations[&party("kfda")].created, 3, "it counts all the same");
    }
}

/// What a gateway commits between two looks is no fault: what is new, and what ends meanwhile.
#[test]
fn what_is_committed_while_the_law_is_computed_is_no_fault() {
    let (_directory, options) = place();
    let store = filled(&options);
    let looked = Inspection::of(&options.directory).expect("it can be looked at");
    let mut seen = Vec::new();
    let law = looked.conservation(&mut |look| {
        seen.push(look.at);
        if seen.ends_with(&["audit", "deliveries"]) {
            assert_eq!(commit(&store, receives(4, "made meanwhile")), Ok(()));
            let ended = Delivery { state: DeliveryState::Delivered, ..delivery(5, "kfda") };
            assert_eq!(commit(&store, makes(ended)), Ok(()));
        }
        ControlFlow::Continue(())
    });
    let law = law.expect("readable");
    assert_eq!(law.destinations[&party("kfda")].created, 5, "{seen:?}");
    assert!(law.holds(), "P2: {law:?}");
}

/// A signed head knows the end of the record when nothing else does, and what stood before it.
#[test]
fn a_record_that_does_not_lead_through_its_signed_heads_is_broken_p18() {
    fn check(what: &str, change: fn(&Connection, &[AuditHead]), expected: Option<(u64, &str)>) {
        let (_directory, options) = place();
        let store = filled(&options);
        let (mut heads, mut tree) = (vec![AuditHead::EMPTY], Tree::default());
        for entry in store.chain(1, 9).expect("readable") {
            heads.push(heads[heads.len() - 1].then(&entry.text));
            let last = heads[heads.len() - 1];
            tree.push(last.hash);
            if entry.number > 1 {
                let head = Some(kept_head(last, &tree, "signature"));
                assert_eq!(commit(&store, Batch { head, ..Batch::default() }), Ok(()));
            }
        }
        change(&raw(&options.directory), &heads);
        let looked = Inspection::of(&options.directory).expect("it can be looked at");
        // Whoever cuts the record can write a mark.
        let found = match looked.verify_audit(AuditHead::EMPTY, &mut on).expect("readable") {
            AuditVerdict::Intact(head) => {
                assert_eq!(head, heads[3], "{what}");
                None
            }
            AuditVerdict::Broken { sequence, detail } => Some((sequence, detail)),
        };
        match (&found, expected) {
            (None, None) => {}
            (Some((at, detail)), Some((expected, names))) if *at == expected => {
                assert!(detail.contains(names), "{what}: {detail}");
            }
            _ => panic!("{what}: {found:?} (P18)"),
        }
    }
    fn run(disk: &Connection, sql: &str) {
        disk.execute_batch(sql).expect("changed");
    }
    check("untouched", |_, _| (), None);
    check("cut off", |disk, _| run(disk, "DELETE FROM audit WHERE number = 3"), Some((3, "audit head 3")));
    check("all of it gone", |disk, _| run(disk, "DELETE FROM audit"), Some((1, "audit head 2")));
    check(
        "cut off under a damaged head",
        |disk, _| {
            run(disk, "UPDATE head SET checksum = checksum + 1 WHERE entries = 2");
            run(disk, "DELETE FROM audit WHERE number > 1");
        },
        Some((2, "audit head 3")),
    );
    check(
        "rewritten from the middle",
        |disk, heads| {
            let mut last = heads[1];
            for number in [2, 3] {
                let sql = format!("SELECT record FROM audit WHERE number = {number}");
                let text: String = disk.query_row(&sql, [], |row| row.get(0)).expect("it is there");
                last = last.then(&text.replace("happened", "never happened"));
                let link = Link::of(last, text.replace("happened", "never happened"));
                let sql = "UPDATE audit SET checksum = ?, record = ?, hash = ? WHERE number = ?";
                let row = rusqlite::params![link.checksum, link.text, link.hash, number];
                assert_eq!(disk.execute(sql, row).expect("rewritten"), 1);
            }
        },
        Some((2, "audit head 2")),
    );
}
