//! `gwanmun inspect`: takes a captured message apart and says whether it would be let in, and why not.
//!
//! The verdict is `security`'s and `msh`'s, under an agreement that lets the message do what it says. Looks at files
//! and at nothing else: no gateway is asked, no reference is followed.

mod capture;
mod report;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use openssl::x509::X509;

use self::report::{InspectReport, SchemaVerdict};
use super::rules::{catalogue, now, rule_set};
use crate::codec::catalogue::Catalogue;
use crate::config::NamedProfile;
use crate::engine::{PartContent, look_at_documents};
use crate::model::{Declaration, Document, EbxmlError, Message, PartyKey, Payload, Timestamp};
use crate::msh::{AgePolicy, check_arrival};
use crate::routing::{EnvelopeQuery, RuleSet};
use crate::security::{Capture, InspectedPart, InspectedSignature, Inspection, inspect};

/// Take a captured message apart and tell whether it would be let in
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
FILE is what was captured: a raw HTTP request or response, a MIME entity with or without its header, or a bare SOAP
envelope. Its form is guessed unless it is given. Each Reference of the signature is told with what it covers, the
digest that was signed and the one that is found; so is what no digest covers. --write puts the digested octets into
files, to be compared with what the signer digested.

The message is looked at under an agreement that lets it do what it says, at its own Timestamp unless --at gives
another. Trusted are the certificates of --signer, and the one inside the message only when
--trust-message-certificate says so: it proves nothing about who sent it.

Exit 0 when the message would be let in as far as it alone can tell, 1 when not, with the rule and its section.

Example:
  gwanmun inspect captured.http --signer broker.crt
  gwanmun inspect --mime body.bin --trust-message-certificate --write digested/
  gwanmun inspect envelope.xml --part decl-1@broker.example=declaration.xml --signer broker.crt
  gwanmun inspect captured.http --signer broker.crt --rules routing-rules/kr-import --json")]
pub struct InspectArgs {
    /// The captured message
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// It is an HTTP request or response
    #[arg(long, group = "form")]
    http: bool,
    /// It is a MIME entity, with or without its header
    #[arg(long, group = "form")]
    mime: bool,
    /// It is a SOAP envelope alone
    #[arg(long, group = "form")]
    xml: bool,
    /// A certificate that is trusted to sign it, PEM; repeat for several
    #[arg(long, value_name = "CERT.pem")]
    signer: Vec<PathBuf>,
    /// Trust the certificate inside the message, for looking at foreign captures
    #[arg(long)]
    trust_message_certificate: bool,
    /// A part that belongs to a bare envelope; repeat for several
    #[arg(long, value_name = "CONTENT-ID=FILE", value_parser = part)]
    part: Vec<(String, PathBuf)>,
    /// The partner profile that it is held against: strict, standard, digikoppeling, digikoppeling-plain, nhs-spine, norwegian-health or phinms
    #[arg(long, value_name = "NAME", default_value = "strict", value_parser = crate::config::profile)]
    profile: &'static NamedProfile,
    /// When it is looked at, an instant with offset; its own Timestamp, when left out
    #[arg(long, value_name = "TIME", value_parser = super::rules::instant)]
    at: Option<Timestamp>,
    /// Tell how it would be routed by this rule directory
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
    /// A directory of documents and codes, as `[documents]` of the settings names one
    #[arg(long, value_name = "DIR")]
    documents: Option<PathBuf>,
    /// Write the octets that were digested into this directory
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// For machines
    #[arg(long)]
    json: bool,
}

/// What a file was captured as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
enum Form {
    Http,
    Mime,
    Xml,
}

fn part(text: &str) -> Result<(String, PathBuf), String> {
    let (content_id, file) = text.split_once('=').ok_or("expected CONTENT-ID=FILE")?;
    Ok((content_id.to_owned(), file.into()))
}

impl InspectArgs {
    /// Looks and tells.
    ///
    /// # Errors
    /// When a file cannot be read, or the message would not be let in; why has been told.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let octets = read(&self.file)?;
        let mut captured = capture::read(octets.into(), self.form())?;
        let parts = self.part.iter().map(|(content_id, file)| Ok((content_id.clone(), read(file)?)));
        captured.enclose(&parts.collect::<Result<Vec<_>>>()?)?;
        let signers = self.signer.iter().map(|file| {
            let certificate = X509::from_pem(&read(file)?);
            let der = certificate.and_then(|certificate| certificate.to_der());
            der.with_context(|| format!("{} is no certificate in PEM", file.display()))
        });
        let signers = signers.collect::<Result<Vec<_>>>()?;
        let inspection = inspect(&Capture {
            content_type: &captured.content_type,
            body: &captured.body.clone().into(),
            signers: &signers,
            trust_message_certificate: self.trust_message_certificate,
            profile: self.profile.profile.clone(),
            terms: self.profile.terms.clone(),
            at: self.at,
        });
        let added = self.documents.as_deref();
        let documents = documents(&inspection, &*catalogue(added)?)?;
        let routing = match &self.rules {
            Some(directory) => Some(routed(&inspection, rule_set(directory, added)?.as_ref(), &documents)),
            None => None,
        };
        let report = InspectReport::of(&captured, &inspection, documents, arrival(&inspection), routing);
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
        } else {
            report.tell(out)?;
        }
        if let Some(directory) = &self.write {
            write_digested(directory, inspection.signature.as_ref())?;
        }
        ensure!(report.accepted, "the message would be refused");
        Ok(())
    }

    const fn form(&self) -> Option<Form> {
        match (self.http, self.mime, self.xml) {
            (true, ..) => Some(Form::Http),
            (_, true, _) => Some(Form::Mime),
            (.., true) => Some(Form::Xml),
            _ => None,
        }
    }
}

