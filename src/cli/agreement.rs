//! `gwanmun agreement`: what is agreed with the partners, out of CPA documents and into them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use serde_json::json;

use super::check::{Source, list};
use crate::codec::cpa::read_cpa;
use crate::config::cpa::{ImportOptions, Imported, ImportedCertificate, export_cpa, import_cpa};
use crate::config::{ConfigFault, Partners, SettingsRefused};
use crate::model::{CpaId, Direction, Finding, PartyKind, Timestamp, format_duration};

/// What is agreed with the partners
#[derive(Debug, clap::Args)]
pub struct AgreementArgs {
    #[command(subcommand)]
    command: AgreementCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AgreementCommand {
    /// Agreements, in order of CPAId
    #[command(after_help = "Example: gwanmun agreement list --json")]
    List(Source),
    /// Make a partner file of a CPA document (CPPA 2.0)
    #[command(after_help = IMPORT_HELP)]
    Import(ImportArgs),
    /// Write an agreement as a CPA document for the partner
    #[command(
        after_help = "Example: gwanmun agreement export swgw-kfda-3 --endpoint https://gateway.example:8443/ebms > kfda.xml"
    )]
    Export(ExportArgs),
}

#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// The CPA document
    #[arg(value_name = "CPA.xml")]
    file: PathBuf,
    /// What the partner is in the trade; a partner that is registered stays what it is
    #[arg(long, value_enum, default_value_t = Kind::Agency)]
    kind: Kind,
    /// A short name for logs and metrics, instead of partyName
    #[arg(long)]
    name: Option<String>,
    /// The business number by which documents name a declarant
    #[arg(long, value_name = "NUMBER")]
    business_number: Option<String>,
    /// Show the partner file and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    source: Source,
}

#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// CPAId
    #[arg(value_name = "CPAID")]
    cpa_id: String,
    /// The URL that the partner posts to
    #[arg(long, value_name = "URL")]
    endpoint: String,
    #[command(flatten)]
    source: Source,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Kind {
    /// A trader or customs broker
    Declarant,
    /// A body that verifies an import requirement
    Agency,
    /// The customs system
    Customs,
}

const IMPORT_HELP: &str = "\
A partner that is not registered gets a file of its own in the directory of partners, with its certificates beside it.
One that is gets the agreement added to its file; its certificates must be registered there already.
A CPA with a mistake, or with a term that this gateway cannot keep, is imported not at all. `gwanmun reload` then puts
the new agreement in force; renewal is a CPA with another CPAId, imported before the old one ends.

Example: gwanmun agreement import kfda.xml --kind agency --name KFDA";

impl AgreementArgs {
    /// Lists agreements, imports or exports one.
    ///
    /// # Errors
    /// [`SettingsRefused`] when there are mistakes in the settings; findings when there are some in a CPA.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            AgreementCommand::List(source) => agreements(source, out),
            AgreementCommand::Import(import) => import.run(out),
            AgreementCommand::Export(export) => export.run(out),
        }
    }
}

fn agreements(source: &Source, out: &mut dyn Write) -> Result<()> {
    let loaded = source.load(out)?;
    let rows = loaded.partners.registry.agreements().map(|agreement| {
        let actions = |direction: Direction| {
            let bound = agreement.actions.iter().filter(move |binding| binding.direction == direction);
            bound.map(|binding| binding.action.to_string()).collect::<Vec<_>>()
        };
        let (sent, received) = (actions(Direction::Send), actions(Direction::Receive));
        let interval = format_duration(agreement.reliability.retry_interval);
        let retries = agreement.reliability.retries;
        (
            json!({ "cpa_id": agreement.cpa_id, "partner": agreement.partner, "endpoint": agreement.endpoint,
                "start": agreement.start, "end": agreement.end,
                "sync_reply_mode": agreement.sync_reply_mode, "retries": retries,
                "retry_interval": interval, "send": sent, "receive": received }),
            vec![
                agreement.cpa_id.to_string(),
                agreement.partner.to_string(),
                agreement.endpoint.as_deref().unwrap_or("mailbox").to_owned(),
                format!("{retries} every {interval}"),
                agreement.end.map_or_else(|| "-".to_owned(), |end| end.to_string()),
                sent.join(" "),
                received.join(" "),
            ],
        )
    });
    list(source, out, &["CPAId", "partner", "endpoint", "retries", "ends", "we send", "we receive"], rows)
}

