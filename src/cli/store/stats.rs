//! `gwanmun store stats`: how large a store is and what is in it, without proving anything.

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use super::super::ask::table;
use super::Place;
use crate::store::Inspection;

/// Count what is in a store: records by state, octets, format, the last audit entry
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing in the directory is changed and nothing is proved: that does `gwanmun store verify`.

Example: gwanmun store stats --config gwanmun.toml")]
pub(super) struct StatsArgs {
    #[command(flatten)]
    place: Place,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl StatsArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let store = self.place.look()?;
        let (contents, head) = (store.contents()?, store.audit_head()?);
        if self.json {
            let by_state = |counts: &[(String, u64)]| {
                counts
                    .iter()
                    .map(|(state, count)| (state.clone(), json!(count)))
                    .collect::<serde_json::Map<_, _>>()
            };
            let deliveries = contents.deliveries.iter().map(|(destination, state, count)| {
                json!({ "destination": destination, "state": state, "count": count })
            });
            let told = json!({
                "store": store.directory(),
                "format": store.format(),
                "newest_format": Inspection::newest_format(),
                "running": store.is_running(),
                "audit": { "entries": head.sequence, "hash": head.hash },
                "rows": contents.rows.iter().map(|(name, count)| (*name, count)).collect::<std::collections::BTreeMap<_, _>>(),
                "cases": by_state(&contents.cases),
                "deliveries": deliveries.collect::<Vec<_>>(),
                "database_bytes": contents.database_bytes,
                "log_bytes": contents.log_bytes,
                "payload_files": contents.payload_files,
                "payload_bytes": contents.payload_bytes,
            });
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&told)?)?);
        }
        let newest = Inspection::newest_format();
        let newer = if store.format() < newest {
            format!(", upgraded to {newest} when it is opened")
        } else {
            String::new()
        };
        writeln!(out, "format         {}{newer}", store.format())?;
        writeln!(out, "database       {} octets, its log {}", contents.database_bytes, contents.log_bytes)?;
        writeln!(out, "payload files  {}, {} octets", contents.payload_files, contents.payload_bytes)?;
        writeln!(out, "audit record   {} entries, head {}", head.sequence, head.hash)?;
        for (name, count) in &contents.rows {
            writeln!(out, "{name:<14} {count}")?;
        }
        let cases = contents
            .cases
            .iter()
            .map(|(state, count)| ["cases".to_owned(), state.clone(), count.to_string()]);
        let deliveries = contents.deliveries.iter().map(|(destination, state, count)| {
            [format!("to {destination}"), state.clone(), count.to_string()]
        });
        Ok(writeln!(out, "\n{}", table(["of", "state", "count"], cases.chain(deliveries)))?)
    }
}
