//! Mutual TLS: our certificate and key, whom we trust, and why a peer's certificate was refused.
//!
//! Promises (threats S15 to S17): TLS 1.3, or 1.2 with AEAD suites; both sides show a certificate; a
//! certificate is trusted because it chains to a configured anchor or because it is itself pinned, and in
//! both cases only within its validity; with revocation lists configured, a certificate whose issuer has no
//! fresh list is refused. No early data, no renegotiation, no resumption: each connection proves anew who is
//! there. A context is replaced as a whole while running; connections made under the old one are not reused.
//!
//! Does not decide whether a trusted certificate is registered, nor for whom.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use openssl::asn1::Asn1Time;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{PKey, Private};
use openssl::ssl::{
    Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Name, X509Ref, X509StoreContextRef, X509VerifyResult};

use super::TransportError;

/// Where our certificate, our key and those we trust are kept. All files are PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, followed by the intermediate certificates up to a root.
    pub certificate: PathBuf,
    /// The private key of our certificate.
    pub key: PathBuf,
    /// Certificates of the authorities that may vouch for a peer; several in one file are all taken.
    pub anchors: Vec<PathBuf>,
    /// Certificates of peers that are trusted by themselves, such as registered self-signed ones.
    pub pinned: Vec<PathBuf>,
    /// Revocation lists. With any given, every issuer must have a fresh one: no list, no trust.
    pub revocation_lists: Vec<PathBuf>,
}

/// What both directions of mutual TLS need, checked and ready.
pub struct TlsContext {
    server: SslContext,
    client: SslContext,
    pinned: Arc<BTreeSet<[u8; 32]>>,
    certificate_der_sha256: [u8; 32],
    not_after_unix_seconds: i64,
}

impl TlsContext {
    /// Reads and checks the files.
    ///
    /// # Errors
    /// [`TransportError`] naming the file at fault.
    pub fn load(files: &TlsFiles) -> Result<Self, TransportError> {
        let chain = certificates(&files.certificate)?;
        let Some(own) = chain.first() else {
            return Err(TransportError::content(&files.certificate, "a PEM certificate", "found none"));
        };
        let key = private_key(&files.key)?;
        let belongs = own.public_key().is_ok_and(|public| public.public_eq(&key));
        if !belongs {
            let (certificate, key) = (files.certificate.clone(), files.key.clone());
            return Err(TransportError::KeyMismatch { certificate, key });
        }
        let anchors = all_certificates(&files.anchors)?;
        let pinned = all_certificates(&files.pinned)?;
        if anchors.is_empty() && pinned.is_empty() {
            return Err(TransportError::NothingTrusted);
        }
        let identity = Identity { chain: &chain, key: &key };
        let trust = Trust { anchors: &anchors, pinned: &pinned, revocation_lists: &files.revocation_lists };
        Ok(Self {
            server: server_context(identity, trust)?,
            client: client_context(identity, trust)?,
            pinned: Arc::new(pinned.iter().map(|c| der_sha256(c)).collect::<Result<_, _>>()?),
            certificate_der_sha256: der_sha256(own)?,
            not_after_unix_seconds: unix_seconds(own)?,
        })
    }

    /// SHA-256 of our own certificate's DER octets.
    #[must_use]
    pub const fn certificate_der_sha256(&self) -> [u8; 32] {
        self.certificate_der_sha256
    }

    /// The last second in which our own certificate is valid.
    #[must_use]
    pub const fn not_after_unix_seconds(&self) -> i64 {
        self.not_after_unix_seconds
    }

