//! A process to ask: is it there, is it still the same, does it run?

use std::io;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::find::agent::Agent;
use crate::system::maps;
use crate::system::permission;
use crate::system::process::{Process, Status};
use crate::trouble::Trouble;
use protocol::names::PARKED_THREAD;

/// The trouble of a process that has ended or become another program meanwhile, if it has: that explains
/// whatever else went wrong.
pub fn vanished(target: &Target) -> Option<Trouble> {
    if target.alive.status().is_none() {
        return Some(exited());
    }
    let process = target.alive.process;
    // The list of threads may leave one out while others end (`proc_task_readdir`, fs/proc/base.c), so it is looked at
    // itself.
    let keeps = |thread| {
        process
            .name_of(thread)
            .is_some_and(|name| name == PARKED_THREAD)
    };
    match Agent::find(process) {
        // The agent may have booted meanwhile, but a booted agent keeps its thread.
        Ok(Some(agent))
            if agent.state_function == target.agent.state_function
                && target.agent.parked_thread.is_none_or(keeps) =>
        {
            None
        }
        Ok(_) if maps::is_empty(process) => Some(exited()),
        Ok(Some(agent)) if agent.has_left(process) => Some(has_left(process)),
        Ok(_) => Some(replaced()),
        Err(_) => Some(exited()),
    }
}

/// A process that can be asked, and its agent.
#[derive(Clone, Debug)]
pub struct Target {
    /// The process.
    pub alive: Alive,
    /// The agent in it.
    pub agent: Agent,
}

impl Target {
    /// The thread to attach to: the agent's own, which holds no lock; else the first.
    pub fn thread(&self) -> i32 {
        self.agent.parked_thread.unwrap_or(self.alive.process.pid)
    }
}

/// Parses a PID as the user typed it.
pub fn parse_pid(typed: &str) -> Result<Process, Trouble> {
    match typed.parse::<i32>() {
        Ok(pid) if pid > 0 => Ok(Process { pid }),
        _ => Err(Trouble::new(
            "this is not a process number",
            "give the PID, a whole number as `ps` shows it",
        )),
    }
}

/// A process that is there and has not ended.
#[derive(Clone, Copy, Debug)]
pub struct Alive {
    /// The process.
    pub process: Process,
    /// When it started, as another process may get its PID.
    pub started: u64,
}

impl Alive {
    /// The process, if it is there, has not ended and is ours to ask.
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

    /// The process, if it is there and has not ended, whoever owns it.
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

    /// Fails if it has ended or been stopped meanwhile.
    pub fn still_runs(&self) -> Result<(), Trouble> {
        match self.status() {
            None => Err(exited()),
            Some(status) if status.is_stopped() => Err(stopped(self.process)),
            Some(_) => Ok(()),
        }
    }
}

/// The name of a process, for messages.
pub(crate) fn name_of(process: Process) -> String {
    process.status().map(|one| one.name).unwrap_or_default()
}

/// Job control has stopped the process.
pub(crate) fn stopped(process: Process) -> Trouble {
    Trouble::new(
        "it is stopped",
        format!("let it run (`kill -CONT {}`) and ask again", process.pid),
    )
}

/// Somebody else's debugger holds the process, by this thread.
pub(crate) fn traced(tracer: i32) -> Trouble {
    let process = Process { pid: tracer };
    let status = process.status().ok();
    // The tracer is a thread; the user knows its process.
    let pid = status.as_ref().map_or(tracer, |status| status.process);
    let name = status.map(|status| status.name).unwrap_or_default();
    Trouble::new(
        format!("it is being traced by PID {pid} ({name}), and Linux allows one tracer"),
        "end that debugger or tracer, then ask again",
    )
    .of_the_debugger()
}

/// The process has ended while we asked it.
pub fn exited() -> Trouble {
    Trouble::plain("it exited while it was being asked")
}

/// The library is mapped, and the loader has not bound it yet.
pub fn just_started() -> Trouble {
    Trouble::new(
        "its program has only just started, and its libsleeper.so is not in place yet \
         (or is of another version than this command)",
        "ask again",
    )
}

/// The agent has been taken out of the process.
pub fn has_left(process: Process) -> Trouble {
    Trouble::new(
        "its agent has left it (`sa-load --unload`)",
        format!(
            "run `sleeper_agent_activate --load {}`, which brings the agent in again",
            process.pid
        ),
    )
}

/// The thread that we asked is gone: why?
pub fn without_its_thread(process: Process) -> Trouble {
    match Agent::find(process) {
        Ok(Some(agent)) if agent.has_left(process) => has_left(process),
        _ => replaced(),
    }
}

/// The process has become another program while we asked it.
pub fn replaced() -> Trouble {
    Trouble::new(
        "it replaced its program (exec) while it was being asked",
        "ask again for the state of the new one",
    )
}

/// `/proc` shows us no such process: why?
pub(crate) fn absent(process: Process, error: &io::Error) -> Trouble {
    if !Path::new("/proc/self/status").exists() {
        return no_proc();
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
    // A process that we may signal but not look at any more is about to end.
    if there && matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) {
        return exited();
    }
    Trouble::new(
        format!("/proc does not let us look at it ({error})"),
        format!("run `sudo sleeper_agent_activate {}`", process.pid),
    )
}

/// `/proc` shows no process at all.
pub(crate) fn no_proc() -> Trouble {
    Trouble::new(
        "/proc is not there",
        "run `mount -t proc proc /proc` as root",
    )
}

/// The longest time that the threads of a process take to end, on a loaded machine.
const LONGEST_END: Duration = Duration::from_millis(300);

fn zombie(process: Process, status: &Status) -> Trouble {
    let has_others = || process.threads().is_ok_and(|threads| threads.len() > 1);
    if has_others() {
        // Where the whole process ends, its threads do so one after the other (`do_group_exit`, kernel/exit.c).
        let until = Instant::now() + LONGEST_END;
        while Instant::now() < until {
            thread::sleep(Duration::from_millis(10));
            if !has_others() {
                return exited();
            }
        }
        return Trouble::new(
            "its main thread has ended while others run on, and such a process cannot be asked",
            "restart the program so that its main thread waits for the others",
        );
    }
    let parent = Process { pid: status.parent };
    let name = name_of(parent);
    Trouble::new(
        "it has ended (a zombie) and has no state any more",
        format!(
            "its parent, PID {} ({name}), has not read its exit status yet",
            parent.pid
        ),
    )
}
