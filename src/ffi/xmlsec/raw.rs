//! What libxmlsec1 1.2 declares in its C headers, as far as the second signature engine uses it.
//!
//! Promises: sizes and offsets are those of the headers of 1.2.37 built with `XMLSEC_NO_SIZE_T` (lengths are
//! `unsigned int`), as Debian builds it; a test compares every one that is used.
//!
//! Does not contain any behaviour.

use std::ffi::{c_char, c_int, c_long, c_uint, c_void};

use super::super::libxml2::{XmlDoc, XmlNode};

/// `xmlSecSize` under `XMLSEC_NO_SIZE_T`.
pub(super) type Size = c_uint;

/// `xmlSecPtrList`.
#[repr(C)]
pub(super) struct PtrList {
    pub(super) id: *const c_void,
    pub(super) data: *mut *mut c_void,
    pub(super) used: Size,
    pub(super) max: Size,
    pub(super) alloc_mode: c_int,
}

/// `xmlSecBuffer`.
#[repr(C)]
pub(super) struct Buffer {
    pub(super) data: *mut u8,
    pub(super) size: Size,
    pub(super) max_size: Size,
    pub(super) alloc_mode: c_int,
}

/// `xmlSecNodeSet`, of which only the document is read.
#[repr(C)]
pub(super) struct NodeSet {
    pub(super) nodes: *mut c_void,
    pub(super) doc: *mut XmlDoc,
}

/// `xmlSecTransformCtx`.
#[repr(C)]
pub(super) struct TransformCtx {
    pub(super) user_data: *mut c_void,
    pub(super) flags: c_uint,
    pub(super) flags2: c_uint,
    pub(super) enabled_uris: c_uint,
    pub(super) enabled_transforms: PtrList,
    pub(super) pre_exec_callback: *mut c_void,
    pub(super) result: *mut Buffer,
    pub(super) status: c_int,
    pub(super) uri: *mut c_char,
    pub(super) xptr_expr: *mut c_char,
    pub(super) first: *mut Transform,
    pub(super) last: *mut Transform,
    pub(super) reserved: [*mut c_void; 2],
}

/// `xmlSecTransform`.
#[repr(C)]
pub(super) struct Transform {
    pub(super) id: *const TransformKlass,
    pub(super) operation: c_int,
    pub(super) status: c_int,
    pub(super) here_node: *mut XmlNode,
    pub(super) next: *mut Self,
    pub(super) prev: *mut Self,
    pub(super) in_buf: Buffer,
    pub(super) out_buf: Buffer,
    pub(super) in_nodes: *mut NodeSet,
    pub(super) out_nodes: *mut NodeSet,
    pub(super) reserved: [*mut c_void; 2],
}

pub(super) type Initialize = unsafe extern "C" fn(*mut Transform) -> c_int;
pub(super) type Finalize = unsafe extern "C" fn(*mut Transform);
pub(super) type ReadNode = unsafe extern "C" fn(*mut Transform, *mut XmlNode, *mut TransformCtx) -> c_int;
pub(super) type Execute = unsafe extern "C" fn(*mut Transform, c_int, *mut TransformCtx) -> c_int;

/// `xmlSecTransformKlass`; methods that are only ever copied are untyped.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct TransformKlass {
    pub(super) klass_size: Size,
    pub(super) object_size: Size,
    pub(super) name: *const c_char,
    pub(super) href: *const c_char,
    pub(super) usage: c_uint,
    pub(super) initialize: Option<Initialize>,
    pub(super) finalize: Option<Finalize>,
    pub(super) read_node: Option<ReadNode>,
    pub(super) write_node: *const c_void,
    pub(super) set_key_req: *const c_void,
    pub(super) set_key: *const c_void,
    pub(super) verify: *const c_void,
    pub(super) get_data_type: *const c_void,
    pub(super) push_bin: *const c_void,
    pub(super) pop_bin: *const c_void,
    pub(super) push_xml: *const c_void,
    pub(super) pop_xml: *const c_void,
    pub(super) execute: Option<Execute>,
    pub(super) reserved: [*mut c_void; 2],
}

/// `xmlSecKeyReq`.
#[repr(C)]
pub(super) struct KeyReq {
    key_id: *const c_void,
    key_type: c_uint,
    key_usage: c_uint,
    key_bits_size: Size,
    key_use_with_list: PtrList,
    reserved: [*mut c_void; 2],
}

