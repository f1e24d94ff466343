//! The gateway's shell in virtual time: load, decide, seal, commit, release, with the real engine, the real
//! codec, the real security and the real record formats over the disk of the simulation.
//!
//! Between loading and committing, other events come in; between any two lines the gateway may die.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock, Mutex};

use gwanmun::codec::catalogue::Catalogue;
use gwanmun::codec::envelope::encode_fault;
use gwanmun::engine::{
    Action, Arrival, Context, Event, Own, Pending, Places, Ready, Refused, Reply, decide, needs,
    read_documents,
};
use gwanmun::model::{Bank, DeliveryId, MessageKind, PaymentTerms, Registry, Retention, Timestamp};
use gwanmun::msh::{AgePolicy, OrderPolicy, Window};
use gwanmun::routing::RuleSet;
use gwanmun::security::{Origin, Trust, Wire, open};
use gwanmun::store::{
    AuditVerdict, Batch, CommitError, Committed, Damage, MemoryStore, Place, Store as _, StoreError,
};

use crate::bank::Asking;
use crate::disk::{Kept, SimulatedDisk, Trouble};
use crate::network::{Answer, Purpose, Transmitted};
use crate::parties::{Terms, Who, certificate, keys, registry, trust};
use crate::partner::{Entity, Response};
use crate::plants::{Plant, overwrite, rename};
use crate::rules;
use crate::world::{FREEZE_WHILE_COMMITTING, FREEZE_WHILE_VERIFYING, RECEIPT_UNCHECKED, World};

/// The gateway: its disk, and what it is when it runs.
pub(crate) struct Gateway {
    pub(crate) disk: SimulatedDisk,
    /// What was committed, when it is to be recorded.
    pub(crate) committed: Option<Vec<Batch>>,
    pub(crate) site: Arc<Site>,
    pub(crate) plant: Option<Plant>,
    pub(crate) life: Option<Life>,
    pub(crate) lives: u64,
    /// When its store was restored.
    restored: Option<Timestamp>,
}

/// What is configured.
pub(crate) struct Site {
    registry: Arc<Registry>,
    pub(crate) trust: Trust,
    rules: Arc<RuleSet>,
    own: Own,
    bank: Bank,
    retention: Retention,
    windows: BTreeMap<Who, u32>,
}

/// What a running gateway has in memory: all of it is gone when it dies.
pub(crate) struct Life {
    pub(crate) number: u64,
    pub(crate) store: MemoryStore,
    pub(crate) lanes: BTreeMap<Who, Lane>,
    /// The next look at payments that is planned.
    pub(crate) payment_look: Option<Timestamp>,
    /// The next look at conversations that is planned.
    pub(crate) sequence_look: Option<Timestamp>,
    pub(crate) handlings: BTreeMap<u64, Handling>,
    handled: u64,
}

/// What is on its way to one destination.
pub(crate) struct Lane {
    pub(crate) window: Window,
    pub(crate) in_hand: BTreeSet<DeliveryId>,
    /// The next look that is planned.
    pub(crate) look: Option<Timestamp>,
}

/// An event that is being handled.
pub(crate) struct Handling {
    event: Event,
    exchange: Option<u64>,
    tries: u32,
    pub(crate) stage: Stage,
}

/// What is done next with an event.
pub(crate) enum Stage {
    Decide,
    /// With the places that are held for what it makes.
    Commit(Box<Batch>, Pending, Places),
}

/// How often an event is decided again because somebody else wrote in between.
const TRIES_MAX: u32 = 20;

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(rules::rule_set);

impl Gateway {
    /// A gateway that has never run.
    pub(crate) fn new(terms: &BTreeMap<Who, Terms>, plant: Option<Plant>) -> Self {
        let registry = Arc::new(registry(terms));
        let disk = SimulatedDisk::default();
        if plant == Some(Plant::Sync) {
            disk.forget_syncs();
        }
        let site = Site {
            trust: trust(Who::Gateway, registry.clone()),
            registry,
            rules: RULES.clone(),
            bank: Bank { name: "bank".into(), terms: PaymentTerms::default() },
            retention: Retention::default(),
            own: Own {
                key: Who::Gateway.key(),
                ids: vec![Who::Gateway.id()],
                role: Some(Who::Gateway.role()),
                domain: "sw.example".into(),
            },
            windows: terms.iter().map(|(who, terms)| (*who, terms.window)).collect(),
        };
        Self { disk, committed: None, site: Arc::new(site), plant, life: None, lives: 0, restored: None }
    }

