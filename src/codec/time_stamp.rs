//! Time stamps as an authority gives them (RFC 3161; RFC 5652 for the signature around them): the query as octets, the
//! answer and the token as values.
//!
//! Promises: nothing longer than [`RESPONSE_BYTES_MAX`] is looked at; what is read is DER, and the whole of it. Says
//! what a token claims; that it was signed, and by whom, is for `security`.

use std::fmt;
use std::str::FromStr;

use super::der::{
    BIT_STRING, BOOLEAN, DerError, Elements, GENERALIZED_TIME, INTEGER, NULL, OBJECT_IDENTIFIER,
    OCTET_STRING, SEQUENCE, SET, UTF8_STRING, context, element,
};
use crate::model::{Digest, Timestamp, ValueError};

/// Octets of an answer of an authority. Real ones have some 3 to 8 KB, the certificates of the authority in them.
pub const RESPONSE_BYTES_MAX: usize = 32 * 1024;

/// The media type of a query (RFC 3161, 3.4).
pub const QUERY_TYPE: &str = "application/timestamp-query";
/// The media type of an answer.
pub const REPLY_TYPE: &str = "application/timestamp-reply";

/// An object identifier, such as the policy of an authority.
#[derive(Clone, PartialEq, Eq)]
pub struct ObjectId(Vec<u8>);

impl FromStr for ObjectId {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::new("an object identifier such as 1.2.410.200001", text);
        let arcs =
            text.split('.').map(str::parse::<u32>).collect::<Result<Vec<_>, _>>().map_err(|_| refuse())?;
        let (&[first, second], rest) = arcs.split_first_chunk().ok_or_else(refuse)?;
        if first > 2 || (first < 2 && second > 39) || arcs.len() > ARCS_MAX {
            return Err(refuse());
        }
        let mut octets = Vec::new();
        let arcs = rest.iter().map(|arc| u64::from(*arc));
        for arc in std::iter::once(u64::from(first) * 40 + u64::from(second)).chain(arcs) {
            let septets = (64 - arc.leading_zeros()).div_ceil(7).max(1);
            for place in (0..septets).rev() {
                let more = if place == 0 { 0 } else { 0x80 };
                octets.push(u8::try_from(arc >> (7 * place) & 0x7f).expect("seven bits") | more);
            }
        }
        Ok(Self(octets))
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arcs = Vec::new();
        let mut arc = 0_u64;
        for octet in &self.0 {
            arc = arc << 7 | u64::from(octet & 0x7f);
            if octet & 0x80 == 0 {
                arcs.push(std::mem::take(&mut arc));
            }
        }
        let Some((&joint, rest)) = arcs.split_first() else { return Ok(()) };
        let first = (joint / 40).min(2);
        write!(f, "{first}.{}", joint - first * 40)?;
        rest.iter().try_for_each(|arc| write!(f, ".{arc}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What is wrong with an answer or a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeStampError {
    /// It is longer than anything that is read.
    #[error("it has {0} octets; an answer has {RESPONSE_BYTES_MAX} at most")]
    TooLong(usize),
    /// It is not DER, or another thing.
    #[error("it is no time stamp: {0}")]
    Form(#[from] DerError),
    /// A value is not what it has to be.
    #[error("it is no time stamp of this kind: {what} is {found}")]
    Value {
        /// Which.
        what: &'static str,
        /// What it is.
        found: String,
    },
}

fn value(what: &'static str, found: impl fmt::Display) -> TimeStampError {
    TimeStampError::Value { what, found: found.to_string() }
}

/// A query for a time stamp over a SHA-256 digest, with the certificates of the authority in it (RFC 3161, 2.4.1).
#[must_use]
pub fn encode_query(imprint: &Digest, nonce: &Nonce, policy: Option<&ObjectId>) -> Vec<u8> {
    let algorithm = [element(OBJECT_IDENTIFIER, SHA256), element(NULL, &[])].concat();
    let message = [element(SEQUENCE, &algorithm), element(OCTET_STRING, &imprint.0)].concat();
    let policy = policy.map(|policy| element(OBJECT_IDENTIFIER, &policy.0)).unwrap_or_default();
    let query = [
        element(INTEGER, &[1]),
        element(SEQUENCE, &message),
        policy,
        element(INTEGER, &nonce.0),
        element(BOOLEAN, &[0xff]),
    ];
    element(SEQUENCE, &query.concat())
}

/// A number that is used once: an answer that repeats it is none to an earlier query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce([u8; 8]);

impl Nonce {
    /// Of eight random octets; the first of them is set so that every nonce is a positive INTEGER of eight octets.
    #[must_use]
    pub const fn of(mut octets: [u8; 8]) -> Self {
        octets[0] = octets[0] & 0x3f | 0x40;
        Self(octets)
    }
}

/// What an authority answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeStampAnswer {
    /// A token, DER.
    Granted(Vec<u8>),
    /// None, and why.
    Refused(String),
}

/// Reads an answer (RFC 3161, 2.4.2).
///
/// # Errors
/// When it is none.
pub fn decode_answer(octets: &[u8]) -> Result<TimeStampAnswer, TimeStampError> {
    if octets.len() > RESPONSE_BYTES_MAX {
        return Err(TimeStampError::TooLong(octets.len()));
    }
    let mut all = Elements::of(octets, "the answer");
    let mut answer = all.inside(SEQUENCE, "the answer")?;
    all.end()?;
    let mut status = answer.inside(SEQUENCE, "PKIStatusInfo")?;
    let said = status.take(INTEGER, "PKIStatus")?;
    let mut texts = Vec::new();
    if let Some(strings) = status.take_if(SEQUENCE, "PKIFreeText")? {
        let mut strings = Elements::of(strings, "PKIFreeText");
        while !strings.is_empty() {
            texts.push(String::from_utf8_lossy(strings.take(UTF8_STRING, "PKIFreeText")?));
        }
    }
    let failure = status.take_if(BIT_STRING, "PKIFailureInfo")?.and_then(failure_of);
    status.end()?;
    let token = answer.rest();
    match said {
        [0 | 1] if token.is_empty() => Err(value("its status", "granted, without a token")),
        [0 | 1] => Ok(TimeStampAnswer::Granted(token.to_vec())),
        [other] => {
            let status = STATUSES.get(usize::from(*other)).copied().unwrap_or("another status");
            let texts: String = texts.join("; ").chars().take(SHOWN_CHARS).collect();
            let parts = [status, failure.unwrap_or_default(), &texts].map(str::trim);
            let parts = parts.into_iter().filter(|part| !part.is_empty());
            Ok(TimeStampAnswer::Refused(parts.collect::<Vec<_>>().join(", ")))
        }
        _ => Err(value("its status", "no small number")),
    }
}

/// The name of the first bit that is set.
fn failure_of(bits: &[u8]) -> Option<&'static str> {
    let (_, octets) = bits.split_first()?;
    let set = |bit: usize| octets.get(bit / 8).is_some_and(|octet| octet & (0x80 >> (bit % 8)) != 0);
    FAILURES.iter().find(|(bit, _)| set(*bit)).map(|(_, name)| *name)
}

/// What a token claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeStampToken {
    /// What it is over; SHA-256.
    pub imprint: Digest,
    /// When.
    pub at: Timestamp,
    /// Under which policy of the authority.
    pub policy: ObjectId,
    /// Its number at the authority, hexadecimal.
    pub serial: String,
    nonce: Option<Vec<u8>>,
}

