//! What each kind of practice partner answers to what it receives: an agency by its script, customs by the
//! gateway's reports, a broker nothing.
//!
//! Values in, values out. The documents are as terse as their schemas allow, their numbers follow from what
//! they answer, so that a partner that died and came back answers the same under the same numbers.

use std::sync::Arc;
use std::time::Duration;

use super::customs::{CustomsMove, Planned, when_changed, when_collected, when_declared};
use super::script::{Move, Script};
use super::words::code;
use crate::model::{
    ApplicationDocument, BankAccount, CurrencyCode, CustomsNotice, Document, DocumentCode, FeeNotice,
    MessageId, Money, NoticeDocument, NoticeKind, Outcome, ResultDocument, ResultItem, Timestamp, derive_id,
};

/// A kind of practice partner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// Lodges and collects.
    Broker,
    /// Takes declarations and clears them once every agency has agreed.
    Customs,
    /// Takes applications and decides them.
    Agency,
    /// Books payments.
    Bank,
    /// Gives time stamps.
    Authority,
}

/// How a practice partner plays its role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Play {
    /// Its role.
    pub role: Role,
    /// What an agency does with an application that brings no script of its own.
    pub script: Script,
    /// How long customs thinks.
    pub customs_delay: Duration,
}

/// A message that is owed for one that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed {
    /// How long after the one that came.
    pub after: Duration,
    /// Its place among all that are owed for the same message.
    pub step: usize,
    /// What it says.
    pub saying: Saying,
}

/// What an owed message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Saying {
    /// An agency's move about an application.
    Agency {
        /// The application.
        application: ApplicationDocument,
        /// The move.
        action: Move,
        /// A result goes before it: its issue time is that of its place in a proper procedure, so that it has
        /// been overtaken.
        overtaken: bool,
    },
    /// What customs tells about a declaration.
    Customs {
        /// The declaration's number.
        declaration: Arc<str>,
        /// The move.
        action: CustomsMove,
    },
}

/// Everything that is owed for a document that came; `text` is its octets as text, `declared` the script of
/// the declaration that it is about.
#[must_use]
pub fn owed(
    play: &Play,
    document: &Document,
    text: &str,
    declared: Option<&Script<CustomsMove>>,
) -> Vec<Owed> {
    let delay = play.customs_delay;
    match (play.role, document) {
        (Role::Agency, Document::Application(application)) => decide(play, application, text, 0),
        (Role::Customs, Document::Declaration(declaration)) => {
            told(&declaration.number, when_declared(script_of(text).as_ref(), delay))
        }
        (Role::Customs, Document::Change(change)) => {
            told(&change.declaration, when_changed(change, script_of(text).as_ref(), delay))
        }
        (Role::Customs, Document::StatusReport(report)) if &*report.event == "all_collected" => {
            let Some(number) = &report.declaration else { return Vec::new() };
            let favourable = report.outcome.as_deref() == Some("favourable");
            told(number, when_collected(declared, favourable, delay))
        }
        _ => Vec::new(),
    }
}

/// The script in a remark of a document to customs; one that cannot be read is none.
#[must_use]
pub(super) fn script_of(text: &str) -> Option<Script<CustomsMove>> {
    Script::of_document(text).and_then(Result::ok)
}

fn told(declaration: &Arc<str>, planned: Vec<Planned>) -> Vec<Owed> {
    let saying = |action| Saying::Customs { declaration: declaration.clone(), action };
    planned.into_iter().map(|(after, step, action)| Owed { after, step, saying: saying(action) }).collect()
}

/// An agency's moves about an application from this step on, up to the next fee: its own script, the usual
/// one, or, asked for a cancellation, that.
fn decide(play: &Play, application: &ApplicationDocument, text: &str, from: usize) -> Vec<Owed> {
    let own = Script::<Move>::of_document(text).and_then(Result::ok);
    let cancelled = (&*application.function == CANCELLATION)
        .then(|| "CANCEL,300ms".parse().expect("this is a script of one move"));
    let script = cancelled.or(own).unwrap_or_else(|| play.script.clone());
    let (mut after, mut decided) = (Duration::ZERO, false);
    let mut moves = Vec::with_capacity(script.steps().len());
    for (step, planned) in script.steps().iter().enumerate() {
        let is_result = matches!(planned.action, Move::Result { .. });
        if step < from {
            decided |= is_result;
            continue;
        }
        after += planned.after;
        let saying = Saying::Agency {
            application: application.clone(),
            action: planned.action.clone(),
            overtaken: decided && !is_result,
        };
        decided |= is_result;
        moves.push(Owed { after, step, saying });
        // What follows a fee waits until that is paid.
        if matches!(planned.action, Move::Fee(_)) {
            break;
        }
    }
    moves
}

