//! A CPA read: schema first, then what a schema cannot say.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{
    CollaborationRole, Cpa, CpaBinding, CpaMessaging, CpaParty, CpaSignature, CpaStatus, CpaTls,
    CpaTransport, DeliveryChannel, DocExchange, Place, SignalChannel, TP,
};
use crate::codec::schema::cpa_findings;
use crate::codec::xml::{Element, XmlLimits, XmlTree};
use crate::model::{CpaId, Finding, PartyId, Presence, Role, Service, Timestamp, parse_duration};

/// Octets of a CPA document.
const BYTES_MAX: usize = 1 << 20;
/// How a CPA is bounded before anything is made of it.
const LIMITS: XmlLimits = XmlLimits { bytes_max: BYTES_MAX, ..XmlLimits::DOCUMENT };
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
/// BusinessTransactionCharacteristics that are not about messages.
const OF_PROCESS: [&str; 5] = [
    "isIntelligibleCheckRequired",
    "timeToAcknowledgeReceipt",
    "timeToAcknowledgeAcceptance",
    "timeToPerform",
    "retryCount",
];

/// Reads a CPA document.
///
/// # Errors
/// Everything that is wrong with it, by line: what breaks the schema; or, when nothing does, what leads nowhere or
/// contradicts itself.
pub fn read_cpa(octets: &Bytes) -> Result<Cpa, Vec<Finding>> {
    let tree = XmlTree::parse(octets.clone(), &LIMITS).map_err(|error| {
        let place = Place { line: 1, path: "/".to_owned() };
        vec![finding(&place, "structure:xml", error.to_string())]
    })?;
    let findings = cpa_findings(octets);
    if !findings.is_empty() {
        return Err(findings);
    }
    let mut reading = Reading { findings: Vec::new() };
    match (reading.cpa(tree.root()), reading.findings) {
        (Some(cpa), findings) if findings.is_empty() => Ok(cpa),
        (_, mut findings) => {
            findings.sort();
            Err(findings)
        }
    }
}

/// A finding about what stands at a place.
pub(super) fn finding(place: &Place, rule: &str, message: String) -> Finding {
    Finding { line: place.line, path: place.path.clone(), rule: rule.to_owned(), message }
}

/// What has been found wrong so far.
struct Reading {
    findings: Vec<Finding>,
}

impl Reading {
    fn add(&mut self, at: Element<'_>, rule: &str, message: impl Into<String>) {
        self.findings.push(finding(&place(at), rule, message.into()));
    }

    /// A value out of its text; a text that is none is a finding.
    fn value<T: FromStr<Err: std::fmt::Display>>(&mut self, at: Element<'_>, text: &str) -> Option<T> {
        let value = text.parse();
        value.map_err(|error: T::Err| self.add(at, "cpa:value", error.to_string())).ok()
    }

    fn cpa(&mut self, root: Element<'_>) -> Option<Cpa> {
        let id = CpaId::new(attribute(root, "cpaid").unwrap_or_default())
            .map_err(|error| self.add(root, "cpa:value", error.to_string()));
        let status = match child(root, "Status").and_then(|status| attribute(status, "value")) {
            Some("agreed") => CpaStatus::Agreed,
            Some("signed") => CpaStatus::Signed,
            _ => CpaStatus::Proposed,
        };
        let (start, end) = (self.instant(root, "Start"), self.instant(root, "End"));
        if let (Some(start), Some(end)) = (start, end)
            && end <= start
        {
            let at = child(root, "End").unwrap_or(root);
            self.add(at, "cpa:dates", format!("it ends at {end}, and does not start before {start}"));
        }
        let parties: Vec<_> = children(root, "PartyInfo").map(|info| self.party(info)).collect();
        self.packages_named(root);
        if let [Some(one), Some(other)] = parties.as_slice() {
            self.meet(root, one, other);
            self.meet(root, other, one);
        }
        let [one, other] = <[Option<CpaParty>; 2]>::try_from(parties).ok()?;
        // Signatures by themselves, as earlier versions had them, are taken too.
        let signature = child(root, "Signature").or_else(|| root.child(DS, "Signature")).map(place);
        let constraints = child(root, "ConversationConstraints").map(place);
        let parties = [one?, other?];
        Some(Cpa { id: id.ok()?, status, start: start?, end: end?, parties, signature, constraints })
    }

