//! Who we are in a CPA: our PartyIds, and the certificates that it may say we have.

use std::path::Path;

use openssl::x509::X509;

use crate::config::{Identity, Settings};
use crate::model::{Digest, Fingerprint};

/// Who we are, and what we connect and sign with now.
#[derive(Clone, Debug)]
pub struct Own<'a> {
    /// Our PartyIds.
    pub identity: &'a Identity,
    /// SHA-256 of the certificate of `[tls]`.
    pub tls: Fingerprint,
    /// SHA-256 of every certificate of `[[signing]]`.
    pub signing: Vec<Fingerprint>,
}

/// A certificate of ours that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {why}")]
pub struct OwnCertificateError {
    /// The file.
    file: String,
    /// What is wrong with it.
    why: String,
}

impl<'a> Own<'a> {
    /// Who these settings say that we are.
    ///
    /// # Errors
    /// [`OwnCertificateError`] for the first certificate that cannot be read.
    pub fn of(settings: &'a Settings) -> Result<Self, OwnCertificateError> {
        let fingerprint = |file: &Path| own_certificate(file).map(|der| Digest::of(&der));
        Ok(Self {
            identity: &settings.identity,
            tls: fingerprint(&settings.tls.certificate)?,
            signing: settings
                .signing
                .iter()
                .map(|own| fingerprint(&own.certificate))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The certificate that a file of ours begins with, DER.
pub(super) fn own_certificate(file: &Path) -> Result<Vec<u8>, OwnCertificateError> {
    let wrong = |why: String| OwnCertificateError { file: file.display().to_string(), why };
    let pem = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
    let certificate = X509::from_pem(&pem).and_then(|certificate| certificate.to_der());
    certificate.map_err(|error| wrong(error.to_string()))
}