    /// The store of the running gateway.
    pub(crate) fn store(&self) -> &MemoryStore {
        &self.life.as_ref().expect("the gateway runs").store
    }

    /// Whether it runs.
    pub(crate) fn is_alive(&self) -> bool {
        self.life.is_some()
    }
}

impl Site {
    /// What is in force, on a store that was restored then.
    pub(crate) fn context(&self, restored: Option<Timestamp>) -> Context<'_> {
        Context {
            retention: &self.retention,
            registry: &self.registry,
            rules: &self.rules,
            own: &self.own,
            age: AgePolicy::default(),
            order: OrderPolicy::default(),
            payment: Some(&self.bank),
            practice_payment: None,
            restored,
        }
    }
}

impl World {
    /// The gateway starts, on what its disk has kept.
    pub(crate) fn start_gateway(&mut self) {
        if self.gateway.is_alive() || self.backups.is_lost {
            return;
        }
        self.gateway.lives += 1;
        let number = self.gateway.lives;
        let store = match MemoryStore::open(Box::new(self.gateway.disk.clone())) {
            Ok(store) => store,
            Err(error) => return self.find(format!("the store does not open: {error} (P14)")),
        };
        let lane = |(who, limit): (&Who, &u32)| {
            (*who, Lane { window: Window::new(*limit), in_hand: BTreeSet::new(), look: None })
        };
        let lanes = self.gateway.site.windows.iter().map(lane).collect();
        self.gateway.life = Some(Life {
            number,
            store,
            lanes,
            payment_look: None,
            sequence_look: None,
            handlings: BTreeMap::new(),
            handled: 0,
        });
        self.note(format!("the gateway starts, life {number}"));
        self.rot_again();
        if !self.hold_back() {
            return;
        }
        self.gateway.restored = self.restored_at().map(|(_, at)| at);
        self.check_laws();
        for who in Who::PARTNERS {
            self.look_at(number, who, self.now);
        }
        self.look_at_payments(number, self.now);
        self.look_at_sequences(number, self.now);
    }

    /// What must hold of a store at any instant (P2, P18).
    pub(crate) fn check_laws(&mut self) {
        let store = self.gateway.store();
        let law = store.conservation().expect("the store can be read");
        // A record that cannot be read is told, and missing from the sum, until it is mended.
        let is_whole = !self.rot.iter().any(|flip| matches!(flip.place, Place::Delivery(_)));
        let verdict = store.verify_audit().expect("the store can be read");
        if is_whole && !law.holds() {
            self.find(format!("the conservation law is broken (P2): {law:?}"));
        }
        if let AuditVerdict::Broken { .. } = verdict {
            self.find(format!("the audit record is broken (P18): {verdict:?}"));
        }
        self.check_kept_heads();
    }

    /// The gateway dies: everything that it had in memory is gone, and of its disk what was not synced may be.
    fn die(&mut self, how: &str) {
        let kept = self.chance.pick(&[Kept::Nothing, Kept::Half, Kept::All]);
        self.gateway.life = None;
        self.gateway.disk.lose_power(kept);
        self.note(format!("the gateway dies {how}; of what was not synced: {kept:?}"));
        self.plan_start();
    }

    /// Planted: it goes on after a failed sync, on what it believes that the disk has.
    fn believe_next_sync(&mut self) {
        let store = MemoryStore::open(Box::new(self.gateway.disk.clone())).expect("all of it can be read");
        self.gateway.life.as_mut().expect("it runs").store = store;
    }

    /// A point at which the gateway may die.
    pub(crate) fn dies_here(&mut self, how: &str) -> bool {
        self.points += 1;
        let chosen = self.scenario.faults.crash_at == Some(self.points);
        let dies = chosen || self.strikes(self.scenario.faults.crash);
        if dies {
            self.die(how);
        }
        dies
    }

    /// A request reaches the gateway.
    pub(crate) fn gateway_is_asked(&mut self, from: Who, request: Entity, exchange: Option<u64>) {
        if !self.gateway.is_alive() {
            return self.answer(exchange, Answer::Nothing);
        }
        let event = self.opened(from, request, true);
        self.handle(event, exchange);
    }

