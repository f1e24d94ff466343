//! Numbers for what a partner sends where its agreement has an order (ebMS 2.0, 9). They are kept in a file
//! beside its journal, since commands and a listener send in the same conversations.
//!
//! Promises: no number is given twice; it is on stable storage before the message that has it leaves; what
//! cannot be sealed takes none; and a message that is made again gets the number that it had. A number whose
//! message never arrives is given to no other: what comes after it waits at the gateway until its operator
//! releases the conversation. What was read of the file is not read again: each number costs the lines that
//! are new.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::journal::Ending;
use crate::model::{ConversationId, CpaId, MessageId, MessageOrder, OrderStatus};

/// The numbers of a partner, and what is known of their file.
pub(super) struct Numbers {
    directory: PathBuf,
    known: Mutex<Known>,
}

/// A conversation under an agreement, and a message of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Numbered {
    pub(super) cpa_id: CpaId,
    pub(super) conversation_id: ConversationId,
    pub(super) message_id: MessageId,
}

/// A number that was given; a line of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Given {
    #[serde(flatten)]
    to: Numbered,
    order: MessageOrder,
}

/// What the lines up to `end` say.
#[derive(Default)]
struct Known {
    /// Device and inode of the file that was read.
    file: Option<(u64, u64)>,
    end: u64,
    conversations: HashMap<(CpaId, ConversationId), Conversation>,
}

/// The numbers of a conversation.
struct Conversation {
    last: MessageOrder,
    given: HashMap<MessageId, MessageOrder>,
}

/// The number that a message will have. Nobody else is given one until it is taken, or let go of by dropping
/// it.
pub(super) struct Turn<'a> {
    known: MutexGuard<'a, Known>,
    numbers: &'a Numbers,
    /// Locked until it is closed.
    file: File,
    given: Given,
}

impl Numbers {
    /// Those of the partner that keeps its journal here.
    pub(super) fn of(directory: PathBuf) -> Self {
        Self { directory, known: Mutex::default() }
    }

    /// The number that a message will have: the one that it was given before, or the next of its
    /// conversation.
    ///
    /// # Errors
    /// When the file cannot be read. Nothing may be sent then.
    pub(super) fn turn(&self, to: Numbered) -> io::Result<Turn<'_>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        std::fs::create_dir_all(&self.directory)?;
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(self.directory.join(FILE))?;
        flock(&file, FlockOperation::LockExclusive)?;
        known.read_on(&file)?;
        let order = known.order_of(&to);
        Ok(Turn { known, numbers: self, file, given: Given { to, order } })
    }
}

impl Turn<'_> {
    /// The number.
    pub(super) const fn order(&self) -> MessageOrder {
        self.given.order
    }

    /// From here on the number is used, whatever becomes of the message.
    ///
    /// # Errors
    /// When the file cannot be written. The message may not be sent then.
    pub(super) fn take(mut self) -> io::Result<()> {
        let mut line = Vec::new();
        let is_new = self.known.given_to(&self.given.to).is_none();
        if is_new {
            line = serde_json::to_vec(&self.given)?;
            line.push(b'\n');
            // A line that was torn off named no message that has left.
            self.file.set_len(self.known.end)?;
            self.file.write_all(&line)?;
        }
        // Also one that stands there: who wrote it may have died before this.
        self.file.sync_all()?;
        File::open(&self.numbers.directory)?.sync_all()?;
        if is_new {
            self.known.end += line.len() as u64;
            self.known.note(self.given);
        }
        Ok(())
    }
}

impl Known {
    /// Reads every whole line that is new; all of them, where the file is another one or was cut.
    fn read_on(&mut self, file: &File) -> io::Result<()> {
        let now = file.metadata()?;
        let this = Some((now.dev(), now.ino()));
        if self.file != this || now.len() < self.end {
            *self = Self { file: this, ..Self::default() };
        }
        let (mut reader, mut line) = (BufReader::new(file), Vec::new());
        reader.seek(SeekFrom::Start(self.end))?;
        loop {
            line.clear();
            let length = reader.read_until(b'\n', &mut line)?;
            if !line.ends_with(b"\n") {
                return Ok(());
            }
            self.note(serde_json::from_slice(&line)?);
            self.end += length as u64;
        }
    }

    fn note(&mut self, Given { to, order }: Given) {
        let none = || Conversation { last: order, given: HashMap::new() };
        let conversation = self.conversations.entry((to.cpa_id, to.conversation_id)).or_insert_with(none);
        conversation.last = order;
        conversation.given.insert(to.message_id, order);
    }

    fn conversation_of(&self, to: &Numbered) -> Option<&Conversation> {
        self.conversations.get(&(to.cpa_id.clone(), to.conversation_id.clone()))
    }

    fn given_to(&self, to: &Numbered) -> Option<MessageOrder> {
        self.conversation_of(to)?.given.get(&to.message_id).copied()
    }

    fn order_of(&self, to: &Numbered) -> MessageOrder {
        let next = |conversation: &Conversation| MessageOrder {
            number: conversation.last.number.next(),
            status: OrderStatus::Continue,
        };
        let next = || self.conversation_of(to).map_or(MessageOrder::BEGIN, next);
        self.given_to(to).unwrap_or_else(next)
    }
}

