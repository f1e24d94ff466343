//! `gwanmun store restore`: a backup becomes the store again, and nothing is sent before an operator says so (P20).

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use serde_json::json;

use super::Source;
use crate::store::Manifest;

/// Make a backup the store of a gateway that is stopped
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each file is held against the manifest. Where a store is already nothing is done: move it away first, and keep it.

When the gateway starts, it holds back every delivery that was open when the backup was made, since it may have been sent
after that, and takes in messages as ever. `gwanmun store reconcile` lists what is held and settles it. Messages accepted
after the backup are not in it: see docs/operations.md, Backups.

Exit codes: 0 restored, 1 not restored, 2 wrong usage.

Example: gwanmun store restore /backup/2026-11-29 --config gwanmun.toml")]
pub(super) struct RestoreArgs {
    /// Directory of the backup
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    #[command(flatten)]
    to: Source,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl RestoreArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let to = self.to.directory()?;
        let manifest = Manifest::restore(&self.backup, &to)?;
        let (made_at, entries, hash) = (manifest.made_at, manifest.audit_entries, manifest.audit_hash);
        if self.json {
            let audit = json!({ "entries": entries, "hash": hash });
            let told = json!({ "store": to, "made_at": made_at, "format": manifest.format, "audit": audit });
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?);
        }
        writeln!(out, "{} is the store as of {made_at}, audit entry {entries}, {hash}", to.display())?;
        Ok(writeln!(out, "start the gateway, then see `gwanmun store reconcile`")?)
    }
}
