//! What partners do in the world: they are asked, hear answers, write, insist, die and are started again.

use std::time::Duration;

use crate::network::{Answer, Purpose};
use crate::parties::Who;
use crate::partner::{Entity, Fate, Letter, Manners, Partner};
use crate::roles::Errand;
use crate::world::{Happening, World};

impl World {
    /// A partner does something of its own accord, later.
    pub(crate) fn send_on_errand(&mut self, after: Duration, who: Who, errand: Errand) {
        self.plan(after, Happening::Errand { who, errand });
    }

    /// A partner.
    pub(crate) fn partner(&mut self, who: Who) -> &mut Partner {
        self.partners.get_mut(&who).expect("everybody takes part")
    }

    /// Whether a partner runs, in this life of its.
    pub(crate) fn runs(&self, who: Who, life: u64) -> bool {
        let partner = &self.partners[&who];
        partner.is_up && partner.life == life
    }

    /// A point at which a partner may die: it has what it had journalled when it is started again.
    fn falls_here(&mut self, who: Who, how: &str) -> bool {
        let falls = self.strikes(self.scenario.faults.partner_crash);
        if falls {
            self.note(format!("{} dies {how}", who.name()));
            self.partner(who).is_up = false;
            let after = self.chance.millis(500, 30_000);
            self.plan(after, Happening::Rise { who });
        }
        falls
    }

    /// A partner is started again, and goes on with what is not answered.
    pub(crate) fn rise(&mut self, who: Who) {
        let partner = self.partner(who);
        partner.is_up = true;
        partner.life += 1;
        let places = 0..partner.posted.len();
        self.note(format!("{} is started again", who.name()));
        for place in places {
            if self.partners[&who].posted[place].letter.is_some() {
                self.insist(who, place);
            }
        }
    }

    pub(crate) fn partner_is_asked(&mut self, who: Who, request: &Entity, exchange: Option<u64>) {
        if !self.partners[&who].is_up || self.falls_here(who, "before it takes what it is asked") {
            return self.answer(exchange, Answer::Nothing);
        }
        let manners = if self.now < self.calm_from() {
            self.scenario.faults.manners(&mut self.chance)
        } else {
            Manners::Honest
        };
        let now = self.clock(who);
        let taken = self.partner(who).take(request, now, manners);
        let response = taken.response.as_ref().map(|it| it.status);
        self.note(format!("{} is asked: {manners:?}, {response:?}", who.name()));
        self.collect_complaints(who);
        if self.falls_here(who, "before it answers") {
            self.answer(exchange, Answer::Nothing);
        } else {
            if let Some(response) = taken.response {
                self.answer(exchange, Answer::Response(response));
            }
            if let Some(signal) = taken.signal {
                let place = self.partner(who).keep_signal(signal, now);
                self.insist(who, place);
            }
        }
        self.is_told(who, taken.told);
        if let Some(message) = taken.claimed {
            let others: Vec<_> = Who::PARTNERS.into_iter().filter(|other| *other != who).collect();
            let other = self.chance.pick(&others);
            let now = self.clock(other);
            let signal = self.partner(other).claim(message, now);
            let place = self.partner(other).keep_signal(signal, now);
            self.insist(other, place);
        }
        if let Some(message) = taken.news {
            let header = &message.header;
            self.note(format!("{} hands on {} {}", who.name(), header.action, header.data.message_id));
            self.react(who, &message);
        }
    }

    pub(crate) fn partner_is_answered(&mut self, who: Who, place: usize, answer: &Answer) {
        let Answer::Response(response) = answer else { return };
        let now = self.clock(who);
        let told = self.partner(who).answered(place, response, now);
        self.collect_complaints(who);
        self.is_told(who, told);
    }

    /// A partner has learned what became of what it posted at this place.
    fn is_told(&mut self, who: Who, place: Option<usize>) {
        let Some(place) = place else { return };
        let now = self.now;
        let posted = &mut self.partner(who).posted[place];
        posted.told_at = Some(now);
        let (id, fate) = (posted.message_id.clone(), posted.fate.clone());
        let told = if let Fate::Refused(why) = fate { why } else { "acknowledged".to_owned() };
        self.note(format!("{} hears of {id}: {told}", who.name()));
        self.is_answered_again(who, place);
        self.relapse(who, place);
    }

    fn collect_complaints(&mut self, who: Who) {
        for complaint in std::mem::take(&mut self.partner(who).complaints) {
            self.find(complaint);
        }
    }

    /// A partner posts a letter, and goes on until it is answered.
    pub(crate) fn write(&mut self, who: Who, letter: Letter) {
        self.write_under(who, letter, None);
    }

    /// A partner posts a letter, under the MessageId of another one that it posted.
    pub(crate) fn write_under(&mut self, who: Who, letter: Letter, forges: Option<usize>) {
        let now = self.clock(who);
        let action = letter.action.clone();
        let (place, right_time) = (self.partner(who).compose(letter, now, forges), self.now);
        let posted = &mut self.partner(who).posted[place];
        posted.written_at = right_time;
        let id = posted.message_id.clone();
        let how = if forges.is_some() { "forges" } else { "posts" };
        self.note(format!("{} {how} {action} {id}", who.name()));
        self.insist(who, place);
    }

    pub(crate) fn insist(&mut self, who: Who, place: usize) {
        let partner = self.partner(who);
        let (life, posted) = (partner.life, &partner.posted[place]);
        let is_signal = posted.letter.is_none();
        // What is written while it is down goes out when it is up again.
        if !partner.is_up || posted.fate != Fate::Open || (is_signal && posted.attempts > 0) {
            return;
        }
        if is_signal || !self.is_to_wait(who, place) {
            self.post_again(who, place);
        }
        if !is_signal {
            let after = self.chance.millis(8_000, 12_000);
            self.plan(after, Happening::Insist { who, life, place });
        }
    }

    /// A partner that is up posts what stands at this place, whether or not it was posted or answered before.
    pub(crate) fn post_again(&mut self, who: Who, place: usize) {
        let partner = self.partner(who);
        if !partner.is_up {
            return;
        }
        let (life, posted) = (partner.life, &mut partner.posted[place]);
        posted.attempts += 1;
        let request = posted.sealed.clone().into();
        self.post(who, Who::Gateway, request, Purpose::Post { life, place });
    }
}
