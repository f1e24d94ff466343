//! Queries (XS1) and the answers that are about no case (XS3), both ways: partners write the first and read the second.

use super::read::{Read, at, child, children, fault, needed, optional, text, token};
use super::writer::DocumentWriter;
use crate::codec::xml::Element;
use crate::model::{
    Asked, Query, QueryAnswer, RequirementAnswer, Stage, StageTimes, StatisticsRow, ValueError,
};

pub(super) fn query(root: Element<'_>) -> Read<Query> {
    let asks = if let Some(status) = at(root, "Status") {
        Asked::Status(text(status, "ReferenceID")?)
    } else if let Some(goods) = at(root, "Requirements") {
        Asked::Requirements {
            hs: needed(goods, "ClassificationID")?,
            origin: optional(goods, "OriginCountryCode")?,
            usage: optional(goods, "UsageCode")?,
            at: optional(goods, "DateTime")?,
        }
    } else if let Some(again) = at(root, "Redelivery") {
        Asked::Redelivery(needed(again, "MessageID")?)
    } else {
        Asked::Statistics(optional(child(root, "Statistics")?, "MonthCode")?)
    };
    Ok(Query { number: text(root, "ID")?, issued_at: needed(root, "IssueDateTime")?, asks })
}

/// XS1, from a partner to the gateway.
#[must_use]
pub fn write_query(query: &Query) -> String {
    DocumentWriter::write("GOVCBRXS1", |out| {
        out.leaf("ID", &query.number);
        out.leaf("IssueDateTime", query.issued_at);
        match &query.asks {
            Asked::Status(key) => out.element("Status", |out| out.leaf("ReferenceID", key)),
            Asked::Requirements { hs, origin, usage, at } => out.element("Requirements", |out| {
                out.leaf("ClassificationID", hs);
                out.optional("OriginCountryCode", *origin);
                out.optional("UsageCode", usage.as_ref());
                out.optional("DateTime", *at);
            }),
            Asked::Redelivery(message_id) => {
                out.element("Redelivery", |out| out.leaf("MessageID", message_id));
            }
            Asked::Statistics(month) => out.element("Statistics", |out| out.optional("MonthCode", *month)),
        }
    })
}

pub(super) fn query_answer(root: Element<'_>) -> Read<QueryAnswer> {
    Ok(QueryAnswer {
        number: text(root, "ID")?,
        issued_at: needed(root, "IssueDateTime")?,
        query: text(root, "QueryID")?,
        requirements: children(root, "Requirement").map(requirement).collect::<Read<_>>()?,
        statistics: children(root, "Statistic").map(statistic).collect::<Read<_>>()?,
    })
}

fn requirement(row: Element<'_>) -> Read<RequirementAnswer> {
    Ok(RequirementAnswer {
        law: needed(row, "LawCode")?,
        agency: needed(row, "AgencyCode")?,
        application: needed(row, "ApplicationCode")?,
        result: needed(row, "ResultCode")?,
        rule: needed(row, "RuleID")?,
        conditions: children(row, "Condition").map(|condition| token(condition).into()).collect(),
    })
}

fn statistic(row: Element<'_>) -> Read<StatisticsRow> {
    let stage = |row: Element<'_>| -> Read<StageTimes> {
        let code = text(row, "StageCode")?;
        let stage = Stage::ALL.into_iter().find(|stage| stage.as_str() == &*code);
        let refuse = || ValueError::new("sent, accepted, decided or cleared", &code);
        Ok(StageTimes {
            stage: stage.ok_or_else(|| fault(row, &refuse().to_string()))?,
            count: needed(row, "PassedQuantity")?,
            median_seconds: needed(row, "MedianSeconds")?,
            p90_seconds: needed(row, "NinthDecileSeconds")?,
        })
    };
    Ok(StatisticsRow {
        of: vec![text(row, "AgencyCode")?, text(row, "TypeCode")?],
        applications: needed(row, "ApplicationQuantity")?,
        decided: needed(row, "DecidedQuantity")?,
        approved: needed(row, "ApprovedQuantity")?,
        stages: children(row, "Stage").map(stage).collect::<Read<_>>()?,
    })
}

