//! An archive as the gateway makes it, and every way to tamper with it (P18, S26, S27).

use super::super::samples::{
    GATEWAY, Identity, NOW, OTHER, TRADER, instant, message, party_id, revocation_list, role,
};
use super::super::{SigningKey, seal};
use super::*;
use crate::model::{
    Acknowledgment, Actor, Attested, Message, MessageData, MessageHeader, MessageId, MessageKey, MessageKind,
    PartyRef, Sealed, Service, SignalAction, SignatureAlgorithm, Tree, TreeHead, Witness,
};

/// What an archive is made of, before it is made.
struct Story {
    own: Identity,
    trader: Identity,
    message: Sealed,
    answer: Sealed,
    /// Files of revocation lists.
    revoked: Vec<Vec<u8>>,
    /// The record says that we sent it, and the trader answered.
    sent: bool,
    /// And that it was another one's, passed on as it was signed.
    passed_on_for: Option<Identity>,
}

/// Files, before the manifest names them.
type Files = BTreeMap<String, Octets>;

impl Story {
    fn new() -> Self {
        let own = Identity::new(GATEWAY, SignatureAlgorithm::EcdsaSha256);
        let trader = Identity::new(TRADER, SignatureAlgorithm::EcdsaSha256);
        let lodging = message(&[("declaration@trader", b"<Declaration/>")]);
        let sealed = seal(&lodging, Some(trader.signing_key().strict())).expect("signed");
        let answer = answer_to(&lodging, &sealed, &own.signing_key());
        Self { own, trader, message: sealed, answer, revoked: Vec::new(), sent: false, passed_on_for: None }
    }

    /// The same octets the other way round: ours, with the trader's receipt.
    fn sent() -> Self {
        let own = Identity::new(GATEWAY, SignatureAlgorithm::EcdsaSha256);
        let trader = Identity::new(TRADER, SignatureAlgorithm::EcdsaSha256);
        let report = between(GATEWAY, TRADER, message(&[("report@hub", b"<Report/>")]));
        let sealed = seal(&report, Some(own.signing_key().strict())).expect("signed");
        let answer = answer_to(&report, &sealed, &trader.signing_key());
        Self { own, trader, message: sealed, answer, revoked: Vec::new(), sent: true, passed_on_for: None }
    }

    /// A message of another party for the trader, who answers it; signed or not.
    fn passed_on(from: &str, signed: bool) -> Self {
        let story = Self::sent();
        let other = Identity::new(OTHER, SignatureAlgorithm::EcdsaSha256);
        let offer = between(from, TRADER, message(&[("offer@other", b"<Offer/>")]));
        let key = other.signing_key();
        let sealed = seal(&offer, signed.then(|| key.strict())).expect("made");
        let answer = answer_to(&offer, &sealed, &story.trader.signing_key());
        Self { message: sealed, answer, passed_on_for: Some(other), ..story }
    }

    fn subject(&self) -> EvidenceSubject {
        let party = PartyKey::new(TRADER).expect("a key");
        let message_id = MessageId::new("0001@trader.example").expect("an id");
        match self.sent {
            false => EvidenceSubject::Received(MessageKey { sender: party, message_id }),
            true => EvidenceSubject::Sent {
                delivery: crate::model::DeliveryId::new("d1").expect("an id"),
                destination: party,
                message_id,
            },
        }
    }

    fn keys(&self) -> KeyList {
        let (own, trader) = (PartyKey::new(GATEWAY).expect("a key"), PartyKey::new(TRADER).expect("a key"));
        let mut list = KeyList::default();
        list.add(KeyUse::Own, own.clone(), Digest::of(&self.own.der()));
        list.add(KeyUse::Signing, trader, Digest::of(&self.trader.der()));
        if let Some(other) = &self.passed_on_for {
            list.add(KeyUse::Signing, PartyKey::new(OTHER).expect("a key"), Digest::of(&other.der()));
        }
        self.revoked.iter().for_each(|file| list.add(KeyUse::Revocation, own.clone(), Digest::of(file)));
        list
    }

