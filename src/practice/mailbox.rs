//! `gwanmun mailbox`: a partner without a server collects what waits for it at the gateway.
//!
//! Promises: a message is confirmed only after its octets were verified and are on stable storage, so that
//! nothing is lost between the gateway's mailbox and this directory whenever the command dies; confirming
//! again is harmless. Names of files are generated, never taken from a message.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use super::command::{load, now};
use super::node::read_first;
use super::partner::Partner;
use super::words;
use crate::model::{DeliveryId, Digest, Message, Payload};
use crate::msh;
use crate::security::Verified;
use crate::transport::{Call, Content, Method, PostResponse, StatusCode};

/// Collect what waits for a partner without a server
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct MailboxArgs {
    #[command(subcommand)]
    command: MailboxCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum MailboxCommand {
    /// What waits, oldest first
    List(Access),
    /// Fetch messages and keep them, with their documents; without names, all that wait
    Fetch(Named),
    /// Confirm messages that were fetched; without names, all that are not confirmed yet
    Confirm(Named),
}

#[derive(Clone, Debug, clap::Args)]
struct Access {
    /// The partner's own settings, with [api] endpoint
    #[arg(long, value_name = "PARTY.toml")]
    config: PathBuf,
    /// For machines
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Args)]
struct Named {
    #[command(flatten)]
    access: Access,
    /// Which, by the names that `list` shows
    #[arg(value_name = "ID")]
    ids: Vec<DeliveryId>,
}

const HELP: &str = "\
What is fetched is kept in the directory mailbox/ID beside the journal: the exact signed octets in `message`, each
document and attachment in part-1, part-2 and so on. Fetching changes nothing at the gateway: a message waits there
until it is confirmed. The confirmation is the signed Acknowledgment of the message, where the agreement wants one.

PARTY.toml has, in place of [listen]:
  [api]
  endpoint = \"https://gateway.example:8444\"

Examples:
  gwanmun mailbox list --config broker.toml
  gwanmun mailbox fetch --config broker.toml && gwanmun mailbox confirm --config broker.toml";

impl MailboxArgs {
    /// Collects.
    ///
    /// # Errors
    /// When the settings have mistakes, the gateway does not answer or refuses, or nothing can be kept.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let access = match &self.command {
            MailboxCommand::List(access) => access,
            MailboxCommand::Fetch(named) | MailboxCommand::Confirm(named) => &named.access,
        };
        let partner = Partner::new(load(&access.config)?)?;
        let desk = Desk { kept: partner.settings().directory.join("mailbox"), partner, json: access.json };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            match &self.command {
                MailboxCommand::List(_) => desk.list(out).await,
                MailboxCommand::Fetch(named) => desk.fetch(&named.ids, out).await,
                MailboxCommand::Confirm(named) => desk.confirm(&named.ids, out).await,
            }
        })
    }
}

/// A partner and the directory where it keeps what it fetched.
struct Desk {
    partner: Partner,
    kept: PathBuf,
    json: bool,
}

impl Desk {
    async fn waiting(&self) -> Result<Vec<Value>> {
        let answer = self.call(Method::GET, "/mailbox?limit=10000", None, Bytes::new().into()).await?;
        Ok(serde_json::from_slice(&ok(answer)?.body)?)
    }

    async fn list(&self, out: &mut dyn Write) -> Result<()> {
        let waiting = self.waiting().await?;
        if self.json {
            return Ok(writeln!(out, "{}", serde_json::to_string(&waiting)?)?);
        }
        for one in &waiting {
            let of = |key: &str| one.get(key).and_then(Value::as_str).unwrap_or_default();
            let kept = if self.kept.join(of("id")).join(MESSAGE).exists() { "fetched" } else { "" };
            let (id, action, conversation) = (of("id"), of("action"), of("conversation_id"));
            writeln!(out, "{id}  {action:<13} {conversation:<24} until {}  {kept}", of("expires_at"))?;
        }
        Ok(writeln!(out, "{} message(s) wait", waiting.len())?)
    }

