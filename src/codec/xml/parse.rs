//! The one pass that makes a tree: quick-xml finds the markup, this file checks what quick-xml does not.
//!
//! quick-xml matches tags and refuses unknown markup; well-formedness of names, attributes, references and the
//! document's shape, namespaces and every limit are checked here, before anything is kept.

use quick_xml::Reader;
use quick_xml::events::Event;

use super::decode::{check_declared, decode};
use super::{
    AttributeNode, Content, Declaration, ElementNode, Node, QualifiedName, Span, XML_NAMESPACE, XmlError,
    XmlLimits, XmlTree, is_white_space, write,
};

pub(super) fn parse(bytes: &[u8], limits: &XmlLimits) -> Result<XmlTree, XmlError> {
    // Spans count in u32; UTF-16 may grow by half when it becomes UTF-8.
    let bytes_max = limits.bytes_max.min(1 << 30);
    if bytes.len() > bytes_max {
        return Err(XmlError::TooMuch { line: 0, what: "octets", limit: bytes_max });
    }
    let (source, encoding) = decode(bytes)?;
    let mut builder = Builder {
        limits,
        line: 1,
        tree: XmlTree {
            text: String::with_capacity(source.len()),
            nodes: Vec::with_capacity(source.len() / 32),
            attributes: Vec::new(),
            declarations: Vec::new(),
            encoding,
            commented: false,
        },
        open: Vec::new(),
        scope: Vec::new(),
        xml_namespace: Span::EMPTY,
    };
    builder.xml_namespace = builder.keep(XML_NAMESPACE);
    builder.read(&source)?;
    Ok(builder.tree)
}

struct Builder<'l> {
    limits: &'l XmlLimits,
    line: u32,
    tree: XmlTree,
    /// Open elements, and how many declarations were in scope around each.
    open: Vec<(u32, usize)>,
    /// Declarations in scope, innermost last.
    scope: Vec<Declaration>,
    xml_namespace: Span,
}

