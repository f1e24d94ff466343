//! Octets to a verified message ([`open()`]), and a decided message to signed octets ([`seal()`]).
//!
//! Promises: parse once, verify, and read only what was verified (promises-and-threats 2.1; P7). A [`Verified`] comes
//! from [`open()`] alone, so what steers a message cannot have skipped its checks. Everything from the wire is an attack
//! until then, and the closed profile refuses before anything is computed.
//!
//! Does not keep state, read clocks or decide what a message means: time comes in as an argument, and duplicates,
//! age and modules are for the message layer.
//!
//! Implements ebMS 2.0, 4.1 (security module) and 3.2.2 (Manifest).

mod actor_filter;
mod audit;
#[cfg(test)]
mod canonical_forms;
mod careless;
mod certificate;
#[cfg(test)]
mod differential;
mod error;
mod evidence;
mod inspect;
mod keystore;
mod open;
mod parts;
mod profile;
mod refusal;
mod revocation;
#[cfg(test)]
pub(crate) mod samples;
mod seal;
mod signature;
#[cfg(test)]
mod tests;
mod time_stamp;
mod xmlsec;

pub use audit::{AuditFault, AuditKeys, AuditVerifier, Proven, Stamps, sign_head};
pub use certificate::validity_of;
pub use error::{KeyError, PayloadError, SealError, SignatureFault};
pub use evidence::{EvidenceFault, HELD_BYTES_MAX, ProvenEvidence, names, sign_manifest, verify_evidence};
pub use inspect::{
    Capture, InspectedCertificate, InspectedPart, InspectedReference, InspectedSignature, Inspection,
    LeftOut, ReferenceVerdict, inspect,
};
pub use keystore::{KeyRing, RegisteredCertificate, Signer, SigningKey, SigningKeys};
pub use open::{OpenLimits, Opened, Origin, Transit, Trust, Verified, Wire, open, open_or_forward};
pub use refusal::{Refusal, RefusalAnswer, RefusalCause};
pub use revocation::RevocationLists;
pub use seal::{payload_of, seal};
pub use signature::Engine;
pub use time_stamp::{TimeStampAuthority, TimeStampFault, TimeStampQuestion};
pub use xmlsec::own_engine_only;
