//! Has an authority stamp the heads of the audit record with its time (RFC 3161; P18; threat S26).
//!
//! Off the way of everything: the newest head is stamped, which speaks for all before it, and the token becomes an entry
//! of the record, so that export, backup and the heads after it carry it on. An authority that is away is asked again,
//! about what is the newest head then. A token that does not count is never kept; nor is a head stamped that only says
//! that the one before it was.

use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::{Instant, sleep};
use tracing::{error, info};

use super::driver::compute;
use super::shared::{Shared, now};
use crate::codec::time_stamp::{QUERY_TYPE, REPLY_TYPE, RESPONSE_BYTES_MAX};
use crate::config::TimeStampSettings;
use crate::model::{Attested, HeadStamp, TimelineEntry, Timestamp};
use crate::security::{TimeStampAuthority, TimeStampFault, TimeStampQuestion};
use crate::store::{Batch, CommitError, Store, StoreError};
use crate::telemetry::EventCode;
use crate::transport::{
    Call, Client, ClientOptions, Content, Method, PostError, PostResponse, StatusCode, Tls, TlsContext,
};

/// How often it looks whether a time stamp is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How to reach an authority, and whose time stamps count.
pub(super) struct Stamper {
    settings: TimeStampSettings,
    authority: TimeStampAuthority,
    client: Client,
}

impl Stamper {
    pub(super) fn new(settings: TimeStampSettings, tls: TlsContext, authority: TimeStampAuthority) -> Self {
        let options = ClientOptions {
            connect_deadline: settings.connect_deadline,
            handshake_deadline: settings.connect_deadline,
            response_deadline: settings.response_deadline,
            body_deadline: settings.response_deadline,
            body_bytes_max: RESPONSE_BYTES_MAX,
            ..ClientOptions::default()
        };
        Self { settings, authority, client: Client::new(Tls::new(tls), options) }
    }
}

/// What an operator is told.
#[derive(Clone, Default)]
pub(super) struct Waiting {
    /// The time of the last time stamp, or when the first head was seen, while there is a head that waits for one.
    pub(super) since: Option<Timestamp>,
    /// Why there is none.
    pub(super) trouble: Option<String>,
}

/// How far the record is stamped.
#[derive(Default)]
pub(super) struct Stamps(Mutex<Waiting>);

