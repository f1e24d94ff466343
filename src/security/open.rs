//! Octets to a verified message: parse once, closed profile, identity, signature, coverage (P7; digest, 8.3 to 9.2).
//!
//! Promises: a [`Verified`] holds what its signer signed and nothing else that could steer anything; it is read from
//! the tree that was verified; and there is no other way to get one. Checks run in the order of the digest (9.2),
//! cheap and safe first.
//!
//! Does not ask whether the message came before, is too old, or asks for what is not agreed beyond Service and
//! Action: that is the message layer's, with the store in hand.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::careless::check_signal;
use super::error::SignatureFault;
use super::keystore::{KeyRing, RegisteredCertificate};
use super::parts::{content_of, drops_parts, parts_of, payloads};
use super::profile::{Signature, Target};
use super::refusal::{Refusal, RefusalAnswer, RefusalCause};
use super::signature::{Engine, Part, Signed, references_of_unsigned};
use crate::codec::envelope::{
    Envelope, EnvelopeError, FaultCode, PartialHeader, Supplied, decode_for_anyone,
};
use crate::codec::mime::{MimeError, MimeLimits, PartName, unpack};
use crate::codec::xml::XmlLimits;
use crate::model::{
    AckRequested, Actor, Agreement, CpaId, Deviation, Digest, DigestReference, Direction, EbxmlError,
    ErrorCode, Fingerprint, Message, MessageHeader, MessageKind, Octets, Party, PartyId, PartyKey, Registry,
    Role, SignalAction, Timestamp,
};

/// Whom and what we trust. Read-only: a reload makes another one.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Parties and agreements.
    pub registry: Arc<Registry>,
    /// The certificates that they sign with.
    pub keys: Arc<KeyRing>,
    /// Who verifies.
    pub engine: Engine,
    /// The PartyIds that name us.
    pub own_ids: Vec<PartyId>,
    /// Bounds of what is read at all.
    pub limits: OpenLimits,
}

/// Bounds of a message; what lies past them is refused before it is read further.
#[derive(Clone, Debug, Default)]
pub struct OpenLimits {
    /// Of the MIME package.
    pub mime: MimeLimits,
    /// Of the envelope.
    pub xml: XmlLimits,
}

/// A message as it came over the wire, as a request or in a response.
#[derive(Clone, Debug)]
pub struct Wire<'a> {
    /// HTTP Content-Type.
    pub content_type: &'a str,
    /// HTTP entity.
    pub body: &'a Octets,
    /// How it came in.
    pub origin: Origin,
}

/// How a message came in: what says who sent it, before its signature does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Over a connection whose other end has this TLS certificate, if any.
    Connection(Option<Fingerprint>),
    /// From the inbox of a hosted agency, in its name. Nobody connects in that name: the key of a hosted agency signs,
    /// and opens no door (S15).
    Inbox(PartyKey),
    /// From our store, where it has been since it was let in as a message of this party. Opened as of then: what its
    /// signature and its certificate were worth was settled when it came.
    Stored(PartyKey),
}

/// A message that was let in: what it says is what a registered party said to us. The only way to get one is
/// [`open()`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    message: Message,
    party: PartyKey,
    signed: bool,
    asked_of_next_msh: Option<AckRequested>,
    deviations: BTreeSet<Deviation>,
    schema_findings: Vec<EbxmlError>,
}

impl Verified {
    /// The message, without what is meant for a next MSH, which no signature covers.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// The registered party that sent it.
    #[must_use]
    pub const fn party(&self) -> &PartyKey {
        &self.party
    }

    /// The agreement that it came under.
    #[must_use]
    pub const fn cpa_id(&self) -> &CpaId {
        &self.message.header.cpa_id
    }

    /// A message that nobody verified, for tests of what comes after.
    #[cfg(test)]
    #[allow(dead_code, reason = "the floors above test with it")]
    pub(crate) fn for_tests(message: Message, party: PartyKey, signed: bool) -> Self {
        let (deviations, schema_findings) = (BTreeSet::new(), Vec::new());
        Self { message, party, signed, asked_of_next_msh: None, deviations, schema_findings }
    }

