//! XML signatures by libxmlsec1 1.2 on OpenSSL: the second engine, which our own is held against.
//!
//! Promises: a signature verifies only within the closed profile of `profile`, with the key that the caller
//! gives and none from the message; nothing is fetched, no XPath is evaluated, no DTD is read; what
//! libxmlsec1 reports comes back as values. May be used by many threads at once.
//!
//! Does not decide whose key it is, nor whether all that must be signed is signed. Does not bound the shape
//! of an envelope beyond its size: callers hand in octets that `codec` has read within its limits.
//!
//! Implements ebMS 2.0, 4.1.3 (signature generation) for envelope and `cid:` parts.

mod error;
mod filter;
mod io;
mod key;
mod profile;
mod raw;

use std::ffi::c_int;
use std::mem::size_of;
use std::ptr::NonNull;
use std::sync::OnceLock;

pub use error::XmlSecError;
pub use key::{PrivateKey, PublicKey};
pub use profile::{REFERENCES_MAX, XML_PART_BYTES_MAX};

use super::libxml2::{CanonicalForm, Document, Faults, Node, XmlNode, initialize, text};

/// The largest envelope that is parsed; an unauthenticated peer can make us hash this much.
pub const ENVELOPE_BYTES_MAX: usize = 256 << 10;

/// Content-ID without angle brackets, octets after transfer decoding.
pub type Part<'p> = (&'p str, &'p [u8]);

const SOAP: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";

/// libxmlsec1, initialized.
#[derive(Debug)]
pub struct XmlSec(());

/// What a verified signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedSignature {
    /// Algorithm of SignatureMethod.
    pub method: String,
    /// All references of SignedInfo, in order.
    pub references: Vec<VerifiedReference>,
}

/// One reference whose digest was computed and is the signed one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReference {
    /// Empty for the envelope, else `cid:` as written.
    pub uri: String,
    /// Algorithms of the transforms that were run, an implied canonicalization included.
    pub transforms: Vec<String>,
    /// Algorithm of DigestMethod.
    pub digest_method: String,
    /// The digest of the referenced octets.
    pub digest: Vec<u8>,
}

/// Which nodes of a document go into its canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection<'a> {
    /// All of them.
    Whole,
    /// All but the `ds:Signature` elements directly in the SOAP header, and elements (with their subtrees)
    /// that have one of these SOAP actors.
    Unsigned(&'a [&'a str]),
    /// The element at this place in document order, counted from 0, with all that is in it.
    Subtree(usize),
}

impl XmlSec {
    /// Prepares libxmlsec1 for this process, the first time it is called.
    ///
    /// # Errors
    /// [`XmlSecError::Library`] when this is not a library that we know the layout of; it stays so.
    pub fn init() -> Result<&'static Self, XmlSecError> {
        static ENGINE: OnceLock<Result<XmlSec, &'static str>> = OnceLock::new();
        ENGINE.get_or_init(|| start().map(|()| Self(()))).as_ref().map_err(|why| XmlSecError::Library(why))
    }

    /// Verifies the signature in the header of `envelope` over it and `parts`.
    ///
    /// # Errors
    /// Every other outcome than a signature within the profile whose value and digests are all right.
    pub fn verify(
        &self,
        envelope: &[u8],
        parts: &[Part<'_>],
        key: &PublicKey,
    ) -> Result<VerifiedSignature, XmlSecError> {
        let document = Document::parse(envelope, ENVELOPE_BYTES_MAX)?;
        let signature = profile::read(&document, parts, profile::Values::Given)?;
        let context = Context::new(key.owned()?)?;
        let offer = io::Offer::new(parts);
        let node = signature.element.as_ptr();
        // SAFETY: the context and the document with the node are alive; `offer` serves what is referenced.
        let rc = quietly(|| unsafe { raw::xmlSecDSigCtxVerify(context.0.as_ptr(), node) });
        let references = context.references();
        if rc < 0 {
            return Err(XmlSecError::Refused(offer.reports()));
        }
        if context.status() != raw::DSIG_STATUS_SUCCEEDED {
            let failed =
                references.into_iter().find(|reference| reference.status == raw::DSIG_STATUS_INVALID);
            return Err(failed.map_or(XmlSecError::Value, |reference| XmlSecError::Digest(reference.uri)));
        }
        covered(signature, references)
    }

    /// Fills in the empty DigestValue and SignatureValue elements of the signature in `template`; what else
    /// stands in it (algorithms, references, certificate) stays as it is.
    ///
    /// # Errors
    /// A template outside the profile, or a key that does not go with its SignatureMethod.
    pub fn sign(
        &self,
        template: &[u8],
        parts: &[Part<'_>],
        key: &PrivateKey,
    ) -> Result<Vec<u8>, XmlSecError> {
        let document = Document::parse(template, ENVELOPE_BYTES_MAX)?;
        let node = profile::read(&document, parts, profile::Values::Empty)?.element.as_ptr();
        let context = Context::new(key.owned()?)?;
        let offer = io::Offer::new(parts);
        // SAFETY: as in `verify`; nothing of ours reads the document while libxmlsec1 writes to it.
        let rc = quietly(|| unsafe { raw::xmlSecDSigCtxSign(context.0.as_ptr(), node) });
        if rc < 0 || context.status() != raw::DSIG_STATUS_SUCCEEDED {
            return Err(XmlSecError::Refused(offer.reports()));
        }
        Ok(document.to_octets())
    }

    /// A canonical form without comments by libxml2, to hold our own against.
    ///
    /// # Errors
    /// Octets that are no document within the limits, or one that has no canonical form.
    pub fn canonicalize(
        &self,
        octets: &[u8],
        form: CanonicalForm,
        selection: Selection<'_>,
    ) -> Result<Vec<u8>, XmlSecError> {
        let document = Document::parse(octets, ENVELOPE_BYTES_MAX)?;
        let canonical = match selection {
            Selection::Whole => document.canonical(form, &|_| true),
            Selection::Subtree(place) => {
                let apex = document.elements().nth(place);
                document.canonical(form, &|node| node.ancestors_and_self().any(|at| Some(at) == apex))
            }
            Selection::Unsigned(actors) => {
                let hidden = |node: Node<'_>| {
                    let actor = node.attribute(SOAP, c"actor");
                    actor.is_some_and(|actor| actors.contains(&actor.as_str()))
                        || node.is(DSIG, "Signature")
                            && node.parent().is_some_and(|parent| parent.is(SOAP, "Header"))
                };
                document.canonical(form, &|node| !node.ancestors_and_self().any(hidden))
            }
        };
        canonical.map_err(|fault| XmlSecError::Malformed { line: fault.line, message: fault.message })
    }
}

