//! What is agreed with a partner: signatures, times, terms of single Actions, several names and endpoints.

use super::*;
use crate::security::samples::{Identity, revocation_list};

#[test]
fn an_agreement_adds_to_its_profile_and_the_strict_one_is_what_it_has_without() {
    let signature = |lines: &str| {
        let world = world();
        let path = world.path().join("partners/kfda.toml");
        let text = fs::read_to_string(&path).expect("is there");
        fs::write(&path, format!("{text}{lines}")).expect("writes");
        let registry = load(&world.path().join("gwanmun.toml")).expect("is in order").partners.registry;
        let agreement = registry.agreement(&CpaId::new("sw-kfda").expect("a CPAId")).expect("is there");
        (agreement.signature.clone(), agreement.profile.clone())
    };
    let strict = SignatureTerms::strict(SignatureAlgorithm::EcdsaSha256);
    assert_eq!(signature(""), (strict.clone(), PartnerProfile::strict()));
    let (terms, profile) = signature(
        "profile = \"nhs-spine\"\nown_digest = \"sha512\"\nown_canonicalization = \"exclusive\"\n\
         own_payload_transforms = true\naccepted_algorithms = [\"ed25519\"]\naccepted_digests = [\"sha384\"]\n\
         accepted_canonicalizations = [\"c14n11\"]\nsha1_until = \"2027-01-01T00:00:00Z\"\n",
    );
    assert_eq!(&*profile.name, "nhs-spine");
    assert!(profile.allows(Deviation::MissingRole) && !profile.allows(Deviation::NoActorFilter));
    let expected = SignatureTerms {
        own: SigningTerms {
            digest: DigestMethod::Sha512,
            canonicalization: Canonicalization::Exclusive,
            payload_transforms: true,
            ..strict.own
        },
        accepted: vec![SignatureAlgorithm::Ed25519],
        digests: vec![DigestMethod::Sha384],
        canonicalizations: vec![Canonicalization::Xml11],
        sha1_until: Some("2027-01-01T00:00:00Z".parse().expect("an instant")),
    };
    assert_eq!(terms, expected);
}

/// Each deviation is a switch of its own, those of the strict profile too; SHA-1 is a key with a day.
#[test]
fn an_agreement_names_its_deviations_in_place_of_its_profile() {
    let world = world();
    let path = world.path().join("partners/kfda.toml");
    let text = fs::read_to_string(&path).expect("is there");
    let write = |line: &str| fs::write(&path, format!("{text}{line}\n")).expect("writes");
    for named in [vec![], vec![Deviation::SoapAction], vec![Deviation::MissingRole, Deviation::MidReferences]]
    {
        let words: Vec<_> = named.iter().map(|deviation| format!("\"{}\"", deviation.as_str())).collect();
        write(&format!("profile = \"nhs-spine\"\ndeviations = [{}]", words.join(", ")));
        let registry = load(&world.path().join("gwanmun.toml")).expect("is in order").partners.registry;
        let agreement = registry.agreement(&CpaId::new("sw-kfda").expect("a CPAId")).expect("is there");
        assert_eq!(agreement.profile.deviations, named.into_iter().collect());
        assert_eq!(&*agreement.profile.name, "nhs-spine");
    }
    for wrong in ["sha1", "anything"] {
        write(&format!("deviations = [\"{wrong}\"]"));
        let told = told(&world);
        assert!(
            told.iter().any(|fault| fault.contains("is not a deviation of docs/operations.md")),
            "{told:?}"
        );
    }
}

/// Every 2xx says the same, and no other status does.
#[test]
fn an_agreement_says_how_an_empty_answer_is_told() {
    let world = world();
    let path = world.path().join("partners/kfda.toml");
    let text = fs::read_to_string(&path).expect("is there");
    let answer = |line: &str| {
        fs::write(&path, format!("{text}{line}\n")).expect("writes");
        let loaded = load(&world.path().join("gwanmun.toml")).map_err(|faults| format!("{faults:?}"))?;
        let registry = loaded.partners.registry;
        let agreement = registry.agreement(&CpaId::new("sw-kfda").expect("a CPAId")).expect("is there");
        Ok::<_, String>(agreement.empty_answer.status())
    };
    assert_eq!(answer(""), Ok(202));
    for status in [200, 202, 204] {
        assert_eq!(answer(&format!("empty_answer = {status}")), Ok(status));
    }
    for wrong in ["201", "500", "\"none\""] {
        let told = answer(&format!("empty_answer = {wrong}")).expect_err(wrong);
        assert!(told.contains("is not 202, 200 or 204"), "{told}");
    }
}

