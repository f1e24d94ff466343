//! `gwanmun stats`: how many applications there were, how long their stages took, how many were approved.

use std::io::Write;
use std::time::Duration;

use anyhow::Result;
use serde::Deserialize;

use super::ask::{Asking, Names, ask_for, party, table, with_query};
use crate::model::{Dimension, Month, PartyKey, Stage, StatisticsRow, format_duration};

/// Statistics of a running gateway
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Times are median and 90th percentile of each stage, by the gateway's clock: sent (from the lodging until the application
was owed to its agency), accepted, decided, cleared; each from the stage before it. Months are those of the rules' time
zone, and count by the lodging.

Examples:
  gwanmun stats --by agency,document
  gwanmun stats --month 2026-11 --by submitter --json")]
pub struct StatsArgs {
    /// Only cases lodged in this month, such as 2026-11
    #[arg(long)]
    month: Option<Month>,
    /// What to tell apart by: submitter, agency, document, month
    #[arg(long, value_delimiter = ',', default_value = "agency", value_parser = dimension)]
    by: Vec<Dimension>,
    /// Only those of this party, by name or box number
    #[arg(long, value_name = "PARTY")]
    submitter: Option<String>,
    /// Rehearsals, and nothing of production
    #[arg(long)]
    practice: bool,
    #[command(flatten)]
    asking: Asking,
}

fn dimension(text: &str) -> Result<Dimension, String> {
    text.parse().map_err(|error: crate::model::ValueError| error.to_string())
}

#[derive(Deserialize)]
struct Answer {
    rows: Vec<StatisticsRow>,
}

impl StatsArgs {
    /// Asks and tells.
    ///
    /// # Errors
    /// When no gateway answers.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        let asking = &self.asking;
        let word = |dimension: &Dimension| {
            serde_json::to_value(dimension)
                .ok()
                .and_then(|word| word.as_str().map(str::to_owned))
                .unwrap_or_default()
        };
        let parameters = [
            ("month", self.month.map(|month| month.to_string())),
            ("by", Some(self.by.iter().map(word).collect::<Vec<_>>().join(","))),
            ("submitter", party(asking, self.submitter.as_ref())?),
            ("practice", self.practice.then(|| "true".to_owned())),
        ];
        let (answer, value) = ask_for::<Answer>(asking, &with_query("/statistics", &parameters))?;
        if asking.json {
            return Ok(writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?);
        }
        let names = Names::ask(asking)?;
        let rows = answer.rows.iter().map(|row| {
            let of = self.by.iter().zip(&row.of).map(|(dimension, of)| {
                match (dimension, PartyKey::new(of.clone())) {
                    (Dimension::Submitter, Ok(party)) => names.of(&party),
                    _ => of.to_string(),
                }
            });
            let rate =
                row.approval_percent().map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"));
            let [sent, accepted, decided, cleared] = Stage::ALL.map(|stage| times(row, stage));
            [
                of.collect::<Vec<_>>().join(", "),
                row.applications.to_string(),
                row.decided.to_string(),
                rate,
                sent,
                accepted,
                decided,
                cleared,
            ]
        });
        let headings =
            ["of", "applications", "decided", "approved", "sent", "accepted", "decided after", "cleared"];
        Ok(writeln!(out, "{}", table(headings, rows))?)
    }
}

/// Median and 90th percentile of a stage, with how many passed it.
fn times(row: &StatisticsRow, stage: Stage) -> String {
    let Some(times) = row.stages.iter().find(|times| times.stage == stage) else { return "-".to_owned() };
    let shown = |seconds| match seconds {
        0 => "0s".to_owned(),
        seconds => format_duration(Duration::from_secs(seconds)),
    };
    format!("{} / {} ({})", shown(times.median_seconds), shown(times.p90_seconds), times.count)
}
