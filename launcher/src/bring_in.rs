//! Program after program: the life of `sa-load`, which brings the agent into programs that were started without it.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Instant;

use crate::find::library::{self, Library};
use crate::find::target::{Alive, parse_pid};
use crate::load;
use crate::options::load::Arguments;
use crate::system::{interrupt, supervisor};
use crate::trouble::Trouble;

/// Loads into the programs that the arguments name; returns the exit status.
pub fn run(arguments: &Arguments) -> ExitCode {
    supervisor::start();
    let status = load_all(arguments);
    supervisor::leave(status);
    ExitCode::from(status)
}

/// Loads into each of the programs, and returns the exit status.
fn load_all(arguments: &Arguments) -> u8 {
    let library = match library::own() {
        Ok(library) => library,
        Err(trouble) => {
            complain(format_args!("{trouble}"));
            return 1;
        }
    };
    let mut failed = false;
    for pid in &arguments.pids {
        if let Err(trouble) = load_one(pid, &library, arguments) {
            complain(format_args!("{pid}: {trouble}"));
            failed = true;
        }
        if let Some(signal) = interrupt::asked_to_stop() {
            return 128 + signal as u8;
        }
    }
    u8::from(failed)
}

fn load_one(pid: &str, library: &Library, arguments: &Arguments) -> Result<(), Trouble> {
    let alive = Alive::examine(parse_pid(pid)?)?;
    let loaded = load::load(&alive, library, Instant::now() + arguments.timeout)?;
    if let Some(remark) = load::remark(loaded)? {
        complain(format_args!("{pid}: {remark}"));
    }
    Ok(())
}

fn complain(what: fmt::Arguments<'_>) {
    // If nobody can read the line, nothing is left to do.
    let _ = writeln!(io::stderr(), "sa-load: {what}");
}
