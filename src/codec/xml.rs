//! XML read once into one bounded tree, which every later reader shares (promises-and-threats 2.1).
//!
//! Promises: a document is accepted whole or refused with its line; nothing outside its octets is ever opened;
//! there is no DTD, no entity beyond the five built-in ones and no processing instruction; nothing recurses on
//! depth; and the tree keeps what Canonical XML 1.0 needs, so that [`super::canonical`] is exact. Comments are
//! dropped and the text around them is one value again (S2, digest 8.5 f); an element knows that it had one.
//!
//! Does not: validate against a schema, keep comments, or read XML 1.1 or encodings other than UTF-8 and UTF-16.
//! Implements XML 1.0 (fifth edition) without DTD, and Namespaces in XML 1.0.

mod decode;
mod parse;
mod write;

use std::borrow::Cow;
use std::fmt::Write as _;

use bytes::Bytes;

pub use write::{XmlWriter, is_xml_char};

/// Bounds of one document; what lies past a bound is refused before it is read further (S6, S8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XmlLimits {
    /// Octets of the document.
    pub bytes_max: usize,
    /// Open elements at any place.
    pub depth_max: usize,
    /// Elements and texts together.
    pub nodes_max: usize,
    /// Attributes of one element, namespace declarations included.
    pub attributes_max: usize,
    /// Namespace declarations in scope at any place.
    pub namespaces_max: usize,
    /// Octets of one element or attribute name.
    pub name_bytes_max: usize,
}

impl XmlLimits {
    /// For a SOAP envelope.
    pub const ENVELOPE: Self = Self {
        bytes_max: 1 << 20,
        depth_max: 64,
        nodes_max: 50_000,
        attributes_max: 128,
        namespaces_max: 128,
        name_bytes_max: 512,
    };

    /// For a business document.
    pub const DOCUMENT: Self = Self { bytes_max: 16 << 20, nodes_max: 500_000, ..Self::ENVELOPE };
}

impl Default for XmlLimits {
    fn default() -> Self {
        Self::ENVELOPE
    }
}

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// A bound of [`XmlLimits`] is passed.
    #[error("line {line}: more than {limit} {what}")]
    TooMuch {
        /// Line, from 1; 0 for the document as a whole.
        line: u32,
        /// What there is too much of.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// The octets are no text in the encoding that they claim.
    #[error("not {expected}: {found}")]
    Encoding {
        /// What the octets should be.
        expected: &'static str,
        /// What they are.
        found: String,
    },
    /// A DOCTYPE; refused whatever it says (S7).
    #[error("line {line}: a DOCTYPE is not allowed")]
    Doctype {
        /// Line, from 1.
        line: u32,
    },
    /// A processing instruction (SOAP 1.1, section 3).
    #[error("line {line}: a processing instruction is not allowed")]
    ProcessingInstruction {
        /// Line, from 1.
        line: u32,
    },
    /// A rule of XML 1.0 is broken.
    #[error("line {line}: {fault}")]
    NotWellFormed {
        /// Line, from 1.
        line: u32,
        /// Which one.
        fault: String,
    },
    /// A rule of Namespaces in XML is broken, or a namespace name is one that signers disagree about.
    #[error("line {line}: {fault}")]
    Namespace {
        /// Line, from 1.
        line: u32,
        /// Which one.
        fault: String,
    },
}

/// What a document's octets are encoded in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8, every octet of which is ASCII.
    Ascii,
    /// UTF-8.
    Utf8,
    /// UTF-16 with a byte order mark.
    Utf16,
}

/// A document: an arena of nodes in document order. Every text is a span of one string.
#[derive(Clone, Debug)]
pub struct XmlTree {
    text: String,
    nodes: Vec<Node>,
    attributes: Vec<AttributeNode>,
    declarations: Vec<Declaration>,
    encoding: Encoding,
    /// A comment stood anywhere, also around the root.
    commented: bool,
}

/// Names a node of one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(u32);

/// A span of [`XmlTree::text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    const EMPTY: Self = Self { start: 0, end: 0 };
}

#[derive(Clone, Debug)]
struct Node {
    /// The element around it; the root names itself.
    parent: u32,
    /// One past its last descendant: also where its next sibling is, if it has one.
    end: u32,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Text {
        span: Span,
        /// Canonical form writes some of its characters as references.
        escape: bool,
    },
    Element(ElementNode),
}

#[derive(Clone, Debug)]
struct ElementNode {
    name: QualifiedName,
    /// Sorted as canonical form wants them: by namespace name, then by local name.
    attributes: (u32, u32),
    /// Those that change what is in scope, sorted by prefix.
    declarations: (u32, u32),
    /// A comment stood directly in it.
    commented: bool,
    line: u32,
}

