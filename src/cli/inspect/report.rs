//! What was found in a captured message, for people and for machines.

use std::io::Write;

use anyhow::Result;
use serde::Serialize;

use super::super::ask::plain;
use super::capture::Captured;
use super::{Form, InspectedDocuments};
use crate::model::{
    DocumentCode, EbxmlError, Finding, Message, MessageHeader, MessageKind, PartyRef, Reference,
};
use crate::security::{
    InspectedPart, InspectedSignature, Inspection, ReferenceVerdict, Refusal, RefusalAnswer, RefusalCause,
};

/// What was found.
#[derive(Debug, Serialize)]
pub(super) struct InspectReport {
    /// The message would be let in, as far as it alone can tell.
    pub(super) accepted: bool,
    form: Form,
    start_line: Option<String>,
    fields: Vec<(String, String)>,
    content_type: String,
    header: Option<MessageHeader>,
    modules: Vec<String>,
    manifest: Vec<ManifestEntry>,
    parts: Vec<PartReport>,
    signature: Option<InspectedSignature>,
    routing: Option<Vec<String>>,
    /// Parts that a bare envelope names and that were not captured with it.
    not_captured: Vec<String>,
    reasons: Vec<Reason>,
}

/// A Reference of the Manifest.
#[derive(Debug, Serialize)]
struct ManifestEntry {
    href: String,
    role: Option<String>,
}

/// A part and what it is.
#[derive(Debug, Serialize)]
struct PartReport {
    #[serde(flatten)]
    part: InspectedPart,
    octets: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<SchemaVerdict>,
}

/// What a part is, and what its schema says.
#[derive(Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub(super) enum SchemaVerdict {
    /// No document; passed on unread.
    Attachment,
    /// A document that no schema here knows.
    Unknown {
        /// Its code.
        code: DocumentCode,
    },
    /// A document without fault.
    Valid {
        /// Its code.
        code: DocumentCode,
    },
    /// A document with faults.
    Faulty {
        /// Its code.
        code: DocumentCode,
        /// All of them.
        findings: Vec<Finding>,
    },
}

/// Why the message would be refused.
#[derive(Debug, Serialize)]
struct Reason {
    /// ErrorCode, or the SOAP fault code.
    code: String,
    location: Option<String>,
    text: String,
    /// The rule that is broken.
    rule: &'static str,
    /// Where the rule stands.
    section: &'static str,
}

impl InspectReport {
    pub(super) fn of(
        captured: &Captured,
        inspection: &Inspection,
        documents: InspectedDocuments,
        arrival: Vec<EbxmlError>,
        routing: Option<Vec<String>>,
    ) -> Self {
        let frame = captured.faults.iter().map(|fault| Reason {
            code: "HTTP 400".to_owned(),
            location: None,
            text: fault.clone(),
            rule: "the frame holds the whole entity",
            section: "RFC 9112, 6 and 7",
        });
        let mut reasons: Vec<_> = frame.collect();
        let not_captured = parts_not_captured(captured, inspection);
        let refusal = inspection.refusal.as_ref().filter(|_| not_captured.is_empty());
        reasons.extend(refusal.into_iter().flat_map(reasons_of));
        reasons.extend(arrival.into_iter().map(|error| Reason {
            rule: "age, TimeToLive and modules are as agreed",
            section: "ebMS 2.0, 3.1.6.4, 4.3.1, 6.4",
            ..Reason::of(error)
        }));
        reasons.extend(documents.errors.into_iter().map(|error| Reason {
            rule: "a document keeps its schema and code lists",
            section: "schemas/",
            ..Reason::of(error)
        }));
        let verdicts = std::iter::once(None).chain(documents.verdicts.into_iter().map(Some));
        let parts = inspection.parts.iter().cloned().zip(verdicts);
        let message = inspection.message.as_ref();
        Self {
            accepted: reasons.is_empty(),
            form: captured.form,
            start_line: captured.start_line.clone(),
            fields: captured.fields.clone(),
            content_type: captured.content_type.clone(),
            header: message.map(|message| message.header.clone()).or_else(|| {
                inspection.refusal.as_ref().and_then(|refusal| refusal.header.as_deref().cloned())
            }),
            modules: message.map(modules).unwrap_or_default(),
            manifest: manifest(message),
            parts: parts
                .map(|(part, document)| PartReport { octets: part.body.bytes(), document, part })
                .collect(),
            signature: inspection.signature.clone(),
            routing,
            not_captured,
            reasons,
        }
    }

