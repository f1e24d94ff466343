//! `gwanmun rules activate|history|show`: the rule sets of a running gateway.

use std::fs;
use std::io::Write;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use super::{Source, instant};
use crate::cli::ask::{Asking, ask_for, escaped, plain, send, table, with_query};
use crate::config::SettingsRefused;
use crate::model::{Digest, Timestamp};

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
SET is a rule directory, which is sent to the gateway and checked there against its partners, or the digest of a set
that it knows (its beginning is enough): so an older one is put in force again. With a mistake nothing changes.

Without --at it counts at once; with it from that instant on, also after a restart. What was accepted before keeps
the rules that it was planned with. Of several activations for one instant the last one asked for counts: to take one
back, activate what counts now for the same instant. Each is written into the audit record with who asked.

Example:
  gwanmun rules activate /tmp/next --at 2099-01-01T00:00:00+09:00 --config gwanmun.toml
  gwanmun rules activate 6c74cd45 --config gwanmun.toml")]
pub(super) struct ActivateArgs {
    /// A rule directory, or the digest of a set that the gateway knows
    #[arg(value_name = "SET")]
    set: String,
    /// From when on, with offset; at once, when left out
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<Timestamp>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Oldest first, with who asked and when. A start or a reload stands here when it found other rules in the rule directory
than the one before.

Example: gwanmun rules history --config gwanmun.toml")]
pub(super) struct HistoryArgs {
    #[command(flatten)]
    asking: Asking,
}

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
Since when it counts, and its files; with --into they are written, to be compared or edited. Tests are no part of a
set and are not kept.

Example:
  gwanmun rules show 6c74cd45 --config gwanmun.toml
  gwanmun rules show 6c74cd45 --into /tmp/before --config gwanmun.toml
  gwanmun rules diff /tmp/before routing-rules/kr-import")]
pub(super) struct ShowArgs {
    /// Digest of a set that the gateway knows; its beginning is enough
    #[arg(value_name = "DIGEST")]
    digest: String,
    /// Write its files into this directory, which must not be there yet
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Deserialize)]
struct Activation {
    at: Timestamp,
    rules: Digest,
    id: String,
    revision: String,
    asked_at: Timestamp,
    asked_by: String,
}

#[derive(Deserialize)]
struct Row {
    state: String,
    activation: Activation,
}

#[derive(Deserialize)]
struct History {
    items: Vec<Row>,
}

#[derive(Deserialize)]
struct Shown {
    digest: Digest,
    activations: Vec<Activation>,
    files: std::collections::BTreeMap<String, String>,
}

impl ActivateArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let directory = Path::new(&self.set);
        let (rules, body) = if directory.is_dir() {
            let source = Source::of(directory, None, self.asking.json);
            let rules = source.rules(&source.files()?, out)?;
            (None, Bytes::copy_from_slice(rules.archive()))
        } else {
            let is_digest = !self.set.is_empty() && self.set.bytes().all(|b| b.is_ascii_hexdigit());
            ensure!(is_digest, "{} is neither a directory nor the beginning of a digest", self.set);
            (Some(self.set.to_ascii_lowercase()), Bytes::new())
        };
        let path = with_query("/rules", &[("rules", rules), ("at", self.at.map(|at| at.to_string()))]);
        let answer = send(&self.asking, &path, body)?;
        if self.asking.json {
            writeln!(out, "{answer:#}")?;
        }
        let faults = answer["faults"].as_array().cloned().unwrap_or_default();
        for fault in faults.iter().filter(|_| !self.asking.json) {
            let text = |key: &str| plain(fault[key].as_str().unwrap_or_default());
            let (line, column) = (&fault["line"], &fault["column"]);
            writeln!(out, "{}:{line}:{column}: {}; {}", text("file"), text("message"), text("remedy"))?;
        }
        if !faults.is_empty() {
            bail!(SettingsRefused(faults.len()));
        }
        if !self.asking.json {
            let row: Row = serde_json::from_value(answer).context("the gateway's answer")?;
            let Activation { at, rules, id, revision, .. } = row.activation;
            writeln!(out, "{}: {} {} {rules} from {at}", row.state, plain(&id), plain(&revision))?;
        }
        Ok(())
    }
}

impl HistoryArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let (history, told): (History, Value) = ask_for(&self.asking, "/rules")?;
        if self.asking.json {
            writeln!(out, "{told:#}")?;
            return Ok(());
        }
        let headings = ["from", "state", "rules", "revision", "digest", "asked at", "by"];
        let rows = history.items.into_iter().map(|Row { state, activation }| {
            let Activation { at, rules, id, revision, asked_at, asked_by } = activation;
            let digest = rules.to_string().chars().take(DIGEST_SHOWN).collect();
            [at.to_string(), state, id, revision, digest, asked_at.to_string(), asked_by]
        });
        writeln!(out, "{}", table(headings, rows))?;
        Ok(())
    }
}

impl ShowArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let path = format!("/rules/{}", escaped(&self.digest.to_ascii_lowercase()));
        let (shown, told): (Shown, Value) = ask_for(&self.asking, &path)?;
        if let Some(directory) = &self.into {
            write_files(directory, &shown)?;
        }
        if self.asking.json {
            writeln!(out, "{told:#}")?;
            return Ok(());
        }
        writeln!(out, "digest {}", shown.digest)?;
        for Activation { at, id, revision, asked_at, asked_by, .. } in &shown.activations {
            let (id, revision, asked_by) = (plain(id), plain(revision), plain(asked_by));
            writeln!(out, "{id} {revision} from {at}, asked {asked_at} by {asked_by}")?;
        }
        for (name, text) in &shown.files {
            writeln!(out, "{} {} lines", plain(name), text.lines().count())?;
        }
        if let Some(directory) = &self.into {
            writeln!(out, "written into {}", directory.display())?;
        }
        Ok(())
    }
}

/// Writes the files of a set below a new directory, and nowhere else.
fn write_files(directory: &Path, shown: &Shown) -> Result<()> {
    fs::create_dir(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    for (name, text) in &shown.files {
        let inside = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        ensure!(inside, "{} is no path inside a directory", plain(name));
        let path = directory.join(name);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Digits of a digest in a table; enough to name a set.
const DIGEST_SHOWN: usize = 12;
