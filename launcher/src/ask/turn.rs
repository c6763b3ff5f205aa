//! Turns: of several commands that ask one process at once, one at a time holds its agent.

use std::fs::File;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::system::process::Process;

/// The right to trace the agent of a process, for as long as this value lives.
///
/// It is a lock (`flock`) on the process's folder in `/proc`. Every user may open that folder, the lock
/// takes nothing from the process, and the kernel frees it when we end, however that happens. It does
/// not hold off debuggers that people attach by hand.
pub struct Turn(#[allow(dead_code)] Option<File>);

impl Turn {
    /// Waits for our turn, but not beyond `until`: somebody may keep the lock for ever.
    pub fn take(process: Process, until: Instant) -> Turn {
        let Ok(folder) = File::open(process.path("")) else {
            // The process has ended, which the question will show.
            return Turn(None);
        };
        while flock(&folder, FlockOperation::NonBlockingLockExclusive).is_err() {
            if Instant::now() > until {
                return Turn(None);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Turn(Some(folder))
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