    /// For people.
    pub(super) fn tell(&self, out: &mut dyn Write) -> Result<()> {
        let form = match self.form {
            Form::Http => "HTTP",
            Form::Mime => "MIME entity",
            Form::Xml => "SOAP envelope alone",
        };
        writeln!(out, "{form}  {}", plain(self.start_line.as_deref().unwrap_or_default()))?;
        writeln!(out, "  Content-Type  {}", plain(&self.content_type))?;
        if let Some(header) = &self.header {
            tell_header(header, out)?;
        }
        for module in &self.modules {
            writeln!(out, "  {module}")?;
        }
        writeln!(out, "\nParts")?;
        for (number, part) in (1..).zip(&self.parts) {
            tell_part(number, part, out)?;
        }
        for entry in &self.manifest {
            let role = entry.role.as_deref().unwrap_or("no role");
            writeln!(out, "  Manifest: {} ({})", plain(&entry.href), plain(role))?;
        }
        match &self.signature {
            Some(signature) => tell_signature(signature, &self.parts, out)?,
            None => writeln!(out, "\nSignature\n  none: nothing of the message is covered")?,
        }
        if let Some(routing) = &self.routing {
            writeln!(out, "\nRouting")?;
            routing.iter().try_for_each(|line| writeln!(out, "  {}", plain(line)))?;
        }
        if !self.not_captured.is_empty() {
            let parts = plain(&self.not_captured.join(", "));
            writeln!(out, "\nNothing can be told of what was not captured: {parts}; see --part")?;
        }
        if self.accepted {
            return Ok(writeln!(out, "\nIt would be let in, as far as it alone can tell.")?);
        }
        writeln!(out, "\nIt would be refused:")?;
        for reason in &self.reasons {
            let at = reason.location.as_deref().map(|at| format!(" at {at}")).unwrap_or_default();
            writeln!(out, "  {}{}: {}", reason.code, plain(&at), plain(&reason.text))?;
            writeln!(out, "    the rule: {} ({})", reason.rule, reason.section)?;
        }
        Ok(())
    }
}

impl Reason {
    fn of(error: EbxmlError) -> Self {
        Self {
            code: error.code.to_string(),
            location: error.location,
            text: error.description,
            rule: "",
            section: "",
        }
    }
}

/// What a bare envelope names, when nothing else is wrong with it: the capture cannot tell what its parts were.
fn parts_not_captured(captured: &Captured, inspection: &Inspection) -> Vec<String> {
    let digests = inspection.signature.iter().flat_map(|signature| &signature.references);
    let alone = captured.form == Form::Xml
        && inspection.parts.len() == 1
        && digests.into_iter().all(|reference| reference.verdict != ReferenceVerdict::Differs);
    match &inspection.refusal {
        Some(Refusal { cause: RefusalCause::Manifest, .. }) if alone => {
            manifest(inspection.message.as_ref()).into_iter().map(|entry| entry.href).collect()
        }
        _ => Vec::new(),
    }
}

fn reasons_of(refusal: &Refusal) -> Vec<Reason> {
    let (rule, section) = refusal.cause.rule();
    let one = |code: String| vec![Reason { code, location: None, text: refusal.text.clone(), rule, section }];
    match &refusal.answer {
        RefusalAnswer::Errors(errors) => {
            let mut reasons: Vec<_> =
                errors.iter().map(|error| Reason { rule, section, ..Reason::of(error.clone()) }).collect();
            // What the peer hears is short; the person who looks gets the detail.
            if let [only] = reasons.as_mut_slice() {
                only.text.clone_from(&refusal.text);
            }
            reasons
        }
        RefusalAnswer::Fault(fault) => one(format!("SOAP fault {:?}", fault.code)),
        RefusalAnswer::Http(_) => one("not answered".to_owned()),
    }
}

fn modules(message: &Message) -> Vec<String> {
    let kind = match message.kind {
        MessageKind::User => "user message".to_owned(),
        MessageKind::Signal(signal) => format!("signal {}", signal.as_str()),
    };
    let mut modules = vec![format!("kind            {kind}")];
    if message.header.duplicate_elimination {
        modules.push("DuplicateElimination".to_owned());
    }
    if message.sync_reply {
        modules.push("SyncReply".to_owned());
    }
    for asked in &message.ack_requested {
        let signed = if asked.signed { "signed" } else { "unsigned" };
        modules.push(format!("AckRequested    {signed}, of {}", asked.actor.uri()));
    }
    for acknowledgment in &message.acknowledgments {
        let (about, digests) = (&acknowledgment.ref_to_message_id, acknowledgment.references.len());
        modules.push(format!("Acknowledgment  of {about}, {digests} digest(s)"));
    }
    for error in message.error_list.iter().flat_map(|list| &list.errors) {
        modules.push(format!("Error           {}: {}", error.code, plain(&error.description)));
    }
    modules
}

fn manifest(message: Option<&Message>) -> Vec<ManifestEntry> {
    let references =
        message.and_then(|message| message.manifest.as_ref()).map(|manifest| &manifest.references);
    let entry = |reference: &Reference| ManifestEntry {
        href: reference.href.to_string(),
        role: reference.role.as_ref().map(ToString::to_string),
    };
    references.into_iter().flatten().map(entry).collect()
}

