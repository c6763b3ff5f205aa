//! One question to one process: through gdb, or by a signal.
//!
//! Enters: a process and the options of the question. Leaves: its answer, or the trouble that prevented
//! one. Whichever way is taken, the process is left as it was found, also when this command is killed in
//! the middle: that is what [`gdb::guardian`] and [`crate::system::turn`] are for. It never takes longer than its
//! [`allowance`]. The two ways know nothing of each other, and only this file chooses between them. Where there is no
//! agent and none can be loaded, the stacks are read from [`outside`].

pub mod allowance;
pub mod checks;
pub mod gdb;
pub mod outside;
pub mod side_by_side;
pub mod wake;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::ask::allowance::Allowance;
use crate::ask::gdb::way::ThroughGdb;
use crate::ask::wake::way::ThroughWake;
use crate::find::library::Library;
use crate::find::target::{Alive, vanished};
use crate::load;
use crate::options::Via;
use crate::state::answer::Answer;
use crate::state::budget::AnswerBytes;
use crate::system::interrupt;
use crate::system::process::Process;
use crate::trouble::Trouble;
use protocol::question::Question;

/// The longest time that a question takes where the user has not set it.
const USUAL_TIME: Duration = Duration::from_secs(30);

/// The longest time from the agent's deadline to its answer.
const SLACK: Duration = Duration::from_secs(5);

/// What to ask processes, and how.
pub struct AskOptions {
    /// The question.
    pub question: Question,
    /// The way in; `None`: gdb, or, if that is impossible, a signal.
    pub via: Option<Via>,
    /// The debugger that the user named.
    pub gdb: Option<PathBuf>,
    /// The longest time for each process, if the user has set it.
    pub timeout: Option<Duration>,
    /// Whether to report every step on standard error.
    pub verbose: bool,
    /// The library to load first into a process that has no agent.
    pub load: Option<Library>,
}

impl AskOptions {
    /// The longest time for each process, unless its agent's deadline is longer.
    pub fn time(&self) -> Duration {
        self.timeout.unwrap_or(USUAL_TIME)
    }
}

/// Asks a process. If gdb is impossible and a signal works, `note` takes the reason. With `signal_first` a
/// signal is tried before gdb, where the options leave the way open: a gdb for each of many processes takes
/// long.
pub fn ask(
    process: Process,
    options: &AskOptions,
    signal_first: bool,
    allowance: &Allowance,
    note: impl FnOnce(&Trouble),
) -> Result<Answer, Trouble> {
    if options.timeout.is_none() {
        // The process chooses its deadline, but no deadline is longer than a minute.
        allowance.lengthen(process.agent_deadline() + SLACK);
    }
    if let Some(library) = &options.load
        && let Err(trouble) = bring_in(process, library, allowance, options.verbose)
    {
        if interrupt::asked_to_stop().is_some() {
            return Err(trouble);
        }
        let text = outside::read(process, &trouble).ok_or(trouble)?;
        return Answer::parse(text, &options.question);
    }
    let text = match options.via {
        Some(Via::Gdb) => by_gdb(process, options, allowance, true),
        Some(Via::Wake) => by_wake(process, options, allowance, allowance.until()),
        None if signal_first => {
            // As long as the agent does not come: once it has, its answer has the rest of the time.
            let until = Instant::now() + allowance.left() / 2;
            let woken = by_wake(process, options, allowance, until);
            woken.or_else(|trouble| {
                if allowance.left().is_zero() {
                    return Err(trouble);
                }
                by_gdb(process, options, allowance, false).map_err(|_| trouble)
            })
        }
        None => by_gdb(process, options, allowance, true).or_else(|trouble| {
            if !trouble.is_the_debuggers() || allowance.left().is_zero() {
                return Err(trouble);
            }
            match by_wake(process, options, allowance, allowance.until()) {
                Ok(text) => {
                    note(&trouble);
                    Ok(text)
                }
                Err(_) => Err(trouble),
            }
        }),
    };
    text.and_then(|text| Answer::parse(text, &options.question))
}

/// Loads the library into a process, unless it has an agent.
fn bring_in(
    process: Process,
    library: &Library,
    allowance: &Allowance,
    verbose: bool,
) -> Result<(), Trouble> {
    let tell = |account| {
        if verbose {
            let _ = writeln!(io::stderr(), "sleeper_agent_activate: {process}: {account}");
        }
    };
    // If nothing can be loaded, there is time left to read its memory.
    let until = allowance.until() - allowance.left() / 8;
    load::bring_in(process, library, until, tell).map(drop)
}

fn by_gdb(
    process: Process,
    options: &AskOptions,
    allowance: &Allowance,
    first_way: bool,
) -> Result<AnswerBytes, Trouble> {
    let target = checks::examine(process)?;
    checks::may_attach(&target, allowance.until())?;
    let way = ThroughGdb {
        question: options.question,
        gdb: checks::find_gdb(options.gdb.as_deref())?,
        allowance,
        first_way,
        verbose: options.verbose,
    };
    way.fetch(&target).map_err(|trouble| {
        // In the middle of an exec its threads are gone, and the rest is as before.
        let soon = || {
            std::thread::sleep(Duration::from_millis(20));
            vanished(&target)
        };
        vanished(&target).or_else(soon).unwrap_or(trouble)
    })
}

fn by_wake(
    process: Process,
    options: &AskOptions,
    allowance: &Allowance,
    connected_until: Instant,
) -> Result<AnswerBytes, Trouble> {
    let target = Alive::examine(process)?;
    let way = ThroughWake {
        question: options.question,
        connected_until,
        until: allowance.until(),
        verbose: options.verbose,
    };
    way.fetch(&target)
}
