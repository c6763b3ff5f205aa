//! May we attach to a process? The kernel decides, and this file explains its refusals.

use std::fs::File;
use std::io;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};

use crate::system::child::{self, NotStarted};
use crate::system::process::Process;
use crate::system::users;
use crate::trouble::Trouble;

const CAP_SYS_PTRACE: u32 = 19;

/// Tries whether we may trace this thread, without stopping it.
///
/// `PTRACE_SEIZE` attaches without a stop, and the kernel detaches whatever a thread has attached to when
/// that thread ends. So a thread of ours seizes, and ends; or a process, where the system grants no thread.
/// The kernel lets it wait while the process is in an `exec` (`ptrace_attach`, kernel/ptrace.c), which a
/// process can draw out for ever.
///
/// Where the kernel does not know that request, the right to read the memory decides.
///
/// # Errors
/// The kernel's; `TimedOut` if it has not decided by `until`.
pub fn probe(thread: i32, until: Instant) -> io::Result<()> {
    let target = Process { pid: thread };
    match seize_and_end(thread, until.saturating_duration_since(Instant::now())) {
        Ok(()) => {}
        // gdb cannot be started either, and then says why.
        Err(error) if NotStarted::is_in(&error) => return Ok(()),
        Err(error) if is_unknown(&error) && is_there(target) => return may_read_memory(target),
        Err(error) => return Err(error),
    }
    // The thread may still be on its way out of the kernel: wait until it is detached.
    let patience = until.min(Instant::now() + Duration::from_secs(1));
    while target.status().is_ok_and(|status| status.tracer != 0) && Instant::now() < patience {
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Has a thread or a process of ours, which then ends, seize a thread.
fn seize_and_end(thread: i32, time: Duration) -> io::Result<()> {
    let (sender, tried) = mpsc::channel();
    let builder = std::thread::Builder::new().name("probe".to_owned());
    let started = builder.spawn(move || {
        let _ = sender.send(seize(thread));
    });
    if started.is_err() {
        let seize = || {
            seize(thread)?;
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            Ok(open(c"/dev/null", flags, Mode::empty())?)
        };
        return child::open_by_child(&[], time, seize).map(drop);
    }
    tried.recv_timeout(time).map_err(|error| match error {
        RecvTimeoutError::Timeout => io::ErrorKind::TimedOut.into(),
        RecvTimeoutError::Disconnected => io::Error::other("the probing thread failed"),
    })?
}

fn seize(thread: i32) -> io::Result<()> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: PTRACE_SEIZE takes neither address nor data; a bad thread number is an error.
    match unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, none, none) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether an error of PTRACE_SEIZE may mean that the kernel does not know it: Linux before 3.4 looks first
/// whether we trace the thread already (ESRCH), or answers EIO (`ptrace_request`, kernel/ptrace.c).
fn is_unknown(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ESRCH | libc::EIO | libc::ENOSYS)
    )
}

fn is_there(thread: Process) -> bool {
    thread.status().is_ok_and(|status| !status.has_ended())
}

/// Whether we may open a thread's memory: since Linux 3.2 that takes the right to trace it. Before, gdb has to
/// try.
fn may_read_memory(thread: Process) -> io::Result<()> {
    File::open(thread.path("mem")).map(drop)
}

/// What the kernel decides by, as far as `/proc` shows it.
#[derive(Clone, Debug, Default)]
struct Circumstances {
    root: bool,
    may_trace: bool,
    yama: Option<u8>,
    seccomp: bool,
}

