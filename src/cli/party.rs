//! `gwanmun party`: the registered parties, and whether one can be reached.

use std::io::Write;

use anyhow::{Result, bail};
use serde::Deserialize;
use serde_json::json;

use super::ask::{Asking, ask, escaped, plain};
use super::check::{Source, list};
use crate::model::Fingerprint;

/// The registered parties
#[derive(Debug, clap::Args)]
pub struct PartyArgs {
    #[command(subcommand)]
    command: PartyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum PartyCommand {
    /// Parties, in order of box number
    #[command(after_help = "Example: gwanmun party list --json")]
    List(Source),
    /// Have the running gateway reach a party: connection, TLS, Ping, a test message and its status
    #[command(after_help = CHECK_HELP)]
    Check(CheckPartyArgs),
}

#[derive(Debug, clap::Args)]
struct CheckPartyArgs {
    /// Name or box number
    #[arg(value_name = "PARTY")]
    party: String,
    #[command(flatten)]
    asking: Asking,
}

const CHECK_HELP: &str = "\
The running gateway takes the steps of a message under every agreement with the party and says which one fails:
agreement, certificates, connect, tls, answer, pong, message, status. It posts a Ping (ebMS 2.0, 8); where the agreement
has \"Test Test\" under send, a signed message without documents, whose receipt must be that of any message; and a
StatusRequest (7) about it. Each goes to the endpoint that the agreement has for it; to every other one, as for errors
or single Actions, a connection is made, and nothing is sent. Each agreement has 10 s. Nothing is recorded here, and no delivery is touched; the party keeps the test message. Where
the agreement has signals travel by themselves, they also show that the party reaches us.

A step that is not agreed, or that a party need not offer, is shown as `-` and fails nothing; so is an agreement that is
not in force.

Exit code 1 when a step fails, or no agreement is in force.

Example: gwanmun party check KFDA";

/// What the gateway found.
#[derive(Debug, Deserialize)]
struct Report {
    party: String,
    name: String,
    reached: bool,
    agreements: Vec<Checked>,
}

#[derive(Debug, Deserialize)]
struct Checked {
    cpa_id: String,
    endpoint: String,
    steps: Vec<Taken>,
}

#[derive(Debug, Deserialize)]
struct Taken {
    step: String,
    ok: Option<bool>,
    says: String,
}

impl PartyArgs {
    /// Lists the parties, or has one reached.
    ///
    /// # Errors
    /// [`SettingsRefused`](crate::config::SettingsRefused) when there are mistakes in the settings; when no gateway
    /// answers; when a step fails.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            PartyCommand::List(source) => list_parties(source, out),
            PartyCommand::Check(command) => command.run(out),
        }
    }
}

fn list_parties(source: &Source, out: &mut dyn Write) -> Result<()> {
    let loaded = source.load(out)?;
    let rows = loaded.partners.registry.parties().map(|party| {
        let fingerprints = |list: &[Fingerprint]| list.iter().map(ToString::to_string).collect();
        let tls: Vec<String> = fingerprints(&party.tls_certificates);
        let signing: Vec<String> = fingerprints(&party.signing_certificates);
        (
            json!({ "key": party.key, "name": party.name, "kind": party.kind, "ids": party.ids,
                "tls_certificates": tls, "signing_certificates": signing }),
            vec![
                party.key.to_string(),
                party.name.to_string(),
                format!("{:?}", party.kind),
                tls.join("\n"),
                signing.join("\n"),
            ],
        )
    });
    list(source, out, &["party", "name", "kind", "TLS certificate", "signing certificate"], rows)
}

impl CheckPartyArgs {
    fn run(&self, out: &mut dyn Write) -> Result<()> {
        let answer = ask(&self.asking, "POST", &format!("/parties/{}/check", escaped(&self.party)))?;
        let report: Report = serde_json::from_value(answer.clone())?;
        if self.asking.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&answer)?)?;
        } else {
            report.tell(out)?;
        }
        if report.reached { Ok(()) } else { bail!("{} cannot be reached as agreed", plain(&report.name)) }
    }
}

impl Report {
    fn tell(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "{} {}", plain(&self.name), plain(&self.party))?;
        if self.agreements.is_empty() {
            writeln!(out, "  there is no agreement with it")?;
        }
        for Checked { cpa_id, endpoint, steps } in &self.agreements {
            writeln!(out, "  {}  {}", plain(cpa_id), plain(endpoint))?;
            for Taken { step, ok, says } in steps {
                let verdict = match ok {
                    Some(true) => "ok",
                    Some(false) => "FAILS",
                    None => "-",
                };
                writeln!(out, "    {step:<12} {verdict:<6} {}", plain(says))?;
            }
        }
        Ok(())
    }
}
