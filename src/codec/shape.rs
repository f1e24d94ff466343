//! What the schemas say beyond the form of a value: which code list it is checked against, and in words what
//! it means. Read once per document type from the embedded XSD files.
//!
//! Promises: the schema is the only place that says which list an element or attribute belongs to; findings
//! come in document order. Reads the kind of schema that ours are (`schemas/common-1.xsd` says how they are
//! written), not XML Schema at large: one namespace, no recursion, types of `common-1.xsd` by the prefix `c`.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::code_lists::{CodeList, code_list};
use super::xml::{Element, XmlLimits, XmlTree};
use crate::ffi::FINDINGS_MAX;
use crate::model::Finding;

const XS: &str = "http://www.w3.org/2001/XMLSchema";
const CODE_LIST_SOURCE: &str = "urn:swgw:code-list";

/// The elements of a document type, as a tree by name; the first is the root.
#[derive(Debug)]
pub(super) struct Shape {
    nodes: Vec<Node>,
}

/// What is known of an element or of its text.
#[derive(Debug, Default)]
struct Node {
    value: Value,
    attributes: BTreeMap<String, Value>,
    children: BTreeMap<String, usize>,
}

/// What is known of a text.
#[derive(Clone, Debug, Default)]
struct Value {
    list: Option<&'static CodeList>,
    meaning: String,
}

impl Shape {
    /// Reads the schema `file` of a document type, with the parts and common types that it uses.
    pub(super) fn read(file: &[u8], parts: &[u8], common: &[u8]) -> Self {
        let [file, parts, common] = [file, parts, common].map(|octets| {
            XmlTree::parse(Bytes::copy_from_slice(octets), &XmlLimits::DOCUMENT)
                .expect("embedded schemas are well-formed; a test reads each of them")
        });
        let definitions = Definitions::of(&[("", &file), ("", &parts), ("c:", &common)]);
        let mut shape = Self { nodes: Vec::new() };
        let root = file.root().child(XS, "element").expect("a document's schema declares its root element");
        shape.add_element(&definitions, root);
        shape
    }

    /// Adds a finding for each code that its list does not know, until there are as many as are ever told.
    pub(super) fn check_codes(&self, root: Element<'_>, findings: &mut Vec<Finding>) {
        let mut open = vec![(root, 0)];
        while findings.len() < FINDINGS_MAX
            && let Some((element, index)) = open.pop()
        {
            let node = &self.nodes[index];
            let at = |attribute: Option<&str>| match attribute {
                Some(name) => format!("{}/@{name}", element.path()),
                None => element.path(),
            };
            if let Some(list) = node.value.list {
                findings.extend(refusal(list, &element.text(), element.line(), || at(None)));
            }
            for attribute in element.attributes() {
                let list = node.attributes.get(attribute.local).and_then(|value| value.list);
                let name = Some(attribute.local);
                findings.extend(list.and_then(|l| refusal(l, attribute.value, element.line(), || at(name))));
            }
            let before = open.len();
            open.extend(
                element.children().filter_map(|child| Some((child, *node.children.get(child.name().1)?))),
            );
            open[before..].reverse();
        }
    }

    /// What the schema says in words of the value at this path, which may have indexes.
    pub(super) fn meaning(&self, path: &str) -> Option<&str> {
        let mut steps = path.split('/').skip(2);
        let mut node = &self.nodes[0];
        let value = loop {
            match steps.next().map(|step| step.split('[').next().unwrap_or(step)) {
                None => break &node.value,
                Some(step) => match step.strip_prefix('@') {
                    Some(attribute) => break node.attributes.get(attribute)?,
                    None => node = &self.nodes[*node.children.get(step)?],
                },
            }
        };
        Some(value.meaning.as_str()).filter(|meaning| !meaning.is_empty())
    }

    fn add_element(&mut self, definitions: &Definitions<'_>, element: Element<'_>) -> usize {
        let index = self.nodes.len();
        self.nodes.push(Node::default());
        let named = element.attribute("", "type").and_then(|name| definitions.types.get(name)).copied();
        let inline = element.child(XS, "simpleType").or_else(|| element.child(XS, "complexType"));
        if let Some(definition) = named.or(inline) {
            let mut node = Node { value: definitions.value(definition), ..Node::default() };
            if inline.is_some() && node.value.meaning.is_empty() {
                node.value.meaning = meaning(element);
            }
            node.attributes = definitions.attributes(definition);
            for child in definitions.child_elements(definition) {
                let name = child.attribute("", "name").unwrap_or_default().to_owned();
                node.children.insert(name, self.add_element(definitions, child));
            }
            self.nodes[index] = node;
        }
        index
    }
}

/// The finding for a code that its list does not know.
fn refusal(list: &CodeList, code: &str, line: u32, path: impl Fn() -> String) -> Option<Finding> {
    let code = code.trim_matches(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
    (!list.accepts(code)).then(|| Finding {
        line,
        path: path(),
        rule: format!("code-list:{}", list.name),
        message: list.refusal(code),
    })
}

/// Named types and groups, by the name that a reference uses.
struct Definitions<'a> {
    types: BTreeMap<String, Element<'a>>,
    groups: BTreeMap<String, Element<'a>>,
}