impl Circumstances {
    fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let yama = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
        Self {
            root: rustix::process::geteuid().is_root(),
            may_trace: has_capability(&status, CAP_SYS_PTRACE),
            yama: yama.ok().and_then(|scope| scope.trim().parse().ok()),
            seccomp: status.lines().any(|line| line == "Seccomp:\t2"),
        }
    }

    fn explain(&self, command: &str) -> Trouble {
        if self.yama == Some(3) {
            return Trouble::new(
                "the kernel forbids every debugger (kernel.yama.ptrace_scope is 3)",
                "only another boot setting can change that",
            );
        }
        if self.root && !self.may_trace {
            return Trouble::new(
                "root may not trace here: this container or service lacks the capability CAP_SYS_PTRACE",
                "start it with that capability (docker run --cap-add SYS_PTRACE), or ask from outside it",
            );
        }
        match self.yama {
            Some(2) if !self.may_trace => Trouble::new(
                "the kernel lets only root attach (kernel.yama.ptrace_scope is 2)",
                format!("run `sudo {command}`"),
            ),
            Some(1) if !self.may_trace => Trouble::new(
                "the kernel lets users attach to their own child processes only (kernel.yama.ptrace_scope is 1)",
                format!("run `sudo {command}`, or `sudo sysctl kernel.yama.ptrace_scope=0` once"),
            ),
            _ if self.seccomp => Trouble::new(
                "the kernel refused to attach to it, probably by this container's seccomp profile",
                "start the container with --cap-add SYS_PTRACE, or ask from outside it",
            ),
            _ if !self.root => Trouble::new(
                "the kernel refused to attach to it (it has changed its user or guards its memory)",
                format!("run `sudo {command}`"),
            ),
            _ => Trouble::new(
                "the kernel refused to attach to it, though we are root",
                "look at security modules (SELinux, AppArmor, Landlock) and at user namespaces",
            ),
        }
    }
}

fn has_capability(status: &str, capability: u32) -> bool {
    status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & (1 << capability) != 0)
}

/// Why the kernel refuses to let us attach, and what to do.
pub fn explain(process: Process) -> Trouble {
    Circumstances::read()
        .explain(&format!("sleeper_agent_activate {}", process.pid))
        .of_the_debugger()
}

/// The owner of a process that another user owns, if we lack the right that overrides ownership.
pub fn foreign_owner(users: [u32; 3]) -> Option<String> {
    let us = rustix::process::geteuid();
    let theirs = users.into_iter().find(|user| *user != us.as_raw())?;
    (!us.is_root() && !Circumstances::read().may_trace).then(|| users::name(theirs))
}

#[cfg(test)]
mod tests {
    use super::*;
    fn said(circumstances: Circumstances) -> String {
        circumstances
            .explain("sleeper_agent_activate 7")
            .to_string()
    }

    #[test]
    fn names_the_setting_that_forbids_it() {
        let yama = |scope| Circumstances {
            yama: Some(scope),
            ..Circumstances::default()
        };
        assert!(said(yama(1)).contains("ptrace_scope=0"));
        assert!(said(yama(2)).contains("sudo sleeper_agent_activate 7"));
        assert!(said(yama(3)).contains("boot"));
        let contained = Circumstances {
            root: true,
            ..Circumstances::default()
        };
        assert!(said(contained).contains("--cap-add SYS_PTRACE"));
        let filtered = Circumstances {
            seccomp: true,
            ..Circumstances::default()
        };
        assert!(said(filtered).contains("seccomp"));
    }

    #[test]
    fn reads_capabilities() {
        assert!(has_capability("CapEff:\t000001ffffffffff\n", 19));
        assert!(!has_capability("CapEff:\t0000000000000000\n", 19));
        assert!(!has_capability("CapPrm:\t000001ffffffffff\n", 19));
        assert!(has_capability("CapEff:\t0000000000080000\n", 19));
    }

    #[test]
    fn a_thread_that_is_not_there_cannot_be_traced() {
        let soon = Instant::now() + Duration::from_secs(20);
        let error = probe(i32::MAX, soon).expect_err("no such thread");
        assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
    }

    #[test]
    fn a_kernel_without_the_request_lets_gdb_try() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        for number in [libc::ESRCH, libc::EIO, libc::ENOSYS] {
            assert!(is_unknown(&io::Error::from_raw_os_error(number)));
        }
        assert!(!is_unknown(&io::Error::from_raw_os_error(libc::EPERM)));
        assert!(is_there(us) && may_read_memory(us).is_ok());
        assert!(!is_there(Process { pid: i32::MAX }));
    }
}
