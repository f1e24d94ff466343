//! `gwanmun send --query`, `--requirements`, `--statistics`, `--again`: what a broker's software asks the
//! gateway by an ebMS message of its own (XS1). The receipt comes at once; the answer is a message to the
//! partner's own listener, and is read in its journal.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::command::now;
use super::hear::{self, Hearing};
use super::journal::{Ending, Entry, Journal, Octets, Received};
use super::node::{read_first, received};
use super::outcome::Outcome;
use super::partner::{Letter, Partner};
use crate::codec::catalogue::Catalogue;
use crate::codec::document::{read_document, write_query};
use crate::model::{
    Asked, ContentId, ConversationId, Digest, Document, DocumentCode, HsCode, MessageId, Month, Payload,
    Query, QueryAnswer, StatusReport, role_of_document_code,
};
use crate::security::Verified;

const QUERY: &str = "GOVCBRXS1";
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Goods in short: `HS [ORIGIN [USAGE]]`.
pub(super) fn goods(text: &str) -> Result<Asked, String> {
    let mut words = text.split_whitespace();
    let wrong = |error: crate::model::ValueError| error.to_string();
    let hs: HsCode = words
        .next()
        .ok_or("write an HS code, and origin and usage if you know them")?
        .parse()
        .map_err(wrong)?;
    let origin = words.next().map(str::parse).transpose().map_err(wrong)?;
    let usage = words.next().map(str::parse).transpose().map_err(wrong)?;
    match words.next() {
        None => Ok(Asked::Requirements { hs, origin, usage, at: None }),
        Some(more) => Err(format!("{more:?} is too much: write HS code, origin, usage")),
    }
}

/// A month, or `now` for the running one.
pub(super) fn month(text: &str) -> Result<Asked, String> {
    match text {
        "now" => Ok(Asked::Statistics(None)),
        text => text
            .parse::<Month>()
            .map(|month| Asked::Statistics(Some(month)))
            .map_err(|error| error.to_string()),
    }
}

/// Asks, and prints the answer.
///
/// # Errors
/// When the gateway refuses, or no answer comes within `patience`.
pub(super) async fn inquire(
    partner: &Partner,
    asks: Asked,
    patience: Duration,
    json: bool,
    out: &mut dyn Write,
) -> Result<()> {
    let settings = partner.settings();
    let service = settings.service_of(QUERY).with_context(|| format!("no agreement lets us send {QUERY}"))?;
    let comes_by_itself = matches!(asks, Asked::Redelivery(_));
    let message_id = partner.fresh_id()?;
    let number = format!("Q-{}", now().as_millis());
    let query = Query { number: number.clone().into(), issued_at: now(), asks };
    let code = DocumentCode::new(QUERY)?;
    let body = Bytes::from(write_query(&query));
    let payload = Payload {
        content_id: ContentId::new(format!("{number}@{}", settings.identity.domain))?,
        media_type: "application/xml".into(),
        role: Some(role_of_document_code(&code).into()),
        digest: Digest::of(&body),
        body: body.into(),
    };
    let letter = Letter {
        message_id: message_id.clone(),
        conversation_id: ConversationId::new(number)?,
        ref_to_message_id: None,
        service,
        action: QUERY.into(),
        payloads: vec![payload],
        acknowledgments: Vec::new(),
        order: None,
    };
    // Its conversation is its own: no other message waits for its number.
    let (outgoing, _) = partner.seal_in_order(letter, now())?;
    let agreement = partner.agreement(&outgoing.cpa_id)?;
    if let (Hearing::Nobody, false) = (Hearing::under(partner, agreement)?, comes_by_itself) {
        bail!("agreement {}: the answer {}", agreement.cpa_id, hear::comes_to(partner));
    }
    let journal = Journal::path_in(&settings.directory);
    let (_, before) = Journal::entries_from(&journal, 0)?;
    let Outcome { how, reason, response } = hear::deliver(partner, &outgoing).await?;
    match how {
        Ending::Acknowledged | Ending::Taken => {}
        Ending::Refused => bail!("the gateway refuses:\n{reason}"),
        Ending::Expired => bail!("no receipt for {message_id}: {reason}"),
    }
    if comes_by_itself {
        return Ok(writeln!(out, "it comes again to where it came before")?);
    }
    let answer = match response {
        Some(response) => taken_in(partner, &response).await?,
        None => answer_in(&journal, before, &message_id, patience).await?,
    };
    if json {
        return Ok(writeln!(out, "{}", serde_json::to_string(&answer)?)?);
    }
    let text = answer.text.as_deref().context("the answer has no document")?;
    match read_document(
        Catalogue::built_in(),
        &DocumentCode::new(answer.action.clone())?,
        text.as_bytes(),
        now(),
    ) {
        Ok(Document::StatusReport(report)) => tell_status(&report, out),
        Ok(Document::QueryAnswer(answer)) => tell_answer(&answer, out),
        Ok(_) | Err(_) => Ok(writeln!(out, "{text}")?),
    }
}

