//! A document and an envelope: whatever is read keeps the limits, and is walked to its end (S2, S7, S8).

#![no_main]

use bytes::Bytes;
use gwanmun::codec::envelope::decode_envelope;
use gwanmun::codec::xml::{XmlLimits, XmlTree};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let octets = Bytes::copy_from_slice(octets);
    for limits in [XmlLimits::ENVELOPE, XmlLimits::DOCUMENT] {
        if let Ok(tree) = XmlTree::parse(octets.clone(), &limits) {
            assert!(octets.len() <= limits.bytes_max);
            for element in tree.root().descendants() {
                assert!(!element.name().1.is_empty() && element.text().len() <= 8 * octets.len());
            }
        }
    }
    // What is decoded keeps its own rules; every refusal is an answer.
    drop(decode_envelope(&octets, None, &XmlLimits::ENVELOPE));
});