    fn instant(&mut self, root: Element<'_>, name: &str) -> Option<Timestamp> {
        let element = child(root, name)?;
        self.value(element, element.text().trim())
    }

    fn party(&mut self, info: Element<'_>) -> Option<CpaParty> {
        let certificates = self.certificates(info);
        let exchanges: BTreeMap<_, _> = children(info, "DocExchange")
            .filter_map(|element| Some((attribute(element, "docExchangeId")?, self.exchange(element))))
            .collect();
        let transports: BTreeMap<_, _> = children(info, "Transport")
            .filter_map(|element| Some((attribute(element, "transportId")?, transport(element))))
            .collect();
        // Those that refer to something that is missing are there all the same: one mistake is told once.
        let known = of_attribute(children(info, "DeliveryChannel"), "channelId");
        let mut channels = BTreeMap::new();
        for element in children(info, "DeliveryChannel") {
            let transport = self.named(element, "transportId", "Transport of this party", &transports);
            let exchange = self.named(element, "docExchangeId", "DocExchange of this party", &exchanges);
            let (Some(id), Some(transport), Some(exchange)) =
                (attribute(element, "channelId"), transport, exchange)
            else {
                continue;
            };
            channels.insert(Arc::from(id), channel(element, transport.clone(), exchange.clone()));
        }
        self.security_named(info, &certificates);
        let roles: Vec<_> =
            children(info, "CollaborationRole").filter_map(|element| self.role(element, &known)).collect();
        let overrides = children(info, "OverrideMshActionBinding").filter_map(|element| {
            self.named(element, "channelId", "DeliveryChannel of this party", &known)?;
            Some(SignalChannel {
                action: attribute(element, "action")?.into(),
                channel: attribute(element, "channelId")?.into(),
                place: place(element),
            })
        });
        let overrides = overrides.collect();
        self.named(info, "defaultMshChannelId", "DeliveryChannel of this party", &known)?;
        Some(CpaParty {
            name: attribute(info, "partyName")?.into(),
            ids: children(info, "PartyId").map(party_id).collect(),
            roles,
            certificates,
            channels,
            signal_channel: attribute(info, "defaultMshChannelId")?.into(),
            overrides,
            trusts: child(info, "SecurityDetails").map(place),
            place: place(info),
        })
    }