    /// The same, with an AckRequested for the next MSH.
    #[cfg(test)]
    #[allow(dead_code, reason = "the floors above test with it")]
    pub(crate) fn asking_next_msh(self, signed: bool) -> Self {
        let asked = AckRequested { actor: Actor::NextMsh, signed };
        Self { asked_of_next_msh: Some(asked), ..self }
    }

    /// What was asked of the next MSH on the way, which is us; by the sender or by anyone between, as no signature
    /// covers it. It may bring an acknowledgment of this hop, and steers nothing (digest, 8.5, 15).
    #[must_use]
    pub const fn asked_of_next_msh(&self) -> Option<AckRequested> {
        self.asked_of_next_msh
    }

    /// What of it is not as the standard has it, and allowed by the profile of its agreement.
    #[must_use]
    pub const fn deviations(&self) -> &BTreeSet<Deviation> {
        &self.deviations
    }

    /// In what it breaks the schema, where it is a signal and the profile of its agreement allows that.
    #[must_use]
    pub fn schema_findings(&self) -> &[EbxmlError] {
        &self.schema_findings
    }

    /// Whether its party signed it; without a signature, only the connection vouches for it. User messages are
    /// always signed, unless the profile of their agreement says otherwise.
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.signed
    }
}

/// A message of a registered party for another one, to be passed on as it came. What its sender signed was verified: no
/// one speaks through us in another's name. Only [`open_or_forward()`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transit {
    message: Message,
    from: PartyKey,
    to: PartyKey,
    asked_of_next_msh: Option<AckRequested>,
    content: Digest,
    deviations: BTreeSet<Deviation>,
}

impl Transit {
    /// The message, without its payloads, which are nobody's business on the way.
    #[must_use]
    pub const fn message(&self) -> &Message {
        &self.message
    }

    /// The registered party that sent it.
    #[must_use]
    pub const fn from(&self) -> &PartyKey {
        &self.from
    }

    /// The registered party that it is for.
    #[must_use]
    pub const fn to(&self) -> &PartyKey {
        &self.to
    }

    /// What is asked of the next MSH, which is us.
    #[must_use]
    pub const fn asked_of_next_msh(&self) -> Option<AckRequested> {
        self.asked_of_next_msh
    }

    /// What a repeat of it shares with it and nothing else does (P3): of what its sender says, and of no octet of the
    /// package around that, nor of what is meant for a next MSH.
    #[must_use]
    pub const fn content(&self) -> &Digest {
        &self.content
    }

    /// What of it is not as the standard has it, and allowed by the profile of its sender's agreement with us.
    #[must_use]
    pub const fn deviations(&self) -> &BTreeSet<Deviation> {
        &self.deviations
    }

    /// A message that nobody verified, for tests of what comes after.
    #[cfg(test)]
    #[allow(dead_code, reason = "the floors above test with it")]
    pub(crate) fn for_tests(
        message: Message,
        from: PartyKey,
        to: PartyKey,
        asked_of_next_msh: Option<AckRequested>,
    ) -> Self {
        let content = message.content_digest(true);
        Self { message, from, to, asked_of_next_msh, content, deviations: BTreeSet::new() }
    }
}

/// For whom a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opened {
    /// For us.
    Here(Verified),
    /// For another party, and ours to pass on.
    Elsewhere(Transit),
}

impl Opened {
    pub(super) fn deviates(&mut self, deviation: Deviation) {
        let deviations = match self {
            Self::Here(verified) => &mut verified.deviations,
            Self::Elsewhere(transit) => &mut transit.deviations,
        };
        deviations.insert(deviation);
    }
}

/// As [`open()`], for a gateway that also passes on what is for others.
///
/// # Errors
/// [`Refusal`]: nothing of the message may be used but what stands there.
pub fn open_or_forward(wire: &Wire<'_>, trust: &Trust, now: Timestamp) -> Result<Opened, Refusal> {
    opened(wire, trust, now, true)
}

