//! A package: the first line is its Content-Type. What comes apart is within the limits, and is what stood there (S10).

#![no_main]

use bytes::Bytes;
use gwanmun::codec::mime::{MimeLimits, unpack};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|octets: &[u8]| {
    let end = octets.iter().position(|octet| *octet == b'\n').unwrap_or(octets.len());
    let (content_type, body) = octets.split_at(end);
    let Ok(content_type) = std::str::from_utf8(content_type) else { return };
    let (body, limits) = (Bytes::copy_from_slice(body.get(1..).unwrap_or_default()), MimeLimits::default());
    let Ok(package) = unpack(content_type, &body.clone().into(), &limits) else { return };
    assert_eq!(&*package.root.media_type, "text/xml");
    assert!(package.parts.len() < limits.parts_max && package.root.body.len() <= limits.root_bytes_max);
    let octets: usize = package.parts.iter().map(|part| part.body.held().len()).sum();
    assert!(octets + package.root.body.len() <= body.len(), "no part is made of more than came");
    let ids: std::collections::BTreeSet<_> = package.parts.iter().filter_map(|part| part.content_id.as_ref()).collect();
    assert_eq!(ids.len(), package.parts.iter().filter(|part| part.content_id.is_some()).count());
});
