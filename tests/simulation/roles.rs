//! What partners do with what they are handed, each by its trade.

use std::collections::{BTreeMap, BTreeSet};

use gwanmun::model::{
    Digest, Document, Message, MessageId, NoticeKind, Outcome, Payload, PaymentOutcome, StatusReport,
};

use crate::papers;
use crate::parties::Who;
use crate::partner::{Fate, Letter};
use crate::world::World;

/// What a partner does of its own accord.
#[derive(Clone, Debug)]
pub(crate) enum Errand {
    /// A broker or trader lodges its declaration with this number.
    Lodge { number: u64 },
    /// It amends or withdraws what it lodged in this conversation.
    Change { conversation: String },
    /// An agency says where an application stands.
    Tell { application: Application, kind: NoticeKind },
    /// An agency asks a fee for an application.
    Ask { application: Application },
    /// It orders the payment of a fee.
    Order { application: String, fee: String },
    /// An agency decides an application.
    Decide { application: Application, outcome: Outcome },
    /// Customs says something about a declaration.
    Rule { declaration: String, action: &'static str, status: Option<&'static str> },
    /// A partner forgets that something was answered, and posts it once more.
    PostAgain { place: usize },
    /// A partner posts as a new message what was refused for the age of this one.
    Renew { place: usize },
    /// A partner posts other content under the MessageId of what stands at this place.
    Forge { place: usize },
}

/// An application as its agency has it.
#[derive(Clone, Debug)]
pub(crate) struct Application {
    pub(crate) number: String,
    pub(crate) result: &'static str,
    pub(crate) conversation: String,
    pub(crate) message_id: MessageId,
}

/// What those who lodge remember of their lodgings, by conversation.
#[derive(Debug, Default)]
pub(crate) struct Lodgings {
    lodged: BTreeMap<String, Lodged>,
    /// Numbers of applications that an agency has decided.
    decided: BTreeSet<String>,
    /// The point in the gateway's life at which the first change was posted.
    pub(crate) change_began: Option<u64>,
}

#[derive(Debug)]
struct Lodged {
    by: Who,
    /// The declaration's number.
    declaration: String,
    goods: (&'static str, &'static str),
    /// Numbers of the applications that it needs.
    needed: Vec<String>,
    /// Applications that came with it: agency, form, number.
    enclosed: Vec<(Who, &'static str, String)>,
    /// What it is going to do about it, until it has set out to.
    change: Option<Change>,
    /// It did not enclose all of them at first.
    is_partial: bool,
    /// Applications that it did not enclose: it sends them when it is told.
    left_out: Vec<(Who, &'static str, Payload)>,
}

/// What a broker does about a declaration that it has lodged.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// It amends a field that no rule looks at: no agency hears of it.
    Header,
    /// It amends the origin of the goods: every agency gets a new version.
    Goods,
    /// It withdraws it.
    Withdraw,
}

/// Goods, their origin, and the agencies that they need.
const GOODS: [(&str, &str, &[Who]); 10] = [
    ("1211901000", "CN", &[Who::Kfda, Who::Npqs, Who::Kpta]),
    ("1905901000", "US", &[Who::Kfda]),
    ("7318150000", "US", &[]),
    ("0202300000", "US", &[Who::Nvrqs]),
    ("8516601000", "US", &[Who::Kfda, Who::Ktl]),
    ("8419200000", "US", &[Who::Kmdia]),
    ("9018491000", "US", &[Who::Kdta]),
    ("3002301000", "US", &[Who::Kahpa]),
    ("9503001100", "US", &[Who::Ktic]),
    ("6111201000", "US", &[Who::Katri]),
];

impl World {
    /// A partner is handed a message.
    pub(crate) fn react(&mut self, who: Who, message: &Message) {
        let action = &*message.header.action;
        let Some(payload) = message.payloads.first() else {
            return self.find(format!("{} is handed a {action} without a document", who.name()));
        };
        let document = match papers::read(action, payload) {
            Ok(document) => document,
            Err(findings) => {
                return self.find(format!("{} cannot read its {action}: {findings}", who.name()));
            }
        };
        match (who, document) {
            (Who::Customs, Document::Declaration(declaration)) => {
                let is_free = declaration.lines.iter().all(|line| line.hs.to_string().starts_with("7318"));
                self.rule(1_000, 20_000, &declaration.number, "GOVCBRR99", None);
                if is_free {
                    self.rule(5_000, 60_000, &declaration.number, "GOVCBR023", Some("14"));
                }
            }
            (Who::Customs, Document::Change(change)) => {
                let result = if change.reason.is_some() { "GOVCBR5BG" } else { "GOVCBR5FK" };
                self.rule(1_000, 60_000, &change.declaration, result, Some("06"));
            }
            (Who::Customs, Document::StatusReport(report)) if is_favourable(&report) => {
                self.check_collected(&report);
                let declaration = report.declaration.as_deref().unwrap_or_default();
                self.rule(1_000, 60_000, declaration, "GOVCBR023", Some("13"));
            }
            (_, Document::StatusReport(report)) if who.lodges() => {
                self.send_what_is_missing(who, message, &report);
            }
            (_, Document::FeeNotice(notice)) if who.lodges() => {
                for _ in 0..self.chance.pick(&[0, 1, 1, 2]) {
                    self.order(who, &notice.application, &notice.number);
                }
            }
            (_, Document::PaymentConfirmation(confirmation)) if who.lodges() => {
                if let PaymentOutcome::Refused { .. } = confirmation.outcome {
                    self.order(who, &confirmation.application, &confirmation.fee);
                }
            }
            (_, Document::Application(application)) => {
                let is_cancellation = &*application.function == "1";
                self.work_on(who, message, &application.number, is_cancellation);
            }
            _ => {}
        }
    }

