//! A CPA written: two parties, with a channel each for everything, and others for Actions with terms of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::TP;
use crate::codec::xml::XmlWriter;
use crate::model::{
    CpaId, DigestMethod, PartyId, Presence, Role, Service, SignatureAlgorithm, SyncReplyMode, Timestamp,
};

/// What two parties agree on, as far as this gateway has words for it.
#[derive(Clone, Debug)]
pub struct CpaTerms {
    /// CPAId.
    pub id: CpaId,
    /// In force from this instant on.
    pub start: Timestamp,
    /// In force until just before this instant.
    pub end: Timestamp,
    /// What holds for everything else, signals too.
    pub usual: ChannelTerms,
    /// What holds for some Actions.
    pub overrides: Vec<ChannelOverride>,
    /// Both parties.
    pub parties: [PartyTerms; 2],
}

/// What a channel of either party says.
#[derive(Clone, Debug)]
pub struct ChannelTerms {
    /// The Role that each party acts in.
    pub roles: [Role; 2],
    /// The URL that each party is posted to; none when it has no server.
    pub endpoints: [Option<Arc<str>>; 2],
    /// The URL that answers are posted to, errors too, where that is another one.
    pub response_endpoints: [Option<Arc<str>>; 2],
    /// What travels back on the same connection.
    pub sync_reply_mode: SyncReplyMode,
    /// AckRequested.
    pub ack_requested: Presence,
    /// Acknowledgments are signed.
    pub ack_signed: Presence,
    /// DuplicateElimination.
    pub duplicate_elimination: Presence,
    /// MessageOrderSemantics is `Guaranteed`.
    pub message_order: bool,
    /// Retries.
    pub retries: u32,
    /// RetryInterval.
    pub retry_interval: Duration,
    /// PersistDuration.
    pub persist_duration: Duration,
}

/// Actions that have a channel of their own.
#[derive(Clone, Debug)]
pub struct ChannelOverride {
    /// Each with the place of the party that sends it, and its Service; signals too.
    pub actions: Vec<(usize, Arc<str>, Arc<str>)>,
    /// What holds for them.
    pub terms: ChannelTerms,
}

impl CpaTerms {
    /// What holds for what goes over a channel.
    fn over(&self, channel: usize) -> &ChannelTerms {
        channel.checked_sub(1).map_or(&self.usual, |other| &self.overrides[other].terms)
    }

    /// The place of the channel that an Action goes over.
    fn channel_of(&self, sender: usize, service: &str, action: &str) -> usize {
        let names = |other: &ChannelOverride| {
            other.actions.iter().any(|(s, v, a)| *s == sender && **v == *service && **a == *action)
        };
        self.overrides.iter().position(names).map_or(0, |place| place + 1)
    }

    /// Every channel, the usual one first.
    fn channels(&self) -> impl Iterator<Item = (usize, &ChannelTerms)> {
        std::iter::once(&self.usual).chain(self.overrides.iter().map(|other| &other.terms)).enumerate()
    }
}

/// One party of it.
#[derive(Clone, Debug)]
pub struct PartyTerms {
    /// A name for people.
    pub name: Arc<str>,
    /// Its PartyIds.
    pub ids: Vec<PartyId>,
    /// DER of the certificate of its connections.
    pub tls_certificate: Option<Vec<u8>>,
    /// DER of the certificate it signs with.
    pub signing_certificate: Vec<u8>,
    /// The digest of its references.
    pub digest: DigestMethod,
    /// Algorithms it may sign with, in order of preference.
    pub algorithms: Vec<SignatureAlgorithm>,
    /// What it sends; the other one receives that.
    pub sends: Vec<(Service, Arc<str>)>,
}

