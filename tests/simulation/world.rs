//! The world of a run: one clock that nobody but it moves, one agenda, one network, and everybody in it.
//!
//! Everything that happens is an entry of the agenda at an instant; entries of one instant happen in the order
//! in which they were made. All chance is drawn from the seed, here and in the order of events, so that the
//! same seed leaves the same trace.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use gwanmun::model::{ChargeOutcome, DeliveryId, SyncReplyMode, Timestamp};

use crate::bank::{Asking, Bank};
use crate::chance::Chance;
use crate::faults::{Faults, Offset};
use crate::flips::Flip;
use crate::gateway::Gateway;
use crate::network::{Answer, Exchange, PATIENCE};
use crate::parties::{Terms, Who};
use crate::partner::Partner;
use crate::plants::Plant;
use crate::restore::Backups;
use crate::roles::{Errand, Lodgings};

/// What a run is made of.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) faults: Faults,
    /// Declarations that are lodged.
    pub(crate) declarations: u64,
    /// Who lodges them, in turns.
    pub(crate) submitters: Vec<Who>,
    /// All of them are of goods that need three agencies.
    pub(crate) needs_all_agencies: bool,
    /// Of so many declarations one is amended or withdrawn; of none when it is 0.
    pub(crate) changes: u64,
    /// So many octets has what comes with a declaration and is no document, at least.
    pub(crate) attachment_bytes: usize,
    /// A fault that is planted in the gateway, which the checks must find.
    pub(crate) plant: Option<Plant>,
}

impl Scenario {
    /// The run of a seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        let mut chance = Chance::seeded(seed ^ 0x5ce7_a210);
        let mut faults = Faults::drawn(&mut chance);
        let declarations = 1 + chance.below(3);
        faults.draw_damage(&mut Chance::seeded(seed ^ 0xdead_d15c));
        Self {
            seed,
            faults,
            declarations,
            submitters: submitters(&mut Chance::seeded(seed ^ 0x7ade_0ff5)),
            needs_all_agencies: false,
            changes: 3,
            attachment_bytes: 0,
            plant: None,
        }
    }

    /// A run of one declaration for three agencies, in which nothing goes wrong.
    pub(crate) fn calm(seed: u64) -> Self {
        Self {
            seed,
            faults: Faults::default(),
            declarations: 1,
            submitters: vec![Who::Broker],
            needs_all_agencies: true,
            changes: 0,
            attachment_bytes: 0,
            plant: None,
        }
    }
}

/// The world.
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) chance: Chance,
    /// The right time, which no clock of a party need show.
    pub(crate) now: Timestamp,
    pub(crate) gateway: Gateway,
    pub(crate) partners: BTreeMap<Who, Partner>,
    pub(crate) lodgings: Lodgings,
    pub(crate) bank: Bank,
    /// What the bank was asked; by number.
    pub(crate) askings: BTreeMap<u64, Asking>,
    /// Numbers of what is answered, or waited for no longer.
    pub(crate) heard: BTreeSet<u64>,
    /// What no promise allows.
    pub(crate) findings: Vec<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) backups: Backups,
    /// Octets in the store that are not what they were.
    pub(crate) rot: Vec<Flip>,
    /// Which of the moments that a seed may or may not draw came about in it.
    pub(crate) met: BTreeSet<&'static str>,
    /// Points at which the gateway could have died so far.
    pub(crate) points: u64,
    /// How often each delivery was transmitted, and how often it may be.
    pub(crate) transmissions: BTreeMap<DeliveryId, u32>,
    transmissions_max: BTreeMap<Who, u32>,
    clocks: BTreeMap<Who, Offset>,
    agenda: BTreeMap<(Timestamp, u64), Happening>,
    planned: u64,
    happenings: u64,
    pub(crate) exchanges: BTreeMap<u64, Exchange>,
    pub(crate) last_exchange: u64,
}

