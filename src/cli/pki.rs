//! `gwanmun pki practice`: certificates and keys for demo, rehearsal and tests.
//!
//! Makes a throw-away certification authority and, for each party, a TLS certificate (client and server) and a
//! signing certificate; beside them, in `wrong/`, parties that must be refused. Everything ends after thirty
//! days, everybody who can read `ca.key` can make more: worthless on purpose, never for production, never
//! committed.

use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name};
use serde::Serialize;

use super::credentials::{Audience, KeyAlgorithm, digest_for, timestamp, write_file};
use crate::model::{Digest, Timestamp};

/// Certificates for practice.
#[derive(Clone, Debug, clap::Args)]
pub struct PkiArgs {
    #[command(subcommand)]
    command: PkiCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum PkiCommand {
    /// Make a throw-away certification authority with certificates for practice parties.
    Practice(PracticeArgs),
}

/// What `gwanmun pki practice` is asked for.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = PRACTICE_HELP)]
struct PracticeArgs {
    /// The directory to fill; made if it is not there.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// A party to make certificates for; repeat for several.
    #[arg(long = "party", value_name = "NAME", default_values_t = DEFAULT_PARTIES.map(str::to_owned))]
    parties: Vec<String>,
    /// The kind of every key.
    #[arg(long, value_enum, default_value_t)]
    algorithm: KeyAlgorithm,
    /// Replace what is there already.
    #[arg(long)]
    force: bool,
    /// Print what was made as JSON.
    #[arg(long)]
    json: bool,
}

const PRACTICE_HELP: &str = "\
Makes, in DIR:
  ca.pem, ca.key                  the authority: an anchor for everybody's trust
  NAME/tls.pem, NAME/tls.key      what NAME shows on connections, as client and as server
  NAME/signing.pem, …/signing.key what NAME signs messages with
  time-stamp.pem, time-stamp.key  what `gwanmun practice --role authority` gives time stamps with
  wrong/expired, wrong/early      parties whose certificates have ended, or not begun
  wrong/foreign                   a party of another authority, whose anchor is wrong/foreign/ca.pem
  wrong/unregistered              a party in order that nobody has registered

TLS certificates are for localhost, 127.0.0.1 and ::1. Everything is valid for 30 days. Never use any of it in
production, never commit it: private keys are worth only as much as their secrecy.

Example:
  gwanmun pki practice certs/practice --algorithm p256
  gwanmun keys list certs/practice";

/// What [`practice`] shall make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PracticeOptions {
    /// The parties in order: lower-case letters, digits and hyphens.
    pub parties: Vec<String>,
    /// The kind of every key.
    pub algorithm: KeyAlgorithm,
    /// Whether existing files are replaced.
    pub replace: bool,
}

impl Default for PracticeOptions {
    fn default() -> Self {
        Self {
            parties: DEFAULT_PARTIES.map(str::to_owned).to_vec(),
            algorithm: KeyAlgorithm::default(),
            replace: false,
        }
    }
}

/// A certificate that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PracticeCertificate {
    /// The party, such as `kfda` or `wrong/expired`; empty for the authority.
    pub party: String,
    /// What it is for.
    pub purpose: Purpose,
    /// The certificate file.
    pub certificate: PathBuf,
    /// The private key file.
    pub key: PathBuf,
    /// SHA-256 of its DER octets, by which it is registered.
    pub fingerprint: Digest,
    /// The last instant it is valid.
    pub not_after: Timestamp,
}

/// What a certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Vouching for others.
    Authority,
    /// Connections, from either end.
    Tls,
    /// Messages.
    Signing,
    /// Time stamps.
    TimeStamp,
}

impl Purpose {
    const fn file_stem(self) -> &'static str {
        match self {
            Self::Authority => "ca",
            Self::Tls => "tls",
            Self::Signing => "signing",
            Self::TimeStamp => "time-stamp",
        }
    }
}

impl PkiArgs {
    /// Does what was asked and says what came of it.
    ///
    /// # Errors
    /// When a file stands in the way or cannot be written.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let PkiCommand::Practice(args) = &self.command;
        let options =
            PracticeOptions { parties: args.parties.clone(), algorithm: args.algorithm, replace: args.force };
        let made = practice(&args.directory, &options)?;
        if args.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&made)?)?;
        } else {
            writeln!(out, "made {} certificates in {}", made.len(), args.directory.display())?;
            writeln!(out, "anchor: {}", args.directory.join("ca.pem").display())?;
            for tls in made.iter().filter(|made| made.purpose == Purpose::Tls) {
                writeln!(out, "{:<20} tls {}", tls.party, tls.fingerprint)?;
            }
            writeln!(out, "for practice only, for {VALID_DAYS} days; never commit it")?;
        }
        Ok(())
    }
}

