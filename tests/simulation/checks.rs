//! What is checked when a run has ended: the partners' histories, the conservation law, the audit chain, and
//! that everything has come to its end.

use std::collections::{BTreeMap, BTreeSet};

use gwanmun::model::{
    ApplicationState, Case, CaseState, ConversationId, Delivery, DeliveryPurpose, DeliveryState, Digest,
    Document, FeeState, Message, MessageId, Payment, PaymentState, Realm, SequenceNumber, payment_key,
};
use gwanmun::store::{AuditEntry, CaseFilter, CorrelationKey, DeliveryFilter, Store as _};

use crate::papers;
use crate::parties::Who;
use crate::partner::{Fate, Letter, Partner};
use crate::roles::declaration_of;
use crate::world::World;

impl World {
    /// All checks.
    pub(crate) fn check(&mut self) {
        if !self.gateway.is_alive() {
            return self.find("the gateway does not run at the end");
        }
        self.check_histories();
        self.check_order();
        self.check_reports();
        self.check_fees();
        self.check_laws();
        self.check_ends();
    }

    /// What partners posted was answered for good, and what the gateway took was handed on, once, with equal
    /// octets, to everybody who is owed it, and to nobody else (P1, P2, P3, P6).
    fn check_histories(&mut self) {
        let mut owed = BTreeMap::<(Who, Digest), String>::new();
        // Refused as too late: a store that was lost may have taken it in time, and handed it on.
        let mut too_late = BTreeSet::<(Who, Digest)>::new();
        let mut findings = Vec::new();
        for partner in self.partners.values() {
            let name = partner.who.name();
            for posted in &partner.posted {
                let Some(letter) = &posted.letter else { continue };
                let (id, action) = (&posted.message_id, &letter.action);
                match (&posted.fate, posted.forges.is_some()) {
                    (Fate::Acknowledged(_), false) => {
                        let about = |to: &(Who, Digest)| (*to, format!("{action} {id} of {name}"));
                        owed.extend(letter.owed.iter().map(about));
                    }
                    (Fate::Refused(_), true) => {}
                    (Fate::Refused(_), false) if posted.renewed => {}
                    (Fate::Refused(why), false) if is_too_late(letter, why) => {
                        too_late.extend(letter.owed.iter().filter(|_| self.backups.restores > 0).copied());
                    }
                    (fate, false) => findings.push(format!("{name}: {action} {id} ended as {fate:?} (P8)")),
                    (fate, true) => findings.push(format!("{name}: forged {id} ended as {fate:?} (P3)")),
                }
            }
            for (id, errors) in partner.errors_heard() {
                findings.push(format!("{name} hears errors about {id}: {errors}"));
            }
        }
        let mut handed_on = BTreeMap::<(Who, Digest), usize>::new();
        let mut cancellations = BTreeMap::<(Who, String), usize>::new();
        for partner in self.partners.values() {
            let of_gateway = ["GOVCBRXS2", "GOVCBRXF3"];
            for message in partner.handed_on.iter().filter(|it| !of_gateway.contains(&&*it.header.action)) {
                if let Some(number) = cancelled(message) {
                    *cancellations.entry((partner.who, number)).or_default() += 1;
                    continue;
                }
                for payload in &message.payloads {
                    let about = (partner.who, payload.digest);
                    let times = handed_on.entry(about).or_default();
                    *times += 1;
                    let may_be = *times == 1 && too_late.contains(&about);
                    if !owed.contains_key(&about) && !may_be {
                        let (name, header) = (partner.who.name(), &message.header);
                        let id = &header.data.message_id;
                        findings
                            .push(format!("{name} is handed {} {id}, which nobody owes it", header.action));
                    }
                }
            }
        }
        let withdrawn = self.changed("GOVCBR5BF");
        for ((who, number), times) in cancellations {
            let name = who.name();
            // Its number says with which declaration an application was lodged.
            let of_withdrawn =
                withdrawn.iter().any(|declaration| number.starts_with(&format!("S09{declaration:07}")));
            if times != 1 || (!of_withdrawn && too_late.is_empty()) {
                findings.push(format!("{name} is asked {times} times to cancel {number}, {of_withdrawn}"));
            }
        }
        for ((who, digest), what) in &owed {
            let times = handed_on.get(&(*who, *digest)).copied().unwrap_or(0);
            if times != 1 {
                findings.push(format!("{what} is handed on {times} times by {}", who.name()));
            }
        }
        findings.into_iter().for_each(|finding| self.find(finding));
    }

