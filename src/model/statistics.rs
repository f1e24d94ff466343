//! Statistics of applications: how many, how long each stage took, how many were approved. Fed case by case; what is
//! kept is a number for each stage of each application, never a case.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{Application, ApplicationState, Case, CaseState, NoticeKind, Outcome, Timestamp, ValueError};

/// A month of the business calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month {
    year: i16,
    month: i8,
}

impl Month {
    /// The month that an instant falls in.
    #[must_use]
    pub fn of(at: Timestamp, zone: &TimeZone) -> Self {
        let date = at.to_jiff().to_zoned_datetime(zone.clone()).datetime().date();
        Self { year: date.year(), month: date.month() }
    }

    /// Its first instant, and the first one after it.
    #[must_use]
    pub fn span(self, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let first = jiff::civil::Date::new(self.year, self.month, 1).ok()?;
        let start = |date: jiff::civil::Date| -> Option<Timestamp> {
            Some(date.at(0, 0, 0, 0).to_zoned_datetime(zone.clone()).ok()?.timestamp().into())
        };
        Some((start(first)?, start(first.last_of_month().tomorrow().ok()?)?))
    }
}

impl FromStr for Month {
    type Err = ValueError;

    /// Reads `2009-12`.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let refuse = || ValueError::new("a month such as 2009-12", text);
        let (year, month) =
            text.split_once('-').filter(|(y, m)| (y.len(), m.len()) == (4, 2)).ok_or_else(refuse)?;
        let year = year.parse().map_err(|_| refuse())?;
        let month = month.parse().ok().filter(|month| (1..=12).contains(month)).ok_or_else(refuse)?;
        Ok(Self { year, month })
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year, self.month)
    }
}

impl TryFrom<String> for Month {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        text.parse()
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

/// What statistics are told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// Who lodged it.
    Submitter,
    /// The agency.
    Agency,
    /// The application document.
    Document,
    /// The month of the lodging.
    Month,
}

impl FromStr for Dimension {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Self, ValueError> {
        match text {
            "submitter" => Ok(Self::Submitter),
            "agency" => Ok(Self::Agency),
            "document" => Ok(Self::Document),
            "month" => Ok(Self::Month),
            _ => Err(ValueError::new("submitter, agency, document or month", text)),
        }
    }
}

/// The stages of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// From the lodging until it was owed to its agency with its document.
    Sent,
    /// From there until the agency accepted it.
    Accepted,
    /// From there, or from the sending when no acceptance was told, until its result.
    Decided,
    /// From there until customs cleared the goods.
    Cleared,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 4] = [Self::Sent, Self::Accepted, Self::Decided, Self::Cleared];

    /// The name in answers and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Accepted => "accepted",
            Self::Decided => "decided",
            Self::Cleared => "cleared",
        }
    }
}

/// How long a stage took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTimes {
    /// The stage.
    pub stage: Stage,
    /// Applications that passed it.
    pub count: u64,
    /// Half of them took no longer, in seconds.
    pub median_seconds: u64,
    /// Nine of ten took no longer, in seconds.
    pub p90_seconds: u64,
}

/// One line of statistics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatisticsRow {
    /// What it is about, in the order of the dimensions asked for.
    pub of: Vec<Arc<str>>,
    /// Applications, those with a missing document too.
    pub applications: u64,
    /// Those that are final.
    pub decided: u64,
    /// Those of them that are favourable.
    pub approved: u64,
    /// Stages that some application has passed.
    pub stages: Vec<StageTimes>,
}

impl StatisticsRow {
    /// Favourable decisions of a hundred; none while nothing is decided.
    #[must_use]
    pub fn approval_percent(&self) -> Option<u64> {
        (self.decided > 0).then(|| self.approved * 100 / self.decided)
    }
}

/// Statistics in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistics {
    by: Vec<Dimension>,
    zone: TimeZone,
    groups: BTreeMap<Vec<Arc<str>>, Group>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Group {
    applications: u64,
    decided: u64,
    approved: u64,
    seconds: BTreeMap<Stage, Vec<u32>>,
}

impl Statistics {
    /// Of nothing yet; months are those of the zone.
    #[must_use]
    pub const fn new(by: Vec<Dimension>, zone: TimeZone) -> Self {
        Self { by, zone, groups: BTreeMap::new() }
    }