/// Makes a practice authority and certificates for each party in `directory`; the layout is in the help of
/// `gwanmun pki practice`.
///
/// # Errors
/// When a party's name cannot be a directory's, or a file stands in the way or cannot be written.
pub fn practice(directory: &Path, options: &PracticeOptions) -> Result<Vec<PracticeCertificate>> {
    for party in &options.parties {
        check_name(party)?;
    }
    if !options.replace && directory.join("ca.pem").exists() {
        bail!("{} holds a practice authority already; --force replaces it", directory.display());
    }
    let authority = Issuer::new("Gwanmun practice CA, worthless", options.algorithm)?;
    let foreign = Issuer::new("Another practice CA, worthless", options.algorithm)?;
    let mut desk = Desk { directory, options, made: Vec::new() };
    desk.file("", Purpose::Authority, &authority.certificate, &authority.key)?;
    let key = options.algorithm.generate()?;
    let certificate = authority.certify("", Purpose::TimeStamp, &key, GOOD_DAYS)?;
    desk.file("", Purpose::TimeStamp, &certificate, &key)?;
    for party in &options.parties {
        desk.issue(party, &authority, GOOD_DAYS)?;
    }
    desk.issue("wrong/expired", &authority, (-VALID_DAYS - 1, -1))?;
    desk.issue("wrong/early", &authority, (1, VALID_DAYS + 1))?;
    desk.issue("wrong/unregistered", &authority, GOOD_DAYS)?;
    desk.issue("wrong/foreign", &foreign, GOOD_DAYS)?;
    desk.file("wrong/foreign", Purpose::Authority, &foreign.certificate, &foreign.key)?;
    Ok(desk.made)
}

/// Where certificates are made and put into files.
struct Desk<'a> {
    directory: &'a Path,
    options: &'a PracticeOptions,
    made: Vec<PracticeCertificate>,
}

impl Desk<'_> {
    fn issue(&mut self, party: &str, issuer: &Issuer, days: (i64, i64)) -> Result<()> {
        for purpose in [Purpose::Tls, Purpose::Signing] {
            let key = self.options.algorithm.generate()?;
            let certificate = issuer.certify(party, purpose, &key, days)?;
            self.file(party, purpose, &certificate, &key)?;
        }
        Ok(())
    }

    fn file(&mut self, party: &str, purpose: Purpose, certificate: &X509, key: &PKey<Private>) -> Result<()> {
        let directory = self.directory.join(party);
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let stem = purpose.file_stem();
        let made = PracticeCertificate {
            party: party.to_owned(),
            purpose,
            certificate: directory.join(format!("{stem}.pem")),
            key: directory.join(format!("{stem}.key")),
            fingerprint: Digest::of(&certificate.to_der()?),
            not_after: timestamp(certificate.not_after())?,
        };
        let replace = self.options.replace;
        write_file(&made.key, &key.private_key_to_pem_pkcs8()?, Audience::Private, replace)?;
        write_file(&made.certificate, &certificate.to_pem()?, Audience::Public, replace)?;
        self.made.push(made);
        Ok(())
    }
}

struct Issuer {
    certificate: X509,
    key: PKey<Private>,
}

impl Issuer {
    fn new(name: &str, algorithm: KeyAlgorithm) -> Result<Self> {
        let key = algorithm.generate()?;
        let name = subject(name)?;
        let mut builder = unsigned(&name, &key, GOOD_DAYS)?;
        builder.set_issuer_name(&name)?;
        builder.append_extension(BasicConstraints::new().critical().ca().pathlen(0).build()?)?;
        builder.append_extension(KeyUsage::new().critical().key_cert_sign().crl_sign().build()?)?;
        let identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
        builder.append_extension(identifier)?;
        builder.sign(&key, digest_for(&key))?;
        Ok(Self { certificate: builder.build(), key })
    }

    fn certify(&self, party: &str, purpose: Purpose, key: &PKey<Private>, days: (i64, i64)) -> Result<X509> {
        let name = subject(format!("{party} {}", purpose.file_stem()).trim_start())?;
        let mut builder = unsigned(&name, key, days)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        let mut usage = KeyUsage::new();
        usage.critical().digital_signature();
        if purpose == Purpose::Tls {
            builder.append_extension(ExtendedKeyUsage::new().server_auth().client_auth().build()?)?;
            let names = SubjectAlternativeName::new()
                .dns("localhost")
                .ip(&Ipv4Addr::LOCALHOST.to_string())
                .ip(&Ipv6Addr::LOCALHOST.to_string())
                .build(&builder.x509v3_context(None, None))?;
            builder.append_extension(names)?;
        } else {
            usage.non_repudiation();
        }
        if purpose == Purpose::TimeStamp {
            // Critical, and nothing else beside it (RFC 3161, 2.3).
            builder.append_extension(ExtendedKeyUsage::new().critical().time_stamping().build()?)?;
        }
        builder.append_extension(usage.build()?)?;
        let context = builder.x509v3_context(Some(&self.certificate), None);
        let own = SubjectKeyIdentifier::new().build(&context)?;
        let issuer = AuthorityKeyIdentifier::new().keyid(true).build(&context)?;
        builder.append_extension(own)?;
        builder.append_extension(issuer)?;
        builder.sign(&self.key, digest_for(&self.key))?;
        Ok(builder.build())
    }
}

