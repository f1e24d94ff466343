//! `gwanmun inspect` tells of the worked examples what covers what, and refuses those that were altered (S1, S11).

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const TRADER: &str = "--signer=trader.crt";
const PARTS: [&str; 2] =
    ["--part=decl-1@trader-0417.example=p1.xml", "--part=phyto-1@trader-0417.example=p2.bin"];

/// Runs it beside the samples; the exit code and what it printed.
fn inspect(file: &str, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gwanmun"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/samples"))
        .arg("inspect")
        .arg(file)
        .args(arguments)
        .output()
        .expect("it runs");
    (output.status.code().expect("it ends by itself"), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_verdict_is_that_of_the_gate() {
    let check = |file: &str, arguments: &[&str], code: i32, told: &[&str]| {
        let (found, text) = inspect(file, arguments);
        assert_eq!(found, code, "{file} {arguments:?}: {text}");
        for part in told {
            assert!(text.contains(part), "{file} {arguments:?}: expected {part:?} in {text}");
        }
    };
    let covered = [
        "1 covers the envelope: matches, 1676 octets",
        "2 covers cid:decl-1@trader-0417.example: matches, 155 octets",
        "3 covers cid:phyto-1@trader-0417.example: matches, 62 octets",
        "not covered: /soap:Envelope/soap:Header/eb:SyncReply (steers nothing)",
        "It would be let in",
    ];
    for form in [&["--http"][..], &[]] {
        check("user.http", &[form, &[TRADER]].concat(), 0, &covered);
    }
    check("user.mime", &["--mime", "--trust-message-certificate"], 0, &covered);
    let with_parts = [TRADER, PARTS[0], PARTS[1]];
    for file in ["user.xml", "ok1.xml", "ok2.xml"] {
        check(file, &with_parts, 0, &["It would be let in"]);
        check(file, &[TRADER], 0, &["not captured: cid:decl-1@trader-0417.example", "It would be let in"]);
    }
    check("ack.xml", &["--signer=gateway.crt"], 0, &["Acknowledgment  of 20240611", "matches, 2645 octets"]);
    check("err.xml", &["--trust-message-certificate"], 0, &["Error           "]);
    check("pong.xml", &[], 0, &["nothing of the message is covered"]);

    let altered = [
        "1 covers the envelope: DIFFERS",
        "SecurityFailure at",
        "the rule: what was signed is what is there",
    ];
    check("neg1.xml", &with_parts, 1, &altered);
    check("neg1.xml", &[TRADER], 1, &altered);
    check(
        "user.mime",
        &[],
        1,
        &["of no trusted certificate", "SecurityFailure", "certificate is registered"],
    );
    check("user.mime", &["--signer=gateway.crt"], 1, &["SecurityFailure", "not trusted"]);
    let swapped = ["--part=decl-1@trader-0417.example=p2.bin", "--part=phyto-1@trader-0417.example=p1.xml"];
    let swapped = [TRADER, swapped[0], swapped[1]];
    check("user.xml", &swapped, 1, &["2 covers cid:decl-1@trader-0417.example: DIFFERS"]);
    let late = [TRADER, "--at=2024-06-11T11:00:00Z"];
    check("user.http", &late, 1, &["TimeToLiveExpired at", "ebMS 2.0, 3.1.6.4"]);
    let routed = [TRADER, "--rules=../../../routing-rules/kr-import"];
    check("user.http", &routed, 0, &["no envelope rule knows it: it would be quarantined"]);
    check("user.http", &["--xml", TRADER], 1, &["SOAP fault Client"]);
    check("p2.bin", &["--xml"], 1, &["SOAP fault Client"]);
    check("trader.crt", &[], 1, &[]);
}

#[test]
fn a_machine_reads_what_each_reference_covers() {
    let (code, text) = inspect("user.http", &[TRADER, "--json"]);
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!((code, &report["accepted"], &report["form"]), (0, &true.into(), &"http".into()));
    assert_eq!(report["header"]["action"], "Submit");
    let references = report["signature"]["references"].as_array().expect("a list");
    assert_eq!(references.len(), 3);
    assert!(references.iter().all(|r| r["verdict"] == "matches" && r["found"] == r["expected"]), "{text}");
    assert_eq!(report["signature"]["left_out"][0]["allowed"], true);
    let parts = report["parts"].as_array().expect("a list");
    assert!(parts.iter().all(|part| part["signed"] == true && part["named"] == true), "{text}");
}

#[test]
fn the_digested_octets_can_be_compared() {
    let directory = tempfile::tempdir().expect("a directory");
    let into = format!("--write={}", directory.path().display());
    let (code, _) = inspect("user.http", &[TRADER, &into]);
    assert_eq!(code, 0);
    let read = |name: &str| std::fs::read(directory.path().join(name)).expect(name);
    let sample = |name: &str| {
        let file: PathBuf =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/samples").join(name);
        std::fs::read(file).expect(name)
    };
    assert_eq!((read("reference-2"), read("reference-3")), (sample("p1.xml"), sample("p2.bin")));
    assert_eq!(read("reference-1").len(), 1676);
    assert!(read("signed-info.xml").starts_with(b"<ds:SignedInfo"));
}