/// Lets a message in, or says why not.
///
/// # Errors
/// [`Refusal`]: nothing of the message may be used but what stands there.
pub fn open(wire: &Wire<'_>, trust: &Trust, now: Timestamp) -> Result<Verified, Refusal> {
    match opened(wire, trust, now, false)? {
        Opened::Here(verified) => Ok(verified),
        Opened::Elsewhere(transit) => {
            unreachable!("nothing is passed on here, and this is for {}", transit.to)
        }
    }
}

fn opened(wire: &Wire<'_>, trust: &Trust, now: Timestamp, forwards: bool) -> Result<Opened, Refusal> {
    let registry = &trust.registry;
    let party = match &wire.origin {
        Origin::Connection(Some(certificate)) => registry
            .party_by_tls(certificate)
            .ok_or_else(|| format!("the TLS certificate {certificate} is not registered")),
        Origin::Connection(None) => Err("the connection has no TLS certificate".to_owned()),
        Origin::Inbox(party) | Origin::Stored(party) => {
            registry.party(party).ok_or_else(|| format!("{party} is not registered"))
        }
    };
    let party = match party {
        Ok(party) => party,
        Err(text) => return Err(unknown_peer(text)),
    };
    // What was let in before stays what it was worth then.
    let asks_revocation = !matches!(wire.origin, Origin::Stored(_));
    Opening { trust, party, now, forwards, asks_revocation }
        .open(wire)
        .map_err(|refusal| Refusal { party: Some(party.key.clone()), ..refusal })
}

/// Who is not registered hears nothing but that.
const fn unknown_peer(text: String) -> Refusal {
    let (answer, cause) = (RefusalAnswer::Http(FORBIDDEN), RefusalCause::UnknownPeer);
    Refusal { answer, header: None, party: None, cause, text, alarm: false }
}

/// One message of one identified party.
struct Opening<'a> {
    trust: &'a Trust,
    party: &'a Party,
    now: Timestamp,
    /// What is for others may be passed on.
    forwards: bool,
    /// What a revoked certificate has signed is refused.
    asks_revocation: bool,
}

