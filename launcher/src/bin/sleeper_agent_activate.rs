//! `sleeper_agent_activate PID…`: what is this Python program doing?

use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueEnum};
use launcher::activation::{self, Manner, Via};
use launcher::answer::Answer;
use launcher::carriers::{self, Carrier};
use launcher::checks::{self, Alive};
use launcher::idle_times;
use launcher::interrupt;
use launcher::printable::Printable;
use launcher::process::Process;
use launcher::report::Report;
use launcher::side_by_side;
use launcher::trouble::Trouble;
use launcher::wanted::Wanted;

/// Print what every thread of a running Python program is doing.
///
/// The program must have been started with `sa-run`, or have imported sleeper_agent. It goes on
/// as if nothing had been.
#[derive(Parser)]
#[command(
    name = "sleeper_agent_activate",
    version,
    after_help = "\
Examples:
  sleeper_agent_activate 4711              the state of process 4711
  sleeper_agent_activate 4711 4712         of both, whichever answers first
  sleeper_agent_activate --children 4711   of it and all below it, such as a server's workers
  sleeper_agent_activate --all             of all programs that `sa-list` shows
  sleeper_agent_activate --via wake 4711   without a debugger, in a millisecond or two
  sleeper_agent_activate --format full 4711    with the threads' names, and what each waits in
  sleeper_agent_activate --format json 4711    everything, for programs
  sleeper_agent_activate --greenlets 4711      also the greenlets of gevent, eventlet and others
  sleeper_agent_activate -v 4711           with gdb's own words on standard error

The state of one process is its text and nothing else. Of several each stands under a line
\"=== PID 4711: COMMAND\", in the order in which they answer; in the full format always. JSON has
one document a line for each process.

Exit status: 0 if every process answered, 1 if one did not, or --all found none; 2 for a usage
error; 128 and its number if a signal ended the command. A process that was found, not named, and
has ended before it was asked, is passed over."
)]
struct Arguments {
    /// Report every step, and what gdb says, on standard error
    #[arg(short, long)]
    verbose: bool,

    /// The state as the original prints it; with the threads' names, TIDs and what they wait in; or
    /// as a JSON document
    #[arg(
        long,
        value_enum,
        default_value = "plain",
        default_value_if("greenlets", "true", "full")
    )]
    format: Format,

    /// Add the stacks of suspended greenlets, with what they wait for (in the formats full and json;
    /// full if none is given)
    #[arg(long)]
    greenlets: bool,

    /// How to get at the program: a debugger, or a signal to the agent in it. Where nothing is
    /// said it is gdb, or, if that is missing or not allowed to, a signal
    #[arg(long, value_enum, env = "SLEEPER_AGENT_VIA", hide_env_values = true)]
    via: Option<Via>,

    /// The gdb to use: a path, or a name on $PATH [default: gdb]
    #[arg(long)]
    gdb: Option<PathBuf>,

    /// How long gdb may take to get to the program; the answer itself has the agent's deadline
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    timeout: Duration,

    /// Ask all programs that carry an agent: yours, or, for root, everyone's
    #[arg(long)]
    all: bool,

    /// Ask all programs that carry an agent among a process and its descendants
    #[arg(long, value_name = "PID", allow_negative_numbers = true)]
    children: Vec<String>,

    /// The processes to ask
    #[arg(
        required_unless_present_any = ["all", "children"],
        value_name = "PID",
        allow_negative_numbers = true
    )]
    pids: Vec<String>,
}

/// How a state is shown.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Format {
    // No help of its own for each: `--format` says it.
    Plain,
    Full,
    Json,
}

/// So many are asked at a time through gdb, each of which takes some memory, and a processor to
/// start;
const AT_A_TIME_BY_GDB: usize = 8;

/// and so many without.
const AT_A_TIME_BY_WAKE: usize = 64;

fn seconds(typed: &str) -> Result<Duration, String> {
    typed
        .parse()
        .ok()
        .filter(|seconds: &f64| *seconds > 0.0 && *seconds <= 86_400.0)
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "give a number of seconds, such as 10 or 0.5, at most a day".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.greenlets && arguments.format == Format::Plain {
        let why = "--greenlets has no place in --format plain: use full or json";
        Arguments::command()
            .error(ErrorKind::ArgumentConflict, why)
            .exit();
    }
    let mut failed = false;
    let mut fail = |whom: &dyn Display, trouble: &Trouble| {
        complain(format_args!("{whom}: {trouble}"));
        failed = true;
    };
    let wanted = wanted(&arguments, &mut fail);
    let format = arguments.format;
    let found = arguments.all || !arguments.children.is_empty();
    let headed = match format {
        Format::Plain => arguments.pids.len() > 1 || found,
        Format::Full => true,
        Format::Json => false,
    };
    // From here on a program may be held, which has to be let go.
    interrupt::watch();
    let at_a_time = match arguments.via {
        Some(Via::Wake) => AT_A_TIME_BY_WAKE,
        _ => AT_A_TIME_BY_GDB,
    };
    let manner = Manner {
        wanted: Wanted {
            facts: format != Format::Plain,
            greenlets: arguments.greenlets,
            ..Wanted::default()
        },
        via: arguments.via,
        gdb: arguments.gdb,
        timeout: arguments.timeout,
        verbose: arguments.verbose,
    };
    let notes = Mutex::new(HashSet::new());
    let ask = |one: &Asked| {
        // Before it is asked: what it is may have changed, or be gone, by the time of its answer.
        let command = one.process.command_line();
        let heading = headed.then(|| heading(one.process, &command));
        let shown = state_of(one.process, command, format, || {
            answer_of(one.process, &manner, &notes)
        });
        (heading, shown)
    };
    side_by_side::each(&wanted, at_a_time, ask, |one, (heading, state)| {
        let printed = match state {
            Ok(state) => print(heading.as_deref(), &state),
            Err(_) if one.is_gone() => Ok(()),
            Err(trouble) => Err(trouble),
        };
        if let Err(trouble) = printed {
            fail(&one.process, &trouble);
        }
    });
    match interrupt::asked_to_stop() {
        Some(signal) => ExitCode::from(128 + signal as u8),
        None if failed => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    }
}