    pub(crate) fn opened(&mut self, from: Who, entity: Entity, waiting: bool) -> Event {
        let Entity { content_type, body } = entity;
        let (site, received_at) = (self.gateway.site.clone(), self.clock(Who::Gateway));
        let wire = Wire {
            content_type: &content_type,
            body: &body.clone().into(),
            origin: Origin::Connection(Some(certificate(from))),
        };
        match open(&wire, &site.trust, received_at) {
            Ok(verified) => {
                let documents =
                    read_documents(Catalogue::built_in(), &verified, received_at).expect("in memory");
                Event::Arrived(Box::new(Arrival {
                    verified,
                    documents,
                    content_type,
                    body: body.into(),
                    received_at,
                    waiting,
                }))
            }
            Err(refusal) => {
                self.find(format!("the gateway refuses what {} sends: {refusal}", from.name()));
                Event::Refused(Box::new(Refused { refusal, body: body.into(), received_at, waiting }))
            }
        }
    }

    pub(crate) fn handle(&mut self, event: Event, exchange: Option<u64>) {
        let Some(life) = &mut self.gateway.life else { return };
        life.handled += 1;
        let (number, handling) = (life.number, life.handled);
        life.handlings.insert(handling, Handling { event, exchange, tries: 0, stage: Stage::Decide });
        self.plan_step(number, handling, FREEZE_WHILE_VERIFYING);
    }

    /// The gateway takes the next step with something in hand.
    pub(crate) fn gateway_goes_on(&mut self, number: u64, at: u64) {
        let Some(life) = self.gateway.life.as_mut().filter(|life| life.number == number) else { return };
        let Some(handling) = life.handlings.remove(&at) else { return };
        match handling.stage {
            Stage::Decide => self.decide(number, at, handling),
            Stage::Commit(..) => self.commit(number, at, handling),
        }
    }

    fn decide(&mut self, number: u64, at: u64, mut handling: Handling) {
        if self.dies_here("before it decides") {
            return;
        }
        let site = self.gateway.site.clone();
        let context = site.context(self.gateway.restored);
        let (plant, store) = (self.gateway.plant, self.gateway.store());
        let mut needs = needs(&handling.event, &context);
        plant.inspect(|plant| plant.falsify_needs(store, &mut needs));
        let view = match plant {
            Some(Plant::Checksum) => self.load_unchecked(&needs),
            _ => store.load(&needs),
        };
        let mut view = match view {
            Ok(view) => view,
            Err(StoreError::Damaged(damage)) => return self.cannot_read((number, at), handling, damage),
            Err(error) => panic!("the disk can be read: {error}"),
        };
        let hidden = plant.is_some_and(|plant| plant.falsify_view(&handling.event, &mut view));
        let now = self.clock(Who::Gateway);
        let mut step = decide(now, &handling.event, &view, &context);
        if let Some(needs) = step.needs_numbers(&context) {
            let mut view = self.gateway.store().load(&needs).expect("the store can be read");
            let is_restored = self.gateway.restored.is_some();
            plant.inspect(|plant| plant.falsify_numbers(is_restored, &mut view));
            step.number(&context, &view);
        }
        let places = self.hold(step.promptable());
        step.begin(now, &handling.event, &context, &places);
        let sealed = step.seal(keys(Who::Gateway)).expect("everything can be sealed");
        let (mut batch, pending) = match sealed.split() {
            Ready::Act(actions) => {
                self.give_back(&places);
                return self.act(handling, actions);
            }
            Ready::Commit(batch, pending) => (batch, pending),
        };
        if hidden {
            rename(&mut batch, at);
        }
        plant.inspect(|plant| plant.falsify_batch(&handling.event, &mut batch));
        handling.stage = Stage::Commit(batch, pending, places);
        self.keep(number, at, handling);
    }

    /// What it needs is damaged: a delivery is given up, and an operator told; what came shall come again (P9, P12).
    fn cannot_read(&mut self, (number, at): (u64, u64), mut handling: Handling, damage: Damage) {
        let reason = damage.to_string();
        match handling.event {
            Event::Due(delivery) => {
                handling.event = Event::Damaged { delivery, reason };
                self.decide(number, at, handling);
            }
            event => {
                if let Event::Arrived(arrival) = &event
                    && arrival.verified.message().kind != MessageKind::User
                {
                    self.met.insert(RECEIPT_UNCHECKED);
                }
                self.turn_away(Handling { event, ..handling }, &reason);
            }
        }
    }

    fn keep(&mut self, number: u64, at: u64, handling: Handling) {
        let life = self.gateway.life.as_mut().expect("it runs");
        let is_decided = matches!(handling.stage, Stage::Commit(..));
        life.handlings.insert(at, handling);
        self.plan_step(number, at, if is_decided { FREEZE_WHILE_COMMITTING } else { FREEZE_WHILE_VERIFYING });
    }

