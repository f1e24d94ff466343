//! Keys: the certificates that partners sign with, and our own keys to sign with.
//!
//! Promises: a key is decoded once, when it is registered, and compared by the SHA-256 of its certificate's DER
//! octets afterwards; only RSA of 2048 to 8192 bits, P-256, P-384 and Ed25519 get in; what stands inside a message
//! selects among registered certificates at most (promises-and-threats 2.1, S4). Private keys are never printed (S23).
//!
//! Does not build chains: a certificate is trusted because it is registered, as long as it is on no revocation list.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use openssl::bn::BigNum;
use openssl::ec::EcKey;
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::hash::{MessageDigest, hash};
use openssl::md::{Md, MdRef};
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Id, PKey, Private, Public};
use openssl::pkey_ctx::PkeyCtx;
use openssl::rsa::Padding;
use openssl::sign::{RsaPssSaltlen, Signer as OpensslSigner, Verifier};
use openssl::x509::X509;

use super::certificate::{check_usage, instant};
use super::error::{KeyError, SealError};
use super::revocation::RevocationLists;
use crate::ffi::PublicKey as XmlSecKey;
use crate::model::{
    Digest, Fingerprint, PartyKey, SignatureAlgorithm, SignatureTerms, SigningTerms, Timestamp,
};

/// The certificates that partners may sign with. Read-only: a reload makes another one.
#[derive(Debug, Default)]
pub struct KeyRing {
    certificates: BTreeMap<Fingerprint, RegisteredCertificate>,
}

/// A partner's certificate.
#[derive(Debug)]
pub struct RegisteredCertificate {
    party: PartyKey,
    not_before: Timestamp,
    not_after: Timestamp,
    is_revoked: bool,
    pub(super) key: VerifyingKey,
    /// As the second engine has it.
    pub(super) second: XmlSecKey,
}

impl KeyRing {
    /// A ring of these parties' certificates, DER.
    ///
    /// # Errors
    /// [`KeyError`] for the first one that cannot be used, or that two parties claim.
    pub fn new(certificates: impl IntoIterator<Item = (PartyKey, Vec<u8>)>) -> Result<Self, KeyError> {
        Self::with_revoked(certificates, &RevocationLists::default())
    }

    /// The same, of which those on a list are revoked.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_revoked(
        certificates: impl IntoIterator<Item = (PartyKey, Vec<u8>)>,
        lists: &RevocationLists,
    ) -> Result<Self, KeyError> {
        let mut ring = Self::default();
        for (party, der) in certificates {
            let fingerprint = Digest::of(&der);
            let certificate = RegisteredCertificate::read(party, &der, lists)?;
            match ring.certificates.get(&fingerprint) {
                Some(other) if other.party != certificate.party => {
                    return Err(KeyError::Shared {
                        fingerprint: fingerprint.to_string(),
                        first: other.party.clone(),
                        second: certificate.party,
                    });
                }
                _ => ring.certificates.insert(fingerprint, certificate),
            };
        }
        Ok(ring)
    }

    /// The certificate with this fingerprint, when it is this party's.
    pub(super) fn certificate(
        &self,
        party: &PartyKey,
        fingerprint: &Fingerprint,
    ) -> Option<&RegisteredCertificate> {
        self.certificates.get(fingerprint).filter(|certificate| certificate.party == *party)
    }

    /// Every certificate of a party.
    pub(super) fn certificates_of(&self, party: &PartyKey) -> impl Iterator<Item = &RegisteredCertificate> {
        self.named_certificates_of(party).map(|(_, certificate)| certificate)
    }

    /// Every certificate of a party with its fingerprint.
    pub(super) fn named_certificates_of(
        &self,
        party: &PartyKey,
    ) -> impl Iterator<Item = (&Fingerprint, &RegisteredCertificate)> {
        self.certificates.iter().filter(move |(_, certificate)| certificate.party == *party)
    }

    /// Whether this party has certificates, and none of them can have made a signature that these terms accept.
    #[must_use]
    pub fn none_fits(&self, party: &PartyKey, terms: &SignatureTerms) -> bool {
        let mut certificates = self.certificates_of(party).peekable();
        certificates.peek().is_some() && !certificates.any(|certificate| certificate.fits(terms))
    }

    /// The certificate that this party signs with now on these terms: of several the one that is valid longest.
    #[must_use]
    pub fn current(&self, party: &PartyKey, terms: &SignatureTerms, now: Timestamp) -> Option<&Fingerprint> {
        let certificates = self.named_certificates_of(party);
        let usable = certificates.filter(|(_, c)| c.fits(terms) && c.valid_at(now) && !c.is_revoked);
        usable.max_by_key(|(_, certificate)| certificate.not_after).map(|(fingerprint, _)| fingerprint)
    }

    /// Every certificate that is not revoked, with its owner and the last instant it is valid.
    pub fn validity(&self) -> impl Iterator<Item = (&PartyKey, &Fingerprint, Timestamp)> {
        let unrevoked = self.certificates.iter().filter(|(_, c)| !c.is_revoked);
        unrevoked.map(|(fingerprint, c)| (&c.party, fingerprint, c.not_after))
    }

    /// Every certificate that is revoked, with its owner.
    pub fn revoked(&self) -> impl Iterator<Item = (&PartyKey, &Fingerprint)> {
        let revoked = self.certificates.iter().filter(|(_, c)| c.is_revoked);
        revoked.map(|(fingerprint, c)| (&c.party, fingerprint))
    }
}