    /// The texts of the record: one of the gateway, the keys, one of somebody else, the message, its end, one more.
    fn texts(&self) -> Vec<String> {
        let about = |event: &str, octets: Attested| {
            let subject = self.subject();
            TimelineEntry {
                at: instant(NOW),
                event: event.into(),
                case: None,
                party: Some(subject.party().clone()),
                message_id: Some(subject.message_id().clone()),
                delivery: None,
                text: "something happened".to_owned(),
                alarm: false,
                octets,
            }
        };
        let bare =
            |event: &str, octets| TimelineEntry { party: None, message_id: None, ..about(event, octets) };
        let (body, answer) =
            (Some(Digest::of(self.message.body.held())), Some(Digest::of(self.answer.body.held())));
        let keys = Some(Digest::of(self.keys().to_string().as_bytes()));
        let (came, ended) = match self.sent {
            false => (Attested { received: body, answer, ..Attested::default() }, Attested::default()),
            true => (
                Attested { sent: body, ..Attested::default() },
                Attested { receipt: answer, ..Attested::default() },
            ),
        };
        let entries = [
            bare("gateway.started", Attested::default()),
            bare("keys.in-force", Attested { keys, ..Attested::default() }),
            bare("message.refused", Attested::default()),
            about("message.accepted", came),
            about("delivery.delivered", ended),
            bare("gateway.draining", Attested::default()),
        ];
        entries.iter().map(|entry| serde_json::to_string(entry).expect("JSON")).collect()
    }

    fn files(&self) -> Files {
        let mut files = Files::new();
        let mut add = |name: String, octets: Vec<u8>| drop(files.insert(name, octets.into()));
        add(names::README.to_owned(), b"what happened".to_vec());
        add(names::MESSAGE.to_owned(), self.message.body.held().to_vec());
        add(self.ending().to_owned(), self.answer.body.held().to_vec());
        for identity in [&self.own, &self.trader].into_iter().chain(&self.passed_on_for) {
            add(names::certificate(&Digest::of(&identity.der())), identity.der());
        }
        let keys = self.keys().to_string().into_bytes();
        add(names::list(&Digest::of(&keys)), keys);
        for file in &self.revoked {
            add(names::revocation(&Digest::of(file)), file.clone());
        }
        let path = shown(&self.texts(), &[2, 4, 5], &self.own.signing_key(), GATEWAY);
        add(names::AUDIT.to_owned(), serde_json::to_vec(&path).expect("JSON"));
        files
    }

    /// What ends the exchange is called so.
    const fn ending(&self) -> &'static str {
        if self.sent { names::RECEIPT } else { names::ANSWER }
    }

    /// With the manifest and its signature.
    fn signed(&self, files: &Files, by: &SigningKey) -> Files {
        let content_type = |name: &str| match name {
            names::MESSAGE => Some(self.message.content_type.clone()),
            names::ANSWER | names::RECEIPT => Some(self.answer.content_type.clone()),
            _ => None,
        };
        let member = |(name, octets): (&String, &Octets)| EvidenceMember {
            name: name.clone(),
            sha256: octets.digest(),
            bytes: octets.bytes(),
            content_type: content_type(name),
        };
        let manifest = EvidenceManifest {
            form: EvidenceManifest::FORM,
            gateway: PartyKey::new(GATEWAY).expect("a key"),
            made_at: instant(NOW),
            subject: self.subject(),
            passed_on_for: self.passed_on_for.as_ref().map(|_| PartyKey::new(OTHER).expect("a key")),
            members: files.iter().map(member).collect(),
        };
        let manifest = serde_json::to_vec(&manifest).expect("JSON");
        let signature = serde_json::to_vec(&sign_manifest(by, &manifest).expect("signed")).expect("JSON");
        let mut all = files.clone();
        all.insert(names::MANIFEST.to_owned(), manifest.into());
        all.insert(names::SIGNATURE.to_owned(), signature.into());
        all
    }

    fn archive(&self) -> Files {
        self.signed(&self.files(), &self.own.signing_key())
    }

    fn trusted(&self) -> AuditKeys {
        let mut keys = AuditKeys::default();
        keys.add_pem("HUB", &self.own.certificate.to_pem().expect("PEM")).expect("a key");
        keys
    }

    fn verify(&self, files: &Files) -> Result<ProvenEvidence, EvidenceFault> {
        verify_evidence(files, &self.trusted(), [])
    }

    /// Somebody changes files, and has a manifest made and signed over them: what is found now is found without it.
    fn check_inside(&self, what: &str, change: impl FnOnce(&mut Files), says: &str) {
        let mut files = self.files();
        change(&mut files);
        let found = self.verify(&self.signed(&files, &self.own.signing_key())).expect_err(what).to_string();
        assert!(found.starts_with(says), "{what}: {found} (P18, S26)");
    }
}