/// What no certificate of a partner can sign by, and a list of nothing, are mistakes and not silence.
#[test]
fn an_agreement_accepts_what_its_partner_can_sign_with() {
    let partner = |lines: &str| {
        let world = world();
        let path = world.path().join("partners/kfda.toml");
        let text = fs::read_to_string(&path).expect("is there");
        fs::write(&path, format!("{text}{lines}\n")).expect("writes");
        told(&world)
    };
    let nothing = |partner: &str| format!("accepts no algorithm that a certificate of {partner} can sign by");
    for (lines, expected) in [
        ("accepted_algorithms = [\"ed25519\"]", Some(nothing("AG000000000001"))),
        ("accepted_algorithms = [\"rsa-sha256\"]", Some(nothing("AG000000000001"))),
        ("profile = \"phinms\"", None),
        ("accepted_algorithms = [\"ecdsa-sha512\"]", None),
        ("accepted_algorithms = []", Some("accepted_algorithms names nothing".to_owned())),
        ("accepted_digests = []", Some("accepted_digests names nothing".to_owned())),
        ("accepted_canonicalizations = []", Some("accepted_canonicalizations names nothing".to_owned())),
    ] {
        let told = partner(lines);
        assert_eq!(told.is_empty(), expected.is_none(), "{lines}: {told:?}");
        if let Some(expected) = expected {
            assert!(told.iter().any(|fault| fault.contains(&expected)), "{lines}: {told:?}");
        }
    }
}

/// What libxmlsec1 cannot verify is not agreed where the settings ask it.
#[test]
fn an_agreement_needs_an_engine_that_verifies_all_of_it() {
    let lacking = |what: &str| {
        format!(
            "partners:1:1: agreement sw-kfda accepts {what}, which libxmlsec1 cannot verify: it needs [signature] \
             engine \"own\""
        )
    };
    for (engine, lines, expected) in [
        ("xmlsec", "accepted_algorithms = [\"ecdsa-sha256\", \"rsa-pss-sha256\"]", vec!["rsa-pss-sha256"]),
        ("both", "accepted_algorithms = [\"ecdsa-sha256\", \"ed25519\"]", vec!["ed25519"]),
        ("both", "sha1_until = \"9999-01-01T00:00:00Z\"", vec!["sha1_until"]),
        ("both", "sha1_until = \"2020-01-01T00:00:00Z\"", vec![]),
        ("xmlsec", "sha1_until = \"2020-01-01T00:00:00Z\"", vec![]),
        (
            "both",
            "profile = \"standard\"",
            vec!["content-location", "ed25519", "rsa-pss-sha256", "rsa-pss-sha384", "rsa-pss-sha512"],
        ),
        ("both", "profile = \"digikoppeling\"", vec![]),
        ("own", "profile = \"standard\"\nsha1_until = \"9999-01-01T00:00:00Z\"", vec![]),
    ] {
        let world = world();
        for (file, more) in [
            ("gwanmun.toml", format!("\n[signature]\nengine = \"{engine}\"\n")),
            ("partners/kfda.toml", format!("{lines}\n")),
        ] {
            let path = world.path().join(file);
            let text = fs::read_to_string(&path).expect("is there");
            fs::write(&path, text + &more).expect("writes");
        }
        let expected: Vec<_> = expected.into_iter().map(lacking).collect();
        let mut told = told(&world);
        told.sort();
        assert_eq!(told, expected, "{engine} {lines}");
    }
}

