//! What the schemas say beyond the form of a value: which code list it is checked against, and in words what
//! it means. Read once per document type from its XSD file and the two files of parts that all share.
//!
//! Promises: the schema is the only place that says which list an element or attribute belongs to; findings
//! come in document order. Reads the kind of schema that ours are (`schemas/common-1.xsd` says how they are
//! written), not XML Schema at large: one namespace, no recursion, types of `common-1.xsd` by the prefix `c`.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::code_lists::CodeLists;
use super::xml::{Element, XmlLimits, XmlTree};
use crate::ffi::{FINDINGS_MAX, SchemaFiles};
use crate::model::Finding;

const XS: &str = "http://www.w3.org/2001/XMLSchema";
const CODE_LIST_SOURCE: &str = "urn:swgw:code-list";

/// The elements of a document type, as a tree by name; the first is the root.
#[derive(Debug)]
pub(super) struct Shape {
    /// Namespace and local name of the root.
    root: (String, String),
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
    /// The place of its code list.
    list: Option<usize>,
    meaning: String,
}

impl Shape {
    /// Reads the schema `entry` of a document type, with the parts and common types that it uses.
    ///
    /// # Errors
    /// Why it is not of the kind that is read here.
    pub(super) fn read(entry: &str, files: &SchemaFiles, lists: &CodeLists) -> Result<Self, String> {
        let parse = |name: &str| {
            let octets = files.get(name).ok_or_else(|| format!("{name} is missing"))?;
            XmlTree::parse(octets.clone(), &XmlLimits::DOCUMENT).map_err(|error| error.to_string())
        };
        let (file, parts, common) = (parse(entry)?, parse(PARTS)?, parse(COMMON)?);
        let definitions = Definitions::of(&[("", &file), ("", &parts), ("c:", &common)], lists);
        let root = file.root().child(XS, "element").ok_or("it declares no root element")?;
        let namespace = file.root().attribute("", "targetNamespace").unwrap_or_default().to_owned();
        let name = root.attribute("", "name").unwrap_or_default().to_owned();
        let mut shape = Self { root: (namespace, name), nodes: Vec::new() };
        shape.add_element(&definitions, root, 0)?;
        Ok(shape)
    }

    /// Namespace and local name of the root.
    pub(super) fn root(&self) -> (&str, &str) {
        (&self.root.0, &self.root.1)
    }

    /// Whether the schema has an element at this path below the root.
    pub(super) fn has(&self, path: &str) -> bool {
        let step = |node: Option<&Node>, step| node?.children.get(step).map(|index| &self.nodes[*index]);
        path.split('/').fold(self.nodes.first(), step).is_some()
    }

