//! Every way to tamper with an export, and each head and time stamp that tells it (P18, S26).

use super::super::samples::{Identity, VALIDITY, instant};
use super::super::time_stamp::tests::Authority;
use super::*;
use crate::model::{Attested, PartyKey, SignatureAlgorithm};

/// Seven entries in two signed heads, of 3 and of 6: a record, its key, and what was kept elsewhere.
struct Record {
    identity: Identity,
    lines: Vec<ExportLine>,
}

impl Record {
    fn of(algorithm: SignatureAlgorithm, texts: &[&str]) -> Self {
        let identity = Identity::new("HUB", algorithm);
        let lines = lines_of(&identity, texts, 3);
        Self { identity, lines }
    }

    fn keys(&self) -> AuditKeys {
        let mut keys = AuditKeys::default();
        let pem = X509::from_der(&self.identity.der()).and_then(|certificate| certificate.to_pem());
        keys.add_pem("HUB", &pem.expect("a certificate")).expect("a key");
        keys
    }

    fn heads(&self) -> Vec<SignedHead> {
        let head = |line: &ExportLine| match line {
            ExportLine::Head(signed) => Some(signed.clone()),
            _ => None,
        };
        self.lines.iter().filter_map(head).collect()
    }
}

fn lines_of(identity: &Identity, texts: &[&str], entries_a_head: u64) -> Vec<ExportLine> {
    let (mut chain, mut tree) = (AuditHead::EMPTY, Tree::default());
    let at = instant(VALIDITY.0);
    let mut lines = vec![ExportLine::Export { form: ExportLine::FORM, at }];
    for text in texts {
        chain = chain.then(text);
        tree.push(chain.hash);
        let (number, hash) = (chain.sequence, chain.hash.to_string());
        lines.push(ExportLine::Entry(ChainEntry { number, hash, text: (*text).to_owned() }));
        if chain.sequence % entries_a_head == 0 {
            let gateway = PartyKey::new("HUB").expect("a key");
            let head = TreeHead { gateway, entries: number, root: tree.root(), chain: chain.hash, at };
            lines.push(ExportLine::Head(sign_head(&identity.signing_key(), head).expect("signed")));
        }
    }
    lines
}

fn verify(keys: &AuditKeys, lines: &[ExportLine], elsewhere: Vec<SignedHead>) -> Result<Proven, AuditFault> {
    verify_with(AuditVerifier::new(keys), lines, elsewhere)
}

fn verify_with(
    mut verifier: AuditVerifier<'_>,
    lines: &[ExportLine],
    elsewhere: Vec<SignedHead>,
) -> Result<Proven, AuditFault> {
    elsewhere.into_iter().try_for_each(|signed| verifier.keep_to(signed))?;
    for line in lines {
        verifier.take(&serde_json::to_string(line).expect("a line"))?;
    }
    verifier.end()
}

const TEXTS: [&str; 7] = ["a", "b", "c", "d", "e", "f", "g"];
/// Where entry 5 stands among the lines: after the first line and the head of 3.
const FIFTH: usize = 6;

#[test]
fn what_was_not_touched_is_proven() {
    use SignatureAlgorithm as A;
    for algorithm in [A::RsaSha256, A::EcdsaSha256, A::EcdsaSha384, A::Ed25519] {
        let record = Record::of(algorithm, &TEXTS);
        let proven = verify(&record.keys(), &record.lines, record.heads()).expect("whole");
        assert_eq!((proven.entries, proven.signed, proven.heads), (7, 6, 4), "P18");
    }
}

