//! `gwanmun store backup`: a copy of the store as of one instant, also while the gateway runs (P20).

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Result, bail};
use serde_json::json;

use super::Source;
use super::progress::Progress;
use crate::model::Timestamp;

/// Make a backup of a store, also while its gateway runs
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The backup is of one instant, and is there whole or not at all. It is a directory with a manifest and a store; nothing may
stand there before. `gwanmun store verify` proves a backup as it proves a store, and holds each file against the manifest:
do that where the backup is kept.

Exit codes: 0 made; 1 not made, or payloads are damaged in the store itself and left out; 2 wrong usage.

Example: gwanmun store backup /backup/2026-11-29 --config gwanmun.toml")]
pub(super) struct BackupArgs {
    /// Directory of the backup, made by this
    #[arg(value_name = "BACKUP")]
    to: PathBuf,
    #[command(flatten)]
    source: Source,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl BackupArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let store = self.source.look()?;
        let progress = Progress::shown(!self.json);
        let (manifest, damaged) = store.back_up(&self.to, now(), &mut progress.of("backup"))?;
        drop(progress);
        let left_out: Vec<_> = damaged.iter().map(ToString::to_string).collect();
        let bytes: u64 = manifest.files.values().map(|(bytes, _)| bytes).sum();
        if self.json {
            let told = json!({
                "backup": self.to, "made_at": manifest.made_at, "format": manifest.format,
                "audit": { "entries": manifest.audit_entries, "hash": manifest.audit_hash },
                "files": manifest.files.len(), "bytes": bytes, "left_out": left_out,
            });
            writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?;
        } else {
            left_out.iter().try_for_each(|damage| writeln!(out, "left out: {damage}"))?;
            writeln!(
                out,
                "{} holds the store up to audit entry {}, {}: {} files, {bytes} octets",
                self.to.display(),
                manifest.audit_entries,
                manifest.audit_hash,
                manifest.files.len()
            )?;
        }
        match damaged.len() {
            0 => Ok(()),
            count => bail!("{count} payload(s) are damaged in the store itself; see `gwanmun store verify`"),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a backup says when it was made; nothing is decided by it")]
fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}
