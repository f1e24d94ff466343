//! What partners ask: only parties of a case hear of it, an agency of its own part; goods; a message once more; figures.

use super::cases::{answer, from_customs, lodged, notice};
use super::world::*;
use crate::codec::catalogue::Catalogue;
use crate::codec::document::read_document;
use crate::model::*;

fn ask(world: &mut World, from: &str, id: &str, asks: Asked) -> Posted {
    let query = Query { number: format!("Q-{id}").into(), issued_at: world.now, asks };
    let posted = world.message(from, id, "Status", "GOVCBRXS1", vec![Document::Query(query)]);
    world.post(&posted);
    posted
}

/// The document that a query was answered with; none when it was refused.
fn answered(world: &World, posted: &Posted) -> Option<Document> {
    let stored = world.stored(posted).expect("it is kept");
    let about = &posted.message.header.data.message_id;
    let deliveries = world.deliveries();
    let found = deliveries
        .iter()
        .find(|d| d.ref_to_message_id.as_ref() == Some(about) && d.purpose == DeliveryPurpose::StatusReport);
    assert_eq!(found.is_some(), stored.accepted);
    let found = found?;
    assert_eq!(
        (&found.destination, &found.conversation_id),
        (&posted.sender, &posted.message.header.conversation_id)
    );
    let PartSource::Made(text) = &found.parts[0].source else { panic!("we make answers ourselves") };
    Some(
        read_document(Catalogue::built_in(), &code(&found.action), text.as_bytes(), world.now)
            .expect("it is valid"),
    )
}