#[test]
fn each_way_of_tampering_is_found_and_named() {
    let record = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
    let keys = record.keys();
    // Who tampers, and has no key of ours, but can compute every hash anew.
    let anew = |texts: &[&str]| {
        let mut lines = lines_of(&record.identity, texts, 3);
        for line in &mut lines {
            if let ExportLine::Head(signed) = line {
                let old = record.heads().into_iter().find(|old| old.head.entries == signed.head.entries);
                *signed = old.expect("heads of 3 and of 6");
            }
        }
        lines
    };
    let check = |what: &str, change: &dyn Fn(&mut Vec<ExportLine>), says: &str| {
        let mut lines = record.lines.clone();
        change(&mut lines);
        let found = verify(&keys, &lines, record.heads()).expect_err(what).to_string();
        assert!(found.starts_with(says), "{what}: {found} (P18, S26)");
    };
    check("deleted", &|lines| drop(lines.remove(FIFTH)), "entry 5: it is missing");
    check("swapped", &|lines| lines.swap(FIFTH - 1, FIFTH), "entry 4: it is missing: entry 5 stands");
    check("repeated", &|lines| lines.insert(FIFTH, lines[FIFTH - 1].clone()), "entry 5: entry 4 stands");
    check(
        "edited",
        &|lines| {
            if let ExportLine::Entry(entry) = &mut lines[FIFTH] {
                entry.text = "E".to_owned();
            }
        },
        "entry 5: its hash does not follow",
    );
    check(
        "put in",
        &|lines| {
            let entry = ChainEntry { number: 5, hash: "00".repeat(32), text: "x".to_owned() };
            lines.insert(FIFTH, ExportLine::Entry(entry));
        },
        "entry 5: its hash does not follow",
    );
    check("cut off", &|lines| lines.truncate(FIFTH), "entry 5: it and all up to 6 are missing");
    check("cut off at a head", &|lines| lines.truncate(5), "entry 4: it and all up to 6 are missing");
    check("nothing left", &|lines| lines.truncate(1), "entry 1: it and all up to 6 are missing");
    check("written anew", &|lines| *lines = anew(&["a", "b", "c", "d", "X", "f", "g"]), "entries 4 to 6");
    check(
        "put in and written anew",
        &|lines| *lines = anew(&["a", "x", "b", "c", "d", "e"]),
        "entries 1 to 3",
    );
    check(
        "a head removed, the rest written anew",
        &|lines| {
            *lines = anew(&["a", "b", "c", "d", "X", "f", "g"]);
            lines.retain(|line| !matches!(line, ExportLine::Head(signed) if signed.head.entries == 6));
        },
        "entries 4 to 6",
    );
    check(
        "a head changed",
        &|lines| {
            if let ExportLine::Head(signed) = &mut lines[4] {
                signed.head.root = Digest([0; 32]);
            }
        },
        "the head of 3 entries: its signature",
    );
    check("a head moved", &|lines| lines.swap(4, 5), "the head of 3 entries: it stands after entry 4");
    check("no first line", &|lines| drop(lines.remove(0)), "line 1: ");
}

#[test]
fn only_a_trusted_key_counts() {
    let record = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
    let forged = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
    let found = verify(&record.keys(), &forged.lines, vec![]).expect_err("another key (S4)");
    assert!(matches!(found, AuditFault::Head { entries: 3, .. }), "{found}");
    let unsigned: Vec<_> =
        record.lines.iter().filter(|line| !matches!(line, ExportLine::Head(_))).cloned().collect();
    assert_eq!(verify(&record.keys(), &unsigned, vec![]), Err(AuditFault::Unsigned), "P18");
}

/// Entries of which the fifth has a time stamp over the head of the first three.
struct Stamped {
    record: Record,
    authority: Authority,
    head: SignedHead,
    stamp: HeadStamp,
}

impl Stamped {
    fn new() -> Self {
        let record = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
        let authority = Authority::new();
        let head = record.heads().into_iter().find(|signed| signed.head.entries == 3).expect("a head");
        let stamp = stamp_of(&authority, &head);
        Self { record, authority, head, stamp }
    }

    /// The verdict on the record with this entry in it.
    fn verify(&self, by: Option<&TimeStampAuthority>, stamp: &HeadStamp) -> Result<Proven, AuditFault> {
        let texts = ["a", "b", "c", "d", &text_of(stamp), "f", "g"];
        let mut lines = lines_of(&self.record.identity, &texts, 3);
        for line in &mut lines {
            // An ECDSA signature is another each time: the head is the one that was stamped.
            if let ExportLine::Head(signed) = line
                && signed.head.entries == 3
            {
                signed.clone_from(&self.head);
            }
        }
        verify_by(&self.record.keys(), by, &lines)
    }
}

fn verify_by(
    keys: &AuditKeys,
    by: Option<&TimeStampAuthority>,
    lines: &[ExportLine],
) -> Result<Proven, AuditFault> {
    let mut verifier = AuditVerifier::new(keys);
    if let Some(authority) = by {
        verifier = verifier.with_authority(authority);
    }
    verify_with(verifier, lines, vec![])
}

/// The text of an entry with this time stamp.
fn text_of(stamp: &HeadStamp) -> String {
    let entry = TimelineEntry {
        at: stamp.at,
        event: "audit.time-stamped".into(),
        case: None,
        party: None,
        message_id: None,
        delivery: None,
        text: "stamped".to_owned(),
        alarm: false,
        octets: Attested { time_stamp: Some(stamp.clone()), ..Attested::default() },
    };
    serde_json::to_string(&entry).expect("an entry")
}

