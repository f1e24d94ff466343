//! What operators have the gateway do, and what they find: deliveries sent anew, service notices, cases by any key,
//! statistics.

use std::time::Duration;

use super::super::*;
use super::cases::{answer, declaration, from_customs, lodged, lodging, notice};
use super::world::*;
use crate::model::*;
use crate::store::{Opened, Store as _};

fn again(world: &mut World, id: &DeliveryId) -> Result<String, String> {
    told(world.drive(&Event::Again {
        delivery: id.clone(),
        by: "uid 1".into(),
        reason: "they lost it".into(),
    }))
}

fn told(reply: Option<Reply>) -> Result<String, String> {
    match reply {
        Some(Reply::Told(Told { how: How::Done, text, .. })) => Ok(text),
        Some(Reply::Told(Told { text, .. })) => Err(text),
        other => panic!("an act is answered, not with {other:?}"),
    }
}

#[test]
fn what_was_delivered_goes_out_again_octet_for_octet_p6() {
    let mut world = lodged();
    let first = world
        .sent
        .iter()
        .find(|sent| sent.destination.as_str() == AGENCIES[0].1)
        .expect("it was sent")
        .clone();
    // Long after, and far past its TimeToLive.
    world.pass(72 * 3600);
    assert!(again(&mut world, &first.delivery).is_ok());
    assert_eq!(world.logged("delivery.again"), Some(false));
    assert_eq!(world.delivery(&first.delivery).state, DeliveryState::Pending);
    assert_eq!(again(&mut world, &first.delivery), Err("it is on its way already".to_owned()));
    world.deliver();
    let last = world.sent.iter().rfind(|sent| sent.delivery == first.delivery).expect("it was sent");
    assert_eq!(last.sealed, first.sealed, "P6");
    let delivery = world.delivery(&first.delivery);
    assert_eq!((delivery.state, delivery.again), (DeliveryState::Delivered, 1));
    world.check_laws();
}

#[test]
fn how_often_a_delivery_may_be_sent_anew_is_limited() {
    let mut world = lodged();
    let id = world.deliveries()[0].id.clone();
    for _ in 0..10 {
        assert!(again(&mut world, &id).is_ok(), "at the limit");
        world.deliver();
    }
    assert!(again(&mut world, &id).is_err_and(|why| why.contains("10 times")), "one past it");
    assert_eq!(world.delivery(&id).again, 10);
    let unknown = DeliveryId::new("nothing").expect("an id");
    assert_eq!(again(&mut world, &unknown), Err("there is no such delivery".to_owned()));
}

#[test]
fn what_fails_again_is_told_of_once() {
    let mut world = World::new();
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    world.unreachable.push(party(AGENCIES[0].1));
    world.post(&posted);
    let fail = |world: &mut World| {
        for _ in 0..8 {
            world.deliver();
            world.pass(120);
        }
    };
    fail(&mut world);
    let to_agency = |world: &World| {
        world.deliveries().into_iter().find(|d| d.destination.as_str() == AGENCIES[0].1).expect("it is owed")
    };
    assert_eq!(to_agency(&world).state, DeliveryState::Expired);
    assert_eq!(world.count(BROKER, "MessageError"), 1);
    let id = to_agency(&world).id;
    assert!(again(&mut world, &id).is_ok());
    fail(&mut world);
    assert_eq!((to_agency(&world).state, world.count(BROKER, "MessageError")), (DeliveryState::Expired, 1));
    world.check_laws();
}

fn announce(world: &mut World, number: &str, to: &[&str]) -> Result<String, String> {
    let announcement = Announcement {
        number: number.into(),
        to: to.iter().map(|to| party(to)).collect(),
        text: "Works on Sunday".into(),
        by: "uid 1".into(),
        reason: "change 4711".into(),
    };
    told(world.drive(&Event::Announced(Box::new(announcement))))
}

#[test]
fn a_notice_goes_to_everybody_or_to_some_and_is_recorded() {
    let mut world = World::new();
    assert!(announce(&mut world, "INF-1", &[]).is_ok());
    assert_eq!(world.logged("notice.sent"), Some(false));
    world.deliver();
    assert_eq!(world.deliveries().len(), 6);
    assert!(
        world.deliveries().iter().all(|d| d.state == DeliveryState::Delivered && &*d.action == "GOVCBRINF")
    );
    assert!(announce(&mut world, "INF-2", &[BROKER]).is_ok());
    assert_eq!((world.deliveries().len(), world.count(BROKER, "GOVCBRINF")), (7, 2));
    world.agree(BROKER, |agreement| agreement.actions.retain(|bound| &*bound.action != "GOVCBRINF"));
    let refused = announce(&mut world, "INF-3", &[BROKER, CUSTOMS]);
    assert!(refused.is_err_and(|why| why.contains(BROKER) && why.contains("nobody was told")));
    assert!(announce(&mut world, "INF-4", &[]).is_ok(), "to all means to all who may hear of it");
    assert_eq!((world.deliveries().len(), world.count(BROKER, "GOVCBRINF")), (12, 2));
    world.check_laws();
}

