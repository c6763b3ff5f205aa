//! The program's environment, read in place.

use std::ffi::CStr;

/// The value of a variable of the agent, if it is set and UTF-8.
///
/// Before `main`, or where a thread of the program might call `getenv` too: a program must not change
/// its environment then.
pub fn value(name: &str) -> Option<&'static str> {
    let mut text = [0_u8; 64];
    text.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
    raw(CStr::from_bytes_until_nul(&text).ok()?)?.to_str().ok()
}

/// The value of a variable of the agent, if it is set. As for [`value`].
pub fn raw(name: &CStr) -> Option<&'static CStr> {
    // SAFETY: the name ends in NUL. The value stands in the environment; the program never sets the
    // agent's variables while it runs, and the callers look at the value at once.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        (!value.is_null()).then(|| CStr::from_ptr(value))
    }
}