    /// Counts the applications of a case; a result that nobody asked for is none.
    pub fn add(&mut self, case: &Case) {
        if case.declaration.is_none() {
            return;
        }
        for application in &case.applications {
            let key = self.by.iter().map(|dimension| match dimension {
                Dimension::Submitter => case.submitter.clone().map_or_else(|| "".into(), Into::into),
                Dimension::Agency => application.agency.clone().into(),
                Dimension::Document => application.document.clone().into(),
                Dimension::Month => Month::of(case.opened_at, &self.zone).to_string().into(),
            });
            let group = self.groups.entry(key.collect()).or_default();
            group.applications += 1;
            if let ApplicationState::Decided(outcome) = application.state {
                group.decided += 1;
                group.approved += u64::from(Outcome::is_favourable(outcome));
            }
            for (stage, took) in stages(case, application) {
                let seconds = u32::try_from(took.as_secs()).unwrap_or(u32::MAX);
                group.seconds.entry(stage).or_default().push(seconds);
            }
        }
    }

    /// The lines, in order of what they are about.
    #[must_use]
    pub fn rows(self) -> Vec<StatisticsRow> {
        let row = |(of, group): (Vec<Arc<str>>, Group)| {
            let times = |(stage, mut seconds): (Stage, Vec<u32>)| {
                seconds.sort_unstable();
                // The nearest rank: the least value that so many of a hundred do not exceed.
                let rank =
                    |percent: usize| u64::from(seconds[(seconds.len() * percent).div_ceil(100).max(1) - 1]);
                StageTimes {
                    stage,
                    count: seconds.len() as u64,
                    median_seconds: rank(50),
                    p90_seconds: rank(90),
                }
            };
            StatisticsRow {
                of,
                applications: group.applications,
                decided: group.decided,
                approved: group.approved,
                stages: group.seconds.into_iter().map(times).collect(),
            }
        };
        self.groups.into_iter().map(row).collect()
    }
}

/// The stages that an application has passed, and how long each took by our clock.
fn stages(case: &Case, application: &Application) -> Vec<(Stage, Duration)> {
    let accepted = application.notices.iter().filter(|notice| notice.notice == NoticeKind::Accepted);
    let accepted = accepted.map(|notice| notice.received_at).min();
    let is_final = matches!(application.state, ApplicationState::Decided(_));
    let decided = application.results.iter().map(|result| result.received_at).max().filter(|_| is_final);
    let cleared = case.ended_at.filter(|_| case.state == CaseState::Cleared);
    let mut since = Some(case.opened_at);
    let mut passed = Vec::new();
    for (stage, at) in [
        (Stage::Sent, application.owed_at),
        (Stage::Accepted, accepted),
        (Stage::Decided, decided),
        (Stage::Cleared, cleared),
    ] {
        if let (Some(at), Some(before)) = (at, since) {
            passed.push((stage, at.since(before)));
        }
        // Only an acceptance may go untold; what comes after another gap has no beginning.
        since = if stage == Stage::Accepted { at.or(since) } else { at };
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seoul() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(9))
    }

    #[test]
    fn a_month_is_one_of_the_business_calendar() {
        let month: Month = "2009-12".parse().expect("a month");
        let (from, until) = month.span(&seoul()).expect("it is in the calendar");
        assert_eq!(
            (from.to_string(), until.to_string()),
            ("2009-11-30T15:00:00Z".into(), "2009-12-31T15:00:00Z".into())
        );
        assert_eq!(Month::of(from, &seoul()), month);
        assert_eq!(Month::of(until, &seoul()).to_string(), "2010-01");
        for text in ["2009", "2009-13", "2009-00", "09-12", "2009-1", "2009-12-01"] {
            assert!(text.parse::<Month>().is_err(), "{text}");
        }
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let check = |seconds: &[u32], median: u64, p90: u64| {
            let mut statistics = Statistics::new(Vec::new(), seoul());
            let group = statistics.groups.entry(Vec::new()).or_default();
            group.seconds.insert(Stage::Sent, seconds.to_vec());
            let row = statistics.rows().remove(0);
            let times = row.stages[0];
            assert_eq!((times.median_seconds, times.p90_seconds), (median, p90), "{seconds:?}");
            assert_eq!(times.count, seconds.len() as u64);
        };
        check(&[7], 7, 7);
        check(&[9, 1], 1, 9);
        check(&[3, 1, 2], 2, 3);
        check(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 5, 9);
        check(&[0; 100], 0, 0);
    }
}
