//! What an agreement says of signatures: algorithms, canonical forms and digests, and what a partner may do otherwise
//! (ebMS 2.0, 4.1.3; promises-and-threats 2.1).
//!
//! Promises: every list is closed. What is not named here is refused whatever an agreement says; what is named here
//! is refused unless the agreement says so, or it belongs to the strict terms that are in force when it says nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Timestamp, Transform};

/// What the agreement says of signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureTerms {
    /// How we sign.
    pub own: SigningTerms,
    /// The algorithms that are accepted from the partner.
    pub accepted: Vec<SignatureAlgorithm>,
    /// The digests that its references may have.
    pub digests: Vec<DigestMethod>,
    /// The canonical forms that its SignedInfo, envelope and payloads may be signed in.
    pub canonicalizations: Vec<Canonicalization>,
    /// SHA-1 is accepted from it until just before this instant.
    pub sha1_until: Option<Timestamp>,
}

impl SignatureTerms {
    /// The strict terms: we sign with this algorithm; RSA or P-256 with SHA-256 and Canonical XML 1.0 are accepted.
    #[must_use]
    pub fn strict(algorithm: SignatureAlgorithm) -> Self {
        Self {
            own: SigningTerms::strict(algorithm),
            accepted: vec![SignatureAlgorithm::RsaSha256, SignatureAlgorithm::EcdsaSha256],
            digests: vec![DigestMethod::Sha256],
            canonicalizations: vec![Canonicalization::Xml10],
            sha1_until: None,
        }
    }

    /// Whether a signature by this algorithm is accepted at `now`.
    #[must_use]
    pub fn accepts(&self, algorithm: SignatureAlgorithm, now: Timestamp) -> bool {
        if algorithm.is_sha1() { self.sha1_in_force(now) } else { self.accepted.contains(&algorithm) }
    }

    /// Whether a reference with this digest is accepted at `now`.
    #[must_use]
    pub fn accepts_digest(&self, method: DigestMethod, now: Timestamp) -> bool {
        if method == DigestMethod::Sha1 { self.sha1_in_force(now) } else { self.digests.contains(&method) }
    }

    /// Whether what is signed on these terms is accepted on any day, its payloads by their octets.
    #[must_use]
    pub fn accepts_terms(&self, terms: SigningTerms) -> bool {
        self.accepted.contains(&terms.algorithm)
            && self.digests.contains(&terms.digest)
            && self.canonicalizations.contains(&terms.canonicalization)
    }

    fn sha1_in_force(&self, now: Timestamp) -> bool {
        self.sha1_until.is_some_and(|until| now < until)
    }
}

/// How a message of ours is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigningTerms {
    /// SignatureMethod.
    pub algorithm: SignatureAlgorithm,
    /// DigestMethod of every reference.
    pub digest: DigestMethod,
    /// CanonicalizationMethod, and the last transform of the envelope.
    pub canonicalization: Canonicalization,
    /// XML payloads are signed in canonical form, and not by their octets.
    pub payload_transforms: bool,
}

impl SigningTerms {
    /// SHA-256 digests and Canonical XML 1.0; payloads by their octets.
    #[must_use]
    pub const fn strict(algorithm: SignatureAlgorithm) -> Self {
        Self {
            algorithm,
            digest: DigestMethod::Sha256,
            canonicalization: Canonicalization::Xml10,
            payload_transforms: false,
        }
    }
}

/// What a partner does that is not as the standard has it. Each is taken only where its profile says so, and is logged and
/// counted when it is used. The strict profile has those alone that every receiver must survive ([`Self::SURVIVED`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deviation {
    /// User messages without signature: the connection alone vouches for them.
    UnsignedMessages,
    /// An envelope reference without the XPath of ebMS 2.0, 4.1.3: it covers more, not less.
    NoActorFilter,
    /// A canonicalization as the transform of a payload reference.
    PayloadTransforms,
    /// A user message whose From has no Role.
    MissingRole,
    /// A part of an unsigned message that the Manifest does not name: it is dropped (3.2.2).
    UnreferencedParts,
    /// Parts of a signal that nobody signed, and a Manifest in it when it is an Acknowledgment: they are dropped.
    SignalParts,
    /// A user message without SyncReply although its answer is to come back on the connection (4.3.1).
    MissingSyncReply,
    /// A part that Manifest or signature names by its Content-Location, and not by its Content-ID.
    ContentLocation,
    /// A Manifest that names another message of its sender, by `mid:` (RFC 2392): nothing is fetched, and no payload is
    /// handed on for it.
    MidReferences,
    /// A signal that breaks the schema, and whose fields that matter can be read all the same (digest, 4.4).
    SignalSchema,
    /// An Acknowledgment without RefToMessageId in MessageData: its own element says what it acknowledges (6.5.3).
    MissingRefToMessageId,
    /// A request whose SOAPAction is not `"ebXML"`, in quotes (B.2.2).
    SoapAction,
    /// SHA-1, until the day that the agreement names: no profile allows it.
    Sha1,
}

