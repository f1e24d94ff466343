//! Numbers for what a partner sends where its agreement has an order (ebMS 2.0, 9). They are kept in a file beside its
//! journal, since commands and a listener send in the same conversations.
//!
//! Promises: no number is given twice; it is on stable storage before the message that has it leaves; and a message that
//! is made again gets the number that it had. A number whose message never arrives is given to no other: what comes after
//! it waits at the gateway until its operator releases the conversation.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::model::{ConversationId, CpaId, MessageId, MessageOrder, OrderStatus};

/// A number that was given; a line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Given {
    pub(super) cpa_id: CpaId,
    pub(super) conversation_id: ConversationId,
    pub(super) message_id: MessageId,
    order: MessageOrder,
}

impl Given {
    /// For a message of a conversation; not given yet.
    pub(super) fn to(cpa_id: CpaId, conversation_id: ConversationId, message_id: MessageId) -> Self {
        Self { cpa_id, conversation_id, message_id, order: MessageOrder::BEGIN }
    }

    /// The number that the message has from here on.
    ///
    /// # Errors
    /// When the file cannot be read or written. Nothing may be sent then.
    pub(super) fn give(self, directory: &Path) -> io::Result<MessageOrder> {
        std::fs::create_dir_all(directory)?;
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(directory.join(FILE))?;
        flock(&file, FlockOperation::LockExclusive)?;
        let (given, end) = read(&file)?;
        let order = self.order_among(&given);
        if given.iter().any(|known| self.is_for(known)) {
            return Ok(order);
        }
        // A line that was torn off named no message that has left.
        file.set_len(end)?;
        let mut line = serde_json::to_vec(&Self { order, ..self })?;
        line.push(b'\n');
        file.write_all(&line)?;
        file.sync_all()?;
        File::open(directory)?.sync_all()?;
        Ok(order)
    }

    /// The number that it would have.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(super) fn foretell(&self, directory: &Path) -> io::Result<MessageOrder> {
        match File::open(directory.join(FILE)) {
            Ok(file) => Ok(self.order_among(&read(&file)?.0)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(MessageOrder::BEGIN),
            Err(error) => Err(error),
        }
    }

    fn order_among(&self, given: &[Self]) -> MessageOrder {
        if let Some(known) = given.iter().find(|known| self.is_for(known)) {
            return known.order;
        }
        let mut of_this = given.iter().filter(|known| self.is_beside(known));
        of_this.next_back().map_or(MessageOrder::BEGIN, |last| MessageOrder {
            number: last.order.number.next(),
            status: OrderStatus::Continue,
        })
    }

    fn is_for(&self, other: &Self) -> bool {
        self.is_beside(other) && self.message_id == other.message_id
    }

    fn is_beside(&self, other: &Self) -> bool {
        (&self.cpa_id, &self.conversation_id) == (&other.cpa_id, &other.conversation_id)
    }
}

/// Every whole line, and where the last one ends.
fn read(file: &File) -> io::Result<(Vec<Given>, u64)> {
    let (mut reader, mut given, mut end, mut line) = (BufReader::new(file), Vec::new(), 0, Vec::new());
    loop {
        line.clear();
        let length = reader.read_until(b'\n', &mut line)?;
        if !line.ends_with(b"\n") {
            return Ok((given, end));
        }
        given.push(serde_json::from_slice(&line)?);
        end += length as u64;
    }
}

const FILE: &str = "numbers.jsonl";

#[cfg(test)]
mod tests {
    use super::*;

    fn number(conversation: &str, message: &str) -> Given {
        let conversation = ConversationId::new(conversation).expect("is an id");
        let message = MessageId::new(message).expect("is an id");
        Given::to(CpaId::new("cpa").expect("is an id"), conversation, message)
    }

    #[test]
    fn numbers_go_up_by_conversation_and_a_message_keeps_its_own() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let directory = directory.path();
        let give = |conversation: &str, message: &str| {
            let foretold = number(conversation, message).foretell(directory).expect("is read");
            let order = number(conversation, message).give(directory).expect("is written");
            assert_eq!(foretold, order, "{conversation} {message}");
            (u32::from(order.number), order.status)
        };
        use OrderStatus::{Continue, Reset};
        assert_eq!(give("a", "1"), (0, Reset));
        assert_eq!(give("a", "2"), (1, Continue));
        assert_eq!(give("b", "3"), (0, Reset));
        assert_eq!(give("a", "1"), (0, Reset), "made again");
        // A line that was torn off gave no number away.
        let file = directory.join(FILE);
        let whole = std::fs::read(&file).expect("is there");
        std::fs::write(&file, [&whole[..], &whole[..20]].concat()).expect("writes");
        assert_eq!(give("a", "4"), (2, Continue));
        assert_eq!(give("b", "5"), (1, Continue));
        std::fs::write(&file, [b"{}\n", &whole[..]].concat()).expect("writes");
        assert!(number("a", "6").give(directory).is_err(), "a damaged line is not passed over");
    }

    #[test]
    fn of_several_at_once_none_has_the_number_of_another() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let directory = directory.path();
        let mut numbers: Vec<u32> = std::thread::scope(|scope| {
            let give = |at: usize| move || number("a", &at.to_string()).give(directory).expect("is written");
            let giving: Vec<_> = (0..8).map(|at| scope.spawn(give(at))).collect();
            giving.into_iter().map(|given| given.join().expect("no panic").number.into()).collect()
        });
        numbers.sort_unstable();
        assert_eq!(numbers, (0..8).collect::<Vec<_>>());
    }
}
