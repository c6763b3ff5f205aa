//! Which signal an agent's sleeping thread waits for, as its status shows it.

use crate::system::process::Process;
use crate::system::{maps, proc_file};

/// The signal that musl keeps for itself, besides 32 and 33: no program can block it by the library's functions
/// (SIGSYNCCALL, src/internal/pthread_impl.h and src/signal/sigfillset.c).
const OF_MUSL: i32 = 34;

/// Whether a process runs on musl, or may.
fn is_on_musl(process: Process) -> bool {
    let mut found = false;
    let read = proc_file::lines(process.path("maps"), maps::MOST_TEXT, |line| {
        found |= line.windows(8).any(|word| word == b"/ld-musl");
    });
    found || read.is_err()
}

/// The signal that a thread of a process waits for, by the signals that it blocks; `None` if it waits for none now.
pub fn signal_in(blocked: u64, process: Process) -> Option<i32> {
    // While it blocks all others, nobody handles musl's signal, which would end the program.
    let is_handled = |signal: &i32| *signal != OF_MUSL || !is_on_musl(process);
    open_signal(blocked).filter(is_handled)
}

/// The one real-time signal that is not blocked, if there is one; or the other, where that of musl's is not blocked
/// either.
fn open_signal(blocked: u64) -> Option<i32> {
    // Signal 32 is bit 31. glibc uses 32 and 33 itself.
    let open = !blocked >> 33 << 33;
    let others = open & !(1 << (OF_MUSL - 1));
    let open = if others == 0 { open } else { others };
    (open.count_ones() == 1).then(|| open.trailing_zeros() as i32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_signal_that_is_waited_for() {
        let faults = 0b1_0000_1101_1000_u64;
        assert_eq!(open_signal(!faults & !(1 << 57)), Some(58));
        assert_eq!(open_signal(!faults & !(1 << 63)), Some(64));
        assert_eq!(open_signal(!faults & !(3 << 31)), None);
        assert_eq!(open_signal(!faults & !(3 << 57)), None);
        assert_eq!(open_signal(!0), None);
        // musl leaves signal 34 open.
        assert_eq!(open_signal(!faults & !(7 << 31) & !(1 << 57)), Some(58));
        assert_eq!(open_signal(!faults & !(1 << 33)), Some(34));
    }

    #[test]
    fn we_are_not_on_musl() {
        let us = Process {
            pid: std::process::id() as i32,
        };
        assert_eq!(is_on_musl(us), cfg!(target_env = "musl"));
    }
}