impl Deviation {
    /// Every one of them.
    pub const ALL: [Self; 13] = [
        Self::UnsignedMessages,
        Self::NoActorFilter,
        Self::PayloadTransforms,
        Self::MissingRole,
        Self::UnreferencedParts,
        Self::SignalParts,
        Self::MissingSyncReply,
        Self::ContentLocation,
        Self::MidReferences,
        Self::SignalSchema,
        Self::MissingRefToMessageId,
        Self::SoapAction,
        Self::Sha1,
    ];

    /// What a receiver has to survive of careless peers, as it harms nobody: of signals, and of the binding (digest, 4.4, 16
    /// and 19.27).
    pub const SURVIVED: [Self; 3] = [Self::SignalSchema, Self::MissingRefToMessageId, Self::SoapAction];

    /// Its word in profiles, log and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnsignedMessages => "unsigned-messages",
            Self::NoActorFilter => "no-actor-filter",
            Self::PayloadTransforms => "payload-transforms",
            Self::MissingRole => "missing-role",
            Self::UnreferencedParts => "unreferenced-parts",
            Self::SignalParts => "signal-parts",
            Self::MissingSyncReply => "missing-sync-reply",
            Self::ContentLocation => "content-location",
            Self::MidReferences => "mid-references",
            Self::SignalSchema => "signal-schema",
            Self::MissingRefToMessageId => "missing-ref-to-message-id",
            Self::SoapAction => "soap-action",
            Self::Sha1 => "sha1",
        }
    }
}

/// A named set of deviations; the strict one has what every receiver survives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartnerProfile {
    /// Its name in partner files.
    pub name: Arc<str>,
    /// What it lets a partner do.
    pub deviations: BTreeSet<Deviation>,
}

impl PartnerProfile {
    /// The name of the profile with no other deviations than those that every receiver survives.
    pub const STRICT: &'static str = "strict";

    /// The profile with no other deviations than those that every receiver survives.
    #[must_use]
    pub fn strict() -> Self {
        Self { name: Self::STRICT.into(), deviations: Deviation::SURVIVED.into() }
    }

    /// Whether it lets a partner do this.
    #[must_use]
    pub fn allows(&self, deviation: Deviation) -> bool {
        self.deviations.contains(&deviation)
    }
}

/// XML signature algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureAlgorithm {
    /// RSA PKCS#1 v1.5 with SHA-256, 2048 to 8192 bits.
    RsaSha256,
    /// The same with SHA-384.
    RsaSha384,
    /// The same with SHA-512.
    RsaSha512,
    /// RSA-PSS with SHA-256, MGF1 with the same, and as much salt (RFC 6931, 2.3.10).
    RsaPssSha256,
    /// The same with SHA-384.
    RsaPssSha384,
    /// The same with SHA-512.
    RsaPssSha512,
    /// ECDSA over P-256 with SHA-256.
    EcdsaSha256,
    /// ECDSA over P-256 or P-384 with SHA-384.
    EcdsaSha384,
    /// The same with SHA-512.
    EcdsaSha512,
    /// Ed25519 (RFC 9231, 2.3.12).
    Ed25519,
    /// RSA PKCS#1 v1.5 with SHA-1: until a day that an agreement names, never for our own.
    RsaSha1,
}

impl SignatureAlgorithm {
    /// Every one of them.
    pub const ALL: [Self; 11] = [
        Self::RsaSha256,
        Self::RsaSha384,
        Self::RsaSha512,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPssSha512,
        Self::EcdsaSha256,
        Self::EcdsaSha384,
        Self::EcdsaSha512,
        Self::Ed25519,
        Self::RsaSha1,
    ];

