//! `gwanmun send --ping`, `--test` and `--status`: what a partner may ask its gateway besides sending
//! documents (ebMS 2.0, 7 and 8). Nothing is remembered.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tokio::time::Instant;

use super::command::now;
use super::hear;
use super::journal::Ending;
use super::outcome::Outcome;
use super::partner::{Partner, told};
use crate::model::{
    Agreement, ConversationId, Direction, Message, MessageId, MessageKind, SignalAction, StatusBody,
    StatusResponse,
};
use crate::msh;
use crate::security::Verified;

/// What to ask.
#[derive(Clone, Debug)]
pub(super) enum Question {
    /// Is the gateway there? Under every agreement with it that is in force.
    Ping,
    /// Does a signed message get its signed receipt? Under every such agreement that names it.
    Test,
    /// What has become of this message of ours?
    Status(MessageId),
}

impl Question {
    /// Asks, and prints the answer. One that travels by itself is waited for with patience.
    ///
    /// # Errors
    /// When no verified answer comes, or it is an error.
    pub(super) async fn ask(
        &self,
        partner: &Partner,
        patience: Duration,
        json: bool,
        out: &mut dyn Write,
    ) -> Result<()> {
        let asked_at = now();
        let agreements = partner.settings().partners.registry.agreements();
        let mut agreements = agreements.filter(|agreement| agreement.in_force(asked_at)).peekable();
        ensure!(agreements.peek().is_some(), "no agreement with the gateway is in force");
        match self {
            Self::Ping => {
                for agreement in agreements {
                    ping(partner, agreement, patience, json, out).await?;
                }
                Ok(())
            }
            Self::Test => {
                let (service, action) = msh::TEST;
                let mut tested = agreements.filter(|a| a.allows(Direction::Send, service, action)).peekable();
                ensure!(
                    tested.peek().is_some(),
                    "no agreement in force has \"{service} {action}\" under send: agree it with the gateway first"
                );
                for agreement in tested {
                    test(partner, agreement, json, out).await?;
                }
                Ok(())
            }
            Self::Status(about) => {
                let agreement = agreements.next().context("no agreement with the gateway is in force")?;
                status(partner, agreement, about, (patience, json), out).await
            }
        }
    }
}

async fn ping(
    partner: &Partner,
    agreement: &Agreement,
    patience: Duration,
    json: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let message_id = partner.fresh_id()?;
    let conversation = ConversationId::new(message_id.as_str())?;
    let question = msh::ping(agreement, message_id.clone(), conversation, now());
    let began = Instant::now();
    let answer = answer_to(partner, &question, agreement, patience).await?;
    ensure!(
        answer.message().kind == MessageKind::Signal(SignalAction::Pong),
        "the gateway answers a Ping with {}",
        answer.message().header.action
    );
    let (cpa_id, took) = (&agreement.cpa_id, began.elapsed().as_millis());
    let signed = answer.is_signed();
    if json {
        let told = json!({ "cpa_id": cpa_id, "message_id": message_id, "took_ms": took, "signed": signed });
        writeln!(out, "{told}")?;
    } else {
        let how = if signed { "signed and verified" } else { "not signed" };
        writeln!(out, "Pong under {cpa_id} after {took} ms, {how}")?;
    }
    Ok(out.flush()?)
}

/// Sends what tests the way until its receipt verifies, as any message is sent.
async fn test(partner: &Partner, agreement: &Agreement, json: bool, out: &mut dyn Write) -> Result<()> {
    let message_id = partner.fresh_id()?;
    let conversation = ConversationId::new(message_id.as_str())?;
    let message = msh::test_message(agreement, message_id.clone(), conversation, now());
    let outgoing = partner.seal_message(&message, agreement)?;
    let began = Instant::now();
    let Outcome { how, reason, .. } = hear::deliver(partner, &outgoing).await?;
    let says = match how {
        Ending::Acknowledged => "acknowledged",
        Ending::Taken => "taken, and no acknowledgment is heard here,",
        Ending::Refused => bail!("the gateway refuses {message_id}:\n{reason}"),
        Ending::Expired => bail!("no receipt for {message_id}: {reason}"),
    };
    let (cpa_id, took) = (&agreement.cpa_id, began.elapsed().as_millis());
    if json {
        let acknowledged = how == Ending::Acknowledged;
        let told = json!({
            "cpa_id": cpa_id, "message_id": message_id, "took_ms": took, "acknowledged": acknowledged,
        });
        writeln!(out, "{told}")?;
    } else {
        writeln!(out, "{says} under {cpa_id} after {took} ms: {message_id}")?;
    }
    Ok(out.flush()?)
}

async fn status(
    partner: &Partner,
    agreement: &Agreement,
    about: &MessageId,
    (patience, json): (Duration, bool),
    out: &mut dyn Write,
) -> Result<()> {
    let message_id = partner.fresh_id()?;
    let conversation = ConversationId::new(message_id.as_str())?;
    let question = msh::status_request(agreement, message_id.clone(), conversation, about.clone(), now());
    let answer = answer_to(partner, &question, agreement, patience).await?;
    let Some(StatusBody::Told(StatusResponse { status, ref_to_message_id, timestamp })) =
        &answer.message().status
    else {
        bail!("the gateway answers a StatusRequest with {}", answer.message().header.action);
    };
    ensure!(ref_to_message_id == about, "the answer is about {ref_to_message_id}");
    if json {
        let told = json!({ "message_id": about, "status": status.as_str(), "received_at": timestamp });
        writeln!(out, "{told}")?;
    } else {
        let when = timestamp.map_or_else(String::new, |at| format!(", received {at}"));
        writeln!(out, "{about} is {}{when}", status.as_str())?;
    }
    Ok(out.flush()?)
}

/// The answer to this very question; errors are told.
async fn answer_to(
    partner: &Partner,
    question: &Message,
    agreement: &Agreement,
    patience: Duration,
) -> Result<Verified> {
    let answer = hear::ask(partner, question, agreement, patience).await?;
    let message = answer.message();
    if let Some(list) = &message.error_list {
        bail!("the gateway refuses:\n{}", list.errors.iter().map(told).collect::<Vec<_>>().join("\n"));
    }
    let about = message.header.data.ref_to_message_id.as_ref();
    ensure!(about == Some(&question.header.data.message_id), "the gateway answers something else");
    Ok(answer)
}
