//! Histories in which several declarations share approvals, and an account of them that is told a second time, from the
//! words of the domain brief (5.3, 8: rulings 13, 18 to 20). Nothing in the account comes from `crate::case`: what is
//! in force, and which charges are too many, is worked out anew each time.
//!
//! No application is ever sent here: a requirement is satisfied by an approval, or its application is blocked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::super::Event;
use super::super::approvals::{Line, POTATOES, amendment, customs, decimal, lodging, withdrawal};
use super::super::cases::result;
use super::super::world::*;
use super::play::Chance;
use crate::model::*;

const NUMBERS: [&str; 2] = ["A-0", "A-1"];
const DECLARATIONS: [&str; 4] = ["D0", "D1", "D2", "D3"];
/// How long an approval is still rested on when its validity is over, in minutes.
const SLACK: i64 = 60;

/// What a line cites: the approval, and how much it uses.
type Cited = Option<(usize, i64)>;

/// Something an agency said of an approval.
#[derive(Clone, Copy, Debug)]
struct Said {
    issued: i64,
    quantity: Option<i64>,
    until: Option<i64>,
}

#[derive(Clone, Debug, Default)]
struct Account {
    said: Vec<Said>,
    /// Its validity was noticed to be over; so many statements had been made then.
    lapsed: Option<usize>,
    /// What open declarations use: declaration, line, quantity; the oldest first.
    charges: Vec<(usize, u16, i64)>,
    spent: i64,
}

impl Account {
    /// The newest word; of equals the last to come.
    fn word(&self) -> Option<(usize, Said)> {
        let words = self.said.iter().copied().enumerate();
        words.max_by_key(|(order, said)| (said.issued, *order))
    }

    fn approved(&self) -> i64 {
        match self.word() {
            Some((order, said)) if self.lapsed != Some(order) => said.quantity.unwrap_or(0),
            _ => 0,
        }
    }

    fn left(&self) -> i64 {
        let charged: i64 = self.charges.iter().map(|(.., quantity)| quantity).sum();
        self.approved() - self.spent - charged
    }

    fn takes(&self, quantity: i64, now: i64) -> bool {
        let valid = self.word().is_some_and(|(_, said)| said.until.is_none_or(|until| now < until));
        valid && self.approved() > 0 && self.left() >= quantity
    }

    /// Which charges are more than is approved: each that does not fit behind those before it.
    fn too_many(&self) -> Vec<bool> {
        let mut left = (self.approved() - self.spent).max(0);
        let fits = |(.., quantity): &(usize, u16, i64)| {
            let fits = *quantity <= left;
            left -= if fits { *quantity } else { 0 };
            !fits
        };
        self.charges.iter().map(fits).collect()
    }

    fn marked(&self) -> Option<usize> {
        let marks = self.too_many();
        self.charges.iter().zip(marks).find(|(_, marked)| *marked).map(|((declaration, ..), _)| *declaration)
    }

    fn is_over(&self, now: i64) -> bool {
        let word = self.word().filter(|(order, said)| self.lapsed != Some(*order) && said.quantity.is_some());
        word.is_some_and(|(_, said)| said.until.is_some_and(|until| until + SLACK <= now))
    }
}

#[derive(Clone, Debug)]
struct Lodged {
    lines: BTreeMap<u16, Cited>,
    /// Lines that rest on what they cite.
    held: BTreeSet<u16>,
    state: &'static str,
    revision: u32,
    round: u32,
    told: Vec<(u32, u32, &'static str)>,
}

impl Lodged {
    fn is_open(&self) -> bool {
        matches!(self.state, "ready" | "collecting")
    }

