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
    Digest, DigestMethod, Finding, Fingerprint, PartyId, PartyKey, PartyKind, Presence, Reliability,
    SignatureAlgorithm, Timestamp, format_duration,
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
    /// `[party]`, with the certificates at the paths of `certificates`.
    pub head: String,
    /// `[[agreement]]`.
    pub agreement: String,
    /// The partner's certificates.
    pub certificates: Vec<ImportedCertificate>,
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

/// Makes a partner file of a CPA.
///
/// # Errors
/// Everything in it that this gateway cannot keep, or that is over.
pub fn import_cpa(
    cpa: &Cpa,
    own: &Identity,
    options: &ImportOptions,
    now: Timestamp,
) -> Result<Imported, Vec<Finding>> {
    let mut import = Import { findings: Vec::new() };
    let imported = import.all(cpa, own, options, now);
    let mut findings = import.findings;
    findings.sort();
    findings.dedup();
    imported.filter(|_| findings.is_empty()).ok_or(findings)
}

struct Import {
    findings: Vec<Finding>,
}

/// Keys of a partner file and their values, in its order.
type Terms = Vec<(&'static str, String)>;

/// An Action as both sides have it.
struct Met<'a> {
    /// We send it.
    sent: bool,
    role: &'a CollaborationRole,
    binding: &'a CpaBinding,
    /// The channel of the side that receives it.
    channel: &'a DeliveryChannel,
    /// What the side that sends it does.
    sender: Option<&'a CpaMessaging>,
}

impl Import {
    fn add(&mut self, place: &Place, rule: &str, message: String) {
        let Place { line, path } = place.clone();
        self.findings.push(Finding { line, path, rule: format!("cpa:{rule}"), message });
    }

    fn all(
        &mut self,
        cpa: &Cpa,
        own: &Identity,
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
        let own_role = self.one_role(us);
        let partner_role = self.one_role(partner);
        let first = every.first()?;
        for met in &every {
            self.can_be_kept(met);
        }
        let ordered = self.ordered(&every);
        let persist = persist_duration(&sent, &received);
        let usual = self.terms(first, persist);
        let endpoint = self.endpoint(partner, &sent);
        let certificates = self.certificates(partner, &sent, &received);
        let (accepted_digests, accepted) = self.algorithms(received.iter().filter_map(|met| met.sender));
        let (own_digests, own_algorithms) = self.algorithms(sent.iter().filter_map(|met| met.sender));
        let (key, kind) = self.box_number(partner)?;

        let mut agreement = String::from("[[agreement]]\n");
        let mut key_of = |key: &str, value: &str| writeln!(agreement, "{key} = {value}").expect(ENDLESS);
        key_of("cpa_id", &quoted(cpa.id.as_str()));
        key_of("own_role", &quoted(&own_role?));
        key_of("partner_role", &quoted(&partner_role?));
        match &endpoint {
            Some(endpoint) => key_of("endpoint", &quoted(endpoint)),
            None => key_of("mailbox", "true"),
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
        for (terms, actions) in self.overrides(&usual, endpoint.as_ref(), (&sent, &received), persist) {
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
        let (certificates, head) = head(partner, &key, &kind, options, &certificates);
        Some(Imported { party: key, head, agreement, certificates })
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
                let their = theirs.flat_map(|their| &their.bindings).find(meets);
                let channel =
                    their.and_then(|their| their.channels.first()).and_then(|id| to.channels.get(id));
                let Some(channel) = channel else {
                    let message = format!(
                        "{} sends {}, and the other party does not receive it",
                        from.name, binding.action
                    );
                    self.add(&binding.place, "action", message);
                    continue;
                };
                if binding.channels.len() > 1 || their.is_some_and(|their| their.channels.len() > 1) {
                    self.add(
                        &binding.place,
                        "channel",
                        "more than one ChannelId: one is kept here".to_owned(),
                    );
                }
                let own_channel = binding.channels.first().and_then(|id| from.channels.get(id));
                let sender = own_channel.and_then(|channel| channel.exchange.sender.as_ref());
                if sender.is_none_or(|sender| sender.signature.is_none()) {
                    let message = "nothing says how it is signed (SenderNonRepudiation): what is not signed steers nothing here";
                    self.add(&binding.place, "signature", message.to_owned());
                }
                met.push(Met { sent, role, binding, channel, sender });
            }
        }
        met
    }

    fn one_role(&mut self, party: &CpaParty) -> Option<Arc<str>> {
        let mut roles = party.roles.iter();
        let first = roles.next()?;
        for other in roles.filter(|other| other.role != first.role) {
            let message = format!("Role {} beside {}: an agreement has one here", other.role, first.role);
            self.add(&other.place, "role", message);
        }
        Some(first.role.as_str().into())
    }

