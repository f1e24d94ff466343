//! `gwanmun send --check`: what the gateway would do with the documents. It decides and keeps nothing, and so
//! do we.

use std::io::Write;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::partner::Partner;
use crate::model::Sealed;
use crate::transport::{Call, Content, Method, StatusCode};

/// Asks what would come of a message, and prints it.
///
/// # Errors
/// When the gateway does not answer, or would not accept the message.
pub(super) async fn check(partner: &Partner, sealed: &Sealed, json: bool, out: &mut dyn Write) -> Result<()> {
    let endpoint =
        partner.settings().api.as_ref().context("[api] endpoint is missing in PARTY.toml")?.at("/check");
    let parties = partner.settings().gateway().tls_digests();
    let content_type = Some(&*sealed.content_type);
    let call = Call {
        method: Method::POST,
        content_type,
        body: Content::of(sealed.body.as_held(), sealed.body.bytes(), sealed.body.checked()),
        parties: &parties,
    };
    let answer = partner.call(&endpoint, call).await?;
    if answer.status != StatusCode::OK {
        bail!("the gateway answers HTTP {} and checks nothing", answer.status);
    }
    let foretold: Value = serde_json::from_slice(&answer.body)?;
    if json {
        writeln!(out, "{foretold}")?;
    } else {
        tell(&foretold, out)?;
    }
    out.flush()?;
    if foretold["accepted"] == true {
        Ok(())
    } else {
        bail!("these documents would not be accepted as they are")
    }
}

fn tell(foretold: &Value, out: &mut dyn Write) -> Result<()> {
    let list = |key: &str| foretold[key].as_array().cloned().unwrap_or_default();
    fn of<'a>(value: &'a Value, key: &str) -> &'a str {
        value[key].as_str().unwrap_or("-")
    }
    let errors = list("errors");
    if foretold["accepted"] != true && errors.is_empty() {
        writeln!(out, "{}", of(foretold, "reason"))?;
    }
    for error in &errors {
        let place = error["location"].as_str().map_or_else(String::new, |place| format!(" at {place}"));
        writeln!(out, "{}{place}: {}", of(error, "code"), of(error, "description"))?;
    }
    for delivery in list("deliveries") {
        writeln!(out, "{} would go to {}", of(&delivery, "action"), of(&delivery, "to"))?;
    }
    for application in list("applications") {
        let (agency, document) = (of(&application, "agency"), of(&application, "document"));
        let missing = if application["state"] == "blocked" { "; its document is missing" } else { "" };
        let needs = if application["required"] == true { "requires" } else { "gets, without requiring it," };
        writeln!(out, "{agency} {needs} {document} for lines {}{missing}", application["items"])?;
    }
    Ok(())
}