    /// Where order is guaranteed, what a partner sent in a conversation took effect in the order of its numbers, and what
    /// it was sent has every number once; nothing is held any more (P5).
    fn check_order(&mut self) {
        let store = self.gateway.store();
        let mut findings = Vec::new();
        let held = store.sequences(true, usize::MAX).expect("the store can be read").items;
        for sequence in held {
            let (key, next) = (&sequence.key, sequence.next);
            findings
                .push(format!("{key} waits for {next} at the end, and {} came early", sequence.early.len()));
        }
        let effects = self.effects();
        for partner in self.partners.values().filter(|partner| partner.is_in_order()) {
            let name = partner.who.name();
            let mut lines = BTreeMap::<&str, Vec<_>>::new();
            for posted in partner.posted.iter().filter(|posted| posted.forges.is_none()) {
                let (Some(letter), Some(order)) = (&posted.letter, posted.order) else { continue };
                let effect = effects.get(&(partner.who, posted.message_id.to_string()));
                if let Some(effect) = effect {
                    lines.entry(&letter.conversation).or_default().push((order.number, *effect));
                }
            }
            for (conversation, mut line) in lines {
                line.sort();
                if !line.iter().map(|(_, effect)| effect).is_sorted() {
                    findings.push(format!("{conversation} of {name} is handed on out of order: {line:?}"));
                }
            }
            findings.extend(self.check_numbers(partner));
        }
        findings.into_iter().for_each(|finding| self.find(format!("{finding} (P5)")));
    }

    /// What is wrong with the numbers of what a partner is owed. In each conversation every number stands once in the store, from
    /// the first on, and what came has come under the number that stands there.
    ///
    /// A restored store knows nothing of the numbers that the lost one gave out since the backup, and gives them out again:
    /// so what came is held against those of its own restore, and what came to a lost store against no store.
    fn check_numbers(&self, partner: &Partner) -> Vec<String> {
        let name = partner.who.name();
        let store = self.gateway.store();
        let owed = DeliveryFilter { destination: Some(partner.who.key()), ..DeliveryFilter::default() };
        let owed = store.deliveries(&owed, usize::MAX).expect("the store can be read").items;
        let mut findings = Vec::new();
        let mut lines = BTreeMap::<ConversationId, BTreeMap<SequenceNumber, MessageId>>::new();
        for Delivery { order, conversation_id, message_id, .. } in
            owed.into_iter().filter(|delivery| delivery.purpose != DeliveryPurpose::Signal)
        {
            let Some(order) = order else {
                findings.push(format!("{message_id} for {name} has no number"));
                continue;
            };
            let line = lines.entry(conversation_id.clone()).or_default();
            if let Some(other) = line.insert(order.number, message_id.clone()) {
                let number = order.number;
                findings.push(format!(
                    "{message_id} and {other} for {name} are number {number} of {conversation_id}"
                ));
            }
        }
        for (conversation, line) in &lines {
            if !line.keys().zip(0..).all(|(number, expected)| u32::from(*number) == expected) {
                let numbers: Vec<_> = line.keys().collect();
                findings.push(format!("{name} is owed these numbers of {conversation}: {numbers:?}"));
            }
        }
        for ((restores, conversation, number), came) in &partner.numbers {
            let stored = lines.get(conversation).and_then(|line| line.get(number));
            if *restores == self.backups.restores && stored != Some(came) {
                findings.push(format!(
                    "{came} came to {name} as number {number} of {conversation}, which is {stored:?}"
                ));
            }
        }
        findings
    }

    /// Where in the audit record each message took effect: where it was accepted and not held, or handed on. What was
    /// refused took none.
    fn effects(&self) -> BTreeMap<(Who, String), u64> {
        let entries = self.gateway.store().audit(1, usize::MAX).expect("the store can be read").items;
        let mut effects = BTreeMap::new();
        for AuditEntry { sequence, entry, .. } in entries {
            let (Some(party), Some(id)) = (&entry.party, &entry.message_id) else { continue };
            let key = (Who::of(party), id.to_string());
            match &*entry.event {
                "message.accepted" => {
                    effects.insert(key, sequence);
                }
                "message.held" => {
                    effects.remove(&key);
                }
                "message.handed-on" => {
                    effects.insert(key, sequence);
                }
                _ => {}
            }
        }
        effects
    }

