//! The case layer as tables of what happens, and its promises under every order and repetition.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::model::{
    AgencyCode, Application, ApplicationDocument, ApplicationItem, ApplicationState, Case, CaseState,
    ConversationId, CustomsNotice, Declaration, Delivery, DeliveryPurpose, DeliveryState, Digest,
    DocumentCode, EventKind, JoinEvent, MessageId, MessageKey, NoticeDocument, NoticeKind, Outcome, PartyKey,
    Realm, ReceivedPart, ResultDocument, ResultItem, RuleId, Service, Timestamp,
};
use crate::routing::{AgencyTarget, Plan, PlannedApplication};

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(1_259_629_200_000 + second * 1000)
}

fn message_id(text: &str) -> MessageId {
    MessageId::new(text).expect("a MessageId")
}

fn key(sender: &str, id: &str) -> MessageKey {
    MessageKey { sender: PartyKey::new(sender).expect("a party"), message_id: message_id(id) }
}

fn code(text: &str) -> DocumentCode {
    text.parse().expect("a document code")
}

fn planned(agency: &str, number: u8, items: &[u16], required: bool) -> PlannedApplication {
    PlannedApplication {
        agency: AgencyCode::new(agency).expect("an agency"),
        party: PartyKey::new(format!("AG-{agency}")).expect("a party"),
        cpa_id: None,
        document: code(&format!("GOVCBRX0{number}")),
        result: code(&format!("GOVCBRX5{number}")),
        items: items.to_vec(),
        laws: Vec::new(),
        rules: vec![RuleId::new("rule").expect("a rule")],
        required,
        profile: None,
        watch: None,
        accept_by: None,
        decide_by: None,
    }
}

/// A case of these planned applications, nothing enclosed.
fn lodged(applications: Vec<PlannedApplication>) -> Case {
    let mut case = lodge(Lodging {
        id: "case".parse().expect("a case id"),
        realm: Realm::Production,
        key: key("BR", "lodging"),
        conversation_id: ConversationId::new("submission").expect("a conversation"),
        at: at(0),
        declared: Declaration {
            number: "1234509000017X".into(),
            function: "9".into(),
            importer: None,
            export_from: None,
            cargo: None,
            bills: Vec::new(),
            lines: Vec::new(),
            attachments: Vec::new(),
        },
        declared_as: None,
        plan: Plan { rule_set: Digest::of(b"rules"), rows: Vec::new(), applications, trace: Vec::new() },
        held: Vec::new(),
        unverified: Vec::new(),
    });
    settle(&mut case, at(0));
    case
}

fn document(number: u8, name: &str, items: &[u16]) -> ApplicationDocument {
    let hs = "1211901000".parse().expect("an HS code");
    ApplicationDocument {
        code: code(&format!("GOVCBRX0{number}")),
        number: name.into(),
        function: "9".into(),
        reason: None,
        items: items.iter().map(|sequence| ApplicationItem { sequence: *sequence, hs }).collect(),
        attachments: Vec::new(),
    }
}

/// Where a document with this number came.
fn received(number: &str) -> ReceivedPart {
    ReceivedPart {
        message: key("BR", number),
        content_id: "document@broker.example".parse().expect("a Content-ID"),
        digest: Digest::of(number.as_bytes()),
    }
}

fn enclosed(case: &mut Case, document: &ApplicationDocument) -> Result<Place, EncloseFault> {
    let sent_as = message_id(&format!("sent-{}", document.number));
    let target = AgencyTarget {
        agency: AgencyCode::new("KFDA").expect("an agency"),
        party: PartyKey::new("AG-KFDA").expect("a party"),
        cpa_id: None,
        result: code("GOVCBRX51"),
    };
    let target = (document.code.as_str() == "GOVCBRX01").then_some(&target);
    let source = &received(&document.number);
    enclose(case, Enclosed { document, sent_as: &sent_as, source, target })
}