/// What an agency owes once a fee that it asked is paid: the moves of its script behind that one.
#[must_use]
pub fn owed_when_paid(play: &Play, application: &ApplicationDocument, text: &str, fee: &str) -> Vec<Owed> {
    let step =
        fee.strip_prefix('F').and_then(|fee| fee.split_once('-')).and_then(|(step, _)| step.parse().ok());
    step.map_or_else(Vec::new, |step: usize| decide(play, application, text, step.saturating_add(1)))
}

/// The document that an owed message carries. `cause` is the message that it answers and `came` when that
/// came; `result_of` tells the result that answers an application.
#[must_use]
pub fn document_of(
    owed: &Owed,
    cause: &MessageId,
    came: Timestamp,
    now: Timestamp,
    result_of: &dyn Fn(&DocumentCode) -> DocumentCode,
) -> Document {
    let numbers = Numbers { cause, step: owed.step, now };
    match &owed.saying {
        Saying::Agency { application, action, overtaken } => {
            let place = Duration::from_millis(owed.step as u64);
            let issued_at = if *overtaken { came.plus(place) } else { now };
            agency_document(application, action, issued_at, &numbers, result_of)
        }
        Saying::Customs { declaration, action: CustomsMove::Tell { code, status, .. } } => {
            numbers.customs(code, declaration, status.clone())
        }
        Saying::Customs { action: CustomsMove::Collected, .. } => {
            unreachable!("what customs waits for is not owed")
        }
    }
}

fn agency_document(
    application: &ApplicationDocument,
    action: &Move,
    issued_at: Timestamp,
    numbers: &Numbers<'_>,
    result_of: &dyn Fn(&DocumentCode) -> DocumentCode,
) -> Document {
    match action {
        Move::Notice(kind) => Document::Notice(NoticeDocument {
            code: code(if *kind == NoticeKind::Error { "GOVCBRRBG" } else { "GOVCBRRBH" }),
            number: numbers.of_document(),
            issued_at,
            application: Some(application.number.clone()),
            notice: *kind,
            acceptance_number: (*kind != NoticeKind::Error).then(|| acceptance_number(application)),
            deadline: wants_answer(*kind).then(|| issued_at.plus(ANSWER_WITHIN)),
            remarks: None,
        }),
        Move::Fee(amount) => Document::FeeNotice(FeeNotice {
            number: numbers.of_fee(),
            issued_at,
            application: application.number.clone(),
            price: Money {
                amount: *amount,
                currency: CurrencyCode::new("KRW").expect("the code is plain text"),
            },
            payee: BankAccount { name: "Practice agency".into(), account: "011-17-000381".into() },
            due_by: issued_at.plus(ANSWER_WITHIN),
            reason: "Examination by the practice script".into(),
        }),
        Move::Result { outcome, items } => {
            let decided = |sequence: u16| {
                let meant = items.is_empty() || items.contains(&sequence);
                let outcome = if meant { *outcome } else { Outcome::Approved };
                ResultItem {
                    unit: None,
                    laws: Vec::new(),
                    sequence,
                    outcome,
                    approval: None,
                    quantity: None,
                    reason: None,
                }
            };
            Document::Result(ResultDocument {
                code: result_of(&application.code),
                number: numbers.of_document(),
                issued_at,
                application: Some(application.number.clone()),
                applicant: None,
                outcome: *outcome,
                valid_until: outcome.is_favourable().then(|| issued_at.plus(VALID_FOR)),
                remarks: remarks_of(*outcome).map(Into::into),
                items: application.items.iter().map(|item| decided(item.sequence)).collect(),
            })
        }
    }
}

/// Numbers of documents: the time, as Korean agencies make them, and what cannot occur twice.
struct Numbers<'a> {
    cause: &'a MessageId,
    step: usize,
    now: Timestamp,
}