/// A name as written, where its local part begins, and the namespace it is in.
#[derive(Clone, Copy, Debug)]
struct QualifiedName {
    written: Span,
    local_start: u32,
    namespace: Span,
}

#[derive(Clone, Debug)]
struct AttributeNode {
    name: QualifiedName,
    value: Span,
    escape: bool,
}

#[derive(Clone, Copy, Debug)]
struct Declaration {
    prefix: Span,
    uri: Span,
}

impl XmlTree {
    /// Reads a document.
    ///
    /// # Errors
    /// [`XmlError`] when it passes a limit, is not well-formed, or holds what is never accepted.
    pub fn parse(bytes: Bytes, limits: &XmlLimits) -> Result<Self, XmlError> {
        parse::parse(&bytes, limits)
    }

    /// The root element.
    #[must_use]
    pub fn root(&self) -> Element<'_> {
        Element { tree: self, id: 0 }
    }

    /// The element with this id, when it is one.
    #[must_use]
    pub fn element(&self, id: NodeId) -> Option<Element<'_>> {
        match self.nodes.get(id.0 as usize)?.content {
            Content::Element(_) => Some(Element { tree: self, id: id.0 }),
            Content::Text { .. } => None,
        }
    }

    /// What its octets were encoded in.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Whether a comment stood anywhere in the document, also around its root.
    #[must_use]
    pub const fn has_comment(&self) -> bool {
        self.commented
    }

    fn str(&self, span: Span) -> &str {
        self.text
            .get(span.start as usize..span.end as usize)
            .expect("a span begins and ends at characters that the parser copied whole")
    }
}

/// An element of a tree.
#[derive(Clone, Copy)]
pub struct Element<'a> {
    tree: &'a XmlTree,
    id: u32,
}

impl<'a> Element<'a> {
    /// Its id in the tree.
    #[must_use]
    pub const fn id(self) -> NodeId {
        NodeId(self.id)
    }

    /// Namespace name, empty when it is in none, and local name.
    #[must_use]
    pub fn name(self) -> (&'a str, &'a str) {
        self.tree.expanded(self.node().name)
    }

