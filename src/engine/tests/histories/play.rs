//! One history: drawn from a seed, told to the world and to the model, compared after every event.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::super::super::{Event, Reply, decide, needs};
use super::super::cases::result;
use super::super::rules;
use super::super::world::*;
use super::model::{Answer, Lines, Model, Named, Rules, Verdict};
use crate::model::*;
use crate::routing::RuleSet;

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
pub(super) struct Chance(pub(super) u64);

impl Chance {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).expect("below a small bound")
    }

    pub(super) fn one_in(&mut self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    pub(super) fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

pub(super) struct Player {
    seed: u64,
    chance: Chance,
    world: World,
    model: Model,
    /// What the rules ask for now.
    rules: Rules,
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
    /// A lodging of one to three lines, with some of its documents missing.
    pub(super) fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let mut world = World::new();
        let lines: Lines = (1..=3).filter_map(|line| Some((line, chance.of(&GOODS)?))).collect();
        let lines = if lines.is_empty() { Lines::from([(1, HERBS)]) } else { lines };
        let mut model = Model::lodged(&lines, needs_at_first);
        let mut documents = vec![declaration(&lines, "9")];
        for at in 0..model.applications.len() {
            if !chance.one_in(5) {
                documents.push(Document::Application(application(&model, at, "9")));
                assert_eq!(model.original(at), Verdict::Accepted);
            }
        }
        let lodging = world.message(BROKER, "lodging", "ImportClearance", "GOVCBR929", documents);
        assert!(matches!(world.post(&lodging), Some(Reply::Message(_))), "seed {seed}");
        let start = world.now;
        let history = vec![format!("{lines:?}, enclosed {:?}", model.sent)];
        let mut player = Self {
            seed,
            chance,
            world,
            model,
            rules: needs_at_first,
            start,
            posted: vec![lodging],
            history,
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
        let count = |to: &str, kind: &str| {
            owed.iter().filter(|(party, action)| party == to && action.starts_with(kind)).count()
        };
        for to in [CUSTOMS, BROKER] {
            assert_eq!(count(to, "GOVCBRX5"), self.model.relayed, "results to {to}\n{}", self.told());
        }
        for (agency, (name, to, _)) in AGENCIES.into_iter().enumerate() {
            let sent = self.model.sent.get(&agency).copied().unwrap_or_default();
            assert_eq!(count(to, "GOVCBRX0"), sent, "documents to {name}\n{}", self.told());
        }
        self.moves
    }

    fn event(&mut self) {
        self.next += 1;
        match self.chance.below(26) {
            0..=4 => self.notice(),
            5..=12 => self.result(),
            13 => self.again(),
            14 => self.of_application("9"),
            15 | 16 => self.of_application("5"),
            17 => self.of_application("1"),
            18 => self.withdraw(),
            19 => self.customs(),
            20 | 21 => self.clock(),
            22..=24 => self.amend(),
            _ => {
                self.history.push("everything is delivered".into());
                self.world.deliver();
                self.model.acknowledge();
            }
        }
    }

    /// An application that the case has, if it has any.
    fn any(&mut self) -> Option<usize> {
        let all = self.model.applications.len();
        (all > 0).then(|| self.chance.below(all))
    }

    fn notice(&mut self) {
        let Some(at) = self.any() else { return };
        let (kind, state) = self.chance.of(&NOTICES);
        let issued = self.issued();
        let Some((named, sent)) = self.named(at) else { return };
        self.history.push(format!("{at} notice {kind:?} at {issued} about {named:?}"));
        let action = if kind == NoticeKind::Error { "GOVCBRRBG" } else { "GOVCBRRBH" };
        let document = Document::Notice(NoticeDocument {
            code: code(action),
            number: self.id().into(),
            issued_at: self.at(issued),
            application: Some(number(at).into()),
            notice: kind,
            acceptance_number: None,
            deadline: None,
            remarks: None,
        });
        let posted = self.of_agency(at, action, document, sent);
        self.model.notice(at, named, state, issued);
        self.post(posted, Verdict::Accepted);
    }

    fn result(&mut self) {
        let Some(at) = self.any() else { return };
        let agency = self.model.applications[at].agency;
        let issued = self.issued();
        let Some((named, sent)) = self.named(at) else { return };
        let whole = self.chance.of(&OUTCOMES);
        let mut items: BTreeMap<u16, Outcome> = BTreeMap::new();
        if self.chance.one_in(3) {
            let last = if self.chance.one_in(8) { 9 } else { 3 };
            for item in 1..=last {
                if self.chance.one_in(2) {
                    items.insert(item, self.chance.of(&OUTCOMES));
                }
            }
        }
        let until = self.chance.one_in(3).then(|| issued + 30);
        let name = self.id();
        self.history
            .push(format!("{at} result {whole:?} {items:?} at {issued} until {until:?} about {named:?}"));
        let mut document = result(agency, &name, Some(&number(at)), whole);
        document.issued_at = self.at(issued);
        document.valid_until = until.map(|minute| self.at(minute));
        document.items = items
            .iter()
            .map(|(item, outcome)| ResultItem {
                unit: None,
                laws: Vec::new(),
                sequence: *item,
                outcome: *outcome,
                approval: None,
                quantity: None,
                reason: None,
            })
            .collect();
        let action = document.code.to_string();
        let posted = self.of_agency(at, &action, Document::Result(document), sent);
        let items = items.into_iter().map(|(item, outcome)| (item, outcome.as_str())).collect();
        let answer = Answer { issued, whole: whole.as_str(), items, valid_until: until };
        let verdict = self.model.result(at, named, &answer);
        self.post(posted, verdict);
    }

    /// A message once more, or a result that was taken under a new MessageId.
    fn again(&mut self) {
        let posted = self.chance.below(self.posted.len());
        let posted = self.posted[posted].clone();
        self.history.push(format!("again {}", posted.message.header.data.message_id));
        let before = (self.world.case(), self.world.owed().len());
        if self.chance.one_in(2) {
            self.world.post(&posted);
        } else if self.world.stored(&posted).is_some_and(|stored| stored.accepted)
            && matches!(posted.documents.parts(), [part] if is_result(part))
        {
            let id = MessageId::new(format!("again-{}@agency", self.next)).expect("a MessageId");
            self.world.post(&posted.with(|message| message.header.data.message_id = id));
        }
        let after = (self.world.case(), self.world.owed().len());
        assert!(before == after, "a repeat changed something\n{}", self.told());
    }

    /// The broker sends a document for an application: the original, a new version, a cancellation.
    fn of_application(&mut self, function: &str) {
        let Some(at) = self.any() else { return };
        // What no rule asks for any more, and never came, would be a voluntary application: the model has none.
        if function == "9" && self.model.applications[at].would_be_voluntary() {
            return;
        }
        self.history.push(format!("{at} FunctionCode {function}"));
        let document = application(&self.model, at, function);
        let verdict = match function {
            "9" => self.model.original(at),
            "1" => self.model.cancel(at),
            _ => self.model.replace(at),
        };
        // An original that nobody waits for is a voluntary application under a number that is taken.
        self.of_broker(document, verdict);
    }

    /// An amendment, with some of the documents that it makes necessary, and now and then one that it does not.
    fn amend(&mut self) {
        let mut lines = self.model.lines.clone();
        for line in 1..=3 {
            match (self.chance.below(3), self.chance.of(&GOODS)) {
                (0, Some(goods)) => drop(lines.insert(line, goods)),
                (0, None) if lines.len() > 1 => drop(lines.remove(&line)),
                _ => {}
            }
        }
        if self.chance.one_in(4) {
            let (first, later) = &*RULES;
            (self.rules, self.world.rules) = if self.chance.one_in(2) {
                (needs_later as Rules, later.clone())
            } else {
                (needs_at_first as Rules, first.clone())
            };
        }
        let sequence = if self.chance.one_in(12) { 7 } else { self.model.revision };
        self.history.push(format!("amendment {sequence} to {lines:?}"));
        let mut amended = self.model.clone();
        let mut verdict = amended.amend(&lines, self.rules);
        let mut documents = vec![
            Document::Change(DeclarationChange {
                code: code("GOVCBR5FE"),
                number: self.id().into(),
                issued_at: self.world.now,
                declaration: DECLARATION.into(),
                sequence: Some(sequence),
                reason: None,
                text: Some("Found when the goods were carried in".into()),
            }),
            declaration(&lines, "5"),
        ];
        for at in 0..amended.applications.len() {
            let (is_missing, is_outdated) =
                (amended.applications[at].versions == 0, amended.applications[at].outdated);
            let wanted = amended.current(amended.applications[at].agency) == Some(at);
            if !wanted
                || self.chance.one_in(if is_missing || is_outdated { 3 } else { 1 }) && !self.chance.one_in(9)
            {
                continue;
            }
            let function = if is_missing { "9" } else { "5" };
            self.history.push(format!("  with {at} FunctionCode {function}"));
            documents.push(Document::Application(application(&amended, at, function)));
            let placed = if is_missing { amended.original(at) } else { amended.replace(at) };
            verdict = if placed == Verdict::Refused { placed } else { verdict };
        }
        let is_next = sequence == self.model.revision;
        if verdict == Verdict::Accepted && is_next {
            amended.amended();
            self.model = amended;
        }
        let verdict = if is_next { verdict } else { Verdict::Refused };
        let posted = self.world.message(BROKER, &self.id(), "ImportClearance", "GOVCBR5FE", documents);
        self.post(posted, verdict);
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
    fn named(&mut self, at: usize) -> Option<(Named, Option<MessageId>)> {
        let case = self.world.case();
        let application = &case.applications[at];
        if self.model.applications[at].versions == 0 {
            return None;
        }
        let cancellation = application.cancellation.as_ref().map(|c| c.message_id.clone());
        let former = application.former.first().cloned();
        Some(match (self.chance.below(6), former, cancellation) {
            (0, ..) => (Named::Nothing, None),
            (1, Some(former), _) => (Named::Older, Some(former)),
            (2, _, Some(cancellation)) => (Named::Cancellation, Some(cancellation)),
            _ => match application.sent_as.clone() {
                Some(current) => (Named::Newest, Some(current)),
                None => (Named::Nothing, None),
            },
        })
    }

    fn of_agency(&self, at: usize, action: &str, document: Document, sent: Option<MessageId>) -> Posted {
        let posted = self.world.message(
            AGENCIES[self.model.applications[at].agency].1,
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

/// An application is called by its place in the case.
fn number(at: usize) -> String {
    format!("APP-{at}")
}

const HERBS: &str = "1211901000";
const NUTS: &str = "0801110000";
const POTATOES: &str = "0701100000";
const SCREWS: &str = "7318150000";
/// What a line may be of, or that it is not there.
const GOODS: [Option<&str>; 5] = [Some(HERBS), Some(NUTS), Some(POTATOES), Some(SCREWS), None];

/// The rules that the world begins with.
fn needs_at_first(goods: &str) -> &'static [usize] {
    match goods {
        HERBS => &[0, 1, 2],
        NUTS => &[0, 1],
        POTATOES => &[0],
        _ => &[],
    }
}

/// The rules that are in force at times.
fn needs_later(goods: &str) -> &'static [usize] {
    match goods {
        HERBS => &[0, 1],
        NUTS => &[0, 1, 2],
        POTATOES => &[0],
        _ => &[],
    }
}

static RULES: LazyLock<(Arc<RuleSet>, Arc<RuleSet>)> = LazyLock::new(|| {
    let registry = World::new().registry;
    (rules::rules(&registry), rules::later_rules(&registry))
});

fn declaration(lines: &Lines, function: &str) -> Document {
    let line = |(sequence, hs): (&u16, &&str)| DeclarationLine {
        count: None,
        sequence: *sequence,
        hs: hs.parse().expect("an HS code"),
        origin: "CN".parse().ok(),
        usage: None,
        value: None,
        weight: None,
        requirements: Vec::new(),
        not_applicable: Vec::new(),
    };
    Document::Declaration(Declaration {
        number: DECLARATION.into(),
        function: function.into(),
        importer: None,
        export_from: None,
        cargo: None,
        bills: Vec::new(),
        lines: lines.iter().map(line).collect(),
        attachments: Vec::new(),
    })
}

/// A document for the application with this place in the case.
fn application(model: &Model, at: usize, function: &str) -> ApplicationDocument {
    let hs = HERBS.parse().expect("an HS code");
    let application = &model.applications[at];
    ApplicationDocument {
        code: code(&format!("GOVCBRX0{}", AGENCIES[application.agency].2)),
        number: number(at).into(),
        function: function.into(),
        reason: None,
        items: application.items.iter().map(|item| ApplicationItem { sequence: *item, hs }).collect(),
        attachments: Vec::new(),
    }
}
