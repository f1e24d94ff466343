//! `gwanmun practice`: one scriptable practice partner.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tokio::signal::unix::{SignalKind, signal};

use super::authority::Authority;
use super::bank::{Bank, BankPlay, BankScript};
use super::node::{Manners, Node};
use super::partner::Partner;
use super::role::{Play, Role};
use super::script::Script;
use crate::config::{self, PartySettings, SettingsMistaken};
use crate::model::{Timestamp, parse_duration};
use crate::telemetry::{self, LogOptions};

/// Play one partner of the gateway: a broker, customs, an agency, the bank, or an authority for time stamps
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct PracticeArgs {
    /// What it plays
    #[arg(long, value_enum)]
    role: Role,
    /// Its settings
    #[arg(long, value_name = "PARTY.toml")]
    config: PathBuf,
    /// What an agency does with each application
    #[arg(long, value_name = "SCRIPT", default_value = "ACCEPT,300ms;REVIEW,500ms;APPROVE,1200ms")]
    script: Script,
    /// How long customs thinks before each notice
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = parse_duration)]
    customs_delay: Duration,
    /// Take each message, and wait so long before the HTTP answer
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = parse_duration)]
    slow: Duration,
    /// Take connections and requests, and never answer
    #[arg(long)]
    dead: bool,
    /// What a bank does with the requests about each payment, in turn
    #[arg(long, value_name = "SCRIPT", default_value = "")]
    bank_script: BankScript,
    /// An account that covers nothing; repeat for several
    #[arg(long, value_name = "ACCOUNT")]
    without_funds: Vec<String>,
}

const HELP: &str = r#"A SCRIPT is a list of moves, each with the delay after the one before:
  ACCEPT REVIEW Z01 D01 INSPECT Z05      processing-status notices (RBH)
  ERROR                                  an error notice (RBG)
  APPROVE CONDITIONAL REJECT EXCLUDE     results; with @2+3 for these items only, the others being approved
  CANCEL REVOKE LAPSE
  FEE@30000                              a fee notice (XF1); the moves after it wait until the fee is paid (XF3)
What is owed at once (0s) under an agreement with responseOnly or signalsAndResponse goes back on the connection of what
it answers, with the receipt in it.
An application brings its own script in a remark: <Content>SIM:D01,3s;APPROVE,10s</Content>.
  --script 'APPROVE,0s;ACCEPT,2s'        the result overtakes the notice
  --script 'REJECT@2,1s'                 all but item 2 are approved
  --script ''                            takes applications and never decides
Customs accepts a declaration (R99), and clears it (023, 13) when everything is collected and favourable, or keeps it
pending (5GZ, 15); it grants amendments (5FK, 06) and withdrawals (5BG, 06). A declaration brings its own script in a
remark, <Content>SIM:ACCEPT;INSPECT,1s;WAIVE,1s;COLLECTED;CLEAR,2s</Content>, with the words
  ACCEPT INSPECT WAIVE                   R99, 5EM, 5EN
  PEND SUPPLEMENT STATUS CLEAR DISMISS   5GZ, 5GV, 023, 023 (13), R21; with @CODE for another reason or status
  COLLECTED                              waits until every agency has answered
and so does an amendment or a withdrawal: GRANT CONSIDER REFUSE. A broker collects.
A bank books payments: its --bank-script is what the requests about each payment
get, in turn, and every later one is booked and answered:
  PAY,3s REFUSE,3s                       books it, or refuses it, and answers 3 s later
  DROP                                   books it and never answers
  BUSY                                   does nothing, and says so (503)

