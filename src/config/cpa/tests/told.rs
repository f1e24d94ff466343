//! What of a CPA is not kept as it stands, and is refused or noted: nothing is left out unsaid.

use super::{import, terms, usual};
use crate::codec::cpa::{ChannelOverride, ChannelTerms, CpaTerms, write_cpa};
use crate::model::{Presence, SignatureAlgorithm};

/// What is refused, by rule and text.
fn refused(text: &str, rule: &str, expected: &str) {
    let told = import(text).expect_err(expected);
    let rule = format!("[cpa:{rule}]");
    assert!(
        told.iter().any(|told| told.contains(expected) && told.ends_with(&rule)),
        "{expected}: {told:#?}"
    );
}

fn notes(text: &str) -> Vec<String> {
    let imported = import(text).unwrap_or_else(|told| panic!("{told:#?}"));
    imported.notes.iter().map(ToString::to_string).collect()
}

/// The CPA with a channel of its own for what we send as GOVCBRXS2.
fn two_channels(change: impl Fn(&mut ChannelTerms)) -> String {
    let mut terms = usual();
    change(&mut terms);
    let actions = vec![(0, "ImportClearance".into(), "GOVCBRXS2".into())];
    write_cpa(&CpaTerms { overrides: vec![ChannelOverride { actions, terms }], ..self::terms() })
}

/// The text with `from` in the element of this id alone.
fn within(text: &str, id: &str, end: &str, from: &str, to: &str) -> String {
    let (before, rest) = text.split_once(id).expect("the id is there");
    let (element, after) = rest.split_once(end).expect("it ends");
    assert!(element.contains(from), "{from} in {element}");
    format!("{before}{id}{}{end}{after}", element.replace(from, to))
}

#[test]
fn a_cpa_without_more_has_no_notes() {
    assert_eq!(notes(&write_cpa(&terms())), Vec::<String>::new());
}

/// A Signature is noted, which nothing verifies; so is a Status that has none.
#[test]
fn a_signature_that_nothing_verifies_is_noted() {
    let text = write_cpa(&terms()).replace("value=\"agreed\"", "value=\"signed\"");
    let [note] = &*notes(&text) else { panic!("one note") };
    assert!(note.contains("no Signature in it") && note.ends_with("[cpa:signed]"), "{note}");
    let end = "</tp:CollaborationProtocolAgreement>";
    let signed = text.replace(end, &format!("<tp:Signature><ds:Signature/></tp:Signature>{end}"));
    let [note] = &*notes(&signed) else { panic!("one note") };
    assert!(note.contains("not verified") && note.contains("/tp:Signature"), "{note}");
}

/// Who acknowledges is the To Party MSH, where anything is acknowledged; of ours and of theirs.
#[test]
fn acknowledgments_of_a_next_msh_are_refused() {
    let text = write_cpa(&terms());
    for channel in ["party1-channel", "party2-channel"] {
        let next =
            within(&text, &format!("channelId=\"{channel}\""), "/>", "actor:toPartyMSH", "actor:nextMSH");
        refused(&next, "actor", "actor is not toPartyMSH");
        assert!(import(&next.replace("ackRequested=\"always\"", "ackRequested=\"never\"")).is_ok());
    }
    assert!(import(&text.replace(" tp:actor=\"urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH\"", "")).is_ok());
}

/// Only the connection is confidential, whichever party asks for more.
#[test]
fn messages_that_are_to_be_encrypted_are_refused() {
    let text = write_cpa(&terms());
    for binding in ["party1-sends-0", "party2-receives-0"] {
        for level in ["persistent", "transient-and-persistent"] {
            let to = format!("isConfidential=\"{level}\"");
            let text = within(&text, &format!("id=\"{binding}\""), "/>", "isConfidential=\"transient\"", &to);
            refused(&text, "encryption", "isConfidential asks for encrypted messages");
        }
    }
}