    /// A session for one incoming connection.
    pub(super) fn accepting(&self) -> Result<(Ssl, Refusal), ErrorStack> {
        let mut ssl = Ssl::new(&self.server)?;
        let refusal = self.watch(&mut ssl, SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        Ok((ssl, refusal))
    }

    /// A session for one outgoing connection to `host`, whose name the peer's certificate must bear unless it
    /// is pinned.
    pub(super) fn connecting(&self, host: &str) -> Result<(Ssl, Refusal), ErrorStack> {
        let mut ssl = Ssl::new(&self.client)?;
        match host.parse::<IpAddr>() {
            Ok(address) => ssl.param_mut().set_ip(address)?,
            Err(_) => {
                ssl.set_hostname(host)?;
                ssl.param_mut().set_host(host)?;
            }
        }
        let refusal = self.watch(&mut ssl, SslVerifyMode::PEER);
        Ok((ssl, refusal))
    }

    fn watch(&self, ssl: &mut Ssl, mode: SslVerifyMode) -> Refusal {
        let refusal = Refusal::default();
        let (pinned, noted) = (Arc::clone(&self.pinned), refusal.clone());
        ssl.set_verify_callback(mode, move |trusted, context| {
            trusted || tolerates(&pinned, context) || {
                noted.note(context);
                false
            }
        });
        refusal
    }
}

/// The TLS context in force, shared by servers and clients and replaceable while they run.
#[derive(Clone)]
pub struct Tls(Arc<ArcSwap<TlsContext>>);

impl Tls {
    /// A holder of this context.
    #[must_use]
    pub fn new(context: TlsContext) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(context)))
    }

    /// Puts another context in force: new handshakes use it at once, kept-alive connections end after the
    /// request they are at.
    pub fn replace(&self, context: TlsContext) {
        self.0.store(Arc::new(context));
    }

    /// The context in force.
    #[must_use]
    pub fn current(&self) -> Arc<TlsContext> {
        self.0.load_full()
    }

    pub(super) fn is_current(&self, context: &Arc<TlsContext>) -> bool {
        Arc::ptr_eq(&self.0.load(), context)
    }
}

/// Why a peer's certificate was refused, noted while the handshake runs.
#[derive(Clone, Default)]
pub(super) struct Refusal(Arc<Mutex<Option<RefusedCertificate>>>);

/// The certificate at fault, for the log.
#[derive(Clone, Debug)]
pub(super) struct RefusedCertificate {
    pub(super) serial: String,
    pub(super) subject: String,
    pub(super) cause: &'static str,
}

impl Refusal {
    pub(super) fn certificate(&self) -> Option<RefusedCertificate> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, context: &X509StoreContextRef) {
        let certificate = context.current_cert();
        let refused = RefusedCertificate {
            serial: certificate.map_or_else(String::new, serial),
            subject: certificate.map_or_else(String::new, |c| format!("{:?}", c.subject_name())),
            cause: context.error().error_string(),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
    }
}

/// SHA-256 of a certificate's DER octets.
pub(super) fn der_sha256(certificate: &X509Ref) -> Result<[u8; 32], ErrorStack> {
    let mut digest = [0; 32];
    digest.copy_from_slice(&certificate.digest(MessageDigest::sha256())?);
    Ok(digest)
}

#[derive(Clone, Copy)]
struct Identity<'a> {
    chain: &'a [X509],
    key: &'a PKey<Private>,
}

#[derive(Clone, Copy)]
struct Trust<'a> {
    anchors: &'a [X509],
    pinned: &'a [X509],
    revocation_lists: &'a [PathBuf],
}

fn server_context(identity: Identity<'_>, trust: Trust<'_>) -> Result<SslContext, TransportError> {
    let mut context = common_context(SslMethod::tls_server(), identity, trust)?;
    context.set_options(SslOptions::CIPHER_SERVER_PREFERENCE);
    context.set_session_id_context(SESSION_ID_CONTEXT)?;
    context.set_num_tickets(0)?;
    context.set_max_early_data(0)?;
    // Some clients offer a certificate only when its issuer is on this list.
    let mut issuers = Stack::<X509Name>::new()?;
    for anchor in trust.anchors {
        issuers.push(anchor.subject_name().to_owned()?)?;
    }
    for pinned in trust.pinned {
        issuers.push(pinned.issuer_name().to_owned()?)?;
    }
    context.set_client_ca_list(issuers);
    Ok(context.build())
}

fn client_context(identity: Identity<'_>, trust: Trust<'_>) -> Result<SslContext, TransportError> {
    Ok(common_context(SslMethod::tls_client(), identity, trust)?.build())
}

fn common_context(
    method: SslMethod,
    identity: Identity<'_>,
    trust: Trust<'_>,
) -> Result<SslContextBuilder, TransportError> {
    let mut context = SslContext::builder(method)?;
    context.set_security_level(SECURITY_LEVEL);
    context.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    context.set_cipher_list(TLS12_CIPHERS)?;
    context.set_ciphersuites(TLS13_CIPHERS)?;
    context.set_options(SslOptions::NO_COMPRESSION | SslOptions::NO_RENEGOTIATION | SslOptions::NO_TICKET);
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    context.set_mode(
        SslMode::AUTO_RETRY
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::RELEASE_BUFFERS,
    );
    context.set_verify_depth(CHAIN_DEPTH_MAX);
    context.set_verify_cert_store(store(trust)?)?;
    let mut chain = identity.chain.iter();
    if let Some(own) = chain.next() {
        context.set_certificate(own)?;
    }
    for issuer in chain {
        context.add_extra_chain_cert(issuer.clone())?;
    }
    context.set_private_key(identity.key)?;
    Ok(context)
}

