//! One history: drawn from a seed, told to the world and to the model, compared after every event.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::super::{Event, Reply, decide, needs};
use super::super::cases::result;
use super::super::world::*;
use super::model::{Model, Named, Verdict};
use crate::model::*;

/// A move of an application or a case, from one state to another.
pub(super) type Move = (&'static str, &'static str, &'static str);

const OUTCOMES: [Outcome; 7] = [
    Outcome::Approved,
    Outcome::Approved,
    Outcome::ApprovedConditional,
    Outcome::Rejected,
    Outcome::Revoked,
    Outcome::Cancelled,
    Outcome::NotApplicable,
];
const NOTICES: [(NoticeKind, Option<&str>); 8] = [
    (NoticeKind::Error, Some("error")),
    (NoticeKind::Accepted, Some("accepted")),
    (NoticeKind::UnderReview, Some("under_review")),
    (NoticeKind::DocumentsRequested, Some("documents_requested")),
    (NoticeKind::SupplementRequested, Some("supplement_requested")),
    (NoticeKind::InspectionOrdered, Some("inspection_ordered")),
    (NoticeKind::FeeRequested, Some("fee_requested")),
    (NoticeKind::CustomsDone, None),
];

/// Numbers from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("below a small bound")
    }

    fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

pub(super) struct Player {
    seed: u64,
    chance: Chance,
    world: World,
    model: Model,
    /// When the case was lodged: issue times are minutes after it.
    start: Timestamp,
    /// What was posted, to be posted again.
    posted: Vec<Posted>,
    history: Vec<String>,
    moves: BTreeSet<Move>,
    /// States before the event, of the case and of its applications.
    before: (&'static str, Vec<&'static str>),
    next: usize,
}

