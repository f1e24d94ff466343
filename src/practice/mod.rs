//! Practice partners: they know the wire, never the gateway's inside.

mod journal;
mod script;

pub use journal::{Ended, Ending, Entry, Journal, Octets, Place, Received, Sent};
pub use script::{Move, Script, Step};