/// The Acknowledgment of a message, as the message layer gives it.
fn acknowledge(
    message: &Message,
    own: &PartyRef,
    message_id: MessageId,
    signed: bool,
    at: Timestamp,
) -> Message {
    let header = &message.header;
    let data = MessageData {
        message_id,
        timestamp: at,
        ref_to_message_id: Some(header.data.message_id.clone()),
        time_to_live: None,
    };
    let given = Acknowledgment {
        actor: Actor::ToPartyMsh,
        timestamp: at,
        ref_to_message_id: header.data.message_id.clone(),
        from: own.ids.clone(),
        references: if signed { message.references.clone() } else { Vec::new() },
    };
    Message {
        header: MessageHeader {
            from: own.clone(),
            to: header.from.clone(),
            service: Service::msh(),
            action: SignalAction::Acknowledgment.as_str().into(),
            data,
            duplicate_elimination: false,
            ..header.clone()
        },
        kind: MessageKind::Signal(SignalAction::Acknowledgment),
        sync_reply: false,
        ack_requested: Vec::new(),
        acknowledgments: vec![given],
        manifest: None,
        payloads: Vec::new(),
        references: Vec::new(),
        ..message.clone()
    }
}

/// The same from one party to another.
fn between(from: &str, to: &str, message: Message) -> Message {
    let [from, to] = [from, to].map(|party| PartyRef { ids: vec![party_id(party)], role: None });
    let header = MessageHeader { from, to, ..message.header };
    Message { header, ..message }
}

/// The manifest says something else, and is signed: what is found is found in the message.
fn with_manifest(story: &Story, change: impl FnOnce(&mut EvidenceManifest)) -> Files {
    let mut files = story.archive();
    let mut manifest: EvidenceManifest =
        serde_json::from_slice(files[names::MANIFEST].held()).expect("a manifest");
    change(&mut manifest);
    let manifest = serde_json::to_vec(&manifest).expect("JSON");
    let signature = sign_manifest(&story.own.signing_key(), &manifest).expect("signed");
    files.insert(names::MANIFEST.to_owned(), manifest.into());
    files.insert(names::SIGNATURE.to_owned(), serde_json::to_vec(&signature).expect("JSON").into());
    files
}

fn answer_to(sent: &Message, sealed: &Sealed, by: &SigningKey) -> Sealed {
    let own = PartyRef { ids: sent.header.to.ids.clone(), role: Some(role("SingleWindow")) };
    let sent = Message { references: sealed.references.clone(), ..sent.clone() };
    let id = MessageId::new("a1@hub").expect("an id");
    seal(&acknowledge(&sent, &own, id, true, instant(NOW)), Some(by.strict())).expect("signed")
}

/// The entries with these numbers, in the tree of one head over all.
fn shown(texts: &[String], numbers: &[u64], by: &SigningKey, gateway: &str) -> AuditPath {
    let (mut chain, mut previous) = (AuditHead::EMPTY, Vec::new());
    let mut witnesses: Vec<_> =
        numbers.iter().map(|number| Witness::of(*number, Tree::default()).expect("it comes")).collect();
    for text in texts {
        previous.push(chain.hash);
        chain = chain.then(text);
        witnesses.iter_mut().for_each(|witness| witness.push(chain.hash));
    }
    let root = witnesses[0].tree().root();
    let gateway = PartyKey::new(gateway).expect("a key");
    let head = TreeHead { gateway, entries: chain.sequence, root, chain: chain.hash, at: instant(NOW) };
    let entry = |(number, witness): (&u64, &Witness)| {
        let place = usize::try_from(*number - 1).expect("small");
        ProvenEntry {
            number: *number,
            previous: previous[place],
            text: texts[place].clone(),
            head: chain.sequence,
            path: witness.path().expect("it came"),
        }
    };
    let entries = numbers.iter().zip(&witnesses).map(entry).collect();
    AuditPath { entries, heads: vec![super::super::sign_head(by, head).expect("signed")] }
}

fn edit_path(files: &mut Files, change: impl FnOnce(&mut AuditPath)) {
    let mut path: AuditPath = serde_json::from_slice(files[names::AUDIT].held()).expect("a path");
    change(&mut path);
    files.insert(names::AUDIT.to_owned(), serde_json::to_vec(&path).expect("JSON").into());
}