impl Opening<'_> {
    fn open(&self, wire: &Wire<'_>) -> Result<Opened, Refusal> {
        let limits = &self.trust.limits;
        let package = unpack(wire.content_type, wire.body, &limits.mime).map_err(|error| {
            if let MimeError::Unreadable(fault) = &error {
                return Refusal::unreadable(fault);
            }
            let told = format!("the entity is no MIME package that is accepted here: {error}");
            Refusal::fault(RefusalCause::Mime, FaultCode::Client, &told, error.to_string())
        })?;
        let root = package.root;
        let envelope = decode_for_anyone(&root.body, root.charset.as_deref(), &limits.xml)
            .map_err(|error| self.not_decoded(error))?;
        let mut deviations = BTreeSet::new();
        if let Some((agreement, to)) = self.to_forward(&envelope.message) {
            self.check_from(&envelope.message.header)?;
            let parts = parts_of(package.parts, &envelope, agreement, &mut deviations)?;
            let covered = self.check_signature(&envelope, &root.body, &parts, agreement, &mut deviations)?;
            let covered = covered.map(|covered| covered.references);
            let content = match &covered {
                Some(references) => content_of(references, &parts),
                None => content_of(&references_of_unsigned(envelope.tree.root(), &[]), &parts),
            };
            let mut message = envelope.message;
            message.references = covered.unwrap_or_default();
            let asked = message.ack_requested.iter().find(|asked| asked.actor == Actor::NextMsh).copied();
            let (from, to) = (self.party.key.clone(), to.key.clone());
            let transit = Transit { message, from, to, asked_of_next_msh: asked, content, deviations };
            return Ok(Opened::Elsewhere(transit));
        }
        if let Some(fault) = envelope.not_understood {
            return Err(self.not_decoded(EnvelopeError::Fault(fault)));
        }
        let agreement = self.check_parties(&envelope.message, &mut deviations)?;
        check_signal(&envelope, agreement, &mut deviations)?;
        let parts = match drops_parts(&envelope, &package.parts, agreement, &mut deviations)? {
            true => Vec::new(),
            false => parts_of(package.parts, &envelope, agreement, &mut deviations)?,
        };
        let covered = self.check_signature(&envelope, &root.body, &parts, agreement, &mut deviations)?;
        let mut message = envelope.message;
        message.manifest.take_if(|_| message.kind != MessageKind::User);
        let named = payloads(&message, parts, &covered, agreement, &mut deviations)?;
        let asked_of_next_msh = take_for_next_msh(&mut message)?;
        let signed = covered.is_some();
        message.references = match covered {
            Some(covered) => covered.references,
            None if message.kind == MessageKind::User => references_of_unsigned(envelope.tree.root(), &named),
            None => Vec::new(),
        };
        message.payloads = named.into_iter().map(|(_, payload)| payload).collect();
        let party = self.party.key.clone();
        let schema_findings = envelope.schema_findings;
        Ok(Opened::Here(Verified { message, party, signed, asked_of_next_msh, deviations, schema_findings }))
    }

    /// Our agreement with who sends what is for another registered party, and that party, when both have messages passed
    /// on. What is for us is not, and nobody gets his own back; a message whose From is not who connects has come
    /// through somebody else, and goes no further: so it can run in no circle (S21).
    fn to_forward(&self, message: &Message) -> Option<(&Agreement, &Party)> {
        let (registry, to) = (&self.trust.registry, &message.header.to);
        if !self.forwards || to.ids.iter().any(|id| self.trust.own_ids.contains(id)) {
            return None;
        }
        let mut parties = to.ids.iter().map(|id| registry.party_by_id(id));
        let to = parties.next()??;
        let is_one = parties.all(|other| other.is_some_and(|other| other.key == to.key));
        let onward = registry.agreement_to_forward(&to.key, self.now)?;
        let agreement = registry.agreement_to_forward(&self.party.key, self.now)?;
        (is_one && to.key != self.party.key && onward.partner == to.key).then_some((agreement, to))
    }

    /// What is answered to octets that are no envelope within the profile.
    fn not_decoded(&self, error: EnvelopeError) -> Refusal {
        match error {
            EnvelopeError::Fault(fault) => {
                let text = fault.text.clone();
                Refusal::fault(RefusalCause::Soap, fault.code, &fault.text, text)
            }
            EnvelopeError::Errors { header, errors } => {
                let text = listed(&errors);
                let Some(header) = header.and_then(|read| self.header_to_answer(*read)) else {
                    let told = format!(
                        "the MessageHeader cannot be answered: {}",
                        listed(errors.get(..1).unwrap_or_default())
                    );
                    return Refusal::fault(RefusalCause::Envelope, FaultCode::Client, &told, text);
                };
                match self.check_untyped_from(&header) {
                    Ok(()) => Refusal::errors(RefusalCause::Envelope, &header, errors, text),
                    Err(refusal) => refusal,
                }
            }
        }
    }

    /// The header that an error message goes back to; what could not be read of it is taken from who owns the
    /// connection and what is agreed with them. It steers the answer, and nothing else.
    fn header_to_answer(&self, read: PartialHeader) -> Option<MessageHeader> {
        let in_force = |a: &&Agreement| a.partner == self.party.key && a.in_force(self.now);
        let agreements = self.trust.registry.agreements().filter(in_force);
        let agreement = agreements.max_by_key(|a| (a.start, Reverse(&a.cpa_id)));
        read.completed(Supplied {
            from: self.party.ids.clone(),
            to: self.trust.own_ids.clone(),
            cpa_id: agreement.map(|agreement| agreement.cpa_id.clone()),
            received_at: self.now,
        })
    }

    /// From is who owns the connection; the agreement is with them and knows what they do.
    fn check_parties(
        &self,
        message: &Message,
        deviations: &mut BTreeSet<Deviation>,
    ) -> Result<&Agreement, Refusal> {
        let header = &message.header;
        self.check_from(header)?;
        let refuse = |cause, code, at: &str, told: &str| {
            let error = EbxmlError::new(code, format!("{HEADER}/{at}"), told);
            Refusal::errors(cause, header, vec![error], told.to_owned())
        };
        let unknown = |text: String| Refusal {
            text,
            ..refuse(
                RefusalCause::UnknownAgreement,
                ErrorCode::ValueNotRecognized,
                "eb:CPAId",
                "no agreement in force with this party has this CPAId",
            )
        };
        let cpa_id = &header.cpa_id;
        let agreement = match self.trust.registry.agreement(cpa_id) {
            None => return Err(unknown(format!("no agreement {cpa_id}"))),
            Some(agreement) if agreement.partner != self.party.key => {
                let text = format!("the agreement {cpa_id} is with {}", agreement.partner);
                return Err(unknown(text).with_alarm());
            }
            Some(agreement) if !agreement.in_force(self.now) => {
                return Err(unknown(format!("the agreement {cpa_id} is not in force")));
            }
            Some(agreement) => agreement,
        };
        if !header.to.ids.iter().any(|id| self.trust.own_ids.contains(id) || agreement.own_ids.contains(id)) {
            let told = "To is not a party of this handler";
            let code = ErrorCode::ValueNotRecognized;
            return Err(refuse(RefusalCause::NotAddressedToUs, code, "eb:To/eb:PartyId", told));
        }
        let not_agreed = |code, at, told| Err(refuse(RefusalCause::NotAgreed, code, at, told));
        let is_user = message.kind == MessageKind::User;
        let (service, action) = (&*header.service.value, &*header.action);
        // An Action is sent in its Roles. A signal speaks of one of them, and may come without Role (digest, 6).
        let terms: Vec<&Agreement> = match is_user {
            true => vec![agreement.on(Direction::Receive, service, action)],
            false => agreement.terms().collect(),
        };
        let may_be_missing = !is_user || agreement.profile.allows(Deviation::MissingRole);
        if is_user && header.from.role.is_none() {
            deviations.insert(Deviation::MissingRole);
        }
        let on_action = agreement.on(Direction::Receive, service, action);
        if message.lacks_sync_reply(on_action.sync_reply_mode)
            && on_action.profile.allows(Deviation::MissingSyncReply)
        {
            deviations.insert(Deviation::MissingSyncReply);
        }
        let from_agreed = |role: &Role| terms.iter().any(|terms| *role == terms.partner_role);
        if !header.from.role.as_ref().map_or(may_be_missing, from_agreed) {
            let told = "the agreement gives From another Role";
            return not_agreed(ErrorCode::Inconsistent, "eb:From/eb:Role", told);
        }
        let to_agreed = |role: &Role| terms.iter().any(|terms| *role == terms.own_role);
        if !header.to.role.as_ref().is_none_or(to_agreed) {
            let told = "the agreement gives To another Role";
            return not_agreed(ErrorCode::Inconsistent, "eb:To/eb:Role", told);
        }
        if is_user && !agreement.knows_service(Direction::Receive, service) {
            let told = "the agreement does not let this Service be sent to us";
            return not_agreed(ErrorCode::ValueNotRecognized, "eb:Service", told);
        }
        if is_user && !agreement.allows(Direction::Receive, service, action) {
            let told = "the agreement does not let this Action be sent to us";
            return not_agreed(ErrorCode::ValueNotRecognized, "eb:Action", told);
        }
        Ok(agreement)
    }

    /// Every PartyId of From is one of the party that owns the connection (S4, digest 19.15).
    fn check_from(&self, header: &MessageHeader) -> Result<(), Refusal> {
        self.check_from_is(header, |id| self.party.ids.contains(id))
    }

    /// The same for a header that is refused anyway: a PartyId whose type is missing where one must be is told as that
    /// (ebMS 2.0, 3.1.1.1), and not as somebody else's.
    fn check_untyped_from(&self, header: &MessageHeader) -> Result<(), Refusal> {
        let same = |own: &PartyId, id: &PartyId| own == id || id.kind.is_none() && own.value == id.value;
        self.check_from_is(header, |id| self.party.ids.iter().any(|own| same(own, id)))
    }

    fn check_from_is(&self, header: &MessageHeader, ours: impl Fn(&PartyId) -> bool) -> Result<(), Refusal> {
        match header.from.ids.iter().find(|id| !ours(id)) {
            None => Ok(()),
            Some(other) => {
                let text = format!("From is {other}, the connection is of {}", self.party.key);
                let at = format!("{HEADER}/eb:From/eb:PartyId");
                let told = "From is not the party of this connection";
                let error = EbxmlError::new(ErrorCode::SecurityFailure, at, told);
                Err(Refusal::errors(RefusalCause::Identity, header, vec![error], text).with_alarm())
            }
        }
    }

    /// What the signature covers, once it is verified with a certificate of this party; `None` for a signal that
    /// is not signed.
    fn check_signature(
        &self,
        envelope: &Envelope,
        octets: &[u8],
        parts: &[Part],
        agreement: &Agreement,
        deviations: &mut BTreeSet<Deviation>,
    ) -> Result<Option<Covered>, Refusal> {
        let header = &envelope.message.header;
        let refuse = |cause, text: String| security_failure(cause, header, SIGNATURE, text);
        let Some(id) = envelope.signature else {
            return match envelope.message.kind {
                MessageKind::User if agreement.profile.allows(Deviation::UnsignedMessages) => {
                    deviations.insert(Deviation::UnsignedMessages);
                    Ok(None)
                }
                MessageKind::User => {
                    Err(refuse(RefusalCause::Unsigned, "a user message without signature".to_owned()))
                }
                MessageKind::Signal(_) => Ok(None),
            };
        };
        let element = envelope.tree.element(id).expect("the id of an element of the tree");
        let signature = Signature::read(element).map_err(|fault| faulty(header, &fault))?;
        let agreed = signature.check_agreed(&agreement.signature, &agreement.profile, self.now);
        deviations.extend(agreed.map_err(|fault| faulty(header, &fault))?);
        let candidates = self.candidates(&signature);
        if candidates.is_empty() {
            let text = format!("signed with a certificate that is not registered for {}", self.party.key);
            return Err(refuse(RefusalCause::UnknownSigner, text).with_alarm());
        }
        let signed = Signed { tree: &envelope.tree, octets, signature: &signature, parts };
        let valid = candidates.into_iter().filter(|certificate| certificate.valid_at(self.now));
        let (revoked, usable): (Vec<_>, Vec<_>) =
            valid.partition(|certificate| self.asks_revocation && certificate.is_revoked());
        let mut outcome = None;
        for certificate in usable {
            let verified = signed.verify(self.trust.engine, certificate);
            let is_of_another_key = verified == Err(SignatureFault::Value);
            outcome = Some(verified);
            if !is_of_another_key {
                break;
            }
        }
        match outcome {
            Some(Ok(())) => Ok(Some(Covered::of(signature))),
            Some(Err(fault)) => Err(faulty(header, &fault)),
            None if !revoked.is_empty() => {
                let text = "the signer's certificate is on a revocation list".to_owned();
                Err(refuse(RefusalCause::SignerRevoked, text).with_alarm())
            }
            None => {
                let text = "the signer's certificate is not valid at this time".to_owned();
                Err(refuse(RefusalCause::SignerValidity, text))
            }
        }
    }

    /// The registered certificates of this party that the signature can be of: those that KeyInfo holds, or all
    /// when it holds none.
    fn candidates(&self, signature: &Signature<'_>) -> Vec<&RegisteredCertificate> {
        let (keys, party) = (&self.trust.keys, &self.party.key);
        if signature.certificates.is_empty() {
            keys.certificates_of(party).collect()
        } else {
            signature.certificates.iter().filter_map(|held| keys.certificate(party, held)).collect()
        }
    }
}

