//! What libxmlsec1 asks of the process while it works: the octets of a `cid:` part, and a place for its
//! error reports.
//!
//! Promises: only `cid:` of a part of the message in hand can be opened, no file and no network; parts and
//! reports belong to the thread that is signing or verifying, because libxmlsec1 keeps one list of callbacks
//! for the process, gives them no user data, and calls them on the thread that called it.

use std::cell::RefCell;
use std::ffi::{c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;

use super::super::libxml2::text;
use super::profile::without_cid;
use super::{Part, raw};

thread_local! {
    static OFFERED: RefCell<Vec<(*const str, *const [u8])>> = const { RefCell::new(Vec::new()) };
    static REPORTS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, this thread's libxmlsec1 can read these parts.
pub(super) struct Offer<'p>(PhantomData<&'p [u8]>);

impl<'p> Offer<'p> {
    pub(super) fn new(parts: &[Part<'p>]) -> Self {
        let parts = parts.iter().map(|(cid, octets)| (ptr::from_ref(*cid), ptr::from_ref(*octets))).collect();
        OFFERED.set(parts);
        REPORTS.take();
        Self(PhantomData)
    }

    /// What libxmlsec1 reported since the offer was made.
    pub(super) fn reports(&self) -> Vec<String> {
        REPORTS.take()
    }
}

impl Drop for Offer<'_> {
    fn drop(&mut self) {
        OFFERED.take();
    }
}

/// Notes why something failed, as libxmlsec1 does.
pub(super) fn report(text: String) {
    REPORTS.with_borrow_mut(|reports| {
        if reports.len() < REPORTS_MAX {
            reports.push(text);
        }
    });
}

/// Makes this file the only source of octets and the only sink of errors. To be called once, before any
/// use of libxmlsec1 by another thread: its lists have no lock.
pub(super) fn register() -> bool {
    // SAFETY: plain functions are registered; see above for the lists.
    unsafe {
        raw::xmlSecErrorsSetCallback(Some(collect_report));
        raw::xmlSecIOCleanupCallbacks();
        raw::xmlSecIORegisterCallbacks(matches, open, read, close) >= 0
    }
}

unsafe extern "C" fn collect_report(
    _file: *const c_char,
    _line: c_int,
    function: *const c_char,
    object: *const c_char,
    subject: *const c_char,
    reason: c_int,
    message: *const c_char,
) {
    // SAFETY: libxmlsec1 passes NUL-terminated strings that live during this call, or null.
    let parts =
        unsafe { [text(function), text(object), text(subject), text(reason_text(reason)), text(message)] };
    let known = parts.iter().filter(|part| !part.is_empty() && **part != "unknown" && **part != " ");
    let line = known.copied().collect::<Vec<_>>().join(": ");
    report(line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(REPORT_CHARS_MAX).collect());
}

/// libxmlsec1's sentence for a code; null when it has none.
fn reason_text(reason: c_int) -> *const c_char {
    // SAFETY: both functions check the position against their constant table.
    unsafe {
        let position = (0..REASONS_MAX).find(|at| raw::xmlSecErrorsGetCode(*at) == reason);
        position.map_or(ptr::null(), |at| raw::xmlSecErrorsGetMsg(at))
    }
}

unsafe extern "C" fn matches(uri: *const c_char) -> c_int {
    // SAFETY: libxmlsec1 passes a NUL-terminated string.
    c_int::from(without_cid(unsafe { text(uri) }).is_some())
}

/// The part that is being read, and how far.
struct Reader {
    octets: *const [u8],
    read: usize,
}

/// `uri` is percent-decoded already.
unsafe extern "C" fn open(uri: *const c_char) -> *mut c_void {
    // SAFETY: libxmlsec1 passes a NUL-terminated string.
    let Some(wanted) = without_cid(unsafe { text(uri) }) else { return ptr::null_mut() };
    let octets = OFFERED.with_borrow(|parts| {
        // SAFETY: what is offered outlives its `Offer`, which clears the list when it goes.
        parts.iter().find(|(cid, _)| unsafe { &**cid } == wanted).map(|(_, octets)| *octets)
    });
    octets.map_or(ptr::null_mut(), |octets| Box::into_raw(Box::new(Reader { octets, read: 0 })).cast())
}

unsafe extern "C" fn read(reader: *mut c_void, buffer: *mut c_char, length: c_int) -> c_int {
    // SAFETY: `reader` is the box that `open` made, used by this thread alone.
    let (Some(reader), Ok(room)) = (unsafe { reader.cast::<Reader>().as_mut() }, usize::try_from(length))
    else {
        return -1;
    };
    // SAFETY: the part outlives the `Offer`, and libxmlsec1 reads only during it.
    let rest = unsafe { &*reader.octets }.get(reader.read..).unwrap_or_default();
    let count = rest.len().min(room);
    // SAFETY: libxmlsec1 gives a buffer of `length` octets; `count` is neither above it nor above the rest.
    unsafe { ptr::copy_nonoverlapping(rest.as_ptr(), buffer.cast(), count) };
    reader.read += count;
    c_int::try_from(count).unwrap_or(-1)
}

unsafe extern "C" fn close(reader: *mut c_void) -> c_int {
    if !reader.is_null() {
        // SAFETY: libxmlsec1 closes once what `open` made.
        drop(unsafe { Box::from_raw(reader.cast::<Reader>()) });
    }
    0
}

const REPORTS_MAX: usize = 16;
const REPORT_CHARS_MAX: usize = 300;
/// `XMLSEC_ERRORS_MAX_NUMBER`.
const REASONS_MAX: raw::Size = 256;