#[test]
fn what_was_not_touched_proves_both_ways() {
    for story in [Story::new(), Story::sent()] {
        let proven = story.verify(&story.archive()).expect("whole");
        assert_eq!(proven.manifest.subject, story.subject(), "P18");
        assert_eq!(proven.open, [""; 0], "everything is shown");
        assert_eq!(proven.shown.len(), 3, "{:?}", proven.shown);
        assert!(proven.shown[1].contains("audit entry 4"), "{:?}", proven.shown);
    }
}

#[test]
fn what_was_passed_on_is_of_whom_and_for_whom_the_manifest_says_s26() {
    let party = |key: &str| PartyKey::new(key).expect("a key");
    let signed = Story::passed_on(OTHER, true);
    let proven = signed.verify(&signed.archive()).expect("whole");
    assert_eq!(proven.open, [""; 0], "everything is shown");
    assert!(proven.shown[1].starts_with(&format!("the message of {OTHER}, passed on to {TRADER}")));
    let unsigned = Story::passed_on(OTHER, false);
    let proven = unsigned.verify(&unsigned.archive()).expect("whole");
    assert_eq!(proven.open.len(), 1, "that it is not signed: {:?}", proven.open);

    type Change = fn(&mut EvidenceManifest);
    let check = |story: &Story, what: &str, change: Change, says: &str| {
        let found = story.verify(&with_manifest(story, change)).expect_err(what).to_string();
        assert!(found.starts_with(says), "{what}: {found} (P18, S26)");
    };
    let of_trader: Change = |manifest| manifest.passed_on_for = PartyKey::new(TRADER).ok();
    let of_gateway: Change = |manifest| manifest.passed_on_for = None;
    check(&signed, "of somebody else", of_trader, "message: none of the keys of AG000000000417");
    check(&signed, "of the gateway", of_gateway, "message: none of the keys of SW000000000001");
    let says = "message: its From Party is AG000000000418, and the manifest says ";
    check(&unsigned, "of somebody else, unsigned", of_trader, &format!("{says}AG000000000417"));
    check(&unsigned, "of the gateway, unsigned", of_gateway, &format!("{says}SW000000000001"));

    // Signed by whom it should be, in the name of another, or for another.
    let found = Story::passed_on(TRADER, true);
    let found = found.verify(&found.archive()).expect_err("S4").to_string();
    assert!(found.starts_with("message: its From Party is AG000000000417, and the manifest says"), "{found}");
    let story = Story::passed_on(OTHER, true);
    let offer = between(OTHER, GATEWAY, message(&[("offer@other", b"<Offer/>")]));
    let key = story.passed_on_for.as_ref().expect("it is there").signing_key();
    let story = Story { message: seal(&offer, Some(key.strict())).expect("signed"), ..story };
    let found = story.verify(&story.archive()).expect_err("S26").to_string();
    assert!(found.starts_with("message: its To Party is SW000000000001, and the manifest says"), "{found}");

    // An id that is nobody's name is told.
    let alias = Story::passed_on("an office of AG000000000418", true);
    let proven = alias.verify(&alias.archive()).expect("its keys say whose it is");
    let told = format!("the message names an office of {OTHER} as its From Party: that this is {OTHER}");
    assert!(proven.open.len() == 1 && proven.open[0].starts_with(&told), "{:?}", proven.open);
    assert_eq!(proven.manifest.passed_on_for, Some(party(OTHER)));
}

/// Who sends in another's name is refused with a MessageError that answers that From, and its archive proves so.
#[test]
fn a_signal_of_ours_may_answer_a_from_that_was_not_the_senders_s4() {
    let story = Story::sent();
    let forged = between(GATEWAY, GATEWAY, message(&[]));
    let (own, id) = (forged.header.to.clone(), forged.header.data.message_id.clone());
    let signal = acknowledge(&forged, &own, id, false, instant(NOW));
    let sealed = seal(&signal, Some(story.own.signing_key().strict())).expect("signed");
    let answer = answer_to(&signal, &sealed, &story.trader.signing_key());
    let story = Story { message: sealed, answer, ..story };
    let proven = story.verify(&story.archive()).expect("it is ours, and was sent to the trader");
    let told = format!("the message names {GATEWAY} as its To Party: that this is {TRADER}");
    assert!(proven.open.len() == 1 && proven.open[0].starts_with(&told), "{:?}", proven.open);
}