    /// Counts what stands; `reopens` in this round when it is amended, else in the next.
    fn count(&mut self, amended: bool) {
        let now = if self.held.len() == self.lines.len() { "ready" } else { "collecting" };
        if self.state == "ready" && now == "collecting" {
            self.round += u32::from(!amended);
            self.told.push((self.revision, self.round, "reopened"));
        }
        if now == "ready" && !self.told.contains(&(self.revision, self.round, "all")) {
            self.told.push((self.revision, self.round, "all"));
        }
        self.state = now;
    }
}

#[derive(Clone, Debug, Default)]
struct Books {
    accounts: [Account; 2],
    lodged: BTreeMap<usize, Lodged>,
}

impl Books {
    /// A declaration as it is from now on: all that it used is free for it, and every line is tried in order.
    fn take(&mut self, declaration: usize, lines: &BTreeMap<u16, Cited>, now: i64) {
        let before = self.accounts.clone().map(|account| account.charges);
        for account in &mut self.accounts {
            account.charges.retain(|(of, ..)| *of != declaration);
        }
        let mut held = BTreeMap::new();
        for (line, cited) in lines {
            let Some((number, quantity)) = *cited else { continue };
            if self.accounts[number].takes(quantity, now) {
                self.accounts[number].charges.push((declaration, *line, quantity));
                held.insert(*line, (number, quantity));
            }
        }
        // A charge that is as it was keeps its place; new ones come last.
        for (number, before) in before.into_iter().enumerate() {
            let own =
                |line: u16| held.get(&line).filter(|(of, _)| *of == number).map(|(_, quantity)| *quantity);
            let mut charges: Vec<_> = before
                .into_iter()
                .filter(|(of, line, quantity)| *of != declaration || own(*line) == Some(*quantity))
                .collect();
            for line in lines.keys() {
                let charge = own(*line).map(|quantity| (declaration, *line, quantity));
                charges.extend(charge.filter(|charge| !charges.contains(charge)));
            }
            self.accounts[number].charges = charges;
        }
        let held: BTreeSet<u16> = held.into_keys().collect();
        let amended = self.lodged.contains_key(&declaration);
        let entry = self.lodged.entry(declaration).or_insert_with(|| Lodged {
            lines: BTreeMap::new(),
            held: BTreeSet::new(),
            state: "collecting",
            revision: 0,
            round: 1,
            told: Vec::new(),
        });
        entry.lines = lines.clone();
        entry.held = held;
        entry.revision += 1;
        entry.round = 1;
        entry.count(amended);
    }

    fn end(&mut self, declaration: usize, state: &'static str) {
        for account in &mut self.accounts {
            let own = account.charges.extract_if(.., |(of, ..)| *of == declaration);
            let used: i64 = own.map(|(.., quantity)| quantity).sum();
            account.spent += if state == "cleared" { used } else { 0 };
        }
        if let Some(lodged) = self.lodged.get_mut(&declaration) {
            lodged.state = state;
        }
    }

    /// Whether something is to be done about an approval by itself.
    fn is_due(&self, number: usize, now: i64) -> bool {
        let account = &self.accounts[number];
        account.marked().is_some() || !account.charges.is_empty() && account.is_over(now)
    }

    /// One commit of it.
    fn due(&mut self, number: usize, now: i64) {
        let account = &mut self.accounts[number];
        let next = account.marked();
        if account.is_over(now) {
            account.lapsed = account.word().map(|(order, _)| order);
        }
        let Some(declaration) = next else { return };
        let marks = account.too_many();
        let charges = account.charges.iter().zip(marks);
        let lost: BTreeSet<u16> = charges
            .filter(|((of, ..), marked)| *of == declaration && *marked)
            .map(|((_, line, _), _)| *line)
            .collect();
        account.charges.retain(|(of, line, _)| *of != declaration || !lost.contains(line));
        let lodged = self.lodged.get_mut(&declaration).expect("a charge is of a declaration");
        lodged.held.retain(|line| !lost.contains(line));
        lodged.count(false);
    }
}

pub(super) struct Player {
    seed: u64,
    chance: Chance,
    world: World,
    start: Timestamp,
    books: Books,
    posted: Vec<Posted>,
    history: Vec<String>,
    next: usize,
}

impl Player {
    pub(super) fn new(seed: u64) -> Self {
        let world = World::new();
        let start = world.now;
        Self {
            seed,
            chance: Chance(seed ^ 0x5EED),
            world,
            start,
            books: Books::default(),
            posted: Vec::new(),
            history: Vec::new(),
            next: 0,
        }
    }

