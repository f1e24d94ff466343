//! Keys for libxmlsec1: decoded once, since OpenSSL 3 takes longer to decode a key than to verify with it,
//! and lent to each operation by reference count.
//!
//! Does not check what a key is good for; `security` does.

use std::ffi::c_long;
use std::ptr::{self, NonNull};

use super::{XmlSecError, raw};

/// A key to verify with.
#[derive(Debug)]
pub struct PublicKey(EvpKey);

impl PublicKey {
    /// From a SubjectPublicKeyInfo in DER.
    ///
    /// # Errors
    /// [`XmlSecError::Key`] for anything else.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, XmlSecError> {
        EvpKey::decode(der, raw::d2i_PUBKEY).map(Self).ok_or(XmlSecError::Key("public"))
    }

    pub(super) fn owned(&self) -> Result<OwnedKey, XmlSecError> {
        self.0.owned()
    }
}

/// A key to sign with.
#[derive(Debug)]
pub struct PrivateKey(EvpKey);

impl PrivateKey {
    /// From a PKCS #8 PrivateKeyInfo in DER.
    ///
    /// # Errors
    /// [`XmlSecError::Key`] for anything else.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, XmlSecError> {
        EvpKey::decode(der, raw::d2i_AutoPrivateKey).map(Self).ok_or(XmlSecError::Key("private"))
    }

    pub(super) fn owned(&self) -> Result<OwnedKey, XmlSecError> {
        self.0.owned()
    }
}

/// A key of OpenSSL.
#[derive(Debug)]
struct EvpKey(NonNull<raw::EvpPkey>);

// SAFETY: an `EVP_PKEY` counts its references atomically and is not written to once it is decoded.
unsafe impl Send for EvpKey {}
// SAFETY: as for `Send`; OpenSSL lets many threads sign and verify with one key.
unsafe impl Sync for EvpKey {}

type Decode = unsafe extern "C" fn(*mut *mut raw::EvpPkey, *mut *const u8, c_long) -> *mut raw::EvpPkey;

impl EvpKey {
    fn decode(der: &[u8], decode: Decode) -> Option<Self> {
        let length = c_long::try_from(der.len()).ok()?;
        let mut at = der.as_ptr();
        // SAFETY: `der` is readable for `length` octets; the key that comes back is ours.
        let key = unsafe {
            let key = decode(ptr::null_mut(), &raw mut at, length);
            raw::ERR_clear_error();
            key
        };
        let key = NonNull::new(key).map(Self)?;
        // Octets after the key are no part of it.
        (at == der.as_ptr_range().end).then_some(key)
    }

    /// A key of libxmlsec1 that holds a reference to this one.
    fn owned(&self) -> Result<OwnedKey, XmlSecError> {
        let failed = XmlSecError::Library("it takes only RSA and elliptic curve keys");
        // SAFETY: the reference that is counted up goes to the key data, or is given back when that is not
        // made; the key data goes to the key, or is destroyed when that does not take it.
        unsafe {
            let evp = self.0.as_ptr();
            if raw::EVP_PKEY_up_ref(evp) != 1 {
                return Err(failed);
            }
            let data = raw::xmlSecOpenSSLEvpKeyAdopt(evp);
            if data.is_null() {
                raw::EVP_PKEY_free(evp);
                return Err(failed);
            }
            let key = NonNull::new(raw::xmlSecKeyCreate()).map(OwnedKey);
            match key {
                Some(key) if raw::xmlSecKeySetValue(key.0.as_ptr(), data) >= 0 => Ok(key),
                _ => {
                    raw::xmlSecKeyDataDestroy(data);
                    Err(failed)
                }
            }
        }
    }
}

impl Drop for EvpKey {
    fn drop(&mut self) {
        // SAFETY: gives back the one reference that this value holds.
        unsafe { raw::EVP_PKEY_free(self.0.as_ptr()) }
    }
}

/// A key of libxmlsec1, for one operation.
pub(super) struct OwnedKey(NonNull<raw::Key>);

impl OwnedKey {
    /// Gives it to a context, which destroys it.
    pub(super) fn into_raw(self) -> *mut raw::Key {
        let key = self.0.as_ptr();
        std::mem::forget(self);
        key
    }
}

impl Drop for OwnedKey {
    fn drop(&mut self) {
        // SAFETY: made by `xmlSecKeyCreate`, owned by this value alone.
        unsafe { raw::xmlSecKeyDestroy(self.0.as_ptr()) }
    }
}