fn stamp_of(authority: &Authority, head: &SignedHead) -> HeadStamp {
    let token = authority.token(head);
    let at = authority.trusted().verify(&token, imprint(head), head.head.at).expect("it counts");
    HeadStamp { entries: head.head.entries, at, token: STANDARD.encode(token) }
}

#[test]
fn a_time_stamp_shows_when_its_entries_were_there() {
    let stamped = Stamped::new();
    let Stamped { authority, stamp, .. } = &stamped;
    let shown = stamped.verify(Some(&authority.trusted()), stamp).expect("whole").stamps;
    assert_eq!(shown, Stamps { verified: 1, entries: 3, at: Some(stamp.at), open: 0 }, "P18, S26");
    let shown = stamped.verify(None, stamp).expect("whole").stamps;
    assert_eq!(shown, Stamps { open: 1, ..Stamps::default() }, "without a certificate it shows nothing");
    let of_none = HeadStamp { entries: 2, ..stamp.clone() };
    let shown = stamped.verify(Some(&authority.trusted()), &of_none).expect("whole").stamps;
    assert_eq!(shown, Stamps { open: 1, ..Stamps::default() }, "its head is not in the export");
}

#[test]
fn a_time_stamp_that_is_not_what_it_says_is_named() {
    let stamped = Stamped::new();
    let Stamped { authority, stamp, head, .. } = &stamped;
    let check = |what: &str, by: &TimeStampAuthority, stamp: &HeadStamp, says: &str| {
        let found = stamped.verify(Some(by), stamp).expect_err(what).to_string();
        let says = format!("entry 5: the time stamp over the head of 3 entries: {says}");
        assert!(found.starts_with(&says), "{what}: {found} (P18, S26)");
    };
    let trusted = authority.trusted();
    let with = |token: String| HeadStamp { token, ..stamp.clone() };
    let mut other = head.clone();
    other.head.root = Digest([7; 32]);
    check("over another head", &trusted, &stamp_of(authority, &other), "it is over other octets");
    other = SignedHead { signature: "c2lnbmVk".to_owned(), ..head.clone() };
    check("over another signature", &trusted, &stamp_of(authority, &other), "it is over other octets");
    let of_another = Authority::new().trusted();
    check("of another authority", &of_another, stamp, "it was not signed by a certificate of the authority");
    check("no token", &trusted, &with(STANDARD.encode("no token")), "it is no time stamp");
    check("no base64", &trusted, &with("?".to_owned()), "");
    let mut octets = STANDARD.decode(&stamp.token).expect("base64");
    *octets.last_mut().expect("octets") ^= 1;
    check("its signature changed", &trusted, &with(STANDARD.encode(octets)), "its signature does not hold");
    let early = HeadStamp { at: stamp.at.minus(std::time::Duration::from_secs(60)), ..stamp.clone() };
    check("the entry says another time", &trusted, &early, "the entry says");
}

#[test]
fn a_time_stamp_is_not_older_than_its_head() {
    let stamped = Stamped::new();
    let Stamped { authority, stamp, head, .. } = &stamped;
    let token = STANDARD.decode(&stamp.token).expect("base64");
    let signed = |later: u64| stamp.at.plus(std::time::Duration::from_secs(later));
    let over = imprint(head);
    assert_eq!(authority.trusted().verify(&token, over, signed(300)), Ok(stamp.at), "clocks differ");
    let found = authority.trusted().verify(&token, over, signed(301)).expect_err("older (S26)");
    assert_eq!(found, TimeStampFault::BeforeHead { at: stamp.at, signed: signed(301) });
}

#[test]
fn a_time_stamp_may_come_some_heads_after_its_own() {
    let (identity, authority) = (Identity::new("HUB", SignatureAlgorithm::EcdsaSha256), Authority::new());
    let record = Record { identity, lines: Vec::new() };
    let check = |heads_before_it: usize, verified: u64, open: u64| {
        let mut lines = lines_of(&record.identity, &vec!["x"; heads_before_it], 1);
        let heads = || {
            lines
                .iter()
                .filter_map(|line| if let ExportLine::Head(signed) = line { Some(signed) } else { None })
        };
        let stamp = stamp_of(&authority, heads().next().expect("a head"));
        let chain = AuditHead {
            sequence: heads_before_it as u64,
            hash: heads().next_back().expect("a head").head.chain,
        };
        let text = text_of(&stamp);
        let next = chain.then(&text);
        lines.push(ExportLine::Entry(ChainEntry {
            number: next.sequence,
            hash: next.hash.to_string(),
            text,
        }));
        let shown = verify_by(&record.keys(), Some(&authority.trusted()), &lines).expect("whole").stamps;
        assert_eq!((shown.verified, shown.open), (verified, open), "{heads_before_it} heads before it");
    };
    check(STAMPABLE_MAX, 1, 0);
    check(STAMPABLE_MAX + 1, 0, 1);
}

