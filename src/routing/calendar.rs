//! Working time: when a deadline in hours or business days falls (domain brief, 7.2; ruling 11).
//!
//! Holidays are a CSV of dates; weekend and hours stand in the rule set. Hours count within working hours only; a
//! business day ends at the time of day at which it began. What comes in outside working hours counts from the next
//! opening. Pure: the zone comes from the bundled database, never from the machine.

use std::collections::BTreeSet;

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan as _};

use crate::model::Timestamp;

/// A business calendar.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    pub(super) zone: TimeZone,
    pub(super) holidays: BTreeSet<Date>,
    pub(super) weekend: Vec<Weekday>,
    pub(super) opens: Time,
    pub(super) closes: Time,
}

/// How long something may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Allowance {
    /// Working time.
    Hours(SignedDuration),
    /// Business days.
    Days(u16),
}

impl Allowance {
    /// Reads `2h`, `30m` or `3bd`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is not working time such as 2h or 3bd");
        if let Some(days) = text.strip_suffix("bd") {
            return days.trim().parse().map(Self::Days).map_err(|_| expected());
        }
        let time: SignedDuration = text.parse().map_err(|_| expected())?;
        if time > SignedDuration::ZERO && time <= SignedDuration::from_hours(10_000) {
            Ok(Self::Hours(time))
        } else {
            Err(expected())
        }
    }
}

impl Calendar {
    /// The instant at which a date begins here.
    pub(super) fn start_of(&self, date: Date) -> Timestamp {
        let midnight = date.at(0, 0, 0, 0).to_zoned_datetime(self.zone.clone());
        midnight.map_or(Timestamp::EPOCH, |zoned| zoned.timestamp().into())
    }

    /// When `allowance` from `start` on is used up; `None` past the end of the calendar.
    pub(super) fn deadline(&self, start: Timestamp, allowance: Allowance) -> Option<Timestamp> {
        let local = start.to_jiff().to_zoned_datetime(self.zone.clone()).datetime();
        let (mut date, mut time) = (local.date(), local.time());
        if !self.is_business_day(date) || time >= self.closes {
            date = self.next_business_day(date)?;
            time = self.opens;
        }
        time = time.max(self.opens);
        match allowance {
            Allowance::Days(days) => {
                for _ in 0..days {
                    date = self.next_business_day(date)?;
                }
            }
            Allowance::Hours(mut left) => loop {
                let today = time.duration_until(self.closes);
                if left <= today {
                    time = time.checked_add(left).ok()?;
                    break;
                }
                left -= today;
                date = self.next_business_day(date)?;
                time = self.opens;
            },
        }
        Some(date.to_datetime(time).to_zoned_datetime(self.zone.clone()).ok()?.timestamp().into())
    }

    fn is_business_day(&self, date: Date) -> bool {
        !self.weekend.contains(&date.weekday()) && !self.holidays.contains(&date)
    }

    fn next_business_day(&self, date: Date) -> Option<Date> {
        let mut next = date;
        for _ in 0..366 {
            next = next.checked_add(1.day()).ok()?;
            if self.is_business_day(next) {
                return Some(next);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_fall_in_working_time() {
        let calendar = Calendar {
            zone: TimeZone::fixed(jiff::tz::offset(9)),
            holidays: BTreeSet::from([Date::constant(2009, 12, 25)]),
            weekend: vec![Weekday::Saturday, Weekday::Sunday],
            opens: Time::constant(9, 0, 0, 0),
            closes: Time::constant(18, 0, 0, 0),
        };
        let check = |start: &str, allowance: &str, expected: &str| {
            let start: Timestamp = format!("{start}:00+09:00").parse().expect("an instant");
            let allowance = Allowance::parse(allowance).expect("an allowance");
            let expected = format!("{expected}:00+09:00").parse().ok();
            assert_eq!(calendar.deadline(start, allowance), expected, "{start} {allowance:?}");
        };
        check("2009-12-01T10:00", "2h", "2009-12-01T12:00");
        check("2009-12-01T17:00", "2h", "2009-12-02T10:00");
        check("2009-12-01T16:00", "2h", "2009-12-01T18:00");
        check("2009-12-01T07:00", "2h", "2009-12-01T11:00");
        check("2009-12-04T20:00", "30m", "2009-12-07T09:30");
        check("2009-12-01T10:00", "3bd", "2009-12-04T10:00");
        check("2009-12-03T10:00", "3bd", "2009-12-08T10:00");
        check("2009-12-24T10:00", "1bd", "2009-12-28T10:00");
        check("2009-12-25T10:00", "1bd", "2009-12-29T09:00");
        for text in ["", "h", "-1h", "3d2", "0h", "xbd", "99999bd"] {
            assert!(Allowance::parse(text).is_err(), "{text}");
        }
    }
}