/// An agreement has one algorithm and one digest of ours: what all channels of ours have, and the partner takes.
#[test]
fn what_we_sign_with_is_one_for_all_channels_or_refused() {
    use SignatureAlgorithm::{EcdsaSha256, RsaSha256};
    let text = two_channels(|channel| channel.retries = 2);
    let (ecdsa, rsa) = (EcdsaSha256.uri(), RsaSha256.uri());
    let more =
        |first: &str, second: &str| format!("{first}</tp:SignatureAlgorithm><tp:SignatureAlgorithm>{second}");
    let signs = |text: &str, exchange: &str, kind: &str, algorithms: &str| {
        let id = format!("<tp:DocExchange tp:docExchangeId=\"{exchange}\"");
        let (before, rest) = text.split_once(&id).expect("the exchange is there");
        let (start, end) = (format!("<tp:{kind}NonRepudiation>"), format!("</tp:{kind}NonRepudiation>"));
        format!("{before}{id}{}", within(rest, &start, &end, ecdsa, algorithms))
    };
    let own = |text: &str| {
        let kept = import(text).unwrap_or_else(|told| panic!("{told:#?}")).agreement;
        kept.lines().find(|line| line.starts_with("own_algorithm")).expect("says it").to_owned()
    };
    let none = "an agreement has one own_algorithm";
    // Ours differ; one of ours has both, in whichever order; the partner takes another.
    let differ = signs(&text, "party1-exchange-1", "Sender", rsa);
    refused(&differ, "algorithm", none);
    let both = signs(&text, "party1-exchange", "Sender", &more(rsa, ecdsa));
    assert_eq!(own(&both), "own_algorithm = \"ecdsa-sha256\"");
    let all = signs(&both, "party1-exchange-1", "Sender", &more(rsa, ecdsa));
    assert_eq!(own(&all), "own_algorithm = \"ecdsa-sha256\"", "the partner takes this one");
    let taken = signs(&text, "party2-exchange-1", "Receiver", rsa);
    refused(&taken, "algorithm", none);

    let sha512 = "http://www.w3.org/2001/04/xmlenc#sha512";
    let sha256 = "http://www.w3.org/2001/04/xmlenc#sha256";
    let (before, after) =
        text.split_once("<tp:DocExchange tp:docExchangeId=\"party1-exchange-1\"").expect("is there");
    let digests = format!(
        "{before}<tp:DocExchange tp:docExchangeId=\"party1-exchange-1\"{}",
        after.replacen(sha256, sha512, 1)
    );
    refused(&digests, "algorithm", "an agreement has one own_digest");
}

/// What is received and never sent is no part of the agreement, and noted.
#[test]
fn what_only_one_side_receives_is_noted() {
    let text = write_cpa(&terms());
    let (before, rest) = text.split_once("<tp:CanReceive>").expect("we receive something");
    let (received, after) = rest.split_once("</tp:CanReceive>").expect("it ends");
    let (alone, _) = received.split_once("<tp:OtherPartyActionBinding>").expect("it names what it meets");
    let alone = alone.replace("GOVCBR929", "GOVCBR930").replace("party1-receives-0", "alone");
    let text = format!(
        "{before}<tp:CanReceive>{received}</tp:CanReceive><tp:CanReceive>{alone}</tp:CanReceive>{after}"
    );
    let [note] = &*notes(&text) else { panic!("one note") };
    assert!(note.contains("receives GOVCBR930, and the other party does not send it"), "{note}");
    assert!(!import(&text).expect("can be kept").agreement.contains("GOVCBR930"));
}

/// What the business process asks for is noted, once, with every name.
#[test]
fn what_is_asked_of_the_process_is_noted() {
    let text = write_cpa(&terms());
    // Who it is and that it is whole is known of every message, and who may send it.
    let kept = " tp:isAuthorizationRequired=\"true\" tp:isConfidential=";
    assert_eq!(notes(&text.replace(" tp:isConfidential=", kept)), Vec::<String>::new());
    let asked = " tp:timeToPerform=\"P1D\" tp:retryCount=\"2\" tp:isIntelligibleCheckRequired=\"false\"";
    let text = text.replace(" tp:isConfidential=", &format!("{asked} tp:isConfidential="));
    let [note] = &*notes(&text) else { panic!("one note") };
    assert!(note.contains("retryCount, timeToPerform: of the business process"), "{note}");
    let constraints = "<tp:ConversationConstraints tp:invocationLimit=\"9\"/><tp:PartyInfo ";
    let [note] = &*notes(&write_cpa(&terms()).replacen("<tp:PartyInfo ", constraints, 1)) else {
        panic!("one note")
    };
    assert!(note.contains("/tp:ConversationConstraints: ") && note.ends_with("[cpa:process]"), "{note}");
}

/// A TimeToLive ends before the partner forgets, and we know what it may send again for as long as it says.
#[test]
fn persist_duration_of_either_side_is_kept() {
    let text = write_cpa(&terms());
    let check = |exchange: &str, binding: &str, persist: &str, expected: Result<[&str; 2], &str>| {
        let (before, rest) =
            text.split_once(&format!("<tp:DocExchange tp:docExchangeId=\"{exchange}\"")).expect("is there");
        let (head, rest) = rest.split_once(&format!("<tp:ebXML{binding}Binding")).expect("is there");
        let rest = rest.replacen(">PT86400S<", &format!(">{persist}<"), 1);
        let text = format!(
            "{before}<tp:DocExchange tp:docExchangeId=\"{exchange}\"{head}<tp:ebXML{binding}Binding{rest}"
        );
        match (import(&text), expected) {
            (Ok(imported), Ok([live, known])) => {
                let lines = format!("\ntime_to_live = \"{live}\"\npersist_duration = \"{known}\"\n");
                assert!(imported.agreement.contains(&lines), "{exchange} {binding}: {}", imported.agreement);
            }
            (Err(told), Err(expected)) => {
                assert!(
                    told.iter().any(|told| told.contains(expected) && told.contains(binding)),
                    "{told:#?}"
                );
            }
            (found, expected) => panic!("{exchange} {binding}: {found:#?}, expected {expected:?}"),
        }
    };
    check("party2-exchange", "Receiver", "PT2H", Ok(["1h", "24h"]));
    check("party2-exchange", "Receiver", "PT241S", Err("leaves no TimeToLive that ends within it"));
    check("party2-exchange", "Sender", "P10D", Ok(["12h", "240h"]));
    check("party1-exchange", "Receiver", "P10D", Ok(["12h", "240h"]));
    check("party1-exchange", "Sender", "PT2H", Ok(["12h", "24h"]));
}

