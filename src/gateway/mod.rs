//! The async shell: sockets, disk, clock and tasks around the pure core. Dull on purpose.
//!
//! Promises: a message takes the one road open, load, decide, seal, commit, release, and nothing leaves before its
//! commit (P1); when the store fails, nobody is answered any more and the process ends (P10); every task is
//! tracked, every queue has a bound; a stop lets what is in hand end.
//!
//! Has no opinions: an `if` here that decides something about a message belongs in the core.

mod acts;
mod admin;
mod agenda;
mod api;
mod bank;
mod check;
mod command;
mod driver;
mod evidence;
mod foretell;
mod heads;
mod inbox;
mod keys;
mod lanes;
mod mailbox;
mod pay;
mod payments;
mod purge;
mod questions;
mod receive;
mod reconcile;
mod rules;
mod run;
mod scrub;
mod send;
mod shared;
mod shelf;
mod show;
mod stamps;
mod statistics;
mod under_way;

pub use command::{ServeArgs, StoreFailed};
pub use run::{Gateway, StartError, Stopped};
