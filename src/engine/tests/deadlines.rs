//! Deadlines in working time: who is told when, once, and never early, whatever the clock does (P9).

use std::time::Duration;

use proptest::prelude::*;

use super::cases::{answer, from_customs, lodged, notice};
use super::world::*;
use crate::case::SLACK;
use crate::codec::catalogue::Catalogue;
use crate::codec::document::read_document;
use crate::model::*;

/// What an agency's application of the case has come to: the duties done, and since when it is overdue.
fn done(world: &World, agency: usize) -> Vec<(Term, u16)> {
    let case = world.case();
    let watch = case.applications[agency].watch.as_ref().expect("it is watched");
    watch.duties.iter().filter(|duty| duty.done.is_some()).map(|duty| (duty.term, duty.share)).collect()
}

fn at(text: &str) -> Timestamp {
    format!("2009-12-{text}:00+09:00").parse().expect("an instant")
}

/// The agenda is kept every ten minutes until then.
fn until(world: &mut World, end: &str) {
    while world.now < at(end) {
        world.pass(600);
        world.keep_agenda();
    }
}

fn reports(world: &World, to: &str) -> Vec<(String, String)> {
    let deliveries = world.deliveries();
    let reports = deliveries.iter().filter(|d| d.destination.as_str() == to && &*d.action == "GOVCBRXS2");
    let read = reports.map(|delivery| {
        let PartSource::Made(text) = &delivery.parts[0].source else { panic!("we make reports ourselves") };
        let read = read_document(Catalogue::built_in(), &code("GOVCBRXS2"), text.as_bytes(), at("01T10:00"));
        let read = read.expect("it is valid");
        let Document::StatusReport(report) = read else { panic!("it is a status report") };
        let term = report.deadline.as_ref().map(|deadline| deadline.term.to_string()).unwrap_or_default();
        if to != BROKER {
            assert_eq!(report.applications.len(), 1, "an agency hears of its own application only");
        }
        (report.event.to_string(), term)
    });
    read.collect()
}

fn told(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(event, term)| ((*event).to_owned(), (*term).to_owned())).collect()
}

/// Lodged on Tuesday 1 December, 10:00 in Seoul: accept by 12:00, decide by Friday 10:00; half of that is Wednesday
/// 14:30. All of it is acted on an hour later.
#[test]
fn an_agency_that_says_nothing_is_reminded_flagged_and_escalated_once_p9() {
    let mut world = lodged();
    until(&mut world, "01T12:50");
    assert_eq!((done(&world, 0), world.case().applications[0].overdue_since()), (vec![], None));
    until(&mut world, "01T13:00");
    assert_eq!(done(&world, 0), [(Term::Accept, 1000)]);
    assert_eq!(world.case().applications[0].overdue_since(), Some(at("01T13:00")));
    until(&mut world, "14T10:00");
    let all = [("overdue", "accept"), ("reminder", "decide"), ("overdue", "decide")];
    for (_, agency, _) in AGENCIES {
        assert_eq!(reports(&world, agency), told(&all));
    }
    assert_eq!(reports(&world, BROKER).len(), 9, "of each application");
    let case = world.case();
    let events: Vec<_> = case.events.iter().map(|event| event.kind).collect();
    let overdue = |application| EventKind::Overdue { application };
    assert_eq!(events, [overdue(0), overdue(1), overdue(2)], "once for each application and revision");
    assert_eq!((case.state, case.due), (CaseState::Collecting, None), "a deadline decides nothing");
    assert!(case.applications.iter().all(|application| application.outcomes.is_empty()));
    let escalated = world.logged.iter().filter(|entry| &*entry.event == "deadline.escalated");
    let escalated: Vec<_> =
        escalated.map(|entry| (entry.alarm, entry.text.contains("duty-officer"))).collect();
    assert_eq!(escalated, [(true, true); 6], "of each application, when it was not accepted and not decided");
    world.check_laws();
}