/// A case with one enclosed application for each of three agencies, each for its lines.
fn three(lines: [&[u16]; 3]) -> Case {
    let agencies = ["KFDA", "NPQS", "KPTA"];
    let plans = (1..).zip(agencies.iter().zip(lines));
    let mut case =
        lodged(plans.clone().map(|(n, (agency, lines))| planned(agency, n, lines, true)).collect());
    for (number, (agency, lines)) in plans {
        enclosed(&mut case, &document(number, &format!("N-{agency}"), lines)).expect("it is placed");
    }
    case
}

fn result(
    index: usize,
    number: &str,
    issued: i64,
    outcome: Outcome,
    items: &[(u16, Outcome)],
) -> ResultDocument {
    let item = |(sequence, outcome): &(u16, Outcome)| ResultItem {
        unit: None,
        laws: Vec::new(),
        sequence: *sequence,
        outcome: *outcome,
        approval: None,
        quantity: None,
        reason: None,
    };
    ResultDocument {
        code: code(&format!("GOVCBRX5{}", index + 1)),
        number: number.into(),
        issued_at: at(issued),
        application: None,
        applicant: None,
        outcome,
        valid_until: None,
        remarks: None,
        items: items.iter().map(item).collect(),
    }
}

fn receive(case: &mut Case, index: usize, document: &ResultDocument) -> (ResultEffect, Vec<JoinEvent>) {
    let key = MessageKey {
        sender: case.applications[index].party.clone(),
        message_id: message_id(&format!("result-{}", document.number)),
    };
    let digest = Digest::of(format!("{document:?}").as_bytes());
    let incoming = IncomingResult { document, digest, key: &key, received_at: at(1000) };
    let effect = apply_result(case, index, Version::Current, incoming);
    (effect, settle(case, at(1000)))
}

fn notice(kind: NoticeKind, issued: i64) -> NoticeDocument {
    NoticeDocument {
        code: code("GOVCBRRBH"),
        number: format!("n-{issued}").into(),
        issued_at: at(issued),
        application: None,
        notice: kind,
        acceptance_number: Some(format!("a-{issued}").into()),
        deadline: None,
        remarks: None,
    }
}

fn notify(application: &mut Application, document: &NoticeDocument) -> NoticeEffect {
    apply_notice(application, Version::Current, document, message_id(&document.number), at(1000))
}

fn kinds(events: &[JoinEvent]) -> Vec<EventKind> {
    events.iter().map(|event| event.kind).collect()
}

const ALL_GOOD: EventKind = EventKind::AllCollected { favourable: true };
const ALL_BAD: EventKind = EventKind::AllCollected { favourable: false };

#[test]
fn documents_go_where_they_are_missed() {
    let mut case = lodged(vec![
        planned("KFDA", 1, &[1, 2], true),
        planned("KTL", 2, &[1], true),
        planned("KETI", 2, &[2, 3], true),
    ]);
    let mut check = |document: ApplicationDocument, expected: Result<Place, EncloseFault>| {
        assert_eq!(enclosed(&mut case, &document), expected, "{document:?}");
    };
    // Two agencies share a form: the lines decide.
    check(document(2, "B", &[3]), Ok(Place::Planned(2)));
    check(document(2, "A", &[9]), Ok(Place::Planned(1)));
    check(document(1, "C", &[1, 2]), Ok(Place::Planned(0)));
    check(document(1, "C", &[1, 2]), Err(EncloseFault::KnownNumber("C".into())));
    check(document(1, "D", &[7]), Ok(Place::Voluntary(3)));
    check(document(5, "E", &[1]), Err(EncloseFault::NoAgency(code("GOVCBRX05"))));
    assert!(!case.applications[3].required);
    assert_eq!(case.applications[1].items, [1, 9]);
}

