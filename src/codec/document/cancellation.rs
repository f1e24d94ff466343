//! The request to cancel an application, made from the application itself (domain brief, 5.2; ruling 2).
//!
//! Promises: the applicant's own document with FunctionCode 1, and in it nothing that the broker did not write: the
//! reason and the time are those of the request that it follows from; only the items to cancel are left, counted
//! anew; attachments are no longer named, as none travels. It is valid against the schema that the application is
//! valid against. Elements are in the document's namespace and attributes in none, as every schema here has it.

use super::read::{text_at, token};
use super::{finding_of_xml, parse};
use crate::codec::xml::{Element, XmlWriter};
use crate::model::Timestamp;

/// What turns an application into the request to cancel it.
#[derive(Clone, Copy, Debug)]
pub struct CancellationTerms<'a> {
    /// When the broker wanted it.
    pub issued_at: Timestamp,
    /// Why, in words.
    pub reason: &'a str,
    /// The items to cancel, by their number; none are all.
    pub items: &'a [u16],
}

/// The request to cancel these items of an application.
///
/// # Errors
/// Why the octets cannot be read: they are no application.
pub fn write_cancellation(application: &[u8], terms: CancellationTerms<'_>) -> Result<String, String> {
    let tree = parse(application).map_err(|error| finding_of_xml(&error).to_string())?;
    let root = tree.root();
    let (namespace, local) = root.name();
    if !root.children().any(|child| is_item_of(child, terms.items)) {
        return Err("the application has none of the items to cancel".to_owned());
    }
    let mut xml = XmlWriter::document();
    xml.open(local).attribute("xmlns", namespace);
    let items = root.children().filter(|child| is_item_of(*child, terms.items)).count();
    for child in root.children() {
        match child.name().1 {
            "IssueDateTime" => leaf(&mut xml, "IssueDateTime", &terms.issued_at.to_string()),
            "FunctionCode" => {
                leaf(&mut xml, "FunctionCode", CANCELLATION);
                leaf(&mut xml, "Reason", terms.reason);
            }
            "LoadingListQuantity" => leaf(&mut xml, "LoadingListQuantity", &items.to_string()),
            "Reason" | "AttachedDocument" => {}
            ITEM if !is_item_of(child, terms.items) => {}
            _ => copy(&mut xml, child),
        }
    }
    xml.raw("\n").close(local).raw("\n");
    Ok(xml.finish())
}

/// FunctionCode (UN/EDIFACT 1225) of a cancellation.
const CANCELLATION: &str = "1";
const ITEM: &str = "LPCO";

fn is_item_of(element: Element<'_>, items: &[u16]) -> bool {
    let number = text_at(element, "SequenceNumeric").and_then(|number| number.parse().ok());
    element.name().1 == ITEM && (items.is_empty() || number.is_some_and(|number| items.contains(&number)))
}

fn leaf(xml: &mut XmlWriter, name: &str, text: &str) {
    xml.raw("\n").leaf(name, text);
}

/// An element as it is, with all that is in it.
fn copy(xml: &mut XmlWriter, element: Element<'_>) {
    let name = element.name().1;
    xml.raw("\n").open(name);
    for attribute in element.attributes().filter(|attribute| attribute.namespace.is_empty()) {
        xml.attribute(attribute.local, attribute.value);
    }
    if element.children().next().is_none() {
        xml.text(&token(element)).close(name);
        return;
    }
    for child in element.children() {
        copy(xml, child);
    }
    xml.raw("\n").close(name);
}
