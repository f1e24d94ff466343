//! `gwanmun keys`: make a private key, request a certificate for it, list what there is and when it ends.
//!
//! A private key is written to its file and never shown. Requests go to the authority of the trust domain; this
//! program certifies nothing outside practice.

use std::fs;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets};
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::stack::Stack;
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder, X509Ref, X509Req};
use serde::Serialize;

use super::credentials::{
    Audience, KeyAlgorithm, describe_key, describe_name, digest_for, public_digest, timestamp, write_file,
};
use crate::model::{Digest, Timestamp};

/// Private keys and certificates.
#[derive(Clone, Debug, clap::Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum KeysCommand {
    /// Make a private key.
    New(NewArgs),
    /// Write a certificate request for a private key.
    Request(RequestArgs),
    /// List keys and certificates: whose they are, what belongs together, when they end.
    List(ListArgs),
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The key is written as PKCS#8, readable only by the user who made it, and never printed. Keep it where the gateway
reads it and nowhere else; a lost key is replaced, not recovered.

Example:
  gwanmun keys new /etc/gwanmun/keys/signing-2.key --algorithm rsa-3072
  gwanmun keys request /etc/gwanmun/keys/signing-2.key --common-name gateway.example")]
struct NewArgs {
    /// The file to write.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The kind of key.
    #[arg(long, value_enum, default_value_t)]
    algorithm: KeyAlgorithm,
    /// Replace the file if it is there already. The old key is lost.
    #[arg(long)]
    force: bool,
    /// Print what was made as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The request (PKCS#10, PEM) goes to standard output, or to --out. Send it to the certification authority; it holds
no secret. A TLS server certificate needs the names that partners connect to: --dns or --ip, repeated.

Example:
  gwanmun keys request tls.key --common-name gateway.example --organization 'Customs Service' \\
      --country KR --dns gateway.example --out tls.csr")]
struct RequestArgs {
    /// The private key to request a certificate for.
    #[arg(value_name = "KEY")]
    key: PathBuf,
    /// The subject's common name.
    #[arg(long, value_name = "NAME")]
    common_name: String,
    /// The subject's organisation.
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// The subject's country, as two letters.
    #[arg(long, value_name = "CC")]
    country: Option<String>,
    /// A host name that the certificate shall be for; repeat for several.
    #[arg(long, value_name = "HOST")]
    dns: Vec<String>,
    /// An address that the certificate shall be for; repeat for several.
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,
    /// The file to write, instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it is there already.
    #[arg(long, requires = "out")]
    force: bool,
    /// Print what was made as JSON, with the request in the field `pem`.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Looks into directories, also below, at files named .pem, .key, .crt, .cer and .csr. What has the same public key
belongs together. The fingerprint is SHA-256 of the certificate's DER octets: what parties are registered by.

Example:
  gwanmun keys list certs/practice
  gwanmun keys list --json /etc/gwanmun | jq '.[] | select(.days_left < 30) | .file'")]
struct ListArgs {
    /// Files and directories.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Item {
    file: PathBuf,
    kind: Kind,
    #[serde(skip_serializing_if = "String::is_empty")]
    subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    issuer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    serial: String,
    algorithm: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days_left: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    PrivateKey,
    Certificate,
    Request,
    Unreadable,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::PrivateKey => "key",
            Self::Certificate => "certificate",
            Self::Request => "request",
            Self::Unreadable => "unreadable",
        }
    }
}

impl KeysArgs {
    /// Does what was asked and says what came of it.
    ///
    /// # Errors
    /// When a file stands in the way, or cannot be read or written.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            KeysCommand::New(args) => args.run(out),
            KeysCommand::Request(args) => args.run(out),
            KeysCommand::List(args) => args.run(out),
        }
    }
}

impl NewArgs {
    fn run(&self, out: &mut dyn Write) -> Result<()> {
        let key = self.algorithm.generate()?;
        write_file(&self.file, &key.private_key_to_pem_pkcs8()?, Audience::Private, self.force)?;
        let public = public_digest(&key)?;
        if self.json {
            let made = serde_json::json!({
                "file": self.file, "algorithm": describe_key(&key), "public_key": public
            });
            writeln!(out, "{made:#}")?;
        } else {
            writeln!(out, "made {} key {}, public key {public}", describe_key(&key), self.file.display())?;
        }
        Ok(())
    }
}

