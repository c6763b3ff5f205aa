//! Several programs side by side: the life of `sa-load`, which brings the agent into programs that were started without
//! it.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::ask::allowance::Allowance;
use crate::ask::side_by_side;
use crate::find::library::{self, Library};
use crate::find::target::parse_pid;
use crate::load;
use crate::options::load::Arguments;
use crate::system::{interrupt, supervisor};
use crate::trouble::Trouble;

/// How many programs the agent is brought into at a time.
const AT_A_TIME: usize = 16;

/// Loads into the programs that the arguments name; returns the exit status.
pub fn run(arguments: Arguments) -> ExitCode {
    supervisor::start();
    let status = load_all(arguments);
    supervisor::leave(status);
    ExitCode::from(status)
}

/// Loads into each of the programs, and returns the exit status.
fn load_all(arguments: Arguments) -> u8 {
    let library = match library::own() {
        Ok(library) => library,
        Err(trouble) => {
            complain(format_args!("{trouble}"));
            return 1;
        }
    };
    let mut failed = false;
    let verbose = arguments.verbose;
    let load = move |pid: &String, allowance: &Allowance| {
        load_one(pid, &library, allowance.until(), verbose)
    };
    let late = |_: &String, _: &Allowance| {
        supervisor::note_stuck();
        Err(Trouble::new(
            "Linux does not let it be looked at or stopped in time, as when it waits for a file server that is down",
            "try again when it goes on",
        ))
    };
    let done = |pid: &String, loaded: Result<Option<&str>, Trouble>| match loaded {
        Ok(None) => {}
        Ok(Some(remark)) => complain(format_args!("{pid}: {remark}")),
        Err(trouble) => {
            complain(format_args!("{pid}: {trouble}"));
            failed = true;
        }
    };
    let time = (arguments.timeout, Duration::ZERO);
    side_by_side::each(arguments.pids, AT_A_TIME, time, load, late, done);
    match interrupt::asked_to_stop() {
        Some(signal) => 128 + signal as u8,
        None => u8::from(failed),
    }
}

/// Loads into one program. Returns what its user should know.
fn load_one(
    pid: &str,
    library: &Library,
    until: Instant,
    verbose: bool,
) -> Result<Option<&'static str>, Trouble> {
    load::bring_in(parse_pid(pid)?, library, until, |account| {
        if verbose {
            complain(format_args!("{pid}: {account}"));
        }
    })
}

fn complain(what: fmt::Arguments<'_>) {
    // If nobody can read the line, nothing is left to do.
    let _ = writeln!(io::stderr(), "sa-load: {what}");
}