    /// That all is collected is told when it is: every agency has said something.
    fn check_collected(&mut self, report: &StatusReport) {
        let declaration = report.declaration.as_deref().unwrap_or_default();
        let lodged = self.lodgings.lodged.values().find(|lodged| lodged.declaration == declaration);
        let needed = lodged.map(|lodged| &*lodged.needed).unwrap_or_default();
        let open: Vec<_> = needed.iter().filter(|number| !self.lodgings.decided.contains(*number)).collect();
        if !open.is_empty() {
            self.find(format!("all is collected for {declaration}, and nobody has decided {open:?} (P2)"));
        }
    }

    fn rule(
        &mut self,
        from: u64,
        to: u64,
        declaration: &str,
        action: &'static str,
        status: Option<&'static str>,
    ) {
        let after = self.chance.millis(from, to);
        let declaration = declaration.to_owned();
        self.send_on_errand(after, Who::Customs, Errand::Rule { declaration, action, status });
    }

    fn order(&mut self, who: Who, application: &str, fee: &str) {
        let after = self.chance.millis(500, 60_000);
        let (application, fee) = (application.to_owned(), fee.to_owned());
        self.send_on_errand(after, who, Errand::Order { application, fee });
    }

    /// An agency takes up an application: notices that may overtake each other, and a decision or two.
    fn work_on(&mut self, who: Who, message: &Message, number: &str, is_cancellation: bool) {
        let agency = Who::AGENCIES.into_iter().find(|(agency, ..)| *agency == who);
        let Some((_, _, result)) = agency else {
            return self.find(format!("{} is handed an application", who.name()));
        };
        let application = Application {
            number: number.to_owned(),
            result,
            conversation: message.header.conversation_id.as_str().to_owned(),
            message_id: message.header.data.message_id.clone(),
        };
        if is_cancellation {
            let after = self.chance.millis(500, 60_000);
            let errand = Errand::Decide { application, outcome: Outcome::Cancelled };
            return self.send_on_errand(after, who, errand);
        }
        let notices = [NoticeKind::Accepted, NoticeKind::UnderReview];
        for kind in notices {
            if self.chance.one_in(2) {
                let after = self.chance.millis(500, 90_000);
                self.send_on_errand(after, who, Errand::Tell { application: application.clone(), kind });
            }
        }
        if self.chance.one_in(2) {
            let after = self.chance.millis(500, 60_000);
            self.send_on_errand(after, who, Errand::Ask { application: application.clone() });
        }
        let after = self.chance.millis(2_000, 120_000);
        let outcome = self.chance.pick(&[
            Outcome::Approved,
            Outcome::Approved,
            Outcome::ApprovedConditional,
            Outcome::NotApplicable,
            Outcome::Rejected,
        ]);
        if outcome == Outcome::Rejected {
            let later = after + self.chance.millis(1_000, 120_000);
            let errand = Errand::Decide { application: application.clone(), outcome: Outcome::Approved };
            self.send_on_errand(later, who, errand);
        }
        self.send_on_errand(after, who, Errand::Decide { application, outcome });
    }

