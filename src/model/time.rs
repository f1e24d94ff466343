//! Instants and durations as ebMS 2.0 writes them (3.1.6.2): `xs:dateTime` in UTC, a value without zone is UTC.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::ValueError;

/// An instant, to the millisecond, in UTC.
///
/// Text with a finer fraction is cut to milliseconds; `24:00:00` is the first instant of the next day, and leap seconds
/// are refused. What is later than [`Timestamp::LAST`], as `9999-12-31` is, becomes that: never is meant by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The earliest instant there is here: 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The latest instant that a text can be: 9999-12-30T22:00:00.999Z, the last one of `jiff`.
    pub const LAST: Self = Self(253_402_207_200_999);

    /// The instant `millis` milliseconds after the Unix epoch.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This instant as one of `jiff`, for calendars and zones.
    #[must_use]
    pub fn to_jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_millisecond(self.0).unwrap_or(jiff::Timestamp::MAX)
    }

    /// The instant `duration` later; stops at the end of time instead of wrapping.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The instant `duration` earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The first instant of the day that a text with `24:00:00` names the end of (XML Schema, 3.2.7).
    fn of_end_of_day(text: &str) -> Option<Self> {
        let (day, rest) = (text.get(..11)?, text.get(11..)?.strip_prefix("24:00:00")?);
        let fraction = rest.strip_prefix(['.', ',']).unwrap_or_default();
        let is_whole = !fraction.trim_start_matches('0').starts_with(|c: char| c.is_ascii_digit());
        is_whole.then(|| format!("{day}00:00:00{rest}").parse().ok()).flatten()
    }

    /// How much later this is than `earlier`; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

const DAY: Duration = Duration::from_secs(86_400);

impl From<jiff::Timestamp> for Timestamp {
    fn from(instant: jiff::Timestamp) -> Self {
        Self(instant.as_millisecond())
    }
}

impl FromStr for Timestamp {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::new("xs:dateTime", text);
        let trimmed = text.trim();
        if trimmed.len() < 19 || trimmed.as_bytes().get(10) != Some(&b'T') {
            return Err(refuse());
        }
        let clock = trimmed.get(11..19).ok_or_else(refuse)?;
        if clock.ends_with(":60") || trimmed.contains('[') {
            return Err(refuse());
        }
        if clock.starts_with("24") {
            let first = Self::of_end_of_day(trimmed).ok_or_else(refuse)?;
            return Ok(first.plus(DAY).min(Self::LAST));
        }
        let zoned = trimmed.get(19..).is_some_and(|rest| rest.contains(['Z', '+', '-']));
        let parse = |text: &str| -> Result<jiff::Timestamp, _> {
            if zoned { text.parse() } else { format!("{text}Z").parse() }
        };
        // The year before has the same days, and no day of it is past the last one.
        let is_past_the_last = || {
            let days = trimmed.strip_prefix("9999-12-3");
            days.is_some_and(|rest| parse(&format!("9998-12-3{rest}")).is_ok())
        };
        match parse(trimmed) {
            Ok(instant) => Ok(instant.into()),
            Err(_) if is_past_the_last() => Ok(Self::LAST),
            Err(_) => Err(refuse()),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = self.to_jiff();
        if self.0 % 1000 == 0 { write!(f, "{instant:.0}") } else { write!(f, "{instant:.3}") }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Reads a duration as settings and rules write it: `500ms`, `30s`, `2h`, `5 days`, or ISO 8601 (`PT30S`).
///
/// # Errors
/// [`ValueError`] when the text is no duration or a negative one.
pub fn parse_duration(text: &str) -> Result<Duration, ValueError> {
    let refuse = || ValueError::new("duration such as \"30s\"", text);
    let span: jiff::Span = text.trim().parse().map_err(|_| refuse())?;
    let signed = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| refuse())?;
    Duration::try_from(signed).map_err(|_| refuse())
}

/// Writes a duration the way [`parse_duration`] reads it, largest unit first (`1h 30m`).
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let signed = jiff::SignedDuration::try_from(duration).unwrap_or(jiff::SignedDuration::MAX);
    format!("{signed:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_xs_date_time() {
        fn check(text: &str, expected: Option<&str>) {
            let parsed = text.parse::<Timestamp>().ok().map(|t| t.to_string());
            assert_eq!(parsed.as_deref(), expected, "{text}");
        }
        check("2024-06-11T09:30:00Z", Some("2024-06-11T09:30:00Z"));
        check("2024-06-11T09:30:00", Some("2024-06-11T09:30:00Z"));
        check("2024-06-11T17:30:00+08:00", Some("2024-06-11T09:30:00Z"));
        check("2024-06-11T09:30:00.1239Z", Some("2024-06-11T09:30:00.123Z"));
        check(" 2024-06-11T09:30:00Z ", Some("2024-06-11T09:30:00Z"));
        // The end of time, by which people mean never.
        let last = Some("9999-12-30T22:00:00.999Z");
        check("9999-12-30T21:59:59.998Z", Some("9999-12-30T21:59:59.998Z"));
        check("9999-12-30T22:00:00.999Z", last);
        for never in ["9999-12-30T22:00:01Z", "9999-12-31T00:00:00", "9999-12-31T23:59:59.999Z"] {
            check(never, last);
        }
        check("9999-12-31T23:59:59-12:00", last);
        check("9999-12-31T08:00:00+14:00", Some("9999-12-30T18:00:00Z"));
        for none in
            ["9999-12-32T00:00:00Z", "9999-12-31T25:00:00Z", "9999-11-31T00:00:00Z", "10000-01-01T00:00:00Z"]
        {
            check(none, None);
        }
        // The end of a day is the beginning of the next one, and nothing of a day comes after it.
        check("2024-06-11T24:00:00Z", Some("2024-06-12T00:00:00Z"));
        check("2024-12-31T24:00:00.000+09:00", Some("2024-12-31T15:00:00Z"));
        check("2024-02-28T24:00:00", Some("2024-02-29T00:00:00Z"));
        check("9999-12-30T24:00:00Z", last);
        check("9999-12-31T24:00:00Z", last);
        for past in [
            "2024-06-11T24:00:01Z",
            "2024-06-11T24:01:00Z",
            "2024-06-11T24:00:00.001Z",
            "2024-06-11T24:00:00.Z",
            "2024-06-11T24:00:00,5Z",
            "2024-06-31T24:00:00Z",
            "2024-06-11T25:00:00Z",
        ] {
            check(past, None);
        }
        check("2024-06-11T23:59:60Z", None);
        check("2024-06-11", None);
        check("2024-06-11 09:30:00Z", None);
        check("2024-06-11T09:30:00+09:00[Asia/Seoul]", None);
        check("", None);
    }

    #[test]
    fn durations_read_back_as_written() {
        for text in ["500ms", "30s", "2h", "PT30S", "5 days", "1h 30m"] {
            let duration = parse_duration(text).expect(text);
            assert_eq!(parse_duration(&format_duration(duration)), Ok(duration), "{text}");
        }
        assert!(parse_duration("-1s").is_err());
        assert!(parse_duration("soon").is_err());
    }
}