/// An entry of the agenda.
#[derive(Debug)]
pub(crate) enum Happening {
    /// A request reaches its server; the answer to an echo goes nowhere.
    Request { exchange: u64, echo: bool },
    /// An answer reaches the client.
    Answer { exchange: u64, answer: Answer },
    /// The client waits no longer.
    TimeOut { exchange: u64 },
    /// The gateway goes on with something that it has in hand.
    Step { life: u64, handling: u64 },
    /// The gateway looks at what it owes to a destination.
    Look { life: u64, destination: Who },
    /// The gateway looks at what the bank is to be asked.
    LookAtPayments { life: u64 },
    /// The gateway looks at what is held in conversations.
    LookAtSequences { life: u64 },
    /// A request reaches the bank.
    Bank { asking: u64 },
    /// The bank's answer, or the end of waiting for it, reaches the gateway.
    BankAnswer { asking: u64, outcome: ChargeOutcome },
    /// The gateway is started again.
    Start,
    /// A partner looks whether what it posted is answered.
    Insist { who: Who, life: u64, place: usize },
    /// A partner is started again.
    Rise { who: Who },
    /// A clock is set, so far off; or right.
    Clock { who: Who, offset: Option<Offset> },
    /// A partner does something of its own accord.
    Errand { who: Who, errand: Errand },
    /// The operator makes a backup.
    Backup,
    /// The disk of the gateway is lost.
    Loss,
    /// The operator restores the last backup.
    Restore,
    /// Partners are asked to send again what came after the backup.
    SendAgain,
    /// An octet flips.
    Flip,
    /// A round of the scrub ends.
    Scrub,
    /// The operator looks at what waits for him.
    Operator,
}

/// Moments that the table of faults says are met.
pub(crate) const FREEZE_WHILE_VERIFYING: &str = "a stop longer than a client waits, before deciding";
pub(crate) const FREEZE_WHILE_COMMITTING: &str =
    "a stop longer than a client waits, between deciding and committing";
pub(crate) const CLOCK_STEP_WHILE_RECEIVING: &str =
    "a step of the gateway's clock while it is asked something";
pub(crate) const CLOCK_STEP_WHILE_COMMITTING: &str =
    "a step of the gateway's clock between deciding and committing";
pub(crate) const HANDED_ON_IN_ITS_TURN: &str = "a message that came before its turn, handed on in it";

pub(crate) const RESTORED_WITH_OPEN: &str = "a restore of a backup with open deliveries";
pub(crate) const KNOWN_FROM_BEFORE: &str = "a destination that knows a message from before a restore";
pub(crate) const JOURNAL_REFUSED: &str = "a flipped octet that lets no gateway start";
pub(crate) const FLIP_QUARANTINED: &str = "a delivery that is quarantined for a flipped octet";
pub(crate) const FLIP_MENDED: &str = "a flipped octet that is mended from a backup";
pub(crate) const FLIP_RESTORED: &str = "a flipped octet for which a backup is restored";

pub(crate) const RECEIPT_UNCHECKED: &str = "an answer that finds damaged what it is about";

pub(crate) const MOMENTS: [&str; 12] = [
    FREEZE_WHILE_VERIFYING,
    FREEZE_WHILE_COMMITTING,
    CLOCK_STEP_WHILE_RECEIVING,
    CLOCK_STEP_WHILE_COMMITTING,
    HANDED_ON_IN_ITS_TURN,
    RESTORED_WITH_OPEN,
    KNOWN_FROM_BEFORE,
    JOURNAL_REFUSED,
    FLIP_QUARANTINED,
    FLIP_MENDED,
    FLIP_RESTORED,
    RECEIPT_UNCHECKED,
];

/// The instant at which every run begins.
pub(crate) const BEGIN: &str = "2009-12-01T01:00:00Z";

/// A run that has found so much needs no more.
const FINDINGS_MAX: usize = 20;

/// No run has more happenings, or lasts longer after the last fault; one that does never ends.
const HAPPENINGS_MAX: u64 = 20_000;
const QUIET_AFTER: Duration = Duration::from_secs(6 * 3600);

