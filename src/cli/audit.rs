//! `gwanmun audit`: takes the audit record out of a store, and checks it without one (P18; threat S26).
//!
//! `verify` needs the export and public keys, nothing else: no store, no settings, no gateway.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::json;

use super::ask::{Asking, ask_for, plain};
use crate::codec::archive::{is_archive, unpack};
use crate::model::{ChainEntry, ExportLine, SignedHead, Timestamp};
use crate::security::{
    AuditKeys, AuditVerifier, Proven, ProvenEvidence, Stamps, TimeStampAuthority, verify_evidence,
};
use crate::store::{Inspection, Manifest, filed};

/// The audit record: every change of state, one after the other, chained and signed
#[derive(Debug, clap::Args)]
pub struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, clap::Subcommand)]
enum AuditCommand {
    /// Write the record with its signed heads to a file
    #[command(after_help = "\
The gateway that runs is asked; with --store a store is read instead, such as a backup, and nothing in it is changed.
Every entry is written as it is kept, also one that is damaged: `gwanmun audit verify` says what is wrong with it.

Examples:
  gwanmun audit export audit.jsonl
  gwanmun audit export --store /var/backups/gwanmun audit.jsonl")]
    Export {
        /// The file; in a directory, audit.jsonl
        #[arg(value_name = "FILE|DIR")]
        to: PathBuf,
        /// Read this store, or this backup, instead; nothing in it is changed
        #[arg(long, value_name = "DIR")]
        store: Option<PathBuf>,
        #[command(flatten)]
        asking: Asking,
    },
    /// Check an export, or the evidence about a message, with nothing but public keys
    #[command(after_help = "\
Given what `gwanmun message export` wrote, every file in it, every audit entry and every signature is checked, and what
was changed, removed or put in is named. Given what `gwanmun audit export` wrote, all of the record is:

Every hash is computed anew, every signature verified. The first entry that was removed, moved, changed or put in is
named. A record that was cut off or rolled back and signed anew is whole in itself: give the heads that were kept
elsewhere ([audit] heads_file) with --head.

Time stamps in the record ([audit.time_stamp]) count with the certificates of their authority, --authority: they show
when the entries before them were there at the latest, also to who trusts the gateway's clock and keys no more.

Exit codes: 0 as it was signed; 1 not, or it cannot be read; 2 wrong usage.

Examples:
  gwanmun audit verify audit.jsonl --key gateway.crt --head /mnt/elsewhere/heads.jsonl
  gwanmun audit verify audit.jsonl --key gateway.crt --authority tsa.pem --require-time-stamps
  gwanmun audit verify lodging.tar --key gateway.crt")]
    Verify {
        /// What `gwanmun audit export` or `gwanmun message export` wrote
        #[arg(value_name = "EXPORT|ARCHIVE")]
        export: PathBuf,
        /// A certificate of the gateway's, PEM; those of earlier keys too
        #[arg(long = "key", value_name = "CERT.pem", required = true, num_args = 1..)]
        keys: Vec<PathBuf>,
        /// Heads that were kept elsewhere, one a line
        #[arg(long = "head", value_name = "HEADFILE", num_args = 1..)]
        heads: Vec<PathBuf>,
        /// An entry that says that the store was restored from a backup, when you know that it was: heads of the store
        /// that was lost are then no finding
        #[arg(long = "restored", value_name = "ENTRY", num_args = 1..)]
        restored: Vec<u64>,
        /// A certificate that time stamps are signed by, or one that vouches for it, PEM
        #[arg(long = "authority", value_name = "CERT.pem", num_args = 1..)]
        authorities: Vec<PathBuf>,
        /// An export without a time stamp that counts is a finding
        #[arg(long, requires = "authorities")]
        require_time_stamps: bool,
        /// For machines
        #[arg(long)]
        json: bool,
    },
}

/// Some of the record: what stands after an entry.
#[derive(Deserialize)]
struct Page {
    entries: Vec<ChainEntry>,
    heads: Vec<SignedHead>,
}

