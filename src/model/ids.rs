//! Identifiers: MessageId, ConversationId, CPAId and our own. Compared byte for byte (P3).

use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A text that is not a value of the kind it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}, found {found:?}")]
pub struct ValueError {
    /// What would have been accepted.
    pub expected: &'static str,
    /// What stood there, cut to a readable length.
    pub found: String,
}

impl ValueError {
    /// The longest excerpt of a foreign text that an error repeats, in characters.
    const EXCERPT_CHARS_MAX: usize = 80;

    /// An error that says what was expected and repeats an excerpt of what was found.
    #[must_use]
    pub fn new(expected: &'static str, found: &str) -> Self {
        Self { expected, found: found.chars().take(Self::EXCERPT_CHARS_MAX).collect() }
    }
}

/// Declares a text value: not empty, within a length, no control characters, cheap to clone.
macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "std::sync::Arc<str>", into = "std::sync::Arc<str>")]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// The value of this text.
            ///
            /// # Errors
            /// [`ValueError`](crate::model::ValueError) when it is empty, too long, or holds a control character.
            pub fn new(text: impl Into<std::sync::Arc<str>>) -> Result<Self, crate::model::ValueError> {
                let text = text.into();
                if crate::model::ids::is_plain_text(&text) {
                    Ok(Self(text))
                } else {
                    Err(crate::model::ValueError::new($what, &text))
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<std::sync::Arc<str>> for $name {
            type Error = crate::model::ValueError;
            fn try_from(text: std::sync::Arc<str>) -> Result<Self, Self::Error> {
                Self::new(text)
            }
        }

        impl From<$name> for std::sync::Arc<str> {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = crate::model::ValueError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}
pub(crate) use text_value;

/// The longest identifier that is accepted from the wire, in octets.
pub(crate) const ID_BYTES_MAX: usize = 512;

pub(crate) fn is_plain_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= ID_BYTES_MAX && !text.chars().any(char::is_control)
}

text_value! {
    /// MessageId: names one message for ever (ebMS 2.0, 3.1.6.1); never with angle brackets.
    MessageId, "a MessageId of 1 to 512 octets without control characters"
}
text_value! {
    /// ConversationId: the same in every message of a conversation (ebMS 2.0, 3.1.3).
    ConversationId, "a ConversationId of 1 to 512 octets without control characters"
}
text_value! {
    /// CPAId: names the agreement that two parties exchange messages under (ebMS 2.0, 3.1.2).
    CpaId, "a CPAId of 1 to 512 octets without control characters"
}
text_value! {
    /// Content-ID of a MIME part, percent-decoded and without angle brackets (RFC 2392).
    ContentId, "a Content-ID of 1 to 512 octets without control characters"
}
text_value! {
    /// Our name for a case: one declaration and all its applications.
    CaseId, "a case id"
}
text_value! {
    /// Our name for a delivery: one message owed to one destination.
    DeliveryId, "a delivery id"
}

impl ContentId {
    /// The `cid:` URI that names it (RFC 2392): what a URI cannot hold is percent-encoded.
    #[must_use]
    pub fn uri(&self) -> String {
        let mut uri = String::from("cid:");
        for octet in self.as_str().bytes() {
            if octet.is_ascii_alphanumeric() || b"-._~@!$&'()*+,;=:/?".contains(&octet) {
                uri.push(char::from(octet));
            } else {
                write!(uri, "%{octet:02X}").expect("a String takes any text");
            }
        }
        uri
    }

    /// Whether it can stand between the angle brackets of a Content-ID field and be read back. It need not be an
    /// addr-spec (RFC 2045, 7): careless names without `@` are common, and documents name their attachments by them.
    #[must_use]
    pub fn stands_in_brackets(&self) -> bool {
        self.as_str().bytes().all(|octet| octet.is_ascii_graphic() && !b"<>()\"\\,;".contains(&octet))
    }
}

/// The duplicate key (P3): the authenticated sending party and its MessageId.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MessageKey {
    /// The registered party that sent it.
    pub sender: super::PartyKey,
    /// The MessageId it gave it.
    pub message_id: MessageId,
}

impl fmt::Display for MessageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.sender, self.message_id)
    }
}

/// A SHA-256 digest. Written as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Arc<str>", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// SHA-256 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(openssl::sha::sha256(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl TryFrom<Arc<str>> for Digest {
    type Error = ValueError;

    fn try_from(text: Arc<str>) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl std::str::FromStr for Digest {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::new("64 hexadecimal digits", text);
        if text.len() != 64 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| refuse())?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| refuse())?;
        }
        Ok(Self(digest))
    }
}

/// An identifier that follows from what it is for: the same parts give the same id, on every node and in
/// every replay, and other parts another one (160 bits of SHA-256 over the length-prefixed parts, in
/// lower-case base 32). This is why `decide` needs no randomness.
#[must_use]
pub fn derive_id(parts: &[&str]) -> String {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut hasher = openssl::sha::Sha256::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    let digest = hasher.finish();
    let mut id = String::with_capacity(32);
    for chunk in digest[..20].chunks_exact(5) {
        let bits = chunk.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        id.extend((0..8).rev().map(|i| char::from(ALPHABET[(bits >> (5 * i) & 31) as usize])));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_plain_text_within_their_limit() {
        fn check(text: &str, accepted: bool) {
            assert_eq!(MessageId::new(text).is_ok(), accepted, "{text:?}");
        }
        check("20240611-093000-0001@trader-0417.example", true);
        check("8d0f7a1e", true);
        check("", false);
        check("a\nb", false);
        check(&"x".repeat(ID_BYTES_MAX), true);
        check(&"x".repeat(ID_BYTES_MAX + 1), false);
    }

    #[test]
    fn derived_ids_depend_on_every_part_and_its_border() {
        assert_eq!(derive_id(&["a", "b"]), derive_id(&["a", "b"]));
        assert_ne!(derive_id(&["a", "b"]), derive_id(&["ab", ""]));
        assert_eq!(derive_id(&[]).len(), 32);
    }

    #[test]
    fn digests_read_back_as_written() {
        let digest = Digest::of(b"abc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("12".parse::<Digest>().is_err());
    }
}
