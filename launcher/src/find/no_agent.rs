//! Why a process has no agent to ask: decided here for both ways in.

use std::io;

use crate::find::agent::{Agent, MOST_OF_FILES};
use crate::find::bell;
use crate::find::interpreter;
use crate::find::target::{absent, exited, has_left, just_started, name_of};
use crate::system::bounded_file::Budget;
use crate::system::elf;
use crate::system::mapped_file::open_mapped;
use crate::system::maps;
use crate::system::permission;
use crate::system::process::{MOST_THREADS, Process};
use crate::trouble::Trouble;
use protocol::names::{AGENT_THREADS, PARKED_THREAD};

/// Defined by every CPython, and looked up by the agent.
const PYTHON_FUNCTION: &str = "Py_GetVersion";

/// The agent in a process, whether it has started or not; or why there is none.
pub fn agent_of(process: Process) -> Result<Agent, Trouble> {
    match Agent::find(process) {
        Ok(Some(agent)) if agent.has_left(process) => Err(has_left(process)),
        Ok(Some(agent)) => Ok(agent),
        Ok(None) => Err(none_in(process)),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(closed(process)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Trouble::new(
            error.to_string(),
            format!(
                "look what is mapped into it (`ls -l /proc/{}/map_files`), or ask --via wake",
                process.pid
            ),
        )
        .of_the_debugger()),
        Err(error) => Err(absent(process, &error)),
    }
}

/// Whether a thread of the agent's is there. Every user may see the names of threads.
pub fn has_agent_thread(process: Process) -> bool {
    process
        .threads_named(&AGENT_THREADS, MOST_THREADS)
        .is_ok_and(|count| count > 0)
}

/// Why no thread of the process's waits for a wake-up signal; `None` if its agent has started, and only
/// that thread is missing.
pub fn why_not_started(process: Process) -> Option<Trouble> {
    if has_agent_thread(process) {
        return None;
    }
    let agent = match agent_of(process) {
        Ok(agent) => agent,
        Err(trouble) => return Some(trouble),
    };
    let bell = agent.bell.map(|address| bell::look(process, address));
    Some(match (bell, defines_python(process)) {
        (Some(Ok(None)), _) => just_started(),
        // The agent says so too, when it is asked.
        (_, Some(false)) => Trouble::new(NOT_PYTHON, below_it(process)),
        _ if process.status().is_ok_and(|status| status.is_filtered) => Trouble::new(
            "its agent has not started, perhaps because of the program's filter of system calls (seccomp), and \
             only a started agent can be woken",
            "ask --via gdb, which needs no start",
        ),
        _ => Trouble::new(
            "its agent has not started, and only a started agent can be woken",
            "ask again when the program runs Python code, or ask --via gdb, which needs no start",
        ),
    })
}

/// Whether a filter of system calls binds the agent's thread that needs no signal: the program's own, or the one
/// by which a thread of the agent's shuts itself in.
pub fn is_filtered(process: Process) -> bool {
    let parked = process.thread_named(PARKED_THREAD).ok().flatten();
    let status = parked.and_then(|thread| Process { pid: thread }.status().ok());
    status.is_some_and(|status| status.is_filtered)
}

/// There is no agent, and we have seen everything that is mapped.
fn none_in(process: Process) -> Trouble {
    if maps::is_empty(process) {
        return exited();
    }
    if defines_python(process) == Some(false) {
        return match is_in_memory(process) {
            true => static_program(process),
            false => Trouble::new(
                format!(
                    "there is no sleeper agent in it ({}), and no Python either",
                    name_of(process)
                ),
                below_it(process),
            ),
        };
    }
    without_agent(process, "")
}

/// Whether there is an interpreter, whatever its file shows: a static program has no symbols that others could use.
pub fn is_in_memory(process: Process) -> bool {
    interpreter::find(process).is_ok_and(|found| found.is_some())
}

/// Why nothing can be loaded into a static program, and what can be known of it all the same.
pub fn static_program(process: Process) -> Trouble {
    Trouble::new(
        format!(
            "it is a static program ({}), and nothing can be loaded into it",
            name_of(process)
        ),
        format!(
            "run `sleeper_agent_activate --load {}`, which then reads its stacks from outside",
            process.pid
        ),
    )
}

/// What an agent says in a process that runs no Python.
pub const NOT_PYTHON: &str = "not a Python process";

/// What to do with a process that runs no Python: a starter, such as a shell or PyInstaller's, may have a child that
/// does.
pub fn below_it(process: Process) -> String {
    let below = descendants(process);
    let pid = process.pid;
    if let Some(&child) = below.iter().find(|&&one| has_agent_thread(one)) {
        let name = name_of(child);
        return format!(
            "PID {} ({name}) is below it and carries one: run `sleeper_agent_activate --children {pid}`, or give that PID",
            child.pid
        );
    }
    match below.first() {
        Some(child) => format!(
            "ask the programs below it, such as PID {}, with `sleeper_agent_activate --load --children {pid}`",
            child.pid
        ),
        None => "give the PID of a Python program".to_owned(),
    }
}

/// The first processes below this one, children before grandchildren.
fn descendants(process: Process) -> Vec<Process> {
    let mut below = vec![process];
    let mut next = 0;
    while let Some(one) = below.get(next).filter(|_| below.len() <= MOST_DESCENDANTS) {
        let children = one.children().into_iter().map(|pid| Process { pid });
        below.extend(children.take(MOST_DESCENDANTS).collect::<Vec<_>>());
        next += 1;
    }
    below.remove(0);
    below
}

/// More are not looked at for a word of advice.
const MOST_DESCENDANTS: usize = 64;

/// We may not see what is mapped: because of the process, or because of the library's file.
fn closed(process: Process) -> Trouble {
    if maps::is_open(process) {
        return Trouble::new(
            "its libsleeper.so has been replaced or removed, or is closed to us, and only root sees the one in use",
            format!("run `sudo sleeper_agent_activate {}`", process.pid),
        )
        .of_the_debugger();
    }
    // To be allowed to attach would not help.
    if !has_agent_thread(process) {
        return without_agent(process, ", as far as its threads show");
    }
    permission::explain(process)
}

fn without_agent(process: Process, how_known: &str) -> Trouble {
    Trouble::new(
        format!(
            "there is no sleeper agent in it ({}){how_known}",
            name_of(process)
        ),
        format!(
            "run `sleeper_agent_activate --load {}`, which brings the agent in (it takes the right to trace the \
             program), or start it with `sa-run COMMAND`",
            process.pid
        ),
    )
}

/// Whether an interpreter is mapped into the process; `None` if not all that is mapped can be read.
fn defines_python(process: Process) -> Option<bool> {
    let (files, _) = maps::of(process, maps::MOST_TEXT, |_| false).ok()?;
    let budget = Budget::new(MOST_OF_FILES);
    let defines = |file| {
        let file = open_mapped(process, file)?;
        elf::symbol_offset(&file, PYTHON_FUNCTION, &budget)
    };
    let mut unknown = false;
    for file in &files {
        match defines(file) {
            Ok(Some(_)) => return Some(true),
            Ok(None) => {}
            Err(_) => unknown = true,
        }
    }
    (!unknown).then_some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_that_there_is_none() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let by_gdb = agent_of(us).expect_err("no agent in the test program");
        assert!(by_gdb.to_string().contains("no Python either"), "{by_gdb}");
        assert_eq!(why_not_started(us), Some(by_gdb));
        assert_eq!(defines_python(us), Some(false));
    }
}
