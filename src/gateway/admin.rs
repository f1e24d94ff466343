//! The administration listener: health, metrics, what the command line asks, and reload (P11; threat S23).
//!
//! Reached over a local socket that only our user can open, and, for health and metrics alone, over loopback.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tracing::{info, warn};

use super::acts;
use super::check::check;
use super::heads::Standing;
use super::keys::{Counted, Keys, counted as counted_keys};
use super::payments;
use super::purge;
use super::reconcile;
use super::rules;
use super::scrub;
use super::shared::{InForce, Shared, now};
use super::show::{self, decoded};
use crate::config::{self, ConfigFault, Settings};
use crate::model::{DeliveryState, Timestamp};
use crate::store::Stats;
use crate::telemetry::{EventCode, METRICS_CONTENT_TYPE, StoreCounts};
use crate::transport::{Method, Peer, Request, Response, ServerCounts, StatusCode};

/// How long before its end a certificate is told in readiness, in days.
const CERTIFICATE_DAYS: u64 = 7;

/// The counts of the listeners, for metrics.
pub(super) type Counts = Arc<dyn Fn() -> ServerCounts + Send + Sync>;

/// Answers one request of an operator or a monitor.
pub(super) async fn administer(shared: Arc<Shared>, counts: Counts, request: Request) -> Response {
    let local = matches!(request.peer, Peer::Local { .. });
    match (&request.method, request.path.as_str()) {
        (&Method::GET, "/live") => Response::text(StatusCode::OK, "live\n"),
        (&Method::GET, "/ready") => on_a_thread(move || ready(&shared)).await,
        (&Method::GET, "/metrics") => on_a_thread(move || metrics(&shared, &counts())).await,
        (&Method::POST, "/reload") if local => reload(&shared, &request.peer.to_string()).await,
        (&Method::POST, "/rules") if local => {
            let _one_at_a_time = shared.reloading.lock().await;
            let shared = Arc::clone(&shared);
            on_a_thread(move || rules::activate(&shared, &request)).await
        }
        (&Method::POST, "/store/scrub") if local => scrub::ask(&shared),
        (&Method::GET, "/store/purge") if local => purge::answer(&shared, &request, false).await,
        (&Method::POST, "/store/purge") if local => purge::answer(&shared, &request, true).await,
        (&Method::POST, "/holds") if local => purge::hold(&shared, &request).await,
        (&Method::POST, "/notices") if local => acts::announce(&shared, &request).await,
        (&Method::POST, path) if local && path.starts_with("/payments/") => {
            acts::hurry(&shared, &request).await
        }
        (&Method::POST, path) if local && path.starts_with("/conversations/") => {
            acts::settle_gap(&shared, &request).await
        }
        (&Method::POST, path) if local && path.starts_with("/deliveries/") && path.ends_with("/settle") => {
            reconcile::settle(&shared, &request).await
        }
        (&Method::POST, path) if local && path.starts_with("/deliveries/") => {
            acts::send_again(&shared, &request).await
        }
        (&Method::POST, path) if local => match party_to_check(path) {
            Some(called) => check(&shared, &called).await,
            None => Response::empty(StatusCode::NOT_FOUND),
        },
        (&Method::GET, _) if local => {
            on_a_thread(move || show::show(&shared, &request.path, request.query.as_deref())).await
        }
        _ => Response::empty(StatusCode::NOT_FOUND),
    }
}

/// The party in `/parties/PARTY/check`.
fn party_to_check(path: &str) -> Option<String> {
    path.strip_prefix("/parties/")?.strip_suffix("/check").map(decoded)
}

/// Reads of the store and of files block; they run where that is allowed.
pub(super) async fn on_a_thread(work: impl FnOnce() -> Response + Send + 'static) -> Response {
    let ran = tokio::task::spawn_blocking(work).await;
    ran.unwrap_or_else(|_| Response::empty(StatusCode::INTERNAL_SERVER_ERROR))
}