impl Stamps {
    /// How it stands.
    pub(super) fn waiting(&self) -> Waiting {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no time stamp.
#[derive(Debug, thiserror::Error)]
enum StampFault {
    #[error("the audit record cannot be read: {0}")]
    Unreadable(#[from] StoreError),
    #[error("the authority was not reached: {0}")]
    Unreached(#[from] PostError),
    #[error("the authority answers {0}")]
    Status(StatusCode),
    #[error("the authority answers with {0}, and not with {REPLY_TYPE}")]
    ContentType(String),
    #[error("the time stamp does not count: {0}")]
    NotCounted(#[from] TimeStampFault),
    #[error("there are no random octets: {0}")]
    NoNonce(String),
    #[error("the time stamp cannot be kept: {0}")]
    Uncommitted(#[from] CommitError),
    #[error("a task panicked")]
    Panicked,
}

/// The last time stamp of the record.
#[derive(Clone, Copy, Default)]
struct Last {
    /// How many entries its head speaks for.
    entries: u64,
    /// The entry that it stands in.
    number: u64,
    /// When.
    at: Option<Timestamp>,
}

impl Last {
    fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let last = store.last_of_event(EventCode::AuditTimeStamped.code(), u64::MAX >> 1)?;
        let read = last.and_then(|last| {
            let entry = serde_json::from_str::<TimelineEntry>(&last.text).ok()?;
            let HeadStamp { entries, at, .. } = entry.octets.time_stamp?;
            Some(Self { entries, number: last.number, at: Some(at) })
        });
        Ok(read.unwrap_or_default())
    }

    /// Whether a head of so many entries speaks for one more, beside that of this very time stamp.
    const fn is_behind(&self, signed: u64) -> bool {
        let own = if self.number > self.entries && self.number <= signed { 1 } else { 0 };
        signed > self.entries + own
    }
}

#[derive(Default)]
struct Work {
    /// What the record says, once it was read.
    last: Option<Last>,
    /// When the authority was asked, and whether it gave a time stamp.
    asked: Option<(Instant, bool)>,
    /// When a head was first seen to wait.
    waits: Option<Timestamp>,
}

/// Asks for what is due, until the gateway drains.
pub(super) async fn keep_stamping(shared: Arc<Shared>) {
    let mut work = Work::default();
    while !*shared.draining.borrow() && !shared.has_failed() {
        // An answer that comes too late is an answer that did not come.
        tokio::select! {
            () = look(&shared, &mut work) => {}
            () = shared.drain_begins() => {}
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = shared.drain_begins() => {}
        }
    }
}

async fn look(shared: &Arc<Shared>, work: &mut Work) {
    let in_force = shared.in_force.load_full();
    let Some(stamper) = &in_force.stamper else {
        *work = Work::default();
        *shared.stamps.locked() = Waiting::default();
        return;
    };
    let outcome = stamp_if_due(shared, stamper, work).await;
    let trouble = match &outcome {
        Ok(Due::NotYet) => shared.stamps.waiting().trouble,
        Ok(Due::Nothing | Due::Stamped) => None,
        Err(fault) => Some(fault.to_string()),
    };
    if let Err(StampFault::Uncommitted(CommitError::Fatal(why))) = &outcome {
        shared.fail(why);
    }
    let waiting = Waiting { since: work.waits, trouble: trouble.clone() };
    let before = std::mem::replace(&mut *shared.stamps.locked(), waiting);
    if let Some(reason) = trouble.filter(|trouble| before.trouble.as_ref() != Some(trouble)) {
        let event = EventCode::AuditTimeStampFailed.code();
        error!(event, reason = %reason, "the audit record has no new time stamp");
    }
}

/// What came of a look.
enum Due {
    /// No head waits.
    Nothing,
    /// One does, and the authority is not asked yet.
    NotYet,
    Stamped,
}

async fn stamp_if_due(
    shared: &Arc<Shared>,
    stamper: &Arc<Stamper>,
    work: &mut Work,
) -> Result<Due, StampFault> {
    let last = match work.last {
        Some(last) => last,
        None => {
            let read = compute(shared, |shared, _| Last::read(&*shared.store)).await;
            let last = read.map_err(|_| StampFault::Panicked)??;
            // What this process did not ask itself, an earlier one has.
            let age = last.at.map(|at| now().since(at));
            let asked = age.and_then(|age| Instant::now().checked_sub(age)).map(|asked| (asked, true));
            work.asked = work.asked.or(asked);
            *work.last.insert(last)
        }
    };
    if !last.is_behind(shared.heads.standing().signed) {
        work.waits = None;
        return Ok(Due::Nothing);
    }
    work.waits = Some(last.at.or(work.waits).unwrap_or_else(now));
    let TimeStampSettings { interval, retry_interval, .. } = stamper.settings;
    let rests =
        |(asked, given): (Instant, bool)| asked.elapsed() < if given { interval } else { retry_interval };
    if work.asked.is_some_and(rests) {
        return Ok(Due::NotYet);
    }
    work.asked = Some((Instant::now(), false));
    let stamped = stamp(shared, stamper).await;
    // Also when it is not known whether it was kept (P17).
    work.last = None;
    stamped?;
    work.asked = Some((Instant::now(), true));
    work.waits = None;
    Ok(Due::Stamped)
}

/// Has the newest head stamped, and the record keep it.
async fn stamp(shared: &Arc<Shared>, stamper: &Arc<Stamper>) -> Result<(), StampFault> {
    let newest = compute(shared, |shared, _| shared.store.head_before(u64::MAX)).await;
    let Some(newest) = newest.map_err(|_| StampFault::Panicked)?? else { return Ok(()) };
    let head = newest.signed;
    let question = TimeStampQuestion::about(&head).map_err(|error| StampFault::NoNonce(error.to_string()))?;
    let body = Content::Held(question.encode(&stamper.authority).into());
    let call = Call { method: Method::POST, content_type: Some(QUERY_TYPE), body, parties: &[] };
    let answer = stamper.client.call(&stamper.settings.url, call).await?;
    let stamper = Arc::clone(stamper);
    let kept = compute(shared, move |shared, _| {
        let TimeStampSettings { clock_skew_max, .. } = stamper.settings;
        let (token, at) = judge(&stamper.authority, &question, &answer, now(), clock_skew_max)?;
        let stamp = HeadStamp { entries: head.head.entries, at, token: STANDARD.encode(token) };
        keep(&*shared.store, stamp)
    });
    kept.await.map_err(|_| StampFault::Panicked)?
}

/// The token in an answer, and its time, when it counts.
fn judge(
    authority: &TimeStampAuthority,
    question: &TimeStampQuestion,
    answer: &PostResponse,
    now: Timestamp,
    skew_max: Duration,
) -> Result<(Vec<u8>, Timestamp), StampFault> {
    if answer.status != StatusCode::OK {
        return Err(StampFault::Status(answer.status));
    }
    let content_type = answer.content_type.as_deref().unwrap_or("no Content-Type");
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(REPLY_TYPE) {
        let found = content_type.escape_debug().take(SHOWN_CHARS).collect();
        return Err(StampFault::ContentType(found));
    }
    Ok(authority.accept(question, &answer.body, now, skew_max)?)
}

fn keep(store: &dyn Store, stamp: HeadStamp) -> Result<(), StampFault> {
    let HeadStamp { entries, at, .. } = stamp;
    let entry = TimelineEntry {
        at: now(),
        event: EventCode::AuditTimeStamped.code().into(),
        case: None,
        party: None,
        message_id: None,
        delivery: None,
        text: format!("an authority has seen the head of {entries} entries at {at}"),
        alarm: false,
        octets: Attested { time_stamp: Some(stamp), ..Attested::default() },
    };
    let (tell, told) = sync_channel(1);
    let batch = Batch { audit: vec![entry], ..Batch::default() };
    store.commit(batch, Box::new(move |outcome| drop(tell.send(outcome.map(|_| ())))));
    told.recv().unwrap_or(Err(CommitError::Unknown))?;
    info!(event = EventCode::AuditTimeStamped.code(), entries, at = %at, "the audit record has a new time stamp");
    Ok(())
}

/// Characters of a foreign Content-Type that are shown.
const SHOWN_CHARS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Digest, PartyKey, SignedHead, TreeHead};
    use crate::transport::HeaderMap;

    #[test]
    fn a_head_that_only_knows_of_its_time_stamp_waits_for_none() {
        fn check(entries: u64, number: u64, signed: u64, expected: bool) {
            let last = Last { entries, number, at: None };
            assert_eq!(last.is_behind(signed), expected, "{number} stamps {entries}, signed are {signed}");
        }
        check(0, 0, 0, false);
        check(0, 0, 1, true);
        check(7, 8, 7, false);
        check(7, 8, 8, false);
        check(7, 8, 9, true);
        // Entries came while the authority was asked.
        check(7, 10, 8, true);
        check(7, 10, 10, true);
    }

    #[test]
    fn only_an_answer_of_its_kind_is_looked_at() {
        fn check(status: StatusCode, content_type: Option<&str>, expected: &str) {
            let head = TreeHead {
                gateway: PartyKey::new("HUB").expect("a key"),
                entries: 1,
                root: Digest([1; 32]),
                chain: Digest([2; 32]),
                at: Timestamp::EPOCH,
            };
            let head = SignedHead { head, key: Digest([3; 32]), signature: String::new() };
            let question = TimeStampQuestion::about(&head).expect("random octets");
            let answer = PostResponse {
                status,
                content_type: content_type.map(str::to_owned),
                headers: HeaderMap::new(),
                body: (&b"<html>"[..]).into(),
                peer_certificate_der_sha256: [0; 32],
            };
            let authority = TimeStampAuthority::default();
            let found = judge(&authority, &question, &answer, Timestamp::EPOCH, Duration::MAX);
            let found = found.expect_err("it never counts").to_string();
            assert!(found.starts_with(expected), "{found} (S26)");
        }
        let judged = "the time stamp does not count: it is no time stamp";
        check(StatusCode::OK, Some("application/timestamp-reply"), judged);
        check(StatusCode::OK, Some("Application/Timestamp-Reply; charset=binary"), judged);
        check(StatusCode::OK, Some("text/html"), "the authority answers with text/html");
        check(StatusCode::OK, None, "the authority answers with no Content-Type");
        check(
            StatusCode::OK,
            Some(&"x".repeat(999)),
            &format!("the authority answers with {}, and", "x".repeat(100)),
        );
        for status in [StatusCode::CREATED, StatusCode::FOUND, StatusCode::NOT_FOUND, StatusCode::BAD_GATEWAY]
        {
            check(status, Some("application/timestamp-reply"), &format!("the authority answers {status}"));
        }
    }
}
