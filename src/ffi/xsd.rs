//! XML Schema validation by libxml2 2.9: a schema is compiled once, shared by every thread, and only ever
//! reads files that it was handed: those embedded in the program, and those of a checked catalogue.
//!
//! Promises: nothing is opened while a schema is compiled or a document is validated, neither file nor
//! network (S5, S9); `HUGE` and `NOENT` are never set; all findings of a document are told at once, each with
//! line, code, a plain sentence and the path of its element; memory is freed on every way out.
//!
//! Does not bound the shape of a document: libxml2 checks attributes in quadratic time, so callers hand in
//! octets that `codec::xml` has read within its limits. A DTD that comes here all the same is
//! refused, and so is a document over [`DOCUMENT_BYTES_MAX`].

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::ptr::{self, NonNull};
use std::sync::{Arc, Once};

use bytes::Bytes;

use super::libxml2::{
    Document, ELEMENT_NODE, Fault, ParseFault, Redirect, StructuredErrorHandler, XmlDoc, XmlError, XmlNode,
    initialize, text,
};

/// The largest document that is validated.
pub const DOCUMENT_BYTES_MAX: usize = 16 << 20;

/// Findings that are told of one document; a last one says that there are more.
pub const FINDINGS_MAX: usize = 100;

/// The longest message or path of a finding, in characters.
const TEXT_CHARS_MAX: usize = 400;

/// Files that a schema may be made of: path below `schemas/`, octets. Cheap to clone.
pub type SchemaFiles = Arc<BTreeMap<String, Bytes>>;

/// One way in which a document breaks its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFinding {
    /// Line, from 1; 0 when libxml2 names none.
    pub line: u32,
    /// libxml2's number of the rule (`xmlParserErrors`), such as 1871 for an unexpected element; 0 for a
    /// limit of ours.
    pub code: i32,
    /// A plain sentence, without namespaces and line ends.
    pub message: String,
    /// Path of the element or attribute, such as `/Declaration/GovernmentAgencyGoodsItem[2]/Commodity`.
    pub path: String,
}

/// Why a schema does not compile: a fault of whoever wrote it, not of a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schema {entry} does not compile: {}", told(faults))]
pub struct SchemaError {
    /// The entry file.
    pub entry: String,
    /// What libxml2 said, in order.
    pub faults: Vec<SchemaFault>,
}

/// One thing that is wrong with a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaFault {
    /// The file, as it is called among the files of the schema; empty when libxml2 names none.
    pub file: String,
    /// Line, from 1; 0 when libxml2 names none.
    pub line: u32,
    /// A plain sentence.
    pub message: String,
}

