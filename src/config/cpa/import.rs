//! What a CPA says, as a partner file; or everything in it that this gateway cannot keep.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use openssl::x509::X509;

use crate::codec::cpa::{
    CollaborationRole, Cpa, CpaBinding, CpaMessaging, CpaParty, CpaSignature, CpaStatus, DeliveryChannel,
    Place,
};
use crate::config::Identity;
use crate::config::settings::{BOX_NUMBER_TYPE, SERVICE_TYPE};
use crate::config::terms::TIME_TO_LIVE;
use crate::model::{
    Digest, DigestMethod, Finding, Fingerprint, PartyId, PartyKey, PartyKind, Presence, Registry,
    Reliability, Role, SignalAction, SignatureAlgorithm, Timestamp, format_duration,
};
use crate::transport::Endpoint;

/// What a CPA does not say, and a partner file must.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// What the partner is in the trade.
    pub kind: PartyKind,
    /// The name for logs and metrics; `partyName` where it is not given.
    pub name: Option<String>,
    /// The business number of a declarant.
    pub business_number: Option<String>,
}

/// What came of a CPA: the parts of a partner file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The partner's box number.
    pub party: PartyKey,
    /// The name of a file for it.
    pub file: String,
    /// `[party]`, with the certificates at the paths of `certificates`.
    pub head: String,
    /// `[[agreement]]`.
    pub agreement: String,
    /// The partner's certificates.
    pub certificates: Vec<ImportedCertificate>,
    /// What the CPA offers beside what is used.
    pub notes: Vec<Finding>,
}

/// A certificate out of a CPA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedCertificate {
    /// The file that the partner file names, beside it.
    pub file: String,
    /// SHA-256 of its DER octets.
    pub fingerprint: Fingerprint,
    /// The certificate.
    pub pem: String,
}

/// Makes a partner file of a CPA, or what is added to that of a registered party.
///
/// # Errors
/// Everything in it that this gateway cannot keep, or that is over.
pub fn import_cpa(
    cpa: &Cpa,
    own: &Identity,
    registered: &Registry,
    options: &ImportOptions,
    now: Timestamp,
) -> Result<Imported, Vec<Finding>> {
    let mut import = Import { findings: Vec::new(), notes: Vec::new() };
    let imported = import.all(cpa, (own, registered), options, now);
    let mut findings = import.findings;
    findings.sort();
    findings.dedup();
    imported.filter(|_| findings.is_empty()).ok_or(findings)
}

struct Import {
    findings: Vec<Finding>,
    notes: Vec<Finding>,
}

/// What a partner is known by here.
struct KnownAs<'a> {
    key: PartyKey,
    /// The `type` of the box number.
    kind: &'a str,
    /// Its other PartyIds, as a partner file has them.
    others: Option<String>,
}

/// What holds where nothing else is said.
struct Usual<'a> {
    terms: Terms,
    roles: [&'a Role; 2],
    urls: Urls,
}

/// Keys of a partner file and their values, in its order.
type Terms = Vec<(&'static str, String)>;

/// An Action as both sides have it.
struct Met<'a> {
    /// We send it.
    sent: bool,
    /// Ours, then the partner's.
    roles: [&'a Role; 2],
    service: &'a CollaborationRole,
    binding: &'a CpaBinding,
    /// The channel of the side that receives it; as far as several of ours differ, what fits each.
    channel: DeliveryChannel,
    /// What the side that sends it does.
    sender: Option<&'a CpaMessaging>,
}

/// Where a party is posted to over a channel.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Urls {
    endpoint: Option<Arc<str>>,
    /// With answers, where that is elsewhere.
    response: Option<Arc<str>>,
    /// With errors.
    error: Option<Arc<str>>,
}

