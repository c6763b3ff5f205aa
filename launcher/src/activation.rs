//! Asking one process, by one way in or another.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::answer::Answer;
use crate::checks::{self, Alive, Target};
use crate::process::Process;
use crate::through_gdb::ThroughGdb;
use crate::through_wake::ThroughWake;
use crate::trouble::Trouble;
use crate::wanted::Wanted;

/// How processes are to be asked.
pub struct Manner {
    /// What they are asked for.
    pub wanted: Wanted,
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

/// Whether the process has ended or become another program meanwhile, which then explains
/// whatever went wrong.
pub fn vanished(target: &Target) -> Option<Trouble> {
    if target.alive.status().is_none() {
        return Some(checks::exited());
    }
    match Agent::find(target.alive.process) {
        // It may have booted meanwhile, but a booted one keeps its thread.
        Ok(Some(agent))
            if agent.state_function == target.agent.state_function
                && (target.agent.parked_thread.is_none()
                    || agent.parked_thread == target.agent.parked_thread) =>
        {
            None
        }
        // One that is ending gives its memory back first.
        Ok(_)
            if std::fs::read(target.alive.process.path("maps"))
                .is_ok_and(|maps| maps.is_empty()) =>
        {
            Some(checks::exited())
        }
        Ok(_) => Some(checks::replaced()),
        Err(_) => Some(checks::exited()),
    }
}