impl<'a> Definitions<'a> {
    fn of(schemas: &[(&str, &'a XmlTree)]) -> Self {
        let mut found = Self { types: BTreeMap::new(), groups: BTreeMap::new() };
        for (prefix, tree) in schemas {
            for definition in tree.root().children() {
                let name = format!("{prefix}{}", definition.attribute("", "name").unwrap_or_default());
                match definition.name() {
                    (XS, "simpleType" | "complexType") => found.types.insert(name, definition),
                    (XS, "group") => found.groups.insert(name, definition),
                    _ => None,
                };
            }
        }
        found
    }

    /// Code list and meaning of a type's text: its own, else those of the type that it derives from.
    fn value(&self, definition: Element<'a>) -> Value {
        let inherited = derivation(definition)
            .and_then(|derived| derived.attribute("", "base"))
            .and_then(|base| self.types.get(base))
            .map(|base| self.value(*base))
            .unwrap_or_default();
        let own_meaning = meaning(definition);
        Value {
            list: annotated_list(definition).or(inherited.list),
            meaning: if own_meaning.is_empty() { inherited.meaning } else { own_meaning },
        }
    }

    fn attributes(&self, definition: Element<'a>) -> BTreeMap<String, Value> {
        let declaring = derivation(definition).unwrap_or(definition);
        let of_name = |attribute: Element<'a>| {
            let name = attribute.attribute("", "name")?.to_owned();
            let definition = self.types.get(attribute.attribute("", "type")?)?;
            Some((name, self.value(*definition)))
        };
        declaring.children().filter(|child| child.is(XS, "attribute")).filter_map(of_name).collect()
    }

    /// The element declarations in a complex type, those of its groups included.
    fn child_elements(&self, definition: Element<'a>) -> Vec<Element<'a>> {
        let (mut found, mut open) = (Vec::new(), vec![definition]);
        while let Some(element) = open.pop() {
            match element.name() {
                (XS, "element") => found.push(element),
                (XS, "group") if element.attribute("", "ref").is_some() => {
                    open.extend(element.attribute("", "ref").and_then(|name| self.groups.get(name)));
                }
                (XS, "complexType" | "group" | "sequence" | "choice") => open.extend(element.children()),
                _ => {}
            }
        }
        found
    }
}

/// The restriction or extension in a type.
fn derivation(definition: Element<'_>) -> Option<Element<'_>> {
    let content = definition.child(XS, "simpleContent").unwrap_or(definition);
    content.child(XS, "restriction").or_else(|| content.child(XS, "extension"))
}

/// The code list that an annotation names.
fn annotated_list(definition: Element<'_>) -> Option<&'static CodeList> {
    let annotation = definition.child(XS, "annotation")?;
    let named = annotation
        .children()
        .find(|note| note.is(XS, "appinfo") && note.attribute("", "source") == Some(CODE_LIST_SOURCE))?;
    Some(code_list(named.text().trim()).expect("a schema names code lists that are there; a test reads all"))
}

/// What an annotation says first: up to the first full stop.
fn meaning(definition: Element<'_>) -> String {
    let documentation = definition.child(XS, "annotation").and_then(|a| a.child(XS, "documentation"));
    let text = documentation.map(|d| d.text()).unwrap_or_default();
    text.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::schema::document_type_of_code;
    use super::*;

    fn codes(document: &str) -> Vec<(u32, String, String)> {
        let tree = XmlTree::parse(Bytes::copy_from_slice(document.as_bytes()), &XmlLimits::DOCUMENT)
            .expect("the document of the test is well-formed");
        let mut findings = Vec::new();
        let shape = document_type_of_code("GOVCBR929").expect("the declaration is known").shape();
        shape.check_codes(tree.root(), &mut findings);
        findings.into_iter().map(|f| (f.line, f.path, f.rule)).collect()
    }

    #[test]
    fn elements_and_attributes_are_checked_in_document_order() {
        let found = codes(
            "<Declaration>\n<ExportationCountryCode>QQ</ExportationCountryCode>\n\
             <TotalPackageQuantity unitCode='QQ'/>\n<GovernmentAgencyGoodsItem/>\n\
             <GovernmentAgencyGoodsItem><Commodity><Classification><ID> 7700000000 </ID>\n\
             </Classification></Commodity><UsageCode>SALE</UsageCode><Unknown>QQ</Unknown>\n\
             </GovernmentAgencyGoodsItem></Declaration>",
        );
        let expected = [
            (2, "/Declaration/ExportationCountryCode", "code-list:country"),
            (3, "/Declaration/TotalPackageQuantity/@unitCode", "code-list:package"),
            (5, "/Declaration/GovernmentAgencyGoodsItem[2]/Commodity/Classification/ID", "code-list:hs"),
        ];
        assert_eq!(found, expected.map(|(line, path, rule)| (line, path.to_owned(), rule.to_owned())));
    }

    #[test]
    fn meanings_are_those_of_the_schema() {
        let shape = document_type_of_code("GOVCBR929").expect("the declaration is known").shape();
        fn check(shape: &Shape, path: &str, expected: Option<&str>) {
            assert_eq!(shape.meaning(path), expected, "{path}");
        }
        check(
            shape,
            "/Declaration/GovernmentAgencyGoodsItem[2]/Commodity/Classification/ID",
            Some(
                "HS code (세번부호) of a declaration line: 10 digits without dots; the first 6 are the World \
                 Customs Organization's, the last 4 national",
            ),
        );
        check(shape, "/Declaration/TradeTerms/InvoiceAmount/@currencyID", Some("Currency: ISO 4217"));
        check(shape, "/Declaration/Nothing", None);
    }
}