/// Over each of our channels that something may come by: order, encryption and actor are asked of the second one too.
#[test]
fn no_channel_of_ours_is_taken_for_another() {
    let order = |channel: &mut ChannelTerms| {
        channel.message_order = true;
        channel.sync_reply_mode = crate::model::SyncReplyMode::None;
        channel.duplicate_elimination = Presence::Always;
    };
    let mut own = usual();
    own.sync_reply_mode = crate::model::SyncReplyMode::None;
    let mut second = own.clone();
    order(&mut second);
    let actions = vec![(1, "ImportClearance".into(), "GOVCBR929".into())];
    let overrides = vec![ChannelOverride { actions, terms: second }];
    let text = write_cpa(&CpaTerms { usual: own, overrides, ..terms() });
    let both = text.replace(
        "<tp:ChannelId>party1-channel-1</tp:ChannelId>",
        "<tp:ChannelId>party1-channel</tp:ChannelId><tp:ChannelId>party1-channel-1</tp:ChannelId>",
    );
    refused(&both, "channel", "differ in MessageOrderSemantics");
    let next = within(&both, "channelId=\"party1-channel-1\"", "/>", "actor:toPartyMSH", "actor:nextMSH");
    refused(&next, "actor", "actor is not toPartyMSH");
}

/// TLS and trust are the same for every partner: what a CPA says otherwise is noted, each once.
#[test]
fn what_is_said_of_tls_and_trust_is_noted() {
    let text = write_cpa(&terms());
    let security = "<tp:TransportSecurityProtocol tp:version=\"1.2\">TLS</tp:TransportSecurityProtocol>";
    let check = |to: &str, expected: Option<&str>| {
        assert!(text.contains(security), "{text}");
        let told = notes(&text.replace(security, to));
        assert_eq!(told.len(), usize::from(expected.is_some()), "{told:#?}");
        let wrong =
            expected.is_some_and(|expected| !told[0].contains(expected) || !told[0].ends_with("[cpa:tls]"));
        assert!(!wrong, "{told:#?}");
    };
    check(&security.replace("1.2", "1.3"), None);
    check(&security.replace("1.2", "1.0"), Some("TLS 1.0: TLS 1.2 and 1.3 are spoken here"));
    check(&security.replace("TLS", "SSL").replace("1.2", "3.0"), Some("SSL 3.0: "));
    check(&security.replace(" tp:version=\"1.2\"", ""), Some("TLS without a version: "));
    let cipher = "<tp:EncryptionAlgorithm>TLS_RSA_WITH_AES_128_CBC_SHA</tp:EncryptionAlgorithm>";
    let named =
        text.replace("</tp:TransportClientSecurity>", &format!("{cipher}</tp:TransportClientSecurity>"));
    let [note] = &*notes(&named) else { panic!("one note") };
    assert!(note.contains("EncryptionAlgorithm: the cipher suites"), "{note}");
    let details = "<tp:SecurityDetails tp:securityId=\"trust\"><tp:TrustAnchors><tp:AnchorCertificateRef \
                   tp:certId=\"party2-tls\"/></tp:TrustAnchors></tp:SecurityDetails>";
    let (before, after) = text.rsplit_once("</tp:Certificate>").expect("the partner has certificates");
    let [note] = &*notes(&format!("{before}</tp:Certificate>{details}{after}")) else { panic!("one note") };
    assert!(note.contains("no TrustAnchor counts"), "{note}");
}

/// Signals come by our default channel, whatever Actions have channels of their own.
#[test]
fn the_channel_of_our_signals_is_one_that_they_can_come_by() {
    let [own, partner] = terms().parties;
    let everything = [(0, &own.sends), (1, &partner.sends)];
    let actions = everything.into_iter().flat_map(|(sender, sends)| {
        sends.iter().map(move |(service, action)| (sender, service.value.clone(), action.clone()))
    });
    let overrides = vec![ChannelOverride { actions: actions.collect(), terms: usual() }];
    let text = write_cpa(&CpaTerms { overrides, ..terms() });
    assert!(import(&text).is_ok(), "{:#?}", import(&text));
    let login = "<tp:AccessAuthentication>basic</tp:AccessAuthentication>";
    for transport in ["party1-transport", "party2-transport"] {
        let id = format!("tp:transportId=\"{transport}\"><tp:TransportSender>");
        let (before, rest) = text.split_once(&id).expect("the transport is there");
        let (sender, after) = rest.split_once("</tp:TransportProtocol>").expect("it has a protocol");
        let asked = format!("{before}{id}{sender}</tp:TransportProtocol>{login}{after}");
        refused(&asked, "transport", "AccessAuthentication is not offered here");
    }
}
