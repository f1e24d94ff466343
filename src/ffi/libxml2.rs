//! The part of libxml2 2.9 that everything here shares: a parsed document with read access to its nodes,
//! its faults as values, its canonical form.
//!
//! Promises: a document never came from a file or the network, has no DTD and no substituted entity; memory
//! is freed on every way out; libxml2 writes nothing to standard error while [`Faults`] are being gathered.
//!
//! Does not bound the shape of a document: libxml2 checks attributes in quadratic time, so octets from
//! outside come here only after `codec` has read them within its limits, and never above the given size.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::sync::Once;

/// A document as libxml2 reads it.
#[derive(Debug)]
pub(super) struct Document(NonNull<XmlDoc>);

/// Which canonical form, with the number that libxml2 gives it (xmlC14NMode).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CanonicalForm {
    /// Canonical XML 1.0.
    Xml10 = 0,
    /// Exclusive XML Canonicalization 1.0, without InclusiveNamespaces.
    Exclusive = 1,
    /// Canonical XML 1.1.
    Xml11 = 2,
}

/// Why octets are no document for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ParseFault {
    TooLarge,
    Malformed(Fault),
    DocumentType,
}

impl Document {
    /// Parses at most `bytes_max` octets; entities stay unexpanded, a DTD is refused.
    pub(super) fn parse(octets: &[u8], bytes_max: usize) -> Result<Self, ParseFault> {
        let length = match c_int::try_from(octets.len()) {
            Ok(length) if octets.len() <= bytes_max => length,
            _ => return Err(ParseFault::TooLarge),
        };
        initialize();
        // SAFETY: `octets` is readable for `length` octets and libxml2 copies what it keeps; the context is
        // freed on every way out, after its last error was copied.
        let (document, fault) = unsafe {
            let context = xmlNewParserCtxt();
            if context.is_null() {
                return Err(ParseFault::Malformed(Fault::of_ours("there is no memory to parse it")));
            }
            let document = xmlCtxtReadMemory(
                context,
                octets.as_ptr().cast(),
                length,
                ptr::null(),
                ptr::null(),
                PARSE_OPTIONS,
            );
            let fault = xmlCtxtGetLastError(context).as_ref().filter(|e| e.level >= ERROR).map(Fault::from);
            xmlFreeParserCtxt(context);
            (NonNull::new(document).map(Self), fault)
        };
        // A prefix without a declaration leaves a document and a fault behind: refused all the same.
        let document = match (document, fault) {
            (Some(document), None) => document,
            (_, Some(fault)) => return Err(ParseFault::Malformed(fault)),
            (None, None) => return Err(ParseFault::Malformed(Fault::of_ours("not XML"))),
        };
        // SAFETY: the document is alive.
        if unsafe { xmlGetIntSubset(document.as_ptr()) }.is_null() {
            Ok(document)
        } else {
            Err(ParseFault::DocumentType)
        }
    }

    pub(super) fn as_ptr(&self) -> *mut XmlDoc {
        self.0.as_ptr()
    }

