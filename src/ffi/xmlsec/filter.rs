//! The actor filter: what the one XPath expression of ebMS 2.0, 4.1.3 does, as a transform of our own in
//! the place of libxmlsec1's XPath class.
//!
//! Promises: the expression is compared, never evaluated (libxmlsec1 evaluates XPath in quadratic time,
//! before any signature is checked); only the actors that it names are left out, each element with its
//! subtree; every other expression fails the signature.
//!
//! Known spellings: any prefix bound to the SOAP namespace, either quote, white space anywhere between
//! tokens, the alternatives in either order, and `service:nextMSH` for `actor:nextMSH`, which was printed
//! in error and is in use.

use std::ffi::{c_int, c_uint};
use std::mem::size_of;

use super::super::libxml2::Node;
use super::raw::{self, Transform, TransformCtx, TransformKlass};
use super::{DSIG, SOAP, io};

/// The most elements that may be left out of one envelope: libxmlsec1 asks each of them about each node.
pub(super) const EXCLUDED_MAX: usize = 64;

/// The actors whose elements an expression can leave out.
const ACTORS: [&str; 3] = [
    "urn:oasis:names:tc:ebxml-msg:actor:nextMSH",
    "urn:oasis:names:tc:ebxml-msg:service:nextMSH",
    "http://schemas.xmlsoap.org/soap/actor/next",
];

/// A set of [`ACTORS`], one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ActorSet(c_uint);

impl ActorSet {
    /// The set of those actors that are known here.
    pub(super) fn of(actors: &[&str]) -> Self {
        let bit = |(i, known): (usize, &&str)| if actors.contains(known) { 1 << i } else { 0 };
        Self(ACTORS.iter().enumerate().map(bit).sum())
    }

    fn holds(self, actor: &str) -> bool {
        self.0 & Self::of(&[actor]).0 != 0
    }

    /// The set that the expression in a `ds:Transform` names; `None` when it is not the one expression.
    pub(super) fn read(transform: Node<'_>) -> Option<Self> {
        let mut children = transform.children();
        let (xpath, None) = (children.next()?, children.next()) else { return None };
        if !xpath.is(DSIG, "XPath") {
            return None;
        }
        recognize(&xpath.only_text()?, |prefix| xpath.namespace_of_prefix(prefix))
    }

    /// The topmost elements with one of these actors, in document order.
    pub(super) fn elements(self, root: Node<'_>) -> Vec<Node<'_>> {
        let mut found = Vec::new();
        let mut at = Some(root);
        while let Some(element) = at {
            let excluded = element.attribute(SOAP, c"actor").is_some_and(|actor| self.holds(&actor));
            found.extend(excluded.then_some(element));
            at = element.next_in_document(!excluded);
        }
        found
    }
}

/// `not(step|step)`, one step for each next actor.
fn recognize(expression: &str, namespace_of_prefix: impl Fn(&str) -> Option<String>) -> Option<ActorSet> {
    let tokens = tokens(expression)?;
    let [Token::Name("not"), Token::Sign('('), union @ .., Token::Sign(')')] = tokens.as_slice() else {
        return None;
    };
    let bar = union.iter().position(|token| *token == Token::Sign('|'))?;
    let (left, right) = (union.get(..bar)?, union.get(bar + 1..)?);
    let actor = |step: &[Token<'_>]| {
        let (prefix, actor) = actor_of_step(step)?;
        (namespace_of_prefix(prefix)? == SOAP).then(|| ActorSet::of(&[actor]))
    };
    let (ActorSet(left), ActorSet(right)) = (actor(left)?, actor(right)?);
    let next = ActorSet::of(&["http://schemas.xmlsoap.org/soap/actor/next"]).0;
    let one_of_each = left != 0 && right != 0 && (left == next) != (right == next);
    one_of_each.then_some(ActorSet(left | right))
}

/// Prefix and actor of `ancestor-or-self::node()[@prefix:actor="..."]`.
fn actor_of_step<'e>(step: &[Token<'e>]) -> Option<(&'e str, &'e str)> {
    use Token::{Axis, Literal, Name, Sign};
    let [
        Name("ancestor-or-self"),
        Axis,
        Name("node"),
        Sign('('),
        Sign(')'),
        Sign('['),
        Sign('@'),
        Name(attribute),
        Sign('='),
        Literal(actor),
        Sign(']'),
    ] = step
    else {
        return None;
    };
    let (prefix, "actor") = attribute.split_once(':')? else { return None };
    Some((prefix, actor))
}

