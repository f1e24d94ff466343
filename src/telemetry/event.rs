//! The code of every event that an operator may meet in the log, with cause and remedy.
//!
//! Logged as the field `event`: `tracing::warn!(event = EventCode::MessageRefused.code(), …)`. A code never
//! changes its meaning; alarms and runbooks are keyed on it.

use crate::transport::events as transport;

macro_rules! event_codes {
    ($($(#[$doc:meta])* $name:ident = $code:expr, cause $cause:literal, remedy $remedy:literal;)+) => {
        /// What happened, as a word that never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EventCode {
            $($(#[$doc])* $name,)+
        }

        impl EventCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The code as it is logged.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)+ }
            }

            /// Why this happens.
            #[must_use]
            pub const fn cause(self) -> &'static str {
                match self { $(Self::$name => $cause,)+ }
            }

            /// What to do about it.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$name => $remedy,)+ }
            }
        }
    };
}

event_codes! {
    /// The gateway is ready to accept.
    GatewayStarted = "gateway.started",
        cause "the gateway has opened its store and its listeners",
        remedy "none";
    /// The gateway was asked to stop.
    GatewayDraining = "gateway.draining",
        cause "a stop signal: nothing new is accepted, what is in hand ends",
        remedy "none; a second signal ends it at once, which is always safe";
    /// The gateway has stopped.
    GatewayStopped = "gateway.stopped",
        cause "everything in hand has ended, or the drain deadline has passed",
        remedy "none";
    /// Settings, partners or rules were replaced as a whole.
    ConfigurationActivated = "configuration.activated",
        cause "a reload found no fault",
        remedy "none; the versions in force are in the line and in the metrics";
    /// A reload was refused; the old state is still in force.
    ConfigurationRefused = "configuration.refused",
        cause "a file of settings, partners or rules has a fault",
        remedy "correct the file and line named, check with `gwanmun check`, reload";
    /// A message is ours from here on.
    MessageAccepted = "message.accepted",
        cause "it was verified and committed to stable storage",
        remedy "none";
    /// A message was refused as a whole.
    MessageRefused = "message.refused",
        cause "it broke the protocol, its signature, its agreement or its schema",
        remedy "see the error code and location in the line; the partner got the same";
    /// A message came again and got its first answer.
    MessageDuplicated = "message.duplicated",
        cause "the partner did not see our acknowledgment in time",
        remedy "none; when frequent, look at the network between us and at the partner's RetryInterval";
    /// A known MessageId came with other bytes.
    MessageContradicted = "message.contradicted",
        cause "the partner reused a MessageId, or somebody replays with changes",
        remedy "a security event: ask the partner; nothing of the second message was used";
    /// A message has no place to go.
    MessageQuarantined = "message.quarantined",
        cause "no rule, agreement or expected row matches it, or its record is damaged",
        remedy "look at it, correct the rules or the registry, replay it with a reason";
    /// An acknowledgment or error that fits nothing we sent, or does not verify.
    SignalIgnored = "signal.ignored",
        cause "a forged, foreign, late or repeated signal",
        remedy "none when late; otherwise ask the partner which key signs its signals";
    /// A new case was opened.
    CaseOpened = "case.opened",
        cause "a lodging was accepted and its applications were planned",
        remedy "none";
    /// Every expected result of a case is in.
    CaseCompleted = "case.completed",
        cause "the last agency decided",
        remedy "none";
    /// An agency is past a deadline of its profile.
    CaseOverdue = "case.overdue",
        cause "an application waits for acceptance, decision or answer beyond its time",
        remedy "remind the agency; nothing is ever approved by timeout";
    /// An attempt to deliver ended without an acknowledgment.
    DeliveryAttempted = "delivery.attempted",
        cause "the destination was not reached, refused, or did not acknowledge yet",
        remedy "none at first: it is retried; look at the outcome in the line when it repeats";
    /// A destination has acknowledged.
    DeliveryDelivered = "delivery.delivered",
        cause "an acknowledgment verified and names this message and its digests",
        remedy "none";
    /// A destination refused a message for good.
    DeliveryRejected = "delivery.rejected",
        cause "the destination answered with an error that a retry cannot cure",
        remedy "see its error code; the sender was notified where the agreement asks";
    /// A message was not delivered within its time.
    DeliveryExpired = "delivery.expired",
        cause "its TimeToLive or its retries are spent",
        remedy "reach the destination, then resend under a new message if still wanted";
    /// A delivery cannot be made as it is.
    DeliveryQuarantined = "delivery.quarantined",
        cause "its record is damaged, or its agreement or key is gone",
        remedy "look at the reason, restore what is missing, release it";
    /// An operator acted.
    OperatorActed = "operator.acted",
        cause "somebody held, released, retried, expired, replayed or reloaded, with a reason",
        remedy "none; the act is in the audit chain";
    /// A signature did not verify.
    SignatureFailed = "security.signature-failed",
        cause "wrong key, changed bytes, or an envelope outside the profile",
        remedy "compare the partner's registered certificate; when it repeats, treat it as an attack";
    /// The two signature engines disagree.
    EnginesDisagree = "security.engines-disagree",
        cause "our engine and libxmlsec1 came to different verdicts on one message",
        remedy "keep the message, report it; it was refused";
    /// A certificate, key or revocation list nears its end or has passed it.
    ValidityEnding = "security.validity-ending",
        cause "60, 30, 7 or 1 days are left, or none",
        remedy "renew it; put the next one beside the old before that ends";
    /// A sync of the store failed.
    StoreSyncFailed = "store.sync-failed",
        cause "the disk did not confirm a write; what it holds is unknown",
        remedy "the process has stopped acknowledging and exits; check the disk, then start again";
    /// A record is damaged.
    StoreDamaged = "store.damaged",
        cause "a checksum or digest does not match what was read",
        remedy "the record is quarantined and the rest flows; restore it from a backup";
    /// The disk is nearly full.
    StoreLow = "store.low",
        cause "free space fell below the low-water mark; new messages get a retryable error",
        remedy "free or add space; intake resumes by itself";
    /// There is room on the disk again.
    StoreRecovered = "store.recovered",
        cause "free space rose above the mark",
        remedy "none";
    /// New messages are turned away for now.
    IntakeOverloaded = "intake.overloaded",
        cause "the mailbox is full; callers get 503 with Retry-After",
        remedy "none in a burst; when it lasts, look at sync times and at processor use";
    /// A task of ours panicked.
    Panicked = transport::PANICKED,
        cause "a defect in the gateway; the request was refused, the process lives",
        remedy "report it with the lines around it";
    /// A handshake failed or was refused.
    TlsRefused = transport::TLS_REFUSED,
        cause "no certificate, or one that is expired, early, revoked, misused or of an unknown issuer; or an \
               outdated TLS version",
        remedy "see serial and cause; the partner renews its certificate, or its issuer is made an anchor";
    /// A connection was closed at a cap.
    ConnectionRefused = transport::CONNECTION_REFUSED,
        cause "too many connections, handshakes, or connections of one certificate",
        remedy "ask the partner to reuse connections, or raise the cap named in the line";
    /// A request was refused before its message was looked at.
    RequestRefused = transport::REQUEST_REFUSED,
        cause "ambiguous framing, a wrong method, or a head or body too large or too slow",
        remedy "see status and cause; raise the limit only when the partner's use is legitimate";
    /// A connection ended by a fault.
    ConnectionBroken = transport::CONNECTION_BROKEN,
        cause "the peer or the network cut it, or a deadline passed",
        remedy "none; the peer repeats what it got no answer to";
    /// The listener cannot accept.
    AcceptFailed = transport::ACCEPT_FAILED,
        cause "out of descriptors, most likely",
        remedy "raise the descriptor limit of the service or lower the caps on connections";
}

impl std::fmt::Display for EventCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_distinct_and_explained() {
        let codes: BTreeSet<_> = EventCode::ALL.iter().map(|event| event.code()).collect();
        assert_eq!(codes.len(), EventCode::ALL.len());
        for event in EventCode::ALL {
            let code = event.code();
            let shaped = code.split_once('.').is_some_and(|(area, what)| {
                [area, what].iter().all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
            });
            assert!(shaped, "{code}");
            assert!(!event.cause().is_empty() && !event.remedy().is_empty(), "{code}");
        }
    }
}
