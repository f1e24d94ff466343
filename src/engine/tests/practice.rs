//! Practice: the same numbers in both realms never meet, whatever crosses between them is turned away, and a rehearsal
//! can do all that a case can (domain brief, 5.5).

use super::super::*;
use super::approvals::{Line, POTATOES, decimal, declared};
use super::cases::{application, declaration, from_customs, result};
use super::changes::refusal;
use super::world::*;
use crate::model::*;
use crate::store::{CaseFilter, CorrelationKey, Needs, Opened, Store as _};

const PLAYER: &str = "AG900000000000";
const PRACTICE_CUSTOMS: &str = "CU900000000000";
/// The agreement under which the broker rehearses.
const REHEARSAL: &str = "rehearsal";

/// A world in which one party plays every agency and another one customs; the broker has an agreement for practice
/// beside the one that he works under.
fn world() -> World {
    let mut world = World::new();
    let rules = world.rules.clone();
    let plays = |key: &str, of: &str, plays| {
        let like = world.registry.party(&party(of)).expect("is registered").clone();
        let ids = vec![PartyId { value: key.into(), kind: Some("urn:swgw:party".into()) }];
        Party { key: party(key), name: key.into(), ids, plays: Some(plays), ..like }
    };
    let practice = |key: &str, of: &str, id: &str| {
        let like = world.registry.agreement(&cpa(of)).expect("is agreed").clone();
        let partner_ids = world.registry.party(&party(of)).map(|party| party.ids.clone());
        let partner_ids = match key == of {
            true => partner_ids.expect("is registered"),
            false => vec![PartyId { value: key.into(), kind: Some("urn:swgw:party".into()) }],
        };
        Agreement { cpa_id: cpa(id), partner: party(key), partner_ids, practice: true, ..like }
    };
    let more = [
        plays(PLAYER, AGENCIES[0].1, Plays::OtherAgencies),
        plays(PRACTICE_CUSTOMS, CUSTOMS, Plays::Customs),
    ];
    let agreements = [
        practice(PLAYER, AGENCIES[0].1, PLAYER),
        practice(PRACTICE_CUSTOMS, CUSTOMS, PRACTICE_CUSTOMS),
        practice(BROKER, BROKER, REHEARSAL),
    ];
    let parties = world.registry.parties().cloned().chain(more).collect::<Vec<_>>();
    let agreements = world.registry.agreements().cloned().chain(agreements).collect::<Vec<_>>();
    world.registry = Registry::new(parties, agreements);
    world.rules = rules;
    world
}

/// The document with FunctionCode 53.
fn test(document: Document) -> Document {
    match document {
        Document::Declaration(document) => {
            Document::Declaration(Declaration { function: Realm::TEST.into(), ..document })
        }
        Document::Application(document) => {
            Document::Application(ApplicationDocument { function: Realm::TEST.into(), ..document })
        }
        other => other,
    }
}

/// The same message under the agreement for practice.
fn rehearsed(posted: &Posted) -> Posted {
    posted.with(|message| message.header.cpa_id = cpa(REHEARSAL))
}

/// Lodges herbs with three applications, as practice by FunctionCode or not.
fn lodge(world: &mut World, id: &str, practice: bool) -> Posted {
    let mut documents = vec![declaration(DECLARATION)];
    documents.extend((0..3).map(|agency| application(agency, &format!("APP-{agency}"))));
    if practice {
        documents[0] = test(documents[0].clone());
    }
    let posted = world.message(BROKER, id, "ImportClearance", "GOVCBR929", documents);
    world.post(&posted);
    world.deliver();
    assert!(world.stored(&posted).expect("is kept").accepted, "{:?}", world.stored(&posted));
    posted
}

fn case_in(world: &World, realm: Realm) -> Option<Case> {
    let key = CorrelationKey::Declaration(DECLARATION.into());
    world.store.case(realm, &key).expect("the store reads").map(|case| case.value)
}

