//! `gwanmun party check`: a partner is reached as a message would reach it: its agreements, its certificates, the
//! connection, a Ping that must come back as a verified Pong, a message that tests the way and its receipt, and what the
//! partner says of that message (ebMS 2.0, 6, 7 and 8; digest, 11 to 13).
//!
//! Leaves no record and moves no delivery; the partner keeps the test message. Under syncReplyMode none what it answers
//! comes by POSTs of their own, which shows that it reaches us too.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::admin::json_response;
use super::driver::compute;
use super::send::{NotPosted, post, reach, read_response};
use super::shared::{Shared, now};
use crate::engine::{Heard, Says};
use crate::model::{
    Agreement, AttemptOutcome, ConversationId, DigestReference, Direction, Message, MessageId, Override,
    Party, PartyKey, Presence, Sealed, Service, SignalAction, SyncReplyMode, Timestamp, derive_id,
    format_duration,
};
use crate::msh::{TEST, check_receipt, ping, status_request, test_message};
use crate::security::seal;
use crate::transport::{PostErrorKind, Response, StatusCode};

/// How long checking an agreement may take in all, which is less than the command line waits.
const CHECK_DEADLINE: Duration = Duration::from_secs(10);

/// What came of checking one agreement.
#[derive(Debug, Serialize)]
struct Checked {
    cpa_id: String,
    endpoint: String,
    /// No step failed; absent when it is not in force, and nothing is sent under it.
    reached: Option<bool>,
    steps: Vec<Taken>,
}

/// One step, in the order in which a message would take it. The first that fails is the last.
#[derive(Debug, Serialize)]
struct Taken {
    step: &'static str,
    /// Absent when the step was not taken: it is not agreed, or the partner does not have to.
    ok: Option<bool>,
    says: String,
}

/// The step that failed, and why.
type Failed = (&'static str, String);

/// Checks every agreement with the party of this name or box number, all at once.
pub(super) async fn check(shared: &Arc<Shared>, called: &str) -> Response {
    let in_force = shared.in_force.load_full();
    let registry = &in_force.trust.registry;
    let Some(party) = registry.parties().find(|party| party.key.as_str() == called || *party.name == *called)
    else {
        return json_response(StatusCode::NOT_FOUND, &json!({ "error": "there is no party of that name" }));
    };
    let mut visits = JoinSet::new();
    let agreements = registry.agreements().filter(|agreement| agreement.partner == party.key);
    for (place, agreement) in agreements.cloned().enumerate() {
        let (shared, party) = (Arc::clone(shared), party.clone());
        visits.spawn(async move { (place, Visit::of(&shared, &party, &agreement).await) });
    }
    let mut checked = visits.join_all().await;
    checked.sort_by_key(|(place, _)| *place);
    let agreements: Vec<_> = checked.into_iter().map(|(_, checked)| checked).collect();
    let came: Vec<_> = agreements.iter().filter_map(|checked: &Checked| checked.reached).collect();
    let reached = !came.is_empty() && !came.contains(&false);
    let told = json!({
        "party": party.key, "name": party.name, "reached": reached, "agreements": agreements,
    });
    json_response(StatusCode::OK, &told)
}

/// One agreement under check.
struct Visit<'a> {
    shared: &'a Arc<Shared>,
    party: &'a Party,
    usual: &'a Agreement,
    /// As it holds for what is sent next.
    agreement: &'a Agreement,
    /// URLs that a connection was made to.
    reached: BTreeSet<Arc<str>>,
    until: Instant,
    steps: Vec<Taken>,
}

impl<'a> Visit<'a> {
    async fn of(shared: &'a Arc<Shared>, party: &'a Party, agreement: &'a Agreement) -> Checked {
        let (until, reached) = (Instant::now() + CHECK_DEADLINE, BTreeSet::new());
        let mut visit =
            Self { shared, party, usual: agreement, agreement, reached, until, steps: Vec::new() };
        let came = if agreement.in_force(now()) {
            Some(visit.take_steps().await)
        } else {
            visit.left_out("agreement", "it is not in force now".to_owned());
            None
        };
        if let Some(Err((step, says))) = &came {
            visit.steps.push(Taken { step, ok: Some(false), says: says.clone() });
        }
        Checked {
            cpa_id: agreement.cpa_id.to_string(),
            endpoint: agreement.endpoint.as_deref().unwrap_or("mailbox").to_owned(),
            reached: came.map(|came| came.is_ok()),
            steps: visit.steps,
        }
    }

