//! The guardian: a process that outlives a command that is killed together with its gdb.
//!
//! gdb attaches by a SIGSTOP. If it dies before it has taken note of the thread's stop, that
//! signal is delivered after all, and stops the whole process (ptrace(2), "Death of the tracer").
//! While we live we set it going again; where we are killed too, the guardian does.

use std::io::{self, PipeWriter, Write};
use std::os::fd::AsRawFd;
use std::time::Duration;

use crate::ask::checks;
use crate::find::target::Target;
use crate::system::process::Process;

/// Watches from its posting until it is dismissed.
pub struct Guardian {
    /// Its end tells of ours.
    line: PipeWriter,
    process: libc::pid_t,
}

impl Guardian {
    /// Posts a guardian before gdb attaches; where that is refused it goes without, nearly always.
    pub fn post(target: &Target, gdb: u32) -> Option<Guardian> {
        let (theirs, line) = io::pipe().ok()?;
        // SAFETY: glibc puts its own locks in order in a forked child, which then only reads
        // files, sends signals and ends by `_exit`.
        let process = unsafe { libc::fork() };
        match process {
            -1 => None,
            0 => stand_guard(theirs.as_raw_fd(), target, gdb),
            process => Some(Guardian { line, process }),
        }
    }

    /// The process has been let go in order, or we have set it going ourselves.
    pub fn dismiss(mut self) {
        let _ = self.line.write_all(b".");
        // SAFETY: our own child, which ends at once; not reaped before, so its number is its own.
        unsafe { libc::waitpid(self.process, std::ptr::null_mut(), 0) };
    }
}

/// The guardian's life: waits for a byte, or for our end.
fn stand_guard(line: i32, target: &Target, gdb: u32) -> ! {
    // SAFETY: in a process of our own, with one thread, in a session where no terminal's signal
    // reaches it. Whoever waits for the end of our streams must not wait for it, so it closes
    // them all.
    unsafe {
        libc::setsid();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::signal(signal, libc::SIG_IGN);
        }
        for (first, last) in [(0, line - 1), (line + 1, i32::MAX)] {
            libc::syscall(libc::SYS_close_range, first, last, 0);
        }
        let mut word = 0_u8;
        if libc::read(line, (&raw mut word).cast(), 1) == 0 && is_let_go(target) {
            // gdb has ended, or is about to; killed while it tried out what the kernel can do, it
            // has left a stopped child behind, which is of its process group.
            libc::kill(-(gdb as i32), libc::SIGKILL);
        }
        libc::_exit(0)
    }
}

/// We have been killed. Once nobody holds the thread, its stop is there within moments, or never.
fn is_let_go(target: &Target) -> bool {
    let thread = Process {
        pid: target.thread(),
    };
    let mut unheld = 0;
    for _ in 0..5000 {
        let Ok(status) = thread.status() else {
            return true;
        };
        unheld = if status.tracer == 0 { unheld + 1 } else { 0 };
        if checks::set_going(target) || unheld == 200 {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}