/// XS3, from the gateway to whoever asked. Statistics are those by agency and document.
#[must_use]
pub fn write_query_answer(answer: &QueryAnswer) -> String {
    DocumentWriter::write("GOVCBRXS3", |out| {
        out.leaf("ID", &answer.number);
        out.leaf("IssueDateTime", answer.issued_at);
        out.leaf("QueryID", &answer.query);
        for row in answer.requirements.iter().take(ROWS_MAX) {
            out.element("Requirement", |out| {
                out.leaf("LawCode", &row.law);
                out.leaf("AgencyCode", &row.agency);
                out.leaf("ApplicationCode", &row.application);
                out.leaf("ResultCode", &row.result);
                out.leaf("RuleID", &row.rule);
                row.conditions.iter().take(CONDITIONS_MAX).for_each(|text| out.text("Condition", Some(text)));
            });
        }
        for row in answer.statistics.iter().take(ROWS_MAX) {
            let [agency, document] = row.of.as_slice() else { continue };
            out.element("Statistic", |out| {
                out.leaf("AgencyCode", agency);
                out.leaf("TypeCode", document);
                out.leaf("ApplicationQuantity", row.applications);
                out.leaf("DecidedQuantity", row.decided);
                out.leaf("ApprovedQuantity", row.approved);
                for times in &row.stages {
                    out.element("Stage", |out| {
                        out.leaf("StageCode", times.stage.as_str());
                        out.leaf("PassedQuantity", times.count);
                        out.leaf("MedianSeconds", times.median_seconds);
                        out.leaf("NinthDecileSeconds", times.p90_seconds);
                    });
                }
            });
        }
    })
}

/// Rows of a kind that the schema allows.
const ROWS_MAX: usize = 999;
/// Conditions of a requirement that it allows.
const CONDITIONS_MAX: usize = 99;

#[cfg(test)]
mod tests {
    use super::super::read_document;
    use super::*;
    use crate::codec::catalogue::Catalogue;
    use crate::model::{Document, DocumentCode, Timestamp};

    fn read(code: &str, text: &str) -> Document {
        let code: DocumentCode = code.parse().expect("a code");
        let now = Timestamp::EPOCH;
        read_document(Catalogue::built_in(), &code, text.as_bytes(), now)
            .unwrap_or_else(|findings| panic!("{findings:?} in\n{text}"))
    }

    #[test]
    fn queries_read_back() {
        let goods = |full: bool| Asked::Requirements {
            hs: if full { "1211901000" } else { "12" }.parse().expect("an HS code"),
            origin: full.then(|| "CN".parse().expect("a country")),
            usage: full.then(|| "SALE".parse().expect("a usage")),
            at: full.then(|| "2009-12-01T01:00:00Z".parse().expect("an instant")),
        };
        for asks in [
            Asked::Status("1234509000017X".into()),
            goods(true),
            goods(false),
            Asked::Redelivery("m1@sw.example".parse().expect("a MessageId")),
            Asked::Statistics(None),
            Asked::Statistics(Some("2009-12".parse().expect("a month"))),
        ] {
            let issued_at = "2009-12-01T01:00:00Z".parse().expect("an instant");
            let query = Query { number: "Q-1".into(), issued_at, asks };
            assert_eq!(read("GOVCBRXS1", &write_query(&query)), Document::Query(query));
        }
    }

    #[test]
    fn answers_read_back() {
        let empty = QueryAnswer {
            number: "A-1".into(),
            issued_at: "2009-12-01T01:00:00Z".parse().expect("an instant"),
            query: "Q-1".into(),
            requirements: Vec::new(),
            statistics: Vec::new(),
        };
        let requirement = RequirementAnswer {
            law: "05".parse().expect("a law"),
            agency: "KFDA".parse().expect("an agency"),
            application: "GOVCBRX01".parse().expect("a code"),
            result: "GOVCBRX51".parse().expect("a code"),
            rule: "food-produce".parse().expect("a rule"),
            conditions: vec!["usage is not RD".into()],
        };
        let times = StageTimes { stage: Stage::Accepted, count: 2, median_seconds: 60, p90_seconds: 90 };
        let row = StatisticsRow {
            of: vec!["KFDA".into(), "GOVCBRX01".into()],
            applications: 3,
            decided: 2,
            approved: 1,
            stages: vec![times],
        };
        let goods = QueryAnswer { requirements: vec![requirement], ..empty.clone() };
        let figures = QueryAnswer { statistics: vec![row], ..empty.clone() };
        for answer in [empty, goods, figures] {
            assert_eq!(read("GOVCBRXS3", &write_query_answer(&answer)), Document::QueryAnswer(answer));
        }
    }
}