/// What libxmlsec1 did is what the profile read: the same references, each succeeded.
fn covered(
    signature: profile::Signature<'_>,
    done: Vec<DoneReference>,
) -> Result<VerifiedSignature, XmlSecError> {
    let as_read = |(done, read): (&DoneReference, &profile::Reference)| {
        done.status == raw::DSIG_STATUS_SUCCEEDED && done.uri == read.uri
    };
    let asked = signature.references;
    if done.len() != asked.len() || !done.iter().zip(&asked).all(as_read) {
        return Err(XmlSecError::Profile("references were verified that are not in SignedInfo".to_owned()));
    }
    let references = done.into_iter().zip(asked).map(|(done, read)| VerifiedReference {
        uri: read.uri,
        transforms: done.transforms,
        digest_method: read.digest_method,
        digest: read.digest,
    });
    Ok(VerifiedSignature { method: signature.method, references: references.collect() })
}

/// Calls libxmlsec1 with libxml2's faults kept off standard error, and leaves no OpenSSL error behind for
/// whoever looks at this thread's queue next.
fn quietly(work: impl FnOnce() -> c_int) -> c_int {
    let rc = Faults::default().gather(work);
    // SAFETY: clears this thread's queue.
    unsafe { raw::ERR_clear_error() }
    rc
}

/// One signing or verifying; never used twice.
struct Context(NonNull<raw::DSigCtx>);

/// A reference as libxmlsec1 went through it.
struct DoneReference {
    uri: String,
    status: c_int,
    transforms: Vec<String>,
}

impl Context {
    /// A context that uses `key` and allows the profile's algorithms alone.
    fn new(key: key::OwnedKey) -> Result<Self, XmlSecError> {
        // SAFETY: a new context is ours to free; `sign_key` becomes its property.
        let context = unsafe {
            let context = NonNull::new(raw::xmlSecDSigCtxCreate(std::ptr::null_mut())).map(Self);
            let context = context.ok_or(XmlSecError::Library("no signature context"))?;
            let fields = context.0.as_ptr();
            (*fields).sign_key = key.into_raw();
            (*fields).enabled_reference_uris = raw::URI_TYPE_EMPTY | raw::URI_TYPE_REMOTE;
            context
        };
        let of_references = [raw::xmlSecTransformEnvelopedGetKlass as raw::GetKlass, actor_filter];
        let listed = |list: &'static [(&str, raw::GetKlass)]| list.iter().map(|(_, klass)| *klass);
        let canonicalizations = || listed(&profile::CANONICALIZATIONS);
        let of_references =
            of_references.into_iter().chain(canonicalizations()).chain(listed(&profile::DIGEST_METHODS));
        let of_signature = canonicalizations().chain(listed(&profile::SIGNATURE_METHODS));
        let fields = context.0.as_ptr();
        // SAFETY: the context is alive; every class is static.
        let enabled = unsafe {
            of_references
                .into_iter()
                .all(|klass| raw::xmlSecDSigCtxEnableReferenceTransform(fields, klass()) >= 0)
                && of_signature
                    .into_iter()
                    .all(|klass| raw::xmlSecDSigCtxEnableSignatureTransform(fields, klass()) >= 0)
        };
        if enabled {
            Ok(context)
        } else {
            Err(XmlSecError::Library("an algorithm of the profile is missing"))
        }
    }

