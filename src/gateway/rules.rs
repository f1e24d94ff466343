//! Rule sets put in force: by a start or a reload, or on the word of an operator, now or at an instant (domain brief,
//! 7.4). What is asked for is checked against the partners first, then kept, then written into the audit record, then
//! into the list; a failure anywhere before leaves everything as it was.

use std::path::PathBuf;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, PoisonError};

use serde_json::json;
use tracing::{info, warn};

use super::admin::json_response;
use super::shared::{Shared, now};
use super::shelf::{Activation, Schedule, Shelf, ShelfError, load};
use super::show::{Query, Unanswered};
use crate::config::Loaded;
use crate::model::{Attested, Digest, TimelineEntry, Timestamp};
use crate::routing::{Known, RuleFault, RuleFiles, RuleSet};
use crate::store::{Batch, Store};
use crate::telemetry::EventCode;
use crate::transport::{Request, Response, StatusCode};

/// Why a set is not put in force.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotActivated {
    /// The shelf cannot be used.
    #[error(transparent)]
    Shelf(#[from] ShelfError),
    /// It could not be written into the audit record.
    #[error("the audit record: {0}")]
    Audit(String),
    /// It cannot be.
    #[error("{0}")]
    Wrong(String),
    /// The set has mistakes.
    #[error("the rules have {} mistake(s)", .0.len())]
    Faults(Vec<RuleFault>),
}

/// The shelf and what counts at a start.
pub(super) fn at_start(
    store: &dyn Store,
    root: PathBuf,
    loaded: &Loaded,
) -> Result<(Shelf, Schedule), NotActivated> {
    with_directory(store, &Shelf::open(root)?, loaded, "start")
}

/// The shelf and what counts, once the rule directory was looked at.
pub(super) fn with_directory(
    store: &dyn Store,
    shelf: &Shelf,
    loaded: &Loaded,
    asked_by: &str,
) -> Result<(Shelf, Schedule), NotActivated> {
    let (asked_at, rules) = (now(), &loaded.rules);
    let codes = |list: &str, code: &str| loaded.catalogue.knows(list, code);
    let known = &Known { codes: &codes, registry: Some(&loaded.partners.registry) };
    let at_hand = std::slice::from_ref(rules);
    if !shelf.is_new_in_directory(rules) {
        return Ok((shelf.clone(), shelf.schedule(asked_at, known, at_hand)?));
    }
    let activation = Activation { of_directory: true, ..activation(rules, asked_at, asked_at, asked_by) };
    let next = shelf.with(activation.clone());
    let schedule = next.schedule(asked_at, known, at_hand)?;
    settle(store, shelf, &next, &activation, rules)?;
    Ok((next, schedule))
}

fn activation(rules: &RuleSet, at: Timestamp, asked_at: Timestamp, asked_by: &str) -> Activation {
    Activation {
        at,
        rules: rules.digest(),
        id: rules.id().into(),
        revision: rules.revision().into(),
        asked_at,
        asked_by: asked_by.into(),
        of_directory: false,
    }
}

/// Keeps the set, tells the audit record, writes the list.
fn settle(
    store: &dyn Store,
    before: &Shelf,
    next: &Shelf,
    activation: &Activation,
    rules: &RuleSet,
) -> Result<(), NotActivated> {
    next.keep(rules)?;
    let Activation { at, rules, id, revision, asked_at, asked_by, .. } = activation;
    let was = before.in_force(*asked_at).map_or_else(|| "none".to_owned(), |one| one.rules.to_string());
    let text =
        format!("{id} {revision}, digest {rules}, counts from {at}; asked by {asked_by}; in force was {was}");
    info!(event = EventCode::RulesActivated.code(), rules = %rules, at = %at, by = &**asked_by, "{text}");
    let entry = TimelineEntry {
        at: *asked_at,
        event: EventCode::RulesActivated.code().into(),
        case: None,
        party: None,
        message_id: None,
        delivery: None,
        text,
        alarm: false,
        octets: Attested::default(),
    };
    let (tell, told) = sync_channel(1);
    let batch = Batch { audit: vec![entry], ..Batch::default() };
    store.commit(batch, Box::new(move |outcome| drop(tell.send(outcome.map(|_| ())))));
    match told.recv() {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(NotActivated::Audit(error.to_string())),
        Err(_) => return Err(NotActivated::Audit("the store is gone".to_owned())),
    }
    Ok(next.save()?)
}