impl World {
    /// The world of a run, before anything happens.
    pub(crate) fn new(scenario: Scenario) -> Self {
        let mut chance = Chance::seeded(scenario.seed);
        let mut terms: BTreeMap<_, _> =
            Who::PARTNERS.into_iter().map(|who| (who, terms(&mut chance, &scenario.faults))).collect();
        if let Some(dead) = scenario.faults.dead.and_then(|who| terms.get_mut(&who)) {
            dead.retries = 2;
        }
        let transmissions_max = terms.iter().map(|(who, terms)| (*who, terms.retries + 1)).collect();
        let partner = |(who, terms): (&Who, &Terms)| {
            let is_strict = (scenario.seed ^ *who as u64) & 1 == 1;
            (*who, Partner::new(*who, terms, is_strict))
        };
        let partners = terms.iter().map(partner).collect();
        let mut world = Self {
            gateway: Gateway::new(&terms, scenario.plant),
            lodgings: Lodgings::default(),
            bank: Bank::default(),
            askings: BTreeMap::new(),
            heard: BTreeSet::new(),
            now: BEGIN.parse().expect("an instant"),
            findings: Vec::new(),
            trace: Vec::new(),
            backups: Backups::default(),
            rot: Vec::new(),
            met: BTreeSet::new(),
            points: 0,
            transmissions: BTreeMap::new(),
            transmissions_max,
            clocks: BTreeMap::new(),
            agenda: BTreeMap::new(),
            planned: 0,
            happenings: 0,
            exchanges: BTreeMap::new(),
            last_exchange: 0,
            scenario,
            chance,
            partners,
        };
        for (who, at, offset) in world.scenario.faults.clock_steps.clone() {
            world.plan(at, Happening::Clock { who, offset: Some(offset) });
        }
        let Faults { backups, losses, flips, .. } = world.scenario.faults.clone();
        backups.into_iter().for_each(|at| world.plan(at, Happening::Backup));
        losses.into_iter().for_each(|at| world.plan(at, Happening::Loss));
        flips.into_iter().for_each(|at| world.plan(at, Happening::Flip));
        for who in Who::PARTNERS.into_iter().chain([Who::Gateway]) {
            world.plan(world.scenario.faults.last, Happening::Clock { who, offset: None });
        }
        world.start_gateway();
        let submitters = world.scenario.submitters.clone().into_iter().cycle();
        for (number, by) in (1..=world.scenario.declarations).zip(submitters) {
            let after = world.chance.millis(0, 20_000);
            world.send_on_errand(after, by, Errand::Lodge { number });
        }
        world
    }

    /// How long it lasted until now.
    pub(crate) fn lasted(&self) -> Duration {
        let begin: Timestamp = BEGIN.parse().expect("an instant");
        self.now.since(begin)
    }

