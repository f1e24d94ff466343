//! libxml2 and libxmlsec1 behind safe types: the only `unsafe` code.

mod libxml2;
