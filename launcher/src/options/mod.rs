//! The command lines of the commands, as clap reads them.
//!
//! Enters: what the user types. Leaves: checked values. Nothing here looks at a process or prints an
//! answer, so that the man pages and the completions are made from these definitions alone
//! (`examples/pages.rs`).

pub mod activate;
pub mod extent;
pub mod list;
pub mod load;
pub mod run;
pub mod variables;

use clap::{Args, ValueEnum};
use std::time::Duration;

/// Which processes to ask, as the user names them.
#[derive(Args)]
pub struct Choice {
    /// Ask every program that carries an agent: your own, or, for root, everyone's
    #[arg(long)]
    pub all: bool,

    /// Ask a process and its descendants, as far as they carry an agent
    #[arg(long, value_name = "PID", allow_negative_numbers = true)]
    pub children: Vec<String>,

    /// Ask the programs with an agent whose command line matches a regular expression, as `pgrep -f` does
    #[arg(long, value_name = "PATTERN")]
    pub name: Vec<String>,

    /// Ask this process: the same as the PID alone
    #[arg(short, long = "pid", value_name = "PID", allow_negative_numbers = true)]
    pub pid: Vec<String>,

    /// The processes to ask, separated by blanks or commas
    #[arg(
        required_unless_present_any = ["all", "children", "name", "pid", "diff"],
        value_name = "PID",
        allow_negative_numbers = true
    )]
    pub pids: Vec<String>,
}

impl Choice {
    /// The PIDs of the processes to ask, as they were typed.
    pub fn named(&self) -> Vec<&str> {
        let typed = self.pid.iter().chain(&self.pids);
        typed.flat_map(|one| numbers(one)).collect()
    }

    /// The PIDs of the processes that are asked with their descendants, as they were typed.
    pub fn roots(&self) -> Vec<&str> {
        self.children.iter().flat_map(|one| numbers(one)).collect()
    }

    /// Whether processes are looked for.
    pub fn finds(&self) -> bool {
        self.all || !self.children.is_empty() || !self.name.is_empty()
    }
}

/// The numbers that were typed, separated by commas and blanks; all that was typed, if no number is among it.
fn numbers(typed: &str) -> Vec<&str> {
    let parts = typed.split(|one: char| one == ',' || one.is_whitespace());
    let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
    let is_number = |part: &&str| part.bytes().all(|one| one.is_ascii_digit());
    match parts.iter().any(is_number) {
        true => parts,
        false => vec![typed],
    }
}

/// How a command reaches the agent: through a debugger (`ask/gdb`), or by a signal (`ask/wake`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Via {
    // `--via` describes both; a doc comment would become the help of each.
    #[allow(missing_docs)]
    Gdb,
    #[allow(missing_docs)]
    Wake,
}

/// The format of a state.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Format {
    // `--format` describes them all; a doc comment would become the help of each.
    #[allow(missing_docs)]
    Plain,
    #[allow(missing_docs)]
    Full,
    #[allow(missing_docs)]
    Json,
}

/// Parses a time limit: above 0, at most a day.
///
/// # Errors
/// What to type instead.
pub fn seconds(typed: &str) -> Result<Duration, String> {
    typed
        .parse()
        .ok()
        .filter(|seconds: &f64| *seconds > 0.0 && *seconds <= 86_400.0)
        .map(Duration::from_secs_f64)
        .ok_or_else(|| "give a number of seconds, such as 10 or 0.5, at most a day".to_owned())
}

/// Parses the time from one round of questions to the next: at least 0.1 s.
///
/// # Errors
/// What to type instead.
pub fn interval(typed: &str) -> Result<Duration, String> {
    seconds(typed)
        .ok()
        .filter(|time| *time >= Duration::from_millis(100))
        .ok_or_else(|| "give a number of seconds, such as 2 or 0.5, at least 0.1".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_lines_are_well_formed() {
        activate::Arguments::command().debug_assert();
        list::Arguments::command().debug_assert();
        load::Arguments::command().debug_assert();
        run::Arguments::command().debug_assert();
    }

    #[test]
    fn reads_lists_of_numbers() {
        assert_eq!(numbers("7"), ["7"]);
        assert_eq!(numbers("7,8 , 10\t9,"), ["7", "8", "10", "9"]);
        assert_eq!(numbers("7, x"), ["7", "x"]);
        assert_eq!(numbers("=1 x"), ["=1 x"]);
        assert_eq!([numbers(""), numbers(",")].concat(), ["", ","]);
    }

    #[test]
    fn reads_timeouts() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for typed in ["0", "-1", "nan", "inf", "1e99", "soon", ""] {
            assert!(seconds(typed).is_err(), "{typed}");
        }
    }
}