impl RegisteredCertificate {
    fn read(party: PartyKey, der: &[u8], lists: &RevocationLists) -> Result<Self, KeyError> {
        let whose = party.as_str();
        let not_a = |_: ErrorStack| KeyError::NotA { whose: whose.to_owned(), expected: "a certificate" };
        let certificate = X509::from_der(der).map_err(not_a)?;
        if certificate.to_der().map_err(not_a)? != der {
            // Octets after the certificate would not be compared by what was read.
            return Err(KeyError::NotA { whose: whose.to_owned(), expected: "one certificate in DER" });
        }
        check_usage(whose, &certificate)?;
        let key = certificate.public_key().map_err(not_a)?;
        let spki = key.public_key_to_der().map_err(not_a)?;
        let second = XmlSecKey::from_spki_der(&spki).map_err(|_| KeyError::NotA {
            whose: whose.to_owned(),
            expected: "a certificate with a public key",
        })?;
        Ok(Self {
            not_before: instant(certificate.not_before()).map_err(not_a)?,
            not_after: instant(certificate.not_after()).map_err(not_a)?,
            is_revoked: lists.name(&certificate),
            key: VerifyingKey::new(whose, key)?,
            second,
            party,
        })
    }

    /// Whether it can have made a signature that these terms accept.
    fn fits(&self, terms: &SignatureTerms) -> bool {
        let sha1 = terms.sha1_until.map(|_| SignatureAlgorithm::RsaSha1);
        terms.accepted.iter().copied().chain(sha1).any(|algorithm| self.key.fits(algorithm))
    }

    /// Whether it is valid at this instant, which is the time of reception.
    pub(super) fn valid_at(&self, now: Timestamp) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether it was on a revocation list when the lists were read.
    pub(super) const fn is_revoked(&self) -> bool {
        self.is_revoked
    }
}

/// A public key within the profile.
pub(super) enum VerifyingKey {
    Rsa(PKey<Public>),
    /// With the octets of r, and of s.
    Ec(EcKey<Public>, usize),
    Ed25519(PKey<Public>),
}

impl VerifyingKey {
    pub(super) fn new(whose: &str, key: PKey<Public>) -> Result<Self, KeyError> {
        match kind_of(&key) {
            Some(KeyKind::Rsa) => Ok(Self::Rsa(key)),
            Some(KeyKind::Ec(width)) => {
                key.ec_key().map(|key| Self::Ec(key, width)).map_err(|_| outside(whose, &key))
            }
            Some(KeyKind::Ed25519) => Ok(Self::Ed25519(key)),
            None => Err(outside(whose, &key)),
        }
    }

    const fn kind(&self) -> KeyKind {
        match self {
            Self::Rsa(_) => KeyKind::Rsa,
            Self::Ec(_, width) => KeyKind::Ec(*width),
            Self::Ed25519(_) => KeyKind::Ed25519,
        }
    }

    /// The algorithm it signs with when nothing else is agreed.
    pub(super) const fn usual(&self) -> SignatureAlgorithm {
        self.kind().usual()
    }

