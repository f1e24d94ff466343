//! `gwanmun send`: lodges documents as a partner and waits for the receipt, and, asked to, for what comes of
//! it.
//!
//! Checks no document: what is wrong with one is the gateway's to say, and is printed as it says it. The
//! results come to the partner's own listener; `--wait` reads them in its journal.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::arrived::octets_of_file;
use super::check::check;
use super::command::{load, now};
use super::hear;
use super::inquiry::{goods, inquire, month, taken_in};
use super::journal::{Ending, Entry, Journal, Received};
use super::numbers::used;
use super::outcome::Outcome;
use super::partner::{Letter, Outgoing, Partner};
use super::question::Question;
use crate::codec::catalogue::Catalogue;
use crate::codec::xml::{XmlLimits, XmlTree};
use crate::model::{
    Asked, ContentId, ConversationId, Digest, DocumentCode, MessageId, Payload, Presence, Timestamp,
    role_of_document_code,
};

/// Send documents to the gateway as a partner, and print the receipt
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct SendArgs {
    /// The partner's own settings
    #[arg(long, value_name = "PARTY.toml")]
    config: PathBuf,
    /// Documents, the declaration first, then applications and what is attached to them
    #[arg(required_unless_present = "question", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Send nothing: ask whether the gateway is there, under every agreement with it that is in force
    #[arg(long, group = "question", conflicts_with_all = ["files", "wait"])]
    ping: bool,
    /// Send a signed message without documents, for its receipt alone, under every agreement in force that names
    /// `Test Test`
    #[arg(long, group = "question", conflicts_with_all = ["files", "wait"])]
    test: bool,
    /// Send nothing: ask what has become of a message
    #[arg(long, group = "question", value_name = "MESSAGE_ID", conflicts_with_all = ["files", "wait"])]
    status: Option<MessageId>,
    /// Ask where a case stands and how it got there, by any key that leads to it
    #[arg(long, group = "question", value_name = "KEY", conflicts_with_all = ["files", "wait"])]
    query: Option<Arc<str>>,
    /// Ask which laws, agencies and documents goods need: HS code, then origin and usage if they are known
    #[arg(long, group = "question", value_name = "GOODS", conflicts_with_all = ["files", "wait"], value_parser = goods)]
    requirements: Option<Asked>,
    /// Ask for figures of our own applications of a month, such as 2026-11, or of the running one: now
    #[arg(long, group = "question", value_name = "MONTH", conflicts_with_all = ["files", "wait"], value_parser = month)]
    statistics: Option<Asked>,
    /// Have a message that the gateway sent to us come again, as it was
    #[arg(long, group = "question", value_name = "MESSAGE_ID", conflicts_with_all = ["files", "wait"])]
    again: Option<MessageId>,
    /// Rehearse: under the agreement for practice, with practice partners, without effect
    #[arg(long, conflicts_with_all = ["ping", "test", "status"])]
    practice: bool,
    /// ConversationId; the number of the first document without, behind `practice-` in practice
    #[arg(long, value_name = "ID")]
    conversation: Option<String>,
    /// Lodge nothing: have the gateway check the documents, and say what would come of them
    #[arg(long, conflicts_with = "wait")]
    check: bool,
    /// Print what comes of it, until customs has decided
    #[arg(long)]
    wait: bool,
    /// How long to wait for that
    #[arg(long, default_value = "10m", value_name = "TIME", value_parser = crate::model::parse_duration)]
    patience: Duration,
    /// For machines
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
XML files whose root is a document of the gateway are documents; other files are attachments. The Content-ID of an
attachment is NAME@DOMAIN, with the file's name and the domain in PARTY.toml; a document names it in its
AttachedDocument. An application sent later goes with --conversation and the declaration's number.

With --practice nothing has effect: an agreement of PARTY.toml with practice = true is used, and agencies and customs are
practice partners, which do what is written behind SIM: in a remark of a document (`gwanmun practice --help`). A
declaration with FunctionCode 53 is practice under any agreement.

With --check the gateway takes the documents all the way to its decision and keeps nothing: it answers with every finding
(schema, code lists, cross-field rules, numbers that are taken), or with where each document would go and what is still
missing. PARTY.toml then has [api] endpoint.

Exit code 1 when the gateway refuses, or with --check would refuse, gives no receipt, or, with --wait, no decision of
customs comes in time.

--query, --requirements and --statistics send a query (GOVCBRXS1) and print the answer that comes to the partner's
listener. Only a party of a case hears of it; an agency of its own applications alone.

Receipts are read on the connection. Under responseOnly and signalsAndResponse the answer comes there too, with the
receipt in it: it is printed, acknowledged, and nobody has to listen for it; where no acknowledgment is agreed, the answer alone
says that the gateway has taken it. Under sync_reply_mode none the gateway posts
receipts and answers by themselves: the partner's listener (`gwanmun practice` with the same PARTY.toml) notes them in its
journal, where this command waits for them. When nobody listens, documents are sent all the same; what is printed then is
that the gateway has taken them, and where the receipt comes to.

Where the agreement has message_order each message gets the next number of its conversation; which were given stands in
numbers.jsonl beside the journal. A number is used once: what comes after a message that never arrived is held at the
gateway until its operator releases the conversation.

The answer to --status is Processed (accepted), Received (kept, but refused or in quarantine), NotRecognized (never
came from us, or is forgotten) or UnAuthorized.

Examples:
  gwanmun send --config broker.toml examples/929.xml examples/X01.xml examples/X02.xml --wait
  gwanmun send --config broker.toml --practice examples/929.xml examples/X01.xml --wait
  gwanmun send --config broker.toml --query 1234526464251X
  gwanmun send --config broker.toml --requirements '1211901000 CN SALE'
  gwanmun send --config broker.toml --statistics now
  gwanmun send --config broker.toml --again 7c2ou3ckd3nq5wz6ue5b3ruz5xq4v3hd@sw.example
  gwanmun send --config broker.toml --check examples/929.xml examples/X01.xml
  gwanmun send --config broker.toml --ping
  gwanmun send --config broker.toml --test
  gwanmun send --config broker.toml --status 6xk2@broker.practice";

/// What the gateway has confirmed, or taken.
#[derive(Clone, Debug, Serialize)]
struct Receipt {
    message_id: MessageId,
    conversation_id: ConversationId,
    action: Arc<str>,
    documents: Vec<Enclosed>,
    sent_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledged_at: Option<Timestamp>,
    /// When the gateway took it, where no receipt is heard here.
    #[serde(skip_serializing_if = "Option::is_none")]
    taken_at: Option<Timestamp>,
}

/// A document or attachment that was enclosed.
#[derive(Clone, Debug, Serialize)]
struct Enclosed {
    file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<DocumentCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    content_id: ContentId,
    digest: Digest,
}

impl SendArgs {
    /// Sends, or asks, and says what came of it.
    ///
    /// # Errors
    /// When a file cannot be read, or no receipt or answer comes.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let mut settings = load(&self.config)?;
        if self.practice {
            settings = settings.in_practice().with_context(|| {
                let config = self.config.display();
                format!("no agreement in {config} has practice = true; or write FunctionCode 53 in the declaration")
            })?;
        }
        let partner = Partner::new(settings)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let asks = self.query.clone().map(Asked::Status);
        let asks = asks.or_else(|| self.requirements.clone()).or_else(|| self.statistics.clone());
        if let Some(asks) = asks.or_else(|| self.again.clone().map(Asked::Redelivery)) {
            return runtime.block_on(inquire(&partner, asks, self.patience, self.json, out));
        }
        let asked = self.status.clone().map(Question::Status);
        let asked = asked.or(self.ping.then_some(Question::Ping)).or(self.test.then_some(Question::Test));
        match asked {
            Some(question) => runtime.block_on(question.ask(&partner, self.patience, self.json, out)),
            None => runtime.block_on(self.send(&partner, out)),
        }
    }

    async fn send(&self, partner: &Partner, out: &mut dyn Write) -> Result<()> {
        let settings = partner.settings();
        let mut enclosed = Vec::with_capacity(self.files.len());
        let mut payloads = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let (told, payload) = enclose(&settings.catalogue, file, &settings.identity.domain)?;
            enclosed.push(told);
            payloads.push(payload);
        }
        let first = enclosed.first().context("there is no file")?;
        let code = first.code.as_ref();
        let code = code.with_context(|| format!("{} is no document of the gateway", first.file.display()))?;
        // The same number may be under way in production: the conversations are told apart.
        let prefix = if settings.realm.is_practice() { "practice-" } else { "" };
        let named = first.number.as_ref().map(|number| format!("{prefix}{number}"));
        let conversation = self.conversation.clone().or(named);
        let conversation_id = ConversationId::new(conversation.context("the first document has no number")?)?;
        let action: Arc<str> = code.as_str().into();
        let service = settings.service_of(&action);
        let service = service.with_context(|| format!("no agreement lets us send {action}"))?;
        let letter = Letter {
            message_id: partner.fresh_id()?,
            conversation_id: conversation_id.clone(),
            ref_to_message_id: None,
            service,
            action: action.clone(),
            payloads,
            acknowledgments: Vec::new(),
            order: None,
        };
        let sent_at = now();
        if self.check {
            let unsent = partner.seal_to_check(letter, sent_at)?;
            return check(partner, &unsent.sealed, self.json, out).await;
        }
        // What can fail here fails before a number is used.
        let journal = Journal::path_in(&settings.directory);
        let (_, before) = Journal::entries_from(&journal, 0)?;
        let (outgoing, order) = partner.seal_in_order(letter, sent_at)?;
        let Outcome { how, reason, response } = hear::deliver(partner, &outgoing).await?;
        let receipt = Receipt {
            message_id: outgoing.message_id.clone(),
            conversation_id,
            action,
            documents: enclosed,
            sent_at,
            acknowledged_at: (how == Ending::Acknowledged).then(now),
            taken_at: (how == Ending::Taken).then(now),
        };
        let number = order.map(|order| used(order, &receipt.conversation_id, how));
        let number = number.map_or_else(String::new, |number| format!("\n{number}"));
        match how {
            Ending::Acknowledged | Ending::Taken => {
                receipt.tell(&unheard(partner, &outgoing)?, self.json, out)?
            }
            Ending::Refused => bail!("the gateway refuses {}:\n{reason}{number}", receipt.message_id),
            Ending::Expired => bail!("no receipt for {}: {reason}{number}", receipt.message_id),
        }
        if let Some(response) = response {
            taken_in(partner, &response).await?.tell(self.json, out)?;
        }
        if self.wait { self.follow(&journal, before, &receipt, out).await } else { Ok(()) }
    }

    /// Prints what the partner's listener takes in about the lodging, until customs has decided.
    async fn follow(
        &self,
        journal: &Path,
        mut at: u64,
        receipt: &Receipt,
        out: &mut dyn Write,
    ) -> Result<()> {
        if !journal.exists() {
            let config = self.config.display();
            eprintln!("nobody listens yet: start `gwanmun practice --role broker --config {config}`");
        }
        let until = Instant::now() + self.patience;
        while Instant::now() < until {
            let (entries, end) = Journal::entries_from(journal, at)?;
            at = end;
            for entry in entries {
                let Entry::Received(received) = entry else { continue };
                if !received.concerns(receipt) {
                    continue;
                }
                received.tell(self.json, out)?;
                if received.decides() {
                    return Ok(());
                }
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("customs has not decided within {}", crate::model::format_duration(self.patience))
    }
}

impl Receipt {
    /// `receipt` says what is known of a receipt that is not heard here.
    fn tell(&self, receipt: &str, json: bool, out: &mut dyn Write) -> Result<()> {
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
        } else {
            let took = |at: Timestamp| at.since(self.sent_at).as_millis();
            if let Some(took) = self.acknowledged_at.map(took) {
                writeln!(
                    out,
                    "acknowledged after {took} ms: stored safely at the gateway, nothing decided yet"
                )?;
            }
            if let Some(took) = self.taken_at.map(took) {
                writeln!(out, "taken by the gateway after {took} ms; {receipt}")?;
            }
            writeln!(out, "  MessageId       {}", self.message_id)?;
            writeln!(out, "  ConversationId  {}", self.conversation_id)?;
            for enclosed in &self.documents {
                let code = enclosed.code.as_ref().map_or("attachment", |code| code.as_str());
                let number = enclosed.number.as_deref().unwrap_or_else(|| enclosed.content_id.as_str());
                writeln!(out, "  {code:<15} {number}  sha-256 {}", enclosed.digest)?;
            }
        }
        Ok(out.flush()?)
    }
}

