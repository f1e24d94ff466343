//! `gwanmun demo`, as a newcomer runs it: the main job with real processes, and what every partner's journal says of
//! it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What a partner handed on: MessageId, action and what the document says, in order of receipt.
fn handed_on(directory: &Path, partner: &str) -> Vec<(String, String, String)> {
    let journal = fs::read_to_string(directory.join(partner).join("journal.jsonl")).expect("has a journal");
    let entries = journal.lines().map(|line| serde_json::from_str::<Value>(line).expect("is JSON"));
    let field = |entry: &Value, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let received = entries.filter(|entry| entry["event"] == "received");
    received.map(|e| (field(&e, "message_id"), field(&e, "action"), field(&e, "says"))).collect()
}

/// How often each action with what it says was handed on.
fn counted(handed_on: &[(String, String, String)]) -> BTreeMap<(&str, &str), usize> {
    let mut counts = BTreeMap::new();
    for (_, action, says) in handed_on {
        *counts.entry((action.as_str(), says.as_str())).or_default() += 1;
    }
    counts
}

#[test]
fn one_declaration_goes_all_the_way_round() {
    let directory = tempfile::tempdir().expect("makes a directory");
    let mut demo = Command::new(env!("CARGO_BIN_EXE_gwanmun"));
    demo.args(["demo", "--json", "--algorithm", "p256", "--directory"]).arg(directory.path());
    let output = demo.output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let account: Value = serde_json::from_slice(&output.stdout).expect("is JSON");
    assert_eq!(account["case"]["state"], "cleared");
    let rules = account["case"]["expected"].as_array().expect("rows").iter().map(|row| &row["rule"]);
    assert_eq!(rules.collect::<Vec<_>>(), ["drug", "food-produce", "plant"]);
    assert!(account["timeline"].as_array().is_some_and(|timeline| !timeline.is_empty()));

    let everybody = ["broker", "customs", "kfda", "npqs", "kpta"];
    for partner in everybody {
        let mut ids: Vec<_> = handed_on(directory.path(), partner).into_iter().map(|(id, ..)| id).collect();
        let count = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), count, "P3: {partner} got each message once");
    }
    let check = |partner: &str, expected: &[(&str, &str, usize)]| {
        let all = handed_on(directory.path(), partner);
        let expected = expected.iter().map(|(action, says, count)| ((*action, *says), *count)).collect();
        assert_eq!(counted(&all), expected, "{partner}");
    };
    check("kfda", &[("GOVCBRX01", "1 item(s)", 1)]);
    check("npqs", &[("GOVCBRX02", "1 item(s)", 1)]);
    check("kpta", &[("GOVCBRFR2", "1 item(s)", 1)]);
    let results = [("GOVCBRFS7", "approved", 1), ("GOVCBRX51", "approved", 1), ("GOVCBRX52", "approved", 1)];
    let events = [("GOVCBRXS2", "first_result", 1), ("GOVCBRXS2", "all_collected favourable", 1)];
    check("customs", &[results.as_slice(), &events, &[("GOVCBR929", "1 line(s)", 1)]].concat());
    let notices = [
        ("GOVCBRRBH", "accepted", 3),
        ("GOVCBRRBH", "under_review", 3),
        ("GOVCBRR99", "accepted", 1),
        ("GOVCBR023", "status 13", 1),
    ];
    check("broker", &[results.as_slice(), &events, &notices].concat());
}
