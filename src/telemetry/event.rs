//! The code of every event that an operator may meet in the log, with cause and remedy.
//!
//! Logged as the field `event`; `gwanmun events` lists them. A code never changes its meaning; alarms and runbooks
//! are keyed on it.

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

            /// The event with this code.
            #[must_use]
            pub fn of_code(code: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|event| event.code() == code)
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
    /// Something in the shell failed while it carried an event.
    GatewayDriveFailed = "gateway.drive-failed",
        cause "the store was busy, full or damaged while a delivery was under way",
        remedy "none when rare: the delivery comes due again; otherwise look at the store";
    /// An attempt to deliver ended in a panic.
    AttemptPanicked = "gateway.attempt-panicked",
        cause "a defect in the gateway; the delivery comes due again",
        remedy "report it with the lines around it";
    /// Settings, partners or rules were replaced as a whole.
    ConfigurationActivated = "configuration.activated",
        cause "a reload found no fault",
        remedy "none; the rule digests before and after are in the line";
    /// One fault that a reload found.
    ConfigurationFault = "configuration.fault",
        cause "a file of settings, partners or rules has a fault",
        remedy "correct the file and line named";
    /// A reload was refused; the old state is still in force.
    ConfigurationRefused = "configuration.refused",
        cause "at least one fault was found",
        remedy "correct them, check with `gwanmun check`, reload";
    /// A rule set counts from an instant on.
    RulesActivated = "rules.activated",
        cause "an operator activated a rule set, or a start or reload found other rules in the rule directory",
        remedy "none; `gwanmun rules history` shows which set counts when, an older one can be activated again";
    /// A message is ours from here on.
    MessageAccepted = "message.accepted",
        cause "it was verified and committed to stable storage",
        remedy "none";
    /// A message was refused as a whole.
    MessageRefused = "message.refused",
        cause "it broke the protocol, its signature, its agreement or its schema",
        remedy "see the error code and location in the line; the partner got the same";
    /// A message could not be decided about for now.
    MessageDeferred = "message.deferred",
        cause "the registry lacks what its rule needs, or changed while the message was under way",
        remedy "see the line; register what is missing, the partner sends again";
    /// A message does what the strict profile refuses.
    MessageDeviates = "message.deviates",
        cause "the partner profile of its agreement allows what is named in the line",
        remedy "none; ask the partner to mend it, then take the profile away";
    /// A message is signed with SHA-1.
    MessageSha1 = "message.sha1",
        cause "its agreement has sha1_until, and that day has not come",
        remedy "ask the partner to sign with SHA-256: from that day on its messages are refused";
    /// A message came again and got its first answer.
    MessageDuplicate = "message.duplicate",
        cause "the partner did not see our acknowledgment in time",
        remedy "none; when frequent, look at the network between us and at the partner's RetryInterval";
    /// A known MessageId came with other content.
    MessageConflict = "message.conflict",
        cause "the partner reused a MessageId, or somebody replays with changes",
        remedy "a security event: ask the partner; nothing of the second message was used";
    /// A message has no place to go.
    MessageQuarantined = "message.quarantined",
        cause "no envelope rule or expected row matches it",
        remedy "look at it with `gwanmun message show`, correct the rules or the registry";
    /// A message came before its turn.
    MessageHeld = "message.held",
        cause "messages of its conversation that come before it are missing, and the agreement guarantees order",
        remedy "none at first: they come, or `order.gap` follows";
    /// A message that was held has its turn.
    MessageHandedOn = "message.handed-on",
        cause "everything before it has come, or an operator released it",
        remedy "none";
    /// Messages are held for one that does not come.
    OrderGap = "order.gap",
        cause "a message of a conversation with guaranteed order is missing for longer than [limits] gap_alarm_after",
        remedy "ask the partner for it; else `gwanmun conversation release` or `refuse`, which nothing but you decides";
    /// An operator settled what was held.
    OrderSettled = "order.settled",
        cause "`gwanmun conversation release` or `refuse`",
        remedy "none; who and why stands in the line";
    /// The octets of a received message and its answer were purged.
    MessagePurged = "message.purged",
        cause "its retention is over; the archive of its evidence was written and verified before",
        remedy "none; the line names the archive, which stands in [retention] archive";
    /// The octets of a delivery and its receipt were purged.
    DeliveryPurged = "delivery.purged",
        cause "its retention is over; the archive of its evidence was written and verified before",
        remedy "none; the line names the archive, which stands in [retention] archive";
    /// How far a conversation had come is not known any more.
    ConversationForgotten = "conversation.forgotten",
        cause "everything that came or went in it was purged; what comes in it now begins it anew, with number 0",
        remedy "none";
    /// Octets whose retention is over are kept because no archive of them can be made.
    PurgeFailed = "purge.failed",
        cause "the evidence cannot be gathered, written, read back or verified",
        remedy "look at the reason in the line: the disk of [retention] archive, the store, the keys; nothing was purged";
    /// A legal hold was set.
    HoldSet = "hold.set",
        cause "`gwanmun store hold`",
        remedy "none; who and why stands in the line";
    /// A legal hold was lifted.
    HoldLifted = "hold.lifted",
        cause "`gwanmun store hold --lift`",
        remedy "none; who and why stands in the line";
    /// Other keys or revocation lists count from now on.
    KeysInForce = "keys.in-force",
        cause "a start or reload found other certificates or revocation lists than before",
        remedy "none; the line names the list, which is kept in the directory `keys` of the store";
    /// A new case was opened.
    CaseOpened = "case.opened",
        cause "a lodging was accepted and its applications were planned",
        remedy "none";
    /// The first result of a case is in.
    CaseFirstResult = "case.first-result",
        cause "an agency decided before the others",
        remedy "none";
    /// Every expected result of a case is in.
    CaseAllCollected = "case.all-collected",
        cause "the last agency decided",
        remedy "none";
    /// A case that was collected expects a result again.
    CaseReopened = "case.reopened",
        cause "an agency replaced its decision or another application was enclosed",
        remedy "none";
    /// A deadline comes near.
    DeadlineReminded = "deadline.reminded",
        cause "a share of the time that the rules give is used up, and whoever is waited for has not acted",
        remedy "none; those whom the profile names have been told";
    /// A deadline has passed.
    DeadlinePassed = "deadline.passed",
        cause "whoever is waited for has not acted in the time that the rules give",
        remedy "ask the agency, or the applicant for an answer; nothing is decided by it";
    /// A passed deadline is somebody's to look at.
    DeadlineEscalated = "deadline.escalated",
        cause "a deadline has passed under a profile that escalates",
        remedy "whoever is named in the line looks at the case and asks the agency";
    /// A broker amended a declaration.
    CaseAmended = "case.amended",
        cause "the broker's amendment (5FE) was accepted: a new revision",
        remedy "none; agencies whose rows changed were told, what is missing is in the line";
    /// A broker withdrew a declaration.
    CaseWithdrawn = "case.withdrawn",
        cause "the broker's withdrawal (5BF) was accepted",
        remedy "none; agencies that have not decided were asked to cancel";
    /// A row of the rule table expects this application.
    ApplicationPlanned = "application.planned",
        cause "the goods of the declaration fall under a requirement",
        remedy "none";
    /// A later application joined its case.
    ApplicationEnclosed = "application.enclosed",
        cause "the submitter sent it after the declaration",
        remedy "none";
    /// An agency said where an application stands.
    ApplicationNotice = "application.notice",
        cause "a processing status or error notice of the agency",
        remedy "none; a request for documents is for the submitter";
    /// An agency asks for a fee.
    ApplicationFee = "application.fee",
        cause "a fee notice (XF1) of the agency",
        remedy "none; the submitter orders its payment";
    /// A submitter ordered the payment of a fee.
    PaymentOrdered = "payment.ordered",
        cause "his payment order (XF2) was accepted: the bank is asked next",
        remedy "none";
    /// The bank is asked to book a payment.
    PaymentAsked = "payment.asked",
        cause "a payment is due; every attempt has the same key, under which the bank books once",
        remedy "none";
    /// The bank gave no answer that decides.
    PaymentUnanswered = "payment.unanswered",
        cause "the bank cannot be reached, is busy, or answers what cannot be understood",
        remedy "none when rare: it is asked again. With an alarm: it does not mend itself, see the line and [payment]";
    /// A payment has been under way for too long.
    PaymentLate = "payment.late",
        cause "the bank has not said what became of it within [payment] alarm_after",
        remedy "ask the bank, whose record has the key of the line; nothing is lost and nothing is paid twice meanwhile";
    /// The bank has booked a payment.
    PaymentPaid = "payment.paid",
        cause "the bank says so",
        remedy "none; agency and broker were told";
    /// The bank refuses an order.
    PaymentRefused = "payment.refused",
        cause "the account does not cover it, or another reason of the bank in the line",
        remedy "none; the broker was told and can order anew";
    /// An operator has the bank asked at once.
    PaymentHurried = "payment.hurried",
        cause "`gwanmun payment retry`",
        remedy "none";
    /// An agency decided.
    ApplicationResult = "application.result",
        cause "a requirement result of the agency",
        remedy "none";
    /// An agency is asked to cancel an application.
    ApplicationCancellation = "application.cancellation",
        cause "the broker asked for it, or withdrew or amended the declaration",
        remedy "none; the agency's answer decides. With an alarm: the gateway lacks the document, ask by hand";
    /// An approval is over before clearance.
    ApplicationLapsed = "application.lapsed",
        cause "the validity that the agency gave it has passed",
        remedy "none; a newer result of the agency approves it again";
    /// An agency stated or changed an approval that declarations can rest on.
    ApprovalStated = "approval.stated",
        cause "a result with an approved quantity, or one that extends it or takes it back",
        remedy "none; with an alarm: the agency used the number for another importer, ask it";
    /// A case uses an approval.
    ApprovalCharged = "approval.charged",
        cause "a line rests on it, or the goods that it was asked for use it",
        remedy "none; `gwanmun case approval` shows what is left of it";
    /// A case gave back what it used of an approval.
    ApprovalReturned = "approval.returned",
        cause "the case was withdrawn, dismissed or amended, or the approval does not cover it any more",
        remedy "none";
    /// A cleared case has used up what it was charged.
    ApprovalSpent = "approval.spent",
        cause "customs cleared the goods",
        remedy "none";
    /// A line cites an approval that does not satisfy its requirement.
    ApprovalUnverified = "approval.unverified",
        cause "see the reason in the line; the requirement stands, the submitter was told",
        remedy "none; the application comes, or an amendment that cites another approval";
    /// A requirement stands again that rested on an approval.
    ApprovalUndone = "approval.undone",
        cause "the approval was revoked or rejected, lapsed, or is for less than is used",
        remedy "none; broker and customs were told, the application waits for its document";
    /// An approval is over that declarations could rest on.
    ApprovalLapsed = "approval.lapsed",
        cause "the validity that the agency gave it has passed",
        remedy "none; cases that rest on it are reopened one by one";
    /// An officer of a hosted agency acted on an application.
    OfficerActed = "officer.acted",
        cause "an officer worked in the inbox of an agency without a system",
        remedy "none; the line names the officer, the application and the act";
    /// A result came that no application of ours asked for.
    ResultUnasked = "result.unasked",
        cause "the application reached the agency on another way",
        remedy "none; it was relayed";
    /// Customs said where a declaration stands.
    CustomsNotice = "customs.notice",
        cause "a notice of the customs system",
        remedy "none";
    /// A message is owed to a destination.
    DeliveryCreated = "delivery.created",
        cause "a rule or an answer asks for it; it is stored and due",
        remedy "none";
    /// An attempt to deliver begins.
    DeliveryAttempted = "delivery.attempted",
        cause "the delivery was due",
        remedy "none";
    /// An attempt to deliver ended without being taken.
    DeliveryFailedAttempt = "delivery.failed-attempt",
        cause "the destination was not reached or could not take it",
        remedy "none at first: it is retried; look at the reason in the line when it repeats";
    /// A destination has acknowledged.
    DeliveryDelivered = "delivery.delivered",
        cause "an acknowledgment verified and names this message and its digests",
        remedy "none";
    /// An acknowledgment came after the delivery had ended.
    DeliveryLateReceipt = "delivery.late-receipt",
        cause "the destination acknowledged too late or once more",
        remedy "none; when frequent, raise Retries or RetryInterval of the agreement";
    /// An acknowledgment completes nothing.
    DeliveryReceiptRefused = "delivery.receipt-refused",
        cause "it is unsigned, or names other digests than those we sent",
        remedy "ask the partner which message it acknowledged; the delivery is retried";
    /// A partner asked something and is answered.
    QueryAnswered = "query.answered",
        cause "a query (GOVCBRXS1) about a case, goods or figures",
        remedy "none; when frequent, ask the partner what it is watching";
    /// A delivery that had ended is sent anew, as it is stored.
    DeliveryAgain = "delivery.again",
        cause "its destination or an operator asked for it, or what it answers has come again",
        remedy "none; who asked and why stands in the line";
    /// A delivery is held after a restore.
    DeliveryWithheld = "delivery.withheld",
        cause "the store was restored; the delivery was open in the backup and may have been sent since, or, as an alarm, its \
              destination seems to know its MessageId from before, with other octets",
        remedy "ask its destination, then `gwanmun store reconcile`";
    /// A held delivery goes out.
    DeliveryReleased = "delivery.released",
        cause "an operator lets it go out",
        remedy "none; who and why stands in the line";
    /// A held delivery counts as delivered.
    DeliverySettled = "delivery.settled",
        cause "an operator says that its destination has it",
        remedy "none; who and why stands in the line";
    /// The operator told partners something.
    NoticeSent = "notice.sent",
        cause "`gwanmun notice send`",
        remedy "none; who sent it and why stands in the line";
    /// A signal that changes nothing.
    SignalIgnored = "signal.ignored",
        cause "it answers nothing that we sent or asked, or says once more what is known",
        remedy "none; when frequent, ask the partner what it answers";
    /// Another handler asked whether we are there, or what has become of a message.
    SignalAnswered = "signal.answered",
        cause "a Ping or a StatusRequest",
        remedy "none; when frequent, ask the partner what it is watching";
    /// An answer to a question of ours came.
    SignalHeard = "signal.heard",
        cause "a Pong or a StatusResponse",
        remedy "none";
    /// A destination sent a warning.
    DeliveryWarning = "delivery.warning",
        cause "an error list of severity Warning",
        remedy "read it; the delivery goes on";
    /// A delivery that was never sent goes under another agreement than it was made for.
    DeliveryRenewed = "delivery.renewed",
        cause "its agreement ended while it waited, and a newer one with the partner allows it",
        remedy "none";
    /// A delivery waits in the mailbox of its destination.
    DeliveryKept = "delivery.kept",
        cause "the agreement has no endpoint any more: the partner collects",
        remedy "none";
    /// A partner fetched a delivery from its mailbox.
    DeliveryFetched = "delivery.fetched",
        cause "the partner collects what waits for it",
        remedy "none; it stays in the mailbox until the partner confirms it";
    /// A destination refused a message for good.
    DeliveryRejected = "delivery.rejected",
        cause "the destination answered with an error that a retry cannot cure",
        remedy "see its error code; the submitter was told";
    /// A message was not delivered within its time.
    DeliveryExpired = "delivery.expired",
        cause "its TimeToLive or its retries are spent",
        remedy "reach the destination; the submitter was told";
    /// A delivery cannot be made as it is.
    DeliveryQuarantined = "delivery.quarantined",
        cause "there is no agreement with the destination, or its record is damaged",
        remedy "look at the reason in the line and restore what is missing";
    /// The store failed.
    StoreFailed = "store.failed",
        cause "the disk did not confirm a write; what it holds is unknown",
        remedy "the process has stopped acknowledging and exits; check the disk, then start again";
    /// The audit record is not signed, or its head not kept outside the store.
    AuditHeadFailed = "audit.head-failed",
        cause "the store, the signing key or [audit] heads_file could not be used",
        remedy "look at the reason; it is tried again each second, and nothing waits for it";
    /// An authority has given a time stamp over a head of the audit record.
    AuditTimeStamped = "audit.time-stamped",
        cause "[audit.time_stamp] interval has passed, and entries were signed meanwhile",
        remedy "none; the entry has the token, and `gwanmun audit verify --authority` checks it";
    /// No time stamp over the newest head could be had.
    AuditTimeStampFailed = "audit.time-stamp-failed",
        cause "the authority was not reached, gave none, or gave one that does not count",
        remedy "look at the reason; it is asked again each [audit.time_stamp] retry_interval, and nothing waits for it";
    /// The audit record is not what was signed.
    AuditTampered = "audit.tampered",
        cause "an entry does not follow from those before it, or a head that was kept outside is not in the store",
        remedy "keep the store as it is, export the record, and check it with `gwanmun audit verify`";
    /// A store of an earlier version was upgraded.
    StoreUpgraded = "store.upgraded",
        cause "this version opened it for the first time",
        remedy "none; an earlier version does not open it any more, a backup of before does";
    /// A record cannot be read.
    StoreUnreadable = "store.unreadable",
        cause "a checksum or digest does not match what was read",
        remedy "the rest flows; restore the record from a backup";
    /// The store was restored from a backup.
    StoreRestored = "store.restored",
        cause "the first start after `gwanmun store restore`: what was open in the backup is held",
        remedy "settle it with `gwanmun store reconcile`; what was accepted after the backup its senders have to send again";
    /// A scrub found damage.
    StoreDamaged = "store.damaged",
        cause "the scrub found a record or a payload that is not what was written",
        remedy "it is served to nobody and all others flow; look at the disk; `gwanmun store verify` on a copy says what to restore";
    /// A scrub has read the whole store.
    StoreScrubbed = "store.scrubbed",
        cause "a round of the slow scrub, or one that an operator asked for, has come to its end",
        remedy "none when nothing is damaged";
    /// New messages are turned away for now.
    IntakeOverloaded = "intake.overloaded",
        cause "the store is full or busy; callers get 503 with Retry-After",
        remedy "none in a burst; when it lasts, look at free space and at the time of commits";
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
                [area, what].iter().all(|word| {
                    word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                })
            });
            assert!(shaped, "{code}");
            assert!(!event.cause().is_empty() && !event.remedy().is_empty(), "{code}");
        }
    }
}