/// A response that came back on the connection with the receipt in it, as a listener would note it;
/// acknowledged.
pub(super) async fn taken_in(partner: &Partner, response: &Verified) -> Result<Received> {
    let message = response.message();
    partner.acknowledge(response, now()).await?;
    let document = read_first(&partner.settings().catalogue, message, now());
    let content = message.content_digest(response.is_signed());
    // No repeat is answered: it went to nobody who listens.
    let answer = Octets { content_type: "".into(), body: Vec::new() };
    Ok(received(message, document.as_ref(), content, answer, now()))
}

/// The answer to this very query, once the partner's listener has taken it in.
async fn answer_in(journal: &Path, mut at: u64, query: &MessageId, patience: Duration) -> Result<Received> {
    if !journal.exists() {
        eprintln!("nobody listens yet: start `gwanmun practice --role broker` with the same settings");
    }
    let until = Instant::now() + patience;
    while Instant::now() < until {
        let (entries, end) = Journal::entries_from(journal, at)?;
        at = end;
        for entry in entries {
            match entry {
                Entry::Received(received) if received.ref_to_message_id.as_ref() == Some(query) => {
                    return Ok(received);
                }
                _ => {}
            }
        }
        sleep(LOOK_EVERY).await;
    }
    bail!("no answer within {}", crate::model::format_duration(patience))
}

fn tell_status(report: &StatusReport, out: &mut dyn Write) -> Result<()> {
    let shown = |text: &Option<std::sync::Arc<str>>| text.as_deref().unwrap_or("-").to_owned();
    writeln!(out, "declaration  {}", shown(&report.declaration))?;
    writeln!(out, "case         {} (revision {})", report.case, report.revision)?;
    writeln!(out, "state        {}", shown(&report.state))?;
    writeln!(out, "customs      {}", shown(&report.customs_status))?;
    for row in &report.applications {
        let number = shown(&row.number);
        write!(out, "{:<12} {} {number} {}", row.agency, row.document, row.state)?;
        match (row.overdue_since, row.decide_by) {
            (Some(since), _) => writeln!(out, ", overdue since {since}")?,
            (None, Some(by)) => writeln!(out, ", to be decided by {by}")?,
            (None, None) => writeln!(out)?,
        }
    }
    for event in &report.timeline {
        writeln!(out, "{}  {:<24} {}", event.at, event.event, event.text)?;
    }
    Ok(out.flush()?)
}

fn tell_answer(answer: &QueryAnswer, out: &mut dyn Write) -> Result<()> {
    for row in &answer.requirements {
        let conditions = row.conditions.join("; ");
        writeln!(
            out,
            "law {}  {:<8} {} -> {}  {conditions}",
            row.law, row.agency, row.application, row.result
        )?;
    }
    for row in &answer.statistics {
        let rate = row.approval_percent().map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"));
        write!(
            out,
            "{}: {} application(s), {} decided, {rate} approved",
            row.of.join(" "),
            row.applications,
            row.decided
        )?;
        for times in &row.stages {
            let (stage, median, p90) = (times.stage.as_str(), times.median_seconds, times.p90_seconds);
            write!(out, "; {stage} after {median} s, nine of ten within {p90} s")?;
        }
        writeln!(out)?;
    }
    if answer.requirements.is_empty() && answer.statistics.is_empty() {
        writeln!(out, "nothing")?;
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goods_and_months_are_read_in_short() {
        let check = |text: &str, ok: bool| assert_eq!(goods(text).is_ok(), ok, "{text}");
        check("1211.90-1000 CN SALE", true);
        check("12", true);
        check("", false);
        check("CN", false);
        check("12 cn", false);
        check("12 CN SALE more", false);
        assert_eq!(month("now"), Ok(Asked::Statistics(None)));
        assert!(month("2009-12").is_ok() && month("2009-13").is_err());
    }
}
