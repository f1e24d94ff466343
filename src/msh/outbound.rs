//! One delivery's life (ebMS 2.0, 6.5.1, 6.5.4; docs/states.md): begun attempts, failures, ends.
//!
//! An attempt is counted and committed as AwaitingAcknowledgment *before* the octets leave, so that a crash in
//! between grants no extra try, and an acknowledgment that overtakes the HTTP response finds its delivery.

use std::time::Duration;

use crate::model::{Agreement, AttemptOutcome, Delivery, DeliveryState, Timestamp};

use super::retry::resend_at;

/// What becomes of a delivery that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It goes out (again); commit it, then transmit.
    Attempt(Delivery),
    /// Nothing is posted: it waits in the mailbox of its destination.
    Kept(Delivery),
    /// Its retries or its TimeToLive are spent without a receipt.
    Expired(Delivery),
}

/// The step of our clock that ends no delivery early (P9).
pub const CLOCK_STEP_MAX: Duration = Duration::from_secs(3600);

/// A delivery whose time has come: another attempt, or its end.
///
/// It ends when its Retries are spent and the wait after the last transmission is over (6.4.3, 6.5.4), or when
/// its TimeToLive has passed so long ago that no receiver can still take it (3.1.6.4). The second is a question
/// that only the receiver's clock can answer, and ours may have stepped: a delivery that we end by mistake is
/// lost, one that we send too late costs a transmission and is refused with `TimeToLiveExpired`. So TimeToLive
/// counts as passed only [`CLOCK_STEP_MAX`] after it, and until then the receiver is asked.
///
/// A delivery to a partner without an endpoint is not attempted: it waits in the mailbox, and comes due once, at its
/// end.
///
/// Every transmission sets the next one by the clock as it is then. A step forward thus shortens the one wait it
/// falls into and no other; a step backward lengthens one by as much, and takes nothing away.
#[must_use]
pub fn begin_attempt(mut delivery: Delivery, agreement: &Agreement, now: Timestamp) -> Ending {
    let spent = delivery.attempts > agreement.reliability.retries;
    if spent || now > delivery.expires_at.plus(CLOCK_STEP_MAX) {
        let why = if spent { "its retries are spent" } else { "its TimeToLive has passed" };
        let last =
            if delivery.reason.is_empty() { String::new() } else { format!("; last: {}", delivery.reason) };
        let way = if delivery.mailbox {
            "in the mailbox".to_owned()
        } else {
            format!("after {} transmission(s)", delivery.attempts)
        };
        delivery.reason = format!("{why} {way} without a verified receipt{last}");
        delivery.state = DeliveryState::Expired;
        return Ending::Expired(delivery);
    }
    if delivery.mailbox || agreement.endpoint.is_none() {
        return Ending::Kept(keep_in_mailbox(delivery));
    }
    delivery.attempts += 1;
    delivery.due = resend_at(&delivery.id, delivery.attempts, now, agreement.reliability.retry_interval);
    delivery.state = DeliveryState::AwaitingAcknowledgment;
    Ending::Attempt(delivery)
}

/// A new delivery, or one that begins anew, on the way that its agreement has: posted at once, kept in the mailbox, or,
/// for a hosted agency, delivered by the very commit: its inbox is here, and nothing could be in doubt (P4).
#[must_use]
pub fn set_out(delivery: Delivery, agreement: &Agreement, now: Timestamp) -> Delivery {
    let delivery = Delivery { state: DeliveryState::Pending, due: now, attempts: 0, ..delivery };
    if agreement.hosted {
        let reason = "it is in the inbox of its destination".to_owned();
        return Delivery { state: DeliveryState::Delivered, reason, ..delivery };
    }
    if delivery.mailbox || agreement.endpoint.is_none() { keep_in_mailbox(delivery) } else { delivery }
}

/// It waits for its destination until its end, which is when it comes due.
fn keep_in_mailbox(delivery: Delivery) -> Delivery {
    let due = delivery.expires_at.plus(CLOCK_STEP_MAX).plus(Duration::from_millis(1));
    Delivery { state: DeliveryState::Pending, mailbox: true, due, ..delivery }
}

/// A failed attempt, for the record: the next one comes when `due` passes. `None` when there is nothing to
/// record: the receipt is still awaited, or has come meanwhile.
#[must_use]
pub fn note_failed_attempt(mut delivery: Delivery, outcome: &AttemptOutcome) -> Option<Delivery> {
    if delivery.state != DeliveryState::AwaitingAcknowledgment {
        return None;
    }
    match outcome {
        AttemptOutcome::Taken => return None,
        AttemptOutcome::Again { reason, unsent, .. } => {
            delivery.reason.clone_from(reason);
            delivery.unsent += u32::from(*unsent);
        }
        AttemptOutcome::Unclear { reason } | AttemptOutcome::Unserved { reason } => {
            delivery.reason.clone_from(reason);
        }
        AttemptOutcome::GiveUp { reason } => {
            delivery.reason.clone_from(reason);
            delivery.state = DeliveryState::Rejected;
        }
    }
    Some(delivery)
}