    fn status(&self) -> c_int {
        // SAFETY: the context is alive.
        unsafe { (*self.0.as_ptr()).status }
    }

    fn references(&self) -> Vec<DoneReference> {
        // SAFETY: the context is alive, and with it the list and its items, which are `xmlSecDSigReferenceCtx`
        // with a chain of transforms that ends in null; what is read is copied.
        unsafe {
            let list = &raw mut (*self.0.as_ptr()).signed_info_references;
            let items = 0..raw::xmlSecPtrListGetSize(list);
            let items = items.map(|at| raw::xmlSecPtrListGetItem(list, at).cast::<raw::ReferenceCtx>());
            items
                .filter_map(|item| item.as_ref())
                .map(|item| DoneReference {
                    uri: text(item.uri).to_owned(),
                    status: item.status,
                    transforms: std::iter::successors(item.transform_ctx.first.as_ref(), |at| {
                        at.next.as_ref()
                    })
                    .filter_map(|transform| transform.id.as_ref())
                    .filter(|klass| klass.usage & raw::USAGE_DSIG_TRANSFORM != 0)
                    .map(|klass| text(klass.href).to_owned())
                    .filter(|algorithm| !algorithm.is_empty())
                    .collect(),
                })
                .collect()
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by `xmlSecDSigCtxCreate`, owned by this value alone.
        unsafe { raw::xmlSecDSigCtxDestroy(self.0.as_ptr()) }
    }
}

/// The class that stands in the place of XPath; set by `start`.
static ACTOR_FILTER: OnceLock<ActorFilter> = OnceLock::new();

struct ActorFilter(raw::TransformKlass);

// SAFETY: a class is constant: names and functions with static lifetime.
unsafe impl Send for ActorFilter {}
// SAFETY: as for `Send`.
unsafe impl Sync for ActorFilter {}

unsafe extern "C" fn actor_filter() -> *const raw::TransformKlass {
    ACTOR_FILTER.get().map_or(std::ptr::null(), |filter| &raw const filter.0)
}

/// Brings libxmlsec1 up, cut down to what we use. Runs once, under the lock of `init`.
fn start() -> Result<(), &'static str> {
    initialize();
    let (major, minor, subminor) = VERSION;
    // SAFETY: this is the order that libxmlsec1 asks for, and nothing else in the process uses it.
    unsafe {
        if raw::xmlSecInit() < 0 {
            return Err("xmlSecInit failed");
        }
        if raw::xmlSecCheckVersionExt(major, minor, subminor, raw::VERSION_ABI_COMPATIBLE) != 1 {
            return Err("this is not libxmlsec1 1.2.37 or a compatible one");
        }
        if raw::xmlSecOpenSSLAppInit(std::ptr::null()) < 0 || raw::xmlSecOpenSSLInit() < 0 {
            return Err("libxmlsec1's OpenSSL engine did not start");
        }
        raw::xmlSecParserSetDefaultOptions(raw::PARSE_NONET);
    }
    if !io::register() {
        return Err("the callbacks for parts were not taken");
    }
    check_layout()?;
    replace_xpath()
}

/// Whether the library in the process lays out its structures as `raw` says.
fn check_layout() -> Result<(), &'static str> {
    // SAFETY: classes are static; the context is freed after it was looked at.
    let agrees = unsafe {
        let klass = &*raw::xmlSecTransformEnvelopedGetKlass();
        let context = raw::xmlSecDSigCtxCreate(std::ptr::null_mut());
        let list = context.as_ref().map(|context| context.signed_info_references.id);
        raw::xmlSecDSigCtxDestroy(context);
        usize::try_from(klass.klass_size) == Ok(size_of::<raw::TransformKlass>())
            && usize::try_from(klass.object_size) == Ok(size_of::<raw::Transform>())
            && list == Some(raw::xmlSecDSigReferenceCtxListGetKlass())
    };
    if agrees { Ok(()) } else { Err("libxmlsec1 has another layout than its 1.2.37") }
}

/// Puts our class where libxmlsec1 looks up the XPath transform.
fn replace_xpath() -> Result<(), &'static str> {
    // SAFETY: the list of classes and the classes are static; nobody else reads the list yet, and what is
    // put into it lives as long as the process.
    unsafe {
        let built_in = raw::xmlSecTransformXPathGetKlass();
        ACTOR_FILTER.get_or_init(|| ActorFilter(filter::klass(&*built_in)));
        let ids = raw::xmlSecTransformIdsGet();
        let place = (0..raw::xmlSecPtrListGetSize(ids))
            .find(|at| raw::xmlSecPtrListGetItem(ids, *at).cast_const() == built_in.cast());
        match place {
            Some(place) if raw::xmlSecPtrListSet(ids, actor_filter().cast_mut().cast(), place) >= 0 => Ok(()),
            _ => Err("the XPath class was not found"),
        }
    }
}

/// The version whose layouts `raw` has.
const VERSION: (c_int, c_int, c_int) = (1, 2, 37);

#[cfg(test)]
mod tests;
