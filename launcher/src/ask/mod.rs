//! Asking one process, by one way in or another.

pub mod checks;
pub mod gdb;
pub mod side_by_side;
pub mod turn;
pub mod wake;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::ask::gdb::way::ThroughGdb;
use crate::ask::wake::way::ThroughWake;
use crate::find::target::{Alive, vanished};
use crate::options::Via;
use crate::state::answer::Answer;
use crate::system::process::Process;
use crate::trouble::Trouble;
use protocol::question::Question;

/// How processes are to be asked.
pub struct AskOptions {
    /// What they are asked for.
    pub question: Question,
    /// The one way in that will do; `None`: gdb, and where that cannot be, without it.
    pub via: Option<Via>,
    /// The debugger that was asked for.
    pub gdb: Option<PathBuf>,
    /// How long all may take that comes before the agent is reached.
    pub timeout: Duration,
    /// Whether to report every step on standard error.
    pub verbose: bool,
}

/// Asks a process; `note` is told if it is not done in the usual way.
pub fn ask(
    process: Process,
    options: &AskOptions,
    note: impl FnOnce(&Trouble),
) -> Result<Answer, Trouble> {
    let text = match options.via {
        Some(Via::Gdb) => by_gdb(process, options),
        Some(Via::Wake) => by_wake(process, options),
        None => by_gdb(process, options).or_else(|trouble| {
            if !trouble.is_the_debuggers() {
                return Err(trouble);
            }
            match by_wake(process, options) {
                Ok(text) => {
                    note(&trouble);
                    Ok(text)
                }
                Err(_) => Err(trouble),
            }
        }),
    };
    text.and_then(Answer::parse)
}

fn by_gdb(process: Process, options: &AskOptions) -> Result<Vec<u8>, Trouble> {
    let target = checks::examine(process)?;
    checks::may_attach(&target, Instant::now() + options.timeout)?;
    let way = ThroughGdb {
        question: options.question,
        gdb: checks::find_gdb(options.gdb.as_deref())?,
        timeout: options.timeout,
        verbose: options.verbose,
    };
    way.fetch(&target)
        .map_err(|trouble| vanished(&target).unwrap_or(trouble))
}

fn by_wake(process: Process, options: &AskOptions) -> Result<Vec<u8>, Trouble> {
    let target = Alive::examine(process)?;
    let way = ThroughWake {
        question: options.question,
        timeout: options.timeout,
        verbose: options.verbose,
    };
    way.fetch(&target)
}
