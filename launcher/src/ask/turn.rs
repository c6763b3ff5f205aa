//! Taking turns: of several commands that ask one process at once, one at a time holds its agent.

use std::fs::File;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::system::process::Process;

/// The right to trace the agent of a process, for as long as this value lives.
///
/// It is a lock (`flock`) on the process's folder in `/proc`, which every user may open, which
/// takes nothing from the process, and which the kernel frees whatever becomes of us. Who does
/// not know of it, a debugger by hand, is not held off by it.
pub struct Turn(#[allow(dead_code)] Option<File>);

impl Turn {
    /// Waits for our turn. By `until` we go on without: somebody may keep the lock for ever.
    pub fn take(process: Process, until: Instant) -> Turn {
        let Ok(folder) = File::open(process.path("")) else {
            // It has ended; whoever asks it will see that.
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