/// What came due before a restore the lost store may have told too: it waits for an operator. What comes due later does not.
#[test]
fn what_time_brought_before_a_restore_is_held_p20() {
    let mut world = lodged();
    world.pass(3 * 3600);
    assert_eq!(world.now, at("01T13:00"));
    world.restored = Some(world.now);
    world.keep_agenda();
    assert_eq!(world.logged("delivery.withheld"), Some(false));
    until(&mut world, "14T10:00");
    assert_eq!(world.logged("delivery.withheld"), None, "and nothing later");
    let agency = AGENCIES[0].1;
    assert_eq!(reports(&world, agency).len(), 3);
    let mut states: Vec<_> = world.deliveries().into_iter().filter(|d| &*d.action == "GOVCBRXS2").collect();
    states.retain(|delivery| delivery.destination.as_str() == agency);
    let held: Vec<_> = states.iter().filter(|delivery| delivery.state == DeliveryState::Held).collect();
    let [held] = held[..] else { panic!("one is held: {states:?}") };
    assert!(held.reason.contains("before the store was restored"), "{}", held.reason);
    world.check_laws();
}

#[test]
fn who_acts_in_time_hears_nothing() {
    let mut world = lodged();
    for agency in 0..3 {
        world.post(&notice(&world, agency, &format!("n{agency}"), NoticeKind::Accepted));
    }
    until(&mut world, "02T15:20");
    assert_eq!(world.case().events, []);
    for agency in 0..3 {
        world.post(&answer(&world, agency, &format!("r{agency}"), Outcome::Approved));
    }
    until(&mut world, "14T10:00");
    assert_eq!(world.case().due, None);
    let told = reports(&world, BROKER);
    assert!(told.iter().all(|(event, _)| event != "reminder" && event != "overdue"), "{told:?}");
    world.check_laws();
}

#[test]
fn nothing_is_due_about_a_case_that_has_ended() {
    let mut world = lodged();
    world.post(&from_customs(&world, "c1", "GOVCBR023", "13"));
    assert_eq!(world.case().due, None);
    until(&mut world, "14T10:00");
    assert_eq!(reports(&world, BROKER), []);
}

/// While the applicant owes an answer, his time runs and the agency's does not; then it begins anew.
#[test]
fn an_answer_has_its_own_time_and_gives_the_agency_new_time() {
    let mut world = lodged();
    for agency in 1..3 {
        world.post(&answer(&world, agency, &format!("r{agency}"), Outcome::Approved));
    }
    until(&mut world, "01T11:00");
    world.post(&notice(&world, 0, "n1", NoticeKind::SupplementRequested));
    // Two business days from 11:00 on Tuesday: half on Wednesday, all on Thursday; an hour later each.
    until(&mut world, "04T18:00");
    assert_eq!(reports(&world, AGENCIES[0].1), told(&[("reminder", "answer"), ("overdue", "answer")]));
    let asked = world.case().applications[0].decide_by;
    assert_eq!(asked, Some(at("04T10:00")));
    let later = notice(&world, 0, "n2", NoticeKind::UnderReview);
    world.post(&later.read_as(vec![reissued(&later, at("04T18:00"))]));
    assert_eq!(world.case().applications[0].decide_by, Some(at("10T09:00")), "three business days anew");
    until(&mut world, "14T10:00");
    let all = [("reminder", "answer"), ("overdue", "answer"), ("reminder", "decide"), ("overdue", "decide")];
    assert_eq!(reports(&world, AGENCIES[0].1), told(&all));
    let overdue = world.case().events.iter().filter(|e| matches!(e.kind, EventKind::Overdue { .. })).count();
    assert_eq!(overdue, 1, "once per revision");
    world.check_laws();
}

/// The agency's own deadline for an answer counts before the rules'.
#[test]
fn an_agency_sets_its_own_time_for_an_answer() {
    let mut world = lodged();
    let asks = notice(&world, 0, "n1", NoticeKind::DocumentsRequested);
    let mut document = asks.documents.parts()[0].clone();
    if let super::super::PartContent::Document { document, .. } = &mut document
        && let Document::Notice(notice) = &mut **document
    {
        notice.deadline = Some(world.now.plus(Duration::from_secs(7200)));
    }
    world.post(&asks.read_as(vec![document]));
    until(&mut world, "01T13:00");
    assert_eq!(done(&world, 0), [(Term::Answer, 500), (Term::Answer, 1000)]);
}