#[test]
fn a_refused_document_is_corrected_under_its_number_or_another() {
    for name in ["N-KFDA", "N-2"] {
        let mut case = three([&[1], &[1], &[1]]);
        notify(&mut case.applications[0], &notice(NoticeKind::Error, 5));
        assert_eq!(case.applications[0].state, ApplicationState::Error);
        assert_eq!(enclosed(&mut case, &document(1, name, &[1])), Ok(Place::Corrected(0)));
        assert_eq!(case.applications[0].state, ApplicationState::Created);
        assert_eq!(case.applications[0].number, Some(name.into()));
    }
}

#[test]
fn what_is_not_required_is_not_counted() {
    let mut case = lodged(Vec::new());
    assert_eq!((case.state, case.events.len()), (CaseState::Ready, 0));
    enclosed(&mut case, &document(1, "V", &[1])).expect("it is placed");
    let (effect, events) = receive(&mut case, 0, &result(0, "1", 5, Outcome::Rejected, &[]));
    assert_eq!((effect, kinds(&events)), (ResultEffect::Decided(Outcome::Rejected), vec![]));
    assert_eq!(case.state, CaseState::Ready);
    let after = lodged(vec![planned("KFDA", 1, &[1], false)]);
    assert_eq!(after.state, CaseState::Ready);
}

#[test]
fn the_worst_item_is_the_outcome_and_every_item_must_have_one() {
    use Outcome::{Approved, ApprovedConditional, Rejected};
    fn check(results: &[&[(u16, Outcome)]], expected: &[ResultEffect]) {
        let mut case = three([&[1, 2], &[1], &[1]]);
        for (number, (items, expected)) in results.iter().zip(expected).enumerate() {
            let document = result(0, &number.to_string(), 5, Approved, items);
            assert_eq!(receive(&mut case, 0, &document).0, *expected, "{results:?}");
        }
    }
    check(&[&[]], &[ResultEffect::Decided(Approved)]);
    check(&[&[(1, Approved), (2, Rejected)]], &[ResultEffect::Decided(Rejected)]);
    check(
        &[&[(1, Approved)], &[(2, ApprovedConditional)]],
        &[ResultEffect::Partial, ResultEffect::Decided(ApprovedConditional)],
    );
    check(&[&[(1, Approved), (7, Rejected)]], &[ResultEffect::UnknownItems(vec![7])]);
}

#[test]
fn a_result_number_is_one_result() {
    let mut case = three([&[1], &[1], &[1]]);
    let first = result(0, "R1", 5, Outcome::Approved, &[]);
    assert_eq!(receive(&mut case, 0, &first).0, ResultEffect::Decided(Outcome::Approved));
    let settled = case.clone();
    assert_eq!(receive(&mut case, 0, &first).0, ResultEffect::Repeated);
    let other = result(0, "R1", 9, Outcome::Rejected, &[]);
    assert_eq!(receive(&mut case, 0, &other).0, ResultEffect::OtherOctets);
    assert_eq!(
        receive(&mut case, 0, &result(1, "R2", 9, Outcome::Rejected, &[])).0,
        ResultEffect::OtherDocument
    );
    assert_eq!(case, settled);
}

#[test]
fn the_join_tells_each_event_once_and_a_round_for_each_reopening() {
    use Outcome::{Approved, Rejected, Revoked};
    let mut case = three([&[1], &[1], &[1]]);
    let mut step = |index: usize, issued: i64, outcome: Outcome, told: &[EventKind], state: CaseState| {
        let document = result(index, &format!("R{issued}"), issued, outcome, &[]);
        let (_, events) = receive(&mut case, index, &document);
        assert_eq!((kinds(&events).as_slice(), case.state), (told, state), "at {issued}");
    };
    step(0, 1, Approved, &[EventKind::FirstResult], CaseState::Collecting);
    step(1, 2, Rejected, &[], CaseState::Collecting);
    step(2, 3, Approved, &[ALL_BAD], CaseState::Blocked);
    step(2, 4, Approved, &[], CaseState::Blocked);
    step(1, 5, Approved, &[EventKind::Reopened, ALL_GOOD], CaseState::Ready);
    step(0, 6, Revoked, &[EventKind::Reopened], CaseState::Collecting);
    step(0, 7, Approved, &[ALL_GOOD], CaseState::Ready);
    step(0, 2, Rejected, &[], CaseState::Ready);
    assert_eq!(case.round, 3);
}

