//! `gwanmun events`: every event code of log, metrics and audit record, with cause and remedy.

use std::io::Write;

use anyhow::Result;
use serde_json::json;

use crate::telemetry::EventCode;

/// List the event codes of log, metrics and audit record, with cause and remedy
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: gwanmun events delivery")]
pub struct EventsArgs {
    /// Only codes that begin with this
    #[arg(default_value = "")]
    prefix: String,
    /// For machines
    #[arg(long)]
    json: bool,
}

impl EventsArgs {
    /// Writes the list.
    ///
    /// # Errors
    /// When no code begins so, or `out` cannot be written.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let events: Vec<_> =
            EventCode::ALL.iter().filter(|event| event.code().starts_with(&self.prefix)).collect();
        anyhow::ensure!(!events.is_empty(), "no event code begins with {}", self.prefix);
        if self.json {
            let rows: Vec<_> = events
                .iter()
                .map(|e| json!({ "event": e.code(), "cause": e.cause(), "remedy": e.remedy() }))
                .collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
            return Ok(());
        }
        for event in events {
            writeln!(out, "{event}\n  cause   {}\n  remedy  {}", event.cause(), event.remedy())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(prefix: &str, json: bool) -> Result<String> {
        let mut out = Vec::new();
        EventsArgs { prefix: prefix.to_owned(), json }.run(&mut out)?;
        Ok(String::from_utf8(out)?)
    }

    #[test]
    fn every_event_is_explained_for_people_and_machines() {
        let people = told("store.", false).expect("there are some");
        assert!(people.contains("store.failed\n  cause   the disk"), "{people}");
        let rows: Vec<serde_json::Value> = serde_json::from_str(&told("", true).expect("all")).expect("JSON");
        assert_eq!(rows.len(), EventCode::ALL.len());
        assert!(told("nothing.", false).is_err());
    }
}
