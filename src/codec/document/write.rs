//! Values to documents: the gateway's own status report, and what practice partners and tests send.
//!
//! Promises: what is written is valid against its schema and reads back as the value, for every value that a
//! document can carry; texts for people are cut to the length that the schema allows and left out when empty.
//! What a schema demands and the value does not have is filled with plain stand-ins, named at each function.
//! Does not invent business content for documents that pass through: those are forwarded as octets (ruling 2).

use super::read::{NOTICE_STATUSES, UNVERIFIED, VERIFIED};
use super::writer::DocumentWriter;
use crate::codec::catalogue::Catalogue;
use crate::model::{
    ContentId, CustomsNotice, Declaration, DeclarationChange, DeclarationLine, DocumentCode, Finding,
    NoticeDocument, NoticeKind, Realm, ResultDocument, StatusReport, SystemNotice, Timestamp,
};

/// XS2, from the gateway to broker and customs.
#[must_use]
pub fn write_status_report(report: &StatusReport) -> String {
    DocumentWriter::write("GOVCBRXS2", |out| {
        out.optional("FunctionCode", report.realm.is_practice().then_some(Realm::TEST));
        out.leaf("ID", &report.number);
        out.leaf("IssueDateTime", report.issued_at);
        if let Some(declaration) = &report.declaration {
            out.element("Declaration", |out| out.leaf("ID", declaration));
        }
        out.leaf("CaseID", &report.case);
        out.leaf("RevisionNumeric", report.revision);
        out.leaf("EventCode", &report.event);
        out.optional("OutcomeCode", report.outcome.as_ref());
        out.optional("StateCode", report.state.as_ref());
        out.optional("CustomsStatusCode", report.customs_status.as_ref());
        if let Some(deadline) = &report.deadline {
            out.element("Deadline", |out| {
                out.leaf("AgencyCode", &deadline.agency);
                out.leaf("TypeCode", &deadline.document);
                out.optional("ID", deadline.number.as_ref());
                out.leaf("TermCode", &deadline.term);
                out.leaf("ExpirationDateTime", deadline.at);
            });
        }
        for row in &report.applications {
            out.element("Application", |out| {
                out.leaf("AgencyCode", &row.agency);
                out.leaf("TypeCode", &row.document);
                out.optional("ID", row.number.as_ref());
                out.leaf("StateCode", &row.state);
                out.optional("DecideByDateTime", row.decide_by);
                out.optional("OverdueSinceDateTime", row.overdue_since);
                out.text("Remarks", row.remarks.as_deref());
            });
        }
        for claim in &report.claims {
            out.element("Claim", |out| {
                out.leaf("SequenceNumeric", claim.line);
                out.leaf("LawCode", &claim.law);
                out.leaf("ID", &claim.number);
                out.leaf("StateCode", if claim.verified { VERIFIED } else { UNVERIFIED });
                out.text("Remarks", Some(&claim.remarks));
            });
        }
        for event in &report.timeline {
            out.element("Event", |out| {
                out.leaf("DateTime", event.at);
                out.leaf("EventName", &event.event);
                out.text("Text", Some(&event.text));
            });
        }
    })
}

/// INF, from the gateway to its partners.
#[must_use]
pub fn write_system_notice(notice: &SystemNotice) -> String {
    DocumentWriter::write("GOVCBRINF", |out| {
        out.leaf("ID", &notice.number);
        out.leaf("IssueDateTime", notice.issued_at);
        out.additional_information(Some(&notice.text));
    })
}

/// A document that was refused, and why.
#[derive(Clone, Copy, Debug)]
pub struct RefusedDocument<'a> {
    /// Its own number, as far as it could be read.
    pub number: Option<&'a str>,
    /// Its code.
    pub code: &'a DocumentCode,
    /// The part of the message that it was.
    pub content_id: &'a ContentId,
    /// Everything that is wrong with it; one at least.
    pub findings: &'a [Finding],
}

/// R20, from the gateway to whoever sent the document: each finding with its position.
#[must_use]
pub fn write_validation_report(number: &str, issued_at: Timestamp, refused: RefusedDocument<'_>) -> String {
    DocumentWriter::write("GOVCBRR20", |out| {
        out.leaf("ID", number);
        out.leaf("IssueDateTime", issued_at);
        out.element("RefusedDocument", |out| {
            out.optional("ID", refused.number);
            out.leaf("TypeCode", refused.code);
            out.leaf("ContentID", refused.content_id);
        });
        for (sequence, finding) in (1..).zip(refused.findings) {
            let Finding { line, path, rule, message } = finding;
            out.element("Error", |out| {
                out.leaf("SequenceNumeric", sequence);
                out.optional("LineNumeric", Some(line).filter(|line| (1..=LINES_MAX).contains(*line)));
                out.text("Location", Some(path.as_str()));
                out.leaf("ValidationCode", rule);
                out.text("Description", Some(message.as_str()));
            });
        }
    })
}