    /// Declarations of which a change was acknowledged.
    fn changed(&self, action: &str) -> BTreeSet<u64> {
        let posted = Who::SUBMITTERS.iter().flat_map(|who| &self.partners[who].posted);
        let taken =
            posted.filter(|posted| matches!(posted.fate, Fate::Acknowledged(_)) && posted.forges.is_none());
        let letters = taken.filter_map(|posted| posted.letter.as_ref()).filter(|it| it.action == action);
        letters.filter_map(|it| it.conversation.strip_prefix("submission-")?.parse().ok()).collect()
    }

    /// Each report about a case comes once, and the last word about every case is that all is collected.
    fn check_reports(&mut self) {
        let mut findings = Vec::new();
        for who in Who::SUBMITTERS.into_iter().chain([Who::Customs]) {
            let mut numbers = BTreeMap::<String, usize>::new();
            for message in &self.partners[&who].handed_on {
                let action = &*message.header.action;
                let Some(payload) = message.payloads.first().filter(|_| action == "GOVCBRXS2") else {
                    continue;
                };
                if let Ok(Document::StatusReport(report)) = papers::read(action, payload) {
                    *numbers.entry(report.number.to_string()).or_default() += 1;
                    let about = report.declaration.as_deref().unwrap_or_default();
                    if who != Who::Customs && who != self.submitter(about) {
                        findings.push(format!("{} hears of {about}, which somebody else lodged", who.name()));
                    }
                }
            }
            let repeated = numbers.into_iter().filter(|(_, times)| *times > 1);
            findings
                .extend(repeated.map(|(number, _)| format!("report {number} came twice to {}", who.name())));
        }
        findings.into_iter().for_each(|finding| self.find(finding));
    }

    /// A fee that is paid was booked once and both sides were told so once; another was booked never; every order that was
    /// taken has its answer (P1, P3).
    fn check_fees(&mut self) {
        let mut findings = Vec::new();
        let mut booked = 0;
        for (fee, times) in self.bank.bookings().into_iter().filter(|(_, times)| *times != 1) {
            findings.push(format!("fee {fee} is booked {times} times"));
        }
        let store = self.gateway.store();
        let cases = store.cases(&CaseFilter::default(), usize::MAX).expect("the store can be read");
        for summary in cases.items {
            let key = CorrelationKey::Case(summary.id);
            let case =
                store.case(Realm::Production, &key).expect("the store can be read").expect("it is there");
            for application in &case.value.applications {
                for fee in &application.fees {
                    let reference = self.bank.reference(&payment_key(&application.party, &fee.number));
                    booked += usize::from(reference.is_some());
                    let recorded = fee.payments.iter().find_map(|payment| payment.reference.as_ref());
                    // An order that is sent again after a restore, when its application has been decided on before it, is
                    // refused, though the bank has booked it: the operator has its statement (docs/operations.md).
                    let is_decided = matches!(application.state, ApplicationState::Decided(_));
                    let is_refused = is_decided || case.value.state.is_end();
                    if self.backups.restores > 0 && is_refused && fee.payments.is_empty() {
                        continue;
                    }
                    if (fee.state == FeeState::Paid) != reference.is_some() || recorded != reference {
                        let (number, state) = (&fee.number, fee.state.as_str());
                        findings.push(format!(
                            "fee {number} is {state}, as {recorded:?}, and booked as {reference:?}"
                        ));
                    }
                    let agency = Who::of(&application.party);
                    let submitter = case.value.submitter.as_ref().map_or(Who::Gateway, Who::of);
                    let told = |payment| self.check_payment((agency, submitter), payment);
                    findings.extend(fee.payments.iter().filter_map(told));
                }
            }
        }
        if booked != self.bank.bookings().len() {
            findings.push(format!("{} fees are booked, {booked} are known", self.bank.bookings().len()));
        }
        findings.into_iter().for_each(|finding| self.find(finding));
    }

