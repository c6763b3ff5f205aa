//! Turns: of several commands that ask one process at once, one at a time holds its agent.

use std::fs::File;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::system::interrupt;
use crate::system::process::Process;

/// The right to trace the agent of a process, for as long as this value lives.
///
/// It is a lock (`flock`) on the process's file `/proc/PID/mem`, which is never read. Only who may trace the
/// process can open this file, so nobody else can hold the lock and keep us waiting. The lock takes nothing
/// from the process, and the kernel frees it when we end, however that happens. It does not hold off
/// debuggers that people attach by hand.
pub struct Turn(Option<File>);

impl Turn {
    /// Whether it is our turn, as opposed to that the wait for it was given up.
    pub fn is_ours(&self) -> bool {
        self.0.is_some()
    }

    /// Waits for our turn, but for no longer than half of the time until `until`: the process's own user
    /// may keep the lock for ever. What is left is for the question, which then goes without.
    pub fn take(process: Process, until: Instant) -> Turn {
        let Ok(file) = File::open(process.path("mem")) else {
            // The process has ended, or we may not trace it, which the question will show.
            return Turn(None);
        };
        let until = until - until.saturating_duration_since(Instant::now()) / 2;
        while flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() > until || interrupt::asked_to_stop().is_some() {
                return Turn(None);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Turn(Some(file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn one_at_a_time() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        let soon = || Instant::now() + Duration::from_millis(20);
        let first = Turn::take(us, soon());
        assert!(first.0.is_some());
        assert!(Turn::take(us, soon()).0.is_none());
        drop(first);
        assert!(Turn::take(us, soon()).0.is_some());
    }
}
