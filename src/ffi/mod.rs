//! libxml2 and libxmlsec1 behind safe types: the only `unsafe` code.

mod libxml2;
mod xmlsec;

pub use xmlsec::{
    ENVELOPE_BYTES_MAX, Part, PrivateKey, PublicKey, REFERENCES_MAX, Selection, VerifiedReference,
    VerifiedSignature, XML_PART_BYTES_MAX, XmlSec, XmlSecError,
};