    /// The root element; a parsed document has one.
    pub(super) fn root(&self) -> Option<Node<'_>> {
        // SAFETY: the document is alive, and outlives the borrow.
        unsafe { Node::root_of(self.as_ptr()) }
    }

    /// Every element in document order, without recursion.
    pub(super) fn elements(&self) -> impl Iterator<Item = Node<'_>> {
        std::iter::successors(self.root(), |at| at.next_in_document(true))
    }

    /// The document as text, in UTF-8.
    pub(super) fn to_octets(&self) -> Vec<u8> {
        let (mut text, mut length) = (ptr::null_mut(), 0);
        // SAFETY: libxml2 stores a buffer of `length` octets that it allocated, or null; it is copied, then
        // freed by the function that belongs to its allocator.
        unsafe {
            xmlDocDumpMemoryEnc(self.as_ptr(), &raw mut text, &raw mut length, c"UTF-8".as_ptr());
            let octets = copied(text.cast(), length);
            release(text.cast());
            octets
        }
    }

    /// The canonical form without comments of the nodes that `visible` says are in; it is asked for elements,
    /// and for text and comments by their parent.
    pub(super) fn canonical(
        &self,
        form: CanonicalForm,
        visible: &dyn Fn(Node<'_>) -> bool,
    ) -> Result<Vec<u8>, Fault> {
        let mut faults = Faults::default();
        let mut visible = visible;
        // SAFETY: the callback's user data is `visible`, which lives during the call; the output buffer is
        // closed here, after its content was copied.
        let octets = faults.gather(|| unsafe {
            let output = xmlAllocOutputBuffer(ptr::null_mut());
            if output.is_null() {
                return None;
            }
            let user_data = ptr::from_mut(&mut visible).cast();
            let document = self.as_ptr();
            let mode = form as c_int;
            let rc = xmlC14NExecute(document, is_visible, user_data, mode, ptr::null_mut(), 0, output);
            let length = c_int::try_from(xmlOutputBufferGetSize(output)).unwrap_or(0);
            let octets = (rc >= 0).then(|| copied(xmlOutputBufferGetContent(output), length));
            xmlOutputBufferClose(output);
            octets
        });
        octets.ok_or_else(|| faults.into_first().unwrap_or_else(|| Fault::of_ours("not canonicalized")))
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        // SAFETY: made by `xmlCtxtReadMemory`, owned by this value alone.
        unsafe { xmlFreeDoc(self.as_ptr()) }
    }
}

/// A node of a live document, for reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Node<'d> {
    at: NonNull<XmlNode>,
    document: PhantomData<&'d Document>,
}

impl<'d> Node<'d> {
    fn new(at: NonNull<XmlNode>) -> Self {
        Self { at, document: PhantomData }
    }

    /// # Safety
    /// `at` is null or a node of a document that outlives `'d`.
    pub(super) unsafe fn from_ptr(at: *mut XmlNode) -> Option<Self> {
        NonNull::new(at).map(Self::new)
    }

    /// # Safety
    /// `document` is alive, and outlives `'d`.
    pub(super) unsafe fn root_of(document: *const XmlDoc) -> Option<Self> {
        // SAFETY: as the caller promises.
        NonNull::new(unsafe { xmlDocGetRootElement(document) }).map(Self::new)
    }

    pub(super) fn as_ptr(self) -> *mut XmlNode {
        self.at.as_ptr()
    }