/// An exception that is over is told, and the set stays a set: no day that comes keeps a gateway from starting.
#[test]
fn an_exception_that_is_over_is_a_warning() {
    let now: Timestamp = "2026-01-01T00:00:00Z".parse().expect("an instant");
    for (until, warned) in
        [("2025-12-31T23:59:59Z", true), ("2026-01-01T00:00:00Z", true), ("2026-01-01T00:00:01Z", false)]
    {
        let world = world();
        let file = world.path().join("partners/kfda.toml");
        fs::write(&file, format!("{KFDA}sha1_until = \"{until}\"\n")).expect("writes");
        let loaded = load(&world.path().join("gwanmun.toml")).expect("is in order");
        let told = warnings(&loaded, now);
        assert_eq!(told.len(), usize::from(warned), "{until}: {told:?}");
        if let [only] = told.as_slice() {
            assert!(
                only.file == file && only.message.contains("sw-kfda: sha1_until is over since"),
                "{only}"
            );
        }
    }
}

/// Five retries every ten seconds take a minute with the wait after the last.
//= ebms2 6.4.5 MUST: TimeToLive is longer than (Retries + 1) times RetryInterval, or the agreement is refused
//= ebms2 6.4.6 MUST: PersistDuration is longer than TimeToLive, or the agreement is refused
#[test]
fn what_is_sent_last_is_still_taken_and_what_is_taken_last_still_known() {
    fn check(terms: &str, expected: &[&str]) {
        let with = |text: &str| text.replacen("retries = 5\n", &format!("retries = 5\n{terms}"), 1);
        let told = faults("partners/kfda.toml", with);
        let expected: Vec<_> =
            expected.iter().map(|text| format!("partners/kfda.toml:9:1: {text}")).collect();
        assert_eq!(told, expected, "{terms}");
    }
    let (short, forgets) = (
        "time_to_live is not longer than all transmissions take",
        "persist_duration is not longer than time_to_live",
    );
    check("time_to_live = \"61s\"\n", &[]);
    check("time_to_live = \"60s\"\n", &[short]);
    check("time_to_live = \"1s\"\n", &[short]);
    check("time_to_live = \"61s\"\npersist_duration = \"62s\"\n", &[]);
    check("time_to_live = \"61s\"\npersist_duration = \"61s\"\n", &[forgets]);
    check("time_to_live = \"61s\"\npersist_duration = \"1s\"\n", &[forgets]);
    check("time_to_live = \"60s\"\npersist_duration = \"60s\"\n", &[short, forgets]);
}

/// What a CPA may say besides yes and no, and a type of Services that is not ours.
#[test]
fn acknowledgments_as_each_message_asks_and_services_of_another_type_are_agreed() {
    let agreed = |terms: &str| {
        let directory = world();
        let text = KFDA.replacen("retries = 5\n", &format!("retries = 5\n{terms}"), 1);
        fs::write(directory.path().join("partners/kfda.toml"), text).expect("writes");
        let loaded = load(&directory.path().join("gwanmun.toml")).expect("is in order");
        loaded.partners.registry.agreements().next().expect("there is one").clone()
    };
    let signed = |agreement: &Agreement| {
        (agreement.reliability.ack_signed, agreement.reliability.ack_signed_per_message)
    };
    assert_eq!(signed(&agreed("")), (true, false));
    assert_eq!(signed(&agreed("ack_signed = false\n")), (false, false));
    assert_eq!(signed(&agreed("ack_signed = \"perMessage\"\n")), (true, true));
    let typed = agreed("service_type = \"urn:osb:services\"\n");
    assert!(typed.actions.iter().all(|bound| bound.service_type.as_deref() == Some("urn:osb:services")));

    let with = |text: &str| text.replacen("retries = 5\n", "retries = 5\nack_signed = \"always\"\n", 1);
    let told = faults("partners/kfda.toml", with);
    assert_eq!(told, ["partners/kfda.toml:17:14: ack_signed is \"always\""]);
}