    /// What is wrong with an order of a fee of this agency, by who lodged.
    fn check_payment(&self, (agency, submitter): (Who, Who), payment: &Payment) -> Option<String> {
        let (order, state) = (&payment.order, payment.state.as_str());
        let expected = match payment.state {
            PaymentState::Paid => (1, 1),
            PaymentState::Refused => (0, 1),
            PaymentState::Pending | PaymentState::Asked => {
                return Some(format!("order {order} is {state} at the end (P9)"));
            }
        };
        let told = (self.confirmations(agency, order), self.confirmations(submitter, order));
        (told != expected)
            .then(|| format!("order {order} is {state}, and agency and submitter hear {told:?}"))
    }

    /// How often a partner was handed a confirmation of an order.
    fn confirmations(&self, who: Who, order: &str) -> usize {
        let confirmed = self.partners[&who].handed_on.iter().filter(|message| {
            let (action, payload) = (&*message.header.action, message.payloads.first());
            let payload = payload.filter(|_| action == "GOVCBRXF3");
            payload.is_some_and(|payload| {
                matches!(papers::read(action, payload), Ok(Document::PaymentConfirmation(it)) if *it.order == *order)
            })
        });
        confirmed.count()
    }

    /// When faults stop, everything ends: every case is cleared or was withdrawn, every delivery is delivered (P9).
    fn check_ends(&mut self) {
        let store = self.gateway.store();
        let deliveries =
            store.deliveries(&DeliveryFilter::default(), usize::MAX).expect("the store can be read");
        let cases = store.cases(&CaseFilter::default(), usize::MAX).expect("the store can be read");
        let damage = store.scrub().expect("the store can be read");
        let mut findings: Vec<_> = damage.iter().map(|damage| format!("{damage} (P12)")).collect();
        for delivery in deliveries.items.iter().filter(|it| it.state != DeliveryState::Delivered) {
            let (action, to) = (&delivery.action, Who::of(&delivery.destination).name());
            let (state, reason) = (delivery.state.as_str(), &delivery.reason);
            findings.push(format!("delivery of {action} to {to} is {state} at the end: {reason} (P9)"));
        }
        let (withdrawn, amended) = (self.changed("GOVCBR5BF"), self.changed("GOVCBR5FE"));
        for number in 1..=self.scenario.declarations {
            let key = CorrelationKey::Declaration(declaration_of(number).into());
            let Some(case) = store.case(Realm::Production, &key).expect("the store can be read") else {
                continue;
            };
            let Case { state, revision, .. } = case.value;
            let expected =
                if withdrawn.contains(&number) { CaseState::Withdrawn } else { CaseState::Cleared };
            if state != expected {
                findings.push(format!("case {number} is {} at the end (P9)", state.as_str()));
            }
            if revision != 1 + u32::from(amended.contains(&number)) {
                findings.push(format!("case {number} has revision {revision} at the end"));
            }
        }
        if cases.items.len() as u64 != self.scenario.declarations {
            findings.push(format!(
                "{} declarations, {} cases",
                self.scenario.declarations,
                cases.items.len()
            ));
        }
        findings.into_iter().for_each(|finding| self.find(finding));
    }
}

/// Whether a letter of the broker was refused because its case had ended before, or its fee was paid by another order.
fn is_too_late(letter: &Letter, why: &str) -> bool {
    match &*letter.action {
        "GOVCBR5FE" | "GOVCBR5BF" => {
            ["cleared", "withdrawn"].iter().any(|state| why.contains(&format!("the case is {state}")))
        }
        "GOVCBRXF2" => {
            let told = ["is being paid already", "was paid already", "can be ordered any more", "is void"];
            told.iter().any(|told| why.contains(told))
        }
        _ => letter.service == "RequirementVerification" && why.contains("the case is withdrawn"),
    }
}

/// The application that a message asks to cancel; the gateway makes that document itself.
fn cancelled(message: &Message) -> Option<String> {
    match papers::read(&message.header.action, message.payloads.first()?) {
        Ok(Document::Application(application)) if &*application.function == "1" => {
            Some(application.number.to_string())
        }
        _ => None,
    }
}