/// What an agency, or who plays it, says about an application.
fn decided(world: &World, from: &str, id: &str, about: (usize, &str), outcome: Outcome) -> Posted {
    let (agency, number) = about;
    let document = result(agency, &format!("R-{id}"), Some(number), outcome);
    let action = document.code.to_string();
    world.message(from, id, "RequirementVerification", &action, vec![Document::Result(document)])
}

fn change(world: &World, id: &str, action: &str, with: Vec<Document>) -> Posted {
    let change = Document::Change(DeclarationChange {
        code: code(action),
        number: id.into(),
        issued_at: world.now,
        declaration: DECLARATION.into(),
        sequence: (action == "GOVCBR5FE").then_some(1),
        reason: (action == "GOVCBR5BF").then(|| "84".into()),
        text: None,
    });
    let documents = std::iter::once(change).chain(with).collect();
    world.message(BROKER, id, "ImportClearance", action, documents)
}

/// Who has been owed something, each once.
fn addressees(world: &World, realm: Realm) -> Vec<String> {
    let of_realm = world.deliveries().into_iter().filter(|delivery| delivery.realm == realm);
    let mut all: Vec<_> = of_realm.map(|delivery| delivery.destination.to_string()).collect();
    all.sort();
    all.dedup();
    all
}

#[test]
fn the_same_numbers_in_both_realms_never_meet() {
    let mut world = world();
    lodge(&mut world, "production", false);
    let practice = lodge(&mut world, "practice", true);
    let production = case_in(&world, Realm::Production).expect("is lodged");
    assert_ne!(production.id, case_in(&world, Realm::Practice).expect("is lodged").id);
    let agencies = AGENCIES.map(|(_, key, _)| key.to_owned());
    assert_eq!(addressees(&world, Realm::Production), [&agencies[..], &[CUSTOMS.to_owned()]].concat());
    assert_eq!(addressees(&world, Realm::Practice), [PLAYER, PRACTICE_CUSTOMS]);

    for (agency, outcome) in [(0, Outcome::Rejected), (1, Outcome::Approved), (2, Outcome::Approved)] {
        let posted =
            decided(&world, PLAYER, &format!("p{agency}"), (agency, &format!("APP-{agency}")), outcome);
        world.post(&posted);
        assert!(world.stored(&posted).expect("is kept").accepted);
    }
    let mut dismissed = from_customs(&world, "dismissed", "GOVCBRR21", "02");
    dismissed.sender = party(PRACTICE_CUSTOMS);
    let dismissed = dismissed.with(|message| message.header.cpa_id = cpa(PRACTICE_CUSTOMS));
    world.post(&dismissed);
    let rehearsal = case_in(&world, Realm::Practice).expect("is lodged");
    assert_eq!(rehearsal.state, CaseState::Dismissed);
    assert_eq!(
        case_in(&world, Realm::Production),
        Some(production.clone()),
        "nothing of production was touched"
    );
    world.deliver();

    // Reports say what they are, and go where the broker rehearses.
    let to_broker = |d: &&Delivery| d.realm == Realm::Practice && d.destination.as_str() == BROKER;
    let deliveries = world.deliveries();
    let reports: Vec<_> = deliveries.iter().filter(to_broker).collect();
    assert!(reports.iter().all(|delivery| delivery.cpa_id == cpa(REHEARSAL)), "{reports:?}");
    let made = reports.iter().filter_map(|delivery| match &delivery.parts[0].source {
        PartSource::Made(text) => Some(text),
        _ => None,
    });
    let made: Vec<_> = made.collect();
    assert!(made.iter().all(|text| text.contains("<FunctionCode>53</FunctionCode>")) && !made.is_empty());

    // Lists, look-ups and figures are of one realm.
    let list = |realm| {
        let filter = CaseFilter { realm, ..CaseFilter::default() };
        world
            .store
            .cases(&filter, 9)
            .expect("reads")
            .items
            .into_iter()
            .map(|case| case.id)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(Realm::Production), std::slice::from_ref(&production.id));
    assert_eq!(list(Realm::Practice), std::slice::from_ref(&rehearsal.id));
    let named = |realm, text: &str| world.store.named_cases(realm, text, 9).expect("reads");
    assert_eq!(named(Realm::Production, DECLARATION), [production.id]);
    assert_eq!(named(Realm::Production, practice.key().message_id.as_str()), []);
    assert_eq!(named(Realm::Production, "R-p0"), []);
    assert_eq!(named(Realm::Practice, "R-p0"), [rehearsal.id]);
    let counted = |realm| {
        let zone = world.rules.time_zone().clone();
        let mut statistics = Statistics::new(vec![Dimension::Agency], zone);
        let until = world.now.plus(std::time::Duration::from_secs(1));
        let opened = Opened { realm, from: Timestamp::EPOCH, until, submitter: None };
        world.store.each_case(&opened, &mut |case| statistics.add(&case)).expect("reads");
        statistics.rows().iter().map(|row| (row.applications, row.decided)).collect::<Vec<_>>()
    };
    assert_eq!(counted(Realm::Production), [(1, 0); 3]);
    assert_eq!(counted(Realm::Practice), [(1, 1); 3]);
    world.check_laws();
}