/// What becomes of the number of a message that was not acknowledged, for who sent it. A signed refusal does
/// not show whether the message was verified before: only then is its number counted.
pub(super) fn used(order: MessageOrder, conversation: &ConversationId, how: Ending) -> String {
    let number = u32::from(order.number);
    let lost = match how {
        Ending::Refused => {
            "counts where the gateway verified the message; should it have turned it away before that (its signature, \
             its certificate, its envelope)"
        }
        Ending::Acknowledged | Ending::Taken | Ending::Expired => "is used; should it not have arrived",
    };
    format!(
        "its number {number} {lost}, the gateway holds what comes after it in {conversation} until its operator \
         releases the conversation"
    )
}

const FILE: &str = "numbers.jsonl";

#[cfg(test)]
mod tests {
    use super::*;

    fn message(conversation: &str, message: &str) -> Numbered {
        Numbered {
            cpa_id: CpaId::new("cpa").expect("is an id"),
            conversation_id: ConversationId::new(conversation).expect("is an id"),
            message_id: MessageId::new(message).expect("is an id"),
        }
    }

    fn give(numbers: &Numbers, conversation: &str, id: &str) -> (u32, OrderStatus) {
        let turn = numbers.turn(message(conversation, id)).expect("is read");
        let order = turn.order();
        turn.take().expect("is written");
        (order.number.into(), order.status)
    }

    use OrderStatus::{Continue, Reset};

    #[test]
    fn numbers_go_up_by_conversation_and_a_message_keeps_its_own() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let directory = directory.path();
        // One that has read what is there, and one that has to read it each time.
        let kept = Numbers::of(directory.into());
        let anew = || Numbers::of(directory.into());
        assert_eq!(give(&kept, "a", "1"), (0, Reset));
        assert_eq!(give(&anew(), "a", "2"), (1, Continue));
        assert_eq!(give(&kept, "b", "3"), (0, Reset));
        assert_eq!(give(&anew(), "a", "1"), (0, Reset), "made again");
        assert_eq!(give(&kept, "a", "2"), (1, Continue), "made again, after another was given it");
        // A line that was torn off gave no number away.
        let file = directory.join(FILE);
        let whole = std::fs::read(&file).expect("is there");
        std::fs::write(&file, [&whole[..], &whole[..20]].concat()).expect("writes");
        assert_eq!(give(&kept, "a", "4"), (2, Continue));
        assert_eq!(give(&anew(), "b", "5"), (1, Continue));
        // The file of before, put back: another file, or the same one cut.
        std::fs::write(&file, &whole).expect("writes");
        assert_eq!(give(&kept, "b", "6"), (1, Continue));
        let other = directory.join("other");
        std::fs::write(&other, [&whole[..], &whole[..]].concat()).expect("writes");
        std::fs::rename(&other, &file).expect("is put there");
        assert_eq!(give(&kept, "b", "7"), (1, Continue));
        std::fs::write(&file, [b"{}\n", &whole[..]].concat()).expect("writes");
        assert!(anew().turn(message("a", "8")).is_err(), "a damaged line is not passed over");
    }

    #[test]
    fn a_number_that_is_not_taken_is_free() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let numbers = Numbers::of(directory.path().into());
        for (id, expected) in [("1", (0, Reset)), ("2", (1, Continue))] {
            let lost = numbers.turn(message("a", "cannot be sealed")).expect("is read");
            assert_eq!(u32::from(lost.order().number), expected.0);
            drop(lost);
            assert_eq!(give(&numbers, "a", id), expected);
        }
    }

    /// What was read once is not read again: lines before the place are another matter then.
    #[test]
    fn a_number_costs_the_lines_that_are_new() {
        let directory = tempfile::tempdir().expect("makes a directory");
        let numbers = Numbers::of(directory.path().into());
        for id in ["1", "2"] {
            give(&numbers, "a", id);
        }
        let file = directory.path().join(FILE);
        let length = std::fs::metadata(&file).expect("is there").len();
        std::fs::write(&file, vec![b'x'; usize::try_from(length).expect("is short")]).expect("writes");
        assert_eq!(give(&numbers, "a", "3"), (2, Continue));
    }

    #[test]
    fn of_several_at_once_none_has_the_number_of_another() {
        let directory = tempfile::tempdir().expect("makes a directory");
        // Two processes, as it were, with four threads each.
        let numbers = [(); 2].map(|()| Numbers::of(directory.path().into()));
        let mut given: Vec<u32> = std::thread::scope(|scope| {
            let give = |at: usize| {
                let numbers = &numbers[at % 2];
                move || give(numbers, "a", &at.to_string()).0
            };
            let giving: Vec<_> = (0..8).map(|at| scope.spawn(give(at))).collect();
            giving.into_iter().map(|given| given.join().expect("no panic")).collect()
        });
        given.sort_unstable();
        assert_eq!(given, (0..8).collect::<Vec<_>>());
    }
}
