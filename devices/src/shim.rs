//! What every call into libtorch's C++ interface shares, as `shim/guarded.h`: how a failure is told.
//!
//! For the crates of this workspace that bring shims of their own; their build scripts find the header and libtorch through
//! this crate's.

use std::ffi::{CStr, c_char};

/// Longest text kept of an exception, its closing zero included.
const TEXT_BYTES: usize = 1024;

/// C's `EngineError`: where a call leaves the text of an exception.
#[repr(C)]
#[derive(Debug)]
pub struct ErrorText {
    text: *mut c_char,
    size: usize,
}

/// Runs a call that answers whether it succeeded.
///
/// # Errors
/// The text of the exception, where it did not.
pub fn call(call: impl FnOnce(ErrorText) -> bool) -> Result<(), String> {
    let mut text = [0_u8; TEXT_BYTES];
    if call(ErrorText { text: text.as_mut_ptr().cast(), size: text.len() }) {
        return Ok(());
    }
    let told = CStr::from_bytes_until_nul(&text).map(CStr::to_string_lossy);
    Err(told.map_or_else(|_| "no text".to_owned(), std::borrow::Cow::into_owned))
}
