//! Time stamps over the heads of the audit record (RFC 3161; P18; threat S26): the question to an authority, and the
//! check of what it answers, then and years later.
//!
//! Promises: a token counts only when it is over these octets, answers this question, and is signed by one certificate
//! that its ESS attribute names, that is for time stamps alone, and that was valid under one of the authority's at the
//! time that the token says. Nothing in a token adds trust to itself.
//!
//! Does not know revocation: an authority whose key was stolen is taken out of the list of those that are trusted.

use std::time::Duration;

use openssl::cms::{CMSOptions, CmsContentInfo};
use openssl::error::ErrorStack;
use openssl::rand::rand_bytes;
use openssl::stack::Stack;
use openssl::x509::store::{X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509PurposeId};

use super::error::KeyError;
use crate::codec::time_stamp::{
    Nonce, ObjectId, TimeStampAnswer, TimeStampError, TimeStampToken, decode_answer, decode_token,
    encode_query,
};
use crate::model::{Digest, SignedHead, Timestamp};

/// Whose time stamps count.
#[derive(Clone, Debug, Default)]
pub struct TimeStampAuthority {
    certificates: Vec<X509>,
    policy: Option<ObjectId>,
}

/// Why a time stamp does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeStampFault {
    /// It cannot be read.
    #[error(transparent)]
    Form(#[from] TimeStampError),
    /// The authority gives none.
    #[error("the authority gives none: {0}")]
    Refused(String),
    /// It is over other octets.
    #[error("it is over other octets, with the digest {0}")]
    OtherOctets(Digest),
    /// It answers another question.
    #[error("it answers another question: its nonce is not the one that was sent")]
    OtherNonce,
    /// It is of another policy.
    #[error("it is given under the policy {found}, and {asked} was asked for")]
    OtherPolicy {
        /// What was asked for.
        asked: String,
        /// What it says.
        found: String,
    },
    /// Its time is far from ours.
    #[error("it says {at}, when it is {now} here: one of the clocks is wrong")]
    OtherTime {
        /// What it says.
        at: Timestamp,
        /// Our time.
        now: Timestamp,
    },
    /// It is older than what it is over.
    #[error("it says {at}, and what it is over was signed at {signed}, later than it")]
    BeforeHead {
        /// What it says.
        at: Timestamp,
        /// When the head was signed.
        signed: Timestamp,
    },
    /// It was changed, or signed with another key than its certificate has.
    #[error("its signature does not hold: {0}")]
    Signature(String),
    /// Who signed it may not, or is not of the authority.
    #[error("it was not signed by a certificate of the authority that is for time stamps: {0}")]
    Certificate(String),
}

/// A question to an authority, and what its answer is held against.
#[derive(Clone, Copy, Debug)]
pub struct TimeStampQuestion {
    imprint: Digest,
    nonce: Nonce,
}

impl TimeStampQuestion {
    /// The question for a head.
    ///
    /// # Errors
    /// When OpenSSL has no random octets.
    pub fn about(head: &SignedHead) -> Result<Self, ErrorStack> {
        let mut nonce = [0; 8];
        rand_bytes(&mut nonce)?;
        Ok(Self { imprint: imprint(head), nonce: Nonce::of(nonce) })
    }

    /// Its octets.
    #[must_use]
    pub fn encode(&self, authority: &TimeStampAuthority) -> Vec<u8> {
        encode_query(&self.imprint, &self.nonce, authority.policy.as_ref())
    }
}

impl TimeStampAuthority {
    /// One that asks for this policy, and whose certificates are added next.
    #[must_use]
    pub const fn new(policy: Option<ObjectId>) -> Self {
        Self { certificates: Vec::new(), policy }
    }