    /// Lets everything happen, until nothing is left.
    pub(crate) fn run(&mut self) {
        // What was set by one wrong clock may be waited for by another.
        let end = self.calm_from().plus(QUIET_AFTER + 2 * self.scenario.faults.clock_reach());
        while let Some(((at, _), happening)) = self.agenda.pop_first() {
            self.now = at;
            self.happenings += 1;
            if self.happenings > HAPPENINGS_MAX || at > end {
                return self.find("it does not end (P9)");
            }
            self.happens(happening);
            if self.findings.len() > FINDINGS_MAX {
                return;
            }
        }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Request { exchange, echo } => self.request_arrives(exchange, echo),
            Happening::Answer { exchange, answer } => self.answer_arrives(exchange, answer),
            Happening::TimeOut { exchange } => self.answer_arrives(exchange, Answer::Nothing),
            Happening::Step { life, handling } => self.gateway_goes_on(life, handling),
            Happening::Look { life, destination } => self.gateway_looks(life, destination),
            Happening::LookAtPayments { life } => self.gateway_looks_at_payments(life),
            Happening::LookAtSequences { life } => self.gateway_looks_at_sequences(life),
            Happening::Bank { asking } => self.bank_is_asked(asking),
            Happening::BankAnswer { asking, outcome } => self.bank_is_heard(asking, outcome),
            Happening::Start => self.start_gateway(),
            Happening::Insist { who, life, place } if self.runs(who, life) => self.insist(who, place),
            Happening::Insist { .. } => {}
            Happening::Rise { who } => self.rise(who),
            Happening::Clock { who, offset } => self.set_clock(who, offset),
            Happening::Errand { who, errand } => self.go(who, errand),
            Happening::Backup => self.back_up(),
            Happening::Loss => self.disk_is_lost(),
            Happening::Restore => self.restore(),
            Happening::SendAgain => self.send_again(),
            Happening::Flip => self.octet_flips(),
            Happening::Scrub => self.scrub(),
            Happening::Operator => self.operator_looks(),
        }
    }

    pub(crate) fn plan(&mut self, after: Duration, happening: Happening) {
        self.planned += 1;
        self.agenda.insert((self.now.plus(after), self.planned), happening);
    }

    /// The time as a party's clock shows it.
    pub(crate) fn clock(&self, who: Who) -> Timestamp {
        match self.clocks.get(&who) {
            Some(Offset::Ahead(by)) => self.now.plus(*by),
            Some(Offset::Behind(by)) => self.now.minus(*by),
            None => self.now,
        }
    }

    fn set_clock(&mut self, who: Who, offset: Option<Offset>) {
        let before = match offset {
            Some(offset) => self.clocks.insert(who, offset),
            None => self.clocks.remove(&who),
        };
        if before == offset {
            return;
        }
        self.note(format!("the clock of {} is set: {offset:?}", who.name()));
        if who == Who::Gateway {
            if self.exchanges.values().any(|exchange| exchange.to == who && exchange.is_open) {
                self.met.insert(CLOCK_STEP_WHILE_RECEIVING);
            }
            self.gateway_clock_is_set();
        }
    }

    /// When faults stop.
    pub(crate) fn calm_from(&self) -> Timestamp {
        let begin: Timestamp = BEGIN.parse().expect("an instant");
        begin.plus(self.scenario.faults.last)
    }

    /// Whether faults may happen now, once in so many times.
    pub(crate) fn strikes(&mut self, odds: u64) -> bool {
        self.now < self.calm_from() && self.chance.one_in(odds)
    }

    /// Something that no promise allows.
    pub(crate) fn find(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(format!("FINDING {what}"));
        self.findings.push(what);
    }

    /// A line of the trace.
    pub(crate) fn note(&mut self, what: impl AsRef<str>) {
        let begin: Timestamp = BEGIN.parse().expect("an instant");
        let millis = self.now.since(begin).as_millis();
        self.trace.push(format!("{:>7}.{:03} {}", millis / 1000, millis % 1000, what.as_ref()));
    }

    // The gateway's agenda.

    /// The gateway goes on with something in hand, a moment later; or so much later that nobody waits for it any more,
    /// which is then `met`.
    pub(crate) fn plan_step(&mut self, life: u64, handling: u64, met: &'static str) {
        let after = if !self.strikes(self.scenario.faults.slowness) {
            self.chance.millis(1, 20)
        } else if self.chance.one_in(6) {
            self.met.insert(met);
            PATIENCE + self.chance.millis(1_000, 20_000)
        } else {
            self.chance.millis(20, 8_000)
        };
        self.plan(after, Happening::Step { life, handling });
    }

    /// The gateway looks at a destination at this instant.
    pub(crate) fn plan_look(&mut self, life: u64, destination: Who, at: Timestamp) {
        let after = at.since(self.now).max(Duration::from_millis(1));
        self.plan(after, Happening::Look { life, destination });
    }

    /// The gateway looks at its payments at this instant.
    pub(crate) fn plan_look_at_payments(&mut self, life: u64, at: Timestamp) {
        let after = at.since(self.now).max(Duration::from_millis(1));
        self.plan(after, Happening::LookAtPayments { life });
    }

    /// The gateway looks at its conversations at this instant.
    pub(crate) fn plan_look_at_sequences(&mut self, life: u64, at: Timestamp) {
        let after = at.since(self.now).max(Duration::from_millis(1));
        self.plan(after, Happening::LookAtSequences { life });
    }

    /// The gateway is started again, after a while.
    pub(crate) fn plan_start(&mut self) {
        let after = self.chance.millis(500, 30_000);
        self.plan(after, Happening::Start);
    }

    /// A delivery goes out: an attempt is counted before it leaves, so that no death grants one more (P9).
    pub(crate) fn count_transmission(&mut self, delivery: &DeliveryId, to: Who) {
        self.check_is_settled(delivery);
        let count = self.transmissions.entry(delivery.clone()).or_default();
        *count += 1;
        let (count, most) = (*count, self.transmissions_max[&to]);
        if count > most {
            self.find(format!("a delivery to {} goes out {count} times, of at most {most} (P9)", to.name()));
        }
    }
}

/// Who lodges in a run: two to four, whoever begins.
fn submitters(chance: &mut Chance) -> Vec<Who> {
    let mut all = Who::SUBMITTERS;
    let begin = chance.below(all.len() as u64);
    all.rotate_left(usize::try_from(begin).expect("a place in the list"));
    let count = 2 + chance.below(3);
    all.into_iter().take(usize::try_from(count).expect("a few")).collect()
}

/// The terms of one agreement. Retries outlast every fault, so that what ends badly is never an accident.
fn terms(chance: &mut Chance, faults: &Faults) -> Terms {
    const HOUR: Duration = Duration::from_secs(3600);
    let sync_reply_mode = chance.pick(&[SyncReplyMode::MshSignalsOnly, SyncReplyMode::None]);
    Terms {
        sync_reply_mode,
        // Order goes without SyncReply (ebMS 2.0, 9).
        message_order: sync_reply_mode == SyncReplyMode::None,
        retries: 200,
        retry_interval: chance.millis(4_000, 12_000),
        // No delivery ends by a step of an hour (P9); only what outlasts them is not ended by greater ones.
        time_to_live: match faults.clock_reach() {
            Duration::ZERO => 3 * HOUR,
            // What was sent before a loss is sent again.
            _ if !faults.backups.is_empty() => 3 * HOUR,
            reach if reach <= HOUR / 2 => HOUR / 2,
            reach => 2 * reach + HOUR,
        },
        window: chance.pick(&[1, 2, 8]),
    }
}
