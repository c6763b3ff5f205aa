//! Can a debugger attach to this process? Everything that can be known before gdb starts.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::find::no_agent;
use crate::find::target::{self, Alive, Target, exited, traced};
use crate::system::maps;
use crate::system::permission;
use crate::system::process::Process;
use crate::system::turn::Turn;
use crate::trouble::Trouble;

/// The longest time that a process takes to replace its program, on a loaded machine.
const LONGEST_PROBE: Duration = Duration::from_secs(1);

/// Finds the agent in a process that exists, lives, is ours and runs, in this order of checks.
pub fn examine(process: Process) -> Result<Target, Trouble> {
    let alive = Alive::examine(process)?;
    let agent = no_agent::agent_of(process)?;
    alive.still_runs()?;
    Ok(Target { alive, agent })
}

/// Lets a stopped process run again that nobody traces. Returns whether it was stopped.
pub fn set_going(target: &Target) -> bool {
    let stopped = target.alive.status().is_some_and(|one| one.is_stopped());
    if stopped {
        target.alive.process.signal(Signal::CONT);
    }
    stopped
}

/// Fails if the process has ended or been stopped, or if the thread to attach to has ended: another process may have that
/// number by now, and a debugger would stop it. Fails too if somebody else's debugger holds the process. To be asked
/// after each wait that somebody may draw out.
pub fn is_still_free(target: &Target) -> Result<(), Trouble> {
    target.alive.still_runs()?;
    let task = format!("task/{}", target.thread());
    if !target.alive.process.path(&task).exists() {
        return Err(target::vanished(target).unwrap_or_else(target::replaced));
    }
    is_untraced(target)
}

/// Fails if somebody else's debugger holds the process.
fn is_untraced(target: &Target) -> Result<(), Trouble> {
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

/// Fails if a debugger would take too much memory: gdb reads the whole list of mappings into one text, whose room it
/// doubles (`linux_vsyscall_range_raw`, gdb/linux-tdep.c, and `target_fileio_read_alloc_1`, gdb/target.c, gdb 13).
fn is_bearable(target: &Target) -> Result<(), Trouble> {
    if target.agent.text_of_maps < maps::MOST_TEXT {
        return Ok(());
    }
    Err(Trouble::new(
        format!(
            "its list of mappings (/proc/{}/maps) is longer than {} MB, and gdb would read all of it into memory",
            target.alive.process.pid,
            maps::MOST_TEXT >> 20
        ),
        "ask --via wake",
    )
    .of_the_debugger())
}

/// Waits for our turn, and tries harmlessly whether a debugger may attach.
pub fn may_attach(target: &Target, until: Instant) -> Result<(), Trouble> {
    is_bearable(target)?;
    let _turn = Turn::take(target.alive.process, until);
    is_still_free(target)?;
    match permission::probe(target.thread(), until.min(Instant::now() + LONGEST_PROBE)) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Trouble::new(
            "the kernel lets no debugger attach to it now, as it is about to replace its program (exec)",
            "ask again, or ask --via wake",
        )
        .of_the_debugger()),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(exited()),
        Err(_) => {
            // Another tracer may have come first; and the kernel refuses a thread that is just ending
            // too (`ptrace_attach`, kernel/ptrace.c).
            is_untraced(target)?;
            std::thread::sleep(Duration::from_millis(20));
            Err(target::vanished(target)
                .unwrap_or_else(|| permission::explain(target.alive.process)))
        }
    }
}

/// Finds the debugger: the named one, a path or a name on `$PATH`, or `gdb`.
pub fn find_gdb(named: Option<&Path>) -> Result<PathBuf, Trouble> {
    let name = named.unwrap_or(Path::new("gdb"));
    let search = std::env::var_os("PATH");
    crate::system::path_search::find(name.as_os_str(), search.as_deref())
        .map(|path| std::path::absolute(&path).unwrap_or(path))
        .map_err(|_| match named {
            Some(named) => Trouble::new(
                format!("there is no debugger {} to run", named.display()),
                "give --gdb the path of an executable gdb",
            ),
            None => Trouble::new(
                "there is no gdb on $PATH",
                "install it (package `gdb`), or say where it is with --gdb",
            )
            .of_the_debugger(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::target::parse_pid;
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
        assert!(bare.to_string().contains("no Python either"), "{bare}");
    }

    #[test]
    fn sends_a_thread_to_its_process() {
        let us = std::process::id() as i32;
        let told = std::thread::spawn(|| {
            let thread = rustix::thread::gettid().as_raw_pid();
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