    /// Who lodged sends the applications that the gateway misses.
    fn send_what_is_missing(&mut self, who: Who, message: &Message, report: &StatusReport) {
        let conversation = message.header.conversation_id.as_str().to_owned();
        let misses = report.applications.iter().any(|row| &*row.state == "blocked");
        let Some(lodged) = self.lodgings.lodged.get_mut(&conversation).filter(|_| misses) else { return };
        for (agency, code, payload) in std::mem::take(&mut lodged.left_out) {
            let letter = Letter {
                service: "RequirementVerification",
                action: code.to_owned(),
                conversation: conversation.clone(),
                ref_to: None,
                owed: vec![(agency, payload.digest)],
                payloads: vec![payload],
            };
            self.write(who, letter);
        }
    }

    /// Who lodged the declaration with this number, or one that needs the application with this number.
    pub(crate) fn submitter(&self, of: &str) -> Who {
        let is_it = |it: &&Lodged| it.declaration == of || it.needed.iter().any(|number| number == of);
        self.lodgings.lodged.values().find(is_it).expect("somebody lodged it").by
    }

    /// A partner goes on an errand.
    pub(crate) fn go(&mut self, who: Who, errand: Errand) {
        // Documents are dated by people.
        let now = self.now;
        let number = self.partner(who).posted.len() + 1;
        match errand {
            Errand::Lodge { number } => self.lodge(who, number),
            Errand::Change { conversation } => self.change(who, conversation),
            Errand::Tell { application, kind } => {
                let payload = papers::notice(&format!("N{number}"), &application.number, kind, now);
                let owed = vec![(self.submitter(&application.number), payload.digest)];
                self.write(who, letter_about(&application, "GOVCBRRBH", payload, owed));
            }
            Errand::Ask { application } => {
                let payload = papers::fee_notice(&format!("F{number}"), &application.number, now);
                let owed = vec![(self.submitter(&application.number), payload.digest)];
                self.write(who, letter_about(&application, "GOVCBRXF1", payload, owed));
            }
            Errand::Order { application, fee } => {
                let payload =
                    papers::payment_order(&format!("PO-{}-{number}", who.name()), &application, &fee, now);
                let letter = Letter {
                    service: "Payment",
                    action: "GOVCBRXF2".to_owned(),
                    conversation: format!("payment-{number}"),
                    ref_to: None,
                    payloads: vec![payload],
                    owed: Vec::new(),
                };
                self.write(who, letter);
            }
            Errand::Decide { application, outcome } => {
                self.lodgings.decided.insert(application.number.clone());
                let result = application.result;
                let name = format!("{}-{number}", who.name());
                let submitter = self.submitter(&application.number);
                let applicant = submitter.business_number().expect("who lodges has one");
                let about = (&*application.number, applicant);
                let payload = papers::result(result, &name, about, outcome, now);
                let owed = vec![(submitter, payload.digest), (Who::Customs, payload.digest)];
                self.write(who, letter_about(&application, result, payload, owed));
            }
            Errand::Rule { declaration, action, status } => {
                let payload =
                    papers::customs_notice(action, &format!("C{number}"), &declaration, status, now);
                let letter = Letter {
                    service: "ImportClearance",
                    action: action.to_owned(),
                    ref_to: None,
                    owed: vec![(self.submitter(&declaration), payload.digest)],
                    conversation: declaration,
                    payloads: vec![payload],
                };
                self.write(who, letter);
            }
            Errand::PostAgain { place } if self.is_to_wait(who, place) => {}
            Errand::PostAgain { place } => self.post_again(who, place),
            Errand::Renew { place } => self.renew(who, place),
            Errand::Forge { place } if self.is_known_to_gateway() => self.forge(who, place),
            Errand::Forge { .. } => {}
        }
    }

