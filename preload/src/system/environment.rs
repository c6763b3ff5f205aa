//! The program's environment, without a copy of it.

use std::ffi::CStr;

/// The value of a variable of ours, if it is set, and text.
///
/// Before `main`, or where the program's own threads might call getenv as well: nobody but they
/// could be changing the environment.
pub fn value(name: &str) -> Option<&'static str> {
    let mut text = [0_u8; 64];
    text.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    // SAFETY: the name ends in NUL; the value stands in the environment, which is not copied, and
    // is looked at at once.
    unsafe {
        let value = libc::getenv(text.as_ptr().cast());
        (!value.is_null()).then(|| CStr::from_ptr(value))
    }
    .and_then(|value| value.to_str().ok())
}