fn reissued(posted: &Posted, issued_at: Timestamp) -> super::super::PartContent {
    let mut part = posted.documents.parts()[0].clone();
    if let super::super::PartContent::Document { document, .. } = &mut part
        && let Document::Notice(notice) = &mut **document
    {
        notice.issued_at = issued_at;
    }
    part
}

#[test]
fn a_long_stop_ends_in_one_word_of_each_deadline_and_no_storm_p9() {
    let mut world = lodged();
    world.pass(30 * 86_400);
    world.keep_agenda();
    world.keep_agenda();
    for (_, agency, _) in AGENCIES {
        assert_eq!(reports(&world, agency), told(&[("overdue", "accept"), ("overdue", "decide")]));
    }
    assert_eq!(world.case().due, None);
    world.check_laws();
}

#[test]
fn who_cannot_be_told_is_named_to_the_operator() {
    let mut world = World::new();
    world.agree(AGENCIES[0].1, |agreement| agreement.actions.retain(|bound| &*bound.action != "GOVCBRXS2"));
    let posted = super::cases::lodging(&world, BROKER, "lodging", DECLARATION, &[0, 1, 2]);
    world.post(&posted);
    until(&mut world, "01T13:00");
    assert_eq!((reports(&world, AGENCIES[0].1).len(), reports(&world, AGENCIES[1].1).len()), (0, 1));
    let named = world.logged.iter().filter(|entry| entry.alarm && entry.text.contains("cannot be told"));
    assert_eq!(named.count(), 1);
    assert!(world.deliveries().iter().all(|delivery| delivery.state != DeliveryState::Quarantined));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// P9: the clock goes right, or an hour fast, or an hour slow, and changes between them at any time: nothing is done
    /// before its instant by the true time, nothing twice, and in the end all of it.
    #[test]
    fn a_clock_that_steps_an_hour_brings_nothing_forward_and_nothing_twice(
        steps in prop::collection::vec((1..40_u64, -1..=1_i64), 1..12)
    ) {
        let mut world = lodged();
        let mut true_time = world.now;
        let mut done: Vec<(Timestamp, Timestamp)> = Vec::new();
        let look = |world: &mut World, true_time: Timestamp, done: &mut Vec<(Timestamp, Timestamp)>| {
            world.keep_agenda();
            let case = world.case();
            let watch = case.applications[0].watch.clone().expect("it is watched");
            let acted: Vec<_> = watch.duties.iter().filter(|duty| duty.done.is_some()).collect();
            for duty in acted.iter().skip(done.len()) {
                done.push((duty.at, true_time));
            }
        };
        for (half_hours, offset) in steps {
            for _ in 0..half_hours {
                true_time = true_time.plus(Duration::from_secs(1800));
                let hour = Duration::from_secs(3600);
                world.now = match offset {
                    -1 => true_time.minus(hour),
                    0 => true_time,
                    _ => true_time.plus(hour),
                };
                look(&mut world, true_time, &mut done);
            }
        }
        world.now = at("20T10:00");
        let end = world.now;
        look(&mut world, end, &mut done);
        for (due, acted) in &done {
            prop_assert!(acted >= due, "{due} was acted on at {acted}");
        }
        prop_assert_eq!(done.len(), 3);
        let reports = reports(&world, AGENCIES[0].1);
        prop_assert!(reports.len() <= 3 && reports.contains(&("overdue".to_owned(), "decide".to_owned())));
        let mut distinct = reports.clone();
        distinct.dedup();
        prop_assert_eq!(distinct, reports);
        prop_assert_eq!(SLACK, Duration::from_secs(3600));
        world.check_laws();
    }
}