/// What an expression is made of, as far as the one expression needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'e> {
    /// A name, with its prefix if it has one.
    Name(&'e str),
    /// `::`
    Axis,
    Sign(char),
    Literal(&'e str),
}

fn tokens(expression: &str) -> Option<Vec<Token<'_>>> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start_matches(XML_SPACE);
    while let Some(first) = rest.chars().next() {
        let (token, after) = if let Some(after) = rest.strip_prefix("::") {
            (Token::Axis, after)
        } else if let Some(quoted) = rest.strip_prefix(['"', '\'']) {
            let (literal, after) = quoted.split_once(first)?;
            (Token::Literal(literal), after)
        } else if let Some(after) = rest.strip_prefix(['(', ')', '[', ']', '@', '=', '|']) {
            (Token::Sign(first), after)
        } else {
            let name = rest.trim_start_matches(is_name);
            // One colon and a name after it belong to the name; two are an axis.
            let local = name.strip_prefix(':').filter(|local| local.starts_with(is_name));
            let after = local.map_or(name, |local| local.trim_start_matches(is_name));
            let text = rest.strip_suffix(after).filter(|text| !text.is_empty())?;
            (Token::Name(text), after)
        };
        tokens.push(token);
        if tokens.len() > TOKENS_MAX {
            return None;
        }
        rest = after.trim_start_matches(XML_SPACE);
    }
    Some(tokens)
}

const XML_SPACE: [char; 4] = [' ', '\t', '\r', '\n'];
/// The one expression has 26.
const TOKENS_MAX: usize = 32;

/// Our class: the built-in one with its own reading and execution.
pub(super) fn klass(built_in: &TransformKlass) -> TransformKlass {
    TransformKlass {
        object_size: raw::Size::try_from(size_of::<FilterTransform>()).expect("some hundred octets"),
        initialize: Some(initialize),
        finalize: Some(finalize),
        read_node: Some(read_node),
        execute: Some(execute),
        ..*built_in
    }
}

/// An instance of our class; libxmlsec1 allocates it, zeroed, with the size that the class tells.
#[repr(C)]
struct FilterTransform {
    base: Transform,
    actors: ActorSet,
}

unsafe extern "C" fn initialize(transform: *mut Transform) -> c_int {
    // SAFETY: libxmlsec1 passes an instance of our class.
    match unsafe { transform.cast::<FilterTransform>().as_mut() } {
        Some(filter) => {
            filter.actors = ActorSet(0);
            0
        }
        None => -1,
    }
}

/// Nothing of an instance is allocated by us.
unsafe extern "C" fn finalize(_transform: *mut Transform) {}

unsafe extern "C" fn read_node(
    transform: *mut Transform,
    node: *mut super::XmlNode,
    _context: *mut TransformCtx,
) -> c_int {
    // SAFETY: libxmlsec1 passes an instance of our class and a live node of the message's document.
    let (Some(filter), Some(node)) =
        (unsafe { (transform.cast::<FilterTransform>().as_mut(), Node::from_ptr(node)) })
    else {
        return -1;
    };
    let Some(actors) = ActorSet::read(node) else {
        io::report("the XPath expression is not that of ebMS 2.0, 4.1.3".to_owned());
        return -1;
    };
    filter.actors = actors;
    0
}

