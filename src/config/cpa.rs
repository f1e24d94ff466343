//! A CPA and the plain format of partner files: read into it, and written from it.
//!
//! Promises: a CPA of which this gateway cannot keep a term is imported not at all, with every such term told where it
//! stands; what is exported says of a partner what its own side must say.
//!
//! An agreement here has one Role on each side, one endpoint and one set of terms for all of its Actions; a CPA
//! that needs more is told so.

mod export;
mod import;
#[cfg(test)]
mod tests;

pub use export::{ExportError, export_cpa};
pub use import::{ImportOptions, Imported, ImportedCertificate, import_cpa};