    pub(super) fn play(mut self) {
        for _ in 0..8 + self.chance.below(24) {
            self.event();
            self.compare();
        }
        self.history.push("time is asked until nothing is due".into());
        while self.one_due() {
            self.compare();
        }
        for (declaration, lodged) in self.books.lodged.iter().filter(|(_, lodged)| lodged.is_open()) {
            for held in self.world.case_of(DECLARATIONS[*declaration]).held {
                let approval = self.world.approval(&held.approval.number);
                let in_force = approval.items.values().any(|item| item.outcome.is_approval());
                assert!(in_force, "{lodged:?} rests on what is over\n{}", self.told());
            }
        }
        self.world.check_laws();
    }

    fn event(&mut self) {
        self.next += 1;
        match self.chance.below(20) {
            0..=4 => self.state(),
            5..=9 => self.lodge(),
            10..=12 => self.amend(),
            13 => self.end(),
            14 => self.race(),
            15 => self.clock(),
            16 => self.again(),
            _ => drop(self.one_due()),
        }
    }

    fn now(&self) -> i64 {
        (self.world.now.as_millis() - self.start.as_millis()) / 60_000
    }

    /// The agency states an approval, takes it back, or states it anew.
    fn state(&mut self) {
        let number = self.chance.below(NUMBERS.len());
        let issued = i64::try_from(self.chance.below(12)).expect("small");
        let outcome = self.chance.of(&[
            Outcome::Approved,
            Outcome::Approved,
            Outcome::ApprovedConditional,
            Outcome::Approved,
            Outcome::Revoked,
            Outcome::Rejected,
        ]);
        let quantity = outcome.is_approval().then(|| self.chance.of(&[300, 600, 1000]));
        let until = (outcome.is_approval() && self.chance.one_in(3)).then(|| issued + 90);
        self.history
            .push(format!("{} is {outcome:?} at {issued}: {quantity:?} until {until:?}", NUMBERS[number]));
        let name = format!("S{}", self.next);
        let at = |minute: i64| Timestamp::from_millis(self.start.as_millis() + minute * 60_000);
        let mut document = result(0, &name, None, outcome);
        document.issued_at = at(issued);
        document.valid_until = until.map(at);
        document.items = vec![ResultItem {
            sequence: 1,
            outcome,
            approval: Some(NUMBERS[number].into()),
            laws: vec!["05".parse().expect("a law")],
            quantity: quantity.map(|quantity| decimal(&quantity.to_string())),
            unit: quantity.map(|_| "KGM".into()),
            reason: None,
        }];
        let document = vec![Document::Result(document)];
        let posted =
            self.world.message(AGENCIES[0].1, &name, "RequirementVerification", "GOVCBRX51", document);
        self.books.accounts[number].said.push(Said { issued, quantity, until });
        self.post(posted);
    }

    fn lines(&mut self) -> BTreeMap<u16, Cited> {
        let count = 1 + self.chance.below(3);
        let mut cited = || {
            let number = self.chance.below(NUMBERS.len());
            (!self.chance.one_in(6)).then(|| (number, self.chance.of(&[100, 200, 300, 400])))
        };
        (1..).zip((0..count).map(|_| cited()).collect::<Vec<_>>()).collect()
    }

    /// A declaration that was not lodged yet, if there is one left.
    fn unlodged(&self) -> Option<usize> {
        (0..DECLARATIONS.len()).find(|declaration| !self.books.lodged.contains_key(declaration))
    }

    fn open(&mut self) -> Option<usize> {
        let open: Vec<usize> =
            self.books.lodged.iter().filter(|(_, lodged)| lodged.is_open()).map(|(at, _)| *at).collect();
        (!open.is_empty()).then(|| self.chance.of(&open))
    }

    fn lodge(&mut self) {
        let Some(declaration) = self.unlodged() else { return };
        let lines = self.lines();
        self.history.push(format!("{} is lodged: {lines:?}", DECLARATIONS[declaration]));
        let posted =
            in_words(&lines, |lines| lodging(&self.world, DECLARATIONS[declaration], lines, Vec::new()));
        let now = self.now();
        self.books.take(declaration, &lines, now);
        self.post(posted);
    }