fn tell_header(header: &MessageHeader, out: &mut dyn Write) -> Result<()> {
    let party = |party: &PartyRef| {
        let ids: Vec<_> = party.ids.iter().map(ToString::to_string).collect();
        let role = party.role.as_ref().map(|role| format!(" as {role}")).unwrap_or_default();
        plain(&format!("{}{role}", ids.join(", ")))
    };
    let data = &header.data;
    writeln!(out, "\nMessageHeader")?;
    writeln!(out, "  From            {}", party(&header.from))?;
    writeln!(out, "  To              {}", party(&header.to))?;
    writeln!(out, "  CPAId           {}", plain(header.cpa_id.as_str()))?;
    writeln!(out, "  ConversationId  {}", plain(header.conversation_id.as_str()))?;
    writeln!(out, "  Service, Action {} {}", plain(&header.service.value), plain(&header.action))?;
    writeln!(out, "  MessageId       {}", plain(data.message_id.as_str()))?;
    if let Some(about) = &data.ref_to_message_id {
        writeln!(out, "  RefToMessageId  {}", plain(about.as_str()))?;
    }
    writeln!(out, "  Timestamp       {}", data.timestamp)?;
    if let Some(limit) = data.time_to_live {
        writeln!(out, "  TimeToLive      {limit}")?;
    }
    Ok(())
}

fn tell_part(number: usize, report: &PartReport, out: &mut dyn Write) -> Result<()> {
    let part = &report.part;
    let id = part.content_id.as_ref().map_or("without Content-ID", |id| id.as_str());
    let named = if part.named { "" } else { ", not in the Manifest" };
    let signed = if part.signed { "signed" } else { "NOT SIGNED" };
    let (kind, octets) = (&part.media_type, report.octets);
    writeln!(out, "  {number} {} {} {octets} octets, {signed}{named}", plain(id), plain(kind))?;
    match &report.document {
        None | Some(SchemaVerdict::Attachment) => Ok(()),
        Some(SchemaVerdict::Unknown { code }) => Ok(writeln!(out, "    {code}: no schema here knows it")?),
        Some(SchemaVerdict::Valid { code }) => {
            Ok(writeln!(out, "    {code}: keeps its schema and code lists")?)
        }
        Some(SchemaVerdict::Faulty { code, findings }) => {
            Ok(writeln!(out, "    {code}: {} finding(s), see below", findings.len())?)
        }
    }
}

fn tell_signature(signature: &InspectedSignature, parts: &[PartReport], out: &mut dyn Write) -> Result<()> {
    writeln!(out, "\nSignature at {}", signature.path)?;
    writeln!(out, "  method  {}", plain(&signature.method))?;
    for certificate in &signature.certificates {
        let trusted = if certificate.trusted { "trusted" } else { "not trusted" };
        let (subject, issuer) = (plain(&certificate.subject), plain(&certificate.issuer));
        writeln!(
            out,
            "  holds the certificate of {subject}, by {issuer}, until {}; {trusted}",
            certificate.not_after
        )?;
        writeln!(out, "    SHA-256 {}", certificate.fingerprint)?;
    }
    match (&signature.outside_profile, &signature.signed_by) {
        (Some(why), _) => writeln!(out, "  nothing was computed: {}", plain(why))?,
        (None, Some(by)) => writeln!(out, "  value   of SignedInfo and the trusted certificate {by}")?,
        (None, None) => writeln!(out, "  value   of no trusted certificate; see --signer")?,
    }
    for (number, reference) in (1..).zip(&signature.references) {
        let what = match reference.uri.as_str() {
            "" => "the envelope",
            uri => uri,
        };
        let verdict = match reference.verdict {
            ReferenceVerdict::Matches => "matches",
            ReferenceVerdict::Differs => "DIFFERS",
            ReferenceVerdict::MissingPart => "no such part here",
            ReferenceVerdict::NotComputed => "not computed",
        };
        let octets = reference.octets.map(|octets| format!(", {octets} octets digested")).unwrap_or_default();
        writeln!(out, "  {number} covers {}: {verdict}{octets}", plain(what))?;
        writeln!(out, "    signed {}", plain(&reference.expected))?;
        if let Some(found) = &reference.found {
            writeln!(out, "    found  {found}")?;
        }
        for transform in &reference.transforms {
            writeln!(out, "    transform {}", plain(transform))?;
        }
    }
    for left_out in &signature.left_out {
        let allowed = if left_out.allowed { "steers nothing" } else { "MAY NOT STAND THERE" };
        writeln!(out, "  not covered: {} ({allowed})", plain(&left_out.path))?;
    }
    for part in parts.iter().filter(|part| !part.part.signed) {
        let id = part.part.content_id.as_ref().map_or("a part without Content-ID", |id| id.as_str());
        writeln!(out, "  not covered: the part {}", plain(id))?;
    }
    Ok(())
}