    fn fields(self) -> &'d XmlNode {
        // SAFETY: a node lives as long as its document, and nothing writes while a caller reads.
        unsafe { self.at.as_ref() }
    }

    pub(super) fn is_element(self) -> bool {
        self.fields().kind == ELEMENT_NODE
    }

    /// Local name.
    pub(super) fn name(self) -> &'d str {
        // SAFETY: names are NUL-terminated and live as long as the document.
        unsafe { text(self.fields().name) }
    }

    /// Namespace URI, empty for none.
    pub(super) fn namespace(self) -> &'d str {
        // SAFETY: as for the name; `ns` is null or a declaration of this document.
        unsafe { self.fields().ns.as_ref().map_or("", |ns| text(ns.href)) }
    }

    pub(super) fn is(self, namespace: &str, name: &str) -> bool {
        self.is_element() && self.name() == name && self.namespace() == namespace
    }

    pub(super) fn parent(self) -> Option<Self> {
        NonNull::new(self.fields().parent).map(Self::new).filter(|parent| parent.is_element())
    }

    /// This element, its parent and so on up to the root.
    pub(super) fn ancestors_and_self(self) -> impl Iterator<Item = Self> {
        std::iter::successors(Some(self), |at| at.parent())
    }

    fn nodes(self) -> impl Iterator<Item = Self> {
        let first = NonNull::new(self.fields().children).map(Self::new);
        std::iter::successors(first, |at| NonNull::new(at.fields().next).map(Self::new))
    }

    /// Child elements.
    pub(super) fn children(self) -> impl Iterator<Item = Self> {
        self.nodes().filter(|node| node.is_element())
    }

    /// The element that follows in document order; without `inward` the children are passed over.
    pub(super) fn next_in_document(self, inward: bool) -> Option<Self> {
        let sibling = |at: Self| {
            std::iter::successors(NonNull::new(at.fields().next).map(Self::new), |node| {
                NonNull::new(node.fields().next).map(Self::new)
            })
            .find(|node| node.is_element())
        };
        let first_child = if inward { self.children().next() } else { None };
        first_child.or_else(|| self.ancestors_and_self().find_map(sibling))
    }

    /// Value of an attribute without namespace, which an empty URI stands for, or with it.
    pub(super) fn attribute(self, namespace: &str, name: &CStr) -> Option<String> {
        let namespace = std::ffi::CString::new(namespace).ok()?;
        // SAFETY: the node is alive, both names are NUL-terminated; libxml2 returns null or a copy that is
        // ours to free, which happens after it was copied once more.
        unsafe {
            let value = if namespace.is_empty() {
                xmlGetNoNsProp(self.as_ptr(), name.as_ptr())
            } else {
                xmlGetNsProp(self.as_ptr(), name.as_ptr(), namespace.as_ptr())
            };
            let copy = (!value.is_null()).then(|| text(value).to_owned());
            release(value.cast());
            copy
        }
    }

    /// The text of an element that has nothing but text; `None` when anything else is in it.
    pub(super) fn only_text(self) -> Option<String> {
        self.nodes().map(Self::text).collect()
    }

    /// The content of a text node or CDATA section.
    fn text(self) -> Option<&'d str> {
        let is_text = matches!(self.fields().kind, TEXT_NODE | CDATA_NODE);
        // SAFETY: these are whole `xmlNode`s; their content is NUL-terminated, or null.
        is_text.then(|| unsafe { text((*self.as_ptr().cast::<XmlText>()).content) })
    }

    /// The namespace URI that a prefix is bound to here.
    pub(super) fn namespace_of_prefix(self, prefix: &str) -> Option<String> {
        let prefix = std::ffi::CString::new(prefix).ok()?;
        // SAFETY: node and document are alive; the declaration that is found belongs to the document.
        unsafe {
            let ns = xmlSearchNs(self.fields().doc, self.as_ptr(), prefix.as_ptr());
            ns.as_ref().map(|ns| text(ns.href).to_owned())
        }
    }
}

/// One thing that libxml2 has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Line, from 1; 0 when unknown.
    pub(super) line: u32,
    /// libxml2's number (`xmlParserErrors`); 0 for what is not from libxml2.
    pub(super) code: i32,
    pub(super) message: String,
}

impl Fault {
    fn of_ours(message: &str) -> Self {
        Self { line: 0, code: 0, message: message.to_owned() }
    }
}

impl From<&XmlError> for Fault {
    fn from(error: &XmlError) -> Self {
        // SAFETY: an error's message is null or NUL-terminated, and lives during this call.
        let message = unsafe { text(error.message) };
        let readable = message.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
        let message = readable.take(FAULT_CHARS_MAX).collect();
        Self { line: u32::try_from(error.line).unwrap_or(0), code: error.code, message }
    }
}

/// What libxml2 says on this thread, instead of writing it to standard error.
#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    /// Runs `work` with this thread's faults coming here.
    pub(super) fn gather<T>(&mut self, work: impl FnOnce() -> T) -> T {
        initialize();
        // SAFETY: `self` outlives `_redirect`.
        let _redirect = unsafe { Redirect::new(ptr::from_mut(self).cast(), collect_fault) };
        work()
    }

    pub(super) fn into_first(self) -> Option<Fault> {
        self.0.into_iter().next()
    }
}

/// While it lives, a handler gets what libxml2 says on this thread; then the one before it does again.
pub(super) struct Redirect(Option<StructuredErrorHandler>, *mut c_void);

