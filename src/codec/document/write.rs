//! Values to documents: the gateway's own status report, and what practice partners and tests send.
//!
//! Promises: what is written is valid against its schema and reads back as the value, for every value that a
//! document can carry; texts for people are cut to the length that the schema allows and left out when empty.
//! What a schema demands and the value does not have is filled with plain stand-ins, named at each function.
//! Does not invent business content for documents that pass through: those are forwarded as octets (ruling 2).

use std::fmt::Display;

use super::read::{NOTICE_STATUSES, UNVERIFIED, VERIFIED, collapsed};
use crate::codec::catalogue::Catalogue;
use crate::codec::schema::DocumentType;
use crate::codec::xml::XmlWriter;
use crate::model::{
    ApplicationDocument, ContentId, CustomsNotice, Decimal, Declaration, DeclarationChange, DeclarationLine,
    DocumentCode, Finding, HsCode, Money, NoticeDocument, NoticeKind, Realm, ResultDocument, StatusReport,
    SystemNotice, Timestamp,
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

/// An application (FR2, X01 to X17), made at `issued_at` by the applicant with this business number. Every item
/// weighs one kilogram and has the plainest part of its agency; a cancellation without a reason gives "No reason given".
///
/// # Panics
/// When its code is that of no application.
#[must_use]
pub fn write_application(application: &ApplicationDocument, applicant: &str, issued_at: Timestamp) -> String {
    let code = application.code.as_str();
    DocumentWriter::write(code, |out| {
        if code == "GOVCBRFR2" {
            out.leaf("SubTypeCode", "DRUG");
        }
        out.leaf("ID", &application.number);
        out.leaf("IssueDateTime", issued_at);
        out.leaf("FunctionCode", &application.function);
        let untold = (&*application.function == "1").then_some(REASON);
        out.text("Reason", application.reason.as_deref().or(untold));
        out.leaf("LoadingListQuantity", application.items.len());
        out.element("Agent", |out| {
            out.leaf("ID", applicant);
            out.leaf("Name", "Applicant");
        });
        out.attachments(&application.attachments);
        for item in &application.items {
            out.element("LPCO", |out| {
                out.leaf("SequenceNumeric", item.sequence);
                out.commodity(item.hs);
                out.element("GoodsMeasure", |out| out.leaf("NetNetWeightMeasure", 1));
                out.element("DetailContents", |out| {
                    let of_agency = DETAILS.iter().find(|(document, _)| *document == code);
                    for detail in of_agency.map_or(&[][..], |(_, details)| *details) {
                        match detail {
                            Leaf(name, value) => out.leaf(name, value),
                            Element(name, within) => out.element(name, |out| {
                                within.iter().for_each(|(name, value)| out.leaf(name, value));
                            }),
                        }
                    }
                });
            });
        }
    })
}

/// An element of an agency's part: a text, or elements with texts in it.
enum Detail {
    Leaf(&'static str, &'static str),
    Element(&'static str, &'static [(&'static str, &'static str)]),
}

use Detail::{Element, Leaf};

/// What each agency's part of an item must have.
const DETAILS: [(&str, &[Detail]); 16] = [
    ("GOVCBRFR2", &[Leaf("BSEIndicator", "false")]),
    (
        "GOVCBRX01",
        &[
            Leaf("ProductClassCode", "PROCESSED"),
            Leaf("PurposeCode", "SALE"),
            Leaf("KoreanLabelIndicator", "true"),
        ],
    ),
    (
        "GOVCBRX02",
        &[
            Leaf("BotanicalName", "Plant"),
            Leaf("PlantPartCode", "WHOLE"),
            Leaf("ProductionCountryCode", "CN"),
        ],
    ),
    ("GOVCBRX03", &[Leaf("SpeciesName", "Animal"), Leaf("ConditionCode", "FROZEN")]),
    (
        "GOVCBRX04",
        &[Leaf("SpeciesName", "Fish"), Leaf("ConditionCode", "FROZEN"), Leaf("PurposeCode", "SALE")],
    ),
    ("GOVCBRX06", &[Leaf("LicenceID", "1"), Leaf("DeviceClassCode", "1"), Leaf("ModelName", "Device")]),
    (
        "GOVCBRX07",
        &[
            Leaf("LicenceID", "1"),
            Leaf("DeviceClassCode", "1"),
            Leaf("DentalKindCode", "INSTRUMENT"),
            Leaf("ModelName", "Device"),
        ],
    ),
    (
        "GOVCBRX08",
        &[
            Leaf("LicenceID", "1"),
            Leaf("TargetSpeciesName", "Animal"),
            Element("ActiveIngredient", &[("Name", "Ingredient")]),
            Leaf("GMPIndicator", "true"),
        ],
    ),
    (
        "GOVCBRX09",
        &[
            Leaf("CertificationKindCode", "CERTIFICATION"),
            Leaf("CertificateID", "1"),
            Leaf("ModelName", "Product"),
        ],
    ),
    (
        "GOVCBRX10",
        &[Leaf("CertificateID", "1"), Leaf("ProductClassCode", "OTHER"), Leaf("ModelName", "Product")],
    ),
    ("GOVCBRX11", &[Leaf("CertificateID", "1"), Leaf("ModelName", "Appliance")]),
    (
        "GOVCBRX12",
        &[
            Leaf("CertificateID", "1"),
            Leaf("ModelName", "Toy"),
            Leaf("AgeGroupCode", "FROM_3"),
            Leaf("SmallPartsIndicator", "false"),
            Leaf("MagnetIndicator", "false"),
        ],
    ),
    (
        "GOVCBRX14",
        &[
            Leaf("CertificateID", "1"),
            Leaf("ModelName", "Garment"),
            Element("Fibre", &[("Name", "Cotton"), ("ContentPercent", "100")]),
            Leaf("InfantIndicator", "false"),
        ],
    ),
    (
        "GOVCBRX15",
        &[Leaf("CertificateID", "1"), Leaf("ModelName", "Garment"), Leaf("MaterialCode", "LEATHER")],
    ),
    (
        "GOVCBRX16",
        &[
            Element(
                "Substance",
                &[
                    ("CASID", "7732-18-5"),
                    ("Name", "Water"),
                    ("ContentPercent", "100"),
                    ("ClassificationCode", "EXISTING"),
                ],
            ),
            Leaf("UsePurposeText", "Use"),
        ],
    ),
    (
        "GOVCBRX17",
        &[
            Leaf("PermitID", "1"),
            Leaf("SubstanceName", "Substance"),
            Leaf("AnnexGroupCode", "C1"),
            Leaf("PotentialNumeric", "0.055"),
            Leaf("SubstanceUseCode", "REFRIGERANT"),
        ],
    ),
];

/// What an agency that a value does not name is called.
const AGENCY: &str = "Agency";
const OFFICE: &str = "020";
const AMENDED_ITEM: &str = "L0000";
const MASTER_BILL: &str = "704";
const HOUSE_BILL: &str = "714";
const INSPECTION: &str = "Inspection";
const ERROR: &str = "Refused by the agency's own checks";
const REASON: &str = "No reason given";
const KILOGRAM: &str = "KGM";
/// The last line that a report can name (`CountType` of `common-1.xsd`).
const LINES_MAX: u32 = 999_999;
/// Characters of a remark (`TextType` of `common-1.xsd`).
const TEXT_CHARS_MAX: usize = 1000;
/// Characters of a name (`NameType` of `common-1.xsd`).
const NAME_CHARS_MAX: usize = 100;

/// Writes one document, an element a line, indented as people do.
pub(super) struct DocumentWriter {
    xml: XmlWriter,
    depth: usize,
}

impl DocumentWriter {
    /// The document with this code; `content` follows its TypeCode.
    pub(super) fn write(code: &str, content: impl FnOnce(&mut Self)) -> String {
        Self::of(Catalogue::built_in(), code, content)
    }

    /// The same, for a document that only this catalogue may know.
    fn of(catalogue: &Catalogue, code: &str, content: impl FnOnce(&mut Self)) -> String {
        let DocumentType { namespace, root, .. } = catalogue
            .of_code(code)
            .expect("a value has the code of a document that is read here: the reader gives no other");
        let mut out = Self { xml: XmlWriter::document(), depth: 1 };
        out.xml.open(root).attribute("xmlns", namespace);
        out.leaf("TypeCode", code);
        content(&mut out);
        out.xml.raw("\n").close(root).raw("\n");
        out.xml.finish()
    }

    pub(super) fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.new_line();
        self.xml.open(name);
        self.depth += 1;
        content(self);
        self.depth -= 1;
        self.new_line();
        self.xml.close(name);
    }

    pub(super) fn leaf(&mut self, name: &str, value: impl Display) {
        self.new_line();
        self.xml.leaf(name, &value.to_string());
    }

    pub(super) fn optional(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.leaf(name, value);
        }
    }

    /// A text for people.
    pub(super) fn text(&mut self, name: &str, text: Option<&str>) {
        self.optional(name, text.and_then(|text| cut(text, TEXT_CHARS_MAX)));
    }

    pub(super) fn authenticator(&mut self, by: Signatory<'_>) {
        self.element("Authenticator", |out| {
            out.name(by.agency);
            if let Some(officer) = by.officer.and_then(|officer| cut(officer, NAME_CHARS_MAX)) {
                out.element("Officer", |out| out.leaf("Name", officer));
            }
        });
    }

    fn additional_information(&mut self, text: Option<&str>) {
        if let Some(text) = text.and_then(|text| cut(text, TEXT_CHARS_MAX)) {
            self.element("AdditionalInformation", |out| out.leaf("Content", text));
        }
    }

    pub(super) fn amount(&mut self, name: &str, price: &Money) {
        self.new_line();
        let (currency, amount) = (price.currency.as_str(), price.amount.to_string());
        self.xml.open(name).attribute("currencyID", currency).text(&amount).close(name);
    }

    /// A name; one that is empty is that of nobody we know.
    pub(super) fn name(&mut self, name: &str) {
        self.leaf("Name", cut(name, NAME_CHARS_MAX).unwrap_or_else(|| AGENCY.to_owned()));
    }

    fn measure(&mut self, name: &str, quantity: Option<Decimal>, unit: &str) {
        if let Some(quantity) = quantity {
            self.new_line();
            self.xml.open(name).attribute("unitCode", unit).text(&quantity.to_string()).close(name);
        }
    }

    /// Goods that only their HS code is known of.
    fn commodity(&mut self, hs: HsCode) {
        let listed = Catalogue::built_in().code_lists().get("hs").and_then(|list| list.meaning(hs.as_str()));
        self.element("Commodity", |out| {
            let name = listed.and_then(|name| cut(name, NAME_CHARS_MAX));
            out.leaf("CargoDescription", name.unwrap_or_else(|| format!("Goods of {hs}")));
            out.element("Classification", |out| out.leaf("ID", hs));
        });
    }

    fn attachments(&mut self, attachments: &[ContentId]) {
        for content_id in attachments {
            self.element("AttachedDocument", |out| out.leaf("ContentID", content_id));
        }
    }

    fn new_line(&mut self) {
        self.xml.raw("\n").raw(&"  ".repeat(self.depth));
    }
}

/// A text as a document carries it; none when nothing is left of it.
fn cut(text: &str, chars_max: usize) -> Option<String> {
    let cut: String = collapsed(text).chars().take(chars_max).collect();
    let cut = cut.trim_end_matches(' ');
    (!cut.is_empty()).then(|| cut.to_owned())
}