    /// Adds the certificates in a PEM file: of the authority, or of one that vouches for it. `whose` names it in errors.
    ///
    /// # Errors
    /// [`KeyError`] when there is none in it.
    pub fn add_pem(&mut self, whose: &str, pem: &[u8]) -> Result<(), KeyError> {
        let certificates = X509::stack_from_pem(pem).unwrap_or_default();
        if certificates.is_empty() {
            return Err(KeyError::NotA { whose: whose.to_owned(), expected: "certificates in PEM" });
        }
        self.certificates.extend(certificates);
        Ok(())
    }

    /// The token that an authority answered with, and its time, when it counts.
    ///
    /// # Errors
    /// [`TimeStampFault`].
    pub fn accept(
        &self,
        question: &TimeStampQuestion,
        answer: &[u8],
        now: Timestamp,
        skew_max: Duration,
    ) -> Result<(Vec<u8>, Timestamp), TimeStampFault> {
        let token = match decode_answer(answer)? {
            TimeStampAnswer::Granted(token) => token,
            TimeStampAnswer::Refused(why) => return Err(TimeStampFault::Refused(why)),
        };
        let claims = decode_token(&token)?;
        if !claims.answers(&question.nonce) {
            return Err(TimeStampFault::OtherNonce);
        }
        self.check(&token, &claims, question.imprint)?;
        if claims.at.since(now).max(now.since(claims.at)) > skew_max {
            return Err(TimeStampFault::OtherTime { at: claims.at, now });
        }
        Ok((token, claims.at))
    }

    /// The time of a token over a head, when it counts.
    ///
    /// # Errors
    /// [`TimeStampFault`].
    pub fn verify(&self, token: &[u8], head: Digest, signed: Timestamp) -> Result<Timestamp, TimeStampFault> {
        let claims = decode_token(token)?;
        is_over(&claims, head, signed)?;
        self.check(token, &claims, head)?;
        Ok(claims.at)
    }

    fn check(&self, token: &[u8], claims: &TimeStampToken, over: Digest) -> Result<(), TimeStampFault> {
        if claims.imprint != over {
            return Err(TimeStampFault::OtherOctets(claims.imprint));
        }
        if let Some(asked) = self.policy.as_ref().filter(|asked| **asked != claims.policy) {
            let (asked, found) = (asked.to_string(), claims.policy.to_string());
            return Err(TimeStampFault::OtherPolicy { asked, found });
        }
        let signature = |error: ErrorStack| TimeStampFault::Signature(reason(&error));
        let certificate = |error: ErrorStack| TimeStampFault::Certificate(reason(&error));
        let mut certificates = Stack::new().map_err(certificate)?;
        for known in &self.certificates {
            certificates.push(known.clone()).map_err(certificate)?;
        }
        let store = self.store(claims.at).map_err(certificate)?;
        // Twice, so that it can be told what is wrong: the octets, or who vouches for them.
        let unvouched = CMSOptions::BINARY | CMSOptions::NO_SIGNER_CERT_VERIFY;
        let verify = |options| {
            CmsContentInfo::from_der(token)?.verify(Some(&certificates), Some(&store), None, None, options)
        };
        verify(unvouched).map_err(signature)?;
        verify(CMSOptions::BINARY | CMSOptions::from_bits_retain(CADES)).map_err(certificate)
    }

    /// Trusts these certificates, those in the middle of a chain too, for time stamps at this time.
    fn store(&self, at: Timestamp) -> Result<X509Store, ErrorStack> {
        let mut terms = X509VerifyParam::new()?;
        terms.set_purpose(X509PurposeId::TIMESTAMP_SIGN)?;
        terms.set_time(at.as_millis() / 1000);
        terms.set_flags(X509VerifyFlags::PARTIAL_CHAIN)?;
        let mut store = X509StoreBuilder::new()?;
        self.certificates.iter().try_for_each(|certificate| store.add_cert(certificate.clone()))?;
        store.set_param(&terms)?;
        Ok(store.build())
    }
}