/// Writes a CPA document. What the specification wants and we have no words for (process specification, packaging)
/// is written as plainly as the schema allows.
#[must_use]
pub fn write_cpa(terms: &CpaTerms) -> String {
    let mut out = XmlWriter::document();
    out.open(ROOT).attribute("xmlns:tp", TP).attribute("xmlns:ds", DS).attribute("xmlns:xlink", XLINK);
    out.attribute("tp:cpaid", terms.id.as_str()).attribute("tp:version", "2_0b");
    empty(&mut out, "tp:Status", &[("tp:value", "agreed")]);
    out.leaf("tp:Start", &terms.start.to_string()).leaf("tp:End", &terms.end.to_string()).text("\n");
    for place in 0..2 {
        party(&mut out, terms, place);
    }
    empty(&mut out, "tp:SimplePart", &[("tp:id", "envelope"), ("tp:mimetype", "text/xml")]);
    empty(&mut out, "tp:SimplePart", &[("tp:id", "payload"), ("tp:mimetype", "application/octet-stream")]);
    out.open("tp:Packaging").attribute("tp:id", "package");
    empty(&mut out, "tp:ProcessingCapabilities", &[("tp:parse", "true"), ("tp:generate", "true")]);
    out.open("tp:CompositeList").open("tp:Composite");
    out.attribute("tp:id", "message").attribute("tp:mimetype", "multipart/related");
    out.attribute("tp:mimeparameters", "type=\"text/xml\"");
    empty(&mut out, "tp:Constituent", &[("tp:idref", "envelope")]);
    empty(&mut out, "tp:Constituent", &[("tp:idref", "payload"), ("tp:minOccurs", "0")]);
    out.close("tp:Composite").close("tp:CompositeList").close("tp:Packaging");
    out.close(ROOT);
    out.finish()
}

fn party(out: &mut XmlWriter, terms: &CpaTerms, place: usize) {
    let (this, other) = (&terms.parties[place], &terms.parties[1 - place]);
    let id = |what: &str| format!("party{}-{what}", place + 1);
    out.open("tp:PartyInfo").attribute("tp:partyName", &this.name);
    out.attribute("tp:defaultMshChannelId", &id("channel")).attribute("tp:defaultMshPackageId", "package");
    for PartyId { value, kind } in &this.ids {
        typed(out, "tp:PartyId", value, kind.as_deref());
    }
    let href = terms.usual.endpoints[place].as_deref().unwrap_or("urn:swgw:party");
    empty(out, "tp:PartyRef", &[("xlink:type", "simple"), ("xlink:href", href)]);
    for (role, service, actions) in by_role_and_service(terms, place) {
        out.open("tp:CollaborationRole");
        let process = [
            ("tp:name", &*service.value),
            ("tp:version", "1"),
            ("xlink:type", "simple"),
            ("xlink:href", "urn:swgw:process"),
        ];
        empty(out, "tp:ProcessSpecification", &process);
        let role = [("tp:name", role.as_str()), ("xlink:type", "simple"), ("xlink:href", "urn:swgw:role")];
        empty(out, "tp:Role", &role);
        out.open("tp:ServiceBinding");
        typed(out, "tp:Service", &service.value, service.kind.as_deref());
        for (sends, index, action) in actions {
            let can = if sends { "tp:CanSend" } else { "tp:CanReceive" };
            // Named by the place of the Action among those that its sender sends, so that both parties say the same.
            let binding = |party: usize, sends: bool| {
                format!("party{}-{}-{index}", party + 1, if sends { "sends" } else { "receives" })
            };
            out.open(can).open("tp:ThisPartyActionBinding").attribute("tp:id", &binding(place, sends));
            out.attribute("tp:action", action).attribute("tp:packageId", "package");
            let sender = if sends { place } else { 1 - place };
            let channel = terms.channel_of(sender, &service.value, action);
            // What each message says for itself is not required of all.
            let receipt = match terms.over(channel).ack_signed {
                Presence::Always => Some("true"),
                Presence::Never => Some("false"),
                Presence::PerMessage => None,
            };
            let characteristics = [
                Some(("tp:isNonRepudiationRequired", "true")),
                receipt.map(|required| ("tp:isNonRepudiationReceiptRequired", required)),
                Some(("tp:isConfidential", "transient")),
                Some(("tp:isAuthenticated", "transient-and-persistent")),
                Some(("tp:isTamperProof", "transient-and-persistent")),
            ];
            let characteristics: Vec<_> = characteristics.into_iter().flatten().collect();
            empty(out, "tp:BusinessTransactionCharacteristics", &characteristics);
            out.leaf("tp:ChannelId", &numbered(&id("channel"), channel)).close("tp:ThisPartyActionBinding");
            out.leaf("tp:OtherPartyActionBinding", &binding(1 - place, !sends)).close(can).text("\n");
        }
        out.close("tp:ServiceBinding").close("tp:CollaborationRole").text("\n");
    }
    certificate(out, &id("signing"), &this.signing_certificate);
    if let Some(der) = &this.tls_certificate {
        certificate(out, &id("tls"), der);
    }
    for (number, channel) in terms.channels() {
        delivery_channel(out, channel, &|what| numbered(&id(what), number));
    }
    for (number, channel) in terms.channels() {
        let own = |what: &str| numbered(&id(what), number);
        let tls = this.tls_certificate.is_some().then(|| id("tls"));
        transport(out, tls, endpoints(channel, place), &own("transport"));
    }
    for (number, channel) in terms.channels() {
        exchange(out, channel, [this, other], &id("signing"), &numbered(&id("exchange"), number));
    }
    // Who is posted to says where: the channel is that of the party that receives the signal.
    for (number, other) in (1..).zip(&terms.overrides) {
        let signals = other.actions.iter().filter(|(s, v, _)| *s != place && **v == *Service::MSH);
        for (_, _, action) in signals {
            let channel = numbered(&id("channel"), number);
            let attributes = [("tp:action", &**action), ("tp:channelId", &*channel)];
            empty(out, "tp:OverrideMshActionBinding", &attributes);
        }
    }
    out.close("tp:PartyInfo").text("\n");
}