    /// Whether it can make signatures of this algorithm.
    pub(super) const fn fits(&self, algorithm: SignatureAlgorithm) -> bool {
        self.kind().fits(algorithm)
    }

    /// Whether `value` is this key's signature over `octets` by an algorithm that fits it, as XML Signature writes it.
    pub(super) fn verifies(&self, algorithm: SignatureAlgorithm, octets: &[u8], value: &[u8]) -> bool {
        let verified = match self {
            _ if !self.fits(algorithm) => Ok(false),
            Self::Rsa(key) => verify_rsa(key, algorithm, octets, value),
            Self::Ec(key, width) => verify_ec(key, *width, algorithm, octets, value),
            Self::Ed25519(key) => Verifier::new_without_digest(key)
                .and_then(|mut verifier| verifier.verify_oneshot(value, octets)),
        };
        verified.unwrap_or(false) || {
            // Why not stays in OpenSSL's queue, where it would be taken for someone else's error.
            drop(ErrorStack::get());
            false
        }
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind())
    }
}

/// A signature has as many octets as the modulus (RFC 8017, 8.1.2 and 8.2.2).
fn verify_rsa(
    key: &PKey<Public>,
    algorithm: SignatureAlgorithm,
    octets: &[u8],
    value: &[u8],
) -> Result<bool, ErrorStack> {
    // Of PSS, OpenSSL takes the same number in fewer octets too.
    if value.len() != key.size() {
        return Ok(false);
    }
    let (digest, md) = message_digest(algorithm);
    let mut context = PkeyCtx::new(key)?;
    context.verify_init()?;
    if is_pss(algorithm) {
        context.set_rsa_padding(Padding::PKCS1_PSS)?;
        context.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
        context.set_rsa_mgf1_md(md)?;
    } else {
        context.set_rsa_padding(Padding::PKCS1)?;
    }
    context.set_signature_md(md)?;
    context.verify(&hash(digest, octets)?, value)
}

/// XML Signature writes r and s with as many octets each as the curve has, not as DER (RFC 4051, 3.4.1).
fn verify_ec(
    key: &EcKey<Public>,
    width: usize,
    algorithm: SignatureAlgorithm,
    octets: &[u8],
    value: &[u8],
) -> Result<bool, ErrorStack> {
    if value.len() != 2 * width {
        return Ok(false);
    }
    let (r, s) = value.split_at(width);
    let signature = EcdsaSig::from_private_components(BigNum::from_slice(r)?, BigNum::from_slice(s)?)?;
    signature.verify(&hash(message_digest(algorithm).0, octets)?, key)
}

/// What an algorithm digests with; Ed25519 does so by itself.
fn message_digest(algorithm: SignatureAlgorithm) -> (MessageDigest, &'static MdRef) {
    use SignatureAlgorithm as A;
    match algorithm {
        A::RsaSha256 | A::RsaPssSha256 | A::EcdsaSha256 => (MessageDigest::sha256(), Md::sha256()),
        A::RsaSha384 | A::RsaPssSha384 | A::EcdsaSha384 => (MessageDigest::sha384(), Md::sha384()),
        A::RsaSha512 | A::RsaPssSha512 | A::EcdsaSha512 | A::Ed25519 => {
            (MessageDigest::sha512(), Md::sha512())
        }
        A::RsaSha1 => (MessageDigest::sha1(), Md::sha1()),
    }
}

const fn is_pss(algorithm: SignatureAlgorithm) -> bool {
    use SignatureAlgorithm as A;
    matches!(algorithm, A::RsaPssSha256 | A::RsaPssSha384 | A::RsaPssSha512)
}

/// The kinds of keys within the profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeyKind {
    Rsa,
    /// On a curve of so many octets.
    Ec(usize),
    Ed25519,
}

impl KeyKind {
    const fn fits(self, algorithm: SignatureAlgorithm) -> bool {
        use SignatureAlgorithm as A;
        match algorithm {
            A::RsaSha256
            | A::RsaSha384
            | A::RsaSha512
            | A::RsaPssSha256
            | A::RsaPssSha384
            | A::RsaPssSha512
            | A::RsaSha1 => matches!(self, Self::Rsa),
            // A digest is never weaker than the curve.
            A::EcdsaSha256 => matches!(self, Self::Ec(P256_BYTES)),
            A::EcdsaSha384 | A::EcdsaSha512 => matches!(self, Self::Ec(_)),
            A::Ed25519 => matches!(self, Self::Ed25519),
        }
    }