impl Received {
    fn concerns(&self, receipt: &Receipt) -> bool {
        self.ref_to_message_id.as_ref() == Some(&receipt.message_id)
            || self.conversation_id == receipt.conversation_id
    }

    /// Customs released or dismissed the goods.
    fn decides(&self) -> bool {
        match &*self.action {
            "GOVCBR023" => matches!(&*self.says, "status 13" | "status 14" | "status 15"),
            "GOVCBRR21" => true,
            _ => false,
        }
    }

    fn tell(&self, json: bool, out: &mut dyn Write) -> Result<()> {
        let Self { time, action, says, message_id, .. } = self;
        let about = self.about.as_deref().unwrap_or_default();
        if json {
            writeln!(out, "{}", serde_json::to_string(self)?)?;
        } else {
            writeln!(out, "{time}  {action:<11} {says:<26} {about:<24} {message_id}")?;
        }
        Ok(out.flush()?)
    }
}

/// What is known of the receipt of a message that the gateway took, and of which no more was heard.
fn unheard(partner: &Partner, outgoing: &Outgoing) -> Result<String> {
    Ok(match partner.agreement(&outgoing.cpa_id)?.reliability.ack_requested {
        Presence::Never => "no acknowledgment is agreed".to_owned(),
        _ => format!("its acknowledgment {}", hear::comes_to(partner)),
    })
}

