//! The gateway as an intermediary: a message of one partner for another one passes through as it was signed, and so does
//! its acknowledgment (ebMS 2.0, 10; digest, 15; P6).

use std::net::SocketAddr;

use bytes::Bytes;
use gwanmun::codec::archive::unpack as files_of;
use gwanmun::config::profile;
use gwanmun::model::{AckRequested, Actor, DigestReference, ErrorCode, Message, Sealed};
use gwanmun::practice::{Entry, Journal};
use gwanmun::security::{Capture, Inspection, inspect, seal};
use gwanmun::transport::{LocalClient, PostResponse};
use openssl::x509::X509;
use rustix::process::Signal;

use crate::correspondent::Correspondent;
use crate::process::{Process, run, until};
use crate::purged::{age, archives};
use crate::world::{World, document};

/// What broker and agency agree with each other; the gateway knows nothing of it.
const CPA_ID: &str = "broker-and-kfda";

/// What one of the two has in place of a gateway: the other one, reached through ours. Gives where it listens itself.
fn through(world: &World, name: &str, other: &str, roles: [&str; 2], actions: [&str; 2]) -> SocketAddr {
    let own = world.read(&format!("{name}.toml"));
    let (identity, _) = own.split_once("[gateway]").expect("who it is");
    let key = world.read(&format!("partners/{other}.toml"));
    let key = key.lines().find(|line| line.starts_with("key = ")).expect("a key").to_owned();
    let [own_role, partner_role] = roles;
    let [send, receive] = actions;
    let settings = format!(
        "{identity}[gateway]\n{key}\nname = \"{other}\"\ntls_certificates = [\"pki/gateway/tls.pem\"]\n\
         signing_certificates = [\"pki/{other}/signing.pem\"]\n\n[[agreement]]\ncpa_id = \"{CPA_ID}\"\n\
         own_role = \"{own_role}\"\npartner_role = \"{partner_role}\"\nendpoint = \"{}\"\n\
         sync_reply_mode = \"none\"\nown_algorithm = \"ecdsa-sha256\"\nretries = 60\nretry_interval = \"2s\"\n\
         time_to_live = \"1h\"\nsend = [{send}]\nreceive = [{receive}]\n",
        world.endpoint()
    );
    world.write(
        &format!("{name}-through.toml"),
        &settings.replace("directory = \"", "directory = \"through-"),
    );
    let listens = own.lines().find(|line| line.starts_with("ebms = ")).expect("listens");
    listens.split('"').nth(1).expect("an address").parse().expect("an address")
}

/// What the signature of a hop's acknowledgment covers: that of the gateway's key.
fn inspected(world: &World, answer: &PostResponse) -> Inspection {
    let certificate = world.read("pki/gateway/signing.pem");
    let signer = X509::from_pem(certificate.as_bytes()).and_then(|pem| pem.to_der()).expect("a certificate");
    let widest = profile("standard").expect("the program carries it");
    inspect(&Capture {
        content_type: answer.content_type.as_deref().expect("has a Content-Type"),
        body: &answer.body.clone().into(),
        signers: &[signer],
        trust_message_certificate: false,
        profile: widest.profile.clone(),
        terms: widest.terms.clone(),
        at: None,
    })
}

/// A message to the agency that asks for an acknowledgment of the hop too.
fn application(world: &World, broker: &Correspondent, signed: bool) -> Message {
    let text = world.read("examples/X01.xml");
    let mut message = broker.message("GOVCBRX01", "through", vec![document("GOVCBRX01", &text)]);
    message.ack_requested.push(AckRequested { actor: Actor::NextMsh, signed });
    message
}

/// The same message with another boundary.
fn repackaged(sealed: &Sealed) -> Sealed {
    let (_, boundary) = sealed.content_type.split_once("boundary=\"").expect("has a boundary");
    let (boundary, _) = boundary.split_once('"').expect("quoted");
    let text = String::from_utf8(sealed.body.held().to_vec()).expect("is text");
    let [content_type, body] = [&*sealed.content_type, &*text].map(|text| text.replace(boundary, "another"));
    Sealed { content_type: content_type.into(), body: body.into(), ..sealed.clone() }
}

