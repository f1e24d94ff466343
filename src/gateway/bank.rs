//! The bank that fees are paid at: what the shell performs when the core says so, and the one place where its answers are
//! sorted into paid, refused, and to be asked again (docs/operations.md, "Payments").
//!
//! Promises: one request for one attempt, and no repeats of its own; an answer counts only when it names the payment and
//! the order that it was asked about; whatever is not plainly a booking or a refusal decides nothing.

use std::future::Future;
use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::model::{BankAccount, Charge, ChargeOutcome, CurrencyCode, Decimal, Timestamp};
use crate::transport::{Call, Client, Endpoint, Method, PostError, PostErrorKind, StatusCode};

/// What a charge comes to, in time.
pub(super) type Charging<'a> = Pin<Box<dyn Future<Output = ChargeOutcome> + Send + 'a>>;

/// A way to have a bank book payments. Whoever implements it for another bank owes two things: the same key is booked
/// once for ever, and an order that was answered is answered the same again.
pub(super) trait PaymentAdapter: Send + Sync {
    /// Has the bank book this, or hears what became of it before.
    fn charge<'a>(&'a self, charge: &'a Charge) -> Charging<'a>;
}

/// A bank that is asked with `PUT URL/KEY` over mutual TLS.
pub(super) struct HttpsBank {
    client: Client,
    url: Endpoint,
}

impl HttpsBank {
    pub(super) const fn new(client: Client, url: Endpoint) -> Self {
        Self { client, url }
    }
}

/// What the bank is asked.
#[derive(Serialize)]
struct Asked<'a> {
    order: &'a str,
    amount: Decimal,
    currency: &'a CurrencyCode,
    payer: &'a BankAccount,
    payee: &'a BankAccount,
    purpose: &'a str,
}

/// What it answers.
#[derive(Deserialize)]
struct Answer {
    key: String,
    order: String,
    state: String,
    reference: Option<String>,
    booked_at: Option<Timestamp>,
    reason: Option<String>,
}

impl PaymentAdapter for HttpsBank {
    fn charge<'a>(&'a self, charge: &'a Charge) -> Charging<'a> {
        Box::pin(async move {
            let Charge { key, order, price, payer, payee, purpose, .. } = charge;
            let (amount, currency) = (price.amount, &price.currency);
            let asked = Asked { order, amount, currency, payer, payee, purpose };
            let body = serde_json::to_vec(&asked).expect("an order is plain data").into();
            let call =
                Call { method: Method::PUT, content_type: Some("application/json"), body, parties: &[] };
            match self.client.call(&self.url.below(key), call).await {
                Ok(answer) => judge(charge, answer.status, &answer.body),
                Err(error) => no_answer(&error),
            }
        })
    }
}

/// What an answer says of the attempt.
fn judge(charge: &Charge, status: StatusCode, body: &[u8]) -> ChargeOutcome {
    let again = |reason: String, alarm| ChargeOutcome::Again { reason, alarm };
    if matches!(status.as_u16(), 429 | 500 | 502 | 503 | 504) {
        return again(format!("the bank answers {status}"), false);
    }
    let said = String::from_utf8_lossy(body).chars().take(SHOWN_CHARS).collect::<String>();
    if status != StatusCode::OK {
        return again(format!("the bank answers {status}: {said}"), true);
    }
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return again(format!("what the bank answers cannot be read: {said}"), true);
    };
    if *answer.key != *charge.key || *answer.order != *charge.order {
        let Answer { key, order, .. } = answer;
        return again(format!("the bank answers about order {order} under key {key}"), true);
    }
    match (&*answer.state, answer.reference, answer.booked_at) {
        ("booked", Some(reference), Some(at)) if is_reference(&reference) => {
            ChargeOutcome::Paid { reference: reference.into(), at }
        }
        ("refused", ..) => ChargeOutcome::Refused { reason: answer.reason.unwrap_or_default().into() },
        _ => again(format!("the bank answers neither a booking nor a refusal: {said}"), true),
    }
}

