//! What each payload of a message is taken for, with real documents.

use super::super::documents::read_within;
use super::super::*;
use super::cases::{application, declaration, lodging};
use super::world::*;
use crate::codec::catalogue::Catalogue;
use crate::codec::document::{write_application, write_declaration};
use crate::model::*;
use crate::security::Verified;

/// What the payloads of a lodging with these octets, media types and roles are taken for.
fn check(payloads: &[(&str, &str, Option<&str>)], expected: &[&str]) {
    let world = World::new();
    let mut message = lodging(&world, BROKER, "m", DECLARATION, &[]).message;
    let payload = |(number, (octets, media_type, role)): (usize, &(&str, &str, Option<&str>))| {
        let body = bytes::Bytes::from((*octets).to_owned());
        Payload {
            content_id: ContentId::new(format!("{number}@broker")).expect("a Content-ID"),
            media_type: (*media_type).into(),
            role: role.map(Into::into),
            digest: Digest::of(&body),
            body: body.into(),
        }
    };
    message.payloads = payloads.iter().enumerate().map(payload).collect();
    let documents = read_documents(
        Catalogue::built_in(),
        &Verified::for_tests(message, party(BROKER), true),
        Timestamp::from_millis(1_259_629_200_000),
    );
    let documents = documents.expect("in memory");
    let told: Vec<_> = documents
        .parts()
        .iter()
        .map(|part| match part {
            PartContent::Document { code, .. } => code.to_string(),
            PartContent::Faulty { findings, .. } => {
                findings.first().map_or("", |f| f.rule.as_str()).to_owned()
            }
            PartContent::Unknown(code) => format!("unknown {code}"),
            PartContent::Attachment => "attachment".to_owned(),
        })
        .collect();
    assert_eq!(told, expected, "{payloads:?}");
}

//= ebms2 3.2.1 MAY: xlink:role says what a payload is
#[test]
fn role_then_root_then_action_say_what_a_payload_is() {
    const XML: &str = "application/xml";
    let at: Timestamp = "2009-12-01T01:00:00Z".parse().expect("an instant");
    let (Document::Declaration(declaration), Document::Application(application)) =
        (declaration(DECLARATION), application(0, "S070718008AAH"))
    else {
        panic!("they are what they are called")
    };
    let declaration = &*write_declaration(&declaration, at);
    let application = &*write_application(&application, "1234500001", at);
    let role = |code| Some(code);
    check(&[(declaration, XML, None), (application, XML, None)], &["GOVCBR929", "GOVCBRX01"]);
    check(
        &[
            (declaration, XML, role("urn:swgw:doc:GOVCBR929")),
            (application, XML, role("urn:swgw:doc:GOVCBRX01")),
        ],
        &["GOVCBR929", "GOVCBRX01"],
    );
    check(&[(declaration, XML, None), ("%PDF", "application/pdf", None)], &["GOVCBR929", "attachment"]);
    check(&[(declaration, XML, None), ("<note/>", XML, None)], &["GOVCBR929", "attachment"]);
    check(&[(declaration, XML, None), (application, "text/plain", None)], &["GOVCBR929", "attachment"]);
    check(
        &[(declaration, XML, None), ("<a/>", XML, role("urn:swgw:doc:GOVCBRX99"))],
        &["GOVCBR929", "unknown GOVCBRX99"],
    );
    check(&[("<!DOCTYPE a><a/>", XML, None)], &["structure:doctype"]);
    check(&[("<a/>", XML, None)], &["structure:root"]);
    check(&[(application, XML, role("urn:swgw:doc:GOVCBR929"))], &["structure:root"]);
    check(&[], &[]);
}

/// All parts that are read together have a bound: at it every one is read, one octet past it the message is refused with
/// the part that is too much, whatever it is, and nothing more is read (S6).
#[test]
fn the_documents_of_a_message_have_a_bound_together() {
    let world = World::new();
    let mut message = lodging(&world, BROKER, "m", DECLARATION, &[]).message;
    let at: Timestamp = "2009-12-01T01:00:00Z".parse().expect("an instant");
    let Document::Declaration(lodged) = declaration(DECLARATION) else { panic!("it is one") };
    let text = write_declaration(&lodged, at);
    let declaration =
        Payload { digest: Digest::of(text.as_bytes()), body: text.into(), ..message.payloads[0].clone() };
    let part = |name: &str, media_type: &str, octets: usize| {
        let text = format!("<a>{}</a>", "x".repeat(octets - 7));
        Payload {
            content_id: ContentId::new(format!("{name}@broker")).expect("a Content-ID"),
            media_type: media_type.into(),
            role: None,
            digest: Digest::of(text.as_bytes()),
            body: text.into(),
        }
    };
    let parts = [("large", "application/pdf", 9_000), ("one", "text/xml", 400), ("two", "text/xml", 100)];
    let parts = parts.map(|(name, media_type, octets)| part(name, media_type, octets));
    message.payloads = std::iter::once(declaration.clone()).chain(parts).collect();
    let read = |bytes_max: u64| {
        let verified = Verified::for_tests(message.clone(), party(BROKER), true);
        let documents = read_within(bytes_max, Catalogue::built_in(), &verified, at).expect("in memory");
        let errors = documents.errors(&message).into_iter().map(|error| {
            (error.code, error.location.unwrap_or_default(), error.description.contains("would be read"))
        });
        (documents.parts().len(), errors.collect::<Vec<_>>())
    };
    let all = declaration.body.bytes() + 500;
    let refused = |part: &str| vec![(ErrorCode::OtherXml, format!("cid:{part}@broker"), true)];
    assert_eq!(read(all), (4, vec![]), "at it; what is no XML counts nothing");
    assert_eq!(read(all - 1), (3, refused("two")), "one past it");
    assert_eq!(read(all - 101), (2, refused("one")));
}
