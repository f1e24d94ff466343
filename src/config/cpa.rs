//! A CPA and the plain format of partner files: read into it, and written from it.
//!
//! Promises: a CPA of which this gateway cannot keep a term is imported not at all, with every such term told where it
//! stands; what is exported says of a partner what its own side must say.
//!
//! An Action has one set of terms here in each direction: where a CPA offers several channels, the first one that can
//! be used is sent over, and what fits each of ours is taken in.

mod export;
mod import;
mod own;
#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;

pub use export::{ExportError, export_cpa};
pub use import::{ImportOptions, Imported, ImportedCertificate, import_cpa};
pub use own::{Own, OwnCertificateError};