impl Urls {
    /// The Endpoint of each kind, else the one for everything, else what there is.
    fn of(channel: &DeliveryChannel) -> Self {
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
    fn add(&mut self, place: &Place, rule: &str, message: String) {
        let Place { line, path } = place.clone();
        self.findings.push(Finding { line, path, rule: format!("cpa:{rule}"), message });
    }

    fn all(
        &mut self,
        cpa: &Cpa,
        (own, registered): (&Identity, &Registry),
        options: &ImportOptions,
        now: Timestamp,
    ) -> Option<Imported> {
        let root = Place { line: 1, path: "/tp:CollaborationProtocolAgreement".to_owned() };
        if cpa.status == CpaStatus::Proposed {
            self.add(&root, "status", "it is only proposed; agreed or signed ones bind".to_owned());
        }
        if cpa.end <= now {
            self.add(&root, "dates", format!("it has ended at {}", cpa.end));
        }
        let ours = |party: &CpaParty| party.ids.iter().any(|id| own.ids.contains(id));
        let (us, partner) = match &cpa.parties {
            [us, partner] if ours(us) => (us, partner),
            [partner, us] if ours(us) => (us, partner),
            _ => {
                let id = own.ids.first().map(ToString::to_string).unwrap_or_default();
                self.add(&root, "party", format!("neither party has our PartyId {id}"));
                return None;
            }
        };
        let sent = self.met(us, partner, true);
        let received = self.met(partner, us, false);
        let every: Vec<&Met<'_>> = sent.iter().chain(&received).collect();
        let first = every.first()?;
        let roles = [us, partner].map(|party| party.roles.first().map(|usual| &usual.role));
        let [Some(own_role), Some(partner_role)] = roles else { return None };
        for met in &every {
            self.can_be_kept(met);
        }
        for channel in signal_channels(partner) {
            self.transport_can_be_kept(channel);
        }
        let ordered = self.ordered(&every);
        let persist = persist_duration(&sent, &received);
        let usual = self.terms(first, persist);
        let urls = self.urls(partner, &sent);
        let certificates = self.certificates(partner, &sent, &received);
        let (accepted_digests, accepted) = self.algorithms(senders(partner, &received));
        let (own_digests, own_algorithms) = self.algorithms(senders(us, &sent));
        let known_as = self.party_ids(partner, registered)?;

        let mut agreement = String::from("[[agreement]]\n");
        let mut key_of = |key: &str, value: &str| writeln!(agreement, "{key} = {value}").expect(ENDLESS);
        key_of("cpa_id", &quoted(cpa.id.as_str()));
        let other_ids: Vec<_> = us.ids.iter().filter(|id| !own.ids.contains(id)).collect();
        if let Some(ids) = self.written(us, &other_ids) {
            key_of("other_own_ids", &ids);
        }
        key_of("own_role", &quoted(own_role.as_str()));
        key_of("partner_role", &quoted(partner_role.as_str()));
        match &urls.endpoint {
            Some(endpoint) => key_of("endpoint", &quoted(endpoint)),
            None => key_of("mailbox", "true"),
        }
        if let Some(response) = &urls.response {
            key_of("response_endpoint", &quoted(response));
        }
        key_of("start", &quoted(cpa.start.to_string()));
        key_of("end", &quoted(cpa.end.to_string()));
        for (name, value) in &usual {
            key_of(name, value);
        }
        if ordered {
            key_of("message_order", "true");
        }
        if let Some(algorithm) = own_algorithms.first() {
            key_of("own_algorithm", &quoted(algorithm.as_str()));
        }
        let accepted: Vec<_> = accepted.into_iter().map(SignatureAlgorithm::as_str).map(quoted).collect();
        key_of("accepted_algorithms", &format!("[{}]", accepted.join(", ")));
        // What nothing says is SHA-256.
        if let Some(other) = own_digests.first().filter(|digest| **digest != DigestMethod::Sha256) {
            key_of("own_digest", &quoted(other.as_str()));
        }
        if accepted_digests.iter().any(|digest| *digest != DigestMethod::Sha256) {
            let accepted: Vec<_> =
                accepted_digests.into_iter().map(DigestMethod::as_str).map(quoted).collect();
            key_of("accepted_digests", &format!("[{}]", accepted.join(", ")));
        }
        for (name, met) in [("send", &sent), ("receive", &received)] {
            let actions: BTreeSet<String> = met.iter().map(|met| self.action(met)).collect();
            let actions: Vec<String> =
                actions.into_iter().map(|action| format!("\n  {},", quoted(&action))).collect();
            key_of(name, &format!("[{}\n]", actions.concat()));
        }
        let usual = Usual { terms: usual, roles: [own_role, partner_role], urls: urls.clone() };
        for (terms, actions) in self.overrides(&usual, &every, persist) {
            agreement.push_str("\n[[agreement.override]]\n");
            for (name, actions) in ["send", "receive"].iter().zip(actions).filter(|(_, all)| !all.is_empty())
            {
                let actions: Vec<_> = actions.iter().map(quoted).collect();
                writeln!(agreement, "{name} = [{}]", actions.join(", ")).expect(ENDLESS);
            }
            for (name, value) in terms {
                writeln!(agreement, "{name} = {value}").expect(ENDLESS);
            }
        }
        for (url, signals) in signals_elsewhere(partner, &urls) {
            let signals: Vec<_> = signals.into_iter().map(|signal| quoted(signal.as_str())).collect();
            let signals = signals.join(", ");
            writeln!(
                agreement,
                "\n[[agreement.override]]\nsignals = [{signals}]\nendpoint = {}",
                quoted(url)
            )
            .expect(ENDLESS);
        }
        let (certificates, head) = head(partner, &known_as, options, &certificates);
        let file = format!("{}.toml", file_stem(&known_as.key));
        let notes = std::mem::take(&mut self.notes);
        Some(Imported { party: known_as.key, file, head, agreement, certificates, notes })
    }

    /// What one party sends and the other receives.
    fn met<'a>(&mut self, from: &'a CpaParty, to: &'a CpaParty, sent: bool) -> Vec<Met<'a>> {
        let mut met = Vec::new();
        for role in &from.roles {
            for binding in role.bindings.iter().filter(|binding| binding.sends) {
                let meets = |their: &&CpaBinding| {
                    !their.sends
                        && their.action == binding.action
                        && binding.other.as_ref().is_none_or(|other| *other == their.id)
                };
                let theirs = to.roles.iter().filter(|their| their.service == role.service);
                let their = theirs
                    .flat_map(|their| their.bindings.iter().map(move |binding| (&their.role, binding)))
                    .find(|(_, binding)| meets(binding));
                let channels: Vec<&DeliveryChannel> = their
                    .into_iter()
                    .flat_map(|(_, their)| &their.channels)
                    .filter_map(|id| to.channels.get(id))
                    .collect();
                let (Some((their_role, their)), false) = (their, channels.is_empty()) else {
                    let message = format!(
                        "{} sends {}, and the other party does not receive it",
                        from.name, binding.action
                    );
                    self.add(&binding.place, "action", message);
                    continue;
                };
                let channel = match sent {
                    true => self.preferred(their, &channels),
                    false => self.fitting_each(their, &channels),
                };
                let own_channel = binding.channels.first().and_then(|id| from.channels.get(id));
                let sender = own_channel.and_then(|channel| channel.exchange.sender.as_ref());
                if sender.is_none_or(|sender| sender.signature.is_none()) {
                    let message = "nothing says how it is signed (SenderNonRepudiation): what is not signed steers nothing here";
                    self.add(&binding.place, "signature", message.to_owned());
                }
                let roles = if sent { [&role.role, their_role] } else { [their_role, &role.role] };
                met.push(Met { sent, roles, service: role, binding, channel, sender });
            }
        }
        met
    }

    /// The channel that we send over: of those that the partner offers, in the order in which it likes them, the first
    /// one that can be used here.
    fn preferred(&mut self, their: &CpaBinding, channels: &[&DeliveryChannel]) -> DeliveryChannel {
        let usable = channels.iter().position(|channel| {
            let encrypted = channel.exchange.receiver.as_ref().is_some_and(|messaging| messaging.encrypted);
            no_way_over(channel).is_none() && !encrypted
        });
        let chosen = usable.unwrap_or_default();
        if let (Some(id), true) = (their.channels.get(chosen), channels.len() > 1) {
            let Place { line, path } = their.place.clone();
            let message = format!(
                "{} has {} ChannelIds: it is sent over {id}, the first one that can be used here",
                their.action,
                channels.len()
            );
            self.notes.push(Finding { line, path, rule: "cpa:channel".to_owned(), message });
        }
        channels[chosen].clone()
    }

    /// The terms on which something is received over any of our channels, since the partner may take each.
    fn fitting_each(&mut self, ours: &CpaBinding, channels: &[&DeliveryChannel]) -> DeliveryChannel {
        let mut fitting = channels[0].clone();
        for other in &channels[1..] {
            for (kept, said) in [
                (&mut fitting.ack_requested, other.ack_requested),
                (&mut fitting.duplicate_elimination, other.duplicate_elimination),
            ] {
                if *kept != said {
                    *kept = Presence::PerMessage;
                }
            }
            let signed = |channel: &DeliveryChannel| channel.ack_signature_requested != Presence::Never;
            if other.sync_reply_mode != fitting.sync_reply_mode || signed(other) != signed(&fitting) {
                let message = format!(
                    "{} may come over channels that differ in syncReplyMode or ackSignatureRequested: one of each is kept \
                     here; name channels that agree in them, or one",
                    ours.action
                );
                self.add(&ours.place, "channel", message);
            }
            self.transport_can_be_kept(other);
        }
        fitting
    }

    /// What holds for an Action, as keys of a partner file. What is received is sent again by the other side: how often
    /// and how long is not ours to keep.
    fn terms(&mut self, met: &Met<'_>, persist: Option<Duration>) -> Terms {
        let channel = &met.channel;
        let ack_signed = channel.ack_signature_requested != Presence::Never;
        let mut terms = vec![
            ("sync_reply_mode", quoted(&channel.sync_reply_mode)),
            ("duplicate_elimination", quoted(presence(channel.duplicate_elimination))),
            ("ack_requested", quoted(presence(channel.ack_requested))),
            ("ack_signed", ack_signed.to_string()),
        ];
        if met.sent {
            terms.extend(self.reliability(met, persist));
        }
        terms
    }

    /// What differs from the usual terms, with the Actions that are sent and received under it.
    fn overrides(
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
            let action = self.action(met);
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
    fn ordered(&mut self, every: &[&Met<'_>]) -> bool {
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

    /// What of an Action's terms this gateway has no means for.
    fn can_be_kept(&mut self, met: &Met<'_>) {
        let channel = &met.channel;
        if met.binding.signed == Some(false) {
            let message = "isNonRepudiationRequired is false: what is not signed steers nothing here";
            self.add(&met.binding.place, "signature", message.to_owned());
        }
        let receipt = (channel.ack_signature_requested, met.binding.receipt_signed);
        if matches!(receipt, (Presence::Never, Some(true)) | (Presence::Always, Some(false))) {
            let message = "isNonRepudiationReceiptRequired and ackSignatureRequested of the channel contradict each other";
            self.add(&met.binding.place, "receipt", message.to_owned());
        }
        for messaging in met.sender.into_iter().chain(&channel.exchange.receiver) {
            if messaging.encrypted {
                self.add(
                    &messaging.place,
                    "encryption",
                    "a digital envelope is not offered here; TLS encrypts".to_owned(),
                );
            }
        }
        self.transport_can_be_kept(channel);
        if met.binding.action.contains(char::is_whitespace) {
            self.add(
                &met.binding.place,
                "action",
                "an Action with white space cannot be written in a partner file".to_owned(),
            );
        }
    }

    fn transport_can_be_kept(&mut self, channel: &DeliveryChannel) {
        if let Some(why) = no_way_over(channel) {
            self.add(&channel.transport.place, "transport", why.to_owned());
        }
    }

    /// Where the partner is posted to, with signals where its channels differ; nowhere when it has no server.
    fn urls(&mut self, partner: &CpaParty, sent: &[Met<'_>]) -> Urls {
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

    /// The partner's certificates, DER: those of its connections, then those it signs with.
    fn certificates(
        &mut self,
        partner: &CpaParty,
        sent: &[Met<'_>],
        received: &[Met<'_>],
    ) -> [Vec<Vec<u8>>; 2] {
        let mut tls = BTreeSet::new();
        for channel in partner.channels.values() {
            let transport = &channel.transport;
            tls.extend(transport.client_certificate.iter().chain(&transport.server_certificate).cloned());
        }
        let own =
            sent.iter().map(|met| &met.channel.place).chain(received.iter().map(|met| &met.binding.place));
        if let (true, Some(place)) = (tls.is_empty(), own.into_iter().next()) {
            let message = "no ClientCertificateRef and no ServerCertificateRef of the partner: nothing says who connects";
            self.add(place, "certificate", message.to_owned());
        }
        let signed = senders(partner, received).filter_map(|sender| sender.signature.as_ref());
        let signing: BTreeSet<_> = signed.filter_map(|signature| signature.certificate.clone()).collect();
        [tls, signing].map(|ids| {
            ids.iter()
                .filter_map(|id| self.certificate(partner, id))
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect()
        })
    }

    fn certificate(&mut self, partner: &CpaParty, id: &str) -> Option<Vec<u8>> {
        let der = partner.certificate(id)?;
        if X509::from_der(der).is_err() {
            self.add(&partner.place, "certificate", format!("Certificate {id:?} is no X.509 certificate"));
        }
        Some(der.to_owned())
    }

    /// Digests and algorithms of a list that an agreement may name, in the order of the CPA.
    fn algorithms<'a>(
        &mut self,
        senders: impl Iterator<Item = &'a CpaMessaging>,
    ) -> (Vec<DigestMethod>, Vec<SignatureAlgorithm>) {
        let (mut digests, mut allowed) = (Vec::new(), Vec::new());
        for messaging in senders {
            let Some(CpaSignature { hash, algorithms, .. }) = &messaging.signature else { continue };
            match hash_function(hash) {
                Some(digest) if !digests.contains(&digest) => digests.push(digest),
                Some(_) => {}
                None => {
                    let message = format!("HashFunction {hash}: SHA-256, SHA-384 and SHA-512 are used here");
                    self.add(&messaging.place, "algorithm", message);
                }
            }
            let known: Vec<_> = algorithms
                .iter()
                .filter_map(|uri| SignatureAlgorithm::of_uri(uri))
                .filter(|known| !known.is_sha1())
                .collect();
            if known.is_empty() {
                let message = format!("none of {} is used here", algorithms.join(", "));
                self.add(&messaging.place, "algorithm", message);
            }
            for algorithm in known {
                if !allowed.contains(&algorithm) {
                    allowed.push(algorithm);
                }
            }
        }
        (digests, allowed)
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
        match persist {
            Some(persist) if attempts + SHORTEST >= persist => {
                let message = format!(
                    "PersistDuration {} leaves no TimeToLive that ends within it: all transmissions take {}",
                    format_duration(persist),
                    format_duration(attempts)
                );
                self.add(met.sender.map_or(&met.binding.place, |sender| &sender.place), "retries", message);
            }
            // A CPA has no TimeToLive. It ends after the last transmission and before the receiver forgets (6.4.5, 6.4.6).
            Some(persist) => {
                let time_to_live = (attempts + SHORTEST).max(persist / 2);
                written.push(("time_to_live", quoted(format_duration(time_to_live))));
                written.push(("persist_duration", quoted(format_duration(persist))));
            }
            None if attempts >= TIME_TO_LIVE => {
                written.push(("time_to_live", quoted(format_duration(attempts.saturating_mul(2)))));
            }
            None => {}
        }
        written
    }

    /// What a partner is known by here: as the party that is registered under one of its PartyIds; else by the first
    /// PartyId with a type, one of our own type before others.
    fn party_ids<'a>(&mut self, partner: &'a CpaParty, registered: &Registry) -> Option<KnownAs<'a>> {
        let parties = partner.ids.iter().filter_map(|id| registered.party_by_id(id));
        let parties: BTreeMap<_, _> = parties.map(|party| (&party.key, party)).collect();
        if let Some((key, party)) = parties.first_key_value() {
            if parties.len() > 1 {
                let keys: Vec<_> = parties.keys().map(|key| key.as_str()).collect();
                let message = format!("its PartyIds are those of several parties here: {}", keys.join(", "));
                self.add(&partner.place, "party", message);
            }
            let unknown: Vec<_> = partner.ids.iter().filter(|id| !party.ids.contains(id)).collect();
            if let Some(ids) = self.written(partner, &unknown) {
                let message = format!(
                    "{key} is not known by all of its PartyIds: write other_ids = {ids} under [party] of its file, and \
                     import again"
                );
                self.add(&partner.place, "party", message);
            }
            return Some(KnownAs { key: (*key).clone(), kind: BOX_NUMBER_TYPE, others: None });
        }
        let of_type = |id: &&PartyId| id.kind.as_deref() == Some(BOX_NUMBER_TYPE);
        let typed = |id: &&PartyId| id.kind.is_some();
        let mut ids = partner.ids.iter();
        let Some(id) = ids.clone().find(of_type).or_else(|| ids.find(typed)) else {
            let message =
                "no PartyId of it has a type: a partner is known here by one that has, its box number";
            self.add(&partner.place, "party", message.to_owned());
            return None;
        };
        let key = PartyKey::new(id.value.clone());
        let key = key.map_err(|error| self.add(&partner.place, "party", error.to_string())).ok()?;
        let others: Vec<_> = partner.ids.iter().filter(|other| *other != id).collect();
        let others = self.written(partner, &others);
        Some(KnownAs { key, kind: id.kind.as_deref().unwrap_or(BOX_NUMBER_TYPE), others })
    }

    /// PartyIds as a partner file has them, `type value` or a URI; none when there are none.
    fn written(&mut self, party: &CpaParty, ids: &[&PartyId]) -> Option<String> {
        let mut written = Vec::new();
        for PartyId { value, kind } in ids {
            let text = match kind {
                Some(kind) if !kind.contains(char::is_whitespace) => format!("{kind} {value}"),
                None if value.contains(':') && !value.contains(char::is_whitespace) => value.to_string(),
                _ => {
                    let message = format!(
                        "PartyId {value:?} has neither a type without white space nor is it a URI: a partner file \
                         cannot say it"
                    );
                    self.add(&party.place, "party", message);
                    continue;
                }
            };
            written.push(quoted(text));
        }
        (!written.is_empty()).then(|| format!("[{}]", written.join(", ")))
    }

    /// `Service Action`, as in partner files.
    fn action(&mut self, met: &Met<'_>) -> String {
        let service = &met.service.service;
        let expected = (!service.value.contains(':')).then_some(SERVICE_TYPE);
        if service.kind.as_deref() != expected {
            let message = format!(
                "Service {} has the type {}; here it has {}",
                service.value,
                service.kind.as_deref().unwrap_or("none"),
                expected.unwrap_or("none, as a URI")
            );
            self.add(&met.service.place, "service", message);
        }
        format!("{} {}", service.value, met.binding.action)
    }
}

/// How long either side keeps what it has: the longest that is said.
fn persist_duration(sent: &[Met<'_>], received: &[Met<'_>]) -> Option<Duration> {
    let by_them = sent.iter().filter_map(|met| met.sender?.persist_duration);
    let by_us = received.iter().filter_map(|met| met.channel.exchange.receiver.as_ref()?.persist_duration);
    by_them.chain(by_us).max()
}

/// `[party]` and the certificates that it names.
fn head(
    partner: &CpaParty,
    KnownAs { key, kind, others }: &KnownAs<'_>,
    options: &ImportOptions,
    [tls, signing]: &[Vec<Vec<u8>>; 2],
) -> (Vec<ImportedCertificate>, String) {
    let mut files = BTreeMap::new();
    let mut named = |ders: &[Vec<u8>]| {
        let names = ders.iter().map(|der| {
            let fingerprint = Digest::of(der);
            let short: String = fingerprint.to_string().chars().take(8).collect();
            let file = format!("{}-{short}.pem", file_stem(key));
            let pem = X509::from_der(der).and_then(|certificate| certificate.to_pem());
            let pem = pem.ok().and_then(|pem| String::from_utf8(pem).ok()).unwrap_or_default();
            let quoted = quoted(&file);
            files.insert(fingerprint, ImportedCertificate { file, fingerprint, pem });
            quoted
        });
        names.collect::<Vec<_>>().join(", ")
    };
    let (tls, signing) = (named(tls), named(signing));
    let name = options.name.clone().unwrap_or_else(|| partner.name.to_string());
    let mut head = format!("[party]\nkey = {}\nname = {}\n", quoted(key.as_str()), quoted(&name));
    if *kind != BOX_NUMBER_TYPE {
        writeln!(head, "type = {}", quoted(kind)).expect(ENDLESS);
    }
    if let Some(others) = others {
        writeln!(head, "other_ids = {others}").expect(ENDLESS);
    }
    let kind = match options.kind {
        PartyKind::Declarant => "declarant",
        PartyKind::Customs => "customs",
        PartyKind::Agency | PartyKind::SingleWindow => "agency",
    };
    writeln!(head, "kind = \"{kind}\"").expect(ENDLESS);
    if let Some(number) = &options.business_number {
        writeln!(head, "business_number = {}", quoted(number)).expect(ENDLESS);
    }
    writeln!(head, "tls_certificates = [{tls}]\nsigning_certificates = [{signing}]").expect(ENDLESS);
    (files.into_values().collect(), head)
}

/// What a party does when it sends what it sends, over whichever of its channels, and its signals: who sends nothing
/// acknowledges what it gets.
fn senders<'a>(party: &'a CpaParty, sent: &'a [Met<'a>]) -> impl Iterator<Item = &'a CpaMessaging> {
    let ids = sent.iter().flat_map(|met| &met.binding.channels).chain([&party.signal_channel]);
    ids.filter_map(|id| party.channels.get(id)?.exchange.sender.as_ref())
}

/// The channel of a partner's signals, then those that single ones have.
fn signal_channels(partner: &CpaParty) -> impl Iterator<Item = &DeliveryChannel> {
    let ids =
        std::iter::once(&partner.signal_channel).chain(partner.overrides.iter().map(|other| &other.channel));
    ids.filter_map(|id| partner.channels.get(id))
}

/// Signals that are posted elsewhere than the agreement says, by URL.
fn signals_elsewhere(partner: &CpaParty, usual: &Urls) -> BTreeMap<Arc<str>, Vec<SignalAction>> {
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

/// Why nothing can be sent over a channel or come in by it here.
fn no_way_over(channel: &DeliveryChannel) -> Option<&'static str> {
    let transport = &channel.transport;
    if transport.protocol.as_deref().is_some_and(|protocol| !protocol.eq_ignore_ascii_case("HTTP")) {
        return Some("messages travel over HTTPS here");
    }
    let asked = transport.http_authentication;
    asked.then_some("AccessAuthentication is not offered here: TLS certificates say who connects")
}

/// The name of a file for a party: a box number that a file system could take for something else gets its digest.
fn file_stem(key: &PartyKey) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if key.as_str().len() <= FILE_STEM_MAX && key.as_str().chars().all(plain) {
        return key.to_string();
    }
    let digest = Digest::of(key.as_str().as_bytes()).to_string();
    format!("party-{}", digest.chars().take(16).collect::<String>())
}

/// A text as TOML writes it.
fn quoted(text: impl AsRef<str>) -> String {
    toml::Value::String(text.as_ref().to_owned()).to_string()
}

/// A digest by its URI or by a name, as CPAs have either.
fn hash_function(text: &str) -> Option<DigestMethod> {
    let name = text.to_ascii_lowercase().replace('-', "");
    DigestMethod::agreeable().find(|method| method.uri() == text || method.as_str() == name)
}

const fn presence(presence: Presence) -> &'static str {
    match presence {
        Presence::Always => "always",
        Presence::Never => "never",
        Presence::PerMessage => "perMessage",
    }
}

/// Octets of a box number that names a file as it is.
const FILE_STEM_MAX: usize = 64;
/// The least that a TimeToLive ends after the last wait, and PersistDuration after it.
const SHORTEST: Duration = Duration::from_secs(1);
const ENDLESS: &str = "a String takes everything";
