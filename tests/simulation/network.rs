//! The network between everybody: requests and answers are lost, late, repeated, or cut off.

use std::time::Duration;

use gwanmun::model::{ChargeOutcome, DeliveryId, Timestamp};

use crate::bank::Asking;
use crate::parties::Who;
use crate::partner::{Entity, Response};
use crate::world::{BEGIN, Happening, World};

/// What a client gets.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A response.
    Response(Response),
    /// Nothing: refused, reset, or too late.
    Nothing,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// The gateway transmits a delivery.
    Transmit(Transmitted),
    /// A partner posts what stands at this place.
    Post { life: u64, place: usize },
}

/// A transmission of the gateway: in which of its lives, of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transmitted {
    pub(crate) life: u64,
    pub(crate) delivery: DeliveryId,
    pub(crate) attempt: u32,
    pub(crate) awaits_receipt: bool,
}

/// A request, and whether somebody still waits for its answer.
pub(crate) struct Exchange {
    pub(crate) from: Who,
    pub(crate) to: Who,
    request: Entity,
    purpose: Purpose,
    pub(crate) is_open: bool,
}

/// How long a client waits for a response.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

impl World {
    /// A request goes out.
    pub(crate) fn post(&mut self, from: Who, to: Who, request: Entity, purpose: Purpose) {
        self.last_exchange += 1;
        let exchange = self.last_exchange;
        self.exchanges.insert(exchange, Exchange { from, to, request, purpose, is_open: true });
        self.plan(PATIENCE, Happening::TimeOut { exchange });
        let copies = if self.strikes(self.scenario.faults.repetition) { 2 } else { 1 };
        for copy in 0..copies {
            if self.is_cut(from) || self.is_cut(to) || self.strikes(self.scenario.faults.loss) {
                self.note(format!("a request of {} to {} is lost", from.name(), to.name()));
                continue;
            }
            let after = self.delay();
            self.plan(after, Happening::Request { exchange, echo: copy > 0 });
        }
    }

    pub(crate) fn request_arrives(&mut self, exchange: u64, echo: bool) {
        let Exchange { from, to, request, .. } = &self.exchanges[&exchange];
        let (from, to, request) = (*from, *to, request.clone());
        let answers = (!echo).then_some(exchange);
        if to == Who::Gateway {
            self.gateway_is_asked(from, request, answers);
        } else {
            self.partner_is_asked(to, &request, answers);
        }
    }

    /// An answer goes back on the connection, where there is one.
    pub(crate) fn answer(&mut self, exchange: Option<u64>, answer: Answer) {
        let Some(exchange) = exchange else { return };
        let Exchange { from, to, .. } = &self.exchanges[&exchange];
        let (from, to) = (*from, *to);
        if self.is_cut(from) || self.is_cut(to) || self.strikes(self.scenario.faults.loss) {
            return self.note(format!("an answer of {} to {} is lost", to.name(), from.name()));
        }
        let after = self.delay();
        self.plan(after, Happening::Answer { exchange, answer });
    }

    pub(crate) fn answer_arrives(&mut self, exchange: u64, answer: Answer) {
        let Some(open) = self.exchanges.get_mut(&exchange).filter(|it| it.is_open) else { return };
        open.is_open = false;
        let (client, server, purpose) = (open.from, open.to, open.purpose.clone());
        match purpose {
            Purpose::Transmit(transmitted) => self.gateway_is_answered(server, transmitted, answer),
            Purpose::Post { life, place } if self.runs(client, life) => {
                self.partner_is_answered(client, place, &answer);
            }
            Purpose::Post { .. } => {}
        }
    }

    /// A request goes to the bank.
    pub(crate) fn ask_bank(&mut self, asked: Asking) {
        let asking = self.askings.len() as u64 + 1;
        self.askings.insert(asking, asked);
        let reason = "no answer in time".to_owned();
        let outcome = ChargeOutcome::Again { reason, alarm: false };
        self.plan(PATIENCE, Happening::BankAnswer { asking, outcome });
        let copies = if self.strikes(self.scenario.faults.repetition) { 2 } else { 1 };
        for _ in 0..copies {
            if self.strikes(self.scenario.faults.loss) {
                self.note("a request to the bank is lost");
                continue;
            }
            let after = self.delay();
            self.plan(after, Happening::Bank { asking });
        }
    }

    /// The bank's answer goes back.
    pub(crate) fn bank_answers(&mut self, asking: u64, outcome: ChargeOutcome) {
        if self.strikes(self.scenario.faults.loss) {
            return self.note("an answer of the bank is lost");
        }
        let after = self.delay();
        self.plan(after, Happening::BankAnswer { asking, outcome });
    }

    /// What comes first counts.
    pub(crate) fn bank_is_heard(&mut self, asking: u64, outcome: ChargeOutcome) {
        if self.heard.insert(asking) {
            let asked = self.askings[&asking].clone();
            self.gateway_hears_bank(asked, outcome);
        }
    }

    /// Whether a party cannot be reached now.
    fn is_cut(&self, who: Who) -> bool {
        let begin: Timestamp = BEGIN.parse().expect("an instant");
        let at = self.now.since(begin);
        if self.scenario.faults.dead == Some(who) {
            return true;
        }
        let outages = self.scenario.faults.outages.iter();
        self.now < self.calm_from()
            && outages.clone().any(|(cut, from, until)| *cut == who && *from <= at && at < *until)
    }

    fn delay(&mut self) -> Duration {
        if self.strikes(self.scenario.faults.lateness) {
            self.chance.millis(100, 15_000)
        } else {
            self.chance.millis(1, 40)
        }
    }
}
