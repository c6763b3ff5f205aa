//! `sleeper_agent_activate PID…`: what is this Python program doing?

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use launcher::activation::{self, Manner, Via};
use launcher::answer::Answer;
use launcher::checks;
use launcher::interrupt;
use launcher::trouble::Trouble;

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
  sleeper_agent_activate 4711 4712         of both, one after the other
  sleeper_agent_activate --via wake 4711   without a debugger, in a millisecond or two
  sleeper_agent_activate -v 4711           with gdb's own words on standard error
  sleeper_agent_activate $(pidof python2.7)

Exit status: 0 if every process answered, 1 if one did not, 2 for a usage error."
)]
struct Arguments {
    /// Report every step, and what gdb says, on standard error
    #[arg(short, long)]
    verbose: bool,

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

    /// The processes to ask
    #[arg(required = true, value_name = "PID", allow_negative_numbers = true)]
    pids: Vec<String>,
}

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
    interrupt::watch();
    let manner = Manner {
        via: arguments.via,
        gdb: arguments.gdb,
        timeout: arguments.timeout,
        verbose: arguments.verbose,
    };
    let many = arguments.pids.len() > 1;
    let mut all_answered = true;
    for typed in &arguments.pids {
        if many {
            complain(format_args!("PID {typed}:"));
        }
        let answered = state_of(typed, &manner).and_then(|state| print(&state, many));
        if let Err(trouble) = answered {
            complain(format_args!("PID {typed}: {trouble}"));
            all_answered = false;
        }
        if let Some(signal) = interrupt::asked_to_stop() {
            return ExitCode::from(128 + signal as u8);
        }
    }
    if all_answered {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn state_of(typed: &str, manner: &Manner) -> Result<Vec<u8>, Trouble> {
    let process = checks::parse_pid(typed)?;
    let note = |why: &Trouble| {
        let what = why.what();
        complain(format_args!(
            "PID {typed}: asked without a debugger, as {what}"
        ));
    };
    match activation::ask(process, manner, note)? {
        Answer::State(text) => Ok(text),
        Answer::Reason(reason) => Err(Trouble::plain(reason)),
    }
}

/// The state as it came, with the line end that a text has; one of several is set apart by an
/// empty line.
fn print(state: &[u8], many: bool) -> Result<(), Trouble> {
    let mut text = state.to_vec();
    if !text.ends_with(b"\n") {
        text.push(b'\n');
    }
    if many {
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
        use clap::CommandFactory;
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