    /// The name as written, with its prefix.
    #[must_use]
    pub fn written_name(self) -> &'a str {
        self.tree.str(self.node().name.written)
    }

    /// Whether this is its namespace and local name.
    #[must_use]
    pub fn is(self, namespace: &str, local: &str) -> bool {
        self.name() == (namespace, local)
    }

    /// The value of an attribute; an attribute without prefix is in the namespace `""`.
    #[must_use]
    pub fn attribute(self, namespace: &str, local: &str) -> Option<&'a str> {
        self.attributes().find(|a| a.local == local && a.namespace == namespace).map(|a| a.value)
    }

    /// Its attributes, sorted by namespace and local name; namespace declarations are none.
    pub fn attributes(self) -> impl Iterator<Item = Attribute<'a>> {
        let tree = self.tree;
        self.attribute_nodes().iter().map(move |node| {
            let (namespace, local) = tree.expanded(node.name);
            Attribute { namespace, local, value: tree.str(node.value) }
        })
    }

    /// Its child elements in order.
    #[must_use]
    pub const fn children(self) -> Children<'a> {
        Children { tree: self.tree, next: self.id + 1, end: self.end() }
    }

    /// Its first child element with this name.
    #[must_use]
    pub fn child(self, namespace: &str, local: &str) -> Option<Self> {
        self.children().find(|child| child.is(namespace, local))
    }

    /// Its string value: all text in it and in its descendants, in order.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        let mut texts = self.texts().filter(|text| !text.is_empty());
        match (texts.next(), texts.next()) {
            (None, _) => Cow::Borrowed(""),
            (Some(only), None) => Cow::Borrowed(only),
            (Some(first), Some(second)) => {
                let mut value = [first, second].concat();
                value.extend(texts);
                Cow::Owned(value)
            }
        }
    }

    /// Whether text other than white space stands directly in it.
    #[must_use]
    pub fn has_own_text(self) -> bool {
        let mut next = self.id + 1;
        while next < self.end() {
            let node = self.tree.node(next);
            if let Content::Text { span, .. } = node.content
                && !self.tree.str(span).bytes().all(is_white_space)
            {
                return true;
            }
            next = node.end;
        }
        false
    }

    /// Whether a comment stood directly in it.
    #[must_use]
    pub fn has_own_comment(self) -> bool {
        self.node().commented
    }

    /// The line its start tag begins on, from 1.
    #[must_use]
    pub fn line(self) -> u32 {
        self.node().line
    }

    /// The element around it; none for the root.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        (self.id != 0).then(|| Self { tree: self.tree, id: self.tree.node(self.id).parent })
    }

    /// Where it is: names from the root, with their usual prefixes, and `[n]` where siblings share the name.
    #[must_use]
    pub fn path(self) -> String {
        let mut steps: Vec<Self> = std::iter::successors(Some(self), |element| element.parent()).collect();
        steps.reverse();
        let mut path = String::new();
        for step in steps {
            let (namespace, local) = step.name();
            path.push('/');
            if let Some((_, prefix)) = USUAL_PREFIXES.iter().find(|(usual, _)| *usual == namespace) {
                path.push_str(prefix);
                path.push(':');
            }
            path.push_str(local);
            if let Some(position) = step.position_among_namesakes() {
                write!(path, "[{position}]").expect("a String takes any text");
            }
        }
        path
    }

    /// The namespace that a prefix is bound to here; the prefix `""` is the default namespace.
    #[must_use]
    pub fn namespace_of_prefix(self, prefix: &str) -> Option<&'a str> {
        if prefix == "xml" {
            return Some(XML_NAMESPACE);
        }
        std::iter::successors(Some(self), |element| element.parent())
            .flat_map(Self::declaration_nodes)
            .find(|declaration| self.tree.str(declaration.prefix) == prefix)
            .map(|declaration| self.tree.str(declaration.uri))
    }

    /// Every element from this one on, itself and all its descendants, in document order.
    pub fn descendants(self) -> impl Iterator<Item = Self> {
        let tree = self.tree;
        (self.id..self.end()).filter_map(move |id| tree.element(NodeId(id)))
    }

    fn position_among_namesakes(self) -> Option<usize> {
        let namesakes = |element: &Self| element.name() == self.name();
        let parent = self.parent()?;
        let position = parent.children().filter(namesakes).position(|e| e.id == self.id)? + 1;
        (position > 1 || parent.children().filter(namesakes).nth(1).is_some()).then_some(position)
    }

    fn texts(self) -> impl Iterator<Item = &'a str> {
        let tree = self.tree;
        (self.id + 1..self.end()).filter_map(move |id| match tree.node(id).content {
            Content::Text { span, .. } => Some(tree.str(span)),
            Content::Element(_) => None,
        })
    }

    const fn end(self) -> u32 {
        self.tree.nodes.as_slice()[self.id as usize].end
    }

    fn node(self) -> &'a ElementNode {
        match &self.tree.node(self.id).content {
            Content::Element(node) => node,
            Content::Text { .. } => unreachable!("an Element is only made of an element's id"),
        }
    }

    fn attribute_nodes(self) -> &'a [AttributeNode] {
        let (start, end) = self.node().attributes;
        &self.tree.attributes[start as usize..end as usize]
    }

    fn declaration_nodes(self) -> &'a [Declaration] {
        let (start, end) = self.node().declarations;
        &self.tree.declarations[start as usize..end as usize]
    }
}

impl std::fmt::Debug for Element<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (line {})", self.path(), self.line())
    }
}

/// An attribute of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Namespace name, empty when it is in none.
    pub namespace: &'a str,
    /// Local name.
    pub local: &'a str,
    /// Its normalised value.
    pub value: &'a str,
}

/// The child elements of an element.
#[derive(Clone)]
pub struct Children<'a> {
    tree: &'a XmlTree,
    next: u32,
    end: u32,
}

impl<'a> Iterator for Children<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        while self.next < self.end {
            let id = self.next;
            let node = self.tree.node(id);
            self.next = node.end;
            if matches!(node.content, Content::Element(_)) {
                return Some(Element { tree: self.tree, id });
            }
        }
        None
    }
}

impl XmlTree {
    fn node(&self, id: u32) -> &Node {
        &self.nodes[id as usize]
    }

    fn expanded(&self, name: QualifiedName) -> (&str, &str) {
        (self.str(name.namespace), self.str(Span { start: name.local_start, end: name.written.end }))
    }
}