    fn amend(&mut self) {
        let Some(declaration) = self.open() else { return };
        let (posted, lines) = self.amendment(declaration);
        self.history.push(format!("{} is amended: {lines:?}", DECLARATIONS[declaration]));
        let now = self.now();
        self.books.take(declaration, &lines, now);
        self.post(posted);
    }

    fn amendment(&mut self, declaration: usize) -> (Posted, BTreeMap<u16, Cited>) {
        let lines =
            if self.chance.one_in(3) { self.books.lodged[&declaration].lines.clone() } else { self.lines() };
        let sequence = self.books.lodged[&declaration].revision;
        let number = DECLARATIONS[declaration];
        (in_words(&lines, |lines| amendment(&self.world, number, sequence, lines)), lines)
    }

    fn end(&mut self) {
        let Some(declaration) = self.open() else { return };
        let number = DECLARATIONS[declaration];
        let (posted, state) = match self.chance.below(3) {
            0 => (withdrawal(&self.world, number), "withdrawn"),
            1 => (customs(&self.world, number, "GOVCBRR21", "04"), "dismissed"),
            _ => (customs(&self.world, number, "GOVCBR023", "13"), "cleared"),
        };
        self.history.push(format!("{number} is {state}"));
        self.books.end(declaration, state);
        self.post(posted);
    }

    /// A lodging and an amendment are decided at once; whoever commits second is decided again when they meet.
    fn race(&mut self) {
        let (Some(first), Some(second)) = (self.open(), self.unlodged()) else { return };
        let (amended, lines) = self.amendment(first);
        let late = self.lines();
        let (one, other) = (DECLARATIONS[first], DECLARATIONS[second]);
        self.history.push(format!("{one} is amended: {lines:?}, and at once {other} lodged: {late:?}"));
        let lodged = in_words(&late, |lines| lodging(&self.world, other, lines, Vec::new()));
        let events =
            [&amended, &lodged].map(|posted| Event::Arrived(Box::new(posted.arrival(self.world.now))));
        let [winner, loser] = events.each_ref().map(|event| self.world.decided(event));
        assert!(self.world.commit(winner).is_ok(), "{}", self.told());
        let now = self.now();
        if self.world.commit(loser).is_err() {
            self.world.drive(&events[1]);
            self.books.take(first, &lines, now);
            self.books.take(second, &late, now);
        } else {
            // They met nowhere: what the second one found too little of was so when it looked.
            self.books.take(second, &late, now);
            self.books.take(first, &lines, now);
        }
        self.posted.extend([amended, lodged]);
    }

    fn clock(&mut self) {
        let minutes = self.chance.below(60) as u64;
        self.world.now = if self.chance.one_in(5) {
            self.world.now.minus(Duration::from_secs(minutes * 60)).max(self.start)
        } else {
            self.world.now.plus(Duration::from_secs(minutes * 60))
        };
        self.history.push(format!("the clock says {} min", self.now()));
    }

    /// A message once more changes nothing.
    fn again(&mut self) {
        if self.posted.is_empty() {
            return;
        }
        let posted = self.posted[self.chance.below(self.posted.len())].clone();
        self.history.push(format!("again {}", posted.message.header.data.message_id));
        self.world.post(&posted);
    }

    /// One thing that is due about an approval, if anything is: now and then the gateway dies before its commit, or
    /// does it twice.
    fn one_due(&mut self) -> bool {
        let now = self.now();
        let expected = (0..NUMBERS.len()).any(|number| self.books.is_due(number, now));
        let Some(key) = self.world.approval_due() else {
            assert!(!expected, "something is due\n{}", self.told());
            return false;
        };
        let number = NUMBERS.iter().position(|number| **number == *key.number).expect("one of ours");
        assert!(self.books.is_due(number, now), "nothing is due about {key}\n{}", self.told());
        self.history.push(format!("{key} is due"));
        let event = Event::ApprovalDue(key);
        let stale = self.chance.one_in(3).then(|| self.world.decided(&event));
        self.world.drive(&event);
        if let Some(stale) = stale {
            assert!(self.world.commit(stale).is_err(), "done twice\n{}", self.told());
        }
        self.books.due(number, now);
        true
    }

