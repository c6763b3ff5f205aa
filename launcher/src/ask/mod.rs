//! One question to one process: through gdb, or by a wake-up signal.
//!
//! Enters: a process and the options of the question. Leaves: its answer, or the trouble that prevented
//! one. Whichever way is taken, the process is left as it was found, also when this command is killed in
//! the middle: that is what [`gdb::guardian`] and [`turn`] are for. The two ways know nothing of each
//! other, and only this file chooses between them.

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
use crate::state::budget::AnswerBytes;
use crate::system::process::Process;
use crate::trouble::Trouble;
use protocol::question::Question;

/// What to ask processes, and how.
pub struct AskOptions {
    /// The question.
    pub question: Question,
    /// The way in; `None`: gdb, or, if that is impossible, a signal.
    pub via: Option<Via>,
    /// The debugger that the user named.
    pub gdb: Option<PathBuf>,
    /// The longest time to reach the agent.
    pub timeout: Duration,
    /// Whether to report every step on standard error.
    pub verbose: bool,
}

/// Asks a process. If gdb is impossible and a signal works, `note` takes the reason.
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
    text.and_then(|text| Answer::parse(text, &options.question))
}

fn by_gdb(process: Process, options: &AskOptions) -> Result<AnswerBytes, Trouble> {
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

fn by_wake(process: Process, options: &AskOptions) -> Result<AnswerBytes, Trouble> {
    let target = Alive::examine(process)?;
    let way = ThroughWake {
        question: options.question,
        timeout: options.timeout,
        verbose: options.verbose,
    };
    way.fetch(&target)
}