fn status(world: &mut World, from: &str, id: &str, key: &str) -> Option<StatusReport> {
    let posted = ask(world, from, id, Asked::Status(key.into()));
    match answered(world, &posted)? {
        Document::StatusReport(report) => Some(report),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_case_is_told_to_its_parties_by_any_key_and_to_nobody_else() {
    let mut world = lodged();
    world.post(&notice(&world, 0, "n0", NoticeKind::Accepted));
    world.post(&answer(&world, 1, "r1", Outcome::Approved));
    world.post(&from_customs(&world, "c0", "GOVCBR5GZ", "18"));
    let case = world.case();
    let number = case.applications[0].number.clone().expect("it has one").to_string();
    let keys = [
        DECLARATION.to_owned(),
        number.clone(),
        case.id.to_string(),
        "R-r1".to_owned(),
        format!("lodging@{BROKER}"),
    ];
    for (at, key) in keys.iter().enumerate() {
        let report = status(&mut world, BROKER, &format!("q{at}"), key).expect("it is told");
        assert_eq!(
            (report.declaration.as_deref(), report.state.as_deref()),
            (Some(DECLARATION), Some("collecting")),
            "{key}"
        );
        assert_eq!((&*report.event, report.customs_status.as_deref()), ("status", Some("18")));
        assert_eq!(report.applications.len(), 3);
        let events: Vec<_> = report.timeline.iter().map(|event| &*event.event).collect();
        for event in [
            "case.opened",
            "application.planned",
            "application.notice",
            "application.result",
            "customs.notice",
        ] {
            assert!(events.contains(&event), "{event} in {events:?}");
        }
        assert!(
            report.timeline.iter().all(|event| !event.event.starts_with("delivery.")),
            "not how deliveries fare"
        );
    }
    let told = status(&mut world, CUSTOMS, "qc", DECLARATION).expect("customs is a party");
    assert_eq!(told.applications.len(), 3);
    let told = status(&mut world, AGENCIES[0].1, "qa", DECLARATION).expect("an agency is one");
    assert_eq!(told.applications.len(), 1);
    assert!(told.timeline.iter().all(|event| !event.text.contains("NPQS")), "{:?}", told.timeline);
    // Whether there is such a case is nobody else's business.
    let mut why = Vec::new();
    for (id, key) in [("s1", DECLARATION), ("s2", "1234509000099X")] {
        assert_eq!(status(&mut world, ASYNC_BROKER, id, key), None, "{key}");
        let posted = world.stored_messages();
        let entry =
            world.logged.iter().rfind(|entry| &*entry.event == "message.refused").expect("it is recorded");
        why.push((entry.text.replace(key, "KEY"), posted > 0));
    }
    assert_eq!(why[0], why[1]);
    assert_eq!(world.case(), case, "asking changes nothing");
    world.check_laws();
}

#[test]
fn what_goods_need_is_what_the_rules_say() {
    let mut world = World::new();
    let goods = |hs: &str| Asked::Requirements {
        hs: hs.parse().expect("an HS code"),
        origin: None,
        usage: None,
        at: None,
    };
    let posted = ask(&mut world, BROKER, "g1", goods("1211"));
    let Some(Document::QueryAnswer(told)) = answered(&world, &posted) else { panic!("it is answered") };
    let rows: Vec<_> = told
        .requirements
        .iter()
        .map(|row| (row.law.as_str(), row.agency.as_str(), row.application.as_str()))
        .collect();
    assert_eq!(
        rows,
        [("05", "KFDA", "GOVCBRX01"), ("12", "NPQS", "GOVCBRX02"), ("13", "NVRQS", "GOVCBRX03")]
    );
    assert_eq!(&*told.query, "Q-g1");
    let posted = ask(&mut world, BROKER, "g2", goods("7318150000"));
    let Some(Document::QueryAnswer(told)) = answered(&world, &posted) else { panic!("it is answered") };
    assert_eq!(told.requirements, []);
    world.check_laws();
}

#[test]
fn a_partner_gets_its_own_messages_again_and_nobody_elses() {
    let mut world = lodged();
    world.post(&answer(&world, 0, "r0", Outcome::Approved));
    world.deliver();
    let relayed = world
        .deliveries()
        .into_iter()
        .find(|d| d.destination.as_str() == BROKER && &*d.action == "GOVCBRX51");
    let relayed = relayed.expect("it was relayed");
    let want = |world: &mut World, from: &str, id: &str| {
        let posted = ask(world, from, id, Asked::Redelivery(relayed.message_id.clone()));
        world.stored(&posted).expect("it is kept").accepted
    };
    assert!(!want(&mut world, ASYNC_BROKER, "w1"));
    assert!(!want(&mut world, CUSTOMS, "w2"), "customs got it under another MessageId");
    assert!(want(&mut world, BROKER, "w3"));
    assert_eq!(world.logged("delivery.again"), Some(false));
    let before = world.sent.len();
    world.deliver();
    let again = world.sent.iter().skip(before).find(|sent| sent.delivery == relayed.id).expect("it goes out");
    let first = world.sent.iter().find(|sent| sent.delivery == relayed.id).expect("it went out");
    assert_eq!(again.sealed, first.sealed, "P6");
    world.check_laws();
}

#[test]
fn figures_are_those_of_the_asker() {
    let mut world = lodged();
    world.pass(600);
    world.post(&answer(&world, 0, "r0", Outcome::Approved));
    let mut rows = |from: &str, id: &str, month: Option<&str>| {
        let month = month.map(|month| month.parse().expect("a month"));
        let posted = ask(&mut world, from, id, Asked::Statistics(month));
        let Some(Document::QueryAnswer(told)) = answered(&world, &posted) else { panic!("it is answered") };
        told.statistics
    };
    let own = rows(BROKER, "f1", None);
    assert_eq!(own.len(), 3);
    assert_eq!((&*own[0].of[0], &*own[0].of[1]), ("KFDA", "GOVCBRX01"));
    assert_eq!((own[0].applications, own[0].decided, own[0].approved), (1, 1, 1));
    assert_eq!(
        own[0].stages.last().map(|times| (times.stage, times.median_seconds)),
        Some((Stage::Decided, 600))
    );
    assert_eq!(rows(BROKER, "f2", Some("2009-12")), own);
    assert_eq!(rows(BROKER, "f3", Some("2009-11")), []);
    assert_eq!(rows(ASYNC_BROKER, "f4", None), []);
}

#[test]
fn a_query_that_comes_twice_is_answered_once_p3() {
    let mut world = lodged();
    let posted = ask(&mut world, BROKER, "q1", Asked::Status(DECLARATION.into()));
    let before = world.owed();
    world.post(&posted);
    assert_eq!(world.owed(), before);
}
