//! The one XPath expression of ebMS 2.0, 4.1.3, known by sight: what it leaves out is found without any XPath.
//!
//! Promises: an expression is compared and never evaluated (S6). Known spellings: any prefix bound to the SOAP
//! namespace, either quote, white space between tokens, the alternatives in either order, and `service:nextMSH`
//! for `actor:nextMSH`, a misprint that signers use. Only the actors that the expression names are left out.

use super::profile::SOAP;
use crate::codec::xml::Element;
use crate::model::Actor;

/// The actors whose elements an expression leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ActorFilter {
    /// The next MSH as the expression spells it.
    next_msh: &'static str,
}

impl ActorFilter {
    /// The filter that we sign with.
    pub(super) const OURS: Self = Self { next_msh: Actor::NEXT_MSH };

    /// The filter that an expression in this element means; `None` when it is not the one expression.
    pub(super) fn read(xpath: Element<'_>) -> Option<Self> {
        Self::recognize(&xpath.text(), |prefix| xpath.namespace_of_prefix(prefix) == Some(SOAP))
    }

    fn recognize(expression: &str, is_soap: impl Fn(&str) -> bool) -> Option<Self> {
        let mut rest = Expression(expression);
        rest.take_all(&["not", "("])?;
        let first = rest.actor_of_step(&is_soap)?;
        rest.take_all(&["|"])?;
        let second = rest.actor_of_step(&is_soap)?;
        rest.take_all(&[")"])?;
        let ((Actor::SOAP_NEXT, next_msh) | (next_msh, Actor::SOAP_NEXT)) = (first, second) else {
            return None;
        };
        let known = NEXT_MSH.iter().find(|known| **known == next_msh)?;
        rest.is_at_end().then_some(Self { next_msh: known })
    }

    /// Whether the expression leaves this element out, and all that is in it.
    pub(super) fn excludes(self, element: Element<'_>) -> bool {
        element.attribute(SOAP, "actor").is_some_and(|actor| self.names(actor))
    }

    /// The actors that it names.
    pub(super) const fn actors(self) -> [&'static str; 2] {
        [self.next_msh, Actor::SOAP_NEXT]
    }

    fn names(self, actor: &str) -> bool {
        self.actors().contains(&actor)
    }
}

/// The rest of an expression.
struct Expression<'e>(&'e str);

impl<'e> Expression<'e> {
    /// Takes these tokens, with white space before any of them.
    fn take_all(&mut self, tokens: &[&str]) -> Option<()> {
        for token in tokens {
            self.0 = self.0.trim_start_matches(XML_SPACE).strip_prefix(token)?;
        }
        Some(())
    }

    /// Takes `ancestor-or-self::node()[@prefix:actor="…"]` and gives the actor.
    fn actor_of_step(&mut self, is_soap: impl Fn(&str) -> bool) -> Option<&'e str> {
        self.take_all(&["ancestor-or-self", "::", "node", "(", ")", "[", "@"])?;
        // No white space inside a qualified name.
        let (prefix, rest) = self.0.trim_start_matches(XML_SPACE).split_once(':')?;
        self.0 = rest.strip_prefix("actor").filter(|_| is_soap(prefix))?;
        self.take_all(&["="])?;
        let quoted = self.0.trim_start_matches(XML_SPACE);
        let quote = quoted.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (actor, rest) = quoted.strip_prefix(quote)?.split_once(quote)?;
        self.0 = rest;
        self.take_all(&["]"])?;
        Some(actor)
    }

    fn is_at_end(&self) -> bool {
        self.0.trim_start_matches(XML_SPACE).is_empty()
    }
}

const XML_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
const NEXT_MSH: [&str; 2] = [Actor::NEXT_MSH, "urn:oasis:names:tc:ebxml-msg:service:nextMSH"];

#[cfg(test)]
mod tests {
    use super::*;

    const EXPRESSION: &str = "not(ancestor-or-self::node()[@soap:actor=\
        \"urn:oasis:names:tc:ebxml-msg:actor:nextMSH\"]|ancestor-or-self::node()[@soap:actor=\
        \"http://schemas.xmlsoap.org/soap/actor/next\"])";

    fn step(prefix: &str, actor: &str) -> String {
        format!("ancestor-or-self::node()[@{prefix}:actor=\"{actor}\"]")
    }

    fn check(expression: &str, expected: Option<&str>) {
        let found = ActorFilter::recognize(expression, |prefix| matches!(prefix, "soap" | "SOAP-ENV" | "é"));
        assert_eq!(found.map(|filter| filter.next_msh), expected, "{expression}");
    }

    //= ebms2 4.1.3 MUST: the XPath expression is known in its spellings: prefixes, quotes, white space, order, the misprinted URN
    #[test]
    fn known_spellings_name_their_actors() {
        let [known, misprint] = NEXT_MSH;
        check(EXPRESSION, Some(known));
        check(&EXPRESSION.replace('"', "'"), Some(known));
        check(&EXPRESSION.replace("soap:", "SOAP-ENV:"), Some(known));
        check(&EXPRESSION.replace("soap:", "é:"), Some(known));
        check(&EXPRESSION.replace(known, misprint), Some(misprint));
        let swapped = format!("not({}|{})", step("soap", Actor::SOAP_NEXT), step("soap", known));
        check(&swapped, Some(known));
        let spaced = EXPRESSION.replace('(', " (\n ").replace('|', "\t|\r\n").replace("::", " :: ");
        check(&format!("  {spaced} \n"), Some(known));
    }

    //= ebms2 4.1.3 MUST: every other XPath expression is refused, and none evaluated
    #[test]
    fn every_other_expression_is_refused() {
        let [known, misprint] = NEXT_MSH;
        let (a, b) = (step("soap", known), step("soap", Actor::SOAP_NEXT));
        let plain = format!("not({a}|{b})");
        check(&plain, Some(known));
        for other in [
            String::new(),
            "true()".to_owned(),
            format!("not({a})"),
            format!("not({a}|{a})"),
            format!("not({b}|{b})"),
            format!("not({a}|{})", step("soap", misprint)),
            format!("not({a}|{b}|{b})"),
            format!("false() and {plain}"),
            format!("{plain} or true()"),
            format!("not(not({a}|{b}))"),
            plain.replace("soap:actor", "actor"),
            plain.replace("soap:actor", "eb:actor"),
            plain.replace("soap:actor", "soap:role"),
            plain.replace("soap:actor", "soap :actor"),
            plain.replace("soap:actor", "soap: actor"),
            plain.replace("soap:actor", "soap:actors"),
            plain.replace("ancestor-or-self", "ancestor"),
            plain.replace("ancestor-or-self", "ancestor -or-self"),
            plain.replace("::", ": :"),
            plain.replace("node()", "*"),
            plain.replace("actor/next\"", "actor/next "),
            plain.replace("actor/next\"", "actor/next \""),
            plain.replace("actor/next\"", "actor/next'"),
            plain.replace("actor/next", "actor/other"),
            plain.replace('=', "!="),
            plain.to_uppercase(),
            "(".repeat(100_000),
        ] {
            check(&other, None);
        }
    }
}
