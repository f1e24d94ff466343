//! Statistics for operators: counts, times of stages, approval rates. Each answer goes once through the cases of its
//! span, a few at a time, on a thread where that may take a while.

use serde_json::json;

use super::admin::json_response;
use super::shared::{Shared, now};
use super::show::{Query, Unanswered};
use crate::model::{Dimension, Month, PartyKey, Statistics, Timestamp};
use crate::store::Opened;
use crate::transport::{Response, StatusCode};

/// `GET /statistics?month=…&by=…&submitter=…&practice=…`.
pub(super) fn statistics(shared: &Shared, query: &mut Query) -> Result<Response, Unanswered> {
    let month: Option<Month> = query.take("month")?;
    let submitter: Option<PartyKey> = query.take("submitter")?;
    let realm = query.realm()?;
    let by: Option<String> = query.take("by")?;
    let dimension =
        |text: &str| text.parse::<Dimension>().map_err(|error| Unanswered::Wrong(error.to_string()));
    let by: Vec<Dimension> =
        by.iter().flat_map(|by| by.split(',')).map(dimension).collect::<Result<_, _>>()?;
    let in_force = shared.in_force.load();
    let schedule = in_force.schedule.load();
    let zone = schedule.rules(now()).time_zone();
    let ever = (Timestamp::EPOCH, Timestamp::from_millis(i64::MAX));
    let (from, until) = month.map_or(Some(ever), |month| month.span(zone)).unwrap_or(ever);
    let mut statistics = Statistics::new(by.clone(), zone.clone());
    let opened = Opened { realm, from, until, submitter };
    shared.store.each_case(&opened, &mut |case| statistics.add(&case))?;
    Ok(json_response(StatusCode::OK, &json!({ "month": month, "by": by, "rows": statistics.rows() })))
}
