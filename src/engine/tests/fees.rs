//! Fees: asked, ordered, paid at a bank that answers late, twice or not at all; a fee is never paid twice, also across a
//! crash at any point (domain brief, 5.5; P1, P3, P9).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::super::*;
use super::cases::{answer, from_customs, lodged};
use super::changes::refusal;
use super::world::*;
use crate::case::{FEES_MAX, ORDERS_MAX, REASON_CHARS_MAX};
use crate::model::*;
use crate::store::{CommitError, Conflict, Store as _};

const FEE: &str = "F-1";

fn number(agency: usize) -> String {
    format!("APP-{DECLARATION}-{agency}")
}

fn money(amount: &str, currency: &str) -> Money {
    Money { amount: amount.parse().expect("a number"), currency: currency.parse().expect("a currency") }
}

fn account(text: &str) -> BankAccount {
    BankAccount { name: "somebody".into(), account: text.into() }
}

/// An agency's fee of 30000 won, issued this many minutes after half past one.
fn fee(world: &World, agency: usize, id: &str, number_of_fee: &str, minutes: u64) -> Posted {
    let issued_at: Timestamp = "2009-12-01T01:30:00Z".parse().expect("an instant");
    let issued_at = issued_at.plus(Duration::from_secs(60 * minutes));
    let document = Document::FeeNotice(FeeNotice {
        number: number_of_fee.into(),
        issued_at,
        application: number(agency).into(),
        price: money("30000", "KRW"),
        payee: account("011-17"),
        due_by: issued_at.plus(Duration::from_secs(7 * 86_400)),
        reason: "Laboratory test".into(),
    });
    world.message(AGENCIES[agency].1, id, "Payment", "GOVCBRXF1", vec![document])
}

fn order_by(world: &World, from: &str, id: &str, change: impl FnOnce(&mut PaymentOrder)) -> Posted {
    let mut order = PaymentOrder {
        number: id.into(),
        issued_at: world.now,
        application: number(0).into(),
        fee: FEE.into(),
        price: money("30000", "KRW"),
        payer: account("088-22"),
    };
    change(&mut order);
    world.message(from, id, "Payment", "GOVCBRXF2", vec![Document::PaymentOrder(order)])
}

fn order(world: &World, id: &str) -> Posted {
    order_by(world, BROKER, id, |_| {})
}

/// A world in which the first agency asks a fee.
fn asked() -> World {
    let mut world = lodged();
    let posted = fee(&world, 0, "fee", FEE, 0);
    world.post(&posted);
    world
}

fn state(world: &World) -> &'static str {
    world.case().applications[0].state.as_str()
}

fn the_fee(world: &World) -> Fee {
    world.case().applications[0].fees[0].clone()
}

fn fee_state(world: &World) -> &'static str {
    the_fee(world).state.as_str()
}

/// A bank as it is described to who builds one: a key is booked once, an order is answered the same again.
#[derive(Default)]
struct Bank {
    booked: BTreeMap<Arc<str>, Arc<str>>,
    refused: BTreeMap<(Arc<str>, Arc<str>), Arc<str>>,
    bookings: usize,
}

impl Bank {
    fn ask(&mut self, charge: &Charge, refuse: bool) -> ChargeOutcome {
        let at = "2009-12-01T02:00:00Z".parse().expect("an instant");
        if let Some(reference) = self.booked.get(&charge.key) {
            return ChargeOutcome::Paid { reference: reference.clone(), at };
        }
        let of_order = (charge.key.clone(), charge.order.clone());
        if let Some(reason) = self.refused.get(&of_order) {
            return ChargeOutcome::Refused { reason: reason.clone() };
        }
        if refuse {
            self.refused.insert(of_order, "no funds".into());
            return ChargeOutcome::Refused { reason: "no funds".into() };
        }
        self.bookings += 1;
        let reference: Arc<str> = format!("B-{}", self.bookings).into();
        self.booked.insert(charge.key.clone(), reference.clone());
        ChargeOutcome::Paid { reference, at }
    }
}

