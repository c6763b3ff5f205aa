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
use crate::state::answer::Answer;
use crate::system::process::Process;
use crate::trouble::Trouble;
use protocol::question::Question;

/// How processes are to be asked.
pub struct Manner {
    /// What they are asked for.
    pub wanted: Question,
    /// The one way in that will do; `None`: gdb, and where that cannot be, without it.
    pub via: Option<Via>,
    /// The debugger that was asked for.
    pub gdb: Option<PathBuf>,
    /// How long all may take that comes before the agent is reached.
    pub timeout: Duration,
    /// Whether to report every step on standard error.
    pub verbose: bool,
}

/// The ways in: a debugger (`through_gdb.rs`), or a signal (`through_wake.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Via {
    // No help of its own for each: `--via` says it.
    #[allow(missing_docs)]
    Gdb,
    #[allow(missing_docs)]
    Wake,
}

/// Asks a process; `note` is told if it is not done in the usual way.
pub fn ask(
    process: Process,
    manner: &Manner,
    note: impl FnOnce(&Trouble),
) -> Result<Answer, Trouble> {
    let text = match manner.via {
        Some(Via::Gdb) => by_gdb(process, manner),
        Some(Via::Wake) => by_wake(process, manner),
        None => by_gdb(process, manner).or_else(|trouble| {
            if !trouble.is_the_debuggers() {
                return Err(trouble);
            }
            match by_wake(process, manner) {
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

fn by_gdb(process: Process, manner: &Manner) -> Result<Vec<u8>, Trouble> {
    let target = checks::examine(process)?;
    checks::may_attach(&target, Instant::now() + manner.timeout)?;
    let way = ThroughGdb {
        wanted: manner.wanted,
        gdb: checks::find_gdb(manner.gdb.as_deref())?,
        timeout: manner.timeout,
        verbose: manner.verbose,
    };
    way.fetch(&target)
        .map_err(|trouble| vanished(&target).unwrap_or(trouble))
}

fn by_wake(process: Process, manner: &Manner) -> Result<Vec<u8>, Trouble> {
    let target = Alive::examine(process)?;
    target.still_runs()?;
    let way = ThroughWake {
        wanted: manner.wanted,
        timeout: manner.timeout,
        verbose: manner.verbose,
    };
    way.fetch(&target)
}