    /// Its algorithm URI.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::RsaSha256 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
            Self::RsaSha384 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384",
            Self::RsaSha512 => "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
            Self::RsaPssSha256 => "http://www.w3.org/2007/05/xmldsig-more#sha256-rsa-MGF1",
            Self::RsaPssSha384 => "http://www.w3.org/2007/05/xmldsig-more#sha384-rsa-MGF1",
            Self::RsaPssSha512 => "http://www.w3.org/2007/05/xmldsig-more#sha512-rsa-MGF1",
            Self::EcdsaSha256 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256",
            Self::EcdsaSha384 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
            Self::EcdsaSha512 => "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha512",
            Self::Ed25519 => "http://www.w3.org/2021/04/xmldsig-more#eddsa-ed25519",
            Self::RsaSha1 => "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
        }
    }

    /// Its word in partner files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa-sha256",
            Self::RsaSha384 => "rsa-sha384",
            Self::RsaSha512 => "rsa-sha512",
            Self::RsaPssSha256 => "rsa-pss-sha256",
            Self::RsaPssSha384 => "rsa-pss-sha384",
            Self::RsaPssSha512 => "rsa-pss-sha512",
            Self::EcdsaSha256 => "ecdsa-sha256",
            Self::EcdsaSha384 => "ecdsa-sha384",
            Self::EcdsaSha512 => "ecdsa-sha512",
            Self::Ed25519 => "ed25519",
            Self::RsaSha1 => "rsa-sha1",
        }
    }

    /// The algorithm of this URI.
    #[must_use]
    pub fn of_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.uri() == uri)
    }

    /// Whether it rests on SHA-1.
    #[must_use]
    pub const fn is_sha1(self) -> bool {
        matches!(self, Self::RsaSha1)
    }

    /// Those that an agreement may name; SHA-1 has a key of its own, with a day.
    pub fn agreeable() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|algorithm| !algorithm.is_sha1())
    }
}

/// Digest methods of references.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DigestMethod {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// SHA-1: until a day that an agreement names, never for our own.
    Sha1,
}

impl DigestMethod {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Sha256, Self::Sha384, Self::Sha512, Self::Sha1];

    /// Its algorithm URI.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Sha256 => "http://www.w3.org/2001/04/xmlenc#sha256",
            Self::Sha384 => "http://www.w3.org/2001/04/xmldsig-more#sha384",
            Self::Sha512 => "http://www.w3.org/2001/04/xmlenc#sha512",
            Self::Sha1 => "http://www.w3.org/2000/09/xmldsig#sha1",
        }
    }

    /// Its word in partner files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
            Self::Sha1 => "sha1",
        }
    }

    /// The method of this URI.
    #[must_use]
    pub fn of_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.uri() == uri)
    }

    /// Octets of a digest.
    #[must_use]
    pub const fn octets(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
            Self::Sha1 => 20,
        }
    }

    /// Those that an agreement may name; SHA-1 has a key of its own, with a day.
    pub fn agreeable() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|method| *method != Self::Sha1)
    }
}

/// Canonical forms, all without comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Canonicalization {
    /// Canonical XML 1.0.
    Xml10,
    /// Canonical XML 1.1.
    Xml11,
    /// Exclusive XML Canonicalization 1.0.
    Exclusive,
}

impl Canonicalization {
    /// Every one of them.
    pub const ALL: [Self; 3] = [Self::Xml10, Self::Xml11, Self::Exclusive];

    /// Its algorithm URI.
    #[must_use]
    pub const fn uri(self) -> &'static str {
        self.transform().uri()
    }

    /// Its word in partner files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Xml10 => "c14n",
            Self::Xml11 => "c14n11",
            Self::Exclusive => "exclusive",
        }
    }

    /// The form of this URI.
    #[must_use]
    pub fn of_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.uri() == uri)
    }

    /// The form as a transform.
    #[must_use]
    pub const fn transform(self) -> Transform {
        match self {
            Self::Xml10 => Transform::CanonicalXml,
            Self::Xml11 => Transform::CanonicalXml11,
            Self::Exclusive => Transform::ExclusiveCanonicalXml,
        }
    }

    /// The form that a transform makes.
    #[must_use]
    pub fn of_transform(transform: Transform) -> Option<Self> {
        Self::ALL.into_iter().find(|form| form.transform() == transform)
    }
}
