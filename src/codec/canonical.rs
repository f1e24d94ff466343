//! Canonical XML without comments, of a document or a subtree: 1.0 (W3C Recommendation of 15 March 2001), 1.1 (2 May
//! 2008) and Exclusive XML Canonicalization 1.0 (18 July 2002).
//!
//! Promises: exact octets in one pass and one buffer, in time linear in the tree (exclusive: times the namespaces in
//! scope, which are bounded). Leaving out whole subtrees is the only filter there is: the ebMS envelope reference
//! leaves out the signature and what is meant for the next MSH (digest, 8.1), and for that the general XPath node
//! set is not needed.
//!
//! Does not: comments, node sets of single nodes, the InclusiveNamespaces of the exclusive form, or the `xml:base`
//! that 1.1 makes for a subtree ([`has_outer_base`] finds where that would be needed). The parser has refused
//! relative namespace names and everything that a DTD could add.

use super::xml::{Element, Visit, XML_NAMESPACE};
use crate::model::Canonicalization;

/// The canonical form of the subtree at `apex`, without the subtrees of elements that `skip` names. The root
/// as apex gives the canonical form of the document. Empty when the apex itself is left out.
#[must_use]
pub fn canonicalize<'a>(
    form: Canonicalization,
    apex: Element<'a>,
    skip: &dyn Fn(Element<'a>) -> bool,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(apex.size_hint());
    let mut rendered = Rendered::default();
    apex.walk(skip, |visit| match visit {
        Visit::Start(element) => {
            out.push(b'<');
            out.extend_from_slice(element.written_name().as_bytes());
            if form == Canonicalization::Exclusive {
                rendered.open(&mut out, element);
                push_own_attributes(&mut out, element);
            } else if element.id() == apex.id() {
                push_apex_attributes(&mut out, form, element);
            } else {
                element.declarations().for_each(|(prefix, uri)| push_declaration(&mut out, prefix, uri));
                push_own_attributes(&mut out, element);
            }
            out.push(b'>');
        }
        Visit::Text(text, escape) => {
            if escape {
                push_escaped(&mut out, text, text_reference);
            } else {
                out.extend_from_slice(text.as_bytes());
            }
        }
        Visit::End(element) => {
            out.extend_from_slice(b"</");
            out.extend_from_slice(element.written_name().as_bytes());
            out.push(b'>');
            if form == Canonicalization::Exclusive {
                rendered.close();
            }
        }
    });
    out
}

/// Whether an element around `apex` has an `xml:base`, which Canonical XML 1.1 would join with its own.
#[must_use]
pub fn has_outer_base(apex: Element<'_>) -> bool {
    std::iter::successors(apex.parent(), |element| element.parent())
        .any(|element| element.attribute(XML_NAMESPACE, "base").is_some())
}

/// The namespace declarations that the exclusive form has written around a place.
#[derive(Default)]
struct Rendered<'a> {
    declarations: Vec<(&'a str, &'a str)>,
    /// How many there were before each open element.
    opened: Vec<usize>,
}

impl<'a> Rendered<'a> {
    /// Writes what an element visibly uses and nothing around it has written (Exclusive C14N, 3).
    fn open(&mut self, out: &mut Vec<u8>, element: Element<'a>) {
        self.opened.push(self.declarations.len());
        let prefix_of = |name: &'a str| name.split_once(':').map_or("", |(prefix, _)| prefix);
        let mut used = vec![(prefix_of(element.written_name()), element.name().0)];
        for (attribute, (name, ..)) in element.attributes().zip(element.written_attributes()) {
            // An attribute without prefix uses no namespace.
            if name.contains(':') {
                used.push((prefix_of(name), attribute.namespace));
            }
        }
        used.sort_unstable();
        used.dedup();
        for (prefix, uri) in used.into_iter().filter(|(prefix, _)| *prefix != "xml") {
            let nearest = self.declarations.iter().rev().find(|(known, _)| *known == prefix);
            // An undeclared default namespace is what the output begins with.
            if nearest.map_or("", |(_, uri)| *uri) != uri {
                push_declaration(out, prefix, uri);
                self.declarations.push((prefix, uri));
            }
        }
    }

    fn close(&mut self) {
        if let Some(before) = self.opened.pop() {
            self.declarations.truncate(before);
        }
    }
}

fn push_own_attributes(out: &mut Vec<u8>, element: Element<'_>) {
    for (name, value, escape) in element.written_attributes() {
        push_attribute(out, name, value, escape);
    }
}