    fn commit(&mut self, number: u64, at: u64, handling: Handling) {
        let Handling { event, exchange, tries, stage } = handling;
        let Stage::Commit(mut batch, pending, places) = stage else { return };
        let trouble = self.trouble();
        if self.gateway.plant == Some(Plant::VersionCheck) {
            overwrite(self.gateway.store(), &mut batch);
        }
        self.gateway.disk.meets(trouble);
        let is_lost = self.strikes(self.scenario.faults.unknown_outcome);
        let outcome = if is_lost && self.chance.one_in(2) {
            Err(CommitError::Unknown)
        } else {
            let recorded = self.gateway.committed.is_some().then(|| (*batch).clone());
            let outcome = commit(self.gateway.store(), *batch);
            if let Some(committed) = self.gateway.committed.as_mut().filter(|_| outcome.is_ok()) {
                committed.extend(recorded);
            }
            outcome
        };
        self.gateway.disk.meets(None);
        if self.gateway.disk.is_without_power() {
            return self.die("while it commits");
        }
        let outcome = if is_lost && outcome.is_ok() { Err(CommitError::Unknown) } else { outcome };
        let handling = Handling { event, exchange, tries: tries + 1, stage: Stage::Decide };
        match outcome {
            Ok(pass) => {
                if !self.dies_here("between commit and release") {
                    self.act_in_places(handling, pending.release(pass), places);
                }
            }
            Err(error @ (CommitError::Conflict(_) | CommitError::Duplicate | CommitError::Unknown)) => {
                self.give_back(&places);
                if error == CommitError::Unknown {
                    // Its actions may be lost: what is due is looked for.
                    Who::PARTNERS.into_iter().for_each(|who| self.look_at(number, who, self.now));
                    self.look_at_payments(number, self.now);
                    self.look_at_sequences(number, self.now);
                }
                if handling.tries < TRIES_MAX {
                    self.keep(number, at, handling);
                } else {
                    self.turn_away(handling, &error.to_string());
                }
            }
            Err(CommitError::Full) => {
                self.give_back(&places);
                self.turn_away(handling, "its disk is full");
            }
            Err(CommitError::Fatal(_)) if self.gateway.plant == Some(Plant::RetriedSync) => {
                self.give_back(&places);
                self.believe_next_sync();
                self.keep(number, at, handling);
            }
            Err(CommitError::Fatal(reason)) => self.die(&format!("because its store failed: {reason}")),
        }
    }

    /// Holds places for what a step makes; sometimes none, as when the destination is busy.
    fn hold(&mut self, wanted: Places) -> Places {
        let mut held = Places::new();
        for (destination, wanted) in wanted {
            let is_busy = self.chance.one_in(3);
            let life = self.gateway.life.as_mut().expect("it runs");
            let Some(lane) = life.lanes.get_mut(&Who::of(&destination)) else { continue };
            let places = if is_busy { 0 } else { lane.window.room().min(wanted) };
            (0..places).for_each(|_| lane.window.take());
            held.insert(destination, places);
        }
        held
    }

    fn give_back(&mut self, places: &Places) {
        for (destination, places) in places {
            let who = Who::of(destination);
            let Some(lane) = self.gateway.life.as_mut().and_then(|life| life.lanes.get_mut(&who)) else {
                continue;
            };
            (0..*places).for_each(|_| lane.window.give_back());
            self.look_at(self.gateway.lives, who, self.now);
        }
    }

    /// What the next commit meets. Each moment of it is a point at which the gateway may die.
    fn trouble(&mut self) -> Option<Trouble> {
        for trouble in [Trouble::PowerInAppend, Trouble::PowerBeforeSync] {
            self.points += 1;
            let chosen = self.scenario.faults.crash_at == Some(self.points);
            if chosen || self.strikes(self.scenario.faults.crash) {
                return Some(trouble);
            }
        }
        if self.strikes(self.scenario.faults.failed_sync) {
            return Some(Trouble::FailedSync);
        }
        self.strikes(self.scenario.faults.full_disk).then_some(Trouble::Full)
    }

    /// Whoever sent it shall come again.
    fn turn_away(&mut self, handling: Handling, why: &str) {
        self.note(format!("the gateway turns something away: {}", without_digests(why)));
        self.answer(handling.exchange, Answer::Response(Response::status(503)));
        if let Event::Due(delivery) | Event::Damaged { delivery, .. } = handling.event {
            self.leave_hand(&delivery, false);
        }
    }