/// What a verified signature covers.
pub(super) struct Covered {
    references: Vec<DigestReference>,
    pub(super) parts: Vec<PartName>,
}

impl Covered {
    fn of(signature: Signature<'_>) -> Self {
        let part = |target| match target {
            Target::Envelope => None,
            Target::Part(name) => Some(name),
        };
        let parts = signature.targets.into_iter().filter_map(part).collect();
        Self { references: signature.references, parts }
    }
}

/// Takes out what is meant for a next MSH: anyone on the way may have put it there (digest, 8.5). What is asked of
/// it comes back by itself.
fn take_for_next_msh(message: &mut Message) -> Result<Option<AckRequested>, Refusal> {
    let asked = message.ack_requested.iter().find(|asked| asked.actor == Actor::NextMsh).copied();
    message.ack_requested.retain(|asked| asked.actor == Actor::ToPartyMsh);
    message.acknowledgments.retain(|acknowledgment| acknowledgment.actor == Actor::ToPartyMsh);
    let is_empty = message.kind == MessageKind::Signal(SignalAction::Acknowledgment)
        && message.acknowledgments.is_empty();
    if is_empty {
        let told = "an acknowledgment of a next MSH, which nobody asked for";
        let error = EbxmlError::new(ErrorCode::NotSupported, ACKNOWLEDGMENT.to_owned(), told);
        return Err(Refusal::errors(RefusalCause::Envelope, &message.header, vec![error], told.to_owned()));
    }
    Ok(asked)
}