/// A reference that a document can carry (`BankReferenceID` of `PaymentConfirmation-1.xsd`).
fn is_reference(text: &str) -> bool {
    (1..=REFERENCE_CHARS_MAX).contains(&text.chars().count())
        && text.trim() == text
        && !text.chars().any(char::is_control)
}

/// A network may have a bad day; what a certificate or a protocol does wrong does not mend itself.
fn no_answer(error: &PostError) -> ChargeOutcome {
    use PostErrorKind::{
        Closed, Connect, Handshake, Protocol, Timeout, Tls, TooLarge, Unreadable, WrongParty,
    };
    let alarm = match error.kind {
        Connect | Handshake | Timeout | Closed => false,
        Tls | WrongParty | Protocol | TooLarge | Unreadable => true,
    };
    ChargeOutcome::Again { reason: error.to_string(), alarm }
}

/// Characters of an answer that are shown in the record.
const SHOWN_CHARS: usize = 200;
const REFERENCE_CHARS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Money;

    fn charge() -> Charge {
        let account = |name: &str| BankAccount { name: name.into(), account: "011-17".into() };
        let (amount, currency) = ("30000".parse().expect("a number"), "KRW".parse().expect("a currency"));
        Charge {
            bank: "bank".into(),
            key: "k1".into(),
            order: "PO-1".into(),
            price: Money { amount, currency },
            payer: account("payer"),
            payee: account("payee"),
            purpose: "test".into(),
        }
    }

    /// What an answer comes to: `paid REFERENCE`, `refused REASON`, `again`, or `alarm`.
    fn check(status: u16, body: &str, expected: &str) {
        let status = StatusCode::from_u16(status).expect("a status");
        let told = match judge(&charge(), status, body.as_bytes()) {
            ChargeOutcome::Paid { reference, at } => format!("paid {reference} {at}"),
            ChargeOutcome::Refused { reason } => format!("refused {reason}"),
            ChargeOutcome::Again { alarm: false, .. } => "again".to_owned(),
            ChargeOutcome::Again { alarm: true, .. } => "alarm".to_owned(),
        };
        assert_eq!(told, expected, "{status} {body}");
    }

    #[test]
    fn nothing_but_a_plain_answer_decides() {
        let booked = |key: &str, order: &str, reference: &str| {
            format!(
                "{{\"key\":\"{key}\",\"order\":\"{order}\",\"state\":\"booked\",\"reference\":\"{reference}\",\
                 \"booked_at\":\"2009-12-01T01:00:00Z\"}}"
            )
        };
        check(200, &booked("k1", "PO-1", "B-1"), "paid B-1 2009-12-01T01:00:00Z");
        check(200, &booked("k2", "PO-1", "B-1"), "alarm");
        check(200, &booked("k1", "PO-2", "B-1"), "alarm");
        check(200, &booked("k1", "PO-1", ""), "alarm");
        check(
            200,
            &booked("k1", "PO-1", &"B".repeat(64)),
            &format!("paid {} 2009-12-01T01:00:00Z", "B".repeat(64)),
        );
        check(200, &booked("k1", "PO-1", &"B".repeat(65)), "alarm");
        check(200, r#"{"key":"k1","order":"PO-1","state":"booked","reference":"B-1"}"#, "alarm");
        check(
            200,
            r#"{"key":"k1","order":"PO-1","state":"refused","reason":"no funds"}"#,
            "refused no funds",
        );
        check(200, r#"{"key":"k1","order":"PO-1","state":"refused"}"#, "refused ");
        check(200, r#"{"key":"k1","order":"PO-1","state":"pending"}"#, "alarm");
        check(200, "", "alarm");
        check(200, "paid", "alarm");
        for status in [429, 500, 502, 503, 504] {
            check(status, &booked("k1", "PO-1", "B-1"), "again");
        }
        for status in [201, 302, 400, 403, 404, 409] {
            check(status, &booked("k1", "PO-1", "B-1"), "alarm");
        }
    }
}