/// `xmlSecKeyInfoCtx`; only its size matters here.
#[repr(C)]
pub(super) struct KeyInfoCtx {
    user_data: *mut c_void,
    flags: c_uint,
    flags2: c_uint,
    keys_mngr: *mut c_void,
    mode: c_int,
    enabled_key_data: PtrList,
    base64_line_size: c_int,
    retrieval_method_ctx: TransformCtx,
    max_retrieval_method_level: c_int,
    enc_ctx: *mut c_void,
    max_encrypted_key_level: c_int,
    certs_verification_time: c_long,
    certs_verification_depth: c_int,
    pgp_reserved: *mut c_void,
    cur_retrieval_method_level: c_int,
    cur_encrypted_key_level: c_int,
    key_req: KeyReq,
    reserved: [*mut c_void; 2],
}

/// `xmlSecDSigCtx`.
#[repr(C)]
pub(super) struct DSigCtx {
    pub(super) user_data: *mut c_void,
    pub(super) flags: c_uint,
    pub(super) flags2: c_uint,
    pub(super) key_info_read_ctx: KeyInfoCtx,
    pub(super) key_info_write_ctx: KeyInfoCtx,
    pub(super) transform_ctx: TransformCtx,
    pub(super) enabled_reference_uris: c_uint,
    pub(super) enabled_reference_transforms: *mut PtrList,
    pub(super) reference_pre_execute_callback: *mut c_void,
    pub(super) default_sign_method: *const TransformKlass,
    pub(super) default_c14n_method: *const TransformKlass,
    pub(super) default_digest_method: *const TransformKlass,
    pub(super) sign_key: *mut Key,
    pub(super) operation: c_int,
    pub(super) result: *mut Buffer,
    pub(super) status: c_int,
    pub(super) sign_method: *mut Transform,
    pub(super) c14n_method: *mut Transform,
    pub(super) pre_sign_mem_buf_method: *mut Transform,
    pub(super) sign_value_node: *mut XmlNode,
    pub(super) id: *mut c_char,
    pub(super) signed_info_references: PtrList,
    pub(super) manifest_references: PtrList,
    pub(super) reserved: [*mut c_void; 2],
}

/// `xmlSecDSigReferenceCtx`.
#[repr(C)]
pub(super) struct ReferenceCtx {
    pub(super) user_data: *mut c_void,
    pub(super) dsig_ctx: *mut DSigCtx,
    pub(super) origin: c_int,
    pub(super) transform_ctx: TransformCtx,
    pub(super) digest_method: *mut Transform,
    pub(super) result: *mut Buffer,
    pub(super) status: c_int,
    pub(super) pre_digest_mem_buf_method: *mut Transform,
    pub(super) id: *mut c_char,
    pub(super) uri: *mut c_char,
    pub(super) kind: *mut c_char,
    pub(super) reserved: [*mut c_void; 2],
}

/// `xmlSecKey`, opaque here.
#[repr(C)]
pub(super) struct Key {
    opaque: [u8; 0],
}

/// `xmlSecKeyData`, opaque here.
#[repr(C)]
pub(super) struct KeyData {
    opaque: [u8; 0],
}

/// OpenSSL's `EVP_PKEY`, opaque here.
#[repr(C)]
pub(super) struct EvpPkey {
    opaque: [u8; 0],
}

/// `xmlSecDSigStatusSucceeded`.
pub(super) const DSIG_STATUS_SUCCEEDED: c_int = 1;
/// `xmlSecDSigStatusInvalid`.
pub(super) const DSIG_STATUS_INVALID: c_int = 2;
/// `xmlSecTransformUriTypeEmpty`.
pub(super) const URI_TYPE_EMPTY: c_uint = 1;
/// `xmlSecTransformUriTypeRemote`: everything with a scheme that is not `file`, `cid:` too.
pub(super) const URI_TYPE_REMOTE: c_uint = 8;
/// `xmlSecTransformUsageDSigTransform`: may stand in `ds:Transform`.
pub(super) const USAGE_DSIG_TRANSFORM: c_uint = 1;
/// `xmlSecNodeSetSubtraction`.
pub(super) const NODE_SET_SUBTRACTION: c_int = 1;
/// `xmlSecCheckVersionABICompatible`.
pub(super) const VERSION_ABI_COMPATIBLE: c_int = 1;
/// `XML_PARSE_NONET`.
pub(super) const PARSE_NONET: c_int = 1 << 11;

