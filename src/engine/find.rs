//! Which application an agency's document is about, and which version of it: by RefToMessageId, then application
//! number, then conversation (domain brief, 5.3; digest, 20; ruling 22).

use std::sync::Arc;

use super::decide::Inbound;
use crate::case::{Version, version_named};
use crate::model::{Application, Case};
use crate::store::Versioned;

/// What an agency's document answers.
pub(super) enum Answered<'a> {
    /// This version of this application of this case.
    Application(&'a Versioned<Case>, usize, Version),
    /// Nothing we know.
    Nothing,
    /// It names two different things, or another agency's application.
    Contradiction(String),
}

/// The application that a document of the sender is about, given the application number in it.
pub(super) fn answered<'a>(inbound: &Inbound<'a>, number: Option<&Arc<str>>) -> Answered<'a> {
    let Some(stored) = &inbound.desk.view.case else { return Answered::Nothing };
    let header = &inbound.arrival.verified.message().header;
    let applications = &stored.value.applications;
    let find = |is: &dyn Fn(&Application) -> bool| applications.iter().position(is);
    let sent = header.data.ref_to_message_id.as_ref();
    let by_message = sent.and_then(|id| {
        let mut named = applications.iter().enumerate();
        named.find_map(|(index, application)| Some((index, version_named(application, id)?)))
    });
    let by_number = number.and_then(|number| find(&|a| a.number.as_ref() == Some(number)));
    let conversation = header.conversation_id.as_str();
    let by_conversation =
        || find(&|a| a.number.as_deref() == Some(conversation) && a.party == inbound.key.sender);
    let (index, version) = match (by_message, by_number, number) {
        (Some((message, _)), Some(number), _) if message != number => {
            return Answered::Contradiction(
                "RefToMessageId and application number name two applications".into(),
            );
        }
        (Some(_), None, Some(number)) => {
            return Answered::Contradiction(format!("RefToMessageId does not name application {number}"));
        }
        (Some((index, version)), ..) => (index, Some(version)),
        (None, Some(index), _) => (index, None),
        (None, None, Some(_)) => return Answered::Nothing,
        (None, None, None) => match by_conversation() {
            Some(index) => (index, None),
            None => return Answered::Nothing,
        },
    };
    let application = &applications[index];
    if application.party != inbound.key.sender {
        let number = application.number.as_deref().unwrap_or_default();
        return Answered::Contradiction(format!("application {number} is with {}", application.agency));
    }
    Answered::Application(stored, index, version.unwrap_or_else(|| acknowledged(inbound, application)))
}

/// The version of an application that its agency has last acknowledged, with this message or before.
fn acknowledged(inbound: &Inbound<'_>, application: &Application) -> Version {
    if application.former.is_empty() {
        return Version::Current;
    }
    let view = inbound.desk.view;
    let with_this = view.acknowledged.as_ref().map(|acknowledged| &acknowledged.delivery.value.message_id);
    let current = application.sent_as.as_ref();
    let has = current.is_some_and(|sent| view.delivered.contains(sent) || with_this == Some(sent));
    if has { Version::Current } else { Version::Former }
}