impl ImportArgs {
    fn run(&self, out: &mut dyn Write) -> Result<()> {
        let path = &self.source.config;
        // What is wrong already, such as a rule about the very agency that is to come, is no mistake of the CPA.
        let before = crate::config::load(path).err().unwrap_or_default();
        let (settings, partners) =
            crate::config::load_partners(path).or_else(|faults| self.refused(&faults, out))?;
        let octets = fs::read(&self.file).with_context(|| self.file.display().to_string())?;
        let options = ImportOptions {
            kind: match self.kind {
                Kind::Declarant => PartyKind::Declarant,
                Kind::Agency => PartyKind::Agency,
                Kind::Customs => PartyKind::Customs,
            },
            name: self.name.clone(),
            business_number: self.business_number.clone(),
        };
        #[allow(
            clippy::disallowed_methods,
            reason = "an agreement is over, or not, by the clock of this command"
        )]
        let now = Timestamp::from(jiff::Timestamp::now());
        let imported = read_cpa(&Bytes::from(octets))
            .and_then(|cpa| import_cpa(&cpa, &settings.identity, &options, now));
        let imported = imported.or_else(|findings| self.tell(&findings, out))?;
        let registered = partners.registry.party(&imported.party).is_some();
        if self.dry_run {
            return self.show(&imported, registered, out);
        }
        let written = if registered {
            add_agreement(&partners, &imported)?
        } else {
            new_partner(&settings.partners, &imported)?
        };
        // The gateway reads these files at a reload only; what it would refuse is taken back.
        let mut faults = crate::config::load(path).err().unwrap_or_default();
        faults.retain(|fault| !before.contains(fault));
        if !faults.is_empty() {
            written.take_back()?;
            return self.refused(&faults, out);
        }
        let file = written.file.display().to_string();
        if self.source.json {
            Ok(writeln!(out, "{}", json!({ "party": imported.party, "file": file, "new": !registered }))?)
        } else {
            Ok(writeln!(out, "{} is in {file}; `gwanmun reload` puts it in force", imported.party)?)
        }
    }

    /// Mistakes that there would be in the settings.
    fn refused<T>(&self, faults: &[ConfigFault], out: &mut dyn Write) -> Result<T> {
        self.source.tell(faults, out)?;
        bail!(SettingsRefused(faults.len()))
    }

    fn tell<T>(&self, findings: &[Finding], out: &mut dyn Write) -> Result<T> {
        if self.source.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&json!({ "findings": findings }))?)?;
        }
        for finding in findings.iter().filter(|_| !self.source.json) {
            writeln!(out, "{}: {finding}", self.file.display())?;
        }
        bail!("{} finding(s); nothing was imported", findings.len())
    }

    fn show(&self, imported: &Imported, registered: bool, out: &mut dyn Write) -> Result<()> {
        if self.source.json {
            let head = (!registered).then_some(&imported.head);
            let shown = json!({ "party": imported.party, "head": head, "agreement": imported.agreement });
            return Ok(writeln!(out, "{shown}")?);
        }
        if !registered {
            writeln!(out, "{}", imported.head)?;
        }
        Ok(write!(out, "{}", imported.agreement)?)
    }
}

/// What was written, and what was there before.
struct Written {
    file: PathBuf,
    before: Option<String>,
    certificates: Vec<PathBuf>,
}

impl Written {
    fn take_back(&self) -> Result<()> {
        match &self.before {
            Some(before) => replace(&self.file, before)?,
            None => fs::remove_file(&self.file)?,
        }
        for certificate in &self.certificates {
            fs::remove_file(certificate)?;
        }
        Ok(())
    }
}

/// A file of its own for a partner, its certificates beside it.
fn new_partner(directory: &Path, imported: &Imported) -> Result<Written> {
    let file = directory.join(format!("{}.toml", imported.party));
    if file.exists() {
        bail!("{} is there, and is not the file of {}: move it away", file.display(), imported.party);
    }
    let mut certificates = Vec::new();
    for certificate in &imported.certificates {
        let path = directory.join(&certificate.file);
        replace(&path, &certificate.pem)?;
        certificates.push(path);
    }
    replace(&file, &format!("{}\n{}", imported.head, imported.agreement))?;
    Ok(Written { file, before: None, certificates })
}

/// The agreement behind what is in the partner's file, whose certificates are those of the CPA.
fn add_agreement(partners: &Partners, imported: &Imported) -> Result<Written> {
    let party = partners.registry.party(&imported.party).context("the partner is registered")?;
    for ImportedCertificate { file, fingerprint, .. } in &imported.certificates {
        let known = party.tls_certificates.iter().chain(&party.signing_certificates);
        if !known.into_iter().any(|known| known == fingerprint) {
            bail!(
                "the CPA names a certificate that is not registered for {}: SHA-256 {fingerprint}; \
                 save it and name it in the partner's file (a new partner's would be {file}), then import again",
                imported.party
            );
        }
    }
    let file = partners.files.get(&imported.party).context("a partner is read from a file")?.clone();
    let before = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    replace(&file, &format!("{}\n\n{}", before.trim_end(), imported.agreement))?;
    Ok(Written { file, before: Some(before), certificates: Vec::new() })
}

/// Puts a whole file in the place of the one before: who reads meanwhile reads one or the other.
fn replace(path: &Path, text: &str) -> Result<()> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    fs::write(&aside, text)
        .and_then(|()| fs::rename(&aside, path))
        .with_context(|| path.display().to_string())
}

impl ExportArgs {
    fn run(&self, out: &mut dyn Write) -> Result<()> {
        let loaded = self.source.load(out)?;
        let _: crate::transport::Endpoint =
            self.endpoint.parse().context("--endpoint is no URL such as https://host:8443/ebms")?;
        let agreement = CpaId::new(self.cpa_id.as_str()).ok();
        let agreement = agreement.and_then(|id| loaded.partners.registry.agreement(&id));
        let agreement = agreement.with_context(|| format!("there is no agreement {}", self.cpa_id))?;
        Ok(writeln!(out, "{}", export_cpa(&loaded, agreement, &self.endpoint)?)?)
    }
}