    /// What is transmitted in a place that was held is in hand; places that were held for nothing are given back.
    fn act_in_places(&mut self, handling: Handling, actions: Vec<Action>, mut places: Places) {
        for action in &actions {
            if let Action::Transmit { delivery, destination, .. } = action
                && let Some(held) = places.get_mut(destination).filter(|held| **held > 0)
                && let Some(life) = &mut self.gateway.life
                && let Some(lane) = life.lanes.get_mut(&Who::of(destination))
            {
                *held -= 1;
                lane.in_hand.insert(delivery.clone());
            }
        }
        self.give_back(&places);
        self.act(handling, actions);
    }

    fn act(&mut self, handling: Handling, actions: Vec<Action>) {
        let mut transmits_it = false;
        for action in actions {
            if !matches!(action, Action::Log(_)) && self.dies_here("while it acts") {
                return;
            }
            match action {
                Action::Reply(Reply::Told(told)) => self.note(format!("gateway: {}", told.text)),
                Action::Reply(reply) => {
                    self.answer(handling.exchange, Answer::Response(response(reply)));
                }
                Action::Transmit { delivery, attempt, destination, awaits_receipt, sealed, .. } => {
                    transmits_it |= matches!(&handling.event, Event::Due(due) if *due == delivery);
                    self.count_transmission(&delivery, Who::of(&destination));
                    let life = self.gateway.lives;
                    let purpose = Purpose::Transmit(Transmitted { life, delivery, attempt, awaits_receipt });
                    self.post(Who::Gateway, Who::of(&destination), sealed.into(), purpose);
                }
                // What else is scheduled are deadlines of cases, which lie behind the end.
                Action::Schedule(_) => {
                    let next = self.gateway.store().scheduled_sequences(1).expect("the store can be read");
                    if let Some(next) = next.first() {
                        let wait = next.due.since(self.clock(Who::Gateway));
                        self.look_at_sequences(self.gateway.lives, self.now.plus(wait));
                    }
                }
                Action::SchedulePayment(at) => {
                    let wait = at.since(self.clock(Who::Gateway));
                    self.look_at_payments(self.gateway.lives, self.now.plus(wait));
                }
                Action::Charge { case, attempt, charge, .. } => {
                    let key = match self.gateway.plant {
                        Some(Plant::PaymentKey) => format!("{}{attempt}", charge.key).into(),
                        _ => charge.key.clone(),
                    };
                    self.ask_bank(Asking { life: self.gateway.lives, case, attempt, charge, key });
                }
                Action::Wake(destination) => {
                    self.look_at(self.gateway.lives, Who::of(&destination), self.now);
                }
                Action::Heard(heard) => self.note(format!("gateway: {} is answered", heard.about)),
                Action::Log(entry) => {
                    let alarm = if entry.alarm { " ALARM" } else { "" };
                    let id = entry.message_id.as_ref().map_or("", |id| id.as_str());
                    let text = without_digests(&entry.text);
                    self.note(format!("gateway: {}{alarm} {id} {text}", entry.event));
                    self.hear_alarm(&entry);
                }
            }
        }
        if let Event::Due(delivery) | Event::Damaged { delivery, .. } = handling.event
            && !transmits_it
        {
            self.leave_hand(&delivery, true);
        }
    }
}

/// What is said of damage, as far as it is the same each time: keys and signatures are not.
fn without_digests(text: &str) -> &str {
    let end = [" have digest ", ": checksum "].iter().filter_map(|it| text.find(it)).min();
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

fn response(reply: Reply) -> Response {
    match reply {
        Reply::Message(sealed) => Response::message(sealed),
        Reply::Empty => Response::status(202),
        Reply::Fault(fault) => {
            let entity = Entity { content_type: "text/xml".into(), body: encode_fault(&fault).into() };
            Response { status: 500, entity }
        }
        Reply::Status(status) => Response::status(status),
        Reply::Told(told) => panic!("nobody waits for it on a connection: {told:?}"),
    }
}

/// Commits at once.
pub(crate) fn commit(store: &MemoryStore, batch: Batch) -> Result<Committed, CommitError> {
    let heard = Arc::new(Mutex::new(None));
    let tell = heard.clone();
    store.commit(batch, Box::new(move |outcome| *tell.lock().expect("nothing panics") = Some(outcome)));
    let outcome = heard.lock().expect("nothing panics").take();
    outcome.expect("the in-memory home answers at once")
}