/// Has everything decided that is due about payments.
fn look(world: &mut World) {
    for scheduled in world.store.scheduled_payments(1000).expect("the store reads") {
        world.drive(&Event::PaymentDue(scheduled.id));
    }
}

fn charged((case, attempt, charge): &(CaseId, u32, Charge), outcome: ChargeOutcome) -> Event {
    let (case, key, order) = (case.clone(), charge.key.clone(), charge.order.clone());
    Event::Charged { case, key, order, attempt: *attempt, outcome }
}

/// Asks the bank about everything that is due, and has its answers decided.
fn settle_at(world: &mut World, bank: &mut Bank, refuse: bool) {
    look(world);
    for charge in std::mem::take(&mut world.charges) {
        let outcome = bank.ask(&charge.2, refuse);
        world.drive(&charged(&charge, outcome));
    }
}

fn silence() -> ChargeOutcome {
    ChargeOutcome::Again { reason: "connection refused".to_owned(), alarm: false }
}

#[test]
fn a_fee_is_noted_moves_like_a_notice_and_goes_to_the_broker_alone() {
    let mut world = asked();
    assert_eq!((state(&world), fee_state(&world)), ("fee_requested", "open"));
    assert_eq!((world.count(BROKER, "GOVCBRXF1"), world.count(CUSTOMS, "GOVCBRXF1")), (1, 0));
    assert_eq!(
        world.store.named_cases(Realm::Production, FEE, 9).expect("the store reads").len(),
        1,
        "found by its number"
    );

    // The same again changes nothing; another fee under its number is an alarm, for this application or another.
    let again = fee(&world, 0, "again", FEE, 0);
    let before = world.case();
    world.post(&again);
    assert_eq!(world.case(), before);
    assert_eq!(world.count(BROKER, "GOVCBRXF1"), 1);
    let other = fee(&world, 0, "other", FEE, 9);
    world.post(&other);
    assert!(world.stored(&other).expect("it is kept").quarantined);
    let of_another = fee(&world, 1, "of another agency", FEE, 0);
    world.post(&of_another);
    assert!(
        world.stored(&of_another).expect("it is kept").accepted,
        "agencies number their fees each by itself"
    );
    assert_eq!(world.case().applications[0].fees.len(), 1);
    world.check_laws();
}

#[test]
fn a_fee_that_was_overtaken_can_be_paid_and_one_that_came_too_late_is_void() {
    let mut world = lodged();
    let newer = notice(&world, "N1", 1);
    world.post(&newer);
    let overtaken = fee(&world, 0, "fee", FEE, 0);
    world.post(&overtaken);
    assert_eq!(
        (state(&world), fee_state(&world)),
        ("under_review", "open"),
        "nothing moves; it is owed all the same"
    );

    let decided = answer(&world, 0, "result", Outcome::Approved);
    world.post(&decided);
    let late = fee(&world, 0, "late", "F-2", 99);
    world.post(&late);
    let application = world.case().applications[0].clone();
    assert_eq!((application.state.as_str(), application.fees[1].state), ("approved", FeeState::Void));
    assert_eq!(world.count(BROKER, "GOVCBRXF1"), 2, "recorded and relayed");
    world.check_laws();
}

/// A status notice of the first agency, issued this many minutes after half past one.
fn notice(world: &World, id: &str, minutes: u64) -> Posted {
    let issued_at: Timestamp = "2009-12-01T01:30:00Z".parse().expect("an instant");
    let document = Document::Notice(NoticeDocument {
        code: code("GOVCBRRBH"),
        number: id.into(),
        issued_at: issued_at.plus(Duration::from_secs(60 * minutes)),
        application: Some(number(0).into()),
        notice: NoticeKind::UnderReview,
        acceptance_number: None,
        deadline: None,
        remarks: None,
    });
    world.message(AGENCIES[0].1, id, "RequirementVerification", "GOVCBRRBH", vec![document])
}

