//! The terms of an agreement, as a partner file has them: signatures, reliable messaging, order, and what holds for some
//! Actions alone.
//!
//! Promises that terms which contradict each other are told and never put in force (ebMS 2.0, 6.4, 9).

use std::sync::Arc;
use std::time::Duration;

use super::fault::Faults;
use super::profiles::{algorithm, canonicalization, digest, profile};
use super::reader::Section;
use super::settings::SERVICE_TYPE;
use crate::model::{
    ActionBinding, Agreement, Deviation, Direction, EmptyAnswer, Override, PartnerProfile, PartyKind,
    Presence, Reliability, Role, Service, SignalAction, SignatureTerms, SyncReplyMode, Timestamp, ValueError,
};

/// What holds for some Actions of an agreement in place of what it says.
pub(super) fn overrides(
    sections: Vec<Section<'_>>,
    agreement: &Agreement,
    kind: PartyKind,
    faults: &mut Faults,
) -> Vec<Override> {
    let mut overrides: Vec<Override> = Vec::new();
    for mut section in sections {
        if kind == PartyKind::SingleWindow {
            section.add(
                "a practice partner has one set of terms".to_owned(),
                "write an [[agreement]] of its own",
                faults,
            );
        }
        let mut actions = section.list("send", |text| binding(Direction::Send, text), faults);
        actions.extend(section.list("receive", |text| binding(Direction::Receive, text), faults));
        let mut actions: Vec<_> = actions.into_iter().map(|b| (b.direction, b.service, b.action)).collect();
        let signals = section.list("signals", signal, faults);
        if !signals.is_empty() && (!actions.is_empty() || OF_MESSAGES.iter().any(|key| section.has(key))) {
            section.add(
                "signals have an endpoint of their own, and nothing else".to_owned(),
                "write an override of its own for them",
                faults,
            );
        }
        let messages = actions.len();
        actions.extend(signals.into_iter().map(|action| (Direction::Send, Service::MSH.into(), action)));
        let sends = actions.iter().any(|(direction, ..)| *direction == Direction::Send);
        if actions.is_empty() {
            section.add("it is for no Action".to_owned(), "add send or receive actions, or signals", faults);
        }
        for (place, (direction, service, action)) in actions.iter().enumerate() {
            let told = format!("{service} {action}");
            if place < messages && !agreement.allows(*direction, service, action) {
                section.add(
                    format!("{told} is not under send or receive of the agreement"),
                    "add it there",
                    faults,
                );
            }
            let is_this =
                |(d, s, a): &(Direction, Arc<str>, Arc<str>)| (d, s, a) == (direction, service, action);
            if overrides.iter().any(|other| other.actions.iter().any(is_this)) {
                section.add(format!("{told} has other terms twice"), "take one away", faults);
            }
        }
        let role = |text: &str| Role::new(text);
        let own_role = section.optional("own_role", role, faults);
        let partner_role = section.optional("partner_role", role, faults);
        let response_url = section.optional("response_endpoint", endpoint, faults);
        let url = section.optional("endpoint", endpoint, faults);
        let posted = ["endpoint", "response_endpoint"].iter().any(|key| section.has(key));
        if posted && (agreement.endpoint.is_none() || !sends) {
            section.add(
                "an endpoint, and nothing that is posted there".to_owned(),
                "take it away, or name what is sent",
                faults,
            );
        }
        let sync_reply_mode = section.optional("sync_reply_mode", sync_reply_mode, faults);
        let sync_reply_mode = sync_reply_mode.unwrap_or(agreement.sync_reply_mode);
        let reliability = reliability(&mut section, &agreement.reliability, faults);
        check_order(&section, &reliability, sync_reply_mode, false, faults);
        section.finish(faults);
        // What is posted elsewhere has its answers posted there too, where nothing else is said.
        let usual_response = agreement.response_endpoint.clone().filter(|_| url.is_none());
        let terms = Agreement {
            own_role: own_role.unwrap_or_else(|| agreement.own_role.clone()),
            partner_role: partner_role.unwrap_or_else(|| agreement.partner_role.clone()),
            response_endpoint: response_url.or(usual_response),
            endpoint: url.or_else(|| agreement.endpoint.clone()),
            sync_reply_mode,
            reliability,
            ..agreement.clone()
        };
        overrides.push(Override { actions, agreement: terms });
    }
    overrides
}

