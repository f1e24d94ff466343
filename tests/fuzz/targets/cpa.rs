//! A CPA document, as `gwanmun agreement import` reads it: terms, or findings that say where.

#![no_main]

use bytes::Bytes;
use gwanmun::codec::cpa::read_cpa;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    if let Err(findings) = read_cpa(&Bytes::copy_from_slice(octets)) {
        assert!(!findings.is_empty());
    }
});