#[test]
fn what_crosses_between_the_realms_is_turned_away_with_a_reason() {
    let mut world = world();
    // One declaration in production, another one of the same broker in practice.
    lodge(&mut world, "production", false);
    let documents = vec![test(declaration("1234509000018X")), test(application(0, "APP-P"))];
    let practice = world.message(BROKER, "practice", "ImportClearance", "GOVCBR929", documents);
    world.post(&practice);
    world.deliver();
    let sent = |realm, action: &str| {
        let deliveries = world.deliveries();
        let found = deliveries.iter().find(|d| d.realm == realm && &*d.action == action);
        found.expect(action).message_id.clone()
    };
    let (in_production, in_practice) =
        (sent(Realm::Production, "GOVCBRX01"), sent(Realm::Practice, "GOVCBRX01"));
    let to_production = || Some(in_production.clone());
    let to_practice = || Some(in_practice.clone());
    let lodged = world.message(BROKER, "again", "ImportClearance", "GOVCBR929", vec![declaration("N-2")]);
    let mixed = vec![declaration("N-3"), test(application(0, "APP-M"))];
    let mixed = world.message(BROKER, "mixed", "ImportClearance", "GOVCBR929", mixed);
    let late = vec![test(application(0, "APP-L"))];
    let late = world.message(BROKER, "late", "RequirementVerification", "GOVCBRX01", late);
    let late = late.with(|message| {
        message.header.conversation_id = ConversationId::new("of-production").expect("an id");
    });
    let query = |id: &str, asks| {
        let query = Query { number: id.into(), issued_at: world.now, asks };
        world.message(BROKER, id, "Status", "GOVCBRXS1", vec![Document::Query(query)])
    };
    let again = rehearsed(&query("q-again", Asked::Redelivery(in_production.clone())));
    let status = rehearsed(&query("q-status", Asked::Status("APP-0".into())));
    let hidden = query("q-hidden", Asked::Status("APP-P".into()));
    let mut cleared = from_customs(&world, "cleared", "GOVCBR023", "13");
    cleared.sender = party(PRACTICE_CUSTOMS);
    let cleared = cleared.with(|message| message.header.cpa_id = cpa(PRACTICE_CUSTOMS));
    let agency = AGENCIES[0].1;
    let refer = |posted: Posted, to: Option<MessageId>| {
        posted.with(|message| message.header.data.ref_to_message_id = to)
    };
    let result =
        |from: &str, id: &str, number: &str| decided(&world, from, id, (0, number), Outcome::Approved);
    let strays = "and its RefToMessageId names a message of";
    let table = [
        (refer(result(agency, "a1", "APP-P"), to_practice()), strays),
        (refer(result(PLAYER, "a2", "APP-0"), to_production()), strays),
        (result(PLAYER, "a3", "APP-0"), "in practice, a result for no application that we know"),
        (cleared, "which nobody lodged here"),
        (rehearsed(&change(&world, "w1", "GOVCBR5BF", Vec::new())), "you have lodged no declaration"),
        (refer(rehearsed(&change(&world, "w2", "GOVCBR5BF", Vec::new())), to_production()), strays),
        (refer(lodged, Some(practice.key().message_id)), strays),
        (mixed, "FunctionCode 53, test, in a message that is no practice"),
        (late, "no case of this sender has this ConversationId"),
        (again, "nothing was sent to you under MessageId"),
        (status, "no case of yours is known by APP-0"),
        (hidden, "no case of yours is known by APP-P"),
    ];
    let cases = |world: &World| {
        let every = [Realm::Production, Realm::Practice].map(|realm| {
            let filter = CaseFilter { realm, ..CaseFilter::default() };
            let listed = world.store.cases(&filter, 9).expect("reads").items;
            listed
                .iter()
                .map(|c| world.store.case(realm, &CorrelationKey::Case(c.id.clone())))
                .map(|c| c.expect("reads"))
                .collect::<Vec<_>>()
        });
        every.concat()
    };
    let before = cases(&world);
    for (posted, expected) in table {
        world.post(&posted);
        let stored = world.stored(&posted).expect("it is kept");
        assert!(!stored.accepted || stored.quarantined, "{expected}: {stored:?}");
        assert!(stored.reason.contains(expected), "{} has no {expected:?}", stored.reason);
    }
    assert_eq!(cases(&world), before, "no case of either realm has changed");
    world.check_laws();
}