/// Takes the excluded subtrees from the nodes that came in; those are never null, because the profile puts
/// the enveloped-signature transform first.
unsafe extern "C" fn execute(transform: *mut Transform, _last: c_int, _context: *mut TransformCtx) -> c_int {
    // SAFETY: libxmlsec1 passes an instance of our class with the node set of the transform before it, whose
    // document is alive. A set that `xmlSecNodeSetAdd` took belongs to the set it was added to; one that it
    // did not take is destroyed here. Incoming and outgoing set being one is what libxmlsec1 expects of a
    // transform that changes its input in place: it destroys the outgoing set only when it is another.
    unsafe {
        let Some(filter) = transform.cast::<FilterTransform>().as_mut() else { return -1 };
        let nodes = filter.base.in_nodes;
        if nodes.is_null() || !filter.base.out_nodes.is_null() || filter.actors == ActorSet(0) {
            return -1;
        }
        let document = (*nodes).doc;
        let Some(root) = Node::root_of(document) else { return -1 };
        let excluded = filter.actors.elements(root);
        if excluded.len() > EXCLUDED_MAX {
            io::report(format!("more than {EXCLUDED_MAX} elements to leave out"));
            return -1;
        }
        for element in excluded {
            let subtree = raw::xmlSecNodeSetGetChildren(document, element.as_ptr(), 1, 0);
            if subtree.is_null() {
                return -1;
            }
            if raw::xmlSecNodeSetAdd(nodes, subtree, raw::NODE_SET_SUBTRACTION).is_null() {
                raw::xmlSecNodeSetDestroy(subtree);
                return -1;
            }
        }
        filter.base.out_nodes = nodes;
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEXT_MSH: &str = "urn:oasis:names:tc:ebxml-msg:actor:nextMSH";
    const MISPRINT: &str = "urn:oasis:names:tc:ebxml-msg:service:nextMSH";
    const NEXT: &str = "http://schemas.xmlsoap.org/soap/actor/next";

    fn step(prefix: &str, actor: &str) -> String {
        format!("ancestor-or-self::node()[@{prefix}:actor=\"{actor}\"]")
    }

    fn check(expression: &str, expected: Option<&[&str]>) {
        let namespaces = |prefix: &str| match prefix {
            "soap" | "SOAP-ENV" | "é" => Some(SOAP.to_owned()),
            "eb" => Some("urn:other".to_owned()),
            _ => None,
        };
        assert_eq!(recognize(expression, namespaces), expected.map(ActorSet::of), "{expression}");
    }

    #[test]
    fn known_spellings_name_their_actors() {
        let plain = format!("not({}|{})", step("soap", NEXT_MSH), step("soap", NEXT));
        check(&plain, Some(&[NEXT_MSH, NEXT]));
        check(&plain.replace('"', "'"), Some(&[NEXT_MSH, NEXT]));
        check(&plain.replace("soap:", "SOAP-ENV:"), Some(&[NEXT_MSH, NEXT]));
        check(&plain.replace("soap:", "é:"), Some(&[NEXT_MSH, NEXT]));
        check(&plain.replace(NEXT_MSH, MISPRINT), Some(&[MISPRINT, NEXT]));
        check(&format!("not({}|{})", step("soap", NEXT), step("soap", NEXT_MSH)), Some(&[NEXT_MSH, NEXT]));
        let spaced = plain.replace('(', " (\n ").replace('|', "\t|\r\n").replace("::", " :: ");
        check(&format!("  {spaced} \n"), Some(&[NEXT_MSH, NEXT]));
    }

    #[test]
    fn every_other_expression_is_refused() {
        let (a, b) = (step("soap", NEXT_MSH), step("soap", NEXT));
        let plain = format!("not({a}|{b})");
        for other in [
            String::new(),
            "true()".to_owned(),
            format!("not({a})"),
            format!("not({a}|{a})"),
            format!("not({b}|{b})"),
            format!("not({a}|{})", step("soap", MISPRINT)),
            format!("not({a}|{b}|{b})"),
            format!("false() and {plain}"),
            format!("{plain} or true()"),
            format!("not(not({a}|{b}))"),
            plain.replace("soap:actor", "actor"),
            plain.replace("soap:actor", "eb:actor"),
            plain.replace("soap:actor", "none:actor"),
            plain.replace("soap:actor", "soap:role"),
            plain.replace("soap:actor", "soap :actor"),
            plain.replace("ancestor-or-self", "ancestor"),
            plain.replace("ancestor-or-self", "ancestor -or-self"),
            plain.replace("node()", "*"),
            plain.replace("actor/next\"", "actor/next "),
            plain.replace("actor/next\"", "actor/next \""),
            plain.replace("actor/next", "actor/other"),
            plain.replace('=', "!="),
            plain.to_uppercase(),
            "(".repeat(100_000),
        ] {
            check(&other, None);
        }
    }
}
