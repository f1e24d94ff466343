//! Canonical form: it is well-formed, and its own canonical form; leaving out the root leaves nothing.

#![no_main]

use bytes::Bytes;
use gwanmun::codec::canonical::canonicalize;
use gwanmun::codec::xml::{XmlLimits, XmlTree};
use gwanmun::model::Canonicalization;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    // Canonical form can be longer than what came: entities and declarations are written out.
    let limits = XmlLimits { bytes_max: 16 * 1024, ..XmlLimits::ENVELOPE };
    let Ok(tree) = XmlTree::parse(Bytes::copy_from_slice(octets), &limits) else { return };
    for form in Canonicalization::ALL {
        let once = canonicalize(form, tree.root(), &|_| false);
        let again = XmlTree::parse(Bytes::from(once.clone()), &XmlLimits::ENVELOPE);
        let again = again.unwrap_or_else(|error| panic!("{form:?}: {error}: {}", String::from_utf8_lossy(&once)));
        assert_eq!(canonicalize(form, again.root(), &|_| false), once, "{form:?}");
        assert!(canonicalize(form, tree.root(), &|_| true).is_empty());
        for element in tree.root().descendants() {
            assert!(canonicalize(form, element, &|_| false).starts_with(b"<"));
        }
    }
});