impl RequestArgs {
    fn run(&self, out: &mut dyn Write) -> Result<()> {
        let request = self.request()?;
        let pem = request.to_pem()?;
        if let Some(file) = &self.out {
            write_file(file, &pem, Audience::Public, self.force)?;
        }
        let subject = describe_name(request.subject_name());
        if self.json {
            let made = serde_json::json!({
                "file": self.out, "subject": subject, "pem": String::from_utf8_lossy(&pem)
            });
            writeln!(out, "{made:#}")?;
        } else if let Some(file) = &self.out {
            writeln!(out, "wrote a request for {subject} to {}", file.display())?;
        } else {
            out.write_all(&pem)?;
        }
        Ok(())
    }

    fn request(&self) -> Result<X509Req> {
        let key = read_key(&self.key)?;
        let mut name = X509NameBuilder::new()?;
        for (field, value) in [
            (Nid::COUNTRYNAME, self.country.as_deref()),
            (Nid::ORGANIZATIONNAME, self.organization.as_deref()),
            (Nid::COMMONNAME, Some(self.common_name.as_str())),
        ] {
            let Some(value) = value else { continue };
            let what = field.long_name().unwrap_or("subject");
            name.append_entry_by_nid(field, value)
                .with_context(|| format!("{value:?} cannot be the {what}"))?;
        }
        let mut request = X509Req::builder()?;
        request.set_version(0)?;
        request.set_subject_name(&name.build())?;
        request.set_pubkey(&key)?;
        if !self.dns.is_empty() || !self.ip.is_empty() {
            let mut names = SubjectAlternativeName::new();
            for host in &self.dns {
                // A comma would begin another name of the caller's choice.
                let plain = host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.*".contains(&b));
                ensure!(plain, "expected a host name, found {host:?}");
                names.dns(host);
            }
            for address in &self.ip {
                names.ip(&address.to_string());
            }
            let mut extensions = Stack::new()?;
            extensions.push(names.build(&request.x509v3_context(None))?)?;
            request.add_extensions(&extensions)?;
        }
        request.sign(&key, digest_for(&key))?;
        Ok(request.build())
    }
}

impl ListArgs {
    fn run(&self, out: &mut dyn Write) -> Result<()> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the command is its own shell: validity is told as of now"
        )]
        let now = Timestamp::from(jiff::Timestamp::now());
        let mut items = Vec::new();
        for path in &self.paths {
            list(path, DEPTH_MAX, now, &mut items)?;
        }
        if self.json {
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&items)?)?);
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(["FILE", "KIND", "SUBJECT", "ALGORITHM", "DAYS", "PUBLIC KEY", "FINGERPRINT", ""]);
        for item in &items {
            table.add_row([
                item.file.display().to_string(),
                item.kind.as_str().to_owned(),
                item.subject.clone(),
                item.algorithm.clone(),
                item.days_left.map_or_else(String::new, |days| days.to_string()),
                item.public_key
                    .map_or_else(String::new, |digest| digest.to_string().chars().take(8).collect()),
                item.fingerprint.map_or_else(String::new, |digest| digest.to_string()),
                item.warning.clone().unwrap_or_default(),
            ]);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        Ok(())
    }
}

fn list(path: &Path, depth: usize, now: Timestamp, items: &mut Vec<Item>) -> Result<()> {
    let context = || format!("cannot read {}", path.display());
    if !fs::metadata(path).with_context(context)?.is_dir() {
        items.extend(items_of(path, now)?);
        return Ok(());
    }
    let mut entries = fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>())
        .with_context(context)?;
    entries.sort();
    for entry in entries {
        let known = entry.extension().is_some_and(|extension| EXTENSIONS.iter().any(|e| extension == *e));
        let is_directory = fs::symlink_metadata(&entry).is_ok_and(|metadata| metadata.is_dir());
        if known || (is_directory && depth > 0) {
            list(&entry, depth - usize::from(is_directory), now, items)?;
        }
    }
    Ok(())
}

