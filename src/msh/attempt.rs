//! What an HTTP response says of an attempt: sorted once, here, into taken, unclear, unserved, again, give up (ebMS 2.0,
//! B.2; digest, 16).

use crate::model::AttemptOutcome;

/// What the body of a response holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseContent<'a> {
    /// Nothing.
    Empty,
    /// An ebMS message that was opened and verified; it is decided about as an event of its own.
    Message,
    /// A SOAP fault with this code (local part) and text.
    Fault(&'a str, &'a str),
    /// Something else, or a message that did not verify.
    Other(&'a str),
}

/// The outcome of an attempt that got this response. A redirect is never followed; "sent" is never taken for
/// "delivered": also [`AttemptOutcome::Taken`] waits for its receipt.
#[must_use]
pub fn judge_response(status: u16, content: ResponseContent<'_>) -> AttemptOutcome {
    let again = |reason: String| AttemptOutcome::Again { reason, alarm: false, unsent: false };
    match (status, content) {
        (200..=299, ResponseContent::Empty | ResponseContent::Message) => AttemptOutcome::Taken,
        (200..=299, ResponseContent::Other(what)) => {
            AttemptOutcome::Unclear { reason: format!("HTTP {status} with {what}") }
        }
        (_, ResponseContent::Fault(code @ ("Client" | "MustUnderstand" | "VersionMismatch"), text)) => {
            AttemptOutcome::GiveUp { reason: format!("SOAP fault {code}: {text}") }
        }
        (_, ResponseContent::Fault(code, text)) => again(format!("SOAP fault {code}: {text}")),
        (408 | 425 | 429 | 500..=599, _) => again(format!("HTTP {status}")),
        _ => AttemptOutcome::Unserved { reason: format!("HTTP {status}") },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= ebms2 B.2.2 MUST: every 2xx with an empty body is a success
    //= ebms2 B.2.4 MUST: a Fault of the server, 408, 425, 429 and 5xx are tried again
    //= ebms2 B.2.4 MAY: a Fault of the client, MustUnderstand or VersionMismatch ends the delivery at once
    //= ebms2 B.2.4 MUST: 3xx and other 4xx are a configuration fault, and no redirect is followed
    #[test]
    fn every_response_of_the_table_is_read_as_it_says() {
        fn check(status: u16, content: ResponseContent<'_>, expected: &str) {
            let told = match judge_response(status, content) {
                AttemptOutcome::Taken => "taken",
                AttemptOutcome::Unclear { .. } => "unclear",
                AttemptOutcome::Again { alarm: false, .. } => "again",
                AttemptOutcome::Again { alarm: true, .. } => "again, alarm",
                AttemptOutcome::Unserved { .. } => "unserved",
                AttemptOutcome::GiveUp { .. } => "give up",
            };
            assert_eq!(told, expected, "{status} {content:?}");
        }
        check(200, ResponseContent::Empty, "taken");
        check(202, ResponseContent::Empty, "taken");
        check(204, ResponseContent::Empty, "taken");
        check(200, ResponseContent::Message, "taken");
        check(200, ResponseContent::Other("a web page"), "unclear");
        check(500, ResponseContent::Fault("Server", "busy"), "again");
        check(503, ResponseContent::Empty, "again");
        check(408, ResponseContent::Empty, "again");
        check(500, ResponseContent::Fault("Client", "not XML"), "give up");
        check(500, ResponseContent::Fault("MustUnderstand", ""), "give up");
        check(500, ResponseContent::Fault("VersionMismatch", ""), "give up");
        check(302, ResponseContent::Empty, "unserved");
        check(404, ResponseContent::Other("a web page"), "unserved");
        for status in [201, 203, 205, 206, 226] {
            check(status, ResponseContent::Empty, "taken");
            check(status, ResponseContent::Message, "taken");
            check(status, ResponseContent::Other("a web page"), "unclear");
        }
        // A message in an answer that is no success is decided by itself; the attempt is not taken for it.
        for status in [408, 425, 429, 500, 501, 502, 503, 504, 599] {
            for content in [ResponseContent::Empty, ResponseContent::Message, ResponseContent::Other("")] {
                check(status, content, "again");
            }
        }
        for status in [301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 406, 411, 413, 415, 426, 431] {
            check(status, ResponseContent::Empty, "unserved");
            check(status, ResponseContent::Other("a web page"), "unserved");
        }
        // A fault is a fault under whatever status; one of another SOAP node is told as a fault of the server is.
        for status in [200, 400, 500] {
            check(status, ResponseContent::Fault("Client", ""), "give up");
            check(status, ResponseContent::Fault("Server", ""), "again");
            check(status, ResponseContent::Fault("Server.busy", ""), "again");
        }
    }
}