#[test]
fn no_notice_overwrites_a_newer_one_or_an_outcome() {
    let mut case = three([&[1], &[1], &[1]]);
    let mut check = |kind: NoticeKind, issued: i64, expected: NoticeEffect, state: ApplicationState| {
        let application = &mut case.applications[0];
        assert_eq!((notify(application, &notice(kind, issued)), application.state), (expected, state));
    };
    check(NoticeKind::UnderReview, 5, NoticeEffect::Moved, ApplicationState::UnderReview);
    check(NoticeKind::Accepted, 4, NoticeEffect::Superseded, ApplicationState::UnderReview);
    check(NoticeKind::CustomsDone, 9, NoticeEffect::Information, ApplicationState::UnderReview);
    check(NoticeKind::SupplementRequested, 5, NoticeEffect::Moved, ApplicationState::SupplementRequested);
    assert_eq!(case.applications[0].acceptance_number.as_deref(), Some("a-5"));
    receive(&mut case, 0, &result(0, "R", 1, Outcome::Approved, &[]));
    let settled = notify(&mut case.applications[0], &notice(NoticeKind::Error, 99));
    assert_eq!(settled, NoticeEffect::Superseded);
    assert_eq!(case.applications[0].state, ApplicationState::Decided(Outcome::Approved));
    assert_eq!(case.applications[0].notices.len(), 5);
}

#[test]
fn a_bad_end_of_a_delivery_counts_only_while_the_agency_is_silent() {
    let mut case = three([&[1], &[1], &[1]]);
    assert!(end_of_delivery(&mut case.applications[0], DeliveryEnd::Expired));
    assert_eq!(case.applications[0].state, ApplicationState::Undeliverable);
    notify(&mut case.applications[1], &notice(NoticeKind::Accepted, 1));
    assert!(!end_of_delivery(&mut case.applications[1], DeliveryEnd::Rejected));
    assert!(end_of_delivery(&mut case.applications[2], DeliveryEnd::Rejected));
    assert_eq!(case.applications[2].state, ApplicationState::Error);
}

#[test]
fn a_silent_agency_shows_what_its_delivery_says() {
    fn check(state: ApplicationState, stands: Option<(DeliveryState, u32)>, expected: ApplicationState) {
        let mut case = three([&[1], &[1], &[1]]);
        let application = &mut case.applications[0];
        application.state = state;
        let delivery = stands.map(|(state, attempts)| delivery(state, attempts));
        assert_eq!(shown_state(application, delivery.as_ref()), expected, "{state:?} {delivery:?}");
    }
    use ApplicationState::{Accepted, Created, Delivered, Sent};
    check(Created, None, Created);
    check(Created, Some((DeliveryState::Pending, 0)), Created);
    check(Created, Some((DeliveryState::AwaitingAcknowledgment, 1)), Sent);
    check(Created, Some((DeliveryState::Held, 2)), Sent);
    check(Created, Some((DeliveryState::Delivered, 1)), Delivered);
    check(Accepted, Some((DeliveryState::AwaitingAcknowledgment, 1)), Accepted);
}

fn delivery(state: DeliveryState, attempts: u32) -> Delivery {
    Delivery {
        id: "delivery".parse().expect("a delivery id"),
        realm: Realm::Production,
        case: None,
        purpose: DeliveryPurpose::Application { index: 0 },
        destination: PartyKey::new("AG-KFDA").expect("a party"),
        cpa_id: "cpa".parse().expect("a CPAId"),
        message_id: message_id("sent"),
        conversation_id: ConversationId::new("X01-1").expect("a conversation"),
        ref_to_message_id: None,
        service: Service { value: "RequirementVerification".into(), kind: None },
        action: "GOVCBRX01".into(),
        parts: Vec::new(),
        created_at: at(0),
        expires_at: at(60),
        state,
        attempts,
        due: at(0),
        sealed: attempts > 0,
        mailbox: false,
        order: None,
        again: 0,
        unsent: 0,
        hold: None,
        purged: None,
        reason: String::new(),
    }
}