impl Builder<'_> {
    fn read(&mut self, source: &str) -> Result<(), XmlError> {
        let mut reader = Reader::from_str(source);
        reader.config_mut().check_comments = true;
        let mut counted = 0;
        loop {
            let start = usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
            let passed = source.as_bytes().get(counted..start).unwrap_or_default();
            let lines = memchr::memchr_iter(b'\n', passed).count();
            self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
            counted = start;
            let event = reader.read_event().map_err(|fault| self.ill_formed(fault))?;
            match event {
                Event::Start(tag) => self.start(tag.name().0, tag.attributes_raw())?,
                Event::Empty(tag) => {
                    self.start(tag.name().0, tag.attributes_raw())?;
                    self.end();
                }
                Event::End(_) => self.end(),
                Event::Text(text) => self.literal_text(&text)?,
                Event::CData(text) => self.cdata(&text)?,
                Event::GeneralRef(name) => self.reference(&name)?,
                Event::Comment(_) => self.comment(),
                Event::Decl(declaration) if start == 0 => self.declaration(&declaration)?,
                Event::Decl(_) | Event::PI(_) => {
                    return Err(XmlError::ProcessingInstruction { line: self.line });
                }
                Event::DocType(_) => return Err(XmlError::Doctype { line: self.line }),
                Event::Eof => break,
            }
        }
        if !self.open.is_empty() {
            return Err(self.ill_formed("the document ends before its elements do"));
        }
        if self.tree.nodes.is_empty() {
            return Err(self.ill_formed("the document has no element"));
        }
        Ok(())
    }

    fn start(&mut self, name: &str, attributes: &str) -> Result<(), XmlError> {
        if self.open.is_empty() && !self.tree.nodes.is_empty() {
            return Err(self.ill_formed("a second root element"));
        }
        self.check_limit(self.open.len() + 1, self.limits.depth_max, "levels of elements")?;
        self.check_limit(self.tree.nodes.len() + 1, self.limits.nodes_max, "elements and texts")?;
        let written = self.qualified_name(name)?;
        let first_attribute = self.tree.attributes.len();
        let first_declaration = self.tree.declarations.len();
        let scope_before = self.scope.len();
        self.read_attributes(attributes)?;
        self.bind_declarations(first_declaration)?;
        self.check_limit(self.scope.len(), self.limits.namespaces_max, "namespace declarations in scope")?;
        let name = QualifiedName { namespace: self.resolve(written, true)?, ..written };
        self.bind_attributes(first_attribute)?;

        let id = count(self.tree.nodes.len());
        self.tree.nodes.push(Node {
            parent: self.open.last().map_or(0, |(parent, _)| *parent),
            end: id + 1,
            content: Content::Element(ElementNode {
                name,
                attributes: (count(first_attribute), count(self.tree.attributes.len())),
                declarations: (count(first_declaration), count(self.tree.declarations.len())),
                commented: false,
                line: self.line,
            }),
        });
        self.open.push((id, scope_before));
        Ok(())
    }

    fn end(&mut self) {
        // quick-xml has refused an end tag that matches no start tag.
        if let Some((id, scope_before)) = self.open.pop() {
            self.tree.nodes[id as usize].end = count(self.tree.nodes.len());
            self.scope.truncate(scope_before);
        }
    }

    fn comment(&mut self) {
        self.tree.commented = true;
        if let Some((id, _)) = self.open.last()
            && let Content::Element(element) = &mut self.tree.nodes[*id as usize].content
        {
            element.commented = true;
        }
    }

    /// Splits the text after the name of a start tag into attributes and declarations (productions 40 and 41).
    fn read_attributes(&mut self, text: &str) -> Result<(), XmlError> {
        let mut rest = text;
        let mut seen = 0;
        loop {
            let begun = rest.trim_start_matches(is_white_space_char);
            if begun.is_empty() {
                return Ok(());
            }
            if begun.len() == rest.len() {
                return Err(self.ill_formed("no white space before an attribute"));
            }
            seen += 1;
            self.check_limit(seen, self.limits.attributes_max, "attributes of an element")?;
            let (name, after) =
                begun.split_once('=').ok_or_else(|| self.ill_formed("an attribute without a value"))?;
            let name = name.trim_end_matches(is_white_space_char);
            let after = after.trim_start_matches(is_white_space_char);
            let quote = after
                .chars()
                .next()
                .filter(|c| matches!(c, '"' | '\''))
                .ok_or_else(|| self.ill_formed("an attribute value without quotes"))?;
            let (value, after) = after
                .get(1..)
                .and_then(|text| text.split_once(quote))
                .ok_or_else(|| self.ill_formed("an attribute value that does not end"))?;
            rest = after;
            self.attribute(name, value)?;
        }
    }

    fn attribute(&mut self, name: &str, value: &str) -> Result<(), XmlError> {
        let (value, escape) = self.attribute_value(value)?;
        if name == "xmlns" {
            return self.declare("", value);
        }
        if let Some(prefix) = name.strip_prefix("xmlns:") {
            return self.declare(prefix, value);
        }
        let name = self.qualified_name(name)?;
        self.tree.attributes.push(AttributeNode { name, value, escape });
        Ok(())
    }

    /// Normalises an attribute value (XML 1.0, 3.3.3, as there is no DTD every attribute is CDATA). Says also
    /// whether its canonical form needs references.
    fn attribute_value(&mut self, raw: &str) -> Result<(Span, bool), XmlError> {
        if memchr::memchr(b'<', raw.as_bytes()).is_some() {
            return Err(self.ill_formed("`<` in an attribute value"));
        }
        let start = self.tree.text.len();
        let mut rest = raw;
        while let Some(at) = memchr::memchr3(b'&', b'\t', b'\n', rest.as_bytes()) {
            let (plain, special) = rest.split_at(at);
            self.tree.text.push_str(plain);
            rest = match special.strip_prefix('&') {
                Some(reference) => {
                    let (name, after) = reference
                        .split_once(';')
                        .ok_or_else(|| self.ill_formed("`&` that begins no reference"))?;
                    let character = self.referenced(name)?;
                    self.tree.text.push(character);
                    after
                }
                None => {
                    self.tree.text.push(' ');
                    special.get(1..).unwrap_or_default()
                }
            };
        }
        self.tree.text.push_str(rest);
        let span = self.span_from(start);
        let value = self.tree.str(span).as_bytes();
        let escape = memchr::memchr3(b'&', b'<', b'"', value).is_some()
            || memchr::memchr3(b'\t', b'\n', b'\r', value).is_some();
        Ok((span, escape))
    }

    fn declare(&mut self, prefix: &str, uri: Span) -> Result<(), XmlError> {
        let text = self.tree.str(uri);
        let fault = if !prefix.is_empty() && !is_nc_name(prefix) {
            Some("no name")
        } else if prefix == "xmlns" || text == "http://www.w3.org/2000/xmlns/" {
            Some("reserved")
        } else if (prefix == "xml") != (text == XML_NAMESPACE) {
            Some("reserved for the prefix xml")
        } else if text.is_empty() && !prefix.is_empty() {
            Some("empty")
        } else if !text.is_empty() && !is_absolute_uri(text) {
            Some("no absolute URI")
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(self.namespace_fault(format!("the namespace of prefix {prefix:?} is {fault}")));
        }
        // The prefix xml is always bound; canonical form never writes its declaration.
        if prefix != "xml" {
            let prefix = self.keep(prefix);
            self.tree.declarations.push(Declaration { prefix, uri });
        }
        Ok(())
    }

    /// Sorts the declarations of one element, refuses a repeated prefix, drops those that change nothing, and
    /// brings the others into scope.
    fn bind_declarations(&mut self, first: usize) -> Result<(), XmlError> {
        let mut declarations = self.tree.declarations.split_off(first);
        declarations.sort_by(|a, b| self.tree.str(a.prefix).cmp(self.tree.str(b.prefix)));
        let repeated = declarations
            .windows(2)
            .any(|pair| self.tree.str(pair[0].prefix) == self.tree.str(pair[1].prefix));
        if repeated {
            return Err(self.ill_formed("an attribute that stands twice"));
        }
        let scope_before = self.scope.len();
        for declaration in declarations {
            let outer = self.look_up(self.tree.str(declaration.prefix), scope_before);
            if outer.map_or("", |uri| self.tree.str(uri)) != self.tree.str(declaration.uri) {
                self.scope.push(declaration);
                self.tree.declarations.push(declaration);
            }
        }
        Ok(())
    }

    /// Resolves and sorts the attributes of one element, and refuses one that stands twice.
    fn bind_attributes(&mut self, first: usize) -> Result<(), XmlError> {
        for index in first..self.tree.attributes.len() {
            let name = self.tree.attributes[index].name;
            self.tree.attributes[index].name.namespace = self.resolve(name, false)?;
        }
        if self.tree.attributes.len() - first < 2 {
            return Ok(());
        }
        let mut attributes = self.tree.attributes.split_off(first);
        attributes.sort_by(|a, b| self.tree.expanded(a.name).cmp(&self.tree.expanded(b.name)));
        let repeated =
            attributes.windows(2).any(|p| self.tree.expanded(p[0].name) == self.tree.expanded(p[1].name));
        if repeated {
            return Err(self.ill_formed("an attribute that stands twice"));
        }
        self.tree.attributes.append(&mut attributes);
        Ok(())
    }

    fn resolve(&self, name: QualifiedName, default_applies: bool) -> Result<Span, XmlError> {
        let written = self.tree.str(name.written);
        let Some((prefix, _)) = written.split_once(':') else {
            let default = if default_applies { self.look_up("", self.scope.len()) } else { None };
            return Ok(default.unwrap_or(Span::EMPTY));
        };
        if prefix == "xml" {
            return Ok(self.xml_namespace);
        }
        self.look_up(prefix, self.scope.len())
            .ok_or_else(|| self.namespace_fault(format!("the prefix {prefix:?} is not declared")))
    }

    fn look_up(&self, prefix: &str, scope_len: usize) -> Option<Span> {
        let scope = self.scope.get(..scope_len).unwrap_or_default();
        scope.iter().rev().find(|d| self.tree.str(d.prefix) == prefix).map(|d| d.uri)
    }

    fn literal_text(&mut self, text: &str) -> Result<(), XmlError> {
        if self.open.is_empty() {
            return if text.bytes().all(is_white_space) {
                Ok(())
            } else {
                Err(self.ill_formed("text outside the root element"))
            };
        }
        let escape = memchr::memchr(b'>', text.as_bytes()).is_some();
        if escape && text.contains("]]>") {
            return Err(self.ill_formed("`]]>` in text"));
        }
        self.push_text(text, escape)
    }

    fn cdata(&mut self, text: &str) -> Result<(), XmlError> {
        let escape = memchr::memchr3(b'&', b'<', b'>', text.as_bytes()).is_some();
        self.push_text(text, escape)
    }

    fn reference(&mut self, name: &str) -> Result<(), XmlError> {
        let character = self.referenced(name)?;
        let escape = matches!(character, '&' | '<' | '>' | '\r');
        self.push_text(character.encode_utf8(&mut [0; 4]), escape)
    }

    /// The character that a reference stands for: one of the five built-in entities or a character reference.
    fn referenced(&self, name: &str) -> Result<char, XmlError> {
        let character = match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "apos" => Some('\''),
            "quot" => Some('"'),
            _ => {
                let number = name.strip_prefix('#').and_then(|digits| match digits.strip_prefix('x') {
                    Some(digits) => number(digits, 16),
                    None => number(digits, 10),
                });
                number.and_then(char::from_u32).filter(|c| write::is_xml_char(*c))
            }
        };
        character.ok_or_else(|| {
            let name: String = name.chars().take(40).collect();
            self.ill_formed(format!("the reference {name:?} stands for no character"))
        })
    }

    /// Appends to the text just before, or begins one: text nodes never stand side by side.
    fn push_text(&mut self, text: &str, escape: bool) -> Result<(), XmlError> {
        let Some((parent, _)) = self.open.last().copied() else {
            return Err(self.ill_formed("text outside the root element"));
        };
        if text.is_empty() {
            return Ok(());
        }
        let start = self.tree.text.len();
        self.tree.text.push_str(text);
        let end = count(self.tree.text.len());
        if let Some(Node { content: Content::Text { span, escape: escape_before }, parent: around, .. }) =
            self.tree.nodes.last_mut()
            && *around == parent
        {
            debug_assert_eq!(span.end as usize, start, "only an element's start comes between two texts");
            span.end = end;
            *escape_before |= escape;
            return Ok(());
        }
        self.check_limit(self.tree.nodes.len() + 1, self.limits.nodes_max, "elements and texts")?;
        let id = count(self.tree.nodes.len());
        let span = Span { start: count(start), end };
        self.tree.nodes.push(Node { parent, end: id + 1, content: Content::Text { span, escape } });
        Ok(())
    }

    /// The XML declaration (production 23): version 1.0, then perhaps encoding, then perhaps standalone.
    fn declaration(&self, content: &str) -> Result<(), XmlError> {
        let refuse = || self.ill_formed("an XML declaration that is not one of XML 1.0");
        let mut rest = content.strip_prefix("xml").ok_or_else(refuse)?;
        let mut expected = ["version", "encoding", "standalone"].as_slice();
        while !rest.trim_start_matches(is_white_space_char).is_empty() {
            let begun = rest.trim_start_matches(is_white_space_char);
            let (name, after) = begun.split_once('=').ok_or_else(refuse)?;
            let name = name.trim_end_matches(is_white_space_char);
            let after = after.trim_start_matches(is_white_space_char);
            let quote = after.chars().next().filter(|c| matches!(c, '"' | '\'')).ok_or_else(refuse)?;
            let (value, after) = after.get(1..).and_then(|text| text.split_once(quote)).ok_or_else(refuse)?;
            let place = expected.iter().position(|e| *e == name).ok_or_else(refuse)?;
            let version_first = expected.len() == 3 && place != 0;
            if begun.len() == rest.len() || version_first {
                return Err(refuse());
            }
            match name {
                "version" if value == "1.0" => {}
                "encoding" => check_declared(value, self.tree.encoding)?,
                "standalone" if matches!(value, "yes" | "no") => {}
                _ => return Err(refuse()),
            }
            expected = expected.get(place + 1..).unwrap_or_default();
            rest = after;
        }
        if expected.len() == 3 { Err(refuse()) } else { Ok(()) }
    }

    fn qualified_name(&mut self, name: &str) -> Result<QualifiedName, XmlError> {
        self.check_limit(name.len(), self.limits.name_bytes_max, "octets of a name")?;
        let local_offset = match name.split_once(':') {
            Some((prefix, local)) => {
                (is_nc_name(prefix) && prefix != "xmlns" && is_nc_name(local)).then(|| prefix.len() + 1)
            }
            None => is_nc_name(name).then_some(0),
        };
        let Some(local_offset) = local_offset else {
            let name: String = name.chars().take(40).collect();
            return Err(self.ill_formed(format!("{name:?} is no name")));
        };
        let written = self.keep(name);
        Ok(QualifiedName {
            written,
            local_start: written.start + count(local_offset),
            namespace: Span::EMPTY,
        })
    }

    fn keep(&mut self, text: &str) -> Span {
        let start = self.tree.text.len();
        self.tree.text.push_str(text);
        self.span_from(start)
    }

    fn span_from(&self, start: usize) -> Span {
        Span { start: count(start), end: count(self.tree.text.len()) }
    }

    fn check_limit(&self, actual: usize, limit: usize, what: &'static str) -> Result<(), XmlError> {
        if actual > limit { Err(XmlError::TooMuch { line: self.line, what, limit }) } else { Ok(()) }
    }

    fn ill_formed(&self, fault: impl ToString) -> XmlError {
        XmlError::NotWellFormed { line: self.line, fault: fault.to_string() }
    }

    const fn namespace_fault(&self, fault: String) -> XmlError {
        XmlError::Namespace { line: self.line, fault }
    }
}

