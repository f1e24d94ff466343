//! A message with its signature, held against the strict and the widest profile: the first line is its Content-Type.
//! Whatever is let in under the strict one is let in under none with less.

#![no_main]

use bytes::Bytes;
use gwanmun::config::profile;
use gwanmun::security::{Capture, inspect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let end = octets.iter().position(|octet| *octet == b'\n').unwrap_or(octets.len());
    let (content_type, body) = octets.split_at(end);
    let Ok(content_type) = std::str::from_utf8(content_type) else { return };
    let body = Bytes::copy_from_slice(body.get(1..).unwrap_or_default());
    let let_in = ["strict", "standard"].map(|name| {
        let named = profile(name).expect("the program carries it");
        let inspection = inspect(&Capture {
            content_type,
            body: &body.clone().into(),
            signers: &[],
            trust_message_certificate: true,
            profile: named.profile.clone(),
            terms: named.terms.clone(),
            at: None,
        });
        inspection.refusal.is_none()
    });
    assert!(let_in != [true, false], "strict takes what standard refuses");
});