impl AuditArgs {
    /// Exports or verifies.
    ///
    /// # Errors
    /// When no gateway answers, a file cannot be read or written, or the record is not as it was signed.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            AuditCommand::Export { to, store, asking } => {
                let to = if to.is_dir() { to.join("audit.jsonl") } else { to.clone() };
                let (entries, heads) = match store {
                    Some(directory) => {
                        let in_backup = Manifest::read(directory)?.map(|_| Manifest::store_of(directory));
                        let store = Inspection::of(in_backup.unwrap_or_else(|| directory.clone()))?;
                        export(&to, |beyond| page_of(&store, beyond))?
                    }
                    None => export(&to, |beyond| {
                        Ok(ask_for(asking, &format!("/audit?beyond={beyond}&limit={PAGE}"))?.0)
                    })?,
                };
                if asking.json {
                    return Ok(writeln!(
                        out,
                        "{}",
                        json!({ "file": to, "entries": entries, "heads": heads })
                    )?);
                }
                Ok(writeln!(out, "{}: {entries} entries, {heads} signed heads", to.display())?)
            }
            AuditCommand::Verify {
                export,
                keys,
                heads,
                restored,
                authorities,
                require_time_stamps,
                json,
            } => {
                let mut trusted = AuditKeys::default();
                for key in keys {
                    let pem = std::fs::read(key).with_context(|| key.display().to_string())?;
                    trusted.add_pem(&key.display().to_string(), &pem)?;
                }
                let elsewhere = heads.iter().map(|file| HeadFile::open(file)).collect::<Result<Vec<_>>>()?;
                let mut authority = TimeStampAuthority::default();
                for file in authorities {
                    let pem = std::fs::read(file).with_context(|| file.display().to_string())?;
                    authority.add_pem(&file.display().to_string(), &pem)?;
                }
                let authority = Some(&authority).filter(|_| !authorities.is_empty());
                let told = if is_evidence(export)? {
                    if *require_time_stamps {
                        bail!(
                            "{}: evidence about a message has no time stamps: give an export",
                            export.display()
                        );
                    }
                    evidence(export, &trusted, elsewhere)
                        .and_then(|proven| Ok(tell_evidence(&proven, *json, out)?))
                } else {
                    let mut verifier = AuditVerifier::new(&trusted);
                    for number in restored {
                        verifier = verifier.with_restored(*number);
                    }
                    if let Some(authority) = authority {
                        verifier = verifier.with_authority(authority);
                    }
                    verify(export, verifier, elsewhere).and_then(|proven| {
                        if *require_time_stamps && proven.stamps.verified == 0 {
                            bail!("there is no time stamp in it that counts");
                        }
                        Ok(tell(&proven, *json, out)?)
                    })
                };
                match told {
                    Ok(()) => Ok(()),
                    Err(why) => {
                        if *json {
                            writeln!(out, "{}", json!({ "intact": false, "finding": format!("{why:#}") }))?;
                        }
                        bail!("{}: {}", export.display(), plain(&format!("{why:#}")))
                    }
                }
            }
        }
    }
}

fn page_of(store: &Inspection, beyond: u64) -> Result<Page> {
    // The heads first: one that speaks for entries that are not there is left when there are no more entries.
    let heads = store.heads(beyond, PAGE)?.into_iter().map(|head| head.signed);
    let entries = store.chain(beyond, PAGE)?;
    let last = entries.last().map(|entry| entry.number);
    let heads = heads.filter(|signed| last.is_none_or(|last| signed.head.entries <= last)).collect();
    Ok(Page { entries, heads })
}

/// Writes the record page by page; what stands under the name is whole.
fn export(to: &Path, page: impl FnMut(u64) -> Result<Page>) -> Result<(u64, u64)> {
    let mut aside = to.as_os_str().to_owned();
    aside.push(".part");
    let aside = PathBuf::from(aside);
    let file = File::create(&aside).with_context(|| aside.display().to_string())?;
    let written = write_record(file, page).and_then(|written| {
        std::fs::rename(&aside, to).with_context(|| to.display().to_string())?;
        Ok(written)
    });
    if written.is_err() {
        // Part of a record is of no use to anybody; that it is there is no second fault.
        drop(std::fs::remove_file(&aside));
    }
    written
}