impl XmlTree {
    /// Whether a `charset` parameter that came with the document agrees with its octets.
    ///
    /// # Errors
    /// [`XmlError::Encoding`] when it names another encoding.
    pub fn check_charset(&self, charset: &str) -> Result<(), XmlError> {
        check_declared(charset, self.encoding)
    }
}

/// Sizes fit u32: the document is at most 2^30 octets, and each of its octets makes at most two here.
fn count(size: usize) -> u32 {
    u32::try_from(size).expect("a document of at most 2^30 octets was checked before")
}

const fn is_white_space_char(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\r')
}

fn number(digits: &str, radix: u32) -> Option<u32> {
    // from_str_radix would also take a sign.
    if digits.starts_with(['+', '-']) { None } else { u32::from_str_radix(digits, radix).ok() }
}

/// A namespace name must be absolute (C14N 1.0, 1.3), and must not hold what canonicalisers are known to
/// write differently: libxml2 2.9 does not escape `&` in it.
fn is_absolute_uri(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && !text.chars().any(|c| c.is_control() || matches!(c, ' ' | '&' | '<' | '>' | '"' | '\''))
}

/// Namespaces in XML 1.0, production 4: a name of XML 1.0 without colon.
fn is_nc_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(is_name_start) && characters.all(is_name_character)
}

