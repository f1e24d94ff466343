//! The command line, one file a command.

pub mod check;
mod credentials;
pub mod events;
pub mod keys;
pub mod pki;

pub use credentials::KeyAlgorithm;