/// A delivery that asks for no acknowledgment ends with the first transmission that the peer took.
#[must_use]
pub fn end_without_receipt(mut delivery: Delivery) -> Delivery {
    delivery.state = DeliveryState::Delivered;
    delivery.reason = "taken by the peer; no acknowledgment asked for".to_owned();
    delivery
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn agreement(retries: u32) -> Agreement {
        let id = |key: &str| PartyId { value: key.into(), kind: Some("urn:swgw:party".into()) };
        Agreement {
            cpa_id: CpaId::new("cpa").expect("a CPAId"),
            partner: PartyKey::new("AG000000000001").expect("a party"),
            partner_ids: vec![id("AG000000000001")],
            partner_role: Role::new("Agency").expect("a Role"),
            own_ids: vec![id("SW000000000001")],
            own_role: Role::new("SingleWindow").expect("a Role"),
            start: None,
            end: None,
            endpoint: Some("https://partner.example/ebms".into()),
            response_endpoint: None,
            hosted: false,
            forwards: false,
            practice: false,
            actions: Vec::new(),
            sync_reply_mode: SyncReplyMode::MshSignalsOnly,
            empty_answer: EmptyAnswer::default(),
            reliability: Reliability {
                duplicate_elimination: Presence::Always,
                ack_requested: Presence::Always,
                ack_signed: true,
                ack_signed_per_message: false,
                message_order: false,
                retries,
                retry_interval: Duration::from_secs(60),
                persist_duration: 4 * HOUR,
                time_to_live: 2 * HOUR,
            },
            signature: SignatureTerms::strict(SignatureAlgorithm::EcdsaSha256),
            profile: PartnerProfile::strict(),
            window: 8,
            overrides: Vec::new(),
        }
    }

    fn delivery(attempts: u32, created_at: Timestamp, agreement: &Agreement) -> Delivery {
        Delivery {
            id: DeliveryId::new("d").expect("an id"),
            realm: Realm::Production,
            case: None,
            purpose: DeliveryPurpose::Relay,
            destination: agreement.partner.clone(),
            cpa_id: agreement.cpa_id.clone(),
            message_id: MessageId::new("m@gateway").expect("a MessageId"),
            conversation_id: ConversationId::new("c").expect("a ConversationId"),
            ref_to_message_id: None,
            service: Service { value: "Status".into(), kind: None },
            action: "GOVCBRXS2".into(),
            parts: Vec::new(),
            created_at,
            expires_at: created_at.plus(agreement.reliability.time_to_live),
            state: DeliveryState::Pending,
            attempts,
            due: created_at,
            sealed: false,
            mailbox: false,
            order: None,
            again: 0,
            unsent: 0,
            hold: None,
            purged: None,
            reason: String::new(),
        }
    }

    #[test]
    fn what_is_collected_is_never_attempted_and_comes_due_once_at_its_end_p9() {
        let collected = Agreement { endpoint: None, ..agreement(3) };
        let created_at = Timestamp::from_millis(1_700_000_000_000);
        let kept = set_out(delivery(0, created_at, &collected), &collected, created_at);
        assert!(kept.mailbox && kept.state == DeliveryState::Pending && kept.attempts == 0);
        let last = kept.expires_at.plus(CLOCK_STEP_MAX);
        assert_eq!(begin_attempt(kept.clone(), &collected, last), Ending::Kept(kept.clone()));
        // An agreement that has got an endpoint since then posts what is made from then on.
        assert_eq!(begin_attempt(kept.clone(), &agreement(3), last), Ending::Kept(kept.clone()));
        let Ending::Expired(ended) = begin_attempt(kept.clone(), &collected, kept.due) else {
            panic!("its end is when it comes due")
        };
        assert!(ended.reason.contains("in the mailbox"), "{}", ended.reason);
        // One that was under way when the partner took its server down waits from then on.
        let under_way =
            Delivery { state: DeliveryState::AwaitingAcknowledgment, ..delivery(2, created_at, &collected) };
        let Ending::Kept(kept) = begin_attempt(under_way, &collected, created_at) else {
            panic!("it is kept")
        };
        assert!(kept.mailbox && kept.state == DeliveryState::Pending);
    }

    #[test]
    fn a_clock_step_of_an_hour_ends_nothing_early_p9() {
        fn check(attempts: u32, after_creation: Duration, ends: bool) {
            let agreement = agreement(1000);
            let created_at = Timestamp::from_millis(1_700_000_000_000);
            let delivery = delivery(attempts, created_at, &agreement);
            let ending = begin_attempt(delivery, &agreement, created_at.plus(after_creation));
            assert_eq!(matches!(ending, Ending::Expired(_)), ends, "{attempts} {after_creation:?}");
        }
        let millisecond = Duration::from_millis(1);
        let time_to_live = agreement(1000).reliability.time_to_live;
        for attempts in [0, 1, 500] {
            check(attempts, Duration::ZERO, false);
            check(attempts, time_to_live, false);
            // One real millisecond before its TimeToLive, on a clock that has stepped an hour ahead.
            check(attempts, time_to_live - millisecond + CLOCK_STEP_MAX, false);
            check(attempts, time_to_live + CLOCK_STEP_MAX, false);
            check(attempts, time_to_live + CLOCK_STEP_MAX + millisecond, true);
            check(attempts, time_to_live + 100 * HOUR, true);
        }
    }

    #[test]
    fn a_clock_step_costs_one_wait_and_starts_no_storm_p9() {
        let agreement = agreement(3);
        let mut clock = Timestamp::from_millis(1_700_000_000_000);
        let mut delivery = delivery(0, clock, &agreement);
        for attempt in 1..=4 {
            let Ending::Attempt(begun) = begin_attempt(delivery, &agreement, clock) else {
                panic!("transmission {attempt} is due")
            };
            let wait = begun.due.since(clock);
            assert!(wait >= agreement.reliability.retry_interval, "transmission {attempt}: {wait:?}");
            clock = if attempt == 1 { clock.plus(HOUR) } else { begun.due };
            delivery = begun;
        }
        assert!(matches!(begin_attempt(delivery, &agreement, clock), Ending::Expired(_)));
    }
}