/// A file as a payload, and what is said of it.
fn enclose(catalogue: &Catalogue, file: &Path, domain: &str) -> Result<(Enclosed, Payload)> {
    let body = octets_of_file(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let name = file.file_name().and_then(|name| name.to_str()).context("a file name that is text")?;
    let content_id = ContentId::new(format!("{name}@{domain}"))?;
    let (code, number) = body.as_held().and_then(|octets| identify(catalogue, octets)).unzip();
    let role = code.as_ref().map(|code| role_of_document_code(code).into());
    let media_type: &str = if code.is_some() { "application/xml" } else { media_type_of(file) };
    let digest = body.digest();
    let payload =
        Payload { content_id: content_id.clone(), media_type: media_type.into(), role, body, digest };
    let number = number.flatten();
    Ok((Enclosed { file: file.to_owned(), code, number, content_id, digest }, payload))
}

/// The code and number of a document of the gateway, read from its root without checking anything else.
fn identify(catalogue: &Catalogue, octets: &Bytes) -> Option<(DocumentCode, Option<String>)> {
    let tree = XmlTree::parse(octets.clone(), &XmlLimits::DOCUMENT).ok()?;
    let root = tree.root();
    let (namespace, local) = root.name();
    let code = catalogue.of_root(namespace, local)?.code.clone();
    let number = root.child(namespace, "ID").map(|id| id.text().trim().to_owned());
    Some((code, number.filter(|number| !number.is_empty())))
}

fn media_type_of(file: &Path) -> &'static str {
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("pdf") => "application/pdf",
        Some("xml") => "application/xml",
        Some("png") => "image/png",
        Some("jpg" | "jpeg") => "image/jpeg",
        Some("tif" | "tiff") => "image/tiff",
        Some("txt") => "text/plain",
        _ => "application/octet-stream",
    }
}