    /// The algorithm that goes with it when nothing else is said.
    const fn usual(self) -> SignatureAlgorithm {
        match self {
            Self::Rsa => SignatureAlgorithm::RsaSha256,
            Self::Ec(P384_BYTES) => SignatureAlgorithm::EcdsaSha384,
            Self::Ec(_) => SignatureAlgorithm::EcdsaSha256,
            Self::Ed25519 => SignatureAlgorithm::Ed25519,
        }
    }
}

/// Our own keys, in order of preference.
#[derive(Debug, Default)]
pub struct SigningKeys(Vec<SigningKey>);

impl SigningKeys {
    /// These keys; of those that fit an algorithm, the first one whose usual it is signs, else the first one.
    #[must_use]
    pub const fn new(keys: Vec<SigningKey>) -> Self {
        Self(keys)
    }

    /// The keys in these files: certificate and private key, PEM each.
    ///
    /// # Errors
    /// [`KeyError`] for the first file that cannot be read or used.
    pub fn load<P: AsRef<Path>>(files: &[(P, P)]) -> Result<Self, KeyError> {
        let load = |(certificate, key): &(P, P)| {
            let (certificate, key) = (certificate.as_ref(), key.as_ref());
            SigningKey::from_pem(&certificate.display().to_string(), &read(certificate)?, &read(key)?)
        };
        files.iter().map(load).collect::<Result<_, _>>().map(Self)
    }

    /// The key for this algorithm.
    #[must_use]
    pub fn key(&self, algorithm: SignatureAlgorithm) -> Option<&SigningKey> {
        let usual = self.0.iter().find(|key| key.algorithm() == algorithm);
        usual.or_else(|| self.0.iter().find(|key| key.kind.fits(algorithm)))
    }

    /// Who signs what is accepted on these terms, on the strict terms of the first key that can.
    #[must_use]
    pub fn strict_signer(&self, accepting: &SignatureTerms) -> Option<Signer<'_>> {
        self.0.iter().find(|key| accepting.accepts_terms(key.strict_terms())).map(SigningKey::strict)
    }

    /// Who signs on these terms.
    ///
    /// # Errors
    /// [`SealError::NoKey`] when there is no key for their algorithm.
    pub fn signer(&self, terms: SigningTerms) -> Result<Signer<'_>, SealError> {
        let key = self.key(terms.algorithm).ok_or_else(|| SealError::NoKey(terms.algorithm.uri()))?;
        Ok(Signer { key, terms })
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &SigningKey> {
        self.0.iter()
    }
}

/// A key of ours and how it signs.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    pub(super) key: &'a SigningKey,
    pub(super) terms: SigningTerms,
}

impl Signer<'_> {
    /// The signature over `octets` as XML Signature writes it.
    pub(super) fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, SealError> {
        self.key.sign(self.terms.algorithm, octets).map_err(|why| SealError::Sign(why.to_string()))
    }
}

/// One of our own keys with its certificate.
pub struct SigningKey {
    kind: KeyKind,
    key: OwnKey,
    certificate: String,
    fingerprint: Fingerprint,
    not_after: Timestamp,
}

/// A private key as its algorithms want it.
enum OwnKey {
    /// RSA and Ed25519.
    Evp(PKey<Private>),
    /// With the octets of r, and of s.
    Ec(EcKey<Private>, usize),
}

impl SigningKey {
    /// The key with this certificate, PEM both; `whose` names it in errors.
    ///
    /// # Errors
    /// [`KeyError`] when one cannot be read, the two do not belong together, or the profile does not allow them.
    pub fn from_pem(whose: &str, certificate: &[u8], key: &[u8]) -> Result<Self, KeyError> {
        let not_a = |expected| move |_: ErrorStack| KeyError::NotA { whose: whose.to_owned(), expected };
        let certificate = X509::from_pem(certificate).map_err(not_a("a certificate in PEM"))?;
        // Without a callback OpenSSL would ask the terminal for a passphrase.
        let key = PKey::private_key_from_pem_callback(key, |_| Ok(0))
            .map_err(not_a("a private key in PEM without passphrase"))?;
        let public = certificate.public_key().map_err(not_a("a certificate with a public key"))?;
        if !public.public_eq(&key) {
            return Err(KeyError::Pair { whose: whose.to_owned() });
        }
        check_usage(whose, &certificate)?;
        let kind = kind_of(&key).ok_or_else(|| outside(whose, &key))?;
        let der = certificate.to_der().map_err(not_a("a certificate"))?;
        Ok(Self {
            kind,
            not_after: instant(certificate.not_after()).map_err(not_a("a certificate with an end"))?,
            certificate: STANDARD.encode(&der),
            fingerprint: Digest::of(&der),
            key: match kind {
                KeyKind::Rsa | KeyKind::Ed25519 => OwnKey::Evp(key),
                KeyKind::Ec(width) => OwnKey::Ec(key.ec_key().map_err(not_a("a private key"))?, width),
            },
        })
    }

