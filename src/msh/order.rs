//! MessageOrder: numbers for what we send in a conversation, and when what we receive in one has its turn (ebMS 2.0,
//! 9; digest, 14; P5).
//!
//! Promises: a message is handed on after all that were sent before it in its conversation, and nothing but an operator
//! passes over one that does not come; however they arrive, the same messages are handed on in the same order.

use std::time::Duration;

use crate::model::{
    Early, EbxmlError, ErrorCode, Fate, Gap, MessageOrder, OrderStatus, Sequence, SequenceNumber, Timestamp,
};

/// How much is held, and for how long quietly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderPolicy {
    /// Messages of one conversation that are here before their turn, at most; one more is refused.
    pub held_messages_max: usize,
    /// How long messages are held before operators hear of it.
    pub gap_alarm_after: Duration,
}

impl Default for OrderPolicy {
    fn default() -> Self {
        Self { held_messages_max: 100, gap_alarm_after: Duration::from_secs(600) }
    }
}

/// When an arriving message is handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Everything before it has come.
    Now,
    /// Something before it is missing.
    Later,
}

/// Why the number of an arriving message is none that could come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderFault {
    /// A Reset that does not begin with 0.
    #[error("a Reset begins with SequenceNumber 0, and this is {0}")]
    ResetPastFirst(SequenceNumber),
    /// A Reset while messages are missing: its sender cannot have heard that all of them came.
    #[error("a Reset, and SequenceNumber {0} has not come")]
    ResetOverGap(SequenceNumber),
    /// Another message had the number.
    #[error("SequenceNumber {0} was that of another message")]
    Taken(SequenceNumber),
    /// Too many are held.
    #[error("SequenceNumber {awaited} has not come, and {held} messages are held for it, which is the most")]
    Full {
        /// What is missing.
        awaited: SequenceNumber,
        /// How many are held.
        held: usize,
    },
}

impl OrderFault {
    /// What its sender hears (ebMS 2.0, 9.1.1).
    #[must_use]
    pub fn report(&self) -> EbxmlError {
        let code = match self {
            Self::Full { .. } => ErrorCode::DeliveryFailure,
            _ => ErrorCode::Inconsistent,
        };
        let at = "/soap:Envelope/soap:Header/eb:MessageOrder/eb:SequenceNumber";
        EbxmlError::new(code, at.to_owned(), self.to_string())
    }
}

/// When a message with this order has its turn in the sequence.
///
/// # Errors
/// [`OrderFault`]: it never has one.
pub fn turn_of(sequence: &Sequence, order: MessageOrder, policy: OrderPolicy) -> Result<Turn, OrderFault> {
    let MessageOrder { number, status } = order;
    if status == OrderStatus::Reset {
        return match number {
            SequenceNumber::FIRST if !sequence.begun => Ok(Turn::Now),
            SequenceNumber::FIRST if sequence.ahead() == 0 => Ok(Turn::Now),
            SequenceNumber::FIRST => Err(OrderFault::ResetOverGap(sequence.next)),
            _ => Err(OrderFault::ResetPastFirst(number)),
        };
    }
    match number.after(sequence.next) {
        0 => Ok(Turn::Now),
        // Numbers go around: what is more than half of them ahead lies behind.
        ahead if ahead > AHEAD_MAX || sequence.early.contains_key(&number) => Err(OrderFault::Taken(number)),
        _ if sequence.after_refused(number).is_some() => Err(OrderFault::Taken(number)),
        _ => match waiting(sequence) {
            held if held >= policy.held_messages_max => {
                Err(OrderFault::Full { awaited: sequence.next, held })
            }
            _ => Ok(Turn::Later),
        },
    }
}

/// The sequence once a message that had its turn is handed on, or refused.
#[must_use]
pub fn taken(sequence: Sequence, order: MessageOrder) -> Sequence {
    let mut sequence = Sequence { next: order.number.next(), begun: true, ..sequence };
    pass_over(&mut sequence);
    sequence
}

/// The sequence with a message that came before its turn.
#[must_use]
pub fn came_early(mut sequence: Sequence, number: SequenceNumber, early: Early) -> Sequence {
    sequence.early.insert(number, early);
    sequence
}

/// The sequence with a message that was refused as it came before its turn: the messages after it do not wait for it. Of
/// runs as many are known as messages are held; a number past that is missing until an operator settles it.
#[must_use]
pub fn refused_early(sequence: Sequence, number: SequenceNumber, policy: OrderPolicy) -> Sequence {
    let known = with_refused(sequence.clone(), number);
    // One that makes a run longer makes no new one.
    let fits = known.refused.len() <= sequence.refused.len().max(policy.held_messages_max);
    if fits { known } else { sequence }
}