/// An apex has no parent in the output: it declares every namespace in scope, and takes the `xml:` attributes
/// of its ancestors that no nearer element overrides (C14N 1.0, 2.4); in 1.1 only their `xml:lang` and `xml:space`
/// (C14N 1.1, 2.4).
fn push_apex_attributes(out: &mut Vec<u8>, form: Canonicalization, apex: Element<'_>) {
    let stays = |local: &str| form == Canonicalization::Xml11 && !matches!(local, "lang" | "space");
    let mut declarations: Vec<(&str, &str)> = Vec::new();
    let mut inherited: Vec<(&str, &str)> = Vec::new();
    for element in std::iter::successors(Some(apex), |element| element.parent()) {
        for (prefix, uri) in element.declarations() {
            if !declarations.iter().any(|(nearer, _)| *nearer == prefix) {
                declarations.push((prefix, uri));
            }
        }
        let is_apex = element.id() == apex.id();
        for attribute in element.attributes().filter(|a| a.namespace == XML_NAMESPACE) {
            if (is_apex || !stays(attribute.local))
                && !inherited.iter().any(|(nearer, _)| *nearer == attribute.local)
            {
                inherited.push((attribute.local, attribute.value));
            }
        }
    }
    declarations.sort_unstable();
    for (prefix, uri) in declarations {
        // An undeclared default namespace is what the output begins with.
        if !uri.is_empty() {
            push_declaration(out, prefix, uri);
        }
    }
    let mut attributes: Vec<(&str, &str, String, &str)> = apex
        .attributes()
        .zip(apex.written_attributes())
        .filter(|(attribute, _)| attribute.namespace != XML_NAMESPACE)
        .map(|(attribute, (name, value, _))| (attribute.namespace, attribute.local, name.to_owned(), value))
        .chain(inherited.into_iter().map(|(local, v)| (XML_NAMESPACE, local, format!("xml:{local}"), v)))
        .collect();
    attributes.sort_unstable();
    for (_, _, name, value) in attributes {
        push_attribute(out, &name, value, true);
    }
}

fn push_declaration(out: &mut Vec<u8>, prefix: &str, uri: &str) {
    out.extend_from_slice(b" xmlns");
    if !prefix.is_empty() {
        out.push(b':');
        out.extend_from_slice(prefix.as_bytes());
    }
    // The parser refused namespace names that would need a reference here.
    out.extend_from_slice(b"=\"");
    out.extend_from_slice(uri.as_bytes());
    out.push(b'"');
}

fn push_attribute(out: &mut Vec<u8>, name: &str, value: &str, escape: bool) {
    out.push(b' ');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    if escape {
        push_escaped(out, value, attribute_reference);
    } else {
        out.extend_from_slice(value.as_bytes());
    }
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, text: &str, reference: fn(u8) -> Option<&'static [u8]>) {
    for byte in text.bytes() {
        match reference(byte) {
            Some(reference) => out.extend_from_slice(reference),
            None => out.push(byte),
        }
    }
}

const fn text_reference(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'>' => Some(b"&gt;"),
        b'\r' => Some(b"&#xD;"),
        _ => None,
    }
}