#[test]
fn a_rehearsal_can_do_all_that_a_case_can() {
    // Under an agreement for practice nothing else is needed; under the usual one RefToMessageId names the rehearsal.
    for under_agreement in [true, false] {
        let mut world = world();
        lodge(&mut world, "production", false);
        let production = case_in(&world, Realm::Production);
        let documents = vec![declaration(DECLARATION), application(0, "APP-0"), application(1, "APP-1")];
        let first = match under_agreement {
            true => rehearsed(&world.message(BROKER, "p", "ImportClearance", "GOVCBR929", documents)),
            false => {
                let documents = documents.into_iter().map(test).collect();
                world.message(BROKER, "p", "ImportClearance", "GOVCBR929", documents)
            }
        };
        world.post(&first);
        let about = |posted: &Posted| match under_agreement {
            true => rehearsed(posted),
            false => posted.in_answer_to(&first.key().message_id),
        };
        let accepted = |world: &mut World, posted: &Posted| {
            let posted = about(posted);
            world.post(&posted);
            let stored = world.stored(&posted).expect("is kept");
            assert!(stored.accepted && stored.realm.is_practice(), "{stored:?}");
            world.deliver();
        };
        let late = world.message(
            BROKER,
            "late",
            "RequirementVerification",
            "GOVCBRX03",
            vec![application(2, "APP-2")],
        );
        accepted(&mut world, &late);
        let Document::Application(cancelled) = application(1, "APP-1") else { panic!("it is one") };
        let cancelled = ApplicationDocument { function: "1".into(), reason: Some("no".into()), ..cancelled };
        let cancelled = vec![Document::Application(cancelled)];
        let cancelled = world.message(BROKER, "cancel", "RequirementVerification", "GOVCBRX02", cancelled);
        accepted(&mut world, &cancelled);
        let query =
            Query { number: "Q".into(), issued_at: world.now, asks: Asked::Status(DECLARATION.into()) };
        let query = world.message(BROKER, "query", "Status", "GOVCBRXS1", vec![Document::Query(query)]);
        accepted(&mut world, &query);
        let Document::Declaration(amended) = declaration(DECLARATION) else { panic!("it is one") };
        let amended = Declaration { function: "5".into(), ..amended };
        let amendment = change(&world, "amend", "GOVCBR5FE", vec![Document::Declaration(amended)]);
        accepted(&mut world, &amendment);
        let withdrawal = change(&world, "withdraw", "GOVCBR5BF", Vec::new());
        accepted(&mut world, &withdrawal);
        let rehearsal = case_in(&world, Realm::Practice).expect("is lodged");
        assert_eq!((rehearsal.state, rehearsal.revision), (CaseState::Withdrawn, 2));
        assert_eq!(case_in(&world, Realm::Production), production);
        assert_eq!(addressees(&world, Realm::Practice), [PLAYER, BROKER, PRACTICE_CUSTOMS]);
        world.check_laws();
    }
}