/// The sequence once the message that was ready is handed on, or refused. What an operator has refused before its turn is
/// no longer held; its number is known in any case, since there are no more of those than were held.
#[must_use]
pub fn done(mut sequence: Sequence, number: SequenceNumber) -> Sequence {
    sequence.early.remove(&number);
    if number == sequence.next {
        return taken(sequence, MessageOrder { number, status: OrderStatus::Continue });
    }
    with_refused(sequence, number)
}

/// The sequence once an operator has settled its gap. It goes on with the first message that is held or, where none is,
/// behind the first that was refused before its turn; `None` when there is nothing of either, and nothing to refuse.
#[must_use]
pub fn settle(mut sequence: Sequence, how: Gap) -> Option<Sequence> {
    match how {
        Gap::Release => {
            let next = sequence.next;
            let waiting = sequence.early.iter().filter(|(_, early)| early.fate != Fate::Passed);
            let waiting = waiting.map(|(number, _)| *number).min_by_key(|number| number.after(next));
            let passed = sequence.early.keys().chain(sequence.refused.keys()).copied();
            let first = waiting.or_else(|| passed.min_by_key(|number| number.after(next)))?;
            sequence.begun = true;
            sequence.early.retain(|number, _| number.after(next) >= first.after(next));
            sequence.refused.retain(|number, _| number.after(next) >= first.after(next));
            sequence.next = first;
            pass_over(&mut sequence);
        }
        Gap::Refuse if sequence.held().is_empty() => return None,
        Gap::Refuse => {
            let held = sequence.early.values_mut().filter(|early| early.fate == Fate::Held);
            held.for_each(|early| early.fate = Fate::Refused);
        }
    }
    Some(sequence)
}

/// The sequence with the instant of what is to be done about it next: at once where a message is ready, and where
/// one is missing when operators are to hear of it, once.
#[must_use]
pub fn scheduled(sequence: Sequence, now: Timestamp, policy: OrderPolicy) -> Sequence {
    let told = sequence.told.filter(|told| *told == sequence.next);
    let oldest = sequence.held().iter().map(|(_, early)| early.received_at).min();
    let due = match (sequence.ready(), told, oldest) {
        // Since when, if it was before: a restored store tells by that what the lost one may have done (P20).
        (Some(_), ..) => Some(sequence.due.filter(|due| *due < now).unwrap_or(now)),
        (None, Some(_), _) => None,
        (None, None, Some(oldest)) => Some(oldest.plus(policy.gap_alarm_after)),
        // With only refused numbers behind the gap it counts from when that was so; more of them put nothing off.
        (None, None, None) if sequence.ahead() == 0 => None,
        (None, None, None) => {
            let known = sequence.due.filter(|due| *due > now);
            known.or_else(|| Some(now.plus(policy.gap_alarm_after)))
        }
    };
    Sequence { told, due, ..sequence }
}

/// A number for a message that is sent, and the sequence after it. The first one begins with a Reset; none is ever
/// made later, since only who knows that everything before was received may do so.
#[must_use]
pub fn numbered(sequence: Sequence) -> (MessageOrder, Sequence) {
    let number = sequence.next;
    let status = if sequence.begun { OrderStatus::Continue } else { OrderStatus::Reset };
    let sequence = Sequence { next: number.next(), begun: true, ..sequence };
    (MessageOrder { number, status }, sequence)
}

/// How many messages wait: those that are held, and those that are about to be refused.
fn waiting(sequence: &Sequence) -> usize {
    sequence.early.values().filter(|early| early.fate != Fate::Passed).count()
}

/// The sequence with one refused number more: it makes a run longer, joins two, or begins one.
fn with_refused(mut sequence: Sequence, number: SequenceNumber) -> Sequence {
    let before = sequence.refused.iter().find(|(first, count)| first.plus(**count) == number);
    let (first, mut count) = before.map_or((number, 1), |(first, count)| (*first, count + 1));
    count += sequence.refused.remove(&number.next()).unwrap_or_default();
    sequence.refused.insert(first, count);
    sequence
}

/// Numbers of messages that were refused before their turn are passed over when it comes.
fn pass_over(sequence: &mut Sequence) {
    loop {
        let next = sequence.next;
        if sequence.early.get(&next).is_some_and(|early| early.fate == Fate::Passed) {
            sequence.early.remove(&next);
            sequence.next = next.next();
        } else if let Some(after) = sequence.after_refused(next) {
            sequence.refused.remove(&next);
            sequence.next = after;
        } else {
            return;
        }
    }
}