impl Numbers<'_> {
    fn of_document(&self) -> Arc<str> {
        let unique = derive_id(&[self.cause.as_str(), &self.step.to_string()]);
        format!("{}-{}", self.now.to_jiff().strftime("%Y%m%d%H%M%S"), unique.get(..8).unwrap_or(&unique))
            .into()
    }

    /// The step is in it, so that the agency knows where to go on.
    fn of_fee(&self) -> Arc<str> {
        let unique = derive_id(&[self.cause.as_str(), &self.step.to_string()]);
        format!("F{}-{}", self.step, unique.get(..12).unwrap_or(&unique)).into()
    }

    fn customs(&self, action: &str, declaration: &Arc<str>, status: Option<Arc<str>>) -> Document {
        Document::Customs(CustomsNotice {
            code: code(action),
            number: self.of_document(),
            issued_at: self.now,
            declaration: declaration.clone(),
            status,
            remarks: None,
        })
    }
}

/// Says in a document of ours that it is a rehearsal.
pub(super) fn mark_as_practice(document: &mut Document) {
    let remarks = match document {
        Document::Result(result) => &mut result.remarks,
        Document::Notice(notice) => &mut notice.remarks,
        Document::Customs(notice) => &mut notice.remarks,
        Document::FeeNotice(notice) => {
            notice.reason = format!("{PRACTICE}; {}", notice.reason).into();
            return;
        }
        _ => return,
    };
    let more = remarks.take().map_or_else(String::new, |remarks| format!("; {remarks}"));
    *remarks = Some(format!("{PRACTICE}{more}").into());
}

/// What every document says that is a rehearsal.
const PRACTICE: &str = "Practice, without effect";

fn acceptance_number(application: &ApplicationDocument) -> Arc<str> {
    format!("A-{}", application.number).into()
}

const fn wants_answer(kind: NoticeKind) -> bool {
    matches!(kind, NoticeKind::SupplementRequested | NoticeKind::DocumentsRequested)
}

const fn remarks_of(outcome: Outcome) -> Option<&'static str> {
    match outcome {
        Outcome::Rejected => Some("Refused by the practice script"),
        Outcome::ApprovedConditional => Some("Not to be distributed until the examination has ended"),
        _ => None,
    }
}

const CANCELLATION: &str = "1";
const ANSWER_WITHIN: Duration = Duration::from_secs(14 * 86_400);
const VALID_FOR: Duration = Duration::from_secs(365 * 86_400);

#[cfg(test)]
mod tests {
    use super::super::words::gist;
    use super::*;
    use crate::model::{ApplicationItem, Realm, StatusReport};

    fn play(role: Role, script: &str) -> Play {
        let script = script.parse().expect("is a script");
        Play { role, script, customs_delay: Duration::from_millis(20) }
    }

    fn application(function: &str) -> ApplicationDocument {
        let item = |sequence| ApplicationItem { sequence, hs: "1211901000".parse().expect("is a code") };
        ApplicationDocument {
            code: code("GOVCBRX01"),
            number: "X01-1".into(),
            function: function.into(),
            reason: None,
            items: vec![item(1), item(2)],
            attachments: Vec::new(),
        }
    }

    fn x51(_: &DocumentCode) -> DocumentCode {
        code("GOVCBRX51")
    }

    fn came() -> Timestamp {
        Timestamp::from_millis(1_259_629_200_000)
    }

    /// What is said for a document, with the delay in milliseconds.
    fn said(play: &Play, document: &Document, text: &str) -> Vec<(u64, String, String)> {
        let cause = MessageId::new("m1").expect("is an id");
        let told = |owed: Owed| {
            let after = u64::try_from(owed.after.as_millis()).expect("is short");
            let document = document_of(&owed, &cause, came(), came().plus(owed.after), &x51);
            (after, document.code().to_string(), gist(&document))
        };
        owed(play, document, text, None).into_iter().map(told).collect()
    }

