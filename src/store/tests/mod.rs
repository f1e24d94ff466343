//! Tests of every home of the store: one suite, one simple model, and the bytes of earlier versions.

pub(in crate::store) mod sample;
