//! MessageOrder (ebMS 2.0, 9), and how far the messages of a conversation have come in one direction.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ConversationId, CpaId, Direction, MessageId, MessageKey, PartyKey, Timestamp, ValueError};

/// SequenceNumber: 0 to 99999999, and after that 0 again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct SequenceNumber(u32);

impl SequenceNumber {
    /// The first one.
    pub const FIRST: Self = Self(0);
    /// The last one before it begins again.
    pub const LAST: Self = Self(99_999_999);

    /// The number.
    ///
    /// # Errors
    /// [`ValueError`] past 99999999.
    pub fn new(number: u32) -> Result<Self, ValueError> {
        if number <= Self::LAST.0 {
            Ok(Self(number))
        } else {
            Err(ValueError::new(EXPECTED, &number.to_string()))
        }
    }

    /// The one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        if self.0 == Self::LAST.0 { Self::FIRST } else { Self(self.0 + 1) }
    }

    /// The one so many after it.
    #[must_use]
    pub const fn plus(self, count: u32) -> Self {
        Self((self.0 + count) % (Self::LAST.0 + 1))
    }

    /// How many numbers lie from `earlier` to this one, counted around.
    #[must_use]
    pub const fn after(self, earlier: Self) -> u32 {
        let numbers = Self::LAST.0 + 1;
        (self.0 + numbers - earlier.0) % numbers
    }
}

impl TryFrom<u32> for SequenceNumber {
    type Error = ValueError;
    fn try_from(number: u32) -> Result<Self, ValueError> {
        Self::new(number)
    }
}

impl From<SequenceNumber> for u32 {
    fn from(number: SequenceNumber) -> Self {
        number.0
    }
}

impl std::str::FromStr for SequenceNumber {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits).ok_or_else(|| ValueError::new(EXPECTED, text))?;
        Self::new(number)
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// `status` of a SequenceNumber.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderStatus {
    /// Numbers begin again with this one.
    Reset,
    /// It follows the one before.
    #[default]
    Continue,
}

/// The MessageOrder of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageOrder {
    /// SequenceNumber.
    pub number: SequenceNumber,
    /// Its `status`.
    #[serde(default)]
    pub status: OrderStatus,
}

impl MessageOrder {
    /// That of the first message of a conversation.
    pub const BEGIN: Self = Self { number: SequenceNumber::FIRST, status: OrderStatus::Reset };
}

/// A conversation in one direction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SequenceKey {
    /// Who sends.
    pub direction: Direction,
    /// Under which agreement.
    pub cpa_id: CpaId,
    /// In which conversation.
    pub conversation_id: ConversationId,
}

impl fmt::Display for SequenceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.direction.as_str(), self.cpa_id, self.conversation_id)
    }
}

/// How far the messages of a conversation have come in one direction, and which of them came early.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Of what.
    pub key: SequenceKey,
    /// With whom.
    pub partner: PartyKey,
    /// The number that comes next.
    pub next: SequenceNumber,
    /// One has come, or gone, before.
    pub begun: bool,
    /// What came before its turn.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub early: BTreeMap<SequenceNumber, Early>,
    /// Numbers that are passed over because their messages were refused before their turn: the first of each run of
    /// them, and how many they are. Whoever sends on and on makes one run longer, and no record larger (P13).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<SequenceNumber, u32>,
    /// The missing number that operators were told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<SequenceNumber>,
    /// When something is to be done about it by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// When it began; not known of one of an earlier version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// A message that came before its turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Early {
    /// Which one.
    pub message_id: MessageId,
    /// Since when it is here.
    pub received_at: Timestamp,
    /// What becomes of it.
    pub fate: Fate,
}

/// What becomes of a message that came before its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It is held, and handed on when its turn comes.
    Held,
    /// An operator has it refused.
    Refused,
    /// It was refused: its number is passed over. Earlier versions kept it so, and not in [`Sequence::refused`].
    Passed,
}

impl Sequence {
    /// One in which nothing has come or gone.
    #[must_use]
    pub fn new(key: SequenceKey, partner: PartyKey) -> Self {
        let (early, refused) = (BTreeMap::new(), BTreeMap::new());
        let next = SequenceNumber::FIRST;
        Self { key, partner, next, begun: false, early, refused, told: None, due: None, since: None }
    }

    /// The same, which begins at this instant.
    #[must_use]
    pub fn beginning(self, at: Timestamp) -> Self {
        Self { since: Some(at), ..self }
    }

    /// The number after the run of refused ones that this number is in.
    #[must_use]
    pub fn after_refused(&self, number: SequenceNumber) -> Option<SequenceNumber> {
        let run = self.refused.iter().find(|(first, count)| number.after(**first) < **count);
        run.map(|(first, count)| first.plus(*count))
    }

    /// In how many places something came before its turn: a message, or a run of refused numbers. A message before it is
    /// missing.
    #[must_use]
    pub fn ahead(&self) -> usize {
        self.early.len() + self.refused.len()
    }

    /// The messages that are held, the next one first.
    #[must_use]
    pub fn held(&self) -> Vec<(SequenceNumber, &Early)> {
        let held = self.early.iter().filter(|(_, early)| early.fate == Fate::Held);
        let mut held: Vec<_> = held.map(|(number, early)| (*number, early)).collect();
        held.sort_by_key(|(number, _)| number.after(self.next));
        held
    }

    /// The message that something is to be done with now: it has its turn, or is to be refused.
    #[must_use]
    pub fn ready(&self) -> Option<(SequenceNumber, &Early)> {
        let refused = self.early.iter().find(|(_, early)| early.fate == Fate::Refused);
        let turn = self.early.get_key_value(&self.next).filter(|(_, early)| early.fate == Fate::Held);
        refused.or(turn).map(|(number, early)| (*number, early))
    }

    /// The key of a message in it.
    #[must_use]
    pub fn message(&self, early: &Early) -> MessageKey {
        MessageKey { sender: self.partner.clone(), message_id: early.message_id.clone() }
    }
}

/// The words of an operator about what is held behind a message that does not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gap {
    /// What is missing is not waited for any longer: what is held is handed on.
    Release,
    /// What is held is refused: its sender hears DeliveryFailure.
    Refuse,
}

/// Who has something done about a gap, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GapAct {
    /// What is done.
    pub how: Gap,
    /// Who says so, in words.
    pub by: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
}

const EXPECTED: &str = "a SequenceNumber from 0 to 99999999";

#[cfg(test)]
mod tests {
    use super::*;

    //= ebms2 9.1.1 MUST: after 99999999 the next SequenceNumber is 0
    #[test]
    fn numbers_go_around() {
        let number = |number| SequenceNumber::new(number).expect("in range");
        assert_eq!(SequenceNumber::LAST.next(), SequenceNumber::FIRST);
        assert_eq!(number(7).next(), number(8));
        assert_eq!(SequenceNumber::FIRST.after(SequenceNumber::LAST), 1);
        assert_eq!(number(3).after(number(9)), 99_999_994);
        assert_eq!("99999999".parse(), Ok(SequenceNumber::LAST));
        for wrong in ["100000000", "-1", "+1", "", "1.0", "x"] {
            assert!(wrong.parse::<SequenceNumber>().is_err(), "{wrong}");
        }
    }
}