impl TimeStampToken {
    /// Whether it answers the query with this nonce.
    #[must_use]
    pub fn answers(&self, nonce: &Nonce) -> bool {
        self.nonce.as_deref() == Some(&nonce.0)
    }
}

/// Reads a token: SignedData with one signer over signed attributes that name a TSTInfo, digested with SHA-2.
///
/// # Errors
/// When it is none.
pub fn decode_token(octets: &[u8]) -> Result<TimeStampToken, TimeStampError> {
    if octets.len() > RESPONSE_BYTES_MAX {
        return Err(TimeStampError::TooLong(octets.len()));
    }
    let mut all = Elements::of(octets, "the token");
    let mut token = all.inside(SEQUENCE, "the token")?;
    all.end()?;
    is(token.take(OBJECT_IDENTIFIER, "its content type")?, SIGNED_DATA, "its content type")?;
    let mut explicit = token.inside(context(0), "SignedData")?;
    token.end()?;
    let mut signed = explicit.inside(SEQUENCE, "SignedData")?;
    explicit.end()?;
    signed.take(INTEGER, "its version")?;
    signed.take(SET, "its digest algorithms")?;
    let mut content = signed.inside(SEQUENCE, "EncapsulatedContentInfo")?;
    signed.take_if(context(0), "its certificates")?;
    signed.take_if(context(1), "its revocation lists")?;
    let mut signers = signed.inside(SET, "SignerInfos")?;
    signed.end()?;
    let signer = signers.inside(SEQUENCE, "SignerInfo")?;
    signers.end()?;
    check_signer(signer)?;
    is(content.take(OBJECT_IDENTIFIER, "what is signed")?, TST_INFO, "what is signed")?;
    let mut explicit = content.inside(context(0), "what is signed")?;
    content.end()?;
    let info = explicit.take(OCTET_STRING, "TSTInfo")?;
    explicit.end()?;
    decode_info(info)
}

