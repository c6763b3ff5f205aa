//! The guardian: a process that outlives a command that is killed together with its gdb.
//!
//! gdb attaches by a SIGSTOP. If gdb dies before it has taken note of the thread's stop, the kernel
//! delivers that signal after all, and it stops the whole process (ptrace(2), "Death of the tracer").
//! The command then lets the process run again. If the command is killed too, the guardian does.

use std::io::{self, PipeWriter, Read, Write};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::ask::checks;
use crate::find::target::Target;
use crate::system::child::{self, Child};
use crate::system::process::Process;

/// The longest time that a dismissed guardian takes to end.
const DISMISSING: Duration = Duration::from_millis(200);

/// How many times, a millisecond apart, the guardian looks whether gdb has let go by itself.
const PATIENCE: u32 = 2000;

/// Watches from its posting until it is dismissed.
pub struct Guardian {
    /// A byte dismisses the guardian; the end of the line tells it that this command has ended.
    line: PipeWriter,
    child: Child,
}

impl Guardian {
    /// Posts a guardian before gdb attaches. If the system refuses one, gdb goes without: what a
    /// guardian prevents is rare.
    pub fn post(target: &Target, gdb: u32) -> Option<Guardian> {
        let (theirs, line) = io::pipe().ok()?;
        let child = child::fork_apart(theirs, |line| stand_guard(line, target, gdb)).ok()?;
        Some(Guardian { line, child })
    }

    /// Ends the guardian: gdb has detached in order, or this command has let the process run again.
    pub fn dismiss(mut self) {
        let _ = self.line.write_all(b".");
        self.child.end_within(DISMISSING);
    }
}

/// The guardian's life: it waits for a byte, or for the end of the command.
fn stand_guard(mut line: impl Read, target: &Target, gdb: u32) {
    let command_has_ended = line.read(&mut [0]).is_ok_and(|count| count == 0);
    let Some(group) = Pid::from_raw(gdb as i32).filter(|_| command_has_ended) else {
        return;
    };
    if !is_let_go(target) {
        // gdb should have ended with its input. It is stuck, or stopped.
        if tracer_of(target).is_none_or(|tracer| tracer != gdb as i32) {
            return;
        }
        let _ = kill_process_group(group, Signal::KILL);
        is_let_go(target);
        return;
    }
    // gdb has ended, or is about to. If it was killed while it tried out what the kernel can do, it has
    // left a stopped child behind in its process group.
    let _ = kill_process_group(group, Signal::KILL);
}

/// The process that traces the thread.
fn tracer_of(target: &Target) -> Option<i32> {
    let thread = Process {
        pid: target.thread(),
    };
    let tracer = thread.status().ok()?.tracer;
    let tracer = Process { pid: tracer }.status().ok()?;
    Some(tracer.process)
}

/// Waits until nobody holds the thread: its stop then comes within moments, or never. Lets the process
/// run again if it has stopped.
fn is_let_go(target: &Target) -> bool {
    let thread = Process {
        pid: target.thread(),
    };
    let mut unheld = 0;
    for _ in 0..PATIENCE {
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