    /// Adds a finding for each code that its list does not know, until there are as many as are ever told.
    pub(super) fn check_codes(
        &self,
        root: Element<'_>,
        lists: &CodeLists,
        day: Date,
        findings: &mut Vec<Finding>,
    ) {
        let refusal = |list: Option<usize>, code: &str, line: u32, path: &dyn Fn() -> String| {
            let code = code.trim_matches(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
            let (rule, message) = lists.refusal(list?, code, day)?;
            Some(Finding { line, path: path(), rule, message })
        };
        let mut open = vec![(root, 0)];
        while findings.len() < FINDINGS_MAX
            && let Some((element, index)) = open.pop()
        {
            let node = &self.nodes[index];
            let at = |attribute: Option<&str>| match attribute {
                Some(name) => format!("{}/@{name}", element.path()),
                None => element.path(),
            };
            if node.value.list.is_some() {
                findings.extend(refusal(node.value.list, &element.text(), element.line(), &|| at(None)));
            }
            for attribute in element.attributes() {
                let list = node.attributes.get(attribute.local).and_then(|value| value.list);
                let at = || at(Some(attribute.local));
                findings.extend(refusal(list, attribute.value, element.line(), &at));
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

    fn add_element(
        &mut self,
        definitions: &Definitions<'_>,
        element: Element<'_>,
        depth: usize,
    ) -> Result<usize, String> {
        if depth > DEPTH_MAX || self.nodes.len() >= NODES_MAX {
            return Err(format!("its elements nest deeper than {DEPTH_MAX}, or are more than {NODES_MAX}"));
        }
        let index = self.nodes.len();
        self.nodes.push(Node::default());
        let named = element.attribute("", "type").and_then(|name| definitions.types.get(name)).copied();
        let inline = element.child(XS, "simpleType").or_else(|| element.child(XS, "complexType"));
        if let Some(definition) = named.or(inline) {
            let mut node = Node { value: definitions.value(definition)?, ..Node::default() };
            if inline.is_some() && node.value.meaning.is_empty() {
                node.value.meaning = meaning(element);
            }
            node.attributes = definitions.attributes(definition)?;
            for child in definitions.child_elements(definition) {
                let name = child.attribute("", "name").unwrap_or_default().to_owned();
                node.children.insert(name, self.add_element(definitions, child, depth + 1)?);
            }
            self.nodes[index] = node;
        }
        Ok(index)
    }
}

/// The file of elements that documents share, and that of types.
const PARTS: &str = "parts-1.xsd";
const COMMON: &str = "common-1.xsd";
/// Elements inside each other, and all of them: what ours have many times over.
const DEPTH_MAX: usize = 32;
const NODES_MAX: usize = 10_000;

/// Named types and groups, by the name that a reference uses.
struct Definitions<'a> {
    types: BTreeMap<String, Element<'a>>,
    groups: BTreeMap<String, Element<'a>>,
    lists: &'a CodeLists,
}

impl<'a> Definitions<'a> {
    fn of(schemas: &[(&str, &'a XmlTree)], lists: &'a CodeLists) -> Self {
        let mut found = Self { types: BTreeMap::new(), groups: BTreeMap::new(), lists };
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
    fn value(&self, definition: Element<'a>) -> Result<Value, String> {
        let base = derivation(definition)
            .and_then(|derived| derived.attribute("", "base"))
            .and_then(|base| self.types.get(base));
        let inherited = base.map_or(Ok(Value::default()), |base| self.value(*base))?;
        let own_meaning = meaning(definition);
        Ok(Value {
            list: annotated_list(definition, self.lists)?.or(inherited.list),
            meaning: if own_meaning.is_empty() { inherited.meaning } else { own_meaning },
        })
    }

    fn attributes(&self, definition: Element<'a>) -> Result<BTreeMap<String, Value>, String> {
        let declaring = derivation(definition).unwrap_or(definition);
        let of_name = |attribute: Element<'a>| {
            let name = attribute.attribute("", "name")?.to_owned();
            let definition = self.types.get(attribute.attribute("", "type")?)?;
            Some(self.value(*definition).map(|value| (name, value)))
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

/// The place of the code list that an annotation names.
fn annotated_list(definition: Element<'_>, lists: &CodeLists) -> Result<Option<usize>, String> {
    let named = definition.child(XS, "annotation").and_then(|annotation| {
        annotation
            .children()
            .find(|note| note.is(XS, "appinfo") && note.attribute("", "source") == Some(CODE_LIST_SOURCE))
    });
    let place = |note: Element<'_>| {
        let text = note.text();
        lists.place(text.trim()).ok_or_else(|| format!("there is no code list {}", text.trim()))
    };
    named.map(place).transpose()
}

/// What an annotation says first: up to the first full stop.
fn meaning(definition: Element<'_>) -> String {
    let documentation = definition.child(XS, "annotation").and_then(|a| a.child(XS, "documentation"));
    let text = documentation.map(|d| d.text()).unwrap_or_default();
    text.split(". ").next().unwrap_or_default().trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::catalogue::Catalogue;
    use super::*;

    fn declaration() -> &'static Shape {
        let catalogue = Catalogue::built_in();
        let declaration = catalogue.of_code("GOVCBR929").expect("the declaration is known");
        declaration.compiled.shape(catalogue.code_lists()).expect("is read")
    }

    fn codes(document: &str) -> Vec<(u32, String, String)> {
        let tree = XmlTree::parse(Bytes::copy_from_slice(document.as_bytes()), &XmlLimits::DOCUMENT)
            .expect("the document of the test is well-formed");
        let (mut findings, lists) = (Vec::new(), Catalogue::built_in().code_lists());
        declaration().check_codes(tree.root(), lists, "2009-12-01".parse().expect("a day"), &mut findings);
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
        let shape = declaration();
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