    /// Each question goes where the agreement has it go; where nothing is asked a connection is made.
    async fn take_steps(&mut self) -> Result<(), Failed> {
        let agreement = self.usual;
        self.took("agreement", terms(agreement));
        let certificates = self.certificates()?;
        self.took("certificates", certificates);
        if agreement.endpoint.is_none() {
            self.took("mailbox", "nothing is posted to it: it collects".to_owned());
            return Ok(());
        }
        let signal = |signal: SignalAction| agreement.on(Direction::Send, Service::MSH, signal.as_str());
        self.agreement = signal(SignalAction::Ping);
        self.ping().await?;
        let (service, action) = TEST;
        self.agreement = agreement.on(Direction::Send, service, action);
        let tested = self.send_test().await?;
        self.agreement = signal(SignalAction::StatusRequest);
        self.ask_status(tested).await?;
        for (url, what) in posted_to(agreement) {
            self.reach(&url, &what).await?;
        }
        Ok(())
    }

    fn took(&mut self, step: &'static str, says: String) {
        self.steps.push(Taken { step, ok: Some(true), says });
    }

    fn left_out(&mut self, step: &'static str, says: String) {
        self.steps.push(Taken { step, ok: None, says });
    }

    /// What the party signs with, and until when.
    fn certificates(&self) -> Result<String, Failed> {
        let in_force = self.shared.in_force.load();
        let validity = in_force.trust.keys.validity();
        let mut ends: Vec<_> =
            validity.filter(|(party, ..)| **party == self.party.key).map(|(.., end)| end).collect();
        ends.sort_unstable();
        match ends.last() {
            None if in_force.trust.keys.revoked().any(|(party, _)| *party == self.party.key) => {
                Err(("certificates", "what it signs with is on a revocation list".to_owned()))
            }
            None => Err(("certificates", "no certificate is registered that it could sign with".to_owned())),
            Some(last) if *last <= now() => {
                Err(("certificates", format!("what it signs with has expired: {last}")))
            }
            Some(_) => {
                let ends: Vec<_> = ends.iter().map(ToString::to_string).collect();
                Ok(format!("it signs with {} certificate(s), until {}", ends.len(), ends.join(", ")))
            }
        }
    }

    async fn ping(&mut self) -> Result<(), Failed> {
        let agreement = self.agreement;
        let signs = agreement.reliability.ack_signed;
        let question =
            self.sealed("ping", signs, |id, conversation, now| ping(agreement, id, conversation, now));
        let (message_id, sealed) = question.await?;
        let began = Instant::now();
        let heard = self.posted(message_id, &sealed, ("Ping", "pong")).await?;
        let expects = |says: &Says| matches!(says, Says::Pong);
        match judge(&heard, &self.party.key, signs, expects) {
            Ok(how) => self.took("pong", format!("{how}, after {} ms", began.elapsed().as_millis())),
            Err(Unwelcome::NotSupported(why)) => self.left_out("pong", why),
            Err(Unwelcome::Wrong(why)) => return Err(("pong", why)),
        }
        Ok(())
    }

