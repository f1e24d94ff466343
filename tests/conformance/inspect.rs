//! `gwanmun inspect` tells of the worked examples what covers what, and refuses those that were altered (S1, S11).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const TRADER: &str = "--signer=trader.crt";
const PARTS: [&str; 2] =
    ["--part=decl-1@trader-0417.example=p1.xml", "--part=phyto-1@trader-0417.example=p2.bin"];

fn samples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/samples")
}

/// Runs it beside the samples; the exit code and what it printed.
fn inspect(file: &str, arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_gwanmun"))
        .current_dir(samples())
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

    // What its sender would hear, where there is no agreement that could be named.
    let text = fs::read_to_string(samples().join("user.xml")).expect("it is there");
    let unnamed = Path::new(env!("CARGO_TARGET_TMPDIR")).join("unnamed.xml");
    let cpa_id = "urn:example:sw:cpa:TRADER-0417:SW-GATEWAY:1";
    assert!(text.contains(cpa_id));
    fs::write(&unnamed, text.replace(cpa_id, "")).expect("writes");
    let at = "OtherXml at /soap:Envelope/soap:Header/eb:MessageHeader/eb:CPAId";
    let (code, told) = inspect(unnamed.to_str().expect("text"), &[TRADER]);
    assert!(code == 1 && told.contains(at) && !told.contains("unread"), "{told}");
}

/// What is signed, what is asked of the To Party, and what is a document, is judged as the gateway judges it.
#[test]
fn modules_and_documents_are_judged_as_the_gateway_does() {
    let directory = tempfile::tempdir().expect("a directory");
    let check = |media_type: &str, root: &str, code: i32, expected: &str| {
        let asked = |actor: &str, signed: &str| {
            format!(
                "<eb:AckRequested eb:version=\"2.0\" soap:mustUnderstand=\"1\" eb:signed=\"{signed}\" \
                 soap:actor=\"urn:oasis:names:tc:ebxml-msg:actor:{actor}\"/>"
            )
        };
        let text = format!(
            "--b\r\nContent-Type: text/xml\r\nContent-ID: <s>\r\n\r\n\
             <soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
             xmlns:eb=\"http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd\"><soap:Header>\
             <eb:MessageHeader eb:version=\"2.0\" soap:mustUnderstand=\"1\"><eb:From><eb:PartyId>urn:a</eb:PartyId></eb:From>\
             <eb:To><eb:PartyId>urn:b</eb:PartyId></eb:To><eb:CPAId>c</eb:CPAId>\
             <eb:ConversationId>d</eb:ConversationId><eb:Service>urn:s</eb:Service><eb:Action>GOVCBRX01</eb:Action>\
             <eb:MessageData><eb:MessageId>m@a</eb:MessageId><eb:Timestamp>2024-06-11T09:30:00Z</eb:Timestamp>\
             </eb:MessageData></eb:MessageHeader>{}{}</soap:Header><soap:Body><eb:Manifest eb:version=\"2.0\">\
             <eb:Reference xlink:href=\"cid:p\"/><eb:Reference xlink:href=\"cid:q\"/></eb:Manifest></soap:Body></soap:Envelope>\r\n\
             --b\r\nContent-Type: {media_type}\r\nContent-ID: <p>\r\n\r\n<{root}/>\r\n\
             --b\r\nContent-Type: application/octet-stream\r\nContent-ID: <q>\r\n\r\n<Declaration \
             xmlns=\"urn:swgw:doc:PlantQuarantineApplication:1\"/>\r\n--b--\r\n",
            asked("nextMSH", "false"),
            asked("toPartyMSH", "true"),
        );
        let file = directory.path().join("captured.mime");
        std::fs::write(&file, format!("Content-Type: multipart/related; boundary=b\r\n\r\n{text}"))
            .expect("written");
        let file = file.to_str().expect("is text");
        let (found, told) = inspect(file, &["--mime", "--profile=nhs-spine"]);
        assert_eq!(found, code, "{media_type} {root}: {told}");
        assert!(told.contains(expected), "{media_type} {root}: expected {expected:?} in {told}");
        assert!(!told.contains("contradicts the agreement"), "{told}");
        assert!(
            !told.contains("GOVCBRX02") && !told.contains("OtherXml at cid:q"),
            "octets are no document: {told}"
        );
    };
    // The first part is what Action names, whatever it calls itself.
    check("application/xml", "unknown", 1, "OtherXml at cid:p");
    check("application/octet-stream", "unknown", 1, "OtherXml at cid:p");
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
        let file: PathBuf = samples().join(name);
        std::fs::read(file).expect(name)
    };
    assert_eq!((read("reference-2"), read("reference-3")), (sample("p1.xml"), sample("p2.bin")));
    assert_eq!(read("reference-1").len(), 1676);
    assert!(read("signed-info.xml").starts_with(b"<ds:SignedInfo"));
}
