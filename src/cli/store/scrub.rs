//! `gwanmun store scrub`: has the running gateway read its whole store now, and waits for what it finds (P12).

use std::io::Write;
use std::thread;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Deserialize;

use super::super::ask::{Asking, ask, ask_for, plain, table};
use super::progress::Progress;

/// Have the running gateway look for damage in its whole store now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The gateway does so by itself, slowly, every [store] scrub_interval. Every record is held against its checksum and every
payload against its SHA-256; what is damaged is served to nobody, and all others flow. The pages of the database and the
conservation law are checked by `gwanmun store verify`.

Exit codes: 0 nothing is damaged, 1 something is, or no gateway answers, 2 wrong usage.

Example: gwanmun store scrub --config gwanmun.toml")]
pub(super) struct ScrubArgs {
    #[command(flatten)]
    asking: Asking,
}

#[derive(Deserialize)]
struct Told {
    under_way: Option<Place>,
    last: Option<Round>,
}

#[derive(Deserialize)]
struct Place {
    at: String,
    records: u64,
}

#[derive(Deserialize)]
struct Round {
    round: u64,
    records: u64,
    damaged: Vec<Damaged>,
    error: Option<String>,
}

#[derive(Deserialize)]
struct Damaged {
    what: String,
    detail: String,
}

impl ScrubArgs {
    pub(super) fn run(&self, out: &mut dyn Write) -> Result<()> {
        let asking = &self.asking;
        let asked = ask(asking, "POST", "/store/scrub")?["round"].as_u64().unwrap_or_default();
        let progress = Progress::shown(!asking.json);
        let (round, value) = loop {
            let (told, mut value) = ask_for::<Told>(asking, "/store/scrub")?;
            match told.last {
                Some(round) if round.round >= asked => break (round, value["last"].take()),
                _ => {}
            }
            if let Some(place) = told.under_way {
                progress.says(format!("{} ({} records)", plain(&place.at), place.records));
            }
            thread::sleep(LOOK_EVERY);
        };
        drop(progress);
        if asking.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&value)?)?;
        } else if round.error.is_none() {
            if !round.damaged.is_empty() {
                let rows = round.damaged.iter().map(|damaged| [damaged.what.clone(), damaged.detail.clone()]);
                writeln!(out, "{}", table(["damaged", "detail"], rows))?;
            }
            writeln!(out, "{} records were read, {} are damaged", round.records, round.damaged.len())?;
        }
        if let Some(why) = round.error {
            bail!("the store cannot be scrubbed: {}", plain(&why));
        }
        match round.damaged.len() {
            0 => Ok(()),
            count => bail!("{count} record(s) are damaged; see `gwanmun events store.damaged`"),
        }
    }
}

/// How often the gateway is asked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(100);