const AHEAD_MAX: u32 = 50_000_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConversationId, CpaId, Direction, MessageId, PartyKey, SequenceKey};

    fn sequence(next: u32, begun: bool) -> Sequence {
        let key = SequenceKey {
            direction: Direction::Receive,
            cpa_id: CpaId::new("cpa").expect("plain"),
            conversation_id: ConversationId::new("talk").expect("plain"),
        };
        let new = Sequence::new(key, PartyKey::new("BR1").expect("plain"));
        Sequence { next: number(next), begun, ..new }
    }

    fn number(number: u32) -> SequenceNumber {
        SequenceNumber::new(number).expect("in range")
    }

    fn early(fate: Fate) -> Early {
        let message_id = MessageId::new("m@a").expect("plain");
        Early { message_id, received_at: Timestamp::from_millis(1_000), fate }
    }

    fn with(sequence: Sequence, waiting: &[(u32, Fate)]) -> Sequence {
        waiting.iter().fold(sequence, |sequence, (at, fate)| came_early(sequence, number(*at), early(*fate)))
    }

    //= ebms2 9.1.1 MUST: the first message of a conversation has SequenceNumber 0 with Reset, and each later one the next with Continue
    //= ebms2 9.1.1 MUST: 0 after 99999999 is no Reset
    #[test]
    fn what_is_sent_is_numbered_without_a_hole() {
        fn check(next: u32, begun: bool, expected: (u32, OrderStatus), then: u32) {
            let (order, after) = numbered(sequence(next, begun));
            assert_eq!((u32::from(order.number), order.status), expected);
            assert_eq!(after.next, number(then));
        }
        check(0, false, (0, OrderStatus::Reset), 1);
        check(1, true, (1, OrderStatus::Continue), 2);
        check(99_999_999, true, (99_999_999, OrderStatus::Continue), 0);
        check(0, true, (0, OrderStatus::Continue), 1);
    }

    //= ebms2 9.1.1 MUST: a Reset comes only when everything before it is accounted for
    //= ebms2 9.1.1 MUST: a SequenceNumber that another message of the conversation had is Inconsistent
    //= ebms2 9.1.1 MUST: past the number of messages that can be held DeliveryFailure is told
    #[test]
    fn every_number_has_its_turn_or_is_refused() {
        use Fate::{Held, Passed};
        fn check(sequence: &Sequence, order: (u32, OrderStatus), expected: &str) {
            let order = MessageOrder { number: number(order.0), status: order.1 };
            let policy = OrderPolicy { held_messages_max: 3, ..OrderPolicy::default() };
            let told = match turn_of(sequence, order, policy) {
                Ok(turn) => format!("{turn:?}"),
                Err(fault) => fault.report().code.as_str().to_owned(),
            };
            assert_eq!(told, expected, "{order:?} in {sequence:?}");
        }
        const RESET: OrderStatus = OrderStatus::Reset;
        const CONTINUE: OrderStatus = OrderStatus::Continue;
        let new = sequence(0, false);
        check(&new, (0, RESET), "Now");
        check(&new, (0, CONTINUE), "Now");
        check(&new, (1, CONTINUE), "Later");
        check(&new, (1, RESET), "Inconsistent");
        check(&with(new, &[(1, Held), (2, Held)]), (0, RESET), "Now");

        let begun = sequence(7, true);
        check(&begun, (7, CONTINUE), "Now");
        check(&begun, (8, CONTINUE), "Later");
        check(&begun, (6, CONTINUE), "Inconsistent");
        check(&begun, (0, RESET), "Now");
        check(&with(begun.clone(), &[(8, Held)]), (0, RESET), "Inconsistent");
        check(&with(begun.clone(), &[(8, Passed)]), (8, CONTINUE), "Inconsistent");
        // At the limit, and past it.
        check(&with(begun.clone(), &[(8, Held), (9, Held)]), (10, CONTINUE), "Later");
        check(&with(begun.clone(), &[(8, Held), (9, Held), (10, Held)]), (11, CONTINUE), "DeliveryFailure");
        check(&with(begun.clone(), &[(8, Held), (9, Held), (10, Held)]), (7, CONTINUE), "Now");
        // What was refused is held no more, also as an earlier version kept it.
        check(&with(begun.clone(), &[(8, Passed), (9, Held), (10, Held)]), (11, CONTINUE), "Later");
        check(&with(begun, &[(8, Fate::Refused), (9, Held), (10, Held)]), (11, CONTINUE), "DeliveryFailure");

        let last = sequence(99_999_999, true);
        check(&last, (0, CONTINUE), "Later");
        check(&last, (99_999_998, CONTINUE), "Inconsistent");
        check(&sequence(0, true), (0, RESET), "Now");
        check(&sequence(0, true), (99_999_999, CONTINUE), "Inconsistent");
    }

    /// P13: a sender who goes on and on makes one run of numbers longer.
    #[test]
    fn what_is_refused_past_the_most_is_passed_over_when_its_turn_comes() {
        use Fate::Held;
        let policy = OrderPolicy { held_messages_max: 2, ..OrderPolicy::default() };
        let full = with(sequence(99_999_997, true), &[(99_999_998, Held), (99_999_999, Held)]);
        let refuse = |sequence, at: u32| refused_early(sequence, number(at), policy);
        // In whatever order they come, also where numbers begin again.
        let past = [1, 0, 3, 2].into_iter().fold(full, refuse);
        assert_eq!(past.refused, [(number(0), 4)].into());
        let again = MessageOrder { number: number(2), status: OrderStatus::Continue };
        assert_eq!(turn_of(&past, again, policy), Err(OrderFault::Taken(number(2))));
        let missing = MessageOrder { number: past.next, status: OrderStatus::Continue };
        let begun = taken(past.clone(), missing);
        let after = done(done(begun, number(99_999_998)), number(99_999_999));
        assert_eq!((after.next, after.refused.len(), after.early.len()), (number(4), 0, 0));
        // An operator lets go of the one that is missing.
        let released = settle(past.clone(), Gap::Release).expect("something is held");
        assert_eq!(done(done(released, number(99_999_998)), number(99_999_999)).next, number(4));
        // At the limit of runs, and past it.
        let more = [10, 20].into_iter().fold(past, refuse);
        assert_eq!(more.refused, [(number(0), 4), (number(10), 1)].into());
        assert_eq!(refuse(more, 11).refused, [(number(0), 4), (number(10), 2)].into());
        // A Reset before everything is accounted for.
        let gap = refuse(sequence(5, true), 7);
        let reset = MessageOrder { number: number(0), status: OrderStatus::Reset };
        assert_eq!(turn_of(&gap, reset, policy), Err(OrderFault::ResetOverGap(number(5))));
    }

    #[test]
    fn operators_settle_a_gap_and_time_settles_none() {
        use Fate::{Held, Passed, Refused};
        let gap = with(sequence(99_999_998, true), &[(0, Held), (1, Passed), (3, Held)]);
        assert_eq!(gap.ready(), None);
        let now = Timestamp::from_millis(5_000);
        let policy = OrderPolicy::default();
        let waits = scheduled(gap.clone(), now, policy);
        assert_eq!(waits.due, Some(Timestamp::from_millis(601_000)));
        let told = Sequence { told: Some(waits.next), ..waits };
        assert_eq!(scheduled(told, now, policy).due, None, "once");

        let released = settle(gap.clone(), Gap::Release).expect("something is held");
        assert_eq!(released.ready().map(|(at, _)| at), Some(number(0)));
        let after = done(released, number(0));
        assert_eq!((after.next, after.ready()), (number(2), None), "what was refused is passed over");

        let refused = settle(gap, Gap::Refuse).expect("something is held");
        assert_eq!(refused.early.values().filter(|early| early.fate == Refused).count(), 2);
        let after = done(done(refused, number(0)), number(3));
        assert_eq!((after.next, after.ready()), (number(99_999_998), None), "what is missing still is");
        assert!(after.early.values().all(|early| early.fate == Passed), "nothing is kept of what is refused");
        assert_eq!(after.refused, [(number(0), 1), (number(3), 1)].into(), "but its number");
        assert!(settle(after.clone(), Gap::Refuse).is_none(), "nothing is held");
        // With nothing held it goes on behind what was refused, gap after gap.
        let on = settle(after, Gap::Release).expect("some were refused before their turn");
        assert_eq!((on.next, on.ahead()), (number(2), 1));
        // Nothing is held, and yet operators hear of what is missing: once, and no later for each that is refused after it.
        let waits = scheduled(on.clone(), now, policy);
        assert_eq!(waits.due, Some(Timestamp::from_millis(605_000)));
        let later = scheduled(refused_early(waits, number(9), policy), Timestamp::from_millis(9_000), policy);
        assert_eq!(later.due, Some(Timestamp::from_millis(605_000)));
        let told = Sequence { told: Some(later.next), ..later };
        assert_eq!(scheduled(told, Timestamp::from_millis(605_000), policy).due, None);
        let on = settle(on, Gap::Release).expect("one was refused before its turn");
        assert_eq!((on.next, on.ahead()), (number(4), 0));
        assert!(settle(on, Gap::Release).is_none(), "nothing is known to be missing");
    }
}