/// A value as JSON.
pub(super) fn json_response(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(octets) => Response::new(status, "application/json", octets),
        Err(error) => Response::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

/// Whether messages can be accepted, and why not; what will soon be in the way is told beside it.
fn ready(shared: &Shared) -> Response {
    let health = shared.store.health();
    let mut reasons = Vec::new();
    let mut warnings = Vec::new();
    let mut reason = |what: &str, detail: String| reasons.push(json!({ "reason": what, "detail": detail }));
    if let Some(why) = shared.failed.borrow().clone().or(health.failed) {
        reason("store-failed", why);
    }
    if health.disk_low {
        reason("disk-low", format!("{} octets are free", health.free_bytes.unwrap_or_default()));
    }
    if *shared.draining.borrow() {
        reason("draining", "the gateway is stopping".to_owned());
    }
    let tls = Timestamp::from_millis(shared.tls.current().not_after_unix_seconds().saturating_mul(1000));
    let in_force = shared.in_force.load();
    let signing = in_force.keys.keys().map(|key| ("signing-certificate", key.not_after()));
    for (name, end) in std::iter::once(("tls-certificate", tls)).chain(signing) {
        if end < now() {
            reason(&format!("{name}-expired"), format!("it ended {end}"));
        } else if end < now().plus(Duration::from_secs(CERTIFICATE_DAYS * 86_400)) {
            warnings.push(json!({ "reason": format!("{name}-ends"), "detail": format!("it ends {end}") }));
        }
    }
    if in_force.restored.is_some() {
        warnings.extend(reconcile::held(&shared.store));
    }
    let damaged = shared.scrub.damaged();
    if let Some(first) = damaged.first() {
        let detail = format!("{} record(s), such as {}: {}", damaged.len(), first.what, first.detail);
        warnings.push(json!({ "reason": "store-damaged", "detail": detail }));
    }
    if let Some(trouble) = shared.heads.standing().trouble {
        warnings.push(json!({ "reason": "audit-not-signed", "detail": trouble }));
    }
    if let Some(trouble) = shared.stamps.waiting().trouble {
        warnings.push(json!({ "reason": "audit-not-time-stamped", "detail": trouble }));
    }
    let status = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json_response(status, &json!({ "ready": reasons.is_empty(), "reasons": reasons, "warnings": warnings }))
}

fn metrics(shared: &Shared, counts: &ServerCounts) -> Response {
    let stats = shared.store.stats();
    shared.metrics.store(&counted(&stats));
    shared.metrics.damaged(shared.scrub.damaged().len());
    shared.metrics.listener("ebms", counts);
    let in_force = shared.in_force.load();
    shared
        .metrics
        .versions(env!("CARGO_PKG_VERSION"), &in_force.schedule.load().rules(now()).digest().to_string());
    if let Ok(queues) = shared.store.queues() {
        for (destination, queue) in queues {
            let pending = queue.open.values().sum();
            let oldest = queue.oldest.map(|oldest| now().since(oldest)).unwrap_or_default();
            let party = in_force.trust.registry.party(&destination);
            let name = party.map_or("", |party| &party.name);
            shared.metrics.pending(name, pending, oldest);
            let held = queue.open.get(&DeliveryState::Held).copied().unwrap_or_default();
            shared.metrics.held(name, held);
        }
    }
    if let Ok(entries) = shared.store.audit_height() {
        let Standing { signed, signed_at, .. } = shared.heads.standing();
        let age = signed_at.filter(|_| signed < entries).map(|at| now().since(at)).unwrap_or_default();
        shared.metrics.audit(entries, signed, age);
    }
    shared.metrics.time_stamp(shared.stamps.waiting().since.map(|at| now().since(at)).unwrap_or_default());
    if let Ok((in_hand, oldest)) = payments::counted(shared) {
        shared.metrics.payments(in_hand, oldest);
    }
    Response::new(StatusCode::OK, METRICS_CONTENT_TYPE, shared.metrics.render())
}

const fn counted(stats: &Stats) -> StoreCounts {
    StoreCounts {
        steps: stats.batches,
        syncs: stats.commits,
        sync_micros: stats.commit_micros,
        turned_away: stats.full,
        waiting: stats.waiting,
        size_bytes: stats.file_bytes,
    }
}

/// Puts the files as they are now in force, as a whole; with one mistake in them everything stays as it was.
pub(super) async fn reload(shared: &Arc<Shared>, asked_by: &str) -> Response {
    let _one_at_a_time = shared.reloading.lock().await;
    let (reloaded, asked_by) = (Arc::clone(shared), format!("reload by {asked_by}"));
    on_a_thread(move || reload_now(&reloaded, &asked_by)).await
}

fn reload_now(shared: &Arc<Shared>, asked_by: &str) -> Response {
    let before = shared.in_force.load_full();
    let loaded = config::load(&shared.settings_file).and_then(|loaded| {
        let faults = only_by_restart(shared, &before.settings, &loaded.settings);
        if !faults.is_empty() {
            return Err(faults);
        }
        let shelf = shared.shelf.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counts = rules::with_directory(&*shared.store, &shelf, &loaded, asked_by);
        let told = |file: &PathBuf, message: String, remedy: &str| {
            vec![ConfigFault { file: file.clone(), line: 1, column: 1, message, remedy: remedy.to_owned() }]
        };
        let (shelf, schedule) = counts.map_err(|error| {
            let remedy = "see `gwanmun rules history` for what counts when";
            told(&loaded.settings.rules, error.to_string(), remedy)
        })?;
        let directory = Keys::of_store(&before.settings.store.directory);
        let keys = counted_keys(&loaded).and_then(|keys| {
            directory.record_beside(&*shared.store, &keys, now())?;
            Ok(keys)
        });
        let keys = keys.map_err(|error| {
            let remedy = "look at the directory `keys` of the store, then reload again";
            told(&shared.settings_file, format!("the keys that count: {error}"), remedy)
        })?;
        Ok((loaded, shelf, schedule, keys))
    });
    match loaded {
        Ok((loaded, shelf, schedule, keys)) => {
            let at = now();
            let before = before.schedule.load().rules(at).digest();
            let after = schedule.rules(at).digest();
            *shared.shelf.lock().unwrap_or_else(PoisonError::into_inner) = shelf;
            shared.metrics.register(loaded.partners.registry.parties().map(|party| party.name.clone()));
            let (in_force, tls) = InForce::of(loaded, schedule, shared.in_force.load().restored);
            shared.tls.replace(tls);
            let in_force = Arc::new(in_force);
            shared.in_force.store(Arc::clone(&in_force));
            shared.under_way.turn();
            tokio::spawn(settle_keys(Arc::clone(shared), in_force, keys));
            info!(
                event = EventCode::ConfigurationActivated.code(),
                before = %before,
                after = %after,
                "settings, partners and rules are in force as the files say"
            );
            json_response(
                StatusCode::OK,
                &json!({ "faults": [], "rules": { "before": before, "after": after } }),
            )
        }
        Err(faults) => {
            for fault in &faults {
                warn!(event = EventCode::ConfigurationFault.code(), fault = %fault, "a mistake in the settings");
            }
            warn!(
                event = EventCode::ConfigurationRefused.code(),
                faults = faults.len(),
                "nothing was changed"
            );
            json_response(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "faults": faults }))
        }
    }
}