#[test]
fn whoever_has_no_key_of_ours_changes_nothing_unseen() {
    let story = Story::new();
    let archive = story.archive();
    for (name, octets) in &archive {
        // The last octet of each file, and some in between.
        let octets = octets.held();
        for at in (0..octets.len()).step_by(97).chain([octets.len() - 1]) {
            let mut changed = octets.to_vec();
            changed[at] ^= 1;
            let mut files = archive.clone();
            files.insert(name.clone(), changed.into());
            let found = story.verify(&files).expect_err("P18, S26").to_string();
            let named = [name.as_str(), names::MANIFEST, names::SIGNATURE];
            assert!(named.iter().any(|name| found.starts_with(name)), "{name} at {at}: {found}");
        }
        let mut files = archive.clone();
        files.remove(name);
        let found = story.verify(&files).expect_err("P18, S26").to_string();
        assert_eq!(found, format!("{name}: it is missing"));
    }
    let mut more = archive.clone();
    more.insert("receipt".to_owned(), Bytes::from_static(b"mine").into());
    let found = story.verify(&more).expect_err("put in").to_string();
    assert_eq!(found, "receipt: the manifest does not name it: it was put in");

    let other = Identity::new("another", SignatureAlgorithm::EcdsaSha256);
    let forged = story.signed(&story.files(), &other.signing_key());
    let found = story.verify(&forged).expect_err("another key (S4)").to_string();
    assert!(
        found.starts_with("manifest.json: it is signed with") && found.contains("none of the keys"),
        "{found}"
    );
    let found =
        verify_evidence(&archive, &AuditKeys::default(), []).expect_err("no key is trusted").to_string();
    assert!(found.starts_with("manifest.json: "), "{found}");
}

#[test]
fn what_is_inside_is_shown_without_the_manifest() {
    let story = Story::new();
    let trader = story.trader.signing_key();
    // Signed by the trader, under the same MessageId, and not what was kept.
    let other =
        seal(&message(&[("declaration@trader", b"<Other/>")]), Some(trader.strict())).expect("signed");
    story.check_inside(
        "the message replaced",
        |files| drop(files.insert(names::MESSAGE.to_owned(), other.body.clone())),
        "message: its octets are not those that audit entry 4 vouches for",
    );
    story.check_inside(
        "the answer removed",
        |files| drop(files.remove(names::ANSWER)),
        "answer: it is missing: audit entry 4 vouches for it",
    );
    story.check_inside(
        "an entry edited",
        |files| {
            edit_path(files, |path| {
                path.entries[1].text = path.entries[1].text.replace("accepted", "refused")
            })
        },
        "entry 4: its path does not lead",
    );
    story.check_inside(
        "entries swapped",
        |files| edit_path(files, |path| path.entries.swap(1, 2)),
        "entry 4: it does not come after",
    );
    story.check_inside(
        "texts swapped",
        |files| {
            edit_path(files, |path| {
                let text = path.entries[1].text.clone();
                path.entries[1].text = std::mem::replace(&mut path.entries[2].text, text);
            });
        },
        "entry 4: its path does not lead",
    );
    story.check_inside(
        "an entry under another number",
        |files| edit_path(files, |path| path.entries[2].number = 6),
        "entry 6: its path does not lead",
    );
    story.check_inside(
        "its entry removed",
        |files| edit_path(files, |path| drop(path.entries.remove(1))),
        "message: no audit entry in the archive vouches",
    );
    story.check_inside(
        "the entry of the keys removed",
        |files| edit_path(files, |path| drop(path.entries.remove(0))),
        "entry 4: no audit entry before it says which keys counted",
    );
    story.check_inside(
        "an entry about something else put in",
        |files| {
            edit_path(files, |path| {
                *path = shown(&story.texts(), &[2, 3, 4], &story.own.signing_key(), GATEWAY)
            });
        },
        "entry 3: it is about something else",
    );
    story.check_inside(
        "a path cut short",
        |files| edit_path(files, |path| path.entries[1].path.truncate(1)),
        "entry 4: its path does not lead",
    );
    story.check_inside(
        "no head",
        |files| edit_path(files, |path| path.heads.clear()),
        "entry 2: the head that it",
    );
    story.check_inside(
        "no entry",
        |files| edit_path(files, |path| path.entries.clear()),
        "audit.json: there is no entry",
    );
    let keys = names::list(&Digest::of(story.keys().to_string().as_bytes()));
    let mine = Identity::new("mine", SignatureAlgorithm::EcdsaSha256);
    story.check_inside(
        "a key added to the list",
        |files| {
            let mut list = story.keys();
            list.add(KeyUse::Signing, PartyKey::new(TRADER).expect("a key"), Digest::of(&mine.der()));
            files.insert(keys.clone(), list.to_string().into());
        },
        &format!("{keys}: its octets are not those that an audit entry vouches for"),
    );
    let certificate = names::certificate(&Digest::of(&story.trader.der()));
    story.check_inside(
        "a certificate replaced",
        |files| drop(files.insert(certificate.clone(), mine.der().into())),
        &format!("{certificate}: its octets are not those that the list of keys names"),
    );
}

