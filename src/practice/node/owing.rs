//! What a practice partner owes for what it took in: written when its time has come, signed, and sent until
//! its end is known. What is in the journal is sent as it stands there, also after a restart.

use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::kept::{octets_of, read_again};
use super::{Desk, lock};
use crate::codec::catalogue::Catalogue;
use crate::codec::document::{Signatory, write_customs_notice, write_fee_notice, write_notice, write_result};
use crate::model::{
    Acknowledgment, Agreement, ContentId, ConversationId, Digest, Document, DocumentCode, Message, MessageId,
    Payload, PaymentConfirmation, PaymentOutcome, Sealed, Timestamp, role_of_document_code,
};
use crate::practice::journal::{Ended, Ending, Entry, Journal, Received, Sent};
use crate::practice::outcome::{Outcome, Wanted};
use crate::practice::partner::{Letter, Outgoing};
use crate::practice::role::{self, Owed};
use crate::practice::words;
use crate::security::Verified;

impl Desk {
    /// What our role owes for a message that was taken in.
    pub(super) fn owed_for(&self, document: Option<&Document>, received: &Received) -> Vec<Owed> {
        let text = received.text.as_deref().unwrap_or_default();
        let Some(document) = document else { return Vec::new() };
        if let Document::PaymentConfirmation(said) = document {
            return match &said.outcome {
                PaymentOutcome::Paid { .. } => self.owed_when_paid(said),
                PaymentOutcome::Refused { .. } => Vec::new(),
            };
        }
        let mut declared = lock(&self.declared);
        if let Document::Declaration(declaration) = document
            && let Some(script) = role::script_of(text)
        {
            declared.insert(declaration.number.clone(), script);
        }
        let script = words::about(document).and_then(|number| declared.get(&number));
        role::owed(&self.play, document, text, script)
    }

