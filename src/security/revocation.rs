//! Revocation lists: read once, when the settings are, and asked about a certificate.
//!
//! Promises: a certificate is revoked when a list of its own issuer names its serial number, whatever its revocation
//! date and reason, as TLS takes it.
//!
//! Does not verify who signed a list, as the operator has put it there, nor ask whether it is fresh: a revoked
//! certificate does not come back because its list is late, and that nobody connects on a late list is for TLS.

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;

use openssl::error::ErrorStack;
use openssl::x509::{CrlStatus, X509, X509Crl};

use super::error::KeyError;
use super::keystore::read;

/// Revocation lists (CRL, RFC 5280, 5).
#[derive(Default)]
pub struct RevocationLists(Vec<X509Crl>);

impl RevocationLists {
    /// The lists in these files, PEM; several in one file are all taken.
    ///
    /// # Errors
    /// [`KeyError`] for the first file that cannot be read, or holds none.
    pub fn load<P: AsRef<Path>>(files: &[P]) -> Result<Self, KeyError> {
        let mut lists = Self::default();
        for file in files.iter().map(AsRef::as_ref) {
            let whose = file.display().to_string();
            let not_one = || KeyError::NotA { whose: whose.clone(), expected: "a revocation list in PEM" };
            // What stands around a list may be of any charset; the list itself is ASCII.
            let octets = read(file)?;
            if lists.add_pem(&String::from_utf8_lossy(&octets)).map_err(|_| not_one())? == 0 {
                return Err(not_one());
            }
        }
        Ok(lists)
    }

    /// Takes the lists in a text, and gives their number.
    pub(super) fn add_pem(&mut self, text: &str) -> Result<usize, ErrorStack> {
        let before = self.0.len();
        for pem in text.split_inclusive(END).filter(|pem| pem.ends_with(END)) {
            self.0.push(X509Crl::from_pem(pem.as_bytes())?);
        }
        Ok(self.0.len() - before)
    }

    /// Whether one of them names this certificate.
    pub(super) fn name(&self, certificate: &X509) -> bool {
        let issuer = certificate.issuer_name();
        self.0
            .iter()
            .filter(|list| matches!(list.issuer_name().try_cmp(issuer), Ok(Ordering::Equal)))
            .any(|list| matches!(list.get_by_cert(certificate), CrlStatus::Revoked(_)))
    }
}

impl fmt::Debug for RevocationLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RevocationLists({})", self.0.len())
    }
}

const END: &str = "-----END X509 CRL-----";