#[test]
fn customs_ends_a_case_once() {
    fn check(
        before: CaseState,
        code_text: &str,
        status: Option<&str>,
        expected: CustomsEffect,
        after: CaseState,
    ) {
        let mut case = Case { state: before, ..three([&[1], &[1], &[1]]) };
        let notice = CustomsNotice {
            code: code(code_text),
            number: "C1".into(),
            issued_at: at(9),
            declaration: "1234509000017X".into(),
            status: status.map(Arc::from),
            remarks: None,
        };
        assert_eq!((apply_customs_notice(&mut case, &notice), case.state), (expected, after), "{code_text}");
        assert_eq!(case.customs_status.as_deref(), status);
        assert_eq!(settle(&mut case, at(10)), []);
    }
    use CaseState::{Blocked, Cleared, Collecting, Dismissed, Ready};
    for status in ["13", "14", "15"] {
        check(Ready, "GOVCBR023", Some(status), CustomsEffect::Cleared { early: false }, Cleared);
    }
    check(Collecting, "GOVCBR023", Some("13"), CustomsEffect::Cleared { early: true }, Cleared);
    check(Collecting, "GOVCBR023", Some("11"), CustomsEffect::Noted, Collecting);
    check(Collecting, "GOVCBR5GZ", Some("18"), CustomsEffect::Noted, Collecting);
    check(Cleared, "GOVCBR023", Some("13"), CustomsEffect::Noted, Cleared);
    check(Cleared, "GOVCBRR21", None, CustomsEffect::Contradicts, Cleared);
    check(Dismissed, "GOVCBR023", Some("13"), CustomsEffect::Contradicts, Dismissed);
    let _ = Blocked;
}

#[test]
fn a_report_says_what_happened_and_what_is_missing() {
    let mut case = lodged(vec![planned("KFDA", 1, &[1], true), planned("NPQS", 2, &[1], true)]);
    enclosed(&mut case, &document(1, "N-1", &[1])).expect("it is placed");
    let report = status_report(&case, ReportEvent::Lodged, at(1)).expect("the case has a declaration");
    assert_eq!(&*report.number, "1234509000017X-1-1-lodged");
    let rows: Vec<_> =
        report.applications.iter().map(|row| (&*row.agency, &*row.state, row.remarks.is_some())).collect();
    assert_eq!(rows, [("KFDA", "created", false), ("NPQS", "blocked", true)]);
    let report = status_report(&case, ReportEvent::Join(ALL_BAD), at(1)).expect("the case has a declaration");
    assert_eq!(
        (&*report.number, report.outcome.as_deref()),
        ("1234509000017X-1-1-all-collected-unfavourable", Some("unfavourable"))
    );
}

/// What an agency may send: a notice or a result, each with an issue time of its own.
#[derive(Clone, Debug)]
enum Sent {
    Notice(usize, NoticeKind),
    Result(usize, Outcome, Vec<u16>),
}

fn sent() -> impl Strategy<Value = Sent> {
    use NoticeKind as N;
    use Outcome as O;
    let kind = prop::sample::select(vec![
        N::Error,
        N::Accepted,
        N::UnderReview,
        N::InspectionOrdered,
        N::CustomsDone,
    ]);
    let outcome = prop::sample::select(vec![
        O::Rejected,
        O::Revoked,
        O::Cancelled,
        O::ApprovedConditional,
        O::Approved,
        O::NotApplicable,
    ]);
    let items = prop::sample::subsequence(vec![1, 2], 0..=2);
    prop_oneof![
        (0..3_usize, kind).prop_map(|(index, kind)| Sent::Notice(index, kind)),
        (0..3_usize, outcome, items).prop_map(|(index, outcome, items)| Sent::Result(index, outcome, items)),
    ]
}