    /// What an attribute refers to among what there is of that kind; a reference that leads nowhere is a finding.
    fn named<'m, K: std::borrow::Borrow<str> + Ord, V>(
        &mut self,
        at: Element<'_>,
        name: &str,
        kind: &str,
        there: &'m BTreeMap<K, V>,
    ) -> Option<&'m V> {
        let id = attribute(at, name)?;
        let found = there.get(id);
        if found.is_none() {
            self.add(at, "cpa:reference", format!("{name} {id:?} names no {kind}"));
        }
        found
    }

    /// Every Certificate of a party, DER; the first X509Certificate of each counts.
    fn certificates(&mut self, info: Element<'_>) -> BTreeMap<Arc<str>, Vec<u8>> {
        let mut certificates = BTreeMap::new();
        for element in children(info, "Certificate") {
            let text = element.descendants().find(|inner| inner.is(DS, "X509Certificate")).map(Element::text);
            let Some(text) = text else {
                self.add(element, "cpa:certificate", "it holds no X509Certificate");
                continue;
            };
            let packed: String = text.split_ascii_whitespace().collect();
            let der = STANDARD.decode(packed).unwrap_or_else(|_| {
                self.add(element, "cpa:certificate", "its X509Certificate is no base64");
                Vec::new()
            });
            certificates.insert(Arc::from(attribute(element, "certId").unwrap_or_default()), der);
        }
        certificates
    }

    /// Every reference to a Certificate or to SecurityDetails leads to one of the same party.
    fn security_named(&mut self, info: Element<'_>, certificates: &BTreeMap<Arc<str>, Vec<u8>>) {
        let details = of_attribute(children(info, "SecurityDetails"), "securityId");
        for element in info.descendants().filter(|element| element.name().0 == TP) {
            let name = element.name().1;
            if name.ends_with("CertificateRef") {
                self.named(element, "certId", "Certificate of this party", certificates);
            } else if name.ends_with("SecurityDetailsRef") {
                self.named(element, "securityId", "SecurityDetails of this party", &details);
            }
        }
    }

    /// Every reference to a Packaging leads to one, and every part of one to a part. Nothing else of them is read.
    fn packages_named(&mut self, root: Element<'_>) {
        let packages = of_attribute(children(root, "Packaging"), "id");
        let is_part = |element: &Element<'_>| {
            ["SimplePart", "Composite", "Encapsulation"].iter().any(|name| element.is(TP, name))
        };
        let parts = of_attribute(root.descendants().filter(is_part), "id");
        for element in root.descendants().filter(|element| element.name().0 == TP) {
            match element.name().1 {
                "PartyInfo" => self.named(element, "defaultMshPackageId", "Packaging", &packages),
                "ThisPartyActionBinding" => self.named(element, "packageId", "Packaging", &packages),
                "Constituent" => {
                    self.named(element, "idref", "SimplePart, Composite or Encapsulation", &parts)
                }
                _ => None,
            };
        }
    }

    fn role(&mut self, element: Element<'_>, channels: &BTreeMap<&str, ()>) -> Option<CollaborationRole> {
        let role = child(element, "Role")?;
        let name = attribute(role, "name").unwrap_or_default();
        let name = Role::new(name).map_err(|error| self.add(role, "cpa:value", error.to_string()));
        let binding = child(element, "ServiceBinding")?;
        let service = child(binding, "Service")?;
        let mut bindings = Vec::new();
        for (kind, sends) in [("CanSend", true), ("CanReceive", false)] {
            for can in children(binding, kind) {
                self.binding(can, sends, false, channels, &mut bindings);
            }
        }
        Some(CollaborationRole {
            role: name.ok()?,
            service: Service {
                value: service.text().trim().into(),
                kind: attribute(service, "type").map(Arc::from),
            },
            bindings,
            place: place(element),
        })
    }

    /// A CanSend or CanReceive, and what is nested in it.
    fn binding(
        &mut self,
        can: Element<'_>,
        sends: bool,
        nested: bool,
        channels: &BTreeMap<&str, ()>,
        bindings: &mut Vec<CpaBinding>,
    ) {
        let Some(this) = child(can, "ThisPartyActionBinding") else { return };
        let named: Vec<Arc<str>> =
            children(this, "ChannelId").map(|element| Arc::from(element.text().trim())).collect();
        for id in named.iter().filter(|id| !channels.contains_key(&***id)) {
            self.add(
                this,
                "cpa:reference",
                format!("ChannelId {id:?} names no DeliveryChannel of this party"),
            );
        }
        let characteristics = child(this, "BusinessTransactionCharacteristics");
        let text = |name: &str| characteristics.and_then(|element| attribute(element, name));
        let says = |name: &str| Some(matches!(text(name)?, "true" | "1"));
        let is_asked = |name: &&str| text(name).is_some_and(|text| !matches!(text, "false" | "0"));
        bindings.push(CpaBinding {
            id: attribute(this, "id").unwrap_or_default().into(),
            sends,
            action: attribute(this, "action").unwrap_or_default().into(),
            nested,
            other: child(can, "OtherPartyActionBinding").map(|other| Arc::from(other.text().trim())),
            channels: named,
            signed: says("isNonRepudiationRequired"),
            receipt_signed: says("isNonRepudiationReceiptRequired"),
            confidential: matches!(text("isConfidential"), Some("persistent" | "transient-and-persistent")),
            of_process: OF_PROCESS.into_iter().filter(is_asked).collect(),
            place: place(this),
        });
        let inner = if sends { "CanReceive" } else { "CanSend" };
        for can in children(can, inner) {
            self.binding(can, !sends, true, channels, bindings);
        }
    }

    /// Each binding of a party meets one of the other: same Service and Action, the other direction.
    fn meet(&mut self, root: Element<'_>, one: &CpaParty, other: &CpaParty) {
        let theirs: BTreeMap<_, _> = other
            .roles
            .iter()
            .flat_map(|role| role.bindings.iter().map(move |binding| (&*binding.id, (role, binding))))
            .collect();
        let bindings = one.roles.iter().flat_map(|role| role.bindings.iter().map(move |b| (role, b)));
        for (role, binding) in bindings {
            let Some(id) = &binding.other else { continue };
            let wrong = match theirs.get(&**id) {
                None => format!("OtherPartyActionBinding {id:?} names no binding of the other party"),
                Some((_, met)) if met.sends == binding.sends => {
                    format!("{id:?} of the other party goes the same way as {:?}", binding.id)
                }
                Some((_, met)) if met.action != binding.action => {
                    format!(
                        "{id:?} of the other party has Action {}, this one {}",
                        met.action, binding.action
                    )
                }
                Some((their, _)) if their.service != role.service => {
                    format!("{id:?} of the other party belongs to Service {}", their.service.value)
                }
                Some(_) => continue,
            };
            self.findings.push(finding(&binding.place, "cpa:reference", wrong));
        }
        if one.ids.iter().any(|id| other.ids.contains(id)) && one.place < other.place {
            self.add(root, "cpa:party", "both parties have the same PartyId");
        }
    }

    fn exchange(&mut self, element: Element<'_>) -> DocExchange {
        let mut of = |name| child(element, name).map(|binding| self.messaging(binding));
        DocExchange { sender: of("ebXMLSenderBinding"), receiver: of("ebXMLReceiverBinding") }
    }

    fn messaging(&mut self, binding: Element<'_>) -> CpaMessaging {
        let reliable = child(binding, "ReliableMessaging");
        let inner = |name| reliable.and_then(|element| child(element, name));
        let retries = inner("Retries").and_then(|element| self.value::<u32>(element, element.text().trim()));
        let retry_interval = inner("RetryInterval").and_then(|element| self.duration(element));
        let persist = child(binding, "PersistDuration");
        let persist_duration = persist.and_then(|element| self.duration(element));
        if let (Some(retries), Some(interval), Some(kept), Some(at)) =
            (retries, retry_interval, persist_duration, persist)
            && interval.saturating_mul(retries.saturating_add(1)) > kept
        {
            let message = "PersistDuration is shorter than all Retries take: (Retries + 1) x RetryInterval";
            self.add(at, "cpa:persist-duration", message);
        }
        let signature = ["SenderNonRepudiation", "ReceiverNonRepudiation"];
        let signature = signature.iter().find_map(|name| child(binding, name)).map(signature_of);
        let envelope = ["SenderDigitalEnvelope", "ReceiverDigitalEnvelope"];
        CpaMessaging {
            retries,
            retry_interval,
            ordered: inner("MessageOrderSemantics").is_some_and(|order| order.text().trim() == "Guaranteed"),
            persist_duration,
            signature,
            encrypted: envelope.iter().any(|name| child(binding, name).is_some()),
            place: place(binding),
        }
    }

    /// An xs:duration without years and months, which have no length of their own.
    fn duration(&mut self, element: Element<'_>) -> Option<Duration> {
        let text = element.text();
        let duration = parse_duration(&text).ok();
        if duration.is_none() {
            let message = format!("{:?} is no duration in days, hours, minutes and seconds", text.trim());
            self.add(element, "cpa:value", message);
        }
        duration
    }
}