/// Activates the set that was sent, or one of the shelf by its digest.
pub(super) fn activate(shared: &Shared, request: &Request) -> Response {
    match activated(shared, request) {
        Ok(activation) => {
            let state = if activation.at > now() { "planned" } else { "in force" };
            json_response(StatusCode::OK, &json!({ "faults": [], "activation": activation, "state": state }))
        }
        Err(NotActivated::Faults(faults)) => {
            json_response(StatusCode::UNPROCESSABLE_ENTITY, &json!({ "faults": faults }))
        }
        Err(error) => {
            warn!(event = EventCode::ConfigurationRefused.code(), reason = %error, "nothing was changed");
            let status = match error {
                NotActivated::Wrong(_) => StatusCode::BAD_REQUEST,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            json_response(status, &json!({ "error": error.to_string() }))
        }
    }
}

fn activated(shared: &Shared, request: &Request) -> Result<Activation, NotActivated> {
    let mut query = Query::of(request.query.as_deref().unwrap_or_default());
    let wrong = |why: Unanswered| NotActivated::Wrong(why.to_string());
    let at: Option<Timestamp> = query.take("at").map_err(wrong)?;
    let beginning: Option<String> = query.take("rules").map_err(wrong)?;
    query.finish().map_err(wrong)?;
    let shelf = shared.shelf.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let asked_at = now();
    if at.is_some_and(|at| at < asked_at) {
        return Err(NotActivated::Wrong(
            "the instant has passed: what was decided stays as it is".to_owned(),
        ));
    }
    let files = match beginning {
        Some(beginning) => shelf.files(one_digest(&shelf, &beginning)?)?,
        None => RuleFiles::of_archive(&request.body)
            .ok_or_else(|| NotActivated::Wrong("what was sent is no archive of rules".to_owned()))?,
    };
    let in_force = shared.in_force.load();
    let codes = |list: &str, code: &str| in_force.catalogue.knows(list, code);
    let known = &Known { codes: &codes, registry: Some(&in_force.trust.registry) };
    let rules = load(&files, known).map_err(NotActivated::Faults)?;
    let activation = activation(&rules, at.unwrap_or(asked_at), asked_at, &request.peer.to_string());
    let next = shelf.with(activation.clone());
    let at_hand: Vec<Arc<RuleSet>> =
        in_force.schedule.load().sets().chain([&rules]).map(Arc::clone).collect();
    let schedule = next.schedule(asked_at, known, &at_hand)?;
    settle(&*shared.store, &shelf, &next, &activation, &rules)?;
    in_force.schedule.store(Arc::new(schedule));
    *shared.shelf.lock().unwrap_or_else(PoisonError::into_inner) = next;
    Ok(activation)
}

fn one_digest(shelf: &Shelf, beginning: &str) -> Result<Digest, NotActivated> {
    match shelf.digests(beginning).as_slice() {
        [only] => Ok(*only),
        [] => Err(NotActivated::Wrong(format!("no set has a digest that begins with {beginning:?}"))),
        [..] => {
            Err(NotActivated::Wrong(format!("several digests begin with {beginning:?}: write more of it")))
        }
    }
}

/// Every activation, newest last, and which one is in force.
pub(super) fn history(shared: &Shared) -> Response {
    let shelf = shared.shelf.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let at = now();
    let in_force = shelf.in_force(at);
    let row = |activation: &Activation| {
        let state = match activation {
            one if Some(one) == in_force => "in force",
            one if one.at > at => "planned",
            _ => "past",
        };
        json!({ "state": state, "activation": activation })
    };
    let rows: Vec<_> = shelf.activations().iter().map(row).collect();
    json_response(StatusCode::OK, &json!({ "items": rows }))
}

/// One set: since when it counts, and its files.
pub(super) fn show(shared: &Shared, beginning: &str) -> Result<Response, Unanswered> {
    let shelf = shared.shelf.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let digest = one_digest(&shelf, beginning).map_err(|error| Unanswered::Wrong(error.to_string()))?;
    let files = shelf.files(digest).map_err(|error| Unanswered::Wrong(error.to_string()))?;
    let text = |(name, octets): (String, Vec<u8>)| (name, String::from_utf8_lossy(&octets).into_owned());
    let texts: std::collections::BTreeMap<_, _> = files.0.into_iter().map(text).collect();
    let activations: Vec<_> = shelf.activations().iter().filter(|one| one.rules == digest).collect();
    Ok(json_response(
        StatusCode::OK,
        &json!({ "digest": digest, "activations": activations, "files": texts }),
    ))
}
