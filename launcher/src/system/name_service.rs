//! Keeps the C library's name service (NSS) out of the commands.
//!
//! Its functions load modules of the machine's, and these need the C library that they were built for: a static
//! command that calls one ends in an abort on an older system. Nothing here calls them ([`users`] looks users
//! up); but Rust's standard library could, in parts of it that nothing here uses, and glibc's `fork` (posix/fork.c)
//! keeps the whole of it as soon as the linker has seen such a call. So these functions are defined here, and
//! know nobody.
//!
//! [`users`]: crate::system::users

use std::ffi::{c_char, c_int};
use std::ptr;

/// Knows no user (getpwnam(3)). `std::env::home_dir` would call it.
///
/// # Safety
/// `result` is null or can be written to.
// SAFETY: takes the place of the C library's function in the commands, with the same arguments and results.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getpwuid_r(
    _user: libc::uid_t,
    _entry: *mut libc::passwd,
    _text: *mut c_char,
    _length: libc::size_t,
    result: *mut *mut libc::passwd,
) -> c_int {
    if !result.is_null() {
        // SAFETY: as the caller promises.
        unsafe { *result = ptr::null_mut() };
    }
    libc::ENOENT
}

/// Knows no host (getaddrinfo(3)). Names of hosts in `std::net` would call it.
// SAFETY: takes the place of the C library's function in the commands, with the same arguments and results.
#[unsafe(no_mangle)]
pub extern "C" fn getaddrinfo(
    _node: *const c_char,
    _service: *const c_char,
    _hints: *const libc::addrinfo,
    _result: *mut *mut libc::addrinfo,
) -> c_int {
    libc::EAI_FAIL
}

/// Frees nothing, as nothing was found.
// SAFETY: takes the place of the C library's function in the commands, with the same arguments and results.
#[unsafe(no_mangle)]
pub extern "C" fn freeaddrinfo(_result: *mut libc::addrinfo) {}
