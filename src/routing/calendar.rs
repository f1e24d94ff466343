//! Working time: when a deadline in hours or business days falls (domain brief, 7.2; ruling 11).
//!
//! Holidays are a CSV of dates; weekend and hours stand in the rule set. Hours count within working hours only; a
//! business day ends at the time of day at which it began. What comes in outside working hours counts from the next
//! opening. Pure: the zone comes from the bundled database, never from the machine.

use std::collections::BTreeSet;

use jiff::ToSpan as _;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;

use crate::model::{Allowance, Timestamp};

/// A business calendar.
#[derive(Clone, Debug)]
pub(super) struct Calendar {
    pub(super) zone: TimeZone,
    pub(super) holidays: BTreeSet<Date>,
    pub(super) weekend: Vec<Weekday>,
    pub(super) opens: Time,
    pub(super) closes: Time,
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

    /// When this share of `allowance`, per mille, is used up. A part of a business day counts in hours of it.
    pub(super) fn share(&self, start: Timestamp, allowance: Allowance, per_mille: u16) -> Option<Timestamp> {
        match allowance {
            Allowance::Hours(time) => {
                let part = time.checked_mul(per_mille.into())? / 1000;
                self.deadline(start, Allowance::Hours(part))
            }
            Allowance::Days(days) => {
                let thousandths = u32::from(days) * u32::from(per_mille);
                let (whole, rest) = (u16::try_from(thousandths / 1000).ok()?, thousandths % 1000);
                let day = self.deadline(start, Allowance::Days(whole))?;
                let hours =
                    self.opens.duration_until(self.closes).checked_mul(i32::try_from(rest).ok()?)? / 1000;
                if rest == 0 { Some(day) } else { self.deadline(day, Allowance::Hours(hours)) }
            }
        }
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
            let allowance = allowance.parse::<Allowance>().expect("an allowance");
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
        let share = |start: &str, allowance: &str, per_mille: u16, expected: &str| {
            let start: Timestamp = format!("{start}:00+09:00").parse().expect("an instant");
            let allowance = allowance.parse().expect("an allowance");
            let expected = format!("{expected}:00+09:00").parse().ok();
            assert_eq!(calendar.share(start, allowance, per_mille), expected, "{per_mille} of {allowance:?}");
        };
        share("2009-12-01T10:00", "2h", 500, "2009-12-01T11:00");
        share("2009-12-01T17:30", "2h", 500, "2009-12-02T09:30");
        share("2009-12-01T10:00", "3bd", 1000, "2009-12-04T10:00");
        share("2009-12-01T10:00", "3bd", 500, "2009-12-02T14:30");
        share("2009-12-01T17:00", "3bd", 500, "2009-12-03T12:30");
        share("2009-12-24T10:00", "2bd", 500, "2009-12-28T10:00");
        share("2009-12-25T03:00", "2bd", 0, "2009-12-28T09:00");
    }
}