/// A signature covers signed attributes, and they say that a TSTInfo is signed: else octets that were signed for
/// something else could be taken for one.
fn check_signer(mut signer: Elements<'_>) -> Result<(), TimeStampError> {
    signer.take(INTEGER, "the version of SignerInfo")?;
    signer.next("SignerIdentifier")?;
    let mut algorithm = signer.inside(SEQUENCE, "the digest algorithm of its signer")?;
    let digest = algorithm.take(OBJECT_IDENTIFIER, "the digest algorithm of its signer")?;
    if ![SHA256, SHA384, SHA512].contains(&digest) {
        return Err(value("the digest algorithm of its signer", ObjectId(digest.to_vec())));
    }
    let mut attributes = signer.inside(context(0), "signedAttrs")?;
    let mut content_type = None;
    while !attributes.is_empty() {
        let mut attribute = attributes.inside(SEQUENCE, "a signed attribute")?;
        let kind = attribute.take(OBJECT_IDENTIFIER, "a signed attribute")?;
        let mut values = attribute.inside(SET, "a signed attribute")?;
        if kind == CONTENT_TYPE {
            let named = values.take(OBJECT_IDENTIFIER, "the signed content type")?;
            values.end()?;
            if content_type.replace(named).is_some() {
                return Err(value("the signed content type", "given twice"));
            }
        }
    }
    is(content_type.unwrap_or_default(), TST_INFO, "the signed content type")
}

fn decode_info(octets: &[u8]) -> Result<TimeStampToken, TimeStampError> {
    let mut all = Elements::of(octets, "TSTInfo");
    let mut info = all.inside(SEQUENCE, "TSTInfo")?;
    all.end()?;
    let version = info.take(INTEGER, "its version")?;
    if version != [1] {
        return Err(value("its version", format_args!("{version:02x?}")));
    }
    let policy = ObjectId(info.take(OBJECT_IDENTIFIER, "its policy")?.to_vec());
    let mut imprint = info.inside(SEQUENCE, "MessageImprint")?;
    let mut algorithm = imprint.inside(SEQUENCE, "MessageImprint")?;
    is(algorithm.take(OBJECT_IDENTIFIER, "its imprint's algorithm")?, SHA256, "its imprint's algorithm")?;
    algorithm.take_if(NULL, "its imprint's algorithm")?;
    algorithm.end()?;
    let digest = imprint.take(OCTET_STRING, "MessageImprint")?;
    imprint.end()?;
    let digest =
        digest.try_into().map_err(|_| value("its imprint", format_args!("{} octets", digest.len())))?;
    let serial = info.take(INTEGER, "its serial number")?;
    let serial: String = serial.iter().take(SERIAL_BYTES_SHOWN).map(|octet| format!("{octet:02x}")).collect();
    let at = instant(info.take(GENERALIZED_TIME, "its genTime")?)?;
    info.take_if(SEQUENCE, "its accuracy")?;
    info.take_if(BOOLEAN, "its ordering")?;
    let nonce = info.take_if(INTEGER, "its nonce")?.map(<[u8]>::to_vec);
    info.take_if(context(0), "the name of its authority")?;
    if let Some(extensions) = info.take_if(context(1), "its extensions")? {
        check_extensions(Elements::of(extensions, "its extensions"))?;
    }
    info.end()?;
    Ok(TimeStampToken { imprint: Digest(digest), at, policy, serial, nonce })
}

/// None is known, so none may be critical.
fn check_extensions(mut extensions: Elements<'_>) -> Result<(), TimeStampError> {
    while !extensions.is_empty() {
        let mut extension = extensions.inside(SEQUENCE, "an extension")?;
        let name = extension.take(OBJECT_IDENTIFIER, "an extension")?;
        if extension.take_if(BOOLEAN, "an extension")?.is_some_and(|critical| critical != [0]) {
            return Err(value("a critical extension", ObjectId(name.to_vec())));
        }
    }
    Ok(())
}

