//! Becoming another program.

use std::ffi::{CStr, CString, OsStr, OsString, c_char};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// Becomes the command, found along `$PATH`, in our environment with these variables set (`Some`) or
/// taken out (`None`). Returns only if that fails.
///
/// Rust's own `exec` would reset SIGPIPE, and its `vars_os` would leave out what is no variable; the new
/// program shall find everything as it was.
pub fn become_command(command: Vec<OsString>, changes: &[(&str, Option<OsString>)]) -> io::Error {
    let mut environment = environment();
    for (name, value) in changes {
        let names_it = |entry: &CString| {
            let rest = entry.as_bytes().strip_prefix(name.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b"="))
        };
        let Some(value) = value else {
            environment.retain(|entry| !names_it(entry));
            continue;
        };
        let entry = [OsStr::new(name), OsStr::new("="), value].map(OsStrExt::as_bytes);
        let Ok(entry) = CString::new(entry.concat()) else {
            return io::ErrorKind::InvalidInput.into();
        };
        match environment.iter().position(names_it) {
            Some(at) => environment[at] = entry,
            None => environment.push(entry),
        }
    }
    // Arguments come from the kernel, where NUL ends them: none can hold one.
    let arguments: Vec<CString> = command
        .into_iter()
        .filter_map(|argument| CString::new(argument.into_vec()).ok())
        .collect();
    let Some(program) = arguments.first() else {
        return io::ErrorKind::InvalidInput.into();
    };
    let (arguments, environment) = (&pointers(&arguments), &pointers(&environment));
    // SAFETY: both are arrays of NUL-terminated strings, ended by a null pointer; strings and arrays
    // outlive the call.
    unsafe { libc::execvpe(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    let pointers = strings.iter().map(|string| string.as_ptr());
    pointers.chain([std::ptr::null()]).collect()
}

/// The entries of our environment, whatever stands in them.
fn environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: the C library's list of NUL-terminated strings, ended by a null pointer, or no list. Only
    // `setenv` and its kin change it, and nothing in the commands calls these.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry).to_owned());
            entry = entry.add(1);
        }
    }
    entries
}