#[test]
fn without_anybody_to_rehearse_with_nothing_is_lodged() {
    let mut alone = World::new();
    let documents = vec![test(declaration(DECLARATION))];
    let posted = alone.message(BROKER, "p", "ImportClearance", "GOVCBR929", documents.clone());
    let told = refusal(&posted, &mut alone);
    assert!(told.contains("no partners are set up here to rehearse with"), "{told}");

    let mut world = world();
    let only_some = world.registry.parties().cloned().map(|mut party| {
        if party.plays == Some(Plays::OtherAgencies) {
            party.plays = Some(Plays::Agencies(vec!["KFDA".parse().expect("a code")]));
        }
        party
    });
    let only_some = only_some.collect::<Vec<_>>();
    world.registry = Registry::new(only_some, world.registry.agreements().cloned().collect::<Vec<_>>());
    let posted = world.message(BROKER, "p", "ImportClearance", "GOVCBR929", documents);
    let told = refusal(&posted, &mut world);
    assert!(told.contains("nobody plays NPQS in practice here"), "{told}");
    assert_eq!(world.owed(), []);
}

#[test]
fn a_hosted_agency_is_played_by_somebody_with_a_system() {
    let mut world = world();
    for (_, key, _) in AGENCIES {
        world.agree(key, |agreement| {
            agreement.hosted = true;
            agreement.endpoint = None;
        });
    }
    lodge(&mut world, "practice", true);
    assert_eq!(addressees(&world, Realm::Practice), [PLAYER, PRACTICE_CUSTOMS]);
}

#[test]
fn a_bank_of_production_hears_of_no_rehearsal() {
    let mut world = world();
    let lodged = lodge(&mut world, "practice", true);
    let price =
        || Money { amount: "30000".parse().expect("a number"), currency: "KRW".parse().expect("a currency") };
    let account = || BankAccount { name: "somebody".into(), account: "011-17".into() };
    let fee = Document::FeeNotice(FeeNotice {
        number: "F-1".into(),
        issued_at: world.now,
        application: "APP-0".into(),
        price: price(),
        payee: account(),
        due_by: world.now.plus(std::time::Duration::from_secs(86_400)),
        reason: "a rehearsal".into(),
    });
    let posted = world.message(PLAYER, "fee", "Payment", "GOVCBRXF1", vec![fee]);
    world.post(&posted);
    let order = |world: &World, id: &str| {
        let order = Document::PaymentOrder(PaymentOrder {
            number: id.into(),
            issued_at: world.now,
            application: "APP-0".into(),
            fee: "F-1".into(),
            price: price(),
            payer: account(),
        });
        let posted = world.message(BROKER, id, "Payment", "GOVCBRXF2", vec![order]);
        posted.in_answer_to(&lodged.key().message_id)
    };
    let told = refusal(&order(&world, "PO-1"), &mut world);
    assert!(told.contains("no bank here to rehearse with"), "{told}");

    world.practice_payment = Some(bank("practice"));
    let posted = order(&world, "PO-2");
    world.post(&posted);
    let due = world.store.scheduled_payments(9).expect("the store reads").remove(0);
    // As it stands the bank of production is not asked for it, nor is that of practice for production.
    let actions = world.actions(&Event::PaymentDue(due.id));
    let realms: Vec<_> = actions
        .iter()
        .filter_map(|action| match action {
            Action::Charge { realm, .. } => Some(*realm),
            _ => None,
        })
        .collect();
    assert_eq!(realms, [Realm::Practice]);
    world.check_laws();
}