#[test]
fn a_case_is_found_by_any_key_from_the_commit_that_learns_it_on() {
    let mut world = World::new();
    let mut declared = declaration(DECLARATION);
    if let Document::Declaration(declaration) = &mut declared {
        declaration.cargo = Some("09KE0ABCDEF00010001".into());
        declaration.bills = vec!["MASTER-1".into(), "HOUSE-1".into()];
    }
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    let mut parts = posted.documents.parts().to_vec();
    parts[0] = PartContent::Document { code: code("GOVCBR929"), document: Box::new(declared) };
    let posted = posted.read_as(parts);
    world.post(&posted);
    world.deliver();
    let noticed = notice(&world, 0, "n0", NoticeKind::Accepted);
    let mut part = noticed.documents.parts()[0].clone();
    if let PartContent::Document { document, .. } = &mut part
        && let Document::Notice(notice) = &mut **document
    {
        notice.acceptance_number = Some("ACC-1".into());
    }
    world.post(&noticed.read_as(vec![part]));
    let decided = answer(&world, 0, "r0", Outcome::Approved);
    let mut part = decided.documents.parts()[0].clone();
    if let PartContent::Document { document, .. } = &mut part
        && let Document::Result(result) = &mut **document
    {
        let item = ResultItem {
            unit: None,
            laws: Vec::new(),
            sequence: 1,
            outcome: Outcome::Approved,
            approval: Some("APPROVAL-1".into()),
            quantity: None,
            reason: None,
        };
        result.items = vec![item];
    }
    world.post(&decided.read_as(vec![part]));
    let case = world.case();
    let mut keys: Vec<String> =
        ["09KE0ABCDEF00010001", "MASTER-1", "HOUSE-1", "ACC-1", "R-r0", "APPROVAL-1", DECLARATION]
            .map(str::to_owned)
            .to_vec();
    keys.push(case.id.to_string());
    keys.push(format!("submission-{BROKER}"));
    keys.push(posted.message.header.data.message_id.to_string());
    keys.extend(case.applications.iter().filter_map(|a| a.number.as_ref()).map(ToString::to_string));
    keys.extend(world.deliveries().iter().map(|delivery| delivery.message_id.to_string()));
    for key in keys {
        let named = world.store.named_cases(Realm::Production, &key, 9).expect("the store reads");
        assert_eq!(named.as_slice(), std::slice::from_ref(&case.id), "{key}");
    }
    assert_eq!(world.store.named_cases(Realm::Production, "OTHER", 9).expect("the store reads"), []);
    // A bill on another declaration leads to that one from now on.
    let second = lodging(&world, BROKER, "second", "1234509000018X", &[]);
    let Document::Declaration(mut declared) = declaration("1234509000018X") else { panic!("it is one") };
    declared.bills = vec!["MASTER-1".into()];
    let part = PartContent::Document {
        code: code("GOVCBR929"),
        document: Box::new(Document::Declaration(declared)),
    };
    world.post(&second.read_as(vec![part]));
    let newest = world.case_of("1234509000018X").id;
    assert_eq!(world.store.named_cases(Realm::Production, "MASTER-1", 9).expect("the store reads"), [newest]);
    world.check_laws();
}