    /// What holds for an Action, as keys of a partner file. What is received is sent again by the other side: how often
    /// and how long is not ours to keep.
    fn terms(&mut self, met: &Met<'_>, persist: Option<Duration>) -> Terms {
        let channel = met.channel;
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
        usual: &Terms,
        endpoint: Option<&Arc<str>>,
        (sent, received): (&[Met<'_>], &[Met<'_>]),
        persist: Option<Duration>,
    ) -> BTreeMap<Terms, [BTreeSet<String>; 2]> {
        let mut overrides: BTreeMap<Terms, [BTreeSet<String>; 2]> = BTreeMap::new();
        for met in sent.iter().chain(received) {
            let mut terms = self.terms(met, persist);
            terms.retain(|term| !usual.contains(term));
            let url = endpoint_of(met.channel);
            if met.sent && url.as_ref() != endpoint {
                let url = url.map(|url| ("endpoint", quoted(url)));
                terms.splice(0..0, url);
            }
            if !terms.is_empty() {
                let actions = overrides.entry(terms).or_default();
                actions[usize::from(!met.sent)].insert(self.action(met));
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
            let channel = met.channel;
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
        let channel = met.channel;
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
        let transport = &channel.transport;
        if transport.protocol.as_deref().is_some_and(|protocol| !protocol.eq_ignore_ascii_case("HTTP")) {
            self.add(&transport.place, "transport", "messages travel over HTTPS here".to_owned());
        }
        if transport.http_authentication {
            let message = "AccessAuthentication is not offered here: TLS certificates say who connects";
            self.add(&transport.place, "transport", message.to_owned());
        }
        if met.binding.action.contains(char::is_whitespace) {
            self.add(
                &met.binding.place,
                "action",
                "an Action with white space cannot be written in a partner file".to_owned(),
            );
        }
    }

    /// The URL that the partner is posted to, that of signals where its channels differ; none when it has no server.
    fn endpoint(&mut self, partner: &CpaParty, sent: &[Met<'_>]) -> Option<Arc<str>> {
        let signals = partner.channels.get(&partner.signal_channel);
        let channels: Vec<_> = signals.into_iter().chain(sent.iter().map(|met| met.channel)).collect();
        let mut urls = BTreeMap::new();
        for channel in &channels {
            urls.entry(endpoint_of(channel)).or_insert(&channel.transport.place);
        }
        let mut wrong: Vec<(&Place, String)> = Vec::new();
        for (url, place) in &urls {
            match url {
                Some(url) if url.parse::<Endpoint>().is_err() => {
                    wrong.push((place, format!("{url} is no URL such as https://host:8443/ebms")));
                }
                None if urls.len() > 1 => {
                    let message =
                        "no Endpoint, beside channels that have one: a partner is posted to, or it collects";
                    wrong.push((place, message.to_owned()));
                }
                _ => {}
            }
        }
        for (action, id) in &partner.overrides {
            if let Some(channel) = partner.channels.get(id)
                && endpoint_of(channel) != channels.first().and_then(|first| endpoint_of(first))
            {
                let message =
                    format!("{action} goes to another Endpoint than other signals: they have one here");
                wrong.push((&channel.transport.place, message));
            }
        }
        for (place, message) in wrong {
            self.add(place, "endpoint", message);
        }
        channels.iter().find_map(|channel| endpoint_of(channel))
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
        let senders = received.iter().filter_map(|met| met.sender?.signature.as_ref());
        let signing: BTreeSet<_> = senders.filter_map(|signature| signature.certificate.clone()).collect();
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

    /// The box number of a partner and the `type` of it.
    fn box_number(&mut self, partner: &CpaParty) -> Option<(PartyKey, Arc<str>)> {
        let [PartyId { value, kind: Some(kind) }] = partner.ids.as_slice() else {
            let message = "a partner is known by one PartyId with a type here".to_owned();
            self.add(&partner.place, "party", message);
            return None;
        };
        let key = PartyKey::new(value.clone());
        let key = key.map_err(|error| self.add(&partner.place, "party", error.to_string())).ok()?;
        Some((key, kind.clone()))
    }

    /// `Service Action`, as in partner files.
    fn action(&mut self, met: &Met<'_>) -> String {
        let service = &met.role.service;
        let expected = (!service.value.contains(':')).then_some(SERVICE_TYPE);
        if service.kind.as_deref() != expected {
            let message = format!(
                "Service {} has the type {}; here it has {}",
                service.value,
                service.kind.as_deref().unwrap_or("none"),
                expected.unwrap_or("none, as a URI")
            );
            self.add(&met.role.place, "service", message);
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
    key: &PartyKey,
    kind: &str,
    options: &ImportOptions,
    [tls, signing]: &[Vec<Vec<u8>>; 2],
) -> (Vec<ImportedCertificate>, String) {
    let mut files = BTreeMap::new();
    let mut named = |ders: &[Vec<u8>]| {
        let names = ders.iter().map(|der| {
            let fingerprint = Digest::of(der);
            let short: String = fingerprint.to_string().chars().take(8).collect();
            let file = format!("{key}-{short}.pem");
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
    if kind != BOX_NUMBER_TYPE {
        writeln!(head, "type = {}", quoted(kind)).expect(ENDLESS);
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

/// Where messages are posted to: the Endpoint for requests, else the one for everything.
fn endpoint_of(channel: &DeliveryChannel) -> Option<Arc<str>> {
    let endpoints = &channel.transport.endpoints;
    let of = |wanted: &str| endpoints.iter().find(|(_, kind)| &**kind == wanted).map(|(url, _)| url.clone());
    of("request").or_else(|| of("allPurpose"))
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

/// The least that a TimeToLive ends after the last wait, and PersistDuration after it.
const SHORTEST: Duration = Duration::from_secs(1);
const ENDLESS: &str = "a String takes everything";
