//! Asking a running gateway over its local socket.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use comfy_table::{Table, presets};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config;
use crate::transport::{LocalClient, LocalResponse, StatusCode};

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
    let answer = exchange(asking, method, path)?;
    match answer.status {
        StatusCode::OK | StatusCode::UNPROCESSABLE_ENTITY => {
            serde_json::from_slice(&answer.body).context("the gateway's answer")
        }
        StatusCode::NOT_FOUND => bail!("the gateway knows nothing of that name"),
        status => bail!("the gateway answers {status}: {}", String::from_utf8_lossy(&answer.body)),
    }
}

/// The same, as values of ours.
pub(super) fn ask_for<T: DeserializeOwned>(asking: &Asking, path: &str) -> Result<(T, Value)> {
    let value = ask(asking, "GET", path)?;
    Ok((serde_json::from_value(value.clone()).context("the gateway's answer")?, value))
}

fn exchange(asking: &Asking, method: &str, path: &str) -> Result<LocalResponse> {
    let socket = match config::socket_of(&asking.config) {
        Ok(socket) => socket,
        Err(faults) => {
            let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
            bail!("the settings do not say where the gateway is\n{}", told.join("\n"));
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = LocalClient::new(&socket);
    let answer = runtime.block_on(async {
        match method {
            "POST" => client.post(path, "application/json", Bytes::new()).await,
            _ => client.get(path).await,
        }
    });
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

/// A plain table.
pub(super) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings);
    for row in rows {
        table.add_row(row);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped() {
        assert_eq!(escaped("a@b/c d"), "a%40b%2Fc%20d");
        let parameters = [("case", Some("x&y".to_owned())), ("state", None)];
        assert_eq!(with_query("/deliveries", &parameters), "/deliveries?case=x%26y");
        assert_eq!(with_query("/cases", &[("state", None)]), "/cases");
    }
}
