//! A process that may be asked: is it there, is it the same one, is it stopped?

use std::io;
use std::path::Path;

use crate::find::agent::Agent;
use crate::system::permission;
use crate::system::process::{Process, Status};
use crate::trouble::Trouble;

/// Whether the process has ended or become another program meanwhile, which then explains
/// whatever went wrong.
pub fn vanished(target: &Target) -> Option<Trouble> {
    if target.alive.status().is_none() {
        return Some(exited());
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
            Some(exited())
        }
        Ok(_) => Some(replaced()),
        Err(_) => Some(exited()),
    }
}

/// A process that can be asked, with all that is needed to do so.
#[derive(Clone, Debug)]
pub struct Target {
    /// The process.
    pub alive: Alive,
    /// The agent in it.
    pub agent: Agent,
}

impl Target {
    /// The thread to ask on: the agent's own, which holds nothing; else the first one.
    pub fn thread(&self) -> i32 {
        self.agent.parked_thread.unwrap_or(self.alive.process.pid)
    }
}

/// Reads a PID as the user typed it.
pub fn parse_pid(typed: &str) -> Result<Process, Trouble> {
    match typed.parse::<i32>() {
        Ok(pid) if pid > 0 => Ok(Process { pid }),
        _ => Err(Trouble::new(
            "this is not a process number",
            "give the PID, a whole number as `ps` shows it",
        )),
    }
}

/// A process that is there, is ours to ask, and has not ended.
#[derive(Clone, Copy, Debug)]
pub struct Alive {
    /// The process.
    pub process: Process,
    /// When it started: another process may get its number.
    pub started: u64,
}

impl Alive {
    /// Looks for such a process.
    pub fn examine(process: Process) -> Result<Alive, Trouble> {
        let (alive, status) = Alive::look(process)?;
        if let Some(owner) = permission::foreign_owner(status.users) {
            return Err(Trouble::new(
                format!("it belongs to {owner}"),
                format!(
                    "run `sudo sleeper_agent_activate {}`, or run it as {owner}",
                    process.pid
                ),
            ));
        }
        Ok(alive)
    }

    /// Looks for a process that is there and has not ended, whosever it is.
    pub fn exists(process: Process) -> Result<Alive, Trouble> {
        Alive::look(process).map(|(alive, _)| alive)
    }

    fn look(process: Process) -> Result<(Alive, Status), Trouble> {
        let status = process.status().map_err(|error| absent(process, &error))?;
        if status.process != process.pid {
            return Err(Trouble::new(
                format!("this is a thread of process {}", status.process),
                format!("run `sleeper_agent_activate {}`", status.process),
            ));
        }
        if status.has_ended() {
            return Err(zombie(process, &status));
        }
        let stat = process.stat().map_err(|error| absent(process, &error))?;
        if stat.is_kernel_thread {
            return Err(Trouble::new(
                format!(
                    "it is a kernel thread ({}), and runs no program",
                    status.name
                ),
                "give the PID of a Python program, as `sa-list` shows it",
            ));
        }
        let started = stat.started;
        Ok((Alive { process, started }, status))
    }

    /// Its status now, if it is still there and has not ended.
    pub fn status(&self) -> Option<Status> {
        let status = self.process.status().ok()?;
        let same = self.process.started().ok() == Some(self.started);
        (same && !status.has_ended()).then_some(status)
    }

    /// Looks whether it still can answer: it may have been stopped meanwhile.
    pub fn still_runs(&self) -> Result<(), Trouble> {
        match self.status() {
            None => Err(exited()),
            Some(status) if status.is_stopped() => Err(stopped(self.process)),
            Some(_) => Ok(()),
        }
    }
}

pub(crate) fn name_of(process: Process) -> String {
    process.status().map(|one| one.name).unwrap_or_default()
}

pub(crate) fn stopped(process: Process) -> Trouble {
    Trouble::new(
        "it is stopped",
        format!("let it run (`kill -CONT {}`) and ask again", process.pid),
    )
}

/// The trouble of a process that ended while we dealt with it.
pub fn exited() -> Trouble {
    Trouble::plain("it exited while it was being asked")
}

/// The trouble of a process whose library is mapped, but does not answer yet.
pub fn just_started() -> Trouble {
    Trouble::new(
        "its program has only just started, and its libsleeper.so is not in place yet \
         (or is of another version than this command)",
        "ask again",
    )
}

/// The trouble of a process that has become another program while we dealt with it.
pub fn replaced() -> Trouble {
    Trouble::new(
        "it replaced its program (exec) while it was being asked",
        "ask again for the state of the new one",
    )
}

pub(crate) fn absent(process: Process, error: &io::Error) -> Trouble {
    if !Path::new("/proc/self/status").exists() {
        return Trouble::new(
            "/proc is not there",
            "run `mount -t proc proc /proc` as root",
        );
    }
    let signal = process.may_signal();
    let there = signal.is_ok();
    let hidden = signal.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM));
    if !there && !hidden {
        return Trouble::new(
            "no such process",
            "look the number up with `ps`, in the container or PID namespace that this command runs in",
        );
    }
    // What is ours to signal, but not to be looked at any more, is on its way out.
    if there && matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) {
        return exited();
    }
    Trouble::new(
        format!("/proc does not let us look at it ({error})"),
        format!("run `sudo sleeper_agent_activate {}`", process.pid),
    )
}

fn zombie(process: Process, status: &Status) -> Trouble {
    if process.threads().is_ok_and(|threads| threads.len() > 1) {
        return Trouble::plain(
            "its main thread has ended while others run on, and such a process cannot be asked",
        );
    }
    let parent = Process { pid: status.parent };
    let name = name_of(parent);
    Trouble::new(
        "it has ended (a zombie) and has no state any more",
        format!(
            "its parent, PID {} ({name}), has yet to take note of its end",
            parent.pid
        ),
    )
}
