//! Several programs side by side: the life of `sa-load`, which brings the agent into programs that were started without
//! it, and takes it out.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::ask::allowance::Allowance;
use crate::ask::{self, AskOptions, side_by_side};
use crate::find::agent::Agent;
use crate::find::library::{self, Library};
use crate::find::no_agent;
use crate::find::target::parse_pid;
use crate::load;
use crate::options::load::Arguments;
use crate::state::answer::Answer;
use crate::system::{interrupt, supervisor};
use crate::trouble::{self, Trouble};
use protocol::names::{HAS_LEFT, LEAVES};
use protocol::question::Question;

/// How many programs the agent is brought into at a time.
const AT_A_TIME: usize = 16;

/// Loads into the programs that the arguments name; returns the exit status.
pub fn run(arguments: Arguments) -> ExitCode {
    supervisor::start();
    let status = work_on_all(arguments);
    supervisor::leave(status);
    ExitCode::from(status)
}

/// Does for each of the programs what is asked for, and returns the exit status.
fn work_on_all(arguments: Arguments) -> u8 {
    let library = match arguments.unload {
        true => None,
        false => match library::own() {
            Ok(library) => Some(library),
            Err(trouble) => {
                complain(format_args!("{trouble}"));
                return 1;
            }
        },
    };
    let mut failed = false;
    let verbose = arguments.verbose;
    let work = move |pid: &String, allowance: &Allowance| match &library {
        Some(library) => load_one(pid, library, allowance.until(), verbose),
        None => unload_one(pid, allowance, verbose),
    };
    let late = |_: &String, _: &Allowance| {
        supervisor::note_stuck();
        Err(Trouble::new(
            "Linux does not let it be looked at or stopped in time, as when it waits for a file server that is down",
            "try again when it goes on",
        ))
    };
    let done = |done: Option<(&String, Result<Option<&str>, Trouble>)>| match done {
        None | Some((_, Ok(None))) => {}
        Some((pid, Ok(Some(remark)))) => complain(format_args!("{pid}: {remark}")),
        Some((pid, Err(trouble))) => {
            complain(format_args!("{pid}: {trouble}"));
            failed = true;
        }
    };
    let time = (arguments.timeout, Duration::ZERO);
    side_by_side::each(arguments.pids, AT_A_TIME, time, work, late, done);
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

/// How long the agent's last threads take to end, once it leaves.
const LONGEST_LEAVING: Duration = Duration::from_secs(5);

/// Has the agent leave one program. Returns what its user should know.
fn unload_one(
    pid: &str,
    allowance: &Allowance,
    verbose: bool,
) -> Result<Option<&'static str>, Trouble> {
    let process = parse_pid(pid)?;
    if let Ok(Some(agent)) = Agent::find(process)
        && agent.has_left(process)
    {
        return Ok(Some("its agent had left it before"));
    }
    let options = AskOptions {
        question: Question {
            leave: true,
            ..Question::default()
        },
        via: None,
        gdb: None,
        timeout: Some(allowance.time()),
        verbose,
        load: None,
    };
    match ask::ask(process, &options, true, allowance, |_| {})? {
        Answer::Reason(reason) if [LEAVES, HAS_LEFT].contains(&&*reason) => {}
        _ => return Err(trouble::of_another_version()),
    }
    let until = allowance.until().min(Instant::now() + LONGEST_LEAVING);
    while no_agent::has_agent_thread(process) {
        if Instant::now() > until {
            return Err(Trouble::new(
                "its agent leaves, but has a thread that still waits, as for the GIL",
                "look again in a while: that thread ends when it can go on",
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(Some(
        "the agent has left it; its library stays mapped, and does nothing until it is brought in again",
    ))
}

fn complain(what: fmt::Arguments<'_>) {
    // If nobody can read the line, nothing is left to do.
    let _ = writeln!(io::stderr(), "sa-load: {what}");
}