    /// Posts a message. Now and then the gateway dies between deciding and committing: that must leave no trace.
    fn post(&mut self, posted: Posted) {
        if self.chance.one_in(4) {
            drop(self.world.decided(&Event::Arrived(Box::new(posted.arrival(self.world.now)))));
        }
        self.world.post(&posted);
        let stored = self.world.stored(&posted).expect("it is kept");
        assert!(stored.accepted && !stored.quarantined, "{}\n{}", stored.reason, self.told());
        self.posted.push(posted);
    }

    fn compare(&self) {
        for (declaration, expected) in &self.books.lodged {
            let case = self.world.case_of(DECLARATIONS[*declaration]);
            let told = self.told();
            assert_eq!((case.state.as_str(), case.revision), (expected.state, expected.revision), "{told}");
            let held: BTreeSet<u16> = case.held.iter().map(|held| held.line).collect();
            assert_eq!(held, expected.held, "D{declaration}\n{told}");
            let wanted = case.applications.iter().filter(|application| application.is_planned());
            let wanted: Vec<_> = wanted.flat_map(|application| application.items.clone()).collect();
            let standing: Vec<_> =
                expected.lines.keys().copied().filter(|line| !expected.held.contains(line)).collect();
            assert_eq!(wanted, standing, "D{declaration} waits for\n{told}");
            let events = case.events.iter().map(|event| {
                let kind = if event.kind == EventKind::Reopened { "reopened" } else { "all" };
                (event.revision, event.round, kind)
            });
            assert_eq!(events.collect::<Vec<_>>(), expected.told, "D{declaration}\n{told}");
        }
        for (number, account) in NUMBERS.iter().zip(&self.books.accounts) {
            if account.said.is_empty() {
                continue;
            }
            let approval = self.world.approval(number);
            let of = |charge: &Drawn| {
                let at = DECLARATIONS.iter().position(|name| self.world.case_of(name).id == charge.case);
                (at.expect("one of ours"), charge.line, charge.quantity.value.thousandths() / 1000)
            };
            let lodged = |charge: &&Drawn| !charge.own;
            let charges: Vec<_> = approval.charges.iter().filter(lodged).map(of).collect();
            assert_eq!(charges, account.charges, "{number}\n{}", self.told());
            let marks: Vec<_> = approval.charges.iter().map(|charge| charge.undo).collect();
            assert_eq!(marks, account.too_many(), "{number}\n{}", self.told());
            let law = "05".parse().expect("a law");
            let approved = approval.approved(&law, "KGM", |_| true).thousandths() / 1000;
            assert_eq!(approved, account.approved(), "{number}\n{}", self.told());
            // What no one is to give back is never more than what is approved, but for what was spent before.
            let kept: i64 =
                charges.iter().zip(&marks).filter(|(_, marked)| !**marked).map(|((.., q), _)| *q).sum();
            assert!(kept <= (approved - account.spent).max(0), "{number} is used twice\n{}", self.told());
            assert_eq!(
                approval.used(&law, "KGM").thousandths() / 1000,
                account.spent + charges.iter().map(|(.., q)| q).sum::<i64>()
            );
        }
    }

    fn told(&self) -> String {
        format!("seed {}:\n  {}", self.seed, self.history.join("\n  "))
    }
}

/// The lines as documents have them.
fn in_words<T>(lines: &BTreeMap<u16, Cited>, with: impl FnOnce(&[Line<'_>]) -> T) -> T {
    let quantities: Vec<_> = lines.values().map(|cited| cited.map(|(_, q)| q.to_string())).collect();
    let cites: Vec<Vec<(&str, &str, &str)>> = lines
        .values()
        .zip(&quantities)
        .map(|(cited, quantity)| {
            let cite = cited.zip(quantity.as_deref());
            cite.map(|((number, _), quantity)| ("05", NUMBERS[number], quantity)).into_iter().collect()
        })
        .collect();
    let lines: Vec<Line<'_>> = cites.iter().map(|cites| (POTATOES, cites.as_slice())).collect();
    with(&lines)
}
