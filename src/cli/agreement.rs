//! `gwanmun agreement`: what is agreed with the partners, out of CPA documents and into them.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use serde_json::json;

use super::check::{Source, list};
use crate::codec::cpa::read_cpa;
use crate::config::cpa::{ImportOptions, Imported, Own, export_cpa, import_cpa};
use crate::config::{Candidate, ConfigFault, Partners, SettingsRefused};
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
One that is registered under any of its PartyIds gets the agreement added to its file; its certificates and PartyIds
must be registered there already. What an import that was killed left there is removed, and told. Of several channels
of an Action the first one that can be used is kept, with a note.
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
        let load = || crate::config::load_partners(path);
        let (settings, _) = load().or_else(|faults| self.refused(&faults, out))?;
        // Held until it is done: what lies there of another import is of one that was killed, and what is there is read now.
        let _alone = (!self.dry_run).then(|| alone_in(&settings.partners)).transpose()?;
        let (settings, partners) = load().or_else(|faults| self.refused(&faults, out))?;
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
        let own = Own::of(&settings)?;
        let imported = read_cpa(&Bytes::from(octets))
            .and_then(|cpa| import_cpa(&cpa, &own, &partners.registry, &options, now()));
        let imported = imported.or_else(|findings| self.tell(&findings, out))?;
        let registered = partners.registry.party(&imported.party).is_some();
        if self.dry_run {
            return self.show(&imported, registered, out);
        }
        let left = remove_left(&settings.partners)?;
        for left in left.iter().filter(|_| !self.source.json) {
            writeln!(
                out,
                "{}: note: an import that did not end left it behind; it is removed",
                left.display()
            )?;
        }
        let written = if registered {
            add_agreement(&partners, &imported)?
        } else {
            new_partner(&settings.partners, &imported)?
        };
        // Checked as if it were in its place, where nobody sees it before it is found in order.
        let candidate = Candidate { file: &written.file, text_at: &written.aside };
        let mut faults = crate::config::load_with(path, Some(&candidate)).err().unwrap_or_default();
        faults.retain(|fault| !before.contains(fault));
        if !faults.is_empty() {
            return self.refused(&faults, out);
        }
        let file = written.file.display().to_string();
        written.put_in_place()?;
        if self.source.json {
            let told = json!({ "party": imported.party, "file": file, "new": !registered, "notes": imported.notes,
                "removed": left });
            return Ok(writeln!(out, "{told}")?);
        }
        self.note(&imported, out)?;
        Ok(writeln!(out, "{} is in {file}; `gwanmun reload` puts it in force", imported.party)?)
    }

    fn note(&self, imported: &Imported, out: &mut dyn Write) -> Result<()> {
        for note in &imported.notes {
            writeln!(out, "{}: note: {note}", self.file.display())?;
        }
        Ok(())
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
            let shown = json!({ "party": imported.party, "head": head, "agreement": imported.agreement,
                "notes": imported.notes });
            return Ok(writeln!(out, "{shown}")?);
        }
        self.note(imported, out)?;
        if !registered {
            writeln!(out, "{}", imported.head)?;
        }
        Ok(write!(out, "{}", imported.agreement)?)
    }
}

/// What is written beside its place. Certificates are in theirs: no partner file names them yet. All of it goes
/// again, unless it is put in place.
struct Written {
    file: PathBuf,
    aside: PathBuf,
    certificates: Vec<PathBuf>,
    is_in_place: bool,
}

impl Written {
    fn put_in_place(mut self) -> Result<()> {
        fs::rename(&self.aside, &self.file).with_context(|| self.file.display().to_string())?;
        self.is_in_place = true;
        synced_directory(&self.file)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if !self.is_in_place {
            for path in self.certificates.iter().chain([&self.aside]) {
                // What cannot be removed is named by nothing, and the next import writes over it.
                drop(fs::remove_file(path));
            }
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "what is over is over by the clock of this command")]
fn now() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}

/// Waits for other imports into a directory, and keeps them out of it for as long as it is open.
fn alone_in(directory: &Path) -> Result<fs::File> {
    let opened = fs::File::open(directory).with_context(|| directory.display().to_string())?;
    flock(&opened, FlockOperation::LockExclusive)
        .with_context(|| format!("{} cannot be locked", directory.display()))?;
    Ok(opened)
}

/// Removes what an import that was killed left beside its place.
fn remove_left(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut left = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == ASIDE) {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
            left.push(path);
        }
    }
    left.sort();
    Ok(left)
}

/// A file of its own for a partner, its certificates beside it.
fn new_partner(directory: &Path, imported: &Imported) -> Result<Written> {
    let file = directory.join(&imported.file);
    if file.exists() {
        bail!("{} is there, and is not the file of {}: move it away", file.display(), imported.party);
    }
    let mut written = Written { aside: beside(&file), file, certificates: Vec::new(), is_in_place: false };
    for certificate in &imported.certificates {
        let path = directory.join(&certificate.file);
        // Named by its octets: what is there already is the same.
        if !path.exists() {
            let aside = beside(&path);
            write_synced(&aside, &certificate.pem)?;
            fs::rename(&aside, &path).with_context(|| path.display().to_string())?;
            written.certificates.push(path);
        }
    }
    write_synced(&written.aside, &format!("{}\n{}", imported.head, imported.agreement))?;
    Ok(written)
}

/// The agreement behind what is in the partner's file, which names the certificates of the CPA already.
fn add_agreement(partners: &Partners, imported: &Imported) -> Result<Written> {
    let file = partners.files.get(&imported.party).context("a partner is read from a file")?.clone();
    let before = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let written = Written { aside: beside(&file), file, certificates: Vec::new(), is_in_place: false };
    write_synced(&written.aside, &format!("{}\n\n{}", before.trim_end(), imported.agreement))?;
    Ok(written)
}

/// Where a file is written before it is put in its place: a name that no directory of partners is read by.
fn beside(path: &Path) -> PathBuf {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".");
    aside.push(ASIDE);
    PathBuf::from(aside)
}

/// What files that are written beside their place end with, and no others.
const ASIDE: &str = "importing";

fn write_synced(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let mut file = fs::File::create(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().with_context(|| path.display().to_string())
}

fn synced_directory(file: &Path) -> Result<()> {
    let directory = file.parent().unwrap_or_else(|| Path::new("."));
    let synced = fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.with_context(|| directory.display().to_string())
}

impl ExportArgs {
    fn run(&self, out: &mut dyn Write) -> Result<()> {
        let loaded = self.source.load(out)?;
        let _: crate::transport::Endpoint =
            self.endpoint.parse().context("--endpoint is no URL such as https://host:8443/ebms")?;
        let agreement = CpaId::new(self.cpa_id.as_str()).ok();
        let agreement = agreement.and_then(|id| loaded.partners.registry.agreement(&id));
        let agreement = agreement.with_context(|| format!("there is no agreement {}", self.cpa_id))?;
        Ok(writeln!(out, "{}", export_cpa(&loaded, agreement, &self.endpoint, now())?)?)
    }
}