/// The name of something that each channel has; the usual one needs no number.
fn numbered(name: &str, channel: usize) -> String {
    if channel == 0 { name.to_owned() } else { format!("{name}-{channel}") }
}

fn delivery_channel(out: &mut XmlWriter, channel: &ChannelTerms, id: &impl Fn(&str) -> String) {
    out.open("tp:DeliveryChannel").attribute("tp:channelId", &id("channel"));
    out.attribute("tp:transportId", &id("transport")).attribute("tp:docExchangeId", &id("exchange"));
    let characteristics = [
        ("tp:syncReplyMode", channel.sync_reply_mode.as_str()),
        ("tp:ackRequested", presence(channel.ack_requested)),
        ("tp:ackSignatureRequested", presence(channel.ack_signed)),
        ("tp:duplicateElimination", presence(channel.duplicate_elimination)),
        ("tp:actor", "urn:oasis:names:tc:ebxml-msg:actor:toPartyMSH"),
    ];
    empty(out, "tp:MessagingCharacteristics", &characteristics);
    out.close("tp:DeliveryChannel").text("\n");
}

/// Whether a party sends it, its place among all that its sender sends, and the Action.
type Bound<'a> = (bool, usize, &'a str);

/// Of each Role of a party and each Service what it sends, then what it receives; what it does in its usual Role first.
fn by_role_and_service(terms: &CpaTerms, place: usize) -> Vec<(&Role, &Service, Vec<Bound<'_>>)> {
    let usual = &terms.usual.roles[place];
    let mut found = BTreeMap::<_, (&Role, &Service, Vec<Bound<'_>>)>::new();
    for sender in [place, 1 - place] {
        for (index, (service, action)) in terms.parties[sender].sends.iter().enumerate() {
            let role = &terms.over(terms.channel_of(sender, &service.value, action)).roles[place];
            let key = (role != usual, role, &*service.value, service.kind.as_deref());
            let (.., bound) = found.entry(key).or_insert_with(|| (role, service, Vec::new()));
            bound.push((sender == place, index, &**action));
        }
    }
    found.into_values().collect()
}

/// Where a party is posted to over a channel, and with what.
fn endpoints(channel: &ChannelTerms, place: usize) -> Vec<(&str, &'static str)> {
    let (usual, answers) = (&channel.endpoints, &channel.response_endpoints);
    let urls = [(usual, "allPurpose"), (answers, "response"), (answers, "error")];
    urls.iter().filter_map(|(urls, kind)| Some((urls[place].as_deref()?, *kind))).collect()
}

fn transport(out: &mut XmlWriter, tls: Option<String>, endpoints: Vec<(&str, &str)>, id: &str) {
    let secured = |out: &mut XmlWriter, side: &str| {
        let Some(tls) = &tls else { return };
        let security = format!("tp:Transport{side}Security");
        out.open(&security);
        versioned(out, "tp:TransportSecurityProtocol", "TLS", "1.2");
        empty(out, &format!("tp:{side}CertificateRef"), &[("tp:certId", tls)]);
        out.close(&security);
    };
    out.open("tp:Transport").attribute("tp:transportId", id);
    out.open("tp:TransportSender");
    versioned(out, "tp:TransportProtocol", "HTTP", "1.1");
    secured(out, "Client");
    out.close("tp:TransportSender");
    if !endpoints.is_empty() {
        out.open("tp:TransportReceiver");
        versioned(out, "tp:TransportProtocol", "HTTP", "1.1");
        for (url, kind) in endpoints {
            empty(out, "tp:Endpoint", &[("tp:uri", url), ("tp:type", kind)]);
        }
        secured(out, "Server");
        out.close("tp:TransportReceiver");
    }
    out.close("tp:Transport").text("\n");
}

fn exchange(
    out: &mut XmlWriter,
    channel: &ChannelTerms,
    [this, other]: [&PartyTerms; 2],
    signing: &str,
    id: &str,
) {
    out.open("tp:DocExchange").attribute("tp:docExchangeId", id);
    for (kind, signer) in [("Sender", this), ("Receiver", other)] {
        let binding = format!("tp:ebXML{kind}Binding");
        out.open(&binding).attribute("tp:version", "2.0");
        out.open("tp:ReliableMessaging").leaf("tp:Retries", &channel.retries.to_string());
        out.leaf("tp:RetryInterval", &duration(channel.retry_interval));
        let order = if channel.message_order { "Guaranteed" } else { "NotGuaranteed" };
        out.leaf("tp:MessageOrderSemantics", order).close("tp:ReliableMessaging");
        out.leaf("tp:PersistDuration", &duration(channel.persist_duration));
        let non_repudiation = format!("tp:{kind}NonRepudiation");
        out.open(&non_repudiation).leaf("tp:NonRepudiationProtocol", DS);
        out.leaf("tp:HashFunction", signer.digest.uri());
        for algorithm in &signer.algorithms {
            out.leaf("tp:SignatureAlgorithm", algorithm.uri());
        }
        if kind == "Sender" {
            empty(out, "tp:SigningCertificateRef", &[("tp:certId", signing)]);
        }
        out.close(&non_repudiation).close(&binding);
    }
    out.close("tp:DocExchange").text("\n");
}

fn certificate(out: &mut XmlWriter, id: &str, der: &[u8]) {
    out.open("tp:Certificate").attribute("tp:certId", id);
    out.open("ds:KeyInfo").open("ds:X509Data").leaf("ds:X509Certificate", &STANDARD.encode(der));
    out.close("ds:X509Data").close("ds:KeyInfo").close("tp:Certificate").text("\n");
}

fn empty(out: &mut XmlWriter, name: &str, attributes: &[(&str, &str)]) {
    out.open(name);
    for (attribute, value) in attributes {
        out.attribute(attribute, value);
    }
    out.close(name);
}

fn typed(out: &mut XmlWriter, name: &str, value: &str, kind: Option<&str>) {
    out.open(name);
    if let Some(kind) = kind {
        out.attribute("tp:type", kind);
    }
    out.text(value).close(name);
}

fn versioned(out: &mut XmlWriter, name: &str, value: &str, version: &str) {
    out.open(name).attribute("tp:version", version).text(value).close(name);
}

/// An xs:duration; seconds, since what we keep has no calendar.
fn duration(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("PT{}S", duration.as_secs()),
        millis => format!("PT{}.{millis:03}S", duration.as_secs()),
    }
}

const fn presence(presence: Presence) -> &'static str {
    match presence {
        Presence::Always => "always",
        Presence::Never => "never",
        Presence::PerMessage => "perMessage",
    }
}

const ROOT: &str = "tp:CollaborationProtocolAgreement";
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const XLINK: &str = "http://www.w3.org/1999/xlink";