/// What a faulty signature is refused with; the peer hears which reference, and no more (digest, 8.3).
fn faulty(header: &MessageHeader, fault: &SignatureFault) -> Refusal {
    let refuse = |cause, at: &str| security_failure(cause, header, at, fault.to_string());
    match fault {
        SignatureFault::Profile(_) => refuse(RefusalCause::SignatureProfile, SIGNATURE),
        SignatureFault::Value | SignatureFault::Uncovered(_) => {
            refuse(RefusalCause::Signature, SIGNATURE).with_alarm()
        }
        SignatureFault::Digest(uri) => {
            refuse(RefusalCause::Signature, if uri.is_empty() { SIGNATURE } else { uri }).with_alarm()
        }
        SignatureFault::MissingPart(uri) => mime_problem(header, Some(uri), "the message has no such part"),
        SignatureFault::Limit(_) => refuse(RefusalCause::Engine, SIGNATURE),
        SignatureFault::Disagreement { .. } => refuse(RefusalCause::Engine, SIGNATURE).with_alarm(),
        SignatureFault::Engine(_) | SignatureFault::Unreadable(_) => {
            let told = "the signature cannot be verified at this time";
            let refusal = Refusal::fault(RefusalCause::Engine, FaultCode::Server, told, fault.to_string());
            Refusal { header: Some(Box::new(header.clone())), ..refusal }.with_alarm()
        }
    }
}