#[test]
fn statistics_count_what_the_cases_say() {
    let mut world = lodged();
    world.pass(600);
    world.post(&notice(&world, 0, "n0", NoticeKind::Accepted));
    world.pass(3000);
    for (agency, outcome) in [(0, Outcome::Approved), (1, Outcome::Rejected), (2, Outcome::Approved)] {
        world.post(&answer(&world, agency, &format!("r{agency}"), outcome));
    }
    world.pass(60);
    world.post(&from_customs(&world, "c1", "GOVCBR023", "13"));
    let of = |by: Vec<Dimension>, submitter: Option<&str>| {
        let mut statistics = Statistics::new(by, jiff::tz::TimeZone::fixed(jiff::tz::offset(9)));
        let opened = Opened {
            realm: Realm::Production,
            from: Timestamp::EPOCH,
            until: world.now.plus(Duration::from_secs(1)),
            submitter: submitter.map(party),
        };
        world.store.each_case(&opened, &mut |case| statistics.add(&case)).expect("the store reads");
        statistics.rows()
    };
    let all = of(Vec::new(), None).remove(0);
    assert_eq!((all.applications, all.decided, all.approved, all.approval_percent()), (3, 3, 2, Some(66)));
    let by_agency = of(vec![Dimension::Agency, Dimension::Month], None);
    let kfda = by_agency.iter().find(|row| &*row.of[0] == "KFDA").expect("it has applications");
    assert_eq!(&*kfda.of[1], "2009-12");
    let took: Vec<_> = kfda.stages.iter().map(|times| (times.stage, times.median_seconds)).collect();
    assert_eq!(
        took,
        [(Stage::Sent, 0), (Stage::Accepted, 600), (Stage::Decided, 3000), (Stage::Cleared, 60)]
    );
    let npqs = by_agency.iter().find(|row| &*row.of[0] == "NPQS").expect("it has applications");
    let took: Vec<_> = npqs.stages.iter().map(|times| (times.stage, times.median_seconds)).collect();
    assert_eq!(
        took,
        [(Stage::Sent, 0), (Stage::Decided, 3600), (Stage::Cleared, 60)],
        "no acceptance was told"
    );
    assert_eq!((of(vec![], Some(BROKER)).len(), of(vec![], Some(ASYNC_BROKER)).len()), (1, 0));
}

fn settle(world: &mut World, id: &DeliveryId, how: Settle) -> Result<String, String> {
    told(world.drive(&Event::Settled {
        delivery: id.clone(),
        how,
        by: "uid 1".into(),
        reason: "asked them".into(),
    }))
}

/// An agency that is hosted by now has it in its inbox at once: the record says so (P2).
#[test]
fn what_is_sent_again_to_a_hosted_agency_has_ended_and_the_record_says_so_p2() {
    let mut world = World::new();
    world.post(&lodging(&world, BROKER, "lodging", DECLARATION, &[0]));
    world.deliver();
    let agency = AGENCIES[0].1;
    let sent = world.deliveries().into_iter().find(|delivery| delivery.destination.as_str() == agency);
    let id = sent.expect("it is owed").id;
    world.agree(agency, |agreement| {
        agreement.endpoint = None;
        agreement.hosted = true;
    });
    assert!(again(&mut world, &id).is_ok());
    let delivery = world.delivery(&id);
    assert_eq!(delivery.state, DeliveryState::Delivered);
    assert!(delivery.reason.contains("inbox"), "{}", delivery.reason);
    world.check_laws();
}

#[test]
fn what_was_open_in_a_backup_is_held_until_it_is_settled_p20() {
    let mut world = World::new();
    let posted = lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    world.unreachable.extend(AGENCIES.map(|(_, agency, _)| party(agency)));
    world.post(&posted);
    world.deliver();
    let open: Vec<_> = world.deliveries().into_iter().filter(|d| !d.state.is_terminal()).collect();
    assert!(open.len() >= 3, "{open:?}");
    for delivery in world.deliveries() {
        let withheld = Event::Withheld { delivery: delivery.id, why: "restored".into() };
        world.drive(&withheld);
        world.drive(&withheld);
    }
    let held = |world: &World| {
        world.deliveries().into_iter().filter(|d| d.state == DeliveryState::Held).collect::<Vec<_>>()
    };
    assert_eq!(held(&world).len(), open.len(), "what has ended stays as it is");
    assert_eq!(world.logged("delivery.withheld"), Some(false));

    world.unreachable.clear();
    let sent = world.sent.len();
    world.pass(600);
    world.deliver();
    assert_eq!(world.sent.len(), sent, "nothing is sent by itself");

    let [first, second, ..] = &held(&world)[..] else { panic!("several are held") };
    assert!(settle(&mut world, &first.id, Settle::Delivered).is_ok());
    assert_eq!(world.delivery(&first.id).state, DeliveryState::Delivered);
    assert_eq!(world.logged("delivery.settled"), Some(false));
    assert_eq!(
        settle(&mut world, &first.id, Settle::Send),
        Err("it is not held, it is delivered".to_owned())
    );
    assert!(settle(&mut world, &second.id, Settle::Send).is_ok());
    world.deliver();
    assert_eq!(world.delivery(&second.id).state, DeliveryState::Delivered);
    assert_eq!(world.sent.len(), sent + 1, "it, and no other");
    assert_eq!(world.logged("delivery.released"), Some(false));
    let unknown = DeliveryId::new("nothing").expect("an id");
    assert_eq!(settle(&mut world, &unknown, Settle::Send), Err("there is no such delivery".to_owned()));
    world.check_laws();
}

