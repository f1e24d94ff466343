//! Which records an event needs, and what is decided from them (engineering guide, 4).
//!
//! `needs(event)` names records, `decide(now, event, view, context)` makes every decision, `Step::seal` makes the
//! octets of every answer, and only what a store has committed lets an action out. Pure: the same inputs give
//! the same step, on every node and in every replay; whatever a crash could repeat has an id that follows from
//! what caused it.
//!
//! Promises: P1 (one batch holds message, answer, case, deliveries and audit), P3, P4, P8, P9. Does not read a
//! clock, draw a random number, open a file or a socket, or keep anything between two events.

mod again;
mod amend;
mod announce;
mod approval;
mod arrival;
mod attest;
mod audit;
mod cancel;
mod customs;
mod deadline;
mod decide;
mod documents;
mod due;
mod enclose;
mod ending;
mod event;
mod fee;
mod find;
mod foretell;
mod ids;
mod join;
mod lodge;
mod mailbox;
mod naming;
mod needs;
mod notice;
mod officer;
mod order;
mod owe;
mod pay;
mod practice;
mod prompt;
mod purge;
mod query;
mod reconcile;
mod refuse;
mod replace;
mod respond;
mod result;
mod service;
mod signal;
mod step;
mod transit;
mod withdraw;

#[cfg(test)]
mod tests;

pub use decide::decide;
pub use documents::{Documents, PartContent, look_at_documents, read_documents};
pub use due::parts_of;
pub use event::{Announcement, Arrival, Context, Event, Hold, Holding, InTransit, Own, Refused, Settle};
pub use foretell::{Foretold, ForetoldApplication, ForetoldDelivery, foretell};
pub use mailbox::owes_signed_receipt;
pub use needs::{needs, needs_of_purge};
pub use officer::{compose_act, needs_of_act};
pub use prompt::Places;
pub use purge::{is_idle, is_over, keeps_delivery, keeps_message};
pub use step::{Action, Heard, How, Pending, Ready, Reply, Says, SealedStep, Step, Told};