#[test]
fn an_application_has_so_many_fees_and_no_more() {
    let mut world = lodged();
    for count in 0..FEES_MAX {
        let posted = fee(&world, 0, &format!("fee{count}"), &format!("F-{count}"), 0);
        world.post(&posted);
    }
    assert_eq!(world.case().applications[0].fees.len(), FEES_MAX);
    let past = fee(&world, 0, "one more", "F-more", 0);
    let told = refusal(&past, &mut world);
    assert!(told.contains("which is the most"), "{told}");
    assert_eq!(world.case().applications[0].fees.len(), FEES_MAX);
}

#[test]
fn orders_that_cannot_be_taken_are_refused_with_the_reason() {
    fn check(prepare: impl FnOnce(&mut World), change: impl FnOnce(&mut PaymentOrder), expected: &str) {
        let mut world = asked();
        prepare(&mut world);
        let before = world.case();
        let posted = order_by(&world, BROKER, "PO-2", change);
        let told = refusal(&posted, &mut world);
        assert!(told.contains(expected), "{told:?} for {expected:?}");
        assert_eq!(world.case(), before);
        world.check_laws();
    }
    let bank = Bank::default;
    check(|_| {}, |order| order.fee = "F-9".into(), "no fee F-9 is asked for an application");
    check(
        |_| {},
        |order| order.application = "NOWHERE-1".into(),
        "no fee F-1 is asked for an application NOWHERE-1",
    );
    check(|_| {}, |order| order.application = number(1).into(), "no fee F-1 is asked");
    check(
        |_| {},
        |order| order.price = money("29999.999", "KRW"),
        "fee F-1 is 30000 KRW, and the order pays 29999.999 KRW",
    );
    check(|_| {}, |order| order.price = money("30000", "USD"), "and the order pays 30000 USD");
    check(
        |world| drop(world.post(&order(world, "PO-1"))),
        |_| {},
        "fee F-1 is being paid already, by order PO-1",
    );
    check(
        |world| {
            world.post(&order(world, "PO-1"));
            settle_at(world, &mut bank(), false);
        },
        |_| {},
        "fee F-1 was paid already, by order PO-1 under the bank's reference B-1",
    );
    check(
        |world| {
            world.post(&order(world, "PO-1"));
            settle_at(world, &mut bank(), true);
        },
        |order| order.number = "PO-1".into(),
        "order PO-1 was refused by the bank; a new order needs a number of its own",
    );
    check(
        |world| drop(world.post(&answer(world, 0, "result", Outcome::Approved))),
        |_| {},
        "is approved: no fee of it can be ordered any more",
    );
    check(
        |world| drop(world.post(&from_customs(world, "C1", "GOVCBRR21", "15"))),
        |_| {},
        "the case is dismissed: no fee of it can be ordered any more",
    );
    check(|world| world.payment = None, |_| {}, "this Single Window has no bank");
}

#[test]
fn nobody_pays_what_is_not_his_to_pay() {
    let mut world = asked();
    let posted = order_by(&world, ASYNC_BROKER, "PO-1", |_| {});
    let told = refusal(&posted, &mut world);
    assert!(told.contains("no fee F-1 is asked for an application"), "as if there were none: {told}");
}

#[test]
fn a_fee_is_ordered_so_often_and_no_more() {
    let mut world = asked();
    let mut bank = Bank::default();
    for count in 0..ORDERS_MAX {
        let posted = order(&world, &format!("PO-{count}"));
        world.post(&posted);
        settle_at(&mut world, &mut bank, true);
    }
    assert_eq!((the_fee(&world).payments.len(), fee_state(&world)), (ORDERS_MAX, "open"));
    let past = order(&world, "PO-more");
    let told = refusal(&past, &mut world);
    assert!(told.contains("which is the most"), "{told}");
    assert_eq!(bank.bookings, 0);
}