/// A process to ask.
struct Asked {
    process: Process,
    /// Where it was not named, but found.
    found: Option<Alive>,
}

impl Asked {
    /// Whether it was found, and has ended since: then there is nothing to tell of it.
    fn is_gone(&self) -> bool {
        self.found.is_some_and(|found| found.status().is_none())
    }
}

/// The processes to ask, each once. What is wrong with one that was named is told, and the others
/// are asked.
fn wanted(arguments: &Arguments, fail: &mut impl FnMut(&dyn Display, &Trouble)) -> Vec<Asked> {
    let mut wanted: Vec<Asked> = Vec::new();
    let mut add = |process: Process, found: Option<Alive>| {
        if wanted.iter().all(|one| one.process != process) {
            wanted.push(Asked { process, found });
        }
    };
    for typed in &arguments.pids {
        match checks::parse_pid(typed) {
            Ok(process) => add(process, None),
            Err(trouble) => fail(&format_args!("PID {typed}"), &trouble),
        }
    }
    let mut add_found = |found: Vec<Carrier>| {
        for one in found {
            add(one.alive.process, Some(one.alive));
        }
    };
    for typed in &arguments.children {
        match checks::parse_pid(typed).and_then(carriers::tree) {
            Ok(found) => add_found(found),
            Err(trouble) => fail(&format_args!("PID {typed}"), &trouble),
        }
    }
    if arguments.all {
        match carriers::all() {
            Ok(found) if found.is_empty() => fail(&"--all", &nobody()),
            Ok(found) => add_found(found),
            Err(trouble) => fail(&"--all", &trouble),
        }
    }
    wanted
}

fn nobody() -> Trouble {
    Trouble::new(
        "no program of yours carries a sleeper agent",
        "start one with `sa-run COMMAND`, or let it `import sleeper_agent`; root sees everyone's",
    )
}

/// The line that a state of several stands under.
fn heading(process: Process, command: &[String]) -> String {
    format!("=== {process}: {}\n", Printable(&command.join(" ")))
}

/// Asks one process. That it is done in another way than usual is said, for each reason once.
fn answer_of(
    process: Process,
    manner: &Manner,
    notes: &Mutex<HashSet<String>>,
) -> Result<Answer, Trouble> {
    let note = |why: &Trouble| {
        let what = why.what();
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.insert(what.to_owned()) {
            let what = Printable(what);
            complain(format_args!(
                "{process}: asked without a debugger, as {what}"
            ));
        }
    };
    activation::ask(process, manner, note)
}

/// Asks, and makes the state of the answer, in a format.
fn state_of(
    process: Process,
    command: Vec<String>,
    format: Format,
    ask: impl FnOnce() -> Result<Answer, Trouble>,
) -> Result<Vec<u8>, Trouble> {
    if format == Format::Plain {
        return match ask()? {
            Answer::State(text) => Ok(text),
            answer => Report::new(process, command, answer, &HashMap::new())
                .map(|report| report.full().into_bytes()),
        };
    }
    // Meanwhile, as it takes as long; and our question wakes threads that slept.
    let (answer, times) = thread::scope(|scope| {
        let times = thread::Builder::new().spawn_scoped(scope, || idle_times::of(process));
        (ask(), times.ok().and_then(|times| times.join().ok()))
    });
    let report = Report::new(process, command, answer?, &times.unwrap_or_default())?;
    Ok(match format {
        Format::Json => report.json().into_bytes(),
        _ => report.full().into_bytes(),
    })
}

/// The state as it came, with the line end that a text has; one of several under its heading, and
/// set apart by an empty line. An honest agent's has no control characters in it; others' shall do
/// nothing to a terminal.
fn print(heading: Option<&str>, state: &[u8]) -> Result<(), Trouble> {
    let mut text = heading.unwrap_or_default().as_bytes().to_vec();
    let is_harmless = |byte: &u8| matches!(byte, b'\n' | b'\t' | b' '..=b'~' | 128..);
    for piece in state.chunk_by(|one, other| is_harmless(one) == is_harmless(other)) {
        if piece.first().is_some_and(is_harmless) {
            text.extend_from_slice(piece);
        } else {
            for control in piece {
                text.extend_from_slice(format!("\\x{control:02x}").as_bytes());
            }
        }
    }
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    if heading.is_some() {
        text.push(b'\n');
    }
    let mut output = io::stdout().lock();
    output
        .write_all(&text)
        .and_then(|()| output.flush())
        .map_err(|error| Trouble::plain(format!("its state could not be written ({error})")))
}

fn complain(line: std::fmt::Arguments) {
    // In one piece, as we may be killed. With nobody to read it there is nothing to be done.
    let line = format!("sleeper_agent_activate: {line}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn reads_timeouts() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for typed in ["0", "-1", "nan", "inf", "1e99", "soon", ""] {
            assert!(seconds(typed).is_err(), "{typed}");
        }
    }
}
