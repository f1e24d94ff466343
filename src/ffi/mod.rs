//! libxml2 and libxmlsec1 behind safe types: the only `unsafe` code.

mod xsd;

pub use xsd::{
    DOCUMENT_BYTES_MAX, FINDINGS_MAX, PathPrefixes, Schema, SchemaError, SchemaFiles, SchemaFinding,
};