fn play_through(world: &World, name: &str) -> Process {
    let settings = world.path(&format!("{name}-through.toml"));
    let settings = settings.to_str().expect("is text");
    let arguments = ["practice", "--role", "agency", "--script", "", "--config", settings];
    Process::start(world.path(&format!("{name}.log")), arguments)
}

//= ebms2 10.1 MUST: what passes through an intermediary verifies at its end, octet for octet, and its acknowledgment comes back
//= ebms2 10.1.4 MUST: a signed acknowledgment of a hop travels alone, under a signature without the XPath filter
//= ebms2 7.1.3 MUST: who asks the intermediary about what it passed on hears Forwarded
#[tokio::test(flavor = "multi_thread")]
async fn a_message_passes_through_with_its_signature_and_its_acknowledgment_comes_back_p6() {
    let world = World::new();
    for name in ["broker", "kfda"] {
        world.edit(&format!("partners/{name}.toml"), "[[agreement]]\n", "[[agreement]]\nforwards = true\n");
    }
    let x01 = "\"RequirementVerification GOVCBRX01\"";
    let x51 = "\"RequirementVerification GOVCBRX51\"";
    let back = through(&world, "broker", "kfda", ["Declarant", "Agency"], [x01, x51]);
    through(&world, "kfda", "broker", ["Agency", "Declarant"], [x51, x01]);
    let mut gateway = world.serve().await;
    let mut kfda = play_through(&world, "kfda");
    kfda.says("listens on").await;
    let broker = Correspondent::through(&world, "broker");
    let mut heard = broker.listen(back).await;

    for signed in [false, true] {
        let message = application(&world, &broker, signed);
        let id = message.header.data.message_id.as_str().to_owned();
        let sealed = broker.sealed(&message);
        let answer = broker.post(&sealed).await;
        assert_eq!(answer.status.as_u16(), 200);
        let hop = inspected(&world, &answer);
        let said = hop.message.expect("is a message");
        let [given] = &said.acknowledgments[..] else { panic!("one: {said:?}") };
        assert_eq!((given.actor, given.ref_to_message_id.as_str()), (Actor::NextMsh, &*id));
        assert_eq!(hop.signature.is_some(), signed);
        if let Some(signature) = hop.signature {
            assert!(signature.signed_by.is_some() && signature.left_out.is_empty(), "{signature:#?}");
            let [reference] = &signature.references[..] else { panic!("{signature:#?}") };
            assert_eq!(reference.found.as_ref(), Some(&reference.expected));
            assert_eq!(reference.transforms.len(), 2, "enveloped signature and canonical form alone");
            let digests = |references: &[DigestReference]| {
                references.iter().map(|reference| reference.value.clone()).collect::<Vec<_>>()
            };
            assert_eq!(digests(&given.references), digests(&sealed.references));
        }

        // The end has verified it, and says so to the broker, through us.
        let acknowledged = broker.open_request(&heard.next().await);
        assert!(broker.is_receipt(&acknowledged, &sealed), "{acknowledged:?}");
        if !signed {
            // The same in another package is the same message: it goes on again, and its end knows it.
            let again =
                inspected(&world, &broker.post(&repackaged(&sealed)).await).message.expect("is a message");
            assert_eq!((again.error_list, again.acknowledgments.len()), (None, 1));
            let acknowledged = broker.open_request(&heard.next().await);
            assert!(broker.is_receipt(&acknowledged, &sealed), "{acknowledged:?}");
        }
        let status = until("it is passed on", async || {
            let asked = run(&world.path(""), ["send", "--config", "broker.toml", "--status", &id]);
            let told = String::from_utf8_lossy(&asked.stdout).into_owned();
            told.contains("Forwarded").then_some(told)
        })
        .await;
        assert!(status.contains(&format!("{id} is Forwarded, received ")), "{status}");
        let path = format!("/messages/AG000000000001/{id}/evidence");
        let evidence = LocalClient::new(&world.path("run/gwanmun.sock")).get(&path).await.expect("answers");
        assert!(evidence.status.is_success(), "{}", String::from_utf8_lossy(&evidence.body));
        std::fs::write(world.path("passed-on.tar"), &evidence.body).expect("written");
        let verify = ["audit", "verify", "passed-on.tar", "--key", "pki/gateway/signing.pem"];
        let proven = run(&world.path(""), verify);
        let told = String::from_utf8_lossy(&proven.stdout).into_owned();
        let told = told + &String::from_utf8_lossy(&proven.stderr);
        assert!(proven.status.success() && told.contains("passed on to AG000000000001"), "P18: {told}");
        let files = files_of(&evidence.body.into()).expect("is an archive");
        assert_eq!(files["message"], sealed.body, "P6: what was passed on is what came");
    }
    let entries = Journal::path_in(&world.path("through-kfda"));
    let (entries, _) = Journal::entries_from(&entries, 0).expect("is readable");
    assert_eq!(entries.len(), 2, "each was handed on once: {entries:?}");
    let octets: Bytes = world.read("examples/X01.xml").into();
    for entry in entries {
        let Entry::Received(received) = entry else { panic!("{entry:?}") };
        assert_eq!(received.text.as_deref().map(str::as_bytes), Some(&octets[..]));
    }
    assert!(world.list("/messages").await.is_empty(), "it is nobody's business on the way");

    // Nothing of another party comes back on the connection.
    let mut message = application(&world, &broker, false);
    message.sync_reply = true;
    let refused = inspected(&world, &broker.post(&broker.sealed(&message)).await);
    let errors = refused.message.expect("is a message").error_list.expect("is refused").errors;
    assert_eq!(errors[0].code, ErrorCode::NotSupported);
    assert!(refused.signature.is_some_and(|signature| signature.signed_by.is_some()));

    // When its time is over, what was passed on goes like every other message: its archive proves it.
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.ended().await, 0, "stopped as asked:\n{}", gateway.said());
    let store = gwanmun::config::store_of(world.settings()).expect("the settings are in order");
    age(&store);
    let settings = world.read("gwanmun.toml");
    world
        .write("gwanmun.toml", &(settings + "\n[retention]\ndefault = \"30 days\"\narchive = \"archive\"\n"));
    let gateway = world.serve().await;
    let purge = ["store", "purge", "--json", "--config", "gwanmun.toml"];
    let purged = run(&world.path(""), purge);
    assert!(purged.status.success(), "{purged:?}");
    let archives = archives(&world.path("archive"));
    assert!(archives.len() >= 4, "two messages and their acknowledgments: {archives:?}");
    for archive in archives {
        let archive = archive.to_str().expect("is text");
        let proven = run(&world.path(""), ["audit", "verify", archive, "--key", "pki/gateway/signing.pem"]);
        assert!(proven.status.success(), "P18: {}", String::from_utf8_lossy(&proven.stderr));
    }
    assert!(!gateway.said().contains("purge.failed"), "{}", gateway.said());
}