#[test]
fn some_actions_of_an_agreement_have_terms_of_their_own() {
    let directory = world();
    let kfda = directory.path().join("partners/kfda.toml");
    let terms = "[[agreement.override]]\nsend = [\"RequirementVerification GOVCBRX01\"]\n\
                 endpoint = \"https://127.0.0.1:18444/ebms\"\nretries = 2\nack_signed = false\n";
    fs::write(&kfda, format!("{KFDA}{terms}")).expect("writes");
    let loaded = load(&directory.path().join("gwanmun.toml")).expect("is in order");
    let agreement = loaded.partners.registry.agreements().next().expect("there is one");
    let application = agreement.on(Direction::Send, "RequirementVerification", "GOVCBRX01");
    assert_eq!(application.endpoint.as_deref(), Some("https://127.0.0.1:18444/ebms"));
    let Reliability { retries, retry_interval, ack_signed, .. } = application.reliability;
    assert_eq!(
        (retries, retry_interval.as_secs(), ack_signed),
        (2, 10, false),
        "what it does not say is as usual"
    );
    assert_eq!(application.sync_reply_mode, SyncReplyMode::None);
    for other in [
        agreement.on(Direction::Receive, "urn:swgw:service:requirement", "GOVCBRX51"),
        agreement.on(Direction::Send, "urn:oasis:names:tc:ebxml-msg:service", "Acknowledgment"),
    ] {
        assert_eq!(other, agreement);
    }

    fn check(terms: &str, expected: &[&str]) {
        let world = world();
        let text = format!("{KFDA}[[agreement.override]]\n{terms}");
        fs::write(world.path().join("partners/kfda.toml"), text).expect("writes");
        let told = told(&world);
        let matches = told.iter().zip(expected).all(|(told, expected)| told.contains(expected));
        assert!(told.len() == expected.len() && matches, "{terms}: {told:#?}");
    }
    let send = "send = [\"RequirementVerification GOVCBRX01\"]\n";
    check("retries = 2\n", &["it is for no Action"]);
    check("send = [\"Payment GOVCBRXF3\"]\n", &["Payment GOVCBRXF3 is not under send or receive"]);
    check(&format!("{send}[[agreement.override]]\n{send}"), &["has other terms twice"]);
    check(&format!("{send}time_to_live = \"1m\"\n"), &["time_to_live is not longer"]);
    check(&format!("{send}endpoint = \"http://127.0.0.1/ebms\"\n"), &["endpoint"]);
    check(&format!("{send}own_algorithm = \"rsa-sha256\"\n"), &["unknown key own_algorithm"]);
    let receive = "receive = [\"urn:swgw:service:requirement GOVCBRX51\"]\n";
    check(&format!("{receive}endpoint = \"https://127.0.0.1:1/ebms\"\n"), &["nothing that is posted there"]);
    check(
        &format!("{receive}response_endpoint = \"https://127.0.0.1:1/ebms\"\n"),
        &["nothing that is posted there"],
    );
    let alone = "signals have an endpoint of their own, and nothing else";
    check("signals = [\"Pong\"]\nretries = 2\n", &[alone]);
    let msh = crate::model::Service::MSH;
    check(&format!("send = [\"{msh} Pong\"]\n"), &["is not under send or receive"]);
    check(&format!("{send}signals = [\"Pong\"]\n"), &[alone]);
    check("signals = [\"Pang\"]\n", &["it is for no Action", "\"Pang\" is not Acknowledgment"]);
    check("signals = [\"Pong\"]\n[[agreement.override]]\nsignals = [\"Pong\"]\n", &["has other terms twice"]);
}

