//! Practice partners: small message service handlers that play a broker, customs or an agency, for demo,
//! rehearsal and load. They know the wire, never the gateway's inside.
//!
//! A [`Node`] listens, takes each message in exactly once into its [`Journal`], and answers as its [`Role`]
//! and its [`Script`] say; a [`Bank`] books payments in its [`Ledger`], an [`Authority`] gives time stamps;
//! [`SendArgs`] lodges, [`MailboxArgs`] collects. Their commands live here and not in `cli`, which is a room
//! on the same floor.

mod arrived;
mod authority;
mod bank;
mod check;
mod command;
mod customs;
mod hear;
mod inquiry;
mod journal;
mod ledger;
mod mailbox;
mod node;
mod numbers;
mod outcome;
mod partner;
mod question;
mod role;
mod script;
mod send;
mod words;

pub use authority::Authority;
pub use bank::{Bank, BankMove, BankPlay, BankScript};
pub use command::PracticeArgs;
pub use customs::CustomsMove;
pub use journal::{Ended, Ending, Entry, Journal, Octets, Place, Posted, Received, Sent};
pub use ledger::{Ledger, LedgerEntry, LedgerError, Transfer, Verdict};
pub use mailbox::{MailboxArgs, nobody_reads};
pub use node::{Done, Manners, Node};
pub use outcome::Wanted;
pub use partner::{Letter, Outgoing, Partner};
pub use role::{Owed, Play, Role, Saying, document_of, owed, owed_when_paid};
pub use script::{Move, Script, Step};
pub use send::SendArgs;
pub use words::{about, gist, number_of};
