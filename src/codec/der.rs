//! DER, as far as time stamps need it (X.690, 8 and 10): a strict reader over octets in hand, and a writer.
//!
//! Promises: a length is definite, in its shortest form, and within what it stands in; nothing is copied, nothing
//! recursed into. Does not read BER: whoever signs sends DER.

/// Tags.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const NULL: u8 = 0x05;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const UTF8_STRING: u8 = 0x0c;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The tag `[number]` over other elements.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// What is wrong with octets that should be DER.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DerError {
    /// They end too early.
    #[error("{0} is cut off")]
    CutOff(&'static str),
    /// Another element stands there.
    #[error("{what}: expected tag {expected:#04x}, found {found:#04x}")]
    Tag {
        /// What was read.
        what: &'static str,
        /// What was expected.
        expected: u8,
        /// What was found.
        found: u8,
    },
    /// A length of BER.
    #[error("{0}: its length is not definite and in its shortest form")]
    Length(&'static str),
    /// Something stands after the end.
    #[error("{0}: octets stand after its last element")]
    Surplus(&'static str),
}

/// Elements that stand one after the other.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Elements<'a> {
    /// What stands in these octets; `what` names it in errors.
    pub(super) const fn of(octets: &'a [u8], what: &'static str) -> Self {
        Self { rest: octets, what }
    }

    /// The contents of the next element, which has this tag.
    pub(super) fn take(&mut self, tag: u8, what: &'static str) -> Result<&'a [u8], DerError> {
        match self.next(what)? {
            (found, contents) if found == tag => Ok(contents),
            (found, _) => Err(DerError::Tag { what, expected: tag, found }),
        }
    }

    /// The same, as elements.
    pub(super) fn inside(&mut self, tag: u8, what: &'static str) -> Result<Self, DerError> {
        self.take(tag, what).map(|contents| Self::of(contents, what))
    }

    /// The contents of the next element, if it has this tag.
    pub(super) fn take_if(&mut self, tag: u8, what: &'static str) -> Result<Option<&'a [u8]>, DerError> {
        if self.rest.first() == Some(&tag) { self.take(tag, what).map(Some) } else { Ok(None) }
    }

    /// The next element, tag and contents.
    pub(super) fn next(&mut self, what: &'static str) -> Result<(u8, &'a [u8]), DerError> {
        let cut_off = || DerError::CutOff(what);
        let (&tag, rest) = self.rest.split_first().ok_or_else(cut_off)?;
        let (&first, mut rest) = rest.split_first().ok_or_else(cut_off)?;
        let length = if first < 0x80 {
            usize::from(first)
        } else {
            let (octets, after) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or_else(cut_off)?;
            rest = after;
            // Nothing here is longer than 24 bits can say, and no length that a shorter form can say is taken.
            if octets.is_empty() || octets.len() > 3 || octets.first() == Some(&0) {
                return Err(DerError::Length(what));
            }
            let length = octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet));
            if length < 0x80 {
                return Err(DerError::Length(what));
            }
            length
        };
        let (contents, rest) = rest.split_at_checked(length).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok((tag, contents))
    }

    /// What has not been taken yet, element by element undivided.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was taken.
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything was taken.
    pub(super) const fn end(self) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError::Surplus(self.what)) }
    }
}

/// An element with these contents.
pub(super) fn element(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len().to_be_bytes();
    let from = length.iter().position(|octet| *octet != 0).unwrap_or(length.len() - 1);
    let length = &length[from..];
    let mut octets = vec![tag];
    if contents.len() >= 0x80 {
        octets.push(0x80 | u8::try_from(length.len()).expect("a length has eight octets at most"));
    }
    octets.extend(length);
    octets.extend(contents);
    octets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form() {
        fn check(octets: &[u8], expected: Result<usize, DerError>) {
            let read = Elements::of(octets, "it").take(OCTET_STRING, "it").map(<[u8]>::len);
            assert_eq!(read, expected, "{octets:02x?}");
        }
        for length in [0, 1, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x1_0000] {
            check(&element(OCTET_STRING, &vec![7; length]), Ok(length));
        }
        check(&[], Err(DerError::CutOff("it")));
        check(&[4], Err(DerError::CutOff("it")));
        check(&[4, 1], Err(DerError::CutOff("it")));
        check(&[4, 0x81, 1, 7], Err(DerError::Length("it")));
        check(&[4, 0x82, 0, 0x80], Err(DerError::Length("it")));
        check(&[4, 0x80, 7, 0, 0], Err(DerError::Length("it")));
        check(&[4, 0x84, 1, 0, 0, 0], Err(DerError::Length("it")));
        check(&[4, 0xff, 1], Err(DerError::CutOff("it")));
        check(&[2, 1, 7], Err(DerError::Tag { what: "it", expected: 4, found: 2 }));
    }
}
