//! The command line of `sleeper_agent_activate`.

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, ValueHint};
use std::path::PathBuf;
use std::time::Duration;

use crate::options::extent::Extent;
use crate::options::variables::VariableOptions;
use crate::options::{Choice, Format, Via, interval, seconds};
use protocol::question::{LONGEST_HOLD, Question};

/// Print what every thread of a running Python program is doing.
///
/// The program must have been started with `sa-run`, or have imported sleeper_agent; or --load brings the
/// library in. The program carries on undisturbed.
#[derive(Parser)]
#[command(
    name = "sleeper_agent_activate",
    version,
    after_help = "\
Examples:
  sleeper_agent_activate 4711              the state of process 4711
  sleeper_agent_activate 4711 4712         the states of both, whichever answers first
  sleeper_agent_activate --load 4711       the same, also if it was started without the library
  sleeper_agent_activate --children 4711   this process and its descendants, such as a server's workers
  sleeper_agent_activate --all             every program that `sa-list` shows
  sleeper_agent_activate --name gunicorn   every one whose command line matches, as for `pgrep -f`
  sleeper_agent_activate --via wake 4711   without a debugger, in a millisecond or two
  sleeper_agent_activate --format full 4711    with the threads' names, and what each waits for
  sleeper_agent_activate --format json 4711    everything, for programs
  sleeper_agent_activate --thread worker-3 4711    this thread alone, by name, identifier or TID
  sleeper_agent_activate --only-own --innermost 3 4711    the last three frames of your own code
  sleeper_agent_activate --locals 4711     with the values of local variables
  sleeper_agent_activate --watch 2 4711    every 2 seconds, with marks for what has moved
  sleeper_agent_activate --diff OLD NEW    what has moved from one such document to another
  sleeper_agent_activate --greenlets 4711      with the greenlets of gevent, eventlet and others,
                                               and the generators of Tornado and Twisted
  sleeper_agent_activate --native 4711     with the C functions between and below the Python frames
  sleeper_agent_activate -v 4711           with gdb's own words on standard error

The plain state of a single process is printed without a heading. The states of several processes
have headings, \"=== PID 4711: COMMAND\", and come in the order of the answers; the full format
always has headings. The full format begins with a verdict on all of them: deadlocks; else who keeps
others waiting; else what is busy. Idle threads with the same stack stand in one entry there, and so do
idle processes; --each shows them all. JSON is always whole: it is one document a line for each process. On a terminal the full format is
coloured, unless $NO_COLOR is set.

--watch and --diff say of each thread that it is new, has moved (its frames have changed, or what it
waits for), has not moved, or \"ran in place\": its frames are the same, but it has run in between,
as far as the kernel tells. The first column marks
  =  frames, from the outermost on, and waits that are unchanged
  >  the first frame that has changed, and a wait that has begun
  <  a wait that has ended, and a thread that is gone
--watch ends when the processes have ended, or by Ctrl-C. --diff reads files that hold the output of
--format json, compares the last document of each process, and asks no process.

Exit status: 0 if every process answered; 1 if one did not, or --all found none; 2 for a usage
error; 128 plus the signal's number if a signal ended the command. With --all and --children,
processes that exit first are skipped; so are, with --watch, processes that exit after an answer.
With --diff: 0 if both files were compared, 1 if not."
)]
pub struct Arguments {
    /// Report every step, and what gdb says, on standard error
    #[arg(short, long)]
    pub verbose: bool,

    /// plain: stacks only; full: also names, TIDs and waits; json: everything, for programs
    /// [default: plain, or full if another option needs it]
    #[arg(long, value_enum)]
    pub format: Option<Format>,

    /// Ask again every so many seconds, at least 0.1, and mark what has moved
    #[arg(long, value_name = "SECONDS", value_parser = interval)]
    pub watch: Option<Duration>,

    /// Compare two files of JSON documents instead
    #[arg(
        long,
        num_args = 2,
        value_names = ["OLD", "NEW"],
        value_hint = ValueHint::FilePath,
        conflicts_with_all = ["Choice", "watch", "format"]
    )]
    pub diff: Vec<PathBuf>,

    /// Add the stacks of suspended greenlets, and of generators that Tornado or Twisted drives, and
    /// what they wait for (in the formats full and json)
    #[arg(long)]
    pub greenlets: bool,

    /// Add the C functions that threads are in (in the formats full and json). Of a thread that runs they are read
    /// through the right to trace it, as gdb's, and not with --via wake
    #[arg(long)]
    pub native: bool,

    /// How long the question may hold the program up, in milliseconds: from 10 to 2000. What there is no time
    /// for is left out, and the answer says so
    #[arg(long, value_name = "MILLISECONDS", default_value_t = Question::default().hold, value_parser = clap::value_parser!(u32).range(10..=i64::from(LONGEST_HOLD)))]
    pub hold: u32,

    /// Use gdb or a wake-up signal [default: gdb, else the signal]
    #[arg(long, value_enum, env = "SLEEPER_AGENT_VIA", hide_env_values = true)]
    pub via: Option<Via>,

    /// Load the library first into programs that were started without it, with --all and --children into all that run
    /// Python 2.6 or 2.7. That takes the right to trace them, as gdb does
    #[arg(long, conflicts_with = "diff")]
    pub load: bool,

    /// The gdb to use: a path, or a name on $PATH [default: gdb]
    #[arg(long, value_hint = ValueHint::ExecutablePath)]
    pub gdb: Option<PathBuf>,

    /// The longest time that each process may take to answer [default: 30, or 5 more than its agent's
    /// deadline, if that is longer]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub timeout: Option<Duration>,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub choice: Choice,

    #[command(flatten)]
    #[allow(missing_docs)]
    pub extent: Extent,

    // The last, as its heading stands over whatever follows.
    #[command(flatten)]
    #[allow(missing_docs)]
    pub variables: VariableOptions,
}

impl Arguments {
    /// The format to use. Ends this command with a usage error if the format that the user asks for
    /// cannot show what the other options ask for.
    pub fn format(&self) -> Format {
        let why = if self.variables.any() {
            Some("shows no variables")
        } else if self.greenlets {
            Some("shows no greenlets")
        } else if self.native {
            Some("shows no native frames")
        } else if self.extent.any() {
            Some("is always whole")
        } else {
            self.watch.map(|_| "has no marks for --watch")
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