#[test]
fn approvals_of_the_realms_never_meet() {
    let mut world = world();
    let cites = |number: &str, practice: bool, quantity: &str| {
        let lines: [Line<'_>; 1] = [(POTATOES, &[("05", "A-1", quantity)])];
        let document = declared(number, "9", &lines);
        if practice { test(document) } else { document }
    };
    let lodged = |world: &mut World, id: &str, document: Document| {
        let realm = if id.starts_with('p') { Realm::Practice } else { Realm::Production };
        let Document::Declaration(declaration) = &document else { panic!("it is one") };
        let key = CorrelationKey::Declaration(declaration.number.clone());
        let number = if realm.is_practice() { "APP-P" } else { "APP-D" };
        let documents = vec![document, application(0, &format!("{number}-{id}"))];
        let posted = world.message(BROKER, id, "ImportClearance", "GOVCBR929", documents);
        world.post(&posted);
        world.deliver();
        world.store.case(realm, &key).expect("the store reads").expect("it is lodged").value
    };
    let answered = |world: &mut World, case: &Case, id: &str, outcome, quantity: &str| {
        let application = &case.applications[0];
        let mut document = result(0, id, application.number.as_deref(), outcome);
        document.issued_at = world.now;
        document.items = vec![ResultItem {
            sequence: 1,
            outcome,
            approval: Some("A-1".into()),
            laws: Vec::new(),
            quantity: Some(decimal(quantity)),
            unit: Some("KGM".into()),
            reason: None,
        }];
        let from = application.party.to_string();
        let documents = vec![Document::Result(document)];
        let posted = world.message(&from, id, "RequirementVerification", "GOVCBRX51", documents);
        world.post(&posted.in_answer_to(application.sent_as.as_ref().expect("it was sent")));
        world.deliver();
    };
    let of = |world: &World, realm| -> Vec<Approval> {
        let needs = Needs { realm, approvals: ["A-1".into()].into(), ..Needs::default() };
        let found = world.store.load(&needs).expect("the store reads").approvals;
        found.into_values().map(|found| found.value).collect()
    };
    // Approved in production: a rehearsal that cites it rests on nothing.
    let first = lodged(&mut world, "d1", cites("D1", false, "1000"));
    answered(&mut world, &first, "R-1", Outcome::Approved, "1000");
    let production = of(&world, Realm::Production);
    assert_eq!((production.len(), of(&world, Realm::Practice).len()), (1, 0));
    let rehearsal = lodged(&mut world, "p1", cites("D1", true, "100"));
    assert_eq!((rehearsal.held.len(), rehearsal.unverified.len()), (0, 1));
    // Approved in practice, under the same number: each realm has its own, and uses its own.
    answered(&mut world, &rehearsal, "R-1", Outcome::Approved, "5000");
    assert_eq!(of(&world, Realm::Production), production);
    assert_eq!(of(&world, Realm::Practice).len(), 1);
    let rests = lodged(&mut world, "p2", cites("D2", true, "4000"));
    assert_eq!((rests.state, rests.held.len()), (CaseState::Ready, 1));
    assert_eq!(of(&world, Realm::Production), production);
    let practice = of(&world, Realm::Practice);
    let too_much = lodged(&mut world, "d3", cites("D3", false, "1000"));
    assert_eq!(too_much.held, [], "5000 are approved in practice only");
    let real = lodged(&mut world, "d2", cites("D2", false, "400"));
    assert_eq!((real.state, real.held.len()), (CaseState::Ready, 1));
    assert_eq!(of(&world, Realm::Practice), practice);
    // Taken back in practice: the rehearsal is reopened, production does not move.
    let production = of(&world, Realm::Production);
    world.pass(60);
    answered(&mut world, &rehearsal, "R-2", Outcome::Revoked, "5000");
    world.keep_agenda();
    let key = CorrelationKey::Declaration("D2".into());
    let state =
        |realm| world.store.case(realm, &key).expect("the store reads").expect("is lodged").value.state;
    let states = [Realm::Practice, Realm::Production].map(state);
    assert_eq!(states, [CaseState::Collecting, CaseState::Ready]);
    assert_eq!(of(&world, Realm::Production), production);
    world.check_laws();
}
