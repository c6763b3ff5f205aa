//! `sleeper_agent_activate PID…`: what is this Python program doing?

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use std::collections::{HashMap, HashSet};
use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use launcher::ask::{Manner, Via, side_by_side};
use launcher::find::chosen::{self, Asked};
use launcher::options::{Choice, Format, VariableOptions, interval, seconds};
use launcher::report::{diff, terminal};
use launcher::system::interrupt;
use launcher::trouble::Trouble;
use launcher::watch::{Look, answer_of, asked_again, complain, state_of};
use protocol::question::Question;

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
  sleeper_agent_activate --locals 4711     with the values of local variables
  sleeper_agent_activate --watch 2 4711    every 2 seconds, with marks of what has moved
  sleeper_agent_activate --diff OLD NEW    what has moved from one such document to another
  sleeper_agent_activate --greenlets 4711      also the greenlets of gevent, eventlet and others,
                                               and the generators of Tornado and Twisted
  sleeper_agent_activate -v 4711           with gdb's own words on standard error

The state of one process is its text and nothing else. Of several each stands under a line
\"=== PID 4711: COMMAND\", in the order in which they answer; in the full format always. JSON has
one document a line for each process. On a terminal the full format has colours, unless $NO_COLOR
is set.

Of each thread --watch and --diff say whether it is new, has moved (its frames, or what it waits
for), has not, or \"ran in place\": it is where it was, but has run in between, as far as the kernel
tells. In the first column stand
  =  frames, from the outermost on, and waits that are as they were
  >  the first frame that is not: there it has moved; and a wait that has begun
  <  a wait that has ended, and a thread that is gone
--watch ends when the processes have ended, or by Ctrl-C. --diff reads files that hold what --format
json has printed, compares the last document of each process, and asks none.

Exit status: 0 if every process answered, 1 if one did not, or --all found none; 2 for a usage
error; 128 and its number if a signal ended the command. A process that was found, not named, and
has ended before it was asked, is passed over; so is, by --watch, one that has answered and has ended
since. With --diff: 0 if both files were compared, 1 if not."
)]
pub struct Arguments {
    /// Report every step, and what gdb says, on standard error
    #[arg(short, long)]
    verbose: bool,

    /// The state as the original prints it; with the threads' names, TIDs and what they wait in; or
    /// as a JSON document [default: plain, or full where only that can show what is asked for]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Ask again after so many seconds, at least 0.1, over and over, and mark what has moved
    #[arg(long, value_name = "SECONDS", value_parser = interval)]
    watch: Option<Duration>,

    /// Compare two files of JSON documents instead
    #[arg(
        long,
        num_args = 2,
        value_names = ["OLD", "NEW"],
        conflicts_with_all = ["Choice", "watch", "format"]
    )]
    diff: Vec<PathBuf>,

    #[command(flatten)]
    variables: VariableOptions,

    /// Add the stacks of suspended greenlets, and of generators that Tornado or Twisted drives, with
    /// what they wait for (in the formats full and json; full if none is given)
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

    #[command(flatten)]
    choice: Choice,
}

/// So many are asked at a time through gdb, each of which takes some memory, and a processor to
/// start;
const AT_A_TIME_BY_GDB: usize = 8;

/// and so many without.
const AT_A_TIME_BY_WAKE: usize = 64;

impl Arguments {
    fn format(&self) -> Format {
        let why = if self.variables.any() {
            Some("shows no variables")
        } else if self.greenlets {
            Some("has no place for greenlets")
        } else {
            let watch = self.watch;
            watch.map(|_| "has no place for --watch's marks of what has moved")
        };
        match (self.format, why) {
            (Some(Format::Plain), Some(why)) => {
                let why =
                    format!("the plain format {why}: leave --format out, or say full or json");
                let mut command = Arguments::command();
                command.error(ErrorKind::ArgumentConflict, why).exit()
            }
            (Some(format), _) => format,
            (None, Some(_)) => Format::Full,
            (None, None) => Format::Plain,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let [old, new] = &arguments.diff[..] {
        return match diff::show(old, new) {
            Ok(()) => ExitCode::SUCCESS,
            Err(line) => {
                complain(format_args!("{line}"));
                ExitCode::FAILURE
            }
        };
    }
    let format = arguments.format();
    let mut failed = false;
    let mut fail = |whom: &dyn Display, trouble: &Trouble| {
        complain(format_args!("{whom}: {trouble}"));
        failed = true;
    };
    let choice = arguments.choice;
    let mut asked = chosen::chosen(&choice, &mut fail);
    let found = choice.all || !choice.children.is_empty();
    let headed = match format {
        Format::Plain => choice.pids.len() > 1 || found,
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
        wanted: arguments.variables.add_to(Question {
            facts: format != Format::Plain,
            greenlets: arguments.greenlets,
            ..Question::default()
        }),
        via: arguments.via,
        gdb: arguments.gdb,
        timeout: arguments.timeout,
        verbose: arguments.verbose,
    };
    let coloured = format == Format::Full && terminal::has_colours();
    let notes = Mutex::new(HashSet::new());
    let mut last: HashMap<i32, Look> = HashMap::new();
    loop {
        let begun = Instant::now();
        let mut heard = true;
        let ask = |one: &Asked| {
            // Before it is asked: what it is may have changed, or be gone, by the time of its answer.
            let command = one.process.command_line();
            let heading = headed.then(|| terminal::heading(one.process, &command));
            let last = last.get(&one.process.pid);
            let shown = state_of(one.process, command, format, last, || {
                answer_of(one.process, &manner, &notes)
            });
            (heading, shown)
        };
        let mut looks = Vec::new();
        side_by_side::each(
            &asked,
            at_a_time,
            ask,
            |one, (heading, state)| match state {
                Ok((state, look)) => {
                    looks.extend(look);
                    if let Err(trouble) = terminal::print(heading.as_deref(), &state, coloured) {
                        heard = false;
                        fail(&one.process, &trouble);
                    }
                }
                Err(_) if one.is_gone() => {}
                Err(trouble) => fail(&one.process, &trouble),
            },
        );
        let Some(pause) = arguments.watch.filter(|_| heard) else {
            // A million frames and more: with the process they are gone sooner than one by one.
            std::mem::forget(looks);
            break;
        };
        for look in looks {
            last.insert(look.alive.process.pid, look);
        }
        // Nobody has answered.
        if last.is_empty() {
            break;
        }
        interrupt::sleep_until(begun + pause);
        asked = asked_again(&choice, &mut last);
        if asked.is_empty() || interrupt::asked_to_stop().is_some() {
            break;
        }
    }
    match interrupt::asked_to_stop() {
        Some(signal) => ExitCode::from(128 + signal as u8),
        None if failed => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    }
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
