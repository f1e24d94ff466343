//! Terms of an Action as keys of a partner file: the usual ones, and what differs from them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::met::{Met, action};
use super::urls::Urls;
use super::{Import, quoted};
use crate::config::terms::TIME_TO_LIVE;
use crate::model::{Presence, Reliability, Role, format_duration};

/// What holds where nothing else is said.
pub(super) struct Usual<'a> {
    pub(super) terms: Terms,
    pub(super) roles: [&'a Role; 2],
    pub(super) urls: Urls,
}

/// Keys of a partner file and their values, in its order.
pub(super) type Terms = Vec<(&'static str, String)>;

impl Import {
    /// What holds for an Action, as keys of a partner file. What is received is sent again by the other side: how often
    /// and how long is not ours to keep.
    pub(super) fn terms(&mut self, met: &Met<'_>, persist: Option<Duration>) -> Terms {
        let channel = &met.channel;
        let ack_signed = match channel.ack_signature_requested {
            Presence::Always => "true".to_owned(),
            Presence::Never => "false".to_owned(),
            each @ Presence::PerMessage => quoted(presence(each)),
        };
        let mut terms = vec![
            ("sync_reply_mode", quoted(&channel.sync_reply_mode)),
            ("duplicate_elimination", quoted(presence(channel.duplicate_elimination))),
            ("ack_requested", quoted(presence(channel.ack_requested))),
            ("ack_signed", ack_signed),
        ];
        if met.sent {
            terms.extend(self.reliability(met, persist));
        }
        terms
    }

    /// What differs from the usual terms, with the Actions that are sent and received under it.
    pub(super) fn overrides(
        &mut self,
        usual: &Usual<'_>,
        every: &[&Met<'_>],
        persist: Option<Duration>,
    ) -> BTreeMap<Terms, [BTreeSet<String>; 2]> {
        let mut overrides: BTreeMap<Terms, [BTreeSet<String>; 2]> = BTreeMap::new();
        let mut seen: BTreeMap<(bool, String), Terms> = BTreeMap::new();
        for met in every {
            let mut terms = Terms::new();
            for ((key, role), usual) in
                ["own_role", "partner_role"].into_iter().zip(met.roles).zip(usual.roles)
            {
                terms.extend((role != usual).then(|| (key, quoted(role.as_str()))));
            }
            let urls = Urls::of(&met.channel);
            // An endpoint of its own is one for answers too.
            if met.sent && (&urls.endpoint, &urls.response) != (&usual.urls.endpoint, &usual.urls.response) {
                terms.extend(urls.endpoint.map(|url| ("endpoint", quoted(url))));
                terms.extend(urls.response.map(|url| ("response_endpoint", quoted(url))));
            }
            let others = self.terms(met, persist).into_iter();
            terms.extend(others.filter(|term| !usual.terms.contains(term)));
            let action = action(met);
            let told = seen.entry((met.sent, action.clone())).or_insert_with(|| terms.clone());
            if *told != terms {
                let message = format!(
                    "{action} goes the same way in other Roles or over another channel too: it has one set of terms here; \
                     put one of them into a CPA of its own"
                );
                self.add(&met.binding.place, "role", message);
            }
            if !terms.is_empty() {
                let actions = overrides.entry(terms).or_default();
                actions[usize::from(!met.sent)].insert(action);
            }
        }
        overrides
    }

    /// Whether order is guaranteed: of everything or of nothing, and only of what is delivered once and only once.
    pub(super) fn ordered(&mut self, every: &[&Met<'_>]) -> bool {
        let messagings = every.iter().flat_map(|met| {
            met.sender.into_iter().chain(&met.channel.exchange.receiver).map(|messaging| (*met, messaging))
        });
        let mut found = [None, None];
        for (met, messaging) in messagings {
            let seen = &mut found[usize::from(messaging.ordered)];
            let is_first = seen.replace(&messaging.place).is_none();
            let channel = &met.channel;
            let fits = [channel.ack_requested, channel.duplicate_elimination] == [Presence::Always; 2]
                && *channel.sync_reply_mode == *"none";
            if messaging.ordered && is_first && !fits {
                let message = "MessageOrderSemantics Guaranteed goes with syncReplyMode none, and with ackRequested and \
                               duplicateElimination always";
                self.add(&messaging.place, "order", message.to_owned());
            }
        }
        if let [Some(_), Some(place)] = found {
            let message = "MessageOrderSemantics Guaranteed beside NotGuaranteed: an agreement has one here";
            self.add(place, "order", message.to_owned());
        }
        found[1].is_some()
    }

    /// Retries and times of our own sending.
    fn reliability(&mut self, met: &Met<'_>, persist: Option<Duration>) -> Terms {
        let retries = met.sender.and_then(|sender| sender.retries);
        let interval = met.sender.and_then(|sender| sender.retry_interval);
        let mut written = Vec::new();
        if let Some(retries) = retries {
            written.push(("retries", retries.to_string()));
        }
        if let Some(interval) = interval {
            written.push(("retry_interval", quoted(format_duration(interval))));
        }
        let attempts = Reliability::transmissions_take(
            retries.unwrap_or(Reliability::RETRIES),
            interval.unwrap_or(Reliability::RETRY_INTERVAL),
        );
        let receiver = met.channel.exchange.receiver.as_ref();
        let by_them = receiver.and_then(|receiver| Some((receiver.persist_duration?, &receiver.place)));
        let by_us = persist.map(|persist| (persist, met.sender.map_or(&met.binding.place, |own| &own.place)));
        match by_them.into_iter().chain(by_us).min() {
            Some((shortest, place)) if attempts + SHORTEST >= shortest => {
                let message = format!(
                    "PersistDuration {} leaves no TimeToLive that ends within it: all transmissions take {}",
                    format_duration(shortest),
                    format_duration(attempts)
                );
                self.add(place, "retries", message);
            }
            // A CPA has no TimeToLive. It ends after the last transmission and before the receiver forgets (6.4.5, 6.4.6).
            Some((shortest, _)) => {
                let time_to_live = (attempts + SHORTEST).max(shortest / 2);
                written.push(("time_to_live", quoted(format_duration(time_to_live))));
            }
            None if attempts >= TIME_TO_LIVE => {
                written.push(("time_to_live", quoted(format_duration(attempts.saturating_mul(2)))));
            }
            None => {}
        }
        written.extend(persist.map(|persist| ("persist_duration", quoted(format_duration(persist)))));
        written
    }
}

/// How long we know what we have: as long as we say of what is sent and received, and as the partner says of what it may
/// send again; the longest of all.
pub(super) fn persist_duration(sent: &[Met<'_>], received: &[Met<'_>]) -> Option<Duration> {
    let of_senders = sent.iter().chain(received).filter_map(|met| met.sender?.persist_duration);
    let own = received.iter().filter_map(|met| met.channel.exchange.receiver.as_ref()?.persist_duration);
    of_senders.chain(own).max()
}

const fn presence(presence: Presence) -> &'static str {
    match presence {
        Presence::Always => "always",
        Presence::Never => "never",
        Presence::PerMessage => "perMessage",
    }
}

/// The least that a TimeToLive ends after the last wait, and PersistDuration after it.
const SHORTEST: Duration = Duration::from_secs(1);
