//! `sa-run COMMAND`: becomes the command, with the library in it.
//!
//! The program must find everything as if it had been started without us. Rust's own start-up
//! ignores SIGPIPE and opens closed standard descriptors, and the program would inherit both. So this
//! `main` is C's, which runs before any of that; no safe Rust can define it.
#![no_main]

use std::ffi::{OsStr, OsString, c_char, c_int};
use std::io::{self, Write};
use std::os::unix::ffi::OsStringExt;

use launcher::find::library;
use launcher::options::run::Arguments;
use launcher::run::command::{self, OWN_TROUBLE};
use launcher::start;
use launcher::system::exec::become_command;
use launcher::system::path_search::{self, Refusal};
use launcher::trouble::Trouble;
use protocol::names::ONLY_PID_VARIABLE;

/// Where the program starts, in place of Rust's own start-up.
// SAFETY: the C library calls this function, once, as C's `main`; nothing else here has that name.
#[unsafe(no_mangle)]
pub extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    let arguments = match start::arguments(OWN_TROUBLE, OWN_TROUBLE) {
        Ok(arguments) => arguments,
        Err(status) => return c_int::from(status),
    };
    let refusal = run(arguments);
    let _ = writeln!(io::stderr(), "sa-run: {}", refusal.trouble);
    c_int::from(refusal.status)
}

/// Becomes the command. Returns only if that fails.
fn run(arguments: Arguments) -> Refusal {
    let preload = match prepare(&arguments) {
        Ok(preload) => preload,
        Err(refusal) => return refusal,
    };
    let only = arguments
        .no_children
        .then(|| std::process::id().to_string());
    let name = arguments.command.first().cloned().unwrap_or_default();
    let error = become_command(
        arguments.command,
        &[
            ("LD_PRELOAD", Some(preload)),
            (ONLY_PID_VARIABLE, only.map(OsString::from)),
        ],
    );
    path_search::not_runnable(&name, &error)
}

/// Makes sure that the loader will take the library into the command; returns the value for LD_PRELOAD.
fn prepare(arguments: &Arguments) -> Result<OsString, Refusal> {
    let own = |trouble| Refusal {
        status: OWN_TROUBLE,
        trouble,
    };
    let library = library::own().map_err(own)?;
    let search_path = std::env::var_os("PATH");
    let name = arguments
        .command
        .first()
        .map_or(OsStr::new(""), OsString::as_os_str);
    let file = path_search::find(name, search_path.as_deref())?;
    command::check(&file, search_path.as_deref(), library.needs_glibc)?;
    let present = std::env::var_os("LD_PRELOAD");
    let preload = library::preload_value(&library, present.as_deref());
    for other in &preload.left_out {
        let trouble = Trouble::new(
            format!(
                "LD_PRELOAD names another libsleeper.so already ({}), which is left out for {}",
                other.display(),
                library.path.display()
            ),
            "uninstall one of them",
        );
        let _ = writeln!(io::stderr(), "sa-run: {trouble}");
    }
    Ok(OsString::from_vec(preload.value))
}