    async fn fetch(&self, ids: &[DeliveryId], out: &mut dyn Write) -> Result<()> {
        let ids = if ids.is_empty() {
            let named = |one: &Value| DeliveryId::new(one.get("id")?.as_str()?).ok();
            self.waiting().await?.iter().filter_map(named).collect()
        } else {
            ids.to_vec()
        };
        each(&ids, async |id| {
            let answer =
                ok(self.call(Method::GET, &format!("/mailbox/{id}"), None, Bytes::new().into()).await?)?;
            let content_type = answer.content_type.context("the gateway names no Content-Type")?;
            let octets = message_file(&content_type, &answer.body)?;
            let verified = self.open(&content_type, &answer.body)?;
            let directory = self.kept.join(id.as_str());
            keep(&directory, &octets, &verified.message().payloads)?;
            self.tell(id, &directory, verified.message(), out)
        })
        .await
    }

    async fn confirm(&self, ids: &[DeliveryId], out: &mut dyn Write) -> Result<()> {
        let ids = if ids.is_empty() { unconfirmed(&self.kept)? } else { ids.to_vec() };
        each(&ids, async |id| {
            let directory = self.kept.join(id.as_str());
            let octets =
                fs::read(directory.join(MESSAGE)).with_context(|| format!("{id} was not fetched"))?;
            let (content_type, body) = read_message_file(octets)?;
            let verified = self.open(&content_type, &body)?;
            let answer = self.give_receipt(id, &verified).await?;
            let is_gone = answer.status == StatusCode::GONE;
            if is_gone {
                // Nothing will ever take its confirmation: it is not asked for again.
                write_synced(&directory.join(GONE), &answer.body)?;
            }
            let told = ok(answer).with_context(|| format!("{id} is not confirmed"))?.body;
            write_synced(&directory.join(CONFIRMED), &told)?;
            if self.json {
                writeln!(out, "{}", json!({ "id": id, "confirmed": true }))?;
            } else {
                writeln!(out, "{id}  confirmed")?;
            }
            Ok(())
        })
        .await
    }

    /// The signed Acknowledgment of a message that asks for one; of any other a confirmation by itself.
    async fn give_receipt(&self, id: &DeliveryId, verified: &Verified) -> Result<PostResponse> {
        let message = verified.message();
        let path = format!("/mailbox/{id}/confirm");
        let Some(signed) = msh::wants_acknowledgment(message) else {
            return self.call(Method::POST, &path, None, Bytes::new().into()).await;
        };
        let agreement = self.partner.agreement(verified.cpa_id())?;
        let own = self.partner.id_from(&["acknowledgment", message.header.data.message_id.as_str()]);
        let receipt = msh::acknowledge(message, &agreement.own(), own, signed, now());
        let sealed = self.partner.seal_answer(&receipt, agreement)?;
        let body = Content::of(sealed.body.as_held(), sealed.body.bytes(), sealed.body.checked());
        self.call(Method::POST, &path, Some(&sealed.content_type), body).await
    }

    /// What the gateway signed, whenever it was fetched.
    fn open(&self, content_type: &str, body: &Bytes) -> Result<Verified> {
        let peer = self.partner.settings().gateway().tls_digests().first().copied().map(Digest);
        let opened = self.partner.open(content_type, body, peer, now());
        opened.map_err(|refusal| anyhow::anyhow!("what the gateway gave is refused: {}", refusal.text))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        content_type: Option<&str>,
        body: Content,
    ) -> Result<PostResponse> {
        let endpoint =
            self.partner.settings().api.clone().context("[api] endpoint is missing in PARTY.toml")?;
        let parties = self.partner.settings().gateway().tls_digests();
        let call = Call { method, content_type, body, parties: &parties };
        self.partner.call(&endpoint.at(path), call).await
    }

