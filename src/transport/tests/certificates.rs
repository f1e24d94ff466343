//! Certificates for the tests of this floor: two authorities, good parties and bad ones.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameRef};

use crate::transport::{Tls, TlsContext, TlsFiles};

/// A directory with `ca.pem` and, for each party, `<party>.pem` and `<party>.key`.
pub(super) struct World {
    directory: tempfile::TempDir,
}

impl World {
    /// Parties `gateway` and `trader` are in order; the others are what their names say.
    pub(super) fn new() -> Self {
        let world = Self { directory: tempfile::tempdir().expect("makes a directory") };
        let (ca, other) = (Issuer::new("practice ca"), Issuer::new("other ca"));
        world.write("ca.pem", &ca.certificate.to_pem().expect("encodes"));
        world.write("other-ca.pem", &other.certificate.to_pem().expect("encodes"));
        for party in ["gateway", "trader", "kfda"] {
            world.party(party, &Leaf { issuer: Some(&ca), ..Leaf::default() });
        }
        world.party("stranger", &Leaf { issuer: Some(&other), ..Leaf::default() });
        world.party("expired", &Leaf { issuer: Some(&ca), days: (-9, -1), ..Leaf::default() });
        world.party("early", &Leaf { issuer: Some(&ca), days: (1, 9), ..Leaf::default() });
        world.party("server-only", &Leaf { issuer: Some(&ca), server_only: true, ..Leaf::default() });
        world.party("self-signed", &Leaf::default());
        world.party("self-signed-expired", &Leaf { days: (-9, -1), ..Leaf::default() });
        world
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The files of a party that trusts the practice authority.
    pub(super) fn files(&self, party: &str) -> TlsFiles {
        TlsFiles {
            certificate: self.path(&format!("{party}.pem")),
            key: self.path(&format!("{party}.key")),
            anchors: vec![self.path("ca.pem")],
            ..TlsFiles::default()
        }
    }

    pub(super) fn tls(&self, party: &str) -> Tls {
        Tls::new(TlsContext::load(&self.files(party)).expect("loads"))
    }

    pub(super) fn digest(&self, party: &str) -> [u8; 32] {
        TlsContext::load(&self.files(party)).expect("loads").certificate_der_sha256()
    }

    pub(super) fn party(&self, name: &str, leaf: &Leaf<'_>) {
        let (certificate, key) = leaf.make(name);
        self.write(&format!("{name}.pem"), &certificate.to_pem().expect("encodes"));
        self.write(&format!("{name}.key"), &key.private_key_to_pem_pkcs8().expect("encodes"));
    }

    fn write(&self, name: &str, octets: &[u8]) {
        std::fs::write(Path::new(&self.path(name)), octets).expect("writes");
    }
}

/// A party's certificate; with no issuer it signs itself.
pub(super) struct Leaf<'a> {
    pub(super) issuer: Option<&'a Issuer>,
    pub(super) days: (i64, i64),
    pub(super) server_only: bool,
}

impl Default for Leaf<'_> {
    fn default() -> Self {
        Self { issuer: None, days: (-1, 30), server_only: false }
    }
}

impl Leaf<'_> {
    fn make(&self, name: &str) -> (X509, PKey<Private>) {
        let (subject, key) = (named(name), new_key());
        let issuer = self.issuer.map_or(&*subject, |issuer| issuer.certificate.subject_name());
        let mut builder = builder(&subject, issuer, &key, self.days);
        let mut purposes = ExtendedKeyUsage::new();
        purposes.server_auth();
        if !self.server_only {
            purposes.client_auth();
        }
        builder.append_extension(purposes.build().expect("builds")).expect("appends");
        let names = SubjectAlternativeName::new()
            .ip("127.0.0.1")
            .dns("localhost")
            .build(&builder.x509v3_context(None, None))
            .expect("builds");
        builder.append_extension(names).expect("appends");
        let signer = self.issuer.map_or(&key, |issuer| &issuer.key);
        builder.sign(signer, MessageDigest::sha256()).expect("signs");
        (builder.build(), key)
    }
}

pub(super) struct Issuer {
    certificate: X509,
    key: PKey<Private>,
}

impl Issuer {
    fn new(name: &str) -> Self {
        let (subject, key) = (named(name), new_key());
        let mut builder = builder(&subject, &subject, &key, (-30, 30));
        let authority = BasicConstraints::new().critical().ca().build().expect("builds");
        builder.append_extension(authority).expect("appends");
        let usage = KeyUsage::new().critical().key_cert_sign().crl_sign().build().expect("builds");
        builder.append_extension(usage).expect("appends");
        builder.sign(&key, MessageDigest::sha256()).expect("signs");
        Self { certificate: builder.build(), key }
    }
}

fn builder(
    subject: &X509NameRef,
    issuer: &X509NameRef,
    key: &PKey<Private>,
    days: (i64, i64),
) -> X509Builder {
    let mut builder = X509::builder().expect("starts");
    builder.set_version(2).expect("sets");
    let mut serial = BigNum::new().expect("makes");
    serial.rand(127, MsbOption::ONE, false).expect("draws");
    builder.set_serial_number(&serial.to_asn1_integer().expect("converts")).expect("sets");
    builder.set_subject_name(subject).expect("sets");
    builder.set_issuer_name(issuer).expect("sets");
    builder.set_pubkey(key).expect("sets");
    #[expect(clippy::disallowed_methods, reason = "the certificates are valid around the real time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("is after 1970").as_secs();
    let in_days = |days: i64| {
        let seconds = i64::try_from(now).expect("fits") + days * 86_400;
        Asn1Time::from_unix(seconds).expect("converts")
    };
    builder.set_not_before(&in_days(days.0)).expect("sets");
    builder.set_not_after(&in_days(days.1)).expect("sets");
    builder
}

fn named(name: &str) -> X509Name {
    let mut builder = X509Name::builder().expect("starts");
    builder.append_entry_by_nid(Nid::COMMONNAME, name).expect("appends");
    builder.build()
}

fn new_key() -> PKey<Private> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("is known");
    PKey::from_ec_key(EcKey::generate(&group).expect("generates")).expect("converts")
}