    /// What we owe about an application of which a fee is paid: the journal has it.
    fn owed_when_paid(&self, said: &PaymentConfirmation) -> Vec<Owed> {
        let path = Journal::path_in(&self.partner.settings().directory);
        let entries = Journal::entries_from(&path, 0).map(|(entries, _)| entries);
        let is_it = |entry: Entry| match entry {
            Entry::Received(received) if received.document.as_ref() == Some(&said.application) => {
                Some(received)
            }
            _ => None,
        };
        let came = entries.unwrap_or_default().into_iter().filter_map(is_it).next_back();
        let Some(came) = came else { return Vec::new() };
        match read_again(self.catalogue(), &came) {
            Some(Document::Application(application)) => {
                let text = came.text.as_deref().unwrap_or_default();
                role::owed_when_paid(&self.play, &application, text, &said.fee)
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn spawn_owed(self: &Arc<Self>, owed: Owed, received: &Received) {
        let (desk, cause) = (Arc::clone(self), Cause::of(received));
        self.spawn(async move {
            let elapsed = (desk.clock)().since(cause.came);
            sleep(owed.after.saturating_sub(elapsed)).await;
            match desk.write(&owed, &cause, Vec::new()) {
                Ok(sent) => desk.send(sent).await,
                Err(error) => tracing::error!(cause = format!("{error:#}"), "an answer cannot be written"),
            }
        });
    }

    /// Every kind of document that we know.
    pub(super) fn catalogue(&self) -> &Catalogue {
        &self.partner.settings().catalogue
    }

    /// Of the results that answer an application, the one that is agreed for us to send.
    fn result_of(&self, application: &DocumentCode) -> DocumentCode {
        let settings = self.partner.settings();
        let form = self.catalogue().of_code(application.as_str());
        let mut answers = form.iter().flat_map(|form| &form.answers);
        let agreed = answers.find(|answer| settings.service_of(answer.as_str()).is_some());
        agreed.unwrap_or(application).clone()
    }

    /// What is owed at once and goes back on the connection of what it answers, with the receipt in it, where
    /// that is agreed; its place among all that is owed, and the message.
    pub(super) fn response(
        &self,
        owed: &[Owed],
        agreement: &Agreement,
        received: &Received,
        receipt: &Message,
    ) -> Option<(usize, Sent)> {
        let owed = owed.iter().find(|owed| owed.after.is_zero())?;
        if !agreement.sync_reply_mode.returns_response() || receipt.acknowledgments.is_empty() {
            return None;
        }
        match self.write(owed, &Cause::of(received), receipt.acknowledgments.clone()) {
            Ok(sent) if sent.cpa_id == agreement.cpa_id => Some((owed.step, sent)),
            // It is posted, under the agreement that lets it go.
            Ok(_) => None,
            Err(error) => {
                tracing::error!(cause = format!("{error:#}"), "an answer cannot be written");
                None
            }
        }
    }

    /// Writes and seals an owed message; `acknowledgments` ride on it.
    fn write(&self, owed: &Owed, cause: &Cause, acknowledgments: Vec<Acknowledgment>) -> Result<Sent> {
        let now = (self.clock)();
        let result_of = |application: &DocumentCode| self.result_of(application);
        let mut document = role::document_of(owed, &cause.message_id, cause.came, now, &result_of);
        if self.partner.settings().realm.is_practice() {
            role::mark_as_practice(&mut document);
        }
        let text = write(self.catalogue(), &document)?;
        let code = document.code();
        let action: Arc<str> = code.as_str().into();
        let service = self.partner.settings().service_of(&action);
        let message_id = self.id_of(&cause.message_id, owed.step);
        let body = Bytes::from(text);
        let payload = Payload {
            content_id: ContentId::new(format!("document.{message_id}"))?,
            media_type: "application/xml".into(),
            role: Some(role_of_document_code(&code).into()),
            digest: Digest::of(&body),
            body: body.into(),
        };
        let letter = Letter {
            message_id: message_id.clone(),
            conversation_id: cause.conversation_id.clone(),
            ref_to_message_id: Some(cause.message_id.clone()),
            service: service.with_context(|| format!("no agreement lets us send {action}"))?,
            action: action.clone(),
            payloads: vec![payload],
            acknowledgments,
            order: None,
        };
        let (Outgoing { cpa_id, sealed, .. }, _) = self.partner.seal_in_order(letter, now)?;
        Ok(Sent {
            time: now,
            message_id,
            ref_to_message_id: Some(cause.message_id.clone()),
            conversation_id: cause.conversation_id.clone(),
            cpa_id,
            action,
            document: words::number_of(&document),
            about: words::about(&document),
            says: words::gist(&document),
            cause: cause.message_id.clone(),
            sealed: octets_of(&sealed),
            references: sealed.references,
        })
    }

    /// Notes a message of ours, then sends it until its end.
    async fn send(&self, sent: Sent) {
        match self.journal.append(&Entry::Sent(sent.clone())).await {
            Ok(_) => self.deliver(sent).await,
            Err(error) => tracing::error!(cause = error.to_string(), "the journal fails: nothing is sent"),
        }
    }

    pub(super) async fn deliver(&self, sent: Sent) {
        let waiting = self.listen_about(&sent);
        self.deliver_to_end(sent, waiting, false).await;
    }

    /// Sends on what goes back on a connection: its receipt may come before the answer has left.
    pub(super) fn spawn_begun(self: &Arc<Self>, sent: Sent) {
        let (desk, waiting) = (Arc::clone(self), self.listen_about(&sent));
        self.spawn(async move { desk.deliver_to_end(sent, waiting, true).await });
    }

    /// Signals about a message of ours go here from now on.
    fn listen_about(&self, sent: &Sent) -> mpsc::Receiver<Verified> {
        let (signals, waiting) = mpsc::channel(SIGNALS_MAX);
        lock(&self.open).insert(sent.message_id.clone(), signals);
        waiting
    }

    async fn deliver_to_end(&self, sent: Sent, waiting: mpsc::Receiver<Verified>, begun: bool) {
        let Sent { message_id, cpa_id, references, sealed, .. } = sent;
        let sealed = Sealed { content_type: sealed.content_type, body: sealed.body.into(), references };
        let outgoing = Outgoing { message_id: message_id.clone(), cpa_id, sealed };
        let wanted = self.partner.agreement(&outgoing.cpa_id).map_or(Wanted::Receipt, Wanted::under);
        let ended = self.partner.deliver(&outgoing, waiting, wanted, begun, self.clock).await;
        lock(&self.open).remove(&message_id);
        // A business response in the answer is left: unacknowledged, it comes by a POST like everything else.
        let ended = ended.map(|Outcome { how, reason, .. }| (how, reason));
        let (how, reason) = ended.unwrap_or_else(|error| (Ending::Expired, format!("{error:#}")));
        if !matches!(how, Ending::Acknowledged | Ending::Taken) {
            tracing::warn!(
                message_id = message_id.as_str(),
                cause = reason,
                "a message of ours was not taken"
            );
        }
        let entry = Entry::Ended(Ended { time: (self.clock)(), message_id, how, reason });
        match self.journal.append(&entry).await {
            Ok(_) => self.done.send_modify(|done| done.ended += 1),
            Err(error) => tracing::error!(cause = error.to_string(), "the journal cannot be written"),
        }
    }

    /// The MessageId of an answer: the same after every restart.
    pub(super) fn id_of(&self, cause: &MessageId, step: usize) -> MessageId {
        self.partner.id_from(&["answer", cause.as_str(), &step.to_string()])
    }
}

/// The octets of a document that a partner writes.
fn write(catalogue: &Catalogue, document: &Document) -> Result<String> {
    match document {
        Document::Result(result) => Ok(write_result(catalogue, result)),
        Document::Notice(notice) => Ok(write_notice(notice)),
        Document::Customs(notice) => Ok(write_customs_notice(notice)),
        Document::FeeNotice(notice) => Ok(write_fee_notice(notice, AGENCY)),
        _ => anyhow::bail!("partners do not write {}", document.code()),
    }
}

/// Who signs a fee notice.
const AGENCY: Signatory<'static> = Signatory { agency: "Practice agency", officer: None };

/// What an owed message needs of the one that it answers.
struct Cause {
    message_id: MessageId,
    conversation_id: ConversationId,
    came: Timestamp,
}

impl Cause {
    fn of(received: &Received) -> Self {
        Self {
            message_id: received.message_id.clone(),
            conversation_id: received.conversation_id.clone(),
            came: received.time,
        }
    }
}

const SIGNALS_MAX: usize = 4;