fn store(trust: Trust<'_>) -> Result<X509Store, TransportError> {
    let mut store = X509StoreBuilder::new()?;
    for anchor in trust.anchors {
        store.add_cert(anchor.clone())?;
    }
    if !trust.revocation_lists.is_empty() {
        store.set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)?;
        let lists = store.add_lookup(X509Lookup::file())?;
        for path in trust.revocation_lists {
            lists
                .load_crl_file(path, SslFiletype::PEM)
                .map_err(|e| TransportError::content(path, "a PEM revocation list", e))?;
        }
    }
    Ok(store.build())
}

/// Whether this fault may be overlooked because the peer's own certificate is pinned: only faults that say
/// "nobody vouches for it" or "it bears another name". Validity and usage are still checked.
fn tolerates(pinned: &BTreeSet<[u8; 32]>, context: &mut X509StoreContextRef) -> bool {
    let tolerable = TOLERABLE_WHEN_PINNED.contains(&context.error().as_raw());
    let is_pinned = context
        .chain()
        .and_then(|chain| chain.get(0))
        .and_then(|leaf| der_sha256(leaf).ok())
        .is_some_and(|digest| pinned.contains(&digest));
    if tolerable && is_pinned {
        context.set_error(X509VerifyResult::OK);
    }
    tolerable && is_pinned
}

fn all_certificates(paths: &[PathBuf]) -> Result<Vec<X509>, TransportError> {
    let mut all = Vec::new();
    for path in paths {
        let found = certificates(path)?;
        if found.is_empty() {
            return Err(TransportError::content(path, "a PEM certificate", "found none"));
        }
        all.extend(found);
    }
    Ok(all)
}

fn certificates(path: &Path) -> Result<Vec<X509>, TransportError> {
    X509::stack_from_pem(&read(path)?).map_err(|e| TransportError::content(path, "a PEM certificate", e))
}

fn private_key(path: &Path) -> Result<PKey<Private>, TransportError> {
    // An empty passphrase: an encrypted key must fail here instead of asking at a terminal.
    PKey::private_key_from_pem_passphrase(&read(path)?, b"")
        .map_err(|e| TransportError::content(path, "an unencrypted PEM private key", e))
}

fn read(path: &Path) -> Result<Vec<u8>, TransportError> {
    std::fs::read(path).map_err(|source| TransportError::File { path: path.to_owned(), source })
}

fn serial(certificate: &X509Ref) -> String {
    let number = certificate.serial_number().to_bn().and_then(|number| number.to_hex_str());
    number.map_or_else(|_| String::new(), |hex| hex.to_lowercase())
}

fn unix_seconds(certificate: &X509Ref) -> Result<i64, ErrorStack> {
    let since_epoch = Asn1Time::from_unix(0)?.diff(certificate.not_after())?;
    Ok(i64::from(since_epoch.days) * 86_400 + i64::from(since_epoch.secs))
}

const SESSION_ID_CONTEXT: &[u8] = b"gwanmun";
/// Level 2 of OpenSSL: 112 bits of security, so RSA from 2048 bits and no SHA-1 signatures.
const SECURITY_LEVEL: u32 = 2;
/// The longest chain between a peer's certificate and its anchor.
const CHAIN_DEPTH_MAX: u32 = 4;
const TLS12_CIPHERS: &str = "ECDHE+AESGCM:ECDHE+CHACHA20";
const TLS13_CIPHERS: &str = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
/// Codes of `X509_V_ERR_*`.
const TOLERABLE_WHEN_PINNED: [i32; 8] = [
    3,  // unable to get CRL: a pinned certificate is revoked by unpinning it
    18, // self-signed certificate
    19, // self-signed certificate in chain
    20, // unable to get local issuer certificate
    21, // unable to verify the first certificate
    27, // certificate not trusted
    62, // host name mismatch
    64, // IP address mismatch
];