impl Player {
    /// A lodging of one or two lines, with some of its documents missing.
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let mut world = World::new();
        let items: BTreeSet<u16> = (1..=1 + u16::from(chance.one_in(2))).collect();
        let enclosed: Vec<bool> = AGENCIES.iter().map(|_| !chance.one_in(5)).collect();
        let mut documents = vec![declaration(&items)];
        for agency in (0..AGENCIES.len()).filter(|agency| enclosed[*agency]) {
            documents.push(Document::Application(application(agency, &items, "9")));
        }
        let lodging = world.message(BROKER, "lodging", "ImportClearance", "GOVCBR929", documents);
        assert!(matches!(world.post(&lodging), Some(Reply::Message(_))), "seed {seed}");
        let start = world.now;
        let model = Model::lodged(&AGENCIES.map(|_| items.clone()), &enclosed);
        let mut player = Self {
            seed,
            chance,
            world,
            model,
            start,
            posted: vec![lodging],
            history: vec![format!("{} line(s), enclosed {enclosed:?}", items.len())],
            moves: BTreeSet::new(),
            before: ("", Vec::new()),
            next: 0,
        };
        player.compare();
        player
    }

    /// The whole history; what moved in it.
    pub(super) fn play(mut self) -> BTreeSet<Move> {
        for _ in 0..4 + self.chance.below(16) {
            self.event();
            self.compare();
        }
        self.world.deliver();
        self.compare();
        self.world.check_laws();
        let owed = self.world.owed();
        for to in [CUSTOMS, BROKER] {
            let relayed = owed.iter().filter(|(party, action)| party == to && action.contains("X5")).count();
            assert_eq!(relayed, self.model.relayed, "results relayed to {to}\n{}", self.told());
        }
        self.moves
    }

    fn event(&mut self) {
        self.next += 1;
        let agency = self.chance.below(AGENCIES.len());
        match self.chance.below(24) {
            0..=4 => self.notice(agency),
            5..=12 => self.result(agency),
            13 => self.again(),
            14 => self.late(agency),
            15 | 16 => self.further(agency, "5"),
            17 => self.further(agency, "1"),
            18 => self.withdraw(),
            19 => self.customs(),
            20 | 21 => self.clock(),
            _ => {
                self.history.push("everything is delivered".into());
                self.world.deliver();
                self.model.acknowledge();
            }
        }
    }

    fn notice(&mut self, agency: usize) {
        let (kind, state) = self.chance.of(&NOTICES);
        let issued = self.issued();
        let Some((named, sent)) = self.named(agency) else { return };
        self.history.push(format!("{agency} notice {kind:?} at {issued} about {named:?}"));
        let action = if kind == NoticeKind::Error { "GOVCBRRBG" } else { "GOVCBRRBH" };
        let document = Document::Notice(NoticeDocument {
            code: code(action),
            number: self.id().into(),
            issued_at: self.at(issued),
            application: Some(number(agency).into()),
            notice: kind,
            acceptance_number: None,
            deadline: None,
            remarks: None,
        });
        let posted = self.of_agency(agency, action, document, sent);
        self.model.notice(agency, named, state, issued);
        self.post(posted, Verdict::Accepted);
    }

    fn result(&mut self, agency: usize) {
        let issued = self.issued();
        let Some((named, sent)) = self.named(agency) else { return };
        let whole = self.chance.of(&OUTCOMES);
        let mut items: BTreeMap<u16, Outcome> = BTreeMap::new();
        if self.chance.one_in(3) {
            let last = if self.chance.one_in(8) { 9 } else { 2 };
            for item in 1..=last {
                if self.chance.one_in(2) {
                    items.insert(item, self.chance.of(&OUTCOMES));
                }
            }
        }
        let until = self.chance.one_in(3).then(|| issued + 30);
        let name = self.id();
        self.history
            .push(format!("{agency} result {whole:?} {items:?} at {issued} until {until:?} about {named:?}"));
        let mut document = result(agency, &name, Some(&number(agency)), whole);
        document.issued_at = self.at(issued);
        document.valid_until = until.map(|minute| self.at(minute));
        document.items = items
            .iter()
            .map(|(item, outcome)| ResultItem {
                sequence: *item,
                outcome: *outcome,
                approval: None,
                quantity: None,
                reason: None,
            })
            .collect();
        let action = document.code.to_string();
        let posted = self.of_agency(agency, &action, Document::Result(document), sent);
        let items = items.into_iter().map(|(item, outcome)| (item, outcome.as_str())).collect();
        let verdict = self.model.result(agency, named, issued, whole.as_str(), &items, until);
        self.post(posted, verdict);
    }

    /// A message once more, or a known document under a new MessageId.
    fn again(&mut self) {
        let posted = self.chance.below(self.posted.len());
        let posted = self.posted[posted].clone();
        self.history.push(format!("again {}", posted.message.header.data.message_id));
        let before = (self.world.case(), self.world.owed().len());
        if self.chance.one_in(2) {
            self.world.post(&posted);
        } else if matches!(posted.documents.parts(), [part] if is_result(part)) {
            let id = MessageId::new(format!("again-{}@agency", self.next)).expect("a MessageId");
            self.world.post(&posted.with(|message| message.header.data.message_id = id));
        }
        let after = (self.world.case(), self.world.owed().len());
        assert!(before == after, "a repeat changed something\n{}", self.told());
    }

    fn late(&mut self, agency: usize) {
        self.history.push(format!("{agency} the missing document"));
        let document = application(agency, &self.model.applications[agency].items, "9");
        let verdict = self.model.late(agency);
        self.of_broker(document, verdict);
    }

    fn further(&mut self, agency: usize, function: &str) {
        self.history.push(format!("{agency} FunctionCode {function}"));
        let document = application(agency, &self.model.applications[agency].items, function);
        let verdict = match function {
            "1" => self.model.cancel(agency),
            _ => self.model.replace(agency),
        };
        self.of_broker(document, verdict);
    }

    fn withdraw(&mut self) {
        if !self.chance.one_in(2) {
            return;
        }
        self.history.push("withdrawal".into());
        let document = Document::Change(DeclarationChange {
            code: code("GOVCBR5BF"),
            number: self.id().into(),
            issued_at: self.world.now,
            declaration: DECLARATION.into(),
            sequence: None,
            reason: Some("84".into()),
            text: None,
        });
        let posted = self.world.message(BROKER, &self.id(), "ImportClearance", "GOVCBR5BF", vec![document]);
        let verdict = self.model.withdraw();
        self.post(posted, verdict);
    }

    fn customs(&mut self) {
        let (action, status, end) = self.chance.of(&[
            ("GOVCBR023", "13", Some("cleared")),
            ("GOVCBRR21", "04", Some("dismissed")),
            ("GOVCBR023", "11", None),
            ("GOVCBR5GZ", "18", None),
            ("GOVCBR5BG", "08", None),
        ]);
        self.history.push(format!("customs {action} {status}"));
        let document = Document::Customs(CustomsNotice {
            code: code(action),
            number: self.id().into(),
            issued_at: self.world.now,
            declaration: DECLARATION.into(),
            status: Some(status.into()),
            remarks: None,
        });
        let posted = self.world.message(CUSTOMS, &self.id(), "ImportClearance", action, vec![document]);
        if let Some(end) = end {
            self.model.finish(end);
        }
        self.post(posted, Verdict::Accepted);
    }

    /// The clock steps forward or back, and a timer asks what has lapsed.
    fn clock(&mut self) {
        self.world.deliver();
        self.model.acknowledge();
        let seconds = self.chance.below(120 * 60) as u64;
        let back = self.chance.one_in(4);
        self.world.now = if back {
            self.world.now.minus(Duration::from_secs(seconds / 8)).max(self.start)
        } else {
            self.world.now.plus(Duration::from_secs(seconds))
        };
        let millis = self.world.now.as_millis() - self.start.as_millis();
        self.history
            .push(format!("everything is delivered; the clock says {} s, and time is asked", millis / 1000));
        let event = Event::CaseDue(self.world.case().id);
        self.world.drive(&event);
        // As all that time brings, it waits for an hour.
        self.model.lapse((millis - 3_600_000).div_euclid(60_000));
    }

    /// What the agency answers: which message of ours, and under which name.
    fn named(&mut self, agency: usize) -> Option<(Named, Option<MessageId>)> {
        let case = self.world.case();
        let application = &case.applications[agency];
        let current = application.sent_as.clone()?;
        let cancellation = application.cancellation.as_ref().map(|c| c.message_id.clone());
        let former = application.former.first().cloned();
        Some(match (self.chance.below(6), former, cancellation) {
            (0, ..) => (Named::Nothing, None),
            (1, Some(former), _) => (Named::Older, Some(former)),
            (2, _, Some(cancellation)) => (Named::Cancellation, Some(cancellation)),
            _ => (Named::Newest, Some(current)),
        })
    }

    fn of_agency(&self, agency: usize, action: &str, document: Document, sent: Option<MessageId>) -> Posted {
        let posted = self.world.message(
            AGENCIES[agency].1,
            &self.id(),
            "RequirementVerification",
            action,
            vec![document],
        );
        match sent {
            Some(sent) => posted.in_answer_to(&sent),
            None => posted,
        }
    }

    fn of_broker(&mut self, document: ApplicationDocument, verdict: Verdict) {
        let action = document.code.to_string();
        let document = vec![Document::Application(document)];
        let posted = self.world.message(BROKER, &self.id(), "RequirementVerification", &action, document);
        self.post(posted, verdict);
    }

    /// Posts a message. Now and then the gateway dies between deciding and committing: that must leave no trace.
    fn post(&mut self, posted: Posted, verdict: Verdict) {
        if self.chance.one_in(4) {
            let event = Event::Arrived(Box::new(posted.arrival(self.world.now)));
            let view = crate::store::Store::load(&self.world.store, &needs(&event, &self.world.context()))
                .expect("the store loads");
            drop(decide(self.world.now, &event, &view, &self.world.context()));
        }
        self.world.post(&posted);
        let stored = self.world.stored(&posted).expect("it is kept, also when it is refused");
        let found = match (stored.accepted, stored.quarantined) {
            (true, false) => Verdict::Accepted,
            (false, _) => Verdict::Refused,
            (true, true) => Verdict::Quarantined,
        };
        assert_eq!(found, verdict, "{}\n{}", stored.reason, self.told());
        self.posted.push(posted);
    }

    /// The world and the model say the same.
    fn compare(&mut self) {
        let case = self.world.case();
        let states: Vec<_> = case.applications.iter().map(|a| a.state.as_str()).collect();
        let expected: Vec<_> = self.model.applications.iter().map(|a| a.state()).collect();
        assert_eq!((case.state.as_str(), &states), (self.model.state, &expected), "\n{}", self.told());
        for (at, (found, expected)) in case.applications.iter().zip(&self.model.applications).enumerate() {
            let outcomes: BTreeMap<_, _> =
                found.outcomes.iter().map(|(item, found)| (*item, found.outcome.as_str())).collect();
            let cancellation = found.cancellation.as_ref().map(|cancellation| cancellation.refused);
            assert_eq!(
                (outcomes, cancellation),
                (expected.outcomes(), expected.cancellation),
                "application {at}\n{}",
                self.told()
            );
        }
        let events = case.events.iter().filter_map(|event| {
            let what = match event.kind {
                EventKind::Overdue { .. } => return None,
                EventKind::FirstResult => "first",
                EventKind::AllCollected { favourable: true } => "all favourable",
                EventKind::AllCollected { favourable: false } => "all unfavourable",
                EventKind::Reopened => "reopened",
            };
            Some((event.revision, event.round, what.to_owned()))
        });
        assert_eq!(events.collect::<Vec<_>>(), self.model.told, "\n{}", self.told());
        assert_eq!((case.revision, case.round), (self.model.revision, self.model.round), "\n{}", self.told());
        let (before, were) = std::mem::replace(&mut self.before, (case.state.as_str(), states.clone()));
        if before != case.state.as_str() && !before.is_empty() {
            self.moves.insert(("case", before, case.state.as_str()));
        }
        let moved = were.into_iter().zip(states).filter(|(was, is)| was != is);
        self.moves.extend(moved.map(|(was, is)| ("application", was, is)));
    }

    fn told(&self) -> String {
        format!("seed {}:\n  {}", self.seed, self.history.join("\n  "))
    }

    fn id(&self) -> String {
        format!("m{}", self.next)
    }

    /// Agencies' clocks: a few minutes that overlap and repeat.
    fn issued(&mut self) -> i64 {
        i64::try_from(self.chance.below(12)).expect("small")
    }

    fn at(&self, minutes: i64) -> Timestamp {
        Timestamp::from_millis(self.start.as_millis() + minutes * 60_000)
    }
}