/// What a time stamp over a head is over.
pub(super) fn imprint(head: &SignedHead) -> Digest {
    Digest::of(head.stamped_text().as_bytes())
}

/// What can be known of a token without the certificates of its authority: that it claims to be over this head, and not
/// to be older than it. The time that it claims.
///
/// # Errors
/// [`TimeStampFault`].
pub(super) fn claimed(token: &[u8], head: Digest, signed: Timestamp) -> Result<Timestamp, TimeStampFault> {
    let claims = decode_token(token)?;
    is_over(&claims, head, signed)?;
    Ok(claims.at)
}

fn is_over(claims: &TimeStampToken, head: Digest, signed: Timestamp) -> Result<(), TimeStampFault> {
    if claims.imprint != head {
        return Err(TimeStampFault::OtherOctets(claims.imprint));
    }
    if signed.since(claims.at) > BEFORE_HEAD_MAX {
        return Err(TimeStampFault::BeforeHead { at: claims.at, signed });
    }
    Ok(())
}

/// What OpenSSL says, the most telling line of it.
fn reason(error: &ErrorStack) -> String {
    let mut told: Vec<String> = Vec::new();
    for error in error.errors() {
        let parts = [error.reason(), error.data()].into_iter().flatten();
        told.push(parts.collect::<Vec<_>>().join(": "));
    }
    told.retain(|line| !line.is_empty());
    if told.is_empty() { "OpenSSL does not say why".to_owned() } else { told.join("; ") }
}

/// Signing certificates are named by a signed attribute, and hold (`CMS_CADES` of `openssl/cms.h`, which the crate does
/// not name; RFC 5126, 5.7.3).
const CADES: u32 = 0x0010_0000;
/// How much older than its head a token may claim to be: clocks differ.
const BEFORE_HEAD_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
pub(super) mod tests {
    use std::fs;
    use std::path::Path;
    use std::process::Command;