    /// Sends what tests the way, when that is agreed; gives its MessageId once its receipt is here.
    async fn send_test(&mut self) -> Result<Option<MessageId>, Failed> {
        let agreement = self.agreement;
        let (service, action) = TEST;
        if !agreement.allows(Direction::Send, service, action) {
            let how = format!(
                "not agreed: with \"{service} {action}\" under send here and under receive there a test message is sent"
            );
            self.left_out("message", how);
            return Ok(None);
        }
        let message =
            self.sealed("test", true, |id, conversation, now| test_message(agreement, id, conversation, now));
        let (message_id, sealed) = message.await?;
        if agreement.reliability.ack_requested == Presence::Never {
            self.post(&sealed, TEST.1).await?;
            self.took("message", "it was taken; no acknowledgment is agreed".to_owned());
            return Ok(Some(message_id));
        }
        let began = Instant::now();
        let heard = self.posted(message_id.clone(), &sealed, (TEST.1, "message")).await?;
        let how =
            receipt(&heard, self.party, agreement, &sealed.references).map_err(|why| ("message", why))?;
        self.took("message", format!("{how}, after {} ms", began.elapsed().as_millis()));
        Ok(Some(message_id))
    }

    /// Asks what has become of the test message; of no message at all, when none was sent.
    async fn ask_status(&mut self, tested: Option<MessageId>) -> Result<(), Failed> {
        let agreement = self.agreement;
        let signs = agreement.reliability.ack_signed;
        let about = tested.clone();
        let question = self.sealed("status", signs, |id, conversation, now| {
            let about = about.unwrap_or_else(|| id.clone());
            status_request(agreement, id, conversation, about, now)
        });
        let (message_id, sealed) = question.await?;
        let heard = self.posted(message_id, &sealed, ("StatusRequest", "status")).await?;
        let expects = |says: &Says| matches!(says, Says::Status(_));
        match (judge(&heard, &self.party.key, signs, expects), &heard.says) {
            (Ok(how), Says::Status(told)) => {
                let status = told.status.as_str();
                match (tested, told.status.has_time()) {
                    (Some(_), true) => self.took("status", format!("{status}, {how}")),
                    (Some(_), false) => {
                        let why = format!("it says {status} of a message that it has taken");
                        return Err(("status", why));
                    }
                    (None, _) => self.took("status", format!("{status} of a message never sent, {how}")),
                }
            }
            (Err(Unwelcome::NotSupported(why)), _) => self.left_out("status", why),
            (Err(Unwelcome::Wrong(why)), _) => return Err(("status", why)),
            (Ok(_), _) => return Err(("status", "it answers with something else".to_owned())),
        }
        Ok(())
    }