/// Plays what was sent in the order of `order`, which may repeat; returns the case and what the join told.
fn play(sent: &[Sent], order: &[usize]) -> (Case, Vec<JoinEvent>) {
    let mut case = three([&[1, 2], &[1, 2], &[1, 2]]);
    let mut told = Vec::new();
    for at in order {
        let issued = i64::try_from(*at).expect("small") + 1;
        match &sent[*at] {
            Sent::Notice(index, kind) => {
                let application = &mut case.applications[*index];
                let before = application.state;
                notify(application, &notice(*kind, issued));
                if let ApplicationState::Decided(_) = before {
                    assert_eq!(application.state, before, "a notice changed a final state");
                }
                assert_eq!(settle(&mut case, Timestamp::EPOCH), []);
            }
            Sent::Result(index, outcome, items) => {
                let items: Vec<_> = items.iter().map(|item| (*item, *outcome)).collect();
                let document = result(*index, &format!("R{issued}"), issued, *outcome, &items);
                told.extend(receive(&mut case, *index, &document).1);
            }
        }
    }
    (case, told)
}

/// An order in which everything comes at least once, and some things again.
fn shuffled(length: usize) -> impl Strategy<Value = Vec<usize>> {
    let again = prop::collection::vec(0..length, 0..=length);
    again.prop_flat_map(move |again| Just((0..length).chain(again).collect::<Vec<_>>()).prop_shuffle())
}

proptest! {
    #[test]
    fn any_order_and_repetition_ends_in_the_same_states(
        (sent, order) in prop::collection::vec(sent(), 1..14)
            .prop_flat_map(|sent| { let length = sent.len(); (Just(sent), shuffled(length)) })
    ) {
        let (case, told) = play(&sent, &order);
        let (expected, _) = play(&sent, &(0..sent.len()).collect::<Vec<_>>());
        prop_assert_eq!(case.state, expected.state);
        for (found, expected) in case.applications.iter().zip(&expected.applications) {
            prop_assert_eq!(found.state, expected.state);
            prop_assert_eq!(&found.outcomes, &expected.outcomes);
            prop_assert_eq!(found.results.len(), expected.results.len());
        }
        // Each event once: no two of a kind in a round, and the first result once.
        let collected = |round: u32| told.iter().filter(|e| e.round == round
            && matches!(e.kind, EventKind::AllCollected { .. })).count();
        prop_assert!((1..=case.round).all(|round| collected(round) <= 1));
        prop_assert!(told.iter().filter(|e| e.kind == EventKind::FirstResult).count() <= 1);
        let reopened = told.iter().filter(|e| e.kind == EventKind::Reopened).count();
        prop_assert_eq!(u32::try_from(reopened).expect("few"), case.round - 1);
        let is_done = matches!(case.state, CaseState::Ready | CaseState::Blocked);
        prop_assert_eq!(is_done, collected(case.round) == 1);
    }

    #[test]
    fn three_results_in_any_order_are_collected_exactly_once(
        order in Just(vec![0_usize, 1, 2, 0, 1, 2]).prop_shuffle(),
        outcomes in prop::collection::vec(prop::sample::select(vec![Outcome::Approved, Outcome::Rejected]), 3)
    ) {
        let sent: Vec<_> = outcomes.iter().enumerate().map(|(i, o)| Sent::Result(i, *o, vec![])).collect();
        let (case, told) = play(&sent, &order);
        let favourable = outcomes.iter().all(|outcome| outcome.is_favourable());
        prop_assert_eq!(kinds(&told), vec![EventKind::FirstResult, EventKind::AllCollected { favourable }]);
        prop_assert_eq!(case.state, if favourable { CaseState::Ready } else { CaseState::Blocked });
    }
}