    /// The algorithm it signs with when nothing else is agreed.
    #[must_use]
    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.kind.usual()
    }

    /// The strict terms by its usual algorithm.
    #[must_use]
    pub const fn strict_terms(&self) -> SigningTerms {
        SigningTerms::strict(self.algorithm())
    }

    /// Signs on the strict terms.
    #[must_use]
    pub const fn strict(&self) -> Signer<'_> {
        Signer { key: self, terms: self.strict_terms() }
    }

    /// SHA-256 of its certificate: what partners register.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The last instant its certificate is valid.
    #[must_use]
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// Its certificate, DER.
    #[must_use]
    pub fn certificate_der(&self) -> Vec<u8> {
        STANDARD.decode(&self.certificate).expect("it was encoded here")
    }

    /// Its certificate's DER octets in base64, as KeyInfo carries them.
    pub(super) fn certificate_base64(&self) -> &str {
        &self.certificate
    }

    fn sign(&self, algorithm: SignatureAlgorithm, octets: &[u8]) -> Result<Vec<u8>, ErrorStack> {
        let (digest, _) = message_digest(algorithm);
        match &self.key {
            OwnKey::Evp(key) if algorithm == SignatureAlgorithm::Ed25519 => {
                OpensslSigner::new_without_digest(key)?.sign_oneshot_to_vec(octets)
            }
            OwnKey::Evp(key) => {
                let mut signer = OpensslSigner::new(digest, key)?;
                if is_pss(algorithm) {
                    signer.set_rsa_padding(Padding::PKCS1_PSS)?;
                    signer.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH)?;
                    signer.set_rsa_mgf1_md(digest)?;
                }
                signer.sign_oneshot_to_vec(octets)
            }
            OwnKey::Ec(key, width) => {
                let signature = EcdsaSig::sign(&hash(digest, octets)?, key)?;
                let width = i32::try_from(*width).expect("48 is an i32");
                let mut value = signature.r().to_vec_padded(width)?;
                value.extend(signature.s().to_vec_padded(width)?);
                Ok(value)
            }
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?}, {})", self.kind, self.fingerprint)
    }
}

/// The kind of a key, within the profile.
fn kind_of<T: HasPublic>(key: &PKey<T>) -> Option<KeyKind> {
    match key.id() {
        Id::RSA if RSA_BITS.contains(&key.bits()) => Some(KeyKind::Rsa),
        Id::ED25519 => Some(KeyKind::Ed25519),
        Id::EC => match key.ec_key().ok()?.group().curve_name()? {
            Nid::X9_62_PRIME256V1 => Some(KeyKind::Ec(P256_BYTES)),
            Nid::SECP384R1 => Some(KeyKind::Ec(P384_BYTES)),
            _ => None,
        },
        _ => None,
    }
}

fn outside<T: HasPublic>(whose: &str, key: &PKey<T>) -> KeyError {
    let kind = match key.id() {
        Id::RSA => "RSA",
        Id::EC => "an elliptic curve key",
        _ => "a key of another kind",
    };
    KeyError::Algorithm { whose: whose.to_owned(), found: format!("{kind} of {} bits", key.bits()) }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, KeyError> {
    std::fs::read(path).map_err(|error| KeyError::File {
        file: PathBuf::from(path).display().to_string(),
        why: error.to_string(),
    })
}

/// Octets of r, and of s, over P-256.
const P256_BYTES: usize = 32;
/// The same over P-384.
const P384_BYTES: usize = 48;
const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

#[cfg(test)]
mod tests;