/// The bank is asked again after a restore, under the key that it knows; who heard of the payment from the lost store does not
/// hear of it again before an operator says so.
#[test]
fn what_was_ordered_before_a_restore_is_confirmed_when_an_operator_says_so_p20() {
    fn check(restored_after: bool, expected: DeliveryState) {
        let mut world = asked();
        if !restored_after {
            world.restored = Some(world.now.minus(Duration::from_secs(1)));
        }
        world.post(&order(&world, "PO-1"));
        if restored_after {
            world.restored = Some(world.now);
        }
        settle_at(&mut world, &mut Bank::default(), false);
        assert_eq!(fee_state(&world), "paid");
        let confirmed = world.deliveries().into_iter().filter(|delivery| &*delivery.action == "GOVCBRXF3");
        assert_eq!(confirmed.map(|delivery| delivery.state).collect::<Vec<_>>(), [expected, expected]);
        world.check_laws();
    }
    check(true, DeliveryState::Held);
    check(false, DeliveryState::Pending);
}

#[test]
fn a_fee_that_is_paid_lets_the_agency_go_on_and_both_sides_hear() {
    let mut world = asked();
    let mut bank = Bank::default();
    world.post(&order(&world, "PO-1"));
    assert_eq!(
        (fee_state(&world), world.charges.len()),
        ("ordered", 0),
        "the bank is asked after the commit"
    );
    settle_at(&mut world, &mut bank, false);
    assert_eq!((state(&world), fee_state(&world)), ("under_review", "paid"));
    let payment = the_fee(&world).payments[0].clone();
    assert_eq!((payment.state, payment.reference.as_deref()), (PaymentState::Paid, Some("B-1")));
    let confirmed = |to: &str| world.count(to, "GOVCBRXF3");
    assert_eq!((confirmed(AGENCIES[0].1), confirmed(BROKER), confirmed(CUSTOMS)), (1, 1, 0));
    let to_agency = world
        .deliveries()
        .into_iter()
        .find(|d| d.destination.as_str() == AGENCIES[0].1 && &*d.action == "GOVCBRXF3");
    let to_agency = to_agency.expect("it is owed");
    assert_eq!(to_agency.conversation_id.as_str(), number(0), "in the conversation of the application");
    assert_eq!(to_agency.ref_to_message_id.expect("it answers").as_str(), format!("fee@{}", AGENCIES[0].1));
    assert_eq!(world.case().payment_due, None);
    world.check_laws();
}

#[test]
fn one_fee_that_is_paid_does_not_pay_for_another() {
    let mut world = asked();
    let second = fee(&world, 0, "second", "F-2", 1);
    world.post(&second);
    world.post(&order(&world, "PO-1"));
    settle_at(&mut world, &mut Bank::default(), false);
    assert_eq!(state(&world), "fee_requested", "another is owed");
    world.post(&order_by(&world, BROKER, "PO-2", |order| order.fee = "F-2".into()));
    settle_at(&mut world, &mut Bank::default(), false);
    assert_eq!(state(&world), "under_review");
}

#[test]
fn a_refusal_of_the_bank_opens_the_fee_again_and_only_the_broker_hears() {
    let mut world = asked();
    let mut bank = Bank::default();
    world.post(&order(&world, "PO-1"));
    settle_at(&mut world, &mut bank, true);
    assert_eq!((state(&world), fee_state(&world)), ("fee_requested", "open"));
    assert_eq!((world.count(AGENCIES[0].1, "GOVCBRXF3"), world.count(BROKER, "GOVCBRXF3")), (0, 1));
    world.post(&order(&world, "PO-2"));
    settle_at(&mut world, &mut bank, false);
    assert_eq!((fee_state(&world), bank.bookings), ("paid", 1));
    assert_eq!((world.count(AGENCIES[0].1, "GOVCBRXF3"), world.count(BROKER, "GOVCBRXF3")), (1, 2));
    world.check_laws();
}