/// Order is kept only of what is delivered once and only once, and not on the connection (ebMS 2.0, 9).
pub(super) fn check_order(
    section: &Section<'_>,
    reliability: &Reliability,
    sync_reply_mode: SyncReplyMode,
    hosted: bool,
    faults: &mut Faults,
) {
    let Reliability { duplicate_elimination, ack_requested, message_order, .. } = reliability;
    let wrong = [
        (hosted, "of a hosted agency", "take it away: nothing overtakes anything in an inbox"),
        (
            *duplicate_elimination != Presence::Always,
            "without duplicate_elimination",
            "write duplicate_elimination = \"always\"",
        ),
        (*ack_requested != Presence::Always, "without ack_requested", "write ack_requested = \"always\""),
        (
            sync_reply_mode != SyncReplyMode::None && !hosted,
            "with SyncReply",
            "write sync_reply_mode = \"none\"",
        ),
    ];
    for (_, what, remedy) in wrong.into_iter().filter(|(holds, ..)| *message_order && *holds) {
        section.add(format!("message_order {what}"), remedy, faults);
    }
}

/// What the agreement says of signatures and of deviations, on top of the profile that it names; the strict one where it names none.
pub(super) fn signature(section: &mut Section<'_>, faults: &mut Faults) -> (SignatureTerms, PartnerProfile) {
    let strict = profile(PartnerProfile::STRICT).expect("the program carries it");
    let named = section.optional("profile", profile, faults).unwrap_or(strict);
    let mut terms = named.terms.clone();
    let own = &mut terms.own;
    own.algorithm = section.optional("own_algorithm", algorithm, faults).unwrap_or(own.algorithm);
    own.digest = section.optional("own_digest", digest, faults).unwrap_or(own.digest);
    own.canonicalization =
        section.optional("own_canonicalization", canonicalization, faults).unwrap_or(own.canonicalization);
    own.payload_transforms = section.flag("own_payload_transforms", false, faults);
    accepted(section, "accepted_algorithms", algorithm, &mut terms.accepted, faults);
    accepted(section, "accepted_digests", digest, &mut terms.digests, faults);
    accepted(section, "accepted_canonicalizations", canonicalization, &mut terms.canonicalizations, faults);
    terms.sha1_until = section.optional("sha1_until", instant, faults);
    let mut profile = named.profile.clone();
    if section.has("deviations") {
        profile.deviations = section.list("deviations", deviation, faults).into_iter().collect();
    }
    (terms, profile)
}

/// What a profile may allow: SHA-1 has its own key, as it has its day.
fn deviation(text: &str) -> Result<Deviation, ValueError> {
    let mut known = Deviation::ALL.into_iter().filter(|deviation| *deviation != Deviation::Sha1);
    let found = known.find(|deviation| deviation.as_str() == text);
    found.ok_or_else(|| ValueError::new("a deviation of docs/operations.md, Partner profiles", text))
}

/// What a list accepts in the place of the profile's, where it stands there; nothing at all is no list.
fn accepted<T>(
    section: &mut Section<'_>,
    key: &'static str,
    read: impl Fn(&str) -> Result<T, ValueError>,
    of_profile: &mut Vec<T>,
    faults: &mut Faults,
) {
    if !section.has(key) {
        return;
    }
    let (before, named) = (faults.len(), section.list(key, read, faults));
    if named.is_empty() && faults.len() == before {
        section.add(format!("{key} names nothing"), "name what is accepted, or leave it away", faults);
    }
    *of_profile = named;
}

/// Reliable messaging, where nothing else is said as `usual` has it.
pub(super) fn reliability(
    section: &mut Section<'_>,
    usual: &Reliability,
    faults: &mut Faults,
) -> Reliability {
    let duplicate_elimination = section.optional("duplicate_elimination", presence, faults);
    let ack_requested = section.optional("ack_requested", presence, faults);
    let usual_signed = Some(usual.ack_signed).filter(|_| !usual.ack_signed_per_message);
    // Where the partner chooses, what we ask for is signed.
    let signed = section.flag_or("ack_signed", "perMessage", usual_signed, faults);
    let (ack_signed, ack_signed_per_message) = (signed.unwrap_or(true), signed.is_none());
    let retries = section.number("retries", usual.retries, 0, faults);
    let retry_interval = section.duration("retry_interval", usual.retry_interval, faults);
    let time_to_live = section.duration("time_to_live", usual.time_to_live, faults);
    // Twice the TimeToLive, or as long as what has the usual terms.
    let persist_duration = usual.persist_duration.max(time_to_live.saturating_mul(2));
    let persist_duration = section.duration("persist_duration", persist_duration, faults);
    // What is sent last must still be taken, and what is taken last must still be known (ebMS 2.0, 6.4.5, 6.4.6).
    if time_to_live <= Reliability::transmissions_take(retries, retry_interval) {
        let message = "time_to_live is not longer than all transmissions take".to_owned();
        section.add(message, "raise it, or lower retries or retry_interval", faults);
    }
    if persist_duration <= time_to_live {
        let message = "persist_duration is not longer than time_to_live".to_owned();
        section.add(message, "raise it, or lower time_to_live", faults);
    }
    Reliability {
        duplicate_elimination: duplicate_elimination.unwrap_or(usual.duplicate_elimination),
        ack_requested: ack_requested.unwrap_or(usual.ack_requested),
        ack_signed,
        ack_signed_per_message,
        message_order: usual.message_order,
        retries,
        retry_interval,
        persist_duration,
        time_to_live,
    }
}