/// A destination that eliminates duplicates repeats its first acknowledgment, one that is strict refuses: neither says that
/// the message is lost, and nobody is told so (P20).
#[test]
fn what_a_destination_knows_from_before_a_restore_waits_for_an_operator_p20() {
    const DAY: Duration = Duration::from_secs(86_400);
    #[derive(PartialEq)]
    enum Says {
        OtherDigests,
        Unsigned,
        Error(ErrorCode),
    }
    fn check(restored: Option<Duration>, says: &Says, state: DeliveryState, event: (&str, bool)) {
        let mut world = World::new();
        world.restored = restored.map(|before| world.now.minus(before));
        world.post(&lodging(&world, BROKER, "lodging", DECLARATION, &[0]));
        let customs = world.deliveries().into_iter().find(|d| d.destination.as_str() == CUSTOMS);
        let id = customs.expect("it is owed").id;
        world.drive(&Event::Due(id.clone()));
        let mut references = world.sent[0].sealed.references.clone();
        let delivery = world.delivery(&id);
        let arrival = match says {
            Says::OtherDigests => {
                references[0].value[0] ^= 1;
                receipt(&delivery, references, world.now)
            }
            Says::Unsigned => {
                let message = receipt(&delivery, references, world.now).verified.message().clone();
                response(&delivery, message, false, world.now)
            }
            Says::Error(code) => {
                let mut message =
                    error_about(&delivery, Severity::Error, world.now).verified.message().clone();
                let errors = message.error_list.as_mut().expect("it has errors");
                errors.errors = vec![EbxmlError::new(code.clone(), None, "not so")];
                response(&delivery, message, true, world.now)
            }
        };
        world.logged.clear();
        world.drive(&Event::Arrived(Box::new(arrival)));
        assert_eq!(world.delivery(&id).state, state, "{event:?}");
        assert_eq!(world.logged(event.0), Some(event.1));
        let is_told = world.count(BROKER, "MessageError") > 0
            || world.deliveries().iter().any(|delivery| &*delivery.action == "MessageError");
        assert_eq!(is_told, state == DeliveryState::Rejected);
        if state == DeliveryState::Held {
            // It is tried as often as what is new; what its destination refused for another reason ends, and is told.
            assert!(settle(&mut world, &id, Settle::Send).is_ok(), "an operator may let it go");
            assert_eq!(
                (world.delivery(&id).state, world.delivery(&id).attempts),
                (DeliveryState::Pending, 0)
            );
            world.drive(&Event::Withheld { delivery: id.clone(), why: "again".into() });
            let how = if *says == Says::OtherDigests { Settle::Delivered } else { Settle::Rejected };
            assert!(settle(&mut world, &id, how).is_ok(), "an operator may settle it");
            let is_told = world.count(BROKER, "MessageError") > 0
                || world.deliveries().iter().any(|delivery| &*delivery.action == "MessageError");
            let ends = (world.delivery(&id).state, is_told);
            let expected = match how {
                Settle::Rejected => (DeliveryState::Rejected, true),
                _ => (DeliveryState::Delivered, false),
            };
            assert_eq!(ends, expected);
        }
        world.check_laws();
    }
    use DeliveryState::{AwaitingAcknowledgment, Held, Rejected};
    let (withheld, refused) = (("delivery.withheld", true), ("delivery.receipt-refused", true));
    let rejected = ("delivery.rejected", true);
    let (inconsistent, other) = (Says::Error(ErrorCode::Inconsistent), Says::Error(ErrorCode::OtherXml));
    check(None, &Says::OtherDigests, AwaitingAcknowledgment, refused);
    check(None, &inconsistent, Rejected, rejected);
    check(Some(Duration::from_secs(60)), &Says::OtherDigests, Held, withheld);
    check(Some(Duration::from_secs(60)), &inconsistent, Held, withheld);
    check(Some(Duration::from_secs(60)), &Says::Unsigned, AwaitingAcknowledgment, refused);
    check(Some(Duration::from_secs(60)), &other, Rejected, rejected);
    // As long as a destination keeps MessageIds, and an hour for a clock that stepped.
    let memory = cpa_memory() + Duration::from_secs(3600);
    let millisecond = Duration::from_millis(1);
    check(Some(memory - millisecond), &inconsistent, Held, withheld);
    check(Some(memory), &inconsistent, Rejected, rejected);
    check(Some(memory + 30 * DAY), &Says::OtherDigests, AwaitingAcknowledgment, refused);
}

/// PersistDuration of the agreements here.
fn cpa_memory() -> Duration {
    let world = World::new();
    let agreement = world.registry.agreement(&cpa(CUSTOMS)).expect("it is registered");
    agreement.reliability.persist_duration
}