#[test]
fn a_bank_that_talks_at_length_is_cut_short() {
    let mut world = asked();
    let said = |chars: usize| "n".repeat(chars);
    let lengths = [REASON_CHARS_MAX, REASON_CHARS_MAX + 1, 60_000];
    for (number, chars) in lengths.into_iter().enumerate() {
        world.post(&order(&world, &format!("PO-{number}")));
        look(&mut world);
        let charge = world.charges.pop().expect("the bank is asked");
        world.drive(&charged(&charge, ChargeOutcome::Again { reason: said(chars), alarm: true }));
        assert_eq!(the_fee(&world).payments[number].reason, said(REASON_CHARS_MAX));
        world.drive(&charged(&charge, ChargeOutcome::Refused { reason: said(chars).into() }));
        assert_eq!(the_fee(&world).payments[number].reason, said(REASON_CHARS_MAX));
    }
    world.check_laws();
}

#[test]
fn a_payment_that_is_under_way_ends_by_the_bank_alone() {
    type End = fn(&World) -> Posted;
    let ends: [(End, &str); 3] = [
        (|world| answer(world, 0, "result", Outcome::Approved), "approved"),
        (|world| answer(world, 0, "result", Outcome::Cancelled), "cancelled"),
        (|world| from_customs(world, "C1", "GOVCBRR21", "15"), "under_review"),
    ];
    for (end, expected) in ends {
        let mut world = asked();
        world.post(&order(&world, "PO-1"));
        let posted = end(&world);
        world.post(&posted);
        settle_at(&mut world, &mut Bank::default(), false);
        assert_eq!((state(&world), fee_state(&world)), (expected, "paid"));
        assert_eq!((world.count(AGENCIES[0].1, "GOVCBRXF3"), world.count(BROKER, "GOVCBRXF3")), (1, 1));
        world.check_laws();
    }
}

#[test]
fn a_silent_bank_is_asked_again_ever_later_and_an_operator_hears_of_it_once_p9() {
    let mut world = asked();
    let terms = PaymentTerms::default();
    world.post(&order(&world, "PO-1"));
    let (mut alarms, mut wait) = (0, terms.retry_interval);
    let ordered_at = world.now;
    for attempt in 1..12 {
        look(&mut world);
        let charge = world.charges.pop().expect("the bank is asked");
        assert_eq!((charge.1, the_fee(&world).payments[0].state), (attempt, PaymentState::Asked));
        look(&mut world);
        assert_eq!(world.charges, [], "before its time nothing is due");
        world.logged.clear();
        world.drive(&charged(&charge, silence()));
        alarms += usize::from(world.logged("payment.late") == Some(true));
        assert_eq!(alarms == 1, world.now.since(ordered_at) >= terms.alarm_after, "at the limit, once");
        let due = world.case().payment_due.expect("it is asked again");
        assert!(
            (wait..=wait * 11 / 10).contains(&due.since(world.now)),
            "{attempt}: {:?}",
            due.since(world.now)
        );
        wait = (wait * 2).min(terms.retry_interval_max);
        // Nobody decides by silence.
        assert_eq!((state(&world), fee_state(&world)), ("fee_requested", "ordered"));
        world.now = due;
    }
    assert_eq!(alarms, 1);
    // What an older attempt has to say about itself is old news; a booking never is.
    look(&mut world);
    let last = world.charges.pop().expect("the bank is asked");
    let before = world.case();
    world.drive(&charged(&(last.0.clone(), 1, last.2.clone()), silence()));
    assert_eq!(world.case(), before);
    let paid = Bank::default().ask(&last.2, false);
    world.drive(&charged(&(last.0.clone(), 1, last.2.clone()), paid));
    assert_eq!(fee_state(&world), "paid");
    world.check_laws();
}