fn channel(element: Element<'_>, transport: CpaTransport, exchange: DocExchange) -> DeliveryChannel {
    let characteristics = child(element, "MessagingCharacteristics");
    let says = |name: &str| characteristics.and_then(|element| attribute(element, name));
    let presence = |name: &str| match says(name) {
        Some("always") => Presence::Always,
        Some("never") => Presence::Never,
        _ => Presence::PerMessage,
    };
    DeliveryChannel {
        sync_reply_mode: says("syncReplyMode").unwrap_or("none").into(),
        ack_requested: presence("ackRequested"),
        ack_signature_requested: presence("ackSignatureRequested"),
        duplicate_elimination: presence("duplicateElimination"),
        actor: says("actor").map(Arc::from),
        transport,
        exchange,
        place: place(element),
    }
}

fn transport(element: Element<'_>) -> CpaTransport {
    let (sender, receiver) = (child(element, "TransportSender"), child(element, "TransportReceiver"));
    let certificate = |side: Option<Element<'_>>, security: &str, reference: &str| {
        let reference = child(child(side?, security)?, reference)?;
        attribute(reference, "certId").map(Arc::from)
    };
    let endpoints = receiver.into_iter().flat_map(|receiver| children(receiver, "Endpoint"));
    let endpoints = endpoints.map(|endpoint| {
        let kind = attribute(endpoint, "type").unwrap_or("allPurpose");
        (attribute(endpoint, "uri").unwrap_or_default().into(), kind.into())
    });
    let authenticates = |side: Element<'_>| child(side, "AccessAuthentication").is_some();
    let secured = [(sender, "TransportClientSecurity"), (receiver, "TransportServerSecurity")];
    let secured = secured.into_iter().filter_map(|(side, security)| child(side?, security));
    CpaTransport {
        client_certificate: certificate(sender, "TransportClientSecurity", "ClientCertificateRef"),
        server_certificate: certificate(receiver, "TransportServerSecurity", "ServerCertificateRef"),
        endpoints: endpoints.collect(),
        http_authentication: sender.into_iter().chain(receiver).any(authenticates),
        protocol: receiver
            .and_then(|receiver| child(receiver, "TransportProtocol"))
            .map(|protocol| protocol.text().trim().into()),
        security: secured.filter_map(security).collect(),
        place: place(element),
    }
}