fn unsigned(name: &X509Name, key: &PKey<Private>, days: (i64, i64)) -> Result<X509Builder> {
    let mut serial = BigNum::new()?;
    serial.rand(SERIAL_BITS, MsbOption::ONE, false)?;
    #[expect(clippy::disallowed_methods, reason = "certificates are valid around the time they are made")]
    let now = jiff::Timestamp::now().as_second();
    let in_days = |days: i64| Asn1Time::from_unix(now + days * SECONDS_PER_DAY);
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(name)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(&*in_days(days.0)?)?;
    builder.set_not_after(&*in_days(days.1)?)?;
    Ok(builder)
}

fn subject(common_name: &str) -> Result<X509Name> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_nid(Nid::COUNTRYNAME, "KR")?;
    name.append_entry_by_nid(Nid::ORGANIZATIONNAME, "Gwanmun practice")?;
    name.append_entry_by_nid(Nid::COMMONNAME, common_name)?;
    Ok(name.build())
}

fn check_name(party: &str) -> Result<()> {
    let plain = party.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    ensure!(
        plain && (1..=NAME_BYTES_MAX).contains(&party.len()) && party != "wrong",
        "expected a party's name of lower-case letters, digits and hyphens, found {party:?}"
    );
    Ok(())
}

/// The parties of the demo: the gateway, a trader, customs and six agencies.
pub const DEFAULT_PARTIES: [&str; 9] =
    ["gateway", "trader", "customs", "kfda", "npqs", "nvrqs", "nfis", "kpta", "kmdia"];
const VALID_DAYS: i64 = 30;
/// From yesterday, so that clocks that differ a little do not matter.
const GOOD_DAYS: (i64, i64) = (-1, VALID_DAYS);
const SECONDS_PER_DAY: i64 = 86_400;
const SERIAL_BITS: i32 = 127;
const NAME_BYTES_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::transport::{TlsContext, TlsFiles};

    fn options() -> PracticeOptions {
        PracticeOptions {
            parties: vec!["gateway".to_owned(), "kfda".to_owned()],
            algorithm: KeyAlgorithm::P256,
            replace: false,
        }
    }

    #[test]
    fn every_party_gets_what_transport_takes_and_keys_stay_private() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let made = practice(directory.path(), &options()).expect("makes them");
        let found = |party: &str, purpose| {
            let mut all = made.iter().filter(|made| made.party == party && made.purpose == purpose);
            all.next().expect("was made").clone()
        };
        for party in
            ["gateway", "kfda", "wrong/expired", "wrong/early", "wrong/unregistered", "wrong/foreign"]
        {
            let (tls, signing) = (found(party, Purpose::Tls), found(party, Purpose::Signing));
            let context = TlsContext::load(&TlsFiles {
                certificate: tls.certificate.clone(),
                key: tls.key.clone(),
                anchors: vec![directory.path().join("ca.pem")],
                ..TlsFiles::default()
            })
            .expect("loads");
            assert_eq!(context.certificate_der_sha256(), tls.fingerprint.0, "{party}");
            assert_eq!(context.not_after_unix_seconds() * 1000, tls.not_after.as_millis(), "{party}");
            assert_ne!(tls.fingerprint, signing.fingerprint, "{party}");
        }
        for made in &made {
            let mode = |path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
            assert_eq!(mode(&made.key), 0o600, "S23: {}", made.key.display());
        }
    }

    #[test]
    fn nothing_is_replaced_unless_asked_for() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let first = practice(directory.path(), &options()).expect("makes them");
        let refused = practice(directory.path(), &options()).expect_err("is refused").to_string();
        assert!(refused.contains("--force"), "{refused}");
        let lax = fs::Permissions::from_mode(0o644);
        fs::set_permissions(&first[0].key, lax).expect("sets");
        let replaced = PracticeOptions { replace: true, ..options() };
        let second = practice(directory.path(), &replaced).expect("replaces them");
        assert_ne!(first[0].fingerprint, second[0].fingerprint);
        let mode = fs::metadata(&second[0].key).expect("is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn names_cannot_leave_the_directory() {
        fn check(name: &str, accepted: bool) {
            assert_eq!(check_name(name).is_ok(), accepted, "{name:?}");
        }
        check("kfda-2", true);
        check("..", false);
        check("a/b", false);
        check("", false);
        check("KFDA", false);
        check("wrong", false);
    }
}