    fn lodge(&mut self, by: Who, number: u64) {
        let now = self.now;
        let declaration = declaration_of(number);
        let goods = if self.chance.one_in(2) { GOODS[0] } else { self.chance.pick(&GOODS) };
        let (hs, origin, agencies) = if self.scenario.needs_all_agencies { GOODS[0] } else { goods };
        let conversation = format!("submission-{number}");
        let mut payloads = vec![papers::declaration(&declaration, "9", (hs, origin), None, now)];
        let mut owed = vec![(Who::Customs, payloads[0].digest)];
        let (mut left_out, mut enclosed, mut needed) = (Vec::new(), Vec::new(), Vec::new());
        let applicant = by.business_number().expect("who lodges has one");
        for (agency, code, _) in Who::AGENCIES.into_iter().filter(|(who, ..)| agencies.contains(who)) {
            let application = format!("S09{number:07}{}", agency.name());
            let payload = papers::application(code, (&application, "9"), hs, applicant, now);
            needed.push(application.clone());
            if self.chance.one_in(6) {
                left_out.push((agency, code, payload));
            } else {
                owed.push((agency, payload.digest));
                payloads.push(payload);
                enclosed.push((agency, code, application));
            }
        }
        if self.chance.one_in(3) || self.scenario.attachment_bytes > 0 {
            let attachment = papers::attachment(&format!("invoice-{number}"), self.scenario.attachment_bytes);
            owed.push((Who::Customs, attachment.digest));
            payloads.push(attachment);
        }
        let kinds = [Change::Header, Change::Goods, Change::Withdraw];
        let is_partial = !left_out.is_empty();
        let change = self.chance.one_in(self.scenario.changes).then(|| self.chance.pick(&kinds));
        let goods = (hs, origin);
        let lodged = Lodged { by, declaration, goods, needed, enclosed, change, is_partial, left_out };
        self.lodgings.lodged.insert(conversation.clone(), lodged);
        let letter = Letter {
            service: "ImportClearance",
            action: "GOVCBR929".to_owned(),
            conversation,
            ref_to: None,
            payloads,
            owed,
        };
        self.write(by, letter);
    }

    /// Who lodged a declaration amends or withdraws it, whatever has become of it meanwhile.
    fn change(&mut self, who: Who, conversation: String) {
        let now = self.now;
        let Some(lodged) = self.lodgings.lodged.get_mut(&conversation) else { return };
        let Some(change) = lodged.change.take() else { return };
        self.lodgings.change_began.get_or_insert(self.points);
        let (declaration, (hs, origin)) = (&lodged.declaration, lodged.goods);
        let reason = matches!(change, Change::Withdraw).then_some("84");
        let mut payloads = vec![papers::change(declaration, reason, now)];
        let mut owed = Vec::new();
        if reason.is_none() {
            // What was left out may be under way: only who has sent everything can send new versions of it.
            let renews = matches!(change, Change::Goods) && !lodged.is_partial;
            let origin = if renews { "VN" } else { origin };
            payloads.push(papers::declaration(declaration, "5", (hs, origin), Some("BILL-1"), now));
            for (agency, code, number) in lodged.enclosed.iter().filter(|_| renews) {
                let applicant = who.business_number().expect("who lodges has one");
                let payload = papers::application(code, (number, "5"), hs, applicant, now);
                owed.push((*agency, payload.digest));
                payloads.push(payload);
            }
        }
        let to_customs = payloads.iter().take(2);
        owed.extend(to_customs.map(|payload| (Who::Customs, payload.digest)));
        let action = if reason.is_some() { "GOVCBR5BF" } else { "GOVCBR5FE" };
        let (service, action) = ("ImportClearance", action.to_owned());
        self.write(who, Letter { service, action, conversation, ref_to: None, payloads, owed });
    }