#[test]
fn a_clock_that_is_set_back_stalls_no_payment_p9() {
    let mut world = asked();
    world.post(&order(&world, "PO-1"));
    world.now = world.now.minus(Duration::from_secs(86_400));
    look(&mut world);
    assert_eq!(world.charges.len(), 1);
}

#[test]
fn an_operator_has_the_bank_asked_at_once() {
    let mut world = asked();
    world.post(&order(&world, "PO-1"));
    look(&mut world);
    let charge = world.charges.pop().expect("the bank is asked");
    world.drive(&charged(&charge, silence()));
    let hurried =
        |case: &CaseId| Event::Hurried { case: case.clone(), by: "kim".into(), reason: "it is back".into() };
    let told = world.drive(&hurried(&charge.0));
    assert!(matches!(told, Some(Reply::Told(Told { how: How::Done, .. }))), "{told:?}");
    settle_at(&mut world, &mut Bank::default(), false);
    assert_eq!(fee_state(&world), "paid");
    let told = world.drive(&hurried(&charge.0));
    assert!(matches!(told, Some(Reply::Told(Told { how: How::Nothing, .. }))), "{told:?}");
}

#[test]
fn without_a_bank_what_is_under_way_waits_with_an_alarm() {
    let mut world = asked();
    world.post(&order(&world, "PO-1"));
    world.payment = None;
    world.logged.clear();
    look(&mut world);
    assert_eq!((world.charges.len(), world.logged("payment.unanswered")), (0, Some(true)));
    look(&mut world);
    assert_eq!(world.logged("payment.unanswered"), None, "not before the next time");
    world.payment = Some(bank("bank"));
    world.pass(3600);
    settle_at(&mut world, &mut Bank::default(), false);
    assert_eq!(fee_state(&world), "paid");
}

/// A bank books a key once; another one has never heard of it. So who was asked is asked again, and nobody else (P3).
#[test]
fn a_payment_that_one_bank_was_asked_about_is_asked_of_no_other_p3() {
    let mut world = asked();
    world.post(&order(&world, "PO-1"));
    look(&mut world);
    let (case, attempt, charge) = world.charges.pop().expect("the bank is asked");
    world.drive(&charged(&(case, attempt, charge), silence()));
    world.payment = Some(bank("another"));
    world.pass(60);
    world.logged.clear();
    look(&mut world);
    assert_eq!((world.charges.len(), world.logged("payment.unanswered")), (0, Some(true)));
    let payment = the_fee(&world).payments[0].clone();
    assert_eq!((payment.bank.as_deref(), payment.attempts), (Some("bank"), 1), "nobody was asked");
    // What nobody was asked about goes to the bank that is there.
    world.payment = Some(bank("bank"));
    world.pass(3600);
    settle_at(&mut world, &mut Bank::default(), false);
    assert_eq!(fee_state(&world), "paid");
    world.check_laws();
}

/// Where the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dies {
    BeforeTheOrderIsCommitted,
    BeforeTheAttemptIsCommitted,
    BeforeTheBankIsAsked,
    BeforeTheBankAnswers,
    BeforeTheAnswerIsCommitted,
    AfterTheAnswerIsCommitted,
}