/// The keys before a reload count no more once what was begun with them has ended: the audit record says so then, unless another
/// reload or a start says it.
async fn settle_keys(shared: Arc<Shared>, in_force: Arc<InForce>, keys: Counted) {
    tokio::select! {
        () = shared.under_way.ended() => {}
        () = shared.drain_begins() => return,
    }
    let _one_at_a_time = shared.reloading.lock().await;
    if !Arc::ptr_eq(&in_force, &shared.in_force.load()) {
        return;
    }
    let store = Arc::clone(&shared.store);
    let settled = tokio::task::spawn_blocking(move || {
        let directory = Keys::of_store(&in_force.settings.store.directory);
        if let Err(error) = directory.record(&*store, &keys, now()) {
            warn!(event = EventCode::ConfigurationFault.code(), fault = %error, "the keys before a reload stay on the list");
        }
    });
    // A panic there is told by the runtime; the next reload or start says it.
    drop(settled.await);
}

/// What was changed and only a restart could change: to call it in force would be a lie.
fn only_by_restart(shared: &Shared, before: &Settings, next: &Settings) -> Vec<ConfigFault> {
    let changes = [
        ("[listen]", before.listen != next.listen),
        ("[store]", before.store != next.store),
        ("[limits] of connections and bodies", before.server != next.server || before.client != next.client),
        ("[limits] messages_in_hand_max", before.messages_in_hand_max != next.messages_in_hand_max),
    ];
    let fault = |(what, _)| ConfigFault {
        file: shared.settings_file.clone(),
        line: 1,
        column: 1,
        message: format!("{what} is not as it was at the start"),
        remedy: "restart to change that, or take it back".to_owned(),
    };
    changes.into_iter().filter(|(_, changed)| *changed).map(fault).collect()
}