const fn attribute_reference(byte: u8) -> Option<&'static [u8]> {
    match byte {
        b'&' => Some(b"&amp;"),
        b'<' => Some(b"&lt;"),
        b'"' => Some(b"&quot;"),
        b'\t' => Some(b"&#x9;"),
        b'\n' => Some(b"&#xA;"),
        b'\r' => Some(b"&#xD;"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::xml::{XmlLimits, XmlTree};
    use super::*;

    fn tree(text: &str) -> XmlTree {
        XmlTree::parse(Bytes::copy_from_slice(text.as_bytes()), &XmlLimits::ENVELOPE).expect(text)
    }

    fn canonical(text: &str) -> String {
        String::from_utf8(canonicalize(Canonicalization::Xml10, tree(text).root(), &|_| false))
            .expect("canonical form is UTF-8")
    }

    //= ebms2 4.1.3 SHOULD: Canonical XML 1.0 without comments, as its recommendation says
    #[test]
    fn follows_the_recommendation() {
        fn check(text: &str, expected: &str) {
            assert_eq!(canonical(text), expected, "{text}");
        }
        check("<?xml version='1.0'?>\n<!-- x -->\n<a  >\n</a>\n<!-- y -->", "<a>\n</a>");
        check("<a/>", "<a></a>");
        check("<a b='2' a=\"1\"/>", "<a a=\"1\" b=\"2\"></a>");
        check("<a>&amp;&lt;&gt;&quot;&#13;\t</a>", "<a>&amp;&lt;&gt;\"&#xD;\t</a>");
        check(
            "<a b='&amp;&lt;>&quot;&#9;&#10;&#13;\t\n'/>",
            "<a b=\"&amp;&lt;>&quot;&#x9;&#xA;&#xD;  \"></a>",
        );
        check("<a><![CDATA[<&>]]><!-- x -->b</a>", "<a>&lt;&amp;&gt;b</a>");
        check("<a>1\r\n2\r</a>", "<a>1\n2\n</a>");
        // Namespaces: default first, then by prefix; superfluous ones vanish; undeclaring only where needed.
        check(
            "<a xmlns:z='urn:z' xmlns='urn:d' xmlns:b='urn:b'/>",
            "<a xmlns=\"urn:d\" xmlns:b=\"urn:b\" xmlns:z=\"urn:z\"></a>",
        );
        check(
            "<a xmlns='urn:d'><b xmlns='urn:d'/><c xmlns=''><d xmlns=''/></c></a>",
            "<a xmlns=\"urn:d\"><b></b><c xmlns=\"\"><d></d></c></a>",
        );
        check("<a xmlns=''><b xmlns=''/></a>", "<a><b></b></a>");
        check(
            "<p:a xmlns:p='urn:1'><p:b xmlns:p='urn:2'><p:c xmlns:p='urn:1'/></p:b></p:a>",
            "<p:a xmlns:p=\"urn:1\"><p:b xmlns:p=\"urn:2\"><p:c xmlns:p=\"urn:1\"></p:c></p:b></p:a>",
        );
        // Attributes: those without namespace first, then by namespace name, not by prefix.
        check(
            "<a xmlns:x='urn:2' xmlns:y='urn:1' x:c='1' y:d='2' e='3' xml:lang='en'/>",
            "<a xmlns:x=\"urn:2\" xmlns:y=\"urn:1\" e=\"3\" xml:lang=\"en\" y:d=\"2\" x:c=\"1\"></a>",
        );
        check(
            "<a xmlns:xml='http://www.w3.org/XML/1998/namespace' xml:space='preserve'/>",
            "<a xml:space=\"preserve\"></a>",
        );
    }

    #[test]
    fn a_subtree_carries_what_it_inherits() {
        fn check(text: &str, expected: &str) {
            let tree = tree(text);
            let apex = tree.root().descendants().find(|e| e.name().1 == "apex").expect("there is an apex");
            let octets = canonicalize(Canonicalization::Xml10, apex, &|_| false);
            assert_eq!(String::from_utf8(octets).expect("UTF-8"), expected, "{text}");
        }
        check(
            "<a xmlns='urn:d' xmlns:p='urn:p'><b xmlns:q='urn:q'>x<apex/>y</b></a>",
            "<apex xmlns=\"urn:d\" xmlns:p=\"urn:p\" xmlns:q=\"urn:q\"></apex>",
        );
        check(
            "<a xmlns='urn:d' xmlns:p='urn:1'><apex xmlns='' xmlns:p='urn:2' z='1'><b/></apex></a>",
            "<apex xmlns:p=\"urn:2\" z=\"1\"><b></b></apex>",
        );
        check(
            "<a xml:lang='en' xml:space='default'><apex xml:lang='ko' b='&quot;'/></a>",
            "<apex b=\"&quot;\" xml:lang=\"ko\" xml:space=\"default\"></apex>",
        );
    }

    #[test]
    fn forms_differ_in_what_a_subtree_carries() {
        fn check(text: &str, expected: [&str; 3]) {
            let tree = tree(text);
            let apex = tree.root().descendants().find(|e| e.name().1 == "apex").expect("there is an apex");
            for (form, expected) in Canonicalization::ALL.into_iter().zip(expected) {
                let octets = canonicalize(form, apex, &|_| false);
                assert_eq!(String::from_utf8(octets).expect("UTF-8"), expected, "{form:?} {text}");
            }
        }
        check(
            "<a xmlns='urn:d' xmlns:p='urn:p' xmlns:q='urn:q'><apex q:x='1'><p:b/><p:c q:d='' xml:lang='en'/></apex></a>",
            [
                "<apex xmlns=\"urn:d\" xmlns:p=\"urn:p\" xmlns:q=\"urn:q\" q:x=\"1\"><p:b></p:b>\
                 <p:c xml:lang=\"en\" q:d=\"\"></p:c></apex>",
                "<apex xmlns=\"urn:d\" xmlns:p=\"urn:p\" xmlns:q=\"urn:q\" q:x=\"1\"><p:b></p:b>\
                 <p:c xml:lang=\"en\" q:d=\"\"></p:c></apex>",
                "<apex xmlns=\"urn:d\" xmlns:q=\"urn:q\" q:x=\"1\"><p:b xmlns:p=\"urn:p\"></p:b>\
                 <p:c xmlns:p=\"urn:p\" xml:lang=\"en\" q:d=\"\"></p:c></apex>",
            ],
        );
        check(
            "<a xml:lang='en' xml:id='i' xml:other='o' xml:space='preserve'><apex/></a>",
            [
                "<apex xml:id=\"i\" xml:lang=\"en\" xml:other=\"o\" xml:space=\"preserve\"></apex>",
                "<apex xml:lang=\"en\" xml:space=\"preserve\"></apex>",
                "<apex></apex>",
            ],
        );
        // The exclusive form takes a default namespace back only where one was written.
        check(
            "<a xmlns='urn:d'><apex xmlns=''><b xmlns='urn:e'><c xmlns=''/></b></apex></a>",
            ["<apex><b xmlns=\"urn:e\"><c xmlns=\"\"></c></b></apex>"; 3],
        );
        let based = tree("<a xml:base='http://x/'><b xml:base='y'/></a>");
        let inner = based.root().children().next().expect("b");
        assert!(has_outer_base(inner) && !has_outer_base(based.root()));
    }

    //= ebms2 4.1.3 MUST: what is left out of the signed octets leaves the white space around it
    #[test]
    fn left_out_subtrees_leave_their_surroundings() {
        let tree = tree("<a>1<skip>2<b/></skip>3<b><skip/></b>\n<skip xmlns='urn:x'/></a>");
        let octets =
            canonicalize(Canonicalization::Xml10, tree.root(), &|element| element.name().1 == "skip");
        assert_eq!(String::from_utf8(octets).expect("UTF-8"), "<a>13<b></b>\n</a>");
        assert!(canonicalize(Canonicalization::Xml10, tree.root(), &|_| true).is_empty());
    }

    /// Digest, section 21: octets and SHA-256 of the filtered canonical envelopes.
    #[test]
    fn the_worked_examples_have_the_known_octets() {
        fn check(document: &'static [u8], octets: usize, digest: &str) {
            const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
            const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
            let tree =
                XmlTree::parse(Bytes::from_static(document), &XmlLimits::ENVELOPE).expect("well-formed");
            let canonical = canonicalize(Canonicalization::Xml10, tree.root(), &|element| {
                element.is(DS, "Signature")
                    || matches!(
                        element.attribute(SOAP, "actor"),
                        Some(
                            "http://schemas.xmlsoap.org/soap/actor/next"
                                | "urn:oasis:names:tc:ebxml-msg:actor:nextMSH"
                        )
                    )
            });
            assert_eq!(canonical.len(), octets);
            assert_eq!(STANDARD.encode(openssl::sha::sha256(&canonical)), digest);
        }
        check(
            include_bytes!("../../tests/conformance/samples/user.xml"),
            1676,
            "OKmOk18nMI+K1Zu7Gz1Sij6rOKsq0i+XZdlsGo3hvJo=",
        );
        check(
            include_bytes!("../../tests/conformance/samples/ack.xml"),
            2645,
            "DNE9mAF3kBysAIa1SKpYWyN8oxzE1ivSv3opQgmzC6c=",
        );
    }

    /// A document with every feature that canonical form has an opinion about.
    fn any_document() -> impl Strategy<Value = String> {
        let text = prop::sample::select(vec![
            "x",
            " \n",
            "\r\n",
            "&#13;",
            "&amp;",
            "<![CDATA[<&>]]>",
            "<!-- c -->",
            "&gt;",
            "한",
        ]);
        let attributes = prop::sample::subsequence(
            vec![" b='&lt;'", " a=\"\t'\"", " xml:lang='ko'", " p:c='1'", " q:c='&quot;'"],
            0..=5,
        );
        let declarations = prop::sample::subsequence(
            vec![" xmlns='urn:1'", " xmlns=''", " xmlns:q='urn:3'", " xmlns:p='urn:2'"],
            0..=3,
        )
        .prop_filter("one default namespace", |d| d.iter().filter(|x| x.starts_with(" xmlns=")).count() < 2);
        let leaf = text.prop_map(str::to_owned);
        leaf.prop_recursive(5, 40, 6, move |inner| {
            (
                prop::sample::select(vec!["a", "p:a", "q:b", "c"]),
                attributes.clone(),
                declarations.clone(),
                prop::collection::vec(inner, 0..6),
            )
                .prop_map(|(name, attributes, declarations, children)| {
                    let (attributes, declarations) = (attributes.concat(), declarations.concat());
                    format!("<{name}{attributes}{declarations}>{}</{name}>", children.concat())
                })
        })
        .prop_map(|inner| format!("<r xmlns:p='urn:p' xmlns:q='urn:q'>{inner}</r>"))
    }

    proptest! {
        #[test]
        fn canonical_form_is_its_own_canonical_form(text in any_document()) {
            let once = canonical(&text);
            prop_assert_eq!(canonical(&once), once.clone());
            // The same values are read from both.
            let (before, after) = (tree(&text), tree(&once));
            let names = |t: &XmlTree| -> Vec<String> {
                t.root().descendants().map(|e| format!("{:?}{:?}", e.name(), e.text())).collect()
            };
            prop_assert_eq!(names(&before), names(&after));
        }
    }
}
