//! The crypto floor: how often this machine can sign and verify with the very keys of the run, and how many cases
//! that alone would allow. The ratio to it is the figure that work on the gateway improves.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::{Signer, Verifier};
use openssl::x509::X509;
use serde::Serialize;

use super::clock::{Stopwatch, cpu_seconds};
use crate::config::SigningFiles;

/// What one core can sign and verify.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Floor {
    /// Seconds of one signature.
    pub(super) sign_seconds: f64,
    /// Seconds of one verification.
    pub(super) verify_seconds: f64,
}

impl Floor {
    /// Measures a key for about a second.
    pub(super) fn measure(files: &SigningFiles) -> Result<Self> {
        let key = PKey::private_key_from_pem(&std::fs::read(&files.key)?)?;
        let certificate = X509::from_pem(&std::fs::read(&files.certificate)?)?;
        let public = certificate.public_key()?;
        let sign = || -> Result<Vec<u8>> {
            let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
            Ok(signer.sign_oneshot_to_vec(SIGNED)?)
        };
        let signature = sign()?;
        let verify = || -> Result<()> {
            let mut verifier = Verifier::new(MessageDigest::sha256(), &public)?;
            ensure!(verifier.verify_oneshot(&signature, SIGNED)?, "a signature does not verify");
            Ok(())
        };
        Ok(Self {
            sign_seconds: seconds_of(|| sign().map(drop)).context("signing")?,
            verify_seconds: seconds_of(verify).context("verifying")?,
        })
    }

    /// Seconds of one core for so many signatures and as many verifications.
    pub(super) fn seconds(&self, messages: f64) -> f64 {
        messages * (self.sign_seconds + self.verify_seconds)
    }
}

/// Mean processor seconds of one call: the others on the machine take their time from the clock, not from us.
fn seconds_of(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let own = std::process::id();
    let (watch, before) = (Stopwatch::start(), cpu_seconds(own)?);
    let mut calls = 0_u32;
    while watch.elapsed() < MEASURE_FOR {
        for _ in 0..BATCH {
            call()?;
        }
        calls += BATCH;
    }
    Ok((cpu_seconds(own)? - before) / f64::from(calls))
}

const MEASURE_FOR: Duration = Duration::from_secs(1);
const BATCH: u32 = 16;
/// As large as a canonical `ds:SignedInfo` with three references.
const SIGNED: &[u8] = &[b'x'; 2048];
