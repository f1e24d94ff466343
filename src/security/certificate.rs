//! What a certificate says of itself: from when until when it is valid, and that it is for signing.

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::x509::{X509, X509KeyUsage};

use super::error::KeyError;
use crate::model::Timestamp;

/// The first and the last instant at which a certificate, DER, is valid; none when it is no certificate.
#[must_use]
pub fn validity_of(der: &[u8]) -> Option<[Timestamp; 2]> {
    let certificate = X509::from_der(der).ok()?;
    Some([instant(certificate.not_before()).ok()?, instant(certificate.not_after()).ok()?])
}

pub(super) fn check_usage(whose: &str, certificate: &X509) -> Result<(), KeyError> {
    let signing = X509KeyUsage::DIGITAL_SIGNATURE | X509KeyUsage::NON_REPUDIATION;
    match certificate.key_usage() {
        Some(usage) if !usage.intersects(signing) => Err(KeyError::Usage { whose: whose.to_owned() }),
        _ => Ok(()),
    }
}

pub(super) fn instant(time: &Asn1TimeRef) -> Result<Timestamp, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    let seconds = i64::from(since.days) * 86_400 + i64::from(since.secs);
    Ok(Timestamp::from_millis(seconds.saturating_mul(1000)))
}