#[test]
fn a_store_that_was_restored_is_told_apart_from_one_that_was_rolled_back() {
    let lost = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
    let (keys, before) = (lost.keys(), instant(VALIDITY.0));
    let restored = |at: Timestamp| {
        let entry = TimelineEntry {
            at,
            event: TimelineEntry::STORE_RESTORED.into(),
            case: None,
            party: None,
            message_id: None,
            delivery: None,
            text: "restored".to_owned(),
            alarm: false,
            octets: Attested::default(),
        };
        serde_json::to_string(&entry).expect("an entry")
    };
    let at = before.plus(std::time::Duration::from_secs(1));
    let here = lines_of(&lost.identity, &["a", "b", "c", &restored(at), "x", "y", "z"], 3);
    let verifier = || AuditVerifier::new(&keys);
    let found = verify_with(verifier(), &here, lost.heads()).expect_err("told apart (P20, S26)");
    assert_eq!(found, AuditFault::Restored { number: 4, entries: 6, at: before });
    let proven = verify_with(verifier().with_restored(4), &here, lost.heads()).expect("as is known");
    assert_eq!((proven.entries, proven.heads, proven.lost), (7, 3, 1), "the head of 3 is of both");
    verify_with(verifier().with_restored(5), &here, lost.heads()).expect_err("another entry is known");
    // Cut off after it: the heads of the lost store speak for more than is here.
    let short = lines_of(&lost.identity, &["a", "b", "c", &restored(at), "x"], 3);
    let found = verify_with(verifier(), &short, lost.heads()).expect_err("told apart (S26)");
    assert_eq!(found, AuditFault::Restored { number: 4, entries: 6, at: before });
    let proven = verify_with(verifier().with_restored(4), &short, lost.heads()).expect("as is known");
    assert_eq!((proven.entries, proven.lost), (5, 1));
    // What was signed after it is explained by no restore, nor what the backup had.
    let anew = lines_of(&lost.identity, &["a", "b", "c", &restored(before), "x", "y", "z"], 3);
    let found = verify_with(verifier().with_restored(4), &anew, lost.heads()).expect_err("S26");
    assert!(matches!(found, AuditFault::Rewritten { first: 4, last: 6, .. }), "{found}");
    let anew = lines_of(&lost.identity, &["a", "b", "X", &restored(at), "x", "y", "z"], 3);
    let found = verify_with(verifier().with_restored(4), &anew, lost.heads()).expect_err("S26");
    assert!(matches!(found, AuditFault::Rewritten { first: 1, last: 3, .. }), "{found}");
}

#[test]
fn heads_from_elsewhere_are_compared_one_by_one_and_in_their_order() {
    let record = Record::of(SignatureAlgorithm::EcdsaSha256, &TEXTS);
    let (keys, heads) = (record.keys(), record.heads());
    let mut verifier = AuditVerifier::new(&keys);
    for line in &record.lines {
        let next = heads.iter().find(|signed| signed.head.entries == verifier.entries() + 1);
        next.into_iter().try_for_each(|signed| verifier.keep_to(signed.clone())).expect("in time");
        verifier.take(&serde_json::to_string(line).expect("a line")).expect("whole");
    }
    let late = verifier.keep_to(heads[1].clone()).expect_err("its entry has come").to_string();
    assert!(late.starts_with("the head of 6 entries: it stands behind"), "{late}");
    assert_eq!(verifier.end().expect("whole").heads, 4);
    // What is left when the export ends says up to where it was cut off.
    let longer = Record { identity: record.identity, lines: Vec::new() };
    let kept = lines_of(&longer.identity, &["x"; 12], 3);
    let mut verifier = AuditVerifier::new(&keys);
    let begin = ExportLine::Export { form: ExportLine::FORM, at: instant(VALIDITY.0) };
    verifier.take(&serde_json::to_string(&begin).expect("a line")).expect("a beginning");
    let kept = kept
        .into_iter()
        .filter_map(|line| if let ExportLine::Head(signed) = line { Some(signed) } else { None });
    for (at, signed) in kept.enumerate() {
        let taken = if at == 0 { verifier.keep_to(signed) } else { verifier.also_kept(signed) };
        taken.expect("signed");
    }
    let found = verifier.end().expect_err("S26");
    assert!(matches!(found, AuditFault::CutOff { first: 1, last: 12, .. }), "{found}");
}