fn told(faults: &[SchemaFault]) -> String {
    let one = |SchemaFault { file, line, message }: &SchemaFault| format!("{file}:{line}: {message}");
    faults.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// Namespaces and the prefixes that paths show for them; an element of another namespace shows none.
pub type PathPrefixes = &'static [(&'static str, &'static str)];

/// A compiled schema.
#[derive(Debug)]
pub struct Schema {
    compiled: NonNull<c_void>,
    prefixes: PathPrefixes,
}

// SAFETY: libxml2 does not write to a compiled `xmlSchema`; what a validation changes is in its own
// `xmlSchemaValidCtxt`, of which `validate` makes one each time. Freed once, by `Drop`.
unsafe impl Send for Schema {}
// SAFETY: as for `Send`; shared reading of one schema by many threads is what libxml2 documents.
unsafe impl Sync for Schema {}

impl Schema {
    /// Compiles the schema whose entry is `entry`; its imports and includes resolve in `files`, relative to
    /// the file that names them, and nowhere else. Paths of findings show these `prefixes`.
    ///
    /// # Errors
    /// [`SchemaError`] with everything that libxml2 found wrong, a missing file included.
    pub fn compile(entry: &str, files: &SchemaFiles, prefixes: PathPrefixes) -> Result<Self, SchemaError> {
        register_embedded_input();
        let refuse = |faults| SchemaError { entry: entry.to_owned(), faults };
        let url = CString::new(format!("{SCHEME}{entry}"))
            .map_err(|_| refuse(vec![fault_of(entry, "its name holds a NUL")]))?;
        let mut faults: Vec<SchemaFault> = Vec::new();
        let collector = &raw mut faults;
        // SAFETY: `faults` lives until `embedded` is closed.
        let embedded = unsafe { EmbeddedInput::open(Arc::clone(files), collector) };
        // SAFETY: `url` outlives the context; the context is freed below and `xmlSchemaParse` keeps nothing
        // of it; the collector's `faults` lives until `embedded` is closed.
        let schema = unsafe {
            let context = xmlSchemaNewParserCtxt(url.as_ptr());
            xmlSchemaSetParserStructuredErrors(context, Some(collect_fault), collector.cast());
            let schema = if context.is_null() { ptr::null_mut() } else { xmlSchemaParse(context) };
            xmlSchemaFreeParserCtxt(context);
            schema
        };
        let missed = embedded.close();
        let schema = NonNull::new(schema).map(|compiled| Self { compiled, prefixes });
        let missing = |name: String| fault_of(entry, &format!("{name} is not among the embedded files"));
        faults.extend(missed.into_iter().map(missing));
        match schema {
            Some(schema) if faults.is_empty() => Ok(schema),
            _ => Err(refuse(faults)),
        }
    }

    /// Everything in which `octets` breaks this schema; empty for a valid document.
    #[must_use]
    pub fn validate(&self, octets: &[u8]) -> Vec<SchemaFinding> {
        let document = match read(octets) {
            Ok(document) => document,
            Err(finding) => return vec![finding],
        };
        let mut findings = Findings { prefixes: self.prefixes, list: Vec::new(), more: 0 };
        // SAFETY: the schema and the document outlive the context, which is freed here; `findings` outlives
        // the validation, the only time the handler is called.
        let verdict = unsafe {
            let context = xmlSchemaNewValidCtxt(self.compiled.as_ptr());
            if context.is_null() {
                return vec![limit_finding("there is no memory to validate the document")];
            }
            let collector = ptr::from_mut(&mut findings).cast();
            xmlSchemaSetValidStructuredErrors(context, Some(collect_finding), collector);
            let verdict = xmlSchemaValidateDoc(context, document.as_ptr());
            xmlSchemaFreeValidCtxt(context);
            verdict
        };
        findings.finish(verdict)
    }
}

impl Drop for Schema {
    fn drop(&mut self) {
        // SAFETY: made by `xmlSchemaParse`, owned by this value alone.
        unsafe { xmlSchemaFree(self.compiled.as_ptr()) }
    }
}

/// A fault of a schema as a whole.
fn fault_of(file: &str, message: &str) -> SchemaFault {
    SchemaFault { file: file.to_owned(), line: 0, message: message.to_owned() }
}

fn read(octets: &[u8]) -> Result<Document, SchemaFinding> {
    Document::parse(octets, DOCUMENT_BYTES_MAX).map_err(|fault| match fault {
        ParseFault::TooLarge => {
            limit_finding(&format!("the document is larger than {DOCUMENT_BYTES_MAX} octets"))
        }
        ParseFault::DocumentType => limit_finding("the document has a DTD"),
        ParseFault::Malformed(Fault { line, code, message }) => {
            SchemaFinding { line, code, message: plain_sentence(&message).1, path: "/".to_owned() }
        }
    })
}

/// What the handler of one validation has gathered.
struct Findings {
    prefixes: PathPrefixes,
    list: Vec<SchemaFinding>,
    more: usize,
}

impl Findings {
    fn add(&mut self, error: &XmlError) {
        if self.list.len() >= FINDINGS_MAX {
            self.more += 1;
            return;
        }
        let finding = finding_of(error, self.prefixes);
        // libxml2 tells a broken facet twice: the facet, then "not a valid value" of the same node.
        let repeats = |last: &SchemaFinding| last.path == finding.path && is_facet(last.code);
        if finding.code != DATATYPE_VALID || !self.list.last().is_some_and(repeats) {
            self.list.push(finding);
        }
    }

    fn finish(mut self, verdict: c_int) -> Vec<SchemaFinding> {
        if self.more > 0 {
            self.list.push(limit_finding(&format!("{} further findings are not listed", self.more)));
        }
        if verdict != 0 && self.list.is_empty() {
            self.list.push(limit_finding(&format!("validation ended with libxml2's error {verdict}")));
        }
        self.list
    }
}

fn limit_finding(message: &str) -> SchemaFinding {
    SchemaFinding { line: 0, code: 0, message: message.to_owned(), path: "/".to_owned() }
}

const DATATYPE_VALID: i32 = 1824;

/// The codes of facets: length to enumeration (`XML_SCHEMAV_CVC_FACET_VALID` and on).
fn is_facet(code: i32) -> bool {
    (1829..=1840).contains(&code)
}

unsafe extern "C" fn collect_finding(collector: *mut c_void, error: *const XmlError) {
    // SAFETY: `validate` passes its `Findings`, and libxml2 an error that lives during this call.
    if let (Some(findings), Some(error)) = unsafe { (collector.cast::<Findings>().as_mut(), error.as_ref()) }
    {
        findings.add(error);
    }
}

unsafe extern "C" fn collect_fault(collector: *mut c_void, error: *const XmlError) {
    // SAFETY: `compile` passes its list of faults, and libxml2 an error that lives during this call.
    let parts = unsafe { (collector.cast::<Vec<SchemaFault>>().as_mut(), error.as_ref()) };
    if let (Some(faults), Some(error)) = parts
        && faults.len() < FINDINGS_MAX
    {
        let finding = finding_of(error, &[]);
        // SAFETY: the name of the file is null or NUL-terminated, and lives as long as the error.
        let file = unsafe { text(error.file) };
        let file = file.strip_prefix(SCHEME).unwrap_or(file).to_owned();
        faults.push(SchemaFault { file, line: finding.line, message: finding.message });
    }
}

fn finding_of(error: &XmlError, prefixes: PathPrefixes) -> SchemaFinding {
    let node = error.node.cast::<XmlNode>();
    // SAFETY: an error's message is null or NUL-terminated, and lives as long as it.
    let (attribute, message) = plain_sentence(unsafe { text(error.message) });
    let (line, path) = if error.domain == FROM_SCHEMA_VALIDITY && !node.is_null() {
        // SAFETY: a validity error names a node of the document that is being validated.
        let (line, path) = unsafe { (xmlGetLineNo(node), path_of(node, prefixes)) };
        (line, attribute.map_or_else(|| path.clone(), |name| format!("{path}/@{name}")))
    } else {
        (c_long::from(error.line), "/".to_owned())
    };
    SchemaFinding { line: u32::try_from(line).unwrap_or(0), code: error.code, message, path }
}

/// The path of an element, or of the element around another node, from the root; `[n]` where siblings share
/// a name.
///
/// # Safety
/// `node` belongs to a live document.
unsafe fn path_of(node: *const XmlNode, prefixes: PathPrefixes) -> String {
    let mut steps = Vec::new();
    let mut at = node.cast_mut();
    // SAFETY: each step goes from a live node to its parent, and a document has no cycles; names are
    // NUL-terminated. The depth is bounded by libxml2's own limit of 256.
    while let Some(this) = unsafe { at.as_ref() } {
        if this.kind == ELEMENT_NODE {
            // SAFETY: as above.
            let (before, after) = unsafe { (count_alike(this, |n| n.prev), count_alike(this, |n| n.next)) };
            let index = if before + after > 0 { format!("[{}]", before + 1) } else { String::new() };
            let (namespace, name) = name_parts(this);
            let prefix = prefixes.iter().find(|(usual, _)| *usual == namespace);
            let prefix = prefix.map(|(_, prefix)| format!("{prefix}:")).unwrap_or_default();
            steps.push(format!("/{prefix}{name}{index}"));
        }
        at = this.parent;
    }
    steps.push(if steps.is_empty() { "/".to_owned() } else { String::new() });
    cut(&steps.into_iter().rev().collect::<String>())
}

/// How many siblings in one direction have the name of this element.
///
/// # Safety
/// `node` belongs to a live document.
unsafe fn count_alike(node: &XmlNode, step: impl Fn(&XmlNode) -> *mut XmlNode) -> usize {
    let name = name_parts(node);
    let mut count = 0;
    let mut at = step(node);
    // SAFETY: sibling pointers of a live document.
    while let Some(sibling) = unsafe { at.as_ref() } {
        count += usize::from(sibling.kind == ELEMENT_NODE && name_parts(sibling) == name);
        at = step(sibling);
    }
    count
}

/// Namespace, empty when there is none, and local name of an element.
fn name_parts(node: &XmlNode) -> (&str, &str) {
    // SAFETY: an element of a live document has a name and perhaps a namespace; both strings live as long as
    // the node.
    unsafe { (node.ns.as_ref().map_or("", |ns| text(ns.href)), text(node.name)) }
}

/// libxml2's message without its subject (the path tells it), namespaces, facet names and line end; and the
/// attribute that it is about.
fn plain_sentence(message: &str) -> (Option<String>, String) {
    let message = message.trim();
    let (subject, body) = match message.strip_prefix("Element '").and_then(|rest| rest.split_once("': ")) {
        Some((subject, body)) => (subject, body),
        None => ("", message),
    };
    let attribute = subject.split_once("', attribute '").map(|(_, name)| cut(&without_namespaces(name)));
    let mut text = without_namespaces(body);
    if let Some((facet, sentence)) = text.strip_prefix("[facet '").and_then(|t| t.split_once("'] "))
        && facet.bytes().all(|b| b.is_ascii_alphabetic())
    {
        text = sentence.to_owned();
    }
    let text = text.trim_end_matches('.').replace("( ", "(").replace(" )", ")");
    (attribute, cut(&text))
}

/// Leaves out the namespace in front of names: `{urn:x}Name`.
fn without_namespaces(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        match after.split_once('}') {
            Some((namespace, after)) if namespace.starts_with("urn:") || namespace.starts_with("http:") => {
                rest = after;
            }
            _ => {
                text.push('{');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

/// `text` without control characters, cut to a readable length.
fn cut(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(TEXT_CHARS_MAX).collect()
}

/// The private scheme under which libxml2 knows the embedded files.
const SCHEME: &str = "gwanmun-schema:///";

thread_local! {
    /// The files of the schema that this thread is compiling, and the names that were asked for in vain.
    static EMBEDDED: RefCell<Option<(SchemaFiles, Vec<String>)>> = const { RefCell::new(None) };
}

/// While it is open, this thread's libxml2 reads the embedded files and nothing else, and its errors go to a
/// list instead of standard error.
struct EmbeddedInput(Redirect);

impl EmbeddedInput {
    /// # Safety
    /// `faults` outlives the value.
    unsafe fn open(files: SchemaFiles, faults: *mut Vec<SchemaFault>) -> Self {
        EMBEDDED.set(Some((files, Vec::new())));
        // SAFETY: the collector is what `collect_fault` expects, and lives as the caller promises.
        Self(unsafe { Redirect::new(faults.cast(), collect_fault) })
    }

    fn close(self) -> Vec<String> {
        drop(self.0);
        EMBEDDED.take().map(|(_, missed)| missed).unwrap_or_default()
    }
}

fn register_embedded_input() {
    static ONCE: Once = Once::new();
    // SAFETY: called once, before any schema is compiled; the callbacks are plain functions. Without
    // catalogs no name is ever looked up elsewhere.
    ONCE.call_once(|| unsafe {
        initialize();
        xmlCatalogSetDefaults(CATALOGS_NONE);
        xmlRegisterInputCallbacks(input_matches, input_open, input_read, input_close);
    });
}

/// Every name is ours while this thread compiles a schema; none at any other time.
unsafe extern "C" fn input_matches(_name: *const c_char) -> c_int {
    c_int::from(EMBEDDED.with_borrow(Option::is_some))
}

/// Opens an embedded file. An unknown name opens as an empty file, so that libxml2 does not go on to try
/// the file system, and is reported by `compile`.
unsafe extern "C" fn input_open(name: *const c_char) -> *mut c_void {
    // SAFETY: libxml2 passes a NUL-terminated string.
    let name = unsafe { text(name) };
    let octets = EMBEDDED.with_borrow_mut(|embedded| {
        let (files, missed) = embedded.as_mut()?;
        let found = name.strip_prefix(SCHEME).and_then(|path| files.get(path)).cloned();
        if found.is_none() {
            missed.push(name.to_owned());
        }
        found
    });
    Box::into_raw(Box::new(octets.unwrap_or_default())).cast()
}

unsafe extern "C" fn input_read(input: *mut c_void, buffer: *mut c_char, length: c_int) -> c_int {
    // SAFETY: `input` is the box that `input_open` made, and this thread is the only one that reads it.
    let (Some(rest), Ok(room)) = (unsafe { input.cast::<Bytes>().as_mut() }, usize::try_from(length)) else {
        return -1;
    };
    let chunk = rest.split_to(room.min(rest.len()));
    // SAFETY: libxml2 gives a buffer of `length` octets, of which at most that many are written.
    unsafe { ptr::copy_nonoverlapping(chunk.as_ptr(), buffer.cast(), chunk.len()) };
    c_int::try_from(chunk.len()).unwrap_or(-1)
}

unsafe extern "C" fn input_close(input: *mut c_void) -> c_int {
    // SAFETY: libxml2 closes once what `input_open` made.
    drop(unsafe { Box::from_raw(input.cast::<Bytes>()) });
    0
}

const CATALOGS_NONE: c_int = 0;
const FROM_SCHEMA_VALIDITY: c_int = 17;

type InputMatch = unsafe extern "C" fn(*const c_char) -> c_int;
type InputOpen = unsafe extern "C" fn(*const c_char) -> *mut c_void;
type InputRead = unsafe extern "C" fn(*mut c_void, *mut c_char, c_int) -> c_int;
type InputClose = unsafe extern "C" fn(*mut c_void) -> c_int;

// SAFETY: the signatures are those of libxml2 2.9.14's headers, with `xmlChar *` as `char *`.
unsafe extern "C" {
    fn xmlCatalogSetDefaults(allow: c_int);
    fn xmlRegisterInputCallbacks(m: InputMatch, o: InputOpen, r: InputRead, c: InputClose) -> c_int;
    fn xmlGetLineNo(node: *const XmlNode) -> c_long;

    fn xmlSchemaNewParserCtxt(url: *const c_char) -> *mut c_void;
    fn xmlSchemaFreeParserCtxt(context: *mut c_void);
    fn xmlSchemaSetParserStructuredErrors(
        context: *mut c_void,
        handler: Option<StructuredErrorHandler>,
        collector: *mut c_void,
    );
    fn xmlSchemaParse(context: *mut c_void) -> *mut c_void;
    fn xmlSchemaFree(schema: *mut c_void);
    fn xmlSchemaNewValidCtxt(schema: *mut c_void) -> *mut c_void;
    fn xmlSchemaFreeValidCtxt(context: *mut c_void);
    fn xmlSchemaSetValidStructuredErrors(
        context: *mut c_void,
        handler: Option<StructuredErrorHandler>,
        collector: *mut c_void,
    );
    fn xmlSchemaValidateDoc(context: *mut c_void, document: *mut XmlDoc) -> c_int;
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &[u8] =
        br##"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns="urn:t" xmlns:c="urn:c"
        targetNamespace="urn:t" elementFormDefault="qualified">
        <xs:import namespace="urn:c" schemaLocation="sub/common.xsd"/>
        <xs:element name="List"><xs:complexType><xs:sequence>
            <xs:element name="Code" type="c:CodeType" maxOccurs="unbounded"/>
            <xs:element name="Note" type="xs:string" minOccurs="0"/>
        </xs:sequence><xs:attribute name="size" type="xs:int"/></xs:complexType></xs:element>
    </xs:schema>"##;
    const COMMON: &[u8] = br#"<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:c">
        <xs:simpleType name="CodeType"><xs:restriction base="xs:token"><xs:pattern value="[A-Z]{2}"/>
        </xs:restriction></xs:simpleType></xs:schema>"#;

    fn files(main: impl Into<Bytes>) -> SchemaFiles {
        let common = Bytes::from_static(COMMON);
        Arc::new([("main.xsd".to_owned(), main.into()), ("sub/common.xsd".to_owned(), common)].into())
    }

    fn findings(document: &str) -> Vec<(u32, i32, String, String)> {
        let schema = Schema::compile("main.xsd", &files(MAIN), &[("urn:t", "t")])
            .expect("the schema of the test compiles");
        let found = schema.validate(document.as_bytes());
        found.into_iter().map(|f| (f.line, f.code, f.path, f.message)).collect()
    }

    #[test]
    fn tells_every_finding_with_line_path_and_a_plain_sentence() {
        assert_eq!(findings("<List xmlns='urn:t' size='1'><Code>AB</Code></List>"), []);
        let document = "<a:List xmlns:a='urn:t' size='x'>\n<a:Code>AB</a:Code>\n<a:Code>{abc</a:Code>\n\
                        <a:Other/>\n</a:List>";
        let text = |s: &str| s.to_owned();
        assert_eq!(
            findings(document),
            [
                (
                    1,
                    1824,
                    text("/t:List/@size"),
                    text("'x' is not a valid value of the atomic type 'xs:int'")
                ),
                (
                    3,
                    1839,
                    text("/t:List/t:Code[2]"),
                    text("The value '{abc' is not accepted by the pattern '[A-Z]{2}'"),
                ),
                (
                    4,
                    1871,
                    text("/t:List/t:Other"),
                    text("This element is not expected. Expected is one of (Code, Note)"),
                ),
            ]
        );
    }

    #[test]
    fn lines_are_told_past_65535_and_findings_stop_at_the_limit() {
        let far = format!("<List xmlns='urn:t'>{}<Code>a</Code></List>", "<Code>AB</Code>\n".repeat(70_000));
        assert_eq!(findings(&far).first().map(|f| f.0), Some(70_001));
        for (past, last) in [(1, "1 further"), (7, "7 further"), (50_000, "50000 further")] {
            let many = format!("<List xmlns='urn:t'>{}</List>", "<Code>a</Code>".repeat(FINDINGS_MAX + past));
            let found = findings(&many);
            assert_eq!(found.len(), FINDINGS_MAX + 1);
            assert!(found.last().is_some_and(|f| f.3.starts_with(last)), "{:?}", found.last());
        }
    }

    #[test]
    fn what_is_no_document_of_ours_is_one_finding() {
        fn check(document: &str, expected: &str) {
            let found = findings(document);
            assert_eq!(found.len(), 1, "{document}: {found:?}");
            assert!(found.iter().all(|f| f.3.contains(expected)), "{document}: {found:?}");
        }
        check("<List", "Couldn't find end of Start Tag List");
        check("", "Document is empty");
        check("<!DOCTYPE List><List xmlns='urn:t'><Code>AB</Code></List>", "DTD");
        check("<Other/>", "No matching global declaration");
        check(&"x".repeat(DOCUMENT_BYTES_MAX), "Start tag expected");
        for past in [1, DOCUMENT_BYTES_MAX * 4] {
            check(&"x".repeat(DOCUMENT_BYTES_MAX + past), "larger than");
        }
    }

    #[test]
    fn only_embedded_files_are_read_s5_s9() {
        fn check(location: &str, expected: &str) {
            let text = String::from_utf8_lossy(MAIN).replace("sub/common.xsd", location);
            let error = Schema::compile("main.xsd", &files(text), &[]).expect_err("an import goes nowhere");
            assert!(error.faults.iter().any(|f| f.message.contains(expected)), "{location}: {error}");
        }
        check("sub/other.xsd", "gwanmun-schema:///sub/other.xsd is not among the embedded files");
        check("/etc/passwd", "is not among the embedded files");
        check("file:///etc/passwd", "file:///etc/passwd is not among the embedded files");
        check("http://127.0.0.1:9/x.xsd", "http://127.0.0.1:9/x.xsd is not among the embedded files");
        assert!(Schema::compile("nothing.xsd", &files(MAIN), &[]).is_err());
    }

    #[test]
    fn one_schema_serves_many_threads() {
        let schema = Schema::compile("main.xsd", &files(MAIN), &[("urn:t", "t")])
            .expect("the schema of the test compiles");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..50 {
                        let code = if round % 2 == 0 { "AB" } else { "abc" };
                        let document = format!("<List xmlns='urn:t'><Code>{code}</Code></List>");
                        assert_eq!(schema.validate(document.as_bytes()).len(), round % 2);
                    }
                });
            }
        });
    }
}