    /// Posts, and waits for what is said of it; `step` is where that fails.
    async fn posted(
        &mut self,
        message_id: MessageId,
        sealed: &Sealed,
        (what, step): (&str, &'static str),
    ) -> Result<Heard, Failed> {
        let answer = self.shared.questions.ask(message_id);
        self.post(sealed, what).await?;
        // Under mshSignalsOnly it is there by now.
        match timeout_at(self.until, answer).await {
            Ok(Ok(heard)) => Ok(heard),
            _ => Err((step, nothing_in_time())),
        }
    }

    /// Posts. What is the first to go to a URL tells that it answers there.
    async fn post(&mut self, sealed: &Sealed, what: &str) -> Result<(), Failed> {
        let url = self.agreement.endpoint.clone();
        let is_first = match &url {
            Some(url) => self.reach(url, what).await?,
            None => false,
        };
        let posting = post(self.shared, &self.party.key, url.as_deref(), sealed);
        let response = match timeout_at(self.until, posting).await {
            Err(_) => return Err(("answer", nothing_in_time())),
            Ok(response) => response.map_err(not_posted)?,
        };
        let status = response.status;
        match read_response(self.shared, response).await {
            AttemptOutcome::Taken => {
                if is_first {
                    self.took("answer", format!("HTTP {status}"));
                }
                Ok(())
            }
            AttemptOutcome::Unclear { reason }
            | AttemptOutcome::Unserved { reason }
            | AttemptOutcome::Again { reason, .. }
            | AttemptOutcome::GiveUp { reason } => Err(("answer", reason)),
        }
    }

    /// Makes a connection to a URL that none was made to; whether it did.
    async fn reach(&mut self, url: &Arc<str>, what: &str) -> Result<bool, Failed> {
        if !self.reached.insert(Arc::clone(url)) {
            return Ok(false);
        }
        // The agreement's own is told above all steps.
        if self.reached.len() > 1 || self.usual.endpoint.as_ref() != Some(url) {
            self.took("endpoint", format!("{url}, for {what}"));
        }
        reach(self.shared, &self.party.key, url, self.until).await.map_err(not_posted)?;
        self.took("connect", "it takes connections".to_owned());
        self.took("tls", "its certificate is trusted and registered, and it does not refuse ours".to_owned());
        Ok(true)
    }

    /// A message under a MessageId of its own, signed if it has to be.
    async fn sealed(
        &self,
        what: &'static str,
        signs: bool,
        make: impl FnOnce(MessageId, ConversationId, Timestamp) -> Message,
    ) -> Result<(MessageId, Sealed), Failed> {
        let (asked_at, number) = (now(), self.shared.questions.number());
        let domain = self.shared.in_force.load().settings.identity.domain.clone();
        let (at, number) = (asked_at.to_string(), number.to_string());
        let id = derive_id(&[what, self.agreement.cpa_id.as_str(), &at, &number]);
        let message_id =
            MessageId::new(format!("{id}@{domain}")).expect("a derived id and a host name are plain text");
        let conversation = ConversationId::new(message_id.as_str()).expect("so is this");
        let message = make(message_id.clone(), conversation, asked_at);
        let terms = self.agreement.signature.own;
        let sealing = compute(self.shared, move |_, in_force| {
            let signer = signs.then(|| in_force.keys.signer(terms));
            seal(&message, signer.transpose()?)
        });
        match sealing.await {
            Ok(Ok(sealed)) => Ok((message_id, sealed)),
            Ok(Err(error)) => Err(("sign", error.to_string())),
            Err(error) => Err(("sign", error.to_string())),
        }
    }
}

/// Where something is posted to under an agreement, and what.
fn posted_to(agreement: &Agreement) -> Vec<(Arc<str>, String)> {
    let mut urls = Vec::new();
    let sent = |other: &Override| {
        let sent = other.actions.iter().filter(|(direction, ..)| *direction == Direction::Send);
        sent.map(|(_, _, action)| action.to_string()).collect::<Vec<_>>().join(", ")
    };
    let others = agreement.overrides.iter().map(|other| (&other.agreement, sent(other)));
    for (terms, what) in std::iter::once((agreement, "messages".to_owned())).chain(others) {
        let answers = terms.response_endpoint.iter().map(|url| (Arc::clone(url), format!("answers: {what}")));
        urls.extend(terms.endpoint.iter().map(|url| (Arc::clone(url), what.clone())).chain(answers));
    }
    urls
}

/// The step that it failed at.
fn not_posted(error: NotPosted) -> Failed {
    let error = match error {
        NotPosted::Unregistered(why) => return ("agreement", why.to_owned()),
        NotPosted::Failed(error) => error,
    };
    let step = match error.kind {
        PostErrorKind::Connect => "connect",
        PostErrorKind::Handshake | PostErrorKind::Tls | PostErrorKind::WrongParty => "tls",
        _ => "answer",
    };
    (step, error.to_string())
}

/// What is agreed, as a person says it.
fn terms(agreement: &Agreement) -> String {
    let until = agreement.end.map_or_else(|| "in force".to_owned(), |end| format!("in force until {end}"));
    let way = match agreement.sync_reply_mode {
        SyncReplyMode::None => "signals by themselves",
        SyncReplyMode::MshSignalsOnly | SyncReplyMode::SignalsOnly => "signals on the connection",
        SyncReplyMode::ResponseOnly | SyncReplyMode::SignalsAndResponse => {
            "signals and responses on the connection"
        }
    };
    let reliability = &agreement.reliability;
    let receipts = match (reliability.ack_requested, reliability.ack_signed) {
        (Presence::Never, _) => "no acknowledgments",
        (_, true) => "signed acknowledgments",
        (_, false) => "acknowledgments",
    };
    let (retries, every) = (reliability.retries, format_duration(reliability.retry_interval));
    format!("{until}; {way}; {receipts}; {retries} retries every {every}")
}

fn nothing_in_time() -> String {
    format!("nothing came within {} s", CHECK_DEADLINE.as_secs())
}

/// Why an answer is not what was asked for.
#[derive(Debug)]
enum Unwelcome {
    /// The partner does not offer the service, which it need not.
    NotSupported(String),
    /// Anything else.
    Wrong(String),
}

/// Whether it is the answer of this party that `expects` knows, signed as its agreement wants it.
fn judge(
    heard: &Heard,
    party: &PartyKey,
    signs: bool,
    expects: impl Fn(&Says) -> bool,
) -> Result<&'static str, Unwelcome> {
    if heard.by != *party {
        return Err(Unwelcome::Wrong(format!("it came from {}", heard.by)));
    }
    match &heard.says {
        Says::Errors(errors) if errors.starts_with("NotSupported") => {
            Err(Unwelcome::NotSupported(format!("it does not offer this: {errors}")))
        }
        Says::Errors(errors) => Err(Unwelcome::Wrong(format!("it answers with errors: {errors}"))),
        says if !expects(says) => Err(Unwelcome::Wrong(format!("it answers with {}", named(says)))),
        _ if heard.signed => Ok("signed and verified"),
        _ if signs => {
            Err(Unwelcome::Wrong("it is not signed, but the agreement demands it of signals".to_owned()))
        }
        _ => Ok("not signed, as agreed"),
    }
}

