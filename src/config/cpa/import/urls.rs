//! Where a partner is posted to: with messages, with what answers them, with errors, with single signals.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Import;
use super::met::Met;
use crate::codec::cpa::{CpaParty, DeliveryChannel};
use crate::model::SignalAction;
use crate::transport::Endpoint;

/// Where a party is posted to over a channel.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Urls {
    pub(super) endpoint: Option<Arc<str>>,
    /// With answers, where that is elsewhere.
    pub(super) response: Option<Arc<str>>,
    /// With errors.
    pub(super) error: Option<Arc<str>>,
}

impl Urls {
    /// The Endpoint of each kind, else the one for everything, else what there is.
    pub(super) fn of(channel: &DeliveryChannel) -> Self {
        let endpoints = &channel.transport.endpoints;
        let of =
            |wanted: &str| endpoints.iter().find(|(_, kind)| &**kind == wanted).map(|(url, _)| url.clone());
        let [request, response, error] =
            ["request", "response", "error"].map(|kind| of(kind).or(of("allPurpose")));
        let endpoint = request.or_else(|| response.clone()).or_else(|| error.clone());
        let error = error.or_else(|| response.clone()).or_else(|| endpoint.clone());
        Self { response: response.filter(|url| Some(url) != endpoint.as_ref()), endpoint, error }
    }

    fn of_signal(&self, signal: SignalAction) -> Option<&Arc<str>> {
        use SignalAction as S;
        match signal {
            S::MessageError => self.error.as_ref(),
            S::Acknowledgment | S::StatusResponse | S::Pong => {
                self.response.as_ref().or(self.endpoint.as_ref())
            }
            S::StatusRequest | S::Ping => self.endpoint.as_ref(),
        }
    }
}

impl Import {
    /// Where the partner is posted to, with signals where its channels differ; nowhere when it has no server.
    pub(super) fn urls(&mut self, partner: &CpaParty, sent: &[Met<'_>]) -> Urls {
        let channels: Vec<_> = signal_channels(partner).chain(sent.iter().map(|met| &met.channel)).collect();
        let mut all = BTreeMap::new();
        for channel in &channels {
            let Urls { endpoint, response, error } = Urls::of(channel);
            let place = &channel.transport.place;
            if endpoint.is_none() && !channel.transport.endpoints.is_empty() {
                let message = "no Endpoint but for login: name one of type request or allPurpose";
                self.add(place, "endpoint", message.to_owned());
            }
            all.entry(endpoint).or_insert(place);
            for other in [response, error].into_iter().flatten() {
                all.entry(Some(other)).or_insert(place);
            }
        }
        let collects_too = all.len() > 1;
        for (url, place) in all {
            match url {
                Some(url) if url.parse::<Endpoint>().is_err() => {
                    self.add(place, "endpoint", format!("{url} is no URL such as https://host:8443/ebms"));
                }
                None if collects_too => {
                    let message =
                        "no Endpoint, beside channels that have one: a partner is posted to, or it collects";
                    self.add(place, "endpoint", message.to_owned());
                }
                _ => {}
            }
        }
        for other in &partner.overrides {
            if SignalAction::of_action(&other.action).is_none() {
                let known = SignalAction::ALL.map(SignalAction::as_str).join(", ");
                let message = format!("{:?} is no signal: {known} are", other.action);
                self.add(&other.place, "endpoint", message);
            }
        }
        channels.first().map_or(Urls { endpoint: None, response: None, error: None }, |first| Urls::of(first))
    }
}

/// The channel of a partner's signals, then those that single ones have.
pub(super) fn signal_channels(partner: &CpaParty) -> impl Iterator<Item = &DeliveryChannel> {
    let ids =
        std::iter::once(&partner.signal_channel).chain(partner.overrides.iter().map(|other| &other.channel));
    ids.filter_map(|id| partner.channels.get(id))
}

/// Signals that are posted elsewhere than the agreement says, by URL.
pub(super) fn signals_elsewhere(partner: &CpaParty, usual: &Urls) -> BTreeMap<Arc<str>, Vec<SignalAction>> {
    let mut elsewhere = BTreeMap::<_, Vec<SignalAction>>::new();
    for signal in SignalAction::ALL {
        let own = partner.overrides.iter().find(|other| *other.action == *signal.as_str());
        let urls = own.and_then(|other| partner.channels.get(&other.channel)).map(Urls::of);
        let url = urls.as_ref().unwrap_or(usual).of_signal(signal);
        // What nothing else is said of goes where any message goes, an error with the answers.
        let anyhow = match signal {
            SignalAction::MessageError => usual.response.as_ref().or(usual.endpoint.as_ref()),
            other => usual.of_signal(other),
        };
        if let Some(url) = url.filter(|url| Some(*url) != anyhow) {
            elsewhere.entry(url.clone()).or_default().push(signal);
        }
    }
    elsewhere
}