/// A text out of a closed vocabulary.
pub(super) fn word<T: Copy>(
    text: &str,
    expected: &'static str,
    words: &[(&str, T)],
) -> Result<T, ValueError> {
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    found.ok_or_else(|| ValueError::new(expected, text))
}

fn presence(text: &str) -> Result<Presence, ValueError> {
    let words =
        [("always", Presence::Always), ("never", Presence::Never), ("perMessage", Presence::PerMessage)];
    word(text, "always, never or perMessage", &words)
}

pub(super) fn sync_reply_mode(text: &str) -> Result<SyncReplyMode, ValueError> {
    word(
        text,
        "none, mshSignalsOnly, signalsOnly, responseOnly or signalsAndResponse",
        &SyncReplyMode::ALL.map(|mode| (mode.as_str(), mode)),
    )
}

pub(super) fn empty_answer(text: &str) -> Result<EmptyAnswer, ValueError> {
    let found = EmptyAnswer::ALL.into_iter().find(|answer| answer.status().to_string() == text);
    found.ok_or_else(|| ValueError::new("202, 200 or 204", text))
}

pub(super) fn endpoint(text: &str) -> Result<Arc<str>, ValueError> {
    let checked: Result<crate::transport::Endpoint, _> = text.parse();
    checked.map(|_| text.into()).map_err(|_| ValueError::new("a URL such as https://host:8443/ebms", text))
}

/// A signal that has an endpoint of its own.
fn signal(text: &str) -> Result<Arc<str>, ValueError> {
    let signal = SignalAction::of_action(text).map(|signal| signal.as_str().into());
    signal.ok_or_else(|| {
        let expected = "Acknowledgment, MessageError, Ping, Pong, StatusRequest or StatusResponse";
        ValueError::new(expected, text)
    })
}

pub(super) fn instant(text: &str) -> Result<Timestamp, ValueError> {
    text.parse()
}

/// `Service Action`, as in `ImportClearance GOVCBR929`. A Service that is no URI is of our type of names
/// (ebMS 2.0, 3.1.4).
pub(super) fn binding(direction: Direction, text: &str) -> Result<ActionBinding, ValueError> {
    match text.split_once(' ') {
        Some((service, action)) if !service.is_empty() && !action.trim().is_empty() => Ok(ActionBinding {
            direction,
            service: service.into(),
            service_type: (!service.contains(':')).then(|| SERVICE_TYPE.into()),
            action: action.trim().into(),
        }),
        _ => Err(ValueError::new("a Service and an Action with a space between", text)),
    }
}

/// What is said of messages, and of no signal.
const OF_MESSAGES: [&str; 11] = [
    "own_role",
    "partner_role",
    "response_endpoint",
    "sync_reply_mode",
    "duplicate_elimination",
    "ack_requested",
    "ack_signed",
    "retries",
    "retry_interval",
    "time_to_live",
    "persist_duration",
];
/// How long a message of ours may be delivered where nothing says otherwise.
pub(super) const TIME_TO_LIVE: Duration = Duration::from_secs(86_400);
/// Reliable messaging where nothing says otherwise; PersistDuration is twice the TimeToLive.
pub(super) const USUAL: Reliability = Reliability {
    duplicate_elimination: Presence::Always,
    ack_requested: Presence::Always,
    ack_signed: true,
    ack_signed_per_message: false,
    message_order: false,
    retries: Reliability::RETRIES,
    retry_interval: Reliability::RETRY_INTERVAL,
    persist_duration: Duration::ZERO,
    time_to_live: TIME_TO_LIVE,
};