pub(super) fn security_failure(
    cause: RefusalCause,
    header: &MessageHeader,
    at: &str,
    text: String,
) -> Refusal {
    let told = match cause {
        RefusalCause::Unsigned => "the message must be signed",
        _ => "the signature is not valid",
    };
    let error = EbxmlError::new(ErrorCode::SecurityFailure, at.to_owned(), told);
    Refusal::errors(cause, header, vec![error], text)
}

pub(super) fn mime_problem(header: &MessageHeader, at: Option<&str>, told: &str) -> Refusal {
    let error = EbxmlError::new(ErrorCode::MimeProblem, at.map(str::to_owned), told);
    let text = format!("{told}: {}", at.unwrap_or("a part"));
    Refusal::errors(RefusalCause::Manifest, header, vec![error], text)
}

/// Errors as one line of our log.
pub(super) fn listed(errors: &[EbxmlError]) -> String {
    let line = |error: &EbxmlError| match &error.location {
        Some(location) => format!("{} at {location}: {}", error.code, error.description),
        None => format!("{}: {}", error.code, error.description),
    };
    errors.iter().map(line).collect::<Vec<_>>().join("; ")
}

pub(super) const HEADER: &str = "/soap:Envelope/soap:Header/eb:MessageHeader";
const SIGNATURE: &str = "/soap:Envelope/soap:Header/ds:Signature";
const ACKNOWLEDGMENT: &str = "/soap:Envelope/soap:Header/eb:Acknowledgment";
const FORBIDDEN: u16 = 403;
