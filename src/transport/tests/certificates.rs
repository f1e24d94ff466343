//! Certificates for the tests of this floor: two authorities, good parties and bad ones.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, CrlNumber, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509CrlBuilder, X509Name, X509NameRef, X509RevokedBuilder};

use crate::transport::{Tls, TlsContext, TlsFiles};

/// A directory with `ca.pem` and, for each party, `<party>.pem` and `<party>.key`.
pub(super) struct World {
    directory: tempfile::TempDir,
    ca: Issuer,
}

impl World {
    /// Parties `gateway` and `trader` are in order; the others are what their names say.
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().expect("makes a directory");
        let world = Self { directory, ca: Issuer::new("practice ca") };
        let (ca, other) = (&world.ca, Issuer::new("other ca"));
        world.write("ca.pem", &ca.certificate.to_pem().expect("encodes"));
        world.write("other-ca.pem", &other.certificate.to_pem().expect("encodes"));
        for party in ["gateway", "trader", "kfda"] {
            world.party(party, &Leaf { issuer: Some(ca), ..Leaf::default() });
        }
        world.party("stranger", &Leaf { issuer: Some(&other), ..Leaf::default() });
        world.party("expired", &Leaf { issuer: Some(ca), days: (-9, -1), ..Leaf::default() });
        world.party("early", &Leaf { issuer: Some(ca), days: (1, 9), ..Leaf::default() });
        world.party("server-only", &Leaf { issuer: Some(ca), server_only: true, ..Leaf::default() });
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

    /// The serial number in hexadecimal.
    pub(super) fn serial(&self, party: &str) -> String {
        let number = self.certificate(party).serial_number().to_bn().expect("converts");
        number.to_hex_str().expect("converts").to_lowercase()
    }

    fn certificate(&self, party: &str) -> X509 {
        let pem = std::fs::read(self.path(&format!("{party}.pem"))).expect("is there");
        X509::from_pem(&pem).expect("is one")
    }

    fn party(&self, name: &str, leaf: &Leaf<'_>) {
        let (certificate, key) = leaf.make(name);
        self.write(&format!("{name}.pem"), &certificate.to_pem().expect("encodes"));
        self.write(&format!("{name}.key"), &key.private_key_to_pem_pkcs8().expect("encodes"));
    }

    /// A revocation list of the practice authority with these parties on it, valid from and to so many days
    /// from now.
    pub(super) fn revocation_list(&self, revoked: &[&str], days: (i64, i64)) -> PathBuf {
        let mut list = X509CrlBuilder::new().expect("starts");
        list.set_issuer_name(self.ca.certificate.subject_name()).expect("sets");
        list.set_last_update(&in_days(days.0)).expect("sets");
        list.set_next_update(&in_days(days.1)).expect("sets");
        for party in revoked {
            let mut entry = X509RevokedBuilder::new().expect("starts");
            entry.set_serial_number(self.certificate(party).serial_number()).expect("sets");
            entry.set_revocation_date(&in_days(days.0)).expect("sets");
            list.add_revoked(entry.build()).expect("adds");
        }
        let subject = self.ca.certificate.subject_name();
        let of_ca = builder(subject, subject, &self.ca.key, days);
        let context = of_ca.x509v3_context(Some(&self.ca.certificate), None);
        let issuer = AuthorityKeyIdentifier::new().keyid(true).build(&context).expect("builds");
        list.append_extension(issuer).expect("appends");
        let number = CrlNumber::new(BigNum::from_u32(1).expect("converts")).expect("makes");
        list.append_extension(number.build().expect("builds")).expect("appends");
        list.sign(&self.ca.key, MessageDigest::sha256()).expect("signs");
        let list = list.build().expect("builds");
        self.write("list.crl", &list.to_pem().expect("encodes"));
        self.path("list.crl")
    }

    fn write(&self, name: &str, octets: &[u8]) {
        std::fs::write(Path::new(&self.path(name)), octets).expect("writes");
    }
}

/// A party's certificate; with no issuer it signs itself.
struct Leaf<'a> {
    issuer: Option<&'a Issuer>,
    days: (i64, i64),
    server_only: bool,
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

struct Issuer {
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
        let own = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None)).expect("builds");
        builder.append_extension(own).expect("appends");
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
    builder.set_not_before(&in_days(days.0)).expect("sets");
    builder.set_not_after(&in_days(days.1)).expect("sets");
    builder
}

fn in_days(days: i64) -> Asn1Time {
    #[expect(clippy::disallowed_methods, reason = "the certificates are valid around the real time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("is after 1970").as_secs();
    Asn1Time::from_unix(i64::try_from(now).expect("fits") + days * 86_400).expect("converts")
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