const LOOK_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_become_documents_and_attachments() {
        fn check(name: &str, content: &str, code: Option<&str>, number: Option<&str>, media_type: &str) {
            let directory = tempfile::tempdir().expect("makes a directory");
            let file = directory.path().join(name);
            std::fs::write(&file, content).expect("writes");
            let (enclosed, payload) =
                enclose(Catalogue::built_in(), &file, "broker.example").expect("is enclosed");
            assert_eq!(enclosed.code.as_ref().map(DocumentCode::as_str), code, "{name}");
            assert_eq!(enclosed.number.as_deref(), number, "{name}");
            assert_eq!(&*payload.media_type, media_type, "{name}");
            assert_eq!(payload.content_id.as_str(), format!("{name}@broker.example"));
            let role = code.map(|code| format!("urn:swgw:doc:{code}"));
            assert_eq!(payload.role.as_deref(), role.as_deref(), "{name}");
        }
        let declaration = "<Declaration xmlns='urn:swgw:doc:ImportDeclaration:1'><ID> 1 </ID></Declaration>";
        check("929.xml", declaration, Some("GOVCBR929"), Some("1"), "application/xml");
        let nameless = "<Declaration xmlns='urn:swgw:doc:FoodImportReport:1'/>";
        check("X01.xml", nameless, Some("GOVCBRX01"), None, "application/xml");
        check("other.xml", "<Other/>", None, None, "application/xml");
        check("torn.xml", "<Other", None, None, "application/xml");
        check("certificate.pdf", "%PDF-1.4", None, None, "application/pdf");
        check("blob", "?", None, None, "application/octet-stream");
    }
}
