//! Can this process be asked? Everything that can be known before touching it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::activation;
use crate::agent::Agent;
use crate::permission;
use crate::process::{Process, Status};
use crate::trouble::Trouble;
use crate::turn::Turn;

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
        let started = process.started().map_err(|error| absent(process, &error))?;
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

/// Looks whether the process can be asked through gdb: it exists, lives, is ours, has an agent and
/// runs.
pub fn examine(process: Process) -> Result<Target, Trouble> {
    let alive = Alive::examine(process)?;
    let agent = match Agent::find(process) {
        Ok(Some(agent)) => agent,
        Ok(None) => {
            return Err(Trouble::new(
                format!("there is no sleeper agent in it ({})", name_of(process)),
                "start it with `sa-run COMMAND`, or let it `import sleeper_agent`",
            ));
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(unreadable(process));
        }
        Err(error) => return Err(absent(process, &error)),
    };
    alive.still_runs()?;
    Ok(Target { alive, agent })
}

fn name_of(process: Process) -> String {
    process.status().map(|one| one.name).unwrap_or_default()
}

fn stopped(process: Process) -> Trouble {
    Trouble::new(
        "it is stopped",
        format!("let it run (`kill -CONT {}`) and ask again", process.pid),
    )
}

/// Sets a process going that is stopped and that nobody traces; whether it was.
pub fn set_going(target: &Target) -> bool {
    let stopped = target.alive.status().is_some_and(|one| one.is_stopped());
    if stopped {
        // SAFETY: sends a signal, touches no memory; it is the process we were asked about.
        unsafe { libc::kill(target.alive.process.pid, libc::SIGCONT) };
    }
    stopped
}

/// Looks whether somebody else's debugger is at the process.
pub fn is_untraced(target: &Target) -> Result<(), Trouble> {
    let thread = Process {
        pid: target.thread(),
    };
    let tracer = [target.alive.process, thread]
        .iter()
        .filter_map(|task| task.status().ok())
        .map(|status| status.tracer)
        .find(|tracer| *tracer != 0);
    tracer.map_or(Ok(()), |tracer| Err(traced(tracer)))
}

/// Looks whether a debugger may attach, by trying it harmlessly, when it is our turn.
pub fn may_attach(target: &Target, until: Instant) -> Result<(), Trouble> {
    let _turn = Turn::take(target.alive.process, until);
    is_untraced(target)?;
    match permission::probe(target.thread()) {
        Ok(()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(exited()),
        Err(_) => {
            // Somebody may have come first; and a thread that is just ending may not be traced
            // either (`ptrace_attach`, kernel/ptrace.c).
            is_untraced(target)?;
            std::thread::sleep(Duration::from_millis(20));
            Err(activation::vanished(target)
                .unwrap_or_else(|| permission::explain(target.alive.process)))
        }
    }
}

/// Finds the debugger: the given one, a path or a name in the search path, or `gdb`.
pub fn find_gdb(wanted: Option<&Path>) -> Result<PathBuf, Trouble> {
    let name = wanted.unwrap_or(Path::new("gdb"));
    let search = std::env::var_os("PATH");
    crate::command::find(name.as_os_str(), search.as_deref())
        .map(|path| std::path::absolute(&path).unwrap_or(path))
        .map_err(|_| match wanted {
            Some(wanted) => Trouble::new(
                format!("there is no debugger {} to run", wanted.display()),
                "give --gdb the path of an executable gdb",
            ),
            None => Trouble::new(
                "there is no gdb on $PATH",
                "install it (package `gdb`), or say where it is with --gdb",
            )
            .of_the_debugger(),
        })
}

/// The trouble of a process that ended while we dealt with it.
pub fn exited() -> Trouble {
    Trouble::plain("it exited while it was being asked")
}

/// The trouble of a process that has become another program while we dealt with it.
pub fn replaced() -> Trouble {
    Trouble::new(
        "it replaced its program (exec) while it was being asked",
        "ask again for the state of the new one",
    )
}

fn absent(process: Process, error: &io::Error) -> Trouble {
    if !Path::new("/proc/self/status").exists() {
        return Trouble::new(
            "/proc is not there",
            "run `mount -t proc proc /proc` as root",
        );
    }
    // SAFETY: signal 0 is sent to nobody; it only asks whether it could be.
    let there = unsafe { libc::kill(process.pid, 0) } == 0;
    let hidden = !there && io::Error::last_os_error().raw_os_error() == Some(libc::EPERM);
    if !there && !hidden {
        return Trouble::new("no such process", "look the number up with `ps`");
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

/// We may not see the library in it: because of the process, or because of the file.
fn unreadable(process: Process) -> Trouble {
    if !process.path("root/proc").exists() {
        return permission::explain(process);
    }
    Trouble::new(
        "its libsleeper.so has been replaced or removed, or is closed to us, and only root sees the one in use",
        format!("run `sudo sleeper_agent_activate {}`", process.pid),
    )
    .of_the_debugger()
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

fn traced(tracer: i32) -> Trouble {
    let process = Process { pid: tracer };
    let status = process.status().ok();
    // The tracer is a thread; name the process it belongs to.
    let pid = status.as_ref().map_or(tracer, |status| status.process);
    let name = status.map(|status| status.name).unwrap_or_default();
    Trouble::new(
        format!("it is being traced by PID {pid} ({name}), and Linux allows one tracer"),
        "end that debugger or tracer, then ask again",
    )
    .of_the_debugger()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_a_positive_number() {
        assert_eq!(parse_pid("17"), Ok(Process { pid: 17 }));
        for typed in ["", "0", "-1", "12abc", "99999999999", "1 2", "0x10"] {
            let trouble = parse_pid(typed).expect_err(typed);
            assert!(trouble.to_string().contains("not a process number"));
        }
    }

    #[test]
    fn says_what_is_wrong_with_a_process() {
        let gone = examine(Process { pid: i32::MAX }).expect_err("no such process");
        assert!(gone.to_string().starts_with("no such process"), "{gone}");
        let us = Process {
            pid: std::process::id() as i32,
        };
        let bare = examine(us).expect_err("no agent in the test program");
        assert!(bare.to_string().contains("sa-run COMMAND"), "{bare}");
    }

    #[test]
    fn sends_a_thread_to_its_process() {
        let us = std::process::id() as i32;
        let told = std::thread::spawn(|| {
            // SAFETY: takes nothing, cannot fail.
            let thread = unsafe { libc::gettid() };
            examine(Process { pid: thread }).expect_err("a thread")
        });
        let told = told.join().expect("it does not panic").to_string();
        assert!(told.contains(&format!("thread of process {us}")), "{told}");
    }

    #[test]
    fn says_which_debugger_is_missing() {
        let missing = find_gdb(Some(Path::new("/no/such/gdb"))).expect_err("absent");
        assert!(missing.to_string().contains("/no/such/gdb"));
    }
}
