//! Octets to values and back: MIME, XML, SOAP, ebMS header, business documents, schemas, time stamps.

pub mod archive;
pub mod canonical;
pub mod catalogue;
mod checks;
pub mod code_lists;
pub mod cpa;
mod csv;
mod der;
pub mod document;
pub mod envelope;
pub mod mime;
pub mod schema;
mod shape;
pub mod time_stamp;
pub mod xml;