#[test]
fn a_head_or_a_proof_of_another_record_is_found() {
    let story = Story::new();
    let mut texts = story.texts();
    texts[5] = texts[5].replace("draining", "stopping");
    let another = shown(&texts, &[2, 4, 5], &story.own.signing_key(), GATEWAY);
    story.check_inside(
        "the proof of another tree",
        |files| {
            edit_path(files, |path| {
                for (here, there) in path.entries.iter_mut().zip(&another.entries) {
                    here.path.clone_from(&there.path);
                }
            });
        },
        "entry ",
    );
    // Whoever signs two records of the same length is found by a head that was kept elsewhere.
    let mut files = story.files();
    let kept = shown(&story.texts(), &[2], &story.own.signing_key(), GATEWAY).heads;
    edit_path(&mut files, |path| *path = another.clone());
    let forked = story.signed(&files, &story.own.signing_key());
    assert!(story.verify(&forked).is_ok(), "nothing in it shows it");
    let found = verify_evidence(&forked, &story.trusted(), kept).expect_err("S26").to_string();
    assert!(found.starts_with("the head of 6 entries: a head of as many entries"), "{found}");

    let other = Identity::new("another", SignatureAlgorithm::EcdsaSha256);
    for (what, by, gateway, says) in [
        ("a head of another key", &other, GATEWAY, "the head of 6 entries: it is signed with"),
        ("a head of another gateway", &story.own, "HUB2", "the head of 6 entries: it is of another gateway"),
    ] {
        let path = shown(&story.texts(), &[2, 4, 5], &by.signing_key(), gateway);
        story.check_inside(what, |files| edit_path(files, |here| *here = path), says);
    }
}

#[test]
fn a_message_is_its_signers_also_when_the_record_vouches_for_it() {
    let forger = Identity::new(TRADER, SignatureAlgorithm::EcdsaSha256);
    let forged = seal(&message(&[("declaration@trader", b"<Forged/>")]), Some(forger.signing_key().strict()));
    let story = Story { message: forged.expect("signed"), ..Story::new() };
    let found = story.verify(&story.archive()).expect_err("S4").to_string();
    assert!(found.starts_with("message: none of the keys of AG000000000417"), "{found}");

    // A receipt of another message, by whom it should be.
    let story = Story::sent();
    let other = between(GATEWAY, TRADER, message(&[("report@hub", b"<Other/>")]));
    let sealed = seal(&other, Some(story.own.signing_key().strict())).expect("signed");
    let answer = answer_to(&other, &sealed, &story.trader.signing_key());
    let story = Story { answer, ..story };
    let found = story.verify(&story.archive()).expect_err("P4").to_string();
    assert!(found.starts_with("receipt: it acknowledges other digests"), "{found}");

    // Unsigned: told, and not taken for proof.
    let unsigned = seal(
        &acknowledge(
            &message(&[]),
            &PartyRef { ids: message(&[]).header.to.ids, role: None },
            MessageId::new("a2@hub").expect("an id"),
            false,
            instant(NOW),
        ),
        None,
    );
    let story = Story { answer: unsigned.expect("made"), ..Story::new() };
    let proven = story.verify(&story.archive()).expect("whole");
    assert_eq!(proven.open.len(), 1, "{:?}", proven.open);
}

#[test]
fn a_certificate_that_was_revoked_then_is_found() {
    let story = Story::new();
    let clean = revocation_list(&story.trader, &[]);
    // Two lists in one file, of which the second one names it.
    let told = clean.clone() + &revocation_list(&story.trader, &[&story.trader.certificate]);
    let story = Story { revoked: vec![clean.into_bytes()], ..story };
    assert!(story.verify(&story.archive()).is_ok(), "it is on no list");
    let story = Story { revoked: vec![told.into_bytes()], ..story };
    let found = story.verify(&story.archive()).expect_err("S27").to_string();
    assert!(found.starts_with("message: the certificate ") && found.contains("revocation list"), "{found}");
}
