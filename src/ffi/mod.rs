//! libxml2 and libxmlsec1 behind safe types: the only `unsafe` code.

mod libxml2;
mod xmlsec;
mod xsd;

pub use xmlsec::{
    ENVELOPE_BYTES_MAX, Part, PrivateKey, PublicKey, REFERENCES_MAX, Selection, VerifiedReference,
    VerifiedSignature, XML_PART_BYTES_MAX, XmlSec, XmlSecError,
};
pub use xsd::{DOCUMENT_BYTES_MAX, FINDINGS_MAX, Schema, SchemaError, SchemaFiles, SchemaFinding};