fn security(element: Element<'_>) -> Option<CpaTls> {
    let protocol = child(element, "TransportSecurityProtocol")?;
    Some(CpaTls {
        protocol: protocol.text().trim().into(),
        version: attribute(protocol, "version").map(Arc::from),
        ciphers: child(element, "EncryptionAlgorithm").is_some(),
        place: place(element),
    })
}

fn signature_of(element: Element<'_>) -> CpaSignature {
    let algorithms = children(element, "SignatureAlgorithm").map(algorithm).collect();
    CpaSignature {
        hash: child(element, "HashFunction").map(algorithm).unwrap_or_default(),
        algorithms,
        certificate: child(element, "SigningCertificateRef")
            .and_then(|reference| attribute(reference, "certId"))
            .map(Arc::from),
    }
}

/// An algorithm by its URI: the text, or the attribute `w3c` where the text is another name.
fn algorithm(element: Element<'_>) -> Arc<str> {
    attribute(element, "w3c").map_or_else(|| element.text().trim().into(), Arc::from)
}

fn party_id(element: Element<'_>) -> PartyId {
    PartyId { value: element.text().trim().into(), kind: attribute(element, "type").map(Arc::from) }
}

fn place(element: Element<'_>) -> Place {
    Place { line: element.line(), path: element.path() }
}

fn child<'a>(element: Element<'a>, name: &str) -> Option<Element<'a>> {
    element.child(TP, name)
}

/// What has this attribute, by it.
fn of_attribute<'a>(elements: impl Iterator<Item = Element<'a>>, name: &str) -> BTreeMap<&'a str, ()> {
    elements.filter_map(|element| Some((attribute(element, name)?, ()))).collect()
}

fn children<'a>(element: Element<'a>, name: &str) -> impl Iterator<Item = Element<'a>> {
    element.children().filter(move |child| child.is(TP, name))
}

fn attribute<'a>(element: Element<'a>, name: &str) -> Option<&'a str> {
    element.attribute(TP, name).map(str::trim)
}
