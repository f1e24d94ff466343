//! `kill -9` while many batches are on their way: what was answered is there, whole (P1, P14).
//!
//! This shows that a commit is complete before its answer, and nothing about syncs: the page cache survives.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

const PLACE: &str = "GWANMUN_TEST_CRASH_PLACE";

/// The child: commits without end and says what was answered. Does nothing when it runs as a plain test.
#[test]
fn child_that_commits_until_it_is_killed() {
    let Ok(directory) = std::env::var(PLACE) else { return };
    let store = open(&StoreOptions { free_bytes_min: 0, ..StoreOptions::at(directory) });
    let first =
        store.stats().batches as u32 + store.conservation().expect("readable").destinations.len() as u32;
    let start = store.audit(1, usize::MAX).expect("readable").items.len() as u32 + first;
    for round in 0.. {
        let numbers: Vec<u32> = (0..20).map(|i| start * 100_000 + round * 20 + i).collect();
        let told: Vec<_> = numbers.iter().map(|number| submit(&store, receives(*number, "x"))).collect();
        for (number, outcome) in numbers.iter().zip(settled(&told)) {
            assert_eq!(outcome, Ok(()));
            let mut out = std::io::stdout().lock();
            out.write_all(format!("answered {number}\n").as_bytes()).expect("the parent reads");
        }
    }
}

#[test]
fn what_was_answered_survives_kill_9() {
    let (_directory, options) = place();
    let mut answered = Vec::new();
    for life in 1..=4 {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "store::sqlite::tests::crash::child_that_commits_until_it_is_killed",
                "--nocapture",
            ])
            .env(PLACE, &options.directory)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let numbers = lines.by_ref().map_while(Result::ok).filter_map(|line| answer(&line));
        answered.extend(numbers.take(37 * life));
        child.kill().expect("killed");
        answered.extend(lines.map_while(Result::ok).filter_map(|line| answer(&line)));
        child.wait().expect("ended");
    }
    let store = open(&options);
    assert!(answered.len() >= 37 * 10);
    for number in answered {
        let needs = Needs {
            message: Some(sample::message_key("broker", number)),
            delivery: Some(DeliveryLocator::Id(delivery_id(number))),
            parts_of_delivery: true,
            ..Needs::default()
        };
        let view = store.load(&needs).expect("readable");
        assert!(view.message.is_some() && view.delivery.is_some() && view.bodies.len() == 1, "{number} (P1)");
    }
    let law = store.conservation().expect("readable");
    assert!(law.holds(), "P2: {law:?}");
    assert!(matches!(store.verify_audit(), Ok(AuditVerdict::Intact(_))), "P18");
    assert_eq!(store.scrub().expect("readable"), []);
}

fn answer(line: &str) -> Option<u32> {
    line.split_once("answered ")?.1.trim().parse().ok()
}
