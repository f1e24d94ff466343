//! `gwanmun rules lookup`: which laws, agencies and documents goods of a code meet, and under which conditions.

use std::io::Write;

use anyhow::Result;
use comfy_table::{Table, presets};
use serde_json::json;

use super::{Source, instant, now};
use crate::codec::catalogue::Catalogue;
use crate::model::{CountryCode, HsCode, Timestamp, UsageCode};
use crate::routing::{LookupQuery, LookupRow};

#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "\
The code may be shorter than the ten digits of a declaration line: then rows that are for some of its goods only are
marked. What the question leaves open, such as the origin, stays a condition of the answer. What a whole declaration
needs, with its deadlines, tells `gwanmun rules explain`.

Example:
  gwanmun rules lookup routing-rules/kr-import 1211.90-1000
  gwanmun rules lookup routing-rules/kr-import 0201 --origin BR --at 2009-12-01T10:00:00+09:00")]
pub(super) struct LookupArgs {
    #[command(flatten)]
    source: Source,
    /// HS code of 2 to 10 digits
    #[arg(value_name = "HS", value_parser = code)]
    hs: HsCode,
    /// Country of origin, ISO 3166-1 alpha-2
    #[arg(long, value_name = "COUNTRY")]
    origin: Option<CountryCode>,
    /// Usage: SALE, OWN or RD
    #[arg(long, value_name = "CODE")]
    usage: Option<UsageCode>,
    /// The instant at which rows must be in force, with offset; now, when left out
    #[arg(long, value_name = "TIME", value_parser = instant)]
    at: Option<Timestamp>,
}

impl LookupArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let rules = self.source.rules(&self.source.files()?, out)?;
        let catalogue = self.source.catalogue()?;
        let query = LookupQuery {
            hs: self.hs,
            origin: self.origin,
            usage: self.usage.clone(),
            at: self.at.unwrap_or_else(now),
        };
        let rows = rules.lookup(&query);
        if self.source.json {
            let rule_set =
                json!({ "id": rules.id(), "revision": rules.revision(), "digest": rules.digest() });
            let told = json!({ "rule_set": rule_set, "hs": query.hs, "at": query.at, "rows": rows });
            writeln!(out, "{told:#}")?;
            return Ok(());
        }
        if rows.is_empty() {
            writeln!(out, "{}: no requirement; customs only", query.hs)?;
            return Ok(());
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_header([
            "LAW",
            "AGENCY",
            "APPLICATION",
            "RESULT",
            "ROW",
            "WHEN",
        ]);
        for row in &rows {
            table.add_row([
                format!("{} {}", row.law, named(&catalogue, "law", row.law.as_str())),
                format!("{} {}", row.agency, named(&catalogue, "agency", row.agency.as_str())),
                row.application.to_string(),
                row.result.to_string(),
                row.rule.to_string(),
                when(row),
            ]);
        }
        writeln!(out, "{table}")?;
        Ok(())
    }
}

/// What a code means, where the code lists say so.
fn named<'a>(catalogue: &'a Catalogue, list: &str, code: &str) -> &'a str {
    catalogue.code_lists().get(list).and_then(|list| list.meaning(code)).unwrap_or_default()
}

fn when(row: &LookupRow) -> String {
    let mut parts = Vec::new();
    if row.partly {
        parts.push("some of these goods".to_owned());
    }
    parts.extend(row.conditions.iter().cloned());
    if row.timing == crate::model::Timing::After {
        parts.push("after clearance".to_owned());
    }
    for exception in &row.exceptions {
        let conditions = exception.conditions.join(", ");
        let space = if conditions.is_empty() { "" } else { " where " };
        parts.push(format!("not by {} ({}){space}{conditions}", exception.rule, exception.reason));
    }
    if parts.is_empty() { "always".to_owned() } else { parts.join("; ") }
}

/// Dots and hyphens are only for reading.
fn code(text: &str) -> Result<HsCode> {
    Ok(text.replace('-', "").parse()?)
}
