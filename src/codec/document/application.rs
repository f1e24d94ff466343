//! An application as practice partners and tests send it: the plainest one that its schema allows.

use super::write::REASON;
use super::writer::DocumentWriter;
use crate::model::{ApplicationDocument, Timestamp};

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
