//! The first start on a restored store, and what follows from it (P20): every delivery that was open in the backup is held
//! back before anything is sent, and an operator settles each.
//!
//! That a store was restored stands in a file of its directory, which came into its place with it; it is removed when
//! all is held, so that a crash in between only begins this again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tracing::warn;

use super::acts::{act, reason};
use super::admin::json_response;
use super::driver::{DriveError, compute, drive};
use super::shared::{Shared, now};
use super::show::{Query, decoded};
use crate::engine::{Event, Settle};
use crate::model::{Attested, DeliveryId, DeliveryState, TimelineEntry};
use crate::store::{Batch, CommitError, DeliveryFilter, Listing, Manifest, Store, StoreError};
use crate::telemetry::EventCode;
use crate::transport::{Request, Response, StatusCode};

/// The entry, and its number, that says that the store was restored, of those up to a number.
///
/// # Errors
/// When the store cannot be read.
pub(super) fn restored(store: &dyn Store, up_to: u64) -> Result<Option<(u64, TimelineEntry)>, StoreError> {
    let said = store.last_of_event(TimelineEntry::STORE_RESTORED, up_to)?;
    let said = said.and_then(|said| Some((said.number, serde_json::from_str(&said.text).ok()?)));
    Ok(said.filter(|(_, entry): &(u64, TimelineEntry)| entry.is_restore()))
}

/// Has the audit record say that the store was restored, before anything else is recorded: so heads of the store that was
/// lost are told apart from a roll-back that nobody speaks of (P20; threat S26).
pub(super) fn record(store: &dyn Store, restored: &Manifest) -> Result<(), String> {
    let last = self::restored(store, u64::MAX >> 1).map_err(|error| error.to_string())?;
    if last.is_some_and(|(number, _)| number > restored.audit_entries) {
        return Ok(());
    }
    let entry = TimelineEntry {
        at: now(),
        event: TimelineEntry::STORE_RESTORED.into(),
        case: None,
        party: None,
        message_id: None,
        delivery: None,
        text: format!(
            "restored from the backup of {}, of {} entries: what was recorded after it was lost",
            restored.made_at, restored.audit_entries
        ),
        alarm: false,
        octets: Attested::default(),
    };
    let (tell, told) = sync_channel(1);
    let batch = Batch { audit: vec![entry], ..Batch::default() };
    store.commit(batch, Box::new(move |outcome| drop(tell.send(outcome.map(|_| ())))));
    told.recv().unwrap_or(Err(CommitError::Unknown)).map_err(|error| error.to_string())
}

/// Holds back every open delivery; gives how many.
pub(super) async fn hold_back(shared: &Arc<Shared>, restored: &Manifest) -> Result<u64, DriveError> {
    let why: Arc<str> = format!(
        "restored from the backup of {}, audit entry {}: it may have been sent since",
        restored.made_at, restored.audit_entries
    )
    .into();
    let mut count = 0;
    for state in [DeliveryState::Pending, DeliveryState::AwaitingAcknowledgment] {
        let mut places = TOGETHER;
        loop {
            let filter = DeliveryFilter { state: Some(state), ..DeliveryFilter::default() };
            let looked = compute(shared, move |shared, _| shared.store.deliveries(&filter, places));
            let Listing { items: open, damaged } = looked.await??;
            if open.is_empty() && damaged.len() < places {
                break;
            }
            // What is damaged is listed every time, and never sent.
            places = TOGETHER + damaged.len();
            // Those that wait together share a sync.
            let mut holding = JoinSet::new();
            for delivery in open {
                let (shared, why) = (Arc::clone(shared), Arc::clone(&why));
                holding.spawn(
                    async move { drive(&shared, Event::Withheld { delivery: delivery.id, why }).await },
                );
            }
            while let Some(held) = holding.join_next().await {
                held.map_err(|_| DriveError::Panicked)??;
                count += 1;
            }
        }
    }
    warn!(
        event = EventCode::StoreRestored.code(),
        held = count,
        made_at = %restored.made_at,
        audit_entries = restored.audit_entries,
        "the store was restored: what was open is held until an operator settles it (P20)"
    );
    Ok(count)
}

/// How many deliveries are held, as readiness tells it.
pub(super) fn held(store: &Arc<dyn Store>) -> Option<Value> {
    let queues = store.queues().ok()?;
    let held: BTreeMap<_, _> = queues
        .into_iter()
        .filter_map(|(to, queue)| Some((to, *queue.open.get(&DeliveryState::Held)?)))
        .collect();
    let count: u64 = held.values().sum();
    let detail = format!(
        "{count} deliveries to {} destination(s) are held since a restore: see `gwanmun store reconcile`",
        held.len()
    );
    (count > 0).then(|| json!({ "reason": "reconciling", "detail": detail }))
}

/// `POST /deliveries/ID/settle?as=send|delivered|rejected&reason=…`.
pub(super) async fn settle(shared: &Arc<Shared>, request: &Request) -> Response {
    let id = request.path.strip_prefix("/deliveries/").and_then(|path| path.strip_suffix("/settle"));
    let Some(delivery) = id.and_then(|id| DeliveryId::new(decoded(id)).ok()) else {
        return Response::empty(StatusCode::NOT_FOUND);
    };
    let mut query = Query::of(request.query.as_deref().unwrap_or_default());
    let asked = query.take::<Settle>("as").and_then(|how| Ok((how, reason(&mut query)?)));
    match asked.and_then(|asked| query.finish().map(|()| asked)) {
        Ok((Some(how), reason)) => {
            let by = request.peer.to_string().into();
            act(shared, Event::Settled { delivery, how, by, reason }).await
        }
        Ok((None, _)) => json_response(StatusCode::BAD_REQUEST, &json!({ "error": "as is missing" })),
        Err(why) => json_response(StatusCode::BAD_REQUEST, &json!({ "error": why.to_string() })),
    }
}

/// Deliveries that are held back at once.
const TOGETHER: usize = 128;