/// A message that only the profile of its sender lets through is told of and counted, whoever it is for.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_strict_profile_would_refuse_is_counted_also_when_it_is_passed_on() {
    let world = World::new();
    for name in ["broker", "kfda"] {
        world.edit(&format!("partners/{name}.toml"), "[[agreement]]\n", "[[agreement]]\nforwards = true\n");
    }
    world.edit("partners/broker.toml", "[[agreement]]\n", "[[agreement]]\nprofile = \"phinms\"\n");
    through(
        &world,
        "broker",
        "kfda",
        ["Declarant", "Agency"],
        ["\"RequirementVerification GOVCBRX01\"", "\"RequirementVerification GOVCBRX51\""],
    );
    let gateway = world.serve().await;
    let broker = Correspondent::through(&world, "broker");
    let message = application(&world, &broker, false);
    let answer = broker.post(&seal(&message, None).expect("can be sealed")).await;
    assert_eq!(inspected(&world, &answer).message.expect("is a message").acknowledgments.len(), 1);
    let metrics = world.ask_text("/metrics").await;
    let count = |of: &str| {
        let mut lines = metrics.lines().filter(|line| line.contains(of) && line.contains("Broker"));
        lines.next().unwrap_or_else(|| panic!("{of}: {metrics}")).to_owned()
    };
    assert!(count("\"unsigned-messages\"").ends_with(" 1"), "{metrics}");
    assert!(count("\"message.deviates\"").ends_with(" 1"), "{metrics}");
    let id = message.header.data.message_id.as_str();
    let said = gateway.said();
    let line = said.lines().find(|line| line.contains("message.deviates")).expect("is logged");
    assert!(line.contains("unsigned-messages") && line.contains(id), "{line}");
}