fn write_record(file: File, mut page: impl FnMut(u64) -> Result<Page>) -> Result<(u64, u64)> {
    let mut file = BufWriter::new(file);
    let mut write = |line: &ExportLine| -> Result<()> {
        serde_json::to_writer(&mut file, line)?;
        Ok(file.write_all(b"\n")?)
    };
    write(&ExportLine::Export { form: ExportLine::FORM, at: now() })?;
    let bar = spinner("entries written");
    let (mut written, mut signed, mut beyond) = (0, 0, 0);
    loop {
        let Page { entries, heads } = page(beyond)?;
        let Some(last) = entries.last() else {
            // They show that entries were cut off.
            for head in heads {
                write(&ExportLine::Head(head))?;
                signed += 1;
            }
            break;
        };
        beyond = last.number;
        let mut heads = heads.into_iter().peekable();
        for entry in entries {
            let number = entry.number;
            write(&ExportLine::Entry(entry))?;
            written += 1;
            while let Some(head) = heads.next_if(|signed| signed.head.entries <= number) {
                write(&ExportLine::Head(head))?;
                signed += 1;
            }
        }
        bar.set_position(written);
    }
    bar.finish_and_clear();
    file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok((written, signed))
}

fn verify(export: &Path, mut verifier: AuditVerifier<'_>, mut elsewhere: Vec<HeadFile>) -> Result<Proven> {
    let mut file = BufReader::new(File::open(export)?);
    let bar = spinner("entries checked");
    let mut line = Vec::new();
    loop {
        for file in &mut elsewhere {
            // The next head of each file waits for its entry, and no more than that one.
            while file.beyond <= verifier.entries() {
                let Some(signed) = file.next().transpose()? else { break };
                verifier.keep_to(signed).with_context(|| file.to_string())?;
            }
        }
        line.clear();
        if file.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.last() != Some(&b'\n') {
            bail!(
                "after entry {}: the line is cut off, or longer than {LINE_BYTES_MAX} octets",
                verifier.entries()
            );
        }
        let text = std::str::from_utf8(&line).context(format!("after entry {}", verifier.entries()))?;
        verifier.take(text)?;
        if verifier.entries().is_multiple_of(PAGE as u64) {
            bar.set_position(verifier.entries());
        }
    }
    for file in &mut elsewhere {
        while let Some(signed) = file.next().transpose()? {
            verifier.also_kept(signed).with_context(|| file.to_string())?;
        }
    }
    bar.finish_and_clear();
    Ok(verifier.end()?)
}

/// Heads that were kept elsewhere, one a line, read one by one. A last line without an end may still be being written: it
/// counts when it is a head.
struct HeadFile {
    path: PathBuf,
    lines: BufReader<File>,
    read: u64,
    /// How many entries the last head that was read speaks for.
    beyond: u64,
}

impl HeadFile {
    fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        Ok(Self { path: path.to_owned(), lines: BufReader::new(file), read: 0, beyond: 0 })
    }

    fn read_head(&mut self) -> Result<Option<SignedHead>> {
        let mut line = Vec::new();
        self.lines.by_ref().take(HEAD_BYTES_MAX + 1).read_until(b'\n', &mut line)?;
        let is_whole = line.last() == Some(&b'\n');
        match serde_json::from_slice::<SignedHead>(&line) {
            Ok(signed) if line.len() as u64 <= HEAD_BYTES_MAX => {
                self.read += 1;
                self.beyond = signed.head.entries;
                return Ok(Some(signed));
            }
            Err(error) if is_whole => {
                return Err(error)
                    .with_context(|| format!("{}:{}: no head", self.path.display(), self.read + 1));
            }
            _ if line.len() as u64 > HEAD_BYTES_MAX => {
                bail!(
                    "{}:{}: no head: the line is longer than {HEAD_BYTES_MAX} octets",
                    self.path.display(),
                    self.read + 1
                )
            }
            _ => {}
        }
        if self.read == 0 {
            bail!("{}: there is no head in it, so that it proves nothing", self.path.display());
        }
        // Nothing comes after it.
        self.beyond = u64::MAX;
        Ok(None)
    }
}

impl Iterator for HeadFile {
    type Item = Result<SignedHead>;