pub(super) type IoMatch = unsafe extern "C" fn(*const c_char) -> c_int;
pub(super) type IoOpen = unsafe extern "C" fn(*const c_char) -> *mut c_void;
pub(super) type IoRead = unsafe extern "C" fn(*mut c_void, *mut c_char, c_int) -> c_int;
pub(super) type IoClose = unsafe extern "C" fn(*mut c_void) -> c_int;
pub(super) type ErrorsCallback = unsafe extern "C" fn(
    file: *const c_char,
    line: c_int,
    function: *const c_char,
    object: *const c_char,
    subject: *const c_char,
    reason: c_int,
    message: *const c_char,
);
pub(super) type GetKlass = unsafe extern "C" fn() -> *const TransformKlass;

// SAFETY: the signatures are those of the headers of libxmlsec1 1.2.37, with `xmlChar *` as `char *`.
unsafe extern "C" {
    pub(super) fn xmlSecInit() -> c_int;
    pub(super) fn xmlSecCheckVersionExt(major: c_int, minor: c_int, subminor: c_int, mode: c_int) -> c_int;
    pub(super) fn xmlSecErrorsSetCallback(callback: Option<ErrorsCallback>);
    pub(super) fn xmlSecErrorsGetMsg(position: Size) -> *const c_char;
    pub(super) fn xmlSecErrorsGetCode(position: Size) -> c_int;
    pub(super) fn xmlSecParserSetDefaultOptions(options: c_int);
    pub(super) fn xmlSecIOCleanupCallbacks();
    pub(super) fn xmlSecIORegisterCallbacks(m: IoMatch, o: IoOpen, r: IoRead, c: IoClose) -> c_int;

    pub(super) fn xmlSecPtrListGetSize(list: *mut PtrList) -> Size;
    pub(super) fn xmlSecPtrListGetItem(list: *mut PtrList, position: Size) -> *mut c_void;
    pub(super) fn xmlSecPtrListSet(list: *mut PtrList, item: *mut c_void, position: Size) -> c_int;

    pub(super) fn xmlSecNodeSetGetChildren(
        document: *mut XmlDoc,
        parent: *mut XmlNode,
        with_comments: c_int,
        invert: c_int,
    ) -> *mut NodeSet;
    pub(super) fn xmlSecNodeSetAdd(set: *mut NodeSet, other: *mut NodeSet, operation: c_int) -> *mut NodeSet;
    pub(super) fn xmlSecNodeSetDestroy(set: *mut NodeSet);

    pub(super) fn xmlSecTransformIdsGet() -> *mut PtrList;
    pub(super) fn xmlSecTransformEnvelopedGetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecTransformXPathGetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecTransformInclC14NGetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecTransformInclC14N11GetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecTransformExclC14NGetKlass() -> *const TransformKlass;

    pub(super) fn xmlSecDSigCtxCreate(keys_manager: *mut c_void) -> *mut DSigCtx;
    pub(super) fn xmlSecDSigCtxDestroy(context: *mut DSigCtx);
    pub(super) fn xmlSecDSigCtxSign(context: *mut DSigCtx, template: *mut XmlNode) -> c_int;
    pub(super) fn xmlSecDSigCtxVerify(context: *mut DSigCtx, signature: *mut XmlNode) -> c_int;
    pub(super) fn xmlSecDSigCtxEnableReferenceTransform(
        context: *mut DSigCtx,
        transform: *const TransformKlass,
    ) -> c_int;
    pub(super) fn xmlSecDSigCtxEnableSignatureTransform(
        context: *mut DSigCtx,
        transform: *const TransformKlass,
    ) -> c_int;
    pub(super) fn xmlSecDSigReferenceCtxListGetKlass() -> *const c_void;

    pub(super) fn xmlSecKeyCreate() -> *mut Key;
    pub(super) fn xmlSecKeyDestroy(key: *mut Key);
    pub(super) fn xmlSecKeySetValue(key: *mut Key, value: *mut KeyData) -> c_int;
    pub(super) fn xmlSecKeyDataDestroy(data: *mut KeyData);
}

// SAFETY: the signatures are those of the headers of libxmlsec1-openssl 1.2.37.
unsafe extern "C" {
    pub(super) fn xmlSecOpenSSLAppInit(config: *const c_char) -> c_int;
    pub(super) fn xmlSecOpenSSLInit() -> c_int;
    pub(super) fn xmlSecOpenSSLEvpKeyAdopt(key: *mut EvpPkey) -> *mut KeyData;
    pub(super) fn xmlSecOpenSSLTransformSha256GetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecOpenSSLTransformSha384GetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecOpenSSLTransformSha512GetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecOpenSSLTransformRsaSha256GetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecOpenSSLTransformRsaSha384GetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecOpenSSLTransformRsaSha512GetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecOpenSSLTransformEcdsaSha256GetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecOpenSSLTransformEcdsaSha384GetKlass() -> *const TransformKlass;
    pub(super) fn xmlSecOpenSSLTransformEcdsaSha512GetKlass() -> *const TransformKlass;
}

