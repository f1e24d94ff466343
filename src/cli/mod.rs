//! The command line, one file a command.

pub mod agreement;
mod ask;
pub mod audit;
pub mod case;
pub mod check;
pub mod conversation;
mod credentials;
pub mod delivery;
pub mod demo;
pub mod events;
pub mod inbox;
pub mod inspect;
pub mod keys;
pub mod message;
pub mod notice;
pub mod party;
pub mod payment;
pub mod pki;
pub mod reload;
pub mod rules;
pub mod stats;
pub mod store;

pub use credentials::KeyAlgorithm;
