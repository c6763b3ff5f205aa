//! `sa-run COMMAND`: becomes the command, with the library in it.
//!
//! The program must find everything as if it had been started without us. Rust's own start-up
//! ignores SIGPIPE and opens closed standard descriptors, and all that would be inherited; so
//! this `main` is C's, called before any of it.
#![no_main]

use clap::Parser;
use std::ffi::{CString, OsStr, OsString, c_char, c_int};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;

use launcher::find::library::{self, LIBRARY_VARIABLE};
use launcher::options::run::Arguments;
use launcher::run::command::{self, OWN_TROUBLE};
use launcher::system::path_search::{self, Refusal};
use launcher::trouble::Trouble;
use protocol::names::ONLY_PID_VARIABLE;

/// Where the program starts, in place of Rust's own start-up.
#[unsafe(no_mangle)]
pub extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return match error.use_stderr() {
                true => c_int::from(OWN_TROUBLE),
                false => 0,
            };
        }
    };
    // Only returns if it fails.
    let refusal = become_command(arguments);
    let _ = writeln!(io::stderr(), "sa-run: {}", refusal.trouble);
    c_int::from(refusal.status)
}

fn become_command(arguments: Arguments) -> Refusal {
    match prepare(&arguments) {
        Ok(()) => execute(arguments.command),
        Err(refusal) => refusal,
    }
}

fn prepare(arguments: &Arguments) -> Result<(), Refusal> {
    let own = |trouble| Refusal {
        status: OWN_TROUBLE,
        trouble,
    };
    let executable = std::env::current_exe().map_err(|error| {
        own(Trouble::new(
            format!("sa-run cannot find its own file ({error})"),
            format!("set {LIBRARY_VARIABLE} to the path of libsleeper.so"),
        ))
    })?;
    let library =
        library::find(std::env::var_os(LIBRARY_VARIABLE).as_deref(), &executable).map_err(own)?;
    let search_path = std::env::var_os("PATH");
    let name = arguments
        .command
        .first()
        .map_or(OsStr::new(""), OsString::as_os_str);
    let file = path_search::find(name, search_path.as_deref())?;
    command::check(&file, search_path.as_deref())?;

    let preload = library::preload_value(&library, std::env::var_os("LD_PRELOAD").as_deref());
    // SAFETY: this process has one thread, which is here, so nobody reads the environment.
    unsafe {
        std::env::set_var("LD_PRELOAD", preload);
        if arguments.no_children {
            std::env::set_var(ONLY_PID_VARIABLE, std::process::id().to_string());
        } else {
            std::env::remove_var(ONLY_PID_VARIABLE);
        }
    }
    Ok(())
}

/// Rust's own `exec` would reset SIGPIPE; the C library's changes nothing.
fn execute(command: Vec<OsString>) -> Refusal {
    let name = command.first().cloned().unwrap_or_default();
    // Arguments come from the kernel, where NUL ends them: none can hold one.
    let arguments: Vec<CString> = command
        .into_iter()
        .filter_map(|argument| CString::new(argument.into_vec()).ok())
        .collect();
    let mut pointers: Vec<*const c_char> = arguments.iter().map(|text| text.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: `pointers` is an array of NUL-terminated strings, at least the command's name,
    // ended by a null pointer; strings and array outlive the call.
    unsafe { libc::execvp(pointers[0], pointers.as_ptr()) };
    path_search::not_runnable(&name, &io::Error::last_os_error())
}