fn is_result(part: &super::super::super::PartContent) -> bool {
    matches!(part, super::super::super::PartContent::Document { document, .. } if matches!(**document, Document::Result(_)))
}

fn number(agency: usize) -> String {
    format!("APP-{agency}")
}

fn declaration(items: &BTreeSet<u16>) -> Document {
    let line = |item: &u16| DeclarationLine {
        sequence: *item,
        hs: "1211901000".parse().expect("an HS code"),
        origin: "CN".parse().ok(),
        usage: None,
        value: None,
        weight: None,
        requirements: Vec::new(),
        not_applicable: Vec::new(),
    };
    Document::Declaration(Declaration {
        number: DECLARATION.into(),
        function: "9".into(),
        importer: None,
        export_from: None,
        cargo: None,
        bills: Vec::new(),
        lines: items.iter().map(line).collect(),
        attachments: Vec::new(),
    })
}

fn application(agency: usize, items: &BTreeSet<u16>, function: &str) -> ApplicationDocument {
    let hs = "1211901000".parse().expect("an HS code");
    ApplicationDocument {
        code: code(&format!("GOVCBRX0{}", AGENCIES[agency].2)),
        number: number(agency).into(),
        function: function.into(),
        reason: None,
        items: items.iter().map(|item| ApplicationItem { sequence: *item, hs }).collect(),
        attachments: Vec::new(),
    }
}