// SAFETY: the signatures are those of OpenSSL 3's headers.
unsafe extern "C" {
    pub(super) fn d2i_PUBKEY(key: *mut *mut EvpPkey, der: *mut *const u8, length: c_long) -> *mut EvpPkey;
    pub(super) fn d2i_AutoPrivateKey(
        key: *mut *mut EvpPkey,
        der: *mut *const u8,
        length: c_long,
    ) -> *mut EvpPkey;
    pub(super) fn EVP_PKEY_up_ref(key: *mut EvpPkey) -> c_int;
    pub(super) fn EVP_PKEY_free(key: *mut EvpPkey);
    pub(super) fn ERR_clear_error();
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn layouts_are_those_of_the_c_headers() {
        assert_eq!(size_of::<PtrList>(), 32);
        assert_eq!(size_of::<Buffer>(), 24);
        assert_eq!(offset_of!(NodeSet, doc), 8);
        assert_eq!(size_of::<KeyReq>(), 72);

        assert_eq!(size_of::<TransformCtx>(), 128);
        assert_eq!(
            [
                offset_of!(TransformCtx, enabled_uris),
                offset_of!(TransformCtx, enabled_transforms),
                offset_of!(TransformCtx, pre_exec_callback),
                offset_of!(TransformCtx, uri),
                offset_of!(TransformCtx, first),
            ],
            [16, 24, 56, 80, 96]
        );

        assert_eq!(size_of::<Transform>(), 120);
        assert_eq!(
            [
                offset_of!(Transform, here_node),
                offset_of!(Transform, in_buf),
                offset_of!(Transform, in_nodes),
                offset_of!(Transform, out_nodes),
            ],
            [16, 40, 88, 96]
        );

        assert_eq!(size_of::<TransformKlass>(), 152);
        assert_eq!(
            [
                offset_of!(TransformKlass, name),
                offset_of!(TransformKlass, href),
                offset_of!(TransformKlass, usage),
                offset_of!(TransformKlass, initialize),
                offset_of!(TransformKlass, read_node),
                offset_of!(TransformKlass, execute),
            ],
            [8, 16, 24, 32, 48, 128]
        );

        assert_eq!(size_of::<KeyInfoCtx>(), 344);
        assert_eq!(
            [
                offset_of!(KeyInfoCtx, enabled_key_data),
                offset_of!(KeyInfoCtx, retrieval_method_ctx),
                offset_of!(KeyInfoCtx, enc_ctx),
                offset_of!(KeyInfoCtx, certs_verification_time),
                offset_of!(KeyInfoCtx, key_req),
            ],
            [32, 72, 208, 224, 256]
        );

        assert_eq!(size_of::<DSigCtx>(), 1032);
        assert_eq!(
            [
                offset_of!(DSigCtx, key_info_read_ctx),
                offset_of!(DSigCtx, key_info_write_ctx),
                offset_of!(DSigCtx, transform_ctx),
                offset_of!(DSigCtx, enabled_reference_uris),
                offset_of!(DSigCtx, enabled_reference_transforms),
                offset_of!(DSigCtx, sign_key),
                offset_of!(DSigCtx, operation),
                offset_of!(DSigCtx, result),
                offset_of!(DSigCtx, status),
                offset_of!(DSigCtx, sign_method),
                offset_of!(DSigCtx, c14n_method),
                offset_of!(DSigCtx, signed_info_references),
                offset_of!(DSigCtx, manifest_references),
            ],
            [16, 360, 704, 832, 840, 880, 888, 896, 904, 912, 920, 952, 984]
        );

        assert_eq!(size_of::<ReferenceCtx>(), 224);
        assert_eq!(
            [
                offset_of!(ReferenceCtx, transform_ctx),
                offset_of!(ReferenceCtx, digest_method),
                offset_of!(ReferenceCtx, result),
                offset_of!(ReferenceCtx, status),
                offset_of!(ReferenceCtx, uri),
            ],
            [24, 152, 160, 168, 192]
        );
    }
}