/// Everything in one file; something to say about a file that holds nothing we know.
fn items_of(path: &Path, now: Timestamp) -> Result<Vec<Item>> {
    let octets = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut items = Vec::new();
    if let Ok(certificates) = X509::stack_from_pem(&octets) {
        for certificate in certificates {
            items.push(certificate_item(path, &certificate, now)?);
        }
    }
    if items.is_empty()
        && let Ok(certificate) = X509::from_der(&octets)
    {
        items.push(certificate_item(path, &certificate, now)?);
    }
    if let Ok(key) = PKey::private_key_from_pem_passphrase(&octets, b"") {
        items.push(key_item(path, &key)?);
    }
    if let Ok(request) = X509Req::from_pem(&octets) {
        let key = request.public_key()?;
        items.push(Item {
            subject: describe_name(request.subject_name()),
            algorithm: describe_key(&key),
            public_key: Some(public_digest(&key)?),
            ..Item::new(path, Kind::Request)
        });
    }
    if items.is_empty() {
        let warning = Some("neither certificate, request nor unencrypted key".to_owned());
        items.push(Item { warning, ..Item::new(path, Kind::Unreadable) });
    }
    Ok(items)
}

impl Item {
    fn new(file: &Path, kind: Kind) -> Self {
        Self {
            file: file.to_owned(),
            kind,
            subject: String::new(),
            issuer: String::new(),
            serial: String::new(),
            algorithm: String::new(),
            fingerprint: None,
            public_key: None,
            not_before: None,
            not_after: None,
            days_left: None,
            warning: None,
        }
    }
}

fn certificate_item(path: &Path, certificate: &X509Ref, now: Timestamp) -> Result<Item> {
    let key = certificate.public_key()?;
    let (not_before, not_after) = (timestamp(certificate.not_before())?, timestamp(certificate.not_after())?);
    let days_left = (not_after.as_millis() - now.as_millis()).div_euclid(MILLIS_PER_DAY);
    Ok(Item {
        subject: describe_name(certificate.subject_name()),
        issuer: describe_name(certificate.issuer_name()),
        serial: certificate.serial_number().to_bn()?.to_hex_str()?.to_lowercase(),
        algorithm: describe_key(&key),
        fingerprint: Some(Digest::of(&certificate.to_der()?)),
        public_key: Some(public_digest(&key)?),
        not_before: Some(not_before),
        not_after: Some(not_after),
        days_left: Some(days_left),
        warning: validity_warning(not_before, days_left, now),
        ..Item::new(path, Kind::Certificate)
    })
}

fn key_item(path: &Path, key: &PKey<Private>) -> Result<Item> {
    let open = fs::metadata(path)?.permissions().mode() & 0o077 != 0;
    Ok(Item {
        algorithm: describe_key(key),
        public_key: Some(public_digest(key)?),
        warning: open.then(|| "others can read it: chmod 600".to_owned()),
        ..Item::new(path, Kind::PrivateKey)
    })
}

fn validity_warning(not_before: Timestamp, days_left: i64, now: Timestamp) -> Option<String> {
    if days_left < 0 {
        Some("expired".to_owned())
    } else if not_before > now {
        Some("not yet valid".to_owned())
    } else {
        // The alarms of promises and threats, 6.
        [1, 7, 30, 60].iter().find(|days| days_left < **days).map(|days| format!("ends within {days} days"))
    }
}

fn read_key(path: &Path) -> Result<PKey<Private>> {
    let octets = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    PKey::private_key_from_pem_passphrase(&octets, b"")
        .with_context(|| format!("{} is not an unencrypted PEM private key", path.display()))
}

