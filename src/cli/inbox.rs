//! `gwanmun inbox`: an officer of an agency without a system looks and acts, over the gateway's API.
//!
//! A client and nothing more: who may do what, and what an act becomes, the gateway decides.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::{escaped, plain};
use crate::config::{self, OfficerSettings, SettingsMistaken};
use crate::model::{Act, BankAccount, CurrencyCode, Decimal, Money, Outcome, ResultItem, Timestamp};
use crate::transport::{Call, Client, ClientOptions, Method, PostResponse, StatusCode, Tls, TlsContext};

/// Work in the inbox of an agency without a system
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = HELP)]
pub struct InboxArgs {
    #[command(subcommand)]
    command: InboxCommand,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum InboxCommand {
    /// Applications that wait for a decision
    List {
        #[command(flatten)]
        access: Access,
        /// Those that are decided too
        #[arg(long)]
        all: bool,
        /// How many, of the newest cases
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// One application, its documents and what was done; with --save, its parts as files
    Show {
        #[command(flatten)]
        access: Access,
        /// Its number
        application: String,
        /// Where to put its documents and attachments
        #[arg(long, value_name = "DIRECTORY")]
        save: Option<PathBuf>,
    },
    /// Take an application on: the applicant hears that it is accepted for examination
    Take(Acting),
    /// Ask the applicant for a supplement
    Supplement {
        #[command(flatten)]
        acting: Acting,
        /// Until when, such as 2009-12-15T18:00:00+09:00
        #[arg(long)]
        deadline: Timestamp,
        /// What is wanted
        #[arg(long)]
        reason: String,
    },
    /// Order an inspection of the goods
    Inspect {
        #[command(flatten)]
        acting: Acting,
        /// When, where, by whom
        #[arg(long)]
        remarks: Option<String>,
    },
    /// Ask the applicant for a fee
    Fee {
        #[command(flatten)]
        acting: Acting,
        /// How much, such as 30000 or 12.50
        #[arg(long)]
        amount: Decimal,
        /// Of what
        #[arg(long, default_value = "KRW")]
        currency: CurrencyCode,
        /// To whom it is paid
        #[arg(long)]
        payee: String,
        /// The payee's account: 4 to 34 capital letters, digits, hyphens
        #[arg(long)]
        account: String,
        /// Until when, such as 2009-12-15T18:00:00+09:00
        #[arg(long, value_name = "TIME")]
        due: Timestamp,
        /// What for
        #[arg(long)]
        reason: String,
    },
    /// Decide an application, or some of its items
    Decide {
        #[command(flatten)]
        acting: Acting,
        /// Of every item that no --item names
        #[arg(long, value_parser = outcome)]
        outcome: Option<Outcome>,
        /// One item: SEQUENCE=OUTCOME, then, where wanted, ,QUANTITY and ,REASON; repeat for several
        #[arg(long = "item", value_name = "ITEM", value_parser = item)]
        items: Vec<ResultItem>,
        /// Number under which declarations can cite what the --item approve with a QUANTITY, in kilograms; without it,
        /// that of the result
        #[arg(long, value_name = "NUMBER")]
        approval: Option<String>,
        /// How long an approval is valid
        #[arg(long)]
        valid_until: Option<Timestamp>,
        /// Conditions of an approval, reasons of a refusal
        #[arg(long)]
        remarks: Option<String>,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct Access {
    /// The officer's settings
    #[arg(long, default_value = "officer.toml", value_name = "OFFICER.toml")]
    config: PathBuf,
    /// For machines
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, clap::Args)]
struct Acting {
    #[command(flatten)]
    access: Access,
    /// Number of the application
    application: String,
    /// The version that you decided on, as `show` tells it: if anything has happened since, nothing is done
    #[arg(long)]
    version: String,
}

const HELP: &str = r#"OFFICER.toml, with paths relative to it:
  [api]
  endpoint = "https://gateway.example:8444"
  [tls]
  certificate = "kim.pem"                also key, and anchors of the gateway's certificate

Outcomes: approved, approved_conditional (say the conditions in --remarks), rejected, not_applicable, cancelled,
revoked, lapsed. What is decided goes out at once, signed by the agency, to the applicant and to customs; only a
supervisor can decide anew.

Every act names the version that you looked at. When somebody else was faster, nothing is done, the exit code is 1 and
the answer says what happened: look again.

Examples:
  gwanmun inbox list --config kim.toml
  gwanmun inbox show X11-20091201-000007 --config kim.toml --save /tmp/X11-20091201-000007
  gwanmun inbox take X11-20091201-000007 --version k3jx27abcdef --config kim.toml
  gwanmun inbox fee X11-20091201-000007 --version k3jx27abcdef --amount 30000 --payee KTL --account 011-17-000381 \
    --due 2009-12-15T18:00:00+09:00 --reason 'test of one sample' --config kim.toml
  gwanmun inbox decide X11-20091201-000007 --version mmq2r4abcdef --outcome approved --item '2=rejected,,no certificate'"#;

impl InboxArgs {
    /// Looks or acts.
    ///
    /// # Errors
    /// When the settings have mistakes, the gateway does not answer, or it says no.
    pub fn run(&self, out: &mut dyn Write) -> Result<()> {
        match &self.command {
            InboxCommand::List { access, all, limit } => list(access, *all, *limit, out),
            InboxCommand::Show { access, application, save } => {
                show(access, application, save.as_deref(), out)
            }
            InboxCommand::Take(acting) => acting.act(&Act::Take, out),
            InboxCommand::Supplement { acting, deadline, reason } => {
                acting.act(&Act::Supplement { deadline: *deadline, reason: reason.as_str().into() }, out)
            }
            InboxCommand::Inspect { acting, remarks } => {
                acting.act(&Act::Inspect { remarks: remarks.as_deref().map(Into::into) }, out)
            }
            InboxCommand::Fee { acting, amount, currency, payee, account, due, reason } => {
                let act = Act::Fee {
                    price: Money { amount: *amount, currency: currency.clone() },
                    payee: BankAccount { name: payee.as_str().into(), account: account.as_str().into() },
                    due_by: *due,
                    reason: reason.as_str().into(),
                };
                acting.act(&act, out)
            }
            InboxCommand::Decide { acting, outcome, items, approval, valid_until, remarks } => {
                if outcome.is_none() && items.is_empty() {
                    bail!("nothing is decided: give --outcome, or an --item");
                }
                let mut items = items.clone();
                if let Some(number) = approval {
                    let mut of = items.iter_mut().filter(|item| item.quantity.is_some()).peekable();
                    if of.peek().is_none() {
                        bail!("--approval {number}: no --item has a QUANTITY that could be cited");
                    }
                    of.for_each(|item| item.approval = Some(number.as_str().into()));
                }
                let act = Act::Decide {
                    outcome: *outcome,
                    valid_until: *valid_until,
                    remarks: remarks.as_deref().map(Into::into),
                    items,
                };
                acting.act(&act, out)
            }
        }
    }
}

fn list(access: &Access, all: bool, limit: usize, out: &mut dyn Write) -> Result<()> {
    let lines = access.ask(&format!("/inbox?all={all}&limit={limit}"))?;
    if access.json {
        return Ok(writeln!(out, "{lines}")?);
    }
    let lines = lines.as_array().context("the gateway's answer is no list")?;
    for line in lines {
        let of = |key: &str| plain(line[key].as_str().unwrap_or("-"));
        let state = &line["state"];
        let decided = state["decided"].as_str();
        let state = plain(state.as_str().or(decided).unwrap_or("-"));
        let (number, document, officer) = (of("application"), of("document"), of("officer"));
        let until = of("decide_by");
        writeln!(
            out,
            "{number:<24} {document:<10} {state:<22} {officer:<12} until {until}  version {}",
            of("version")
        )?;
    }
    Ok(writeln!(out, "{} application(s)", lines.len())?)
}

fn show(access: &Access, number: &str, save: Option<&Path>, out: &mut dyn Write) -> Result<()> {
    let told = access.ask(&format!("/inbox/{}", escaped(number)))?;
    let documents = told["documents"].as_array().cloned().unwrap_or_default();
    if let Some(directory) = save {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        for (place, document) in (1..).zip(&documents) {
            let part = document["part"].as_str().context("a part without a name")?;
            let octets = access.call(
                Method::GET,
                &format!("/inbox/{}/parts/{part}", escaped(number)),
                Bytes::new(),
            )?;
            let extension = match document["media_type"].as_str() {
                Some("application/xml" | "text/xml") => "xml",
                Some("application/pdf") => "pdf",
                _ => "bin",
            };
            fs::write(directory.join(format!("part-{place}.{extension}")), &octets.body)?;
        }
    }
    if access.json {
        return Ok(writeln!(out, "{told}")?);
    }
    let application = &told["application"];
    let of = |value: &Value| plain(value.as_str().unwrap_or("-"));
    let state = application["state"].as_str().or(application["state"]["decided"].as_str()).unwrap_or("-");
    writeln!(out, "{} {}  version {}", of(&application["document"]), plain(number), of(&told["version"]))?;
    writeln!(out, "  state        {}", plain(state))?;
    writeln!(out, "  officer      {}", of(&application["officer"]))?;
    writeln!(out, "  declaration  {}, lodged {}", of(&told["declaration"]), of(&told["lodged_at"]))?;
    writeln!(out, "  items        {}", application["items"])?;
    writeln!(out, "  decide by    {}", of(&application["decide_by"]))?;
    for fee in application["fees"].as_array().into_iter().flatten() {
        let of = |key: &str| of(&fee[key]);
        let price = &fee["price"];
        let (amount, currency) = (price["amount"].as_str(), price["currency"].as_str());
        let price = format!("{} {}", plain(amount.unwrap_or("-")), plain(currency.unwrap_or("-")));
        writeln!(out, "  fee          {} {}: {price}, due {}", of("number"), of("state"), of("due_by"))?;
    }
    for notice in application["notices"].as_array().into_iter().flatten() {
        let (said, remarks) = (of(&notice["notice"]), of(&notice["remarks"]));
        writeln!(out, "  {}  {said} {remarks}", of(&notice["issued_at"]))?;
    }
    for (place, document) in (1..).zip(&documents) {
        let (media_type, bytes) = (of(&document["media_type"]), &document["bytes"]);
        writeln!(out, "  part {place}: {} {media_type}, {bytes} octets", of(&document["name"]))?;
        if let Some(text) = document["text"].as_str() {
            for line in text.lines() {
                writeln!(out, "    {}", plain(line))?;
            }
        }
    }
    Ok(())
}

impl Acting {
    fn act(&self, act: &Act, out: &mut dyn Write) -> Result<()> {
        let mut body = serde_json::to_value(act)?;
        let fields = body.as_object_mut().context("an act is an object")?;
        fields.insert("version".to_owned(), json!(self.version));
        let path = format!("/inbox/{}", escaped(&self.application));
        let octets = serde_json::to_vec(&body)?.into();
        let told: Value = serde_json::from_slice(&self.access.call(Method::POST, &path, octets)?.body)?;
        if self.access.json {
            return Ok(writeln!(out, "{told}")?);
        }
        let says = plain(told["says"].as_str().unwrap_or("done"));
        match told["version"].as_str() {
            Some(version) => writeln!(out, "{says}; version {}", plain(version))?,
            None => writeln!(out, "{says}")?,
        }
        Ok(())
    }
}

impl Access {
    fn ask(&self, path: &str) -> Result<Value> {
        Ok(serde_json::from_slice(&self.call(Method::GET, path, Bytes::new())?.body)?)
    }

    /// The answer when it is a good one; else what the gateway says is the error.
    fn call(&self, method: Method, path: &str, body: Bytes) -> Result<PostResponse> {
        let OfficerSettings { tls, api } = config::load_officer(&self.config).map_err(SettingsMistaken)?;
        let client = Client::new(Tls::new(TlsContext::load(&tls)?), ClientOptions::default());
        let content_type = (!body.is_empty()).then_some("application/json");
        let call = Call { method, content_type, body: body.into(), parties: &[] };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let answer =
            runtime.block_on(client.call(&api.at(path), call)).context("the gateway does not answer")?;
        if answer.status == StatusCode::OK {
            return Ok(answer);
        }
        let told: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let says = match told["says"].as_str() {
            Some(says) => says,
            None if answer.status == StatusCode::FORBIDDEN => "this certificate is no officer's",
            None => "no more",
        };
        bail!("the gateway answers {}: {}", answer.status, plain(says))
    }
}

fn outcome(text: &str) -> Result<Outcome, String> {
    serde_json::from_value(json!(text)).map_err(|_| format!("{text:?} is no outcome; see --help"))
}

/// `2=rejected`, `3=approved,120`, `4=rejected,,no certificate`.
fn item(text: &str) -> Result<ResultItem, String> {
    let wrong = || format!("{text:?} is not SEQUENCE=OUTCOME[,QUANTITY[,REASON]]");
    let (sequence, rest) = text.split_once('=').ok_or_else(wrong)?;
    let mut rest = rest.splitn(3, ',');
    let quantity = |text: &str| text.parse::<Decimal>().map_err(|error| format!("{text:?}: {error}"));
    Ok(ResultItem {
        unit: None,
        laws: Vec::new(),
        sequence: sequence.parse().map_err(|_| wrong())?,
        outcome: outcome(rest.next().ok_or_else(wrong)?)?,
        quantity: rest.next().filter(|text| !text.is_empty()).map(quantity).transpose()?,
        reason: rest.next().filter(|text| !text.is_empty()).map(Into::into),
        approval: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_read_as_help_says() {
        fn check(text: &str, expected: Option<(u16, Outcome, Option<&str>, Option<&str>)>) {
            let read = item(text).ok();
            let read = read.as_ref().map(|item| {
                let quantity = item.quantity.map(|quantity| quantity.to_string());
                (item.sequence, item.outcome, quantity, item.reason.as_deref().map(str::to_owned))
            });
            let owned = expected.map(|(sequence, outcome, quantity, reason)| {
                (sequence, outcome, quantity.map(str::to_owned), reason.map(str::to_owned))
            });
            assert_eq!(read, owned, "{text}");
        }
        check("2=rejected", Some((2, Outcome::Rejected, None, None)));
        check("3=approved,120", Some((3, Outcome::Approved, Some("120"), None)));
        check(
            "4=rejected,,no certificate, none",
            Some((4, Outcome::Rejected, None, Some("no certificate, none"))),
        );
        check("x=approved", None);
        check("1=good", None);
        check("1", None);
        check("1=approved,much", None);
    }
}