PARTY.toml, with paths relative to it:
  [identity]                             who it is
  party = "AG000000000001"               box number
  role = "Agency"                        Declarant, Customs or Agency
  domain = "kfda.example"                domain of its MessageIds
  [listen]
  ebms = "127.0.0.1:18001"               where the gateway posts to; path = "/ebms"
  [tls]
  certificate = "tls.pem"                also key, anchors, pinned, revocation_lists
  [[signing]]
  certificate = "signing.pem"            also key; once for each algorithm
  [journal]
  directory = "kfda"                     journal.jsonl: everything received and sent, one JSON object a line
  [gateway]                              who is at the other end
  key = "SW000000000001"                 also name, tls_certificates, signing_certificates
  [[agreement]]                          as in the gateway's partner file, seen from this side:
  cpa_id = "swgw-kfda-3"                 partner_role, endpoint, send, receive, retries, retry_interval, …
A bank has a BANK.toml:
  [listen]
  api = "127.0.0.1:18444"
  [tls]
  certificate = "tls.pem"                also key, anchors, pinned, revocation_lists
  [clients]
  tls_certificates = ["gateway.pem"]     whose orders it takes
  [ledger]
  directory = "bank"                     ledger.jsonl: every booking and refusal, one JSON object a line
An authority gives time stamps with `openssl ts` (RFC 3161); its certificate is time-stamp.pem of
`gwanmun pki practice`. It has an AUTHORITY.toml:
  [listen]
  api = "127.0.0.1:18445"
  [tls]
  certificate = "tls.pem"                also key, anchors, pinned, revocation_lists
  [time_stamp]
  certificate = "time-stamp.pem"         also key
  policy = "1.3.6.1.4.1.99999.1"         under which its time stamps are given
  directory = "authority"                its serial numbers
`gwanmun demo --prepare --directory DIR` writes a whole set of examples.

Example:
  gwanmun practice --role agency --config kfda.toml --script 'D01,3s;APPROVE,10s'"#;

impl PracticeArgs {
    /// Plays until SIGTERM or Ctrl-C.
    ///
    /// # Errors
    /// When its settings have mistakes, its address is taken, or its journal cannot be opened.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        telemetry::init(&LogOptions::default())?;
        if self.role == Role::Bank {
            return self.run_bank(out);
        }
        if self.role == Role::Authority {
            return self.run_authority(out);
        }
        let partner = Partner::new(load(&self.config)?)?;
        let play = Play { role: self.role, script: self.script.clone(), customs_delay: self.customs_delay };
        let manners = Manners { slow: self.slow, dead: self.dead };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let party = partner.settings().identity.key.clone();
            let node = Node::start(partner, play, manners, now).await?;
            if let Some(address) = node.address() {
                writeln!(out, "{party} listens on {address}")?;
                out.flush()?;
            }
            told_to_end().await?;
            node.stop(STOP_WITHIN).await;
            Ok(())
        })
    }

    fn run_bank(&self, out: &mut dyn Write) -> Result<()> {
        let settings = config::load_bank(&self.config).map_err(SettingsMistaken)?;
        let play = BankPlay { script: self.bank_script.clone(), without_funds: self.without_funds.clone() };
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let bank = Bank::start(settings, play, now).await?;
            if let Some(address) = bank.address() {
                writeln!(out, "the bank listens on {address}")?;
                out.flush()?;
            }
            told_to_end().await?;
            bank.stop(STOP_WITHIN).await;
            Ok(())
        })
    }

    fn run_authority(&self, out: &mut dyn Write) -> Result<()> {
        let settings = config::load_authority(&self.config).map_err(SettingsMistaken)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let authority = Authority::start(settings).await?;
            if let Some(address) = authority.address() {
                writeln!(out, "the authority listens on {address}")?;
                out.flush()?;
            }
            told_to_end().await?;
            authority.stop(STOP_WITHIN).await;
            Ok(())
        })
    }
}

async fn told_to_end() -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}

/// Reads a partner's settings; every mistake is told.
pub(super) fn load(path: &Path) -> Result<PartySettings> {
    Ok(config::load_party(path).map_err(SettingsMistaken)?)
}

#[expect(clippy::disallowed_methods, reason = "the one clock of a practice partner")]
pub(super) fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

const STOP_WITHIN: Duration = Duration::from_secs(2);