    /// Something that a partner posted was answered: what was refused while clocks were wrong it posts anew; what was
    /// acknowledged it may post again, or do something worse.
    pub(crate) fn relapse(&mut self, who: Who, place: usize) {
        let posted = &self.partners[&who].posted[place];
        if let Fate::Refused(why) = &posted.fate
            && posted.forges.is_none()
            && self.is_wrong_time(why)
        {
            let after = self.chance.millis(5_000, 30_000);
            return self.send_on_errand(after, who, Errand::Renew { place });
        }
        let posted = &self.partner(who).posted[place];
        if posted.forges.is_some() || !matches!(posted.fate, Fate::Acknowledged(_)) {
            return;
        }
        let letter = posted.letter.as_ref().filter(|letter| letter.action == "GOVCBR929");
        let conversation = letter.map(|letter| letter.conversation.clone());
        if let Some(conversation) = conversation
            && self.lodgings.lodged.get(&conversation).is_some_and(|lodged| lodged.change.is_some())
        {
            let after = self.chance.millis(1_000, 150_000);
            self.send_on_errand(after, who, Errand::Change { conversation });
        }
        if self.strikes(self.scenario.faults.forgetting) {
            let after = self.chance.millis(100, 60_000);
            self.send_on_errand(after, who, Errand::PostAgain { place });
        }
        if self.strikes(self.scenario.faults.forgery) {
            let after = self.chance.millis(100, 60_000);
            self.send_on_errand(after, who, Errand::Forge { place });
        }
    }

    /// Whether an error is about the time of a message, in a run in which clocks are wrong.
    fn is_wrong_time(&self, why: &str) -> bool {
        let told = ["TimeToLiveExpired: TimeToLive", "Inconsistent: Timestamp"];
        !self.scenario.faults.clock_steps.is_empty() && told.iter().any(|start| why.starts_with(start))
    }

    fn renew(&mut self, who: Who, place: usize) {
        let posted = &mut self.partner(who).posted[place];
        posted.renewed = true;
        let letter = posted.letter.clone().expect("signals are not refused");
        self.write(who, letter);
    }

    fn forge(&mut self, who: Who, place: usize) {
        let mut letter = self.partner(who).posted[place].letter.clone().expect("signals are not forged");
        letter.payloads[0] = papers::altered(&letter.payloads[0]);
        letter.owed.clear();
        self.write_under(who, letter, Some(place));
    }
}

/// The number of a declaration.
pub(crate) fn declaration_of(number: u64) -> String {
    format!("1234509{number:06}X")
}

/// Whether every required result is in, and good.
fn is_favourable(report: &StatusReport) -> bool {
    &*report.event == "all_collected" && report.outcome.as_deref() == Some("favourable")
}

fn letter_about(
    application: &Application,
    action: &str,
    payload: Payload,
    owed: Vec<(Who, Digest)>,
) -> Letter {
    Letter {
        service: if action == "GOVCBRXF1" { "Payment" } else { "RequirementVerification" },
        action: action.to_owned(),
        conversation: application.conversation.clone(),
        ref_to: Some(application.message_id.clone()),
        payloads: vec![payload],
        owed,
    }
}