fn read(file: &PathBuf) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// What the message layer would say: age, TimeToLive, modules.
fn arrival(inspection: &Inspection) -> Vec<EbxmlError> {
    match (&inspection.message, &inspection.looked_at) {
        (Some(message), Some((agreement, at))) => {
            check_arrival(message, agreement, *at, AgePolicy::default())
        }
        _ => Vec::new(),
    }
}

/// The documents as the gateway reads them.
#[derive(Debug, Default)]
struct InspectedDocuments {
    /// What each part but the first is.
    verdicts: Vec<SchemaVerdict>,
    /// What is wrong with them.
    errors: Vec<EbxmlError>,
    declaration: Option<Declaration>,
}

fn documents(inspection: &Inspection, catalogue: &Catalogue) -> Result<InspectedDocuments> {
    let parts = inspection.parts.get(1..).unwrap_or_default();
    let at = inspection.looked_at.as_ref().map_or_else(now, |(_, at)| *at);
    let Some(message) = &inspection.message else {
        let verdicts = parts.iter().map(|_| SchemaVerdict::Attachment).collect();
        return Ok(InspectedDocuments { verdicts, ..InspectedDocuments::default() });
    };
    let read = look_at_documents(catalogue, message, at).context("a part cannot be read")?;
    let content_of = |part: &InspectedPart| {
        let is_it = |payload: &Payload| part.named && Some(&payload.content_id) == part.known_as.as_ref();
        read.parts().get(message.payloads.iter().position(is_it)?)
    };
    let verdicts = parts.iter().map(|part| content_of(part).map_or(SchemaVerdict::Attachment, verdict));
    let declaration = read.parts().iter().find_map(|part| match part {
        PartContent::Document { document, .. } => match &**document {
            Document::Declaration(declaration) => Some(declaration.clone()),
            _ => None,
        },
        _ => None,
    });
    Ok(InspectedDocuments { verdicts: verdicts.collect(), errors: read.errors(message), declaration })
}

fn verdict(content: &PartContent) -> SchemaVerdict {
    match content {
        PartContent::Attachment => SchemaVerdict::Attachment,
        PartContent::Unknown(code) => SchemaVerdict::Unknown { code: code.clone() },
        PartContent::Document { code, .. } => SchemaVerdict::Valid { code: code.clone() },
        PartContent::Faulty { code, findings, .. } => {
            SchemaVerdict::Faulty { code: code.clone(), findings: findings.clone() }
        }
    }
}

/// Where the rules would send it, in sentences.
fn routed(inspection: &Inspection, rules: &RuleSet, documents: &InspectedDocuments) -> Vec<String> {
    let (Some(message), Some((_, at))) = (&inspection.message, &inspection.looked_at) else {
        return vec!["not asked: the message cannot be read".to_owned()];
    };
    let mut told = vec![envelope(message, rules)];
    if let Some(declaration) = &documents.declaration {
        let plan = rules.plan(declaration, *at);
        if plan.applications.is_empty() {
            told.push("no agency is asked".to_owned());
        }
        told.extend(plan.applications.iter().map(|planned| {
            let lines: Vec<_> = planned.items.iter().map(u16::to_string).collect();
            let rules: Vec<_> = planned.rules.iter().map(ToString::to_string).collect();
            let (agency, document) = (&planned.agency, &planned.document);
            format!("{agency} gets {document} for line {} by {}", lines.join(", "), rules.join(", "))
        }));
    }
    told
}

fn envelope(message: &Message, rules: &RuleSet) -> String {
    let header = &message.header;
    let from = header.from.ids.first().and_then(|id| PartyKey::new(id.value.clone()).ok());
    let from = from.unwrap_or_else(|| PartyKey::new("unknown").expect("the text is plain"));
    let query = EnvelopeQuery {
        service: &header.service.value,
        action: &header.action,
        from_role: header.from.role.as_ref(),
        from: &from,
        cpa: &header.cpa_id,
    };
    match rules.envelope(&query) {
        Some(rule) => format!("envelope rule {}: pipeline {:?}", rule.id, rule.pipeline),
        None => "no envelope rule knows it: it would be quarantined".to_owned(),
    }
}

/// One file for each Reference, numbered from 1, and one for SignedInfo.
fn write_digested(directory: &PathBuf, signature: Option<&InspectedSignature>) -> Result<()> {
    let Some(signature) = signature else { bail!("there is no signature: nothing was digested") };
    if let Some(why) = &signature.outside_profile {
        bail!("nothing was digested: {why}");
    }
    fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let write = |name: String, octets: &[u8]| {
        let file = directory.join(name);
        fs::write(&file, octets).with_context(|| format!("cannot write {}", file.display()))
    };
    write("signed-info.xml".to_owned(), &signature.signed_info)?;
    for (number, reference) in (1..).zip(&signature.references) {
        if reference.octets.is_some() {
            write(format!("reference-{number}"), reference.digested.held())?;
        }
    }
    Ok(())
}