impl Redirect {
    /// # Safety
    /// `collector` is what `handler` expects, and stays so while this value lives.
    pub(super) unsafe fn new(collector: *mut c_void, handler: StructuredErrorHandler) -> Self {
        // SAFETY: both accessors give this thread's own variables, which live as long as the thread.
        unsafe {
            let before = Self(*__xmlStructuredError(), *__xmlStructuredErrorContext());
            xmlSetStructuredErrorFunc(collector, Some(handler));
            before
        }
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        // SAFETY: puts back this thread's handler with the context that belongs to it.
        unsafe { xmlSetStructuredErrorFunc(self.1, self.0) }
    }
}

/// Prepares libxml2, once per process.
pub(super) fn initialize() {
    static ONCE: Once = Once::new();
    // SAFETY: called once; libxml2 guards its own initialization against other callers.
    ONCE.call_once(|| unsafe { xmlInitParser() });
}

unsafe extern "C" fn collect_fault(faults: *mut c_void, error: *const XmlError) {
    // SAFETY: `gather` passes its `Faults`, and libxml2 an error that lives during this call.
    if let (Some(faults), Some(error)) = unsafe { (faults.cast::<Faults>().as_mut(), error.as_ref()) }
        && faults.0.len() < FAULTS_MAX
    {
        faults.0.push(Fault::from(error));
    }
}