    fn next(&mut self) -> Option<Result<SignedHead>> {
        self.read_head().transpose()
    }
}

impl std::fmt::Display for HeadFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.read)
    }
}

/// Whether a file is an archive of evidence.
fn is_evidence(file: &Path) -> Result<bool> {
    let mut beginning = Vec::new();
    let open = File::open(file).with_context(|| file.display().to_string())?;
    open.take(ARCHIVE_HEAD_BYTES).read_to_end(&mut beginning)?;
    Ok(is_archive(&beginning))
}

fn evidence(file: &Path, keys: &AuditKeys, elsewhere: Vec<HeadFile>) -> Result<ProvenEvidence> {
    let length = file.metadata()?.len();
    if length > ARCHIVE_BYTES_MAX {
        bail!("it has {length} octets; an archive of evidence has {ARCHIVE_BYTES_MAX} at most");
    }
    let members = unpack(&filed(file)?)?;
    let mut unread = None;
    let heads =
        elsewhere.into_iter().flatten().map_while(|read| read.map_err(|error| unread = Some(error)).ok());
    let proven = verify_evidence(&members, keys, heads)?;
    unread.map_or(Ok(proven), Err)
}

fn tell_evidence(proven: &ProvenEvidence, json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    let ProvenEvidence { manifest, shown, open } = proven;
    if json {
        let told = json!({
            "intact": true, "subject": manifest.subject, "gateway": manifest.gateway, "made_at": manifest.made_at,
            "shown": shown, "open": open,
        });
        return writeln!(out, "{told}");
    }
    let (subject, gateway, made_at) = (manifest.subject.to_string(), &manifest.gateway, manifest.made_at);
    writeln!(out, "evidence about {}, made by {gateway} at {made_at}, is whole", plain(&subject))?;
    shown.iter().try_for_each(|shown| writeln!(out, "- {}", plain(shown)))?;
    open.iter().try_for_each(|open| writeln!(out, "not shown: {}", plain(open)))
}

fn tell(proven: &Proven, json: bool, out: &mut dyn Write) -> std::io::Result<()> {
    let Proven { entries, signed, heads, signed_at, lost, stamps } = proven;
    let open = entries - signed;
    if json {
        let Stamps { verified, entries: stamped, at, open } = stamps;
        let told = json!({
            "intact": true, "entries": entries, "signed": signed, "heads": heads, "signed_at": signed_at,
            "lost_heads": lost, "time_stamps": { "verified": verified, "entries": stamped, "at": at, "not_judged": open },
        });
        return writeln!(out, "{told}");
    }
    writeln!(out, "entries 1 to {signed} are as they were signed at {signed_at} ({heads} heads verified)")?;
    if open > 0 {
        writeln!(out, "{open} entries after them follow in the chain and are not signed yet")?;
    }
    if *lost > 0 {
        writeln!(
            out,
            "{lost} heads that were kept elsewhere are of a store that was lost before this one was restored"
        )?;
    }
    let Stamps { verified, entries: stamped, at, open } = stamps;
    if let Some(at) = at {
        writeln!(
            out,
            "entries 1 to {stamped} were there at {at}, by an authority ({verified} time stamps verified)"
        )?;
    }
    if *open > 0 {
        writeln!(
            out,
            "{open} time stamps were not judged: give the certificates of their authority with --authority, and an export \
             with their heads"
        )?;
    }
    Ok(())
}

/// Only a terminal sees it.
fn spinner(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} {msg}") {
        bar.set_style(style);
    }
    bar.with_message(what)
}

#[expect(clippy::disallowed_methods, reason = "an export says when it was made; nothing is decided by it")]
fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

/// Entries that are read at once.
const PAGE: usize = 1000;
/// Octets in which an archive says that it is one.
const ARCHIVE_HEAD_BYTES: u64 = 512;
/// Octets of an archive that is read.
const ARCHIVE_BYTES_MAX: u64 = 20 << 30;
/// Octets of a line of a file of heads.
const HEAD_BYTES_MAX: u64 = 4096;
/// Octets of a line of an export.
const LINE_BYTES_MAX: u64 = 16 << 20;
