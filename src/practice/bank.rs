//! A practice bank as a process: it books what the gateway orders, once for each key, and answers as its
//! script says.
//!
//! Promises: an answer leaves after its line in the [`Ledger`] is on stable storage; whoever hangs up cuts no
//! booking short; nobody without a certificate that it knows moves money (docs/operations.md, "Payments").

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use super::ledger::{Ledger, LedgerError, Transfer, Verdict};
use crate::config::BankSettings;
use crate::model::{Timestamp, ValueError, parse_duration};
use crate::transport::{Method, Request, Response, Server, ServerOptions, StatusCode, Tls, TlsContext};

/// What a bank does with the requests of one key, in turn; with every later one it does what it is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BankScript(Vec<BankMove>);

/// What a bank does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BankMove {
    /// Books it, and answers so much later.
    Pay(Duration),
    /// Refuses it, and answers so much later.
    Refuse(Duration),
    /// Books it and never answers.
    Drop,
    /// Does nothing and says so (503).
    Busy,
}

impl FromStr for BankScript {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let moves = text.split(';').map(str::trim).filter(|text| !text.is_empty());
        let moves = moves.map(BankMove::from_str).collect::<Result<Vec<_>, _>>()?;
        if moves.len() > MOVES_MAX {
            Err(ValueError::new("at most 100 moves", text))
        } else {
            Ok(Self(moves))
        }
    }
}

impl FromStr for BankMove {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let (name, after) = text.split_once(',').unwrap_or((text, "0s"));
        let after = parse_duration(after)?;
        match name {
            "PAY" => Ok(Self::Pay(after)),
            "REFUSE" => Ok(Self::Refuse(after)),
            "DROP" => Ok(Self::Drop),
            "BUSY" => Ok(Self::Busy),
            _ => Err(ValueError::new("PAY, REFUSE, DROP or BUSY, PAY and REFUSE with a delay", text)),
        }
    }
}

/// How a practice bank plays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BankPlay {
    /// What it does with the requests of each key.
    pub script: BankScript,
    /// Accounts that cover nothing.
    pub without_funds: Vec<String>,
}

/// A bank that listens.
pub struct Bank {
    server: Server,
}

struct Desk {
    ledger: Mutex<Ledger>,
    play: BankPlay,
    clients: Vec<[u8; 32]>,
    /// Requests of each key since the start.
    asked: Mutex<BTreeMap<String, usize>>,
    clock: fn() -> Timestamp,
}

impl Bank {
    /// Opens the ledger and listens.
    ///
    /// # Errors
    /// When the ledger cannot be opened or the address is taken.
    pub async fn start(settings: BankSettings, play: BankPlay, clock: fn() -> Timestamp) -> Result<Self> {
        let ledger = Ledger::open(&settings.directory)
            .with_context(|| format!("the ledger in {}", settings.directory.display()))?;
        let tls = Tls::new(TlsContext::load(&settings.tls)?);
        let desk = Arc::new(Desk {
            ledger: Mutex::new(ledger),
            play,
            clients: settings.clients,
            asked: Mutex::default(),
            clock,
        });
        let handler = move |request: Request| {
            let desk = Arc::clone(&desk);
            // In a task of its own: a gateway that hangs up, or dies, cuts nothing short.
            let answering = tokio::spawn(async move { desk.answer(request).await });
            async move {
                let answered = answering.await;
                answered.unwrap_or_else(|_| Response::empty(StatusCode::INTERNAL_SERVER_ERROR))
            }
        };
        let options = ServerOptions {
            methods: vec![Method::PUT, Method::GET],
            body_bytes_max: BODY_BYTES_MAX,
            ..ServerOptions::default()
        };
        Ok(Self { server: Server::tls(settings.listen, tls, options, handler).await? })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.address()
    }

    /// Stops listening.
    pub async fn stop(self, deadline: Duration) {
        self.server.shutdown(deadline).await;
    }
}

/// An answer about a payment.
#[derive(Serialize)]
struct Answer<'a> {
    key: &'a str,
    order: &'a str,
    #[serde(flatten)]
    verdict: Verdict,
}