    fn tell(&self, id: &DeliveryId, directory: &Path, message: &Message, out: &mut dyn Write) -> Result<()> {
        let document = read_first(&self.partner.settings().catalogue, message, now());
        let about = document.as_ref().and_then(words::about);
        let says = match (&document, &message.error_list) {
            (Some(document), _) => words::gist(document),
            (None, Some(list)) => list.errors.iter().map(super::partner::told).collect::<Vec<_>>().join("; "),
            (None, None) => String::new(),
        };
        let header = &message.header;
        if self.json {
            let told = json!({
                "id": id, "message_id": header.data.message_id, "action": header.action,
                "conversation_id": header.conversation_id, "ref_to_message_id": header.data.ref_to_message_id,
                "about": about, "says": says, "directory": directory,
            });
            return Ok(writeln!(out, "{told}")?);
        }
        let about = about.as_deref().unwrap_or_default();
        Ok(writeln!(out, "{id}  {:<13} {about:<24} {says}  {}", header.action, directory.display())?)
    }
}

/// Does it for each message. One for which it cannot be done keeps no other from it; all of them are told at the
/// end. That nobody reads what is printed is no failure of a message, and told when there is no other.
async fn each(ids: &[DeliveryId], mut work: impl AsyncFnMut(&DeliveryId) -> Result<()>) -> Result<()> {
    let (mut failed, mut unread) = (Vec::new(), None);
    for id in ids {
        match work(id).await {
            Ok(()) => {}
            Err(why) if nobody_reads(&why) => unread = Some(why),
            Err(why) => failed.push(why.context(id.to_string())),
        }
    }
    match (failed.len(), failed.pop()) {
        (_, None) => unread.map_or(Ok(()), Err),
        // As it is: what it is decides how the command ends.
        (1, Some(one)) => Err(one),
        (several, Some(last)) => {
            failed.push(last);
            let told: Vec<_> = failed.iter().map(|why| format!("{why:#}")).collect();
            bail!("{several} of {} messages failed:\n  {}", ids.len(), told.join("\n  "))
        }
    }
}

/// Who read the output has gone, as `head` does once it has enough.
#[must_use]
pub fn nobody_reads(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

/// The answer, when it is one; else what the gateway says.
fn ok(answer: PostResponse) -> Result<PostResponse> {
    if answer.status == StatusCode::OK {
        return Ok(answer);
    }
    let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let says = told.get("says").and_then(Value::as_str).unwrap_or("nothing more");
    bail!("the gateway answers HTTP {} and says: {says}", answer.status)
}

/// The file of a message: its Content-Type as a header line, a blank line, its octets.
fn message_file(content_type: &str, body: &Bytes) -> Result<Vec<u8>> {
    ensure!(!content_type.contains(['\r', '\n']), "a Content-Type of several lines");
    let head = format!("Content-Type: {content_type}\r\n\r\n");
    Ok([head.as_bytes(), body].concat())
}

fn read_message_file(octets: Vec<u8>) -> Result<(String, Bytes)> {
    let split = octets.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) =
        octets.split_at_checked(split.context("the file of the message is damaged")?).unwrap_or_default();
    let head = std::str::from_utf8(head)?.strip_prefix("Content-Type: ");
    let head = head.context("the file of the message is damaged")?.to_owned();
    Ok((head, Bytes::copy_from_slice(body.get(4..).unwrap_or_default())))
}

/// Puts a message and its parts on stable storage; the message last, so that its file says that all is there.
fn keep(directory: &Path, message: &[u8], payloads: &[Payload]) -> Result<()> {
    fs::create_dir_all(directory)?;
    if let Some(above) = directory.parent() {
        File::open(above)?.sync_all()?;
    }
    for (number, payload) in (1..).zip(payloads) {
        let extension = match &*payload.media_type {
            "application/xml" | "text/xml" => "xml",
            "application/pdf" => "pdf",
            _ => "bin",
        };
        let octets = payload.body.read(usize::MAX)?;
        write_synced(&directory.join(format!("part-{number}.{extension}")), &octets)?;
    }
    write_synced(&directory.join(MESSAGE), message)
}