    use openssl::asn1::Asn1Time;
    use openssl::bn::BigNum;
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::{PKey, Private};
    use openssl::x509::X509Name;
    use openssl::x509::extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage};

    use super::super::samples::{instant, key};
    use super::*;
    use crate::codec::time_stamp::RESPONSE_BYTES_MAX;
    use crate::model::{PartyKey, SignatureAlgorithm, TreeHead};

    /// A real authority: `openssl ts` with keys of its own.
    pub(in super::super) struct Authority {
        directory: tempfile::TempDir,
        root: (X509, PKey<Private>),
    }

    /// What the certificate that signs is for.
    #[derive(Clone, Copy)]
    enum Use {
        TimeStamps,
        TimeStampsNotCritical,
        Connections,
    }

    impl Authority {
        pub(in super::super) fn new() -> Self {
            Self::with(Use::TimeStamps, ("2024-01-01T00:00:00Z", "2044-01-01T00:00:00Z"))
        }

        fn with(usage: Use, validity: (&str, &str)) -> Self {
            let (root, signer) = (ec(), ec());
            let root_certificate =
                certificate("Root", &root, None, ("2024-01-01T00:00:00Z", "2044-01-01T00:00:00Z"), None);
            let issued =
                certificate("Time stamps", &signer, Some((&root_certificate, &root)), validity, Some(usage));
            let directory = tempfile::tempdir().expect("a directory");
            let put = |name: &str, octets: &[u8]| fs::write(directory.path().join(name), octets).expect(name);
            put("signer.pem", &issued.to_pem().expect("PEM"));
            put("signer.key", &signer.private_key_to_pem_pkcs8().expect("PEM"));
            put("serial", b"01\n");
            put("ts.conf", CONFIGURATION.as_bytes());
            Self { directory, root: (root_certificate, root) }
        }

        pub(in super::super) fn trusted(&self) -> TimeStampAuthority {
            let mut authority = TimeStampAuthority::default();
            authority.add_pem("root", &self.root.0.to_pem().expect("PEM")).expect("a certificate");
            authority
        }

        /// What `openssl ts` answers.
        pub(in super::super) fn answer(&self, query: &[u8], more: &[&str]) -> Vec<u8> {
            let at = |name: &str| self.directory.path().join(name);
            fs::write(at("query"), query).expect("written");
            let made = run(
                self.directory.path(),
                &[&["ts", "-reply", "-config", "ts.conf", "-queryfile", "query", "-out", "answer"], more]
                    .concat(),
            );
            assert!(at("answer").exists(), "{made}");
            let answer = fs::read(at("answer")).expect("an answer");
            fs::remove_file(at("answer")).expect("removed");
            answer
        }

        /// What is in the token of an answer, signed by another authority with `openssl cms`.
        fn signed_by(&self, signer: &Self, answer: &[u8], more: &[&str]) -> Vec<u8> {
            let Ok(TimeStampAnswer::Granted(token)) = decode_answer(answer) else { panic!("no token") };
            let directory = self.directory.path();
            fs::write(directory.join("token"), token).expect("written");
            let given =
                ["cms", "-verify", "-noverify", "-inform", "DER", "-in", "token", "-out", "info", "-binary"];
            let made = run(directory, &given);
            let at = |name: &str| signer.directory.path().join(name).display().to_string();
            let (certificate, key) = (at("signer.pem"), at("signer.key"));
            let sign = [
                "cms",
                "-sign",
                "-binary",
                "-nodetach",
                "-outform",
                "DER",
                "-econtent_type",
                "1.2.840.113549.1.9.16.1.4",
                "-in",
                "info",
                "-out",
                "resigned",
                "-signer",
                &certificate,
                "-inkey",
                &key,
            ];
            let made = made + &run(directory, &[&sign, more].concat());
            fs::read(directory.join("resigned")).expect(&made)
        }

        /// A token over a head.
        pub(in super::super) fn token(&self, head: &SignedHead) -> Vec<u8> {
            let question = TimeStampQuestion::about(head).expect("random octets");
            let answer = self.answer(&question.encode(&self.trusted()), &[]);
            match decode_answer(&answer).expect("an answer") {
                TimeStampAnswer::Granted(token) => token,
                TimeStampAnswer::Refused(why) => panic!("{why}"),
            }
        }
    }

    /// The answer that grants a token.
    fn granted(token: &[u8]) -> Vec<u8> {
        let status = [0x30, 3, 2, 1, 0];
        let length = u16::try_from(status.len() + token.len()).expect("a short token").to_be_bytes();
        [&[0x30, 0x82], &length[..], &status, token].concat()
    }

    fn run(directory: &Path, arguments: &[&str]) -> String {
        let made = Command::new("openssl").args(arguments).current_dir(directory).output();
        let made = made.expect("openssl runs, see `make deps`");
        String::from_utf8_lossy(&made.stderr).into_owned()
    }

    fn ec() -> PKey<Private> {
        key(SignatureAlgorithm::EcdsaSha256)
    }

    fn certificate(
        name: &str,
        of: &PKey<Private>,
        by: Option<(&X509, &PKey<Private>)>,
        (start, end): (&str, &str),
        usage: Option<Use>,
    ) -> X509 {
        let make = || {
            let mut subject = X509Name::builder()?;
            subject.append_entry_by_nid(Nid::COMMONNAME, name)?;
            let subject = subject.build();
            let at = |text: &str| Asn1Time::from_unix(instant(text).as_millis() / 1000);
            let mut builder = X509::builder()?;
            builder.set_version(2)?;
            let serial = if by.is_some() { 2 } else { 1 };
            builder.set_serial_number(&*BigNum::from_u32(serial)?.to_asn1_integer()?)?;
            builder.set_subject_name(&subject)?;
            builder.set_issuer_name(by.map_or(&*subject, |(issuer, _)| issuer.subject_name()))?;
            builder.set_pubkey(of)?;
            builder.set_not_before(&*at(start)?)?;
            builder.set_not_after(&*at(end)?)?;
            match usage {
                None => {
                    builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
                    builder.append_extension(KeyUsage::new().critical().key_cert_sign().build()?)?;
                }
                Some(usage) => {
                    builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
                    builder.append_extension(match usage {
                        Use::TimeStamps => ExtendedKeyUsage::new().critical().time_stamping().build()?,
                        Use::TimeStampsNotCritical => ExtendedKeyUsage::new().time_stamping().build()?,
                        Use::Connections => ExtendedKeyUsage::new().critical().server_auth().build()?,
                    })?;
                }
            }
            builder.sign(by.map_or(of, |(_, key)| key), MessageDigest::sha256())?;
            Ok::<_, ErrorStack>(builder.build())
        };
        make().expect("a certificate")
    }

    pub(in super::super) fn head(entries: u64, at: Timestamp) -> SignedHead {
        let gateway = PartyKey::new("HUB").expect("a key");
        let head = TreeHead { gateway, entries, root: Digest([1; 32]), chain: Digest([2; 32]), at };
        SignedHead { head, key: Digest([3; 32]), signature: "c2lnbmVk".to_owned() }
    }

    /// Now, as the clock of `openssl ts` has it.
    fn now() -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "another program stamps with the time that it is")]
        jiff::Timestamp::now().into()
    }

    const SKEW: Duration = Duration::from_secs(300);

    const CONFIGURATION: &str = "\
[tsa]
default_tsa = authority
[authority]
serial = serial
signer_cert = signer.pem
signer_key = signer.key
signer_digest = sha256
default_policy = 1.2.3.4.1
other_policies = 1.2.3.4.2
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_chain = no
ess_cert_id_alg = sha256
";

    #[test]
    fn a_token_of_the_authority_counts_then_and_later() {
        let (authority, head) = (Authority::new(), head(3, now()));
        let question = TimeStampQuestion::about(&head).expect("random octets");
        let trusted = authority.trusted();
        let answer = authority.answer(&question.encode(&trusted), &[]);
        let (token, at) = trusted.accept(&question, &answer, now(), SKEW).expect("it counts (S26)");
        assert_eq!(trusted.verify(&token, imprint(&head), head.head.at), Ok(at), "P18");
        assert_eq!(claimed(&token, imprint(&head), head.head.at), Ok(at));
        let asked = TimeStampAuthority { policy: "1.2.3.4.2".parse().ok(), ..authority.trusted() };
        let answer = authority.answer(&question.encode(&asked), &[]);
        asked.accept(&question, &answer, now(), SKEW).expect("under the policy that was asked for");
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_told_and_it_never_counts() {
        let (authority, head) = (Authority::new(), head(3, now()));
        let question = TimeStampQuestion::about(&head).expect("random octets");
        let trusted = authority.trusted();
        let query = question.encode(&trusted);
        let good = authority.answer(&query, &[]);
        let check = |what: &str, by: &TimeStampAuthority, answer: &[u8], at: Timestamp, says: &str| {
            let found = by.accept(&question, answer, at, SKEW).expect_err(what).to_string();
            assert!(found.starts_with(says), "{what}: {found} (S26)");
        };
        let bad = |what: &str, answer: &[u8], says: &str| check(what, &trusted, answer, now(), says);

        let other = TimeStampQuestion { imprint: Digest([9; 32]), ..question };
        bad("another imprint", &authority.answer(&other.encode(&trusted), &[]), "it is over other octets");
        let other = TimeStampQuestion { nonce: Nonce::of([9; 8]), ..question };
        bad("another nonce", &authority.answer(&other.encode(&trusted), &[]), "it answers another question");
        let unknown = TimeStampAuthority { policy: "1.9".parse().ok(), ..authority.trusted() };
        let refused = authority.answer(&question.encode(&unknown), &[]);
        bad("a refusal", &refused, "the authority gives none: rejection, unacceptedPolicy");
        let asked = TimeStampAuthority { policy: "1.2.3.4.2".parse().ok(), ..authority.trusted() };
        check(
            "another policy",
            &asked,
            &good,
            now(),
            "it is given under the policy 1.2.3.4.1, and 1.2.3.4.2",
        );
        bad("not DER", b"<html>", "it is no time stamp: ");
        bad("nothing", b"", "it is no time stamp: the answer is cut off");
        for cut in [1, good.len() / 2, good.len() - 1] {
            bad("cut off", &good[..cut], "it is no time stamp: the answer is cut off");
        }
        bad(
            "something behind it",
            &[&*good, &[0]].concat(),
            "it is no time stamp: the answer: octets stand after",
        );
        let long = vec![0x30; RESPONSE_BYTES_MAX];
        bad("as long as may be", &long, "it is no time stamp: ");
        let longer = format!("it has {} octets", RESPONSE_BYTES_MAX + 1);
        bad("one octet longer", &[&*long, &[0]].concat(), &longer);

        // Whatever octet is changed, what counts is what the authority signed.
        let claims = decode_token(&trusted.accept(&question, &good, now(), SKEW).expect("it counts").0);
        let (mut refused, mut same) = (0, 0);
        for at in 0..good.len() {
            let mut forged = good.clone();
            forged[at] ^= 1;
            match trusted.accept(&question, &forged, now(), SKEW) {
                Ok((token, _)) => {
                    assert_eq!(decode_token(&token), claims, "octet {at} changed (S26)");
                    same += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 20 * same, "{refused} refused, {same} without effect");

        let another = Authority::new();
        check("another authority", &another.trusted(), &good, now(), "it was not signed by a certificate of");
        for usage in [Use::Connections, Use::TimeStampsNotCritical] {
            let wrong = Authority::with(usage, ("2024-01-01T00:00:00Z", "2044-01-01T00:00:00Z"));
            let answer = granted(&authority.signed_by(&wrong, &good, &["-cades"]));
            check(
                "not for time stamps",
                &wrong.trusted(),
                &answer,
                now(),
                "it was not signed by a certificate of",
            );
        }
        let mute = granted(&authority.signed_by(&authority, &good, &[]));
        check(
            "its certificate is not named",
            &trusted,
            &mute,
            now(),
            "it was not signed by a certificate of",
        );
        let mute = granted(&authority.signed_by(&authority, &good, &["-noattr"]));
        bad("without signed attributes", &mute, "it is no time stamp: signedAttrs");
        let weak = granted(&authority.signed_by(&authority, &good, &["-cades", "-md", "sha1"]));
        bad(
            "digested with SHA-1",
            &weak,
            "it is no time stamp of this kind: the digest algorithm of its signer",
        );
        let named = granted(&authority.signed_by(&authority, &good, &["-cades"]));
        trusted.accept(&question, &named, now(), SKEW).expect("with all of that it counts");

        let expired = Authority::with(Use::TimeStamps, ("2024-01-01T00:00:00Z", "2025-01-01T00:00:00Z"));
        let told = "it was not signed by a certificate of the authority that is for time stamps: certificate verify error";
        check("expired", &expired.trusted(), &expired.answer(&query, &[]), now(), told);

        let skewed = |at: Timestamp, says: &str| check("another time", &trusted, &good, at, says);
        let (_, at) = trusted.accept(&question, &good, now(), SKEW).expect("it counts");
        trusted.accept(&question, &good, at.plus(SKEW), SKEW).expect("as far ahead as may be");
        trusted.accept(&question, &good, at.minus(SKEW), SKEW).expect("as far behind as may be");
        let more = SKEW + Duration::from_millis(1);
        skewed(at.plus(more), "it says");
        skewed(at.minus(more), "it says");
    }
}