impl Desk {
    async fn answer(self: Arc<Self>, request: Request) -> Response {
        let known = request.peer.certificate_der_sha256().is_some_and(|peer| self.clients.contains(&peer));
        if !known {
            return refused(StatusCode::FORBIDDEN, "no account is kept for this certificate");
        }
        let key = request.path.strip_prefix(PAYMENTS).filter(|key| is_key(key)).map(str::to_owned);
        let Some(key) = key else { return refused(StatusCode::NOT_FOUND, "there is nothing here") };
        if request.method == Method::GET {
            return match lock(&self.ledger).said(&key) {
                Some((order, verdict)) => told(&Answer { key: &key, order: &order, verdict }),
                None => refused(StatusCode::NOT_FOUND, "no payment is known by this key"),
            };
        }
        let transfer: Transfer = match serde_json::from_slice(&request.body) {
            Ok(transfer) => transfer,
            Err(error) => return refused(StatusCode::BAD_REQUEST, &format!("it is no order: {error}")),
        };
        if transfer.amount.thousandths() <= 0 || transfer.order.is_empty() {
            return refused(StatusCode::BAD_REQUEST, "an order has a number and pays more than nothing");
        }
        let planned = self.planned(&key);
        let refuse = if self.play.without_funds.iter().any(|account| **account == *transfer.payer.account) {
            Some("the account does not cover the amount")
        } else if matches!(planned, BankMove::Refuse(_)) {
            Some("refused by the practice script")
        } else {
            None
        };
        if planned == BankMove::Busy {
            return refused(StatusCode::SERVICE_UNAVAILABLE, "come again later");
        }
        let desk = Arc::clone(&self);
        let (of_key, order) = (key.clone(), transfer.order.clone());
        let taken = tokio::task::spawn_blocking(move || {
            let now = (desk.clock)();
            lock(&desk.ledger).take(&of_key, &transfer, refuse, now)
        });
        let verdict = match taken.await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error @ LedgerError::OtherTransfer { .. })) => {
                return refused(StatusCode::CONFLICT, &error.to_string());
            }
            Ok(Err(error)) => return refused(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            Err(_) => return Response::empty(StatusCode::INTERNAL_SERVER_ERROR),
        };
        match planned {
            BankMove::Pay(after) | BankMove::Refuse(after) => sleep(after).await,
            BankMove::Drop => std::future::pending::<()>().await,
            BankMove::Busy => {}
        }
        told(&Answer { key: &key, order: &order, verdict })
    }

    /// What the script has for the next request of a key.
    fn planned(&self, key: &str) -> BankMove {
        let mut asked = lock(&self.asked);
        let count = asked.entry(key.to_owned()).or_default();
        let planned = self.play.script.0.get(*count).cloned();
        *count += 1;
        planned.unwrap_or(BankMove::Pay(Duration::ZERO))
    }
}

fn is_key(text: &str) -> bool {
    (1..=KEY_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn told(answer: &Answer<'_>) -> Response {
    let octets = serde_json::to_vec(answer).expect("an answer is plain data");
    Response::new(StatusCode::OK, "application/json", octets)
}

fn refused(status: StatusCode, why: &str) -> Response {
    Response::new(status, "application/json", json!({ "error": why }).to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const PAYMENTS: &str = "/payments/";
const KEY_CHARS_MAX: usize = 64;
const BODY_BYTES_MAX: usize = 64 * 1024;
const MOVES_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_what_each_request_of_a_key_gets() {
        fn check(text: &str, expected: Option<&[BankMove]>) {
            let read = text.parse::<BankScript>().ok();
            assert_eq!(read.as_ref().map(|script| script.0.as_slice()), expected, "{text}");
        }
        let second = Duration::from_secs(1);
        check("", Some(&[]));
        check("PAY", Some(&[BankMove::Pay(Duration::ZERO)]));
        check(
            "REFUSE,1s;DROP; BUSY;PAY,1s",
            Some(&[BankMove::Refuse(second), BankMove::Drop, BankMove::Busy, BankMove::Pay(second)]),
        );
        check("STEAL", None);
        check("PAY,soon", None);
        check(&["PAY"; 101].join(";"), None);
    }
}