const EXTENSIONS: [&str; 5] = ["pem", "key", "crt", "cer", "csr"];
const DEPTH_MAX: usize = 8;
const MILLIS_PER_DAY: i64 = 86_400_000;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::pki::{PracticeOptions, practice};

    #[derive(clap::Parser)]
    struct Program {
        #[command(flatten)]
        keys: KeysArgs,
    }

    fn run(arguments: &[&str]) -> Result<String> {
        let program = Program::try_parse_from([&["keys"], arguments].concat())?;
        let mut out = Vec::new();
        program.keys.run(&mut out)?;
        Ok(String::from_utf8(out)?)
    }

    fn json(arguments: &[&str]) -> serde_json::Value {
        serde_json::from_str(&run(arguments).expect("runs")).expect("is JSON")
    }

    #[test]
    fn a_key_and_its_request_belong_together() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let path = |name: &str| directory.path().join(name).to_string_lossy().into_owned();
        let (key, csr) = (path("a.key"), path("a.csr"));
        run(&["new", &key, "--algorithm", "p256"]).expect("makes it");
        let names = ["--dns", "gateway.example", "--ip", "::1", "--country", "KR"];
        run(&[&["request", &key, "--common-name", "게이트웨이", "--out", &csr], &names[..]].concat())
            .expect("requests");

        let items = json(&["list", "--json", &directory.path().to_string_lossy()]);
        assert_eq!(items[0]["kind"], "request");
        assert_eq!(items[0]["subject"], "C=KR, CN=게이트웨이");
        assert_eq!(items[1]["kind"], "private-key");
        assert_eq!(items[0]["public_key"], items[1]["public_key"]);
        assert_eq!(items[1].get("warning"), None);

        let request = X509Req::from_pem(&fs::read(&csr).expect("is there")).expect("is one");
        assert!(request.verify(&request.public_key().expect("has one")).expect("verifies"));
    }

    #[test]
    fn what_is_there_is_not_replaced_and_no_key_is_printed() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let key = directory.path().join("a.key").to_string_lossy().into_owned();
        let printed = run(&["new", &key, "--algorithm", "p256"]).expect("makes it");
        assert!(!printed.contains("PRIVATE"), "S23: {printed}");
        let before = fs::read(&key).expect("is there");
        let refused = run(&["new", &key, "--algorithm", "p256"]).expect_err("is refused").to_string();
        assert!(refused.contains("--force"), "{refused}");
        assert_eq!(fs::read(&key).expect("is there"), before);
        run(&["new", &key, "--algorithm", "p256", "--force"]).expect("replaces it");
        assert_ne!(fs::read(&key).expect("is there"), before);
    }

    #[test]
    fn names_cannot_smuggle_other_names() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let key = directory.path().join("a.key").to_string_lossy().into_owned();
        run(&["new", &key, "--algorithm", "p256"]).expect("makes it");
        for host in ["a,DNS:b", "a b", "a\nb"] {
            assert!(run(&["request", &key, "--common-name", "a", "--dns", host]).is_err(), "{host:?}");
        }
    }

    #[test]
    fn lists_say_when_things_end_and_what_is_wrong() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let options = PracticeOptions {
            parties: vec!["kfda".to_owned()],
            algorithm: KeyAlgorithm::P256,
            replace: false,
        };
        let made = practice(directory.path(), &options).expect("makes them");
        fs::write(directory.path().join("empty.pem"), "nothing").expect("writes");
        fs::set_permissions(&made[0].key, fs::Permissions::from_mode(0o640)).expect("sets");

        let items = json(&["list", "--json", &directory.path().to_string_lossy()]);
        let check = |file: &str, expected: &[(&str, serde_json::Value)]| {
            let all = items.as_array().expect("is a list");
            let path = directory.path().join(file).to_string_lossy().into_owned();
            let item = all.iter().find(|item| item["file"] == path).expect(file);
            for (field, value) in expected {
                assert_eq!(&item[field], value, "{file} {field}");
            }
        };
        check("ca.key", &[("warning", "others can read it: chmod 600".into())]);
        check("kfda/tls.pem", &[("days_left", 29.into()), ("warning", "ends within 30 days".into())]);
        check("kfda/tls.key", &[("algorithm", "EC 256".into()), ("warning", serde_json::Value::Null)]);
        check("wrong/expired/tls.pem", &[("days_left", (-2).into()), ("warning", "expired".into())]);
        check("wrong/early/signing.pem", &[("warning", "not yet valid".into())]);
        check("empty.pem", &[("kind", "unreadable".into())]);

        let table = run(&["list", &directory.path().to_string_lossy()]).expect("lists");
        assert!(table.contains(&made[0].fingerprint.to_string()), "{table}");
    }

    #[test]
    fn warnings_follow_the_alarms() {
        fn check(days_left: i64, expected: Option<&str>) {
            let now = Timestamp::from_millis(MILLIS_PER_DAY);
            assert_eq!(
                validity_warning(Timestamp::EPOCH, days_left, now).as_deref(),
                expected,
                "{days_left}"
            );
        }
        check(60, None);
        check(59, Some("ends within 60 days"));
        check(29, Some("ends within 30 days"));
        check(6, Some("ends within 7 days"));
        check(0, Some("ends within 1 days"));
        check(-1, Some("expired"));
    }
}