fn write_synced(path: &Path, octets: &[u8]) -> Result<()> {
    let aside = path.with_extension("new");
    let mut file = File::create(&aside).with_context(|| aside.display().to_string())?;
    file.write_all(octets)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    let directory = path.parent().context("a file in a directory")?;
    Ok(File::open(directory)?.sync_all()?)
}

/// Messages that were fetched and whose confirmation the gateway has not taken yet.
fn unconfirmed(kept: &Path) -> Result<Vec<DeliveryId>> {
    if !kept.exists() {
        return Ok(Vec::new());
    }
    let mut ids = Vec::new();
    for entry in fs::read_dir(kept)? {
        let entry = entry?;
        let (directory, name) = (entry.path(), entry.file_name());
        let is_over = [CONFIRMED, GONE].iter().any(|name| directory.join(name).exists());
        let is_open = directory.join(MESSAGE).exists() && !is_over;
        ids.extend(name.to_str().filter(|_| is_open).and_then(|name| DeliveryId::new(name).ok()));
    }
    ids.sort();
    Ok(ids)
}

const MESSAGE: &str = "message";
const CONFIRMED: &str = "confirmed";
/// The gateway does not keep it any more: its time was over before it was confirmed.
const GONE: &str = "gone";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_fails_keeps_no_other_from_it_p5() {
        let ids = ["a", "b", "c"].map(|id| DeliveryId::new(id).expect("an id"));
        let mut tried = Vec::new();
        let done = each(&ids, async |id| {
            tried.push(id.clone());
            ensure!(id.as_str() == "b", "is over");
            Ok(())
        });
        let why = done.await.expect_err("two failed").to_string();
        assert_eq!(why, "2 of 3 messages failed:\n  a: is over\n  c: is over");
        assert_eq!(tried, ids);
        assert!(each(&ids[1..2], async |_| Ok(())).await.is_ok());
    }

    #[tokio::test]
    async fn that_nobody_reads_is_told_when_nothing_else_is() {
        let ids = ["a", "b", "c"].map(|id| DeliveryId::new(id).expect("an id"));
        let closed = || -> Result<()> { Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe))? };
        let why = each(&ids, async |_| closed()).await.expect_err("nobody reads");
        assert!(nobody_reads(&why), "{why:#}");
        let some = each(&ids, async |id| if id.as_str() == "a" { bail!("is over") } else { closed() });
        let why = some.await.expect_err("one failed");
        assert_eq!(format!("{why:#}"), "a: is over");
    }

    #[test]
    fn a_kept_message_is_read_back_octet_for_octet_p6() {
        let body = Bytes::from_static(b"--b\r\n\r\n\xff\x00\r\n\r\n--b--");
        let file = message_file("multipart/related; boundary=b", &body).expect("is one line");
        let read = read_message_file(file).expect("is whole");
        assert_eq!(read, ("multipart/related; boundary=b".to_owned(), body));
        assert!(message_file("text/xml\r\nX: y", &Bytes::new()).is_err());
        assert!(read_message_file(b"torn".to_vec()).is_err());
    }

    #[test]
    fn only_what_is_kept_and_not_confirmed_is_confirmed() {
        let directory = tempfile::tempdir().expect("makes a directory");
        assert_eq!(unconfirmed(&directory.path().join("none")).expect("is empty"), []);
        let (confirmed, gone) = (Some(CONFIRMED), Some(GONE));
        for (id, message, over) in
            [("a", true, None), ("b", true, confirmed), ("c", false, None), ("d", true, gone)]
        {
            let path = directory.path().join(id);
            fs::create_dir(&path).expect("is made");
            if message {
                keep(&path, b"octets", &[]).expect("is kept");
            }
            if let Some(over) = over {
                write_synced(&path.join(over), b"{}").expect("is kept");
            }
        }
        assert_eq!(unconfirmed(directory.path()).expect("reads"), [DeliveryId::new("a").expect("an id")]);
    }
}