    #[test]
    fn an_agency_plays_its_script() {
        fn check(script: &str, function: &str, text: &str, expected: &[(u64, &str, &str)]) {
            let document = Document::Application(application(function));
            let told = said(&play(Role::Agency, script), &document, text);
            let told: Vec<_> = told.iter().map(|(after, code, gist)| (*after, &**code, &**gist)).collect();
            assert_eq!(told, expected, "{script} {text}");
        }
        let usual = "ACCEPT,10ms;REVIEW,10ms;APPROVE,10ms";
        let accepted =
            [(10, "GOVCBRRBH", "accepted"), (20, "GOVCBRRBH", "under_review"), (30, "GOVCBRX51", "approved")];
        check(usual, "9", "<Declaration/>", &accepted);
        check(usual, "9", "<Content>SIM:REJECT,1s</Content>", &[(1000, "GOVCBRX51", "rejected")]);
        check(usual, "9", "<Content>SIM:NONSENSE</Content>", &accepted);
        check(usual, "1", "<Declaration/>", &[(300, "GOVCBRX51", "cancelled")]);
        check("ERROR", "9", "", &[(0, "GOVCBRRBG", "error")]);
        check("", "9", "", &[]);
        let asked = said(
            &play(Role::Agency, "ACCEPT;FEE@500,10ms;APPROVE"),
            &Document::Application(application("9")),
            "",
        );
        assert_eq!(asked.len(), 2, "what follows a fee waits: {asked:?}");
        assert_eq!((asked[1].0, &*asked[1].1), (10, "GOVCBRXF1"));
    }

    #[test]
    fn an_agency_goes_on_behind_the_fee_that_is_paid() {
        let play = play(Role::Agency, "FEE,1s;REVIEW;FEE@5;APPROVE,10ms");
        let check = |fee: &str, expected: &[(usize, &str)]| {
            let moves = owed_when_paid(&play, &application("9"), "", fee);
            let told = |owed: &Owed| match &owed.saying {
                Saying::Agency { action, .. } => (owed.step, action.to_string()),
                other => panic!("{other:?}"),
            };
            let told: Vec<_> = moves.iter().map(told).collect();
            let told: Vec<_> = told.iter().map(|(step, action)| (*step, &**action)).collect();
            assert_eq!(told, expected, "{fee}");
        };
        check("F0-abc", &[(1, "REVIEW"), (2, "FEE@5")]);
        check("F2-abc", &[(3, "APPROVE")]);
        check("F3-abc", &[]);
        check("F-abc", &[]);
        check("20091201-7", &[]);
    }

    #[test]
    fn items_are_decided_one_by_one_and_notices_can_be_overtaken() {
        let play = play(Role::Agency, "REJECT@2,1s;ACCEPT,1s");
        let moves = owed(&play, &Document::Application(application("9")), "", None);
        let cause = MessageId::new("m1").expect("is an id");
        let documents: Vec<_> = moves
            .iter()
            .map(|owed| document_of(owed, &cause, came(), came().plus(owed.after), &x51))
            .collect();
        let [Document::Result(result), Document::Notice(notice)] = documents.as_slice() else {
            panic!("a result and a notice: {documents:?}");
        };
        let outcomes: Vec<_> = result.items.iter().map(|item| (item.sequence, item.outcome)).collect();
        assert_eq!(outcomes, [(1, Outcome::Approved), (2, Outcome::Rejected)]);
        assert!(notice.issued_at < result.issued_at, "5.2: the agency wrote the notice first");
        assert_ne!(notice.number, result.number);
    }

    #[test]
    fn customs_clears_what_every_agency_agreed_to() {
        let report = |event: &str, outcome: Option<&str>| {
            Document::StatusReport(StatusReport {
                number: "r1".into(),
                realm: Realm::Production,
                issued_at: came(),
                declaration: Some("1234509000017X".into()),
                case: "case".into(),
                revision: 1,
                event: event.into(),
                outcome: outcome.map(Into::into),
                state: None,
                customs_status: None,
                deadline: None,
                timeline: Vec::new(),
                applications: Vec::new(),
                claims: Vec::new(),
            })
        };
        let check = |role, event: &str, outcome: Option<&str>, expected: &[(&str, &str)]| {
            let told = said(&play(role, ""), &report(event, outcome), "");
            let told: Vec<_> = told.iter().map(|(_, code, gist)| (&**code, &**gist)).collect();
            assert_eq!(told, expected, "{event} {outcome:?}");
        };
        check(Role::Customs, "all_collected", Some("favourable"), &[("GOVCBR023", "status 13")]);
        check(Role::Customs, "all_collected", Some("unfavourable"), &[("GOVCBR5GZ", "status 15")]);
        check(Role::Customs, "first_result", None, &[]);
        check(Role::Broker, "all_collected", Some("favourable"), &[]);
    }
}
