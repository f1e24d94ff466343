//! The XML of a document: its elements in order, texts for people cut to what the schema allows.

use std::fmt::Display;

use super::read::collapsed;
use super::write::{AGENCY, Signatory};
use crate::codec::catalogue::Catalogue;
use crate::codec::schema::DocumentType;
use crate::codec::xml::XmlWriter;
use crate::model::{ContentId, Decimal, HsCode, Money};

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
    pub(super) fn of(catalogue: &Catalogue, code: &str, content: impl FnOnce(&mut Self)) -> String {
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

    pub(super) fn additional_information(&mut self, text: Option<&str>) {
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

    pub(super) fn measure(&mut self, name: &str, quantity: Option<Decimal>, unit: &str) {
        if let Some(quantity) = quantity {
            self.new_line();
            self.xml.open(name).attribute("unitCode", unit).text(&quantity.to_string()).close(name);
        }
    }

    /// Goods that only their HS code is known of.
    pub(super) fn commodity(&mut self, hs: HsCode) {
        let listed = Catalogue::built_in().code_lists().get("hs").and_then(|list| list.meaning(hs.as_str()));
        self.element("Commodity", |out| {
            let name = listed.and_then(|name| cut(name, NAME_CHARS_MAX));
            out.leaf("CargoDescription", name.unwrap_or_else(|| format!("Goods of {hs}")));
            out.element("Classification", |out| out.leaf("ID", hs));
        });
    }

    pub(super) fn attachments(&mut self, attachments: &[ContentId]) {
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

/// Characters of a remark (`TextType` of `common-1.xsd`).
const TEXT_CHARS_MAX: usize = 1000;
/// Characters of a name (`NameType` of `common-1.xsd`).
const NAME_CHARS_MAX: usize = 100;