/// What canonical form needs of a subtree beyond its public face.
impl<'a> Element<'a> {
    /// Walks the subtree in document order, without what `skip` names and all below it.
    pub(super) fn walk(self, skip: impl Fn(Self) -> bool, mut visit: impl FnMut(Visit<'a>)) {
        let tree = self.tree;
        let mut open: Vec<Self> = Vec::new();
        let mut next = self.id;
        while next < self.end() {
            let node = tree.node(next);
            next = match node.content {
                Content::Text { span, escape } => {
                    visit(Visit::Text(tree.str(span), escape));
                    node.end
                }
                Content::Element(_) => {
                    let here = Self { tree, id: next };
                    if skip(here) {
                        node.end
                    } else {
                        visit(Visit::Start(here));
                        open.push(here);
                        next + 1
                    }
                }
            };
            while let Some(innermost) = open.pop_if(|element| element.end() == next) {
                visit(Visit::End(innermost));
            }
        }
    }

    /// Prefix and namespace name of the declarations that change what is in scope, sorted by prefix.
    pub(super) fn declarations(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.declaration_nodes().iter().map(|d| (self.tree.str(d.prefix), self.tree.str(d.uri)))
    }

    /// Written name, value, and whether the value needs escaping; sorted for canonical form.
    pub(super) fn written_attributes(self) -> impl Iterator<Item = (&'a str, &'a str, bool)> {
        self.attribute_nodes()
            .iter()
            .map(|a| (self.tree.str(a.name.written), self.tree.str(a.value), a.escape))
    }

    /// How many octets of text its tree holds: a first guess at the size of its canonical form.
    pub(super) fn size_hint(self) -> usize {
        self.tree.text.len() + 8 * self.tree.nodes.len()
    }
}

/// One step of a walk.
pub(super) enum Visit<'a> {
    Start(Element<'a>),
    Text(&'a str, bool),
    End(Element<'a>),
}

/// The namespace of the prefix `xml`.
pub const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

/// The prefixes that paths are told with, whatever the document's own are (digest, section 1).
pub(super) const USUAL_PREFIXES: [(&str, &str); 5] = [
    ("http://schemas.xmlsoap.org/soap/envelope/", "soap"),
    ("http://www.oasis-open.org/committees/ebxml-msg/schema/msg-header-2_0.xsd", "eb"),
    ("http://www.w3.org/2000/09/xmldsig#", "ds"),
    ("http://www.w3.org/1999/xlink", "xlink"),
    ("http://www.oasis-open.org/committees/ebxml-cppa/schema/cpp-cpa-2_0.xsd", "tp"),
];

pub(super) const fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(text: &str) -> XmlTree {
        XmlTree::parse(Bytes::copy_from_slice(text.as_bytes()), &XmlLimits::ENVELOPE).expect(text)
    }

    #[test]
    fn elements_are_found_by_namespace_and_local_name() {
        let tree = tree("<a xmlns='urn:x'>1<p:b xmlns:p='urn:y' p:c='2' c='3'/>4<b/><b>5</b></a>");
        let root = tree.root();
        assert!(root.is("urn:x", "a"));
        assert_eq!(root.text(), "145");
        assert!(root.has_own_text());
        let child = root.child("urn:y", "b").expect("there is one");
        assert_eq!(child.attribute("urn:y", "c"), Some("2"));
        assert_eq!(child.attribute("", "c"), Some("3"));
        assert_eq!(child.parent().map(Element::id), Some(root.id()));
        assert_eq!(child.path(), "/a/b");
        assert_eq!(child.namespace_of_prefix("p"), Some("urn:y"));
        assert_eq!(child.namespace_of_prefix(""), Some("urn:x"));
        assert_eq!(child.namespace_of_prefix("q"), None);
        let paths: Vec<_> = root.children().map(Element::path).collect();
        assert_eq!(paths, ["/a/b", "/a/b[1]", "/a/b[2]"]);
    }

    //= ebms2 2.3 MUST: a value is the whole text of its element, comments and CDATA or not (S2)
    #[test]
    fn a_value_is_read_whole() {
        fn check(text: &str, expected: &str) {
            assert_eq!(tree(text).root().text(), expected, "{text}");
        }
        // S2, digest 8.5 f: comments, CDATA and references never shorten a value.
        check("<a>TRADER-<!-- -->0417</a>", "TRADER-0417");
        check("<a>TRADER-<![CDATA[04]]>17</a>", "TRADER-0417");
        check("<a>TRADER&#45;&#x30;417</a>", "TRADER-0417");
        check("<a>x<b>y</b>z</a>", "xyz");
        check("<a><!-- --></a>", "");
        let commented = tree("<a><b><!-- --></b><!-- --><c/></a><!-- -->");
        let told: Vec<_> = commented.root().children().map(Element::has_own_comment).collect();
        assert_eq!((commented.root().has_own_comment(), told), (true, vec![true, false]));
        check("<a>1\r\n2\r3&#13;&#xD;\n</a>", "1\n2\n3\r\r\n");
        check("<a>&lt;&amp;&gt;&apos;&quot;</a>", "<&>'\"");
    }

    #[test]
    fn lines_and_paths_tell_where_an_element_is() {
        let tree = tree("<a>\r\n <b\n x='\n'/>\n<b/></a>");
        let told: Vec<_> = tree.root().children().map(|e| (e.line(), e.path())).collect();
        assert_eq!(told, [(2, "/a/b[1]".to_owned()), (5, "/a/b[2]".to_owned())]);
    }
}
