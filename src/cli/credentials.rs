//! Keys and certificates as files, for the commands that make and list them.
//!
//! Promises: a private key is never readable by others, not even for a moment, and never printed; no file is
//! replaced unless that was asked for (S23).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{HasPublic, Id, PKey, PKeyRef, Private};
use openssl::rsa::Rsa;
use openssl::x509::X509NameRef;

use crate::model::{Digest, Timestamp};

/// What kind of key to make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum KeyAlgorithm {
    /// RSA with 2048 bits: understood everywhere.
    #[default]
    #[value(name = "rsa")]
    Rsa2048,
    /// RSA with 3072 bits.
    #[value(name = "rsa-3072")]
    Rsa3072,
    /// RSA with 4096 bits.
    #[value(name = "rsa-4096")]
    Rsa4096,
    /// ECDSA on P-256: signs some twenty times faster than RSA.
    P256,
    /// ECDSA on P-384.
    P384,
}

impl KeyAlgorithm {
    /// A new key of this kind.
    pub(super) fn generate(self) -> Result<PKey<Private>> {
        let rsa = |bits| Ok(PKey::from_rsa(Rsa::generate(bits)?)?);
        let ec = |curve| Ok(PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(curve)?)?)?);
        match self {
            Self::Rsa2048 => rsa(2048),
            Self::Rsa3072 => rsa(3072),
            Self::Rsa4096 => rsa(4096),
            Self::P256 => ec(Nid::X9_62_PRIME256V1),
            Self::P384 => ec(Nid::SECP384R1),
        }
    }
}

/// The digest that a key of this kind signs with.
pub(super) fn digest_for<T: HasPublic>(key: &PKeyRef<T>) -> MessageDigest {
    if key.id() == Id::EC && key.bits() > 256 { MessageDigest::sha384() } else { MessageDigest::sha256() }
}

/// A key's kind for people, such as `RSA 2048` or `EC 256`.
pub(super) fn describe_key<T: HasPublic>(key: &PKeyRef<T>) -> String {
    let family = match key.id() {
        Id::RSA => "RSA",
        Id::EC => "EC",
        Id::ED25519 => "Ed25519",
        _ => "other",
    };
    format!("{family} {}", key.bits())
}

/// SHA-256 of the public half, by which a key, its request and its certificate are seen to belong together.
pub(super) fn public_digest<T: HasPublic>(key: &PKeyRef<T>) -> Result<Digest> {
    Ok(Digest::of(&key.public_key_to_der()?))
}

/// A subject or issuer as `CN=…, O=…`.
pub(super) fn describe_name(name: &X509NameRef) -> String {
    let entries = name.entries().map(|entry| {
        let field = entry.object().nid().short_name().unwrap_or("?");
        let value = entry.data().to_string().unwrap_or_else(|_| "?".to_owned());
        format!("{field}={}", value.escape_debug())
    });
    entries.collect::<Vec<_>>().join(", ")
}

/// An ASN.1 time as ours.
pub(super) fn timestamp(time: &Asn1TimeRef) -> Result<Timestamp> {
    let since_epoch = Asn1Time::from_unix(0)?.diff(time)?;
    let seconds = i64::from(since_epoch.days) * 86_400 + i64::from(since_epoch.secs);
    Ok(Timestamp::from_millis(seconds.saturating_mul(1000)))
}

/// Whom a new file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Audience {
    /// Only our user: mode 0600.
    Private,
    /// Everybody: mode 0644.
    Public,
}

/// Writes a new file, in place of an old one only if `replace`.
pub(super) fn write_file(path: &Path, octets: &[u8], audience: Audience, replace: bool) -> Result<()> {
    if replace {
        // Made anew instead of overwritten: an old file keeps its old, perhaps laxer, mode.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot replace {}", path.display()));
            }
            _ => {}
        }
    }
    let mode = match audience {
        Audience::Private => 0o600,
        Audience::Public => 0o644,
    };
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            bail!("{} exists already; --force replaces it", path.display());
        }
        opened => opened.with_context(|| format!("cannot write {}", path.display()))?,
    };
    file.write_all(octets)
        .and_then(|()| file.sync_all())
        .with_context(|| format!("cannot write {}", path.display()))
}
