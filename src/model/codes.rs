//! Codes of the trade: HS codes, countries, laws, agencies, document codes (domain brief, 2 and 4).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::ValueError;
use super::ids::text_value;

text_value! {
    /// Short code of an agency in the rule set, such as `KFDA`.
    AgencyCode, "an agency code"
}
text_value! {
    /// Two-digit code of the law that a requirement rests on, such as `05`.
    LawCode, "a law code"
}
text_value! {
    /// Usage of goods, such as `SALE`, `OWN`, `RD`.
    UsageCode, "a usage code"
}
text_value! {
    /// A currency of ISO 4217, such as `KRW`.
    CurrencyCode, "a currency code"
}
text_value! {
    /// Id of a row of a rule table.
    RuleId, "a rule id"
}
text_value! {
    /// Document code as it stands in Action, such as `GOVCBR929` or `GOVCBRX01`.
    DocumentCode, "a document code"
}

/// A commodity code of the Harmonized System: 2 to 10 digits; dots and hyphens are only for reading.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HsCode {
    digits: [u8; 10],
    length: u8,
}

impl HsCode {
    /// Digits of a code on a declaration line.
    pub const LINE_DIGITS: usize = 10;

    /// Its digits as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.digits[..usize::from(self.length)])
            .expect("an HsCode holds ASCII digits only")
    }
}

impl FromStr for HsCode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::new("an HS code of 2 to 10 digits", text);
        let mut code = Self { digits: [0; 10], length: 0 };
        for byte in text.bytes().filter(|byte| !matches!(byte, b'.' | b'-')) {
            let slot = code.digits.get_mut(usize::from(code.length)).ok_or_else(refuse)?;
            if !byte.is_ascii_digit() {
                return Err(refuse());
            }
            *slot = byte;
            code.length += 1;
        }
        if code.length >= 2 { Ok(code) } else { Err(refuse()) }
    }
}

impl TryFrom<String> for HsCode {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<HsCode> for String {
    fn from(code: HsCode) -> Self {
        code.as_str().to_owned()
    }
}

impl fmt::Display for HsCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for HsCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A country as ISO 3166-1 alpha-2 writes it: two upper-case letters. Whether it exists is a code list's matter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CountryCode([u8; 2]);

impl CountryCode {
    /// Its two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a CountryCode holds two ASCII letters")
    }
}

impl FromStr for CountryCode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match *text.as_bytes() {
            [a, b] if a.is_ascii_uppercase() && b.is_ascii_uppercase() => Ok(Self([a, b])),
            _ => Err(ValueError::new("two upper-case letters of ISO 3166-1", text)),
        }
    }
}

impl TryFrom<String> for CountryCode {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<CountryCode> for String {
    fn from(code: CountryCode) -> Self {
        code.as_str().to_owned()
    }
}

impl fmt::Display for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CountryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hs_codes_have_two_to_ten_digits() {
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(text.parse::<HsCode>().ok().map(|c| c.to_string()).as_deref(), expected, "{text}");
        }
        check("1211.90-1000", Some("1211901000"));
        check("12", Some("12"));
        check("1", None);
        check("12119010001", None);
        check("12a1", None);
        check("", None);
    }
}