#[test]
fn a_fee_is_booked_once_wherever_the_process_dies_p1_p3() {
    use Dies::*;
    let points = [
        BeforeTheOrderIsCommitted,
        BeforeTheAttemptIsCommitted,
        BeforeTheBankIsAsked,
        BeforeTheBankAnswers,
        BeforeTheAnswerIsCommitted,
        AfterTheAnswerIsCommitted,
    ];
    for first in points {
        for second in points {
            let mut world = asked();
            let mut bank = Bank::default();
            let posted = order(&world, "PO-1");
            for dies in [first, second] {
                live_until(&mut world, &mut bank, &posted, dies);
                // Whoever was in memory is gone; the broker sends again, and the rest is in the store.
                world.charges.clear();
                world.pass(60);
            }
            world.post(&posted);
            settle_at(&mut world, &mut bank, false);
            let what = format!("{first:?}, {second:?}");
            assert_eq!(
                (bank.bookings, fee_state(&world), state(&world)),
                (1, "paid", "under_review"),
                "{what}"
            );
            assert_eq!(
                (world.count(AGENCIES[0].1, "GOVCBRXF3"), world.count(BROKER, "GOVCBRXF3")),
                (1, 1),
                "{what}"
            );
            assert_eq!(world.case().payment_due, None, "{what}");
            world.check_laws();
        }
    }
}

/// Lives up to this point, and does nothing of what comes behind it.
fn live_until(world: &mut World, bank: &mut Bank, posted: &Posted, dies: Dies) {
    if dies == Dies::BeforeTheOrderIsCommitted {
        return world.only_decide(&Event::Arrived(Box::new(posted.arrival(world.now))));
    }
    world.post(posted);
    let scheduled = world.store.scheduled_payments(9).expect("the store reads");
    for scheduled in scheduled {
        let event = Event::PaymentDue(scheduled.id);
        if dies == Dies::BeforeTheAttemptIsCommitted {
            return world.only_decide(&event);
        }
        world.drive(&event);
    }
    for charge in std::mem::take(&mut world.charges) {
        if dies == Dies::BeforeTheBankIsAsked {
            return;
        }
        let outcome = bank.ask(&charge.2, false);
        if dies == Dies::BeforeTheBankAnswers {
            return;
        }
        let event = charged(&charge, outcome);
        if dies == Dies::BeforeTheAnswerIsCommitted {
            return world.only_decide(&event);
        }
        world.drive(&event);
        // The same answer once more, as after a commit whose outcome nobody heard.
        world.drive(&event);
    }
}

#[test]
fn of_two_orders_at_once_one_wins_and_the_other_hears_it() {
    let mut world = asked();
    let (first, second) = (order(&world, "PO-1"), order(&world, "PO-2"));
    let event = Event::Arrived(Box::new(second.arrival(world.now)));
    let stale = world.store.load(&needs(&event, &world.context())).expect("the store loads");
    world.post(&first);
    let lost = world.commit_on(&event, &stale);
    assert!(matches!(lost, Err(CommitError::Conflict(Conflict::Case { .. }))), "{lost:?}");
    let told = refusal(&second, &mut world);
    assert!(told.contains("is being paid already, by order PO-1"), "{told}");
    let mut bank = Bank::default();
    settle_at(&mut world, &mut bank, false);
    assert_eq!(bank.bookings, 1);
    world.check_laws();
}

#[test]
fn the_same_order_again_is_answered_as_before_p3() {
    let mut world = asked();
    let posted = order(&world, "PO-1");
    let first = world.post(&posted);
    settle_at(&mut world, &mut Bank::default(), false);
    let before = world.case();
    let Some(Reply::Message(again)) = world.post(&posted) else { panic!("it is answered") };
    let Some(Reply::Message(first)) = first else { panic!("it is answered") };
    assert_eq!(again.body, first.body, "octet for octet");
    assert_eq!(world.case(), before);
}

#[test]
fn a_fee_whose_time_passes_is_flagged_and_nothing_is_decided() {
    let mut world = asked();
    let due_by = the_fee(&world).due_by;
    world.now = due_by.plus(Duration::from_secs(3601));
    world.keep_agenda();
    let application = &world.case().applications[0];
    assert!(application.overdue_since().is_some());
    assert_eq!((state(&world), fee_state(&world)), ("fee_requested", "open"));
    world.post(&order(&world, "PO-1"));
    settle_at(&mut world, &mut Bank::default(), false);
    assert_eq!(fee_state(&world), "paid", "late is better than never");
    world.check_laws();
}
