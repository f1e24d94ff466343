//! Asking a running gateway over its local socket, and showing what it says.
//!
//! Text that came from partners is shown with its control characters escaped (S22). Colour only on a terminal.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use bytes::Bytes;
use comfy_table::{Cell, Color, Table, presets};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{self, SettingsMistaken};
use crate::model::PartyKey;
use crate::transport::{LocalClient, LocalResponse, PostError, StatusCode};

/// Whom to ask, and for whom the answer is.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Asking {
    /// Settings of the gateway; they name its socket
    #[arg(long, default_value = "gwanmun.toml", value_name = "FILE")]
    pub(super) config: PathBuf,
    /// For machines
    #[arg(long)]
    pub(super) json: bool,
}

/// The gateway's answer to a request, as JSON; a refused reload is an answer too.
pub(super) fn ask(asking: &Asking, method: &str, path: &str) -> Result<Value> {
    value_of(exchange(asking, method, path, Bytes::new())?)
}

/// The same, to octets that are sent.
pub(super) fn send(asking: &Asking, path: &str, octets: Bytes) -> Result<Value> {
    value_of(exchange(asking, "POST", path, octets)?)
}

/// The gateway's answer in octets, however many, into a new file; gives how many they are.
pub(super) fn fetch(asking: &Asking, path: &str, to: &Path) -> Result<u64> {
    let (mut file, mut bytes) = (None, 0);
    let fetched = with_client(asking, async |client| {
        let take = |octets: &[u8]| {
            let file = match &mut file {
                Some(file) => file,
                // Nothing is made before there is something to write, and nothing that is there is written over.
                none => none.insert(File::options().write(true).create_new(true).open(to)?),
            };
            bytes += octets.len() as u64;
            file.write_all(octets)
        };
        client.fetch(path, take).await
    });
    let fetched = fetched.and_then(|answer| match (answer.status, &file) {
        (StatusCode::OK, Some(file)) => Ok(file.sync_all()?),
        _ => Err(not_given(&answer)),
    });
    if fetched.is_err() && file.is_some() {
        // Half of an archive is none.
        drop(fs::remove_file(to));
    }
    fetched.with_context(|| format!("{} was not written", to.display()))?;
    Ok(bytes)
}

fn value_of(answer: LocalResponse) -> Result<Value> {
    match answer.status {
        StatusCode::OK | StatusCode::UNPROCESSABLE_ENTITY => {
            serde_json::from_slice(&answer.body).context("the gateway's answer")
        }
        _ => Err(not_given(&answer)),
    }
}

fn not_given(answer: &LocalResponse) -> anyhow::Error {
    let told: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let told = told.as_ref().and_then(|told| told["error"].as_str());
    anyhow!("the gateway answers {}: {}", answer.status, plain(told.unwrap_or("no more")))
}

/// The same, as values of ours.
pub(super) fn ask_for<T: DeserializeOwned>(asking: &Asking, path: &str) -> Result<(T, Value)> {
    let value = ask(asking, "GET", path)?;
    Ok((serde_json::from_value(value.clone()).context("the gateway's answer")?, value))
}

fn exchange(asking: &Asking, method: &str, path: &str, octets: Bytes) -> Result<LocalResponse> {
    with_client(asking, async |client| match method {
        "POST" => client.post(path, "application/octet-stream", octets).await,
        _ => client.get(path).await,
    })
}

fn with_client(
    asking: &Asking,
    ask: impl AsyncFnOnce(LocalClient) -> Result<LocalResponse, PostError>,
) -> Result<LocalResponse> {
    let socket = config::socket_of(&asking.config).map_err(SettingsMistaken);
    let socket = socket.context("the settings do not say where the gateway is")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(ask(LocalClient::new(&socket)));
    answer.with_context(|| format!("no gateway answers at {}; is it running?", socket.display()))
}

/// A part of a path, escaped (RFC 3986, 2.1).
pub(super) fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let escape = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(escape).collect()
}

/// A path with those of these parameters that have a value.
pub(super) fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let given = parameters.iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
    let pairs: Vec<_> = given.map(|(name, value)| format!("{name}={}", escaped(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

/// The registered parties by their names.
pub(super) struct Names(BTreeMap<PartyKey, String>);

#[derive(Deserialize)]
struct Named {
    key: PartyKey,
    name: String,
}

impl Names {
    /// As the gateway knows them.
    pub(super) fn ask(asking: &Asking) -> Result<Self> {
        let (parties, _) = ask_for::<Vec<Named>>(asking, "/parties")?;
        Ok(Self(parties.into_iter().map(|party| (party.key, party.name)).collect()))
    }

    /// The name of a party; its box number when it is not registered.
    pub(super) fn of(&self, party: &PartyKey) -> String {
        self.0.get(party).map_or_else(|| party.to_string(), Clone::clone)
    }
}

/// The box number of a party that is called by its name or box number.
pub(super) fn party(asking: &Asking, called: Option<&String>) -> Result<Option<String>> {
    let Some(called) = called else { return Ok(None) };
    let Names(names) = Names::ask(asking)?;
    let key = names.iter().find(|(key, name)| key.as_str() == called || *name == called);
    let (key, _) = key.with_context(|| format!("no party is called {called}; see `gwanmun party list`"))?;
    Ok(Some(key.to_string()))
}

/// Text on one line, its control characters escaped.
pub(super) fn plain(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// A table without lines. What is headed `state` is coloured on a terminal.
pub(super) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    if std::env::var_os("NO_COLOR").is_some() {
        table.force_no_tty();
    }
    for row in rows {
        table.add_row(headings.iter().zip(row).map(|(heading, text)| {
            let cell = Cell::new(plain(&text));
            if *heading == "state" { cell.fg(color_of(&text)) } else { cell }
        }));
    }
    table
}

/// Well, for an operator to look at, or still going on.
fn color_of(state: &str) -> Color {
    match state {
        "ready"
        | "cleared"
        | "accepted"
        | "delivered"
        | "approved"
        | "approved_conditional"
        | "not_applicable"
        | "in force" => Color::Green,
        "blocked" | "dismissed" | "refused" | "quarantined" | "rejected" | "expired" | "undeliverable"
        | "error" | "revoked" | "lapsed" => Color::Red,
        _ => Color::Yellow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_partners_wrote_cannot_steer_a_terminal() {
        assert_eq!(plain("승인 \u{1b}[31m\u{9b}m\n"), "승인 \\u{1b}[31m\\u{9b}m\\n", "S22");
        let shown = table(["state", "reason"], [["ready".to_owned(), "a\nb".to_owned()]]).to_string();
        assert_eq!(shown.lines().count(), 2, "{shown}");
    }

    #[test]
    fn paths_are_escaped() {
        assert_eq!(escaped("a@b/c d"), "a%40b%2Fc%20d");
        let parameters = [("case", Some("x&y".to_owned())), ("state", None)];
        assert_eq!(with_query("/deliveries", &parameters), "/deliveries?case=x%26y");
        assert_eq!(with_query("/cases", &[("state", None)]), "/cases");
    }
}