/// The agency that answers, and its officer.
#[derive(Clone, Copy, Debug)]
pub struct Signatory<'a> {
    /// Name of the agency.
    pub agency: &'a str,
    /// Name of the officer.
    pub officer: Option<&'a str>,
}

/// A result of an agency that is called `Agency`; see [`write_result_by`].
///
/// # Panics
/// When its code is that of no result.
#[must_use]
pub fn write_result(catalogue: &Catalogue, result: &ResultDocument) -> String {
    write_result_by(catalogue, result, Signatory { agency: AGENCY, officer: None })
}

/// A result of this catalogue (FS7, X51 to X67, and others); a quantity without a unit is in kilograms.
///
/// # Panics
/// When its code is that of no result.
#[must_use]
pub fn write_result_by(catalogue: &Catalogue, result: &ResultDocument, by: Signatory<'_>) -> String {
    DocumentWriter::of(catalogue, result.code.as_str(), |out| {
        out.leaf("ID", &result.number);
        out.leaf("IssueDateTime", result.issued_at);
        out.element("Status", |out| out.leaf("NameCode", result.outcome.as_str()));
        out.authenticator(by);
        out.additional_information(result.remarks.as_deref());
        out.element("Declaration", |out| {
            out.optional("ID", result.application.as_ref());
            out.optional("EffectiveDateTime", result.valid_until);
            if let Some(applicant) = &result.applicant {
                out.element("Agent", |out| out.leaf("ID", applicant));
            }
            for item in &result.items {
                out.element("LPCO", |out| {
                    out.leaf("SequenceNumeric", item.sequence);
                    out.leaf("Outcome", item.outcome.as_str());
                    out.optional("ID", item.approval.as_ref());
                    for law in &item.laws {
                        out.leaf("LawCode", law);
                    }
                    out.measure("ApprovedQuantity", item.quantity, item.unit.as_deref().unwrap_or(KILOGRAM));
                    out.text("Reason", item.reason.as_deref());
                });
            }
        });
    })
}

/// A notice of an agency that is called `Agency`; see [`write_notice_by`].
///
/// # Panics
/// When its code is that of no notice.
#[must_use]
pub fn write_notice(notice: &NoticeDocument) -> String {
    write_notice_by(notice, Signatory { agency: AGENCY, officer: None })
}

/// A notice of an agency: RBG for an error, else RBH. An error without remarks
/// says that it is one. The application must be named, or the schema refuses it.
///
/// # Panics
/// When its code is that of no notice.
#[must_use]
pub fn write_notice_by(notice: &NoticeDocument, by: Signatory<'_>) -> String {
    let status = NOTICE_STATUSES.iter().find(|(_, kind)| *kind == notice.notice).map(|(code, _)| *code);
    DocumentWriter::write(notice.code.as_str(), |out| {
        out.leaf("ID", &notice.number);
        out.leaf("IssueDateTime", notice.issued_at);
        if let Some(status) = status {
            out.element("Status", |out| out.leaf("NameCode", status));
            out.optional("ExpirationDateTime", notice.deadline);
        }
        out.authenticator(by);
        out.element("Declaration", |out| {
            out.optional("ID", notice.application.as_ref());
            out.optional("FunctionalReferenceID", notice.acceptance_number.as_ref());
        });
        if notice.notice == NoticeKind::InspectionOrdered {
            out.element("Inspection", |out| out.leaf("TypeName", INSPECTION));
        }
        if status.is_some() {
            out.additional_information(notice.remarks.as_deref());
        } else {
            out.element("Error", |out| {
                out.leaf("SequenceNumeric", 1);
                out.text("Description", notice.remarks.as_deref().or(Some(ERROR)));
            });
        }
    })
}

/// A notice of customs. Where a status, a reason or a deadline is demanded and missing, it is the most harmless
/// one: 023 `12` waiting, 5FK and 5BG `01` received, 5GZ and R21 `99` other, 5GV `5` guidance, "No reason given", and the deadline of a supplement
/// is the time of issue.
///
/// # Panics
/// When its code is that of no notice of customs.
#[must_use]
pub fn write_customs_notice(notice: &CustomsNotice) -> String {
    let (status, remarks) = (notice.status.as_deref(), notice.remarks.as_deref());
    DocumentWriter::write(notice.code.as_str(), |out| {
        out.leaf("ID", &notice.number);
        out.leaf("IssueDateTime", notice.issued_at);
        out.element("Declaration", |out| out.leaf("ID", &notice.declaration));
        match notice.code.as_str() {
            "GOVCBR023" => out.element("Status", |out| out.leaf("NameCode", status.unwrap_or("12"))),
            "GOVCBR5FK" | "GOVCBR5BG" => {
                out.element("Status", |out| out.leaf("NameCode", status.unwrap_or("01")));
            }
            "GOVCBR5GZ" | "GOVCBRR21" => {
                out.element("Reason", |out| out.leaf("Code", status.unwrap_or("99")));
            }
            "GOVCBR5GV" => {
                out.leaf("SupplementKindCode", status.unwrap_or("5"));
                out.leaf("ExpirationDateTime", notice.issued_at);
                return out.text("Reason", remarks.or(Some(REASON)));
            }
            "GOVCBR5EN" => return out.text("Reason", remarks),
            "GOVCBR5EM" => out.element("Inspection", |out| out.leaf("TypeName", INSPECTION)),
            _ => {}
        }
        out.additional_information(remarks);
    })
}