/// A partner that has several names, several Roles and several places to be posted at (CPPA 2.0).
#[test]
fn a_partner_has_several_names_roles_and_endpoints() {
    let directory = world();
    let text = KFDA
        .replace("name = \"KFDA\"", "name = \"KFDA\"\nother_ids = [\"urn:duns 880000001\", \"urn:kfda\"]")
        .replace(
            "sync_reply",
            "response_endpoint = \"https://127.0.0.1:1/a\"\nother_own_ids = [\"urn:duns 1\"]\nsync_reply",
        );
    let text = format!(
        "{text}[[agreement.override]]\nreceive = [\"urn:swgw:service:requirement GOVCBRX51\"]\n\
         own_role = \"Applicant\"\npartner_role = \"Inspector\"\n\
         [[agreement.override]]\nsignals = [\"MessageError\"]\nendpoint = \"https://127.0.0.1:1/e\"\n\
         [[agreement.override]]\nsend = [\"RequirementVerification GOVCBRX01\"]\nendpoint = \"https://127.0.0.1:1/x\"\n"
    );
    fs::write(directory.path().join("partners/kfda.toml"), &text).expect("writes");
    let loaded = load(&directory.path().join("gwanmun.toml")).expect("is in order");
    let registry = &loaded.partners.registry;
    let party = registry.parties().next().expect("there is one");
    let id = |kind: Option<&str>, value: &str| PartyId { value: value.into(), kind: kind.map(Into::into) };
    let [duns, uri] = [id(Some("urn:duns"), "880000001"), id(None, "urn:kfda")];
    assert_eq!(party.ids[1..], [duns.clone(), uri.clone()]);
    for id in [&duns, &uri, &party.ids[0]] {
        assert_eq!(registry.party_by_id(id), Some(party));
    }
    let agreement = registry.agreements().next().expect("there is one");
    assert_eq!((agreement.partner_ids.len(), &agreement.own_ids[1]), (3, &id(Some("urn:duns"), "1")));
    let inspected = agreement.on(Direction::Receive, "urn:swgw:service:requirement", "GOVCBRX51");
    assert_eq!((inspected.own_role.as_str(), inspected.partner_role.as_str()), ("Applicant", "Inspector"));
    assert_eq!((agreement.own_role.as_str(), agreement.partner_role.as_str()), ("SingleWindow", "Agency"));
    let posted = |service: &str, action: &str, is_answer: bool| {
        let url = agreement.on(Direction::Send, service, action).endpoint_of(is_answer);
        url.map(|url| url.rsplit('/').next().unwrap_or_default().to_owned())
    };
    let msh = crate::model::Service::MSH;
    for (service, action, is_answer, expected) in [
        (msh, "Acknowledgment", true, "a"),
        (msh, "MessageError", true, "e"),
        (msh, "Ping", false, "ebms"),
        ("RequirementVerification", "GOVCBRX01", false, "x"),
        ("RequirementVerification", "GOVCBRX01", true, "x"),
        ("RequirementVerification", "another", true, "a"),
    ] {
        assert_eq!(posted(service, action, is_answer).as_deref(), Some(expected), "{action} {is_answer}");
    }

    let check = |from: &str, to: &str, expected: &str| {
        let edited = text.replace(from, to);
        assert_ne!(edited, text, "{from} is there");
        fs::write(directory.path().join("partners/kfda.toml"), edited).expect("writes");
        let told = told(&directory);
        assert!(told.iter().any(|told| told.contains(expected)), "{from} -> {to}: {told:#?}");
    };
    check("\"urn:duns 880000001\"", "\"880000001\"", "other_ids: \"880000001\" is not a type and a PartyId");
    check(
        "\"urn:duns 880000001\"",
        "\"urn:swgw:party SW000000000001\"",
        "this PartyId is already that of this node",
    );
    check("[\"urn:duns 1\"]", "[\"urn:duns 880000001\"]", "this PartyId is already that of");
    check(
        "endpoint = \"https://127.0.0.1:18443/ebms\"",
        "mailbox = true",
        "an endpoint for answers, and none",
    );
}

/// A partner's certificate on a list of ours is a warning and not a mistake; a list that cannot be read is one, told once.
#[test]
fn a_revoked_certificate_of_a_partner_is_a_warning() {
    let world = world();
    let at = |file: &str| world.path().join(file);
    let pem = |file: &str| fs::read(at(file)).expect(file);
    let kfda = Identity {
        certificate: X509::from_pem(&pem("kfda.pem")).expect("a certificate"),
        key: PKey::private_key_from_pem(&pem("kfda.key")).expect("a key"),
    };
    let listed = SETTINGS.replace("\n[[signing]]", "revocation_lists = [\"list.pem\"]\n\n[[signing]]");
    fs::write(at("gwanmun.toml"), listed).expect("writes");
    for (revoked, warned) in [(vec![], 0), (vec![&*kfda.certificate], 1)] {
        fs::write(at("list.pem"), revocation_list(&kfda, &revoked)).expect("writes");
        let loaded = load(&at("gwanmun.toml")).expect("is in order");
        let told = warnings(&loaded, Timestamp::from_millis(0));
        assert_eq!((told.len(), loaded.keys.validity().count()), (warned, 1 - warned), "{told:?}");
        assert!(told.iter().all(|one| one.file == at("partners/kfda.toml")), "{told:?}");
    }
    fs::write(at("list.pem"), "-----BEGIN X509 CRL-----\nno\n-----END X509 CRL-----\n").expect("writes");
    let told = told(&world);
    assert!(told.len() == 1 && told[0].contains("list.pem"), "{told:?}");
}