const fn is_name_start(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '_'
        | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}'
        | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}'
        | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

const fn is_name_character(c: char) -> bool {
    is_name_start(c)
        || matches!(c, '0'..='9' | '-' | '.' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn fault(text: &str) -> Option<String> {
        XmlTree::parse(Bytes::copy_from_slice(text.as_bytes()), &XmlLimits::ENVELOPE)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn accepts_what_xml_and_its_namespaces_allow() {
        for text in [
            "<a/>",
            "<?xml version='1.0'?><a/>",
            "<?xml version=\"1.0\"  encoding = 'utf-8' standalone='yes' ?>\n<!-- c --><a\n/>\n<!-- d -->\n",
            "<a xml:lang='en' xmlns:xml='http://www.w3.org/XML/1998/namespace'></a >",
            "<a b = '>' c=\"'\"/>",
            "<한국어 속성='값'/>",
            "<a xmlns='urn:x'><b xmlns=''/></a>",
            "<a xmlns:p='urn:x' xmlns:q='urn:y' p:b='' q:b='' b=''/>",
        ] {
            assert_eq!(fault(text), None, "{text}");
        }
    }

    //= ebms2 2.2 MUST: the envelope is well-formed XML 1.0 with namespaces
    #[test]
    fn refuses_what_is_not_well_formed() {
        fn check(text: &str, expected: &str) {
            let told = fault(text).unwrap_or_else(|| panic!("{text} is accepted"));
            assert!(told.contains(expected), "{text}: {told}");
        }
        check("", "no element");
        check(" \n", "no element");
        check("<a>", "ends before");
        check("<a/><b/>", "second root");
        check("<a/>b", "outside the root");
        check("<a/>&#32;", "outside the root");
        check("<![CDATA[ ]]><a/>", "outside the root");
        check("<a></b>", "");
        check("<a></ a>", "");
        check("</a>", "");
        check("< a/>", "is no name");
        check("<1/>", "is no name");
        check("<a:b:c xmlns:a='urn:x'/>", "is no name");
        check("<:a/>", "is no name");
        check("<a b/>", "without a value");
        check("<a b=c/>", "without quotes");
        check("<a b='c'd='e'/>", "no white space");
        check("<a b='<'/>", "`<` in an attribute");
        check("<a b='&'/>", "begins no reference");
        check("<a b='&x;'/>", "stands for no character");
        check("<a>&nbsp;</a>", "stands for no character");
        check("<a>&#0;</a>", "stands for no character");
        check("<a>&#xFFFE;</a>", "stands for no character");
        check("<a>&#+65;</a>", "stands for no character");
        check("<a>&#XA;</a>", "stands for no character");
        check("<a>& b</a>", "");
        check("<a>]]></a>", "`]]>` in text");
        check("<!-- a -- b --><a/>", "");
        check("<a b='' b=''/>", "stands twice");
        check("<a xmlns:p='urn:x' xmlns:q='urn:x' p:b='' q:b=''/>", "stands twice");
        check("<a xmlns='urn:x' xmlns='urn:y'/>", "stands twice");
        check("<a xml:b='' xml:b=''/>", "stands twice");
        check(" <?xml version='1.0'?><a/>", "processing instruction");
        check("<?xml version='1.1'?><a/>", "declaration");
        check("<?xml encoding='UTF-8'?><a/>", "declaration");
        check("<?xml version='1.0'encoding='UTF-8'?><a/>", "declaration");
        check("<?xml version='1.0' standalone='yes' encoding='UTF-8'?><a/>", "declaration");
        check("<?xml version='1.0' version='1.0'?><a/>", "declaration");
        check("<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "declared as");
    }

    //= ebms2 2.3 MUST: no entity but the five of XML is resolved (S7)
    #[test]
    fn refuses_what_is_never_accepted() {
        fn check(text: &str, expected: &str) {
            let told = fault(text).unwrap_or_else(|| panic!("{text} is accepted"));
            assert!(told.contains(expected), "{text}: {told}");
        }
        // S7: entity attacks end at the DOCTYPE.
        check("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "DOCTYPE");
        check("\n<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "line 2: a DOCTYPE");
        check("<a><?php x?></a>", "processing instruction");
        check("<?xml-stylesheet href='x'?><a/>", "processing instruction");
        // Namespaces that are undeclared, reserved, or that canonicalisers disagree about.
        check("<p:a/>", "not declared");
        check("<a p:b=''/>", "not declared");
        check("<a><p:b xmlns:p='urn:x'/><p:c/></a>", "not declared");
        check("<a xmlns:p=''/>", "empty");
        check("<a xmlns:p='rel'/>", "no absolute URI");
        check("<a xmlns:p='urn:a&amp;b'/>", "no absolute URI");
        check("<a xmlns:p='urn:a&quot;b'/>", "no absolute URI");
        check("<a xmlns:xmlns='urn:x'/>", "reserved");
        check("<a xmlns:xml='urn:x'/>", "reserved");
        check("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", "reserved");
        check("<xmlns:a/>", "is no name");
    }

    #[test]
    fn limits_hold_at_one_past_and_far_past_s6_s8() {
        // Each limit is refused with its name, without recursion and without keeping what is past it.
        fn check(accepted: &str, refused: &[String], what: &str) {
            assert_eq!(fault(accepted), None, "{what}");
            for text in refused {
                let told = fault(text).unwrap_or_else(|| panic!("{what} is not limited"));
                assert!(told.contains(what), "{what}: {told}");
            }
        }
        let limits = XmlLimits::ENVELOPE;
        let deep = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        check(&deep(limits.depth_max), &[deep(limits.depth_max + 1), deep(100_000)], "levels of elements");
        let wide = |n: usize| {
            let attributes: String = (0..n).map(|i| format!(" a{i}=''")).collect();
            format!("<a{attributes}/>")
        };
        check(
            &wide(limits.attributes_max),
            &[wide(limits.attributes_max + 1), wide(50_000)],
            "attributes of an element",
        );
        let many = |n: usize| format!("<a>{}</a>", "<b/>".repeat(n - 1));
        check(
            &many(limits.nodes_max),
            &[many(limits.nodes_max + 1), many(limits.nodes_max * 4)],
            "elements and texts",
        );
        let spaces = |n: usize| {
            let level = |i: usize| {
                let declarations: String = (0..64).map(|k| format!(" xmlns:p{i}x{k}='urn:x'")).collect();
                format!("<a{declarations}>")
            };
            format!("{}{}", (0..n).map(level).collect::<String>(), "</a>".repeat(n))
        };
        check(&spaces(2), &[spaces(3), spaces(60)], "namespace declarations in scope");
        let named = |n: usize| format!("<{}/>", "a".repeat(n));
        check(
            &named(limits.name_bytes_max),
            &[named(limits.name_bytes_max + 1), named(100_000)],
            "octets of a name",
        );
        let long = |n: usize| format!("<a>{}</a>", " ".repeat(n - 7));
        check(&long(limits.bytes_max), &[long(limits.bytes_max + 1), long(limits.bytes_max * 50)], "octets");
    }
}