/// Whether it is a receipt of the very message that went out (P4).
fn receipt(
    heard: &Heard,
    party: &Party,
    agreement: &Agreement,
    sent: &[DigestReference],
) -> Result<String, String> {
    let expects = |says: &Says| matches!(says, Says::Acknowledged(_));
    let how = judge(heard, &party.key, agreement.reliability.ack_signed, expects);
    let how = how.map_err(|(Unwelcome::NotSupported(why) | Unwelcome::Wrong(why))| why)?;
    let Says::Acknowledged(acknowledgment) = &heard.says else { return Err("it is no receipt".to_owned()) };
    check_receipt(acknowledgment, heard.signed, agreement, sent).map_err(|fault| fault.to_string())?;
    Ok(format!("acknowledged, {how}"))
}

fn named(says: &Says) -> &'static str {
    match says {
        Says::Pong => "a Pong",
        Says::Status(_) => "a StatusResponse",
        Says::Acknowledged(_) => "an Acknowledgment",
        Says::Errors(_) => "errors",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MessageStatus, StatusResponse};

    fn party(key: &str) -> PartyKey {
        PartyKey::new(key).expect("a party")
    }

    #[test]
    fn only_the_answer_of_the_party_as_agreed_is_one() {
        fn check(heard: Heard, signs: bool, expected: Result<&str, &str>) {
            let told = judge(&heard, &party("AG1"), signs, |says| matches!(says, Says::Pong));
            match (told, expected) {
                (Ok(told), Ok(expected)) => assert_eq!(told, expected),
                (Err(Unwelcome::NotSupported(why) | Unwelcome::Wrong(why)), Err(expected)) => {
                    assert!(why.contains(expected), "{why}");
                }
                (told, expected) => panic!("{told:?}, expected {expected:?}"),
            }
        }
        let message_id = |id: &str| MessageId::new(id).expect("a MessageId");
        let heard = |by: &str, signed, says| Heard { about: message_id("q@sw"), by: party(by), signed, says };
        check(heard("AG1", true, Says::Pong), true, Ok("signed and verified"));
        check(heard("AG1", false, Says::Pong), true, Err("not signed"));
        check(heard("AG1", false, Says::Pong), false, Ok("not signed, as agreed"));
        check(heard("AG2", true, Says::Pong), true, Err("it came from AG2"));
        let errors = |text: &str| Says::Errors(text.to_owned());
        check(heard("AG1", true, errors("NotSupported: Ping")), true, Err("does not offer"));
        check(heard("AG1", true, errors("Inconsistent: Role")), true, Err("with errors"));
        let told = StatusResponse {
            status: MessageStatus::NotRecognized,
            ref_to_message_id: message_id("m@sw"),
            timestamp: None,
        };
        check(heard("AG1", true, Says::Status(told)), true, Err("a StatusResponse"));
    }
}