/// `YYYYMMDDhhmmss[.f]Z` (RFC 3161, 2.4.2).
fn instant(text: &[u8]) -> Result<Timestamp, TimeStampError> {
    let refuse = || value("its genTime", String::from_utf8_lossy(text).escape_debug());
    let ascii = text.iter().all(|octet| octet.is_ascii_digit() || matches!(octet, b'.' | b'Z'));
    let text = std::str::from_utf8(text).ok().filter(|text| ascii && text.len() <= GEN_TIME_BYTES_MAX);
    let parts = text.and_then(|text| {
        let (digits, rest) = text.split_at_checked(14)?;
        let part = |from: usize, to: usize| digits.get(from..to);
        let date = [part(0, 4)?, part(4, 6)?, part(6, 8)?].join("-");
        let clock = [part(8, 10)?, part(10, 12)?, part(12, 14)?].join(":");
        let whole = rest == "Z" || (rest.starts_with('.') && rest.ends_with('Z'));
        whole.then(|| format!("{date}T{clock}{rest}"))
    });
    parts.and_then(|text| text.parse().ok()).ok_or_else(refuse)
}

fn is(found: &[u8], expected: &[u8], what: &'static str) -> Result<(), TimeStampError> {
    if found == expected { Ok(()) } else { Err(value(what, ObjectId(found.to_vec()))) }
}

const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const SHA384: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02];
const SHA512: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03];
/// PKIStatus by its number.
const STATUSES: [&str; 6] = [
    "granted",
    "granted with changes",
    "rejection",
    "waiting",
    "revocation warning",
    "revocation notification",
];
/// PKIFailureInfo by its bits.
const FAILURES: [(usize, &str); 8] = [
    (0, "badAlg"),
    (2, "badRequest"),
    (5, "badDataFormat"),
    (14, "timeNotAvailable"),
    (15, "unacceptedPolicy"),
    (16, "unacceptedExtension"),
    (17, "addInfoNotAvailable"),
    (25, "systemFailure"),
];
const ARCS_MAX: usize = 32;
const SHOWN_CHARS: usize = 200;
const SERIAL_BYTES_SHOWN: usize = 20;
const GEN_TIME_BYTES_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_identifiers_read_back_as_written() {
        fn check(text: &str, expected: bool) {
            let read = text.parse::<ObjectId>().ok().map(|id| id.to_string());
            assert_eq!(read.as_deref(), expected.then_some(text), "{text:?}");
        }
        for text in ["1.2.410.200001", "0.0", "2.999.1", "1.39.4294967295", "2.16.840.1.101.3.4.2.1"] {
            check(text, true);
        }
        assert_eq!("2.16.840.1.101.3.4.2.1".parse(), Ok(ObjectId(SHA256.to_vec())));
        let longest = vec!["1"; ARCS_MAX].join(".");
        check(&longest, true);
        for text in ["", "1", "1.40", "3.1", "1.2.x", "1..2", "1.4294967296", &format!("{longest}.1")] {
            check(text, false);
        }
    }

    #[test]
    fn a_gen_time_is_utc_to_the_second_or_finer() {
        fn check(text: &str, expected: Option<&str>) {
            let read = instant(text.as_bytes()).ok().map(|at| at.to_string());
            assert_eq!(read.as_deref(), expected, "{text}");
        }
        check("20261129074158Z", Some("2026-11-29T07:41:58Z"));
        check("20261129074158.25Z", Some("2026-11-29T07:41:58.250Z"));
        check("20261129074158+0900", None);
        check("202611290741Z", None);
        check("20261329074158Z", None);
        check("20261129074158.Z", None);
        check("20261129074158", None);
        check(&format!("20261129074158.{}Z", "1".repeat(17)), None);
        check("", None);
    }

    #[test]
    fn what_is_refused_is_told_in_the_words_of_the_authority() {
        fn check(status: &[u8], expected: &str) {
            let octets = element(SEQUENCE, &element(SEQUENCE, status));
            assert_eq!(decode_answer(&octets), Ok(TimeStampAnswer::Refused(expected.to_owned())));
        }
        let rejection = element(INTEGER, &[2]);
        let text = element(SEQUENCE, &element(UTF8_STRING, b"come back tomorrow"));
        let failure = element(BIT_STRING, &[6, 0, 0x02, 0, 0x40]);
        check(&rejection, "rejection");
        check(&[&*rejection, &text].concat(), "rejection, come back tomorrow");
        check(&[&*rejection, &text, &failure].concat(), "rejection, timeNotAvailable, come back tomorrow");
        check(&element(INTEGER, &[3]), "waiting");
        check(&element(INTEGER, &[99]), "another status");
    }
}