/// An amendment (5FE) or a withdrawal (5BF). An amendment that names no sequence is the first, and says of one field
/// that it changed; a reason that is missing is `99` or "No reason given".
///
/// # Panics
/// When its code is that of neither.
#[must_use]
pub fn write_change(change: &DeclarationChange) -> String {
    let withdraws = change.code.as_str() == "GOVCBR5BF";
    DocumentWriter::write(change.code.as_str(), |out| {
        out.leaf("ID", &change.number);
        out.leaf("IssueDateTime", change.issued_at);
        out.element("Declaration", |out| out.leaf("ID", &change.declaration));
        if withdraws {
            return out.element("Reason", |out| {
                out.leaf("Code", change.reason.as_deref().unwrap_or("99"));
                out.text("Text", change.text.as_deref());
            });
        }
        out.leaf("SequenceNumeric", change.sequence.unwrap_or(1));
        out.element("Reason", |out| out.text("Text", change.text.as_deref().or(Some(REASON))));
        out.element("Amendment", |out| out.leaf("ItemCode", AMENDED_ITEM));
    })
}

/// A declaration (929), made at `issued_at`. Its declarant has the filer code that the number begins with; goods
/// are called by their HS code; an importer who is missing has the number `0`.
#[must_use]
pub fn write_declaration(declaration: &Declaration, issued_at: Timestamp) -> String {
    DocumentWriter::write("GOVCBR929", |out| {
        out.leaf("ID", &declaration.number);
        out.leaf("IssueDateTime", issued_at);
        out.leaf("FunctionCode", &declaration.function);
        out.leaf("DeclarationOfficeID", OFFICE);
        out.element("Agent", |out| {
            out.leaf("ID", declaration.number.get(..5).unwrap_or_default());
            out.leaf("Name", "Declarant");
        });
        out.element("Importer", |out| {
            out.leaf("ID", declaration.importer.as_deref().unwrap_or("0"));
            out.leaf("Name", "Importer");
        });
        for (number, kind) in declaration.bills.iter().zip([MASTER_BILL, HOUSE_BILL]) {
            out.element("TransportContractDocument", |out| {
                out.leaf("ID", number);
                out.leaf("TypeCode", kind);
            });
        }
        if let Some(cargo) = &declaration.cargo {
            out.element("Consignment", |out| out.element("UCR", |out| out.leaf("ID", cargo)));
        }
        out.optional("ExportationCountryCode", declaration.export_from);
        out.attachments(&declaration.attachments);
        out.leaf("GoodsItemQuantity", declaration.lines.len());
        for line in &declaration.lines {
            out.element("GovernmentAgencyGoodsItem", |out| write_line(out, line));
        }
    })
}

fn write_line(out: &mut DocumentWriter, line: &DeclarationLine) {
    out.leaf("SequenceNumeric", line.sequence);
    out.commodity(line.hs);
    if let Some(weight) = line.weight {
        out.element("GoodsMeasure", |out| {
            out.leaf("NetNetWeightMeasure", weight);
            if let Some(count) = &line.count {
                out.measure("CountQuantity", Some(count.value), &count.unit);
            }
        });
    }
    if let Some(origin) = line.origin {
        out.element("Origin", |out| out.leaf("CountryCode", origin));
    }
    out.optional("CustomsValueAmount", line.value);
    out.optional("UsageCode", line.usage.as_ref());
    for row in &line.requirements {
        out.element("AdditionalDocument", |out| {
            out.leaf("CategoryCode", 1);
            out.leaf("ID", &row.number);
            out.leaf("LawCode", &row.law);
            out.measure("UsedQuantity", row.quantity, row.unit.as_deref().unwrap_or(KILOGRAM));
        });
    }
    for row in &line.not_applicable {
        out.element("NotApplicableRequirement", |out| {
            out.leaf("LawCode", &row.law);
            out.leaf("ReasonCode", &row.reason);
            out.text("ReasonText", row.text.as_deref());
        });
    }
}

/// What an agency that a value does not name is called.
pub(super) const AGENCY: &str = "Agency";
const OFFICE: &str = "020";
const AMENDED_ITEM: &str = "L0000";
const MASTER_BILL: &str = "704";
const HOUSE_BILL: &str = "714";
const INSPECTION: &str = "Inspection";
const ERROR: &str = "Refused by the agency's own checks";
pub(super) const REASON: &str = "No reason given";
const KILOGRAM: &str = "KGM";
/// The last line that a report can name (`CountType` of `common-1.xsd`).
const LINES_MAX: u32 = 999_999;