/// Asked by C14N for every node; namespaces and attributes go with their element.
unsafe extern "C" fn is_visible(user_data: *mut c_void, node: *mut XmlNode, parent: *mut XmlNode) -> c_int {
    // SAFETY: `canonical` passes its closure, and libxml2 live nodes; a namespace declaration shares only
    // the place of `kind` with a node, and just that is read of it.
    unsafe {
        let Some(visible) = user_data.cast::<&dyn Fn(Node<'_>) -> bool>().as_ref() else { return 0 };
        let own = !node.is_null() && (*node).kind == ELEMENT_NODE;
        match Node::from_ptr(if own { node } else { parent }) {
            Some(element) if element.is_element() => c_int::from(visible(element)),
            _ => 1,
        }
    }
}

/// The octets at a pointer of libxml2; none for null.
///
/// # Safety
/// `octets` is null or readable for `length` octets.
unsafe fn copied(octets: *const c_char, length: c_int) -> Vec<u8> {
    match usize::try_from(length) {
        // SAFETY: as the caller promises.
        Ok(length) if !octets.is_null() => {
            unsafe { std::slice::from_raw_parts(octets.cast(), length) }.to_vec()
        }
        _ => Vec::new(),
    }
}

/// A string of libxml2, which keeps everything in UTF-8; empty for null.
///
/// # Safety
/// `text` is null or a NUL-terminated string that lives for `'a`.
pub(super) unsafe fn text<'a>(text: *const c_char) -> &'a str {
    // SAFETY: as the caller promises.
    if text.is_null() { "" } else { unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("\u{fffd}") }
}

/// Frees what libxml2 allocated for us.
///
/// # Safety
/// `memory` is null or came from libxml2's allocator and is not used again.
pub(super) unsafe fn release(memory: *mut c_void) {
    // SAFETY: `xmlFree` is set when the library is loaded and nobody replaces it.
    if let Some(free) = unsafe { xmlFree }
        && !memory.is_null()
    {
        // SAFETY: as the caller promises.
        unsafe { free(memory) }
    }
}

const FAULTS_MAX: usize = 16;
const FAULT_CHARS_MAX: usize = 400;

/// `NOERROR | NOWARNING | NONET | BIG_LINES` of `xmlParserOption`; never `HUGE`, never `NOENT`.
const PARSE_OPTIONS: c_int = 1 << 5 | 1 << 6 | 1 << 11 | 1 << 22;
/// `XML_ERR_ERROR` of `xmlErrorLevel`; below it are warnings.
const ERROR: c_int = 2;
pub(super) const ELEMENT_NODE: c_int = 1;
const TEXT_NODE: c_int = 3;
const CDATA_NODE: c_int = 4;

/// `xmlError` of libxml2 2.9.
#[repr(C)]
pub(super) struct XmlError {
    pub(super) domain: c_int,
    pub(super) code: c_int,
    pub(super) message: *const c_char,
    level: c_int,
    pub(super) file: *const c_char,
    pub(super) line: c_int,
    str1: *const c_char,
    str2: *const c_char,
    str3: *const c_char,
    int1: c_int,
    int2: c_int,
    ctxt: *mut c_void,
    pub(super) node: *mut c_void,
}

/// The beginning that `xmlNode` and `xmlAttr` of libxml2 2.9 share.
#[repr(C)]
pub(super) struct XmlNode {
    private: *mut c_void,
    pub(super) kind: c_int,
    pub(super) name: *const c_char,
    children: *mut Self,
    last: *mut Self,
    pub(super) parent: *mut Self,
    pub(super) next: *mut Self,
    pub(super) prev: *mut Self,
    doc: *mut XmlDoc,
    pub(super) ns: *const XmlNs,
}

/// `xmlNode` as far as the content of a text node.
#[repr(C)]
struct XmlText {
    node: XmlNode,
    content: *const c_char,
}

/// `xmlNs` of libxml2 2.9.
#[repr(C)]
pub(super) struct XmlNs {
    next: *const Self,
    kind: c_int,
    pub(super) href: *const c_char,
    pub(super) prefix: *const c_char,
}

/// `xmlDoc`, opaque here.
#[repr(C)]
pub(super) struct XmlDoc {
    opaque: [u8; 0],
}

pub(super) type StructuredErrorHandler = unsafe extern "C" fn(*mut c_void, *const XmlError);
type IsVisible = unsafe extern "C" fn(*mut c_void, *mut XmlNode, *mut XmlNode) -> c_int;

// SAFETY: the signatures are those of libxml2 2.9.14's headers, with `xmlChar *` as `char *`.
unsafe extern "C" {
    static xmlFree: Option<unsafe extern "C" fn(*mut c_void)>;

    fn xmlInitParser();
    fn xmlSetStructuredErrorFunc(context: *mut c_void, handler: Option<StructuredErrorHandler>);
    fn __xmlStructuredError() -> *mut Option<StructuredErrorHandler>;
    fn __xmlStructuredErrorContext() -> *mut *mut c_void;

    fn xmlNewParserCtxt() -> *mut c_void;
    fn xmlFreeParserCtxt(context: *mut c_void);
    fn xmlCtxtReadMemory(
        context: *mut c_void,
        buffer: *const c_char,
        size: c_int,
        url: *const c_char,
        encoding: *const c_char,
        options: c_int,
    ) -> *mut XmlDoc;
    fn xmlCtxtGetLastError(context: *mut c_void) -> *const XmlError;
    fn xmlGetIntSubset(document: *const XmlDoc) -> *mut c_void;
    fn xmlFreeDoc(document: *mut XmlDoc);
    fn xmlDocGetRootElement(document: *const XmlDoc) -> *mut XmlNode;
    fn xmlDocDumpMemoryEnc(
        document: *mut XmlDoc,
        text: *mut *mut c_char,
        length: *mut c_int,
        encoding: *const c_char,
    );

    fn xmlGetNsProp(node: *const XmlNode, name: *const c_char, namespace: *const c_char) -> *mut c_char;
    fn xmlGetNoNsProp(node: *const XmlNode, name: *const c_char) -> *mut c_char;
    fn xmlSearchNs(document: *mut XmlDoc, node: *mut XmlNode, prefix: *const c_char) -> *const XmlNs;

    fn xmlAllocOutputBuffer(encoder: *mut c_void) -> *mut c_void;
    fn xmlOutputBufferGetContent(output: *mut c_void) -> *const c_char;
    fn xmlOutputBufferGetSize(output: *mut c_void) -> usize;
    fn xmlOutputBufferClose(output: *mut c_void) -> c_int;
    fn xmlC14NExecute(
        document: *mut XmlDoc,
        is_visible: IsVisible,
        user_data: *mut c_void,
        mode: c_int,
        inclusive_prefixes: *mut *mut c_char,
        with_comments: c_int,
        output: *mut c_void,
    ) -> c_int;
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn layouts_are_those_of_the_c_headers() {
        assert_eq!(size_of::<XmlError>(), 88);
        assert_eq!(
            [
                offset_of!(XmlError, message),
                offset_of!(XmlError, level),
                offset_of!(XmlError, line),
                offset_of!(XmlError, node),
            ],
            [8, 16, 32, 80]
        );
        assert_eq!(
            [offset_of!(XmlNs, kind), offset_of!(XmlNs, href), offset_of!(XmlNs, prefix)],
            [8, 16, 24]
        );
        assert_eq!(
            [
                offset_of!(XmlNode, kind),
                offset_of!(XmlNode, name),
                offset_of!(XmlNode, children),
                offset_of!(XmlNode, parent),
                offset_of!(XmlNode, next),
                offset_of!(XmlNode, prev),
                offset_of!(XmlNode, doc),
                offset_of!(XmlNode, ns),
                offset_of!(XmlText, content),
            ],
            [8, 16, 24, 40, 48, 56, 64, 72, 80]
        );
    }

    #[test]
    fn what_is_no_document_for_us_is_refused_s5() {
        fn check(octets: &str, expected: &str) {
            let fault = Document::parse(octets.as_bytes(), 200).expect_err(octets);
            assert!(format!("{fault:?}").contains(expected), "{octets}: {fault:?}");
        }
        check("<a", "Couldn't find end of Start Tag a");
        check("", "Document is empty");
        check("<a><p:b/></a>", "Namespace prefix p on b is not defined");
        check("<!DOCTYPE a><a/>", "DocumentType");
        check("<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]><a>&e;</a>", "DocumentType");
        check("<a>&e;</a>", "Entity 'e' not defined");
        check(&format!("<a>{}</a>", "x".repeat(200)), "TooLarge");
    }

    #[test]
    fn a_document_is_walked_and_read() {
        let octets =
            "<a xmlns:p='urn:p' p:k='1&lt;&#65;' k='2'><p:b>x<![CDATA[<]]>y</p:b><!-- --><c><d/></c><e/></a>";
        let document = Document::parse(octets.as_bytes(), LIMIT).expect("well-formed");
        let names: Vec<_> = document.elements().map(Node::name).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e"]);
        let root = document.root().expect("a root");
        assert_eq!(root.attribute("urn:p", c"k").as_deref(), Some("1<A"));
        assert_eq!(root.attribute("", c"k").as_deref(), Some("2"));
        assert_eq!(root.attribute("urn:q", c"k"), None);
        let b = root.children().next().expect("a child");
        assert!(b.is("urn:p", "b"));
        assert_eq!(b.only_text().as_deref(), Some("x<y"));
        assert_eq!(root.only_text(), None);
        assert_eq!(b.namespace_of_prefix("p").as_deref(), Some("urn:p"));
        assert_eq!(b.namespace_of_prefix("q"), None);
        let c = b.next_in_document(true).expect("a sibling");
        assert_eq!(c.next_in_document(false).map(Node::name), Some("e"));
    }

    #[test]
    fn the_canonical_form_leaves_out_what_is_not_visible() {
        let octets = "<?xml version='1.0'?>\r\n<a  z='1' b='2'><!--x--><b/>\r\n<c><d/>&#13;</c></a>";
        let document = Document::parse(octets.as_bytes(), LIMIT).expect("well-formed");
        let whole = document.canonical(CanonicalForm::Xml10, &|_| true).expect("canonical");
        assert_eq!(String::from_utf8_lossy(&whole), "<a b=\"2\" z=\"1\"><b></b>\n<c><d></d>&#xD;</c></a>");
        let hidden = document
            .canonical(CanonicalForm::Xml10, &|node| node.ancestors_and_self().all(|n| n.name() != "c"));
        assert_eq!(String::from_utf8_lossy(&hidden.expect("canonical")), "<a b=\"2\" z=\"1\"><b></b>\n</a>");
        let relative = Document::parse(b"<a xmlns='relative'/>", LIMIT).expect("well-formed");
        let fault = relative
            .canonical(CanonicalForm::Xml10, &|_| true)
            .expect_err("a relative namespace has no canonical form");
        assert!(fault.message.contains("Relative namespace"), "{fault:?}");
    }
}
