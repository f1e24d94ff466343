//! Where a command hears what becomes of its message: on the connection; or, under syncReplyMode none, from
//! the partner's listener, another process, that notes in its journal what the gateway posts.
//!
//! Promises: a receipt counts only when its octets verify here, wherever they were read. When nobody listens,
//! a message is sent until the gateway has taken it, and nothing is said of a receipt.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::command::now;
use super::journal::{Entry, Journal, Posted};
use super::outcome::{Outcome, Wanted};
use super::partner::{Outgoing, Partner};
use crate::model::{Agreement, Digest, Message, MessageId, SyncReplyMode, format_duration};
use crate::security::Verified;

/// Where signals come to.
pub(super) enum Hearing {
    /// Back on the connection.
    Connection,
    /// To the partner's listener.
    Listener(Ear),
    /// To the partner's address, where nobody listens, or to its mailbox at the gateway.
    Nobody,
}

impl Hearing {
    /// Where signals under this agreement come to from now on.
    ///
    /// # Errors
    /// When the journal cannot be read.
    pub(super) fn under(partner: &Partner, agreement: &Agreement) -> Result<Self> {
        let directory = &partner.settings().directory;
        Ok(match agreement.sync_reply_mode {
            SyncReplyMode::None if !Journal::is_kept(directory) => Self::Nobody,
            SyncReplyMode::None => {
                let journal = Journal::path_in(directory);
                let (_, at) = Journal::entries_from(&journal, 0)?;
                Self::Listener(Ear { journal, at, heard: VecDeque::new() })
            }
            _ => Self::Connection,
        })
    }
}

/// Sends until there is a receipt, or the gateway refuses; where no receipt is agreed, or nobody would hear
/// it, until the gateway has taken it.
///
/// # Errors
/// When the agreement is gone, or the journal cannot be read.
pub(super) async fn deliver(partner: &Partner, outgoing: &Outgoing) -> Result<Outcome> {
    let agreement = partner.agreement(&outgoing.cpa_id)?;
    let hearing = Hearing::under(partner, agreement)?;
    let wanted = match hearing {
        Hearing::Connection | Hearing::Listener(_) => Wanted::under(agreement),
        Hearing::Nobody => Wanted::Taken,
    };
    let (told, signals) = mpsc::channel(1);
    let delivered = partner.deliver(outgoing, signals, wanted, false, now);
    match hearing {
        Hearing::Listener(ear) => tokio::select! {
            outcome = delivered => outcome,
            ended = ear.pass_on(partner, &outgoing.message_id, &told) => match ended? {},
        },
        Hearing::Connection | Hearing::Nobody => delivered.await,
    }
}

/// Asks something that a signal answers, and opens the answer.
///
/// # Errors
/// When the question is not taken, nobody would hear the answer, or none comes in time.
pub(super) async fn ask(
    partner: &Partner,
    question: &Message,
    agreement: &Agreement,
    patience: Duration,
) -> Result<Verified> {
    let mut ear = match Hearing::under(partner, agreement)? {
        Hearing::Connection => return partner.ask(question, agreement, now).await,
        Hearing::Listener(ear) => ear,
        Hearing::Nobody => bail!("agreement {}: the answer {}", agreement.cpa_id, comes_to(partner)),
    };
    let response = partner.post(agreement, &partner.seal_answer(question, agreement)?).await?;
    let status = response.status;
    ensure!(status.is_success(), "the gateway answers a question with HTTP {status}");
    let about = &question.header.data.message_id;
    let answer = timeout(patience, ear.next(partner, about)).await;
    answer.with_context(|| format!("no answer within {}", format_duration(patience)))?
}

/// Where what nobody hears comes to, in words.
pub(super) fn comes_to(partner: &Partner) -> &'static str {
    if partner.settings().listen.is_some() {
        "is posted to our own address, where nobody listens: start `gwanmun practice` with the same settings"
    } else {
        "waits in our mailbox at the gateway: `gwanmun mailbox fetch`"
    }
}

/// Signals in the journal of a listener.
pub(super) struct Ear {
    journal: PathBuf,
    at: u64,
    heard: VecDeque<Posted>,
}

impl Ear {
    /// Passes on every signal about a message, until the journal cannot be read.
    async fn pass_on(
        mut self,
        partner: &Partner,
        about: &MessageId,
        to: &mpsc::Sender<Verified>,
    ) -> Result<Infallible> {
        loop {
            to.send(self.next(partner, about).await?).await.context("nobody waits for it")?;
        }
    }

    /// The next signal about a message.
    async fn next(&mut self, partner: &Partner, about: &MessageId) -> Result<Verified> {
        loop {
            while let Some(Posted { time, about: named, octets }) = self.heard.pop_front() {
                if named == *about {
                    let peer = partner.settings().gateway().tls_digests().first().copied().map(Digest);
                    let opened = partner.open(&octets.content_type, &Bytes::from(octets.body), peer, time);
                    return opened.map_err(|refusal| {
                        anyhow::anyhow!("what the listener noted is refused: {}", refusal.text)
                    });
                }
            }
            let (entries, end) = Journal::entries_from(&self.journal, self.at)?;
            self.at = end;
            self.heard.extend(entries.into_iter().filter_map(|entry| match entry {
                Entry::Signal(posted) => Some(posted),
                _ => None,
            }));
            if self.heard.is_empty() {
                sleep(LOOK_EVERY).await;
            }
        }
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(50);
