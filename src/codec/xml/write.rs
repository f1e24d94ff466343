//! XML text out: what every encoder of ours writes with.
//!
//! Promises: what is written is well-formed whatever the values hold, and reads back as the same values; a
//! character that XML cannot carry becomes U+FFFD. Does not track namespaces: the caller declares them.

/// Writes elements into one string. Names are ours and constant; values are anybody's.
#[derive(Debug, Default)]
pub struct XmlWriter {
    text: String,
    /// A start tag is still open for attributes.
    in_tag: bool,
}

impl XmlWriter {
    /// A document that begins with the XML declaration.
    #[must_use]
    pub fn document() -> Self {
        Self { text: String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"), in_tag: false }
    }

    /// A fragment.
    #[must_use]
    pub fn fragment() -> Self {
        Self::default()
    }

    /// Begins an element.
    pub fn open(&mut self, name: &str) -> &mut Self {
        self.close_tag();
        self.text.push('<');
        self.text.push_str(name);
        self.in_tag = true;
        self
    }

    /// An attribute, or a namespace declaration, of the element just begun.
    pub fn attribute(&mut self, name: &str, value: &str) -> &mut Self {
        debug_assert!(self.in_tag, "an attribute follows the start of its element");
        self.text.push(' ');
        self.text.push_str(name);
        self.text.push_str("=\"");
        push_escaped(&mut self.text, value, attribute_escape);
        self.text.push('"');
        self
    }

    /// Text of the element just begun.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.close_tag();
        push_escaped(&mut self.text, text, text_escape);
        self
    }

    /// Text that is already XML.
    pub fn raw(&mut self, xml: &str) -> &mut Self {
        self.close_tag();
        self.text.push_str(xml);
        self
    }

    /// Ends the element with this name.
    pub fn close(&mut self, name: &str) -> &mut Self {
        if self.in_tag {
            self.text.push_str("/>");
            self.in_tag = false;
        } else {
            self.text.push_str("</");
            self.text.push_str(name);
            self.text.push('>');
        }
        self
    }

    /// An element with nothing but text in it.
    pub fn leaf(&mut self, name: &str, text: &str) -> &mut Self {
        self.open(name).text(text).close(name)
    }

    /// How many octets have been written; a start tag left open is closed first.
    pub fn position(&mut self) -> usize {
        self.close_tag();
        self.text.len()
    }

    /// What was written.
    #[must_use]
    pub fn finish(self) -> String {
        debug_assert!(!self.in_tag, "every element is closed");
        self.text
    }

    fn close_tag(&mut self) {
        if self.in_tag {
            self.text.push('>');
            self.in_tag = false;
        }
    }
}

/// XML 1.0, production 2.
#[must_use]
pub const fn is_xml_char(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

const fn text_escape(character: char) -> Option<&'static str> {
    match character {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        '\r' => Some("&#xD;"),
        _ if is_xml_char(character) => None,
        _ => Some("\u{FFFD}"),
    }
}

const fn attribute_escape(character: char) -> Option<&'static str> {
    match character {
        '"' => Some("&quot;"),
        '\t' => Some("&#x9;"),
        '\n' => Some("&#xA;"),
        '>' => None,
        _ => text_escape(character),
    }
}

fn push_escaped(out: &mut String, text: &str, escape: fn(char) -> Option<&'static str>) {
    for character in text.chars() {
        match escape(character) {
            Some(reference) => out.push_str(reference),
            None => out.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::{XmlLimits, XmlTree};
    use super::*;

    #[test]
    fn elements_nest_and_empty_ones_are_short() {
        let mut writer = XmlWriter::fragment();
        writer.open("a").attribute("b", "1\"<&\t").open("c").close("c").leaf("d", "<>&\r").close("a");
        assert_eq!(writer.finish(), "<a b=\"1&quot;&lt;&amp;&#x9;\"><c/><d>&lt;&gt;&amp;&#xD;</d></a>");
    }

    proptest! {
        #[test]
        fn any_value_reads_back(text in any::<String>(), value in any::<String>()) {
            let mut writer = XmlWriter::document();
            writer.open("a").attribute("b", &value).text(&text).close("a");
            let tree = XmlTree::parse(Bytes::from(writer.finish()), &XmlLimits::ENVELOPE).expect("well-formed");
            let kept = |s: &str| -> String {
                s.chars().map(|c| if is_xml_char(c) { c } else { '\u{FFFD}' }).collect()
            };
            prop_assert_eq!(tree.root().text(), kept(&text));
            prop_assert_eq!(tree.root().attribute("", "b").map(str::to_owned), Some(kept(&value)));
        }
    }
}
